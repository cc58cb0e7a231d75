//! Records of the journal become incidents, in their order.
//!
//! Bounds: [`PAST_MAX`] that have ended, one open for each service and [`OPEN_MAX`] in all, [`ACTS_MAX`] acts each: a note
//! too many is refused, anything else is done in place of the oldest note.
//! Invariant: the same records give the same incidents, whoever reads them and when. What was done and is not written yet
//! may be told before its record ([`Incidents::on_act`]); the record then only adds its place.

use std::collections::{BTreeMap, VecDeque};

use plimsoll_core::Timestamp;
use serde_json::Value;

use super::{
    ACTS_MAX, Acknowledged, Act, CALLS_MAX, Deed, Incident, IncidentCall, KIND, Resolved, SUBJECT,
    service_of,
};

/// Those that have ended and are kept; the latest.
const PAST_MAX: usize = 200;
/// Those that are open: of more services than are in force at once some are gone.
const OPEN_MAX: usize = 1_000;

/// A record of the journal, as far as incidents need it.
#[derive(Clone, Copy, Debug)]
pub struct IncidentRecord<'a> {
    /// Its place.
    pub sequence: u64,
    /// When it happened.
    pub at: Timestamp,
    /// What it is.
    pub kind: &'a str,
    /// What it is about.
    pub subject: &'a str,
    /// What it says, in JSON.
    pub body: &'a [u8],
}

/// Incidents: those that are open, and the latest of those that were.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Incidents {
    /// By service.
    open: BTreeMap<String, Incident>,
    /// The oldest first.
    past: VecDeque<Incident>,
}

/// How much a call is to be heard.
#[derive(Clone, Debug, PartialEq)]
pub enum Attention {
    /// People are told.
    Loud,
    /// Somebody works on it since then: who was told before is not told again.
    Acknowledged(Timestamp),
    /// Since then nobody is told of what was known by then.
    Silent(Timestamp),
    /// Somebody has ended it. What was called after that is another incident.
    Dismissed {
        /// In these words.
        how: String,
        /// When.
        at: Timestamp,
    },
}

/// Why something can't be done about an incident.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no incident #{0}, or it is too old: see `plimsoll incident list`")]
    Unknown(u64),
    /// It has ended.
    #[error("incident #{id} has ended: {how}")]
    Ended {
        /// Which.
        id: u64,
        /// How.
        how: String,
    },
    /// Somebody works on it already.
    #[error("incident #{id} is acknowledged already, by {by} at {at}")]
    Acknowledged {
        /// Which.
        id: u64,
        /// By whom.
        by: String,
        /// When.
        at: String,
    },
    /// It can't belong to that one.
    #[error("incident #{id} can't belong to #{into}: {why}")]
    Group {
        /// Which.
        id: u64,
        /// To which.
        into: u64,
        /// Why not.
        why: &'static str,
    },
    /// Too much was done about it.
    #[error("incident #{0} has {ACTS_MAX} records of what people did: write the rest elsewhere")]
    Full(u64),
}

impl Incidents {
    /// Of records in the order of their times. Of what was called before the first of them nothing is known: its end alone is no incident.
    pub fn of<'a>(records: impl IntoIterator<Item = IncidentRecord<'a>>) -> Self {
        let mut all = Self::default();
        for record in records {
            all.on_record(record);
        }
        all
    }

    /// Whether a record of this kind may say anything of incidents.
    pub fn needs(kind: &str) -> bool {
        Self::KINDS.contains(&kind)
    }

    /// The kinds of records that incidents are made of.
    pub const KINDS: [&'static str; 3] = ["decision", "onset", KIND];

    /// One more was written. Says whether anything is otherwise than before.
    pub fn on_record(&mut self, record: IncidentRecord<'_>) -> bool {
        if !Self::needs(record.kind) {
            return false;
        }
        // What can't be read is no incident.
        let Ok(body) = serde_json::from_slice::<Value>(record.body) else {
            return false;
        };
        match (record.kind, service_of(record.subject)) {
            ("decision", Some(service)) => self.on_decision(record, service, &body),
            ("onset", Some(service)) => self.on_onset(service, &body),
            (KIND, _) => self.on_act_record(record, body),
            _ => false,
        }
    }

    fn on_decision(&mut self, record: IncidentRecord<'_>, service: &str, body: &Value) -> bool {
        let text = |path: &str| body.pointer(path).and_then(Value::as_str);
        let objective = text("/decision/evidence/objective").unwrap_or_default();
        let left = body.pointer("/decision/evidence/budget_left");
        let left = left.and_then(Value::as_f64);
        match text("/decision/what").unwrap_or_default() {
            "page" => {
                let urgency = text("/decision/urgency").unwrap_or("page");
                self.on_call(record, service, objective, urgency, left);
            }
            "absent" => self.on_call(record, service, objective, "absent", left),
            "resolved" => return self.on_end(record, service, objective, false, left),
            "returned" => return self.on_end(record, service, objective, true, left),
            _ => return false,
        }
        true
    }

    fn on_call(
        &mut self,
        record: IncidentRecord<'_>,
        service: &str,
        objective: &str,
        urgency: &str,
        left: Option<f64>,
    ) {
        if self.open.len() >= OPEN_MAX && !self.open.contains_key(service) {
            let oldest = self.open.values().min_by_key(|it| it.called);
            if let Some(service) = oldest.map(|it| it.service.clone()) {
                self.open.remove(&service);
            }
        }
        let incident = self
            .open
            .entry(service.to_owned())
            .or_insert_with(|| Incident {
                id: record.sequence,
                service: service.to_owned(),
                called: record.at,
                ended: None,
                calls: Vec::new(),
                budget_left: (left, None),
                began: None,
                suspect: None,
                acknowledged: None,
                handed_over_to: None,
                silenced_until: None,
                group: None,
                resolved: None,
                acts: Vec::new(),
            });
        // What somebody resolved is called anew: that is another matter now.
        let is_absence = urgency == "absent";
        for past in self.past.iter_mut().filter(|it| it.service == service) {
            end(past, objective, is_absence, record.at);
        }
        let call = IncidentCall {
            objective: objective.to_owned(),
            urgency: urgency.to_owned(),
            at: record.at,
            ended: None,
        };
        let mut calls = incident.calls.iter_mut();
        match calls.find(|it| it.ended.is_none() && is_same(it, objective, call.is_absence())) {
            // It got louder.
            Some(known) => known.urgency = call.urgency,
            None => {
                if incident.calls.len() >= CALLS_MAX {
                    let ended = |it: &IncidentCall| it.ended.is_some();
                    let place = incident.calls.iter().skip(1).position(ended);
                    incident.calls.remove(place.map_or(1, |place| place + 1));
                }
                incident.calls.push(call);
            }
        }
    }

    fn on_end(
        &mut self,
        record: IncidentRecord<'_>,
        service: &str,
        objective: &str,
        is_absence: bool,
        left: Option<f64>,
    ) -> bool {
        // What somebody resolved while it burnt has ended now, too: what comes next is another matter.
        let mut ends = false;
        for incident in self.past.iter_mut().filter(|it| it.service == service) {
            ends |= end(incident, objective, is_absence, record.at);
        }
        let Some(incident) = self.open.get_mut(service) else {
            return ends;
        };
        end(incident, objective, is_absence, record.at);
        if incident.calls.first().map(|it| it.objective.as_str()) == Some(objective) {
            incident.budget_left.1 = left.or(incident.budget_left.1);
        }
        if incident.calls.iter().all(|it| it.ended.is_some()) {
            self.close(service, record.at);
        }
        true
    }

    fn close(&mut self, service: &str, at: Timestamp) {
        let Some(mut incident) = self.open.remove(service) else {
            return;
        };
        incident.ended = Some(at);
        if self.past.len() >= PAST_MAX {
            self.past.pop_front();
        }
        self.past.push_back(incident);
    }

    fn on_onset(&mut self, service: &str, body: &Value) -> bool {
        let Some(incident) = self.open.get_mut(service) else {
            return false;
        };
        let text = |path: &str| body.pointer(path).and_then(Value::as_str);
        let objective = text("/onset/objective");
        // That of the first call tells when it began; others may have followed it.
        if incident.calls.first().map(|it| it.objective.as_str()) != objective {
            return false;
        }
        let at = body.pointer("/onset/at");
        let at = at.and_then(|at| crate::snapshot::wire::deserialize(at).ok());
        let Some(at) = at.filter(|at| incident.may_have_begun(*at)) else {
            return false;
        };
        incident.began = Some(at);
        let suspect = match text("/onset/suspects/0/strength") {
            // Whoever reads it in a list does not see what speaks against it.
            Some("unlikely" | "follows") => None,
            // Records of before suspects were ranked have changes only.
            _ => text("/onset/suspects/0/what").or(text("/onset/changes/0/what")),
        };
        incident.suspect = suspect.map(str::to_owned);
        true
    }

    fn on_act_record(&mut self, record: IncidentRecord<'_>, body: Value) -> bool {
        let id = record.subject.strip_prefix(SUBJECT);
        let Some(id) = id.and_then(|id| id.parse().ok()) else {
            return false;
        };
        let by = body.get("by").and_then(Value::as_str);
        let by = by.unwrap_or_default().to_owned();
        let left = body.get("budget_left").and_then(Value::as_f64);
        let Ok(deed) = serde_json::from_value(body) else {
            return false;
        };
        let resolves = matches!(deed, Deed::Resolve { .. });
        let act = Act {
            at: record.at,
            by,
            record: Some(record.sequence),
            deed,
        };
        let changes = self.on_act(id, act);
        let ended = self.find(id).filter(|it| it.ended == Some(record.at));
        if let Some(incident) = ended.filter(|_| resolves) {
            incident.budget_left.1 = left;
        }
        changes
    }

    /// Somebody does something. Says whether there is such an incident.
    pub fn on_act(&mut self, id: u64, act: Act) -> bool {
        let Some(incident) = self.find(id) else {
            return false;
        };
        // What was told before its record.
        let mut known = incident.acts.iter_mut();
        if let Some(known) = known.find(|it| it.at == act.at && it.by == act.by) {
            known.record = known.record.or(act.record);
            return true;
        }
        if incident.acts.len() >= ACTS_MAX {
            let is_note = |it: &Act| matches!(it.deed, Deed::Note { .. });
            if is_note(&act) {
                return false;
            }
            // The journal has it still.
            let oldest = incident.acts.iter().position(is_note).unwrap_or(0);
            incident.acts.remove(oldest);
        }
        let is_open = incident.is_open();
        match &act.deed {
            Deed::Acknowledge if is_open && incident.acknowledged.is_none() => {
                incident.acknowledged = Some(Acknowledged {
                    by: act.by.clone(),
                    at: act.at,
                });
            }
            Deed::HandOver { to, .. } if is_open => {
                incident.handed_over_to = Some(to.clone());
                // Whoever gets it has not said yet that they have.
                incident.acknowledged = None;
                // Nor did they ask for silence.
                incident.silenced_until = None;
            }
            Deed::Silence { until, .. } if is_open => incident.silenced_until = Some(*until),
            Deed::Group { into, .. } => incident.group = Some(*into),
            Deed::Resolve { why } if is_open => {
                incident.resolved = Some(Resolved {
                    by: act.by.clone(),
                    why: why.clone(),
                });
            }
            // A note changes nothing, and what comes after the end is kept as it was said.
            _ => (),
        }
        let ends = matches!(act.deed, Deed::Resolve { .. }) && is_open;
        let (service, at) = (incident.service.clone(), act.at);
        incident.acts.push(act);
        if ends {
            self.close(&service, at);
        }
        true
    }

    fn find(&mut self, id: u64) -> Option<&mut Incident> {
        let open = self.open.values_mut();
        open.chain(self.past.iter_mut().rev())
            .find(|it| it.id == id)
    }

    /// One of them.
    pub fn get(&self, id: u64) -> Option<&Incident> {
        self.open().chain(self.past()).find(|it| it.id == id)
    }

    /// Those that go on, by service.
    pub fn open(&self) -> impl Iterator<Item = &Incident> {
        self.open.values()
    }

    /// Those that have ended, the latest first.
    pub fn past(&self) -> impl Iterator<Item = &Incident> {
        self.past.iter().rev()
    }

    /// Those of a service that were called before this one and are like it: about the same objective, or with the same first
    /// suspect; the latest first.
    pub fn like(&self, incident: &Incident) -> impl Iterator<Item = &Incident> {
        let objectives = |it: &Incident| -> Vec<String> {
            it.calls.iter().map(|call| call.objective.clone()).collect()
        };
        let mine = objectives(incident);
        let (id, called, service) = (incident.id, incident.called, incident.service.clone());
        let suspect = incident.suspect.as_deref().map(kind_of_change);
        self.past().filter(move |it| {
            let is_earlier = it.id != id && it.called < called && it.service == service;
            let same_suspect = it.suspect.as_deref().map(kind_of_change) == suspect;
            let same_objective = objectives(it).iter().any(|name| mine.contains(name));
            is_earlier && (same_objective || (suspect.is_some() && same_suspect))
        })
    }

    /// The incident that this one is worked on as: the one that it belongs to, or itself.
    fn root<'a>(&'a self, incident: &'a Incident) -> &'a Incident {
        let group = incident.group.and_then(|into| self.get(into));
        group.unwrap_or(incident)
    }

    /// How much a call of a service is to be heard now.
    pub fn attention(
        &self,
        service: &str,
        objective: &str,
        is_absence: bool,
        now: Timestamp,
    ) -> Attention {
        let has = |it: &Incident| {
            let mut calls = it.calls.iter();
            calls.any(|it| it.ended.is_none() && is_same(it, objective, is_absence))
        };
        if let Some(incident) = self.open.get(service).filter(|it| has(it)) {
            let root = self.root(incident);
            let silent = [incident, root].into_iter();
            let silent = silent.filter(|it| it.is_open() && it.is_silent(now));
            if let Some(since) = silent.filter_map(silenced_at).max() {
                return Attention::Silent(since);
            }
            let working = incident.acknowledged.as_ref();
            let working = working.or(root.acknowledged.as_ref());
            return working.map_or(Attention::Loud, |it| Attention::Acknowledged(it.at));
        }
        let mut past = self.past().filter(|it| it.service == service && has(it));
        match past.next() {
            Some(Incident {
                resolved: Some(Resolved { by, why }),
                ended: Some(at),
                ..
            }) => Attention::Dismissed {
                how: format!("{by} resolved it: {why}"),
                at: *at,
            },
            _ => Attention::Loud,
        }
    }

    /// Whom an open incident of a service was handed over to.
    pub fn handed_over_to(&self, service: &str) -> Option<&str> {
        self.open.get(service)?.handed_over_to.as_deref()
    }

    /// Refuses what can't be done.
    pub fn check(&self, id: u64, deed: &Deed) -> Result<&Incident, Refusal> {
        let incident = self.get(id).ok_or(Refusal::Unknown(id))?;
        match deed {
            Deed::Note { .. } if incident.acts.len() >= ACTS_MAX => Err(Refusal::Full(id)),
            Deed::Note { .. } => Ok(incident),
            Deed::Group { into, .. } => self.check_group(incident, *into),
            _ if !incident.is_open() => {
                let how = match &incident.resolved {
                    Some(Resolved { by, why }) => format!("{by} resolved it: {why}"),
                    None => "by itself".to_owned(),
                };
                Err(Refusal::Ended { id, how })
            }
            Deed::Acknowledge => match &incident.acknowledged {
                Some(Acknowledged { by, at }) => Err(Refusal::Acknowledged {
                    id,
                    by: by.clone(),
                    at: super::minute(*at),
                }),
                None => Ok(incident),
            },
            _ => Ok(incident),
        }
    }

    fn check_group<'a>(
        &'a self,
        incident: &'a Incident,
        into: u64,
    ) -> Result<&'a Incident, Refusal> {
        let id = incident.id;
        let refused = |why| Err(Refusal::Group { id, into, why });
        let Some(other) = self.get(into) else {
            return refused("there is no such incident");
        };
        if other.id == id {
            return refused("it is the same");
        }
        // One level: whoever reads one finds the other at once.
        if other.group.is_some() {
            return refused("that one belongs to another itself");
        }
        if self
            .open()
            .chain(self.past())
            .any(|it| it.group == Some(id))
        {
            return refused("others belong to it");
        }
        Ok(incident)
    }
}

fn is_same(call: &IncidentCall, objective: &str, is_absence: bool) -> bool {
    call.objective == objective && call.is_absence() == is_absence
}

/// A call of an incident has ended. Says whether one had not before.
fn end(incident: &mut Incident, objective: &str, is_absence: bool, at: Timestamp) -> bool {
    let mut ends = false;
    for call in &mut incident.calls {
        if call.ended.is_none() && is_same(call, objective, is_absence) {
            call.ended = Some(at);
            ends = true;
        }
    }
    ends
}

/// When somebody last asked for silence.
fn silenced_at(incident: &Incident) -> Option<Timestamp> {
    let mut acts = incident.acts.iter().rev();
    let silence = acts.find(|it| matches!(it.deed, Deed::Silence { .. }));
    silence.map(|it| it.at)
}

/// A change without what is new each time, as a digest or a number.
fn kind_of_change(what: &str) -> String {
    let words = what.split_whitespace();
    let lasting = words.filter(|word| !word.contains(|it: char| it.is_ascii_digit()));
    lasting.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const START: Timestamp = Timestamp::from_seconds(1_795_615_852);

    /// A journal in the making.
    #[derive(Clone, Default)]
    struct Journal {
        sequence: u64,
        incidents: Incidents,
    }

    impl Journal {
        fn write(&mut self, at: u64, kind: &str, subject: &str, body: &Value) -> bool {
            self.sequence += 1;
            self.incidents.on_record(IncidentRecord {
                sequence: self.sequence,
                at: START + Duration::from_secs(at),
                kind,
                subject,
                body: body.to_string().as_bytes(),
            })
        }

        fn decided(&mut self, at: u64, service: &str, what: &str, objective: &str, left: f64) {
            let evidence = json!({ "objective": objective, "budget_left": left });
            let decision = json!({ "what": what, "urgency": "page", "evidence": evidence });
            let subject = format!("service/{service}");
            self.write(at, "decision", &subject, &json!({ "decision": decision }));
        }

        fn did(&mut self, at: u64, id: u64, by: &str, deed: Deed) {
            let act = Act {
                at: START,
                by: by.to_owned(),
                record: None,
                deed,
            };
            let incident = self.incidents.get(id).unwrap();
            let (subject, body) = (incident.subject(), act.body(incident));
            assert!(self.write(at, KIND, &subject, &body));
        }

        fn attention(&self, at: u64) -> Attention {
            let now = START + Duration::from_secs(at);
            self.incidents.attention("shop", "latency", false, now)
        }
    }

    fn resolve() -> Deed {
        Deed::Resolve {
            why: "a test".to_owned(),
        }
    }

    #[test]
    fn an_incident_lasts_from_the_first_call_until_all_have_ended() {
        let mut journal = Journal::default();
        for (at, service, what, objective, left) in [
            (0, "shop", "resolved", "latency", 0.9),
            (10, "shop", "page", "latency", 0.8),
            (11, "stock", "absent", "availability", 0.7),
            (20, "shop", "page", "availability", 0.6),
            (25, "shop", "page", "latency", 0.6),
            (30, "shop", "resolved", "latency", 0.5),
            (31, "stock", "resolved", "availability", 0.5),
            (40, "shop", "resolved", "availability", 0.4),
            (50, "shop", "page", "latency", 0.3),
        ] {
            journal.decided(at, service, what, objective, left);
        }
        let all = journal.incidents;
        let seen = |it: &Incident| (it.id, it.service.clone(), it.calls.len());
        let open: Vec<_> = all.open().map(seen).collect();
        // What ended of the stock was no absence.
        assert_eq!(open, [(9, "shop".into(), 1), (3, "stock".into(), 1)]);
        let past: Vec<_> = all.past().map(seen).collect();
        assert_eq!(past, [(2, "shop".into(), 2)]);
        let first = all.get(2).unwrap();
        assert_eq!(first.budget_left, (Some(0.8), Some(0.5)));
        assert_eq!(first.about(), "latency (page), availability (page)");
        assert_eq!(all.get(3).unwrap().about(), "availability (no requests)");
        let like: Vec<u64> = all.like(all.get(9).unwrap()).map(|it| it.id).collect();
        assert_eq!(like, [2]);
    }

    #[test]
    fn what_people_did_is_in_the_journal_and_nowhere_else() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        journal.did(5, 1, "ana", Deed::Acknowledge);
        let hand_over = Deed::HandOver {
            to: "supply".to_owned(),
            why: None,
        };
        assert_eq!(
            journal.attention(6),
            Attention::Acknowledged(START + Duration::from_secs(5))
        );
        journal.did(9, 1, "ana", hand_over);
        assert_eq!(journal.attention(9), Attention::Loud, "the others have to");
        let until = START + Duration::from_secs(60);
        let why = "known".to_owned();
        journal.did(10, 1, "bo", Deed::Silence { until, why });
        let since = START + Duration::from_secs(10);
        assert_eq!(journal.attention(59), Attention::Silent(since));
        assert_eq!(journal.attention(60), Attention::Loud);
        let incident = journal.incidents.get(1).unwrap();
        let did: Vec<_> = incident
            .acts
            .iter()
            .map(|it| (it.record, it.says()))
            .collect();
        assert_eq!(
            did,
            [
                (Some(2), "acknowledged it".to_owned()),
                (Some(3), "handed it over to supply".to_owned()),
                (
                    Some(4),
                    "silenced it until 2026-11-25 14:11 UTC: known".to_owned()
                ),
            ]
        );
        assert_eq!(journal.incidents.handed_over_to("shop"), Some("supply"));
    }

    #[test]
    fn what_somebody_resolved_calls_nobody_until_it_gets_louder() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        journal.did(5, 1, "ana", resolve());
        let dismissed = Attention::Dismissed {
            how: "ana resolved it: a test".to_owned(),
            at: START + Duration::from_secs(5),
        };
        assert_eq!(journal.attention(6), dismissed);
        let refused = journal.incidents.check(1, &resolve()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "incident #1 has ended: ana resolved it: a test"
        );
        journal.decided(9, "shop", "page", "latency", 0.7);
        assert_eq!(journal.attention(10), Attention::Loud);
        assert_eq!(journal.incidents.open().next().unwrap().id, 3);
        // What comes late is kept and changes nothing.
        journal.did(11, 1, "bo", resolve());
        let resolved = journal.incidents.get(1).unwrap().resolved.as_ref();
        assert_eq!(resolved.unwrap().by, "ana");
    }

    #[test]
    fn what_was_resolved_while_it_burnt_is_dismissed_until_its_end_is_written() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        journal.did(5, 1, "ana", resolve());
        assert!(matches!(journal.attention(6), Attention::Dismissed { .. }));
        journal.decided(9, "shop", "resolved", "latency", 0.7);
        let ended = journal.incidents.get(1).unwrap().calls[0].ended;
        assert_eq!(ended, Some(START + Duration::from_secs(9)));
        assert_eq!(journal.attention(10), Attention::Loud);
    }

    #[test]
    fn the_budget_at_the_end_is_that_of_the_resolution_or_unknown() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        let left = |journal: &Journal| journal.incidents.get(1).unwrap().budget_left;
        assert_eq!(left(&journal), (Some(0.8), None));
        journal.decided(1, "shop", "page", "reads", 0.9);
        journal.decided(2, "shop", "resolved", "latency", 0.7);
        assert_eq!(left(&journal), (Some(0.8), Some(0.7)));
        let mut later = journal.clone();
        later.did(5, 1, "ana", resolve());
        assert_eq!(left(&later), (Some(0.8), None));
        let body = json!({ "what": "resolve", "why": "x", "by": "ana", "budget_left": 0.4 });
        journal.write(5, KIND, "incident/1", &body);
        assert_eq!(left(&journal), (Some(0.8), Some(0.4)));
        // What comes late says nothing of its end.
        let body = json!({ "what": "resolve", "why": "x", "by": "bo", "budget_left": 0.1 });
        journal.write(9, KIND, "incident/1", &body);
        assert_eq!(left(&journal), (Some(0.8), Some(0.4)));
    }

    #[test]
    fn a_hand_over_ends_a_silence() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        let (until, why) = (START + Duration::from_secs(60), "known".to_owned());
        journal.did(1, 1, "ana", Deed::Silence { until, why });
        assert!(matches!(journal.attention(2), Attention::Silent(_)));
        let (to, why) = ("supply".to_owned(), None);
        journal.did(3, 1, "ana", Deed::HandOver { to, why });
        assert_eq!(journal.attention(4), Attention::Loud);
    }

    #[test]
    fn a_silence_of_another_holds_while_that_one_is_open() {
        let mut journal = Journal::default();
        journal.decided(0, "stock", "page", "availability", 0.8);
        journal.decided(1, "shop", "page", "latency", 0.8);
        let (into, why) = (1, None);
        journal.did(2, 2, "ana", Deed::Group { into, why });
        let (until, why) = (START + Duration::from_secs(60), "known".to_owned());
        journal.did(3, 1, "ana", Deed::Silence { until, why });
        assert!(matches!(journal.attention(4), Attention::Silent(_)));
        journal.decided(5, "stock", "resolved", "availability", 0.8);
        assert_eq!(journal.attention(6), Attention::Loud);
    }

    #[test]
    fn a_suspect_that_is_unlikely_is_none() {
        for (strength, suspect) in [
            ("very-likely", Some("configuration 0af3 is in force")),
            ("possible", Some("configuration 0af3 is in force")),
            ("unlikely", None),
            ("follows", None),
        ] {
            let mut journal = Journal::default();
            journal.decided(0, "shop", "page", "latency", 0.8);
            let what = "configuration 0af3 is in force";
            let onset = json!({ "onset": { "objective": "latency", "at": "2026-11-25T14:10:00.000Z",
                "suspects": [{ "what": what, "strength": strength }], "changes": [{ "what": what }] } });
            assert!(journal.write(1, "onset", "service/shop", &onset));
            let incident = journal.incidents.get(1).unwrap();
            assert_eq!(incident.suspect.as_deref(), suspect, "{strength}");
        }
    }

    #[test]
    fn what_belongs_to_another_is_worked_on_there() {
        let mut journal = Journal::default();
        journal.decided(0, "stock", "page", "availability", 0.8);
        journal.decided(1, "shop", "page", "latency", 0.8);
        journal.did(2, 1, "ana", Deed::Acknowledge);
        let group = |into| Deed::Group { into, why: None };
        journal.did(3, 2, "ana", group(1));
        assert!(matches!(journal.attention(4), Attention::Acknowledged(_)));
        let refused = |id, into| journal.incidents.check(id, &group(into)).unwrap_err();
        for (id, into, why) in [
            (1, 1, "it is the same"),
            (1, 9, "no such incident"),
            (1, 2, "belongs to another itself"),
            (9, 1, "there is no incident #9"),
        ] {
            let said = refused(id, into).to_string();
            assert!(said.contains(why), "{said}");
        }
    }

    #[test]
    fn an_act_that_is_told_before_its_record_is_there_once() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        let act = Act {
            at: START + Duration::from_secs(5),
            by: "ana".to_owned(),
            record: None,
            deed: Deed::Acknowledge,
        };
        assert!(journal.incidents.on_act(1, act));
        journal.did(5, 1, "ana", Deed::Acknowledge);
        let acts = &journal.incidents.get(1).unwrap().acts;
        assert_eq!(acts.len(), 1);
        assert_eq!(acts[0].record, Some(2));
        let refused = journal.incidents.check(1, &Deed::Acknowledge).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "incident #1 is acknowledged already, by ana at 2026-11-25 14:10 UTC"
        );
    }

    #[test]
    fn the_onset_of_the_first_call_says_when_it_began_and_what_is_suspected() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        let onset = |objective: &str, minute: u32| {
            json!({ "onset": { "objective": objective, "at": format!("2026-11-25T14:{minute}:00.000Z"),
                "changes": [{ "what": format!("configuration 0a{minute} is in force") }] } })
        };
        let mut found = |onset| journal.write(1, "onset", "service/shop", &onset);
        assert!(!found(onset("reads", 10)));
        assert!(found(onset("latency", 10)));
        // What turned worse after the call is not its beginning.
        assert!(!found(onset("latency", 20)));
        let incident = journal.incidents.get(1).unwrap();
        assert_eq!(incident.began, Some(Timestamp::from_seconds(1_795_615_800)));
        let suspect = incident.suspect.as_deref().unwrap();
        assert_eq!(kind_of_change(suspect), "configuration is in force");
    }

    #[test]
    fn rubbish_is_no_incident() {
        let mut journal = Journal::default();
        for body in [
            json!(null),
            json!({ "decision": 7 }),
            json!({ "what": "note" }),
        ] {
            assert!(!journal.write(0, "decision", "service/shop", &body));
            assert!(!journal.write(0, KIND, "incident/1", &body));
            assert!(!journal.write(0, KIND, "incident/x", &body));
            assert!(!journal.write(0, "onset", "what", &body));
        }
        let page = json!({ "decision": { "what": "page" } });
        assert!(!journal.write(0, "decision", "what", &page));
        assert_eq!(journal.incidents, Incidents::default());
    }

    #[test]
    fn what_was_done_is_bounded() {
        let mut journal = Journal::default();
        journal.decided(0, "shop", "page", "latency", 0.8);
        let note = || Deed::Note {
            note: "so it is".to_owned(),
        };
        for at in 0..ACTS_MAX as u64 {
            journal.did(at, 1, "ana", note());
        }
        let refused = journal.incidents.check(1, &note());
        assert_eq!(refused.unwrap_err(), Refusal::Full(1));
        let mut full = journal.clone();
        for (by, deed) in [("ana", Deed::Acknowledge), ("bo", resolve())] {
            assert!(full.incidents.check(1, &deed).is_ok());
            full.did(ACTS_MAX as u64, 1, by, deed);
        }
        let ended = full.incidents.get(1).unwrap();
        assert_eq!(ended.acts.len(), ACTS_MAX);
        assert!(!ended.is_open() && ended.acknowledged.is_some());
        for at in 0..2 * PAST_MAX as u64 {
            journal.decided(at, "other", "page", "latency", 0.8);
            journal.decided(at, "other", "resolved", "latency", 0.8);
            journal.decided(at, &format!("{at}"), "page", "latency", 0.8);
            for _ in 0..CALLS_MAX + 9 {
                journal.decided(at, "shop", "page", "reads", 0.8);
                journal.decided(at, "shop", "resolved", "reads", 0.8);
            }
        }
        assert_eq!(journal.incidents.past().count(), PAST_MAX);
        assert_eq!(journal.incidents.get(1).unwrap().calls.len(), CALLS_MAX);
    }

    proptest! {
        /// Whatever happens in whatever order.
        #[test]
        fn an_incident_is_open_for_as_long_as_a_call_of_it_is_and_in_one_place(
            events in prop::collection::vec((0_usize..6, 0_usize..3, 0_u64..40), 0..60)
        ) {
            let mut journal = Journal::default();
            for (at, (what, service, id)) in events.into_iter().enumerate() {
                let (at, name) = (at as u64, ["a", "b", "c"][service]);
                match what {
                    0 => journal.decided(at, name, "page", "latency", 0.5),
                    1 => journal.decided(at, name, "absent", "latency", 0.5),
                    2 => journal.decided(at, name, "resolved", "latency", 0.5),
                    3 => journal.decided(at, name, "returned", "latency", 0.5),
                    _ if journal.incidents.get(id).is_none() => (),
                    4 => journal.did(at, id, name, resolve()),
                    _ => journal.did(at, id, name, Deed::Acknowledge),
                }
                let all = &journal.incidents;
                for it in all.open() {
                    prop_assert!(it.calls.iter().any(|it| it.ended.is_none()));
                    prop_assert!(it.is_open() && all.past().all(|past| past.id != it.id));
                }
                prop_assert!(all.past().all(|it| !it.is_open()));
            }
        }
    }
}
