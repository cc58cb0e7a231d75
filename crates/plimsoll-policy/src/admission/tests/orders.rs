//! Every order in which two or three threads may meet at the shared words, by loom: no permit beyond the limit,
//! none lost, and no wake-up lost between one who begins to wait and one who gives a permit back.
//!
//! To be run with `cargo xtask test` or `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-policy --lib loom`.
//! Threads may be interrupted at most [`PREEMPTIONS`] times where a whole call runs: the orders without a bound
//! are too many there.

use std::sync::Arc;

use loom::thread;
use plimsoll_core::{Class, Instant};

use super::super::places::Places;
use super::super::{
    AdmissionControl, AdmissionLocal, AdmissionParameters, AdmissionShared, Admitted, Completion,
    Finished, LimiterKind, QueueEvent,
};
use super::{fixed, request};
use crate::loom_tests::{all_orders, orders};

/// Enough to find each order that was weakened to try it, and few enough for seconds.
const PREEMPTIONS: usize = 2;
const NOW: Instant = Instant::from_nanos(1_000_000_000);

#[test]
fn loom_permits_in_use_never_exceed_the_limit_in_force() {
    orders(PREEMPTIONS, || {
        let shared = shared(2, 2);
        let control = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.set_limit(1);
                shared.try_take()
            })
        };
        let worker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.try_take())
        };
        let third = shared.try_take();
        let under_one = control.join().unwrap();
        let taken = [worker.join().unwrap(), third, under_one];
        let taken = taken.iter().filter(|&&it| it).count() as u32;
        assert_eq!(shared.in_flight(), taken, "none is lost");
        assert!((1..=2).contains(&taken));
        // Taken under a limit of one, it is the only one: none was in use then, and none came after.
        assert!(!under_one || taken == 1);
        assert_eq!(shared.limit(), Some(1));
    });
}

#[test]
fn loom_a_permit_that_comes_back_is_there_for_the_next() {
    all_orders(|| {
        let shared = shared(2, 1);
        let worker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let taken = shared.try_take();
                if taken {
                    shared.put_back();
                }
                taken
            })
        };
        let taken = shared.try_take();
        if taken {
            shared.put_back();
        }
        shared.set_limit(1);
        let other = worker.join().unwrap();
        assert!(taken || other, "one of the two was first");
        assert_eq!(shared.in_flight(), 0);
        assert!(shared.try_take());
    });
}

#[test]
fn loom_weights_and_counts_of_a_place_return_to_nothing() {
    // The same tenant; another, which gets the place beside; and one more than there are places, which shares.
    for (taken, tenant) in [(false, 0), (false, 2), (true, 2)] {
        orders(PREEMPTIONS, move || {
            let places = Arc::new(Places::default());
            let beside = taken.then(|| places.enter(1, 1.0));
            let other = {
                let places = Arc::clone(&places);
                thread::spawn(move || places.leave(places.enter(tenant, 10.0)))
            };
            places.leave(places.enter(0, 1.0));
            other.join().unwrap();
            if let Some(beside) = beside {
                assert_eq!(places.waiting_in(beside), 1);
                places.leave(beside);
            }
            assert_eq!([0, 1, 2].map(|it| places.waiting(it)), [0; 3]);
            assert_eq!(places.weights_with(1, 1.0), 1.0);
        });
    }
}

#[test]
fn loom_of_two_who_want_the_last_place_of_the_queue_one_waits() {
    orders(PREEMPTIONS, || {
        let shared = shared(2, 1);
        let reserve = |shared: &AdmissionShared| shared.try_reserve(1);
        let other = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || reserve(&shared))
        };
        let here = reserve(&shared);
        let there = other.join().unwrap();
        assert!(here != there, "{here} and {there}");
        shared.give_reserved();
        assert!(reserve(&shared));
    });
}

#[test]
fn loom_one_who_begins_to_wait_is_seen_by_one_who_gives_back() {
    orders(PREEMPTIONS, || {
        let shared = shared(2, 1);
        let mut first = half(&shared, 0);
        let mut second = half(&shared, 1);
        assert_eq!(arrive(&mut first, Class::Standard), (true, vec![]));
        let waits = thread::spawn(move || {
            let (went, events) = arrive(&mut second, Class::Standard);
            (second, went, events)
        });
        let mut events = Vec::new();
        finish(&mut first, &mut events);
        let (second, went, more) = waits.join().unwrap();
        events.extend(more);
        let went = usize::from(went) + deliver(&mut [first, second], events);
        assert_eq!(went, 1, "the permit is used");
        assert_eq!((shared.in_flight(), shared.queued()), (1, 0));
    });
}

#[test]
fn loom_of_two_who_begin_to_wait_one_gets_the_permit_that_comes_back() {
    orders(1, || {
        let shared = shared(3, 1);
        let mut first = half(&shared, 0);
        assert_eq!(arrive(&mut first, Class::Standard), (true, vec![]));
        let spawn = |index, class| {
            let mut half = half(&shared, index);
            thread::spawn(move || {
                let (went, events) = arrive(&mut half, class);
                (half, went, events)
            })
        };
        let one = spawn(1, Class::Sheddable);
        let other = spawn(2, Class::Critical);
        let mut events = Vec::new();
        finish(&mut first, &mut events);
        let (one, one_went, one_events) = one.join().unwrap();
        let (other, other_went, other_events) = other.join().unwrap();
        events.extend(one_events);
        events.extend(other_events);
        let went = usize::from(one_went) + usize::from(other_went);
        let went = went + deliver(&mut [first, one, other], events);
        assert_eq!(went, 1, "the permit is used, once");
        assert_eq!((shared.in_flight(), shared.queued()), (1, 1));
    });
}

#[test]
fn loom_one_who_goes_while_a_permit_comes_back_leaves_it_to_the_next() {
    orders(PREEMPTIONS, || {
        let shared = shared(3, 1);
        let mut first = half(&shared, 0);
        let mut second = half(&shared, 1);
        let mut third = half(&shared, 2);
        assert_eq!(arrive(&mut first, Class::Standard), (true, vec![]));
        let mut events = Vec::new();
        let goes = second.arrive(NOW, &request(Class::Critical, 1), &mut events);
        let Admitted::Wait(ticket) = goes else {
            panic!("{goes:?}");
        };
        assert_eq!(arrive(&mut third, Class::Standard), (false, vec![]));
        let leaves = thread::spawn(move || {
            assert!(second.leave(ticket));
            second
        });
        finish(&mut first, &mut events);
        let second = leaves.join().unwrap();
        assert_eq!(deliver(&mut [first, second, third], events), 1);
        assert_eq!((shared.in_flight(), shared.queued()), (1, 0));
    });
}

#[test]
fn loom_one_who_begins_to_wait_is_seen_by_the_one_who_raises_the_limit() {
    orders(PREEMPTIONS, || {
        let shared = shared(2, 0);
        let mut first = half(&shared, 0);
        let second = half(&shared, 1);
        let control = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let raised = parameters(1);
                AdmissionControl::new(&raised, None, NOW).set_parameters(&raised, &shared);
                let threads: Vec<usize> = shared.threads_waiting().collect();
                threads.into_iter().map(QueueEvent::Wake).collect()
            })
        };
        let (went, mut events) = arrive(&mut first, Class::Standard);
        let more: Vec<QueueEvent> = control.join().unwrap();
        events.extend(more);
        let went = usize::from(went) + deliver(&mut [first, second], events);
        assert_eq!(went, 1);
        assert_eq!((shared.in_flight(), shared.queued()), (1, 0));
    });
}

fn parameters(limit: u32) -> AdmissionParameters {
    AdmissionParameters {
        limiter: LimiterKind::Fixed(limit),
        ..fixed(limit)
    }
}

fn shared(threads: usize, limit: u32) -> Arc<AdmissionShared> {
    Arc::new(AdmissionShared::new(threads, &parameters(limit)))
}

fn half(shared: &Arc<AdmissionShared>, thread: usize) -> AdmissionLocal {
    AdmissionLocal::new(Arc::clone(shared), thread, &parameters(1))
}

/// Whether it has a permit at once, and what else is to be done.
fn arrive(half: &mut AdmissionLocal, class: Class) -> (bool, Vec<QueueEvent>) {
    let mut events = Vec::new();
    let answer = half.arrive(NOW, &request(class, 1), &mut events);
    (answer == Admitted::Go, events)
}

fn finish(half: &mut AdmissionLocal, events: &mut Vec<QueueEvent>) {
    let finished = Finished {
        class: Class::Standard,
        tenant: 1,
        weight: 1.0,
        group: 0,
        started: NOW,
        ended: NOW,
        head_after: None,
        end: Completion::Success,
    };
    half.finish(NOW, &finished, events);
}

/// Follows wake-ups until there are none; how many got a permit.
fn deliver(halves: &mut [AdmissionLocal], mut events: Vec<QueueEvent>) -> usize {
    let mut went = 0;
    while let Some(event) = events.pop() {
        match event {
            QueueEvent::Go(_) => went += 1,
            QueueEvent::Wake(thread) => halves[thread].dispatch(NOW, &mut events),
            QueueEvent::Refused(..) => panic!("{event:?}"),
        }
    }
    went
}
