//! When a burn that called somebody began, what changed about then, and where the failures are: "what changed?".
//!
//! Said at the page, and again a minute later, when more is known. Pure: it is told what each second and each minute
//! brought, and what was changed.

mod changes;
mod parts;

use std::collections::{BTreeMap, BTreeSet};

use plimsoll_core::{Ratio, Timestamp};
use plimsoll_measure::{Ago, ChangeView, Judged, OnsetView, OnsetWatch, Rise, SplitView, Tally};

use crate::governor::{Governor, Parameters};
use crate::suspects::{Compared, Dependency, Found, Interval, Scene};
use changes::Changes;
pub use changes::{Change, ChangeKind, Dose, Place, Scope};
use parts::Minutes;
pub use parts::{Part, PartKind};

/// Changes that are shown in the order of time alone.
const SHOWN_MAX: usize = 5;
/// A change takes up to so many seconds until it shows.
const PROPAGATION: u64 = 5;
/// What is older is no cause that would be found by its time.
const OLDEST: u64 = 3_600;
/// An estimate is made again after so many seconds.
const AGAIN: u64 = 60;
/// What was before is counted over so many seconds.
const BEFORE: u64 = 600;
/// A rise in what is asked for is looked for over so many seconds.
const RISE: u64 = 900;
/// A service burns whose share of bad ones is at least so many times what its target allows, and what it was before.
const BURNS: f64 = 2.0;

/// Of all objectives.
#[derive(Debug, Default)]
pub struct Onsets {
    watches: BTreeMap<(String, String), OnsetWatch>,
    minutes: BTreeMap<(String, String), Minutes>,
    changes: Changes,
    /// Objectives whose onset is estimated again, and in which second.
    pending: Vec<Pending>,
    found: BTreeMap<(String, String), OnsetView>,
}

/// An onset that is looked for.
#[derive(Clone, Debug)]
struct Pending {
    service: String,
    objective: String,
    target: Ratio,
    /// In this second.
    at: u64,
}

/// How a service stands now, as one of its objectives judges it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// What came within the last minute.
    pub judged: Judged,
    /// The same by endpoint, route, tenant and version, as far as they are known.
    pub parts: Vec<Part>,
    /// Where the failures are.
    pub split: Vec<SplitView>,
}

impl Onsets {
    /// Something was changed.
    pub fn on_change(&mut self, change: Change) {
        self.changes.add(change);
    }

    /// What a second brought to an objective.
    pub fn on_second(&mut self, service: &str, objective: &str, second: u64, tally: Tally) {
        let key = (service.to_owned(), objective.to_owned());
        let watch = self.watches.get_mut(&key);
        match watch {
            Some(watch) => watch.on_second(second, tally),
            // An objective without traffic takes no memory.
            None if tally.total() == 0 => (),
            None => {
                let mut watch = OnsetWatch::default();
                watch.on_second(second, tally);
                self.watches.insert(key, watch);
            }
        }
    }

    /// What the last minute brought to the parts of a service, as an objective judges it; to be called once for each minute.
    /// `parts` is asked only where that is of use.
    pub fn on_minute(
        &mut self,
        service: &str,
        objective: &str,
        second: u64,
        parts: impl FnOnce() -> Vec<Part>,
    ) {
        let key = (service.to_owned(), objective.to_owned());
        // Nobody is called for what had no traffic.
        if self.watches.contains_key(&key) {
            self.minutes
                .entry(key)
                .or_default()
                .on_minute(second, parts());
        }
    }

    /// Only these objectives are there now.
    pub fn retain(&mut self, there: impl Fn(&str, &str) -> bool) {
        self.watches
            .retain(|(service, objective), _| there(service, objective));
        self.found
            .retain(|(service, objective), _| there(service, objective));
        self.pending.retain(|it| there(&it.service, &it.objective));
        self.minutes
            .retain(|(service, objective), _| there(service, objective));
    }

    /// Somebody is called: the onset is looked for now, and once more later.
    pub fn on_page(&mut self, service: &str, objective: &str, target: Ratio, second: u64) {
        let again = [second, second + AGAIN].map(|at| Pending {
            service: service.to_owned(),
            objective: objective.to_owned(),
            target,
            at,
        });
        self.pending.extend(again);
    }

    /// What somebody was called for has ended.
    pub fn on_resolved(&mut self, service: &str, objective: &str) {
        // It is not to be found again after its end.
        self.pending
            .retain(|it| it.service != service || it.objective != objective);
        self.found
            .remove(&(service.to_owned(), objective.to_owned()));
    }

    /// What is to be said now, the second after the last that was told of. `look` says how a service stands by one of its
    /// objectives.
    pub fn due(
        &mut self,
        second: u64,
        now: Timestamp,
        governor: &Governor,
        look: impl Fn(&str, &str) -> Look,
    ) -> Vec<(String, OnsetView)> {
        let (due, later) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|it| it.at <= second);
        self.pending = later;
        let due: Vec<Pending> = due;
        let mut said = Vec::new();
        for Pending {
            service,
            objective,
            target,
            ..
        } in due
        {
            let key = (service.clone(), objective.clone());
            let Some(watch) = self.watches.get(&key) else {
                continue;
            };
            let Some(ago) = watch.onset(target.complement()) else {
                continue;
            };
            let look = look(&service, &objective);
            let split = look.split.clone();
            let Found {
                suspects,
                even,
                unseen,
            } = self.suspects(&key, watch, ago, now, governor, look);
            let onset = OnsetView {
                objective,
                at: before(now, ago.likeliest),
                earliest: before(now, ago.earliest),
                latest: before(now, ago.latest),
                changes: self.ranked(&service, now, ago),
                split,
                suspects,
                even,
                unseen,
            };
            self.found.insert(key, onset.clone());
            said.push((service, onset));
        }
        said
    }

    /// What was found for a service and has not ended.
    pub fn of(&self, service: &str) -> Vec<OnsetView> {
        let found = self.found.iter();
        found
            .filter(|((of, _), _)| of == service)
            .map(|(_, onset)| onset.clone())
            .collect()
    }

    fn suspects(
        &self,
        key: &(String, String),
        watch: &OnsetWatch,
        ago: Ago,
        now: Timestamp,
        governor: &Governor,
        look: Look,
    ) -> Found {
        let now = now.as_seconds();
        let onset = interval(now, ago);
        let service = key.0.as_str();
        let minutes = self.minutes.get(key);
        let parts = look.parts.into_iter().map(|part| Compared {
            before: minutes.map_or_else(Tally::default, |it| {
                it.before(onset.earliest, part.kind, &part.name)
            }),
            part,
        });
        let share = |begin: u64, end: u64| {
            // From the second before on nothing is known yet.
            let oldest = now.checked_sub(begin)?;
            let newest = now.saturating_sub(end);
            let (tally, _) = watch.between(oldest, newest);
            tally.bad_share().map(Ratio::get)
        };
        let changes = self.changes.iter().filter(|it| {
            let at = it.at.as_seconds();
            at <= now && at + OLDEST >= onset.earliest
        });
        let parameters = governor.parameters();
        let around = deeper(parameters, service);
        let dependencies = around.iter().map(|name| Dependency {
            name,
            depends_on: deeper(parameters, name),
            is_seen: self.watches.keys().any(|(of, _)| of == name),
            burns: self.burns(parameters, name, now),
            is_asked_more: self.rise(name, now).is_some_and(|(_, rise)| is_more(&rise)),
            is_blamed: governor
                .service(service)
                .and_then(|it| it.deferred())
                .is_some_and(|it| it == *name),
        });
        let (before, seconds) = watch.between(ago.earliest + BEFORE, ago.earliest + 1);
        let (since, seconds_since) = watch.between(ago.likeliest, 0);
        let rate = |tally: Tally, seconds: u64| tally.total() as f64 / seconds.max(1) as f64;
        let scene = Scene {
            service,
            onset,
            before,
            since,
            rates: (before.total() > 0)
                .then(|| (rate(before, seconds), rate(since, seconds_since))),
            rise: self.rise(service, now),
            judged: look.judged,
            parts: parts.collect(),
            dependencies: dependencies.collect(),
            others: self.others(parameters, service, &around, ago),
            changes: changes.collect(),
            share: &share,
        };
        scene.rank()
    }

    /// From when on more is asked of a service: by the objective that counts the most of its requests.
    fn rise(&self, service: &str, now: u64) -> Option<(u64, Rise)> {
        let watch = self.of_service(service).max_by_key(|(_, watch)| {
            let (tally, _) = watch.between(BEFORE, 0);
            tally.total()
        });
        let rise = watch?.1.rise(RISE)?;
        Some((now.saturating_sub(rise.ago), rise))
    }

    fn of_service<'a>(
        &'a self,
        service: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a OnsetWatch)> {
        let watches = self.watches.iter();
        watches
            .filter(move |((of, _), _)| of == service)
            .map(|((_, objective), watch)| (objective.as_str(), watch))
    }

    /// Since when a service burns, by the objective that shows most, with the share of bad ones before and since then.
    fn burns(
        &self,
        parameters: &Parameters,
        service: &str,
        now: u64,
    ) -> Option<(Interval, f64, f64)> {
        let objectives = &parameters.services.get(service)?.objectives;
        let each = self.of_service(service).filter_map(|(name, watch)| {
            let (_, target) = objectives.iter().find(|(of, _)| of == name)?;
            let allowed = target.complement();
            let ago = watch.onset(allowed)?;
            let share = |tally: Tally| tally.bad_share().map_or(0.0, Ratio::get);
            let since = share(watch.between(ago.likeliest, 0).0);
            let before = share(watch.between(ago.earliest + BEFORE, ago.earliest + 1).0);
            (since >= BURNS * allowed.get().max(before))
                .then(|| (interval(now, ago), before, since))
        });
        each.max_by(|a, b| (a.2 - a.1).total_cmp(&(b.2 - b.1)))
    }

    /// Of services that have nothing to do with one: how many burn since then too, and how many have traffic and don't.
    fn others(
        &self,
        parameters: &Parameters,
        service: &str,
        around: &[&str],
        ago: Ago,
    ) -> (usize, usize) {
        let (mut bad, mut fine) = (0, 0);
        for (name, of) in &parameters.services {
            let is_related = name == service
                || around.contains(&name.as_str())
                || deeper(parameters, name).contains(&service);
            if is_related {
                continue;
            }
            let mut shares = self.of_service(name).filter_map(|(objective, watch)| {
                let (_, target) = of.objectives.iter().find(|(of, _)| of == objective)?;
                let since = watch.between(ago.likeliest, 0).0.bad_share()?;
                Some(since.get() >= BURNS * target.complement().get())
            });
            let Some(first) = shares.next() else {
                continue;
            };
            match first || shares.any(|burns| burns) {
                true => bad += 1,
                false => fine += 1,
            }
        }
        (bad, fine)
    }

    /// Changes by people and of endpoints, by time alone: first those as near to the onset as can be told, of them the nearest
    /// before its likeliest second, then those before. What came later is no cause. Endpoints come last of those that are
    /// as near: one may have gone for the same reason.
    fn ranked(&self, service: &str, now: Timestamp, ago: Ago) -> Vec<ChangeView> {
        let first = before(now, ago.earliest + PROPAGATION).as_seconds();
        let last = before(now, ago.latest).as_seconds();
        let mut near: Vec<(u64, bool, &Change)> = self
            .changes
            .iter()
            .filter(|it| it.kind != ChangeKind::Decided && it.scope.is_of(service))
            .filter_map(|change| {
                let at = change.at.as_seconds();
                let distance = first.saturating_sub(at);
                (at <= last && distance <= OLDEST).then_some((
                    distance,
                    change.kind.is_endpoint(),
                    change,
                ))
            })
            .collect();
        let likeliest = before(now, ago.likeliest).as_seconds();
        near.sort_by_key(|(distance, is_endpoint, change)| {
            let at = change.at.as_seconds();
            (
                *distance,
                *is_endpoint,
                at > likeliest,
                at.abs_diff(likeliest),
            )
        });
        near.truncate(SHOWN_MAX);
        let change = |(distance, _, change): (u64, bool, &Change)| ChangeView {
            at: change.at,
            what: change.what.clone(),
            within: distance == 0,
            seconds_before: before(now, ago.likeliest).as_seconds() as i64
                - change.at.as_seconds() as i64,
        };
        near.into_iter().map(change).collect()
    }
}

/// Whether that is worth a word for those who are called.
fn is_more(rise: &Rise) -> bool {
    rise.after >= 1.25 * rise.before
}

/// What a service depends on, over others too; never itself.
fn deeper<'a>(parameters: &'a Parameters, service: &str) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let direct = |name: &str| {
        let service = parameters.services.get(name);
        service.map_or(&[] as &[String], |it| it.depends_on.as_slice())
    };
    let mut left: Vec<&str> = direct(service).iter().map(String::as_str).collect();
    left.reverse();
    while let Some(name) = left.pop() {
        if name != service && seen.insert(name) {
            found.push(name);
            left.extend(direct(name).iter().rev().map(String::as_str));
        }
    }
    found
}

fn interval(now: u64, ago: Ago) -> Interval {
    Interval {
        earliest: now.saturating_sub(ago.earliest),
        likeliest: now.saturating_sub(ago.likeliest),
        latest: now.saturating_sub(ago.latest),
    }
}

fn before(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_seconds(now.as_seconds().saturating_sub(seconds))
}

#[cfg(test)]
mod tests;
