//! When a request is sent again: one policy, one table.
//!
//! The question is always whether the server can have acted. A read may be repeated whatever happened, and so may, as a rule, what comes
//! to the same when done twice. Another write is repeated only when the outcome proves that it did not happen; where it may have
//! happened the operation looks first, and what no look can settle is reported as `outcome-unknown`.
//!
//! | limit                         | value           | because                                                              |
//! |-------------------------------|-----------------|----------------------------------------------------------------------|
//! | tries                         | 6               | with the pauses below they span about 15 s: a gateway's restart      |
//! | pause before try n + 1        | 0 to 0.25 s × 2ⁿ⁻¹, at most 8 s | full jitter: many clients do not come back at one moment |
//! | pause that the server asks for | at most 120 s  | gateways count requests a minute: two of their windows               |
//! | last try begins               | within 300 s    | then the caller decides                                              |

use std::time::Duration;

use super::SendError;

/// How often and how long.
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
    /// From the first try on; none begins later.
    pub total: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            attempts: 6,
            base: Duration::from_millis(250),
            cap: Duration::from_secs(8),
            longest_requested: Duration::from_secs(120),
            total: Duration::from_secs(300),
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
    /// Can a lost answer leave the caller in doubt?
    pub fn changes(self) -> bool {
        self != Self::Read
    }
}

/// How a try ended: the rows of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The name is not resolved, nobody listens, there was no connection in time, or it broke before the request was on its way.
    Unreachable,
    /// The host's policy does not allow it, or TLS cannot be agreed on.
    Barred,
    /// The connection broke after the request may have been sent.
    Reset,
    /// The answer began, and broke off.
    Cut,
    /// A time limit ran out after the request may have been sent.
    Silent,
    /// Something came that is no answer, or more than an answer can be.
    Strange,
    /// The local file failed, or the host said stop.
    Own,
    /// 401
    Unauthenticated,
    /// 408: the server's command ran into its time limit and was ended somewhere.
    Killed,
    /// The server's own word, with any status, that it did not get as far as the command: no channel to the login node, no
    /// controller, an unhealthy service.
    NotReached,
    /// 424: the server's connection to the login node broke.
    Severed,
    /// 429
    Crowded,
    /// 500 with the scheduler's word that its own answer was lost.
    Faltered,
    /// 502
    BadGateway,
    /// 503 that is not FirecREST's
    Unavailable,
    /// 504
    GatewayTimeout,
    /// Any other answer.
    Answered,
}

/// What to do after a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The same again, after a pause.
    Again,
    /// The same again, a single time.
    Once,
    /// The same again with a new token, a single time.
    Renew,
    /// The operation looks whether it happened. Where it cannot: `outcome-unknown`.
    Look,
    /// Take it as it is.
    Stop,
}

use Step::{Again as A, Look as L, Once as O, Renew as R, Stop as S};

/// For each outcome what a read, an idempotent write and another write do next.
#[rustfmt::skip]
pub const TABLE: [(Event, [Step; 3]); 17] = [
    //                       read, idempotent, write
    (Event::Unreachable,     [A, A, A]), // the server never saw it
    (Event::Barred,          [S, S, S]), // it will not get better
    (Event::Reset,           [A, A, L]), // servers drop idle connections without a word; a write may have happened
    (Event::Cut,             [A, A, L]), // the server acted, but what it said is not known; bodies start from their first byte
    (Event::Silent,          [O, L, L]), // the connection may have died while a laptop slept: a fresh one tells. A write may still
                                         // be under way, and a second one could come to its end before the first
    (Event::Strange,         [S, L, L]), // another try would bring the same
    (Event::Own,             [S, S, S]), // nothing that the server could mend
    (Event::Unauthenticated, [R, R, R]), // the server looked at the token and at nothing else
    (Event::Killed,          [S, L, L]), // the command would be too slow again; how far a write got nobody says
    (Event::NotReached,      [A, A, A]), // by the server's word nothing was done
    (Event::Severed,         [A, A, L]), // the command may have been on its way
    (Event::Crowded,         [A, A, A]), // refused before anything was done
    (Event::Faltered,        [A, A, L]), // the controller may have taken the job: Slurm's manual says to look
    (Event::BadGateway,      [A, A, L]), // a gateway's word; behind it a write may have happened
    (Event::Unavailable,     [A, A, L]), // the same; FirecREST's own 503 is `NotReached`
    (Event::GatewayTimeout,  [A, L, L]), // the server may still be at it
    (Event::Answered,        [S, S, S]), // an answer
];

/// What the server says when it has not got as far as the command, or when it cannot know what became of it: parts of its sentences
/// (FirecREST 2.5.7 `ssh_client.py`, `dependencies.py`) and of Slurm's (`slurm_errno.c`, 22.05 to 25.05).
const WORDS: [(&str, Event); 9] = [
    ("Unable to open a new SSH channel", Event::NotReached),
    ("SSH connection pool capacity exceeded", Event::NotReached),
    ("SSH connection timeout limit exceeded", Event::NotReached),
    ("service for the requested system", Event::NotReached),
    ("Unable to contact slurm controller", Event::NotReached),
    ("Slurm temporarily unable to accept job", Event::NotReached),
    ("Socket timed out on send/recv operation", Event::Faltered),
    ("Zero Bytes were transmitted or received", Event::Faltered),
    ("persistent connection", Event::Faltered),
];

/// What the server puts before the words of a tool that ran: what follows may quote a file's name.
const TOOL: &str = "Remote process failed";

impl Event {
    /// Of a try without a whole answer.
    pub fn of_failure(error: &SendError) -> Self {
        match error {
            SendError::Dns(_) | SendError::Connect(_) => Self::Unreachable,
            SendError::Denied | SendError::Tls(_) => Self::Barred,
            SendError::Reset(_) => Self::Reset,
            SendError::Timeout(_) => Self::Silent,
            SendError::Protocol(_) | SendError::BodyTooLarge { .. } | SendError::Other(_) => Self::Strange,
            _ => Self::Own,
        }
    }

    /// Of an answer with this status. `text`: what FirecREST said, if it was FirecREST.
    pub fn of_answer(status: u16, text: &str) -> Self {
        if matches!(status, 408 | 424 | 500 | 503)
            && !text.starts_with(TOOL)
            && let Some((_, event)) = WORDS.iter().find(|(words, _)| text.contains(words))
        {
            return *event;
        }
        match status {
            401 => Self::Unauthenticated,
            408 => Self::Killed,
            424 => Self::Severed,
            429 => Self::Crowded,
            502 => Self::BadGateway,
            503 => Self::Unavailable,
            504 => Self::GatewayTimeout,
            _ => Self::Answered,
        }
    }

    /// The table's word.
    pub fn step(self, effect: Effect) -> Step {
        // The table has the order of the variants; a test holds it to that.
        TABLE[self as usize].1[effect as usize]
    }

    /// May a write have happened all the same?
    pub fn leaves_doubt(self) -> bool {
        self.step(Effect::Write) == Step::Look
    }
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Take it as it is.
    Done,
    /// Send the same request again after this pause.
    Again(Duration),
}

/// A try that has ended.
#[derive(Debug, Clone, Copy)]
pub struct Try {
    /// Its number, from 1.
    pub number: u32,
    /// Since the first one began.
    pub elapsed: Duration,
    /// How it ended.
    pub event: Event,
    /// The pause that the server asked for.
    pub requested: Option<Duration>,
}

impl Policy {
    /// Decides after a try. `chance` is any random number. A token is the caller's to renew: here that is `Done`.
    pub fn decide(&self, tried: Try, effect: Effect, chance: u64) -> Verdict {
        let repeat = match tried.event.step(effect) {
            Step::Again => tried.number < self.attempts,
            Step::Once => tried.number == 1,
            _ => false,
        };
        let pause = match tried.requested {
            Some(pause) if pause > self.longest_requested => return Verdict::Done,
            // A little more than asked, each client another little, or all come back at the same moment.
            Some(pause) => pause + share(self.base, chance),
            // The first repeat after a reset goes at once: it was a stale connection, and nothing is overloaded.
            None if tried.number == 1 && matches!(tried.event, Event::Reset | Event::Silent) => Duration::ZERO,
            None => self.backoff(tried.number, chance),
        };
        if repeat && tried.elapsed + pause <= self.total { Verdict::Again(pause) } else { Verdict::Done }
    }

    /// Full jitter: evenly between nothing and a ceiling that doubles with each try.
    fn backoff(&self, attempt: u32, chance: u64) -> Duration {
        let ceiling = self.base.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(self.cap);
        share(ceiling, chance)
    }
}

/// A part of a time below 100 s, by chance: from none of it to nearly all.
fn share(time: Duration, chance: u64) -> Duration {
    Duration::from_micros((time.as_micros() as u64 * (chance >> 32)) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const EFFECTS: [Effect; 3] = [Effect::Read, Effect::Idempotent, Effect::Write];

    fn tried(event: Event) -> Try {
        Try { number: 1, elapsed: Duration::ZERO, event, requested: None }
    }

    #[test]
    fn every_event_has_its_row() {
        for (i, (event, steps)) in TABLE.iter().enumerate() {
            assert_eq!(*event as usize, i);
            for effect in EFFECTS {
                assert_eq!(event.step(effect), steps[effect as usize]);
            }
        }
    }

    /// What may not be: a write sent again although it may have happened, and a doubt that only one of the two kinds of writes has.
    #[test]
    fn no_row_risks_anything() {
        for (event, [read, idempotent, write]) in TABLE {
            assert_ne!(read, Step::Look, "{event:?}: a read leaves no doubt");
            match write {
                Step::Look => assert!(matches!(idempotent, Step::Again | Step::Look), "{event:?}"),
                _ => {
                    assert_eq!((write, idempotent), (idempotent, read), "{event:?}: nothing happened, so all are alike")
                }
            }
        }
    }

    /// Each outcome by what the wire and the server really say.
    #[test]
    fn outcomes_are_told_apart() {
        let text = || String::from("x");
        for (error, event) in [
            (SendError::Dns(text()), Event::Unreachable),
            (SendError::Connect(text()), Event::Unreachable),
            (SendError::Denied, Event::Barred),
            (SendError::Tls(text()), Event::Barred),
            (SendError::Reset(text()), Event::Reset),
            (SendError::Timeout(text()), Event::Silent),
            (SendError::Protocol(text()), Event::Strange),
            (SendError::BodyTooLarge { limit: 1 }, Event::Strange),
            (SendError::Other(text()), Event::Strange),
            (SendError::Local(text()), Event::Own),
        ] {
            assert_eq!(Event::of_failure(&error), event, "{error:?}");
            assert!(!(error.never_sent() && event.leaves_doubt()), "{error:?}");
        }
        for (status, said, event) in [
            (200, "", Event::Answered),
            (401, "", Event::Unauthenticated),
            (404, "Job not found.", Event::Answered),
            (408, "Command execution timeout limit exceeded.", Event::Killed),
            (408, "SSH connection timeout limit exceeded.", Event::NotReached),
            (424, "Unable to establish SSH connection.", Event::Severed),
            (424, "Unable to open a new SSH channel.", Event::NotReached),
            (429, "", Event::Crowded),
            (500, "('unhandled',)", Event::Answered),
            (
                500,
                "Error executing Slurm command.\nsacct: error: failed to open persistent connection to db",
                Event::Faltered,
            ),
            (
                500,
                "Unexpected Slurm command response. exit_status:1 std_err:sbatch: error: Batch job submission failed: \
                 Socket timed out on send/recv operation",
                Event::Faltered,
            ),
            (
                500,
                "Unexpected Slurm command response. exit_status:1 std_err:sbatch: error: Batch job submission failed: \
                 Unable to contact slurm controller (connect failure)",
                Event::NotReached,
            ),
            // A file of that name is no reason.
            (
                500,
                "Remote process failed with exit status:1 and error message:rm: Unable to open a new SSH channel",
                Event::Answered,
            ),
            (502, "", Event::BadGateway),
            (503, "", Event::Unavailable),
            (503, "The scheduler service for the requested system (X) is unhealthy.", Event::NotReached),
            (504, "", Event::GatewayTimeout),
        ] {
            assert_eq!(Event::of_answer(status, said), event, "{status} {said}");
        }
    }

    #[test]
    fn a_requested_pause_is_kept_but_not_for_ever() {
        let policy = Policy::default();
        let asked = |seconds| Try { requested: Some(Duration::from_secs(seconds)), ..tried(Event::Crowded) };
        let Verdict::Again(pause) = policy.decide(asked(3), Effect::Write, 9) else { panic!("not repeated") };
        assert!(pause >= Duration::from_secs(3) && pause < Duration::from_secs(4));
        assert_eq!(policy.decide(asked(3600), Effect::Read, 9), Verdict::Done);
        let late = Try { elapsed: Duration::from_secs(298), ..asked(3) };
        assert_eq!(policy.decide(late, Effect::Read, 9), Verdict::Done);
    }

    fn events() -> impl Strategy<Value = Event> {
        (0..TABLE.len()).prop_map(|row| TABLE[row].0)
    }

    proptest! {
        /// Over the whole table, any number of tries and any time: what is sent again is what the table allows, within all limits.
        #[test]
        fn decisions_follow_the_table(
            event in events(), effect in 0usize..3, number in 1u32..9, elapsed in 0u64..400_000, asked: Option<u16>, chance: u64
        ) {
            let policy = Policy::default();
            let (effect, elapsed) = (EFFECTS[effect], Duration::from_millis(elapsed));
            let requested = asked.map(|seconds| Duration::from_secs(seconds.into()));
            let step = event.step(effect);
            match policy.decide(Try { number, elapsed, event, requested }, effect, chance) {
                Verdict::Again(pause) => {
                    prop_assert!(step == Step::Again && number < policy.attempts || step == Step::Once && number == 1);
                    prop_assert!(effect != Effect::Write || !event.leaves_doubt());
                    prop_assert!(elapsed + pause <= policy.total);
                    match requested {
                        Some(asked) => prop_assert!(pause >= asked && pause <= policy.longest_requested + policy.base),
                        None => prop_assert!(pause <= policy.cap),
                    }
                }
                Verdict::Done => {
                    let allowed = match step {
                        Step::Again => number < policy.attempts,
                        Step::Once => number == 1,
                        _ => false,
                    };
                    let long = requested.unwrap_or(policy.cap) + policy.base;
                    prop_assert!(!allowed || elapsed + long > policy.total || long > policy.longest_requested);
                }
            }
        }

        /// Full jitter: the whole range below the ceiling, and nothing above it.
        #[test]
        fn pauses_stay_under_the_ceiling(number in 1u32..40, chance: u64) {
            let policy = Policy::default();
            let ceiling = policy.backoff(number, u64::MAX);
            prop_assert!(policy.backoff(number, chance) <= ceiling && ceiling <= policy.cap);
            prop_assert_eq!(policy.backoff(number, 0), Duration::ZERO);
        }

        /// A client that only meets storms ends: tries and time are bounded.
        #[test]
        fn it_always_ends(event in events(), effect in 0usize..3, chances in proptest::collection::vec(any::<u64>(), 9)) {
            let policy = Policy::default();
            let (mut number, mut elapsed) = (1, Duration::ZERO);
            for chance in chances {
                match policy.decide(Try { number, elapsed, event, requested: None }, EFFECTS[effect], chance) {
                    Verdict::Again(pause) => elapsed += pause,
                    Verdict::Done => break,
                }
                number += 1;
            }
            prop_assert!(number <= policy.attempts && elapsed <= policy.total);
        }
    }
}
