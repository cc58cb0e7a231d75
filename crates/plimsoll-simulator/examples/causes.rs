//! Incidents with a known cause: how often it ranks first among the suspects, by kind, with its interval.
//!
//! ```text
//! cargo run --release -p plimsoll-simulator --example causes -- [--seeds N] [--seed S] [--show N] [--write FILE]
//! ```
//!
//! Of each kind the incidents with seeds S to S + N - 1 are run. `--show` says of so many misses what was found. `--write` puts
//! the figures between the markers of a file.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plimsoll_simulator::incidents::{Kind, Outcome, run};

const BEGIN: &str = "<!-- figures: cargo xtask soak causes -->";
const END: &str = "<!-- end of figures -->";
/// Of a normal distribution, for 95 %.
const Z: f64 = 1.96;
/// Misses of a kind that are named.
const NAMED_MAX: usize = 3;

fn main() -> ExitCode {
    let (mut seeds, mut seed, mut show) = (5, 1, 0);
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |into: &mut u64| {
            let number = arguments.next().and_then(|text| text.parse().ok());
            number.map(|number| *into = number).is_some()
        };
        let known = match argument.as_str() {
            "--seeds" => number(&mut seeds),
            "--seed" => number(&mut seed),
            "--show" => number(&mut show),
            "--write" => {
                file = arguments.next();
                file.is_some()
            }
            _ => false,
        };
        if !known {
            eprintln!("what is {argument}? See the example's head");
            return ExitCode::from(2);
        }
    }
    let outcomes = each(seed, seeds);
    let missed = outcomes
        .iter()
        .filter(|it| it.is_called() && !it.is_right());
    for outcome in missed.take(show as usize) {
        shown(outcome);
    }
    let text = table(&outcomes, seed, seeds);
    print!("{text}");
    if let Some(file) = file
        && let Err(error) = write(&file, &text)
    {
        eprintln!("error: writing {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn table(outcomes: &[Outcome], seed: u64, seeds: u64) -> String {
    let mut text = format!(
        "Seeds {seed} to {}.\n\n\
         | incident | called | first | among the suspects | onset off by, median | first instead |\n\
         |---|---|---|---|---|---|\n",
        seed + seeds.saturating_sub(1)
    );
    for kind in Kind::ALL {
        let of: Vec<&Outcome> = outcomes.iter().filter(|it| it.kind == kind).collect();
        row(&mut text, kind.name(), &of);
    }
    let all: Vec<&Outcome> = outcomes.iter().collect();
    row(&mut text, "all", &all);
    let called = all.iter().filter(|it| it.is_called()).count();
    let right = all.iter().filter(|it| it.is_right()).count();
    let (low, high) = wilson(right, called);
    let _always = writeln!(
        text,
        "\nThe cause ranks first in {right} of {called} incidents that somebody was called for: {:.1} %, \
         with 95 % between {:.1} and {:.1} %.",
        100.0 * right as f64 / called.max(1) as f64,
        100.0 * low,
        100.0 * high
    );
    text
}

fn row(text: &mut String, name: &str, of: &[&Outcome]) {
    let count = |is: fn(&Outcome) -> bool| of.iter().filter(|it| is(it)).count();
    let mut errors: Vec<u64> = of.iter().filter_map(|it| it.error_seconds).collect();
    errors.sort_unstable();
    let error = errors.get(errors.len() / 2);
    let missed = of.iter().filter(|it| it.is_called() && !it.is_right());
    let mut instead: Vec<&str> = missed
        .filter_map(|it| Some(it.first()?.kind.name()))
        .collect();
    instead.sort_unstable();
    instead.dedup();
    instead.truncate(NAMED_MAX);
    let _always = writeln!(
        text,
        "| {name} | {} of {} | {} | {} | {} | {} |",
        count(Outcome::is_called),
        of.len(),
        count(Outcome::is_right),
        count(|it| it.rank.is_some()),
        error.map_or("-".to_owned(), |it| format!("{it} s")),
        instead.join(", ")
    );
}

/// E. Wilson's interval of a share (1927).
fn wilson(of: usize, all: usize) -> (f64, f64) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (all as f64, of as f64 / all as f64);
    let z = Z * Z / n;
    let middle = (p + z / 2.0) / (1.0 + z);
    let half = Z / (1.0 + z) * (p * (1.0 - p) / n + z / (4.0 * n)).sqrt();
    (middle - half, middle + half)
}

fn shown(outcome: &Outcome) {
    println!(
        "{}, seed {}: the cause is {}, rank {:?}; onset off by {:?} s",
        outcome.kind.name(),
        outcome.seed,
        outcome.cause,
        outcome.rank,
        outcome.error_seconds
    );
    let Some(onset) = &outcome.onset else {
        return;
    };
    for suspect in &onset.suspects {
        println!("  {} {}: {}", suspect.rank, suspect.word(), suspect.what);
        for evidence in &suspect.evidence {
            let sign = if evidence.supports { '+' } else { '-' };
            println!("      {sign} {}: {}", evidence.kind.name(), evidence.says);
        }
    }
    println!("  even: {}", onset.even.join("; "));
    println!("  unseen: {}", onset.unseen.join("; "));
}

fn write(file: &str, figures: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let cut = text.split_once(BEGIN).zip(text.split_once(END));
    let Some(((before, _), (_, after))) = cut else {
        return Err(std::io::Error::other("it has no markers for the figures"));
    };
    std::fs::write(file, format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

/// Each kind with each seed, on all cores; in order.
fn each(seed: u64, seeds: u64) -> Vec<Outcome> {
    let cases = Kind::ALL.len() as u64 * seeds;
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let kind = Kind::ALL.get((index / seeds.max(1)) as usize);
            let Some(kind) = kind.filter(|_| index < cases) else {
                return;
            };
            let outcome = run(*kind, seed + index % seeds);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((index, outcome));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}
