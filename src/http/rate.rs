//! A budget of requests a minute: a bucket that fills evenly and holds ten seconds' worth, so that a short burst need not wait.

use std::time::Duration;

/// The bucket. Time comes from outside, as a duration since any fixed moment.
#[derive(Debug)]
pub struct Rate {
    /// Requests a second; zero: no limit.
    per_second: f64,
    capacity: f64,
    /// May be below zero: requests that have been promised a later place.
    tokens: f64,
    at: Duration,
}

impl Rate {
    /// `per_minute` zero: no limit.
    pub fn per_minute(per_minute: u32) -> Self {
        let per_second = f64::from(per_minute) / 60.0;
        let capacity = (per_second * 10.0).max(1.0);
        Self { per_second, capacity, tokens: capacity, at: Duration::ZERO }
    }

    /// Takes a place for one request and says how long to wait for it. Places are given in the order of asking.
    pub fn take(&mut self, now: Duration) -> Duration {
        if self.per_second == 0.0 {
            return Duration::ZERO;
        }
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.tokens = (self.tokens + passed * self.per_second).min(self.capacity) - 1.0;
        if self.tokens >= 0.0 { Duration::ZERO } else { Duration::from_secs_f64(-self.tokens / self.per_second) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_means_no_limit() {
        let mut rate = Rate::per_minute(0);
        assert!((0..10_000).all(|_| rate.take(Duration::ZERO).is_zero()));
    }

    proptest! {
        /// However they are asked for, no window of time sees more than the bucket and what flowed in meanwhile.
        #[test]
        fn never_above_the_budget(per_minute in 1u32..6000, gaps in proptest::collection::vec(0u64..400, 1..200)) {
            let mut rate = Rate::per_minute(per_minute);
            let mut now = Duration::ZERO;
            let mut sent: Vec<f64> = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                sent.push((now + rate.take(now)).as_secs_f64());
            }
            let per_second = f64::from(per_minute) / 60.0;
            let burst = (per_second * 10.0).max(1.0);
            for (i, from) in sent.iter().enumerate() {
                for (j, to) in sent.iter().enumerate().skip(i) {
                    let count = (j - i + 1) as f64;
                    prop_assert!(count <= burst + (to - from) * per_second + 1.001, "{count} in {}", to - from);
                }
            }
        }
    }
}
