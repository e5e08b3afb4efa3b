//! A FirecREST v2 server in one process, for tests and `make demo`: real files under a root, real processes for jobs, real
//! tokens, and the recorded server's answers to the letter, its faults included.
//!
//! ```no_run
//! # async fn example() -> Result<(), firecrest_simulator::Error> {
//! let simulator = firecrest_simulator::Simulator::builder().start().await?;
//! println!("{} {}", simulator.url(), simulator.config());
//! simulator.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! **Paths.** A remote path is the real path: the simulated file systems are `ROOT/home` and `ROOT/scratch`, mounted where they
//! lie, and the user's home is `ROOT/home/fireuser`. Scripts, jobs and symlinks therefore mean by a path what clients mean.
//! Ask [`Simulator::home`] and [`Simulator::scratch`] rather than assuming `/home/fireuser`.
//!
//! **Safety.** It listens on the loopback interface only. File operations stay in the two file systems, through symlinks too.
//! No text of a client's reaches a shell, but for what a client may run anyway: a job's script, and a command attached to a job.
//! Started as root, it runs commands and jobs as an unprivileged user, so that permissions are real; otherwise as oneself. Jobs are
//! processes like any other and not locked in: submit only what you would run yourself. When a job or the simulator ends, its
//! processes are killed: the job's process group, and whatever else still carries its mark in the environment.
//!
//! **Large files.** An object store listens on a port of its own ([`Simulator::s3_url`]): S3 with signed URLs, each signature and
//! its expiry checked, one bucket a user. Upload and download jobs run scripts that do what the real ones do: look, `sleep 60`,
//! look again, fetch by ranges, write logs. [`Simulator::s3_requests`] tells what was asked, [`Simulator::plant_s3`] makes it fail.
//!
//! **Where things are.**
//!
//! | file or folder | holds |
//! |---|---|
//! | `builder.rs`, `simulator.rs`, `knobs.rs`, `record.rs` | what a test sees: the start, the handle, what can be turned, what was asked |
//! | `house.rs`, `paths.rs`, `commands.rs` | the root and its user, remote paths and their bounds, commands run as the user |
//! | `server.rs`, `router.rs`, `routes.rs`, `request.rs`, `errors.rs` | connections, what surrounds every request, routes, checks, error texts |
//! | `faults.rs`, `admin.rs` | the script of faults, and the port on which it can be written and read as JSON |
//! | `auth.rs`, `status.rs` | tokens; systems, nodes, the user |
//! | `files/` | operations that act at once, and the upload's form |
//! | `jobs/` | submission, the queue, processes, what is told of a job |
//! | `transfer/` | operations that are jobs |
//! | `s3/` | the object store |
//! | `main.rs`, `run.rs` | the program |
//!
//! **What differs from a real server**, beside the paths: a single quote anywhere in a path is always the recorded 500 (a real
//! server's shell makes something of an even number of them); links that lead out of the file systems are 403; job arrays,
//! dependencies and reservations are refused. What a real transfer job's shell would *run* of a path (`$(…)`, backticks, `${…}`,
//! and variables whose value is not known here) makes the job fail instead; plain `$name` and backslashes are expanded as a shell
//! would, and HTML escaping changes names as it does there. Neither the streamer nor wormhole is there.

#![warn(missing_docs)]

mod admin;
mod auth;
mod builder;
mod commands;
mod errors;
pub mod faults;
mod files;
mod house;
mod jobs;
mod knobs;
mod paths;
mod record;
mod request;
mod router;
mod routes;
mod s3;
mod server;
mod simulator;
mod state;
mod status;
mod transfer;

pub use builder::{Builder, Error};
pub use faults::{Fault, FaultKind, Struck};
pub use knobs::{JobLag, Knobs, Quota, RetryAfter, Service, System, TransferKeys};
pub use record::RequestRecord;
pub use s3::{S3Fault, S3FaultKind, S3RequestRecord};
pub use simulator::Simulator;

use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Locks; a panic elsewhere while it was held changes nothing for us.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(std::sync::PoisonError::into_inner)
}
