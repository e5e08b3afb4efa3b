//! Commands on the login node: real processes of the simulated user, with the real server's limits on time and output.
//! Nothing that a client says is ever read by a shell here; the one exception is a job's own script and what is attached to a job.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::errors::ApiError;

/// Beyond the buffer limit the real answer depends on how much still fits into the SSH channel's window.
const WINDOW: u64 = 2 * 1024 * 1024;

/// Who runs the commands and the jobs.
#[derive(Debug, Clone)]
pub(crate) struct User {
    /// The name that clients see.
    pub(crate) name: String,
    /// The group's name that clients see.
    pub(crate) group: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Whether processes have to be moved to that user.
    pub(crate) switch: bool,
    /// What this machine calls that user and group, which `ls` prints.
    pub(crate) local_names: (String, String),
    pub(crate) home: String,
    /// Where the simulator's own commands are (`srun`).
    pub(crate) bin: String,
    pub(crate) tmp: String,
}

impl User {
    /// A command as this user, with a login's environment.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env("LOGNAME", &self.name)
            .env("SHELL", "/bin/bash")
            .env("TMPDIR", &self.tmp)
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", self.bin))
            .env("LC_ALL", "C")
            .current_dir(&self.home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        if let Ok(zone) = std::env::var("TZ") {
            command.env("TZ", zone);
        }
        if self.switch {
            command.uid(self.uid).gid(self.gid);
        }
        command
    }
}

/// The limits of one command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) time: Duration,
    pub(crate) output: u64,
}

/// What a command said.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Output {
    /// The output as text, as the server decodes it.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// An error for anything but status 0.
    pub(crate) fn ok(self) -> Result<Self, ApiError> {
        if self.status == 0 { Ok(self) } else { Err(ApiError::remote(self.status, &self.stderr)) }
    }
}

/// A command of the user with these arguments.
pub(crate) fn command<I, A>(user: &User, program: &str, arguments: I) -> Command
where
    I: IntoIterator<Item = A>,
    A: AsRef<OsStr>,
{
    let mut command = user.command(program);
    command.args(arguments);
    command
}

/// Runs a command to its end, within its limits. `encoded` says that the output travels as base64, a third longer.
pub(crate) async fn run(
    mut command: Command,
    stdin: Option<&[u8]>,
    limits: Limits,
    encoded: bool,
) -> Result<Output, ApiError> {
    let deadline = Instant::now() + limits.time;
    let wire = |bytes: u64| {
        if encoded { bytes.div_ceil(3) * 4 } else { bytes }
    };
    if stdin.is_some() {
        command.stdin(Stdio::piped());
    }
    let program = command.as_std().get_program().to_owned();
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let name = Path::new(&program).display().to_string();
            return Ok(Output {
                status: 127,
                stdout: Vec::new(),
                stderr: format!("bash: line 1: {name}: command not found"),
            });
        }
        Err(error) => return Err(ApiError::new(500, format!("('{error}',)"))),
    };
    let group = child.id();
    let input = child.stdin.take();
    let output = child.stdout.take();
    let errors = child.stderr.take();
    let cap = limits.output + 2 * WINDOW + 1;
    let work = async {
        let feed = async {
            if let (Some(mut input), Some(bytes)) = (input, stdin) {
                let _ = input.write_all(bytes).await;
                let _ = input.shutdown().await;
            }
        };
        let ((), stdout, stderr) = tokio::join!(feed, read_capped(output, cap), read_capped(errors, limits.output));
        if wire(stdout.len() as u64) > limits.output + 2 * WINDOW {
            kill(group);
        }
        let status = child.wait().await;
        (status, stdout, stderr)
    };
    let Ok((status, stdout, stderr)) = timeout_at(deadline, work).await else {
        kill(group);
        return Err(ApiError::timeout());
    };
    let length = wire(stdout.len() as u64);
    if length >= limits.output + 2 * WINDOW {
        sleep_until(deadline).await;
        return Err(ApiError::timeout());
    }
    if length >= limits.output + WINDOW {
        sleep_until(deadline).await;
        return Err(ApiError::unhandled("('Channel not open for sending',)"));
    }
    if length >= limits.output {
        return Err(ApiError::output_limit());
    }
    let status = status.map_or(1, |status| {
        use std::os::unix::process::ExitStatusExt as _;
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    });
    Ok(Output { status, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() })
}

async fn read_capped(stream: Option<impl AsyncRead + Unpin>, cap: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(stream) = stream {
        let _ = stream.take(cap).read_to_end(&mut out).await;
    }
    out
}

/// Ends a process group that one of our commands leads.
pub(crate) fn kill(leader: Option<u32>) {
    signal_group(leader, rustix::process::Signal::KILL);
}

/// Sends a signal to a process group that one of our processes leads.
pub(crate) fn signal_group(leader: Option<u32>, signal: rustix::process::Signal) {
    if let Some(pid) =
        leader.and_then(|id| i32::try_from(id).ok()).filter(|id| *id > 1).and_then(rustix::process::Pid::from_raw)
    {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}
