//! Transfers that meet the world: stops, cuts, small limits, a narrow memory, a hundred thousand files.

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aiida_firecrest_host::progress::{Answer, Status};
use aiida_firecrest_host::scheduler::JobQuery;
use aiida_firecrest_host::transport::{Command, OverwritePolicy, TransferOptions, Verification};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Origin, Policy, Session};
use aiida_firecrest_tests::{PATIENCE, Rig, failure, kind, names, noise, seen, tally};
use firecrest_simulator::{Fault, FaultKind, S3Fault, S3FaultKind};

/// The component's memory, whatever it moves.
const NARROW: usize = 16 << 20;

fn checked() -> TransferOptions {
    TransferOptions { verify: Some(true), ..TransferOptions::default() }
}

/// Nothing is left of the server's jobs or of ours, on either side.
fn assert_clean(rig: &Rig) {
    let mut folders = vec![rig.simulator.home().to_owned(), rig.simulator.scratch()];
    folders.push(rig.folder.path().to_str().unwrap().to_owned());
    for folder in folders {
        let left: Vec<_> = names(&folder)
            .into_iter()
            .filter(|name| name.starts_with(".aiida-firecrest") || name.starts_with(".f7t") || name.ends_with(".part"))
            .collect();
        assert_eq!(left, [""; 0], "left in {folder}");
    }
}

/// What the host was told, and when. It says stop as soon as `stop` says so.
#[allow(clippy::type_complexity)]
fn watched(
    session: &mut Session,
    stop: impl Fn(&Status) -> bool + Send + 'static,
) -> Arc<Mutex<Vec<(Instant, Status, bool)>>> {
    let told = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&told);
    session
        .on_progress(move |status| {
            let stopped = stop(status);
            heard.lock().unwrap().push((Instant::now(), status.clone(), stopped));
            if stopped { Answer::Stop } else { Answer::Proceed }
        })
        .unwrap();
    told
}

/// From the stop to now.
fn since_stop(told: &Mutex<Vec<(Instant, Status, bool)>>) -> Duration {
    let told = told.lock().unwrap();
    told.iter().find(|(_, _, stopped)| *stopped).expect("a stop").0.elapsed()
}

// ---- stop and progress

#[tokio::test]
async fn a_stop_is_heard_while_a_part_is_stuck_and_the_old_target_stays() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("large", &noise(24 << 20), 0o644), rig.place("large", b"old"));
    rig.simulator.plant_s3(S3Fault::once("PUT", S3FaultKind::Delay(PATIENCE)));
    let begun = Instant::now();
    let told = watched(&mut rig.session, move |_| begun.elapsed() > Duration::from_secs(1));
    assert_eq!(kind(rig.session.put(&local, &remote, &TransferOptions::default()).await), ErrorKind::Cancelled);
    assert!(since_stop(&told) < PATIENCE / 2, "the part was waited for");
    assert_eq!(fs::read(&remote).unwrap(), b"old");
    let reports = told.lock().unwrap().len();
    assert!(reports >= 5, "{reports} reports while nothing moved");
    assert_clean(&rig);
}

#[tokio::test]
async fn a_stop_in_a_download_leaves_the_old_file_and_nothing_beside_it() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("large", b"old", 0o644), rig.place("large", &noise(40 << 20)));
    let told = watched(&mut rig.session, |status| status.bytes_done > 1 << 20);
    rig.simulator.adjust(|knobs| knobs.s3_latency = Duration::from_millis(300));
    assert_eq!(kind(rig.session.get(&remote, &local, &TransferOptions::default()).await), ErrorKind::Cancelled);
    assert_eq!(fs::read(&local).unwrap(), b"old");
    let last = told.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((last.bytes_total, last.files_total), (Some(40 << 20), Some(1)));
    assert!(last.bytes_done < 40 << 20);
    assert_clean(&rig);
}

#[tokio::test]
async fn a_stop_between_the_archives_of_a_folder_leaves_no_archive() {
    let mut rig = Rig::setup().option("compute_resource", "cluster-account").open().await;
    let (source, remote) = (rig.local("tree"), rig.remote("tree"));
    fs::create_dir(&source).unwrap();
    for file in 0..40 {
        fs::write(source.join(format!("f{file}")), noise(100_000)).unwrap();
    }
    let told = watched(&mut rig.session, |status| status.files_done > 0);
    assert_eq!(kind(rig.session.put(&source, &remote, &TransferOptions::default()).await), ErrorKind::Cancelled);
    let last = told.lock().unwrap().last().unwrap().1.clone();
    assert_eq!((last.bytes_total, last.files_total), (Some(4_000_000), Some(40)));
    assert_clean(&rig);
}

#[tokio::test]
async fn progress_comes_at_most_ten_times_a_second_and_ends_with_all() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("large", &noise(30 << 20), 0o644), rig.remote("large"));
    let told = watched(&mut rig.session, |_| false);
    rig.session.put(&local, &remote, &checked()).await.unwrap();
    let back = rig.local("back");
    rig.session.get(&remote, &back, &checked()).await.unwrap();
    let told = told.lock().unwrap();
    for operation in ["put", "get"] {
        let of: Vec<_> = told.iter().filter(|(_, status, _)| status.operation == operation).collect();
        let (first, last) = (of[0], of[of.len() - 1]);
        assert_eq!((last.1.bytes_done, last.1.bytes_total), (30 << 20, Some(30 << 20)), "{operation}");
        assert_eq!((last.1.files_done, last.1.files_total, &last.1.path), (1, Some(1), &remote), "{operation}");
        assert!(of.is_sorted_by_key(|(_, status, _)| status.bytes_done), "{operation}");
        let longest = 2 + (last.0 - first.0).as_millis() / 100;
        assert!(of.len() as u128 <= longest, "{operation}: {} reports where {longest} are allowed", of.len());
    }
}

#[tokio::test]
async fn a_command_is_stopped_with_its_job_and_leaves_nothing() {
    let mut rig = Rig::open().await;
    let begun = Instant::now();
    let told = watched(&mut rig.session, move |_| begun.elapsed() > Duration::from_secs(1));
    let command = Command {
        line: "sleep 300".into(),
        working_directory: None,
        environment: Vec::new(),
        stdin: Vec::new(),
        time_limit: None,
    };
    assert_eq!(kind(rig.session.exec(&command).await), ErrorKind::Cancelled);
    assert!(since_stop(&told) < PATIENCE / 2);
    assert_eq!(told.lock().unwrap()[0].1.path, "sleep 300");
    assert!(seen(&rig.simulator).contains(&"DELETE compute/jobs/{id}".to_owned()));
    assert_clean(&rig);
}

#[tokio::test]
async fn a_command_past_its_time_leaves_nothing() {
    let mut rig = Rig::setup().knobs(|knobs| knobs.minute = Duration::from_millis(500)).open().await;
    let command = Command {
        line: "trap '' TERM; sleep 300".into(),
        working_directory: None,
        environment: Vec::new(),
        stdin: Vec::new(),
        time_limit: Some(60),
    };
    assert_eq!(kind(rig.session.exec(&command).await), ErrorKind::Timeout);
    assert_clean(&rig);
}

// ---- the object store's faults

#[tokio::test]
async fn parts_that_fail_are_sent_again_alone_and_a_completion_is_read() {
    let mut rig = Rig::setup().option("compute_resource", "cluster-account").open().await;
    let content = noise(40 << 20);
    let (local, remote) = (rig.local_file("large", &content, 0o750), rig.remote("large"));
    let unready = "<?xml version=\"1.0\"?>\n<Error><Code>InternalError</Code><Message>again</Message></Error>";
    rig.simulator.plant_s3(S3Fault { part: Some(1), ..S3Fault::once("PUT", S3FaultKind::DropBefore) });
    rig.simulator.plant_s3(S3Fault { part: Some(2), ..S3Fault::once("PUT", S3FaultKind::DropAfter) });
    let slow_down = S3FaultKind::Answer { status: 503, body: String::new() };
    rig.simulator.plant_s3(S3Fault { part: Some(3), ..S3Fault::once("PUT", slow_down) });
    rig.simulator.plant_s3(S3Fault::once("POST", S3FaultKind::Answer { status: 200, body: unready.into() }));
    let told = watched(&mut rig.session, |_| false);
    let put = rig.session.put(&local, &remote, &checked()).await.unwrap();
    assert_eq!(put.verified, Verification::Checksum);
    assert!(fs::read(&remote).unwrap() == content);
    assert_eq!(fs::metadata(&remote).unwrap().mode() & 0o777, 0o750);
    // What was lost is counted once.
    assert_eq!(told.lock().unwrap().last().unwrap().1.bytes_done, 40 << 20);
    assert_clean(&rig);
}

#[tokio::test]
async fn an_upload_that_cannot_be_leaves_the_old_target_and_names_the_store() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("large", &noise(6 << 20), 0o644), rig.place("large", b"old"));
    let denied = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
    rig.simulator.plant_s3(S3Fault::once("PUT", S3FaultKind::Answer { status: 403, body: denied.into() }));
    let error = rig.session.put(&local, &remote, &TransferOptions::default()).await.unwrap_err().to_string();
    assert!(error.contains("AccessDenied") && error.contains("Request has expired"), "{error}");
    assert!(!error.contains("X-Amz"), "{error}");
    assert_eq!(fs::read(&remote).unwrap(), b"old");
    assert_clean(&rig);
}

#[tokio::test]
async fn ranges_are_taken_up_at_their_last_byte() {
    let mut rig = Rig::open().await;
    let content = noise(40 << 20);
    let (remote, back) = (rig.place("large", &content), rig.local("back"));
    for cut in [1_000_000, 0, 3_000_001] {
        rig.simulator.plant_s3(S3Fault { skip: 1, ..S3Fault::once("GET", S3FaultKind::CutAfter(cut)) });
    }
    let got = rig.session.get(&remote, &back, &checked()).await.unwrap();
    assert_eq!(got.verified, Verification::Checksum);
    assert!(fs::read(&back).unwrap() == content);
    let ranges = rig.simulator.s3_requests().iter().filter(|request| request.method == "GET").count();
    assert!(ranges >= 5 + 2, "{ranges} requests for 5 ranges");
    assert_clean(&rig);
}

/// Whatever request of it fails: the caller's path is what the error is about, and no file of the server's own.
#[tokio::test]
async fn an_upload_that_breaks_while_its_job_is_awaited_is_about_the_target() {
    let mut rig = Rig::open().await;
    let (local, remote) = (rig.local_file("large", &noise(6 << 20), 0o644), rig.remote("large"));
    let denied = r#"{"errorType":"error","message":"Remote process failed with exit status:1 and error message:base64: x: Permission denied"}"#;
    let answer = FaultKind::Answer { status: 403, body: denied.into(), headers: Vec::new() };
    rig.simulator.plant(Fault::once("/ops/download", answer).times(9));
    let error = failure(rig.session.put(&local, &remote, &TransferOptions::default()).await);
    assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::PermissionDenied, Some(remote.as_str())));
    assert!(error.message.starts_with(&remote) && !error.message.contains(".f7t"), "{}", error.message);
    assert_clean(&rig);
}

/// The server gives up on a checksum after 5 s.
fn too_large_to_hash(rig: &Rig) {
    let body = r#"{"errorType":"error","message":"Command execution timeout limit exceeded.","data":null,"user":null}"#;
    let answer = FaultKind::Answer { status: 408, body: body.into(), headers: Vec::new() };
    rig.simulator.plant(Fault::once("/ops/checksum", answer).times(9));
}

#[tokio::test]
async fn the_job_that_hashes_waits_in_the_queue_beside_the_one_that_sends() {
    let mut rig = Rig::open().await;
    let content = noise(20 << 20);
    let (remote, back) = (rig.place("large", &content), rig.local("back"));
    too_large_to_hash(&rig);
    rig.simulator.adjust(|knobs| knobs.queue_wait = Duration::from_secs(2));
    let got = rig.session.get(&remote, &back, &checked()).await.unwrap();
    assert_eq!(got.verified, Verification::Checksum);
    assert!(fs::read(&back).unwrap() == content);
    let requests = seen(&rig.simulator);
    let first = |what: &str| requests.iter().position(|request| request == what).expect(what);
    // The transfer's logs are removed as soon as the object is there.
    assert!(first("POST compute/jobs") < first("DELETE filesystem/ops/rm"), "{requests:#?}");
    assert_clean(&rig);
}

/// Centres limit how many jobs a user may have: where it is one, the transfer is that one, and the next comes after it.
#[tokio::test]
async fn a_job_that_hashes_and_may_not_wait_beside_the_transfer_waits_after_it() {
    let mut rig = Rig::open().await;
    let content = noise(20 << 20);
    let (remote, back) = (rig.place("large", &content), rig.local("back"));
    too_large_to_hash(&rig);
    let text = "Unexpected Slurm command response. exit_status:1 std_err:sbatch: error: AssocMaxSubmitJobLimit\\nsbatch: error: \
        Batch job submission failed: Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)";
    let body = format!(r#"{{"errorType":"error","message":"{text}","data":null,"user":null}}"#);
    rig.simulator
        .plant(Fault::once("/jobs", FaultKind::Answer { status: 500, body, headers: Vec::new() }).method("POST"));
    let got = rig.session.get(&remote, &back, &checked()).await.unwrap();
    assert_eq!(got.verified, Verification::Checksum);
    assert!(fs::read(&back).unwrap() == content);
    let submissions = seen(&rig.simulator).iter().filter(|request| *request == "POST compute/jobs").count();
    assert_eq!(submissions, 2);
    assert_clean(&rig);
}

#[tokio::test]
async fn a_transfer_that_fails_takes_the_job_that_hashes_with_it() {
    let mut rig = Rig::open().await;
    let (remote, back) = (rig.place("large", &noise(20 << 20)), rig.local_file("back", b"old", 0o644));
    too_large_to_hash(&rig);
    // The fifth look for the object is refused, while both jobs wait.
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>".to_owned();
    rig.simulator.adjust(|knobs| knobs.queue_wait = Duration::from_secs(60));
    rig.simulator
        .plant_s3(S3Fault { skip: 4, ..S3Fault::once("GET", S3FaultKind::Answer { status: 403, body: denied }) });
    assert_eq!(kind(rig.session.get(&remote, &back, &checked()).await), ErrorKind::PermissionDenied);
    assert_eq!(fs::read(&back).unwrap(), b"old");
    let requests = seen(&rig.simulator);
    let count = |what: &str| requests.iter().filter(|request| *request == what).count();
    assert_eq!((count("POST compute/jobs"), count("DELETE compute/jobs/{id}")), (1, 2), "{requests:#?}");
    let jobs = rig.session.jobs(&JobQuery::Mine).await.unwrap().jobs;
    assert_eq!(jobs.iter().map(|job| job.raw_state.as_str()).collect::<Vec<_>>(), ["CANCELLED"; 2], "{jobs:?}");
    assert_clean(&rig);
}

/// `MIB` sets another size; the memory stays the same.
#[tokio::test]
async fn a_file_of_any_size_goes_and_comes_verified_within_a_narrow_memory() {
    let size: u64 = std::env::var("MIB").map_or(64, |mib| mib.parse().expect("a number")) << 20;
    let mut rig = Rig::setup()
        .option("compute_resource", "cluster-account")
        .policy(Policy::default().memory(NARROW).deadline(Duration::from_secs(3600)))
        .open()
        .await;
    let (local, remote, back) = (rig.local("large"), rig.remote("large"), rig.local("back"));
    let mut file = fs::File::create(&local).unwrap();
    for part in 0..size >> 20 {
        // Each MiB is another.
        std::io::Write::write_all(&mut file, &noise((1 << 20) - 8)).unwrap();
        std::io::Write::write_all(&mut file, &part.to_le_bytes()).unwrap();
    }
    let begun = Instant::now();
    let put = rig.session.put(&local, &remote, &checked()).await.unwrap();
    let halfway = begun.elapsed();
    let got = rig.session.get(&remote, &back, &checked()).await.unwrap();
    for moved in [put, got] {
        assert_eq!((moved.bytes, moved.verified), (size, Verification::Checksum));
    }
    println!("{} MiB: put in {halfway:.1?}, got in {:.1?}", size >> 20, begun.elapsed() - halfway);
    same(&local, Path::new(&remote));
    same(&local, &back);
    assert_clean(&rig);
}

// ---- streams

#[tokio::test]
async fn streams_have_no_limit() {
    let mut rig = Rig::setup().policy(Policy::default().memory(NARROW)).open().await;
    let content = noise(20 << 20);
    let remote = rig.remote("large");
    let stream = Cursor::new(content.clone());
    rig.session.write_stream(&remote, stream, content.len() as u64, Some(0o640)).await.unwrap();
    assert!(fs::read(&remote).unwrap() == content);
    assert_eq!(fs::metadata(&remote).unwrap().mode() & 0o777, 0o640);
    for (offset, length, expected) in [
        (0, None, &content[..]),
        (5_000_000, Some(7_000_001), &content[5_000_000..12_000_001]),
        (content.len() as u64 - 3, Some(10), &content[content.len() - 3..]),
        (content.len() as u64 + 3, None, &[]),
    ] {
        let (writer, mut reader) = tokio::io::duplex(64 * 1024);
        let collect = tokio::spawn(async move {
            let mut all = Vec::new();
            tokio::io::AsyncReadExt::read_to_end(&mut reader, &mut all).await.unwrap();
            all
        });
        let count = rig.session.read_stream(&remote, offset, length, writer).await.unwrap();
        assert_eq!(count, expected.len() as u64);
        assert!(collect.await.unwrap() == expected, "{offset} {length:?}");
    }
    assert_clean(&rig);
}

// ---- folders of every size

/// Folders with files of that size in each.
fn fill(root: &Path, folders: usize, files: usize, content: &[u8]) {
    for folder in 0..folders {
        let folder = root.join(format!("it's {folder}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            fs::write(folder.join(format!("f{file}")), content).unwrap();
        }
    }
}

fn same(a: &Path, b: &Path) {
    let status = std::process::Command::new("diff").args(["-r", "--no-dereference"]).args([a, b]).output().unwrap();
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
}

#[tokio::test]
async fn a_folder_that_packs_well_comes_packed() {
    let mut rig = Rig::open().await;
    let (source, back) = (rig.remote("tree"), rig.local("back"));
    fill(Path::new(&source), 5, 20, "the same line again and again\n".repeat(4000).as_bytes());
    let (got, requests) = rig.count(async |session| session.get(&source, &back, &checked()).await).await;
    assert_eq!(got.unwrap().verified, Verification::Checksum);
    let tally = tally(&requests);
    assert!(!tally.iter().any(|(_, name)| name.contains("jobs") || name.contains("transfer")), "{tally:?}");
    assert!(tally.contains(&(2, "POST filesystem/ops/compress")), "{tally:?}");
    same(&back, Path::new(&source));
    assert_clean(&rig);
}

#[tokio::test]
async fn a_folder_past_one_download_comes_through_the_store() {
    let mut rig = Rig::setup().policy(Policy::default().memory(NARROW)).open().await;
    let (source, back) = (rig.remote("tree"), rig.local("back"));
    fill(Path::new(&source), 3, 4, &noise(4 << 20));
    rig.simulator.plant_s3(S3Fault { skip: 1, ..S3Fault::once("GET", S3FaultKind::CutAfter(9_000_000)) });
    let got = rig.session.get(&source, &back, &checked()).await.unwrap();
    assert_eq!((got.files, got.directories, got.verified), (12, 4, Verification::Checksum));
    same(&back, Path::new(&source));
    assert_clean(&rig);
}

#[tokio::test]
async fn a_folder_past_one_download_comes_in_pieces_where_there_is_no_store() {
    let mut rig = Rig::setup()
        .knobs(|knobs| knobs.systems.iter_mut().for_each(|system| system.object_store = false))
        .policy(Policy::default().memory(NARROW))
        .open()
        .await;
    let (source, back) = (rig.remote("tree"), rig.local("back"));
    fill(Path::new(&source), 3, 4, &noise(1 << 20));
    let (got, requests) = rig.count(async |session| session.get(&source, &back, &checked()).await).await;
    assert_eq!((got.as_ref().unwrap().files, got.unwrap().verified), (12, Verification::Checksum));
    assert!(!requests.iter().any(|request| request.contains("transfer")), "{requests:?}");
    same(&back, Path::new(&source));
    assert_clean(&rig);
}

#[tokio::test]
async fn what_the_server_cannot_pack_in_its_time_a_job_packs() {
    let mut rig = Rig::open().await;
    let (source, back) = (rig.remote("tree"), rig.local("back"));
    fill(Path::new(&source), 2, 10, &noise(1000));
    let late = FaultKind::Answer { status: 408, body: TIME_LIMIT.into(), headers: Vec::new() };
    rig.simulator.plant(Fault::once("/ops/compress", late));
    let got = rig.session.get(&source, &back, &TransferOptions::default()).await.unwrap();
    assert_eq!(got.files, 20);
    same(&back, Path::new(&source));
    assert_clean(&rig);
}

const TIME_LIMIT: &str =
    r#"{"errorType":"error","message":"Command execution timeout limit exceeded.","data":null,"user":null}"#;

/// `FILES` sets another number: 100,000 take minutes where a file system is slow at them, most of it in making and removing them.
#[tokio::test]
async fn ten_thousand_files_go_and_come_within_a_narrow_memory() {
    let folders: u64 = std::env::var("FILES").map_or(10, |files| files.parse::<u64>().expect("a number") / 1000);
    let mut rig = Rig::setup().policy(Policy::default().memory(NARROW)).open().await;
    let (source, remote, back) = (rig.local("tree"), rig.remote("tree"), rig.local("back"));
    for folder in 0..folders {
        let folder = source.join(format!("{folder:02}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..1000 {
            fs::write(folder.join(format!("{file}")), [b'x'; 16]).unwrap();
        }
    }
    let all = (1000 * folders, folders + 1, 16_000 * folders);
    let begun = Instant::now();
    let put = rig.session.put(&source, &remote, &TransferOptions::default()).await.unwrap();
    assert_eq!((put.files, put.directories, put.bytes), all);
    let halfway = begun.elapsed();
    let got = rig.session.get(&remote, &back, &TransferOptions::default()).await.unwrap();
    assert_eq!((got.files, got.directories, got.bytes), all);
    println!("{} files: put in {halfway:.1?}, got in {:.1?}", all.0, begun.elapsed() - halfway);
    same(&back, &source);
    assert_clean(&rig);
}

// ---- links and times

#[tokio::test]
async fn a_link_itself_goes_and_comes_when_it_is_not_followed() {
    let mut rig = Rig::open().await;
    let kept = TransferOptions { dereference: false, ..TransferOptions::default() };
    let (link, remote, back) = (rig.local("link"), rig.place("there", b"old"), rig.local("back"));
    symlink("no/where's", &link).unwrap();
    let put = rig.session.put(&link, &remote, &kept).await.unwrap();
    assert_eq!((put.files, put.bytes), (1, 0));
    assert_eq!(fs::read_link(&remote).unwrap(), Path::new("no/where's"));
    rig.session.get(&remote, &back, &kept).await.unwrap();
    assert_eq!(fs::read_link(&back).unwrap(), Path::new("no/where's"));
    // Into a directory that is there, under its own name.
    let folder = rig.place_directory("folder");
    rig.session.put(&link, &folder, &kept).await.unwrap();
    assert_eq!(fs::read_link(format!("{folder}/link")).unwrap(), Path::new("no/where's"));
    let once = TransferOptions { overwrite: OverwritePolicy::Fail, ..kept };
    assert_eq!(kind(rig.session.put(&link, &remote, &once).await), ErrorKind::AlreadyExists);
    assert_eq!(kind(rig.session.get(&remote, &back, &once).await), ErrorKind::AlreadyExists);
    // Followed, it leads nowhere.
    assert_eq!(kind(rig.session.put(&link, &remote, &TransferOptions::default()).await), ErrorKind::NotFound);
    assert_clean(&rig);
}

#[tokio::test]
async fn files_of_a_folder_keep_their_times() {
    let mut rig = Rig::open().await;
    let (source, remote, back) = (rig.local("tree"), rig.remote("tree"), rig.local("back"));
    fs::create_dir(&source).unwrap();
    let file = fs::File::create(source.join("file")).unwrap();
    let then = std::time::UNIX_EPOCH + Duration::from_secs(1_600_000_000);
    file.set_modified(then).unwrap();
    rig.session.put(&source, &remote, &TransferOptions::default()).await.unwrap();
    rig.session.get(&remote, &back, &TransferOptions::default()).await.unwrap();
    for folder in [Path::new(&remote), &back] {
        assert_eq!(fs::metadata(folder.join("file")).unwrap().modified().unwrap(), then, "{}", folder.display());
    }
    // A folder is as old as it was, and not of 1970.
    assert!(fs::metadata(&remote).unwrap().mtime() > 1_700_000_000);
}

// ---- from cluster to cluster

#[tokio::test]
async fn files_and_folders_of_every_size_go_from_one_cluster_to_another() {
    let there = Rig::open().await;
    let origins = [there.simulator.url(), &there.simulator.token_uri(), there.simulator.s3_url()].map(str::to_owned);
    let policy = origins.iter().fold(Policy::default(), |policy, origin| policy.allow(Origin::of_url(origin).unwrap()));
    let mut rig = Rig::setup().policy(policy.memory(NARROW)).open().await;
    let other = rig.session.open_peer(&there.options(), None).await.unwrap();
    let (small, large) = (rig.place("small", b"few"), rig.place("large", &noise(12 << 20)));
    fs::set_permissions(&large, fs::Permissions::from_mode(0o700)).unwrap();
    let tree = rig.remote("tree");
    fill(Path::new(&tree), 3, 3, &noise(1 << 20));
    for (source, name) in [(&small, "small"), (&large, "large"), (&tree, "tree")] {
        let target = there.remote(name);
        let moved = rig.session.copy_to(source, &other, &target, &checked()).await.unwrap();
        assert_eq!(moved.verified, Verification::Checksum, "{name}");
        same(Path::new(&target), Path::new(source));
    }
    assert_eq!(fs::metadata(there.remote("large")).unwrap().mode() & 0o777, 0o700);
    assert_clean(&rig);
    assert_clean(&there);
}
