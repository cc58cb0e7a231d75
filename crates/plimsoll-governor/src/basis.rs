//! What the decisions of one tick about one service were made of: enough to make them again.

use plimsoll_core::Instant;
use serde::{Deserialize, Serialize};

use crate::decision::Decision;
use crate::governor::{Rule, ServiceParameters};
use crate::service::ServiceState;
use crate::signals::ServiceSignals;

/// Decisions about one service, of one tick.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decided {
    /// At least one.
    pub decisions: Vec<Decision>,
    /// What they were made of.
    pub basis: Basis,
}

/// What decisions were made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// The tick, in nanoseconds of the governor's clock: since the epoch.
    pub now_nanos: u64,
    /// The service.
    pub service: String,
    /// What was known of it beforehand.
    pub parameters: ServiceParameters,
    /// What may be moved.
    pub rules: Vec<Rule>,
    /// Its state before.
    pub state: ServiceState,
    /// What the second brought; `None`: nothing was measured.
    pub signals: Option<ServiceSignals>,
    /// The service that it burns because of.
    pub because_of: Option<String>,
}

impl Basis {
    /// Makes the decisions again: the same ones, by the version that made them.
    pub fn decide(&self) -> Vec<Decision> {
        let mut state = self.state.clone();
        let second = Instant::from_nanos(self.now_nanos).as_nanos() / 1_000_000_000;
        let mut decisions = Vec::new();
        let mut decide = |what, evidence| {
            decisions.push(Decision {
                service: self.service.clone(),
                mode: self.parameters.mode,
                what,
                evidence,
            });
        };
        if let Some(signals) = &self.signals {
            state.on_signals(second, &self.parameters, signals, &mut decide);
        }
        let because_of = self.because_of.as_deref();
        state.act(
            second,
            &self.parameters,
            &self.rules,
            because_of,
            &mut decide,
        );
        decisions
    }
}
