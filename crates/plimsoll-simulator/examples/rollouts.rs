//! Rollouts whose truth is known: how often versions that are no worse are rolled back, and how soon those that are.
//!
//! ```text
//! cargo run --release -p plimsoll-simulator --example rollouts -- [--alike N] [--worse N] [--write FILE]
//! ```
//!
//! `--alike` rollouts of each case in which both versions are alike, `--worse` of each in which one is worse. Seeds are 0 to
//! N - 1. `--write` puts the figures between the markers of a file.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use plimsoll_policy::rollout::{Parameters, Step, Weight};
use plimsoll_simulator::rollouts::{
    Change, Course, Glitch, Shape, Trial, World, by_peers, by_plimsoll,
};

const BEGIN: &str = "<!-- figures: cargo xtask soak rollouts -->";
const END: &str = "<!-- end of figures -->";
/// Of a normal distribution, for 95 %.
const Z: f64 = 1.96;
const HOUR: f64 = 3_600.0;
/// The default steps, a cool-down and some holding.
const WHOLE: f64 = 3.0 * HOUR;
/// What peers are given, and Plimsoll beside them.
const WEIGHT: f64 = 0.05;

fn main() -> ExitCode {
    let (mut alike, mut worse) = (200, 40);
    let mut file = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = |into: &mut u64| {
            let number = arguments.next().and_then(|text| text.parse().ok());
            number.map(|number| *into = number).is_some()
        };
        let known = match argument.as_str() {
            "--alike" => number(&mut alike),
            "--worse" => number(&mut worse),
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
    false_rollbacks(&mut text, alike);
    whole_alike(&mut text, alike);
    found(&mut text, worse);
    whole_worse(&mut text, worse);
    latencies(&mut text, alike / 5, worse);
    print!("{text}");
    if let Some(file) = file
        && let Err(error) = write(&file, &text)
    {
        eprintln!("error: writing {file}: {error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn alike_cases() -> Vec<(&'static str, World)> {
    let usual = World::alike(100.0, 0.001);
    let glitch = |per_hour, seconds, bad| World {
        glitch: Some(Glitch {
            per_hour,
            seconds,
            bad,
        }),
        ..usual
    };
    vec![
        (
            "independent, 1,000 requests/s",
            World::alike(1_000.0, 0.001),
        ),
        ("independent, 100 requests/s", usual),
        ("independent, 10 requests/s", World::alike(10.0, 0.001)),
        ("independent, 1 request/s", World::alike(1.0, 0.001)),
        ("independent, 0.01 % bad", World::alike(100.0, 0.000_1)),
        ("independent, 2 % bad", World::alike(100.0, 0.02)),
        (
            "both fail 50 times as often for two minutes",
            World {
                course: Course::Burst,
                ..usual
            },
        ),
        (
            "the rate of both goes up and down by 90 %",
            World {
                course: Course::Drift,
                ..usual
            },
        ),
        (
            "the rate of both is three times as high for 20 minutes",
            World {
                course: Course::Steps,
                ..usual
            },
        ),
        (
            "one route of 20 fails in both (20 %)",
            World {
                routes: 20,
                odd: 0.2,
                ..usual
            },
        ),
        (
            "clusters of 3",
            World {
                cluster: 3.0,
                ..usual
            },
        ),
        (
            "clusters of 10",
            World {
                cluster: 10.0,
                ..usual
            },
        ),
        (
            "an instance is 30 % bad for 10 s, 2/h each",
            glitch(2.0, 10.0, 0.3),
        ),
        (
            "an instance is 10 % bad for 60 s, 0.5/h each",
            glitch(0.5, 60.0, 0.1),
        ),
    ]
}

fn worse_cases() -> Vec<(&'static str, World)> {
    let with = |per_second, base, times, plus| World {
        change: Change {
            times,
            plus,
            plus_odd: 0.0,
        },
        ..World::alike(per_second, base)
    };
    vec![
        ("100/s, 0.1 %, x2", with(100.0, 0.001, 2.0, 0.0)),
        ("100/s, 0.1 %, x5", with(100.0, 0.001, 5.0, 0.0)),
        ("100/s, 0.1 %, +10 points", with(100.0, 0.001, 1.0, 0.1)),
        ("1,000/s, 0.1 %, x2", with(1_000.0, 0.001, 2.0, 0.0)),
        ("1,000/s, 1 %, x1.2", with(1_000.0, 0.01, 1.2, 0.0)),
        ("1,000/s, 0.01 %, x5", with(1_000.0, 0.000_1, 5.0, 0.0)),
        ("10/s, 0.1 %, x5", with(10.0, 0.001, 5.0, 0.0)),
        ("10/s, 0.1 %, +10 points", with(10.0, 0.001, 1.0, 0.1)),
        ("1/s, 0.1 %, +10 points", with(1.0, 0.001, 1.0, 0.1)),
        (
            "100/s, one route of 20 fails (20 %)",
            World {
                routes: 20,
                change: Change {
                    plus_odd: 0.2,
                    ..Change::NONE
                },
                ..World::alike(100.0, 0.001)
            },
        ),
        (
            "100/s, clusters of 10, +10 points",
            World {
                cluster: 10.0,
                ..with(100.0, 0.001, 1.0, 0.1)
            },
        ),
        (
            "100/s, clusters of 10, x5",
            World {
                cluster: 10.0,
                ..with(100.0, 0.001, 5.0, 0.0)
            },
        ),
        (
            "100/s, drift of 90 %, x5",
            World {
                course: Course::Drift,
                ..with(100.0, 0.001, 5.0, 0.0)
            },
        ),
    ]
}

/// An hour, or as long as is looked at, at 5 %: what all judges can do.
fn at_five() -> Parameters {
    let mut parameters = Parameters::canary();
    parameters.steps = vec![Step {
        weight: Weight::of_parts(500),
        at_least: Duration::from_secs(7 * 86_400),
        gate: false,
    }];
    parameters
}

fn false_rollbacks(text: &mut String, runs: u64) {
    let _always = write!(
        text,
        "### Versions that are alike, an hour at 5 %\n\n\
         {runs} rollouts of each. Where nothing else is said: 100 requests/s, 0.1 % bad in both. Rolled back, in %; in brackets: between what, with 95 %.\n\n\
         | both versions are alike | Plimsoll | paused once | Flagger | Argo | Mann-Whitney | binomial |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for (name, world) in alike_cases() {
        let ours = each(runs, |seed| by_plimsoll(world, seed, at_five(), HOUR, 10.0));
        let peers = each(runs, |seed| by_peers(world, seed, WEIGHT, HOUR));
        let (low, high) = wilson(count(&ours, |it| it.stopped), ours.len());
        let _always = write!(
            text,
            "| {name} | **{}** ({:.2} to {:.2}) | {}",
            percent(&ours, |it| it.stopped),
            100.0 * low,
            100.0 * high,
            percent(&ours, |it| it.struck)
        );
        for judge in 0..4 {
            let of = one(&peers, judge);
            let _always = write!(text, " | {}", percent(&of, |it| it.stopped));
        }
        text.push_str(" |\n");
    }
}

fn whole_alike(text: &mut String, runs: u64) {
    let _always = write!(
        text,
        "\n### Versions that are alike, through the default steps\n\n\
         {runs} rollouts of each, for three hours at most: 1 % for 5 minutes, 5 % for 10, 20 % for 20, 50 % for 20, 100 % for an hour. In %.\n\n\
         | both versions are alike | rolled back | paused once | promoted | median minutes to it |\n\
         |---|---|---|---|---|\n"
    );
    for (name, world) in alike_cases() {
        let ours = each(runs, |seed| {
            by_plimsoll(world, seed, Parameters::canary(), WHOLE, 10.0)
        });
        let (low, high) = wilson(count(&ours, |it| it.stopped), ours.len());
        let _always = writeln!(
            text,
            "| {name} | **{}** ({:.2} to {:.2}) | {} | {} | {} |",
            percent(&ours, |it| it.stopped),
            100.0 * low,
            100.0 * high,
            percent(&ours, |it| it.struck),
            percent(&ours, |it| it.promoted),
            quantile(&ours, 0.5, |it| it.promoted.map(|it| it / 60.0))
        );
    }
}

fn found(text: &mut String, runs: u64) {
    let _always = write!(
        text,
        "\n### Versions that are worse, an hour at 5 %\n\n\
         {runs} rollouts of each. Each cell: how many were stopped within the hour, in %; median and P95 of the seconds to it (`-`: more than half, or than one in 20, were not); \
         median of the bad answers until then, and of the users who got one, if each sends one request a minute and stays with its version. \
         Of Plimsoll first when the new version had no traffic for the first time, then when it was rolled back, 120 s without traffic included.\n\n\
         | requests, bad before, change | Plimsoll: no traffic | Plimsoll: rolled back | Flagger | Argo | Mann-Whitney |\n\
         |---|---|---|---|---|---|\n"
    );
    for (name, world) in worse_cases() {
        let ours = each(runs, |seed| by_plimsoll(world, seed, at_five(), HOUR, 10.0));
        let peers = each(runs, |seed| by_peers(world, seed, WEIGHT, HOUR));
        let struck = count(&ours, |it| it.struck);
        let _always = write!(
            text,
            "| {name} | {}, {} s | {}",
            percent_of(struck, ours.len()),
            times(&ours, |it| it.struck),
            cell(&ours, &world)
        );
        for judge in 0..3 {
            let _always = write!(text, " | {}", cell(&one(&peers, judge), &world));
        }
        text.push_str(" |\n");
    }
}

fn whole_worse(text: &mut String, runs: u64) {
    let _always = write!(
        text,
        "\n### Versions that are worse, through the default steps\n\n\
         {runs} rollouts of each, told each second. `first bad` is the time from the first bad answer of the new version until it had no traffic.\n\n\
         | requests, bad before, change | rolled back, % | promoted, % | no traffic: median and P95 s | from the first bad: median and P95 s | largest weight, median | bad answers, users: median |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for (name, world) in worse_cases() {
        let ours = each(runs, |seed| {
            by_plimsoll(world, seed, Parameters::canary(), WHOLE, 1.0)
        });
        let since = |it: &Trial| Some(it.struck? - it.first_bad?);
        let _always = writeln!(
            text,
            "| {name} | {} | {} | {} | {} | {} % | {}, {} |",
            percent(&ours, |it| it.stopped),
            percent(&ours, |it| it.promoted),
            times(&ours, |it| it.struck),
            times(&ours, since),
            quantile(&ours, 0.5, |it| Some(100.0 * it.weight)),
            quantile(&ours, 0.5, |it| Some(it.bad as f64)),
            quantile(&ours, 0.5, |it| Some(users(it, &world)))
        );
    }
}

fn latencies(text: &mut String, alike: u64, worse: u64) {
    let _always = write!(
        text,
        "\n### Latencies, an hour at 5 %\n\n\
         Stable is lognormal: median 50 ms, standard deviation of the logarithm 0.8, so 0.2 % are slower than the objective of 500 ms. {alike} rollouts where \
         both are alike, {worse} of the others. `Asked`: the ladder held and asked a person. `Stopped`: rolled back, for the objective. \
         In %, then median seconds. Flagger and Argo look at P99 against the objective each minute.\n\n\
         | the new version | requests/s | asked | asked, by exact variance | stopped | Flagger | Argo |\n\
         |---|---|---|---|---|---|---|\n"
    );
    let shapes = [
        ("is alike", Shape::SAME),
        (
            "takes 1.2 times as long",
            Shape {
                times: 1.2,
                ..Shape::SAME
            },
        ),
        (
            "varies more: 1.0 for 0.8",
            Shape {
                sigma: 1.0,
                ..Shape::SAME
            },
        ),
        (
            "takes 8 times as long in 2 % of cases",
            Shape {
                slow_mode: 0.02,
                ..Shape::SAME
            },
        ),
    ];
    for (name, shape) in shapes {
        for per_second in [100.0, 10.0] {
            let runs = if shape == Shape::SAME { alike } else { worse };
            let world = World {
                shape: Some(shape),
                ..World::alike(per_second, 0.001)
            };
            let ours = |exact| {
                let mut parameters = at_five();
                parameters.judging.latency_objective = true;
                parameters.judging.rungs = 6;
                parameters.judging.exact_variance = exact;
                each(runs, |seed| {
                    by_plimsoll(world, seed, parameters.clone(), HOUR, 10.0)
                })
            };
            let (bets, exact) = (ours(false), ours(true));
            let peers = each(runs, |seed| by_peers(world, seed, WEIGHT, HOUR));
            let both = |of: &[Trial], when: fn(&Trial) -> Option<f64>| {
                let stopped = percent(of, when);
                format!("{stopped}, {}", quantile(of, 0.5, when))
            };
            let _always = writeln!(
                text,
                "| {name} | {per_second} | {} | {} | {} | {} | {} |",
                both(&bets, |it| it.asked),
                both(&exact, |it| it.asked),
                both(&bets, |it| it.stopped),
                both(&one(&peers, 0), |it| it.stopped),
                both(&one(&peers, 1), |it| it.stopped)
            );
        }
    }
}

fn one(peers: &[[Trial; 4]], judge: usize) -> Vec<Trial> {
    let of = |trials: &[Trial; 4]| trials.get(judge).copied();
    peers.iter().filter_map(of).collect()
}

fn cell(trials: &[Trial], world: &World) -> String {
    let stopped: Vec<Trial> = trials
        .iter()
        .filter(|it| it.stopped.is_some())
        .copied()
        .collect();
    if stopped.is_empty() {
        return "0".to_owned();
    }
    format!(
        "{}, {} s, {} bad, {} users",
        percent(trials, |it| it.stopped),
        times(trials, |it| it.stopped),
        quantile(&stopped, 0.5, |it| Some(it.bad as f64)),
        quantile(&stopped, 0.5, |it| Some(users(it, world)))
    )
}

/// Different ones among those who got bad answers: of `m` users, so many bad answers hit about `m (1 - (1 - 1/m)^bad)`.
fn users(trial: &Trial, world: &World) -> f64 {
    let users = (60.0 * world.per_second * trial.weight).max(1.0);
    users * (1.0 - (1.0 - 1.0 / users).powf(trial.bad as f64))
}

fn count(trials: &[Trial], when: impl Fn(&Trial) -> Option<f64>) -> usize {
    trials.iter().filter(|it| when(it).is_some()).count()
}

fn percent(trials: &[Trial], when: impl Fn(&Trial) -> Option<f64>) -> String {
    percent_of(count(trials, when), trials.len())
}

fn percent_of(some: usize, all: usize) -> String {
    let percent = 100.0 * some as f64 / all.max(1) as f64;
    if some == 0 || some == all {
        format!("{percent:.0}")
    } else if percent < 10.0 {
        format!("{percent:.2}")
    } else {
        format!("{percent:.1}")
    }
}

fn times(trials: &[Trial], when: impl Fn(&Trial) -> Option<f64> + Copy) -> String {
    let median = quantile(trials, 0.5, when);
    format!("{median}/{}", quantile(trials, 0.95, when))
}

/// A quantile of all of them: those in which it did not happen come last.
fn quantile(trials: &[Trial], q: f64, when: impl Fn(&Trial) -> Option<f64>) -> String {
    let mut values: Vec<f64> = trials
        .iter()
        .map(|it| when(it).unwrap_or(f64::INFINITY))
        .collect();
    values.sort_unstable_by(f64::total_cmp);
    let rank = ((values.len() as f64 * q) as usize).min(values.len().saturating_sub(1));
    match values.get(rank) {
        Some(value) if value.is_finite() => format!("{value:.0}"),
        _ => "-".to_owned(),
    }
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
    ((middle - half).max(0.0), middle + half)
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
fn each<T: Send>(runs: u64, run: impl Fn(u64) -> T + Sync) -> Vec<T> {
    /// So many seeds are taken at once.
    const CHUNK: u64 = 16;
    let next = AtomicU64::new(0);
    let done = Mutex::new(Vec::new());
    let work = || {
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= runs {
                return;
            }
            let of: Vec<T> = (from..runs.min(from + CHUNK)).map(&run).collect();
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((from, of));
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(work);
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(from, _)| *from);
    done.into_iter().flat_map(|(_, of)| of).collect()
}
