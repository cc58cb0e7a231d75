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

use std::process::ExitCode;

use plimsoll_bench_common::{clock, command, failure, machine, process, proxy, random, words};

use crate::failure::Failure;
use crate::options::{HELP, Options};

fn main() -> ExitCode {
    failure::end(dispatch(std::env::args().skip(1).collect()))
}

fn dispatch(words: Vec<String>) -> Result<(), Failure> {
    if words.iter().any(|word| word == "--help" || word == "-h") {
        print!("{HELP}");
        return Ok(());
    }
    process::raise_fd_limit();
    run::run(&Options::read(words)?)
}
