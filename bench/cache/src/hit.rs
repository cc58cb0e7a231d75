//! What a stored answer costs: `h2load` asks for one object, which the proxy has.

use std::path::Path;

use crate::client::Client;
use crate::failure::Failure;
use crate::h2load::{self, Load};
use crate::measured::Measured;
use crate::options::Options;
use crate::origin::Origin;
use crate::peer::{Peer, Running};

/// Kept all the time.
pub(crate) const CONNECTIONS: usize = 64;
/// Sizes of the object.
pub(crate) const SIZES_KIB: [usize; 2] = [1, 64];
/// An answer may be stored shortly after it was given.
const TRIES_MAX: usize = 50;

/// What one window showed.
pub(crate) struct Hit {
    pub(crate) peer: Peer,
    pub(crate) kib: usize,
    pub(crate) measured: Measured,
    /// Requests that reached the origin once the object was stored: none, or it is not the cost of a hit.
    pub(crate) origin: u64,
    /// Lines that the access log dropped, where the proxy says so.
    pub(crate) log_lines_dropped: Option<u64>,
}

/// Measures `peer` once with an object of `kib`.
pub(crate) fn measure(
    peer: Peer,
    kib: usize,
    origin: &Origin,
    options: &Options,
    folder: &Path,
) -> Result<Hit, Failure> {
    let proxy = Running::start(peer, origin.address, &options.plimsoll, folder, true)?;
    let path = format!("/{kib}k");
    store(&proxy, peer, &path, origin)?;
    let before = origin.requests();
    let load = Load {
        url: format!("http://{}{path}", proxy.address),
        body: None,
        streams: None,
        connections: CONNECTIONS,
        warm_up: options.warm_up,
        window: options.window,
    };
    let hit = Hit {
        peer,
        kib,
        measured: h2load::measure(&load, proxy.pids(), folder)?,
        origin: origin.requests() - before,
        log_lines_dropped: proxy.log_lines_dropped()?,
    };
    eprintln!(
        "  hit {kib}k, {}: {:.1} us/request, {:.0}/s, {} errors, {} to the origin{}",
        peer.name(),
        hit.measured.cpu_per_request(),
        hit.measured.requests_per_second(),
        hit.measured.errors,
        hit.origin,
        if hit.measured.is_disturbed() {
            ", disturbed"
        } else {
            ""
        },
    );
    Ok(hit)
}

/// Asks until an answer comes without the origin.
fn store(proxy: &Running, peer: Peer, path: &str, origin: &Origin) -> Result<(), Failure> {
    let mut client = Client::connect(proxy.address)?;
    for _ in 0..TRIES_MAX {
        let before = origin.requests();
        let status = client.ask(path)?;
        if status != 200 {
            return Err(Failure::unexpected(format!(
                "{} answers {status}",
                peer.name()
            )));
        }
        if origin.requests() == before {
            return Ok(());
        }
    }
    Err(Failure::unexpected(format!(
        "{} does not store {path}",
        peer.name()
    )))
}
