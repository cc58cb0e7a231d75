//! The control thread's half of hedging: learns the quantile and publishes the delay.
//!
//! Counts of all threads are added once a second; what was counted before fades, so that the quantile follows a
//! change within half a minute.

use std::time::Duration;

use plimsoll_core::{Instant, Ratio};

use super::counts::{BUCKETS, bound};
use super::{HedgeAfter, HedgeParameters, HedgeShared, SAMPLES_MIN};

/// How often the quantile is taken anew.
const INTERVAL: Duration = Duration::from_secs(1);
/// What is forgotten to 37 % after this long. After a fall in latency, the 99th percentile follows once the old
/// counts are below 1 % of all, which is after 4.6 of these: 28 s; the 95th after 18 s. A rise shows within a second
/// or two.
const FADE: Duration = Duration::from_secs(6);

/// Learns the delay of one service. See the module's docs.
#[derive(Clone, Debug)]
pub struct HedgeControl {
    parameters: HedgeParameters,
    /// When counts were last added.
    last: Instant,
    /// Each thread's counts at that time.
    read: Vec<[u32; BUCKETS]>,
    /// All threads' counts, faded.
    weights: [f64; BUCKETS],
    /// Latencies seen since the start.
    samples: u64,
}

impl HedgeControl {
    /// Beside a shared half; what that counted before does not count.
    pub fn new(parameters: HedgeParameters, now: Instant, shared: &HedgeShared) -> Self {
        let mut control = Self {
            parameters,
            last: now,
            read: vec![[0; BUCKETS]; shared.threads.len()],
            weights: [0.0; BUCKETS],
            samples: 0,
        };
        control.add_counts(shared);
        control.weights = [0.0; BUCKETS];
        control.samples = 0;
        control.publish(shared);
        control
    }

    /// Takes over new parameters with the next tick, as after a reload; what was learned stays.
    pub fn set_parameters(&mut self, parameters: HedgeParameters) {
        self.parameters = parameters;
    }

    /// To be called at least about each second; more often changes nothing.
    pub fn tick(&mut self, now: Instant, shared: &HedgeShared) {
        let elapsed = now.since(self.last);
        if elapsed >= INTERVAL {
            self.last = now;
            self.fade(elapsed);
            self.add_counts(shared);
        }
        self.publish(shared);
    }

    /// Forgets, but never so much that fewer than [`SAMPLES_MIN`] are left to judge by: where requests are few, time
    /// alone must not make the quantile unknown.
    fn fade(&mut self, elapsed: Duration) {
        let total: f64 = self.weights.iter().sum();
        let needed = SAMPLES_MIN as f64;
        if total <= needed {
            return;
        }
        let by_time = libm::exp(-elapsed.as_secs_f64() / FADE.as_secs_f64());
        let keep = by_time.max(needed / total);
        for weight in &mut self.weights {
            *weight *= keep;
        }
    }

    fn add_counts(&mut self, shared: &HedgeShared) {
        for (counts, read) in shared.threads.iter().zip(&mut self.read) {
            for ((count, before), weight) in counts.iter().zip(read).zip(&mut self.weights) {
                let new = count.wrapping_sub(*before);
                *before = count;
                *weight += f64::from(new);
                self.samples = self.samples.saturating_add(new.into());
            }
        }
    }

    fn publish(&self, shared: &HedgeShared) {
        let delay = match self.parameters.after {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Quantile(_) if self.samples < SAMPLES_MIN => None,
            HedgeAfter::Quantile(share) => self.quantile(share),
        };
        shared.publish(delay, self.parameters.in_flight_max);
    }

    /// The latency that this share of the weight is below; in a line within a bucket.
    fn quantile(&self, share: Ratio) -> Option<Duration> {
        let total: f64 = self.weights.iter().sum();
        let mut left = total * share.get();
        let mut last = None;
        for (bucket, weight) in self.weights.iter().enumerate() {
            if *weight > 0.0 {
                let width = bound(bucket + 1) - bound(bucket);
                if left <= *weight {
                    return Some(bound(bucket) + width.mul_f64((left / weight).clamp(0.0, 1.0)));
                }
                // Rounding may leave a little after the last bucket that holds anything.
                last = Some(bound(bucket + 1));
                left -= weight;
            }
        }
        last
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::super::DELAY_MIN;
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn nothing_is_said_before_a_hundred_samples() {
        let mut hedge = Fixture::new(0.95, 2);
        hedge.observe(50, millis(10));
        hedge.observe(49, millis(10));
        hedge.second();
        assert_eq!(hedge.shared.delay(), None);
        hedge.observe(1, millis(10));
        hedge.second();
        hedge.check(10.0, 11.3);
    }

    #[test]
    fn counts_of_all_threads_make_the_quantile() {
        let mut hedge = Fixture::new(0.95, 4);
        // 94 % at 5 ms, 6 % at 80 ms, spread over the threads.
        hedge.observe(940, millis(5));
        hedge.observe(60, millis(80));
        hedge.second();
        hedge.check(73.7, 82.0);
        let mut hedge = Fixture::new(0.9, 4);
        hedge.observe(940, millis(5));
        hedge.observe(60, millis(80));
        hedge.second();
        hedge.check(4.5, 5.7);
    }

    #[test]
    fn a_rise_is_followed_in_seconds_and_a_fall_in_half_a_minute() {
        let mut hedge = Fixture::new(0.95, 2);
        hedge.run(60, 200, millis(10));
        hedge.check(9.0, 11.3);
        hedge.run(2, 200, millis(100));
        hedge.check(100.0, 113.0);
        hedge.run(60, 200, millis(100));
        hedge.run(30, 200, millis(10));
        hedge.check(9.0, 11.3);
    }

    #[test]
    fn a_service_with_few_requests_is_learned_too() {
        let mut hedge = Fixture::new(0.95, 1);
        hedge.run(100, 1, millis(10));
        hedge.check(9.0, 11.3);
        hedge.now += Duration::from_secs(86_400);
        hedge.second();
        hedge.check(9.0, 11.3);
    }

    #[test]
    fn an_idle_day_does_not_make_the_quantile_unknown() {
        let mut hedge = Fixture::new(0.95, 1);
        hedge.run(10, 1_000, millis(10));
        hedge.now += Duration::from_secs(86_400);
        hedge.second();
        hedge.check(9.0, 11.3);
        hedge.observe(4, millis(500));
        hedge.second();
        hedge.check(9.0, 11.3);
    }

    #[test]
    fn a_fast_service_is_not_hedged_below_the_least_delay() {
        let mut hedge = Fixture::new(0.95, 1);
        hedge.run(5, 1_000, Duration::from_micros(80));
        assert_eq!(hedge.shared.delay(), Some(DELAY_MIN));
    }

    #[test]
    fn ticks_within_a_second_add_nothing_yet() {
        let mut hedge = Fixture::new(0.95, 1);
        hedge.observe(1_000, millis(10));
        hedge.now += millis(999);
        hedge.control.tick(hedge.now, &hedge.shared);
        assert_eq!(hedge.shared.delay(), None);
    }

    #[test]
    fn what_was_counted_before_the_control_began_does_not_count() {
        let hedge = Fixture::new(0.95, 1);
        for _ in 0..1_000 {
            hedge.shared.observe(0, millis(10));
        }
        let mut control = HedgeControl::new(hedge.control.parameters, START, &hedge.shared);
        control.tick(START + Duration::from_secs(1), &hedge.shared);
        assert_eq!(hedge.shared.delay(), None);
    }

    #[test]
    fn new_parameters_are_in_force_with_the_next_tick() {
        let mut hedge = Fixture::new(0.95, 1);
        hedge.run(5, 1_000, millis(10));
        let after = HedgeAfter::Time(millis(70));
        let parameters = HedgeParameters {
            after,
            ..HedgeParameters::default()
        };
        hedge.control.set_parameters(parameters);
        hedge.control.tick(hedge.now, &hedge.shared);
        assert_eq!(hedge.shared.delay(), Some(millis(70)));
    }

    #[test]
    fn hedges_that_win_do_not_lower_the_delay() {
        // 1 to 200 ms, each once a second. What takes longer than the delay is cut short by a hedge that answers
        // 10 ms after it, and counts with the time until then. Left out, each round would lower the delay by 5 %.
        let mut hedge = Fixture::new(0.95, 1);
        for _ in 0..300 {
            let cut = hedge
                .shared
                .delay()
                .map_or(Duration::MAX, |delay| delay + millis(10));
            for latency in 1..=200 {
                hedge.observe(1, millis(latency).min(cut));
            }
            hedge.second();
        }
        hedge.check(180.0, 201.0);
    }

    proptest! {
        /// Safety: the delay lies among what was seen (to a bucket), never below the least, and one quantile is
        /// never below a lower one.
        #[test]
        fn a_delay_lies_among_the_latencies(
            latencies in vec(0_u64..200_000_000, 100..300),
            shares in (0.0..=1.0_f64, 0.0..=1.0_f64),
        ) {
            let delay = |share: f64| {
                let mut hedge = Fixture::new(share, 3);
                for (index, micros) in latencies.iter().enumerate() {
                    hedge.shared.observe(index % 3, Duration::from_micros(*micros));
                }
                hedge.second();
                hedge.shared.delay().unwrap()
            };
            let (low, high) = (shares.0.min(shares.1), shares.0.max(shares.1));
            prop_assert!(delay(low) <= delay(high));
            let longest = Duration::from_micros(latencies.iter().copied().max().unwrap_or(0));
            prop_assert!(delay(low) >= DELAY_MIN);
            prop_assert!(delay(high) <= longest.mul_f64(1.13).max(DELAY_MIN));
        }

        /// Liveness: whatever was learned, half a minute of other traffic at the same rate replaces it.
        #[test]
        fn a_change_is_followed_within_half_a_minute(
            before in 1_u64..20_000,
            after in 1_u64..20_000,
            share in 0.5..=0.99_f64,
            rate in 20_usize..200,
        ) {
            let mut hedge = Fixture::new(share, 2);
            hedge.run(40, rate, millis(before));
            hedge.run(30, rate, millis(after));
            let delay = hedge.shared.delay().unwrap().as_secs_f64() * 1e3;
            let expected = after as f64;
            prop_assert!((expected * 0.88..=expected * 1.13).contains(&delay), "{delay} for {expected}");
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    struct Fixture {
        shared: HedgeShared,
        control: HedgeControl,
        now: Instant,
        threads: usize,
    }

    impl Fixture {
        fn new(share: f64, threads: usize) -> Self {
            let after = HedgeAfter::Quantile(Ratio::try_from(share).unwrap());
            let parameters = HedgeParameters {
                after,
                ..HedgeParameters::default()
            };
            let shared = HedgeShared::new(threads, &parameters);
            let control = HedgeControl::new(parameters, START, &shared);
            Self {
                shared,
                control,
                now: START,
                threads,
            }
        }

        fn observe(&self, times: usize, latency: Duration) {
            for time in 0..times {
                self.shared.observe(time % self.threads, latency);
            }
        }

        fn second(&mut self) {
            self.now += Duration::from_secs(1);
            self.control.tick(self.now, &self.shared);
        }

        fn run(&mut self, seconds: usize, rate: usize, latency: Duration) {
            for _ in 0..seconds {
                self.observe(rate, latency);
                self.second();
            }
        }

        #[track_caller]
        fn check(&self, min: f64, max: f64) {
            let delay = self.shared.delay().expect("a delay").as_secs_f64() * 1e3;
            assert!((min..=max).contains(&delay), "{delay} ms");
        }
    }
}
