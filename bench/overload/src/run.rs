//! The harness: rounds over cells over scenarios over rows, then the tables.

use std::path::{Path, PathBuf};

use rustix::thread::{CpuSet, sched_setaffinity};
use serde_json::{Value, json};

use crate::cell::{Cell, Letter, Scenario};
use crate::clock::now;
use crate::command::{LOAD_CORE, need_two_cores};
use crate::failure::{Doing, Failure};
use crate::load::{self, Seen};
use crate::machine;
use crate::options::Options;
use crate::peer::{Row, Running};
use crate::table::{self, Line, Quality, Run};
use crate::tally::Span;
use crate::upstream::Upstream;

/// Begins the name of every folder of a run.
const FOLDER: &str = "plimsoll-bench-overload-";

/// Runs everything and writes the tables.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    need_two_cores()?;
    let rows = options.rows.iter().copied().filter(|row| {
        let installed = !row.version(&options.plimsoll).is_empty();
        if !installed {
            eprintln!("bench: {} is not there: left out", row.name());
        }
        installed
    });
    let rows: Vec<Row> = rows.collect();
    let mut versions: Vec<String> = options
        .rows
        .iter()
        .map(|row| row.version(&options.plimsoll))
        .collect();
    versions.dedup();
    let machine = machine::describe(&versions.join("; "));
    let mut core = CpuSet::new();
    core.set(LOAD_CORE);
    sched_setaffinity(None, &core).doing(|| "taking a core".to_owned())?;
    remove_old_folders();
    let folder = std::env::temp_dir().join(format!("{FOLDER}{}", std::process::id()));
    std::fs::create_dir_all(&folder).doing(|| format!("creating {}", folder.display()))?;
    let result = measure_all(options, &rows, &folder);
    if let Err(error) = std::fs::remove_dir_all(&folder) {
        eprintln!("bench: removing {}: {error}", folder.display());
    }
    let cells = result?;
    let mut text = head(options, &machine);
    let mut values = Vec::new();
    for (letter, cell, lines) in &cells {
        text.push_str(&table::markdown(*letter, cell, lines));
        values.push(table::json(*letter, cell, lines));
    }
    println!("\n{text}");
    if let Some(path) = &options.output {
        write(path, &text)?;
    }
    if let Some(path) = &options.json {
        let value: Value = json!({ "machine": machine, "seed": options.seed, "cells": values });
        write(path, &format!("{value:#}\n"))?;
    }
    Ok(())
}

fn head(options: &Options, machine: &str) -> String {
    let quick = if options.quick {
        "\n**A quick run: it shows that the bench works; do not quote it.**\n"
    } else {
        ""
    };
    format!(
        "# Overload: nginx, HAProxy and Plimsoll side by side\n{quick}\n{machine}\
         - Run: {} rounds, windows of {:.1} s, seed {}; several samples: median (smallest-largest).\n\
         - Each endpoint serves 8 requests at a time, 5 ms each: 1600/s, in order, without a bound on its queue, and gives no \
         work up. Send times are those of a Poisson process; a client gives up after 1 s. Good: 2xx within 250 ms of the \
         intended moment.\n\
         - The proxy alone on core 0; load and upstream on core 1.\n",
        options.rounds,
        options.steady.as_secs_f64(),
        options.seed,
    )
}

type Measured = Vec<(Letter, Cell, Vec<Line>)>;

fn measure_all(options: &Options, rows: &[Row], folder: &Path) -> Result<Measured, Failure> {
    let mut cells: Measured = Vec::new();
    for &letter in &options.cells {
        let cell = letter.cell(options);
        let of = |scenario: &Scenario, row: Row| Line {
            scenario: scenario.name.clone(),
            row,
            runs: Vec::new(),
        };
        let rows = rows
            .iter()
            .filter(|row| cell.addresses || !row.is_for_addresses());
        let lines = cell
            .scenarios
            .iter()
            .flat_map(|scenario| rows.clone().map(move |row| of(scenario, *row)));
        let lines = lines.collect();
        cells.push((letter, cell, lines));
    }
    let begun = now();
    for round in 0..options.rounds {
        for (letter, cell, lines) in &mut cells {
            for repeat in 0..cell.repeats {
                let number = round * cell.repeats + repeat;
                let seed = options.seed.wrapping_add(number as u64);
                for scenario in &cell.scenarios {
                    let mut of: Vec<&mut Line> = lines
                        .iter_mut()
                        .filter(|line| line.scenario == scenario.name)
                        .collect();
                    // Another order in each round: none always runs on what another left behind.
                    let turn = number % of.len().max(1);
                    of.rotate_left(turn);
                    for line in of {
                        let run = measure(scenario, line.row, seed, options, folder)?;
                        eprintln!(
                            "round {}, {} {}, {}: {} ({:.0} s)",
                            number + 1,
                            letter.name(),
                            scenario.name,
                            line.row.name(),
                            brief(cell, &run),
                            begun.elapsed().as_secs_f64(),
                        );
                        line.runs.push(run);
                    }
                }
            }
        }
    }
    Ok(cells)
}

/// A run in one line, for who waits.
fn brief(cell: &Cell, run: &Run) -> String {
    let names = cell.columns.iter().map(|column| column.name);
    let figures = names.zip(&run.figures).map(|(name, value)| match value {
        Some(value) => format!("{name} {value:.1}"),
        None => format!("{name} -"),
    });
    let mut parts: Vec<String> = figures.collect();
    parts.push(format!(
        "load P99 late {:.1} ms",
        run.quality.lateness_p99_ms
    ));
    let Quality { load_core, own, .. } = run.quality;
    parts.push(format!(
        "load core {:.0} %, own {:.0} %",
        100.0 * load_core,
        100.0 * own
    ));
    parts.extend(run.quality.doubts().into_iter().map(str::to_owned));
    parts.join(", ")
}

/// One run of one row, with a proxy and an upstream of its own.
fn measure(
    scenario: &Scenario,
    row: Row,
    seed: u64,
    options: &Options,
    folder: &Path,
) -> Result<Run, Failure> {
    let upstream = Upstream::start(scenario.endpoints)?;
    let proxy = Running::start(
        row,
        scenario.shape,
        &upstream.addresses,
        &options.plimsoll,
        folder,
    )?;
    let seen = load::run(
        &scenario.script,
        seed,
        proxy.address,
        proxy.pids(),
        &upstream,
    )?;
    drop(proxy);
    Ok(Run {
        figures: (scenario.judge)(&seen),
        quality: quality(&seen),
    })
}

fn quality(seen: &Seen) -> Quality {
    let ends = seen.readings.first().zip(seen.readings.last());
    let between = ends.and_then(|(first, last)| seen.between(Span(first.at, last.at)));
    let share = |time: f64, seconds: f64| time / seconds.max(1e-9);
    Quality {
        foreign: between
            .as_ref()
            .map_or(0.0, |between| share(between.foreign, between.seconds)),
        lateness_p99_ms: seen.lateness_p99(),
        load_core: between
            .as_ref()
            .map_or(0.0, |between| share(between.load_core, between.seconds)),
        own: between
            .as_ref()
            .map_or(0.0, |between| share(between.own, between.seconds)),
        ports_missed: seen.ports_missed,
        connections_peak: seen.connections_peak,
    }
}

fn write(path: &PathBuf, text: &str) -> Result<(), Failure> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).doing(|| format!("creating {}", parent.display()))?;
    }
    std::fs::write(path, text).doing(|| format!("writing {}", path.display()))?;
    println!("written to {}", path.display());
    Ok(())
}

/// A run that was killed could not remove its folder.
fn remove_old_folders() {
    let entries = std::fs::read_dir(std::env::temp_dir());
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(FOLDER);
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            eprintln!("bench: removing {name}: {error}");
        }
    }
}
