//! A service that does what a test says, byte by byte; and a client that sends what a test says.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::child::TIME_MAX;

/// A service whose connections are each given to a function, with their number.
pub(crate) struct Script {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// `serve` is given each connection on a thread of its own.
    pub(crate) fn start(serve: impl Fn(usize, &mut Link) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let (serve, seen) = (Arc::new(serve), Arc::clone(&heads));
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (serve, seen) = (Arc::clone(&serve), Arc::clone(&seen));
                let stream = stream.unwrap();
                std::thread::spawn(move || serve(number, &mut Link::new(stream, Some(seen))));
            }
        });
        Self { address, heads }
    }

    /// Answers each request of each connection with these bytes.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |_, link| {
            while link.head().is_some() {
                link.send(answer);
            }
        })
    }

    /// The heads that arrived, oldest first.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// One side of a connection.
pub(crate) struct Link {
    pub(crate) stream: TcpStream,
    received: Vec<u8>,
    seen: Option<Arc<Mutex<Vec<String>>>>,
}

impl Link {
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).unwrap(), None)
    }

    fn new(stream: TcpStream, seen: Option<Arc<Mutex<Vec<String>>>>) -> Self {
        stream.set_read_timeout(Some(TIME_MAX)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            received: Vec::new(),
            seen,
        }
    }

    /// A peer that has gone is the test's business elsewhere.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let _gone = self.stream.write_all(bytes);
    }

    /// Up to and with the next empty line; `None` at the end.
    pub(crate) fn head(&mut self) -> Option<String> {
        let head = self.until(b"\r\n\r\n")?;
        if let Some(seen) = &self.seen {
            seen.lock().unwrap().push(head.clone());
        }
        Some(head)
    }

    /// Up to and with `mark`; `None` if the end comes first.
    pub(crate) fn until(&mut self, mark: &[u8]) -> Option<String> {
        loop {
            if let Some(at) = self.received.windows(mark.len()).position(|it| it == mark) {
                let piece: Vec<u8> = self.received.drain(..at + mark.len()).collect();
                return Some(String::from_utf8_lossy(&piece).into_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// So many bytes; fewer at the end.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        while self.received.len() < count && self.fill() {}
        let count = count.min(self.received.len());
        self.received.drain(..count).collect()
    }

    /// Reads and forgets so many bytes; says how many there were.
    pub(crate) fn skip(&mut self, count: u64) -> u64 {
        let mut got = (self.received.len() as u64).min(count);
        self.received.drain(..got as usize);
        let mut piece = vec![0; 256 * 1024];
        while got < count {
            match self.stream.read(&mut piece) {
                Ok(read @ 1..) => got += read as u64,
                _ => break,
            }
        }
        got
    }

    /// All that comes until the end.
    pub(crate) fn rest(&mut self) -> String {
        while self.fill() {}
        String::from_utf8_lossy(&std::mem::take(&mut self.received)).into_owned()
    }

    fn fill(&mut self) -> bool {
        let mut piece = [0; 16 * 1024];
        match self.stream.read(&mut piece) {
            Ok(count @ 1..) => {
                self.received.extend_from_slice(&piece[..count]);
                true
            }
            _ => false,
        }
    }
}
