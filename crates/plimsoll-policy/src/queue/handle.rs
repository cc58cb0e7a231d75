//! How the machine names a message, and its time.

use std::ops::{Add, Sub};
use std::time::Duration;

/// The unit of the room that a message takes in the log.
const UNIT_BYTES: u64 = 32;
/// Bits of a handle that say how many units.
const UNITS_MASK: u64 = (1 << 17) - 1;

/// Where the shell keeps a message; below 2^63. Its lowest 17 bits are the room that it takes, in units of 32 bytes,
/// so that nobody has to keep that beside it.
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Handle(pub u64);

impl Handle {
    /// The room that the message takes in the log.
    pub const fn bytes(self) -> u64 {
        (self.0 & UNITS_MASK) * UNIT_BYTES
    }
}

/// Milliseconds since the epoch, by the log's own clock, which never goes back (also not over a restart).
#[derive(Copy, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Debug)]
pub struct Millis(pub u64);

impl Millis {
    /// Later than anything that will happen.
    pub const NEVER: Self = Self(u64::MAX);

    /// Time from `earlier` to here; zero if `earlier` is in fact later.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Millis {
    type Output = Self;

    /// Saturates at [`Millis::NEVER`]; a part of a millisecond counts as none.
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }
}

impl Sub<Duration> for Millis {
    type Output = Self;

    /// Saturates at the epoch.
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }
}

/// A duration in whole milliseconds; what does not fit is as much as fits.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
