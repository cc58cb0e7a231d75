//! Which version of each objective is in force.
//!
//! An objective of which anything changed is a new version. If only its target or its period is another, what was counted
//! says what the budget would have been, and it is recomputed; if it counts something else, it begins anew.
//! Elsewhere: what is counted for which version (`registry`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use super::Layout;
use super::history::series_name;
use crate::objective::ObjectiveSpec;

/// The versions in force, by service and objective. Outlives the process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Versions(BTreeMap<String, BTreeMap<String, Version>>);

/// A version of an objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Version {
    /// From 1.
    number: u32,
    spec: ObjectiveSpec,
    /// Since when it counts the same; the epoch: since before anybody kept that.
    counted_since: Timestamp,
}

/// An objective has another version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionChange {
    /// Its service.
    pub service: String,
    /// Its name.
    pub objective: String,
    /// The version that is in force now.
    pub number: u32,
    /// The keys that changed.
    pub changed: Vec<&'static str>,
    /// Whether it counts something else, so that its budget begins anew. Else it is recomputed.
    pub anew: bool,
}

/// As an event about the service.
impl fmt::Display for VersionChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            objective, number, ..
        } = self;
        let changed = self.changed.join(", ");
        let budget = match self.anew {
            true => "begins anew",
            false => "is recomputed from the same counts",
        };
        write!(
            f,
            "objective {objective} is version {number} ({changed} changed): its budget {budget}"
        )
    }
}

impl Versions {
    /// What is configured is another now. What is configured no longer is forgotten.
    pub(super) fn follow(&mut self, layout: &Layout, now: Timestamp) -> Vec<VersionChange> {
        let mut before = std::mem::take(&mut self.0);
        let first = before.is_empty();
        let mut changes = Vec::new();
        for service in &layout.services {
            let mut known = before.remove(&service.name).unwrap_or_default();
            let versions = self.0.entry(service.name.clone()).or_default();
            for spec in &service.objectives {
                let version = known.remove(&spec.name);
                let is_known = version.is_some();
                let mut version = version.unwrap_or_else(|| Version {
                    number: 1,
                    spec: spec.clone(),
                    counted_since: if first { Timestamp::default() } else { now },
                });
                let changed = changed(&version.spec, spec);
                if is_known && !changed.is_empty() {
                    let anew = !version.spec.counts_the_same_as(spec);
                    version.number += 1;
                    if anew {
                        version.counted_since = now;
                    }
                    changes.push(VersionChange {
                        service: service.name.clone(),
                        objective: spec.name.clone(),
                        number: version.number,
                        changed,
                        anew,
                    });
                }
                version.spec = spec.clone();
                versions.insert(spec.name.clone(), version);
            }
        }
        changes
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The version of an objective.
    pub(super) fn number(&self, service: &str, objective: &str) -> u32 {
        self.version(service, objective).map_or(1, |it| it.number)
    }

    /// Since when what is counted for an objective as it is configured at `now` is counted.
    pub(super) fn counted_since(
        &self,
        service: &str,
        spec: &ObjectiveSpec,
        now: Timestamp,
    ) -> Timestamp {
        match self.version(service, &spec.name) {
            Some(version) if version.spec.counts_the_same_as(spec) => version.counted_since,
            None if self.0.is_empty() => Timestamp::default(),
            _ => now,
        }
    }

    /// The name under which is kept what an objective as it is configured at `now` counts.
    pub(super) fn series_name(
        &self,
        service: &str,
        spec: &ObjectiveSpec,
        now: Timestamp,
    ) -> Arc<str> {
        series_name(service, spec, self.counted_since(service, spec, now))
    }

    fn version(&self, service: &str, objective: &str) -> Option<&Version> {
        self.0.get(service)?.get(objective)
    }
}

/// The keys by which they differ. A target may have lost its last digit on its way through a store.
fn changed(before: &ObjectiveSpec, after: &ObjectiveSpec) -> Vec<&'static str> {
    let target = (before.target.get() - after.target.get()).abs() > 1e-12;
    let sli = match before.sli.name() == after.sli.name() {
        true => "below",
        false => "kind",
    };
    let differs = [
        (sli, before.sli != after.sli),
        ("target", target),
        ("period", before.period != after.period),
        ("routes", before.routes != after.routes),
        ("classes", before.classes != after.classes),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(key, _)| key).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_core::{Class, Ratio};

    use super::*;
    use crate::measure::ServiceLayout;
    use crate::objective::Sli;
    use crate::period::Period;

    fn latency(name: &str, below: u64, target: f64) -> ObjectiveSpec {
        ObjectiveSpec {
            name: name.to_owned(),
            sli: Sli::Latency {
                below: Duration::from_millis(below),
            },
            target: Ratio::try_from(target).unwrap(),
            period: Period::Rolling(Duration::from_secs(3_600)),
            classes: Vec::new(),
            routes: Vec::new(),
        }
    }

    fn layout(objectives: &[ObjectiveSpec]) -> Layout {
        Layout {
            services: vec![ServiceLayout {
                name: "shop".to_owned(),
                objectives: objectives.to_vec(),
                ..ServiceLayout::default()
            }],
            ..Layout::default()
        }
    }

    #[test]
    fn a_version_is_new_where_anything_changed_and_says_what_becomes_of_its_budget() {
        let at = Timestamp::from_seconds;
        let mut versions = Versions::default();
        let (a, b) = (latency("a", 100, 0.99), latency("b", 100, 0.99));
        assert_eq!(versions.follow(&layout(&[a.clone(), b.clone()]), at(1)), []);
        assert_eq!(versions.counted_since("shop", &a, at(2)), at(0));
        let text = serde_json::to_string(&versions).unwrap();
        let mut versions: Versions = serde_json::from_str(&text).unwrap();
        assert_eq!(versions.follow(&layout(&[a.clone(), b.clone()]), at(3)), []);

        let stricter = ObjectiveSpec {
            target: Ratio::try_from(0.999).unwrap(),
            period: Period::Rolling(Duration::from_secs(7_200)),
            ..a
        };
        let critical = ObjectiveSpec {
            classes: vec![Class::Critical],
            ..latency("b", 50, 0.99)
        };
        let new = latency("c", 100, 0.99);
        let changes = versions.follow(
            &layout(&[stricter.clone(), critical.clone(), new.clone()]),
            at(9),
        );
        let said: Vec<String> = changes.iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "objective a is version 2 (target, period changed): its budget is recomputed from the same counts",
                "objective b is version 2 (below, classes changed): its budget begins anew",
            ]
        );
        assert_eq!(versions.counted_since("shop", &stricter, at(20)), at(0));
        assert_eq!(versions.counted_since("shop", &critical, at(20)), at(9));
        assert_eq!(versions.counted_since("shop", &new, at(20)), at(9));
        // What is asked for and is not what is in force is not counted yet.
        assert_eq!(
            versions.counted_since("shop", &latency("b", 70, 0.99), at(20)),
            at(20)
        );
        assert_eq!(versions.number("shop", "b"), 2);
        // Forgotten, and made anew.
        versions.follow(&layout(&[stricter]), at(30));
        versions.follow(&layout(std::slice::from_ref(&critical)), at(40));
        assert_eq!(versions.number("shop", "b"), 1);
        assert_eq!(versions.counted_since("shop", &critical, at(50)), at(40));
    }
}
