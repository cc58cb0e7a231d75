//! The loop that both servers share: accepts connections, and bounds what each may take, and what all of them take together.
//!
//! Units: bytes and durations. A peer that reaches a bound loses its connection, nobody else. The control thread ticks the
//! guards of services too, so connections have a share of it only: what does not fit waits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use plimsoll_upstream::Impatient;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};

use crate::share::{Paced, Share};

/// Connections of one server at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 256;
/// Of the control thread, for all connections of one server: some 500 pages a second, which cost 0.2 ms each here.
const SHARE: f64 = 0.1;
/// So much of it at once: below a tick of the guards (10 ms), which it must not delay.
const BURST: Duration = Duration::from_millis(5);
/// A request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// From the first byte of a head to its end.
const HEAD_TIME_MAX: Duration = Duration::from_secs(10);
/// How long a connection is kept; then it ends after the request in hand. Whoever scrapes just connects
/// again.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(300);
/// What a request in hand gets when that time is over.
const LAST_REQUEST_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a peer may take nothing of what it is sent.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Before accepting again, if accepting fails (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped. Connections run as tasks of the current runtime.
///
/// # Errors
/// The listener cannot be used by this runtime.
pub(crate) async fn serve(listener: std::net::TcpListener, router: Router) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let share = Share::new(SHARE, BURST);
    loop {
        // Never closed, so this only waits.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return Ok(());
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                debug!(%peer, "accepted");
                let served = connection(stream, router.clone(), permit);
                tokio::spawn(Paced::new(&share, served));
            }
            Err(error) => {
                warn!(%error, "accepting a connection to the console failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router, _permit: OwnedSemaphorePermit) {
    // Nothing here is worth waiting for a full segment; if it can't be set, answers are only slower.
    let _ = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Impatient::new(stream, WRITE_TIME_MAX)),
            TowerToHyperService::new(router),
        );
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = tokio::time::sleep(CONNECTION_TIME_MAX) => {
            served.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_REQUEST_TIME_MAX, served).await {
                Ok(ended) => ended,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection to the console ended early");
    }
}
