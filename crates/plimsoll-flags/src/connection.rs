//! Connections of those who ask for flags: how many, for how long, and how patient with each.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use plimsoll_upstream::Impatient;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Connections at once; further ones wait in the listener's queue.
const CONNECTIONS_MAX: usize = 1_024;
/// A request's head.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// From the end of an answer, or the beginning of a connection, to the end of the next head.
const HEAD_TIME_MAX: Duration = Duration::from_secs(60);
/// How long a peer may take nothing of what it is sent.
const WRITE_TIME_MAX: Duration = Duration::from_secs(10);
/// Before accepting again, if accepting fails (no file descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, router: Router) {
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        // Never closed, so this only waits.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let router = router.clone();
                tokio::spawn(async move {
                    connection(stream, router).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accepting a connection for flags failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, router: Router) {
    // If it can't be set, answers are only slower.
    let _slower = stream.set_nodelay(true);
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(
            TokioIo::new(Impatient::new(stream, WRITE_TIME_MAX)),
            TowerToHyperService::new(router),
        );
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection for flags ended early");
    }
}
