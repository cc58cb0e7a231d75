//! How what people set for a while comes into force, is kept, and ends.
//!
//! An entry is in force at once, and in the state folder before it is asked whether the store has it. Where the store fails
//! it is in force all the same: who sets it wants something to stop. The answer says then that its record waits.

use plimsoll_config::Config;
use plimsoll_console::{Changed, Problem, Setting, Verb};
use plimsoll_governor::{Dose, Scope};
use plimsoll_measure::OverlayView;
use plimsoll_store::{Change, Entry, Kept, NotChanged, Record, ValueOf};
use serde_json::{Value, json};

use super::Process;
use super::approvals::{Asking, Passage};
use super::changes::{answer, changed};
use crate::access::minute;
use crate::approvals::Wanted;
use crate::asked::Tell;
use crate::exit::with_causes;
use crate::overlay::{ENTRIES_MAX, Overlay, PREFIX, key};
use crate::state;

/// What is known of the overlay besides what it is.
#[derive(Debug, Default)]
pub(crate) struct OverlayState {
    pub(super) overlay: Overlay,
    /// There was no file: the store may know more.
    unknown: bool,
    /// What an earlier process set while the store failed: its record may have been lost with it.
    unrecorded: Vec<OverlayView>,
    /// The store may have something else, since so many changes.
    unwritten: Option<u64>,
    changes: u64,
}

impl OverlayState {
    /// What the file of the state folder has.
    pub(super) fn read(file: Option<Result<Overlay, String>>) -> Self {
        match file {
            Some(Ok(overlay)) => Self {
                unrecorded: overlay.unrecorded(),
                overlay,
                unwritten: Some(0),
                ..Self::default()
            },
            Some(Err(error)) => {
                tracing::warn!(%error, "overlay.json can't be read: what the store has is in force");
                Self {
                    unknown: true,
                    ..Self::default()
                }
            }
            None => Self {
                unknown: true,
                ..Self::default()
            },
        }
    }
}

impl Process {
    pub(super) fn set(
        &mut self,
        asking: &Asking,
        service: &str,
        setting: &Setting,
        tell: Tell<Changed>,
    ) {
        let by = asking.by.as_str();
        let (now, timestamp) = (self.clock.now(), self.clock.timestamp());
        let features = features(&self.loaded.config, service).len();
        let id = self.can_change().and_then(|()| {
            if setting.verb == Verb::Brownout
                && usize::from(setting.level.unwrap_or_default()) > features
            {
                return Err(Problem::invalid(format!(
                    "{service} has {features} optional features (`degrade.brownout`)"
                )));
            }
            if self.overlay.overlay.len() >= ENTRIES_MAX {
                let text = format!("{ENTRIES_MAX} things are set already: end some first");
                return Err(Problem::conflict(text));
            }
            state::random_hex::<6>()
                .map_err(|error| Problem::unavailable(format!("no random bytes: {error}")))
        });
        let id = match id {
            Ok(id) => id,
            Err(problem) => return answer(tell, Err(problem)),
        };
        let touching = self.touching(service);
        match self.pass(asking, Wanted::degrade(service, setting), &touching) {
            Ok(Passage::Free) => (),
            Ok(Passage::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(problem) => return answer(tell, Err(problem)),
        }
        let view = Overlay::entry(id.clone(), by, service, setting, timestamp);
        let text = format!(
            "{by} set {}: {}, until {} UTC: {}",
            named(&view),
            view.says,
            minute(view.until),
            view.why
        );
        let before = self.overlay.overlay.insert(view.clone(), now, timestamp);
        let dose = dose(before.as_ref(), Some(&view));
        let cites = before.and_then(|before| before.journal);
        let body = json!({
            "text": text, "what": "overlay", "verb": setting.verb.name(), "level": setting.level, "mode": setting.mode,
            "by": by, "why": setting.why, "for_seconds": setting.lasts.as_secs(), "approval": asking.carries,
        });
        let done = Done {
            service: service.to_owned(),
            verb: setting.verb,
            text,
            dose,
            id: Some(id),
            tell: Some(tell),
        };
        self.change_overlay(done, &body, cites, with_number(view));
    }

    pub(super) fn end(&mut self, by: &str, service: &str, verb: Verb, tell: Tell<Changed>) {
        if let Err(problem) = self.can_change() {
            return answer(tell, Err(problem));
        }
        let Some(view) = self.overlay.overlay.remove(service, verb) else {
            let text = format!("{verb} is not set of {service}: see `plimsoll degrade list`");
            return answer(tell, Err(Problem::not_found(text)));
        };
        let text = format!("{by} ended {}", named(&view));
        let body = json!({ "text": text, "what": "overlay", "verb": verb.name(), "by": by });
        let done = Done {
            service: service.to_owned(),
            verb,
            text,
            dose: dose(Some(&view), None),
            id: None,
            tell: Some(tell),
        };
        self.change_overlay(done, &body, view.journal, Box::new(|_| None));
    }

    /// Ends what has run out, and brings into force what is left; to be called each second.
    pub(super) fn tick_overlay(&mut self) {
        let (now, timestamp) = (self.clock.now(), self.clock.timestamp());
        // A successor ends it, and says so; here it is out of force without that.
        if !self.handing_over {
            for view in self.overlay.overlay.take_over_ones(now, timestamp) {
                let Ok(verb) = view.verb.parse::<Verb>() else {
                    continue;
                };
                let text = format!("{} ended by itself", named(&view));
                let body = json!({ "text": text, "what": "overlay", "verb": view.verb });
                let done = Done {
                    dose: dose(Some(&view), None),
                    service: view.service,
                    verb,
                    text,
                    id: None,
                    tell: None,
                };
                self.change_overlay(done, &body, view.journal, Box::new(|_| None));
            }
            for view in std::mem::take(&mut self.overlay.unrecorded) {
                self.record_anew(view);
            }
            self.match_store();
        }
        self.hold();
    }

    /// What is in force has a record, also where that of its beginning was lost.
    fn record_anew(&mut self, view: OverlayView) {
        let Ok(verb) = view.verb.parse::<Verb>() else {
            return;
        };
        // It may have run out.
        if !self.overlay.overlay.has(&view.id) {
            return;
        }
        let (by, why) = (&view.by, &view.why);
        let text = format!(
            "{} is in force, set by {by} at {} UTC while the store failed, until {} UTC: {why}",
            named(&view),
            minute(view.since),
            minute(view.until)
        );
        let body = json!({
            "text": text, "what": "overlay", "verb": view.verb, "level": view.level, "mode": view.mode, "by": by, "why": why,
        });
        let done = Done {
            service: view.service.clone(),
            verb,
            text,
            dose: None,
            id: Some(view.id.clone()),
            tell: None,
        };
        self.change_overlay(done, &body, None, with_number(view));
    }

    /// Another configuration is in force: what was set to be left out may be something else by now.
    pub(super) fn warn_of_features(&mut self, before: &Config) {
        let held = self
            .overlay
            .overlay
            .held(self.clock.now(), self.clock.timestamp());
        for (service, held) in held {
            let now = features(&self.loaded.config, &service);
            if held.brownout > 0 && features(before, &service) != now {
                let text = format!(
                    "its optional features are others now, while brownout {} is set: {}",
                    held.brownout,
                    says_left_out(now, held.brownout)
                );
                tracing::warn!(service, "{text}");
                self.note(Some(service), text);
            }
        }
    }

    /// What is in force reaches the data plane.
    fn hold(&mut self) {
        let held = self
            .overlay
            .overlay
            .held(self.clock.now(), self.clock.timestamp());
        self.governing.hold(&self.loaded.config, held, &self.shared);
    }

    fn change_overlay(&mut self, done: Done, body: &Value, cites: Option<u64>, value: ValueOf) {
        self.overlay.changes += 1;
        let at = self.clock.timestamp();
        let Done {
            service,
            verb,
            text,
            dose,
            ..
        } = &done;
        self.governing.on_change(plimsoll_governor::Change {
            dose: dose.clone(),
            ..plimsoll_governor::Change::made(at, Scope::service(service), text)
        });
        tracing::info!(service, "{text}");
        self.note(Some(service.clone()), text.clone());
        self.hold();
        let kept = self.keep_overlay();
        let subject = format!("service/{service}/overlay/{verb}");
        let mut entry = self.journal.entry("change", &subject, body);
        entry.cites = cites;
        let change = Change {
            entry: entry.clone(),
            key: key(service, *verb),
            expected: None,
            value,
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            later.go_on(move |process| process.overlay_changed(done, kept, entry, said));
        });
    }

    fn overlay_changed(
        &mut self,
        done: Done,
        kept: Result<(), String>,
        entry: Entry,
        said: Result<(Record, u64), NotChanged>,
    ) {
        let written = match said {
            Ok((record, _)) => {
                if let Some(id) = &done.id {
                    self.overlay.overlay.on_written(id, record.sequence);
                    if !self.handing_over {
                        // With its number; that it is there is known already.
                        let _said_before = self.keep_overlay();
                    }
                }
                Ok(Some(record.sequence))
            }
            Err(error) => {
                self.journal.append(entry);
                self.overlay.unwritten = Some(self.overlay.changes);
                let why = match error {
                    NotChanged::Failed(why) => why,
                    NotChanged::Conflict => "it was changed at the same time".to_owned(),
                };
                Err(match kept {
                    Ok(()) => why,
                    Err(file) => {
                        format!(
                            "{why}; nor can it be kept in the state folder ({file}): a restart forgets it"
                        )
                    }
                })
            }
        };
        if let Some(tell) = done.tell {
            // Whoever looks next sees it.
            self.show();
            answer(tell, Ok(changed(done.text, written)));
        }
    }

    fn keep_overlay(&self) -> Result<(), String> {
        let kept = self.state.write_overlay(&self.overlay.overlay.to_file());
        kept.map_err(|error| {
            let error = with_causes(&error);
            tracing::warn!(error, "what is set can't be kept in the state folder");
            error
        })
    }

    /// Reads what the store has where there was no file, and writes what it does not have.
    fn match_store(&mut self) {
        let later = self.later.clone();
        if self.overlay.unknown {
            self.journal.ask(move |store| {
                let values = store.values(PREFIX)?;
                later.go_on(move |process| process.adopt_overlay(values));
                Ok(())
            });
        } else if self.overlay.unwritten.is_some() && self.journal.works() {
            let (wanted, changes) = (self.overlay.overlay.values(), self.overlay.changes);
            self.journal.ask(move |store| {
                for (key, kept) in store.values(PREFIX)? {
                    if !wanted.contains_key(&key) {
                        store.compare_and_set(&key, kept.version, None)?;
                    }
                }
                for (key, value) in &wanted {
                    let kept = store.value(key)?;
                    let version = kept.as_ref().map_or(0, |kept| kept.version);
                    if kept.is_none_or(|kept| kept.value != *value) {
                        store.compare_and_set(key, version, Some(value))?;
                    }
                }
                later.go_on(move |process| {
                    if process.overlay.changes == changes {
                        process.overlay.unwritten = None;
                    }
                });
                Ok(())
            });
        }
    }

    fn adopt_overlay(&mut self, values: Vec<(String, Kept)>) {
        if !std::mem::take(&mut self.overlay.unknown) {
            return;
        }
        let entries = values.iter().filter_map(|(key, kept)| {
            let entry = serde_json::from_slice(&kept.value);
            if entry.is_err() {
                tracing::warn!(key, "what was set can't be read: it is not in force");
            }
            entry.ok()
        });
        let adopted = Overlay::of(entries, self.clock.now(), self.clock.timestamp());
        self.overlay.overlay.add(adopted);
        self.overlay.changes += 1;
        self.overlay.unwritten = Some(self.overlay.changes);
        let _warned = self.keep_overlay();
        self.hold();
    }
}

/// What the store has of an entry: the number of its record too.
fn with_number(view: OverlayView) -> ValueOf {
    Box::new(move |record| {
        let journal = Some(record.sequence);
        let view = view.clone();
        serde_json::to_vec(&OverlayView { journal, ..view }).ok()
    })
}

/// A change of the overlay that is made, and whom to tell once that is durable.
struct Done {
    service: String,
    verb: Verb,
    text: String,
    /// How large the change is, where it has a size.
    dose: Option<Dose>,
    /// Of the entry, where there is one.
    id: Option<String>,
    tell: Option<Tell<Changed>>,
}

/// From which level to which one something was set; nothing that is set is level 0.
fn dose(before: Option<&OverlayView>, after: Option<&OverlayView>) -> Option<Dose> {
    let level = |view: Option<&OverlayView>| view.and_then(|it| it.level).map(f64::from);
    let (from, to) = (level(before), level(after));
    let view = after.or(before)?;
    (from.is_some() || to.is_some()).then(|| Dose {
        name: format!("{} of {}", view.verb, view.service),
        from: from.unwrap_or(0.0),
        to: to.unwrap_or(0.0),
    })
}

/// What a service can leave out, the first to be left out first.
pub(super) fn features<'a>(config: &'a Config, service: &str) -> &'a [String] {
    let service = config.services.get(service);
    service.map_or(&[], |it| &it.degrade.brownout)
}

/// What a level leaves out of these.
fn says_left_out(features: &[String], level: u8) -> String {
    match features.get(..usize::from(level).min(features.len())) {
        None | Some([]) => "nothing is left out".to_owned(),
        Some(out) => format!("{} left out", out.join(", ")),
    }
}

/// What was set, as somebody would say it.
fn named(view: &OverlayView) -> String {
    let value = match (view.level, view.mode) {
        (Some(level), _) => format!(" {level}"),
        (_, Some(mode)) => format!(" {}", mode.name()),
        _ => String::new(),
    };
    format!("{}{value}", view.verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_level_leaves_out_is_said_by_name() {
        let features = ["maps".to_owned(), "reviews".to_owned()];
        assert_eq!(says_left_out(&features, 1), "maps left out");
        assert_eq!(says_left_out(&features, 7), "maps, reviews left out");
        assert_eq!(says_left_out(&[], 1), "nothing is left out");
    }
}
