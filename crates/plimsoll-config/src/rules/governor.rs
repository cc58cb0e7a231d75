//! Rules about what the governor knows: dependencies, which requests an objective is about, targets that can be watched.

mod pairs;

use std::collections::BTreeSet;

use plimsoll_measure::{BURN_WINDOWS, BurnDetector, OBJECTIVES_MAX};

use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node};

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(node) = file.table("governor").and_then(|it| it.node("pairs")) {
        pairs::check(node, diagnostics);
    }
    for (name, field) in services.iter() {
        let Some(service) = field.node.as_table() else {
            continue;
        };
        for node in service.list("depends_on") {
            check_dependency(name, node, services, diagnostics);
        }
        let Some(objectives) = service.table("objective") else {
            continue;
        };
        if objectives.iter().count() > OBJECTIVES_MAX {
            let message = format!("service `{name}` has more than {OBJECTIVES_MAX} objectives");
            diagnostics.push(
                Diagnostic::error("too-many", field.key_span.clone(), message)
                    .label("each request is counted for each of them"),
            );
        }
        for (objective, field) in objectives.iter() {
            let Some(fields) = field.node.as_table() else {
                continue;
            };
            let full_name = format!("{name}.{objective}");
            for node in fields.list("routes") {
                check_route(&full_name, node, name, file, diagnostics);
            }
            check_watched(&full_name, fields, diagnostics);
            check_period(&full_name, fields, diagnostics);
        }
    }
}

fn check_dependency(
    service: &str,
    node: &Node,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(text) = node.as_text() else {
        return;
    };
    let names = || services.iter().map(|(name, _)| name);
    let Some(other) = assemble::dependency(node) else {
        let message = format!("service `{service}` depends on `{text}`, which is no service");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("`service.NAME` was expected");
        diagnostics.push(match nearest(text, names()) {
            Some(nearest) => diagnostic.help(format!("did you mean \"service.{nearest}\"?")),
            None => diagnostic.help("write it as in `depends_on = [\"service.inventory\"]`"),
        });
        return;
    };
    if other == service {
        let message = format!("service `{service}` depends on itself");
        diagnostics.push(
            Diagnostic::error("contradiction", node.span.clone(), message).help("leave it out"),
        );
    } else if services.field(other).is_none() {
        let message =
            format!("service `{service}` depends on service `{other}`, which does not exist");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("no service has this name");
        diagnostics.push(match nearest(other, names()) {
            Some(nearest) => diagnostic.help(format!("did you mean \"service.{nearest}\"?")),
            None => diagnostic,
        });
    }
}

fn check_route(
    objective: &str,
    node: &Node,
    service: &str,
    file: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(route) = node.as_text() else {
        return;
    };
    let leading_here: BTreeSet<String> = file
        .list("route")
        .iter()
        .enumerate()
        .filter_map(|(place, node)| {
            let fields = node.as_table()?;
            (fields.text("service")? == service).then(|| assemble::route_name(fields, place))
        })
        .collect();
    if leading_here.contains(route) {
        return;
    }
    let message = format!(
        "objective `{objective}` is about route `{route}`, which does not lead to service `{service}`"
    );
    let diagnostic = Diagnostic::error("unknown-route", node.span.clone(), message)
        .label("no route to the service has this name");
    diagnostics.push(
        match nearest(route, leading_here.iter().map(String::as_str)) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic.help("give the route a `name`, and write that name here"),
        },
    );
}

/// A burn that can't be told from another one pages nobody: better to say so beforehand.
fn check_watched(objective: &str, fields: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let (Some(target), Some(node)) = (fields.percent("target"), fields.node("target")) else {
        return;
    };
    // What is lower still is meant the other way round, and is told so elsewhere.
    if target.get() < 0.5 {
        return;
    }
    if let Err(error) = BurnDetector::new(target) {
        diagnostics.push(
            Diagnostic::error(
                "unwatchable",
                node.span.clone(),
                format!("the target of objective `{objective}` can't be watched"),
            )
            .label("more than 68.3% was expected")
            .note(error.to_string())
            .help("choose what is worth waking somebody for, as in `target = \"95%\"`"),
        );
    }
}

/// A burn rate over a window that is longer than the period counts what the budget has forgotten.
fn check_period(objective: &str, fields: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let (Some(period), Some(field)) = (assemble::period(fields), fields.field("period")) else {
        return;
    };
    let shown: Vec<&str> = BURN_WINDOWS
        .iter()
        .filter(|(_, window)| *window > period.longest())
        .map(|(name, _)| *name)
        .collect();
    let Some((longest, _)) = BURN_WINDOWS.last().filter(|_| !shown.is_empty()) else {
        return;
    };
    let message = format!(
        "the period of objective `{objective}` is shorter than the windows of burn rates over {}",
        shown.join(", ")
    );
    diagnostics.push(
        Diagnostic::warning("odd-value", field.node.span.clone(), message)
            .label("what is older than this counts in those windows and not in the budget")
            .help(format!(
                "take at least `period = \"{longest}\"`, as in `period = \"28d\"`"
            )),
    );
}
