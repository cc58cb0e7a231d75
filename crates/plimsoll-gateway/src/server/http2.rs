//! A client's HTTP/2 connection: each stream is a task of its own.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use plimsoll_http1::{Authority, Name, RequestHead, ResponseHead};
use plimsoll_upstream::Io;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::patience::Patience;
use crate::exchange::{self, Served};
use crate::peer::{Http2Peer, Peer, Piece, head_from_request};
use crate::protocol::ClientConnection;
use crate::thread::Thread;
use crate::timer::Timer;

/// Bytes of a body that a client may send ahead, per stream and per connection: enough for 50 ms at
/// 160 Mbit/s, and small enough that 10,000 connections can't hold the machine's memory.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// What may wait to be sent on one stream.
const SEND_BUFFER_MAX: usize = 128 * 1024;
/// How long, and how much, we read on after our answer.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 64 * 1024;
/// Streams that the client reset and that are still remembered, and those not even begun: what a flood of
/// resets may cost (CVE-2023-44487).
const RESET_STREAMS_MAX: usize = 64;

pub(super) async fn serve(
    thread: &Rc<Thread>,
    connection: &ClientConnection,
    io: Io,
    buf: BytesMut,
) {
    let limits = thread.plan().plan.config.gateway.limits.clone();
    let header_bytes_max = u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX);
    let handshake = h2::server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(limits.streams_max)
        .max_header_list_size(header_bytes_max)
        .max_send_buffer_size(SEND_BUFFER_MAX)
        .max_concurrent_reset_streams(RESET_STREAMS_MAX)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .handshake::<_, Bytes>(Rewound { io, buf });
    let mut http2 = match tokio::time::timeout(limits.head_time_max, handshake).await {
        Ok(Ok(http2)) => http2,
        Ok(Err(error)) => {
            tracing::debug!(peer = %connection.peer, %error, "the HTTP/2 handshake failed");
            return;
        }
        Err(_late) => return,
    };
    let connection = Rc::new(ClientConnection {
        peer: connection.peer,
        may_be_trusted: connection.may_be_trusted,
        tls: connection.tls,
    });
    let mut drained = pin!(thread.drain.notified());
    let mut told = false;
    let active = Rc::new(());
    let mut timer = Timer::new(thread.clock);
    let mut patience = Patience::new(thread.clock.now(), limits.idle_time_max);
    loop {
        if thread.is_draining() && !told {
            told = true;
            http2.graceful_shutdown();
        }
        let next = poll_fn(|cx| {
            if let Poll::Ready(next) = http2.poll_accept(cx) {
                return Poll::Ready(Some(next));
            }
            if !told && drained.as_mut().poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            if Rc::strong_count(&active) > 1 {
                patience = Patience::new(thread.clock.now(), limits.idle_time_max);
            }
            // GOAWAY has told the client that we drain.
            match patience.poll(cx, thread, None, &mut timer) {
                Poll::Ready(()) if !told => {
                    told = true;
                    http2.graceful_shutdown();
                    cx.waker().wake_by_ref();
                    Poll::Pending
                }
                Poll::Ready(()) => Poll::Ready(Some(None)),
                Poll::Pending => Poll::Pending,
            }
        })
        .await;
        match next {
            Some(Some(Ok((request, respond)))) => {
                let stream = serve_stream(
                    Rc::clone(thread),
                    Rc::clone(&connection),
                    request,
                    respond,
                    Rc::clone(&active),
                );
                tokio::task::spawn_local(stream);
            }
            Some(Some(Err(error))) => {
                tracing::debug!(peer = %connection.peer, %error, "the HTTP/2 connection failed");
                return;
            }
            Some(None) => return,
            None => (),
        }
    }
}

async fn serve_stream(
    thread: Rc<Thread>,
    connection: Rc<ClientConnection>,
    request: http::Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    _active: Rc<()>,
) {
    let arrived = thread.clock.now();
    let mut head = RequestHead::new();
    if !is_sound(&request)
        || head_from_request(&request, &mut head).is_err()
        || !host_is_sound(&head)
    {
        // RFC 9113 section 8.1.1: a malformed request is a stream error.
        respond.send_reset(Reason::PROTOCOL_ERROR);
        exchange::count_malformed(&thread, arrived);
        return;
    }
    let mut peer = Peer::Http2(Http2Peer::client(request.into_body(), respond));
    let mut timer = Timer::new(thread.clock);
    let mut response = ResponseHead::new();
    let served = exchange::serve(
        &thread,
        &connection,
        &mut peer,
        &head,
        arrived,
        &mut timer,
        &mut response,
    )
    .await;
    match served {
        Served::Cut => {
            if let Peer::Http2(peer) = &mut peer {
                peer.reset(Reason::CANCEL);
            }
        }
        Served::Keep | Served::Close => linger(&thread, &mut peer, &mut timer).await,
    }
}

/// Takes what little is left of a body that was answered early; most clients would rather finish a short one.
///
/// After that the stream is let go: `h2` tells the client to stop sending, behind the answer (RFC 9113 section
/// 8.1). A reset of our own would overtake the answer.
async fn linger(thread: &Thread, peer: &mut Peer, timer: &mut Timer) {
    let deadline = thread.clock.now() + LINGER;
    let mut read = 0;
    poll_fn(|cx| {
        while read < LINGER_BYTES {
            match peer.poll_piece(cx) {
                Poll::Ready(Ok(Piece::Data(data))) => read += data.len(),
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return timer.poll_at(cx, deadline),
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// What HTTP/2 forbids and `h2` lets through: fields of a connection (RFC 9113 section 8.2.2).
fn is_sound(request: &http::Request<RecvStream>) -> bool {
    let fields = request.headers();
    let te = fields
        .get(http::header::TE)
        .is_none_or(|value| value.as_bytes() == b"trailers");
    let own = [
        http::header::CONNECTION,
        http::header::TRANSFER_ENCODING,
        http::header::UPGRADE,
    ];
    te && own.iter().all(|name| !fields.contains_key(name))
        && !fields.contains_key("keep-alive")
        && !fields.contains_key("proxy-connection")
        && fields.get_all(http::header::CONTENT_LENGTH).iter().count() <= 1
}

fn host_is_sound(head: &RequestHead) -> bool {
    head.fields.get_all(Name::Host).count() <= 1
        && head
            .authority()
            .is_some_and(|authority| Authority::parse(authority).is_some())
}

/// A stream some of whose bytes were read already.
struct Rewound {
    io: Io,
    buf: BytesMut,
}

impl AsyncRead for Rewound {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        target: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buf.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, target);
        }
        let count = self.buf.len().min(target.remaining());
        target.put_slice(self.buf.get(..count).unwrap_or_default());
        self.buf.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
