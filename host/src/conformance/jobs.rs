//! Jobs: `submit`, `jobs`, `cancel`, `wait`, `details`.

use super::bench::{Bench, bytes};
use super::judge::{Finding, Judge, Outcome, holds, same};
use super::{Behaviour, behaviour};
use crate::scheduler::{
    CancelOutcome, JobQuery, JobState, JobTemplate, ScriptSource, Submission, WaitCondition, WaitOptions,
};
use crate::types::ErrorKind;
use std::time::{Duration, Instant};

pub(super) const BEHAVIOURS: &[Behaviour] = &[
    behaviour!(
        "submit",
        runs_a_script_to_its_end,
        "A job runs in its directory and leaves its output where the script says",
        runs
    ),
    behaviour!(
        "submit",
        takes_a_script_that_is_there,
        "A script that is on the cluster is submitted by its path",
        runs
    ),
    behaviour!("submit", gives_name_and_environment, "The submission's name and environment reach the job", runs),
    behaviour!("submit", of_a_missing_script_is_not_found, "A script that is not there is not-found, and the subject"),
    behaviour!(
        "submit",
        of_what_is_no_script_is_refused,
        "What the scheduler takes for no script is invalid-argument, with its words, and makes no job"
    ),
    behaviour!("submit", to_an_unknown_partition_is_refused, "An unknown partition is invalid-argument"),
    behaviour!(
        "submit",
        of_what_cannot_be_sent_whole_is_refused,
        "Relative paths, an empty script and odd variable names are invalid-argument before anything is sent"
    ),
    behaviour!("submit", of_a_held_job_holds_it, "A job submitted on hold is held, and can be cancelled", queued),
    behaviour!(
        "jobs",
        describes_a_finished_job,
        "A finished job has its name, owner, times, state and exit status",
        queued
    ),
    behaviour!(
        "jobs",
        tells_a_failed_job,
        "A job that ends with another status than 0 is done, with that status",
        runs
    ),
    behaviour!("jobs", tells_a_running_job, "A running job is running, and has no exit status and no end", runs),
    behaviour!("jobs", of_unknown_ids_are_missing, "Unknown ids are no error, but missing"),
    behaviour!("jobs", of_no_ids_is_nothing, "No ids: no jobs, and no request"),
    behaviour!("jobs", of_the_same_id_twice_is_one, "An id that is listed twice counts once", queued),
    behaviour!(
        "jobs",
        of_mine_has_a_young_one,
        "All of mine has a job that is queued or running, and one that has just ended",
        queued
    ),
    behaviour!(
        "jobs",
        of_an_odd_id_is_refused,
        "An id with other characters than letters and digits is invalid-argument before anything is sent"
    ),
    behaviour!("cancel", ends_a_running_job, "A running job that is cancelled ends, and does not run on", runs),
    behaviour!("cancel", tells_each_outcome, "Cancelling tells for each id, in order, what became of it", queued),
    behaviour!("cancel", of_no_ids_is_nothing_too, "No ids: no outcomes, and no request"),
    behaviour!(
        "details",
        have_steps_and_script,
        "A finished job's details have its script, its steps and its files",
        queued
    ),
    behaviour!("details", of_an_unknown_job_is_not_found, "The details of an unknown job are not-found"),
];

pub(super) const WAITS: &[Behaviour] = &[
    behaviour!("wait", ends_with_all_jobs, "Waiting for all ends when all have ended", queued),
    behaviour!("wait", ends_with_the_first_job, "Waiting for one ends with the first", queued),
    behaviour!("wait", for_started_ends_while_it_runs, "Waiting for the start ends while the job runs", runs),
    behaviour!("wait", ends_when_its_time_is_over, "When the time is over the answer is how it stands", queued),
    behaviour!("wait", of_an_unknown_job_ends, "An unknown job is awaited for a short while, and then missing"),
    behaviour!("wait", of_no_ids_ends_at_once, "No ids: nothing to wait for, and no request"),
];

/// No scheduler counts that far.
const UNKNOWN: &str = "999999999";

async fn runs_a_script_to_its_end(b: &mut Bench) -> Outcome {
    let submission = b.submission("d", &b.template("pwd -P; echo oops >&2; echo 1 > made")).await?;
    let directory = submission.working_directory.clone();
    let id = b.submit(&submission).await?;
    let job = b.end_of(&id).await?;
    same("state and exit status", (job.job_state, job.exit_status), (JobState::Done, Some(0)))?;
    b.content(&format!("{directory}/made"), b"1\n").await?;
    b.content(&format!("{directory}/err.txt"), b"oops\n").await?;
    let out = format!("{directory}/out.txt");
    let printed = b.session.read(&out, 0, None).await.done(format!("read of {out}"))?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    holds("where it ran", printed.trim_end().ends_with("/d"), &directory, &printed)
}

async fn takes_a_script_that_is_there(b: &mut Bench) -> Outcome {
    let mut submission = b.submission("d", &b.template("echo by path")).await?;
    let ScriptSource::Text(text) = &submission.script else { return Ok(()) };
    let path = format!("{}/a job.sh", submission.working_directory);
    b.session.write(&path, text.as_bytes(), Some(0o700)).await.done(format!("write of the script to {path}"))?;
    b.there(&path).await?;
    submission.script = ScriptSource::Path(path);
    let id = b.submit(&submission).await?;
    b.end_of(&id).await?;
    b.printed(&submission.working_directory, "by path\n").await
}

async fn gives_name_and_environment(b: &mut Bench) -> Outcome {
    let (name, value) = (format!("{}-named", b.shared.tag), "a b = \"c\"; $HOME 'q' ü");
    let submission = Submission {
        name: Some(name.clone()),
        account: b.account(),
        environment: vec![("CONFORMANCE".into(), value.into()), ("EMPTY".into(), String::new())],
        ..b.submission("d", &b.template("printf '%s|%s\\n' \"$CONFORMANCE\" \"${EMPTY-unset}\"")).await?
    };
    let id = b.submit(&submission).await?;
    let job = b.end_of(&id).await?;
    same("the job's name", job.title.as_deref(), Some(name.as_str()))?;
    b.printed(&submission.working_directory, &format!("{value}|\n")).await
}

async fn of_a_missing_script_is_not_found(b: &mut Bench) -> Outcome {
    let path = b.remote("missing.sh");
    let submission =
        Submission { script: ScriptSource::Path(path.clone()), ..b.submission("d", &b.template("true")).await? };
    let submitted = b.session.submit(&submission).await;
    let error = submitted.refused(format!("submit of {path}"), &[ErrorKind::NotFound])?;
    same("the error's subject", error.subject.as_deref(), Some(path.as_str()))
}

async fn of_what_is_no_script_is_refused(b: &mut Bench) -> Outcome {
    let name = format!("{}-none", b.shared.tag);
    let text = ScriptSource::Text("echo without a first line\n".into());
    let submission =
        Submission { script: text, name: Some(name.clone()), ..b.submission("d", &b.template("true")).await? };
    let submitted = b.session.submit(&submission).await;
    let error = submitted.refused("submit of a text without #!", &[ErrorKind::InvalidArgument])?;
    holds("the error's message", !error.message.is_empty(), "the scheduler's words", &error)?;
    let listing = b.session.jobs(&JobQuery::Mine).await.done("jobs of mine")?;
    let made = listing.jobs.into_iter().find(|job| job.title.as_deref() == Some(name.as_str()));
    holds("jobs of that name", made.is_none(), "none", &made)
}

async fn to_an_unknown_partition_is_refused(b: &mut Bench) -> Outcome {
    let template = JobTemplate { queue_name: Some("conformance-none".into()), ..b.template("true") };
    let submission = b.submission("d", &template).await?;
    let submitted = b.session.submit(&submission).await;
    submitted.refused("submit to the partition conformance-none", &[ErrorKind::InvalidArgument]).map(drop)
}

async fn of_what_cannot_be_sent_whole_is_refused(b: &mut Bench) -> Outcome {
    let good = b.submission("d", &b.template("true")).await?;
    let environment = |name: &str| vec![(name.to_owned(), "1".to_owned())];
    let before = b.sent();
    for (what, bad) in [
        ("a relative working directory", Submission { working_directory: "d".into(), ..good.clone() }),
        ("a relative script", Submission { script: ScriptSource::Path("job.sh".into()), ..good.clone() }),
        ("an empty script", Submission { script: ScriptSource::Text(String::new()), ..good.clone() }),
        ("a variable with a space", Submission { environment: environment("A B"), ..good.clone() }),
        ("a variable without a name", Submission { environment: environment(""), ..good.clone() }),
    ] {
        b.session.submit(&bad).await.refused(format!("submit with {what}"), &[ErrorKind::InvalidArgument])?;
        b.silent(&format!("submit with {what}"), before)?;
    }
    Ok(())
}

async fn of_a_held_job_holds_it(b: &mut Bench) -> Outcome {
    let template = JobTemplate { submit_as_hold: true, ..b.template("true") };
    let submission = b.submission("d", &template).await?;
    let ids = [b.submit(&submission).await?];
    let query = JobQuery::Ids(ids.to_vec());
    // A young job can be unknown, or not known to be held, for seconds.
    let until = Instant::now() + b.shared.settings.settle + Duration::from_secs(5);
    loop {
        let listing = b.session.jobs(&query).await.done("jobs of a held one")?;
        match listing.jobs.first().map(|job| job.job_state) {
            Some(JobState::QueuedHeld) => break,
            state if Instant::now() > until => same("the state of a held job", state, Some(JobState::QueuedHeld))?,
            _ => tokio::time::sleep(Duration::from_millis(300)).await,
        }
    }
    let outcomes = b.session.cancel(&ids).await.done("cancel of a held job")?;
    holds("its outcome", matches!(outcomes[..], [CancelOutcome::Cancelled]), "cancelled", &outcomes)?;
    same("its state", b.end_of(&ids[0]).await?.job_state, JobState::Done)
}

async fn describes_a_finished_job(b: &mut Bench) -> Outcome {
    let submission = b.submission("d", &b.template("true")).await?;
    let (id, me) = (b.submit(&submission).await?, b.shared.server.user.name.clone());
    let job = b.end_of(&id).await?;
    same("its id", job.job_id.as_str(), id.as_str())?;
    let about = |told: &Option<String>, expected: &str| told.as_deref().is_none_or(|told| told == expected);
    holds("its name", about(&job.title, &b.shared.tag), &b.shared.tag, &job.title)?;
    holds("its owner", about(&job.job_owner, &me), &me, &job.job_owner)?;
    let directory = &submission.working_directory;
    holds("its directory", about(&job.working_directory, directory), directory, &job.working_directory)?;
    let status = b.shared.settings.jobs_run.then_some(0);
    same("state and exit status", (job.job_state, job.exit_status), (JobState::Done, status))?;
    holds("the scheduler's word", !job.raw_state.is_empty(), "a word", &job)?;
    let times = job.dispatch_time.zip(job.finish_time).is_none_or(|(start, end)| 0 < start && start <= end);
    holds("its times", times, "start before end", &job)?;
    let raw = serde_json::from_str::<serde_json::Value>(&job.raw_data);
    holds("the server's answer", raw.is_ok(), "JSON", &job.raw_data)
}

async fn tells_a_failed_job(b: &mut Bench) -> Outcome {
    let id = b.job("d", "exit 3").await?;
    let job = b.end_of(&id).await?;
    same("state and exit status", (job.job_state, job.exit_status), (JobState::Done, Some(3)))
}

async fn tells_a_running_job(b: &mut Bench) -> Outcome {
    let ids = [b.job("d", "sleep 50").await?];
    let listing = b.running(&ids).await?;
    let Some(job) = listing.jobs.first() else { return same("jobs", listing.jobs.len(), 1) };
    if job.job_state == JobState::Done {
        return Err(Finding::Undecided("the job had ended before it was seen to run".into()));
    }
    same("its state", job.job_state, JobState::Running)?;
    same("exit status and end", (job.exit_status, job.finish_time), (None, None))?;
    b.session.cancel(&ids).await.done("cancel of the job").map(drop)
}

async fn of_unknown_ids_are_missing(b: &mut Bench) -> Outcome {
    let listing = b.session.jobs(&JobQuery::Ids(vec![UNKNOWN.into()])).await.done("jobs of an unknown id")?;
    same("jobs and missing", (listing.jobs.len(), listing.missing), (0, vec![UNKNOWN.to_owned()]))
}

async fn of_no_ids_is_nothing(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let listing = b.session.jobs(&JobQuery::Ids(Vec::new())).await.done("jobs of no ids")?;
    same("jobs and missing", (listing.jobs.len(), listing.missing.len()), (0, 0))?;
    b.silent("jobs of no ids", before)
}

async fn of_the_same_id_twice_is_one(b: &mut Bench) -> Outcome {
    let id = b.job("d", "true").await?;
    b.end_of(&id).await?;
    let twice = JobQuery::Ids(vec![id.clone(), UNKNOWN.into(), id.clone(), UNKNOWN.into()]);
    let listing = b.session.jobs(&twice).await.done("jobs of ids listed twice")?;
    let ids: Vec<&str> = listing.jobs.iter().map(|job| job.job_id.as_str()).collect();
    same("jobs and missing", (ids, listing.missing.len()), (vec![id.as_str()], 1))
}

async fn of_mine_has_a_young_one(b: &mut Bench) -> Outcome {
    let (young, old) = (b.job("young", "sleep 50").await?, b.job("old", "true").await?);
    b.end_of(&old).await?;
    b.running(std::slice::from_ref(&young)).await?;
    let until = Instant::now() + b.shared.settings.settle;
    loop {
        let mine = b.session.jobs(&JobQuery::Mine).await.done("jobs of mine")?.jobs;
        let has = |id: &str| mine.iter().any(|job| job.job_id == id);
        if has(&young) && has(&old) {
            break;
        }
        if Instant::now() > until {
            let ids: Vec<&str> = mine.iter().map(|job| job.job_id.as_str()).collect();
            return holds("jobs of mine", false, format!("{young} and {old} among them"), &ids);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    b.session.cancel(&[young]).await.done("cancel of the job").map(drop)
}

async fn of_an_odd_id_is_refused(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let refused = [ErrorKind::InvalidArgument];
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(1000) };
    for id in ["", "1 2", "12_3", "../7", "7;", "ü", "-1"] {
        let ids = vec!["1".to_owned(), id.to_owned()];
        b.session.jobs(&JobQuery::Ids(ids.clone())).await.refused(format!("jobs of {id:?}"), &refused)?;
        b.session.cancel(&ids).await.refused(format!("cancel of {id:?}"), &refused)?;
        b.session.wait(&ids, &options).await.refused(format!("wait for {id:?}"), &refused)?;
        b.session.details(id).await.refused(format!("details of {id:?}"), &refused)?;
        b.silent(&format!("calls about {id:?}"), before)?;
    }
    Ok(())
}

async fn ends_a_running_job(b: &mut Bench) -> Outcome {
    let well = b.job("well", "true").await?;
    let well = b.end_of(&well).await?;
    // `&&`: the signals go to one process after the other, and a shell may be quick.
    let submission = b.submission("d", &b.template("sleep 50 && touch ran-on")).await?;
    let ids = [b.submit(&submission).await?];
    b.running(&ids).await?;
    let outcomes = b.session.cancel(&ids).await.done("cancel of a running job")?;
    holds("its outcome", matches!(outcomes[..], [CancelOutcome::Cancelled]), "cancelled", &outcomes)?;
    let job = b.end_of(&ids[0]).await?;
    same("its state", job.job_state, JobState::Done)?;
    let told = (job.exit_status, job.terminating_signal, job.raw_state);
    holds(
        "how it ended",
        told != (well.exit_status, well.terminating_signal, well.raw_state),
        "not as a success",
        &told,
    )?;
    b.gone(&format!("{}/ran-on", submission.working_directory)).await
}

async fn tells_each_outcome(b: &mut Bench) -> Outcome {
    let held = JobTemplate { submit_as_hold: true, ..b.template("true") };
    let held = b.submission("held", &held).await?;
    let (ended, held) = (b.job("ended", "true").await?, b.submit(&held).await?);
    b.end_of(&ended).await?;
    let ids = [ended, UNKNOWN.to_owned(), held.clone()];
    let outcomes = b.session.cancel(&ids).await.done("cancel of an ended, an unknown and a held job")?;
    use CancelOutcome::{AlreadyFinished, Cancelled, NotFound};
    let fits = matches!(outcomes[..], [AlreadyFinished, NotFound, Cancelled]);
    holds("the outcomes", fits, "already-finished, not-found, cancelled", &outcomes)?;
    same("the state of the third", b.end_of(&held).await?.job_state, JobState::Done)
}

async fn of_no_ids_is_nothing_too(b: &mut Bench) -> Outcome {
    let before = b.sent();
    same("outcomes", b.session.cancel(&[]).await.done("cancel of no ids")?.len(), 0)?;
    b.silent("cancel of no ids", before)
}

async fn have_steps_and_script(b: &mut Bench) -> Outcome {
    let submission = b.submission("d", &b.template("true")).await?;
    let ScriptSource::Text(text) = submission.script.clone() else { return Ok(()) };
    let id = b.submit(&submission).await?;
    b.end_of(&id).await?;
    let details = b.session.details(&id).await.done(format!("details of {id}"))?;
    same("id and state", (details.info.job_id.as_str(), details.info.job_state), (id.as_str(), JobState::Done))?;
    if let Some(script) = &details.script {
        bytes("the script", script.as_bytes(), text.as_bytes())?;
    }
    let out = format!("{}/out.txt", submission.working_directory);
    let told = details.standard_output.as_deref();
    holds("where its output goes", told.is_none_or(|told| told == out), out, &told)?;
    let states = details.steps.iter().all(|step| !step.raw_state.is_empty());
    holds("its steps", states, "a state each", &details.steps)
}

async fn of_an_unknown_job_is_not_found(b: &mut Bench) -> Outcome {
    b.session.details(UNKNOWN).await.refused("details of an unknown job", &[ErrorKind::NotFound]).map(drop)
}

async fn ends_with_all_jobs(b: &mut Bench) -> Outcome {
    let ids = [b.job("one", "true").await?, b.job("two", "sleep 2").await?];
    let listing = b.ended(&ids).await?;
    let states: Vec<(&str, JobState)> = listing.jobs.iter().map(|job| (job.job_id.as_str(), job.job_state)).collect();
    same("the jobs", states, ids.iter().map(|id| (id.as_str(), JobState::Done)).collect())?;
    same("missing", listing.missing.len(), 0)
}

fn waiting(b: &Bench, until: WaitCondition, all: bool) -> WaitOptions {
    WaitOptions { until, all, timeout_ms: u64::try_from(b.patience().as_millis()).ok() }
}

async fn ends_with_the_first_job(b: &mut Bench) -> Outcome {
    let held = JobTemplate { submit_as_hold: true, ..b.template("true") };
    let held = b.submission("held", &held).await?;
    let ids = [b.submit(&held).await?, b.job("short", "true").await?];
    let options = waiting(b, WaitCondition::Finished, false);
    let listing = b.session.wait(&ids, &options).await.done("wait for the first of two jobs")?;
    let state = |id: &str| listing.jobs.iter().find(|job| job.job_id == id).map(|job| job.job_state);
    if state(&ids[1]) != Some(JobState::Done) && listing.missing.is_empty() {
        return Err(Finding::Undecided("neither job had ended within the queue patience".into()));
    }
    same("the short one", state(&ids[1]), Some(JobState::Done))?;
    holds("the held one", state(&ids[0]) != Some(JobState::Done), "not done", &state(&ids[0]))?;
    b.session.cancel(&ids[..1]).await.done("cancel of the held job").map(drop)
}

async fn for_started_ends_while_it_runs(b: &mut Bench) -> Outcome {
    let submission = b.submission("d", &b.template("sleep 50 && touch ran-on")).await?;
    let ids = [b.submit(&submission).await?];
    b.running(&ids).await?;
    b.gone(&format!("{}/ran-on", submission.working_directory)).await?;
    b.session.cancel(&ids).await.done("cancel of the job").map(drop)
}

async fn ends_when_its_time_is_over(b: &mut Bench) -> Outcome {
    let held = JobTemplate { submit_as_hold: true, ..b.template("true") };
    let held = b.submission("held", &held).await?;
    let ids = [b.submit(&held).await?];
    for timeout_ms in [0, 1500] {
        let options = WaitOptions { timeout_ms: Some(timeout_ms), ..waiting(b, WaitCondition::Finished, true) };
        let begun = Instant::now();
        let listing = b.session.wait(&ids, &options).await.done(format!("wait of {timeout_ms} ms"))?;
        holds("the time it took", begun.elapsed().as_millis() as u64 >= timeout_ms, "at least that", &begun.elapsed())?;
        let known = listing.jobs.len() + listing.missing.len();
        holds("the answer", known == 1, "the job as it is", &listing)?;
        let done = listing.jobs.iter().any(|job| job.job_state == JobState::Done);
        holds("its state", !done, "not done", &listing)?;
    }
    b.session.cancel(&ids).await.done("cancel of the held job").map(drop)
}

async fn of_an_unknown_job_ends(b: &mut Bench) -> Outcome {
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(300_000) };
    let begun = Instant::now();
    let listing = b.session.wait(&[UNKNOWN.into()], &options).await.done("wait for an unknown job")?;
    same("missing", listing.missing, vec![UNKNOWN.to_owned()])?;
    holds("the time it took", begun.elapsed() < Duration::from_secs(240), "a short while", &begun.elapsed())
}

async fn of_no_ids_ends_at_once(b: &mut Bench) -> Outcome {
    let before = b.sent();
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: None };
    let listing = b.session.wait(&[], &options).await.done("wait for no ids")?;
    same("jobs and missing", (listing.jobs.len(), listing.missing.len()), (0, 0))?;
    b.silent("wait for no ids", before)
}
