//! One client on one connection, which waits: when did the first byte come, and when the last?

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::clock::now;
use crate::failure::{Doing, Failure};
use crate::response::{Progress, Reader};

/// Nothing of what is asked for takes longer, if it comes at all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Connects, and asks one thing after the other.
pub(crate) struct Client {
    address: SocketAddr,
    stream: TcpStream,
    chunk: Vec<u8>,
}

/// What came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// From the first byte that was sent.
    pub(crate) first: Duration,
    pub(crate) last: Duration,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let doing = || format!("connecting to {address}");
        let stream = TcpStream::connect(address).doing(doing)?;
        stream.set_nodelay(true).doing(doing)?;
        stream.set_read_timeout(Some(PATIENCE)).doing(doing)?;
        stream.set_write_timeout(Some(PATIENCE)).doing(doing)?;
        Ok(Self {
            address,
            stream,
            chunk: vec![0; 64 * 1024],
        })
    }

    pub(crate) fn ask(&mut self, path: &str) -> Result<Answer, Failure> {
        let asking = || format!("asking {} for {path}", self.address);
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/html\r\n\r\n");
        let asked = now();
        self.stream.write_all(request.as_bytes()).doing(asking)?;
        let (mut reader, mut first) = (Reader::default(), None);
        loop {
            let count = self.stream.read(&mut self.chunk).doing(asking)?;
            let first = *first.get_or_insert_with(|| asked.elapsed());
            let bytes = self.chunk.get(..count).unwrap_or_default();
            match reader.on_bytes(bytes) {
                Progress::More if count > 0 => (),
                Progress::Done(status) => {
                    return Ok(Answer {
                        status,
                        first,
                        last: asked.elapsed(),
                    });
                }
                Progress::More | Progress::Broken => {
                    return Err(Failure::unexpected(format!(
                        "{}: no whole answer to {path}",
                        self.address
                    )));
                }
            }
        }
    }
}

/// The text of an answer, from a connection of its own.
pub(crate) fn text(address: SocketAddr, path: &str) -> Result<String, Failure> {
    let asking = || format!("asking {address} for {path}");
    let mut stream = TcpStream::connect(address).doing(asking)?;
    stream.set_read_timeout(Some(PATIENCE)).doing(asking)?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).doing(asking)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).doing(asking)?;
    Ok(answer)
}
