//! The upstream: answers from memory, as cheaply as a process can, so that the proxy is what is measured.
//!
//! `GET /64k...` gets 64 KiB, all else 1 KiB. One thread, level-triggered epoll, no allocation per request.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::failure::{Doing, Failure};
use crate::response::find;

/// Events taken from the kernel at a time.
pub const EVENTS_MAX: usize = 256;
/// The token of the listener; connections count from zero.
const LISTENER: u64 = u64::MAX;
/// A proxied request head is far smaller.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    /// The large response, and how much of it is written; the socket's buffer was full.
    unwritten: Option<(bool, usize)>,
}

/// Serves until it is killed; the first line of output is the address.
pub fn upstream() -> Result<(), Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").doing(|| "listening".to_owned())?;
    rustix::net::listen(&listener, 4_096).doing(|| "listening".to_owned())?;
    listener
        .set_nonblocking(true)
        .doing(|| "listening".to_owned())?;
    println!(
        "{}",
        listener.local_addr().doing(|| "listening".to_owned())?
    );

    let responses = [response(1024), response(64 * 1024)];
    let poll =
        epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "creating an epoll".to_owned())?;
    let readable = epoll::EventFlags::IN;
    epoll::add(
        &poll,
        &listener,
        epoll::EventData::new_u64(LISTENER),
        readable,
    )
    .doing(|| "watching the listener".to_owned())?;
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut chunk = vec![0; REQUEST_BYTES_MAX];
    loop {
        events.clear();
        match epoll::wait(&poll, spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error).doing(|| "waiting for events".to_owned()),
        }
        for event in &events {
            let token = event.data.u64();
            if token == LISTENER {
                while let Ok((stream, _)) = listener.accept() {
                    let slot = connections
                        .iter()
                        .position(Option::is_none)
                        .unwrap_or(connections.len());
                    let data = epoll::EventData::new_u64(slot as u64);
                    stream
                        .set_nonblocking(true)
                        .doing(|| "accepting".to_owned())?;
                    stream.set_nodelay(true).doing(|| "accepting".to_owned())?;
                    epoll::add(&poll, &stream, data, readable).doing(|| "accepting".to_owned())?;
                    let connection = Connection {
                        stream,
                        request: Vec::new(),
                        unwritten: None,
                    };
                    match connections.get_mut(slot) {
                        Some(free) => *free = Some(connection),
                        None => connections.push(Some(connection)),
                    }
                }
                continue;
            }
            let Some(slot) = usize::try_from(token)
                .ok()
                .and_then(|token| connections.get_mut(token))
            else {
                continue;
            };
            let Some(connection) = slot else { continue };
            let was_blocked = connection.unwritten.is_some();
            let open = connection.on_ready(&mut chunk, &responses);
            let is_blocked = connection.unwritten.is_some();
            if open && was_blocked != is_blocked {
                let flags = if is_blocked {
                    epoll::EventFlags::OUT
                } else {
                    readable
                };
                epoll::modify(
                    &poll,
                    &connection.stream,
                    epoll::EventData::new_u64(token),
                    flags,
                )
                .doing(|| "watching a connection".to_owned())?;
            }
            if !open {
                *slot = None;
            }
        }
    }
}

impl Connection {
    /// Goes as far as the socket lets us; false once the connection is over.
    fn on_ready(&mut self, chunk: &mut [u8], responses: &[Vec<u8>; 2]) -> bool {
        if self.unwritten.is_none() {
            match self.stream.read(chunk) {
                Ok(0) => return false,
                Ok(count) => self
                    .request
                    .extend_from_slice(chunk.get(..count).unwrap_or_default()),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
            if find(&self.request, b"\r\n\r\n").is_none() {
                return self.request.len() < REQUEST_BYTES_MAX;
            }
            self.unwritten = Some((self.request.starts_with(b"GET /64k"), 0));
            self.request.clear();
        }
        let [small, large] = responses;
        while let Some((is_large, written)) = self.unwritten {
            let rest = if is_large { large } else { small }
                .get(written..)
                .unwrap_or_default();
            match self.stream.write(rest) {
                Ok(count) if count == rest.len() => self.unwritten = None,
                Ok(count) => self.unwritten = Some((is_large, written + count)),
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }
}

fn response(body: usize) -> Vec<u8> {
    let mut response = format!(
        "HTTP/1.1 200 OK\r\nServer: upstream\r\nContent-Type: application/json\r\n\
         Cache-Control: no-store\r\nETag: \"5f2b-1a7c\"\r\nVary: Accept-Encoding\r\n\
         Content-Length: {body}\r\n\r\n"
    )
    .into_bytes();
    response.resize(response.len() + body, b'x');
    response
}
