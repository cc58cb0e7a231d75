//! An independent load: a closed loop of real HTTP clients (hyper's, not ours) that counts strictly.
//!
//! Each client sends one request after the other over a kept connection, and connects anew when the other
//! side said that it closes. A request counts as failed as soon as one byte of it may have left and no whole
//! answer came; a connection that was closed *before* a request began on it is no failure.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use http::{Request, StatusCode};
use hyper::body::{Body, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

/// An answer that takes longer is lost.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// What the clients saw.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Whole answers by status.
    pub(crate) answered: BTreeMap<u16, u64>,
    /// Requests that got no whole answer, and why.
    pub(crate) failed: Vec<String>,
    /// Connections that were refused.
    pub(crate) refused: u64,
    /// Connections that were made.
    pub(crate) connections: u64,
}

impl Tally {
    /// How many got this status.
    pub(crate) fn status(&self, status: u16) -> u64 {
        self.answered.get(&status).copied().unwrap_or(0)
    }

    /// Whole answers, whatever they said.
    pub(crate) fn total(&self) -> u64 {
        self.answered.values().sum()
    }

    /// Every request was answered with 200.
    #[track_caller]
    pub(crate) fn assert_all_ok(&self) {
        assert!(
            self.failed.is_empty(),
            "{} failed of {}: {:?}",
            self.failed.len(),
            self.total(),
            self.failed.iter().take(5).collect::<Vec<_>>()
        );
        assert_eq!(self.status(200), self.total(), "{:?}", self.answered);
        assert!(self.total() > 0, "nothing was sent");
    }
}

/// A load that runs.
pub(crate) struct Load {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicU64,
    tally: Mutex<Tally>,
}

/// What is sent.
#[derive(Clone)]
pub(crate) struct Offer {
    /// Where.
    pub(crate) address: SocketAddr,
    /// How many clients.
    pub(crate) clients: usize,
    /// Each client goes through them in turn.
    pub(crate) paths: Vec<String>,
    /// HTTP/2 with prior knowledge, a connection for each client.
    pub(crate) http2: bool,
    /// Each client ends after so many.
    pub(crate) requests_max: u64,
}

impl Offer {
    /// `clients` that ask for `/` until they are stopped.
    pub(crate) fn to(address: SocketAddr, clients: usize) -> Self {
        Self {
            address,
            clients,
            paths: vec!["/".to_owned()],
            http2: false,
            requests_max: u64::MAX,
        }
    }

    /// Starts it, on a thread of its own.
    pub(crate) fn start(self) -> Load {
        let shared = Arc::<Shared>::default();
        let inside = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let clients: Vec<_> = (0..self.clients)
                    .map(|_| tokio::spawn(client(self.clone(), Arc::clone(&inside))))
                    .collect();
                for client in clients {
                    client.await.unwrap();
                }
            });
        });
        Load { shared, thread }
    }

    /// Sends all of it, and waits for the end.
    pub(crate) fn run(self, requests_each: u64) -> Tally {
        let offer = Self {
            requests_max: requests_each,
            ..self
        };
        offer.start().wait()
    }
}

impl Load {
    /// How many answers came so far.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Lets each client finish its request, and counts.
    pub(crate) fn stop(self) -> Tally {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.wait()
    }

    /// Waits until the clients have ended by themselves.
    pub(crate) fn wait(self) -> Tally {
        self.thread.join().unwrap();
        self.shared.tally.lock().unwrap().clone()
    }
}

enum Sender {
    Http1(http1::SendRequest<String>),
    Http2(http2::SendRequest<String>),
}

async fn client(offer: Offer, shared: Arc<Shared>) {
    let host = offer.address.to_string();
    let mut sent = 0;
    let note = |change: &dyn Fn(&mut Tally)| change(&mut shared.tally.lock().unwrap());
    'connections: while !shared.stop.load(Ordering::Relaxed) && sent < offer.requests_max {
        let stream = match TcpStream::connect(offer.address).await {
            Ok(stream) => stream,
            Err(_) => {
                // Nobody listens: the load is over for this client.
                note(&|tally| tally.refused += 1);
                return;
            }
        };
        note(&|tally| tally.connections += 1);
        let mut sender = match connect(stream, offer.http2).await {
            Ok(sender) => sender,
            Err(error) => {
                note(&|tally| tally.failed.push(format!("handshake: {error:?}")));
                continue;
            }
        };
        while !shared.stop.load(Ordering::Relaxed) && sent < offer.requests_max {
            if sender.ready().await.is_err() {
                continue 'connections;
            }
            let path = &offer.paths[usize::try_from(sent).unwrap() % offer.paths.len()];
            let answer = tokio::time::timeout(ANSWER_TIME_MAX, sender.ask(&host, path));
            match answer.await {
                Ok(Ok(status)) => {
                    sent += 1;
                    shared.done.fetch_add(1, Ordering::Relaxed);
                    note(&|tally| *tally.answered.entry(status.as_u16()).or_default() += 1);
                }
                // Not a byte of it has left: the connection was closed before.
                Ok(Err(Ended::Unsent)) => continue 'connections,
                Ok(Err(Ended::Failed(why))) => {
                    sent += 1;
                    note(&|tally| tally.failed.push(format!("{path}: {why}")));
                    continue 'connections;
                }
                Err(_late) => {
                    sent += 1;
                    note(&|tally| tally.failed.push(format!("{path}: no answer in time")));
                    continue 'connections;
                }
            }
        }
    }
}

async fn connect(stream: TcpStream, http2: bool) -> hyper::Result<Sender> {
    stream.set_nodelay(true).unwrap();
    let io = TokioIo::new(stream);
    if http2 {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
        tokio::spawn(connection);
        Ok(Sender::Http2(sender))
    } else {
        let (sender, connection) = http1::handshake(io).await?;
        tokio::spawn(connection);
        Ok(Sender::Http1(sender))
    }
}

enum Ended {
    Unsent,
    Failed(String),
}

impl Sender {
    async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    async fn ask(&mut self, host: &str, path: &str) -> Result<StatusCode, Ended> {
        let ended = |error: hyper::Error| {
            // hyper gives a request back that it never wrote; HTTP/2 says which streams were not processed.
            let unseen = std::error::Error::source(&error)
                .and_then(|source| source.downcast_ref::<h2::Error>())
                .is_some_and(|error| {
                    error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM)
                });
            if error.is_canceled() || unseen {
                Ended::Unsent
            } else {
                Ended::Failed(format!("{error:?}"))
            }
        };
        let mut body = match self {
            Self::Http1(sender) => {
                let request = Request::get(path).header("host", host);
                sender
                    .send_request(request.body(String::new()).unwrap())
                    .await
            }
            Self::Http2(sender) => {
                let request = Request::get(format!("http://{host}{path}"));
                sender
                    .send_request(request.body(String::new()).unwrap())
                    .await
            }
        }
        .map_err(ended)?;
        read(body.body_mut()).await.map_err(Ended::Failed)?;
        Ok(body.status())
    }
}

/// Reads a body to its end.
async fn read(body: &mut Incoming) -> Result<(), String> {
    while let Some(frame) = poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
        frame.map_err(|error| format!("the body was cut: {error:?}"))?;
    }
    Ok(())
}
