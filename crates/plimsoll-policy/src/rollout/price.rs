//! What a rollout costs in error budget, and what its next step may cost at worst.
//!
//! The price is the canary's *excess* of bad events, beyond what stable's rate would have made of its requests, as a share of the
//! budget of the objective's period. It bounds slow leaks, grants steps, and on quiet services it stops sooner than evidence
//! does. A step is granted if the worst rate that is still plausible, for as long as the step lasts, fits into what is left of the
//! limit: traffic cancels out of that rule, so it needs no number of requests a second.
//! Source of the bounds: a mixture of binomials over Beta(1/2, 1/2) (H. Robbins, "Statistical methods related to the law of the
//! iterated logarithm", 1970): they hold at every moment.
//! Units: rates are shares of requests; room is in seconds of an arm that fails all, at full weight.

use std::time::Duration;

use plimsoll_core::Ratio;
use serde::{Deserialize, Serialize};

use crate::rollout::counts::{Trials, Weight};

/// The bounds of a rate hold with a confidence of 95 % on either side.
pub(super) const BOUND_ALPHA: f64 = 0.05;
/// More clean requests than this are not worth waiting for.
const MORE_MAX: u64 = 1 << 40;

/// What the price is reckoned by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Price {
    /// The share of the period's budget that the rollout may cost.
    pub limit: Ratio,
    /// The objective's target.
    pub target: Ratio,
    /// The objective's period.
    pub period: Duration,
    /// How many requests a period brings, as far as is known; zero where it is not, and then nothing is reckoned as spent.
    pub requests: f64,
}

impl Price {
    /// The share of the period's budget that so many bad events too many are. A negative excess costs nothing.
    pub fn spent(&self, excess: f64) -> f64 {
        let budget = self.target.complement().get() * self.requests;
        let spent = excess.max(0.0) / budget;
        // A target of 100 %, or no known traffic.
        if spent.is_finite() { spent } else { 0.0 }
    }

    /// How long everything might fail, at full weight, until the limit is reached: in seconds.
    pub fn room(&self, spent: f64) -> f64 {
        let left = (self.limit.get() - spent).max(0.0);
        left * self.target.complement().get() * self.period.as_secs_f64()
    }
}

/// By how many the canary's bad events are more than stable's rate would have made of its requests.
pub(super) fn excess(canary: Trials, stable_rate: f64) -> f64 {
    canary.bad as f64 - stable_rate * canary.requests as f64
}

/// A step that is to be granted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Question {
    /// The canary so far.
    pub canary: Trials,
    /// The rate that stable has at least.
    pub stable_at_least: f64,
    /// The step's weight.
    pub weight: Weight,
    /// How long the step lasts at least.
    pub lasts: Duration,
    /// See [`Price::room`].
    pub room: f64,
}

impl Question {
    /// By how much more than stable's the canary's rate may plausibly be, at worst.
    pub fn worst(&self) -> f64 {
        (upper(self.canary, BOUND_ALPHA) - self.stable_at_least).max(0.0)
    }

    /// Whether the worst plausible damage fits into the room. Where there is none, a person decides, however good it looks.
    pub fn is_granted(&self) -> bool {
        self.room > 0.0 && self.worst() * self.exposure() <= self.room
    }

    /// About how many more clean requests of the canary would grant it; zero if it is granted, `None` if more than anyone
    /// would wait for.
    pub fn clean_requests_more(&self) -> Option<u64> {
        let granted_after = |more: u64| {
            let requests = self.canary.requests.saturating_add(more);
            let canary = Trials::new(requests, self.canary.bad);
            Self { canary, ..*self }.is_granted()
        };
        if granted_after(0) {
            return Some(0);
        }
        let mut enough = 1;
        while !granted_after(enough) {
            if enough >= MORE_MAX {
                return None;
            }
            enough *= 2;
        }
        let mut too_few = enough / 2;
        while enough - too_few > 1 {
            let middle = too_few + (enough - too_few) / 2;
            if granted_after(middle) {
                enough = middle;
            } else {
                too_few = middle;
            }
        }
        Some(enough)
    }

    fn exposure(&self) -> f64 {
        self.weight.share() * self.lasts.as_secs_f64()
    }
}

/// The rate that is at most plausible after these trials, at every moment with confidence `1 - alpha`.
pub fn upper(trials: Trials, alpha: f64) -> f64 {
    bound(trials, alpha, 1.0)
}

/// The rate that is at least plausible.
pub fn lower(trials: Trials, alpha: f64) -> f64 {
    if trials.bad == 0 {
        return 0.0;
    }
    bound(trials, alpha, 0.0)
}

/// Between the observed rate and `end`: where the mixture's advantage over a rate reaches `1 / alpha`.
fn bound(trials: Trials, alpha: f64, end: f64) -> f64 {
    let (n, x) = (trials.requests as f64, trials.bad as f64);
    let Some(observed) = trials.rate() else {
        return end;
    };
    let mixture = ln_beta(x + 0.5, n - x + 0.5) - ln_beta(0.5, 0.5);
    let against = |p: f64| mixture - times_log(x, p) - times_log(n - x, 1.0 - p);
    let enough = -libm::log(alpha);
    let (mut inside, mut outside) = (observed, end);
    if against(outside) <= enough {
        return end;
    }
    // Rates near zero need as many bits below the point as they have zeros.
    for _ in 0..80 {
        let middle = 0.5 * (inside + outside);
        if against(middle) <= enough {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

/// `count * ln p`, which is zero for a count of zero.
fn times_log(count: f64, p: f64) -> f64 {
    if count > 0.0 {
        count * libm::log(p)
    } else {
        0.0
    }
}

fn ln_beta(a: f64, b: f64) -> f64 {
    libm::lgamma(a) + libm::lgamma(b) - libm::lgamma(a + b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn price() -> Price {
        Price {
            limit: Ratio::try_from(0.02).unwrap(),
            target: Ratio::try_from(0.999).unwrap(),
            period: Duration::from_secs(30 * 86_400),
            requests: 259_200_000.0,
        }
    }

    #[track_caller]
    fn check(bad: u64, requests: u64, low: f64, high: f64) {
        let trials = Trials::new(requests, bad);
        // Printed to eight places.
        let near = |value: f64, printed: f64| (value - printed).abs() < 0.51e-8;
        assert!(near(lower(trials, 0.05), low), "{}", lower(trials, 0.05));
        assert!(near(upper(trials, 0.05), high), "{}", upper(trials, 0.05));
    }

    #[test]
    fn bounds_of_a_rate_follow_the_test_vectors() {
        check(0, 100, 0.0, 0.057_028_60);
        check(0, 500, 0.0, 0.013_262_57);
        check(1, 500, 0.000_001_26, 0.019_102_72);
        check(3, 1_000, 0.000_123_87, 0.014_312_15);
        check(20, 1_000, 0.007_818_99, 0.040_635_41);
        check(0, 1_000_000, 0.0, 0.000_010_48);
    }

    #[test]
    fn the_price_follows_the_test_vector() {
        let stable = Trials::new(950_000, 500).rate().unwrap();
        let spent = price().spent(excess(Trials::new(50_000, 4_700), stable));
        assert!((spent / 0.018_031 - 1.0).abs() < 2e-5, "{spent}");
        let exact = (4_700.0 - 50_000.0 * 500.0 / 950_000.0) / (0.001 * 259_200_000.0);
        assert!((spent / exact - 1.0).abs() < 1e-9, "{spent}");
    }

    fn question(weight: u16, minutes: u64) -> Question {
        Question {
            canary: Trials::default(),
            stable_at_least: 0.0,
            weight: Weight::of_parts(weight),
            lasts: Duration::from_secs(60 * minutes),
            room: price().room(0.0),
        }
    }

    #[test]
    fn small_steps_need_no_request_and_large_ones_need_more() {
        assert!((price().room(0.0) - 51.84).abs() < 1e-9);
        assert_eq!(question(100, 5).clean_requests_more(), Some(0));
        assert_eq!(question(500, 10).clean_requests_more(), Some(0));
        assert_eq!(question(2_000, 20).clean_requests_more(), Some(21));
        assert_eq!(question(5_000, 20).clean_requests_more(), Some(63));
        assert_eq!(question(10_000, 60).clean_requests_more(), Some(458));
    }

    #[test]
    fn what_is_bad_in_both_versions_is_no_damage_of_the_new_one() {
        let bad = Question {
            canary: Trials::new(10_000, 500),
            ..question(10_000, 60)
        };
        assert!(!bad.is_granted());
        let stable_at_least = lower(Trials::new(1_000_000, 50_000), BOUND_ALPHA);
        let alike = Question {
            stable_at_least,
            ..bad
        };
        assert!(alike.is_granted());
    }

    #[test]
    fn with_the_limit_spent_no_number_of_clean_requests_is_enough() {
        let none_left = Question {
            room: price().room(0.02),
            ..question(10_000, 60)
        };
        assert_eq!(none_left.clean_requests_more(), None);
    }

    #[test]
    fn unknown_traffic_and_a_target_of_all_spend_nothing() {
        let unknown = Price {
            requests: 0.0,
            ..price()
        };
        assert_eq!(unknown.spent(5.0), 0.0);
        let all = Price {
            target: Ratio::ONE,
            ..price()
        };
        assert_eq!(all.spent(0.0), 0.0);
        assert_eq!(all.room(0.0), 0.0);
    }
}
