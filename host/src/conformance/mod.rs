//! The conformance kit: every promise of the contract in `wit/`, tried on a plugin and a server.
//!
//! Each behaviour is one small function that speaks through a [`Session`](crate::Session) alone and knows no plugin and no server; [`behaviours`]
//! lists them all. [`run`] makes a fresh folder on the cluster and one on this machine, gives each behaviour a folder of its own in
//! both, and removes them with every job that is still there, however the run ends.
//!
//! | verdict       | means                                                                                            |
//! |---------------|--------------------------------------------------------------------------------------------------|
//! | `pass`        | the promise was kept                                                                             |
//! | `fail`        | it was not; the [`Evidence`] says what was done, expected and seen, and with which requests      |
//! | `unsupported` | the plugin answers `unsupported`, or the system has not what the behaviour is about               |
//! | `undecided`   | the queue did not get to the job in time, or the run was stopped                                 |
//!
//! **Queues.** What may need a job runs at the same time, each behaviour in a session of its own: one wait in the queue serves
//! all. **Eventual consistency.** What a change left is looked at again until it is as it should be, for [`Settings::settle`] at
//! most. **Passing troubles** (`unavailable`, `rate-limited`, `timeout`): the behaviour is tried once more, in another folder.
//!
//! ```no_run
//! use aiida_firecrest_host::conformance::{self, Settings};
//! use aiida_firecrest_host::{CodeCache, Engine, Options, Plugin, Policy};
//!
//! # async fn example() -> aiida_firecrest_host::Result<()> {
//! let plugin = Plugin::from_file(&Engine::new(&CodeCache::User)?, "mine.wasm")?;
//! let options = Options::from_file("mine.json")?;
//! let report = conformance::run(&plugin, &options, &Policy::default(), &Settings::default(), |_| {}).await?;
//! println!("{report}");
//! # Ok(())
//! # }
//! ```

mod archives;
mod bench;
mod bytes;
mod cleanup;
mod copies;
mod describe;
mod exec;
mod files;
mod inspect;
mod jobs;
mod judge;
mod modify;
mod names;
mod progress;
mod report;
mod runner;
mod script;
mod session;
mod streams;
mod system;
mod trees;

pub use judge::{Evidence, Verdict};
pub use report::{Cleanup, Ended, Report};
pub use runner::run;

use bench::Bench;
use judge::Outcome;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// One promise of the contract, and how to see whether it is kept.
pub struct Behaviour {
    operation: &'static str,
    name: &'static str,
    promise: &'static str,
    pace: Pace,
    run: Run,
}

type Run = for<'a> fn(&'a mut Bench) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// Does it have to wait for the cluster's queue, and for what?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pace {
    /// No plugin needs a job for it.
    Prompt,
    /// It is about a job, or a plugin may need one.
    Queued,
    /// It is about what a job does when it runs.
    Runs,
}

impl Behaviour {
    /// The contract's function that it is about, for example `read-link`.
    #[must_use]
    pub fn operation(&self) -> &'static str {
        self.operation
    }

    /// `operation/name`, for example `read-link/of-something-else-is-invalid`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}", self.operation, self.name.replace('_', "-"))
    }

    /// The promise, in one sentence.
    #[must_use]
    pub fn promise(&self) -> &'static str {
        self.promise
    }

    /// Is it meant by a pattern: `*` and `?` as in a shell over the whole id, else a part of the id?
    #[must_use]
    pub fn matches(&self, pattern: &str) -> bool {
        let id = self.id();
        if pattern.contains(['*', '?']) { like(id.as_bytes(), pattern.as_bytes()) } else { id.contains(pattern) }
    }
}

impl fmt::Debug for Behaviour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Behaviour").field("id", &self.id()).field("promise", &self.promise).finish_non_exhaustive()
    }
}

fn like(text: &[u8], pattern: &[u8]) -> bool {
    match (text, pattern) {
        (_, [b'*', rest @ ..]) => (0..=text.len()).any(|at| like(&text[at..], rest)),
        ([_, text @ ..], [b'?', pattern @ ..]) => like(text, pattern),
        ([a, text @ ..], [b, pattern @ ..]) => a == b && like(text, pattern),
        (text, pattern) => text.is_empty() && pattern.is_empty(),
    }
}

/// An entry of an area's table: the operation, the function, the promise; `queued` where a job may be needed, `runs` where one has to run.
macro_rules! behaviour {
    ($operation:literal, $run:ident, $promise:literal) => {
        behaviour!($operation, $run, $promise, Prompt)
    };
    ($operation:literal, $run:ident, $promise:literal, queued) => {
        behaviour!($operation, $run, $promise, Queued)
    };
    ($operation:literal, $run:ident, $promise:literal, runs) => {
        behaviour!($operation, $run, $promise, Runs)
    };
    ($operation:literal, $run:ident, $promise:literal, $pace:ident) => {
        $crate::conformance::Behaviour {
            operation: $operation,
            name: stringify!($run),
            promise: $promise,
            pace: $crate::conformance::Pace::$pace,
            run: |bench| Box::pin($run(bench)),
        }
    };
}
use behaviour;

/// All behaviours, in the contract's order.
pub fn behaviours() -> impl Iterator<Item = &'static Behaviour> {
    let areas: [&'static [Behaviour]; 18] = [
        describe::BEHAVIOURS,
        session::BEHAVIOURS,
        inspect::BEHAVIOURS,
        modify::BEHAVIOURS,
        bytes::BEHAVIOURS,
        streams::BEHAVIOURS,
        files::PUT,
        files::GET,
        trees::BEHAVIOURS,
        names::BEHAVIOURS,
        copies::BEHAVIOURS,
        archives::BEHAVIOURS,
        exec::BEHAVIOURS,
        progress::BEHAVIOURS,
        script::BEHAVIOURS,
        jobs::BEHAVIOURS,
        jobs::WAITS,
        system::BEHAVIOURS,
    ];
    areas.into_iter().flatten()
}

/// How to run the kit.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The remote directory below which the kit makes its own; made if missing. None: the options' `workdir`, else their
    /// `temp_directory`, else the system's default working directory, there in one of the user's name.
    pub below: Option<String>,
    /// Only behaviours that one of these patterns means, see [`Behaviour::matches`]. Empty: all.
    pub only: Vec<String>,
    /// Jobs run. Where they do not, as with a scheduler that only keeps a journal, what needs one to run is `unsupported`; no plugin
    /// can say so itself, so whoever runs the kit has to.
    pub jobs_run: bool,
    /// How long jobs may wait in the queue and run.
    pub queue_patience: Duration,
    /// How long a change may take to be seen.
    pub settle: Duration,
    /// The account for jobs. None: the option `billing_account`, if there is one.
    pub account: Option<String>,
    /// The partition for jobs. None: the scheduler's default.
    pub partition: Option<String>,
    /// Leave the files.
    pub keep: bool,
    /// Behaviours that run at once, beside those that wait for jobs.
    pub at_once: usize,
    /// Set to true by whoever wants the run to end: it stops what goes on, cleans up and reports.
    pub stop: Arc<AtomicBool>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            below: None,
            only: Vec::new(),
            jobs_run: true,
            queue_patience: Duration::from_secs(60 * 60),
            settle: Duration::from_secs(10),
            account: None,
            partition: None,
            keep: false,
            at_once: 4,
            stop: Arc::default(),
        }
    }
}

impl Settings {
    /// The behaviours that these settings mean.
    #[must_use]
    pub fn chosen(&self) -> Vec<&'static Behaviour> {
        let meant = |one: &Behaviour| self.only.is_empty() || self.only.iter().any(|pattern| one.matches(pattern));
        behaviours().filter(|one| meant(one)).collect()
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_behaviour_has_an_id_of_its_own_and_a_sentence() {
        let all: Vec<&Behaviour> = behaviours().collect();
        let ids: BTreeSet<String> = all.iter().map(|one| one.id()).collect();
        assert_eq!(ids.len(), all.len());
        assert!(all.len() > 100, "{}", all.len());
        for one in all {
            assert!(one.promise.len() > 15 && !one.promise.ends_with('.'), "{one:?}");
            assert!(one.promise.chars().next().is_some_and(|c| !c.is_lowercase()), "{one:?}");
        }
    }

    #[test]
    fn a_pattern_means_what_a_shell_would() {
        let one = behaviours().find(|one| one.operation == "stat").expect("one");
        assert!(one.matches("stat") && one.matches("stat/*") && one.matches("s?at/*") && one.matches("*"));
        assert!(!one.matches("tat/*") && !one.matches("lstat") && !one.matches("stat?"));
    }
}
