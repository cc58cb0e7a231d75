//! Rules about maintenance windows: services that there are, times that there are.

use plimsoll_measure::Begins;

use super::{check_services, contradiction};
use crate::diagnostic::Diagnostic;
use crate::node::{Field, Fields};

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let windows = file.table("maintenance").into_iter().flat_map(Fields::iter);
    for (name, field) in windows {
        let Some(window) = field.node.as_table() else {
            continue;
        };
        check_services(
            &format!("maintenance `{name}` is"),
            window,
            services,
            diagnostics,
        );
        check_time(name, field, window, diagnostics);
    }
}

fn check_time(name: &str, field: &Field, window: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    match (window.node("from"), window.node("every")) {
        (None, None) if !window.has("from") && !window.has("every") => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("maintenance `{name}` has no beginning"),
            )
            .label("`from` or `every` was expected here")
            .help("write `from = \"2026-12-01T02:00:00Z\"`, or `every = \"sunday 02:00\"`"),
        ),
        (Some(from), Some(every)) => diagnostics.push(
            contradiction(
                &every.span,
                &from.span,
                format!("maintenance `{name}` begins once and each week"),
            )
            .help("leave one of them out, or make two of it"),
        ),
        _ => (),
    }
    let times = [
        (
            "from",
            Begins::once as fn(&str) -> Option<Begins>,
            "2026-12-01T02:00:00Z",
        ),
        ("every", Begins::weekly, "sunday 02:00"),
    ];
    for (key, read, example) in times {
        let text = window
            .node(key)
            .and_then(|node| Some((node, node.as_text()?)));
        let Some((node, text)) = text.filter(|(_, text)| read(text).is_none()) else {
            continue;
        };
        diagnostics.push(
            Diagnostic::error(
                "wrong-time",
                node.span.clone(),
                format!("`{key}` of maintenance `{name}` is no time: `{text}`"),
            )
            .label("a time in UTC was expected")
            .help(format!("write it as in `{key} = \"{example}\"`")),
        );
    }
}
