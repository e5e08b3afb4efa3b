//! Tokens: OAuth 2.0 client credentials (RFC 6749 section 4.4), or a token of the host's own.
//!
//! The server refuses a token with less than 30 s left (FirecREST 2.5.7: "expires too soon"), so one is renewed when less than
//! 60 s are left. However many requests wait for it, one renewal is under way at a time.

use std::cell::RefCell;

use super::v2::lenient::Field;
use super::{Client, USER_AGENT};
use crate::error::{Error, Kind, Result};
use crate::http::retry::{Effect, Event, Try, Verdict};
use crate::http::{self, Body, Method, Request, Url};
use crate::options::{Credentials, TokenAuthMethod};
use crate::secret::Secret;
use async_lock::Mutex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A token with less left is renewed before use, in seconds.
const RENEW_BEFORE: u64 = 60;
/// RFC 6749 lets a server leave `expires_in` out. Then a token is taken for good this long, and a 401 corrects it.
const UNTOLD_LIFETIME: u64 = 300;
/// A token answer is a few kilobytes.
const LONGEST_ANSWER: usize = 1024 * 1024;

/// A token and when it ends.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub text: Secret,
    /// Unix seconds.
    pub expires: u64,
}

/// The credentials, and the token that they last gave.
pub struct Auth {
    credentials: Credentials,
    current: RefCell<Option<Token>>,
    renewing: Mutex<()>,
}

impl Auth {
    /// Without a token yet.
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, current: RefCell::new(None), renewing: Mutex::new(()) }
    }

    /// Takes a token that another session got.
    pub fn adopt(&self, token: Token) {
        if self.can_renew() {
            self.current.replace(Some(token));
        }
    }

    /// The token at hand, for another session.
    pub fn current(&self) -> Option<Token> {
        self.current.borrow().clone()
    }

    /// Can a refused token be replaced? Not one that the host brought.
    pub fn can_renew(&self) -> bool {
        matches!(self.credentials, Credentials::Client { .. })
    }

    /// Forgets a token that the server refused, unless it has been renewed since.
    pub fn discard(&self, refused: &Secret) {
        let mut current = self.current.borrow_mut();
        if current.as_ref().is_some_and(|token| token.text == *refused) {
            *current = None;
        }
    }

    /// A token that is good for a while.
    pub async fn token(&self, client: &Client) -> Result<Secret> {
        let (token_uri, client_id, secret, method) = match &self.credentials {
            Credentials::AccessToken(token) => return Ok(token.clone()),
            Credentials::Client { token_uri, client_id, client_secret, method } => {
                (token_uri, client_id, client_secret, *method)
            }
        };
        if let Some(token) = self.fresh(client) {
            return Ok(token);
        }
        let _alone = self.renewing.lock().await;
        // Another request may have renewed it while this one waited.
        if let Some(token) = self.fresh(client) {
            return Ok(token);
        }
        let token = request(client, token_uri, client_id, secret, method).await?;
        let text = token.text.clone();
        self.current.replace(Some(token));
        Ok(text)
    }

    fn fresh(&self, client: &Client) -> Option<Secret> {
        let now = client.platform().unix_now();
        let current = self.current.borrow();
        current.as_ref().filter(|token| token.expires > now + RENEW_BEFORE).map(|token| token.text.clone())
    }
}

fn token_request(client: &Client, uri: &Url, id: &str, secret: &Secret, method: TokenAuthMethod) -> Request {
    let encode = http::url::encode;
    let mut form = "grant_type=client_credentials".to_owned();
    let mut headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("accept", "application/json".to_owned()),
        ("user-agent", USER_AGENT.to_owned()),
    ];
    match method {
        TokenAuthMethod::Post => {
            form.push_str(&format!("&client_id={}&client_secret={}", encode(id), encode(secret.reveal())));
        }
        // RFC 6749 section 2.3.1: both are form-encoded before they are joined.
        TokenAuthMethod::Basic => {
            let pair = STANDARD.encode(format!("{}:{}", encode(id), encode(secret.reveal())));
            headers.push(("authorization", format!("Basic {pair}")));
        }
    }
    Request {
        method: Method::Post,
        url: uri.clone(),
        headers,
        body: Body::Bytes(form.into_bytes().into()),
        limits: client.limits,
    }
}

async fn request(client: &Client, uri: &Url, id: &str, secret: &Secret, method: TokenAuthMethod) -> Result<Token> {
    let mut request = token_request(client, uri, id, secret, method);
    let mut number = 1;
    let begun = client.platform().monotonic();
    loop {
        let asked_at = client.platform().unix_now();
        let tried = client.platform().send(&request).await;
        // A token that was made and lost does no harm: for the rule, asking for one is a read.
        let (event, requested) = match &tried {
            Ok(response) => (
                Event::of_answer(response.status, ""),
                super::errors::retry_after(&response.headers, client.platform().unix_now()),
            ),
            Err(error) => (Event::of_failure(error), None),
        };
        let elapsed = client.platform().monotonic().saturating_sub(begun);
        let ended = Try { number, elapsed, event, requested };
        if let Verdict::Again(pause) = client.policy.decide(ended, Effect::Read, client.platform().random()) {
            number += 1;
            request.headers.retain(|(name, _)| *name != http::ATTEMPT);
            request.headers.push((http::ATTEMPT, number.to_string()));
            client.platform().sleep(pause).await;
            continue;
        }
        let mut response = tried.map_err(|e| client.unanswered(&e, uri, Effect::Read).about("token_uri"))?;
        let bytes = http::collect(response.body.as_mut(), LONGEST_ANSWER)
            .await
            .map_err(|e| client.unanswered(&e, uri, Effect::Read).about("token_uri"))?;
        return read(response.status, &bytes, asked_at, uri);
    }
}

fn read(status: u16, bytes: &[u8], asked_at: u64, uri: &Url) -> Result<Token> {
    let place = uri.without_query();
    // What is no JSON says nothing. A parser's words could quote the answer, and the answer could hold a token.
    let answer: serde_json::Value = serde_json::from_slice(bytes).unwrap_or_default();
    let answer = Field::new(&answer);
    if (200..300).contains(&status) {
        let token = answer.at("access_token").text().ok_or_else(|| {
            Error::new(Kind::Unavailable, format!("what answers at {place} is no token server")).about("token_uri")
        })?;
        let lifetime = answer.at("expires_in").number().unwrap_or(UNTOLD_LIFETIME);
        return Ok(Token { text: Secret::new(token), expires: asked_at.saturating_add(lifetime) });
    }
    let refusal = answer.at("error").text();
    let kind = match status {
        // `invalid_client` and its relatives come with 400, 401 or 403 (RFC 6749 section 5.2, Keycloak).
        400 | 401 | 403 if refusal.is_some() => Kind::Unauthenticated,
        401 | 403 => Kind::Unauthenticated,
        429 => Kind::RateLimited,
        _ => Kind::Unavailable,
    };
    let said = refusal.into_iter().chain(answer.at("error_description").text()).collect::<Vec<_>>().join(": ");
    let message = match kind {
        Kind::Unauthenticated if !said.is_empty() => format!("the token server refuses these credentials ({said})"),
        Kind::Unauthenticated => "the token server refuses these credentials".to_owned(),
        Kind::RateLimited => "the token server wants fewer requests".to_owned(),
        _ => format!("what answers at {place} is no token server: it says {status}"),
    };
    let mut error =
        Error::new(kind, message).about(if kind == Kind::Unauthenticated { "client_id" } else { "token_uri" });
    error.info.http_status = Some(status);
    error.info.server_message = Some(said).filter(|t| !t.is_empty());
    Err(error)
}

impl Client {
    /// Waits until a token is at hand.
    pub async fn authenticate(&self) -> Result<()> {
        self.auth.token(self).await.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uri() -> Url {
        Url::parse("https://auth.example.org/token").unwrap()
    }

    #[test]
    fn an_answer_is_read() {
        let token =
            read(200, br#"{"access_token":"abc","expires_in":300,"token_type":"Bearer"}"#, 1000, &uri()).unwrap();
        assert_eq!((token.text.reveal(), token.expires), ("abc", 1300));
        let token = read(200, br#"{"access_token":"abc"}"#, 1000, &uri()).unwrap();
        assert_eq!(token.expires, 1000 + UNTOLD_LIFETIME);
    }

    #[test]
    fn refusals_are_typed() {
        // Recorded: FirecREST's demo Keycloak on a wrong secret.
        let wrong =
            br#"{"error": "unauthorized_client", "error_description": "Invalid client or Invalid client credentials"}"#;
        for (status, body, kind) in [
            (401, wrong.as_slice(), Kind::Unauthenticated),
            (400, br#"{"error":"invalid_client"}"#, Kind::Unauthenticated),
            (404, b"<html>", Kind::Unavailable),
            (400, b"<html>", Kind::Unavailable),
            (200, b"<html>secret</html>", Kind::Unavailable),
            (429, b"", Kind::RateLimited),
        ] {
            let error = read(status, body, 0, &uri()).unwrap_err();
            assert_eq!(error.kind, kind, "{status}");
            assert!(!error.info.message.contains("secret</"));
        }
    }
}
