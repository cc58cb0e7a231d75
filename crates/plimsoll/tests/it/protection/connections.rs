//! Goal: where clients' connections come near their bound, those without a request are closed soon, whatever they
//! speak.
//!
//! Method: as many as may be, which were quiet before that was near; usual patience is longer than a test's.

use std::io::{ErrorKind, Read};

use super::*;
use crate::child::Service;
use crate::script::Link;

/// `gateway.limits.connections_max`.
const MAX: usize = 20;

#[test]
fn where_connections_are_crowded_quiet_ones_are_closed() {
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let http2 = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &settings].concat();
    let http1 = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    std::thread::scope(|scope| {
        for said in [&b""[..], http1, &http2] {
            scope.spawn(|| closes_what_is_quiet_after(said));
        }
    });
}

fn closes_what_is_quiet_after(said: &[u8]) {
    let service = Service::start();
    let limits = format!("[gateway.limits]\nconnections_max = {MAX}\n");
    let (_home, plimsoll) = before(&[service.address], &limits, "");
    let mut links = Vec::new();
    for _ in 0..MAX {
        let mut link = Link::connect(plimsoll.address());
        link.send(said);
        link.stream.set_nonblocking(true).unwrap();
        links.push(link);
    }
    wait_until("one is closed", || {
        links.iter_mut().any(|link| is_closed(&mut link.stream))
    });
}

fn is_closed(stream: &mut std::net::TcpStream) -> bool {
    loop {
        match stream.read(&mut [0; 1024]) {
            Ok(0) => return true,
            Ok(_) => (),
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}
