//! What must hold between values: names that refer to something, keys that do not contradict.
//!
//! Elsewhere: what a single value must look like (`scalar`); rules about routes (`rules/routes.rs`),
//! about protections (`rules/protect.rs`), about what services give up (`rules/degrade.rs`), about what the governor knows (`rules/governor.rs`),
//! about approvals and freezes (`rules/approval.rs`), about journeys (`rules/journey.rs`), about maintenance (`rules/maintenance.rs`), about notifiers (`rules/notify.rs`), about flags (`rules/flags.rs`),
//! about queues (`rules/queues.rs`),
//! about versions and rollouts (`rules/rollout.rs`), about tenants and rates (`rules/tenants.rs`).

mod approval;
mod degrade;
mod flags;
mod governor;
mod journey;
mod maintenance;
mod notify;
mod protect;
mod queues;
mod rollout;
mod routes;
mod tenants;

use std::net::SocketAddr;
use std::ops::Range;

use crate::address::{overlap, reaches};
use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::model::Endpoint;
use crate::nearest::nearest;
use crate::node::{Field, Fields, Node, Value};
use crate::unit::{show_duration, show_percent};

/// Everything that is wrong, or odd, between the values of the file.
pub(crate) fn check(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let listeners = listeners(file);
    check_listeners(&listeners, diagnostics);
    check_console(file, diagnostics);
    check_limits(file, diagnostics);
    flags::check(file, diagnostics);
    queues::check(file, diagnostics);
    let Some(services) = file.table("service") else {
        return;
    };
    if services.iter().next().is_none() {
        diagnostics.push(
            Diagnostic::error("no-service", 0..0, "the file has no service: there is nothing to send requests to")
                .without_place()
                .help("add one, as in\n\n[service.app]\nendpoints = [\"http://127.0.0.1:3000\"]\n\n[[route]]\nservice = \"app\""),
        );
    }
    for (name, field) in services.iter() {
        let Some(service) = field.node.as_table() else {
            continue;
        };
        check_endpoints(name, service, &listeners, diagnostics);
        rollout::check_versions(name, service, &listeners, diagnostics);
        check_upstream_tls(name, service, diagnostics);
        check_balance(name, service, diagnostics);
        check_health(name, service, diagnostics);
        check_deadline(name, service, diagnostics);
        protect::check(name, service, diagnostics);
        degrade::check(name, service, file, diagnostics);
        let objectives = service
            .table("objective")
            .into_iter()
            .flat_map(Fields::iter);
        for (objective, field) in objectives {
            check_objective(
                &format!("{name}.{objective}"),
                objective,
                field,
                diagnostics,
            );
        }
    }
    approval::check(file, services, diagnostics);
    governor::check(file, services, diagnostics);
    journey::check(file, services, diagnostics);
    maintenance::check(file, services, diagnostics);
    notify::check(file, services, diagnostics);
    rollout::check(file, services, diagnostics);
    routes::check(file, services, diagnostics);
    degrade::check_routes(file, services, diagnostics);
    tenants::check(file, diagnostics);
}

/// The `services` of `fields`, of which `subject` is, exist.
fn check_services(
    subject: &str,
    fields: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    for node in fields.list("services") {
        let Some(service) = node.as_text().filter(|it| services.field(it).is_none()) else {
            continue;
        };
        let message = format!("{subject} of service `{service}`, which does not exist");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("no service has this name");
        let names = services.iter().map(|(name, _)| name);
        diagnostics.push(match nearest(service, names) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic,
        });
    }
}

/// An address that is listened on, what for, and where that is written.
struct Listening {
    address: SocketAddr,
    what: &'static str,
    span: Range<usize>,
    is_default: bool,
}

fn listeners(file: &Fields) -> Vec<Listening> {
    let gateway = file
        .table("gateway")
        .map(|gateway| gateway.list("listen"))
        .unwrap_or_default();
    let gateway = gateway
        .iter()
        .filter_map(|node| Some(("gateway.listen", node.as_table()?.node("address")?)));
    let others = [
        ("ops.listen", "ops"),
        ("console.listen", "console"),
        ("flags.listen", "flags"),
        ("queues.listen", "queues"),
    ]
    .into_iter()
    .filter_map(|(what, table)| Some((what, file.table(table)?.node("listen")?)));
    gateway
        .chain(others)
        .filter_map(|(what, node)| match node.value {
            Value::Address(address) => Some(Listening {
                address,
                what,
                span: node.span.clone(),
                is_default: node.is_default,
            }),
            _ => None,
        })
        .collect()
}

fn check_listeners(listeners: &[Listening], diagnostics: &mut Vec<Diagnostic>) {
    for (place, second) in listeners.iter().enumerate() {
        let Some(first) = listeners
            .iter()
            .take(place)
            .find(|first| overlap(first.address, second.address))
        else {
            continue;
        };
        let message = if first.address == second.address {
            format!("{} is listened on twice", second.address)
        } else {
            format!(
                "{} and {} cannot both be listened on",
                first.address, second.address
            )
        };
        // The later one may be a default, which has no place of its own.
        let (written, other) = if second.is_default {
            (first, second)
        } else {
            (second, first)
        };
        let mut diagnostic = Diagnostic::error("duplicate-listener", written.span.clone(), message)
            .label(format!("`{}`", written.what));
        if other.is_default {
            diagnostic = diagnostic.note(format!(
                "`{}` is {} unless the file says otherwise",
                other.what, other.address
            ));
        } else {
            diagnostic = diagnostic.related(other.span.clone(), format!("`{}`", other.what));
        }
        diagnostics.push(diagnostic.help("give one of them another port"));
    }
}

/// Off loopback the console needs TLS and tokens, which come later: until then it stays at home.
fn check_console(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(node) = file
        .table("console")
        .and_then(|console| console.node("listen"))
    else {
        return;
    };
    if let Value::Address(address) = node.value
        && !address.ip().to_canonical().is_loopback()
    {
        diagnostics.push(
            Diagnostic::error("console-off-loopback", node.span.clone(), format!("the console cannot listen on {address}"))
                .label("a loopback address was expected")
                .note("anyone who reaches it could read everything; TLS and tokens for it are not in this version")
                .help("keep it on 127.0.0.1 and reach it through a tunnel, as in `ssh -L 7676:127.0.0.1:7676 HOST`"),
        );
    }
}

fn check_limits(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(limits) = file
        .table("gateway")
        .and_then(|gateway| gateway.table("limits"))
    else {
        return;
    };
    if let (Some(uri), Some(header)) = (
        limits.size("uri_bytes_max"),
        limits.size("header_bytes_max"),
    ) && uri > header
        && let (Some(uri), Some(header)) = (
            limits.node("uri_bytes_max"),
            limits.node("header_bytes_max"),
        )
    {
        diagnostics.push(
            against(
                header,
                "`header_bytes_max` is 32KiB unless the file says otherwise",
                Diagnostic::error(
                    "contradiction",
                    uri.span.clone(),
                    "`uri_bytes_max` is larger than `header_bytes_max`",
                ),
            )
            .label("the target is a part of the head"),
        );
    }
}

/// Two keys of the file that contradict each other.
fn contradiction(
    span: &Range<usize>,
    other: &Range<usize>,
    message: impl Into<String>,
) -> Diagnostic {
    Diagnostic::error("contradiction", span.clone(), message)
        .related(other.clone(), "contradicts this")
}

/// A contradiction to a value that may be a default: then there is no place to show, but a note.
fn against(other: &Node, note: &str, diagnostic: Diagnostic) -> Diagnostic {
    if other.is_default {
        diagnostic.note(note)
    } else {
        diagnostic.related(other.span.clone(), "contradicts this")
    }
}

fn check_endpoints(
    name: &str,
    service: &Fields,
    listeners: &[Listening],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(field) = service.field("endpoints") else {
        return;
    };
    let nodes = service.list("endpoints");
    if nodes.is_empty() && matches!(field.node.value, Value::List(_)) {
        diagnostics.push(
            Diagnostic::error(
                "no-endpoint",
                field.node.span.clone(),
                format!("service `{name}` has no endpoint"),
            )
            .label("at least one URL was expected"),
        );
    }
    let endpoints: Vec<(Endpoint, &Node)> = nodes
        .iter()
        .filter_map(|node| Some((assemble::endpoint(node)?, node)))
        .collect();
    for (place, (endpoint, node)) in endpoints.iter().enumerate() {
        if let Some((_, first)) = endpoints
            .iter()
            .take(place)
            .find(|(first, _)| first == endpoint)
        {
            diagnostics.push(
                Diagnostic::error(
                    "duplicate-endpoint",
                    node.span.clone(),
                    format!("service `{name}` has the endpoint {endpoint} twice"),
                )
                .label("again here")
                .related(first.span.clone(), "first here")
                .help("take one out: each endpoint is balanced and checked once"),
            );
        }
        if let Some(listener) = listeners
            .iter()
            .find(|listener| reaches(endpoint, listener.address))
        {
            diagnostics.push(
                Diagnostic::error(
                    "endpoint-is-listener",
                    node.span.clone(),
                    format!("service `{name}` would send requests to Plimsoll itself"),
                )
                .label(format!("`{}` is {}", listener.what, listener.address))
                .help("write where the service itself listens, or let Plimsoll listen on another port"),
            );
        }
    }
}

fn check_upstream_tls(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let versions = service.table("version").into_iter().flat_map(Fields::iter);
    let versions = versions.filter_map(|(_, field)| field.node.as_table());
    let endpoints: Option<Vec<Endpoint>> = std::iter::once(service)
        .chain(versions)
        .flat_map(|it| it.list("endpoints"))
        .map(assemble::endpoint)
        .collect();
    let Some(endpoints) = endpoints else { return };
    let Some((field, tls)) = service
        .field("tls")
        .and_then(|field| Some((field, field.node.as_table()?)))
    else {
        return;
    };
    let is_set = ["ca", "server_name", "client"]
        .iter()
        .any(|key| tls.has(key));
    if is_set && !endpoints.iter().any(|endpoint| endpoint.tls) {
        diagnostics.push(
            Diagnostic::warning(
                "no-effect",
                field.key_span.clone(),
                format!("`tls` of service `{name}` has no effect"),
            )
            .label("no endpoint of the service is `https`"),
        );
    }
}

fn check_balance(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(balance) = service.table("balance") else {
        return;
    };
    if let (Some(kind), Some(by)) = (balance.node("kind"), balance.node("by"))
        && let Value::Word(word @ ("least-loaded" | "round-robin")) = kind.value
    {
        diagnostics.push(
            against(
                kind,
                "`balance.kind` is `least-loaded` unless the file says otherwise",
                Diagnostic::error(
                    "contradiction",
                    by.span.clone(),
                    format!("`balance.by` of service `{name}` has no meaning with `{word}`"),
                ),
            )
            .label("the key of `consistent-hash`")
            .help("write `kind = \"consistent-hash\"`, or leave `by` out"),
        );
    }
}

fn check_health(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((field, health)) = service
        .field("health")
        .and_then(|field| Some((field, field.node.as_table()?)))
    else {
        return;
    };
    let Some(kind) = health.field("kind") else {
        let message = match (health.node("path"), health.node("service")) {
            (Some(path), Some(grpc)) => {
                let message = format!("`health` of service `{name}` asks in two ways at once");
                diagnostics.push(
                    contradiction(&path.span, &grpc.span, message)
                        .label("`path` is for `http`, `service` for `grpc`")
                        .help("leave one of them out"),
                );
                return;
            }
            _ => format!("`health` of service `{name}` does not say what to ask"),
        };
        diagnostics.push(
            Diagnostic::error("missing-key", field.key_span.clone(), message)
                .label("`path`, `service` or `kind = \"tcp\"` was expected")
                .help("write `health = \"/healthz\"`, with the path that the service answers"),
        );
        return;
    };
    let path_needed = matches!(kind.node.value, Value::Word("http"));
    if path_needed && !health.has("path") {
        diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("`health` of service `{name}` has no `path`"),
            )
            .label("`path` was expected: the path that is asked for"),
        );
    }
    if let (Some(timeout), Some(interval)) =
        (health.duration("timeout"), health.duration("interval"))
        && timeout > interval
        && let Some(node) = health.node("timeout")
    {
        diagnostics.push(
            Diagnostic::warning(
                "odd-value",
                node.span.clone(),
                format!("`health.timeout` of service `{name}` is longer than `interval`"),
            )
            .label(format!("checks come every {}", show_duration(interval)))
            .note("the next check waits for the last one, so that checks come less often than it says"),
        );
    }
}

fn check_deadline(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(deadline) = service
        .table("protect")
        .and_then(|protect| protect.table("deadline"))
    else {
        return;
    };
    check_total(&format!("service `{name}`"), deadline, diagnostics);
}

fn check_total(subject: &str, deadline: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let (Some(head), Some(total)) = (deadline.duration("head"), deadline.duration("total"))
        && total < head
        && let (Some(head), Some(total)) = (deadline.node("head"), deadline.node("total"))
        // A `total` alone bounds the head, too, whatever its default is.
        && !head.is_default
    {
        diagnostics.push(
            contradiction(
                &total.span,
                &head.span,
                format!("the deadline of {subject} has a `total` shorter than its `head`"),
            )
            .label("the response's head is a part of the whole"),
        );
    }
}

fn check_target(subject: &str, fields: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let (Some(target), Some(node)) = (fields.percent("target"), fields.node("target")) {
        if target.get() >= 1.0 {
            diagnostics.push(
                Diagnostic::error("no-budget", node.span.clone(), format!("the target of {subject} leaves no error budget"))
                    .label("less than 100% was expected")
                    .note("with a target of 100% the first failure spends more than there is, for a whole period")
                    .help("write what users would still call good, as in `target = \"99.9%\"`"),
            );
        } else if target.get() == 0.0 {
            diagnostics.push(
                Diagnostic::error(
                    "no-budget",
                    node.span.clone(),
                    format!("the target of {subject} promises nothing"),
                )
                .label("more than 0% was expected"),
            );
        } else if target.get() < 0.5 {
            diagnostics.push(
                Diagnostic::warning(
                    "odd-value",
                    node.span.clone(),
                    format!("the target of {subject} is only {}", show_percent(target)),
                )
                .label("the share that must be good, not the share that may fail")
                .help(format!(
                    "did you mean \"{}\"?",
                    show_percent(target.complement())
                )),
            );
        }
    }
}

fn check_objective(full_name: &str, name: &str, field: &Field, diagnostics: &mut Vec<Diagnostic>) {
    let Some(objective) = field.node.as_table() else {
        return;
    };
    check_target(&format!("objective `{full_name}`"), objective, diagnostics);
    match assemble::objective_kind(name, objective) {
        None if !objective.has("kind") => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("objective `{full_name}` has no `kind`"),
            )
            .label("only `availability` and `latency` are a kind by their name")
            .help("write `kind = \"availability\"` or `kind = \"latency\"`"),
        ),
        Some("latency") if !objective.has("below") => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("objective `{full_name}` has no `below`"),
            )
            .label("`below` was expected here: from when on a request is too slow")
            .help("write it, as in `below = \"250ms\"`"),
        ),
        Some("availability") => {
            if let Some(below) = objective.field("below") {
                let kind = objective
                    .node("kind")
                    .map_or(&field.key_span, |kind| &kind.span);
                diagnostics.push(
                    contradiction(
                        &below.key_span,
                        kind,
                        format!(
                            "objective `{full_name}` is of kind `availability` and has a `below`"
                        ),
                    )
                    .label("the threshold of a `latency` objective")
                    .help("leave it out, or write `kind = \"latency\"`"),
                );
            }
        }
        _ => {}
    }
}
