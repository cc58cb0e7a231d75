//! What a simulation gave, for people and for machines.

use std::fmt::Write as _;

use plimsoll_config::scenario::{Phase, Scenario};
use plimsoll_core::Class;
use plimsoll_measure::Cause;
use plimsoll_measure::figure::{count, latency, percent, rate};
use plimsoll_simulator::fleet::{Cell, Ledger};
use serde_json::{Map, Value, json};

use super::Arm;

/// See the module's docs.
pub(super) struct Report<'a> {
    pub(super) name: &'a str,
    pub(super) scenario: &'a Scenario,
    pub(super) seeds: u64,
    /// By arm, then by seed.
    pub(super) arms: Vec<Vec<Ledger>>,
}

impl Report<'_> {
    /// Rows for each phase: one for each workload and arm.
    pub(super) fn table(&self) -> String {
        let scenario = self.scenario;
        let mut text = self.name.to_owned();
        if let Some(about) = &scenario.about {
            let _always = write!(text, ": {about}");
        }
        let users: u64 = self
            .arms
            .first()
            .into_iter()
            .flatten()
            .flat_map(|ledger| ledger.cells())
            .map(|cell| sum(&cell.users))
            .sum();
        let _always = writeln!(
            text,
            "\n{} of {} thread{}, {} s, {}; {} users with each arm\n",
            plural(scenario.gateways, "gateway"),
            scenario.threads,
            if scenario.threads == 1 { "" } else { "s" },
            scenario.lasts().as_secs_f64(),
            plural(self.seeds as usize, "seed"),
            count(users),
        );
        let mut rows = vec![HEADER.map(str::to_owned)];
        for (index, phase) in scenario.phases.iter().enumerate() {
            for (position, workload) in scenario.workloads.iter().enumerate() {
                for (arm, cell) in self.cells(index, position) {
                    let seconds = phase.lasts.as_secs_f64() * self.seeds as f64;
                    rows.push(row(&phase.name, &workload.name, arm, &cell, seconds));
                }
            }
        }
        push_rows(&mut text, &rows);
        text.push_str(LEGEND);
        text
    }

    /// All figures, those of single seeds included.
    pub(super) fn json(&self) -> Value {
        let scenario = self.scenario;
        let phase = |(index, phase): (usize, &Phase)| {
            let workloads = scenario.workloads.iter().enumerate();
            let workloads = workloads.map(|(position, workload)| {
                let arms = self.cells(index, position);
                let arms = arms.map(|(arm, cell)| {
                    let mut figures = figures(&cell);
                    let seeds = self.ledgers(arm).iter();
                    let good = seeds.filter_map(|ledger| good_share(ledger.cell(index, position)?));
                    figures.insert("good_share_by_seed".into(), good.collect());
                    (arm.name().to_owned(), Value::Object(figures))
                });
                (workload.name.clone(), Value::Object(arms.collect()))
            });
            json!({
                "name": phase.name,
                "seconds": phase.lasts.as_secs_f64(),
                "workloads": Value::Object(workloads.collect()),
            })
        };
        json!({
            "scenario": self.name,
            "about": scenario.about,
            "seeds": self.seeds,
            "phases": scenario.phases.iter().enumerate().map(phase).collect::<Vec<_>>(),
        })
    }

    fn ledgers(&self, arm: Arm) -> &[Ledger] {
        let position = Arm::ALL.iter().position(|other| *other == arm);
        let ledgers = position.and_then(|position| self.arms.get(position));
        ledgers.map(Vec::as_slice).unwrap_or_default()
    }

    /// The same cell with each arm, over all seeds.
    fn cells(&self, phase: usize, workload: usize) -> impl Iterator<Item = (Arm, Cell)> {
        Arm::ALL.into_iter().map(move |arm| {
            let mut all = Cell::default();
            for ledger in self.ledgers(arm) {
                if let Some(cell) = ledger.cell(phase, workload) {
                    all.merge(cell);
                }
            }
            (arm, all)
        })
    }
}

const COLUMNS: usize = 11;
const HEADER: [&str; COLUMNS] = [
    "phase", "workload", "policies", "users/s", "good", "critical", "P50", "P99", "refused",
    "c/st/sh", "attempts",
];
const LEGEND: &str = "
good: users with an answer within the objective; critical: the same of class `critical`
P50, P99: of requests that were answered; refused: of all requests, and by class (critical/standard/sheddable)
attempts: at endpoints, for each user
";

fn row(phase: &str, workload: &str, arm: Arm, cell: &Cell, seconds: f64) -> [String; COLUMNS] {
    let users = sum(&cell.users);
    let quantile = |q| match cell.latencies.quantile(q) {
        Some(time) => latency(Some(time.as_secs_f64()), ""),
        None => NONE.to_owned(),
    };
    let by_class = Class::ALL.map(|class| {
        let of = |counts: &[u64]| counts.get(class.index()).copied().unwrap_or(0);
        match share(of(&cell.refused), of(&cell.requests)) {
            Some(share) => format!("{:.0}", 100.0 * share),
            None => NONE.to_owned(),
        }
    });
    [
        phase.to_owned(),
        workload.to_owned(),
        arm.name().to_owned(),
        rate(Some(users as f64 / seconds)),
        or_none(good_share(cell)),
        or_none(critical_good_share(cell)),
        quantile(0.5),
        quantile(0.99),
        or_none(share(sum(&cell.refused), sum(&cell.requests))),
        by_class.join("/"),
        match share(cell.attempts, users) {
            Some(share) => format!("{share:.2}"),
            None => NONE.to_owned(),
        },
    ]
}

/// In place of a figure that there can't be.
const NONE: &str = "-";

fn or_none(share: Option<f64>) -> String {
    share.map_or(NONE.to_owned(), |share| percent(Some(share), ""))
}

/// Names to the left, figures to the right.
fn push_rows(text: &mut String, rows: &[[String; COLUMNS]]) {
    const NAMES: usize = 3;
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = field.chars().count().max(*width);
        }
    }
    for row in rows {
        let fields = row.iter().zip(widths).enumerate();
        let fields = fields.map(|(column, (field, width))| match column < NAMES {
            true => format!("{field:<width$}"),
            false => format!("{field:>width$}"),
        });
        text.push_str(fields.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
}

fn figures(cell: &Cell) -> Map<String, Value> {
    let by_class = |counts: &[u64]| -> Value {
        let pairs = Class::ALL.iter().zip(counts);
        let pairs = pairs.map(|(class, count)| (class.name().to_owned(), json!(count)));
        Value::Object(pairs.collect())
    };
    let seconds = |q| cell.latencies.quantile(q).map(|time| time.as_secs_f64());
    let causes = Cause::ALL.iter().zip(&cell.causes);
    let causes = causes.filter(|(_, count)| **count > 0);
    let causes = causes.map(|(cause, count)| (cause.name().to_owned(), json!(count)));
    let figures = json!({
        "users": by_class(&cell.users),
        "good": by_class(&cell.good),
        "requests": by_class(&cell.requests),
        "refused": by_class(&cell.refused),
        "attempts": cell.attempts,
        "good_share": good_share(cell),
        "critical_good_share": critical_good_share(cell),
        "latency_p50_seconds": seconds(0.5),
        "latency_p99_seconds": seconds(0.99),
        "causes": Value::Object(causes.collect()),
    });
    match figures {
        Value::Object(figures) => figures,
        _ => Map::new(),
    }
}

fn good_share(cell: &Cell) -> Option<f64> {
    share(sum(&cell.good), sum(&cell.users))
}

fn critical_good_share(cell: &Cell) -> Option<f64> {
    let of = |counts: &[u64]| counts.get(Class::Critical.index()).copied();
    share(of(&cell.good)?, of(&cell.users)?)
}

fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
