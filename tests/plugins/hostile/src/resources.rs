//! Time, memory, handles, and texts without end.

use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::http::types::Fields;
use wasip2::io::poll::Pollable;

use crate::Reply;
use crate::bindings::aiida::hpc::progress::{self, Answer, Status};

/// Computes for ever.
pub(crate) fn spin() -> Reply<String> {
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
    }
}

/// Waits for ever.
pub(crate) fn sleep() -> String {
    subscribe_duration(u64::MAX).block();
    "awake".into()
}

/// Takes memory until there is none.
pub(crate) fn memory() -> String {
    let mut hoard = Vec::new();
    loop {
        hoard.push(vec![1_u8; 1 << 20]);
        std::hint::black_box(&hoard);
    }
}

/// Takes entries of the host's table until it refuses.
pub(crate) fn handles() -> String {
    loop {
        std::mem::forget(subscribe_duration(u64::MAX));
    }
}

/// Fills headers until the host refuses.
pub(crate) fn headers() -> String {
    let fields = Fields::new();
    let value = vec![b'h'; 1 << 16];
    for number in 0..10_000_u32 {
        if let Err(error) = fields.append(&format!("x-{number}"), &value) {
            return format!("{number} {error:?}");
        }
    }
    "no limit".into()
}

/// Reports progress that many times: how often the host said stop.
pub(crate) fn flood(times: usize) -> String {
    let stops = (0..times).filter(|done| report("/flood", *done as u64) == Answer::Stop).count();
    stops.to_string()
}

/// Reports progress of a path with that many bytes.
pub(crate) fn boast(bytes: usize) -> String {
    report(&"b".repeat(bytes), 0);
    String::new()
}

fn report(path: &str, done: u64) -> Answer {
    progress::report(&Status {
        operation: path.to_owned(),
        path: path.to_owned(),
        bytes_done: done,
        bytes_total: None,
        files_done: 0,
        files_total: None,
    })
}

/// Writes to stderr without end.
pub(crate) fn stderr(megabytes: usize) -> String {
    let text = "s".repeat(1 << 20);
    for _ in 0..megabytes {
        eprint!("{text}");
    }
    String::new()
}

/// That many texts of a megabyte each, all of them the same megabyte: small here, and large for a host that copies each.
pub(crate) fn repeat(times: usize) -> Vec<String> {
    let megabyte: &'static mut [u8] = "r".repeat(1 << 20).into_bytes().leak();
    let (start, length) = (megabyte.as_mut_ptr(), megabyte.len());
    // SAFETY: unsound on purpose, for they would be freed more than once. The host has to end this instance before it is told to.
    (0..times).map(|_| unsafe { String::from_raw_parts(start, length, length) }).collect()
}

/// Uses a handle that it was never given.
pub(crate) fn forge() -> String {
    // SAFETY: none is needed: the number is only handed to the host, which has to refuse it.
    unsafe { Pollable::from_handle(77_777) }.block();
    "the host took a handle of nobody's".into()
}

/// Traps.
pub(crate) fn trap() -> Reply<String> {
    core::arch::wasm32::unreachable()
}
