//! Commands about jobs.

use crate::args::{Jobs, Submit, Wait};
use crate::context::Context;
use crate::output::{Failure, clock, remark, shown, table};
use crate::{json, template};
use aiida_firecrest_host::Error;
use aiida_firecrest_host::scheduler::{
    CancelOutcome, JobInfo, JobListing, JobQuery, JobState, ScriptSource, Submission, WaitCondition, WaitOptions,
};
use aiida_firecrest_host::types::ErrorKind;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

pub(crate) async fn submit(context: &Context, arguments: &Submit) -> Result<(), Failure> {
    let (script, folder) = match (&arguments.remote, &arguments.script) {
        (Some(remote), _) => {
            let folder = remote.rsplit_once('/').map_or("", |(folder, _)| if folder.is_empty() { "/" } else { folder });
            (ScriptSource::Path(remote.clone()), Some(folder.to_owned()))
        }
        (None, Some(local)) => (ScriptSource::Text(read_text(local)?), None),
        (None, None) => return Err(Failure::usage("", "a script is needed")),
    };
    let Some(working_directory) = arguments.directory.clone().or(folder) else {
        return Err(Failure::usage("--directory", "is needed for a script of this machine"));
    };
    let submission = Submission {
        script,
        working_directory,
        name: arguments.name.clone(),
        account: arguments.account.clone(),
        environment: arguments.env.clone(),
    };
    let id = context.session().await?.submit(&submission).await.map_err(|error| match (error, &arguments.script) {
        // The server knows no name of a script that it was handed: whoever reads this does.
        (Error::Plugin { mut error, network }, Some(script)) if error.kind == ErrorKind::InvalidArgument => {
            error.message = format!("{}: {}", script.display(), error.message);
            Error::Plugin { error, network }
        }
        (error, _) => error,
    })?;
    context.output.answer(|| json!({"job_id": id}), || id.clone())
}

pub(crate) async fn jobs(context: &Context, arguments: &Jobs) -> Result<(), Failure> {
    let mut session = context.session().await?;
    let query = if arguments.ids.is_empty() { JobQuery::Mine } else { JobQuery::Ids(arguments.ids.clone()) };
    if !arguments.watch {
        let listing = session.jobs(&query).await?;
        print(context, &listing)?;
        return missing(&listing);
    }
    let started = Instant::now();
    let mut last: HashMap<String, String> = HashMap::new();
    loop {
        let listing = session.jobs(&query).await?;
        for job in &listing.jobs {
            let line = change(job);
            if last.get(&job.job_id) != Some(&line) {
                let text = format!("{}  {}  {line}", clock(started.elapsed().as_secs()), shown(&job.job_id));
                // With --json one document a line: a stream has no end to close a list at.
                let document = || json!({"elapsed_seconds": started.elapsed().as_secs_f64(), "job_id": job.job_id, "job_state": json::state(job.job_state), "raw_state": job.raw_state});
                context.output.line(if context.output.is_json() { document().to_string() } else { text })?;
                last.insert(job.job_id.clone(), line);
            }
        }
        let ended = !arguments.ids.is_empty() && listing.jobs.iter().all(|job| job.job_state == JobState::Done);
        if ended && (listing.missing.is_empty() || last.is_empty()) {
            return missing(&listing);
        }
        tokio::time::sleep(Duration::from_secs_f64(arguments.every)).await;
    }
}

fn change(job: &JobInfo) -> String {
    let mut text = format!("{} ({})", json::state(job.job_state), shown(&job.raw_state));
    if let Some(reason) = job.annotation.as_deref().filter(|reason| !reason.is_empty() && *reason != "None") {
        text += &format!(", {}", shown(reason));
    }
    match (job.exit_status, job.terminating_signal) {
        (_, Some(signal)) if signal != 0 => text += &format!(", signal {signal}"),
        (Some(status), _) if job.job_state == JobState::Done => text += &format!(", exit status {status}"),
        _ => {}
    }
    text
}

fn print(context: &Context, listing: &JobListing) -> Result<(), Failure> {
    let lines = || {
        if listing.jobs.is_empty() {
            return String::new();
        }
        let rows = listing.jobs.iter().map(|job| {
            let text = |value: &Option<String>| value.as_deref().map(shown).unwrap_or_default();
            vec![
                shown(&job.job_id),
                text(&job.title),
                json::state(job.job_state).to_owned(),
                shown(&job.raw_state),
                text(&job.queue_name),
                job.num_machines.map(|number| number.to_string()).unwrap_or_default(),
                job.wallclock_time_seconds.map(clock).unwrap_or_default(),
                job.exit_status.map(|status| status.to_string()).unwrap_or_default(),
                text(&job.annotation),
            ]
        });
        table(&["ID", "NAME", "STATE", "SCHEDULER", "PARTITION", "NODES", "TIME", "EXIT", "REASON"], &[5, 6, 7], rows)
    };
    context.output.answer(|| json::listing(listing), lines)
}

fn missing(listing: &JobListing) -> Result<(), Failure> {
    if listing.missing.is_empty() {
        return Ok(());
    }
    let line = format!(
        "the scheduler does not know {}",
        listing.missing.iter().map(|id| shown(id)).collect::<Vec<_>>().join(", ")
    );
    Err(Failure::Answered { line, code: 3 })
}

pub(crate) async fn cancel(context: &Context, ids: &[String]) -> Result<(), Failure> {
    let outcomes = context.session().await?.cancel(ids).await?;
    let document = || Value::Array(ids.iter().zip(&outcomes).map(|(id, outcome)| json::outcome(id, outcome)).collect());
    let lines = || {
        let row = |(id, outcome): (&String, &CancelOutcome)| {
            let words = match outcome {
                CancelOutcome::Cancelled => "cancelled".to_owned(),
                CancelOutcome::AlreadyFinished => "had already ended".to_owned(),
                CancelOutcome::NotFound => "not known".to_owned(),
                CancelOutcome::Failed(error) => format!("failed: {}", shown(&error.message)),
            };
            vec![id.clone(), words]
        };
        table(&[], &[], ids.iter().zip(&outcomes).map(row))
    };
    context.output.answer(document, lines)?;
    for (id, outcome) in ids.iter().zip(outcomes) {
        match outcome {
            CancelOutcome::Failed(error) => {
                let error = Error::Plugin { error: Box::new(error), network: None };
                return Err(Failure::Answered { line: error.to_string(), code: error.exit_code() });
            }
            CancelOutcome::NotFound => {
                return Err(Failure::Answered { line: format!("the scheduler does not know {}", shown(id)), code: 3 });
            }
            CancelOutcome::Cancelled | CancelOutcome::AlreadyFinished => {}
        }
    }
    Ok(())
}

pub(crate) async fn wait(context: &Context, arguments: &Wait) -> Result<(), Failure> {
    let options = WaitOptions {
        until: if arguments.started { WaitCondition::Started } else { WaitCondition::Finished },
        all: !arguments.any,
        timeout_ms: arguments.limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)),
    };
    if context.output.is_interactive() {
        remark(format!("waiting for {}", arguments.ids.join(", ")));
    }
    let listing = context.session().await?.wait(&arguments.ids, &options).await?;
    print(context, &listing)?;
    let reached = |job: &JobInfo| match job.job_state {
        JobState::Done => true,
        JobState::Running | JobState::Suspended => arguments.started,
        _ => false,
    };
    let done = if arguments.any {
        listing.jobs.iter().any(reached) || !listing.missing.is_empty()
    } else {
        listing.jobs.iter().all(reached)
    };
    if !done {
        return Err(Failure::Answered { line: "the time was over first".into(), code: 9 });
    }
    missing(&listing)
}

pub(crate) async fn script(context: &Context, file: &Path) -> Result<(), Failure> {
    let template =
        template::parse(&read_text(file)?).map_err(|reason| Failure::usage(&file.display().to_string(), reason))?;
    let script = context.plugin()?.script(&template).await?;
    if context.output.is_json() {
        return context.output.document(&json!({"script": script}));
    }
    context.output.bytes(script.as_bytes())
}

fn read_text(file: &Path) -> Result<String, Failure> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|error| Error::io("standard input", error))?;
        return Ok(text);
    }
    Ok(std::fs::read_to_string(file).map_err(|error| Error::io(file, error))?)
}
