//! "Without Plimsoll": how many requests of an incident would have been bad, had nothing protected the service.
//!
//! A pure function of what a process remembers (`Courses`). The service is fitted to it step by step (`fit`): what came, what it
//! answered where it was full, what failed, which endpoints were held out. Then the fluid model runs it twice, as it was and
//! with all protections off, and what the two differ by is added to what was counted. What the record can't say is run both
//! ways (`World`): the interval is as wide as these are apart, and as the model was off on what is known.
//!
//! A request is bad that failed, was refused, or took longer than the objective, also if its client left then. It is asked
//! of the requests that came: those that clients would have sent again on top are not counted.
//! Elsewhere: how often the interval holds the truth (`trial`, docs/reference/without.md).

mod fit;
mod part;
pub mod trial;

use std::time::Duration;

use plimsoll_measure::{CauseGroup, Courses};

use fit::{Fitted, World};
pub use part::bad;
use part::{Part, parts};

/// With fewer requests than this nothing is told.
const REQUESTS_MIN: f64 = 500.0;
/// A step that was observed for less than this share of it is a gap.
const OBSERVED_MIN: f64 = 0.8;
/// More refusals than this share while the service was not full: what it could carry is not known.
const REFUSED_ELSE_MAX: f64 = 0.2;
/// Fewer than this share of requests was refused or met an endpoint that was held out: there is nothing to tell.
const ACTED_MIN: f64 = 0.002;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Asked {
    /// From this second on, since the epoch.
    pub from: u64,
    /// Until this one.
    pub until: u64,
    /// What takes longer is bad: the objective for latency.
    pub late: Duration,
}

/// What it would have been.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Without {
    /// Requests that came.
    pub requests: u64,
    /// Those of them that were bad, as recorded.
    pub bad: u64,
    /// Those that would have been.
    pub without: u64,
    /// Those at least.
    pub least: u64,
    /// Those at most.
    pub most: u64,
    /// How far the model was off on what is recorded: requests.
    pub off: u64,
}

/// Why it can't be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// Nothing acted.
    #[error("its protections do not act: what was counted is what came without them")]
    DoesNotAct,
    /// It did for a part of the time.
    #[error(
        "its protections acted for a part of this time only: ask for a time in which they all did, or none"
    )]
    ActsInPart,
    /// Of the service, or of this time.
    #[error("nothing is remembered of this time: the last hour is, since the process started")]
    NotRemembered,
    /// The course begins within the time that is asked for.
    #[error("what is remembered begins only after the time that is asked for")]
    BeginsLater,
    /// Seconds are missing.
    #[error("the record has a gap in this time")]
    Gap,
    /// Too little traffic.
    #[error("fewer than 500 requests came: too few to fit a model to")]
    TooFew,
    /// It neither refused nor held out.
    #[error(
        "Plimsoll refused next to nothing and held no endpoint out: it made no difference that can be told"
    )]
    NothingActed,
    /// Refusals that are not of a full service.
    #[error(
        "requests were refused while the service was not full: what it could have carried is not known"
    )]
    NotFull,
}

/// See the module's docs.
///
/// # Errors
/// It can't be told, and why.
pub fn without(courses: &Courses, service: &str, asked: &Asked) -> Result<Without, Unknown> {
    let parts = parts(courses, service);
    let asked_parts = within(&parts, asked)?;
    // As it was then: what is in force now may be another configuration.
    let mut then = asked_parts.iter().zip(&parts).filter(|it| *it.0 > 0.0);
    let acted = then.clone().any(|(_, part)| part.step.standing.acts);
    match (acted, then.all(|(_, part)| part.step.standing.acts)) {
        (false, _) => return Err(Unknown::DoesNotAct),
        (true, false) => return Err(Unknown::ActsInPart),
        (true, true) => (),
    }
    let sum = |of: &dyn Fn(&Part) -> f64| -> f64 {
        let each = asked_parts.iter().zip(&parts);
        each.map(|(share, part)| share * of(part)).sum()
    };
    let came = sum(&|part| part.came(asked.late));
    if came < REQUESTS_MIN {
        return Err(Unknown::TooFew);
    }
    let refused = |part: &Part| part.step.of_cause(CauseGroup::Refused) as f64;
    let all_refused = sum(&refused);
    let turns = |part: &Part| part.step.standing.turns;
    let would_meet = |part: &Part| {
        part.came(asked.late) * turns(part).out / f64::from(turns(part).endpoints.max(1))
    };
    if all_refused + sum(&would_meet) < ACTED_MIN * came {
        return Err(Unknown::NothingActed);
    }
    let else_refused = sum(&|part| if part.is_full() { 0.0 } else { refused(part) });
    if else_refused > REFUSED_ELSE_MAX * all_refused && else_refused > ACTED_MIN * came {
        return Err(Unknown::NotFull);
    }
    let recorded = sum(&|part| bad(&part.step, asked.late));
    let worlds = World::ALL.map(|world| Fitted::of(&parts, asked.late, world).run());
    let mut off = 0.0;
    let would = worlds.each_ref().map(|(with, without)| {
        let mut all = 0.0;
        let mut apart = 0.0;
        let runs = with.iter().zip(without);
        for ((share, part), (with, without)) in asked_parts.iter().zip(&parts).zip(runs) {
            let came = part.came(asked.late);
            let recorded = bad(&part.step, asked.late);
            let would = match part.is_quiet() {
                // Nothing acted: it is as it was, but for what is left of before.
                true => recorded.max(without * came),
                false => without * came,
            };
            all += share * would.min(came);
            apart += share * (with * part.came(asked.late) - recorded);
        }
        off = f64::max(off, apart.abs());
        all
    });
    let [least, middle, most] = would;
    let count = |value: f64| value.clamp(0.0, came).round() as u64;
    Ok(Without {
        requests: count(came),
        bad: count(recorded),
        without: count(middle),
        least: count(least.min(middle).min(most) - off),
        most: count(most.max(middle).max(least) + off),
        off: count(off),
    })
}

/// How much of each part is asked for.
fn within(parts: &[Part], asked: &Asked) -> Result<Vec<f64>, Unknown> {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return Err(Unknown::NotRemembered);
    };
    let until = asked.until.min(last.end());
    if asked.from >= until {
        return Err(Unknown::NotRemembered);
    }
    if first.step.start > asked.from {
        return Err(Unknown::BeginsLater);
    }
    let share = |part: &Part| {
        let (begin, end) = (part.step.start.max(asked.from), part.end().min(until));
        end.saturating_sub(begin) as f64 / part.seconds.max(1) as f64
    };
    let shares: Vec<f64> = parts.iter().map(share).collect();
    let asked_for = || parts.iter().zip(&shares).filter(|(_, share)| **share > 0.0);
    let pairs = asked_for().zip(asked_for().skip(1));
    let mut joints = pairs.map(|((part, _), (next, _))| part.end() == next.step.start);
    let is_observed =
        |part: &Part| part.step.observed.as_secs_f64() >= OBSERVED_MIN * part.seconds as f64;
    if !joints.all(|fits| fits) || !asked_for().all(|(part, _)| is_observed(part)) {
        return Err(Unknown::Gap);
    }
    Ok(shares)
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Class;
    use plimsoll_measure::{Cause, Histogram, Record, Series, SparseHistogram, Standing, Turns};

    use super::trial::{Kind, Trial};
    use super::*;
    use crate::search::Range;

    const LATE: Duration = Duration::from_millis(250);
    const ASKED: Asked = Asked {
        from: 10_060,
        until: 10_180,
        late: LATE,
    };

    /// Seconds in each of which so many are answered and so many refused.
    fn run(courses: &mut Courses, seconds: std::ops::Range<u64>, answered: u32, refused: u32) {
        run_as(courses, seconds, answered, refused, |_| true);
    }

    /// The same; `acts` says of each whether protections did.
    fn run_as(
        courses: &mut Courses,
        seconds: std::ops::Range<u64>,
        answered: u32,
        refused: u32,
        acts: fn(u64) -> bool,
    ) {
        let series = Series::new(1, Vec::new());
        let causes = [(Cause::Answered, 20, answered), (Cause::Shed, 0, refused)];
        for (cause, millis, times) in causes {
            let record = Record {
                class: Class::Standard,
                cause,
                latency: Duration::from_millis(millis),
                bytes_in: 0,
                bytes_out: 0,
                objectives: Record::ALL,
            };
            (0..times).for_each(|_| series.record(0, &record));
        }
        let totals = series.read();
        let latency = SparseHistogram::between(&Histogram::new(), &totals.latency);
        let standing = Standing {
            limit: Some(10),
            in_flight: if refused > 0 { 10 } else { 2 },
            queued: 0,
            turns: Turns {
                endpoints: 2,
                ..Turns::default()
            },
            acts: true,
        };
        for at in seconds {
            let standing = Standing {
                acts: acts(at),
                ..standing
            };
            let second = Duration::from_secs(1);
            courses.on_second("shop", at, second, &totals.causes(), &latency, standing);
        }
    }

    fn overload(answered: u32, refused: u32) -> Courses {
        let mut courses = Courses::default();
        run(&mut courses, 10_000..10_100, answered, 0);
        run(&mut courses, 10_100..10_160, answered, refused);
        run(&mut courses, 10_160..10_200, answered, 0);
        courses
    }

    fn told(courses: &Courses, asked: &Asked) -> Result<Without, Unknown> {
        without(courses, "shop", asked)
    }

    #[test]
    fn what_can_not_be_told_is_a_reason_and_no_figure() {
        let courses = overload(100, 100);
        assert!(told(&courses, &ASKED).is_ok());
        let before = Asked {
            from: 9_000,
            ..ASKED
        };
        assert_eq!(told(&courses, &before), Err(Unknown::BeginsLater));
        let after = Asked {
            from: 10_300,
            until: 10_400,
            ..ASKED
        };
        assert_eq!(told(&courses, &after), Err(Unknown::NotRemembered));
        assert_eq!(
            without(&courses, "other", &ASKED),
            Err(Unknown::NotRemembered)
        );
        assert_eq!(told(&overload(2, 2), &ASKED), Err(Unknown::TooFew));
        assert_eq!(told(&overload(100, 0), &ASKED), Err(Unknown::NothingActed));
    }

    #[test]
    fn whether_protections_acted_is_told_of_the_time_that_is_asked_for() {
        let overload = |acts: fn(u64) -> bool| {
            let mut courses = Courses::default();
            run_as(&mut courses, 10_000..10_100, 100, 0, acts);
            run_as(&mut courses, 10_100..10_160, 100, 100, acts);
            run_as(&mut courses, 10_160..10_200, 100, 0, acts);
            told(&courses, &ASKED)
        };
        // It was turned off, or on, before and after: that is another matter.
        assert!(overload(|at| (10_060..10_180).contains(&at)).is_ok());
        assert_eq!(overload(|_| false), Err(Unknown::DoesNotAct));
        let after = overload(|at| at >= 10_180);
        assert_eq!(after, Err(Unknown::DoesNotAct));
        assert_eq!(overload(|at| at < 10_120), Err(Unknown::ActsInPart));
    }

    #[test]
    fn a_gap_within_the_time_is_no_calm() {
        let mut courses = Courses::default();
        run(&mut courses, 10_000..10_120, 100, 50);
        run(&mut courses, 10_140..10_200, 100, 0);
        assert_eq!(told(&courses, &ASKED), Err(Unknown::Gap));
        let until = Asked {
            until: 10_100,
            ..ASKED
        };
        assert!(told(&courses, &until).is_ok());
    }

    #[test]
    fn refusals_of_a_service_that_is_not_full_say_nothing_of_what_it_can_carry() {
        let mut courses = Courses::default();
        run(&mut courses, 10_000..10_200, 100, 0);
        let mut steps = courses.steps("shop", plimsoll_measure::StepLength::Short);
        let part = |step| Part { step, seconds: 5 };
        let mut step = steps.remove(0);
        step.causes[CauseGroup::ALL.len() - 1] = 10;
        assert!(!part(step.clone()).is_full());
        step.standing.in_flight = 9;
        assert!(part(step).is_full());
    }

    #[test]
    fn twice_as_much_as_fits_would_all_have_been_late() {
        let said = told(&overload(100, 100), &ASKED).unwrap();
        assert_eq!((said.requests, said.bad), (18_000, 6_000));
        // In the minute of it 12,000 came.
        assert!((11_000..=18_000).contains(&said.without), "{said:?}");
        assert!(
            said.least > 10_000 && said.least <= said.without,
            "{said:?}"
        );
        assert!(said.most >= said.without && said.most <= said.requests);
    }

    #[test]
    fn the_interval_holds_the_truth_of_some_incidents() {
        let size = Range(40.0, 60.0);
        let mut held = Vec::new();
        for kind in Kind::ALL {
            held.extend((1..=2).filter_map(|seed| Trial::draw(kind, seed, size).run().holds()));
        }
        let holds = held.iter().filter(|it| **it).count();
        assert!(held.len() >= 14, "{held:?}");
        assert!(holds * 10 >= held.len() * 8, "{held:?}");
    }
}
