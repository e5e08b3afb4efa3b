//! A job's processes: started as the user, in a session of their own, and ended with all that they started.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use tokio::process::{Child, Command};

use crate::commands::{User, signal_group};

/// The variable that marks a process as belonging to one simulator's job.
pub(crate) const MARK: &str = "FIRECREST_SIMULATOR_JOB";

/// The exit status by which the launcher says that it could not open the job's files.
pub(crate) const NO_OUTPUT: i32 = 253;

/// Opens the job's files as the user, then becomes the job. All that varies comes as arguments.
const LAUNCHER: &str = r#"mode=$1 in=$2 out=$3 err=$4; shift 4
[ "$mode" = append ] || { : >"$out"; } 2>/dev/null || exit 253
{ : >>"$out"; } 2>/dev/null || exit 253
if [ "$err" != "$out" ]; then
  [ "$mode" = append ] || { : >"$err"; } 2>/dev/null || exit 253
  { : >>"$err"; } 2>/dev/null || exit 253
fi
{ : <"$in"; } 2>/dev/null || exit 253
if [ "$err" = "$out" ]; then
  exec <"$in" >>"$out" 2>&1
else
  exec <"$in" >>"$out" 2>>"$err"
fi
exec "$@"
"#;

/// What is needed to start a job.
pub(crate) struct Launch {
    pub(crate) mark: String,
    pub(crate) script: PathBuf,
    pub(crate) interpreter: Vec<String>,
    pub(crate) directory: PathBuf,
    pub(crate) append: bool,
    pub(crate) input: String,
    pub(crate) output: String,
    pub(crate) error: String,
    pub(crate) environment: Vec<(String, String)>,
}

/// The interpreter that a script's first line names, with its one argument.
pub(crate) fn interpreter(script: &str) -> Vec<String> {
    let line = script.lines().next().and_then(|line| line.strip_prefix("#!")).unwrap_or("/bin/sh").trim();
    match line.split_once(char::is_whitespace) {
        Some((program, argument)) => vec![program.to_owned(), argument.trim().to_owned()],
        None if line.is_empty() => vec!["/bin/sh".to_owned()],
        None => vec![line.to_owned()],
    }
}

/// Writes a job's script where the node finds it, readable by the user alone.
pub(crate) fn spool(user: &User, root: &Path, id: u64, script: &str) -> std::io::Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = root.join("spool").join(format!("job{id:05}"));
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("slurm_script");
    std::fs::write(&path, script)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700))?;
    if user.switch {
        std::os::unix::fs::chown(&path, Some(user.uid), Some(user.gid))?;
    }
    Ok(path)
}

/// Starts a job.
pub(crate) fn start(user: &User, launch: &Launch) -> std::io::Result<Child> {
    let mut command = user.command("bash");
    command
        .args(["-c", LAUNCHER, "slurmstepd"])
        .arg(if launch.append { "append" } else { "truncate" })
        .args([&launch.input, &launch.output, &launch.error])
        .args(&launch.interpreter)
        .arg(&launch.script)
        .current_dir(&launch.directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .env_remove("LC_ALL")
        // That of sbatch's own shell; the job's shell finds that it is another place (seen with Slurm 22.05: its PWD is the
        // working directory without links and needless steps, however that was spelled).
        .env("PWD", &user.home)
        .env(MARK, &launch.mark);
    for (name, value) in &launch.environment {
        command.env(name, value);
    }
    command.spawn()
}

/// Appends what Slurm says of a job's end to its error file, as the user.
pub(crate) async fn note(user: &User, file: &str, text: &str) {
    let mut command: Command = user.command("bash");
    command
        .args(["-c", "printf '%s\\n' \"$2\" >>\"$1\"", "bash", file, text])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Ok(mut child) = command.spawn() {
        let _ = child.wait().await;
    }
}

/// Sends a signal to a job: to its process group, and to all that carry its mark, having left the group.
pub(crate) fn signal(leader: Option<u32>, mark: &str, signal: Signal) {
    signal_group(leader, signal);
    let wanted = format!("{MARK}={mark}");
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return;
    };
    for process in processes.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<i32>().ok()).filter(|pid| *pid > 1)
        else {
            continue;
        };
        let Ok(environment) = std::fs::read(process.path().join("environ")) else {
            continue;
        };
        if environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

/// A stand-in for `srun`: runs one task here and now. Also what `attach` goes through.
pub(crate) const SRUN: &str = r#"#!/bin/bash
# Part of a simulated cluster: runs the command once, on this machine.
while [ $# -gt 0 ]; do
  case $1 in
    --jobid=*) jobid=${1#*=}; shift ;;
    --jobid) jobid=$2; shift 2 ;;
    -n|-N|-c|-p|-t|-J|-A|-o|-e|-i|-w|-D|-C|-m) shift 2 ;;
    --) shift; break ;;
    -*) shift ;;
    *) break ;;
  esac
done
if [ -n "$jobid" ]; then
  mark=$(cat -- "${0%/*}/../spool/running/$jobid" 2>/dev/null) || {
    echo "srun: error: Unable to confirm allocation for job $jobid: Invalid job id specified" >&2
    echo "srun: Check SLURM_JOB_ID environment variable. Expired or invalid job $jobid" >&2
    exit 1
  }
  cluster=$(cd -- "${0%/*}/.." && basename -- "$PWD")
  export SLURM_JOB_ID=$jobid SLURM_JOBID=$jobid SLURM_CLUSTER_NAME=$cluster FIRECREST_SIMULATOR_JOB=$mark
fi
export SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_STEP_ID=0
[ $# -gt 0 ] || exit 0
"$@"
code=$?
[ $code = 0 ] || echo "srun: error: $(uname -n): task 0: Exited with exit code $code" >&2
exit $code
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_names_the_interpreter() {
        assert_eq!(interpreter("#!/bin/bash\nx"), ["/bin/bash"]);
        assert_eq!(interpreter("#! /bin/bash -l \nx"), ["/bin/bash", "-l"]);
        assert_eq!(interpreter("#!/usr/bin/env -S python3 -u\n"), ["/usr/bin/env", "-S python3 -u"]);
    }
}
