//! How fast is the simulator, and what does it keep in memory?
//!
//! `run` starts this same program once for each cell of each round, so that the peak of memory is the cell's own.
//! All times are CPU times of one core: what else runs on the machine changes them little. Reading and results:
//! `bench/README.md`.

mod cell;
mod fleet;
mod hold;
mod options;
mod run;

use std::process::ExitCode;

use plimsoll_bench_common::{failure, machine, summary};

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
    match words.split_first() {
        Some((first, names)) if first == "cell" => {
            let name = names.first().map_or("", String::as_str);
            match name.ends_with(".toml") {
                true => cell::measure_file(name),
                false => cell::named(name)?.measure(),
            }
        }
        _ => run::run(&Options::read(words)?),
    }
}
