//! A plugin that attacks (tests/plugins/hostile): what each attack comes to, and that other sessions go on.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aiida_firecrest_host::policy::{Folder, Origin, Policy};
use aiida_firecrest_host::progress::Answer;
use aiida_firecrest_host::transport::TransferOptions;
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, Options, Plugin, Session};
use aiida_firecrest_tests::{Rig, engine, failure, in_time, names, plugin, seen};
use tokio::net::TcpListener;

use crate::raw::Raw;

pub(crate) static HOSTILE: LazyLock<Plugin> = LazyLock::new(|| {
    Plugin::from_bytes(engine(), include_bytes!(env!("HOSTILE_PLUGIN_WASM"))).expect("a plugin of the contract")
});

async fn hostile(policy: Policy) -> Session {
    Session::open(&HOSTILE, &Options::new(), &policy).await.expect("a session of the hostile plugin")
}

/// What the plugin reports of one attack.
async fn attack(session: &mut Session, text: &str) -> Result<String, Error> {
    let report = in_time(text, session.read(text, 0, None)).await?;
    Ok(String::from_utf8(report).expect("a report"))
}

/// The attack ends its session, and no other.
async fn ends(policy: Policy, text: &str) -> Error {
    let mut rig = Rig::open().await;
    let mut session = hostile(policy).await;
    let error = attack(&mut session, text).await.expect_err(text);
    assert!(matches!(attack(&mut session, "folders").await, Err(Error::SessionEnded { .. })), "{text}");
    rig.session.whoami().await.expect("another session goes on");
    error
}

// ---- origins

#[tokio::test]
async fn other_origins_are_refused_and_never_asked() {
    let (allowed, other) =
        (Raw::http("200 OK", "text/plain", "", "hello").await, TcpListener::bind("127.0.0.1:0").await);
    let other = other.unwrap();
    let port = other.local_addr().unwrap().port();
    let mut session = hostile(Policy::only([Origin::parse(&allowed.url).unwrap()])).await;
    assert_eq!(attack(&mut session, &format!("fetch {}/a", allowed.url)).await.unwrap(), "answered 200 5");
    let allowed_port = allowed.url.rsplit(':').next().unwrap();
    for url in [
        format!("http://127.0.0.1:{port}/"),
        format!("https://127.0.0.1:{allowed_port}/"),
        format!("http://localhost:{allowed_port}/"),
        format!("http://127.1:{allowed_port}/"),
        format!("http://2130706433:{allowed_port}/"),
        format!("http://[::1]:{allowed_port}/"),
        format!("http://[::ffff:127.0.0.1]:{allowed_port}/"),
        format!("http://127.0.0.1:{allowed_port}@localhost:{port}/"),
        format!("http://user@127.0.0.1:{allowed_port}/"),
        format!("ftp://127.0.0.1:{allowed_port}/"),
        "http://169.254.169.254/latest/meta-data/".into(),
        "http://example.org/".into(),
    ] {
        let report = attack(&mut session, &format!("fetch {url}")).await.unwrap();
        let refused = ["HttpRequestDenied", "the address was refused", "HttpRequestUriInvalid", "HttpProtocolError"];
        assert!(refused.iter().any(|word| report.contains(word)), "{url}: {report}");
    }
    let report = attack(&mut session, &format!("method CONNECT {}/", allowed.url)).await.unwrap();
    assert!(report.contains("HttpRequestMethodInvalid"), "{report}");
    assert_eq!(allowed.asked(), 1);
    let waiting = tokio::time::timeout(Duration::from_millis(100), other.accept()).await;
    assert!(waiting.is_err(), "somebody connected: {waiting:?}");
    assert!(session.telemetry().counters().refused >= 9, "{:?}", session.telemetry().counters());
}

/// It names origins of its own, as the built-in plugin may; nobody takes a stranger's word.
#[tokio::test]
async fn a_strangers_word_allows_no_origin() {
    let session = hostile(Policy::default()).await;
    assert_eq!(session.policy().origins(), []);
}

#[tokio::test]
async fn a_redirect_leads_to_no_other_origin() {
    let target = Raw::http("200 OK", "text/plain", "", "secret").await;
    let location = format!("location: {}/\r\n", target.url);
    let server = Raw::http("302 Found", "text/plain", &location, "").await;
    let mut session = hostile(Policy::only([Origin::parse(&server.url).unwrap()])).await;
    assert_eq!(attack(&mut session, &format!("fetch {}/", server.url)).await.unwrap(), "answered 302 0");
    assert_eq!(target.asked(), 0);
}

#[tokio::test]
async fn the_number_of_open_requests_is_limited() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let mut session = hostile(Policy::only([Origin::parse(&url).unwrap()])).await;
    let report = attack(&mut session, &format!("crowd 1030 {url}/")).await.unwrap();
    assert!(report.starts_with("6 ErrorCode::ConnectionLimitReached"), "{report}");
    let other = Rig::open().await;
    assert_eq!(other.session.telemetry().counters().failed, 0);
}

/// What a C library drags in may be imported; who calls it has ended, and is told by name.
#[tokio::test]
async fn a_socket_is_a_trap_that_says_which() {
    let imports = &HOSTILE.inspection().imports;
    for interface in ["tcp-create-socket", "udp-create-socket", "ip-name-lookup"] {
        let name = format!("wasi:sockets/{interface}@");
        assert!(imports.iter().any(|import| import.starts_with(&name)), "{imports:?}");
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // Allowed or not: an origin is for requests.
    let policy = Policy::only([Origin::parse(&format!("http://{address}")).unwrap()]);
    for (text, called) in [
        (format!("connect {address}"), "wasi:sockets/tcp-create-socket"),
        ("listen 127.0.0.1:0".into(), "wasi:sockets/tcp-create-socket"),
        ("udp 127.0.0.1:0".into(), "wasi:sockets/udp-create-socket"),
        ("resolve localhost".into(), "wasi:sockets/"),
    ] {
        let error = ends(policy.clone(), &text).await;
        let named = |detail: &str| detail.contains(called) && detail.contains("this host has no sockets");
        assert!(matches!(&error, Error::Trapped { detail } if named(detail)), "{text}: {error:?}");
    }
    let waiting = tokio::time::timeout(Duration::from_millis(100), listener.accept()).await;
    assert!(waiting.is_err(), "somebody connected: {waiting:?}");
}

// ---- files

/// A granted folder with something in it, and something beside it.
fn folders() -> (tempfile::TempDir, String, String) {
    let root = tempfile::tempdir().unwrap();
    for name in ["granted", "granted/a", "beside"] {
        fs::create_dir(root.path().join(name)).unwrap();
    }
    fs::write(root.path().join("beside/file"), "OUTSIDE").unwrap();
    std::os::unix::fs::symlink("../beside/file", root.path().join("granted/planted")).unwrap();
    let absolute = root.path().join("beside/file").to_str().unwrap().to_owned();
    (root, "../beside/file".to_owned(), absolute)
}

fn beside_is_untouched(root: &Path) {
    assert_eq!(names(root.join("beside")), ["file"]);
    assert_eq!(fs::read(root.join("beside/file")).unwrap(), b"OUTSIDE");
    assert_eq!(names(root), ["beside", "granted"]);
}

#[tokio::test]
async fn nothing_outside_a_granted_folder_is_reached() {
    let (root, relative, absolute) = folders();
    let mut session = hostile(Policy::default().folder(Folder::write(root.path().join("granted")))).await;
    let report = attack(&mut session, &format!("escape {relative} {absolute}")).await.unwrap();
    assert!(report.lines().count() > 30, "{report}");
    let out: Vec<&str> = report.lines().filter(|line| line.starts_with("OUT") || line.contains("OUTSIDE")).collect();
    assert!(out.is_empty(), "{out:#?}");
    beside_is_untouched(root.path());
}

#[tokio::test]
async fn a_folder_for_reading_is_not_written() {
    let (root, relative, absolute) = folders();
    let mut session = hostile(Policy::default().folder(Folder::read(root.path().join("granted")))).await;
    let report = attack(&mut session, &format!("escape {relative} {absolute}")).await.unwrap();
    assert!(!report.contains("OUT"), "{report}");
    assert_eq!(names(root.path().join("granted")), ["a", "planted"]);
    beside_is_untouched(root.path());
}

/// Without a granted folder there is none; for a `put`, the one around its path, for that call.
#[tokio::test]
async fn folders_are_granted_for_one_call() {
    let (root, relative, absolute) = folders();
    let local = root.path().join("granted/a/file");
    fs::write(&local, "mine").unwrap();
    let mut session = hostile(Policy::default()).await;
    assert_eq!(attack(&mut session, "folders").await.unwrap(), "");
    let granted = failure(session.put(&local, "folders", &TransferOptions::default()).await).message;
    assert_eq!(granted, format!("{}: {}", local.display(), root.path().join("granted/a").display()));
    let escape = format!("escape ../{relative} {absolute}");
    let report = failure(session.put(&local, &escape, &TransferOptions::default()).await).message;
    assert!(!report.contains("OUT"), "{report}");
    assert_eq!(attack(&mut session, "folders").await.unwrap(), "");
    // One that was kept open in that call is of no use in the next.
    let kept = failure(session.put(&local, "keep file", &TransferOptions::default()).await).message;
    assert!(kept.ends_with(": mine"), "{kept}");
    assert!(attack(&mut session, "keep file").await.unwrap().contains("not-directory"));
    beside_is_untouched(root.path());
}

/// A name that is a folder at one moment and a link out of the granted folder at the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_exchanged_meanwhile_leads_nowhere() {
    let (root, ..) = folders();
    let granted = root.path().join("granted");
    fs::create_dir(granted.join("inside")).unwrap();
    fs::write(granted.join("inside/file"), "INSIDE").unwrap();
    std::os::unix::fs::symlink("../beside", granted.join("link")).unwrap();
    let mut session = hostile(Policy::default().folder(Folder::write(&granted))).await;
    let done = Arc::new(AtomicBool::new(false));
    let exchanging = std::thread::spawn({
        let (granted, done) = (granted.clone(), done.clone());
        move || {
            let rename = |from: &str, to: &str| fs::rename(granted.join(from), granted.join(to)).unwrap();
            while !done.load(Ordering::Relaxed) {
                rename("inside", "name");
                rename("name", "inside");
                rename("link", "name");
                rename("name", "link");
            }
        }
    });
    let report = attack(&mut session, "race name/file 3000").await;
    done.store(true, Ordering::Relaxed);
    exchanging.join().unwrap();
    let report = report.unwrap();
    assert!(!report.contains("OUTSIDE"), "{report}");
    assert!(report.contains("refused"), "{report}");
}

/// The grant is to the folder that was there, not to whatever has its name later.
#[tokio::test]
async fn a_granted_folder_that_is_exchanged_stays_the_one_that_was_granted() {
    let (root, ..) = folders();
    let granted = root.path().join("granted");
    fs::write(granted.join("file"), "INSIDE").unwrap();
    let mut session = hostile(Policy::default().folder(Folder::read(&granted))).await;
    fs::rename(&granted, root.path().join("moved")).unwrap();
    std::os::unix::fs::symlink("beside", &granted).unwrap();
    assert_eq!(attack(&mut session, "race file 1").await.unwrap(), "INSIDE");
}

// ---- time and memory

#[tokio::test]
async fn a_loop_and_a_sleep_end_at_the_deadline() {
    for text in ["loop", "sleep"] {
        let error = ends(Policy::default().deadline(Duration::from_millis(400)), text).await;
        assert!(matches!(error, Error::Deadline { .. }), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn a_memory_bomb_is_named() {
    let error = ends(Policy::default().memory(32 << 20), "memory").await;
    assert!(matches!(error, Error::Memory { limit } if limit == 32 << 20), "{error:?}");
}

#[tokio::test]
async fn handles_without_end_are_named() {
    let error = ends(Policy::default(), "handles").await;
    assert!(matches!(&error, Error::Trapped { detail } if detail.contains("table")), "{error:?}");
}

#[tokio::test]
async fn headers_without_end_are_refused() {
    let mut session = hostile(Policy::default()).await;
    let report = attack(&mut session, "headers").await;
    let text = report.unwrap_or_else(|error| error.to_string());
    assert!(!text.contains("no limit"), "{text}");
}

/// A hundred texts that share one megabyte of the guest's would be a hundred megabytes of the host's: more than the policy allows, and
/// less than what wasmtime allows by itself.
#[tokio::test]
async fn texts_that_overlap_do_not_grow_in_the_host() {
    let mut session = hostile(Policy::default().memory(64 << 20)).await;
    let error = in_time("repeat", session.glob("repeat 100")).await.unwrap_err();
    assert!(matches!(error, Error::Memory { limit } if limit == 64 << 20), "{error:?}");
    plugin().describe().await.expect("others go on");
}

// ---- texts

#[tokio::test]
async fn an_error_of_millions_of_bytes_is_cut() {
    let mut session = hostile(Policy::default()).await;
    let error = attack(&mut session, "error 8000000").await.unwrap_err();
    assert!(error.to_string().len() <= 8000, "{}", error.to_string().len());
    let plugins = error.plugin().unwrap();
    let texts = [&plugins.subject, &plugins.server_message, &plugins.request_id];
    for text in texts.into_iter().flatten().chain([&plugins.message]) {
        assert!(text.len() < 70_000, "{}", text.len());
    }
    assert_eq!(plugins.kind, ErrorKind::Other);
    assert_eq!(attack(&mut session, "folders").await.unwrap(), "", "an error ends nothing");
}

#[tokio::test]
async fn a_flood_of_progress_is_thinned() {
    let mut session = hostile(Policy::default()).await;
    let (told, longest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (count, length) = (told.clone(), longest.clone());
    session
        .on_progress(move |status| {
            count.fetch_add(1, Ordering::Relaxed);
            length.fetch_max(status.path.len().max(status.operation.len()), Ordering::Relaxed);
            Answer::Proceed
        })
        .unwrap();
    let start = std::time::Instant::now();
    assert_eq!(attack(&mut session, "flood 100000").await.unwrap(), "0");
    let most = 21 + 20 * (start.elapsed().as_secs() as usize + 1);
    assert!((20..=most).contains(&told.load(Ordering::Relaxed)), "{told:?} of at most {most}");
    tokio::time::sleep(Duration::from_millis(200)).await;
    attack(&mut session, "boast 9000000").await.unwrap();
    assert!((1000..70_000).contains(&longest.load(Ordering::Relaxed)), "{longest:?}");
    session.on_progress(|_| Answer::Stop).unwrap();
    let stops: usize = attack(&mut session, "flood 1000").await.unwrap().parse().unwrap();
    assert!(stops > 900, "{stops}");
}

#[tokio::test]
async fn stderr_without_end_is_dropped() {
    let mut session = hostile(Policy::default()).await;
    attack(&mut session, "stderr 64").await.unwrap();
    let error = attack(&mut session, "panic the last words").await.unwrap_err();
    assert!(
        matches!(&error, Error::Trapped { detail } if detail.len() <= 4096 && detail.ends_with("the last words")),
        "{error:?}"
    );
}

// ---- faults

#[tokio::test]
async fn traps_panics_exits_and_forged_handles_are_named() {
    for (text, word) in
        [("trap", "unreachable"), ("panic on purpose", "on purpose"), ("exit", "exit"), ("forge", "handle")]
    {
        let error = ends(Policy::default(), text).await;
        assert!(matches!(&error, Error::Trapped { detail } if detail.contains(word)), "{text}: {error:?}");
    }
}

#[tokio::test]
async fn a_session_that_was_never_made_is_refused() {
    let options = [("act", "forge")].into_iter().collect();
    let error = Session::open(&HOSTILE, &options, &Policy::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Trapped { detail } if detail.contains("handle")), "{error:?}");
}

#[tokio::test]
async fn arguments_and_environment_are_empty() {
    let mut session = hostile(Policy::default()).await;
    assert_eq!(attack(&mut session, "surroundings").await.unwrap(), "0 0");
}

/// Its own words, in an error or a panic, with the secret that it was told.
#[tokio::test]
async fn a_plugin_cannot_tell_its_secret() {
    let options: Options = [("client_secret", "hunter2-and-more")].into_iter().collect();
    for text in ["panic it is hunter2-and-more", "error", "no-such-verb:hunter2-and-more"] {
        let mut session = Session::open(&HOSTILE, &options, &Policy::default()).await.unwrap();
        let error = attack(&mut session, text).await.unwrap_err();
        let again = attack(&mut session, "folders").await.err();
        let shown = format!("{error} {error:?} {again:?} {session:?}");
        assert!(!shown.contains("hunter2"), "{text}: {shown}");
    }
}

/// All at once, beside a session that works.
#[tokio::test(flavor = "multi_thread")]
async fn a_working_session_does_not_notice() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"here");
    let attacks = ["loop", "memory", "flood 1000000000", "handles", "trap", "sleep"].map(|text| {
        tokio::spawn(async move {
            let policy = Policy::default().memory(64 << 20).deadline(Duration::from_secs(2));
            attack(&mut hostile(policy).await, text).await.unwrap_err()
        })
    });
    for _ in 0..50 {
        assert_eq!(rig.session.read(&path, 0, None).await.unwrap(), b"here");
    }
    for attack in attacks {
        let error = in_time("an end", attack).await.unwrap();
        assert!(matches!(error, Error::Deadline { .. } | Error::Memory { .. } | Error::Trapped { .. }), "{error:?}");
    }
    assert_eq!(seen(&rig.simulator).len(), 50);
}
