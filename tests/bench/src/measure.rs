//! The run: every work for every peer, in turn, round by round.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aiida_firecrest_host::{CodeCache, Engine, Plugin};
use anyhow::{Context as _, Result};
use tokio::runtime::Handle;

use crate::driver::Driver;
use crate::floor::Floor;
use crate::ours::Ours;
use crate::results::{Cell, Row, Run};
use crate::server::Server;
use crate::task::{Outcome, Task};
use crate::works::{Kind, PEERS, Scene, WORKS, Work};

/// Where everything is.
pub(crate) struct Places {
    pub(crate) simulator: PathBuf,
    pub(crate) python: PathBuf,
    /// The scripts of the peers of Python.
    pub(crate) scripts: PathBuf,
    /// A folder on a file system with room: memory, where there is enough, so that disks do not blur the figures.
    pub(crate) work: PathBuf,
}

/// How much is run.
pub(crate) struct Extent {
    pub(crate) quick: bool,
    pub(crate) rounds: Option<usize>,
    pub(crate) latencies: Option<Vec<u64>>,
    pub(crate) only: Option<String>,
    pub(crate) peers: Option<Vec<String>>,
    /// After so many seconds a peer is stopped, and has no further round of that row.
    pub(crate) cap: f64,
}

impl Extent {
    fn latencies(&self) -> Vec<u64> {
        self.latencies.clone().unwrap_or_else(|| if self.quick { vec![0, 20] } else { vec![0, 20, 100] })
    }

    /// A quick run's second latency is 0, for the works that goals at 0 ms are about.
    fn takes(&self, work: &Work, latency: u64) -> bool {
        let named = self.only.as_ref().is_none_or(|part| work.name.contains(part.as_str()));
        let chosen = self.only.is_some() && self.latencies.is_some();
        let here = chosen || work.latencies.contains(&latency);
        let quick = !self.quick || self.only.is_some() || (work.quick && (latency == 20 || is_single(work.kind)));
        named && here && quick
    }

    fn rounds(&self, work: &Work) -> usize {
        let whole = if self.quick { work.rounds.div_ceil(3) } else { work.rounds };
        self.rounds.unwrap_or(whole)
    }
}

/// A work of one request.
fn is_single(kind: Kind) -> bool {
    matches!(kind, Kind::Stat | Kind::Mkdir | Kind::Submit | Kind::Put(1024, None))
}

/// All peers.
pub(crate) struct Peers {
    ours: Ours,
    floor: Floor,
    drivers: BTreeMap<&'static str, Driver>,
}

impl Peers {
    pub(crate) fn new(places: &Places) -> Result<Self> {
        let engine = Engine::on_runtime(&CodeCache::User, Handle::current())?;
        let plugin = Plugin::built_in(&engine)?;
        let driver = |script: &str, argument: Option<&'static str>| {
            Driver::new(&places.python, places.scripts.join(script), argument, &places.work)
        };
        Ok(Self {
            ours: Ours::new(plugin),
            floor: Floor::new(),
            drivers: BTreeMap::from([
                ("us-python", driver("aiida_pair.py", Some("aiida_firecrest_wasm"))),
                ("aiida-firecrest", driver("aiida_pair.py", Some("aiida_firecrest"))),
                ("pyfirecrest", driver("bare.py", None)),
            ]),
        })
    }

    pub(crate) async fn run(&mut self, peer: &str, task: &Task, cap: Duration) -> Outcome {
        let inside = async {
            match peer {
                "us-rust" => Some(self.ours.run(task).await),
                "floor" => Some(self.floor.run(task).await),
                _ => None,
            }
        };
        let waited = tokio::time::timeout(cap, inside).await;
        match waited {
            Ok(Some(outcome)) => outcome,
            Ok(None) => match self.drivers.get_mut(peer) {
                Some(driver) => driver.run(task, cap).await,
                None => Outcome::of(0.0, Err(anyhow::anyhow!("no such peer"))),
            },
            Err(_) => {
                Outcome { seconds: cap.as_secs_f64(), result: serde_json::Value::Null, error: None, capped: true }
            }
        }
    }
}

/// Runs it, telling of each row as it is done.
pub(crate) async fn run(places: &Places, extent: &Extent, mut done: impl FnMut(&Row)) -> Result<Vec<Row>> {
    let mut peers = Peers::new(places)?;
    let mut rows = Vec::new();
    for latency in extent.latencies() {
        for work in WORKS.iter().filter(|work| extent.takes(work, latency)) {
            let row = one(places, extent, &mut peers, work, latency).await.with_context(|| work.name)?;
            done(&row);
            rows.push(row);
        }
    }
    Ok(rows)
}

/// One row, on a server of its own: what a row leaves behind slows no other.
async fn one(places: &Places, extent: &Extent, peers: &mut Peers, work: &Work, latency: u64) -> Result<Row> {
    let server = Server::start(&places.simulator, &places.work, latency).await?;
    let local = tempfile::Builder::new().prefix("fcl-").tempdir_in(&places.work)?;
    let mut scene = Scene { server: &server, local: local.path(), jobs: Vec::new(), counter: 0 };
    scene.set(work.kind).await?;
    let mut row = Row { work: work.name.to_owned(), latency_ms: latency, peers: BTreeMap::new() };
    let chosen = |peer: &str| extent.peers.as_ref().is_none_or(|peers| peers.iter().any(|name| name == peer));
    for peer in PEERS.into_iter().filter(|peer| !work.without.contains(peer) && chosen(peer)) {
        let configure = Task::Configure { config: server.config.clone() };
        let outcome = peers.run(peer, &configure, Duration::from_secs(120)).await;
        row.peers.insert(peer.to_owned(), Cell { error: outcome.error, ..Cell::default() });
        // What comes with the first call (a connection, a page of code) is no round.
        if row.peers[peer].error.is_none() {
            let warm = Task::Stat { path: server.home().join("one").to_string_lossy().into_owned() };
            peers.run(peer, &warm, Duration::from_secs(60)).await;
        }
    }
    let names: Vec<String> = row.peers.keys().cloned().collect();
    for round in 0..extent.rounds(work) {
        // Each begins once: whoever comes first finds caches cold.
        for turn in 0..names.len() {
            let peer = &names[(turn + round) % names.len()];
            let Some(cell) = row.peers.get_mut(peer).filter(|cell| goes_on(cell, extent)) else { continue };
            round_of(&mut scene, peers, work.kind, peer, cell, extent.cap).await?;
        }
    }
    scene.clear();
    Ok(row)
}

/// Nobody is tried again who failed or was stopped; and what takes long is not asked often.
fn goes_on(cell: &Cell, extent: &Extent) -> bool {
    let spent: f64 = cell.seconds.iter().sum();
    let enough = if extent.quick { 3.0 } else { 40.0 };
    cell.error.is_none() && cell.capped.is_none() && spent < enough
}

async fn round_of(
    scene: &mut Scene<'_>,
    peers: &mut Peers,
    kind: Kind,
    peer: &str,
    cell: &mut Cell,
    cap: f64,
) -> Result<()> {
    let prepared = scene.prepare(kind).await?;
    scene.server.forget().await?;
    let outcome = peers.run(peer, &prepared.task, Duration::from_secs_f64(cap)).await;
    cell.counts = scene.server.counts().await?;
    if outcome.capped {
        cell.capped = Some(outcome.seconds);
        cell.seconds.clear();
    } else if let Some(error) = outcome.error {
        cell.error = Some(error);
    } else if let Err(error) = prepared.check(&outcome.result) {
        cell.error = Some(format!("wrong: {error:#}"));
    } else {
        cell.seconds.push(outcome.seconds);
    }
    prepared.clean();
    Ok(())
}

/// Seconds until the plugin is ready, its code in the cache.
pub(crate) fn ready() -> Result<Vec<f64>> {
    let again = || -> Result<f64> {
        let engine = Engine::new(&CodeCache::User)?;
        let start = Instant::now();
        Plugin::built_in(&engine)?;
        Ok(start.elapsed().as_secs_f64())
    };
    (0..7).map(|_| again()).collect()
}

/// Seconds of the imports over AiiDA's own, each in an interpreter of its own.
pub(crate) fn imports(places: &Places) -> Result<BTreeMap<String, Vec<f64>>> {
    let mut found: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for _ in 0..5 {
        for package in ["aiida_firecrest_wasm", "aiida_firecrest"] {
            let output = std::process::Command::new(&places.python)
                .arg(places.scripts.join("imports.py"))
                .arg(package)
                .env("AIIDA_PATH", &places.work)
                .output()?;
            let seconds = String::from_utf8_lossy(&output.stdout).trim().parse();
            let seconds = seconds.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
            found.entry(package.to_owned()).or_default().push(seconds);
        }
    }
    Ok(found)
}

/// What a run says of itself.
pub(crate) fn describe(run: &mut Run, places: &Places) -> Result<()> {
    run.machine = machine();
    run.date = text_of("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
    let python = places.python.to_string_lossy();
    let code = "import importlib.metadata as m;[print(n,m.version(n)) for n in ('aiida-firecrest','pyfirecrest','aiida-core')]";
    let told = text_of(&python, &["-c", code]);
    run.versions = told.lines().filter_map(|line| line.split_once(' ')).map(|(a, b)| (a.into(), b.into())).collect();
    run.versions.insert(0, ("aiida-firecrest (this component)".into(), env!("CARGO_PKG_VERSION").into()));
    let profile = places.simulator.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    run.versions.push(("cargo's profile".into(), if profile == "debug" { "dev".into() } else { profile.into_owned() }));
    let curl = text_of("curl", &["--version"]);
    run.versions.push(("curl".into(), curl.split(' ').nth(1).unwrap_or_default().into()));
    run.versions.push(("Python".into(), text_of(&python, &["--version"]).replace("Python ", "")));
    run.component = std::fs::metadata(places.component()).map(|metadata| metadata.len()).unwrap_or_default();
    run.ready = ready()?;
    run.imports = imports(places)?;
    Ok(())
}

impl Places {
    fn component(&self) -> PathBuf {
        let target = self.simulator.parent().and_then(Path::parent).unwrap_or(Path::new("target"));
        ["component", "component-debian"]
            .map(|folder| target.join(folder).join("wasm32-wasip2/release/aiida_firecrest.wasm"))
            .into_iter()
            .find(|path| path.is_file())
            .unwrap_or_default()
    }
}

fn machine() -> String {
    let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = memory.lines().next().and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok());
    let gib = kib.unwrap_or_default() / f64::from(1 << 20);
    let model = model.trim_start_matches([' ', '\t', ':']);
    let system = text_of("uname", &["-sr"]);
    format!("{cores} × {model}, {gib:.0} GiB, {system}")
}

fn text_of(program: &str, arguments: &[&str]) -> String {
    let output = std::process::Command::new(program).args(arguments).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}
