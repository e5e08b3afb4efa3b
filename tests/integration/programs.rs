//! The two programs, built where they are not yet, and run as a user runs them.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use aiida_firecrest_tests::target_folder;

/// Builds both programs once. A test package has no say in whether cargo builds another's programs.
static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("this program's path");
    let folder = program.ancestors().nth(2).expect("TARGET/PROFILE").to_owned();
    let profile = folder.file_name().expect("a profile").to_string_lossy().into_owned();
    let profile = if profile == "debug" { "dev".to_owned() } else { profile };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    build.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).args([
        "build",
        "--quiet",
        "--bins",
        "--profile",
        &profile,
    ]);
    // The packages of this build: with the same features, nothing is compiled twice.
    build.args(["-p", "aiida-firecrest-host", "-p", "firecrest-simulator", "-p", "aiida-firecrest-tests"]);
    build.arg("--target-dir").arg(target_folder());
    let status = build.stdin(Stdio::null()).status().expect("cargo");
    assert!(status.success(), "the programs do not build");
    folder
});

/// `aiida-firecrest`, with an environment that holds nothing of this machine's user.
pub(crate) fn client() -> Command {
    command(&FOLDER.join("aiida-firecrest"))
}

/// `firecrest-simulator`, likewise.
pub(crate) fn simulator() -> Command {
    command(&FOLDER.join("firecrest-simulator"))
}

/// Another program of this machine, likewise: one that runs ours.
pub(crate) fn around(program: &str) -> Command {
    command(Path::new(program))
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    for kept in ["PATH", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    let home = target_folder().join("test-home");
    std::fs::create_dir_all(&home).expect("a home");
    command.env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache")).env("XDG_STATE_HOME", home.join("state"));
    command
}

/// Runs it on a thread of its own: the server that it talks to is served by this test's.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().expect("a program that starts")).await.expect("its end")
}
