//! When a request is sent again: one policy, one table.
//!
//! The question is always whether the server can have acted. A read may be repeated whatever happened, and so may what comes to
//! the same when done twice; another write only when the outcome proves that it did not happen. A write whose answer was lost is not repeated here: the operation looks, or
//! reports `outcome-unknown`.

use std::time::Duration;

use super::SendError;

/// How often and how long. The defaults survive a gateway's restart and stay under a person's patience.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Tries altogether, the first included.
    pub attempts: u32,
    /// Ceiling of the first pause; it doubles each time.
    pub base: Duration,
    /// Ceiling of any pause that the server did not ask for.
    pub cap: Duration,
    /// A pause asked for by the server is honoured up to here; a longer one ends the operation with `rate-limited`.
    pub longest_requested: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            // Six tries with the pauses below span about 15 s at most.
            attempts: 6,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(8),
            // Gateways count requests a minute: two of their windows.
            longest_requested: Duration::from_secs(120),
        }
    }
}

/// Does the request change anything?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It only looks.
    Read,
    /// It changes something, and doing it twice leaves the same as doing it once: chmod, an upload, `mkdir -p`, a cancellation.
    Idempotent,
    /// It changes something, and a second time would do more, or be refused.
    Write,
}

impl Effect {
    /// Is there nothing to lose by sending it again?
    fn repeatable(self) -> bool {
        self != Self::Write
    }

    /// Can a lost answer leave the caller in doubt?
    pub fn changes(self) -> bool {
        self != Self::Read
    }
}

/// How a try ended.
#[derive(Debug, Clone, Copy)]
pub enum Outcome<'a> {
    /// Without an answer.
    Failed(&'a SendError),
    /// With this status, and the pause that the server asked for.
    Answered(u16, Option<Duration>),
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take it as it is.
    Done,
    /// Send the same request again after this pause.
    Again(Duration),
}

impl Policy {
    /// Decides after try number `attempt` (from 1). `chance` is any random number.
    ///
    /// | outcome | read, idempotent | write | because |
    /// |---|---|---|---|
    /// | name not resolved, refused, no connection in time | again | again | the server never saw it |
    /// | not allowed, TLS | done | done | will not get better |
    /// | reset, cut body | again | done | the server drops keep-alive connections silently; a write may have happened |
    /// | time limit | done | done | it was long enough already; the caller decides |
    /// | 429 | again | again | refused before anything was done |
    /// | 502, 503, 504 | again | done | a gateway's word; behind it a write may have happened |
    /// | other | done | done | an answer |
    pub fn decide(&self, attempt: u32, effect: Effect, outcome: Outcome<'_>, chance: u64) -> Verdict {
        let (repeat, requested) = match outcome {
            Outcome::Failed(error) => match error {
                SendError::Dns(_) | SendError::Connect(_) => (true, None),
                SendError::Reset(_) => (effect.repeatable(), None),
                _ => (false, None),
            },
            Outcome::Answered(429, after) => (true, after),
            Outcome::Answered(502..=504, after) => (effect.repeatable(), after),
            Outcome::Answered(..) => (false, None),
        };
        if !repeat || attempt >= self.attempts {
            return Verdict::Done;
        }
        match requested {
            Some(pause) if pause > self.longest_requested => Verdict::Done,
            // A little more than asked, each client another little, or all come back at the same moment.
            Some(pause) => Verdict::Again(pause + self.base.mul_f64(fraction(chance))),
            // The first repeat after a reset goes at once: it was a stale connection, and nothing is overloaded.
            None if attempt == 1 && matches!(outcome, Outcome::Failed(SendError::Reset(_))) => {
                Verdict::Again(Duration::ZERO)
            }
            None => Verdict::Again(self.backoff(attempt, chance)),
        }
    }

    /// Full jitter: evenly between nothing and a ceiling that doubles with each try.
    fn backoff(&self, attempt: u32, chance: u64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.cap);
        ceiling.mul_f64(fraction(chance))
    }
}

fn fraction(chance: u64) -> f64 {
    (chance >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_table() {
        let policy = Policy::default();
        let reset = SendError::Reset("x".into());
        let refused = SendError::Connect("x".into());
        let slow = SendError::Timeout("x".into());
        let cases = [
            (Effect::Read, Outcome::Failed(&reset), true),
            (Effect::Idempotent, Outcome::Failed(&reset), true),
            (Effect::Write, Outcome::Failed(&reset), false),
            (Effect::Write, Outcome::Failed(&refused), true),
            (Effect::Read, Outcome::Failed(&slow), false),
            (Effect::Read, Outcome::Failed(&SendError::Denied), false),
            (Effect::Write, Outcome::Answered(429, None), true),
            (Effect::Write, Outcome::Answered(503, None), false),
            (Effect::Read, Outcome::Answered(503, None), true),
            (Effect::Read, Outcome::Answered(500, None), false),
            (Effect::Read, Outcome::Answered(408, None), false),
            (Effect::Read, Outcome::Answered(200, None), false),
        ];
        for (effect, outcome, again) in cases {
            let verdict = policy.decide(1, effect, outcome, 7);
            assert_eq!(verdict != Verdict::Done, again, "{effect:?} {outcome:?}");
            assert_eq!(policy.decide(policy.attempts, effect, outcome, 7), Verdict::Done);
        }
    }

    #[test]
    fn a_requested_pause_is_kept_but_not_for_ever() {
        let policy = Policy::default();
        let Verdict::Again(pause) =
            policy.decide(1, Effect::Write, Outcome::Answered(429, Some(Duration::from_secs(3))), 9)
        else {
            panic!("not repeated")
        };
        assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(4));
        let hour = Some(Duration::from_secs(3600));
        assert_eq!(policy.decide(1, Effect::Read, Outcome::Answered(429, hour), 9), Verdict::Done);
    }

    proptest! {
        #[test]
        fn pauses_stay_under_the_cap(attempt in 1u32..6, chance: u64) {
            let policy = Policy::default();
            prop_assert!(policy.backoff(attempt, chance) <= policy.cap);
        }
    }
}
