//! What may happen to a console: more requests than it has time for, viewers that never read, clients that send a byte at a
//! time, a store that somebody else holds.

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::client;
use crate::clock::{now, sleep};
use crate::failure::{Doing, Failure};
use crate::load::{Load, Offer};
use crate::subject::Subject;

/// How many make trouble at once.
const MANY: usize = 64;
/// Those who never read are cut off by then: they come again.
const SILENCE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    None,
    Pages,
    Deaf,
    Slow,
    Locked,
}

impl Trouble {
    /// None goes first and last: what drifts is seen.
    pub(crate) const ALL: [Self; 6] = [
        Self::None,
        Self::Pages,
        Self::Deaf,
        Self::Slow,
        Self::Locked,
        Self::None,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pages => "64 ask for pages without end",
            Self::Deaf => "64 watch and never read",
            Self::Slow => "64 send a byte each half second",
            Self::Locked => "its store is locked",
        }
    }
}

/// Trouble that goes on until it is ended.
pub(crate) enum Ongoing {
    Nothing,
    Pages(Load),
    Clients(Arc<AtomicBool>, Vec<JoinHandle<()>>),
    Locked(rusqlite::Connection),
}

impl Ongoing {
    pub(crate) fn begin(
        trouble: Trouble,
        subject: &Subject,
        services: usize,
    ) -> Result<Self, Failure> {
        let clients = |client: fn(SocketAddr, &AtomicBool) -> std::io::Result<()>| {
            let stop = Arc::<AtomicBool>::default();
            let thread = |_| {
                let (stop, address) = (Arc::clone(&stop), subject.console);
                std::thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        // Whoever is cut off comes again.
                        if client(address, &stop).is_err() {
                            sleep(Duration::from_millis(100));
                        }
                    }
                })
            };
            let threads = (0..MANY).map(thread).collect();
            Self::Clients(stop, threads)
        };
        Ok(match trouble {
            Trouble::None => Self::Nothing,
            Trouble::Pages => {
                let offer = Offer {
                    address: subject.console,
                    clients: MANY,
                    // All of them others: none can be kept for the next.
                    paths: (0..services)
                        .flat_map(|it| {
                            [
                                format!("/services/service-{it:03}"),
                                format!("/?find=service-{it}"),
                                format!("/decisions?text={it}"),
                            ]
                        })
                        .collect(),
                    pause: Duration::ZERO,
                };
                let mut load = offer.start();
                load.begin();
                Self::Pages(load)
            }
            Trouble::Deaf => clients(deaf),
            Trouble::Slow => clients(slow),
            Trouble::Locked => {
                let doing = || "locking the store".to_owned();
                let lock = || -> rusqlite::Result<_> {
                    let connection = rusqlite::Connection::open(subject.store())?;
                    connection.busy_timeout(Duration::from_secs(10))?;
                    connection.execute_batch("BEGIN EXCLUSIVE")?;
                    Ok(connection)
                };
                Self::Locked(lock().map_err(std::io::Error::other).doing(doing)?)
            }
        })
    }

    /// Ends it, and says what is worth knowing of it.
    pub(crate) fn end(self, subject: &Subject) -> Result<String, Failure> {
        Ok(match self {
            Self::Nothing => String::new(),
            Self::Pages(load) => {
                let (tally, elapsed) = load.end();
                let pages = tally.latencies.len() as f64 / elapsed.as_secs_f64();
                format!("{pages:.0} pages/s, {} not shown", tally.bad)
            }
            Self::Clients(stop, threads) => {
                stop.store(true, Ordering::Relaxed);
                for thread in threads {
                    // A thread that panicked has said so.
                    let _ended = thread.join();
                }
                String::new()
            }
            Self::Locked(connection) => {
                let status = client::text(subject.console, "/api/v1/status")?;
                let said = status.contains("the store fails since");
                connection
                    .execute_batch("ROLLBACK")
                    .map_err(std::io::Error::other)
                    .doing(|| "unlocking the store".to_owned())?;
                match said {
                    true => "status says that the store fails and records wait".to_owned(),
                    false => "status does not say so".to_owned(),
                }
            }
        })
    }
}

/// Asks to watch, and reads nothing until it would be cut off.
fn deaf(address: SocketAddr, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let began = now();
    while began.elapsed() < SILENCE && !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Sends a head without end.
fn slow(address: SocketAddr, stop: &AtomicBool) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")?;
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(b"a")?;
        sleep(Duration::from_millis(500));
    }
    Ok(())
}
