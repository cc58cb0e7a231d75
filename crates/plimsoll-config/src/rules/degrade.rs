//! Rules about what services give up before they fail, and what their routes answer then.

use super::{contradiction, flags};
use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::model::Degrade;
use crate::nearest::nearest;
use crate::node::{Field, Fields, Node, Value};

/// The methods that another service may be asked with.
const READS: [&str; 2] = ["GET", "HEAD"];

pub(super) fn check(
    name: &str,
    service: &Fields,
    file: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some(degrade) = service.table("degrade") else {
        return;
    };
    check_switches(name, degrade, file, diagnostics);
    let features = degrade.list("brownout");
    let brownout = features.iter().map(|node| &node.span);
    let further = switches(degrade).filter(|(switch, _)| {
        let mut names = features.iter().filter_map(Node::as_text);
        names.all(|it| it != *switch)
    });
    let mut all = brownout.chain(further.map(|(_, field)| &field.key_span));
    if let Some(span) = all.nth(Degrade::FEATURES_MAX) {
        let message = format!("service `{name}` has more features than can be dimmed");
        diagnostics.push(
            Diagnostic::error("too-many-features", span.clone(), message)
                .label(format!("{} are the most", Degrade::FEATURES_MAX))
                .help("let one name stand for several"),
        );
    }
    for (place, node) in features.iter().enumerate() {
        let Some(feature) = node.as_text() else {
            continue;
        };
        let mut before = features.iter().take(place);
        if let Some(first) = before.find(|it| it.as_text() == Some(feature)) {
            let message = format!("service `{name}` has the feature `{feature}` twice");
            diagnostics.push(
                Diagnostic::error("duplicate-name", node.span.clone(), message)
                    .label("again here")
                    .related(first.span.clone(), "first here")
                    .help("leave it out: a feature is dimmed at its first place"),
            );
        }
    }
}

/// Features that a flag switches.
fn switches(degrade: &Fields) -> impl Iterator<Item = (&str, &Field)> {
    let switches = degrade.table("switches");
    switches.into_iter().flat_map(Fields::iter)
}

fn check_switches(name: &str, degrade: &Fields, file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for (feature, field) in switches(degrade) {
        let what = format!("feature `{feature}` of service `{name}` is switched by a flag");
        flags::check_any(&what, field, file, diagnostics);
        // What services are told is a list of tokens, which begin so.
        if !feature.starts_with(|first: char| first.is_ascii_alphabetic()) {
            let message = format!("`{feature}` is not a feature's name");
            diagnostics.push(
                Diagnostic::error("bad-feature", field.key_span.clone(), message)
                    .label("a name that begins with a letter was expected"),
            );
        }
    }
}

/// What routes answer where their services can't.
pub(super) fn check_routes(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for (place, node) in file.list("route").iter().enumerate() {
        let Some(route) = node.as_table() else {
            continue;
        };
        let name = assemble::route_name(route, place);
        let fallback = route.field("fallback");
        if let Some((field, fallback)) = fallback.and_then(|it| Some((it, it.node.as_table()?))) {
            check_fallback(&name, route, field, fallback, services, diagnostics);
        }
        check_feature(&name, route, services, diagnostics);
    }
}

fn check_feature(name: &str, route: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let (Some(node), Some(feature)) = (route.node("feature"), route.text("feature")) else {
        return;
    };
    let service =
        (route.text("service")).and_then(|it| Some((it, services.field(it)?.node.as_table()?)));
    if let Some((service, fields)) = service {
        let degrade = fields.table("degrade");
        let features = degrade.map_or(&[][..], |degrade| degrade.list("brownout"));
        let names = || {
            let switches = degrade.into_iter().flat_map(switches).map(|(name, _)| name);
            features.iter().filter_map(Node::as_text).chain(switches)
        };
        if names().all(|it| it != feature) {
            let message = format!(
                "route `{name}` is the feature `{feature}`, which its service does not have"
            );
            let diagnostic = Diagnostic::error("unknown-feature", node.span.clone(), message);
            diagnostics.push(match nearest(feature, names()) {
                Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
                None => diagnostic.help(format!(
                    "add it to the others:\n\n[service.{service}.degrade]\nbrownout = [\"{feature}\"]"
                )),
            });
        }
    }
    let Some(fallback) = route.field("fallback") else {
        let message = format!("route `{name}` is a feature and has no `fallback`");
        diagnostics.push(
            Diagnostic::error("missing-key", node.span.clone(), message)
                .label("nothing could be answered while it is dimmed")
                .help("write what is, as in `fallback = { html = \"none.html\", status = 200 }`"),
        );
        return;
    };
    let fields = fallback.node.as_table();
    let is_page = fields.is_some_and(|it| it.has("json") || it.has("html"));
    let status = fields.and_then(|it| it.count::<u16>("status"));
    if is_page && status.is_none_or(|status| status >= 500) {
        let message = format!("route `{name}` is a feature, and its fallback is an error");
        diagnostics.push(
            contradiction(&fallback.key_span, &node.span, message)
                .label("given while nothing is wrong, but left out")
                .help("write `status = 200`"),
        );
    }
}

fn check_fallback(
    name: &str,
    route: &Fields,
    field: &Field,
    fallback: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if let Some(redirect) = route.field("redirect") {
        let message = format!("route `{name}` has a `redirect` and a `fallback`");
        diagnostics.push(
            contradiction(&field.key_span, &redirect.key_span, message)
                .label("a redirect can't fail")
                .help("leave one of them out"),
        );
    }
    let page = ["json", "html", "status"]
        .into_iter()
        .find_map(|key| fallback.field(key));
    match (fallback.field("service"), page) {
        (Some(service), Some(page)) => {
            let message = format!("the fallback of route `{name}` is a page and a service");
            diagnostics.push(
                contradiction(&page.key_span, &service.key_span, message)
                    .label("of a page of Plimsoll's own")
                    .help("leave one of them out"),
            );
        }
        (None, _) if !fallback.has("json") && !fallback.has("html") => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.node.span.clone(),
                format!("the fallback of route `{name}` is nothing"),
            )
            .label("`json`, `html` or `service` was expected here"),
        ),
        _ => {}
    }
    check_status(name, fallback, diagnostics);
    check_service(name, route, fallback, services, diagnostics);
    check_methods(name, route, fallback, diagnostics);
}

fn check_status(name: &str, fallback: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(status) = fallback.count::<u16>("status") else {
        return;
    };
    let why = match status {
        204 | 205 => "has no body",
        300..=399 => "sends the client elsewhere, or says that it has the page",
        206..=208 | 226 => "is for a client that asked in a way of its own",
        _ => return,
    };
    if let Some(node) = fallback.node("status") {
        let message = format!("the fallback of route `{name}` can't have the status {status}");
        diagnostics.push(
            Diagnostic::error("bad-status", node.span.clone(), message)
                .label(format!("an answer with it {why}"))
                .help("write 200, or leave it out: that is 503"),
        );
    }
}

fn check_service(
    name: &str,
    route: &Fields,
    fallback: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (Some(node), Some(service)) = (fallback.node("service"), fallback.text("service")) else {
        return;
    };
    if services.field(service).is_none() {
        let message =
            format!("route `{name}` falls back to service `{service}`, which does not exist");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("no service has this name");
        let names = services.iter().map(|(name, _)| name);
        diagnostics.push(match nearest(service, names) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic,
        });
    } else if let Some(own) = route.node("service")
        && own.as_text() == Some(service)
    {
        let message = format!("route `{name}` falls back to its own service");
        diagnostics.push(
            contradiction(&node.span, &own.span, message)
                .label("it is the one that failed")
                .help("write another service, or a page"),
        );
    }
}

/// A fallback that no method of its route may get.
fn check_methods(name: &str, route: &Fields, fallback: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let methods = route.list("methods");
    let reads = |node: &Node| match &node.value {
        Value::Text(method) => READS.contains(&method.as_str()),
        _ => true,
    };
    let good = fallback.has("service")
        || (fallback.count::<u16>("status")).is_some_and(|status| status < 500);
    if let Some(first) = methods.first()
        && good
        && !methods.iter().any(reads)
    {
        diagnostics.push(
            Diagnostic::warning(
                "no-effect",
                first.span.clone(),
                format!("the fallback of route `{name}` is never given"),
            )
            .label("its requests may change something")
            .help("a page of 500 or more, which does not say that all went well, may be given to these too"),
        );
    }
}
