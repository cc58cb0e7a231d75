//! Rules about versions of services, and about rollouts: of a version that there is, one for each service, and only forwards.

use super::{against, contradiction, flags};
use crate::assemble;
use crate::diagnostic::Diagnostic;
use crate::model::Endpoint;
use crate::nearest::nearest;
use crate::node::{Field, Fields, Node, Value};
use crate::unit::show_percent;

/// More is no evidence.
const ALPHA_MAX: f64 = 0.2;

/// The versions of a service have endpoints of their own.
pub(super) fn check_versions(
    name: &str,
    service: &Fields,
    listeners: &[super::Listening],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let own = service.list("endpoints").iter();
    let mut taken: Vec<(Endpoint, &Node, Option<&str>)> = own
        .filter_map(|node| Some((assemble::endpoint(node)?, node, None)))
        .collect();
    let versions = service.table("version").into_iter().flat_map(Fields::iter);
    for (version, field) in versions {
        let Some(fields) = field.node.as_table() else {
            continue;
        };
        let subject = format!("{name}.{version}");
        super::check_endpoints(&subject, fields, listeners, diagnostics);
        let endpoints = fields.list("endpoints").iter();
        let endpoints: Vec<_> = endpoints
            .filter_map(|node| Some((assemble::endpoint(node)?, node, Some(version))))
            .collect();
        for (endpoint, node, _) in &endpoints {
            let Some((_, first, owner)) = taken.iter().find(|(it, ..)| it == endpoint) else {
                continue;
            };
            let message = format!(
                "version `{version}` of service `{name}` has an endpoint that is not its own"
            );
            diagnostics.push(
                Diagnostic::error("duplicate-endpoint", node.span.clone(), message)
                    .label(format!("{endpoint} again"))
                    .related(
                        first.span.clone(),
                        match owner {
                            Some(other) => format!("version `{other}` has it"),
                            None => "the service has it".to_owned(),
                        },
                    )
                    .help(
                        "write where this version alone listens: nobody could tell the two apart",
                    ),
            );
        }
        taken.extend(endpoints);
    }
}

pub(super) fn check(file: &Fields, services: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let rollouts = file.table("rollout").into_iter().flat_map(Fields::iter);
    let mut seen: Vec<(&str, &str, &Node)> = Vec::new();
    for (name, field) in rollouts {
        let Some(rollout) = field.node.as_table() else {
            continue;
        };
        check_version(name, rollout, services, diagnostics);
        check_flag(name, field, file, rollout, diagnostics);
        if let (Some(service), Some(node)) = (rollout.text("service"), rollout.node("service")) {
            match seen.iter().find(|(other, ..)| *other == service) {
                Some((_, other, first)) => {
                    let message = format!("service `{service}` has two rollouts");
                    diagnostics.push(
                        contradiction(&node.span, &first.span, message)
                            .label(format!("`{name}`, and `{other}` before it"))
                            .help("leave one of them out: what a version does is compared with one other"),
                    );
                }
                None => seen.push((service, name, node)),
            }
        }
        check_steps(name, field, rollout, diagnostics);
        check_split(name, rollout, diagnostics);
        check_shares(name, rollout, diagnostics);
    }
}

/// It is of a version or of a flag's variant; who gets that must be told apart in the same way by services.
fn check_flag(
    name: &str,
    field: &Field,
    file: &Fields,
    rollout: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (version, flag) = (rollout.field("version"), rollout.field("flag"));
    let flag = match (version, flag) {
        (Some(version), Some(flag)) => {
            let message = format!("rollout `{name}` is of a version and of a flag");
            diagnostics.push(
                contradiction(&flag.key_span, &version.key_span, message)
                    .help("leave one of them out"),
            );
            return;
        }
        (None, None) => {
            let message = format!("rollout `{name}` does not say what requests are moved to");
            diagnostics.push(
                Diagnostic::error("missing-key", field.key_span.clone(), message)
                    .label("`version` or `flag` was expected"),
            );
            return;
        }
        (Some(_), None) => return,
        (None, Some(flag)) => flag,
    };
    flags::check_any(
        &format!("rollout `{name}` is of a flag"),
        flag,
        file,
        diagnostics,
    );
    let by = rollout.node("by").map(|it| &it.value);
    if !matches!(by, Some(Value::Table(_) | Value::Word("tenant"))) {
        let message = format!("rollout `{name}` does not say by what users are told apart");
        diagnostics.push(
            Diagnostic::error("missing-key", flag.key_span.clone(), message)
                .label("`by` with a header, a cookie or \"tenant\" was expected")
                .help("write what services give as the targeting key, as in `by = { header = \"x-user\" }`"),
        );
    }
    if let Some(kind) = rollout.field("kind")
        && rollout.word("kind") != Some("canary")
    {
        let message = format!("rollout `{name}` is of a flag and no `canary`");
        diagnostics.push(
            contradiction(&kind.key_span, &flag.key_span, message)
                .label("a variant goes to a growing share of users"),
        );
    }
    if let Some(header) = rollout.field("header") {
        let message = format!("rollout `{name}` is of a flag, and lets requests choose");
        diagnostics.push(
            contradiction(&header.key_span, &flag.key_span, message)
                .label("what a user gets is said by the flag")
                .help("leave it out; target those users in the flag itself"),
        );
    }
}

fn check_version(
    name: &str,
    rollout: &Fields,
    services: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (Some(service), Some(node)) = (rollout.text("service"), rollout.node("service")) else {
        return;
    };
    let Some(found) = services.field(service) else {
        let message = format!("rollout `{name}` is of service `{service}`, which does not exist");
        let diagnostic = Diagnostic::error("unknown-service", node.span.clone(), message)
            .label("no service has this name");
        let names = services.iter().map(|(name, _)| name);
        diagnostics.push(match nearest(service, names) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic,
        });
        return;
    };
    let (Some(version), Some(node)) = (rollout.text("version"), rollout.node("version")) else {
        return;
    };
    let versions = found.node.as_table().and_then(|it| it.table("version"));
    if versions.is_some_and(|it| it.field(version).is_some()) {
        return;
    }
    let message = format!(
        "rollout `{name}` is of version `{version}`, which service `{service}` does not have"
    );
    let diagnostic = Diagnostic::error("unknown-version", node.span.clone(), message)
        .label("no version of it has this name");
    let names = versions.into_iter().flat_map(Fields::iter);
    diagnostics.push(match nearest(version, names.map(|(name, _)| name)) {
        Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
        None => diagnostic.help(format!(
            "say where it is:\n\n[service.{service}.version.{version}]\nendpoints = [\"http://127.0.0.1:9002\"]"
        )),
    });
}

fn check_steps(name: &str, field: &Field, rollout: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(steps) = rollout.node("steps") else {
        return;
    };
    let nodes = rollout.list("steps");
    if nodes.is_empty() && matches!(steps.value, Value::List(_)) {
        let message = format!("rollout `{name}` has no step");
        diagnostics.push(
            Diagnostic::error("missing-key", steps.span.clone(), message)
                .label("at least one was expected")
                .help("write `steps = [{ weight = \"5%\", for = \"10m\" }, \"100%\"]`, or leave it out"),
        );
    }
    let mut before: Option<(f64, &Node)> = None;
    for node in nodes {
        let step = node.as_table();
        let Some((weight, node)) = step.and_then(|it| it.percent("weight").zip(it.node("weight")))
        else {
            continue;
        };
        if weight.get() * 10_000.0 < 0.5 {
            let message = format!("a step of rollout `{name}` moves nothing");
            diagnostics.push(
                Diagnostic::error("out-of-range", node.span.clone(), message)
                    .label("more than 0% was expected, in hundredths of a percent"),
            );
        }
        if let Some((_, earlier)) = before.filter(|(earlier, _)| weight.get() <= *earlier) {
            let message = format!("the weights of rollout `{name}` do not rise");
            diagnostics.push(
                contradiction(&node.span, &earlier.span, message)
                    .label(format!("more than {} was expected", earlier_percent(earlier)))
                    .help("write the steps from the smallest to the largest; back is what Plimsoll does by itself"),
            );
        }
        before = Some((weight.get(), node));
    }
    if let Some(last) = nodes.last().and_then(Node::as_table)
        && let Some((weight, node)) = last.percent("weight").zip(last.node("weight"))
        && weight.get() < 1.0
    {
        let message = format!("rollout `{name}` ends at {}", show_percent(weight));
        diagnostics.push(
            Diagnostic::warning("odd-value", node.span.clone(), message)
                .label("what is promoted takes all requests at once from here")
                .help("add a step with `weight = \"100%\"`, so that it is watched there too"),
        );
    }
    if rollout.word("kind") == Some("blue-green") && !steps.is_default && nodes.len() > 1 {
        let kind = rollout
            .node("kind")
            .map_or(&field.key_span, |kind| &kind.span);
        let message = format!("rollout `{name}` is `blue-green` and has several steps");
        diagnostics.push(
            contradiction(&steps.span, kind, message)
                .label("`blue-green` moves all at once")
                .help("write one step, as in `steps = [{ weight = \"100%\", for = \"1h\" }]`, or `kind = \"canary\"`"),
        );
    }
}

fn earlier_percent(node: &Node) -> String {
    match node.value {
        Value::Percent(weight) => show_percent(weight),
        _ => "before".to_owned(),
    }
}

/// `what` names a header or a cookie, if it is a table.
pub(super) fn check_cohort(what: &str, field: &Field, diagnostics: &mut Vec<Diagnostic>) {
    let Some(cohort) = field.node.as_table() else {
        return;
    };
    match (cohort.field("header"), cohort.field("cookie")) {
        (Some(header), Some(cookie)) => diagnostics.push(
            contradiction(
                &cookie.key_span,
                &header.key_span,
                format!("{what} names a header and a cookie"),
            )
            .help("leave one of them out"),
        ),
        (None, None) => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                field.node.span.clone(),
                format!("{what} does not say by what"),
            )
            .label("`header` or `cookie` was expected"),
        ),
        (None, Some(cookie)) if !cookie.node.as_text().is_none_or(is_cookie_name) => {
            diagnostics.push(
                Diagnostic::error(
                    "bad-name",
                    cookie.node.span.clone(),
                    format!("the cookie of {what} is no name of a cookie"),
                )
                .label("a name without spaces, `=`, `;` and `,` was expected"),
            );
        }
        _ => {}
    }
}

fn check_split(name: &str, rollout: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(by) = rollout.field("by") {
        check_cohort(&format!("`by` of rollout `{name}`"), by, diagnostics);
    }
    let Some(kind) = rollout.node("kind") else {
        return;
    };
    let is_mirror = matches!(kind.value, Value::Word("mirror"));
    if let (Some(header), true) = (rollout.field("header"), is_mirror) {
        let message = format!("`header` of rollout `{name}` has no meaning with `mirror`");
        diagnostics.push(
            contradiction(&header.key_span, &kind.span, message)
                .label("no answer of the version is ever given")
                .help("leave it out, or write `kind = \"canary\"`"),
        );
    }
    let Some(mirrors) = rollout.field("mirror_unsafe") else {
        return;
    };
    match (&mirrors.node.value, is_mirror) {
        (Value::Bool(true), true) => diagnostics.push(
            Diagnostic::warning(
                "side-effects",
                mirrors.key_span.clone(),
                format!("rollout `{name}` does twice what requests ask for"),
            )
            .label("copies of POST, PUT, PATCH and DELETE change something, too")
            .note("a copy has `Plimsoll-Mirror: ?1`: the version can tell it, and let it change nothing that counts")
            .help("leave it out unless the version has a database, a mailer and a cashier of its own"),
        ),
        (Value::Bool(true), false) => diagnostics.push(
            against(
                kind,
                "`kind` is `canary` unless the file says otherwise",
                Diagnostic::error(
                    "contradiction",
                    mirrors.key_span.clone(),
                    format!("`mirror_unsafe` of rollout `{name}` has no meaning without `mirror`"),
                ),
            )
            .help("leave it out, or write `kind = \"mirror\"`"),
        ),
        _ => {}
    }
}

fn check_shares(name: &str, rollout: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some((alpha, node)) = rollout.percent("alpha").zip(rollout.node("alpha"))
        && !(alpha.get() > 0.0 && alpha.get() <= ALPHA_MAX)
    {
        let message = format!("`alpha` of rollout `{name}` is out of range");
        diagnostics.push(
            Diagnostic::error("out-of-range", node.span.clone(), message)
                .label("more than 0% and at most 20% was expected")
                .note("the share of versions that are no worse and are taken back all the same"),
        );
    }
    if let Some((price, node)) = rollout.percent("price").zip(rollout.node("price"))
        && price.get() == 0.0
    {
        let message = format!("rollout `{name}` may cost nothing");
        diagnostics.push(
            Diagnostic::error("out-of-range", node.span.clone(), message)
                .label("more than 0% was expected")
                .note("with no price the first bad answer of the version would end it, though the service has some as well"),
        );
    }
}

/// A token (RFC 6265, section 4.1.1), more or less: what can be told from the rest of the field.
fn is_cookie_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'=' | b';' | b',' | b'"'))
}
