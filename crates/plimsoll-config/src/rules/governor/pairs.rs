//! Rules about multi-window alerts.

use plimsoll_measure::BURN_PAIRS_MAX;

use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node, Value};
use crate::unit::show_duration;

pub(super) fn check(pairs: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Value::List(nodes) = &pairs.value else {
        return;
    };
    if nodes.len() > BURN_PAIRS_MAX {
        let message = format!("`governor.pairs` has more than {BURN_PAIRS_MAX} pairs");
        diagnostics.push(
            Diagnostic::error("too-many", pairs.span.clone(), message)
                .label("each is an alert for each objective"),
        );
    }
    for fields in nodes.iter().filter_map(Node::as_table) {
        check_budget(fields, diagnostics);
        check_windows(fields, diagnostics);
    }
}

fn check_budget(pair: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let (Some(budget), Some(node)) = (pair.percent("budget"), pair.node("budget")) else {
        return;
    };
    if budget.get() == 0.0 {
        diagnostics.push(
            Diagnostic::error(
                "no-budget",
                node.span.clone(),
                "a pair of windows would call somebody for the first failure",
            )
            .label("more than 0% was expected")
            .help("write how much of the budget is worth a call, as in `budget = \"2%\"`"),
        );
    }
}

fn check_windows(pair: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for key in ["long", "short"] {
        let (Some(window), Some(node)) = (pair.duration(key), pair.node(key)) else {
            continue;
        };
        if window.subsec_nanos() != 0 {
            let message = format!(
                "the window {} is no whole number of seconds",
                show_duration(window)
            );
            diagnostics.push(
                Diagnostic::error("out-of-range", node.span.clone(), message)
                    .label("whole seconds were expected"),
            );
        }
    }
    let (Some(long), Some(short)) = (pair.duration("long"), pair.duration("short")) else {
        return;
    };
    if let (Some(long_node), Some(short_node)) = (pair.node("long"), pair.node("short"))
        && short >= long
    {
        let message = format!(
            "the short window of a pair, {}, is not shorter than the long one",
            show_duration(short)
        );
        diagnostics.push(
            super::super::contradiction(&short_node.span, &long_node.span, message)
                .label("it says whether the burn goes on")
                .help("a twelfth of the long one is usual, as in `long = \"1h\", short = \"5m\"`"),
        );
    }
}
