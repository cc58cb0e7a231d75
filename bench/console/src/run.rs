//! The harness: pages, then viewers, then trouble.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::client::Client;
use crate::clock::{now, sleep};
use crate::failure::{Doing, Failure};
use crate::load::{Offer, Tally};
use crate::options::Options;
use crate::report::{self, Cell, Page, Results, Viewers, Window};
use crate::subject::{self, Subject};
use crate::trouble::{Ongoing, Trouble};
use crate::{machine, process};

/// The pages that are asked for.
const PAGES: [&str; 2] = ["/", "/services/service-007"];
/// Between two of them: a person does not ask without end, and whoever does waits.
const PAGE_PAUSE: Duration = Duration::from_millis(50);
const VIEWERS: [usize; 3] = [0, 10, 50];
/// Clients that saturate the gateway; and some that do not.
const CLIENTS_ALL: usize = 32;
const CLIENTS_SOME: usize = 8;
const SOME_PAUSE: Duration = Duration::from_millis(2);

/// Runs all of it, and shows what came out.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let version = Command::new(&options.plimsoll)
        .arg("--version")
        .output()
        .doing(|| format!("starting {}", options.plimsoll.display()))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let machine = machine::describe(&version);
    let subject = Subject::start(&options.plimsoll, options.services)?;
    let mut results = Results::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        pages(options, &subject, &mut results)?;
        viewers(options, &subject, &mut results)?;
        troubles(options, &subject, &mut results)?;
    }
    drop(subject);
    let text = report::markdown(options, &machine, &results);
    print!("{text}");
    if let Some(path) = &options.output {
        fs::write(path, &text).doing(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn load(options: &Options, subject: &Subject, is_all: bool) -> Offer {
    let (clients, pause) = match is_all {
        true => (CLIENTS_ALL, Duration::ZERO),
        false => (CLIENTS_SOME, SOME_PAUSE),
    };
    Offer {
        address: subject.gateway,
        clients,
        paths: (0..options.services).map(subject::path).collect(),
        pause,
    }
}

fn pages(options: &Options, subject: &Subject, results: &mut Results) -> Result<(), Failure> {
    for is_saturated in [false, true] {
        let load = is_saturated.then(|| load(options, subject, true).start());
        sleep(options.warm_up);
        for page in PAGES {
            eprintln!("  {page}, saturated: {is_saturated}");
            let (mut first, mut last) = (Tally::default(), Tally::default());
            for _ in 0..options.pages {
                // As a browser that comes: on a new connection.
                let answer = Client::connect(subject.console)?.ask(page)?;
                if answer.status != 200 {
                    return Err(Failure::unexpected(format!("{page}: {}", answer.status)));
                }
                let micros = |it: Duration| u32::try_from(it.as_micros()).unwrap_or(u32::MAX);
                first.latencies.push(micros(answer.first));
                last.latencies.push(micros(answer.last));
                sleep(PAGE_PAUSE);
            }
            first.latencies.sort_unstable();
            last.latencies.sort_unstable();
            results.pages.push(Page {
                page,
                is_saturated,
                first,
                last,
            });
        }
        if let Some(load) = load {
            load.end();
        }
    }
    Ok(())
}

fn viewers(options: &Options, subject: &Subject, results: &mut Results) -> Result<(), Failure> {
    for count in VIEWERS {
        eprintln!("  {count} viewers");
        let stop = Arc::<AtomicBool>::default();
        let threads: Vec<_> = (0..count)
            .map(|_| {
                let (address, stop) = (subject.console, Arc::clone(&stop));
                std::thread::spawn(move || watch(address, &stop))
            })
            .collect();
        sleep(options.warm_up);
        let (cpu, began) = (process::cpu_time(&[subject.pid()])?, now());
        sleep(options.watch);
        let cpu = process::cpu_time(&[subject.pid()])?.saturating_sub(cpu);
        let elapsed = began.elapsed();
        stop.store(true, Ordering::Relaxed);
        let mut bytes = 0;
        for thread in threads {
            let read = thread
                .join()
                .map_err(|_| Failure::unexpected("a viewer broke"))?;
            bytes += read.doing(|| "watching".to_owned())?;
        }
        results.viewers.push(Viewers {
            count,
            percent: 100.0 * cpu.as_secs_f64() / elapsed.as_secs_f64(),
            bytes_per_second: bytes as f64 / (elapsed + options.warm_up).as_secs_f64(),
        });
    }
    Ok(())
}

/// Watches the fleet; how many bytes came.
fn watch(address: SocketAddr, stop: &AtomicBool) -> std::io::Result<u64> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let (mut chunk, mut bytes) = (vec![0; 64 * 1024], 0);
    while !stop.load(Ordering::Relaxed) {
        let count = stream.read(&mut chunk)?;
        let head = chunk.get(..count).unwrap_or_default();
        if count == 0 || (bytes == 0 && !head.starts_with(b"HTTP/1.1 200")) {
            return Err(std::io::Error::other("not everybody may watch"));
        }
        bytes += count as u64;
    }
    Ok(bytes)
}

fn troubles(options: &Options, subject: &Subject, results: &mut Results) -> Result<(), Failure> {
    for is_all in [false, true] {
        for trouble in Trouble::ALL {
            eprintln!("  {}, saturated: {is_all}", trouble.name());
            let ongoing = Ongoing::begin(trouble, subject, options.services)?;
            let mut load = load(options, subject, is_all).start();
            sleep(options.warm_up);
            load.begin();
            sleep(options.window);
            let (tally, elapsed) = load.end();
            let said = ongoing.end(subject)?;
            let window = Window {
                good_per_second: tally.latencies.len() as f64 / elapsed.as_secs_f64(),
                p50: tally.quantile(0.5),
                p99: tally.quantile(0.99),
                bad: tally.bad,
                said,
            };
            let cell = Cell {
                is_saturated: is_all,
                trouble,
            };
            results.windows.push((cell, window));
        }
    }
    Ok(())
}
