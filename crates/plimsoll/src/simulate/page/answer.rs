//! What somebody who was woken needs: one sentence, and the figures behind it.

use maud::{Markup, PreEscaped, html};
use plimsoll_measure::figure::{latency, percent};
use plimsoll_simulator::fleet::Cell;

use super::super::Arm;
use super::super::difference::{Figure, points};
use super::super::report::{
    Who, critical_good_share, good_share, refused_share, share, sum, total,
};
use super::Page;

/// Differences under this many percentage points are called none where there is one run only.
const NOTHING: f64 = 0.5;

/// The verdict in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Same,
}

impl Verdict {
    fn of(page: &Page<'_>) -> Option<Self> {
        let difference = page.report.difference(Figure::Good, Who::Everybody)?;
        let is_there = difference
            .is_shown()
            .unwrap_or(100.0 * difference.mean.abs() >= NOTHING);
        Some(match (is_there, difference.mean > 0.0) {
            (false, _) => Self::Same,
            (true, true) => Self::Better,
            (true, false) => Self::Worse,
        })
    }

    fn classes(self) -> &'static str {
        match self {
            Self::Better => "cond chip healthy",
            Self::Worse => "cond chip burning",
            Self::Same => "cond chip unknown",
        }
    }

    fn symbol(self) -> &'static str {
        match self {
            Self::Better => "#c-healthy",
            Self::Worse => "#c-burning",
            Self::Same => "#c-unknown",
        }
    }

    fn text(self, arm: Arm) -> String {
        match self {
            Self::Better => format!("more in time with {}", called(arm)),
            Self::Worse => format!("fewer in time with {}", called(arm)),
            Self::Same => "no difference shown".to_owned(),
        }
    }
}

fn called(arm: Arm) -> &'static str {
    match arm {
        Arm::Plimsoll => "Plimsoll",
        other => other.name(),
    }
}

/// `with Plimsoll`, `without its policies`, `with A`.
fn with(arm: Arm) -> String {
    match arm {
        Arm::Off => "without its policies".to_owned(),
        other => format!("with {}", called(other)),
    }
}

fn part(share: Option<f64>) -> String {
    share.map_or("none".to_owned(), |share| percent(Some(share), " "))
}

/// Title, verdict and figures.
pub(super) fn answer(page: &Page<'_>) -> Markup {
    let report = page.report;
    let [of, from] = report.compared();
    let verdict = Verdict::of(page);
    html! {
        section aria-labelledby="title" {
            div.title {
                h1 id="title" { (report.name) }
                @if let Some(verdict) = verdict {
                    span class=(verdict.classes()) {
                        svg aria-hidden="true" { (PreEscaped(format!("<use href=\"{}\"/>", verdict.symbol()))) }
                        (verdict.text(of))
                    }
                }
                @if let Some(about) = &report.scenario.about { span.q { (about) } }
            }
            div.lead {
                p { (sentence(page, of, from)) }
                p.q { (certainty(page)) }
            }
        }
        (facts(page))
    }
}

fn sentence(page: &Page<'_>, of: Arm, from: Arm) -> Markup {
    let report = page.report;
    let [good_of, good_from] = [of, from].map(|arm| total(report.ledgers(arm)));
    let phase = most_different_phase(page);
    let refused = match of {
        Arm::Plimsoll => "Plimsoll refused",
        _ => "B refused",
    };
    html! {
        b { (part(good_share(&good_of))) " of users were answered in time " (with(of)) ", "
            (part(good_share(&good_from))) " " (with(from)) "." }
        @if let Some((name, [of, from])) = phase {
            " The most in phase " b { (name) } ": " (part(of)) " against " (part(from)) "."
        }
        @if let Some(critical) = critical_good_share(&good_of) {
            " Of critical users it is " (part(Some(critical))) " against " (part(critical_good_share(&good_from))) "."
        }
        " " (refused) " " (part(refused_share(&good_of))) " of requests."
    }
}

fn certainty(page: &Page<'_>) -> String {
    let report = page.report;
    let Some(difference) = report.difference(Figure::Good, Who::Everybody) else {
        return "Nobody came in one of the runs: there is nothing to compare.".to_owned();
    };
    match difference.ends(Figure::Good) {
        None => "One run of each: --seeds 10 would say how much of it is chance.".to_owned(),
        Some([low, high]) => format!(
            "The difference is {} percentage points; with 95 % confidence between {} and {} ({} pairs of runs).",
            points(difference.mean),
            points(low),
            points(high),
            report.seeds
        ),
    }
}

/// Its name, and the shares of good answers in both arms. `None` where no phase stands out.
fn most_different_phase<'a>(page: &Page<'a>) -> Option<(&'a str, [Option<f64>; 2])> {
    let (report, scenario) = (page.report, page.report.scenario);
    let shares = |phase: usize| {
        report.compared().map(|arm| {
            let mut all = Cell::default();
            for ledger in report.ledgers(arm) {
                for workload in 0..scenario.workloads.len() {
                    if let Some(cell) = ledger.cell(phase, workload) {
                        all.merge(cell);
                    }
                }
            }
            good_share(&all)
        })
    };
    let distance = |[of, from]: [Option<f64>; 2]| Some((of? - from?).abs());
    let phases = scenario.phases.iter().enumerate();
    let by_phase = phases.map(|(index, phase)| (phase.name.as_str(), shares(index)));
    let most = by_phase.max_by(|a, b| {
        distance(a.1)
            .unwrap_or(0.0)
            .total_cmp(&distance(b.1).unwrap_or(0.0))
    })?;
    let stands_out = scenario.phases.len() > 1 && distance(most.1)? > NOTHING / 100.0;
    stands_out.then_some(most)
}

fn facts(page: &Page<'_>) -> Markup {
    const NAMES: [&str; 5] = [
        "answered in time",
        "of critical users",
        "P99 of those answered",
        "refused",
        "attempts per user",
    ];
    let figures = |cell: &Cell| {
        let p99 = cell.latencies.quantile(0.99);
        let p99 = p99.map(|time| latency(Some(time.as_secs_f64()), " "));
        let attempts = share(cell.attempts, sum(&cell.users));
        [
            part(good_share(cell)),
            part(critical_good_share(cell)),
            p99.unwrap_or("none".to_owned()),
            part(refused_share(cell)),
            attempts.map_or("none".to_owned(), |attempts| format!("{attempts:.2}")),
        ]
    };
    let arms = page.report.arms.iter();
    let arms = arms.map(|(arm, ledgers)| (arm.name(), figures(&total(ledgers))));
    let arms: Vec<(&str, [String; NAMES.len()])> = arms.collect();
    html! {
        dl.panel.impact.facts5 aria-label="The whole run" {
            @for (index, name) in NAMES.iter().enumerate() { div {
                dt { (name) }
                @for (place, (arm, figures)) in arms.iter().enumerate() {
                    @if let Some(figure) = figures.get(index) {
                        dd .lesser[place > 0] { (figure) " " span.arm { (arm) } }
                    }
                }
            } }
        }
    }
}
