//! Who wants something in a step: new users, members of a population, and who comes again.
//!
//! Units: users, as shares of one too; seconds.

use std::collections::VecDeque;

use plimsoll_config::scenario::{Phase, Source, Workload};
use plimsoll_core::Class;

use crate::agenda::{Nanos, SECOND};
use crate::fleet::clients::nanos;
use crate::fleet::rate::Rate;

/// By class.
pub(super) type ByClass = [f64; Class::ALL.len()];

/// The clients of one workload.
#[derive(Debug)]
pub(super) struct Demand {
    pub(super) service: usize,
    pub(super) patience: f64,
    rates: Vec<Rate>,
    lasts: Vec<Nanos>,
    population: Option<Thinking>,
    classes: ByClass,
    pause: f64,
    /// Tries in all.
    tries: usize,
    /// A tick: whoever is away for longer comes back at the beginning of one.
    tick: f64,
    patience_ticks: usize,
    /// Who came in which phase and may come again: the last is that of the phase now.
    cohorts: VecDeque<Cohort>,
    /// What each of its tenants sends, as a share.
    pub(super) tenants: Vec<f64>,
}

/// Those who came in one phase.
#[derive(Debug)]
struct Cohort {
    phase: usize,
    /// Who waits to come again, by the tries that were made: the first place is for one.
    paused: Vec<ByClass>,
    /// Who will lose patience, by tick from now, and by tries.
    leaving: VecDeque<Vec<ByClass>>,
}

/// A cohort with fewer than this is gone.
const GONE: f64 = 1e-6;

/// Users of a population who want nothing now, or have what they want within a tick.
///
/// Of those, one asks each time it has thought and was answered: the interactive response time law (J. Buzen, P. Denning,
/// *Operational analysis of queueing network models*, 1978). Who is away for longer is none of them until it is back.
#[derive(Debug)]
struct Thinking {
    users: Vec<u32>,
    think: f64,
    leaves: f64,
    now: f64,
    /// The share of those who asked in the step before that was back within a tick, and how long that took, over all who
    /// asked.
    back: f64,
    took: f64,
    /// Who will be answered, by tick from now.
    answered: VecDeque<f64>,
}

/// Shorter thoughts are not told apart.
const THINK_MIN: f64 = 1e-3;

impl Thinking {
    /// The share that stays, by the class of what failed.
    fn stays(&self) -> ByClass {
        Class::ALL.map(|class| match class {
            Class::Critical | Class::Standard => 1.0 - self.leaves,
            Class::Sheddable => 1.0,
        })
    }

    /// How many ask in a step.
    fn ask(&mut self, step: f64) -> f64 {
        let each = step / (self.think + self.took).max(THINK_MIN);
        let lost = 1.0 - self.back;
        let times = if lost * each > 1e-9 {
            -libm::expm1(-lost * each) / lost
        } else {
            each
        };
        let asked = self.now.max(0.0) * times;
        self.now -= asked;
        asked
    }
}

/// What those of a workload send in a step who came in one phase, by tries that were made before.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) phase: usize,
    pub(super) by_tries: Vec<ByClass>,
}

impl Sent {
    /// So much of each class.
    pub(super) fn scaled(&self, shares: &ByClass) -> Self {
        let mut scaled = self.clone();
        for by_class in &mut scaled.by_tries {
            for (sent, share) in by_class.iter_mut().zip(shares) {
                *sent *= share;
            }
        }
        scaled
    }

    pub(super) fn of_class(&self, class: usize) -> f64 {
        self.by_tries
            .iter()
            .filter_map(|sent| sent.get(class))
            .sum()
    }
}

/// What all of them send.
pub(super) fn of_class(sent: &[Sent], class: usize) -> f64 {
    sent.iter().map(|sent| sent.of_class(class)).sum()
}

/// What becomes, by class, of what was sent, as shares.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    /// It fails at once: it was refused, or answered with an error.
    pub(super) fails: f64,
    /// The client hangs up.
    pub(super) gone: f64,
    /// It is answered after so long, in the mean.
    pub(super) latency: f64,
}

impl Demand {
    pub(super) fn new(index: usize, workload: &Workload, phases: &[Phase], tick: f64) -> Self {
        let mut begins = 0;
        let rate = |phase: &Phase| {
            let rate = phase.rates.get(index).map(|rate| Rate::new(rate, begins));
            begins += nanos(phase.lasts);
            rate
        };
        let rates = phases.iter().filter_map(rate).collect();
        let population = match &workload.source {
            Source::Users(population) => Some(Thinking {
                users: phases
                    .iter()
                    .filter_map(|it| it.users.get(index))
                    .copied()
                    .collect(),
                think: population.think.as_secs_f64(),
                leaves: population.leaves,
                now: 0.0,
                back: 0.0,
                took: 0.0,
                answered: VecDeque::new(),
            }),
            Source::Rate(_) | Source::Replay(_) => None,
        };
        let (critical, sheddable) = (workload.classes.critical, workload.classes.sheddable);
        let mut classes = [0.0; Class::ALL.len()];
        for class in Class::ALL {
            if let Some(share) = classes.get_mut(class.index()) {
                *share = match class {
                    Class::Critical => critical,
                    Class::Standard => 1.0 - critical - sheddable,
                    Class::Sheddable => sheddable,
                };
            }
        }
        let tries = usize::from(workload.retry.attempts.max(1));
        let patience = workload.patience.as_secs_f64();
        let mut tenants: Vec<f64> = (1..=workload.tenants)
            .map(|n| libm::pow(f64::from(n), -workload.zipf))
            .collect();
        let all: f64 = tenants.iter().sum();
        tenants.iter_mut().for_each(|share| *share /= all);
        Self {
            service: workload.service,
            patience,
            rates,
            lasts: phases.iter().map(|phase| nanos(phase.lasts)).collect(),
            population,
            classes,
            pause: workload.retry.pause.as_secs_f64(),
            tries,
            tick,
            patience_ticks: ticks(patience, tick) + 1,
            cohorts: VecDeque::new(),
            tenants,
        }
    }

    /// A phase begins.
    pub(super) fn begin(&mut self, phase: usize) {
        self.cohorts.push_back(Cohort {
            phase,
            paused: vec![[0.0; Class::ALL.len()]; self.tries - 1],
            leaving: vec![Vec::new(); self.patience_ticks].into(),
        });
        if let Some(thinking) = &mut self.population {
            let at = |phase: usize| thinking.users.get(phase).copied().unwrap_or(0);
            let before = if phase > 0 {
                f64::from(at(phase - 1))
            } else {
                0.0
            };
            // Those who are to go and are not thinking go once they do.
            thinking.now += f64::from(at(phase)) - before;
        }
    }

    /// A tick begins: who was away comes back.
    pub(super) fn tick(&mut self) {
        let mut over = [0.0; Class::ALL.len()];
        for cohort in &mut self.cohorts {
            let gone = cohort.leaving.pop_front().unwrap_or_default();
            cohort.leaving.push_back(Vec::new());
            for (tries, by_class) in gone.into_iter().enumerate() {
                for ((class, gone), over) in by_class.into_iter().enumerate().zip(&mut over) {
                    *over += cohort.failed(tries, class, gone);
                }
            }
        }
        self.back_to_thoughts(over);
        if let Some(thinking) = &mut self.population {
            thinking.now += thinking.answered.pop_front().unwrap_or(0.0);
        }
    }

    /// What it sends in a step that begins `into` a phase.
    pub(super) fn send(&mut self, phase: usize, into: Nanos, step: Nanos) -> Vec<Sent> {
        let seconds = step as f64 / SECOND as f64;
        let new = match &mut self.population {
            Some(thinking) => thinking.ask(seconds),
            None => {
                let lasts = self.lasts.get(phase).copied().unwrap_or(0);
                let rate = self.rates.get(phase);
                rate.map_or(0.0, |rate| users(*rate, into, into + step, lasts))
            }
        };
        self.cohorts
            .retain(|cohort| cohort.phase == phase || cohort.len() >= GONE);
        // Pauses are exponential.
        let returns = 1.0 - libm::exp(-seconds / self.pause.max(1e-9));
        let mut sent = Vec::with_capacity(self.cohorts.len());
        for cohort in &mut self.cohorts {
            let mut by_tries = vec![[0.0; Class::ALL.len()]; self.tries];
            if cohort.phase == phase
                && let Some(first) = by_tries.first_mut()
            {
                *first = self.classes.map(|share| share * new);
            }
            let again = by_tries.iter_mut().skip(1);
            for (paused, sent) in cohort.paused.iter_mut().zip(again) {
                for (paused, sent) in paused.iter_mut().zip(sent) {
                    *sent = *paused * returns;
                    *paused -= *sent;
                }
            }
            let phase = cohort.phase;
            sent.push(Sent { phase, by_tries });
        }
        sent
    }

    /// What becomes of what was sent in this step, by class.
    pub(super) fn learn(&mut self, sent: &[Sent], fates: &[Fate; Class::ALL.len()]) {
        let mut over = [0.0; Class::ALL.len()];
        for (cohort, sent) in self.cohorts.iter_mut().zip(sent) {
            for (tries, by_class) in sent.by_tries.iter().enumerate() {
                let fates = by_class.iter().zip(fates).enumerate();
                for ((class, (sent, fate)), over) in fates.zip(&mut over) {
                    *over += cohort.failed(tries, class, sent * fate.fails);
                    *over += cohort.will_leave(tries, class, sent * fate.gone);
                }
            }
        }
        self.back_to_thoughts(over);
        let Some(thinking) = &mut self.population else {
            return;
        };
        (thinking.back, thinking.took) = (0.0, 0.0);
        let each = fates.iter().zip(self.classes).enumerate();
        for ((class, (fate, share)), stays) in each.zip(thinking.stays()) {
            let succeeds = (1.0 - fate.fails - fate.gone).max(0.0);
            let answered = of_class(sent, class) * succeeds;
            if self.tries == 1 {
                thinking.back += share * fate.fails * stays;
            }
            let after = ticks(fate.latency, self.tick).min(self.patience_ticks);
            if after == 0 {
                thinking.back += share * succeeds;
                thinking.took += share * succeeds * fate.latency;
                thinking.now += answered;
                continue;
            }
            if thinking.answered.len() <= after {
                thinking.answered.resize(after + 1, 0.0);
            }
            if let Some(place) = thinking.answered.get_mut(after) {
                *place += answered;
            }
        }
    }

    /// So many have made the last of their tries.
    fn back_to_thoughts(&mut self, how_many: ByClass) {
        if let Some(thinking) = &mut self.population {
            let each = how_many.into_iter().zip(thinking.stays());
            thinking.now += each.map(|(over, stays)| over * stays).sum::<f64>();
        }
    }
}

/// Whole ticks in a time, which may be a rounding error short of them.
fn ticks(time: f64, tick: f64) -> usize {
    (time / tick + 1e-9) as usize
}

/// How many come between two times of a phase that lasts so long.
fn users(rate: Rate, from: Nanos, to: Nanos, lasts: Nanos) -> f64 {
    let (mut now, mut sum) = (from, 0.0);
    while now < to {
        let (rate, until) = rate.at(now, lasts);
        let end = until.clamp(now + 1, to);
        sum += rate * (end - now) as f64;
        now = end;
    }
    sum / SECOND as f64
}

impl Cohort {
    fn len(&self) -> f64 {
        let leaving = self.leaving.iter().flatten();
        self.paused.iter().chain(leaving).flatten().sum()
    }

    /// After so many tries before it, one more has failed. Gives how many it was the last try of.
    fn failed(&mut self, tries: usize, class: usize, how_many: f64) -> f64 {
        match self.paused.get_mut(tries).and_then(|it| it.get_mut(class)) {
            Some(paused) => {
                *paused += how_many;
                0.0
            }
            None => how_many,
        }
    }

    /// They will lose patience. Gives how many have none, and made their last try.
    fn will_leave(&mut self, tries: usize, class: usize, how_many: f64) -> f64 {
        if how_many <= 0.0 {
            return 0.0;
        }
        let tries_made = self.paused.len() + 1;
        let Some(last) = self.leaving.back_mut() else {
            return self.failed(tries, class, how_many);
        };
        last.resize(tries_made, [0.0; Class::ALL.len()]);
        if let Some(place) = last.get_mut(tries).and_then(|it| it.get_mut(class)) {
            *place += how_many;
        }
        0.0
    }
}
