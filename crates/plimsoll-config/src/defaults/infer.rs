//! What a key says about another that is left out: a health check with a path is of kind `http`.
//!
//! Said before `[defaults]` are put under a service, or a key of one would be read with a key of the other:
//! `health = "/healthz"` as a `tcp` check with a path. For the same reason a service that asks for a
//! protection without a word on its mode gets it, though `[defaults]` has it off; `observe` stays.

use crate::node::{Fields, Node, Value};

/// Says what follows from the keys of `service` alone; also of `[defaults]`.
pub(super) fn infer(service: &mut Fields) {
    if let Some(health) = service.table_mut("health") {
        infer_health(health);
    }
    if let Some(limiter) = service
        .table_mut("protect")
        .and_then(|protect| protect.table_mut("limiter"))
    {
        infer_limiter(limiter);
    }
}

/// Takes out of `below` what `service` takes the meaning from.
pub(super) fn settle(service: &Fields, below: &mut Fields) {
    let (Some(upper), Some(lower)) = (service.table("protect"), below.table_mut("protect")) else {
        return;
    };
    if let (Some(upper), Some(lower)) = (upper.table("limiter"), lower.table_mut("limiter")) {
        if upper.word("kind") == Some("adaptive") {
            lower.remove("limit");
        }
        switch_on(upper, lower, upper.has("kind"));
    }
    if let (Some(upper), Some(lower)) = (upper.table("hedge"), lower.table_mut("hedge")) {
        switch_on(upper, lower, upper.has("after"));
    }
}

fn switch_on(upper: &Fields, lower: &mut Fields, asked_for: bool) {
    if asked_for && !upper.has("mode") && lower.word("mode") == Some("off") {
        lower.remove("mode");
    }
}

/// A check with a path is of kind `http`, one with a service is of kind `grpc`.
fn infer_health(health: &mut Fields) {
    match (
        health.field("kind"),
        health.field("path"),
        health.field("service"),
    ) {
        (None, Some(path), None) => {
            let span = path.node.span.clone();
            health.insert("kind", span.clone(), Node::new(Value::Word("http"), span));
        }
        (None, None, Some(service)) => {
            let span = service.node.span.clone();
            health.insert("kind", span.clone(), Node::new(Value::Word("grpc"), span));
        }
        _ => {}
    }
}

/// A number is a fixed limit, a limit makes it fixed, and `kind = "off"` is `mode = "off"`. What
/// contradicts itself is left as it is, for the rules.
fn infer_limiter(limiter: &mut Fields) {
    let kind = limiter.node("kind").cloned();
    let limit = limiter.node("limit").cloned();
    match (kind, limit) {
        (Some(kind), None) if matches!(kind.value, Value::Count(_)) => {
            let span = kind.span.clone();
            limiter.insert("limit", span.clone(), kind);
            limiter.insert("kind", span.clone(), Node::new(Value::Word("fixed"), span));
        }
        (None, Some(limit)) => {
            let span = limit.span;
            limiter.insert("kind", span.clone(), Node::new(Value::Word("fixed"), span));
        }
        (Some(kind), _)
            if matches!(kind.value, Value::Word("off"))
                && matches!(limiter.word("mode"), None | Some("off")) =>
        {
            limiter.remove("kind");
            let span = kind.span;
            limiter.insert("mode", span.clone(), Node::new(Value::Word("off"), span));
        }
        _ => {}
    }
}
