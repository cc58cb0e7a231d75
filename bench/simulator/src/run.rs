//! The harness: all cells in turn, round by round, and the table.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use crate::cell::Cell;
use crate::failure::{Doing, Failure};
use crate::machine;
use crate::options::Options;
use crate::summary::Spread;

/// What is aimed at: which figure of which cell, and at least or at most how much.
const TARGETS: [(&str, &str, Bound); 9] = [
    ("hold-10k", "events_per_second", Bound::AtLeast(10e6)),
    ("shop", "requests_per_minute", Bound::AtLeast(5e6)),
    ("overload", "requests_per_minute", Bound::AtLeast(5e6)),
    ("large", "requests_per_minute", Bound::AtLeast(5e6)),
    (
        "large",
        "steady.pairs_out_of_well_endpoints_max",
        Bound::AtMost(0.0),
    ),
    // Nine tenths of what is possible.
    ("alone-1", "60s.good", Bound::AtLeast(0.6)),
    ("alone-10", "60s.good", Bound::AtLeast(0.6)),
    ("vast", "memory_mib", Bound::AtMost(12.0 * 1024.0)),
    ("under-way-1m", "memory_mib", Bound::AtMost(1024.0)),
];

#[derive(Clone, Copy)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// By cell and figure, a value for each round.
type Figures = BTreeMap<(&'static str, String), Vec<f64>>;

/// Runs all cells, and shows what they gave.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let version = env!("CARGO_PKG_VERSION");
    let machine = machine::describe(&format!("plimsoll-simulator {version}, profile `release`"));
    let mut figures = Figures::new();
    // In the order in which a cell gives them.
    let mut names: Vec<(&'static str, String)> = Vec::new();
    for round in 1..=options.rounds {
        for cell in &options.cells {
            eprintln!("round {round} of {}: {}", options.rounds, cell.name);
            for (name, value) in child(*cell)? {
                let key = (cell.name, name);
                if !figures.contains_key(&key) {
                    names.push(key.clone());
                }
                figures.entry(key).or_default().push(value);
            }
        }
    }
    let text = markdown(options, &machine, &names, &figures);
    print!("{text}");
    if let Some(path) = &options.output {
        fs::write(path, &text).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Runs a cell in a process of its own.
fn child(cell: Cell) -> Result<Vec<(String, f64)>, Failure> {
    let program = std::env::current_exe().doing(|| "looking for this program".into())?;
    let output = Command::new(program)
        .args(["cell", cell.name])
        .output()
        .doing(|| format!("starting cell {}", cell.name))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(Failure::unexpected(format!("cell {}: {said}", cell.name)));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let line = |line: &str| {
        let (name, value) = line.split_once(' ')?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    let figures: Option<Vec<_>> = text.lines().map(line).collect();
    figures.ok_or_else(|| Failure::unexpected(format!("cell {} said `{text}`", cell.name)))
}

fn markdown(
    options: &Options,
    machine: &str,
    names: &[(&'static str, String)],
    figures: &Figures,
) -> String {
    let spread = |key: &(&'static str, String)| {
        let values = figures.get(key)?;
        Spread::of(values.iter().copied())
    };
    let mut out = format!(
        "# The simulator: speed and memory\n\n{machine}- Run: {} interleaved rounds; median (smallest-largest). CPU \
         time of one core.\n\n",
        options.rounds
    );
    let mut put = |fields: &[&str]| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} |", fields.join(" | "));
    };
    put(&["aim", "is", "measured", "met"]);
    put(&["---"; 4]);
    for (cell, name, bound) in TARGETS {
        let Some(found) = spread(&(cell, name.to_owned())) else {
            continue;
        };
        let (words, met) = match bound {
            Bound::AtLeast(least) => (format!("at least {least}"), found.median >= least),
            Bound::AtMost(most) => (format!("at most {most}"), found.median <= most),
        };
        let met = if met { "yes" } else { "no" };
        put(&[&format!("{cell}: {name}"), &words, &show(found), met]);
    }
    for cell in &options.cells {
        let _ = write!(out, "\n{}: {}\n\n", cell.name, cell.about);
        for key in names.iter().filter(|(of, _)| *of == cell.name) {
            if let Some(found) = spread(key) {
                let _ = writeln!(out, "- {}: {}", key.1, show(found));
            }
        }
    }
    out
}

fn show(spread: Spread) -> String {
    let digits = if spread.median >= 100.0 { 0 } else { 4 };
    spread.show(digits)
}
