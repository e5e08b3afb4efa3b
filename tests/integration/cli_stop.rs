//! Ctrl-C in the middle of what the command line does, and the bar that a person sees.

use std::fs;
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use aiida_firecrest_tests::{Rig, eventually, in_time, names, noise, seen};
use serde_json::{Value, json};

use crate::desk::{Desk, finished, interrupt, picture, text};

/// Past the direct limits of both ways, and three parts on the account's system.
const LARGE: usize = 20 << 20;

/// Ctrl-C, and what comes of it: the exit code and one word, after what it says of cleaning up.
async fn stopped(child: Child) -> Output {
    interrupt(&child);
    let output = in_time("its end", finished(child)).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{stderr}");
    assert_eq!(stderr.lines().last(), Some("aiida-firecrest: cancelled"), "{stderr}");
    for line in stderr.lines() {
        assert!(line.starts_with("aiida-firecrest: "), "{stderr}");
    }
    output
}

/// A request of that end has come.
async fn asked(desk: &Desk, end: &str, times: usize) {
    let done = || seen(&desk.simulator).iter().filter(|request| request.ends_with(end)).count() >= times;
    eventually(end, done).await;
}

/// The object store works on something.
async fn stored(desk: &Desk, method: &str) {
    eventually(method, || {
        desk.simulator.s3_requests().iter().any(|request| request.method == method && !request.from_job)
    })
    .await;
}

fn slow_store() -> aiida_firecrest_tests::Setup {
    Rig::setup().knobs(|knobs| knobs.s3_latency = Duration::from_secs(2))
}

// ---- Ctrl-C

#[tokio::test]
async fn a_large_put_that_is_stopped_leaves_the_old_target_and_nothing_else() {
    let desk = Desk::with(slow_store()).await;
    let (local, remote) = (desk.file("large", noise(LARGE)), desk.place("large", b"old"));
    let child = desk.start(&["--system", "cluster-account", "put", &local, &remote], Stdio::null());
    stored(&desk, "PUT").await;
    let output = stopped(child).await;
    assert_eq!(text(&output.stdout), "");
    assert_eq!(fs::read(&remote).unwrap(), b"old");
    assert_eq!(names(desk.simulator.home()), ["large"]);
    desk.assert_clean();
}

#[tokio::test]
async fn a_large_get_that_is_stopped_leaves_the_old_target_and_nothing_else() {
    let desk = Desk::with(slow_store()).await;
    let (local, remote) = (desk.file("large", "old"), desk.place("large", &noise(LARGE)));
    let child = desk.start(&["--json", "get", &remote, &local], Stdio::null());
    // Not the looks for the object, which come before.
    eventually("the object", || {
        let requests = desk.simulator.s3_requests();
        requests.iter().any(|request| request.method == "GET" && request.status < 400 && !request.from_job)
    })
    .await;
    let output = stopped(child).await;
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&document["error"]["kind"], &document["error"]["exit_code"]), (&json!("cancelled"), &json!(130)));
    assert_eq!(fs::read(&local).unwrap(), b"old");
    assert_eq!(names(desk.folder.path()), ["config.json", "large"]);
    desk.assert_clean();
}

/// Twelve megabytes: several archives up, file by file down.
fn tree(desk: &Desk) -> String {
    let root = desk.folder("tree", &[]);
    for i in 0..30 {
        fs::write(desk.path(&format!("tree/file{i:02}")), noise(400_000)).unwrap();
    }
    root
}

#[tokio::test]
async fn a_folder_whose_put_is_stopped_leaves_no_archive() {
    let desk = Desk::open().await;
    let source = tree(&desk);
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(500));
    let remote = desk.remote("tree");
    let child = desk.start(&["put", "-r", &source, &remote], Stdio::null());
    asked(&desk, "ops/upload", 2).await;
    stopped(child).await;
    desk.assert_clean();
    assert!(names(desk.simulator.home()).iter().all(|name| name == "tree"), "{:?}", names(desk.simulator.home()));
}

#[tokio::test]
async fn a_folder_whose_get_is_stopped_is_not_there() {
    let desk = Desk::open().await;
    let remote = desk.place_directory("tree");
    for i in 0..30 {
        desk.place(&format!("tree/file{i:02}"), &noise(400_000));
    }
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(500));
    let child = desk.start(&["get", "-r", &remote, "back"], Stdio::null());
    asked(&desk, "transfer/download", 1).await;
    stopped(child).await;
    assert_eq!(names(desk.folder.path()), ["config.json"]);
    desk.assert_clean();
}

#[tokio::test]
async fn a_sync_that_is_stopped_leaves_nothing_of_its_own() {
    let desk = Desk::open().await;
    let source = tree(&desk);
    let remote = desk.remote("tree");
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(500));
    let child = desk.start(&["sync", &source, &remote], Stdio::null());
    asked(&desk, "ops/upload", 2).await;
    stopped(child).await;
    desk.assert_clean();

    desk.simulator.adjust(|knobs| knobs.latency = Duration::ZERO);
    desk.ok(&["sync", &source, &remote]).await;
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(500));
    desk.simulator.clear_requests();
    let child = desk.start(&["sync", "--pull", "back", &remote], Stdio::null());
    asked(&desk, "ops/download", 4).await;
    stopped(child).await;
    desk.assert_clean();
    // What had arrived is whole.
    let there = picture(&remote);
    if desk.path("back").exists() {
        for (path, what) in picture(desk.path("back")) {
            assert_eq!(there.get(&path), Some(&what), "{path}");
        }
    }
}

#[tokio::test]
async fn a_command_that_is_stopped_says_what_becomes_of_its_job() {
    let desk = Desk::open().await;
    let mark = desk.remote("started");
    let child = desk.start(&["exec", &format!("touch {mark}; sleep 600")], Stdio::null());
    eventually("the job", || fs::exists(&mark).unwrap()).await;
    let output = stopped(child).await;
    let stderr = text(&output.stderr);
    let jobs = desk.json(&["jobs"]).await;
    let goes_on = jobs["jobs"].as_array().unwrap().iter().any(|job| job["job_state"] == "running");
    assert_eq!(goes_on, stderr.contains("may go on"), "{stderr} {jobs}");
    if !goes_on {
        desk.assert_clean();
    }
}

/// Where nothing has begun, there is nothing to wait for.
#[tokio::test]
async fn a_listing_is_stopped_at_once() {
    let desk = Desk::open().await;
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_secs(30));
    let child = desk.start(&["ls", desk.simulator.home()], Stdio::null());
    asked(&desk, "token", 1).await;
    let start = std::time::Instant::now();
    let output = stopped(child).await;
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(text(&output.stderr), "aiida-firecrest: cancelled\n");
}

// ---- the bar

/// What a terminal shows, as the texts between carriage returns and escapes.
fn drawn(shown: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut rest = shown.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => {
                // CSI: up to its letter.
                while rest.next().is_some_and(|c| !c.is_ascii_alphabetic()) {}
                lines.push(String::new());
            }
            '\r' | '\n' => lines.push(String::new()),
            c => lines.last_mut().unwrap().push(c),
        }
    }
    lines.into_iter().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The frames of the bar, and what stays on the screen below it.
fn frames(shown: &str) -> (Vec<String>, Vec<String>) {
    let is_bar = |line: &String| line.contains("B/s") || line.starts_with(|c: char| ('⠁'..='⣿').contains(&c));
    drawn(shown).into_iter().partition(is_bar)
}

#[tokio::test]
async fn a_person_sees_a_bar_with_rate_and_time_left_for_a_file() {
    let desk = Desk::with(Rig::setup().knobs(|knobs| knobs.s3_latency = Duration::from_millis(700))).await;
    let (local, remote) = (desk.file("large", noise(LARGE)), desk.remote("large"));
    for arguments in [
        ["--system", "cluster-account", "put", &local, &remote],
        ["--system", "cluster-account", "get", &remote, "back"],
    ] {
        let (shown, code) = desk.on_a_terminal(&arguments).await;
        let (frames, rest) = frames(&shown);
        assert_eq!(code, 0, "{shown:?}");
        assert!(frames.iter().any(|frame| frame.contains("/20.97 MB")), "{frames:#?}");
        assert!(
            frames.iter().any(|frame| frame.contains(&format!("{} ", arguments[2])) && frame.contains("/s")),
            "{frames:#?}"
        );
        assert!(frames.iter().any(|frame| frame.contains(" left")), "{frames:#?}");
        // At the end the bar is gone, and the summary stands alone.
        assert_eq!(rest, ["1 file, 21.0 MB, verified by checksum"], "{shown:?}");
    }
    assert_eq!(fs::read(desk.path("back")).unwrap(), fs::read(&local).unwrap());
}

#[tokio::test]
async fn a_person_sees_a_bar_that_counts_the_files_of_a_tree() {
    let desk = Desk::open().await;
    let (source, remote) = (tree(&desk), desk.remote("tree"));
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(300));
    let (shown, code) = desk.on_a_terminal(&["put", "-r", &source, &remote]).await;
    let (frames_up, rest) = frames(&shown);
    assert_eq!(code, 0, "{shown:?}");
    assert!(frames_up.iter().any(|frame| frame.contains("/30 files")), "{frames_up:#?}");
    assert_eq!(rest, ["30 files, 1 directory, 12.0 MB, verified by checksum"], "{shown:?}");
    let (shown, code) = desk.on_a_terminal(&["get", "-r", &remote, "back"]).await;
    let (frames_down, rest) = frames(&shown);
    assert_eq!(code, 0, "{shown:?}");
    assert!(frames_down.iter().any(|frame| frame.contains(" files") && frame.contains("/s")), "{frames_down:#?}");
    assert!(rest.len() == 1 && rest[0].starts_with("30 files"), "{shown:?}");
    fs::write(desk.path("tree/file03"), noise(1_000_000)).unwrap();
    fs::write(desk.path("tree/file04"), noise(1_000_000)).unwrap();
    let (shown, code) = desk.on_a_terminal(&["sync", &source, &remote]).await;
    let (frames_sync, rest) = frames(&shown);
    assert_eq!(code, 0, "{shown:?}");
    assert!(frames_sync.iter().any(|frame| frame.contains("/2 files")), "{frames_sync:#?}");
    assert!(rest.last().is_some_and(|line| line.starts_with("2 copied, 2.0 MB")), "{shown:?}");
}

#[tokio::test]
async fn after_a_failure_the_bar_is_gone_and_the_error_stands_on_a_line_of_its_own() {
    let desk = Desk::open().await;
    let source = tree(&desk);
    desk.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(300));
    let file = desk.place("file", b"x");
    for arguments in [vec!["put", "-r", &source, &file], vec!["put", "-r", &source, "/no/such/place"]] {
        let (shown, code) = desk.on_a_terminal(&arguments).await;
        assert_ne!(code, 0);
        let last = shown.trim_end().rsplit(['\n', '\r']).next().unwrap();
        let last = drawn(last).pop().unwrap();
        assert!(last.starts_with("aiida-firecrest: "), "{shown:?}");
    }
}

/// Neither a file nor a program wants one.
#[tokio::test]
async fn nothing_is_drawn_but_for_a_person() {
    let desk = Desk::open().await;
    let (source, remote) = (tree(&desk), desk.remote("tree"));
    // `ok` wants an empty stderr.
    let said = desk.ok(&["put", "-r", &source, &remote]).await;
    assert!(!said.contains(['\u{1b}', '\r', '█']), "{said}");
    let (shown, code) = desk.on_a_terminal(&["--json", "get", "-r", &remote, "back"]).await;
    assert_eq!(code, 0);
    assert!(!shown.contains(['\u{1b}', '█']), "{shown:?}");
    let document: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(document["files"], 30);
}
