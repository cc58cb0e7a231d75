//! Rules about approvals and freezes: services that there are, times that there are, and that say something.

use plimsoll_measure::Hours;

use super::{check_services, contradiction};
use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node};

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let tables = |key| file.table(key).into_iter().flat_map(Fields::iter);
    for (name, field) in tables("approval") {
        let Some(rule) = field.node.as_table() else {
            continue;
        };
        check_services(
            &format!("approval `{name}` is"),
            rule,
            services,
            diagnostics,
        );
        if rule.has("what") && rule.list("what").is_empty() {
            let message = format!("approval `{name}` is of nothing");
            diagnostics.push(
                Diagnostic::error("missing-key", field.key_span.clone(), message)
                    .help("say what needs it, as in `what = [\"config\"]`"),
            );
        }
        for node in rule.list("during") {
            check_hours(name, node, diagnostics);
        }
    }
    for (name, field) in tables("freeze") {
        let Some(freeze) = field.node.as_table() else {
            continue;
        };
        check_services(
            &format!("freeze `{name}` is"),
            freeze,
            services,
            diagnostics,
        );
        check_owners(name, freeze, services, diagnostics);
        check_times(name, freeze, diagnostics);
    }
}

fn check_hours(name: &str, node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    let Some(text) = node.as_text().filter(|text| Hours::parse(text).is_none()) else {
        return;
    };
    let message = format!("`during` of approval `{name}` is no time of the week: `{text}`");
    diagnostics.push(
        Diagnostic::error("wrong-time", node.span.clone(), message)
            .label("days and hours were expected")
            .help("write it as in `during = \"Mon-Fri 18:00-08:00\"`; with ` +01:00` behind it for clocks an hour ahead of UTC"),
    );
}

/// A team that has no service is most likely misspelt, and nothing would be frozen.
fn check_owners(name: &str, freeze: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let owners = || {
        let services = services.iter().filter_map(|(_, it)| it.node.as_table());
        services.filter_map(|it| it.text("owner"))
    };
    for node in freeze.list("owners") {
        let Some(owner) = node
            .as_text()
            .filter(|it| owners().all(|known| known != *it))
        else {
            continue;
        };
        let message = format!("freeze `{name}` is of services of `{owner}`, who owns none");
        let diagnostic = Diagnostic::error("unknown-owner", node.span.clone(), message)
            .label("no service has this owner");
        diagnostics.push(match nearest(owner, owners()) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic,
        });
    }
}

fn check_times(name: &str, freeze: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let mut times = Vec::new();
    for key in ["from", "until"] {
        let node = freeze.node(key);
        let Some((node, text)) = node.and_then(|node| Some((node, node.as_text()?))) else {
            continue;
        };
        match assemble::time(text) {
            Some(time) => times.push((time, node)),
            None => diagnostics.push(
                Diagnostic::error(
                    "wrong-time",
                    node.span.clone(),
                    format!("`{key}` of freeze `{name}` is no time: `{text}`"),
                )
                .label("a time in UTC was expected")
                .help(format!("write it as in `{key} = \"2026-12-24T00:00Z\"`")),
            ),
        }
    }
    if let [(from, first), (until, second)] = times.as_slice()
        && until <= from
    {
        let message = format!("freeze `{name}` ends before it begins");
        diagnostics.push(
            contradiction(&second.span, &first.span, message)
                .help("give it an `until` that is later than `from`"),
        );
    }
}
