//! `plimsoll simulate`: a scenario with Plimsoll's policies and without any, side by side.
//!
//! Here are files, threads and progress; what happens is decided by `plimsoll-simulator`, with the parameters that
//! the data plane would be given.

mod report;

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use plimsoll_config::scenario::{self, Scenario, ScenarioService};
use plimsoll_config::{
    Balance, Config, DeadlineOverride, Objective, ObjectiveKind, Service, render,
};
use plimsoll_core::{Mode, Ratio};
use plimsoll_gateway::{call_bounds, enforces, guard_parameters};
use plimsoll_policy::{Method, Ring};
use plimsoll_simulator::fleet::{Ledger, Protection, Simulation};

use crate::cli::print;
use crate::configuration;
use crate::exit::{Exit, say};
use crate::wiring::endpoint_parameters;
use report::Report;

/// How much of virtual time passes between two looks at the progress.
const STEP: Duration = Duration::from_millis(500);
/// Period of the objective where there is no configuration. Nothing in a run is as long.
const PERIOD: Duration = Duration::from_secs(28 * 86_400);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll simulate scenarios/flash-sale.toml
  plimsoll simulate scenarios/retry-storm.toml --config plimsoll.toml --seeds 5
  plimsoll simulate scenarios/noisy-neighbour.toml --json

The same scenario, configuration and seeds give the same output, to the byte.
Exit codes: 0 it ran, 1 errors in the scenario or the configuration, 2 a file can't be read.")]
pub(crate) struct Simulate {
    /// The scenario.
    scenario: PathBuf,
    /// The configuration to try. It has each service of the scenario, by its name. By default Plimsoll's defaults,
    /// with the scenario's objectives.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many runs, each with other random numbers; their counts are added up.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

/// What a scenario is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    /// As configured.
    Plimsoll,
    /// With `mode = "off"`.
    Off,
}

impl Arm {
    const ALL: [Self; 2] = [Self::Plimsoll, Self::Off];

    fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::Off => "off",
        }
    }
}

/// Runs the command.
pub(crate) fn simulate(options: &Simulate) -> Exit {
    let scenario = match read_scenario(&options.scenario) {
        Ok(scenario) => scenario,
        Err(exit) => return exit,
    };
    let config = match options.config.as_deref().map(configuration::from_file) {
        None => None,
        Some(Ok(loaded)) => {
            loaded.warn();
            Some(loaded.config)
        }
        Some(Err(error)) => {
            say(error.to_string().trim_end());
            return error.exit();
        }
    };
    let arms = Arm::ALL.map(|arm| protections(&scenario, config.as_ref(), arm));
    let mut known = Vec::new();
    for arm in arms {
        match arm {
            Ok(protections) => known.push(protections),
            Err(error) => {
                say(&format!("error: {error}"));
                return Exit::Refused;
            }
        }
    }
    let runs = run_all(&scenario, &known, options.seeds);
    let name = options.scenario.file_stem().unwrap_or_default();
    let report = Report {
        name: &name.to_string_lossy(),
        scenario: &scenario,
        seeds: options.seeds,
        arms: runs,
    };
    if options.json {
        print(&format!("{:#}\n", report.json()));
    } else {
        print(&report.table());
    }
    Exit::Done
}

fn read_scenario(path: &Path) -> Result<Scenario, Exit> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        say(&format!("error: reading {file}: {error}"));
        Exit::Failed
    })?;
    scenario::parse(&text).map_err(|diagnostics| {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        say(render(&diagnostics, &text, &file, color).trim_end());
        Exit::Refused
    })
}

/// What Plimsoll is set to for each service of the scenario.
fn protections(
    scenario: &Scenario,
    config: Option<&Config>,
    arm: Arm,
) -> Result<Vec<Protection>, String> {
    let mut config = match config {
        Some(config) => config.clone(),
        None => default_config(scenario)?,
    };
    if arm == Arm::Off {
        config.gateway.mode = Mode::Off;
    }
    let of = |simulated: &ScenarioService| {
        let name = &simulated.name;
        let service = config.services.get(name).ok_or_else(|| {
            let there: Vec<String> = config.services.keys().map(|it| format!("`{it}`")).collect();
            format!(
                "the configuration has no service `{name}`, which the scenario is about; it has {}",
                there.join(", ")
            )
        })?;
        Ok(protection(&config, service, simulated))
    };
    scenario.services.iter().map(of).collect()
}

/// Plimsoll's defaults, with a service for each of the scenario, and its objective.
fn default_config(scenario: &Scenario) -> Result<Config, String> {
    let nowhere = "http://127.0.0.1:1";
    let mut config = Config::for_target(nowhere, None, None, None).map_err(|it| it.to_string())?;
    let Some((_, usual)) = config.services.pop_first() else {
        return Err("the defaults have no service".into());
    };
    for service in &scenario.services {
        let objective = Objective {
            kind: ObjectiveKind::Latency {
                below: service.objective,
            },
            target: Ratio::of(99, 100).unwrap_or(Ratio::ONE),
            period: PERIOD,
        };
        let mut usual = usual.clone();
        usual.objectives.insert("latency".into(), objective);
        config.services.insert(service.name.clone(), usual);
    }
    Ok(config)
}

fn protection(config: &Config, service: &Service, simulated: &ScenarioService) -> Protection {
    let names: Vec<String> = (1..=simulated.endpoints)
        .map(|index| format!("{}-{index}", simulated.name))
        .collect();
    Protection {
        guard: Arc::new(guard_parameters(config, &simulated.name, service)),
        endpoint: endpoint_parameters(config, service),
        method: match service.balance {
            Balance::LeastLoaded => Method::LeastLoaded,
            Balance::RoundRobin => Method::RoundRobin,
            Balance::ConsistentHash(_) => {
                Method::ConsistentHash(Arc::new(Ring::new(names.iter().map(String::as_str))))
            }
        },
        heeds_health: enforces(config, service),
        bounds: call_bounds(service, &DeadlineOverride::default()),
    }
}

/// Runs each arm with each seed, as many at once as the machine has cores. What comes of it depends on neither.
fn run_all(scenario: &Scenario, arms: &[Vec<Protection>], seeds: u64) -> Vec<Vec<Ledger>> {
    let jobs: Vec<(usize, u64)> = (1..=seeds)
        .flat_map(|seed| (0..arms.len()).map(move |arm| (arm, seed)))
        .collect();
    let done: Vec<Mutex<Option<Ledger>>> = jobs.iter().map(|_| Mutex::default()).collect();
    let (next, elapsed) = (AtomicUsize::new(0), AtomicU64::new(0));
    let progress = Progress {
        shown: std::io::stderr().is_terminal(),
        steps: jobs.len() as u64 * (scenario.lasts().as_millis() / STEP.as_millis()) as u64,
        elapsed: &elapsed,
    };
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((&(arm, seed), result)) = jobs.get(index).zip(done.get(index)) else {
                return;
            };
            let protections = arms.get(arm).map(Vec::as_slice).unwrap_or_default();
            let mut simulation = Simulation::new(scenario, protections, seed);
            while simulation.advance(STEP) {
                progress.step();
            }
            let ledger = simulation.finish();
            *result.lock().unwrap_or_else(PoisonError::into_inner) = Some(ledger);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(work);
        }
    });
    progress.end();
    let mut by_arm: Vec<Vec<Ledger>> = arms.iter().map(|_| Vec::new()).collect();
    for (&(arm, _), result) in jobs.iter().zip(done) {
        let ledger = result.into_inner().unwrap_or_else(PoisonError::into_inner);
        if let (Some(ledgers), Some(ledger)) = (by_arm.get_mut(arm), ledger) {
            ledgers.push(ledger);
        }
    }
    by_arm
}

/// How far all runs are, on a terminal only.
struct Progress<'a> {
    shown: bool,
    steps: u64,
    elapsed: &'a AtomicU64,
}

impl Progress<'_> {
    fn step(&self) {
        let done = self.elapsed.fetch_add(1, Ordering::Relaxed) + 1;
        let percent = |done: u64| (100 * done / self.steps.max(1)).min(99);
        if self.shown && percent(done) != percent(done - 1) {
            let _nobody_looks = write!(std::io::stderr(), "\rsimulating: {} %", percent(done));
        }
    }

    fn end(&self) {
        if self.shown {
            let _nobody_looks = write!(std::io::stderr(), "\r                  \r");
        }
    }
}

#[cfg(test)]
mod tests;
