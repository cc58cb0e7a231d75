//! Client connections: accepted, unwrapped (PROXY protocol, TLS), and told apart by what they speak.

mod http1;
mod http2;
mod patience;

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_core::Instant;
use plimsoll_upstream::Io;
use socket2::{SockFilter, SockRef};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsStream};

use self::patience::Patience;
use crate::forwarded;
use crate::gateway::{ListenerSettings, Stop};
use crate::listener::BACKLOG;
use crate::protocol::ClientConnection;
use crate::proxy_protocol;
use crate::thread::{ConnectionSlot, Thread};
use crate::timer::Timer;

/// What an HTTP/2 client says first (RFC 9113 section 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A packet filter of one instruction: return 0, which keeps nothing (`BPF_RET | BPF_K`).
const DROP_ALL: SockFilter = SockFilter::new(0x06, 0, 0, 0);
/// How long we wait before accepting again when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections until `stop`, then those that wait already.
pub(crate) async fn accept(
    thread: Rc<Thread>,
    socket: std::net::TcpListener,
    settings: Arc<ListenerSettings>,
    mut stop: watch::Receiver<Stop>,
) {
    let _counted = ListenerCount::new(&thread);
    let listener = match TcpListener::from_std(socket) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "a listener can't be used");
            return;
        }
    };
    let mut failing = false;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            // An error is a sender that is gone: the gateway is.
            _ = stop.wait_for(|stop| *stop != Stop::No) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                failing = false;
                begin(&thread, &settings, stream, peer);
            }
            Err(error) => {
                if !failing && !is_peers_fault(&error) {
                    failing = true;
                    tracing::error!(%error, "connections can't be accepted");
                }
                if !is_peers_fault(&error) {
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    if *stop.borrow() == Stop::Leave {
        return;
    }
    // Who has got through the handshake is served: closing the socket would reset them. First a filter that
    // drops all packets, so that nobody gets through between the last accept and the close; who tries is told
    // that nobody listens when it tries again.
    if let Ok(listener) = listener.into_std() {
        if let Err(error) = SockRef::from(&listener).attach_filter(&[DROP_ALL]) {
            tracing::debug!(%error, "a listener closes without a filter: connections may be reset");
        }
        for _ in 0..=BACKLOG {
            let Ok((stream, peer)) = listener.accept() else {
                break;
            };
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                begin(&thread, &settings, stream, peer);
            }
        }
    }
}

fn is_peers_fault(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset
    )
}

/// Counts an accept task, so that draining waits for its queue.
struct ListenerCount(Rc<Thread>);

impl ListenerCount {
    fn new(thread: &Rc<Thread>) -> Self {
        thread.listeners.set(thread.listeners.get() + 1);
        Self(Rc::clone(thread))
    }
}

impl Drop for ListenerCount {
    fn drop(&mut self) {
        self.0.listeners.set(self.0.listeners.get() - 1);
        self.0.connection_closed.notify_one();
    }
}

/// Counts a connection on its thread.
struct ConnectionCount {
    thread: Rc<Thread>,
    slot: ConnectionSlot,
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.thread
            .connections
            .set(self.thread.connections.get() - 1);
        self.thread.connection_closed.notify_one();
    }
}

fn begin(
    thread: &Rc<Thread>,
    settings: &Arc<ListenerSettings>,
    stream: TcpStream,
    peer: SocketAddr,
) {
    // Behind a PROXY protocol header is who says so in it: that is read first.
    let slot = thread.shared.open().and_then(|mut slot| {
        (settings.proxy_protocol || slot.count_for(peer.ip())).then_some(slot)
    });
    let Some(slot) = slot else {
        refuse(settings, &stream);
        return;
    };
    thread.connections.set(thread.connections.get() + 1);
    let mut count = ConnectionCount {
        thread: Rc::clone(thread),
        slot,
    };
    let (thread, settings) = (Rc::clone(thread), Arc::clone(settings));
    tokio::task::spawn_local(async move {
        serve(&thread, &settings, stream, peer, &mut count.slot).await;
    });
}

/// Says that there are as many connections as may be, as far as that can be said before a handshake.
fn refuse(settings: &ListenerSettings, stream: &TcpStream) {
    if settings.tls.is_none() {
        // Best effort: it fits in the socket's buffer or it does not.
        let _unsent = SockRef::from(stream).send(
            b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
              Plimsoll-Decision: refused; reason=connections\r\n\r\n",
        );
    }
}

/// Serves one connection to its end.
async fn serve(
    thread: &Rc<Thread>,
    settings: &ListenerSettings,
    stream: TcpStream,
    peer: SocketAddr,
    slot: &mut ConnectionSlot,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let head_time_max = thread.plan().plan.config.gateway.limits.head_time_max;
    let mut timer = Timer::new(thread.clock);
    let deadline = thread.clock.now() + head_time_max;
    let mut io = Io::Tcp(stream);
    let mut buf = BytesMut::new();
    let mut connection = ClientConnection {
        peer,
        may_be_trusted: true,
        tls: settings.tls.is_some(),
    };
    if settings.proxy_protocol {
        match read_proxy_header(&mut io, &mut buf, &mut timer, deadline).await {
            Ok(Some(source)) => {
                // Whose word counts is who connected, not who it says it speaks for.
                connection.may_be_trusted =
                    forwarded::is_trusted(peer.ip(), &thread.plan().plan.config.gateway.trusted);
                connection.peer = source;
            }
            Ok(None) => (),
            Err(why) => {
                tracing::debug!(%peer, why, "no PROXY protocol header: the connection is closed");
                return;
            }
        }
        if !slot.count_for(connection.peer.ip()) {
            refuse(settings, io.socket());
            return;
        }
    }
    let mut negotiated = None;
    if let Some(tls) = &settings.tls {
        let Io::Tcp(stream) = io else { return };
        if !buf.is_empty() {
            tracing::debug!(%peer, "bytes came before the TLS handshake: the connection is closed");
            return;
        }
        let acceptor = TlsAcceptor::from(tls.load_full());
        match tokio::time::timeout(head_time_max, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => {
                negotiated = Some(stream.get_ref().1.alpn_protocol() == Some(b"h2"));
                io = Io::Tls(Box::new(TlsStream::Server(stream)));
            }
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "the TLS handshake failed");
                return;
            }
            Err(_late) => return,
        }
    }
    let http2 = match negotiated {
        Some(http2) => http2,
        None => {
            let idle_max = thread.plan().plan.config.gateway.limits.idle_time_max;
            match sniff(thread, &mut io, &mut buf, &mut timer, idle_max).await {
                Some(http2) => http2,
                None => return,
            }
        }
    };
    if http2 {
        http2::serve(thread, &connection, io, buf).await;
    } else {
        http1::serve(thread, &connection, io, buf, timer).await;
    }
}

async fn read_proxy_header(
    io: &mut Io,
    buf: &mut BytesMut,
    timer: &mut Timer,
    deadline: Instant,
) -> Result<Option<SocketAddr>, String> {
    poll_fn(|cx| {
        loop {
            match proxy_protocol::parse(buf) {
                Ok(Some(header)) => return Poll::Ready(Ok(header.source)),
                Ok(None) => (),
                Err(error) => return Poll::Ready(Err(error.to_string())),
            }
            // Not a byte more than the header may be read: what follows may be TLS. The header says its own
            // length, but only once it is here, so it is read in small steps.
            buf.reserve(1);
            match read_some(io, buf, cx, 1) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err("closed".to_owned())),
                Poll::Ready(Ok(_)) => (),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.to_string())),
                Poll::Pending => {
                    return timer
                        .poll_at(cx, deadline)
                        .map(|()| Err("too slow".to_owned()));
                }
            }
        }
    })
    .await
}

fn read_some(
    io: &mut Io,
    buf: &mut BytesMut,
    cx: &mut std::task::Context<'_>,
    count: usize,
) -> Poll<io::Result<usize>> {
    let mut piece = BytesMut::with_capacity(count);
    let read = std::task::ready!(io.poll_read_buf(cx, &mut piece))?;
    buf.extend_from_slice(&piece);
    Poll::Ready(Ok(read))
}

/// Whether a cleartext client begins HTTP/2 with prior knowledge; `None` if it says nothing.
async fn sniff(
    thread: &Thread,
    io: &mut Io,
    buf: &mut BytesMut,
    timer: &mut Timer,
    idle_max: Duration,
) -> Option<bool> {
    let now = thread.clock.now();
    let mut patience = Patience::new(now, idle_max);
    let mut drained = std::pin::pin!(thread.drain.notified());
    poll_fn(|cx| {
        loop {
            let seen = buf.len().min(HTTP2_PREFACE.len());
            if !buf.is_empty() {
                if buf.get(..seen) != HTTP2_PREFACE.get(..seen) {
                    return Poll::Ready(Some(false));
                }
                if seen == HTTP2_PREFACE.len() {
                    return Poll::Ready(Some(true));
                }
            }
            if buf.capacity() - buf.len() < 1024 {
                buf.reserve(8 * 1024);
            }
            match io.poll_read_buf(cx, buf) {
                Poll::Ready(Ok(0) | Err(_)) => {
                    return Poll::Ready((!buf.is_empty()).then_some(false));
                }
                Poll::Ready(Ok(_)) => (),
                Poll::Pending => {
                    let over = if buf.is_empty() {
                        let _told = drained.as_mut().poll(cx);
                        patience.poll(cx, thread, thread.draining_since(), timer)
                    } else {
                        timer.poll_at(cx, now + idle_max)
                    };
                    return over.map(|()| None);
                }
            }
        }
    })
    .await
}
