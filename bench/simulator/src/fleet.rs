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

/// How much of virtual time is simulated between two looks at what is under way.
const STEP: Duration = Duration::from_millis(100);

/// What a scenario costs, and what became of it.
pub(crate) fn measure(text: &str, limited: bool) -> Result<Vec<(&'static str, f64)>, Failure> {
    let scenario =
        parse(text).map_err(|_| Failure::unexpected("a scenario of the bench is not valid"))?;
    let services = scenario.services.iter();
    let protections: Vec<Protection> = services.map(|it| protection(it, limited)).collect();
    let before = cpu();
    let mut simulation = Simulation::new(&scenario, &protections, 1);
    let (built, memory) = (cpu(), memory_peak()?);
    let mut under_way = 0;
    while simulation.advance(STEP) {
        under_way = under_way.max(simulation.under_way());
    }
    let took = (cpu() - built).as_secs_f64();
    let events = simulation.events() as f64;
    let ledger = simulation.finish();
    let requests = ledger.cells().iter().map(requests).sum::<f64>();
    let mut figures = vec![
        ("requests", requests),
        ("requests_per_minute", requests / took * 60.0),
        ("events_per_second", events / took),
        ("cpu_s", took),
        ("build_s", (built - before).as_secs_f64()),
        ("build_mib", memory as f64 / 1024.0),
        ("under_way_max", under_way as f64),
        ("fingerprint", fingerprint(&ledger)),
    ];
    figures.extend(good(&scenario, &ledger));
    Ok(figures)
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

/// The shares of users that got a good answer: of all, and in the worst phase.
fn good(scenario: &Scenario, ledger: &Ledger) -> [(&'static str, f64); 2] {
    let (mut users, mut good, mut worst) = (0, 0, 1.0_f64);
    for cell in ledger.cells().iter().take(scenario.phases.len()) {
        let (came, served) = (
            cell.users.iter().sum::<u64>(),
            cell.good.iter().sum::<u64>(),
        );
        users += came;
        good += served;
        worst = worst.min(served as f64 / came.max(1) as f64);
    }
    [
        (
            "good_share",
            good as f64 / f64::from(u32::try_from(users).unwrap_or(1).max(1)),
        ),
        ("good_share_worst_phase", worst),
    ]
}
