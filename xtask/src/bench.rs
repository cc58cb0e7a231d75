//! `cargo xtask bench`: builds what is measured as it is shipped, then hands over to the harness.

use serde_json::Value;

use crate::run::{Failure, cargo, output, step};
use crate::tools::{self, Tool};

const HELP: &str = "\
Side by side with the peers, and the console and the simulator by themselves.

Usage: cargo xtask bench http [OPTIONS]
       cargo xtask bench overload [OPTIONS]
       cargo xtask bench cache [OPTIONS]
       cargo xtask bench console [OPTIONS]
       cargo xtask bench flags [OPTIONS]
       cargo xtask bench simulator [OPTIONS]

All options go to the harness in the folder of that name in bench:
";

/// Who is measured.
#[derive(Clone, Copy)]
enum Who {
    /// Those that this option chooses.
    Some(&'static str),
    Plimsoll,
    /// What the harness is built with.
    Harness,
}

/// A harness.
#[derive(Clone, Copy)]
struct Bench {
    name: &'static str,
    package: &'static str,
    who: Who,
    /// Installed where they are missing.
    tools: &'static [Tool],
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "http",
        package: "plimsoll-bench-http",
        who: Who::Some("--peers"),
        tools: tools::FOR_BENCH_HTTP,
    },
    Bench {
        name: "overload",
        package: "plimsoll-bench-overload",
        who: Who::Some("--rows"),
        tools: &[],
    },
    Bench {
        name: "cache",
        package: "plimsoll-bench-cache",
        who: Who::Some("--peers"),
        tools: tools::FOR_BENCH_CACHE,
    },
    Bench {
        name: "console",
        package: "plimsoll-bench-console",
        who: Who::Plimsoll,
        tools: &[],
    },
    Bench {
        name: "flags",
        package: "plimsoll-bench-flags",
        who: Who::Plimsoll,
        tools: tools::FOR_BENCH_FLAGS,
    },
    Bench {
        name: "simulator",
        package: "plimsoll-bench-simulator",
        who: Who::Harness,
        tools: &[],
    },
];

/// Runs the bench that `arguments` name.
pub(crate) fn bench(arguments: &[String]) -> Result<(), Failure> {
    match arguments.split_first() {
        None => Err(Failure::Usage(
            "which bench? `cargo xtask bench http`, `overload`, `cache`, `console`, `flags` or `simulator`"
                .to_owned(),
        )),
        Some((name, _)) if name == "--help" || name == "-h" => BENCHES
            .into_iter()
            .try_for_each(|bench| run(bench, &["--help".to_owned()])),
        Some((name, options)) => match BENCHES.into_iter().find(|bench| bench.name == name) {
            Some(bench) => run(bench, options),
            None => Err(Failure::Usage(format!(
                "there is no bench `{name}`; there are `http`, `overload`, `cache`, `console`, `flags` and `simulator`"
            ))),
        },
    }
}

fn run(bench: Bench, options: &[String]) -> Result<(), Failure> {
    let help = options
        .iter()
        .any(|option| option == "--help" || option == "-h");
    if help {
        print!("{HELP}");
    } else {
        tools::ensure(bench.tools)?;
    }
    step(
        "build the harness",
        &mut cargo(&["build", "--release", "--locked", "--package", bench.package]),
    )?;
    let target = target_directory()?;
    let mut harness = std::process::Command::new(target.join("release").join(bench.package));
    harness.current_dir(crate::run::root());
    if help {
        return step("help of the harness", harness.arg("--help"));
    }
    let is_measured = match bench.who {
        Who::Harness => {
            let what = format!("bench {}", bench.name);
            return step(&what, harness.args(options));
        }
        Who::Plimsoll => !options.iter().any(|option| option == "--plimsoll"),
        // A run of some peers only need not wait for the slow link of the measured binary.
        Who::Some(chosen) => {
            !options.iter().any(|option| option == chosen)
                || options.iter().any(|option| option.contains("plimsoll"))
        }
    };
    if is_measured {
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
        &format!("bench {}", bench.name),
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
