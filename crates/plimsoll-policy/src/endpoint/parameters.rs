//! When an endpoint is taken out and brought back.

use std::time::Duration;

use plimsoll_core::Mode;

/// Units: counts are in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EndpointParameters {
    /// Active checks that fail in a row take it out.
    pub failures_max: u32,
    /// Active checks that succeed in a row bring it back.
    pub successes_min: u32,
    /// Connect failures in a row, with no success between, take it out.
    pub connect_failures_max: u32,
    /// Connect failures further apart than this are not in a row.
    pub connect_window: Duration,
    /// How long it stays out by connect failures or breaker before it is probed. Doubles with each probe that
    /// fails, up to a fifteenth of the outage, or four seconds if that is more.
    pub backoff_min: Duration,
    /// The longest such time.
    pub backoff_max: Duration,
    /// How long a probe may take to connect before it counts as failed.
    pub probe_time_max: Duration,
    /// Whether the breaker acts.
    pub breaker: Mode,
    /// Whether ejection acts.
    pub ejection: Mode,
}

impl Default for EndpointParameters {
    fn default() -> Self {
        Self {
            failures_max: 3,
            successes_min: 2,
            connect_failures_max: 3,
            connect_window: Duration::from_secs(10),
            backoff_min: Duration::from_secs(1),
            backoff_max: Duration::from_secs(30),
            probe_time_max: Duration::from_secs(5),
            breaker: Mode::Enforce,
            ejection: Mode::Enforce,
        }
    }
}

impl EndpointParameters {
    pub(super) fn assert_valid(&self) {
        assert!(
            self.failures_max > 0 && self.successes_min > 0,
            "counts are above zero"
        );
        assert!(self.connect_failures_max > 0, "counts are above zero");
        assert!(
            !self.backoff_min.is_zero(),
            "a probe without a pause would be a flood"
        );
        assert!(
            self.backoff_min <= self.backoff_max,
            "the backoff's bounds are in order"
        );
    }
}
