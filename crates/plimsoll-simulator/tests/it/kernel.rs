//! The simulator itself: no request is lost, and a run can be repeated.
//!
//! Method: properties over random workloads that end in quiet, so that nothing is under way at the end.

use plimsoll_policy::LimiterKind;
use plimsoll_simulator::{Load, Phase, Policy, Run, Scenario, Second, Service, Spread, simulate};
use proptest::prelude::*;

fn phase(seconds: u32, load: f64, service: Service) -> Phase {
    Phase {
        seconds,
        load: Load::Steady(load),
        service,
        healthy: false,
    }
}

fn any_service() -> impl Strategy<Value = Service> {
    let pool = Service::pool(8, 20.0, Spread::Exponential);
    prop_oneof![
        Just(pool),
        Just(pool.hanging(0.3)),
        Just(pool.failing(0.5)),
        Just(pool.stalled()),
        Just(pool.pausing()),
        Just(Service::pool(4, 5.0, Spread::Bimodal).calling(200.0)),
        Just(
            Service::pool(16, 5.0, Spread::Lognormal(1.5))
                .calling(60.0)
                .holding()
        ),
    ]
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let limiters = prop_oneof![
        Just(LimiterKind::Adaptive),
        Just(LimiterKind::Off),
        (1_u32..100).prop_map(LimiterKind::Fixed),
    ];
    limiters.prop_map(Policy::of)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_request_ends_once_and_every_permit_comes_back(
        service in any_service(),
        policy in any_policy(),
        load in 0.1..5.0,
        threads in prop_oneof![Just(1_usize), Just(2), Just(16)],
        uneven in any::<bool>(),
        retries in 0_u8..3,
        patience in prop_oneof![Just(500_u32), Just(60)],
        seed in any::<u64>(),
    ) {
        let quiet = Service::pool(8, 20.0, Spread::Exponential);
        let mut scenario = Scenario::new("random", vec![
            phase(2, load, service),
            phase(3, 1.0, quiet),
            phase(5, 1e-9, quiet),
        ]);
        scenario.retries = retries;
        scenario.patience = patience;
        let run = Run { threads, seed, uneven };
        let record = simulate(&scenario, &policy, run);
        let sum = |of: fn(&Second) -> u32| record.seconds.iter().map(|it| u64::from(of(it))).sum::<u64>();
        let ended = sum(|it| it.good_sum() + it.late + it.failed + it.refused + it.timed_out);
        prop_assert_eq!(record.requests, sum(Second::offered_sum));
        prop_assert_eq!(record.requests, ended);
        let last = record.seconds.last().unwrap();
        prop_assert_eq!((last.in_flight, last.queued), (0, 0));
        if let LimiterKind::Fixed(limit) = policy.limiter {
            prop_assert!(record.seconds.iter().all(|second| second.in_flight <= limit));
        }
    }
}

#[test]
fn a_run_is_determined_by_its_seed() {
    let scenario = plimsoll_simulator::scenarios::named("steps_exp").unwrap();
    let run = |seed| {
        let run = Run {
            threads: 2,
            seed,
            uneven: true,
        };
        simulate(&scenario, &Policy::ADAPTIVE, run)
    };
    let (first, again, other) = (run(7), run(7), run(8));
    assert_eq!(first.seconds, again.seconds);
    assert_eq!(first.changes, again.changes);
    assert_ne!(first.seconds, other.seconds);
}
