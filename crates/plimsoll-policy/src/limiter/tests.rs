//! What the limiter decides on what it reads: fed by services whose throughput at each concurrency is given, and
//! by readings that make no sense. How it does against noise and in 52 scenarios is the simulator's to show.

use std::time::Duration;

use plimsoll_core::Instant;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{Counts, LIMIT_MIN, LimiterControl, Reading, Reason};

const TICK: Duration = Duration::from_millis(10);
const THETA: Duration = Duration::from_millis(250);

#[test]
fn it_grows_on_the_rising_flank() {
    let mut run = Run::new(20, 1_000);
    run.for_seconds(10, |_| 0.02, u32::MAX);
    assert!(run.saw(Reason::Grow));
    assert_eq!(
        run.limiter.settled_limit(),
        1_000,
        "nothing spoke against it"
    );
}

#[test]
fn it_comes_down_on_the_plateau() {
    // Ten workers, 10,000/s: more in flight only waits longer, and still within the line.
    let mut run = Run::new(20, 1_000);
    run.limiter.limit = 600.0;
    run.limiter.slow_start = false;
    run.for_seconds(60, workers(10, 0.001), u32::MAX);
    assert!(run.saw(Reason::Shrink), "{:?}", run.reasons);
    let limit = run.limiter.settled_limit();
    assert!((9..400).contains(&limit), "{limit}");
}

#[test]
fn it_finds_what_fits_the_objective_and_keeps_the_throughput() {
    for start in [2, 20, 500] {
        // 1,000 requests per second at most, from ten in flight on.
        let mut run = Run::new(start, 1_000);
        run.for_seconds(20, workers(10, 0.01), u32::MAX);
        run.clear();
        run.for_seconds(20, workers(10, 0.01), u32::MAX);
        let rate = run.good as f64 / 20.0;
        assert!(rate > 900.0, "{rate}/s in time from a start of {start}");
        assert!(run.latency() < 0.25, "{} s", run.latency());
    }
}

#[test]
fn a_limit_over_the_line_is_cut_at_once() {
    let mut run = Run::new(20, 1_000);
    run.for_seconds(20, workers(40, 0.02), u32::MAX);
    let before = run.limiter.settled_limit();
    run.clear();
    // Three quarters of the workers are gone.
    run.for_seconds(5, workers(4, 0.02), u32::MAX);
    assert!(run.saw(Reason::OverTheLine), "{:?}", run.reasons);
    let after = run.limiter.settled_limit();
    assert!(
        f64::from(after) < 0.7 * f64::from(before),
        "{before} to {after}"
    );
    run.clear();
    run.for_seconds(10, workers(4, 0.02), u32::MAX);
    assert!(run.latency() < 0.25, "{} s", run.latency());
}

#[test]
fn a_cut_that_is_proven_wrong_is_undone() {
    let mut run = Run::new(20, 200);
    run.for_seconds(30, |_| 0.05, u32::MAX);
    let before = run.limiter.settled_limit();
    run.clear();
    // A dependency became slow: everything takes longer, however many are in flight.
    run.for_seconds(60, |_| 0.2, u32::MAX);
    assert!(run.saw(Reason::NotOurs), "{:?}", run.reasons);
    // At once, and not by growing again.
    let undone = run.reasons.iter().position(|it| *it == Reason::NotOurs);
    let undone = run.settled[undone.unwrap()];
    assert!(10 * undone >= 9 * before, "{before} to {undone}");
    let after = run.limiter.settled_limit();
    assert!(4 * after > 3 * before, "{before} to {after}");
}

#[test]
fn at_two_it_still_learns_whether_a_third_helps() {
    // One worker, and half of the objective is used up by one call: two is right.
    let mut run = Run::new(2, 1_000);
    run.for_seconds(120, workers(1, 0.12), u32::MAX);
    let seen: std::collections::BTreeSet<u32> = run.limits.iter().copied().collect();
    assert_eq!(Vec::from_iter(seen), [2, 3]);
}

#[test]
fn without_data_nothing_is_decided() {
    let mut limiter = LimiterControl::new(20, 1_000);
    let mut now = Instant::from_nanos(1);
    for _ in 0..360_000 {
        now += TICK;
        assert!(!limiter.tick(now, &idle()));
    }
    assert_eq!((limiter.limit(), limiter.reason()), (20, Reason::Start));
}

#[test]
fn a_limit_that_does_not_bind_holds_for_ever() {
    let mut run = Run::new(20, 1_000);
    run.for_seconds(20, workers(40, 0.01), u32::MAX);
    let before = run.limiter.settled_limit();
    run.clear();
    for _ in 0..12 {
        run.for_seconds(300, workers(40, 0.01), 3);
        assert_eq!(run.limiter.settled_limit(), before);
    }
    // Nor does the dither go on, after the first window.
    assert_eq!(run.limits.last(), Some(&before));
}

#[test]
fn where_nothing_comes_back_the_limit_halves_down_to_the_smallest() {
    let mut run = Run::new(64, 1_000);
    run.for_seconds(1, |_| 0.05, 64);
    let mut halves = vec![run.limiter.settled_limit()];
    for _ in 0..3_000 {
        run.now += TICK;
        let limit = run.limiter.limit();
        // What hangs stays in flight; what the limit allows is tried anew.
        let reading = Reading {
            counts: run.counts,
            in_flight: limit,
            full: true,
            theta: THETA,
        };
        let _moved = run.limiter.tick(run.now, &reading);
        if run.limiter.settled_limit() != halves[halves.len() - 1] {
            halves.push(run.limiter.settled_limit());
            assert_eq!(run.limiter.reason(), Reason::Stall);
        }
    }
    for pair in halves.windows(2) {
        assert!(pair[1] == (pair[0] / 2).max(2) || pair[1] == pair[0].div_ceil(2));
    }
    assert_eq!(halves.last(), Some(&2));
    assert!(halves.len() >= 5, "{halves:?}");
}

#[test]
fn the_first_burst_after_a_quiet_time_is_no_stall() {
    let mut limiter = LimiterControl::new(20, 1_000);
    let mut now = Instant::from_nanos(1);
    let mut tick = |in_flight, times: u32| {
        for _ in 0..times {
            now += TICK;
            let reading = Reading {
                in_flight,
                full: in_flight >= 20,
                ..idle()
            };
            let _moved = limiter.tick(now, &reading);
        }
        limiter.settled_limit()
    };
    assert_eq!(tick(0, 1_000), 20);
    assert_eq!(tick(20, 20), 20, "they may yet be answered");
    assert!(tick(20, 200) < 20, "none was");
}

#[test]
fn after_a_stall_it_comes_back() {
    let mut run = Run::new(20, 1_000);
    run.for_seconds(20, workers(40, 0.02), u32::MAX);
    let before = run.good;
    run.for_seconds(20, |_| 1e9, u32::MAX);
    assert!(run.limiter.settled_limit() <= 4);
    run.for_seconds(15, workers(40, 0.02), u32::MAX);
    run.clear();
    run.for_seconds(20, workers(40, 0.02), u32::MAX);
    assert!(10 * run.good > 9 * before, "{} after {before}", run.good);
}

#[test]
fn quick_failures_with_permits_to_spare_are_not_for_the_limit_to_mend() {
    let mut limiter = LimiterControl::new(20, 1_000);
    let mut now = Instant::from_nanos(1);
    let mut reading = idle();
    for _ in 0..3_000 {
        now += TICK;
        reading.counts.completions += 5;
        reading.counts.in_flight_seconds += 0.01;
        reading.in_flight = 1;
        let _moved = limiter.tick(now, &reading);
    }
    assert_eq!(limiter.settled_limit(), 20);
}

#[test]
fn another_maximum_holds_at_once() {
    let mut limiter = LimiterControl::new(500, 1_000);
    limiter.set_max(100);
    assert_eq!((limiter.limit(), limiter.settled_limit()), (100, 100));
    limiter.set_max(0);
    assert_eq!(limiter.limit(), LIMIT_MIN as u32);
}

proptest! {
    /// Whatever is read: the limit is a number within its bounds, and moves with a reason.
    #[test]
    fn it_stays_within_its_bounds_whatever_is_read(
        start in any::<u32>(),
        max in any::<u32>(),
        theta in theta(),
        readings in vec(reading(), 0..200),
    ) {
        let mut limiter = LimiterControl::new(start, max);
        let mut counts = Counts::default();
        let mut now = Instant::from_nanos(1_000_000_000);
        for (at, more, in_flight, full) in readings {
            now = match at {
                Clock::Forward(time) => now + time,
                Clock::Back(time) => {
// As after a restart of what counts.
counts = Counts::default();
Instant::from_nanos(now.as_nanos().saturating_sub(time))
}
            };
            let before = limiter.limit();
            counts.completions += more.completions;
            counts.good += more.good;
            counts.ok += more.ok;
            counts.timeouts += more.timeouts;
            counts.in_flight_seconds += more.in_flight_seconds;
            counts.answer_seconds += more.answer_seconds;
            let moved = limiter.tick(now, &Reading { counts, in_flight, full, theta });
            prop_assert!(moved || limiter.limit() == before, "it moved and did not say so");
            prop_assert!(limiter.limit.is_finite());
            let bounds = 2..=max.max(2);
            prop_assert!(bounds.contains(&limiter.limit()), "{}", limiter.limit());
            prop_assert!(bounds.contains(&limiter.settled_limit()));
        }
    }

    /// Liveness: after any readings, a service that answers gets more than the smallest limit again.
    #[test]
    fn no_history_holds_it_down_for_ever(readings in vec(reading(), 0..100)) {
        let mut run = Run::new(20, 1_000);
        for (at, more, in_flight, full) in readings {
            if let Clock::Forward(time) = at {
                run.now += time.min(Duration::from_secs(60));
            }
            run.counts.completions += more.completions % 1_000;
            run.counts.good += more.good % 1_000;
            run.counts.ok += more.ok % 1_000;
            run.counts.timeouts += more.timeouts % 1_000;
            run.counts.in_flight_seconds += more.in_flight_seconds.clamp(0.0, 1e3);
            let reading = Reading { counts: run.counts, in_flight, full, theta: THETA };
            let _moved = run.limiter.tick(run.now, &reading);
        }
        run.for_seconds(120, |_| 0.02, u32::MAX);
        prop_assert!(run.limiter.settled_limit() > 100, "{}", run.limiter.settled_limit());
    }
}

#[derive(Clone, Copy, Debug)]
enum Clock {
    Forward(Duration),
    Back(u64),
}

fn reading() -> impl Strategy<Value = (Clock, Counts, u32, bool)> {
    let clock = prop_oneof![
        8 => (0_u64..100).prop_map(|it| Clock::Forward(Duration::from_millis(it))),
        1 => (0_u64..100_000).prop_map(|it| Clock::Forward(Duration::from_secs(it))),
        1 => any::<u64>().prop_map(Clock::Back),
    ];
    // A thousand years of a million calls per second are fewer than 2^55.
    let count = || prop_oneof![4 => 0_u64..100, 1 => Just(0), 1 => 0_u64..1 << 47];
    let seconds = prop_oneof![
        6 => 0.0..10.0_f64,
        1 => Just(0.0),
        1 => -1e6..1e300_f64,
        1 => Just(f64::INFINITY),
    ];
    let counts = (count(), count(), count(), count(), seconds).prop_map(
        |(completions, good, ok, timeouts, in_flight_seconds)| Counts {
            completions,
            good,
            ok,
            timeouts,
            in_flight_seconds,
            answer_seconds: in_flight_seconds,
        },
    );
    let in_flight = prop_oneof![4 => 0_u32..100, 1 => any::<u32>()];
    (clock, counts, in_flight, any::<bool>())
}

/// From a millisecond, the least that the control half asks for, to a day.
fn theta() -> impl Strategy<Value = Duration> {
    (1_u64..86_400_000).prop_map(Duration::from_millis)
}

fn idle() -> Reading {
    Reading {
        counts: Counts::default(),
        in_flight: 0,
        full: false,
        theta: THETA,
    }
}

/// The latency at a concurrency, in seconds, of so many workers.
fn workers(count: u32, service: f64) -> impl Fn(f64) -> f64 {
    move |in_flight| service * (in_flight / f64::from(count)).max(1.0)
}

/// A limiter before a service without noise.
struct Run {
    limiter: LimiterControl,
    now: Instant,
    counts: Counts,
    /// Calls that are not yet whole.
    part: f64,
    limits: Vec<u32>,
    /// Without dither, in step with the reasons.
    settled: Vec<u32>,
    reasons: Vec<Reason>,
    good: u64,
    base: Counts,
}

impl Run {
    fn new(start: u32, max: u32) -> Self {
        Self {
            limiter: LimiterControl::new(start, max),
            now: Instant::from_nanos(1_000_000_000),
            counts: Counts::default(),
            part: 0.0,
            limits: Vec::new(),
            settled: Vec::new(),
            reasons: Vec::new(),
            good: 0,
            base: Counts::default(),
        }
    }

    /// `latency` is that of the service at a concurrency; `demand` is how many would be in flight at most.
    fn for_seconds(&mut self, seconds: u64, latency: impl Fn(f64) -> f64, demand: u32) {
        for _ in 0..seconds * 100 {
            self.now += TICK;
            let in_flight = self.limiter.limit().min(demand);
            let took = latency(f64::from(in_flight));
            self.part += f64::from(in_flight) / took * TICK.as_secs_f64();
            let whole = self.part as u64;
            self.part -= whole as f64;
            self.counts.completions += whole;
            self.counts.ok += whole;
            if took <= THETA.as_secs_f64() {
                self.counts.good += whole;
                self.good += whole;
            }
            self.counts.in_flight_seconds += f64::from(in_flight) * TICK.as_secs_f64();
            self.counts.answer_seconds += whole as f64 * took;
            let reading = Reading {
                counts: self.counts,
                in_flight,
                full: demand >= self.limiter.limit(),
                theta: THETA,
            };
            if self.limiter.tick(self.now, &reading) {
                self.reasons.push(self.limiter.reason());
                self.limits.push(self.limiter.limit());
                self.settled.push(self.limiter.settled_limit());
            }
        }
    }

    fn saw(&self, reason: Reason) -> bool {
        self.reasons.contains(&reason)
    }

    /// Mean latency since the last [`Run::clear`], in seconds.
    fn latency(&self) -> f64 {
        let counted = self.counts.since(&self.base);
        counted.in_flight_seconds / counted.completions as f64
    }

    fn clear(&mut self) {
        self.reasons.clear();
        self.limits.clear();
        self.settled.clear();
        self.good = 0;
        self.base = self.counts;
    }
}
