//! Upload and download through the object store, with their jobs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use firecrest_simulator::{Simulator, TransferKeys};
use serde_json::{Value, json};

use crate::client::{Client, request, same_shape};
use crate::jobs::wait_for;
use crate::quick;

const JOB: &str =
    r#"{"jobId": "57", "system": "x", "workingDirectory": "/", "logs": {"outputLog": "", "errorLog": ""}}"#;
const MIB: usize = 1024 * 1024;

/// Bytes that are nowhere the same.
pub fn bytes(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .flatten()
    .take(length)
    .collect()
}

/// Asks for an upload.
pub fn ask_upload(client: &mut Client, path: &str, size: usize) -> Value {
    let body = json!({
        "path": client.fill(path),
        "account": "staff",
        "transferDirectives": {"transferMethod": "s3", "fileSize": size},
    });
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/upload", &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

fn ask_download(client: &mut Client, path: &str) -> Value {
    let body = json!({"path": client.fill(path), "account": "staff", "transferDirectives": {"transferMethod": "s3"}});
    let answer = client.with_json("POST", "/filesystem/{system}/transfer/download", &body.to_string());
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()
}

pub fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Sends the parts, and completes the upload.
pub fn send(directives: &Value, content: &[u8]) {
    let size = usize::try_from(directives["maxPartSize"].as_u64().expect("a size")).expect("a size");
    let urls = directives["partsUploadUrls"].as_array().expect("URLs");
    assert_eq!(urls.len(), content.len().div_ceil(size));
    let mut list = String::new();
    for (number, (url, part)) in urls.iter().zip(content.chunks(size)).enumerate() {
        let answer = request("PUT", text(url), &[], part).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let etag = &answer.headers["etag"];
        list.push_str(&format!("<Part><PartNumber>{}</PartNumber><ETag>{etag}</ETag></Part>", number + 1));
    }
    let body = format!(
        "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{list}</CompleteMultipartUpload>"
    );
    let url = text(&directives["completeUploadUrl"]);
    let answer = request("POST", url, &[("content-type", "application/xml")], body.as_bytes()).expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("<CompleteMultipartUploadResult"), "{}", answer.text());
}

/// Waits for a transfer's job: its end, and its two logs.
fn ended(client: &mut Client, transfer: &Value) -> (String, i64, String, String) {
    let job = &transfer["transferJob"];
    let id = text(&job["jobId"]).to_owned();
    let start = Instant::now();
    let status = loop {
        let answer = client.get(&format!("/compute/{{system}}/jobs/{id}")).json();
        let status = answer["jobs"][0]["status"].clone();
        if !matches!(status["state"].as_str(), Some("PENDING" | "RUNNING") | None) {
            break status;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "{status}");
        std::thread::sleep(Duration::from_millis(50));
    };
    let log = |name: &str| fs::read_to_string(text(&job["logs"][name])).expect("a log");
    let exit = status["exitCode"].as_i64().unwrap_or(-1);
    (text(&status["state"]).to_owned(), exit, log("outputLog"), log("errorLog"))
}

/// A log's lines without their dates.
fn undated(log: &str) -> Vec<String> {
    log.lines().map(|line| line.split_once(" 20").map_or(line, |(_, rest)| &rest[3..]).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_goes_through_the_object_store() {
    // The job starts once the object is there, as on a busy cluster.
    let simulator = quick().adjust(|knobs| knobs.nodes = 0).start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let home = simulator.home();
    for (system, size, parts) in [("cluster", 5 * MIB + 1, 1), ("cluster-account", 17 * MIB, 3)] {
        client.system = system.into();
        fs::write(format!("{home}/up.bin"), "old").expect("a file");
        fs::set_permissions(format!("{home}/up.bin"), fs::Permissions::from_mode(0o666)).expect("a mode");
        simulator.clear_s3_requests();
        let content = bytes(size);
        simulator.adjust(|knobs| knobs.nodes = 0);
        let told = ask_upload(&mut client, "{home}/up.bin", size);
        let job: Value = serde_json::from_str(JOB).expect("JSON");
        let recorded = json!({"transferJob": job, "transferDirectives": {
            "transferMethod": "s3", "partsUploadUrls": ["x"], "completeUploadUrl": "x", "maxPartSize": 1}});
        same_shape("upload", &told, &recorded);
        assert_eq!(told["transferJob"]["system"], system);
        let directives = &told["transferDirectives"];
        let url = text(&directives["partsUploadUrls"][0]);
        assert!(url.starts_with(&format!("{}/fireuser/", simulator.s3_url())), "{url}");
        for piece in ["/up.bin?", "uploadId=", "partNumber=1", "X-Amz-Expires=604800", "X-Amz-SignedHeaders=host"] {
            assert!(url.contains(piece), "{piece} in {url}");
        }
        send(directives, &content);
        simulator.adjust(|knobs| knobs.nodes = 1);
        let (state, exit, output, errors) = ended(&mut client, &told);
        assert_eq!((state.as_str(), exit, errors.as_str()), ("COMPLETED", 0, ""));
        let mib = format!("{}.000", size / MIB);
        let id = text(&told["transferJob"]["jobId"]);
        assert_eq!(
            undated(&output),
            [
                format!("Ingress File Transfer Job (id:{id})"),
                "Waiting till file to tranfer is available...".into(),
                "File to transfer found in S3 bucket".into(),
                format!("Downloading file to: {home}/up.bin ..."),
                format!("Received {size} bytes"),
                format!("File was successfully downloaded (size: {mib}MB)"),
            ]
        );
        assert!(fs::read(format!("{home}/up.bin")).expect("the file") == content);
        assert!(!fs::exists(format!("{home}/up.bin.1")).expect("an answer"));
        let requests = simulator.s3_requests();
        let seen: Vec<(&str, Option<u32>, bool, u16)> =
            requests.iter().map(|seen| (seen.method.as_str(), seen.part, seen.from_job, seen.status)).collect();
        let mut expected: Vec<(&str, Option<u32>, bool, u16)> =
            (1..=parts).map(|part| ("PUT", Some(part), false, 200)).collect();
        expected.extend([("POST", None, false, 200), ("HEAD", None, true, 200)]);
        expected.extend((1..=parts).map(|_| ("GET", None, true, 206)));
        assert_eq!(seen, expected);
        assert_eq!(
            requests.iter().filter(|seen| seen.method == "PUT").map(|seen| seen.bytes_in).sum::<u64>(),
            size as u64
        );
        assert_eq!(
            requests.iter().filter(|seen| seen.method == "GET").map(|seen| seen.bytes_out).sum::<u64>(),
            size as u64
        );
        assert_eq!(requests[0].bucket, "fireuser");
        assert!(requests[0].key.ends_with("/up.bin"));
    }
    assert_eq!(simulator.s3_objects().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_upload_waits_for_the_jobs_sleep_and_attach_ends_it() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let content = bytes(100_000);
    let told = ask_upload(&mut client, "{home}/late.bin", content.len());
    let id = text(&told["transferJob"]["jobId"]).to_owned();
    wait_for(&mut client, &id, "RUNNING");
    let start = Instant::now();
    while simulator.s3_requests().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "the job never looks");
        std::thread::sleep(Duration::from_millis(20));
    }
    send(&told["transferDirectives"], &content);
    std::thread::sleep(Duration::from_millis(500));
    assert!(!fs::exists(format!("{}/late.bin", simulator.home())).expect("an answer"), "it sleeps for a minute");
    // Ends the job's own sleep, by its environment.
    // The home as well: other tests' simulators have jobs of the same id.
    let command = r#"bash -c 'for p in /proc/[0-9]*; do [ "$(cat $p/comm 2>/dev/null)" = sleep ] && grep -qz "^SLURM_JOB_ID=$SLURM_JOB_ID\$" $p/environ 2>/dev/null && grep -qz "^HOME=$HOME\$" $p/environ && kill ${p#/proc/}; done; exit 0'"#;
    let body = json!({ "command": command }).to_string();
    let answer = client.with_json("PUT", &format!("/compute/{{system}}/jobs/{id}/attach"), &body);
    // The job may end before the command does, and takes it along.
    assert!(answer.status == 204 || answer.message().contains("Exited with exit code 137"), "{}", answer.text());
    let (state, _, output, errors) = ended(&mut client, &told);
    assert_eq!(state, "COMPLETED");
    assert!(output.contains("File was successfully downloaded"), "{output}");
    // What bash says of a child that was killed.
    assert!(errors.contains("Terminated"), "{errors}");
    assert!(fs::read(format!("{}/late.bin", simulator.home())).expect("the file") == content);

    // Without the attach it takes the sleep, which can be shortened.
    simulator.adjust(|knobs| knobs.transfer_sleep = Duration::from_millis(700));
    let told = ask_upload(&mut client, "{home}/later.bin", content.len());
    wait_for(&mut client, text(&told["transferJob"]["jobId"]), "RUNNING");
    std::thread::sleep(Duration::from_millis(200));
    send(&told["transferDirectives"], &content);
    assert_eq!(ended(&mut client, &told).0, "COMPLETED");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_end_as_the_script_ends() {
    let simulator = quick().start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let home = simulator.home().to_owned();
    let mut run = |path: &str| {
        simulator.adjust(|knobs| knobs.nodes = 0);
        let told = ask_upload(&mut client, path, 5);
        send(&told["transferDirectives"], b"hello");
        simulator.adjust(|knobs| knobs.nodes = 1);
        ended(&mut client, &told)
    };
    let there = |name: &str| fs::read(format!("{home}/{name}")).is_ok_and(|content| content == b"hello");

    let (state, exit, _, errors) = run("{home}");
    assert_eq!((state.as_str(), exit), ("FAILED", 3));
    assert!(errors.contains("targetPath must point to a file path:  is a directory."), "{errors}");

    // Names land as HTML, and as what a shell makes of them.
    for (path, name) in [
        ("a b.txt", "a b.txt"),
        ("a&b.txt", "a&amp;b.txt"),
        ("it's", "it&#39;s"),
        ("say \"x\"", "say &#34;x&#34;"),
        ("price$x.txt", "price.txt"),
        ("a\\\\b", "a\\b"),
        ("ünï;*|(c).txt", "ünï;*|(c).txt"),
        ("new\nline", "new\nline"),
    ] {
        let (state, _, output, _) = run(&format!("{{home}}/{path}"));
        assert_eq!(state, "COMPLETED", "{path}");
        assert!(output.contains("File was successfully downloaded (size: 0.000MB)"), "{output}");
        assert!(there(name), "{path} is not {name}");
    }
    // What a shell would run is not run.
    for path in ["$(touch ran)", "`touch ran`", "${x}", "a\\"] {
        let (state, exit, output, _) = run(&format!("{{home}}/{path}"));
        assert_eq!((state.as_str(), exit), ("FAILED", 1), "{path}");
        assert!(output.contains("Ingress File Transfer Job"), "{output}");
    }
    assert!(!fs::exists(format!("{home}/ran")).expect("an answer"));

    // A target that cannot be written to goes unnoticed.
    for path in ["{home}/no/folder.txt", "/etc/made-by-a-test", "{homes}/../made-by-a-test"] {
        let (state, exit, output, errors) = run(path);
        assert_eq!((state.as_str(), exit), ("COMPLETED", 0), "{path}");
        assert!(output.contains("File was successfully downloaded"), "{output}");
        assert!(!errors.is_empty());
    }
    assert!(!fs::exists("/etc/made-by-a-test").expect("an answer"));
    assert!(!fs::exists(simulator.root().join("made-by-a-test")).expect("an answer"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_goes_through_the_object_store() {
    let simulator = quick().adjust(|knobs| knobs.nodes = 0).start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    let home = simulator.home().to_owned();
    let content = bytes(17 * MIB + 5);
    let write = |name: &str, content: &[u8]| {
        fs::write(format!("{home}/{name}"), content).expect("a file");
        fs::set_permissions(format!("{home}/{name}"), fs::Permissions::from_mode(0o644)).expect("a mode");
    };
    write("down.bin", &content);
    client.system = "cluster-account".into();
    let told = ask_download(&mut client, "{home}/down.bin");
    let job: Value = serde_json::from_str(JOB).expect("JSON");
    let recorded = json!({"transferJob": job, "transferDirectives": {"transferMethod": "s3", "downloadUrl": "x"}});
    same_shape("download", &told, &recorded);
    let url = text(&told["transferDirectives"]["downloadUrl"]).to_owned();
    let early = request("GET", &url, &[], b"").expect("an answer");
    assert_eq!(early.status, 404);
    assert!(early.text().contains("<Code>NoSuchKey</Code>"), "{}", early.text());
    assert!(early.text().contains("The specified key does not exist."), "{}", early.text());
    simulator.adjust(|knobs| knobs.nodes = 1);
    let (state, exit, output, errors) = ended(&mut client, &told);
    assert_eq!((state.as_str(), exit, errors.as_str()), ("COMPLETED", 0, ""));
    for line in [
        &format!("Uploading file:{home}/down.bin into 3 chunks"),
        "[INFO] Creating temporary folder:tmp/",
        "[INFO] Uploading part 2...",
        "[INFO] Parts upload completed.",
        "[INFO] Upload of part 3 succeded with ETag: ",
        "[INFO] Signaling multipart upload completion",
        "[INFO] Multipart file upload successfully completed",
    ] {
        assert!(output.contains(line), "{line} in {output}");
    }
    let whole = request("GET", &url, &[], b"").expect("an answer");
    assert_eq!(whole.status, 200);
    assert!(whole.body == content);
    let etag = whole.headers["etag"].clone();
    assert!(etag.ends_with("-3\""), "{etag}");
    // Even parts of whole MiB: 6, 6 and the rest. This range begins in one and ends in the next.
    let range = format!("bytes={}-{}", 6 * MIB - 10, 6 * MIB + 9);
    let some = request("GET", &url, &[("range", &range), ("if-match", &etag)], b"").expect("an answer");
    assert_eq!((some.status, some.headers["content-length"].as_str()), (206, "20"));
    assert!(some.body == content[6 * MIB - 10..6 * MIB + 10]);
    assert_eq!(some.headers["content-range"], format!("bytes {}-{}/{}", 6 * MIB - 10, 6 * MIB + 9, content.len()));
    let last = request("GET", &url, &[("range", "bytes=-7")], b"").expect("an answer");
    assert!(last.body == content[content.len() - 7..]);
    let beyond = format!("bytes={}-", content.len());
    assert_eq!(request("GET", &url, &[("range", &beyond)], b"").expect("an answer").status, 416);
    let other = request("GET", &url, &[("if-match", "\"0\"")], b"").expect("an answer");
    assert_eq!(other.status, 412, "{}", other.text());
    assert!(fs::read_dir(format!("{home}/tmp")).expect("what the script leaves").next().is_none());

    // The path is bare in the script.
    write("a b", b"x");
    write("a&b", b"x");
    write("empty", b"");
    write("$x.txt", b"x");
    write(".txt", b"other");
    for (name, exit, said) in [("a b", 34, "file_not_found"), ("a&b", 34, "file_not_found"), ("empty", 70, "400")] {
        let told = ask_download(&mut client, &format!("{{home}}/{name}"));
        let (state, code, _, errors) = ended(&mut client, &told);
        assert_eq!((state.as_str(), code), ("FAILED", exit), "{name}: {errors}");
        assert!(errors.contains(said), "{errors}");
    }
    let told = ask_download(&mut client, "{home}/$x.txt");
    assert_eq!(ended(&mut client, &told).0, "COMPLETED");
    let wrong = request("GET", text(&told["transferDirectives"]["downloadUrl"]), &[], b"").expect("an answer");
    assert_eq!(wrong.text(), "other");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_for_transfers_are_checked() {
    let simulator = quick().adjust(|knobs| knobs.nodes = 0).start().await.expect("a simulator");
    let mut client = Client::new(&simulator);
    assert_eq!(ask_upload(&mut client, "{home}/empty", 0)["transferDirectives"]["partsUploadUrls"], json!([]));
    let upload = "/filesystem/{system}/transfer/upload";
    for (size, status) in [("\"12\"", 201), ("12.0", 201), ("1.5", 400), ("\"x\"", 400), ("null", 500)] {
        let body =
            format!(r#"{{"path":"{{home}}/x","transferDirectives":{{"transferMethod":"s3","fileSize":{size}}}}}"#);
        assert_eq!(client.with_json("POST", upload, &body).status, status, "{size}");
        client.hang_up();
    }
    client.system = "cluster-account".into();
    fs::write(format!("{}/x", simulator.home()), "x").expect("a file");
    for (operation, path) in [("upload", "{home}/x"), ("download", "{home}/x")] {
        let body = format!(r#"{{"path":"{path}","transferDirectives":{{"transferMethod":"s3","fileSize":1}}}}"#);
        let answer = client.with_json("POST", &format!("/filesystem/{{system}}/transfer/{operation}"), &body);
        let message = "Account parameter is required on this system.";
        assert_eq!((answer.status, answer.message().as_str()), (400, message));
    }
    let spelled = |simulator: &Simulator, client: &mut Client, keys| {
        simulator.adjust(|knobs| knobs.transfer_keys = keys);
        (ask_upload(client, "{home}/x", 1), ask_download(client, "{home}/x"))
    };
    let (up, down) = spelled(&simulator, &mut client, TransferKeys::Snake);
    let directives = &up["transferDirectives"];
    for key in ["parts_upload_urls", "complete_upload_url", "max_part_size", "transferMethod"] {
        assert!(!directives[key].is_null(), "{key} in {directives}");
    }
    assert!(down["transferDirectives"]["download_url"].is_string());
    let (up, down) = spelled(&simulator, &mut client, TransferKeys::TopLevel);
    assert!(up["partsUploadUrls"].is_array() && up["transferJob"]["jobId"].is_string());
    assert!(down["downloadUrl"].is_string());
}
