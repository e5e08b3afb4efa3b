//! Sessions of one configuration.
//!
//! A WASI 0.2 instance serves one call at a time. So a call takes a session that is free, or opens another one with the state of the first:
//! that costs an instantiation (a fraction of a millisecond) and no request. At most `size` calls run at once; the others wait
//! their turn without a thread.
//!
//! Pools are shared by all clients of a process that have the same options: AiiDA makes a new transport for nearly everything it
//! does, and each would otherwise pay for a token and a look at the server.

use crate::runtime;
use aiida_firecrest_host::configuration::ServerInfo;
use aiida_firecrest_host::types::ErrorKind;
use aiida_firecrest_host::{Error, Options, Origin, Plugin, Policy, Result, Session};
use pyo3::PyResult;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// A free session that nobody wanted for so long is let go: it may hold the memory of a large listing.
const IDLE: Duration = Duration::from_secs(60);

/// For so long a call goes on when the server wants fewer requests: a quota's window is a minute or an hour.
const REFUSED: Duration = Duration::from_secs(15 * 60);

/// The least pause before a refused call is made again.
const PAUSE: Duration = Duration::from_millis(500);

/// May a call be made again that the server refused for want of quota?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Its requests can be sent again: reads, and writes that say what is to be.
    WhenRefused,
    /// It may have done a part of its work by then.
    Never,
}

/// A future that borrows the session it works with.
pub(crate) type Using<'s, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 's>>;

pub(crate) struct Pool {
    plugin: Plugin,
    options: Options,
    policy: Policy,
    permits: Semaphore,
    idle: Mutex<Vec<Open>>,
    /// What the first session knows; held while it is opened, so that there is one first session.
    state: tokio::sync::Mutex<Option<Arc<[u8]>>>,
}

/// A session, and what it knew when it was last looked at.
struct Open {
    session: Session,
    state: Arc<[u8]>,
    since: Instant,
}

type Key = (Vec<(String, String)>, usize);
static POOLS: Mutex<Option<HashMap<Key, Arc<Pool>>>> = Mutex::new(None);

impl Pool {
    /// The pool for these options, made where there is none yet.
    pub(crate) fn of(options: Options, size: usize) -> PyResult<Arc<Pool>> {
        let plugin = runtime::plugin()?;
        let key = (options.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(), size);
        let mut pools = locked(&POOLS);
        let pool = pools.get_or_insert_default().entry(key).or_insert_with(|| {
            Arc::new(Pool {
                plugin,
                options,
                policy: Policy::default(),
                permits: Semaphore::new(size.max(1)),
                idle: Mutex::default(),
                state: tokio::sync::Mutex::default(),
            })
        });
        Ok(pool.clone())
    }

    /// Runs one call in a session of its own.
    pub(crate) async fn run<T>(&self, repeat: Repeat, call: impl Fn(&mut Session) -> Using<'_, T>) -> Result<T> {
        let _permit = self.permits.acquire().await.expect("never closed");
        let begun = Instant::now();
        loop {
            let answer = self.once(&call).await;
            let Err(Error::Plugin { error, .. }) = &answer else { return answer };
            if repeat == Repeat::Never || error.kind != ErrorKind::RateLimited || begun.elapsed() > REFUSED {
                return answer;
            }
            let told = error.retry_after_ms.map_or(PAUSE, Duration::from_millis);
            // Not all at the same moment: of many that wait for the same window some would be refused again, and again.
            tokio::time::sleep(told.clamp(PAUSE, REFUSED).mul_f64(1.0 + rand::random::<f64>())).await;
        }
    }

    async fn once<T>(&self, call: &impl Fn(&mut Session) -> Using<'_, T>) -> Result<T> {
        let mut open = match self.take().await {
            Some(open) => open,
            None => self.open().await?,
        };
        // Dropped with the session in it when the caller gives up: what ran has ended then, and the session with it.
        let answer = call(&mut open.session).await;
        self.give_back(open, answer.as_ref().err()).await;
        answer
    }

    /// Copies to another pool's cluster, in a session that may reach both.
    pub(crate) async fn copy_to(&self, other: &Pool, path: &str, target: &str, dereference: bool) -> Result<()> {
        let _permit = self.permits.acquire().await.expect("never closed");
        let (mine, theirs) = (self.known().await?, other.known().await?);
        let policy = other.policy.for_options(&other.options);
        let policy = policy.origins().iter().cloned().fold(self.policy.clone(), Policy::allow);
        let mut session = Session::open_with(&self.plugin, &self.options, &policy, Some(&mine)).await?;
        let peer = session.open_peer(&other.options, Some(&theirs)).await?;
        let options = aiida_firecrest_host::transport::TransferOptions { dereference, ..Default::default() };
        session.copy_to(path, &peer, target, &options).await.map(drop)
    }

    /// What the server says of itself.
    pub(crate) async fn check(&self, plugin: &Plugin) -> Result<ServerInfo> {
        plugin.check(&self.options, &self.policy).await
    }

    /// Where this pool's requests go.
    pub(crate) fn origins(&self) -> Vec<Origin> {
        self.policy.for_options(&self.options).origins().to_vec()
    }

    /// A free session that knows what the pool knows: another one would ask for a token of its own.
    async fn take(&self) -> Option<Open> {
        let known = self.state.lock().await.clone();
        let mut idle = locked(&self.idle);
        idle.retain(|free| free.since.elapsed() < IDLE && Some(&free.state) == known.as_ref());
        idle.pop()
    }

    async fn open(&self) -> Result<Open> {
        let mut state = self.state.lock().await;
        if let Some(known) = state.clone() {
            drop(state);
            let session = Session::open_with(&self.plugin, &self.options, &self.policy, Some(&known)).await?;
            return Ok(Open { session, state: known, since: Instant::now() });
        }
        let mut session = Session::open(&self.plugin, &self.options, &self.policy).await?;
        let known: Arc<[u8]> = session.state().await?.into();
        *state = Some(known.clone());
        Ok(Open { session, state: known, since: Instant::now() })
    }

    /// The state of a first session, opened where there was none.
    async fn known(&self) -> Result<Arc<[u8]>> {
        if let Some(known) = self.state.lock().await.clone() {
            return Ok(known);
        }
        let open = self.open().await?;
        let known = open.state.clone();
        self.give_back(open, None).await;
        Ok(known)
    }

    async fn give_back(&self, mut open: Open, error: Option<&Error>) {
        match error {
            None => {}
            Some(Error::Plugin { error, .. }) if error.kind == ErrorKind::Unauthenticated => {
                // The next call begins anew, with a token of its own.
                *self.state.lock().await = None;
                return;
            }
            Some(
                Error::Trapped { .. } | Error::Deadline { .. } | Error::Memory { .. } | Error::SessionEnded { .. },
            ) => {
                return;
            }
            Some(_) => {}
        }
        let Ok(fresh) = open.session.state().await else { return };
        if *fresh != *open.state {
            // It got a new token: from now on the pool's.
            open.state = fresh.into();
            *self.state.lock().await = Some(open.state.clone());
        }
        open.since = Instant::now();
        locked(&self.idle).push(open);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
