//! A script of faults: what goes wrong, for which requests, how often. Over the Rust API ([`crate::Simulator::plant`]) and, as JSON,
//! over the admin port.
//!
//! | kind | what the server does | what the client gets |
//! |---|---|---|
//! | `answer` | nothing | that answer |
//! | `answer-after` | what was asked | that answer in place of the real one |
//! | `drop-before`, `reset` | nothing | the connection's end; a TCP reset |
//! | `drop-after` | what was asked | the connection's end before any header |
//! | `twice` | what was asked, two times: a proxy repeated it | the second answer |
//! | `delay` | what was asked, later | the answer, late |
//! | `cut` | what was asked | so many bytes of the body, then the connection's end |
//! | `stall` | what was asked | so many bytes of the body, then a silence, then the rest |
//! | `drip` | what was asked | the body in small pieces with pauses |
//! | `wrong-length` | what was asked | a length that promises more than comes, or a body that lacks its end |
//! | `rate-limited` | nothing | 429 in one of a gateway's forms |
//! | `gateway` | nothing | 502, 503 or 504 with a gateway's page |
//! | `server-error` | nothing | 500 in the server's form, with that message |
//! | `unauthenticated` | nothing | 401 as for a token that is not valid |
//! | `done-but-timed-out` | what was asked | 408 as for a command over its limit |
//! | `jobs-vanish` | what was asked | a listing without jobs, or "Job not found." |
//! | `job-fails` | takes a submission | the real answer; the job is FAILED from then on |
//! | `disk-full` | an upload writes the half of the file; others nothing | 500, "No space left on device" |

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use serde::{Deserialize, Serialize};
use tokio::time::Sleep;

use crate::errors::ApiError;
use crate::knobs::RetryAfter;

/// Between the last byte of an answer that is cut, and the cut.
const FLUSH: Duration = Duration::from_millis(20);

/// Durations in JSON are milliseconds.
pub(crate) mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

/// What a planted fault does; see the [module](self) for the table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "with", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FaultKind {
    /// Answers with this status and body, and does nothing.
    Answer {
        /// The status.
        status: u16,
        /// The body, as text.
        #[serde(default)]
        body: String,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Does what was asked, then answers with this instead.
    AnswerAfter {
        /// The status.
        status: u16,
        /// The body, as text.
        #[serde(default)]
        body: String,
        /// Further headers.
        #[serde(default)]
        headers: Vec<(String, String)>,
    },
    /// Ends the connection before anything is done.
    DropBefore,
    /// Resets the connection (TCP RST) before anything is done.
    Reset,
    /// Does what was asked, then ends the connection without an answer.
    DropAfter,
    /// Does what was asked twice, one after the other, and answers the second time.
    Twice,
    /// Waits this long, then goes on as ever.
    Delay(#[serde(with = "millis")] Duration),
    /// Sends so many bytes of the answer's body, then ends the connection.
    Cut(u64),
    /// Sends so many bytes of the answer's body, waits, and sends the rest.
    Stall {
        /// Bytes of the body before the silence.
        after: u64,
        /// How long it lasts.
        #[serde(with = "millis")]
        time: Duration,
    },
    /// Sends the answer's body in pieces with pauses between them.
    Drip {
        /// Bytes of a piece.
        bytes: u32,
        /// Between two pieces.
        #[serde(with = "millis")]
        pause: Duration,
    },
    /// The answer's length is wrong by so many bytes: too long, and the connection ends before they came; or negative, and the
    /// body's end is missing.
    WrongLength(i32),
    /// Refuses with 429.
    RateLimited {
        /// How it says when to come back.
        form: RetryAfter,
        /// In how many seconds.
        seconds: u32,
    },
    /// A gateway's own page: 502, 503, 504.
    Gateway(u16),
    /// The server's own 500 with this message.
    ServerError(String),
    /// The server's own 401 for a token that is not valid.
    Unauthenticated,
    /// Does what was asked, and answers 408 as for a command over its time limit.
    DoneButTimedOut,
    /// Leaves all jobs out of the answer.
    JobsVanish,
    /// The job that is submitted fails.
    JobFails,
    /// No space is left on the file system.
    DiskFull,
}

impl FaultKind {
    /// Its name, as in JSON.
    #[must_use]
    pub fn name(&self) -> String {
        serde_json::to_value(self).ok().and_then(|value| value["kind"].as_str().map(str::to_owned)).unwrap_or_default()
    }

    /// The answer that is given without doing anything, where the kind is one of those.
    pub(crate) fn refusal(&self, authorization: Option<&str>) -> Option<Refusal> {
        let token = authorization.and_then(|value| value.split_once(' ')).map_or("", |(_, token)| token);
        Some(match self {
            Self::Answer { status, body, headers } => {
                Refusal { status: *status, kind: "application/json", body: body.clone(), headers: headers.clone() }
            }
            Self::RateLimited { form, seconds } => rate_limited(*form, *seconds),
            Self::Gateway(status) => gateway(*status),
            Self::ServerError(message) => Refusal::of(&ApiError::new(500, message.as_str())),
            Self::Unauthenticated => {
                Refusal::of(&ApiError::new(401, "Access token is invalid.").header("auth-token", token))
            }
            _ => return None,
        })
    }

    /// The answer that is given in place of the real one.
    pub(crate) fn substitute(&self) -> Option<Refusal> {
        Some(match self {
            Self::AnswerAfter { status, body, headers } => {
                Refusal { status: *status, kind: "application/json", body: body.clone(), headers: headers.clone() }
            }
            Self::DoneButTimedOut => Refusal::of(&ApiError::timeout()),
            _ => return None,
        })
    }
}

/// An answer that no handler gave.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) body: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Refusal {
    fn of(error: &ApiError) -> Self {
        Self {
            status: error.status,
            kind: "application/json",
            body: String::from_utf8_lossy(&error.body(None)).into_owned(),
            headers: error.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        }
    }
}

fn rate_limited(form: RetryAfter, seconds: u32) -> Refusal {
    let header = |name: &str, value: String| (name.to_owned(), value);
    let mut headers = match form {
        RetryAfter::Seconds => vec![header("retry-after", seconds.to_string())],
        RetryAfter::HttpDate => {
            let then = std::time::SystemTime::now() + Duration::from_secs(seconds.into());
            vec![header("retry-after", crate::status::http_date(then))]
        }
        RetryAfter::RateLimitReset => vec![header("ratelimit-reset", seconds.to_string())],
        RetryAfter::Announced => vec![header("retry-after", seconds.to_string())],
    };
    if form == RetryAfter::Announced {
        headers.push(header("ratelimit-limit", "60".into()));
        headers.push(header("ratelimit-remaining", "0".into()));
        headers.push(header("ratelimit-reset", seconds.to_string()));
    }
    Refusal { status: 429, kind: "application/json", body: LIMIT_EXCEEDED.into(), headers }
}

/// Kong's words for a 429.
pub(crate) const LIMIT_EXCEEDED: &str = "{\"message\":\"API rate limit exceeded\"}";

/// The page of nginx, which such gateways are made of.
fn gateway(status: u16) -> Refusal {
    let title = match status {
        502 => "502 Bad Gateway",
        504 => "504 Gateway Time-out",
        _ => "503 Service Temporarily Unavailable",
    };
    let body = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
    );
    Refusal { status, kind: "text/html", body, headers: Vec::new() }
}

/// A fault planted for the next requests that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The method, such as `POST`; `None` matches any.
    #[serde(default)]
    pub method: Option<String>,
    /// What the path must end with, in lower case, such as `/ops/upload`; empty matches any.
    #[serde(default)]
    pub path_ends: String,
    /// How many requests it strikes.
    #[serde(default = "once")]
    pub times: u32,
    /// How many matching requests it lets pass first.
    #[serde(default)]
    pub skip: u32,
    /// What it does.
    #[serde(flatten)]
    pub kind: FaultKind,
}

pub(crate) const fn once() -> u32 {
    1
}

impl Fault {
    /// A fault for the next request whose path ends so.
    pub fn once(path_ends: impl Into<String>, kind: FaultKind) -> Self {
        Self { method: None, path_ends: path_ends.into(), times: 1, skip: 0, kind }
    }

    /// The same for so many requests.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        Self { times, ..self }
    }

    /// The same for requests with that method.
    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self { method: Some(method.into()), ..self }
    }

    fn fits(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(method))
            && path.ends_with(&self.path_ends)
    }
}

/// A fault that struck.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Struck {
    /// The method of the request.
    pub method: String,
    /// Its path; of the object store, the key.
    pub path: String,
    /// The kind's name, as in JSON.
    pub fault: String,
}

/// The script, and what came of it.
#[derive(Default)]
pub(crate) struct Script {
    pub(crate) planted: Vec<Fault>,
    pub(crate) struck: Vec<Struck>,
}

impl Script {
    /// The fault, if any, that strikes this request.
    pub(crate) fn strike(&mut self, method: &str, path: &str) -> Option<FaultKind> {
        let mut kind = None;
        for fault in self.planted.iter_mut().filter(|fault| fault.fits(method, path)) {
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            fault.times = fault.times.saturating_sub(1);
            kind = Some(fault.kind.clone());
            break;
        }
        self.planted.retain(|fault| fault.times > 0);
        if let Some(kind) = &kind {
            self.struck.push(Struck { method: method.to_owned(), path: path.to_owned(), fault: kind.name() });
        }
        kind
    }
}

/// How an answer's body goes out.
#[derive(Debug, Clone, Copy)]
enum Pace {
    Whole,
    /// So many bytes, then the connection's end.
    Cut(usize),
    /// So many bytes, a silence, the rest.
    Stall(usize, Duration),
    Drip(usize, Duration),
}

/// An answer's body.
pub(crate) struct Paced {
    bytes: Bytes,
    pace: Pace,
    length: u64,
    sent: usize,
    pause: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// All of it at once, unless a fault says otherwise.
    pub(crate) fn new(mut bytes: Bytes, fault: Option<&FaultKind>) -> Self {
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let mut length = bytes.len() as u64;
        let pace = match fault {
            Some(FaultKind::Cut(after)) => Pace::Cut(size(*after)),
            Some(FaultKind::Stall { after, time }) => Pace::Stall(size(*after), *time),
            Some(FaultKind::Drip { bytes, pause }) => Pace::Drip((*bytes).max(1) as usize, *pause),
            Some(FaultKind::WrongLength(by)) => {
                length = length.saturating_add_signed((*by).into());
                bytes.truncate(size(length));
                if *by > 0 { Pace::Cut(bytes.len()) } else { Pace::Whole }
            }
            _ => Pace::Whole,
        };
        Self { bytes, pace, length, sent: 0, pause: None }
    }

    /// Waits once; true when it is over.
    fn paused(&mut self, time: Duration, context: &mut Context<'_>) -> bool {
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(time)));
        pause.as_mut().poll(context).is_ready()
    }

    fn take(&mut self, most: usize) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let piece = self.bytes.split_to(most.min(self.bytes.len()));
        self.sent += piece.len();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.pace {
            Pace::Whole => self.take(usize::MAX),
            Pace::Cut(after) | Pace::Stall(after, _) if self.sent < after && !self.bytes.is_empty() => {
                let left = after - self.sent;
                self.take(left)
            }
            Pace::Cut(_) => {
                // What was handed over has yet to be written.
                if !self.paused(FLUSH, context) {
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionReset.into())))
            }
            Pace::Stall(_, time) => {
                if !self.paused(time, context) {
                    return Poll::Pending;
                }
                self.pace = Pace::Whole;
                self.take(usize::MAX)
            }
            Pace::Drip(most, pause) => {
                if self.sent > 0 {
                    if !self.paused(pause, context) {
                        return Poll::Pending;
                    }
                    self.pause = None;
                }
                self.take(most)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        // A body with a wrong length, or one to be cut, is never at its proper end.
        self.length == 0 && !matches!(self.pace, Pace::Cut(_))
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.length.saturating_sub(self.sent as u64);
        SizeHint::with_exact(left)
    }
}
