//! What happened is shown, logged and journaled.

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_governor::{Change, ChangeKind, Decided, Decision, What};
use plimsoll_measure::{EVENTS_MAX, EventView, MaintenanceChange, OnsetView, VersionChange};
use plimsoll_policy::{DownCause, Verdict};
use plimsoll_upstream::HealthEvent;
use serde_json::json;

use super::Process;
use crate::budgets::Told;
use crate::governing::{self, Contributions, Outcome};
use crate::journal;

/// How long before it is noticed an endpoint that refuses connections began to, about, while requests come.
const CONNECTS_NOTICED: Duration = Duration::from_secs(1);

impl Process {
    /// What the governor decided is shown, logged and journaled, with what it was made of.
    pub(super) fn on_decided(&mut self, decided: &Decided, contributions: Option<&Contributions>) {
        let records = governing::records(decided, contributions);
        for (decision, (subject, body)) in decided.decisions.iter().zip(records) {
            let record = self.journal.write_and_tell("decision", &subject, &body);
            let text = governing::text(decision, contributions);
            let at = self.clock.timestamp();
            let config = &self.loaded.config;
            self.notifying.on_decision(config, at, decision, &text);
            self.on_decision(decision, text);
            self.governing.on_moved(at, decision);
            if let Some(outcome) = self.governing.on_written(decision, record) {
                self.on_outcome(&outcome);
            }
        }
        let calls = |it: &Decision| {
            let what = &it.what;
            matches!(
                what,
                What::Page(_) | What::Resolved | What::Absent(_) | What::Returned
            )
        };
        if decided.decisions.iter().any(calls) {
            // Soon: a process that is killed must not call for the same again.
            self.budgets.keep_memory(&self.governing.memory());
        }
    }

    pub(super) fn on_decision(&mut self, decision: &Decision, text: String) {
        let service = decision.service.as_str();
        match decision.what {
            What::Page(_) | What::Absent(_) | What::Helpless => tracing::warn!(service, "{text}"),
            _ => tracing::info!(service, "{text}"),
        }
        self.note(Some(service.to_owned()), text);
    }

    /// What came of a decision is journaled beside it.
    pub(super) fn on_outcome(&self, outcome: &Outcome) {
        let subject = format!("service/{}", outcome.service);
        self.journal
            .write_about(outcome.cites, "outcome", &subject, &outcome.body);
    }

    /// When a burn began is shown and logged, with the change that is the likeliest cause.
    pub(super) fn on_onset(&mut self, service: &str, onset: &OnsetView) {
        let text = governing::sentence(onset);
        tracing::warn!(service, "{text}");
        let body = json!({ "text": text, "onset": onset });
        self.journal
            .write("onset", &format!("service/{service}"), &body);
        self.note(Some(service.to_owned()), text);
    }

    pub(super) fn on_health(&mut self, event: &HealthEvent) {
        let endpoint = &event.endpoint;
        let why = event
            .reason
            .as_ref()
            .map_or_else(String::new, |reason| format!(": {reason}"));
        if !event.transition.acted {
            let text = format!("endpoint {} would be taken out{why}", endpoint.name);
            tracing::info!(service = endpoint.service, "{text}");
            self.note(Some(endpoint.service.clone()), text);
            return;
        }
        let key = (endpoint.service.clone(), endpoint.name.clone());
        self.since.insert(key, self.clock.timestamp());
        let said = match event.transition.verdict {
            Verdict::Up { .. } => "up".to_owned(),
            Verdict::HalfOpen => "probed".to_owned(),
            Verdict::Down(_) if !why.is_empty() => format!("down{why}"),
            Verdict::Down(cause) => format!("down by {}", cause.name()),
        };
        let text = format!("endpoint {} is {said}", endpoint.name);
        if event.transition.verdict.is_up() {
            tracing::info!(service = endpoint.service, "{text}");
        } else {
            tracing::warn!(service = endpoint.service, "{text}");
        }
        let subject = journal::endpoint_subject(&endpoint.service, &endpoint.name);
        let state = match event.transition.verdict {
            Verdict::Up { .. } => "up",
            Verdict::HalfOpen => "half-open",
            Verdict::Down(_) => "down",
        };
        let body = json!({ "text": said, "state": state, "why": event.reason });
        self.journal.write("endpoint", &subject, &body);
        self.suspect(event, &text);
        self.note(Some(endpoint.service.clone()), text);
        let up = |name: &str| {
            let cluster = self
                .plan
                .services
                .iter()
                .find(|service| service.name == name)?;
            Some(
                cluster
                    .cluster
                    .endpoints
                    .iter()
                    .any(|it| it.shared.verdict().is_up()),
            )
        };
        if up(&endpoint.service) == Some(false) {
            let service = endpoint.service.clone();
            tracing::warn!(
                service,
                "no endpoint is up: requests are sent to all of them"
            );
            self.note(
                Some(service),
                "no endpoint is up: requests are sent to all of them".to_owned(),
            );
        }
    }

    /// An endpoint that went away or came may be why a service burns. One that was taken out for how it answers is not: that is
    /// the burn itself.
    fn suspect(&mut self, event: &HealthEvent, text: &str) {
        let service = &event.endpoint.service;
        let mut kind = ChangeKind::EndpointGone;
        let noticed_after = match event.transition.verdict {
            Verdict::Up { .. } => {
                kind = ChangeKind::EndpointCame;
                Duration::ZERO
            }
            Verdict::Down(DownCause::Connect) => CONNECTS_NOTICED,
            Verdict::Down(DownCause::Checks) => {
                let service = self.loaded.config.services.get(service);
                let health = service.and_then(|it| it.health.as_ref());
                health.map_or(Duration::ZERO, |it| it.interval * it.failures_max)
            }
            Verdict::HalfOpen | Verdict::Down(DownCause::Breaker | DownCause::Ejection) => return,
        };
        let at = self.clock.timestamp().before(noticed_after);
        let change = Change::endpoint(at, service, &event.endpoint.name, kind, text);
        self.governing.on_change(change);
    }

    /// What was kept of budgets is known.
    pub(super) fn on_told(&mut self, told: &Told) {
        if let Some(memory) = &told.memory {
            self.governing.recall(memory);
        }
        self.on_versions(&told.changes);
    }

    /// That a maintenance window began or ended is shown, logged and journaled, for each of its services.
    pub(super) fn on_maintenance(&mut self, change: &MaintenanceChange) {
        let name = &change.name;
        let (what, text) = match change.until {
            Some(until) => {
                let until = until.to_rfc3339();
                (
                    "begin",
                    format!("maintenance {name} until {until}: nothing counts in budgets"),
                )
            }
            None => ("end", format!("maintenance {name} is over")),
        };
        for service in &change.services {
            tracing::info!(service, "{text}");
            let until = change.until.map(Timestamp::to_rfc3339);
            let body = json!({ "text": text, "what": what, "maintenance": name, "until": until });
            let subject = format!("service/{service}");
            self.journal.write("maintenance", &subject, &body);
            self.note(Some(service.clone()), text.clone());
        }
    }

    /// That an objective is another one now is shown, logged and journaled; what was known of it may be of no use.
    pub(super) fn on_versions(&mut self, changes: &[VersionChange]) {
        for change in changes {
            let VersionChange {
                service, objective, ..
            } = change;
            if change.anew {
                self.governing.on_objective_anew(service, objective);
            }
            let text = change.to_string();
            tracing::info!(service, "{text}");
            let subject = format!("service/{service}/objective/{objective}");
            let body = json!({
                "text": text,
                "what": "objective",
                "version": change.number,
                "changed": change.changed,
                "budget": if change.anew { "anew" } else { "recomputed" },
            });
            self.journal.write("change", &subject, &body);
            self.note(Some(service.clone()), text);
        }
    }

    pub(super) fn note(&mut self, service: Option<String>, text: String) {
        self.events.push_front(EventView {
            at: self.clock.timestamp(),
            service,
            text,
        });
        self.events.truncate(EVENTS_MAX);
    }

    pub(super) fn journal_process(&self, what: &str, text: &str, more: &serde_json::Value) {
        let pid = std::process::id();
        let mut body = json!({ "text": text, "what": what, "pid": pid });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        self.journal.write("process", "process", &body);
    }
}
