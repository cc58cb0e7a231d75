//! How many of a crowd reach the origin: all ask at once for one object that is not stored yet.

use std::path::Path;
use std::time::Duration;

use crate::client::Client;
use crate::clock::now;
use crate::failure::Failure;
use crate::options::Options;
use crate::origin::{Origin, SLOW_PATH};
use crate::peer::{Peer, Running};

/// Clients, each with a connection of its own.
pub(crate) const CLIENTS: usize = 1_000;

/// What one crowd showed.
pub(crate) struct Crowd {
    pub(crate) peer: Peer,
    /// Requests that reached the origin.
    pub(crate) origin: u64,
    /// Clients that were not answered with 200.
    pub(crate) failed: u64,
    /// From the first request to the last answer.
    pub(crate) elapsed: Duration,
}

/// Sends a crowd through `peer`.
pub(crate) fn measure(
    peer: Peer,
    origin: &Origin,
    options: &Options,
    folder: &Path,
) -> Result<Crowd, Failure> {
    let proxy = Running::start(peer, origin.address, &options.plimsoll, folder, false)?;
    let mut clients = (0..CLIENTS)
        .map(|_| Client::connect(proxy.address))
        .collect::<Result<Vec<Client>, Failure>>()?;
    let (before, begun) = (origin.requests(), now());
    for client in &mut clients {
        client.send(SLOW_PATH)?;
    }
    let good = clients
        .iter_mut()
        .filter_map(|client| client.receive().ok())
        .filter(|status| *status == 200)
        .count();
    let crowd = Crowd {
        peer,
        origin: origin.requests() - before,
        failed: (CLIENTS - good) as u64,
        elapsed: begun.elapsed(),
    };
    eprintln!(
        "  crowd, {}: {} to the origin, {} failed, {:.2} s",
        peer.name(),
        crowd.origin,
        crowd.failed,
        crowd.elapsed.as_secs_f64(),
    );
    Ok(crowd)
}
