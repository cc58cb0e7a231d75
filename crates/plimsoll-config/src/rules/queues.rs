//! Rules about queues: who may speak to them, sizes and times that fit each other, and dead letters that end somewhere.

use super::{against, contradiction, flags};
use crate::assemble::dead_letters;
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::node::{Fields, Node, Value};
use crate::unit::{show_duration, show_size};

pub(super) fn check(file: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(queues) = file.table("queues") {
        check_listen(queues, diagnostics);
        check_region(queues, diagnostics);
        flags::check_tokens("queues", queues, diagnostics);
    }
    let Some(queues) = file.table("queue") else {
        return;
    };
    let disk_max = file.table("queues").and_then(|it| it.node("disk_max"));
    for (name, field) in queues.iter() {
        let Some(queue) = field.node.as_table() else {
            continue;
        };
        check_times(name, queue, diagnostics);
        check_sizes(name, queue, disk_max, diagnostics);
        check_dead_letters(name, queue, queues, diagnostics);
    }
    check_cycles(queues, diagnostics);
}

/// Off loopback others than those of this machine reach it.
fn check_listen(queues: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(node) = queues.node("listen") else {
        return;
    };
    let Value::Address(address) = node.value else {
        return;
    };
    if address.ip().to_canonical().is_loopback() {
        return;
    }
    // A list that could not be read may have some.
    let has_tokens = !queues.list("tokens").is_empty()
        || (queues.node("tokens")).is_some_and(|it| matches!(it.value, Value::Invalid));
    let open = [
        (
            has_tokens,
            "`tokens`",
            "the HTTP API",
            "`tokens = [{ env = \"NAME\" }]`",
        ),
        (
            queues.has("keys"),
            "`keys`",
            "the SQS protocol",
            "`keys = \"access.keys\"`",
        ),
    ];
    let open: Vec<_> = open.iter().filter(|(is_closed, ..)| !is_closed).collect();
    if open.is_empty() {
        return;
    }
    let all = |part: fn(&(bool, &'static str, &'static str, &'static str)) -> &'static str| {
        let parts: Vec<&str> = open.iter().map(|it| part(it)).collect();
        parts.join(" and ")
    };
    diagnostics.push(
        Diagnostic::warning(
            "open-to-all",
            node.span.clone(),
            format!("whoever reaches {address} may use the queues"),
        )
        .label(format!(
            "not a loopback address, and without {}",
            all(|it| it.1)
        ))
        .note(format!(
            "over {} anybody there can send, receive and delete all messages",
            all(|it| it.2)
        ))
        .help(format!("write {}, or listen on 127.0.0.1", all(|it| it.3))),
    );
}

fn check_region(queues: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((node, region)) = queues
        .node("region")
        .and_then(|it| Some((it, it.as_text()?)))
    else {
        return;
    };
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if region.len() > 64 || !region.bytes().all(fits) {
        diagnostics.push(
            Diagnostic::error(
                "bad-region",
                node.span.clone(),
                "`queues.region` is not the name of a region",
            )
            .label("letters, digits and `-` were expected, at most 64")
            .note("it is a part of ARNs, between colons"),
        );
    }
}

fn check_times(name: &str, queue: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if let Some(backoff) = queue.table("backoff")
        && let (Some(min), Some(max)) = (backoff.duration("min"), backoff.duration("max"))
        && min > max
        && let (Some(lower), Some(upper)) = (backoff.node("min"), backoff.node("max"))
    {
        // One of them stands in the file.
        let (written, other, label, what) = match lower.is_default {
            true => (
                upper,
                lower,
                format!("shorter than {}", show_duration(min)),
                ("min", min),
            ),
            false => (
                lower,
                upper,
                format!("longer than {}", show_duration(max)),
                ("max", max),
            ),
        };
        let note = format!(
            "`backoff.{}` is {} unless the file says otherwise",
            what.0,
            show_duration(what.1)
        );
        let message =
            format!("`backoff` of queue `{name}` has a `min` that is longer than its `max`");
        diagnostics.push(
            against(
                other,
                &note,
                Diagnostic::error("contradiction", written.span.clone(), message),
            )
            .label(label)
            .help("`min` is the wait after the first attempt, `max` the longest that it grows to"),
        );
    }
    if let (Some(delay), Some(retention)) = (queue.duration("delay"), queue.duration("retention"))
        && delay >= retention
        && let (Some(delay), Some(retention)) = (queue.node("delay"), queue.node("retention"))
    {
        let message =
            format!("queue `{name}` deletes its messages before anybody can receive them");
        diagnostics.push(
            contradiction(&delay.span, &retention.span, message)
                .label("held back for as long as they are kept, or longer")
                .help("give it a `retention` that is longer than its `delay`"),
        );
    }
    if let Some(dedup) = queue.table("dedup")
        && dedup.duration("window").is_some_and(|it| it.is_zero())
        && dedup.boolean("by_body") == Some(true)
        && let (Some(by_body), Some(window)) = (dedup.node("by_body"), dedup.node("window"))
    {
        let message = format!("`dedup.by_body` of queue `{name}` has no meaning");
        diagnostics.push(
            contradiction(&by_body.span, &window.span, message)
                .label("nothing is remembered that a body could be compared with")
                .help("leave it out, or write `window = \"5m\"`"),
        );
    }
}

fn check_sizes(
    name: &str,
    queue: &Fields,
    disk_max: Option<&Node>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let (Some(bytes_max), Some(node)) = (queue.size("bytes_max"), queue.node("bytes_max")) else {
        return;
    };
    if let (Some(message_max), Some(other)) = (queue.size("message_max"), queue.node("message_max"))
        && message_max > bytes_max
    {
        let note = format!(
            "`message_max` is {} unless the file says otherwise",
            show_size(message_max)
        );
        let message =
            format!("a message of queue `{name}` may be larger than all of them together");
        diagnostics.push(
            against(
                other,
                &note,
                Diagnostic::error("contradiction", node.span.clone(), message),
            )
            .label("the bytes of all messages together")
            .help("raise `bytes_max`, or lower `message_max`"),
        );
    }
    if let Some(disk) = disk_max
        && let Value::Size(disk_max) = disk.value
        && bytes_max > disk_max
    {
        let message = format!("`bytes_max` of queue `{name}` is never reached");
        let mut diagnostic = Diagnostic::warning("no-effect", node.span.clone(), message)
            .label("more than all queues together may have");
        diagnostic = match disk.is_default {
            true => diagnostic.note(format!(
                "`queues.disk_max` is {} unless the file says otherwise",
                show_size(disk_max)
            )),
            false => diagnostic.related(disk.span.clone(), "for all queues"),
        };
        diagnostics.push(diagnostic.help("raise `queues.disk_max`, or leave `bytes_max` out"));
    }
}

/// They go to another queue that there is, and of the same kind.
fn check_dead_letters(
    name: &str,
    queue: &Fields,
    queues: &Fields,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let Some((node, to)) = (queue.node("dead_letters")).and_then(|it| Some((it, it.as_text()?)))
    else {
        return;
    };
    let made = dead_letters(name);
    if to == name {
        let message = format!("dead letters of queue `{name}` go to the queue itself");
        diagnostics.push(
            Diagnostic::error("dead-letter-cycle", node.span.clone(), message)
                .label("another queue was expected")
                .help(format!(
                    "leave it out: `{made}` is made for them when it is needed"
                )),
        );
        return;
    }
    if queues.field(to).is_none() {
        let message = format!("dead letters of queue `{name}` go to `{to}`, which does not exist");
        let names = queues.iter().map(|(other, _)| other);
        let names = names.filter(|other| *other != name);
        let diagnostic = Diagnostic::error("unknown-queue", node.span.clone(), message)
            .label("no queue of the file has this name");
        diagnostics.push(match nearest(to, names) {
            Some(nearest) => diagnostic.help(format!("did you mean \"{nearest}\"?")),
            None => diagnostic.help(format!(
                "leave it out: `{made}` is made for them when it is needed"
            )),
        });
        return;
    }
    let is_ordered = |name: &str| name.ends_with(".fifo");
    if is_ordered(to) != is_ordered(name) {
        let message = format!("dead letters of queue `{name}` go to a queue of another kind");
        diagnostics.push(
            Diagnostic::error("contradiction", node.span.clone(), message)
                .label(match is_ordered(name) {
                    true => "a queue whose name ends in `.fifo` was expected, as this one's does",
                    false => "a queue whose name does not end in `.fifo` was expected, as this one's does not",
                })
                .note("only of queues whose names end in `.fifo` messages have an order to keep"),
        );
    }
    if queue.count::<u32>("attempts_max") == Some(0)
        && let Some(attempts) = queue.node("attempts_max")
    {
        let message = format!("`dead_letters` of queue `{name}` has no effect");
        diagnostics.push(
            Diagnostic::warning("no-effect", node.span.clone(), message)
                .label("it never has a dead letter")
                .related(attempts.span.clone(), "0: never"),
        );
    }
}

/// Nothing is delivered for ever, from one queue to the other.
fn check_cycles(queues: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    // Only what is in the file: a queue that is made for dead letters gives none to those of the file.
    let next = |name: &str| -> Option<&str> {
        let queue = queues.field(name)?.node.as_table()?;
        if queue.count::<u32>("attempts_max") == Some(0) {
            return None;
        }
        let made = || dead_letters(name);
        let to = (queue.text("dead_letters")).map_or_else(made, str::to_owned);
        queues.iter().map(|(it, _)| it).find(|it| **it == to)
    };
    let mut seen: Vec<&str> = Vec::new();
    for (first, _) in queues.iter() {
        let mut way: Vec<&str> = Vec::new();
        let mut at = Some(first);
        while let Some(name) = at.filter(|it| !seen.contains(it)) {
            seen.push(name);
            way.push(name);
            at = next(name);
        }
        // It came back to where it has been on this way, and not into one that was looked at before.
        let cycle = at.and_then(|back| way.iter().position(|it| *it == back));
        if let Some(cycle) = cycle.and_then(|from| way.get(from..)) {
            diagnostics.extend(cycle_of(cycle, queues));
        }
    }
}

fn cycle_of(cycle: &[&str], queues: &Fields) -> Option<Diagnostic> {
    let written = |name: &&str| queues.field(name)?.node.as_table()?.node("dead_letters");
    let is_itself_by_its_own_word = cycle.len() == 1 && cycle.first().and_then(written).is_some();
    if is_itself_by_its_own_word {
        // It has been reported.
        return None;
    }
    let mut places = cycle
        .iter()
        .filter_map(|name| Some((*name, written(name)?)));
    let mut way: Vec<String> = cycle.iter().map(|name| format!("`{name}`")).collect();
    way.extend(way.first().cloned());
    let message = format!("dead letters go round in a circle: {}", way.join(" → "));
    let help = "let one of them be the last: `attempts_max = 0`, or other `dead_letters`";
    let Some((_, first)) = places.next() else {
        let name = cycle.first()?;
        let span = queues.field(name)?.key_span.clone();
        return Some(Diagnostic::error("dead-letter-cycle", span, message).help(help));
    };
    let mut diagnostic = Diagnostic::error("dead-letter-cycle", first.span.clone(), message)
        .label("what nobody can work on would be delivered for ever");
    for (name, node) in places {
        diagnostic = diagnostic.related(node.span.clone(), format!("from `{name}`"));
    }
    let silent = cycle.iter().filter(|name| written(name).is_none());
    for name in silent {
        diagnostic = diagnostic.note(format!(
            "dead letters of `{name}` go to `{}` unless the file says otherwise",
            dead_letters(name)
        ));
    }
    Some(diagnostic.help(help))
}
