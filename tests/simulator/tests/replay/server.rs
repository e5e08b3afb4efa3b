//! Tokens, systems, routes, status, and what a test can turn.

use std::time::Duration;

use firecrest_simulator::{Fault, FaultKind, Quota, RetryAfter, Service, Simulator};
use serde_json::Value;

use crate::client::{Answer, Client, same_shape};
use crate::quick;

fn error(answer: &Answer, status: u16, message: &str, user: Option<&str>) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["message"], message);
    assert_eq!(body["user"].as_str(), user);
    assert_eq!(body["errorType"], "error");
}

fn ask_token(client: &mut Client, authorization: Option<&str>, form: &str) -> Answer {
    client.token = None;
    let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
    if let Some(value) = authorization {
        headers.push(("authorization", value));
    }
    client.send("POST", "/auth/realms/kcrealm/protocol/openid-connect/token", &headers, form.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_given_out_and_checked() {
    let simulator = Simulator::builder().client("me", "s3cret").start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let stat = "/filesystem/{system}/ops/stat?path={home}";

    let granted = ask_token(&mut client, None, "grant_type=client_credentials&client_id=me&client_secret=s3cret");
    assert_eq!(granted.status, 200);
    assert_eq!(granted.json()["expires_in"], 300);
    assert_eq!(granted.json()["token_type"], "Bearer");
    client.token = granted.json()["access_token"].as_str().map(str::to_owned);
    assert_eq!(client.get(stat).status, 200);

    let basic = ask_token(&mut client, Some("Basic bWU6czNjcmV0"), "grant_type=client_credentials");
    assert_eq!(basic.status, 200);
    let wrong = ask_token(&mut client, None, "grant_type=client_credentials&client_id=me&client_secret=no");
    assert_eq!(wrong.status, 401);
    assert_eq!(
        wrong.json(),
        serde_json::json!({"error": "unauthorized_client", "error_description": "Invalid client or Invalid client credentials"})
    );
    let keys = client.get("/auth/realms/kcrealm/protocol/openid-connect/certs");
    assert_eq!(keys.json()["keys"][0]["alg"], "RS256");

    client.token = None;
    for path in ["/status/systems", stat] {
        let answer = client.get(path);
        error(&answer, 401, "Not authenticated", None);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    let good = simulator.token("fireuser", Duration::from_secs(100));
    let mut forged = good.clone();
    forged.replace_range(good.len() - 8..good.len() - 4, "AAAA");
    let other = Simulator::builder().start().await.expect("another");
    let foreign = other.token("fireuser", Duration::from_secs(100));
    let cases = [
        ("abc".to_owned(), "Access token is invalid."),
        (forged, "Access token is invalid."),
        (foreign, "Token's public key not found."),
        (
            simulator.token("fireuser", Duration::from_secs(20)),
            "Access token expires too soon (less than 30s remaining).",
        ),
        (simulator.token("fireuser", Duration::ZERO), "Access token expired"),
    ];
    for (token, message) in cases {
        client.token = Some(token.clone());
        let answer = client.get(stat);
        error(&answer, 401, message, None);
        assert_eq!(answer.headers["auth-token"], token);
        assert!(!answer.headers.contains_key("f7t-authusername"));
    }
    client.token = Some(simulator.token("nosuchuser", Duration::from_secs(100)));
    let answer = client.get(stat);
    error(&answer, 500, "('No SSH credentials found for user:nosuchuser',)", Some("nosuchuser"));
    client.token = Some(good);
    assert_eq!(client.get(stat).status, 200);
    simulator.revoke_tokens();
    error(&client.get(stat), 401, "Access token is invalid.", None);
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_and_systems_are_as_recorded() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let user = Some("fireuser");
    error(&client.get("/filesystem/nosuch/ops/ls?path=/home"), 404, "System not found", user);
    error(&client.get("/compute/nosuch/jobs"), 404, "System not found", user);
    error(&client.get("/nope"), 404, "Not Found", None);
    let answer = client.get("/filesystem/{system}/ops/mkdir");
    error(&answer, 405, "Method Not Allowed", None);
    assert_eq!(client.get("/status/liveness").status, 307);

    let samples = [
        (
            "/status/liveness/",
            r#"{"healthcheckRuns":{"cluster":"2026-11-24T06:50:28.031417Z","cluster-account":""},"lastUpdate":69}"#,
        ),
        (
            "/status/{system}/userinfo",
            r#"{"user":{"id":"1001","name":"fireuser"},"group":{"id":"100","name":"users"},"groups":[{"id":"100","name":"users"}],"accounts":[{"name":"myproject","default":false}]}"#,
        ),
        (
            "/status/{system}/partitions",
            r#"{"partitions":[{"name":"part01","cpus":16,"totalNodes":1,"partition":"UP"}]}"#,
        ),
        (
            "/status/{system}/nodes",
            r#"{"nodes":[{"sockets":16,"cores":16,"threads":16,"cpus":16,"cpuLoad":1.49,"freeMemory":20897,"features":"f7t","name":"localhost","address":"127.0.0.1","hostname":"vm","state":["IDLE"],"partitions":["part01"],"weight":1,"allocMemory":16000,"allocCpus":0,"idleCpus":16}]}"#,
        ),
        ("/status/{system}/reservations", r#"{"reservations":[]}"#),
    ];
    for (path, sample) in samples {
        let answer = client.get(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let sample: Value = serde_json::from_str(sample).expect("a sample");
        same_shape(path, &answer.json(), &sample);
    }

    let systems = client.get("/status/systems").json();
    let system = &systems["systems"][0];
    let keys: Vec<&String> = system.as_object().expect("a system").keys().collect();
    for key in
        ["name", "ssh", "scheduler", "servicesHealth", "probing", "lastHealthCheck", "fileSystems", "dataOperation"]
    {
        assert!(keys.iter().any(|known| *known == key), "{key}");
    }
    assert_eq!(keys.len(), 8);
    assert_eq!(system["dataOperation"]["max_ops_file_size"], 5_242_880);
    assert_eq!(system["servicesHealth"].as_array().map(Vec::len), Some(5));
    assert_eq!(systems["systems"][1]["name"], "cluster-account");
}

#[tokio::test(flavor = "multi_thread")]
async fn sick_services_answer_503() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let user = Some("fireuser");
    let homes = simulator.file_systems()[0].clone();
    let stat = "/filesystem/{system}/ops/stat?path={home}";

    simulator.set_healthy(Service::Scheduler, false);
    let message = "The scheduler service for the requested system (cluster) is unhealthy.";
    error(&client.get("/compute/{system}/jobs"), 503, message, user);
    assert_eq!(client.get(stat).status, 200);
    let systems = client.get("/status/systems").json();
    assert_eq!(systems["systems"][0]["servicesHealth"][0]["healthy"], false);
    simulator.set_healthy(Service::Scheduler, true);

    simulator.set_healthy(Service::FileSystem(homes.clone()), false);
    let message = format!("The requested filesystem ({homes} on cluster) is unhealthy.");
    error(&client.get(stat), 503, &message, user);
    simulator.set_healthy(Service::FileSystem(homes), true);

    simulator.set_healthy(Service::Ssh, false);
    let message = "The ssh service for the requested system (cluster) is unhealthy.";
    error(&client.get(stat), 503, message, user);
    simulator.set_healthy(Service::Ssh, true);
    assert_eq!(client.get(stat).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_can_turn_knobs_and_count() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let stat = "/filesystem/{system}/ops/stat?path={home}";
    simulator.adjust(|knobs| {
        knobs.version = "2.4.0".into();
        knobs.latency = Duration::from_millis(60);
    });
    let answer = client.get(stat);
    assert!(answer.elapsed >= Duration::from_millis(60));
    assert_eq!(answer.headers["f7t-appversion"], "2.4.0");
    simulator.adjust(|knobs| knobs.latency = Duration::ZERO);

    for form in [RetryAfter::Seconds, RetryAfter::HttpDate, RetryAfter::RateLimitReset, RetryAfter::Announced] {
        simulator.adjust(|knobs| {
            knobs.quota = Some(Quota { requests: 0, window: Duration::from_secs(7), form });
        });
        let answer = client.get(stat);
        assert_eq!(answer.status, 429);
        match form {
            RetryAfter::Seconds => assert_eq!(answer.headers["retry-after"], "7"),
            RetryAfter::HttpDate => assert!(answer.headers["retry-after"].ends_with("GMT")),
            RetryAfter::RateLimitReset => assert_eq!(answer.headers["ratelimit-reset"], "7"),
            RetryAfter::Announced => {
                assert_eq!(
                    (answer.headers["retry-after"].as_str(), answer.headers["ratelimit-remaining"].as_str()),
                    ("7", "0")
                );
            }
        }
    }
    simulator.adjust(|knobs| knobs.quota = Some(Quota { form: RetryAfter::Announced, ..Quota::per_minute(2) }));
    for (status, remaining) in [(200, "1"), (200, "0"), (429, "0")] {
        let answer = client.get(stat);
        assert_eq!((answer.status, answer.headers["ratelimit-remaining"].as_str()), (status, remaining));
        assert_eq!(answer.headers["ratelimit-limit"], "2");
    }
    simulator.adjust(|knobs| knobs.quota = None);

    simulator.plant(Fault {
        method: Some("GET".into()),
        path_ends: "/ops/stat".into(),
        times: 1,
        skip: 1,
        kind: FaultKind::Answer {
            status: 502,
            body: "<html>bad gateway</html>".into(),
            headers: vec![("content-type".into(), "text/html".into())],
        },
    });
    simulator.clear_requests();
    let statuses = [(); 3].map(|()| client.get(stat).status);
    assert_eq!(statuses, [200, 502, 200]);
    let requests = simulator.requests();
    assert_eq!(requests.len(), 3);
    assert_eq!(requests[0].method, "GET");
    assert_eq!(requests[0].path, "/filesystem/cluster/ops/stat");
    assert!(requests[0].query.as_deref().is_some_and(|query| query.starts_with("path=")));
    assert!(requests[0].bytes_out > 100);
    assert!(requests.iter().all(|request| request.connection == requests[0].connection));
    assert_eq!(simulator.connections(), 1);
    client.upload("{home}", "x", b"12345");
    let last = simulator.requests().pop().expect("a request");
    assert!(last.bytes_in > 5);
    assert_eq!((last.status, last.bytes_out), (204, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn validation_errors_are_as_recorded() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let answer = client.with_json("POST", "/compute/{system}/jobs", r##"{"job":{"script":"#!/bin/bash\n"}}"##);
    assert_eq!(answer.status, 400);
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "errorType": "validation",
            "message": "1 validation error:\n  {'type': 'missing', 'loc': ('body', 'job', 'workingdirectory'), 'msg': 'field required', 'input': {'script': '#!/bin/bash\\n'}}\n\n  file \"firecrest/compute/router.py\", line 40, in post_job_submit\n    post /compute/{system_name}/jobs",
            "causedBy": null,
            "data": {"fields": [{"location": "body", "name": "job", "message": "Field required"}]},
            "user": "fireuser",
        })
    );
    let answer = client.op("GET", "ls", "{home}", "&recursive=maybe&showHidden=2");
    assert_eq!(answer.status, 400);
    assert!(answer.message().starts_with("2 validation errors:\n"));
    let fields = &answer.json()["data"]["fields"];
    assert_eq!(fields[0]["name"], "showHidden");
    assert_eq!(fields[0]["location"], "query");
    let answer =
        client.with_json("POST", "/filesystem/{system}/ops/compress", r#"{"path":"{home}","compression":"zip"}"#);
    let fields = &answer.json()["data"]["fields"];
    assert_eq!(fields[0]["name"], "targetPath");
    assert_eq!(fields[1]["message"], "Input should be 'none', 'bzip2', 'gzip' or 'xz'");
    let answer = client.with_json("POST", "/filesystem/{system}/ops/mkdir", "{\"path\":");
    assert_eq!((answer.status, &answer.json()["user"]), (400, &Value::Null));
    let answer = client.send(
        "POST",
        "/filesystem/{system}/ops/upload?path={home}",
        &[("content-type", "multipart/form-data; boundary=x")],
        b"--x--\r\n",
    );
    assert_eq!(answer.json()["data"]["fields"][0]["name"], "file");
}
