//! Of which services nothing risky is changed: who freezes them, and until when.

use plimsoll_console::{Changed, Freezing, Problem};
use plimsoll_core::{Mode, Timestamp};
use plimsoll_measure::FreezeView;
use plimsoll_store::{Change, NotChanged};
use serde_json::{Value, json};

use super::Process;
use super::approvals::{Asking, Passage};
use super::changes::{answer, changed};
use super::mirror::{Matching, Mirror, write_all};
use crate::access::minute;
use crate::approvals::{Touching, Wanted};
use crate::asked::Tell;
use crate::exit::with_causes;
use crate::freezes::{FREEZES_MAX, Freezes, Frozen, PREFIX, key};
use crate::state::FREEZES;

/// The kind of records about freezes.
const KIND: &str = "freeze";
/// Who freezes what the file says, and what has no budget left.
const CONFIGURATION: &str = "configuration";
const GOVERNOR: &str = "governor";

/// What is known of freezes besides what they are.
#[derive(Debug, Default)]
pub(crate) struct FreezeState {
    freezes: Freezes,
    mirror: Mirror,
}

impl FreezeState {
    /// What the file of the state folder has.
    pub(super) fn read(file: Option<Result<Freezes, String>>) -> Self {
        let freezes = file.and_then(|read| {
            read.inspect_err(|error| {
                tracing::warn!(%error, "freezes.json can't be read: what the store has counts");
            })
            .ok()
        });
        Self {
            mirror: Mirror::new(freezes.is_some()),
            freezes: freezes.unwrap_or_default(),
        }
    }
}

impl Process {
    /// Who freezes a service now, until when and why; `None`: nobody. What is risky asks this first.
    pub(super) fn frozen(&self, service: &str) -> Option<FreezeView> {
        let mut views = self.freeze_views().into_iter();
        views.find(|it| it.acts && it.covers(service))
    }

    /// Refuses what would change a frozen service, unless it is a fix.
    pub(super) fn unfrozen(&self, touching: &Touching, is_fix: bool) -> Result<(), Problem> {
        if is_fix {
            return Ok(());
        }
        for service in touching.services.keys() {
            if let Some(freeze) = self.frozen(service) {
                return Err(Problem::conflict(format!(
                    "{service} is {}; what mends something goes on: --fix --why REASON; else end the freeze (`plimsoll freeze list`)",
                    freeze.sentence()
                )));
            }
        }
        Ok(())
    }

    /// All freezes that are on: by people, by the configuration, by the governor.
    pub(super) fn freeze_views(&self) -> Vec<FreezeView> {
        let now = self.clock.timestamp();
        let people = self.freezing.freezes.people(now).map(Frozen::view);
        people.chain(self.freezes_of_others(now)).collect()
    }

    fn freezes_of_others(&self, now: Timestamp) -> Vec<FreezeView> {
        let config = &self.loaded.config;
        let mut views = Vec::new();
        for (name, freeze) in config.freezes.iter().filter(|(_, it)| it.is_on(now)) {
            let services = config.services.iter();
            let covered = services.filter(|(name, service)| freeze.covers(name, service));
            let covered: Vec<String> = covered.map(|(name, _)| name.clone()).collect();
            views.push(FreezeView {
                name: format!("freeze.{name}"),
                all: covered.len() == config.services.len(),
                services: covered,
                by: CONFIGURATION.to_owned(),
                why: freeze.why.clone(),
                since: Some(freeze.from),
                until: Some(freeze.until),
                acts: true,
                journal: None,
            });
        }
        let snapshot = self.view.snapshot.load();
        for service in &snapshot.services {
            let wants = config
                .services
                .get(&service.name)
                .is_some_and(|it| it.freeze);
            let spent = service.objectives.iter();
            let mut spent = spent.filter(|it| it.budget_left.is_some_and(|left| left <= 0.0));
            let (true, Some(spent)) = (wants, spent.next()) else {
                continue;
            };
            let governed = self.governing.view(&service.name, now);
            let mode = governed.map_or(Mode::Off, |it| it.mode);
            if mode == Mode::Off || config.gateway.mode == Mode::Off {
                continue;
            }
            views.push(FreezeView {
                name: format!("{GOVERNOR}.{}", service.name),
                services: vec![service.name.clone()],
                all: false,
                by: GOVERNOR.to_owned(),
                why: format!("nothing is left of the budget of {}", spent.name),
                since: None,
                until: None,
                acts: mode == Mode::Enforce && config.gateway.mode == Mode::Enforce,
                journal: None,
            });
        }
        views
    }

    /// Somebody freezes a service, or all.
    pub(super) fn freeze(
        &mut self,
        asking: &Asking,
        service: Option<&str>,
        freezing: &Freezing,
        tell: Tell<Changed>,
    ) {
        let begun = self.can_change().and_then(|()| {
            if self.freezing.freezes.len() >= FREEZES_MAX {
                let text = format!("{FREEZES_MAX} things are frozen already: end some first");
                return Err(Problem::conflict(text));
            }
            let touching = self.touching_some(service);
            self.pass(asking, Wanted::freeze(service, freezing), &touching)
        });
        match begun {
            Ok(Passage::Free) => (),
            Ok(Passage::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(problem) => return answer(tell, Err(problem)),
        }
        let (by, now) = (&asking.by, self.clock.timestamp());
        let frozen = Frozen::new(by, service, freezing, now);
        let text = format!(
            "{by} froze {} until {} UTC: {}",
            service.unwrap_or("all services"),
            minute(frozen.until),
            frozen.why
        );
        let body = json!({
            "text": text, "what": "begin", "by": by, "why": frozen.why, "approval": asking.carries,
            "for_seconds": freezing.lasts.as_secs(),
        });
        let before = self.freezing.freezes.insert(frozen);
        let cites = before.and_then(|it| it.journal);
        self.record_freeze(service, text, &body, cites, Some(tell));
    }

    /// Somebody ends what was frozen.
    pub(super) fn end_freeze(
        &mut self,
        asking: &Asking,
        service: Option<&str>,
        why: Option<String>,
        tell: Tell<Changed>,
    ) {
        let begun = self.can_change().and_then(|()| {
            if self.freezing.freezes.get(service).is_none() {
                return Err(Problem::not_found(format!(
                    "nobody froze {}: see `plimsoll freeze list`",
                    service.unwrap_or("all services")
                )));
            }
            let wanted = Wanted::EndFreeze {
                service: service.map(str::to_owned),
                why: why.clone(),
            };
            let touching = self.touching_some(service);
            self.pass(asking, wanted, &touching)
        });
        match begun {
            Ok(Passage::Free) => (),
            Ok(Passage::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(problem) => return answer(tell, Err(problem)),
        }
        let by = &asking.by;
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let text = format!(
            "{by} ended the freeze of {}{why}",
            service.unwrap_or("all services")
        );
        let body = json!({ "text": text, "what": "end", "by": by, "approval": asking.carries });
        let ended = self.freezing.freezes.remove(service);
        let cites = ended.and_then(|it| it.journal);
        self.record_freeze(service, text, &body, cites, Some(tell));
    }

    fn touching_some(&self, service: Option<&str>) -> Touching {
        match service {
            Some(service) => self.touching(service),
            None => self.touching_all(),
        }
    }

    /// Ends what has run out, says what others froze, and keeps the store up to date; to be called each second.
    pub(super) fn tick_freezes(&mut self) {
        if self.handing_over {
            return;
        }
        let now = self.clock.timestamp();
        for frozen in self.freezing.freezes.take_over_ones(now) {
            let service = frozen.service.as_deref();
            let name = service.unwrap_or("all services");
            let text = format!("the freeze of {name} ended by itself");
            let body = json!({ "text": text, "what": "end" });
            self.record_freeze(service, text, &body, frozen.journal, None);
        }
        let others = self.freezes_of_others(now);
        let (began, ended) = self.freezing.freezes.announce(&others);
        let said = !(began.is_empty() && ended.is_empty());
        for view in began {
            let names = if view.all {
                "all services".to_owned()
            } else {
                view.services.join(", ")
            };
            let text = format!("{names}: {}", view.sentence());
            let body = json!({ "text": text, "what": "begin", "by": view.by, "why": view.why, "acts": view.acts });
            self.announce_freeze(&view.name, text, &body);
        }
        for name in ended {
            let text = format!("{name} is over");
            let body = json!({ "text": text, "what": "end" });
            self.announce_freeze(&name, text, &body);
        }
        if said {
            let _warned = self.keep_freezes();
        }
        self.match_freezes();
    }

    /// What configuration or governor freeze, or not any more.
    fn announce_freeze(&mut self, name: &str, text: String, body: &Value) {
        let service = name.strip_prefix("governor.").map(str::to_owned);
        let subject = match &service {
            Some(service) => format!("service/{service}/freeze"),
            None => name.replacen('.', "/", 1),
        };
        tracing::info!(name, "{text}");
        self.journal.write(KIND, &subject, body);
        self.note(service, text);
    }

    fn match_freezes(&mut self) {
        let later = self.later.clone();
        match self.freezing.mirror.matching(self.journal.works()) {
            None => (),
            Some(Matching::Read) => {
                self.journal.ask(move |store| {
                    let values = store.values(PREFIX)?;
                    later.go_on(move |process| {
                        if !process.freezing.mirror.on_read() {
                            return;
                        }
                        let known = values.iter().filter_map(|(key, kept)| {
                            let read = serde_json::from_slice::<Frozen>(&kept.value);
                            if read.is_err() {
                                tracing::warn!(key, "a freeze can't be read: it is not in force");
                            }
                            read.ok()
                        });
                        process.freezing.freezes.add(Freezes::of(known));
                        let _warned = process.keep_freezes();
                    });
                    Ok(())
                });
            }
            Some(Matching::Write(changes)) => {
                let wanted = self.freezing.freezes.values();
                self.journal.ask(move |store| {
                    write_all(store, PREFIX, &wanted)?;
                    later.go_on(move |process| process.freezing.mirror.on_written(changes));
                    Ok(())
                });
            }
        }
    }

    /// Keeps and records what somebody froze, or not any more.
    fn record_freeze(
        &mut self,
        service: Option<&str>,
        text: String,
        body: &Value,
        cites: Option<u64>,
        tell: Option<Tell<Changed>>,
    ) {
        self.freezing.mirror.on_change();
        tracing::info!(service, "{text}");
        self.note(service.map(str::to_owned), text.clone());
        let _warned = self.keep_freezes();
        let subject = match service {
            Some(service) => format!("service/{service}/freeze"),
            None => KIND.to_owned(),
        };
        let mut entry = self.journal.entry(KIND, &subject, body);
        entry.cites = cites;
        let kept = self.freezing.freezes.get(service).cloned();
        let since = kept.as_ref().map(|it| it.since);
        let change = Change {
            entry: entry.clone(),
            key: key(service),
            expected: None,
            value: Box::new(move |record| {
                let mut kept = kept.clone()?;
                kept.journal = Some(record.sequence);
                serde_json::to_vec(&kept).ok()
            }),
        };
        let (later, service) = (self.later.clone(), service.map(str::to_owned));
        self.journal.change(change, move |said| {
            later.go_on(move |process| {
                let written = match said {
                    Ok((record, _)) => {
                        let kept = process.freezing.freezes.get_mut(service.as_deref());
                        if let Some(kept) = kept.filter(|it| Some(it.since) == since) {
                            kept.journal = Some(record.sequence);
                            let _warned = process.keep_freezes();
                        }
                        Ok(Some(record.sequence))
                    }
                    Err(error) => {
                        process.journal.append(entry);
                        process.freezing.mirror.on_lost();
                        Err(match error {
                            NotChanged::Failed(why) => why,
                            NotChanged::Conflict => "it was changed at the same time".to_owned(),
                        })
                    }
                };
                if let Some(tell) = tell {
                    process.show();
                    answer(tell, Ok(changed(text, written)));
                }
            });
        });
    }

    fn keep_freezes(&self) -> Result<(), String> {
        let kept = self.state.keep(FREEZES, &self.freezing.freezes.to_file());
        kept.map_err(|error| {
            let error = with_causes(&error);
            tracing::warn!(error, "freezes can't be kept in the state folder");
            error
        })
    }
}
