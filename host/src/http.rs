//! The HTTP client that every session shares, in place of wasmtime's default of a connection a request.
//!
//! - **Pool**: connections are kept alive and shared by all sessions of an [`Engine`](crate::Engine) with the same trusted
//!   certificates; HTTP/1.1 and, where the server offers it in the TLS handshake, HTTP/2.
//! - **Policy first**: a request to an origin that is not allowed is refused before a name is looked up.
//! - **TLS**: rustls with *ring* (it needs a C compiler and nothing else; aws-lc would need cmake and minutes). Trusted are the
//!   system's certificates, as computing centres install their own there; `SSL_CERT_FILE` and `SSL_CERT_DIR` are honoured. On a
//!   machine that has none (a bare container) Mozilla's list, built in, takes their place. A policy's CA files come on top.
//! - **Redirects** are handed to the plugin, not followed.
//! - **Repeats**: a request that a dead pooled connection never sent is sent on another one (hyper-util's
//!   `retry_canceled_requests`). Nothing else is repeated: the plugin decides by the error code, see `errors.rs`.
//!
//! | limit                | when the request names none | begins                                                        |
//! |----------------------|-----------------------------|---------------------------------------------------------------|
//! | connect              | 60 s                        | with the name's look-up; includes the TLS handshake           |
//! | first byte           | 600 s                       | with the connection; anew with every piece of the body sent   |
//! | between bytes        | 600 s                       | with every piece of the answer's body                         |
//! | idle in the pool     | 55 s                        | below the 60 to 75 s after which proxies usually close        |
//!
//! The whole operation has [`Policy::time_limit`]; the plugin names limits of its own for each request, and for how long it repeats one.
//! What a request waits for its place in the budget of requests a minute counts for the whole operation alone.
//!
//! - **Budget**: all sessions share one a minute for each origin; who waits and who goes first is in `pace.rs`.
//!
//! Connections live on a thread of their own, so that a pooled one survives the runtime of the session that opened it; or on the runtime
//! that [`Engine::on_runtime`](crate::Engine::on_runtime) was given. All else of a request runs where the session's call runs: each hop
//! to another thread costs as much as the plugin's whole part of a request.

mod body;
mod connect;
mod errors;
mod pace;

use crate::error::Result;
use crate::limits::OPEN_REQUESTS;
use crate::policy::{Origin, Policy};
use crate::secrets::Secrets;
use crate::telemetry::Telemetry;
use body::{About, Attempt, OutgoingBody, Pending, REPEAT, TimedBody};
use connect::Connector;
use errors::Failure;
use http_body_util::BodyExt;
use hyper::rt::{Executor, Sleep, Timer};
use hyper_util::client::legacy;
use hyper_util::rt::TokioTimer;
use pace::{Class, Member, Paces};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tracing::Instrument;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(600);
const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(600);
const POOL_IDLE: Duration = Duration::from_secs(55);

/// The runtime that connections live on: one of our own, or the embedder's.
pub(crate) struct Background {
    handle: Handle,
    own: Option<Runtime>,
    paces: Arc<Paces>,
}

impl Background {
    /// One thread of our own: with a second one they would wake each other for every answer, and one moves more than a network does.
    pub(crate) fn start() -> Result<Background> {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("aiida-firecrest-http")
            .enable_all()
            .build()
            .map(|own| Background { handle: own.handle().clone(), own: Some(own), paces: Arc::default() })
            .map_err(|error| crate::Error::Runtime(format!("no thread for the HTTP client: {error}")))
    }

    /// The embedder's.
    pub(crate) fn on(handle: Handle) -> Background {
        Background { handle, own: None, paces: Arc::default() }
    }

    fn handle(&self) -> Handle {
        self.handle.clone()
    }
}

/// Spawns, and takes time, on the connections' runtime, whichever thread asks.
#[derive(Clone)]
struct OnBackground(Handle);

impl<F> Executor<F> for OnBackground
where
    F: Future<Output: Send> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}

impl Timer for OnBackground {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let _there = self.0.enter();
        TokioTimer::new().sleep(duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let _there = self.0.enter();
        TokioTimer::new().sleep_until(deadline)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.own.take() {
            // A plain drop waits, and panics inside another runtime.
            runtime.shutdown_background();
        }
    }
}

/// A pooled client; clones share the pool.
#[derive(Clone)]
pub(crate) struct Client {
    inner: legacy::Client<Connector, OutgoingBody>,
    /// Keeps the connections' runtime.
    background: Arc<Background>,
    member: Arc<Member>,
}

impl Client {
    /// The same pool for another session.
    pub(crate) fn for_session(&self) -> Client {
        Client { member: Member::new(self.background.paces.clone()), ..self.clone() }
    }

    /// A client that trusts these certificates (PEM) beside the system's.
    pub(crate) fn new(policy: &Policy, background: Arc<Background>) -> Result<Client> {
        let place = OnBackground(background.handle());
        let connector = Connector::new(policy.ca_files(), background.handle())?;
        let inner = legacy::Client::builder(place.clone())
            .pool_idle_timeout(POOL_IDLE)
            .pool_timer(place.clone())
            .timer(place)
            .http2_adaptive_window(true)
            .build(connector);
        let member = Member::new(background.paces.clone());
        Ok(Client { inner, background, member })
    }

    async fn send(
        &self,
        request: ::http::Request<WasiBody>,
        options: RequestOptions,
        mut pending: Pending,
    ) -> Result<::http::Response<TimedBody>, Failure> {
        let (pace, waited) = self.await_place(pending.origin(), Class::of(&request)).await;
        pending.begin(waited);
        let attempt = Attempt::new(options.connect_timeout.unwrap_or(CONNECT_TIMEOUT));
        pending.attempt = Some(attempt.clone());
        let first_byte = options.first_byte_timeout.unwrap_or(FIRST_BYTE_TIMEOUT);
        let between_bytes = options.between_bytes_timeout.unwrap_or(BETWEEN_BYTES_TIMEOUT);

        let length = request.headers().get(::http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let request = request.map(|body| OutgoingBody::new(body, length, attempt.clone()));
        let mut exchange = pin!(connect::ATTEMPT.scope(attempt.clone(), self.inner.request(request)));
        let answer = loop {
            let limit = tokio::time::Instant::from_std(attempt.last_progress() + first_byte);
            tokio::select! {
                answer = &mut exchange => break answer,
                () = tokio::time::sleep_until(limit) => {
                    if attempt.last_progress() + first_byte <= std::time::Instant::now() {
                        let failure = Failure::no_first_byte(first_byte, attempt.body_sent());
                        pending.finish(Some(failure.text.clone()));
                        return Err(failure);
                    }
                }
            }
        };
        let failure = match answer {
            Ok(response) => {
                pending.status = Some(response.status().as_u16());
                pace.hear(response.status().as_u16(), response.headers());
                return Ok(response.map(|body| TimedBody::new(body, between_bytes, pending)));
            }
            Err(error) => Failure::of_exchange(&error),
        };
        pending.finish(Some(failure.text.clone()));
        Err(failure)
    }
}

/// What a plugin's requests go through: the policy, the client, the counters.
pub(crate) struct Hooks {
    pub(crate) client: Client,
    pub(crate) origins: Arc<[Origin]>,
    pub(crate) telemetry: Vec<Telemetry>,
    pub(crate) last_failure: LastFailure,
    pub(crate) secrets: Secrets,
    /// Held by every request that is open.
    pub(crate) open: Arc<()>,
}

/// Why the latest request got no answer, where that says more than its error code does.
#[derive(Clone, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<String>>>);

impl LastFailure {
    pub(crate) fn set(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    pub(crate) fn take(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

type Io = Box<dyn Future<Output = Result<(), HttpError>> + Send>;
type Sent = Result<(::http::Response<WasiBody>, Io), HttpError>;

impl WasiHttpHooks for Hooks {
    fn set_host_header(&mut self) -> bool {
        // hyper writes it for HTTP/1.1; HTTP/2 has `:authority` in its place.
        false
    }

    fn send_request(
        &mut self,
        request: ::http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Io,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        self.secrets.learn_headers(request.headers());
        let last_failure = self.last_failure.clone();
        let origin = match Origin::of_uri(request.uri()) {
            Some(origin) if self.origins.contains(&origin) => origin,
            refused => {
                for telemetry in &self.telemetry {
                    telemetry.refused();
                }
                let shown =
                    refused.map_or_else(|| "an address without an origin".to_owned(), |origin| origin.to_string());
                let shown = self.secrets.hidden(&shown);
                tracing::warn!(origin = %shown, "refused by the policy");
                last_failure.set(Some(format!("{shown} is not an allowed origin")));
                return Box::new(std::future::ready(Err(HttpError::HttpRequestDenied)));
            }
        };
        if request.method() == ::http::Method::CONNECT {
            // A tunnel leads anywhere.
            return Box::new(std::future::ready(Err(HttpError::HttpRequestMethodInvalid)));
        }
        if Arc::strong_count(&self.open) > OPEN_REQUESTS {
            last_failure.set(Some(format!("more than {OPEN_REQUESTS} requests are open")));
            return Box::new(std::future::ready(Err(HttpError::ConnectionLimitReached)));
        }
        let path = self.secrets.hidden(request.uri().path());
        let method = self.secrets.hidden(request.method().as_str());
        let span = tracing::info_span!("request", %method, %origin, %path);
        let about = About {
            method,
            origin: origin.to_string(),
            path,
            presigned: request.uri().query().is_some_and(|query| query.contains("Signature=")),
            repeat: request.headers().contains_key(REPEAT),
        };
        let pending = Pending::new(about, self.telemetry.clone(), span.clone(), self.open.clone());
        let client = self.client.clone();
        let send = async move {
            match client.send(request, options.unwrap_or_default(), pending).await {
                Ok(response) => {
                    last_failure.set(None);
                    let io: Io = Box::new(std::future::ready(Ok(())));
                    Ok((response.map(|body| body.with_failures(last_failure).boxed_unsync()), io))
                }
                Err(failure) => {
                    last_failure.set(failure.telling.then(|| failure.text.clone()));
                    Err(failure.code)
                }
            }
        };
        Box::new(send.instrument(span))
    }
}
