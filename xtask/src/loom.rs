//! The tests under `--cfg loom`: every order in which threads may meet at the words they share.
//!
//! A build of its own, of one package and without optimisation: loom's own work is what takes the time.

use std::path::PathBuf;

use crate::run::{Failure, cargo, root, step};

/// Everyday: what each test bounds itself to.
pub(crate) fn check() -> Result<(), Failure> {
    run(None)
}

/// Threads may be interrupted once more often than in the everyday run: minutes instead of seconds.
pub(crate) fn soak() -> Result<(), Failure> {
    run(Some("3"))
}

fn run(preemptions: Option<&str>) -> Result<(), Failure> {
    let mut flags = std::env::var("RUSTFLAGS").unwrap_or_default();
    flags.push_str(" --cfg loom");
    let mut command = cargo(&["test", "--locked", "--package", "plimsoll-policy", "--lib"]);
    for package in ["plimsoll-core", "plimsoll-policy"] {
        command.arg("--config");
        command.arg(format!("profile.dev.package.{package}.opt-level=0"));
    }
    command
        .args(["--config", "profile.dev.debug=false", "--", "loom"])
        .env("RUSTFLAGS", flags.trim_start())
        .env("CARGO_TARGET_DIR", target());
    if let Some(preemptions) = preemptions {
        command.env("LOOM_MAX_PREEMPTIONS", preemptions);
    }
    step("loom", &mut command)
}

/// Beside the usual build, which would otherwise be made anew each time.
fn target() -> PathBuf {
    let usual = std::env::var_os("CARGO_TARGET_DIR");
    usual
        .map_or_else(|| root().join("target"), PathBuf::from)
        .join("loom")
}
