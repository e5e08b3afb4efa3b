//! What a run leaves: nothing, or what it says.

use super::bench::Shared;
use super::report::Cleanup;
use crate::Session;
use crate::error::Result;
use crate::scheduler::{CancelOutcome, JobQuery, JobState, WaitCondition, WaitOptions};
use crate::types::ErrorKind;
use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

/// How long cancelled jobs may take to end, in milliseconds.
const ENDING: u64 = 30_000;
/// Looks at a folder that does not go, as one does not whose files somebody has open on a network file system.
const TRIES: u32 = 6;

/// Cancels the run's jobs and removes its folder.
pub(super) async fn clean(shared: &Shared, keep: bool) -> Cleanup {
    let mut cleanup = Cleanup::default();
    let mut session = match shared.open().await {
        Ok(session) => session,
        Err(error) => {
            cleanup.left.push(format!("{}: {error}", shared.root));
            return cleanup;
        }
    };
    match cancel(shared, &mut session).await {
        Ok(cancelled) => cleanup.cancelled = cancelled,
        Err(error) if error.plugin_kind() == Some(ErrorKind::Unsupported) => {}
        Err(error) => cleanup.left.push(format!("jobs named {}: {error}", shared.tag)),
    }
    if keep {
        cleanup.kept = true;
        return cleanup;
    }
    // Outermost first: what lies below a closed directory cannot be reached before.
    let mut closed = shared.closed.lock().unwrap_or_else(PoisonError::into_inner).clone();
    closed.sort();
    for path in closed {
        // What is gone already needs no opening.
        let _ = session.chmod(&path, 0o700).await;
    }
    if let Err(error) = remove(&mut session, &shared.root).await {
        cleanup.left.push(format!("{}: {error}", shared.root));
    }
    cleanup
}

/// Of the jobs that the run submitted, and those that carry its tag although their submission's answer was lost.
async fn cancel(shared: &Shared, session: &mut Session) -> Result<Vec<String>> {
    let known: BTreeSet<String> = shared.jobs.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
    let mut jobs = session.jobs(&JobQuery::Mine).await?.jobs;
    jobs.retain(|job| {
        job.title.as_deref().is_some_and(|title| title.contains(&shared.tag)) || known.contains(&job.job_id)
    });
    let ids: Vec<String> =
        jobs.into_iter().filter(|job| job.job_state != JobState::Done).map(|job| job.job_id).collect();
    if ids.is_empty() {
        return Ok(ids);
    }
    let outcomes = session.cancel(&ids).await?;
    for outcome in outcomes {
        if let CancelOutcome::Failed(error) = outcome {
            return Err(crate::Error::Plugin { error: Box::new(error), network: None });
        }
    }
    let options = WaitOptions { until: WaitCondition::Finished, all: true, timeout_ms: Some(ENDING) };
    session.wait(&ids, &options).await?;
    Ok(ids)
}

async fn remove(session: &mut Session, root: &str) -> Result<()> {
    let mut pause = Duration::from_millis(500);
    for attempt in 1.. {
        match session.remove_tree(root).await {
            Ok(()) => return Ok(()),
            Err(error) if error.plugin_kind() == Some(ErrorKind::NotFound) => return Ok(()),
            Err(error) if attempt == TRIES => return Err(error),
            Err(error) => tracing::debug!(%error, "the run's folder does not go yet"),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    Ok(())
}
