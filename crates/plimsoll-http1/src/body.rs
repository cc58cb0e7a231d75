//! Which bytes of a connection are body.

mod chunked;
mod trailers;

pub use trailers::is_forbidden_trailer;

use bytes::BytesMut;
use plimsoll_core::never;

use crate::body::chunked::Chunked;
use crate::fields::Fields;
use crate::framing::Framing;
use crate::head::{HeadError, HeadLimits};

/// Finds the body of one message in the bytes that follow its head.
///
/// ```
/// # use bytes::{Buf, BytesMut};
/// # use plimsoll_http1::{BodyDecoder, Framing, Piece};
/// let mut buf = BytesMut::from(&b"3\r\nabc\r\n0\r\n\r\nnext"[..]);
/// let mut decoder = BodyDecoder::new(Framing::Chunked);
/// let mut body = Vec::new();
/// while let Piece::Data(length) = decoder.decode(&mut buf)? {
///     body.extend_from_slice(&buf[..length]);
///     buf.advance(length);
///     decoder.consumed(length);
/// }
/// assert_eq!(body, b"abc");
/// assert!(decoder.is_done());
/// assert_eq!(buf, b"next"[..]);
/// # Ok::<(), plimsoll_http1::BodyError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BodyDecoder {
    state: State,
    /// What [`BodyDecoder::decode`] offered last.
    offered: usize,
    limits: HeadLimits,
    trailers: Fields,
}

#[derive(Clone, Debug)]
enum State {
    Length { left: u64 },
    Chunked(Chunked),
    UntilClose,
    Done,
}

/// What is at the front of the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Piece {
    /// So many bytes of body, at least one. Take any part of them off the front of the buffer (`advance`,
    /// `split_to`), then call [`BodyDecoder::consumed`] with the number of bytes taken.
    Data(usize),
    /// Nothing yet: read more bytes.
    NeedMore,
    /// The body is over; what is in the buffer belongs to the next message.
    End,
}

/// Why a body was refused. Nothing after it can be told apart: the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not hexadecimal digits alone, or more than 2^63 - 1.
    #[error("a chunk's size is not a hexadecimal number")]
    ChunkSize,
    /// Not as RFC 9112 section 7.1.1 says.
    #[error("a chunk's extension is malformed")]
    ChunkExtension,
    /// More than 256 bytes of it in one chunk.
    #[error("a chunk's extension is longer than 256 bytes")]
    ChunkExtensionTooLong,
    /// LF without CR, CR without LF, or more bytes than the chunk's size says.
    #[error("a chunk does not end in CRLF")]
    ChunkEnd,
    /// The lines or fields of the trailer section.
    #[error("the trailer section is malformed: {0}")]
    Trailers(HeadError),
    /// A field that tells length, place or identity comes too late to be acted on (RFC 9110 section 6.5.1).
    #[error("the trailer section has a field that belongs into the head")]
    TrailerForbidden,
    /// The connection ended within the body.
    #[error("the connection was closed before the body's end")]
    Truncated,
}

impl BodyError {
    /// The status of an answer that refuses a request for this.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Trailers(error) => error.status(),
            _ => 400,
        }
    }

    /// A word for metrics and logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::ChunkSize => "chunk-size",
            Self::ChunkExtension => "chunk-extension",
            Self::ChunkExtensionTooLong => "chunk-extension-too-long",
            Self::ChunkEnd => "chunk-end",
            Self::Trailers(_) => "trailers",
            Self::TrailerForbidden => "trailer-forbidden",
            Self::Truncated => "body-truncated",
        }
    }
}

impl BodyDecoder {
    /// For a message whose head told this framing; trailers are bounded by the default limits.
    pub fn new(framing: Framing) -> Self {
        Self::with_limits(framing, &HeadLimits::default())
    }

    /// For a message whose head told this framing; the trailer section is bounded like a head.
    pub fn with_limits(framing: Framing, limits: &HeadLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::Chunked(Chunked::default()),
            Framing::UntilClose => State::UntilClose,
        };
        Self {
            state,
            offered: 0,
            limits: *limits,
            trailers: Fields::new(),
        }
    }

    /// Looks at the front of `buf`; takes the bytes that frame chunks off it, never bytes of body.
    pub fn decode(&mut self, buf: &mut BytesMut) -> Result<Piece, BodyError> {
        let piece = match &mut self.state {
            State::Done => Piece::End,
            State::UntilClose => data(buf.len()),
            State::Length { left } => data(at_most(buf.len(), *left)),
            State::Chunked(chunked) => chunked.decode(buf, &self.limits, &mut self.trailers)?,
        };
        self.offered = if let Piece::Data(length) = piece {
            length
        } else {
            0
        };
        if piece == Piece::End {
            self.state = State::Done;
        }
        Ok(piece)
    }

    /// So many of the bytes that [`BodyDecoder::decode`] offered were taken off the buffer.
    pub fn consumed(&mut self, length: usize) {
        let length = if never!(length > self.offered) {
            self.offered
        } else {
            length
        };
        self.offered -= length;
        match &mut self.state {
            State::Length { left } => {
                *left = left.saturating_sub(length as u64);
                if *left == 0 {
                    self.state = State::Done;
                }
            }
            State::Chunked(chunked) => chunked.consumed(length as u64),
            State::UntilClose | State::Done => (),
        }
    }

    /// The peer will send no more. An error if the body is not over, other than of [`Framing::UntilClose`],
    /// which ends here. Bytes still in the buffer must have been consumed.
    pub fn on_eof(&mut self) -> Result<(), BodyError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            State::Length { .. } | State::Chunked(_) => Err(BodyError::Truncated),
        }
    }

    /// Whether the whole body, trailers included, was decoded and consumed.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailer section; empty before the end.
    pub fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Bytes of body that are certainly still to come: all of them if the length is known, else those of the
    /// current chunk.
    pub fn remaining_hint(&self) -> u64 {
        match &self.state {
            State::Length { left } => *left,
            State::Chunked(chunked) => chunked.left(),
            State::UntilClose | State::Done => 0,
        }
    }
}

fn data(length: usize) -> Piece {
    if length == 0 {
        Piece::NeedMore
    } else {
        Piece::Data(length)
    }
}

fn at_most(length: usize, left: u64) -> usize {
    usize::try_from(left).map_or(length, |left| left.min(length))
}

#[cfg(test)]
mod tests {
    use bytes::Buf;

    use super::*;

    /// Body, trailers and rest.
    pub(super) fn decode(
        framing: Framing,
        input: &str,
    ) -> Result<(String, Vec<String>, String), BodyError> {
        let limits = HeadLimits {
            head_bytes_max: 64,
            headers_max: 4,
            uri_bytes_max: 0,
        };
        let mut buf = BytesMut::from(input);
        let mut decoder = BodyDecoder::with_limits(framing, &limits);
        let mut body = Vec::new();
        loop {
            match decoder.decode(&mut buf)? {
                Piece::Data(length) => {
                    body.extend_from_slice(&buf.split_to(length));
                    decoder.consumed(length);
                }
                Piece::NeedMore => {
                    decoder.on_eof()?;
                }
                Piece::End => break,
            }
        }
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let trailers = decoder.trailers().iter();
        let trailers = trailers
            .map(|field| format!("{}={}", text(field.name), text(field.value)))
            .collect();
        Ok((text(&body), trailers, text(&buf)))
    }

    #[track_caller]
    pub(super) fn check(framing: Framing, input: &str, body: &str, rest: &str) {
        assert_eq!(
            decode(framing, input),
            Ok((body.into(), vec![], rest.into())),
            "{input:?}"
        );
    }

    #[track_caller]
    pub(super) fn check_refused(input: &str, expected: BodyError) {
        assert_eq!(decode(Framing::Chunked, input), Err(expected), "{input:?}");
    }

    #[test]
    fn a_body_ends_where_its_framing_says() {
        check(Framing::None, "abc", "", "abc");
        check(Framing::Length(0), "abc", "", "abc");
        check(Framing::Length(2), "abc", "ab", "c");
        check(Framing::UntilClose, "abc", "abc", "");
        check(Framing::Chunked, "0\r\n\r\nabc", "", "abc");
        check(
            Framing::Chunked,
            "1\r\na\r\n0a\r\nbcdefghijk\r\n000\r\n\r\nl",
            "abcdefghijk",
            "l",
        );
        check(
            Framing::Chunked,
            "0000000000000001\r\na\r\n0\r\n\r\n",
            "a",
            "",
        );
    }

    #[test]
    fn a_body_that_is_cut_short_is_no_body() {
        for input in [
            "",
            "1",
            "1\r",
            "1\r\n",
            "1\r\na",
            "1\r\na\r\n",
            "0\r\n",
            "0\r\n\r",
            "0\r\nX: a\r\n",
        ] {
            check_refused(input, BodyError::Truncated);
        }
        assert_eq!(decode(Framing::Length(3), "ab"), Err(BodyError::Truncated));
    }

    #[test]
    fn data_may_be_taken_in_parts() {
        let mut buf = BytesMut::from("4\r\nabcd\r\n0\r\n\r\n");
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        assert_eq!(decoder.decode(&mut buf), Ok(Piece::Data(4)));
        assert_eq!(decoder.decode(&mut buf), Ok(Piece::Data(4)));
        buf.advance(1);
        decoder.consumed(1);
        assert_eq!(decoder.remaining_hint(), 3);
        buf.advance(2);
        decoder.consumed(2);
        assert_eq!(decoder.decode(&mut buf), Ok(Piece::Data(1)));
        buf.advance(1);
        decoder.consumed(1);
        assert!(!decoder.is_done());
        assert_eq!(decoder.decode(&mut buf), Ok(Piece::End));
        assert!(decoder.is_done());
        assert_eq!(decoder.decode(&mut buf), Ok(Piece::End));
    }

    #[test]
    fn a_known_length_is_done_with_its_last_byte() {
        let mut buf = BytesMut::from("abcd");
        let mut decoder = BodyDecoder::new(Framing::Length(4));
        assert_eq!(
            (decoder.decode(&mut buf), decoder.remaining_hint()),
            (Ok(Piece::Data(4)), 4)
        );
        buf.advance(4);
        decoder.consumed(4);
        assert!(decoder.is_done());
    }

    #[test]
    #[should_panic(expected = "invariant")]
    fn more_cannot_be_consumed_than_was_offered() {
        let mut decoder = BodyDecoder::new(Framing::Length(5));
        assert_eq!(
            decoder.decode(&mut BytesMut::from("ab")),
            Ok(Piece::Data(2))
        );
        decoder.consumed(3);
    }
}
