//! What the figures say, and no more: where the right arm was better, worse, or of no help.
//!
//! Differences within noise are none. Noise: a share of `n` requests has the standard error
//! `sqrt(p (1 - p) / n)` in each arm; three of the difference's, and one percentage point for what the
//! machine adds. Latencies: a quarter, and 15 ms for the timers' grain and a busy machine.

use crate::plan::PhaseKind;
use crate::report::{PhaseFigures, PhaseReport, Report};

/// How the right arm compares with the left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// By more than noise.
    Better,
    /// Within noise.
    Same,
    /// By more than noise.
    Worse,
}

/// One thing that the figures say about one phase.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// The phase's place in the report.
    pub phase: usize,
    /// Of the share of good answers.
    pub good: Comparison,
    /// Of the median latency.
    pub latency_p50: Comparison,
    /// Of the 99th percentile.
    pub latency_p99: Comparison,
    /// The share of bad ends without and with.
    pub bad: [f64; 2],
}

/// From this share of bad ends on, a phase is one in which help was needed.
const HELP_NEEDED: f64 = 0.05;

impl Finding {
    /// Whether anything got worse.
    pub fn is_worse(&self) -> bool {
        [self.good, self.latency_p50, self.latency_p99].contains(&Comparison::Worse)
    }

    /// Whether help was needed and the right arm gave none.
    pub fn is_no_help(&self) -> bool {
        let [without, with] = self.bad;
        self.good == Comparison::Same && without >= HELP_NEEDED && with >= HELP_NEEDED
    }
}

/// One finding for each phase in which both arms were offered something.
pub fn verdict(report: &Report) -> Vec<Finding> {
    report
        .rows()
        .enumerate()
        .filter_map(|(index, (phase, without, with))| find(index, phase, without, with))
        .collect()
}

/// Phases in which this version must make a difference for the better, if the left arm is our own plain
/// proxy; in the others it must make none for the worse.
const HELPED: [PhaseKind; 1] = [PhaseKind::CrashedEndpoint];

/// What in the figures contradicts the direction that this version is to move them in; for tests. Nothing
/// where the figures are void: they contradict nothing.
pub fn contradictions(report: &Report) -> Vec<String> {
    if !report.void.is_empty() {
        return Vec::new();
    }
    let contradiction = |finding: &Finding| {
        let phase = report.phases.get(finding.phase)?;
        let [without, with] = finding.bad.map(|bad| bad * 100.0);
        let expected = if HELPED.contains(&phase.kind) {
            (finding.good != Comparison::Better).then_some("better")
        } else {
            (finding.good == Comparison::Worse).then_some("not worse")
        }?;
        let title = &phase.title;
        Some(format!(
            "{title}: bad {without:.1}% without, {with:.1}% with; {expected} was expected"
        ))
    };
    verdict(report).iter().filter_map(contradiction).collect()
}

fn find(
    index: usize,
    phase: &PhaseReport,
    without: &PhaseFigures,
    with: &PhaseFigures,
) -> Option<Finding> {
    if phase.seconds <= 0.0 || without.offered == 0 || with.offered == 0 {
        return None;
    }
    Some(Finding {
        phase: index,
        good: compare_shares(without, with),
        latency_p50: compare_latencies(without.latency_p50, with.latency_p50),
        latency_p99: compare_latencies(without.latency_p99, with.latency_p99),
        bad: [without.bad_share(), with.bad_share()],
    })
}

fn compare_shares(without: &PhaseFigures, with: &PhaseFigures) -> Comparison {
    let variance = |figures: &PhaseFigures| {
        let bad = figures.bad_share();
        bad * (1.0 - bad) / figures.offered as f64
    };
    let noise = 3.0 * (variance(without) + variance(with)).sqrt() + 0.01;
    let gain = without.bad_share() - with.bad_share();
    if gain > noise {
        Comparison::Better
    } else if gain < -noise {
        Comparison::Worse
    } else {
        Comparison::Same
    }
}

fn compare_latencies(without: Option<f64>, with: Option<f64>) -> Comparison {
    const SHARE: f64 = 1.25;
    const GRAIN: f64 = 0.015;
    match (without, with) {
        (Some(without), Some(with)) if with > without * SHARE + GRAIN => Comparison::Worse,
        (Some(without), Some(with)) if without > with * SHARE + GRAIN => Comparison::Better,
        _ => Comparison::Same,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::ArmFigures;

    #[track_caller]
    fn check(without: PhaseFigures, with: PhaseFigures, good: Comparison, p99: Comparison) {
        let findings = verdict(&report(without, with));
        assert_eq!((findings[0].good, findings[0].latency_p99), (good, p99));
    }

    #[test]
    fn a_tenth_less_lost_is_better_even_in_two_seconds() {
        check(
            figures(480, 432, 0.1),
            figures(480, 478, 0.1),
            Comparison::Better,
            Comparison::Same,
        );
        check(
            figures(480, 478, 0.1),
            figures(480, 432, 0.1),
            Comparison::Worse,
            Comparison::Same,
        );
    }

    #[test]
    fn what_chance_does_is_no_difference() {
        check(
            figures(2_400, 2_390, 0.090),
            figures(2_400, 2_378, 0.104),
            Comparison::Same,
            Comparison::Same,
        );
        check(
            figures(72_000, 1_400, 2.0),
            figures(72_000, 1_600, 2.0),
            Comparison::Same,
            Comparison::Same,
        );
    }

    #[test]
    fn a_latency_that_grew_by_half_is_worse() {
        check(
            figures(2_400, 2_400, 0.1),
            figures(2_400, 2_400, 0.15),
            Comparison::Same,
            Comparison::Worse,
        );
        check(
            figures(2_400, 2_400, 0.15),
            figures(2_400, 2_400, 0.1),
            Comparison::Same,
            Comparison::Better,
        );
    }

    #[test]
    fn a_phase_that_both_lost_was_not_helped() {
        let findings = verdict(&report(
            figures(72_000, 1_400, 2.0),
            figures(72_000, 1_600, 2.0),
        ));
        assert!(findings[0].is_no_help());
        assert!(!findings[0].is_worse());
    }

    #[test]
    fn a_phase_that_never_was_has_no_finding() {
        assert_eq!(
            verdict(&report(PhaseFigures::default(), PhaseFigures::default())),
            []
        );
    }

    #[test]
    fn a_crash_that_was_not_helped_contradicts_and_void_figures_do_not() {
        let mut report = report(figures(480, 432, 0.1), figures(480, 433, 0.1));
        assert_eq!(
            contradictions(&report),
            ["crashed endpoint: bad 10.0% without, 9.8% with; better was expected"]
        );
        report.void.push("late".to_owned());
        assert!(contradictions(&report).is_empty());
        let helped = self::report(figures(480, 432, 0.1), figures(480, 479, 0.1));
        assert!(contradictions(&helped).is_empty());
    }

    fn figures(offered: u64, good: u64, latency_p99: f64) -> PhaseFigures {
        PhaseFigures {
            offered,
            good,
            latency_p99: Some(latency_p99),
            ..PhaseFigures::default()
        }
    }

    fn report(without: PhaseFigures, with: PhaseFigures) -> Report {
        let phase = PhaseReport {
            kind: PhaseKind::CrashedEndpoint,
            title: "crashed endpoint".to_owned(),
            seconds: 10.0,
            lag_p99: 0.001,
        };
        Report {
            phases: vec![phase],
            arms: [
                ArmFigures {
                    phases: vec![without],
                },
                ArmFigures { phases: vec![with] },
            ],
            ..Report::default()
        }
    }
}
