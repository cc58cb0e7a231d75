//! How far the governor has moved what it may move of one service: read by the data plane, written by the control thread.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use plimsoll_core::Class;

/// The last step of shedding: only `critical` is let in.
pub const SHED_STEPS: u8 = 4;

/// At zero, nothing is moved.
#[derive(Debug, Default)]
pub struct Steps {
    hedge: AtomicU8,
    retry: AtomicU8,
    shed: AtomicU8,
    stale: AtomicU8,
    read_only: AtomicBool,
}

impl Steps {
    /// Whether second attempts are made beside slow ones.
    pub fn hedges(&self) -> bool {
        self.hedge.load(Relaxed) == 0
    }

    /// Whether failed attempts are made again.
    pub fn retries(&self) -> bool {
        self.retry.load(Relaxed) == 0
    }

    /// Second attempts are made, from 0, or not, from 1.
    pub fn set_hedge(&self, step: u8) {
        self.hedge.store(step, Relaxed);
    }

    /// Failed attempts are made again, from 0, or not, from 1.
    pub fn set_retry(&self, step: u8) {
        self.retry.store(step, Relaxed);
    }

    /// 1: half of `sheddable` is refused; 2: all of it; 3: half of `standard` as well; 4: all of that.
    pub fn set_shed(&self, step: u8) {
        self.shed.store(step.min(SHED_STEPS), Relaxed);
    }

    /// What is stored and stale is given only where its service fails or refuses, from 0, or at once, from 1.
    pub fn set_stale(&self, step: u8) {
        self.stale.store(step, Relaxed);
    }

    /// Whether what is stored and stale is given at once, so that its service is spared.
    #[inline]
    pub fn spares(&self) -> bool {
        self.stale.load(Relaxed) > 0
    }

    /// Whether only what changes nothing is let in.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Relaxed)
    }

    /// Only what changes nothing is let in, or all.
    pub fn set_read_only(&self, on: bool) {
        self.read_only.store(on, Relaxed);
    }

    /// Whether a request is refused. `random` is uniform.
    #[inline]
    pub fn sheds(&self, class: Class, random: u64) -> bool {
        let step = self.shed.load(Relaxed);
        if step == 0 {
            return false;
        }
        // The lowest bit decides on half: throttling looks at the highest ones of the same word.
        let half = random & 1 == 0;
        match class {
            Class::Critical => false,
            Class::Standard => step >= 4 || (step == 3 && half),
            Class::Sheddable => step >= 2 || half,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_spared_from_the_first_step_on_and_no_longer_at_zero() {
        let steps = Steps::default();
        let spares = [0, 1, 2, 0].map(|step| {
            steps.set_stale(step);
            steps.spares()
        });
        assert_eq!(spares, [false, true, true, false]);
    }

    #[test]
    fn each_step_refuses_more_and_never_what_is_critical() {
        let steps = Steps::default();
        let let_in = |step| {
            steps.set_shed(step);
            let passes = |class| (0..2).filter(|random| !steps.sheds(class, *random)).count();
            [Class::Critical, Class::Standard, Class::Sheddable].map(passes)
        };
        let all = [0, 1, 2, 3, 4, 200].map(let_in);
        assert_eq!(
            all,
            [
                [2, 2, 2],
                [2, 2, 1],
                [2, 2, 0],
                [2, 1, 0],
                [2, 0, 0],
                [2, 0, 0]
            ]
        );
    }
}
