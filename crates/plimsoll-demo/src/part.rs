//! The processes of the demo other than the one a person started.

use std::process::ExitCode;

use crate::{child, load, shop};

/// Runs one part of the demo, as `plimsoll demo-part ARGS` for a program that is named in [`run`](crate::run).
///
/// - `shop SEED`: an arm's shop; `shop SEED spare`: with an endpoint of the catalogue more than it serves from.
/// - `load`: the generator for both arms.
/// - `under PID PROGRAM ARG...`: becomes PROGRAM, which is ended when process PID ends.
pub fn run_part(args: &[String]) -> ExitCode {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["shop", seed, rest @ ..] if matches!(rest, [] | ["spare"]) => match seed.parse() {
            Ok(seed) => on_one_thread(shop::run(seed, !rest.is_empty())),
            Err(_) => Err(format!("`{seed}` is no seed")),
        },
        ["load"] => on_one_thread(load::run()),
        ["under", parent, program, rest @ ..] => Err(child::become_program(parent, program, rest)),
        _ => Err(format!(
            "no part of the demo is called `{}`",
            args.join(" ")
        )),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("plimsoll demo-part: {why}");
            ExitCode::FAILURE
        }
    }
}

fn on_one_thread(part: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("starting the runtime: {error}"))?
        .block_on(part)
}
