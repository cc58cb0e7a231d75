//! Rate limits: how much one key may do per second, and how much of it at once.
//!
//! Source: the generic cell rate algorithm of ITU-T I.371 (virtual scheduling), a leaky bucket as a meter. All
//! that is kept of a key is its theoretical arrival time: when its bucket will be full again. A charge moves it
//! on by `cost / per_second`; one that would move it more than `burst / per_second` beyond now is refused.
//! Units: nanoseconds inside; a cost is in the limit's own units, one for a plain request.
//! Invariant: what a key is allowed in any span of length `t` is at most `burst + per_second * t`.
//! Elsewhere: where the keys are kept and what a flood of them does (`table`); header fields (`fields`); what
//! makes a key (`tenant`); the 429 itself (`plimsoll-gateway`).

mod fields;
mod table;

pub use fields::{push_rate_limit, push_rate_limit_policy, retry_after_seconds};
pub use table::{Charge, RateTable};

use std::fmt;
use std::time::Duration;

/// The fastest limit: an interval of a microsecond, which whole nanoseconds keep to within 0.1 %.
const PER_SECOND_MAX: f64 = 1e6;
/// The longest that a bucket may take to fill. More is surely a mistake in a unit, and below this no sum of
/// times overflows.
const FILL_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 3_600);
const NANOS_PER_SECOND: f64 = 1e9;

/// A rate and a burst. Valid because it exists.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    per_second: f64,
    burst: u32,
    /// What one unit costs, in nanoseconds. Rounded up: the limit errs towards less.
    interval: u64,
}

/// Why something is no rate limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NotARateLimit {
    /// The rate is not above zero, or above a million a second.
    Rate(f64),
    /// A burst of zero would refuse everything.
    NoBurst,
    /// The bucket would take over a year to fill.
    TooSlow {
        /// Units per second.
        per_second: f64,
        /// Units at once.
        burst: u32,
    },
}

impl fmt::Display for NotARateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rate(rate) => write!(
                f,
                "a rate is above zero and at most {PER_SECOND_MAX} per second, not {rate}"
            ),
            Self::NoBurst => write!(f, "a burst is at least 1: with 0 nothing would be allowed"),
            Self::TooSlow { per_second, burst } => write!(
                f,
                "a burst of {burst} at {per_second} per second takes over a year to fill again"
            ),
        }
    }
}

impl std::error::Error for NotARateLimit {}

impl RateLimit {
    /// A limit of `per_second` units a second in the long run, and `burst` at once after a quiet time.
    pub fn new(per_second: f64, burst: u32) -> Result<Self, NotARateLimit> {
        if !(per_second > 0.0 && per_second <= PER_SECOND_MAX) {
            return Err(NotARateLimit::Rate(per_second));
        }
        if burst == 0 {
            return Err(NotARateLimit::NoBurst);
        }
        let interval = (NANOS_PER_SECOND / per_second).ceil();
        if interval * f64::from(burst) > FILL_TIME_MAX.as_nanos() as f64 {
            return Err(NotARateLimit::TooSlow { per_second, burst });
        }
        Ok(Self {
            per_second,
            burst,
            interval: interval as u64,
        })
    }

    /// Units a second in the long run.
    pub const fn per_second(&self) -> f64 {
        self.per_second
    }

    /// Units at once after a quiet time.
    pub const fn burst(&self) -> u32 {
        self.burst
    }

    /// How long an empty bucket takes to fill: the longest that a key can be refused what its burst holds.
    pub const fn fill_time(&self) -> Duration {
        Duration::from_nanos(self.fill_nanos())
    }

    const fn fill_nanos(&self) -> u64 {
        self.interval.saturating_mul(self.burst as u64)
    }

    const fn cost_nanos(&self, cost: u32) -> u64 {
        self.interval.saturating_mul(cost as u64)
    }
}

/// What was decided on one charge, and what its key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateDecision {
    /// Yes, not yet or never.
    pub verdict: RateVerdict,
    /// The limit's burst: what a key that was quiet has.
    pub burst: u32,
    /// What the key has left at once, after this charge.
    pub remaining: u32,
    /// How long until it has all of its burst again, if it stays quiet.
    pub reset_after: Duration,
}

/// Whether a charge is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RateVerdict {
    /// Yes; and it is charged.
    Allowed,
    /// Not yet; nothing is charged.
    Refused {
        /// How long until the same charge is allowed, if nobody else charges this key.
        retry_after: Duration,
    },
    /// Never: the cost is above the burst. The caller must ask for less; waiting does not help.
    Impossible,
}

impl RateDecision {
    /// Whether the request may go on.
    pub const fn is_allowed(&self) -> bool {
        matches!(self.verdict, RateVerdict::Allowed)
    }

    /// How long to wait; `None` if it was allowed, or never will be.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self.verdict {
            RateVerdict::Refused { retry_after } => Some(retry_after),
            RateVerdict::Allowed | RateVerdict::Impossible => None,
        }
    }
}

/// One meter: the theoretical arrival time, in nanoseconds since the clock's origin. Always read through
/// [`Meter::at`], which brings it into the span that the limit allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Meter(u64);

impl Meter {
    /// The meter as it stands at `now`: a bucket is never more than full, nor more than empty. The second
    /// matters where a reload made the burst smaller.
    fn at(self, now: u64, limit: &RateLimit) -> Self {
        Self(self.0.clamp(now, now.saturating_add(limit.fill_nanos())))
    }

    /// The meter after a charge; `None` if there is not enough left. `self` is as of `now`.
    fn charge(self, now: u64, limit: &RateLimit, cost: u32) -> Option<Self> {
        let next = self.0.saturating_add(limit.cost_nanos(cost));
        (next <= now.saturating_add(limit.fill_nanos())).then_some(Self(next))
    }

    fn refund(self, limit: &RateLimit, cost: u32) -> Self {
        Self(self.0.saturating_sub(limit.cost_nanos(cost)))
    }

    /// From when a charge of `cost` is allowed.
    fn open_at(self, limit: &RateLimit, cost: u32) -> u64 {
        self.0
            .saturating_add(limit.cost_nanos(cost))
            .saturating_sub(limit.fill_nanos())
    }

    /// Whole units left. `self` is as of `now`.
    fn remaining(self, now: u64, limit: &RateLimit) -> u32 {
        let left = now
            .saturating_add(limit.fill_nanos())
            .saturating_sub(self.0);
        u32::try_from(left / limit.interval.max(1))
            .map_or(limit.burst, |left| left.min(limit.burst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_no_limit() {
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6 + 1.0] {
            assert!(matches!(
                RateLimit::new(rate, 1),
                Err(NotARateLimit::Rate(_))
            ));
        }
        assert_eq!(RateLimit::new(1.0, 0), Err(NotARateLimit::NoBurst));
        assert!(matches!(
            RateLimit::new(1.0, u32::MAX),
            Err(NotARateLimit::TooSlow { .. })
        ));
        assert!(matches!(
            RateLimit::new(f64::MIN_POSITIVE, 1),
            Err(NotARateLimit::TooSlow { .. })
        ));
        assert!(RateLimit::new(1.0 / 86_400.0, 300).is_ok());
        assert!(RateLimit::new(1e6, u32::MAX).is_ok());
    }

    #[test]
    fn an_error_says_what_was_expected() {
        let error = RateLimit::new(-3.0, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a rate is above zero and at most 1000000 per second, not -3"
        );
    }

    #[test]
    fn a_rate_that_does_not_divide_a_second_errs_towards_less() {
        let limit = RateLimit::new(3.0, 1).unwrap();
        assert_eq!(limit.fill_time(), Duration::from_nanos(333_333_334));
    }

    #[test]
    fn a_smaller_burst_after_a_reload_does_not_lock_anyone_out_for_longer_than_it_fills() {
        let (large, small) = (
            RateLimit::new(1.0, 1_000).unwrap(),
            RateLimit::new(1.0, 2).unwrap(),
        );
        let spent = Meter(0).at(5, &large).charge(5, &large, 1_000).unwrap();
        let open_at = spent.at(5, &small).open_at(&small, 2);
        assert_eq!(open_at, 5 + small.fill_nanos());
    }
}
