//! What must hold for what workloads send, in all and in a phase.

use std::ops::Range;

use super::error;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node};
use crate::scheme::any_of;

/// What makes a workload send: the key that says so, and those that go with it.
const SOURCES: [(&str, &[&str]); 3] = [
    ("rate", &[]),
    ("users", &["think", "leaves"]),
    ("replay", &["speed"]),
];

/// The key that says what makes a workload send, if there is one.
fn source(workload: &Fields) -> Option<&'static str> {
    let mut keys = SOURCES.iter().map(|(key, _)| *key);
    keys.find(|key| workload.has(key))
}

/// There is one thing that makes a workload send, with all that goes with it and nothing else.
pub(super) fn check_source(
    name: &str,
    workload: &Fields,
    span: &Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(source) = source(workload) else {
        let message = format!("workload `{name}` has neither `rate`, `users` nor `replay`");
        diagnostics.push(
            error(span, "missing-key", message)
                .label("what makes it send was expected here")
                .help("write `rate = \"100/s\"`, or `users = 200` with `think = \"2s\"`, or `replay = \"access.log\"`"),
        );
        return;
    };
    for (key, belong) in SOURCES {
        if let (true, Some(field), Some(first)) =
            (key != source, workload.field(key), workload.field(source))
        {
            let message = format!("workload `{name}` has `{source}` and `{key}`");
            diagnostics.push(
                error(&field.key_span, "contradiction", message)
                    .label("this makes it send")
                    .related(first.key_span.clone(), "and this does")
                    .help("keep one of them; two workloads can be before one service"),
            );
        }
        for belonging in belong.iter().filter(|_| !workload.has(key)) {
            if let Some(field) = workload.field(belonging) {
                let message =
                    format!("workload `{name}` has `{belonging}`, which goes with `{key}`");
                diagnostics.push(
                    error(&field.key_span, "contradiction", message)
                        .label(format!("it says nothing beside `{source}`"))
                        .help("leave it out"),
                );
            }
        }
    }
    if let (Some(users), false) = (workload.field("users"), workload.has("think")) {
        let message = format!("workload `{name}` has `users` that do not think");
        diagnostics.push(
            error(&users.key_span, "missing-key", message)
                .label("`think` was expected with it")
                .help("write `think = \"2s\"`"),
        );
    }
}

/// Workloads that a phase names are there and can be told so, and rates are whole.
pub(super) fn check_phase(phase: &Node, workloads: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for key in ["rate", "users"] {
        let entries = phase.as_table().and_then(|phase| phase.table(key));
        for (name, field) in entries.into_iter().flat_map(Fields::iter) {
            let what = if key == "rate" { "a rate" } else { "users" };
            let subject = format!("a phase has {what} for the workload `{name}`");
            match workloads.field(name) {
                None => {
                    diagnostics.push(no_such_workload(&subject, name, &field.key_span, workloads))
                }
                Some(workload) => {
                    let source = workload.node.as_table().and_then(source);
                    if let Some(source) = source.filter(|source| *source != key) {
                        let message = format!("{subject}, which sends by `{source}`");
                        diagnostics.push(
                            error(&field.key_span, "contradiction", message)
                                .label(format!("only a workload with `{key}` can have this"))
                                .related(workload.key_span.clone(), format!("has `{source}`")),
                        );
                    }
                }
            }
            if let (Some(rate), "rate") = (field.node.as_table(), key) {
                check_shape(name, rate, &field.key_span, diagnostics);
            }
        }
    }
}

fn no_such_workload(
    subject: &str,
    name: &str,
    span: &Range<usize>,
    workloads: &Fields,
) -> Diagnostic {
    let names = || workloads.iter().map(|(name, _)| name);
    let message = format!("{subject}, which is not there");
    let diagnostic = error(span, "no-such-workload", message).label("no `[workload]` of this name");
    let listed = || any_of(&names().map(|name| format!("`{name}`")).collect::<Vec<_>>());
    match nearest(name, names()) {
        Some(meant) => diagnostic.help(format!("did you mean `{meant}`?")),
        None => diagnostic.help(format!("there is {}", listed())),
    }
}

/// What a rate does: what people call it, what it needs beside `to`, and an example.
struct ShapeRule {
    plural: &'static str,
    /// That one of these is written says that it is meant.
    keys: &'static [&'static str],
    needs: &'static [&'static str],
    listed: &'static str,
    example: &'static str,
}

/// In the order in which they are recognised.
const SHAPES: [ShapeRule; 3] = [
    ShapeRule {
        plural: "waves",
        keys: &["mean", "swing", "period", "peak_at"],
        needs: &["mean", "swing", "period", "peak_at"],
        listed: "`mean`, `swing`, `period` and `peak_at`",
        example: "as in `{ mean = \"800/s\", swing = \"60%\", period = \"24h\", peak_at = \"14h\" }`",
    },
    ShapeRule {
        plural: "flash crowds",
        keys: &["rise", "decay"],
        needs: &["to", "peak", "rise", "decay"],
        listed: "`to`, `peak`, `rise` and `decay`",
        example: "as in `{ to = \"100/s\", peak = \"1000/s\", rise = \"10s\", decay = \"60s\" }`",
    },
    ShapeRule {
        plural: "bursts",
        keys: &["peak", "lasts", "every"],
        needs: &["to", "peak", "lasts", "every"],
        listed: "`peak`, `lasts` and `every`",
        example: "as in `{ to = \"100/s\", peak = \"1000/s\", lasts = \"1s\", every = \"10s\" }`",
    },
];

/// All keys of a rate.
const RATE_KEYS: [&str; 11] = [
    "to", "from", "peak", "lasts", "every", "rise", "decay", "mean", "swing", "period", "peak_at",
];

fn check_shape(name: &str, rate: &Fields, span: &Range<usize>, diagnostics: &mut Vec<Diagnostic>) {
    let meant = |rule: &&ShapeRule| rule.keys.iter().any(|key| rate.has(key));
    let Some(rule) = SHAPES.iter().find(meant) else {
        if !rate.has("to") {
            let message = format!("the rate of `{name}` has no `to`");
            diagnostics.push(
                error(span, "missing-key", message)
                    .label("a rate was expected here")
                    .help("as in `\"100/s\"`, or `{ from = \"100/s\", to = \"200/s\" }`"),
            );
        }
        return;
    };
    let plural = rule.plural;
    if rule.needs.iter().any(|key| !rate.has(key)) {
        let message = format!("the {plural} of `{name}` need {}", rule.listed);
        diagnostics.push(
            error(span, "missing-key", message)
                .label("one of them is not here")
                .help(rule.example),
        );
    }
    for key in RATE_KEYS.iter().filter(|key| !rule.needs.contains(key)) {
        if let Some(field) = rate.field(key) {
            let (message, label) = match *key {
                "from" => (
                    format!("the rate of `{name}` has {plural} and a ramp"),
                    "the beginning of a ramp".to_owned(),
                ),
                key => (
                    format!("the rate of `{name}` has {plural} and `{key}`"),
                    format!("{plural} do not have this"),
                ),
            };
            diagnostics.push(
                error(&field.key_span, "contradiction", message)
                    .label(label)
                    .help("make two phases of it, or two workloads"),
            );
        }
    }
    if let (Some(lasts), Some(every)) = (rate.duration("lasts"), rate.duration("every"))
        && let Some(node) = rate.node("lasts")
        && lasts > every
    {
        diagnostics.push(
            error(
                &node.span,
                "out-of-range",
                format!("a burst of `{name}` lasts longer than from one to the next"),
            )
            .label("at most `every` was expected"),
        );
    }
}

/// The most that a workload may send in a phase.
pub(super) struct Most {
    /// New requests per second, tried again or not.
    pub(super) rate: f64,
    /// How many there are at most that send, each one at a time; `None` if nothing bounds them.
    pub(super) users: Option<f64>,
    /// What says so.
    pub(super) span: Range<usize>,
}

/// `None` where nothing says what it is, or where only the shell can know.
pub(super) fn most(name: &str, workload: &Fields, phase: &Fields) -> Option<Most> {
    let own = |key| phase.table(key).and_then(|entries| entries.node(name));
    if workload.has("users") {
        let node = own("users").or(workload.node("users"))?;
        let of = |fields: &Fields, key: &str| fields.count::<u32>(key).map(f64::from);
        let usual = of(workload, "users");
        let users = phase.table("users").and_then(|it| of(it, name)).or(usual)?;
        let think = workload.duration("think")?.as_secs_f64();
        return Some(Most {
            rate: users / think,
            users: Some(users),
            span: node.span.clone(),
        });
    }
    let rate = |fields: &Fields, key| fields.rate(key).map(|rate| rate.per_second());
    let (highest, span) = match own("rate").and_then(|own| Some((own, own.as_table()?))) {
        Some((own, rates)) => {
            let keys = ["from", "to", "peak"];
            let all = keys.iter().filter_map(|key| rate(rates, key));
            let swing = rates.percent("swing").map_or(0.0, |swing| swing.get());
            let wave = rate(rates, "mean").map(|mean| mean * (1.0 + swing));
            (all.chain(wave).fold(0.0, f64::max), own.span.clone())
        }
        None => (rate(workload, "rate")?, workload.node("rate")?.span.clone()),
    };
    Some(Most {
        rate: highest,
        users: None,
        span,
    })
}
