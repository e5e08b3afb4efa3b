//! The listener and its connections. Each connection is served by hand, so that one can be ended without a word, as the
//! real server does after some errors.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::router;
use crate::state::State;

const OPEN: u8 = 0;
const CLOSE_AFTER_ANSWER: u8 = 1;
const CUT: u8 = 2;
const RESET: u8 = 3;

/// What a handler can do to its connection.
#[derive(Clone)]
pub(crate) struct Line(Arc<AtomicU8>);

impl Line {
    /// Ends the connection once what is written is out, without a `connection: close`.
    pub(crate) fn close_after_answer(&self) {
        self.0.store(CLOSE_AFTER_ANSWER, Ordering::SeqCst);
    }

    /// Cuts the connection: nothing more is written.
    pub(crate) fn cut(&self) {
        self.0.store(CUT, Ordering::SeqCst);
    }

    /// Resets the connection: its peer sees an error of TCP in place of an end.
    pub(crate) fn reset(&self) {
        self.0.store(RESET, Ordering::SeqCst);
    }
}

/// A TCP stream that can be told to end.
pub(crate) struct Stream {
    inner: TcpStream,
    state: Arc<AtomicU8>,
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.state.load(Ordering::SeqCst) != OPEN {
            // The end of the stream: hyper has written its answer and looks for the next request.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.load(Ordering::SeqCst) >= CUT {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.load(Ordering::SeqCst) == RESET {
            // A shutdown would send FIN first.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.state.load(Ordering::SeqCst) == RESET {
            // Closing then sends RST.
            let _ = self.inner.set_zero_linger();
        }
    }
}

/// A connection's stream, and what ends it.
pub(crate) fn line(stream: TcpStream) -> (TokioIo<Stream>, Line) {
    let _ = stream.set_nodelay(true);
    let state = Arc::new(AtomicU8::new(OPEN));
    (TokioIo::new(Stream { inner: stream, state: state.clone() }), Line(state))
}

/// The next connection. `None` once told to stop.
pub(crate) async fn accept(listener: &TcpListener, stop: &mut watch::Receiver<bool>) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => return None,
        };
        match accepted {
            Ok((stream, _)) => return Some(stream),
            // Out of file descriptors, or the peer left already: the next one may do.
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
        }
    }
}

/// Serves until told to stop.
pub(crate) async fn serve(listener: TcpListener, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    while let Some(stream) = accept(&listener, &mut stop).await {
        let number = state.recorder.connected();
        tokio::spawn(connection(stream, number, state.clone(), stop.clone()));
    }
}

async fn connection(stream: TcpStream, number: u64, state: Arc<State>, mut stop: watch::Receiver<bool>) {
    let (io, line) = line(stream);
    let service = service_fn(move |request| {
        let state = state.clone();
        let line = line.clone();
        async move { Ok::<_, Infallible>(router::handle(state, line, number, request).await) }
    });
    let serving = http1::Builder::new().timer(TokioTimer::new()).serve_connection(io, service);
    tokio::select! {
        // A peer that goes away, or a connection that a handler cut, is nobody's error.
        _ = serving => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
}
