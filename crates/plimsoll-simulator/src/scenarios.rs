//! The 52 scenarios that every limiter and admission has to pass, and two more for tenants and route groups.
//!
//! Source: the comparison of eleven limiters that this one was chosen by. Where it is terse, values were chosen
//! that give its figures; the comments say which. As usual: 16 workers of 20 ms, exponential (800/s), an
//! objective of 250 ms, a limit of 20 to start with. Phases that stand for a steady state last 20 s; those in
//! which more than 5 s are not counted last 30 s or more.

use crate::random::Spread::{Bimodal, Exponential, Lognormal};
use crate::scenario::{Flood, Load, Phase, Scenario};
use crate::service::Service;

/// Seconds that are not counted where a dependency is slow or calls hang: proof takes time.
const WARM_UP_PROOF: u32 = 12;
/// Seconds that are not counted under 100 requests per second: evidence takes time.
const WARM_UP_RARE: u32 = 20;

/// The usual service with another number of workers.
const fn pool(workers: u32) -> Service {
    Service::pool(workers, 20.0, Exponential)
}

/// 16 workers with the usual coefficient of variation of what is skewed.
const fn skewed(workers: u32) -> Service {
    Service::pool(workers, 20.0, Lognormal(1.5))
}

/// The service whose dependency matters: four workers of 5 ms carry the usual 800/s.
const fn calling(dependency: f64) -> Service {
    Service::pool(4, 5.0, Exponential).calling(dependency)
}

fn phase(seconds: u32, load: f64, service: Service) -> Phase {
    Phase {
        seconds,
        load: Load::Steady(load),
        service,
        healthy: false,
    }
}

fn healthy(seconds: u32, load: f64, service: Service) -> Phase {
    Phase {
        healthy: true,
        ..phase(seconds, load, service)
    }
}

/// All 52, in the order of their source.
pub fn all() -> Vec<Scenario> {
    let mut all = starts();
    all.extend(steps());
    all.extend(hours());
    all.extend(patterns());
    all.extend(dependencies());
    all.extend(faults());
    all.extend(capacities());
    all.extend(interference());
    all.extend(sizes());
    all.extend(steady());
    all.extend(priorities());
    all
}

/// The limit starts far from where it has to be.
fn starts() -> Vec<Scenario> {
    let start = |(name, limit)| {
        let phases = [16, 8, 24].map(|workers| phase(20, 2.0, pool(workers)));
        Scenario::new(name, phases.to_vec()).start(limit)
    };
    let limits = [
        ("init_1", 1),
        ("init_2", 2),
        ("init_5", 5),
        ("init_20", 20),
        ("init_50", 50),
        ("init_1000", 1_000),
    ];
    limits.map(start).to_vec()
}

/// Load steps up to ten times the capacity and back.
fn steps() -> Vec<Scenario> {
    let steps = |name, service| {
        let phases = vec![
            healthy(20, 0.3, service),
            phase(20, 3.0, service),
            healthy(20, 0.6, service),
            phase(20, 10.0, service),
            healthy(20, 0.8, service),
        ];
        Scenario::new(name, phases)
    };
    vec![
        steps("steps_exp", pool(16)),
        steps("steps_logn", skewed(16)),
        // Both modes of one length each: with an exponential in each, higher limits than the source's would do.
        steps("steps_bimodal", Service::pool(32, 20.0, Bimodal)).objective(300),
        steps("steps_tight", pool(16)).objective(100),
    ]
}

/// Modest overload for 25 minutes: what ratchets shows here and nowhere else.
fn hours() -> Vec<Scenario> {
    let hour = |name, load, service| Scenario::new(name, vec![phase(1_500, load, service)]).long();
    vec![
        hour("hour_1.1", 1.1, pool(16)),
        hour("hour_1.2_logn", 1.2, skewed(16)),
        hour("hour_1.3_tight", 1.3, pool(16)).objective(100),
        hour("hour_1.15_usl", 1.15, Service::shared(0.000_6)),
    ]
}

/// Load that does not stand still.
fn patterns() -> Vec<Scenario> {
    let bursts = |seconds, base, peak, lasts, every| Phase {
        load: Load::Bursts {
            base,
            peak,
            lasts,
            every,
        },
        ..phase(seconds, 0.0, pool(16))
    };
    let ramp = |from, to| Phase {
        load: Load::Ramp { from, to },
        ..phase(60, 0.0, pool(16))
    };
    vec![
        Scenario::new("bursts", vec![bursts(100, 0.7, 5.0, 5_000, 20_000)]),
        Scenario::new("microbursts", vec![bursts(100, 0.6, 4.0, 200, 5_000)]),
        Scenario::new("ramp", vec![ramp(0.3, 3.0), ramp(3.0, 0.3)]),
        Scenario::new(
            "lull",
            vec![
                phase(20, 2.0, pool(16)),
                healthy(30, 0.1, pool(16)),
                phase(20, 2.0, pool(16)),
            ],
        ),
    ]
}

/// A dependency is slow: latency that the service's concurrency has not caused.
fn dependencies() -> Vec<Scenario> {
    let around = |name, load: f64, slow: Service| {
        let usual = Phase {
            healthy: load < 1.0,
            ..phase(30, load, calling(30.0))
        };
        Scenario::new(name, vec![usual, phase(30, load, slow), usual]).warm_up(WARM_UP_PROOF)
    };
    let holding = |dependency| {
        Service::pool(32, 5.0, Exponential)
            .calling(dependency)
            .holding()
    };
    let mut slow = around("dep_slow", 0.8, calling(120.0));
    for phase in &mut slow.phases {
        phase.healthy = true;
    }
    vec![
        slow,
        around("dep_slow_over", 1.5, calling(120.0)),
        around("dep_part", 0.8, calling(30.0).partly(0.3, 600.0)),
        around("dep_part_over", 1.5, calling(30.0).partly(0.3, 600.0)),
        // A fifth of the calls is still in time: what is refused then is not held against anyone.
        Scenario::new(
            "dep_infeasible",
            vec![
                healthy(30, 0.8, calling(30.0)),
                phase(30, 0.8, calling(400.0)),
                healthy(30, 0.8, calling(30.0)),
            ],
        )
        .warm_up(WARM_UP_PROOF),
        // 0.8 of the 1280/s that it carries while the dependency takes 20 ms; 493/s are left at 60 ms.
        Scenario::new(
            "dep_holding",
            vec![
                healthy(30, 0.8, holding(20.0)),
                phase(30, 0.8, holding(60.0)),
                healthy(30, 0.8, holding(20.0)),
            ],
        )
        .warm_up(WARM_UP_PROOF),
    ]
}

/// Stalls, hangs, fast failures, pauses, retries.
fn faults() -> Vec<Scenario> {
    let mut retries = Scenario::new(
        "retry_storm",
        vec![
            healthy(20, 0.85, pool(16)),
            phase(5, 3.0, pool(16)),
            phase(30, 0.85, pool(16)),
        ],
    );
    retries.retries = 2;
    vec![
        Scenario::new(
            "stall",
            vec![
                healthy(20, 0.8, pool(16)),
                phase(15, 0.8, pool(16).stalled()),
                healthy(30, 0.8, pool(16)),
            ],
        ),
        Scenario::new(
            "hang_30",
            vec![
                healthy(30, 0.8, pool(16)),
                phase(30, 0.8, pool(16).hanging(0.3)),
                healthy(30, 0.8, pool(16)),
            ],
        )
        .warm_up(WARM_UP_PROOF),
        Scenario::new(
            "hang_15_over",
            vec![
                phase(30, 1.8, pool(16)),
                phase(30, 1.8, pool(16).hanging(0.15)),
                phase(30, 1.8, pool(16)),
            ],
        )
        .warm_up(WARM_UP_PROOF),
        Scenario::new(
            "fail_50",
            vec![
                phase(20, 1.5, pool(16)),
                phase(20, 1.5, pool(16).failing(0.5)),
                phase(20, 1.5, pool(16)),
            ],
        ),
        Scenario::new(
            "fail_100",
            vec![
                phase(20, 1.5, pool(16)),
                phase(20, 1.5, pool(16).failing(1.0)),
                phase(20, 1.5, pool(16)),
            ],
        ),
        Scenario::new(
            "pauses",
            vec![
                phase(40, 0.7, pool(16).pausing()),
                phase(40, 1.5, pool(16).pausing()),
            ],
        ),
        retries,
    ]
}

/// The service's capacity moves.
fn capacities() -> Vec<Scenario> {
    let workers = |load, workers: &[u32], service: fn(u32) -> Service| -> Vec<Phase> {
        let part = |n: &u32| phase(20, load, service(*n));
        workers.iter().map(part).collect()
    };
    let times = [20.0, 40.0, 10.0, 20.0].map(|mean| {
        let service = Service::pool(16, mean, Exponential);
        phase(20, 1.2, service)
    });
    let mut halves = workers(0.8, &[16, 8, 16], pool);
    for phase in halves.iter_mut().step_by(2) {
        phase.healthy = true;
    }
    vec![
        Scenario::new("capacity_over", workers(1.5, &[16, 8, 16, 32], pool)),
        Scenario::new("capacity_halves", halves),
        Scenario::new("capacity_tight", workers(1.5, &[16, 8, 16], pool)).objective(100),
        Scenario::new("capacity_logn", workers(1.5, &[16, 6, 20], skewed)),
        Scenario::new("service_time", times.to_vec()),
    ]
}

/// Servers whose work interferes: too much concurrency costs throughput.
fn interference() -> Vec<Scenario> {
    let usual = Service::shared(0.000_6);
    vec![
        Scenario::new(
            "usl_steps",
            vec![
                healthy(20, 0.6, usual),
                phase(20, 2.0, usual),
                healthy(20, 0.6, usual),
                phase(20, 4.0, usual),
            ],
        ),
        Scenario::new(
            "usl_knee_moves",
            [0.000_6, 0.002_5, 0.000_15]
                .map(|beta| phase(20, 1.6, Service::shared(beta)))
                .to_vec(),
        ),
        Scenario::new(
            "usl_start_1000",
            vec![phase(30, 1.5, usual), phase(30, 3.0, usual)],
        )
        .start(1_000),
        Scenario::new("usl_marginal_1000", vec![phase(60, 1.05, usual)]).start(1_000),
    ]
}

/// Small and large services.
fn sizes() -> Vec<Scenario> {
    // Two workers of 50 ms: the 40 requests per second of the source.
    let rare = |workers| Service::pool(workers, 50.0, Exponential);
    let large = |workers| Service::pool(workers, 50.0, Exponential);
    let one = Service::pool(1, 1.5, Exponential);
    vec![
        Scenario::new(
            "low_rate",
            [2, 1, 4].map(|n| phase(60, 2.0, rare(n))).to_vec(),
        )
        .objective(500)
        .warm_up(WARM_UP_RARE),
        Scenario::new(
            "low_rate_steps",
            vec![
                healthy(60, 0.5, rare(2)),
                phase(60, 3.0, rare(2)),
                healthy(60, 0.6, rare(2)),
            ],
        )
        .objective(500)
        .warm_up(WARM_UP_RARE),
        Scenario::new(
            "one_thread",
            vec![
                healthy(20, 0.5, one),
                phase(20, 2.0, one),
                healthy(20, 0.5, one),
            ],
        )
        .objective(50),
        Scenario::new(
            "large_halves",
            [100, 50, 100].map(|n| phase(20, 1.5, large(n))).to_vec(),
        )
        .objective(500),
        Scenario::new("large_start_1", vec![healthy(40, 0.7, large(100))])
            .objective(500)
            .start(1),
    ]
}

/// Nothing is wrong: nothing must be refused.
fn steady() -> Vec<Scenario> {
    let steady = |name, load, service| Scenario::new(name, vec![healthy(130, load, service)]);
    vec![
        steady("steady_0.5", 0.5, pool(16)),
        steady("steady_0.8", 0.8, pool(16)),
        steady("steady_0.8_logn", 0.8, skewed(16)),
        steady("steady_0.7_bimodal", 0.7, Service::pool(32, 20.0, Bimodal)).objective(300),
        steady("steady_0.75_usl", 0.75, Service::shared(0.000_6)),
    ]
}

/// What matters goes first.
fn priorities() -> Vec<Scenario> {
    let mut critical = Scenario::new(
        "critical_40",
        vec![
            phase(20, 2.0, pool(16)),
            phase(20, 2.0, pool(8)),
            phase(20, 2.0, pool(16)),
        ],
    );
    critical.classes = [0.4, 0.4, 0.2];
    vec![
        Scenario::new(
            "priority",
            vec![
                healthy(20, 0.7, pool(16)),
                phase(20, 10.0, pool(16)),
                phase(20, 4.0, pool(16)),
                healthy(20, 0.7, pool(16)),
            ],
        ),
        critical,
    ]
}

/// One tenant sends ten times the capacity beside eight that send 30 % of it together.
pub fn flood() -> Scenario {
    let mut flood = Scenario::new("flood", vec![phase(60, 10.3, pool(16))]);
    // Nothing configured: one class. With classes a flood of critical requests goes before all others, as is meant.
    flood.classes = [0.0, 1.0, 0.0];
    flood.flood = Some(Flood {
        share: 10.0 / 10.3,
        others: 8,
    });
    flood
}

/// A tenth of the calls belongs to a route that takes three seconds, without holding a worker.
pub fn slow_route() -> Scenario {
    let mut slow = Scenario::new("slow_route", vec![healthy(120, 0.7, pool(16))]).warm_up(10);
    slow.slow_share = 0.1;
    slow.patience = 30_000;
    slow
}

/// A service becomes four times as slow, under a load that it could just carry before. Nothing is declared: the
/// objective is assumed from its usual latency, and is but two and a half times what it takes then.
pub fn quarter() -> Scenario {
    let pool = |mean| Service::pool(8, mean, Lognormal(0.0));
    let phases = vec![
        phase(20, 0.8, pool(5.0)),
        phase(20, 3.2, pool(20.0)),
        phase(20, 0.8, pool(5.0)),
    ];
    let mut quarter = Scenario::new("quarter", phases).objective(50);
    quarter.patience = 1_000;
    quarter
}

/// The scenario of this name.
pub fn named(name: &str) -> Option<Scenario> {
    let more = [flood(), slow_route(), quarter()];
    all()
        .into_iter()
        .chain(more)
        .find(|scenario| scenario.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_52_and_each_has_its_name() {
        let mut names: Vec<_> = all().iter().map(|scenario| scenario.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 52);
        assert!(named("flood").is_some());
        assert!(named("nothing").is_none());
    }

    #[test]
    fn more_is_counted_of_each_phase_than_is_left_out() {
        for scenario in all() {
            for phase in &scenario.phases {
                let burst = phase.seconds == 5;
                assert!(
                    burst || phase.seconds > scenario.warm_up,
                    "{}",
                    scenario.name
                );
            }
        }
    }
}
