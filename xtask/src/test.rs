//! `cargo xtask test`: every test of the workspace, with what it needs installed first.

use crate::run::{Failure, cargo, step, step_lines, timed};
use crate::{loom, purity, tools};

/// Tests of the whole program that are ignored beside others: what they judge is how much time there was.
const ALONE: [&str; 1] = ["demo::the_demo_reports_on_both_arms_and_helps_where_it_must"];

/// Runs every test, or those whose name contains `filter`.
pub(crate) fn test(filter: Option<&str>) -> Result<(), Failure> {
    if filter == Some("loom") {
        return loom::check();
    }
    timed("tools", || tools::ensure(tools::FOR_TESTS))?;
    tools::ensure_python()?;
    tools::ensure_node()?;
    let pure = timed("pure crates", purity::check);
    // Tests of the whole program run it as a child process; examples are compiled as well.
    step(
        "build",
        &mut cargo(&["build", "--workspace", "--all-targets", "--locked"]),
    )?;

    let mut total = Count::default();
    let mut failed = Vec::new();
    let mut run = |name, arguments: &[&str]| {
        let mut command = cargo(&["test", "--no-fail-fast", "--locked"]);
        step_lines(name, command.args(arguments), |line| {
            total.add(line);
            if let Some(name) = line
                .strip_prefix("test ")
                .and_then(|rest| rest.strip_suffix(" ... FAILED"))
            {
                failed.push(name.to_owned());
            }
        })
    };
    let filters: Vec<_> = ["--workspace", "--"].into_iter().chain(filter).collect();
    let mut succeeded = run("tests", &filters)?;
    let alone = ALONE
        .iter()
        .filter(|name| filter.is_none_or(|filter| name.contains(filter)));
    for name in alone {
        let arguments = [
            "--workspace",
            "--test",
            "it",
            "--",
            "--ignored",
            "--exact",
            name,
        ];
        succeeded &= run("a test that needs the machine to itself", &arguments)?;
    }
    for name in &failed {
        println!("failed: {name}");
    }
    println!(
        "{} passed, {} failed, {} ignored",
        total.passed, total.failed, total.ignored
    );
    let orders = match filter {
        None => loom::check(),
        Some(_) => Ok(()),
    };
    pure?;
    if total.passed == 0 && total.failed == 0 {
        return Err(Failure::Step(match filter {
            Some(filter) => format!("no test's name contains `{filter}`"),
            None => "no test ran".to_owned(),
        }));
    }
    if succeeded {
        orders
    } else {
        Err(Failure::Step("tests failed".to_owned()))
    }
}

/// The sum of the lines `test result: ok. 5 passed; 0 failed; 1 ignored; ...`, one for each test binary.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Count {
    fn add(&mut self, line: &str) {
        let Some((_, numbers)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in numbers.split("; ") {
            let (number, what) = part.split_once(' ').unwrap_or(("", ""));
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => (),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_results_of_all_test_binaries_are_added_up() {
        let mut count = Count::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out; finished in 1.20s",
        ] {
            count.add(line);
        }
        assert_eq!(
            count,
            Count {
                passed: 5,
                failed: 1,
                ignored: 1
            }
        );
    }
}
