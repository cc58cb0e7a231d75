//! The generator's connections to one arm's proxy: a fixed number, made again when they break.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Method, Uri};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;

use super::Wire;
use crate::deploy::USER_HEADER;

/// Connections of all clients together to one arm: 8,000 pending requests are 500 on each, under what each peer is
/// configured to take.
pub(super) const COUNT: usize = 16;
/// Connections of the client that floods: 4,000 pending requests are 500 on each.
pub(super) const FLOOD_COUNT: usize = 8;
/// Between two attempts to connect.
const RECONNECT_INTERVAL: Duration = Duration::from_millis(100);
/// See the shop's endpoint: bodies are to cost no window updates.
const WINDOW: u32 = 1 << 24;

/// Connections to one arm.
pub(super) struct Connections {
    authority: Option<Authority>,
    slots: Vec<Arc<Slot>>,
    next: usize,
    made: watch::Receiver<usize>,
}

#[derive(Default)]
struct Slot {
    sender: Mutex<Option<SendRequest<Bytes>>>,
}

impl Connections {
    /// Begins to make `count` connections, from each of `clients` in turn.
    pub(super) fn start(address: SocketAddr, clients: &[Ipv4Addr], count: usize) -> Self {
        let (made_count, made) = watch::channel(0);
        let slots: Vec<Arc<Slot>> = (0..count).map(|_| Arc::new(Slot::default())).collect();
        for (slot, client) in slots.iter().zip(clients.iter().cycle()) {
            tokio::spawn(keep(address, *client, Arc::clone(slot), made_count.clone()));
        }
        Self {
            authority: address.to_string().parse().ok(),
            slots,
            next: 0,
            made,
        }
    }

    /// Returns when all have been made once.
    pub(super) async fn ready(&self) {
        // An error means that all keepers are gone, and they never are.
        let _ = self
            .made
            .clone()
            .wait_for(|count| *count >= self.slots.len())
            .await;
    }

    /// The next batch goes to the next connection, which is another client's.
    pub(super) fn turn(&mut self) {
        self.next = (self.next + 1) % self.slots.len();
    }

    /// A request for `path`, of `user` where it matters who it is.
    pub(super) fn request(&self, method: Method, path: Bytes, user: Option<u64>) -> Option<Wire> {
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = self.authority.clone();
        uri.path_and_query = Some(PathAndQuery::from_maybe_shared(path).ok()?);
        let mut request = Wire::new(());
        *request.method_mut() = method;
        *request.uri_mut() = Uri::from_parts(uri).ok()?;
        if let Some(user) = user {
            let headers = request.headers_mut();
            headers.insert(USER_HEADER, HeaderValue::from(user));
        }
        Some(request)
    }

    /// Sends it on the connection whose turn it is, or the next that takes it; `None` where none does.
    pub(super) fn send(&self, request: Wire) -> Option<ResponseFuture> {
        let mut context = Context::from_waker(Waker::noop());
        for step in 0..self.slots.len() {
            let slot = self.slots.get((self.next + step) % self.slots.len())?;
            let mut sender = slot.sender.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(open) = sender.as_mut() else {
                continue;
            };
            if !matches!(open.poll_ready(&mut context), Poll::Ready(Ok(()))) {
                continue;
            }
            // It was ready, and nothing can have come in between.
            return open
                .send_request(request, true)
                .ok()
                .map(|(response, _)| response);
        }
        None
    }
}

/// Every address of 127.0.0.0/8 is this machine's own.
async fn connect(address: SocketAddr, client: Ipv4Addr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(IpAddr::V4(client), 0))?;
    socket.connect(address).await
}

/// Keeps one connection open for as long as the process lives.
async fn keep(address: SocketAddr, client: Ipv4Addr, slot: Arc<Slot>, made: watch::Sender<usize>) {
    let mut first = true;
    loop {
        if let Ok(stream) = connect(address, client).await {
            let _ = stream.set_nodelay(true);
            let handshake = h2::client::Builder::new()
                .initial_window_size(WINDOW)
                .initial_connection_window_size(WINDOW)
                // Until the peer's settings say what it takes.
                .initial_max_send_streams(512)
                .max_concurrent_reset_streams(4_096)
                .enable_push(false)
                .handshake::<_, Bytes>(stream)
                .await;
            if let Ok((sender, connection)) = handshake {
                *slot.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
                if std::mem::take(&mut first) {
                    made.send_modify(|count| *count += 1);
                }
                // Why it ended shows in the requests that were on it.
                let _ = connection.await;
                *slot.sender.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
        tokio::time::sleep(RECONNECT_INTERVAL).await;
    }
}
