//! `plimsoll simulate`: a scenario with Plimsoll's policies and without any, or with two configurations, side by side.
//!
//! Here are files, threads and progress; what happens is decided by `plimsoll-simulator`, with the parameters that
//! the data plane would be given.

mod access_log;
mod difference;
mod files;
mod fitted;
mod fluid;
mod governed;
mod page;
mod predict;
mod progress;
mod replay;
mod report;
mod runs;
mod search;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use plimsoll_config::scenario::{self, Run, Scenario, ScenarioService};
use plimsoll_config::{
    Balance, Config, DeadlineOverride, Diagnostic, Objective, ObjectiveKind, Service, render,
};
use plimsoll_core::{Mode, Ratio};
use plimsoll_gateway::{call_bounds, enforces, guard_parameters};
use plimsoll_measure::Period;
use plimsoll_policy::{Method, Ring};
use plimsoll_simulator::Governed;
use plimsoll_simulator::fleet::Protection;

use crate::cli::print;
use crate::configuration::{self, Loaded};
use crate::exit::{Exit, say};
use crate::wiring::endpoint_parameters;
use access_log::AccessLogError;
pub(crate) use access_log::parse_time;
use files::{are_apart, may_write};
use page::Page;
pub(crate) use predict::predict;
use replay::Replay;
use report::Report;
use runs::{Seeds, run_seeds};

/// How many runs of an arm are in the plots of a page, at most: each second of each takes some 10 KiB.
const DRAWN_MAX: u64 = 10;
/// Period of the objective where there is no configuration. Nothing in a run is as long.
const PERIOD: Duration = Duration::from_secs(28 * 86_400);

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll simulate scenarios/flash-sale.toml
  plimsoll simulate scenarios/retry-storm.toml --config plimsoll.toml --seeds 5
  plimsoll simulate scenarios/retry-storm.toml --config now.toml --config next.toml --seeds 10
  plimsoll simulate scenarios/flash-sale.toml --html report.html
  plimsoll simulate scenarios/noisy-neighbour.toml --json
  plimsoll simulate --from access.log --out yesterday.toml
  plimsoll simulate scenarios/month.toml --fluid
  plimsoll simulate --search --runs 1000

The same scenario, configuration and seeds give the same output, to the byte.
Exit codes: 0 it ran, 1 errors in the scenario, the configuration or the log, or a search has found something, 2 a wrong
option, or a file that can't be read or written.")]
pub(crate) struct Simulate {
    /// The scenario.
    #[arg(required_unless_present_any = ["from", "search"])]
    scenario: Option<PathBuf>,
    /// Makes a scenario that is like this access log of Plimsoll, and says how much it is.
    #[arg(long, value_name = "LOG", conflicts_with_all = ["scenario", "seeds", "json", "html"])]
    from: Option<PathBuf>,
    /// In place of a scenario: runs many, drawn at random, and looks whether what must always hold does.
    #[arg(long, conflicts_with_all = ["scenario", "config", "seeds", "from", "fluid", "html"])]
    search: bool,
    /// How many scenarios are searched.
    #[arg(long, value_name = "N", default_value_t = 100, requires = "search", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    runs: u64,
    /// The seed of the first run, or of the first scenario that is searched; the others have those after it.
    #[arg(long, value_name = "SEED", default_value_t = 1, conflicts_with_all = ["from", "fluid"])]
    seed: u64,
    /// Where the scenario goes that was made of a log (by default standard output), or the smallest that a search has
    /// found.
    #[arg(long, value_name = "FILE", conflicts_with = "scenario")]
    out: Option<PathBuf>,
    /// The configuration to try. It has each service of the scenario, by its name. By default Plimsoll's defaults,
    /// with the scenario's objectives. Given twice, the two are compared: A, then B.
    #[arg(long, short, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// How many runs, each with other random numbers; their counts are added up.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    seeds: u64,
    /// Computes what is expected of each second, in place of single requests: for days and months. Also says what is
    /// left of budgets, and when somebody is called.
    #[arg(long, conflicts_with_all = ["from", "seeds", "html"])]
    fluid: bool,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
    /// Writes a page with plots to this file: nothing else is needed to look at it.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What a scenario is run with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Arm {
    /// As configured.
    Plimsoll,
    /// As the first of two files says.
    A,
    /// As the second says.
    B,
    /// With `mode = "off"`, each endpoint in its turn.
    Off,
}

impl Arm {
    /// With one configuration.
    const USUAL: [Self; 2] = [Self::Plimsoll, Self::Off];
    /// With two.
    const COMPARED: [Self; 3] = [Self::A, Self::B, Self::Off];

    fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::A => "A",
            Self::B => "B",
            Self::Off => "off",
        }
    }
}

/// A scenario file.
#[derive(Debug)]
struct Given {
    scenario: Scenario,
    text: String,
    replays: Vec<Replay>,
    /// What a run may need, in bytes.
    memory: f64,
}

/// An arm, and what the services are protected by in it.
#[derive(Debug)]
struct Setting {
    arm: Arm,
    /// A file's path and hash, for the arm that is set by it.
    file: Option<(String, String)>,
    protections: Vec<Protection>,
    /// Of each service: the share of answers that must be in time, and the period of the budget.
    objectives: Vec<(Ratio, Duration)>,
    /// What the governor is set to, if there is one.
    governed: Option<Governed>,
}

/// Runs the command.
pub(crate) fn simulate(options: &Simulate) -> Exit {
    if options.search {
        return search::search(
            options.seed,
            options.runs,
            options.json,
            options.out.as_deref(),
        );
    }
    if let (Some(_), [_, _, ..]) = (&options.from, options.config.as_slice()) {
        say("error: `--from` takes one `--config`, which the new scenario is run with");
        return Exit::Failed;
    }
    let outputs: Vec<&Path> = [&options.out, &options.html]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let inputs = [&options.scenario, &options.from]
        .into_iter()
        .flatten()
        .chain(&options.config);
    let inputs: Vec<&Path> = inputs.map(PathBuf::as_path).collect();
    if let Err(error) = are_apart(&outputs, &inputs) {
        say(&format!("error: {error}"));
        return Exit::Failed;
    }
    let mut loaded = Vec::new();
    for path in &options.config {
        match configuration::from_file(path) {
            Ok(config) => {
                config.warn();
                loaded.push(config);
            }
            Err(error) => {
                say(error.to_string().trim_end());
                return error.exit();
            }
        }
    }
    if let Some(log) = &options.from {
        let config = loaded.first().map(|loaded| &loaded.config);
        return fitted::from_log(log, options.out.as_deref(), config);
    }
    let path = options.scenario.clone().unwrap_or_default();
    let run = if options.fluid {
        Run::Fluid
    } else {
        Run::ByRequest
    };
    let given = match read_scenario(&path, run) {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    let settings = match settings(&given.scenario, &loaded) {
        Ok(settings) => settings,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::Refused;
        }
    };
    if options.fluid {
        return run_fluid(options, &path, &given.scenario, &settings);
    }
    if let Some(page) = &options.html {
        let logs: Vec<&Path> = given.replays.iter().map(|it| it.file.as_path()).collect();
        if let Err(error) = are_apart(&[page], &logs).and_then(|()| may_write(page)) {
            say(&format!("error: {error}"));
            return Exit::Failed;
        }
    }
    let seeds = Seeds {
        first: options.seed,
        count: options.seeds,
        drawn: if options.html.is_some() { DRAWN_MAX } else { 0 },
        memory: given.memory,
    };
    let runs = match run_seeds(&given.scenario, &given.replays, &settings, &seeds) {
        Ok(runs) => runs,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::Refused;
        }
    };
    let name = path.file_stem().unwrap_or_default();
    let report = Report {
        name: &name.to_string_lossy(),
        scenario: &given.scenario,
        seeds: options.seeds,
        first_seed: options.seed,
        arms: settings
            .iter()
            .map(|setting| setting.arm)
            .zip(runs)
            .collect(),
    };
    let mut exit = Exit::Done;
    if let Some(path) = &options.html {
        let page = Page {
            report: &report,
            settings: &settings,
            command: &command(options),
            scenario_text: &given.text,
        };
        match std::fs::write(path, page.html()) {
            Ok(()) => say(&format!("wrote {}", path.display())),
            Err(error) => {
                say(&format!("error: writing {}: {error}", path.display()));
                exit = Exit::Failed;
            }
        }
    }
    if options.json {
        print(&format!("{:#}\n", report.json(&settings)));
    } else {
        print(&report.table(&settings));
    }
    exit
}

/// The arms: Plimsoll as configured and off, or two configurations and the first of them off.
fn settings(scenario: &Scenario, loaded: &[Loaded]) -> Result<Vec<Setting>, String> {
    let arms = match loaded {
        [] | [_] => &Arm::USUAL[..],
        [_, _] => &Arm::COMPARED,
        more => {
            return Err(format!(
                "`--config` was given {} times; two configurations can be compared",
                more.len()
            ));
        }
    };
    let setting = |arm: &Arm| {
        let file = match arm {
            Arm::B => loaded.get(1),
            Arm::Plimsoll | Arm::A | Arm::Off => loaded.first(),
        };
        Ok(Setting {
            arm: *arm,
            file: file.map(|file| (file.path.clone().unwrap_or_default(), file.hash.clone())),
            protections: protections(scenario, file.map(|file| &file.config), *arm)?,
            governed: match (*arm, file) {
                (Arm::Off, _) => None,
                (_, Some(file)) => governed::governed(scenario, &file.config),
                (_, None) => governed::governed(scenario, &default_config(scenario)?),
            },
            objectives: objectives(scenario, file.map(|file| &file.config)),
        })
    };
    arms.iter().map(setting).collect()
}

/// The share of answers that each service promises to be in time, and over which period: its objective for latency, else
/// 99 % over four weeks.
fn objectives(scenario: &Scenario, config: Option<&Config>) -> Vec<(Ratio, Duration)> {
    let usual = (Ratio::of(99, 100).unwrap_or(Ratio::ONE), PERIOD);
    let of = |service: &ScenarioService| {
        let configured = config?.services.get(&service.name)?;
        let is_latency = |it: &&Objective| matches!(it.kind, ObjectiveKind::Latency { .. });
        let objective = configured.objectives.values().find(is_latency)?;
        Some((objective.target, objective.period.longest()))
    };
    let services = scenario.services.iter();
    services
        .map(|service| of(service).unwrap_or(usual))
        .collect()
}

/// Runs the scenario without single requests.
fn run_fluid(options: &Simulate, path: &Path, scenario: &Scenario, settings: &[Setting]) -> Exit {
    if settings.iter().any(|it| it.arm == Arm::B) {
        say(
            "error: of a configuration the fluid run knows only whether a service has a limiter, its retries, its objectives and \
             the governor: compare two without `--fluid`",
        );
        return Exit::Refused;
    }
    let runs = match fluid::run(scenario, settings) {
        Ok(runs) => runs,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::Refused;
        }
    };
    let name = path.file_stem().unwrap_or_default();
    let ledgers = runs.iter().map(|run| vec![run.ledger.clone()]);
    let report = Report {
        name: &name.to_string_lossy(),
        scenario,
        seeds: 1,
        first_seed: 1,
        arms: settings.iter().map(|it| it.arm).zip(ledgers).collect(),
    };
    if options.json {
        let mut value = report.json(settings);
        if let Some(object) = value.as_object_mut() {
            object.insert("budgets".to_owned(), fluid::json(scenario, &runs));
        }
        print(&format!("{value:#}\n"));
    } else {
        print(&report.table(settings));
        print(&fluid::budgets(scenario, &runs));
    }
    Exit::Done
}

/// What gives the same again.
fn command(options: &Simulate) -> String {
    let quoted = |path: &Path| {
        let path = path.display().to_string();
        let is_plain = |it: char| it.is_ascii_alphanumeric() || "/._-+:@%=,".contains(it);
        if !path.is_empty() && path.chars().all(is_plain) {
            path
        } else {
            format!("'{}'", path.replace('\'', "'\\''"))
        }
    };
    let mut command = String::from("plimsoll simulate");
    if let Some(scenario) = &options.scenario {
        command.push_str(&format!(" {}", quoted(scenario)));
    }
    for config in &options.config {
        command.push_str(&format!(" --config {}", quoted(config)));
    }
    command.push_str(&format!(" --seeds {}", options.seeds));
    if options.seed != 1 {
        command.push_str(&format!(" --seed {}", options.seed));
    }
    command
}

fn read_scenario(path: &Path, run: Run) -> Result<Given, Exit> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| {
        say(&format!("error: reading {file}: {error}"));
        Exit::Failed
    })?;
    let refused = |diagnostics: &[Diagnostic]| {
        let color = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        say(render(diagnostics, &text, &file, color).trim_end());
    };
    let (scenario, memory) = scenario::parse_sized(&text, run).map_err(|diagnostics| {
        refused(&diagnostics);
        Exit::Refused
    })?;
    let logs = replay::read(path, &text, &scenario, memory);
    let (replays, memory) = logs.map_err(|(diagnostic, exit)| {
        refused(&[*diagnostic]);
        exit
    })?;
    Ok(Given {
        scenario,
        text,
        replays,
        memory,
    })
}

/// With what a log that is of no use ends the command.
fn exit_of(error: &AccessLogError) -> Exit {
    match error {
        AccessLogError::Read { .. } => Exit::Failed,
        _ => Exit::Refused,
    }
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
        let mut protection = protection(&config, service, simulated);
        if arm == Arm::Off {
            // As a plain proxy does, which knows nothing of its endpoints.
            protection.method = Method::RoundRobin;
        }
        Ok(protection)
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
            period: Period::Rolling(PERIOD),
            routes: Vec::new(),
            classes: Vec::new(),
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
        connect: service.protect.connect_time_max,
    }
}

#[cfg(test)]
use {plimsoll_simulator::fleet::Ledger, runs::run_all};

#[cfg(test)]
mod calibration;
#[cfg(test)]
mod tests;
