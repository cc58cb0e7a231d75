//! A scenario that is like the traffic of a log: rates, classes, tenants, and what each service is like.
//!
//! What a log cannot show is said to be unknown, and what is taken in its place is on the safe side: a service whose
//! limit was not reached has no more workers than were seen at work.
//! Units: nanoseconds since the log's beginning; shares of one. A request counts for as many as were like it, where
//! only a sample of them was logged.

mod capacity;
mod law;
mod tenants;

use std::time::Duration;

use plimsoll_config::scenario::{
    ClassShares, ClientRetry, Phase, PhaseRate, Scenario, ScenarioService, Source, Work, Workload,
};
use plimsoll_core::Class;

pub use capacity::Capacity;
use capacity::{Loaded, loaded, most_at_once};
pub use law::Match;
use law::Sample;

use crate::agenda::SECOND;

/// Parts of the log that have a rate of their own: at most so many, with at least so many requests on average.
const PARTS_MAX: u64 = 24;
const PART_REQUESTS: u64 = 500;
/// Most tenants that a scenario can have.
const TENANTS_MAX: usize = 100_000;
/// From so many on, those who hung up say how patient clients are.
const GONE_MIN: usize = 20;
/// How patient clients are at least if nobody hung up.
const PATIENCE: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3_600);
/// What nothing in a log says: as in a scenario that does not say it.
const OBJECTIVE: Duration = Duration::from_millis(250);
/// Times of a log are to the millisecond, in seconds: how many were there at once is known only of requests that take
/// several of them.
pub const SHORT: f64 = 0.005;
/// A share of one with fewer requests behind it than this is not to be relied on.
pub const FEW: f64 = 100.0;

/// A request of a log that has a service.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged {
    /// When it came.
    pub at: u64,
    /// How long it took in all.
    pub took: u64,
    /// Of that, how long it waited for its turn.
    pub waited: u64,
    /// Its tenant, as a number that is of nobody else.
    pub tenant: u32,
    /// The share of requests like it that are in the log.
    pub share: f32,
    /// Its service, by position.
    pub service: u16,
    /// The endpoint that had it last, by position among all.
    pub endpoint: Option<u16>,
    /// How many attempts were made.
    pub attempts: u8,
    /// How much it mattered.
    pub class: Class,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The service answered.
    Answered,
    /// The service failed.
    Failed,
    /// Plimsoll refused it.
    Refused,
    /// Its client went.
    Gone,
    /// None of these: its rate was exceeded, or it was none that could be passed on.
    Other,
}

impl Logged {
    /// For how many requests it stands.
    fn weight(&self) -> f64 {
        1.0 / f64::from(self.share).max(1e-6)
    }

    /// How long its service took, if it is known: of more than one attempt only the sum is.
    fn service_took(&self) -> Option<u64> {
        let known = self.end == End::Answered && self.attempts == 1;
        known.then(|| self.took.saturating_sub(self.waited))
    }
}

/// What was made of a log.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The scenario; its services and workloads are those of the log.
    pub scenario: Scenario,
    /// How well it is known, for each service.
    pub services: Vec<Fitted>,
}

/// What is known of a service and its traffic.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Its name.
    pub name: String,
    /// How many of its requests are in the log.
    pub requests: usize,
    /// For how many these stand.
    pub stand_for: f64,
    /// Whether only a sample is in the log.
    pub sampled: bool,
    /// How unlike times between requests are to a Poisson process with the rates of the parts.
    pub arrivals: Option<Match>,
    /// How many tenants were seen.
    pub tenants: usize,
    /// The exponent of their Zipf law.
    pub zipf: f64,
    /// How long it takes for a request, in seconds: mean and coefficient of variation.
    pub time: Option<(f64, f64)>,
    /// How unlike these times are to the law that the scenario has.
    pub time_match: Option<Match>,
    /// What it can carry.
    pub capacity: Capacity,
    /// Shares of its requests that ended so.
    pub failed: f64,
    /// Of all that came.
    pub refused: f64,
    /// Of all that came.
    pub gone: f64,
    /// P50, P90 and P99 of requests that were answered, in seconds.
    pub quantiles: Option<[f64; 3]>,
    /// How many answered requests these rest on.
    pub answered: f64,
}

/// Fits a scenario to a log in the order of arrival. `None` if it is of less than a second: that says nothing of rates.
pub fn fit(services: &[String], log: &[Logged]) -> Option<Fit> {
    let span = log.last().map(|last| last.at).filter(|at| *at >= SECOND)? + 1;
    let parts = (log.len() as u64 / PART_REQUESTS).clamp(1, PARTS_MAX);
    // Whole milliseconds read well, and none is left over.
    let part = span.div_ceil(parts).div_ceil(1_000_000) * 1_000_000;
    let mut fitted = Vec::new();
    let (mut models, mut workloads, mut rates) = (Vec::new(), Vec::new(), Vec::new());
    for (index, name) in services.iter().enumerate() {
        let of_service = |request: &&Logged| usize::from(request.service) == index;
        let requests: Vec<Logged> = log.iter().filter(of_service).copied().collect();
        if requests.is_empty() {
            continue;
        }
        let counts = by_part(&requests, part, parts);
        let (model, workload, quality) = service(name, models.len(), &requests, &counts, part);
        let seconds = part as f64 / 1e9;
        rates.push(
            counts
                .iter()
                .map(|(_, weight)| rate(weight / seconds))
                .collect(),
        );
        models.push(model);
        workloads.push(workload);
        fitted.push(quality);
    }
    let scenario = Scenario {
        about: None,
        gateways: 1,
        threads: 2,
        phases: phases(part, parts, &mut workloads, &rates),
        services: models,
        workloads,
        faults: Vec::new(),
    };
    Some(Fit {
        scenario,
        services: fitted,
    })
}

/// How many requests there are in each part of the log, and for how many they stand.
fn by_part(requests: &[Logged], part: u64, parts: u64) -> Vec<(u64, f64)> {
    let mut counts = vec![(0, 0.0); parts as usize];
    for request in requests {
        if let Some((count, weight)) = counts.get_mut((request.at / part) as usize) {
            *count += 1;
            *weight += request.weight();
        }
    }
    counts
}

fn phases(part: u64, parts: u64, workloads: &mut [Workload], rates: &[Vec<f64>]) -> Vec<Phase> {
    for (workload, rates) in workloads.iter_mut().zip(rates) {
        workload.source = Source::Rate(rates.first().copied().unwrap_or(0.0));
    }
    let phase = |index: usize| {
        let at = |rates: &Vec<f64>| rates.get(index).copied().unwrap_or(0.0);
        Phase {
            name: format!("part {}", index + 1),
            lasts: Duration::from_nanos(part),
            rates: rates
                .iter()
                .map(|rates| PhaseRate::even(at(rates)))
                .collect(),
            users: rates.iter().map(|_| 0).collect(),
        }
    };
    (0..parts as usize).map(phase).collect()
}

fn service(
    name: &str,
    position: usize,
    requests: &[Logged],
    counts: &[(u64, f64)],
    part: u64,
) -> (ScenarioService, Workload, Fitted) {
    let sampled = requests.iter().any(|request| request.share < 1.0);
    let all: f64 = requests.iter().map(Logged::weight).sum();
    let share_of = |wanted: &dyn Fn(&Logged) -> bool| {
        let of = requests.iter().filter(|request| wanted(request));
        of.map(Logged::weight).sum::<f64>() / all
    };
    let at_work = loaded(requests);
    // Of a sample it is not known how many were there at once.
    let capacity = match sampled {
        true => Capacity::unknown(1),
        false => capacity::fit(requests, &at_work),
    };
    let undisturbed = |loaded: &&Loaded| sampled || capacity.undisturbed(loaded.in_flight);
    let times = at_work.iter().filter(undisturbed);
    let times = Sample::new(times.map(|it| (it.took as f64 / 1e9, it.weight)).collect());
    let (mean, cv) = times.mean_and_cv().unwrap_or((0.02, 1.0));
    let capacity = match capacity {
        Capacity::Workers { workers, .. } if mean < SHORT => Capacity::unknown(workers),
        Capacity::Shared { .. } if mean < SHORT => Capacity::unknown(most_at_once(&at_work)),
        capacity => capacity,
    };
    let (spread, time_match) = times.law(mean, cv);
    let answered = requests.iter().filter(|it| it.end == End::Answered);
    let answered = answered.map(|it| (it.took as f64 / 1e9, it.weight()));
    let answered = Sample::new(answered.collect());
    let (mean, work) = match capacity {
        Capacity::Workers { workers, .. } => (mean, Work::Workers { workers, spread }),
        Capacity::Shared {
            alone,
            contention,
            crosstalk,
        } => (
            alone,
            Work::Shared {
                contention,
                crosstalk,
            },
        ),
    };
    let critical = rounded(share_of(&|it| it.class == Class::Critical), 3);
    let sheddable = rounded(share_of(&|it| it.class == Class::Sheddable), 3);
    let endpoints = distinct(requests.iter().filter_map(|it| it.endpoint.map(u32::from)));
    let per_tenant = tenants::counts(requests);
    let zipf = tenants::zipf(&per_tenant);
    let model = ScenarioService {
        name: name.to_owned(),
        endpoints: endpoints.max(1),
        work,
        time: Duration::from_nanos(rounded(mean * 1e9, 4).max(10_000.0) as u64).min(HOUR),
        objective: OBJECTIVE,
        cancels: false,
        cache: None,
        calls: Vec::new(),
        memory: None,
        start: None,
    };
    let workload = Workload {
        name: name.to_owned(),
        service: position,
        source: Source::Rate(0.0),
        patience: patience(requests),
        // What clients tried again is in the log as it came.
        retry: ClientRetry {
            attempts: 1,
            pause: Duration::from_millis(100),
        },
        classes: ClassShares {
            critical,
            // What was rounded up there is not left for this one.
            sheddable: sheddable.min(1.0 - critical),
        },
        tenants: per_tenant.len().clamp(1, TENANTS_MAX) as u32,
        zipf: rounded(zipf, 2),
    };
    let fitted = Fitted {
        name: name.to_owned(),
        requests: requests.len(),
        stand_for: all,
        sampled,
        arrivals: law::arrivals(requests, counts, part),
        tenants: per_tenant.len(),
        zipf,
        time: times.mean_and_cv(),
        time_match,
        capacity,
        failed: share_of(&|it| it.end == End::Failed),
        refused: share_of(&|it| it.end == End::Refused),
        gone: share_of(&|it| it.end == End::Gone),
        quantiles: answered.quantiles(),
        answered: answered.size(),
    };
    (model, workload, fitted)
}

/// When clients hang up: when they did; if they did not, not before they got their answers.
fn patience(requests: &[Logged]) -> Duration {
    let gone = requests.iter().filter(|it| it.end == End::Gone);
    let mut gone: Vec<u64> = gone.map(|it| it.took).collect();
    gone.sort_unstable();
    let middle = gone.get(gone.len() / 2).filter(|_| gone.len() >= GONE_MIN);
    let seen = match middle {
        Some(middle) => Duration::from_nanos(*middle),
        None => {
            let longest = requests.iter().map(|it| it.took).max().unwrap_or(0);
            PATIENCE.max(Duration::from_nanos(longest))
        }
    };
    let millis = seen.as_nanos().div_ceil(1_000_000);
    Duration::from_millis(millis as u64).min(HOUR)
}

fn distinct(numbers: impl Iterator<Item = u32>) -> usize {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.len()
}

/// A rate as a scenario can have it: less than one in a day is none.
fn rate(per_second: f64) -> f64 {
    let rate = rounded(per_second, 4);
    if rate < 1.0 / 86_400.0 { 0.0 } else { rate }
}

/// To so many digits: what is fitted has no more.
fn rounded(value: f64, digits: usize) -> f64 {
    if value <= 0.0 {
        // Not minus zero, which an empty sum is.
        return 0.0;
    }
    let text = format!("{value:.*e}", digits.saturating_sub(1));
    text.parse().unwrap_or(value)
}

#[cfg(test)]
mod tests;
