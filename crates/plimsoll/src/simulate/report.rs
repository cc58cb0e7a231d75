//! What a simulation gave, for people and for machines.

use std::fmt::Write as _;

use plimsoll_config::scenario::{Phase, Scenario};
use plimsoll_core::Class;
use plimsoll_measure::Cause;
use plimsoll_measure::figure::{count, latency, percent, rate};
use plimsoll_simulator::fleet::{Cell, Ledger};
use serde_json::{Map, Value, json};

use super::difference::{CONFIDENCE, Difference, Figure};
use super::{Arm, Setting, governed};

/// See the module's docs.
pub(super) struct Report<'a> {
    pub(super) name: &'a str,
    pub(super) scenario: &'a Scenario,
    pub(super) seeds: u64,
    pub(super) first_seed: u64,
    /// By arm; in each, by seed.
    pub(super) arms: Vec<(Arm, Vec<Ledger>)>,
}

/// Which users: all, or those of a workload who came in a phase, or calls made in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    Everybody,
    Of { phase: usize, sender: usize },
}

impl Report<'_> {
    /// Rows for each phase: one for each workload to which somebody came, and arm; before them, those of all.
    pub(super) fn table(&self, settings: &[Setting]) -> String {
        let scenario = self.scenario;
        let mut text = self.name.to_owned();
        if let Some(about) = &scenario.about {
            let _always = write!(text, ": {about}");
        }
        let _always = writeln!(text, "\n{}\n", self.setup());
        if self.is_comparison() {
            for setting in settings.iter().filter(|setting| setting.arm != Arm::Off) {
                let path = setting.file.as_ref().map_or("", |(path, _)| path);
                let _always = writeln!(text, "{}: {path}", setting.arm.name());
            }
            text.push('\n');
        }
        let mut rows = vec![HEADER.map(str::to_owned)];
        for who in self.everyone() {
            rows.extend(self.rows(who));
        }
        push_rows(&mut text, &rows);
        text.push_str(LEGEND);
        if scenario.senders().len() > scenario.workloads.len() {
            text.push_str(LEGEND_OF_CALLS);
        }
        text.extend(self.cut_note().map(|note| format!("{note}\n")));
        if self.is_comparison() {
            self.push_differences(&mut text);
        }
        text.push_str(&governed::text(&self.arms, scenario.gateways));
        text
    }

    /// The rows of some users: one for each arm.
    pub(super) fn rows(&self, who: Who) -> Vec<[String; COLUMNS]> {
        let [phase_name, sender_name] = self.names(who);
        let lasts = match who {
            Who::Everybody => self.scenario.lasts(),
            Who::Of { phase, .. } => {
                let phase = self.scenario.phases.get(phase);
                phase.map(|phase| phase.lasts).unwrap_or_default()
            }
        };
        let seconds = lasts.as_secs_f64() * self.seeds as f64;
        let cells: Vec<(Arm, Cell)> = match who {
            Who::Everybody => {
                let arms = self.arms.iter();
                arms.map(|(arm, ledgers)| (*arm, total(ledgers))).collect()
            }
            Who::Of { phase, sender } => self.cells(phase, sender).collect(),
        };
        let cells = cells.iter();
        cells
            .map(|(arm, cell)| row(&phase_name, &sender_name, *arm, cell, seconds))
            .collect()
    }

    /// Users who would have come again after the last phase, if there are any.
    pub(super) fn cut_note(&self) -> Option<String> {
        let cut = self.cut().filter(|(_, users)| *users > 0);
        let cut: Vec<String> = cut
            .map(|(arm, users)| format!("{} {}", arm.name(), count(users)))
            .collect();
        (!cut.is_empty()).then(|| {
            format!(
                "users who paused before another try when the last phase ended, and count as not answered: {}",
                cut.join(", ")
            )
        })
    }

    fn cut(&self) -> impl Iterator<Item = (Arm, u64)> {
        let of = |ledgers: &[Ledger]| ledgers.iter().map(Ledger::users_cut).sum();
        self.arms
            .iter()
            .map(move |(arm, ledgers)| (*arm, of(ledgers)))
    }

    /// What was run, in a line.
    pub(super) fn setup(&self) -> String {
        let scenario = self.scenario;
        let users = self.arms.first().map(|(_, ledgers)| total(ledgers));
        format!(
            "{} of {} thread{}, {} s, {}; {} users with each arm",
            plural(scenario.gateways, "gateway"),
            scenario.threads,
            if scenario.threads == 1 { "" } else { "s" },
            scenario.lasts().as_secs_f64(),
            plural(self.seeds as usize, "seed"),
            count(users.map_or(0, |cell| sum(&cell.users))),
        )
    }

    /// Whether two configurations were tried.
    pub(super) fn is_comparison(&self) -> bool {
        self.arms.iter().any(|(arm, _)| *arm == Arm::B)
    }

    /// What is compared, and with what: B with A, or Plimsoll with nothing.
    pub(super) fn compared(&self) -> [Arm; 2] {
        match self.is_comparison() {
            true => [Arm::B, Arm::A],
            false => [Arm::Plimsoll, Arm::Off],
        }
    }

    /// What one arm changes against the other.
    pub(super) fn difference(&self, figure: Figure, who: Who) -> Option<Difference> {
        let arms = self.compared().map(|arm| self.ledgers(arm));
        Difference::of(figure, arms, &|ledger| match who {
            Who::Everybody => total(std::slice::from_ref(ledger)),
            Who::Of { phase, sender } => ledger.cell(phase, sender).cloned().unwrap_or_default(),
        })
    }

    /// Everybody, then each workload of each phase to which somebody came in any arm, and the calls that were made in it.
    /// A single one is everybody.
    pub(super) fn everyone(&self) -> Vec<Who> {
        let came = |who: &Who| match who {
            Who::Everybody => true,
            Who::Of { phase, sender } => {
                let mut cells = self.cells(*phase, *sender);
                cells.any(|(_, cell)| sum(&cell.users) > 0)
            }
        };
        let mut all = self.with_nobody();
        all.retain(came);
        if let [Who::Everybody, single] = all[..] {
            all = vec![single];
        }
        all
    }

    /// Everybody, then each workload of each phase and what services call in it, whether or not somebody came.
    fn with_nobody(&self) -> Vec<Who> {
        let phases = 0..self.scenario.phases.len();
        let senders = 0..self.scenario.senders().len();
        let cells = phases.flat_map(|phase| {
            let of = move |sender| Who::Of { phase, sender };
            senders.clone().map(of)
        });
        std::iter::once(Who::Everybody).chain(cells).collect()
    }

    /// The names of a phase and of a workload, or of a service's calls.
    pub(super) fn names(&self, who: Who) -> [String; 2] {
        let Who::Of { phase, sender } = who else {
            return ["all", "all"].map(str::to_owned);
        };
        let phase = self.scenario.phases.get(phase).map(|it| it.name.clone());
        let sender = self.scenario.senders().into_iter().nth(sender);
        [phase, sender.map(|it| it.name)].map(Option::unwrap_or_default)
    }

    fn push_differences(&self, text: &mut String) {
        let [of, from] = self.compared().map(Arm::name);
        let _always = writeln!(
            text,
            "\nDifference: {of} less {from}, seed by seed; good, critical and refused in percentage points"
        );
        let header = ["phase", "workload"].into_iter();
        let header = header.chain(Figure::ALL.map(Figure::name));
        let mut rows = vec![header.map(str::to_owned).collect::<Vec<_>>()];
        for who in self.everyone() {
            let figures = Figure::ALL.map(|figure| match self.difference(figure, who) {
                Some(difference) => difference.text(figure, ""),
                None => NONE.to_owned(),
            });
            let names = self.names(who);
            rows.push(names.into_iter().chain(figures).collect());
        }
        push_columns(text, &rows, 2);
        text.push_str(match self.seeds {
            1 => INTERVAL_MISSING,
            _ => INTERVAL_LEGEND,
        });
    }

    /// All figures, those of single seeds included.
    pub(super) fn json(&self, settings: &[Setting]) -> Value {
        let scenario = self.scenario;
        let senders = scenario.senders();
        let phase = |(index, phase): (usize, &Phase)| {
            let senders = senders.iter().enumerate();
            let mut senders = senders.map(|(position, sender)| {
                let arms = self.cells(index, position);
                let arms = arms.map(|(arm, cell)| {
                    let mut figures = figures(&cell);
                    let seeds = self.ledgers(arm).iter();
                    let good = seeds.filter_map(|ledger| good_share(ledger.cell(index, position)?));
                    figures.insert("good_share_by_seed".into(), good.collect());
                    (arm.name().to_owned(), Value::Object(figures))
                });
                (sender.name.clone(), Value::Object(arms.collect()))
            });
            let workloads = senders.by_ref().take(scenario.workloads.len());
            let workloads = Value::Object(workloads.collect());
            json!({
                "name": phase.name,
                "seconds": phase.lasts.as_secs_f64(),
                "workloads": workloads,
                "calls": Value::Object(senders.collect()),
            })
        };
        let cut = self.cut();
        let cut = cut.map(|(arm, users)| (arm.name().to_owned(), json!(users)));
        let files = settings.iter().filter(|setting| setting.arm != Arm::Off);
        let files = files.filter_map(|setting| {
            let (path, _) = setting.file.as_ref()?;
            Some((setting.arm.name().to_owned(), json!(path)))
        });
        json!({
            "scenario": self.name,
            "about": scenario.about,
            "seeds": self.seeds,
            "first_seed": self.first_seed,
            "users_cut": Value::Object(cut.collect()),
            "configurations": Value::Object(files.collect()),
            "phases": scenario.phases.iter().enumerate().map(phase).collect::<Vec<_>>(),
            "differences": self.json_of_differences(),
            "decisions": governed::json(&self.arms),
        })
    }

    fn json_of_differences(&self) -> Value {
        let [of, from] = self.compared().map(Arm::name);
        let row = |who: Who| {
            let [phase, workload] = match who {
                Who::Everybody => [None, None],
                Who::Of { .. } => self.names(who).map(Some),
            };
            let figures = Figure::ALL.map(|figure| {
                let difference = self.difference(figure, who).map(|it| {
                    json!({
                        "mean": it.mean,
                        "low": it.ends(figure).map(|[low, _]| low),
                        "high": it.ends(figure).map(|[_, high]| high),
                        "shown": it.is_shown(),
                    })
                });
                (figure.key().to_owned(), difference.unwrap_or(Value::Null))
            });
            json!({
                "phase": phase,
                "workload": workload,
                "figures": Value::Object(figures.into_iter().collect()),
            })
        };
        json!({
            "of": of,
            "from": from,
            "confidence": CONFIDENCE,
            "rows": self.with_nobody().into_iter().map(row).collect::<Vec<_>>(),
        })
    }

    /// What an arm gave, by seed.
    pub(super) fn ledgers(&self, arm: Arm) -> &[Ledger] {
        let found = self.arms.iter().find(|(other, _)| *other == arm);
        found
            .map(|(_, ledgers)| ledgers.as_slice())
            .unwrap_or_default()
    }

    /// The same cell with each arm, over all seeds.
    pub(super) fn cells(&self, phase: usize, sender: usize) -> impl Iterator<Item = (Arm, Cell)> {
        self.arms.iter().map(move |(arm, ledgers)| {
            let mut all = Cell::default();
            for ledger in ledgers {
                if let Some(cell) = ledger.cell(phase, sender) {
                    all.merge(cell);
                }
            }
            (*arm, all)
        })
    }
}

/// All users of all these runs.
pub(super) fn total(ledgers: &[Ledger]) -> Cell {
    let mut all = Cell::default();
    for cell in ledgers.iter().flat_map(Ledger::cells_of_users) {
        all.merge(cell);
    }
    all
}

pub(super) const COLUMNS: usize = 11;
pub(super) const HEADER: [&str; COLUMNS] = [
    "phase", "workload", "policies", "users/s", "good", "critical", "P50", "P99", "refused",
    "c/st/sh", "attempts",
];
const LEGEND: &str = "
good: users with an answer within the objective; critical: the same of class `critical`
P50, P99: of requests that were answered; refused: of all requests, and by class (critical/standard/sheddable)
attempts: at endpoints, for each user
";
const LEGEND_OF_CALLS: &str = "\
a \u{2192} b: calls of service a to service b, each as if it were a user; good: within the objective of b
";

const INTERVAL_LEGEND: &str = "
in brackets: the interval that covers the true difference with 95 % confidence. None shown: it covers no difference.
Of twenty such intervals where nothing differs, one is expected to miss.
";
const INTERVAL_MISSING: &str = "
an interval needs at least two seeds: try --seeds 10
";

pub(super) fn row(
    phase: &str,
    workload: &str,
    arm: Arm,
    cell: &Cell,
    seconds: f64,
) -> [String; COLUMNS] {
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
        or_none(refused_share(cell)),
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

fn push_rows(text: &mut String, rows: &[[String; COLUMNS]]) {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
    push_columns(text, &rows, 3);
}

/// Names to the left, figures to the right.
fn push_columns(text: &mut String, rows: &[Vec<String>], names: usize) {
    let columns = rows.first().map_or(0, Vec::len);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, field) in widths.iter_mut().zip(row) {
            *width = field.chars().count().max(*width);
        }
    }
    for row in rows {
        let fields = row.iter().zip(&widths).enumerate();
        let fields = fields.map(|(column, (field, width))| match column < names {
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

pub(super) fn good_share(cell: &Cell) -> Option<f64> {
    share(sum(&cell.good), sum(&cell.users))
}

pub(super) fn critical_good_share(cell: &Cell) -> Option<f64> {
    let of = |counts: &[u64]| counts.get(Class::Critical.index()).copied();
    share(of(&cell.good)?, of(&cell.users)?)
}

pub(super) fn refused_share(cell: &Cell) -> Option<f64> {
    share(sum(&cell.refused), sum(&cell.requests))
}

pub(super) fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

pub(super) fn sum(counts: &[u64]) -> u64 {
    counts.iter().sum()
}

pub(super) fn plural(count: usize, noun: &str) -> String {
    let ending = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{ending}")
}
