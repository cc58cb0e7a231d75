//! nginx, Varnish and Plimsoll in turn in one run: what does a stored answer cost, how many requests does a store of bounded size
//! keep from the origin, and how many does a crowd send there?
//!
//! This program is harness, origin and load in one process on one core; the proxy that is measured has another core for itself.
//! Method, reading and results: `bench/README.md`.

mod client;
mod crowd;
mod hit;
mod objects;
mod options;
mod origin;
mod peer;
mod popularity;
mod report;
mod run;

use std::process::ExitCode;

use plimsoll_bench_common::{
    clock, command, failure, h2load, machine, measured, process, proxy, random, response, summary,
    table, words,
};

use crate::failure::Failure;
use crate::options::{HELP, Options};
use crate::words::Words;

fn main() -> ExitCode {
    failure::end(dispatch(std::env::args().skip(1).collect()))
}

fn dispatch(arguments: Vec<String>) -> Result<(), Failure> {
    let mut words = Words::new(arguments);
    if words.flag("--help") || words.flag("-h") {
        print!("{HELP}");
        return Ok(());
    }
    process::raise_fd_limit();
    run::run(&Options::read(&mut words)?)
}
