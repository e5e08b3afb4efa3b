//! An object store behind presigned addresses (Amazon S3's REST API): parts up, ranges down. No token of ours ever goes there.
//!
//! A part is sent again by itself when it fails, from its own first byte; putting one twice is the same as putting it once. The answer that
//! completes an upload can say 200 and hold an error: it is read.

use std::rc::Rc;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::http::retry::{Effect, Event, Policy, Try, Verdict};
use crate::http::{self, Body, Limits, Method, Part, Platform, Request, Response, SendError, Url};

/// Answers about an upload are a few hundred bytes.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// The store, as a session uses it.
pub struct ObjectStore {
    platform: Rc<dyn Platform>,
    policy: Policy,
    limits: Limits,
}

/// What a request for a range found.
pub enum Ranged {
    /// The bytes from there on, and the object's size and entity tag.
    Body {
        /// Its body is the bytes.
        response: Response,
        /// Of the whole object.
        size: u64,
        /// Its entity tag.
        etag: Option<String>,
    },
    /// The object is not there (yet).
    Missing,
}

impl ObjectStore {
    /// `answer_within`: how long the store may take to begin an answer.
    pub fn new(platform: Rc<dyn Platform>, answer_within: Duration) -> Self {
        Self { platform, policy: Policy::default(), limits: Limits::within(answer_within) }
    }

    fn request(&self, method: Method, url: &Url, body: Body) -> Request {
        Request { method, url: url.clone(), headers: Vec::new(), body, limits: self.limits }
    }

    /// Sends until it is answered for good. What the store has in excess of 1 MiB to say of a failure is not read.
    /// Also says how many tries it took.
    async fn send(&self, request: &Request, subject: &str) -> Result<(Response, u32)> {
        let mut request = request.clone();
        let mut number = 1;
        let begun = self.platform.monotonic();
        loop {
            let tried = self.platform.send(&request).await;
            let (event, requested) = match &tried {
                Ok(response) => {
                    let pause = crate::firecrest::errors::retry_after(&response.headers, self.platform.unix_now());
                    // Stores answer 500 ("InternalError", "please try again") where others say 503.
                    let status = if response.status == 500 { 503 } else { response.status };
                    (Event::of_answer(status, ""), pause)
                }
                Err(error) => (Event::of_failure(error), None),
            };
            let elapsed = self.platform.monotonic().saturating_sub(begun);
            let ended = Try { number, elapsed, event, requested };
            // As often as a read: however late an earlier try comes to its end, it brings the same bytes to the same place.
            match self.policy.decide(ended, Effect::Read, self.platform.random()) {
                Verdict::Again(pause) => {
                    drop(tried);
                    self.platform.sleep(pause).await;
                    number += 1;
                    request.headers.retain(|(name, _)| *name != http::ATTEMPT);
                    request.headers.push((http::ATTEMPT, number.to_string()));
                }
                Verdict::Done => {
                    let answer = tried.map_err(|e| self.unanswered(&e, &request.url).about(subject))?;
                    return Ok((answer, number));
                }
            }
        }
    }

    /// Sends one part; its entity tag.
    pub async fn put_part(&self, url: &Url, part: Part, subject: &str) -> Result<String> {
        let request = self.request(Method::Put, url, Body::Parts(Rc::new([part])));
        let (mut response, _) = self.send(&request, subject).await?;
        if response.status == 200
            && let Some(etag) = response.header("etag")
        {
            return Ok(etag.to_owned());
        }
        Err(self.refused(&mut response, url, subject).await)
    }

    /// Says that all parts are there.
    pub async fn complete(&self, url: &Url, etags: &[String], subject: &str) -> Result<()> {
        let parts = etags
            .iter()
            .enumerate()
            .map(|(i, etag)| format!("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag></Part>", i + 1, escape(etag)));
        let text = format!(
            "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{}</CompleteMultipartUpload>",
            parts.collect::<String>()
        );
        let mut request = self.request(Method::Post, url, Body::Bytes(text.into_bytes().into()));
        request.headers.push(("content-type", "application/xml".into()));
        let mut attempt = 0;
        loop {
            let (mut response, tries) = self.send(&request, subject).await?;
            attempt += tries;
            let bytes = http::collect(response.body.as_mut(), LONGEST_ANSWER).await;
            let bytes = bytes.map_err(|e| self.unanswered(&e, url).about(subject))?;
            let answer = String::from_utf8_lossy(&bytes);
            // A store that needs long sends 200 and spaces, and only then what came of it.
            match (response.status, element(&answer, "Code")) {
                (200, None) => return Ok(()),
                // The answer to an earlier try was lost: the parts are gone because they have become the object.
                (404, Some(code)) if code == "NoSuchUpload" && attempt > 1 => return Ok(()),
                (200, Some(code))
                    if attempt < self.policy.attempts && (code == "InternalError" || code == "SlowDown") =>
                {
                    self.platform.sleep(self.policy.base * attempt).await;
                }
                (status, code) => return Err(refusal(status, code, element(&answer, "Message"), url, subject)),
            }
        }
    }

    /// Asks for the object from `offset` on, or for a piece of it; `etag`: only if it is still the same object.
    pub async fn get_from(
        &self,
        url: &Url,
        offset: u64,
        length: Option<u64>,
        etag: Option<&str>,
        subject: &str,
    ) -> Result<Ranged> {
        let mut request = self.request(Method::Get, url, Body::Empty);
        let end = length.map(|n| (offset + n.max(1) - 1).to_string()).unwrap_or_default();
        request.headers.push(("range", format!("bytes={offset}-{end}")));
        if let Some(etag) = etag {
            request.headers.push(("if-match", etag.to_owned()));
        }
        let (mut response, _) = self.send(&request, subject).await?;
        match response.status {
            404 => Ok(Ranged::Missing),
            206 => {
                let size = response
                    .header("content-range")
                    .and_then(|range| range.rsplit('/').next())
                    .and_then(|n| n.parse().ok());
                let size = size.ok_or_else(|| refusal(206, None, Some("it tells no size".into()), url, subject))?;
                let etag = response.header("etag").map(str::to_owned);
                Ok(Ranged::Body { response, size, etag })
            }
            // A store that knows no ranges sends the whole object.
            200 if offset == 0 => {
                let size = response.header("content-length").and_then(|n| n.parse().ok());
                let size = size.ok_or_else(|| refusal(200, None, Some("it tells no size".into()), url, subject))?;
                let etag = response.header("etag").map(str::to_owned);
                Ok(Ranged::Body { response, size, etag })
            }
            412 => {
                Err(Error::new(Kind::ChecksumMismatch, format!("{subject}: the object changed while it was fetched"))
                    .about(subject))
            }
            _ => Err(self.refused(&mut response, url, subject).await),
        }
    }

    async fn refused(&self, response: &mut Response, url: &Url, subject: &str) -> Error {
        let bytes = http::collect(response.body.as_mut(), LONGEST_ANSWER).await.unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        refusal(response.status, element(&text, "Code"), element(&text, "Message"), url, subject)
    }

    /// The error of a request that got no answer, or only half of one.
    pub fn unanswered(&self, error: &SendError, url: &Url) -> Error {
        let origin = url.origin();
        match error {
            SendError::Denied => {
                let message =
                    format!("the host does not allow connections to the object store {origin}: allow that origin");
                Error::new(Kind::PermissionDenied, message)
            }
            SendError::Local(text) => Error::new(Kind::Other, text.clone()),
            SendError::Stopped { .. } => self.platform.watch().error(),
            SendError::Timeout(_) => Error::new(Kind::Timeout, format!("{origin}: {error}")),
            _ => Error::new(Kind::Unavailable, format!("{origin}: {error}")),
        }
    }
}

fn refusal(status: u16, code: Option<String>, message: Option<String>, url: &Url, subject: &str) -> Error {
    let code = code.unwrap_or_default();
    let kind = match (status, code.as_str()) {
        // An address is good for a time; then its signature is not.
        (403, _) => Kind::PermissionDenied,
        (404, _) => Kind::NotFound,
        (413, _) | (_, "EntityTooLarge") => Kind::TooLarge,
        (429, _) | (_, "SlowDown") => Kind::RateLimited,
        (500..=599, _) | (_, "InternalError") => Kind::Unavailable,
        _ => Kind::Other,
    };
    let said = [code, message.unwrap_or_default()].into_iter().filter(|t| !t.is_empty()).collect::<Vec<_>>().join(": ");
    let mut error =
        Error::new(kind, format!("{subject}: the object store {} says {status} ({said})", url.origin())).about(subject);
    error.info.http_status = Some(status);
    error.info.server_message = Some(said).filter(|t| !t.is_empty());
    error
}

/// The text of the first element of that name. The store's answers are flat: no reader of XML is needed to find it.
fn element(xml: &str, name: &str) -> Option<String> {
    let start = xml.find(&format!("<{name}>"))? + name.len() + 2;
    let end = xml[start..].find(&format!("</{name}>"))? + start;
    let text = &xml[start..end];
    let shown: String = text.chars().take(300).collect();
    Some(
        shown
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&quot;", "\"")
            .replace("&apos;", "'")
            .replace("&amp;", "&"),
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_of_an_answer() {
        let xml =
            "<?xml version=\"1.0\"?>\n<Error><Code>NoSuchKey</Code><Message>a &lt;b&gt; &amp;amp;</Message></Error>";
        assert_eq!(element(xml, "Code").as_deref(), Some("NoSuchKey"));
        assert_eq!(element(xml, "Message").as_deref(), Some("a <b> &amp;"));
        assert_eq!(element(xml, "Key"), None);
        assert_eq!(element("<Code>", "Code"), None);
    }

    #[test]
    fn refusals_name_the_origin_and_no_signature() {
        let url = Url::parse("https://s3.example.org/b/k?X-Amz-Signature=abc").unwrap();
        let error = refusal(403, Some("AccessDenied".into()), Some("Request has expired".into()), &url, "/p");
        assert_eq!(error.kind, Kind::PermissionDenied);
        assert!(error.info.message.contains("https://s3.example.org") && !error.info.message.contains("abc"));
    }
}
