//! Goal: workloads send what they are said to send.
//!
//! Method: one service, with everything off; what came in each phase against what theory says.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{Scenario, parse};
use plimsoll_core::Class;
use plimsoll_measure::Cause;
use plimsoll_simulator::fleet::{Ledger, Recorded, Simulation};

use crate::fleet::{off, run};

/// Up to 800 requests per second before one workload, for phases of 20 s with these lines.
fn scenario(workload: &str, phases: &[&str], faults: &str) -> Scenario {
    let phases: String = phases
        .iter()
        .map(|lines| format!("[[phase]]\nname = \"phase\"\nlasts = \"20s\"\n{lines}\n"))
        .collect();
    let text = format!(
        "[service.shop]\nendpoints = 2\nworkers = 8\ntime = \"20ms\"\n\
         [workload.people]\n{workload}\n{phases}{faults}"
    );
    parse(&text).unwrap()
}

fn users(ledger: &Ledger, phase: usize) -> f64 {
    ledger.cell(phase, 0).unwrap().users.iter().sum::<u64>() as f64
}

#[track_caller]
fn check(measured: f64, expected: f64, tolerance: f64) {
    let off_by = (measured / expected - 1.0).abs();
    assert!(off_by < tolerance, "{measured}, not {expected}");
}

/// The response time law of a closed system: users over thinking and waiting (E. Lazowska et al., *Quantitative
/// System Performance*, 1984, 3.5).
#[test]
fn a_population_asks_less_of_a_service_that_is_slow() {
    let slow = "[[fault]]\nkind = \"slow\"\ntimes = 20\nat = \"20s\"\nlasts = \"20s\"\n";
    let workload = "users = 200\nthink = \"1s\"\npatience = \"60s\"";
    let (ledger, _) = run(&scenario(workload, &["", ""], slow), off(), 1);
    check(users(&ledger, 0) / 20.0, 200.0 / 1.02, 0.03);
    // 40 in a second are served then, 40 think, and the others have come to wait; an open loop would go on with 196.
    check(users(&ledger, 1), 40.0 * 20.0 + 160.0 - 4.0, 0.05);
}

#[test]
fn a_population_grows_and_shrinks_with_its_phases() {
    let phases = [
        "",
        "users = { people = 400 }",
        "users = { people = 100 }",
        "users = { people = 0 }",
    ];
    let (ledger, _) = run(
        &scenario("users = 200\nthink = \"1s\"", &phases, ""),
        off(),
        1,
    );
    for (phase, population) in [200.0, 400.0, 100.0].into_iter().enumerate() {
        check(users(&ledger, phase) / 20.0, population / 1.02, 0.05);
    }
    assert_eq!(users(&ledger, 3), 0.0);
}

#[test]
fn newcomers_want_something_at_once_but_not_in_one_instant() {
    let phases = ["", "users = { people = 300 }"];
    let scenario = scenario("users = 0\nthink = \"1h\"", &phases, "");
    let mut simulation = Simulation::new(&scenario, &[off()], 1);
    simulation.record();
    while simulation.advance(Duration::from_secs(1)) {}
    let ledger = simulation.finish();
    let by_second: Vec<u64> = ledger.timeline().unwrap().seconds()[19..22]
        .iter()
        .map(|second| second.cells[0].users.iter().sum())
        .collect();
    assert_eq!(by_second[0], 0);
    assert!((299..=303).contains(&by_second[1]), "{by_second:?}");
    // 300 in an instant would have waited for 16 workers, the last for 0.4 s.
    let p99 = ledger.cell(1, 0).unwrap().latencies.quantile(0.99).unwrap();
    assert!(p99 < Duration::from_millis(150), "{p99:?}");
}

#[test]
fn who_fails_for_good_leaves() {
    let errors = "[[fault]]\nkind = \"errors\"\nshare = \"100%\"\nat = \"0s\"\nlasts = \"40s\"\n";
    let workload = "users = 200\nthink = \"1s\"\nleaves = \"50%\"\nretry = 3";
    let scenario = scenario(workload, &["", "users = { people = 300 }"], errors);
    let (ledger, _) = run(&scenario, off(), 1);
    // Each comes back once, on average: a geometric number of wants, and each of those is tried three times.
    for (phase, came) in [200.0, 300.0].into_iter().enumerate() {
        check(users(&ledger, phase), 2.0 * came, 0.15);
        let cell = ledger.cell(phase, 0).unwrap();
        let failed = cell.causes[Cause::UpstreamStatus.index()];
        assert_eq!(failed as f64, 3.0 * users(&ledger, phase));
    }
}

#[test]
fn a_wave_and_a_flash_crowd_send_what_they_are_said_to() {
    let wave =
        "rate.people = { mean = \"200/s\", swing = \"100%\", period = \"80s\", peak_at = \"30s\" }";
    let crowd = "rate.people = { to = \"50/s\", peak = \"500/s\", rise = \"2s\", decay = \"3s\" }";
    let (ledger, _) = run(
        &scenario("rate = \"1/s\"", &[wave, wave, crowd], ""),
        off(),
        1,
    );
    // A quarter of the wave around where it crosses its mean, and one around its peak.
    check(users(&ledger, 0) / 20.0, 200.0, 0.05);
    check(
        users(&ledger, 1) / 20.0,
        200.0 * (1.0 + 2.0 * 2f64.sqrt() / std::f64::consts::PI),
        0.05,
    );
    let rise = 450.0 * 2.0 * 0.99 / 100f64.ln();
    let decay = 450.0 * 3.0 * (1.0 - (-6f64).exp());
    check(users(&ledger, 2), 50.0 * 20.0 + rise + decay, 0.05);
}

#[test]
fn a_log_is_replayed_as_it_was_and_faster() {
    let class = |index: u32| match index % 4 {
        0 => Class::Critical,
        _ => Class::Sheddable,
    };
    // Ten in a second for a minute, of three tenants.
    let request = |index: u32| Recorded {
        at: u64::from(index) * 100_000_000,
        tenant: index % 3,
        class: class(index),
    };
    let log: Arc<[Recorded]> = (0..600).map(request).collect();
    for (speed, by_phase) in [(1, [200, 200]), (2, [400, 200])] {
        let workload = format!("replay = \"log\"\nspeed = {speed}");
        let scenario = scenario(&workload, &["", ""], "");
        let mut simulation = Simulation::new(&scenario, &[off()], 1);
        simulation.replay(0, Arc::clone(&log));
        while simulation.advance(Duration::from_secs(1)) {}
        let ledger = simulation.finish();
        for (phase, came) in by_phase.into_iter().enumerate() {
            let cell = ledger.cell(phase, 0).unwrap();
            assert_eq!(cell.users, [came / 4, 0, came * 3 / 4]);
            assert_eq!(cell.good, cell.users);
        }
    }
}
