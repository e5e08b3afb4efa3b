//! The conformance kit against the simulator: every promise is kept, and each can be broken.

use std::process::Stdio;
use std::time::Duration;

use aiida_firecrest_host::Policy;
use aiida_firecrest_host::conformance::{Ended, Report, Settings, Verdict, behaviours, run};
use aiida_firecrest_host::policy::Folder;
use aiida_firecrest_tests::{Rig, Setup, eventually, in_time, names, options, plugin, seen};
use firecrest_simulator::{Fault, FaultKind, Knobs};
use serde_json::Value;

use crate::desk::{Desk, finished, interrupt, text};
use crate::local;

/// A cluster where no job waits for another, with the accounting's lag.
fn wide() -> Setup {
    Rig::setup().knobs(widen)
}

fn widen(knobs: &mut Knobs) {
    knobs.nodes = 100;
    // The whole kit runs here at once, and on a busy machine an upload of 4 MB is not done in the real server's 5 s.
    knobs.command_time_limit = Duration::from_secs(60);
    knobs.queue_wait = Duration::from_millis(1);
}

fn settings(only: &[&str]) -> Settings {
    Settings {
        only: only.iter().map(|&pattern| pattern.to_owned()).collect(),
        queue_patience: Duration::from_secs(600),
        settle: Duration::from_millis(200),
        ..Settings::default()
    }
}

async fn kit(rig: &Rig, settings: &Settings) -> Report {
    run(plugin(), &options(&rig.simulator), &Policy::default(), settings, |_| {}).await.expect("a run")
}

/// Nothing is left, and nothing of others' was touched.
#[track_caller]
fn assert_clean(rig: &Rig, before: &[String]) {
    assert_eq!(names(rig.simulator.home()), before);
    assert_eq!(names(rig.simulator.scratch()), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_is_kept_and_nothing_is_left() {
    let rig = wide().open().await;
    let kept = rig.place("kept", b"not the kit's");
    // The folder that the option temp_directory names: where it is missing it is made, and stays.
    rig.place_directory("tmp");
    let others = rig.simulator.add_jobs(1, "RUNNING");
    let report = kit(&rig, &settings(&[])).await;
    println!("{report}");
    assert_eq!(report.failures().map(|(one, _)| one.behaviour.id()).collect::<Vec<_>>(), [""; 0], "{report}");
    assert_eq!((report.count("pass"), report.ended.len()), (behaviours().count(), behaviours().count()), "{report}");
    assert_eq!(report.cleanup.left, [""; 0]);
    assert!(!report.cleanup.cancelled.contains(&others[0]), "another's job was cancelled");
    assert_clean(&rig, &["kept".to_owned(), "tmp".to_owned()]);
    assert_eq!(std::fs::read(kept).unwrap(), b"not the kit's");
    let junit = quick_junit::Report::deserialize_from_str(&report.junit().unwrap()).expect("JUnit's XML");
    assert_eq!((junit.tests, junit.failures), (report.ended.len(), 0));
    let document = report.json();
    let sums = ["pass", "fail", "unsupported", "undecided"].map(|name| document[name].as_u64().unwrap() as usize);
    assert_eq!(sums.iter().sum::<usize>(), report.ended.len());
}

/// What a server tells of its limits is what holds, also where it is not what FirecREST has as shipped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_system_with_limits_of_its_own_keeps_them() {
    let narrow = |knobs: &mut Knobs| {
        widen(knobs);
        knobs.systems[0].max_ops_file_size = 1 << 20;
    };
    let rig = Rig::setup().knobs(narrow).open().await;
    let only = ["read", "write", "read-stream", "write-stream", "put", "get", "copy"];
    let report =
        kit(&rig, &settings(&only.map(|operation| format!("{operation}/*")).each_ref().map(String::as_str))).await;
    assert_eq!(report.failures().map(|(one, _)| one.behaviour.id()).collect::<Vec<_>>(), [""; 0], "{report}");
    assert_eq!(report.count("pass"), report.ended.len(), "{report}");
}

/// A server that breaks one endpoint breaks what is promised through it, and the evidence says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_group_can_fail() {
    for (end, behaviour) in [
        ("/ops/stat", "stat/tells-a-files-attributes"),
        ("/ops/stat", "exists/is-true-for-what-is-there"),
        ("/ops/ls", "list/hides-hidden-names"),
        ("/ops/ls", "glob/finds-what-matches"),
        ("/ops/checksum", "checksum/is-sha256-in-lower-case"),
        ("/ops/chmod", "chmod/sets-all-permission-bits"),
        ("/ops/symlink", "symlink/keeps-an-absolute-target"),
        ("/ops/rm", "remove/takes-a-file"),
        ("/ops/rm", "remove-tree/takes-a-single-file"),
        ("/ops/upload", "write/replaces-a-file"),
        ("/ops/download", "read/brings-what-was-written"),
        ("/ops/download", "read-stream/brings-a-file-or-a-piece"),
        ("/ops/upload", "write-stream/makes-a-file-with-its-mode"),
        ("/ops/upload", "put/brings-content-and-mode"),
        ("/ops/download", "get/replaces-in-one-step"),
        ("/ops/extract", "put/of-a-folder-counts"),
        ("/ops/upload", "names/in-unicode"),
        ("/ops/upload", "copy-to/brings-a-file-to-another-session"),
        ("/ops/compress", "compress/packs-with-gzip"),
        ("/ops/extract", "extract/makes-its-directory"),
        ("/jobs", "submit/runs-a-script-to-its-end"),
        ("/jobs", "exec/leaves-output-and-exit-code"),
        ("/partitions", "partitions/have-names-and-states"),
        ("/nodes", "nodes/have-names-and-states-too"),
        ("/userinfo", "whoami/is-who-check-told"),
    ] {
        let rig = wide().open().await;
        // `check` and the run's folder come first; what the kit itself needs to clean up is left alone at the end.
        let broken = FaultKind::ServerError("broken for the test".into());
        let skip = u32::from(end == "/userinfo");
        rig.simulator.plant(Fault { skip, ..Fault::once(end, broken).times(1000) });
        let report = kit(&rig, &settings(&[behaviour])).await;
        let [one] = &report.ended[..] else { panic!("{behaviour}: {report}") };
        let Verdict::Fail(evidence) = &one.verdict else { panic!("{behaviour} with {end}: {report}") };
        assert!(!evidence.did.is_empty() && !evidence.expected.is_empty(), "{report}");
        assert!(evidence.requests.iter().any(|request| request.contains(end)), "{behaviour}: {report}");
        let xml = report.junit().unwrap();
        let junit = quick_junit::Report::deserialize_from_str(&xml).expect("JUnit's XML");
        assert_eq!((junit.tests, junit.failures), (1, 1), "{xml}");
    }
}

#[tokio::test]
async fn the_command_prints_writes_and_exits() {
    let desk = Desk::with(wide()).await;
    let only = ["conformance", "--settle", "200ms", "--only", "mkdir/*", "--only", "read-link"];
    let report = desk.ok(&only).await;
    assert!(report.contains("\nmkdir\n  pass") && report.contains(" 0 fail"), "{report}");
    let junit = desk.local("report.xml");
    let document = desk.json(&[&only[..], &["--junit", junit.to_str().unwrap()]].concat()).await;
    assert_eq!((document["fail"].as_u64(), document["operations"][0]["operation"].as_str()), (Some(0), Some("mkdir")));
    assert!(document["operations"][0]["behaviours"][0]["promise"].is_string(), "{document}");
    let junit = quick_junit::Report::deserialize_from_str(&std::fs::read_to_string(junit).unwrap()).unwrap();
    assert_eq!(junit.tests as u64, document["pass"].as_u64().unwrap());
    assert_clean(&desk, &[]);
    desk.fails(2, &["conformance", "--only", "no such behaviour"]).await;
    let list = desk.ok(&["conformance", "--list"]).await;
    assert_eq!(list.lines().count(), 2 * behaviours().count());

    desk.simulator.plant(Fault::once("/ops/symlink", FaultKind::ServerError("broken".into())).times(9));
    let failed = desk.run(&["conformance", "--settle", "200ms", "--only", "symlink/keeps*"]).await;
    assert_eq!(failed.status.code(), Some(12));
    let (stdout, stderr) = (text(&failed.stdout), text(&failed.stderr));
    assert!(stdout.contains("did       symlink") && stdout.contains("POST /filesystem"), "{stdout}");
    assert_eq!(stderr.trim(), "aiida-firecrest: 1 behaviours failed");
    assert!(!stdout.contains(desk.simulator.client_secret()), "{stdout}");
}

#[tokio::test]
async fn what_is_to_be_kept_is_kept() {
    let desk = Desk::with(wide()).await;
    let document: Value = desk.json(&["conformance", "--keep", "--only", "mkdir/makes-a-directory"]).await;
    let folder = document["folder"].as_str().unwrap();
    assert!(document["cleanup"]["kept"].as_bool().unwrap() && std::fs::exists(folder).unwrap(), "{document}");
}

#[tokio::test]
async fn a_run_that_is_stopped_cancels_its_jobs_and_leaves_nothing() {
    let desk = Desk::with(wide()).await;
    let child = desk.start(&["conformance", "--only", "wait/for-started*", "--only", "cancel/ends*"], Stdio::null());
    let submitted = || seen(&desk.simulator).iter().filter(|request| *request == "POST compute/jobs").count() == 2;
    eventually("two jobs", submitted).await;
    interrupt(&child);
    let output = in_time("its end", finished(child)).await;
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(130), "{stdout}{stderr}");
    assert!(stdout.contains("undecided"), "{stdout}");
    assert_clean(&desk, &[]);
}

/// What the plugin in Python has not, for it has no server, no processes, no owners, and what the sandbox lets it do.
const NOT_WITHOUT_A_SERVER: [&str; 30] = [
    "check/names-a-malformed-number",
    "check/names-the-systems-there-are",
    "check/refuses-wrong-credentials",
    "check/says-that-nobody-answers",
    "stat/below-a-closed-directory-is-denied",
    "exists/is-an-error-where-one-cannot-look",
    "list/fails-on-a-closed-directory",
    "mkdir/in-a-closed-directory-is-denied",
    "symlink/keeps-an-absolute-target",
    "chmod/sets-all-permission-bits",
    "chown/to-myself-is-allowed",
    "chown/to-root-is-denied",
    "read/of-a-closed-file-is-denied",
    "put/into-a-closed-directory-is-denied",
    "get/of-a-closed-file-leaves-the-old-one",
    "compress/*",
    "extract/*",
    "exec/*",
    "progress/stops-a-command",
    "script/is-what-aiida-writes",
    "script/runs-codes-as-told",
    "script/runs-codes-in-parallel",
    "script/sets-the-environment",
    "submit/runs-a-script-to-its-end",
    "submit/takes-a-script-that-is-there",
    "submit/gives-name-and-environment",
    "jobs/tells-a-*",
    "cancel/ends-a-running-job",
    "wait/for-started-ends-while-it-runs",
    "nodes/*",
];

/// The promises that need neither a server nor processes are kept by a plugin that has neither; the others it names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_without_a_server_keeps_what_needs_none() {
    let folder = tempfile::tempdir().unwrap();
    let policy = Policy::only([]).own_folder(Folder::write(folder.path()));
    let settings = Settings { below: Some("/".into()), jobs_run: false, ..settings(&[]) };
    let report = run(&local::PLUGIN, &local::options(folder.path()), &policy, &settings, |_| {}).await.expect("a run");
    println!("{report}");
    assert_eq!(report.failures().map(|(one, _)| one.behaviour.id()).collect::<Vec<_>>(), [""; 0], "{report}");
    assert_eq!((report.count("undecided"), report.requests), (0, 0), "{report}");
    let is_of = |one: &Ended, verdict| one.verdict.name() == verdict;
    let named = |one: &Ended| NOT_WITHOUT_A_SERVER.iter().any(|pattern| one.behaviour.matches(pattern));
    let wrong = report.ended.iter().filter(|one| is_of(one, "unsupported") != named(one));
    assert_eq!(wrong.map(|one| one.behaviour.id()).collect::<Vec<_>>(), [""; 0], "{report}");
    for pattern in NOT_WITHOUT_A_SERVER {
        assert!(report.ended.iter().any(|one| one.behaviour.matches(pattern)), "{pattern} is none");
    }
    assert_eq!(report.cleanup.left, [""; 0]);
    assert_eq!(names(folder.path()), [".aiida-journal.jsonl"]);
}
