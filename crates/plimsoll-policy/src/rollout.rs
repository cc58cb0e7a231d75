//! Rollouts of a new version, or of a flag's variant: how much traffic it gets, judged by what it does.
//!
//! [`Rollout`] is told at each tick what both arms have counted, and says how much traffic the new one (the *canary*) gets: steps
//! that are granted by the worst plausible damage, a pause at the first strike, a rollback at the second, holds that end with a
//! question to a person. Every look is allowed at every moment: the evidence is worth the same however often one looks.
//! Units: weights are parts of 10,000; evidence is the capital of who bets against the canary with 1; prices are shares of a
//! period's error budget.
//! Elsewhere: which request goes to which arm (`split`), and counting (`plimsoll-gateway`); who ticks it, and the journal (the binary).

mod counts;
mod course;
mod event;
mod evidence;
mod latency;
mod machine;
mod parameters;
mod price;
pub mod split;
#[cfg(test)]
mod tests;
mod verdict;
mod view;

pub use counts::{ArmCounts, Arms, Observed, Pair, ROUTES_MAX, RUNGS, Trials, Weight};
pub use course::{POINTS_MAX, Point};
pub use event::{Command, Event, Figures, Hold, Outcome, Person, Phase, Reason, Refused, What};
pub use evidence::{Bets, RatioInterval, Ratios};
pub use latency::{Ladder, Mixture, band_radius};
pub use machine::{NextStep, Rollout, TICK_MAX};
pub use parameters::{Batching, Judging, Kind, NotARollout, Parameters, STEPS_MAX, Step};
pub use price::{Price, Question, lower, upper};
pub use verdict::Scores;
pub use view::View;
