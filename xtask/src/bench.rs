//! `cargo xtask bench`: builds what is measured as it is shipped, then hands over to the harness.

use serde_json::Value;

use crate::run::{Failure, cargo, output, step};
use crate::tools;

const HELP: &str = "\
Side by side with the peers.

Usage: cargo xtask bench http [OPTIONS]

All options go to the harness in bench/http:
";

/// Runs the bench that `arguments` name.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    match arguments.split_first() {
        Some((name, options)) if name == "http" => http(options),
        Some((name, _)) if name == "--help" || name == "-h" => http(&["--help".to_owned()]),
        Some((name, _)) => Err(Failure::Usage(format!(
            "there is no bench `{name}`; there is `http`"
        ))),
        None => Err(Failure::Usage(
            "which bench? `cargo xtask bench http`".to_owned(),
        )),
    }
}

fn http(options: &[String]) -> Result<(), Failure> {
    let help = options
        .iter()
        .any(|option| option == "--help" || option == "-h");
    if help {
        print!("{HELP}");
    } else {
        tools::ensure(tools::FOR_BENCH_HTTP)?;
    }
    step(
        "build the harness",
        &mut cargo(&[
            "build",
            "--release",
            "--locked",
            "--package",
            "plimsoll-bench-http",
        ]),
    )?;
    let target = target_directory()?;
    let mut harness = std::process::Command::new(target.join("release/plimsoll-bench-http"));
    harness.current_dir(crate::run::root());
    if help {
        return step("help of the harness", harness.arg("--help"));
    }
    // A run of some peers only need not wait for the slow link of the measured binary.
    if !options.iter().any(|option| option == "--peers")
        || options.iter().any(|option| option.contains("plimsoll"))
    {
        step(
            "build Plimsoll as it is shipped",
            &mut cargo(&[
                "build",
                "--profile",
                "dist",
                "--locked",
                "--package",
                "plimsoll",
            ]),
        )?;
    }
    step(
        "bench http",
        harness
            .arg("--plimsoll")
            .arg(target.join("dist/plimsoll"))
            .args(options),
    )
}

fn target_directory() -> Result<std::path::PathBuf, Failure> {
    let metadata = output(
        "cargo metadata",
        &mut cargo(&["metadata", "--format-version", "1", "--locked", "--no-deps"]),
    )?;
    serde_json::from_slice::<Value>(&metadata)
        .ok()
        .and_then(|metadata| {
            metadata
                .get("target_directory")?
                .as_str()
                .map(std::path::PathBuf::from)
        })
        .ok_or_else(|| Failure::Step("cargo metadata names no target directory".to_owned()))
}
