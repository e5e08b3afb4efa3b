//! The admin port: JSON over loopback HTTP, for test programs that are not of Rust.
//!
//! | request | does |
//! |---|---|
//! | `GET /faults` | `{"planted": […], "struck": […], "planted_s3": […], "struck_s3": […]}` |
//! | `POST /faults` | plants one fault, or a list of them: `{"path_ends": "/ops/upload", "times": 2, "kind": "drop-after"}`; kinds with arguments have them in `with` |
//! | `POST /s3-faults` | the same for the object store: `{"method": "PUT", "part": 2, "kind": "lose"}` |
//! | `DELETE /faults` | takes all out, and forgets what struck |
//! | `PATCH /knobs` | turns knobs: `quota` (requests a minute, or null), `quota_form`, `clock_skew`, `latency_ms`, `s3_latency_ms`, `token_lifetime_s`, `queue_wait_ms`, `s3_url_lifetime_s`, `unhealthy` (a list of `ssh`, `scheduler`, `s3`) |
//! | `POST /jobs` | `{"count": 100, "state": "RUNNING"}` adds jobs without processes; answers with their ids |
//! | `PUT /jobs/{id}/state` | `{"state": "FAILED"}`, or null for the real one |
//! | `POST /tokens/revoke` | makes all tokens so far invalid |
//! | `GET /requests`, `DELETE /requests` | what was asked of the API: method, path, query, status; forgets it, the object store's too |
//! | `GET /counts` | how much was asked since then, of the API (its tokens apart) and of the object store (by clients): `{"requests", "tokens", "s3_requests", "bytes_in", "bytes_out"}` |
//!
//! Durations in faults are milliseconds. What cannot be read is 400 with the reason; a success without content is 204.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::faults::Fault;
use crate::knobs::{Knobs, Quota, RetryAfter, Service};
use crate::s3::S3Fault;
use crate::state::State;

const BODY_LIMIT: usize = 1 << 20;

/// What comes of a request: a value or nothing, or a status with a reason.
type Reply = Result<Option<Value>, (u16, String)>;

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    while let Some(stream) = crate::server::accept(&listener, &mut stop).await {
        let (state, mut stop) = (state.clone(), stop.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let state = state.clone();
                async move { Ok::<_, Infallible>(handle(&state, request).await) }
            });
            let serving =
                http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                _ = serving => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }
}

async fn handle(state: &State, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let reply = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => act(state, &parts.method, parts.uri.path(), &body.to_bytes()),
        Err(error) => Err((400, format!("the body: {error}"))),
    };
    let (status, body) = match reply {
        Ok(Some(value)) => (200, value.to_string()),
        Ok(None) => (204, String::new()),
        Err((status, reason)) => (status, json!({ "error": reason }).to_string()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or_default();
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/json"));
    response
}

fn act(state: &State, method: &Method, path: &str, body: &[u8]) -> Reply {
    let names: Vec<&str> = path.trim_matches('/').split('/').collect();
    match (method.as_str(), names.as_slice()) {
        ("GET", ["faults"]) => {
            let script = crate::lock(&state.faults);
            let planted_s3 = crate::lock(&state.objects.faults).clone();
            let struck_s3 = crate::lock(&state.objects.struck).clone();
            Ok(Some(json!({
                "planted": script.planted, "struck": script.struck, "planted_s3": planted_s3, "struck_s3": struck_s3,
            })))
        }
        ("POST", ["faults"]) => {
            let faults: Vec<Fault> = one_or_many(body)?;
            crate::lock(&state.faults).planted.extend(faults);
            Ok(None)
        }
        ("POST", ["s3-faults"]) => {
            let faults: Vec<S3Fault> = one_or_many(body)?;
            crate::lock(&state.objects.faults).extend(faults);
            Ok(None)
        }
        ("DELETE", ["faults"]) => {
            state.clear_faults();
            Ok(None)
        }
        ("PATCH", ["knobs"]) => {
            let turned: Turned = read(body)?;
            let unhealthy = turned.unhealthy()?;
            state.adjust(|knobs| turned.apply(knobs, unhealthy));
            Ok(None)
        }
        ("POST", ["jobs"]) => {
            let NewJobs { count, state: shown } = read(body)?;
            Ok(Some(json!(state.add_jobs(count, &shown))))
        }
        ("PUT", ["jobs", id, "state"]) => {
            let wanted: JobState = read(body)?;
            let known = id.parse().is_ok_and(|id| state.scheduler.set_state(id, wanted.state));
            if known { Ok(None) } else { Err((404, format!("no job {id}"))) }
        }
        ("POST", ["tokens", "revoke"]) => {
            state.auth.revoke_all();
            Ok(None)
        }
        ("GET", ["requests"]) => Ok(Some(requests(state))),
        ("GET", ["counts"]) => Ok(Some(counts(state))),
        ("DELETE", ["requests"]) => {
            state.recorder.clear();
            state.objects.recorder.clear();
            Ok(None)
        }
        _ => Err((404, format!("{method} {path}: nothing here"))),
    }
}

fn requests(state: &State) -> Value {
    let seen = state.recorder.all().into_iter().map(|seen| {
        json!({
            "method": seen.method,
            "path": seen.path,
            "query": seen.query,
            "status": seen.status,
            "bytes_in": seen.bytes_in,
            "bytes_out": seen.bytes_out,
        })
    });
    seen.collect()
}

/// Bytes are those of bodies.
fn counts(state: &State) -> Value {
    let api = state.recorder.all();
    let s3: Vec<_> = state.objects.recorder.all().into_iter().filter(|seen| !seen.from_job).collect();
    let tokens = api.iter().filter(|seen| seen.path.starts_with(crate::auth::REALM)).count();
    let into = api.iter().map(|seen| seen.bytes_in).chain(s3.iter().map(|seen| seen.bytes_in)).sum::<u64>();
    let out = api.iter().map(|seen| seen.bytes_out).chain(s3.iter().map(|seen| seen.bytes_out)).sum::<u64>();
    json!({
        "requests": api.len() - tokens,
        "tokens": tokens,
        "s3_requests": s3.len(),
        "bytes_in": into,
        "bytes_out": out,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewJobs {
    count: usize,
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JobState {
    state: Option<String>,
}

/// Knobs as JSON. What is not there is left as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turned {
    /// Null takes the quota away.
    #[serde(default, deserialize_with = "given")]
    quota: Option<Option<u32>>,
    quota_form: Option<RetryAfter>,
    clock_skew: Option<i64>,
    latency_ms: Option<u64>,
    s3_latency_ms: Option<u64>,
    token_lifetime_s: Option<u64>,
    queue_wait_ms: Option<u64>,
    s3_url_lifetime_s: Option<u64>,
    unhealthy: Option<Vec<String>>,
}

/// Tells null from nothing.
fn given<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Turned {
    fn unhealthy(&self) -> Result<Option<Vec<Service>>, (u16, String)> {
        let Some(names) = &self.unhealthy else {
            return Ok(None);
        };
        let service = |name: &String| match name.as_str() {
            "ssh" => Ok(Service::Ssh),
            "scheduler" => Ok(Service::Scheduler),
            "s3" => Ok(Service::S3),
            other => Err((400, format!("no service {other}: ssh, scheduler, s3"))),
        };
        names.iter().map(service).collect::<Result<_, _>>().map(Some)
    }

    fn apply(self, knobs: &mut Knobs, unhealthy: Option<Vec<Service>>) {
        let form = self.quota_form.or(knobs.quota.map(|quota| quota.form)).unwrap_or(RetryAfter::Seconds);
        if let Some(quota) = self.quota {
            knobs.quota = quota.map(Quota::per_minute);
        }
        if let Some(quota) = &mut knobs.quota {
            quota.form = form;
        }
        if let Some(seconds) = self.clock_skew {
            knobs.clock_skew = seconds;
        }
        let set = |knob: &mut Duration, value: Option<Duration>| {
            if let Some(value) = value {
                *knob = value;
            }
        };
        set(&mut knobs.latency, self.latency_ms.map(Duration::from_millis));
        set(&mut knobs.s3_latency, self.s3_latency_ms.map(Duration::from_millis));
        set(&mut knobs.token_lifetime, self.token_lifetime_s.map(Duration::from_secs));
        set(&mut knobs.queue_wait, self.queue_wait_ms.map(Duration::from_millis));
        set(&mut knobs.s3_url_lifetime, self.s3_url_lifetime_s.map(Duration::from_secs));
        if let Some(services) = unhealthy {
            knobs.unhealthy = services.into_iter().collect();
        }
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, (u16, String)> {
    serde_json::from_slice(body).map_err(|error| (400, error.to_string()))
}

fn one_or_many<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, (u16, String)> {
    match read(body)? {
        Value::Array(many) => {
            let each = many.into_iter().map(serde_json::from_value);
            each.collect::<Result<_, _>>().map_err(|error| (400, error.to_string()))
        }
        one => serde_json::from_value(one).map(|one| vec![one]).map_err(|error| (400, error.to_string())),
    }
}
