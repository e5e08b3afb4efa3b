//! From the server's job to AiiDA's JobInfo.
//!
//! A job's answer lags behind: for up to about 4 s after its start it can be a stub (recorded: name "allocation", no partition, no working
//! directory, no limit), of which nothing but the id and the state says anything.

use super::state::{JobState, classify};
use super::{nodes, once};
use crate::firecrest::v2::jobs::RawJob;
use crate::firecrest::v2::models::{Job, Task};

/// A job as the scheduler knows it. See the WIT record `job-info`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JobInfo {
    pub job_id: String,
    pub title: Option<String>,
    pub exit_status: Option<i32>,
    pub terminating_signal: Option<i32>,
    pub annotation: Option<String>,
    pub job_state: JobState,
    pub raw_state: String,
    pub allocated_machines: Vec<String>,
    pub allocated_machines_raw: Option<String>,
    pub job_owner: Option<String>,
    pub num_machines: Option<u32>,
    pub queue_name: Option<String>,
    pub account: Option<String>,
    pub wallclock_time_seconds: Option<u64>,
    pub requested_wallclock_time_seconds: Option<u64>,
    pub dispatch_time: Option<i64>,
    pub finish_time: Option<i64>,
    pub working_directory: Option<String>,
    pub raw_data: String,
}

/// A step of a job. See the WIT record `job-step`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct JobStep {
    pub id: String,
    pub name: String,
    pub raw_state: String,
    pub exit_status: Option<i32>,
    pub terminating_signal: Option<i32>,
    pub wallclock_time_seconds: Option<u64>,
}

/// The first word: of "CANCELLED by 1001" the state, not who did it.
fn first_word(state: &str) -> String {
    state.split_whitespace().next().unwrap_or_default().to_owned()
}

fn positive(value: Option<i64>) -> Option<i64> {
    value.filter(|n| *n > 0)
}

fn not_empty(text: &Option<String>) -> Option<String> {
    text.clone().filter(|t| !t.trim().is_empty())
}

fn is_stub(job: &Job) -> bool {
    let empty = |text: &Option<String>| text.as_deref().unwrap_or_default().is_empty();
    job.name.as_deref() == Some("allocation") && empty(&job.partition) && empty(&job.working_directory)
}

/// A stub can say PENDING while its batch step runs already.
fn has_started(job: &Job) -> bool {
    let pending = job.status.state.joined() == "PENDING";
    let running = job.tasks.iter().any(|task| task.status.state.joined() == "RUNNING");
    pending && (running || positive(job.time.start).is_some())
}

impl JobInfo {
    /// Reads what the server says, and leaves out what it only seems to say.
    pub fn from_raw(raw: RawJob) -> Self {
        let RawJob { job, raw } = raw;
        let stub = is_stub(&job);
        let told = if stub && has_started(&job) { "RUNNING".to_owned() } else { job.status.state.joined() };
        // Slurm writes the word None where there is no reason.
        let reason = not_empty(&job.status.state_reason).filter(|r| r != "None");
        let job_state = classify(&told, reason.as_deref());
        let (started, ended) =
            (!matches!(job_state, JobState::Queued | JobState::QueuedHeld), job_state == JobState::Done);
        let known = |text: &Option<String>| if stub { None } else { not_empty(text) };
        let nodes = not_empty(&job.nodes).filter(|_| started);
        Self {
            job_id: job.job_id.joined(),
            title: known(&job.name),
            exit_status: job.status.exit_code.filter(|_| ended),
            terminating_signal: job.status.interrupt_signal.filter(|signal| ended && *signal > 0),
            annotation: reason,
            job_state,
            raw_state: first_word(&told),
            // A list that cannot be expanded is still there as it was written.
            allocated_machines: nodes.as_deref().and_then(|list| nodes::expand(list).ok()).unwrap_or_default(),
            allocated_machines_raw: nodes,
            job_owner: not_empty(&job.user),
            num_machines: job.allocation_nodes.filter(|n| *n > 0).and_then(|n| n.try_into().ok()),
            queue_name: known(&job.partition),
            account: not_empty(&job.account),
            wallclock_time_seconds: job.time.elapsed.filter(|_| started).and_then(|n| n.try_into().ok()),
            requested_wallclock_time_seconds: positive(job.time.limit).map(|n| n as u64),
            dispatch_time: positive(job.time.start).filter(|_| started),
            // Of a running job the server tells when it has to end.
            finish_time: positive(job.time.end).filter(|_| ended),
            working_directory: known(&job.working_directory).map(|directory| once::plain(&directory)),
            raw_data: raw,
        }
    }

    /// A job that was alive a moment ago and that the scheduler does not show right now.
    pub fn out_of_sight(id: &str) -> Self {
        Self { job_id: id.to_owned(), job_state: JobState::Undetermined, raw_data: "{}".into(), ..Self::default() }
    }
}

impl From<&Task> for JobStep {
    fn from(task: &Task) -> Self {
        Self {
            id: task.id.as_ref().map(|id| id.joined()).unwrap_or_default(),
            name: task.name.clone().unwrap_or_default(),
            raw_state: first_word(&task.status.state.joined()),
            exit_status: task.status.exit_code,
            terminating_signal: task.status.interrupt_signal.filter(|signal| *signal > 0),
            wallclock_time_seconds: task.time.elapsed.and_then(|n| n.try_into().ok()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(json: &str) -> JobInfo {
        JobInfo::from_raw(RawJob { job: serde_json::from_str(json).unwrap(), raw: json.into() })
    }

    /// The answers that were recorded from a real server, from submission to end.
    #[test]
    fn recorded_jobs() {
        let pending = info(
            r#"{"jobId":"46","name":"probe","status":{"state":"PENDING","stateReason":"None","exitCode":null,"interruptSignal":null},"tasks":[],
            "time":{"elapsed":0,"start":null,"end":null,"suspended":null,"limit":300},"account":"staff","allocationNodes":1,"cluster":"cluster",
            "group":"users","nodes":"","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser/probe","priority":1}"#,
        );
        assert_eq!(pending.job_state, JobState::Queued);
        assert_eq!((pending.title.as_deref(), pending.queue_name.as_deref()), (Some("probe"), Some("part01")));
        assert_eq!((pending.requested_wallclock_time_seconds, pending.wallclock_time_seconds), (Some(300), None));
        assert_eq!((pending.exit_status, pending.dispatch_time, pending.annotation), (None, None, None));

        let running = info(
            r#"{"jobId":"46","name":"probe","status":{"state":"RUNNING","stateReason":"None","exitCode":null,"interruptSignal":null},"tasks":[],
            "time":{"elapsed":0,"start":1795501203,"end":1795501503,"suspended":null,"limit":300},"account":"staff","allocationNodes":1,"cluster":"cluster",
            "group":"users","nodes":"localhost","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/fireuser/probe","priority":1}"#,
        );
        assert_eq!(
            (running.job_state, running.dispatch_time, running.finish_time),
            (JobState::Running, Some(1_795_501_203), None)
        );
        assert_eq!(running.allocated_machines, ["localhost"]);

        let stub = info(
            r#"{"jobId":"103","name":"allocation","status":{"state":"PENDING","stateReason":"None","exitCode":0,"interruptSignal":null},
            "tasks":[{"id":"batch","name":"batch","status":{"state":"RUNNING","stateReason":null,"exitCode":0,"interruptSignal":null},
            "time":{"elapsed":2,"start":1795502052,"end":0,"suspended":0,"limit":null}}],"time":{"elapsed":2,"start":1795502052,"end":0,"suspended":0,"limit":0},
            "account":"staff","allocationNodes":0,"cluster":"cluster","group":"root","nodes":"localhost","partition":"","killRequestUser":null,
            "user":"fireuser","workingDirectory":"","priority":0}"#,
        );
        assert_eq!((stub.title, stub.queue_name, stub.working_directory), (None, None, None));
        assert_eq!((stub.exit_status, stub.num_machines, stub.requested_wallclock_time_seconds), (None, None, None));

        let cancelled = info(
            r#"{"jobId":"46","name":"allocation","status":{"state":"CANCELLED by 1001","stateReason":"None","exitCode":0,"interruptSignal":0},
            "tasks":[],"time":{"elapsed":0,"start":1795501203,"end":1795501203,"suspended":0,"limit":null},"account":"staff","allocationNodes":1,
            "cluster":"cluster","group":"root","nodes":"localhost","partition":"","killRequestUser":null,"user":"fireuser","workingDirectory":"","priority":0}"#,
        );
        assert_eq!((cancelled.job_state, cancelled.raw_state.as_str()), (JobState::Done, "CANCELLED"));
        assert_eq!((cancelled.exit_status, cancelled.terminating_signal), (Some(0), None));

        let failed = info(
            r#"{"jobId":"47","name":"job.sh","status":{"state":"FAILED","stateReason":"None","exitCode":3,"interruptSignal":0},"tasks":[],
            "time":{"elapsed":0,"start":1795501207,"end":1795501207,"suspended":0,"limit":60},"account":"staff","allocationNodes":1,"cluster":"c",
            "group":"users","nodes":"localhost","partition":"part01","killRequestUser":null,"user":"fireuser","workingDirectory":"/home/p","priority":1}"#,
        );
        assert_eq!(
            (failed.job_state, failed.exit_status, failed.finish_time),
            (JobState::Done, Some(3), Some(1_795_501_207))
        );
    }

    #[test]
    fn held_by_reason() {
        let held = info(r#"{"jobId":7,"status":{"state":["PENDING"],"stateReason":"JobHeldUser"}}"#);
        assert_eq!((held.job_id.as_str(), held.job_state), ("7", JobState::QueuedHeld));
        assert_eq!(held.annotation.as_deref(), Some("JobHeldUser"));
    }
}
