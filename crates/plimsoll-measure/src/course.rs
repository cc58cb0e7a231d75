//! What each service did lately, step by step: what the console draws over time.
//!
//! Units: steps of 5 s for the last ten minutes, of 30 s for the last hour; times in whole seconds since the epoch.
//! Bound: 120 steps of each kind for a service, some 35 kB where it is busy; services are those of the configuration.
//! Elsewhere: what budgets need, and for longer (`window`); what outlives the process (`plimsoll-store`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::histogram::{Histogram, SparseHistogram, upper_nanos};
use crate::outcome::{Cause, Outcome};
use crate::series::CauseCounts;
use crate::snapshot::REFUSALS;
use crate::turns::Turns;

/// How many steps of each kind are kept.
const STEPS_MAX: usize = 120;
/// Slots of the histogram that make one row: four rows to a doubling.
const SLOTS_IN_ROW: usize = 4;

/// How long a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepLength {
    /// 5 s, for ten minutes.
    Short,
    /// 30 s, for an hour.
    Long,
}

impl StepLength {
    /// In seconds.
    pub const fn seconds(self) -> u64 {
        match self {
            Self::Short => 5,
            Self::Long => 30,
        }
    }
}

/// Causes of what was not good, as far as they are told apart over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CauseGroup {
    /// The service answered, and said that it failed.
    Answered,
    /// Its answer did not come, or not to its end.
    Timeout,
    /// It could not be reached, or broke off.
    Connect,
    /// Plimsoll refused.
    Refused,
    /// Any other that is bad.
    Other,
}

impl CauseGroup {
    /// All of them, the one at the bottom of a stack first.
    pub const ALL: [Self; 5] = [
        Self::Answered,
        Self::Timeout,
        Self::Connect,
        Self::Other,
        Self::Refused,
    ];

    /// The word on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "upstream-5xx",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Refused => "refused",
            Self::Other => "other",
        }
    }

    fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::UpstreamStatus | Cause::GrpcStatus | Cause::BadResponse => Some(Self::Answered),
            Cause::Timeout | Cause::Stalled => Some(Self::Timeout),
            Cause::Connect | Cause::Reset | Cause::NoEndpoint => Some(Self::Connect),
            cause if REFUSALS.contains(&cause) => Some(Self::Refused),
            cause if cause.outcome() == Outcome::Bad => Some(Self::Other),
            _ => None,
        }
    }
}

/// What was answered in place of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StandIn {
    /// What is stored and fresh.
    Fresh,
    /// What is stored and stale.
    Stale,
    /// A fallback, also that of a feature which is dimmed.
    Fallback,
}

impl StandIn {
    /// All of them, the one at the bottom of a stack first.
    pub const ALL: [Self; 3] = [Self::Fresh, Self::Stale, Self::Fallback];

    /// The word on pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Fallback => "fallback",
        }
    }

    fn of(cause: Cause) -> Option<Self> {
        match cause {
            Cause::Cached => Some(Self::Fresh),
            Cause::Stale => Some(Self::Stale),
            Cause::Fallback | Cause::Dimmed => Some(Self::Fallback),
            _ => None,
        }
    }
}

/// How a service's protections stand at the end of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// How many requests may be in flight; `None`: there is no limit.
    pub limit: Option<u32>,
    /// How many are.
    pub in_flight: u32,
    /// How many wait.
    pub queued: u32,
    /// Endpoints that are passed over.
    pub turns: Turns,
    /// Whether protections act, in place of only observing or being off.
    pub acts: bool,
}

/// One step of a service's course.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Step {
    /// When it begins, in seconds since the epoch.
    pub start: u64,
    /// How much of it was observed.
    pub observed: Duration,
    /// Requests that ended.
    pub requests: u64,
    /// Those that were good.
    pub good: u64,
    /// Those that were bad.
    pub bad: u64,
    /// Those that were not good, in the order of [`CauseGroup::ALL`].
    pub causes: [u64; CauseGroup::ALL.len()],
    /// Those that something else answered in place of the service, in the order of [`StandIn::ALL`].
    pub stand_ins: [u64; StandIn::ALL.len()],
    /// The limit at its end; in flight and waiting, the most of all its seconds; endpoints, their mean; acting, in all of them.
    pub standing: Standing,
    /// Half of the latencies are shorter.
    pub p50: Option<Duration>,
    /// 99 % are.
    pub p99: Option<Duration>,
    /// Latencies by row, see [`row_upper`], the shortest first; none that is zero.
    pub rows: Vec<(u8, u32)>,
}

impl Step {
    /// Requests in a second; `None` where nothing was observed.
    pub fn per_second(&self, count: u64) -> Option<f64> {
        let observed = self.observed.as_secs_f64();
        (observed > 0.0).then(|| count as f64 / observed)
    }

    /// The share that these are of all requests; `None` without any.
    pub fn share(&self, count: u64) -> Option<f64> {
        (self.requests > 0).then(|| count as f64 / self.requests as f64)
    }

    /// Those that ended for a cause of this group.
    pub fn of_cause(&self, group: CauseGroup) -> u64 {
        let place = CauseGroup::ALL.iter().position(|it| *it == group);
        place
            .and_then(|place| self.causes.get(place))
            .copied()
            .unwrap_or(0)
    }

    /// Those that this answered in place of the service.
    pub fn of_stand_in(&self, stand_in: StandIn) -> u64 {
        let place = StandIn::ALL.iter().position(|it| *it == stand_in);
        place
            .and_then(|place| self.stand_ins.get(place))
            .copied()
            .unwrap_or(0)
    }
}

/// The longest latency that belongs in a row, in seconds. A row has a quarter of a doubling.
pub fn row_upper(row: u8) -> f64 {
    let slot = usize::from(row) * SLOTS_IN_ROW + SLOTS_IN_ROW - 1;
    // The last row holds what is longer than the range too.
    let last = crate::histogram::SLOTS - 2;
    upper_nanos(slot.min(last)) as f64 / 1e9
}

/// The courses of all services of the configuration.
#[derive(Debug, Default)]
pub struct Courses(BTreeMap<String, Course>);

/// The course of one service.
#[derive(Clone, Debug)]
struct Course {
    short: Steps,
    long: Steps,
}

#[derive(Clone, Debug)]
struct Steps {
    length: StepLength,
    /// The newest is at the back.
    done: VecDeque<Step>,
    open: Open,
}

/// The step that is on.
#[derive(Clone, Debug, Default)]
struct Open {
    start: u64,
    observed: Duration,
    causes: CauseCounts,
    latency: SparseHistogram,
    standing: Standing,
    /// How many seconds came into it.
    seconds: u32,
}

impl Courses {
    /// Only these services are there now.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }

    /// A copy of that of one service; empty where nothing is known of it.
    #[must_use]
    pub fn only(&self, service: &str) -> Self {
        let course = self.0.get(service).cloned();
        Self(
            course
                .map(|it| (service.to_owned(), it))
                .into_iter()
                .collect(),
        )
    }

    /// What came to a service with the second that ends at `at`.
    pub fn on_second(
        &mut self,
        service: &str,
        at: u64,
        observed: Duration,
        causes: &CauseCounts,
        latency: &SparseHistogram,
        standing: Standing,
    ) {
        if !self.0.contains_key(service) {
            self.0.insert(service.to_owned(), Course::new());
        }
        if let Some(course) = self.0.get_mut(service) {
            for steps in [&mut course.short, &mut course.long] {
                steps.on_second(at, observed, causes, latency, standing);
            }
        }
    }

    /// The steps of a service, the oldest first, with the one that is on; none, where nothing is known of it.
    pub fn steps(&self, service: &str, length: StepLength) -> Vec<Step> {
        let Some(course) = self.0.get(service) else {
            return Vec::new();
        };
        let steps = match length {
            StepLength::Short => &course.short,
            StepLength::Long => &course.long,
        };
        let mut all: Vec<Step> = steps.done.iter().cloned().collect();
        if steps.open.observed > Duration::ZERO {
            all.push(steps.open.close());
        }
        all
    }

    /// Its short steps that are over and began at `from` or later, the oldest first.
    pub fn ended_since(&self, service: &str, from: u64) -> impl Iterator<Item = &Step> {
        let course = self.0.get(service);
        let done = course.into_iter().flat_map(|course| &course.short.done);
        done.filter(move |step| step.start >= from)
    }

    /// Requests and bad ones of a service over the last hour, in `points` parts of the same length; `None` where nothing was
    /// observed. Each is how many in a second.
    pub fn traffic(&self, service: &str, at: u64, points: usize) -> Vec<Option<(f64, f64)>> {
        let mut parts = vec![(Duration::ZERO, 0_u64, 0_u64); points];
        let span = StepLength::Long.seconds() * STEPS_MAX as u64;
        let begin = (at + 1).saturating_sub(span);
        if let Some(course) = self.0.get(service) {
            let open = &course.long.open;
            let open = (
                open.start,
                open.observed,
                open.causes.total(),
                open.causes.with_outcome(Outcome::Bad),
            );
            let done = course.long.done.iter();
            let done = done.map(|step| (step.start, step.observed, step.requests, step.bad));
            for (start, observed, requests, bad) in done.chain([open]) {
                let Some(after) = start.checked_sub(begin).filter(|after| *after < span) else {
                    continue;
                };
                let place = after as usize * points / span as usize;
                if let Some(part) = parts.get_mut(place) {
                    part.0 += observed;
                    part.1 += requests;
                    part.2 += bad;
                }
            }
        }
        let rate = |(observed, requests, bad): (Duration, u64, u64)| {
            let seconds = observed.as_secs_f64();
            (seconds > 0.0).then(|| (requests as f64 / seconds, bad as f64 / seconds))
        };
        parts.into_iter().map(rate).collect()
    }
}

impl Course {
    fn new() -> Self {
        let steps = |length| Steps {
            length,
            done: VecDeque::new(),
            open: Open::default(),
        };
        Self {
            short: steps(StepLength::Short),
            long: steps(StepLength::Long),
        }
    }
}

impl Steps {
    fn on_second(
        &mut self,
        at: u64,
        observed: Duration,
        causes: &CauseCounts,
        latency: &SparseHistogram,
        standing: Standing,
    ) {
        let start = at - at % self.length.seconds();
        // Time that runs backwards stays in the step that is on.
        if start > self.open.start {
            if self.open.observed > Duration::ZERO {
                if self.done.len() == STEPS_MAX {
                    self.done.pop_front();
                }
                self.done.push_back(self.open.close());
            }
            self.open = Open {
                start,
                ..Open::default()
            };
        }
        let open = &mut self.open;
        open.observed += observed;
        open.causes += *causes;
        open.latency.merge(latency);
        open.standing = Standing {
            limit: standing.limit,
            in_flight: open.standing.in_flight.max(standing.in_flight),
            queued: open.standing.queued.max(standing.queued),
            turns: open.standing.turns.with(open.seconds, &standing.turns),
            acts: standing.acts && (open.seconds == 0 || open.standing.acts),
        };
        open.seconds += 1;
    }
}

impl Open {
    fn close(&self) -> Step {
        let mut causes = [0; CauseGroup::ALL.len()];
        let mut stand_ins = [0; StandIn::ALL.len()];
        for (cause, count) in self.causes.iter() {
            let group = CauseGroup::of(cause);
            let place = group.and_then(|group| CauseGroup::ALL.iter().position(|it| *it == group));
            if let Some(sum) = place.and_then(|place| causes.get_mut(place)) {
                *sum += count;
            }
            let stand_in = StandIn::of(cause);
            let place = stand_in.and_then(|it| StandIn::ALL.iter().position(|other| *other == it));
            if let Some(sum) = place.and_then(|place| stand_ins.get_mut(place)) {
                *sum += count;
            }
        }
        let mut histogram = Histogram::new();
        self.latency.add_to(&mut histogram);
        let rows = histogram.counts().chunks(SLOTS_IN_ROW).zip(0_u8..);
        let rows = rows.filter_map(|(slots, row)| {
            let count: u64 = slots.iter().sum();
            (count > 0).then(|| (row, u32::try_from(count).unwrap_or(u32::MAX)))
        });
        let mut rows: Vec<(u8, u32)> = rows.collect();
        rows.shrink_to_fit();
        Step {
            start: self.start,
            observed: self.observed,
            requests: self.causes.total(),
            good: self.causes.with_outcome(Outcome::Good),
            bad: self.causes.with_outcome(Outcome::Bad),
            causes,
            stand_ins,
            standing: self.standing,
            p50: histogram.quantile(0.5),
            p99: histogram.quantile(0.99),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Class;

    use super::*;
    use crate::series::{Record, Series};

    const SECOND: Duration = Duration::from_secs(1);

    /// So many requests that end so.
    fn second(records: &[(Cause, u64, usize)]) -> (CauseCounts, SparseHistogram) {
        let series = Series::new(1, Vec::new());
        for (cause, millis, times) in records {
            for _ in 0..*times {
                let record = Record {
                    class: Class::Standard,
                    cause: *cause,
                    latency: Duration::from_millis(*millis),
                    bytes_in: 0,
                    bytes_out: 0,
                    objectives: Record::ALL,
                };
                series.record(0, &record);
            }
        }
        let totals = series.read();
        let latency = SparseHistogram::between(&Histogram::new(), &totals.latency);
        (totals.causes(), latency)
    }

    fn run(courses: &mut Courses, seconds: std::ops::Range<u64>, in_flight: u32) {
        let (causes, latency) = second(&[
            (Cause::Answered, 10, 8),
            (Cause::UpstreamStatus, 100, 1),
            (Cause::Shed, 0, 1),
        ]);
        for at in seconds {
            let standing = Standing {
                limit: Some(20),
                in_flight,
                queued: 0,
                turns: Turns {
                    endpoints: 4,
                    out: f64::from(u8::from(at.is_multiple_of(5))),
                    fails: 0.5,
                    longer: 2.0,
                },
                acts: at != 1_007,
            };
            courses.on_second("shop", at, SECOND, &causes, &latency, standing);
        }
    }

    #[test]
    fn steps_that_are_over_are_given_from_a_time_on() {
        let mut courses = Courses::default();
        run(&mut courses, 1_003..1_016, 7);
        let starts = |from| -> Vec<u64> {
            let ended = courses.ended_since("shop", from);
            ended.map(|it| it.start).collect()
        };
        // That of 1,015 is on.
        assert_eq!(starts(0), [1_000, 1_005, 1_010]);
        assert_eq!(starts(1_001), [1_005, 1_010]);
        assert_eq!(courses.ended_since("mail", 0).count(), 0);
    }

    #[test]
    fn steps_hold_what_came_and_begin_at_whole_multiples() {
        let mut courses = Courses::default();
        run(&mut courses, 1_003..1_016, 7);
        let steps = courses.steps("shop", StepLength::Short);
        let starts: Vec<u64> = steps.iter().map(|it| it.start).collect();
        assert_eq!(starts, [1_000, 1_005, 1_010, 1_015]);
        let acts: Vec<bool> = steps.iter().map(|it| it.standing.acts).collect();
        assert_eq!(acts, [true, false, true, true], "in all of its seconds");
        let [first, second, ..] = steps.as_slice() else {
            panic!("{steps:?}");
        };
        assert_eq!((first.requests, second.requests), (20, 50));
        assert_eq!(second.per_second(second.requests), Some(10.0));
        assert_eq!(second.of_cause(CauseGroup::Refused), 5);
        assert_eq!(second.of_cause(CauseGroup::Answered), 5);
        assert_eq!(second.share(second.bad), Some(0.2));
        assert_eq!(second.standing.in_flight, 7);
        let Turns {
            out, fails, longer, ..
        } = second.standing.turns;
        assert!((out - 0.2).abs() < 1e-9 && (fails, longer) == (0.5, 2.0));
        assert_eq!(second.rows.iter().map(|(_, count)| count).sum::<u32>(), 50);
        let p99 = second.p99.unwrap().as_secs_f64();
        assert!((p99 - 0.1).abs() < 0.003, "{p99}");
    }

    #[test]
    fn a_row_is_the_one_whose_bounds_hold_the_latency() {
        let (causes, latency) = second(&[(Cause::Answered, 100, 3)]);
        let mut courses = Courses::default();
        courses.on_second("shop", 5, SECOND, &causes, &latency, Standing::default());
        let steps = courses.steps("shop", StepLength::Long);
        let (row, count) = steps[0].rows[0];
        assert_eq!(count, 3);
        assert!(row_upper(row - 1) < 0.1 && row_upper(row) >= 0.1);
        assert!(row_upper(u8::MAX) > 500.0, "{}", row_upper(u8::MAX));
    }

    #[test]
    fn memory_is_bounded_and_a_pause_leaves_a_gap() {
        let mut courses = Courses::default();
        run(&mut courses, 0..10_000, 1);
        run(&mut courses, 20_000..20_100, 1);
        for length in [StepLength::Short, StepLength::Long] {
            let steps = courses.steps("shop", length);
            assert!(steps.len() <= STEPS_MAX + 1, "{}", steps.len());
            let starts: Vec<u64> = steps.iter().map(|it| it.start).collect();
            assert!(starts.is_sorted());
            assert!(!starts.iter().any(|it| (10_000..19_980).contains(it)));
        }
        let traffic = courses.traffic("shop", 20_100, 60);
        assert_eq!(traffic[0], None);
        assert_eq!(
            traffic[59].map(|(requests, _)| requests.round()),
            Some(10.0)
        );
        courses.retain(|_| false);
        assert!(courses.steps("shop", StepLength::Long).is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_new_step() {
        let mut courses = Courses::default();
        run(&mut courses, 1_000..1_010, 1);
        run(&mut courses, 500..520, 1);
        let starts = courses.steps("shop", StepLength::Short);
        let starts: Vec<u64> = starts.iter().map(|it| it.start).collect();
        assert_eq!(starts, [1_000, 1_005]);
    }
}
