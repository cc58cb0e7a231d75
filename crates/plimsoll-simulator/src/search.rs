//! A search for bad days: scenarios at random within declared ranges, run through the fleet, and judged by what must
//! always hold.
//!
//! A case is its seed: it says what the scenario is and what is random in its run. What fails is made smaller
//! ([`shrink()`]) and shown as the scenario file that it would be. Elsewhere: files, threads, progress.

mod generate;
mod judge;
mod possible;
mod ranges;
mod segments;
mod shrink;
mod vary;

pub use generate::generate;
pub(crate) use generate::{Draw, millis, percent, seconds};
pub use judge::{Invariant, Violation, judge};
pub use ranges::{Range, Ranges};
pub use shrink::shrink;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Scenario, ScenarioService};
use plimsoll_lifecycle::{Bounds, GuardParameters};
use plimsoll_policy::retry::RetryOn;
use plimsoll_policy::{EndpointParameters, Method};

use crate::fleet::{Ledger, Protection, Simulation};

/// The most runs that are spent on making one scenario smaller.
pub const SHRINK_RUNS_MAX: usize = 300;
/// Tries of a request where failed ones are tried again.
const ATTEMPTS: u32 = 3;

/// What Plimsoll is set to, beside its defaults and the services' objectives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// A request that was answered with 500, or whose connection broke, is tried again.
    pub retries: bool,
}

impl Setting {
    /// What it is for each service of a scenario.
    pub fn protections(self, scenario: &Scenario) -> Vec<Protection> {
        let services = scenario.services.iter();
        services.map(|service| self.protection(service)).collect()
    }

    /// The retries as a configuration says them: what `protect.retry` is. A simulated endpoint answers what fails with 500,
    /// for which 502 stands here: a configuration cannot say 500.
    pub const fn retry(self) -> &'static str {
        match self.retries {
            true => r#"{ attempts = 3, on = ["connect", "reset", "502"] }"#,
            false => "{}",
        }
    }

    fn protection(self, service: &ScenarioService) -> Protection {
        let mut guard = GuardParameters::default();
        guard.admission.objective = Some(service.objective);
        if self.retries {
            let on = [RetryOn::Connect, RetryOn::Reset, RetryOn::Status(500)];
            guard.retried = on.into_iter().collect();
            guard.retry.attempts_max = ATTEMPTS;
        }
        Protection {
            endpoint: EndpointParameters::default(),
            method: Method::LeastLoaded,
            heeds_health: true,
            bounds: Bounds {
                head: guard.admission.deadline,
                idle: Duration::from_secs(60),
                total: None,
                attempts_max: guard.retry.attempts_max,
            },
            connect: Duration::from_secs(1),
            guard: Arc::new(guard),
        }
    }
}

/// Runs a scenario with a seed and says what did not hold.
pub type Check = dyn Fn(&Scenario, Setting, u64) -> Vec<Violation>;

/// What a case came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Its seed.
    pub seed: u64,
    /// The scenario.
    pub scenario: Scenario,
    /// What Plimsoll was set to.
    pub setting: Setting,
    /// What did not hold; empty if all did.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Draws a case, runs it and judges it.
    pub fn of(seed: u64) -> Self {
        Self::by(seed, &check)
    }

    /// The same with what stands around [`check`].
    pub fn by(seed: u64, check: &Check) -> Self {
        let (scenario, setting) = generate(seed, &Ranges::DECLARED);
        let violations = check(&scenario, setting, seed);
        Self {
            seed,
            scenario,
            setting,
            violations,
        }
    }

    /// The smallest scenario that could be found of which the same does not hold, by at least half as much: else it
    /// would end at whatever is just beyond the bound, which may be something else.
    #[must_use]
    pub fn shrunk(self) -> Self {
        self.shrunk_by(&check)
    }

    /// The same with what stands around [`check`].
    #[must_use]
    pub fn shrunk_by(self, check: &Check) -> Self {
        let Self {
            seed,
            scenario,
            setting,
            violations,
        } = self;
        let Some(first) = violations.first() else {
            return Self::by(seed, check);
        };
        let fails = |scenario: &Scenario| {
            let violations = check(scenario, setting, seed);
            let mut same = violations
                .iter()
                .filter(|it| it.invariant == first.invariant);
            same.any(|it| it.beyond() >= first.beyond() / 2.0)
        };
        let scenario = shrink(scenario, SHRINK_RUNS_MAX, fails);
        Self {
            violations: check(&scenario, setting, seed),
            seed,
            scenario,
            setting,
        }
    }
}

/// Runs a scenario and says what did not hold.
pub fn check(scenario: &Scenario, setting: Setting, seed: u64) -> Vec<Violation> {
    // A policy that breaks its own promises is stopped by an assertion of the simulation.
    let run = catch_unwind(AssertUnwindSafe(|| run(scenario, setting, seed)));
    match run {
        Ok(ledger) => judge(scenario, setting, &ledger),
        Err(panic) => vec![Violation::of_panic(panic.as_ref())],
    }
}

/// Runs a scenario, and keeps what happens in each second.
pub fn run(scenario: &Scenario, setting: Setting, seed: u64) -> Ledger {
    let mut simulation = Simulation::new(scenario, &setting.protections(scenario), seed);
    simulation.record();
    while simulation.advance(Duration::from_secs(60)) {}
    simulation.finish()
}
