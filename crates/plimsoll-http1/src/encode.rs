//! What is written: heads and chunks, appended to a buffer.
//!
//! The caller decides which fields there are; [`write_head_end`] ends the head.

use plimsoll_core::never;

use crate::fields::{Fields, is_token, is_value};

/// `GET /path HTTP/1.1`
///
/// The caller has checked method and target, as the parser does: white space in one is a bug.
pub fn write_request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    let broken =
        |bytes: &[u8]| bytes.is_empty() || bytes.iter().any(|byte| !byte.is_ascii_graphic());
    let (method, target) = if never!(broken(method) || broken(target)) {
        // Not what was meant, but one request and no more; the service answers 400.
        (&b"INVALID"[..], &b"/"[..])
    } else {
        (method, target)
    };
    out.extend_from_slice(method);
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// `HTTP/1.1 200 OK`
pub fn write_status_line(out: &mut Vec<u8>, status: u16, reason: &[u8]) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(itoa::Buffer::new().format(status).as_bytes());
    out.push(b' ');
    if !never!(!is_value(reason)) {
        out.extend_from_slice(reason);
    }
    out.extend_from_slice(b"\r\n");
}

/// `name: value`
///
/// A name that is no token, or a value with CR, LF or NUL, is a bug, and the field is left out.
pub fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    if never!(!is_token(name)) || never!(!is_value(value)) {
        return;
    }
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// `Content-Length: 42`
pub fn write_content_length(out: &mut Vec<u8>, length: u64) {
    write_field(
        out,
        b"Content-Length",
        itoa::Buffer::new().format(length).as_bytes(),
    );
}

/// The empty line that ends a head.
pub fn write_head_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// The line before a chunk of `length` bytes; the bytes and [`write_chunk_tail`] follow.
///
/// `length` is at least 1: a chunk of none would end the body.
pub fn write_chunk_head(out: &mut Vec<u8>, length: usize) {
    let _ = never!(length == 0);
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4).max(1);
    for place in (0..digits).rev() {
        let digit = (length >> (4 * place)) & 0xf;
        out.extend(b"0123456789abcdef".get(digit));
    }
    out.extend_from_slice(b"\r\n");
}

/// The line end after a chunk's bytes.
pub fn write_chunk_tail(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// A whole chunk; nothing if there are no bytes.
pub fn write_chunk(out: &mut Vec<u8>, bytes: &[u8]) {
    if !bytes.is_empty() {
        write_chunk_head(out, bytes.len());
        out.extend_from_slice(bytes);
        write_chunk_tail(out);
    }
}

/// The last chunk, and the trailer section, which ends the body.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.into_iter().flat_map(Fields::iter) {
        write_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}

/// The usual reason phrase (RFC 9110 section 15 and the registry); empty for a status without one.
pub const fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        102 => "Processing",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        207 => "Multi-Status",
        208 => "Already Reported",
        226 => "IM Used",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        423 => "Locked",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        506 => "Variant Also Negotiates",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Vec<u8>), expected: &str) {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    #[test]
    fn heads_are_written_line_by_line() {
        let request = |out: &mut Vec<u8>| {
            write_request_line(out, b"GET", b"/a");
            write_field(out, b"Host", b"b");
            write_content_length(out, 0);
            write_head_end(out);
        };
        check(
            request,
            "GET /a HTTP/1.1\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
        );
        check(
            |out| write_status_line(out, 200, b"OK"),
            "HTTP/1.1 200 OK\r\n",
        );
        check(|out| write_status_line(out, 599, b""), "HTTP/1.1 599 \r\n");
    }

    #[test]
    fn chunk_sizes_are_hexadecimal_without_leading_zeros() {
        check(|out| write_chunk_head(out, 1), "1\r\n");
        check(|out| write_chunk_head(out, 15), "f\r\n");
        check(|out| write_chunk_head(out, 16), "10\r\n");
        check(|out| write_chunk_head(out, 0xab_cdef), "abcdef\r\n");
        check(
            |out| write_chunk_head(out, usize::MAX),
            "ffffffffffffffff\r\n",
        );
        check(|out| write_chunk(out, b"abc"), "3\r\nabc\r\n");
        check(|out| write_chunk(out, b""), "");
    }

    #[test]
    fn the_last_chunk_carries_the_trailers() {
        let mut trailers = Fields::new();
        trailers.push(b"grpc-status", b"0");
        check(|out| write_last_chunk(out, None), "0\r\n\r\n");
        check(
            |out| write_last_chunk(out, Some(&trailers)),
            "0\r\ngrpc-status: 0\r\n\r\n",
        );
    }

    #[test]
    #[should_panic(expected = "invariant")]
    fn a_value_with_a_line_end_is_a_bug() {
        write_field(&mut Vec::new(), b"X", b"a\r\nY: b");
    }

    #[test]
    #[should_panic(expected = "invariant")]
    fn a_target_with_white_space_is_a_bug() {
        write_request_line(&mut Vec::new(), b"GET", b"/ HTTP/1.1\r\nX: y");
    }
}
