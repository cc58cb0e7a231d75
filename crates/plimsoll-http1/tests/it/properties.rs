//! Goal: no bytes make the codec panic, or read differently by how they arrive or are written again.
//!
//! Method: the fuzz targets, driven by bytes at random, by the words of HTTP strung together at random, and by
//! good messages with a few bytes changed.

use bytes::{Buf, BytesMut};
use plimsoll_http1::fuzz::{fuzz_chunked, fuzz_request, fuzz_response};
use plimsoll_http1::{
    BodyDecoder, Framing, HeadLimits, Piece, RequestHead, parse_request, write_chunk,
    write_last_chunk,
};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What messages are made of, and what they are broken with.
const WORDS: &[&str] = &[
    "GET",
    "POST",
    "HEAD",
    "OPTIONS",
    "CONNECT",
    " ",
    " ",
    " ",
    "/",
    "/a?b",
    "*",
    "http://a/",
    "http://a",
    "HTTP/1.1",
    "HTTP/1.0",
    "HTTP/2.0",
    "200",
    "204",
    "304",
    "100",
    "101",
    "OK",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n\r\n",
    "\n",
    "\r",
    "Host: a\r\n",
    "Host: b:80\r\n",
    "host:a",
    "Connection: close\r\n",
    "Connection: upgrade\r\n",
    "Upgrade: websocket\r\n",
    "Content-Length: 5\r\n",
    "Content-Length: 0\r\n",
    "Content-Length:",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding:",
    "chunked",
    "Expect: 100-continue\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\n",
    "HTTP/1.1 200 OK\r\n",
    ":",
    ",",
    ";",
    "=",
    "\"",
    "\\",
    "\t",
    "\0",
    "\u{e4}",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "a\r\n",
    "5;x=y\r\n",
    "X: y\r\n",
    "Trailer: z\r\n",
    "grpc-status: 0\r\n",
    "hello",
    "5",
    "0",
    "f",
    "%20",
    "#",
    "@",
];

const REQUESTS: &[&str] = &[
    "GET / HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n",
    "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhelloGET /b HTTP/1.0\r\n\r\n",
    "PUT http://a:80/b?c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n\
     5;x=\"y\"\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nX: y\r\n\r\n\r\nOPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
];

const RESPONSES: &[&str] = &[
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 204 No Content\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
    "HTTP/1.0 200\r\nConnection: keep-alive\r\n\r\nuntil the end",
];

const BODIES: &[&str] = &[
    "5;x=\"y\"\r\nhello\r\n1A\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nX: y\r\ngrpc-status: 0\r\n\r\n",
    "0\r\n\r\n",
];

fn soup() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        vec(any::<u8>(), 0..200),
        vec(select(WORDS), 0..40).prop_map(|words| words.concat().into_bytes()),
    ]
}

/// One of `messages` with up to three bytes replaced, inserted or removed.
fn broken(messages: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), select(&b"\r\n \t:;,0\0"[..])];
    let change = (any::<prop::sample::Index>(), 0..3, byte);
    (select(messages), vec(change, 0..4)).prop_map(|(message, changes)| {
        let mut bytes = message.as_bytes().to_vec();
        for (place, kind, byte) in changes {
            let place = place.index(bytes.len());
            match kind {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn no_bytes_break_the_request_reader(bytes in prop_oneof![soup(), broken(REQUESTS)]) {
        fuzz_request(&bytes);
    }

    #[test]
    fn no_bytes_break_the_response_reader(bytes in prop_oneof![soup(), broken(RESPONSES)]) {
        fuzz_response(&bytes);
    }

    #[test]
    fn no_bytes_break_the_chunk_reader(bytes in prop_oneof![soup(), broken(BODIES)]) {
        fuzz_chunked(&bytes);
    }

    #[test]
    fn a_body_survives_chunking_and_any_cuts(
        pieces in vec(vec(any::<u8>(), 0..300), 0..6),
        cuts in vec(1_usize..50, 1..20),
        take in 1_usize..64,
    ) {
        let mut wire = Vec::new();
        for piece in &pieces {
            write_chunk(&mut wire, piece);
        }
        write_last_chunk(&mut wire, None);
        wire.extend_from_slice(b"next");

        let mut buf = BytesMut::new();
        let mut decoder = BodyDecoder::new(Framing::Chunked);
        let mut body = Vec::new();
        let mut cuts = cuts.iter().cycle();
        let mut rest = wire.as_slice();
        loop {
            match decoder.decode(&mut buf)? {
                Piece::Data(length) => {
                    let taken = length.min(take);
                    body.extend_from_slice(&buf[..taken]);
                    buf.advance(taken);
                    decoder.consumed(taken);
                }
                Piece::NeedMore => {
                    prop_assert!(!rest.is_empty());
                    let cut = rest.len().min(*cuts.next().unwrap());
                    buf.extend_from_slice(&rest[..cut]);
                    rest = &rest[cut..];
                }
                Piece::End => break,
            }
        }
        buf.extend_from_slice(rest);
        prop_assert_eq!(body, pieces.concat());
        prop_assert_eq!(&buf[..], b"next");
    }
}

#[test]
fn good_messages_pass_cut_at_every_point() {
    for request in REQUESTS {
        fuzz_request(request.as_bytes());
        let first = request.find("\r\n\r\n").unwrap() + 4;
        for cut in 0..first {
            let mut head = RequestHead::new();
            let mut buf = BytesMut::from(&request[..cut]);
            assert!(
                !parse_request(&mut buf, &HeadLimits::default(), &mut head).unwrap(),
                "{cut}"
            );
            buf.extend_from_slice(&request.as_bytes()[cut..]);
            assert!(
                parse_request(&mut buf, &HeadLimits::default(), &mut head).unwrap(),
                "{cut}"
            );
            assert_eq!(buf, &request[first..], "{cut}");
        }
    }
    for response in RESPONSES {
        fuzz_response(response.as_bytes());
    }
    for body in BODIES {
        fuzz_chunked(body.as_bytes());
    }
}
