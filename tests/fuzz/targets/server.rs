//! A whole session against a server that answers anything: token, versions, listings, jobs, and the object store's XML.
#![no_main]

use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use aiida_firecrest::http::{Platform, Request, Response, ResponseBody, SendError, Url};
use aiida_firecrest::objectstore::ObjectStore;
use aiida_firecrest::scheduler::service::JobQuery;
use aiida_firecrest::session::Session;
use aiida_firecrest::transport::inspect::ListOptions;
use aiida_firecrest::watch::Watch;
use arbitrary::Arbitrary;
use futures_util::future::LocalBoxFuture;
use libfuzzer_sys::fuzz_target;

#[derive(Debug, Arbitrary)]
struct Answer {
    status: Status,
    headers: Vec<(Header, String)>,
    body: Text,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Status {
    Ok,
    Created,
    Is(u16),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Header {
    RetryAfter,
    RateLimitReset,
    Version,
    Etag,
    ContentLength,
    RequestId,
}

/// Bodies that are nearly right, so that what follows is reached.
#[derive(Debug, Arbitrary)]
enum Text {
    Bytes(Vec<u8>),
    Output(String),
    Jobs(String),
    Xml(String),
    Token(String),
    Message(String),
}

#[derive(Debug, Arbitrary)]
struct Input {
    /// Begins as a real server does.
    opens: bool,
    answers: Vec<Answer>,
}

struct Wire {
    answers: RefCell<std::vec::IntoIter<(u16, Vec<(String, String)>, Vec<u8>)>>,
    clock: Cell<u64>,
    watch: Rc<Watch>,
}

struct Whole(Option<Vec<u8>>);

impl ResponseBody for Whole {
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, SendError>> {
        Box::pin(async { Ok(self.0.take()) })
    }
}

impl Platform for Wire {
    fn send<'a>(&'a self, _request: &'a Request) -> LocalBoxFuture<'a, Result<Response, SendError>> {
        Box::pin(async {
            let next = self.answers.borrow_mut().next();
            let (status, headers, body) = next.ok_or_else(|| SendError::Protocol("no more".into()))?;
            Ok(Response { status, headers, body: Box::new(Whole(Some(body))) })
        })
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        self.clock.set(self.clock.get() + duration.as_secs() + 1);
        Box::pin(async {})
    }

    fn mark(&self) -> u64 {
        1
    }

    fn unix_now(&self) -> u64 {
        1_795_500_000 + self.clock.get()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(self.clock.get())
    }

    fn random(&self) -> u64 {
        self.clock.get().wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }
}

/// Nothing here ever waits: a future that is pending again and again hangs, and libFuzzer says so.
fn run<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    for _ in 0..1_000_000 {
        if let Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return value;
        }
    }
    panic!("it hangs");
}

fn told(answer: Answer) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let status = match answer.status {
        Status::Ok => 200,
        Status::Created => 201,
        Status::Is(status) => 100 + status % 500,
    };
    let name = |header| match header {
        Header::RetryAfter => "retry-after",
        Header::RateLimitReset => "ratelimit-reset",
        Header::Version => "f7t-appversion",
        Header::Etag => "etag",
        Header::ContentLength => "content-length",
        Header::RequestId => "x-request-id",
    };
    let headers = answer.headers.into_iter().map(|(header, value)| (name(header).to_owned(), value)).collect();
    let body = match answer.body {
        Text::Bytes(bytes) => bytes,
        Text::Output(text) => format!("{{\"output\":{text}}}").into_bytes(),
        Text::Jobs(text) => format!("{{\"jobs\":[{text}]}}").into_bytes(),
        Text::Xml(text) => format!("<Error><Code>{text}</Code><Message>{text}</Message></Error>").into_bytes(),
        Text::Token(text) => format!("{{\"access_token\":\"t\",\"expires_in\":{text}}}").into_bytes(),
        Text::Message(text) => serde_json::json!({ "errorType": "error", "message": text }).to_string().into_bytes(),
    };
    (status, headers, body)
}

fuzz_target!(|input: Input| {
    let mut answers = Vec::new();
    if input.opens {
        answers.push((200, vec![], br#"{"access_token":"t","expires_in":300}"#.to_vec()));
        let systems = r#"{"systems":[{"name":"c","ssh":{},"scheduler":{"type":"slurm","version":"22.05.8"},"fileSystems":[],"servicesHealth":[]}]}"#;
        answers.push((200, vec![("f7t-appversion".into(), "2.5.7".into())], systems.into()));
    }
    answers.extend(input.answers.into_iter().map(told));
    let wire = Rc::new(Wire { answers: RefCell::new(answers.into_iter()), clock: Cell::new(0), watch: Rc::default() });
    let values = [
        ("url", "http://127.0.0.1:1"),
        ("token_uri", "http://127.0.0.1:1/token"),
        ("client_id", "me"),
        ("client_secret", "secret-of-mine"),
        ("compute_resource", "c"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let store = ObjectStore::new(wire.clone(), Duration::from_secs(60));
    let url = Url::parse("http://127.0.0.1:2/b/k?x=y").expect("an address");
    run(async {
        let failed = |error: aiida_firecrest::error::Error| {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("secret-of-mine"), "{text}");
        };
        let session = match Session::open(wire.clone(), &values, None).await {
            Ok(session) => session,
            Err(error) => return failed(error),
        };
        session.origins();
        session.state();
        let _ = session.stat("/d/x").await.map_err(failed);
        let options = ListOptions { recursive: true, hidden: true, pattern: None };
        let _ = session.list("/d", &options).await.map_err(failed);
        let _ = session.glob("/d/*/[a-z]*").await.map_err(failed);
        let _ = session.jobs(JobQuery::Mine).await.map_err(failed);
        let _ = session.details("12").await.map_err(failed);
        let _ = session.nodes().await.map_err(failed);
        let _ = session.whoami().await.map_err(failed);
        let _ = store.complete(&url, &["e".into()], "x").await.map_err(failed);
    });
});
