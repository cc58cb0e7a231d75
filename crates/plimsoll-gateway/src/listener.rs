//! Listening sockets: bound once, one for each thread, kept over reloads.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that may wait to be accepted.
pub(crate) const BACKLOG: i32 = 4096;

/// An address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listening on {address}")]
pub struct BindError {
    /// The address.
    pub address: SocketAddr,
    /// Why.
    #[source]
    pub source: io::Error,
}

/// One address, with a socket for each thread.
#[derive(Debug)]
pub struct BoundListener {
    /// As configured: port 0 stays 0.
    pub configured: SocketAddr,
    /// As bound.
    pub address: SocketAddr,
    /// One for each thread.
    pub sockets: Vec<TcpListener>,
}

/// Binds `configured` for `threads` threads.
///
/// The first bind is without `SO_REUSEPORT`: a port that another process has, also another Plimsoll, is an
/// error, and not shared silently.
pub fn bind(configured: SocketAddr, threads: usize) -> Result<BoundListener, BindError> {
    let failed = |source| BindError {
        address: configured,
        source,
    };
    let probe = socket(configured, false).map_err(failed)?;
    let address = probe
        .local_addr()?
        .as_socket()
        .ok_or_else(|| failed(io::ErrorKind::Unsupported.into()))?;
    drop(probe);
    let mut sockets = Vec::with_capacity(threads);
    for _ in 0..threads {
        let socket = socket(address, true).map_err(failed)?;
        socket.listen(BACKLOG).map_err(failed)?;
        sockets.push(TcpListener::from(socket));
    }
    Ok(BoundListener {
        configured,
        address,
        sockets,
    })
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if share {
        socket.set_reuse_port(true)?;
    }
    if address.is_ipv6() {
        // `[::]` takes IPv4 too, whatever the system's default.
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

impl From<io::Error> for BindError {
    fn from(source: io::Error) -> Self {
        Self {
            address: SocketAddr::from(([0, 0, 0, 0], 0)),
            source,
        }
    }
}
