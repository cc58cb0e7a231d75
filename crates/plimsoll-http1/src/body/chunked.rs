//! The chunked coding (RFC 9112 section 7.1).

use bytes::{Buf, BytesMut};

use super::trailers::take_trailers;
use super::{BodyError, Piece, at_most, data};
use crate::fields::{Fields, is_token_byte};
use crate::head::{Found, HeadLimits, Search};

/// Hexadecimal digits of a chunk's size: as many as 64 bits have.
const DIGITS_MAX: usize = 16;
/// An extension is read and dropped; this much of it is more than any known one needs.
const EXTENSION_BYTES_MAX: usize = 256;

/// Where in the coding the front of the buffer is.
#[derive(Clone, Debug)]
pub(super) enum Chunked {
    /// Before or in the line with a chunk's size, of which so many bytes were searched for its end.
    Size { searched: usize },
    /// In a chunk's data.
    Data { left: u64 },
    /// Before the CRLF after a chunk's data.
    DataEnd,
    /// After the last chunk's line.
    Trailers(Search),
    /// After the trailer section.
    Done,
}

impl Default for Chunked {
    fn default() -> Self {
        Self::Size { searched: 0 }
    }
}

impl Chunked {
    pub(super) fn decode(
        &mut self,
        buf: &mut BytesMut,
        limits: &HeadLimits,
        trailers: &mut Fields,
    ) -> Result<Piece, BodyError> {
        loop {
            match self {
                Self::Size { searched } => {
                    let Some(line_len) = find_line_end(buf, searched)? else {
                        return Ok(Piece::NeedMore);
                    };
                    let size = parse_size_line(buf.get(..line_len).unwrap_or_default())?;
                    buf.advance(line_len + 2);
                    *self = match size {
                        0 => Self::Trailers(Search::after_first_line()),
                        left => Self::Data { left },
                    };
                }
                Self::Data { left } => return Ok(data(at_most(buf.len(), *left))),
                Self::DataEnd => match buf.as_ref() {
                    [b'\r', b'\n', ..] => {
                        buf.advance(2);
                        *self = Self::default();
                    }
                    [] | [b'\r'] => return Ok(Piece::NeedMore),
                    _ => return Err(BodyError::ChunkEnd),
                },
                Self::Trailers(search) => {
                    match search
                        .advance(buf, limits, usize::MAX)
                        .map_err(BodyError::Trailers)?
                    {
                        Found::End { length, fields } => {
                            take_trailers(buf, length, fields, trailers)?;
                            *self = Self::Done;
                        }
                        Found::NotYet | Found::LineTooLong => return Ok(Piece::NeedMore),
                    }
                }
                Self::Done => return Ok(Piece::End),
            }
        }
    }

    pub(super) fn consumed(&mut self, length: u64) {
        if let Self::Data { left } = self {
            *left = left.saturating_sub(length);
            if *left == 0 {
                *self = Self::DataEnd;
            }
        }
    }

    pub(super) fn left(&self) -> u64 {
        if let Self::Data { left } = self {
            *left
        } else {
            0
        }
    }
}

/// The length of the line at the front, without its CRLF; `None` if its end has not arrived.
///
/// What cannot become a line is refused at once, so that what waits for its end is bounded.
fn find_line_end(bytes: &[u8], searched: &mut usize) -> Result<Option<usize>, BodyError> {
    loop {
        match bytes.get(*searched) {
            None => return Ok(None),
            Some(b'\n') => return Err(BodyError::ChunkEnd),
            Some(b'\r') => {
                return match bytes.get(*searched + 1) {
                    None => Ok(None),
                    Some(b'\n') => Ok(Some(*searched)),
                    Some(_) => Err(BodyError::ChunkEnd),
                };
            }
            Some(_) => {
                *searched += 1;
                if *searched > DIGITS_MAX + EXTENSION_BYTES_MAX {
                    // Too long in any case; the parser says what is too long.
                    return match parse_size_line(bytes.get(..*searched).unwrap_or_default()) {
                        Err(error) => Err(error),
                        Ok(_) => Err(BodyError::ChunkExtensionTooLong),
                    };
                }
            }
        }
    }
}

/// `1*HEXDIG [ chunk-ext ]`
fn parse_size_line(line: &[u8]) -> Result<u64, BodyError> {
    let digits_len = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (digits, extension) = line.split_at_checked(digits_len).unwrap_or((line, &[]));
    if digits.is_empty() || digits.len() > DIGITS_MAX {
        return Err(BodyError::ChunkSize);
    }
    let mut size: u64 = 0;
    for byte in digits {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        // Sixteen digits fit.
        size = size << 4 | u64::from(digit);
    }
    if size > i64::MAX as u64 {
        return Err(BodyError::ChunkSize);
    }
    if extension.len() > EXTENSION_BYTES_MAX {
        return Err(BodyError::ChunkExtensionTooLong);
    }
    match extension.iter().find(|byte| !matches!(byte, b' ' | b'\t')) {
        None if extension.is_empty() => Ok(size),
        Some(b';') => check_extension(extension)
            .ok_or(BodyError::ChunkExtension)
            .map(|()| size),
        _ => Err(BodyError::ChunkSize),
    }
}

/// `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`, of which nothing is used.
fn check_extension(extension: &[u8]) -> Option<()> {
    let mut rest = extension;
    while !rest.is_empty() {
        rest = skip_space(rest).strip_prefix(b";")?;
        rest = skip_token(skip_space(rest))?;
        if let Some(value) = skip_space(rest).strip_prefix(b"=") {
            let value = skip_space(value);
            rest = match value.strip_prefix(b"\"") {
                Some(quoted) => skip_quoted(quoted)?,
                None => skip_token(value)?,
            };
        }
    }
    Some(())
}

fn skip_space(bytes: &[u8]) -> &[u8] {
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b' ' | b'\t'))
        .unwrap_or(bytes.len());
    bytes.get(start..).unwrap_or_default()
}

/// `None` if no token is there.
fn skip_token(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes
        .iter()
        .position(|byte| !is_token_byte(*byte))
        .unwrap_or(bytes.len());
    if end == 0 { None } else { bytes.get(end..) }
}

/// The rest after the closing quote; `None` if it is missing.
fn skip_quoted(bytes: &[u8]) -> Option<&[u8]> {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', b'\t' | b' '..=b'~', after @ ..] => after,
            [b'\\', ..] => return None,
            [b'\t' | b' '..=b'~', after @ ..] => after,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::tests::{check, check_refused};
    use crate::framing::Framing;
    use crate::head::HeadError;

    #[test]
    fn chunk_sizes_are_hexadecimal_digits_alone() {
        for size in [
            "",
            " 1",
            "1 ",
            "1\t",
            "+1",
            "-1",
            "0x1",
            "1h",
            "1_0",
            "1.0",
            "g",
            "8000000000000000",
            "ffffffffffffffff",
            "10000000000000000",
            "00000000000000001",
        ] {
            check_refused(&format!("{size}\r\na\r\n0\r\n\r\n"), BodyError::ChunkSize);
        }
    }

    #[test]
    fn chunk_lines_end_in_crlf() {
        for input in [
            "1\na\r\n0\r\n\r\n",
            "1\r\na\n0\r\n\r\n",
            "1\r\na\r0\r\n\r\n",
            "1\r\na0\r\n\r\n",
            "1\r\nab\r\n0\r\n\r\n",
            "1\r\r\na\r\n0\r\n\r\n",
            "1;a\nb\r\na\r\n",
            "0\n\r\n",
            "0\n\n",
        ] {
            check_refused(input, BodyError::ChunkEnd);
        }
        check_refused("0\r\n\n", BodyError::Trailers(HeadError::BareLineFeed));
        check_refused(
            "0\r\nX: a\n\r\n",
            BodyError::Trailers(HeadError::BareLineFeed),
        );
    }

    #[test]
    fn extensions_are_read_over_if_they_are_some() {
        for extension in [
            ";a",
            ";a=b",
            " ; a = b",
            ";a=\"b;\\\" c\"",
            ";a;b=c\t;d=\"\"",
        ] {
            check(
                Framing::Chunked,
                &format!("1{extension}\r\nx\r\n0{extension}\r\n\r\n"),
                "x",
                "",
            );
        }
        for extension in [
            ";",
            ";;",
            ";a=",
            ";a=;",
            ";a b",
            ";a=\"b",
            ";a=\"b\"c",
            ";a=b=c",
            ";a\0",
            ";a=\"\0\"",
            ";a=\u{e4}",
            ";a ",
        ] {
            check_refused(
                &format!("1{extension}\r\nx\r\n0\r\n\r\n"),
                BodyError::ChunkExtension,
            );
        }
        check(
            Framing::Chunked,
            &format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(255)),
            "x",
            "",
        );
        check_refused(
            &format!("1;{}\r\n", "a".repeat(256)),
            BodyError::ChunkExtensionTooLong,
        );
        // Before its end has arrived, too.
        check_refused(
            &format!("1;{}", "a".repeat(300)),
            BodyError::ChunkExtensionTooLong,
        );
        check_refused(&"1".repeat(300), BodyError::ChunkSize);
    }
}
