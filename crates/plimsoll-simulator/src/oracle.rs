//! What the best fixed limit achieves in a phase: what a limiter is measured against.
//!
//! Found by a sweep of the same simulator, each phase alone and long enough to be steady. A sweep takes minutes,
//! so its results are kept (`table`), and tests compare some of them with a new sweep and with closed forms.
//! Units: answers within the objective per second.

mod table;

use plimsoll_policy::LimiterKind;

use crate::gateway::Policy;
use crate::scenario::{Load, Phase, Scenario};
use crate::simulation::{Run, simulate};

/// What the best fixed limit achieves in a phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Oracle {
    /// Answers within the objective, per second.
    pub good: f64,
    /// The limit that gives most.
    pub limit: u32,
    /// The smallest and the largest limit that give 95 % of it.
    pub range: (u32, u32),
}

/// The limits that are tried.
const LIMITS: [u32; 30] = [
    2, 3, 4, 5, 6, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 100, 125, 160, 200, 260,
    320, 400, 500, 640, 800, 1_000,
];
/// Requests in each try, and in the run that gives the figure: not the one that chose the limit, since the best
/// of thirty noisy figures is too high.
const REQUESTS: (f64, f64) = (40_000.0, 200_000.0);
/// Seconds before a try counts.
const WARM_UP: u32 = 10;

/// What is known of a scenario's phase; `None` for a phase that is not in the table.
pub fn known(scenario: &Scenario, phase: usize) -> Option<Oracle> {
    let row = table::ORACLES
        .iter()
        .find(|row| row.0 == scenario.name && row.1 == phase)?;
    Some(Oracle {
        good: row.2,
        limit: row.3,
        range: (row.4, row.5),
    })
}

/// Answers within the objective per second of one phase alone, under a fixed limit.
pub fn measure(scenario: &Scenario, phase: &Phase, limit: u32, requests: f64, seed: u64) -> f64 {
    let rate = scenario.nominal() * phase.load.mean();
    // Whole periods of what is periodic; a ramp is what it is.
    let seconds = match phase.load {
        Load::Ramp { .. } => phase.seconds,
        _ => (requests / rate / 20.0).ceil() as u32 * 20,
    };
    let warm_up = match phase.load {
        Load::Ramp { .. } => 0,
        _ => WARM_UP.max(scenario.warm_up).div_ceil(20) * 20,
    };
    let alone = scenario.isolated(phase, seconds + warm_up);
    let run = Run {
        threads: 1,
        seed,
        uneven: false,
    };
    let record = simulate(&alone, &Policy::of(LimiterKind::Fixed(limit)), run);
    let good: u32 = record
        .seconds
        .iter()
        .skip(warm_up as usize)
        .map(|second| second.good_sum())
        .sum();
    f64::from(good) / f64::from(seconds)
}

/// Sweeps one phase.
pub fn sweep(scenario: &Scenario, phase: &Phase) -> Oracle {
    if phase.service.stalled || phase.service.failing >= 1.0 {
        return Oracle {
            good: 0.0,
            limit: 2,
            range: (2, 1_000),
        };
    }
    let tried = LIMITS.map(|limit| (limit, measure(scenario, phase, limit, REQUESTS.0, 1)));
    let (limit, best) = tried
        .iter()
        .copied()
        .max_by(|one, other| one.1.total_cmp(&other.1))
        .unwrap_or((2, 0.0));
    let mut enough = tried.iter().filter(|tried| tried.1 >= 0.95 * best);
    let low = enough.next().map_or(limit, |tried| tried.0);
    let high = enough.next_back().map_or(low, |tried| tried.0);
    Oracle {
        good: measure(scenario, phase, limit, REQUESTS.1, 2),
        limit,
        range: (low, high),
    }
}

/// The table's text, as `table.rs` keeps it, from sweeps in the order of scenarios and phases.
pub fn render(rows: &[(String, usize, Oracle)]) -> String {
    let mut text = String::from(
        "//! What sweeps found, by scenario and phase: good answers per second, the best limit, and the limits\n\
         //! between which 95 % of it are reached. Written by the ignored test `the_oracles_are_swept_anew`.\n\n\
         /// Scenario, phase, good per second, limit, smallest and largest limit that do.\n\
         pub(super) type Row = (&'static str, usize, f64, u32, u32, u32);\n\n\
         #[rustfmt::skip]\npub(super) const ORACLES: &[Row] = &[\n",
    );
    for (name, phase, oracle) in rows {
        let (low, high) = oracle.range;
        text += &format!(
            "    (\"{name}\", {phase}, {:.1}, {}, {low}, {high}),\n",
            oracle.good, oracle.limit
        );
    }
    text + "];\n"
}
