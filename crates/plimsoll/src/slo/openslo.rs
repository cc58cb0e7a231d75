//! Objectives as OpenSLO v1.
//!
//! Source: the OpenSLO specification, v1. What it has no field for is in annotations `plimsoll.dev/...`, which
//! `slo import` reads. An alert condition has one window: the short one of a pair is how long the burn must last.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_config::{Config, ObjectiveKind, Runbook, show_duration, show_percent};
use plimsoll_measure::{BurnPair, Calendar, Period};

use super::yaml::scalar;
use super::{Promise, promises, severity, show_period};

/// The version that is written and read.
pub(super) const VERSION: &str = "openslo/v1";
/// What the names of our annotations begin with.
pub(super) const PREFIX: &str = "plimsoll.dev/";
/// The longest name of an object (RFC 1123, a label).
const NAME_MAX: usize = 63;

const MINUTE: u64 = 60;

/// All objectives, with their services and what alerts on them.
pub(super) fn write(config: &Config) -> String {
    let mut out = String::from("# The objectives of a Plimsoll, by `plimsoll slo export`.\n");
    let mut names = Names::default();
    let services: BTreeMap<&str, String> = config
        .services
        .keys()
        .map(|name| (name.as_str(), names.unique(name)))
        .collect();
    for (name, service) in &config.services {
        let mut annotations = vec![
            ("service", name.clone()),
            ("tier", service.tier.to_string()),
        ];
        annotations.extend(service.owner.clone().map(|owner| ("owner", owner)));
        let runbook = service.runbook.as_ref().and_then(Runbook::url);
        annotations.extend(runbook.map(|it| ("runbook", it.to_owned())));
        let object = services.get(name.as_str()).map_or("", String::as_str);
        head(&mut out, "Service", object, name, &annotations);
        out.push_str("spec: {}\n");
    }
    let mut policies = BTreeMap::new();
    let mut names = Names::default();
    for promise in promises(config) {
        let object = services
            .get(promise.service_name)
            .map_or("", String::as_str);
        let name = names.unique(&format!("{}-{}", promise.service_name, promise.name));
        objective(&mut out, &promise, &name, object, config, &mut policies);
    }
    for (name, (pair, period)) in &policies {
        policy(&mut out, name, pair, *period);
    }
    out
}

/// Names of objects: lower case, of letters, digits and `-`; no two the same.
#[derive(Debug, Default)]
struct Names(BTreeSet<String>);

impl Names {
    fn unique(&mut self, name: &str) -> String {
        let label: String = name
            .chars()
            .map(|c| match c {
                'a'..='z' | '0'..='9' => c,
                'A'..='Z' => c.to_ascii_lowercase(),
                _ => '-',
            })
            .collect();
        let mut number = 1_u32;
        loop {
            let suffix = if number == 1 {
                String::new()
            } else {
                format!("-{number}")
            };
            let short: String = label.chars().take(NAME_MAX - suffix.len()).collect();
            let candidate = format!("{}{suffix}", short.trim_end_matches('-'));
            if self.0.insert(candidate.clone()) {
                return candidate;
            }
            number += 1;
        }
    }
}

fn head(out: &mut String, kind: &str, name: &str, shown: &str, annotations: &[(&str, String)]) {
    let _infallible = write!(
        out,
        "---\napiVersion: {VERSION}\nkind: {kind}\nmetadata:\n  name: {}\n  displayName: {}\n",
        scalar(name),
        scalar(shown)
    );
    if !annotations.is_empty() {
        out.push_str("  annotations:\n");
    }
    for (name, value) in annotations {
        let _infallible = writeln!(out, "    {PREFIX}{name}: {}", scalar(value));
    }
}

/// The policies by their names, each with its pair and the period that it is for.
type Policies<'a> = BTreeMap<String, (&'a BurnPair, Duration)>;

fn objective<'a>(
    out: &mut String,
    promise: &Promise<'_>,
    name: &str,
    service: &str,
    config: &'a Config,
    policies: &mut Policies<'a>,
) {
    let (what, spec) = (promise, promise.objective);
    let shown = format!("{}.{}", what.service_name, what.name);
    let (period, exact) = period(spec.period);
    let window = window(spec.period);
    head(out, "SLO", name, &shown, &annotations(promise, exact));
    let good = match spec.kind {
        ObjectiveKind::Availability => "good ones".to_owned(),
        ObjectiveKind::Latency { below } => format!("good ones within {}", show_duration(below)),
    };
    let description = format!(
        "{} of the requests to {} are {good}.",
        show_percent(spec.target),
        what.service_name
    );
    let labels = what.labels();
    let good = format!("plimsoll_objective_good_total{{{labels}}}");
    let total = format!("{good} + plimsoll_objective_bad_total{{{labels}}}");
    let _infallible = write!(
        out,
        "spec:
  description: {}
  service: {}
  indicator:
    metadata:
      name: {}
    spec:
      ratioMetric:
        counter: true
        good:
          metricSource:
            type: Prometheus
            spec:
              query: {}
        total:
          metricSource:
            type: Prometheus
            spec:
              query: {}
  timeWindow:
    - duration: {period}
{window}  budgetingMethod: Occurrences
  objectives:
    - displayName: {}
      target: {}
",
        scalar(&description),
        scalar(service),
        scalar(name),
        scalar(&good),
        scalar(&total),
        scalar(&shown),
        spec.target.get(),
    );
    let mut alerts = String::new();
    for pair in &config.governor.pairs {
        match policy_name(pair, promise) {
            Ok(name) => {
                let _infallible = writeln!(alerts, "    - alertPolicyRef: {}", scalar(&name));
                policies.insert(name, (pair, spec.period.longest()));
            }
            Err(reason) => {
                let _infallible = writeln!(alerts, "    # {reason}");
            }
        }
    }
    if alerts.contains("alertPolicyRef") {
        out.push_str("  alertPolicies:\n");
        out.push_str(&alerts);
    } else {
        // A key with comments only would be a null.
        out.push_str("  alertPolicies: []\n");
        out.push_str(&alerts);
    }
}

/// What pieces of the calendar are in OpenSLO.
pub(super) const CALENDAR: [(&str, Calendar); 3] = [
    ("1w", Calendar::Week),
    ("1M", Calendar::Month),
    ("1Q", Calendar::Quarter),
];

/// The rest of the window: that it rolls, or a moment at which one of the calendar begins.
fn window(period: Period) -> &'static str {
    match period {
        Period::Rolling(_) => "      isRolling: true\n",
        // A Monday, and the first day of a quarter.
        Period::Calendar(_) => {
            "      isRolling: false\n      calendar:\n        startTime: \"2024-01-01 00:00:00\"\n        timeZone: UTC\n"
        }
    }
}

/// The duration of the window; where that has no whole minutes, the next whole one, and it is said exactly.
fn period(period: Period) -> (String, Option<Duration>) {
    let period = match period {
        Period::Rolling(period) => period,
        Period::Calendar(calendar) => {
            let known = CALENDAR.iter().find(|(_, it)| *it == calendar);
            let text = known.map_or("", |(text, _)| text);
            return (text.to_owned(), None);
        }
    };
    match shorthand(period) {
        Some(text) => (text, None),
        None => (
            format!("{}m", period.as_secs().div_ceil(MINUTE)),
            Some(period),
        ),
    }
}

/// A duration in the largest unit that OpenSLO has for it.
fn shorthand(duration: Duration) -> Option<String> {
    (duration.as_secs().is_multiple_of(MINUTE) && duration.subsec_nanos() == 0)
        .then(|| show_duration(duration))
}

fn annotations(promise: &Promise<'_>, period: Option<Duration>) -> Vec<(&'static str, String)> {
    let spec = promise.objective;
    let mut all = vec![
        ("service", promise.service_name.to_owned()),
        ("objective", promise.name.to_owned()),
    ];
    if let ObjectiveKind::Latency { below } = spec.kind {
        all.push(("below", show_duration(below)));
    }
    all.extend(period.map(|exact| ("period", show_duration(exact))));
    if !spec.routes.is_empty() {
        all.push(("routes", serde_json::json!(spec.routes).to_string()));
    }
    if !spec.classes.is_empty() {
        let classes: Vec<&str> = spec.classes.iter().map(|class| class.name()).collect();
        all.push(("classes", serde_json::json!(classes).to_string()));
    }
    all
}

/// The policy of a pair for an objective, or why there is none.
fn policy_name(pair: &BurnPair, promise: &Promise<'_>) -> Result<String, String> {
    if let Some(reason) = super::prometheus::left_out(pair, promise) {
        return Err(reason);
    }
    match (shorthand(pair.long), shorthand(pair.short)) {
        (Some(long), Some(short)) => Ok(format!(
            "burn-{}-{long}-{short}-{}",
            show_period(promise.objective.period),
            severity(pair.urgency)
        )),
        _ => Err(format!(
            "left out: the pair {} / {}, as OpenSLO has no seconds",
            show_duration(pair.long),
            show_duration(pair.short)
        )),
    }
}

fn policy(out: &mut String, name: &str, pair: &BurnPair, period: Duration) {
    let (long, short) = (show_duration(pair.long), show_duration(pair.short));
    let shown = format!(
        "{} of the budget in {long}",
        show_percent(pair.budget_share)
    );
    head(out, "AlertPolicy", name, &shown, &[]);
    let _infallible = write!(
        out,
        "spec:
  alertWhenBreaching: true
  alertWhenResolved: true
  alertWhenNoData: false
  conditions:
    - kind: AlertCondition
      metadata:
        name: {}
        annotations:
          {PREFIX}short-window: {}
      spec:
        severity: {}
        condition:
          kind: burnrate
          op: gt
          threshold: {}
          lookbackWindow: {long}
          alertAfter: {short}
  notificationTargets: []
",
        scalar(name),
        scalar(&short),
        severity(pair.urgency),
        pair.factor(period),
    );
}
