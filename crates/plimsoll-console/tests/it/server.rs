//! Goal: a peer that sends too much gets no more than its bound, and takes nothing else down.

use std::io::{Read, Write};

use crate::world::Server;

#[test]
fn a_head_without_end_is_cut_off() {
    let server = Server::ops();
    let mut request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec();
    request.resize(64 << 10, b'a');
    let mut stream = server.connect();
    // The server may hang up before all of it is written.
    let _ = stream.write_all(&request);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    assert_eq!(server.send("GET /livez", &[]).0, 200);
}

#[test]
fn what_is_not_http_is_refused_and_the_next_is_served() {
    let server = Server::ops();
    let (status, _) = server.send_raw(b"\x16\x03\x01\x02\x00\x01\r\n\r\n");
    assert!(matches!(status, 0 | 400), "{status}");
    assert_eq!(server.send("GET /livez", &[]).0, 200);
}

#[test]
fn a_silent_peer_does_not_keep_others_out() {
    let server = Server::ops();
    let silent: Vec<_> = (0..20).map(|_| server.connect()).collect();
    assert_eq!(server.send("GET /livez", &[]).0, 200);
    drop(silent);
}
