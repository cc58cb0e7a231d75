//! Taking a request's head off the front of the bytes that have arrived.

use bytes::{Buf, BytesMut};

use super::{METHOD_BYTES_MAX, Progress, RequestError, RequestHead};
use crate::fields::is_token_byte;
use crate::head::{self, Found, HeadLimits};

/// What a request line has besides method and target: two spaces, the version, CRLF.
const REQUEST_LINE_REST: usize = 12;

/// Takes a request's head off the front of `buf` into `head`. `false`: more bytes are needed.
///
/// Call it with the same `buf` and `head` each time bytes have arrived. After an error neither is of use.
pub fn parse_request(
    buf: &mut BytesMut,
    limits: &HeadLimits,
    head: &mut RequestHead,
) -> Result<bool, RequestError> {
    if !drop_empty_line(buf, &mut head.progress)? {
        return Ok(false);
    }
    let line_max = METHOD_BYTES_MAX
        .saturating_add(limits.uri_bytes_max)
        .saturating_add(REQUEST_LINE_REST);
    let (length, fields) = match head.progress.search.advance(buf, limits, line_max)? {
        Found::NotYet => return Ok(false),
        Found::LineTooLong => return Err(long_line(buf)),
        Found::End { length, fields } => (length, fields),
    };
    head.clear();
    let bytes = buf.get(..length).unwrap_or_default();
    head::with_slots(fields, |slots| {
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(bytes, slots) {
            Ok(httparse::Status::Complete(end)) if end == length => {
                head.fill(bytes, &parsed, limits)
            }
            Ok(_) => Err(RequestError::RequestLine),
            Err(httparse::Error::Version) => Err(version_error(bytes)),
            Err(error) => {
                Err(head::field_error(error).map_or(RequestError::RequestLine, Into::into))
            }
        }
    })?;
    buf.advance(length);
    Ok(true)
}

/// Drops one empty line before a request line (RFC 9112 section 2.2), and refuses at its first byte what
/// cannot be a request. `false`: more bytes are needed.
fn drop_empty_line(buf: &mut BytesMut, progress: &mut Progress) -> Result<bool, RequestError> {
    if !progress.line_dropped {
        match buf.as_ref() {
            [b'\r'] => return Ok(false),
            [b'\r', b'\n', ..] => {
                buf.advance(2);
                progress.line_dropped = true;
            }
            _ => (),
        }
    }
    match buf.first() {
        None => Ok(false),
        Some(&byte) if is_token_byte(byte) => Ok(true),
        Some(_) => Err(RequestError::RequestLine),
    }
}

/// The request line is too long: which part of it?
fn long_line(bytes: &[u8]) -> RequestError {
    let method = bytes.get(..=METHOD_BYTES_MAX).unwrap_or(bytes);
    match method.iter().position(|byte| !is_token_byte(*byte)) {
        None => RequestError::MethodTooLong,
        Some(end) if method.get(end) == Some(&b' ') => RequestError::TargetTooLong,
        Some(_) => RequestError::RequestLine,
    }
}

/// 505 is for a version that HTTP could have; anything else there is no request line.
fn version_error(bytes: &[u8]) -> RequestError {
    let line_end = memchr::memchr(b'\r', bytes).unwrap_or(bytes.len());
    let line = bytes.get(..line_end).unwrap_or_default();
    let mut words = line.splitn(3, |byte| *byte == b' ');
    match words.nth(2) {
        Some([b'H', b'T', b'T', b'P', b'/', major, b'.', minor])
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            RequestError::Version
        }
        _ => RequestError::RequestLine,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::framing::Framing;
    use crate::head::{HeadError, Version};
    use crate::request::tests::{LIMITS, check, check_fields, parsed};
    use crate::target::TargetForm;

    #[test]
    fn a_request_head_is_told_apart_from_what_follows() {
        let mut buf = BytesMut::from(
            "POST /a?b HTTP/1.1\r\nHost: c:80\r\nContent-Length:  5 \r\n\r\nhelloGET",
        );
        let mut head = RequestHead::new();
        assert!(parse_request(&mut buf, &LIMITS, &mut head).unwrap());
        assert_eq!(buf, "helloGET");
        assert_eq!(head.method(), b"POST");
        assert_eq!(head.target(), b"/a?b");
        assert_eq!(head.path_and_query(), b"/a?b");
        assert_eq!(head.form(), TargetForm::Origin);
        assert_eq!(head.authority(), Some(&b"c:80"[..]));
        assert_eq!(head.version(), Version::Http11);
        assert_eq!(head.framing(), Framing::Length(5));
        assert!(head.keep_alive());
        assert!(!head.expect_continue());
        assert_eq!(head.upgrade(), None);
        let fields: Vec<_> = head
            .fields
            .iter()
            .map(|field| (field.name, field.value))
            .collect();
        assert_eq!(
            fields,
            [(&b"Host"[..], &b"c:80"[..]), (b"Content-Length", b"5")]
        );
    }

    #[test]
    fn pipelined_requests_come_one_by_one() {
        let mut buf = BytesMut::from(
            "GET /1 HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n\r\nGET /2 HTTP/1.0\r\n\r\nGE",
        );
        let mut head = RequestHead::new();
        assert!(parse_request(&mut buf, &LIMITS, &mut head).unwrap());
        assert_eq!((head.target(), head.fields.len()), (&b"/1"[..], 2));
        assert!(parse_request(&mut buf, &LIMITS, &mut head).unwrap());
        assert_eq!((head.target(), head.fields.len()), (&b"/2"[..], 0));
        assert!(!parse_request(&mut buf, &LIMITS, &mut head).unwrap());
        assert_eq!(buf, "GE");
    }

    #[test]
    fn lines_that_end_in_lf_alone_are_refused_at_once() {
        for input in [
            "GET / HTTP/1.1\n",
            "GET / HTTP/1.1\r\nHost: a\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        ] {
            check(input, HeadError::BareLineFeed.into());
        }
    }

    #[test]
    fn fields_are_refused_that_two_parsers_could_read_differently() {
        check_fields(" X: b", HeadError::Folded);
        check_fields("X: b\r\n c", HeadError::Folded);
        check_fields("X: b\r\n\t", HeadError::Folded);
        check(
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            HeadError::Folded.into(),
        );
        for field in [
            "X : b",
            "X\t: b",
            ": b",
            "X",
            "X b: c",
            "(X): b",
            "X\0: b",
            "\u{e4}: b",
            "X\r: b",
        ] {
            check_fields(field, HeadError::FieldName);
        }
        for field in [
            "X: b\rc",
            "X: b\0",
            "X: \u{1}",
            "X: b\u{7f}",
            "X: \u{b}chunked",
            "X: b\r",
        ] {
            check_fields(field, HeadError::FieldValue);
        }
        check_fields("Connection: x, host", RequestError::Connection);
        check_fields("Connection: Content-Length", RequestError::Connection);
        let head = parsed("GET / HTTP/1.1\r\nHost: a\r\nX:\r\nY:\t \r\nZ: \u{e4}\tb \r\n\r\n");
        let values: Vec<_> = head
            .fields
            .iter()
            .skip(1)
            .map(|field| field.value)
            .collect();
        assert_eq!(values, [&b""[..], b"", "\u{e4}\tb".as_bytes()]);
    }

    #[test]
    fn request_lines_are_three_words_with_one_space_between() {
        for line in [
            "GET  / HTTP/1.1",
            "GET /  HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /\tHTTP/1.1",
            "GET / http/1.1",
            "GET / HTTP/11",
            "GET / HTTP/1.10",
            "GET / HTTP/1",
            "GET /",
            "GET",
            "GET / / HTTP/1.1",
            "G@T / HTTP/1.1",
            "\u{16}\u{3}\u{1}",
            "GET /\r HTTP/1.1",
        ] {
            check(
                &format!("{line}\r\nHost: a\r\n\r\n"),
                RequestError::RequestLine,
            );
        }
        check(
            "GET /\u{e4} HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::TargetByte,
        );
        check(
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::TargetByte,
        );
        check("GET * HTTP/1.1\r\nHost: a\r\n\r\n", RequestError::Target);
        for version in ["2.0", "1.2", "0.9", "3.0"] {
            check(
                &format!("GET / HTTP/{version}\r\nHost: a\r\n\r\n"),
                RequestError::Version,
            );
        }
        check("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", RequestError::Version);
    }

    #[test]
    fn one_empty_line_before_a_request_is_forgiven() {
        parsed("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        check(
            "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::RequestLine,
        );
        check(
            "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::RequestLine,
        );
        check(
            "\rGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            RequestError::RequestLine,
        );
    }

    #[test]
    fn limits_hold_before_the_head_is_whole() {
        check(
            &format!("GET /{}", "a".repeat(200)),
            RequestError::TargetTooLong,
        );
        check(
            &format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(64)),
            RequestError::TargetTooLong,
        );
        parsed(&format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "a".repeat(63)
        ));
        check(&"A".repeat(200), RequestError::MethodTooLong);
        let method = "A".repeat(33);
        check(
            &format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            RequestError::MethodTooLong,
        );
        let start = "GET / HTTP/1.1\r\nHost: a\r\n";
        check(
            &format!("{start}X: {}", "a".repeat(1024)),
            HeadError::TooLarge.into(),
        );
        check(
            &format!("{start}{}", "X: a\r\n".repeat(8)),
            HeadError::TooManyFields.into(),
        );
        parsed(&format!("{start}{}\r\n", "X: a\r\n".repeat(7)));
        let fitting = 1024 - start.len() - 7;
        parsed(&format!("{start}X: {}\r\n\r\n", "a".repeat(fitting)));
        check(
            &format!("{start}X: {}\r\n\r\n", "a".repeat(fitting + 1)),
            HeadError::TooLarge.into(),
        );
    }

    #[test]
    fn more_fields_than_fit_on_the_stack_are_parsed_too() {
        let limits = HeadLimits {
            head_bytes_max: 100_000,
            headers_max: 1000,
            uri_bytes_max: 64,
        };
        let input = format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: a\r\n".repeat(999)
        );
        let mut head = RequestHead::new();
        assert!(parse_request(&mut BytesMut::from(&*input), &limits, &mut head).unwrap());
        assert_eq!(head.fields.len(), 1000);
    }
}
