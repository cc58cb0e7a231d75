//! How what people change of managed flags comes into force, is kept, and ends by itself.
//!
//! A definition changes with the store, or not at all: two who change one at the same time are told. What stops something
//! (`disable`, `set`, `enable`, `end`) is in force also while the store fails, and it is said that its record waits.

use plimsoll_config::FlagSource;
use plimsoll_console::{Changed, FlagAct, FlagChange, Problem};
use plimsoll_core::Timestamp;
use plimsoll_governor::Scope;
use plimsoll_policy::flag::FlagSet;
use plimsoll_store::{Change, Entry, NotChanged, Record};
use serde_json::json;

use super::Process;
use super::approvals::{Asking, Passage};
use super::changes::{answer, changed};
use crate::access::minute;
use crate::approvals::{Touching, Wanted};
use crate::asked::Tell;
use crate::flags::managed::{ManagedFlag, PREFIX, Set, SetTo};
use crate::status::look::clean;

/// A change that is asked of the store, and whom to tell.
struct Done {
    key: String,
    /// What the flag is then; `None`: it is gone.
    flag: Option<ManagedFlag>,
    text: String,
    /// It is in force whatever the store says.
    anyway: bool,
    tell: Option<Tell<Changed>>,
}

impl Process {
    pub(super) fn change_flag(
        &mut self,
        asking: &Asking,
        key: &str,
        change: FlagChange,
        tell: Tell<Changed>,
    ) {
        let by = asking.by.as_str();
        let wanted = self
            .can_change()
            .and_then(|()| self.changed_flag(by, key, &change));
        let (flag, text) = match wanted {
            Ok(wanted) => wanted,
            Err(problem) => return answer(tell, Err(problem)),
        };
        match self.may_change_flag(asking, key, &change) {
            Ok(Passage::Free) => (),
            Ok(Passage::Waits(waiting)) => return self.tell_waiting(waiting, tell),
            Err(problem) => return answer(tell, Err(problem)),
        }
        let (act, variant, lasts) = match &change.act {
            FlagAct::Define(_) => ("define", None, None),
            FlagAct::Delete => ("delete", None, None),
            FlagAct::End => ("end", None, None),
            FlagAct::Enable(lasts) => ("enable", None, *lasts),
            FlagAct::Disable(lasts) => ("disable", None, *lasts),
            FlagAct::Set(variant, lasts) => ("set", Some(variant), *lasts),
        };
        let body = json!({
            "text": text, "what": "flag", "flag": key, "act": act, "variant": variant, "by": by, "why": change.why,
            "for_seconds": lasts.map(|lasts| lasts.as_secs()), "approval": asking.carries,
        });
        let expected = change
            .version
            .unwrap_or_else(|| self.flags.managed.version(key));
        let done = Done {
            key: key.to_owned(),
            flag,
            text,
            anyway: !matches!(change.act, FlagAct::Define(_) | FlagAct::Delete),
            tell: Some(tell),
        };
        self.write_flag(done, &body, Some(expected));
    }

    /// What stops something is in nobody's way. A flag touches the services of its owner.
    fn may_change_flag(
        &mut self,
        asking: &Asking,
        key: &str,
        change: &FlagChange,
    ) -> Result<Passage, Problem> {
        // What would end a stop sooner is none itself.
        let set = self.flags.managed.get(key);
        let set = set.and_then(|(flag, _)| flag.set.as_ref());
        let stops = set.is_some_and(|it| it.what != SetTo::Enabled);
        let (act, definition, variant, lasts) = match &change.act {
            FlagAct::Disable(None) => return Ok(Passage::Free),
            FlagAct::Disable(_) | FlagAct::End if !stops => return Ok(Passage::Free),
            FlagAct::Disable(lasts) => ("disable", None, None, *lasts),
            FlagAct::End => ("end", None, None, None),
            FlagAct::Define(definition) => ("define", Some(definition.clone()), None, None),
            FlagAct::Delete => ("delete", None, None, None),
            FlagAct::Enable(lasts) => ("enable", None, None, *lasts),
            FlagAct::Set(variant, lasts) => ("set", None, Some(variant.clone()), *lasts),
        };
        let served = self.flags.shared.store.served();
        let flag = served.flags.set.flag(key);
        let owner = flag.and_then(|it| it.settings().owner.clone());
        let services = self.loaded.config.services.iter();
        let touching = match owner {
            Some(_) => Touching {
                services: services
                    .filter(|(_, it)| it.owner == owner)
                    .map(|(name, it)| (name.clone(), it.tier))
                    .collect(),
                all: false,
            },
            // Nobody knows whose users get it.
            None => self.touching_all(),
        };
        self.unfrozen(&touching, asking.is_fix)?;
        let wanted = Wanted::Flag {
            key: key.to_owned(),
            act: act.to_owned(),
            definition,
            variant,
            seconds: lasts.map(|it| it.as_secs()),
            version: change.version,
            why: change.why.clone(),
            is_fix: asking.is_fix,
        };
        self.pass(asking, wanted, &touching)
    }

    /// What a flag would be after a change, and the sentence for it.
    fn changed_flag(
        &self,
        by: &str,
        key: &str,
        change: &FlagChange,
    ) -> Result<(Option<ManagedFlag>, String), Problem> {
        match self.flags.source() {
            FlagSource::Managed => (),
            FlagSource::File(path) => {
                return Err(Problem::conflict(format!(
                    "the flags come from {}: change them there, they are read again by themselves",
                    path.display()
                )));
            }
            FlagSource::None => {
                let text = "there are no flags: write `managed = true` under `[flags]`";
                return Err(Problem::conflict(text));
            }
        }
        let managed = &self.flags.managed;
        let version = managed.version(key);
        if let Some(expected) = change.version
            && expected != version
        {
            return Err(conflict(key, managed.get(key).map(|(flag, _)| flag)));
        }
        if !managed.known && matches!(change.act, FlagAct::Define(_) | FlagAct::Delete) {
            let text = "the flags are not read from the store yet: `plimsoll status` tells why";
            return Err(Problem::unavailable(text));
        }
        let (now, why) = (self.clock.timestamp(), change.why.clone());
        let current = managed.get(key).map(|(flag, _)| flag.clone());
        let current = |verb: &str| {
            current.clone().ok_or_else(|| {
                Problem::not_found(format!("there is no flag `{}` to {verb}", clean(key)))
            })
        };
        let set = |what: SetTo, lasts: Option<std::time::Duration>| Set {
            what,
            by: by.to_owned(),
            why: why.clone(),
            at: now,
            until: lasts.map(|lasts| now + lasts),
        };
        let (flag, did) = match &change.act {
            FlagAct::Define(definition) => {
                let before = managed.get(key);
                let flag = ManagedFlag {
                    definition: definition.clone(),
                    by: by.to_owned(),
                    why: why.clone(),
                    at: now,
                    set: before.and_then(|(flag, _)| flag.set.clone()),
                };
                let did = match before {
                    Some(_) => "changed the definition of",
                    None => "made",
                };
                (Some(flag), did.to_owned())
            }
            FlagAct::Delete => {
                current("delete")?;
                (None, "deleted".to_owned())
            }
            FlagAct::End => {
                let mut flag = current("end")?;
                let Some(set) = flag.set.take() else {
                    let text = format!("nothing is set of flag `{}`", clean(key));
                    return Err(Problem::not_found(text));
                };
                let did = format!("ended what {} set ({}) of", set.by, set.what.says());
                (Some(flag), did)
            }
            FlagAct::Enable(lasts) => with(current("enable")?, set(SetTo::Enabled, *lasts)),
            FlagAct::Disable(lasts) => with(current("disable")?, set(SetTo::Disabled, *lasts)),
            FlagAct::Set(variant, lasts) => with(
                current("set")?,
                set(SetTo::Variant(variant.clone()), *lasts),
            ),
        };
        // What it would be is looked at as a whole: prerequisites of others may need it.
        let mut candidate = managed.clone();
        candidate.put(key, flag.clone(), version);
        let fractional = self.flags.fractional();
        FlagSet::parse(&candidate.text(), fractional).map_err(|problems| {
            let all: Vec<String> = problems
                .iter()
                .map(|problem| format!("{}: {}", problem.place, problem.text))
                .collect();
            Problem::invalid(all.join("; "))
        })?;
        let until = flag.as_ref().and_then(|flag| flag.set.as_ref()?.until);
        let until = match (&change.act, until) {
            (FlagAct::Define(_) | FlagAct::Delete | FlagAct::End, _) | (_, None) => String::new(),
            (_, Some(until)) => format!(", until {} UTC", minute(until)),
        };
        Ok((flag, format!("{by} {did} flag {key}{until}: {why}")))
    }

    /// Asks the store; what is in force anyway is so at once.
    fn write_flag(&mut self, done: Done, body: &serde_json::Value, expected: Option<u64>) {
        let subject = format!("flag/{}", done.key);
        let entry = self.journal.entry("change", &subject, body);
        let value = done
            .flag
            .as_ref()
            .and_then(|it| serde_json::to_vec(it).ok());
        let change = Change {
            entry: entry.clone(),
            key: format!("{PREFIX}{}", done.key),
            expected,
            value: Box::new(move |_| value.clone()),
        };
        let later = self.later.clone();
        self.journal.change(change, move |said| {
            later.go_on(move |process| process.flag_changed(done, entry, said));
        });
    }

    fn flag_changed(&mut self, done: Done, entry: Entry, said: Result<(Record, u64), NotChanged>) {
        let Done {
            key,
            flag,
            text,
            anyway,
            tell,
        } = done;
        let said = match (said, flag) {
            (Ok((record, version)), flag) => {
                self.flags.managed.put(&key, flag, version);
                Ok(changed(text.clone(), Ok(Some(record.sequence))))
            }
            (Err(NotChanged::Failed(why)), Some(flag)) if anyway => {
                self.flags.managed.put_unwritten(&key, flag);
                self.journal.append(entry);
                Ok(changed(text.clone(), Err(why)))
            }
            (Err(NotChanged::Failed(why)), _) => Err(Problem::unavailable(format!(
                "nothing was changed, for the store fails: {why}"
            ))),
            (Err(NotChanged::Conflict), _) => {
                let known = self.flags.managed.get(&key);
                Err(conflict(&key, known.map(|(flag, _)| flag)))
            }
        };
        if said.is_ok() {
            tracing::info!("{text}");
            let at = self.clock.timestamp();
            let change = plimsoll_governor::Change::made(at, Scope::All, &text);
            self.governing.on_change(change);
            self.note(None, text);
            self.flags.publish_managed(&self.state);
            self.show();
        }
        if let Some(tell) = tell {
            answer(tell, said);
        }
    }

    /// Ends what was set for a while, and brings store and process together; to be called each second.
    pub(super) fn tick_managed(&mut self) {
        if *self.flags.source() != FlagSource::Managed || self.handing_over {
            return;
        }
        let later = self.later.clone();
        if !self.flags.managed.known {
            self.journal.ask(move |store| {
                let values = store.values(PREFIX)?;
                later.go_on(move |process| {
                    if !process.flags.managed.known {
                        process.flags.managed.adopt(values);
                        process.flags.publish_managed(&process.state);
                    }
                });
                Ok(())
            });
            return;
        }
        let now = self.clock.timestamp();
        for (key, set) in self.flags.managed.over(now) {
            self.end_flag(&key, &set, now);
        }
        let unwritten = self.flags.managed.unwritten();
        if !unwritten.is_empty() && self.journal.works() {
            let later = self.later.clone();
            self.journal.ask(move |store| {
                for (name, value) in unwritten {
                    let key = format!("{PREFIX}{name}");
                    let version = store.value(&key)?.map_or(0, |kept| kept.version);
                    if let Some(version) = store.compare_and_set(&key, version, Some(&value))? {
                        later.go_on(move |process| {
                            process.flags.managed.on_written(&name, &value, version);
                            process.flags.publish_managed(&process.state);
                        });
                    }
                }
                Ok(())
            });
        }
    }

    /// It ends at once, whatever the store says.
    fn end_flag(&mut self, key: &str, set: &Set, now: Timestamp) {
        let Some((flag, version)) = self.flags.managed.get(key) else {
            return;
        };
        let flag = ManagedFlag {
            set: None,
            ..flag.clone()
        };
        self.flags.managed.put_unwritten(key, flag.clone());
        let (by, says) = (&set.by, set.what.says());
        let text = format!("what {by} set of flag {key} ({says}) ended by itself");
        let body = json!({
            "text": text, "what": "flag", "flag": key, "act": "end", "variant": null, "by": null,
            "at": now.to_rfc3339(),
        });
        let done = Done {
            key: key.to_owned(),
            flag: Some(flag),
            text,
            anyway: true,
            tell: None,
        };
        self.write_flag(done, &body, Some(version));
    }
}

fn with(mut flag: ManagedFlag, set: Set) -> (Option<ManagedFlag>, String) {
    let did = match &set.what {
        SetTo::Enabled => "enabled".to_owned(),
        SetTo::Disabled => "disabled".to_owned(),
        SetTo::Variant(_) => format!("set {} of", set.what.says()),
    };
    flag.set = Some(set);
    (Some(flag), did)
}

fn conflict(key: &str, flag: Option<&ManagedFlag>) -> Problem {
    let key = clean(key);
    Problem::conflict(match flag {
        Some(flag) => format!(
            "flag `{key}` was changed by {} at {} UTC: look at it again (`plimsoll flag show`)",
            flag.set.as_ref().map_or(&flag.by, |set| &set.by),
            minute(flag.changed_at())
        ),
        None => format!("flag `{key}` is not there (any more): look again (`plimsoll flag list`)"),
    })
}
