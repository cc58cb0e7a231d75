//! Peak-EWMA: a latency estimate that rises at once and falls slowly; beside it, the share of failures.

use std::time::Duration;

use plimsoll_core::Instant;

/// What is forgotten to 37 % after this long without a sample.
const DECAY: Duration = Duration::from_secs(2);
/// The same for the share of failures: what fails costs more to try than what is slow.
const FAILING_DECAY: Duration = Duration::from_secs(10);
/// Before anything was measured, in seconds.
const LATENCY_FIRST: f64 = 0.001;
/// The least that is reckoned with, in seconds: below it, only requests in flight tell endpoints apart.
const LATENCY_MIN: f64 = 0.000_05;
/// What a failed attempt counts as, and the longest that one counts as: what is worse is not avoided for longer.
const FAILURE: Duration = Duration::from_secs(1);
/// How much one outcome moves the share of failures: a single failure among many costs an eighth of the draws
/// for a moment, eight in a row most of them.
const FAILING_GAIN: f64 = 1.0 / 8.0;
/// How much one sample moves the service's typical latency.
const TYPICAL_GAIN: f64 = 1.0 / 32.0;

#[derive(Clone, Copy, Debug)]
struct Sample {
    seconds: f64,
    at: Instant,
}

/// A share of failures that fades while there is no outcome, as the latency does.
#[derive(Clone, Copy, Debug)]
struct Failing {
    share: f64,
    at: Instant,
}

impl Failing {
    const NONE: Self = Self {
        share: 0.0,
        at: Instant::ORIGIN,
    };

    fn at(self, now: Instant) -> f64 {
        if self.share == 0.0 {
            return 0.0;
        }
        self.share * decay(now.since(self.at), FAILING_DECAY)
    }
}

/// The estimates of one service's endpoints on one thread.
#[derive(Clone, Debug)]
pub(super) struct Latency {
    samples: Vec<Option<Sample>>,
    failing: Vec<Failing>,
    typical: f64,
}

impl Latency {
    pub(super) fn new(endpoints: usize) -> Self {
        Self {
            samples: vec![None; endpoints],
            failing: vec![Failing::NONE; endpoints],
            typical: LATENCY_FIRST,
        }
    }

    /// An answer.
    pub(super) fn on_response(&mut self, index: usize, latency: Duration, now: Instant) {
        self.typical += (latency.as_secs_f64() - self.typical) * TYPICAL_GAIN;
        self.observe(index, latency.min(FAILURE), now);
        self.move_failing(index, 0.0, now);
    }

    /// A failure: no quick answer, however quick it was.
    pub(super) fn on_failure(&mut self, index: usize, now: Instant) {
        self.observe(index, FAILURE, now);
        self.move_failing(index, 1.0, now);
    }

    /// The share of failures among the last outcomes.
    pub(super) fn failing(&self, index: usize, now: Instant) -> f64 {
        self.failing.get(index).map_or(0.0, |it| it.at(now))
    }

    fn move_failing(&mut self, index: usize, towards: f64, now: Instant) {
        if let Some(failing) = self.failing.get_mut(index) {
            let share = failing.at(now);
            let share = share + (towards - share) * FAILING_GAIN;
            // Below a thousandth it is none: then a choice need not look at the clock for it.
            let share = if share < 0.001 { 0.0 } else { share };
            *failing = Failing { share, at: now };
        }
    }

    /// A sample above the estimate becomes the estimate; one below pulls it down by the time that passed.
    fn observe(&mut self, index: usize, latency: Duration, now: Instant) {
        let seconds = latency.as_secs_f64();
        let Some(slot) = self.samples.get_mut(index) else {
            return;
        };
        let estimate = match *slot {
            Some(before) if seconds < before.seconds => {
                let keep = decay(now.since(before.at), DECAY);
                before.seconds * keep + seconds * (1.0 - keep)
            }
            _ => seconds,
        };
        *slot = Some(Sample {
            seconds: estimate,
            at: now,
        });
    }

    /// The estimate in seconds. One that was never measured counts as half of what is typical, so that it gets
    /// traffic, but at most about twice its share. An estimate fades to that while there is no sample, so that an
    /// endpoint that was slow once is tried again; no further, or one that answers nothing would look the fastest.
    pub(super) fn at(&self, index: usize, now: Instant) -> f64 {
        let unknown = self.typical / 2.0;
        let estimate = match self.samples.get(index) {
            Some(Some(sample)) => {
                let faded = sample.seconds * decay(now.since(sample.at), DECAY);
                faded.max(unknown.min(sample.seconds))
            }
            _ => unknown,
        };
        estimate.max(LATENCY_MIN)
    }
}

/// What is left after `elapsed`. From a pinned library: the choice must be the same on every platform.
fn decay(elapsed: Duration, time: Duration) -> f64 {
    libm::exp(-elapsed.as_secs_f64() / time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_peak_counts_at_once_and_fades() {
        let mut latency = Latency::new(1);
        latency.observe(0, millis(10), START);
        latency.observe(0, millis(500), START + millis(1));
        assert!((latency.at(0, START + millis(1)) - 0.5).abs() < 1e-9);
        latency.observe(0, millis(10), START + millis(2));
        assert!(
            latency.at(0, START + millis(2)) > 0.49,
            "one quick answer does not erase a peak"
        );
        let later = START + DECAY * 3;
        assert!(
            latency.at(0, later) < 0.03,
            "an endpoint that is not asked is tried again"
        );
    }

    #[test]
    fn quick_samples_pull_a_peak_down_by_the_time_that_passed() {
        let mut latency = Latency::new(1);
        latency.observe(0, millis(1_000), START);
        latency.observe(0, millis(10), START + DECAY);
        let expected = 1.0 * (-1.0_f64).exp() + 0.01 * (1.0 - (-1.0_f64).exp());
        assert!((latency.at(0, START + DECAY) - expected).abs() < 1e-9);
    }

    #[test]
    fn failures_count_for_a_while_and_do_not_change_what_is_typical() {
        let mut latency = Latency::new(1);
        let typical = latency.typical;
        for _ in 0..20 {
            latency.on_failure(0, START);
        }
        assert!(latency.failing(0, START) > 0.9);
        assert!(latency.failing(0, START + FAILING_DECAY) < 0.4);
        assert_eq!(latency.typical, typical);
        for _ in 0..60 {
            latency.on_response(0, millis(10), START);
        }
        assert_eq!(latency.failing(0, START), 0.0);
    }

    #[test]
    fn an_unknown_endpoint_counts_as_half_of_what_is_typical() {
        let mut latency = Latency::new(2);
        for step in 0..1_000 {
            latency.on_response(0, millis(40), START + millis(step));
        }
        let unknown = latency.at(1, START);
        assert!((0.019..0.021).contains(&unknown), "{unknown}");
    }
}
