//! What the server says of a job: the queue's form, the accounting database's form, the stub in between.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::auth::unix;
use crate::commands::User;
use crate::jobs::scheduler::Job;
use crate::knobs::Knobs;

/// The highest priority that Slurm gives; each job gets one less than the one before.
const PRIORITY: u64 = 4_294_901_760;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    state: String,
    state_reason: Option<&'static str>,
    exit_code: Option<i32>,
    interrupt_signal: Option<i32>,
}

#[derive(Debug, Serialize)]
struct Time {
    elapsed: Option<u64>,
    start: Option<u64>,
    end: Option<u64>,
    suspended: Option<u64>,
    limit: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Task {
    id: String,
    name: &'static str,
    status: Status,
    time: Time,
}

/// A job as clients see it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct View {
    job_id: String,
    name: String,
    status: Status,
    tasks: Vec<Task>,
    time: Time,
    account: String,
    allocation_nodes: u32,
    cluster: &'static str,
    group: String,
    nodes: String,
    partition: String,
    kill_request_user: Option<String>,
    user: String,
    working_directory: String,
    priority: u64,
}

/// A job's script and files.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    job_id: String,
    script: String,
    standard_input: String,
    standard_output: String,
    standard_error: String,
}

impl Metadata {
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            job_id: job.id.to_string(),
            script: job.script.clone(),
            standard_input: job.input.clone(),
            standard_output: job.output.clone(),
            standard_error: job.error.clone(),
        }
    }
}

/// How much the accounting database knows by now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Stub,
    All,
}

fn known(job: &Job, started: SystemTime, knobs: &Knobs) -> Known {
    if job.synthetic {
        return Known::All;
    }
    let passed: Duration = started.elapsed().unwrap_or_default();
    if passed < knobs.job_lag.registered {
        Known::Nothing
    } else if passed < knobs.job_lag.complete {
        Known::Stub
    } else {
        Known::All
    }
}

/// The answer about one job; `None` where the server does not know it for the moment.
pub(crate) fn view(job: &Job, knobs: &Knobs, user: &User) -> Option<View> {
    look(job, knobs, user, false)
}

/// The same in a list; one filtered by name does not find stubs, whose name is another.
pub(crate) fn listed(job: &Job, knobs: &Knobs, user: &User, by_name: bool) -> Option<View> {
    look(job, knobs, user, by_name)
}

fn look(job: &Job, knobs: &Knobs, user: &User, by_name: bool) -> Option<View> {
    let mut view = match (job.started, &job.outcome) {
        (None, None) => queued(job, user, "PENDING", job.reason),
        (None, Some(_)) => accounted(job, user, false),
        (Some(_), None) if job.completing => queued(job, user, "COMPLETING", "None"),
        (Some(started), outcome) => match (known(job, started, knobs), outcome) {
            (Known::Nothing, None) => queued(job, user, "RUNNING", "None"),
            (Known::Stub, None) if by_name => queued(job, user, "RUNNING", "None"),
            (Known::Nothing, Some(_)) => return None,
            (Known::Stub, Some(_)) if by_name => return None,
            (Known::Stub, _) => accounted(job, user, true),
            (Known::All, _) => accounted(job, user, false),
        },
    };
    if let Some(state) = &job.raw_state {
        view.status.state.clone_from(state);
    }
    for time in view.tasks.iter_mut().map(|task| &mut task.time).chain([&mut view.time]) {
        for seconds in [&mut time.start, &mut time.end].into_iter().flatten() {
            *seconds = seconds.saturating_add_signed(knobs.clock_skew);
        }
    }
    Some(view)
}

fn seconds(time: Option<SystemTime>) -> Option<u64> {
    time.map(|time| unix(time) as u64)
}

fn elapsed(job: &Job) -> u64 {
    let end = seconds(job.ended.or_else(|| Some(SystemTime::now())));
    match (seconds(job.started), end) {
        (Some(start), Some(end)) => end.saturating_sub(start),
        _ => 0,
    }
}

/// As squeue knows it.
fn queued(job: &Job, user: &User, state: &str, reason: &'static str) -> View {
    let limit = job.limit.map(|minutes| minutes * 60);
    let start = seconds(job.started);
    View {
        job_id: job.id.to_string(),
        name: job.name.clone(),
        status: Status { state: state.to_owned(), state_reason: Some(reason), exit_code: None, interrupt_signal: None },
        tasks: Vec::new(),
        time: Time {
            elapsed: Some(elapsed(job)),
            start,
            end: seconds(job.ended).or_else(|| Some(start? + limit?)),
            suspended: None,
            limit,
        },
        account: job.account.clone(),
        allocation_nodes: job.nodes,
        cluster: "cluster",
        group: user.group.clone(),
        nodes: node_list(&job.node_list),
        partition: job.partition.clone(),
        kill_request_user: None,
        user: user.name.clone(),
        working_directory: job.work_dir.clone(),
        priority: priority(job),
    }
}

/// As sacct knows it, or the stub that it has of it at first.
fn accounted(job: &Job, user: &User, stub: bool) -> View {
    let (state, exit, signal, batch) = match &job.outcome {
        Some(outcome) => (outcome.state.clone(), outcome.exit, outcome.signal, outcome.batch),
        // A stub of a running job is still PENDING.
        None if stub => ("PENDING".into(), 0, 0, ("RUNNING", 0, 0)),
        None => ("RUNNING".into(), 0, 0, ("RUNNING", 0, 0)),
    };
    let time = |limit| Time {
        elapsed: Some(elapsed(job)),
        start: seconds(job.started),
        end: seconds(job.ended),
        suspended: Some(0),
        limit,
    };
    let mut tasks = Vec::new();
    if job.started.is_some() {
        tasks.push(Task {
            id: format!("{}.batch", job.id),
            name: "batch",
            status: Status {
                state: batch.0.to_owned(),
                state_reason: None,
                exit_code: Some(batch.1),
                interrupt_signal: Some(batch.2),
            },
            time: time(None),
        });
    }
    let or_empty = |text: &str| {
        if stub { String::new() } else { text.to_owned() }
    };
    View {
        job_id: job.id.to_string(),
        name: if stub { "allocation".into() } else { job.name.clone() },
        status: Status { state, state_reason: Some("None"), exit_code: Some(exit), interrupt_signal: Some(signal) },
        tasks,
        time: time(job.limit.filter(|_| !stub).map(|minutes| minutes * 60)),
        account: job.account.clone(),
        allocation_nodes: if job.started.is_some() { job.nodes } else { 0 },
        cluster: "cluster",
        group: if stub { "root".into() } else { user.group.clone() },
        nodes: if job.started.is_some() { node_list(&job.node_list) } else { "None assigned".into() },
        partition: or_empty(&job.partition),
        kill_request_user: None,
        user: user.name.clone(),
        working_directory: or_empty(&job.work_dir),
        priority: if stub { 0 } else { priority(job) },
    }
}

fn priority(job: &Job) -> u64 {
    if job.held && !job.synthetic { 0 } else { PRIORITY.saturating_sub(job.id) }
}

/// Node names as Slurm folds them: `nid[0001-0003,0007]`.
fn node_list(names: &[String]) -> String {
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| name.strip_prefix("nid")?.parse().ok()).collect();
    if numbers.len() < 2 || numbers.len() != names.len() {
        return names.join(",");
    }
    numbers.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let ranges: Vec<String> = ranges
        .iter()
        .map(|(first, last)| if first == last { format!("{first:04}") } else { format!("{first:04}-{last:04}") })
        .collect();
    format!("nid[{}]", ranges.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_folded() {
        let list = |numbers: &[u32]| {
            let names: Vec<String> = numbers.iter().map(|n| format!("nid{n:04}")).collect();
            node_list(&names)
        };
        assert_eq!(list(&[2]), "nid0002");
        assert_eq!(list(&[1, 2, 3, 7]), "nid[0001-0003,0007]");
        assert_eq!(node_list(&["localhost".into()]), "localhost");
    }
}
