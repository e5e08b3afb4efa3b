//! What a process has once: the engine, the compiled plugin, the tokio runtime.
//!
//! All of it begins with the first use, so that an import costs nothing. A process that is forked afterwards has none of the threads:
//! there every use is an error, and not a wait for ever.

use crate::errors;
use aiida_firecrest_host::telemetry::{Counters, RequestRecord};
use aiida_firecrest_host::{CodeCache, Engine, Plugin};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use std::sync::{Mutex, OnceLock, PoisonError};
use tokio::runtime::Runtime;

struct Loaded {
    plugin: Plugin,
    process: u32,
}

static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// The built-in plugin: compiled with the first call, from the user's cache where it was compiled before.
pub(crate) fn plugin() -> PyResult<Plugin> {
    let loaded = match LOADED.get() {
        Some(loaded) => loaded,
        // Threads that come meanwhile wait for the lock, and must not hold the GIL then.
        None => Python::attach(|py| py.detach(load))?,
    };
    if loaded.process == std::process::id() {
        return Ok(loaded.plugin.clone());
    }
    Err(PyRuntimeError::new_err(
        "this process was forked from one that already used aiida-firecrest-wasm: start it afresh (multiprocessing: 'spawn')",
    ))
}

fn load() -> PyResult<&'static Loaded> {
    let _alone = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = LOADED.get() {
        return Ok(loaded);
    }
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).thread_name("aiida-firecrest").enable_all();
    pyo3_async_runtimes::tokio::init(builder);
    let plugin = Engine::new(&CodeCache::User)
        .and_then(|engine| Plugin::built_in(&engine))
        .map_err(|error| Python::attach(|_| errors::exception(error)))?;
    Ok(LOADED.get_or_init(|| Loaded { plugin, process: std::process::id() }))
}

/// The runtime that calls run on. Only after [`plugin`].
pub(crate) fn tokio() -> &'static Runtime {
    pyo3_async_runtimes::tokio::get_runtime()
}

/// What all sessions of this process asked of servers; zeros before the first use.
pub(crate) fn telemetry() -> Counters {
    LOADED.get().map(|loaded| loaded.plugin.engine().telemetry().counters()).unwrap_or_default()
}

/// The latest requests.
pub(crate) fn records() -> Vec<RequestRecord> {
    LOADED.get().map(|loaded| loaded.plugin.engine().telemetry().records()).unwrap_or_default()
}
