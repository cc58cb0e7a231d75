//! `plimsoll simulate --search`: random scenarios, judged by what must always hold.
//!
//! Here are threads, progress and files; what is drawn, run, judged and made smaller: `plimsoll-simulator`.

use std::cell::Cell;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plimsoll_config::scenario::{Scenario, write};
use plimsoll_simulator::search::{Setting, Verdict, Violation, check};
use serde_json::{Value, json};

use super::files::may_write;
use super::progress::Progress;
use crate::cli::print;
use crate::exit::{Exit, say};

/// Searches `runs` cases from the seed `first` on. What fails first is made smaller, shown, and written to `out`.
pub(super) fn search(first: u64, runs: u64, json: bool, out: Option<&Path>) -> Exit {
    if let Err(error) = out.map_or(Ok(()), may_write) {
        say(&format!("error: {error}"));
        return Exit::Failed;
    }
    // What panics in a check is a case that failed: its message is shown with it.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !CHECKING.get() {
            usual(info);
        }
    }));
    let progress = Progress::new("searching", runs);
    let failed = failed(first, runs, &progress);
    let mut shown = failed.first().cloned();
    if let Some(least) = &mut shown {
        progress.say("making the first of them smaller");
        *least = least.clone().shrunk_by(&quietly);
    }
    progress.end();
    let file = shown.as_ref().map(|least| file_of(least, out));
    let written = match (out, &file) {
        (Some(out), Some(text)) => std::fs::write(out, text)
            .map_err(|error| say(&format!("error: writing {}: {error}", out.display()))),
        _ => Ok(()),
    };
    if json {
        let found = failed.iter().map(case).collect::<Vec<_>>();
        let smallest = file.map_or(Value::Null, Value::from);
        let all = json!({ "seed": first, "runs": runs, "failed": found, "smallest": smallest });
        print(&format!("{all:#}\n"));
    } else {
        print(&text(first, runs, &failed, file.as_deref()));
    }
    match (written, failed.is_empty()) {
        (Err(()), _) => Exit::Failed,
        (Ok(()), true) => Exit::Done,
        (Ok(()), false) => Exit::Refused,
    }
}

thread_local! {
    /// Whether this thread checks a case, where a panic is a finding.
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Checks a case without a word of its panics.
fn quietly(scenario: &Scenario, setting: Setting, seed: u64) -> Vec<Violation> {
    CHECKING.set(true);
    let violations = check(scenario, setting, seed);
    CHECKING.set(false);
    violations
}

/// The cases that failed, in the order of their seeds, whatever the number of cores.
fn failed(first: u64, runs: u64, progress: &Progress) -> Vec<Verdict> {
    let next = AtomicU64::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        loop {
            let run = next.fetch_add(1, Ordering::Relaxed);
            if run >= runs {
                return;
            }
            let verdict = Verdict::by(first.wrapping_add(run), &quietly);
            if !verdict.violations.is_empty() {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.push((run, verdict));
            }
            progress.step();
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_by_key(|(run, _)| *run);
    failed.into_iter().map(|(_, verdict)| verdict).collect()
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

/// The scenario of a case as a file, with what did not hold in it and how to see that again.
fn file_of(verdict: &Verdict, out: Option<&Path>) -> String {
    let mut text = String::new();
    for violation in &verdict.violations {
        let _always = writeln!(text, "# {violation}");
    }
    let _always = writeln!(text, "# found by: {}", command(verdict));
    let file = out.map_or("this file".into(), |out| out.display().to_string());
    let seed = verdict.seed;
    let _always = match verdict.setting.retries {
        false => writeln!(text, "# run it: plimsoll simulate {file} --seed {seed}"),
        true => writeln!(
            text,
            "# run it: plimsoll simulate {file} --seed {seed} --config FILE, with each service in FILE and\n\
             # [defaults.protect] retry = {}; what is answered with 500 is tried again in the search only",
            verdict.setting.retry()
        ),
    };
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
    use plimsoll_simulator::search::{self, Ranges, Setting, Verdict, generate};

    use super::super::*;
    use super::file_of;

    /// What is printed as a scenario gives the very run that was judged.
    #[test]
    fn what_is_found_is_run_again_with_its_seed() {
        let case = |seed| (seed, generate(seed, &Ranges::DECLARED));
        let (seed, (mut scenario, setting)) =
            (1..).map(case).find(|(_, (_, it))| !it.retries).unwrap();
        scenario.phases.truncate(1);
        scenario.faults.clear();
        let verdict = Verdict {
            seed,
            scenario,
            setting,
            violations: Vec::new(),
        };
        let file = file_of(&verdict, Some(Path::new("found.toml")));
        let line = format!("# run it: plimsoll simulate found.toml --seed {seed}\n");
        assert!(file.contains(&line), "{file}");
        let scenario = scenario::parse(&file).unwrap();
        let mut settings = settings(&scenario, &[]).unwrap();
        // A search has none.
        settings[0].governed = None;
        let seeds = Seeds {
            first: seed,
            count: 1,
            drawn: 1,
            memory: 0.0,
        };
        let runs = run_seeds(&scenario, &[], &settings, &seeds).unwrap();
        assert_eq!(runs[0][0], search::run(&scenario, setting, seed));
    }

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
