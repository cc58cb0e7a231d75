//! Rules about tenants, and about the rates of routes.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use crate::assemble::{rate_burst, rate_name, route_name};
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node, Value};
use crate::read::is_identifier;

pub(super) fn check(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    check_tenants(file, diagnostics);
    for (place, node) in file.list("route").iter().enumerate() {
        let Some(route) = node.as_table() else {
            continue;
        };
        let name = route_name(route, place);
        check_rates(&name, route.list("rate"), diagnostics);
    }
}

/// What a key is read from; what two tenants must not have in common.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Source<'a> {
    Value(&'a str),
    Env(&'a str),
    File(PathBuf),
}

fn check_tenants(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(tenants) = file.table("tenant") else {
        return;
    };
    let mut first_of: BTreeMap<Source<'_>, Range<usize>> = BTreeMap::new();
    for (name, field) in tenants.iter() {
        let Some(tenant) = field.node.as_table() else {
            continue;
        };
        if let Some(keys) = tenant.node("keys")
            && matches!(&keys.value, Value::List(nodes) if nodes.is_empty())
        {
            diagnostics.push(
                Diagnostic::error(
                    "no-key",
                    keys.span.clone(),
                    format!("tenant `{name}` has no key"),
                )
                .label("at least one value of the tenant header was expected"),
            );
        }
        for node in tenant.list("keys") {
            let Some(source) = source(name, node, diagnostics) else {
                continue;
            };
            match first_of.get(&source) {
                Some(first) => diagnostics.push(
                    Diagnostic::error(
                        "duplicate-key",
                        node.span.clone(),
                        format!("a key of tenant `{name}` is there twice"),
                    )
                    .label("again here")
                    .related(first.clone(), "first here")
                    .help("take one out: a key stands for one tenant"),
                ),
                None => {
                    first_of.insert(source, node.span.clone());
                }
            }
        }
    }
    check_use(file, tenants, diagnostics);
}

/// Where the key is read from; reported, where it is not from one place.
fn source<'a>(name: &str, node: &'a Node, diagnostics: &mut Vec<Diagnostic>) -> Option<Source<'a>> {
    let key = node.as_table()?;
    let given = ["value", "env", "file"]
        .iter()
        .filter(|name| key.has(name))
        .count();
    if given != 1 {
        diagnostics.push(
            Diagnostic::error(
                "bad-key",
                node.span.clone(),
                format!("a key of tenant `{name}` must come from one place"),
            )
            .label("`value`, `env` or `file` was expected, and only one of them"),
        );
        return None;
    }
    if key.text("value") == Some("") {
        diagnostics.push(
            Diagnostic::error(
                "empty-text",
                node.span.clone(),
                format!("a key of tenant `{name}` is empty"),
            )
            .label("a value of the tenant header was expected"),
        );
        return None;
    }
    let value = key.text("value").map(Source::Value);
    let env = || key.text("env").map(Source::Env);
    value
        .or_else(env)
        .or_else(|| key.file("file").map(Source::File))
}

/// Without a route that looks at a header no request has a key.
fn check_use(file: &Fields, tenants: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let is_used = file.list("route").iter().any(|route| {
        // A route that could not be read may be the one.
        route.as_table().is_none_or(|route| route.has("tenant"))
    });
    if let (false, Some((name, field))) = (is_used, tenants.iter().next()) {
        diagnostics.push(
            Diagnostic::warning(
                "no-effect",
                field.key_span.clone(),
                format!("tenant `{name}` has no effect"),
            )
            .label("no route names tenants by a header")
            .help("add it to a route, as in `tenant = \"x-api-key\"`"),
        );
    }
}

fn check_rates(route: &str, rates: &[Node], diagnostics: &mut Vec<Diagnostic>) {
    let span = |node: &Node| {
        let name = node.as_table().and_then(|rate| rate.node("name"));
        name.map_or_else(|| node.span.clone(), |name| name.span.clone())
    };
    let mut names: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for (place, node) in rates.iter().enumerate() {
        let Some(rate) = node.as_table() else {
            continue;
        };
        check_cost(route, rate, diagnostics);
        let name = rate_name(rate, place);
        if !is_identifier(&name) {
            diagnostics.push(
                Diagnostic::error(
                    "bad-name",
                    span(node),
                    format!("a rate of route `{route}` has a name that cannot be used"),
                )
                .label("letters, digits, `-` and `_` were expected, at most 64")
                .note("the name is a label of metrics, and goes to clients in `RateLimit-Policy`"),
            );
        }
        match names.get(&name) {
            Some(first) => diagnostics.push(
                Diagnostic::error(
                    "duplicate-name",
                    span(node),
                    format!("two rates of route `{route}` are called `{name}`"),
                )
                .label("again here")
                .related(first.clone(), "first here")
                .help("give each a name of its own: clients and metrics tell them apart by it"),
            ),
            None => {
                names.insert(name, span(node));
            }
        }
    }
}

fn check_cost(route: &str, rate: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(cost) = rate.table("cost")
        && let (Some(max), Some(burst)) = (cost.count::<u32>("max"), rate_burst(rate))
        && max > burst
        && let (Some(node), Some(other)) =
            (cost.node("max"), rate.node("burst").or(rate.node("limit")))
    {
        let message = format!("a request of route `{route}` may cost more than fits its rate");
        let mut diagnostic = Diagnostic::error("contradiction", node.span.clone(), message)
            .label(format!("at most {burst} fit at once"))
            .related(other.span.clone(), "contradicts this")
            .help("raise `burst`, or leave `max` out: a larger cost then counts as the burst");
        if !rate.has("burst") {
            diagnostic =
                diagnostic.note("`burst` is the count of `limit` unless the file says otherwise");
        }
        diagnostics.push(diagnostic);
    }
}
