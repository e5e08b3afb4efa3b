//! Bodies that are counted on their way, and cut where a fault says so.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use tokio::time::Sleep;

use super::record::Ticket;

/// Between the last byte of an answer that is cut, and the cut.
const FLUSH: Duration = Duration::from_millis(20);

/// A request's body.
pub(super) struct Inward {
    pub(super) inner: Incoming,
    pub(super) ticket: Ticket,
}

impl Body for Inward {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(data) = frame.data_ref()
        {
            self.ticket.received(data.len() as u64);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An answer's body. Its connection breaks once `left` bytes are out.
pub(super) struct Outward {
    pub(super) inner: s3s::Body,
    pub(super) ticket: Ticket,
    pub(super) left: Option<u64>,
    pub(super) pause: Option<Pin<Box<Sleep>>>,
}

impl Body for Outward {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if self.left == Some(0) {
            // What was handed over has yet to be written.
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH)));
            if pause.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionReset).into())));
        }
        let mut frame = Pin::new(&mut self.inner).poll_frame(context);
        if let Poll::Ready(Some(Ok(data))) = &mut frame
            && let Some(bytes) = data.data_mut()
        {
            if let Some(left) = &mut self.left {
                bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= bytes.len() as u64;
            }
            let length = bytes.len() as u64;
            self.ticket.sent(length);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
