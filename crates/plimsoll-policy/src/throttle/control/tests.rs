//! Tests of the share, of its division, and of the loop around a service with a capacity.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;

const START: Instant = Instant::from_nanos(1_500_000_000);
const EVEN: [u64; CLASSES] = [0, 100, 0];

#[test]
fn a_service_that_accepts_half_is_not_throttled() {
    assert_eq!(share_of(0, 500, 500), 0.0);
    assert_eq!(share_of(0, 1_000, 0), 0.0);
    assert!(share_of(0, 400, 600) > 0.19);
}

#[test]
fn a_service_that_accepts_nothing_is_probed() {
    assert_eq!(share_of(0, 0, 1_000), 0.9);
    assert_eq!(share_of(900, 0, 100), 0.9);
}

#[test]
fn few_requests_say_nothing() {
    assert_eq!(share_of(0, 0, 19), 0.0);
    assert!(share_of(0, 0, 20) > 0.8);
}

#[test]
fn a_window_without_failures_throttles_nothing() {
    assert_eq!(share_of(900, 1, 0), 0.0);
    assert_eq!(share_of(900, 0, 0), 0.0, "all were throttled: nobody knows");
}

#[test]
fn the_lowest_class_goes_first_and_the_highest_last() {
    let mix = [200, 300, 500];
    assert_shares(divide(0.3, mix, 0.9), [0.0, 0.0, 0.6]);
    assert_shares(divide(0.45, mix, 0.9), [0.0, 0.0, 0.9]);
    assert_shares(divide(0.6, mix, 0.9), [0.0, 0.5, 0.9]);
    assert_shares(divide(0.81, mix, 0.9), [0.45, 0.9, 0.9]);
    assert_shares(divide(0.9, mix, 0.9), [0.9, 0.9, 0.9]);
}

#[test]
fn a_class_that_was_not_seen_goes_before_one_above_it_and_after_one_below_it() {
    assert_shares(divide(0.5, [0, 100, 0], 0.9), [0.0, 0.5, 0.9]);
    assert_shares(divide(0.5, [100, 0, 0], 0.9), [0.5, 0.9, 0.9]);
    assert_shares(divide(0.0, [100, 0, 0], 0.9), [0.0, 0.0, 0.0]);
    assert_shares(divide(0.5, [0, 0, 0], 0.9), [0.0, 0.0, 0.0]);
}

#[test]
fn a_bucket_counts_once_its_second_is_over() {
    let mut throttle = Fixture::new();
    for _ in 0..100 {
        throttle.shared.on_answer(0, Class::Standard, false);
    }
    throttle
        .control
        .tick(START + Duration::from_millis(400), &throttle.shared);
    assert_eq!(throttle.control.share(), 0.0);
    throttle
        .control
        .tick(START + Duration::from_millis(500), &throttle.shared);
    assert_eq!(throttle.control.share(), 0.9);
}

#[test]
fn a_clock_that_jumps_ahead_forgets_and_one_that_goes_back_changes_nothing() {
    let mut throttle = Fixture::new();
    throttle.run(40, EVEN, |_| false);
    assert_eq!(throttle.control.share(), 0.9);
    throttle.control.tick(START, &throttle.shared);
    assert_eq!(throttle.control.share(), 0.9);
    throttle.control.tick(Instant::NEVER, &throttle.shared);
    assert_eq!(throttle.control.share(), 0.0);
    assert!(throttle.shared.admits(Class::Sheddable, 0));
}

#[test]
fn an_overloaded_service_is_sent_about_twice_what_it_accepts() {
    for factor in [3, 10, 18] {
        let mut throttle = Fixture::new();
        let offered = [100, 0, 0].map(|requests| requests * factor);
        throttle.run(60, offered, |sent| sent <= 100);
        let sent = throttle.run(60, offered, |sent| sent <= 100);
        let per_second = sent as f64 / 60.0;
        assert!(
            (185.0..=230.0).contains(&per_second),
            "{factor}: {per_second}"
        );
    }
}

#[test]
fn in_an_overload_the_highest_class_is_the_last_to_suffer() {
    let mut throttle = Fixture::new();
    throttle.run(60, [100, 200, 300], |sent| sent <= 200);
    assert_eq!(throttle.shared.share(Class::Critical), 0.0);
    assert!(throttle.shared.share(Class::Sheddable) > 0.3);
    assert!(throttle.shared.share(Class::Sheddable) >= throttle.shared.share(Class::Standard));
}

#[test]
fn an_outage_is_throttled_in_seconds_and_its_end_within_the_window() {
    let mut throttle = Fixture::new();
    throttle.run(60, EVEN, |_| true);
    assert_eq!(throttle.control.share(), 0.0);
    throttle.run(31, EVEN, |_| false);
    assert_eq!(throttle.control.share(), 0.9);
    // Step by step, so that a service that just recovered is not sent everything at once.
    let mut before = 0.9;
    for _ in 0..31 {
        throttle.run(1, EVEN, |_| true);
        let share = throttle.control.share();
        assert!(
            share <= before + 1e-9 && share >= before - 0.25,
            "{before} -> {share}"
        );
        before = share;
    }
    assert_eq!(throttle.control.share(), 0.0);
}

prop_compose! {
    fn any_counts()(throttled in 0_u64..10_000, accepts in 0_u64..10_000, failures in 0_u64..10_000) -> Counts {
        Counts { throttled, accepts, failures }
    }
}

proptest! {
    /// Safety: always within bounds, whatever the counts and the parameters.
    #[test]
    fn a_share_is_within_its_bounds(
        counts in any_counts(),
        multiplier in any::<f64>(),
        share_max in 0.0..=1.0_f64,
        requests_min in 0_u64..100,
    ) {
        let share_max = Ratio::try_from(share_max).unwrap();
        let parameters = ThrottleParameters { multiplier, share_max, requests_min };
        let odd = share(counts, &parameters);
        prop_assert!((0.0..=share_max.get()).contains(&odd), "{odd}");
        let usual = share(counts, &ThrottleParameters::default());
        prop_assert!((0.0..=0.9).contains(&usual), "{usual}");
    }

    /// More failures, added or in place of accepts, never mean less throttling.
    #[test]
    fn a_share_is_monotone_in_failures(counts in any_counts(), more in 0_u64..1_000) {
        let parameters = ThrottleParameters::default();
        let before = share(counts, &parameters);
        let added = Counts { failures: counts.failures + more, ..counts };
        prop_assert!(share(added, &parameters) >= before);
        let turned = more.min(counts.accepts);
        let replaced = Counts { failures: counts.failures + turned, accepts: counts.accepts - turned, ..counts };
        prop_assert!(share(replaced, &parameters) >= before);
    }

    /// The classes' shares add up to the whole, and a class suffers only once all below it suffer the most.
    #[test]
    fn the_division_is_exact_and_in_order(part in 0.0..=1.0_f64, mix in any::<[u16; CLASSES]>(), share_max in 0.01..=1.0_f64) {
        let mix = mix.map(u64::from);
        let total: u64 = mix.iter().sum();
        prop_assume!(total > 0);
        let whole = part * share_max;
        let shares = divide(whole, mix, share_max);
        let sum: f64 = shares.iter().zip(mix).map(|(share, requests)| share * requests as f64 / total as f64).sum();
        prop_assert!((sum - whole).abs() < 1e-9, "{sum} for {whole}");
        for (class, share) in shares.iter().enumerate() {
            prop_assert!((0.0..=share_max).contains(share));
            if *share > 1e-9 {
                prop_assert!(shares[class + 1..].iter().all(|lower| (lower - share_max).abs() < 1e-9));
            }
        }
    }

    /// Liveness: whatever happened, once all that is sent is accepted, nothing is throttled after the window and the
    /// bucket that was open.
    #[test]
    fn throttling_ends_within_the_window(
        history in vec((any::<bool>(), 1_usize..40, 0_u64..60), 1..6),
        rate in 0_u64..60,
    ) {
        let mut throttle = Fixture::new();
        for (good, seconds, rate) in history {
            throttle.run(seconds, [rate, rate, rate], |_| good);
            for class in Class::ALL {
                prop_assert!((0.0..=0.9).contains(&throttle.shared.share(class)));
            }
        }
        throttle.run(BUCKETS + 1, [rate, rate, rate], |_| true);
        prop_assert_eq!(throttle.control.share(), 0.0);
        for class in Class::ALL {
            prop_assert_eq!(throttle.shared.share(class), 0.0);
        }
    }
}

fn share_of(throttled: u64, accepts: u64, failures: u64) -> f64 {
    let counts = Counts {
        throttled,
        accepts,
        failures,
    };
    share(counts, &ThrottleParameters::default())
}

#[track_caller]
fn assert_shares(shares: [f64; CLASSES], expected: [f64; CLASSES]) {
    let same = shares
        .iter()
        .zip(expected)
        .all(|(share, expected)| (share - expected).abs() < 1e-9);
    assert!(same, "{shares:?} for {expected:?}");
}

struct Fixture {
    shared: ThrottleShared,
    control: ThrottleControl,
    now: Instant,
    random: Xoshiro256PlusPlus,
}

impl Fixture {
    fn new() -> Self {
        let shared = ThrottleShared::new(3);
        Self {
            control: ThrottleControl::new(ThrottleParameters::default(), START, &shared),
            shared,
            now: START,
            random: Xoshiro256PlusPlus::seed_from_u64(7),
        }
    }

    /// Offers requests for so many seconds, critical ones first; the service accepts by how many it was sent in this
    /// second so far. Says how many were sent.
    fn run(
        &mut self,
        seconds: usize,
        offered: [u64; CLASSES],
        accepts: impl Fn(u64) -> bool,
    ) -> u64 {
        let mut sent_in_all = 0;
        for _ in 0..seconds {
            let mut sent = 0;
            for (class, requests) in Class::ALL.into_iter().zip(offered) {
                for request in 0..requests {
                    let thread = (request % 3) as usize;
                    if self.shared.admits(class, self.random.next_u64()) {
                        sent += 1;
                        self.shared.on_answer(thread, class, accepts(sent));
                    } else {
                        self.shared.on_throttled(thread, class);
                    }
                }
            }
            sent_in_all += sent;
            self.now += Duration::from_secs(1);
            self.control.tick(self.now, &self.shared);
        }
        sent_in_all
    }
}
