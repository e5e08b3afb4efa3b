//! A script of ours, run on the cluster as a short job: what FirecREST's direct operations cannot do, or not within their 5 s.
//!
//! The server has jobs of its own for some of this (`transfer/cp`, `mv`, …), but it HTML-escapes names in their scripts and can mangle
//! them; a script of ours quotes as a shell wants it. Its directives are those that the server uses for its transfer jobs.
//!
//! The job leaves one file, written aside and renamed: a line with the exit code and two lengths, then what the command wrote. To
//! fetch it is to know that the job has ended, seconds before the scheduler's accounting says so; so the file is what is polled,
//! and the job's state only now and then, for a job that will never write it.

use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;

use event_listener::Event;
use futures_util::future::{Either, LocalBoxFuture, select};

use super::fetch::{Sink, Take};
use super::get::{MOST_IN_MEMORY, Opened};
use crate::error::{Error, Kind, Result};
use crate::firecrest::errors;
use crate::firecrest::v2::jobs::{Script, Submission};
use crate::http::retry::Effect;
use crate::passing::PREFIX;
use crate::remote::RemotePath;
use crate::scheduler::service::JobQuery;
use crate::scheduler::state::JobState;
use crate::session::Session;
use crate::shell::quote;

/// What a command left.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Output {
    pub exit_code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A script to run.
#[derive(Debug, Clone, Default)]
pub struct Work<'a> {
    /// For the job's name and for messages: `copy`, `exec`, …
    pub operation: &'a str,
    /// What errors are about.
    pub subject: &'a str,
    /// Shell text. Its standard output, error and input are taken care of.
    pub body: String,
    /// Where the body runs; none: where the scheduler starts it.
    pub working_directory: Option<RemotePath>,
    /// The body runs in the user's home directory.
    pub home: bool,
    /// Exported before the body runs.
    pub environment: &'a [(String, String)],
    /// Given to the body.
    pub stdin: &'a [u8],
    /// Wall time of the job; none: what the system's directives say.
    pub time_limit: Option<Duration>,
    /// Who may say that the result is not wanted any more.
    pub caller: Option<&'a Caller>,
}

/// Somebody who may lose interest in what was begun for him.
#[derive(Debug, Default)]
pub struct Caller {
    gone: Cell<bool>,
    leaves: Event,
}

impl Caller {
    /// What is done for him ends, and is cleaned up.
    pub(super) fn leave(&self) {
        self.gone.set(true);
        self.leaves.notify(usize::MAX);
    }

    /// Does something for as long as he wants it.
    pub(super) async fn wants<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let gone = pin!(async {
            loop {
                let leaves = self.leaves.listen();
                if self.gone.get() {
                    return;
                }
                leaves.await;
            }
        });
        match select(gone, pin!(work)).await {
            Either::Left(((), _)) => Err(Error::new(Kind::Cancelled, "nobody waits for this any more")),
            Either::Right((done, _)) => done,
        }
    }
}

/// The first look at the result comes after this: no scheduler starts a job sooner.
const FIRST_LOOK: Duration = Duration::from_millis(300);
/// The job's state costs the server more than the result file does, and is asked for only this long after the last time.
const STATE_EVERY: Duration = Duration::from_secs(10);
/// Input up to here travels inside the script; Slurm takes scripts of 4 MiB (`max_script_size`, slurm.conf(5)).
const LONGEST_INPUT: usize = 1024 * 1024;

impl Session {
    /// Runs a script and turns a failure of it into a typed error.
    pub(super) async fn run_or_fail(&self, work: Work<'_>) -> Result<Output> {
        let (operation, subject) = (work.operation, work.subject);
        let output = self.run(work).await?;
        if output.exit_code == 0 {
            return Ok(output);
        }
        let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let kind = errors::by_text(&told, Effect::Read).unwrap_or(Kind::Other);
        let message =
            format!("{subject}: {operation} failed with exit code {}: {}", output.exit_code, told.replace('\n', "; "));
        let mut error = Error::new(kind, message).about(subject);
        error.info.server_message = Some(told).filter(|t| !t.is_empty());
        Err(error)
    }

    /// Runs a script as a job and returns what it left. Nothing of it stays on the cluster.
    pub(super) async fn run(&self, work: Work<'_>) -> Result<Output> {
        if work.stdin.len() > LONGEST_INPUT {
            let message = format!("the input has {} bytes, more than {LONGEST_INPUT}", work.stdin.len());
            return Err(Error::new(Kind::TooLarge, message).about(work.operation));
        }
        let folder = self.temporary_folder().await?;
        let mark = self.passing_mark();
        let result = folder.join(&format!("{}{mark}", PREFIX))?;
        let submission = Submission {
            script: Script::Text(self.script(&work, &result, &mark)?),
            // Not the body's: Slurm starts a job whose directory is not there in another, without a word.
            working_directory: folder,
            name: None,
            account: self.options.billing_account.clone(),
            environment: Vec::new(),
        };
        let id = self.submit(submission).await.map_err(|e| e.about(work.subject))?;
        let awaited = self.await_result(&id, &result, &work);
        let ended = match work.caller {
            Some(caller) => caller.wants(awaited).await,
            None => awaited.await,
        };
        if ended.is_ok() {
            // The script has removed its folder.
            self.tidy(&[&result]).await;
        } else {
            // It was killed, or goes on without anybody who waits for it. Its folder first: without that it cannot make the result.
            let _ = self.watch().shielded(self.cancel(vec![id])).await;
            let folder = RemotePath::parse(&format!("{result}.d"))?;
            self.tidy(&[&folder]).await;
            self.tidy(&[&result]).await;
        }
        ended
    }

    async fn await_result(&self, id: &str, result: &RemotePath, work: &Work<'_>) -> Result<Output> {
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let mut state_asked = start;
        let mut ended_as: Option<String> = None;
        loop {
            let waited = platform.monotonic().saturating_sub(start);
            let pause = (waited / 8).clamp(FIRST_LOOK, Duration::from_secs(10));
            platform.sleep(pause).await;
            let found = match self.download(result).await {
                Ok(Opened::Answer(bytes)) => Some(bytes),
                // Boxed: a second name for the file may be work of its own.
                Ok(Opened::TooLarge(size)) => Some(Box::pin(self.large_result(result, size, work)).await?),
                Err(error) if error.kind == Kind::NotFound => None,
                Err(error) => return Err(error.about(work.subject)),
            };
            if let Some(bytes) = found {
                let output = parse(bytes).ok_or_else(|| unreadable(work, result))?;
                return if output.exit_code == NO_DIRECTORY { Err(no_directory(work, &output)) } else { Ok(output) };
            }
            // It had ended before the last look, and left nothing.
            if let Some(state) = ended_as {
                let message =
                    format!("{}: the job {id} for {} ended as {state} without a result", work.subject, work.operation);
                let kind = if state == "TIMEOUT" { Kind::Timeout } else { Kind::Other };
                return Err(Error::new(kind, message).about(work.subject));
            }
            if platform.monotonic().saturating_sub(state_asked) >= STATE_EVERY {
                state_asked = platform.monotonic();
                let listing = self.jobs(JobQuery::Ids(vec![id.to_owned()])).await?;
                let done =
                    listing.jobs.iter().find(|job| job.job_state == JobState::Done).map(|job| job.raw_state.clone());
                ended_as = done.or_else(|| (!listing.missing.is_empty()).then(|| "unknown".to_owned()));
            }
        }
    }

    /// What is past one download comes through the object store, as a file of that size does. It has run: so no error may say that
    /// nothing was done.
    async fn large_result(&self, result: &RemotePath, size: u64, work: &Work<'_>) -> Result<Vec<u8>> {
        let lost = |kind, why: &str| {
            let message = format!("{}: it has run, and its output of {size} bytes is lost: {why}", work.subject);
            Error::new(kind, message).about(work.subject)
        };
        if !self.has_store() {
            return Err(lost(Kind::TooLarge, "it is past one download, and the system has no object store"));
        }
        if size > MOST_IN_MEMORY {
            return Err(lost(Kind::TooLarge, &format!("more than {MOST_IN_MEMORY}; a file can be fetched")));
        }
        let mut bytes = Vec::with_capacity(size as usize);
        let received = self.with_object(result, size, 0, Some(size), |object| {
            Box::pin(self.receive_in_order(object, work.subject, 0, size, Sink::Memory(&mut bytes)))
        });
        match received.await {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind == Kind::Cancelled => Err(error),
            // What the store or the server said stays with it, but for the kind.
            Err(mut error) => {
                error.info.message = lost(Kind::Other, &error.info.message).info.message;
                Err(Error { kind: Kind::Other, ..error }.about(work.subject))
            }
        }
    }

    /// The script that the scheduler gets.
    fn script(&self, work: &Work<'_>, result: &RemotePath, mark: &str) -> Result<String> {
        let mut text = String::from("#!/bin/bash\n");
        for directive in &self.system.directives {
            if directive.contains("{account}") {
                let account = self.options.billing_account.as_deref().ok_or_else(|| {
                    let message = format!(
                        "{} runs as a job, and the system {} wants an account for jobs: set billing_account",
                        work.operation, self.system.name
                    );
                    Error::invalid("billing_account", message)
                })?;
                text.push_str(&directive.replace("{account}", account));
            } else {
                text.push_str(directive);
            }
            text.push('\n');
        }
        if let Some(limit) = work.time_limit {
            // Whole minutes, as Slurm counts; a second directive of the same kind wins.
            text.push_str(&format!("#SBATCH --time={}\n", limit.as_secs().div_ceil(60).max(1)));
        }
        text.push_str(&format!("#SBATCH --job-name=aiida-firecrest-{}-{mark}\n", work.operation));
        text.push_str("#SBATCH --output=/dev/null\n#SBATCH --error=/dev/null\n\n");
        text.push_str(&format!("result={}\n", quote(result.as_str())));
        text.push_str("umask 077\nmkdir -- \"$result.d\" || exit 1\ntrap 'rm -rf -- \"$result.d\"' EXIT\n");
        if work.stdin.is_empty() {
            text.push_str(": > \"$result.d/in\"\n");
        } else {
            use base64::Engine as _;
            let coded = base64::engine::general_purpose::STANDARD.encode(work.stdin);
            text.push_str("base64 -d > \"$result.d/in\" <<'END_OF_INPUT'\n");
            // Lines of a length that every tool takes.
            for line in coded.as_bytes().chunks(76) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            text.push_str("END_OF_INPUT\n");
        }
        let directory = match &work.working_directory {
            Some(directory) => quote(directory.as_str()),
            // The shell knows it even where the environment does not.
            None if work.home => "~".to_owned(),
            None => ".".to_owned(),
        };
        text.push_str(&format!(": > \"$result.d/out\"\nif cd -- {directory} 2> \"$result.d/err\"; then\n"));
        // A subshell with the umask of the user: what the body makes is the user's, not ours.
        text.push_str("(\numask 022\n");
        for (name, value) in work.environment {
            text.push_str(&format!("export {name}={}\n", quote(value)));
        }
        text.push_str(&work.body);
        text.push_str("\n) < \"$result.d/in\" > \"$result.d/out\" 2> \"$result.d/err\"\ncode=$?\n");
        text.push_str(&format!("else code={NO_DIRECTORY}; fi\n"));
        text.push_str("{ echo \"$code $(stat -c %s \"$result.d/out\") $(stat -c %s \"$result.d/err\")\"\n");
        text.push_str("  cat \"$result.d/out\" \"$result.d/err\"\n} > \"$result.d/result\"\n");
        text.push_str("mv -- \"$result.d/result\" \"$result\"\nexit 0\n");
        Ok(text)
    }

    /// Where temporary files go: the option, else the user's folder on the default file system.
    pub(super) async fn temporary_folder(&self) -> Result<RemotePath> {
        if let Some(folder) = &self.options.temp_directory {
            return Ok(folder.clone());
        }
        if let Some(folder) = self.home.borrow().clone() {
            return Ok(folder);
        }
        let file_system =
            self.system.file_systems.iter().find(|f| f.default_work_directory).or(self.system.file_systems.first());
        let base = file_system.ok_or_else(|| {
            Error::invalid("temp_directory", "the server tells no file system of its own: set temp_directory")
        })?;
        // As the server does it for its own jobs (`JobHelper`).
        let folder = RemotePath::parse(&base.path)?.join(&self.whoami().await?.name)?;
        self.home.replace(Some(folder.clone()));
        Ok(folder)
    }
}

/// The script's word for a working directory that it could not enter; a command's exit code is at least 0.
const NO_DIRECTORY: i32 = -1;

fn no_directory(work: &Work<'_>, output: &Output) -> Error {
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let directory = work.working_directory.as_ref().map_or("the home directory", RemotePath::as_str);
    let kind = errors::by_text(&told, Effect::Read).unwrap_or(Kind::NotFound);
    Error::new(kind, format!("{directory}: {} cannot run there: {told}", work.operation)).about(directory)
}

fn unreadable(work: &Work<'_>, result: &RemotePath) -> Error {
    Error::new(Kind::Other, format!("{}: the result of {} is not one ({result})", work.subject, work.operation))
        .about(work.subject)
}

/// Exit code and two lengths on a line, then standard output and standard error.
fn parse(mut bytes: Vec<u8>) -> Option<Output> {
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let mut numbers = std::str::from_utf8(&bytes[..end]).ok()?.split(' ');
    let exit_code = numbers.next()?.parse().ok()?;
    let out: usize = numbers.next()?.parse().ok()?;
    let err: usize = numbers.next()?.parse().ok()?;
    if numbers.next().is_some() || out.checked_add(err)? != bytes.len() - (end + 1) {
        return None;
    }
    // In place: there may be much of it.
    let stderr = bytes.split_off(end + 1 + out);
    bytes.drain(..=end);
    Some(Output { exit_code, stdout: bytes, stderr })
}

impl Take for Vec<u8> {
    fn take<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>> {
        self.extend_from_slice(bytes);
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_ends_when_its_caller_leaves() {
        use futures_util::FutureExt;
        let caller = Caller::default();
        assert_eq!(caller.wants(async { Ok(1) }).now_or_never().unwrap().unwrap(), 1);
        let mut waiting = Box::pin(caller.wants(std::future::pending::<Result<()>>()));
        assert!(waiting.as_mut().now_or_never().is_none());
        caller.leave();
        assert_eq!(waiting.as_mut().now_or_never().unwrap().unwrap_err().kind, Kind::Cancelled);
        // And is not begun.
        let begun = Cell::new(false);
        let late = caller.wants(async {
            begun.set(true);
            Ok(())
        });
        assert!(late.now_or_never().unwrap().is_err() && !begun.get());
    }

    #[test]
    fn a_result_is_whole_or_none() {
        let output = parse(b"3 2 4\nokoops".to_vec()).unwrap();
        assert_eq!(
            (output.exit_code, output.stdout.as_slice(), output.stderr.as_slice()),
            (3, b"ok".as_slice(), b"oops".as_slice())
        );
        for bytes in
            [b"".as_slice(), b"3 2 4", b"3 2 4\nokoop", b"x 0 0\n", b"0 1 1 1\nab", b"0 18446744073709551615 1\nab"]
        {
            assert_eq!(parse(bytes.to_vec()), None);
        }
    }
}
