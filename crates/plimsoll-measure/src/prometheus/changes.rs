//! Metrics of what is changed under guard: rollouts and flags.

use super::exposition::{Exposition, Kind};
use crate::snapshot::{RolloutState, RolloutView};

/// What is changed under guard.
#[derive(Clone, Copy, Debug, Default)]
pub struct ChangesView<'a> {
    /// All rollouts of the configuration.
    pub rollouts: &'a [RolloutView],
    /// How often flags were evaluated over OFREP.
    pub flags: &'a [FlagCountsView],
}

/// How often a flag was evaluated, by what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlagCountsView {
    /// Empty: those that are not there, and those beyond what is counted by name.
    pub flag: String,
    /// OpenFeature's reasons, and how often each was given.
    pub reasons: Vec<(&'static str, u64)>,
}

pub(super) fn render(out: &mut Exposition, changes: &ChangesView<'_>) {
    if !changes.rollouts.is_empty() {
        rollouts(out, changes.rollouts);
    }
    if changes.flags.is_empty() {
        return;
    }
    out.family(
        "plimsoll_flag_evaluations",
        Kind::Counter,
        "Evaluations of flags over OFREP, by OpenFeature's reason.",
    );
    for counted in changes.flags {
        for (reason, count) in &counted.reasons {
            let labels = [("flag", counted.flag.as_str()), ("reason", reason)];
            out.sample("_total", &labels, *count);
        }
    }
}

fn rollouts(out: &mut Exposition, rollouts: &[RolloutView]) {
    out.family(
        "plimsoll_rollout_state",
        Kind::Gauge,
        "1 for the state that a rollout is in, 0 for the others.",
    );
    for it in rollouts {
        for state in RolloutState::ALL {
            let labels = [
                ("service", &*it.service),
                ("rollout", &*it.name),
                ("state", state.name()),
            ];
            out.sample("", &labels, f64::from(u8::from(it.state == state)));
        }
    }
    out.family(
        "plimsoll_rollout_weight_ratio",
        Kind::Gauge,
        "The share of requests that the new version gets.",
    );
    for it in rollouts {
        let labels = [("service", &*it.service), ("rollout", &*it.name)];
        out.sample("", &labels, it.weight);
    }
    out.family(
        "plimsoll_rollout_evidence",
        Kind::Gauge,
        "The evidence that the new version is worse, by what was looked at: 1 is none; absent before the first run.",
    );
    let runs = || {
        rollouts
            .iter()
            .filter_map(|it| Some((it, it.run.as_ref()?)))
    };
    for (it, run) in runs() {
        for evidence in &run.evidence {
            let labels = [
                ("service", &*it.service),
                ("rollout", &*it.name),
                ("of", &*evidence.of),
            ];
            out.sample("", &labels, evidence.e);
        }
    }
    out.family(
        "plimsoll_rollout_requests",
        Kind::Counter,
        "Requests that were judged since the run began, by the version that they went to.",
    );
    for (it, run) in runs() {
        for (arm, counted) in [("stable", &run.stable), ("canary", &run.canary)] {
            let good = counted.requests.saturating_sub(counted.bad);
            for (outcome, count) in [("good", good), ("bad", counted.bad)] {
                let labels = [
                    ("service", &*it.service),
                    ("rollout", &*it.name),
                    ("arm", arm),
                    ("outcome", outcome),
                ];
                out.sample("_total", &labels, count);
            }
        }
    }
}
