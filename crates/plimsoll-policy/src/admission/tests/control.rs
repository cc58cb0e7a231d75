//! The control half: the objective that is assumed, and what is kept over a restart.

use std::time::Duration;

use plimsoll_core::{Class, Instant};

use super::super::{
    AdmissionControl, AdmissionMemory, AdmissionParameters, AdmissionShared, Admitted, Arriving,
    Completion, LimiterKind, QueueWait, RefusalReason,
};
use super::request;
use super::world::World;

const START: Instant = Instant::from_nanos(1_000_000_000);

#[test]
fn without_an_objective_a_quarter_second_is_assumed_until_the_service_is_known() {
    let world = World::new(1, AdmissionParameters::default());
    assert!(world.control.assumes_objective());
    assert_eq!(world.shared.objective(), Duration::from_millis(250));
}

#[test]
fn an_objective_that_is_declared_holds_whatever_is_measured() {
    let mut world = World::new(
        1,
        AdmissionParameters {
            objective: Some(Duration::from_millis(80)),
            ..AdmissionParameters::default()
        },
    );
    serve(&mut world, Duration::from_millis(60), 30);
    assert!(!world.control.assumes_objective());
    assert_eq!(world.shared.objective(), Duration::from_millis(80));
}

#[test]
fn the_assumed_objective_is_eight_medians_within_its_bounds() {
    // Service time, deadline, objective.
    for (service, deadline, expected) in [(20, 30_000, 160), (1, 30_000, 50), (200, 1_000, 500)] {
        let mut world = World::new(
            1,
            AdmissionParameters {
                deadline: Duration::from_millis(deadline),
                ..AdmissionParameters::default()
            },
        );
        serve(&mut world, Duration::from_millis(service), 60);
        let objective = world.shared.objective().as_secs_f64() * 1_000.0;
        let off = (objective / f64::from(expected) - 1.0).abs();
        // It follows only where it is off by more than a quarter.
        assert!(off <= 0.26, "{objective} ms for calls of {service} ms");
        let kept = world.control.memory(&world.shared);
        let median = kept.median_unbound * 1_000.0 / service as f64;
        assert!((0.8..1.25).contains(&median), "{median} of {service} ms");
    }
}

#[test]
fn windows_in_which_the_limit_binds_say_nothing_of_the_objective() {
    let mut world = World::new(
        1,
        AdmissionParameters {
            limiter: LimiterKind::Fixed(1),
            ..AdmissionParameters::default()
        },
    );
    for _ in 0..200 {
        let _goes = world.arrive(0, request(Class::Standard, 1));
        let _waits = world.arrive(0, request(Class::Standard, 1));
        world.pass(Duration::from_millis(20));
        world.tick();
        while !world.running.is_empty() {
            world.finish(0, Completion::Success);
        }
    }
    assert_eq!(world.control.memory(&world.shared).median_unbound, 0.0);
    assert_eq!(world.shared.objective(), Duration::from_millis(250));
}

#[test]
fn what_was_kept_holds_from_the_first_request_on() {
    let parameters = AdmissionParameters::default();
    let kept = AdmissionMemory {
        limit: 137,
        median_unbound: 0.04,
        quantiles: (0.03, 0.09),
    };
    let shared = AdmissionShared::new(1, &parameters);
    let control = AdmissionControl::new(&parameters, Some(&kept), START);
    control.begin(Some(&kept), &shared);
    assert_eq!(shared.limit(), Some(137));
    assert_eq!(shared.objective(), Duration::from_millis(320));
    assert_eq!(shared.median(), Some(Duration::from_millis(30)));
    assert_eq!(control.memory(&shared), kept, "it is kept as it was");
}

#[test]
fn calls_that_hang_at_a_silent_endpoint_leave_their_permits_to_others() {
    for (limiter, during) in [
        (LimiterKind::Adaptive, [25, 40]),
        (LimiterKind::Fixed(20), [20; 2]),
    ] {
        let parameters = AdmissionParameters {
            limiter,
            ..AdmissionParameters::default()
        };
        let shared = AdmissionShared::new(1, &parameters);
        let mut control = AdmissionControl::new(&parameters, None, START);
        control.begin(None, &shared);
        let mut now = START;
        let mut after = |parked| {
            control.park(parked);
            now += Duration::from_millis(10);
            let _change = control.tick(now, &shared);
            shared.limit()
        };
        assert_eq!(after(5), Some(during[0]));
        assert_eq!(after(500), Some(during[1]), "at most as many again");
        assert_eq!(after(0), Some(20));
    }
}

#[test]
fn how_quick_a_group_is_is_forgotten_where_nothing_of_it_comes_back_or_its_routes_change() {
    let slow = |group| Arriving {
        group,
        time_left: Duration::from_secs(2),
        ..request(Class::Standard, 1)
    };
    let mut world = World::new(1, AdmissionParameters::default());
    let answers = |world: &mut World, group: u8, times: u32, took| {
        for _ in 0..times {
            let _goes = world.arrive(
                0,
                Arriving {
                    time_left: Duration::from_secs(60),
                    ..slow(group)
                },
            );
            world.pass(took);
            world.finish(0, Completion::Success);
            world.tick();
        }
    };
    let is_refused = |world: &mut World| {
        let admitted = world.arrive(0, slow(3));
        if admitted == Admitted::Go {
            world.finish(0, Completion::Cancelled);
        }
        matches!(admitted, Admitted::Refuse(refusal) if refusal.reason == RefusalReason::Deadline)
    };
    let ms = Duration::from_millis;
    answers(&mut world, 3, 1, ms(5_000));
    answers(&mut world, 0, 100, ms(10));
    assert!(is_refused(&mut world), "its calls take 5 s, and 2 are left");
    answers(&mut world, 0, 600, ms(10));
    assert!(!is_refused(&mut world), "who knows whether they still do");

    answers(&mut world, 3, 1, ms(5_000));
    answers(&mut world, 0, 100, ms(10));
    assert!(is_refused(&mut world));
    let other_routes = AdmissionParameters {
        groups: 7,
        ..AdmissionParameters::default()
    };
    world.control.set_parameters(&other_routes, &world.shared);
    assert!(!is_refused(&mut world), "the group is another one");
}

#[test]
fn what_hung_once_is_not_taken_off_what_is_in_flight_later() {
    let parameters = AdmissionParameters {
        objective: Some(Duration::from_millis(100)),
        ..AdmissionParameters::default()
    };
    let mut world = World::new(1, parameters);
    // A night in which calls hang at a silent endpoint, with nothing else to do.
    world.control.park(10);
    for _ in 0..1_000 {
        world.pass(Duration::from_secs(1));
        world.tick();
    }
    world.control.park(0);
    world.tick();
    // Then more than can be answered in time: 20 calls that take 300 ms.
    for _ in 0..10 {
        while world.arrive(0, request(Class::Standard, 1)) == Admitted::Go {}
        for _ in 0..30 {
            world.pass(Duration::from_millis(10));
            world.tick();
        }
        while !world.running.is_empty() {
            world.finish(0, Completion::Success);
        }
    }
    let limit = world.shared.limit().unwrap();
    assert!(limit < 15, "{limit}: it is seen");
}

#[test]
fn what_was_kept_is_held_within_the_bounds_that_are_set_now() {
    let parameters = AdmissionParameters {
        limit_max: 50,
        deadline: Duration::from_secs(2),
        ..AdmissionParameters::default()
    };
    for (limit, median_unbound, expected) in [(u32::MAX, 1e12, 50), (0, 0.0, 2)] {
        let kept = AdmissionMemory {
            limit,
            median_unbound,
            quantiles: (0.0, 0.0),
        };
        let shared = AdmissionShared::new(1, &parameters);
        AdmissionControl::new(&parameters, Some(&kept), START).begin(Some(&kept), &shared);
        assert_eq!(shared.limit(), Some(expected));
        assert!(shared.objective() <= Duration::from_secs(1));
    }
}

#[test]
fn a_reload_holds_at_once() {
    let mut world = World::new(1, AdmissionParameters::default());
    let set = |world: &mut World, parameters: AdmissionParameters| {
        world.control.set_parameters(&parameters, &world.shared);
        world.shared.limit()
    };
    let fixed = AdmissionParameters {
        limiter: LimiterKind::Fixed(7),
        objective: Some(Duration::from_millis(90)),
        wait: QueueWait::Fixed(Duration::ZERO),
        ..AdmissionParameters::default()
    };
    assert_eq!(set(&mut world, fixed), Some(7));
    assert_eq!(world.shared.objective(), Duration::from_millis(90));
    let off = AdmissionParameters {
        limiter: LimiterKind::Off,
        ..AdmissionParameters::default()
    };
    assert_eq!(set(&mut world, off), None);
    let adaptive = AdmissionParameters {
        limit_max: 5,
        ..AdmissionParameters::default()
    };
    assert_eq!(set(&mut world, adaptive), Some(5));
}

#[test]
fn a_clock_that_stands_or_goes_back_changes_nothing() {
    let mut world = World::new(1, AdmissionParameters::default());
    serve(&mut world, Duration::from_millis(20), 5);
    let before = (world.shared.limit(), world.shared.objective());
    for back in [0, 1, 1_000_000_000] {
        let now = Instant::from_nanos(world.now.as_nanos() - back);
        assert!(world.control.tick(now, &world.shared).is_none());
    }
    assert_eq!((world.shared.limit(), world.shared.objective()), before);
}

/// Two calls at a time for so many seconds: far below the limit.
fn serve(world: &mut World, service: Duration, seconds: u64) {
    let end = world.now + Duration::from_secs(seconds);
    while world.now < end {
        for _ in 0..2 {
            let _goes = world.arrive(0, request(Class::Standard, 1));
        }
        // The control half ticks while they run.
        for _ in 0..4 {
            world.pass(service / 4);
            world.tick();
        }
        while !world.running.is_empty() {
            world.finish(0, Completion::Success);
        }
    }
}
