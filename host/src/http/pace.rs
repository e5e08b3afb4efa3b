//! The budget of requests a minute that all sessions of an engine share, one for each origin.
//!
//! | what bounds it                           | to                                                        | until                           |
//! |------------------------------------------|-----------------------------------------------------------|---------------------------------|
//! | the option `requests_per_minute`         | the smallest of the open sessions'                        | the session ends                |
//! | `RateLimit-Policy: 100;w=60` in an answer | that                                                     | ten minutes after it was told   |
//! | two 429s in a row                        | nine tenths of what went through between them             | ten minutes after the later one |
//! | 429 with a pause, or `RateLimit-Remaining: 0` | nothing                                              | the pause is over, at most 120 s |
//!
//! Places are given like this: requests for tokens first (form-encoded, RFC 6749; no pause of the server's holds them, as none can do
//! without), then cancellations of jobs, then the rest, and among those the session that has had the fewest. A session that was idle has saved
//! nothing up.

use super::Client;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// A budget holds this much of itself for a burst.
const BURST: Duration = Duration::from_secs(10);
/// What was learned is forgotten after this.
const FORGET: Duration = Duration::from_secs(600);
/// The longest pause that a server can impose on all.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);
/// Fewer requests between two 429s say nothing of a budget, and none below this (a second) is learned from them.
const TELLING: u64 = 10;
const SLOWEST: f64 = 0.5;

/// Who goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    Token,
    Cancel,
    Other,
}

impl Class {
    pub(crate) fn of<B>(request: &::http::Request<B>) -> Class {
        let form = request.headers().get(::http::header::CONTENT_TYPE);
        if form.is_some_and(|form| form.as_bytes().starts_with(b"application/x-www-form-urlencoded")) {
            Class::Token
        } else if request.method() == ::http::Method::DELETE && request.uri().path().contains("/jobs/") {
            Class::Cancel
        } else {
            Class::Other
        }
    }
}

/// The budgets of an engine.
#[derive(Default)]
pub(crate) struct Paces(Mutex<HashMap<String, Arc<Pace>>>);

impl Paces {
    pub(crate) fn of(&self, origin: &str) -> Arc<Pace> {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        paces.entry(origin.to_owned()).or_default().clone()
    }
}

/// A session, as budgets know it. Its option counts as long as it is there.
pub(crate) struct Member {
    id: u64,
    paces: Arc<Paces>,
}

impl Member {
    pub(crate) fn new(paces: Arc<Paces>) -> Arc<Member> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Member { id: NEXT.fetch_add(1, Ordering::Relaxed), paces })
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let paces = self.paces.0.lock().unwrap_or_else(PoisonError::into_inner);
        for pace in paces.values() {
            let mut state = pace.lock();
            state.given.remove(&self.id);
            state.served.remove(&self.id);
            drop(state);
            pace.moved.notify_waiters();
        }
    }
}

impl Client {
    /// From now on this session asks no more of an origin than that; zero: no limit of its own.
    pub(crate) fn limit(&self, origin: &str, per_minute: u32) {
        if per_minute > 0 {
            self.member.paces.of(origin).lock().given.insert(self.member.id, per_minute);
        }
    }

    /// Waits for a place. How long it took.
    pub(super) async fn await_place(&self, origin: &str, class: Class) -> (Arc<Pace>, Duration) {
        let pace = self.member.paces.of(origin);
        let asked = Instant::now();
        let waited = if pace.enter(self.member.id, class).await { asked.elapsed() } else { Duration::ZERO };
        (pace, waited)
    }
}

/// The budget of one origin.
#[derive(Default)]
pub(crate) struct Pace {
    state: Mutex<State>,
    moved: Notify,
}

/// Somebody who waits.
#[derive(Clone, Copy)]
struct Waiting {
    ticket: u64,
    session: u64,
    class: Class,
}

#[derive(Default)]
struct State {
    given: HashMap<u64, u32>,
    /// A second, and until when it is believed.
    told: Option<(f64, Instant)>,
    learned: Option<(f64, Instant)>,
    closed: Option<Instant>,
    /// The last 429, and what was sent since.
    refused: Option<(Instant, u64)>,
    /// May be below zero: what went through while there was no budget is not counted.
    tokens: f64,
    filled: Option<Instant>,
    /// Of sessions: how many places they have had, counted so that one who comes back is level with the others.
    served: HashMap<u64, u64>,
    queue: VecDeque<Waiting>,
    tickets: u64,
}

impl State {
    /// Requests a second; none: no limit.
    fn rate(&self, now: Instant) -> Option<f64> {
        let given = self.given.values().min().map(|minute| f64::from(*minute) / 60.0);
        let believed =
            |learned: Option<(f64, Instant)>| learned.filter(|(_, until)| now < *until).map(|(rate, _)| rate);
        [given, believed(self.told), believed(self.learned)].into_iter().flatten().min_by(f64::total_cmp)
    }

    /// Whose turn it is.
    fn first(&self, closed: bool) -> Option<Waiting> {
        let allowed = self.queue.iter().filter(|waiting| !closed || waiting.class == Class::Token);
        let rank = |waiting: &&Waiting| {
            let served = self.served.get(&waiting.session).copied().unwrap_or_default();
            (waiting.class, if waiting.class == Class::Other { served } else { 0 }, waiting.ticket)
        };
        allowed.min_by_key(rank).copied()
    }

    /// Takes the place, if it is this one's turn and there is one; else how long it is worth to wait.
    fn take(&mut self, ticket: u64, now: Instant) -> Result<(), Duration> {
        let open_in = self.closed.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
        match self.first(!open_in.is_zero()) {
            Some(first) if first.ticket == ticket => {}
            // Whoever is before this one says when it has gone.
            _ => return Err(if open_in.is_zero() { BURST } else { open_in }),
        }
        if let Some(rate) = self.rate(now) {
            let capacity = (rate * BURST.as_secs_f64()).max(1.0);
            let passed = self.filled.map_or(BURST, |filled| now.saturating_duration_since(filled));
            self.tokens = (self.tokens + passed.as_secs_f64() * rate).min(capacity);
            self.filled = Some(now);
            if self.tokens < 1.0 {
                return Err(Duration::from_secs_f64((1.0 - self.tokens) / rate));
            }
            self.tokens -= 1.0;
        }
        if let Some((_, since)) = &mut self.refused {
            *since += 1;
        }
        self.leave(ticket);
        Ok(())
    }

    fn join(&mut self, session: u64, class: Class) -> u64 {
        self.tickets += 1;
        let waits = |id: u64| self.queue.iter().any(|waiting| waiting.session == id);
        let level = self.served.iter().filter(|(id, _)| waits(**id)).map(|(_, served)| *served).min();
        let served = self.served.entry(session).or_default();
        *served = (*served).max(level.unwrap_or_default());
        self.queue.push_back(Waiting { ticket: self.tickets, session, class });
        self.tickets
    }

    /// It goes on, and has had its place.
    fn leave(&mut self, ticket: u64) {
        if let Some(at) = self.queue.iter().position(|waiting| waiting.ticket == ticket) {
            let gone = self.queue.remove(at);
            if let Some(served) = gone.and_then(|gone| self.served.get_mut(&gone.session)) {
                *served += 1;
            }
        }
    }

    fn hear(&mut self, status: u16, told: &Told, now: Instant) {
        if let Some(rate) = told.rate {
            self.told = Some((rate, now + FORGET));
        }
        let pause = told.pause.map(|pause| pause.min(LONGEST_PAUSE));
        if status == 429 {
            // Of those that were under way together only the first says something.
            let known = self.closed.is_some_and(|until| now < until);
            if !known {
                if let Some((at, sent)) = self.refused.filter(|(_, sent)| *sent >= TELLING) {
                    let between = now.saturating_duration_since(at).as_secs_f64().max(0.001);
                    let rate = (sent as f64 / between * 0.9).max(SLOWEST);
                    self.learned = Some((rate, now + FORGET));
                    self.tokens = 0.0;
                }
                self.refused = Some((now, 0));
                self.closed = pause.map(|pause| now + pause);
            }
        } else if told.remaining == Some(0) && self.closed.is_none_or(|until| until <= now) {
            self.closed = pause.map(|pause| now + pause);
        }
    }
}

/// Leaves the queue, also where the wait is given up.
struct Place<'a> {
    pace: &'a Pace,
    ticket: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.pace.lock();
        state.queue.retain(|waiting| waiting.ticket != self.ticket);
        let others = !state.queue.is_empty();
        drop(state);
        if others {
            self.pace.moved.notify_waiters();
        }
    }
}

impl Pace {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when it may be sent. Did it have to wait?
    async fn enter(&self, session: u64, class: Class) -> bool {
        let ticket = self.lock().join(session, class);
        let place = Place { pace: self, ticket };
        let mut waited = false;
        loop {
            // Before the look, so that what moves between the look and the wait is not missed.
            let moved = self.moved.notified();
            let Err(pause) = self.lock().take(place.ticket, Instant::now()) else { return waited };
            waited = true;
            let _ = tokio::time::timeout(pause, moved).await;
        }
    }

    /// Learns from an answer's head.
    pub(crate) fn hear(&self, status: u16, headers: &::http::HeaderMap) {
        let told = Told::read(headers, SystemTime::now());
        if status == 429 || told.rate.is_some() || told.remaining.is_some() {
            self.lock().hear(status, &told, Instant::now());
        }
    }
}

/// What an answer says of the server's budget.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Told {
    /// A second.
    rate: Option<f64>,
    remaining: Option<u64>,
    pause: Option<Duration>,
}

impl Told {
    /// Retry-After (RFC 9110 section 10.2.3), and the RateLimit headers of the IETF's httpapi group in the forms that gateways use.
    fn read(headers: &::http::HeaderMap, now: SystemTime) -> Told {
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let either = |plain: &str, old: &str| header(plain).or_else(|| header(old));
        let date = |text: &str| httpdate::parse_http_date(text).ok();
        let now = header("date").and_then(date).unwrap_or(now);
        let seconds = |text: &str| text.parse().ok().filter(|s| *s < 1_000_000_000).map(Duration::from_secs);
        let pause = match header("retry-after") {
            Some(text) => seconds(text).or_else(|| Some(date(text)?.duration_since(now).unwrap_or_default())),
            None => either("ratelimit-reset", "x-ratelimit-reset")
                .or_else(|| header("ratelimit").and_then(|text| parameter(text, &["t", "reset"])))
                .and_then(seconds),
        };
        let remaining = either("ratelimit-remaining", "x-ratelimit-remaining")
            .or_else(|| header("ratelimit").and_then(|text| parameter(text, &["r", "remaining"])));
        // `100;w=60`, and as of draft 8 `"default";q=100;w=60`.
        let policy = header("ratelimit-policy").and_then(|text| text.split(',').next());
        let rate = policy.and_then(|policy| {
            let quota = parameter(policy, &["q"]).or_else(|| policy.split(';').next());
            let (quota, window): (f64, f64) = (quota?.trim().parse().ok()?, parameter(policy, &["w"])?.parse().ok()?);
            Some(quota / window).filter(|rate| rate.is_finite() && *rate > 0.0)
        });
        Told { rate, remaining: remaining.and_then(|text| text.parse().ok()), pause }
    }
}

/// The value of the first parameter with one of these names.
fn parameter<'a>(text: &'a str, names: &[&str]) -> Option<&'a str> {
    text.split([';', ',']).find_map(|part| {
        let (name, value) = part.trim().split_once('=')?;
        names.contains(&name).then_some(value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> ::http::HeaderMap {
        pairs.iter().map(|(name, value)| (::http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn headers_are_read_in_all_their_forms() {
        let now = httpdate::parse_http_date("Tue, 24 Nov 2026 10:00:00 GMT").unwrap();
        let pause = |pairs: &[_]| Told::read(&headers(pairs), now).pause;
        assert_eq!(pause(&[("retry-after", "7")]), Some(Duration::from_secs(7)));
        assert_eq!(pause(&[("retry-after", "Tue, 24 Nov 2026 10:00:07 GMT")]), Some(Duration::from_secs(7)));
        let skewed = [("retry-after", "Tue, 24 Nov 2026 11:00:07 GMT"), ("date", "Tue, 24 Nov 2026 11:00:00 GMT")];
        assert_eq!(pause(&skewed), Some(Duration::from_secs(7)));
        assert_eq!(pause(&[("ratelimit-reset", "9")]), Some(Duration::from_secs(9)));
        assert_eq!(pause(&[("ratelimit", "\"default\";r=0;t=9")]), Some(Duration::from_secs(9)));
        assert_eq!(pause(&[("retry-after", "soon")]), None);
        for policy in ["100;w=50", "\"default\";q=100;w=50", "100;w=50, 5000;w=3600"] {
            assert_eq!(Told::read(&headers(&[("ratelimit-policy", policy)]), now).rate, Some(2.0), "{policy}");
        }
        for policy in ["100", "100;w=0", "x;w=9", "0;w=60"] {
            assert_eq!(Told::read(&headers(&[("ratelimit-policy", policy)]), now).rate, None, "{policy}");
        }
        assert_eq!(Told::read(&headers(&[("ratelimit", "limit=9, remaining=0, reset=4")]), now).remaining, Some(0));
    }

    /// All that are let through at once.
    fn take_all(state: &mut State, now: Instant) -> Vec<(u64, Class)> {
        let mut taken = Vec::new();
        loop {
            let closed = state.closed.is_some_and(|until| now < until);
            let Some(first) = state.first(closed) else { return taken };
            if state.take(first.ticket, now).is_err() {
                return taken;
            }
            taken.push((first.session, first.class));
        }
    }

    #[test]
    fn sessions_take_turns_and_what_is_urgent_goes_first() {
        let (mut state, now) = (State::default(), Instant::now());
        state.given.insert(1, 60);
        for _ in 0..100 {
            state.join(1, Class::Other);
        }
        for _ in 0..4 {
            state.join(2, Class::Other);
        }
        state.join(1, Class::Cancel);
        state.join(2, Class::Token);
        let taken = take_all(&mut state, now);
        assert_eq!(taken.len(), 10, "a burst of ten seconds");
        assert_eq!(taken[..2], [(2, Class::Token), (1, Class::Cancel)]);
        assert_eq!(taken.iter().filter(|(session, class)| *session == 2 && *class == Class::Other).count(), 4);
        let later = take_all(&mut state, now + Duration::from_secs(3));
        assert_eq!(later.len(), 3, "then one a second");
        // One who comes late is not let in before all others for what it did not ask for.
        for _ in 0..10 {
            state.join(3, Class::Other);
        }
        let mixed = take_all(&mut state, now + Duration::from_secs(9));
        assert_eq!(mixed.iter().filter(|(session, _)| *session == 3).count(), 3, "{mixed:?}");
    }

    #[test]
    fn the_smallest_budget_counts_while_its_session_is_there() {
        let (mut state, now) = (State::default(), Instant::now());
        assert_eq!(state.rate(now), None);
        state.given.extend([(1, 600), (2, 60)]);
        assert_eq!(state.rate(now), Some(1.0));
        state.given.remove(&2);
        assert_eq!(state.rate(now), Some(10.0));
    }

    #[test]
    fn a_budget_is_learned_from_what_goes_through_between_two_refusals() {
        let (mut state, start) = (State::default(), Instant::now());
        let refused = Told { pause: Some(Duration::from_secs(60)), ..Told::default() };
        state.hear(429, &refused, start);
        assert_eq!(state.rate(start), None, "one says nothing yet");
        for _ in 0..200 {
            state.join(1, Class::Other);
        }
        assert!(take_all(&mut state, start + Duration::from_secs(59)).is_empty(), "all wait");
        state.join(2, Class::Token);
        assert_eq!(take_all(&mut state, start + Duration::from_secs(59)).len(), 1, "but for a token");
        let open = start + Duration::from_secs(60);
        assert_eq!(take_all(&mut state, open).len(), 200);
        state.refused = Some((start, 100));
        state.hear(429, &refused, open);
        state.hear(429, &refused, open);
        assert_eq!(state.rate(open), Some(1.5), "nine tenths of 100 a minute");
        assert_eq!(state.rate(open + FORGET), None);
        // Some random refusals of a server that has no budget slow nobody down.
        let mut state = State::default();
        state.hear(429, &Told::default(), start);
        state.refused = Some((start, 3));
        state.hear(429, &Told::default(), open);
        assert_eq!(state.rate(open), None);
    }

    #[test]
    fn a_used_up_budget_is_respected_before_it_is_refused() {
        let (mut state, now) = (State::default(), Instant::now());
        let told = Told { remaining: Some(0), pause: Some(Duration::from_secs(5)), rate: Some(2.0) };
        state.hear(200, &told, now);
        let ticket = state.join(1, Class::Other);
        assert_eq!(state.take(ticket, now), Err(Duration::from_secs(5)));
        assert_eq!(state.rate(now), Some(2.0));
        assert_eq!(state.take(ticket, now + Duration::from_secs(5)), Ok(()));
    }

    #[tokio::test]
    async fn who_gives_up_blocks_nobody() {
        let pace = Pace::default();
        pace.lock().given.insert(1, 60);
        for _ in 0..10 {
            assert!(!pace.enter(1, Class::Other).await);
        }
        let given_up = tokio::time::timeout(Duration::from_millis(10), pace.enter(1, Class::Other)).await;
        assert!(given_up.is_err() && pace.lock().queue.is_empty());
        assert!(pace.enter(1, Class::Other).await, "it waited, and went");
    }
}
