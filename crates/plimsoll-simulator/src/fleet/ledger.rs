//! What became of users and their requests.
//!
//! A user is who wants something; a request is one try to get it. Both are counted in the phase in which the user
//! came. Invariant: each request is counted once as sent, and once in one of the causes.

use std::time::Duration;

use plimsoll_core::Class;
use plimsoll_lifecycle::Settlement;
use plimsoll_measure::{Cause, Histogram, Origin, Outcome};

/// The users of one workload who came in one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// How many came, by class.
    pub users: [u64; Class::ALL.len()],
    /// How many of them got an answer within the objective, counted from the try that got it.
    pub good: [u64; Class::ALL.len()],
    /// How many requests they sent, by class: one each, and what they tried again.
    pub requests: [u64; Class::ALL.len()],
    /// How many of these Plimsoll refused, by class.
    pub refused: [u64; Class::ALL.len()],
    /// Attempts at endpoints.
    pub attempts: u64,
    /// Why requests ended as they did.
    pub causes: [u64; Cause::COUNT],
    /// How long those took that were answered.
    pub latencies: Histogram,
}

impl Cell {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        let by_class = [
            (&mut self.users, &other.users),
            (&mut self.good, &other.good),
            (&mut self.requests, &other.requests),
            (&mut self.refused, &other.refused),
        ];
        for (mine, theirs) in by_class {
            add(mine, theirs);
        }
        add(&mut self.causes, &other.causes);
        self.attempts += other.attempts;
        self.latencies.merge(&other.latencies);
    }
}

fn add(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

/// All cells of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ledger {
    workloads: usize,
    cells: Vec<Cell>,
}

impl Ledger {
    /// With nothing in it.
    pub(super) fn new(phases: usize, workloads: usize) -> Self {
        Self {
            workloads,
            cells: vec![Cell::default(); phases * workloads],
        }
    }

    /// Which cell is that of a workload's users in a phase.
    pub(super) fn position(&self, phase: usize, workload: usize) -> u32 {
        (phase * self.workloads + workload) as u32
    }

    /// What became of a workload's users in a phase.
    pub fn cell(&self, phase: usize, workload: usize) -> Option<&Cell> {
        self.cells.get(self.position(phase, workload) as usize)
    }

    /// All cells: those of the first phase come first.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Adds another run of the same scenario.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.merge(theirs);
        }
    }

    /// A request is sent; with `user`, it is that user's first.
    pub(super) fn sent(&mut self, cell: u32, class: Class, user: bool) {
        if let Some(cell) = self.cells.get_mut(cell as usize) {
            count(&mut cell.requests, class);
            if user {
                count(&mut cell.users, class);
            }
        }
    }

    /// A request is settled. An answer within `objective` is a good one.
    pub(super) fn settled(&mut self, cell: u32, settlement: &Settlement, objective: Duration) {
        let Some(cell) = self.cells.get_mut(cell as usize) else {
            return;
        };
        let cause = settlement.cause;
        if let Some(counted) = cell.causes.get_mut(cause.index()) {
            *counted += 1;
        }
        cell.attempts += u64::from(settlement.attempts);
        if cause.origin() == Origin::Plimsoll {
            count(&mut cell.refused, settlement.class);
        }
        if cause.outcome() == Outcome::Good {
            let latency = settlement.latency();
            cell.latencies.record(latency);
            if latency <= objective {
                count(&mut cell.good, settlement.class);
            }
        }
    }
}

fn count(by_class: &mut [u64; Class::ALL.len()], class: Class) {
    if let Some(counted) = by_class.get_mut(class.index()) {
        *counted += 1;
    }
}
