//! The clock of budgets: the calendar, but it never goes back.
//!
//! Windows are kept by it, so that what is restored has the age that it has, and a period of the calendar ends at its
//! boundary. Between two looks at the system's clock it goes with the monotonic one.
//! A clock that is set forward, or a machine that slept, leaves a gap in the history and no spike. Where the system's clock
//! is set back, this one goes on ahead of it until the process starts anew: no second is there twice.

use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

/// Less than this is taken for the jitter of two clocks that are not read at once.
const STEP: Duration = Duration::from_secs(2);

/// See the module's docs.
#[derive(Clone, Copy, Debug)]
pub(super) struct BudgetClock {
    monotonic: Instant,
    calendar: Timestamp,
}

impl BudgetClock {
    /// Knows of no calendar yet: the monotonic clock's origin is the epoch.
    pub(super) fn new() -> Self {
        Self {
            monotonic: Instant::ORIGIN,
            calendar: Timestamp::from_nanos(0),
        }
    }

    /// Follows the system's clock. Says how far ahead of it this one is.
    pub(super) fn follow(&mut self, now: Instant, system: Timestamp) -> Duration {
        let here = self.timestamp(now);
        if system.since(here) >= STEP {
            self.monotonic = now;
            self.calendar = system;
        }
        here.since(system)
    }

    pub(super) fn timestamp(&self, now: Instant) -> Timestamp {
        self.calendar + now.since(self.monotonic)
    }

    /// The same as a point of the windows: since the epoch.
    pub(super) fn at(&self, now: Instant) -> Instant {
        Instant::from_nanos(self.timestamp(now).as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_jumps_forward_and_never_goes_back() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let day = |seconds: u64| Timestamp::from_seconds(1_000_000 + seconds);
        let mut clock = BudgetClock::new();
        assert_eq!(clock.follow(at(5), day(5)), Duration::ZERO);
        assert_eq!(clock.timestamp(at(6)), day(6));
        // Jitter changes nothing.
        let early = Timestamp::from_nanos(day(7).as_nanos() - 1_000);
        assert_eq!(clock.follow(at(7), early), Duration::from_micros(1));
        assert_eq!(clock.timestamp(at(7)), day(7));
        clock.follow(at(8), day(3_608));
        assert_eq!(clock.timestamp(at(9)), day(3_609));
        // Set back by an hour: it goes on, and says how far ahead it is.
        let ahead = clock.follow(at(10), day(10));
        assert_eq!(ahead, Duration::from_secs(3_600));
        assert_eq!(clock.timestamp(at(11)), day(3_611));
    }
}
