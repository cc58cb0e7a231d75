//! Goal: no request that a proxy and a service could cut differently gets past the parser.
//!
//! Method: the known families of request smuggling, each case written so that a lenient reader would see a
//! second request (`GET /hidden`) or another body. Each must be refused, in the head or in the body, before
//! anything behind it is taken for a request.

use bytes::{Buf, BytesMut};
use plimsoll_http1::{BodyDecoder, HeadLimits, Piece, RequestHead, parse_request};

/// Reads all requests as a gateway would; the first thing refused ends it.
fn read(input: &str) -> Result<Vec<Vec<u8>>, String> {
    let mut buf = BytesMut::from(input);
    let mut head = RequestHead::new();
    let mut targets = Vec::new();
    while parse_request(&mut buf, &HeadLimits::default(), &mut head)
        .map_err(|error| error.to_string())?
    {
        let mut decoder = BodyDecoder::new(head.framing());
        loop {
            match decoder
                .decode(&mut buf)
                .map_err(|error| error.to_string())?
            {
                Piece::Data(length) => {
                    buf.advance(length);
                    decoder.consumed(length);
                }
                Piece::NeedMore => return Err("incomplete".into()),
                Piece::End => break,
            }
        }
        targets.push(head.target().to_vec());
    }
    Ok(targets)
}

#[track_caller]
fn check_refused(input: &str) {
    match read(input) {
        Err(error) => assert_ne!(error, "incomplete", "{input:?} waits for more"),
        Ok(targets) => panic!("{input:?} was read as {} requests", targets.len()),
    }
}

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

/// A POST with these field lines, whose body is `0 CRLF CRLF`, then the hidden request.
#[track_caller]
fn check_fields(fields: &str) {
    check_refused(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n0\r\n\r\n{HIDDEN}"
    ));
}

/// A chunked POST with this body, then the hidden request.
#[track_caller]
fn check_chunks(body: &str) {
    check_refused(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}{HIDDEN}"
    ));
}

#[test]
fn a_length_beside_a_coding_is_refused() {
    check_fields("Content-Length: 5\r\nTransfer-Encoding: chunked");
    check_fields("Transfer-Encoding: chunked\r\nContent-Length: 5");
    check_fields("Content-Length: 0\r\nTransfer-Encoding: chunked");
    check_fields("Content-Length: 5\r\nTransfer-Encoding: identity");
    check_fields("content-length: 40\r\nX: y\r\ntransfer-encoding: chunked");
}

#[test]
fn a_disguised_coding_is_refused() {
    for line in [
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: \u{c}chunked",
        "Transfer-Encoding: chunked\u{b}",
        "Transfer-Encoding: chunked\0",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: chun\u{212a}ed",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: 'chunked'",
        "Transfer-Encoding: [chunked]",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked;x=y",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked,",
        "Transfer-Encoding: ,chunked",
        "Transfer-Encoding:",
        "Transfer-Encoding: \u{a0}chunked",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding\0: chunked",
        "Transfer-Encoding\r: chunked",
        "X: y\nTransfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "X: y\r\n\tTransfer-Encoding: chunked",
        "Transfer-Encoding",
        "Transfer Encoding: chunked",
        "\u{feff}Transfer-Encoding: chunked",
        "Connection: Content-Length\r\nContent-Length: 5",
    ] {
        check_fields(line);
    }
}

#[test]
fn a_disguised_or_repeated_length_is_refused() {
    for line in [
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 6\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: 5,",
        "Content-Length: +5",
        "Content-Length: -5",
        "Content-Length: 0x5",
        "Content-Length: 5 ; a",
        "Content-Length: 5 6",
        "Content-Length: 5\0",
        "Content-Length: \u{b}5",
        "Content-Length: 5e0",
        "Content-Length: 18446744073709551621",
        "Content-Length: 9223372036854775813",
        "Content-Length:",
        "Content-Length : 5",
        "Content-Length\t: 5",
        " Content-Length: 5",
        "Content-Length:\r\n 5",
        "Content_Length: 5",
        "Content-Length: \u{ff15}",
        "X: y\nContent-Length: 5",
        "X: y\rContent-Length: 5",
    ] {
        check_fields(line);
    }
}

#[test]
fn a_body_that_is_not_declared_is_the_next_request_and_refused_if_it_is_none() {
    // CL.0 and its kin: without a length, what follows is a request for every reader that goes by the RFC.
    check_refused(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\n\r\n0\r\n\r\n{HIDDEN}"
    ));
    check_refused(&format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\n\r\n{HIDDEN}"
    ));
    check_refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n\r\n\n{HIDDEN}"));
    check_refused("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n=x\u{1}");
    // With one, it is body, whatever the method.
    let with = format!(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{HIDDEN}",
        HIDDEN.len()
    );
    assert_eq!(read(&with).unwrap(), [b"/"]);
}

#[test]
fn http_1_0_with_a_coding_is_refused() {
    check_refused(&format!(
        "POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{HIDDEN}"
    ));
}

#[test]
fn chunks_that_can_be_cut_in_two_ways_are_refused() {
    for body in [
        "0\n\r\n",
        "0\r\n\n",
        "0\n\n",
        "0\r\r\n\r\n",
        "1\nA\r\n0\r\n\r\n",
        "1\r\nA\n0\r\n\r\n",
        "1\r\nAB0\r\n\r\n",
        "1\r\nA0\r\n\r\n",
        "2\r\nA\r\n0\r\n\r\n",
        "+1\r\nA\r\n0\r\n\r\n",
        "-1\r\nA\r\n0\r\n\r\n",
        "0x1\r\nA\r\n0\r\n\r\n",
        " 1\r\nA\r\n0\r\n\r\n",
        "1 \r\nA\r\n0\r\n\r\n",
        "1\u{b}\r\nA\r\n0\r\n\r\n",
        "1\0\r\nA\r\n0\r\n\r\n",
        "1_\r\nA\r\n0\r\n\r\n",
        "10000000000000001\r\nA\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nA\r\n0\r\n\r\n",
        "\r\n0\r\n\r\n",
        "1;\nA\r\n0\r\n\r\n",
        "1;a\nb\r\nA\r\n0\r\n\r\n",
        "1;a\rb\r\nA\r\n0\r\n\r\n",
        "1;\r\nA\r\n0\r\n\r\n",
        "1;a=\"\n\"\r\nA\r\n0\r\n\r\n",
        "0;\n\r\n\r\n",
        "0\r\nX: y\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nContent-Length: 50\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
        "0\r\nHost: b\r\n\r\n",
    ] {
        check_chunks(body);
    }
}

#[test]
fn a_request_for_two_hosts_is_refused() {
    for input in [
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a:80@b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a#b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a?b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n Host: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: host\r\n\r\n",
        "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://b@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http://a\\b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET @b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
    ] {
        check_refused(input);
    }
}

#[test]
fn request_lines_that_can_be_cut_in_two_ways_are_refused() {
    for line in [
        "GET / HTTP/1.1 ",
        "GET / HTTP/1.1\t",
        "GET /hidden HTTP/1.1 / HTTP/1.1",
        "GET\u{b}/ HTTP/1.1",
        "GET /\u{c}HTTP/1.1",
        "GET\r/ HTTP/1.1",
        "GET / HTTP/1.1\rHost: b",
        "GET / HTTP/1.1\nHost: b",
        "GET / HTTP/0.9",
        "GET /",
        "GET / HTTP/1.1 HTTP/1.1",
        "GET / HTTP/01.1",
        "GET / HTTP /1.1",
        "GET /a\0 HTTP/1.1",
    ] {
        check_refused(&format!("{line}\r\nHost: a\r\n\r\n"));
    }
}
