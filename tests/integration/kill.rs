//! A process that is killed in the middle, in every phase, and the next one, which cleans up after it.

use std::collections::BTreeMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use aiida_firecrest_host::scheduler::{JobQuery, JobState};
use aiida_firecrest_host::transport::{Command, TransferOptions};
use aiida_firecrest_host::{CodeCache, Engine, Journal, Options, Plugin, Policy, Session};
use aiida_firecrest_tests::{Rig, Setup, eventually, in_time, names, noise, plugin, target_folder};
use firecrest_simulator::{Fault, FaultKind};

use crate::desk::{Desk, finished, text};

/// Past the direct limits of both ways.
const LARGE: usize = 6 << 20;

fn setup() -> Setup {
    Rig::setup().knobs(|knobs| {
        // So that there is a middle to be killed in.
        knobs.latency = Duration::from_millis(10);
        knobs.transfer_sleep = Duration::from_millis(300);
    })
}

struct Case {
    name: &'static str,
    arguments: Vec<String>,
    /// What the command makes or replaces: on the cluster, or here.
    target: PathBuf,
    /// The states that the target may be found in.
    old: BTreeMap<String, String>,
    new: BTreeMap<String, String>,
}

/// A file or folder: what is where, and a hash of each file's bytes.
fn look(target: &Path) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let mut open = vec![target.to_owned()];
    while let Some(path) = open.pop() {
        let name = path.strip_prefix(target).unwrap().to_str().unwrap().to_owned();
        if let Ok(entries) = fs::read_dir(&path) {
            open.extend(entries.map(|entry| entry.unwrap().path()));
            all.insert(name, "directory".to_owned());
        } else if let Ok(bytes) = fs::read(&path) {
            let mut hasher = std::hash::DefaultHasher::new();
            bytes.hash(&mut hasher);
            all.insert(name, format!("{} bytes, {:x}", bytes.len(), hasher.finish()));
        }
    }
    all
}

/// A tree with a large file, and a few small ones.
fn tree(root: &Path) {
    for (name, size) in [("a", 10), ("sub/b", 3000), ("sub/large", LARGE), ("sub/deeper/c", 0)] {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(size)).unwrap();
    }
}

/// One of the four.
fn case(desk: &Desk, which: usize) -> Case {
    let home = Path::new(desk.simulator.home());
    let (name, command, source, target): (_, &[&str], PathBuf, PathBuf) = match which {
        0 => {
            let source = desk.local_file("up", &noise(LARGE), 0o644);
            ("put of a large file", &["put"], source, desk.place("up", b"old").into())
        }
        1 => {
            let source = desk.place("down", &noise(LARGE)).into();
            ("get of a large file", &["get"], source, desk.local_file("down", b"old", 0o644))
        }
        2 => ("put of a folder", &["put", "-r"], desk.path("tree-up"), home.join("tree-up")),
        _ => ("get of a folder", &["get", "-r"], home.join("tree-down"), desk.path("tree-down")),
    };
    if which >= 2 {
        tree(&source);
    }
    let paths = [&source, &target].map(|path| path.to_str().unwrap().to_owned());
    let arguments = command.iter().map(|text| (*text).to_owned()).chain(paths).collect();
    Case { name, arguments, old: look(&target), new: look(&source), target }
}

/// What is left of a run: names that do not stay, on either side.
fn left(desk: &Desk) -> Vec<String> {
    let home = PathBuf::from(desk.simulator.home());
    let scratch = PathBuf::from(desk.simulator.scratch());
    let all = [home.as_path(), &scratch, desk.folder.path()].map(look);
    let names = all.into_iter().flat_map(BTreeMap::into_keys);
    let passing = |name: &str| {
        [".aiida-firecrest", ".f7t", "slurm-"].iter().any(|start| name.starts_with(start)) || name.ends_with(".part")
    };
    names.filter(|path| path.split('/').any(passing)).collect()
}

fn sessions(desk: &Desk) -> usize {
    fs::read_dir(desk.path("state/aiida-firecrest/sessions")).map_or(0, Iterator::count)
}

async fn jobs_alive(desk: &Desk) -> usize {
    let jobs: serde_json::Value = desk.json(&["jobs"]).await;
    jobs["jobs"].as_array().map_or(0, |jobs| {
        jobs.iter().filter(|job| job["job_state"] != "done" && job["raw_state"] != "COMPLETING").count()
    })
}

/// Kills one case in each of its phases. How often, and how often something was left.
async fn kill_in_each_phase(which: usize) -> (usize, usize) {
    let (mut kills, mut after_a_mess) = (0, 0);
    // Each phase begins with a request: the run is killed at the first, at the third, …; at each, with KILLS=all.
    for phase in (1..).step_by(if std::env::var_os("KILLS").is_some() { 1 } else { 2 }) {
        let desk = Desk::with(setup()).await;
        let case = case(&desk, which);
        let state = desk.path("state");
        let start = |arguments: &[String]| {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let mut command = desk.command(&arguments);
            command.env("XDG_STATE_HOME", &state).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        };
        let requests = || {
            let own = desk.simulator.s3_requests().iter().filter(|request| !request.from_job).count();
            desk.simulator.requests().len() + own
        };
        let mut child = start(&case.arguments);
        let mut over = false;
        while requests() < phase && !over {
            tokio::time::sleep(Duration::from_millis(1)).await;
            over = child.try_wait().unwrap().is_some();
        }
        // SIGKILL.
        let _ = child.kill();
        let first = in_time("its end", finished(child)).await;
        let what = format!("{}, killed at request {phase}", case.name);
        if first.status.success() {
            let clean = left(&desk).is_empty() && sessions(&desk) == 0;
            assert!(clean, "{what}: nothing is left of a run that was not killed");
            break;
        }
        assert!(!over, "{what}: {}", text(&first.stderr));
        kills += 1;
        // What was on its way at the server arrives or does not.
        tokio::time::sleep(Duration::from_millis(100)).await;
        let found = look(&case.target);
        let whole = found.iter().all(|(name, content)| {
            let passing = name.split('/').any(|name| name.starts_with(".aiida-firecrest"));
            passing || case.new.get(name) == Some(content) || content == "directory"
        });
        assert!(found == case.old || whole, "{what}: the target is neither the old one nor made of whole files");
        after_a_mess += usize::from(!left(&desk).is_empty());
        let mut arguments = case.arguments.clone();
        if case.name == "put of a folder" && case.target.exists() {
            // As with cp, the same once more would put it inside.
            arguments.splice(..2, ["sync".to_owned()]);
        }
        let again = in_time("the next run", finished(start(&arguments))).await;
        assert!(again.status.success(), "{what}, then: {}", text(&again.stderr));
        assert_eq!(left(&desk), [""; 0], "{what}");
        assert!(look(&case.target) == case.new, "{what}: the next run ends it");
        assert_eq!(sessions(&desk), 0, "{what}");
        assert_eq!(jobs_alive(&desk).await, 0, "{what}: a job goes on");
    }
    (kills, after_a_mess)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_process_leaves_no_half_target_and_the_next_cleans_up() {
    let counts = futures_util::future::join_all((0..4).map(kill_in_each_phase)).await;
    let (kills, after_a_mess) = counts.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("{kills} kills, {after_a_mess} of them left something");
    assert!(kills > 15 && after_a_mess > 10, "{kills} kills, {after_a_mess} left something");
}

/// The plugin as a process has it that has not looked yet for what others left.
fn another_process() -> Plugin {
    let engine = Engine::new(&CodeCache::Folder(target_folder().join("test-code-cache"))).unwrap();
    Plugin::built_in(&engine).unwrap()
}

// ---- A call whose future is dropped

#[tokio::test]
async fn what_a_dropped_call_left_goes_with_the_next_session() {
    let rig = Rig::setup().open().await;
    let journal = rig.local("journal");
    let policy = Policy::default().remember(Journal::Folder(journal.clone()));
    let options = rig.options();
    let count = || fs::read_dir(&journal).map_or(0, Iterator::count);
    let mut session = Session::open(plugin(), &options, &policy).await.unwrap();
    let command = Command {
        line: "sleep 600".into(),
        working_directory: None,
        environment: Vec::new(),
        stdin: Vec::new(),
        time_limit: None,
    };
    let running = session.exec(&command);
    let dropped = tokio::time::timeout(Duration::from_secs(3), running).await;
    assert!(dropped.is_err(), "{dropped:?}");
    assert_eq!(count(), 1);
    drop(session);
    assert_eq!(count(), 1, "it stays until somebody has cleaned up");
    let mut session = Session::open(plugin(), &options, &policy).await.unwrap();
    assert_eq!(count(), 0);
    let jobs = session.jobs(&JobQuery::Mine).await.unwrap().jobs;
    let alive = jobs.iter().filter(|job| job.job_state != JobState::Done && job.raw_state != "COMPLETING").count();
    assert_eq!(alive, 0, "{jobs:?}");
    eventually("an empty home", || names(rig.simulator.home()).is_empty()).await;
}

#[tokio::test]
async fn a_living_session_keeps_what_it_works_with() {
    let rig = setup().open().await;
    let journal = rig.local("journal");
    let policy = Policy::default().remember(Journal::Folder(journal.clone()));
    let options = rig.options();
    let mut session = Session::open(plugin(), &options, &policy).await.unwrap();
    let local = rig.local_file("file", &noise(LARGE), 0o644);
    let remote = rig.remote("file");
    let transfer = TransferOptions::default();
    let put = session.put(&local, &remote, &transfer);
    let others = async {
        for _ in 0..5 {
            Session::open(&another_process(), &options, &policy).await.unwrap();
        }
    };
    let (put, ()) = tokio::join!(put, others);
    put.unwrap();
    assert!(fs::read(&remote).unwrap() == noise(LARGE));
    drop(session);
    assert_eq!(fs::read_dir(&journal).unwrap().count(), 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_asked_again_later() {
    let rig = Rig::setup().open().await;
    let journal = rig.local("journal");
    let policy = Policy::default().remember(Journal::Folder(journal.clone()));
    let options = rig.options();
    let mark = "0123456789abcdef";
    let left = rig.place(&format!(".aiida-firecrest-{mark}-00000000.tar"), b"x");
    let kept = rig.place(".aiida-firecrest-fedcba9876543210-00000000.tar", b"of another");
    fs::create_dir(&journal).unwrap();
    let record = |url: &str| {
        serde_json::json!({
            "format": 1,
            "owner": {"plugin": null, "options": {
                "url": url, "client_id": options.get("client_id"), "compute_resource": options.get("compute_resource"),
            }},
            "mark": mark,
            "places": [{"remote": rig.remote("x"), "local": null}],
        })
        .to_string()
    };
    let own = journal.join("own.json");
    fs::write(&own, record(options.get("url").unwrap())).unwrap();
    // Nobody's: another server's, one that was cut by the crash, and a mark that would match everything.
    let others = [
        ("other.json", record("https://elsewhere.example")),
        ("cut.json", record(options.get("url").unwrap())[..40].to_owned()),
        ("mark.json", record(options.get("url").unwrap()).replace(mark, "")),
    ];
    for (name, content) in &others {
        fs::write(journal.join(name), content).unwrap();
    }
    for end in ["jobs", "ops/ls", "ops/rm"] {
        rig.simulator.plant(Fault::once(end, FaultKind::ServerError("down".into())).times(100));
        Session::open(&another_process(), &options, &policy)
            .await
            .expect("a session although nothing could be removed");
        rig.simulator.clear_faults();
        assert!(own.exists() && Path::new(&left).exists(), "{end}");
    }
    Session::open(&another_process(), &options, &policy).await.unwrap();
    assert!(!own.exists() && !Path::new(&left).exists() && Path::new(&kept).exists());
    for (name, _) in others {
        assert!(journal.join(name).exists(), "{name}");
    }
}

#[tokio::test]
async fn a_plugin_whose_mark_is_none_is_not_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let journal = folder.path().join("journal");
    let policy = Policy::only([]).remember(Journal::Folder(journal.clone()));
    let mut session = Session::open(&crate::hostile::HOSTILE, &Options::new(), &policy).await.unwrap();
    let _ = session.put(folder.path().join("x"), "/x", &TransferOptions::default()).await;
    assert!(!journal.exists() && !Path::new("/tmp/hostile-mark").exists());
}
