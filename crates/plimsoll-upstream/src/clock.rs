//! The monotonic clock of a process's shells.

use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

/// Reads the system's monotonic clock. Copies share their origin, so that points in time can be passed
/// from thread to thread: a process makes one and hands out copies.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: std::time::Instant,
}

impl Clock {
    /// A clock that begins a second before now, so that no point in time is the origin itself.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn new() -> Self {
        let now = std::time::Instant::now();
        Self {
            origin: now.checked_sub(Duration::from_secs(1)).unwrap_or(now),
        }
    }

    /// Now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn now(&self) -> Instant {
        let nanos = std::time::Instant::now()
            .saturating_duration_since(self.origin)
            .as_nanos();
        Instant::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long it is until a point that a library gave in the system's own type; zero if it has passed.
    pub(crate) fn until(&self, then: std::time::Instant) -> Duration {
        let then = then.saturating_duration_since(self.origin);
        (Instant::ORIGIN + then).since(self.now())
    }

    /// The calendar's now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system's clock"
    )]
    pub fn timestamp(&self) -> Timestamp {
        let nanos = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or(Duration::ZERO)
            .as_nanos();
        Timestamp::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The same point in time for the runtime's timers; `None` if it is too far away to ever come.
    pub fn timer(&self, at: Instant) -> Option<tokio::time::Instant> {
        self.origin
            .checked_add(Duration::from_nanos(at.as_nanos()))
            .map(tokio::time::Instant::from_std)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
