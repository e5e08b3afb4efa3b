//! A session: one open transport in one instance of a plugin.
//!
//! **One call at a time.** A WASI 0.2 instance serves one call at a time, so every method takes `&mut self`. To have several
//! calls at once, open several sessions and hand each the [state](Session::state) of the first: it costs them no request.
//!
//! **The end of a session.** A trap, the deadline or the memory limit ends the session with a typed error; so does dropping a
//! call's future before it is done, which also cancels its requests. Later calls return [`Error::SessionEnded`]. Other sessions
//! and the engine go on. An error of the plugin's own ([`Error::Plugin`]) ends nothing. What a transfer had made on its way is removed
//! by the next session that is opened to the same server, in this process or another ([`Journal`](crate::Journal)).
//!
//! **Local paths** are absolute. Where the policy grants folders, a path has to be under one of them; where it grants none,
//! `put` and `get` grant the folder around the local path for that one call: for `put` to read, for `get` to write.

mod scheduler;
mod transport;

use crate::bindings::exports::aiida::hpc::transport::{OverwritePolicy, TransferOptions};
use crate::error::{Error, Result};
use crate::instance::Instance;
use crate::leftovers::{Entry, Journals, Leftovers, Owner, Place};
use crate::options::Options;
use crate::plugin::Plugin;
use crate::policy::{Origin, Policy};
use crate::progress::{Answer, Status};
use crate::telemetry::Telemetry;
use crate::types;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use wasmtime::component::ResourceAny;

/// An open transport. See the [module](self).
pub struct Session {
    instance: Instance,
    handle: ResourceAny,
    policy: Policy,
    owner: Owner,
    journals: Journals,
    /// Begun with the first call that may leave something.
    entry: Option<Entry>,
}

/// A second session in the same instance, to copy to: [`Session::copy_to`].
pub struct Peer {
    handle: ResourceAny,
    owner: Owner,
    entry: Mutex<Option<Entry>>,
}

/// Runs one call of the contract that returns `result<_, error>`.
///
/// A macro, because `$call` borrows what the instance lends it for the time of the call.
macro_rules! call {
    ($session:expr, |$plugin:ident, $store:ident, $handle:ident| $call:expr) => {{
        let $handle = $session.handle;
        let answer = $session.instance.run(async |$plugin, $store| $call.await).await?;
        answer.map_err(|error| $session.instance.explain(error))
    }};
}
use call;

/// The same for a call that makes things on its way: what it is about is remembered until it has ended.
macro_rules! working_call {
    ($session:expr, $place:expr, |$plugin:ident, $store:ident, $handle:ident| $call:expr) => {{
        $session.note($place).await?;
        let ended = call!($session, |$plugin, $store, $handle| $call);
        $session.settle(&ended);
        ended
    }};
}
use working_call;

impl Session {
    /// Opens a session: the plugin checks the options, gets a token and asks the server for its version and limits.
    ///
    /// The policy's origins are those given, or derived from these options: [`Policy::for_options`]. The built-in plugin then adds
    /// the object store that the server names, for large files; another plugin's word is not taken for that, and a server's no
    /// further than [`Origin::may_name`].
    ///
    /// # Errors
    /// [`Error::Plugin`] as the contract's `session.open` says; [`Error::Folder`] and [`Error::Certificates`] for a policy that names
    /// files that are not there; the plugin's own faults.
    pub async fn open(plugin: &Plugin, options: &Options, policy: &Policy) -> Result<Session> {
        Session::open_with(plugin, options, policy, None).await
    }

    /// Opens another session with the [state](Session::state) of one that has the same options: without a request. A state that
    /// does not fit is ignored.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_with(
        plugin: &Plugin,
        options: &Options,
        policy: &Policy,
        state: Option<&[u8]>,
    ) -> Result<Session> {
        let learns = policy.derives() && plugin.is_built_in();
        let mut policy = policy.for_options(options);
        let mut instance = Instance::open(plugin, &policy).await?;
        share_budget(&mut instance, options)?;
        if let Some(number) = policy.request_limit() {
            for origin in policy.origins() {
                instance.state()?.hooks.client.limit(&origin.to_string(), number);
            }
        }
        let handle = open_handle(&mut instance, options, state).await?;
        if learns {
            let told = instance
                .run(async |plugin, store| plugin.aiida_hpc_transport().session().call_origins(store, handle).await)
                .await?;
            let server = options.get("url").and_then(|url| Origin::of_url(url).ok());
            for origin in told.iter().filter_map(|text| Origin::parse(text).ok()) {
                if server.as_ref().is_some_and(|server| server.may_name(&origin)) {
                    policy = policy.allow(origin);
                } else {
                    tracing::warn!(%origin, "named by the server, and not allowed for it: it has to be given");
                }
            }
            instance.state()?.hooks.origins = policy.origins().into();
        }
        let owner = Owner::of(plugin, options);
        let journals = plugin.engine().journals().clone();
        let mut session = Session { instance, handle, policy, owner, journals, entry: None };
        session.tidy_after_others().await?;
        Ok(session)
    }

    /// Removes what sessions to the same server left that are no more. What cannot be removed now stays remembered.
    async fn tidy_after_others(&mut self) -> Result<()> {
        let Some(folder) = self.policy.journal().folder() else { return Ok(()) };
        if !self.journals.due(&folder, &self.owner) {
            return Ok(());
        }
        for left in Leftovers::find(&folder, &self.owner) {
            let (mark, remote) = (left.mark().to_owned(), left.remote());
            match self.tidy(&mark, &remote).await {
                Ok(there) => {
                    let local = tokio::task::spawn_blocking(move || {
                        let count = left.tidy_local();
                        left.forget();
                        count
                    });
                    let here = local.await.unwrap_or_default();
                    tracing::info!(there, here, "removed what a session left that had ended in the middle of a call");
                }
                Err(error @ Error::Plugin { .. }) => {
                    tracing::warn!(%error, "a session left something, which cannot be removed now");
                }
                Err(fault) => return Err(fault),
            }
        }
        Ok(())
    }

    /// A call begins that may leave something.
    async fn note(&mut self, place: Place) -> Result<()> {
        if self.entry.is_none() {
            self.entry = self.entry_of(&self.owner.clone()).await?;
        }
        if let Some(entry) = &mut self.entry {
            entry.note(place);
        }
        Ok(())
    }

    fn settle<T>(&mut self, ended: &Result<T>) {
        if let Some(entry) = &mut self.entry {
            entry.settle(ended);
        }
    }

    async fn entry_of(&mut self, owner: &Owner) -> Result<Option<Entry>> {
        let Some(folder) = self.policy.journal().folder() else { return Ok(None) };
        let mark = self.mark().await?;
        Ok(Entry::begin(&self.journals, &folder, owner, &mark))
    }

    /// Opens a second session in this instance, to copy files to with [`Session::copy_to`]. Its origins have to be allowed by this
    /// session's policy.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_peer(&mut self, options: &Options, state: Option<&[u8]>) -> Result<Peer> {
        share_budget(&mut self.instance, options)?;
        let handle = open_handle(&mut self.instance, options, state).await?;
        Ok(Peer { handle, owner: self.owner.with(options), entry: Mutex::default() })
    }

    /// What another session needs to open without a request: opaque, and as secret as a password.
    ///
    /// # Errors
    /// Only the plugin's own faults.
    pub async fn state(&mut self) -> Result<Vec<u8>> {
        let handle = self.handle;
        self.instance
            .run(async |plugin, store| plugin.aiida_hpc_transport().session().call_state(store, handle).await)
            .await
    }

    /// Where else this session goes, by the server's word: see the contract's `origins`. Sends nothing.
    ///
    /// # Errors
    /// Only the plugin's own faults.
    pub async fn origins(&mut self) -> Result<Vec<String>> {
        let handle = self.handle;
        self.instance
            .run(async |plugin, store| plugin.aiida_hpc_transport().session().call_origins(store, handle).await)
            .await
    }

    /// The linear memory that the plugin has grown to, in bytes: what counts towards [`Policy::memory_limit`]. As much of it as was
    /// never written to takes none of the machine's. None once the session has ended.
    #[must_use]
    pub fn memory(&self) -> Option<usize> {
        self.instance.memory()
    }

    /// Is told how transfers go, at most ten times a second, from now on; answers whether they may go on. It runs inside the call:
    /// it should return at once.
    ///
    /// # Errors
    /// [`Error::SessionEnded`].
    pub fn on_progress(&mut self, progress: impl FnMut(&Status) -> Answer + Send + 'static) -> Result<()> {
        self.instance.on_progress(Box::new(progress))
    }

    /// What this session asked of servers, token requests included.
    #[must_use]
    pub fn telemetry(&self) -> &Telemetry {
        self.instance.telemetry()
    }

    /// The policy that this session runs under, its origins settled.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// What the user allows a session a minute all sessions to that server share.
fn share_budget(instance: &mut Instance, options: &Options) -> Result<()> {
    let origin = options.get("url").and_then(|url| Origin::of_url(url).ok());
    let budget = options.get("requests_per_minute").and_then(|text| text.trim().parse().ok());
    if let (Some(origin), Some(budget)) = (origin, budget) {
        instance.state()?.hooks.client.limit(&origin.to_string(), budget);
    }
    Ok(())
}

impl Peer {
    fn entry(&self) -> MutexGuard<'_, Option<Entry>> {
        self.entry.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn open_handle(instance: &mut Instance, options: &Options, state: Option<&[u8]>) -> Result<ResourceAny> {
    instance.secrets().learn_options(options);
    let values = options.values();
    let state = state.map(<[u8]>::to_vec);
    let opened: Result<ResourceAny, types::Error> = instance
        .run(async |plugin, store| {
            plugin.aiida_hpc_transport().session().call_open(store, &values, state.as_deref()).await
        })
        .await?;
    opened.map_err(|error: types::Error| -> Error { instance.explain(error) })
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer").finish_non_exhaustive()
    }
}

/// Replace what is there, follow symlinks, a missing source is an error, parents are not made, verify as the option
/// `checksum_check` says: AiiDA's defaults.
impl Default for TransferOptions {
    fn default() -> TransferOptions {
        TransferOptions {
            overwrite: OverwritePolicy::Replace,
            dereference: true,
            ignore_nonexisting: false,
            parents: false,
            verify: None,
            size: None,
            mode: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    fn send<T: Send>(_: T) {}
    #[expect(dead_code, reason = "it only has to compile")]
    fn calls_may_move_between_threads(session: &mut Session, plugin: &Plugin) {
        let options = Options::new();
        send(Session::open(plugin, &options, &Policy::default()));
        send(session.stat("/"));
        send(async { session.put("/a", "/b", &TransferOptions::default()).await });
        send(plugin.options());
    }
}
