//! Rules about flags: one source, and addresses, tokens and origins that can be.

use super::contradiction;
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Value};

/// How many tokens there are at most: each is compared.
const TOKENS_MAX: usize = 64;

pub(super) fn check(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(flags) = file.table("flags") else {
        return;
    };
    let managed = flags
        .node("managed")
        .filter(|node| matches!(node.value, Value::Bool(true)));
    if let (Some(managed), Some(file)) = (managed, flags.node("file")) {
        diagnostics.push(
            contradiction(
                &managed.span,
                &file.span,
                "flags come from a file or are managed, not both".to_owned(),
            )
            .label("flags are managed here")
            .help("leave one of them out"),
        );
    }
    if let Some(listen) = flags.node("listen")
        && managed.is_none()
        && !flags.has("file")
    {
        diagnostics.push(
            Diagnostic::warning(
                "no-effect",
                listen.span.clone(),
                "there are no flags to ask for",
            )
            .label("every flag is answered with `FLAG_NOT_FOUND`")
            .help("write `file = \"flags.json\"` or `managed = true`"),
        );
    }
    check_tokens(flags, diagnostics);
    check_origins(flags, diagnostics);
}

fn check_tokens(flags: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let tokens = flags.list("tokens");
    for (index, node) in tokens.iter().enumerate() {
        let Some(token) = node.as_table() else {
            continue;
        };
        let given = ["env", "file"].map(|place| token.has(place));
        if given.iter().filter(|it| **it).count() != 1 {
            diagnostics.push(
                Diagnostic::error(
                    "bad-key",
                    node.span.clone(),
                    "a token of `flags` must come from one place",
                )
                .label("`env` or `file` was expected, and only one of them"),
            );
        }
        if index == TOKENS_MAX {
            diagnostics.push(
                Diagnostic::error("too-many", node.span.clone(), "too many tokens of `flags`")
                    .label(format!("{TOKENS_MAX} at most were expected")),
            );
        }
    }
}

fn check_origins(flags: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for node in flags.list("origins") {
        let Some(origin) = node.as_text() else {
            continue;
        };
        let host = origin
            .strip_prefix("https://")
            .or(origin.strip_prefix("http://"));
        let is_origin = host.is_some_and(|host| {
            !host.is_empty()
                && (host.bytes()).all(|it| it.is_ascii_graphic() && !b"/?#@\\*".contains(&it))
                && !host.bytes().any(|it| it.is_ascii_uppercase())
        });
        if origin != "*" && !is_origin {
            diagnostics.push(
                Diagnostic::error(
                    "bad-origin",
                    node.span.clone(),
                    format!("`{origin}` is not an origin"),
                )
                .label("as a browser sends it, such as \"https://shop.example.com\", or \"*\", was expected"),
            );
        }
    }
}
