//! A scenario of the simulator: workloads, services and faults, read from one TOML file.
//!
//! [`parse`] is the way in. It reads as the configuration is read (`read`, `defaults`), from a
//! description of keys of its own (`keys`), so that its mistakes are shown in the same way.
//! [`write()`] is the way out, for what was made by a program.
//! Elsewhere: what is done with a scenario (`plimsoll-simulator`).

mod assemble;
pub(crate) mod keys;
mod model;
mod rules;
mod write;

pub use model::{
    Burst, Cache, Call, ClassShares, ClientRetry, Fault, FaultKind, FlashCrowd, Memory, Phase,
    PhaseRate, Population, Replay, Scenario, ScenarioService, Sender, Shape, Source, Start,
    TimeSpread, Wave, Work, Workload,
};
pub use write::write;

use plimsoll_core::never;

use crate::defaults;
use crate::diagnostic::{Diagnostic, Severity};
use crate::parse::{in_order, values};
use crate::read::Place;

/// How a scenario is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// Each request by itself: there may not be too many.
    ByRequest,
    /// As flows: only time is bounded.
    Fluid,
}

/// Reads and checks a scenario that is to be run by request. All errors of the file come at once, in the order of their
/// places.
pub fn parse(source: &str) -> Result<Scenario, Vec<Diagnostic>> {
    parse_for(source, Run::ByRequest)
}

/// The same for any kind of run.
pub fn parse_for(source: &str, run: Run) -> Result<Scenario, Vec<Diagnostic>> {
    parse_sized(source, run).map(|(scenario, _)| scenario)
}

/// The same, with how much memory a run of it may need, in bytes.
pub fn parse_sized(source: &str, run: Run) -> Result<(Scenario, f64), Vec<Diagnostic>> {
    let (mut file, mut diagnostics, is_toml) = values(source, "", &keys::SCENARIO);
    let mut memory = 0.0;
    if is_toml {
        let place = Place::default();
        defaults::complete(
            &mut file,
            &keys::SCENARIO,
            &(0..0),
            &place,
            &mut diagnostics,
        );
        memory = rules::check(&file, run, &mut diagnostics);
    }
    in_order(&mut diagnostics);
    let has_errors = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    match assemble::scenario(&file) {
        Some(scenario) if !has_errors => Ok((scenario, memory)),
        assembled => {
            // What could not be assembled must have been reported; otherwise the mistake is ours.
            if never!(assembled.is_none() && !has_errors) {
                diagnostics.push(crate::parse::internal_error());
            }
            Err(diagnostics)
        }
    }
}

/// What is wrong with the log that a workload of a scenario replays, at the place that names it.
pub fn replay_error(source: &str, workload: &str, message: &str, help: &str) -> Diagnostic {
    let (file, ..) = values(source, "", &keys::SCENARIO);
    let workload = file.table("workload").and_then(|it| it.table(workload));
    let span = workload.and_then(|it| Some(it.node("replay")?.span.clone()));
    let error = Diagnostic::error("bad-replay", span.clone().unwrap_or(0..0), message);
    let error = error.label("this log").help(help);
    match span {
        Some(_) => error,
        None => error.without_place(),
    }
}

/// Whether services and workloads can be called so.
pub fn is_name(name: &str) -> bool {
    crate::read::is_identifier(name)
}

/// The most memory that a run may need, in bytes, and all that go on at once together.
pub const MEMORY_MAX: f64 = rules::memory::MEMORY_MAX;
