//! The program: its configuration file, and how it ends.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use firecrest_simulator::{Error, Simulator};

#[test]
fn the_program_writes_a_configuration_and_ends_with_its_parent() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A folder made by root is closed to others; what lies in it would be out of the user's reach.
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let config = folder.path().join("config.json");
    let mut program = Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
        .arg("--root")
        .arg(folder.path().join("root"))
        .arg("--config-out")
        .arg(&config)
        .args(["--version", "2.4.1", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut lines = BufReader::new(program.stdout.take().expect("its stdout"));
    let mut url = String::new();
    lines.read_line(&mut url).expect("a line");
    let text = std::fs::read_to_string(&config).expect("a configuration");
    let mode = std::fs::metadata(&config).expect("its mode").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(config["url"], url.trim());
    for key in [
        "token_uri",
        "client_id",
        "client_secret",
        "compute_resource",
        "temp_directory",
        "workdir",
        "billing_account",
        "username",
    ] {
        assert!(config[key].as_str().is_some_and(|value| !value.is_empty()), "{key}");
    }
    drop(program.stdin.take());
    assert!(program.wait().expect("its end").success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).expect("the rest");
    assert_eq!(rest, "");
}

#[test]
fn the_program_ends_on_a_signal_while_stdin_stays_open() {
    for signal in ["INT", "TERM"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
            .arg("--until-stdin-closes")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut lines = BufReader::new(program.stdout.take().expect("its stdout"));
        lines.read_line(&mut String::new()).expect("a line");
        let sent = Command::new("bash").args(["-c", &format!("kill -{signal} {}", program.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        let start = std::time::Instant::now();
        let status = loop {
            match program.try_wait().expect("its state") {
                Some(status) => break status,
                None if start.elapsed() > Duration::from_secs(10) => {
                    program.kill().expect("its end");
                    panic!("it lives on after SIG{signal}");
                }
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        };
        assert!(status.success(), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_temporary_folder_will_do_as_root() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let simulator = Simulator::builder().root(folder.path()).start().await.expect("a simulator");
    let mut client = crate::client::Client::new(&simulator);
    assert_eq!(client.upload("{home}", "x", b"x").status, 204);
    drop(simulator);
    assert!(folder.path().join("home/fireuser/x").exists());
}

#[tokio::test]
async fn it_listens_on_this_machine_only() {
    let error =
        Simulator::builder().address("0.0.0.0:0".parse().expect("an address")).start().await.expect_err("a refusal");
    assert!(matches!(error, Error::NotLoopback(_)));
}

#[tokio::test]
async fn dropping_it_stops_it() {
    let simulator = Simulator::builder().start().await.expect("a simulator");
    let address = simulator.url().trim_start_matches("http://").to_owned();
    let root = simulator.root().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(simulator);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(std::net::TcpStream::connect(&address).is_err());
    assert!(!root.exists());
}

/// The program with `--run` and a shell's script, that is given these arguments.
fn run(script: &str, arguments: &[&str]) -> std::process::Output {
    Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
        .args(["--nodes", "1", "--run", "sh", "-c", script, "sh"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the program")
}

#[test]
fn a_command_runs_with_a_configuration_and_its_exit_code_is_ours() {
    let script = r#"stat -c %a "$AIIDA_FIRECREST_CONFIG"; echo "$AIIDA_FIRECREST_CONFIG"; grep '"workdir"' "$AIIDA_FIRECREST_CONFIG"; echo "$@"; exit 7"#;
    let done = run(script, &["--port", "--", "--run", "-x"]);
    assert_eq!(done.status.code(), Some(7));
    assert_eq!(String::from_utf8_lossy(&done.stderr), "");
    let text = String::from_utf8_lossy(&done.stdout).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, "600", "--port -- --run -x"));
    let home = lines[2].split('"').nth(3).expect("a path");
    assert!(home.starts_with('/') && home.ends_with("/home/fireuser"), "{home}");
    for gone in [lines[1], home] {
        assert!(!std::path::Path::new(gone).exists(), "{gone}");
    }
    assert_eq!(run("kill -9 $$", &[]).status.code(), Some(137));
    let missing = Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
        .args(["--run", "/no/such/program"])
        .output()
        .expect("the program");
    assert_eq!(missing.status.code(), Some(127));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("cannot run /no/such/program"));
}

#[test]
fn a_signal_is_passed_on_to_the_command() {
    for (signal, code) in [("INT", 41), ("TERM", 42)] {
        let script =
            "trap 'exit 41' INT; trap 'exit 42' TERM; echo $AIIDA_FIRECREST_CONFIG; while :; do sleep 0.05; done";
        let mut program = Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
            .args(["--run", "sh", "-c", script])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let mut config = String::new();
        BufReader::new(program.stdout.take().expect("its stdout")).read_line(&mut config).expect("a line");
        assert!(std::path::Path::new(config.trim()).exists());
        let sent = Command::new("bash").args(["-c", &format!("kill -{signal} {}", program.id())]).status();
        assert!(sent.is_ok_and(|status| status.success()));
        assert_eq!(program.wait().expect("its end").code(), Some(code));
        assert!(!std::path::Path::new(config.trim()).exists());
    }
}

#[test]
fn a_quota_can_be_set_from_the_command_line() {
    let mut program = Command::new(env!("CARGO_BIN_EXE_firecrest-simulator"))
        .args(["--quota", "2", "--quota-form", "announced", "--until-stdin-closes"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program");
    let mut url = String::new();
    BufReader::new(program.stdout.take().expect("its stdout")).read_line(&mut url).expect("a line");
    let url = format!("{}/status/liveness/", url.trim());
    let answers: Vec<_> = (0..3).map(|_| crate::client::request("GET", &url, &[], b"").expect("an answer")).collect();
    assert_eq!(answers.iter().map(|answer| answer.status).collect::<Vec<_>>(), [200, 200, 429]);
    let seconds: u64 = answers[2].headers["retry-after"].parse().expect("seconds");
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(answers[2].text(), r#"{"message":"API rate limit exceeded"}"#);
    drop(program.stdin.take());
    assert!(program.wait().expect("its end").success());
}
