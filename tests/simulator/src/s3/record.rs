//! What was asked of the object store.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// One request that the object store saw, in order of arrival.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct S3RequestRecord {
    /// The method, such as `PUT`.
    pub method: String,
    /// The bucket: the user's name.
    pub bucket: String,
    /// The object's key, decoded: a UUID, a slash, a file name.
    pub key: String,
    /// The part's number, where it is about a part.
    pub part: Option<u32>,
    /// The range asked for, such as `bytes=0-99`.
    pub range: Option<String>,
    /// Whether a transfer job asked, and not a client.
    pub from_job: bool,
    /// The answer's status; 0 while it is under way, and when it was never answered.
    pub status: u16,
    /// Bytes of the request's body that were read.
    pub bytes_in: u64,
    /// Bytes of the answer's body that were sent.
    pub bytes_out: u64,
    /// Which connection to the store it came on, counted from 1.
    pub connection: u64,
    /// From the request's arrival to the end of its answer.
    pub elapsed: Duration,
}

#[derive(Default)]
pub(crate) struct Recorder(Mutex<Vec<Arc<Mutex<S3RequestRecord>>>>);

/// A request under way.
#[derive(Clone)]
pub(super) struct Ticket {
    record: Arc<Mutex<S3RequestRecord>>,
    start: Instant,
}

impl Recorder {
    pub(super) fn arrived(&self, record: S3RequestRecord) -> Ticket {
        let record = Arc::new(Mutex::new(record));
        crate::lock(&self.0).push(record.clone());
        Ticket { record, start: Instant::now() }
    }

    pub(crate) fn all(&self) -> Vec<S3RequestRecord> {
        crate::lock(&self.0).iter().map(|record| crate::lock(record).clone()).collect()
    }

    pub(crate) fn clear(&self) {
        crate::lock(&self.0).clear();
    }
}

impl Ticket {
    pub(super) fn received(&self, bytes: u64) {
        crate::lock(&self.record).bytes_in += bytes;
    }

    pub(super) fn answered(&self, status: u16) {
        let mut record = crate::lock(&self.record);
        record.status = status;
        record.elapsed = self.start.elapsed();
    }

    pub(super) fn sent(&self, bytes: u64) {
        let mut record = crate::lock(&self.record);
        record.bytes_out += bytes;
        record.elapsed = self.start.elapsed();
    }
}
