//! What people do about incidents: each act has its record in the journal, which alone says what an incident is.
//!
//! It is in force at once. While the store fails its record waits in memory, as all others do, and whoever asked is told so.

use std::collections::BTreeSet;
use std::sync::Arc;

use plimsoll_console::{Changed, Problem};
use plimsoll_measure::incident::{KIND, Refusal};
use plimsoll_measure::{Act, Deed, Incident, Snapshot};
use serde_json::json;

use super::Process;
use super::changes::{answer, changed};
use crate::asked::Tell;
use crate::exit::with_causes;
use crate::incidents;

/// How often it is looked for incidents that nobody watches any more, in ticks.
const UNWATCHED_EVERY: u64 = 60;
/// Who ends them.
const PLIMSOLL: &str = "plimsoll";

/// Something that somebody did.
struct Recorded {
    /// Its record.
    entry: plimsoll_store::Entry,
    /// What there is to say.
    text: String,
    /// What someone should know of it.
    warning: Option<String>,
}

impl Process {
    /// Goes on with what was written, and with what it does to incidents; to be called each second.
    pub(super) fn tick_incidents(&mut self) {
        self.read_incidents();
        if self.ticks.is_multiple_of(UNWATCHED_EVERY) && !self.handing_over {
            self.end_unwatched();
        }
    }

    /// Has it read, off this thread, what was written since the last time.
    fn read_incidents(&mut self) {
        let Some(writer) = self.journal.writer().filter(|_| self.journal.works()) else {
            return;
        };
        let last = self.journal.view().last_sequence;
        let Some(wanted) = self.incidents.begin_to_read(last) else {
            return;
        };
        let (path, now) = (self.state.store(), self.clock.timestamp());
        let later = self.later.clone();
        tokio::task::spawn_blocking(move || {
            let read = incidents::read(&path, &writer, wanted, now);
            let read = read.inspect_err(|error| {
                tracing::warn!(error = %with_causes(error), "incidents can't be read from the journal");
            });
            later.go_on(move |process| {
                if process.incidents.on_read(read.ok()) {
                    process.publish_incidents();
                }
            });
        });
    }

    /// Whoever looks next sees it.
    fn publish_incidents(&self) {
        let known = self.incidents.incidents().cloned();
        self.view.incidents.store(known.map(Arc::new));
    }

    /// Somebody does something about an incident.
    pub(super) fn act(&mut self, by: &str, id: u64, deed: Deed, tell: Tell<Changed>) {
        let done = self
            .can_change()
            .and_then(|()| self.record_act(by, id, deed));
        let Recorded {
            entry,
            text,
            warning,
        } = match done {
            Ok(done) => done,
            Err(problem) => return answer(tell, Err(problem)),
        };
        let later = self.later.clone();
        self.journal.append_then(entry, move |written| {
            later.go_on(move |process| {
                process.show();
                let written = written.map(|record| Some(record.sequence));
                let mut changed = changed(text, written);
                let warnings = [changed.warning.take(), warning];
                let warnings: Vec<String> = warnings.into_iter().flatten().collect();
                changed.warning = (!warnings.is_empty()).then(|| warnings.join("; "));
                answer(tell, Ok(changed));
            });
        });
    }

    /// Brings it into force.
    fn record_act(&mut self, by: &str, id: u64, deed: Deed) -> Result<Recorded, Problem> {
        let incidents = self.incidents.incidents_mut().ok_or_else(not_read)?;
        let incident = incidents.check(id, &deed).map_err(problem)?;
        let mut act = Act {
            at: self.clock.timestamp(),
            by: by.to_owned(),
            record: None,
            deed,
        };
        let service = incident.service.clone();
        let resolves = matches!(act.deed, Deed::Resolve { .. });
        let mut body = act.body(incident);
        if resolves {
            // Nothing else says how much is left at the end.
            let snapshot = self.view.snapshot.load();
            let left = json!(budget_left(&snapshot, incident));
            if let Some(body) = body.as_object_mut() {
                body.insert("budget_left".to_owned(), left);
            }
        }
        let mut entry = self.journal.entry(KIND, &incident.subject(), &body);
        entry.cites = Some(id);
        // The record is known by it when it is read.
        act.at = entry.at;
        let mut text = format!("incident #{id} of {service}: {by} {}", act.says());
        let warning = match &act.deed {
            Deed::HandOver { to, .. } if !self.notifying.notifiers.are_for(Some(to)) => {
                Some(format!(
                    "no notifier is for {to}: nobody there is called, and those who were called stay called"
                ))
            }
            _ => None,
        };
        incidents.on_act(id, act);
        let mut calls = self.governing.open_calls().into_iter();
        if resolves && calls.any(|it| it.service == service) {
            text.push_str(
                "; it burns on: if it does in 5 minutes still, or gets worse, somebody is called anew",
            );
        }
        tracing::info!(service, "{text}");
        self.note(Some(service), text.clone());
        self.publish_incidents();
        Ok(Recorded {
            entry,
            text,
            warning,
        })
    }

    /// What the governor has not open any more, and what no record ended, ends here: its service may be gone.
    fn end_unwatched(&mut self) {
        // Before that the governor does not know what it had open.
        let Some(incidents) = self
            .incidents
            .incidents()
            .filter(|_| self.budgets.is_loaded())
        else {
            return;
        };
        let calls = self.governing.open_calls();
        let unwatched = incidents.open().filter(|it| {
            let mut calls = calls.iter();
            !calls.any(|call| call.service == it.service)
        });
        let unwatched: BTreeSet<u64> = unwatched.map(|it| it.id).collect();
        // The second time: the record of its end may be on its way.
        for id in unwatched
            .intersection(&self.unwatched)
            .copied()
            .collect::<Vec<_>>()
        {
            let why = "nobody watches it any more, or it ended unseen".to_owned();
            if let Ok(recorded) = self.record_act(PLIMSOLL, id, Deed::Resolve { why }) {
                self.journal.append(recorded.entry);
            }
        }
        self.unwatched = unwatched;
    }
}

/// What is left of the budget of an incident's first call.
fn budget_left(snapshot: &Snapshot, incident: &Incident) -> Option<f64> {
    let objective = &incident.calls.first()?.objective;
    let mut services = snapshot.services.iter();
    let service = services.find(|it| it.name == incident.service)?;
    let mut objectives = service.objectives.iter();
    objectives.find(|it| it.name == *objective)?.budget_left
}

/// They are read when the store can be.
pub(crate) fn not_read() -> Problem {
    Problem::unavailable("incidents are not read from the journal yet: ask again in a moment")
}

fn problem(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Unknown(_) => Problem::not_found(refusal.to_string()),
        _ => Problem::conflict(refusal.to_string()),
    }
}
