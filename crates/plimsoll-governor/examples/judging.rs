//! How much of a core judging takes: `cargo run --release -p plimsoll-governor --example judging [SERVICES]`.
//!
//! Each service has two objectives and 100 requests a second. Three stretches of two minutes: all are well; one in ten fails
//! two of five requests; all do.

use std::collections::BTreeMap;
use std::time::{Duration, Instant as Wall};

use plimsoll_core::{Instant, Mode, Ratio};
use plimsoll_governor::{
    Demand, Governor, ObjectiveSignals, Parameters, ServiceParameters, ServiceSignals, Signals,
};
use plimsoll_measure::Counts;

/// Seconds of one stretch.
const SECONDS: u64 = 120;

fn main() {
    let count = std::env::args().nth(1).and_then(|it| it.parse().ok());
    let count: usize = count.unwrap_or(1_000);
    let names: Vec<String> = (0..count).map(|it| format!("service-{it}")).collect();
    let target = Ratio::of(999, 1_000).unwrap_or_default();
    let service = || ServiceParameters {
        tier: 1,
        mode: Mode::Enforce,
        objectives: ["availability", "latency"]
            .map(|it| (it.to_owned(), target))
            .into(),
        ..ServiceParameters::default()
    };
    let services = names.iter().map(|name| (name.clone(), service()));
    let mut governor = Governor::new(Parameters {
        services: services.collect::<BTreeMap<_, _>>(),
        rules: Vec::new(),
    });
    println!("{count} services, two objectives each, one tick a second of {SECONDS} s");
    let mut second = 0;
    for (title, every) in [
        ("all are well", 0),
        ("one in ten burns", 10),
        ("all burn", 1),
    ] {
        let burns = |place: usize| every > 0 && place.is_multiple_of(every);
        let signals = Signals {
            services: names
                .iter()
                .enumerate()
                .map(|(place, name)| signals(name, burns(place)))
                .collect(),
        };
        let (mut decisions, mut worst, mut sum) = (0, Duration::ZERO, Duration::ZERO);
        for _ in 0..SECONDS {
            second += 1;
            let began = now();
            let decided = governor.on_tick(Instant::from_nanos(second * 1_000_000_000), &signals);
            let took = began.elapsed();
            sum += took;
            worst = worst.max(took);
            decisions += decided.iter().map(|it| it.decisions.len()).sum::<usize>();
        }
        let mean = sum.as_secs_f64() / SECONDS as f64;
        println!(
            "{title:<18} {:>6.2} ms a tick, {:>5.2} ms the longest: {:.2} % of a core; {decisions} decisions",
            1e3 * mean,
            1e3 * worst.as_secs_f64(),
            100.0 * mean,
        );
    }
}

fn signals(name: &str, burns: bool) -> ServiceSignals {
    let bad = if burns { 40 } else { 0 };
    let counts = Counts {
        good: 100 - bad,
        bad,
        bad_service: bad,
    };
    let objective = ObjectiveSignals {
        counts,
        budget_left: Some(0.9),
    };
    ServiceSignals {
        name: name.to_owned(),
        objectives: vec![objective; 2],
        demand: Demand {
            requests: 100,
            retries: bad,
            at_limit: burns,
            ..Demand::default()
        },
        is_maintained: false,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "it is the time it takes that is asked for"
)]
fn now() -> Wall {
    Wall::now()
}
