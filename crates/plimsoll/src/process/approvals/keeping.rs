//! How requests for approval are kept, recorded, shown and told.

use plimsoll_measure::ApprovalView;
use plimsoll_store::{Change, NotChanged};
use serde_json::json;

use super::super::Process;
use super::super::mirror::{Matching, write_all};
use super::KIND;
use crate::approvals::{Approvals, Kept, PREFIX, key};
use crate::exit::with_causes;
use crate::notifying::Other;
use crate::state::APPROVALS;

impl Process {
    /// Ends what has waited too long, and keeps the store up to date; to be called each second.
    pub(in crate::process) fn tick_approvals(&mut self) {
        if self.handing_over {
            return;
        }
        let now = self.clock.timestamp();
        for id in self.approvals.approvals.expire(now) {
            let kept = self.approvals.approvals.get(id);
            let says = kept.map_or_else(String::new, |it| it.wanted.says());
            let text = format!("#{id} expired: too few approved {says} in time");
            self.record_request(id, KIND, "expire", text, |_, _| ());
        }
        let later = self.later.clone();
        match self.approvals.mirror.matching(self.journal.works()) {
            None => (),
            Some(Matching::Read) => {
                self.journal.ask(move |store| {
                    let values = store.values(PREFIX)?;
                    later.go_on(move |process| {
                        if !process.approvals.mirror.on_read() {
                            return;
                        }
                        let kept = values.iter().filter_map(|(key, kept)| {
                            let read = serde_json::from_slice::<Kept>(&kept.value);
                            if read.is_err() {
                                tracing::warn!(key, "a request can't be read: it is left out");
                            }
                            read.ok()
                        });
                        let known = Approvals::of(kept, process.clock.timestamp());
                        process.approvals.approvals.add(known);
                        let _warned = process.keep_approvals();
                    });
                    Ok(())
                });
            }
            Some(Matching::Write(changes)) => {
                let wanted = self.approvals.approvals.values();
                self.journal.ask(move |store| {
                    write_all(store, PREFIX, &wanted)?;
                    later.go_on(move |process| process.approvals.mirror.on_written(changes));
                    Ok(())
                });
            }
        }
    }

    /// What waits, then what came of others.
    pub(in crate::process) fn approval_views(&self) -> Vec<ApprovalView> {
        let counts = |kept: &Kept, name: &str| self.counts(kept, name);
        self.approvals.approvals.views(counts)
    }

    /// What waits.
    pub(in crate::process) fn waiting_views(&self) -> Vec<ApprovalView> {
        let mut views = self.approval_views();
        views.retain(|it| it.state == "waiting");
        views
    }

    /// Keeps and records what became of a request.
    pub(super) fn record_request(
        &mut self,
        id: u64,
        kind: &str,
        what: &str,
        text: String,
        then: impl FnOnce(&mut Self, Result<Option<u64>, String>) + Send + 'static,
    ) {
        self.approvals.mirror.on_change();
        let kept = self.approvals.approvals.get(id).cloned();
        let subject = kept
            .as_ref()
            .map_or_else(|| format!("approval/{id}"), Kept::subject);
        let service = kept
            .as_ref()
            .and_then(|kept| match kept.services.as_slice() {
                [service] if !kept.all => Some(service.clone()),
                _ => None,
            });
        if kind == KIND {
            tracing::info!(id, "{text}");
        }
        self.note(service, text.clone());
        let in_file = self.keep_approvals();
        let asked = kept.as_ref().map(|it| &it.request.wanted);
        let body = json!({
            "text": text, "what": what, "request": id,
            "kind": asked.map(|it| it.kind), "about": asked.map(|it| &it.subject),
            "content": asked.map(|it| &it.content), "asked_by": asked.map(|it| &it.by),
            "services": kept.as_ref().map(|it| &it.services),
        });
        let mut entry = self.journal.entry(kind, &subject, &body);
        entry.cites = kept.as_ref().and_then(|it| it.journal);
        let change = Change {
            entry: entry.clone(),
            key: key(id),
            expected: None,
            value: Box::new(move |record| {
                let mut kept = kept.clone()?;
                kept.journal.get_or_insert(record.sequence);
                serde_json::to_vec(&kept).ok()
            }),
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            later.go_on(move |process| {
                let written = match said {
                    Ok((record, _)) => {
                        if let Some(kept) = process.approvals.approvals.get_mut(id) {
                            kept.journal.get_or_insert(record.sequence);
                        }
                        Ok(Some(record.sequence))
                    }
                    Err(error) => {
                        process.journal.append(entry);
                        process.approvals.mirror.on_lost();
                        let why = match error {
                            NotChanged::Failed(why) => why,
                            NotChanged::Conflict => "it was changed at the same time".to_owned(),
                        };
                        Err(match in_file {
                            Ok(()) => why,
                            Err(file) => format!("{why}; nor can it be kept in the state folder ({file}): a restart forgets it"),
                        })
                    }
                };
                then(process, written);
            });
        });
    }

    pub(super) fn keep_approvals(&self) -> Result<(), String> {
        let kept = self
            .state
            .keep(APPROVALS, &self.approvals.approvals.to_file());
        kept.map_err(|error| {
            let error = with_causes(&error);
            tracing::warn!(
                error,
                "requests for approval can't be kept in the state folder"
            );
            error
        })
    }

    /// What people are told: what waits, and for a day what did not.
    pub(in crate::process) fn requests_to_tell(&self) -> Vec<Other> {
        let now = self.clock.timestamp();
        let tell = |kept: &Kept| {
            let asked = &kept.request.wanted;
            let is_broken = !kept.request.is_waiting();
            let says = kept.wanted.says();
            let owners = self.owners(kept).unwrap_or_default();
            let owner = owners.first().cloned().flatten();
            Other {
                id: kept.id,
                is_broken,
                service: match kept.services.as_slice() {
                    [service] if !kept.all => Some(service.clone()),
                    _ => None,
                },
                owner: owner.filter(|owner| owners.iter().all(|it| it.as_ref() == Some(owner))),
                title: match is_broken {
                    true => format!("the glass was broken: {says} without approval"),
                    false => format!("{} asks for the approval of {says}", asked.by),
                },
                text: match (is_broken, &asked.why) {
                    (true, _) => kept.request.state.says(),
                    (false, Some(why)) => format!("request #{}: {why}", kept.id),
                    (false, None) => format!("request #{}", kept.id),
                },
                at: kept.request.changed,
            }
        };
        let approvals = &self.approvals.approvals;
        approvals.to_tell(now).map(tell).collect()
    }

    /// When somebody broke the glass, for a day.
    pub(in crate::process) fn broken_glass(&self) -> Vec<String> {
        self.approvals.approvals.broken(self.clock.timestamp())
    }
}
