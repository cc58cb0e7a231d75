//! The mark beside a service: what its budget says by itself.
//!
//! This is not the governor's condition, which also weighs evidence and what already acts. It says no more
//! than the figures beside it: whether budget is left, and whether it is being spent too fast.

use super::{ObjectiveView, ServiceView};

/// What the budget of a service says, the most pressing last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// There is budget left, and it lasts.
    Healthy,
    /// No objective, or no traffic in the last five minutes: nothing can be said.
    Unknown,
    /// Over the last hour and the last five minutes, more was spent than granted.
    Burning,
    /// Nothing is left.
    Exhausted,
}

impl Mark {
    /// The word in pages and on the screen.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Unknown => "unknown",
            Self::Burning => "burning",
            Self::Exhausted => "exhausted",
        }
    }

    fn of(objective: &ObjectiveView) -> Self {
        match objective.budget_left {
            Some(left) if left <= 0.0 => return Self::Exhausted,
            Some(_) => (),
            None => return Self::Unknown,
        }
        match (objective.burn_over("5m"), objective.burn_over("1h")) {
            (Some(short), Some(long)) if short > 1.0 && long > 1.0 => Self::Burning,
            (Some(_), Some(_)) => Self::Healthy,
            _ => Self::Unknown,
        }
    }
}

impl ServiceView {
    /// What its objectives say: the most pressing of them.
    pub fn mark(&self) -> Mark {
        self.objectives
            .iter()
            .map(Mark::of)
            .max()
            .unwrap_or(Mark::Unknown)
    }

    /// The objective that a row shows: the one with the least budget left, an unknown one last.
    pub fn tightest(&self) -> Option<&ObjectiveView> {
        let left = |objective: &&ObjectiveView| objective.budget_left.unwrap_or(f64::INFINITY);
        self.objectives
            .iter()
            .min_by(|a, b| left(a).total_cmp(&left(b)))
    }

    /// The threshold of its first latency objective.
    pub fn latency_objective_seconds(&self) -> Option<f64> {
        self.objectives
            .iter()
            .find_map(|objective| objective.below_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::objective::Forecast;
    use crate::snapshot::BurnView;

    #[track_caller]
    fn check(left: Option<f64>, short: Option<f64>, long: Option<f64>, expected: Mark) {
        assert_eq!(Mark::of(&objective(left, short, long)), expected);
    }

    #[test]
    fn a_mark_says_what_the_figures_say() {
        check(None, None, None, Mark::Unknown);
        check(Some(0.5), None, Some(0.1), Mark::Unknown);
        check(Some(0.5), Some(0.1), Some(0.1), Mark::Healthy);
        check(Some(0.5), Some(2.0), Some(0.9), Mark::Healthy);
        check(Some(0.5), Some(2.0), Some(1.1), Mark::Burning);
        check(Some(0.0), None, None, Mark::Exhausted);
        check(Some(-2.0), Some(0.0), Some(0.0), Mark::Exhausted);
    }

    fn objective(left: Option<f64>, short: Option<f64>, long: Option<f64>) -> ObjectiveView {
        let burn = |window: &str, rate| BurnView {
            window: window.to_owned(),
            rate,
            observed_seconds: 60.0,
        };
        ObjectiveView {
            name: "availability".to_owned(),
            kind: "availability".to_owned(),
            below_seconds: None,
            target: 0.999,
            period_seconds: 3_600.0,
            calendar: None,
            observed_seconds: 60.0,
            version: 1,
            good: 0,
            bad: 0,
            budget_left: left,
            bad_left: 0,
            forecast: Forecast::Unknown,
            burn: vec![burn("5m", short), burn("1h", long)],
        }
    }
}
