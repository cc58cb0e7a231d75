//! The clients' connections: for each stream a bounded number, kept, and taken again last in, first out.
//!
//! Source ports are chosen here, one after the other: the kernel's own choice slows down once tens of thousands are
//! in TIME_WAIT, which give-ups leave behind, and has half as many.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};

use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};

use crate::answer::{Progress, Reader};
use crate::failure::{Doing, Failure};

/// Ports to take in turn.
const PORTS: std::ops::Range<u16> = 10_000..60_900;
/// A port may be in use: try so many.
const PORT_TRIES: usize = 16;
/// Read at a time: more than any answer here.
const CHUNK_BYTES: usize = 16 * 1024;

/// What became of an attempt to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Yes,
    /// All connections of the stream are in use.
    NoneFree,
    /// The proxy does not take a connection.
    Failed,
}

struct Connection {
    socket: TcpStream,
    stream: usize,
    address: usize,
    generation: u32,
    reader: Reader,
    request: Option<usize>,
    /// Not yet written: the connection is not there yet.
    unwritten: Vec<u8>,
}

struct Share {
    addresses: Vec<Address>,
    open: usize,
    open_max: usize,
}

struct Address {
    address: Ipv4Addr,
    port: u16,
    idle: Vec<u64>,
}

pub(super) struct Clients {
    proxy: SocketAddr,
    shares: Vec<Share>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    generation: u32,
    /// Requests not yet sent, as bytes.
    texts: HashMap<usize, Vec<u8>>,
    /// Which connection a request is on.
    places: HashMap<usize, u64>,
    chunk: Vec<u8>,
    open: usize,
    pub(super) open_peak: usize,
    pub(super) ports_missed: u64,
}

impl Clients {
    /// Streams with their addresses and the most connections of each.
    pub(super) fn new(proxy: SocketAddr, streams: Vec<(Vec<Ipv4Addr>, usize)>) -> Self {
        let share = |(addresses, open_max): (Vec<Ipv4Addr>, usize)| Share {
            addresses: addresses
                .into_iter()
                .map(|address| Address {
                    address,
                    port: PORTS.start,
                    idle: Vec::new(),
                })
                .collect(),
            open: 0,
            open_max,
        };
        Self {
            proxy,
            shares: streams.into_iter().map(share).collect(),
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            texts: HashMap::new(),
            places: HashMap::new(),
            chunk: vec![0; CHUNK_BYTES],
            open: 0,
            open_peak: 0,
            ports_missed: 0,
        }
    }

    /// Remembers what to send for `request`.
    pub(super) fn prepare(&mut self, request: usize, stream: usize, path: &str, key: Option<u64>) {
        let key = key.map_or_else(String::new, |key| {
            format!("x-api-key: {stream}-{key:016x}\r\n")
        });
        let text = format!(
            "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0 (open loop)\r\nAccept: */*\r\n{key}\r\n"
        );
        self.texts.insert(request, text.into_bytes());
    }

    /// Sends `request` from the stream's address at `place`.
    pub(super) fn send(
        &mut self,
        poll: &rustix::fd::OwnedFd,
        request: usize,
        stream: usize,
        place: usize,
    ) -> Result<Sent, Failure> {
        while let Some(token) = self.take_idle(stream, place) {
            if self.write(token, request) {
                return Ok(Sent::Yes);
            }
            self.close(token);
        }
        let full = self
            .shares
            .get(stream)
            .is_none_or(|share| share.open >= share.open_max);
        if full {
            // An idle connection of another address makes room.
            let addresses = self
                .shares
                .get(stream)
                .map_or(0, |share| share.addresses.len());
            let Some(token) = (0..addresses).find_map(|other| self.take_idle(stream, other)) else {
                self.texts.remove(&request);
                return Ok(Sent::NoneFree);
            };
            self.close(token);
        }
        let Some(token) = self.open(stream, place)? else {
            self.texts.remove(&request);
            return Ok(Sent::Failed);
        };
        let written = self.write(token, request);
        let Some(connection) = self.get(token).filter(|_| written) else {
            self.close(token);
            self.texts.remove(&request);
            return Ok(Sent::Failed);
        };
        // On this machine a connection is there at once, as long as the proxy's backlog has room.
        let flags = if connection.unwritten.is_empty() {
            epoll::EventFlags::IN
        } else {
            epoll::EventFlags::IN | epoll::EventFlags::OUT
        };
        let data = epoll::EventData::new_u64(token);
        epoll::add(poll, &connection.socket, data, flags)
            .doing(|| "watching a connection".to_owned())?;
        Ok(Sent::Yes)
    }

    fn take_idle(&mut self, stream: usize, place: usize) -> Option<u64> {
        loop {
            let address = self.shares.get_mut(stream)?.addresses.get_mut(place)?;
            let token = address.idle.pop()?;
            // It may have been closed since.
            if self.get(token).is_some() {
                return Some(token);
            }
        }
    }

    fn get(&mut self, token: u64) -> Option<&mut Connection> {
        let connection = self.connections.get_mut((token & 0xffff_ffff) as usize)?;
        connection
            .as_mut()
            .filter(|connection| u64::from(connection.generation) == token >> 32)
    }

    /// Writes `request`, at once or when the connection is there; false if it cannot be.
    fn write(&mut self, token: u64, request: usize) -> bool {
        let Some(text) = self.texts.remove(&request) else {
            return false;
        };
        let Some(connection) = self.get(token) else {
            self.texts.insert(request, text);
            return false;
        };
        match connection.socket.write(&text) {
            Ok(count) if count == text.len() => (),
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::NotConnected
                ) =>
            {
                connection.unwritten = text;
            }
            _ => {
                self.texts.insert(request, text);
                return false;
            }
        }
        connection.request = Some(request);
        self.places.insert(request, token);
        true
    }

    /// A new connection, perhaps still on its way; `None` if there is no port or the proxy refuses.
    fn open(&mut self, stream: usize, place: usize) -> Result<Option<u64>, Failure> {
        let Some(socket) = self.connect(stream, place)? else {
            return Ok(None);
        };
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        self.generation = self.generation.wrapping_add(1);
        let token = u64::from(self.generation) << 32 | slot as u64;
        if let Some(entry) = self.connections.get_mut(slot) {
            *entry = Some(Connection {
                socket,
                stream,
                address: place,
                generation: self.generation,
                reader: Reader::default(),
                request: None,
                unwritten: Vec::new(),
            });
        }
        if let Some(share) = self.shares.get_mut(stream) {
            share.open += 1;
        }
        self.open += 1;
        self.open_peak = self.open_peak.max(self.open);
        Ok(Some(token))
    }

    fn connect(&mut self, stream: usize, place: usize) -> Result<Option<TcpStream>, Failure> {
        use rustix::io::Errno;
        let doing = || "opening a connection".to_owned();
        let proxy = self.proxy;
        let Some(from) = self
            .shares
            .get_mut(stream)
            .and_then(|share| share.addresses.get_mut(place))
        else {
            return Ok(None);
        };
        for _ in 0..PORT_TRIES {
            let socket = rustix::net::socket_with(
                AddressFamily::INET,
                SocketType::STREAM,
                SocketFlags::NONBLOCK | SocketFlags::CLOEXEC,
                None,
            )
            .doing(doing)?;
            sockopt::set_socket_reuseaddr(&socket, true).doing(doing)?;
            let own = SocketAddrV4::new(from.address, from.port);
            from.port = if from.port + 1 < PORTS.end {
                from.port + 1
            } else {
                PORTS.start
            };
            match rustix::net::bind(&socket, &own) {
                Ok(()) => (),
                Err(Errno::ADDRINUSE) => continue,
                Err(error) => return Err(error).doing(doing),
            }
            match rustix::net::connect(&socket, &proxy) {
                Ok(()) | Err(Errno::INPROGRESS) => return Ok(Some(socket.into())),
                // The same four numbers are still in TIME_WAIT.
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => (),
                Err(Errno::CONNREFUSED | Errno::CONNRESET | Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error).doing(doing),
            }
        }
        self.ports_missed += 1;
        Ok(None)
    }

    /// The connection is there: what waited is written.
    pub(super) fn on_writable(
        &mut self,
        poll: &rustix::fd::OwnedFd,
        token: u64,
    ) -> Result<(), Failure> {
        let Some(connection) = self.get(token) else {
            return Ok(());
        };
        let text = std::mem::take(&mut connection.unwritten);
        if !text.is_empty() {
            match connection.socket.write(&text) {
                Ok(count) if count == text.len() => (),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    connection.unwritten = text;
                    return Ok(());
                }
                // Reading says what is wrong.
                _ => (),
            }
        }
        let data = epoll::EventData::new_u64(token);
        epoll::modify(poll, &connection.socket, data, epoll::EventFlags::IN)
            .doing(|| "watching a connection".to_owned())
    }

    /// What the connection has to say, and to which request; `None` if there is no such connection any more.
    pub(super) fn on_readable(&mut self, token: u64) -> Option<(Progress, Option<usize>)> {
        let mut chunk = std::mem::take(&mut self.chunk);
        let read = self
            .get(token)
            .map(|connection| match connection.socket.read(&mut chunk) {
                Ok(0) => Progress::Broken,
                // Bytes that nobody asked for end the connection too.
                Ok(_) if connection.request.is_none() => Progress::Broken,
                Ok(count) => connection
                    .reader
                    .on_bytes(chunk.get(..count).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Progress::More,
                Err(_) => Progress::Broken,
            });
        self.chunk = chunk;
        let progress = read?;
        let connection = self.get(token)?;
        let (asked, stream, place) = (connection.request, connection.stream, connection.address);
        match progress {
            Progress::More => return Some((progress, asked)),
            Progress::Done(answer) if !answer.closes => {
                connection.request = None;
                if let Some(address) = self
                    .shares
                    .get_mut(stream)
                    .and_then(|share| share.addresses.get_mut(place))
                {
                    address.idle.push(token);
                }
            }
            Progress::Done(_) | Progress::Broken => self.close(token),
        }
        if let Some(request) = asked {
            self.places.remove(&request);
        }
        Some((progress, asked))
    }

    /// The client of `request` gives up.
    pub(super) fn abort(&mut self, request: usize) {
        if let Some(token) = self.places.remove(&request) {
            self.close(token);
        }
    }

    fn close(&mut self, token: u64) {
        let slot = (token & 0xffff_ffff) as usize;
        if let Some(connection) = self.get(token) {
            let stream = connection.stream;
            if let Some(entry) = self.connections.get_mut(slot) {
                *entry = None;
            }
            self.free.push(slot);
            self.open -= 1;
            if let Some(share) = self.shares.get_mut(stream) {
                share.open -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(open_max: usize) -> (Clients, std::net::TcpListener, rustix::fd::OwnedFd) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("it listens");
        let proxy = listener.local_addr().expect("it has an address");
        let addresses = vec![Ipv4Addr::new(127, 0, 9, 1), Ipv4Addr::new(127, 0, 9, 2)];
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC).expect("it is made");
        (
            Clients::new(proxy, vec![(addresses, open_max)]),
            listener,
            poll,
        )
    }

    #[test]
    fn connections_come_from_the_address_and_are_bounded() {
        let (mut clients, listener, poll) = clients(1);
        clients.prepare(0, 0, "/", None);
        clients.prepare(1, 0, "/", None);
        assert_eq!(clients.send(&poll, 0, 0, 1).expect("it works"), Sent::Yes);
        let (_, from) = listener.accept().expect("it connects");
        assert_eq!(from.ip(), Ipv4Addr::new(127, 0, 9, 2));
        assert_eq!(
            clients.send(&poll, 1, 0, 1).expect("it works"),
            Sent::NoneFree
        );
        clients.abort(0);
        clients.prepare(1, 0, "/", None);
        assert_eq!(clients.send(&poll, 1, 0, 0).expect("it works"), Sent::Yes);
        assert_eq!((clients.open, clients.open_peak), (1, 1));
    }
}
