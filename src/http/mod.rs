//! One request, done well: what a request and an answer are, and what can go wrong on the way.
//!
//! Nothing here knows FirecREST. The wire is behind [`Platform`]: `wasi.rs` has the one of the component, native tests bring their own.

pub mod multipart;
pub mod rate;
pub mod retry;
pub mod url;
#[cfg(target_family = "wasm")]
pub mod wasi;

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use futures_util::future::LocalBoxFuture;

use crate::local::{LocalFile, LocalReader, LocalWriter};
use crate::watch::Watch;
pub use url::Url;

/// The methods that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Method {
    /// As on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request carries. Cheap to clone, so that a request can be sent again from its first byte.
#[derive(Clone)]
pub enum Body {
    /// Nothing.
    Empty,
    /// Bytes in memory.
    Bytes(Rc<[u8]>),
    /// Pieces of memory and of local files, one after the other; the files are streamed and never held whole.
    Parts(Rc<[Part]>),
}

/// A piece of a body.
#[derive(Clone)]
pub enum Part {
    /// Memory.
    Bytes(Rc<[u8]>),
    /// Part of a local file, which is opened when its turn comes.
    File {
        /// Where the bytes come from.
        file: Rc<dyn LocalFile>,
        /// The first byte that is sent.
        offset: u64,
        /// How many bytes are sent. A file that has become shorter fails the request.
        length: u64,
    },
}

impl Part {
    /// Bytes on the wire.
    pub fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
        }
    }
}

impl Part {
    /// Its bytes where they are in memory already, or quickly got there: see [`LocalFile::at_once`].
    pub fn at_once(&self) -> Option<crate::error::Result<Cow<'_, [u8]>>> {
        match self {
            Self::Bytes(bytes) => Some(Ok(Cow::Borrowed(bytes))),
            Self::File { file, offset: 0, length } if *length == file.size() => {
                file.at_once().map(|bytes| bytes.map(Cow::Owned))
            }
            Self::File { .. } => None,
        }
    }
}

impl Body {
    /// Bytes on the wire.
    pub fn length(&self) -> u64 {
        match self {
            Self::Empty => 0,
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Parts(parts) => parts.iter().map(Part::length).sum(),
        }
    }
}

/// The header by which a repeat says that it is one, and which: for the host's statistics, and for who reads the server's log.
pub const ATTEMPT: &str = "x-attempt";

/// Time limits of one request. What they are, with the defaults that a slow cluster survives:
///
/// | limit           | default | option or setting     | because                                                                       |
/// |-----------------|---------|-----------------------|-------------------------------------------------------------------------------|
/// | connect         | 30 s    | at most the next      | connecting takes longer only where nobody is                                  |
/// | first byte      | 120 s   | `request_timeout_s`   | a listing of a large folder, or of a day's jobs, through a busy login node    |
/// | between bytes   | 120 s   |                       | a server that has begun to answer and is silent for this long has gone        |
/// | tries           | 300 s   |                       | no try begins later: `retry.rs`                                               |
/// | whole operation | the host's | the host's policy  | it alone knows whether a person waits or a queue; it drops the call, and with it all requests |
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// To make a connection, TLS included.
    pub connect: Duration,
    /// From the last byte sent to the answer's head.
    pub first_byte: Duration,
    /// Between two reads of the answer's body.
    pub between_bytes: Duration,
}

impl Limits {
    /// Those of the table, for an answer that has to begin within that time.
    pub fn within(first_byte: Duration) -> Self {
        let connect = Duration::from_secs(30).min(first_byte);
        Self { connect, first_byte, between_bytes: Duration::from_secs(120) }
    }
}

/// A request, ready to be sent any number of times.
#[derive(Clone)]
pub struct Request {
    /// The verb.
    pub method: Method,
    /// Absolute, query included.
    pub url: Url,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// What it carries.
    pub body: Body,
    /// Its time limits.
    pub limits: Limits,
}

/// An answer whose body has not been read.
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, to be read once.
    pub body: Box<dyn ResponseBody>,
}

impl Response {
    /// The first header of that name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The body of an answer, in pieces.
pub trait ResponseBody {
    /// The next piece; none at the end.
    fn chunk(&mut self) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>, SendError>>;

    /// The rest of the bytes as a stream of the host's.
    #[cfg(target_family = "wasm")]
    fn stream(&self) -> &wasip2::io::streams::InputStream;

    /// Writes the next piece into a local file without looking at it. Returns its size; 0 at the end.
    fn move_to<'a>(&'a mut self, writer: &'a mut dyn LocalWriter) -> LocalBoxFuture<'a, Result<u64, SendError>> {
        Box::pin(async move {
            let Some(bytes) = self.chunk().await? else { return Ok(0) };
            writer.write(&bytes).await.map_err(|e| SendError::Local(e.info.message.clone()))?;
            Ok(bytes.len() as u64)
        })
    }
}

/// A body that is read as a file is.
pub struct BodyReader(pub Box<dyn ResponseBody>);

impl LocalReader for BodyReader {
    fn read(&mut self, _max: u64) -> LocalBoxFuture<'_, crate::error::Result<Option<Vec<u8>>>> {
        Box::pin(async move {
            let piece = self.0.chunk().await;
            piece.map_err(|error| crate::error::Error::new(crate::error::Kind::Unavailable, error.to_string()))
        })
    }

    #[cfg(target_family = "wasm")]
    fn stream(&self) -> &wasip2::io::streams::InputStream {
        self.0.stream()
    }
}

/// Writes the rest of a body into a local file without looking at it. Returns the number of bytes.
pub async fn copy(body: &mut dyn ResponseBody, writer: &mut dyn LocalWriter) -> Result<u64, SendError> {
    let mut copied = 0;
    loop {
        match body.move_to(writer).await? {
            0 => return Ok(copied),
            moved => copied += moved,
        }
    }
}

/// Reads a body into memory, up to a limit: an endless answer must not fill it.
pub async fn collect(body: &mut dyn ResponseBody, limit: usize) -> Result<Vec<u8>, SendError> {
    let mut all = Vec::new();
    while let Some(bytes) = body.chunk().await? {
        if all.len() + bytes.len() > limit {
            return Err(SendError::BodyTooLarge { limit });
        }
        all.extend_from_slice(&bytes);
    }
    Ok(all)
}

/// Why there is no (whole) answer. What matters most: can the server have acted?
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendError {
    /// The host's policy does not allow that origin. Never sent.
    Denied,
    /// The name cannot be resolved. Never sent.
    Dns(String),
    /// Nobody listens there, or no connection in time. Never sent.
    Connect(String),
    /// TLS could not be agreed on. Never sent.
    Tls(String),
    /// The connection broke after the request may have been sent.
    Reset(String),
    /// A time limit ran out after the request may have been sent.
    Timeout(String),
    /// What answered does not speak HTTP.
    Protocol(String),
    /// The answer is larger than can be sensible.
    BodyTooLarge {
        /// In bytes.
        limit: usize,
    },
    /// Reading or writing the local file failed.
    Local(String),
    /// Something else on the host's side.
    Other(String),
    /// The host has said stop.
    Stopped {
        /// Whether the request had been sent to its end, so that the server may act on it.
        sent: bool,
    },
}

impl SendError {
    /// True when the server cannot have seen the request: sending it again is safe, whatever it is.
    pub fn never_sent(&self) -> bool {
        matches!(self, Self::Denied | Self::Dns(_) | Self::Connect(_) | Self::Tls(_))
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the host does not allow connections to it"),
            Self::Dns(text) => write!(f, "its name cannot be resolved ({text})"),
            Self::Connect(text) => write!(f, "no connection ({text})"),
            Self::Tls(text) => write!(f, "TLS failed ({text})"),
            Self::Reset(text) => write!(f, "the connection broke ({text})"),
            Self::Timeout(text) => write!(f, "no answer in time ({text})"),
            Self::Protocol(text) => write!(f, "the answer is not valid HTTP ({text})"),
            Self::BodyTooLarge { limit } => write!(f, "the answer has more than {limit} bytes"),
            Self::Local(text) => write!(f, "{text}"),
            Self::Other(text) => write!(f, "{text}"),
            Self::Stopped { .. } => f.write_str("the host has said stop"),
        }
    }
}

/// What the rules need of the world: a wire, clocks, chance.
pub trait Platform {
    /// Sends a request and returns when the answer's head is there.
    fn send<'a>(&'a self, request: &'a Request) -> LocalBoxFuture<'a, Result<Response, SendError>>;

    /// Resolves after that time.
    fn sleep(&self, duration: Duration) -> LocalBoxFuture<'static, ()>;

    /// Seconds since 1970, by the wall clock.
    fn unix_now(&self) -> u64;

    /// A clock that never goes back, for measuring.
    fn monotonic(&self) -> Duration;

    /// Unpredictable bits.
    fn random(&self) -> u64;

    /// Unpredictable bits that are the same as long as the instance lives.
    fn mark(&self) -> u64;

    /// The call that is under way. A stop ends [`Platform::send`], [`Platform::sleep`] and the reading of bodies early.
    fn watch(&self) -> &Rc<Watch>;
}
