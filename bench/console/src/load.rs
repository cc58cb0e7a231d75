//! A closed loop: each client asks again as soon as it is answered, or after a pause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::Client;
use crate::clock::{now, sleep};
use crate::summary::quantile;

/// What is asked of whom, and by how many.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) address: SocketAddr,
    pub(crate) clients: usize,
    /// Each client goes through them, from another one on.
    pub(crate) paths: Vec<String>,
    pub(crate) pause: Duration,
}

/// What the clients saw while it was measured.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Of good answers, in microseconds.
    pub(crate) latencies: Vec<u32>,
    /// Other answers, and none.
    pub(crate) bad: u64,
}

impl Tally {
    /// Sorted before.
    pub(crate) fn quantile(&self, q: f64) -> f64 {
        f64::from(quantile(&self.latencies, q)) / 1e3
    }
}

#[derive(Default)]
struct Shared {
    counts: AtomicBool,
    stop: AtomicBool,
}

/// A load that runs.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Tally>>,
    began: Instant,
}

impl Offer {
    pub(crate) fn start(&self) -> Load {
        let shared = Arc::<Shared>::default();
        let thread = |number| {
            let (offer, shared) = (self.clone(), Arc::clone(&shared));
            std::thread::spawn(move || client(&offer, number, &shared))
        };
        Load {
            threads: (0..self.clients).map(thread).collect(),
            shared,
            began: now(),
        }
    }
}

impl Load {
    /// Counts from now on.
    pub(crate) fn begin(&mut self) {
        self.began = now();
        self.shared.counts.store(true, Ordering::Relaxed);
    }

    /// Ends it; what was counted, and over which time.
    pub(crate) fn end(self) -> (Tally, Duration) {
        self.shared.counts.store(false, Ordering::Relaxed);
        let elapsed = self.began.elapsed();
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut sum = Tally::default();
        for thread in self.threads {
            // A thread that panicked has said so.
            let seen = thread.join().unwrap_or_default();
            sum.latencies.extend(seen.latencies);
            sum.bad += seen.bad;
        }
        sum.latencies.sort_unstable();
        (sum, elapsed)
    }
}

fn client(offer: &Offer, number: usize, shared: &Shared) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    let apart = offer.paths.len() / offer.clients.max(1);
    let mut paths = offer.paths.iter().cycle().skip(number * apart);
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(path) = paths.next() else { break };
        let asked = match connection.take() {
            Some(client) => Ok(client),
            None => Client::connect(offer.address),
        };
        let answered = asked.and_then(|mut client| Ok((client.ask(path)?, client)));
        let counts = shared.counts.load(Ordering::Relaxed);
        match answered {
            Ok((answer, client)) => {
                connection = Some(client);
                let micros = u32::try_from(answer.last.as_micros()).unwrap_or(u32::MAX);
                match answer.status {
                    200 if counts => tally.latencies.push(micros),
                    200 => (),
                    _ => tally.bad += u64::from(counts),
                }
            }
            Err(_) => {
                tally.bad += u64::from(counts);
                // Where nobody listens, an error comes at once.
                sleep(Duration::from_millis(10));
            }
        }
        if !offer.pause.is_zero() {
            sleep(offer.pause);
        }
    }
    tally
}
