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
//! **What differs from a real server**, beside the paths: a single quote anywhere in a path is always the recorded 500 (a real
//! server's shell makes something of an even number of them); links that lead out of the file systems are 403; nothing arrives in
//! an object store (transfer/upload and transfer/download end in 501); job arrays, dependencies and reservations are refused.

#![warn(missing_docs)]

mod auth;
mod builder;
mod commands;
mod errors;
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
pub use knobs::{Fault, FaultKind, JobLag, Knobs, Quota, RetryAfter, Service, System, TransferKeys};
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
