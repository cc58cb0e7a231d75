//! What the cache did for the requests of a service, and what is stored.

use serde::{Deserialize, Serialize};

/// Requests of routes with a cache by what the cache did, since the start. Each is in one of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheView {
    /// Answered with what is stored and fresh.
    pub hit: u64,
    /// Answered with what is stored and stale.
    pub stale: u64,
    /// The service was asked, or would have been if the request had not been refused.
    pub miss: u64,
    /// Answered with what another request had fetched meanwhile.
    pub collapsed: u64,
    /// Answered with what is stored, once the service had said that it is still good.
    pub revalidated: u64,
    /// The cache is not for such requests.
    pub bypass: u64,
}

impl CacheView {
    /// By the word in metrics.
    pub const fn results(&self) -> [(&'static str, u64); 6] {
        [
            ("hit", self.hit),
            ("stale", self.stale),
            ("miss", self.miss),
            ("collapsed", self.collapsed),
            ("revalidated", self.revalidated),
            ("bypass", self.bypass),
        ]
    }

    /// The share that the service sent no body for; `None` without requests.
    pub fn share(&self) -> Option<f64> {
        let all: u64 = self.results().iter().map(|(_, count)| count).sum();
        let spared = self.hit + self.stale + self.collapsed + self.revalidated;
        (all > 0).then(|| spared as f64 / all as f64)
    }
}

/// What is stored, of all services together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheStoreView {
    /// How many answers.
    pub entries: u64,
    /// What they take.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// What is being fetched to be stored takes; as much may be on its way as may be stored.
    pub filling_bytes: u64,
    /// Answers that made room for others, since the start.
    pub evictions_total: u64,
    /// What is on disk; `None`: none are stored there.
    #[serde(default)]
    pub disk: Option<CacheDiskView>,
}

/// Answers that are stored on disk. Totals are since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheDiskView {
    /// What they take, and what is known of them.
    pub bytes: u64,
    /// What they may take.
    pub bytes_max: u64,
    /// Answers that were written.
    pub written_total: u64,
    /// Answers that were read again.
    pub read_total: u64,
    /// Files that were cut, damaged or of another form: they are deleted.
    pub damaged_total: u64,
    /// Answers that were not written: too many waited, or the disk refused.
    pub missed_total: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_all_and_unknown_without_requests() {
        assert_eq!(CacheView::default().share(), None);
        let view = CacheView {
            hit: 5,
            stale: 1,
            miss: 2,
            collapsed: 1,
            revalidated: 1,
            bypass: 0,
        };
        assert_eq!(view.share(), Some(0.8));
    }
}
