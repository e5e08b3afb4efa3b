//! Loads an `aiida:hpc` plugin (the aiida-firecrest component, or another of the same contract) in wasmtime, sandboxed: it
//! reaches the servers and folders that a [`Policy`] names, and nothing else.
//!
//! ```no_run
//! use aiida_firecrest_host::{CodeCache, Engine, Options, Plugin, Policy, Session};
//!
//! # async fn example() -> aiida_firecrest_host::Result<()> {
//! let engine = Engine::new(&CodeCache::User)?;
//! let plugin = Plugin::built_in(&engine)?;
//! let options = Options::from_file("firecrest.json")?;
//! let mut session = Session::open(&plugin, &options, &Policy::default()).await?;
//! let summary = session.put("/data/in/a.txt", "/scratch/u/a.txt", &Default::default()).await?;
//! println!("{} bytes", summary.bytes);
//! # Ok(())
//! # }
//! ```
//!
//! | module        | what is in it                                                                          |
//! |---------------|----------------------------------------------------------------------------------------|
//! | [`plugin`]    | loading a component, and looking at one; plugins as files, their manifests and grants  |
//! | [`policy`]    | origins, folders, memory, time                                                         |
//! | [`session`]   | an open transport: files and jobs                                                      |
//! | [`options`]   | option values from files, environment and flags                                        |
//! | [`error`]     | every error, and the command line's exit codes                                         |
//! | [`conformance`] | every promise of the contract, tried on a plugin and a server                       |
//! | [`telemetry`] | requests, counted                                                                      |
//! | [`cache`], [`limits`] | compiled code; what an instance may use of the machine                         |
//! | [`types`], [`configuration`], [`transport`], [`scheduler`], [`progress`] | the contract's types, as in `wit/`  |
//!
//! All calls run inside a tokio runtime with timers and I/O enabled.
//!
//! # What fails, and how
//!
//! [`Error`] is either the plugin's own ([`types::Error`]: one of seventeen kinds, by which a program decides, and what is known beside it) or says what happened to
//! the plugin: a trap, the memory limit, a call's deadline. The latter end the session, and no other. [`error`] has the command line's exit code for each.
//!
//! # What will stay
//!
//! The contract `aiida:hpc` and this library have versions of their own, both semantic; below 1.0 the second number counts as the first. Within `aiida:hpc@0.1` nothing
//! goes and nothing changes its meaning, and what is added is a further exported interface: this host loads every plugin of 0.1, and refuses an older or newer
//! one before it compiles it, with what to update ([`LoadError`]). A `match` on [`types::ErrorKind`] keeps an arm for what 0.2 may add.

mod bindings;
pub mod cache;
pub mod conformance;
mod engine;
pub mod error;
mod grants;
mod http;
mod instance;
pub mod leftovers;
pub mod limits;
pub mod options;
pub mod plugin;
pub mod policy;
mod reports;
mod secrets;
pub mod session;
pub mod telemetry;

pub use cache::CodeCache;
pub use engine::Engine;
pub use error::{Error, Result};
pub use leftovers::Journal;
pub use options::Options;
pub use plugin::{Found, GrantBook, Inspection, LoadError, Manifest, Plugin};
pub use policy::{Folder, Origin, Policy};
pub use session::Session;
pub use telemetry::Telemetry;

/// The contract's interface `types`: the error, and the words for files and times.
pub mod types {
    pub use crate::bindings::aiida::hpc::types::{Error, ErrorKind, FileKind, UnixTime};
}

/// The contract's interface `configuration`: options, and what a server says of itself.
pub mod configuration {
    pub use crate::bindings::exports::aiida::hpc::configuration::{
        FileSystem, Identity, OptionDescription, OptionKind, PluginInfo, ServerInfo, ServiceHealth, SystemInfo,
    };
}

/// The contract's interface `transport`: files.
pub mod transport {
    pub use crate::bindings::exports::aiida::hpc::transport::{
        Command, CommandOutput, CompressOptions, Compression, Entry, ExtractOptions, FileStat, ListOptions,
        OverwritePolicy, TransferOptions, TransferSummary, Verification,
    };
}

/// The contract's interface `scheduler`: jobs.
pub mod scheduler {
    pub use crate::bindings::exports::aiida::hpc::scheduler::{
        CancelOutcome, CodeInfo, JobDetails, JobInfo, JobListing, JobQuery, JobResource, JobState, JobStep,
        JobTemplate, MachineInfo, Node, Partition, Reservation, RunMode, ScriptSource, Submission, WaitCondition,
        WaitOptions,
    };
}

/// The contract's interface `progress`: how a transfer goes.
pub mod progress {
    pub use crate::bindings::aiida::hpc::progress::{Answer, Status};
}
