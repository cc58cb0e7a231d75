//! Journeys over several services.

use serde::{Deserialize, Serialize};

use super::BurnView;

/// What users set out to do: it succeeds where each of its steps does. Shares are the product of those of its services,
/// which takes steps to fail apart from each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JourneyView {
    /// Its name.
    pub name: String,
    /// Who is asked about it.
    pub owner: Option<String>,
    /// The objective of its services by which it is judged.
    pub objective: String,
    /// The share that must succeed.
    pub target: f64,
    /// What the budget is for, in a word: `28d`, or `month`.
    pub period: String,
    /// The share of the period that succeeded; `null` while a step had no traffic.
    pub good_share: Option<f64>,
    /// The share of the period's budget that is left, as for an objective.
    pub budget_left: Option<f64>,
    /// Burn rates, over the shortest window first.
    pub burn: Vec<BurnView>,
    /// In the order of the configuration.
    pub steps: Vec<StepView>,
}

/// A service that a journey needs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Its name.
    pub service: String,
    /// The share that failed of it over the period; `null` without traffic.
    pub bad_share: Option<f64>,
    /// How much that is of what failed at all steps; `null` where nothing did.
    pub of_bad: Option<f64>,
}

impl JourneyView {
    /// The burn rate over a window, as `1h`; `None` where it is unknown.
    pub fn burn_over(&self, window: &str) -> Option<f64> {
        let burn = self.burn.iter().find(|burn| burn.window == window);
        burn.and_then(|burn| burn.rate)
    }

    /// The step at which most is lost.
    pub fn worst(&self) -> Option<&StepView> {
        let lost = |step: &&StepView| step.of_bad.unwrap_or_default();
        let steps = self.steps.iter().filter(|step| step.of_bad.is_some());
        steps.max_by(|a, b| lost(a).total_cmp(&lost(b)))
    }
}
