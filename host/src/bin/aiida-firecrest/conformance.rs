//! `conformance`: every promise of the contract, tried on a plugin and a server; the kit itself is the library's.

use crate::args;
use crate::context::Context;
use crate::output::{Failure, remark, shown};
use aiida_firecrest_host::Error;
use aiida_firecrest_host::conformance::{self, Ended, Report, Settings};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// After Ctrl-C: jobs are cancelled and waited for, and the folder is removed.
const CLEANING: Duration = Duration::from_secs(120);

pub(crate) async fn conformance(context: &Context, arguments: &args::Conformance) -> Result<(), Failure> {
    let stop = context.stop();
    let settings = Settings {
        below: arguments.below.clone(),
        only: arguments.only.clone(),
        jobs_run: !arguments.jobs_are_not_run,
        queue_patience: arguments.queue_patience,
        settle: arguments.settle,
        account: arguments.account.clone(),
        partition: arguments.partition.clone(),
        keep: arguments.keep,
        stop: stop.flag(),
        ..Settings::default()
    };
    let chosen = settings.chosen();
    if chosen.is_empty() {
        return Err(Failure::usage("--only", "no behaviour is meant by that: --list prints them all"));
    }
    if arguments.list {
        let document =
            || Value::Array(chosen.iter().map(|one| json!({"id": one.id(), "promise": one.promise()})).collect());
        let lines = || chosen.iter().map(|one| format!("{}\n    {}", one.id(), one.promise())).collect::<Vec<_>>();
        return context.output.answer(document, || lines().join("\n"));
    }
    let plugin = context.plugin()?;
    let options = context.options(&plugin).await?;
    let policy = context.policy()?;
    stop.listen_for(CLEANING);
    let told = |one: &Ended| {
        if context.output.is_interactive() {
            remark(format!("{:<11}  {}", one.verdict.name(), one.behaviour.id()));
        }
    };
    let report = conformance::run(&plugin, &options, &policy, &settings, told).await?;
    if let Some(file) = &arguments.junit {
        write_junit(&report, file)?;
    }
    context.output.answer(|| report.json(), || report.to_string())?;
    verdict(&report)
}

fn write_junit(report: &Report, file: &Path) -> Result<(), Failure> {
    let text = report.junit().map_err(|error| Error::io(file, std::io::Error::other(error)))?;
    Ok(std::fs::write(file, text).map_err(|error| Error::io(file, error))?)
}

fn verdict(report: &Report) -> Result<(), Failure> {
    let ended = |line: String, code| Err(Failure::Answered { line, code });
    let [failed, undecided] = ["fail", "undecided"].map(|name| report.count(name));
    if report.stopped {
        return ended("cancelled".into(), 130);
    }
    if failed > 0 {
        return ended(format!("{failed} behaviours failed"), 12);
    }
    if let Some(left) = report.cleanup.left.first() {
        return ended(format!("could not be cleaned up: {}", shown(left)), 1);
    }
    if undecided > 0 {
        return ended(format!("{undecided} behaviours could not be decided"), 9);
    }
    Ok(())
}
