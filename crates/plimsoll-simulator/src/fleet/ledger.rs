//! What became of users and their requests.
//!
//! A user is who wants something; a request is one try to get it. Both are counted in the phase in which the user
//! came. Invariant: each request is counted once as sent, and once in one of the causes.

use std::time::Duration;

use plimsoll_core::Class;
use plimsoll_lifecycle::Settlement;
use plimsoll_measure::{Cause, Histogram, Origin, Outcome};

use super::timeline::{Level, Timeline};
use crate::agenda::Nanos;
use crate::governing::Decisions;

/// The users of one workload who came in one phase, or the calls of one service to another.
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

    /// A request is sent; with `user`, it is that user's first.
    pub(super) fn sent(&mut self, class: Class, user: bool) {
        count(&mut self.requests, class);
        if user {
            count(&mut self.users, class);
        }
    }

    /// A request is settled; an answer that is `in_time` is a good one.
    pub(super) fn settled(&mut self, settlement: &Settlement, in_time: bool) {
        let cause = settlement.cause;
        if let Some(counted) = self.causes.get_mut(cause.index()) {
            *counted += 1;
        }
        self.attempts += u64::from(settlement.attempts);
        if cause.origin() == Origin::Plimsoll && cause.outcome() != Outcome::Good {
            count(&mut self.refused, settlement.class);
        }
        if cause.outcome() == Outcome::Good {
            self.latencies.record(settlement.latency());
            if in_time {
                count(&mut self.good, settlement.class);
            }
        }
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
    /// Workloads, and then the calls of services ([`Scenario::senders`](plimsoll_config::scenario::Scenario::senders)).
    senders: usize,
    cells: Vec<Cell>,
    /// Users who paused before another try when the last phase ended.
    cut: u64,
    timeline: Option<Timeline>,
    decisions: Option<Decisions>,
}

impl Ledger {
    /// With these cells, in the order of [`Ledger::cells`], and without calls.
    pub(crate) fn of(workloads: usize, cells: Vec<Cell>) -> Self {
        Self {
            workloads,
            senders: workloads,
            cells,
            cut: 0,
            timeline: None,
            decisions: None,
        }
    }

    /// With nothing in it.
    pub(super) fn new(phases: usize, workloads: usize, senders: usize) -> Self {
        Self {
            workloads,
            senders,
            cells: vec![Cell::default(); phases * senders],
            cut: 0,
            timeline: None,
            decisions: None,
        }
    }

    /// Which cell is that of a sender's requests in a phase.
    pub(super) fn position(&self, phase: usize, sender: usize) -> u32 {
        (phase * self.senders + sender) as u32
    }

    /// What became of a workload's users in a phase, or of the calls that were made in it. A call is a user of the service
    /// that is called.
    pub fn cell(&self, phase: usize, sender: usize) -> Option<&Cell> {
        self.cells.get(self.position(phase, sender) as usize)
    }

    /// All cells: those of the first phase come first.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// The cells of workloads, without those of calls.
    pub fn cells_of_users(&self) -> impl Iterator<Item = &Cell> {
        let phases = self.cells.chunks(self.senders.max(1));
        phases.flat_map(|cells| cells.iter().take(self.workloads))
    }

    /// Adds another run of the same scenario. There is a timeline if both have one.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.cells.iter_mut().zip(&other.cells) {
            mine.merge(theirs);
        }
        self.cut += other.cut;
        if let (Some(mine), Some(theirs)) = (&mut self.decisions, &other.decisions) {
            mine.merge(theirs);
        }
        match (&mut self.timeline, &other.timeline) {
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            _ => self.timeline = None,
        }
    }

    /// What governors decided, if there were any.
    pub fn decisions(&self) -> Option<&Decisions> {
        self.decisions.as_ref()
    }

    /// Where they are kept.
    pub(crate) fn decisions_mut(&mut self) -> &mut Decisions {
        self.decisions.get_or_insert_default()
    }

    /// Users who paused before another try when the last phase ended. They did not come again, and have no answer.
    pub fn users_cut(&self) -> u64 {
        self.cut
    }

    /// So many users are cut.
    pub(super) fn cut(&mut self, users: u64) {
        self.cut += users;
    }

    /// What happened when, if that was asked for.
    pub fn timeline(&self) -> Option<&Timeline> {
        self.timeline.as_ref()
    }

    /// The same, which is taken out.
    pub fn take_timeline(&mut self) -> Option<Timeline> {
        self.timeline.take()
    }

    /// From now on it is kept when things happen, by so much time.
    pub(super) fn record(&mut self, step: Nanos) {
        self.timeline = Some(Timeline::new(self.senders, step));
    }

    /// Keeps the levels of a moment.
    pub(super) fn sample(&mut self, now: Nanos, levels: Vec<Level>) {
        if let Some(timeline) = &mut self.timeline {
            timeline.sample(now, levels);
        }
    }

    /// A request is sent; with `user`, it is that user's first.
    pub(super) fn sent(&mut self, now: Nanos, cell: u32, class: Class, user: bool) {
        let sender = self.sender_of(cell);
        if let Some(timeline) = &mut self.timeline {
            timeline.sent(now, sender, class, user);
        }
        if let Some(cell) = self.cells.get_mut(cell as usize) {
            cell.sent(class, user);
        }
    }

    /// A request is settled. An answer within `objective` is a good one.
    pub(super) fn settled(
        &mut self,
        now: Nanos,
        cell: u32,
        settlement: &Settlement,
        objective: Duration,
    ) {
        let in_time = settlement.latency() <= objective;
        let sender = self.sender_of(cell);
        if let Some(timeline) = &mut self.timeline {
            timeline.settled(now, sender, settlement, in_time);
        }
        if let Some(cell) = self.cells.get_mut(cell as usize) {
            cell.settled(settlement, in_time);
        }
    }

    fn sender_of(&self, cell: u32) -> usize {
        cell as usize % self.senders.max(1)
    }
}

fn count(by_class: &mut [u64; Class::ALL.len()], class: Class) {
    if let Some(counted) = by_class.get_mut(class.index()) {
        *counted += 1;
    }
}
