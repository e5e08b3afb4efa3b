//! A server that says the same every time, at once: what is measured against it is the client.
//!
//! It speaks HTTP/1.1 on loopback, on a thread of its own. Its answers have the shape and the length of FirecREST 2.5.7's.

use crate::answers;
use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};
use std::time::Duration;

/// Entries of the long listing, and jobs of the long answer.
pub const MANY: usize = 10_000;

/// Bytes of the file that lies past one download, in the "object store" (which is this server, too).
pub const LARGE: u64 = 256 << 20;

/// A path of a file of that size; every other path is a small file.
pub const LARGE_PATH: &str = "/home/u/large.bin";

/// A path whose attributes take as long as a real server's: 7 ms, measured beside one.
pub const SLOW_PATH: &str = "/home/u/slow";

type Answer = Response<Either>;

/// Starts it; it ends with the process.
pub fn start() -> SocketAddr {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a port");
            // A thousand clients may come at once: who finds the queue full would try again a second later.
            let listener = socket.listen(4096).expect("a listener");
            let address = listener.local_addr().expect("its address");
            tell.send(address).expect("somebody waits");
            let base: Arc<str> = format!("http://{address}").into();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let _ = stream.set_nodelay(true);
                let base = base.clone();
                let service = service_fn(move |request| answer(base.clone(), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
    });
    told.recv().expect("a server")
}

/// What a session on it is opened with.
pub fn options(address: SocketAddr) -> Vec<(String, String)> {
    let pairs = [
        ("url", format!("http://{address}")),
        ("token_uri", format!("http://{address}/token")),
        ("client_id", "bench".into()),
        ("client_secret", "bench-secret".into()),
        ("compute_resource", "cluster".into()),
        ("max_io_allowed", "8".into()),
        ("checksum_check", "false".into()),
    ];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn answer(base: Arc<str>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(_)) = body.frame().await {}
    let path = head.uri.path();
    let large = head.uri.query().is_some_and(|query| query.contains("large.bin"));
    if head.uri.query().is_some_and(|query| query.contains("slow")) {
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    let range =
        head.headers.get("range").and_then(|range| range.to_str().ok()?.strip_prefix("bytes=")?.split_once('-'));
    Ok(match path.rsplit('/').next().unwrap_or_default() {
        "token" => value(&json!({"access_token": "x".repeat(1200), "expires_in": 86_400, "token_type": "Bearer"})),
        "systems" => value(&systems(&base)),
        "stat" => value(&stat(if large { LARGE } else { 1024 })),
        "checksum" => value(&json!({"output": {"algorithm": "SHA-256", "checksum": *ZEROS}})),
        "ls" => fixed(&LISTING),
        "jobs" => fixed(&JOBS),
        "download" if path.contains("transfer") => value(&transfer(&base)),
        "object" => object(range),
        _ => value(&json!({"output": null})),
    })
}

fn fixed(text: &'static str) -> Answer {
    bytes(Bytes::from_static(text.as_bytes()))
}

fn value(value: &Value) -> Answer {
    bytes(value.to_string().into())
}

fn bytes(bytes: Bytes) -> Answer {
    let answer = Response::builder().header("content-type", "application/json").header("f7t-appversion", "2.5.7");
    answer.body(Either::Whole(Full::new(bytes))).expect("an answer")
}

/// A range of zeros.
fn object(range: Option<(&str, &str)>) -> Answer {
    let (first, last) = range.unwrap_or(("0", ""));
    let first: u64 = first.parse().unwrap_or_default();
    let last = last.parse().unwrap_or(LARGE - 1).min(LARGE - 1);
    Response::builder()
        .status(206)
        .header("etag", "\"bench\"")
        .header("content-length", last + 1 - first)
        .header("content-range", format!("bytes {first}-{last}/{LARGE}"))
        .body(Either::Zeros(last + 1 - first))
        .expect("an answer")
}

/// A body in memory, or so many zeros.
pub enum Either {
    Whole(Full<Bytes>),
    Zeros(u64),
}

impl Body for Either {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static PIECE: [u8; 256 << 10] = [0; 256 << 10];
        match &mut *self {
            Either::Whole(body) => Pin::new(body).poll_frame(context),
            Either::Zeros(0) => Poll::Ready(None),
            Either::Zeros(left) => {
                let length = (*left).min(PIECE.len() as u64);
                *left -= length;
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&PIECE[..length as usize])))))
            }
        }
    }
}

fn systems(base: &str) -> Value {
    json!({"systems": [{
        "name": "cluster",
        "ssh": {"host": "127.0.0.1", "port": 22, "maxClients": 500},
        "scheduler": {"type": "slurm", "version": "22.05.11", "timeout": 10},
        "servicesHealth": [{"serviceType": "scheduler", "latency": 0.115, "healthy": true, "message": null}],
        "fileSystems": [{"path": "/home", "dataType": "users", "defaultWorkDir": true}],
        "dataOperation": {
            "max_ops_file_size": LARGE + 1,
            "data_transfer": {
                "serviceType": "s3", "publicUrl": base, "region": "us-east-1",
                "multipart": {"use_split": false, "max_part_size": 1 << 30, "parallel_runs": 3},
            },
        },
    }]})
}

fn stat(size: u64) -> Value {
    json!({"output": {"mode": 33188, "ino": 7_345_012, "dev": 2049, "nlink": 1, "uid": 1001, "gid": 1001, "size": size,
        "atime": 1_790_000_000, "ctime": 1_790_000_000, "mtime": 1_790_000_000}})
}

fn transfer(base: &str) -> Value {
    json!({
        "transferJob": {"jobId": 7, "system": "cluster", "workingDirectory": "/home/u",
            "logs": {"outputLog": "/home/u/o.log", "errorLog": "/home/u/e.log"}},
        "transferDirectives": {"transferMethod": "s3", "downloadUrl": format!("{base}/object?X-Amz-Signature=0")},
    })
}

/// The SHA-256 of the large file.
static ZEROS: LazyLock<String> = LazyLock::new(|| {
    let mut hasher = Sha256::new();
    (0..LARGE >> 20).for_each(|_| hasher.update([0; 1 << 20]));
    format!("{:x}", hasher.finalize())
});

static LISTING: LazyLock<String> = LazyLock::new(|| answers::listing(MANY));
static JOBS: LazyLock<String> = LazyLock::new(|| answers::jobs(MANY));
