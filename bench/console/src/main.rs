//! How fast is the console, what does it cost, and does the data plane notice what happens to it?
//!
//! `run` starts a real Plimsoll with many services, and this same program as the service behind all of them. Viewers, load
//! and trouble are threads of the harness. Method, reading and results: `bench/README.md`.

mod client;
mod load;
mod options;
mod report;
mod run;
mod subject;
mod trouble;

use std::process::ExitCode;

use plimsoll_bench_common::{clock, failure, machine, process, response, summary, upstream};

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
    match words.first().map(String::as_str) {
        Some("upstream") => upstream::upstream(),
        _ => run::run(&Options::read(words)?),
    }
}
