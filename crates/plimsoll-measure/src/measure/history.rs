//! What outlives the process: the tallies of objectives over their periods.
//!
//! A budget over 28 days that starts again with every restart would be worth nothing. Latency and traffic
//! windows are minutes long and start again.
//! Invariant: nothing is restored twice, and nothing into an objective that means something else by now.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};
use serde::{Deserialize, Serialize};

use super::tracked::Tracked;
use crate::objective::{ObjectiveSpec, Tally};
use crate::registry::SeriesKey;
use crate::window::{RingHistory, Window};

/// The version of the form.
const SCHEMA: u32 = 1;

/// The history of all objectives.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    schema: u32,
    at: Timestamp,
    objectives: Vec<ObjectiveHistory>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct ObjectiveHistory {
    service: String,
    objective: ObjectiveSpec,
    rings: Vec<RingHistory<Tally>>,
}

impl History {
    pub(super) fn of(
        tracked: &BTreeMap<SeriesKey, Tracked>,
        now: Instant,
        timestamp: Timestamp,
    ) -> Self {
        let services = tracked.iter().filter_map(|(key, tracked)| match key {
            SeriesKey::Service(service) => Some((service, tracked)),
            _ => None,
        });
        let objectives = services.flat_map(|(service, tracked)| {
            tracked.objectives.iter().map(|objective| ObjectiveHistory {
                service: service.clone(),
                objective: objective.spec.clone(),
                rings: objective.window.export(now),
            })
        });
        Self {
            schema: SCHEMA,
            at: timestamp,
            objectives: objectives.collect(),
        }
    }
}

/// What a predecessor left, until the objectives that it is for are first seen.
#[derive(Debug, Default)]
pub(super) struct Restored {
    /// How long ago it was left.
    elapsed: Duration,
    /// By service and objective.
    left: BTreeMap<(String, String), ObjectiveHistory>,
}

impl Restored {
    pub(super) fn new(history: History, timestamp: Timestamp) -> Self {
        if history.schema != SCHEMA {
            return Self::default();
        }
        let left = history.objectives.into_iter();
        Self {
            // A calendar that was set back makes it look newer than it is: then it is taken as just left.
            elapsed: timestamp.since(history.at),
            left: left
                .map(|left| ((left.service.clone(), left.objective.name.clone()), left))
                .collect(),
        }
    }

    /// Gives the window what was left for it, if the objective is still the same. Either way it is gone: a
    /// later version must not find it.
    pub(super) fn give(
        &mut self,
        key: &SeriesKey,
        objective: &ObjectiveSpec,
        now: Instant,
        window: &mut Window<Tally>,
    ) {
        let SeriesKey::Service(service) = key else {
            return;
        };
        let Some(left) = self.left.remove(&(service.clone(), objective.name.clone())) else {
            return;
        };
        if same(&left.objective, objective) {
            window.restore(now, self.elapsed, &left.rings);
        }
    }
}

/// Whether they mean the same. A target may have lost its last digit on its way through a file.
fn same(left: &ObjectiveSpec, right: &ObjectiveSpec) -> bool {
    left.sli == right.sli
        && left.period == right.period
        && (left.target.get() - right.target.get()).abs() < 1e-12
}
