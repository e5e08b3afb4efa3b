//! The same rules, compiled natively: what the sandbox is compared with.
//!
//! The rules are the component's own crate. What the component gets from `wasi:http` they get here from a plain keep-alive client on
//! the thread that calls: no policy, no telemetry, no limits.

use aiida_firecrest::http::{Body, Platform, Request, Response, ResponseBody, SendError};
use aiida_firecrest::session::Session;
use aiida_firecrest::watch::Watch;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// hyper's client, which is the floor, too.
pub type Client = legacy::Client<HttpConnector, Full<Bytes>>;

/// A client that keeps its connections.
pub fn client() -> Client {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new()).build(connector)
}

/// A session of the rules.
pub async fn open(options: &[(String, String)]) -> Session {
    let native = Native {
        client: client(),
        watch: Rc::default(),
        started: Instant::now(),
        random: Cell::new(0x9e37_79b9_7f4a_7c15),
    };
    Session::open(Rc::new(native), options, None).await.unwrap_or_else(|error| panic!("{error:?}"))
}

struct Native {
    client: Client,
    watch: Rc<Watch>,
    started: Instant,
    random: Cell<u64>,
}

impl Platform for Native {
    fn send<'a>(&'a self, request: &'a Request) -> LocalBoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async move {
            let body = match &request.body {
                Body::Empty => Bytes::new(),
                Body::Bytes(bytes) => Bytes::copy_from_slice(bytes),
                Body::Parts(_) => return Err(SendError::Other("no files here".into())),
            };
            let url = format!("{}{}", request.url.origin(), request.url.path_and_query());
            let mut outgoing = hyper::Request::builder().method(request.method.as_str()).uri(url);
            for (name, value) in &request.headers {
                outgoing = outgoing.header(*name, value);
            }
            let outgoing = outgoing.body(Full::new(body)).map_err(|error| SendError::Other(error.to_string()))?;
            let answer = self.client.request(outgoing).await.map_err(|error| SendError::Reset(error.to_string()))?;
            let (head, body) = answer.into_parts();
            let text = |value: &http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
            Ok(Response {
                status: head.status.as_u16(),
                headers: head.headers.iter().map(|(name, value)| (name.as_str().to_owned(), text(value))).collect(),
                body: Box::new(Answer(body)),
            })
        })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn mark(&self) -> u64 {
        1
    }

    fn unix_now(&self) -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn random(&self) -> u64 {
        self.random.set(self.random.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        self.random.get()
    }

    fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }
}

struct Answer(Incoming);

impl ResponseBody for Answer {
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, SendError>> {
        Box::pin(async {
            loop {
                match self.0.frame().await {
                    None => return Ok(None),
                    Some(Err(error)) => return Err(SendError::Reset(error.to_string())),
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(bytes) => return Ok(Some(bytes.into())),
                        Err(_) => continue,
                    },
                }
            }
        })
    }
}
