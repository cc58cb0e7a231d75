//! nginx, HAProxy and Plimsoll in turn in one run: what is served when not all fits?
//!
//! This program is harness, upstream and load in one process on one core; the proxy that is measured has another core
//! for itself. Method and reading: `bench/overload/README.md`.

mod answer;
mod arrivals;
mod cell;
mod load;
mod options;
mod peer;
mod plan;
mod run;
mod station;
mod table;
mod tally;
mod upstream;

// What all benches need is kept once, with the first.
#[allow(dead_code, reason = "the other bench uses the rest")]
#[path = "../../http/src/clock.rs"]
mod clock;
#[path = "../../http/src/failure.rs"]
mod failure;
#[path = "../../http/src/machine.rs"]
mod machine;
#[allow(dead_code, reason = "the other bench uses the rest")]
#[path = "../../http/src/process.rs"]
mod process;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::options::{HELP, Options};

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {}", failure.chain());
            ExitCode::from(failure.status())
        }
    }
}

fn dispatch(words: Vec<String>) -> Result<(), Failure> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    process::raise_fd_limit();
    run::run(&Options::read(words)?)
}
