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
    /// Body bytes that came.
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
    /// Body bytes that the target was given.
    pub(crate) given: u64,
    /// What is kept is taken from its source whether or not the target is ready for it.
    pub(crate) ahead: bool,
}

/// How much is taken at once of a body that its target is not ready for, before others have their turn.
const AHEAD_AT_ONCE: usize = 256 * 1024;
/// A piece of a body that was put together.
const PIECE: usize = 64 * 1024;

/// The beginning of a body, in case it has to be sent again.
#[derive(Clone, Debug, Default)]
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
    /// `given`: the target has it already.
    fn add(&mut self, piece: &Bytes, given: bool) {
        let bytes = self.bytes + piece.len() as u64;
        if !self.lost && bytes > self.bytes_max {
            self.lose();
        }
        self.bytes = bytes;
        if !self.lost || !given {
            self.pieces.push(piece.clone());
        }
        if given {
            self.next = self.pieces.len();
        }
    }

    /// Keeps no more than what the target is still to be given.
    fn lose(&mut self) {
        self.lost = true;
        self.drop_given();
    }

    fn drop_given(&mut self) {
        self.pieces.drain(..self.next.min(self.pieces.len()));
        self.next = 0;
    }

    /// The piece that the target is to be given next.
    fn take_next(&mut self) -> Option<Bytes> {
        let piece = self.pieces.get(self.next)?.clone();
        self.next += 1;
        if self.lost && self.next == self.pieces.len() {
            self.drop_given();
        }
        Some(piece)
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

    /// Keeps this many bytes of the body, for others, at the pace of its source: they don't wait for a slow target.
    pub(crate) fn keep_ahead(&mut self, bytes_max: u64) {
        self.keep(bytes_max);
        self.ahead = true;
    }

    /// How many bytes of the body are kept at the most.
    pub(crate) fn keeps(&self) -> u64 {
        self.kept.bytes_max
    }

    /// The same body from its beginning, for another target. All of it was kept, or there is none.
    pub(crate) fn again(&self) -> Self {
        if self.nothing {
            return Self::done();
        }
        Self {
            bytes: self.bytes,
            source_ended: self.source_ended,
            trailers: self.trailers.clone(),
            kept: Kept {
                next: 0,
                ..self.kept.clone()
            },
            ..Self::default()
        }
    }

    /// Whether all that was taken of the body can be sent again.
    pub(crate) fn is_replayable(&self) -> bool {
        !self.kept.lost
    }

    /// How many bytes of the body are kept.
    pub(crate) fn kept_bytes(&self) -> u64 {
        self.kept.bytes
    }

    /// Keeps no more of the body than what the target is still to be given.
    pub(crate) fn forget(&mut self) {
        self.kept.lose();
        self.ahead = false;
    }

    /// The whole body, if it has come and was kept.
    pub(crate) fn whole(&self) -> Option<&[Bytes]> {
        (self.source_ended && self.is_replayable()).then_some(&self.kept.pieces)
    }

    /// The whole body was put together as this: what is left for the target is taken from there.
    pub(crate) fn replace(&mut self, body: &Bytes) {
        let given = usize::try_from(self.given).unwrap_or(usize::MAX);
        let left = body.slice(given.min(body.len())..);
        let pieces = (0..left.len()).step_by(PIECE);
        let pieces = pieces.map(|at| left.slice(at..left.len().min(at + PIECE)));
        self.kept.pieces = pieces.collect();
        self.kept.lost = true;
        self.kept.next = 0;
    }

    /// Whether something is held for a target that is not ready for it.
    pub(crate) fn holds(&self) -> bool {
        self.kept.next < self.kept.pieces.len()
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
        let mut ahead = 0;
        while !self.ended && (self.failed.is_none() || self.holds()) {
            self.starved = false;
            let is_ready = match to.poll_ready(cx) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(TransferError::To)),
                Poll::Pending if self.takes_ahead() => false,
                Poll::Pending => return Poll::Pending,
            };
            if is_ready {
                if let Some(piece) = self.kept.take_next() {
                    self.give(piece, to)?;
                    continue;
                }
                if self.source_ended {
                    self.finish(to)?;
                    break;
                }
            } else if ahead >= AHEAD_AT_ONCE {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            match from.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(data))) => {
                    self.bytes += data.len() as u64;
                    if self.bytes_max.is_some_and(|max| self.bytes > max) {
                        return Poll::Ready(Err(TransferError::TooLong));
                    }
                    self.kept.add(&data, is_ready);
                    match is_ready {
                        true => self.give(data, to)?,
                        false => ahead += data.len(),
                    }
                }
                Poll::Ready(Ok(Piece::End(trailers))) => {
                    self.source_ended = true;
                    self.trailers = trailers;
                    if is_ready {
                        self.finish(to)?;
                    }
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

    fn takes_ahead(&self) -> bool {
        self.ahead && !self.source_ended && !self.kept.lost && self.failed.is_none()
    }

    fn give(&mut self, piece: Bytes, to: &mut Peer) -> Result<(), TransferError> {
        self.given += piece.len() as u64;
        to.push(piece).map_err(|_| TransferError::To)
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
