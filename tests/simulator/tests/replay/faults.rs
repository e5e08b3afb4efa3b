//! Every kind of fault, as a client meets it.

use std::io::Read as _;
use std::time::Duration;

use firecrest_simulator::{Fault, FaultKind, RetryAfter, S3Fault, S3FaultKind, Simulator};
use serde_json::json;

use crate::client::{Answer, Client, request};
use crate::quick;
use crate::transfer::{ask_upload, text};

const STAT: &str = "/filesystem/{system}/ops/stat?path={home}";
const STAT_ENDS: &str = "/ops/stat";

async fn start() -> (Simulator, Client) {
    let simulator = quick().start().await.expect("a simulator");
    let client = Client::new(&simulator);
    (simulator, client)
}

/// One request on a connection of its own, with what of the body came.
fn fresh(client: &Client, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
    let token = format!("Bearer {}", client.token.as_deref().expect("a token"));
    let headers = [("authorization", token.as_str()), ("content-type", "application/json")];
    request(method, &format!("{}{}", client.url(), client.fill(path)), &headers, body)
}

fn stat(client: &Client) -> std::io::Result<Answer> {
    fresh(client, "GET", STAT, b"")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_strikes_by_endpoint_and_count() {
    let (simulator, client) = start().await;
    simulator.plant(Fault { skip: 1, ..Fault::once(STAT_ENDS, FaultKind::Gateway(502)).times(2) });
    simulator.plant(Fault::once("/ops/ls", FaultKind::Gateway(504)).method("GET"));
    let statuses: Vec<u16> = (0..4).map(|_| stat(&client).expect("an answer").status).collect();
    assert_eq!(statuses, [200, 502, 502, 200]);
    assert_eq!(simulator.faults().len(), 1);
    assert_eq!(fresh(&client, "GET", "/filesystem/{system}/ops/ls?path={home}", b"").expect("an answer").status, 504);
    assert_eq!(simulator.faults(), []);
    let struck: Vec<String> = simulator.struck().into_iter().map(|struck| struck.fault).collect();
    assert_eq!(struck, ["gateway", "gateway", "gateway"]);
    simulator.plant(Fault::once("", FaultKind::Reset));
    simulator.clear_faults();
    assert_eq!((simulator.faults().len(), simulator.struck().len()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_ended_or_reset_before_anything_is_done() {
    let (simulator, client) = start().await;
    for (kind, reset) in [(FaultKind::DropBefore, false), (FaultKind::Reset, true)] {
        simulator.plant(Fault::once("/ops/mkdir", kind));
        let body = client.fill(r#"{"path":"{home}/made"}"#);
        let address = client.url().trim_start_matches("http://").to_owned();
        let mut stream = std::net::TcpStream::connect(address).expect("a connection");
        let path = client.fill("/filesystem/{system}/ops/mkdir");
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        std::io::Write::write_all(&mut stream, head.as_bytes()).expect("a request");
        let end = stream.read_to_end(&mut Vec::new());
        assert_eq!(
            end.map_err(|error| error.kind()),
            if reset { Err(std::io::ErrorKind::ConnectionReset) } else { Ok(0) }
        );
        assert!(!std::path::Path::new(simulator.home()).join("made").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_cut_stalled_dripped_and_of_the_wrong_length() {
    let (simulator, client) = start().await;
    let whole = stat(&client).expect("an answer").body.len();
    let length = |answer: &Answer| answer.headers["content-length"].parse::<usize>().expect("a length");

    simulator.plant(Fault::once(STAT_ENDS, FaultKind::Cut(7)));
    let answer = stat(&client).expect("a head");
    assert_eq!((answer.status, answer.body.len(), length(&answer)), (200, 7, whole));
    simulator.plant(Fault::once(STAT_ENDS, FaultKind::Cut(0)));
    let answer = stat(&client).expect("a head");
    assert_eq!((answer.body.len(), length(&answer)), (0, whole));

    simulator.plant(Fault::once(STAT_ENDS, FaultKind::WrongLength(9)));
    let answer = stat(&client).expect("a head");
    assert_eq!((answer.body.len(), length(&answer)), (whole, whole + 9));
    simulator.plant(Fault::once(STAT_ENDS, FaultKind::WrongLength(-9)));
    let answer = stat(&client).expect("a head");
    assert_eq!((answer.body.len(), length(&answer)), (whole - 9, whole - 9));

    let time = Duration::from_millis(400);
    simulator.plant(Fault::once(STAT_ENDS, FaultKind::Stall { after: 5, time }));
    let answer = stat(&client).expect("an answer");
    assert!(answer.body.len() == whole && answer.elapsed >= time, "{answer:?}");
    let pause = Duration::from_millis(5);
    simulator.plant(Fault::once(STAT_ENDS, FaultKind::Drip { bytes: 10, pause }));
    let answer = stat(&client).expect("an answer");
    assert!(answer.body.len() == whole && answer.elapsed >= pause * (whole as u32 / 10 - 1), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_asked_is_done_and_the_answer_lies() {
    let (simulator, mut client) = start().await;
    let made = |name: &str| std::path::Path::new(simulator.home()).join(name).exists();
    let mkdir = |name: &str| client.fill(&format!(r#"{{"path":"{{home}}/{name}"}}"#)).into_bytes();
    let path = "/filesystem/{system}/ops/mkdir";
    simulator.plant(Fault::once("/ops/mkdir", FaultKind::DoneButTimedOut));
    let answer = fresh(&client, "POST", path, &mkdir("one")).expect("an answer");
    assert_eq!((answer.status, answer.message().as_str()), (408, "Command execution timeout limit exceeded."));
    assert!(made("one"));
    simulator.plant(Fault::once(
        "/ops/mkdir",
        FaultKind::AnswerAfter { status: 424, body: "{}".into(), headers: vec![("x-a".into(), "b".into())] },
    ));
    let answer = fresh(&client, "POST", path, &mkdir("two")).expect("an answer");
    assert_eq!((answer.status, answer.headers["x-a"].as_str()), (424, "b"));
    assert!(made("two"));
    // The second of two deliveries is answered.
    simulator.plant(Fault::once("/ops/mkdir", FaultKind::Twice));
    let answer = fresh(&client, "POST", path, &mkdir("three")).expect("an answer");
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert!(made("three"));
    let submission =
        client.fill(r##"{"job":{"name":"twin","workingDirectory":"{home}","script":"#!/bin/bash\n","env":{}}}"##);
    simulator.plant(Fault::once("/jobs", FaultKind::Twice).method("POST"));
    assert_eq!(client.with_json("POST", "/compute/{system}/jobs", &submission).status, 201);
    assert_eq!(client.get("/compute/{system}/jobs").json()["jobs"].as_array().map(Vec::len), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_have_the_real_forms() {
    let (simulator, client) = start().await;
    let with = |kind| {
        simulator.plant(Fault::once(STAT_ENDS, kind));
        stat(&client).expect("an answer")
    };
    let limited = |form| with(FaultKind::RateLimited { form, seconds: 7 });
    let answer = limited(RetryAfter::Seconds);
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (429, "7"));
    assert!(limited(RetryAfter::HttpDate).headers["retry-after"].ends_with(" GMT"));
    assert_eq!(limited(RetryAfter::RateLimitReset).headers["ratelimit-reset"], "7");
    let answer = limited(RetryAfter::Announced);
    assert_eq!((answer.headers["ratelimit-remaining"].as_str(), answer.headers["retry-after"].as_str()), ("0", "7"));
    for status in [502, 503, 504] {
        let answer = with(FaultKind::Gateway(status));
        assert_eq!((answer.status, answer.headers["content-type"].as_str()), (status, "text/html"));
        assert!(answer.text().contains(&format!("<title>{status} ")), "{}", answer.text());
    }
    let answer = with(FaultKind::ServerError("('Channel not open for sending',)".into()));
    assert_eq!(
        answer.json(),
        json!({"errorType": "error", "message": "('Channel not open for sending',)", "causedBy": null, "data": null, "user": null})
    );
    let answer = with(FaultKind::Unauthenticated);
    assert_eq!((answer.status, answer.message().as_str()), (401, "Access token is invalid."));
    assert_eq!(Some(&answer.headers["auth-token"]), client.token.as_ref());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_server_can_be_down() {
    let (simulator, _) = start().await;
    let ask = || {
        let form = format!(
            "grant_type=client_credentials&client_id={}&client_secret={}",
            simulator.client_id(),
            simulator.client_secret()
        );
        request(
            "POST",
            &simulator.token_uri(),
            &[("content-type", "application/x-www-form-urlencoded")],
            form.as_bytes(),
        )
    };
    simulator.plant(Fault::once("/token", FaultKind::Gateway(503)));
    simulator.plant(Fault::once("/token", FaultKind::DropBefore));
    assert_eq!(ask().expect("an answer").status, 503);
    assert!(ask().is_err());
    assert_eq!(ask().expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_vanish_for_a_while_and_fail() {
    let (simulator, mut client) = start().await;
    let submission = client
        .fill(r##"{"job":{"name":"one","workingDirectory":"{home}","script":"#!/bin/bash\nsleep 30\n","env":{}}}"##);
    let id = client.with_json("POST", "/compute/{system}/jobs", &submission).json()["jobId"]
        .to_string()
        .trim_matches('"')
        .to_owned();
    let one = format!("/compute/{{system}}/jobs/{id}");
    simulator.plant(Fault::once("/jobs", FaultKind::JobsVanish).method("GET").times(2));
    simulator.plant(Fault::once(format!("/jobs/{id}"), FaultKind::JobsVanish).method("GET"));
    for count in [0, 0, 1] {
        assert_eq!(client.get("/compute/{system}/jobs").json()["jobs"].as_array().map(Vec::len), Some(count));
    }
    let answer = client.get(&one);
    assert_eq!((answer.status, answer.message().as_str()), (404, "Job not found."));
    assert_eq!(client.get(&one).status, 200);
    simulator.plant(Fault::once("/jobs", FaultKind::JobFails).method("POST"));
    let id = client.with_json("POST", "/compute/{system}/jobs", &submission).json()["jobId"]
        .to_string()
        .trim_matches('"')
        .to_owned();
    let told = client.get(&format!("/compute/{{system}}/jobs/{id}")).json();
    assert_eq!(told["jobs"][0]["status"]["state"], "FAILED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_half_a_file() {
    let (simulator, mut client) = start().await;
    simulator.plant(Fault::once("", FaultKind::DiskFull).times(3));
    let answer = client.upload("{home}", "half", b"0123456789");
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.message(),
        "Remote process failed with exit status:1 and error message:base64: write error: No space left on device"
    );
    assert_eq!(std::fs::read(format!("{}/half", simulator.home())).expect("a file"), b"01234");
    let answer = client.with_json("POST", "/filesystem/{system}/ops/mkdir", r#"{"path":"{home}/d"}"#);
    assert_eq!(answer.status, 500);
    assert!(
        answer.message().contains(": mkdir: cannot create directory")
            || answer.message().contains(":mkdir: cannot create directory"),
        "{}",
        answer.message()
    );
    assert_eq!(client.get(STAT).status, 200);
    assert_eq!(client.upload("{home}", "whole", b"0123456789").status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_clock_can_be_wrong() {
    let (simulator, mut client) = start().await;
    simulator.adjust(|knobs| knobs.clock_skew = 7200);
    client.token = Some(simulator.token(simulator.username(), Duration::from_secs(600)));
    let answer = client.get(STAT);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs_f64();
    let told: f64 = answer.headers["f7t-timestamp"].parse().expect("a number");
    assert!((told - now - 7200.0).abs() < 60.0, "{told}");
    assert!(answer.headers["date"].ends_with(" GMT"));
    // A token of a server whose clock was right has been over for long by this one's.
    simulator.adjust(|knobs| knobs.clock_skew = 0);
    client.token = Some(simulator.token(simulator.username(), Duration::from_secs(600)));
    simulator.adjust(|knobs| knobs.clock_skew = 7200);
    assert_eq!(client.get(STAT).message(), "Access token expired");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_store_loses_parts_and_refuses_in_the_real_forms() {
    let simulator = quick()
        .adjust(|knobs| {
            knobs.nodes = 0;
            knobs.s3_min_part_size = 10;
            knobs.systems[0].max_part_size = 10;
        })
        .start()
        .await
        .expect("a simulator");
    let mut client = Client::new(&simulator);
    let told = ask_upload(&mut client, "{home}/x", 20);
    let put = |index: usize| {
        let url = text(&told["transferDirectives"]["partsUploadUrls"][index]);
        request("PUT", url, &[], &[b'x'; 10]).expect("an answer")
    };
    simulator.plant_s3(S3Fault { part: Some(2), ..S3Fault::once("PUT", S3FaultKind::Lose) });
    let tags = [0, 1].map(|index| put(index).headers["etag"].clone());
    let complete = || {
        let parts = tags
            .iter()
            .zip(1..)
            .map(|(tag, number)| format!("<Part><ETag>{tag}</ETag><PartNumber>{number}</PartNumber></Part>"));
        let body = format!("<CompleteMultipartUpload>{}</CompleteMultipartUpload>", parts.collect::<String>());
        request("POST", text(&told["transferDirectives"]["completeUploadUrl"]), &[], body.as_bytes())
            .expect("an answer")
    };
    let answer = complete();
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("<Code>InvalidPart</Code>"), "{}", answer.text());
    assert_eq!(put(1).status, 200);
    simulator.plant_s3(S3Fault::once("POST", S3FaultKind::CompletedWithError));
    let answer = complete();
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains("<Error><Code>InternalError</Code>"), "{}", answer.text());
    assert_eq!(simulator.s3_objects(), []);
    for (kind, status, word) in
        [(S3FaultKind::Expired, 403, "Request has expired"), (S3FaultKind::SlowDown, 503, "SlowDown")]
    {
        simulator.plant_s3(S3Fault::once("PUT", kind));
        let answer = put(0);
        assert_eq!(answer.status, status);
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    assert_eq!(complete().status, 200);
    assert_eq!(simulator.s3_objects().len(), 1);
    let struck = simulator.struck_s3();
    let kinds: Vec<&str> = struck.iter().map(|struck| struck.fault.as_str()).collect();
    assert_eq!(kinds, ["lose", "completed-with-error", "expired", "slow-down"]);
    assert!(struck.iter().all(|struck| struck.path.ends_with("/x")), "{struck:?}");
}

// ---- the admin port

#[tokio::test(flavor = "multi_thread")]
async fn the_script_can_be_written_as_json() {
    let simulator = quick().admin(0).start().await.expect("a simulator");
    let client = Client::new(&simulator);
    let admin = simulator.admin_url().expect("an admin port").to_owned();
    let ask = |method: &str, path: &str, body: &str| {
        request(method, &format!("{admin}{path}"), &[("content-type", "application/json")], body.as_bytes())
            .expect("an answer")
    };
    let script = json!([
        {"path_ends": "/ops/stat", "times": 2, "kind": "gateway", "with": 503},
        {"method": "GET", "path_ends": "/ops/stat", "skip": 1, "kind": "drip", "with": {"bytes": 100, "pause": 1}},
        {"path_ends": "/ops/stat", "kind": "rate-limited", "with": {"form": "http-date", "seconds": 1}},
    ]);
    assert_eq!(ask("POST", "/faults", &script.to_string()).status, 204);
    assert_eq!(ask("POST", "/faults", r#"{"path_ends": "/token", "kind": "drop-before"}"#).status, 204);
    assert_eq!(ask("POST", "/s3-faults", r#"{"method": "PUT", "part": 2, "kind": "lose"}"#).status, 204);
    let told = ask("GET", "/faults", "").json();
    assert_eq!(
        (told["planted"].as_array().map(Vec::len), told["planted_s3"].as_array().map(Vec::len)),
        (Some(4), Some(1))
    );
    let statuses: Vec<u16> = (0..4).map(|_| stat(&client).expect("an answer").status).collect();
    assert_eq!(statuses, [503, 503, 429, 200]);
    let told = ask("GET", "/faults", "").json();
    assert_eq!(
        told["struck"][0],
        json!({"method": "GET", "path": client.fill("/filesystem/{system}/ops/stat"), "fault": "gateway"})
    );
    assert_eq!(ask("DELETE", "/faults", "").status, 204);
    assert_eq!(simulator.faults(), []);

    assert_eq!(ask("PATCH", "/knobs", r#"{"quota": 0, "quota_form": "announced", "unhealthy": ["ssh"]}"#).status, 204);
    assert_eq!(stat(&client).expect("an answer").headers["ratelimit-remaining"], "0");
    assert_eq!(ask("PATCH", "/knobs", r#"{"quota": null}"#).status, 204);
    assert_eq!(stat(&client).expect("an answer").status, 503);
    assert_eq!(ask("PATCH", "/knobs", r#"{"unhealthy": [], "clock_skew": -60}"#).status, 204);
    let id = simulator.add_jobs(1, "RUNNING").remove(0);
    assert_eq!(ask("PUT", &format!("/jobs/{id}/state"), r#"{"state": "FAILED"}"#).status, 204);
    assert_eq!(ask("PUT", "/jobs/9999/state", r#"{"state": null}"#).status, 404);
    assert_eq!(ask("GET", "/requests", "").json()[0]["status"], 503);
    assert_eq!(ask("DELETE", "/requests", "").status, 204);
    assert_eq!(ask("GET", "/requests", "").json(), json!([]));
    let ids = ask("POST", "/jobs", r#"{"count": 2, "state": "RUNNING"}"#).json();
    assert_eq!(ids.as_array().map(Vec::len), Some(2));
    let none = json!({"requests": 0, "tokens": 0, "s3_requests": 0, "bytes_in": 0, "bytes_out": 0});
    assert_eq!(ask("GET", "/counts", "").json(), none);
    stat(&client).expect("an answer");
    let counts = ask("GET", "/counts", "").json();
    assert_eq!((&counts["requests"], &counts["tokens"], &counts["s3_requests"]), (&json!(1), &json!(0), &json!(0)));
    assert!(counts["bytes_out"].as_u64() > Some(0), "{counts}");
    assert_eq!(ask("POST", "/tokens/revoke", "").status, 204);
    assert_eq!(stat(&client).expect("an answer").status, 401);
    for (method, path, body, word) in [
        ("POST", "/faults", r#"{"kind": "no-such"}"#, "no-such"),
        ("POST", "/faults", r#"{"kind": "gateway"}"#, "with"),
        ("POST", "/faults", "nothing", "expected"),
        ("PATCH", "/knobs", r#"{"qouta": 1}"#, "qouta"),
        ("PATCH", "/knobs", r#"{"unhealthy": ["moon"]}"#, "moon"),
    ] {
        let answer = ask(method, path, body);
        assert_eq!(answer.status, 400, "{body}");
        assert!(answer.json()["error"].as_str().is_some_and(|error| error.contains(word)), "{body}: {}", answer.text());
    }
    assert_eq!(ask("GET", "/nowhere", "").status, 404);
}
