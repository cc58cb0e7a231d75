//! How many flags a second are evaluated over OFREP, and what one costs.
//!
//! `run` starts a real Plimsoll on one core with a file of flags, and `h2load` on the other. Method, reading and results:
//! `bench/README.md`.

mod flags;
mod options;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use plimsoll_bench_common::command::{first_line, free_address, need_two_cores, system, write};
use plimsoll_bench_common::failure::{self, Doing, Failure};
use plimsoll_bench_common::h2load::{self, Load};
use plimsoll_bench_common::measured::Measured;
use plimsoll_bench_common::plimsoll::{Differs, prepare};
use plimsoll_bench_common::proxy::{Proxy, folder_in};
use plimsoll_bench_common::summary::Spread;
use plimsoll_bench_common::words::Words;
use plimsoll_bench_common::{machine, process, table};

use crate::flags::{CELLS, Cell, FLAGS};
use crate::options::{HELP, Options};

/// Connections, one request at a time on each: about what the services of a small platform keep open.
const CONNECTIONS: usize = 32;

fn main() -> ExitCode {
    failure::end(dispatch(std::env::args().skip(1).collect()))
}

fn dispatch(words: Vec<String>) -> Result<(), Failure> {
    let mut words = Words::new(words);
    if words.flag("--help") || words.flag("-h") {
        print!("{HELP}");
        return Ok(());
    }
    process::raise_fd_limit();
    let options = Options::read(&mut words)?;
    words.end()?;
    need_two_cores()?;
    let folder = std::env::temp_dir().join(format!("plimsoll-bench-flags-{}", std::process::id()));
    fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    let results = measure_all(&options, &folder);
    if let Err(error) = fs::remove_dir_all(&folder) {
        eprintln!("bench: removing {}: {error}", folder.display());
    }
    let text = markdown(&options, &results?);
    print!("{text}");
    match &options.output {
        Some(path) => fs::write(path, &text).doing(|| format!("writing {}", path.display())),
        None => Ok(()),
    }
}

fn measure_all(options: &Options, folder: &Path) -> Result<Vec<(Cell, Measured)>, Failure> {
    let mut results = Vec::new();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        for cell in CELLS {
            let measured = measure(&cell, options, folder)?;
            eprintln!(
                "  {}: {:.0}/s, {:.1} us each, {} errors",
                cell.name,
                measured.requests_per_second(),
                measured.cpu_per_request(),
                measured.errors
            );
            results.push((cell, measured));
        }
    }
    Ok(results)
}

fn measure(cell: &Cell, options: &Options, folder: &Path) -> Result<Measured, Failure> {
    let own = folder_in(folder)?;
    let flags = free_address()?;
    write(&own.join("flags.json"), &flags::file())?;
    let body = own.join("context.json");
    write(&body, cell.context)?;
    let differs = Differs {
        listen: &format!("\"{}\"", free_address()?),
        sample: "0%",
        ops: free_address()?,
        // Nobody asks for it.
        upstream: free_address()?,
        protect: "",
        route: "",
        tables: &format!("\n[flags]\nfile = \"flags.json\"\nlisten = \"{flags}\"\n"),
    };
    let call = prepare(&own, &options.plimsoll, &differs)?;
    let proxy = Proxy::start("Plimsoll", call, &[flags], &own)?;
    let load = Load {
        url: format!("http://{flags}/ofrep/v1/evaluate/flags{}", cell.path),
        body: Some(body),
        streams: None,
        connections: CONNECTIONS,
        warm_up: options.window / 3,
        window: options.window,
    };
    h2load::measure(&load, &proxy.pids, folder)
}

fn markdown(options: &Options, results: &[(Cell, Measured)]) -> String {
    let versions = [
        first_line(system(&options.plimsoll.to_string_lossy()).arg("--version")),
        first_line(system("h2load").arg("--version")),
    ];
    let machine = machine::describe(&versions.join(", "));
    let mut out = table::title("Flags over OFREP", options.quick, &machine);
    let _ = write!(
        out,
        "\nPlimsoll and h2load have a core each. {CONNECTIONS} connections, one request at a time on each; {FLAGS} flags. Median and range of {} \
         rounds of {} s. CPU time is that of the whole process.\n\n",
        options.rounds,
        options.window.as_secs_f64()
    );
    table::head(
        &mut out,
        &[
            "asked for",
            "evaluations/s",
            "CPU us per request",
            "latency P50 us",
            "P99 us",
            "not 200",
        ],
    );
    for cell in CELLS {
        let of = |figure: &dyn Fn(&Measured) -> f64| {
            let runs = results.iter().filter(|(it, _)| it.name == cell.name);
            table::show(Spread::of(runs.map(|(_, it)| figure(it))), 1)
        };
        let each = cell.evaluations as f64;
        let fields = [
            cell.name.to_owned(),
            of(&|it| each * it.requests_per_second()),
            of(&Measured::cpu_per_request),
            of(&|it| it.latency_p50.as_secs_f64() * 1e6),
            of(&|it| it.latency_p99.as_secs_f64() * 1e6),
            of(&|it| it.errors as f64),
        ];
        table::line(&mut out, fields.iter().map(String::as_str));
    }
    out
}
