//! What of a service is given up in a fluid run: what is stale is answered at once, what would change something is refused at
//! once, and what is optional is not worked on.
//!
//! As much is left out as the governor's step lets be; what moves below it by latency is only in runs by request.

use std::rc::Rc;

use plimsoll_measure::slot_of;

use super::latency::Profile;
use super::station::Outcome;
use crate::governing::GivesUp;

/// How far the governor has moved what it may.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Steps {
    pub(super) no_retries: bool,
    pub(super) spares: bool,
    /// The part of the optional content that is left out.
    pub(super) dimmed: f64,
    pub(super) shed: u8,
    pub(super) read_only: bool,
}

/// Shares of what is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given {
    /// Refused, since it would change something.
    refused: f64,
    /// Answered with something stale.
    stale: f64,
    /// Of the rest: what would change something, and what there is something stale for.
    writes: f64,
    asked: f64,
}

impl Given {
    pub(super) fn of(can: GivesUp, steps: Steps) -> Self {
        let old = can.stale * (1.0 - can.writes);
        let on = |is: bool, share: f64| if is { share } else { 0.0 };
        let (refused, stale) = (on(steps.read_only, can.writes), on(steps.spares, old));
        Self {
            refused,
            stale,
            writes: can.writes - refused,
            asked: old - stale,
        }
    }

    /// The share that the service is asked for.
    pub(super) fn passes(&self) -> f64 {
        1.0 - self.refused - self.stale
    }
}

impl Outcome {
    /// What became of what the service was asked for becomes what becomes of all.
    pub(super) fn give(&mut self, given: &Given) {
        let passes = given.passes();
        let let_in = 1.0 - self.refused;
        (self.writes, self.asked) = (given.writes * let_in, given.asked * let_in);
        if passes >= 1.0 {
            return;
        }
        self.scale(passes);
        self.governed *= passes;
        self.refused = self.refused * passes + given.refused;
        self.read_only = given.refused;
        self.spared = given.stale;
        let answered = self.answered + given.stale;
        self.latency *= self.answered / answered.max(1e-300);
        self.answered = answered;
        self.in_time += given.stale;
        if given.stale > 0.0 {
            let at_once = Profile {
                in_time: 1.0,
                answered: 1.0,
                mean: 0.0,
                slots: vec![(slot_of(0), 1.0)],
            };
            self.profiles.push((Rc::new(at_once), given.stale));
        }
    }
}
