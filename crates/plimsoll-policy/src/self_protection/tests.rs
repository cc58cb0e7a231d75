//! The level: monotone in the readings, steady around thresholds, and it comes back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::SelfLevel::{All, RefuseConnections, ShedSheddable, ShedStandard};
use super::*;

const START: Instant = Instant::from_nanos(1_000_000_000_000);
const TICK: Duration = Duration::from_millis(50);

#[test]
fn memory_raises_the_level_at_once() {
    for (percent, expected) in [
        (79, All),
        (80, ShedSheddable),
        (89, ShedSheddable),
        (90, ShedStandard),
        (95, RefuseConnections),
        (120, RefuseConnections),
    ] {
        check(&memory(percent), expected, Some(SelfCause::Memory));
    }
}

#[test]
fn connections_shed_no_request_and_are_crowded_near_their_bound() {
    let mut run = Run::new();
    for (percent, crowded) in [
        (89, false),
        (90, true),
        (86, true),
        (84, false),
        (100, true),
    ] {
        assert_eq!(run.last(&connections(percent), 50), All);
        assert_eq!(run.shared.is_crowded(), crowded, "{percent} %");
    }
}

#[test]
fn what_is_absent_is_not_judged() {
    check(&SelfReadings::default(), All, None);
    let unbounded = SelfReadings {
        memory: Some(Used {
            used: u64::MAX,
            max: 0,
        }),
        ..SelfReadings::default()
    };
    check(&unbounded, All, None);
    let largest = SelfReadings {
        memory: Some(Used {
            used: u64::MAX,
            max: u64::MAX,
        }),
        ..SelfReadings::default()
    };
    check(&largest, RefuseConnections, Some(SelfCause::Memory));
}

#[test]
fn a_lag_counts_only_once_it_has_lasted() {
    let mut run = Run::new();
    assert_eq!(run.last(&lag(600), 500), All);
    assert_eq!(run.last(&lag(600), 50), ShedStandard);
    assert_eq!(run.control.cause(), Some(SelfCause::Lag));
    for (millis, expected) in [(99, All), (100, ShedSheddable), (250, ShedStandard)] {
        assert_eq!(Run::new().last(&lag(millis), 1_000), expected);
    }
}

#[test]
fn one_pause_is_no_overload() {
    let mut run = Run::new();
    for _ in 0..20 {
        assert_eq!(run.last(&lag(3_000), 100), All);
        assert_eq!(run.last(&lag(10), 50), All);
    }
}

#[test]
fn a_lag_that_swings_between_thresholds_counts_by_the_lower() {
    let mut run = Run::new();
    for _ in 0..20 {
        run.last(&lag(600), 100);
        run.last(&lag(120), 100);
    }
    assert_eq!(run.control.level(), ShedSheddable);
}

#[test]
fn the_level_falls_by_one_step_each_two_seconds_of_calm() {
    let mut run = Run::new();
    run.last(&memory(96), 50);
    assert_eq!(run.last(&memory(50), 1_950), RefuseConnections);
    assert_eq!(run.last(&memory(50), 150), ShedStandard);
    assert_eq!(run.last(&memory(50), 2_050), ShedSheddable);
    assert_eq!(run.last(&memory(50), 2_050), All);
    assert_eq!(run.control.cause(), None);
}

#[test]
fn what_was_calm_for_a_higher_level_does_not_count_for_the_next() {
    let mut run = Run::new();
    run.last(&memory(91), 50);
    assert_eq!(run.last(&memory(84), 2_050), ShedSheddable);
    assert_eq!(run.last(&memory(50), 2_000), ShedSheddable);
    assert_eq!(run.last(&memory(50), 50), All);
}

#[test]
fn a_level_stays_until_readings_are_five_points_below_it() {
    let mut run = Run::new();
    run.last(&memory(91), 50);
    assert_eq!(run.last(&memory(85), 60_000), ShedStandard);
    assert_eq!(run.last(&memory(84), 2_100), ShedSheddable);
    assert_eq!(run.last(&memory(75), 60_000), ShedSheddable);
    assert_eq!(run.last(&memory(74), 2_100), All);
}

#[test]
fn a_reading_that_swings_around_a_threshold_does_not_make_the_level_flap() {
    let mut run = Run::new();
    let mut changes = 0;
    let mut before = All;
    for turn in 0..2_000 {
        let level = run.last(&memory(if turn % 2 == 0 { 81 } else { 60 }), 50);
        changes += u32::from(level != before);
        before = level;
    }
    assert_eq!(changes, 1);
}

#[test]
fn critical_is_never_shed_and_the_rest_in_its_order() {
    for level in SelfLevel::ALL {
        assert!(!level.sheds(Class::Critical));
        assert_eq!(level.sheds(Class::Sheddable), level >= ShedSheddable);
        assert_eq!(level.sheds(Class::Standard), level >= ShedStandard);
        assert_eq!(level.refuses_connections(), level == RefuseConnections);
    }
}

#[test]
fn what_is_published_is_what_was_decided() {
    let mut run = Run::new();
    for percent in [50, 80, 90, 95] {
        let level = run.last(&memory(percent), 50);
        assert_eq!(run.shared.level(), level);
        assert_eq!(run.shared.sheds(Class::Standard), percent >= 90);
    }
}

#[test]
fn a_clock_that_is_set_back_does_not_hold_the_level() {
    let mut run = Run::new();
    run.last(&memory(81), 50);
    run.last(&memory(50), 1_000);
    run.now = Instant::from_nanos(5);
    assert_eq!(run.last(&memory(50), 2_100), All);
}

proptest! {
    /// Safety: higher readings never make a lower level, whatever came before.
    #[test]
    fn higher_readings_never_make_a_lower_level(steps in vec((any_readings(), any_readings(), 1_u64..600), 1..200)) {
        let (mut lower, mut higher) = (Run::new(), Run::new());
        for (one, other, wait) in steps {
            let wait = Duration::from_millis(wait);
            let low = lower.tick(&one, wait);
            let high = higher.tick(&at_least(&one, &other), wait);
            prop_assert!(high >= low, "{high:?} < {low:?}");
        }
    }

    /// Safety: it falls by one step at a time, and never twice within the time of calm.
    #[test]
    fn it_falls_slowly(steps in vec((any_readings(), 1_u64..600), 1..200)) {
        let mut run = Run::new();
        let (mut before, mut fell) = (All, None::<Instant>);
        for (readings, wait) in steps {
            let level = run.tick(&readings, Duration::from_millis(wait));
            if level < before {
                prop_assert_eq!(level, before.lower());
                prop_assert!(fell.is_none_or(|fell| run.now.since(fell) >= CALM_LASTS));
                fell = Some(run.now);
            }
            before = level;
        }
    }

    /// Liveness: whatever it was, with calm readings it takes on everything again.
    #[test]
    fn calm_brings_everything_back(steps in vec((any_readings(), 1_u64..600), 0..50)) {
        let mut run = Run::new();
        for (readings, wait) in steps {
            run.tick(&readings, Duration::from_millis(wait));
        }
        prop_assert_eq!(run.last(&SelfReadings { lag: Some(Duration::ZERO), ..memory(50) }, 6_500), All);
    }
}

/// Mostly calm ones: else the level would hardly ever fall.
fn any_readings() -> impl Strategy<Value = SelfReadings> {
    let any = (60_u64..110, 60_u64..110, 0_u64..700);
    let calm = (0_u64..82, 0_u64..90, 0_u64..90);
    prop_oneof![1 => any, 6 => calm].prop_map(|(bytes, count, late)| SelfReadings {
        memory: memory(bytes).memory,
        connections: connections(count).connections,
        lag: lag(late).lag,
    })
}

fn at_least(one: &SelfReadings, other: &SelfReadings) -> SelfReadings {
    let larger = |one: Option<Used>, other: Option<Used>| one.max_by_used(other);
    SelfReadings {
        memory: larger(one.memory, other.memory),
        connections: larger(one.connections, other.connections),
        lag: one.lag.max(other.lag),
    }
}

trait MaxByUsed {
    fn max_by_used(self, other: Self) -> Self;
}

impl MaxByUsed for Option<Used> {
    fn max_by_used(self, other: Self) -> Self {
        self.into_iter().chain(other).max_by_key(|used| used.used)
    }
}

#[track_caller]
fn check(readings: &SelfReadings, level: SelfLevel, cause: Option<SelfCause>) {
    let mut run = Run::new();
    assert_eq!(run.last(readings, 50), level);
    assert_eq!(run.control.cause(), cause.filter(|_| level != All));
}

struct Run {
    control: SelfControl,
    shared: SelfShared,
    now: Instant,
}

impl Run {
    fn new() -> Self {
        Self {
            control: SelfControl::new(),
            shared: SelfShared::new(),
            now: START,
        }
    }

    fn tick(&mut self, readings: &SelfReadings, wait: Duration) -> SelfLevel {
        self.now += wait;
        self.control.tick(self.now, readings, &self.shared)
    }

    /// The same readings for `millis`; the level after that.
    fn last(&mut self, readings: &SelfReadings, millis: u64) -> SelfLevel {
        let until = self.now + Duration::from_millis(millis);
        while self.now < until {
            self.tick(readings, TICK);
        }
        self.control.level()
    }
}

fn memory(percent: u64) -> SelfReadings {
    SelfReadings {
        memory: Some(Used {
            used: percent * 10,
            max: 1_000,
        }),
        ..SelfReadings::default()
    }
}

fn connections(percent: u64) -> SelfReadings {
    SelfReadings {
        connections: Some(Used {
            used: percent * 10,
            max: 1_000,
        }),
        ..SelfReadings::default()
    }
}

fn lag(millis: u64) -> SelfReadings {
    SelfReadings {
        lag: Some(Duration::from_millis(millis)),
        ..SelfReadings::default()
    }
}
