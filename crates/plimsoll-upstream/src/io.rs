//! A byte stream to a peer: TCP, or TLS over it.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, BytesMut};
use plimsoll_core::never;
use plimsoll_policy::{BulkheadPlace, BulkheadShared};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// What is reserved where a caller forgot to.
const RESERVE: usize = 4 * 1024;

/// A byte stream to a peer, of either side: downstream or upstream.
#[derive(Debug)]
pub enum Io {
    /// Cleartext.
    Tcp(TcpStream),
    /// TLS; boxed, since its state is some kilobytes.
    Tls(Box<TlsStream<TcpStream>>),
    /// Either, with a place among the connections to a service.
    Held(Box<Held>),
}

/// A place among the connections to a service, held by one of them for its life.
pub(crate) type Place = BulkheadPlace<Arc<BulkheadShared>>;

/// A stream that holds a place for as long as it lives.
#[derive(Debug)]
pub struct Held {
    io: Io,
    /// Dropped after the stream: a place is free once its socket is closed.
    _place: Place,
}

impl Io {
    /// The stream, with its place.
    pub(crate) fn held(self, place: Place) -> Self {
        Self::Held(Box::new(Held {
            io: self,
            _place: place,
        }))
    }

    /// The TCP socket below.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
            Self::Held(held) => held.io.socket(),
        }
    }

    /// The peer's address.
    pub fn peer_address(&self) -> io::Result<SocketAddr> {
        self.socket().peer_addr()
    }

    /// Our own address.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(_) => true,
            Self::Held(held) => held.io.is_tls(),
        }
    }

    /// Reads once into the spare capacity of `buf`, which the caller reserves; does not grow it. Zero
    /// bytes are the end of the stream.
    pub fn poll_read_buf(
        &mut self,
        context: &mut Context<'_>,
        buf: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        if never!(buf.capacity() == buf.len()) {
            buf.reserve(RESERVE);
        }
        let spare = buf.capacity() - buf.len();
        match self {
            Self::Tcp(stream) => pin!(stream.read_buf(&mut buf.limit(spare))).poll(context),
            Self::Tls(stream) => pin!(stream.read_buf(&mut buf.limit(spare))).poll(context),
            Self::Held(held) => held.io.poll_read_buf(context, buf),
        }
    }

    /// Writes what the peer takes of `buf`.
    pub fn poll_write(&mut self, context: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write(context, buf),
            Self::Held(held) => held.io.poll_write(context, buf),
        }
    }

    /// Writes what the peer takes of `bufs`, with one system call on TCP.
    pub fn poll_write_vectored(
        &mut self,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, bufs),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_write_vectored(context, bufs),
            Self::Held(held) => held.io.poll_write_vectored(context, bufs),
        }
    }

    /// Sends on what TLS holds back.
    pub fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_flush(context),
            Self::Held(held) => held.io.poll_flush(context),
        }
    }

    /// Ends our direction of the stream.
    pub fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            Self::Held(held) => held.io.poll_shutdown(context),
        }
    }

    /// Whether nothing has come from the peer that was not asked for: neither bytes nor the end. Makes no
    /// system call while the socket is not readable.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut byte = [0];
        match self {
            Self::Tcp(stream) => {
                matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
            }
            // Records that carry no data, such as session tickets, are taken in on the way.
            Self::Tls(stream) => {
                let mut context = Context::from_waker(Waker::noop());
                Pin::new(&mut **stream)
                    .poll_read(&mut context, &mut ReadBuf::new(&mut byte))
                    .is_pending()
            }
            Self::Held(held) => held.io.is_quiet(),
        }
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buf),
            Self::Tls(stream) => Pin::new(&mut **stream).poll_read(context, buf),
            Self::Held(held) => Pin::new(&mut held.io).poll_read(context, buf),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(self.get_mut(), context, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write_vectored(self.get_mut(), context, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_flush(self.get_mut(), context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_shutdown(self.get_mut(), context)
    }
}
