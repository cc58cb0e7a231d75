//! What was expected of each workload in each phase, to be told as counts in the end.

use std::time::Duration;

use plimsoll_core::Class;
use plimsoll_measure::{Cause, Histogram, SLOTS, upper_nanos};

use super::demand::{ByClass, Sent};
use super::station::Outcome;
use crate::fleet::Cell;

/// Expected counts, in the place of a [`Cell`]'s.
#[derive(Clone, Debug)]
pub(super) struct Sums {
    users: ByClass,
    good: ByClass,
    requests: ByClass,
    refused: ByClass,
    attempts: f64,
    causes: [f64; Cause::COUNT],
    latencies: Box<[f64; SLOTS]>,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            users: [0.0; Class::ALL.len()],
            good: [0.0; Class::ALL.len()],
            requests: [0.0; Class::ALL.len()],
            refused: [0.0; Class::ALL.len()],
            attempts: 0.0,
            causes: [0.0; Cause::COUNT],
            latencies: Box::new([0.0; SLOTS]),
        }
    }
}

impl Sums {
    /// Adds a step of a workload.
    pub(super) fn add(&mut self, sent: &Sent, outcomes: &[Outcome; Class::ALL.len()]) {
        for (class, outcome) in outcomes.iter().enumerate() {
            let new = sent.by_tries.first().and_then(|it| it.get(class)).copied();
            let requests = sent.of_class(class);
            add(&mut self.users, class, new.unwrap_or(0.0));
            add(&mut self.requests, class, requests);
            add(&mut self.refused, class, requests * outcome.refused);
            add(&mut self.good, class, requests * outcome.in_time);
            let asked = 1.0 - outcome.refused - outcome.spared;
            self.attempts += requests * (asked + outcome.again);
            let by_cause = [
                (Cause::Answered, outcome.answered - outcome.spared),
                (Cause::Stale, outcome.spared),
                (Cause::Shed, outcome.refused - outcome.read_only),
                (Cause::ReadOnly, outcome.read_only),
                (Cause::UpstreamStatus, outcome.errors),
                (Cause::Connect, outcome.connect),
                (Cause::ClientGone, outcome.gone),
            ];
            for (cause, share) in by_cause {
                add(&mut self.causes, cause.index(), requests * share);
            }
            for (profile, share) in &outcome.profiles {
                for (slot, of_it) in &profile.slots {
                    add(&mut self.latencies[..], *slot, requests * share * of_it);
                }
            }
        }
    }

    /// As counts. Each is rounded by itself.
    pub(super) fn cell(&self) -> Cell {
        let round = |sum: &f64| libm::round(*sum) as u64;
        let by_class = |sums: &ByClass| {
            let mut counts = [0; Class::ALL.len()];
            for (count, sum) in counts.iter_mut().zip(sums) {
                *count = round(sum);
            }
            counts
        };
        let mut causes = [0; Cause::COUNT];
        for (count, sum) in causes.iter_mut().zip(&self.causes) {
            *count = round(sum);
        }
        let mut latencies = Histogram::new();
        for (slot, sum) in self.latencies.iter().enumerate() {
            let upper = Duration::from_nanos(upper_nanos(slot));
            latencies.record_many(upper, round(sum));
        }
        Cell {
            users: by_class(&self.users),
            good: by_class(&self.good),
            requests: by_class(&self.requests),
            refused: by_class(&self.refused),
            attempts: round(&self.attempts),
            causes,
            latencies,
        }
    }
}

fn add(sums: &mut [f64], place: usize, value: f64) {
    if let Some(sum) = sums.get_mut(place) {
        *sum += value;
    }
}
