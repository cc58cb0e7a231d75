//! Goal: what a scraper reads adds up, and is well formed in both formats.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{Instant, Ratio, Timestamp};

use super::*;
use crate::measure::{EndpointInput, Inputs, Layout, Measure, ServiceInput, ServiceLayout};
use crate::objective::{ObjectiveSpec, Sli};
use crate::registry::Registry;
use crate::series::Record;

#[test]
fn the_sum_over_causes_is_the_number_of_requests() {
    let text = rendered(Format::Prometheus);
    let sum: u64 = values(&text, "plimsoll_requests_total").iter().sum();
    assert_eq!(sum, 7);
    let count: u64 = values(&text, "plimsoll_request_duration_seconds_count")
        .iter()
        .sum();
    assert_eq!(count, 7);
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
        r#"plimsoll_endpoint_up{service="shop",endpoint="http://a:1"} 0"#,
        r#"plimsoll_endpoint_requests_total{service="shop",endpoint="http://a:1",outcome="bad"} 2"#,
        r#"plimsoll_objective_good_total{service="shop",objective="availability"} 4"#,
        r#"plimsoll_objective_bad_total{service="shop",objective="availability"} 2"#,
        r#"plimsoll_budget_left_ratio{service="shop",objective="availability"} 0.33333333333333337"#,
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

fn rendered(format: Format) -> String {
    let registry = Arc::new(Registry::new(1, 100));
    let objectives = vec![ObjectiveSpec {
        name: "availability".to_owned(),
        sli: Sli::Availability,
        target: Ratio::try_from(0.5).unwrap(),
        period: Duration::from_secs(60),
    }];
    let service = registry.service("shop", &objectives);
    let route = registry.route("shop", "all");
    let _quiet = registry.route("shop", "quiet");
    let endpoint = registry.endpoint("shop", "http://a:1");
    let record = |cause, millis| Record {
        class: Class::Critical,
        cause,
        latency: Duration::from_millis(millis),
        bytes_in: 1,
        bytes_out: 2,
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
    let mut measure = Measure::new(
        Arc::clone(&registry),
        Layout {
            services: vec![layout],
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
        ..ServiceInput::default()
    };
    let inputs = Inputs {
        version: "0.1.0".to_owned(),
        instance: "quote\" slash\\ line\n".to_owned(),
        services: BTreeMap::from([("shop".to_owned(), input)]),
        ..Inputs::default()
    };
    let snapshot = measure.snapshot(Timestamp::from_seconds(1_000), &inputs);
    render(format, &registry.read(), &snapshot, &ProcessView::default())
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
