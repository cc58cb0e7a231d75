//! What clients saw, counted: by arm and kind of phase for the report, and of the last second for the drawing.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core::Class;

use super::users::{Asks, Users};
use crate::message::{ArmLive, LoadDone, LoadLive};
use crate::plan::{GOOD_WITHIN, PhaseKind, Plan, RequestKind};
use crate::report::{KindFigures, PhaseFigures, budget_spent, micros, quantile};

/// How a request ended, from the client's side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// 2xx, whole. `stale`: of what was stored, past its time.
    Answered { stale: bool },
    /// 5xx, reset, connection lost or not to be had. `told`: the proxy says why.
    Failed { told: bool },
    /// The proxy said no, and why.
    Refused,
    /// The client's patience ended.
    GaveUp,
}

/// Where a request is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) arm: usize,
    /// `None` = the warm-up, which is not counted.
    pub(super) phase: Option<PhaseKind>,
    pub(super) class: Class,
    /// Sent by the client that floods: counted apart from the others, whom the figures are about.
    pub(super) flood: bool,
    pub(super) kind: Option<RequestKind>,
    /// Who asks, where the scene is about that.
    pub(super) asks: Option<Asks>,
}

/// All counts of a run.
pub(super) struct Tally {
    /// In the order of [`PhaseKind::ALL`].
    phases: [PhaseTally; PhaseKind::ALL.len()],
    arms: [ArmTally; 2],
    window: VecDeque<Slice>,
    slice: Slice,
}

#[derive(Default)]
struct PhaseTally {
    due: u64,
    lags: Vec<u32>,
    arms: [PhaseArm; 2],
}

#[derive(Default)]
struct PhaseArm {
    figures: PhaseFigures,
    /// Microseconds.
    latencies: Vec<u32>,
    users: Users,
}

#[derive(Default)]
struct ArmTally {
    pending: usize,
}

/// What happened in one interval between two looks at it.
#[derive(Clone, Default)]
struct Slice {
    due: [u64; 3],
    lag_max: Duration,
    arms: [SliceArm; 2],
}

#[derive(Clone, Default)]
struct SliceArm {
    good: [u64; 3],
    ended: [u64; 3],
    late: u64,
    failed: u64,
    refused: [u64; 3],
    gave_up: u64,
    latencies: Vec<u32>,
}

/// How many intervals the drawing looks back over.
const WINDOW_SLICES: usize = 4;

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            phases: Default::default(),
            arms: Default::default(),
            window: VecDeque::new(),
            slice: Slice::default(),
        }
    }

    /// A request was due, and the generator came to it `lag` later.
    pub(super) fn on_due(
        &mut self,
        phase: Option<PhaseKind>,
        class: Class,
        flood: bool,
        lag: Duration,
    ) {
        if let Some(due) = self.slice.due.get_mut(class.index()) {
            *due += 1;
        }
        self.slice.lag_max = self.slice.lag_max.max(lag);
        if let Some(phase) = phase.and_then(|kind| self.phases.get_mut(kind.index())) {
            phase.due += u64::from(!flood);
            phase.lags.push(micros(lag));
        }
    }

    /// It goes out to one arm.
    pub(super) fn on_sent(&mut self, request: Request) {
        if let Some(arm) = self.arms.get_mut(request.arm) {
            arm.pending += 1;
        }
        if request.flood {
            if let Some(arm) = self.phase_arm(request) {
                arm.figures.flood += 1;
            }
            return;
        }
        if let Some(arm) = self.phase_arm(request) {
            arm.figures.offered += 1;
            if let Some(class) = arm.figures.classes.get_mut(request.class.index()) {
                class.offered += 1;
            }
            if let Some(of_kind) = of_kind(&mut arm.figures, request.kind) {
                of_kind.offered += 1;
            }
            if let Some(asks) = request.asks {
                arm.users.on_sent(asks);
            }
        }
    }

    /// It ended, `latency` after its intended send time.
    pub(super) fn on_end(&mut self, request: Request, end: End, latency: Duration) {
        let answered = matches!(end, End::Answered { .. });
        let good = answered && latency <= GOOD_WITHIN;
        if let Some(arm) = self.arms.get_mut(request.arm) {
            arm.pending = arm.pending.saturating_sub(1);
        }
        if let Some(slice) = self.slice.arms.get_mut(request.arm) {
            slice.on_end(request.class, end, good, latency);
        }
        let Some(arm) = self.phase_arm(request).filter(|_| !request.flood) else {
            return;
        };
        if let Some(of_kind) = of_kind(&mut arm.figures, request.kind) {
            of_kind.good += u64::from(good);
            of_kind.stale += u64::from(good && end == End::Answered { stale: true });
            of_kind.lost += u64::from(!answered);
            of_kind.told += u64::from(matches!(end, End::Refused | End::Failed { told: true }));
        }
        match (request.asks, end) {
            (Some(asks), End::Failed { .. }) => arm.users.on_failed(asks),
            (Some(_), End::Refused | End::GaveUp) => arm.users.on_unanswered(),
            _ => (),
        }
        match end {
            End::Answered { .. } if good => {
                arm.figures.good += 1;
                if let Some(class) = arm.figures.classes.get_mut(request.class.index()) {
                    class.good += 1;
                }
            }
            End::Answered { .. } => arm.figures.late += 1,
            End::Failed { .. } => arm.figures.failed += 1,
            End::Refused => {
                arm.figures.refused += 1;
                if let Some(class) = arm.figures.classes.get_mut(request.class.index()) {
                    class.refused += 1;
                }
            }
            End::GaveUp => arm.figures.gave_up += 1,
        }
        if matches!(end, End::Answered { .. } | End::GaveUp) {
            arm.latencies.push(micros(latency));
        }
    }

    fn phase_arm(&mut self, request: Request) -> Option<&mut PhaseArm> {
        self.phases
            .get_mut(request.phase?.index())?
            .arms
            .get_mut(request.arm)
    }

    /// Requests on their way in both arms.
    pub(super) fn pending(&self) -> usize {
        self.arms.iter().map(|arm| arm.pending).sum()
    }

    /// The last second, at `at` seconds since the first phase began. Called once per `interval`.
    pub(super) fn live(&mut self, plan: &Plan, at: f64, interval: Duration) -> LoadLive {
        self.window.push_back(std::mem::take(&mut self.slice));
        if self.window.len() > WINDOW_SLICES {
            self.window.pop_front();
        }
        let seconds = self.window.len() as f64 * interval.as_secs_f64();
        let sum = |count: &dyn Fn(&Slice) -> u64| {
            self.window.iter().map(count).sum::<u64>() as f64 / seconds
        };
        let by_class = |of: &dyn Fn(&Slice) -> [u64; 3]| {
            Class::ALL.map(|class| sum(&|slice| of(slice).get(class.index()).copied().unwrap_or(0)))
        };
        let offered_by_class = by_class(&|slice| slice.due);
        let arm = |index: usize| {
            let of = |slice: &Slice| slice.arms.get(index).cloned().unwrap_or_default();
            let count = |read: &dyn Fn(&SliceArm) -> u64| {
                sum(&|slice| slice.arms.get(index).map_or(0, read))
            };
            let mut latencies: Vec<u32> = self
                .window
                .iter()
                .flat_map(|slice| of(slice).latencies)
                .collect();
            latencies.sort_unstable();
            ArmLive {
                good: by_class(&|slice| slice.arms.get(index).map_or([0; 3], |arm| arm.good)),
                ended: by_class(&|slice| slice.arms.get(index).map_or([0; 3], |arm| arm.ended)),
                late: count(&|arm| arm.late),
                failed: count(&|arm| arm.failed),
                refused: by_class(&|slice| slice.arms.get(index).map_or([0; 3], |arm| arm.refused)),
                gave_up: count(&|arm| arm.gave_up),
                p50: quantile(&latencies, 0.5),
                p99: quantile(&latencies, 0.99),
                pending: self.arms.get(index).map_or(0, |arm| arm.pending),
                budget_spent: self.budget_spent(index, plan, at),
            }
        };
        LoadLive {
            at,
            offered: offered_by_class.iter().sum(),
            offered_by_class,
            lag_max: self
                .window
                .iter()
                .map(|slice| slice.lag_max.as_secs_f64())
                .fold(0.0, f64::max),
            arms: [arm(0), arm(1)],
        }
    }

    /// Of what has ended so far; requests on their way count as nothing yet.
    fn budget_spent(&self, arm: usize, plan: &Plan, at: f64) -> f64 {
        let lasted = lasted(plan, Duration::from_secs_f64(at.max(0.0)));
        let spent = self.phases.iter().zip(lasted).map(|(tally, seconds)| {
            let Some(figures) = tally.arms.get(arm).map(|arm| &arm.figures) else {
                return 0.0;
            };
            let bad = figures.late + figures.failed + figures.refused + figures.gave_up;
            let ended = bad + figures.good;
            if ended == 0 {
                0.0
            } else {
                budget_spent(bad as f64 / ended as f64, seconds)
            }
        });
        spent.sum()
    }

    /// The account of the run, which lasted `elapsed`.
    pub(super) fn done(&mut self, plan: &Plan, elapsed: Duration) -> LoadDone {
        let mut done = LoadDone {
            lasted: lasted(plan, elapsed).to_vec(),
            ..LoadDone::default()
        };
        for tally in &mut self.phases {
            done.due.push(tally.due);
            tally.lags.sort_unstable();
            done.lag_p99
                .push(quantile(&tally.lags, 0.99).unwrap_or(0.0));
            for (arm, into) in tally.arms.iter_mut().zip(&mut done.arms) {
                arm.latencies.sort_unstable();
                let mut figures = arm.figures.clone();
                figures.latency_p50 = quantile(&arm.latencies, 0.5);
                figures.latency_p99 = quantile(&arm.latencies, 0.99);
                figures.users = arm.users.figures();
                into.phases.push(figures);
            }
        }
        done
    }
}

/// Seconds that each kind of phase has lasted, `elapsed` after the first began.
fn lasted(plan: &Plan, elapsed: Duration) -> [f64; PhaseKind::ALL.len()] {
    let mut lasted = [0.0; PhaseKind::ALL.len()];
    let mut begin = Duration::ZERO;
    for phase in &plan.phases {
        if let Some(seconds) = lasted.get_mut(phase.kind.index()) {
            *seconds += elapsed
                .saturating_sub(begin)
                .min(phase.length)
                .as_secs_f64();
        }
        begin += phase.length;
    }
    lasted
}

fn of_kind(figures: &mut PhaseFigures, kind: Option<RequestKind>) -> Option<&mut KindFigures> {
    match kind? {
        RequestKind::Read => Some(&mut figures.reads),
        RequestKind::Write => Some(&mut figures.writes),
    }
}

impl SliceArm {
    fn on_end(&mut self, class: Class, end: End, good: bool, latency: Duration) {
        if let Some(ended) = self.ended.get_mut(class.index()) {
            *ended += 1;
        }
        match end {
            End::Answered { .. } if good => {
                if let Some(count) = self.good.get_mut(class.index()) {
                    *count += 1;
                }
            }
            End::Answered { .. } => self.late += 1,
            End::Failed { .. } => self.failed += 1,
            End::Refused => {
                if let Some(count) = self.refused.get_mut(class.index()) {
                    *count += 1;
                }
            }
            End::GaveUp => self.gave_up += 1,
        }
        if matches!(end, End::Answered { .. } | End::GaveUp) {
            self.latencies.push(micros(latency));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::{Length, Scene};

    #[test]
    fn every_request_is_counted_once() {
        let mut tally = Tally::new();
        for (end, latency) in [
            (ANSWERED, 10),
            (ANSWERED, 251),
            (FAILED, 1),
            (End::Refused, 1),
            (End::GaveUp, 2_000),
        ] {
            tally.on_due(
                Some(PhaseKind::FlashSale),
                Class::Critical,
                false,
                Duration::ZERO,
            );
            tally.on_sent(request());
            tally.on_end(request(), end, Duration::from_millis(latency));
        }
        let done = tally.done(
            &Plan::new(Scene::Day, Length::Full, 10.0),
            Duration::from_secs(60),
        );
        let figures = &done.arms[1].phases[1];
        assert_eq!((figures.offered, figures.good, figures.late), (5, 1, 1));
        assert_eq!(
            (figures.failed, figures.refused, figures.gave_up),
            (1, 1, 1)
        );
        assert_eq!(
            (
                figures.classes[0].offered,
                figures.classes[0].good,
                figures.classes[0].refused
            ),
            (5, 1, 1)
        );
        assert_eq!(figures.latency_p99, Some(2.0));
        assert_eq!(tally.pending(), 0);
    }

    #[test]
    fn what_the_flooding_client_sends_is_in_nobody_elses_figures() {
        let mut tally = Tally::new();
        let flood = Request {
            flood: true,
            ..request()
        };
        tally.on_due(flood.phase, flood.class, true, Duration::ZERO);
        tally.on_sent(flood);
        tally.on_end(flood, End::Refused, Duration::from_millis(1));
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        assert_eq!(
            tally.live(&plan, 0.25, Duration::from_millis(250)).offered,
            4.0
        );
        let done = tally.done(&plan, Duration::from_secs(60));
        let figures = &done.arms[1].phases[1];
        assert_eq!((figures.offered, figures.refused, figures.flood), (0, 0, 1));
        assert_eq!((done.due[1], tally.pending()), (0, 0));
    }

    #[test]
    fn the_live_window_forgets_what_is_older_than_a_second() {
        let mut tally = Tally::new();
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        let interval = Duration::from_millis(250);
        tally.on_sent(request());
        tally.on_end(request(), ANSWERED, Duration::from_millis(5));
        assert_eq!(tally.live(&plan, 0.25, interval).arms[1].good[0], 4.0);
        for _ in 0..3 {
            tally.live(&plan, 1.0, interval);
        }
        assert_eq!(tally.live(&plan, 1.25, interval).arms[1].good[0], 0.0);
    }

    #[test]
    fn a_run_that_ended_early_says_how_long_its_phases_were() {
        let mut tally = Tally::new();
        let done = tally.done(
            &Plan::new(Scene::Day, Length::Full, 10.0),
            Duration::from_secs(10),
        );
        assert_eq!(done.lasted[..3], [5.0, 5.0, 0.0]);
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        let done = tally.done(&plan, plan.length());
        assert_eq!(done.lasted[..2], [5.0, 10.0]);
        assert_eq!(done.lasted.iter().sum::<f64>(), plan.length().as_secs_f64());
    }

    #[test]
    fn reads_and_writes_are_counted_apart_too() {
        let mut tally = Tally::new();
        let stale = End::Answered { stale: true };
        for (kind, end, latency) in [
            (RequestKind::Read, ANSWERED, 5),
            (RequestKind::Read, stale, 5),
            (RequestKind::Write, End::Refused, 5),
            (RequestKind::Write, End::Failed { told: true }, 5),
            (RequestKind::Write, FAILED, 5),
            (RequestKind::Write, End::GaveUp, 2_000),
            // Late, but done.
            (RequestKind::Write, ANSWERED, 251),
        ] {
            let request = Request {
                kind: Some(kind),
                ..request()
            };
            tally.on_sent(request);
            tally.on_end(request, end, Duration::from_millis(latency));
        }
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        let done = tally.done(&plan, Duration::from_secs(60));
        let figures = &done.arms[1].phases[PhaseKind::FlashSale.index()];
        let (reads, writes) = (figures.reads, figures.writes);
        assert_eq!((reads.offered, reads.good, reads.stale), (2, 2, 1));
        assert_eq!((writes.offered, writes.good), (5, 0));
        assert_eq!((writes.lost, writes.told), (4, 2));
    }

    #[test]
    fn users_are_hurt_by_errors_and_what_is_refused_is_counted_apart() {
        let mut tally = Tally::new();
        for (user, end) in [
            (1, ANSWERED),
            (2, FAILED),
            (2, End::Refused),
            (3, End::GaveUp),
        ] {
            let request = Request {
                asks: Some(Asks::new(user, Duration::from_secs(5))),
                ..request()
            };
            tally.on_sent(request);
            // Late is an answer.
            tally.on_end(request, end, Duration::from_secs(1));
        }
        let plan = Plan::new(Scene::Day, Length::Full, 10.0);
        let done = tally.done(&plan, Duration::from_secs(60));
        let users = done.arms[1].phases[PhaseKind::FlashSale.index()].users;
        assert_eq!((users.asked, users.hurt), (3, 1));
        assert_eq!((users.requests, users.failed, users.unanswered), (4, 1, 2));
    }

    const ANSWERED: End = End::Answered { stale: false };
    const FAILED: End = End::Failed { told: false };

    fn request() -> Request {
        Request {
            arm: 1,
            phase: Some(PhaseKind::FlashSale),
            class: Class::Critical,
            flood: false,
            kind: None,
            asks: None,
        }
    }
}
