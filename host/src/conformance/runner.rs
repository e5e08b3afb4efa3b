//! One run: the folders, the behaviours at the same time, the clean-up.

use super::bench::{Bench, Shared};
use super::judge::{Evidence, Finding, Outcome, Verdict};
use super::report::{Ended, Report};
use super::{Behaviour, Pace, Settings, cleanup};
use crate::error::{Error, Result};
use crate::policy::Folder;
use crate::types::ErrorKind;
use crate::{Options, Plugin, Policy, Session};
use rand::Rng;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Behaviours that wait for jobs at once: each has an instance of its own, of a few MiB.
const QUEUED_AT_ONCE: usize = 64;
/// A plugin that does not heed `progress` gets this much longer.
const GRACE: Duration = Duration::from_secs(60);
/// How often a behaviour is tried whose server was in passing trouble.
const ATTEMPTS: u32 = 2;

/// Runs the behaviours that the settings choose, cleans up, and reports. `ended` is told each verdict as it is known.
///
/// The policy's folders, or where it has none those of each call, are extended by the run's local folder.
///
/// # Errors
/// Nothing could be tried: the plugin cannot open a session, or the run's folder cannot be made. What a behaviour finds is no
/// error, but in the report.
pub async fn run(
    plugin: &Plugin,
    options: &Options,
    policy: &Policy,
    settings: &Settings,
    mut ended: impl FnMut(&Ended),
) -> Result<Report> {
    let started = Instant::now();
    let info = plugin.describe().await?;
    let described = plugin.options().await?;
    let server = plugin.check(options, policy).await?;
    let local = tempfile::tempdir().map_err(|error| Error::io(std::env::temp_dir(), error))?;
    let policy = policy.clone().folder(Folder::write(local.path()));
    let mut session = Session::open(plugin, options, &policy).await?;
    let state = session.state().await?;
    let mut random = rand::rng();
    let tag = format!("conformance-{:08x}", random.random::<u32>());
    let mut shared = Shared {
        plugin: plugin.clone(),
        options: options.clone(),
        described,
        policy,
        server,
        settings: settings.clone(),
        root: String::new(),
        local: local.path().to_owned(),
        tag,
        state,
        jobs: Mutex::default(),
        closed: Mutex::default(),
    };
    shared.root = format!("{}/aiida-{}", below(&shared)?, shared.tag);
    session.mkdir(&shared.root, true, false).await?;
    let shared = Arc::new(shared);

    let chosen = settings.chosen();
    let mut tasks = start(&shared, &chosen);
    let mut all: Vec<Option<Ended>> = chosen.iter().map(|_| None).collect();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok((at, one)) => {
                ended(&one);
                all[at] = Some(one);
            }
            Err(error) => tracing::error!(%error, "a behaviour's task"),
        }
    }
    let broken = |at: usize| Ended::new(chosen[at], failure("the behaviour", "an end", "its task panicked"));
    let all = all.into_iter().enumerate().map(|(at, one)| one.unwrap_or_else(|| broken(at))).collect();
    let cleanup = cleanup::clean(&shared, settings.keep).await;
    if settings.keep {
        let _ = local.keep();
    }
    Ok(Report {
        plugin: format!("{} {}", info.name, info.version),
        server: format!("{} {}", shared.server.product, shared.server.version),
        system: shared.system().map(|system| system.name.clone()),
        user: shared.server.user.name.clone(),
        folder: shared.root.clone(),
        ended: all,
        cleanup,
        stopped: settings.stopped(),
        duration: started.elapsed(),
        requests: plugin.engine().telemetry().counters().requests,
    })
}

/// The longer ones first, so that their jobs are queued while the others run.
fn start(shared: &Arc<Shared>, chosen: &[&'static Behaviour]) -> JoinSet<(usize, Ended)> {
    let prompt = Arc::new(Semaphore::new(shared.settings.at_once.max(1)));
    let queued = Arc::new(Semaphore::new(QUEUED_AT_ONCE));
    let mut tasks = JoinSet::new();
    for pace in [Pace::Runs, Pace::Queued, Pace::Prompt] {
        for (at, one) in chosen.iter().copied().enumerate().filter(|(_, one)| one.pace == pace) {
            let shared = Arc::clone(shared);
            let places = Arc::clone(if pace == Pace::Prompt { &prompt } else { &queued });
            tasks.spawn(async move {
                let _place = places.acquire_owned().await;
                (at, attempt(&shared, one).await)
            });
        }
    }
    tasks
}

async fn attempt(shared: &Arc<Shared>, one: &'static Behaviour) -> Ended {
    let started = Instant::now();
    let mut attempts = 0;
    let (verdict, requests) = loop {
        if shared.settings.stopped() {
            break (Verdict::Undecided("the run was stopped before it".into()), 0);
        }
        if one.pace == Pace::Runs && !shared.settings.jobs_run {
            break (Verdict::Unsupported("jobs are not run here, as the run was told".into()), 0);
        }
        attempts += 1;
        let (verdict, requests) = once(shared, one, attempts).await;
        if !is_passing(&verdict) || attempts == ATTEMPTS {
            break (verdict, requests);
        }
    };
    Ended { behaviour: one, verdict, duration: started.elapsed(), requests, attempts }
}

/// Is it the server's trouble of the moment?
fn is_passing(verdict: &Verdict) -> bool {
    let kinds = [ErrorKind::Unavailable, ErrorKind::RateLimited, ErrorKind::Timeout].map(ErrorKind::name);
    matches!(verdict, Verdict::Fail(evidence) if evidence.error_kind.is_some_and(|kind| kinds.contains(&kind)))
}

async fn once(shared: &Arc<Shared>, one: &'static Behaviour, attempt: u32) -> (Verdict, u64) {
    let name = format!("{}-{}-{attempt}", one.operation.replace(':', "-"), one.name);
    let mut bench = match Bench::open(Arc::clone(shared), &name, one.pace).await {
        Ok(bench) => bench,
        Err(error) => {
            let Verdict::Fail(mut evidence) = failure("its session and folder", "success", &error.to_string()) else {
                unreachable!()
            };
            evidence.error_kind = Some(error.kind());
            return (Verdict::Fail(evidence), 0);
        }
    };
    let limit = bench.limit() + GRACE;
    let outcome = tokio::time::timeout(limit, (one.run)(&mut bench)).await;
    let requests = bench.session.telemetry().counters().requests;
    (verdict(outcome, limit, &bench), requests)
}

fn verdict(outcome: Result<Outcome, tokio::time::error::Elapsed>, limit: Duration, bench: &Bench) -> Verdict {
    let verdict = match outcome {
        Ok(Ok(())) => Verdict::Pass,
        Ok(Err(Finding::Fail(evidence))) => Verdict::Fail(evidence),
        Ok(Err(Finding::Unsupported(what))) => Verdict::Unsupported(what),
        Ok(Err(Finding::Undecided(why))) => Verdict::Undecided(why),
        Ok(Err(Finding::Stopped)) if bench.shared.settings.stopped() => {
            Verdict::Undecided("the run was stopped".into())
        }
        Ok(Err(Finding::Stopped)) => Verdict::Undecided(format!("it had not ended within {:?}", bench.limit())),
        Err(_) => {
            failure("the behaviour", &format!("an end within {limit:?}, or that `progress` is heeded"), "neither")
        }
    };
    match verdict {
        Verdict::Fail(mut evidence) => {
            evidence.requests = bench.requests();
            Verdict::Fail(evidence)
        }
        other => other,
    }
}

fn failure(did: &str, expected: &str, seen: &str) -> Verdict {
    Verdict::Fail(Box::new(Evidence {
        did: did.into(),
        expected: expected.into(),
        seen: seen.into(),
        ..Evidence::default()
    }))
}

/// Where the run's folder is made.
fn below(shared: &Shared) -> Result<String> {
    let (settings, options, user) = (&shared.settings, &shared.options, &shared.server.user.name);
    let work = shared.system().and_then(|system| {
        let mut all = system.file_systems.iter();
        let default = all.clone().find(|one| one.default_work_directory).or(all.next());
        default.map(|one| format!("{}/{user}", one.path))
    });
    let given = settings.below.as_deref().or(options.get("workdir")).or(options.get("temp_directory"));
    // AiiDA's own placeholder.
    let below = given.map(|text| text.replace("{username}", user)).filter(|text| !text.is_empty()).or(work);
    match below.filter(|text| Path::new(text).has_root()) {
        Some(text) => Ok(text.trim_end_matches('/').to_owned()),
        None => Err(Error::options("below", "an absolute folder on the cluster is needed to work in")),
    }
}
