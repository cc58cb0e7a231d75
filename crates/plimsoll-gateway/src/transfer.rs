//! One direction of an exchange: pieces of a body go from one end to the other.

use std::task::{Context, Poll, ready};

use plimsoll_http1::Fields;

use crate::peer::{Peer, PeerError, Piece};

/// Which end failed.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The end that the body comes from.
    From(PeerError),
    /// The end that the body goes to.
    To,
    /// The body is longer than is allowed.
    TooLong,
}

/// How far a direction has come.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    /// Body bytes passed on.
    pub(crate) bytes: u64,
    /// The most that may be passed on.
    pub(crate) bytes_max: Option<u64>,
    /// The source has said its last.
    pub(crate) ended: bool,
    /// The target has been given all of it.
    pub(crate) flushed: bool,
    /// It is the source that the other waits for.
    pub(crate) starved: bool,
    /// The source failed; what came before it is on its way to the target.
    pub(crate) failed: Option<PeerError>,
    /// What came after the body.
    pub(crate) trailers: Option<Box<Fields>>,
}

impl Transfer {
    /// Nothing is to be transferred.
    pub(crate) fn done() -> Self {
        Self {
            ended: true,
            flushed: true,
            ..Self::default()
        }
    }

    /// Moves what can be moved; ready once all of it was.
    pub(crate) fn poll(
        &mut self,
        from: &mut Peer,
        to: &mut Peer,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), TransferError>> {
        while !self.ended && self.failed.is_none() {
            self.starved = false;
            ready!(to.poll_ready(cx)).map_err(|_| TransferError::To)?;
            match from.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    self.bytes += data.len() as u64;
                    if self.bytes_max.is_some_and(|max| self.bytes > max) {
                        return Poll::Ready(Err(TransferError::TooLong));
                    }
                    to.push(data).map_err(|_| TransferError::To)?;
                }
                Poll::Ready(Ok(Piece::End(trailers))) => {
                    self.ended = true;
                    self.trailers = trailers;
                    to.finish(self.trailers.as_deref())
                        .map_err(|error| match error {
                            // Less came than the source had announced.
                            PeerError::Malformed(_) => TransferError::From(error),
                            PeerError::Closed => TransferError::To,
                        })?;
                }
                Poll::Ready(Err(error)) => self.failed = Some(error),
                Poll::Pending => {
                    self.starved = true;
                    // Nobody waits for more than what has come: it leaves now.
                    if let Poll::Ready(Err(_)) = to.poll_flush(cx) {
                        return Poll::Ready(Err(TransferError::To));
                    }
                    return Poll::Pending;
                }
            }
        }
        if self.failed.is_some() {
            ready!(to.poll_flush(cx)).map_err(|_| TransferError::To)?;
            if let Some(error) = self.failed.take() {
                return Poll::Ready(Err(TransferError::From(error)));
            }
        }
        if !self.flushed {
            ready!(to.poll_flush(cx)).map_err(|_| TransferError::To)?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}
