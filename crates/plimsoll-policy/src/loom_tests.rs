//! Every order in which threads may meet at the shared words, by loom: retry budget, bulkheads, endpoints. Those
//! of admission are in `admission::tests::orders`.
//!
//! Source: B. Norris and B. Demsky, "CDSChecker: Checking Concurrent Data Structures Written with C/C++ Atomics"
//! (2013), which loom implements. What it can't show: see `sync`.

use std::sync::Arc;

use loom::thread;
use plimsoll_core::{Instant, Ratio};

use crate::retry::{RetryControl, RetryGrant, RetryShared};
use crate::{BulkheadKind, BulkheadParameters, BulkheadShared, EndpointShared};

/// Runs `check` in every order.
pub(crate) fn all_orders(check: impl Fn() + Send + Sync + 'static) {
    loom::model::Builder::new().check(check);
}

/// Runs `check` in every order in which each thread is interrupted at most so often.
pub(crate) fn orders(preemptions: usize, check: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 100_000;
    builder.check(check);
}

const NOW: Instant = Instant::from_nanos(1_000_000_000);

#[test]
fn loom_retries_never_take_more_than_was_granted() {
    orders(3, || {
        // One token to begin with, and half a token per request.
        let grant = RetryGrant {
            budget: Ratio::try_from(0.5).unwrap(),
            floor_per_second: 0.1,
        };
        let shared = Arc::new(RetryShared::new(grant));
        let mut control = RetryControl::new(grant, NOW, &shared);
        let worker = |requests: usize| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                (0..requests).for_each(|_| shared.on_request());
                u32::from(shared.try_withdraw())
            })
        };
        let workers = [worker(1), worker(1)];
        control.tick(NOW, &shared);
        let taken: u32 = workers.into_iter().map(|it| it.join().unwrap()).sum();
        assert!((1..=2).contains(&taken));
        assert_eq!(shared.withdrawn(), u64::from(taken));
        // Nothing is lost and nothing comes from nowhere: 2 were granted.
        assert!((shared.tokens() + f64::from(taken) - 2.0).abs() < 1e-9);
    });
}

#[test]
fn loom_a_bulkhead_is_never_over_its_bound() {
    all_orders(|| {
        let shared = Arc::new(BulkheadShared::new(BulkheadParameters {
            streams_max: Some(1),
            ..BulkheadParameters::default()
        }));
        // Not loom's: what is inside is known to the test alone, and makes no order.
        let inside = Arc::new(std::sync::atomic::AtomicU32::new(0));
        let worker = || {
            let (shared, inside) = (Arc::clone(&shared), Arc::clone(&inside));
            move || {
                use std::sync::atomic::Ordering::SeqCst;
                if !shared.try_enter(BulkheadKind::Streams) {
                    return 0;
                }
                assert_eq!(inside.fetch_add(1, SeqCst), 0);
                thread::yield_now();
                inside.fetch_sub(1, SeqCst);
                shared.leave(BulkheadKind::Streams);
                1
            }
        };
        let other = thread::spawn(worker());
        let third = thread::spawn(worker());
        let entered = other.join().unwrap() + third.join().unwrap();
        assert!(entered >= 1);
        assert_eq!(
            shared.refused(BulkheadKind::Streams),
            2 - u64::from(entered as u32)
        );
        assert_eq!(shared.taken(BulkheadKind::Streams), 0);
    });
}

#[test]
fn loom_what_an_endpoint_counts_is_taken_once() {
    all_orders(|| {
        let shared = Arc::new(EndpointShared::new());
        let worker = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                shared.begin();
                shared.on_connect_failure();
                shared.on_connect_failure();
                shared.end();
            })
        };
        shared.begin();
        let (early, _) = shared.take_connects();
        shared.end();
        worker.join().unwrap();
        let (late, _) = shared.take_connects();
        assert_eq!((early + late, shared.in_flight()), (2, 0));
    });
}
