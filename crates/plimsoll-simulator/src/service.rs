//! What a service is like: what a scenario says of it, and what it can carry in closed form.
//!
//! Source of the closed forms: queueing theory's textbook results for a pool of `n` workers, and N. Gunther's
//! Universal Scalability Law for a server whose work interferes. Units: milliseconds in, requests per second out.

use crate::random::Spread;

/// How a service works on requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Server {
    /// Workers that take requests from one queue, first in, first out.
    Pool {
        /// How many.
        workers: u32,
        /// Mean time that a worker needs, in milliseconds.
        mean: f64,
        /// How that time spreads.
        spread: Spread,
    },
    /// All requests at once, each the slower the more there are: at `n` requests the throughput is
    /// `n / (mean * (1 + alpha * (n - 1) + beta * n * (n - 1)))`.
    Shared {
        /// Mean time of a request that is alone, in milliseconds; exponential.
        mean: f64,
        /// Contention.
        alpha: f64,
        /// Crosstalk.
        beta: f64,
    },
}

/// What a service itself calls for each request, after its own work.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dependency {
    /// Mean time, in milliseconds.
    pub mean: f64,
    /// How that time spreads.
    pub spread: Spread,
    /// Whether a worker waits for it.
    pub holds_worker: bool,
    /// This share of calls takes `slow` instead, constantly, in milliseconds.
    pub slow: Option<(f64, f64)>,
}

/// Answers that are kept: who finds one is through sooner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// The share that finds one, once it is warm.
    pub hit: f64,
    /// The mean time that it takes longer without, in milliseconds; exponential.
    pub miss: f64,
    /// After so many requests, 63 % of what it will hold is there.
    pub fill: f64,
}

impl Cache {
    /// The share that finds no answer, after so many requests since it was empty.
    pub(crate) fn misses(&self, requests: f64) -> f64 {
        1.0 - self.hit * (1.0 - libm::exp(-requests / self.fill))
    }
}

/// Memory that requests take until they are through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What each takes, in bytes.
    pub each: u64,
    /// What there is, in bytes.
    pub limit: u64,
    /// How long nothing is worked on while garbage is collected, in nanoseconds.
    pub pause: u64,
}

/// How much slower a process is that has just started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Warming {
    /// How many times as long its first request takes.
    pub times: f64,
    /// After so many requests, 63 % of that is over.
    pub warm: f64,
}

impl Warming {
    /// How many times as long a request takes, after so many others since the start.
    pub(crate) fn slowness(&self, requests: f64) -> f64 {
        1.0 + (self.times - 1.0) * libm::exp(-requests / self.warm)
    }
}

/// A service in one phase of a scenario.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Service {
    /// How it works.
    pub server: Server,
    /// What it calls.
    pub dependency: Option<Dependency>,
    /// What waits there for nobody any more is dropped.
    pub cancels: bool,
    /// What each of its workers looks into first.
    pub cache: Option<Cache>,
    /// What requests need of its memory.
    pub memory: Option<Memory>,
    /// How it is after a start.
    pub warming: Option<Warming>,
    /// The share of requests that are never answered. They hold no worker.
    pub hanging: f64,
    /// The share of requests that fail after a millisecond, without any work.
    pub failing: f64,
    /// Nothing is worked on at all.
    pub stalled: bool,
    /// Nothing is worked on for 200 ms, each five seconds.
    pub pauses: bool,
    /// The mean time of the requests of route group 1, which hold no worker, in milliseconds; exponential.
    pub slow_group: f64,
}

/// How times of dependencies spread. Not in the source of the scenarios; this value gives the shares within
/// the objective that stand there: 0.955 at a mean of 120 ms, 0.20 at 400 ms, both of 250 ms.
pub(crate) const DEPENDENCY_SPREAD: Spread = Spread::Lognormal(0.5);

impl Service {
    /// Workers with a mean time in milliseconds.
    pub const fn pool(workers: u32, mean: f64, spread: Spread) -> Self {
        Self::of(Server::Pool {
            workers,
            mean,
            spread,
        })
    }

    /// A server under the Universal Scalability Law, 20 ms for a request that is alone.
    pub const fn shared(beta: f64) -> Self {
        Self::of(Server::Shared {
            mean: 20.0,
            alpha: 0.01,
            beta,
        })
    }

    const fn of(server: Server) -> Self {
        Self {
            server,
            dependency: None,
            cancels: false,
            cache: None,
            memory: None,
            warming: None,
            hanging: 0.0,
            failing: 0.0,
            stalled: false,
            pauses: false,
            slow_group: 3_000.0,
        }
    }

    /// With a dependency of this mean time, in milliseconds.
    #[must_use]
    pub const fn calling(mut self, mean: f64) -> Self {
        self.dependency = Some(Dependency {
            mean,
            spread: DEPENDENCY_SPREAD,
            holds_worker: false,
            slow: None,
        });
        self
    }

    /// A worker waits for the dependency.
    #[must_use]
    pub const fn holding(mut self) -> Self {
        if let Some(dependency) = &mut self.dependency {
            dependency.holds_worker = true;
        }
        self
    }

    /// This share of calls to the dependency takes this long, in milliseconds.
    #[must_use]
    pub const fn partly(mut self, share: f64, slow: f64) -> Self {
        if let Some(dependency) = &mut self.dependency {
            dependency.slow = Some((share, slow));
        }
        self
    }

    /// This share of requests is never answered.
    #[must_use]
    pub const fn hanging(mut self, share: f64) -> Self {
        self.hanging = share;
        self
    }

    /// This share of requests fails at once.
    #[must_use]
    pub const fn failing(mut self, share: f64) -> Self {
        self.failing = share;
        self
    }

    /// Nothing is worked on.
    #[must_use]
    pub const fn stalled(mut self) -> Self {
        self.stalled = true;
        self
    }

    /// Nothing is worked on for 200 ms, each five seconds.
    #[must_use]
    pub const fn pausing(mut self) -> Self {
        self.pauses = true;
        self
    }

    /// The most that it can answer, in requests per second.
    pub fn capacity(&self) -> f64 {
        match self.server {
            Server::Pool { workers, mean, .. } => {
                let held = match self.dependency {
                    Some(dependency) if dependency.holds_worker => dependency.mean,
                    _ => 0.0,
                };
                let missed = self
                    .cache
                    .map_or(0.0, |cache| cache.misses(f64::INFINITY) * cache.miss);
                f64::from(workers) * 1_000.0 / (mean + held + missed)
            }
            Server::Shared { mean, alpha, beta } => {
                // The maximum is at sqrt((1 - alpha) / beta), between two whole numbers of requests.
                let best = libm::sqrt((1.0 - alpha) / beta);
                let at = |n: f64| n * 1_000.0 * speed(n, alpha, beta) / mean;
                at(libm::floor(best)).max(at(libm::ceil(best)))
            }
        }
    }

    /// The smallest concurrency that reaches the capacity.
    pub fn knee(&self) -> f64 {
        match self.server {
            Server::Pool { workers, .. } => {
                let after = match self.dependency {
                    Some(dependency) if !dependency.holds_worker => dependency.mean / 1_000.0,
                    _ => 0.0,
                };
                f64::from(workers) + self.capacity() * after
            }
            Server::Shared { alpha, beta, .. } => libm::sqrt((1.0 - alpha) / beta),
        }
    }
}

/// How fast each of `n` requests goes under the Universal Scalability Law, 1 = as if alone.
pub(crate) fn speed(n: f64, alpha: f64, beta: f64) -> f64 {
    1.0 / (1.0 + alpha * (n - 1.0) + beta * n * (n - 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_carries_its_workers_over_the_time_that_each_is_held() {
        let pool = Service::pool(4, 5.0, Spread::Exponential).calling(120.0);
        assert_eq!(pool.capacity(), 800.0);
        assert_eq!(pool.knee(), 100.0);
        let held = Service::pool(32, 5.0, Spread::Exponential)
            .calling(60.0)
            .holding();
        assert!((held.capacity() - 492.3).abs() < 0.1);
        assert_eq!(held.knee(), 32.0);
    }

    #[test]
    fn interference_has_a_knee() {
        let shared = Service::shared(0.000_6);
        assert!((shared.knee() - 40.6).abs() < 0.1);
        assert!((shared.capacity() - 859.0).abs() < 5.0);
    }
}
