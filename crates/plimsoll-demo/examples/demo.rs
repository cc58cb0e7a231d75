//! The demo without the rest of Plimsoll, for work on the demo itself:
//! `cargo run -p plimsoll-demo --example demo -- --against nginx --stand-in nginx`.

use std::process::ExitCode;

use plimsoll_demo::{DemoOptions, Length, run, run_part};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let Some((first, rest)) = args.split_first()
        && first == "demo-part"
    {
        return run_part(rest);
    }
    let mut options = DemoOptions {
        seed: 7,
        ..DemoOptions::default()
    };
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        let mut value = || args.next().cloned().unwrap_or_default();
        match arg.as_str() {
            "--seed" => options.seed = value().parse().unwrap_or(7),
            "--against" => options.against = value().parse().ok(),
            "--stand-in" => options.stand_in = value().parse().ok(),
            "--program" => options.program = Some(value().into()),
            "--keep" => options.keep = true,
            "--plain" => options.plain = true,
            "--json" => options.json = true,
            "--fast" => options.length = Length::Short,
            _ => {
                eprintln!("unknown: {arg}");
                return ExitCode::from(2);
            }
        }
    }
    run(&options)
}
