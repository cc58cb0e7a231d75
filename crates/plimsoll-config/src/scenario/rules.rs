//! What must hold between the values of a scenario.

mod calls;
mod flows;
mod load;
mod memory;

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::Run;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node};
use crate::scheme::any_of;
use crate::unit::show_size;

/// The most requests of one run: at a million in a few seconds, a run beyond this takes most of an hour.
const REQUESTS_MAX: f64 = 500e6;
/// The most requests that may be under way: each takes about a kilobyte.
const UNDER_WAY_MAX: f64 = 2e6;

pub(super) fn check(file: &Fields, run: Run, diagnostics: &mut Vec<Diagnostic>) {
    let (Some(services), Some(workloads)) = (file.table("service"), file.table("workload")) else {
        return;
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
    match (run, graph) {
        (Run::ByRequest, Some(graph)) => {
            check_size(file, services, workloads, &graph, diagnostics);
        }
        (Run::ByRequest, None) => (),
        (Run::Fluid, _) => flows::check(file, services, diagnostics),
    }
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
    let subject = format!("the fault `{kind}`");
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

/// The run takes neither for ever nor all memory.
fn check_size<'a>(
    file: &Fields,
    services: &'a Fields,
    workloads: &'a Fields,
    graph: &calls::Graph<'a>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (mut requests, mut most_under_way) = (0.0, 0.0_f64);
    // By service: what is sent to it in all, and each second at most.
    let (mut sent, mut most_sent) = (BTreeMap::<&str, f64>::new(), BTreeMap::new());
    for phase in file.list("phase").iter().filter_map(Node::as_table) {
        let (mut all_under_way, mut rates) = (0.0, BTreeMap::<&str, f64>::new());
        let seconds = phase.duration("lasts").unwrap_or_default().as_secs_f64();
        for (name, field) in workloads.iter() {
            let Some(workload) = field.node.as_table() else {
                continue;
            };
            let Some(most) = load::most(name, workload, phase) else {
                continue;
            };
            let retry = workload.table("retry").and_then(|it| it.count("attempts"));
            let tries = f64::from(retry.unwrap_or(1_u8));
            let patience = workload.duration("patience").unwrap_or_default();
            // Who waits for an answer has no second request under way.
            let waiting = most.rate * tries * patience.as_secs_f64();
            let under_way = most.users.unwrap_or(waiting);
            if under_way > UNDER_WAY_MAX {
                let message =
                    format!("workload `{name}` may have {under_way:.0} requests under way");
                diagnostics.push(
                    error(&most.span, "too-large", message)
                        .label(format!(
                            "at most {UNDER_WAY_MAX:.0} was expected: they would not fit in memory"
                        ))
                        .help("a lower rate, less `patience`, or fewer `attempts`"),
                );
            }
            requests += most.rate * tries * seconds;
            all_under_way += under_way;
            if let Some(service) = named_service(workload, services) {
                *rates.entry(service).or_default() += most.rate * tries;
                *sent.entry(service).or_default() += most.rate * tries * seconds;
            }
        }
        for (service, rate) in rates {
            let most = most_sent.entry(service).or_insert(rate);
            *most = rate.max(*most);
        }
        most_under_way = most_under_way.max(all_under_way);
    }
    requests += graph.calls_of(sent);
    most_under_way += graph.under_way(most_sent, diagnostics);
    if let (true, Some(field)) = (requests > REQUESTS_MAX, file.field("phase")) {
        let message = format!("the run may take {requests:.0} requests");
        diagnostics.push(
            error(&field.key_span, "too-large", message)
                .label(format!(
                    "at most {REQUESTS_MAX:.0} was expected: it would take an hour"
                ))
                .help("shorter phases, lower rates, or `--fluid`, which has no single requests"),
        );
    }
    memory::check(file, services, requests, most_under_way, diagnostics);
}
