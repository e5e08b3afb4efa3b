//! The component's face: generated types on one side, ours on the other. A file an exported interface; a function is three
//! lines: convert, call, convert back. Nothing else in this crate names a generated type.

mod configuration;
mod scheduler;
mod transport;
mod types;

use std::future::Future;
use std::rc::Rc;

use std::time::Duration;

use futures_util::future::{Either, LocalBoxFuture, select};
use wasip2::clocks::monotonic_clock;

use crate::http::wasi::{WasiPlatform, pause};
use crate::local::wasi::{Permissions, WasiLocal};
use crate::watch::{EVERY, Listener, Progress, Watch};

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

/// The same for a call that takes its time: the host is told how it goes, and may stop it.
fn run_watched<T>(operation: &'static str, path: &str, future: impl Future<Output = T>) -> T {
    let watch = WATCH.with(Rc::clone);
    watch.begin(operation, path, Listener { tell, now });
    let mut output = None;
    {
        let boxed: LocalBoxFuture<'_, ()> = Box::pin(async { output = Some(future.await) });
        wstd::runtime::block_on(tell_meanwhile(&watch, boxed));
    }
    watch.end();
    output.expect("the future has run to its end")
}

async fn tell_meanwhile(watch: &Watch, call: LocalBoxFuture<'_, ()>) {
    let ticker = async {
        loop {
            pause(EVERY).await;
            watch.tick();
        }
    };
    let ticker: LocalBoxFuture<'_, ()> = Box::pin(ticker);
    match select(call, ticker).await {
        Either::Left(_) | Either::Right(_) => {}
    }
}

thread_local! {
    // One call at a time, whichever session it is of; a copy from one to another is of both.
    static WATCH: Rc<Watch> = Rc::default();
    static MARK: u64 = wasip2::random::random::get_random_u64();
}

/// A list of ours as one of the contract's. A plain loop: an iterator that collects in place is three times the code, for each type.
fn converted<A, B: From<A>>(list: Vec<A>) -> Vec<B> {
    let mut all = Vec::with_capacity(list.len());
    for item in list {
        all.push(item.into());
    }
    all
}

fn platform() -> Rc<WasiPlatform> {
    Rc::new(WasiPlatform::new(WATCH.with(Rc::clone), MARK.with(|mark| *mark)))
}

/// The folders that the host grants in this call.
fn local() -> WasiLocal {
    WasiLocal::new(MARK.with(|mark| *mark), Permissions { get: permissions::get, set: permissions::set })
}

fn now() -> Duration {
    Duration::from_nanos(monotonic_clock::now())
}

/// Hands a call's progress to the host.
fn tell(state: &Progress) -> bool {
    let status = progress::Status {
        operation: state.operation.to_owned(),
        path: state.path.clone(),
        bytes_done: state.bytes_done,
        bytes_total: state.bytes_total,
        files_done: state.files_done,
        files_total: state.files_total,
    };
    progress::report(&status) == progress::Answer::Proceed
}
