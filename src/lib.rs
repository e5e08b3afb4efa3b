//! The aiida-firecrest component: AiiDA's transport and scheduler over FirecREST's REST API.
//!
//! Built for wasm32-wasip2 this is a component that exports the world `aiida:hpc/plugin` (see `wit/`). Natively it is a library of
//! the same rules, for tests and tools: all but `exports/` and the `wasi.rs` files.

pub mod archive;
pub mod concurrent;
pub mod error;
pub mod firecrest;
pub mod http;
pub mod local;
pub mod number;
pub mod objectstore;
pub mod options;
pub mod passing;
pub mod remote;
pub mod scheduler;
pub mod secret;
pub mod session;
pub mod shell;
pub mod transport;
pub mod watch;

#[cfg(target_family = "wasm")]
mod exports;
