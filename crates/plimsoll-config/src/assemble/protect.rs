//! The values of `[service.NAME.protect]` to its model.

use plimsoll_core::{Mode, Ratio};

use super::mode;
use crate::model::*;
use crate::node::{Fields, Value};

pub(super) fn protect(fields: &Fields) -> Option<Protect> {
    let deadline = fields.table("deadline")?;
    let bulkhead = fields.table("bulkhead")?;
    Some(Protect {
        mode: mode(fields)?,
        deadline: Deadline {
            head: deadline.duration("head")?,
            idle: deadline.duration("idle")?,
            total: deadline.duration("total"),
        },
        limiter: limiter(fields.table("limiter")?)?,
        queue: queue(fields.table("queue")?)?,
        bulkhead: Bulkhead {
            connections_max: bulkhead.count("connections_max"),
            pending_max: bulkhead.count("pending_max"),
            streams_max: bulkhead.count("streams_max"),
        },
        retry: retry(fields.table("retry")?)?,
        hedge: hedge(fields.table("hedge")?)?,
        breaker: Breaker {
            mode: mode(fields.table("breaker")?)?,
        },
        ejection: Ejection {
            mode: mode(fields.table("ejection")?)?,
        },
        throttle: Throttle {
            mode: mode(fields.table("throttle")?)?,
        },
        idle_connections_max: fields.count("idle_connections_max")?,
        idle_connection_time_max: fields.duration("idle_connection_time_max")?,
        connect_time_max: fields.duration("connect_time_max")?,
    })
}

fn limiter(fields: &Fields) -> Option<Limiter> {
    let max = fields.count("max")?;
    let (kind, max) = match fields.word("kind")? {
        "adaptive" => (LimiterKind::Adaptive, max),
        "fixed" => {
            let limit: u32 = fields.count("limit")?;
            // Above a `max` that is written it has been reported; a default gives way.
            (LimiterKind::Fixed(limit), limit.max(max))
        }
        // `off` has become a mode; where a mode contradicts it, that has been reported.
        _ => return None,
    };
    Some(Limiter {
        mode: mode(fields)?,
        kind,
        max,
    })
}

fn queue(fields: &Fields) -> Option<Queue> {
    Some(Queue {
        wait: match fields.node("wait")?.value {
            Value::Word("auto") => QueueWait::Auto,
            Value::Word("objective") => QueueWait::Objective,
            Value::Duration(wait) => QueueWait::Fixed(wait),
            _ => return None,
        },
        requests_max: fields.count("requests_max")?,
    })
}

fn retry(fields: &Fields) -> Option<Retry> {
    let (on, observed) = if fields.has("on") {
        let mut on = Vec::new();
        for node in fields.list("on") {
            let what = match node.value {
                Value::Word("connect") => RetryOn::Connect,
                Value::Word("reset") => RetryOn::Reset,
                Value::Word(status) => RetryOn::Status(status.parse().ok()?),
                _ => return None,
            };
            if !on.contains(&what) {
                on.push(what);
            }
        }
        (on, Vec::new())
    } else {
        // An answer 502 or 504 may come after the request was acted on: seen first, tried again once asked for.
        let observed = vec![RetryOn::Status(502), RetryOn::Status(504)];
        (vec![RetryOn::Connect], observed)
    };
    Some(Retry {
        mode: mode(fields)?,
        attempts: fields.count("attempts")?,
        on,
        observed,
        budget: fields.percent("budget")?,
        floor_per_second: fields.rate("floor")?.per_second(),
        body_bytes_max: fields.size("body_bytes_max")?,
    })
}

/// Whether these keys of `retry` let anything be tried again.
pub(crate) fn is_tried_again(fields: &Fields) -> bool {
    mode(fields).is_some_and(|mode| mode != Mode::Off) && fields.count("attempts") > Some(1_u32)
}

/// Whoever says when to hedge wants to, unless a mode is given.
pub(crate) fn hedge_mode(fields: &Fields) -> Option<Mode> {
    match (fields.has("mode"), fields.has("after")) {
        (true, _) => mode(fields),
        (false, true) => Some(Mode::Enforce),
        (false, false) => Some(Mode::Off),
    }
}

fn hedge(fields: &Fields) -> Option<Hedge> {
    Some(Hedge {
        mode: hedge_mode(fields)?,
        after: match fields.node("after").map(|node| &node.value) {
            None => HedgeAfter::Quantile(quantile("p95")?),
            Some(Value::Word(word)) => HedgeAfter::Quantile(quantile(word)?),
            Some(Value::Duration(time)) => HedgeAfter::Time(*time),
            Some(_) => return None,
        },
        budget: fields.percent("budget")?,
    })
}

/// `p99.9` is 0.999.
fn quantile(word: &str) -> Option<Ratio> {
    crate::unit::percent(&format!("{}%", word.strip_prefix('p')?)).ok()
}
