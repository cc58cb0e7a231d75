//! Goal: what a scraper reads adds up, and is well formed in both formats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Instant, Ratio, Timestamp};

use super::*;
use crate::measure::{EndpointInput, Inputs, Layout, Measure, ServiceInput, ServiceLayout};
use crate::measure::{ProtectionCounter, ProtectionInput};
use crate::objective::{ObjectiveSpec, Sli};
use crate::period::Period;
use crate::registry::Registry;
use crate::series::Record;
use crate::snapshot::{CacheStoreView, QueueView, QueuesDiskView, QueuesView};
use plimsoll_core::Mode;
use serde_json::json;

#[test]
fn the_sum_over_causes_is_the_number_of_requests() {
    let text = rendered(Format::Prometheus);
    let sum: u64 = values(&text, "plimsoll_requests_total").iter().sum();
    assert_eq!(sum, 10);
    let count: u64 = values(&text, "plimsoll_request_duration_seconds_count")
        .iter()
        .sum();
    assert_eq!(count, 10);
}

#[test]
fn objectives_endpoints_and_gauges_are_there() {
    let text = rendered(Format::Prometheus);
    for line in [
        r#"plimsoll_requests_total{service="shop",route="all",class="critical",cause="timeout",outcome="bad",origin="service"} 2"#,
        r#"plimsoll_requests_total{service="",route="",class="standard",cause="bad-request",outcome="excluded",origin="client"} 1"#,
        r#"plimsoll_requests_total{service="shop",route="quiet",class="standard",cause="answered",outcome="good",origin="service"} 0"#,
        r#"plimsoll_request_duration_seconds_bucket{service="shop",route="all",le="0.0009765625"} 0"#,
        r#"plimsoll_request_duration_seconds_bucket{service="shop",route="all",le="0.0078125"} 4"#,
        r#"plimsoll_request_duration_seconds_bucket{service="shop",route="all",le="1.0"} 4"#,
        r#"plimsoll_request_duration_seconds_bucket{service="shop",route="all",le="2.0"} 6"#,
        r#"plimsoll_request_duration_seconds_bucket{service="shop",route="all",le="+Inf"} 6"#,
        r#"plimsoll_request_duration_seconds_sum{service="shop",route="all"} 4.02"#,
        r#"plimsoll_in_flight{service="shop"} 3"#,
        r#"plimsoll_cache_requests_total{service="shop",result="hit"} 7"#,
        "plimsoll_cache_entries 3",
        "plimsoll_cache_evictions_total 2",
        r#"plimsoll_endpoint_up{service="shop",endpoint="http://a:1"} 0"#,
        r#"plimsoll_endpoint_requests_total{service="shop",endpoint="http://a:1",outcome="bad"} 2"#,
        r#"plimsoll_objective_good_total{service="shop",objective="availability"} 4"#,
        r#"plimsoll_objective_bad_total{service="shop",objective="availability"} 2"#,
        r#"plimsoll_budget_left_ratio{service="shop",objective="availability"} 0.9888888888888889"#,
        r#"plimsoll_burn_rate{service="shop",objective="availability",window="5m"} 0.6666666666666666"#,
        r#"plimsoll_build_info{version="0.1.0",instance="quote\" slash\\ line\n"} 1"#,
        "plimsoll_never_total 0",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nis not in\n{text}"
        );
    }
}

#[test]
fn both_formats_have_the_same_samples() {
    let openmetrics = rendered(Format::OpenMetrics);
    assert!(openmetrics.ends_with("# EOF\n"));
    assert!(openmetrics.contains("# TYPE plimsoll_requests counter\n"));
    assert!(openmetrics.contains("# TYPE plimsoll_build info\n"));
    let prometheus = rendered(Format::Prometheus);
    assert!(prometheus.contains("# TYPE plimsoll_requests_total counter\n"));
    assert!(prometheus.contains("# TYPE plimsoll_build_info gauge\n"));
    let samples = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.starts_with('#'))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(samples(&openmetrics), samples(&prometheus));
}

#[test]
fn every_sample_follows_the_type_of_its_family() {
    let mut family = String::new();
    let mut seen = std::collections::BTreeSet::new();
    for line in rendered(Format::OpenMetrics)
        .lines()
        .filter(|line| *line != "# EOF")
    {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            family = rest.split(' ').next().unwrap().to_owned();
            assert!(seen.insert(family.clone()), "{family} is given twice");
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&family), "{line} is not of {family}");
        }
    }
}

#[test]
fn limit_queue_and_what_protections_did_are_there() {
    let text = rendered(Format::Prometheus);
    for line in [
        r#"plimsoll_limit{service="busy"} 38"#,
        r#"plimsoll_limit_reason{service="busy",reason="over the line"} 1"#,
        r#"plimsoll_queue_requests{service="busy",class="critical"} 0"#,
        r#"plimsoll_queue_requests{service="busy",class="sheddable"} 2"#,
        r#"plimsoll_queue_wait_max_seconds{service="busy"} 0.02"#,
        r#"plimsoll_latency_objective_seconds{service="busy",assumed="true"} 0.25"#,
        r#"plimsoll_protection_total{service="busy",policy="limiter",outcome="shed",class="critical",mode="enforce"} 0"#,
        r#"plimsoll_protection_total{service="busy",policy="limiter",outcome="shed",class="sheddable",mode="enforce"} 2"#,
        r#"plimsoll_protection_total{service="busy",policy="queue",outcome="queue-timeout",class="sheddable",mode="enforce"} 1"#,
        r#"plimsoll_protection_total{service="busy",policy="retry",outcome="retried",class="",mode="observe"} 0"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nis not in\n{text}"
        );
    }
    assert_eq!(values(&text, "plimsoll_protection_total").len(), 5);
}

#[test]
fn no_sample_is_given_twice() {
    let mut seen = std::collections::BTreeSet::new();
    for line in rendered(Format::Prometheus).lines() {
        let name = line.rsplit_once(' ').map_or(line, |(name, _)| name);
        assert!(seen.insert(name.to_owned()), "{name} is given twice");
    }
}

#[test]
fn what_is_not_known_of_protections_is_absent() {
    let registry = Registry::new(1, 10);
    let layout = ServiceLayout {
        name: "shop".to_owned(),
        ..ServiceLayout::default()
    };
    let services = vec![layout];
    let measure = Measure::new(
        Arc::new(Registry::new(1, 10)),
        Layout {
            services,
            ..Layout::default()
        },
        Instant::ORIGIN,
    );
    let rendered = |protection: Option<ProtectionInput>| {
        let input = ServiceInput {
            protection,
            ..ServiceInput::default()
        };
        let inputs = Inputs {
            services: BTreeMap::from([("shop".to_owned(), input)]),
            ..Inputs::default()
        };
        let snapshot = measure.snapshot(Timestamp::default(), &inputs);
        render(
            Format::Prometheus,
            &registry.read(),
            &snapshot,
            &ProcessView::default(),
            &ChangesView::default(),
        )
    };
    let unknown = rendered(None);
    let unlimited = rendered(Some(ProtectionInput::default()));
    for name in [
        "plimsoll_limit",
        "plimsoll_limit_reason",
        "plimsoll_queue_wait_max_seconds",
        "plimsoll_latency_objective_seconds",
        "plimsoll_protection_total",
    ] {
        assert!(values(&unknown, name).is_empty(), "{name}");
        assert!(values(&unlimited, name).is_empty(), "{name}");
    }
    assert!(values(&unknown, "plimsoll_queue_requests").is_empty());
    assert_eq!(values(&unlimited, "plimsoll_queue_requests"), [0, 0, 0]);
}

#[test]
fn durable_queues_are_there_with_what_became_of_their_messages() {
    let text = rendered(Format::Prometheus);
    for line in [
        "plimsoll_queues_up 1",
        "plimsoll_queues_disk_bytes 4096",
        "plimsoll_queues_disk_max_bytes 8192",
        "plimsoll_queue_labels_dropped 3",
        r#"plimsoll_queue_messages{queue="mails",state="ready"} 5"#,
        r#"plimsoll_queue_messages{queue="mails",state="delayed"} 2"#,
        r#"plimsoll_queue_messages{queue="mails",state="in_flight"} 1"#,
        r#"plimsoll_queue_bytes{queue="mails"} 700"#,
        r#"plimsoll_queue_oldest_age_seconds{queue="mails"} 1.5"#,
        r#"plimsoll_queue_published_total{queue="mails"} 40"#,
        r#"plimsoll_queue_delivered_total{queue="mails"} 39"#,
        r#"plimsoll_queue_acknowledged_total{queue="mails"} 30"#,
        r#"plimsoll_queue_returned_total{queue="mails"} 6"#,
        r#"plimsoll_queue_dead_letters_total{queue="mails"} 2"#,
        r#"plimsoll_queue_expired_total{queue="mails"} 4"#,
        r#"plimsoll_queue_published_total{queue="quote\" slash\\ line\n"} 0"#,
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "{line}\nis not in\n{text}"
        );
    }
    // Where nothing is ready, nothing has an age.
    assert_eq!(
        text.matches("plimsoll_queue_oldest_age_seconds{").count(),
        1
    );
}

#[test]
fn queues_that_are_not_open_are_down_and_without_any_nothing_is_said() {
    let rendered = |view: Option<&QueuesView>| {
        let mut out = Exposition::new(Format::Prometheus);
        queues::render(&mut out, view);
        let text = out.finish();
        let samples = text.lines().filter(|it| !it.starts_with('#'));
        samples.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rendered(None), Vec::<String>::new());
    let opening = QueuesView::default();
    assert_eq!(rendered(Some(&opening)), ["plimsoll_queues_up 0"]);
}

#[test]
fn full_and_failed_queues_are_warned_of() {
    let mut view = queues();
    assert_eq!(view.warning(), None);
    let disk = view.disk.as_mut().unwrap();
    disk.full = true;
    let full = view.warning().unwrap();
    assert!(full.contains("raise queues.disk_max"), "{full}");
    view.disk.as_mut().unwrap().failure = Some("input/output error".to_owned());
    let failed = view.warning().unwrap();
    assert!(failed.ends_with(": input/output error"), "{failed}");
}

fn queues() -> QueuesView {
    let mails = QueueView {
        name: "mails".to_owned(),
        ready: 5,
        delayed: 2,
        in_flight: 1,
        bytes: 700,
        oldest_age_seconds: Some(1.5),
        published_total: 40,
        delivered_total: 39,
        acknowledged_total: 30,
        returned_total: 6,
        dead_letters_total: 2,
        expired_total: 4,
        ..QueueView::default()
    };
    let odd = QueueView {
        name: "quote\" slash\\ line\n".to_owned(),
        ..QueueView::default()
    };
    QueuesView {
        up: true,
        disk: Some(QueuesDiskView {
            bytes: 4_096,
            bytes_max: 8_192,
            ..QueuesDiskView::default()
        }),
        queues: vec![mails, odd],
        left_out: 3,
    }
}

fn rendered(format: Format) -> String {
    let registry = Arc::new(Registry::new(1, 100));
    let objectives = vec![ObjectiveSpec {
        name: "availability".to_owned(),
        sli: Sli::Availability,
        target: Ratio::try_from(0.5).unwrap(),
        period: Period::Rolling(Duration::from_secs(60)),
        classes: Vec::new(),
        routes: Vec::new(),
    }];
    let service = registry.service("shop", &objectives);
    let route = registry.route("shop", "all");
    let busy = registry.service("busy", &[]);
    let busy_route = registry.route("busy", "all");
    let _quiet = registry.route("shop", "quiet");
    let endpoint = registry.endpoint("shop", "http://a:1");
    let record = |cause, millis| Record {
        class: Class::Critical,
        cause,
        latency: Duration::from_millis(millis),
        bytes_in: 1,
        bytes_out: 2,
        objectives: Record::ALL,
    };
    for record in [
        [record(Cause::Answered, 5); 4].as_slice(),
        &[record(Cause::Timeout, 2_000); 2],
    ]
    .concat()
    {
        for series in [&service, &route, &endpoint] {
            series.record(0, &record);
        }
    }
    for cause in [Cause::Shed, Cause::Shed, Cause::QueueTimeout] {
        for series in [&busy, &busy_route] {
            let refused = Record {
                class: Class::Sheddable,
                ..record(cause, 1)
            };
            series.record(0, &refused);
        }
    }
    registry.unrouted().record(
        0,
        &Record {
            class: Class::Standard,
            ..record(Cause::BadRequest, 1)
        },
    );

    let layout = ServiceLayout {
        name: "shop".to_owned(),
        objectives,
        endpoints: vec!["http://a:1".to_owned()],
        ..ServiceLayout::default()
    };
    let other = ServiceLayout {
        name: "busy".to_owned(),
        ..ServiceLayout::default()
    };
    let mut measure = Measure::new(
        Arc::clone(&registry),
        Layout {
            services: vec![layout, other],
            ..Layout::default()
        },
        Instant::ORIGIN,
    );
    measure.tick(Instant::from_nanos(1_000_000_000));
    let down = EndpointInput {
        state: EndpointState::Down,
        ..EndpointInput::default()
    };
    let input = ServiceInput {
        in_flight: Some(3),
        endpoints: BTreeMap::from([("http://a:1".to_owned(), down)]),
        cache: Some(CacheView {
            hit: 7,
            ..CacheView::default()
        }),
        ..ServiceInput::default()
    };
    let busy = ServiceInput {
        protection: Some(ProtectionInput {
            limit: Some(38),
            limit_max: Some(1_000),
            limit_reason: "over the line",
            in_flight: 36,
            queued: [0, 1, 2],
            wait_max: Some(Duration::from_millis(20)),
            objective: Some(Duration::from_millis(250)),
            objective_assumed: true,
            counters: vec![ProtectionCounter {
                policy: "retry",
                outcome: "retried",
                mode: Mode::Observe,
                ..ProtectionCounter::default()
            }],
            ..ProtectionInput::default()
        }),
        ..ServiceInput::default()
    };
    let inputs = Inputs {
        version: "0.1.0".to_owned(),
        instance: "quote\" slash\\ line\n".to_owned(),
        services: BTreeMap::from([("shop".to_owned(), input), ("busy".to_owned(), busy)]),
        cache: Some(CacheStoreView {
            entries: 3,
            evictions_total: 2,
            ..CacheStoreView::default()
        }),
        queues: Some(queues()),
        ..Inputs::default()
    };
    let snapshot = measure.snapshot(Timestamp::from_seconds(1_000), &inputs);
    let run = json!({
        "began": "2026-11-25T14:10:52.000Z", "ended": null, "by": "ana", "why": "2.4", "journal": 7, "strikes": 0, "strikes_max": 2,
        "evidence": [{ "of": "harm", "e": 1.5, "strikes_at": 10.0, "ratio_least": null, "ratio_most": 3.0 }], "price": null,
        "stable": { "requests": 900, "bad": 9, "slow": 0, "up": 2, "endpoints": 2 },
        "canary": { "requests": 100, "bad": 2, "slow": 0, "up": 1, "endpoints": 1 }, "course": [],
    });
    let rollout = json!({
        "name": "shop-v2", "service": "shop", "owner": null, "version": "v2", "kind": "canary", "by": "client", "state": "running",
        "says": "", "weight": 0.05, "revision": 1, "steps": [], "step": 0, "run": run,
    });
    let flag = FlagCountsView {
        flag: "new-cart".to_owned(),
        reasons: vec![("SPLIT", 7), ("ERROR", 1)],
    };
    let changes = ChangesView {
        rollouts: &[serde_json::from_value(rollout).unwrap()],
        flags: &[flag],
    };
    render(
        format,
        &registry.read(),
        &snapshot,
        &ProcessView::default(),
        &changes,
    )
}

fn values(text: &str, name: &str) -> Vec<u64> {
    text.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with('{'))
        })
        .map(|line| line.rsplit(' ').next().unwrap().parse().unwrap())
        .collect()
}
