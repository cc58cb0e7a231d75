//! What a change of the configuration would do to recorded traffic: for `plimsoll plan`.
//!
//! A scenario is fitted to the access log, and run under both configurations with the same seeds. Only what the log has is
//! used: times, outcomes, which service; a log is kept only where the configuration asks for one, with what it redacts left out.

use std::path::Path;

use plimsoll_config::Config;
use plimsoll_config::scenario::{self, Scenario};
use plimsoll_simulator::fit::{Fit, fit};
use plimsoll_simulator::fleet::{Cell, Ledger};

use super::access_log::AccessLog;
use super::difference::{Difference, Figure};
use super::report::plural;
use super::runs::run_all;
use super::{Arm, Setting, governed, objectives, protections};

/// How many pairs of runs there are.
const SEEDS: u64 = 5;
/// Requests of all runs together: some seconds, rather than minutes.
const REQUESTS_MAX: f64 = 5e6;

/// In lines, or why nothing can be predicted.
pub(crate) fn predict(log: &Path, before: &Config, after: &Config) -> Result<Vec<String>, String> {
    let log = AccessLog::read(log).map_err(|error| error.to_string())?;
    let mut log = log;
    // What one of them does not have is not compared: it has no part in one of the runs.
    let is_in_both =
        |name: &String| before.services.contains_key(name) && after.services.contains_key(name);
    let kept: Vec<bool> = log.services.iter().map(is_in_both).collect();
    log.requests
        .retain(|it| kept.get(usize::from(it.service)).copied().unwrap_or(false));
    let fitted =
        fit(&log.services, &log.requests).ok_or("there are too few requests to tell anything")?;
    // What was fitted can be more than a scenario may have.
    let text = scenario::write(&fitted.scenario);
    if scenario::parse(&text).is_err() {
        return Err("the log is of more than can be simulated".to_owned());
    }
    let per_run = requests(&fitted.scenario);
    let seeds = ((REQUESTS_MAX / (2.0 * per_run.max(1.0))) as u64).min(SEEDS);
    if seeds == 0 {
        let text = "there are too many requests to replay: take a shorter part of the log";
        return Err(text.to_owned());
    }
    let setting = |arm: Arm, config: &Config| {
        Ok::<_, String>(Setting {
            arm,
            file: None,
            protections: protections(&fitted.scenario, Some(config), arm)?,
            objectives: objectives(&fitted.scenario, Some(config)),
            governed: governed::governed(&fitted.scenario, config),
        })
    };
    let arms = [setting(Arm::A, before)?, setting(Arm::B, after)?];
    let ledgers = run_all(&fitted.scenario, &[], &arms, seeds, 0);
    let [before, after] = ledgers.as_slice() else {
        return Err("the runs did not end".to_owned());
    };
    let count = plural(log.requests.len(), "request");
    let mut lines = vec![format!(
        "{count} of the log, {} of each configuration, with its endpoints and routes as they were:",
        plural(usize::try_from(seeds).unwrap_or(usize::MAX), "run")
    )];
    lines.extend(by_service(&fitted, [after, before]));
    Ok(lines)
}

fn by_service(fitted: &Fit, arms: [&[Ledger]; 2]) -> Vec<String> {
    let phases = fitted.scenario.phases.len();
    let services = fitted.services.iter().enumerate();
    let line = |(index, service): (usize, &plimsoll_simulator::fit::Fitted)| {
        let pick = |ledger: &Ledger| {
            let mut all = Cell::default();
            for phase in 0..phases {
                if let Some(cell) = ledger.cell(phase, index) {
                    all.merge(cell);
                }
            }
            all
        };
        let figures = [Figure::Good, Figure::Refused, Figure::LatencyP99];
        let figures = figures.map(|figure| {
            let difference = Difference::of(figure, arms, &pick);
            let text = difference.map_or("unknown".to_owned(), |it| it.text(figure, ""));
            let unit = match figure {
                Figure::LatencyP99 => "",
                _ => " points",
            };
            format!("{} {text}{unit}", figure.name())
        });
        format!("{}: {}", service.name, figures.join("; "))
    };
    services.map(line).collect()
}

/// How many a run has, about.
fn requests(scenario: &Scenario) -> f64 {
    let phases = scenario.phases.iter();
    let of = phases.flat_map(|phase| {
        let seconds = phase.lasts.as_secs_f64();
        phase.rates.iter().map(move |rate| rate.to * seconds)
    });
    of.sum()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use plimsoll_core::Timestamp;

    use super::*;

    fn config(limiter: &str) -> Config {
        let text = format!(
            "[service.shop]\nendpoints = [\"http://127.0.0.1:1\"]\n{limiter}\n[[route]]\nservice = \"shop\"\n"
        );
        plimsoll_config::parse(&text, "test").unwrap().0
    }

    /// Fifty requests a second that take 100 ms each: five are in flight.
    fn log() -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut text = String::new();
        for number in 0..1_000_u64 {
            let at = Timestamp::from_nanos(1_795_615_000_000_000_000 + number * 20_000_000);
            let at = at.to_rfc3339();
            for service in ["shop", "gone"] {
                writeln!(
                    text,
                    r#"{{"time":"{at}","cause":"answered","service":"{service}","endpoint":"{service}-1","class":"standard","attempts":1,"duration_seconds":0.100000,"waited_seconds":0.0}}"#
                )
                .unwrap();
            }
        }
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_limit_that_is_too_low_shows_as_refusals_and_no_change_as_none() {
        let log = log();
        let usual = config("");
        let lines = predict(log.path(), &usual, &config("protect.limiter = 1")).unwrap();
        assert!(
            lines[0].starts_with("1000 requests of the log"),
            "{lines:?}"
        );
        let [_, shop] = lines.as_slice() else {
            panic!("{lines:?}");
        };
        let (good, refused) = shop.split_once("; refused ").unwrap();
        assert!(good.starts_with("shop: good \u{2212}"), "{shop}");
        assert!(refused.starts_with('+'), "{shop}");
        let same = predict(log.path(), &usual, &usual).unwrap();
        assert!(same[1].contains("good none shown (0.0 to 0.0)"), "{same:?}");
    }

    #[test]
    fn without_a_log_it_is_said_why_nothing_is_predicted() {
        let usual = config("");
        let why = predict(Path::new("/nowhere.log"), &usual, &usual).unwrap_err();
        assert!(why.contains("/nowhere.log"), "{why}");
    }
}
