//! Makes a scenario that fails smaller, while it still fails.
//!
//! Source: A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input" (2002): delta debugging,
//! here with steps that a reader of scenarios would try. Each step that still fails is kept; it ends when a whole
//! round keeps none, or after so many runs.

use std::time::Duration;

use plimsoll_config::scenario::{
    ClassShares, FaultKind, PhaseRate, Scenario, Shape, Source, TimeSpread, Work,
};

/// Makes it smaller. `still_fails` runs a scenario; it is asked `runs_max` times at most.
pub fn shrink(
    scenario: Scenario,
    runs_max: usize,
    mut still_fails: impl FnMut(&Scenario) -> bool,
) -> Scenario {
    let mut least = scenario;
    let mut runs = 0;
    loop {
        let mut kept = false;
        for step in 0.. {
            // Steps are counted anew for each scenario: where one was kept, the next is of what is left.
            let Some(smaller) = steps(&least).into_iter().nth(step) else {
                break;
            };
            if runs >= runs_max {
                return least;
            }
            runs += 1;
            if still_fails(&smaller) {
                (least, kept) = (smaller, true);
            }
        }
        if !kept {
            return least;
        }
    }
}

/// All scenarios that are one step smaller: the largest steps come first.
fn steps(scenario: &Scenario) -> Vec<Scenario> {
    let mut smaller = Vec::new();
    let mut step = |change: &dyn Fn(&mut Scenario)| {
        let mut changed = scenario.clone();
        change(&mut changed);
        if changed != *scenario {
            smaller.push(changed);
        }
    };
    for service in 0..scenario.services.len() {
        if scenario.services.len() > 1 {
            step(&|it| remove_service(it, service));
        }
    }
    for workload in 0..scenario.workloads.len() {
        if scenario.workloads.len() > 1 {
            step(&|it| remove_workload(it, workload));
        }
    }
    for fault in 0..scenario.faults.len() {
        step(&|it| {
            it.faults.remove(fault);
        });
    }
    step(&|it| it.gateways = 1);
    step(&|it| it.threads = 1);
    step(&|it| {
        for phase in &mut it.phases {
            phase.rates.iter_mut().for_each(even);
        }
    });
    step(&as_usual);
    for workload in 0..scenario.workloads.len() {
        let mut of = |change: &dyn Fn(&mut plimsoll_config::scenario::Workload)| {
            step(&|it| it.workloads.get_mut(workload).into_iter().for_each(change));
        };
        of(&|it| it.retry.attempts = 1);
        of(&|it| {
            if let Source::Users(population) = &mut it.source {
                population.leaves = 0.0;
            }
        });
        of(&|it| (it.tenants, it.zipf) = (1, 0.0));
        of(&|it| {
            it.classes = ClassShares {
                critical: 0.0,
                sheddable: 0.0,
            };
        });
        of(&|it| it.classes.sheddable = 0.0);
    }
    for service in 0..scenario.services.len() {
        let mut of = |change: &dyn Fn(&mut plimsoll_config::scenario::ScenarioService)| {
            step(&|it| it.services.get_mut(service).into_iter().for_each(change));
        };
        of(&|it| {
            if let Work::Workers { spread, .. } = &mut it.work {
                *spread = TimeSpread::Constant;
            }
        });
        step(&|it| halve_service(it, service));
    }
    for fault in 0..scenario.faults.len() {
        let mut of = |change: &dyn Fn(&mut plimsoll_config::scenario::Fault)| {
            step(&|it| it.faults.get_mut(fault).into_iter().for_each(change));
        };
        of(&|it| it.lasts = half(it.lasts));
        of(&|it| it.endpoints = (it.endpoints / 2).max(1));
        of(&|it| match &mut it.kind {
            FaultKind::Slow(times) => *times = (*times / 2.0).max(1.5),
            FaultKind::Errors(share) if *share > 0.02 => *share = hundredths(*share / 2.0),
            // Half of what is missing is there: with all of it there would be no fault.
            FaultKind::Capacity(share) if *share < 0.9 => {
                *share = hundredths(f64::midpoint(*share, 1.0));
            }
            FaultKind::Errors(_)
            | FaultKind::Capacity(_)
            | FaultKind::Crash
            | FaultKind::Freeze
            | FaultKind::Cold
            | FaultKind::Loss(_)
            | FaultKind::Partition(_) => {}
        });
    }
    step(&|it| it.gateways = (it.gateways / 2).max(1));
    step(&|it| scale_rates(it, 0.5));
    smaller
}

fn remove_service(scenario: &mut Scenario, service: usize) {
    let of = |scenario: &Scenario| {
        let mut workloads = scenario.workloads.iter();
        workloads.position(|workload| workload.service == service)
    };
    while let Some(workload) = of(scenario) {
        remove_workload(scenario, workload);
    }
    scenario.faults.retain(|fault| fault.service != service);
    scenario.services.remove(service);
    let positions = scenario.workloads.iter_mut().map(|it| &mut it.service);
    let positions = positions.chain(scenario.faults.iter_mut().map(|it| &mut it.service));
    for position in positions {
        *position -= usize::from(*position > service);
    }
}

fn remove_workload(scenario: &mut Scenario, workload: usize) {
    scenario.workloads.remove(workload);
    for phase in &mut scenario.phases {
        if workload < phase.rates.len() {
            phase.rates.remove(workload);
            phase.users.remove(workload);
        }
    }
}

/// Bursts, waves and ramps become even rates of the same mean; of a flash crowd what was there before is left.
fn even(rate: &mut PhaseRate) {
    let mean = match rate.burst() {
        Some(burst) => {
            let share = burst.lasts.as_secs_f64() / burst.every.as_secs_f64();
            rate.to + share * (burst.peak - rate.to)
        }
        None => (rate.from + rate.to) / 2.0,
    };
    let mean = libm::round(mean);
    *rate = PhaseRate::even(mean);
}

/// Every phase has the load of the first.
fn as_usual(scenario: &mut Scenario) {
    let Some(first) = scenario.phases.first().cloned() else {
        return;
    };
    for phase in &mut scenario.phases {
        phase.rates.clone_from(&first.rates);
        phase.users.clone_from(&first.users);
    }
}

/// Half of the endpoints, and half of the load.
fn halve_service(scenario: &mut Scenario, service: usize) {
    let Some(known) = scenario.services.get_mut(service) else {
        return;
    };
    if known.endpoints < 2 {
        return;
    }
    let left = known.endpoints / 2;
    let share = left as f64 / known.endpoints as f64;
    known.endpoints = left;
    for fault in scenario
        .faults
        .iter_mut()
        .filter(|it| it.service == service)
    {
        fault.endpoints = fault.endpoints.min(left);
    }
    let mine = |workload: usize, scenario: &Scenario| {
        let workload = scenario.workloads.get(workload);
        workload.is_some_and(|it| it.service == service)
    };
    for workload in 0..scenario.workloads.len() {
        if mine(workload, scenario) {
            scale_workload(scenario, workload, share);
        }
    }
}

fn scale_rates(scenario: &mut Scenario, by: f64) {
    for workload in 0..scenario.workloads.len() {
        scale_workload(scenario, workload, by);
    }
}

fn scale_workload(scenario: &mut Scenario, workload: usize, by: f64) {
    let scale = |rate: &mut f64| *rate = libm::ceil(*rate * by);
    let fewer = |users: &mut u32| *users = libm::ceil(f64::from(*users) * by) as u32;
    match (scenario.workloads.get_mut(workload)).map(|it| &mut it.source) {
        Some(Source::Rate(rate)) => scale(rate),
        Some(Source::Users(population)) => fewer(&mut population.users),
        Some(Source::Replay(_)) | None => (),
    }
    for phase in &mut scenario.phases {
        if let Some(rate) = phase.rates.get_mut(workload) {
            scale(&mut rate.from);
            scale(&mut rate.to);
            match &mut rate.shape {
                Some(Shape::Bursts(burst)) => scale(&mut burst.peak),
                Some(Shape::Crowd(crowd)) => scale(&mut crowd.peak),
                Some(Shape::Wave(_)) | None => (),
            }
        }
        phase.users.get_mut(workload).into_iter().for_each(fewer);
    }
}

/// As a person would write it.
fn hundredths(share: f64) -> f64 {
    libm::round(share * 100.0) / 100.0
}

/// Half of it, in whole seconds.
fn half(time: Duration) -> Duration {
    Duration::from_secs((time.as_secs() / 2).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_gets_smaller_and_stays_one() {
        let text = "[service.a]\nendpoints = 1\nworkers = 1\ntime = \"1ms\"\n[workload.w]\nrate = \"1/s\"\n\
                    [[phase]]\nname = \"p\"\nlasts = \"9s\"\n\
                    [[fault]]\nkind = \"errors\"\nshare = \"30%\"\nat = \"0s\"\nlasts = \"9s\"\n\
                    [[fault]]\nkind = \"capacity\"\nshare = \"30%\"\nat = \"0s\"\nlasts = \"9s\"\n";
        let scenario = plimsoll_config::scenario::parse(text).unwrap();
        // Fails as long as both are there.
        let least = shrink(scenario, 1_000, |it| it.faults.len() == 2);
        let kinds: Vec<FaultKind> = least.faults.iter().map(|it| it.kind).collect();
        let [FaultKind::Errors(errors), FaultKind::Capacity(left)] = kinds[..] else {
            panic!("{kinds:?}");
        };
        assert!((0.01..0.03).contains(&errors), "{errors}");
        assert!((0.9..1.0).contains(&left), "{left}");
    }
}
