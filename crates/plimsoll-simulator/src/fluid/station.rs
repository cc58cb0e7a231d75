//! A service and what stands before it, as flows: who is admitted, how long the rest waits, what a fault takes.
//!
//! With a limiter, it carries what it can, critical first and tenants evenly within a class; the rest is refused at once. Without,
//! everything is sent on: what can't be worked on waits at the endpoints, first in, first out, and is worked on though nobody waits for
//! it any more. Units: requests, as shares of one too; seconds.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use plimsoll_config::scenario::{Fault, FaultKind, ScenarioService, TimeSpread, Work};
use plimsoll_core::Class;

use super::demand::{Demand, Sent, of_class};
use super::endpoints::{Able, Group, least, used};
use super::give::{Given, Steps};
use super::latency::{Profile, Question, ServiceTime, Wait};
use super::law::{fair_level, knee, slowed, steady, under_level};
use super::retries::Retries;
use crate::governing::GivesUp;
use crate::service::{Cache, Warming};

/// While a queue stands, a request waits for its permit between these shares of the objective. Measured in per-request runs:
/// see the tests of the fluid run.
const STANDING: (f64, f64) = (0.2, 0.45);
/// From this share of what it can carry on, a queue stands.
const FULL: f64 = 0.98;
/// Profiles that are kept.
const PROFILES_MAX: usize = 20_000;

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Station {
    pub(super) objective: f64,
    work: Work,
    time: f64,
    spread: TimeSpread,
    service_time: ServiceTime,
    /// Whether a limiter acts.
    guarded: bool,
    /// How often a request is tried whose connection can't be made.
    attempts: f64,
    /// How attempts that failed are made again.
    retries: Option<Retries>,
    /// What can be given up of it, and how far the governor has moved what it may.
    pub(super) gives_up: GivesUp,
    steps: Steps,
    /// A queue stood in the last step.
    full: bool,
    cancels: bool,
    cache: Option<Cache>,
    warming: Option<Warming>,
    /// How long an endpoint takes to start.
    takes: f64,
    groups: Vec<Group>,
    profiles: BTreeMap<[u64; 5], Rc<Profile>>,
}

/// What becomes of the requests of one workload and class in a step.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcome {
    /// Shares of what was sent: refused by Plimsoll, answered with an error, not connected, given up by the client, answered in time,
    /// answered at all.
    pub(super) refused: f64,
    /// Those parts of it which the governor's shed level refuses, and which are since the service is read-only.
    pub(super) governed: f64,
    pub(super) read_only: f64,
    /// That part of what is answered which the service is not asked for, since something stale is given.
    pub(super) spared: f64,
    /// What is not refused and would change something, and what the service is asked for though there is something stale.
    pub(super) writes: f64,
    pub(super) asked: f64,
    pub(super) errors: f64,
    pub(super) connect: f64,
    pub(super) gone: f64,
    pub(super) in_time: f64,
    pub(super) answered: f64,
    /// Attempts after the first, for each that was sent.
    pub(super) again: f64,
    /// The mean latency of what is answered.
    pub(super) latency: f64,
    /// Distributions of latency, each for a share of what was sent.
    pub(super) profiles: Vec<(Rc<Profile>, f64)>,
}

impl Station {
    pub(super) fn new(
        position: usize,
        service: &ScenarioService,
        faults: &[Fault],
        guarded: bool,
        attempts: u32,
        retries: Option<Retries>,
    ) -> Self {
        let mut edges: Vec<usize> = faults
            .iter()
            .filter(|fault| fault.service == position)
            .flat_map(|fault| [fault.after, fault.after + fault.endpoints])
            .chain([0, service.endpoints])
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let pairs = edges.iter().zip(edges.iter().skip(1));
        let groups = pairs.map(|(&first, &end)| Group {
            size: (end - first) as f64,
            first,
            backlog: 0.0,
            waiting: VecDeque::new(),
            cached: f64::INFINITY,
            begun: f64::INFINITY,
            back: 0.0,
            faults: Vec::new(),
        });
        let spread = match service.work {
            Work::Workers { spread, .. } => spread,
            Work::Shared { .. } => TimeSpread::Exponential,
        };
        Self {
            objective: service.objective.as_secs_f64(),
            work: service.work,
            time: service.time.as_secs_f64(),
            spread,
            service_time: ServiceTime::new(spread),
            guarded,
            // Each at another endpoint.
            attempts: (attempts as usize).min(service.endpoints) as f64,
            retries,
            gives_up: GivesUp::default(),
            steps: Steps::default(),
            full: false,
            cancels: service.cancels,
            cache: service.cache.map(|cache| Cache {
                hit: cache.hit,
                miss: cache.miss.as_secs_f64(),
                fill: f64::from(cache.fill),
            }),
            warming: service.start.map(|start| Warming {
                times: start.times,
                warm: f64::from(start.warm),
            }),
            takes: service.start.map_or(0.0, |it| it.takes.as_secs_f64()),
            groups: groups.collect(),
            profiles: BTreeMap::new(),
        }
    }

    pub(super) fn begin_fault(&mut self, index: usize, fault: &Fault) {
        let ends = (fault.at + fault.lasts).as_secs_f64();
        for group in &mut self.groups {
            if (fault.after..fault.after + fault.endpoints).contains(&group.first) {
                group.faults.push((index, fault.kind, ends));
                if fault.kind == FaultKind::Crash {
                    (group.backlog, group.begun) = (0.0, 0.0);
                    group.waiting.clear();
                    group.back = group.back.max(ends + self.takes);
                }
                if matches!(fault.kind, FaultKind::Crash | FaultKind::Cold) {
                    group.cached = 0.0;
                }
            }
        }
    }

    pub(super) fn end_fault(&mut self, index: usize) {
        for group in &mut self.groups {
            group.faults.retain(|(other, ..)| *other != index);
        }
    }

    /// Whether more was asked for than fits.
    pub(super) fn is_full(&self) -> bool {
        self.full
    }

    /// The governor moves what it may.
    pub(super) fn govern(&mut self, steps: Steps) {
        self.steps = steps;
    }

    /// A step of so many seconds: gives by workload and class what becomes of what was sent.
    pub(super) fn step(
        &mut self,
        now: f64,
        step: f64,
        sent: &[(&Demand, &[Sent])],
    ) -> Vec<[Outcome; Class::ALL.len()]> {
        let given = Given::of(self.gives_up, self.steps);
        if self.steps.shed == 0 && given.passes() >= 1.0 {
            let mut outcomes = self.let_in(now, step, sent);
            let each = outcomes.iter_mut().flatten();
            each.for_each(|outcome| outcome.give(&given));
            return outcomes;
        }
        let shed = let_in(self.steps.shed);
        let shares = shed.map(|share| share * given.passes());
        let scaled = sent.iter().map(|(demand, sent)| {
            let scaled = sent.iter().map(|it| it.scaled(&shares));
            (*demand, scaled.collect())
        });
        let scaled: Vec<(&Demand, Vec<Sent>)> = scaled.collect();
        let pairs = scaled
            .iter()
            .map(|(demand, sent)| (*demand, sent.as_slice()));
        let pairs: Vec<(&Demand, &[Sent])> = pairs.collect();
        let mut outcomes = self.let_in(now, step, &pairs);
        for (outcome, share) in outcomes.iter_mut().flat_map(|it| it.iter_mut().zip(shed)) {
            outcome.shed(share);
            outcome.give(&given);
        }
        outcomes
    }

    fn let_in(
        &mut self,
        now: f64,
        step: f64,
        sent: &[(&Demand, &[Sent])],
    ) -> Vec<[Outcome; Class::ALL.len()]> {
        let able: Vec<Able> = self.groups.iter().map(|it| self.able(now, it)).collect();
        if self.guarded {
            self.guarded_step(step, sent, &able)
        } else {
            self.bare_step(now, step, sent, &able)
        }
    }

    fn guarded_step(
        &mut self,
        step: f64,
        sent: &[(&Demand, &[Sent])],
        able: &[Able],
    ) -> Vec<[Outcome; Class::ALL.len()]> {
        let sizes: Vec<f64> = self.groups.iter().map(|group| group.size).collect();
        let used = used(&sizes, able);
        let least_errors = least(able, &used, |it| it.errors);
        let (mut capacity, mut workers, mut busy_time, mut errors) = (0.0, 0.0, 0.0, 0.0);
        let mut parts = Vec::with_capacity(able.len());
        for (able, used) in able.iter().zip(&used) {
            // The balancer passes an endpoint over as often as it fails; what all do alike, it can't.
            let passed = if least_errors < 1.0 {
                (1.0 - able.errors) / (1.0 - least_errors)
            } else {
                1.0
            };
            let part = used * able.capacity * passed;
            parts.push(part);
            capacity += part;
            workers += used * able.workers;
            busy_time += able.mean * part;
            errors += able.errors * part;
        }
        let (mean, errors) = match capacity > 0.0 {
            true => (busy_time / capacity, errors / capacity),
            false => (self.time, 0.0),
        };
        // With nothing to be sent to, connections fail; what hangs somewhere uses up the limit, and the rest is refused.
        let none = if able.iter().all(|it| it.gone) {
            Outcome {
                connect: 1.0,
                again: self.attempts - 1.0,
                ..Outcome::default()
            }
        } else {
            Outcome {
                refused: 1.0,
                ..Outcome::default()
            }
        };
        // What fails at once takes no work.
        let can = match least_errors < 1.0 {
            true => capacity * step / (1.0 - least_errors),
            false => f64::INFINITY,
        };
        let first: f64 = sent
            .iter()
            .flat_map(|(_, sent)| (0..Class::ALL.len()).map(|class| of_class(sent, class)))
            .sum();
        let retries = self.retries.filter(|_| !self.steps.no_retries);
        let (errors, again) = match retries {
            Some(retries) if errors > 0.0 => retries.of_errors(errors, first.min(can), step),
            _ => (errors, 0.0),
        };
        let can = can / (1.0 + again);
        let mut left = can;
        let mut all = 0.0;
        let mut admitted = vec![[1.0; Class::ALL.len()]; sent.len()];
        // Classes are in the order in which they go.
        for class in 0..Class::ALL.len() {
            let asked: Vec<f64> = sent.iter().map(|(_, sent)| of_class(sent, class)).collect();
            let sum: f64 = asked.iter().sum();
            all += sum;
            if sum > left {
                let tenants: Vec<&[f64]> =
                    sent.iter().map(|(demand, _)| &demand.tenants[..]).collect();
                let level = fair_level(left, &asked, &tenants);
                for ((shares, asked), tenants) in admitted.iter_mut().zip(&asked).zip(&tenants) {
                    if let Some(share) = shares.get_mut(class) {
                        *share = under_level(level, *asked, tenants) / asked.max(1e-300);
                    }
                }
            }
            left = (left - sum).max(0.0);
        }
        let busy = (all / can).min(1.0);
        self.full = busy >= FULL && can.is_finite();
        let wait = if self.full {
            let (least, most) = STANDING;
            Wait::Permit {
                least: least * self.objective,
                most: most * self.objective,
            }
        } else {
            self.wait(workers, busy, mean)
        };
        let worked = all.min(can) * (1.0 - errors);
        for (group, part) in self.groups.iter_mut().zip(parts) {
            if part > 0.0 {
                let each = worked * part / capacity / group.size;
                group.cached += each;
                group.begun += each;
            }
        }
        let mean = self.time_at(all.min(can) * (1.0 - errors) / step, capacity, mean);
        let of_workload = |(index, (demand, _)): (usize, &(&Demand, &[Sent]))| {
            let profile = self.profile(Question {
                shift: 0.0,
                wait,
                mean,
                objective: self.objective,
                patience: demand.patience,
            });
            let shares = admitted.get(index).copied().unwrap_or([0.0; 3]);
            shares.map(|share| {
                let works = share * (1.0 - errors);
                if capacity <= 0.0 {
                    return none.clone();
                }
                Outcome {
                    refused: 1.0 - share,
                    errors: share * errors,
                    connect: 0.0,
                    again: share * again,
                    gone: works * (1.0 - profile.answered),
                    in_time: works * profile.in_time,
                    answered: works * profile.answered,
                    latency: profile.mean,
                    profiles: vec![(Rc::clone(&profile), works)],
                    ..Outcome::default()
                }
            })
        };
        sent.iter().enumerate().map(of_workload).collect()
    }

    fn bare_step(
        &mut self,
        now: f64,
        step: f64,
        sent: &[(&Demand, &[Sent])],
        able: &[Able],
    ) -> Vec<[Outcome; Class::ALL.len()]> {
        let classes = 0..Class::ALL.len();
        let all: f64 = sent
            .iter()
            .flat_map(|(_, sent)| classes.clone().map(|class| of_class(sent, class)))
            .sum();
        let endpoints: f64 = self.groups.iter().map(|group| group.size).sum();
        let patience = sent.iter().map(|(demand, _)| demand.patience);
        let patience = patience.fold(0.0, f64::max);
        let drops = self.cancels && matches!(self.work, Work::Workers { .. });
        let stays = drops.then_some(patience);
        let mut outcomes: Vec<Outcome> = sent.iter().map(|_| Outcome::default()).collect();
        for (index, able) in able.iter().enumerate() {
            // Each endpoint in its turn, whatever it does.
            let share = self.groups.get(index).map_or(0.0, |group| group.size) / endpoints;
            if able.gone {
                outcomes
                    .iter_mut()
                    .for_each(|outcome| outcome.connect += share);
                continue;
            }
            let works = all * share * (1.0 - able.errors);
            let mut backlog = self.groups.get(index).map_or(0.0, |group| group.backlog);
            if let Some(stays) = stays {
                // Who is behind more than that is served when others have left.
                backlog = backlog.min(able.capacity * stays);
            }
            let size = self.groups.get(index).map_or(1.0, |group| group.size);
            let (shift, wait, mean, done) = match (able.frozen_until, self.work) {
                (Some(until), _) => {
                    let shift = (until - now).max(0.0) + backlog / able.capacity;
                    (shift, NO_WAIT, able.mean, 0.0)
                }
                (None, Work::Workers { .. }) => {
                    let shift = backlog / able.capacity;
                    let busy = works / (able.capacity * step);
                    let wait = match shift > able.mean {
                        true => NO_WAIT,
                        false => self.wait(able.workers, busy, able.mean),
                    };
                    (shift, wait, able.mean, able.capacity * step)
                }
                (
                    None,
                    Work::Shared {
                        contention,
                        crosstalk,
                    },
                ) => {
                    let alone = able.mean;
                    let steady = steady(works / step / size * alone, contention, crosstalk);
                    let there = (backlog / size).max(steady);
                    let each = alone * slowed(there, contention, crosstalk);
                    (0.0, NO_WAIT, each, size * there / each * step)
                }
            };
            if let Some(group) = self.groups.get_mut(index) {
                let worked = group.work(now, works, done, stays);
                group.cached += worked / group.size;
                group.begun += worked / group.size;
            }
            for ((demand, _), outcome) in sent.iter().zip(&mut outcomes) {
                let profile = self.profile(Question {
                    shift,
                    wait,
                    mean,
                    objective: self.objective,
                    patience: demand.patience,
                });
                let works = share * (1.0 - able.errors);
                outcome.errors += share * able.errors;
                outcome.gone += works * (1.0 - profile.answered);
                outcome.in_time += works * profile.in_time;
                outcome.answered += works * profile.answered;
                // Of those who are still there.
                outcome.latency += works * profile.answered * profile.mean.min(demand.patience);
                outcome.profiles.push((profile, works));
            }
        }
        for outcome in &mut outcomes {
            outcome.latency /= outcome.answered.max(1e-300);
        }
        outcomes
            .into_iter()
            .map(|outcome| [outcome.clone(), outcome.clone(), outcome])
            .collect()
    }

    fn able(&self, now: f64, group: &Group) -> Able {
        let (mut slow, mut errors, mut left) = (1.0, 0.0, 1.0);
        let (mut gone, mut frozen_until) = (now < group.back, None::<f64>);
        for (_, kind, ends) in &group.faults {
            match kind {
                FaultKind::Slow(times) => slow *= times,
                FaultKind::Errors(share) => errors = 1.0 - (1.0 - errors) * (1.0 - share),
                FaultKind::Crash => gone = true,
                FaultKind::Freeze => frozen_until = Some(frozen_until.unwrap_or(0.0).max(*ends)),
                FaultKind::Capacity(share) => left *= share,
                // Of the last two there is none: such a file is refused.
                FaultKind::Cold | FaultKind::Loss(_) | FaultKind::Partition(_) => (),
            }
        }
        let missed = self
            .cache
            .map_or(0.0, |cache| cache.misses(group.cached) * cache.miss);
        let cold = self.warming.map_or(1.0, |it| it.slowness(group.begun));
        // What is left out is work that is not done.
        let lean = 1.0 - self.gives_up.optional * self.steps.dimmed;
        let mean = self.time * slow * cold * lean + missed;
        let (workers, capacity) = match self.work {
            Work::Workers { workers, .. } => {
                let workers = group.size * libm::ceil(f64::from(workers) * left);
                (workers, workers / mean)
            }
            Work::Shared {
                contention,
                crosstalk,
            } => {
                let best = knee(contention, crosstalk);
                let most = group.size * best / (mean * slowed(best, contention, crosstalk));
                (group.size * best, most)
            }
        };
        Able {
            capacity,
            workers,
            mean,
            errors,
            gone,
            frozen_until,
        }
    }

    fn wait(&self, workers: f64, busy: f64, mean: f64) -> Wait {
        match self.work {
            Work::Workers { .. } => {
                // In steps, so that profiles are found again.
                let busy = libm::round(busy.min(1.0) * 256.0) / 256.0;
                Wait::for_worker(workers, busy, mean, self.spread)
            }
            Work::Shared { .. } => NO_WAIT,
        }
    }

    /// How long a request takes of which so many come a second, where all of them share what there is.
    fn time_at(&self, rate: f64, capacity: f64, mean: f64) -> f64 {
        let Work::Shared {
            contention,
            crosstalk,
        } = self.work
        else {
            return mean;
        };
        let size: f64 = self.groups.iter().map(|group| group.size).sum();
        let usable = if capacity > 0.0 { size } else { 1.0 };
        let there = steady(rate / usable * mean, contention, crosstalk);
        mean * slowed(there, contention, crosstalk)
    }

    fn profile(&mut self, asked: Question) -> Rc<Profile> {
        // As fine as anybody can see.
        let steps = |time: f64, step: f64| libm::round(time / step) * step;
        let asked = Question {
            // Beyond everybody's patience it does not matter how much longer it is.
            shift: steps(asked.shift, if asked.shift < 1.0 { 1e-3 } else { 1e-2 })
                .min(asked.patience.max(asked.objective) + 1.0),
            mean: steps(asked.mean, 1e-5).max(1e-5),
            ..asked
        };
        let wait = match asked.wait {
            Wait::Worker { probability, mean } => [probability.to_bits(), mean.to_bits()],
            Wait::Permit { least, most } => [least.to_bits() | 1 << 63, most.to_bits()],
        };
        let key = [
            asked.shift.to_bits(),
            wait[0],
            wait[1],
            asked.mean.to_bits(),
            asked.patience.to_bits(),
        ];
        if let Some(profile) = self.profiles.get(&key) {
            return Rc::clone(profile);
        }
        if self.profiles.len() >= PROFILES_MAX {
            self.profiles.clear();
        }
        let profile = Rc::new(self.service_time.profile(&asked));
        self.profiles.insert(key, Rc::clone(&profile));
        profile
    }
}

const NO_WAIT: Wait = Wait::Worker {
    probability: 0.0,
    mean: 1.0,
};

/// Which share of each class a shed level lets in, as `Steps::sheds` of the life cycle does.
fn let_in(shed: u8) -> [f64; Class::ALL.len()] {
    Class::ALL.map(|class| match (class, shed) {
        (Class::Critical, _) | (_, 0) => 1.0,
        (Class::Standard, 3) | (Class::Sheddable, 1) => 0.5,
        (Class::Standard, 1 | 2) => 1.0,
        (Class::Standard | Class::Sheddable, _) => 0.0,
    })
}
