//! An open loop: requests arrive at their times, whether or not earlier ones were answered.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::child::{TIME_MAX, wait_until};

/// What arrives. Connections are kept, and made where none is free.
#[derive(Clone)]
pub(super) struct Arrivals {
    pub(super) address: SocketAddr,
    /// Where the connections come from.
    pub(super) from: Ipv4Addr,
    pub(super) per_second: u32,
    pub(super) path: &'static str,
    /// The fields of a request by its number.
    pub(super) fields: fn(u64) -> String,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// When, from the load's start.
    pub(super) at: Duration,
    /// From sending to the last byte of the answer.
    pub(super) took: Duration,
    /// Zero: there was no whole answer.
    pub(super) status: u16,
    /// Head and body.
    pub(super) answer: String,
}

/// A load that runs.
pub(super) struct Running {
    stop: Arc<AtomicBool>,
    begun: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Sent>>,
}

impl Arrivals {
    pub(super) fn to(address: SocketAddr, per_second: u32) -> Self {
        Self {
            address,
            from: Ipv4Addr::LOCALHOST,
            per_second,
            path: "/",
            fields: |_| String::new(),
        }
    }

    pub(super) fn start(self) -> Running {
        let stop = Arc::<AtomicBool>::default();
        let begun = Arc::<AtomicU64>::default();
        let (halt, count) = (Arc::clone(&stop), Arc::clone(&begun));
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            let local = tokio::task::LocalSet::new();
            runtime.block_on(local.run_until(self.send(halt, count)))
        });
        Running {
            stop,
            begun,
            thread,
        }
    }

    async fn send(self, stop: Arc<AtomicBool>, begun: Arc<AtomicU64>) -> Vec<Sent> {
        let started = Instant::now();
        let pool = Rc::<RefCell<Vec<TcpStream>>>::default();
        let sent = Rc::<RefCell<Vec<Sent>>>::default();
        let mut tasks = Vec::new();
        let mut number = 0;
        while !stop.load(Ordering::Relaxed) {
            let due = started.elapsed().as_secs_f64() * f64::from(self.per_second);
            while (number as f64) < due {
                let (load, pool, sent) = (self.clone(), Rc::clone(&pool), Rc::clone(&sent));
                tasks.push(tokio::task::spawn_local(async move {
                    let began = Instant::now();
                    let answer = tokio::time::timeout(TIME_MAX, load.ask(number, &pool));
                    let answer = answer.await.ok().flatten().unwrap_or_default();
                    let status = answer.get(9..12).and_then(|text| text.parse().ok());
                    sent.borrow_mut().push(Sent {
                        at: began - started,
                        took: began.elapsed(),
                        status: status.unwrap_or(0),
                        answer,
                    });
                }));
                number += 1;
                begun.store(number, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for task in tasks {
            task.await.unwrap();
        }
        sent.take()
    }

    async fn ask(&self, number: u64, pool: &RefCell<Vec<TcpStream>>) -> Option<String> {
        let fields = (self.fields)(number);
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n",
            self.path, self.address
        );
        loop {
            let kept = pool.borrow_mut().pop();
            let is_kept = kept.is_some();
            let mut stream = match kept {
                Some(stream) => stream,
                None => self.connect().await.ok()?,
            };
            match exchange(&mut stream, &request).await {
                Some(answer) => {
                    if !answer.to_ascii_lowercase().contains("connection: close") {
                        pool.borrow_mut().push(stream);
                    }
                    return Some(answer);
                }
                // It was closed before this request began.
                None if is_kept => (),
                None => return None,
            }
        }
    }

    async fn connect(&self) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((self.from, 0)))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }
}

impl Running {
    /// Waits until so many requests were sent.
    #[track_caller]
    pub(super) fn wait_begun(&self, count: u64) {
        wait_until("the load has come so far", || self.begun() >= count);
    }

    /// How many were sent.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Waits for the answers, and says what became of each.
    pub(super) fn stop(self) -> Vec<Sent> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> Option<String> {
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut received = Vec::new();
    loop {
        if let Some(end) = received.windows(4).position(|it| it == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |text| text.parse::<usize>().unwrap());
            if received.len() >= end + 4 + length {
                return String::from_utf8(received).ok();
            }
        }
        if stream.read_buf(&mut received).await.ok()? == 0 {
            return None;
        }
    }
}

/// The share of them that was answered with 200 within `time`.
pub(super) fn share_good<'a>(sent: impl IntoIterator<Item = &'a Sent>, time: Duration) -> f64 {
    let (mut good, mut all) = (0, 0);
    for it in sent {
        all += 1;
        good += u32::from(it.status == 200 && it.took <= time);
    }
    f64::from(good) / f64::from(all.max(1))
}
