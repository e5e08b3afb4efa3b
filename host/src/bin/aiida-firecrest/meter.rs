//! How transfers go: one bar over all calls of a command, and the way by which Ctrl-C reaches the plugin.

use crate::context::Stop;
use crate::output::{Failure, shown};
use aiida_firecrest_host::Session;
use aiida_firecrest_host::progress::{Answer, Status};
use indicatif::{HumanDuration, ProgressBar, ProgressState, ProgressStyle};
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

const KNOWN: &str = "{msg} {wide_bar} {decimal_bytes}/{decimal_total_bytes}{prefix} {decimal_bytes_per_sec}{left}";
const UNKNOWN: &str = "{spinner} {msg} {decimal_bytes}{prefix} {decimal_bytes_per_sec}";
/// Before the first byte, and for what moves none.
const WAITING: &str = "{spinner} {msg} {elapsed}";
/// Of a path its end is shown, in as many characters.
const WIDTH: usize = 40;

/// What is said to take longer is not known yet.
const LONGEST: Duration = Duration::from_secs(100 * 3600);

/// A clone is the same meter.
#[derive(Clone)]
pub(crate) struct Meter {
    bar: ProgressBar,
    stop: Stop,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Told by who called, for all calls together.
    bytes_total: Option<u64>,
    files_total: Option<u64>,
    /// Of calls that have ended.
    bytes: u64,
    files: u64,
    /// Of calls that run: bytes, files, and the bytes that the plugin expects.
    running: HashMap<usize, (u64, u64, Option<u64>)>,
    template: &'static str,
}

impl Meter {
    pub(crate) fn new(visible: bool, stop: Stop, bytes_total: Option<u64>, files_total: Option<u64>) -> Meter {
        let bar = if visible { ProgressBar::no_length() } else { ProgressBar::hidden() };
        bar.set_style(style(WAITING));
        if visible {
            // Time left goes on while one large request runs.
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let state = State { bytes_total, files_total, template: WAITING, ..State::default() };
        Meter { bar, stop, state: Arc::new(Mutex::new(state)) }
    }

    /// Follows the calls of a session, as number `slot` of those that run at once.
    pub(crate) fn follow(&self, session: &mut Session, slot: usize) -> Result<(), Failure> {
        let meter = self.clone();
        Ok(session.on_progress(move |status: &Status| {
            meter.stop.listen();
            meter.show(slot, status);
            if meter.stop.is_asked() { Answer::Stop } else { Answer::Proceed }
        })?)
    }

    fn show(&self, slot: usize, status: &Status) {
        if self.bar.is_hidden() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.insert(slot, (status.bytes_done, status.files_done, status.bytes_total));
        let path = shown(&status.path);
        let cut = path.char_indices().rev().nth(WIDTH - 1).map_or(0, |(at, _)| at);
        self.bar.set_message(format!("{} {}", status.operation, &path[cut..]));
        state.draw(&self.bar, status.files_total);
    }

    /// A call has ended, and moved so much.
    pub(crate) fn ended(&self, slot: usize, bytes: u64, files: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running.remove(&slot);
        state.bytes += bytes;
        state.files += files;
        state.draw(&self.bar, None);
    }

    /// [`Failure::Cancelled`] after Ctrl-C.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        self.stop.check()
    }

    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

impl State {
    fn draw(&mut self, bar: &ProgressBar, files_expected: Option<u64>) {
        let bytes = self.bytes + self.running.values().map(|(bytes, _, _)| bytes).sum::<u64>();
        let files = self.files + self.running.values().map(|(_, files, _)| files).sum::<u64>();
        let expected = match self.running.values().next() {
            Some((_, _, Some(total))) if self.running.len() == 1 => Some(self.bytes + total),
            _ => None,
        };
        let total = self.bytes_total.or(expected);
        let template = match total {
            Some(_) => KNOWN,
            None if bytes == 0 && files == 0 => WAITING,
            None => UNKNOWN,
        };
        if template != self.template {
            self.template = template;
            bar.set_style(style(template));
        }
        if let Some(total) = total {
            bar.set_length(total.max(bytes));
        }
        bar.set_position(bytes);
        bar.set_prefix(match self.files_total.or(files_expected.map(|more| self.files + more)) {
            Some(1) => String::new(),
            Some(total) => format!(" {files}/{total} files"),
            None if files == 0 => String::new(),
            None => format!(" {files} files"),
        });
    }
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    style.with_key("left", |state: &ProgressState, text: &mut dyn Write| {
        // Before the first bytes it would be years.
        let left = state.eta();
        if state.pos() > 0 && !left.is_zero() && left < LONGEST {
            let _ = write!(text, ", {} left", HumanDuration(left));
        }
    })
}
