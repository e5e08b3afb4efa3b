//! Where the command line is run: a server, its configuration in a file, a local folder, and what a run of it is judged by.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use aiida_firecrest_tests::{Rig, Setup};
use firecrest_simulator::JobLag;
use serde_json::Value;

use crate::programs;

/// A rig whose server the command line talks to, too.
pub(crate) struct Desk {
    rig: Rig,
    pub(crate) config: PathBuf,
}

impl Deref for Desk {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl Desk {
    pub(crate) async fn open() -> Desk {
        Desk::with(Rig::setup()).await
    }

    /// Jobs start and are known at once, whatever else the setup says.
    pub(crate) async fn with(setup: Setup) -> Desk {
        let rig = setup.open().await;
        rig.simulator.adjust(|knobs| {
            knobs.job_lag = JobLag::NONE;
            knobs.queue_wait = Duration::from_millis(1);
        });
        let config = rig.local("config.json");
        rig.simulator.write_config(&config).unwrap();
        Desk { rig, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.local(name)
    }

    /// A local file; its path as an argument.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        argument(&self.local_file(name, content.as_ref(), 0o644))
    }

    /// A local folder with these files, the folders around them, and for names that end in a slash empty folders; its path as an argument.
    pub(crate) fn folder(&self, name: &str, files: &[(&str, &str)]) -> String {
        let root = self.path(name);
        fs::create_dir_all(&root).unwrap();
        for (name, content) in files {
            let place = root.join(name);
            if name.ends_with('/') {
                fs::create_dir_all(place).unwrap();
            } else {
                fs::create_dir_all(place.parent().unwrap()).unwrap();
                fs::write(place, content).unwrap();
            }
        }
        argument(&root)
    }

    /// `aiida-firecrest` with this server's configuration, in the local folder.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = programs::client();
        command.arg("--config").arg(&self.config).args(arguments).current_dir(self.rig.folder.path());
        command
    }

    pub(crate) async fn run(&self, arguments: &[&str]) -> Output {
        programs::run(self.command(arguments)).await
    }

    /// A run that reads these bytes.
    pub(crate) async fn run_with(&self, input: &[u8], arguments: &[&str]) -> Output {
        let mut child = self.start(arguments, Stdio::piped());
        child.stdin.take().unwrap().write_all(input).unwrap();
        finished(child).await
    }

    /// A run that goes on while the test does other things.
    pub(crate) fn start(&self, arguments: &[&str], stdin: Stdio) -> Child {
        let mut command = self.command(arguments);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().expect("a program that starts")
    }

    /// What it prints; it has to succeed and to say nothing else.
    pub(crate) async fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments).await;
        let stderr = text(&output.stderr);
        assert_eq!((output.status.code(), stderr.as_str()), (Some(0), ""), "{arguments:?}");
        text(&output.stdout)
    }

    pub(crate) async fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        serde_json::from_str(&self.ok(&all).await).expect("JSON")
    }

    /// It fails with this exit code and one line, which this returns.
    pub(crate) async fn fails(&self, code: i32, arguments: &[&str]) -> String {
        one_line(&self.run(arguments).await, code, &[self.simulator.client_secret()])
    }

    /// It fails with this exit code and one line that names `subject`; with `--json` the same failure is a document.
    pub(crate) async fn names_in_failure(&self, code: i32, subject: &str, arguments: &[&str]) -> String {
        let line = self.fails(code, arguments).await;
        assert!(line.contains(subject), "{subject}: {line}");
        let mut all = vec!["--json"];
        all.extend(arguments);
        let output = self.run(&all).await;
        let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(output.status.code(), Some(code), "{document}");
        assert_eq!(document["error"]["exit_code"], code, "{document}");
        assert!(document["error"]["message"].as_str().is_some_and(|message| message.contains(subject)), "{document}");
        line
    }

    /// It fails, and nothing but a token is asked for.
    pub(crate) async fn fails_before_anything_is_sent(&self, code: i32, arguments: &[&str]) -> String {
        self.simulator.clear_requests();
        let line = self.fails(code, arguments).await;
        let seen = aiida_firecrest_tests::seen(&self.simulator);
        let asked: Vec<_> = seen.iter().filter(|request| !request.ends_with("token") && *request != STATUS).collect();
        assert_eq!(asked, [""; 0]);
        line
    }

    /// What is on a terminal of 120 columns while it runs, and the exit code.
    pub(crate) async fn on_a_terminal(&self, arguments: &[&str]) -> (String, i32) {
        let mut line = String::from("stty cols 120 rows 24; exec");
        let command = self.command(arguments);
        for word in [command.get_program()].into_iter().chain(command.get_args()) {
            line += &format!(" '{}'", word.to_str().unwrap().replace('\'', "'\\''"));
        }
        let mut script = programs::around("script");
        script.args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").current_dir(self.rig.folder.path());
        let output = programs::run(script).await;
        (text(&output.stdout), output.status.code().expect("an exit code"))
    }

    /// Nothing of ours, and no log of a job, is left in the folders of either side.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let folders = [self.simulator.home(), &self.simulator.scratch()].map(PathBuf::from);
        for folder in folders.iter().map(PathBuf::as_path).chain([self.rig.folder.path()]) {
            let left: Vec<String> = picture(folder)
                .into_keys()
                .filter(|path| {
                    let name = path.rsplit('/').next().unwrap_or_default();
                    [".aiida-firecrest", ".f7t", "slurm-"].iter().any(|start| name.starts_with(start))
                })
                .collect();
            assert_eq!(left, [""; 0], "left in {}", folder.display());
        }
    }
}

const STATUS: &str = "GET status/systems";

/// Waits for its end, and for all that it says.
pub(crate) async fn finished(child: Child) -> Output {
    tokio::task::spawn_blocking(move || child.wait_with_output().expect("its end")).await.expect("a thread")
}

/// What Ctrl-C sends.
pub(crate) fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_child(child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("a process that runs");
}

/// A path as an argument.
pub(crate) fn argument(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

/// One clear line and its exit code: no panic, no backtrace, no secret.
#[track_caller]
pub(crate) fn one_line(output: &Output, code: i32, secrets: &[&str]) -> String {
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stdout, "");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("aiida-firecrest: "), "{stderr}");
    for word in ["panicked", "RUST_BACKTRACE", "stack backtrace", " 0x"].iter().chain(secrets) {
        assert!(!stderr.contains(word), "{word}: {stderr}");
    }
    assert!(stderr.len() < 600, "{stderr}");
    stderr.trim_end().to_owned()
}

/// Everything below a folder, by its path from there: kind, permission bits, and content or target.
pub(crate) fn picture(root: impl AsRef<Path>) -> BTreeMap<String, String> {
    let (root, mut all) = (root.as_ref(), BTreeMap::new());
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            let place = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&place).unwrap();
            let mode = metadata.permissions().mode() & 0o777;
            let what = if metadata.is_symlink() {
                format!("-> {}", fs::read_link(&place).unwrap().display())
            } else if metadata.is_dir() {
                open.push(place.clone());
                format!("directory {mode:o}")
            } else {
                let bytes = fs::read(&place).unwrap();
                format!(
                    "file {mode:o} of {} bytes: {}",
                    bytes.len(),
                    String::from_utf8_lossy(&bytes[..bytes.len().min(100)])
                )
            };
            all.insert(argument(place.strip_prefix(root).unwrap()), what);
        }
    }
    all
}
