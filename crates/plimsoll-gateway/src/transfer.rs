//! One direction of an exchange: pieces of a body go from one end to the other.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
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
    /// There is no body.
    pub(crate) nothing: bool,
    /// The source has said its last, though the target may not have been given all of it.
    pub(crate) source_ended: bool,
    /// What may have to be sent again.
    pub(crate) kept: Kept,
}

/// The beginning of a body, in case it has to be sent again.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    bytes_max: u64,
    pieces: Vec<Bytes>,
    bytes: u64,
    /// The piece that the target is given next; all were given once it is past the last.
    next: usize,
    /// More came than is kept.
    lost: bool,
}

impl Kept {
    fn add(&mut self, piece: &Bytes) {
        if self.lost {
            return;
        }
        let bytes = self.bytes + piece.len() as u64;
        if bytes > self.bytes_max {
            *self = Self {
                lost: true,
                ..Self::default()
            };
        } else {
            self.bytes = bytes;
            self.pieces.push(piece.clone());
            self.next = self.pieces.len();
        }
    }
}

impl Transfer {
    /// Nothing is to be transferred.
    pub(crate) fn done() -> Self {
        Self {
            ended: true,
            flushed: true,
            nothing: true,
            ..Self::default()
        }
    }

    /// Keeps this many bytes of the body, in case it has to be sent again.
    pub(crate) fn keep(&mut self, bytes_max: u64) {
        self.kept.bytes_max = bytes_max;
    }

    /// Whether all that was taken of the body can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.kept.lost
    }

    /// How many bytes of the body are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes
    }

    /// Keeps no more of the body, and forgets what was kept.
    pub(crate) fn forget(&mut self) {
        self.kept = Kept {
            lost: true,
            ..Kept::default()
        };
    }

    /// The whole body, if it has come and was kept.
    pub(crate) fn whole(&self) -> Option<&[Bytes]> {
        (self.ended && self.is_replayable()).then_some(&self.kept.pieces)
    }

    /// Whether all of the body was taken from its source.
    pub(crate) fn has_all(&self) -> bool {
        self.nothing || self.source_ended
    }

    /// Whether nothing of the body has come yet.
    pub(crate) fn awaits_first(&self) -> bool {
        self.bytes == 0 && !self.has_all()
    }

    /// Starts again, for another target.
    pub(crate) fn rewind(&mut self) {
        if self.nothing {
            return;
        }
        self.kept.next = 0;
        self.ended = false;
        self.flushed = false;
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
            if let Some(piece) = self.kept.pieces.get(self.kept.next) {
                to.push(piece.clone()).map_err(|_| TransferError::To)?;
                self.kept.next += 1;
                continue;
            }
            if self.source_ended {
                self.finish(to)?;
                break;
            }
            match from.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    self.bytes += data.len() as u64;
                    if self.bytes_max.is_some_and(|max| self.bytes > max) {
                        return Poll::Ready(Err(TransferError::TooLong));
                    }
                    self.kept.add(&data);
                    to.push(data).map_err(|_| TransferError::To)?;
                }
                Poll::Ready(Ok(Piece::End(trailers))) => {
                    self.source_ended = true;
                    self.trailers = trailers;
                    self.finish(to)?;
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

    fn finish(&mut self, to: &mut Peer) -> Result<(), TransferError> {
        self.ended = true;
        to.finish(self.trailers.as_deref())
            .map_err(|error| match error {
                // Less came than the source had announced.
                PeerError::Malformed(_) => TransferError::From(error),
                PeerError::Closed => TransferError::To,
            })
    }
}
