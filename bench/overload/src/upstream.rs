//! The service behind the proxies: endpoints of a known capacity that can be slowed, frozen and made to fail.
//!
//! One thread on the load's core, level-triggered epoll; the queueing is `station`. It lives in the load's process, so that a
//! fault happens at the planned moment of the same clock. Each run has an upstream of its own: nothing waits in it
//! from the run before. `GET /health` takes no slot and is not counted: it is the peers' health check.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::answer::find;
use crate::clock::now;
use crate::failure::{Doing, Failure};
use crate::plan::{SERVICE_TIME, SLOTS, micros};
use crate::station::{Arrival, Mode, Station};

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 256;
/// Tokens from here on are listeners.
const LISTENERS: u64 = 1 << 62;
/// How soon a change of a knob is seen.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// A proxied request head is far smaller.
const REQUEST_BYTES_MAX: usize = 8 * 1024;

const GOOD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nCache-Control: no-store\r\nContent-Length: 128\r\n";
const BAD: &str =
    "HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\nContent-Length: 128\r\n";

/// What the outside sets and reads of one endpoint.
struct Knobs {
    service_time: AtomicU64,
    mode: AtomicU8,
    /// Requests that have arrived.
    received: AtomicU64,
}

/// The running service. Dropping it ends its thread.
pub(crate) struct Upstream {
    pub(crate) addresses: Vec<SocketAddr>,
    knobs: Arc<[Knobs]>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Upstream {
    pub(crate) fn start(endpoints: usize) -> Result<Self, Failure> {
        let doing = || "starting the upstream".to_owned();
        let mut listeners = Vec::new();
        let mut addresses = Vec::new();
        for _ in 0..endpoints {
            let listener = TcpListener::bind("127.0.0.1:0").doing(doing)?;
            rustix::net::listen(&listener, 4_096).doing(doing)?;
            listener.set_nonblocking(true).doing(doing)?;
            addresses.push(listener.local_addr().doing(doing)?);
            listeners.push(listener);
        }
        let knobs: Arc<[Knobs]> = (0..endpoints)
            .map(|_| Knobs {
                service_time: AtomicU64::new(micros(SERVICE_TIME)),
                mode: AtomicU8::new(0),
                received: AtomicU64::new(0),
            })
            .collect();
        let stop = Arc::new(AtomicBool::new(false));
        let mut server = Server::new(listeners, knobs.clone()).doing(doing)?;
        let stopped = stop.clone();
        let thread = std::thread::Builder::new()
            .name("upstream".to_owned())
            .spawn(move || {
                let mut events = Vec::with_capacity(EVENTS_MAX);
                while !stopped.load(Ordering::Relaxed) {
                    if let Err(error) = server.turn(&mut events) {
                        eprintln!("bench: the upstream: {error}");
                        return;
                    }
                }
            })
            .doing(doing)?;
        Ok(Self {
            addresses,
            knobs,
            stop,
            thread: Some(thread),
        })
    }

    /// What a job takes at `endpoint` from now on.
    pub(crate) fn set_service_time(&self, endpoint: usize, time: Duration) {
        if let Some(knobs) = self.knobs.get(endpoint) {
            knobs.service_time.store(micros(time), Ordering::Relaxed);
        }
    }

    /// How `endpoint` behaves from now on.
    pub(crate) fn set_mode(&self, endpoint: usize, mode: Mode) {
        if let Some(knobs) = self.knobs.get(endpoint) {
            let code = match mode {
                Mode::Serving => 0,
                Mode::Frozen => 1,
                Mode::Failing => 2,
            };
            knobs.mode.store(code, Ordering::Relaxed);
        }
    }

    /// Requests that have arrived at all endpoints.
    pub(crate) fn received(&self) -> u64 {
        self.knobs
            .iter()
            .map(|knobs| knobs.received.load(Ordering::Relaxed))
            .sum()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if self
            .thread
            .take()
            .is_some_and(|thread| thread.join().is_err())
        {
            eprintln!("bench: the upstream panicked");
        }
    }
}

/// Whom to answer: a connection, as it was when it asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Job {
    slot: usize,
    generation: u64,
    closes: bool,
}

struct Connection {
    stream: TcpStream,
    endpoint: usize,
    generation: u64,
    request: Vec<u8>,
}

struct Server {
    start: Instant,
    poll: rustix::fd::OwnedFd,
    listeners: Vec<TcpListener>,
    knobs: Arc<[Knobs]>,
    stations: Vec<Station<Job>>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    generation: u64,
    done: Vec<Job>,
    chunk: Vec<u8>,
}

impl Server {
    fn new(listeners: Vec<TcpListener>, knobs: Arc<[Knobs]>) -> Result<Self, rustix::io::Errno> {
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (endpoint, listener) in listeners.iter().enumerate() {
            let data = epoll::EventData::new_u64(LISTENERS + endpoint as u64);
            epoll::add(&poll, listener, data, epoll::EventFlags::IN)?;
        }
        let service_time = micros(SERVICE_TIME);
        Ok(Self {
            start: now(),
            poll,
            stations: listeners
                .iter()
                .map(|_| Station::new(SLOTS, service_time))
                .collect(),
            listeners,
            knobs,
            connections: Vec::new(),
            free: Vec::new(),
            generation: 0,
            done: Vec::new(),
            chunk: vec![0; REQUEST_BYTES_MAX],
        })
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// Waits for what comes next, and deals with it.
    fn turn(&mut self, events: &mut Vec<epoll::Event>) -> std::io::Result<()> {
        let timeout = self
            .stations
            .iter()
            .filter_map(Station::next_timeout)
            .min()
            .map_or(LOOK_EVERY, |at| {
                Duration::from_micros(at.saturating_sub(self.now())).min(LOOK_EVERY)
            });
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        events.clear();
        match epoll::wait(&self.poll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error.into()),
        }
        let now = self.now();
        self.on_time(now);
        for event in events.iter() {
            let token = event.data.u64();
            match token.checked_sub(LISTENERS) {
                Some(endpoint) => self.accept(endpoint as usize)?,
                None => self.on_readable(token as usize, now),
            }
        }
        Ok(())
    }

    /// Answers what is done, then turns the knobs.
    fn on_time(&mut self, now: u64) {
        let mut done = std::mem::take(&mut self.done);
        for (station, knobs) in self.stations.iter_mut().zip(self.knobs.iter()) {
            station.on_time(now, &mut done);
            station.set_service_time(knobs.service_time.load(Ordering::Relaxed));
            let mode = match knobs.mode.load(Ordering::Relaxed) {
                0 => Mode::Serving,
                1 => Mode::Frozen,
                _ => Mode::Failing,
            };
            station.set_mode(now, mode);
        }
        for job in done.drain(..) {
            self.answer(job, GOOD);
        }
        self.done = done;
    }

    fn accept(&mut self, endpoint: usize) -> std::io::Result<()> {
        let Some(listener) = self.listeners.get(endpoint) else {
            return Ok(());
        };
        loop {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The caller has gone already, or files are short: the next turn tries again.
                Err(_) => return Ok(()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let slot = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            let data = epoll::EventData::new_u64(slot as u64);
            epoll::add(&self.poll, &stream, data, epoll::EventFlags::IN)?;
            self.generation += 1;
            if let Some(place) = self.connections.get_mut(slot) {
                *place = Some(Connection {
                    stream,
                    endpoint,
                    generation: self.generation,
                    request: Vec::new(),
                });
            }
        }
    }

    fn on_readable(&mut self, slot: usize, now: u64) {
        let Some(Some(connection)) = self.connections.get_mut(slot) else {
            return;
        };
        match connection.stream.read(&mut self.chunk) {
            Ok(0) => return self.close(slot),
            Ok(count) => {
                let bytes = self.chunk.get(..count).unwrap_or_default();
                connection.request.extend_from_slice(bytes);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Err(_) => return self.close(slot),
        }
        if find(&connection.request, b"\r\n\r\n").is_none() {
            if connection.request.len() > REQUEST_BYTES_MAX {
                self.close(slot);
            }
            return;
        }
        let request = std::mem::take(&mut connection.request);
        let job = Job {
            slot,
            generation: connection.generation,
            closes: closes(&request),
        };
        let endpoint = connection.endpoint;
        let (Some(station), Some(knobs)) =
            (self.stations.get_mut(endpoint), self.knobs.get(endpoint))
        else {
            return;
        };
        if request.starts_with(b"GET /health") {
            match knobs.mode.load(Ordering::Relaxed) {
                0 => self.answer(job, GOOD),
                1 => (),
                _ => self.answer(job, BAD),
            }
            return;
        }
        knobs.received.fetch_add(1, Ordering::Relaxed);
        if station.on_arrival(now, job) == Arrival::Failed {
            self.answer(job, BAD);
        }
    }

    /// Answers `job`, if who asked is still there. So small an answer fits into the socket's buffer.
    fn answer(&mut self, job: Job, head: &str) {
        let Some(Some(connection)) = self.connections.get_mut(job.slot) else {
            return;
        };
        if connection.generation != job.generation {
            return;
        }
        let close = if job.closes {
            "Connection: close\r\n"
        } else {
            ""
        };
        let text = format!("{head}{close}\r\n{:x<128}", "");
        let written = connection.stream.write(text.as_bytes());
        if job.closes || written.ok() != Some(text.len()) {
            self.close(job.slot);
        }
    }

    fn close(&mut self, slot: usize) {
        if self
            .connections
            .get_mut(slot)
            .and_then(Option::take)
            .is_some()
        {
            self.free.push(slot);
        }
    }
}

/// Whether the connection ends after the answer: HTTP/1.0, or asked for.
fn closes(request: &[u8]) -> bool {
    let line_end = find(request, b"\r\n").unwrap_or(0);
    request
        .get(..line_end)
        .unwrap_or_default()
        .ends_with(b"HTTP/1.0")
        || String::from_utf8_lossy(request)
            .to_ascii_lowercase()
            .contains("\r\nconnection: close")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(stream: &mut TcpStream) -> String {
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("it is written");
        let mut buffer = [0; 1024];
        let count = stream.read(&mut buffer).expect("it is answered");
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn it_takes_its_time_and_fails_when_told() {
        let upstream = Upstream::start(1).expect("it starts");
        let mut stream = TcpStream::connect(upstream.addresses[0]).expect("it listens");
        let begun = now();
        assert!(ask(&mut stream).starts_with("HTTP/1.1 200"));
        assert!(begun.elapsed() >= SERVICE_TIME);
        upstream.set_mode(0, Mode::Failing);
        crate::clock::sleep(Duration::from_millis(50));
        assert!(ask(&mut stream).starts_with("HTTP/1.1 500"));
        assert_eq!(upstream.received(), 2);
    }

    #[test]
    fn a_caller_of_http_1_0_is_not_kept() {
        assert!(closes(b"GET / HTTP/1.0\r\nHost: x\r\n\r\n"));
        assert!(closes(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"));
        assert!(!closes(b"GET / HTTP/1.1\r\nConnection: keep-alive\r\n\r\n"));
    }
}
