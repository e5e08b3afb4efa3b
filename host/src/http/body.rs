//! The bodies of requests and answers: counted, and the answer's timed.

use super::LastFailure;
use super::errors::Failure;
use crate::telemetry::{RequestRecord, Telemetry};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;
use tracing::Span;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

/// How far a request has come; shared by the one who waits for the answer, the body and the connector.
#[derive(Clone)]
pub(crate) struct Attempt(Arc<AttemptState>);

struct AttemptState {
    pub(crate) connect_timeout: Duration,
    connecting: AtomicBool,
    body_sent: AtomicBool,
    sent: AtomicU64,
    progress: Mutex<Instant>,
}

impl Attempt {
    pub(crate) fn new(connect_timeout: Duration) -> Attempt {
        Attempt(Arc::new(AttemptState {
            connect_timeout,
            connecting: AtomicBool::new(false),
            body_sent: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            progress: Mutex::new(Instant::now()),
        }))
    }

    pub(crate) fn connect_timeout(&self) -> Duration {
        self.0.connect_timeout
    }

    /// While a connection is being made, its own limit counts.
    pub(crate) fn connecting(&self, yes: bool) {
        self.0.connecting.store(yes, Ordering::Relaxed);
        self.progress();
    }

    pub(crate) fn last_progress(&self) -> Instant {
        if self.0.connecting.load(Ordering::Relaxed) {
            return Instant::now();
        }
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn body_sent(&self) -> bool {
        self.0.body_sent.load(Ordering::Relaxed)
    }

    fn sent(&self) -> u64 {
        self.0.sent.load(Ordering::Relaxed)
    }

    fn progress(&self) {
        *self.0.progress.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// A request's body on its way out.
pub(crate) struct OutgoingBody {
    inner: WasiBody,
    /// As the request's header says; hyper does not ask again after that many bytes.
    length: Option<u64>,
    attempt: Attempt,
}

impl OutgoingBody {
    pub(crate) fn new(inner: WasiBody, length: Option<u64>, attempt: Attempt) -> OutgoingBody {
        let body = OutgoingBody { inner, length, attempt };
        body.note_end();
        body
    }

    fn note_end(&self) {
        let whole = self.length.is_some_and(|length| self.attempt.sent() >= length);
        if whole || self.inner.is_end_stream() {
            self.attempt.0.body_sent.store(true, Ordering::Relaxed);
        }
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(context));
        self.attempt.progress();
        if let Some(Ok(frame)) = &frame {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.attempt.0.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        self.note_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The header by which a plugin says that a request repeats an earlier one, and which try it is.
pub(crate) const REPEAT: &str = "x-attempt";

/// A request that has not ended; it is recorded when it does, however it does.
pub(crate) struct Pending {
    telemetry: Vec<Telemetry>,
    span: Span,
    method: String,
    origin: String,
    path: String,
    presigned: bool,
    repeat: bool,
    waited: Duration,
    started: Instant,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) status: Option<u16>,
    received: u64,
    done: bool,
    _open: Arc<()>,
}

/// What is told of a request.
pub(crate) struct About {
    pub(crate) method: String,
    pub(crate) origin: String,
    pub(crate) path: String,
    pub(crate) presigned: bool,
    pub(crate) repeat: bool,
}

impl Pending {
    pub(crate) fn new(about: About, telemetry: Vec<Telemetry>, span: Span, open: Arc<()>) -> Pending {
        Pending {
            telemetry,
            span,
            method: about.method,
            origin: about.origin,
            path: about.path,
            presigned: about.presigned,
            repeat: about.repeat,
            waited: Duration::ZERO,
            started: Instant::now(),
            attempt: None,
            status: None,
            received: 0,
            done: false,
            _open: open,
        }
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// It is sent, after it has waited for its place.
    pub(crate) fn begin(&mut self, waited: Duration) {
        self.waited = waited;
        self.started = Instant::now();
    }

    pub(crate) fn finish(&mut self, error: Option<String>) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let record = RequestRecord {
            method: std::mem::take(&mut self.method),
            origin: std::mem::take(&mut self.origin),
            path: std::mem::take(&mut self.path),
            status: self.status,
            error,
            sent: self.attempt.as_ref().map_or(0, Attempt::sent),
            received: self.received,
            duration: self.started.elapsed(),
            waited: self.waited,
            repeat: self.repeat,
        };
        let milliseconds = (record.duration.as_secs_f64() * 1e4).round() / 10.0;
        self.span.in_scope(|| match (&record.error, record.status) {
            (None, Some(status)) => {
                tracing::debug!(status, sent = record.sent, received = record.received, milliseconds, "answered")
            }
            (error, _) => tracing::debug!(
                error = error.as_deref(),
                sent = record.sent,
                received = record.received,
                milliseconds,
                "failed"
            ),
        });
        for telemetry in &self.telemetry {
            telemetry.record(record.clone(), self.presigned);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // An answer whose body nobody wanted to read is an answer all the same.
        let error = self.status.is_none().then(|| "cancelled".to_owned());
        self.finish(error);
    }
}

/// An answer's body.
pub(crate) struct TimedBody {
    inner: Incoming,
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    pending: Pending,
    last_failure: LastFailure,
}

impl TimedBody {
    pub(crate) fn new(inner: Incoming, limit: Duration, pending: Pending) -> TimedBody {
        TimedBody { inner, limit, timer: None, pending, last_failure: LastFailure::default() }
    }

    pub(crate) fn with_failures(mut self, last_failure: LastFailure) -> TimedBody {
        self.last_failure = last_failure;
        self
    }

    fn fail(&mut self, failure: Failure) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.last_failure.set(Some(format!("{}: {}", self.pending.origin, failure.text)));
        self.pending.finish(Some(failure.text));
        Poll::Ready(Some(Err(failure.code)))
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match Pin::new(&mut self.inner).poll_frame(context) {
            Poll::Ready(frame) => {
                self.timer = None;
                match frame {
                    Some(Ok(frame)) => {
                        self.pending.received += frame.data_ref().map_or(0, Bytes::len) as u64;
                        Poll::Ready(Some(Ok(frame)))
                    }
                    Some(Err(error)) => self.fail(Failure::of_body(&error)),
                    None => {
                        self.pending.finish(None);
                        Poll::Ready(None)
                    }
                }
            }
            Poll::Pending => {
                // Armed only while somebody waits: a plugin may take its time between two reads.
                let limit = self.limit;
                let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
                std::task::ready!(timer.as_mut().poll(context));
                self.fail(Failure::silent(limit))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
