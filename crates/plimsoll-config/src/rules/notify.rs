//! Rules about notifiers: what each kind needs, and what it has no use for.

use super::contradiction;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Field, Fields, Node};
use crate::url::{Scheme, Url};

/// A mail goes to so many at most.
const TO_MAX: usize = 16;

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let notifiers = file.table("notify").into_iter().flat_map(Fields::iter);
    for (name, field) in notifiers {
        let Some(notifier) = field.node.as_table() else {
            continue;
        };
        for key in ["url", "secret"] {
            check_place(name, key, notifier, diagnostics);
        }
        check_owners(name, notifier, services, diagnostics);
        if let (Some(kind), Some(node)) = (notifier.word("kind"), notifier.node("kind")) {
            check_kind(name, field, notifier, (kind, node), diagnostics);
            check_url(name, notifier, kind, diagnostics);
        }
    }
}

/// A value must come from one place.
fn check_place(name: &str, key: &str, notifier: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((node, fields)) = notifier
        .node(key)
        .and_then(|node| Some((node, node.as_table()?)))
    else {
        return;
    };
    let given = ["value", "env", "file"].map(|place| fields.has(place));
    if given.iter().filter(|it| **it).count() != 1 {
        let label = match key {
            "url" => "a URL, `env` or `file` was expected, and only one of them",
            _ => "`env` or `file` was expected, and only one of them",
        };
        diagnostics.push(
            Diagnostic::error(
                "bad-key",
                node.span.clone(),
                format!("`{key}` of notifier `{name}` must come from one place"),
            )
            .label(label),
        );
    }
}

/// Somebody who owns nothing would never be called.
fn check_owners(
    name: &str,
    notifier: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let owners = || {
        let services = services.iter().filter_map(|(_, it)| it.node.as_table());
        services.filter_map(|it| it.text("owner"))
    };
    for node in notifier.list("owners") {
        let Some(owner) = node.as_text() else {
            continue;
        };
        if owners().any(|it| it == owner) {
            continue;
        }
        let message = format!("notifier `{name}` is for `{owner}`, who owns no service");
        let diagnostic = Diagnostic::error("unknown-owner", node.span.clone(), message)
            .label("no service has this `owner`");
        diagnostics.push(match nearest(owner, owners()) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic.help("write it as a service has it, as in `owner = \"payments\"`"),
        });
    }
}

fn check_kind(
    name: &str,
    field: &Field,
    notifier: &Fields,
    (kind, kind_node): (&str, &Node),
    diagnostics: &mut Vec<Diagnostic>,
) {
    let mut missing = |key: &str, what: &str, example: &str| {
        diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.key_span.clone(),
                format!("notifier `{name}` has no `{key}`"),
            )
            .label(format!("`{key}` was expected here: {what}"))
            .help(format!("write `{key} = {example}`")),
        );
    };
    if kind != "pagerduty" && !notifier.has("url") {
        let (what, example) = match kind {
            "smtp" => ("the mail server", "\"smtp://mail.example.com\""),
            "alertmanager" => ("its address", "\"http://127.0.0.1:9093\""),
            _ => ("where to send", "{ env = \"HOOK_URL\" }"),
        };
        missing("url", what, example);
    }
    if kind == "pagerduty" && !notifier.has("secret") {
        missing("secret", "the routing key", "{ env = \"ROUTING_KEY\" }");
    }
    if kind == "smtp" {
        if !notifier.has("from") {
            missing("from", "the sender", "\"plimsoll@example.com\"");
        }
        if notifier.list("to").is_empty() {
            missing("to", "at least one address", "\"oncall@example.com\"");
        }
        if notifier.has("user") && !notifier.has("secret") {
            missing("secret", "the password", "{ env = \"MAIL_PASSWORD\" }");
        }
        check_addresses(name, notifier, diagnostics);
    }
    let uses: &[(&str, &[&str])] = &[
        ("secret", &["webhook", "pagerduty", "smtp"]),
        ("from", &["smtp"]),
        ("to", &["smtp"]),
        ("user", &["smtp"]),
        ("interval", &["heartbeat"]),
    ];
    for (key, kinds) in uses {
        let Some(node) = notifier.node(key).filter(|it| !it.is_default) else {
            continue;
        };
        if !kinds.contains(&kind) {
            let message = format!("`{key}` of notifier `{name}` has no meaning with `{kind}`");
            diagnostics.push(
                contradiction(&node.span, &kind_node.span, message)
                    .label(format!("a key of {}", kinds.join(", ")))
                    .help("leave it out"),
            );
        }
    }
    if let (true, "smtp", None) = (notifier.has("secret"), kind, notifier.node("user"))
        && let Some(node) = notifier.node("secret")
    {
        let message = format!("notifier `{name}` has a password and nobody who logs in");
        diagnostics.push(
            Diagnostic::error("missing-key", node.span.clone(), message)
                .label("the password of `user`, which is not there"),
        );
    }
    let owners = notifier.node("owners").filter(|it| !it.is_default);
    if let ("heartbeat", Some(node)) = (kind, owners) {
        let message = format!("`owners` of notifier `{name}` has no meaning with `heartbeat`");
        diagnostics.push(
            contradiction(&node.span, &kind_node.span, message)
                .label("it says that Plimsoll watches, which is about all services")
                .help("leave it out"),
        );
    }
}

fn check_addresses(name: &str, notifier: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let to = notifier.list("to");
    if let Some(node) = to.get(TO_MAX) {
        diagnostics.push(
            Diagnostic::error(
                "too-many",
                node.span.clone(),
                format!("notifier `{name}` writes to more than {TO_MAX}"),
            )
            .label("one more than there may be")
            .help("write to a list"),
        );
    }
    for node in notifier.node("from").into_iter().chain(to) {
        let is_address = |text: &str| {
            let fits = |byte: u8| byte.is_ascii_graphic() && !b"<>,;:\"()[]\\".contains(&byte);
            let (local, domain) = text.rsplit_once('@').unwrap_or_default();
            !local.is_empty() && !domain.is_empty() && text.len() <= 254 && text.bytes().all(fits)
        };
        if node.as_text().is_some_and(|text| !is_address(text)) {
            diagnostics.push(
                Diagnostic::error(
                    "bad-address",
                    node.span.clone(),
                    format!("notifier `{name}` has an address that is none"),
                )
                .label("an address such as \"oncall@example.com\" was expected"),
            );
        }
    }
}

fn check_url(name: &str, notifier: &Fields, kind: &str, diagnostics: &mut Vec<Diagnostic>) {
    let Some((node, url)) = notifier.node("url").and_then(|node| {
        let text = node.as_table()?.text("value")?;
        Some((node, text.parse::<Url>().ok()?))
    }) else {
        return;
    };
    let is_mail = kind == "smtp";
    if url.scheme.is_mail() != is_mail {
        let label = match is_mail {
            true => "a URL such as \"smtp://mail.example.com\" was expected",
            false => "a URL such as \"https://hooks.example.com/a\" was expected",
        };
        diagnostics.push(
            Diagnostic::error(
                "bad-url",
                node.span.clone(),
                format!("`url` of notifier `{name}` is none that `{kind}` can send to"),
            )
            .label(label),
        );
    } else if kind == "slack" {
        let message = format!("`url` of notifier `{name}` stands in the file");
        diagnostics.push(
            Diagnostic::warning("secret-in-file", node.span.clone(), message)
                .label("whoever knows it can write there")
                .help(
                    "keep it elsewhere, as in `url = { env = \"SLACK_URL\" }`, or `{ file = \"slack.url\" }`",
                ),
        );
    } else if is_mail && url.scheme == Scheme::Smtp && url.path != "/" {
        let message = format!("`url` of notifier `{name}` has a path");
        diagnostics.push(
            Diagnostic::error("bad-url", node.span.clone(), message)
                .label("a mail server is a host and a port"),
        );
    }
}
