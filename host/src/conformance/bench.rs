//! What a behaviour works with: a session and two folders of its own, and ways to look at what a call left.

use super::judge::{Finding, Judge, Outcome, Step, failed, holds, lacks, same, shown};
use super::{Pace, Settings};
use crate::configuration::{OptionDescription, ServerInfo, SystemInfo};
use crate::error::{Error, Result};
use crate::progress::Answer;
use crate::scheduler::{
    JobListing, JobResource, JobState, JobTemplate, RunMode, ScriptSource, Submission, WaitCondition, WaitOptions,
};
use crate::transport::{Command, ListOptions, TransferOptions};
use crate::types::ErrorKind;
use crate::{Options, Plugin, Policy, Session};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a behaviour that needs no job may take.
const PROMPT: Duration = Duration::from_secs(10 * 60);
/// Jobs are as short as a scheduler can count.
const WALL_TIME: i64 = 60;
/// No file larger than this is sent to find a limit.
pub(super) const REACH: u64 = 32 << 20;
/// Requests shown as evidence.
const REQUESTS: usize = 40;

/// What all behaviours of a run share.
pub(super) struct Shared {
    pub(super) plugin: Plugin,
    pub(super) options: Options,
    pub(super) described: Vec<OptionDescription>,
    pub(super) policy: Policy,
    pub(super) server: ServerInfo,
    pub(super) settings: Settings,
    /// The run's folder on the cluster, and the one on this machine.
    pub(super) root: String,
    pub(super) local: PathBuf,
    /// In the names of the run's jobs.
    pub(super) tag: String,
    pub(super) state: Vec<u8>,
    /// Jobs that may not have ended.
    pub(super) jobs: Mutex<Vec<String>>,
    /// Paths that were closed to their owner, to be opened for the removal.
    pub(super) closed: Mutex<Vec<String>>,
}

impl Shared {
    /// The system that the options name; where they name none, the only one.
    pub(super) fn system(&self) -> Option<&SystemInfo> {
        let systems = &self.server.systems;
        let named = |system: &&SystemInfo| self.options.iter().any(|(_, v)| v.eq_ignore_ascii_case(&system.name));
        systems.iter().find(named).or(systems.first().filter(|_| systems.len() == 1))
    }

    /// Another session, without a request where the plugin keeps to the contract.
    pub(super) async fn open(&self) -> Result<Session> {
        Session::open_with(&self.plugin, &self.options, &self.policy, Some(&self.state)).await
    }
}

/// A scheduler's accounting is behind by no more than this.
const ACCOUNTING: Duration = Duration::from_secs(20);

/// A behaviour's place to work at.
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) shared: Arc<Shared>,
    folder: String,
    local: PathBuf,
    started: Instant,
    pace: Pace,
}

/// Looks until it is as it should be, for the settling time at most; the last finding counts. (A macro, because a function that
/// takes an async closure makes a future of which the compiler cannot see that it may move between threads.)
macro_rules! settled {
    ($bench:ident, $look:expr) => {{
        let until = Instant::now() + $bench.shared.settings.settle;
        let mut pause = Duration::from_millis(100);
        loop {
            let outcome: Outcome = $look.await;
            if !matches!(outcome, Err(Finding::Fail(_))) || Instant::now() >= until {
                return outcome;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(2));
        }
    }};
}

impl Bench {
    pub(super) async fn open(shared: Arc<Shared>, name: &str, pace: Pace) -> Result<Bench> {
        let mut session = shared.open().await?;
        let folder = format!("{}/{name}", shared.root);
        session.mkdir(&folder, true, true).await?;
        let local = shared.local.join(name);
        fs::create_dir_all(&local).map_err(|error| Error::io(&local, error))?;
        let mut bench = Bench { session, shared, folder, local, started: Instant::now(), pace };
        bench.heed_stop()?;
        Ok(bench)
    }

    /// Calls of this session end when the run is stopped, or when their time is over.
    pub(super) fn heed_stop(&mut self) -> Result<()> {
        let (stop, until) = (Arc::clone(&self.shared.settings.stop), self.started + self.limit());
        self.session.on_progress(move |_| {
            let over = stop.load(std::sync::atomic::Ordering::Relaxed) || Instant::now() > until;
            if over { Answer::Stop } else { Answer::Proceed }
        })
    }

    /// How long the behaviour may take.
    pub(super) fn limit(&self) -> Duration {
        match self.pace {
            Pace::Prompt => PROMPT,
            Pace::Queued | Pace::Runs => self.patience() + PROMPT,
        }
    }

    pub(super) fn patience(&self) -> Duration {
        self.shared.settings.queue_patience
    }

    // ---- places

    /// A path in the behaviour's folder on the cluster.
    pub(super) fn remote(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The behaviour's folder on the cluster.
    pub(super) fn folder(&self) -> String {
        self.folder.clone()
    }

    /// A path in the behaviour's folder on this machine.
    pub(super) fn local(&self, name: &str) -> PathBuf {
        self.local.join(name)
    }

    /// A local file.
    pub(super) fn local_file(&self, name: &str, content: &[u8]) -> Step<PathBuf> {
        let path = self.local(name);
        match fs::write(&path, content) {
            Ok(()) => Ok(path),
            Err(error) => Err(Finding::Undecided(format!("this machine cannot hold {}: {error}", path.display()))),
        }
    }

    /// A local file with permission bits.
    pub(super) fn local_file_with(&self, name: &str, content: &[u8], mode: u32) -> Step<PathBuf> {
        let path = self.local_file(name, content)?;
        set_mode(&path, mode);
        Ok(path)
    }

    /// A local folder.
    pub(super) fn local_folder(&self, name: &str) -> Step<PathBuf> {
        let path = self.local(name);
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(error) => Err(Finding::Undecided(format!("this machine cannot hold {}: {error}", path.display()))),
        }
    }

    /// A file on the cluster, there to be seen.
    pub(super) async fn file(&mut self, name: &str, content: &[u8]) -> Step<String> {
        let path = self.remote(name);
        self.session.write(&path, content, None).await.done(format!("write of {} bytes to {path}", content.len()))?;
        self.there(&path).await?;
        Ok(path)
    }

    /// A directory on the cluster.
    pub(super) async fn directory(&mut self, name: &str) -> Step<String> {
        let path = self.remote(name);
        self.session.mkdir(&path, false, false).await.done(format!("mkdir of {path}"))?;
        self.there(&path).await?;
        Ok(path)
    }

    /// A symlink on the cluster.
    pub(super) async fn link(&mut self, target: &str, name: &str) -> Step<String> {
        let path = self.remote(name);
        self.session.symlink(target, &path).await.done(format!("symlink {path} to {target}"))?;
        Ok(path)
    }

    /// Takes all permissions from a path until the end of the run.
    pub(super) async fn close(&mut self, path: &str) -> Outcome {
        match self.shared.server.user.uid {
            Some(0) => return Err(lacks("the user is root, to whom nothing is closed")),
            None => return Err(lacks("the user's number is not told: it may be root's, to whom nothing is closed")),
            Some(_) => {}
        }
        self.shared.closed.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
        self.session.chmod(path, 0).await.done(format!("chmod of {path} to 0"))
    }

    // ---- looks

    /// The path is there.
    pub(super) async fn there(&mut self, path: &str) -> Outcome {
        settled!(self, self.is_there(path))
    }

    async fn is_there(&mut self, path: &str) -> Outcome {
        let there = self.session.exists(path).await.done(format!("exists of {path}"))?;
        same(format!("exists of {path}"), there, true)
    }

    /// The path is not there, not even as a link.
    pub(super) async fn gone(&mut self, path: &str) -> Outcome {
        settled!(self, self.is_gone(path))
    }

    async fn is_gone(&mut self, path: &str) -> Outcome {
        self.session.lstat(path).await.refused(format!("lstat of {path}"), &[ErrorKind::NotFound]).map(drop)
    }

    /// A file holds these bytes.
    pub(super) async fn content(&mut self, path: &str, expected: &[u8]) -> Outcome {
        settled!(self, self.has_content(path, expected))
    }

    async fn has_content(&mut self, path: &str, expected: &[u8]) -> Outcome {
        let seen = self.session.read(path, 0, None).await.done(format!("read of {path}"))?;
        bytes(format!("the content of {path}"), &seen, expected)
    }

    /// Permission bits, following symlinks.
    pub(super) async fn mode(&mut self, path: &str, expected: u32) -> Outcome {
        settled!(self, self.has_mode(path, expected))
    }

    async fn has_mode(&mut self, path: &str, expected: u32) -> Outcome {
        let stat = self.session.stat(path).await.done(format!("stat of {path}"))?;
        let octal = |mode: u32| format!("{:o}", mode & 0o7777);
        same(format!("the permission bits of {path}"), octal(stat.mode), octal(expected))
    }

    /// The names in a directory, hidden ones too.
    pub(super) async fn names(&mut self, path: &str, expected: &[&str]) -> Outcome {
        let mut expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
        expected.sort();
        settled!(self, self.has_names(path, &expected))
    }

    async fn has_names(&mut self, path: &str, expected: &[String]) -> Outcome {
        let options = ListOptions { recursive: false, hidden: true, pattern: None };
        let entries = self.session.list(path, &options).await.done(format!("list of {path}"))?;
        let mut names: Vec<String> = entries.into_iter().map(|entry| entry.path).collect();
        names.sort();
        same(format!("the names in {path}"), names.as_slice(), expected)
    }

    // ---- requests

    /// Requests of this session so far.
    pub(super) fn sent(&self) -> u64 {
        let counters = self.session.telemetry().counters();
        counters.requests + counters.refused
    }

    /// Nothing was sent since.
    pub(super) fn silent(&self, did: &str, before: u64) -> Outcome {
        same(format!("requests of {did}"), self.sent() - before, 0)
    }

    /// The session's latest requests, for evidence.
    pub(super) fn requests(&self) -> Vec<String> {
        let records = self.session.telemetry().records();
        let first = records.len().saturating_sub(REQUESTS);
        let line = |record: &crate::telemetry::RequestRecord| {
            let end = record.status.map_or_else(|| record.error.clone().unwrap_or_default(), |s| s.to_string());
            format!("{} {} {end}", record.method, record.path)
        };
        records[first..].iter().map(line).collect()
    }

    // ---- jobs

    /// A template with the run's account and partition, the smallest wall time, and these shell lines.
    pub(super) fn template(&self, lines: &str) -> JobTemplate {
        JobTemplate {
            job_name: Some(self.shared.tag.clone()),
            account: self.account(),
            queue_name: self.shared.settings.partition.clone(),
            max_wallclock_seconds: Some(WALL_TIME),
            sched_output_path: Some("out.txt".into()),
            sched_error_path: Some("err.txt".into()),
            append_text: Some(lines.to_owned()),
            ..empty_template()
        }
    }

    pub(super) fn account(&self) -> Option<String> {
        let given = self.shared.settings.account.clone();
        given.or_else(|| self.shared.options.get("billing_account").map(str::to_owned)).filter(|one| !one.is_empty())
    }

    /// Such a job's submission, in a directory of its own; the directory.
    pub(super) async fn submission(&mut self, name: &str, template: &JobTemplate) -> Step<Submission> {
        let text = self.session.script(template).await.done("script of a template")?;
        let working_directory = self.directory(name).await?;
        Ok(Submission {
            script: ScriptSource::Text(text),
            working_directory,
            name: None,
            account: None,
            environment: Vec::new(),
        })
    }

    /// Submits; the job is cancelled at the run's end, if it has not ended by then.
    pub(super) async fn submit(&mut self, submission: &Submission) -> Step<String> {
        let id = self.session.submit(submission).await.done("submit of a job")?;
        self.shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).push(id.clone());
        Ok(id)
    }

    /// Submits a job of these shell lines.
    pub(super) async fn job(&mut self, name: &str, lines: &str) -> Step<String> {
        let submission = self.submission(name, &self.template(lines)).await?;
        self.submit(&submission).await
    }

    /// Waits for the jobs' end. Undecided where the queue takes longer than one is willing to wait.
    pub(super) async fn ended(&mut self, ids: &[String]) -> Step<JobListing> {
        self.wait(ids, WaitCondition::Finished).await
    }

    /// Waits until the jobs run, or have ended.
    pub(super) async fn running(&mut self, ids: &[String]) -> Step<JobListing> {
        self.wait(ids, WaitCondition::Started).await
    }

    async fn wait(&mut self, ids: &[String], until: WaitCondition) -> Step<JobListing> {
        let patience = self.patience();
        let timeout_ms = u64::try_from(patience.as_millis()).ok();
        let options = WaitOptions { until, all: true, timeout_ms };
        let started = Instant::now();
        let listing = self.session.wait(ids, &options).await.done(format!("wait for {}", ids.join(", ")))?;
        let reached = |state: JobState| match state {
            JobState::Done => true,
            JobState::Running | JobState::Suspended => until == WaitCondition::Started,
            _ => false,
        };
        let Some(late) = listing.jobs.iter().find(|job| !reached(job.job_state)) else { return Ok(listing) };
        if started.elapsed() >= patience {
            let text = format!("job {} was still {} after the queue patience", late.job_id, late.raw_state);
            return Err(Finding::Undecided(text));
        }
        Err(failed("wait without a time limit that ran out", "jobs that got that far", shown(&late)))
    }

    /// Waits for one job's end.
    pub(super) async fn end_of(&mut self, id: &str) -> Step<crate::scheduler::JobInfo> {
        let ids = [id.to_owned()];
        let mut listing = self.ended(&ids).await?;
        let until = Instant::now() + ACCOUNTING;
        loop {
            let found = listing.jobs.into_iter().find(|job| job.job_id == id);
            match found {
                None => {
                    let missing = format!("job {id}, not missing");
                    return Err(failed(format!("wait for {id}"), missing, shown(&listing.missing)));
                }
                // A scheduler can know that a short job has ended before it knows what it was.
                Some(job) if job.title.is_none() && Instant::now() < until => {
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    listing = self
                        .session
                        .jobs(&crate::scheduler::JobQuery::Ids(ids.to_vec()))
                        .await
                        .done(format!("jobs of {id}"))?;
                }
                Some(job) => return Ok(job),
            }
        }
    }

    /// What a job printed.
    pub(super) async fn printed(&mut self, directory: &str, expected: &str) -> Outcome {
        self.content(&format!("{directory}/out.txt"), expected.as_bytes()).await
    }

    /// A MiB, or less where one request does not take that much both ways.
    pub(super) fn a_mib(&self) -> usize {
        let limit = self.shared.system().map_or(u64::MAX, |system| system.upload_limit.min(system.download_limit));
        usize::try_from(limit).unwrap_or(usize::MAX).min(1 << 20)
    }

    /// Does an option lower the limits that the server tells? Else what it tells has to hold.
    pub(super) fn lowers_limits(&self) -> bool {
        let size = self.shared.options.get("small_file_size_mb").and_then(|size| size.parse::<f64>().ok());
        size.is_some_and(|size| size > 0.0)
    }

    /// A limit of the system's that is within reach.
    pub(super) fn limit_within_reach(&self, limit: impl Fn(&SystemInfo) -> u64, what: &str) -> Step<u64> {
        let limit = self.shared.system().map(limit).unwrap_or_default();
        if (1..=REACH).contains(&limit) {
            Ok(limit)
        } else {
            Err(lacks(format!("no {what} within {} MiB", REACH >> 20)))
        }
    }
}

/// Compares bytes without printing megabytes.
pub(super) fn bytes(what: impl std::fmt::Display, seen: &[u8], expected: &[u8]) -> Outcome {
    let picture = |bytes: &[u8]| {
        format!("{} bytes: {}", bytes.len(), shown(&String::from_utf8_lossy(&bytes[..bytes.len().min(200)])))
    };
    if seen == expected {
        return Ok(());
    }
    let differ = seen.iter().zip(expected).position(|(a, b)| a != b).unwrap_or(seen.len().min(expected.len()));
    Err(failed(what, picture(expected), format!("{} (they differ at byte {differ})", picture(seen))))
}

/// A local file holds these bytes.
pub(super) fn local_content(path: &Path, expected: &[u8]) -> Outcome {
    match fs::read(path) {
        Ok(seen) => bytes(format!("the content of {}", path.display()), &seen, expected),
        Err(error) => Err(failed(format!("a look at {}", path.display()), "a file", error)),
    }
}

/// The names in a local folder.
pub(super) fn local_names(folder: &Path, expected: &[&str]) -> Outcome {
    let names = fs::read_dir(folder).map(|entries| {
        let mut names: Vec<String> =
            entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    });
    let mut expected: Vec<String> = expected.iter().map(|&name| name.to_owned()).collect();
    expected.sort();
    match names {
        Ok(names) => same(format!("the names in {}", folder.display()), names, expected),
        Err(error) => Err(failed(format!("a look at {}", folder.display()), "a folder", error)),
    }
}

/// A local path names nothing.
pub(super) fn nothing_at(path: &Path) -> Outcome {
    holds(format!("a look at {}", path.display()), fs::symlink_metadata(path).is_err(), "nothing there", &"something")
}

#[cfg(unix)]
pub(super) fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    // What could not be set is seen by the behaviour that asked for it.
    let _ = fs::set_permissions(path, fs::Permissions::from_mode(mode));
}

#[cfg(unix)]
pub(super) fn local_mode(path: &Path, expected: u32) -> Outcome {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path).map(|metadata| metadata.permissions().mode() & 0o777).unwrap_or_default();
    same(format!("the permission bits of {}", path.display()), format!("{mode:o}"), format!("{expected:o}"))
}

#[cfg(unix)]
pub(super) fn local_link(target: &str, path: &Path) -> Outcome {
    std::os::unix::fs::symlink(target, path)
        .map_err(|error| Finding::Undecided(format!("this machine makes no symlink {}: {error}", path.display())))
}

#[cfg(not(unix))]
pub(super) fn set_mode(_path: &Path, _mode: u32) {}

#[cfg(not(unix))]
pub(super) fn local_mode(_path: &Path, _expected: u32) -> Outcome {
    Ok(())
}

#[cfg(not(unix))]
pub(super) fn local_link(_target: &str, _path: &Path) -> Outcome {
    Err(lacks("symlinks on this machine"))
}

/// Bytes without a pattern, the same every time.
pub(super) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..length).map(|_| next()).collect()
}

pub(super) const LIST: ListOptions = ListOptions { recursive: false, hidden: false, pattern: None };

/// The defaults, but links are moved as links.
pub(super) fn keeping_links() -> TransferOptions {
    TransferOptions { dereference: false, ..TransferOptions::default() }
}

pub(super) fn command(line: &str) -> Command {
    Command {
        line: line.to_owned(),
        working_directory: None,
        environment: Vec::new(),
        stdin: Vec::new(),
        time_limit: Some(60),
    }
}

/// A template with nothing in it but what a job needs.
pub(super) fn empty_template() -> JobTemplate {
    JobTemplate {
        shebang: None,
        submit_as_hold: false,
        rerunnable: false,
        job_environment: Vec::new(),
        environment_variables_double_quotes: false,
        working_directory: None,
        email: None,
        email_on_started: false,
        email_on_terminated: false,
        job_name: None,
        sched_output_path: None,
        sched_error_path: None,
        sched_join_files: false,
        queue_name: None,
        account: None,
        qos: None,
        job_resource: Some(resource(Some(1), Some(1), None)),
        priority: None,
        max_memory_kb: None,
        max_wallclock_seconds: None,
        custom_scheduler_commands: None,
        prepend_text: None,
        append_text: None,
        import_sys_environment: false,
        codes_run_mode: RunMode::Serial,
        codes_info: Vec::new(),
    }
}

pub(super) fn resource(machines: Option<i64>, per_machine: Option<i64>, total: Option<i64>) -> JobResource {
    JobResource {
        num_machines: machines,
        num_mpiprocs_per_machine: per_machine,
        num_cores_per_machine: None,
        num_cores_per_mpiproc: None,
        tot_num_mpiprocs: total,
    }
}

/// What tells one local file from another that has taken its name.
#[cfg(unix)]
pub(super) fn local_file_id(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs::metadata(path).ok().map(|metadata| metadata.ino())
}

#[cfg(not(unix))]
pub(super) fn local_file_id(_path: &Path) -> Option<u64> {
    None
}
