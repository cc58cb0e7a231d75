//! The tables: one for each cell, a line for each scenario and row; and every sample as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cell::{Cell, Column, Figures, Letter, Show};
use crate::peer::Row;

/// What was measured of one row in one scenario.
pub(crate) struct Line {
    pub(crate) scenario: String,
    pub(crate) row: Row,
    pub(crate) runs: Vec<Run>,
}

/// One run.
pub(crate) struct Run {
    pub(crate) figures: Figures,
    pub(crate) quality: Quality,
}

/// Whether a run can be believed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Quality {
    /// Share of the proxy's core that others used.
    pub(crate) foreign: f64,
    /// How late 99 % of the requests were sent at most.
    pub(crate) lateness_p99_ms: f64,
    /// How busy the load's core was.
    pub(crate) load_core: f64,
    /// How much of it load and upstream used: near 1, they were the bottleneck.
    pub(crate) own: f64,
    pub(crate) ports_missed: u64,
    pub(crate) connections_peak: usize,
}

/// Others took so much of the proxy's core that its figures are not its own.
const FOREIGN_MAX: f64 = 0.05;
/// Small beside the objective of 250 ms.
const LATENESS_MAX_MS: f64 = 10.0;

impl Quality {
    /// What is wrong with the run, in words.
    pub(crate) fn doubts(&self) -> Vec<&'static str> {
        let mut doubts = Vec::new();
        if self.foreign > FOREIGN_MAX {
            doubts.push("disturbed");
        }
        if self.lateness_p99_ms > LATENESS_MAX_MS {
            doubts.push("load late");
        }
        if self.ports_missed > 0 {
            doubts.push("ports short");
        }
        doubts
    }
}

/// One table in Markdown.
pub(crate) fn markdown(letter: Letter, cell: &Cell, lines: &[Line]) -> String {
    let mut out = format!(
        "\n## {}: {}\n\n{}\n\n",
        letter.name(),
        cell.title,
        cell.note
    );
    let mut put = |fields: &[String]| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} |", fields.join(" | "));
    };
    let names = cell.columns.iter().map(|column| column.name);
    let names = ["scenario", "proxy"].into_iter().chain(names);
    let names: Vec<String> = names.chain(["in doubt"]).map(str::to_owned).collect();
    put(&names);
    put(&vec!["---".to_owned(); names.len()]);
    for line in lines {
        let mut fields = vec![line.scenario.clone(), line.row.name().to_owned()];
        for (place, column) in cell.columns.iter().enumerate() {
            let samples = line.runs.iter().map(|run| run.figures.get(place).copied());
            fields.push(show(column, samples.map(Option::flatten)));
        }
        fields.push(in_doubt(&line.runs));
        put(&fields);
    }
    out
}

/// How many runs are in doubt, and why.
fn in_doubt(runs: &[Run]) -> String {
    let count = runs
        .iter()
        .filter(|run| !run.quality.doubts().is_empty())
        .count();
    if count == 0 {
        return format!("0 of {}", runs.len());
    }
    let mut why: Vec<&str> = runs.iter().flat_map(|run| run.quality.doubts()).collect();
    why.sort_unstable();
    why.dedup();
    format!("{count} of {}: {}", runs.len(), why.join(", "))
}

/// All samples of a figure in one field.
fn show(column: &Column, samples: impl Iterator<Item = Option<f64>>) -> String {
    let mut values: Vec<f64> = samples.flatten().collect();
    values.sort_unstable_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
        return "-".to_owned();
    };
    let number = |value: f64| {
        if value.is_infinite() {
            "never".to_owned()
        } else {
            format!("{value:.digits$}", digits = column.digits)
        }
    };
    let median = number(quantile(&values, 0.5));
    match column.show {
        _ if values.len() == 1 => median,
        Show::Range => format!("{median} ({}-{})", number(min), number(max)),
        Show::Tail => format!(
            "{median} / {} / {}",
            number(quantile(&values, 0.95)),
            number(max)
        ),
    }
}

/// The value below which the share `q` of `sorted` lies (nearest rank): one that occurred.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// The same with every sample. A time that never came is the word "never".
pub(crate) fn json(letter: Letter, cell: &Cell, lines: &[Line]) -> Value {
    let sample = |value: Option<f64>| match value {
        Some(value) if value.is_infinite() => json!("never"),
        value => json!(value),
    };
    let run = |run: &Run| {
        let names = cell.columns.iter().map(|column| column.name.to_owned());
        let figures = names.zip(run.figures.iter().map(|value| sample(*value)));
        let quality = &run.quality;
        json!({
            "figures": figures.collect::<serde_json::Map<_, _>>(),
            "proxy_core_foreign": quality.foreign,
            "lateness_p99_ms": quality.lateness_p99_ms,
            "load_core_busy": quality.load_core,
            "load_core_own": quality.own,
            "ports_missed": quality.ports_missed,
            "connections_peak": quality.connections_peak,
        })
    };
    let line = |line: &Line| {
        json!({
            "scenario": line.scenario,
            "proxy": line.row.name(),
            "runs": line.runs.iter().map(run).collect::<Vec<_>>(),
        })
    };
    json!({
        "cell": letter.name(),
        "title": cell.title,
        "lines": lines.iter().map(line).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(show_as: Show, samples: &[Option<f64>]) -> String {
        let column = Column {
            name: "x",
            digits: 1,
            show: show_as,
        };
        show(&column, samples.iter().copied())
    }

    #[test]
    fn one_sample_stands_alone_and_none_is_a_dash() {
        assert_eq!(shown(Show::Range, &[Some(2.0)]), "2.0");
        assert_eq!(shown(Show::Tail, &[None]), "-");
    }

    #[test]
    fn what_never_came_is_the_largest() {
        let samples = [Some(1.0), Some(f64::INFINITY), Some(2.0)];
        assert_eq!(shown(Show::Tail, &samples), "2.0 / never / never");
        assert_eq!(shown(Show::Range, &samples), "2.0 (1.0-never)");
    }

    #[test]
    fn a_late_load_and_a_shared_core_are_in_doubt() {
        let quality = Quality {
            foreign: 0.2,
            lateness_p99_ms: 30.0,
            ..Quality::default()
        };
        assert_eq!(quality.doubts(), ["disturbed", "load late"]);
        assert!(Quality::default().doubts().is_empty());
    }
}
