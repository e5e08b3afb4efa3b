//! Reports of progress on their way to whoever asked for them: no more than they can take, whatever a plugin does.

use crate::bindings::aiida::hpc::progress::{Answer, Status};
use crate::limits::shorten;
use std::time::Instant;

/// Is told how a transfer goes; answers whether it may go on.
pub(crate) type Progress = Box<dyn FnMut(&Status) -> Answer + Send>;

/// Reports at once, and a second.
const BURST: f64 = 20.0;

/// A bucket of reports that fills again with time.
pub(crate) struct Reports {
    callback: Option<Progress>,
    allowed: f64,
    since: Instant,
    latest: Answer,
}

impl Default for Reports {
    fn default() -> Reports {
        Reports { callback: None, allowed: BURST, since: Instant::now(), latest: Answer::Proceed }
    }
}

impl Reports {
    /// Who is told from now on.
    pub(crate) fn tell(&mut self, callback: Progress) {
        self.callback = Some(callback);
    }

    /// Another call begins: what was answered in the last one does not count.
    pub(crate) fn begin(&mut self) {
        self.latest = Answer::Proceed;
    }

    /// A plugin that keeps to the contract's ten a second is always heard; of others some reports are not, and "stop" stays.
    pub(crate) fn report(&mut self, mut status: Status, now: Instant) -> Answer {
        let Some(callback) = &mut self.callback else {
            return Answer::Proceed;
        };
        self.allowed = (self.allowed + now.duration_since(self.since).as_secs_f64() * BURST).min(BURST);
        self.since = now;
        if self.allowed >= 1.0 {
            self.allowed -= 1.0;
            shorten(&mut status.operation);
            shorten(&mut status.path);
            self.latest = callback(&status);
        }
        self.latest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    #[test]
    fn a_flood_is_thinned_and_stop_is_not_lost() {
        let told = Arc::new(AtomicUsize::new(0));
        let mut reports = Reports::default();
        let counter = told.clone();
        reports.tell(Box::new(move |_| {
            if counter.fetch_add(1, Ordering::Relaxed) == 19 { Answer::Stop } else { Answer::Proceed }
        }));
        let status = || Status {
            operation: "put".into(),
            path: "/x".into(),
            bytes_done: 0,
            bytes_total: None,
            files_done: 0,
            files_total: None,
        };
        let now = Instant::now();
        for _ in 0..1000 {
            reports.report(status(), now);
        }
        assert_eq!(told.load(Ordering::Relaxed), 20);
        assert_eq!(reports.report(status(), now), Answer::Stop);
        reports.begin();
        assert_eq!(reports.report(status(), now), Answer::Proceed);
        let mut later = now;
        for _ in 0..50 {
            later += Duration::from_millis(100);
            reports.report(status(), later);
        }
        assert_eq!(told.load(Ordering::Relaxed), 70, "ten a second are all heard");
    }
}
