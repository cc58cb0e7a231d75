//! `cargo xtask soak`: long counts, by hand.

use std::process::Command;

use crate::run::{Failure, cargo, step};
use crate::tools;

/// Cases of each property, where `PROPTEST_CASES` does not say otherwise: the everyday run has 256.
const CASES: &str = "20000";

/// Runs the property tests with many cases, and the tests that are ignored for their length.
///
/// `name` is a package of the workspace, a part of a test's name, `limiter`: the suite of scenarios, `loom`: more
/// orders between threads, `search`: many random scenarios, `mutations`: whether these find broken policies, `governor`:
/// bad days with one and without, `causes`: incidents with a known cause, `rollouts`: versions that are worse and
/// versions that are not, or `without`: incidents whose truth is known, for what is estimated of them.
pub(crate) fn soak(name: Option<&str>) -> Result<(), Failure> {
    match name {
        Some("search") => return search(),
        Some("governor") => return governor(),
        Some("causes") => return causes(),
        Some("rollouts") => return rollouts(),
        Some("without") => return without(),
        Some("mutations") => return crate::mutations::soak(),
        _ => tools::ensure(tools::FOR_TESTS)?,
    }
    if name == Some("loom") {
        return crate::loom::soak();
    }
    if name == Some("limiter") {
        return limiter();
    }
    let package = name.filter(|name| crate::run::root().join("crates").join(name).is_dir());
    let mut command = cargo(&["test", "--no-fail-fast", "--locked"]);
    match package {
        Some(package) => command.args(["--package", package, "--", "--include-ignored"]),
        None => command
            .args(["--workspace", "--", "--include-ignored"])
            .args(name),
    };
    let cases = std::env::var("PROPTEST_CASES").unwrap_or_else(|_| CASES.to_owned());
    println!("{cases} cases of each property; set PROPTEST_CASES for another number");
    // A shrink step counts against the same clock as a case: leave room for a small counterexample.
    step("soak", command.env("PROPTEST_CASES", cases))
}

/// The whole suite of limiter and admission, one test after the other: their output is a page for `docs/`.
fn limiter() -> Result<(), Failure> {
    let arguments = [
        "test",
        "--locked",
        "--package",
        "plimsoll-simulator",
        "--test",
        "it",
        "--",
    ];
    let mut command = cargo(&arguments);
    command.args(["--ignored", "--nocapture", "--test-threads", "1", "soak::"]);
    step("soak limiter", &mut command)
}

/// Random scenarios with the seeds that nobody has looked at in the everyday run, too.
fn search() -> Result<(), Failure> {
    step("soak search", &mut example("search", &["--runs", "10000"]))
}

/// Twenty incidents of each kind: how often their cause ranks first goes into the docs.
fn causes() -> Result<(), Failure> {
    let arguments = ["--seed", "101", "--seeds", "20"];
    figures("causes", &arguments, "docs/reference/causes.md")
}

/// Ten thousand rollouts of each kind that is no worse, four hundred of each that is: the figures go into the docs.
fn rollouts() -> Result<(), Failure> {
    let arguments = ["--alike", "10000", "--worse", "400"];
    figures("rollouts", &arguments, "docs/reference/rollouts.md")
}

/// A thousand days as flows and fifty hours by request, with a governor and without: their figures go into the docs.
fn governor() -> Result<(), Failure> {
    let arguments = ["--days", "1000", "--hours", "50"];
    figures("governor", &arguments, "docs/governor.md")
}

/// Incidents whose truth is known: how often what is said of them without Plimsoll holds goes into the docs.
fn without() -> Result<(), Failure> {
    let arguments = ["--trials", "40", "--seed", "1001"];
    figures("without", &arguments, "docs/reference/without.md")
}

/// An example of the simulator whose figures go into a file of the repository.
fn figures(name: &str, arguments: &[&str], file: &str) -> Result<(), Failure> {
    let mut command = example(name, arguments);
    command.arg("--write").arg(crate::run::root().join(file));
    step(&format!("soak {name}"), &mut command)
}

fn example(name: &str, arguments: &[&str]) -> Command {
    let mut command = cargo(&[
        "run",
        "--release",
        "--locked",
        "--package",
        "plimsoll-simulator",
    ]);
    command.args(["--example", name, "--"]).args(arguments);
    command
}
