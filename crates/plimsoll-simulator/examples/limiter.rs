//! Runs limiter and admission through the scenarios and prints what they made of it.
//!
//! ```text
//! cargo run -p plimsoll-simulator --example limiter -- [--scenario NAME]... [--threads N] [--seed N]... [--uneven]
//!     [--limiter adaptive|off|fixed:N] [--wait objective|auto|MILLISECONDS] [--leak N] [--long] [--trace] [--list]
//! ```
//!
//! Without `--scenario`: all but the long ones. `--trace` prints each second and each move of the limit.

use std::process::ExitCode;
use std::time::Duration;

use plimsoll_policy::{LimiterKind, QueueWait};
use plimsoll_simulator::suite::Report;
use plimsoll_simulator::{Policy, Record, Run, Scenario, Score, scenarios, simulate};

struct Options {
    scenarios: Vec<Scenario>,
    threads: usize,
    seeds: Vec<u64>,
    uneven: bool,
    policy: Policy,
    trace: bool,
}

fn main() -> ExitCode {
    let options = match read(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => return ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("{problem}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::default();
    for scenario in &options.scenarios {
        for &seed in &options.seeds {
            let run = Run {
                threads: options.threads,
                seed,
                uneven: options.uneven,
            };
            let record = simulate(scenario, &options.policy, run);
            if options.trace {
                trace(scenario, &record);
            }
            if plimsoll_simulator::oracle::known(scenario, 0).is_some() {
                report.scores.push(Score::new(scenario, run, &record));
            } else {
                plain(scenario, &record);
            }
        }
    }
    if report.scores.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("{}", report.table());
    let failures = report.failures();
    for failure in &failures {
        println!("missed: {failure}");
    }
    ExitCode::from(u8::from(!failures.is_empty()))
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Options>, String> {
    let mut options = Options {
        scenarios: Vec::new(),
        threads: 2,
        seeds: Vec::new(),
        uneven: false,
        policy: Policy::ADAPTIVE,
        trace: false,
    };
    let mut long = false;
    while let Some(argument) = arguments.next() {
        let mut value = || {
            let missing = || format!("{argument} needs a value");
            arguments.next().ok_or_else(missing)
        };
        match argument.as_str() {
            "--scenario" => {
                let name = value()?;
                let scenario = scenarios::named(&name);
                let unknown = || format!("no scenario {name}; `--list` shows them");
                options.scenarios.push(scenario.ok_or_else(unknown)?);
            }
            "--threads" => options.threads = number(&value()?)?,
            "--seed" => options.seeds.push(number(&value()?)?),
            "--limiter" => options.policy.limiter = limiter(&value()?)?,
            "--wait" => {
                options.policy.wait = match value()?.as_str() {
                    "objective" => QueueWait::Objective,
                    "auto" => QueueWait::Auto,
                    wait => QueueWait::Fixed(Duration::from_millis(number(wait)?)),
                }
            }
            "--leak" => options.policy.leaks = Some(number(&value()?)?),
            "--uneven" => options.uneven = true,
            "--long" => long = true,
            "--trace" => options.trace = true,
            "--list" => {
                for scenario in scenarios::all() {
                    println!("{:20} {} s", scenario.name, scenario.seconds());
                }
                return Ok(None);
            }
            other => return Err(format!("unknown argument {other}; see the example's head")),
        }
    }
    if options.scenarios.is_empty() {
        options.scenarios = scenarios::all();
        options.scenarios.retain(|scenario| long || !scenario.long);
    }
    if options.seeds.is_empty() {
        options.seeds.push(1);
    }
    Ok(Some(options))
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is not a number"))
}

fn limiter(text: &str) -> Result<LimiterKind, String> {
    match text.split_once(':') {
        None if text == "adaptive" => Ok(LimiterKind::Adaptive),
        None if text == "off" => Ok(LimiterKind::Off),
        Some(("fixed", limit)) => Ok(LimiterKind::Fixed(number(limit)?)),
        _ => Err(format!("{text} is not adaptive, off or fixed:N")),
    }
}

fn trace(scenario: &Scenario, record: &Record) {
    let mut changes = record.changes.iter().peekable();
    let mut begins = 0;
    let starts: Vec<u32> = scenario
        .phases
        .iter()
        .map(|phase| {
            begins += phase.seconds;
            begins - phase.seconds
        })
        .collect();
    for (second, row) in record.seconds.iter().enumerate() {
        if let Some(phase) = starts.iter().position(|start| *start as usize == second) {
            let best = plimsoll_simulator::oracle::known(scenario, phase);
            println!("{} phase {phase}: {best:?}", scenario.name);
        }
        let end = (second as u64 + 1) * 1_000_000_000;
        while let Some(change) = changes.next_if(|change| change.at.as_nanos() < end) {
            println!(
                "      {:9.2} s limit {:4} -> {:4} {}",
                change.at.as_nanos() as f64 / 1e9,
                change.from,
                change.to,
                change.reason.name()
            );
        }
        println!(
            "{second:5} offered {:5} good {:5} late {:4} failed {:4} refused {:5} timed out {:4} | limit {:4} in flight {:4} queued {:4}",
            row.offered_sum(),
            row.good_sum(),
            row.late,
            row.failed,
            row.refused,
            row.timed_out,
            row.limit,
            row.in_flight,
            row.queued
        );
    }
}

/// Sums, where there is no oracle.
fn plain(scenario: &Scenario, record: &Record) {
    let counted = record.seconds.get(scenario.warm_up as usize..);
    let counted = counted.unwrap_or_default();
    let sum = |of: fn(&plimsoll_simulator::Second) -> u32| {
        counted
            .iter()
            .map(|second| u64::from(of(second)))
            .sum::<u64>()
    };
    println!(
        "{}: offered {} good {} late {} refused {} timed out {}; tenants that don't flood: offered {} good {}",
        scenario.name,
        sum(plimsoll_simulator::Second::offered_sum),
        sum(plimsoll_simulator::Second::good_sum),
        sum(|it| it.late),
        sum(|it| it.refused),
        sum(|it| it.timed_out),
        sum(|it| it.offered_legitimate),
        sum(|it| it.good_legitimate),
    );
}
