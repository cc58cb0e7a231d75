//! A service with so many places, each of which takes a request for a fixed time; what is above waits in it.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// What it does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// Answers with 200, after its time.
    Answer,
    /// Answers with 500 at once.
    Fail,
    /// Reads it and says nothing until it does something else, as a process that was stopped and goes on.
    Freeze,
}

/// How often one that is frozen looks whether it still is.
const THAW_STEP: Duration = Duration::from_millis(10);

/// See the module's docs. It reads no bodies.
pub(super) struct Station {
    pub(super) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    places: Semaphore,
    time: Duration,
    act: AtomicU8,
    requests: AtomicU64,
    present: AtomicU32,
    present_most: AtomicU32,
}

impl Station {
    pub(super) fn start(places: usize, time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let shared = Arc::new(Shared {
            places: Semaphore::new(places),
            time,
            act: AtomicU8::new(Act::Answer as u8),
            requests: AtomicU64::new(0),
            present: AtomicU32::new(0),
            present_most: AtomicU32::new(0),
        });
        let inside = Arc::clone(&shared);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&inside)));
                }
            });
        });
        Self { address, shared }
    }

    /// From the next request on.
    pub(super) fn set(&self, act: Act) {
        self.shared.act.store(act as u8, Ordering::SeqCst);
    }

    /// Requests whose heads have arrived.
    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Requests that are here and not answered.
    pub(super) fn present(&self) -> u32 {
        self.shared.present.load(Ordering::SeqCst)
    }

    /// The most of them at once so far.
    pub(super) fn present_most(&self) -> u32 {
        self.shared.present_most.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = received.windows(4).position(|it| it == b"\r\n\r\n") {
                break at + 4;
            }
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        };
        received.drain(..end);
        shared.requests.fetch_add(1, Ordering::SeqCst);
        let present = shared.present.fetch_add(1, Ordering::SeqCst) + 1;
        shared.present_most.fetch_max(present, Ordering::SeqCst);
        let act = shared.act.load(Ordering::SeqCst);
        let mut status = "500 Failed";
        let frozen = || shared.act.load(Ordering::SeqCst) == Act::Freeze as u8;
        while frozen() {
            let more = tokio::time::timeout(THAW_STEP, stream.read_buf(&mut received)).await;
            if let Ok(Ok(0) | Err(_)) = more {
                shared.present.fetch_sub(1, Ordering::SeqCst);
                return Ok(());
            }
        }
        if act != Act::Fail as u8 {
            let _place = shared.places.acquire().await.unwrap();
            tokio::time::sleep(shared.time).await;
            status = "200 OK";
        }
        shared.present.fetch_sub(1, Ordering::SeqCst);
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 6\r\n\r\nhello\n");
        stream.write_all(answer.as_bytes()).await?;
    }
}
