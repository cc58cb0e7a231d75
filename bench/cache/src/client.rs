//! A client with one kept connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::{Doing, Failure};
use crate::response::{Progress, Reader};

/// A proxy that answers nothing must not hold the run. nginx looks again after a crowd's first answer every 500 ms.
const PATIENCE: Duration = Duration::from_secs(30);

/// It asks as `h2load` does, so that what is stored for the one is there for the other: the host is part of most keys.
pub(crate) struct Client {
    host: SocketAddr,
    stream: TcpStream,
    reader: Reader,
    chunk: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self, Failure> {
        let doing = || format!("connecting to {address}");
        let stream = TcpStream::connect(address).doing(doing)?;
        stream.set_nodelay(true).doing(doing)?;
        stream.set_read_timeout(Some(PATIENCE)).doing(doing)?;
        Ok(Self {
            host: address,
            stream,
            reader: Reader::default(),
            chunk: vec![0; 16 * 1024],
        })
    }

    /// Sends a request; nothing else may be under way.
    pub(crate) fn send(&mut self, path: &str) -> Result<(), Failure> {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n\r\n",
            self.host
        );
        let sent = self.stream.write_all(request.as_bytes());
        sent.doing(|| format!("asking for {path}"))
    }

    /// The status of its answer, once all of it has come.
    pub(crate) fn receive(&mut self) -> Result<u16, Failure> {
        loop {
            let count = self.stream.read(&mut self.chunk);
            let count = count.doing(|| "reading an answer".to_owned())?;
            let bytes = self.chunk.get(..count).unwrap_or_default();
            match self.reader.on_bytes(bytes) {
                Progress::Done(status) => return Ok(status),
                Progress::More if count > 0 => (),
                _ => return Err(Failure::unexpected("an answer is not as expected")),
            }
        }
    }

    pub(crate) fn ask(&mut self, path: &str) -> Result<u16, Failure> {
        self.send(path)?;
        self.receive()
    }
}
