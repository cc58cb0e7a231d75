//! Objectives: what counts as good, the budget that a target leaves to fail, how fast it is spent.
//!
//! Source: B. Beyer et al., *The Site Reliability Workbook* (2018), chapter 5. For a target `t`, the budget
//! of `n` requests is `(1 - t) * n` bad ones; a burn rate of 1.0 spends it exactly at the period's end.
//! Units: shares in `0.0..=1.0`; counts of requests. Counts stay whole, so that a service with five requests
//! an hour is judged exactly.
//! Elsewhere: counting (`series`), history (`window`).

use std::time::Duration;

use plimsoll_core::{Class, Ratio, Timestamp};
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::period::{Now, Period};

/// An objective of a service: an SLI, its target, and the period that the budget is for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObjectiveSpec {
    /// Unique within its service.
    pub name: String,
    /// What is good.
    pub sli: Sli,
    /// The share that must be good.
    pub target: Ratio,
    /// What the budget is for.
    pub period: Period,
    /// Only requests of these classes; none named: all.
    #[serde(default)]
    pub classes: Vec<Class>,
    /// Only requests of these routes; none named: all.
    #[serde(default)]
    pub routes: Vec<String>,
}

impl ObjectiveSpec {
    /// Whether both count the same requests in the same way, whatever their names, targets and periods: then what was
    /// counted for one is what the other would have counted.
    pub fn counts_the_same_as(&self, other: &Self) -> bool {
        self.sli == other.sli && self.classes == other.classes && self.routes == other.routes
    }
}

/// How many objectives a service may have: a request says by one bit each which of them it is in.
pub const OBJECTIVES_MAX: usize = 32;

/// What an objective counts as good. What is not in the SLI by its outcome is in no objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sli {
    /// The outcome is good.
    Availability,
    /// The outcome is good, and came within `below`.
    Latency {
        /// The longest latency that is good.
        below: Duration,
    },
}

impl Sli {
    /// What a request says to this SLI.
    #[inline]
    pub fn judge(&self, outcome: Outcome, latency: Duration) -> Outcome {
        match (self, outcome) {
            (Self::Latency { below }, Outcome::Good) if latency > *below => Outcome::Bad,
            _ => outcome,
        }
    }

    /// The word in config, metrics and pages.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Availability => "availability",
            Self::Latency { .. } => "latency",
        }
    }
}

/// How many requests were good, and how many bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Within the SLI, and good.
    pub good: u64,
    /// Within the SLI, and bad.
    pub bad: u64,
}

impl Tally {
    /// All that are in the SLI.
    pub const fn total(self) -> u64 {
        self.good.saturating_add(self.bad)
    }

    /// What came on top of `earlier`.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            good: self.good.saturating_sub(earlier.good),
            bad: self.bad.saturating_sub(earlier.bad),
        }
    }

    /// The share of bad ones; `None` without traffic.
    pub fn bad_share(self) -> Option<Ratio> {
        Ratio::of(self.bad, self.total())
    }

    /// Budget spent per budget granted; `None` without traffic. A target of 100 % grants none: then it is
    /// 0 while nothing was bad, and infinite after.
    pub fn burn_rate(self, target: Ratio) -> Option<f64> {
        self.bad_share()
            .map(|share| per_budget(share.get(), target))
    }

    /// The share of the budget that is left, if this is the period's tally: 1.0 is all of it, below zero is
    /// overspent; `None` without traffic.
    pub fn budget_left(self, target: Ratio) -> Option<f64> {
        self.burn_rate(target).map(|spent| 1.0 - spent)
    }

    /// How many more requests may be bad before this tally's budget is gone, if no others come. Negative
    /// where it is overspent.
    pub fn bad_left(self, target: Ratio) -> i64 {
        // Ten significant digits of a target are kept: 99.9 % of 1,000 must leave one, not 0.99999.
        let granted = target.complement().get() * self.total() as f64;
        let granted = libm::floor(granted + 1e-9 * granted.max(1.0));
        granted as i64 - i64::try_from(self.bad).unwrap_or(i64::MAX)
    }
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
    }
}

/// Requests within an SLI, with who the bad ones are attributed to: the service or Plimsoll.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Good ones.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
    /// Those of the bad ones that are attributed to the service; the others are what Plimsoll refused.
    pub bad_service: u64,
}

impl Counts {
    /// What the budget counts.
    pub const fn budget(self) -> Tally {
        Tally {
            good: self.good,
            bad: self.bad,
        }
    }

    /// What the service did: refusals are left out.
    pub const fn service(self) -> Tally {
        Tally {
            good: self.good,
            bad: self.bad_service,
        }
    }

    /// What came on top of `earlier`.
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            good: self.good.saturating_sub(earlier.good),
            bad: self.bad.saturating_sub(earlier.bad),
            bad_service: self.bad_service.saturating_sub(earlier.bad_service),
        }
    }
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.bad_service = self.bad_service.saturating_add(other.bad_service);
    }
}

/// A share of bad requests as a burn rate.
pub(crate) fn per_budget(bad_share: f64, target: Ratio) -> f64 {
    // `1 - 0.999` is 0.0010000000000000009; rounding to 1e-12 gives back what was written.
    let allowed = libm::round(target.complement().get() * 1e12) / 1e12;
    if allowed > 0.0 {
        bad_share / allowed
    } else if bad_share > 0.0 {
        f64::INFINITY
    } else {
        0.0
    }
}

/// When the budget will be gone, if it burns on as now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "kebab-case")]
pub enum Forecast {
    /// No traffic: nothing can be said.
    Unknown,
    /// Nothing is left of it.
    Gone,
    /// It will be gone at this time.
    GoneAt {
        /// That time.
        at: Timestamp,
    },
    /// It lasts: at this rate it is not gone within a whole period.
    Lasts,
}

/// The forecast from what is left and how fast it burns.
///
/// Burning at rate `b` spends `b` budgets a period, so `left` lasts `left / b` periods. What leaves a
/// rolling period gives budget back; that is not counted on, so the forecast errs towards sooner. At a rate
/// of at most 1.0 the budget that flows back is at least what is spent, and it lasts. A period of the calendar gives
/// nothing back before its end: there it lasts if it is not gone by then.
pub fn forecast(left: Option<f64>, burn: Option<f64>, period: Now, now: Timestamp) -> Forecast {
    let (Some(left), Some(burn)) = (left, burn) else {
        return Forecast::Unknown;
    };
    if left <= 0.0 {
        return Forecast::Gone;
    }
    if burn <= 1.0 && period.ends.is_none() {
        return Forecast::Lasts;
    }
    let seconds = period.length.as_secs_f64() * left / burn;
    let at = Duration::try_from_secs_f64(seconds).map(|wait| now + wait);
    match (at, period.ends) {
        (Ok(at), None) => Forecast::GoneAt { at },
        (Ok(at), Some(ends)) if at < ends => Forecast::GoneAt { at },
        _ => Forecast::Lasts,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slow_answer_is_bad_for_latency_and_good_for_availability() {
        let latency = Sli::Latency {
            below: Duration::from_millis(250),
        };
        let exactly = Duration::from_millis(250);
        let slower = exactly + Duration::from_nanos(1);
        assert_eq!(latency.judge(Outcome::Good, exactly), Outcome::Good);
        assert_eq!(latency.judge(Outcome::Good, slower), Outcome::Bad);
        assert_eq!(latency.judge(Outcome::Bad, Duration::ZERO), Outcome::Bad);
        assert_eq!(latency.judge(Outcome::Excluded, slower), Outcome::Excluded);
        assert_eq!(
            Sli::Availability.judge(Outcome::Good, slower),
            Outcome::Good
        );
    }

    #[track_caller]
    fn check(target: f64, good: u64, bad: u64, burn: Option<f64>, bad_left: i64) {
        let target = Ratio::try_from(target).unwrap();
        let tally = Tally { good, bad };
        match (tally.burn_rate(target), burn) {
            (Some(actual), Some(expected)) if expected.is_finite() => {
                assert!(
                    (actual - expected).abs() < 1e-9,
                    "{actual} is not {expected}"
                );
            }
            (actual, expected) => assert_eq!(actual, expected),
        }
        assert_eq!(tally.bad_left(target), bad_left);
    }

    #[test]
    fn budgets_are_exact_with_few_events_and_with_many() {
        check(0.999, 0, 0, None, 0);
        check(0.999, 5, 0, Some(0.0), 0);
        check(0.999, 4, 1, Some(200.0), -1);
        check(0.999, 999, 1, Some(1.0), 0);
        check(0.999, 1_998, 0, Some(0.0), 1);
        check(0.999, 2_000, 0, Some(0.0), 2);
        check(0.5, 1, 1, Some(1.0), 0);
        check(0.9, 9, 1, Some(1.0), 0);
        check(0.999_99, 999_990, 10, Some(1.0), 0);
        check(1.0, 10, 0, Some(0.0), 0);
        check(1.0, 10, 1, Some(f64::INFINITY), -1);
        check(0.0, 0, 10, Some(1.0), 0);
    }

    #[test]
    fn the_forecast_is_unknown_without_traffic_and_never_later_than_the_rate_says() {
        let now = Timestamp::from_seconds(100);
        let period = Period::Rolling(Duration::from_secs(1_000)).at(now);
        assert_eq!(forecast(None, Some(2.0), period, now), Forecast::Unknown);
        assert_eq!(forecast(Some(0.5), None, period, now), Forecast::Unknown);
        assert_eq!(forecast(Some(0.0), Some(0.0), period, now), Forecast::Gone);
        assert_eq!(forecast(Some(-1.0), Some(0.0), period, now), Forecast::Gone);
        assert_eq!(forecast(Some(0.5), Some(1.0), period, now), Forecast::Lasts);
        let at = Timestamp::from_seconds(350);
        assert_eq!(
            forecast(Some(0.5), Some(2.0), period, now),
            Forecast::GoneAt { at }
        );
        assert_eq!(
            forecast(Some(0.5), Some(f64::INFINITY), period, now),
            Forecast::GoneAt { at: now },
            "a target of 100 % has no time left"
        );
    }

    #[test]
    fn within_the_calendar_a_budget_lasts_if_it_lasts_to_the_boundary() {
        let day = 86_400;
        let now = Timestamp::of_date(2026, 11, 26);
        let month = Period::Calendar(crate::Calendar::Month).at(now);
        // Five of thirty days are left.
        let at = Timestamp::from_seconds(now.as_seconds() + 3 * day);
        let gone = Forecast::GoneAt { at };
        assert_eq!(forecast(Some(0.1), Some(1.0), month, now), gone);
        assert_eq!(forecast(Some(0.2), Some(1.0), month, now), Forecast::Lasts);
        assert_eq!(forecast(Some(0.5), Some(2.9), month, now), Forecast::Lasts);
        assert_eq!(forecast(Some(0.5), Some(0.0), month, now), Forecast::Lasts);
    }

    proptest! {
        #[test]
        fn what_is_left_is_what_one_can_still_break(
            thousandths in 1_u64..1_000,
            good in 0_u64..3_000,
            bad in 0_u64..300,
        ) {
            // Whole numbers all the way: with a target of `thousandths / 1000`, `n` requests grant
            // `n * (1000 - thousandths) / 1000` bad ones.
            let target = Ratio::of(thousandths, 1_000).unwrap();
            let tally = Tally { good, bad };
            let granted = (good + bad) * (1_000 - thousandths) / 1_000;
            prop_assert_eq!(tally.bad_left(target), granted as i64 - bad as i64);
            if let Some(left) = tally.budget_left(target) {
                let exact = 1.0 - (bad * 1_000) as f64 / ((good + bad) * (1_000 - thousandths)) as f64;
                prop_assert!((left - exact).abs() < 1e-6 * exact.abs().max(1.0));
            }
        }
    }
}
