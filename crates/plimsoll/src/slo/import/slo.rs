//! One SLO of OpenSLO v1 as objectives of a service.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use plimsoll_config::scenario::is_name;
use plimsoll_config::{Diagnostic, Objective, ObjectiveKind, read_duration};
use plimsoll_core::{Class, Ratio, Timestamp};
use plimsoll_measure::{BurnDetector, Calendar, Period};

use super::super::LatencyUnit;
use super::super::openslo::{CALENDAR, PREFIX};
use super::super::yaml::{Node, Value};
use super::{Imported, check_keys, list};
use crate::simulate::parse_time;

const MINUTE: u64 = 60;
const DAY: u64 = 86_400;
/// What the configuration file takes.
const PERIOD_MAX: Duration = Duration::from_secs(92 * DAY);
const BELOW_MIN: Duration = Duration::from_micros(1);
const BELOW_MAX: Duration = Duration::from_secs(600);

/// The annotations that say what OpenSLO has no field for.
const ANNOTATIONS: [&str; 7] = [
    "service",
    "objective",
    "below",
    "period",
    "routes",
    "classes",
    "unit",
];

/// What an SLO may refer to.
pub(super) struct Context<'a> {
    /// SLIs by name.
    pub(super) indicators: &'a BTreeMap<String, Node>,
    /// What a threshold counts, unless the file says it.
    pub(super) unit: Option<LatencyUnit>,
}

/// The objectives of an SLO, each with the place of its name; none where something can't be taken over.
pub(super) fn objectives(
    document: &Node,
    context: &Context<'_>,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<(Imported, Range<usize>)> {
    let before = diagnostics.len();
    let mut reader = Reader {
        document,
        context,
        diagnostics,
    };
    let objectives = reader.objectives().unwrap_or_default();
    if diagnostics.len() > before {
        return Vec::new();
    }
    objectives
}

/// A share as a percentage, digit for digit: 0.9995 is `99.95%`.
pub(in crate::slo) fn percent(share: f64) -> String {
    // Never with an exponent, and with the fewest digits that are this number.
    let digits = format!("{share}");
    let (whole, part) = digits.split_once('.').unwrap_or((&digits, ""));
    let padded = format!("{part:0<2}");
    let (hundredths, rest) = padded.split_at_checked(2).unwrap_or((&padded, ""));
    let whole = format!("{whole}{hundredths}");
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        digits => digits,
    };
    match rest {
        "" => format!("{whole}%"),
        rest => format!("{whole}.{rest}%"),
    }
}

/// The piece of the calendar that a window is, if it is one of ours.
fn of_calendar(window: &Node, calendar: &Node) -> Option<Calendar> {
    let duration = window.get("duration")?.as_text()?;
    let (_, period) = CALENDAR.iter().find(|(text, _)| *text == duration)?;
    let zone = calendar.get("timeZone")?.as_text()?;
    let begins = calendar.get("startTime")?.as_text()?;
    let begins = parse_time(&format!("{}Z", begins.replace(' ', "T")))?;
    let begins = Period::Calendar(*period).at(Timestamp::from_nanos(begins));
    (zone == "UTC" && begins.elapsed.is_zero()).then_some(*period)
}

struct Reader<'a, 'd> {
    document: &'a Node,
    context: &'a Context<'a>,
    diagnostics: &'d mut Vec<Diagnostic>,
}

/// What is measured.
enum Indicator {
    /// Good ones of all.
    Ratio,
    /// A value, to be compared; what it counts.
    Threshold(Option<LatencyUnit>),
}

impl<'a> Reader<'a, '_> {
    fn objectives(&mut self) -> Option<Vec<(Imported, Range<usize>)>> {
        let document = self.document;
        let known = ["apiVersion", "kind", "metadata", "spec"];
        check_keys(document, "an SLO", &known, self.diagnostics);
        let place = document.as_map()?.first()?.0.span.clone();
        let (Some(metadata), Some(spec)) = (document.get("metadata"), document.get("spec")) else {
            self.error("missing-key", place, "an SLO needs `metadata` and `spec`");
            return None;
        };
        self.check_metadata(metadata);
        let known = [
            "description",
            "service",
            "indicator",
            "indicatorRef",
            "timeWindow",
            "budgetingMethod",
            "objectives",
            "alertPolicies",
        ];
        check_keys(spec, "the `spec` of an SLO", &known, self.diagnostics);
        let Some(name) = metadata.get("name") else {
            self.error("missing-key", place, "an SLO without a name");
            return None;
        };
        let service = match (self.annotation("service"), spec.get("service")) {
            (Some(node), _) | (None, Some(node)) => self.name(node, "service"),
            (None, None) => {
                self.error(
                    "missing-key",
                    name.span.clone(),
                    "an SLO without a `service`",
                );
                None
            }
        };
        let place = self.annotation("objective").unwrap_or(name);
        let base = self.name(place, "objective");
        let period = self.period(spec, &place.span);
        self.check_method(spec, &place.span);
        let indicator = self.indicator(spec, &place.span);
        let routes = self.texts("routes");
        let classes = self.classes();
        let Some(nodes) = list(spec, "objectives").filter(|it| !it.is_empty()) else {
            self.error(
                "missing-key",
                place.span.clone(),
                "an SLO without `objectives`",
            );
            return None;
        };
        let mut found = Vec::new();
        for (number, node) in nodes.iter().enumerate() {
            let read = self.objective(node, indicator.as_ref());
            let (Some((target, kind)), Some(service), Some(base), Some(period)) =
                (read, &service, &base, period)
            else {
                continue;
            };
            let imported = Imported {
                service: service.clone(),
                name: match nodes.len() {
                    1 => base.clone(),
                    _ => format!("{base}-{}", number + 1),
                },
                objective: Objective {
                    kind,
                    target,
                    period,
                    routes: routes.clone(),
                    classes: classes.clone(),
                },
            };
            found.push((imported, place.span.clone()));
        }
        Some(found)
    }

    fn error(&mut self, code: &'static str, span: Range<usize>, message: impl Into<String>) {
        self.diagnostics
            .push(Diagnostic::error(code, span, message));
    }

    fn annotation(&self, name: &str) -> Option<&'a Node> {
        let annotations = self.document.at(&["metadata", "annotations"])?;
        annotations.get(&format!("{PREFIX}{name}"))
    }

    fn check_metadata(&mut self, metadata: &Node) {
        let known = ["name", "displayName", "labels", "annotations"];
        check_keys(metadata, "`metadata`", &known, self.diagnostics);
        let annotations = metadata.get("annotations").and_then(Node::as_map);
        for (key, _) in annotations.unwrap_or_default() {
            let ours = key.name.strip_prefix(PREFIX);
            if ours.is_some_and(|name| !ANNOTATIONS.contains(&name)) {
                let message = format!("Plimsoll has no annotation `{}`", key.name);
                let help = format!("after `{PREFIX}` it has {}", ANNOTATIONS.join(", "));
                self.diagnostics
                    .push(Diagnostic::error("unknown-key", key.span.clone(), message).help(help));
            }
        }
    }

    /// A name of a service or an objective.
    fn name(&mut self, node: &Node, noun: &str) -> Option<String> {
        let name = node.as_text().unwrap_or_default();
        if is_name(name) {
            return Some(name.to_owned());
        }
        let message = format!("the {noun} `{name}` has a name that cannot be used");
        self.diagnostics.push(
            Diagnostic::error("bad-name", node.span.clone(), message)
                .label("letters, digits, `-` and `_` were expected, at most 64")
                .help(format!(
                    "write another one in the annotation `{PREFIX}{noun}`"
                )),
        );
        None
    }

    fn period(&mut self, spec: &Node, place: &Range<usize>) -> Option<Period> {
        let windows = list(spec, "timeWindow").unwrap_or_default();
        let [window] = windows else {
            let place = spec.get("timeWindow").map_or(place, |it| &it.span);
            let message = format!("an SLO with {} time windows", windows.len());
            self.diagnostics.push(
                Diagnostic::error("time-window", place.clone(), message)
                    .label("exactly one was expected")
                    .help("as in `timeWindow: [{ duration: 28d, isRolling: true }]`"),
            );
            return None;
        };
        let known = ["duration", "isRolling", "calendar"];
        check_keys(window, "a time window", &known, self.diagnostics);
        let is_rolling = window.get("isRolling");
        let calendar = window.get("calendar");
        let rolls = matches!(is_rolling.map(|it| &it.value), Some(Value::Bool(true)));
        if let (Some(calendar), false) = (calendar, rolls)
            && let Some(period) = of_calendar(window, calendar)
        {
            return Some(Period::Calendar(period));
        }
        if calendar.is_some() || !rolls {
            let entries = window.as_map().unwrap_or_default();
            let key = entries.iter().find(|(key, _)| key.name == "calendar");
            let place = match (key, is_rolling) {
                (Some((key, _)), _) => key.span.clone(),
                (None, Some(node)) => node.span.clone(),
                (None, None) => entries
                    .first()
                    .map_or(window.span.clone(), |it| it.0.span.clone()),
            };
            self.diagnostics.push(
                Diagnostic::error("calendar-window", place, "the time window does not roll")
                    .label("only rolling windows, and weeks, months and quarters of UTC, can be taken over")
                    .help("write `isRolling: true` and no `calendar`, or `duration: 1w`, `1M` or `1Q` with a `startTime` at its first midnight and `timeZone: UTC`"),
            );
            return None;
        }
        let exact = self.annotation("period");
        let Some(node) = exact.or(window.get("duration")) else {
            self.error(
                "missing-key",
                place.clone(),
                "a time window without a `duration`",
            );
            return None;
        };
        let text = node.as_text().unwrap_or_default();
        let read = match exact {
            Some(_) => read_duration(text),
            None => shorthand(text),
        };
        match read {
            Some(period)
                if (MINUTE..=PERIOD_MAX.as_secs()).contains(&period.as_secs())
                    && period <= PERIOD_MAX =>
            {
                Some(Period::Rolling(period))
            }
            _ => {
                let message = format!("the duration `{text}` cannot be a rolling period");
                let mut diagnostic = Diagnostic::error("bad-duration", node.span.clone(), message)
                    .label("from 1m to 92d was expected, in `m`, `h`, `d` or `w`");
                if text.ends_with(['M', 'Q', 'Y']) {
                    diagnostic = diagnostic
                        .note("months, quarters and years have no length of their own")
                        .help("write days, as in `28d` or `30d`");
                }
                self.diagnostics.push(diagnostic);
                None
            }
        }
    }

    fn check_method(&mut self, spec: &Node, place: &Range<usize>) {
        let Some(node) = spec.get("budgetingMethod") else {
            self.error(
                "missing-key",
                place.clone(),
                "an SLO without a `budgetingMethod`",
            );
            return;
        };
        let method = node.as_text().unwrap_or_default();
        if method != "Occurrences" {
            let message = format!("the budgeting method `{method}` cannot be taken over");
            self.diagnostics.push(
                Diagnostic::error("budgeting-method", node.span.clone(), message)
                    .label("`Occurrences` was expected")
                    .note("Plimsoll counts requests, not slices of time"),
            );
        }
    }

    fn indicator(&mut self, spec: &Node, place: &Range<usize>) -> Option<Indicator> {
        let found = match (spec.get("indicator"), spec.get("indicatorRef")) {
            (Some(node), None) => {
                let known = ["apiVersion", "kind", "metadata", "spec"];
                check_keys(node, "an indicator", &known, self.diagnostics);
                node
            }
            (None, Some(node)) => {
                let name = node.as_text().unwrap_or_default();
                let Some(found) = self.context.indicators.get(name) else {
                    self.diagnostics.push(
                        Diagnostic::error("unknown-sli", node.span.clone(), format!("there is no SLI `{name}`"))
                            .label("no SLI of these files has this name")
                            .help("give the file with it as well: `plimsoll slo import slis.yaml slos.yaml`"),
                    );
                    return None;
                };
                found
            }
            // A composite has them in its objectives, and is told so there.
            (None, None)
                if list(spec, "objectives")
                    .unwrap_or_default()
                    .iter()
                    .any(is_composite) =>
            {
                return None;
            }
            _ => {
                let message = "an SLO needs either `indicator` or `indicatorRef`";
                self.error("missing-key", place.clone(), message);
                return None;
            }
        };
        // The places of an SLI in another file would be shown in this one.
        let at = |node: &Node| match spec.get("indicatorRef") {
            Some(reference) => reference.span.clone(),
            None => node.span.clone(),
        };
        let metric = found.get("spec")?;
        match (metric.get("ratioMetric"), metric.get("thresholdMetric")) {
            (Some(ratio), None) => {
                let has = |key| ratio.get(key).is_some();
                if !(has("raw") || (has("total") && (has("good") || has("bad")))) {
                    let message = "a `ratioMetric` without `total`, and `good` or `bad`";
                    self.error("missing-key", at(ratio), message);
                }
                Some(Indicator::Ratio)
            }
            (None, Some(_)) => {
                let name = format!("{PREFIX}unit");
                let of_sli = found.at(&["metadata", "annotations", &name]);
                let unit = match self.annotation("unit").or(of_sli) {
                    None => self.context.unit,
                    Some(node) => match node.as_text() {
                        Some("ms") => Some(LatencyUnit::Ms),
                        Some("s") => Some(LatencyUnit::S),
                        _ => {
                            let message =
                                format!("the annotation `{name}` is neither `ms` nor `s`");
                            self.error("bad-unit", at(node), message);
                            None
                        }
                    },
                };
                Some(Indicator::Threshold(unit))
            }
            _ => {
                let message = "an indicator needs either `ratioMetric` or `thresholdMetric`";
                self.error("missing-key", at(metric), message);
                None
            }
        }
    }

    fn objective(
        &mut self,
        node: &Node,
        indicator: Option<&Indicator>,
    ) -> Option<(Ratio, ObjectiveKind)> {
        let known = [
            "displayName",
            "op",
            "value",
            "target",
            "targetPercent",
            "timeSliceTarget",
            "timeSliceWindow",
            "indicator",
            "indicatorRef",
            "compositeWeight",
        ];
        check_keys(node, "an objective", &known, self.diagnostics);
        for (key, _) in node.as_map().unwrap_or_default() {
            if COMPOSITE.contains(&key.name.as_str()) {
                let message = "a composite SLO cannot be taken over";
                self.diagnostics.push(
                    Diagnostic::error("composite", key.span.clone(), message)
                        .label("an objective with an indicator or a weight of its own")
                        .help("write an SLO for each of its objectives"),
                );
            }
            if matches!(&*key.name, "timeSliceTarget" | "timeSliceWindow") {
                let message = format!("`{}` cannot be taken over", key.name);
                self.diagnostics.push(
                    Diagnostic::error("budgeting-method", key.span.clone(), message)
                        .label("Plimsoll counts requests, not slices of time"),
                );
            }
        }
        let target = self.target(node);
        let kind = match indicator? {
            Indicator::Ratio => match self.annotation("below") {
                None => Some(ObjectiveKind::Availability),
                Some(below) => self.below(below, below.as_text().and_then(read_duration)),
            },
            Indicator::Threshold(unit) => self.threshold(node, *unit),
        };
        Some((target?, kind?))
    }

    fn target(&mut self, objective: &Node) -> Option<Ratio> {
        let place = objective.as_map().and_then(|it| it.first());
        let place = place.map_or(objective.span.clone(), |(key, _)| key.span.clone());
        let (node, shift) = match (objective.get("target"), objective.get("targetPercent")) {
            (Some(node), None) => (node, ""),
            (None, Some(node)) => (node, "e-2"),
            _ => {
                let message = "an objective needs either `target` or `targetPercent`";
                self.error("missing-key", place, message);
                return None;
            }
        };
        let share: Option<f64> = match node.value {
            // The shift is done in the text, so that 99.9 is the number next to 0.999.
            Value::Number(number) => format!("{number}{shift}").parse().ok(),
            _ => None,
        };
        let target = share
            .filter(|it| *it > 0.0 && *it < 1.0)
            .map(Ratio::try_from);
        let Some(Ok(target)) = target else {
            self.diagnostics.push(
                Diagnostic::error(
                    "no-budget",
                    node.span.clone(),
                    "the target leaves no error budget, or nothing to promise",
                )
                .label(if shift.is_empty() {
                    "a number between 0 and 1 was expected, as in 0.999"
                } else {
                    "a number between 0 and 100 was expected, as in 99.9"
                }),
            );
            return None;
        };
        if let Err(error) = BurnDetector::new(target) {
            self.diagnostics.push(
                Diagnostic::error(
                    "unwatchable",
                    node.span.clone(),
                    "the target can't be watched",
                )
                .label("more than 68.3% was expected")
                .note(error.to_string())
                .help("choose what is worth waking somebody for, as in `target: 0.95`"),
            );
            return None;
        }
        Some(target)
    }

    fn threshold(&mut self, objective: &Node, unit: Option<LatencyUnit>) -> Option<ObjectiveKind> {
        let place = objective.as_map().and_then(|it| it.first());
        let place = place.map_or(objective.span.clone(), |(key, _)| key.span.clone());
        let (Some(op), Some(value)) = (objective.get("op"), objective.get("value")) else {
            let message = "an objective for a `thresholdMetric` needs `op` and `value`";
            self.error("missing-key", place, message);
            return None;
        };
        let comparison = op.as_text().unwrap_or_default();
        if !matches!(comparison, "lt" | "lte") {
            let message = format!("an objective with `op: {comparison}` is none for a latency");
            self.diagnostics.push(
                Diagnostic::error("threshold", op.span.clone(), message)
                    .label("`lt` or `lte` was expected")
                    .note("the only thresholds of Plimsoll are those of latencies, and less is better"),
            );
            return None;
        }
        let Some(unit) = unit else {
            self.diagnostics.push(
                Diagnostic::error("no-unit", value.span.clone(), "the threshold has no unit")
                    .label("milliseconds or seconds?")
                    .help(format!("say it by `--unit ms`, or by the annotation `{PREFIX}unit: ms` of the SLO or its SLI")),
            );
            return None;
        };
        let seconds = match value.value {
            Value::Number(number) => match unit {
                LatencyUnit::Ms => Some(number / 1e3),
                LatencyUnit::S => Some(number),
            },
            _ => None,
        };
        // Nanoseconds are what a duration has; a float that is none is out of range.
        let below = seconds.and_then(|it| Duration::try_from_secs_f64(it).ok());
        self.below(value, below)
    }

    fn below(&mut self, node: &Node, below: Option<Duration>) -> Option<ObjectiveKind> {
        match below {
            Some(below) if (BELOW_MIN..=BELOW_MAX).contains(&below) => {
                Some(ObjectiveKind::Latency { below })
            }
            _ => {
                self.diagnostics.push(
                    Diagnostic::error(
                        "out-of-range",
                        node.span.clone(),
                        "this is no threshold for a latency",
                    )
                    .label("from 1us to 10m was expected"),
                );
                None
            }
        }
    }

    /// A list in an annotation, as JSON.
    fn texts(&mut self, name: &str) -> Vec<String> {
        let Some(node) = self.annotation(name) else {
            return Vec::new();
        };
        let read = node
            .as_text()
            .and_then(|text| serde_json::from_str::<Vec<String>>(text).ok())
            .filter(|texts| {
                texts
                    .iter()
                    .all(|text| !text.is_empty() && !text.contains(char::is_control))
            });
        read.unwrap_or_else(|| {
            self.diagnostics.push(
                Diagnostic::error(
                    "wrong-type",
                    node.span.clone(),
                    format!("the annotation `{PREFIX}{name}` is no list of names"),
                )
                .help(format!(
                    "write it as JSON: `{PREFIX}{name}: '[\"a\", \"b\"]'`"
                )),
            );
            Vec::new()
        })
    }

    fn classes(&mut self) -> Vec<Class> {
        let names = self.texts("classes");
        let class = |name: &String| Class::ALL.into_iter().find(|it| it.name() == name);
        let classes: Vec<Class> = names.iter().filter_map(class).collect();
        if classes.len() < names.len()
            && let Some(node) = self.annotation("classes")
        {
            let message = "a class that Plimsoll does not have";
            let known = Class::ALL.map(Class::name).join(", ");
            self.diagnostics.push(
                Diagnostic::error("unknown-word", node.span.clone(), message)
                    .label(format!("of {known}")),
            );
        }
        classes
    }
}

/// What only objectives of a composite have.
const COMPOSITE: [&str; 3] = ["indicator", "indicatorRef", "compositeWeight"];

fn is_composite(objective: &Node) -> bool {
    COMPOSITE.iter().any(|key| objective.get(key).is_some())
}

/// A duration-shorthand of OpenSLO with a fixed length: a whole number and one letter.
fn shorthand(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        'm' => MINUTE,
        'h' => 60 * MINUTE,
        'd' => DAY,
        'w' => 7 * DAY,
        _ => return None,
    };
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}
