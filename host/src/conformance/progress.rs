//! `progress`: what the host is told, and what becomes of its "stop".

use super::bench::{Bench, command, local_content, local_names, noise};
use super::judge::{Finding, Judge, Outcome, Step, holds, same};
use super::{Behaviour, behaviour};
use crate::progress::{Answer, Status};
use crate::scheduler::{JobTemplate, WaitCondition, WaitOptions};
use crate::transport::Command;
use crate::types::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!("progress", ends_with_all_of_a_put, "The last report of a put tells all its bytes and files", queued),
    behaviour!("progress", ends_with_all_of_a_get, "The last report of a get tells all its bytes and files", queued),
    behaviour!(
        "progress",
        comes_at_most_ten_times_a_second,
        "Reports come at most ten times a second, and bytes never go back",
        queued
    ),
    behaviour!(
        "progress",
        stops_a_put_and_leaves_the_old_target,
        "A put that is stopped is cancelled, and the old target stays"
    ),
    behaviour!(
        "progress",
        stops_a_get_and_leaves_the_old_target,
        "A get that is stopped is cancelled, and the old file stays, with nothing beside it"
    ),
    behaviour!("progress", stops_a_command, "A command that is stopped is cancelled, and does not go on", queued),
    behaviour!("progress", stops_a_wait, "A wait that is stopped is cancelled", queued),
    behaviour!("progress", ends_no_session, "A session goes on after a call that was stopped"),
];

/// By then a server has answered a submission, among all others of the kit.
const ANSWERED: Duration = Duration::from_secs(10);

type Told = Arc<Mutex<Vec<(Instant, Status)>>>;

/// Keeps what the host is told, and answers as `answer` does.
fn watch(b: &mut Bench, answer: impl Fn(&Status) -> Answer + Send + 'static) -> Step<Told> {
    let told: Told = Arc::default();
    let heard = Arc::clone(&told);
    let progress = move |status: &Status| {
        heard.lock().unwrap_or_else(PoisonError::into_inner).push((Instant::now(), status.clone()));
        answer(status)
    };
    b.session.on_progress(progress).done("listening to progress")?;
    Ok(told)
}

fn reports(told: &Told, operation: &str) -> Vec<(Instant, Status)> {
    let told = told.lock().unwrap_or_else(PoisonError::into_inner);
    told.iter().filter(|(_, status)| status.operation == operation).cloned().collect()
}

/// Large enough for several reports where that is within reach, and else one file.
fn size(b: &Bench) -> usize {
    let larger = b.shared.system().is_some_and(|system| system.transfer_method.is_some());
    if larger { 12 << 20 } else { b.a_mib() }
}

fn ends_with_all(told: &Told, operation: &str, size: usize, path: &str) -> Outcome {
    let told = reports(told, operation);
    let Some((_, last)) = told.last() else {
        return holds(format!("reports of {operation}"), false, "one at least", &"none");
    };
    same("the path", last.path.as_str(), path)?;
    same("bytes done and in all", (last.bytes_done, last.bytes_total), (size as u64, Some(size as u64)))?;
    same("files done and in all", (last.files_done, last.files_total), (1, Some(1)))
}

async fn ends_with_all_of_a_put(b: &mut Bench) -> Outcome {
    let size = size(b);
    let (local, remote) = (b.local_file("file", &noise(size))?, b.remote("file"));
    let told = watch(b, |_| Answer::Proceed)?;
    b.session.put(&local, &remote, &Default::default()).await.done(format!("put of {size} bytes"))?;
    ends_with_all(&told, "put", size, &remote)
}

async fn ends_with_all_of_a_get(b: &mut Bench) -> Outcome {
    let size = size(b);
    let (local, remote) = (b.local_file("file", &noise(size))?, b.remote("file"));
    b.session.put(&local, &remote, &Default::default()).await.done(format!("put of {size} bytes"))?;
    let told = watch(b, |_| Answer::Proceed)?;
    b.session.get(&remote, b.local("back"), &Default::default()).await.done(format!("get of {size} bytes"))?;
    ends_with_all(&told, "get", size, &remote)
}

async fn comes_at_most_ten_times_a_second(b: &mut Bench) -> Outcome {
    let size = size(b);
    let (local, remote) = (b.local_file("file", &noise(size))?, b.remote("file"));
    let told = watch(b, |_| Answer::Proceed)?;
    b.session.put(&local, &remote, &Default::default()).await.done(format!("put of {size} bytes"))?;
    let told = reports(&told, "put");
    let (Some(first), Some(last)) = (told.first(), told.last()) else {
        return holds("reports of put", false, "one at least", &"none");
    };
    // One at the beginning and one at the end are free.
    let most = 2 + (last.0 - first.0).as_millis() / 100;
    holds("the number of reports", told.len() as u128 <= most, format!("{most} at most"), &told.len())?;
    let forward = told.is_sorted_by_key(|(_, status)| status.bytes_done);
    holds("bytes done", forward, "never less than before", &told)
}

async fn stops_a_put_and_leaves_the_old_target(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local_file("file", b"new")?, b.file("file", b"old").await?);
    watch(b, |_| Answer::Stop)?;
    let put = b.session.put(&local, &remote, &Default::default()).await;
    put.refused("put that is stopped at once", &[ErrorKind::Cancelled])?;
    b.content(&remote, b"old").await?;
    let folder = b.folder();
    b.names(&folder, &["file"]).await
}

async fn stops_a_get_and_leaves_the_old_target(b: &mut Bench) -> Outcome {
    let (remote, folder) = (b.file("file", b"new").await?, b.local_folder("d")?);
    let local = b.local_file("d/file", b"old")?;
    watch(b, |_| Answer::Stop)?;
    let got = b.session.get(&remote, &local, &Default::default()).await;
    got.refused("get that is stopped at once", &[ErrorKind::Cancelled])?;
    local_content(&local, b"old")?;
    local_names(&folder, &["file"])
}

async fn stops_a_command(b: &mut Bench) -> Outcome {
    let directory = b.directory("d").await?;
    let begun = Instant::now();
    let told = watch(b, move |_| if begun.elapsed() >= ANSWERED { Answer::Stop } else { Answer::Proceed })?;
    let line = "while :; do echo >> beat; sleep 1; done";
    let stopped = b.session.exec(&Command { working_directory: Some(directory.clone()), ..command(line) }).await;
    if stopped.as_ref().is_err_and(|error| error.plugin_kind() == Some(ErrorKind::OutcomeUnknown)) {
        return Err(Finding::Undecided("the server had not yet answered that there is a job".into()));
    }
    stopped.refused("exec that is stopped on its way", &[ErrorKind::Cancelled])?;
    let about = reports(&told, "exec").last().map(|(_, status)| status.path.clone());
    same("what the reports are about", about.as_deref(), Some(line))?;
    // It ends, if it had begun: within the time that a scheduler leaves between its signals.
    let beat = format!("{directory}/beat");
    let mut seen = None;
    for _ in 0..15 {
        let now = b.session.exists(&beat).await.done(format!("exists of {beat}"))?;
        let now = if now { b.session.stat(&beat).await.done(format!("stat of {beat}"))?.size } else { 0 };
        if seen.replace(now) == Some(now) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    holds("the command that was stopped", false, "its end", &"it goes on")
}

async fn stops_a_wait(b: &mut Bench) -> Outcome {
    let held = JobTemplate { submit_as_hold: true, ..b.template("true") };
    let held = b.submission("d", &held).await?;
    let id = b.submit(&held).await?;
    let begun = Instant::now();
    watch(b, move |_| if begun.elapsed().as_secs() >= 1 { Answer::Stop } else { Answer::Proceed })?;
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(120_000) };
    let waited = b.session.wait(std::slice::from_ref(&id), &options).await;
    waited.refused("wait for a held job that is stopped after a second", &[ErrorKind::Cancelled])?;
    b.heed_stop().done("listening to progress")?;
    b.session.cancel(&[id]).await.done("cancel of the job").map(drop)
}

async fn ends_no_session(b: &mut Bench) -> Outcome {
    let (local, remote) = (b.local_file("file", b"new")?, b.remote("file"));
    watch(b, |_| Answer::Stop)?;
    let put = b.session.put(&local, &remote, &Default::default()).await;
    put.refused("put that is stopped at once", &[ErrorKind::Cancelled])?;
    watch(b, |_| Answer::Proceed)?;
    b.session.put(&local, &remote, &Default::default()).await.done("put after one that was stopped")?;
    b.content(&remote, b"new").await
}
