//! Automation for people and for CI: `cargo xtask lint | test | soak | bench`.
//!
//! What CI runs is what a laptop runs: `.ci/run` calls `lint`, then `test`, and nothing else.
//! Exit status: 0 all well; 1 a step failed; 2 the call was wrong, or a tool is missing and cannot be
//! installed from here.

mod bench;
mod docs;
mod lint;
mod loom;
mod mutations;
mod purity;
mod run;
mod soak;
mod spdx;
mod supply;
mod test;
mod tools;

use std::process::ExitCode;

use crate::run::Failure;

const HELP: &str = "\
Automation for this workspace.

Usage: cargo xtask COMMAND [OPTIONS]

Commands:
  lint                 Formatting, documents, licences and sources of Cargo.lock, clippy, rustdoc
  test [FILTER]        Install what the tests need where it is missing, check that the pure crates are
                       pure, run every test (or those whose name contains FILTER), and those under
                       loom (where there is no FILTER, or it is `loom`)
  soak [NAME]          Long: the property tests with many cases, and the tests that are ignored for
                       their length; NAME is a package or a part of a test's name, `limiter` (the
                       suite of scenarios), `loom` (with more orders between threads), `search` (10,000 random
                       scenarios), `mutations` (whether that search finds broken policies), `governor`
                       (bad days with a governor and without: writes docs/governor.md), `rollouts` (versions that are
                       worse and that are not: writes docs/reference/rollouts.md), or `without`
                       (how good the estimate of incidents without Plimsoll is: writes docs/reference/without.md)
  bench http [OPTIONS] nginx, HAProxy and Plimsoll side by side; `cargo xtask bench http --help`
  bench overload [OPTIONS]
                       The same three when not all fits; `cargo xtask bench overload --help`
  bench cache [OPTIONS]
                       nginx, Varnish and Plimsoll: what stored answers cost, what a bounded store is good for
  bench console [OPTIONS]
                       What the console costs, and what the data plane notices of it
  bench simulator [OPTIONS]
                       How fast the simulator is, and what it keeps in memory
  help                 This text

Exit status:
  0  all well
  1  a step failed
  2  the call was wrong, or a tool is missing and cannot be installed from here
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask: {failure}");
            ExitCode::from(failure.status())
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<(), Failure> {
    let (command, rest) = match arguments.split_first() {
        Some((command, rest)) => (command.as_str(), rest),
        None => ("help", arguments),
    };
    let help_wanted = rest
        .iter()
        .any(|argument| argument == "--help" || argument == "-h");
    match command {
        "help" | "--help" | "-h" => print_help(),
        "bench" => bench::bench(rest),
        _ if help_wanted => print_help(),
        "lint" => match rest {
            [] => lint::lint(),
            _ => Err(Failure::Usage("`lint` takes no arguments".to_owned())),
        },
        "test" => test::test(at_most_one(command, rest)?),
        "soak" => soak::soak(at_most_one(command, rest)?),
        other => Err(Failure::Usage(format!(
            "there is no command `{other}`; see `cargo xtask help`"
        ))),
    }
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "a branch of `dispatch`, like the others"
)]
fn print_help() -> Result<(), Failure> {
    print!("{HELP}");
    Ok(())
}

fn at_most_one<'a>(command: &str, rest: &'a [String]) -> Result<Option<&'a str>, Failure> {
    match rest {
        [] => Ok(None),
        [only] if !only.starts_with('-') => Ok(Some(only)),
        _ => Err(Failure::Usage(format!(
            "`{command}` takes one word at most; see `cargo xtask help`"
        ))),
    }
}
