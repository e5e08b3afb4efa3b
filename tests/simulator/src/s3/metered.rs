//! Bodies that are counted on their way, and cut where a fault says so.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::record::Ticket;

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
}

impl Body for Outward {
    type Data = Bytes;
    type Error = s3s::StdError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, s3s::StdError>>> {
        if self.left == Some(0) {
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
