//! The level against a service that is slower the more it serves, and its invariants for any readings.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PARAMETERS: BrownoutParameters = BrownoutParameters {
    features: 4,
    below: Duration::from_millis(250),
};
const OBJECTIVE: f64 = 0.25;

/// A service with ten workers: 5 ms for a page, and 20 ms for all its optional content. What waits longer than 2 s is
/// given up.
struct Service {
    waiting: f64,
}

impl Service {
    /// The latency of a second of so many requests, with a share of content served.
    fn second(&mut self, requests: f64, served: f64) -> f64 {
        let work = 0.005 + 0.020 * served;
        let capacity = 10.0 / work;
        let use_of_it = requests / capacity;
        self.waiting = (self.waiting + requests - capacity).clamp(0.0, 2.0 * capacity);
        1.5 * work / (1.0 - use_of_it.min(0.95)) + self.waiting / capacity
    }
}

struct Run {
    control: BrownoutControl,
    shared: BrownoutShared,
    service: Service,
    now: Instant,
    latency: f64,
}

impl Run {
    fn new() -> Self {
        Self {
            control: BrownoutControl::new(PARAMETERS, Instant::ORIGIN),
            shared: BrownoutShared::new(),
            service: Service { waiting: 0.0 },
            now: Instant::ORIGIN,
            latency: 0.0,
        }
    }

    fn second(&mut self, requests: f64) {
        let served = 1.0 - self.shared.level() / PARAMETERS.features as f64;
        self.latency = self.service.second(requests, served);
        self.now += INTERVAL;
        let reading = BrownoutReading {
            completions: requests as u64,
            latency: Duration::from_secs_f64(self.latency),
        };
        assert!(self.control.tick(self.now, &reading, &self.shared));
    }

    fn seconds(&mut self, count: usize, requests: f64) {
        for _ in 0..count {
            self.second(requests);
        }
    }

    /// Seconds until nothing is dimmed.
    fn recovery(&mut self, requests: f64) -> usize {
        (1..200)
            .find(|_| {
                self.second(requests);
                self.shared.level() == 0.0
            })
            .expect("it recovers")
    }
}

#[test]
fn a_service_within_its_objective_is_not_dimmed() {
    let mut run = Run::new();
    run.seconds(60, 300.0);
    assert!(run.shared.level() == 0.0 && run.latency < OBJECTIVE);
}

#[test]
fn an_overload_dims_as_much_as_brings_it_back_within_and_no_more() {
    let mut run = Run::new();
    run.seconds(30, 300.0);
    run.seconds(20, 700.0);
    for _ in 0..60 {
        run.second(700.0);
        // 700 requests leave 14.3 ms of work each: 46 % of the content, at full use.
        assert!(run.latency < OBJECTIVE, "{}", run.latency);
        assert!(
            (2.1..2.6).contains(&run.shared.level()),
            "{}",
            run.shared.level()
        );
    }
}

#[test]
fn what_was_dimmed_comes_back_when_the_overload_is_over() {
    let mut run = Run::new();
    run.seconds(60, 700.0);
    assert!(run.recovery(300.0) <= 20);
}

#[test]
fn a_long_hopeless_overload_delays_the_return_no_more_than_a_short_one() {
    let recovery = |seconds| {
        let mut run = Run::new();
        run.seconds(seconds, 3_000.0);
        assert!(run.shared.level() > 3.9, "{}", run.shared.level());
        run.recovery(300.0)
    };
    let (short, long) = (recovery(60), recovery(3_600));
    assert!(long <= short + 1 && long <= 30, "{short} {long}");
}

#[test]
fn without_data_nothing_moves() {
    let mut run = Run::new();
    run.seconds(30, 700.0);
    let level = run.shared.level();
    let few = BrownoutReading {
        completions: COMPLETIONS_MIN - 1,
        latency: Duration::from_secs(9),
    };
    for _ in 0..100 {
        run.now += INTERVAL;
        assert!(!run.control.tick(run.now, &few, &run.shared));
    }
    assert!(level > 0.0 && run.shared.level() == level);
}

#[test]
fn it_moves_once_a_second() {
    let mut run = Run::new();
    let slow = BrownoutReading {
        completions: 100,
        latency: Duration::from_secs(9),
    };
    let ticks = (1..=40_u64).filter(|tick| {
        let now = Instant::from_nanos(tick * 50_000_000);
        run.control.tick(now, &slow, &run.shared)
    });
    assert_eq!(ticks.count(), 2);
}

#[test]
fn a_ceiling_holds_at_once_and_of_zero_ends_it() {
    let mut run = Run::new();
    run.seconds(60, 3_000.0);
    let none = BrownoutReading {
        completions: 0,
        latency: Duration::ZERO,
    };
    for (percent, expected) in [(50, 2.0), (0, 0.0)] {
        run.control.set_ceiling(Ratio::of(percent, 100).unwrap());
        assert!(!run.control.tick(run.now, &none, &run.shared));
        assert_eq!(run.shared.level(), expected);
    }
}

#[test]
fn where_latency_is_not_what_fails_as_much_is_dimmed_as_may_be() {
    let mut run = Run::new();
    run.control.set_ceiling(Ratio::of(3, 4).unwrap());
    run.control.dim_to_ceiling(&run.shared);
    assert_eq!(run.shared.level(), 3.0);
    // From there it goes on by latency, where that is what fails next.
    run.seconds(30, 300.0);
    assert_eq!(run.shared.level(), 0.0);
}

#[test]
fn features_are_dimmed_in_their_order() {
    let mut run = Run::new();
    run.seconds(40, 700.0);
    let level = run.shared.level();
    assert!(level > 2.0 && level < 3.0);
    let dimmed = |feature, user| run.shared.dims(feature, user);
    assert!(dimmed(0, u64::MAX) && dimmed(1, u64::MAX) && dimmed(2, 0));
    assert!(!dimmed(2, u64::MAX) && !dimmed(3, 0) && !dimmed(usize::MAX, 0));
}

proptest! {
    #[test]
    fn whoever_is_dimmed_stays_so_while_the_level_rises(
        user: u64, feature in 0_usize..6, one in 0..6 * FEATURE, other in 0..6 * FEATURE,
    ) {
        let [lower, higher] = [one.min(other), one.max(other)].map(|level| BrownoutShared {
            floor: AtomicU64::new(0),
            level: AtomicU64::new(level),
        });
        prop_assert!(!lower.dims(feature, user) || higher.dims(feature, user));
    }

    #[test]
    fn the_share_of_users_is_the_level_s(users in vec(any::<u64>(), 4_000), share in 0.0..1.0_f64) {
        let shared = BrownoutShared::new();
        shared.level.store((share * FEATURE as f64) as u64, Ordering::Relaxed);
        let dimmed = users.iter().filter(|user| shared.dims(0, **user)).count();
        prop_assert!((dimmed as f64 / 4_000.0 - share).abs() < 0.05);
    }

    #[test]
    fn the_level_stays_within_its_bounds_whatever_is_read(
        readings in vec((0_u64..3, 0_u64..100, any::<Option<u64>>()), 0..100),
        features in 0_usize..2_000, below in any::<u32>(),
    ) {
        let below = Duration::from_nanos(u64::from(below));
        let mut control = BrownoutControl::new(BrownoutParameters { features, below }, Instant::ORIGIN);
        let shared = BrownoutShared::new();
        let mut now = Instant::ORIGIN;
        for (seconds, completions, latency) in readings {
            now += Duration::from_secs(seconds);
            let latency = Duration::from_nanos(latency.unwrap_or_default());
            let before = control.served;
            let _ = control.tick(now, &BrownoutReading { completions, latency }, &shared);
            let step = control.served - before;
            prop_assert!((-STEP_DOWN - 1e-9..=STEP_UP + 1e-9).contains(&step));
            prop_assert!((0.0..=features as f64).contains(&shared.level()));
        }
    }
}

#[test]
fn what_people_dim_is_the_least_that_is_dimmed_and_the_controller_goes_on_by_itself() {
    let mut run = Run::new();
    assert!(run.shared.is_off());
    run.shared.set_floor(2);
    assert!(!run.shared.is_off());
    assert_eq!(run.shared.level(), 2.0);
    assert!(run.shared.dims(1, u64::MAX), "for all");
    assert!(!run.shared.dims(2, 0), "and no more");
    assert_eq!(run.control.level(), 0.0);
    for _ in 0..60 {
        run.second(4_000.0);
    }
    assert!(run.shared.level() > 2.0, "the controller wants more");
    run.shared.set_floor(0);
    assert!((run.shared.level() - run.control.level()).abs() < 1e-6);
}
