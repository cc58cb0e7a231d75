//! Draws bad days, and bad hours.
//!
//! What the search for bad days draws in a minute is stretched: the trouble lasts hours, faults seconds to hours.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_config::scenario::{Call, Run, Scenario, ScenarioService, parse_for};
use plimsoll_core::{Class, Mode, Ratio};
use plimsoll_governor::{Degradable, Parameters, ServiceParameters};
use plimsoll_measure::{ObjectiveSpec, Period, Sli};

use super::Case;
use crate::governing::{GivesUp, Governed};
use crate::random::Stream;
use crate::search::{Draw, Range, Ranges, Setting, generate, millis, percent, seconds};

/// What objectives promise.
const TARGETS: [(u64, u64); 4] = [(9, 10), (19, 20), (99, 100), (999, 1_000)];
const PERIOD: Duration = Duration::from_secs(28 * 86_400);
/// Shorter faults are over before anything is decided.
const FAULT_MIN: f64 = 10.0;

impl Case {
    /// A day of so many seconds, to be run as flows.
    pub fn day(seed: u64, lasts: u32) -> Self {
        Self::draw(seed, lasts, false)
    }

    /// Hours of so many seconds, to be run by request: small services, some of which call each other.
    pub fn hour(seed: u64, lasts: u32) -> Self {
        Self::draw(seed, lasts, true)
    }

    fn draw(seed: u64, lasts: u32, by_request: bool) -> Self {
        let all = f64::from(lasts);
        let mut ranges = Ranges {
            services: Range(1.0, 3.0),
            before: Range(0.05 * all, 0.3 * all),
            trouble: Range(0.1 * all, 0.4 * all),
            after: Range(0.0, 0.0),
            faults: Range(0.0, 8.0),
            period: Range(all / 48.0, all),
            rise: Range(10.0, 600.0),
            decay: Range(60.0, 1_800.0),
            ..Ranges::DECLARED
        };
        if by_request {
            // Rates are what an hour costs.
            ranges.gateways = Range(1.0, 2.0);
            ranges.services = Range(1.0, 2.0);
            ranges.capacity = Range(200.0, 400.0);
        }
        let (mut scenario, setting) = generate(seed, &ranges);
        let mut draw = Draw(Stream::new(seed, "days"));
        let known: Duration = scenario.phases.iter().take(2).map(|it| it.lasts).sum();
        if let Some(last) = scenario.phases.last_mut() {
            last.lasts = seconds(lasts).saturating_sub(known);
        }
        for fault in &mut scenario.faults {
            let times = draw.logarithmic(Range(0.002, 1.0));
            let lasted = (fault.lasts.as_secs_f64() * times).max(FAULT_MIN);
            let begins = draw.even(Range(0.02, 0.95)) * (all - lasted);
            fault.at = Duration::from_secs(begins as u64);
            fault.lasts = Duration::from_secs(lasted as u64);
        }
        let mut governed = governed(&mut draw, &mut scenario, by_request);
        give_up(&mut Draw(Stream::new(seed, "giving up")), &mut governed);
        Self {
            seed,
            scenario,
            setting,
            governed,
        }
    }
}

/// A service that is asked for twice what it can carry. What waits for its turn is late one time in ten.
pub(super) fn full(lasts: u32, gives_up: bool) -> Option<Case> {
    let text = format!(
        r#"
        [service.shop]
        endpoints = 2
        workers = 8
        time = "40ms"
        objective = "150ms"
        [workload.people]
        rate = "800/s"
        patience = "1s"
        classes = {{ critical = "10%", sheddable = "40%" }}
        [[phase]]
        name = "full"
        lasts = "{lasts}s""#
    );
    let mut scenario = parse_for(&text, Run::Fluid).ok()?;
    let mut draw = Draw(Stream::new(1, "days"));
    let mut governed = governed(&mut draw, &mut scenario, false);
    if gives_up {
        for (name, service) in &mut governed.parameters.services {
            service.degradable = Degradable {
                stale: true,
                brownout: true,
                read_only: true,
            };
            let some = GivesUp {
                stale: 0.2,
                optional: 0.3,
                writes: 0.1,
            };
            governed.gives_up.insert(name.clone(), some);
        }
    }
    Some(Case {
        seed: 1,
        governed,
        setting: Setting { retries: false },
        scenario,
    })
}

/// Objectives for each service, and who depends on whom; by request, whoever depends on another calls it.
fn governed(draw: &mut Draw, scenario: &mut Scenario, calls: bool) -> Governed {
    let names: Vec<String> = scenario.services.iter().map(|it| it.name.clone()).collect();
    let mut parameters = Parameters::default();
    let mut services = Vec::new();
    for (index, service) in scenario.services.iter_mut().enumerate() {
        let specs = objectives(draw, service);
        let mut depends_on = Vec::new();
        for (other, name) in names.iter().enumerate().skip(index + 1) {
            if draw.0.chance(0.4) {
                depends_on.push(name.clone());
                if calls {
                    service.calls.push(Call {
                        service: other,
                        share: percent(draw.even(Range(0.1, 0.4))),
                        timeout: millis(2.0 * service.objective.as_secs_f64()),
                        attempts: 1 + draw.0.below(2) as u8,
                    });
                }
            }
        }
        let of_service = ServiceParameters {
            tier: 1,
            mode: Mode::Enforce,
            objectives: specs
                .iter()
                .map(|it| (it.name.clone(), it.target))
                .collect(),
            classes: specs.iter().map(|it| it.classes.clone()).collect(),
            timed: specs
                .iter()
                .map(|it| matches!(it.sli, Sli::Latency { .. }))
                .collect(),
            depends_on,
            degradable: Degradable::default(),
        };
        parameters.services.insert(service.name.clone(), of_service);
        services.push((service.name.clone(), specs));
    }
    Governed {
        parameters,
        services,
        gives_up: BTreeMap::new(),
    }
}

/// What can be given up of each service: half of them have stored answers, half of them optional content, and a third of
/// their owners let them be made read-only.
fn give_up(draw: &mut Draw, governed: &mut Governed) {
    for (name, service) in &mut governed.parameters.services {
        let mut share = |chance, range| {
            let (is, share) = (draw.0.chance(chance), draw.even(range));
            if is { share } else { 0.0 }
        };
        let gives_up = GivesUp {
            stale: share(0.5, Range(0.05, 0.6)),
            optional: share(0.5, Range(0.1, 0.6)),
            writes: share(1.0, Range(0.02, 0.3)),
        };
        service.degradable = Degradable {
            stale: gives_up.stale > 0.0,
            brownout: gives_up.optional > 0.0,
            read_only: draw.0.chance(0.33),
        };
        governed.gives_up.insert(name.clone(), gives_up);
    }
}

/// One for latency; often one for availability; sometimes one for what counts most.
fn objectives(draw: &mut Draw, service: &ScenarioService) -> Vec<ObjectiveSpec> {
    let mut objective = |name: &str, sli, classes| {
        let place = draw.0.below(TARGETS.len() as u32) as usize;
        let (part, whole) = TARGETS.get(place).copied().unwrap_or((99, 100));
        ObjectiveSpec {
            name: name.to_owned(),
            sli,
            target: Ratio::of(part, whole).unwrap_or(Ratio::ONE),
            period: Period::Rolling(PERIOD),
            classes,
            routes: Vec::new(),
        }
    };
    let below = service.objective;
    let mut all = vec![
        objective("latency", Sli::Latency { below }, Vec::new()),
        objective("availability", Sli::Availability, Vec::new()),
        objective("critical", Sli::Latency { below }, vec![Class::Critical]),
    ];
    if draw.0.chance(0.8) {
        all.pop();
    }
    if draw.0.chance(0.5) {
        all.remove(1);
    }
    all
}
