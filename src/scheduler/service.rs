//! Submitting, watching and cancelling: what needs the server.

use std::collections::HashMap;
use std::time::Duration;

use super::info::{JobInfo, JobStep};
use super::state::JobState;
use super::{once, poll};
use crate::concurrent::all;
use crate::error::{Error, Kind, Result};
use crate::firecrest::errors::SYSTEM_NOT_FOUND;
use crate::firecrest::v2::jobs::{RawJob, Script, Submission};
use crate::firecrest::v2::lenient::{Node, Partition, Reservation};
use crate::session::Session;

/// A young job can be unknown to the server between two states (recorded: for less than 4 s).
const OUT_OF_SIGHT: Duration = Duration::from_secs(10);

/// Which jobs.
#[derive(Debug, Clone)]
pub enum JobQuery {
    /// These.
    Ids(Vec<String>),
    /// All of mine.
    Mine,
}

/// What a query found.
#[derive(Debug, Clone, Default)]
pub struct JobListing {
    /// In the order of the ids, or of the server.
    pub jobs: Vec<JobInfo>,
    /// Ids that the scheduler does not know.
    pub missing: Vec<String>,
}

/// How a cancellation ended.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub enum CancelOutcome {
    Cancelled,
    AlreadyFinished,
    NotFound,
    Failed(Error),
}

/// What to wait for.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct WaitOptions {
    /// Started is enough; otherwise finished.
    pub started: bool,
    pub all: bool,
    pub timeout: Option<Duration>,
}

/// A job's accounting, and what it was submitted with.
#[derive(Debug, Clone)]
#[allow(missing_docs)]
pub struct JobDetails {
    pub info: JobInfo,
    pub steps: Vec<JobStep>,
    pub script: Option<String>,
    pub standard_input: Option<String>,
    pub standard_output: Option<String>,
    pub standard_error: Option<String>,
}

/// Ids as the server takes them; others it would refuse with a validation error of Python's.
fn check_id(id: &str) -> Result<()> {
    if !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return Ok(());
    }
    Err(Error::invalid(id, format!("'{id}' is not a job id: letters and digits only")))
}

/// Each id once, in order.
fn distinct(ids: Vec<String>) -> Result<Vec<String>> {
    ids.iter().try_for_each(|id| check_id(id))?;
    let mut sorted = ids.clone();
    sorted.sort_unstable();
    if sorted.windows(2).all(|pair| pair[0] != pair[1]) {
        return Ok(ids);
    }
    sorted.dedup();
    // The first of each: what has been met is taken out.
    let mut first = Vec::with_capacity(sorted.len());
    for id in ids {
        if let Ok(at) = sorted.binary_search(&id) {
            sorted.remove(at);
            first.push(id);
        }
    }
    Ok(first)
}

impl Session {
    /// Submits a job; its id.
    pub async fn submit(&self, submission: Submission) -> Result<String> {
        if let Some((name, _)) = submission.environment.iter().find(|(name, _)| !is_identifier(name)) {
            return Err(Error::invalid(name, format!("'{name}' is not the name of an environment variable")));
        }
        // The server joins `name=value` with commas for sbatch --export: a comma in a value would begin another variable.
        if let Some((name, _)) = submission.environment.iter().find(|(_, value)| value.contains([',', '\n', '\0'])) {
            let message = format!(
                "the value of the environment variable {name} holds a comma or a newline, which the server cannot carry"
            );
            return Err(Error::invalid(name, message));
        }
        // And there sbatch takes a quote that nobody closes for the beginning of a text that goes on into the next variable.
        let unpaired = |value: &str| ['\'', '"'].iter().any(|&quote| value.matches(quote).count() % 2 == 1);
        if let Some((name, _)) = submission.environment.iter().find(|(_, value)| unpaired(value)) {
            let message = format!(
                "the value of the environment variable {name} holds a quote without a second one, which sbatch would take for the \
                 beginning of a text that goes on into the next variable"
            );
            return Err(Error::invalid(name, message));
        }
        // To an empty script the server answers after 5 s, and does not say what came of it.
        if matches!(&submission.script, Script::Text(text) if text.trim().is_empty()) {
            return Err(Error::invalid("script", "the job script is empty"));
        }
        self.submit_once(&submission).await
    }

    /// Jobs by their ids, or all of mine.
    pub async fn jobs(&self, query: JobQuery) -> Result<JobListing> {
        let listing = match query {
            JobQuery::Mine => {
                let jobs = self.api.jobs().await?.into_iter().map(JobInfo::from_raw).collect();
                JobListing { jobs, missing: Vec::new() }
            }
            JobQuery::Ids(ids) => self.by_ids(distinct(ids)?).await?,
        };
        for job in listing.jobs.iter().filter(|job| !matches!(job.job_state, JobState::Done | JobState::Undetermined)) {
            self.remember_alive(&job.job_id);
        }
        Ok(listing)
    }

    /// One listing for all, then one question for each id that it does not show. A single id is asked for at once.
    async fn by_ids(&self, ids: Vec<String>) -> Result<JobListing> {
        let mut found: HashMap<String, Option<RawJob>> = ids.iter().map(|id| (id.clone(), None)).collect();
        if ids.len() > 1 {
            for raw in self.api.jobs().await? {
                if let Some(place) = found.get_mut(&raw.job.job_id.joined()) {
                    *place = Some(raw);
                }
            }
        }
        let unseen: Vec<&String> = ids.iter().filter(|id| matches!(found.get(*id), Some(None))).collect();
        // All at once; how many are under way is the client's bound.
        let asked = all(unseen.iter().map(|id| self.api.job(id))).await;
        for (id, answer) in unseen.into_iter().zip(asked) {
            found.insert(id.clone(), answer?);
        }
        let mut listing = JobListing::default();
        for id in ids {
            match found.remove(&id).flatten() {
                Some(raw) => listing.jobs.push(JobInfo::from_raw(raw)),
                None if self.was_alive(&id) => listing.jobs.push(JobInfo::out_of_sight(&id)),
                None => listing.missing.push(id),
            }
        }
        Ok(listing)
    }

    /// Asks the scheduler to end these jobs.
    pub async fn cancel(&self, ids: Vec<String>) -> Result<Vec<CancelOutcome>> {
        ids.iter().try_for_each(|id| check_id(id))?;
        let answers = all(ids.iter().map(|id| self.api.cancel(id))).await;
        let outcome = |answer: Result<()>| match answer {
            Ok(()) => CancelOutcome::Cancelled,
            // scancel(1) on a job that has ended.
            Err(error) if error.server_said("already completing or completed") => CancelOutcome::AlreadyFinished,
            Err(error) if error.kind == Kind::NotFound && !error.server_said(SYSTEM_NOT_FOUND) => {
                CancelOutcome::NotFound
            }
            Err(error) => CancelOutcome::Failed(error),
        };
        Ok(answers.into_iter().map(outcome).collect())
    }

    /// Waits until the jobs have got that far, or the time is over.
    pub async fn wait(&self, ids: Vec<String>, options: WaitOptions) -> Result<JobListing> {
        let ids = distinct(ids)?;
        let platform = self.api.client.platform();
        let start = platform.monotonic();
        let mut changed = start;
        let mut before: Vec<(String, String)> = Vec::new();
        loop {
            let listing = self.jobs(JobQuery::Ids(ids.clone())).await?;
            let now = platform.monotonic();
            let there = |job: &JobInfo| match job.job_state {
                JobState::Done => true,
                JobState::Running | JobState::Suspended => options.started,
                _ => false,
            };
            // An id that was never heard of may be a job too young to be known: it gets the time of one.
            let missing_counts = now.saturating_sub(start) >= OUT_OF_SIGHT;
            let arrived = listing.jobs.iter().filter(|job| there(job)).count()
                + if missing_counts { listing.missing.len() } else { 0 };
            let enough = if options.all { ids.len() } else { ids.len().min(1) };
            let left = options.timeout.map(|limit| (start + limit).saturating_sub(now));
            if arrived >= enough || left == Some(Duration::ZERO) {
                return Ok(listing);
            }
            let states: Vec<(String, String)> =
                listing.jobs.into_iter().map(|job| (job.job_id, job.raw_state)).collect();
            if states != before {
                before = states;
                changed = now;
            }
            platform.sleep(poll::pause(now.saturating_sub(changed), left)).await;
        }
    }

    /// Accounting, script and files of a job.
    pub async fn details(&self, id: &str) -> Result<JobDetails> {
        check_id(id)?;
        let Some(raw) = self.api.job(id).await? else {
            return Err(Error::new(Kind::NotFound, format!("there is no job {id}")).about(id));
        };
        let metadata = match self.api.job_metadata(id).await {
            Ok(metadata) => metadata,
            // Slurm forgets a job's script minutes after its end, and a server in REST mode cannot ask for it; accounting is still there.
            Err(error) if matches!(error.kind, Kind::NotFound | Kind::Unsupported) => Default::default(),
            Err(error) => return Err(error),
        };
        let path = |told: Option<String>| told.map(|path| once::plain(&path));
        Ok(JobDetails {
            steps: raw.job.tasks.iter().map(JobStep::from).collect(),
            info: JobInfo::from_raw(raw),
            script: metadata.script,
            standard_input: path(metadata.standard_input),
            standard_output: path(metadata.standard_output),
            standard_error: path(metadata.standard_error),
        })
    }

    /// The partitions of the system.
    pub async fn partitions(&self) -> Result<Vec<Partition>> {
        self.api.partitions().await
    }

    /// The nodes of the system.
    pub async fn nodes(&self) -> Result<Vec<Node>> {
        self.api.nodes().await
    }

    /// The reservations of the system.
    pub async fn reservations(&self) -> Result<Vec<Reservation>> {
        self.api.reservations().await
    }

    pub(super) fn remember_alive(&self, id: &str) {
        let now = self.api.client.platform().monotonic();
        let mut alive = self.alive.borrow_mut();
        // What is past its time says nothing any more: a session that lives for weeks keeps only what is young.
        if alive.len() >= 1024 {
            alive.retain(|_, at| now.saturating_sub(*at) < OUT_OF_SIGHT);
        }
        alive.insert(id.to_owned(), now);
    }

    fn was_alive(&self, id: &str) -> bool {
        let now = self.api.client.platform().monotonic();
        self.alive.borrow().get(id).is_some_and(|at| now.saturating_sub(*at) < OUT_OF_SIGHT)
    }
}

/// The name of an environment variable (POSIX.1-2017, Base Definitions 3.235).
pub fn is_identifier(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
