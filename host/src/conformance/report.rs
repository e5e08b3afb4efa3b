//! What a run found: for people ([`Display`](fmt::Display)), for programs ([`Report::json`]), for a CI server ([`Report::junit`]).

use super::Behaviour;
use super::judge::{Evidence, Verdict};
use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::{Value, json};
use std::fmt;
use std::time::Duration;

/// One behaviour's end.
#[derive(Clone, Debug)]
pub struct Ended {
    /// What was tried.
    pub behaviour: &'static Behaviour,
    /// What became of it.
    pub verdict: Verdict,
    /// How long it took, its time in the queue included.
    pub duration: Duration,
    /// Requests of its last attempt.
    pub requests: u64,
    /// How often it was tried: more than once after a passing trouble of the server.
    pub attempts: u32,
}

impl Ended {
    pub(super) fn new(behaviour: &'static Behaviour, verdict: Verdict) -> Ended {
        Ended { behaviour, verdict, duration: Duration::ZERO, requests: 0, attempts: 1 }
    }
}

/// What was done at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleanup {
    /// Jobs that had not ended and were cancelled.
    pub cancelled: Vec<String>,
    /// The files were left, as was asked for.
    pub kept: bool,
    /// What could not be removed, and why.
    pub left: Vec<String>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The plugin's name and version.
    pub plugin: String,
    /// The server's.
    pub server: String,
    /// The system that was used, if the server told which.
    pub system: Option<String>,
    /// Who was there.
    pub user: String,
    /// The run's folder on the cluster.
    pub folder: String,
    /// Every chosen behaviour, in the contract's order.
    pub ended: Vec<Ended>,
    /// What was done at the end.
    pub cleanup: Cleanup,
    /// It was ended before its time.
    pub stopped: bool,
    /// From the first request to the last.
    pub duration: Duration,
    /// Of the whole engine since it was made.
    pub requests: u64,
}

impl Report {
    /// How many behaviours ended with this verdict, by its [name](Verdict::name).
    #[must_use]
    pub fn count(&self, verdict: &str) -> usize {
        self.ended.iter().filter(|one| one.verdict.name() == verdict).count()
    }

    /// Those that failed.
    pub fn failures(&self) -> impl Iterator<Item = (&Ended, &Evidence)> {
        self.ended.iter().filter_map(|one| match &one.verdict {
            Verdict::Fail(evidence) => Some((one, &**evidence)),
            _ => None,
        })
    }

    /// The operations in the contract's order, each with its behaviours.
    fn operations(&self) -> Vec<(&'static str, Vec<&Ended>)> {
        let mut operations: Vec<(&'static str, Vec<&Ended>)> = Vec::new();
        for one in &self.ended {
            let name = one.behaviour.operation();
            match operations.iter_mut().find(|(known, _)| *known == name) {
                Some((_, all)) => all.push(one),
                None => operations.push((name, vec![one])),
            }
        }
        operations
    }

    /// One document for programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let behaviour = |one: &&Ended| {
            let mut document = json!({
                "id": one.behaviour.id(), "promise": one.behaviour.promise(), "verdict": one.verdict.name(),
                "seconds": one.duration.as_secs_f64(), "requests": one.requests, "attempts": one.attempts,
            });
            match &one.verdict {
                Verdict::Pass => {}
                Verdict::Unsupported(text) | Verdict::Undecided(text) => document["reason"] = json!(text),
                Verdict::Fail(evidence) => {
                    document["evidence"] = json!({
                        "did": evidence.did, "expected": evidence.expected, "seen": evidence.seen,
                        "error_kind": evidence.error_kind, "requests": evidence.requests,
                    });
                }
            }
            document
        };
        let operations = self.operations().into_iter();
        let operations = operations
            .map(|(name, all)| json!({"operation": name, "behaviours": all.iter().map(behaviour).collect::<Vec<_>>()}));
        json!({
            "plugin": self.plugin, "server": self.server, "system": self.system, "user": self.user, "folder": self.folder,
            "operations": operations.collect::<Vec<_>>(),
            "pass": self.count("pass"), "fail": self.count("fail"),
            "unsupported": self.count("unsupported"), "undecided": self.count("undecided"),
            "cleanup": {"cancelled": self.cleanup.cancelled, "kept": self.cleanup.kept, "left": self.cleanup.left},
            "stopped": self.stopped, "seconds": self.duration.as_secs_f64(), "requests": self.requests,
        })
    }

    /// As JUnit's XML: a suite for each operation; what is unsupported or undecided was skipped.
    ///
    /// # Errors
    /// What the XML writer says.
    pub fn junit(&self) -> Result<String, quick_junit::SerializeError> {
        let mut junit = quick_junit::Report::new("aiida:hpc");
        junit.set_time(self.duration);
        for (name, all) in self.operations() {
            let mut suite = TestSuite::new(name);
            suite.set_time(all.iter().map(|one| one.duration).sum());
            suite.add_property(("plugin", self.plugin.as_str())).add_property(("server", self.server.as_str()));
            suite.add_test_cases(all.into_iter().map(case));
            junit.add_test_suite(suite);
        }
        junit.to_string()
    }
}

fn case(one: &Ended) -> TestCase {
    let status = match &one.verdict {
        Verdict::Pass => TestCaseStatus::success(),
        Verdict::Unsupported(text) | Verdict::Undecided(text) => {
            let mut status = TestCaseStatus::skipped();
            status.set_type(one.verdict.name()).set_message(text.as_str());
            status
        }
        Verdict::Fail(evidence) => {
            let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
            status.set_type(evidence.error_kind.unwrap_or("wrong-result"));
            status.set_message(format!("{}: {}", evidence.did, evidence.seen));
            status.set_description(lines(evidence, ""));
            status
        }
    };
    let mut case = TestCase::new(one.behaviour.id(), status);
    case.set_classname(format!("aiida:hpc.{}", one.behaviour.operation())).set_time(one.duration);
    case.set_system_out(one.behaviour.promise());
    case
}

/// Control characters would move a terminal's cursor.
fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn lines(evidence: &Evidence, indent: &str) -> String {
    let mut text = format!(
        "{indent}did       {}\n{indent}expected  {}\n{indent}seen      {}\n",
        plain(&evidence.did),
        plain(&evidence.expected),
        plain(&evidence.seen)
    );
    for (index, request) in evidence.requests.iter().enumerate() {
        let label = if index == 0 { "requests" } else { "" };
        text += &format!("{indent}{label:<9} {}\n", plain(request));
    }
    text
}

/// By operation: a line for each behaviour, and below it what speaks against it.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let system = self.system.as_ref().map_or_else(String::new, |name| format!(", system {}", plain(name)));
        writeln!(f, "plugin  {}", plain(&self.plugin))?;
        writeln!(f, "server  {}{system}, user {}", plain(&self.server), plain(&self.user))?;
        writeln!(f, "folder  {}", plain(&self.folder))?;
        for (name, all) in self.operations() {
            writeln!(f, "\n{name}")?;
            for one in all {
                writeln!(f, "  {:<11}  {}", one.verdict.name(), one.behaviour.promise())?;
                match &one.verdict {
                    Verdict::Pass => {}
                    Verdict::Unsupported(text) | Verdict::Undecided(text) => {
                        writeln!(f, "               {}", plain(text))?
                    }
                    Verdict::Fail(evidence) => {
                        writeln!(f, "               {}", one.behaviour.id())?;
                        f.write_str(&lines(evidence, "               "))?;
                    }
                }
            }
        }
        writeln!(f)?;
        if !self.cleanup.cancelled.is_empty() {
            writeln!(f, "cancelled  {}", plain(&self.cleanup.cancelled.join(", ")))?;
        }
        for left in &self.cleanup.left {
            writeln!(f, "left       {}", plain(left))?;
        }
        if self.cleanup.kept {
            writeln!(f, "kept       {}", plain(&self.folder))?;
        }
        let [pass, fail, unsupported, undecided] =
            ["pass", "fail", "unsupported", "undecided"].map(|name| self.count(name));
        write!(
            f,
            "{} behaviours: {pass} pass, {fail} fail, {unsupported} unsupported, {undecided} undecided; {} requests, {:.1} s",
            self.ended.len(),
            self.requests,
            self.duration.as_secs_f64()
        )
    }
}
