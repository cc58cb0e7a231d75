//! How a bad version comes to the catalogue of each arm, and what came of it.

use super::{Director, Event};
use crate::arm::Arm;
use crate::catalogue::CATALOGUE;
use crate::deploy;
use crate::journal::Journal;
use crate::plan::PhaseKind;
use crate::proxy::ProxyKind;
use crate::report::DeployFigures;
use crate::rollout::{self, Turn};

impl Director<'_> {
    /// The rolling deploy on the left comes to its next endpoint, if it is time for that.
    pub(super) fn go_on_replacing(&mut self) {
        let kind = self.phase.and_then(|index| self.plan.phases.get(index));
        let is_on = kind.is_some_and(|phase| phase.kind == PhaseKind::BadDeploy);
        let Some(deploy) = self.plan.deploy.filter(|_| is_on) else {
            return;
        };
        let since = self.clock.now().saturating_sub(self.phase_began);
        let replaced = deploy.replaced(since);
        if replaced != self.replaced {
            self.replaced = replaced;
            let [_, right] = self.faults.clone();
            self.set_faults([deploy::rolling(replaced), right]);
        }
    }

    /// On the right, as a person would. On a thread of its own: the load does not wait for the answer.
    pub(super) fn begin_rollout(&mut self) {
        let [_, with] = &self.arms;
        let Some(program) = self.program.clone() else {
            return;
        };
        if with.kind != ProxyKind::Plimsoll {
            return;
        }
        let (state, send) = (with.state(self.folder.path()), self.send.clone());
        std::thread::spawn(move || {
            // An error means that the demo is over, and then nobody wants to know.
            let _ = send.send(Event::Begun(rollout::begin(&program, &state)));
        });
    }

    /// For the report.
    pub(super) fn deploy_figures(&self, journal: &Journal) -> Option<DeployFigures> {
        let deploy = self.plan.deploy?;
        let first = |is_it: fn(Turn) -> bool| {
            let mut turns = journal.turns.iter();
            turns.find(|(_, turn)| is_it(*turn)).map(|(at, _)| *at)
        };
        // By the journal's clock alone: when the phase began by ours is known to a second only.
        let began = first(|turn| turn == Turn::Stepped);
        let after = |at: Option<f64>| Some(at? - began?);
        let requests = |arm: &Arm| {
            let catalogue = arm.state.services.get(CATALOGUE);
            catalogue.map_or(0, |it| it.bad_version)
        };
        Some(DeployFigures {
            fails: deploy::FAILS,
            every_seconds: deploy.every.as_secs_f64(),
            batch_seconds: deploy.batch.as_secs_f64(),
            cooldown_seconds: deploy.cooldown.as_secs_f64(),
            requests: self.arms.each_ref().map(requests),
            stopped_at: after(first(|turn| matches!(turn, Turn::Struck | Turn::Undone))),
            undone_at: after(first(|turn| turn == Turn::Undone)),
        })
    }
}
