//! A scenario that is like what was recorded, for the fluid model, and what that says with protections and without.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{
    ClassShares, ClientRetry, Fault, FaultKind, Phase, PhaseRate, Scenario, ScenarioService,
    Source, TimeSpread, Work, Workload,
};
use plimsoll_core::{Mode, Ratio};
use plimsoll_lifecycle::GuardParameters;
use plimsoll_measure::row_upper;
use plimsoll_policy::LimiterKind;

use super::part::{Part, bad};
use crate::fleet::Protection;
use crate::fluid::Fluid;
use crate::search::Setting;

/// What the record does not say, and what is taken for it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct World {
    /// What the service can carry, for what it answered while it was full: a limiter leaves some of it, or a little too much
    /// is let in.
    capacity: f64,
    /// What it can carry when it was not full, for the most that it was seen to.
    margin: f64,
    /// Whether it drops requests whose clients have gone.
    cancels: bool,
    /// Whether clients try again as they did, if it can be seen that they did.
    tries_again: bool,
    /// How long clients wait, in objectives.
    patience: f64,
    /// How much endpoints that are passed over fail, and how slow they are, for what was seen of them.
    fails: f64,
    slow: f64,
}

impl World {
    /// The mildest, one between, the harshest.
    pub(super) const ALL: [Self; 3] = [
        Self {
            capacity: 1.07,
            margin: 2.5,
            cancels: true,
            tries_again: false,
            patience: 1.3,
            fails: 0.8,
            slow: 0.8,
        },
        Self {
            capacity: 1.0,
            margin: 1.5,
            cancels: true,
            tries_again: true,
            patience: 5.0,
            fails: 1.0,
            slow: 1.0,
        },
        Self {
            capacity: 0.97,
            margin: 1.15,
            cancels: false,
            tries_again: true,
            patience: 5.0,
            fails: 1.35,
            slow: 1.3,
        },
    ];
}

/// See the module's docs.
#[derive(Clone, Debug)]
pub(super) struct Fitted {
    scenario: Scenario,
    /// When each part ends, in seconds since the first.
    ends: Vec<u64>,
}

/// Before the next try. What is not known: it matters little beside how many there are.
const PAUSE: Duration = Duration::from_millis(500);
/// A service lacks something that answers less than this share of what usually comes.
const LACKS: f64 = 0.95;
/// So many quiet steps say what usually comes.
const BEFORE_MIN: usize = 4;
/// Below it, that more comes is chance; above it, not all of it can be tries again.
const AGAIN_MIN: f64 = 0.15;
const AGAIN_MAX: f64 = 0.9;
const TRIES_MAX: u8 = 5;
/// Slower than this is not at work at all.
const SLOW_MAX: f64 = 10_000.0;

impl Fitted {
    pub(super) fn of(parts: &[Part], late: Duration, world: World) -> Self {
        let endpoints = parts.iter().map(|part| part.step.standing.turns.endpoints);
        let endpoints = endpoints.max().unwrap_or(1).max(1) as usize;
        let usual = Usual::of(parts);
        let again = match world.tries_again {
            true => Again::of(parts, late),
            false => Again::NEVER,
        };
        let in_use = |part: &Part| (endpoints as f64 - part.step.standing.turns.out).max(0.5);
        let most = |full: bool| {
            let of = parts.iter().filter(|part| part.is_full() == full);
            of.map(|part| part.worked() / in_use(part))
                .fold(0.0, f64::max)
        };
        let carries = (most(true) * world.capacity)
            .max(most(false) * world.margin)
            .max(1e-3);
        let workers = libm::ceil(carries * usual.time).clamp(1.0, 1e6);
        let time = (workers / carries).min(1.5 * usual.time);
        let mut faults = Vec::new();
        let mut at = 0;
        for part in parts {
            let mut fault = |kind, count| {
                faults.push(Fault {
                    service: 0,
                    after: 0,
                    endpoints: count,
                    at: Duration::from_secs(at),
                    lasts: Duration::from_secs(part.seconds),
                    kind,
                });
            };
            let able = workers / time;
            let each = part.worked() / in_use(part);
            let slow = match part.is_full() {
                true => able / (each * world.capacity).max(1e-9),
                // It did carry that.
                false => usual.slowness(part).min(able / (each * 1.02).max(1e-9)),
            };
            if (slow - 1.0).abs() > 1e-3 {
                fault(FaultKind::Slow(slow.clamp(0.1, SLOW_MAX)), endpoints);
            }
            let fails = part.fails(late);
            if fails > 0.0 {
                fault(FaultKind::Errors(fails), endpoints);
            }
            let turns = part.step.standing.turns;
            let out = libm::ceil(turns.out - 1e-9).min(endpoints as f64);
            if out > 0.0 {
                let part = turns.out / out;
                let fails = turns.fails * world.fails;
                fault(FaultKind::Errors((fails * part).min(1.0)), out as usize);
                let longer = turns.longer / usual.time * world.slow * part;
                let slow = (1.0 + longer).min(SLOW_MAX);
                fault(FaultKind::Slow(slow), out as usize);
            }
            at += part.seconds;
        }
        let objective = late;
        let workload = Workload {
            name: "clients".to_owned(),
            service: 0,
            source: Source::Rate(0.0),
            patience: late.mul_f64(world.patience),
            retry: ClientRetry {
                attempts: again.attempts,
                pause: PAUSE,
            },
            classes: ClassShares {
                critical: 0.0,
                sheddable: 0.0,
            },
            tenants: 1,
            zipf: 0.0,
        };
        let service = ScenarioService {
            name: "service".to_owned(),
            endpoints,
            work: Work::Workers {
                workers: workers as u32,
                spread: TimeSpread::Lognormal(usual.spread),
            },
            time: Duration::from_secs_f64(time),
            objective,
            cancels: world.cancels,
            cache: None,
            memory: None,
            start: None,
            calls: Vec::new(),
        };
        let phase = |part: &Part| Phase {
            name: String::new(),
            lasts: Duration::from_secs(part.seconds),
            rates: vec![PhaseRate::even(
                again.first(part, late) / part.step.observed.as_secs_f64().max(1.0),
            )],
            users: vec![0],
        };
        let scenario = Scenario {
            about: None,
            gateways: 1,
            threads: 1,
            services: vec![service],
            workloads: vec![workload],
            phases: parts.iter().map(phase).collect(),
            faults,
        };
        let mut end = 0;
        let ends = parts.iter().map(|part| {
            end += part.seconds;
            end
        });
        Self {
            ends: ends.collect(),
            scenario,
        }
    }

    /// The share of requests that is bad in each part, with protections and without.
    pub(super) fn run(&self) -> (Vec<f64>, Vec<f64>) {
        let protections = Setting { retries: false }.protections(&self.scenario);
        let off = protections.iter().cloned().map(off).collect::<Vec<_>>();
        (self.bad(&protections), self.bad(&off))
    }

    fn bad(&self, protections: &[Protection]) -> Vec<f64> {
        let objectives = [(Ratio::ONE, Duration::from_secs(3_600))];
        let mut sums = vec![(0.0, 0.0); self.ends.len()];
        // Such a scenario has a fluid run.
        if let Ok(mut fluid) = Fluid::new(&self.scenario, protections, &objectives) {
            while let Some(second) = fluid.advance() {
                let place = self.ends.partition_point(|end| *end <= second.at);
                if let Some((came, bad)) = sums.get_mut(place) {
                    let offered: f64 = second.offered.iter().sum();
                    *came += offered;
                    *bad += offered - second.good.iter().sum::<f64>();
                }
            }
        }
        let share = |(came, bad): (f64, f64)| if came > 0.0 { bad / came } else { 0.0 };
        sums.into_iter().map(share).collect()
    }
}

/// As a plain proxy, which takes turns.
pub(super) fn off(mut protection: Protection) -> Protection {
    let mut guard = GuardParameters::clone(&protection.guard);
    guard.admission.limiter = LimiterKind::Off;
    guard.admission.mode = Mode::Off;
    protection.guard = Arc::new(guard);
    protection.heeds_health = false;
    protection.bounds.attempts_max = 1;
    protection
}

/// What clients do whose request was bad.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Again {
    /// Tries in all.
    attempts: u8,
    /// The share of bad requests that came again.
    share: f64,
}

impl Again {
    const NEVER: Self = Self {
        attempts: 1,
        share: 0.0,
    };

    /// It is seen where a service answers less than usually comes, and more comes than usual. Where it answers as much, what comes
    /// on top may be new.
    fn of(parts: &[Part], late: Duration) -> Self {
        let rate = |count: f64, part: &Part| count / part.step.observed.as_secs_f64().max(1.0);
        let before = parts.iter().take_while(|part| part.is_quiet());
        let rates: Vec<f64> = before.map(|part| rate(part.came(late), part)).collect();
        let usual = rates.iter().sum::<f64>() / rates.len().max(1) as f64;
        let lacks = |part: &&Part| {
            let answered = part.came(late) - bad(&part.step, late);
            part.is_full() && rate(answered, part) < LACKS * usual
        };
        let (mut more, mut was_bad, mut came) = (0.0, 0.0, 0.0);
        for part in parts.iter().filter(lacks) {
            more += part.came(late) - usual * part.step.observed.as_secs_f64();
            was_bad += bad(&part.step, late);
            came += part.came(late);
        }
        let share = more / f64::max(was_bad, 1.0);
        if rates.len() < BEFORE_MIN || share < AGAIN_MIN {
            return Self::NEVER;
        }
        let (share, fails) = (share.min(AGAIN_MAX), was_bad / f64::max(came, 1.0));
        // With so many tries, of those that fail so often, such a share is tried again.
        let again = |tries: u8| {
            let all: f64 = (0..tries).map(|n| libm::pow(fails, n.into())).sum();
            (all - 1.0) / (all * fails)
        };
        let nearest = (2..=TRIES_MAX).min_by(|a, b| {
            let off = |tries| (again(tries) - share).abs();
            off(*a).total_cmp(&off(*b))
        });
        Self {
            attempts: nearest.unwrap_or(1),
            share,
        }
    }

    /// Those of a part that are no second try.
    fn first(&self, part: &Part, late: Duration) -> f64 {
        let came = part.came(late);
        (came - self.share * bad(&part.step, late)).max(0.0)
    }
}

/// How long requests take while nothing is wrong.
#[derive(Clone, Copy, Debug)]
struct Usual {
    /// The mean, in seconds.
    time: f64,
    /// The coefficient of variation.
    spread: f64,
    median: f64,
}

impl Usual {
    /// Of the quarter of all parts that were fastest, and not full.
    fn of(parts: &[Part]) -> Self {
        let median = |part: &Part| part.step.p50.map_or(f64::INFINITY, |it| it.as_secs_f64());
        let mut calm: Vec<&Part> = parts.iter().filter(|it| !it.is_full()).collect();
        if calm.is_empty() {
            calm = parts.iter().collect();
        }
        calm.retain(|part| part.step.good > 0);
        calm.sort_by(|a, b| median(a).total_cmp(&median(b)));
        calm.truncate((calm.len() / 4).max(1));
        let rows = calm.iter().flat_map(|part| &part.step.rows);
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (row, times) in rows {
            // Its middle: a row has a quarter of a doubling.
            let (time, times) = (row_upper(*row) * 0.917, f64::from(*times));
            count += times;
            sum += times * time;
            squares += times * time * time;
        }
        let time = if count > 0.0 { sum / count } else { 0.05 };
        let spread = libm::sqrt((squares / f64::max(count, 1.0) - time * time).max(0.0)) / time;
        Self {
            time: time.max(1e-4),
            spread: spread.clamp(0.1, 3.0),
            median: calm.first().map_or(time, |part| median(part)).max(1e-5),
        }
    }

    /// How many times as long requests of a part took; what chance makes is none of it.
    fn slowness(&self, part: &Part) -> f64 {
        let times = part
            .step
            .p50
            .map_or(1.0, |it| it.as_secs_f64() / self.median);
        if times > 1.3 { times } else { 1.0 }
    }
}
