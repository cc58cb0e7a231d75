//! What the access log says of a request.

use std::fmt::Write as _;
use std::time::Duration;

use plimsoll_measure::Outcome;

use crate::exchange::Exchange;

/// Writes a request's line, if it is bad, slow, or drawn for the sample.
pub(crate) fn write(exchange: &Exchange<'_>) {
    let plan = &exchange.plan.plan;
    let settings = &plan.config.gateway.log;
    if settings.to == plimsoll_config::LogTarget::Off {
        return;
    }
    let settlement = exchange.call.settlement();
    let bad = settlement.cause.outcome() == Outcome::Bad;
    let slow = settlement.latency() >= settings.slow;
    if !bad && !slow && !drawn(exchange, settings.sample.get()) {
        return;
    }
    exchange.thread.log.send(line(exchange).into_bytes());
}

fn drawn(exchange: &Exchange<'_>, share: f64) -> bool {
    // 53 random bits fill a float's mantissa.
    share >= 1.0
        || (exchange.thread.random() >> 11) as f64 / (1_u64 << 53) as f64 <= share && share > 0.0
}

fn line(exchange: &Exchange<'_>) -> String {
    let settlement = exchange.call.settlement();
    let plan = &exchange.plan.plan;
    let head = exchange.head;
    let service = settlement.service.and_then(|id| plan.service(id));
    let endpoint = service
        .zip(settlement.endpoint)
        .and_then(|(service, id)| service.cluster.endpoints.get(id.index()));
    let mut line = Line(String::with_capacity(512));
    line.0.push('{');
    line.text("time", &exchange.thread.clock.timestamp().to_rfc3339());
    line.text("id", &exchange.facts.request_id);
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
    line.text("class", settlement.class.name());
    line.number("attempts", settlement.attempts.into());
    line.seconds("duration_seconds", settlement.latency());
    if let Some(head_at) = settlement.head_at {
        line.seconds("head_seconds", head_at - settlement.arrived);
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
    line.0.push_str("}\n");
    line.0
}

/// A JSON object, key by key.
struct Line(String);

impl Line {
    fn key(&mut self, key: &str) {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        let _ = write!(self.0, "\"{key}\":");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        // A string always has a JSON form.
        self.0
            .push_str(&serde_json::to_string(value).unwrap_or_default());
    }

    fn bytes(&mut self, key: &str, value: &[u8]) {
        self.text(key, &String::from_utf8_lossy(value));
    }

    fn number(&mut self, key: &str, value: u64) {
        self.key(key);
        let _ = write!(self.0, "{value}");
    }

    fn seconds(&mut self, key: &str, value: Duration) {
        self.key(key);
        let _ = write!(self.0, "{:.6}", value.as_secs_f64());
    }
}
