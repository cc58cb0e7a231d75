//! Safety and liveness over drawn events; [`World`] checks the invariants after each.

use std::time::Duration;

use plimsoll_core::Class;
use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{AdmissionParameters, Arriving, Completion, LimiterKind, QueueWait};
use super::world::World;

#[derive(Clone, Debug)]
enum Event {
    Arrive(usize, Arriving),
    Finish(usize, Completion),
    Rest(usize),
    Lend(usize),
    TakeAgain(usize),
    Leave(usize),
    Deliver(usize),
    Dispatch(usize),
    Expire(usize),
    Pass(Duration),
    Tick,
    SetLimit(u32),
}

proptest! {
    /// Safety at every step, then liveness: once calls end and wake-ups come through, nobody is left waiting.
    #[test]
    fn no_order_of_events_breaks_the_counts_or_leaves_one_waiting(
        threads in 1_usize..5,
        parameters in parameters(),
        events in vec(event(), 0..150),
    ) {
        let mut world = World::new(threads, parameters);
        for event in events {
            apply(&mut world, event);
        }
        if world.shared.limit() == Some(0) {
            world.set_limit(1);
        }
        world.deliver_all();
        while !world.running.is_empty() {
            world.finish(0, Completion::Success);
            world.deliver_all();
        }
        prop_assert!(world.waiting.is_empty(), "{:?}", world.waiting);
        world.check_idle();
    }

    /// A timer that is set for `next_expiry` has something to do, and so never spins.
    #[test]
    fn a_timer_for_the_next_expiry_makes_progress(
        arrivals in vec((request(), 0_u64..20_000), 1..40),
    ) {
        let mut world = World::new(1, super::fixed(1));
        for (request, gap) in arrivals {
            let _answer = world.arrive(0, request);
            world.pass(Duration::from_micros(gap));
        }
        while let Some(at) = world.locals[0].next_expiry() {
            world.now = world.now.max(at);
            let before = world.waiting.len();
            world.expire(0);
            prop_assert!(world.waiting.len() < before, "nothing expired at {at:?}");
        }
        prop_assert!(world.waiting.is_empty());
    }

    /// The control half drives the limit itself: it stays within its bounds, and the model's counts hold.
    #[test]
    fn an_adaptive_limit_stays_within_its_bounds(
        threads in 1_usize..4,
        limit_max in 0_u32..60,
        start in 0_u32..100,
        events in vec(event(), 0..150),
    ) {
        let parameters = AdmissionParameters { limit_max, start, ..AdmissionParameters::default() };
        let mut world = World::new(threads, parameters);
        for event in events {
            if !matches!(event, Event::SetLimit(_)) {
                apply(&mut world, event);
            }
            let limit = world.shared.limit().unwrap_or(u32::MAX);
            prop_assert!((2..=limit_max.max(2)).contains(&limit), "{limit}");
        }
    }
}

fn apply(world: &mut World, event: Event) {
    let threads = world.locals.len();
    match event {
        Event::Arrive(thread, request) => {
            let _answer = world.arrive(thread % threads, request);
        }
        Event::Finish(index, end) if !world.running.is_empty() => {
            world.finish(index % world.running.len(), end);
        }
        Event::Rest(index) if !world.running.is_empty() => {
            let index = index % world.running.len();
            match world.running[index].rests {
                true => world.resume(index),
                false => world.rest(index),
            }
        }
        Event::Lend(index) => {
            let resting = (0..world.running.len()).filter(|&it| world.running[it].rests);
            let resting = resting.collect::<Vec<_>>();
            if let Some(index) = resting.get(index % resting.len().max(1)) {
                world.lend(*index);
            }
        }
        Event::TakeAgain(index) if !world.lent.is_empty() => {
            world.take_again(index % world.lent.len());
        }
        Event::Leave(index) if !world.waiting.is_empty() => {
            world.leave(index % world.waiting.len());
        }
        Event::Deliver(index) if !world.wakes.is_empty() => {
            world.deliver(index % world.wakes.len());
        }
        Event::Finish(..)
        | Event::Rest(_)
        | Event::TakeAgain(_)
        | Event::Leave(_)
        | Event::Deliver(_) => (),
        Event::Dispatch(thread) => world.dispatch(thread % threads),
        Event::Expire(thread) => world.expire(thread % threads),
        Event::Pass(time) => world.pass(time),
        Event::Tick => world.tick(),
        Event::SetLimit(limit) => world.set_limit(limit),
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => (0_usize..4, request()).prop_map(|(thread, request)| Event::Arrive(thread, request)),
        5 => (0_usize..64, completion()).prop_map(|(index, end)| Event::Finish(index, end)),
        2 => (0_usize..64).prop_map(Event::Rest),
        2 => (0_usize..64).prop_map(Event::Lend),
        1 => (0_usize..64).prop_map(Event::TakeAgain),
        1 => (0_usize..64).prop_map(Event::Leave),
        3 => (0_usize..8).prop_map(Event::Deliver),
        1 => (0_usize..4).prop_map(Event::Dispatch),
        1 => (0_usize..4).prop_map(Event::Expire),
        3 => (1_u64..30_000).prop_map(|micros| Event::Pass(Duration::from_micros(micros))),
        2 => Just(Event::Tick),
        1 => (0_u32..8).prop_map(Event::SetLimit),
    ]
}

fn request() -> impl Strategy<Value = Arriving> {
    let tenant = prop_oneof![0_u64..6, 256_u64..260, any::<u64>()];
    let weight = prop_oneof![3 => Just(1.0_f32), 1 => (1_u8..100).prop_map(|tenths| f32::from(tenths) / 10.0)];
    let left = prop_oneof![1_u64..50_000, Just(30_000_000)];
    (0_usize..Class::ALL.len(), tenant, weight, 0_u8..3, left).prop_map(
        |(class, tenant, weight, group, left)| Arriving {
            class: Class::ALL[class],
            tenant,
            weight,
            group,
            time_left: Duration::from_micros(left),
        },
    )
}

fn completion() -> impl Strategy<Value = Completion> {
    prop_oneof![
        4 => Just(Completion::Success),
        1 => Just(Completion::Failed),
        1 => Just(Completion::TimedOut),
        1 => Just(Completion::Cancelled),
    ]
}

fn parameters() -> impl Strategy<Value = AdmissionParameters> {
    let wait = prop_oneof![
        Just(QueueWait::Auto),
        Just(QueueWait::Objective),
        (0_u64..50).prop_map(|millis| QueueWait::Fixed(Duration::from_millis(millis))),
    ];
    let limiter = prop_oneof![
        (0_u32..8).prop_map(LimiterKind::Fixed),
        Just(LimiterKind::Adaptive)
    ];
    let pending_max = proptest::option::of(0_u32..20);
    (limiter, wait, 0_u32..40, pending_max, 2_u32..20).prop_map(
        |(limiter, wait, requests_max, pending_max, start)| AdmissionParameters {
            limiter,
            wait,
            requests_max,
            pending_max,
            start,
            ..AdmissionParameters::default()
        },
    )
}
