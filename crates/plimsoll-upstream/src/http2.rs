//! HTTP/2 connections, which many requests of a thread share.

use std::cell::Cell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use plimsoll_core::Instant;
use tokio::time::{sleep, timeout};

use crate::io::Io;

/// What a peer may send on one stream before we have read it: enough for 100 Mbit/s at 80 ms.
const STREAM_WINDOW: u32 = 1024 * 1024;
/// The same on a whole connection: bounds the memory that unread bodies take.
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;
/// A response's fields, uncompressed.
const HEADER_LIST_SIZE_MAX: u32 = 64 * 1024;
/// What is queued for sending on one stream before it has to wait.
const SEND_BUFFER_SIZE_MAX: usize = 256 * 1024;
/// Streams on one connection, whatever the peer would allow.
const STREAMS_MAX: usize = 1_000;
/// How often a connection with streams on it is asked if it is still there, and how long it may take to
/// answer: a peer that vanished is noticed within 20 s, not when the kernel gives up after a quarter of an hour.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIME_MAX: Duration = Duration::from_secs(10);

/// A shared connection, for one stream.
#[derive(Debug)]
pub struct Http2Connection {
    /// Ready for one stream.
    pub send: SendRequest<Bytes>,
    /// Whether the connection carried a stream before.
    pub reused: bool,
    /// To be kept until the stream is over.
    pub place: StreamPlace,
}

/// Counts as one of a connection's streams for as long as it exists: while streams are counted, the pool
/// neither takes the connection for idle nor puts more on it than its peer allows.
#[derive(Debug)]
#[must_use = "the stream counts as over as soon as this is dropped"]
pub struct StreamPlace(Rc<Cell<usize>>);

impl StreamPlace {
    fn take(streams: &Rc<Cell<usize>>) -> Self {
        streams.set(streams.get() + 1);
        Self(Rc::clone(streams))
    }
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// A shared connection, as the pool keeps it.
#[derive(Debug)]
pub(crate) struct SharedConnection {
    send: SendRequest<Bytes>,
    streams: Rc<Cell<usize>>,
    used: bool,
    used_at: Instant,
}

impl SharedConnection {
    /// Sends the preface and drives the connection on this thread until it ends.
    pub(crate) async fn begin(io: Io, now: Instant) -> Result<Self, h2::Error> {
        let (send, connection) = h2::client::Builder::new()
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEADER_LIST_SIZE_MAX)
            .max_send_buffer_size(SEND_BUFFER_SIZE_MAX)
            .enable_push(false)
            .handshake(io)
            .await?;
        let streams = Rc::new(Cell::new(0));
        tokio::task::spawn_local(drive(connection, Rc::clone(&streams)));
        Ok(Self {
            send,
            streams,
            used: false,
            used_at: now,
        })
    }

    /// Whether the peer takes new streams: false after an error or GOAWAY.
    pub(crate) fn is_open(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        !matches!(self.send.poll_ready(&mut context), Poll::Ready(Err(_)))
    }

    /// How long it has been without streams, as far as is known; `None` while it has some.
    pub(crate) fn idle(&mut self, now: Instant) -> Option<Duration> {
        if self.streams.get() > 0 {
            self.used_at = now;
            return None;
        }
        Some(now.since(self.used_at))
    }

    /// Whether it has carried a stream.
    pub(crate) fn is_used(&self) -> bool {
        self.used
    }

    /// Streams on it.
    pub(crate) fn streams(&self) -> usize {
        self.streams.get()
    }

    /// A place for one stream, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Http2Connection> {
        let max = self.send.current_max_send_streams().min(STREAMS_MAX);
        (self.streams.get() < max).then(|| self.queue(now))
    }

    /// A place for one stream, which waits while the peer takes no more of them.
    pub(crate) fn queue(&mut self, now: Instant) -> Http2Connection {
        self.used_at = now;
        let reused = std::mem::replace(&mut self.used, true);
        Http2Connection {
            send: self.send.clone(),
            reused,
            place: StreamPlace::take(&self.streams),
        }
    }
}

/// Moves a connection's frames until it ends or its peer no longer answers.
async fn drive(mut connection: Connection<Io, Bytes>, streams: Rc<Cell<usize>>) {
    let Some(mut ping_pong) = connection.ping_pong() else {
        return;
    };
    let answers = async {
        loop {
            sleep(PING_INTERVAL).await;
            if streams.get() > 0 {
                match timeout(PING_TIME_MAX, ping_pong.ping(h2::Ping::opaque())).await {
                    Ok(Ok(_pong)) => (),
                    Ok(Err(_)) | Err(_) => return,
                }
            }
        }
    };
    tokio::select! {
        // Its requests are told by their streams.
        _ended = connection => (),
        () = answers => tracing::debug!("an HTTP/2 connection no longer answers; closing it"),
    }
}
