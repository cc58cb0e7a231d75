//! Objectives as rules for Prometheus: burn rates by window, and alerts on pairs of them.
//!
//! A group for each objective, so that its alerts see the burn rates of the same evaluation. The counters of all
//! Plimsolls that are scraped are added up.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_config::{Config, Runbook, show_duration, show_percent};
use plimsoll_measure::{BURN_WINDOWS, BurnPair, Urgency};

use super::yaml::scalar;
use super::{Promise, promises, severity, show_period};

/// The rules of all objectives.
pub(super) fn write(config: &Config) -> String {
    let mut out = String::from(
        "# Burn rates and alerts for the objectives of a Plimsoll, by `plimsoll slo export --as prometheus`.\n",
    );
    if promises(config).next().is_none() {
        out.push_str("# The configuration has no objectives.\ngroups: []\n");
        return out;
    }
    out.push_str("groups:\n");
    for promise in promises(config) {
        group(&mut out, &promise, &config.governor.pairs);
    }
    out
}

/// Why there is no alert by this pair, if there is none.
pub(super) fn left_out(pair: &BurnPair, promise: &Promise<'_>) -> Option<String> {
    let spec = promise.objective;
    let pair_is = format!(
        "left out: the pair {} / {}",
        show_duration(pair.long),
        show_duration(pair.short)
    );
    let period = spec.period.longest();
    if !pair.fits(period) {
        return Some(format!(
            "{pair_is}, longer than the period of {}",
            show_period(spec.period)
        ));
    }
    (!pair.can_fire(spec.target, period)).then(|| {
        format!(
            "{pair_is}: it needs a burn above {}, and with a target of {} there is none above {}",
            pair.factor(period),
            show_percent(spec.target),
            (1e3 / promise.allowed()).round() / 1e3
        )
    })
}

fn group(out: &mut String, promise: &Promise<'_>, pairs: &[BurnPair]) {
    let spec = promise.objective;
    let name = format!("plimsoll {}.{}", promise.service_name, promise.name);
    let standard = BURN_WINDOWS.iter().map(|(_, window)| *window);
    let of_pairs = pairs.iter().flat_map(|pair| [pair.long, pair.short]);
    let windows: BTreeSet<Duration> = standard
        .chain(of_pairs)
        .filter(|window| *window <= spec.period.longest())
        .collect();
    // A key with comments only would be a null.
    let rules = if windows.is_empty() { " []" } else { "" };
    let _infallible = write!(out, "  - name: {}\n    rules:{rules}\n", scalar(&name));
    for window in windows {
        recording(out, promise, window);
    }
    for pair in pairs {
        if let Some(reason) = left_out(pair, promise) {
            let _infallible = writeln!(out, "      # {reason}");
        }
    }
    for urgency in [Urgency::Page, Urgency::Ticket] {
        let pairs: Vec<&BurnPair> = pairs
            .iter()
            .filter(|pair| pair.urgency == urgency && left_out(pair, promise).is_none())
            .collect();
        if !pairs.is_empty() {
            alert(out, promise, urgency, &pairs);
        }
    }
}

/// The name of a window's burn rate: a level, what it is, how it was made.
fn record(window: Duration) -> String {
    format!("objective:plimsoll_burn:rate{}", show_duration(window))
}

/// Without traffic there is no value: nothing by nothing would be NaN.
fn recording(out: &mut String, promise: &Promise<'_>, window: Duration) {
    let rate = |outcome: &str| {
        format!(
            "sum by (service, objective) (rate(plimsoll_objective_{outcome}_total{{{}}}[{}]))",
            promise.labels(),
            show_duration(window)
        )
    };
    let (bad, good) = (rate("bad"), rate("good"));
    let _infallible = write!(
        out,
        "      - record: {}
        expr: |-
          {bad}
          / ({bad}
          + {good} > 0)
          / {}
",
        record(window),
        promise.allowed(),
    );
}

/// One alert for all pairs of a severity, so that it goes on where one pair takes over from another.
fn alert(out: &mut String, promise: &Promise<'_>, urgency: Urgency, pairs: &[&BurnPair]) {
    let spec = promise.objective;
    let labels = promise.labels();
    let conditions: Vec<String> = pairs
        .iter()
        .map(|pair| {
            let factor = pair.factor(spec.period.longest());
            let burns = |window| format!("{}{{{labels}}} > {factor}", record(window));
            format!("{} and {}", burns(pair.long), burns(pair.short))
        })
        .collect();
    let full_name = format!("{}.{}", promise.service_name, promise.name);
    let _infallible = write!(
        out,
        "      - alert: PlimsollBudgetBurn
        expr: |-
          {}
        labels:
          severity: {}
          tier: \"{}\"
",
        conditions.join("\n          or "),
        severity(urgency),
        promise.service.tier,
    );
    if let Some(owner) = &promise.service.owner {
        let _infallible = writeln!(out, "          owner: {}", scalar(&plain(owner)));
    }
    let summary = format!("{full_name} burns its error budget");
    let description = format!(
        "The budget of {full_name} ({} over {}) burns {{{{ printf \"%.1f\" $value }}}} times as fast as it may.",
        show_percent(spec.target),
        show_period(spec.period)
    );
    let _infallible = write!(
        out,
        "        annotations:
          summary: {}
          description: {}
",
        scalar(&summary),
        scalar(&description),
    );
    if let Some(runbook) = promise.service.runbook.as_ref().and_then(Runbook::url) {
        let _infallible = writeln!(out, "          runbook_url: {}", scalar(&plain(runbook)));
    }
}

/// Labels and annotations are templates of Go: what begins one is to stand there as it is.
fn plain(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}
