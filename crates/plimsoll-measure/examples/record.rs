//! What recording a request costs: `cargo run --release -p plimsoll-measure --example record`.
//!
//! One thread records each request in the series of its service (two objectives), route and endpoint, with
//! latencies and causes that change from one to the next, so that neither branches nor buckets are guessed.

use std::time::Duration;

use plimsoll_core::{Class, Ratio};
use plimsoll_measure::{Cause, ObjectiveSpec, Period, Record, Registry, Sli};

const RECORDS: usize = 4_096;
const ROUNDS: usize = 5_000;

#[expect(clippy::disallowed_methods, reason = "it measures real time")]
fn main() {
    let registry = Registry::new(2, 10);
    let objective = |name: &str, sli| ObjectiveSpec {
        name: name.to_owned(),
        sli,
        target: Ratio::ONE,
        period: Period::Rolling(Duration::from_secs(3_600)),
        classes: Vec::new(),
        routes: Vec::new(),
    };
    let objectives = [
        objective("availability", Sli::Availability),
        objective(
            "latency",
            Sli::Latency {
                below: Duration::from_millis(250),
            },
        ),
    ];
    let all = [
        registry.service("shop", &objectives),
        registry.route("shop", "all"),
        registry.endpoint("shop", "http://127.0.0.1:9001"),
    ];

    let mut state = 7_u64;
    let records: Vec<Record> = (0..RECORDS)
        .map(|_| {
            // Knuth's MMIX generator; the high bits are good enough for a spread.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let random = state >> 33;
            let cause = if random.is_multiple_of(50) {
                Cause::UpstreamStatus
            } else {
                Cause::Answered
            };
            let latency = Duration::from_nanos(20_000 << (random % 14))
                + Duration::from_nanos(random % 9_999);
            Record {
                class: Class::Standard,
                cause,
                latency,
                bytes_in: 100,
                bytes_out: 1_024,
                objectives: Record::ALL,
            }
        })
        .collect();

    let start = std::time::Instant::now();
    for _ in 0..ROUNDS {
        for record in &records {
            for series in &all {
                series.record(1, std::hint::black_box(record));
            }
        }
    }
    let nanos = start.elapsed().as_nanos() as f64 / (RECORDS * ROUNDS) as f64;
    println!("{nanos:.1} ns per request in service, route and endpoint together");
}
