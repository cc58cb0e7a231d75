//! Idle keep-alive connections: each is opened, asks once, and then stays.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::failure::{Doing, Failure};
use crate::load::request;
use crate::response::{Progress, Reader};
use crate::words::Words;

/// Opens them, prints `ready`, and holds them until standard input ends.
pub(crate) fn idle(words: &mut Words) -> Result<(), Failure> {
    let address: SocketAddr = words.needed("--address")?;
    let count: usize = words.needed("--connections")?;
    let mut kept = Vec::with_capacity(count);
    for number in 0..count {
        kept.push(ask_once(address).doing(|| format!("idle connection {number} to {address}"))?);
    }
    println!("ready");
    let mut rest = Vec::new();
    std::io::stdin()
        .read_to_end(&mut rest)
        .doing(|| "waiting for the end".to_owned())?;
    drop(kept);
    Ok(())
}

fn ask_once(address: SocketAddr) -> std::io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&request("/1k"))?;
    let mut reader = Reader::default();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk)?;
        match reader.on_bytes(chunk.get(..count).unwrap_or_default()) {
            Progress::Done(200) => return Ok(stream),
            Progress::More if count > 0 => (),
            other => {
                return Err(std::io::Error::other(format!(
                    "the answer is not as expected: {other:?}"
                )));
            }
        }
    }
}
