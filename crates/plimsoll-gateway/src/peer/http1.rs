//! An HTTP/1.1 connection as one end of an exchange.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use plimsoll_http1::{
    BodyDecoder, Fields, Framing, HeadLimits, Piece as Decoded, ResponseHead, parse_response,
    write_chunk_head, write_chunk_tail, write_last_chunk,
};
use plimsoll_upstream::Io;

use super::{HeadFault, Outgoing, PeerError, Piece};

/// What is read at once at the least.
const READ_MIN: usize = 8 * 1024;
/// What is read at once while a large body comes.
const READ_MAX: usize = 64 * 1024;
/// What a client may send ahead of its turn before we stop reading.
const AHEAD_MAX: usize = 16 * 1024;

/// How the body that we send is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    /// No body.
    None,
    /// This many bytes are still to come.
    Length(u64),
    /// Chunked.
    Chunked,
    /// Until the connection is closed.
    UntilClose,
    /// Finished.
    Done,
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Http1Peer {
    pub(crate) io: Io,
    /// Read, and not yet taken.
    pub(crate) buf: BytesMut,
    pub(crate) out: Outgoing,
    pub(crate) decoder: BodyDecoder,
    pub(crate) sending: Sending,
    /// The peer sent its last byte.
    pub(crate) eof: bool,
    /// It carried an exchange before this one.
    pub(crate) reused: bool,
    /// A head came in this exchange.
    heard: bool,
    read_size: usize,
}

impl Http1Peer {
    pub(crate) fn new(io: Io, buf: BytesMut) -> Self {
        Self {
            io,
            buf,
            out: Outgoing::default(),
            decoder: BodyDecoder::new(Framing::None),
            sending: Sending::None,
            eof: false,
            reused: false,
            heard: false,
            read_size: READ_MIN,
        }
    }

    /// Reads more; ready with the number of bytes, 0 at the end.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        if self.eof {
            return Poll::Ready(Ok(0));
        }
        if self.buf.capacity() == 0 && !self.io.is_tls() {
            // An idle connection gets a buffer once there is something to put into it.
            ready!(self.io.socket().poll_read_ready(cx))?;
        }
        if self.buf.capacity() - self.buf.len() < self.read_size / 2 {
            self.buf.reserve(self.read_size);
        }
        let count = ready!(self.io.poll_read_buf(cx, &mut self.buf))?;
        if count == 0 {
            self.eof = true;
        } else if count >= self.read_size {
            self.read_size = (self.read_size * 2).min(READ_MAX);
        }
        Poll::Ready(Ok(count))
    }

    /// Whether it has memory to give back.
    pub(crate) fn holds_buffer(&self) -> bool {
        self.buf.capacity() > 0
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn rest(&mut self) {
        self.buf = BytesMut::new();
        self.read_size = READ_MIN;
        self.out.shrink();
    }

    /// Reads more of a body: as much at once as is known to come, up to a bound.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<usize>> {
        let left = usize::try_from(self.decoder.remaining_hint()).unwrap_or(READ_MAX);
        if left > self.read_size {
            self.read_size = left.min(READ_MAX);
        }
        self.poll_fill(cx)
    }

    /// The body that this peer sends from here on is framed so.
    pub(crate) fn expect_body(&mut self, framing: Framing) {
        self.decoder = BodyDecoder::new(framing);
    }

    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        request_is_head: bool,
        limits: &HeadLimits,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), HeadFault>> {
        loop {
            if !self.buf.is_empty() {
                match parse_response(&mut self.buf, request_is_head, limits, head) {
                    Ok(true) => {
                        self.heard = true;
                        return Poll::Ready(Ok(()));
                    }
                    Ok(false) => (),
                    Err(error) => return Poll::Ready(Err(HeadFault::Malformed(error.to_string()))),
                }
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => {
                    let stale = self.reused && !self.heard && self.buf.is_empty();
                    return Poll::Ready(Err(if stale {
                        HeadFault::Stale
                    } else {
                        HeadFault::Closed
                    }));
                }
                Ok(_) => (),
            }
        }
    }

    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, PeerError>> {
        loop {
            match self.decoder.decode(&mut self.buf) {
                Ok(Decoded::Data(count)) => {
                    let data = self.buf.split_to(count).freeze();
                    self.decoder.consumed(count);
                    return Poll::Ready(Ok(Piece::Data(data)));
                }
                Ok(Decoded::End) => {
                    let trailers = self.decoder.trailers();
                    let trailers = (!trailers.is_empty()).then(|| Box::new(trailers.clone()));
                    return Poll::Ready(Ok(Piece::End(trailers)));
                }
                Ok(Decoded::NeedMore) => match ready!(self.poll_body(cx)) {
                    Ok(0) => match self.decoder.on_eof() {
                        Ok(()) => return Poll::Ready(Ok(Piece::End(None))),
                        Err(_) => return Poll::Ready(Err(PeerError::Closed)),
                    },
                    Ok(_) => (),
                    Err(_) => return Poll::Ready(Err(PeerError::Closed)),
                },
                Err(error) => return Poll::Ready(Err(PeerError::Malformed(error.to_string()))),
            }
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        while !self.out.has_room() {
            ready!(self.poll_flush(cx))?;
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn push(&mut self, data: Bytes) -> Result<(), PeerError> {
        if data.is_empty() {
            return Ok(());
        }
        match &mut self.sending {
            Sending::Length(left) => {
                let length = data.len() as u64;
                if length > *left {
                    return Err(PeerError::Malformed(
                        "the body is longer than was announced".to_owned(),
                    ));
                }
                *left -= length;
                self.out.push(data);
            }
            Sending::Chunked => {
                write_chunk_head(self.out.head(), data.len());
                if data.len() <= 4096 {
                    self.out.push(data);
                    write_chunk_tail(self.out.head());
                } else {
                    // The tail has to come after the large piece: they are joined where they meet.
                    let mut chunk = BytesMut::with_capacity(data.len() + 2);
                    chunk.extend_from_slice(&data);
                    chunk.extend_from_slice(b"\r\n");
                    self.out.push(chunk.freeze());
                }
            }
            Sending::UntilClose => self.out.push(data),
            // A body where none belongs (an answer to HEAD over HTTP/2) is dropped.
            Sending::None | Sending::Done => (),
        }
        Ok(())
    }

    pub(super) fn finish(&mut self, trailers: Option<&Fields>) -> Result<(), PeerError> {
        let sending = std::mem::replace(&mut self.sending, Sending::Done);
        match sending {
            Sending::Length(0) | Sending::None | Sending::Done | Sending::UntilClose => Ok(()),
            Sending::Length(_) => Err(PeerError::Malformed(
                "the body is shorter than was announced".to_owned(),
            )),
            Sending::Chunked => {
                write_last_chunk(self.out.head(), trailers);
                Ok(())
            }
        }
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), PeerError>> {
        self.out
            .poll_write(&mut self.io, cx)
            .map_err(|_| PeerError::Closed)
    }

    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.buf.len() >= AHEAD_MAX {
                return Poll::Pending;
            }
            match ready!(self.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => (),
            }
        }
    }
}
