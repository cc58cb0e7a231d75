//! The origin: every answer is fresh for an hour, and every request is counted.
//!
//! A thread for each connection: proxies keep few of them, but for a crowd, whose threads sleep.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::sleep;
use crate::failure::{Doing, Failure};
use crate::objects;
use crate::response::find;

/// What is answered within [`SLOW_TIME`].
pub(crate) const SLOW_PATH: &str = "/slow";
/// How long an answer to a crowd takes.
pub(crate) const SLOW_TIME: Duration = Duration::from_millis(200);
/// A crowd whose requests all come through.
const BACKLOG: i32 = 4_096;
/// A connection needs no more: its buffers are on the heap.
const STACK_BYTES: usize = 128 * 1024;
/// A proxied request head is far smaller.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const KIB: usize = 1024;

/// It serves until the process ends.
pub(crate) struct Origin {
    pub(crate) address: SocketAddr,
    requests: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) fn start() -> Result<Self, Failure> {
        let listening = || "listening".to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").doing(listening)?;
        rustix::net::listen(&listener, BACKLOG).doing(listening)?;
        let address = listener.local_addr().doing(listening)?;
        let requests = Arc::<AtomicU64>::default();
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                let serving = std::thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn(move || serve(stream, &counter));
                if let Err(error) = serving {
                    eprintln!("bench: the origin has no thread for a connection: {error}");
                }
            }
        });
        Ok(Self { address, requests })
    }

    /// How many requests have come so far.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Serves a connection to its end. That a proxy breaks one off is no failure.
fn serve(mut stream: TcpStream, counter: &AtomicU64) {
    let (mut head, mut answer) = (Vec::new(), Vec::new());
    let mut chunk = vec![0; HEAD_BYTES_MAX];
    if stream.set_nodelay(true).is_err() {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut chunk) {
        head.extend_from_slice(chunk.get(..count).unwrap_or_default());
        if find(&head, b"\r\n\r\n").is_none() {
            if head.len() > HEAD_BYTES_MAX {
                return;
            }
            continue;
        }
        counter.fetch_add(1, Ordering::Relaxed);
        let head_text = String::from_utf8_lossy(&head);
        let path = head_text.split(' ').nth(1).unwrap_or_default();
        if path == SLOW_PATH {
            sleep(SLOW_TIME);
        }
        write_answer(&mut answer, body_bytes(path));
        head.clear();
        if stream.write_all(&answer).is_err() {
            return;
        }
    }
}

/// How long the body of the answer to `path` is.
fn body_bytes(path: &str) -> usize {
    let object = path
        .strip_prefix("/objects/")
        .and_then(|it| it.parse().ok());
    let kib = |path: &str| {
        path.strip_prefix('/')?
            .strip_suffix('k')?
            .parse::<usize>()
            .ok()
    };
    match (object, kib(path)) {
        (Some(object), _) => objects::bytes(object),
        (None, Some(kib)) => kib * KIB,
        (None, None) => KIB,
    }
}

fn write_answer(answer: &mut Vec<u8>, body: usize) {
    answer.clear();
    answer.extend_from_slice(
        format!(
            "HTTP/1.1 200 OK\r\nServer: origin\r\nContent-Type: application/json\r\n\
             Cache-Control: max-age=3600\r\nETag: \"5f2b-{body}\"\r\nContent-Length: {body}\r\n\r\n"
        )
        .as_bytes(),
    );
    answer.resize(answer.len() + body, b'x');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::Client;

    #[test]
    fn a_path_says_how_long_the_body_is() {
        assert_eq!(body_bytes("/64k"), 64 * KIB);
        assert_eq!(body_bytes("/objects/7"), objects::bytes(7));
        assert_eq!(body_bytes("/ready"), KIB);
    }

    #[test]
    fn every_request_is_counted() {
        let origin = Origin::start().expect("there is a port");
        let mut client = Client::connect(origin.address).expect("it listens");
        for path in ["/1k", "/objects/7", "/64k"] {
            assert_eq!(client.ask(path).expect("it answers"), 200);
        }
        assert_eq!(origin.requests(), 3);
    }
}
