//! What the data plane's connections say: a row of failures takes an endpoint out until a probe connects.

use std::time::Duration;

use plimsoll_core::Instant;

use super::EndpointParameters;

/// How long after a connect failure an endpoint is probed that nobody else tries: three in a row are complete
/// within a second, and a stutter of the network is not.
pub(super) const DOUBT_PROBE_AFTER: Duration = Duration::from_millis(250);
/// A pause between two looks at an endpoint that is out is at most this share of its outage, so that it is
/// back soon after its cause has ended, compared with how long it lasted.
const OUTAGE_SHARE: u32 = 15;
/// Or this long, whichever is longer: an outage of less than a minute ends within five seconds.
const PAUSE_SHORT: Duration = Duration::from_secs(4);

/// How long an endpoint stays out before it is looked at again, after `round` looks in vain in an outage that
/// has lasted for `outage`: doubles from `backoff_min`, up to what the outage is worth and `backoff_max`.
pub(super) fn backoff(round: u32, outage: Duration, parameters: &EndpointParameters) -> Duration {
    let bound = (outage / OUTAGE_SHARE)
        .max(PAUSE_SHORT)
        .min(parameters.backoff_max);
    let doubled = 2_u32
        .checked_pow(round)
        .and_then(|factor| parameters.backoff_min.checked_mul(factor));
    doubled
        .map_or(bound, |wait| wait.min(bound))
        .max(parameters.backoff_min)
}

/// `round` counts how often the backoff was entered without a quiet time between, and `outage` is when the
/// first of these was: they set the backoff's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Connect {
    Open {
        failures: u32,
        last: Instant,
        round: u32,
        outage: Instant,
        since: Instant,
    },
    Backoff {
        until: Instant,
        round: u32,
        outage: Instant,
    },
    Probing {
        until: Instant,
        round: u32,
        outage: Instant,
    },
}

impl Connect {
    pub(super) fn new(now: Instant) -> Self {
        Self::Open {
            failures: 0,
            last: now,
            round: 0,
            outage: now,
            since: now,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// A connection was made; says whether that ended an outage.
    pub(super) fn on_connected(&mut self, now: Instant) -> bool {
        let (round, outage, since, ended) = match *self {
            Self::Open {
                round,
                outage,
                since,
                ..
            } => (round, outage, since, false),
            Self::Backoff { round, outage, .. } | Self::Probing { round, outage, .. } => {
                (round.saturating_add(1), outage, now, true)
            }
        };
        *self = Self::Open {
            failures: 0,
            last: now,
            round,
            outage,
            since,
        };
        ended
    }

    /// Connections could not be made, and none was.
    pub(super) fn on_failures(
        &mut self,
        now: Instant,
        count: u32,
        parameters: &EndpointParameters,
    ) {
        let Self::Open {
            failures,
            last,
            round,
            outage,
            since,
        } = *self
        else {
            return;
        };
        let in_a_row = now.since(last) <= parameters.connect_window;
        let failures = if in_a_row { failures } else { 0 }.saturating_add(count);
        if failures >= parameters.connect_failures_max {
            // Up for as long as the longest backoff: what was before is another story.
            let quiet = round == 0 || now.since(since) >= parameters.backoff_max;
            let (round, outage) = if quiet { (0, now) } else { (round, outage) };
            self.enter_backoff(now, round, outage, parameters);
        } else {
            *self = Self::Open {
                failures,
                last: now,
                round,
                outage,
                since,
            };
        }
    }

    /// The probe failed.
    pub(super) fn on_probe_failed(&mut self, now: Instant, parameters: &EndpointParameters) {
        if let Self::Probing { round, outage, .. } = *self {
            self.enter_backoff(now, round.saturating_add(1), outage, parameters);
        }
    }

    /// See `EndpointControl::take_probe`.
    pub(super) fn take_probe(&mut self, now: Instant, parameters: &EndpointParameters) -> bool {
        match self {
            Self::Backoff {
                until,
                round,
                outage,
            } if *until <= now => {
                *self = Self::Probing {
                    until: now + parameters.probe_time_max,
                    round: *round,
                    outage: *outage,
                };
                true
            }
            Self::Open { failures, last, .. }
                if *failures > 0 && now.since(*last) >= DOUBT_PROBE_AFTER =>
            {
                *last = now;
                true
            }
            _ => false,
        }
    }

    /// A probe that has not ended in its time has failed.
    pub(super) fn tick(&mut self, now: Instant, parameters: &EndpointParameters) {
        if let Self::Probing { until, .. } = *self
            && until <= now
        {
            self.on_probe_failed(now, parameters);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match *self {
            Self::Backoff { until, .. } | Self::Probing { until, .. } => Some(until),
            Self::Open { failures, last, .. } => (failures > 0).then(|| last + DOUBT_PROBE_AFTER),
        }
    }

    fn enter_backoff(
        &mut self,
        now: Instant,
        round: u32,
        outage: Instant,
        parameters: &EndpointParameters,
    ) {
        *self = Self::Backoff {
            until: now + backoff(round, now.since(outage), parameters),
            round,
            outage,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::control::tests::Fixture;
    use crate::endpoint::{DownCause, SLOW_START, Verdict};

    #[test]
    fn a_pause_doubles_up_to_what_the_outage_is_worth() {
        let parameters = EndpointParameters::default();
        let mut outage = Duration::ZERO;
        let mut pauses = Vec::new();
        for round in 0..60 {
            let pause = backoff(round, outage, &parameters);
            outage += pause;
            pauses.push(pause.as_millis());
            if outage <= Duration::from_secs(60) {
                assert!(pause <= PAUSE_SHORT);
            }
        }
        assert_eq!(pauses[..5], [1_000, 2_000, 4_000, 4_000, 4_000]);
        assert_eq!(pauses.last(), Some(&30_000));
        assert!(pauses.is_sorted());
    }

    #[test]
    fn an_endpoint_in_doubt_is_probed_until_it_is_known() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(1);
        assert_eq!(endpoint.tick(), None);
        for _ in 0..2 {
            assert!(!endpoint.control.take_probe(endpoint.now));
            endpoint.wait(DOUBT_PROBE_AFTER);
            assert!(endpoint.control.take_probe(endpoint.now));
            // The probe fails, and is counted like any other connection.
            endpoint.fails_to_connect(1);
            endpoint.control.on_probe(endpoint.now, false);
            let _transition = endpoint.tick();
        }
        assert_eq!(
            endpoint.control.verdict(),
            Verdict::Down(DownCause::Connect)
        );
    }

    #[test]
    fn three_connect_failures_in_a_row_take_it_out_for_a_second() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(2);
        assert_eq!(endpoint.tick(), None);
        endpoint.fails_to_connect(1);
        assert_eq!(endpoint.tick(), Some(Verdict::Down(DownCause::Connect)));
        assert!(
            !endpoint.control.take_probe(endpoint.now),
            "a probe waits for the backoff"
        );
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        assert!(
            !endpoint.control.take_probe(endpoint.now),
            "one probe at a time"
        );
    }

    #[test]
    fn a_success_between_ends_the_row() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(2);
        endpoint.tick();
        endpoint.shared.on_connect_success();
        endpoint.tick();
        endpoint.fails_to_connect(2);
        assert_eq!(endpoint.tick(), None);
    }

    #[test]
    fn failures_far_apart_are_not_in_a_row() {
        let mut endpoint = Fixture::new();
        for _ in 0..10 {
            endpoint.fails_to_connect(1);
            assert_eq!(endpoint.tick(), None);
            endpoint.wait(Duration::from_secs(11));
        }
    }

    #[test]
    fn a_probe_that_succeeds_brings_it_back_slowly() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(3);
        endpoint.tick();
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        endpoint.control.on_probe(endpoint.now, true);
        let verdict = Verdict::Up {
            slow_start: Some(endpoint.now),
        };
        assert_eq!(endpoint.tick(), Some(verdict));
        assert_eq!(endpoint.shared.verdict(), verdict);
        endpoint.wait(SLOW_START);
        assert_eq!(endpoint.tick(), None, "the end of a slow start is no news");
        assert_eq!(endpoint.shared.verdict(), Verdict::Up { slow_start: None });
    }

    #[test]
    fn one_that_flaps_stays_out_longer_each_time() {
        let mut endpoint = Fixture::new();
        let mut waits = Vec::new();
        for _ in 0..3 {
            endpoint.fails_to_connect(3);
            endpoint.tick();
            let before = endpoint.now;
            endpoint.now = endpoint.control.next_timeout().unwrap();
            waits.push((endpoint.now - before).as_secs());
            assert!(endpoint.control.take_probe(endpoint.now));
            endpoint.control.on_probe(endpoint.now, true);
            endpoint.tick();
        }
        assert_eq!(waits, [1, 2, 4]);
        endpoint.wait(Duration::from_secs(60));
        endpoint.fails_to_connect(3);
        endpoint.tick();
        let next = endpoint.control.next_timeout().unwrap();
        assert_eq!(
            next - endpoint.now,
            Duration::from_secs(1),
            "a quiet minute forgives"
        );
    }

    #[test]
    fn a_probe_that_never_answers_counts_as_failed() {
        let mut endpoint = Fixture::new();
        endpoint.fails_to_connect(3);
        endpoint.tick();
        endpoint.wait(Duration::from_secs(1));
        assert!(endpoint.control.take_probe(endpoint.now));
        endpoint.now = endpoint.control.next_timeout().unwrap();
        endpoint.tick();
        assert!(!endpoint.control.take_probe(endpoint.now));
        endpoint.now = endpoint.control.next_timeout().unwrap();
        assert!(endpoint.control.take_probe(endpoint.now));
    }
}
