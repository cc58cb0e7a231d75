//! nginx, HAProxy and Plimsoll in turn in one run: what does a proxied request cost?
//!
//! `run` is the harness; it starts this same program as upstream and as load, pinned to another core than
//! the proxy that is measured. Method, reading and results: `bench/README.md`.

mod cell;
mod clock;
mod failure;
mod h2load;
mod idle;
mod load;
mod machine;
mod options;
mod peer;
mod plan;
mod process;
mod report;
mod response;
mod run;
mod summary;
mod upstream;

use std::process::ExitCode;

use crate::failure::Failure;
use crate::options::{HELP, Words};

fn main() -> ExitCode {
    match dispatch(std::env::args().skip(1).collect()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("bench: {}", failure.chain());
            ExitCode::from(failure.status())
        }
    }
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
