//! The two ends of an exchange: a client or a service, over HTTP/1.1 or HTTP/2, as one thing that bodies
//! are taken from and given to.
//!
//! Backpressure is in the shape: a piece is taken from one end only when the other is ready for it, so an
//! exchange holds at most one piece and one write buffer, whatever the size of the body.

mod http1;
mod http2;
mod outgoing;

use std::task::{Context, Poll};

use bytes::Bytes;
use plimsoll_http1::{Fields, HeadLimits, ResponseHead};

pub(crate) use http1::{Http1Peer, Sending};
pub(crate) use http2::{Http2Peer, append, head_from_request};
pub(crate) use outgoing::Outgoing;

/// What a body consists of.
#[derive(Debug)]
pub(crate) enum Piece {
    /// Bytes of it.
    Data(Bytes),
    /// Its end, with trailers if there were any.
    End(Option<Box<Fields>>),
}

/// Why an end of an exchange failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    /// It closed or reset the connection or the stream before it was done.
    #[error("the peer closed before it was done")]
    Closed,
    /// What it sent breaks HTTP.
    #[error("the peer broke HTTP: {0}")]
    Malformed(String),
}

impl PeerError {
    pub(crate) fn from_h2(error: &h2::Error) -> Self {
        match error.reason() {
            Some(h2::Reason::PROTOCOL_ERROR) if error.is_library() => {
                Self::Malformed(error.to_string())
            }
            _ => Self::Closed,
        }
    }
}

/// Why no response head came.
#[derive(Debug)]
pub(crate) enum HeadFault {
    /// The service says that it did not process the request (RFC 9113 section 8.7).
    Unprocessed,
    /// A kept connection was closed before a byte of an answer: most likely before the request came.
    Stale,
    /// The service closed first.
    Closed,
    /// What came is not HTTP, or can be read in two ways.
    Malformed(String),
}

/// One end of an exchange.
#[derive(Debug)]
pub(crate) enum Peer {
    /// Over HTTP/1.1: a connection.
    Http1(Http1Peer),
    /// Over HTTP/2: a stream.
    Http2(Http2Peer),
    /// No client, or none any more: what it is given is thrown away. What is fetched is for others.
    Nobody,
}

impl Peer {
    /// The next piece of the body this peer sends.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PeerError>> {
        match self {
            Self::Http1(peer) => peer.poll_piece(cx),
            Self::Http2(peer) => peer.poll_piece(cx),
            Self::Nobody => Poll::Ready(Ok(Piece::End(None))),
        }
    }

    /// Ready once there is room for another piece.
    pub(crate) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        match self {
            Self::Http1(peer) => peer.poll_ready(cx),
            Self::Http2(peer) => peer.poll_ready(cx),
            Self::Nobody => Poll::Ready(Ok(())),
        }
    }

    /// Gives it a piece of a body. Only after [`Peer::poll_ready`] was ready.
    pub(crate) fn push(&mut self, data: Bytes) -> Result<(), PeerError> {
        match self {
            Self::Http1(peer) => peer.push(data),
            Self::Http2(peer) => peer.push(data),
            Self::Nobody => Ok(()),
        }
    }

    /// Ends the body it is given.
    pub(crate) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), PeerError> {
        match self {
            Self::Http1(peer) => peer.finish(trailers),
            Self::Http2(peer) => peer.finish(trailers),
            Self::Nobody => Ok(()),
        }
    }

    /// Ready once all that was given to it is written.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        match self {
            Self::Http1(peer) => peer.poll_flush(cx),
            Self::Http2(peer) => peer.poll_flush(cx),
            Self::Nobody => Poll::Ready(Ok(())),
        }
    }

    /// Whether nothing that was given to it waits here. What waits in an HTTP/2 stream is not seen: at most one piece.
    pub(crate) fn is_flushed(&self) -> bool {
        match self {
            Self::Http1(peer) => peer.out.is_empty(),
            Self::Http2(_) | Self::Nobody => true,
        }
    }

    /// The head of the service's answer.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        request_is_head: bool,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadFault>> {
        match self {
            Self::Http1(peer) => peer.poll_head(cx, request_is_head, limits, head),
            Self::Http2(peer) => peer.poll_head(cx, head),
            Self::Nobody => Poll::Ready(Err(HeadFault::Closed)),
        }
    }

    /// Whether it speaks HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        matches!(self, Self::Http2(_))
    }

    /// Ready once the peer has gone while it owes us nothing but patience. Bytes that an HTTP/1.1 client
    /// sends ahead (pipelining) are kept, up to a bound.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(peer) => peer.poll_gone(cx),
            Self::Http2(peer) => peer.poll_gone(cx),
            Self::Nobody => Poll::Pending,
        }
    }
}
