//! FirecREST's REST API: authentication, errors, and one folder an API version.
//!
//! [`Client`] sends a [`Call`] and returns its answer: with a token, within the bounds on requests under way and a minute, repeated
//! where that is safe, and with every failure typed. What the calls are is in `v2/`.

pub mod auth;
pub mod errors;
pub mod v2;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use async_lock::{Semaphore, SemaphoreGuardArc};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::error::{Error, Kind, Result};
use crate::http::rate::Rate;
use crate::http::retry::{Effect, Event, Policy, Step, Try, Verdict};
use crate::http::{self, Body, Limits, Method, Platform, Request, Response, ResponseBody, SendError, Url};
use crate::options::Options;
use auth::Auth;

/// An answer is read into memory up to here. A listing of 400,000 entries fits; an endless answer does not.
const LONGEST_ANSWER: usize = 128 * 1024 * 1024;
/// An error's body is read up to here, and shown much shorter.
const LONGEST_ERROR: usize = 256 * 1024;
/// One call of the API, before it has a token.
pub struct Call<'a> {
    /// The verb.
    pub method: Method,
    /// Path below the server's URL, one name each.
    pub segments: Vec<&'a str>,
    /// Query.
    pub query: Vec<(&'a str, &'a str)>,
    /// Value of `content-type` where there is a body.
    pub content_type: Option<String>,
    /// What it carries.
    pub body: Body,
    /// Does it change anything?
    pub effect: Effect,
    /// What an error names: the path, job id or system.
    pub subject: &'a str,
}

impl<'a> Call<'a> {
    /// A call that looks.
    pub fn get(segments: Vec<&'a str>, query: Vec<(&'a str, &'a str)>, subject: &'a str) -> Self {
        let (method, effect) = (Method::Get, Effect::Read);
        Self { method, segments, query, content_type: None, body: Body::Empty, effect, subject }
    }

    /// A call that changes something, with a JSON body.
    pub fn json(
        method: Method,
        segments: Vec<&'a str>,
        body: &serde_json::Value,
        effect: Effect,
        subject: &'a str,
    ) -> Self {
        Self {
            method,
            segments,
            query: Vec::new(),
            content_type: Some("application/json".into()),
            body: Body::Bytes(body.to_string().into_bytes().into()),
            effect,
            subject,
        }
    }
}

/// A whole answer with a status of success.
pub struct Answer {
    /// HTTP status, 200 to 299.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub bytes: Vec<u8>,
}

/// An answer of success whose body is still to be read; it holds its place among the requests under way.
pub struct OpenAnswer {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Box<dyn ResponseBody>,
    _place: SemaphoreGuardArc,
}

impl OpenAnswer {
    /// `content-length`, where the server told it.
    pub fn length(&self) -> Option<u64> {
        self.headers.iter().find(|(n, _)| n == "content-length").and_then(|(_, v)| v.parse().ok())
    }
}

/// The server, for one user.
pub struct Client {
    platform: Rc<dyn Platform>,
    base: Url,
    auth: Auth,
    /// Requests under way.
    bound: Arc<Semaphore>,
    rate: RefCell<Rate>,
    policy: Policy,
    limits: Limits,
}

impl Client {
    /// A client with these options. Sends nothing.
    pub fn new(platform: Rc<dyn Platform>, options: &Options) -> Self {
        Self {
            platform,
            base: options.url.clone(),
            auth: Auth::new(options.credentials.clone()),
            bound: Arc::new(Semaphore::new(options.max_io_allowed)),
            rate: RefCell::new(Rate::per_minute(options.requests_per_minute)),
            policy: Policy::default(),
            limits: Limits::within(options.request_timeout),
        }
    }

    /// Clocks and chance.
    pub fn platform(&self) -> &Rc<dyn Platform> {
        &self.platform
    }

    /// The token, for a session's state.
    pub fn auth(&self) -> &Auth {
        &self.auth
    }

    /// For messages.
    pub fn server(&self) -> String {
        self.base.without_query()
    }

    /// Sends a call and reads its answer.
    ///
    /// Boxed, as it is awaited in so many places: the component is kilobytes smaller.
    pub fn call<'a>(&'a self, call: &'a Call<'_>) -> LocalBoxFuture<'a, Result<Answer>> {
        Box::pin(async move {
            match self.perform(call, false).await? {
                Reply::Whole(answer) => Ok(answer),
                Reply::Open(_) => Err(Error::new(Kind::Other, "the answer was not read")),
            }
        })
    }

    /// Sends a call and leaves the body of a successful answer unread.
    pub async fn open(&self, call: &Call<'_>) -> Result<OpenAnswer> {
        match self.perform(call, true).await? {
            Reply::Open(answer) => Ok(answer),
            Reply::Whole(_) => Err(Error::new(Kind::Other, "the answer was read")),
        }
    }

    /// Sends a call and reads its answer as JSON.
    pub async fn fetch<T: DeserializeOwned>(&self, call: &Call<'_>) -> Result<T> {
        let answer = self.call(call).await?;
        self.parse(&answer.bytes, call.subject)
    }

    /// Reads JSON; what is none was not written by FirecREST.
    pub fn parse<T: DeserializeOwned>(&self, bytes: &[u8], subject: &str) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|e| self.unknown(&e.to_string(), subject))
    }

    /// The error of an answer that FirecREST would not write.
    pub fn unknown(&self, why: &str, subject: &str) -> Error {
        let message = format!("what answers at {} is not a FirecREST that this plugin knows: {why}", self.server());
        Error::new(Kind::Unavailable, message).about(subject)
    }

    async fn perform(&self, call: &Call<'_>, leave_open: bool) -> Result<Reply> {
        let mut request = Request {
            method: call.method,
            url: self.base.with(&call.segments, &call.query),
            headers: Vec::new(),
            body: call.body.clone(),
            limits: self.limits,
        };
        let mut number = 1;
        let mut renewed = false;
        let begun = self.platform.monotonic();
        loop {
            let token = self.auth.token(self).await?;
            request.headers = vec![
                ("authorization", format!("Bearer {}", token.reveal())),
                ("accept", "application/json".into()),
                ("user-agent", USER_AGENT.into()),
            ];
            if let Some(content_type) = &call.content_type {
                request.headers.push(("content-type", content_type.clone()));
            }
            if number > 1 {
                request.headers.push((http::ATTEMPT, number.to_string()));
            }
            let place = self.bound.acquire_arc().await;
            self.await_rate().await;
            let tried = self.once(&request, leave_open).await;
            let (event, requested) = match &tried {
                Ok(Tried::Refused(refusal)) => {
                    let pause = errors::retry_after(&refusal.headers, self.platform.unix_now());
                    (errors::event(refusal.status, &refusal.bytes), pause)
                }
                Ok(_) => (Event::Answered, None),
                Err((_, event)) => (*event, None),
            };
            if event.step(call.effect) == Step::Renew && !renewed && self.auth.can_renew() {
                renewed = true;
                self.auth.discard(&token);
                continue;
            }
            let elapsed = self.platform.monotonic().saturating_sub(begun);
            let ended = Try { number, elapsed, event, requested };
            let verdict = self.policy.decide(ended, call.effect, self.platform.random());
            match verdict {
                Verdict::Again(pause) => {
                    drop(place);
                    drop(tried);
                    self.platform.sleep(pause).await;
                    number += 1;
                }
                Verdict::Done => {
                    let answer = match tried {
                        Ok(Tried::Whole(answer)) => Ok(Reply::Whole(answer)),
                        Ok(Tried::Open(response)) => Ok(Reply::Open(OpenAnswer {
                            headers: response.headers,
                            body: response.body,
                            _place: place,
                        })),
                        Ok(Tried::Refused(refusal)) => {
                            let now = self.platform.unix_now();
                            Err(errors::classify(
                                refusal.status,
                                &refusal.headers,
                                &refusal.bytes,
                                call.effect,
                                call.subject,
                                now,
                            ))
                        }
                        Err((error, event)) => {
                            Err(self.lost(&error, event, &request.url, call.effect).about(call.subject))
                        }
                    };
                    return answer.map_err(|error| error.to_check(call.subject));
                }
            }
        }
    }

    async fn await_rate(&self) {
        let wait = self.rate.borrow_mut().take(self.platform.monotonic());
        if !wait.is_zero() {
            self.platform.sleep(wait).await;
        }
    }

    /// One try, its answer read as far as it has to be.
    async fn once(&self, request: &Request, leave_open: bool) -> Result<Tried, (SendError, Event)> {
        let mut response = self.platform.send(request).await.map_err(with_event)?;
        let success = (200..300).contains(&response.status);
        if success && leave_open {
            return Ok(Tried::Open(response));
        }
        let limit = if success { LONGEST_ANSWER } else { LONGEST_ERROR };
        let bytes = match http::collect(response.body.as_mut(), limit).await {
            // The status of a refusal says enough without its body.
            Err(_) if !success => Vec::new(),
            Err(error @ SendError::Reset(_)) => return Err((error, Event::Cut)),
            read => read.map_err(with_event)?,
        };
        let answer = Answer { status: response.status, headers: response.headers, bytes };
        Ok(if success { Tried::Whole(answer) } else { Tried::Refused(answer) })
    }

    /// The error of a request that got no answer.
    pub fn unanswered(&self, error: &SendError, url: &Url, effect: Effect) -> Error {
        self.lost(error, Event::of_failure(error), url, effect)
    }

    fn lost(&self, error: &SendError, event: Event, url: &Url, effect: Effect) -> Error {
        let origin = url.origin();
        let kind = match error {
            SendError::Denied => Kind::PermissionDenied,
            SendError::Local(_) => Kind::Other,
            SendError::Stopped { sent } if !(*sent && effect.changes()) => return self.platform.watch().error(),
            SendError::Stopped { .. } => Kind::OutcomeUnknown,
            _ if effect.changes() && event.leaves_doubt() => Kind::OutcomeUnknown,
            SendError::BodyTooLarge { .. } => Kind::TooLarge,
            SendError::Timeout(_) => Kind::Timeout,
            _ => Kind::Unavailable,
        };
        let message = match kind {
            Kind::OutcomeUnknown => format!("the request was sent to {origin}, but its answer was lost: {error}"),
            _ => format!("{origin}: {error}"),
        };
        let mut lost = Error::new(kind, message);
        lost.info.still_on_its_way = event == Event::Silent;
        lost
    }
}

const USER_AGENT: &str = concat!("aiida-firecrest/", env!("CARGO_PKG_VERSION"));

fn with_event(error: SendError) -> (SendError, Event) {
    let event = Event::of_failure(&error);
    (error, event)
}

enum Reply {
    Whole(Answer),
    Open(OpenAnswer),
}

enum Tried {
    Whole(Answer),
    Open(Response),
    Refused(Answer),
}
