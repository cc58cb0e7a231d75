//! How many files this process and its children may open, and what that leaves of the load.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::plan::Plan;

/// Descriptors that a process of the demo needs besides those of pending requests.
const OVERHEAD: u64 = 256;

/// Raises the soft limit to the hard one, for this process and those it starts; the limit then in force.
pub(crate) fn raise() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    if let Some(most) = limit.maximum {
        // Refused: the old limit stays in force, and is what is read next.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: Some(most),
                maximum: Some(most),
            },
        );
    }
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// The load (as a multiple of the capacity) at which all that may be pending has a descriptor.
/// `descriptors_per_request` is 1 where the proxy speaks HTTP/1.1 to the shop, and nearly 0 over HTTP/2.
pub(crate) fn load_max(limit: u64, descriptors_per_request: f64) -> f64 {
    let left = limit.saturating_sub(OVERHEAD) as f64;
    let load = left / (Plan::pending_max(1.0) * descriptors_per_request);
    load.max(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lower_limit_shrinks_the_load() {
        assert!(load_max(20_000, 1.0) > 10.0);
        assert!((load_max(4_256, 1.0) - 5.0).abs() < 0.1);
        assert_eq!(load_max(100, 1.0), 1.0);
        assert!(load_max(1_024, 0.02) > 10.0);
    }
}
