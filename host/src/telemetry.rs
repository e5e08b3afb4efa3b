//! What was asked of servers: counters, sums by endpoint, and the latest requests one by one.
//!
//! A [`Telemetry`] is a shared handle: clones count together. Every session has one of its own, and the engine has one for all.
//! Nothing here holds a header, a query string or a body.

mod endpoints;

use endpoints::Endpoints;
pub use endpoints::{BOUNDS, Endpoint, Latency, Statistics};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many requests are kept one by one; of older ones only the counters stay.
pub const KEPT: usize = 1000;

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestRecord {
    /// `GET`, `POST`, …
    pub method: String,
    /// For example `https://api.example.org`.
    pub origin: String,
    /// Without the query string.
    pub path: String,
    /// None: no answer.
    pub status: Option<u16>,
    /// Why there was no answer, or why its body broke off.
    pub error: Option<String>,
    /// Bytes of the request's body.
    pub sent: u64,
    /// Bytes of the answer's body that were read.
    pub received: u64,
    /// From the sending until the answer's body was read or dropped.
    pub duration: Duration,
    /// What it waited before for its place in the budget of requests a minute.
    pub waited: Duration,
    /// It repeated an earlier one that had failed.
    pub repeat: bool,
}

/// Sums over all requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests that ended, whatever came of them. Those that the policy refused are not among them.
    pub requests: u64,
    /// Those of them that got no whole answer.
    pub failed: u64,
    /// Requests that the policy refused.
    pub refused: u64,
    /// Those of them that repeated an earlier one that had failed.
    pub repeats: u64,
    /// Those of them that waited for their place in the budget of requests a minute.
    pub waits: u64,
    /// How long those waited, together.
    pub waited: Duration,
    /// Bytes of request bodies.
    pub sent: u64,
    /// Bytes of answer bodies.
    pub received: u64,
}

/// A shared handle on counters and records.
#[derive(Clone, Debug, Default)]
pub struct Telemetry {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    counters: Counters,
    endpoints: Endpoints,
    records: VecDeque<RequestRecord>,
}

impl Telemetry {
    /// Nothing counted yet.
    #[must_use]
    pub fn new() -> Telemetry {
        Telemetry::default()
    }

    /// The sums so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// The latest requests that ended, oldest first; at most [`KEPT`].
    #[must_use]
    pub fn records(&self) -> Vec<RequestRecord> {
        self.lock().records.iter().cloned().collect()
    }

    /// The sums by endpoint.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<Endpoint, Statistics> {
        self.lock().endpoints.0.clone()
    }

    /// The sums by endpoint for people: a table with a line for each, and one for all.
    #[must_use]
    pub fn report(&self) -> String {
        let inner = self.lock();
        let sums = inner.counters;
        format!(
            "{}{} requests, {} failed, {} repeats, {} waited {:.1} s, {} bytes sent, {} received, {} refused by the policy\n",
            inner.endpoints.report(),
            sums.requests,
            sums.failed,
            sums.repeats,
            sums.waits,
            sums.waited.as_secs_f64(),
            sums.sent,
            sums.received,
            sums.refused
        )
    }

    /// The sums by endpoint for Prometheus, in its text format: what an embedder's `/metrics` can serve as it is.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let inner = self.lock();
        inner.endpoints.prometheus(inner.counters.refused)
    }

    /// `presigned`: the path holds an object's key, and is one of many.
    pub(crate) fn record(&self, record: RequestRecord, presigned: bool) {
        let mut inner = self.lock();
        inner.counters.repeats += u64::from(record.repeat);
        inner.counters.waits += u64::from(!record.waited.is_zero());
        inner.counters.waited += record.waited;
        inner.endpoints.add(&record, presigned);
        inner.counters.requests += 1;
        inner.counters.failed += u64::from(record.error.is_some());
        inner.counters.sent += record.sent;
        inner.counters.received += record.received;
        if inner.records.len() == KEPT {
            inner.records.pop_front();
        }
        inner.records.push_back(record);
    }

    pub(crate) fn refused(&self) {
        self.lock().counters.refused += 1;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves numbers, not a broken structure.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_where_records_are_dropped() {
        let telemetry = Telemetry::new();
        for number in 0..KEPT as u64 + 5 {
            telemetry.clone().record(
                RequestRecord {
                    method: "GET".into(),
                    origin: "http://a".into(),
                    path: number.to_string(),
                    status: Some(200),
                    error: (number == 0).then(|| "broken".into()),
                    sent: 1,
                    received: 2,
                    duration: Duration::ZERO,
                    waited: Duration::ZERO,
                    repeat: false,
                },
                false,
            );
        }
        let counters = telemetry.counters();
        assert_eq!((counters.requests, counters.failed, counters.sent, counters.received), (1005, 1, 1005, 2010));
        assert_eq!(telemetry.records().len(), KEPT);
        assert_eq!(telemetry.records()[0].path, "5");
    }
}
