//! The wire of the component: wasi:http, waited for with wstd's reactor.

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::{Either, LocalBoxFuture, select};
use wasip2::clocks::{monotonic_clock, wall_clock};
use wasip2::filesystem::types::filesystem_error_code;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    self as wire, ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingResponse, OutgoingBody,
    OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};

use super::{Body, Method, Part, Platform, Request, Response, ResponseBody, SendError};
use crate::error::Error;
use crate::local::LocalWriter;
use crate::local::stream::{flush, read, ready, write};
use crate::watch::Watch;

/// One read or splice moves at most this much. Larger pieces bring nothing (tried: 64 KiB and 1 MiB) and would sit in memory.
const PIECE: u64 = 256 * 1024;

/// Small pieces of a body are joined until there are so many bytes.
const JOINED: usize = 64 * 1024;

/// After a stop, the answer to a change that has been sent is awaited for this long: better to know than to leave it in doubt.
const LAST_WORD: Duration = Duration::from_millis(500);

/// wasi:http, wasi:clocks and wasi:random.
#[derive(Default)]
pub struct WasiPlatform {
    watch: Rc<Watch>,
    mark: u64,
}

impl WasiPlatform {
    /// For the calls of that watch, in the instance of that mark.
    pub fn new(watch: Rc<Watch>, mark: u64) -> Self {
        Self { watch, mark }
    }
}

/// Resolves after that time.
pub async fn pause(duration: Duration) {
    ready(monotonic_clock::subscribe_duration(duration.as_nanos().try_into().unwrap_or(u64::MAX))).await;
}

/// Ends early with an error when the host says stop.
async fn unless_stopped<T>(watch: &Watch, future: impl Future<Output = Result<T, SendError>>) -> Result<T, SendError> {
    match select(pin!(future), pin!(watch.stopped())).await {
        Either::Left((output, _)) => output,
        Either::Right(((), _)) => Err(SendError::Stopped { sent: false }),
    }
}

impl Platform for WasiPlatform {
    fn send<'a>(&'a self, request: &'a Request) -> LocalBoxFuture<'a, Result<Response, SendError>> {
        Box::pin(send(request, &self.watch))
    }

    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()> {
        let watch = Rc::clone(&self.watch);
        Box::pin(async move {
            select(pin!(pause(duration)), pin!(watch.stopped())).await;
        })
    }

    fn unix_now(&self) -> u64 {
        wall_clock::now().seconds
    }

    fn monotonic(&self) -> Duration {
        Duration::from_nanos(monotonic_clock::now())
    }

    fn random(&self) -> u64 {
        wasip2::random::random::get_random_u64()
    }

    fn mark(&self) -> u64 {
        self.mark
    }

    fn watch(&self) -> &Rc<Watch> {
        &self.watch
    }
}

/// How far a request is.
#[derive(Default)]
struct Sending {
    /// Bytes of files.
    moved: Cell<u64>,
    /// The server may have all of it.
    whole: Cell<bool>,
}

async fn send(request: &Request, watch: &Rc<Watch>) -> Result<Response, SendError> {
    if watch.is_stopped() {
        return Err(SendError::Stopped { sent: false });
    }
    let sending = Sending::default();
    let stop = async {
        watch.stopped().await;
        if sending.whole.get() && request.method != Method::Get {
            pause(LAST_WORD).await;
        }
    };
    let answered = match select(pin!(exchange(request, watch, &sending)), pin!(stop)).await {
        Either::Left((answered, _)) => answered,
        Either::Right(((), _)) => Err(SendError::Stopped { sent: sending.whole.get() }),
    };
    if !matches!(&answered, Ok(response) if response.status < 400) {
        watch.lost(sending.moved.get());
    }
    answered
}

async fn exchange(request: &Request, watch: &Rc<Watch>, sending: &Sending) -> Result<Response, SendError> {
    let (outgoing, options) = prepare(request)?;
    let body = outgoing.body().map_err(|()| SendError::Other("the request has no body to write".into()))?;
    let future = outgoing_handler::handle(outgoing, Some(options)).map_err(|code| send_error(&code))?;

    // The body is written while the answer is awaited: a server may answer, and close, before it has read everything.
    let writing = Box::pin(write_body(body, &request.body, watch, sending));
    let answering = Box::pin(answer(future));
    let response = match select(writing, answering).await {
        Either::Right((response, _unfinished_body)) => response?,
        Either::Left((Ok(()), answering)) => answering.await?,
        // Not sent to its end. If the server answered all the same, its answer says more; if not, the local cause does.
        Either::Left((Err(error @ SendError::Local(_)), _)) => return Err(error),
        Either::Left((Err(error), answering)) => answering.await.map_err(|code| match code {
            SendError::Other(_) => error,
            code => code,
        })?,
    };
    let headers = response
        .headers()
        .entries()
        .into_iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), String::from_utf8_lossy(&value).into_owned()))
        .collect();
    let status = response.status();
    let body = response.consume().map_err(|()| SendError::Other("the answer's body was taken twice".into()))?;
    let stream = body.stream().map_err(|()| SendError::Other("the answer's body was taken twice".into()))?;
    Ok(Response {
        status,
        headers,
        body: Box::new(WasiBody { watch: Rc::clone(watch), stream, _body: body, _response: response }),
    })
}

fn prepare(request: &Request) -> Result<(OutgoingRequest, RequestOptions), SendError> {
    let bad = |what: &str| SendError::Other(format!("the request's {what} is not acceptable"));
    let mut headers: Vec<(String, Vec<u8>)> =
        request.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into_bytes())).collect();
    if !matches!(request.body, Body::Empty) || matches!(request.method, Method::Post | Method::Put) {
        headers.push(("content-length".into(), request.body.length().to_string().into_bytes()));
    }
    let headers = Fields::from_list(&headers).map_err(|_| bad("headers"))?;
    let outgoing = OutgoingRequest::new(headers);
    let method = match request.method {
        Method::Get => wire::Method::Get,
        Method::Post => wire::Method::Post,
        Method::Put => wire::Method::Put,
        Method::Delete => wire::Method::Delete,
    };
    let scheme = if request.url.secure() { Scheme::Https } else { Scheme::Http };
    outgoing.set_method(&method).map_err(|()| bad("method"))?;
    outgoing.set_scheme(Some(&scheme)).map_err(|()| bad("scheme"))?;
    outgoing.set_authority(Some(request.url.authority())).map_err(|()| bad("host"))?;
    outgoing.set_path_with_query(Some(request.url.path_and_query())).map_err(|()| bad("path"))?;
    let nanos = |d: Duration| Some(d.as_nanos().try_into().unwrap_or(u64::MAX));
    let options = RequestOptions::new();
    // A host that cannot limit one of these says so; the others still hold.
    let _ = options.set_connect_timeout(nanos(request.limits.connect));
    let _ = options.set_first_byte_timeout(nanos(request.limits.first_byte));
    let _ = options.set_between_bytes_timeout(nanos(request.limits.between_bytes));
    Ok((outgoing, options))
}

async fn answer(future: FutureIncomingResponse) -> Result<IncomingResponse, SendError> {
    loop {
        if let Some(result) = future.get() {
            return result
                .map_err(|()| SendError::Other("the answer was taken twice".into()))?
                .map_err(|code| send_error(&code));
        }
        ready(future.subscribe()).await;
    }
}

async fn write_body(body: OutgoingBody, content: &Body, watch: &Watch, sending: &Sending) -> Result<(), SendError> {
    if !matches!(content, Body::Empty) {
        let stream = body.write().map_err(|()| SendError::Other("the request's body was taken twice".into()))?;
        match content {
            Body::Empty => {}
            Body::Bytes(bytes) => write(&stream, bytes).await.map_err(stream_error)?,
            Body::Parts(parts) => write_parts(&stream, parts, watch, sending).await?,
        }
        match flush(&stream).await {
            // The peer has answered and closed: the answer decides.
            Ok(()) | Err(StreamError::Closed) => {}
            Err(error) => return Err(stream_error(error)),
        }
    }
    sending.whole.set(true);
    OutgoingBody::finish(body, None).map_err(|code| send_error(&code))
}

/// Pieces that are in memory, and small files, are joined: a write of its own for each would take longer than its bytes.
async fn write_parts(stream: &OutputStream, parts: &[Part], watch: &Watch, sending: &Sending) -> Result<(), SendError> {
    let local = |error: Error| SendError::Local(error.info.message.clone());
    let moved = |n| {
        sending.moved.set(sending.moved.get() + n);
        watch.moved(n);
    };
    let (mut joined, mut of_files) = (Vec::new(), 0);
    let mut parts = parts.iter();
    loop {
        let part = parts.next();
        let at_once = part.and_then(Part::at_once);
        let streamed = part.filter(|_| at_once.is_none());
        if let (Some(bytes), Some(part)) = (at_once, part) {
            joined.extend_from_slice(&bytes.map_err(local)?);
            of_files += if matches!(part, Part::File { .. }) { part.length() } else { 0 };
            if joined.len() < JOINED {
                continue;
            }
        }
        // Waited for in any case: meanwhile a stop is heard.
        ready(stream.subscribe()).await;
        write(stream, &joined).await.map_err(stream_error)?;
        joined.clear();
        moved(std::mem::take(&mut of_files));
        match streamed {
            Some(Part::File { file, offset, length }) => {
                let reader = file.read_from(*offset).await.map_err(local)?;
                splice(reader.stream(), stream, *length, moved).await?;
            }
            _ if part.is_none() => return Ok(()),
            _ => {}
        }
    }
}

/// Moves exactly `length` bytes without their entering this component's memory.
async fn splice(from: &InputStream, to: &OutputStream, length: u64, moved: impl Fn(u64)) -> Result<(), SendError> {
    let mut left = length;
    while left > 0 {
        ready(to.subscribe()).await;
        match to.splice(from, left.min(PIECE)) {
            // Waited for when it is known to have nothing: a wait before would have wasmtime read a file by its smallest pieces.
            Ok(0) => ready(from.subscribe()).await,
            Ok(n) => {
                left -= n;
                moved(n);
            }
            // One of the two has ended: if the way out is still open, it was the file.
            Err(StreamError::Closed) if to.check_write().is_ok() => {
                return Err(SendError::Local(format!("the local file ended {left} bytes early")));
            }
            Err(StreamError::Closed) => {
                return Err(SendError::Reset(format!("{left} bytes were still to be sent")));
            }
            Err(error) => return Err(stream_error(error)),
        }
    }
    Ok(())
}

/// Fields are dropped in order: the stream is a child of the body, the body of the response.
struct WasiBody {
    watch: Rc<Watch>,
    stream: InputStream,
    _body: IncomingBody,
    _response: IncomingResponse,
}

impl ResponseBody for WasiBody {
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, SendError>> {
        Box::pin(async move {
            unless_stopped(&self.watch, async { read(&self.stream, PIECE).await.map_err(stream_error) }).await
        })
    }

    fn stream(&self) -> &InputStream {
        &self.stream
    }

    fn move_to<'a>(&'a mut self, writer: &'a mut dyn LocalWriter) -> LocalBoxFuture<'a, Result<u64, SendError>> {
        Box::pin(async move { unless_stopped(&self.watch, move_piece(&self.stream, writer.stream())).await })
    }
}

async fn move_piece(from: &InputStream, to: &OutputStream) -> Result<u64, SendError> {
    loop {
        ready(to.subscribe()).await;
        match to.splice(from, PIECE) {
            Ok(0) => ready(from.subscribe()).await,
            Ok(moved) => return Ok(moved),
            Err(StreamError::Closed) if to.check_write().is_err() => {
                return Err(SendError::Local("the local file was closed".into()));
            }
            Err(StreamError::Closed) => return Ok(0),
            Err(error) => return Err(stream_error(error)),
        }
    }
}

fn stream_error(error: StreamError) -> SendError {
    match error {
        StreamError::Closed => SendError::Reset("closed".into()),
        StreamError::LastOperationFailed(error) => match wire::http_error_code(&error) {
            Some(code) => send_error(&code),
            None if filesystem_error_code(&error).is_some() => SendError::Local(error.to_debug_string()),
            None => broken(error.to_debug_string()),
        },
    }
}

/// An answer's body broke off, or stopped coming. wasmtime 48 knows no code for that (its `p2/body.rs` hands out another type than
/// `http-error-code` looks for): its words are all there is.
fn broken(words: String) -> SendError {
    if words.contains("timeout") { SendError::Timeout(words) } else { SendError::Reset(words) }
}

/// From the runtime's word to what matters here: can the server have seen the request?
fn send_error(code: &ErrorCode) -> SendError {
    match code {
        ErrorCode::HttpRequestDenied | ErrorCode::DestinationIpProhibited => SendError::Denied,
        ErrorCode::DnsTimeout => SendError::Dns("no answer in time".into()),
        ErrorCode::DnsError(error) => SendError::Dns(error.rcode.clone().unwrap_or_else(|| "not found".into())),
        ErrorCode::DestinationNotFound | ErrorCode::DestinationIpUnroutable | ErrorCode::DestinationUnavailable => {
            SendError::Connect("unreachable".into())
        }
        ErrorCode::ConnectionRefused => SendError::Connect("refused".into()),
        ErrorCode::ConnectionTimeout => SendError::Connect("not in time".into()),
        ErrorCode::ConnectionLimitReached => SendError::Connect("too many connections".into()),
        ErrorCode::TlsProtocolError => {
            SendError::Tls("the other side does not speak TLS, or not a version in common".into())
        }
        ErrorCode::TlsCertificateError => SendError::Tls("its certificate is not trusted".into()),
        ErrorCode::TlsAlertReceived(alert) => {
            SendError::Tls(alert.alert_message.clone().unwrap_or_else(|| "refused by the other side".into()))
        }
        ErrorCode::ConnectionTerminated => SendError::Reset("ended by the other side".into()),
        ErrorCode::HttpResponseIncomplete => SendError::Reset("the answer was cut".into()),
        ErrorCode::ConnectionReadTimeout | ErrorCode::HttpResponseTimeout => {
            SendError::Timeout("waiting for it".into())
        }
        ErrorCode::ConnectionWriteTimeout => SendError::Timeout("sending the request".into()),
        ErrorCode::HttpProtocolError => SendError::Protocol("what came is not an answer of HTTP".into()),
        ErrorCode::HttpResponseHeaderSectionSize(_) | ErrorCode::HttpResponseHeaderSize(_) => {
            SendError::Protocol("its head is too large".into())
        }
        ErrorCode::HttpResponseTransferCoding(_) | ErrorCode::HttpResponseContentCoding(_) => {
            SendError::Protocol("its coding is unknown".into())
        }
        ErrorCode::HttpUpgradeFailed => SendError::Protocol("it wants another protocol".into()),
        ErrorCode::InternalError(Some(text)) => SendError::Other(text.clone()),
        _ => SendError::Other("the host gave it up".into()),
    }
}
