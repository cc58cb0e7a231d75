//! Draws scenarios.

use std::time::Duration;

use plimsoll_config::scenario::{
    Burst, ClassShares, ClientRetry, Fault, FaultKind, Phase, PhaseRate, Scenario, ScenarioService,
    Shape, Source, TimeSpread, Work, Workload,
};

use super::Setting;
use super::possible::{SHARE, within};
use super::ranges::{Range, Ranges};
use super::vary::vary;
use crate::fleet::healthy;
use crate::random::Stream;

/// The scenario of a seed, and what Plimsoll is set to in it.
pub fn generate(seed: u64, ranges: &Ranges) -> (Scenario, Setting) {
    let mut draw = Draw(Stream::new(seed, "search"));
    let gateways = draw.count(ranges.gateways) as usize;
    let threads = draw.count(ranges.threads) as usize;
    let mut services = Vec::new();
    for index in 0..draw.count(ranges.services) {
        services.push(service(&mut draw, ranges, index, gateways));
    }
    let [before, trouble, after] =
        [ranges.before, ranges.trouble, ranges.after].map(|range| draw.count(range));
    let mut workloads = Vec::new();
    let mut rates = [Vec::new(), Vec::new(), Vec::new()];
    for (position, service) in services.iter().enumerate() {
        let capacity = healthy(service).capacity() * service.endpoints as f64;
        let load = draw.logarithmic(ranges.load) * capacity;
        let count = draw.count(ranges.workloads);
        let surges = draw.0.chance(0.6);
        for _ in 0..count {
            let rate = rounded(load / f64::from(count));
            let index = workloads.len();
            workloads.push(workload(&mut draw, ranges, index, position, service, rate));
            let usual = load_around(&mut draw, rate);
            let [calm, troubled, again] = &mut rates;
            calm.push(usual);
            again.push(usual);
            troubled.push(match surges {
                true => surge(&mut draw, ranges, rate),
                false => usual,
            });
        }
    }
    let lengths = [("before", before), ("trouble", trouble), ("after", after)];
    let phases = lengths.into_iter().zip(rates);
    let phases = phases.map(|((name, lasts), rates)| Phase {
        name: name.to_owned(),
        lasts: seconds(lasts),
        users: vec![0; rates.len()],
        rates,
    });
    let phases = phases.collect();
    let mut faults = Vec::new();
    for _ in 0..draw.count(ranges.faults) {
        faults.push(fault(&mut draw, ranges, &services, before, trouble));
    }
    let setting = Setting {
        retries: draw.0.chance(0.5),
    };
    let mut scenario = Scenario {
        about: Some(format!("drawn with seed {seed}")),
        gateways,
        threads,
        services,
        workloads,
        phases,
        faults,
    };
    vary(seed, ranges, &mut scenario);
    (scenario, setting)
}

fn service(draw: &mut Draw, ranges: &Ranges, index: u32, gateways: usize) -> ScenarioService {
    let endpoints = draw.count(ranges.endpoints);
    let wanted = draw.logarithmic(ranges.capacity);
    let mut time = draw.logarithmic(ranges.time);
    let (work, capacity) = if draw.0.chance(0.25) {
        let contention = draw.even(ranges.contention);
        let knee = draw.logarithmic(ranges.knee);
        let crosstalk = (1.0 - contention) / (knee * knee);
        let work = Work::Shared {
            contention: rounded(contention),
            crosstalk: rounded(crosstalk),
        };
        let slowed = 1.0 + contention * (knee - 1.0) + crosstalk * knee * (knee - 1.0);
        let at_once = f64::from(endpoints) * knee / slowed;
        time = time.max(at_once / ranges.capacity.1);
        (work, at_once / time)
    } else {
        let workers = libm::round(wanted * time / f64::from(endpoints)).max(1.0);
        let spread = match draw.0.below(4) {
            0 => TimeSpread::Constant,
            1 => TimeSpread::Exponential,
            2 => TimeSpread::Bimodal,
            _ => TimeSpread::Lognormal(rounded(draw.even(ranges.cv))),
        };
        let work = Work::Workers {
            workers: workers as u32,
            spread,
        };
        (work, f64::from(endpoints) * workers / time)
    };
    let least = 2.0 * ranges.in_flight_min * gateways as f64 / capacity;
    let Range(shortest, longest) = ranges.objective_seconds;
    let times = match work {
        Work::Workers { .. } => ranges.objective,
        Work::Shared { .. } => ranges.objective_shared,
    };
    let objective = draw.logarithmic(times) * time;
    let mut objective = objective.clamp(shortest, longest).max(least);
    if let Work::Workers { spread, .. } = work {
        while within(spread, time, SHARE * objective) < ranges.in_time_min {
            objective *= 1.25;
        }
    }
    ScenarioService {
        name: format!("service{}", index + 1),
        endpoints: endpoints as usize,
        work,
        time: millis(time),
        objective: millis(objective),
        cancels: false,
        cache: None,
        calls: Vec::new(),
        memory: None,
        start: None,
    }
}

fn workload(
    draw: &mut Draw,
    ranges: &Ranges,
    index: usize,
    position: usize,
    service: &ScenarioService,
    rate: f64,
) -> Workload {
    let Range(shortest, longest) = ranges.patience_seconds;
    let patience = draw.logarithmic(ranges.patience) * service.objective.as_secs_f64();
    let classes = match draw.0.below(3) {
        0 => ClassShares {
            critical: 0.0,
            sheddable: 0.0,
        },
        _ => ClassShares {
            critical: percent(draw.even(Range(0.05, 0.4))),
            sheddable: percent(draw.even(Range(0.0, 0.5))),
        },
    };
    Workload {
        name: format!("clients{}", index + 1),
        service: position,
        source: Source::Rate(rate),
        patience: millis(patience.clamp(shortest, longest)),
        retry: ClientRetry {
            attempts: draw.count(ranges.attempts) as u8,
            pause: millis(draw.logarithmic(ranges.pause)),
        },
        classes,
        tenants: draw.count(ranges.tenants),
        zipf: percent(draw.even(ranges.zipf)),
    }
}

/// Mostly even; else with bursts of the same mean.
fn load_around(draw: &mut Draw, rate: f64) -> PhaseRate {
    let burst = draw.0.chance(0.2).then(|| {
        let every = draw.even(Range(1.0, 5.0));
        let share = draw.even(Range(0.05, 0.4));
        let times = draw.even(Range(1.5, 3.0));
        (times, share, every)
    });
    let Some((times, share, every)) = burst else {
        return PhaseRate::even(rate);
    };
    let times = times.min(0.9 / share);
    let base = rounded(rate * (1.0 - share * times) / (1.0 - share));
    PhaseRate {
        from: base,
        to: base,
        shape: Some(Shape::Bursts(Burst {
            peak: rounded(rate * times),
            lasts: millis(share * every),
            every: millis(every),
        })),
    }
}

fn surge(draw: &mut Draw, ranges: &Ranges, rate: f64) -> PhaseRate {
    let high = rounded(rate * draw.logarithmic(ranges.surge));
    let from = match draw.0.below(2) {
        0 => high,
        _ => rate,
    };
    PhaseRate {
        from,
        to: high,
        shape: None,
    }
}

fn fault(
    draw: &mut Draw,
    ranges: &Ranges,
    services: &[ScenarioService],
    before: u32,
    trouble: u32,
) -> Fault {
    let service = draw.0.below(services.len() as u32) as usize;
    let known = services.get(service);
    let all = known.map_or(1, |service| service.endpoints);
    let pool = known.is_some_and(|it| matches!(it.work, Work::Workers { .. }));
    let late = draw.0.below(trouble / 2);
    let lasts = 1 + draw.0.below(trouble - late);
    let kind = match draw.0.below(5) {
        0 => FaultKind::Slow(rounded(draw.logarithmic(ranges.slow))),
        1 => FaultKind::Errors(percent(draw.logarithmic(ranges.errors))),
        2 => FaultKind::Crash,
        3 if pool => FaultKind::Capacity(percent(draw.even(ranges.capacity_left))),
        _ => FaultKind::Freeze,
    };
    let endpoints = match draw.0.below(3) {
        0 => all,
        _ => 1 + draw.0.below(all as u32) as usize,
    };
    Fault {
        after: 0,
        service,
        endpoints,
        at: seconds(before + late),
        lasts: seconds(lasts.min(trouble - late)),
        kind,
    }
}

/// Draws from ranges. One stream is for all but what [`vary`] makes of it: a scenario is its seed.
pub(crate) struct Draw(pub(crate) Stream);

impl Draw {
    pub(crate) fn even(&mut self, Range(low, high): Range) -> f64 {
        low + self.0.unit() * (high - low)
    }

    /// As often between 1 and 10 as between 10 and 100.
    pub(crate) fn logarithmic(&mut self, Range(low, high): Range) -> f64 {
        low * libm::pow(high / low, self.0.unit())
    }

    pub(crate) fn count(&mut self, Range(low, high): Range) -> u32 {
        low as u32 + self.0.below((high - low) as u32 + 1)
    }
}

pub(crate) fn seconds(count: u32) -> Duration {
    Duration::from_secs(count.into())
}

pub(crate) fn millis(seconds: f64) -> Duration {
    Duration::from_millis(libm::round(seconds * 1e3).max(1.0) as u64)
}

/// To three digits that count: figures that a person reads.
pub(super) fn rounded(value: f64) -> f64 {
    if value <= 0.0 {
        return 0.0;
    }
    let scale = libm::pow(10.0, 2.0 - libm::floor(libm::log10(value)));
    libm::round(value * scale) / scale
}

/// To whole hundredths.
pub(crate) fn percent(share: f64) -> f64 {
    libm::round(share * 100.0) / 100.0
}
