//! From the generator's account to a report, and whether its figures mean anything.

use std::io::Write;

use crate::message::LoadDone;
use crate::options::DemoOptions;
use crate::plan::{PhaseKind, Plan};
use crate::report::{ArmFigures, PhaseReport, Report};
use crate::table::{self, NEXT, Style};

/// Later than this (P99 of a phase), what was offered was not what the plan says.
const LAG_MAX: f64 = 0.050;
/// Less of what was due than this was sent.
const SENT_MIN: f64 = 0.98;
/// On an ordinary day the left arm loses nothing that it can carry; more than this, and the machine had no time
/// for it.
const CALM_BAD_MAX: f64 = 0.05;

/// The kinds of phases that there were, and how long each lasted.
pub(crate) fn phases(plan: &Plan, done: &LoadDone, ascii: bool) -> Vec<PhaseReport> {
    let phase = |kind: PhaseKind| PhaseReport {
        kind,
        title: plan.title(kind, ascii),
        seconds: done.lasted.get(kind.index()).copied().unwrap_or(0.0),
        lag_p99: done.lag_p99.get(kind.index()).copied().unwrap_or(0.0),
    };
    let kinds = PhaseKind::ALL.into_iter().filter(|kind| plan.has(*kind));
    kinds.map(phase).collect()
}

/// The figures of the kinds of phases that there were.
pub(crate) fn arms(plan: &Plan, done: &LoadDone) -> [ArmFigures; 2] {
    let of_plan = |arm: &ArmFigures| {
        let all = arm.phases.iter().zip(PhaseKind::ALL);
        let phases = all.filter(|(_, kind)| plan.has(*kind));
        ArmFigures {
            phases: phases.map(|(figures, _)| figures.clone()).collect(),
        }
    };
    let [without, with] = &done.arms;
    [of_plan(without), of_plan(with)]
}

/// Why the figures mean nothing: what was offered was not what the plan says.
pub(crate) fn void(report: &Report, done: &LoadDone) -> Vec<String> {
    let mut void = Vec::new();
    for (phase, without, with) in report.rows() {
        if phase.lag_p99 > LAG_MAX {
            void.push(format!(
                "{}: the generator sent up to {} late (P99); more than {} can't be believed.",
                phase.title,
                table::duration(Some(phase.lag_p99)),
                table::duration(Some(LAG_MAX)),
            ));
        }
        let bad = without.bad_share();
        if phase.kind == PhaseKind::Calm && bad > CALM_BAD_MAX && !report.interactive {
            void.push(format!(
                "{}: {:.1}% bad without any trouble: the machine is too busy.",
                phase.title,
                bad * 100.0
            ));
        }
        let due = done.due.get(phase.kind.index()).copied().unwrap_or(0) as f64;
        let sent = without.offered.min(with.offered) as f64;
        if due > 0.0 && sent < due * SENT_MIN {
            let share = sent / due * 100.0;
            void.push(format!(
                "{}: only {share:.1}% of the load could be sent.",
                phase.title
            ));
        }
    }
    void
}

/// Writes the report to standard output, as JSON or as a table with what follows from it.
pub(crate) fn print(options: &DemoOptions, report: &Report) {
    let text = if options.json {
        serde_json::to_string_pretty(report).unwrap_or_default() + "\n"
    } else {
        format!("{}\n{NEXT}\n", table::render(report, Style::of_output()))
    };
    // Nobody reads any more: nothing to be done about it.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::PhaseFigures;

    #[track_caller]
    fn check(lag_p99: f64, due: u64, offered: u64, good: u64, expected: &[&str]) {
        let figures = PhaseFigures {
            offered,
            good,
            ..PhaseFigures::default()
        };
        let arm = ArmFigures {
            phases: vec![figures],
        };
        let phase = PhaseReport {
            kind: PhaseKind::Calm,
            title: "calm".to_owned(),
            seconds: 8.0,
            lag_p99,
        };
        let report = Report {
            phases: vec![phase],
            arms: [arm.clone(), arm],
            ..Report::default()
        };
        let done = LoadDone {
            due: vec![due],
            ..LoadDone::default()
        };
        assert_eq!(void(&report, &done), expected);
    }

    #[test]
    fn a_generator_on_time_is_believed() {
        check(0.003, 1_000, 1_000, 960, &[]);
    }

    #[test]
    fn a_late_generator_and_unsent_load_void_the_figures() {
        check(
            0.080,
            1_000,
            1_000,
            1_000,
            &["calm: the generator sent up to 80ms late (P99); more than 50ms can't be believed."],
        );
        check(
            0.003,
            1_000,
            900,
            900,
            &["calm: only 90.0% of the load could be sent."],
        );
    }

    #[test]
    fn an_ordinary_day_that_the_plain_arm_lost_voids_the_figures() {
        check(
            0.003,
            1_000,
            1_000,
            900,
            &["calm: 10.0% bad without any trouble: the machine is too busy."],
        );
    }
}
