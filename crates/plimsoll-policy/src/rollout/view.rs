//! What pages and answers show of a rollout.

use std::time::Duration;

use serde::Serialize;

use crate::rollout::counts::Weight;
use crate::rollout::course::Point;
use crate::rollout::event::{Figures, Hold, Outcome, Person, Phase, Reason};
use crate::rollout::evidence::RatioInterval;
use crate::rollout::machine::{NextStep, Rollout};
use crate::rollout::parameters::{Kind, Step};
use crate::rollout::price::Price;

/// The ratio is shown with a confidence of 95 %.
const RATIO_ALPHA: f64 = 0.05;

/// See the module's docs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct View {
    /// What both versions get.
    pub kind: Kind,
    /// Where it is.
    pub phase: Phase,
    /// How much traffic the new version gets.
    pub weight: Weight,
    /// The step it is at, from 0.
    pub step: Option<usize>,
    /// All steps.
    pub steps: Vec<Step>,
    /// What comes next.
    pub next: Option<NextStep>,
    /// Why a step that is due is not taken.
    pub hold: Option<Hold>,
    /// A person is waited for.
    pub asks: bool,
    /// Who stopped it where it is.
    pub paused: Option<Person>,
    /// Whether there was a strike.
    pub struck: bool,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Why it ended.
    pub reason: Option<Reason>,
    /// How long it was at it.
    pub elapsed: Duration,
    /// All that is known.
    pub figures: Figures,
    /// The evidence that is a strike.
    pub strike_at: f64,
    /// The evidence in latencies that asks a person.
    pub ask_at: f64,
    /// How many times as often as stable's the canary's answers are bad, with a confidence of 95 %.
    pub ratio: RatioInterval,
    /// What it may cost; beside it, `figures.spent` is what it has cost.
    pub price: Price,
    /// Whether the next step would be granted by what is known; `None` where nothing needs to be.
    pub granted: Option<bool>,
    /// About how many more clean requests of the canary would grant it; `None` too where no number would.
    pub clean_requests_more: Option<u64>,
    /// Evidence over time.
    pub course: Vec<Point>,
}

impl Rollout {
    /// What pages and answers show. Takes about a millisecond.
    pub fn view(&self) -> View {
        let (hold, asks) = self.hold().unzip();
        let (outcome, reason) = self.outcome().unzip();
        let question = self.question();
        let judging = &self.parameters.judging;
        View {
            kind: self.parameters.kind,
            phase: self.phase(),
            weight: self.weight(),
            step: self.step(),
            steps: self.parameters.steps.clone(),
            next: self.next_step(),
            hold,
            asks: asks.unwrap_or(false),
            paused: self.paused.clone(),
            struck: self.struck,
            outcome,
            reason,
            elapsed: self.elapsed(),
            figures: self.figures(),
            strike_at: judging.strike_at(),
            ask_at: judging.ask_at(),
            ratio: self.judge.ratio(RATIO_ALPHA),
            price: self.parameters.price,
            granted: question.map(|it| it.is_granted()),
            clean_requests_more: question.and_then(|it| it.clean_requests_more()),
            course: self.course.points().to_vec(),
        }
    }
}
