//! Of which services nothing risky is changed: because somebody froze them, the configuration says so, or the governor.
//!
//! What people froze is kept twice, as `freezes.json` in the state folder and in the store's state under `freeze/`. It goes by
//! the calendar: a clock that is set back lets it last longer, which is the safer of the two mistakes.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_console::Freezing;
use plimsoll_core::Timestamp;
use plimsoll_measure::{FreezeView, wire};
use serde::{Deserialize, Serialize};

/// Where they are in the store's state.
pub(crate) const PREFIX: &str = "freeze/";
/// What stands for all services: no service is called so.
const ALL: &str = "*";
/// How many there are at most.
pub(crate) const FREEZES_MAX: usize = 4_096;
/// The form of `freezes.json`.
const VERSION: u32 = 1;

/// What somebody froze.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Frozen {
    /// `None`: all.
    pub(crate) service: Option<String>,
    pub(crate) by: String,
    pub(crate) why: String,
    #[serde(with = "wire")]
    pub(crate) since: Timestamp,
    #[serde(with = "wire")]
    pub(crate) until: Timestamp,
    pub(crate) journal: Option<u64>,
}

impl Frozen {
    pub(crate) fn new(
        by: &str,
        service: Option<&str>,
        freezing: &Freezing,
        now: Timestamp,
    ) -> Self {
        Self {
            service: service.map(str::to_owned),
            by: by.to_owned(),
            why: freezing.why.clone(),
            since: now,
            until: now + freezing.lasts,
            journal: None,
        }
    }

    pub(crate) fn view(&self) -> FreezeView {
        FreezeView {
            name: self.service.clone().unwrap_or_else(|| "all".to_owned()),
            services: self.service.iter().cloned().collect(),
            all: self.service.is_none(),
            by: self.by.clone(),
            why: self.why.clone(),
            since: Some(self.since),
            until: Some(self.until),
            acts: true,
            journal: self.journal,
        }
    }
}

/// See the module's docs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freezes {
    people: BTreeMap<String, Frozen>,
    /// Those of configuration and governor whose begin is journaled, by name, and whether they act.
    pub(crate) announced: BTreeMap<String, bool>,
}

/// `freezes.json`
#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    freezes: Vec<Frozen>,
    announced: BTreeMap<String, bool>,
}

/// The key of a freeze in the store's state.
pub(crate) fn key(service: Option<&str>) -> String {
    format!("{PREFIX}{}", service.unwrap_or(ALL))
}

impl Freezes {
    pub(crate) fn insert(&mut self, frozen: Frozen) -> Option<Frozen> {
        let name = frozen.service.as_deref().unwrap_or(ALL).to_owned();
        self.people.insert(name, frozen)
    }

    pub(crate) fn get(&self, service: Option<&str>) -> Option<&Frozen> {
        self.people.get(service.unwrap_or(ALL))
    }

    pub(crate) fn get_mut(&mut self, service: Option<&str>) -> Option<&mut Frozen> {
        self.people.get_mut(service.unwrap_or(ALL))
    }

    pub(crate) fn remove(&mut self, service: Option<&str>) -> Option<Frozen> {
        self.people.remove(service.unwrap_or(ALL))
    }

    pub(crate) fn len(&self) -> usize {
        self.people.len()
    }

    /// What people froze and has not ended.
    pub(crate) fn people(&self, now: Timestamp) -> impl Iterator<Item = &Frozen> {
        self.people.values().filter(move |it| now < it.until)
    }

    /// Takes out what has ended.
    pub(crate) fn take_over_ones(&mut self, now: Timestamp) -> Vec<Frozen> {
        let over = self.people.extract_if(.., |_, it| now >= it.until);
        over.map(|(_, it)| it).collect()
    }

    /// What began and what ended of what configuration and governor freeze.
    pub(crate) fn announce(&mut self, now: &[FreezeView]) -> (Vec<FreezeView>, BTreeSet<String>) {
        let on: BTreeMap<String, bool> = now.iter().map(|it| (it.name.clone(), it.acts)).collect();
        let began = now.iter();
        let began = began.filter(|it| self.announced.get(&it.name) != Some(&it.acts));
        let began = began.cloned().collect();
        let before = std::mem::replace(&mut self.announced, on);
        let ended = before
            .into_keys()
            .filter(|it| !self.announced.contains_key(it));
        (began, ended.collect())
    }

    /// What the store's state must have.
    pub(crate) fn values(&self) -> BTreeMap<String, Vec<u8>> {
        let value = |it: &Frozen| {
            let value = serde_json::to_vec(it).unwrap_or_default();
            (key(it.service.as_deref()), value)
        };
        self.people.values().map(value).collect()
    }

    pub(crate) fn to_file(&self) -> Vec<u8> {
        let file = File {
            version: VERSION,
            freezes: self.people.values().cloned().collect(),
            announced: self.announced.clone(),
        };
        serde_json::to_vec_pretty(&file).unwrap_or_default()
    }

    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("its form {} is not known", file.version));
        }
        let mut freezes = Self::of(file.freezes);
        freezes.announced = file.announced;
        Ok(freezes)
    }

    pub(crate) fn of(frozen: impl IntoIterator<Item = Frozen>) -> Self {
        let mut freezes = Self::default();
        for frozen in frozen.into_iter().take(FREEZES_MAX) {
            freezes.insert(frozen);
        }
        freezes
    }

    /// Takes over what is not known here.
    pub(crate) fn add(&mut self, other: Self) {
        for (name, frozen) in other.people {
            self.people.entry(name).or_insert(frozen);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(second: u64) -> Timestamp {
        Timestamp::from_seconds(1_795_615_852 + second)
    }

    fn frozen(service: Option<&str>, lasts: u64) -> Frozen {
        let freezing = Freezing {
            lasts: Duration::from_secs(lasts),
            why: "the sale".to_owned(),
            breaks_glass: false,
        };
        Frozen::new("ana", service, &freezing, at(0))
    }

    #[test]
    fn a_freeze_lasts_until_its_end_and_outlives_the_process() {
        let mut freezes = Freezes::default();
        assert_eq!(freezes.insert(frozen(None, 10)), None);
        freezes.insert(frozen(Some("shop"), 20));
        let mut read = Freezes::from_file(&freezes.to_file()).unwrap();
        assert_eq!(read.people(at(9)).count(), 2);
        assert_eq!(read.people(at(10)).count(), 1);
        let over = read.take_over_ones(at(10));
        assert_eq!(over, [frozen(None, 10)]);
        assert_eq!(
            over[0].view().sentence(),
            "frozen by ana until 2026-11-25 14:11 UTC: the sale"
        );
        assert_eq!(read.remove(Some("shop")), Some(frozen(Some("shop"), 20)));
        assert!(Freezes::from_file(b"{}").is_err());
    }

    #[test]
    fn begin_and_end_of_what_others_freeze_are_said_once() {
        let mut freezes = Freezes::default();
        let view = |acts| FreezeView {
            name: "governor.shop".to_owned(),
            acts,
            ..frozen(Some("shop"), 10).view()
        };
        let none = BTreeSet::new();
        assert_eq!(
            freezes.announce(&[view(false)]),
            (vec![view(false)], none.clone())
        );
        assert_eq!(freezes.announce(&[view(false)]), (vec![], none.clone()));
        assert_eq!(freezes.announce(&[view(true)]), (vec![view(true)], none));
        let ended = BTreeSet::from(["governor.shop".to_owned()]);
        assert_eq!(freezes.announce(&[]), (vec![], ended));
    }
}
