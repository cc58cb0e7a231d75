//! How failed attempts are made again, as shares.
//!
//! An attempt at any endpoint that is used fails as often as at another: what does worse is held out. Attempts that fail
//! take no work, so trying again costs nothing but the budget that is kept for it. What resets and times out is not known to
//! a fluid run; connections that can't be made are the station's.

use plimsoll_policy::retry::Failure;

use crate::fleet::Protection;

/// The answer of an endpoint that fails.
const FAILED: Failure = Failure::Status {
    status: 500,
    retry_after: None,
    decision: false,
};

/// See the module's docs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Retries {
    tries: u32,
    /// For each first attempt.
    budget: f64,
    /// On top of it, for each second, over all gateways.
    floor: f64,
}

impl Retries {
    /// Of a service. `None`: what fails is not tried again.
    pub(super) fn of(protection: &Protection, gateways: usize) -> Option<Self> {
        let guard = &protection.guard;
        let tries = guard.retry.attempts_max.min(protection.bounds.attempts_max);
        (guard.retried.allows(FAILED) && tries > 1).then(|| Self {
            tries,
            budget: guard.retry.budget.get(),
            floor: guard.retry.floor_per_second * gateways as f64,
        })
    }

    /// Which share fails in the end of so many requests in so many seconds, of which a share of `errors` fails at first; and how
    /// many attempts more there are for each.
    pub(super) fn of_errors(self, errors: f64, requests: f64, seconds: f64) -> (f64, f64) {
        let may = self.budget + self.floor * seconds / requests.max(1e-9);
        // With a share `granted` of those that ask for it: one try more for each that fails and may, and so on.
        let more = |granted: f64| {
            let each = errors * granted;
            (1..self.tries).fold(0.0, |sum, _| each * (1.0 + sum))
        };
        let granted = if more(1.0) <= may {
            1.0
        } else {
            let (mut low, mut high) = (0.0, 1.0);
            for _ in 0..20 {
                let middle = (low + high) / 2.0;
                match more(middle) <= may {
                    true => low = middle,
                    false => high = middle,
                }
            }
            low
        };
        let fails =
            (1..self.tries).fold(errors, |fails, _| errors * (1.0 - granted * (1.0 - fails)));
        (fails, more(granted))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_made_again_as_the_budget_has() {
        let retries = Retries {
            tries: 3,
            budget: 0.1,
            floor: 0.0,
        };
        // Of 5 %, all are tried twice again.
        let (fails, again) = retries.of_errors(0.05, 100.0, 1.0);
        assert!((fails - 0.05 * 0.05 * 0.05).abs() < 1e-9, "{fails}");
        assert!((again - 0.0525).abs() < 1e-9, "{again}");
        // Of a half, one of ten requests has one try more, and half of these succeed.
        let (fails, again) = retries.of_errors(0.5, 100.0, 1.0);
        assert!((again - 0.1).abs() < 1e-4, "{again}");
        assert!((fails - 0.45).abs() < 1e-4, "{fails}");
        // What always fails fails, however often.
        assert_eq!(retries.of_errors(1.0, 100.0, 1.0).0, 1.0);
        // A floor of three a second is much where few come.
        let few = Retries {
            floor: 3.0,
            ..retries
        };
        assert!((few.of_errors(0.5, 2.0, 1.0).0 - 0.125).abs() < 1e-9);
    }
}
