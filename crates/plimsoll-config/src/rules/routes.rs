//! Rules about routes: what they refer to, and whether they can be told apart.
//!
//! Two routes are ambiguous where neither is more specific and one request could match both: the same
//! host, the same path but for parameters' names, a method in common, as many header conditions of each
//! sort, and none that excludes the other. The order is that of `plimsoll-gateway`'s router.

use std::collections::{BTreeMap, BTreeSet};

use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::model::Route;
use crate::nearest::nearest;
use crate::node::{Fields, Node, Value};
use crate::pattern::{HostPattern, PathPattern, Segment};

use super::{check_total, contradiction, flags};

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let nodes = file.list("route");
    let routes: Vec<(Route, &Node)> = nodes
        .iter()
        .enumerate()
        .filter_map(|(place, node)| Some((assemble::route(node, place)?, node)))
        .collect();
    for (place, node) in nodes.iter().enumerate() {
        let Some(route) = node.as_table() else {
            continue;
        };
        let name = assemble::route_name(route, place);
        check_target(&name, node, route, services, diagnostics);
        check_redirect(&name, route, diagnostics);
        check_rewrite(&name, route, diagnostics);
        check_cache(&name, route, diagnostics);
        if let Some(flag) = route.field("flag") {
            flags::check_any(
                &format!("route `{name}` is for a flag"),
                flag,
                file,
                diagnostics,
            );
        }
        if let Some(deadline) = route.table("deadline") {
            check_total(&format!("route `{name}`"), deadline, diagnostics);
        }
    }
    check_names(&routes, diagnostics);
    check_ambiguity(&routes, diagnostics);
    check_reachability(&routes, diagnostics);
    check_unused(nodes, services, diagnostics);
}

fn check_target(
    name: &str,
    node: &Node,
    route: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    match (route.node("service"), route.field("redirect")) {
        (None, None) => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                node.span.clone(),
                format!("route `{name}` leads nowhere"),
            )
            .label("`service` or `redirect` was expected here"),
        ),
        (Some(service), Some(redirect)) => diagnostics.push(
            contradiction(
                &redirect.key_span,
                &service.span,
                format!("route `{name}` has a `service` and a `redirect`"),
            )
            .label("a redirect is answered by Plimsoll itself")
            .help("leave one of them out"),
        ),
        _ => {}
    }
    if let Some(node) = route.node("service")
        && let Some(service) = node.as_text()
        && services.field(service).is_none()
    {
        let message = format!("route `{name}` leads to service `{service}`, which does not exist");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("no service has this name");
        let names: Vec<&str> = services.iter().map(|(name, _)| name).collect();
        diagnostics.push(match nearest(service, names.iter().copied()) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None if names.is_empty() => diagnostic,
            None => diagnostic.help(format!("the file has {}", list(&names))),
        });
    }
}

/// "service `a`", or "services `a`, `b`"
fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [only] => format!("service {only}"),
        all => format!("services {}", all.join(", ")),
    }
}

fn check_cache(name: &str, route: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let query = route.table("cache").and_then(|cache| cache.table("query"));
    let Some(query) = query else { return };
    if let (Some(only), Some(without)) = (query.field("only"), query.field("without")) {
        let message = format!("the cache of route `{name}` has `only` and `without`");
        diagnostics.push(
            contradiction(&without.key_span, &only.node.span, message)
                .label("what is not in `only` is left out already")
                .help("leave one of them out"),
        );
    }
}

fn check_redirect(name: &str, route: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((field, redirect)) = route
        .field("redirect")
        .and_then(|field| Some((field, field.node.as_table()?)))
    else {
        return;
    };
    if !["scheme", "host", "path"]
        .iter()
        .any(|key| redirect.has(key))
    {
        diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("route `{name}` redirects to where the request came from"),
            )
            .label("`scheme`, `host` or `path` was expected")
            .help("from HTTP to HTTPS it is `redirect = \"https\"`"),
        );
    }
    if let Some(status) = redirect.count::<u16>("status")
        && let Some(node) = redirect.node("status")
        && !matches!(status, 301 | 302 | 303 | 307 | 308)
    {
        diagnostics.push(
            Diagnostic::error(
                "out-of-range",
                node.span.clone(),
                format!("route `{name}` redirects with the status {status}"),
            )
            .label("301, 302, 303, 307 or 308 was expected"),
        );
    }
    let needless = ["rewrite", "deadline", "tenant", "rate"]
        .iter()
        .filter_map(|key| Some((key, route.field(key)?)));
    for (key, other) in needless {
        if has_content(&other.node) {
            diagnostics.push(
                contradiction(
                    &other.key_span,
                    &field.key_span,
                    format!("route `{name}` is a redirect and has `{key}`"),
                )
                .label("only for requests that go to a service")
                .help(format!("leave `{key}` out")),
            );
        }
    }
}

/// Whether anything but empty tables and arrays is in it.
fn has_content(node: &Node) -> bool {
    match &node.value {
        Value::Table(fields) => fields.iter().any(|(_, field)| has_content(&field.node)),
        Value::List(nodes) => !nodes.is_empty(),
        // What is wrong has been reported.
        Value::Invalid => false,
        _ => true,
    }
}

/// Headers that frame the message or belong to one hop: the gateway writes them, or nobody does.
const FRAMING: [&str; 9] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "host",
];

fn check_rewrite(name: &str, route: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(rewrite) = route.table("rewrite") else {
        return;
    };
    for side in ["request", "response"] {
        let Some(changes) = rewrite.table(side) else {
            continue;
        };
        let written = ["set", "add"]
            .iter()
            .filter_map(|key| changes.table(key))
            .flat_map(Fields::iter);
        let written = written.map(|(name, field)| (name, &field.key_span));
        let removed = changes
            .list("remove")
            .iter()
            .filter_map(|node| Some((node.as_text()?, &node.span)));
        for (header, span) in written
            .chain(removed)
            .filter(|(header, _)| FRAMING.contains(header))
        {
            let message = format!("route `{name}` changes the header `{header}`");
            let diagnostic = Diagnostic::error("bad-header", span.clone(), message)
                .label("a header that Plimsoll itself writes, for each connection");
            diagnostics.push(match header {
                "host" => diagnostic.help("write `rewrite.host`"),
                _ => diagnostic.help("leave it out"),
            });
        }
    }
    if let (Some(prefix), Some(node), Some(Value::Path(path))) = (
        rewrite.text("strip_prefix"),
        rewrite.node("strip_prefix"),
        route.node("path").map(|node| &node.value),
    ) {
        let literal = path.segments.iter().map_while(|segment| match segment {
            Segment::Literal(text) => Some(format!("/{text}")),
            Segment::Parameter(_) => None,
        });
        let literal: String = literal.collect();
        let prefix = prefix.trim_end_matches('/');
        if !literal.starts_with(prefix) && !prefix.starts_with(&literal) {
            diagnostics.push(
                Diagnostic::warning(
                    "no-effect",
                    node.span.clone(),
                    format!("`strip_prefix` of route `{name}` never applies"),
                )
                .label(format!("the route's path is `{path}`")),
            );
        }
    }
}

fn check_names(routes: &[(Route, &Node)], diagnostics: &mut Vec<Diagnostic>) {
    for (place, (route, node)) in routes.iter().enumerate() {
        if let Some((_, first)) = routes
            .iter()
            .take(place)
            .find(|(first, _)| first.name == route.name)
        {
            let span = |node: &Node| {
                let name = node.as_table().and_then(|table| table.node("name"));
                name.map_or_else(|| node.span.clone(), |name| name.span.clone())
            };
            diagnostics.push(
                Diagnostic::error(
                    "duplicate-name",
                    span(node),
                    format!("two routes are called `{}`", route.name),
                )
                .label("again here")
                .related(span(first), "first here")
                .help("give each a name of its own: metrics and messages tell them apart by it"),
            );
        }
    }
}

/// Routes that only methods and headers tell apart, by host and path without the names of parameters.
type Shape<'a> = (&'a HostPattern, Vec<Option<&'a str>>, bool);

fn shape(route: &Route) -> Shape<'_> {
    let segments = route.path.segments.iter().map(|segment| match segment {
        Segment::Literal(text) => Some(&**text),
        Segment::Parameter(_) => None,
    });
    (&route.host, segments.collect(), route.path.open)
}

fn check_ambiguity(routes: &[(Route, &Node)], diagnostics: &mut Vec<Diagnostic>) {
    let mut shapes: BTreeMap<Shape<'_>, Vec<&(Route, &Node)>> = BTreeMap::new();
    for entry in routes {
        let alike = shapes.entry(shape(&entry.0)).or_default();
        if let Some((first, first_node)) =
            alike.iter().find(|(first, _)| ambiguous(first, &entry.0))
        {
            let (second, node) = entry;
            diagnostics.push(
                Diagnostic::error(
                    "ambiguous-routes",
                    node.span.clone(),
                    format!("routes `{}` and `{}` cannot be told apart", first.name, second.name),
                )
                .label("matches the same requests")
                .related(first_node.span.clone(), format!("as route `{}` does", first.name))
                .note(format!("both match host `{}` and path `{}`, and neither is more specific", second.host, second.path))
                .help("give one another `path`, `host` or `methods`, or a header or variant of a flag that the other excludes"),
            );
        }
        alike.push(entry);
    }
}

/// Whether neither of two routes with the same host and path is more specific, and one request may match both.
fn ambiguous(one: &Route, two: &Route) -> bool {
    let methods_meet = match (&*one.methods, &*two.methods) {
        ([], []) => true,
        // Methods given are more specific than none.
        ([], _) | (_, []) => false,
        (one, two) => one.iter().any(|method| two.contains(method)),
    };
    let exact = |route: &Route| {
        route
            .headers
            .values()
            .filter(|value| value.is_some())
            .count()
    };
    let excluded = one
        .headers
        .iter()
        .any(|(name, value)| match (value, two.headers.get(name)) {
            (Some(one), Some(Some(two))) => one != two,
            _ => false,
        });
    let flags_meet = match (&one.flag, &two.flag) {
        (None, None) => true,
        // By a flag is more specific than by none.
        (None, Some(_)) | (Some(_), None) => false,
        // Nobody has two variants of one.
        (Some(one), Some(two)) => one.key != two.key || one.variant == two.variant,
    };
    let alike = one.headers.len() == two.headers.len() && exact(one) == exact(two);
    methods_meet && flags_meet && alike && !excluded
}

/// A prefix whose own path, slash and segments below all have routes of their own never gets a request.
fn check_reachability(routes: &[(Route, &Node)], diagnostics: &mut Vec<Diagnostic>) {
    let unconditional: BTreeMap<Shape<'_>, &str> = routes
        .iter()
        .filter(|(route, _)| {
            route.methods.is_empty() && route.headers.is_empty() && route.flag.is_none()
        })
        .map(|(route, _)| (shape(route), &*route.name))
        .collect();
    for (route, node) in routes.iter().filter(|(route, _)| route.path.open) {
        let (host, segments, _) = shape(route);
        let with = |last: Option<&'static str>, open| {
            let segments = segments.iter().copied().chain([last]).collect();
            unconditional.get(&(host, segments, open))
        };
        let own = unconditional.get(&(host, segments.clone(), false));
        // The root has no path of its own without its slash.
        let own = if segments.is_empty() {
            with(Some(""), false)
        } else {
            own
        };
        if let (Some(own), Some(slash), Some(below)) =
            (own, with(Some(""), false), with(None, true))
        {
            let mut names = vec![*own, *slash, *below];
            names.dedup();
            diagnostics.push(
                Diagnostic::warning(
                    "unreachable-route",
                    node.span.clone(),
                    format!("route `{}` never gets a request", route.name),
                )
                .label(format!(
                    "more specific routes take all of `{}`: {}",
                    route.path,
                    names.join(", ")
                ))
                .note(format!(
                    "the pattern `{}` is not needed",
                    PathPattern::to_string(&route.path)
                )),
            );
        }
    }
}

fn check_unused(routes: &[Node], services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let mut used = BTreeSet::new();
    for route in routes {
        match route
            .as_table()
            .map(|route| route.node("service").map(|node| &node.value))
        {
            // A route that could not be read may be the one that leads there.
            None | Some(Some(Value::Invalid)) => return,
            // So may one with a wrong name, or without any.
            Some(Some(Value::Text(name))) if services.field(name).is_some() => {
                used.insert(name.as_str());
            }
            Some(None) if route.as_table().is_some_and(|route| route.has("redirect")) => {}
            _ => return,
        }
        let fallback = route.as_table().and_then(|route| route.table("fallback"));
        used.extend(fallback.and_then(|fallback| fallback.text("service")));
    }
    for (name, field) in services.iter().filter(|(name, _)| !used.contains(name)) {
        diagnostics.push(
            Diagnostic::warning(
                "service-without-route",
                field.key_span.clone(),
                format!("no route leads to service `{name}`"),
            )
            .label("it gets no requests")
            .help(format!("add one:\n\n[[route]]\nservice = \"{name}\"")),
        );
    }
}
