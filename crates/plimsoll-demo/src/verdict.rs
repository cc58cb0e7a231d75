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
    /// Of the share of good answers to critical requests.
    pub critical: Comparison,
    /// Of the median latency.
    pub latency_p50: Comparison,
    /// Of the 99th percentile.
    pub latency_p99: Comparison,
    /// The share of bad ends without and with.
    pub bad: [f64; 2],
    /// The same of critical requests.
    pub critical_bad: [f64; 2],
}

/// Whose share of bad ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Everybody,
    Critical,
}

/// From this share of bad ends on, a phase is one in which help was needed.
const HELP_NEEDED: f64 = 0.05;

impl Finding {
    /// Whether anything got worse.
    pub fn is_worse(&self) -> bool {
        [self.good, self.critical, self.latency_p50, self.latency_p99].contains(&Comparison::Worse)
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

/// Where this version must help, whom, and how much of what was bad may be left, if the left arm is our own plain
/// proxy. Everywhere else it must make no difference for the worse.
///
/// Half is far from both ends: what works leaves a tenth, what does not work leaves all, and a slow machine
/// lies between. Where one floods, a third is the others' sheddable requests, which make room for a flood of
/// standard ones. The limit takes up to a few seconds to follow a capacity that fell, of the few that the phase
/// has, so there more may be left.
const HELPED: [(PhaseKind, Whose, f64); 7] = [
    (PhaseKind::FlashSale, Whose::Critical, 0.5),
    (PhaseKind::Flood, Whose::Everybody, 0.5),
    (PhaseKind::Flood, Whose::Critical, 0.5),
    (PhaseKind::LessCapacity, Whose::Critical, 0.75),
    (PhaseKind::FrozenEndpoint, Whose::Everybody, 0.5),
    (PhaseKind::BadDeploy, Whose::Everybody, 0.5),
    (PhaseKind::Recovery, Whose::Everybody, 0.5),
];

/// Of a phase in which the generator was later than this (P99), the machine had too little time for the proxies too:
/// its figures may be shown, but are no proof. On a machine with time for it, it is 3 to 8 ms late.
const LAG_MAX: f64 = 0.020;

/// What in the figures contradicts the direction that this version is to move them in; for tests. Nothing
/// where the figures are void, or the machine had no time: they contradict nothing.
pub fn contradictions(report: &Report) -> Vec<String> {
    if !report.void.is_empty() {
        return Vec::new();
    }
    verdict(report)
        .iter()
        .flat_map(|finding| {
            let phase = report.phases.get(finding.phase);
            [Whose::Everybody, Whose::Critical].map(|whose| contradiction(phase?, finding, whose))
        })
        .flatten()
        .collect()
}

fn contradiction(phase: &PhaseReport, finding: &Finding, whose: Whose) -> Option<String> {
    if phase.lag_p99 > LAG_MAX {
        return None;
    }
    let (comparison, bad, word) = match whose {
        Whose::Everybody => (finding.good, finding.bad, "bad"),
        Whose::Critical => (finding.critical, finding.critical_bad, "critical bad"),
    };
    let [without, with] = bad;
    let must = HELPED
        .iter()
        .find(|(kind, who, _)| (*kind, *who) == (phase.kind, whose));
    let expected = match must {
        Some((_, _, left_max)) => {
            let helped = comparison == Comparison::Better && with <= without * left_max;
            (!helped).then(|| format!("at most {:.1}%", without * left_max * 100.0))
        }
        None => (comparison == Comparison::Worse).then(|| "no more".to_owned()),
    }?;
    Some(format!(
        "{}: {word} {:.1}% without, {:.1}% with; {expected} was expected",
        phase.title,
        without * 100.0,
        with * 100.0
    ))
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
    let (critical_a, critical_b) = (without.critical(), with.critical());
    Some(Finding {
        phase: index,
        good: compare_shares(
            (without.bad_share(), without.offered),
            (with.bad_share(), with.offered),
        ),
        critical: compare_shares(
            (critical_a.bad_share(), critical_a.offered),
            (critical_b.bad_share(), critical_b.offered),
        ),
        latency_p50: compare_latencies(without.latency_p50, with.latency_p50),
        latency_p99: compare_latencies(without.latency_p99, with.latency_p99),
        bad: [without.bad_share(), with.bad_share()],
        critical_bad: [critical_a.bad_share(), critical_b.bad_share()],
    })
}

/// Shares of bad ends, each with how many it is of.
fn compare_shares(without: (f64, u64), with: (f64, u64)) -> Comparison {
    let variance = |(bad, of): (f64, u64)| bad * (1.0 - bad) / of.max(1) as f64;
    let noise = 3.0 * (variance(without) + variance(with)).sqrt() + 0.01;
    let gain = without.0 - with.0;
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
    use crate::report::{ArmFigures, ClassFigures};

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
    fn a_phase_that_was_not_helped_contradicts_and_void_figures_do_not() {
        let mut report = report(critical(480, 432), critical(480, 433));
        report.phases[0].kind = PhaseKind::FlashSale;
        assert_eq!(
            contradictions(&report),
            ["crashed endpoint: critical bad 10.0% without, 9.8% with; at most 5.0% was expected"]
        );
        report.void.push("late".to_owned());
        assert!(contradictions(&report).is_empty());
        let mut helped = self::report(critical(480, 432), critical(480, 479));
        helped.phases[0].kind = PhaseKind::FlashSale;
        assert!(contradictions(&helped).is_empty());
    }

    #[test]
    fn a_phase_for_which_the_machine_had_no_time_proves_nothing() {
        let mut report = report(critical(480, 432), critical(480, 433));
        report.phases[0].lag_p99 = 0.030;
        assert!(contradictions(&report).is_empty());
    }

    #[test]
    fn help_by_more_than_noise_but_less_than_it_must_contradicts() {
        let mut report = report(critical(4_800, 4_320), critical(4_800, 4_530));
        report.phases[0].kind = PhaseKind::FlashSale;
        assert_eq!(verdict(&report)[0].critical, Comparison::Better);
        assert_eq!(contradictions(&report).len(), 1);
    }

    #[test]
    fn what_got_worse_contradicts_everywhere() {
        let mut report = report(figures(480, 478, 0.1), figures(480, 432, 0.1));
        report.phases[0].kind = PhaseKind::Calm;
        assert_eq!(
            contradictions(&report),
            ["crashed endpoint: bad 0.4% without, 10.0% with; no more was expected"]
        );
    }

    fn critical(offered: u64, good: u64) -> PhaseFigures {
        let mut figures = figures(offered, good, 0.1);
        figures.classes[0] = ClassFigures {
            offered,
            good,
            refused: 0,
        };
        figures
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
