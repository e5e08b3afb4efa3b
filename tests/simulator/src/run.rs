//! `--run`: one command with a configuration of its own, from its start to its end.

use std::ffi::{OsStr, OsString};
use std::io::IsTerminal as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use firecrest_simulator::{Error, Simulator};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};
use tokio::signal::unix::SignalKind;

use crate::Signals;

/// The variable by which `aiida-firecrest` finds its configuration.
const VARIABLE: &str = "AIIDA_FIRECREST_CONFIG";

/// How long a command that was asked to end may take to do so.
const PATIENCE: Duration = Duration::from_secs(10);

/// A file that goes when it is no longer needed.
struct Fleeting(PathBuf);

impl Drop for Fleeting {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Runs a command with inherited stdin, stdout and stderr. Its exit code, as a shell would tell it.
pub(crate) async fn command(
    simulator: &Simulator,
    program: &OsStr,
    arguments: &[OsString],
    signals: &mut Signals,
) -> Result<u8, Error> {
    // Not under the root: that may be a folder of the caller's, and it is open to the simulated user.
    let name = format!("fcs-{}.json", uuid::Uuid::new_v4().simple());
    let config = Fleeting(std::env::temp_dir().join(name));
    simulator.write_config(&config.0)?;
    let child = Command::new(program).args(arguments).env(VARIABLE, &config.0).kill_on_drop(true).spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(error) => {
            eprintln!("firecrest-simulator: cannot run {}: {error}", program.display());
            return Ok(if error.kind() == std::io::ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    tokio::select! {
        status = child.wait() => Ok(code(status)),
        signal = signals.next() => {
            pass_on(&child, signal);
            tokio::select! {
                status = child.wait() => return Ok(code(status)),
                // Asked twice: at once, then.
                _ = signals.next() => {}
                () = tokio::time::sleep(PATIENCE) => {}
            }
            let _ = child.start_kill();
            Ok(code(child.wait().await))
        }
    }
}

/// Tells the command what the simulator was told.
fn pass_on(child: &Child, signal: SignalKind) {
    let interrupted = signal == SignalKind::interrupt();
    if interrupted && std::io::stdin().is_terminal() {
        // A terminal tells everyone in the foreground; a second time would mean "at once" to many a program.
        return;
    }
    if let Some(pid) = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw) {
        let _ = kill_process(pid, if interrupted { Signal::INT } else { Signal::TERM });
    }
}

fn code(status: std::io::Result<ExitStatus>) -> u8 {
    let Ok(status) = status else { return 1 };
    let code = status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0));
    u8::try_from(code).unwrap_or(1)
}
