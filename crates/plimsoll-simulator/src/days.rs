//! Bad days with a governor and without: whether it ever makes goodput worse, and whether it oscillates.
//!
//! A case is its seed. Days are run as flows, hours by request; both arms draw from the same random numbers. Elsewhere:
//! threads, tables, the file that the figures are written to (`examples/governor.rs`).

mod draw;
mod turns;

pub use turns::{Turns, turns};

use std::time::Duration;

use plimsoll_config::scenario::Scenario;
use plimsoll_core::{Class, Ratio};
use plimsoll_governor::Actuator;

use crate::fleet::{Ledger, Simulation};
use crate::fluid::{Fluid, FluidError};
use crate::governing::{Decisions, Governed, Noted};
use crate::search::Setting;

/// What a good answer is worth, by class: `critical`, `standard`, `sheddable`.
pub const WEIGHTS: [f64; Class::ALL.len()] = [4.0, 2.0, 1.0];

/// Moves of one actuator of a service within an hour, at most. Four steps up and four back are eight; each takes its time to
/// settle, what is missed takes a minute to show, and the way back is twice as long each time: the sixth is not over within
/// the hour.
pub const AN_HOUR_MAX: usize = 48;
const QUARTER: u32 = 6 * 3_600;

/// A drawn scenario, and what Plimsoll is set to in it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its seed.
    pub seed: u64,
    /// What happens.
    pub scenario: Scenario,
    /// Protection.
    pub setting: Setting,
    /// The governor of the arm that has one.
    pub governed: Governed,
}

/// What came of an arm.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gave {
    /// Users who came, by class.
    pub users: [u64; Class::ALL.len()],
    /// Those of them who had a good answer.
    pub good: [u64; Class::ALL.len()],
    /// What the governor decided, if there was one.
    pub decisions: Decisions,
}

impl Gave {
    fn of(ledger: &Ledger) -> Self {
        let mut gave = Self {
            decisions: ledger.decisions().cloned().unwrap_or_default(),
            ..Self::default()
        };
        for cell in ledger.cells_of_users() {
            for (sum, count) in gave.users.iter_mut().zip(cell.users) {
                *sum += count;
            }
            for (sum, count) in gave.good.iter_mut().zip(cell.good) {
                *sum += count;
            }
        }
        gave
    }

    /// Good answers, each as much as it is worth.
    fn worth(&self, weights: [f64; Class::ALL.len()]) -> f64 {
        let pairs = self.good.iter().zip(weights);
        pairs.map(|(good, weight)| *good as f64 * weight).sum()
    }
}

/// How much more, or less, is good with a governor: shares of what is good without. `None`: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// Of all answers.
    pub good: Option<f64>,
    /// Of those to class `critical`.
    pub critical: Option<f64>,
    /// Of all, each as much as it is worth ([`WEIGHTS`]).
    pub weighted: Option<f64>,
}

impl Change {
    /// From the arm without a governor to that with one.
    pub fn of(with: &Gave, without: &Gave) -> Self {
        let change = |weights| {
            let before = without.worth(weights);
            (before > 0.0).then(|| with.worth(weights) / before - 1.0)
        };
        Self {
            good: change([1.0; Class::ALL.len()]),
            critical: change([1.0, 0.0, 0.0]),
            weighted: change(WEIGHTS),
        }
    }
}

impl Case {
    /// Whether a service has an objective of single classes only: what it is moved for is then not all that is good.
    pub fn is_partial(&self) -> bool {
        let specs = self.governed.services.iter().flat_map(|(_, specs)| specs);
        specs.into_iter().any(|spec| !spec.classes.is_empty())
    }

    /// As flows, with a governor or without.
    pub fn as_flows(&self, governs: bool) -> Result<Gave, FluidError> {
        let protections = self.setting.protections(&self.scenario);
        let target = Ratio::of(99, 100).unwrap_or(Ratio::ONE);
        let day = Duration::from_secs(86_400);
        let objectives = vec![(target, day); protections.len()];
        let mut fluid = Fluid::new(&self.scenario, &protections, &objectives)?;
        if governs {
            fluid.govern(&self.governed);
        }
        while fluid.advance().is_some() {}
        Ok(Gave::of(&fluid.ledger()))
    }

    /// By request.
    pub fn by_request(&self, governs: bool, seed: u64) -> Gave {
        let protections = self.setting.protections(&self.scenario);
        let mut simulation = Simulation::new(&self.scenario, &protections, seed);
        if governs {
            simulation.govern(&self.governed);
        }
        while simulation.advance(Duration::from_secs(60)) {}
        Gave::of(&simulation.finish())
    }
}

/// Good answers may be less by this share, at most.
pub const LOSS_MAX: f64 = 0.005;

/// A case with both arms.
#[derive(Clone, Debug)]
pub struct Compared {
    /// Its seed.
    pub seed: u64,
    /// What happened.
    pub scenario: Scenario,
    /// What the governor changed; with several runs, the mean of the changes.
    pub change: Change,
    /// How far the changes of the single runs are from their mean: the sum of squares, for good answers, and how many more
    /// than one there are.
    pub scatter: (f64, u64),
    /// What was moved, in the worst run.
    pub moved: Moved,
    /// What was decided in the first run.
    pub noted: Vec<Noted>,
    /// Some objective is of single classes: what helps these may cost others.
    pub is_partial: bool,
}

/// What a governor moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// How often, over all runs.
    pub moves: u64,
    /// Whether each was moved, in the order of [`Actuator::ALL`].
    pub actuators: [bool; Actuator::ALL.len()],
    /// How it turned.
    pub turns: Turns,
}

impl Moved {
    fn add(&mut self, decisions: &Decisions) {
        self.moves += decisions.moves;
        for (actuator, ..) in decisions.noted.iter().filter_map(|it| it.moved) {
            if let Some(moved) = self.actuators.get_mut(actuator as usize) {
                *moved = true;
            }
        }
        self.turns = self.turns.worst(turns(decisions));
    }
}

/// Cases, by what was moved in them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    Nothing,
    /// Retries at most.
    Retries,
    /// Stale answers or brownout, too.
    Degrading,
    /// Shedding or read-only, too.
    Refusing,
    /// Whatever it was.
    All,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Nothing,
        Self::Retries,
        Self::Degrading,
        Self::Refusing,
        Self::All,
    ];

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing was moved",
            Self::Retries => "retries were",
            Self::Degrading => "stale answers or brownout were",
            Self::Refusing => "shedding or read-only was",
            Self::All => "all",
        }
    }

    /// Whether a case is of it.
    pub const fn has(self, compared: &Compared) -> bool {
        let [hedge, retry, stale, brownout, shed, read_only] = compared.moved.actuators;
        let refuses = shed || read_only;
        let degrades = (stale || brownout) && !refuses;
        match self {
            Self::Nothing => !hedge && !retry && !degrades && !refuses,
            Self::Retries => (hedge || retry) && !degrades && !refuses,
            Self::Degrading => degrades,
            Self::Refusing => refuses,
            Self::All => true,
        }
    }
}

impl Compared {
    fn of(case: Case, pairs: &[(Gave, Gave)]) -> Self {
        let changes: Vec<Change> = pairs.iter().map(|(a, b)| Change::of(a, b)).collect();
        let mean = |of: fn(&Change) -> Option<f64>| {
            let all: Vec<f64> = changes.iter().filter_map(of).collect();
            (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
        };
        let change = Change {
            good: mean(|it| it.good),
            critical: mean(|it| it.critical),
            weighted: mean(|it| it.weighted),
        };
        let off = changes.iter().filter_map(|it| it.good.zip(change.good));
        let squares = off.map(|(one, mean)| (one - mean) * (one - mean)).sum();
        let mut moved = Moved::default();
        for (with, _) in pairs {
            moved.add(&with.decisions);
        }
        let first = pairs.first().map(|(with, _)| with.decisions.noted.clone());
        Self {
            seed: case.seed,
            is_partial: case.is_partial(),
            scenario: case.scenario,
            change,
            scatter: (squares, (pairs.len() as u64).saturating_sub(1)),
            moved,
            noted: first.unwrap_or_default(),
        }
    }

    /// The least of the changes: zero where nothing was good without a governor.
    pub fn least(&self) -> f64 {
        let Change {
            good,
            critical,
            weighted,
        } = self.change;
        let all = [good, critical, weighted].into_iter().flatten();
        all.fold(0.0, f64::min)
    }

    /// Whether no answers are less by more than a share, and it did not turn more often than its rules allow.
    pub fn keeps(&self, loss_max: f64) -> bool {
        let Turns {
            an_hour, too_short, ..
        } = self.moved.turns;
        self.least() >= -loss_max && an_hour <= AN_HOUR_MAX && too_short == 0
    }
}

/// Runs a day with both arms. Where nothing was moved, both are the same.
pub fn compare_day(seed: u64, lasts: u32) -> Option<Compared> {
    let case = Case::day(seed, lasts);
    let with = case.as_flows(true).ok()?;
    let without = match with.decisions.moves {
        0 => with.clone(),
        _ => case.as_flows(false).ok()?,
    };
    Some(Compared::of(case, &[(with, without)]))
}

/// Runs hours with both arms and these many seeds, by request.
pub fn compare_hour(seed: u64, lasts: u32, seeds: u64) -> Compared {
    let case = Case::hour(seed, lasts);
    let pair = |seed| {
        let with = case.by_request(true, seed);
        let without = match with.decisions.moves {
            0 => with.clone(),
            _ => case.by_request(false, seed),
        };
        (with, without)
    };
    let pairs: Vec<(Gave, Gave)> = (1..=seeds).map(pair).collect();
    Compared::of(case, &pairs)
}

/// The standard error that chance makes in the mean change of a case: pooled over cases in which something was moved.
pub fn noise(all: &[Compared]) -> f64 {
    let moved = || all.iter().filter(|it| !Part::Nothing.has(it));
    let squares: f64 = moved().map(|it| it.scatter.0).sum();
    let freedom: u64 = moved().map(|it| it.scatter.1).sum();
    let seeds = moved().map(|it| it.scatter.1 + 1).max().unwrap_or(1);
    libm::sqrt(squares / freedom.max(1) as f64 / seeds as f64)
}

/// How often is moved in each six hours where a service is asked for twice what it can carry, for ever, and a tenth of what
/// it works on is late: with nothing that can be given up, or with some of everything.
pub fn at_capacity(lasts: u32, gives_up: bool) -> Vec<usize> {
    draw::full(lasts, gives_up).map_or(Vec::new(), |case| {
        let noted = case.as_flows(true).map(|it| it.decisions.noted);
        let noted = noted.unwrap_or_default();
        let quarters = (0..lasts.div_ceil(QUARTER)).map(|quarter| {
            let part = Duration::from_secs(u64::from(quarter * QUARTER))
                ..Duration::from_secs(u64::from((quarter + 1) * QUARTER));
            let moves = noted.iter().filter(|it| it.moved.is_some());
            moves.filter(|it| part.contains(&it.at)).count()
        });
        quarters.collect()
    })
}
