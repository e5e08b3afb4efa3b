//! The listener, and what surrounds every request: latency, health, planted faults, the record.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioTimer;
use s3s::auth::SimpleAuth;
use s3s::config::{S3Config, StaticConfigProvider};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::validation::NameValidation;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::api::Api;
use super::fault::{S3FaultKind, strike};
use super::metered::{Inward, Outward};
use super::record::S3RequestRecord;
use super::{JOB_AGENT, ObjectStore};
use crate::faults::Struck;
use crate::knobs::Service;
use crate::request::{parse_form, percent_decode};
use crate::server::{Line, accept, line};

/// Buckets are named as users are.
struct AnyName;

impl NameValidation for AnyName {
    fn validate_bucket_name(&self, name: &str) -> bool {
        !name.is_empty()
    }
}

/// Serves until told to stop.
pub(super) async fn serve(listener: TcpListener, store: Arc<ObjectStore>, mut stop: watch::Receiver<bool>) {
    let mut builder = S3ServiceBuilder::new(Api(store.clone()));
    builder.set_auth(SimpleAuth::from_single(store.signer.key.as_str(), store.signer.secret.as_str()));
    builder.set_validation(AnyName);
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(S3Config::default()))));
    let service = builder.build();
    let connections = AtomicU64::new(0);
    while let Some(stream) = accept(&listener, &mut stop).await {
        let number = connections.fetch_add(1, Ordering::Relaxed) + 1;
        let (store, service, mut stop) = (store.clone(), service.clone(), stop.clone());
        tokio::spawn(async move {
            let (io, line) = line(stream);
            let answer = service_fn(move |request| {
                let (store, service, line) = (store.clone(), service.clone(), line.clone());
                async move { Ok::<_, Infallible>(handle(&store, &service, &line, number, request).await) }
            });
            let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, answer);
            tokio::select! {
                _ = serving => {}
                _ = stop.wait_for(|stop| *stop) => {}
            }
        });
    }
}

async fn handle(
    store: &ObjectStore,
    service: &S3Service,
    line: &Line,
    connection: u64,
    request: Request<Incoming>,
) -> Response<Outward> {
    let seen = record(connection, &request);
    let (latency, healthy) = {
        let knobs = crate::read(&store.knobs);
        (knobs.s3_latency, !knobs.unhealthy.contains(&Service::S3))
    };
    let fault = strike(&mut crate::lock(&store.faults), &seen.method, &seen.key, seen.part, seen.from_job);
    if let Some(kind) = &fault {
        let struck = Struck { method: seen.method.clone(), path: seen.key.clone(), fault: kind.name() };
        crate::lock(&store.struck).push(struck);
    }
    let place = (seen.bucket.clone(), seen.key.clone(), seen.part);
    let ticket = store.recorder.arrived(seen);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    let plain = |status: u16, body: String| {
        ticket.answered(status);
        outward(status, body, ticket.clone())
    };
    let mut left = None;
    match &fault {
        Some(S3FaultKind::DropBefore) => {
            line.cut();
            return outward(500, String::new(), ticket.clone());
        }
        Some(S3FaultKind::Delay(delay)) => tokio::time::sleep(*delay).await,
        Some(S3FaultKind::CutAfter(bytes)) => left = Some(*bytes),
        Some(kind) => {
            if let Some((status, body)) = kind.refusal() {
                return plain(status, body);
            }
        }
        None => {}
    }
    let lost = Some(place).filter(|_| fault == Some(S3FaultKind::Lose));
    if !healthy {
        return plain(503, error("ServiceUnavailable", "Please reduce your request rate."));
    }
    let body_ticket = ticket.clone();
    let request = request.map(|inner| s3s::Body::http_body(Inward { inner, ticket: body_ticket }));
    let mut response = match service.call(request).await {
        Ok(response) => response,
        Err(_) => return plain(500, error("InternalError", "We encountered an internal error. Please try again.")),
    };
    if let Ok(id) = http::HeaderValue::from_str(&uuid::Uuid::new_v4().simple().to_string()) {
        response.headers_mut().insert("x-amz-request-id", id);
    }
    ticket.answered(response.status().as_u16());
    if let Some((bucket, key, part)) = lost.filter(|_| response.status().is_success()) {
        store.store.lose(&bucket, &key, part);
    }
    if fault == Some(S3FaultKind::DropAfter) {
        line.cut();
        return outward(500, String::new(), ticket.clone());
    }
    response.map(|inner| Outward { inner, ticket, left, pause: None })
}

/// What is known of a request before it is looked at.
fn record(connection: u64, request: &Request<Incoming>) -> S3RequestRecord {
    let path = percent_decode(request.uri().path());
    let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((path.trim_start_matches('/'), ""));
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let part = parse_form(request.uri().query().unwrap_or_default())
        .into_iter()
        .find(|(name, _)| name == "partNumber")
        .and_then(|(_, number)| number.parse().ok());
    S3RequestRecord {
        method: request.method().as_str().to_owned(),
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        part,
        range: header("range").map(str::to_owned),
        from_job: header("user-agent") == Some(JOB_AGENT),
        status: 0,
        bytes_in: 0,
        bytes_out: 0,
        connection,
        elapsed: Duration::ZERO,
    }
}

pub(super) fn error(code: &str, message: &str) -> String {
    format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>")
}

fn outward(status: u16, body: String, ticket: super::record::Ticket) -> Response<Outward> {
    let inner = s3s::Body::from(body);
    let mut response = Response::new(Outward { inner, ticket, left: None, pause: None });
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("application/xml"));
    response
}
