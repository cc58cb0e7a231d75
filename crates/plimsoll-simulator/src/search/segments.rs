//! The parts of a run in which nothing changes but what is random: what can be judged.

use plimsoll_config::scenario::{FaultKind, Scenario, Source};

use crate::agenda::{Nanos, SECOND};
use crate::fleet::rate::Rate;

/// After a change, policies have this long to find what is right.
const SETTLE: usize = 5;
/// After the end of a fault or a surge: longer, since work that was begun and users that come again are still there,
/// and an endpoint that was taken out is tried again ten seconds later.
pub(super) const RECOVERY: usize = 15;
/// Shorter parts say too little.
const LENGTH_MIN: usize = 4;
/// Steps of a second in which loads are looked at: short bursts take half of one.
const STEPS: usize = 50;

/// A part of a run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    /// The first second that is judged.
    pub(super) from: usize,
    /// The first second that is not.
    pub(super) to: usize,
    /// Its phase.
    pub(super) phase: usize,
    /// The phase's beginning.
    begins: usize,
    /// The faults in force: service, endpoints, kind.
    faults: Vec<(usize, usize, FaultKind)>,
    /// Trouble was over before it.
    pub(super) recovered: bool,
}

impl Segment {
    /// Faults of a service, each with the number of endpoints that it is at.
    pub(super) fn faults(&self, service: usize) -> Vec<(usize, FaultKind)> {
        let of_service = self.faults.iter().filter(|fault| fault.0 == service);
        of_service.map(|fault| (fault.1, fault.2)).collect()
    }

    /// What new users of a service ask for, at moments that are as far from each other; `closed` is what its populations
    /// asked for, which depends on what they get. Empty where it is not known: of a log.
    pub(super) fn demand(&self, scenario: &Scenario, service: usize, closed: f64) -> Vec<f64> {
        let Some(phase) = scenario.phases.get(self.phase) else {
            return Vec::new();
        };
        let mine = scenario.workloads.iter().zip(&phase.rates);
        let mine = mine.filter(|(workload, _)| workload.service == service);
        if mine
            .clone()
            .any(|(workload, _)| matches!(workload.source, Source::Replay(_)))
        {
            return Vec::new();
        }
        let begins = self.begins as Nanos * SECOND;
        let rates: Vec<Rate> = mine.map(|(_, rate)| Rate::new(rate, begins)).collect();
        let lasts = phase.lasts.as_nanos() as Nanos;
        let steps = (self.from - self.begins) * STEPS..(self.to - self.begins) * STEPS;
        let demand = steps.map(|step| {
            let into = (2 * step as Nanos + 1) * SECOND / (2 * STEPS as Nanos);
            let open: f64 = rates.iter().map(|rate| rate.at(into, lasts).0).sum();
            open + closed
        });
        demand.collect()
    }

    /// Whether a service's load and endpoints stay as they are.
    pub(super) fn is_even(&self, scenario: &Scenario, service: usize) -> bool {
        let phase = scenario.phases.get(self.phase);
        let rates = phase
            .map(|phase| phase.rates.as_slice())
            .unwrap_or_default();
        let mut mine = scenario.workloads.iter().zip(rates);
        self.faults(service).is_empty()
            && mine.all(|(workload, rate)| {
                workload.service != service
                    || match workload.source {
                        Source::Rate(_) => rate.shape.is_none() && rate.from == rate.to,
                        // Who leaves is not replaced.
                        Source::Users(population) => population.leaves == 0.0,
                        Source::Replay(_) => false,
                    }
            })
    }
}

/// The segments of a scenario whose phases and faults last whole seconds.
pub(super) fn segments(scenario: &Scenario) -> Vec<Segment> {
    let mut ends = Vec::new();
    let mut end = 0;
    for phase in &scenario.phases {
        end += phase.lasts.as_secs() as usize;
        ends.push(end);
    }
    let begins = |phase: usize| match phase.checked_sub(1) {
        Some(before) => ends.get(before).copied().unwrap_or(0),
        None => 0,
    };
    let faults: Vec<_> = scenario
        .faults
        .iter()
        .map(|fault| {
            let at = fault.at.as_secs() as usize;
            (at, at + fault.lasts.as_secs() as usize, fault)
        })
        .collect();
    // Trouble ends with each fault, and with each phase but the first and the last.
    let relief: Vec<usize> = faults
        .iter()
        .map(|fault| fault.1)
        .chain(ends.iter().skip(1).copied())
        .filter(|at| *at < end)
        .collect();
    let mut cuts: Vec<usize> = ends
        .iter()
        .copied()
        .chain(faults.iter().flat_map(|fault| [fault.0, fault.1]))
        .filter(|cut| *cut <= end)
        .collect();
    cuts.push(0);
    cuts.sort_unstable();
    cuts.dedup();
    let mut segments = Vec::new();
    for pair in cuts.windows(2) {
        let &[cut, to] = pair else {
            continue;
        };
        let last = relief.iter().filter(|at| **at <= cut).max();
        let from = last.map_or(0, |at| at + RECOVERY).max(cut + SETTLE);
        let phase = ends.iter().position(|end| cut < *end).unwrap_or(0);
        if from + LENGTH_MIN > to {
            continue;
        }
        let in_force = faults.iter().filter(|it| it.0 <= cut && cut < it.1);
        segments.push(Segment {
            from,
            to,
            phase,
            begins: begins(phase),
            faults: in_force
                .map(|(_, _, fault)| (fault.service, fault.endpoints, fault.kind))
                .collect(),
            recovered: last.is_some(),
        });
    }
    segments
}
