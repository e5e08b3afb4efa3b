//! An answer's status, headers and body, up to the decision to try again: Retry-After and its relatives.
#![no_main]

use std::time::Duration;

use aiida_firecrest::firecrest::errors::{event, retry_after};
use aiida_firecrest::http::retry::{Effect, Policy, Try, Verdict};
use libfuzzer_sys::fuzz_target;

type Input<'a> = (Vec<(u8, String)>, u64, u32, u16, &'a [u8], u32, u64);

fuzz_target!(|input: Input<'_>| {
    let (pairs, now, number, status, body, elapsed, chance) = input;
    const NAMES: [&str; 5] = ["retry-after", "ratelimit-reset", "x-ratelimit-reset", "ratelimit-remaining", "date"];
    let headers: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (NAMES[usize::from(name) % NAMES.len()].to_owned(), value)).collect();
    let requested = retry_after(&headers, now);
    let event = event(status, body);
    let policy = Policy::default();
    let elapsed = Duration::from_millis(elapsed.into());
    for effect in [Effect::Read, Effect::Idempotent, Effect::Write] {
        if let Verdict::Again(wait) = policy.decide(Try { number, elapsed, event, requested }, effect, chance) {
            assert!(number < policy.attempts && elapsed <= policy.total);
            assert!(wait <= policy.longest_requested + policy.cap, "{wait:?}");
        }
    }
});
