//! One instance of a plugin in a store of its own, and what its imports see.

use crate::bindings;
use crate::bindings::aiida::hpc::{permissions, progress, types};
use crate::error::{Error, Result, one_line};
use crate::grants::Grants;
use crate::http::{Hooks, LastFailure};
use crate::limits::{HANDLES, Limits, shorten};
use crate::plugin::Plugin;
use crate::policy::{Folder, Policy};
use crate::reports::{Progress, Reports};
use crate::secrets::Secrets;
use crate::telemetry::Telemetry;
use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncWrite, sink};
use wasmtime::component::ResourceTable;
use wasmtime::{Store, Trap, UpdateDeadline};
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::filesystem::{Descriptor, File, OpenMode};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// What is left of a plugin's stderr for an error: its last lines say why it panicked.
const STDERR_KEPT: usize = 4096;

/// What wasmtime says, without a type, when a call hands over more data than `set_hostcall_fuel` allows.
const COPIED_TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// The data of a store.
pub(crate) struct State {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) table: ResourceTable,
    pub(crate) hooks: Hooks,
    grants: Grants,
    limits: Limits,
    deadline: Instant,
    reports: Reports,
    stderr: Stderr,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.hooks, table: &mut self.table, ctx: &mut self.http }
    }
}

impl State {
    /// Is a local path under a folder that is granted for writing?
    pub(crate) fn may_write(&self, path: &str) -> bool {
        self.grants.may_write(path)
    }
}

impl types::Host for State {}

impl progress::Host for State {
    fn report(&mut self, status: progress::Status) -> progress::Answer {
        self.reports.report(status, Instant::now())
    }
}

impl permissions::Host for State {
    fn get(&mut self, path: String) -> Option<u32> {
        self.grants.permissions(&path)
    }

    fn set(&mut self, path: String, mode: u32) -> bool {
        self.grants.set_permissions(&path, mode)
    }
}

/// A running instance. It serves one call at a time, and is gone after a fault or a dropped call.
pub(crate) struct Instance {
    /// Taken out while a call runs: when the call's future is dropped the store goes with it, and with the store all its requests and files.
    live: Option<Box<Live>>,
    ended: String,
    granted: Option<Vec<Folder>>,
    time_limit: Duration,
    last_failure: LastFailure,
    secrets: Secrets,
    telemetry: Telemetry,
}

struct Live {
    plugin: bindings::Plugin,
    store: Store<State>,
}

impl Instance {
    /// Instantiates a plugin under a policy whose origins are settled.
    pub(crate) async fn open(plugin: &Plugin, policy: &Policy) -> Result<Instance> {
        let engine = plugin.engine();
        let telemetry = Telemetry::new();
        let last_failure = LastFailure::default();
        let secrets = Secrets::default();
        let stderr = Stderr::default();
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let wasi = WasiCtx::builder().stderr(stderr.clone()).build();
        let state = State {
            wasi,
            http: WasiHttpCtx::new(),
            table,
            hooks: Hooks {
                client: engine.client(policy)?,
                origins: policy.origins().into(),
                telemetry: vec![telemetry.clone(), engine.telemetry().clone()],
                last_failure: last_failure.clone(),
                secrets: secrets.clone(),
                open: Arc::default(),
            },
            grants: Grants::default(),
            limits: Limits::new(policy.memory_limit()),
            deadline: Instant::now() + policy.time_limit(),
            reports: Reports::default(),
            stderr,
        };
        let mut store = Store::new(engine.wasmtime(), state);
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(policy.memory_limit());
        store.epoch_deadline_callback(|context| {
            Ok(if context.data().deadline <= Instant::now() {
                UpdateDeadline::Interrupt
            } else {
                UpdateDeadline::Yield(1)
            })
        });
        store.set_epoch_deadline(1);
        let mut instance = Instance {
            live: None,
            ended: "a call was dropped before it ended".into(),
            granted: None,
            time_limit: policy.time_limit(),
            last_failure,
            secrets,
            telemetry,
        };
        let instantiated = tokio::time::timeout(policy.time_limit(), plugin.pre().instantiate_async(&mut store)).await;
        match instantiated {
            Ok(Ok(bound)) => instance.live = Some(Box::new(Live { plugin: bound, store })),
            Ok(Err(error)) => return Err(instance.fault(&error, store.data())),
            Err(_) => {
                return Err(Error::Deadline { limit: policy.time_limit() });
            }
        }
        instance.grant(&policy.standing_folders())?;
        Ok(instance)
    }

    /// What this instance asked of servers.
    pub(crate) fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    /// What must not be told of this instance.
    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Who is told of progress from now on.
    pub(crate) fn on_progress(&mut self, progress: Progress) -> Result<()> {
        self.state()?.reports.tell(progress);
        Ok(())
    }

    /// The linear memory that the plugin has grown to, in bytes; none once it has ended.
    pub(crate) fn memory(&self) -> Option<usize> {
        self.live.as_ref().map(|live| live.store.data().limits.used())
    }

    /// The store's data, while the instance lives.
    pub(crate) fn state(&mut self) -> Result<&mut State> {
        match &mut self.live {
            Some(live) => Ok(live.store.data_mut()),
            None => Err(Error::SessionEnded { reason: self.ended.clone() }),
        }
    }

    /// Makes these folders, and no others, the ones that the plugin finds from now on.
    ///
    /// What is granted already stays open: a plugin whose standard library looks for its folders once, and keeps them open, works with
    /// folders that do not change.
    pub(crate) fn grant(&mut self, folders: &[Folder]) -> Result<()> {
        if self.granted.as_deref() == Some(folders) {
            return Ok(());
        }
        let grants = Grants::open(folders)?;
        let mut granted = grants.wasi()?;
        let state = self.state()?;
        close_files(&mut state.table)?;
        // The guest reads the list anew in each call; clocks and random numbers go on as they were.
        std::mem::swap(state.wasi.filesystem(), granted.filesystem());
        state.grants = grants;
        self.granted = Some(folders.to_vec());
        Ok(())
    }

    /// Runs one call under the policy's time limit.
    pub(crate) async fn run<R, F>(&mut self, call: F) -> Result<R>
    where
        F: AsyncFnOnce(&bindings::Plugin, &mut Store<State>) -> wasmtime::Result<R>,
    {
        let Some(mut live) = self.live.take() else {
            return Err(Error::SessionEnded { reason: self.ended.clone() });
        };
        self.last_failure.set(None);
        let state = live.store.data_mut();
        state.deadline = Instant::now() + self.time_limit;
        state.stderr.clear();
        state.reports.begin();
        live.store.set_epoch_deadline(1);
        let outcome = tokio::time::timeout(self.time_limit, call(&live.plugin, &mut live.store)).await;
        match outcome {
            Ok(Ok(value)) => {
                self.live = Some(live);
                Ok(value)
            }
            Ok(Err(error)) => {
                let error = self.fault(&error, live.store.data());
                self.ended = error.to_string();
                Err(error)
            }
            Err(_) => {
                let error = Error::Deadline { limit: self.time_limit };
                self.ended = error.to_string();
                Err(error)
            }
        }
    }

    /// The plugin's own error, with what happened on the network where that explains it. Its texts are the plugin's own words: of
    /// any length, and with any secret that it was told.
    pub(crate) fn explain(&self, mut error: types::Error) -> Error {
        let texts = [&mut error.subject, &mut error.server_message, &mut error.request_id];
        for text in texts.into_iter().flatten().chain([&mut error.message]) {
            shorten(text);
            self.secrets.hide(text);
        }
        use types::ErrorKind as K;
        let explains =
            matches!(error.kind, K::Unavailable | K::Timeout | K::PermissionDenied | K::OutcomeUnknown | K::Other);
        let network = self.last_failure.take().filter(|_| explains && error.http_status.is_none());
        let network = network.map(|text| self.secrets.hidden(&text));
        Error::Plugin { error: Box::new(error), network }
    }

    fn fault(&self, error: &wasmtime::Error, state: &State) -> Error {
        if let Some(Trap::Interrupt) = error.downcast_ref::<Trap>() {
            return Error::Deadline { limit: self.time_limit };
        }
        if let Some(limit) = state.limits.exceeded() {
            return Error::Memory { limit };
        }
        if error.chain().any(|cause| cause.to_string().contains(COPIED_TOO_MUCH)) {
            return Error::Memory { limit: state.limits.memory() };
        }
        let mut said = state.stderr.text();
        self.secrets.hide(&mut said);
        // Rust's advice to set a variable is for whoever runs the plugin, which nobody here does.
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("note: run with `RUST_BACKTRACE")).collect();
        let said = one_line(&said.join("\n"));
        let detail =
            if said.is_empty() { self.secrets.hidden(&one_line(&error.root_cause().to_string())) } else { said };
        Error::Trapped { detail }
    }
}

/// Makes every file and folder that a plugin has kept open an empty file: what was granted earlier is not granted any more.
fn close_files(table: &mut ResourceTable) -> Result<()> {
    let kept = table.iter_mut().filter_map(|entry| entry.downcast_mut::<Descriptor>());
    for descriptor in kept {
        let empty = tempfile::tempfile().map_err(|error| Error::Runtime(format!("no temporary file: {error}")))?;
        *descriptor = Descriptor::File(File::new(empty, FsPerms::ReadOnly, OpenMode::READ, false));
    }
    Ok(())
}

/// A plugin's stderr: its end is kept, the rest is dropped.
#[derive(Clone, Default)]
struct Stderr(Arc<Mutex<Vec<u8>>>);

impl Stderr {
    fn append(&self, bytes: &[u8]) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = &bytes[bytes.len().saturating_sub(STDERR_KEPT)..];
        let excess = (kept.len() + bytes.len()).saturating_sub(STDERR_KEPT);
        kept.drain(..excess);
        kept.extend_from_slice(bytes);
    }

    fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl IsTerminal for Stderr {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Stderr {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Of WASI 0.3; the linker has 0.2 alone, which asks for the stream below.
        Box::new(sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Stderr {
    async fn ready(&mut self) {}
}

impl OutputStream for Stderr {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.append(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(STDERR_KEPT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_stderr_is_kept() {
        let stderr = Stderr::default();
        stderr.append(&[b'x'; STDERR_KEPT * 2]);
        stderr.append(b"the reason");
        let text = stderr.text();
        assert_eq!(text.len(), STDERR_KEPT);
        assert!(text.ends_with("xthe reason"));
    }
}
