//! nginx, HAProxy and Plimsoll in turn in one run: what does a proxied request cost?
//!
//! `run` is the harness; it starts this same program as upstream and as load, pinned to another core than
//! the proxy that is measured. Method, reading and results: `bench/README.md`.

mod cell;
mod idle;
mod load;
mod options;
mod peer;
mod plan;
mod report;
mod run;

use std::process::ExitCode;

use plimsoll_bench_common::{
    clock, command, failure, h2load, machine, measured, process, proxy, response, summary, table,
    upstream, words,
};

use crate::failure::Failure;
use crate::options::HELP;
use crate::words::Words;

fn main() -> ExitCode {
    failure::end(dispatch(std::env::args().skip(1).collect()))
}

fn dispatch(arguments: Vec<String>) -> Result<(), Failure> {
    process::raise_fd_limit();
    let mut words = Words::new(arguments);
    match words.command().as_deref() {
        Some("upstream") => upstream::upstream(),
        Some("load") => load::load(&mut words),
        Some("idle") => idle::idle(&mut words),
        Some("help") => {
            print!("{HELP}");
            Ok(())
        }
        Some(other) => Err(Failure::usage(format!("there is no command `{other}`"))),
        None => run::run(options::Options::read(&mut words)?),
    }
}
