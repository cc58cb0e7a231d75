//! What happened when: the same counts as the ledger's, by the second in which it happened, or by several of them, for
//! plots and for invariants over time.
//!
//! Invariant: the sum over all steps is the sum over the ledger's cells. Memory: one [`Cell`] of some 9 kB for each step
//! and sender, so a run keeps one only if it is asked to ([`Simulation::record`](super::Simulation::record)).

use plimsoll_core::Class;
use plimsoll_lifecycle::Settlement;

use super::ledger::Cell;
use crate::agenda::{Nanos, SECOND};

/// One second of a run, or one step of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Second {
    /// By sender: users who came and requests that were sent in it; answers, refusals and all other ends that fell
    /// into it.
    pub cells: Vec<Cell>,
    /// By service, at its end. Empty if the run ended before.
    pub levels: Vec<Level>,
}

/// Where a service's guards are at one moment, over all gateways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The sum of the limits in force, in requests; `None`: a gateway has none.
    pub limit: Option<u64>,
    /// Requests that have a permit.
    pub in_flight: u64,
    /// Requests that wait for one.
    pub waiting: u64,
}

impl Level {
    /// That of no gateway at all.
    pub(super) fn none() -> Self {
        Self {
            limit: Some(0),
            in_flight: 0,
            waiting: 0,
        }
    }

    /// Adds another's.
    pub(super) fn add(&mut self, other: &Self) {
        self.limit = self.limit.zip(other.limit).map(|(a, b)| a + b);
        self.in_flight += other.in_flight;
        self.waiting += other.waiting;
    }
}

/// All seconds of a run, from its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    senders: usize,
    step: Nanos,
    seconds: Vec<Second>,
}

impl Timeline {
    pub(super) fn new(senders: usize, step: Nanos) -> Self {
        Self {
            senders,
            step,
            seconds: Vec::new(),
        }
    }

    /// How many seconds each step has.
    pub fn step(&self) -> u64 {
        self.step / SECOND
    }

    /// The steps: seconds, unless it was asked for longer ones. What comes after the last phase, while the last requests end, is in it.
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// Adds another run of the same scenario, with the same steps: counts and levels are summed. A limit that one of them has not is none.
    pub fn merge(&mut self, other: &Self) {
        for (index, theirs) in other.seconds.iter().enumerate() {
            let both_there = index < self.seconds.len();
            let Some(mine) = self.second(index) else {
                return;
            };
            for (mine, theirs) in mine.cells.iter_mut().zip(&theirs.cells) {
                mine.merge(theirs);
            }
            if !both_there {
                mine.levels.clone_from(&theirs.levels);
                continue;
            }
            for (mine, theirs) in mine.levels.iter_mut().zip(&theirs.levels) {
                mine.add(theirs);
            }
        }
    }

    pub(super) fn sent(&mut self, now: Nanos, sender: usize, class: Class, user: bool) {
        if let Some(cell) = self.cell(now, sender) {
            cell.sent(class, user);
        }
    }

    pub(super) fn settled(
        &mut self,
        now: Nanos,
        sender: usize,
        settlement: &Settlement,
        in_time: bool,
    ) {
        if let Some(cell) = self.cell(now, sender) {
            cell.settled(settlement, in_time);
        }
    }

    /// The levels at the end of the step that is over `now`.
    pub(super) fn sample(&mut self, now: Nanos, levels: Vec<Level>) {
        let index = (now / self.step).saturating_sub(1) as usize;
        if let Some(second) = self.second(index) {
            second.levels = levels;
        }
    }

    fn cell(&mut self, now: Nanos, sender: usize) -> Option<&mut Cell> {
        let second = self.second((now / self.step) as usize)?;
        second.cells.get_mut(sender)
    }

    fn second(&mut self, index: usize) -> Option<&mut Second> {
        while self.seconds.len() <= index {
            self.seconds.push(Second {
                cells: vec![Cell::default(); self.senders],
                levels: Vec::new(),
            });
        }
        self.seconds.get_mut(index)
    }
}
