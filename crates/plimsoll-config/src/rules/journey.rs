//! Rules about journeys: services that there are, each with the objective, for one period, and a target that can be kept.

use super::{check_services, check_target, contradiction};
use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Field, Fields, Node};
use crate::unit::show_percent;

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let journeys = file.table("journey").into_iter().flat_map(Fields::iter);
    for (name, field) in journeys {
        let Some(journey) = field.node.as_table() else {
            continue;
        };
        check_services(
            &format!("journey `{name}` is"),
            journey,
            services,
            diagnostics,
        );
        check_target(&format!("journey `{name}`"), journey, diagnostics);
        check_steps(name, field, journey, services, diagnostics);
    }
}

fn check_steps(
    name: &str,
    field: &Field,
    journey: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let nodes = journey.list("services");
    if nodes.is_empty() && journey.has("services") {
        let message = format!("journey `{name}` needs no service");
        diagnostics.push(
            Diagnostic::error("missing-key", field.key_span.clone(), message)
                .help("name what users need for it, as in `services = [\"shop\", \"checkout\"]`"),
        );
    }
    let Some(objective) = journey.text("objective") else {
        return;
    };
    let mut first: Option<(&Node, &Fields)> = None;
    // What the targets of the services leave of it.
    let mut kept = 1.0;
    for node in nodes {
        let service = node.as_text().and_then(|it| services.field(it));
        let Some(service) = service.and_then(|field| field.node.as_table()) else {
            continue;
        };
        let objectives = service.table("objective");
        let found = objectives
            .and_then(|it| it.field(objective))
            .and_then(|field| field.node.as_table());
        let Some(found) = found else {
            diagnostics.push(without(name, node, objective, objectives));
            continue;
        };
        kept *= found.percent("target").map_or(1.0, |target| target.get());
        match first {
            None => first = Some((node, found)),
            Some((earlier, other)) if assemble::period(other) != assemble::period(found) => {
                let message = format!(
                    "the services of journey `{name}` have objectives `{objective}` for different periods"
                );
                diagnostics.push(
                    contradiction(&node.span, &earlier.span, message)
                        .help("give them the same `period`, or name another `objective`"),
                );
                return;
            }
            Some(_) => (),
        }
    }
    let target = journey.percent("target").zip(journey.node("target"));
    if let Some((target, node)) = target
        && kept < target.get() - 1e-9
        && let Ok(kept) = kept.try_into()
    {
        let message = format!("the target of journey `{name}` is more than its services promise");
        diagnostics.push(
            Diagnostic::warning("odd-value", node.span.clone(), message)
                .label(format!(
                    "where each just keeps its target, {} succeed",
                    show_percent(kept)
                ))
                .help("ask less of it, or more of them"),
        );
    }
}

fn without(name: &str, node: &Node, objective: &str, objectives: Option<&Fields>) -> Diagnostic {
    let service = node.as_text().unwrap_or_default();
    let message = format!(
        "journey `{name}` is judged by objective `{objective}`, which service `{service}` does not have"
    );
    let diagnostic = Diagnostic::error("unknown-objective", node.span.clone(), message)
        .label("no objective of it has this name");
    let names = objectives.into_iter().flat_map(Fields::iter);
    match nearest(objective, names.map(|(name, _)| name)) {
        Some(nearest) => diagnostic.help(format!("did you mean `objective = \"{nearest}\"`?")),
        None => diagnostic.help(format!(
            "give it one: `[service.{service}.objective.{objective}]`"
        )),
    }
}
