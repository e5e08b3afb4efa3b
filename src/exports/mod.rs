//! The component's face: generated types on one side, ours on the other. A file an exported interface; a function is three
//! lines: convert, call, convert back. Nothing else in this crate names a generated type.

mod configuration;
mod scheduler;
mod transport;
mod types;

use std::future::Future;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::http::wasi::WasiPlatform;
use crate::local::wasi::{Permissions, WasiLocal};
use crate::transport::{Progress, Report};

#[allow(missing_docs)]
mod bindings {
    wit_bindgen::generate!({
        world: "plugin",
        path: "wit",
        with: {
            "wasi:io/error@0.2.12": wasip2::io::error,
            "wasi:io/poll@0.2.12": wasip2::io::poll,
            "wasi:io/streams@0.2.12": wasip2::io::streams,
            "wasi:clocks/monotonic-clock@0.2.12": wasip2::clocks::monotonic_clock,
            "wasi:clocks/wall-clock@0.2.12": wasip2::clocks::wall_clock,
            "wasi:random/random@0.2.12": wasip2::random::random,
            "wasi:filesystem/types@0.2.12": wasip2::filesystem::types,
            "wasi:filesystem/preopens@0.2.12": wasip2::filesystem::preopens,
            "wasi:http/types@0.2.12": wasip2::http::types,
            "wasi:http/outgoing-handler@0.2.12": wasip2::http::outgoing_handler,
        },
    });
}

use bindings::aiida::hpc::{permissions, progress};

struct Plugin;

bindings::export!(Plugin with_types_in bindings);

/// Runs to the end: an exported function of WASI 0.2 returns when it is done. Inside, many requests run at once.
///
/// The loop is made once, for a boxed future, and not once for each function: 80 kB less.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut output = None;
    let boxed: LocalBoxFuture<'_, ()> = Box::pin(async { output = Some(future.await) });
    wstd::runtime::block_on(boxed);
    output.expect("the future has run to its end")
}

fn platform() -> Rc<WasiPlatform> {
    Rc::new(WasiPlatform)
}

/// The folders that the host grants in this call.
fn local() -> WasiLocal {
    WasiLocal::new(Permissions { get: permissions::get, set: permissions::set })
}

/// Hands a transfer's progress to the host.
fn progress() -> Report {
    Rc::new(|state: &Progress<'_>| {
        let status = progress::Status {
            operation: state.operation.to_owned(),
            path: state.path.to_owned(),
            bytes_done: state.bytes_done,
            bytes_total: state.bytes_total,
            files_done: state.files_done,
            files_total: state.files_total,
        };
        progress::report(&status) == progress::Answer::Proceed
    })
}
