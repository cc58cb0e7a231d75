//! Whole scenarios, with all policies on.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Scenario, ScenarioService, parse};
use plimsoll_core::Mode;
use plimsoll_lifecycle::{Bounds, GuardParameters};
use plimsoll_policy::{EndpointParameters, LimiterKind, Method};
use plimsoll_simulator::fleet::{Cell, Ledger, Protection, Simulation};

use crate::cell::{cpu, memory_peak};
use crate::failure::Failure;

/// How much of virtual time is simulated between two looks at the fleet.
const STEP: Duration = Duration::from_millis(100);

/// Named figures, in their order.
pub(crate) type Figures = Vec<(String, f64)>;

/// What a scenario costs, and what became of it.
pub(crate) fn measure(text: &str, limited: bool) -> Result<Figures, Failure> {
    let scenario =
        parse(text).map_err(|_| Failure::unexpected("a scenario of the bench is not valid"))?;
    let services = scenario.services.iter();
    let protections: Vec<Protection> = services.map(|it| protection(it, limited)).collect();
    let before = cpu();
    let mut simulation = Simulation::new(&scenario, &protections, 1);
    let built = cpu();
    let (mut took, build) = (Duration::ZERO, built - before);
    let memory = memory_peak()?;
    let mut seen: Vec<Seen> = scenario.phases.iter().map(|_| Seen::default()).collect();
    loop {
        let before = cpu();
        let more = simulation.advance(STEP);
        took += cpu() - before;
        if !more {
            break;
        }
        if let Some(seen) = seen.get_mut(phase(&scenario, simulation.elapsed())) {
            seen.look(&simulation, &scenario);
        }
    }
    let events = simulation.events() as f64;
    let ledger = simulation.finish();
    let requests = ledger.cells().iter().map(requests).sum::<f64>();
    let took = took.as_secs_f64();
    let mut figures: Figures = [
        ("requests", requests),
        ("requests_per_minute", requests / took * 60.0),
        ("events_per_second", events / took),
        ("cpu_s", took),
        ("build_s", build.as_secs_f64()),
        ("build_mib", memory as f64 / 1024.0),
        ("fingerprint", fingerprint(&ledger)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    for (index, (phase, seen)) in scenario.phases.iter().zip(&seen).enumerate() {
        let Some(cell) = ledger.cell(index, 0) else {
            continue;
        };
        let users = cell.users.iter().sum::<u64>().max(1) as f64;
        let share = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / users;
        let of_phase = [
            ("good", share(&cell.good)),
            ("refused", share(&cell.refused)),
            ("attempts", cell.attempts as f64 / users),
        ];
        let all = of_phase.into_iter().chain(seen.figures());
        figures.extend(all.map(|(name, value)| (format!("{}.{name}", phase.name), value)));
    }
    Ok(figures)
}

/// In which phase this is.
fn phase(scenario: &Scenario, elapsed: Duration) -> usize {
    let ends = scenario.phases.iter().scan(Duration::ZERO, |end, phase| {
        *end += phase.lasts;
        Some(*end)
    });
    ends.take_while(|end| *end < elapsed).count()
}

/// What the fleet was like in a phase.
#[derive(Default)]
struct Seen {
    under_way_max: usize,
    looks: f64,
    /// Over endpoints, the most that one had at a moment, divided by the mean: the sum over looks.
    uneven: f64,
    /// Pairs of gateway and endpoint at which the endpoint is held out: the most, all endpoints and those that no fault is at.
    out: u64,
    out_wrongly: u64,
    /// The sum of the limits over all gateways.
    limits: Vec<f64>,
}

impl Seen {
    fn look(&mut self, simulation: &Simulation, scenario: &Scenario) {
        self.under_way_max = self.under_way_max.max(simulation.under_way());
        self.looks += 1.0;
        let load = simulation.load();
        let (sum, most) = (load.iter().sum::<u32>(), load.iter().max());
        self.uneven +=
            f64::from(most.copied().unwrap_or(0)) * load.len() as f64 / f64::from(sum.max(1));
        let ill = scenario
            .faults
            .iter()
            .filter(|fault| simulation.elapsed() >= fault.at)
            .map(|fault| fault.endpoints)
            .max();
        let out = simulation.held_out();
        let count = |out: &[u32]| out.iter().map(|it| u64::from(*it)).sum::<u64>();
        self.out = self.out.max(count(&out));
        let well = out.get(ill.unwrap_or(0)..).unwrap_or_default();
        self.out_wrongly = self.out_wrongly.max(count(well));
        let levels = simulation.levels();
        let limits = levels.iter().flatten().map(|level| level.limit);
        // Without a limiter there is no sum.
        let sum: Option<u64> = limits.sum();
        self.limits.extend(sum.map(|sum| sum as f64));
    }

    fn figures(&self) -> Vec<(&'static str, f64)> {
        let (least, most) = self
            .limits
            .iter()
            .fold((f64::MAX, 0.0_f64), |(least, most), it| {
                (least.min(*it), most.max(*it))
            });
        let mut figures = vec![
            ("under_way_max", self.under_way_max as f64),
            ("load_max_to_mean", self.uneven / self.looks.max(1.0)),
            ("pairs_out_max", self.out as f64),
            ("pairs_out_of_well_endpoints_max", self.out_wrongly as f64),
        ];
        if let Some(last) = self.limits.last() {
            figures.extend([
                ("limits_min", least),
                ("limits_max", most),
                ("limits_last", *last),
            ]);
        }
        figures
    }
}

/// Plimsoll's defaults.
fn protection(service: &ScenarioService, limited: bool) -> Protection {
    let mut guard = GuardParameters::default();
    guard.admission.objective = Some(service.objective);
    guard.throttle = Mode::Enforce;
    if !limited {
        guard.admission.limiter = LimiterKind::Off;
    }
    Protection {
        guard: Arc::new(guard),
        endpoint: EndpointParameters::default(),
        method: Method::LeastLoaded,
        heeds_health: true,
        connect: Duration::from_secs(1),
        bounds: Bounds {
            head: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: None,
            attempts_max: 2,
        },
    }
}

/// The same whenever and wherever it ran, or something is wrong.
fn fingerprint(ledger: &Ledger) -> f64 {
    // FNV-1a (G. Fowler, L. C. Noll, K.-P. Vo), folded to what a number of this kind holds exactly.
    let hash = format!("{ledger:?}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash >> 12) as f64
}

fn requests(cell: &Cell) -> f64 {
    cell.requests.iter().sum::<u64>() as f64
}
