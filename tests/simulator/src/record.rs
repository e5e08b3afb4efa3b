//! What was asked of the server: for tests that count requests and connections.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// One request that the server saw, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestRecord {
    /// The method, such as `GET`.
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent, without the question mark.
    pub query: Option<String>,
    /// The answer's status; 0 while it is under way, and when it was never answered. An answer that a planted
    /// [`DropAfter`](crate::FaultKind::DropAfter) lost keeps its status.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// Which connection it came on, counted from 1.
    pub connection: u64,
    /// How long the answer took.
    pub elapsed: Duration,
}

#[derive(Default)]
pub(crate) struct Recorder {
    requests: Mutex<(u64, Vec<RequestRecord>)>,
    connections: AtomicU64,
}

/// A request under way.
pub(crate) struct Ticket {
    epoch: u64,
    index: usize,
    start: Instant,
}

impl Recorder {
    pub(crate) fn connected(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub(crate) fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    pub(crate) fn arrived(&self, method: &str, path: &str, query: Option<&str>, connection: u64) -> Ticket {
        let mut requests = crate::lock(&self.requests);
        let index = requests.1.len();
        requests.1.push(RequestRecord {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.map(str::to_owned),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            connection,
            elapsed: Duration::ZERO,
        });
        Ticket { epoch: requests.0, index, start: Instant::now() }
    }

    fn change(&self, ticket: &Ticket, change: impl FnOnce(&mut RequestRecord)) {
        let mut requests = crate::lock(&self.requests);
        if requests.0 == ticket.epoch
            && let Some(record) = requests.1.get_mut(ticket.index)
        {
            change(record);
        }
    }

    pub(crate) fn received(&self, ticket: &Ticket, bytes: u64) {
        self.change(ticket, |record| record.bytes_in = bytes);
    }

    pub(crate) fn answered(&self, ticket: &Ticket, status: u16, bytes: u64) {
        self.change(ticket, |record| {
            record.status = status;
            record.bytes_out = bytes;
            record.elapsed = ticket.start.elapsed();
        });
    }

    pub(crate) fn all(&self) -> Vec<RequestRecord> {
        crate::lock(&self.requests).1.clone()
    }

    pub(crate) fn clear(&self) {
        let mut requests = crate::lock(&self.requests);
        requests.0 += 1;
        requests.1.clear();
    }
}
