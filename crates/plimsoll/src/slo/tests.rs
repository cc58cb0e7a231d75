//! Goal: what goes out comes back as it was; what can't come in is named, with its line.

use std::collections::BTreeMap;

use plimsoll_config::{Objective, ObjectiveKind};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

use super::import::{File, convert, percent, shown};
use super::*;

const SHOP: &str = r#"
[service.checkout]
endpoints = ["http://127.0.0.1:9001"]
owner = "payments: {{ all }} of them"
tier = 1
runbook = "https://runbooks.example/checkout"

[service.checkout.objective.availability]
target = "99.9%"

[service.checkout.objective.latency]
target = "99%"
below = "250ms"
routes = ["buy"]
classes = ["critical"]
period = "36h"

[service.Stock_Keeper]
endpoints = ["http://127.0.0.1:9002"]

[service.Stock_Keeper.objective]
lookups = { kind = "availability", target = "92%", period = "90s" }

[[route]]
name = "buy"
service = "checkout"
path = "/buy"

[[route]]
service = "Stock_Keeper"
path = "/stock"
"#;

fn config(text: &str) -> Config {
    match plimsoll_config::parse(text, "plimsoll.toml") {
        Ok((config, _)) => config,
        Err(errors) => panic!(
            "{}",
            plimsoll_config::render(&errors, text, "plimsoll.toml", false)
        ),
    }
}

#[test]
fn alertmanager_has_a_receiver_for_each_owner() {
    insta::assert_snapshot!(alertmanager::write(&config(SHOP)));
}

#[test]
fn openslo_has_services_objectives_and_policies() {
    insta::assert_snapshot!(openslo::write(&config(SHOP)));
}

#[test]
fn prometheus_has_burn_rates_and_alerts_and_says_what_is_left_out() {
    insta::assert_snapshot!(prometheus::write(&config(SHOP)));
}

/// What import says to a file, or gives.
fn imported(texts: &[&str], unit: Option<LatencyUnit>) -> Result<String, String> {
    let file =
        |(number, text): (usize, &&str)| File::of(format!("{number}.yaml"), (*text).to_owned());
    let mut files: Vec<File> = texts.iter().enumerate().map(file).collect();
    convert(&mut files, unit).ok_or_else(|| shown(&files, false))
}

/// The configuration that these tables make, with endpoints and routes for them.
fn whole(tables: &str, services: &[&str]) -> Config {
    let mut text = tables.to_owned();
    for (number, service) in services.iter().enumerate() {
        text.push_str(&format!(
            "\n[service.{service}]\nendpoints = [\"http://10.0.0.1:{}\"]\n\
             [[route]]\nname = \"r-{number}\"\nservice = \"{service}\"\npath = \"/{number}\"\n",
            number + 1
        ));
    }
    config(&text)
}

fn all(config: &Config) -> Vec<(String, String, Objective)> {
    promises(config)
        .map(|it| {
            (
                it.service_name.to_owned(),
                it.name.to_owned(),
                it.objective.clone(),
            )
        })
        .collect()
}

#[test]
fn thresholds_percentages_references_and_several_targets_are_taken_over() {
    let slis = "apiVersion: openslo/v1\nkind: SLI\nmetadata:\n  name: slow\n  annotations: { plimsoll.dev/unit: s }\nspec:\n  thresholdMetric:\n    metricSource: { type: Datadog, spec: { query: p95 } }\n";
    let slos = "apiVersion: openslo/v1
kind: SLO
metadata: { name: search-speed, labels: { team: [a, b] } }
spec:
  description: fast
  service: search
  indicatorRef: slow
  timeWindow: [{ duration: 4w, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ displayName: fast, op: lte, value: 0.25, targetPercent: 99.95 }]
---
apiVersion: openslo/v1
kind: SLO
metadata: { name: search-errors }
spec:
  service: search
  indicator:
    metadata: { name: errors }
    spec: { ratioMetric: { rawType: failure, raw: { metricSource: { spec: {} } } } }
  timeWindow: [{ duration: 30d, isRolling: true }]
  budgetingMethod: Occurrences
  objectives: [{ target: 0.98 }, { target: 0.995 }]
---
apiVersion: openslo/v1
kind: DataSource
metadata: { name: datadog }
spec: {}
";
    let text = imported(&[slis, slos], None).unwrap_or_else(|said| panic!("{said}"));
    insta::assert_snapshot!(text);
    assert_eq!(all(&whole(&text, &["search"])).len(), 3);
}

/// An SLO that is right but for what is replaced in it.
fn slo_with(from: &str, to: &str) -> String {
    let right = "apiVersion: openslo/v1
kind: SLO
metadata:
  name: search
spec:
  service: search
  indicator:
    metadata: { name: i }
    spec:
      ratioMetric: { counter: true, good: {}, total: {} }
  timeWindow:
    - duration: 28d
      isRolling: true
  budgetingMethod: Occurrences
  objectives:
    - target: 0.99
";
    assert!(right.contains(from), "{from}");
    right.replacen(from, to, 1)
}

#[test]
fn what_cannot_be_taken_over_is_named_with_its_line() {
    let threshold = |objective: &str| {
        slo_with(
            "ratioMetric: { counter: true, good: {}, total: {} }",
            "thresholdMetric: {}",
        )
        .replace("- target: 0.99", objective)
    };
    let cases = [
        slo_with("openslo/v1", "openslo/v1alpha"),
        slo_with("openslo/v1", "sloth.slok.dev/v1"),
        slo_with("kind: SLO", "kind: BudgetPolicy"),
        slo_with(
            "28d\n      isRolling: true",
            "1M\n      calendar: { startTime: 2026-01-01 00:00:00, timeZone: Europe/Berlin }",
        ),
        slo_with("isRolling: true", "isRolling: false"),
        slo_with("28d", "1Q"),
        slo_with("28d", "30s"),
        slo_with("28d", "1000d"),
        slo_with("Occurrences", "Timeslices"),
        slo_with(
            "- target: 0.99",
            "- target: 0.99\n      timeSliceTarget: 0.9\n      timeSliceWindow: 1m",
        ),
        slo_with(
            "- target: 0.99",
            "- target: 0.99\n      compositeWeight: 2\n      indicatorRef: a",
        ),
        slo_with("target: 0.99", "target: 1.0"),
        slo_with("target: 0.99", "target: 0"),
        slo_with("target: 0.99", "targetPercent: 100"),
        slo_with("target: 0.99", "target: 0.6"),
        slo_with("target: 0.99", "target: 0.99\n      targetPercent: 99"),
        slo_with("service: search", "service: \"search & find\""),
        slo_with(
            "name: search",
            "name: search\n  annotations: { plimsoll.dev/bellow: 1s }",
        ),
        slo_with(
            "  budgetingMethod: Occurrences\n",
            "  budgetMethod: Occurrences\n",
        ),
        slo_with(
            "  indicator:\n    metadata: { name: i }\n    spec:\n      ratioMetric: { counter: true, good: {}, total: {} }\n",
            "  indicatorRef: gone\n",
        ),
        threshold("- { op: lte, value: 250, target: 0.99 }"),
        threshold("- { op: gte, value: 250, target: 0.99 }"),
        threshold("- { target: 0.99 }"),
        format!("{}---\n{}", slo_with("28d", "28d"), slo_with("28d", "7d")),
        "a: [1, 2\nb: 3\n".to_owned(),
        "- a\n".to_owned(),
        "# nothing\n".to_owned(),
    ];
    let said = cases.iter().map(|case| match imported(&[case], None) {
        Ok(text) => panic!("{case}\nbecame\n{text}"),
        Err(said) => said,
    });
    insta::assert_snapshot!(said.collect::<Vec<_>>().join("\n----\n\n"));
}

#[test]
fn the_unit_of_the_command_line_is_for_files_that_say_none() {
    let file = slo_with(
        "ratioMetric: { counter: true, good: {}, total: {} }",
        "thresholdMetric: {}",
    )
    .replace("- target: 0.99", "- { op: lt, value: 250, target: 0.99 }");
    let text = imported(&[&file], Some(LatencyUnit::Ms)).unwrap();
    assert!(text.contains("below = \"250ms\""), "{text}");
}

fn any_objective() -> impl Strategy<Value = String> {
    let target = (684_u32..1_000, 0_u32..1_000).prop_map(|(thousandths, more)| {
        format!("{}.{}{more:03}%", thousandths / 10, thousandths % 10)
    });
    let period = select(vec![
        "week", "month", "quarter", "28d", "1m", "90s", "61m", "36h", "92d", "1h30m", "7d",
    ]);
    let below = proptest::option::of(select(vec!["250ms", "1us", "1.5s", "10m", "333ns300us"]));
    let classes = select(vec![
        "",
        "classes = [\"critical\", \"sheddable\"]\n",
        "classes = \"standard\"\n",
    ]);
    (target, period, below, classes, any::<bool>()).prop_map(
        |(target, period, below, classes, route)| {
            // The larger unit goes first.
            let below = below.map(|it| if it == "333ns300us" { "300us333ns" } else { it });
            let kind = match below {
                Some(below) => format!("kind = \"latency\"\nbelow = \"{below}\"\n"),
                None => "kind = \"availability\"\n".to_owned(),
            };
            let routes = if route { "routes = [\"ROUTE\"]\n" } else { "" };
            format!("{kind}target = \"{target}\"\nperiod = \"{period}\"\n{classes}{routes}")
        },
    )
}

fn any_services() -> impl Strategy<Value = BTreeMap<String, BTreeMap<String, String>>> {
    let name = || "[A-Za-z0-9][A-Za-z0-9_-]{0,40}";
    btree_map(name(), btree_map(name(), any_objective(), 1..4), 1..4)
}

proptest! {
    #[test]
    fn what_goes_out_comes_back_as_it_was(services in any_services(), pairs in vec(1_u32..100, 0..4)) {
        let mut tables = String::new();
        for (number, (service, objectives)) in services.iter().enumerate() {
            for (name, objective) in objectives {
                let objective = objective.replace("ROUTE", &format!("r-{number}"));
                tables.push_str(&format!("[service.{service}.objective.{name}]\n{objective}"));
            }
        }
        let pairs: Vec<String> = pairs
            .iter()
            .map(|percent| format!("{{ budget = \"{percent}%\", long = \"1h\", short = \"90s\" }}"))
            .collect();
        let names: Vec<&str> = services.keys().map(String::as_str).collect();
        let with_pairs = format!("{tables}[governor]\npairs = [{}]\n", pairs.join(", "));
        let before = whole(&with_pairs, &names);
        let yaml = openslo::write(&before);
        let tables = imported(&[&yaml], None).map_err(|said| TestCaseError::fail(format!("{said}\n{yaml}")))?;
        prop_assert_eq!(all(&before), all(&whole(&tables, &names)));
    }

    #[test]
    fn a_share_is_written_as_the_percentage_that_it_was(share in 0.0_f64..1.0) {
        let text = percent(share);
        let digits = text.strip_suffix('%').unwrap_or_default();
        prop_assert_eq!(format!("{digits}e-2").parse::<f64>(), Ok(share));
    }

    #[test]
    fn no_text_makes_import_panic(text in "(apiVersion: openslo/v1\nkind: SLO\n)?[ -~\n]{0,200}") {
        let _any = imported(&[&text], None);
    }
}

#[test]
fn a_percentage_has_no_more_digits_than_it_needs() {
    for (share, text) in [
        (0.999, "99.9%"),
        (0.99, "99%"),
        (0.9, "90%"),
        (0.001, "0.1%"),
        (0.05, "5%"),
        (1.0, "100%"),
    ] {
        assert_eq!(percent(share), text);
    }
    assert!(matches!(
        config(SHOP).services["checkout"].objectives["latency"].kind,
        ObjectiveKind::Latency { .. }
    ));
}
