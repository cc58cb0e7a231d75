//! What an objective makes of the seconds of a run: windows and detector of a running gateway, on expected counts. A page ends by
//! an hour alone, and before a whole period is over the budget is that of the traffic so far.

use std::time::Duration;

use plimsoll_core::{Instant, Ratio};
use plimsoll_measure::{Alarm, BurnDetector, Tally, Window, objective_levels};

/// How often the budget is noted.
const NOTED_EACH: u64 = 3_600;
/// The window of the burn rate that is noted with it.
const BURN_WINDOW: Duration = Duration::from_secs(3_600);
/// A detector needs so long before its bar is that of the traffic that it saw.
const LEARNING: u64 = 28 * 86_400;
/// How often it is looked whether it still burns.
const LOOKED_EACH: u64 = 60;
const DAY: u64 = 86_400;
const YEAR: f64 = 365.0 * 86_400.0;

/// The budget of a service over a run.
#[derive(Debug)]
pub struct Judgement {
    target: Ratio,
    period: Duration,
    window: Window<Tally>,
    /// `None`: the target is too low for a burn to be told.
    detector: Option<BurnDetector>,
    /// What is expected and not counted yet: less than one.
    good: f64,
    bad: f64,
    points: Vec<BudgetPoint>,
    alarms: Vec<BurnAlarm>,
    /// The last alarm has not ended: when the evidence for it was there last.
    burns: Option<u64>,
    exhausted: Option<u64>,
    seconds: u64,
}

/// The budget at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BudgetPoint {
    /// Seconds since the run's beginning.
    pub at: u64,
    /// The share that is left; below zero it is overspent; `None` without traffic.
    pub left: Option<f64>,
    /// How fast it went over the last hour.
    pub burn: Option<f64>,
}

/// A page or a ticket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BurnAlarm {
    /// Seconds since the run's beginning.
    pub at: u64,
    /// What it says.
    pub alarm: Alarm,
}

impl Judgement {
    /// For a target over a rolling period.
    pub fn new(target: Ratio, period: Duration) -> Self {
        Self {
            target,
            period,
            window: Window::new(&objective_levels(period)),
            detector: BurnDetector::new(target).ok(),
            good: 0.0,
            bad: 0.0,
            points: Vec::new(),
            alarms: Vec::new(),
            burns: None,
            exhausted: None,
            seconds: 0,
        }
    }

    /// What the budget is for.
    pub fn period(&self) -> Duration {
        self.period
    }

    /// The share that must be good.
    pub fn target(&self) -> Ratio {
        self.target
    }

    /// The budget at each hour, and at the end.
    pub fn points(&self) -> &[BudgetPoint] {
        &self.points
    }

    /// What would have called somebody: once, until it burns at less than 1.0 over an hour.
    pub fn alarms(&self) -> &[BurnAlarm] {
        &self.alarms
    }

    /// When nothing was left for the first time, in seconds since the run's beginning. Before a whole period is over, the budget is
    /// that of the traffic so far, so an early minute may well use it up: the first day does not count, or the first period if that is
    /// shorter.
    pub fn exhausted(&self) -> Option<u64> {
        self.exhausted
    }

    /// A second is over, in which so many were good and bad. Whole ones are counted; what is left is kept for the next.
    pub(super) fn on_second(&mut self, good: f64, bad: f64) {
        self.good += good;
        self.bad += bad;
        let tally = Tally {
            good: self.good as u64,
            bad: self.bad as u64,
        };
        self.good -= tally.good as f64;
        self.bad -= tally.bad as f64;
        self.seconds += 1;
        let now = Instant::from_nanos(self.seconds * 1_000_000_000 - 1);
        self.window.add(now, Duration::from_secs(1), &tally);
        if let Some(detector) = &mut self.detector {
            detector.on_second(self.seconds, tally);
            let watched = self.seconds.min(LEARNING) as f64;
            let a_year = detector.batches() as f64 * YEAR / watched;
            if let Some(alarm) = detector.take_alarm(a_year) {
                let at = self.seconds;
                if self.burns.replace(at).is_none() {
                    self.alarms.push(BurnAlarm { at, alarm });
                }
            }
        }
        // An hour that is over has all of it.
        if let Some(last) = self.burns
            && self.seconds >= last + BURN_WINDOW.as_secs()
            && self.seconds.is_multiple_of(LOOKED_EACH)
        {
            let hour = self.window.sum(now, BURN_WINDOW).amount;
            if hour.burn_rate(self.target).is_some_and(|burn| burn < 1.0) {
                self.burns = None;
            }
        }
        if self.seconds.is_multiple_of(NOTED_EACH) {
            self.note(now);
        }
    }

    /// The run is over.
    pub(super) fn end(&mut self) {
        if !self.seconds.is_multiple_of(NOTED_EACH) {
            self.note(Instant::from_nanos(self.seconds * 1_000_000_000 - 1));
        }
    }

    fn note(&mut self, now: Instant) {
        let over = |span| self.window.sum(now, span).amount;
        let left = over(self.period).budget_left(self.target);
        let burn = over(BURN_WINDOW).burn_rate(self.target);
        let at = self.seconds;
        self.points.push(BudgetPoint { at, left, burn });
        let told_from = self.period.as_secs().min(DAY);
        if self.exhausted.is_none() && at >= told_from && left.is_some_and(|left| left <= 0.0) {
            self.exhausted = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_requests_add_up_to_whole_ones() {
        let period = Duration::from_secs(28 * 86_400);
        let mut judgement = Judgement::new(Ratio::try_from(0.99).unwrap(), period);
        for _ in 0..7_200 {
            judgement.on_second(0.995, 0.005);
        }
        judgement.end();
        let [first, second] = judgement.points() else {
            panic!("two hours: {:?}", judgement.points());
        };
        assert_eq!((first.at, second.at), (3_600, 7_200));
        assert!((second.left.unwrap() - 0.5).abs() < 0.02, "{second:?}");
        assert!((second.burn.unwrap() - 0.5).abs() < 0.05, "{second:?}");
        assert_eq!(judgement.alarms(), []);
        assert_eq!(judgement.exhausted(), None);
    }

    #[test]
    fn an_outage_calls_somebody_and_uses_the_budget_up() {
        let period = Duration::from_secs(28 * 86_400);
        let mut judgement = Judgement::new(Ratio::try_from(0.999).unwrap(), period);
        for second in 0..3 * 86_400_u64 {
            let out = (90_000..93_600).contains(&second);
            let bad = if out { 100.0 } else { 0.0 };
            judgement.on_second(100.0 - bad, bad);
        }
        let first = judgement.alarms()[0];
        assert!((90_001..90_120).contains(&first.at), "{first:?}");
        // An hour of 25: at the next note.
        assert_eq!(judgement.exhausted(), Some(93_600));
    }

    #[test]
    fn a_short_period_is_told_of_once_it_is_over() {
        let hours = Duration::from_secs(4 * 3_600);
        let mut judgement = Judgement::new(Ratio::try_from(0.99).unwrap(), hours);
        for second in 0..8 * 3_600_u64 {
            let bad = if second < 3_600 { 10.0 } else { 0.0 };
            judgement.on_second(100.0 - bad, bad);
        }
        judgement.end();
        // A tenth of one of four hours, of 1 %; in the end the hour is no part of the period any more.
        assert_eq!(judgement.exhausted(), Some(4 * 3_600));
        assert_eq!(judgement.points().last().unwrap().left, Some(1.0));
    }
}
