//! The command line, as a user runs it.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use aiida_firecrest_tests::{mode, names};
use serde_json::{Value, json};

use crate::desk::{Desk, one_line, text};
use crate::programs;
use crate::puppet::{self, Act};
use crate::raw::Raw;

// ---- what it does

#[tokio::test]
async fn help_names_every_command_and_exit_code() {
    let mut command = programs::client();
    command.arg("--help");
    let output = programs::run(command).await;
    let help = text(&output.stdout);
    for name in [
        "demo", "check", "whoami", "ls", "stat", "mkdir", "rm", "put", "get", "cat", "chmod", "checksum", "submit",
        "jobs", "cancel", "wait", "script", "inspect", "cp", "mv", "ln", "readlink", "glob", "tree", "compress",
        "extract", "exec", "sync", "plugin",
    ] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(&format!("{name} "))), "{name}: {help}");
    }
    assert!(help.contains("Exit codes") && help.contains("130"), "{help}");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn the_demo_takes_a_job_through_its_life_and_says_so() {
    let desk = Desk::open().await;
    let shown = desk.ok(&["demo"]).await;
    assert!(shown.ends_with("every result is as it should be\n"), "{shown}");
    assert!(shown.lines().count() < 50, "under a screen: {shown}");
    for word in ["put", "script", "state", "done (COMPLETED)", "get", "requests", "sent", " s"] {
        assert!(shown.contains(word), "{word}: {shown}");
    }
    // The server's own script for downloads makes `tmp`, and leaves it empty.
    let mut left = names(desk.simulator.home());
    left.retain(|name| name != "tmp");
    assert_eq!(left, [""; 0], "it cleans up");
    let document = desk.json(&["demo"]).await;
    assert_eq!((&document["ok"], &document["removed"]), (&json!(true), &json!(true)));
    assert!(document["requests"]["count"].as_u64().is_some_and(|count| count > 10), "{document}");
}

#[tokio::test]
async fn the_demo_fails_when_a_result_is_not_what_it_should_be() {
    use firecrest_simulator::{Fault, FaultKind};
    let desk = Desk::open().await;
    let mut command = programs::client();
    command.arg("--config").arg(&desk.config).arg("demo");
    // The cluster's first checksum says that something else arrived.
    desk.simulator.plant(Fault::once(
        "/ops/checksum",
        FaultKind::Answer {
            status: 200,
            body: format!("{{\"output\":{{\"algorithm\":\"SHA256\",\"checksum\":\"{}\"}}}}", "0".repeat(64)),
            headers: vec![],
        },
    ));
    let output = programs::run(command).await;
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(12), "{stderr}");
    let last = stderr.lines().last().unwrap_or_default();
    assert!(last.contains("numbers.txt") && last.contains("are not those that were sent"), "{stderr}");
}

#[tokio::test]
async fn files_go_there_and_back() {
    let desk = Desk::open().await;
    let (local, folder) = (desk.file("ü file.txt", b"abc"), desk.remote("a/b"));
    let remote = format!("{folder}/ü file.txt");
    assert_eq!(desk.ok(&["mkdir", "-p", &folder]).await, "");
    let summary = desk.json(&["put", &local, &folder]).await;
    assert_eq!(summary, json!({"files": 1, "directories": 0, "bytes": 3, "skipped": 0, "verified": "checksum"}));
    assert_eq!(fs::read(&remote).unwrap(), b"abc");
    assert_eq!(desk.ok(&["cat", &remote]).await, "abc");
    assert_eq!(desk.json(&["cat", &remote]).await, json!([{"path": remote, "text": "abc"}]));
    assert_eq!(desk.ok(&["ls", &folder]).await.trim_end(), "ü file.txt");
    let sum = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(desk.ok(&["checksum", &remote]).await, format!("{sum}  {remote}\n"));
    assert_eq!(desk.json(&["checksum", &remote]).await, json!([{"path": remote, "sha256": sum}]));
    assert_eq!(desk.ok(&["chmod", "750", &remote]).await, "");
    let stat = desk.json(&["stat", &remote]).await;
    assert_eq!(
        (&stat[0]["kind"], &stat[0]["size"], &stat[0]["mode"]),
        (&json!("regular"), &json!(3), &json!(0o100_750))
    );
    assert!(desk.ok(&["stat", &remote]).await.contains("0750 -rwxr-x---"));
    assert!(desk.ok(&["ls", "-l", &folder]).await.contains("-rwxr-x---"));
    desk.ok(&["get", &remote, "here.txt"]).await;
    assert_eq!((fs::read(desk.path("here.txt")).unwrap(), mode(desk.path("here.txt"))), (b"abc".to_vec(), 0o750));
    let message = desk.fails(4, &["rm", &folder]).await;
    assert!(message.contains(&folder) && message.contains("not empty"), "{message}");
    assert_eq!(desk.ok(&["rm", &remote]).await, "");
    assert_eq!(desk.ok(&["rm", "-r", &desk.remote("a")]).await, "");
    assert_eq!(names(desk.simulator.home()), [""; 0]);
}

#[tokio::test]
async fn listings_in_json_hold_every_attribute() {
    let desk = Desk::open().await;
    desk.ok(&["mkdir", &desk.remote("d")]).await;
    desk.ok(&["put", &desk.file(".hidden", b"12"), &desk.remote("d/.hidden")]).await;
    let listed = desk.json(&["ls", "-a", "-R", desk.simulator.home()]).await.to_string();
    for member in [
        "\"path\":\"d/.hidden\"",
        "\"kind\":\"directory\"",
        "\"size\":2",
        "\"permissions\":",
        "\"owner\":",
        "\"modified\":",
    ] {
        assert!(listed.contains(member), "{member}: {listed}");
    }
}

#[tokio::test]
async fn jobs_are_submitted_watched_awaited_and_cancelled() {
    let desk = Desk::open().await;
    let home = desk.simulator.home().to_owned();
    let script = desk.file("job.sh", "#!/bin/bash\n#SBATCH --job-name=mine --output=out.txt\necho $A\n");
    let id = desk.ok(&["submit", "--directory", &home, "--env", "A=b c", &script]).await.trim_end().to_owned();
    let ended = desk.json(&["wait", &id, "--for", "60s"]).await;
    assert_eq!((&ended["jobs"][0]["job_state"], &ended["jobs"][0]["raw_state"]), (&json!("done"), &json!("COMPLETED")));
    assert_eq!(desk.ok(&["cat", &desk.remote("out.txt")]).await, "b c\n");
    let table = desk.ok(&["jobs"]).await;
    assert!(table.contains("mine") && table.contains("COMPLETED"), "{table}");
    let watched = desk.ok(&["jobs", "--watch", "--every", "0.1", &id]).await;
    assert!(watched.contains("done (COMPLETED), exit status 0"), "{watched}");

    desk.ok(&["put", &desk.file("long.sh", "#!/bin/bash\nsleep 600\n"), &desk.remote("long.sh")]).await;
    let long = desk.json(&["submit", "--remote", &desk.remote("long.sh")]).await["job_id"].as_str().unwrap().to_owned();
    desk.ok(&["wait", "--started", &long]).await;
    let output = desk.run(&["wait", &long, "--for", "200ms"]).await;
    assert_eq!(output.status.code(), Some(9), "{}", text(&output.stderr));
    let outcomes = desk.json(&["cancel", &long]).await;
    assert_eq!(outcomes, json!([{"job_id": long, "outcome": "cancelled", "message": null}]));
    let output = desk.run(&["jobs", "4711"]).await;
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(3), 1));
    let output = desk.run(&["cancel", "4711"]).await;
    assert_eq!(output.status.code(), Some(3));
}

#[tokio::test]
async fn a_script_is_rendered_from_a_template_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let template = folder.path().join("template.json");
    let content = json!({"job_name": "x", "max_wallclock_seconds": 60, "job_resource": {"num_machines": 1, "num_mpiprocs_per_machine": 2}});
    fs::write(&template, content.to_string()).unwrap();
    let mut command = programs::client();
    command.arg("script").arg(&template);
    let output = programs::run(command).await;
    let script = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(script.starts_with("#!/bin/bash\n#SBATCH ") && script.contains("#SBATCH --time=00:01:00\n"), "{script}");
    fs::write(&template, "{\"job_nam\": 1}").unwrap();
    let mut command = programs::client();
    command.arg("script").arg(&template);
    let line = one_line(&programs::run(command).await, 2, &[]);
    assert!(line.contains("job_nam"), "{line}");
}

#[tokio::test]
async fn check_and_whoami_tell_who_is_there() {
    let desk = Desk::open().await;
    let server = desk.json(&["check"]).await;
    assert_eq!((&server["product"], &server["version"]), (&json!("FirecREST"), &json!("2.5.7")));
    assert_eq!(server["systems"][0]["upload_limit"], 5 * 1024 * 1024);
    assert_eq!(server["user"]["name"], "fireuser");
    let shown = desk.ok(&["check"]).await;
    assert!(shown.starts_with("FirecREST 2.5.7\n") && shown.contains("system cluster: slurm"), "{shown}");
    assert!(desk.ok(&["whoami"]).await.starts_with("user fireuser"));
    assert_eq!(desk.json(&["whoami"]).await["name"], "fireuser");
}

#[tokio::test]
async fn inspect_tells_what_a_plugin_is() {
    let desk = Desk::open().await;
    let seen = desk.json(&["inspect"]).await;
    assert_eq!((&seen["contract"], &seen["plugin"]["name"]), (&json!("0.1.0"), &json!("aiida-firecrest")));
    assert!(seen["imports"].as_array().is_some_and(|imports| !imports.is_empty()));
    assert_eq!(seen["options"][0]["name"], "url");
    let other = desk.file("other.wasm", other_contract());
    let output = desk.run(&["--json", "inspect", &other]).await;
    assert_eq!(output.status.code(), Some(13));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&seen["contract"], &seen["error"]["kind"]), (&Value::Null, &json!("load")));
}

#[tokio::test]
async fn options_come_from_the_file_the_environment_and_flags_in_this_order() {
    let desk = Desk::open().await;
    let system = |command: std::process::Command| async {
        let output = programs::run(command).await;
        (output.status.code(), text(&output.stderr))
    };
    let base = || {
        let mut command = programs::client();
        command.arg("--config").arg(&desk.config);
        command
    };
    let mut environment = base();
    environment.env("AIIDA_FIRECREST_COMPUTE_RESOURCE", "from-environment").arg("whoami");
    let (code, line) = system(environment).await;
    assert!(code == Some(3) && line.contains("from-environment"), "{line}");
    let mut flag = base();
    flag.env("AIIDA_FIRECREST_COMPUTE_RESOURCE", "from-environment").args(["--system", "from-flag", "whoami"]);
    let (code, line) = system(flag).await;
    assert!(code == Some(3) && line.contains("from-flag"), "{line}");
    let mut set = base();
    set.env("AIIDA_FIRECREST_COMPUTE_RESOURCE", "from-environment").args([
        "--set",
        "compute_resource=cluster",
        "whoami",
    ]);
    assert_eq!(system(set).await, (Some(0), String::new()));
    let mut file = programs::client();
    file.env("AIIDA_FIRECREST_CONFIG", &desk.config).arg("whoami");
    assert_eq!(system(file).await, (Some(0), String::new()));
}

#[tokio::test]
async fn a_secret_may_be_the_path_of_a_file() {
    let desk = Desk::open().await;
    let secret = desk.file("secret", format!("{}\n", desk.simulator.client_secret()));
    desk.ok(&["--set", &format!("client_secret={secret}"), "whoami"]).await;
}

#[tokio::test]
async fn a_secret_may_come_from_a_keyrings_command() {
    let desk = Desk::open().await;
    let keyring = desk.file("keyring", format!("{}\nuser: me\n", desk.simulator.client_secret()));
    desk.ok(&["--secret-command", &format!("cat '{keyring}'"), "whoami"]).await;
    let mut command = desk.command(&["--set", "client_secret=wrong-secret-xyz", "whoami"]);
    command.env("AIIDA_FIRECREST_SECRET_COMMAND", format!("cat '{keyring}'"));
    assert_eq!(programs::run(command).await.status.code(), Some(0));
    for (command, why) in [
        ("echo wrong-secret-xyz; exit 3", "exit status: 3"),
        ("true", "printed nothing"),
        ("printf '\\n'", "printed nothing"),
        ("printf '\\377'", "not UTF-8"),
    ] {
        let line = desk.fails(2, &["--secret-command", command, "whoami"]).await;
        assert!(line.contains("--secret-command") && line.contains(why), "{line}");
        assert!(!line.contains("wrong-secret-xyz"), "{line}");
    }
}

#[tokio::test]
async fn requests_are_told_on_request() {
    let desk = Desk::open().await;
    let output = desk.run(&["--requests", "whoami"]).await;
    let stderr = text(&output.stderr);
    assert!(stderr.contains("/status/cluster/userinfo") && stderr.contains("3 requests, 0 failed"), "{stderr}");
}

#[tokio::test]
async fn a_pipe_that_closes_is_no_panic() {
    let desk = Desk::open().await;
    desk.ok(&["put", &desk.file("big", vec![b'x'; 1_000_000]), &desk.remote("big")]).await;
    let mut command = programs::client();
    command
        .arg("--config")
        .arg(&desk.config)
        .args(["cat", &desk.remote("big")])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!(text(&output.stderr), "");
    assert_ne!(output.status.code(), Some(0));
}

#[tokio::test]
async fn a_script_comes_from_stdin() {
    let desk = Desk::open().await;
    let mut command = programs::client();
    command.arg("--config").arg(&desk.config).args(["submit", "-d", desk.simulator.home(), "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"#!/bin/bash\ntrue\n").unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap()).await.unwrap();
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(0), "1\n"), "{}", text(&output.stderr));
}

// ---- bad input

fn other_contract() -> Vec<u8> {
    let (resolve, world) = puppet::other("package other:thing@1.0.0; interface i { f: func(); } world w { export i; }");
    puppet::component(&resolve, world, Act::Trap)
}

#[tokio::test]
async fn a_wrong_url_is_one_line() {
    let desk = Desk::open().await;
    for url in ["firecrest.example.org", "ftp://example.org", "http://", "http:// space", "https://x/#fragment"] {
        let line = desk.fails(7, &["--url", url, "whoami"]).await;
        assert!(line.contains("url"), "{line}");
    }
    let line = desk.fails(7, &["--set", "url=", "whoami"]).await;
    assert!(line.contains("url"), "{line}");
}

#[tokio::test]
async fn a_wrong_secret_is_one_line() {
    let desk = Desk::open().await;
    let output = desk.run(&["--set", "client_secret=wrong-secret-xyz", "whoami"]).await;
    let line = one_line(&output, 6, &["wrong-secret-xyz", desk.simulator.client_secret()]);
    assert!(line.contains("credentials"), "{line}");
}

#[tokio::test]
async fn an_unknown_system_is_one_line() {
    let desk = Desk::open().await;
    let line = desk.fails(3, &["--system", "daint", "whoami"]).await;
    assert!(line.contains("daint") && line.contains("cluster"), "{line}");
}

#[tokio::test]
async fn an_unreachable_server_is_one_line() {
    let desk = Desk::open().await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", socket.local_addr().unwrap());
    let line = desk.fails(8, &["--url", &nobody, "whoami"]).await;
    assert!(line.contains(&nobody), "{line}");
    let line = desk.fails(8, &["--token-uri", &format!("{nobody}/token"), "whoami"]).await;
    assert!(line.contains(&nobody), "{line}");
    let line = desk.fails(8, &["--url", "http://no-such-host.invalid", "whoami"]).await;
    assert!(line.contains("no-such-host.invalid"), "{line}");
}

#[tokio::test]
async fn a_server_that_is_no_firecrest_is_one_line() {
    let desk = Desk::open().await;
    for server in [
        Raw::http("200 OK", "text/html", "", "<html>\n<body>\nIt works!\n</body>\n</html>").await,
        Raw::http("404 Not Found", "text/html", "", "<html>\n404\n</html>").await,
        Raw::start("SSH-2.0-OpenSSH_9.2\r\n").await,
    ] {
        let line = desk.fails(8, &["--url", &server.url, "whoami"]).await;
        assert!(line.contains(&server.url), "{line}");
    }
}

#[tokio::test]
async fn http_where_https_was_meant_is_one_line() {
    let desk = Desk::open().await;
    // A TLS server's alert; a proxy's page; a redirect to the same place with https.
    let nginx = "<html>\r\n<center><h1>400 Bad Request</h1></center>\r\n<center>The plain HTTP request was sent to HTTPS port</center>\r\n</html>";
    for server in [
        Raw::start(b"\x15\x03\x01\x00\x02\x02\x46".to_vec()).await,
        Raw::http("400 Bad Request", "text/html", "", nginx).await,
        Raw::http("301 Moved Permanently", "text/html", "location: https://127.0.0.1/\r\n", "").await,
    ] {
        let line = desk.fails(8, &["--url", &server.url, "whoami"]).await;
        assert!(line.contains(&server.url), "{line}");
    }
    let line = desk.fails(8, &["--url", &desk.simulator.url().replace("http:", "https:"), "whoami"]).await;
    assert!(line.to_lowercase().contains("tls"), "{line}");
}

#[tokio::test]
async fn a_file_as_a_folder_is_one_line() {
    let desk = Desk::open().await;
    let (remote, local) = (desk.remote("f"), desk.file("f", b"1"));
    desk.ok(&["put", &local, &remote]).await;
    let line = desk.fails(4, &["ls", &remote]).await;
    assert!(line.contains(&remote), "{line}");
    desk.fails(4, &["put", &local, &format!("{remote}/below")]).await;
    let line = desk.fails(4, &["get", &remote, &format!("{local}/below")]).await;
    assert!(line.contains(&local), "{line}");
    desk.fails(4, &["--allow-read", &local, "put", &local, &remote]).await;
}

#[tokio::test]
async fn a_missing_granted_folder_is_one_line() {
    let desk = Desk::open().await;
    let line = desk.fails(3, &["--allow-read", "/no/such/folder", "whoami"]).await;
    assert!(line.contains("/no/such/folder"), "{line}");
    let line = desk.fails(3, &["get", &desk.remote("x"), "/no/such/folder/x"]).await;
    assert!(line.contains("/no/such/folder"), "{line}");
}

#[tokio::test]
async fn a_folder_that_is_not_granted_is_one_line() {
    let desk = Desk::open().await;
    let granted = desk.path("granted");
    fs::create_dir(&granted).unwrap();
    let local = desk.file("f", b"1");
    let line = desk.fails(5, &["--allow-read", granted.to_str().unwrap(), "put", &local, &desk.remote("f")]).await;
    assert!(line.contains(&local), "{line}");
}

#[tokio::test]
async fn a_plugin_that_is_none_is_one_line() {
    let desk = Desk::open().await;
    let text = desk.file("text.wasm", "no wasm");
    let module = desk.file("module.wasm", wasm_encoder::Module::new().finish());
    let other = desk.file("other.wasm", other_contract());
    let (resolve, world) = puppet::contract();
    let trap = desk.file("trap.wasm", puppet::component(&resolve, world, Act::Trap));
    for plugin in [&text, &module, &other, &trap] {
        desk.fails(13, &["--plugin", plugin, "whoami"]).await;
    }
    let line = desk.fails(3, &["--plugin", "/no/such/plugin.wasm", "whoami"]).await;
    assert!(line.contains("/no/such/plugin.wasm"), "{line}");
}

#[tokio::test]
async fn a_malformed_configuration_file_is_one_line() {
    let desk = Desk::open().await;
    let secret = desk.simulator.client_secret().to_owned();
    let config = fs::read_to_string(&desk.config).unwrap();
    for broken in [
        String::new(),
        "[]".into(),
        "\"x\"".into(),
        config.replace(&secret, &format!("{secret}\" x")),
        config[..config.len() / 2].into(),
    ] {
        fs::write(&desk.config, &broken).unwrap();
        let line = desk.fails(2, &["whoami"]).await;
        assert!(line.contains("config.json"), "{line}");
    }
    let numbers = config.replace("\"max_io_allowed\": 8", "\"max_io_allowed\": \"many\"");
    assert_ne!(numbers, config);
    fs::write(&desk.config, numbers).unwrap();
    let line = desk.fails(7, &["whoami"]).await;
    assert!(line.contains("max_io_allowed"), "{line}");
    fs::remove_file(&desk.config).unwrap();
    let line = desk.fails(3, &["whoami"]).await;
    assert!(line.contains("config.json"), "{line}");
}

#[tokio::test]
async fn an_option_that_does_not_exist_is_one_line() {
    let desk = Desk::open().await;
    let line = desk.fails(2, &["--set", "urll=http://x", "whoami"]).await;
    assert!(line.contains("urll"), "{line}");
    let output = desk.run(&["--set", &format!("client_secret {}", desk.simulator.client_secret()), "whoami"]).await;
    one_line(&output, 2, &[desk.simulator.client_secret()]);
}

#[tokio::test]
async fn failures_in_json_are_a_document_and_the_same_line() {
    let desk = Desk::open().await;
    let missing = desk.remote("no");
    let output = desk.run(&["--json", "stat", &missing]).await;
    assert_eq!((output.status.code(), text(&output.stderr).lines().count()), (Some(3), 1));
    let error: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&error["error"]["kind"], &error["error"]["exit_code"]), (&json!("not-found"), &json!(3)));
    assert_eq!((&error["error"]["subject"], &error["error"]["http_status"]), (&json!(missing), &json!(404)));
}

#[tokio::test]
async fn failures_of_files_have_their_exit_codes() {
    let desk = Desk::open().await;
    desk.ok(&["mkdir", &desk.remote("d")]).await;
    let local = desk.file("f", b"1");
    for (code, arguments) in [
        (3, vec!["cat".to_owned(), desk.remote("no")]),
        (4, vec!["mkdir".into(), desk.remote("d")]),
        (4, vec!["cat".into(), desk.remote("d")]),
        (5, vec!["ls".into(), format!("{}/closed", desk.simulator.home())]),
        (7, vec!["stat".into(), "relative".into()]),
        (7, vec!["stat".into(), desk.remote("it's")]),
        (3, vec!["put".into(), desk.path("no").to_str().unwrap().into(), desk.remote("x")]),
        (
            4,
            vec![
                "put".into(),
                "--overwrite".into(),
                "fail".into(),
                local.clone(),
                format!("{}/.", desk.remote("there")),
            ],
        ),
    ] {
        let closed = desk.remote("closed");
        if !Path::new(&closed).exists() {
            fs::create_dir(&closed).unwrap();
            fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o0)).unwrap();
            desk.ok(&["put", &local, &desk.remote("there")]).await;
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        desk.fails(code, &arguments).await;
    }
}

/// Whatever is printed, however much of it: neither the secret nor a token.
#[tokio::test]
async fn nothing_printed_holds_a_secret() {
    let desk = Desk::open().await;
    let secret = desk.simulator.client_secret().to_owned();
    let local = desk.file("f", b"1");
    let remote = desk.remote("f");
    let wrong = "client_secret=wrong-secret-xyz";
    for arguments in [
        vec!["-v", "-v", "-v", "--requests", "put", &local, &remote],
        vec!["-v", "-v", "-v", "--requests", "cat", "/no/such"],
        vec!["-v", "-v", "-v", "--set", wrong, "whoami"],
        vec!["-v", "-v", "--json", "check"],
        vec!["-v", "-v", "-v", "--url", "http://127.0.0.1:1", "whoami"],
    ] {
        let output = desk.run(&arguments).await;
        let printed = text(&output.stdout) + &text(&output.stderr);
        for hidden in [secret.as_str(), "wrong-secret-xyz", "eyJ", "Bearer "] {
            assert!(!printed.contains(hidden), "{arguments:?} prints {hidden}");
        }
        assert!(!printed.contains("panicked"), "{printed}");
    }
}
