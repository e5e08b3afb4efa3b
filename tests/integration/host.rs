//! What the host owns: where a plugin may go, what it may use, and how its faults end.

use std::fs;
use std::time::{Duration, Instant};

use aiida_firecrest_host::policy::{Folder, Origin, Policy};
use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission};
use aiida_firecrest_host::transport::TransferOptions;
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, LoadError, Options, Plugin, Session};
use aiida_firecrest_tests::{PATIENCE, Rig, engine, failure, in_time, kind, names, noise, plugin, seen};
use firecrest_simulator::{Fault, FaultKind};

use crate::puppet::{self, Act};
use crate::raw::Raw;

// ---- origins

#[tokio::test]
async fn an_origin_that_is_not_allowed_is_never_asked() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let origin = Origin::parse(simulator.url()).unwrap();
    let elsewhere = Origin::parse("http://127.0.0.1:1").unwrap();
    for policy in [Policy::only([]), Policy::only([elsewhere])] {
        let error = Session::open(plugin(), &options, &policy).await.unwrap_err();
        assert_eq!(error.plugin_kind(), Some(ErrorKind::PermissionDenied), "{error}");
        assert!(error.to_string().contains(&origin.to_string()), "{error}");
    }
    assert_eq!((seen(&simulator).len(), simulator.connections()), (0, 0));
    let mut session = Session::open(plugin(), &options, &Policy::only([origin])).await.unwrap();
    session.whoami().await.unwrap();
}

/// Those of `url` and `token_uri`, and the object store that the server names; where origins are given, nothing is added to them.
#[tokio::test]
async fn the_servers_origins_are_allowed_unless_others_are_given() {
    let (simulator, options, policy) = Rig::setup().serve().await;
    let origin = |url: &str| Origin::parse(url).unwrap();
    let session = Session::open(plugin(), &options, &policy).await.unwrap();
    let mut allowed = session.policy().origins().to_vec();
    let mut expected = vec![origin(simulator.url()), origin(simulator.s3_url())];
    allowed.sort();
    expected.sort();
    assert_eq!(allowed, expected);
    assert_eq!(session.telemetry().counters().refused, 0);
    let given = Policy::only([origin(simulator.url())]);
    let session = Session::open(plugin(), &options, &given).await.unwrap();
    assert_eq!(session.policy().origins(), [origin(simulator.url())]);
}

#[tokio::test]
async fn a_redirect_leads_nowhere() {
    let target = Raw::http("200 OK", "application/json", "", "{}").await;
    let location = format!("location: {}/status/systems\r\n", target.url);
    let server = Raw::http("307 Temporary Redirect", "text/plain", &location, "").await;
    let (_simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("url", server.url.clone());
    Session::open(plugin(), &options, &policy).await.unwrap_err();
    assert_eq!((server.asked(), target.asked()), (1, 0));
}

// ---- folders

async fn granted(folders: impl FnOnce(&std::path::Path) -> Vec<Folder>) -> (Rig, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    for name in ["in", "out", "other"] {
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::write(folder.path().join(name).join("file"), name).unwrap();
    }
    let policy = folders(folder.path()).into_iter().fold(Policy::default(), Policy::folder);
    (Rig::setup().policy(policy).open().await, folder)
}

#[tokio::test]
async fn a_folder_that_is_not_granted_cannot_be_read_or_written() {
    let (mut rig, folder) = granted(|root| vec![Folder::read(root.join("in")), Folder::write(root.join("out"))]).await;
    let (remote, other) = (rig.place("r", b"remote"), folder.path().join("other/file"));
    let options = TransferOptions::default();
    let ((), requests) = rig
        .count(async |s| {
            assert_eq!(kind(s.put(&other, &remote, &options).await), ErrorKind::PermissionDenied);
        })
        .await;
    assert_eq!(requests, [""; 0]);
    assert_eq!(kind(rig.session.get(&remote, &other, &options).await), ErrorKind::PermissionDenied);
    assert_eq!(fs::read(&other).unwrap(), b"other");
    rig.session.put(folder.path().join("in/file"), &remote, &options).await.unwrap();
    rig.session.get(&remote, folder.path().join("out/got"), &options).await.unwrap();
    assert_eq!(fs::read(folder.path().join("out/got")).unwrap(), b"in");
}

#[tokio::test]
async fn a_folder_granted_for_reading_takes_no_file() {
    let (mut rig, folder) = granted(|root| vec![Folder::read(root.join("in"))]).await;
    let (remote, local) = (rig.place("r", b"remote"), folder.path().join("in"));
    for target in [local.join("file"), local.join("new")] {
        assert_eq!(kind(rig.session.get(&remote, &target, &Default::default()).await), ErrorKind::PermissionDenied);
    }
    assert_eq!((names(&local), fs::read(local.join("file")).unwrap()), (vec!["file".to_owned()], b"in".to_vec()));
}

#[tokio::test]
async fn no_symlink_and_no_dots_lead_out_of_a_granted_folder() {
    let (mut rig, folder) = granted(|root| vec![Folder::write(root.join("in"))]).await;
    let (root, remote) = (folder.path(), rig.remote("r"));
    std::os::unix::fs::symlink(root.join("other/file"), root.join("in/absolute")).unwrap();
    std::os::unix::fs::symlink("../other/file", root.join("in/relative")).unwrap();
    std::os::unix::fs::symlink("../other", root.join("in/folder")).unwrap();
    for name in ["in/absolute", "in/relative", "in/folder/file", "in/../other/file"] {
        let error = rig.session.put(root.join(name), &remote, &Default::default()).await.unwrap_err();
        assert_eq!(error.exit_code(), 5, "{name}: {error}");
    }
    assert!(!std::path::Path::new(&remote).exists());
    let source = rig.place("s", b"remote");
    for name in ["in/folder/new", "in/folder/file"] {
        let error = rig.session.get(&source, root.join(name), &Default::default()).await.unwrap_err();
        assert_eq!(error.exit_code(), 5, "{name}: {error}");
    }
    assert_eq!(
        (names(root.join("other")), fs::read(root.join("other/file")).unwrap()),
        (vec!["file".into()], b"other".to_vec())
    );
}

#[tokio::test]
async fn a_granted_folder_that_is_missing_is_named() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no-such-folder");
    let error = Session::open(plugin(), &options, &Policy::default().folder(Folder::read(&missing))).await.unwrap_err();
    assert!(matches!(&error, Error::Folder { path, missing: true, .. } if *path == missing), "{error:?}");
    fs::write(&missing, "").unwrap();
    let error = Session::open(plugin(), &options, &Policy::default().folder(Folder::read(&missing))).await.unwrap_err();
    assert!(matches!(error, Error::Folder { missing: false, .. }), "{error:?}");
    assert_eq!(seen(&simulator), [""; 0]);
}

// ---- limits

/// Neither holds the file whole: all of the plugin fits beside it in less than the file takes.
#[tokio::test]
async fn put_and_get_of_the_largest_file_fit_in_little_memory() {
    let mut rig = Rig::setup().policy(Policy::default().memory(3 << 20)).open().await;
    let (content, verify) = (noise(3_932_157), TransferOptions { verify: Some(true), ..Default::default() });
    let (local, remote) = (rig.local_file("large", &content, 0o644), rig.remote("large"));
    rig.session.put(&local, &remote, &verify).await.unwrap();
    fs::remove_file(&local).unwrap();
    rig.session.get(&remote, &local, &verify).await.unwrap();
    assert!(fs::read(&local).unwrap() == content);
}

#[tokio::test]
async fn a_plugin_that_needs_too_much_memory_ends_with_a_typed_error_and_others_go_on() {
    let mut rig = Rig::setup().policy(Policy::default().memory(3 << 20)).open().await;
    let path = rig.place("large", &noise(3_900_000));
    let error = rig.session.read(&path, 0, None).await.unwrap_err();
    assert!(matches!(error, Error::Memory { limit } if limit == 3 << 20), "{error:?}");
    assert!(matches!(rig.session.stat(&path).await, Err(Error::SessionEnded { .. })));
    let mut next = Session::open(plugin(), &rig.options(), &Policy::default()).await.unwrap();
    assert_eq!(next.read(&path, 0, None).await.unwrap().len(), 3_900_000);
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_a_typed_error_and_others_go_on() {
    let mut rig = Rig::setup().policy(Policy::default().deadline(Duration::from_millis(1500))).open().await;
    let path = rig.place("f", b"1");
    rig.simulator.plant(Fault::once("/ops/stat", FaultKind::Delay(PATIENCE)));
    let start = Instant::now();
    let error = rig.session.stat(&path).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(matches!(rig.session.stat(&path).await, Err(Error::SessionEnded { .. })));
    let mut next = Session::open(plugin(), &rig.options(), &Policy::default()).await.unwrap();
    next.stat(&path).await.unwrap();
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_its_session_and_no_other() {
    let mut rig = Rig::open().await;
    let (path, mut other) = (rig.place("f", b"1"), rig.another().await);
    rig.simulator.plant(Fault::once("/ops/stat", FaultKind::Delay(PATIENCE)));
    let simulator = &rig.simulator;
    tokio::select! {
        answer = rig.session.stat(&path) => panic!("{answer:?}"),
        () = aiida_firecrest_tests::eventually("the request is there", || seen(simulator).len() == 1) => {}
    }
    assert!(matches!(rig.session.stat(&path).await, Err(Error::SessionEnded { .. })));
    other.stat(&path).await.unwrap();
}

/// No request of a dropped call comes to the server any more, not even those that wait for their turn.
#[tokio::test]
async fn a_dropped_call_asks_nothing_more() {
    let mut rig = Rig::open().await;
    let mut other = rig.another().await;
    let many = JobQuery::Ids((0..200).map(|id| (1000 + id).to_string()).collect());
    rig.simulator.adjust(|knobs| knobs.job_query_cost = Duration::from_millis(200));
    let simulator = &rig.simulator;
    tokio::select! {
        answer = rig.session.jobs(&many) => panic!("{answer:?}"),
        () = aiida_firecrest_tests::eventually("some requests are there", || seen(simulator).len() > 10) => {}
    }
    // What is on the wire already may still arrive.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = seen(simulator).len();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!((seen(simulator).len(), asked < 30), (asked, true));
    other.whoami().await.unwrap();
}

// ---- plugins with faults

fn puppet(act: Act) -> Plugin {
    let (resolve, world) = puppet::contract();
    Plugin::from_bytes(engine(), &puppet::component(&resolve, world, act)).unwrap()
}

#[tokio::test]
async fn a_plugin_that_traps_is_a_typed_error() {
    let error = puppet(Act::Trap).describe().await.unwrap_err();
    assert!(matches!(&error, Error::Trapped { detail } if detail.contains("unreachable")), "{error:?}");
    assert_eq!((error.kind(), error.exit_code()), ("trapped", 13));
    let error = puppet(Act::Trap).options().await.unwrap_err();
    assert_eq!(error.kind(), "trapped");
    plugin().describe().await.expect("others go on");
}

/// Ended by the epoch: it never waits for anything.
#[tokio::test]
async fn a_plugin_that_loops_is_ended_by_the_deadline() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let policy = Policy::default().deadline(Duration::from_millis(300));
    let error = in_time("the deadline", puppet(Act::Loop).check(&options, &policy)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    let error = in_time("the deadline", Session::open(&puppet(Act::Loop), &options, &policy)).await.unwrap_err();
    assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    // A looping plugin lets the other tasks of its thread run: this one serves.
    Session::open(plugin(), &options, &Policy::default()).await.unwrap();
    drop(simulator);
}

#[tokio::test]
async fn a_plugin_that_hoards_memory_is_a_typed_error() {
    let error = puppet(Act::Hoard).describe().await.unwrap_err();
    assert!(matches!(error, Error::Memory { .. }), "{error:?}");
}

#[test]
fn what_is_no_plugin_is_not_loaded() {
    let load = |bytes: &[u8]| match Plugin::from_bytes(engine(), bytes).unwrap_err() {
        Error::Load(error) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(load(b""), LoadError::NotWasm));
    assert!(matches!(load(b"#!/bin/sh\n"), LoadError::NotWasm));
    assert!(matches!(load(&wasm_encoder::Module::new().finish()), LoadError::CoreModule));
    assert!(matches!(load(b"\0asm\x0d\0\x01\0garbage"), LoadError::Invalid(_)));
    let (resolve, world) = puppet::contract();
    let whole = puppet::component(&resolve, world, Act::Trap);
    assert!(matches!(load(&whole[..whole.len() / 2]), LoadError::Invalid(_)));
}

#[test]
fn a_plugin_of_another_contract_is_not_loaded() {
    let load = |text: &str| {
        let (resolve, world) = puppet::other(text);
        match Plugin::from_bytes(engine(), &puppet::component(&resolve, world, Act::Trap)).unwrap_err() {
            Error::Load(error) => error,
            other => panic!("{other:?}"),
        }
    };
    let error = load("package other:thing@1.0.0; interface i { f: func(); } world w { export i; }");
    assert!(
        matches!(&error, LoadError::OtherContract { exports, .. } if exports[0] == "other:thing/i@1.0.0"),
        "{error:?}"
    );
    let interfaces =
        "interface configuration { f: func(); } interface transport { f: func(); } interface scheduler { f: func(); }";
    let world = "world w { export configuration; export transport; export scheduler; }";
    let error = load(&format!("package aiida:hpc@0.2.0; {interfaces} {world}"));
    assert!(matches!(error, LoadError::OtherVersion { .. }), "{error:?}");
    // The right names and the wrong functions.
    let error = load(&format!("package aiida:hpc@0.1.0; {interfaces} {world}"));
    assert!(matches!(error, LoadError::Invalid(_)), "{error:?}");
    let greedy = "interface spy { f: func(); } world w { import spy; export configuration; export transport; export scheduler; }";
    let error = load(&format!("package aiida:hpc@0.1.0; {interfaces} {greedy}"));
    assert!(matches!(&error, LoadError::ForbiddenImport { import } if import.contains("spy")), "{error:?}");
}

// ---- telemetry and secrets

#[tokio::test]
async fn every_request_is_counted_with_its_bytes() {
    let mut rig = Rig::open().await;
    let path = rig.remote("f");
    let before = rig.session.telemetry().counters();
    rig.session.write(&path, &noise(10_000), None).await.unwrap();
    rig.session.read(&path, 0, None).await.unwrap();
    let after = rig.session.telemetry().counters();
    assert_eq!((after.requests - before.requests, after.failed), (2, 0));
    assert!(after.sent - before.sent >= 10_000 && after.received - before.received >= 10_000);
    let record = rig.session.telemetry().records().pop().unwrap();
    assert_eq!((record.method.as_str(), record.status), ("GET", Some(200)));
    assert_eq!(record.origin, rig.simulator.url());
    assert_eq!((record.path.as_str(), record.received), ("/filesystem/cluster/ops/download", 10_000));
}

/// Neither in errors, nor in what is printed for debugging, nor in telemetry.
#[tokio::test]
async fn no_secret_is_shown_anywhere() {
    let mut rig = Rig::open().await;
    let secret = rig.simulator.client_secret().to_owned();
    let state = String::from_utf8(rig.session.state().await.unwrap()).unwrap();
    let at = state.find("eyJ").expect("the state holds the token");
    let token = state[at..].split('"').next().unwrap().to_owned();
    let mut shown = vec![format!("{:?}", rig.session), format!("{:?}", rig.options()), format!("{:?}", plugin())];

    // The server echoes the token in a header of its refusal.
    rig.simulator.revoke_tokens();
    rig.simulator.plant(Fault {
        times: 4,
        ..Fault::once(
            "/token",
            FaultKind::Answer {
                status: 401,
                body: format!("{{\"error\":\"invalid_client\",\"echo\":\"{secret}\"}}"),
                headers: vec![],
            },
        )
    });
    let path = rig.place("f", b"1");
    let mut errors = vec![rig.session.stat(&path).await.unwrap_err()];
    let mut wrong = rig.options();
    wrong.set("url", format!("https://user:{secret}@127.0.0.1"));
    errors.push(Session::open(plugin(), &wrong, &Policy::default()).await.unwrap_err());
    let mut wrong = rig.options();
    wrong.set("token_uri", format!("http://127.0.0.1:1/?client_secret={secret}"));
    errors.push(in_time("giving up", Session::open(plugin(), &wrong, &Policy::default())).await.unwrap_err());
    errors.push(Options::from_json(&format!("{{\"client_secret\": \"{secret}\" oops")).unwrap_err());
    shown.extend(errors.iter().map(|error| format!("{error} {error:?}")));
    shown.push(format!("{:?} {:?}", rig.session.telemetry().records(), engine().telemetry()));
    for text in shown {
        assert!(!text.contains(&secret), "the secret: {}", text.replace(&secret, "<SECRET>"));
        assert!(!text.contains(&token), "the token: {}", text.replace(&token, "<TOKEN>"));
    }
}

#[tokio::test]
async fn a_certificate_file_that_is_none_is_named() {
    let (_simulator, options, _) = Rig::setup().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    for content in [None, Some("no certificate")] {
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        let error = Session::open(plugin(), &options, &Policy::default().ca_file(&path)).await.unwrap_err();
        assert!(matches!(&error, Error::Certificates { path: named, .. } if *named == path), "{error:?}");
    }
}

#[tokio::test]
async fn a_local_path_has_to_be_absolute() {
    let mut rig = Rig::open().await;
    let remote = rig.remote("f");
    let error = rig.session.put("relative", &remote, &Default::default()).await.unwrap_err();
    assert!(matches!(error, Error::Policy { .. }), "{error:?}");
}

#[tokio::test]
async fn an_error_of_the_plugins_own_does_not_end_the_session() {
    let mut rig = Rig::open().await;
    let path = rig.remote("no");
    let bad = Submission {
        script: ScriptSource::Text("no shebang".into()),
        working_directory: rig.simulator.home().to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    };
    for _ in 0..3 {
        assert_eq!(failure(rig.session.stat(&path).await).kind, ErrorKind::NotFound);
        assert_eq!(failure(rig.session.submit(&bad).await).kind, ErrorKind::InvalidArgument);
    }
    rig.session.whoami().await.unwrap();
}
