//! The load: sends requests at their intended moments, whatever has become of those before.
//!
//! One thread, level-triggered epoll, HTTP/1.1 over kept connections. A request takes an idle connection of its address,
//! else a new one; where all are in use, it fails as it does with a client library whose pool is exhausted: waiting in
//! line until shortly before the deadline would only open and close connections. After `PATIENCE` the client gives up and closes the connection, as a client library does. It reads CPU times at given
//! moments and causes faults at given moments. Units: microseconds since the start of the run.
//!
//! Invariant: every request gets exactly one end. Elsewhere: what the ends mean (`tally`).

mod client;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

use crate::answer::Progress;
use crate::arrivals::{Arrivals, Key, Stream};
use crate::clock::now;
use crate::command::{LOAD_CORE, PROXY_CORE};
use crate::failure::{Doing, Failure};
use crate::plan::{CONNECTIONS_MAX, PATIENCE, micros};
use crate::process;
use crate::random::Random;
use crate::station::Mode;
use crate::upstream::Upstream;
use client::{Clients, Sent};

/// Events taken from the kernel at a time: few, so that send times are met in between.
const EVENTS_MAX: usize = 128;
/// No wait is longer.
const LOOK_EVERY: u64 = 50_000;

/// What is done to an endpoint, or read, at a moment of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Event {
    /// Read CPU times and counters.
    Read,
    ServiceTime(usize, Duration),
    Mode(usize, Mode),
}

/// A whole run.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) streams: Vec<Stream>,
    /// In the order of their moments.
    pub(crate) events: Vec<(u64, Event)>,
    /// No request is meant to be sent later.
    pub(crate) length: u64,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Pending,
    Answered(u16),
    /// The connection was closed or refused, without an answer.
    Closed,
    /// The client gave up.
    GivenUp,
    /// All of the client's connections were in use.
    Unsent,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) stream: usize,
    /// When it was meant to be sent.
    pub(crate) at: u64,
    /// How long after that it ended.
    pub(crate) latency: u64,
    pub(crate) end: End,
}

/// Counters at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    /// The planned moment.
    pub(crate) at: u64,
    /// The moment itself.
    pub(crate) taken: u64,
    /// CPU time of the proxy's process tree.
    pub(crate) cpu: Duration,
    /// CPU time of everything on the proxy's core.
    pub(crate) proxy_core: Duration,
    /// CPU time of everything on the load's core.
    pub(crate) load_core: Duration,
    /// CPU time of this process: load and upstream.
    pub(crate) own: Duration,
    /// Requests that have arrived at the services.
    pub(crate) received: u64,
}

/// What a run showed.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) requests: Vec<Request>,
    pub(crate) readings: Vec<Reading>,
    /// How late requests were sent, or tried to be; sorted.
    pub(crate) lateness: Vec<u32>,
    /// Source ports that could not be had.
    pub(crate) ports_missed: u64,
    pub(crate) connections_peak: usize,
}

/// Runs `script` against the proxy at `address`, whose processes are `pids`.
pub(crate) fn run(
    script: &Script,
    seed: u64,
    address: SocketAddr,
    pids: &[u32],
    upstream: &Upstream,
) -> Result<Seen, Failure> {
    let mut load = Load::new(script, seed, address)?;
    let mut events = script.events.iter().peekable();
    let end = script.length + micros(PATIENCE) + 50_000;
    let mut polled = Vec::with_capacity(EVENTS_MAX);
    loop {
        let now = load.now();
        while let Some((at, event)) = events.next_if(|(at, _)| *at <= now) {
            match event {
                Event::Read => load
                    .seen
                    .readings
                    .push(read(*at, load.now(), pids, upstream)?),
                Event::ServiceTime(endpoint, time) => upstream.set_service_time(*endpoint, *time),
                Event::Mode(endpoint, mode) => upstream.set_mode(*endpoint, *mode),
            }
        }
        load.send_due(script, now)?;
        load.give_up(now);
        if now >= end || (now >= script.length && load.deadlines.is_empty()) {
            break;
        }
        let next = [
            load.arrivals.next().map(|(_, at)| at as u64),
            load.deadlines.front().map(|(at, _)| *at),
            events.peek().map(|(at, _)| *at),
        ];
        let next = next.into_iter().flatten().min().unwrap_or(u64::MAX);
        load.wait(next.saturating_sub(load.now()).min(LOOK_EVERY), &mut polled)?;
    }
    load.seen.lateness.sort_unstable();
    load.seen.ports_missed = load.clients.ports_missed;
    load.seen.connections_peak = load.clients.open_peak;
    Ok(load.seen)
}

fn read(at: u64, taken: u64, pids: &[u32], upstream: &Upstream) -> Result<Reading, Failure> {
    Ok(Reading {
        at,
        taken,
        cpu: process::cpu_time(pids)?,
        proxy_core: process::core_time(PROXY_CORE),
        load_core: process::core_time(LOAD_CORE),
        own: process::cpu_time(&[std::process::id()])?,
        received: upstream.received(),
    })
}

struct Load {
    start: Instant,
    poll: rustix::fd::OwnedFd,
    arrivals: Arrivals,
    clients: Clients,
    keys: Random,
    /// When each unfinished request is given up: patience is the same for all, so the order is that of sending.
    /// Finished ones are still in it.
    deadlines: VecDeque<(u64, usize)>,
    /// Of each stream, which address is next.
    turns: Vec<usize>,
    seen: Seen,
}

impl Load {
    fn new(script: &Script, seed: u64, address: SocketAddr) -> Result<Self, Failure> {
        let poll =
            epoll::create(epoll::CreateFlags::CLOEXEC).doing(|| "creating an epoll".to_owned())?;
        let most = |stream: &Stream| (stream.rate_max() * 1.2) as usize + 64;
        let shares = script.streams.iter();
        let shares =
            shares.map(|stream| (stream.addresses.clone(), most(stream).min(CONNECTIONS_MAX)));
        Ok(Self {
            start: now(),
            poll,
            arrivals: Arrivals::new(&script.streams, seed),
            clients: Clients::new(address, shares.collect()),
            keys: Random::new(!seed),
            deadlines: VecDeque::new(),
            turns: vec![0; script.streams.len()],
            seen: Seen::default(),
        })
    }

    fn now(&self) -> u64 {
        micros(self.start.elapsed())
    }

    /// Sends everything that is due.
    fn send_due(&mut self, script: &Script, now: u64) -> Result<(), Failure> {
        while let Some((index, at)) = self.arrivals.next() {
            let at = at as u64;
            if at > now || at >= script.length {
                break;
            }
            self.arrivals.advance(index);
            let sending = self.now();
            let (Some(stream), Some(turn)) = (script.streams.get(index), self.turns.get_mut(index))
            else {
                continue;
            };
            let place = *turn % stream.addresses.len().max(1);
            *turn += 1;
            let late = u32::try_from(sending.saturating_sub(at)).unwrap_or(u32::MAX);
            let request = self.seen.requests.len();
            self.seen.requests.push(Request {
                stream: index,
                at,
                latency: 0,
                end: End::Pending,
            });
            self.seen.lateness.push(late);
            self.deadlines.push_back((at + micros(PATIENCE), request));
            let key = match stream.key {
                Key::None => None,
                Key::OfAddress => Some(place as u64),
                Key::Random => Some(self.keys.next()),
            };
            self.clients.prepare(request, index, stream.path, key);
            match self.clients.send(&self.poll, request, index, place)? {
                Sent::Yes => (),
                Sent::NoneFree => self.end(request, End::Unsent),
                Sent::Failed => self.end(request, End::Closed),
            }
        }
        Ok(())
    }

    fn end(&mut self, request: usize, end: End) {
        let now = self.now();
        if let Some(request) = self.seen.requests.get_mut(request)
            && request.end == End::Pending
        {
            request.end = end;
            request.latency = now.saturating_sub(request.at);
        }
    }

    /// Ends what has taken too long.
    fn give_up(&mut self, now: u64) {
        while let Some(&(at, index)) = self.deadlines.front() {
            let request = self.seen.requests.get(index);
            let pending = request.is_some_and(|request| request.end == End::Pending);
            if pending && at > now {
                break;
            }
            self.deadlines.pop_front();
            if pending {
                self.clients.abort(index);
                self.end(index, End::GivenUp);
            }
        }
    }

    fn wait(&mut self, timeout: u64, events: &mut Vec<epoll::Event>) -> Result<(), Failure> {
        let timeout = Timespec {
            tv_sec: 0,
            tv_nsec: i64::try_from(timeout * 1_000).unwrap_or(0),
        };
        events.clear();
        match epoll::wait(&self.poll, spare_capacity(events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(error).doing(|| "waiting for answers".to_owned()),
        }
        for event in events.iter() {
            let token = event.data.u64();
            // A copy: the kernel's structure is packed.
            let flags = event.flags;
            if flags.contains(epoll::EventFlags::OUT) {
                self.clients.on_writable(&self.poll, token)?;
            }
            let Some((progress, request)) = self.clients.on_readable(token) else {
                continue;
            };
            let end = match progress {
                Progress::More => continue,
                Progress::Done(answer) => End::Answered(answer.status),
                Progress::Broken => End::Closed,
            };
            if let Some(request) = request {
                self.end(request, end);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{CAPACITY, SERVICE_TIME};

    fn run_for(rate: f64, length: u64, events: Vec<(u64, Event)>) -> (Seen, u64) {
        let upstream = Upstream::start(1).expect("it starts");
        let script = Script {
            streams: vec![Stream::from_addresses(1, 4, "/").at(&[(0, rate)])],
            events,
            length,
        };
        let seen = run(&script, 1, upstream.addresses[0], &[], &upstream).expect("it runs");
        (seen, upstream.received())
    }

    #[test]
    fn every_request_has_an_end_and_arrives_once() {
        let (seen, received) = run_for(0.3 * CAPACITY, 500_000, Vec::new());
        assert_eq!(seen.requests.len() as u64, received);
        let time = micros(SERVICE_TIME);
        for request in &seen.requests {
            assert_eq!(request.end, End::Answered(200));
            assert!(request.latency >= time);
        }
    }

    #[test]
    fn requests_to_a_frozen_service_are_given_up_in_time() {
        let (seen, _) = run_for(200.0, 300_000, vec![(0, Event::Mode(0, Mode::Frozen))]);
        let given_up = seen
            .requests
            .iter()
            .filter(|request| request.end == End::GivenUp);
        // The knob is seen a moment later: the first few may be answered.
        assert!(given_up.clone().count() + 5 > seen.requests.len());
        for request in given_up {
            assert!(request.latency >= micros(PATIENCE));
        }
    }
}
