//! One exported call as the host sees it: how far it is, and whether it shall stop.
//!
//! The host is told at most ten times a second, by whoever moves bytes and, while nothing moves, by a ticker beside the call; so a stop is
//! heard within a tenth of a second whatever the call waits for. It then ends every wait on the network with an error, and the
//! call's own way of cleaning up after errors does the rest, under a shield that lets its requests through.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use event_listener::Event;

use crate::error::{Error, Kind, Result};

/// Between two reports.
pub const EVERY: Duration = Duration::from_millis(100);

/// Where a call stands. See the WIT record `progress.status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Progress {
    pub operation: &'static str,
    pub path: String,
    pub bytes_done: u64,
    pub bytes_total: Option<u64>,
    pub files_done: u64,
    pub files_total: Option<u64>,
}

/// Who is told, and by which clock. False: stop.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Listener {
    pub tell: fn(&Progress) -> bool,
    pub now: fn() -> Duration,
}

/// The call that is under way: a component of WASI 0.2 serves one at a time.
#[derive(Default)]
pub struct Watch {
    progress: RefCell<Progress>,
    listener: Cell<Option<Listener>>,
    told: Cell<Duration>,
    stopped: Cell<bool>,
    shielded: Cell<bool>,
    stop: Event,
}

impl Watch {
    /// A call begins. What came before is forgotten.
    pub fn begin(&self, operation: &'static str, path: &str, listener: Listener) {
        self.progress.replace(Progress { operation, path: path.to_owned(), ..Progress::default() });
        self.listener.set(Some(listener));
        self.stopped.set(false);
        self.tell();
    }

    /// The call has ended: the host hears where it stood.
    pub fn end(&self) {
        // Whatever the answer is, there is nothing left to stop.
        self.tell();
        self.listener.set(None);
        self.stopped.set(false);
    }

    /// More is to be moved than was known.
    pub fn expect(&self, bytes: u64, files: u64) {
        let mut progress = self.progress.borrow_mut();
        progress.bytes_total = Some(progress.bytes_total.unwrap_or(0) + bytes);
        progress.files_total = Some(progress.files_total.unwrap_or(0) + files);
    }

    /// Bytes have been moved.
    pub fn moved(&self, bytes: u64) {
        self.progress.borrow_mut().bytes_done += bytes;
        self.tick();
    }

    /// Bytes that were moved were lost, and will be moved again.
    pub fn lost(&self, bytes: u64) {
        let mut progress = self.progress.borrow_mut();
        progress.bytes_done = progress.bytes_done.saturating_sub(bytes);
    }

    /// Files have arrived.
    pub fn arrived(&self, files: u64) {
        self.progress.borrow_mut().files_done += files;
    }

    /// Tells the host, if it is time.
    pub fn tick(&self) {
        if let Some(listener) = self.listener.get()
            && (listener.now)().saturating_sub(self.told.get()) >= EVERY
        {
            self.tell();
        }
    }

    fn tell(&self) {
        let Some(listener) = self.listener.get() else { return };
        self.told.set((listener.now)());
        let progress = self.progress.borrow().clone();
        if !(listener.tell)(&progress) && !self.stopped.replace(true) {
            self.stop.notify(usize::MAX);
        }
    }

    /// Has the host said stop? Not to a shielded future.
    pub fn is_stopped(&self) -> bool {
        self.stopped.get() && !self.shielded.get()
    }

    /// Tells the host if it is time; the error of a call that was stopped. For work that waits for nothing.
    pub fn check(&self) -> Result<()> {
        self.tick();
        if self.is_stopped() { Err(self.error()) } else { Ok(()) }
    }

    /// The error of a call that was stopped.
    pub fn error(&self) -> Error {
        let progress = self.progress.borrow();
        let message = format!("{} of {} was stopped by the host", progress.operation, progress.path);
        Error::new(Kind::Cancelled, message).about(progress.path.as_str())
    }

    /// Resolves when the host says stop.
    pub async fn stopped(&self) {
        loop {
            let heard = self.stop.listen();
            if self.is_stopped() {
                return;
            }
            heard.await;
        }
    }

    /// Runs what has to be done although the host said stop: the cleaning up.
    pub fn shielded<F: Future>(self: &Rc<Self>, future: F) -> impl Future<Output = F::Output> {
        let watch = Rc::clone(self);
        async move {
            let mut future = pin!(future);
            std::future::poll_fn(|context| watch.under_shield(future.as_mut(), context)).await
        }
    }

    fn under_shield<F: Future>(&self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let before = self.shielded.replace(true);
        let polled = future.poll(context);
        self.shielded.set(before);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures_util::FutureExt;

    use super::*;

    thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
        static GO_ON: Cell<bool> = const { Cell::new(true) };
        static HEARD: RefCell<Vec<(u64, Option<u64>)>> = const { RefCell::new(Vec::new()) };
    }

    const LISTENER: Listener = Listener {
        tell: |progress| {
            HEARD.with_borrow_mut(|heard| heard.push((progress.bytes_done, progress.bytes_total)));
            GO_ON.get()
        },
        now: || Duration::from_millis(NOW.get()),
    };

    fn watch() -> Rc<Watch> {
        NOW.set(1000);
        GO_ON.set(true);
        HEARD.take();
        let watch = Rc::new(Watch::default());
        watch.begin("put", "/a", LISTENER);
        watch
    }

    #[test]
    fn ten_reports_a_second_whatever_moves() {
        let watch = watch();
        watch.expect(5000, 1);
        for _ in 0..1000 {
            NOW.set(NOW.get() + 1);
            watch.moved(5);
        }
        watch.end();
        let heard = HEARD.take();
        assert_eq!((heard.len(), heard.first(), heard.last()), (12, Some(&(0, None)), Some(&(5000, Some(5000)))));
        watch.moved(1);
        assert!(HEARD.take().is_empty(), "nobody listens after the end");
    }

    #[test]
    fn a_stop_ends_what_waits_and_not_what_cleans_up() {
        let watch = watch();
        let mut waiting = Box::pin(watch.stopped());
        let mut cleaning = Box::pin(watch.shielded(watch.stopped()));
        assert!(waiting.as_mut().now_or_never().is_none());
        GO_ON.set(false);
        NOW.set(NOW.get() + 100);
        watch.tick();
        assert!(waiting.as_mut().now_or_never().is_some());
        assert!(cleaning.as_mut().now_or_never().is_none());
        assert_eq!(watch.check().unwrap_err().kind, Kind::Cancelled);
        assert!(watch.shielded(async { watch.check() }).now_or_never().unwrap().is_ok());
        watch.end();
        assert!(watch.check().is_ok());
    }
}
