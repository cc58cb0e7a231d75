//! Flags that people made with `plimsoll flag`: each has a definition in flagd's format, who changed it last and why, and
//! what is set on top of it.
//!
//! They are kept twice, as the overlay is: in the store's state under `flag/KEY`, with a version for whoever changes one at
//! the same time as another; and in the state folder, so that a process starts with them where the store is gone. The store
//! decides, but for what was set while it failed.

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use plimsoll_store::Kept;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Where flags are in the store's state.
pub(crate) const PREFIX: &str = "flag/";
/// The form of the file.
const VERSION: u32 = 1;

/// One flag.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ManagedFlag {
    /// In flagd's format.
    pub(crate) definition: Value,
    /// Who gave it that.
    pub(crate) by: String,
    pub(crate) why: String,
    #[serde(with = "wire")]
    pub(crate) at: Timestamp,
    /// What is set on top of it.
    pub(crate) set: Option<Set>,
}

/// What is set of a flag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Set {
    pub(crate) what: SetTo,
    pub(crate) by: String,
    pub(crate) why: String,
    #[serde(with = "wire")]
    pub(crate) at: Timestamp,
    /// It ends by itself then; `None`: when somebody ends it.
    #[serde(with = "wire::optional")]
    pub(crate) until: Option<Timestamp>,
}

/// To what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SetTo {
    Enabled,
    Disabled,
    /// All have this variant.
    Variant(String),
}

impl SetTo {
    /// What somebody asked for.
    pub(crate) const fn verb(&self) -> &'static str {
        match self {
            Self::Enabled => "enable",
            Self::Disabled => "disable",
            Self::Variant(_) => "set",
        }
    }

    /// Which variant all have.
    pub(crate) fn variant(&self) -> Option<&str> {
        match self {
            Self::Variant(variant) => Some(variant),
            Self::Enabled | Self::Disabled => None,
        }
    }

    /// As somebody would say it.
    pub(crate) fn says(&self) -> String {
        match self {
            Self::Enabled => "enabled".to_owned(),
            Self::Disabled => "disabled".to_owned(),
            Self::Variant(variant) => format!("`{variant}` for all"),
        }
    }
}

impl ManagedFlag {
    /// When it was changed last.
    pub(crate) fn changed_at(&self) -> Timestamp {
        let set = self.set.as_ref().map(|set| set.at);
        set.unwrap_or_default().max(self.at)
    }

    /// Its definition with what is set on top.
    fn effective(&self) -> Value {
        let mut effective = self.definition.clone();
        let (Some(set), Some(fields)) = (&self.set, effective.as_object_mut()) else {
            return effective;
        };
        let state = match &set.what {
            SetTo::Disabled => "DISABLED",
            SetTo::Enabled | SetTo::Variant(_) => "ENABLED",
        };
        fields.insert("state".to_owned(), state.into());
        if let SetTo::Variant(variant) = &set.what {
            fields.insert("defaultVariant".to_owned(), variant.as_str().into());
            fields.remove("targeting");
            let ours = fields
                .get_mut("metadata")
                .and_then(|it| it.get_mut("plimsoll"))
                .and_then(Value::as_object_mut);
            if let Some(ours) = ours {
                for moves in ["prerequisites", "schedule", "ramp"] {
                    ours.remove(moves);
                }
            }
        }
        effective
    }
}

/// See the module's docs.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Managed {
    /// With the version in the store; 0: it is not there yet.
    flags: BTreeMap<String, (ManagedFlag, u64)>,
    /// What the store has was read.
    pub(crate) known: bool,
    /// What was set while the store failed.
    unwritten: BTreeSet<String>,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    flags: BTreeMap<String, (ManagedFlag, u64)>,
    unwritten: BTreeSet<String>,
}

impl Managed {
    pub(crate) fn get(&self, key: &str) -> Option<(&ManagedFlag, u64)> {
        let (flag, version) = self.flags.get(key)?;
        Some((flag, *version))
    }

    /// 0: there is none.
    pub(crate) fn version(&self, key: &str) -> u64 {
        self.flags.get(key).map_or(0, |(_, version)| *version)
    }

    /// Puts a flag there as the store has it, or takes it away.
    pub(crate) fn put(&mut self, key: &str, flag: Option<ManagedFlag>, version: u64) {
        self.unwritten.remove(key);
        match flag {
            Some(flag) => {
                self.flags.insert(key.to_owned(), (flag, version));
            }
            None => {
                self.flags.remove(key);
            }
        }
    }

    /// Puts a flag there that the store is still to be told of.
    pub(crate) fn put_unwritten(&mut self, key: &str, flag: ManagedFlag) {
        let version = self.version(key);
        self.flags.insert(key.to_owned(), (flag, version));
        self.unwritten.insert(key.to_owned());
    }

    /// What the store does not have yet.
    pub(crate) fn unwritten(&self) -> Vec<(String, Vec<u8>)> {
        let unwritten = self.unwritten.iter().filter_map(|key| {
            let (flag, _) = self.flags.get(key)?;
            Some((key.clone(), serde_json::to_vec(flag).ok()?))
        });
        unwritten.collect()
    }

    /// The store has a flag as `value`, unless that was changed again.
    pub(crate) fn on_written(&mut self, key: &str, value: &[u8], version: u64) {
        if let Some((flag, known)) = self.flags.get_mut(key)
            && serde_json::to_vec(flag).is_ok_and(|now| now == value)
        {
            *known = version;
            self.unwritten.remove(key);
        }
    }

    /// Takes over what the store has.
    pub(crate) fn adopt(&mut self, values: Vec<(String, Kept)>) {
        let mut kept: BTreeMap<String, (ManagedFlag, u64)> = BTreeMap::new();
        for (key, value) in values {
            let name = key.strip_prefix(PREFIX).unwrap_or(&key).to_owned();
            match serde_json::from_slice(&value.value) {
                Ok(flag) => {
                    kept.insert(name, (flag, value.version));
                }
                Err(error) => {
                    tracing::warn!(key, %error, "a flag in the store can't be read: it is not in force");
                }
            }
        }
        for key in &self.unwritten {
            if let Some((flag, _)) = self.flags.get(key) {
                let version = kept.get(key).map_or(0, |(_, version)| *version);
                kept.insert(key.clone(), (flag.clone(), version));
            }
        }
        self.flags = kept;
        self.known = true;
    }

    /// What is set and over by now.
    pub(crate) fn over(&self, now: Timestamp) -> Vec<(String, Set)> {
        let over = self.flags.iter().filter_map(|(key, (flag, _))| {
            let set = flag.set.as_ref()?;
            let is_over = set.until.is_some_and(|until| until <= now);
            is_over.then(|| (key.clone(), set.clone()))
        });
        over.collect()
    }

    /// All of them in flagd's format, with what is set.
    pub(crate) fn text(&self) -> String {
        let flags: Map<String, Value> = self
            .flags
            .iter()
            .map(|(key, (flag, _))| (key.clone(), flag.effective()))
            .collect();
        json!({ "flags": flags }).to_string()
    }

    pub(crate) fn to_file(&self) -> Vec<u8> {
        let file = File {
            version: VERSION,
            flags: self.flags.clone(),
            unwritten: self.unwritten.clone(),
        };
        serde_json::to_vec_pretty(&file).unwrap_or_default()
    }

    /// What an earlier process wrote.
    pub(crate) fn from_file(bytes: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if file.version != VERSION {
            return Err(format!("its form {} is not known", file.version));
        }
        Ok(Self {
            flags: file.flags,
            known: false,
            unwritten: file.unwritten,
        })
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_policy::flag::{FlagContext, FlagSet, FractionalVersion};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_615_852);

    fn flag(set: Option<(SetTo, Option<u64>)>) -> ManagedFlag {
        ManagedFlag {
            definition: json!({
                "state": "ENABLED",
                "variants": { "on": true, "off": false },
                "defaultVariant": "off",
                "targeting": { "if": [{ "var": "beta" }, "on"] },
                "metadata": { "plimsoll": { "owner": "cart", "ramp": { "variant": "on", "start": "2026-01-01", "end": "2026-02-01" } } },
            }),
            by: "ana".to_owned(),
            why: "it begins".to_owned(),
            at: NOW,
            set: set.map(|(what, until)| Set {
                what,
                by: "ben".to_owned(),
                why: "it hurts".to_owned(),
                at: NOW,
                until: until.map(Timestamp::from_seconds),
            }),
        }
    }

    fn given(set: Option<SetTo>) -> (Option<String>, &'static str) {
        let mut managed = Managed::default();
        managed.put("f", Some(flag(set.map(|what| (what, None)))), 1);
        let parsed = FlagSet::parse(&managed.text(), FractionalVersion::V2).unwrap();
        let given = parsed.evaluate("f", &FlagContext::empty(), NOW).unwrap();
        (given.variant.map(str::to_owned), given.reason.name())
    }

    #[test]
    fn what_is_set_stands_over_the_definition_and_its_rules() {
        assert_eq!(given(None), (Some("on".to_owned()), "SPLIT"));
        assert_eq!(given(Some(SetTo::Disabled)), (None, "DISABLED"));
        let off = SetTo::Variant("off".to_owned());
        assert_eq!(given(Some(off)), (Some("off".to_owned()), "STATIC"));
    }

    #[test]
    fn what_is_set_for_a_while_is_over_and_what_is_not_stays() {
        let mut managed = Managed::default();
        let until = NOW.as_seconds() + 60;
        managed.put("while", Some(flag(Some((SetTo::Disabled, Some(until))))), 1);
        managed.put("ever", Some(flag(Some((SetTo::Disabled, None)))), 1);
        assert!(managed.over(NOW).is_empty());
        let over = managed.over(Timestamp::from_seconds(until));
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].0, "while");
    }

    #[test]
    fn the_store_decides_but_for_what_was_set_while_it_failed() {
        let mut before = Managed::default();
        before.put("gone", Some(flag(None)), 1);
        before.put("kept", Some(flag(None)), 2);
        before.put_unwritten("kept", flag(Some((SetTo::Disabled, None))));
        let mut managed = Managed::from_file(&before.to_file()).unwrap();
        assert!(managed.get("gone").is_some());
        let kept = Kept {
            version: 3,
            value: serde_json::to_vec(&flag(None)).unwrap(),
        };
        managed.adopt(vec![(format!("{PREFIX}kept"), kept)]);
        assert!(managed.get("gone").is_none());
        let (flag, version) = managed.get("kept").unwrap();
        assert_eq!(version, 3);
        assert!(flag.set.is_some());
        let unwritten = managed.unwritten();
        managed.on_written("kept", &unwritten[0].1, 4);
        assert_eq!(managed.version("kept"), 4);
        assert!(managed.unwritten().is_empty());
        assert!(Managed::from_file(b"{}").is_err());
    }
}
