//! Rules about protections: keys that contradict each other, and settings under which nothing ever happens.

use plimsoll_core::Mode;

use super::{against, contradiction};
use crate::assemble::{hedge_mode, is_tried_again};
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Value};
use crate::unit::show_duration;

pub(super) fn check(name: &str, service: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(protect) = service.table("protect") else {
        return;
    };
    if let Some(limiter) = protect.table("limiter") {
        check_limiter(name, limiter, diagnostics);
    }
    if let Some(retry) = protect.table("retry") {
        check_retry(name, retry, diagnostics);
    }
    if let Some(hedge) = protect.table("hedge") {
        check_hedge(name, hedge, diagnostics);
    }
    check_times(name, protect, diagnostics);
}

fn check_limiter(name: &str, limiter: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some(kind) = limiter.node("kind") else {
        return;
    };
    let limit = limiter.field("limit");
    match (&kind.value, limit) {
        // A number has become `limit` unless there was another one.
        (Value::Count(_), Some(limit)) => diagnostics.push(
            contradiction(
                &limit.node.span,
                &kind.span,
                format!("the limiter of service `{name}` has two limits"),
            )
            .label("a number as `kind` is the limit, too")
            .help("leave one of them out"),
        ),
        // `off` has become `mode` unless there was another one.
        (Value::Word("off"), _) => {
            if let Some(mode) = limiter.node("mode") {
                diagnostics.push(
                    contradiction(
                        &mode.span,
                        &kind.span,
                        format!("the limiter of service `{name}` is off and has another `mode`"),
                    )
                    .label("`kind = \"off\"` is `mode = \"off\"`")
                    .help("leave one of them out"),
                );
            }
        }
        (Value::Word("adaptive"), Some(limit)) => diagnostics.push(
            contradiction(
                &limit.key_span,
                &kind.span,
                format!("the limiter of service `{name}` is adaptive and has a `limit`"),
            )
            .label("the limit of `fixed`; `max` bounds an adaptive one")
            .help("write `max` in its place, or leave `kind` out"),
        ),
        (Value::Word("fixed"), None) => diagnostics.push(
            Diagnostic::error(
                "missing-key",
                kind.span.clone(),
                format!("the limiter of service `{name}` has no `limit`"),
            )
            .label("a fixed limit is a number")
            .help("write it, as in `limiter = 32`"),
        ),
        _ => {}
    }
    if let (Some(limit), Some(max)) = (limiter.count::<u32>("limit"), limiter.count("max"))
        && limit > max
        && let (Some(limit), Some(max)) = (limiter.node("limit"), limiter.node("max"))
        // Who writes a limit above the default of `max` has said enough.
        && !max.is_default
    {
        diagnostics.push(
            contradiction(
                &limit.span,
                &max.span,
                format!("the limiter of service `{name}` has a `limit` above its `max`"),
            )
            .label("the limit is never above `max`")
            .help("leave `max` out: a fixed limit does not grow"),
        );
    }
}

fn check_retry(name: &str, retry: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if !is_tried_again(retry) {
        return;
    }
    if let Some(on) = retry.node("on")
        && matches!(&on.value, Value::List(nodes) if nodes.is_empty())
    {
        diagnostics.push(
            Diagnostic::error(
                "no-retry",
                on.span.clone(),
                format!("`retry` of service `{name}` is on and tries nothing again"),
            )
            .label("at least one of `connect`, `reset`, `502`, `503`, `504` was expected")
            .help("for no retry write `retry = { mode = \"off\" }`"),
        );
    }
    if let (Some(budget), Some(floor)) = (retry.percent("budget"), retry.rate("floor"))
        && budget.get() == 0.0
        && floor.count == 0.0
        && let (Some(budget), Some(floor)) = (retry.node("budget"), retry.node("floor"))
    {
        diagnostics.push(
            contradiction(
                &budget.span,
                &floor.span,
                format!("`retry` of service `{name}` leaves nothing for a retry"),
            )
            .label("with neither a budget nor a floor no retry could ever happen")
            .help("raise one of them, or write `retry = { mode = \"off\" }`"),
        );
    }
}

fn check_hedge(name: &str, hedge: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    if hedge_mode(hedge).is_none_or(|mode| mode == Mode::Off) {
        return;
    }
    if let (Some(budget), Some(node)) = (hedge.percent("budget"), hedge.node("budget"))
        && budget.get() == 0.0
    {
        diagnostics.push(
            Diagnostic::error(
                "no-hedge",
                node.span.clone(),
                format!("`hedge` of service `{name}` leaves nothing for a second attempt"),
            )
            .label("more than 0% was expected")
            .help("for no hedging leave `hedge` out, or write `hedge = { mode = \"off\" }`"),
        );
    }
}

/// Times that the deadline cuts off before they come.
fn check_times(name: &str, protect: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    let Some((head, head_node)) = protect
        .table("deadline")
        .and_then(|deadline| Some((deadline.duration("head")?, deadline.node("head")?)))
    else {
        return;
    };
    let note = format!(
        "`deadline.head` is {} unless the file says otherwise",
        show_duration(head)
    );
    if let Some(queue) = protect.table("queue")
        && let (Some(wait), Some(node)) = (queue.duration("wait"), queue.node("wait"))
        && wait > head
    {
        let message =
            format!("`queue.wait` of service `{name}` is longer than the deadline of a request");
        let diagnostic = Diagnostic::error("contradiction", node.span.clone(), message);
        diagnostics.push(
            against(head_node, &note, diagnostic)
                .label("a request that waits so long is too late before it is sent")
                .help(format!(
                    "write less than {}, or leave it out: `auto` waits 10 to 50 ms",
                    show_duration(head)
                )),
        );
    }
    if let Some(hedge) = protect.table("hedge")
        && hedge_mode(hedge).is_some_and(|mode| mode != Mode::Off)
        && let (Some(after), Some(node)) = (hedge.duration("after"), hedge.node("after"))
        && after >= head
    {
        let message = format!(
            "`hedge.after` of service `{name}` is not shorter than the deadline of a request"
        );
        let diagnostic = Diagnostic::error("contradiction", node.span.clone(), message);
        diagnostics.push(
            against(head_node, &note, diagnostic)
                .label("no second attempt would ever start")
                .help(
                    "write a time that slow requests reach, or a quantile as in `after = \"p95\"`",
                ),
        );
    }
}
