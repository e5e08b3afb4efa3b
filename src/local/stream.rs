//! Streams of the host's: waiting, writing, and standing in for files.
//!
//! No pollable outlives the exported call in which it was made: the reactor lives as long as one `block_on`.

use std::cell::Cell;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use wasip2::io::poll::Pollable;
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wstd::runtime::AsyncPollable;

use super::{LocalFile, LocalReader, LocalWriter};
use crate::error::{Error, Kind, Result};

/// Waits until a pollable is ready.
pub async fn ready(pollable: Pollable) {
    AsyncPollable::new(pollable).wait_for().await;
}

/// The next bytes, at most `max`; none at the end.
pub async fn read(stream: &InputStream, max: u64) -> Result<Option<Vec<u8>>, StreamError> {
    loop {
        match stream.read(max) {
            Ok(bytes) if bytes.is_empty() => ready(stream.subscribe()).await,
            Ok(bytes) => return Ok(Some(bytes)),
            Err(StreamError::Closed) => return Ok(None),
            Err(error) => return Err(error),
        }
    }
}

/// Writes all bytes, as fast as the host takes them.
pub async fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = stream.check_write()?;
        if room == 0 {
            ready(stream.subscribe()).await;
            continue;
        }
        let n = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
        stream.write(&bytes[..n])?;
        bytes = &bytes[n..];
    }
    Ok(())
}

/// Waits until all that was written is where it belongs.
pub async fn flush(stream: &OutputStream) -> Result<(), StreamError> {
    stream.flush()?;
    while stream.check_write()? == 0 {
        ready(stream.subscribe()).await;
    }
    Ok(())
}

fn host_error(error: StreamError) -> Error {
    match error {
        StreamError::Closed => Error::new(Kind::Cancelled, "the host closed its stream"),
        StreamError::LastOperationFailed(error) => {
            Error::new(Kind::Other, format!("the host's stream failed: {}", error.to_debug_string()))
        }
    }
}

/// A stream that the host gave to be read, with the size that the host promises. It can be read once, in one piece or in several.
pub struct HostFile {
    stream: Rc<Cell<Option<InputStream>>>,
    /// Where the next piece begins; none while it is not known what has been read.
    next: Cell<Option<u64>>,
    size: u64,
}

impl HostFile {
    /// Of `size` bytes.
    pub fn new(stream: InputStream, size: u64) -> Self {
        Self { stream: Rc::new(Cell::new(Some(stream))), next: Cell::new(Some(0)), size }
    }
}

impl LocalFile for HostFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn mode(&self) -> Option<u32> {
        None
    }

    fn read_from(&self, offset: u64) -> LocalBoxFuture<'_, Result<Box<dyn LocalReader>>> {
        Box::pin(async move {
            if self.next.take() == Some(offset)
                && let Some(stream) = self.stream.take()
            {
                let reader = HostReader { stream: Some(stream), owner: Rc::clone(&self.stream) };
                return Ok(Box::new(reader) as Box<dyn LocalReader>);
            }
            Err(Error::new(Kind::Other, "a stream of the host's cannot be read a second time"))
        })
    }

    fn once(&self) -> bool {
        true
    }

    fn passed(&self, offset: u64) {
        self.next.set(Some(offset));
    }
}

/// Gives the stream back when it is dropped.
struct HostReader {
    /// There until then.
    stream: Option<InputStream>,
    owner: Rc<Cell<Option<InputStream>>>,
}

impl LocalReader for HostReader {
    fn read(&mut self, max: u64) -> LocalBoxFuture<'_, Result<Option<Vec<u8>>>> {
        Box::pin(async move { read(LocalReader::stream(self), max).await.map_err(host_error) })
    }

    fn stream(&self) -> &InputStream {
        self.stream.as_ref().expect("the stream is there until this is dropped")
    }
}

impl Drop for HostReader {
    fn drop(&mut self) {
        self.owner.set(self.stream.take());
    }
}

/// A stream that the host gave to be written.
pub struct HostWriter(OutputStream);

impl HostWriter {
    /// Takes it.
    pub fn new(stream: OutputStream) -> Self {
        Self(stream)
    }
}

impl LocalWriter for HostWriter {
    fn write<'a>(&'a mut self, bytes: &'a [u8]) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move { write(&self.0, bytes).await.map_err(host_error) })
    }

    fn flush(&mut self) -> LocalBoxFuture<'_, Result<()>> {
        Box::pin(async move { flush(&self.0).await.map_err(host_error) })
    }

    fn finish(mut self: Box<Self>, _: Option<u32>, _: Option<i64>) -> LocalBoxFuture<'static, Result<()>> {
        Box::pin(async move { self.flush().await })
    }

    fn at(&self, _offset: u64) -> Option<Result<Box<dyn LocalWriter>>> {
        None
    }

    fn reread(&self, _offset: u64) -> Option<Result<Box<dyn LocalReader>>> {
        None
    }

    fn stream(&self) -> &OutputStream {
        &self.0
    }
}
