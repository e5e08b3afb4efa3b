//! Routes, and what surrounds every request: latency, quota, planted faults, the token, the headers, the record.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::Serialize;

use crate::errors::{ApiError, Origin};
use crate::faults::{FaultKind, LIMIT_EXCEEDED, Paced, Refusal};
use crate::knobs::Knobs;
use crate::request::{Request, parse_form, percent_decode};
use crate::routes::{self, Endpoint, Found};
use crate::server::Line;
use crate::state::State;
use crate::{auth, files, jobs, status, transfer};

/// The most that a request's body may hold: far over every limit that is answered properly.
const BODY_LIMIT: usize = 512 * 1024 * 1024;

/// A handler's success.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(status: u16, value: &impl Serialize) -> Self {
        Self { status, content_type: "application/json", body: serde_json::to_vec(value).unwrap_or_default().into() }
    }

    pub(crate) fn nothing() -> Self {
        Self { status: 204, content_type: "application/json", body: Bytes::new() }
    }

    pub(crate) fn bytes(body: Vec<u8>) -> Self {
        Self { status: 200, content_type: "application/octet-stream", body: body.into() }
    }
}

/// Serves one request of a connection.
pub(crate) async fn handle(
    state: Arc<State>,
    line: Line,
    connection: u64,
    request: http::Request<Incoming>,
) -> Response<Paced> {
    let (parts, body) = request.into_parts();
    let method = parts.method.as_str().to_owned();
    let ticket = state.recorder.arrived(&method, parts.uri.path(), parts.uri.query(), connection);
    let body = match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            line.close_after_answer();
            return plain(413, "request body too large", &[]).map(|bytes| Paced::new(bytes, None));
        }
    };
    state.recorder.received(&ticket, body.len() as u64);
    let knobs = state.knobs();
    if !knobs.latency.is_zero() {
        tokio::time::sleep(knobs.latency).await;
    }
    let path = percent_decode(parts.uri.path()).to_lowercase();
    let fault = state.fault(&method, &path);
    let asked = Asked {
        method: &method,
        path: &path,
        raw_query: parts.uri.query(),
        query: parse_form(parts.uri.query().unwrap_or_default()),
        headers: parts.headers,
        body,
        fault: fault.clone(),
    };
    let Some(mut response) = act(&state, &line, &knobs, asked).await else {
        return plain(500, "", &[]).map(|bytes| Paced::new(bytes, None));
    };
    insert(response.headers_mut(), "date", &crate::status::http_date(knobs.now()));
    state.recorder.answered(&ticket, response.status().as_u16(), response.body().len() as u64);
    if fault == Some(FaultKind::DropAfter) {
        line.cut();
    }
    response.map(|bytes| Paced::new(bytes, fault.as_ref()))
}

/// The answer, whatever stands in its way. None: the connection ends before anything is done.
async fn act(state: &Arc<State>, line: &Line, knobs: &Knobs, asked: Asked<'_>) -> Option<Response<Bytes>> {
    match &asked.fault {
        Some(FaultKind::DropBefore) => {
            line.cut();
            return None;
        }
        Some(FaultKind::Reset) => {
            line.reset();
            return None;
        }
        Some(FaultKind::Delay(delay)) => tokio::time::sleep(*delay).await,
        Some(fault) => {
            let authorization = asked.headers.get("authorization").and_then(|value| value.to_str().ok());
            if let Some(refusal) = fault.refusal(authorization) {
                return Some(stand_in(refusal));
            }
        }
        None => {}
    }
    let in_realm = asked.path.starts_with(auth::REALM);
    let gateway = if in_realm { None } else { state.gateway(knobs.quota) };
    if let Some(gateway) = gateway.as_ref().filter(|gateway| gateway.refused) {
        let headers: Vec<(&str, &str)> = gateway.headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        return Some(plain(429, LIMIT_EXCEEDED, &headers));
    }
    let substitute = asked.fault.as_ref().and_then(FaultKind::substitute);
    let twice = asked.fault == Some(FaultKind::Twice);
    let mut response = if in_realm {
        realm(state, asked.method, asked.path, &asked.headers, &asked.body)
    } else {
        if twice {
            api(state, line, &knobs.version, asked.clone()).await;
        }
        api(state, line, &knobs.version, asked).await
    };
    for (name, value) in gateway.iter().flat_map(|gateway| &gateway.headers) {
        insert(response.headers_mut(), name, value);
    }
    Some(substitute.map_or(response, stand_in))
}

fn stand_in(refusal: Refusal) -> Response<Bytes> {
    let mut response = respond(refusal.status, refusal.kind, refusal.body.into());
    for (name, value) in &refusal.headers {
        insert(response.headers_mut(), name, value);
    }
    response
}

/// A request with its body, not yet matched to a route.
#[derive(Clone)]
struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    raw_query: Option<&'a str>,
    query: Vec<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
    fault: Option<FaultKind>,
}

async fn api(state: &Arc<State>, line: &Line, version: &str, asked: Asked<'_>) -> Response<Bytes> {
    let ids = Ids::of(&asked.headers);
    let now = crate::read(&state.knobs).now();
    let mut user = None;
    let result = match routes::find(asked.method, asked.path) {
        Found::Route(endpoint, origin, captures) => {
            let Asked { query, headers, body, fault, .. } = asked;
            let request = Request { query, headers, body, origin, fault };
            dispatch(state, endpoint, &captures, &request, &mut user).await
        }
        Found::OtherMethod(allow) => Err(ApiError::new(405, "Method Not Allowed").header("allow", allow)),
        Found::OtherSlash(path) => {
            let query = asked.raw_query.map_or_else(String::new, |query| format!("?{query}"));
            let mut response = respond(307, "", Bytes::new());
            response.headers_mut().remove("content-type");
            insert(response.headers_mut(), "location", &format!("{}{path}{query}", state.url));
            common_headers(response.headers_mut(), version, now);
            ids.write(response.headers_mut());
            return response;
        }
        Found::Nothing => Err(ApiError::new(404, "Not Found")),
    };
    match result {
        Ok(answer) => {
            let mut response = respond(answer.status, answer.content_type, answer.body);
            common_headers(response.headers_mut(), version, now);
            ids.write(response.headers_mut());
            response
        }
        Err(error) => {
            let body = error.body(user.as_deref());
            let mut response = respond(error.status, "application/json", body.into());
            common_headers(response.headers_mut(), version, now);
            for (name, value) in &error.headers {
                insert(response.headers_mut(), name, value);
            }
            if !error.unhandled {
                ids.write(response.headers_mut());
                if let Some(user) = &user {
                    insert(response.headers_mut(), "f7t-authusername", user);
                }
            }
            if error.drop_connection {
                line.close_after_answer();
            }
            response
        }
    }
}

async fn dispatch(
    state: &Arc<State>,
    endpoint: Endpoint,
    captures: &[String],
    request: &Request,
    user: &mut Option<String>,
) -> Result<Answer, ApiError> {
    if endpoint == Endpoint::Liveness {
        return Ok(status::liveness(state));
    }
    if endpoint.takes_json() && !request.body.is_empty() && request.json().is_none() {
        let mut check = request.check();
        check.error_with(crate::errors::FieldError {
            kind: "json_invalid",
            location: vec!["body".into(), "0".into()],
            message: "JSON decode error".into(),
            input: serde_json::json!({}),
            context: Some(("error", "Expecting value".into())),
        });
        check.done()?;
    }
    if endpoint == Endpoint::Upload {
        // Like JSON, a form is read before anybody asks who sends it.
        files::form_file(request.header("content-type").unwrap_or_default(), &request.body, "file")?;
    }
    let name = state.auth.user(request.header("authorization"))?;
    *user = Some(name.clone());
    if endpoint == Endpoint::Systems {
        return Ok(status::systems(state));
    }
    let ctx = state.system(captures.first().map_or("", String::as_str))?;
    let job_id = captures.get(1).map_or("", String::as_str);
    if request.fault == Some(FaultKind::DiskFull)
        && let Some(error) = crate::errors::disk_full(endpoint, request)
    {
        return Err(error);
    }
    match endpoint.area() {
        routes::Area::Status => status::on_system(&ctx, endpoint, &name).await,
        routes::Area::Compute => jobs::handle(&ctx, endpoint, job_id, request, &name).await,
        routes::Area::Ops => files::handle(&ctx, endpoint, request, &name).await,
        routes::Area::Transfer => transfer::handle(&ctx, endpoint, request, &name).await,
    }
}

/// The token server.
fn realm(state: &State, method: &str, path: &str, headers: &HeaderMap, body: &Bytes) -> Response<Bytes> {
    let rest = &path[auth::REALM.len()..];
    let (status, value) = match (method, rest) {
        ("POST", "/protocol/openid-connect/token") => {
            let form = parse_form(&String::from_utf8_lossy(body));
            let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
            let lifetime = crate::read(&state.knobs).token_lifetime;
            state.auth.grant(&state.issuer(), authorization, &form, lifetime)
        }
        ("GET", "/protocol/openid-connect/certs") => (200, state.auth.key_set()),
        ("GET", "/.well-known/openid-configuration") => {
            let issuer = state.issuer();
            (
                200,
                serde_json::json!({
                    "issuer": issuer,
                    "token_endpoint": format!("{issuer}/protocol/openid-connect/token"),
                    "jwks_uri": format!("{issuer}/protocol/openid-connect/certs"),
                    "grant_types_supported": ["client_credentials"],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                }),
            )
        }
        (_, "/protocol/openid-connect/token") => (405, serde_json::json!({"error": "HTTP 405 Method Not Allowed"})),
        _ => (404, serde_json::json!({"error": "HTTP 404 Not Found"})),
    };
    respond(status, "application/json", value.to_string().into())
}

/// The ids that a request carries, or gets.
struct Ids {
    request: String,
    correlation: String,
}

impl Ids {
    fn of(headers: &HeaderMap) -> Self {
        let id = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map_or_else(|| uuid::Uuid::new_v4().simple().to_string(), str::to_owned)
        };
        Self { request: id("x-request-id"), correlation: id("x-correlation-id") }
    }

    fn write(&self, headers: &mut HeaderMap) {
        insert(headers, "x-request-id", &self.request);
        insert(headers, "x-correlation-id", &self.correlation);
    }
}

fn common_headers(headers: &mut HeaderMap, version: &str, now: SystemTime) {
    insert(headers, "f7t-timestamp", &format!("{:.7}", auth::unix(now)));
    insert(headers, "f7t-appversion", version);
}

fn insert(headers: &mut HeaderMap, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

fn respond(status: u16, content_type: &str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    insert(response.headers_mut(), "server", "uvicorn");
    if !content_type.is_empty() {
        insert(response.headers_mut(), "content-type", content_type);
    }
    response
}

fn plain(status: u16, body: &str, headers: &[(&str, &str)]) -> Response<Bytes> {
    let mut response = respond(status, "application/json", body.to_owned().into());
    for (name, value) in headers {
        insert(response.headers_mut(), name, value);
    }
    response
}

/// The origin of a route, for its validation errors.
pub(crate) const fn origin(
    file: &'static str,
    line: u32,
    function: &'static str,
    method: &'static str,
    path: &'static str,
) -> Origin {
    Origin { file, line, function, method, path }
}
