//! Which time counts for what the journal forgets: a clock that is wrong must not delete.
//!
//! A clock that is a year ahead for a minute would have all that is older forgotten, with a valid checkpoint. So what
//! counts goes on with the monotonic clock from where it was, is kept over restarts, and never exceeds the system's
//! clock. A start may bring it nearer to the system's clock, by a week at most: that is what a start with a wrong clock can
//! cost. After a machine was off for longer, records go later than they might.

use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

/// How far a start may bring it.
const CATCH_UP_MAX: Duration = Duration::from_hours(7 * 24);

/// See the module's docs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retention {
    time: Timestamp,
    at: Instant,
}

impl Retention {
    /// Begins at `at`, at which the system's clock says `system`. `kept` is the [`Retention::time`] of a run before;
    /// `last` when the last record was written, if there are any.
    pub(super) fn begin(
        kept: Option<Timestamp>,
        last: Option<Timestamp>,
        system: Timestamp,
        at: Instant,
    ) -> Self {
        let known = kept.or(last.map(|last| last.min(system)));
        let time = known.map_or(system, |known| {
            known.max(system.min(later(known, CATCH_UP_MAX)))
        });
        Self { time, at }
    }

    /// What counts as now, for a run after this one.
    pub(super) fn time(&self) -> Timestamp {
        self.time
    }

    /// It is `at`, and the system's clock says `system`: before when records of `keep` are forgotten.
    pub(super) fn before(&mut self, system: Timestamp, at: Instant, keep: Duration) -> Timestamp {
        self.time = later(self.time, at - self.at);
        self.at = at;
        let keep = u64::try_from(keep.as_nanos()).unwrap_or(u64::MAX);
        Timestamp::from_nanos(self.time.min(system).as_nanos().saturating_sub(keep))
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    Timestamp::from_nanos(time.as_nanos().saturating_add(by))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400;
    const KEEP: Duration = Duration::from_hours(400 * 24);

    fn day(day: u64) -> Timestamp {
        Timestamp::from_nanos(day * DAY * 1_000_000_000)
    }

    fn after(days: u64) -> Instant {
        Instant::from_nanos(days * DAY * 1_000_000_000)
    }

    #[test]
    fn what_is_old_goes_as_days_pass() {
        let mut retention = Retention::begin(None, None, day(20_000), after(1));
        let before = retention.before(day(20_010), after(11), KEEP);
        assert_eq!(before, day(20_010 - 400));
        // Over restarts too, and what a short stop left out is made up for.
        let kept = Some(retention.time());
        let mut next = Retention::begin(kept, Some(day(20_010)), day(20_015), after(0));
        assert_eq!(next.before(day(20_016), after(1), KEEP), day(20_016 - 400));
    }

    #[test]
    fn a_clock_that_jumps_ahead_forgets_nothing() {
        let mut retention = Retention::begin(None, None, day(20_000), after(0));
        let before = retention.before(day(20_400), after(1), KEEP);
        assert_eq!(before, day(20_001 - 400));
        let before = retention.before(day(20_002), after(2), KEEP);
        assert_eq!(before, day(20_002 - 400), "it is right again");
    }

    #[test]
    fn a_start_with_a_clock_far_ahead_costs_a_week_at_most() {
        let mut kept = Retention::begin(Some(day(20_000)), None, day(20_400), after(0));
        assert_eq!(kept.before(day(20_400), after(0), KEEP), day(20_007 - 400));
        let last = Some(day(20_000));
        let mut unknown = Retention::begin(None, last, day(20_400), after(0));
        assert_eq!(
            unknown.before(day(20_400), after(0), KEEP),
            day(20_007 - 400)
        );
    }

    #[test]
    fn a_clock_that_is_set_back_forgets_less_and_loses_nothing_later() {
        // Records of the future are in the journal, by a clock that was wrong.
        let last = Some(day(30_000));
        let mut retention = Retention::begin(None, last, day(20_000), after(0));
        assert_eq!(retention.before(day(0), after(1), KEEP), day(0));
        assert_eq!(
            retention.before(day(20_002), after(2), KEEP),
            day(20_002 - 400)
        );
        // A start before the clock is set.
        let kept = Some(retention.time());
        let mut next = Retention::begin(kept, last, day(0), after(0));
        assert_eq!(next.before(day(20_003), after(1), KEEP), day(20_003 - 400));
    }
}
