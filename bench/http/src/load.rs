//! The load: a closed loop over kept connections. Each connection asks again as soon as it is answered.
//!
//! One thread, level-triggered epoll. It reads the proxy's CPU time and memory itself, at the two ends of
//! the measuring window, so that requests and CPU time are of exactly the same window. Units: microseconds.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::epoll;

use crate::clock::now;
use crate::command::PROXY_CORE;
use crate::failure::{Doing, Failure};
use crate::measured::Measured;
use crate::response::{Progress, Reader};
use crate::summary::quantile;
use crate::upstream::EVENTS_MAX;
use crate::words::Words;
use crate::{plan, process};

/// Read at a time: the whole of a large response.
const CHUNK_BYTES: usize = 128 * 1024;

struct Connection {
    stream: TcpStream,
    reader: Reader,
    asked: Instant,
}

/// Counts of the window.
#[derive(Default)]
struct Tally {
    latencies: Vec<u32>,
    errors: u64,
}

/// Runs a warm-up and a window, and prints what was measured as one line.
pub(crate) fn load(words: &mut Words) -> Result<(), Failure> {
    let address: SocketAddr = words.needed("--address")?;
    let path: String = words.needed("--path")?;
    let connections: usize = words.needed("--connections")?;
    let warm_up = Duration::from_micros(words.needed("--warm-up")?);
    let window = Duration::from_micros(words.needed("--window")?);
    let pids = plan::pids_from(&words.needed::<String>("--pids")?);

    let mut run = Run::connect(address, connections, request(&path))?;
    run.until(now() + warm_up)?;
    run.tally = Tally::default();
    let (cpu, core, start) = (
        process::cpu_time(&pids)?,
        process::core_time(PROXY_CORE),
        now(),
    );
    run.until(start + window)?;
    let elapsed = start.elapsed();
    let cpu = process::cpu_time(&pids)?.saturating_sub(cpu);
    let core = process::core_time(PROXY_CORE).saturating_sub(core);
    let memory = process::memory(&pids)?;

    let Tally {
        mut latencies,
        errors,
    } = run.tally;
    latencies.sort_unstable();
    let measured = Measured {
        requests: latencies.len() as u64,
        errors,
        elapsed,
        cpu,
        foreign: core.saturating_sub(cpu),
        latency_p50: Duration::from_micros(quantile(&latencies, 0.50).into()),
        latency_p99: Duration::from_micros(quantile(&latencies, 0.99).into()),
        memory,
    };
    println!("{}", measured.to_line());
    Ok(())
}

/// A request as a browser or a client library sends it: eight fields.
pub(crate) fn request(path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: bench/1.0 (closed loop)\r\n\
         Accept: application/json, text/plain, */*\r\nAccept-Encoding: gzip, deflate, br\r\n\
         Accept-Language: en-GB,en;q=0.7\r\nCache-Control: no-cache\r\nCookie: basket=8c1f42ab; currency=eur\r\n\
         Referer: https://shop.example/catalog?page=2\r\n\r\n"
    )
    .into_bytes()
}

struct Run {
    address: SocketAddr,
    request: Vec<u8>,
    poll: rustix::fd::OwnedFd,
    connections: Vec<Connection>,
    chunk: Vec<u8>,
    tally: Tally,
}

impl Run {
    fn connect(address: SocketAddr, connections: usize, request: Vec<u8>) -> Result<Self, Failure> {
        let poll =
            epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "creating an epoll".to_owned())?;
        let chunk = vec![0; CHUNK_BYTES];
        let mut run = Self {
            address,
            request,
            poll,
            connections: Vec::new(),
            chunk,
            tally: Tally::default(),
        };
        for token in 0..connections {
            let connection = run.open(token)?;
            run.connections.push(connection);
        }
        Ok(run)
    }

    /// Connects and asks.
    fn open(&self, token: usize) -> Result<Connection, Failure> {
        let doing = || format!("connecting to {}", self.address);
        let mut stream = TcpStream::connect(self.address).doing(doing)?;
        stream.set_nodelay(true).doing(doing)?;
        stream.write_all(&self.request).doing(doing)?;
        stream.set_nonblocking(true).doing(doing)?;
        epoll::add(
            &self.poll,
            &stream,
            epoll::EventData::new_u64(token as u64),
            epoll::EventFlags::IN,
        )
        .doing(doing)?;
        Ok(Connection {
            stream,
            reader: Reader::default(),
            asked: now(),
        })
    }

    fn until(&mut self, end: Instant) -> Result<(), Failure> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        // A proxy that answers nothing at all must not hold the run.
        let patience = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        while now() < end {
            events.clear();
            match epoll::wait(&self.poll, spare_capacity(&mut events), Some(&patience)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => (),
                Err(error) => return Err(error).doing(|| "waiting for events".to_owned()),
            }
            for event in &events {
                self.on_readable(usize::try_from(event.data.u64()).unwrap_or(usize::MAX))?;
            }
        }
        Ok(())
    }

    fn on_readable(&mut self, token: usize) -> Result<(), Failure> {
        let Some(connection) = self.connections.get_mut(token) else {
            return Ok(());
        };
        let healthy = match connection.stream.read(&mut self.chunk) {
            Ok(0) => false,
            Ok(count) => {
                match connection
                    .reader
                    .on_bytes(self.chunk.get(..count).unwrap_or_default())
                {
                    Progress::More => true,
                    Progress::Broken => false,
                    Progress::Done(status) => {
                        let answered = now();
                        let latency = answered.duration_since(connection.asked).as_micros();
                        if status == 200 {
                            self.tally
                                .latencies
                                .push(u32::try_from(latency).unwrap_or(u32::MAX));
                        } else {
                            self.tally.errors += 1;
                        }
                        connection.asked = answered;
                        // The buffer is empty, as the last request was answered: it takes all or fails.
                        connection
                            .stream
                            .write(&self.request)
                            .is_ok_and(|count| count == self.request.len())
                    }
                }
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        if !healthy {
            self.tally.errors += 1;
            let fresh = self.open(token)?;
            if let Some(connection) = self.connections.get_mut(token) {
                *connection = fresh;
            }
        }
        Ok(())
    }
}
