//! Multi-window alerts: a burn that a long window shows, and a short one still does.
//!
//! Source: B. Beyer et al., *The Site Reliability Workbook* (2018), chapter 5, "Multiwindow, Multi-Burn-Rate Alerts".
//! The long window says that the burn costs something, the short one that it has not ended.
//! Units: budgets and targets are shares; a factor is a burn rate, 1.0 spends the budget exactly at the period's end.
//! Elsewhere: what calls people by itself (`burn_detector`). Pairs are for those who alert with another tool.

use std::time::Duration;

use plimsoll_core::Ratio;
use serde::{Deserialize, Serialize};

use crate::burn_detector::Urgency;
use crate::objective::{Tally, per_budget};

/// How many pairs there may be.
pub const BURN_PAIRS_MAX: usize = 8;

/// Two windows, and how much of the budget may be spent within the longer of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnPair {
    /// So much of the period's budget, spent within the long window, is worth calling somebody.
    pub budget_share: Ratio,
    /// The window that this is judged by.
    pub long: Duration,
    /// The window that says whether it goes on.
    pub short: Duration,
    /// How soon somebody is to look.
    pub urgency: Urgency,
}

impl BurnPair {
    /// The burn rate that spends the share of the budget within the long window.
    pub fn factor(&self, period: Duration) -> f64 {
        let factor = self.budget_share.get() * period.as_secs_f64() / self.long.as_secs_f64();
        // 0.02 x 672 is 13.440000000000001; rounding gives back what was meant.
        libm::round(factor * 1e9) / 1e9
    }

    /// The largest burn rate there is for this target: all requests are bad.
    fn burn_max(target: Ratio) -> f64 {
        per_budget(1.0, target)
    }

    /// Whether any share of bad requests is enough: with a low target, the factor is more than failing all can reach.
    pub fn can_fire(&self, target: Ratio, period: Duration) -> bool {
        self.factor(period) < Self::burn_max(target)
    }

    /// Whether the windows are within the period: a longer one would judge by what is no longer in the budget.
    pub fn fits(&self, period: Duration) -> bool {
        self.long <= period
    }

    /// Whether somebody is to be called for what the two windows counted. Without traffic, nobody.
    pub fn fires(&self, target: Ratio, period: Duration, long: Tally, short: Tally) -> bool {
        let factor = self.factor(period);
        let burns = |tally: Tally| tally.burn_rate(target).is_some_and(|burn| burn > factor);
        burns(long) && burns(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);
    const DAY: Duration = Duration::from_secs(86_400);

    fn pair(percent: u64, long: Duration) -> BurnPair {
        BurnPair {
            budget_share: Ratio::of(percent, 100).unwrap(),
            long,
            short: long / 12,
            urgency: Urgency::Page,
        }
    }

    fn ratio(value: f64) -> Ratio {
        Ratio::try_from(value).unwrap()
    }

    #[test]
    fn factors_are_those_of_the_workbook_at_thirty_days_and_scale_with_the_period() {
        let pairs = [
            pair(2, HOUR),
            pair(5, HOUR * 6),
            pair(10, DAY),
            pair(10, DAY * 3),
        ];
        assert_eq!(
            pairs.map(|it| it.factor(DAY * 30)),
            [14.4, 6.0, 3.0, 1.0],
            "30 days"
        );
        assert_eq!(
            pairs.map(|it| it.factor(DAY * 28)),
            [13.44, 5.6, 2.8, 0.933_333_333],
            "28 days"
        );
    }

    #[test]
    fn a_low_target_leaves_no_room_for_a_high_factor() {
        let page = pair(2, HOUR);
        let period = DAY * 28;
        assert!(page.can_fire(ratio(0.999), period));
        // 13.44 x 0.08 is 1.0752: if all fails, the burn is 12.5.
        assert!(!page.can_fire(ratio(0.92), period));
        assert!(page.can_fire(ratio(0.93), period));
        // Exactly all is not more than all.
        let half = pair(50, HOUR);
        assert!(!half.can_fire(ratio(0.75), HOUR * 8));
        assert!(half.can_fire(ratio(0.76), HOUR * 8));
    }

    #[test]
    fn both_windows_must_burn_faster_than_the_factor() {
        let page = pair(2, HOUR);
        let tally = |bad| Tally {
            good: 10_000 - bad,
            bad,
        };
        let fires = |long, short| page.fires(ratio(0.999), DAY * 28, tally(long), tally(short));
        assert!(fires(135, 135));
        assert!(!fires(134, 10_000), "13.4 in the long window");
        assert!(!fires(10_000, 134), "13.4 in the short window");
        let none = Tally::default();
        assert!(!page.fires(ratio(0.999), DAY * 28, tally(9_000), none));
    }

    #[test]
    fn a_window_fits_into_a_period_of_its_length() {
        assert!(pair(10, DAY * 3).fits(DAY * 3));
        assert!(!pair(10, DAY * 3).fits(DAY * 2));
    }
}
