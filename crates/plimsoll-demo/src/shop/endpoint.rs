//! One endpoint of the shop: listens, queues, works, has faults, crashes, comes back on the same port.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Shop, http1};
use crate::catalogue::{SLOW_ENDPOINT_FACTOR, STORED, is_stored};
use crate::message::Fault;

/// One endpoint.
pub(super) struct Endpoint {
    service: usize,
    slots: usize,
    address: SocketAddr,
    waiting: AtomicUsize,
    arrived: AtomicU64,
    /// Of these, while it had a bad version.
    bad_version: AtomicU64,
    fault: watch::Sender<Option<Fault>>,
}

/// Every answer's body: about the size of a small JSON document.
pub(super) const BODY: &[u8] = &[b'.'; 256];

/// All that may be pending in one arm fits into one connection, so that the limit under test is never ours.
const STREAMS_MAX: u32 = 16_384;

/// HTTP/2's largest window, nearly: bodies are small and are to cost no window updates.
const WINDOW: u32 = 1 << 24;

impl Endpoint {
    /// Listens on a free port of the loopback interface.
    pub(super) fn listen(service: usize, slots: usize) -> io::Result<(Self, TcpListener)> {
        let listener = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let endpoint = Self {
            service,
            slots,
            address,
            waiting: AtomicUsize::new(0),
            arrived: AtomicU64::new(0),
            bad_version: AtomicU64::new(0),
            fault: watch::Sender::new(None),
        };
        Ok((endpoint, listener))
    }

    pub(super) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    pub(super) fn arrived(&self) -> u64 {
        self.arrived.load(Ordering::Relaxed)
    }

    pub(super) fn bad_version(&self) -> u64 {
        self.bad_version.load(Ordering::Relaxed)
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        *self.fault.borrow()
    }

    /// Returns while nothing is frozen.
    async fn thawed(&self) {
        // An error means that the endpoint is gone, and it is borrowed.
        let _ = self
            .fault
            .subscribe()
            .wait_for(|fault| *fault != Some(Fault::Frozen))
            .await;
    }
}

/// One life of an endpoint: what ends with a crash.
pub(super) struct Life {
    shop: Arc<Shop>,
    endpoint: Arc<Endpoint>,
    slots: Semaphore,
    /// For each free slot, when its last work should have ended. Work begins there and not when a late
    /// timer noticed, so that a busy machine does not make the shop smaller.
    free: Mutex<Vec<Instant>>,
}

/// How a request ended, as far as the endpoint is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Done,
    NotFound,
    /// The endpoint fails all it is asked, or its version this.
    Failed,
    /// The client left before work began, or the endpoint crashed.
    Dropped,
}

impl Life {
    /// Waits for a slot and works, unless `gone` comes first.
    pub(super) async fn work(&self, path: &str, gone: impl Future<Output = ()>) -> Work {
        self.shop.arrived.fetch_add(1, Ordering::Relaxed);
        self.endpoint.arrived.fetch_add(1, Ordering::Relaxed);
        match self.endpoint.fault() {
            Some(Fault::Failing) => return Work::Failed,
            Some(Fault::Bad) => {
                self.endpoint.bad_version.fetch_add(1, Ordering::Relaxed);
                if self.shop.fails(path) {
                    return Work::Failed;
                }
            }
            _ => (),
        }
        let waiting = Waiting::new(&self.endpoint.waiting);
        // What a frozen endpoint was sent is looked at when it goes on, and was not there before.
        let starts = async {
            self.endpoint.thawed().await;
            let arrived = Instant::now();
            self.slots.acquire().await.ok().map(|slot| (slot, arrived))
        };
        let slot = tokio::select! {
            biased;
            slot = starts => slot,
            () = gone => None,
        };
        drop(waiting);
        let Some((slot, arrived)) = slot else {
            self.shop.dropped.fetch_add(1, Ordering::Relaxed);
            return Work::Dropped;
        };
        let Some(holds) = self.shop.holds(self.endpoint.service, path) else {
            return Work::NotFound;
        };
        let slow = self.endpoint.fault() == Some(Fault::Slow);
        let factor = if slow { SLOW_ENDPOINT_FACTOR } else { 1.0 };
        let free = self.lock().pop().unwrap_or(arrived);
        let end = free.max(arrived) + holds.mul_f64(factor);
        tokio::time::sleep_until(end).await;
        self.endpoint.thawed().await;
        self.lock().push(end);
        drop(slot);
        if self.slots.is_closed() {
            Work::Dropped
        } else {
            Work::Done
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Instant>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs an endpoint through its lives.
pub(super) async fn run(
    shop: Arc<Shop>,
    endpoint: Arc<Endpoint>,
    listener: TcpListener,
    mut orders: UnboundedReceiver<Option<Fault>>,
) {
    let mut listener = Some(listener);
    loop {
        if let Some(listener) = listener.take() {
            endpoint.fault.send_replace(None);
            let slots = Semaphore::new(endpoint.slots);
            let life = Arc::new(Life {
                shop: Arc::clone(&shop),
                endpoint: Arc::clone(&endpoint),
                slots,
                free: Mutex::new(Vec::new()),
            });
            live(&life, &listener, &mut orders).await;
            endpoint.fault.send_replace(Some(Fault::Crashed));
        }
        match orders.recv().await {
            Some(Some(Fault::Crashed)) => (),
            // A fault other than a crash is not kept: nothing has one while it is down.
            Some(_) => listener = bind(endpoint.address).ok(),
            None => return,
        }
    }
}

/// Returns when the endpoint crashes.
async fn live(
    life: &Arc<Life>,
    listener: &TcpListener,
    orders: &mut UnboundedReceiver<Option<Fault>>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(Arc::clone(life), stream));
                }
                // Out of descriptors, most likely: others must end first.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            },
            order = orders.recv() => match order {
                Some(Some(Fault::Crashed)) | None => break,
                Some(fault) => drop(life.endpoint.fault.send_replace(fault)),
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => (),
        }
    }
    life.slots.close();
    connections.shutdown().await;
}

/// Serves one connection in the protocol that its first bytes are in.
async fn serve(life: Arc<Life>, stream: TcpStream) {
    // Without lingering, closing is resetting, which is what a crash looks like from outside.
    let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
    let _ = stream.set_nodelay(true);
    let mut first = [0; 3];
    loop {
        match stream.peek(&mut first).await {
            Ok(3) => break,
            Ok(0) | Err(_) => return,
            // A preface in pieces: not seen on a loopback interface, but possible.
            Ok(_) => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    // No method of HTTP/1 is called so: RFC 9113, section 3.4.
    if &first == b"PRI" {
        serve_http2(life, stream).await
    } else {
        http1::serve(life, stream).await
    }
}

async fn serve_http2(life: Arc<Life>, stream: TcpStream) {
    let handshake = h2::server::Builder::new()
        .max_concurrent_streams(STREAMS_MAX)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_pending_accept_reset_streams(STREAMS_MAX as usize)
        .handshake::<_, Bytes>(stream)
        .await;
    let Ok(mut connection) = handshake else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(answer(Arc::clone(&life), request, respond));
    }
}

async fn answer(
    life: Arc<Life>,
    request: Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
) {
    let gone = poll_fn(|context| respond.poll_reset(context).map(drop));
    let path = request.uri().path();
    let status = match life.work(path, gone).await {
        Work::Done => StatusCode::OK,
        Work::NotFound => StatusCode::NOT_FOUND,
        Work::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        Work::Dropped => return,
    };
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if is_stored(path) {
        let says = HeaderValue::from_static(STORED);
        response.headers_mut().insert(header::CACHE_CONTROL, says);
    }
    // An error means that the client is gone, and then nobody is there to be told.
    if let Ok(mut body) = respond.send_response(response, false) {
        let _ = body.send_data(Bytes::from_static(BODY), true);
    }
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    // A crashed endpoint's old connections must not keep it from coming back.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4_096)
}

/// Counts a request as waiting for as long as it exists.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
