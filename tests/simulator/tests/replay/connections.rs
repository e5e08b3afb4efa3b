//! Connections that the server ends without a word.

use std::time::Duration;

use firecrest_simulator::{Fault, FaultKind};

use crate::client::Client;
use crate::quick;

const STAT: &str = "/filesystem/{system}/ops/stat?path={home}";

/// The next request on the client's connection is answered, or finds it ended.
fn alive(client: &mut Client) -> bool {
    let path = client.fill(STAT);
    std::thread::sleep(Duration::from_millis(30));
    client.try_send("GET", &path, &[], b"").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn some_errors_end_the_connection() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    assert!(alive(&mut client));
    // An ordinary error leaves it alone.
    assert_eq!(client.op("GET", "stat", "{home}/nope", "").status, 404);
    assert!(alive(&mut client));

    let answer = client.get("/filesystem/{system}/ops/stat");
    assert_eq!(answer.status, 400);
    assert_eq!(answer.message(), "Unable to decode request and retreive the required path or source_path parameter.");
    assert!(!answer.headers.contains_key("connection"));
    assert!(!alive(&mut client));

    let body = r##"{"job":{"workingDirectory":"{home}","script":"#!/bin/bash\n","env":["A=b"]}}"##;
    let answer = client.with_json("POST", "/compute/{system}/jobs", body);
    assert_eq!(answer.status, 500);
    assert_eq!(
        answer.json(),
        serde_json::json!({"errorType": "error", "message": "(\"'list' object has no attribute 'items'\",)", "causedBy": null, "data": null, "user": null})
    );
    assert!(!answer.headers.contains_key("f7t-authusername"));
    assert!(!answer.headers.contains_key("connection"));
    assert!(!alive(&mut client));

    let body = r#"{"path":"{home}/big","transferDirectives":{"transferMethod":"s3"}}"#;
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/upload", body);
    assert_eq!(answer.status, 500);
    assert_eq!(answer.message(), "(\"unsupported operand type(s) for /: 'NoneType' and 'int'\",)");
    assert!(!alive(&mut client));
    assert!(alive(&mut client));
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_can_lose_a_request_or_its_answer() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let upload = |client: &mut Client, name: &str| {
        client.hang_up();
        let path = client.fill("/filesystem/{system}/ops/upload?path={home}");
        let body =
            format!("--f\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\r\nx\r\n--f--\r\n");
        let headers = [("content-type", "multipart/form-data; boundary=f")];
        client.try_send("POST", &path, &headers, body.as_bytes())
    };
    let file = |name: &str| std::path::Path::new(simulator.home()).join(name);
    simulator.plant(Fault::once("/ops/upload", FaultKind::DropBefore));
    assert!(upload(&mut client, "before").is_err());
    assert!(!file("before").exists());
    simulator.plant(Fault::once("/ops/upload", FaultKind::DropAfter));
    assert!(upload(&mut client, "after").is_err());
    assert!(file("after").exists());
    assert!(upload(&mut client, "now").is_ok());
}
