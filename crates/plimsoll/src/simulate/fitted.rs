//! `plimsoll simulate --from`: a scenario that is like an access log, and how much it is.

use std::fmt::Write as _;
use std::path::Path;

use plimsoll_config::scenario::{self, Scenario, TimeSpread, Work};
use plimsoll_config::{Config, render};
use plimsoll_measure::figure::{count, duration, latency, percent, rate};
use plimsoll_simulator::fit::{Capacity, FEW, Fit, Fitted, Match, SHORT, fit};

use super::access_log::AccessLog;
use super::files::may_write;
use super::report::plural;
use super::runs::run_all;
use super::{Arm, Setting, governed, objectives, protections};
use crate::cli::print;
use crate::exit::{Exit, say};

/// What is fitted is run to be compared, unless that would take minutes.
const REQUESTS_MAX: f64 = 5e6;
/// A figure of tenants with fewer requests each says little of them.
const TENANT_REQUESTS: f64 = 20.0;

/// Fits a scenario to a log and writes it, to `out` or to standard output, with what is known of its quality.
pub(super) fn from_log(path: &Path, out: Option<&Path>, config: Option<&Config>) -> Exit {
    if let Err(error) = out.map_or(Ok(()), may_write) {
        say(&format!("error: {error}"));
        return Exit::Failed;
    }
    let log = match AccessLog::read(path) {
        Ok(log) => log,
        Err(error) => {
            say(&format!("error: {error}"));
            return super::exit_of(&error);
        }
    };
    let Some(mut fitted) = fit(&log.services, &log.requests) else {
        say(&format!(
            "error: the access log {} has {} in less than a second, which says nothing of rates: take a longer part of it",
            path.display(),
            plural(log.requests.len(), "request")
        ));
        return Exit::Refused;
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fitted.scenario.about = Some(format!("like {}", name.replace(char::is_control, "?")));
    let text = scenario::write(&fitted.scenario);
    // What was fitted can be more than a scenario may have.
    if let Err(diagnostics) = scenario::parse(&text) {
        say(render(&diagnostics, &text, "the scenario of the log", false).trim_end());
        return Exit::Refused;
    }
    let simulated = match simulated(&fitted.scenario, config) {
        Ok(simulated) => simulated,
        Err(error) => {
            say(&format!("error: {error}"));
            return Exit::Refused;
        }
    };
    let report = report(&name, &log, &fitted, simulated.as_deref());
    let comment = report
        .lines()
        .map(|line| format!("# {line}").trim_end().to_owned());
    let file = format!("{}\n\n{text}", comment.collect::<Vec<_>>().join("\n"));
    match out {
        None => print(&file),
        Some(out) => {
            print(&report);
            if let Err(error) = std::fs::write(out, file) {
                say(&format!("error: writing {}: {error}", out.display()));
                return Exit::Failed;
            }
            print(&format!(
                "\nwritten to {0}; run it: plimsoll simulate {0}\n",
                out.display()
            ));
        }
    }
    Exit::Done
}

/// P50, P90 and P99 of each workload in seconds, as the scenario is simulated with Plimsoll. `None` if it is too long
/// for that.
fn simulated(
    scenario: &Scenario,
    config: Option<&Config>,
) -> Result<Option<Vec<Option<[f64; 3]>>>, String> {
    let phases = scenario.phases.iter();
    let requests = phases.flat_map(|phase| {
        phase
            .rates
            .iter()
            .map(|rate| rate.to * phase.lasts.as_secs_f64())
    });
    if requests.sum::<f64>() > REQUESTS_MAX {
        return Ok(None);
    }
    let setting = Setting {
        arm: Arm::Plimsoll,
        file: None,
        protections: protections(scenario, config, Arm::Plimsoll)?,
        objectives: objectives(scenario, config),
        governed: config.and_then(|config| governed::governed(scenario, config)),
    };
    let ledgers = run_all(scenario, &[], &[setting], 1, 0);
    let ledger = ledgers.first().and_then(|ledgers| ledgers.first());
    let of = |workload: usize| {
        let mut all = plimsoll_simulator::fleet::Cell::default();
        for phase in 0..scenario.phases.len() {
            if let Some(cell) = ledger?.cell(phase, workload) {
                all.merge(cell);
            }
        }
        let quantile = |q| all.latencies.quantile(q).map(|it| it.as_secs_f64());
        Some([quantile(0.5)?, quantile(0.9)?, quantile(0.99)?])
    };
    Ok(Some((0..scenario.workloads.len()).map(of).collect()))
}

fn report(
    name: &str,
    log: &AccessLog,
    fit: &Fit,
    simulated: Option<&[Option<[f64; 3]>]>,
) -> String {
    let parts = &fit.scenario.phases;
    let mut text = format!(
        "{name}: {} requests in {}, in {} parts of equal length",
        count(log.requests.len() as u64),
        duration(fit.scenario.lasts().as_secs_f64()),
        parts.len(),
    );
    if log.elsewhere > 0 {
        let _always = write!(text, "; {} without a service", count(log.elsewhere as u64));
    }
    if log.skipped > 0 {
        let _always = write!(
            text,
            "; {} lines that are none skipped",
            count(log.skipped as u64)
        );
    }
    text.push('\n');
    for (index, service) in fit.services.iter().enumerate() {
        let compared = simulated.map(|all| all.get(index).copied().flatten());
        service_report(&mut text, index, service, &fit.scenario, compared);
    }
    text.push_str(
        "\nnot in the log, so assumed: objective 250ms; what clients try again comes as it came; faults: none\n",
    );
    text
}

fn service_report(
    text: &mut String,
    index: usize,
    fitted: &Fitted,
    scenario: &Scenario,
    simulated: Option<Option<[f64; 3]>>,
) {
    let (Some(service), Some(workload)) =
        (scenario.services.get(index), scenario.workloads.get(index))
    else {
        return;
    };
    let requests = count(fitted.requests as u64);
    let _always = match fitted.sampled {
        true => writeln!(
            text,
            "\n{}: {requests} requests, a sample that stands for {}",
            fitted.name,
            count(fitted.stand_for as u64)
        ),
        false => writeln!(text, "\n{}: {requests} requests", fitted.name),
    };
    let mut line = |what: &str, says: &str| {
        let _always = writeln!(text, "  {what:<10} {says}");
    };
    let rates = scenario
        .phases
        .iter()
        .filter_map(|phase| phase.rates.get(index));
    let (least, most) = rates.fold((f64::INFINITY, 0.0_f64), |(least, most), rate| {
        (least.min(rate.to), most.max(rate.to))
    });
    line(
        "arrivals",
        &format!(
            "{} to {} requests/s; Poisson: {}{}",
            rate(Some(least)),
            rate(Some(most)),
            matched(fitted.arrivals),
            if (fitted.requests as f64) < FEW {
                "; too few requests to rely on any of it"
            } else {
                ""
            }
        ),
    );
    line(
        "classes",
        &format!(
            "critical {}, sheddable {}",
            percent(Some(workload.classes.critical), ""),
            percent(Some(workload.classes.sheddable), "")
        ),
    );
    let few = fitted.stand_for / (fitted.tenants.max(1) as f64) < TENANT_REQUESTS;
    line(
        "tenants",
        &format!(
            "{} seen, zipf {:.2}{}",
            count(fitted.tenants as u64),
            fitted.zipf,
            if few && fitted.tenants > 1 {
                "; too few requests of each to tell how unlike they are"
            } else {
                ""
            }
        ),
    );
    line("time", &time(fitted, &service.work));
    line("capacity", &capacity(fitted, service.endpoints));
    let shares = [
        ("failed", fitted.failed),
        ("refused by Plimsoll", fitted.refused),
        ("hung up", fitted.gone),
    ];
    let shares = shares.iter().filter(|(_, share)| *share > 0.0);
    let shares = shares.map(|(what, share)| format!("{what} {}", percent(Some(*share), "")));
    let shares: Vec<String> = shares.collect();
    if !shares.is_empty() {
        let says = format!("{} (failures are not in the scenario)", shares.join(", "));
        line("ended", &says);
    }
    let quantiles = |of: [f64; 3]| {
        let [p50, p90, p99] = of.map(|seconds| latency(Some(seconds), ""));
        format!("P50 {p50}, P90 {p90}, P99 {p99}")
    };
    let few = match fitted.answered {
        size if size < FEW => "; too few to rely on any of it",
        size if size < 10.0 * FEW => "; too few to rely on P99",
        _ => "",
    };
    match fitted.quantiles {
        Some(of) => line("logged", &format!("{}{few}", quantiles(of))),
        None => line("logged", "no answer"),
    }
    match simulated {
        Some(Some(of)) => line("simulated", &quantiles(of)),
        Some(None) => line("simulated", "no answer"),
        None => line(
            "simulated",
            "not tried, as it would take minutes: run the scenario",
        ),
    }
}

fn time(fitted: &Fitted, work: &Work) -> String {
    let Some((mean, cv)) = fitted.time else {
        return "unknown: no request was answered at its first attempt; 20ms are assumed".into();
    };
    if let Capacity::Shared { alone, .. } = fitted.capacity {
        return format!("{} if it is alone", latency(Some(alone), ""));
    }
    let size = fitted.time_match.map_or(1.0, |it| it.size);
    // The standard error of a mean.
    let error = percent(Some(cv / size.sqrt()), "");
    let law = match work {
        Work::Workers { spread, .. } => match spread {
            TimeSpread::Constant => "constant".to_owned(),
            TimeSpread::Exponential => "exponential".to_owned(),
            TimeSpread::Bimodal => "bimodal".to_owned(),
            TimeSpread::Lognormal(cv) => format!("lognormal ({cv})"),
        },
        Work::Shared { .. } => String::new(),
    };
    let whose = match fitted.sampled {
        true => "of requests, whatever else was there: a sample does not say it",
        false => "of requests that did not wait at their endpoint",
    };
    format!(
        "{} ± {error}, cv {cv:.2}, {whose}; {law}: {}",
        latency(Some(mean), ""),
        matched(fitted.time_match)
    )
}

fn capacity(fitted: &Fitted, endpoints: usize) -> String {
    let of = format!("at each of {endpoints} endpoints");
    match fitted.capacity {
        Capacity::Workers {
            workers,
            known: true,
        } => format!("{workers} workers {of}"),
        Capacity::Workers {
            workers,
            known: false,
        } if fitted.time.is_some_and(|(mean, _)| mean < SHORT) => format!(
            "unknown: requests are too short for the log's clock, which is to the millisecond; {workers} workers {of} are in the scenario: put in what you know"
        ),
        Capacity::Workers {
            workers,
            known: false,
        } if fitted.sampled => format!(
            "unknown, as only a sample was logged; {workers} workers {of} are in the scenario: put in what you know"
        ),
        Capacity::Workers {
            workers,
            known: false,
        } => format!(
            "unknown: up to {workers} at once {of}, and that was hardly slower; so many workers are in the scenario, a lower bound"
        ),
        Capacity::Shared {
            contention,
            crosstalk,
            ..
        } => format!("all at once {of}: contention {contention:.3}, crosstalk {crosstalk:.5}"),
    }
}

/// In words, what a distance says.
fn matched(found: Option<Match>) -> String {
    let Some(found) = found else {
        return "not judged".to_owned();
    };
    if found.size < FEW {
        return format!("too few to judge ({:.0})", found.size);
    }
    let verdict = match found.distance / found.by_chance {
        ratio if ratio <= 1.0 => "fits",
        _ if found.distance <= 0.05 => "close",
        _ if found.distance <= 0.15 => "rough",
        _ => "does not fit",
    };
    format!(
        "{verdict} (KS distance {:.3}, by chance up to {:.3}, of {})",
        found.distance,
        found.by_chance,
        count(found.size as u64)
    )
}
