//! What the active checks say: rows of failures take an endpoint out, rows of successes bring it back.

use super::EndpointParameters;

/// What the active checks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    Passing { failures: u32 },
    Failing { successes: u32 },
}

impl Checks {
    pub(super) const fn new() -> Self {
        Self::Passing { failures: 0 }
    }

    pub(super) const fn is_passing(self) -> bool {
        matches!(self, Self::Passing { .. })
    }

    /// A check ended; says whether it brought the endpoint back.
    pub(super) fn on_check(&mut self, ok: bool, parameters: &EndpointParameters) -> bool {
        let before = *self;
        *self = match (before, ok) {
            (Self::Passing { .. }, true) => Self::new(),
            (Self::Passing { failures }, false) if failures + 1 >= parameters.failures_max => {
                Self::Failing { successes: 0 }
            }
            (Self::Passing { failures }, false) => Self::Passing {
                failures: failures + 1,
            },
            (Self::Failing { successes }, true) if successes + 1 >= parameters.successes_min => {
                Self::new()
            }
            (Self::Failing { successes }, true) => Self::Failing {
                successes: successes + 1,
            },
            (Self::Failing { .. }, false) => Self::Failing { successes: 0 },
        };
        self.is_passing() && !before.is_passing()
    }
}

#[cfg(test)]
mod tests {
    use crate::endpoint::control::tests::Fixture;
    use crate::endpoint::{DownCause, Verdict};

    #[test]
    fn checks_take_it_out_and_bring_it_back_by_rows() {
        let mut endpoint = Fixture::new();
        for ok in [false, false, true, false, false] {
            endpoint.control.on_check(endpoint.now, ok);
            assert_eq!(endpoint.tick(), None);
        }
        endpoint.control.on_check(endpoint.now, false);
        assert_eq!(endpoint.tick(), Some(Verdict::Down(DownCause::Checks)));
        for ok in [true, false, true] {
            endpoint.control.on_check(endpoint.now, ok);
            assert_eq!(endpoint.tick(), None);
        }
        endpoint.control.on_check(endpoint.now, true);
        assert_eq!(
            endpoint.tick(),
            Some(Verdict::Up {
                slow_start: Some(endpoint.now)
            })
        );
    }

    #[test]
    fn a_connection_does_not_overrule_the_checks() {
        let mut endpoint = Fixture::new();
        for _ in 0..3 {
            endpoint.control.on_check(endpoint.now, false);
        }
        endpoint.tick();
        endpoint.shared.on_connect_success();
        assert_eq!(endpoint.tick(), None);
        assert!(!endpoint.shared.verdict().is_up());
        endpoint.control.on_checks_removed(endpoint.now);
        assert!(
            endpoint.tick().is_some_and(Verdict::is_up),
            "but their removal does"
        );
    }
}
