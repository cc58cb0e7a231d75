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

// What all benches need is kept once, with the first.
#[allow(dead_code, reason = "another bench uses the rest")]
#[path = "../../http/src/clock.rs"]
mod clock;
#[path = "../../http/src/failure.rs"]
mod failure;
#[path = "../../http/src/machine.rs"]
mod machine;
#[allow(dead_code, reason = "another bench uses the rest")]
#[path = "../../http/src/process.rs"]
mod process;
#[path = "../../http/src/response.rs"]
mod response;
#[path = "../../http/src/summary.rs"]
mod summary;
#[path = "../../http/src/upstream.rs"]
mod upstream;

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
    match words.first().map(String::as_str) {
        Some("upstream") => upstream::upstream(),
        _ => run::run(&Options::read(words)?),
    }
}
