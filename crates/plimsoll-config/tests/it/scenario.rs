//! Scenarios of the simulator: what is read of them, and what people see of their mistakes.

use std::time::Duration;

use plimsoll_config::render;
use plimsoll_config::scenario::{
    Burst, Cache, Call, ClassShares, ClientRetry, Fault, FaultKind, FlashCrowd, Memory, Phase,
    PhaseRate, Population, Replay, Run, Scenario, ScenarioService, Shape, Source, Start,
    TimeSpread, Wave, Work, Workload, parse, parse_for, write,
};
use proptest::collection::vec;
use proptest::prelude::*;

const WHOLE: &str = r#"about = "all that can be said"
gateways = 3
threads = 4

[service.a]
endpoints = 2
workers = 8
time = "20ms"
spread = 0.5

calls = { b = "40%" }

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
    let call = Call {
        service: 1,
        share: 0.4,
        timeout: Duration::from_secs(1),
        attempts: 1,
    };
    assert_eq!((&a.calls[..], &b.calls[..]), (&[call][..], &[][..]));
    let senders = scenario.senders().into_iter();
    let senders: Vec<_> = senders.map(|it| (it.name, it.service)).collect();
    let expected = [("people", 0), ("robots", 1), ("a \u{2192} b", 1)];
    assert_eq!(
        senders,
        expected.map(|(name, service)| (name.to_owned(), service))
    );
    let [people, robots] = &scenario.workloads[..] else {
        panic!("{scenario:?}");
    };
    assert_eq!((people.service, robots.service), (0, 1));
    assert_eq!(people.source, Source::Rate(10.0));
    assert_eq!(people.retry.attempts, 3);
    let even = |from, to| PhaseRate {
        from,
        to,
        shape: None,
    };
    assert_eq!(scenario.phases[0].rates, [even(10.0, 10.0), even(1.0, 5.0)]);
    let burst = Burst {
        peak: 9.0,
        lasts: Duration::from_millis(100),
        every: Duration::from_secs(1),
    };
    let bursts = PhaseRate {
        shape: Some(Shape::Bursts(burst)),
        ..even(1.0, 1.0)
    };
    assert_eq!(scenario.phases[1].rates, [bursts, even(0.0, 0.0)]);
    let fault = &scenario.faults[0];
    assert_eq!((fault.endpoints, fault.kind), (2, FaultKind::Errors(0.05)));
}

const LOADS: &str = r#"
[service.shop]
workers = 8
time = "20ms"

[workload.crowd]
rate = "100/s"

[workload.logged]
replay = "access.log"
speed = 2

[workload.shoppers]
users = 500
think = "2s"
leaves = "20%"

[[phase]]
name = "day"
lasts = "48h"
rate.crowd = { mean = "8/s", swing = "60%", period = "24h", peak_at = "14h" }

[[phase]]
name = "flash"
lasts = "10s"
users = { shoppers = 800 }
rate.crowd = { to = "10/s", peak = "900/s", rise = "2s", decay = "20s" }
"#;

#[test]
fn what_workloads_send_is_read_in_each_form() {
    let scenario = parse(LOADS).unwrap();
    let sources: Vec<_> = scenario.workloads.into_iter().map(|it| it.source).collect();
    let logged = Source::Replay(Replay {
        log: "access.log".to_owned(),
        speed: 2.0,
    });
    let shoppers = Source::Users(Population {
        users: 500,
        think: Duration::from_secs(2),
        leaves: 0.2,
    });
    assert_eq!(sources, [Source::Rate(100.0), logged, shoppers]);
    let [day, flash] = &scenario.phases[..] else {
        panic!("{:?}", scenario.phases);
    };
    assert_eq!(
        (&day.users[..], &flash.users[..]),
        (&[0, 0, 500][..], &[0, 0, 800][..])
    );
    let hours = |hours: u64| Duration::from_secs(3_600 * hours);
    let wave = Wave {
        swing: 0.6,
        period: hours(24),
        peak_at: hours(14),
    };
    assert_eq!(
        (day.rates[0].to, day.rates[0].shape),
        (8.0, Some(Shape::Wave(wave)))
    );
    let crowd = FlashCrowd {
        peak: 900.0,
        rise: Duration::from_secs(2),
        decay: Duration::from_secs(20),
    };
    assert_eq!(flash.rates[0].shape, Some(Shape::Crowd(crowd)));
    assert_eq!(flash.rates[1..], [PhaseRate::even(0.0); 2]);
}

#[test]
fn mistakes_in_what_workloads_send_are_shown_with_their_lines() {
    let source = r#"
[service.shop]
workers = 8
time = "20ms"

[workload.crowd]

[workload.both]
rate = "100/s"
users = 5
think = "1s"

[workload.logged]
replay = "access.log"
leaves = "5%"

[workload.many]
users = 900000
think = "1ms"

[workload.thoughtless]
users = 5

[[phase]]
name = "day"
lasts = "48h"
users = { logged = 5, nobody = 3 }

[[phase]]
name = "shapes"
lasts = "10s"

[phase.rate]
crowd = { mean = "8/s", period = "24h", to = "3/s" }
both = { to = "10/s", from = "5/s", peak = "900/s", rise = "2s" }
many = "5/s"
thoughtless = {}
"#;
    let diagnostics = parse(source).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, source, "scenario.toml", false));
}

#[test]
fn mistakes_about_caches_are_shown_with_their_lines() {
    let source = r#"
[service.shared]
crosstalk = 0.01
time = "20ms"
cache = { hit = "90%", miss = "50ms" }

[service.plain]
workers = 4
time = "20ms"
cache = { hit = "190%" }

[service.none]
workers = 4
time = "20ms"

[workload.people]
service = "none"
rate = "10/s"

[[phase]]
name = "one"
lasts = "10s"

[[fault]]
kind = "cold"
service = "none"
at = "1s"
lasts = "1s"
"#;
    let diagnostics = parse(source).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, source, "scenario.toml", false));
}

#[test]
fn mistakes_about_calls_are_shown_with_their_lines() {
    let deep: String = (0..10)
        .map(|index| {
            format!(
                "[service.d{index}]\nworkers = 4\ntime = \"1ms\"\ncalls.d{} = {{}}\n",
                index + 1
            )
        })
        .collect();
    let source = format!(
        r#"
[service.shop]
workers = 4
time = "20ms"
calls = {{ orders = "140%", stok = "10%" }}

[service.orders]
workers = 4
time = "20ms"
calls = {{ stock = {{ share = "10%", attempts = 0 }}, orders = "5%" }}

[service.stock]
workers = 4
time = "20ms"
calls = {{ shop = "1%" }}

{deep}
[service.d10]
workers = 4
time = "1ms"

[workload.people]
service = "shop"
rate = "10/s"

[[phase]]
name = "one"
lasts = "10s"
"#
    );
    let diagnostics = parse(&source).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, &source, "scenario.toml", false));
}

#[test]
fn what_services_call_counts_for_the_size_of_a_run() {
    let of = |share: &str, timeout: &str, front: &str| {
        format!(
            r#"
service.front = {{ {front}, time = "1ms", calls.back = {{ share = "{share}", attempts = 20, timeout = "{timeout}" }} }}
service.back = {{ workers = 4, time = "1ms" }}
workload.people = {{ service = "front", rate = "100000/s" }}
phase = [{{ name = "all", lasts = "300s" }}]
"#
        )
    };
    let mistakes = |text: &str| match parse(text) {
        Ok(_) => Vec::new(),
        Err(all) => all.into_iter().map(|it| it.message).collect(),
    };
    let none: [&str; 0] = [];
    assert_eq!(mistakes(&of("50%", "100ms", "workers = 9")), none);
    assert_eq!(
        mistakes(&of("100%", "100ms", "workers = 9")),
        ["the run may take 630000000 requests"]
    );
    // Who has workers has no more calls under way than these.
    assert_eq!(mistakes(&of("50%", "10s", "workers = 9")), none);
    assert_eq!(
        mistakes(&of("50%", "10s", "crosstalk = 0.1")),
        [
            "service `front` may have 10000000 calls of `back` under way",
            // What `back` keeps of them is more than those.
            "the run may need 40.1 GiB of memory"
        ]
    );
}

#[test]
fn memory_and_starts_are_read_with_their_defaults() {
    let source = r#"
gateways = 3
phase = [{ name = "one", lasts = "9s" }]
workload.people = { service = "a", rate = "1/s" }

[service.a]
workers = 4
time = "20ms"
memory = { each = "2MiB", limit = "1.5GiB" }
start = "5s"

[service.b]
crosstalk = 0.001
time = "20ms"
memory = { each = "1B", limit = "1B", pause = "50ms" }
start = { takes = "0s", times = 4, warm = 20 }

[[fault]]
kind = "partition"
service = "b"
at = "1s"
lasts = "1s"

[[fault]]
kind = "partition"
gateways = 1
service = "b"
at = "1s"
lasts = "1s"

[[fault]]
kind = "loss"
share = "2%"
service = "a"
at = "1s"
lasts = "1s"
"#;
    let scenario = parse(source).unwrap();
    let [a, b] = &scenario.services[..] else {
        panic!("{scenario:?}");
    };
    let memory = |each, limit, pause| Memory {
        each,
        limit,
        pause: Duration::from_millis(pause),
    };
    assert_eq!(a.memory, Some(memory(2 << 20, 3 << 29, 0)));
    assert_eq!(b.memory, Some(memory(1, 1, 50)));
    let start = |takes, times, warm| Start {
        takes: Duration::from_secs(takes),
        times,
        warm,
    };
    assert_eq!(a.start, Some(start(5, 1.0, 1_000)));
    assert_eq!(b.start, Some(start(0, 4.0, 20)));
    let kinds: Vec<FaultKind> = scenario.faults.iter().map(|it| it.kind).collect();
    let [all, one] = [3, 1].map(FaultKind::Partition);
    assert_eq!(kinds, [all, one, FaultKind::Loss(0.02)]);
    let diagnostics = parse_for(source, Run::Fluid).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, source, "scenario.toml", false));
}

#[test]
fn mistakes_about_machines_and_networks_are_shown_with_their_lines() {
    let source = r#"
gateways = 2
phase = [{ name = "one", lasts = "9s" }]
workload.people.rate = "1/s"

[service.a]
workers = 4
time = "20ms"
memory = { each = "2MiB", limit = "1MiB", pause = 5 }
start = { times = 0.5, warm = 0 }

[[fault]]
kind = "partition"
gateways = 3
at = "1s"
lasts = "1s"

[[fault]]
kind = "crash"
gateways = 1
at = "1s"
lasts = "1s"

[[fault]]
kind = "loss"
at = "1s"
lasts = "1s"
"#;
    let diagnostics = parse(source).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, source, "scenario.toml", false));
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

#[test]
fn a_run_that_would_not_fit_in_memory_is_refused_with_what_it_would_need() {
    let of = |gateways: u32, threads: u32| {
        format!(
            r#"gateways = {gateways}
threads = {threads}
service.shop = {{ endpoints = 10000, workers = 4, time = "20ms" }}
workload.people.rate = "100000/s"
phase = [{{ name = "all", lasts = "30s" }}]
"#
        )
    };
    assert!(parse(&of(1_000, 1)).is_ok());
    let text = of(1_000, 16);
    let diagnostics = parse(&text).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, &text, "scenario.toml", false));
}

/// A scenario of one service and one workload, with these lines in each and this in its phase and after it.
fn sized(service: &str, workload: &str, rest: &str) -> String {
    format!(
        "gateways = 2\n[service.shop]\ntime = \"1s\"\nworkers = 1\n{service}\n\
         [workload.people]\n{workload}\n[[phase]]\nname = \"all\"\n{rest}\n"
    )
}

#[test]
fn what_a_run_holds_and_how_long_it_takes_is_bounded() {
    let said = |source: &str, run| match parse_for(source, run) {
        Ok(_) => "fits".to_owned(),
        Err(all) => {
            let said = all.iter().map(|it| format!("{}; {}", it.message, it.label));
            said.collect::<Vec<_>>().join("\n")
        }
    };
    let usual = |text: &str| said(text, Run::ByRequest);
    let few = "rate = \"1/s\"";
    // Ticks of many gateways over a long time, whoever comes.
    let many_gateways = sized("", few, "lasts = \"300d\"").replacen("= 2", "= 20", 1);
    insta::assert_snapshot!(usual(&many_gateways), @"the run may take 72576000000 ticks of gateways; at most 25000000000 was expected: it would take an hour");
    // What endpoints keep that nobody waits for, unless they drop it.
    let kept = "rate = \"9000/s\"\npatience = \"10ms\"";
    let of = |service| sized(service, kept, "lasts = \"3h\"");
    insta::assert_snapshot!(usual(&of("")), @"the run may need 9.1 GiB of memory; 9.1 GiB are for 97189200 requests that endpoints keep though their clients have gone");
    assert_eq!(usual(&of("cancels = true")), "fits");
    assert_eq!(usual(&of("endpoints = 9000")), "fits");
    let frozen = "lasts = \"3h\"\n[[fault]]\nkind = \"freeze\"\nat = \"0s\"\nlasts = \"3h\"";
    insta::assert_snapshot!(usual(&sized("endpoints = 9000", kept, frozen)), @"the run may need 9.1 GiB of memory; 9.1 GiB are for 97200000 requests that endpoints keep though their clients have gone");
    // Users who pause.
    let pausing = "rate = \"9000/s\"\npatience = \"1ms\"\nretry = { attempts = 4, pause = \"1h\" }";
    let pausing = sized("cancels = true", pausing, "lasts = \"1h\"");
    insta::assert_snapshot!(usual(&pausing), @"the run may need 9.1 GiB of memory; 9.1 GiB are for 97200000 users who pause before another try");
    // Results, of each workload in each phase, with or without single requests.
    let mut many = sized("", few, "lasts = \"1s\"");
    for index in 1..1_000 {
        many.push_str(&format!("[[phase]]\nname = \"{index}\"\nlasts = \"1s\"\n"));
    }
    let workloads = (0..1_000).map(|index| format!("w{index}.rate = \"1/d\"\n"));
    many.push_str(&format!("[workload]\n{}", workloads.collect::<String>()));
    let many = many.replacen("[workload.people]\nrate = \"1/s\"\n", "", 1);
    insta::assert_snapshot!(usual(&many), @"the run may need 8.4 GiB of memory; 8.4 GiB are for 1000000 results, of each workload in each phase");
    insta::assert_snapshot!(said(&many, Run::Fluid), @"the run may need 8.4 GiB of memory; 8.4 GiB are for 1000000 results, of each workload in each phase");
    // Without single requests, time is bounded, too.
    let long = sized("", few, "lasts = \"300d\"");
    assert_eq!(
        [&long, &many_gateways].map(|it| said(it, Run::Fluid)),
        ["fits"; 2]
    );
    let year = "[[phase]]\nname = \"again\"\nlasts = \"366d\"\n";
    let years = long.clone() + &year.repeat(20);
    insta::assert_snapshot!(said(&years, Run::Fluid), @"the run may take 1316736000 seconds of workloads and services; at most 1000000000 was expected: it would take an hour");
}

#[test]
fn keys_that_say_nothing_beside_others_are_mistakes() {
    let text = r#"
[service.pool]
workers = 1
time = "1s"
contention = 0.1
[service.shared]
crosstalk = 0.1
time = "1s"
spread = "constant"
cancels = true
[workload.people]
service = "pool"
rate = "1/s"
[[phase]]
name = "all"
lasts = "1s"
[[fault]]
kind = "melt"
at = "0s"
lasts = "1s"
"#;
    let diagnostics = parse(text).unwrap_err();
    insta::assert_snapshot!(render(&diagnostics, text, "scenario.toml", false));
}

#[test]
fn what_is_written_is_read_back_as_the_same() {
    let scenario = parse(WHOLE).unwrap();
    insta::assert_snapshot!(write(&scenario));
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../scenarios");
    let mut sources = vec![WHOLE.to_owned()];
    for entry in std::fs::read_dir(shipped).unwrap() {
        let path = entry.unwrap().path();
        sources.extend(
            (path.extension().is_some_and(|it| it == "toml"))
                .then(|| std::fs::read_to_string(&path).unwrap()),
        );
    }
    assert!(sources.len() > 5);
    for source in sources {
        // One of them is for days only, others have no fluid run.
        let mut runs = [Run::ByRequest, Run::Fluid].into_iter();
        let run = runs.find(|run| parse_for(&source, *run).is_ok()).unwrap();
        let scenario = parse_for(&source, run).unwrap();
        assert_eq!(parse_for(&write(&scenario), run), Ok(scenario));
    }
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_back_as_the_same(scenario in any_scenario()) {
        let text = write(&scenario);
        match parse(&text) {
            Ok(read) => prop_assert_eq!(read, scenario),
            Err(diagnostics) => panic!("{}", render(&diagnostics, &text, "scenario.toml", false)),
        }
    }
}

/// A time in whole units as people write them, or to the nanosecond.
fn time(max: Duration) -> impl Strategy<Value = Duration> {
    let max = max.as_millis() as u64;
    prop_oneof![
        (1..=max).prop_map(Duration::from_millis),
        (1_000_000..=max * 1_000_000).prop_map(Duration::from_nanos),
    ]
}

fn share() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..=1.0, 0.0..1e-7]
}

fn any_scenario() -> impl Strategy<Value = Scenario> {
    let about = proptest::option::of(r"\PC{1,20}");
    let size = (1..4_usize, 1..4_usize, 1..4_usize, 0..4_usize);
    (about, 1..9_usize, 1..4_usize, size).prop_flat_map(
        |(about, gateways, threads, (services, workloads, phases, faults))| {
            let services = vec(service(), services).prop_map(|mut services| {
                for (index, service) in services.iter_mut().enumerate() {
                    service.name = format!("s{index}");
                }
                services
            });
            let services = (services, vec(call(), 3)).prop_map(|(mut services, calls)| {
                // The first to the second, and these two to the third.
                let pairs = [(0, 1), (0, 2), (1, 2)];
                for ((caller, service), call) in pairs.into_iter().zip(calls) {
                    let callee_is_there = service < services.len();
                    if let (true, Some(caller)) = (callee_is_there, services.get_mut(caller)) {
                        caller
                            .calls
                            .extend(call.map(|call| Call { service, ..call }));
                    }
                }
                services
            });
            (
                services,
                vec(workload(), workloads),
                vec(phase(workloads), phases),
                vec(fault(), faults),
            )
                .prop_map(move |(services, mut workloads, mut phases, mut faults)| {
                    for (index, workload) in workloads.iter_mut().enumerate() {
                        workload.name = format!("w-{index}");
                        workload.service %= services.len();
                    }
                    for phase in &mut phases {
                        let parts = phase.rates.iter_mut().zip(&mut phase.users);
                        for ((rate, users), workload) in parts.zip(&workloads) {
                            match &workload.source {
                                Source::Rate(usual) if rate.to == 1.0 => {
                                    (rate.from, rate.to) = (*usual, *usual);
                                }
                                Source::Rate(_) => (),
                                _ => *rate = PhaseRate::even(0.0),
                            }
                            match &workload.source {
                                Source::Users(usual) if *users < 100 => *users = usual.users,
                                Source::Users(_) => (),
                                _ => *users = 0,
                            }
                        }
                    }
                    faults.retain_mut(|fault| {
                        fault.service %= services.len();
                        let Some(service) = services.get(fault.service) else {
                            return false;
                        };
                        // Now and then the last ones.
                        let spare = service.endpoints.saturating_sub(fault.endpoints);
                        fault.after = spare * (fault.endpoints % 2);
                        fault.endpoints = fault.endpoints.min(service.endpoints);
                        match fault.kind {
                            FaultKind::Capacity(_) => matches!(service.work, Work::Workers { .. }),
                            FaultKind::Cold => service.cache.is_some(),
                            FaultKind::Partition(asked) => asked <= gateways,
                            _ => true,
                        }
                    });
                    Scenario {
                        about: about.clone(),
                        gateways,
                        threads,
                        services,
                        workloads,
                        phases,
                        faults,
                    }
                })
        },
    )
}

fn service() -> impl Strategy<Value = ScenarioService> {
    let spread = prop_oneof![
        Just(TimeSpread::Constant),
        Just(TimeSpread::Exponential),
        Just(TimeSpread::Bimodal),
        (0.01..10.0).prop_map(TimeSpread::Lognormal),
    ];
    let work = prop_oneof![
        (1..100_u32, spread).prop_map(|(workers, spread)| Work::Workers { workers, spread }),
        (0.0..=1.0, 1e-7..1.0).prop_map(|(contention, crosstalk)| Work::Shared {
            contention,
            crosstalk
        }),
    ];
    let second = Duration::from_secs(1);
    let cache = (share(), time(second), 1..1_000_u32);
    let cache = cache.prop_map(|(hit, miss, fill)| Cache { hit, miss, fill });
    let parts = (
        1..20_usize,
        work,
        time(second),
        time(second),
        proptest::option::of(cache),
        proptest::option::of(memory()),
        proptest::option::of(start()),
        any::<bool>(),
    );
    parts.prop_map(
        |(endpoints, work, time, objective, cache, memory, start, cancels)| ScenarioService {
            name: String::new(),
            endpoints,
            work,
            time,
            objective,
            cancels: cancels && matches!(work, Work::Workers { .. }),
            cache: cache.filter(|_| matches!(work, Work::Workers { .. })),
            calls: Vec::new(),
            memory,
            start,
        },
    )
}

fn call() -> impl Strategy<Value = Option<Call>> {
    // Few enough that no run is too large.
    let call = (share(), time(Duration::from_secs(1)), 1..=2_u8);
    proptest::option::of(call.prop_map(|(share, timeout, attempts)| Call {
        service: 0,
        share,
        timeout,
        attempts,
    }))
}

fn memory() -> impl Strategy<Value = Memory> {
    let bytes = || prop_oneof![1..=1_u64 << 50, (1..=64_u64).prop_map(|mib| mib << 20)];
    (bytes(), bytes(), time(Duration::from_secs(1))).prop_map(|(one, other, pause)| Memory {
        each: one.min(other),
        limit: one.max(other),
        pause,
    })
}

fn start() -> impl Strategy<Value = Start> {
    let takes = prop_oneof![Just(Duration::ZERO), time(Duration::from_secs(90))];
    (takes, 1.0..10_000.0, 1..100_000_u32).prop_map(|(takes, times, warm)| Start {
        takes,
        times,
        warm,
    })
}

fn workload() -> impl Strategy<Value = Workload> {
    let retry = (1..20_u8, time(Duration::from_secs(1)));
    let retry = retry.prop_map(|(attempts, pause)| ClientRetry { attempts, pause });
    let classes = (share(), share()).prop_map(|(critical, sheddable)| ClassShares {
        critical,
        sheddable: if critical + sheddable > 1.0 {
            0.0
        } else {
            sheddable
        },
    });
    let patience = time(Duration::from_secs(5));
    let rest = (patience, retry, classes, 1..1_000_u32, 0.0..3.0);
    let population =
        (0..1_000_u32, time(Duration::from_secs(9)), share()).prop_map(|(users, think, leaves)| {
            Population {
                users,
                think: Duration::from_secs(1) + think,
                leaves,
            }
        });
    let replay = (r"[a-z \\./]{1,9}", 0.001..1_000.0);
    let source = prop_oneof![
        rate().prop_map(Source::Rate),
        population.prop_map(Source::Users),
        replay.prop_map(|(log, speed)| Source::Replay(Replay { log, speed })),
    ];
    (0..9_usize, source, rest).prop_map(
        |(service, source, (patience, retry, classes, tenants, zipf))| Workload {
            name: String::new(),
            service,
            source,
            patience,
            retry,
            classes,
            tenants,
            zipf,
        },
    )
}

fn rate() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(100.0), 0.001..5_000.0]
}

fn phase(workloads: usize) -> impl Strategy<Value = Phase> {
    let second = Duration::from_secs(1);
    let burst = (rate(), time(second), time(second)).prop_map(|(peak, lasts, after)| Burst {
        peak,
        lasts,
        every: lasts + after,
    });
    let wave = (share(), time(second), time(second)).prop_map(|(swing, period, peak_at)| Wave {
        swing,
        period,
        peak_at,
    });
    let crowd = (rate(), time(second), time(second)).prop_map(|(peak, rise, decay)| FlashCrowd {
        peak,
        rise,
        decay,
    });
    let shape = prop_oneof![
        burst.prop_map(Shape::Bursts),
        wave.prop_map(Shape::Wave),
        crowd.prop_map(Shape::Crowd),
    ];
    let rate = (
        rate(),
        prop_oneof![rate(), Just(1.0)],
        proptest::option::of(shape),
        any::<bool>(),
    )
        .prop_map(|(from, to, shape, even)| PhaseRate {
            from: if even || shape.is_some() { to } else { from },
            to,
            shape,
        });
    let rates = vec(rate, workloads);
    let users = vec(0..1_000_u32, workloads);
    let name = "[a-z \"\\\\é]{1,12}";
    let lasts = time(Duration::from_secs(30));
    (name, lasts, rates, users).prop_map(|(name, lasts, rates, users)| Phase {
        name,
        lasts: lasts + Duration::from_secs(1),
        rates,
        users,
    })
}

fn fault() -> impl Strategy<Value = Fault> {
    let kind = prop_oneof![
        (0.01..10_000.0).prop_map(FaultKind::Slow),
        share().prop_map(FaultKind::Errors),
        Just(FaultKind::Crash),
        Just(FaultKind::Freeze),
        Just(FaultKind::Cold),
        share().prop_map(FaultKind::Capacity),
        share().prop_map(FaultKind::Loss),
        (1..9_usize).prop_map(FaultKind::Partition),
    ];
    // Each phase lasts longer than this.
    let at = time(Duration::from_millis(999));
    (
        0..9_usize,
        1..30_usize,
        at,
        time(Duration::from_secs(30)),
        kind,
    )
        .prop_map(|(service, endpoints, at, lasts, kind)| Fault {
            service,
            after: 0,
            endpoints,
            at,
            lasts,
            kind,
        })
}
