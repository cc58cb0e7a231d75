//! What was measured, as tables.

use std::fmt::Write as _;

use crate::load::Tally;
use crate::options::Options;
use crate::summary::Spread;
use crate::trouble::Trouble;

/// What is aimed at.
const FIRST_BYTE_MS_MAX: f64 = 50.0;
const VIEWERS_PERCENT_MAX: f64 = 5.0;

/// All that a run measured, round after round.
#[derive(Default)]
pub(crate) struct Results {
    pub(crate) pages: Vec<Page>,
    pub(crate) viewers: Vec<Viewers>,
    pub(crate) windows: Vec<(Cell, Window)>,
}

/// A page that was asked for many times.
pub(crate) struct Page {
    pub(crate) page: &'static str,
    pub(crate) is_saturated: bool,
    pub(crate) first: Tally,
    pub(crate) last: Tally,
}

/// So many viewers, and the share of a core that the process used.
pub(crate) struct Viewers {
    pub(crate) count: usize,
    pub(crate) percent: f64,
    pub(crate) bytes_per_second: f64,
}

/// Which load, and what happened to the console.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) is_saturated: bool,
    pub(crate) trouble: Trouble,
}

/// What clients of the gateway saw.
pub(crate) struct Window {
    pub(crate) good_per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) bad: u64,
    pub(crate) said: String,
}

/// Of some values, one for each round.
fn spread<T>(of: &[T], value: impl Fn(&T) -> Option<f64>, digits: usize) -> String {
    Spread::of(of.iter().filter_map(value))
        .map_or_else(|| "-".to_owned(), |spread| spread.show(digits))
}

fn median<T>(of: &[T], value: impl Fn(&T) -> Option<f64>) -> Option<f64> {
    Spread::of(of.iter().filter_map(value)).map(|spread| spread.median)
}

pub(crate) fn markdown(options: &Options, machine: &str, results: &Results) -> String {
    let mut out = format!(
        "# The console: speed, cost, and what the data plane notices of it\n\n{machine}- Run: {} services, {} interleaved rounds; \
         median (smallest-largest). Load, viewers and the service share the cores with Plimsoll.\n\n",
        options.services, options.rounds
    );
    aims(&mut out, results);
    pages(&mut out, options, results);
    viewers(&mut out, options, results);
    windows(&mut out, options, results);
    out
}

fn row(out: &mut String, fields: &[&str]) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "| {} |", fields.join(" | "));
}

fn table(out: &mut String, titles: &[&str]) {
    row(out, titles);
    row(out, &vec!["---"; titles.len()]);
}

fn aims(out: &mut String, results: &Results) {
    table(out, &["aim", "measured", "met"]);
    let met = |is_met| if is_met { "yes" } else { "no" };
    let fleet =
        |page: &Page| (page.page == "/" && page.is_saturated).then(|| page.first.quantile(0.99));
    if let Some(p99) = median(&results.pages, fleet) {
        row(
            out,
            &[
                "first byte of `/` while the gateway is saturated, P99: under 50 ms",
                &format!("{p99:.1} ms"),
                met(p99 < FIRST_BYTE_MS_MAX),
            ],
        );
    }
    let used = |count| {
        median(&results.viewers, |it| {
            (it.count == count).then_some(it.percent)
        })
    };
    if let (Some(none), Some(many)) = (used(0), used(50)) {
        let more = many - none;
        row(
            out,
            &[
                "50 viewers: under 5 % of a core more than none",
                &format!("{more:.1} %"),
                met(more < VIEWERS_PERCENT_MAX),
            ],
        );
    }
    for is_saturated in [false, true] {
        let good = |trouble| {
            median(&results.windows, |(cell, window)| {
                (cell.is_saturated == is_saturated && cell.trouble == trouble)
                    .then_some(window.good_per_second)
            })
        };
        let calm = |(cell, window): &(Cell, Window)| {
            (cell.is_saturated == is_saturated && cell.trouble == Trouble::None)
                .then_some(window.good_per_second)
        };
        let Some(calm) = Spread::of(results.windows.iter().filter_map(calm)) else {
            continue;
        };
        for trouble in Trouble::ALL.into_iter().filter(|it| *it != Trouble::None) {
            let Some(good) = good(trouble).filter(|_| calm.median > 0.0) else {
                continue;
            };
            let load = load_name(is_saturated);
            row(
                out,
                &[
                    &format!(
                        "{load}, {}: goodput within the range of none",
                        trouble.name()
                    ),
                    &format!("{:.1} % of none's median", 100.0 * good / calm.median),
                    met(good >= calm.min),
                ],
            );
        }
    }
}

fn load_name(is_saturated: bool) -> &'static str {
    match is_saturated {
        true => "saturated",
        false => "some load",
    }
}

fn pages(out: &mut String, options: &Options, results: &Results) {
    let _ = write!(
        out,
        "\n## Pages\n\n{} requests each, each on a new connection, one every 50 ms and more; in milliseconds. Saturated: 32 clients \
         ask through the gateway as soon as they are answered.\n\n",
        options.pages
    );
    table(
        out,
        &[
            "page",
            "gateway",
            "first byte P50",
            "P99",
            "max",
            "last byte P50",
            "P99",
            "max",
        ],
    );
    let mut shown: Vec<(&str, bool)> = Vec::new();
    for of in &results.pages {
        let key = (of.page, of.is_saturated);
        if shown.contains(&key) {
            continue;
        }
        shown.push(key);
        let figure = |q: f64, pick: fn(&Page) -> &Tally| {
            let value =
                |it: &Page| ((it.page, it.is_saturated) == key).then(|| pick(it).quantile(q));
            spread(&results.pages, value, 1)
        };
        let gateway = if of.is_saturated { "saturated" } else { "idle" };
        let mut fields = vec![format!("`{}`", of.page), gateway.to_owned()];
        for pick in [(|it: &Page| &it.first) as fn(&Page) -> &Tally, |it| {
            &it.last
        }] {
            fields.extend([0.5, 0.99, 1.0].map(|q| figure(q, pick)));
        }
        row(out, &fields.iter().map(String::as_str).collect::<Vec<_>>());
    }
}

fn viewers(out: &mut String, options: &Options, results: &Results) {
    let _ = write!(
        out,
        "\n## Viewers\n\nOf the fleet, for {} s each, and nothing else going on. 100 % is one core, in user and system mode.\n\n",
        options.watch.as_secs()
    );
    table(out, &["viewers", "CPU %", "KiB/s to all"]);
    let mut shown = Vec::new();
    for Viewers { count, .. } in &results.viewers {
        if shown.contains(count) {
            continue;
        }
        shown.push(*count);
        let of = |value: fn(&Viewers) -> f64, digits| {
            let value = |it: &Viewers| (it.count == *count).then(|| value(it));
            spread(&results.viewers, value, digits)
        };
        row(
            out,
            &[
                &count.to_string(),
                &of(|it| it.percent, 2),
                &of(|it| it.bytes_per_second / 1024.0, 0),
            ],
        );
    }
}

fn windows(out: &mut String, options: &Options, results: &Results) {
    let _ = write!(
        out,
        "\n## The data plane, while something happens to the console\n\nWindows of {} s. Some load: 8 clients that pause for 2 ms; \
         saturated: 32 that do not. In a round \"none\" is measured first and last.\n\n",
        options.window.as_secs()
    );
    table(
        out,
        &[
            "load", "trouble", "good/s", "P50 ms", "P99 ms", "bad", "besides",
        ],
    );
    let mut shown = Vec::new();
    for (cell, _) in &results.windows {
        if shown.contains(cell) {
            continue;
        }
        shown.push(*cell);
        let of = |value: fn(&Window) -> f64, digits| {
            let value = |(it, window): &(Cell, Window)| (it == cell).then(|| value(window));
            spread(&results.windows, value, digits)
        };
        let mut mine = results.windows.iter().filter(|(it, _)| it == cell);
        let bad: u64 = mine.clone().map(|(_, window)| window.bad).sum();
        let said = mine.next_back().map_or("", |(_, window)| &window.said);
        row(
            out,
            &[
                load_name(cell.is_saturated),
                cell.trouble.name(),
                &of(|it| it.good_per_second, 0),
                &of(|it| it.p50, 2),
                &of(|it| it.p99, 2),
                &bad.to_string(),
                said,
            ],
        );
    }
}
