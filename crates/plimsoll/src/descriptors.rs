//! File descriptors: each connection takes one, and a request on it another one towards the service.
//!
//! Who runs out of them fails in strange places: a service that is fine can't be connected to. So the limit
//! is raised as far as it may be, and connections from clients are bounded by what it leaves.

use plimsoll_config::Limits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the process needs besides connections: listeners, runtimes, files, the console's connections.
const OWN: u64 = 64;
/// As far as a limit without an upper bound is raised.
const RAISED_MAX: u64 = 1 << 20;

/// Raises the limit to what this user may have.
pub(crate) fn raise() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current < limit.maximum || limit.maximum.is_none() {
        let raised = Rlimit {
            current: limit.maximum.or(Some(RAISED_MAX)),
            maximum: limit.maximum,
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit on file descriptors can't be raised");
        }
    }
}

/// Lowers `connections_max` to what the file descriptors allow, and says so where it is much.
pub(crate) fn bound(limits: &mut Limits) {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return;
    };
    let allowed = connections_within(limit);
    let configured = limits.connections_max;
    limits.connections_max = configured.min(allowed);
    if allowed < configured - configured / 10 {
        tracing::warn!(
            limit,
            connections_max = allowed,
            configured,
            "fewer connections than configured: each takes two file descriptors; raise `ulimit -n`"
        );
    }
}

fn connections_within(limit: u64) -> usize {
    usize::try_from(limit.saturating_sub(OWN) / 2)
        .unwrap_or(usize::MAX)
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_room_for_their_other_side_and_for_the_process() {
        assert_eq!(connections_within(256), 96);
        assert_eq!(connections_within(65_536), 32_736);
        assert_eq!(connections_within(16), 1);
    }
}
