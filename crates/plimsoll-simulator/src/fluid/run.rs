//! A fluid run: step by step, second by second.

use plimsoll_config::scenario::{Fault, Scenario, Source};
use plimsoll_core::{Class, Ratio};
use plimsoll_policy::LimiterKind;

use super::budget::Judgement;
use super::demand::{Demand, Fate, Sent, of_class};
use super::govern::Govern;
use super::retries::Retries;
use super::station::{Outcome, Station};
use super::sums::Sums;
use crate::agenda::{Nanos, SECOND};
use crate::fleet::clients::nanos;
use crate::fleet::{Ledger, Protection};
use crate::governing::Governed;

/// Runs that are no longer than this have finer ticks.
const SHORT: Nanos = 3_600 * SECOND;
/// Ticks in a second of a short run: a step is a tick, or what is left of it when something changes.
const TICKS: u64 = 10;

/// See the module's docs.
#[derive(Debug)]
pub struct Fluid {
    demands: Vec<Demand>,
    stations: Vec<Station>,
    judgements: Vec<Judgement>,
    govern: Option<Govern>,
    faults: Vec<Fault>,
    /// By phase and workload.
    sums: Vec<Sums>,
    phases: Vec<Nanos>,
    phase: usize,
    phase_began: Nanos,
    now: Nanos,
    tick: Nanos,
}

/// A second of a run, by service.
#[derive(Clone, Debug, PartialEq)]
pub struct FluidSecond {
    /// The second, from 0.
    pub at: u64,
    /// Requests that were sent.
    pub offered: Vec<f64>,
    /// Requests that were answered within the objective.
    pub good: Vec<f64>,
    /// Requests that Plimsoll refused.
    pub refused: Vec<f64>,
}

/// A scenario that has no fluid run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FluidError {
    /// What was logged are single requests.
    #[error("`workload.{0}` replays a log, request by request; a fluid run has only rates")]
    Replay(String),
    /// How long a worker is held depends on the very request.
    #[error("`service.{0}` has `calls`, which a fluid run does not know; run it by request")]
    Calls(String),
}

impl Fluid {
    /// At the beginning. There are a protection and an objective's target and period for each service of the scenario, in the
    /// same order.
    pub fn new(
        scenario: &Scenario,
        protections: &[Protection],
        objectives: &[(Ratio, std::time::Duration)],
    ) -> Result<Self, FluidError> {
        let is_replay =
            |it: &&plimsoll_config::scenario::Workload| matches!(it.source, Source::Replay(_));
        if let Some(workload) = scenario.workloads.iter().find(is_replay) {
            return Err(FluidError::Replay(workload.name.clone()));
        }
        let mut services = scenario.services.iter();
        if let Some(service) = services.find(|service| !service.calls.is_empty()) {
            return Err(FluidError::Calls(service.name.clone()));
        }
        let is_short = nanos(scenario.lasts()) <= SHORT;
        let tick = SECOND / if is_short { TICKS } else { 1 };
        let seconds = tick as f64 / SECOND as f64;
        let workloads = scenario.workloads.iter().enumerate();
        let services = scenario.services.iter().zip(protections).enumerate();
        let mut fluid = Self {
            demands: workloads
                .map(|(index, workload)| Demand::new(index, workload, &scenario.phases, seconds))
                .collect(),
            stations: services
                .map(|(position, (service, protection))| {
                    let admission = &protection.guard.admission;
                    let guarded = admission.mode == plimsoll_core::Mode::Enforce
                        && admission.limiter != LimiterKind::Off;
                    let attempts = if guarded {
                        protection.bounds.attempts_max
                    } else {
                        1
                    };
                    let retries = Retries::of(protection, scenario.gateways);
                    let retries = retries.filter(|_| guarded);
                    Station::new(
                        position,
                        service,
                        &scenario.faults,
                        guarded,
                        attempts,
                        retries,
                    )
                })
                .collect(),
            judgements: objectives
                .iter()
                .map(|(target, period)| Judgement::new(*target, *period))
                .collect(),
            govern: None,
            faults: scenario.faults.clone(),
            sums: vec![Sums::default(); scenario.phases.len() * scenario.workloads.len()],
            phases: scenario.phases.iter().map(|it| nanos(it.lasts)).collect(),
            phase: 0,
            phase_began: 0,
            now: 0,
            tick,
        };
        fluid.demands.iter_mut().for_each(|demand| demand.begin(0));
        Ok(fluid)
    }

    /// There is a governor. To be asked for at the beginning.
    pub fn govern(&mut self, governed: &Governed) {
        assert_eq!(
            governed.services.len(),
            self.stations.len(),
            "each service has its objectives"
        );
        for (index, station) in self.stations.iter_mut().enumerate() {
            station.gives_up = governed.gives_up(index);
        }
        self.govern = Some(Govern::new(governed));
    }

    /// Goes on for a second. `None`: the run is over.
    pub fn advance(&mut self) -> Option<FluidSecond> {
        if self.phase >= self.phases.len() {
            self.judgements.iter_mut().for_each(Judgement::end);
            return None;
        }
        let none = vec![0.0; self.stations.len()];
        let mut second = FluidSecond {
            at: self.now / SECOND,
            offered: none.clone(),
            good: none.clone(),
            refused: none.clone(),
        };
        let mut bad = none;
        let end = (second.at + 1) * SECOND;
        while self.phase < self.phases.len() && self.now < end {
            self.step(&mut second, &mut bad);
        }
        let counts = second.good.iter().zip(&bad);
        for (judgement, (good, bad)) in self.judgements.iter_mut().zip(counts) {
            judgement.on_second(*good, *bad);
        }
        if let Some(govern) = &mut self.govern {
            govern.on_second(self.now, &mut self.stations);
        }
        Some(second)
    }

    /// What was expected, by phase and workload. A user is counted in the phase in which it came.
    pub fn ledger(&self) -> Ledger {
        let cells = self.sums.iter().map(Sums::cell).collect();
        let mut ledger = Ledger::of(self.demands.len(), cells);
        if let Some(govern) = &self.govern {
            *ledger.decisions_mut() = govern.decisions().clone();
        }
        ledger
    }

    /// The budget of each service.
    pub fn judgements(&self) -> &[Judgement] {
        &self.judgements
    }

    /// The same, when no more is wanted.
    pub fn into_judgements(self) -> Vec<Judgement> {
        self.judgements
    }

    /// A step within which nothing changes: to the end of the tick at most.
    fn step(&mut self, second: &mut FluidSecond, bad: &mut [f64]) {
        if self.now.is_multiple_of(self.tick) {
            self.demands.iter_mut().for_each(Demand::tick);
        }
        self.change_faults();
        let ticks_on = (self.now / self.tick + 1) * self.tick;
        let lasts = self.next_change().min(ticks_on) - self.now;
        let step = lasts as f64 / SECOND as f64;
        let (phase, into) = (self.phase, self.now - self.phase_began);
        let sent: Vec<Vec<Sent>> = self
            .demands
            .iter_mut()
            .map(|demand| demand.send(phase, into, lasts))
            .collect();
        let now = self.now as f64 / SECOND as f64;
        for (index, station) in self.stations.iter_mut().enumerate() {
            let pairs = self.demands.iter().zip(&sent);
            let mine = pairs.filter(|(demand, _)| demand.service == index);
            let mine: Vec<(&Demand, &[Sent])> = mine
                .map(|(demand, sent)| (demand, sent.as_slice()))
                .collect();
            let outcomes = station.step(now, step, &mine);
            let mut outcomes = outcomes.into_iter();
            let workloads = self.demands.len();
            let all = self.demands.iter_mut().zip(&sent).enumerate();
            for (workload, (demand, sent)) in all.filter(|(_, (it, _))| it.service == index) {
                let Some(outcomes) = outcomes.next() else {
                    break;
                };
                for sent in sent {
                    if let Some(sums) = self.sums.get_mut(sent.phase * workloads + workload) {
                        sums.add(sent, &outcomes);
                    }
                }
                demand.learn(sent, &fates(&outcomes));
                count(second, bad, index, sent, &outcomes);
                if let Some(govern) = &mut self.govern {
                    govern.count(index, station.objective, sent, &outcomes);
                }
            }
        }
        self.now += lasts;
        if self
            .phases
            .get(phase)
            .is_some_and(|lasts| self.now - self.phase_began >= *lasts)
        {
            (self.phase, self.phase_began) = (phase + 1, self.now);
            let next = self.phase;
            self.demands
                .iter_mut()
                .for_each(|demand| demand.begin(next));
        }
    }

    /// When the phase ends, or a fault begins or ends, next.
    fn next_change(&self) -> Nanos {
        let phase = self.phases.get(self.phase).copied().unwrap_or(0);
        let faults = self.faults.iter();
        let changes = faults.flat_map(|it| [nanos(it.at), nanos(it.at + it.lasts)]);
        let later = changes.filter(|at| *at > self.now);
        later.fold(self.phase_began + phase, Nanos::min)
    }

    /// Begins and ends what begins and ends now.
    fn change_faults(&mut self) {
        for (index, fault) in self.faults.iter().enumerate() {
            let Some(station) = self.stations.get_mut(fault.service) else {
                continue;
            };
            if nanos(fault.at) == self.now {
                station.begin_fault(index, fault);
            }
            if nanos(fault.at + fault.lasts) == self.now {
                station.end_fault(index);
            }
        }
    }
}

fn fates(outcomes: &[Outcome; Class::ALL.len()]) -> [Fate; Class::ALL.len()] {
    let mut fates = [Fate::default(); Class::ALL.len()];
    for (fate, outcome) in fates.iter_mut().zip(outcomes) {
        *fate = Fate {
            fails: outcome.refused + outcome.errors + outcome.connect,
            gone: outcome.gone,
            latency: outcome.latency,
        };
    }
    fates
}

fn count(
    second: &mut FluidSecond,
    bad: &mut [f64],
    service: usize,
    sent: &[Sent],
    outcomes: &[Outcome; Class::ALL.len()],
) {
    let add = |sums: &mut [f64], value: f64| {
        if let Some(sum) = sums.get_mut(service) {
            *sum += value;
        }
    };
    for (class, outcome) in outcomes.iter().enumerate() {
        let requests = of_class(sent, class);
        let late = outcome.answered - outcome.in_time;
        add(&mut second.offered, requests);
        add(&mut second.good, requests * outcome.in_time);
        add(&mut second.refused, requests * outcome.refused);
        // Who hung up is not in the objective, as in production.
        let of_it = outcome.refused + outcome.errors + outcome.connect + late;
        add(bad, requests * of_it);
    }
}
