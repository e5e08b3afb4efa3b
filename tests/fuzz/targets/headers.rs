//! Retry-After and its relatives.
#![no_main]

use std::time::Duration;

use aiida_firecrest::firecrest::errors::retry_after;
use aiida_firecrest::http::retry::{Effect, Outcome, Policy, Verdict};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<(u8, String)>, u64, u32, u16, u64)| {
    let (pairs, now, attempt, status, chance) = input;
    const NAMES: [&str; 5] = ["retry-after", "ratelimit-reset", "x-ratelimit-reset", "ratelimit-remaining", "date"];
    let headers: Vec<(String, String)> =
        pairs.into_iter().map(|(name, value)| (NAMES[usize::from(name) % NAMES.len()].to_owned(), value)).collect();
    let pause = retry_after(&headers, now);
    let policy = Policy::default();
    for effect in [Effect::Read, Effect::Idempotent, Effect::Write] {
        if let Verdict::Again(wait) = policy.decide(attempt, effect, Outcome::Answered(status, pause), chance) {
            assert!(attempt < policy.attempts);
            assert!(wait <= policy.longest_requested + Duration::from_secs(60), "{wait:?}");
        }
    }
});
