//! The simulator is proven by others' clients: the public package pyfirecrest, unmodified, goes through its v2 calls.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aiida_firecrest_tests::target_folder;

use crate::programs;

/// What tests/simulator/tests/pyfirecrest.py was written for.
const REQUIREMENT: &str = "pyfirecrest==3.10.0";

/// A virtual environment with it, made once and kept in the build's folder.
fn python() -> PathBuf {
    let folder = target_folder().join("venv-pyfirecrest");
    let (python, done) = (folder.join("bin/python"), folder.join("requirement"));
    if std::fs::read_to_string(&done).is_ok_and(|found| found == REQUIREMENT) && python.exists() {
        return python;
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]));
    // Written last: an environment that was made halfway is made anew.
    std::fs::write(done, REQUIREMENT).expect("a note");
    python
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn pyfirecrest_goes_through_its_calls_against_the_simulator() {
    let (python, folder) = (python(), tempfile::tempdir().expect("a temporary folder"));
    let config = folder.path().join("config.json");
    let mut simulator = programs::simulator();
    simulator.arg("--config-out").arg(&config).arg("--until-stdin-closes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = simulator.spawn().expect("the simulator");
    let mut url = String::new();
    BufReader::new(server.stdout.take().expect("its stdout")).read_line(&mut url).expect("a line");
    assert!(url.starts_with("http://127.0.0.1:"), "{url}");

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("simulator/tests/pyfirecrest.py");
    let output = Command::new(python).arg(script).arg(&config).output().expect("Python");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    drop(server.stdin.take());
    assert!(server.wait().expect("its end").success());
    assert!(output.status.success(), "{stdout}\n{stderr}");
    let last = stdout.lines().last().unwrap_or_default();
    println!("{last}");
    assert!(last.ends_with("calls as they should be"), "{stdout}");
}
