//! Goal: the fluid run says what the per-request run says, as far as it can; how far is said here, phase by phase.
//!
//! Method: the scenarios that are shipped, by both.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Run, Scenario, parse, parse_for};
use plimsoll_core::Ratio;
use plimsoll_lifecycle::GuardParameters;
use plimsoll_measure::Cause;
use plimsoll_policy::Method;
use plimsoll_simulator::fleet::{Cell, Ledger, Protection, Simulation};
use plimsoll_simulator::fluid::Fluid;

use crate::fleet::{off, protected};

const MONTH: Duration = Duration::from_secs(28 * 86_400);

fn shipped(name: &str) -> Scenario {
    let path = format!("{}/../../scenarios/{name}.toml", env!("CARGO_MANIFEST_DIR"));
    parse(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// Plimsoll's, with the scenario's objectives; without it, a proxy that takes turns.
fn protections(scenario: &Scenario, with: bool) -> Vec<Protection> {
    let services = scenario.services.iter();
    let protections = services.map(|service| {
        let mut protection = if with { protected() } else { off() };
        if !with {
            protection.method = Method::RoundRobin;
        }
        let mut guard = GuardParameters::clone(&protection.guard);
        guard.admission.objective = Some(service.objective);
        protection.guard = Arc::new(guard);
        protection
    });
    protections.collect()
}

fn fluid(scenario: &Scenario, with: bool) -> Fluid {
    let objectives: Vec<_> = scenario
        .services
        .iter()
        .map(|_| (Ratio::try_from(0.99).unwrap(), MONTH))
        .collect();
    Fluid::new(scenario, &protections(scenario, with), &objectives).unwrap()
}

fn by_fluid(scenario: &Scenario, with: bool) -> Ledger {
    let mut fluid = fluid(scenario, with);
    while fluid.advance().is_some() {}
    fluid.ledger()
}

fn by_request(scenario: &Scenario, with: bool) -> Ledger {
    by_request_of(scenario, with, 1)
}

fn by_request_of(scenario: &Scenario, with: bool, seed: u64) -> Ledger {
    let mut simulation = Simulation::new(scenario, &protections(scenario, with), seed);
    while simulation.advance(Duration::from_secs(1)) {}
    simulation.finish()
}

fn sum(counts: &[u64]) -> f64 {
    counts.iter().sum::<u64>() as f64
}

/// Shares of users with a good answer, and of requests that were refused, in percent; attempts for each user.
fn figures(cell: &Cell) -> [f64; 3] {
    let users = sum(&cell.users);
    [
        100.0 * sum(&cell.good) / users,
        100.0 * sum(&cell.refused) / sum(&cell.requests),
        cell.attempts as f64 / users,
    ]
}

/// How far the share of users with a good answer may be off, in percentage points, and attempts for each user, in
/// attempts. What is more has a reason in `EXCEPTIONS`.
const GOOD_OFF: f64 = 3.0;
const ATTEMPTS_OFF: f64 = 0.1;
/// Scenario, phase, workload, with Plimsoll or without; how far good and attempts may be off there.
type Exception = (&'static str, &'static str, &'static str, bool, f64, f64);
#[rustfmt::skip]
const EXCEPTIONS: [Exception; 9] = [
    // Where work takes most of the objective, a wait more or less decides.
    ("demo", "capacity to 40%", "all", true, 14.0, ATTEMPTS_OFF),
    // Work that began while it was slow goes on as slowly, and the limit is found anew.
    ("demo", "recovery 4", "all", true, 18.0, 0.2),
    ("demo", "recovery 4", "all", false, 8.0, ATTEMPTS_OFF),
    // The tenants that ask for little are in time, if only just: waits are close to the objective.
    ("noisy-neighbour", "flood", "tenants", true, 8.0, ATTEMPTS_OFF),
    // A second of ten times the load is over before a new limit is found.
    ("thundering-herd", "herd", "devices", true, 9.0, ATTEMPTS_OFF),
    // A new limit is not found at once.
    ("regional-failover", "moving over", "away", true, 6.0, ATTEMPTS_OFF),
    ("regional-failover", "moving over", "away", false, 6.0, ATTEMPTS_OFF),
    // Three gateways do not find the limit that one would: `docs/concepts/scale.md`.
    ("regional-failover", "one left", "away", true, 25.0, ATTEMPTS_OFF),
    ("regional-failover", "one left", "home", true, 25.0, ATTEMPTS_OFF),
];
const DEMO: &str = "demo";
const SHIPPED: [&str; 9] = [
    DEMO,
    "bad-deploy",
    "cold-cache",
    "flash-sale",
    "regional-failover",
    "retry-storm",
    "noisy-neighbour",
    "slow-dependency",
    "thundering-herd",
];

/// With `PLIMSOLL_WRITE_REFERENCE=1` the table is written to the docs.
#[test]
fn the_fluid_run_says_what_the_run_by_request_says() {
    let mut table = String::from(INTRODUCTION);
    let mut wrong = Vec::new();
    for name in SHIPPED {
        let scenario = shipped(name);
        for with in [true, false] {
            let fluid = rows(name, &scenario, &[by_fluid(&scenario, with)]);
            let seeds = if name == DEMO { 3 } else { 1 };
            let runs: Vec<Ledger> = (1..=seeds)
                .map(|seed| by_request_of(&scenario, with, seed))
                .collect();
            let requests = rows(name, &scenario, &runs);
            for ((phase, workload, fluid), (.., requests)) in fluid.iter().zip(&requests) {
                // Nobody wants anything of this workload in this phase.
                if sum(&fluid.users) + sum(&requests.users) == 0.0 {
                    continue;
                }
                let place = (name, phase.as_str(), workload.as_str(), with);
                table.push_str(&row(place, fluid, requests));
                let known = |it: &&Exception| (it.0, it.1, it.2, it.3) == place;
                let exception = EXCEPTIONS.iter().find(known);
                let may = exception.map_or((GOOD_OFF, ATTEMPTS_OFF), |it| (it.4, it.5));
                let (fluid, requests) = (figures(fluid), figures(requests));
                let attempts_off = (fluid[2] - requests[2]).abs();
                let good_off = (fluid[0] - requests[0]).abs();
                // Where only one of them has users, it is no number.
                let is_number = (good_off + attempts_off).is_finite();
                if !is_number || good_off > may.0 || attempts_off > may.1 {
                    wrong.push(format!("{place:?}: {fluid:?}, {requests:?}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    if std::env::var_os("PLIMSOLL_WRITE_REFERENCE").is_some() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/fluid-cross-check.md"
        );
        std::fs::write(path, table).unwrap();
    }
}

const INTRODUCTION: &str = "\
# The fluid run against the run by request

`plimsoll simulate SCENARIO --fluid` computes what is expected of each second, in place of single requests. Here are the
shipped scenarios without `calls` by both, one seed of the run by request; in each pair of columns the fluid run comes first. Without policies, a proxy
takes turns. The phases of `demo` last seconds: its workloads are one here, over three seeds.

| scenario | phase | workload | policies | good, % | refused, % | attempts | P50, ms | P99, ms |
|---|---|---|---|---|---|---|---|---|
";

/// Phase, workload and what became of it, over all runs. The demo has a dozen workloads that are alike, in phases of seconds: there all
/// are one.
fn rows(name: &str, scenario: &Scenario, runs: &[Ledger]) -> Vec<(String, String, Cell)> {
    let mut rows: Vec<(String, String, Cell)> = Vec::new();
    for (p, phase) in scenario.phases.iter().enumerate() {
        for (w, workload) in scenario.workloads.iter().enumerate() {
            let mut cell = Cell::default();
            for run in runs {
                cell.merge(run.cell(p, w).unwrap());
            }
            match rows.last_mut() {
                Some((last, _, all)) if name == DEMO && *last == phase.name => all.merge(&cell),
                _ => {
                    let workload = if name == DEMO { "all" } else { &workload.name };
                    rows.push((phase.name.clone(), workload.to_owned(), cell));
                }
            }
        }
    }
    rows
}

fn row(place: (&str, &str, &str, bool), fluid: &Cell, requests: &Cell) -> String {
    let pair = |of: &dyn Fn(&Cell) -> Option<f64>, digits: usize| {
        let text = |value: Option<f64>| value.map_or("-".to_owned(), |it| format!("{it:.digits$}"));
        format!("{} / {}", text(of(fluid)), text(of(requests)))
    };
    let quantile = |q| move |cell: &Cell| Some(cell.latencies.quantile(q)?.as_secs_f64() * 1e3);
    let (name, phase, workload, with) = place;
    format!(
        "| {name} | {phase} | {workload} | {} | {} | {} | {} | {} | {} |\n",
        if with { "plimsoll" } else { "none" },
        pair(&|cell| Some(figures(cell)[0]), 1),
        pair(&|cell| Some(figures(cell)[1]), 1),
        pair(&|cell| Some(figures(cell)[2]), 2),
        pair(&quantile(0.5), 0),
        pair(&quantile(0.99), 0),
    )
}

#[test]
fn what_is_refused_given_up_or_failed_adds_up() {
    for name in SHIPPED {
        let scenario = shipped(name);
        for with in [true, false] {
            for cell in by_fluid(&scenario, with).cells() {
                let (requests, causes) = (sum(&cell.requests), sum(&cell.causes));
                // Each count is rounded by itself.
                assert!(
                    (requests - causes).abs() <= 6.0,
                    "{name}: {requests}, {causes}"
                );
                assert!(sum(&cell.good) <= sum(&cell.users) + 3.0);
            }
        }
    }
}

#[test]
fn days_have_a_budget_and_pages_where_it_should() {
    let text = r#"
        [service.shop]
        endpoints = 4
        workers = 8
        time = "20ms"
        objective = "250ms"
        [workload.people]
        rate = "600/s"
        [[phase]]
        name = "days"
        lasts = "4d"
        rate = { people = { mean = "600/s", swing = "60%", period = "1d", peak_at = "14h" } }
        [[fault]]
        kind = "errors"
        share = "30%"
        at = "2d"
        lasts = "1h"
        "#;
    let scenario = parse_for(text, Run::Fluid).unwrap();
    let mut fluid = fluid(&scenario, true);
    let mut seconds = 0;
    while let Some(second) = fluid.advance() {
        assert_eq!(second.at, seconds);
        seconds += 1;
    }
    assert_eq!(seconds, 4 * 86_400);
    let judgement = &fluid.judgements()[0];
    let [alarm] = judgement.alarms() else {
        panic!("{:?}", judgement.alarms());
    };
    let fault = 2 * 86_400;
    assert!((fault..fault + 300).contains(&alarm.at), "{alarm:?}");
    // 30 % of an hour of 96, at a time of day with half of the mean rate, of a budget of 1 %.
    let left = judgement.points().last().unwrap().left.unwrap();
    assert!((0.855..0.865).contains(&left), "{left}");
}

#[test]
fn a_start_takes_as_long_as_by_request_and_is_as_slow() {
    let text = r#"
        [service.shop]
        endpoints = 4
        workers = 8
        time = "20ms"
        objective = "250ms"
        start = { takes = "5s", times = 6, warm = 1000 }
        [workload.people]
        rate = "800/s"
        patience = "1s"
        [[phase]]
        name = "before"
        lasts = "10s"
        [[phase]]
        name = "crash and start"
        lasts = "10s"
        [[phase]]
        name = "slow"
        lasts = "5s"
        [[phase]]
        name = "warm"
        lasts = "20s"
        [[fault]]
        kind = "crash"
        at = "10s"
        lasts = "5s"
        "#;
    let scenario = parse(text).unwrap();
    for with in [true, false] {
        let (fluid, requests) = (by_fluid(&scenario, with), by_request(&scenario, with));
        for phase in 0..4 {
            let of = |ledger: &Ledger| figures(ledger.cell(phase, 0).unwrap())[0];
            let [fluid, requests] = [of(&fluid), of(&requests)];
            let off = (fluid - requests).abs();
            assert!(off < 4.0, "{with}, phase {phase}: {fluid}, {requests}");
        }
    }
}

/// Users with a good answer by phase, in percent, by both runs: not more than `off` apart.
#[track_caller]
fn check_phases(text: &str, off: f64) {
    let scenario = parse(text).unwrap();
    for with in [true, false] {
        let (fluid, requests) = (by_fluid(&scenario, with), by_request(&scenario, with));
        for (place, phase) in scenario.phases.iter().enumerate() {
            let of = |ledger: &Ledger| {
                let cell = ledger.cell(place, 0).unwrap();
                let users = sum(&cell.users);
                (users, 100.0 * sum(&cell.good) / users)
            };
            let (fluid, requests) = (of(&fluid), of(&requests));
            let place = format!("{}, with: {with}: {fluid:?}, {requests:?}", phase.name);
            assert!((fluid.1 - requests.1).abs() <= off, "{place}");
            let users_off = (fluid.0 - requests.0).abs();
            let chance = 4.0 * requests.0.sqrt() + 1.0;
            assert!(users_off <= chance, "{place}");
        }
    }
}

const SERVICE: &str = "[service.s]\nendpoints = 4\nworkers = 10\ntime = \"10ms\"\n";

/// A fault of 20 s at `endpoints`, after 20 s at `rate`.
fn fault(rate: u32, faults: &[(&str, usize, usize)]) -> String {
    let mut text = format!(
        "[service.s]\nendpoints = 4\nworkers = 8\ntime = \"20ms\"\nobjective = \"300ms\"\n\
         [workload.w]\nrate = \"{rate}/s\"\npatience = \"3s\"\n\
         [[phase]]\nname = \"before\"\nlasts = \"20s\"\n[[phase]]\nname = \"bad\"\nlasts = \"20s\"\n"
    );
    for (kind, after, endpoints) in faults {
        text.push_str(&format!(
            "[[fault]]\n{kind}\nafter = {after}\nendpoints = {endpoints}\nat = \"20s\"\nlasts = \"20s\"\n"
        ));
    }
    text
}

const CRASH: &str = "kind = \"crash\"";
const FREEZE: &str = "kind = \"freeze\"";
const NO_WORKERS: &str = "kind = \"capacity\"\nshare = \"0%\"";

#[test]
fn an_outage_of_all_endpoints_fails_as_by_request_and_spends_the_budget() {
    for faults in [
        &[(CRASH, 0, 4)][..],
        &[(FREEZE, 0, 4)],
        &[(NO_WORKERS, 0, 4)],
        &[(NO_WORKERS, 0, 2), (CRASH, 2, 2)],
    ] {
        let scenario = parse(&fault(200, faults)).unwrap();
        for with in [true, false] {
            let share = |ledger: &Ledger, causes: &[Cause]| {
                let cell = ledger.cell(1, 0).unwrap();
                let of = causes.iter().map(|it| cell.causes[it.index()] as f64);
                of.sum::<f64>() / sum(&cell.requests)
            };
            let (fluid_run, requests) = (by_fluid(&scenario, with), by_request(&scenario, with));
            let connect = [Cause::Connect];
            // Whoever waits in vain is refused in the end.
            let refused = [Cause::Shed, Cause::QueueTimeout];
            let left = [Cause::ClientGone];
            for causes in [&connect[..], &refused, &left] {
                let shares = [&fluid_run, &requests].map(|ledger| share(ledger, causes));
                let off = (shares[0] - shares[1]).abs();
                assert!(
                    off <= 0.03,
                    "{faults:?}, with: {with}: {causes:?}, {shares:?}"
                );
            }
            let attempts = [&fluid_run, &requests].map(|it| figures(it.cell(1, 0).unwrap())[2]);
            assert!((attempts[0] - attempts[1]).abs() <= 0.03, "{attempts:?}");
            // What is not people who leave spends the budget: half of all requests, of 1 %.
            if share(&requests, &left) < 0.01 {
                let mut fluid = fluid(&scenario, with);
                while fluid.advance().is_some() {}
                let left = fluid.judgements()[0].points().last().unwrap().left;
                assert!(left.unwrap() < -40.0, "{left:?}");
            }
        }
    }
}

#[test]
fn endpoints_that_do_worse_than_others_are_held_out_up_to_a_half() {
    let errors = |share: u32| format!("kind = \"errors\"\nshare = \"{share}%\"");
    let slow = "kind = \"slow\"\ntimes = 5";
    for share in [5, 30, 100] {
        check_phases(&fault(700, &[(&errors(share), 0, 1)]), 1.0);
    }
    check_phases(&fault(700, &[(&errors(30), 0, 2)]), 3.0);
    check_phases(&fault(700, &[(&errors(30), 0, 3)]), 4.0);
    check_phases(&fault(700, &[(&errors(100), 0, 3)]), 3.0);
    check_phases(&fault(700, &[(&errors(30), 0, 4)]), 3.0);
    check_phases(&fault(1_300, &[(&errors(30), 0, 1)]), 4.0);
    check_phases(&fault(700, &[(slow, 0, 1)]), 1.0);
}

#[test]
fn phases_faults_and_thoughts_may_be_shorter_than_a_step() {
    check_phases(
        &format!(
            "{SERVICE}[workload.w]\nrate = \"500/s\"\npatience = \"300ms\"\n[[phase]]\nname = \"a\"\nlasts = \"10s\"\n\
             [[phase]]\nname = \"b\"\nlasts = \"1.55s\"\n[[phase]]\nname = \"c\"\nlasts = \"30ms\"\n\
             [[phase]]\nname = \"d\"\nlasts = \"5s\"\n"
        ),
        3.0,
    );
    let people = |more: &str| {
        format!(
            "[service.s]\nworkers = 40\ntime = \"10ms\"\n[workload.w]\nusers = 100\nthink = \"200ms\"\n\
             [[phase]]\nname = \"p\"\nlasts = \"1m\"\n{more}"
        )
    };
    let users = |ledger: &Ledger| sum(&ledger.cell(0, 0).unwrap().users);
    let crash = "[[fault]]\nkind = \"crash\"\nat = \"20s\"\nlasts = \"3s\"\n";
    let slow = "[[fault]]\nkind = \"slow\"\ntimes = 20\nat = \"20s\"\nlasts = \"10s\"\n";
    for more in ["", crash, slow] {
        let scenario = parse(&people(more)).unwrap();
        let (fluid, requests) = (
            users(&by_fluid(&scenario, false)),
            users(&by_request(&scenario, false)),
        );
        assert!(
            (0.97..1.03).contains(&(fluid / requests)),
            "{more}: {fluid}, {requests}"
        );
    }
    // In steps that are longer than a thought: each asks every 210 ms.
    let long = people("").replace("1m", "2h");
    let asked = users(&by_fluid(&parse(&long).unwrap(), false)) / 7_200.0;
    assert!((470.0..480.0).contains(&asked), "{asked}");
    // As are bursts.
    let bursts = "[service.s]\nworkers = 10\ntime = \"10ms\"\n[workload.w]\nrate = \"50/s\"\n\
                  [[phase]]\nname = \"p\"\nlasts = \"2h\"\n\
                  rate = { w = { to = \"50/s\", peak = \"250/s\", lasts = \"100ms\", every = \"1s\" } }\n";
    let asked = users(&by_fluid(&parse(bursts).unwrap(), false)) / 7_200.0;
    assert!((69.9..70.1).contains(&asked), "{asked}");
    // A fault within one step of a long run.
    let long = "[service.s]\nworkers = 10\ntime = \"10ms\"\n[workload.w]\nrate = \"50/s\"\n\
                [[phase]]\nname = \"p\"\nlasts = \"2h\"\n\
                [[fault]]\nkind = \"crash\"\nat = \"1h\"\nlasts = \"400ms\"\n";
    let ledger = by_fluid(&parse(long).unwrap(), false);
    let cell = ledger.cell(0, 0).unwrap();
    let failed = sum(&cell.users) - sum(&cell.good);
    assert!((15.0..=25.0).contains(&failed), "{failed} of 50 a second");
}

#[test]
fn a_log_has_no_fluid_run() {
    let text = r#"
        [service.shop]
        workers = 8
        time = "20ms"
        [workload.people]
        replay = "access.log"
        [[phase]]
        name = "all"
        lasts = "10s"
        "#;
    let scenario = parse(text).unwrap();
    let objectives = [(Ratio::try_from(0.99).unwrap(), MONTH)];
    let error = Fluid::new(&scenario, &protections(&scenario, true), &objectives).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("`workload.people` replays a log")
    );
}
