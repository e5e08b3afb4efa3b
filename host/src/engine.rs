//! The engine: what all plugins and sessions of a process share.

use crate::cache::CodeCache;
use crate::error::{Error, Result};
use crate::http::{Background, Client};
use crate::leftovers::Journals;
use crate::limits::TICK;
use crate::policy::Policy;
use crate::telemetry::Telemetry;
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Compiled code, the pooled HTTP client and the clock for deadlines. A clone is the same engine; one for a process is enough.
///
/// Its clock thread and its connections end with the last clone, plugin and session.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    wasmtime: wasmtime::Engine,
    background: Arc<Background>,
    clients: Mutex<HashMap<Vec<PathBuf>, Client>>,
    telemetry: Telemetry,
    journals: Journals,
    cache: CodeCache,
}

impl Engine {
    /// An engine with this compiled-code cache.
    ///
    /// # Errors
    /// [`Error::Runtime`]: this machine is not one that wasmtime compiles for, or gives no thread.
    pub fn new(cache: &CodeCache) -> Result<Engine> {
        Engine::with(cache, Background::start()?)
    }

    /// The same, its connections on this runtime and not on a thread of their own. Where sessions are used on that runtime, too, a
    /// request wakes no other thread: a tenth of a millisecond less on a busy machine. The runtime has to have timers and I/O enabled, to run
    /// as long as any session of the engine is used, and to be driven meanwhile: a current-thread runtime that nobody is inside of
    /// moves no bytes.
    ///
    /// # Errors
    /// As [`Engine::new`].
    pub fn on_runtime(cache: &CodeCache, runtime: tokio::runtime::Handle) -> Result<Engine> {
        Engine::with(cache, Background::on(runtime))
    }

    fn with(cache: &CodeCache, background: Background) -> Result<Engine> {
        let mut config = wasmtime::Config::new();
        config.epoch_interruption(true);
        // A trap is reported in one line; frames of a stripped component have no names.
        config.wasm_backtrace_max_frames(None);
        let wasmtime = wasmtime::Engine::new(&config).map_err(|error| Error::Runtime(format!("{error:#}")))?;
        start_clock(&wasmtime)?;
        Ok(Engine {
            inner: Arc::new(Inner {
                wasmtime,
                background: Arc::new(background),
                clients: Mutex::default(),
                telemetry: Telemetry::new(),
                journals: Journals::default(),
                cache: cache.clone(),
            }),
        })
    }

    /// What all sessions of this engine asked of servers.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        &self.inner.telemetry
    }

    pub(crate) fn journals(&self) -> &Journals {
        &self.inner.journals
    }

    /// Where compiled code is kept.
    pub(crate) fn cache(&self) -> &CodeCache {
        &self.inner.cache
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner.wasmtime
    }

    /// A session's client for this policy's certificates: one pool for each set of CA files, read once.
    pub(crate) fn client(&self, policy: &Policy) -> Result<Client> {
        let mut clients = self.inner.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(policy.ca_files()) {
            return Ok(client.for_session());
        }
        let client = Client::new(policy, self.inner.background.clone())?;
        clients.insert(policy.ca_files().to_vec(), client.clone());
        Ok(client.for_session())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Advances the epoch as long as the engine is there.
fn start_clock(engine: &wasmtime::Engine) -> Result<()> {
    let engine = engine.weak();
    std::thread::Builder::new()
        .name("aiida-firecrest-clock".into())
        .spawn(move || {
            loop {
                std::thread::sleep(TICK);
                match engine.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        })
        .map(drop)
        .map_err(|error| Error::Runtime(format!("no thread for the clock: {error}")))
}
