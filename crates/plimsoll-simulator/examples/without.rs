//! Incidents whose truth is known: how often the interval of "without Plimsoll" holds it, and how wide it is.
//!
//! ```text
//! cargo run --release -p plimsoll-simulator --example without -- [--trials N] [--seed S] [--show] [--write FILE]
//! ```
//!
//! Of each kind of incident there are N, with seeds S to S + N - 1. `--show` prints each. `--write` puts the figures between
//! the markers of a file. Fails if the interval holds the truth less often than it is to.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use plimsoll_simulator::search::Range;
use plimsoll_simulator::without::Unknown;
use plimsoll_simulator::without::trial::{Kind, Trial, Tried};

/// What services carry in a second.
const SIZE: Range = Range(100.0, 400.0);
/// The share of intervals that hold the truth, at least.
const HOLDS_MIN: f64 = 0.8;
const BEGIN: &str = "<!-- figures: cargo xtask soak without -->";
const END: &str = "<!-- end of figures -->";

fn main() -> ExitCode {
    let (mut trials, mut seed, mut shows) = (10, 1, false);
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |into: &mut u64| {
            let number = arguments.next().and_then(|text| text.parse().ok());
            number.map(|number| *into = number).is_some()
        };
        let known = match argument.as_str() {
            "--trials" => number(&mut trials),
            "--seed" => number(&mut seed),
            "--show" => {
                shows = true;
                true
            }
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
    let seeds = || seed..seed + trials;
    let cases = Kind::ALL
        .into_iter()
        .flat_map(|kind| seeds().map(move |seed| (kind, seed)));
    let all = run(&cases.collect::<Vec<_>>());
    if shows {
        all.iter().for_each(|tried| println!("{}", row(tried)));
    }
    let (text, holds) = table(&all);
    print!("{text}");
    let mut kept = holds >= HOLDS_MIN;
    if let Some(file) = file
        && let Err(error) = write(&file, &text)
    {
        eprintln!("error: writing {file}: {error}");
        kept = false;
    }
    ExitCode::from(u8::from(!kept))
}

/// The table, and the share of intervals that hold the truth.
fn table(all: &[Tried]) -> (String, f64) {
    let mut text = String::from(
        "| incident | trials | told | interval holds the truth | median half-width | median error of the estimate |\n\
         |---|---|---|---|---|---|\n",
    );
    let mut holds = 0.0;
    for kind in Kind::ALL.into_iter().map(Some).chain([None]) {
        let of = all
            .iter()
            .filter(|it| kind.is_none_or(|kind| kind == it.kind));
        let of: Vec<&Tried> = of.collect();
        let held: Vec<bool> = of.iter().filter_map(|it| it.holds()).collect();
        holds = held.iter().filter(|it| **it).count() as f64 / held.len().max(1) as f64;
        let _always = writeln!(
            text,
            "| {} | {} | {} | {:.0} % | ± {} | {} |",
            kind.map_or("all", Kind::name),
            of.len(),
            held.len(),
            100.0 * holds,
            median(of.iter().filter_map(|it| it.half_width())),
            median(of.iter().filter_map(|it| it.error())),
        );
    }
    let why = |unknown: Unknown| all.iter().filter(move |it| it.said == Err(unknown)).count();
    let _always = writeln!(
        text,
        "\nNot told: {} times since next to nothing was refused or passed over, {} times since requests were refused while the \
         service was not full, {} times since too few came.\n\nThe truth is beside the interval in:\n\n\
         | incident | seed | requests | bad, as recorded | truth | estimate | interval |\n|---|---|---|---|---|---|---|",
        why(Unknown::NothingActed),
        why(Unknown::NotFull),
        why(Unknown::TooFew),
    );
    for tried in all.iter().filter(|it| it.holds() == Some(false)) {
        let _always = writeln!(text, "{}", row(tried));
    }
    (text, holds)
}

fn row(tried: &Tried) -> String {
    let (name, seed, truth) = (tried.kind.name(), tried.seed, tried.truth);
    match &tried.said {
        Ok(said) => format!(
            "| {name} | {seed} | {} | {} | {truth:.0} | {} | {} to {} |",
            said.requests, said.bad, said.without, said.least, said.most
        ),
        Err(unknown) => format!("| {name} | {seed} | | | {truth:.0} | {unknown} | |"),
    }
}

fn median(values: impl Iterator<Item = f64>) -> String {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2);
    middle.map_or("-".to_owned(), |value| format!("{:.0} %", 100.0 * value))
}

/// Runs them on all cores; in order.
fn run(cases: &[(Kind, u64)]) -> Vec<Tried> {
    let next = AtomicUsize::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some((kind, seed)) = cases.get(index) else {
                return;
            };
            let tried = Trial::draw(*kind, *seed, SIZE).run();
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((index, tried));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, tried)| tried).collect()
}

fn write(file: &str, figures: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let cut = text.split_once(BEGIN).zip(text.split_once(END));
    let Some(((before, _), (_, after))) = cut else {
        return Err(std::io::Error::other("it has no markers for the figures"));
    };
    std::fs::write(file, format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}
