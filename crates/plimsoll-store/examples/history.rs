//! What a full history of a thousand objectives takes: on disk, each second, and to be read at a start.
//!
//! `cargo run --release -p plimsoll-store --example history [OBJECTIVES]`. All that is kept is full: 400 days of hours, three days of
//! minutes, and the seconds; every objective is busy in every one of them, which is the worst case. What it prints is kept in
//! `docs/concepts/objectives.md`.
#![expect(
    clippy::disallowed_methods,
    reason = "an example measures how long it takes"
)]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use plimsoll_core::Timestamp;
use plimsoll_store::{Addition, Additions, Amount, RESOLUTIONS, SqliteStore, Store as _};

/// Some time, at the beginning of an hour.
const NOW: u64 = 1_795_615_200;
/// How many seconds are written as a running process writes them.
const SECONDS: u64 = 600;

fn main() -> Result<(), Box<dyn Error>> {
    let objectives = std::env::args().nth(1).map_or(Ok(1_000), |it| it.parse())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("plimsoll.db");
    let names: Vec<Arc<str>> = (0..objectives)
        .map(|it| format!("service-{it}/availability/{it:016x}").into())
        .collect();
    let (mut store, _) = SqliteStore::open(&path, "example", Timestamp::from_seconds(NOW))?;
    let mut random = 1_u64;
    for (resolution, kept) in RESOLUTIONS {
        for place in 0..kept {
            let start = NOW - (kept - place) * u64::from(resolution);
            let addition = addition(&names, resolution, &mut random);
            store.add_history(&Additions::from([((resolution, start), addition)]))?;
        }
    }
    println!("{objectives} objectives, {} on disk", mib(size(&path)));
    let (wall, cpu) = (Instant::now(), cpu()?);
    for second in NOW..NOW + SECONDS {
        let mut additions = Additions::new();
        for (resolution, _) in RESOLUTIONS {
            let start = second - second % u64::from(resolution);
            additions.insert((resolution, start), addition(&names, 1, &mut random));
        }
        store.add_history(&additions)?;
        if second.is_multiple_of(60) {
            store.thin_history(second)?;
        }
    }
    let each = |it: Duration| it.as_secs_f64() * 1e3 / SECONDS as f64;
    println!(
        "a second: {:.2} ms until it is durable, {:.2} ms of CPU, making it up included; {} on disk after {SECONDS}",
        each(wall.elapsed()),
        each(self::cpu()?.saturating_sub(cpu)),
        mib(size(&path)),
    );
    drop(store);
    let began = Instant::now();
    let (mut store, damage) = SqliteStore::open(&path, "example", Timestamp::from_seconds(NOW))?;
    if damage.is_some() {
        return Err("it is damaged".into());
    }
    let opened = began.elapsed();
    let mut amounts = 0;
    // What the windows of 28 days are made of.
    for (resolution, reach) in [(1, 600), (10, 7_200), (60, 259_200), (3_600, 28 * 86_400)] {
        store.visit_history(resolution, NOW - reach, NOW, &mut |stretch| {
            amounts += stretch.amounts.len();
        })?;
    }
    println!(
        "a start: {:.2} s to open and check it, {:.2} s to read {amounts} amounts",
        opened.as_secs_f64(),
        (began.elapsed() - opened).as_secs_f64(),
    );
    Ok(())
}

/// Traffic of about 50 requests a second to each, of which one in a thousand is bad.
fn addition(names: &[Arc<str>], resolution: u32, random: &mut u64) -> Addition {
    let amounts = names.iter().map(|name| {
        *random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let varied = *random >> 33;
        let good = u64::from(resolution) * (25 + varied % 50);
        let bad = (good + varied % 1_000) / 1_000;
        let p50 = 5_000 + (varied % 50_000) as u32;
        let amount = Amount {
            good,
            bad,
            bad_service: bad - bad / 4,
            latency: (resolution >= 60).then_some((p50, p50 * 12)),
        };
        (Arc::clone(name), amount)
    });
    Addition {
        observed_millis: u64::from(resolution) * 1_000,
        amounts: amounts.collect(),
    }
}

/// With the log beside it.
fn size(path: &Path) -> u64 {
    let log = path.with_extension("db-wal");
    let bytes = |path: &Path| fs::metadata(path).map_or(0, |it| it.len());
    bytes(path) + bytes(&log)
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// What this process has used of the processor.
fn cpu() -> Result<Duration, Box<dyn Error>> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit_once(')').ok_or("no stat")?.1;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|it| it.parse::<u64>().ok());
    let ticks = ticks(11).zip(ticks(12)).ok_or("no times in stat")?;
    // A tick is 10 ms on every Linux that we know of.
    Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
}
