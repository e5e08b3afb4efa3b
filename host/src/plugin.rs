//! Loading a component and looking at it.
//!
//! A file is checked before anything of it is compiled: it has to be a component that exports this contract's three interfaces
//! in a version that fits, and that imports nothing beyond the contract's list. What is wrong with it is one typed error.
//!
//! ```no_run
//! use aiida_firecrest_host::{CodeCache, Engine, Plugin};
//!
//! let engine = Engine::new(&CodeCache::User)?;
//! let plugin = Plugin::from_file(&engine, "other.wasm")?;
//! println!("{} imports", plugin.inspection().imports.len());
//! # Ok::<(), aiida_firecrest_host::Error>(())
//! ```
//!
//! Plugins as products: [`folder`] finds `NAME.wasm` with its manifest `NAME.toml`, [`manifest`] says what that may ask for, and a
//! [`GrantBook`] what a person granted it. The policy of a session is then what was asked for and granted:
//!
//! ```no_run
//! use aiida_firecrest_host::{CodeCache, Engine, Found, GrantBook, Options, Session, plugin::folder::user_folder};
//!
//! # async fn example() -> aiida_firecrest_host::Result<()> {
//! let found = Found::by_name(&user_folder().unwrap(), "local")?;
//! let policy = found.policy(&GrantBook::user()?)?;
//! let plugin = found.load(&Engine::new(&CodeCache::User)?)?;
//! let options: Options = [("folder", "/data/cluster")].into_iter().collect();
//! let session = Session::open(&plugin, &options, &policy).await?;
//! # Ok(())
//! # }
//! ```

pub mod folder;
mod granting;
mod inspect;
pub mod manifest;
mod sockets;

pub use folder::Found;
pub use granting::GrantBook;
pub use inspect::{Inspection, LoadError};
pub use manifest::Manifest;

use crate::bindings;
use crate::configuration::{OptionDescription, PluginInfo, ServerInfo};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::instance::{Instance, State};
use crate::limits::PLUGIN_SIZE;
use crate::options::Options;
use crate::policy::Policy;
use std::fmt;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use wasmtime::component::{HasSelf, Linker};

/// The component that this library was built with.
const BUILT_IN: &[u8] = include_bytes!(env!("AIIDA_FIRECREST_WASM"));

/// A compiled component, ready to be instantiated. A clone is the same plugin.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    engine: Engine,
    pre: bindings::PluginPre<State>,
    inspection: Inspection,
    /// It came with this library, and is trusted as much.
    built_in: bool,
}

impl Plugin {
    /// The FirecREST plugin that comes with this library.
    ///
    /// Compiling takes up to seconds where the code is not in the engine's cache: in a server, call it where blocking is allowed.
    ///
    /// # Errors
    /// [`Error::Load`], only if the library was built with another component.
    pub fn built_in(engine: &Engine) -> Result<Plugin> {
        Plugin::load(engine, BUILT_IN, true)
    }

    /// A plugin from a file.
    ///
    /// # Errors
    /// [`Error::Load`] says why it cannot be one.
    pub fn from_file(engine: &Engine, path: impl AsRef<Path>) -> Result<Plugin> {
        Plugin::from_bytes(engine, &read(path.as_ref())?)
    }

    /// A plugin from a component's bytes.
    ///
    /// # Errors
    /// [`Error::Load`] says why it cannot be one.
    pub fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Plugin> {
        Plugin::load(engine, bytes, false)
    }

    fn load(engine: &Engine, bytes: &[u8], built_in: bool) -> Result<Plugin> {
        let inspection = Inspection::of(bytes)?;
        inspection.check()?;
        let compiled = |error: wasmtime::Error| LoadError::Invalid(crate::error::one_line(&format!("{error:#}")));
        let name = built_in.then_some(env!("AIIDA_FIRECREST_NAME"));
        let component = engine.cache().component(engine.wasmtime(), bytes, name).map_err(compiled)?;
        let mut linker = linker(engine).map_err(|error| Error::Runtime(format!("{error:#}")))?;
        sockets::trap(&mut linker, &component).map_err(compiled)?;
        let pre = linker.instantiate_pre(&component).and_then(bindings::PluginPre::new).map_err(compiled)?;
        Ok(Plugin { inner: Arc::new(Inner { engine: engine.clone(), pre, inspection, built_in }) })
    }

    /// What the file says of itself: imports, exports, size, producers.
    #[must_use]
    pub fn inspection(&self) -> &Inspection {
        &self.inner.inspection
    }

    /// The engine that this plugin was loaded into.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// Did it come with this library?
    pub(crate) fn is_built_in(&self) -> bool {
        self.inner.built_in
    }

    /// The plugin's name and version. Sends nothing.
    ///
    /// # Errors
    /// Only the plugin's own faults: [`Error::Trapped`], [`Error::Deadline`], [`Error::Memory`].
    pub async fn describe(&self) -> Result<PluginInfo> {
        let mut instance = Instance::open(self, &Policy::only([])).await?;
        instance.run(async |plugin, store| plugin.aiida_hpc_configuration().call_describe(store).await).await
    }

    /// The plugin's options, in the order in which to ask for them. Sends nothing.
    ///
    /// # Errors
    /// As [`Plugin::describe`].
    pub async fn options(&self) -> Result<Vec<OptionDescription>> {
        let mut instance = Instance::open(self, &Policy::only([])).await?;
        instance.run(async |plugin, store| plugin.aiida_hpc_configuration().call_options(store).await).await
    }

    /// Connects with these options and returns what the server says of itself.
    ///
    /// # Errors
    /// [`Error::Plugin`] as the contract's `configuration.check` says, and the plugin's own faults.
    pub async fn check(&self, options: &Options, policy: &Policy) -> Result<ServerInfo> {
        let mut instance = Instance::open(self, &policy.for_options(options)).await?;
        instance.secrets().learn_options(options);
        let values = options.values();
        let answer = instance
            .run(async |plugin, store| plugin.aiida_hpc_configuration().call_check(store, &values).await)
            .await?;
        answer.map_err(|error| instance.explain(error))
    }

    pub(crate) fn pre(&self) -> &bindings::PluginPre<State> {
        &self.inner.pre
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("inspection", &self.inner.inspection).finish_non_exhaustive()
    }
}

/// The whole file, once: what is looked at, hashed and compiled are the same bytes.
fn read(path: &Path) -> Result<Vec<u8>> {
    let failed = |error| LoadError::Io { path: path.to_owned(), error };
    let metadata = path.metadata().map_err(failed)?;
    if !metadata.is_file() {
        // To open a pipe would wait for its other end.
        return Err(LoadError::NotAFile { path: path.to_owned() }.into());
    }
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PLUGIN_SIZE + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

impl Inspection {
    /// Looks at a file without compiling it; [`Inspection::check`] then says whether it can be loaded.
    ///
    /// # Errors
    /// [`Error::Load`]: it cannot be read, or is no component.
    pub fn of_file(path: impl AsRef<Path>) -> Result<Inspection> {
        Ok(Inspection::of(&read(path.as_ref())?)?)
    }
}

/// The contract's imports and what a standard library drags in. No sockets: nothing of them is linked, and what imports them by name
/// gets functions that trap.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    use wasmtime_wasi::cli::{WasiCli, WasiCliView};
    use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
    use wasmtime_wasi::p2;
    use wasmtime_wasi::p2::bindings::{cli, filesystem, random};
    use wasmtime_wasi::random::{WasiRandom, WasiRandomView};

    let mut linker = Linker::new(engine.wasmtime());
    let l = &mut linker;
    // Streams, polling, clocks, randomness, stdin, stdout, stderr.
    p2::add_to_linker_proxy_interfaces_async(l)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(l)?;
    filesystem::types::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    filesystem::preopens::add_to_linker::<State, WasiFilesystem>(l, State::filesystem)?;
    random::insecure::add_to_linker::<State, WasiRandom>(l, State::random)?;
    random::insecure_seed::add_to_linker::<State, WasiRandom>(l, State::random)?;
    cli::exit::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::environment::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_input::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_output::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdin::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stdout::add_to_linker::<State, WasiCli>(l, State::cli)?;
    cli::terminal_stderr::add_to_linker::<State, WasiCli>(l, State::cli)?;
    bindings::aiida::hpc::types::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    bindings::aiida::hpc::permissions::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    bindings::aiida::hpc::progress::add_to_linker::<State, HasSelf<State>>(l, |state| state)?;
    Ok(linker)
}
