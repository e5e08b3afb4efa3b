//! A few sessions that share one token, for requests that do not wait for each other.

use crate::context::Context;
use crate::output::Failure;
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Options, Plugin, Policy, Session};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// At most so many sessions at once.
const MOST: usize = 4;

pub(super) struct Crew {
    pub(super) first: Session,
    plugin: Plugin,
    options: Options,
    policy: Policy,
}

impl Crew {
    pub(super) async fn open(context: &Context) -> Result<Crew, Failure> {
        let plugin = context.plugin()?;
        let options = context.options(&plugin).await?;
        let policy = context.policy()?;
        let first = Session::open(&plugin, &options, &policy).await?;
        Ok(Crew { first, plugin, options, policy })
    }

    /// Under this policy, without a request.
    pub(super) async fn session(&mut self, policy: &Policy) -> Result<Session, Failure> {
        let state = self.first.state().await?;
        Ok(Session::open_with(&self.plugin, &self.options, policy, Some(&state)).await?)
    }

    /// Enough sessions for so many tasks.
    pub(super) async fn sessions(&mut self, tasks: usize, policy: &Policy) -> Result<Vec<Session>, Failure> {
        let mut sessions = Vec::new();
        for _ in 0..tasks.min(MOST) {
            sessions.push(self.session(policy).await?);
        }
        Ok(sessions)
    }

    /// The cluster's checksums of files below `remote`; none where the server cannot hash one in its time, or cannot be
    /// told its name.
    pub(super) async fn checksums(
        &mut self,
        remote: &str,
        paths: Vec<String>,
    ) -> Result<Vec<(String, Option<String>)>, Failure> {
        let policy = self.policy.clone();
        let sessions = self.sessions(paths.len(), &policy).await?;
        let remote = remote.to_owned();
        work(sessions, paths, move |session, _, path| {
            let place = format!("{remote}/{path}");
            Box::pin(async move {
                match session.checksum(&place).await {
                    Ok(sum) => Ok((path, Some(sum))),
                    Err(error)
                        if matches!(error.plugin_kind(), Some(ErrorKind::Timeout | ErrorKind::InvalidArgument)) =>
                    {
                        Ok((path, None))
                    }
                    Err(error) => Err(error.into()),
                }
            })
        })
        .await
    }
}

type Step<'s, O> = std::pin::Pin<Box<dyn Future<Output = Result<O, Failure>> + Send + 's>>;

/// Hands out tasks to sessions until all are done, or one fails: then the first failure is the answer. The second argument of `step` is the
/// number of the session. The order of what comes back is that of the ends.
pub(super) async fn work<T, O, F>(sessions: Vec<Session>, tasks: Vec<T>, step: F) -> Result<Vec<O>, Failure>
where
    T: Send + 'static,
    O: Send + 'static,
    F: for<'s> Fn(&'s mut Session, usize, T) -> Step<'s, O> + Send + Sync + 'static,
{
    let queue = Arc::new(Mutex::new(VecDeque::from(tasks)));
    let step = Arc::new(step);
    // Dropped, it ends them all.
    let mut running = JoinSet::new();
    for (number, mut session) in sessions.into_iter().enumerate() {
        let (queue, step) = (Arc::clone(&queue), Arc::clone(&step));
        running.spawn(async move {
            let mut done = Vec::new();
            loop {
                let Some(task) = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front() else {
                    return Ok(done);
                };
                match step(&mut session, number, task).await {
                    Ok(one) => done.push(one),
                    Err(failure) => {
                        queue.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        return Err(failure);
                    }
                }
            }
        });
    }
    let mut all = Vec::new();
    let mut first = None;
    while let Some(joined) = running.join_next().await {
        match joined {
            Ok(Ok(done)) => all.extend(done),
            Ok(Err(failure)) => first = first.or(Some(failure)),
            Err(error) => first = first.or(Some(Failure::Wrong(format!("a transfer ended: {error}")))),
        }
    }
    match first {
        Some(failure) => Err(failure),
        None => Ok(all),
    }
}
