//! What the cache did, counted by each thread for itself and added up elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};

/// What the cache did for a request. Each request of a route with a cache has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CacheResult {
    Hit,
    Stale,
    Miss,
    Collapsed,
    Revalidated,
    Bypass,
}

/// How many requests there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounts {
    /// Answered with what is stored and fresh.
    pub hit: u64,
    /// ... and stale.
    pub stale: u64,
    /// The service was asked, or was to be.
    pub miss: u64,
    /// Answered with what another one had fetched.
    pub collapsed: u64,
    /// Answered with what is stored, which the service found to be good.
    pub revalidated: u64,
    /// Not for the cache.
    pub bypass: u64,
}

/// Of one thread. On lines of its own, so that threads do not take them from each other.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Counts([AtomicU64; 6]);

/// The counters of one service.
#[derive(Debug)]
pub(crate) struct CacheCounters(Box<[Counts]>);

impl CacheCounters {
    pub(crate) fn new(threads: usize) -> Self {
        Self((0..threads).map(|_| Counts::default()).collect())
    }

    /// Counts one. Only a thread itself counts as it.
    pub(crate) fn add(&self, thread: usize, result: CacheResult) {
        let count = self.0.get(thread).and_then(|it| it.0.get(result as usize));
        if let Some(count) = count {
            count.store(count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        }
    }

    /// Over all threads.
    pub(crate) fn sum(&self) -> CacheCounts {
        let sum = |result: CacheResult| {
            let counts = self.0.iter().filter_map(|it| it.0.get(result as usize));
            counts.map(|count| count.load(Ordering::Relaxed)).sum()
        };
        CacheCounts {
            hit: sum(CacheResult::Hit),
            stale: sum(CacheResult::Stale),
            miss: sum(CacheResult::Miss),
            collapsed: sum(CacheResult::Collapsed),
            revalidated: sum(CacheResult::Revalidated),
            bypass: sum(CacheResult::Bypass),
        }
    }
}
