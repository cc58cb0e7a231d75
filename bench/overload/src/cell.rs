//! The cells: what is sent, what happens meanwhile, and which figures that gives.

mod capacity;
mod endpoints;
mod fairness;
mod overload;
mod refusal;

use std::str::FromStr;
use std::time::Duration;

use crate::failure::Failure;
use crate::load::{Event, Script, Seen};
use crate::options::Options;
use crate::peer::Shape;
use crate::plan::{LEAD, SETTLE, micros};
use crate::tally::Span;

/// Which cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Letter {
    A,
    B,
    C,
    D,
    E,
    F,
}

impl Letter {
    pub(crate) const ALL: [Self; 6] = [Self::A, Self::B, Self::C, Self::D, Self::E, Self::F];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
            Self::C => "c",
            Self::D => "d",
            Self::E => "e",
            Self::F => "f",
        }
    }

    /// What it consists of.
    pub(crate) fn cell(self, options: &Options) -> Cell {
        let timing = Timing::new(options);
        let mut cell = match self {
            Self::A => overload::plain(&timing),
            Self::B => overload::critical(&timing),
            Self::C => capacity::cell(&timing, options.repeats),
            Self::D => fairness::cell(&timing),
            Self::E => endpoints::cell(&timing),
            Self::F => refusal::cell(&timing),
        };
        if options.quick {
            cell.scenarios.retain(|scenario| scenario.quick);
        }
        if let Some(text) = &options.scenario {
            cell.scenarios
                .retain(|scenario| scenario.name.contains(text));
        }
        cell
    }
}

impl FromStr for Letter {
    type Err = Failure;

    fn from_str(name: &str) -> Result<Self, Failure> {
        let found = Self::ALL.into_iter().find(|letter| letter.name() == name);
        found.ok_or_else(|| Failure::usage(format!("there is no cell `{name}`")))
    }
}

/// One table.
pub(crate) struct Cell {
    pub(crate) title: &'static str,
    pub(crate) note: &'static str,
    pub(crate) columns: Vec<Column>,
    pub(crate) scenarios: Vec<Scenario>,
    /// Of each scenario in each round.
    pub(crate) repeats: usize,
    /// Limits per address are of interest.
    pub(crate) addresses: bool,
}

/// One figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) digits: usize,
    pub(crate) show: Show,
}

/// How several samples are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Show {
    /// Median (smallest-largest).
    Range,
    /// Median / 95 % / largest.
    Tail,
}

/// A figure with so many digits.
fn range(name: &'static str, digits: usize) -> Column {
    Column {
        name,
        digits,
        show: Show::Range,
    }
}

/// The figures of one run, in the order of the columns; `None` = there is nothing to say.
pub(crate) type Figures = Vec<Option<f64>>;

/// One kind of run.
pub(crate) struct Scenario {
    pub(crate) name: String,
    /// Part of a quick run.
    pub(crate) quick: bool,
    pub(crate) shape: Shape,
    pub(crate) endpoints: usize,
    pub(crate) script: Script,
    /// Over which doubts are judged: from the first reading to the last.
    pub(crate) judge: Box<dyn Fn(&Seen) -> Figures>,
}

/// How long the parts of a run are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    pub(crate) lead: u64,
    pub(crate) settle: u64,
    pub(crate) steady: u64,
    pub(crate) quick: bool,
}

impl Timing {
    fn new(options: &Options) -> Self {
        let part = |whole: Duration| micros(if options.quick { whole / 2 } else { whole });
        Self {
            lead: part(LEAD),
            settle: part(SETTLE),
            steady: micros(options.steady),
            quick: options.quick,
        }
    }

    /// The step of the load, and the time in which the proxy may find its limits.
    pub(crate) fn settling(&self) -> Span {
        Span(self.lead, self.lead + self.settle)
    }

    /// What is measured after it.
    pub(crate) fn window(&self) -> Span {
        let from = self.lead + self.settle;
        Span(from, from + self.steady)
    }
}

/// The load goes on for so long after what is measured: else a queue left at the end would be served without rivals.
const TAIL: u64 = 500_000;

/// Readings at these moments.
fn readings(moments: &[u64]) -> Vec<(u64, Event)> {
    moments.iter().map(|at| (*at, Event::Read)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_complete_and_judges_an_empty_run() {
        for line in ["", "--quick"] {
            let words = line.split_whitespace().map(str::to_owned).collect();
            let options = Options::read(words).expect("it is valid");
            for letter in Letter::ALL {
                let cell = letter.cell(&options);
                assert!(!cell.scenarios.is_empty());
                for scenario in cell.scenarios {
                    let script = &scenario.script;
                    assert!(script.events.iter().map(|(at, _)| at).is_sorted());
                    assert!(script.events.iter().all(|(at, _)| *at <= script.length));
                    assert!(script.streams.iter().all(|stream| stream.rates[0].0 == 0));
                    let figures = (scenario.judge)(&Seen::default());
                    assert_eq!(figures.len(), cell.columns.len(), "{}", scenario.name);
                }
            }
        }
    }
}
