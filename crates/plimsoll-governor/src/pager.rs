//! What calls a person: a burn that can't be chance, and traffic that stays away.
//!
//! A page is the alarm of [`BurnDetector`]; the bar is the number of its batches in a year, so that at a burn of 1.0 there
//! is at most one a year. It is projected from the last 28 days, or from the last hour if that had more: a batch
//! gives a false page once in as many batches as the bar says at that time, so after two quiet months a mean that has not
//! followed yet gave a busy service twelve in a year of first days.
//! A page has ended when an hour, or thirty requests if an hour has fewer, burnt at less than 1.0.
//! Traffic is absent when at the rate of the last hour so many should have come that their absence is no chance, and
//! the silence is longer than is usual.
//! Units: seconds; requests.

mod silence;

use std::collections::VecDeque;

use plimsoll_core::Ratio;
use plimsoll_measure::{Alarm, BurnDetector, Tally, Urgency};
use serde::{Deserialize, Serialize};

use self::silence::Silences;

/// A page that somebody ended is not called again for so long, unless it gets worse. What burns on after that calls anew.
const DISMISSED_SECONDS: u64 = 300;
const YEAR: f64 = 365.0 * 86_400.0;
const MINUTE: u64 = 60;
const HOUR: u64 = 3_600;
/// What a year is projected from.
const MONTH: u64 = 28 * 86_400;
/// What an alarm's end is judged by, if an hour brings fewer.
const ENDED_REQUESTS: u64 = 30;
/// So many were expected and none came: a chance of one in 480 million, if they came at random.
const ABSENT_EXPECTED: f64 = 20.0;
/// But a client that makes all the traffic may restart.
const ABSENT_SECONDS: u64 = 60;
/// The rate is not known before.
const RATE_SECONDS: u64 = 600;

/// Somebody is to look.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// How soon.
    pub urgency: Urgency,
    /// The burn rate, of those that are looked for, that explains it best.
    pub burn: f64,
    /// How much likelier that makes what was seen than a burn of 1.0 does. A decision has an `evidence` of its own.
    #[serde(rename = "likelier", default)]
    pub evidence: f64,
    /// What the evidence had to reach: the number of batches in a year.
    pub bar: f64,
}

/// Requests stay away.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Absence {
    /// For so long.
    pub seconds: u64,
    /// So many were to be expected in that time.
    pub expected: f64,
}

/// What there is to say about an objective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Page(Page),
    Resolved,
    Absent(Absence),
    Returned,
}

/// Watches one objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pager {
    /// `None`: the target is so low that no burn can be told from another.
    detector: Option<BurnDetector>,
    /// For how many seconds it has watched.
    watched: u64,
    /// The detector's batches a second: of all that was watched while that is less than 28 days, then faded over as long.
    /// Not in what was kept by versions that did not know it.
    #[serde(default)]
    mean: Option<f64>,
    /// The same over the last hour. Not in what was kept by versions that did not know it.
    #[serde(default)]
    batches: f64,
    /// Minutes with requests, the newest at the back: their number, good, bad.
    minutes: VecDeque<(u64, u64, u64)>,
    open: Option<Page>,
    /// How urgent the page was that somebody ended, and for how many seconds it is not called again. Not in what was kept by
    /// versions that did not know it.
    #[serde(default)]
    dismissed: Option<(Urgency, u64)>,
    /// Requests a second over the last hour, as of the last request.
    rate: f64,
    average: f64,
    silent: u64,
    absent: bool,
    /// Not in what was kept by versions that did not know it.
    #[serde(default)]
    silences: Silences,
}

impl Pager {
    pub(crate) fn new(target: Ratio) -> Self {
        Self {
            detector: BurnDetector::new(target).ok(),
            watched: 0,
            mean: None,
            batches: 0.0,
            minutes: VecDeque::new(),
            open: None,
            dismissed: None,
            rate: 0.0,
            average: 0.0,
            silent: 0,
            absent: false,
            silences: Silences::default(),
        }
    }

    /// The page that has not ended.
    pub(crate) fn open(&self) -> Option<&Page> {
        self.open.as_ref()
    }

    /// Somebody says that it is over. It is no alarm's end: if it burns on, or again, the next alarm is a page.
    pub(crate) fn dismiss(&mut self) {
        if let Some(page) = self.open.take() {
            self.dismissed = Some((page.urgency, DISMISSED_SECONDS));
        }
    }

    /// Whether requests stay away.
    pub(crate) fn is_absent(&self) -> bool {
        self.absent
    }

    /// Whether anything came within the last hour.
    pub(crate) fn knows(&self, second: u64) -> bool {
        let hour = HOUR / MINUTE;
        self.minutes
            .back()
            .is_some_and(|(minute, ..)| second / MINUTE <= minute + hour)
    }

    /// How long a burn at `burn` lasts before there is a page, in seconds, at the rate of the last hour. `None`: there
    /// is none, or nothing is known.
    pub(crate) fn delay(&self, burn: f64) -> Option<f64> {
        let detector = self.detector.as_ref()?;
        (self.rate > 0.0)
            .then(|| detector.delay(burn, self.rate, self.bar()))
            .flatten()
    }

    /// A second is over. At most one thing of each kind is said.
    pub(crate) fn on_second(
        &mut self,
        second: u64,
        target: Ratio,
        tally: Tally,
    ) -> [Option<Call>; 2] {
        self.watched += 1;
        let absence = self.on_rate(second, tally.total());
        self.count(second, tally);
        let Some(detector) = &mut self.detector else {
            return [absence, None];
        };
        let before = detector.batches();
        detector.on_second(second, tally);
        let closed = (detector.batches() - before) as f64;
        // Seconds before the last that was watched; of a version that knew no mean, there are some.
        let known = self
            .mean
            .unwrap_or(before as f64 / (self.watched - 1).max(1) as f64);
        let mean = known + (closed - known) / self.watched.min(MONTH) as f64;
        self.mean = Some(mean);
        self.batches += (closed - self.batches) / self.watched.min(HOUR) as f64;
        let bar = YEAR * mean.max(self.batches);
        let dismissed = self.dismissed.take();
        self.dismissed = dismissed
            .map(|(urgency, left)| (urgency, left.saturating_sub(1)))
            .filter(|(_, left)| *left > 0);
        let page = detector.take_alarm(bar).and_then(|alarm| {
            let page = page(alarm, bar);
            let known = self.open.map(|open| open.urgency);
            let known = known.or(self.dismissed.map(|(urgency, _)| urgency));
            let louder = known.is_none_or(|known| known < page.urgency);
            louder.then(|| {
                self.open = Some(page);
                self.dismissed = None;
                Call::Page(page)
            })
        });
        let page = page.or_else(|| {
            let ended = self.open.is_some() && self.has_ended(target);
            ended.then(|| {
                self.open = None;
                Call::Resolved
            })
        });
        [absence, page]
    }

    /// The batches of a year, by the mean or by those of the last hour.
    fn bar(&self) -> f64 {
        YEAR * self.mean.unwrap_or_default().max(self.batches)
    }

    fn on_rate(&mut self, second: u64, requests: u64) -> Option<Call> {
        let span = self.watched.min(HOUR) as f64;
        self.average += (requests as f64 - self.average) / span;
        if requests > 0 {
            // Before the first request nothing paused.
            let silent = if self.rate > 0.0 { self.silent } else { 0 };
            // A silence of which nobody can say that it is an absence is no more of a habit than one that is.
            let unknown = silent >= ABSENT_SECONDS && self.watched - 1 - silent < RATE_SECONDS;
            let called = self.absent || unknown;
            self.silences.on_requests(second, requests, silent, called);
            self.rate = self.average;
            self.silent = 0;
            return std::mem::take(&mut self.absent).then_some(Call::Returned);
        }
        self.silent += 1;
        let expected = self.rate * self.silent as f64;
        let absent = !self.absent
            && self.silent >= ABSENT_SECONDS
            && self.watched - self.silent >= RATE_SECONDS
            && expected >= ABSENT_EXPECTED
            && self.silences.is_unusual(second, self.silent);
        absent.then(|| {
            self.absent = true;
            Call::Absent(Absence {
                seconds: self.silent,
                expected,
            })
        })
    }

    /// Keeps an hour, or thirty requests.
    fn count(&mut self, second: u64, tally: Tally) {
        let minute = second / MINUTE;
        // The clock was ahead before a restart: what it said of later is of nothing.
        while self.minutes.back().is_some_and(|(it, ..)| *it > minute) {
            self.minutes.pop_back();
        }
        if tally.total() > 0 {
            match self.minutes.back_mut() {
                Some((newest, good, bad)) if *newest == minute => {
                    *good += tally.good;
                    *bad += tally.bad;
                }
                _ => self.minutes.push_back((minute, tally.good, tally.bad)),
            }
        }
        // The hour that is kept is that before the oldest one that is still needed.
        while let Some(&(oldest, good, bad)) = self.minutes.front() {
            let old = oldest + HOUR / MINUTE < minute;
            let rest: u64 = self.minutes.iter().map(|(_, good, bad)| good + bad).sum();
            if !old || rest - (good + bad) < ENDED_REQUESTS {
                break;
            }
            self.minutes.pop_front();
        }
    }

    fn has_ended(&self, target: Ratio) -> bool {
        let mut lately = Tally::default();
        for &(_, good, bad) in &self.minutes {
            lately += Tally { good, bad };
        }
        lately.total() >= ENDED_REQUESTS && lately.burn_rate(target).is_some_and(|burn| burn < 1.0)
    }
}

fn page(alarm: Alarm, bar: f64) -> Page {
    Page {
        urgency: alarm.urgency,
        burn: alarm.burn,
        evidence: alarm.evidence,
        bar,
    }
}

#[cfg(test)]
mod tests {
    use rand_core::{Rng as _, SeedableRng as _};
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;

    const DAY: u64 = 86_400;

    #[derive(Clone)]
    struct World {
        pager: Pager,
        second: u64,
    }

    impl World {
        fn new() -> Self {
            Self {
                pager: Pager::new(target()),
                second: 0,
            }
        }

        fn seconds(&mut self, seconds: u64, good: u64, bad: u64) -> Vec<(u64, Call)> {
            let mut calls = Vec::new();
            for _ in 0..seconds {
                self.second += 1;
                let said = self
                    .pager
                    .on_second(self.second, target(), Tally { good, bad });
                calls.extend(said.into_iter().flatten().map(|call| (self.second, call)));
            }
            calls
        }
    }

    fn target() -> Ratio {
        Ratio::try_from(0.999).unwrap()
    }

    #[test]
    fn an_outage_pages_once_within_a_minute_and_ends_an_hour_after_it() {
        let mut world = World::new();
        assert_eq!(world.seconds(3_600, 100, 0), []);
        let calls = world.seconds(600, 0, 100);
        let [(at, Call::Page(page))] = calls.as_slice() else {
            panic!("{calls:?}");
        };
        assert!(*at < 3_660, "{at}");
        assert_eq!(page.urgency, Urgency::Page);
        assert!(page.evidence >= page.bar && page.bar > 1e6, "{page:?}");
        let calls = world.seconds(3_600 + 120, 100, 0);
        let [(at, Call::Resolved)] = calls.as_slice() else {
            panic!("{calls:?}");
        };
        assert!((7_740..=7_920).contains(at), "{at}");
        assert!(world.pager.minutes.len() <= 62);
    }

    #[test]
    fn what_somebody_ended_calls_anew_if_it_burns_on_for_minutes_or_again() {
        let mut world = World::new();
        world.seconds(3_600, 100, 0);
        world.seconds(600, 0, 100);
        world.pager.dismiss();
        assert_eq!(world.pager.open(), None);
        let start = world.second;
        assert_eq!(world.seconds(DISMISSED_SECONDS - 1, 0, 100), []);
        let calls = world.seconds(60, 0, 100);
        let [(at, Call::Page(_))] = calls.as_slice() else {
            panic!("{calls:?}");
        };
        assert!(*at >= start + DISMISSED_SECONDS, "{at}");
        // It recovers, somebody ends it, and it fails again within the hour.
        world.seconds(120, 100, 0);
        world.pager.dismiss();
        assert_eq!(world.seconds(600, 100, 0), []);
        let calls = world.seconds(60, 0, 100);
        assert!(
            matches!(calls.as_slice(), [(_, Call::Page(_))]),
            "{calls:?}"
        );
    }

    #[test]
    fn what_gets_worse_after_somebody_ended_it_calls_at_once() {
        let mut world = World::new();
        world.seconds(3_600, 100, 0);
        world.pager.open = Some(Page {
            urgency: Urgency::Ticket,
            burn: 3.0,
            evidence: 1e7,
            bar: 1e6,
        });
        world.pager.dismiss();
        let calls = world.seconds(60, 0, 100);
        assert!(
            matches!(calls.as_slice(), [(_, Call::Page(page))] if page.urgency == Urgency::Page),
            "{calls:?}"
        );
    }

    #[test]
    fn five_requests_an_hour_are_watched_too() {
        let mut world = World::new();
        for _ in 0..48 {
            assert_eq!(world.seconds(719, 0, 0), []);
            assert_eq!(world.seconds(1, 1, 0), []);
        }
        let mut paged = None;
        for request in 1..20 {
            world.seconds(1, 0, 1);
            // The batch is closed after a minute.
            if let [(_, Call::Page(_))] = world.seconds(719, 0, 0).as_slice() {
                paged = paged.or(Some(request));
            }
        }
        let paged = paged.unwrap();
        assert!((2..=3).contains(&paged), "after {paged} failures in a row");
        assert!(world.pager.minutes.len() <= 40);
        let mut good = 0;
        while world.pager.open().is_some() {
            world.seconds(719, 0, 0);
            world.seconds(1, 1, 0);
            good += 1;
            assert!(good < 60);
        }
        assert!(good >= 30, "{good}");
    }

    #[test]
    fn after_traffic_fell_for_good_the_bar_follows_within_a_month() {
        let mut world = World::new();
        // A batch a second or so for ten days; then five requests an hour.
        world.seconds(10 * DAY, 10_000, 0);
        let busy = world.pager.bar();
        for _ in 0..60 * 24 * 5 {
            world.seconds(1, 1, 0);
            world.seconds(719, 0, 0);
        }
        let quiet = world.pager.bar();
        // Sixty days later an eleventh of it is left, where the mean of all seventy had a seventh.
        assert!(quiet < busy / 10.0, "{quiet} of {busy}");
    }

    #[test]
    fn minutes_of_a_clock_that_was_ahead_judge_no_page() {
        let mut world = World::new();
        world.seconds(3_600, 100, 0);
        world.seconds(600, 0, 100);
        assert!(world.pager.open().is_some());
        // After a restart the clock is right, an hour back: what burnt then is not to come.
        world.second -= 3_600;
        world.seconds(3_600, 100, 0);
        assert!(world.pager.open().is_none());
    }

    #[test]
    fn traffic_that_stays_away_is_said_once_and_so_is_its_return() {
        let mut world = World::new();
        assert_eq!(world.seconds(1_000, 10, 0), []);
        let calls = world.seconds(600, 0, 0);
        assert!(
            matches!(calls.as_slice(), [(1_060, Call::Absent(_))]),
            "{calls:?}"
        );
        assert_eq!(world.seconds(1, 1, 0), [(1_601, Call::Returned)]);
        // One that fades away is not absent.
        let mut fading = World::new();
        for rate in (1..=20).rev() {
            assert_eq!(fading.seconds(1_800, rate, 0), []);
        }
    }

    /// When an absence was called, of what was said.
    fn absences(calls: &[(u64, Call)]) -> Vec<u64> {
        let absent = calls
            .iter()
            .filter(|(_, call)| matches!(call, Call::Absent(_)));
        absent.map(|(at, _)| *at).collect()
    }

    #[test]
    fn a_job_each_hour_is_absent_in_no_pause_from_its_third_on() {
        let mut world = World::new();
        let mut called = Vec::new();
        for _ in 0..72 {
            called.extend(absences(&world.seconds(60, 5, 0)));
            called.extend(absences(&world.seconds(3_540, 0, 0)));
        }
        // Of the first pause nothing can be said yet.
        let [at] = called.as_slice() else {
            panic!("{called:?}");
        };
        assert!((3_600..7_200).contains(at), "{at}");
        // That it does not come at all is said still.
        let last = world.second;
        let called = absences(&world.seconds(5 * 3_600, 0, 0));
        assert_eq!(called, [last - 3_540 + 3 * 3_540 + 1]);
    }

    #[test]
    fn nights_and_a_job_each_day_are_absent_in_no_pause_from_the_third_on() {
        for busy in [600, 50_000] {
            let mut world = World::new();
            let mut called = Vec::new();
            for _ in 0..10 {
                called.extend(absences(&world.seconds(busy, 10, 0)));
                called.extend(absences(&world.seconds(86_400 - busy, 0, 0)));
            }
            assert_eq!(called.len(), 2, "{called:?}");
            assert!(called.iter().all(|at| *at < 2 * 86_400), "{called:?}");
        }
    }

    #[test]
    fn who_is_silent_at_night_is_missed_at_noon() {
        let mut world = World::new();
        for _ in 0..10 {
            world.seconds(50_000, 10, 0);
            world.seconds(36_400, 0, 0);
        }
        world.seconds(25_000, 10, 0);
        let start = world.second;
        assert_eq!(absences(&world.seconds(600, 0, 0)), [start + 60]);
        // Nights that begin half an hour sooner are nights.
        world.seconds(25_000 - 600 - 1_800, 10, 0);
        assert!(absences(&world.seconds(36_400 + 1_800, 0, 0)).is_empty());
    }

    #[test]
    fn weekends_are_absent_twice_and_then_no_more() {
        let mut world = World::new();
        let mut called = Vec::new();
        let hour = 3_600;
        // Five working days of ten hours in a week.
        for week in 0..5 {
            for day in 0..5 {
                called.extend(
                    absences(&world.seconds(10 * hour, 5, 0))
                        .iter()
                        .map(|_| week),
                );
                let silent = if day < 4 { 14 } else { 14 + 48 };
                called.extend(
                    absences(&world.seconds(silent * hour, 0, 0))
                        .iter()
                        .map(|_| week),
                );
            }
        }
        // The first night, the second one, and two weekends.
        assert_eq!(called, [0, 0, 0, 1]);
        // What they excuse is themselves: on other days traffic is missed at once, and so it is where it does not come back.
        for day in [0, 1, 2, 4] {
            let mut world = world.clone();
            for _ in 0..day {
                world.seconds(10 * hour, 5, 0);
                world.seconds(14 * hour, 0, 0);
            }
            world.seconds(4 * hour, 5, 0);
            let start = world.second;
            let called = absences(&world.seconds(30 * hour, 0, 0));
            assert_eq!(called, [start + 60], "{day}");
        }
        let back = world.second;
        let called = absences(&world.seconds(30 * hour, 0, 0));
        assert_eq!(called, [back + hour + 2], "on Monday");
    }

    #[test]
    fn what_is_usual_is_kept_over_a_restart_and_what_was_kept_without_is_read() {
        let mut world = World::new();
        for _ in 0..30 {
            world.seconds(60, 5, 0);
            world.seconds(3_540, 0, 0);
        }
        world.seconds(60, 5, 0);
        let kept = serde_json::to_value(&world.pager).unwrap();
        let mut earlier = kept.clone();
        assert!(
            earlier
                .as_object_mut()
                .unwrap()
                .remove("silences")
                .is_some()
        );
        world.pager = serde_json::from_value(kept).unwrap();
        assert_eq!(world.seconds(3_540, 0, 0), []);
        world.seconds(60, 5, 0);
        world.pager = serde_json::from_value(earlier).unwrap();
        assert_eq!(absences(&world.seconds(3_540, 0, 0)).len(), 1);
    }

    #[test]
    fn an_outage_does_not_blind_for_the_next() {
        let mut world = World::new();
        assert_eq!(world.seconds(86_400, 10, 0), []);
        // Somebody tries within it, more than once.
        let start = world.second;
        assert_eq!(absences(&world.seconds(7_200, 0, 0)), [start + 60]);
        for _ in 0..5 {
            world.seconds(1, 1, 0);
            world.seconds(1_200, 0, 0);
        }
        for _ in 0..3 {
            world.seconds(36_000, 10, 0);
            let start = world.second;
            let called = absences(&world.seconds(60, 0, 0));
            assert_eq!(called, [start + 60]);
            // It was short, so no more is learnt of both; and after two days nothing is.
            world.seconds(86_400, 10, 0);
            world.seconds(86_400, 10, 0);
        }
    }

    #[test]
    fn steady_traffic_that_comes_by_chance_is_missed_about_as_soon_as_by_its_rate_alone() {
        for (per_second, slower) in [(1.0, 1.01), (0.3, 1.6), (0.01, 1.6)] {
            let mut world = World::new();
            let mut random = Xoshiro256PlusPlus::seed_from_u64(7);
            for _ in 0..2 * DAY {
                let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                assert_eq!(world.seconds(1, u64::from(unit < per_second), 0), []);
            }
            let by_rate = (ABSENT_EXPECTED / world.pager.rate).max(ABSENT_SECONDS as f64);
            let start = world.second - world.pager.silent;
            let called = absences(&world.seconds(10_000, 0, 0));
            let [at] = called.as_slice() else {
                panic!("{per_second}: {called:?}");
            };
            let after = (at - start) as f64 / by_rate;
            assert!(after <= slower, "{per_second}: {after}");
        }
    }

    #[test]
    fn of_two_outages_about_the_same_hour_the_shorter_counts_and_not_for_long() {
        let mut world = World::new();
        world.seconds(86_400, 10, 0);
        world.seconds(7_200, 0, 0);
        world.seconds(1_800, 10, 0);
        world.seconds(600, 0, 0);
        world.seconds(1_800, 10, 0);
        let start = world.second;
        assert_eq!(absences(&world.seconds(7_200, 0, 0)), [start + 1_801]);
        world.seconds(3 * 86_400, 10, 0);
        let start = world.second;
        assert_eq!(absences(&world.seconds(600, 0, 0)), [start + 60]);
    }

    #[test]
    fn a_service_that_never_had_traffic_is_not_absent_and_nothing_is_known_of_it() {
        let mut world = World::new();
        assert_eq!(world.seconds(10_000, 0, 0), []);
        assert!(!world.pager.knows(world.second));
        assert_eq!(world.pager.delay(2.0), None);
        world.seconds(1, 1, 0);
        assert!(world.pager.knows(world.second));
        world.seconds(3_700, 0, 0);
        assert!(!world.pager.knows(world.second));
    }

    /// How often somebody is called in `days` days at a burn of exactly 1.0, of one request every `pause` seconds, each
    /// day with another seed and from the same past.
    fn false_pages(past: &World, pause: u64, days: u64) -> usize {
        let pages = |seed: u64| {
            let mut pager = past.pager.clone();
            let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
            let mut pages = 0;
            for second in past.second + 1..=past.second + DAY {
                let requests = u64::from(second.is_multiple_of(pause));
                let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
                let bad = u64::from(requests > 0 && unit < target().complement().get());
                let good = requests - bad;
                let said = pager.on_second(second, target(), Tally { good, bad });
                let said = said.iter().flatten();
                pages += said.filter(|it| matches!(it, Call::Page(_))).count();
            }
            pages
        };
        (0..days).map(pages).sum()
    }

    #[test]
    fn a_service_that_was_quiet_pages_for_nothing_no_more_often_than_others() {
        // One request an hour, for an hour or for sixty days; then a hundred an hour.
        for quiet in [1, 60 * 24] {
            let mut past = World::new();
            for _ in 0..quiet {
                assert_eq!(past.seconds(1, 1, 0), []);
                assert_eq!(past.seconds(3_599, 0, 0), []);
            }
            // A year of such days, each the first one: one page is promised.
            let pages = false_pages(&past, 36, 365);
            assert!(pages <= 1, "{pages} after {quiet} h");
        }
    }

    #[test]
    fn the_bar_is_of_the_busy_hour_and_no_lower_than_of_all_that_was_seen() {
        let mut world = World::new();
        let bar = |world: &World| world.pager.bar();
        for _ in 0..24 * 28 {
            world.seconds(1, 1, 0);
            world.seconds(3_599, 0, 0);
        }
        let quiet = bar(&world);
        assert!((8_760.0..12_000.0).contains(&quiet), "{quiet}");
        // A batch every six seconds.
        world.seconds(6 * 3_600, 10, 0);
        let busy = bar(&world);
        assert!((busy / (YEAR / 6.0) - 1.0).abs() < 0.01, "{busy}");
        let mean = (24.0 * 28.0 + 3_600.0) / (24.0 * 28.0 + 6.0) * 8_760.0;
        world.seconds(86_400, 0, 0);
        let night = bar(&world);
        assert!((0.9 * mean..mean).contains(&night), "{night}, {mean}");
    }

    #[test]
    fn a_delay_can_be_stated_before_anything_happens() {
        let mut world = World::new();
        world.seconds(7_200, 100, 0);
        let delay = world.pager.delay(14.4).unwrap();
        assert!((60.0..3_600.0).contains(&delay), "{delay}");
        assert_eq!(world.pager.delay(1.0), None);
    }
}
