//! What a bounded store keeps from the origin: more objects than fit, the same sequence of requests for each proxy.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::client::Client;
use crate::clock::now;
use crate::failure::Failure;
use crate::objects;
use crate::options::Options;
use crate::origin::Origin;
use crate::peer::{Peer, Running};
use crate::process::{self, Memory};

/// Enough that the proxy need not wait for the load, and so few that the order of the sequence is kept but for neighbours.
const CLIENTS: usize = 8;
/// Progress is said so often.
const SAY_EVERY: usize = 100_000;

/// What one run showed.
pub(crate) struct Popularity {
    pub(crate) peer: Peer,
    /// Those that count.
    pub(crate) requests: u64,
    /// Requests of these that reached the origin.
    pub(crate) origin: u64,
    /// Not answered with 200.
    pub(crate) errors: u64,
    pub(crate) start: Memory,
    pub(crate) end: Memory,
    /// Of its store, where it is there.
    pub(crate) disk: Option<u64>,
}

impl Popularity {
    /// The share of the requests that the origin was spared.
    pub(crate) fn hit_ratio(&self) -> f64 {
        1.0 - self.origin as f64 / self.requests.max(1) as f64
    }
}

/// How many requests go before, so that the store is full.
pub(crate) fn before(requests: usize) -> usize {
    requests / 4
}

/// Sends `sequence` through `peer`.
pub(crate) fn measure(
    peer: Peer,
    sequence: &[u32],
    origin: &Origin,
    options: &Options,
    folder: &Path,
) -> Result<Popularity, Failure> {
    let proxy = Running::start(peer, origin.address, &options.plimsoll, folder, false)?;
    let start = process::memory(proxy.pids())?;
    let (first, rest) = sequence.split_at(before(options.requests).min(sequence.len()));
    let begun = now();
    ask_for(first, proxy.address, peer)?;
    let before = origin.requests();
    let errors = ask_for(rest, proxy.address, peer)?;
    let run = Popularity {
        peer,
        requests: rest.len() as u64,
        origin: origin.requests() - before,
        errors,
        start,
        end: process::memory(proxy.pids())?,
        disk: proxy.disk_bytes()?,
    };
    eprintln!(
        "  popularity, {}: hit ratio {:.2} %, {errors} errors ({:.0} s)",
        peer.name(),
        run.hit_ratio() * 100.0,
        begun.elapsed().as_secs_f64(),
    );
    Ok(run)
}

/// Asks for these objects in their order, [`CLIENTS`] at a time. How many were not answered with 200.
fn ask_for(sequence: &[u32], address: SocketAddr, peer: Peer) -> Result<u64, Failure> {
    let (next, errors) = (AtomicUsize::new(0), AtomicU64::new(0));
    let work = || -> Result<(), Failure> {
        let mut client = Client::connect(address)?;
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(&object) = sequence.get(place) else {
                return Ok(());
            };
            if place > 0 && place % SAY_EVERY == 0 {
                eprintln!(
                    "  popularity, {}: {place} of {}",
                    peer.name(),
                    sequence.len()
                );
            }
            match client.ask(&objects::path(object)) {
                Ok(200) => (),
                Ok(_) => _ = errors.fetch_add(1, Ordering::Relaxed),
                Err(_) => {
                    errors.fetch_add(1, Ordering::Relaxed);
                    client = Client::connect(address)?;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(work)).collect();
        clients.into_iter().try_for_each(|client| {
            let ended = client.join();
            ended.unwrap_or_else(|_| Err(Failure::unexpected("a client broke")))
        })
    })?;
    Ok(errors.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_of_the_sequence_is_asked_for_once() {
        let origin = Origin::start().expect("there is a port");
        let sequence: Vec<u32> = (0..100).collect();
        let errors = ask_for(&sequence, origin.address, Peer::Plimsoll).expect("it answers");
        assert_eq!((errors, origin.requests()), (0, 100));
    }
}
