//! Goal: what is shown of protections adds up, is counted once, and calls unknown what is not known.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_core::{Ratio, Timestamp};

use super::*;
use crate::objective::Sli;
use crate::outcome::Cause;
use crate::period::Period;
use crate::series::{Record, Series};
use crate::snapshot::{ActionView, DOES_NOT_FIT, ProtectionView, REFUSALS, RefusedView};
use plimsoll_core::Class;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn refusals_are_counted_by_class_and_cause_over_a_minute_and_in_all() {
    let mut world = World::new();
    world.seconds(10, |series| record(series, Class::Critical, Cause::Shed));
    // The minute begins at an edge of 5 s: this one is all of it.
    world.seconds(124, |series| {
        record(series, Class::Critical, Cause::Answered);
        record(series, Class::Standard, Cause::Answered);
        record(series, Class::Standard, Cause::Timeout);
        record(series, Class::Standard, Cause::Shed);
        record(series, Class::Standard, Cause::QueueTimeout);
        record(series, Class::Standard, Cause::RateLimited);
    });
    let view = world.view(input());
    let refused = |class, cause, count, total| RefusedView {
        class,
        cause,
        count,
        total,
    };
    assert_eq!(
        view.refused,
        [
            refused(Class::Critical, Cause::Shed, 0, 10),
            refused(Class::Standard, Cause::Shed, 60, 124),
            refused(Class::Standard, Cause::QueueTimeout, 60, 124),
            refused(Class::Standard, Cause::RateLimited, 60, 124),
        ]
    );
    let shares: Vec<_> = view
        .classes
        .iter()
        .map(|class| (class.requests, class.refused, class.refused_share))
        .collect();
    assert_eq!(
        shares,
        [(60, 0, Some(0.0)), (300, 180, Some(0.6)), (0, 0, None)]
    );
    assert_eq!(view.refused_per_second, Some(3.0));
    assert_eq!(view.refused_total(), 382);
}

#[test]
fn a_client_above_its_rate_or_a_service_that_fails_does_not_say_that_not_all_fits() {
    let mut world = World::new();
    world.seconds(1, |series| {
        for cause in REFUSALS {
            record(series, Class::Standard, cause);
        }
    });
    let (_, latest) = world.measure.latest().next().unwrap();
    assert_eq!((latest.requests, latest.refused), (8, 2));
    assert_eq!(latest.let_in, [0; 3]);
    assert!(DOES_NOT_FIT.iter().all(|cause| REFUSALS.contains(cause)));
}

#[test]
fn nothing_is_known_before_the_first_tick() {
    let view = World::new().view(input());
    assert_eq!(view.refused_per_second, None);
    assert!(
        view.classes
            .iter()
            .all(|class| class.refused_share.is_none())
    );
    let mut world = World::new();
    world.seconds(1, |_| ());
    assert_eq!(
        world.view(input()).refused_per_second,
        Some(0.0),
        "that nothing was refused was observed"
    );
}

#[test]
fn a_service_without_an_input_has_no_protection_to_show() {
    let world = World::new();
    let snapshot = world
        .measure
        .snapshot(Timestamp::default(), &Inputs::default());
    assert_eq!(snapshot.services.first().unwrap().protection, None);
}

#[test]
fn without_a_limit_there_is_no_reason_for_it() {
    let view = World::new().view(ProtectionInput {
        limit: None,
        ..input()
    });
    assert_eq!((view.limit, view.limit_reason), (None, None));
}

#[test]
fn what_was_done_and_what_would_have_been_are_kept_apart() {
    let mut world = World::new();
    world.seconds(20, |series| {
        record(series, Class::Standard, Cause::Answered)
    });
    let counter = |policy, outcome, mode, count| ProtectionCounter {
        policy,
        outcome,
        mode,
        count,
        ..ProtectionCounter::default()
    };
    let view = world.view(ProtectionInput {
        counters: vec![
            counter("retry", "retried", Mode::Enforce, 2),
            counter("hedge", "hedged", Mode::Observe, 5),
            ProtectionCounter {
                per_request: false,
                saved: Some(1),
                ..counter("ejection", "ejected", Mode::Observe, 0)
            },
            counter("breaker", "opened", Mode::Off, 9),
        ],
        ..input()
    });
    let action = |policy: &str, outcome: &str, count, share| ActionView {
        policy: policy.to_owned(),
        outcome: outcome.to_owned(),
        class: None,
        count,
        share,
        saved: None,
    };
    assert_eq!(view.did, [action("retry", "retried", 2, Some(0.1))]);
    assert_eq!(
        view.would,
        [
            action("hedge", "hedged", 5, Some(0.25)),
            ActionView {
                saved: Some(1),
                ..action("ejection", "ejected", 0, None)
            }
        ]
    );
}

#[test]
fn a_refusal_that_its_cause_counts_is_not_counted_again() {
    let shed = |mode| ProtectionCounter {
        policy: "limiter",
        outcome: "shed",
        mode,
        count: 7,
        ..ProtectionCounter::default()
    };
    let view = World::new().view(ProtectionInput {
        counters: vec![shed(Mode::Enforce), shed(Mode::Observe)],
        ..input()
    });
    assert_eq!(view.did, []);
    assert_eq!(view.would.len(), 1);
    assert_eq!(
        view.would.first().unwrap().share,
        None,
        "no request, no share"
    );
}

#[test]
fn a_snapshot_of_before_there_were_protections_is_still_read() {
    let mut world = World::new();
    world.seconds(2, |series| record(series, Class::Sheddable, Cause::Shed));
    let snapshot = world.snapshot(input());
    let mut value = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(
        serde_json::from_value::<Snapshot>(value.clone()).unwrap(),
        snapshot
    );
    let service = value["services"][0].as_object_mut().unwrap();
    assert!(service.remove("protection").is_some());
    let read: Snapshot = serde_json::from_value(value).unwrap();
    assert_eq!(read.services.first().unwrap().protection, None);
}

struct World {
    series: Arc<Series>,
    measure: Measure,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let registry = Arc::new(Registry::new(1, 10));
        let objectives = vec![ObjectiveSpec {
            name: "availability".to_owned(),
            sli: Sli::Availability,
            target: Ratio::try_from(0.99).unwrap(),
            period: Period::Rolling(Duration::from_secs(3_600)),
            classes: Vec::new(),
            routes: Vec::new(),
        }];
        let series = registry.service("shop", &objectives);
        let layout = Layout {
            services: vec![ServiceLayout {
                name: "shop".to_owned(),
                objectives,
                ..ServiceLayout::default()
            }],
            ..Layout::default()
        };
        let now = Instant::from_nanos(500_000_000);
        Self {
            series,
            measure: Measure::new(registry, layout, now),
            now,
        }
    }

    fn seconds(&mut self, seconds: u64, each: impl Fn(&Series)) {
        for _ in 0..seconds {
            each(&self.series);
            self.now += SECOND;
            self.measure.tick(self.now);
        }
    }

    fn snapshot(&self, protection: ProtectionInput) -> Snapshot {
        let input = ServiceInput {
            protection: Some(protection),
            ..ServiceInput::default()
        };
        let inputs = Inputs {
            services: BTreeMap::from([("shop".to_owned(), input)]),
            ..Inputs::default()
        };
        self.measure.snapshot(Timestamp::default(), &inputs)
    }

    fn view(&self, protection: ProtectionInput) -> ProtectionView {
        let service = self.snapshot(protection).services.remove(0);
        service.protection.unwrap()
    }
}

fn input() -> ProtectionInput {
    ProtectionInput {
        limit: Some(38),
        limit_reason: "grow",
        ..ProtectionInput::default()
    }
}

fn record(series: &Series, class: Class, cause: Cause) {
    let latency = Duration::from_millis(1);
    series.record(
        0,
        &Record {
            class,
            cause,
            latency,
            bytes_in: 0,
            bytes_out: 0,
            objectives: Record::ALL,
        },
    );
}
