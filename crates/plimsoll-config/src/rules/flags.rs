//! Rules about flags: one source, and addresses, tokens and origins that can be.

use super::{contradiction, rollout};
use crate::diagnostic::Diagnostic;
use plimsoll_policy::flag::FlagContext;

use crate::node::{Field, Fields, Value};

/// How many tokens there are at most: each is compared.
const TOKENS_MAX: usize = 64;
/// How many attributes there are at most: each is looked for in requests.
const ATTRIBUTES_MAX: usize = 16;

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
    if let Some(user) = flags.field("user") {
        rollout::check_cohort("`flags.user`", user, diagnostics);
    }
    let mut attributes = flags.table("attributes").into_iter().flat_map(Fields::iter);
    if let Some((_, field)) = attributes.nth(ATTRIBUTES_MAX) {
        diagnostics.push(
            Diagnostic::error(
                "too-many",
                field.key_span.clone(),
                "too many attributes of `flags`",
            )
            .label(format!("{ATTRIBUTES_MAX} at most were expected")),
        );
    }
    let key = (flags.table("attributes")).and_then(|it| it.field(FlagContext::TARGETING_KEY));
    if let Some(field) = key {
        let message = "the targeting key is no attribute of `flags`";
        diagnostics.push(
            Diagnostic::error("bad-name", field.key_span.clone(), message)
                .help("write `user = { header = \"x-user\" }`"),
        );
    }
    check_tokens("flags", flags, diagnostics);
    check_origins(flags, diagnostics);
}

/// `what`, and there are flags.
pub(super) fn check_any(
    what: &str,
    field: &Field,
    file: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let flags = file.table("flags");
    let has_flags = flags
        .is_some_and(|it| it.node("file").is_some() || it.boolean("managed").unwrap_or_default());
    if !has_flags {
        let message = format!("{what}, and there are no flags");
        diagnostics.push(
            Diagnostic::error("missing-key", field.key_span.clone(), message)
                .label("`[flags]` with `file` or `managed` was expected"),
        );
    }
}

/// The `tokens` of the table `name` come from one place each, and are not too many.
pub(super) fn check_tokens(name: &str, fields: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let tokens = fields.list("tokens");
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
                    format!("a token of `{name}` must come from one place"),
                )
                .label("`env` or `file` was expected, and only one of them"),
            );
        }
        if index == TOKENS_MAX {
            diagnostics.push(
                Diagnostic::error(
                    "too-many",
                    node.span.clone(),
                    format!("too many tokens of `{name}`"),
                )
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
