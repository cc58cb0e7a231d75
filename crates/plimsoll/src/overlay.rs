//! What people have set of services for a while: each entry with who, why and until.
//!
//! It is kept twice: as `overlay.json` in the state folder, which a process starts with even where the store is gone, and in
//! the store's state under `overlay/SERVICE/VERB`, which serves where the file is not there. The file is written first
//! and decides.
//!
//! Invariant: no entry is in force for longer than it was made for, whatever the calendar does. `until` is calendar time, so
//! that a step forwards ends it; beside it stands the monotonic time that is left, so that a step backwards does not
//! prolong it.

use std::collections::BTreeMap;

use plimsoll_console::{LENGTH_MAX, Setting, Verb};
use plimsoll_core::{Instant, Mode, Timestamp};
use plimsoll_governor::Actuator;
use plimsoll_measure::OverlayView;
use serde::{Deserialize, Serialize};

/// Where entries are in the store's state.
pub(crate) const PREFIX: &str = "overlay/";
/// How many entries there are at most.
pub(crate) const ENTRIES_MAX: usize = 4_096;
/// The form of `overlay.json`.
const VERSION: u32 = 1;

/// The key of what is set of a service, in the store's state.
pub(crate) fn key(service: &str, verb: Verb) -> String {
    format!("{PREFIX}{service}/{verb}")
}

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Overlay {
    entries: BTreeMap<(String, Verb), Entry>,
}

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    view: OverlayView,
    /// By the monotonic clock.
    ends: Instant,
}

impl Entry {
    fn is_over(&self, now: Instant, timestamp: Timestamp) -> bool {
        now >= self.ends || timestamp >= self.view.until
    }
}

/// How far people hold the actuators of one service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) hedge: u8,
    pub(crate) retry: u8,
    pub(crate) shed: u8,
    pub(crate) read_only: bool,
    pub(crate) brownout: u8,
    /// In place of the governor's own, where it is set.
    pub(crate) mode: Option<Mode>,
}

/// `overlay.json`.
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    entries: Vec<OverlayView>,
}

impl Overlay {
    /// What a setting is, from now on.
    pub(crate) fn entry(
        id: String,
        by: &str,
        service: &str,
        setting: &Setting,
        timestamp: Timestamp,
    ) -> OverlayView {
        let lasts = u64::try_from(setting.lasts.as_nanos()).unwrap_or(u64::MAX);
        OverlayView {
            id,
            service: service.to_owned(),
            verb: setting.verb.name().to_owned(),
            level: setting.level,
            mode: setting.mode,
            says: says(setting.verb, setting.level, setting.mode),
            by: by.to_owned(),
            why: setting.why.clone(),
            since: timestamp,
            until: Timestamp::from_nanos(timestamp.as_nanos().saturating_add(lasts)),
            journal: None,
        }
    }

    /// Puts an entry in force, in the place of what is set of the same; gives that.
    pub(crate) fn insert(
        &mut self,
        view: OverlayView,
        now: Instant,
        timestamp: Timestamp,
    ) -> Option<OverlayView> {
        let verb = view.verb.parse().ok()?;
        let left = view.until.since(timestamp);
        let length = view.until.since(view.since);
        let entry = Entry {
            ends: now + left.min(length),
            view,
        };
        let key = (entry.view.service.clone(), verb);
        self.entries.insert(key, entry).map(|before| before.view)
    }

    /// The entry of this id is written as this record.
    pub(crate) fn on_written(&mut self, id: &str, sequence: u64) {
        let mut entries = self.entries.values_mut();
        if let Some(entry) = entries.find(|entry| entry.view.id == id) {
            entry.view.journal = Some(sequence);
        }
    }

    pub(crate) fn remove(&mut self, service: &str, verb: Verb) -> Option<OverlayView> {
        let entry = self.entries.remove(&(service.to_owned(), verb))?;
        Some(entry.view)
    }

    /// Takes out what has run out.
    pub(crate) fn take_over_ones(
        &mut self,
        now: Instant,
        timestamp: Timestamp,
    ) -> Vec<OverlayView> {
        let over = self
            .entries
            .extract_if(.., |_, entry| entry.is_over(now, timestamp));
        over.map(|(_, entry)| entry.view).collect()
    }

    /// Entries whose records are not known to be written.
    pub(crate) fn unrecorded(&self) -> Vec<OverlayView> {
        let entries = self.entries.values();
        let without = entries.filter(|entry| entry.view.journal.is_none());
        without.map(|entry| entry.view.clone()).collect()
    }

    /// Whether there is an entry of this id.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.entries.values().any(|entry| entry.view.id == id)
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All that is in force. `features` says how many a service has: there may be fewer than when it was set.
    pub(crate) fn views(
        &self,
        now: Instant,
        timestamp: Timestamp,
        features: impl Fn(&str) -> usize,
    ) -> Vec<OverlayView> {
        let view = |((service, verb), entry): (&(String, Verb), &Entry)| {
            let mut view = entry.view.clone();
            let features = features(service);
            let asked = usize::from(view.level.unwrap_or_default());
            if *verb == Verb::Brownout && asked > features {
                view.says = format!("{}, of which it has {features} by now", view.says);
            }
            view
        };
        let entries = self.entries.iter();
        let in_force = entries.filter(|(_, entry)| !entry.is_over(now, timestamp));
        in_force.map(view).collect()
    }

    /// What is held, by service.
    pub(crate) fn held(&self, now: Instant, timestamp: Timestamp) -> BTreeMap<String, Held> {
        let mut held = BTreeMap::<String, Held>::new();
        for ((service, verb), entry) in &self.entries {
            if entry.is_over(now, timestamp) {
                continue;
            }
            let held = held.entry(service.clone()).or_default();
            match verb {
                Verb::Shed => held.shed = entry.view.level.unwrap_or_default(),
                Verb::NoRetries => held.retry = 1,
                Verb::NoHedges => held.hedge = 1,
                Verb::ReadOnly => held.read_only = true,
                Verb::Brownout => held.brownout = entry.view.level.unwrap_or_default(),
                Verb::GovernorMode => held.mode = entry.view.mode,
            }
        }
        held
    }

    /// What the store's state must have.
    pub(crate) fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let value = |((service, verb), entry): (&(String, Verb), &Entry)| {
            let value = serde_json::to_vec(&entry.view).unwrap_or_default();
            (key(service, *verb), value)
        };
        self.entries.iter().map(value).collect()
    }

    pub(crate) fn to_file(&self) -> Vec<u8> {
        let entries = self.entries.values().map(|entry| entry.view.clone());
        let file = File {
            version: VERSION,
            entries: entries.collect(),
        };
        serde_json::to_vec_pretty(&file).unwrap_or_default()
    }

    /// What an earlier process wrote.
    pub(crate) fn from_file(
        bytes: &[u8],
        now: Instant,
        timestamp: Timestamp,
    ) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("its form {} is not known", file.version));
        }
        Ok(Self::of(file.entries, now, timestamp))
    }

    /// Goes on with entries; what can't be is left out, for it is input.
    pub(crate) fn of(
        entries: impl IntoIterator<Item = OverlayView>,
        now: Instant,
        timestamp: Timestamp,
    ) -> Self {
        let mut overlay = Self::default();
        for mut view in entries.into_iter().take(ENTRIES_MAX) {
            let service = view.service.clone();
            match checked(&view) {
                Some(says) => {
                    view.says = says;
                    overlay.insert(view, now, timestamp);
                }
                None => tracing::warn!(
                    service,
                    verb = view.verb,
                    "what was set of it is not valid: it is not in force"
                ),
            }
        }
        overlay
    }

    /// Takes over what is not set here.
    pub(crate) fn add(&mut self, other: Self) {
        for (key, entry) in other.entries {
            self.entries.entry(key).or_insert(entry);
        }
    }
}

/// What an entry that was read says; `None` if it can't be.
fn checked(view: &OverlayView) -> Option<String> {
    let verb: Verb = view.verb.parse().ok()?;
    let level_fits = match (verb.level_max(), view.level) {
        (Some(max), Some(level)) => (1..=max).contains(&level),
        (max, level) => max.is_none() && level.is_none(),
    };
    let fits = level_fits
        && view.mode.is_some() == (verb == Verb::GovernorMode)
        && view.until.since(view.since) <= LENGTH_MAX;
    fits.then(|| says(verb, view.level, view.mode))
}

fn says(verb: Verb, level: Option<u8>, mode: Option<Mode>) -> String {
    match verb {
        Verb::Shed => Actuator::Shed.says(level.unwrap_or_default()).to_owned(),
        Verb::NoRetries => Actuator::Retry.says(1).to_owned(),
        Verb::NoHedges => Actuator::Hedge.says(1).to_owned(),
        Verb::ReadOnly => "it is read-only".to_owned(),
        Verb::Brownout => match level.unwrap_or_default() {
            1 => "its first optional feature is left out".to_owned(),
            level => format!("its first {level} optional features are left out"),
        },
        Verb::GovernorMode => {
            let mode = mode.unwrap_or_default().name();
            format!("the governor's mode is {mode}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BEGUN: u64 = 1_795_615_852;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(BEGUN + seconds)
    }

    fn mono(seconds: u64) -> Instant {
        Instant::from_nanos(seconds * 1_000_000_000)
    }

    fn shed(level: u8, seconds: u64) -> OverlayView {
        let setting = Setting {
            verb: Verb::Shed,
            level: Some(level),
            mode: None,
            lasts: Duration::from_secs(seconds),
            why: "it melts".to_owned(),
            breaks_glass: false,
            from_runbook: false,
        };
        Overlay::entry("1".to_owned(), "ana", "app", &setting, at(0))
    }

    fn level(overlay: &Overlay, now: u64, timestamp: Timestamp) -> u8 {
        let held = overlay.held(mono(now), timestamp);
        held.get("app").map_or(0, |held| held.shed)
    }

    #[test]
    fn an_entry_ends_by_itself_whatever_the_calendar_does() {
        let mut overlay = Overlay::default();
        overlay.insert(shed(2, 600), mono(100), at(0));
        assert_eq!(level(&overlay, 699, at(599)), 2);
        assert_eq!(level(&overlay, 700, at(600)), 0);
        // Set back by an hour, it ends when as much time has passed.
        let back = Timestamp::from_seconds(BEGUN - 3_600);
        assert_eq!(level(&overlay, 699, back), 2);
        assert_eq!(level(&overlay, 700, back), 0);
        // Set forward, it ends with the calendar.
        assert_eq!(level(&overlay, 101, at(600)), 0);
        assert!(overlay.take_over_ones(mono(101), at(1)).is_empty());
        let over = overlay.take_over_ones(mono(101), at(600));
        assert_eq!((over.len(), overlay.len()), (1, 0));
    }

    #[test]
    fn a_restart_goes_on_with_what_is_left_and_no_more_than_it_was_made_for() {
        let mut overlay = Overlay::default();
        overlay.insert(shed(2, 600), mono(100), at(0));
        overlay.on_written("1", 7);
        let file = overlay.to_file();
        let again = |now: Timestamp| Overlay::from_file(&file, mono(1), now).unwrap();
        let later = again(at(400));
        assert_eq!(level(&later, 200, at(599)), 2);
        assert_eq!(level(&later, 201, at(599)), 0, "200 s were left");
        let back = Timestamp::from_seconds(BEGUN - 86_400);
        let set_back = again(back);
        assert_eq!(level(&set_back, 600, back), 2);
        assert_eq!(level(&set_back, 601, back), 0);
        let mut over = again(at(600));
        let over = over.take_over_ones(mono(1), at(600));
        assert_eq!(over[0].journal, Some(7));
    }

    #[test]
    fn features_are_held_by_number_and_what_has_no_level_is_not_in_force() {
        let brownout = OverlayView {
            verb: "brownout".to_owned(),
            ..shed(7, 600)
        };
        let none = OverlayView {
            level: None,
            ..brownout.clone()
        };
        let overlay = Overlay::of([brownout], mono(1), at(0));
        let held = overlay.held(mono(2), at(1));
        assert_eq!(held["app"].brownout, 7);
        let says = |features| overlay.views(mono(2), at(1), |_| features)[0].says.clone();
        assert_eq!(says(7), "its first 7 optional features are left out");
        assert_eq!(
            says(3),
            "its first 7 optional features are left out, of which it has 3 by now"
        );
        assert_eq!(Overlay::of([none], mono(1), at(0)).len(), 0);
        assert_eq!(Overlay::of([shed(5, 600)], mono(1), at(0)).len(), 0);
    }

    #[test]
    fn what_is_set_again_takes_the_place_of_what_was() {
        let mut overlay = Overlay::default();
        assert_eq!(overlay.insert(shed(2, 600), mono(1), at(0)), None);
        let before = overlay.insert(shed(3, 60), mono(1), at(0)).unwrap();
        assert_eq!(before.level, Some(2));
        assert_eq!(level(&overlay, 2, at(1)), 3);
        assert_eq!(overlay.len(), 1);
        let mut known = Overlay::of([shed(1, 600)], mono(1), at(0));
        known.add(overlay.clone());
        assert_eq!(level(&known, 2, at(1)), 1, "what is set here stays");
        assert_eq!(overlay.remove("app", Verb::Shed).unwrap().level, Some(3));
        overlay.add(known);
        assert_eq!(level(&overlay, 2, at(1)), 1);
    }

    #[test]
    fn what_was_read_and_cannot_be_is_not_in_force() {
        let too_long = |view: &mut OverlayView| view.until = at(8 * 86_400);
        let changes: [fn(&mut OverlayView); 5] = [
            |view| view.level = Some(5),
            |view| view.level = None,
            |view| view.verb = "stop".to_owned(),
            |view| view.mode = Some(Mode::Off),
            too_long,
        ];
        for change in changes {
            let mut view = shed(2, 600);
            change(&mut view);
            assert_eq!(Overlay::of([view], mono(1), at(0)), Overlay::default());
        }
        for file in ["", "{}", r#"{"version":2,"entries":[]}"#] {
            assert!(Overlay::from_file(file.as_bytes(), mono(1), at(0)).is_err());
        }
    }
}
