//! The object store by itself: signatures, expiry, parts, faults.

use std::time::Duration;

use firecrest_simulator::{S3Fault, S3FaultKind, Service, Simulator};
use serde_json::Value;

use crate::client::{Client, request};
use crate::quick;
use crate::transfer::{ask_upload, bytes, send, text};

/// A simulator whose jobs never start, so that the store is asked by the test alone.
async fn still() -> (Simulator, Client) {
    let simulator = quick()
        .adjust(|knobs| {
            knobs.nodes = 0;
            knobs.s3_min_part_size = 10;
            knobs.systems[0].max_part_size = 10;
        })
        .start()
        .await
        .expect("a simulator");
    let client = Client::new(&simulator);
    (simulator, client)
}

fn part_url(told: &Value, index: usize) -> &str {
    text(&told["transferDirectives"]["partsUploadUrls"][index])
}

fn complete(told: &Value, parts: &[(u32, &str)]) -> (u16, String) {
    let list: String = parts
        .iter()
        .map(|(number, etag)| format!("<Part><ETag>{etag}</ETag><PartNumber>{number}</PartNumber></Part>"))
        .collect();
    let body = format!("<CompleteMultipartUpload>{list}</CompleteMultipartUpload>");
    let url = text(&told["transferDirectives"]["completeUploadUrl"]);
    let answer = request("POST", url, &[], body.as_bytes()).expect("an answer");
    (answer.status, answer.text())
}

#[tokio::test(flavor = "multi_thread")]
async fn signatures_and_their_expiry_are_checked() {
    let (simulator, mut client) = still().await;
    let told = ask_upload(&mut client, "{home}/x", 5);
    let url = part_url(&told, 0).to_owned();
    let put = |url: &str| {
        let answer = request("PUT", url, &[], b"hello").expect("an answer");
        (answer.status, answer.text())
    };
    let bare = url.split('?').next().expect("a path").to_owned();
    let (status, said) = put(&bare);
    assert_eq!(status, 403, "{said}");
    for (from, to) in [
        ("partNumber=1", "partNumber=2"),
        ("/fireuser/", "/other/"),
        ("X-Amz-Expires=604800", "X-Amz-Expires=604799"),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ] {
        let (status, said) = put(&url.replace(from, to));
        assert!(status == 403 || to.ends_with("=0"), "{to}: {said}");
        assert_ne!(status, 200, "{to}");
    }
    let (status, said) = put(&url.replace("X-Amz-Credential=", "X-Amz-Credential=x"));
    assert_eq!(status, 403, "{said}");
    // A URL allows one method.
    assert_eq!(request("GET", &url, &[], b"").expect("an answer").status, 403);
    assert_eq!(put(&url).0, 200);
    simulator.adjust(|knobs| knobs.s3_url_lifetime = Duration::from_secs(1));
    let told = ask_upload(&mut client, "{home}/x", 5);
    std::thread::sleep(Duration::from_millis(2100));
    let (status, said) = put(part_url(&told, 0));
    assert_eq!(status, 403, "{said}");
    assert!(said.to_lowercase().contains("expired"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_needs_its_parts() {
    let (simulator, mut client) = still().await;
    let told = ask_upload(&mut client, "{home}/ü x+%.bin", 25);
    let put = |index, body: &[u8]| {
        let answer = request("PUT", part_url(&told, index), &[], body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.headers["etag"].clone()
    };
    let small = put(0, b"012345678");
    let (two, three) = (put(1, b"0123456789"), put(2, b"01234"));
    let code = |parts: &[(u32, &str)], status: u16, code: &str| {
        let (seen, said) = complete(&told, parts);
        assert_eq!(seen, status, "{said}");
        assert!(said.contains(&format!("<Code>{code}</Code>")), "{said}");
    };
    code(&[], 400, "MalformedXML");
    code(&[(1, &small), (2, &two), (3, &three)], 400, "EntityTooSmall");
    code(&[(2, &two), (1, &small)], 400, "InvalidPartOrder");
    let one = put(0, b"0123456789");
    code(&[(1, &small), (2, &two)], 400, "InvalidPart");
    code(&[(1, &one), (4, &two)], 400, "InvalidPart");
    let (status, said) = complete(&told, &[(1, &one), (2, &two), (3, three.trim_matches('"'))]);
    assert_eq!(status, 200, "{said}");
    code(&[(1, &one)], 404, "NoSuchUpload");
    let late = request("PUT", part_url(&told, 0), &[], b"0123456789").expect("an answer");
    assert_eq!(late.status, 404, "{}", late.text());
    let objects = simulator.s3_objects();
    assert_eq!(objects.len(), 1);
    assert!(objects[0].0.ends_with("/ü x+%.bin"), "{}", objects[0].0);
    assert_eq!(objects[0].1, 25);
    // No client sees where the store keeps things.
    let folder = simulator.root().join("objects");
    assert!(simulator.file_systems().iter().all(|system| !folder.starts_with(system)));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_the_store_too() {
    let (simulator, mut client) = still().await;
    let told = ask_upload(&mut client, "{home}/x", 30);
    let put = |index| request("PUT", part_url(&told, index), &[], &[b'x'; 10]);
    let fault = |method: &str, kind| S3Fault::once(method, kind);
    simulator.plant_s3(S3Fault { part: Some(2), ..fault("PUT", S3FaultKind::DropBefore) });
    assert!(put(0).is_ok());
    assert!(put(1).is_err());
    simulator.plant_s3(fault("put", S3FaultKind::Answer { status: 503, body: "<Error/>".into() }));
    assert_eq!(put(1).expect("an answer").status, 503);
    simulator.plant_s3(fault("PUT", S3FaultKind::DropAfter));
    assert!(put(1).is_err());
    simulator.plant_s3(S3Fault { jobs: true, ..fault("PUT", S3FaultKind::DropBefore) });
    assert_eq!(put(1).expect("an answer").status, 200);
    let statuses: Vec<(Option<u32>, u16)> =
        simulator.s3_requests().iter().map(|seen| (seen.part, seen.status)).collect();
    assert_eq!(statuses, [(Some(1), 200), (Some(2), 0), (Some(2), 503), (Some(2), 200), (Some(2), 200)]);
    simulator.set_healthy(Service::S3, false);
    assert_eq!(put(1).expect("an answer").status, 503);
    simulator.set_healthy(Service::S3, true);

    // A download that breaks off goes on from there.
    let content = bytes(25);
    simulator.adjust(|knobs| knobs.systems[0].max_part_size = 100);
    let told = ask_upload(&mut client, "{home}/y", 25);
    send(&told["transferDirectives"], &content);
    // A file of its own: the job of the upload removes its target before it writes it.
    std::fs::write(format!("{}/z", simulator.home()), &content).expect("a file");
    let body = r#"{"path":"{home}/z","transferDirectives":{"transferMethod":"s3"}}"#;
    simulator.adjust(|knobs| knobs.nodes = 2);
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/download", body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let told = answer.json();
    let url = text(&told["transferDirectives"]["downloadUrl"]);
    let start = std::time::Instant::now();
    let etag = loop {
        let answer = request("GET", url, &[("range", "bytes=0-0")], b"").expect("an answer");
        if answer.status == 206 {
            break answer.headers["etag"].clone();
        }
        assert_eq!(answer.status, 404, "{}", answer.text());
        assert!(start.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(50));
    };
    simulator.plant_s3(fault("GET", S3FaultKind::CutAfter(9)));
    let first = request("GET", url, &[], b"").expect("an answer");
    assert_eq!((first.status, first.headers["content-length"].as_str()), (200, "25"));
    assert_eq!(first.body, content[..9]);
    let rest = request("GET", url, &[("range", "bytes=9-"), ("if-match", &etag)], b"").expect("an answer");
    assert_eq!(rest.body, content[9..]);
}
