//! Incidents, from the records of the journal: one for each time that people were called about a service, from the first
//! call until all of them have ended.

use std::collections::BTreeMap;

use plimsoll_core::Timestamp;
use plimsoll_store::Record;
use serde::Serialize;
use serde_json::Value;

/// People were called about a service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Incident {
    /// The place of the first call in the journal.
    pub(crate) id: u64,
    /// About which service.
    pub(crate) service: String,
    /// When somebody was first called.
    #[serde(serialize_with = "rfc3339")]
    pub(crate) called: Timestamp,
    /// When the last call had ended; `null`: it goes on.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub(crate) ended: Option<Timestamp>,
    /// What for.
    pub(crate) calls: Vec<Call>,
    /// The share of the budget that was left at the first call and at the end, of the objective of the first call.
    pub(crate) budget_left: (Option<f64>, Option<f64>),
}

/// Somebody was called.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Call {
    /// The objective; of traffic that stays away, too.
    pub(crate) objective: String,
    /// `page`, `ticket` or `absent`.
    pub(crate) urgency: String,
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub(crate) at: Timestamp,
    /// When that had ended; `null`: it goes on.
    #[serde(serialize_with = "rfc3339_or_null")]
    pub(crate) ended: Option<Timestamp>,
    #[serde(skip)]
    is_absence: bool,
}

fn rfc3339<S: serde::Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&at.to_rfc3339())
}

fn rfc3339_or_null<S: serde::Serializer>(
    at: &Option<Timestamp>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match at {
        Some(at) => rfc3339(at, serializer),
        None => serializer.serialize_none(),
    }
}

/// A record's body; what can't be read is nothing.
pub(crate) fn body(record: &Record) -> Value {
    serde_json::from_slice(&record.entry.body).unwrap_or(Value::Null)
}

/// The service that a record is about.
pub(crate) fn service_of(record: &Record) -> Option<&str> {
    let rest = record.entry.subject.strip_prefix("service/")?;
    rest.split('/').next()
}

/// What decisions say of incidents, the oldest first. Of what was called before the first record nothing is known: its end
/// alone is no incident.
pub(crate) fn incidents(decisions: &[Record]) -> Vec<Incident> {
    let mut all = Vec::new();
    let mut open: BTreeMap<String, Incident> = BTreeMap::new();
    for record in decisions {
        let Some(service) = service_of(record) else {
            continue;
        };
        let body = body(record);
        let text = |path: &str| body.pointer(path).and_then(Value::as_str);
        let objective = text("/decision/evidence/objective").unwrap_or_default();
        let left = body.pointer("/decision/evidence/budget_left");
        let left = left.and_then(Value::as_f64);
        let at = record.entry.at;
        let what = text("/decision/what").unwrap_or_default();
        match what {
            "page" | "absent" => {
                let is_absence = what == "absent";
                let urgency = match is_absence {
                    true => "absent",
                    false => text("/decision/urgency").unwrap_or("page"),
                };
                let incident = open.entry(service.to_owned()).or_insert_with(|| Incident {
                    id: record.sequence,
                    service: service.to_owned(),
                    called: at,
                    ended: None,
                    calls: Vec::new(),
                    budget_left: (left, left),
                });
                let mut calls = incident.calls.iter_mut();
                let same = |it: &&mut Call| {
                    it.objective == objective && it.is_absence == is_absence && it.ended.is_none()
                };
                match calls.find(same) {
                    // It got louder.
                    Some(call) => urgency.clone_into(&mut call.urgency),
                    None => incident.calls.push(Call {
                        objective: objective.to_owned(),
                        urgency: urgency.to_owned(),
                        at,
                        ended: None,
                        is_absence,
                    }),
                }
            }
            "resolved" | "returned" => {
                let Some(incident) = open.get_mut(service) else {
                    continue;
                };
                let is_first = incident.calls.first().map(|it| it.objective.as_str());
                if is_first == Some(objective) {
                    incident.budget_left.1 = left.or(incident.budget_left.1);
                }
                for call in &mut incident.calls {
                    let is_it = call.objective == objective && call.ended.is_none();
                    if is_it && call.is_absence == (what == "returned") {
                        call.ended = Some(at);
                    }
                }
                if incident.calls.iter().all(|it| it.ended.is_some()) {
                    incident.ended = Some(at);
                    all.extend(open.remove(service));
                }
            }
            _ => (),
        }
    }
    all.extend(open.into_values());
    all.sort_by_key(|it: &Incident| (it.called, it.id));
    all
}

impl Incident {
    /// Whether a record belongs to its story: it is about its service, or about all of them.
    pub(crate) fn has(&self, record: &Record) -> bool {
        let entry = &record.entry;
        match service_of(record) {
            Some(service) => service == self.service,
            None => entry.subject == "configuration" || entry.kind == "process",
        }
    }

    /// The objectives that it is about, in words.
    pub(crate) fn about(&self) -> String {
        let call = |it: &Call| match it.is_absence {
            true => format!("{} (no requests)", it.objective),
            false => format!("{} ({})", it.objective, it.urgency),
        };
        let calls: Vec<String> = self.calls.iter().map(call).collect();
        calls.join(", ")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use plimsoll_store::{Entry, Hash};
    use serde_json::json;

    use super::*;

    /// A record at a second, of which only this is known.
    pub(in crate::incident) fn record(
        sequence: u64,
        at: u64,
        kind: &str,
        subject: &str,
        cites: Option<u64>,
        body: &Value,
    ) -> Record {
        let entry = Entry {
            at: Timestamp::from_seconds(1_795_615_852 + at),
            kind: kind.to_owned(),
            subject: subject.to_owned(),
            cites,
            body: body.to_string().into_bytes(),
        };
        Record::following("a", sequence, Hash::ZERO, entry)
    }

    /// What a decision leaves.
    pub(in crate::incident) fn decided(
        sequence: u64,
        at: u64,
        service: &str,
        what: &str,
        objective: &str,
        left: f64,
    ) -> Record {
        let evidence = json!({ "objective": objective, "budget_left": left });
        let body = json!({
            "text": format!("{what} for {objective}"),
            "decision": { "what": what, "urgency": "page", "evidence": evidence },
        });
        let subject = format!("service/{service}");
        record(sequence, at, "decision", &subject, None, &body)
    }

    #[test]
    fn an_incident_lasts_from_the_first_call_until_all_have_ended() {
        let records = [
            decided(1, 0, "shop", "resolved", "latency", 0.9),
            decided(2, 10, "shop", "page", "latency", 0.8),
            decided(3, 11, "stock", "absent", "availability", 0.7),
            decided(4, 20, "shop", "page", "availability", 0.6),
            decided(5, 25, "shop", "page", "latency", 0.6),
            decided(6, 30, "shop", "resolved", "latency", 0.5),
            decided(7, 31, "stock", "resolved", "availability", 0.5),
            decided(8, 40, "shop", "resolved", "availability", 0.4),
            decided(9, 50, "shop", "page", "latency", 0.3),
        ];
        let all = incidents(&records);
        let seen: Vec<_> = all
            .iter()
            .map(|it| {
                (
                    it.id,
                    it.service.as_str(),
                    it.calls.len(),
                    it.ended.is_some(),
                )
            })
            .collect();
        let expected = [
            (2, "shop", 2, true),
            // What ended was no absence.
            (3, "stock", 1, false),
            (9, "shop", 1, false),
        ];
        assert_eq!(seen, expected);
        assert_eq!(all[0].budget_left, (Some(0.8), Some(0.5)));
        assert_eq!(all[0].about(), "latency (page), availability (page)");
        assert_eq!(all[1].about(), "availability (no requests)");
    }

    #[test]
    fn rubbish_is_no_incident() {
        let subject = "service/shop";
        let records = [
            record(1, 0, "decision", subject, None, &json!(null)),
            record(2, 0, "decision", subject, None, &json!({ "decision": 7 })),
            record(
                3,
                0,
                "decision",
                "what",
                None,
                &json!({ "decision": { "what": "page" } }),
            ),
        ];
        assert!(incidents(&records).is_empty());
    }
}
