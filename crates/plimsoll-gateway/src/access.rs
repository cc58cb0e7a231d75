//! What the access log says of a request.

use std::io::Write as _;
use std::time::Duration;

use plimsoll_lifecycle::AttemptEnd;
use plimsoll_measure::{Cause, Origin, Outcome};
use plimsoll_policy::TenantId;

use crate::exchange::Exchange;
use crate::plan::ServicePlan;

/// Writes a request's line, if it is bad, slow, or drawn for the sample.
pub(crate) fn write(exchange: &Exchange<'_>) {
    let plan = &exchange.plan.plan;
    // What is not logged is recorded all the same, for `plimsoll explain`.
    let settings = &plan.config.gateway.log;
    let settlement = exchange.call.settlement();
    let bad = settlement.cause.outcome() == Outcome::Bad;
    let slow = settlement.latency() >= settings.slow;
    let share = if bad || slow {
        1.0
    } else {
        settings.sample.get()
    };
    if !drawn(exchange, share) {
        return;
    }
    exchange
        .thread
        .log
        .add(|text| line(exchange, share, &mut Line { text, empty: true }));
}

fn drawn(exchange: &Exchange<'_>, share: f64) -> bool {
    // 53 random bits fill a float's mantissa.
    share >= 1.0
        || (exchange.thread.random() >> 11) as f64 / (1_u64 << 53) as f64 <= share && share > 0.0
}

/// `share` of the requests like it are written.
fn line(exchange: &Exchange<'_>, share: f64, line: &mut Line<'_>) {
    let settlement = exchange.call.settlement();
    let plan = &exchange.plan.plan;
    let head = exchange.head;
    let service = settlement.service.and_then(|id| plan.service(id));
    let endpoint = service
        .zip(settlement.endpoint)
        .and_then(|(service, id)| service.cluster.endpoints.get(id.index()));
    line.text.push(b'{');
    line.text("time", &exchange.thread.clock.timestamp().to_rfc3339());
    line.bytes("id", &exchange.facts.request_id);
    line.text(
        "trace_id",
        &format!("{:032x}", exchange.facts.trace.trace_id()),
    );
    line.text("client", &exchange.facts.client.to_string());
    line.bytes("method", head.method());
    line.bytes("host", head.authority().unwrap_or_default());
    // A query may carry secrets: it is left out.
    line.bytes("path", crate::protocol::path_of(head.path_and_query()));
    line.text(
        "protocol",
        if exchange.facts.http2 {
            "HTTP/2"
        } else {
            "HTTP/1.1"
        },
    );
    line.number("status", exchange.status.into());
    line.text("cause", settlement.cause.name());
    if let Some(service) = service {
        line.text("service", &service.name);
    }
    if let Some(route) = settlement.route.and_then(|id| plan.route(id)) {
        line.text("route", &route.name);
    }
    if let Some(endpoint) = endpoint {
        line.text("endpoint", &endpoint.name);
    }
    let version = service
        .zip(settlement.endpoint)
        .and_then(|(service, id)| service.cluster.version_at(id.index()));
    if let Some(version) = version {
        line.text("version", version);
    }
    line.text("class", settlement.class.name());
    if settlement.service.is_some() {
        line.text("tenant", &TenantId(exchange.call.tenant()).to_string());
    }
    if let Some(reason) = exchange.reason {
        // Its class was refused before limit and queue were asked.
        let governed = settlement.cause == Cause::Shed && reason == Cause::Shed.name();
        line.text("reason", if governed { "governor" } else { reason });
    }
    line.number("attempts", settlement.attempts.into());
    failed_attempts(exchange, service, line);
    // What is fresh in the store is given whatever the service does.
    let told = settlement.cause.origin() == Origin::Plimsoll && settlement.cause != Cause::Cached;
    if let Some(service) = service.filter(|_| told) {
        at_the_service(service, line);
    }
    line.seconds("duration_seconds", settlement.latency());
    if !settlement.waited.is_zero() {
        line.seconds("waited_seconds", settlement.waited);
    }
    if let Some(head_at) = settlement.head_at {
        line.seconds("head_seconds", head_at - settlement.arrived);
    }
    if share < 1.0 {
        line.float("sample", share);
    }
    line.number("bytes_in", exchange.bytes().up.get());
    line.number("bytes_out", exchange.bytes().down.get());
    let redacted = |name: &str| plan.config.gateway.log.redact.iter().any(|it| it == name);
    if let Some(agent) = head.fields.get(plimsoll_http1::Name::UserAgent) {
        let agent = if redacted("user-agent") {
            b"[redacted]"
        } else {
            agent.get(..200).unwrap_or(agent)
        };
        line.bytes("user_agent", agent);
    }
    line.text.extend_from_slice(b"}\n");
}

/// What went wrong before the answer, or was the answer.
fn failed_attempts(exchange: &Exchange<'_>, service: Option<&ServicePlan>, line: &mut Line<'_>) {
    let failed = exchange.call.effects().failed.borrow();
    if failed.is_empty() {
        return;
    }
    line.key("failed");
    line.text.push(b'[');
    for (place, attempt) in failed.iter().enumerate() {
        if place > 0 {
            line.text.push(b',');
        }
        line.text.push(b'{');
        let mut line = Line {
            text: &mut *line.text,
            empty: true,
        };
        let endpoint = service.and_then(|it| it.cluster.endpoints.get(attempt.endpoint.index()));
        if let Some(endpoint) = endpoint {
            line.text("endpoint", &endpoint.name);
        }
        match attempt.end {
            AttemptEnd::ConnectFailed => line.text("end", Cause::Connect.name()),
            AttemptEnd::Stale => line.text("end", "stale-connection"),
            AttemptEnd::Cancelled => line.text("end", "cancelled"),
            AttemptEnd::Failed { cause, after } => {
                line.text("end", cause.name());
                line.seconds("after_seconds", after);
            }
            AttemptEnd::Answered {
                head_after, status, ..
            } => {
                line.text("end", Cause::UpstreamStatus.name());
                line.number("status", status.into());
                line.seconds("after_seconds", head_after);
            }
        }
        line.text.push(b'}');
    }
    line.text.push(b']');
}

/// How full the service was when Plimsoll refused.
fn at_the_service(service: &ServicePlan, line: &mut Line<'_>) {
    let admission = &service.shared.guard.admission;
    if let Some(limit) = admission.limit() {
        line.number("limit", limit.into());
    }
    line.number("in_flight", admission.in_flight().into());
    line.number("waiting", admission.queued().into());
}

/// A JSON object, key by key, at the end of a buffer.
struct Line<'a> {
    text: &'a mut Vec<u8>,
    empty: bool,
}

impl Line<'_> {
    fn key(&mut self, key: &str) {
        if !std::mem::take(&mut self.empty) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(key.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.bytes(key, value.as_bytes());
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.key(key);
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if value.iter().all(plain) {
            self.text.push(b'"');
            self.text.extend_from_slice(value);
            self.text.push(b'"');
        } else {
            // A string always has a JSON form, and a vector takes all of it.
            let _ = serde_json::to_writer(&mut *self.text, &String::from_utf8_lossy(value));
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        self.text
            .extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// In the shortest form that is read back as the same.
    fn float(&mut self, key: &str, value: f64) {
        self.key(key);
        let _ = write!(self.text, "{value}");
    }

    /// To the microsecond.
    fn seconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        let _ = write!(
            self.text,
            "{}.{:06}",
            value.as_secs(),
            value.subsec_micros()
        );
    }
}
