//! A mixed workload under faults drawn from a seed. Whatever strikes, what is reported has to be true.
//!
//! | reported | has to be so |
//! |---|---|
//! | success | bit by bit what was asked for |
//! | a failure | as before |
//! | `outcome-unknown` | one of the two, nothing in between for a file; a folder may be partly there |
//!
//! And always: at most one job a submission, nothing of ours left beside anything, an end within a minute. `CHAOS_SEEDS` sets how many
//! seeds there are, `CHAOS_SEED` runs one of them alone; a failure prints its seed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, Result};
use aiida_firecrest_tests::{Rig, names, noise, seen};
use firecrest_simulator::{Fault, FaultKind, JobLag, RetryAfter, S3Fault, S3FaultKind};

const SEEDS: u64 = 200;
const AT_ONCE: usize = 6;
/// For one seed; most take a second or two.
const LONGEST: Duration = Duration::from_secs(240);

/// SplitMix64 (Steele, Lea, Flood 2014): a seed's numbers, the same everywhere.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len() as u64) as usize]
    }
}

const ENDPOINTS: &[&str] = &[
    "/ops/stat",
    "/ops/upload",
    "/ops/download",
    "/ops/extract",
    "/ops/compress",
    "/ops/ls",
    "/ops/rm",
    "/ops/mkdir",
    "/ops/checksum",
    "/ops/chmod",
    "/transfer/upload",
    "/transfer/download",
    "/jobs",
    "/attach",
    "/token",
    "",
];

fn plant(rig: &Rig, dice: &mut Dice) {
    for _ in 0..2 + dice.roll(5) {
        let few = Duration::from_millis(50 + dice.roll(200));
        let kind = match dice.roll(17) {
            0 => FaultKind::DropBefore,
            1 => FaultKind::Reset,
            2 | 3 => FaultKind::DropAfter,
            4 => FaultKind::Twice,
            5 => FaultKind::Delay(few),
            6 => FaultKind::Cut(dice.roll(2000)),
            7 => FaultKind::Stall { after: dice.roll(500), time: few },
            8 => FaultKind::Drip { bytes: 200, pause: Duration::from_millis(1) },
            9 => FaultKind::WrongLength(10),
            10 => FaultKind::RateLimited { form: RetryAfter::Seconds, seconds: 1 },
            11 => FaultKind::Gateway(*dice.pick(&[502, 503, 504])),
            12 => FaultKind::ServerError("Internal Server Error".into()),
            13 => FaultKind::Unauthenticated,
            14 => FaultKind::DoneButTimedOut,
            15 => FaultKind::JobsVanish,
            _ => FaultKind::DiskFull,
        };
        let (times, skip, mut endpoint) = (1 + dice.roll(2) as u32, dice.roll(4) as u32, *dice.pick(ENDPOINTS));
        // Nobody can tell a job that a proxy asked for twice from two.
        if kind == FaultKind::Twice && !endpoint.starts_with("/ops/") {
            endpoint = "/ops/upload";
        }
        rig.simulator.plant(Fault { times, skip, ..Fault::once(endpoint, kind) });
    }
    for _ in 0..dice.roll(3) {
        let kind = match dice.roll(6) {
            0 => S3FaultKind::DropBefore,
            1 => S3FaultKind::DropAfter,
            2 => S3FaultKind::CutAfter(dice.roll(1 << 20)),
            3 => S3FaultKind::SlowDown,
            4 => S3FaultKind::CompletedWithError,
            _ => S3FaultKind::Lose,
        };
        let method = if matches!(kind, S3FaultKind::CompletedWithError) { "POST" } else { *dice.pick(&["PUT", "GET"]) };
        rig.simulator.plant_s3(S3Fault { skip: dice.roll(2) as u32, ..S3Fault::once(method, kind) });
    }
}

/// What became of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Done,
    Failed,
    InDoubt,
}

fn word<T>(result: &Result<T>) -> Word {
    match result {
        Ok(_) => Word::Done,
        Err(Error::Plugin { error, .. }) if error.kind == ErrorKind::OutcomeUnknown => Word::InDoubt,
        Err(Error::Plugin { .. }) => Word::Failed,
        Err(error) => panic!("the plugin itself failed: {error}"),
    }
}

fn is_there<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Plugin { error, .. }) if error.kind == ErrorKind::AlreadyExists)
}

fn is_not_found<T>(result: &Result<T>) -> bool {
    matches!(result, Err(Error::Plugin { error, .. }) if error.kind == ErrorKind::NotFound)
}

fn picture(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            all.insert(name, fs::read(&path).unwrap_or_default());
        }
    }
    all
}

/// A file is one of the two, whole.
fn check_file(what: &str, word: Word, path: &Path, old: Option<&[u8]>, new: &[u8]) {
    let now = fs::read(path).ok();
    let (is_old, is_new) = (now.as_deref() == old, now.as_deref() == Some(new));
    let held = match word {
        Word::Done => is_new,
        Word::Failed => is_old,
        Word::InDoubt => is_old || is_new,
    };
    let size = now.map(|now| now.len());
    assert!(held, "{what} says {word:?}, and {} has {size:?} bytes (old: {is_old}, new: {is_new})", path.display());
}

async fn run(seed: u64, struck: &AtomicUsize, done: &AtomicUsize) {
    let mut dice = Dice(seed);
    let small = dice.roll(2) == 0;
    let system = if small { "cluster-account" } else { "cluster" };
    let mut rig = Rig::setup()
        .option("compute_resource", system)
        .option("request_timeout", 20)
        .knobs(|knobs| {
            knobs.job_lag = JobLag::NONE;
            knobs.queue_wait = Duration::from_millis(20);
            knobs.transfer_sleep = Duration::from_secs(1);
        })
        .open()
        .await;
    let options = TransferOptions::default();
    for round in 0..4 {
        plant(&rig, &mut dice);
        rig.simulator.clear_requests();
        let step = dice.roll(7);
        let mut log = format!("seed {seed}, round {round}, step {step}");
        let planted = rig.simulator.faults();
        log.push_str(&format!(", faults {planted:?}"));
        let what = log.as_str();
        match step {
            // A file over another.
            0 => {
                let new = noise(1 + dice.roll(50_000) as usize);
                let local = rig.local_file(&format!("f{round}"), &new, 0o644);
                let remote = rig.place(&format!("f{round}"), b"old");
                let put = rig.session.put(&local, &remote, &options).await;
                check_file(what, word(&put), Path::new(&remote), Some(b"old"), &new);
            }
            // A large one.
            1 => {
                let new = noise(if small { 9 << 20 } else { 6 << 20 });
                let local = rig.local_file(&format!("f{round}"), &new, 0o644);
                let remote = rig.place(&format!("f{round}"), b"old");
                let put = rig.session.put(&local, &remote, &options).await;
                check_file(what, word(&put), Path::new(&remote), Some(b"old"), &new);
            }
            // Down, over another.
            2 | 3 => {
                let size = if step == 2 { dice.roll(50_000) } else { 6 << 20 };
                let new = noise(size as usize);
                let remote = rig.place(&format!("f{round}"), &new);
                let local = rig.local_file(&format!("f{round}"), b"old", 0o644);
                let got = rig.session.get(&remote, &local, &options).await;
                check_file(what, word(&got), &local, Some(b"old"), &new);
            }
            // A folder there and back.
            4 => {
                let (source, remote) = (rig.local(&format!("t{round}")), rig.remote(&format!("t{round}")));
                for folder in 0..3 {
                    fs::create_dir_all(source.join(format!("d{folder}"))).unwrap();
                    for file in 0..10 {
                        fs::write(source.join(format!("d{folder}/it's {file}")), noise(file * 300)).unwrap();
                    }
                }
                let put = rig.session.put(&source, &remote, &options).await;
                if word(&put) == Word::Done {
                    assert_eq!(picture(&source), picture(Path::new(&remote)), "{what}");
                    let back = rig.local(&format!("b{round}"));
                    let got = rig.session.get(&remote, &back, &options).await;
                    match word(&got) {
                        Word::Done => assert_eq!(picture(&source), picture(&back), "{what}"),
                        _ => assert!(!back.exists(), "{what}: {got:?} left a folder"),
                    }
                } else {
                    rig.simulator.clear_faults();
                    fs::remove_dir_all(&remote).ok();
                }
            }
            // A job.
            5 => {
                let name = format!("chaos-{round}");
                let submission = Submission {
                    script: ScriptSource::Text(format!(
                        "#!/bin/bash\n#SBATCH --hold\n#SBATCH --job-name={name}\ntrue\n"
                    )),
                    working_directory: rig.simulator.home().to_owned(),
                    name: None,
                    account: None,
                    environment: Vec::new(),
                };
                let submitted = rig.session.submit(&submission).await;
                rig.simulator.clear_faults();
                let jobs = rig.session.jobs(&JobQuery::Mine).await.unwrap().jobs;
                let there: Vec<_> = jobs.iter().filter(|job| job.title.as_deref() == Some(&name)).collect();
                match word(&submitted) {
                    Word::Done => {
                        assert_eq!(there.len(), 1, "{what}");
                        assert_eq!(&there[0].job_id, submitted.as_ref().unwrap(), "{what}");
                    }
                    Word::Failed => assert_eq!(there.len(), 0, "{what}: {submitted:?}"),
                    Word::InDoubt => assert!(there.len() <= 1, "{what}"),
                }
            }
            // What the server says of itself.
            _ => {
                let folder = rig.place_directory(&format!("d{round}"));
                for file in 0..20 {
                    rig.place(&format!("d{round}/{file}"), b"1");
                }
                let listing = ListOptions { recursive: false, hidden: true, pattern: None };
                if let Ok(entries) = rig.session.list(&folder, &listing).await {
                    assert_eq!(entries.len(), 20, "{what}");
                }
                let fresh = format!("{folder}/new");
                let made = rig.session.mkdir(&fresh, false, false).await;
                match word(&made) {
                    Word::Done => assert!(Path::new(&fresh).is_dir(), "{what}"),
                    // Asked twice by a proxy, the server says the second time that it is there.
                    Word::Failed => assert!(!Path::new(&fresh).exists() || is_there(&made), "{what}: {made:?}"),
                    Word::InDoubt => {}
                }
                let removed = rig.session.remove_tree(&folder).await;
                match word(&removed) {
                    Word::Done => assert!(!Path::new(&folder).exists(), "{what}"),
                    // Asked twice by a proxy, the server says the second time that there is nothing.
                    Word::Failed => {
                        assert!(Path::new(&folder).exists() || is_not_found(&removed), "{what}: {removed:?}")
                    }
                    Word::InDoubt => {}
                }
            }
        }
        struck.fetch_add(rig.simulator.struck().len(), Ordering::Relaxed);
        rig.simulator.clear_faults();
        done.fetch_add(1, Ordering::Relaxed);
        for folder in [rig.simulator.home(), &rig.simulator.scratch(), rig.folder.path().to_str().unwrap()] {
            let left: Vec<_> = names(folder)
                .into_iter()
                .filter(|name| {
                    name.starts_with(".aiida-firecrest") || name.starts_with(".f7t") || name.ends_with(".part")
                })
                .collect();
            assert_eq!(left, [""; 0], "{what}: left in {folder}; asked {:?}", seen(&rig.simulator));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_strikes_what_is_reported_is_true() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seeds: Vec<u64> = match number("CHAOS_SEED") {
        Some(one) => vec![one],
        None => (0..number("CHAOS_SEEDS").unwrap_or(SEEDS)).collect(),
    };
    let next = AtomicU64::new(0);
    let (struck, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let failed = std::sync::Mutex::new(Vec::new());
    let worker = async || {
        while let Some(seed) = seeds.get(next.fetch_add(1, Ordering::Relaxed) as usize).copied() {
            use futures_util::FutureExt as _;
            let one = std::panic::AssertUnwindSafe(run(seed, &struck, &done)).catch_unwind();
            match tokio::time::timeout(LONGEST, one).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => failed.lock().unwrap().push(seed),
                Err(_) => {
                    eprintln!("seed {seed} hangs");
                    failed.lock().unwrap().push(seed);
                }
            }
        }
    };
    futures_util::future::join_all((0..AT_ONCE).map(|_| worker())).await;
    let (struck, done) = (struck.load(Ordering::Relaxed), done.load(Ordering::Relaxed));
    println!("{} seeds, {done} operations, {struck} faults struck", seeds.len());
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "seeds {failed:?}: run one with CHAOS_SEED");
}
