//! `plimsoll simulate --search`: random scenarios, judged by what must always hold.
//!
//! Here are threads, progress and files; what is drawn, run, judged and made smaller: `plimsoll-simulator`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plimsoll_config::scenario::write;
use plimsoll_simulator::search::Verdict;
use serde_json::{Value, json};

use crate::cli::print;
use crate::exit::{Exit, say};

/// Searches `runs` cases from the seed `first` on. What fails first is made smaller, shown, and written to `out`.
pub(super) fn search(first: u64, runs: u64, json: bool, out: Option<&Path>) -> Exit {
    // What panics is a case that failed: its message is shown with it.
    std::panic::set_hook(Box::new(|_| ()));
    let failed = failed(first, runs);
    let mut shown = failed.first().cloned();
    if let Some(least) = &mut shown {
        progress("making the first of them smaller");
        *least = least.clone().shrunk();
        progress("");
    }
    let file = shown.as_ref().map(file_of);
    if let (Some(out), Some(text)) = (out, &file)
        && let Err(error) = std::fs::write(out, text)
    {
        say(&format!("error: writing {}: {error}", out.display()));
        return Exit::Failed;
    }
    if json {
        let found = failed.iter().map(case).collect::<Vec<_>>();
        let smallest = file.map_or(Value::Null, Value::from);
        let all = json!({ "seed": first, "runs": runs, "failed": found, "smallest": smallest });
        print(&format!("{all:#}\n"));
    } else {
        print(&text(first, runs, &failed, file.as_deref()));
    }
    match failed.is_empty() {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

/// The cases that failed, in the order of their seeds, whatever the number of cores.
fn failed(first: u64, runs: u64) -> Vec<Verdict> {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return;
            }
            let verdict = Verdict::of(first.wrapping_add(run));
            if !verdict.violations.is_empty() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((run, verdict));
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress(&format!("searching: {done} of {runs}"));
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    progress("");
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(run, _)| *run);
    failed.into_iter().map(|(_, verdict)| verdict).collect()
}

/// How far it is, on a terminal only.
fn progress(line: &str) {
    if std::io::stderr().is_terminal() {
        let _nobody_looks = write!(std::io::stderr(), "\r{line:40}\r");
    }
}

fn text(first: u64, runs: u64, failed: &[Verdict], file: Option<&str>) -> String {
    let last = first.wrapping_add(runs - 1);
    let mut text = format!(
        "{runs} scenarios, seeds {first} to {last}: {} did not hold what must always hold\n",
        failed.len()
    );
    for verdict in failed {
        let _always = writeln!(text, "\nseed {}", verdict.seed);
        for violation in &verdict.violations {
            let _always = writeln!(text, "  {violation}");
        }
    }
    if let Some(file) = file {
        let _always = write!(text, "\nThe first of them, made smaller:\n\n{file}");
    }
    text
}

/// The scenario of a case as a file, with what did not hold in it.
fn file_of(verdict: &Verdict) -> String {
    let mut text = String::new();
    for violation in &verdict.violations {
        let _always = writeln!(text, "# {violation}");
    }
    let _always = writeln!(text, "# {}", command(verdict));
    let retry = verdict.setting.retry();
    let _always = writeln!(text, "# [defaults.protect] retry = {retry}");
    text + &write(&verdict.scenario)
}

fn command(verdict: &Verdict) -> String {
    format!(
        "plimsoll simulate --search --runs 1 --seed {}",
        verdict.seed
    )
}

fn case(verdict: &Verdict) -> Value {
    let violations = verdict.violations.iter().map(|violation| {
        json!({
            "invariant": violation.invariant.name(),
            "at": violation.at,
            "measured": violation.measured,
            "bound": violation.bound,
        })
    });
    json!({
        "seed": verdict.seed,
        "command": command(verdict),
        "retry": verdict.setting.retry(),
        "violations": violations.collect::<Vec<_>>(),
        "scenario": write(&verdict.scenario),
    })
}

#[cfg(test)]
mod tests {
    use plimsoll_lifecycle::GuardParameters;
    use plimsoll_policy::retry::RetryOn;
    use plimsoll_simulator::search::Setting;

    use super::super::*;

    /// The search has no configuration: it is set as one would be.
    #[test]
    fn what_is_searched_is_what_the_configuration_says() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/flash-sale.toml");
        let scenario = scenario::parse(&std::fs::read_to_string(path).unwrap()).unwrap();
        for retries in [false, true] {
            let setting = Setting { retries };
            let text = format!(
                r#"
                [defaults.protect]
                retry = {}
                [service.shop]
                endpoints = ["http://127.0.0.1:1"]
                [service.shop.objective.latency]
                below = "250ms"
                target = "99%"
                [[route]]
                service = "shop"
                "#,
                setting.retry()
            );
            let (config, _) = plimsoll_config::parse(&text, "plimsoll.toml").unwrap();
            let configured = protections(&scenario, Some(&config), Arm::Plimsoll).unwrap();
            let [searched, configured] = [setting.protections(&scenario), configured];
            let [searched, configured] = [&searched[0], &configured[0]];
            let mut guard = GuardParameters::clone(&searched.guard);
            // What routes are in which group is known to a configuration only; and what is only counted changes nothing.
            guard.admission.groups = configured.guard.admission.groups;
            guard.retry_observed = configured.guard.retry_observed.clone();
            if retries {
                // What fails at a simulated endpoint is answered with 500, of which no configuration can say it.
                let on = [RetryOn::Connect, RetryOn::Reset, RetryOn::Status(502)];
                guard.retried = on.into_iter().collect();
            }
            assert_eq!(guard, *configured.guard);
            assert_eq!(searched.endpoint, configured.endpoint);
            assert_eq!(searched.bounds, configured.bounds);
            assert_eq!(searched.heeds_health, configured.heeds_health);
        }
    }
}
