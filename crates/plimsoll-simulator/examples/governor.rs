//! Bad days and hours with a governor and without: what it does to goodput, and how often it turns.
//!
//! ```text
//! cargo run --release -p plimsoll-simulator --example governor -- [--days N] [--hours N] [--seed S] [--show N]
//!     [--write FILE]
//! ```
//!
//! The cases are those with seeds S to S + N - 1. `--show` says what was decided in so many of the worst. `--write` puts the
//! figures between the markers of a file. Fails if a bound is not kept.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use plimsoll_simulator::days::{
    Change, Compared, LOSS_MAX, Moved, Part, at_capacity, compare_day, compare_hour, noise,
};

/// A day, and an hour, in seconds.
const DAY: u32 = 86_400;
const HOUR: u32 = 3_600;
/// Each hour is run so often with each arm.
const SEEDS: u64 = 3;
const BEGIN: &str = "<!-- figures: cargo xtask soak governor -->";
const END: &str = "<!-- end of figures -->";

fn main() -> ExitCode {
    let (mut days, mut hours, mut seed, mut show) = (100, 5, 1, 0);
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |into: &mut u64| {
            let number = arguments.next().and_then(|text| text.parse().ok());
            number.map(|number| *into = number).is_some()
        };
        let known = match argument.as_str() {
            "--days" => number(&mut days),
            "--hours" => number(&mut hours),
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
    let mut text = String::new();
    let by_day = each("days", seed, days, |seed| compare_day(seed, DAY));
    let by_hour = each("hours", seed, hours, |seed| {
        Some(compare_hour(seed, HOUR, SEEDS))
    });
    let mut kept = true;
    for (title, all, bound) in [
        ("days, as flows", &by_day, LOSS_MAX),
        (
            "hours, by request",
            &by_hour,
            LOSS_MAX + 3.0 * noise(&by_hour),
        ),
    ] {
        if !all.is_empty() {
            table(&mut text, title, all, bound);
            kept &= all.iter().all(|it| it.keeps(bound));
        }
        let mut worst: Vec<&Compared> = all.iter().collect();
        worst.sort_by(|a, b| a.least().total_cmp(&b.least()));
        for compared in worst.into_iter().take(show as usize) {
            shown(compared);
        }
    }
    for (gives_up, with) in [(false, "nothing"), (true, "some of everything")] {
        let by_six_hours = at_capacity(DAY, gives_up);
        let _always = writeln!(
            text,
            "A service that is asked for twice what it can carry for a day, with {with} to give up: {} moves in the first six \
             hours, {} in the last.",
            by_six_hours.first().unwrap_or(&0),
            by_six_hours.last().unwrap_or(&0),
        );
    }
    print!("{text}");
    if let Some(file) = file
        && let Err(error) = write(&file, &text)
    {
        eprintln!("error: writing {file}: {error}");
        kept = false;
    }
    ExitCode::from(u8::from(!kept))
}

fn table(text: &mut String, title: &str, all: &[Compared], bound: f64) {
    let _always = writeln!(
        text,
        "| {title} | number | good answers: mean | worst | best | `critical`: worst | weighted: worst |\n\
         |---|---|---|---|---|---|---|"
    );
    for part in Part::ALL {
        let of: Vec<&Compared> = all.iter().filter(|it| part.has(it)).collect();
        let good = figures(&of, |it| it.good);
        let (critical, weighted) = (
            figures(&of, |it| it.critical),
            figures(&of, |it| it.weighted),
        );
        let mean = good.iter().sum::<f64>() / good.len().max(1) as f64;
        let first = |all: &[f64]| all.first().copied().map_or("-".to_owned(), percent);
        let _always = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            part.name(),
            of.len(),
            if good.is_empty() {
                "-".to_owned()
            } else {
                percent(mean)
            },
            first(&good),
            good.last().copied().map_or("-".to_owned(), percent),
            first(&critical),
            first(&weighted),
        );
    }
    let most = |of: fn(&Moved) -> u64| all.iter().map(|it| of(&it.moved)).max().unwrap_or(0);
    let beyond = all.iter().filter(|it| !it.keeps(bound));
    let beyond: Vec<String> = beyond.map(|it| it.seed.to_string()).collect();
    let _always = writeln!(
        text,
        "\nBound: no worse than {}; beyond it: {}. Moves: {} in all; at most {} of one actuator of a service within an \
         hour, {} times in a row soon after it had gone back, {} times held shorter than the rules ask.\n",
        percent(-bound),
        if beyond.is_empty() {
            "none".to_owned()
        } else {
            format!("seeds {}", beyond.join(", "))
        },
        all.iter().map(|it| it.moved.moves).sum::<u64>(),
        most(|it| it.turns.an_hour as u64),
        most(|it| it.turns.in_a_row.into()),
        all.iter().map(|it| it.moved.turns.too_short).sum::<u32>(),
    );
}

/// In order.
fn figures(all: &[&Compared], of: fn(&Change) -> Option<f64>) -> Vec<f64> {
    let mut figures: Vec<f64> = all.iter().filter_map(|it| of(&it.change)).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

fn percent(share: f64) -> String {
    format!("{:+.3} %", 100.0 * share)
}

fn shown(compared: &Compared) {
    println!(
        "seed {}: {:?}, {:?}",
        compared.seed, compared.change, compared.moved.turns
    );
    println!("{}", plimsoll_config::scenario::write(&compared.scenario));
    for noted in compared
        .noted
        .iter()
        .filter(|it| it.moved.is_some())
        .take(60)
    {
        let at = noted.at.as_secs_f64();
        println!(
            "{at:9.1} s {} {}: {}",
            noted.gateway, noted.service, noted.text
        );
    }
}

fn write(file: &str, figures: &str) -> std::io::Result<()> {
    let text = std::fs::read_to_string(file)?;
    let cut = text.split_once(BEGIN).zip(text.split_once(END));
    let Some(((before, _), (_, after))) = cut else {
        return Err(std::io::Error::other("it has no markers for the figures"));
    };
    std::fs::write(file, format!("{before}{BEGIN}\n\n{figures}\n{END}{after}"))
}

/// Each seed, on all cores; in order.
fn each<T: Send>(
    what: &str,
    seed: u64,
    count: u64,
    run: impl Fn(u64) -> Option<T> + Sync,
) -> Vec<T> {
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return;
            }
            if index.is_multiple_of(50) {
                eprintln!("{what}: {index} of {count}");
            }
            if let Some(result) = run(seed + index) {
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push((index, result));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}
