//! From what a call returned to a verdict.

use crate::error::{Error, Result};
use crate::types::ErrorKind;
use std::fmt;

/// What became of a behaviour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The promise was kept.
    Pass,
    /// It was not.
    Fail(Box<Evidence>),
    /// The plugin or the system has it not: what, in a sentence.
    Unsupported(String),
    /// It could not be seen: why, in a sentence.
    Undecided(String),
}

impl Verdict {
    /// `pass`, `fail`, `unsupported` or `undecided`.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Unsupported(_) => "unsupported",
            Verdict::Undecided(_) => "undecided",
        }
    }
}

/// What speaks against a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The call, or the look at what it left.
    pub did: String,
    /// What the contract promises.
    pub expected: String,
    /// What was there instead.
    pub seen: String,
    /// The error's kind, where one was returned.
    pub error_kind: Option<&'static str>,
    /// The behaviour's requests up to then, as `METHOD path status`; the latest where there were many.
    pub requests: Vec<String>,
}

/// Why a behaviour ended early.
#[derive(Debug)]
pub(super) enum Finding {
    Fail(Box<Evidence>),
    Unsupported(String),
    Undecided(String),
    /// A call was stopped through `progress`, by the user or by the time limit.
    Stopped,
}

pub(super) type Step<T> = Result<T, Finding>;
pub(super) type Outcome = Step<()>;

/// Longer texts are cut: evidence is for people.
const SHOWN: usize = 400;

pub(super) fn shown(value: &dyn fmt::Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

pub(super) fn failed(did: impl fmt::Display, expected: impl fmt::Display, seen: impl fmt::Display) -> Finding {
    Finding::Fail(Box::new(Evidence {
        did: did.to_string(),
        expected: expected.to_string(),
        seen: seen.to_string(),
        ..Evidence::default()
    }))
}

/// What is there has to be what is expected.
pub(super) fn same<T: PartialEq + fmt::Debug>(what: impl fmt::Display, seen: T, expected: T) -> Outcome {
    if seen == expected { Ok(()) } else { Err(failed(what, shown(&expected), shown(&seen))) }
}

/// `seen` has to fulfil what `expected` says in words.
pub(super) fn holds(
    what: impl fmt::Display,
    is_so: bool,
    expected: impl fmt::Display,
    seen: &dyn fmt::Debug,
) -> Outcome {
    if is_so { Ok(()) } else { Err(failed(what, expected, shown(seen))) }
}

/// What a call should have returned.
pub(super) trait Judge<T> {
    /// It succeeds.
    fn done(self, did: impl fmt::Display) -> Step<T>;
    /// It fails with one of these kinds.
    fn refused(self, did: impl fmt::Display, kinds: &[ErrorKind]) -> Step<crate::types::Error>;
}

impl<T: fmt::Debug> Judge<T> for Result<T> {
    fn done(self, did: impl fmt::Display) -> Step<T> {
        self.map_err(|error| returned(&did, "success", &error))
    }

    fn refused(self, did: impl fmt::Display, kinds: &[ErrorKind]) -> Step<crate::types::Error> {
        let expected = || kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(" or ");
        match self {
            Ok(value) => Err(failed(did, format!("the error {}", expected()), format!("success: {}", shown(&value)))),
            Err(Error::Plugin { error, .. }) if kinds.contains(&error.kind) => Ok(*error),
            Err(error) => Err(returned(&did, &format!("the error {}", expected()), &error)),
        }
    }
}

fn returned(did: &dyn fmt::Display, expected: &str, error: &Error) -> Finding {
    match error.plugin_kind() {
        Some(ErrorKind::Unsupported) => Finding::Unsupported(format!("{did}: {error}")),
        Some(ErrorKind::Cancelled) => Finding::Stopped,
        _ => Finding::Fail(Box::new(Evidence {
            did: did.to_string(),
            expected: expected.to_owned(),
            seen: format!("{}: {error}", error.kind()),
            error_kind: Some(error.kind()),
            requests: Vec::new(),
        })),
    }
}

/// The system lacks something that the behaviour is about.
pub(super) fn lacks(what: impl Into<String>) -> Finding {
    Finding::Unsupported(what.into())
}
