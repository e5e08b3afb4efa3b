//! What goes wrong on the way: lost answers, gateways, servers that are none, tokens that end.

use std::fs;
use std::time::{Duration, Instant};

use aiida_firecrest_host::scheduler::{JobQuery, ScriptSource, Submission};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, Session};
use aiida_firecrest_tests::{Rig, failure, in_time, kind, noise, plugin, seen, tally};
use firecrest_simulator::{Fault, FaultKind, Quota, RetryAfter, Service};

use crate::raw::Raw;

const STAT: &str = "GET filesystem/ops/stat";
const UPLOAD: &str = "POST filesystem/ops/upload";
const SUBMIT: &str = "POST compute/jobs";

fn answer(status: u16, body: &str, headers: &[(&str, &str)]) -> FaultKind {
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    FaultKind::Answer { status, body: body.into(), headers }
}

/// A refusal as FirecREST words it.
fn refusal(status: u16, message: &str) -> FaultKind {
    let body =
        serde_json::json!({"errorType": "error", "message": message, "causedBy": null, "data": null, "user": "u"});
    answer(status, &body.to_string(), &[])
}

fn job(rig: &Rig) -> Submission {
    Submission {
        script: ScriptSource::Text("#!/bin/bash\ntrue\n".into()),
        working_directory: rig.simulator.home().to_owned(),
        name: None,
        account: None,
        environment: Vec::new(),
    }
}

// ---- lost answers

/// A FirecREST server drops keep-alive connections without a word.
#[tokio::test]
async fn a_read_on_a_dropped_connection_succeeds_by_one_repeat() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"12");
    for fault in [FaultKind::DropBefore, FaultKind::DropAfter] {
        rig.simulator.plant(Fault::once("/ops/stat", fault));
        let (stat, requests) = rig.count(async |s| s.stat(&path).await.unwrap()).await;
        assert_eq!((stat.size, requests), (2, vec![STAT.into(), STAT.into()]));
    }
}

#[tokio::test]
async fn a_server_that_drops_every_connection_is_given_up() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"12");
    rig.simulator.plant(Fault { times: u32::MAX, ..Fault::once("/ops/stat", FaultKind::DropBefore) });
    let (result, requests) = in_time("giving up", rig.count(async |s| s.stat(&path).await)).await;
    assert_eq!(kind(result), ErrorKind::Unavailable);
    assert!((2..=6).contains(&requests.len()), "{}", requests.len());
}

/// An upload twice is an upload once.
#[tokio::test]
async fn what_may_be_done_twice_is_repeated() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"old");
    rig.simulator.plant(Fault::once("/ops/upload", FaultKind::DropAfter));
    let (_, requests) = rig.count(async |s| s.write(&path, b"new", None).await.unwrap()).await;
    assert_eq!(requests, [UPLOAD, UPLOAD]);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    rig.simulator.plant(Fault::once("/ops/chmod", FaultKind::DropAfter));
    rig.session.chmod(&path, 0o600).await.unwrap();
    let local = rig.local_file("big", &noise(1_000_000), 0o644);
    rig.simulator.plant(Fault::once("/ops/upload", FaultKind::DropBefore));
    rig.session.put(&local, &path, &Default::default()).await.unwrap();
    assert!(fs::read(&path).unwrap() == noise(1_000_000), "a local file is sent again from its first byte");
}

/// The change is looked for before it is called unknown.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_proved_where_it_happened() {
    let mut rig = Rig::open().await;
    let (file, link) = (rig.place("f", b"1"), rig.remote("link"));
    rig.simulator.plant(Fault::once("/ops/symlink", FaultKind::DropAfter));
    let (_, requests) = rig.count(async |s| s.symlink(&file, &link).await.unwrap()).await;
    assert_eq!(requests, ["POST filesystem/ops/symlink", "GET filesystem/ops/ls"]);
    rig.simulator.plant(Fault::once("/ops/rm", FaultKind::DropAfter));
    let (_, requests) = rig.count(async |s| s.remove_tree(&link).await.unwrap()).await;
    assert_eq!(requests, ["DELETE filesystem/ops/rm", STAT]);
    rig.simulator.plant(Fault::once("/ops/mkdir", FaultKind::DropAfter));
    let directory = rig.remote("d");
    rig.session.mkdir(&directory, false, true).await.unwrap();
    assert!(fs::metadata(&directory).unwrap().is_dir());
}

/// What the look proves not to have happened is done again, and once.
#[tokio::test]
async fn a_write_that_never_arrived_is_looked_for_and_sent_again() {
    let mut rig = Rig::open().await;
    let (file, link, directory) = (rig.place("f", b"1"), rig.remote("link"), rig.remote("d"));
    for (name, call) in [("symlink", "POST"), ("mkdir", "POST"), ("rm", "DELETE")] {
        rig.simulator.plant(Fault::once(format!("/ops/{name}"), FaultKind::DropBefore));
        let (result, requests) = rig
            .count(async |s| match name {
                "symlink" => s.symlink(&file, &link).await,
                "mkdir" => s.mkdir(&directory, false, false).await,
                _ => s.remove_tree(&file).await,
            })
            .await;
        result.unwrap();
        let call = format!("{call} filesystem/ops/{name}");
        assert_eq!((&requests[0], requests.len(), &requests[2]), (&call, 3, &call));
    }
    assert!(fs::read_link(&link).is_ok() && fs::metadata(&directory).is_ok() && fs::metadata(&file).is_err());
}

/// Never repeated blindly: if it cannot be proved, the caller is told so, and what to check.
#[tokio::test]
async fn a_write_whose_answer_was_lost_is_otherwise_of_unknown_outcome() {
    let mut rig = Rig::open().await;
    let (file, directory) = (rig.place("f", b"1"), rig.remote("d"));
    rig.simulator.plant(Fault::once("/ops/rm", FaultKind::DropAfter));
    rig.simulator.plant(Fault { times: 2, ..Fault::once("/ops/stat", answer(500, "no", &[])) });
    let error = failure(rig.session.remove_tree(&file).await);
    assert_eq!(error.kind, ErrorKind::OutcomeUnknown);
    assert!(error.message.contains(&format!("check {file}")), "{}", error.message);
    // Whether it was there before nobody can say any more.
    rig.simulator.plant(Fault::once("/ops/mkdir", FaultKind::DropAfter));
    let (result, requests) = rig.count(async |s| s.mkdir(&directory, false, false).await).await;
    assert_eq!(kind(result), ErrorKind::OutcomeUnknown);
    assert_eq!(requests.iter().filter(|request| request.contains("mkdir")).count(), 1);
}

#[tokio::test]
async fn a_submission_is_never_sent_twice() {
    let mut rig = Rig::open().await;
    rig.simulator.plant(Fault::once("/jobs", FaultKind::DropAfter));
    let submission = job(&rig);
    let (id, requests) = rig.count(async |s| s.submit(&submission).await.unwrap()).await;
    assert_eq!(requests.iter().filter(|request| *request == SUBMIT).count(), 1);
    let found = rig.session.jobs(&JobQuery::Ids(vec![id])).await.unwrap();
    assert_eq!((found.jobs.len(), found.missing.len()), (1, 0));
}

#[tokio::test]
async fn a_server_that_is_silent_ends_the_call_in_time() {
    let mut rig = Rig::setup().option("request_timeout_s", "0.5").open().await;
    let path = rig.place("f", b"1");
    rig.simulator.plant(Fault { times: 2, ..Fault::once("/ops/stat", FaultKind::Delay(Duration::from_secs(20))) });
    let start = Instant::now();
    assert_eq!(kind(rig.session.stat(&path).await), ErrorKind::Timeout);
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    let slow = Fault { times: 2, ..Fault::once("/ops/chmod", FaultKind::Delay(Duration::from_secs(20))) };
    rig.simulator.plant(slow);
    assert_eq!(kind(rig.session.chmod(&path, 0o600).await), ErrorKind::OutcomeUnknown);
}

// ---- gateways

#[tokio::test]
async fn a_pause_that_the_gateway_asks_for_is_kept_for_reads_and_writes() {
    let mut rig = Rig::open().await;
    let (path, submission) = (rig.place("f", b"1"), job(&rig));
    let date = "Fri, 31 Dec 1999 23:59:59 GMT";
    for (header, value, pause) in [("retry-after", "1", 1000), ("ratelimit-reset", "1", 1000), ("retry-after", date, 0)]
    {
        rig.simulator.plant(Fault::once("/ops/stat", answer(429, "slow down", &[(header, value)])));
        let start = Instant::now();
        let (_, requests) = rig.count(async |s| s.stat(&path).await.unwrap()).await;
        assert_eq!(requests, [STAT, STAT]);
        assert!(start.elapsed() >= Duration::from_millis(pause), "{header}: {value}: {:?}", start.elapsed());
    }
    // Refused before anything was done: a submission too may be sent again.
    rig.simulator.plant(Fault::once("/jobs", answer(429, "", &[("retry-after", "1")])));
    let start = Instant::now();
    let (_, requests) = rig.count(async |s| s.submit(&submission).await.unwrap()).await;
    assert_eq!(requests, [SUBMIT, SUBMIT]);
    assert!(start.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_pause_that_is_too_long_is_the_callers() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    rig.simulator.plant(Fault::once("/ops/stat", answer(429, "", &[("retry-after", "3600")])));
    let (result, requests) = rig.count(async |s| s.stat(&path).await).await;
    let error = failure(result);
    assert_eq!(
        (error.kind, error.http_status, error.retry_after_ms),
        (ErrorKind::RateLimited, Some(429), Some(3_600_000))
    );
    assert_eq!(requests, [STAT]);
}

#[tokio::test]
async fn a_quota_slows_a_session_down_and_fails_nothing() {
    for form in [RetryAfter::Seconds, RetryAfter::HttpDate, RetryAfter::RateLimitReset] {
        let mut rig = Rig::open().await;
        let path = rig.place("f", b"1");
        let quota = Quota { requests: 3, window: Duration::from_secs(1), form };
        rig.simulator.adjust(|knobs| knobs.quota = Some(quota));
        for _ in 0..7 {
            in_time("a request under a quota", rig.session.stat(&path)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn requests_per_minute_are_kept_to() {
    let mut rig = Rig::setup().option("requests_per_minute", 120).open().await;
    let path = rig.place("f", b"1");
    let start = Instant::now();
    // Ten seconds' worth may go at once: 20, of which opening took one.
    for _ in 0..23 {
        rig.session.stat(&path).await.unwrap();
    }
    assert!(start.elapsed() >= Duration::from_millis(1500), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_gateway_that_fails_once_is_asked_again() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    for status in [502, 503, 504] {
        rig.simulator.plant(Fault::once("/ops/stat", answer(status, "<html>nginx</html>", &[])));
        let (_, requests) = rig.count(async |s| s.stat(&path).await.unwrap()).await;
        assert_eq!(requests, [STAT, STAT], "{status}");
    }
}

// ---- answers

#[tokio::test]
async fn an_answer_of_the_server_becomes_the_right_kind() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    for (fault, expected) in [
        (refusal(408, "Command execution timeout limit exceeded."), ErrorKind::Timeout),
        (refusal(413, "Command output exceeded buffer limit."), ErrorKind::TooLarge),
        (refusal(500, "('Channel not open for sending',)"), ErrorKind::TooLarge),
        (refusal(500, "('No SSH credentials found for user:u',)"), ErrorKind::PermissionDenied),
        (refusal(500, "(\"'list' object has no attribute 'items'\",)"), ErrorKind::Other),
        (
            refusal(501, "Scheduler can't handle this request when configured to use rest connection mode"),
            ErrorKind::Unsupported,
        ),
        (refusal(403, "…error message:stat: cannot statx '/x': Permission denied"), ErrorKind::PermissionDenied),
        (refusal(405, "Method Not Allowed"), ErrorKind::Other),
        (answer(500, "Internal Server Error", &[]), ErrorKind::Other),
        (answer(404, "<html>nginx</html>", &[]), ErrorKind::Unavailable),
        (answer(403, "<html>firewall</html>", &[]), ErrorKind::PermissionDenied),
        (answer(413, "<html>nginx</html>", &[]), ErrorKind::TooLarge),
    ] {
        rig.simulator.plant(Fault::once("/ops/stat", fault.clone()));
        let error = failure(rig.session.stat(&path).await);
        assert_eq!((error.kind, error.subject.as_deref()), (expected, Some(path.as_str())), "{fault:?}");
    }
    let killed = refusal(408, "Command execution timeout limit exceeded.");
    rig.simulator.plant(Fault { times: 2, ..Fault::once("/ops/chmod", killed) });
    assert_eq!(kind(rig.session.chmod(&path, 0o600).await), ErrorKind::OutcomeUnknown);
}

#[tokio::test]
async fn an_answer_of_success_that_makes_no_sense_is_an_error() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    for body in ["<html>login</html>", "{}", "{\"output\":7}", "", "{\"output\":{\"mode\":\"x\"}}"] {
        rig.simulator.plant(Fault::once("/ops/stat", answer(200, body, &[])));
        let error = failure(rig.session.stat(&path).await);
        assert!(matches!(error.kind, ErrorKind::Unavailable | ErrorKind::Other), "{body}: {error:?}");
    }
    for name in ["../out", "/etc/passwd", "a/../../b", ""] {
        let entry = serde_json::json!({"name": name, "type": "-", "linkTarget": null, "user": "u", "group": "g",
            "permissions": "rw-r--r--", "lastModified": "2026-11-24T06:19:56", "size": "7"});
        rig.simulator
            .plant(Fault::once("/ops/ls", answer(200, &serde_json::json!({"output": [entry]}).to_string(), &[])));
        let home = rig.simulator.home().to_owned();
        let listed = rig.session.list(&home, &ListOptions { recursive: false, hidden: false, pattern: None }).await;
        assert_eq!(kind(listed), ErrorKind::Other, "a name that leads elsewhere: {name:?}");
    }
}

#[tokio::test]
async fn a_service_that_is_not_healthy_is_unavailable() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    rig.simulator.set_healthy(Service::Ssh, false);
    let error = failure(in_time("giving up", rig.session.stat(&path)).await);
    assert_eq!((error.kind, error.http_status), (ErrorKind::Unavailable, Some(503)));
    rig.simulator.set_healthy(Service::Ssh, true);
    rig.session.stat(&path).await.unwrap();
}

// ---- opening

#[tokio::test]
async fn what_is_no_firecrest_is_unavailable() {
    let (_simulator, mut options, policy) = Rig::setup().serve().await;
    let systems = r#"{"systems":[{"name":"cluster"}]}"#;
    for (server, what) in [
        (Raw::http("200 OK", "text/html", "", "<html><body>It works!</body></html>").await, "a web page"),
        (Raw::http("404 Not Found", "text/html", "", "<html>nothing here</html>").await, "a page that says no"),
        (Raw::http("200 OK", "application/json", "", "{\"hello\": 1}").await, "another API"),
        (Raw::http("200 OK", "application/json", "", systems).await, "an API without a version"),
        (Raw::http("301 Moved Permanently", "text/html", "location: http://127.0.0.1:1/\r\n", "").await, "a redirect"),
        (Raw::start("SSH-2.0-OpenSSH_9.2\r\n").await, "an SSH server"),
        (Raw::start("").await, "a server that hangs up"),
    ] {
        options.set("url", server.url.clone());
        let error = in_time(what, Session::open(plugin(), &options, &policy)).await.unwrap_err();
        let Error::Plugin { error, .. } = error else { panic!("{what}: {error}") };
        assert_eq!(error.kind, ErrorKind::Unavailable, "{what}: {error:?}");
        assert!(server.asked() > 0, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_token_server_is_unavailable() {
    let (_simulator, mut options, policy) = Rig::setup().serve().await;
    for server in [
        Raw::http("200 OK", "text/html", "", "<html>login</html>").await,
        Raw::http("404 Not Found", "text/html", "", "<html>").await,
        Raw::http("500 Internal Server Error", "text/plain", "", "oops").await,
        Raw::start("garbage").await,
    ] {
        options.set("token_uri", format!("{}/token", server.url));
        let error = in_time("opening", Session::open(plugin(), &options, &policy)).await.unwrap_err();
        assert_eq!(error.plugin_kind(), Some(ErrorKind::Unavailable), "{error}");
        assert_eq!(error.plugin().unwrap().subject.as_deref(), Some("token_uri"));
    }
}

#[tokio::test]
async fn a_version_that_is_not_known_is_refused_and_named() {
    for version in ["1.16.0", "3.0.0", "2.2.7", "nonsense"] {
        let (simulator, options, policy) =
            Rig::setup().knobs(move |knobs| knobs.version = version.into()).serve().await;
        let error = failure(Session::open(plugin(), &options, &policy).await);
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{version}");
        assert!(error.message.contains(version), "{}", error.message);
        let error = failure(plugin().check(&options, &policy).await);
        assert_eq!(error.kind, ErrorKind::InvalidArgument, "{version}");
        drop(simulator);
    }
    for version in ["2.2.8", "2.5.7", "2.6.0", "2.x.x"] {
        let (_simulator, options, policy) =
            Rig::setup().knobs(move |knobs| knobs.version = version.into()).serve().await;
        assert_eq!(plugin().check(&options, &policy).await.unwrap().version, version);
    }
}

#[tokio::test]
async fn a_version_given_by_hand_needs_none_from_the_server() {
    let systems = r#"{"systems":[]}"#;
    let server = Raw::http("200 OK", "application/json", "", systems).await;
    let (_simulator, mut options, policy) = Rig::setup().option("api_version", "2.4.0").serve().await;
    options.set("url", server.url.clone());
    // Past the version, to the question which systems there are.
    let error = failure(Session::open(plugin(), &options, &policy).await);
    assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::NotFound, Some("compute_resource")));
}

#[tokio::test]
async fn wrong_options_are_refused_and_named() {
    let (simulator, good, policy) = Rig::setup().serve().await;
    for (name, value) in [
        ("url", ""),
        ("url", "not a url"),
        ("url", "ftp://example.org"),
        ("token_uri", ""),
        ("client_id", ""),
        ("client_secret", ""),
        ("compute_resource", ""),
        ("max_io_allowed", "0"),
        ("max_io_allowed", "many"),
        ("checksum_check", "perhaps"),
        ("api_version", "1.16.0"),
        ("small_file_size_mb", "-1"),
        ("token_auth_method", "magic"),
        ("requests_per_minute", "some"),
        ("request_timeout_s", "0"),
        ("temp_directory", "relative"),
    ] {
        let mut options = good.clone();
        options.set(name, value);
        let error = Session::open(plugin(), &options, &policy).await.unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        let error = error.plugin().expect("the plugin's own error");
        assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::InvalidArgument, Some(name)), "{value:?}");
    }
    assert_eq!(seen(&simulator), [""; 0]);
}

#[tokio::test]
async fn a_wrong_secret_is_unauthenticated() {
    let (simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("client_secret", "wrong-secret-xyz");
    let error = Session::open(plugin(), &options, &policy).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::Unauthenticated));
    assert!(!format!("{error} {error:?}").contains("wrong-secret-xyz"));
    assert_eq!(seen(&simulator), ["POST token"], "not tried again");
}

#[tokio::test]
async fn an_unknown_system_is_not_found_and_the_message_lists_the_others() {
    let (_simulator, mut options, policy) = Rig::setup().option("compute_resource", "daint").serve().await;
    let error = failure(Session::open(plugin(), &options, &policy).await);
    assert_eq!((error.kind, error.subject.as_deref()), (ErrorKind::NotFound, Some("compute_resource")));
    assert!(error.message.contains("cluster") && error.message.contains("cluster-account"), "{}", error.message);
    options.set("compute_resource", "CLUSTER");
    Session::open(plugin(), &options, &policy).await.expect("names are of either case");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let (_simulator, mut options, policy) = Rig::setup().serve().await;
    // Bound and not listening: nobody else gets it meanwhile.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap());
    for (name, value) in [("url", nobody.clone()), ("token_uri", format!("{nobody}/token"))] {
        let mut options = options.clone();
        options.set(name, value);
        let error = in_time("giving up", Session::open(plugin(), &options, &policy)).await.unwrap_err();
        assert_eq!(error.plugin_kind(), Some(ErrorKind::Unavailable), "{name}: {error}");
    }
    options.set("url", "http://no-such-host.invalid");
    let error = in_time("giving up", Session::open(plugin(), &options, &policy)).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::Unavailable), "{error}");
}

/// The plain port of a TLS server, and the TLS of a plain one.
#[tokio::test]
async fn https_where_http_is_spoken_is_unavailable() {
    let (simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("url", simulator.url().replace("http://", "https://"));
    let error = in_time("giving up", Session::open(plugin(), &options, &policy)).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::Unavailable), "{error}");
    assert!(error.to_string().to_lowercase().contains("tls"), "{error}");
}

#[tokio::test]
async fn check_tells_the_server_its_systems_and_the_user() {
    let (simulator, options, policy) = Rig::setup().serve().await;
    simulator.set_healthy(Service::S3, false);
    let server = plugin().check(&options, &policy).await.unwrap();
    assert_eq!(
        (server.product.as_str(), server.version.as_str(), server.user.name.as_str()),
        ("FirecREST", "2.5.7", "fireuser")
    );
    let names: Vec<&str> = server.systems.iter().map(|system| system.name.as_str()).collect();
    assert_eq!(names, ["cluster", "cluster-account"]);
    let system = &server.systems[0];
    assert_eq!((system.scheduler.as_str(), system.scheduler_version.as_str()), ("slurm", "22.05.8"));
    assert_eq!((system.upload_limit, system.download_limit), (5 * 1024 * 1024, 3_932_157));
    assert_eq!((system.transfer_method.as_deref(), system.part_size), (Some("s3"), Some(1024 * 1024 * 1024)));
    let paths: Vec<&str> = system.file_systems.iter().map(|fs| fs.path.as_str()).collect();
    assert_eq!(paths, simulator.file_systems());
    let health = |kind: &str| system.services.iter().filter(|s| s.kind == kind).all(|s| s.healthy);
    assert!(health("scheduler") && health("ssh") && health("filesystem") && !health("s3"), "{:?}", system.services);
}

// ---- tokens

/// A session takes a token that the host has got itself, and never asks the token server.
#[tokio::test]
async fn a_token_of_the_hosts_own_is_used_and_not_renewed() {
    let (simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("access_token", simulator.token("fireuser", Duration::from_secs(300)));
    for name in ["token_uri", "client_id", "client_secret"] {
        options.set(name, "");
    }
    let mut session = Session::open(plugin(), &options, &policy).await.unwrap();
    session.whoami().await.unwrap();
    assert_eq!(seen(&simulator), ["GET status/systems", "GET status/userinfo"]);
    simulator.revoke_tokens();
    assert_eq!(kind(session.whoami().await), ErrorKind::Unauthenticated);
    assert_eq!(seen(&simulator).len(), 3);
}

#[tokio::test]
async fn the_client_can_authenticate_by_header() {
    let (simulator, options, policy) = Rig::setup().option("token_auth_method", "client_secret_basic").serve().await;
    Session::open(plugin(), &options, &policy).await.unwrap();
    assert_eq!(simulator.tokens_issued(), 1);
}

#[tokio::test]
async fn a_token_that_ends_soon_is_renewed_before_it_is_refused() {
    // Less than 60 s left is soon; less than 30 s the server refuses.
    let mut rig = Rig::setup().knobs(|knobs| knobs.token_lifetime = Duration::from_secs(59)).open().await;
    let path = rig.place("f", b"1");
    rig.simulator.adjust(|knobs| knobs.token_lifetime = Duration::from_secs(300));
    assert_eq!(rig.count(async |s| s.stat(&path).await.unwrap()).await.1, ["POST token", STAT]);
    assert_eq!(rig.count(async |s| s.stat(&path).await.unwrap()).await.1, [STAT]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_renewed_once_and_the_call_repeated_once() {
    let mut rig = Rig::open().await;
    let (path, submission) = (rig.place("f", b"1"), job(&rig));
    rig.simulator.revoke_tokens();
    assert_eq!(rig.count(async |s| s.stat(&path).await.unwrap()).await.1, [STAT, "POST token", STAT]);
    // A write as well: the server looked at the token and at nothing else.
    rig.simulator.revoke_tokens();
    assert_eq!(rig.count(async |s| s.submit(&submission).await.unwrap()).await.1, [SUBMIT, "POST token", SUBMIT]);
    let local = rig.local_file("f", b"new", 0o644);
    rig.simulator.revoke_tokens();
    assert_eq!(
        rig.count(async |s| s.put(&local, &path, &TransferOptions::default()).await.unwrap()).await.1,
        [UPLOAD, "POST token", UPLOAD]
    );
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[tokio::test]
async fn a_server_that_refuses_every_token_is_unauthenticated() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    rig.simulator
        .plant(Fault { times: u32::MAX, ..Fault::once("/ops/stat", refusal(401, "Access token is invalid.")) });
    let (result, requests) = rig.count(async |s| s.stat(&path).await).await;
    assert_eq!(kind(result), ErrorKind::Unauthenticated);
    assert_eq!(requests, [STAT, "POST token", STAT]);
}

#[tokio::test]
async fn however_many_requests_wait_for_a_token_one_is_asked_for() {
    let mut rig = Rig::open().await;
    let ids = rig.simulator.add_jobs(20, "RUNNING");
    rig.simulator.adjust(|knobs| knobs.latency = Duration::from_millis(50));
    rig.simulator.revoke_tokens();
    let (outcomes, requests) = rig.count(async |s| s.cancel(&ids).await.unwrap()).await;
    assert_eq!(outcomes.len(), 20);
    assert_eq!(tally(&requests).into_iter().find(|(_, request)| *request == "POST token"), Some((1, "POST token")));
}

// ---- connections

/// HTTP/1.1 carries one request at a time, so there are as many connections as requests under way, and perhaps one that was just given
/// back when the next was opened: that no more are under way is seen by the time that it takes.
#[tokio::test]
async fn no_more_requests_are_under_way_than_the_option_allows() {
    for (allowed, at_least) in [(1, 1), (3, 2), (8, 4)] {
        let mut rig = Rig::setup().option("max_io_allowed", allowed).open().await;
        let ids = rig.simulator.add_jobs(24, "RUNNING");
        let latency = Duration::from_millis(50);
        rig.simulator.adjust(|knobs| knobs.latency = latency);
        let start = Instant::now();
        rig.session.cancel(&ids).await.unwrap();
        let used = rig.simulator.connections();
        assert!(used >= at_least, "{used} connections: they were not at once");
        assert!(start.elapsed() >= latency * (24 / allowed as u32), "{:?}", start.elapsed());
    }
}

#[tokio::test]
async fn many_requests_of_many_sessions_share_few_connections() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    for _ in 0..20 {
        let mut session = rig.another().await;
        for _ in 0..5 {
            session.stat(&path).await.unwrap();
        }
    }
    assert_eq!((seen(&rig.simulator).len(), rig.simulator.tokens_issued()), (100, 1));
    assert!(rig.simulator.connections() <= 2, "{}", rig.simulator.connections());
}

#[tokio::test]
async fn several_sessions_work_at_the_same_time() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", &noise(100_000));
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (mut session, path) = (rig.another().await, path.clone());
        tasks.push(tokio::spawn(async move { session.read(&path, 0, None).await.unwrap() }));
    }
    for task in tasks {
        assert!(task.await.unwrap() == noise(100_000));
    }
    assert_eq!((seen(&rig.simulator).len(), rig.simulator.tokens_issued()), (8, 1));
}

#[tokio::test]
async fn a_url_with_a_path_prefix_is_kept() {
    let (simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("url", format!("{}/prefix/v2/", simulator.url()));
    let error = failure(Session::open(plugin(), &options, &policy).await);
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error:?}");
    let asked = simulator.requests().pop().unwrap().path;
    assert_eq!(asked, "/prefix/v2/status/systems");
}
