//! What waits to be written to an HTTP/1.1 connection.

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use plimsoll_upstream::Io;

/// Below this a piece of a body is copied behind the head, so that both leave in one plain write; above it,
/// a vectored write costs less than the copy.
const COPY_MAX: usize = 4 * 1024;
/// Copied bytes that may wait at once.
const COPIED_MAX: usize = 16 * 1024;

/// Bytes that wait, in order: heads and small pieces, then at most one large piece.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    small: Vec<u8>,
    written: usize,
    large: Bytes,
}

impl Outgoing {
    /// Empty, with the memory of one that is done.
    pub(crate) fn reusing(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            small: buffer,
            ..Self::default()
        }
    }

    /// Its memory, for another one.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.small
    }

    /// A place to write heads and framing to. Only while [`Outgoing::has_room`].
    pub(crate) fn head(&mut self) -> &mut Vec<u8> {
        &mut self.small
    }

    /// Whether another piece fits.
    pub(crate) fn has_room(&self) -> bool {
        self.large.is_empty() && self.small.len() - self.written < COPIED_MAX
    }

    /// Whether nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.large.is_empty() && self.small.len() == self.written
    }

    /// Adds a piece of a body.
    pub(crate) fn push(&mut self, data: Bytes) {
        if data.len() <= COPY_MAX && self.large.is_empty() {
            self.small.extend_from_slice(&data);
        } else if self.large.is_empty() {
            self.large = data;
        } else {
            plimsoll_core::never!(!self.large.is_empty());
            let mut joined = Vec::with_capacity(self.large.len() + data.len());
            joined.extend_from_slice(&self.large);
            joined.extend_from_slice(&data);
            self.large = joined.into();
        }
    }

    /// Writes what waits; ready once nothing does.
    pub(crate) fn poll_write(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            let small = self.small.get(self.written..).unwrap_or_default();
            let written = if small.is_empty() {
                ready!(io.poll_write(cx, &self.large))?
            } else if self.large.is_empty() {
                ready!(io.poll_write(cx, small))?
            } else {
                let slices = [IoSlice::new(small), IoSlice::new(&self.large)];
                ready!(io.poll_write_vectored(cx, &slices))?
            };
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let from_small = written.min(small.len());
            self.written += from_small;
            self.large
                .advance((written - from_small).min(self.large.len()));
            if self.written == self.small.len() {
                self.small.clear();
                self.written = 0;
            }
        }
        io.poll_flush(cx)
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        if self.is_empty() && self.small.capacity() > 2 * 1024 {
            self.small = Vec::new();
        }
    }
}
