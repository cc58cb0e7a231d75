//! The oracles: a new sweep finds what the table says, and closed forms agree.
//!
//! Method: sweeps of the simulator itself, each phase alone under fixed limits.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use plimsoll_simulator::oracle::{self, Oracle};
use plimsoll_simulator::{Load, Phase, Scenario, scenarios};

/// Every phase of every scenario, each with what its oracle depends on.
fn phases() -> Vec<(Scenario, usize)> {
    let all = scenarios::all().into_iter();
    all.flat_map(|scenario| {
        let count = scenario.phases.len();
        (0..count).map(move |phase| (scenario.clone(), phase))
    })
    .collect()
}

/// Phases that are alike have one oracle.
fn alike(one: &(Scenario, usize), other: &(Scenario, usize)) -> bool {
    let key = |(scenario, phase): &(Scenario, usize)| {
        let Phase { load, service, .. } = scenario.phases[*phase];
        let more = (scenario.objective, scenario.classes, scenario.retries);
        (load, service, scenario.nominal(), more)
    };
    key(one) == key(other)
}

#[test]
#[ignore = "takes minutes; writes the table if PLIMSOLL_WRITE_ORACLES is set"]
fn the_oracles_are_swept_anew() {
    let all = phases();
    let mut distinct: Vec<&(Scenario, usize)> = Vec::new();
    for phase in &all {
        if !distinct.iter().any(|known| alike(known, phase)) {
            distinct.push(phase);
        }
    }
    let next = AtomicUsize::new(0);
    let found: Mutex<Vec<(usize, Oracle)>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some((scenario, phase)) =
                    distinct.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let oracle = oracle::sweep(scenario, &scenario.phases[*phase]);
                    println!("{} {phase} {oracle:?}", scenario.name);
                    let place = distinct
                        .iter()
                        .position(|it| alike(it, &(scenario.clone(), *phase)));
                    found.lock().unwrap().push((place.unwrap(), oracle));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    let rows: Vec<_> = all
        .iter()
        .map(|phase| {
            let place = distinct.iter().position(|it| alike(it, phase)).unwrap();
            let (_, oracle) = found.iter().find(|(at, _)| *at == place).unwrap();
            (phase.0.name.to_owned(), phase.1, *oracle)
        })
        .collect();
    let text = oracle::render(&rows);
    if std::env::var_os("PLIMSOLL_WRITE_ORACLES").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/oracle/table.rs");
        std::fs::write(path, text).unwrap();
    } else {
        println!("{text}");
    }
}

#[track_caller]
fn check(name: &str, phase: usize, good: f64) {
    let scenario = scenarios::named(name).unwrap();
    let known = oracle::known(&scenario, phase).unwrap();
    let close = |one: f64, other: f64| (one / other - 1.0).abs() < 0.05;
    assert!(close(known.good, good), "{name} {phase}: {known:?}");
    let of_phase = &scenario.phases[phase];
    let again = oracle::measure(&scenario, of_phase, known.limit, 20_000.0, 99);
    assert!(close(again, known.good), "{name} {phase}: {again}");
}

/// What the source of the scenarios says.
#[test]
fn oracles_are_those_of_the_source_of_the_scenarios() {
    check("init_20", 0, 801.0);
    check("init_20", 1, 405.0);
    check("init_20", 2, 1_219.0);
    check("steps_bimodal", 1, 1_604.0);
    check("steps_tight", 1, 799.0);
    check("hour_1.15_usl", 0, 854.0);
    check("dep_slow", 0, 644.0);
    check("dep_slow", 1, 611.0);
    check("dep_slow_over", 1, 734.0);
    check("dep_part", 1, 443.0);
    check("dep_part_over", 1, 552.0);
    check("dep_infeasible", 1, 128.0);
    check("dep_holding", 1, 493.0);
    check("hang_30", 1, 448.0);
    check("hang_15_over", 1, 805.0);
    check("retry_storm", 2, 682.0);
    check("capacity_logn", 1, 308.0);
    check("usl_steps", 3, 851.0);
    check("usl_knee_moves", 1, 466.0);
    check("usl_knee_moves", 2, 1_371.0);
}

/// Where everything is answered in time: the smaller of load and capacity, less what hangs or fails.
#[test]
fn oracles_are_the_closed_forms_where_latency_takes_nothing() {
    for (scenario, phase) in phases() {
        let Phase { load, service, .. } = scenario.phases[phase];
        let known = oracle::known(&scenario, phase).unwrap();
        let Load::Steady(load) = load else { continue };
        if service.stalled || service.pauses || service.dependency.is_some_and(|it| it.mean > 60.0)
        {
            continue;
        }
        let slow = service
            .dependency
            .and_then(|it| it.slow)
            .map_or(0.0, |(share, _)| share);
        let through = load * scenario.nominal() * (1.0 - service.hanging) * (1.0 - service.failing);
        let closed = through.min(service.capacity()) * (1.0 - slow);
        assert!(
            known.good <= 1.03 * closed && known.good >= 0.94 * closed,
            "{} {phase}: {known:?}, closed form {closed:.1}",
            scenario.name
        );
    }
}
