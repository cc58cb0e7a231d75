//! `cargo xtask lint`: everything that is checked without running the program.

use crate::run::{Failure, cargo, step, timed};
use crate::{docs, supply};

/// Runs all checks, the quick ones first; all of them run even if one fails.
pub(crate) fn lint() -> Result<(), Failure> {
    components_present()?;
    let results = [
        step("formatting", &mut cargo(&["fmt", "--all", "--check"])),
        timed("documents", docs::check),
        timed("licences and sources of Cargo.lock", supply::check),
        step(
            "clippy",
            &mut cargo(&[
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        step(
            "documentation",
            cargo(&["doc", "--workspace", "--no-deps", "--locked"])
                .env("RUSTDOCFLAGS", "-D warnings"),
        ),
    ];
    let failures: Vec<String> = results
        .into_iter()
        .filter_map(Result::err)
        .map(|failure| failure.to_string())
        .collect();
    if failures.is_empty() {
        Ok(())
    } else {
        Err(Failure::Step(failures.join("; ")))
    }
}

/// A minimal toolchain comes without them, and cargo's own message does not say what to do everywhere.
fn components_present() -> Result<(), Failure> {
    for component in ["fmt", "clippy"] {
        let found = cargo(&[component, "--version"])
            .output()
            .is_ok_and(|output| output.status.success());
        if !found {
            return Err(Failure::Tool(format!(
                "cargo {component} is missing: rustup component add rustfmt clippy"
            )));
        }
    }
    Ok(())
}
