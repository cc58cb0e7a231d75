//! When a burn that called somebody began, what changed about then, and where the failures are: "what changed?".
//!
//! Said at the page, and again a minute later, when more is known.

use std::collections::{BTreeMap, VecDeque};

use plimsoll_core::{Ratio, Timestamp};
use plimsoll_measure::{Ago, ChangeView, OnsetView, OnsetWatch, SplitView, Tally};

use super::contributions::most;

/// Changes that are remembered.
const CHANGES_MAX: usize = 200;
/// Those that are shown.
const SHOWN_MAX: usize = 5;
/// A change takes up to so many seconds until it shows.
const PROPAGATION: u64 = 5;
/// What is older is no cause that would be found by its time.
const OLDEST: u64 = 3_600;
/// An estimate is made again after so many seconds.
const AGAIN: u64 = 60;

/// Of all objectives.
#[derive(Debug, Default)]
pub(super) struct Onsets {
    watches: BTreeMap<(String, String), OnsetWatch>,
    changes: VecDeque<Change>,
    /// Endpoints that went or came: apart, so that one that does so all the time pushes nothing out.
    endpoints: VecDeque<Change>,
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

/// Something that somebody changed.
#[derive(Clone, Debug)]
struct Change {
    at: Timestamp,
    /// `None`: it is about all services.
    service: Option<String>,
    what: String,
}

impl Onsets {
    /// Something was changed.
    pub(super) fn on_change(&mut self, at: Timestamp, service: Option<&str>, what: &str) {
        let service = service.map(str::to_owned);
        let what = what.to_owned();
        keep(&mut self.changes, Change { at, service, what });
    }

    /// An endpoint of a service went or came.
    pub(super) fn on_endpoint(&mut self, at: Timestamp, service: &str, what: &str) {
        let service = Some(service.to_owned());
        let what = what.to_owned();
        keep(&mut self.endpoints, Change { at, service, what });
    }

    /// What a second brought to an objective.
    pub(super) fn on_second(&mut self, service: &str, objective: &str, second: u64, tally: Tally) {
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

    /// Only these objectives are there now.
    pub(super) fn retain(&mut self, there: impl Fn(&str, &str) -> bool) {
        self.watches
            .retain(|(service, objective), _| there(service, objective));
        self.found
            .retain(|(service, objective), _| there(service, objective));
        self.pending.retain(|it| there(&it.service, &it.objective));
    }

    /// Somebody is called: the onset is looked for now, and once more later.
    pub(super) fn on_page(&mut self, service: &str, objective: &str, target: Ratio, second: u64) {
        let again = [second, second + AGAIN].map(|at| Pending {
            service: service.to_owned(),
            objective: objective.to_owned(),
            target,
            at,
        });
        self.pending.extend(again);
    }

    /// What somebody was called for has ended.
    pub(super) fn on_resolved(&mut self, service: &str, objective: &str) {
        // It is not to be found again after its end.
        self.pending
            .retain(|it| it.service != service || it.objective != objective);
        self.found
            .remove(&(service.to_owned(), objective.to_owned()));
    }

    /// What is to be said now. `split` says where a service's failures are.
    pub(super) fn due(
        &mut self,
        second: u64,
        now: Timestamp,
        split: impl Fn(&str) -> Vec<SplitView>,
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
            let watch = self.watches.get(&key);
            let Some(ago) = watch.and_then(|it| it.onset(target.complement())) else {
                continue;
            };
            let onset = OnsetView {
                objective,
                at: before(now, ago.likeliest),
                earliest: before(now, ago.earliest),
                latest: before(now, ago.latest),
                changes: self.ranked(&service, now, ago),
                split: split(&service),
            };
            self.found.insert(key, onset.clone());
            said.push((service, onset));
        }
        said
    }

    /// What was found for a service and has not ended.
    pub(super) fn of(&self, service: &str) -> Vec<OnsetView> {
        let found = self.found.iter();
        found
            .filter(|((of, _), _)| of == service)
            .map(|(_, onset)| onset.clone())
            .collect()
    }

    /// Changes that may have caused it: first those as near to the onset as can be told, of them the nearest before its
    /// likeliest second, then those before. What came later is no cause. Endpoints come last of those that are as near: one
    /// may have gone for the same reason.
    fn ranked(&self, service: &str, now: Timestamp, ago: Ago) -> Vec<ChangeView> {
        let first = before(now, ago.earliest + PROPAGATION).as_seconds();
        let last = before(now, ago.latest).as_seconds();
        let changes = self.changes.iter().map(|it| (false, it));
        let endpoints = self.endpoints.iter().map(|it| (true, it));
        let mut near: Vec<(u64, bool, &Change)> = changes
            .chain(endpoints)
            .filter(|(_, change)| change.service.as_deref().is_none_or(|it| it == service))
            .filter_map(|(is_endpoint, change)| {
                let at = change.at.as_seconds();
                let distance = first.saturating_sub(at);
                (at <= last && distance <= OLDEST).then_some((distance, is_endpoint, change))
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

fn keep(changes: &mut VecDeque<Change>, change: Change) {
    if changes.len() == CHANGES_MAX {
        changes.pop_front();
    }
    changes.push_back(change);
}

/// What is known of an onset, for a person: the change that is the likeliest cause, and where most failures are.
pub(crate) fn sentence(onset: &OnsetView) -> String {
    let mut text = format!(
        "{} has burnt since {}",
        onset.objective,
        onset.at.to_rfc3339()
    );
    match onset.changes.first() {
        Some(change) => {
            text.push_str(&format!("; {}: {}", how_long_before(change), change.what));
        }
        None => text.push_str("; nothing that is known was changed before"),
    }
    if let Some(most) = most(&onset.split) {
        text.push_str(&format!("; {most}"));
    }
    text
}

/// How long before the onset a change was, in words: `3 s before`.
pub(crate) fn how_long_before(change: &ChangeView) -> String {
    let seconds = change.seconds_before;
    let when = if seconds < 0 { "after" } else { "before" };
    format!("{} s {when}", seconds.unsigned_abs())
}

fn before(now: Timestamp, seconds: u64) -> Timestamp {
    Timestamp::from_seconds(now.as_seconds().saturating_sub(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_change_just_before_the_onset_comes_first_and_what_came_later_is_left_out() {
        let now = Timestamp::from_seconds(100_000);
        let mut onsets = Onsets::default();
        let mut change = |ago: u64, service: Option<&str>, what: &str| {
            onsets.on_change(before(now, ago), service, what);
        };
        change(7_200, None, "too old");
        change(1_000, None, "configuration a is in force");
        change(62, None, "configuration b is in force");
        change(61, Some("other"), "of another service");
        change(20, None, "what somebody did about it");
        for second in 0..600 {
            onsets.on_second("shop", "availability", second, tally(100, 0));
        }
        for second in 600..660 {
            onsets.on_second("shop", "availability", second, tally(50, 50));
        }
        let target = Ratio::of(999, 1_000).unwrap();
        onsets.on_page("shop", "availability", target, 659);
        let said = onsets.due(659, now, nowhere);
        let [(service, onset)] = said.as_slice() else {
            panic!("{said:?}");
        };
        assert_eq!((service.as_str(), onset.at), ("shop", before(now, 59)));
        let changes: Vec<(&str, bool, i64)> = onset
            .changes
            .iter()
            .map(|it| (it.what.as_str(), it.within, it.seconds_before))
            .collect();
        assert_eq!(
            changes,
            [
                ("configuration b is in force", true, 3),
                ("configuration a is in force", false, 941)
            ]
        );
        assert!(onsets.due(700, now, nowhere).is_empty(), "not yet");
        assert_eq!(onsets.due(719, now, nowhere).len(), 1, "once more");
        assert!(onsets.due(10_000, now, nowhere).is_empty());
        assert_eq!(onsets.of("shop").len(), 1);
        onsets.on_resolved("shop", "availability");
        assert!(onsets.of("shop").is_empty());
        // Nor does it come back where it ends before it is looked for again.
        onsets.on_page("shop", "availability", target, 10_100);
        assert_eq!(onsets.due(10_100, now, nowhere).len(), 1);
        onsets.on_resolved("shop", "availability");
        assert!(onsets.due(10_200, now, nowhere).is_empty());
        assert!(onsets.of("shop").is_empty());
    }

    #[test]
    fn of_changes_within_the_interval_the_nearest_before_the_likeliest_second_comes_first() {
        let now = Timestamp::from_seconds(100_000);
        let mut onsets = Onsets::default();
        for (ago, what) in [(48, "after"), (52, "just before"), (58, "before")] {
            onsets.on_change(before(now, ago), None, what);
        }
        for ago in 0..1_000 {
            onsets.on_endpoint(before(now, 1_050 - ago), "shop", "endpoint");
        }
        let ago = Ago {
            likeliest: 50,
            earliest: 60,
            latest: 45,
        };
        let ranked = onsets.ranked("shop", now, ago);
        let ranked: Vec<&str> = ranked.iter().map(|it| it.what.as_str()).collect();
        assert_eq!(ranked[..4], ["just before", "before", "after", "endpoint"]);
    }

    fn nowhere(_: &str) -> Vec<SplitView> {
        Vec::new()
    }

    fn tally(good: u64, bad: u64) -> Tally {
        Tally { good, bad }
    }
}
