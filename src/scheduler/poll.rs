//! How long to wait before the next look at a job.
//!
//! Each look costs the server about 0.1 s (sacct). Waiting an eighth of the time that has passed since the last change costs a job
//! at most an eighth of its time, and the number of looks grows with the logarithm of it: about 100 in an hour.

use std::time::Duration;

/// Below this a look tells nothing new: the server itself lags by seconds.
const SHORTEST: Duration = Duration::from_millis(500);
/// Above this a person who watches becomes impatient.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after that much time without a change, but not past what is left of a deadline.
pub fn pause(unchanged: Duration, left: Option<Duration>) -> Duration {
    let pause = (unchanged / 8).clamp(SHORTEST, LONGEST);
    left.map_or(pause, |left| pause.min(left))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_grow_slowly() {
        let looks_in = |total: u64| {
            let (mut at, mut looks) = (Duration::ZERO, 0);
            while at < Duration::from_secs(total) {
                at += pause(at, None);
                looks += 1;
            }
            looks
        };
        assert_eq!((looks_in(2), looks_in(60), looks_in(3600)), (4, 31, 101));
        assert_eq!(pause(Duration::from_secs(3600), Some(Duration::from_secs(2))), Duration::from_secs(2));
    }
}
