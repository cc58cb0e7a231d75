//! Scenarios of the simulator: what is read of them, and what people see of their mistakes.

use std::time::Duration;

use plimsoll_config::render;
use plimsoll_config::scenario::{Burst, FaultKind, PhaseRate, TimeSpread, Work, parse};

const WHOLE: &str = r#"about = "all that can be said"
gateways = 3
threads = 4

[service.a]
endpoints = 2
workers = 8
time = "20ms"
spread = 0.5

[service.b]
time = "5ms"
crosstalk = 0.001
objective = "1s"

[workload.people]
service = "a"
rate = "600/min"
retry = 3
classes = { critical = "10%" }
tenants = 5
zipf = 1

[workload.robots]
service = "b"
rate = "0/s"

[[phase]]
name = "one"
lasts = "10s"
rate = { robots = { from = "1/s", to = "5/s" } }

[[phase]]
name = "two"
lasts = "5s"
rate.people = { to = "1/s", peak = "9/s", lasts = "100ms", every = "1s" }

[[fault]]
kind = "errors"
service = "a"
share = "5%"
at = "1s"
lasts = "2s"
"#;

#[test]
fn a_scenario_is_read_with_its_defaults() {
    let scenario = parse(WHOLE).unwrap();
    assert_eq!((scenario.gateways, scenario.threads), (3, 4));
    assert_eq!(scenario.lasts(), Duration::from_secs(15));
    let [a, b] = &scenario.services[..] else {
        panic!("{scenario:?}");
    };
    let pool = Work::Workers {
        workers: 8,
        spread: TimeSpread::Lognormal(0.5),
    };
    assert_eq!((a.work, a.objective.as_millis()), (pool, 250));
    let shared = Work::Shared {
        contention: 0.01,
        crosstalk: 0.001,
    };
    assert_eq!((b.work, b.endpoints), (shared, 1));
    let [people, robots] = &scenario.workloads[..] else {
        panic!("{scenario:?}");
    };
    assert_eq!((people.service, robots.service), (0, 1));
    assert_eq!((people.rate, people.retry.attempts), (10.0, 3));
    let even = |from, to| PhaseRate {
        from,
        to,
        burst: None,
    };
    assert_eq!(scenario.phases[0].rates, [even(10.0, 10.0), even(1.0, 5.0)]);
    let burst = Burst {
        peak: 9.0,
        lasts: Duration::from_millis(100),
        every: Duration::from_secs(1),
    };
    let bursts = PhaseRate {
        burst: Some(burst),
        ..even(1.0, 1.0)
    };
    assert_eq!(scenario.phases[1].rates, [bursts, even(0.0, 0.0)]);
    let fault = &scenario.faults[0];
    assert_eq!((fault.endpoints, fault.kind), (2, FaultKind::Errors(0.05)));
}

#[test]
fn mistakes_in_a_scenario_are_shown_with_their_lines() {
    let source = r#"gateways = 0

[service.shop]
endpoints = 2
time = "20ms"

[service.both]
workers = 4
crosstalk = 0.1
time = 5

[workload.people]
service = "shp"
rate = "100"
classes = { critical = "80%", sheddable = "30%" }

[workload.robots]
rate = "9000000/s"
patience = "1min"

[[phase]]
name = "one"
lasts = "10s"
rate = { peple = "5/s", robots = { to = "1/s", peak = "5/s" } }
lats = "5s"

[[fault]]
kind = "slow"
service = "shop"
endpoints = 3
share = "5%"
at = "11s"
lasts = "1s"
"#;
    let shown = |source: &str| {
        let diagnostics = parse(source).unwrap_err();
        render(&diagnostics, source, "scenario.toml", false)
    };
    insta::assert_snapshot!(shown(source));
    insta::assert_snapshot!(shown("[service]\n[workload]\n"));
    insta::assert_snapshot!(shown("gateways = \n"));
}
