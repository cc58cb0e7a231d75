//! Load that is not just a rate: populations, waves, flash crowds.
//!
//! From a stream of its own, so that whatever else a seed says stays as it was.

use plimsoll_config::scenario::{
    FlashCrowd, Phase, PhaseRate, Population, Scenario, ScenarioService, Shape, Source, Wave,
};

use super::generate::{Draw, millis, percent, rounded, seconds};
use super::ranges::Ranges;
use crate::random::Stream;

/// The phase of the trouble.
const TROUBLE: usize = 1;

/// Makes some workloads of a drawn scenario such.
pub(super) fn vary(seed: u64, ranges: &Ranges, scenario: &mut Scenario) {
    let mut draw = Draw(Stream::new(seed, "search: load"));
    for (index, workload) in scenario.workloads.iter_mut().enumerate() {
        let Source::Rate(usual) = workload.source else {
            continue;
        };
        let phases = &mut scenario.phases;
        match draw.0.below(8) {
            0 => {
                if let Some(service) = scenario.services.get(workload.service) {
                    let population = population(&mut draw, ranges, service, usual);
                    replace(phases, index, usual, population);
                    workload.source = Source::Users(population);
                }
            }
            1 => wave(&mut draw, ranges, phases, index, usual),
            2 => crowd(&mut draw, ranges, phases, index, usual),
            _ => (),
        }
    }
}

/// Users who ask for as much as a rate while they are answered at once.
fn population(
    draw: &mut Draw,
    ranges: &Ranges,
    service: &ScenarioService,
    usual: f64,
) -> Population {
    let think = draw.logarithmic(ranges.think);
    let users = usual * (think + service.time.as_secs_f64());
    Population {
        users: libm::round(users).max(1.0) as u32,
        think: millis(think),
        leaves: match draw.0.below(3) {
            0 => percent(draw.even(ranges.leaves)),
            _ => 0.0,
        },
    }
}

/// A phase has as many times the users as it had times the rate.
fn replace(phases: &mut [Phase], index: usize, usual: f64, population: Population) {
    for phase in phases {
        if let (Some(rate), Some(users)) = (phase.rates.get_mut(index), phase.users.get_mut(index))
        {
            let all = f64::from(population.users) * times(rate, usual);
            *users = libm::round(all) as u32;
            *rate = PhaseRate::even(0.0);
        }
    }
}

/// The load goes up and down, all the time.
fn wave(draw: &mut Draw, ranges: &Ranges, phases: &mut [Phase], index: usize, usual: f64) {
    let period = draw.count(ranges.period);
    let shape = Shape::Wave(Wave {
        swing: percent(draw.even(ranges.swing)),
        period: seconds(period),
        peak_at: seconds(draw.0.below(period)),
    });
    for rate in phases
        .iter_mut()
        .filter_map(|phase| phase.rates.get_mut(index))
    {
        let mean = rounded(usual * times(rate, usual));
        *rate = PhaseRate {
            shape: Some(shape),
            ..PhaseRate::even(mean)
        };
    }
}

/// The trouble is a crowd that comes and goes.
fn crowd(draw: &mut Draw, ranges: &Ranges, phases: &mut [Phase], index: usize, usual: f64) {
    let peak = usual * draw.logarithmic(ranges.surge);
    let shape = Shape::Crowd(FlashCrowd {
        peak: rounded(peak),
        rise: millis(draw.logarithmic(ranges.rise)),
        decay: millis(draw.logarithmic(ranges.decay)),
    });
    let trouble = phases.get_mut(TROUBLE);
    if let Some(rate) = trouble.and_then(|phase| phase.rates.get_mut(index)) {
        *rate = PhaseRate {
            shape: Some(shape),
            ..PhaseRate::even(usual)
        };
    }
}

/// How many times the usual rate that of a phase is at its end. Bursts have the usual mean.
fn times(rate: &PhaseRate, usual: f64) -> f64 {
    match rate.shape {
        None => rate.to / usual,
        Some(_) => 1.0,
    }
}
