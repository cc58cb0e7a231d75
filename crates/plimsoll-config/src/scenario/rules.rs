//! What must hold between the values of a scenario.

mod calls;
mod flows;
mod load;
pub(super) mod memory;
mod size;

use std::ops::Range;
use std::time::Duration;

use super::Run;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node};
use crate::scheme::any_of;
use crate::unit::show_size;

/// Checks all of it. Gives the memory that a run may need, in bytes.
pub(super) fn check(file: &Fields, run: Run, diagnostics: &mut Vec<Diagnostic>) -> f64 {
    let (Some(services), Some(workloads)) = (file.table("service"), file.table("workload")) else {
        return 0.0;
    };
    for (name, field) in services.iter() {
        if let Some(service) = field.node.as_table() {
            check_work(name, service, &field.key_span, diagnostics);
            check_memory(name, service, diagnostics);
        }
    }
    for (name, field) in workloads.iter() {
        if let Some(workload) = field.node.as_table() {
            let subject = format!("workload `{name}`");
            check_service(&subject, workload, &field.key_span, services, diagnostics);
            check_classes(&subject, workload, diagnostics);
            load::check_source(name, workload, &field.key_span, diagnostics);
        }
    }
    for key in ["service", "workload", "phase"] {
        check_any(file, key, diagnostics);
    }
    for phase in file.list("phase") {
        load::check_phase(phase, workloads, diagnostics);
    }
    let ends: Duration = file.list("phase").iter().filter_map(lasts).sum();
    for fault in file.list("fault") {
        check_fault(fault, services, ends, diagnostics);
        check_gateways(fault, file, diagnostics);
    }
    let graph = calls::Graph::new(services, diagnostics);
    if run == Run::Fluid {
        flows::check(file, services, diagnostics);
    }
    size::check(file, run, services, workloads, graph, diagnostics)
}

/// The service that a workload or a fault names; the only one, if it names none.
pub(super) fn named_service<'a>(fields: &'a Fields, services: &'a Fields) -> Option<&'a str> {
    if let Some(name) = fields.text("service") {
        return Some(name);
    }
    let mut names = services.iter().map(|(name, _)| name);
    names.next().filter(|_| names.next().is_none())
}

fn lasts(node: &Node) -> Option<Duration> {
    node.as_table()?.duration("lasts")
}

fn error(span: &Range<usize>, code: &'static str, message: impl Into<String>) -> Diagnostic {
    Diagnostic::error(code, span.clone(), message)
}

/// There is at least one.
fn check_any(file: &Fields, key: &'static str, diagnostics: &mut Vec<Diagnostic>) {
    let empty = match file.table(key) {
        Some(fields) => fields.iter().next().is_none(),
        None => key == "phase" && file.list(key).is_empty() && file.has(key),
    };
    if let (true, Some(field)) = (empty, file.field(key)) {
        let message = format!("the scenario has no {key}");
        diagnostics
            .push(error(&field.key_span, "missing-key", message).label("one was expected here"));
    }
}

fn check_work(
    name: &str,
    service: &Fields,
    span: &Range<usize>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match (service.field("workers"), service.field("crosstalk")) {
        (None, None) => diagnostics.push(
            error(
                span,
                "missing-key",
                format!("service `{name}` has neither `workers` nor `crosstalk`"),
            )
            .label("how its endpoints work was expected here")
            .help("write `workers = 16` for a pool of workers, or `crosstalk = 0.0006` for a server whose requests get in each other's way"),
        ),
        (Some(workers), Some(crosstalk)) => diagnostics.push(
            error(
                &crosstalk.key_span,
                "contradiction",
                format!("service `{name}` has `workers` and `crosstalk`"),
            )
            .label("all requests at once")
            .related(workers.key_span.clone(), "or so many")
            .help("keep one of them"),
        ),
        _ => (),
    }
    let says_nothing = match (service.has("workers"), service.has("crosstalk")) {
        (true, false) => ["contention"].as_slice(),
        (false, true) => &["spread", "cancels"],
        _ => &[],
    };
    for key in says_nothing {
        let Some(field) = service.field(key).filter(|it| !it.node.is_default) else {
            continue;
        };
        // It says that nothing is dropped, or that the calls are that an endpoint makes itself.
        let calls = service.table("calls").and_then(|calls| calls.iter().next());
        let cancels = service.boolean("cancels") == Some(true) && calls.is_none();
        if *key == "cancels" && !cancels {
            continue;
        }
        let beside = match *key {
            "contention" => "workers",
            _ => "crosstalk",
        };
        let message = format!("service `{name}` has `{beside}` and `{key}`");
        diagnostics.push(
            error(&field.key_span, "contradiction", message)
                .label(format!("it says nothing beside `{beside}`"))
                .help("leave it out"),
        );
    }
    if let (Some(cache), None) = (service.field("cache"), service.field("workers")) {
        let message = format!("service `{name}` has a cache and no `workers`");
        diagnostics.push(
            error(&cache.key_span, "contradiction", message)
                .label("only a worker can be through sooner")
                .help("write `workers = 16`, or leave `cache` out"),
        );
    }
}

/// At least one request fits.
fn check_memory(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(memory) = service.table("memory") else {
        return;
    };
    if let (Some(each), Some(limit), Some(node)) = (
        memory.size("each"),
        memory.size("limit"),
        memory.node("limit"),
    ) && each > limit
    {
        let message = format!("in the memory of service `{name}` there is no room for a request");
        diagnostics.push(
            error(&node.span, "out-of-range", message)
                .label(format!("at least `each` was expected: {}", show_size(each))),
        );
    }
}

/// The service that it names is there.
fn check_service(
    subject: &str,
    fields: &Fields,
    span: &Range<usize>,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let names = || services.iter().map(|(name, _)| name);
    let listed = || any_of(&names().map(|name| format!("`{name}`")).collect::<Vec<_>>());
    match (fields.text("service"), fields.node("service")) {
        (Some(name), Some(node)) if services.field(name).is_none() => {
            let help = match nearest(name, names()) {
                Some(meant) => format!("did you mean \"{meant}\"?"),
                None => format!("there is {}", listed()),
            };
            let message = format!("{subject} is about the service `{name}`, which is not there");
            diagnostics.push(
                error(&node.span, "no-such-service", message)
                    .label("no `[service]` of this name")
                    .help(help),
            );
        }
        (None, None) if names().count() > 1 => diagnostics.push(
            error(
                span,
                "missing-key",
                format!("{subject} does not say which service"),
            )
            .label("`service` was expected here")
            .help(format!("there is {}", listed())),
        ),
        _ => (),
    }
}

fn check_classes(subject: &str, workload: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(field) = workload.field("classes") else {
        return;
    };
    let classes = field.node.as_table();
    let share = |key| classes.and_then(|classes| classes.percent(key));
    if let (Some(critical), Some(sheddable)) = (share("critical"), share("sheddable"))
        && critical.get() + sheddable.get() > 1.0
    {
        let message = format!("the classes of {subject} are more than 100%");
        diagnostics.push(
            error(&field.node.span, "out-of-range", message)
                .label("at most 100% in all were expected; the rest is `standard`"),
        );
    }
}

fn check_fault(fault: &Node, services: &Fields, ends: Duration, diagnostics: &mut Vec<Diagnostic>) {
    let Some(fields) = fault.as_table() else {
        return;
    };
    let kind = fields.word("kind").unwrap_or_default();
    let subject = match kind {
        // That it is missing or unknown is said elsewhere.
        "" => "a fault".to_owned(),
        kind => format!("the fault `{kind}`"),
    };
    check_service(&subject, fields, &fault.span, services, diagnostics);
    let needs = match kind {
        "slow" => Some("times"),
        "errors" | "capacity" | "loss" => Some("share"),
        _ => None,
    };
    for key in ["times", "share"] {
        match (fields.field(key), needs == Some(key)) {
            (None, true) => {
                let message = format!("{subject} has no `{key}`");
                let label = format!("`{key}` was expected here");
                diagnostics.push(error(&fault.span, "missing-key", message).label(label));
            }
            (Some(field), false) if !kind.is_empty() => {
                let message = format!("{subject} cannot have `{key}`");
                diagnostics.push(
                    error(&field.key_span, "contradiction", message)
                        .label("it says nothing here")
                        .help("leave it out"),
                );
            }
            _ => (),
        }
    }
    let service = named_service(fields, services).and_then(|name| services.table(name));
    let after = fields.count::<u64>("after").unwrap_or(0);
    // Of all that are left, there is one at least.
    let count = fields.count::<u64>("endpoints").unwrap_or(1);
    if let (Some(node), Some(all)) = (
        fields.node("endpoints").or_else(|| fields.node("after")),
        service.and_then(|service| service.count::<u64>("endpoints")),
    ) && after + count > all
    {
        let message = format!("{subject} is at more endpoints than its service has");
        let label = match all.saturating_sub(after) {
            _ if after == 0 => format!("at most {all} was expected"),
            0 => format!("after {after} of {all} there is none"),
            left => format!("after {after} of {all}, at most {left} was expected"),
        };
        diagnostics.push(error(&node.span, "out-of-range", message).label(label));
    }
    if let (Some(shared), "capacity") = (service.and_then(|it| it.field("crosstalk")), kind) {
        let message = format!("{subject} is at a service without workers");
        diagnostics.push(
            error(&fault.span, "contradiction", message)
                .label("takes workers away")
                .related(shared.key_span.clone(), "works on all requests at once")
                .help("write `kind = \"slow\"`"),
        );
    }
    if kind == "cold" && service.is_some_and(|service| service.field("cache").is_none()) {
        let message = format!("{subject} is at a service without a cache");
        diagnostics.push(
            error(&fault.span, "contradiction", message)
                .label("empties a cache")
                .help("write `cache = { hit = \"90%\", miss = \"50ms\" }` at the service"),
        );
    }
    if let (Some(node), Some(at)) = (fields.node("at"), fields.duration("at"))
        && at >= ends
    {
        let message = format!("{subject} begins after the end of the run");
        let label = format!("the phases last {} s in all", ends.as_secs_f64());
        diagnostics.push(error(&node.span, "out-of-range", message).label(label));
    }
}

/// Only a partition is between some gateways and the endpoints, and these are there.
fn check_gateways(fault: &Node, file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((fields, field)) = fault
        .as_table()
        .and_then(|fields| Some((fields, fields.field("gateways")?)))
    else {
        return;
    };
    let kind = fields.word("kind").unwrap_or_default();
    let (asked, there) = (
        fields.count::<u64>("gateways").unwrap_or(0),
        file.count::<u64>("gateways").unwrap_or(u64::MAX),
    );
    if kind != "partition" && !kind.is_empty() {
        let message = format!("the fault `{kind}` cannot have `gateways`");
        diagnostics.push(
            error(&field.key_span, "contradiction", message)
                .label("it is at the endpoints, whoever asks them")
                .help("leave it out"),
        );
    } else if asked > there {
        let message = format!("the fault `{kind}` cuts off more gateways than there are");
        diagnostics.push(
            error(&field.node.span, "out-of-range", message)
                .label(format!("at most {there} was expected")),
        );
    }
}
