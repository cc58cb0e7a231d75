//! Single cases: what properties found, or draw too seldom.

use std::time::Duration;

use plimsoll_core::{Class, Mode};

use super::super::{AdmissionParameters, Admitted, Completion, LimiterKind, RefusalReason};
use super::world::{Fate, World};
use super::{fixed, request};

#[test]
fn three_threads_do_not_wake_each_other_in_a_circle() {
    let mut world = World::new(3, fixed(1));
    let _first = world.arrive(0, request(Class::Standard, 9));
    // By share the first tenant goes before the third by more than is worth a wake-up, each neighbour by less; by
    // age each goes before its neighbour.
    let places = world.shared.places(Class::Standard);
    places.charge(2, 1.0, 0.9);
    places.charge(3, 1.0, 1.8);
    for (thread, tenant) in [(2, 3), (1, 2), (0, 1)] {
        let _waits = world.arrive(thread, request(Class::Standard, tenant));
        world.pass(Duration::from_millis(6));
    }
    world.finish(0, Completion::Success);
    world.deliver_all();
    assert_eq!(world.waiting.len(), 2);
}

#[test]
fn tenants_that_share_a_place_take_their_weight_with_them() {
    let mut world = World::new(1, fixed(1));
    let _runs = world.arrive(0, request(Class::Standard, 1));
    for step in 0..12_u8 {
        let mut request = request(Class::Standard, u64::from(step) << 32);
        request.weight = 0.1 * f32::from(step + 1);
        let _waits = world.arrive(0, request);
    }
    for _ in 0..12 {
        world.leave(0);
    }
    world.finish(0, Completion::Success);
    world.check_idle();
}

#[test]
fn a_wake_up_that_comes_too_late_is_passed_on() {
    let mut world = World::new(3, fixed(1));
    let _runs = world.arrive(0, request(Class::Standard, 1));
    let _critical = world.arrive(1, request(Class::Critical, 1));
    let _standard = world.arrive(2, request(Class::Standard, 1));
    world.finish(0, Completion::Success);
    assert_eq!(world.wakes, [1]);
    world.leave(0);
    world.deliver(0);
    assert_eq!(world.wakes, [2]);
    world.deliver(0);
    assert!(world.waiting.is_empty() && world.running.len() == 1);
}

#[test]
fn under_a_lowered_limit_nobody_goes_until_enough_came_back() {
    let mut world = World::new(2, fixed(3));
    for thread in [0, 1, 0] {
        let _runs = world.arrive(thread, request(Class::Standard, 1));
    }
    world.set_limit(1);
    let _waits = world.arrive(1, request(Class::Critical, 1));
    for left in [2, 1] {
        world.finish(0, Completion::Success);
        world.deliver_all();
        assert_eq!((world.running.len(), world.waiting.len()), (left, 1));
    }
    world.finish(0, Completion::Success);
    world.deliver_all();
    assert_eq!((world.running.len(), world.waiting.len()), (1, 0));
}

#[test]
fn under_a_limit_of_zero_requests_wait_until_they_are_too_old() {
    let mut world = World::new(1, fixed(0));
    let _waits = world.arrive(0, request(Class::Critical, 1));
    let expiry = world.locals[0].next_expiry().unwrap();
    assert_eq!(
        expiry - world.now,
        world.shared.objective(),
        "nothing is known of the service"
    );
    world.now = expiry;
    world.expire(0);
    assert!(matches!(
        world.fates[..],
        [(_, Fate::Refused(refusal))] if refusal.reason == RefusalReason::QueueTimeout
    ));
}

#[test]
fn what_is_only_observed_lets_all_in_and_counts_whom_it_would_not() {
    let observed = AdmissionParameters {
        mode: Mode::Observe,
        ..fixed(2)
    };
    let shared = std::sync::Arc::new(super::super::AdmissionShared::new(1, &observed));
    let mut local = super::super::AdmissionLocal::new(shared.clone(), 0, &observed);
    // 2 permits and calls of 100 ms: 20/s.
    shared.published.mean.set(0.1);
    let mut events = Vec::new();
    for _ in 0..50 {
        let now = plimsoll_core::Instant::from_nanos(1);
        let answer = local.arrive(now, &request(Class::Standard, 1), &mut events);
        assert_eq!(answer, Admitted::Go);
    }
    assert_eq!((shared.in_flight(), shared.queued()), (50, 0));
    // The first five of those without a permit would have waited for less than the 250 ms that are assumed.
    assert!((40..=44).contains(&shared.would_refuse(Class::Standard)));
    assert!(events.is_empty());
}

#[test]
fn where_there_is_no_limit_nobody_waits_and_all_is_counted() {
    let mut world = World::new(
        1,
        AdmissionParameters {
            limiter: LimiterKind::Off,
            ..AdmissionParameters::default()
        },
    );
    for _ in 0..5_000 {
        assert_eq!(world.arrive(0, request(Class::Sheddable, 1)), Admitted::Go);
    }
    assert_eq!(world.shared.limit(), None);
    for _ in 0..5_000 {
        world.finish(0, Completion::Failed);
    }
    world.check_idle();
}

#[test]
fn a_full_queue_makes_place_for_a_higher_class() {
    let mut world = World::new(
        1,
        AdmissionParameters {
            requests_max: 10,
            ..fixed(1)
        },
    );
    let _runs = world.arrive(0, request(Class::Sheddable, 1));
    for class in [Class::Sheddable, Class::Standard, Class::Critical] {
        for _ in 0..20 {
            let answer = world.arrive(0, request(class, 1));
            assert!(matches!(answer, Admitted::Wait(_)), "{answer:?}");
        }
    }
    assert_eq!(world.shared.queued_of(Class::Critical), 10);
    for class in [Class::Sheddable, Class::Standard] {
        let answer = world.arrive(0, request(class, 2));
        let Admitted::Refuse(refusal) = answer else {
            panic!("{answer:?}");
        };
        assert_eq!(refusal.reason, RefusalReason::QueueFull);
    }
}

#[test]
fn places_are_left_for_a_higher_class_where_the_queue_of_another_thread_is_full() {
    let mut world = World::new(
        2,
        AdmissionParameters {
            requests_max: 10,
            ..fixed(1)
        },
    );
    for _ in 0..20 {
        let _answer = world.arrive(0, request(Class::Sheddable, 1));
    }
    assert!(matches!(
        world.arrive(1, request(Class::Critical, 2)),
        Admitted::Wait(_)
    ));
}

#[test]
fn a_request_that_cannot_make_its_deadline_is_refused_at_once() {
    let mut world = World::new(1, fixed(1));
    // The service as a whole is slow, by another group's calls; of this one the quickest tenth take 20 ms.
    world.shared.set_quantiles(0.1, 0.2);
    world.shared.set_quick(0, 0.02);
    let _runs = world.arrive(0, request(Class::Critical, 1));
    let mut late = request(Class::Critical, 1);
    late.time_left = Duration::from_millis(19);
    assert!(matches!(
        world.arrive(0, late),
        Admitted::Refuse(refusal) if refusal.reason == RefusalReason::Deadline
    ));
    late.time_left = Duration::from_millis(21);
    assert!(matches!(world.arrive(0, late), Admitted::Wait(_)));
}
