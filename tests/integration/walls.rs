//! A server that means harm: names that lead elsewhere, answers without end, addresses of others, secrets said back.

use std::fs;

use aiida_firecrest_host::policy::{Origin, Policy};
use aiida_firecrest_host::transport::{ListOptions, TransferOptions};
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, Session};
use aiida_firecrest_tests::{Rig, failure, in_time, names, noise, plugin, target_folder};
use firecrest_simulator::{Fault, FaultKind};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::programs;

fn says(path_ends: &str, body: impl ToString) -> Fault {
    Fault::once(path_ends, FaultKind::Answer { status: 200, body: body.to_string(), headers: vec![] })
}

// ---- names

/// A listing with one entry of that name, in the server's form.
fn listing(name: &str) -> String {
    let entry = json!({
        "name": name, "type": "-", "linkTarget": null, "user": "u", "group": "g", "permissions": "rw-r--r--",
        "lastModified": "2026-11-24T06:51:36", "size": "4",
    });
    json!({ "output": [entry] }).to_string()
}

const ELSEWHERE: [&str; 8] =
    ["../x", "/etc/x", "a/../../x", "..", "./../x", "a//x", "\\056\\056/x", "x/../../../../../../tmp/x"];

#[tokio::test]
async fn names_in_listings_that_lead_elsewhere_are_refused() {
    let mut rig = Rig::open().await;
    let folder = rig.place_directory("d");
    for name in ELSEWHERE {
        rig.simulator.plant(says("/ops/ls", listing(name)));
        let options = ListOptions { recursive: true, hidden: true, pattern: None };
        let error = failure(rig.session.list(&folder, &options).await);
        assert!(error.message.contains("leads elsewhere"), "{name}: {}", error.message);
        rig.simulator.clear_faults();
        rig.simulator.plant(says("/ops/ls", listing(name)));
        let target = rig.local("got");
        let _ = rig.session.get(&format!("{folder}/*"), &target, &TransferOptions::default()).await;
        rig.simulator.clear_faults();
        assert_eq!(names(rig.folder.path()), [""; 0], "{name}");
    }
}

/// A member of a tar stream.
fn member(name: &str, kind: u8, link: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0_u8; 512];
    let mut put = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, b"0000644\0");
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", content.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, &[kind]);
    put(157, link.as_bytes());
    put(257, b"ustar\x0000");
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header.extend(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

fn archive(members: &[Vec<u8>]) -> String {
    String::from_utf8([members.concat(), vec![0; 1024]].concat()).expect("text")
}

/// Archives in which names climb, are absolute, go through links that the archive itself makes, or link to what is outside.
#[tokio::test]
async fn names_in_archives_that_lead_elsewhere_are_never_made() {
    let mut rig = Rig::open().await;
    let folder = rig.place_directory("d");
    fs::write(rig.local("victim"), "mine").unwrap();
    let root = rig.folder.path().to_str().unwrap().to_owned();
    let file = |name: &str| member(name, b'0', "", b"evil");
    let link = |name: &str, to: &str| member(name, b'2', to, b"");
    let hard = |name: &str, to: &str| member(name, b'1', to, b"");
    for members in [
        vec![file("../victim")],
        vec![file("./../victim")],
        vec![file(&format!("{root}/victim"))],
        vec![file("a/../../victim")],
        vec![link("l", ".."), file("l/victim")],
        vec![link("l", &root), file("l/victim")],
        vec![link("l", "../victim"), file("l")],
        vec![hard("h", "../victim"), file("h")],
        vec![hard("h", &format!("{root}/victim"))],
        vec![link("l", ".."), hard("h", "l/victim"), file("h")],
        vec![file("./x"), member("../new", b'5', "", b"")],
    ] {
        rig.simulator.plant(says("/ops/download", archive(&members)));
        for options in [TransferOptions::default(), TransferOptions { dereference: false, ..Default::default() }] {
            let _ = rig.session.get(&folder, rig.local("tree"), &options).await;
            let mut left = names(rig.folder.path());
            left.retain(|name| name != "tree");
            assert_eq!(left, ["victim"]);
            assert_eq!(fs::read(rig.local("victim")).unwrap(), b"mine");
            let _ = fs::remove_dir_all(rig.local("tree"));
        }
        rig.simulator.clear_faults();
    }
}

/// A remote name that is got into a local folder is the last name of what the caller asked for, whatever the server says.
#[tokio::test]
async fn a_remote_path_with_dots_names_no_local_file() {
    let mut rig = Rig::open().await;
    rig.place("f", b"evil");
    fs::create_dir(rig.local("in")).unwrap();
    for remote in [format!("{}/d/..", rig.simulator.home()), "/..".to_owned()] {
        let _ = rig.session.get(&remote, rig.local("in"), &TransferOptions::default()).await;
        assert_eq!(names(rig.folder.path()), ["in"], "{remote}");
    }
}

// ---- addresses

/// The server hands out a presigned URL of a server that nobody allowed: it is refused before a connection, and named.
#[tokio::test]
async fn a_presigned_url_to_another_origin_is_refused_and_named() {
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", elsewhere.local_addr().unwrap());
    let mut rig = Rig::open().await;
    let told = json!({
        "transferJob": {"jobId": 1, "system": "cluster", "workingDirectory": "/x", "logs": {"outputLog": "/x", "errorLog": "/x"}},
        "transferDirectives": {
            "transfer_method": "s3", "partsUploadUrls": [format!("{url}/b/k?X-Amz-Signature=s3cr3t")],
            "completeUploadUrl": format!("{url}/b/k?X-Amz-Signature=s3cr3t"), "maxPartSize": 1 << 30,
            "downloadUrl": format!("{url}/b/k?X-Amz-Signature=s3cr3t"),
        },
    });
    rig.simulator.plant(says("/transfer/upload", &told).times(9));
    rig.simulator.plant(says("/transfer/download", &told).times(9));
    let local = rig.local_file("large", &noise(6 << 20), 0o644);
    let remote = rig.remote("large");
    let error = in_time("a refusal", rig.session.put(&local, &remote, &TransferOptions::default())).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::PermissionDenied), "{error:?}");
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error:?}");
    let source = rig.place("source", &noise(6 << 20));
    let got = in_time("a refusal", rig.session.get(&source, rig.local("got"), &TransferOptions::default())).await;
    let error = got.unwrap_err();
    assert!(error.to_string().contains(&url), "{error}");
    assert!(!rig.local("got").exists());
    let asked = tokio::time::timeout(std::time::Duration::from_millis(100), elsewhere.accept()).await;
    assert!(asked.is_err(), "{asked:?}");
}

#[tokio::test]
async fn the_given_origins_are_all_there_are() {
    let (simulator, options, _) = Rig::setup().serve().await;
    let policy = Policy::only([Origin::parse(simulator.url()).unwrap()]);
    let mut session = Session::open(plugin(), &options, &policy).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let local = folder.path().join("large");
    fs::write(&local, noise(6 << 20)).unwrap();
    let remote = format!("{}/large", simulator.home());
    let error = session.put(&local, &remote, &TransferOptions::default()).await.unwrap_err();
    assert_eq!(error.plugin_kind(), Some(ErrorKind::PermissionDenied), "{error:?}");
    assert!(error.to_string().contains(simulator.s3_url()), "{error}");
    assert!(simulator.s3_requests().iter().all(|request| request.from_job));
}

// ---- sizes

/// A server that answers everything with this head, and then with this piece again and again; how much it got rid of.
async fn endless(head: &'static str, piece: Vec<u8>, most: u64) -> (String, tokio::task::JoinHandle<u64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let task = tokio::spawn(async move {
        let mut sent = 0;
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            if stream.write_all(head.as_bytes()).await.is_err() {
                continue;
            }
            while sent < most && stream.write_all(&piece).await.is_ok() {
                sent += piece.len() as u64;
            }
            return sent;
        }
    });
    (url, task)
}

#[tokio::test]
async fn a_gigabyte_of_error_text_is_not_taken() {
    let (url, server) = endless("HTTP/1.1 500 Oops\r\n\r\n", vec![b'e'; 1 << 16], 1 << 30).await;
    let (_simulator, mut options, policy) = Rig::setup().serve().await;
    options.set("url", url);
    let error = in_time("an error", Session::open(plugin(), &options, &policy)).await.unwrap_err();
    assert!(error.to_string().len() < 4000, "{}", error.to_string().len());
    let sent = in_time("the server", server).await.unwrap();
    assert!(sent < 64 << 20, "{sent} bytes were taken");
}

/// A listing without end: the plugin stops at its limit, or at its memory; either is typed, and the next session works.
#[tokio::test]
async fn a_list_without_end_is_contained() {
    let piece = format!("{},", &listing("some name")[11..].trim_end_matches("]}")).repeat(400).into_bytes();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"output\":[";
    let (url, server) = endless(head, piece, 2 << 30).await;
    let (simulator, mut options, _) = Rig::setup().serve().await;
    options.set("url", url);
    let policy = Policy::default().memory(64 << 20);
    let error = in_time("an end", Session::open(plugin(), &options, &policy)).await.unwrap_err();
    assert!(matches!(error, Error::Plugin { .. } | Error::Memory { .. }), "{error:?}");
    let sent = in_time("the server", server).await.unwrap();
    assert!(sent < 300 << 20, "{sent} bytes were taken");
    options.set("url", simulator.url());
    Session::open(plugin(), &options, &policy).await.expect("another session");
}

#[tokio::test]
async fn deep_and_wide_json_is_an_error() {
    let mut rig = Rig::open().await;
    let path = rig.place("f", b"1");
    for body in [
        "[".repeat(2_000_000),
        "{\"a\":".repeat(1_000_000),
        format!("{{\"output\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("{{\"output\":\"{}\"}}", "x".repeat(20_000_000)),
        format!("{{\"output\":{}}}", "9".repeat(1_000_000)),
    ] {
        rig.simulator.plant(says("/ops/stat", body));
        let error = in_time("an error", rig.session.stat(&path)).await.unwrap_err();
        assert!(matches!(error, Error::Plugin { .. }), "{error:?}");
        assert!(error.to_string().len() < 4000);
    }
    rig.session.stat(&path).await.expect("it ended nothing");
}

/// Fifty thousand header lines, and one of a megabyte.
#[tokio::test]
async fn heads_without_end_are_an_error() {
    for head in [
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(50_000)),
        format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let server = crate::raw::Raw::start(head).await;
        let (_simulator, mut options, policy) = Rig::setup().serve().await;
        options.set("url", server.url.clone());
        let error = in_time("an error", Session::open(plugin(), &options, &policy)).await.unwrap_err();
        assert!(matches!(error, Error::Plugin { .. }), "{error:?}");
    }
}

// ---- secrets

/// Everything that failing runs print at the highest verbosity: neither the secret, nor a token, nor what Basic makes of them.
#[tokio::test]
async fn no_failing_run_prints_a_secret() {
    let secret = "s3cr3t-of-the-client";
    let simulator = firecrest_simulator::Simulator::builder().client("the-client", secret).start().await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    simulator.write_config(&config).unwrap();
    let home = simulator.home().to_owned();
    let [missing, there, large] = ["missing", "there", "large"].map(|name| format!("{home}/{name}"));
    let local = folder.path().join("large");
    fs::write(&local, noise(6 << 20)).unwrap();
    let local = local.to_str().unwrap();
    let echo = || {
        let body = format!("{{\"message\":\"no: {secret}\",\"error_description\":\"no: {secret}\"}}");
        FaultKind::Answer { status: 401, body, headers: vec![("x-request-id".into(), secret.into())] }
    };
    let url_with_secret = format!("url=http://user:{secret}@127.0.0.1:1");
    let query_with_secret = format!("token_uri=http://127.0.0.1:1/?client_secret={secret}");
    let cases: Vec<(Vec<&str>, Vec<Fault>)> = vec![
        (vec!["stat", &missing], vec![]),
        (vec!["stat", &there], vec![Fault::once("/token", echo()).times(20)]),
        (vec!["stat", &there], vec![Fault::once("/ops/stat", echo()).times(20)]),
        (vec!["stat", &there], vec![Fault::once("/ops/stat", FaultKind::Unauthenticated).times(20)]),
        (
            vec!["stat", &there],
            vec![
                Fault::once("/ops/stat", FaultKind::Cut(3)).times(2),
                Fault::once("/ops/stat", FaultKind::ServerError(secret.into())),
            ],
        ),
        (
            vec!["put", local, &there],
            vec![Fault::once("/transfer/upload", FaultKind::ServerError(secret.into())).times(20)],
        ),
        (vec!["put", local, &large], vec![]),
        (vec!["--set", &url_with_secret, "whoami"], vec![]),
        (vec!["--set", &query_with_secret, "whoami"], vec![]),
        (vec!["--set", "max_io_allowed=x", "whoami"], vec![]),
        (vec!["submit", local], vec![]),
        (vec!["--requests", "whoami"], vec![]),
    ];
    let mut printed = String::new();
    for (arguments, faults) in cases {
        faults.into_iter().for_each(|fault| simulator.plant(fault));
        let mut command = programs::client();
        command.arg("-vvv").arg("--config").arg(&config).args(&arguments);
        command.env("RUST_BACKTRACE", "full").env("AIIDA_FIRECREST_CLIENT_SECRET", secret);
        let output = in_time("the command", programs::run(command)).await;
        simulator.clear_faults();
        for (stream, bytes) in [("stdout", output.stdout), ("stderr", output.stderr)] {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            for (what, needle) in [("the secret", secret), ("a token", "eyJ"), ("a signature", "X-Amz-Signature=")] {
                let line = text.lines().find(|line| line.contains(needle)).unwrap_or_default();
                assert!(line.is_empty(), "{arguments:?} prints {what} on {stream}: {line}");
            }
            printed.push_str(&text);
        }
    }
    for word in ["DEBUG", "request{", "aiida-firecrest: ", "/ops/stat"] {
        assert!(printed.contains(word), "the runs were to print {word}: {printed}");
    }
}

/// What holds a secret is for its owner alone.
#[tokio::test]
async fn files_with_secrets_are_0600() {
    let (simulator, ..) = Rig::setup().serve().await;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.json");
    simulator.write_config(&config).unwrap();
    assert_eq!(aiida_firecrest_tests::mode(&config), 0o600);
    // The command line writes none: whatever it leaves in its home, no secret is in it.
    let mut command = programs::client();
    command.arg("--config").arg(&config).arg("whoami");
    assert!(programs::run(command).await.status.success());
    let secret = simulator.client_secret().as_bytes().to_vec();
    let mut folders = vec![target_folder().join("test-home")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(content) = fs::read(&path) {
                assert!(!content.windows(secret.len()).any(|window| window == secret), "{}", path.display());
            }
        }
    }
}
