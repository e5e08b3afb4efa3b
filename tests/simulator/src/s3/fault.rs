//! Faults that a test plants for requests to the object store.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a planted fault does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum S3FaultKind {
    /// Answers with this status and body, and does nothing. A completing request can so get a 200 with an error in it.
    Answer {
        /// The status.
        status: u16,
        /// The body, as text.
        body: String,
    },
    /// Ends the connection before anything is done.
    DropBefore,
    /// Does what was asked, then ends the connection without an answer.
    DropAfter,
    /// Sends so many bytes of the answer's body, then ends the connection.
    CutAfter(u64),
    /// Waits this long, then goes on as ever.
    Delay(#[serde(with = "crate::faults::millis")] Duration),
    /// Answers a part or an object that is sent as if it were kept, and loses it.
    Lose,
    /// Answers 200 with an error in the body, as AWS does when completing goes wrong after the headers are out.
    CompletedWithError,
    /// Answers as for a URL whose time is over.
    Expired,
    /// Answers 503 SlowDown.
    SlowDown,
}

impl S3FaultKind {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(&self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value["kind"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The answer that is given without doing anything, where the kind is one of those.
    pub(super) fn refusal(&self) -> Option<(u16, String)> {
        use super::serve::error;
        Some(match self {
            Self::Answer { status, body } => (*status, body.clone()),
            Self::CompletedWithError => {
                (200, error("InternalError", "We encountered an internal error. Please try again."))
            }
            Self::Expired => (403, error("AccessDenied", "Request has expired")),
            Self::SlowDown => (503, error("SlowDown", "Please reduce your request rate.")),
            _ => return None,
        })
    }
}

/// A fault planted for the next requests to the object store that match; see [`crate::Simulator::plant_s3`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct S3Fault {
    /// The method, such as `PUT`; `None` matches any.
    #[serde(default)]
    pub method: Option<String>,
    /// What the object's key must end with, such as `/big.bin`; empty matches any.
    #[serde(default)]
    pub key_ends: String,
    /// The part's number; `None` matches any, and requests that are not about a part.
    #[serde(default)]
    pub part: Option<u32>,
    /// Whether it strikes the requests of transfer jobs, in place of clients'.
    #[serde(default)]
    pub jobs: bool,
    /// How many requests it strikes.
    #[serde(default = "crate::faults::once")]
    pub times: u32,
    /// How many matching requests it lets pass first.
    #[serde(default)]
    pub skip: u32,
    /// What it does.
    #[serde(flatten)]
    pub kind: S3FaultKind,
}

impl S3Fault {
    /// A fault for a client's next request with that method.
    pub fn once(method: impl Into<String>, kind: S3FaultKind) -> Self {
        let method = Some(method.into());
        Self { method, key_ends: String::new(), part: None, jobs: false, times: 1, skip: 0, kind }
    }

    fn fits(&self, method: &str, key: &str, part: Option<u32>, from_job: bool) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && key.ends_with(&self.key_ends)
            && (self.part.is_none() || self.part == part)
            && self.jobs == from_job
    }
}

/// The fault, if any, that strikes this request.
pub(super) fn strike(
    faults: &mut Vec<S3Fault>,
    method: &str,
    key: &str,
    part: Option<u32>,
    from_job: bool,
) -> Option<S3FaultKind> {
    let mut struck = None;
    for fault in faults.iter_mut().filter(|fault| fault.fits(method, key, part, from_job)) {
        if fault.skip > 0 {
            fault.skip -= 1;
            continue;
        }
        fault.times = fault.times.saturating_sub(1);
        struck = Some(fault.kind.clone());
        break;
    }
    faults.retain(|fault| fault.times > 0);
    struck
}
