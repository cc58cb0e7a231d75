//! Clients: when they come, who they are, and whether they come again.
//!
//! New users are Poisson, whatever is answered (open loop), or of a population (`population`), or those of a log
//! (replay). A user whose request failed may come again after a pause, and knows of no budget and no `Retry-After`:
//! the harsh case.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_config::scenario::{ClassShares, ClientRetry, Phase, Source, Workload};
use plimsoll_core::Class;

use crate::agenda::{NEVER, Nanos};
use crate::fleet::population::Habits;
use crate::fleet::rate::Rate;
use crate::random::Stream;

/// Someone who wants something.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    /// The workload, or the calls that it is one of.
    pub(super) sender: u16,
    pub(super) class: Class,
    pub(super) tenant: u64,
    /// How often it has tried before.
    pub(super) tries: u8,
    /// Where it is counted.
    pub(super) cell: u32,
    /// Who of a population it is.
    pub(super) member: Option<u32>,
    /// The attempt that an endpoint works on and needs this for, if it is a call.
    pub(super) caller: Option<u32>,
}

/// A request that came to a real gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// When, in nanoseconds since the first.
    pub at: u64,
    /// Whose, as a number that is of nobody else.
    pub tenant: u32,
    /// How much it mattered.
    pub class: Class,
}

/// Requests that come as they came.
#[derive(Debug)]
struct Tape {
    requests: Arc<[Recorded]>,
    next: usize,
    speed: f64,
}

/// A workload.
#[derive(Debug)]
pub(super) struct Crowd {
    index: u16,
    retry: ClientRetry,
    classes: ClassShares,
    tenants: Tenants,
    arrivals: Stream,
    who: Stream,
    returns: Stream,
    rates: Vec<Rate>,
    tape: Option<Tape>,
    /// Of a population.
    pub(super) habits: Option<Habits>,
    /// Mean nanoseconds between two users.
    gap: f64,
    /// Which change of the load is in force.
    pub(super) version: u32,
}

impl Crowd {
    pub(super) fn new(index: usize, workload: &Workload, phases: &[Phase], seed: u64) -> Self {
        let stream = |what| Stream::new(seed, &format!("{what} of {}", workload.name));
        let mut begins = 0;
        let rate = |phase: &Phase| {
            let rate = phase.rates.get(index).map(|rate| Rate::new(rate, begins));
            begins += nanos(phase.lasts);
            rate
        };
        let rates = phases.iter().filter_map(rate).collect();
        let users = phases.iter().filter_map(|phase| phase.users.get(index));
        let habits = match &workload.source {
            Source::Users(population) => Some(Habits::new(
                population,
                users.copied().collect(),
                stream("thoughts"),
                stream("leaving"),
            )),
            Source::Rate(_) | Source::Replay(_) => None,
        };
        let tape = match &workload.source {
            Source::Replay(replay) => Some(Tape {
                requests: Arc::new([]),
                next: 0,
                speed: replay.speed,
            }),
            Source::Rate(_) | Source::Users(_) => None,
        };
        Self {
            index: index as u16,
            retry: workload.retry,
            classes: workload.classes,
            tenants: Tenants::new(index as u64, workload.tenants, workload.zipf),
            arrivals: stream("arrivals"),
            who: stream("users"),
            returns: stream("returns"),
            rates,
            tape,
            habits,
            gap: f64::INFINITY,
            version: 0,
        }
    }

    /// What it replays.
    pub(super) fn record(&mut self, requests: Arc<[Recorded]>) {
        if let Some(tape) = &mut self.tape {
            tape.requests = requests;
        }
    }

    /// The load changes: `into` a phase that lasts so long. Says when it changes next, since the phase's beginning.
    pub(super) fn change(&mut self, phase: usize, into: Nanos, lasts: Nanos) -> Nanos {
        self.version = self.version.wrapping_add(1);
        let load = self.rates.get(phase).copied();
        let (rate, until) = load.map_or((0.0, NEVER), |load| load.at(into, lasts));
        self.gap = 1e9 / rate;
        until
    }

    /// When the next user comes; an exponential time remembers nothing, so that it may be drawn anew.
    pub(super) fn next(&mut self, now: Nanos) -> Option<Nanos> {
        if let Some(tape) = &self.tape {
            let request = tape.requests.get(tape.next)?;
            let at = request.at as f64 / tape.speed;
            return Some((at as Nanos).max(now));
        }
        self.gap
            .is_finite()
            .then(|| now + self.arrivals.exponential(self.gap) as Nanos)
    }

    /// A user comes.
    pub(super) fn user(&mut self, cell: u32) -> User {
        if let Some(tape) = &mut self.tape
            && let Some(request) = tape.requests.get(tape.next).copied()
        {
            tape.next += 1;
            let tenant = tenant(u64::from(self.index), u64::from(request.tenant));
            return self.known(request.class, tenant, cell);
        }
        let drawn = self.who.unit();
        let class = if drawn <= self.classes.critical {
            Class::Critical
        } else if drawn <= self.classes.critical + self.classes.sheddable {
            Class::Sheddable
        } else {
            Class::Standard
        };
        let tenant = self.tenants.draw(&mut self.who);
        self.known(class, tenant, cell)
    }

    fn known(&self, class: Class, tenant: u64, cell: u32) -> User {
        User {
            sender: self.index,
            class,
            tenant,
            tries: 0,
            cell,
            member: None,
            caller: None,
        }
    }

    /// A user's request failed: who comes again, and after how long.
    pub(super) fn returns(&mut self, user: &User) -> Option<(User, Nanos)> {
        let tries = user.tries + 1;
        (tries < self.retry.attempts).then(|| {
            let pause = self.returns.exponential(nanos(self.retry.pause) as f64) as Nanos;
            (User { tries, ..*user }, pause)
        })
    }
}

pub(super) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

pub(crate) fn nanos(time: Duration) -> Nanos {
    Nanos::try_from(time.as_nanos()).unwrap_or(NEVER)
}

/// The tenants of a workload.
#[derive(Debug)]
struct Tenants {
    workload: u64,
    /// What the first so many send in all, in a unit of its own.
    cumulative: Vec<f64>,
}

impl Tenants {
    fn new(workload: u64, count: u32, zipf: f64) -> Self {
        let mut sum = 0.0;
        let share = |n: u32| {
            sum += libm::pow(f64::from(n), -zipf);
            sum
        };
        Self {
            workload,
            cumulative: (1..=count).map(share).collect(),
        }
    }

    fn draw(&self, random: &mut Stream) -> u64 {
        let position = match self.cumulative.last() {
            Some(all) if self.cumulative.len() > 1 => {
                let drawn = random.unit() * all;
                self.cumulative.partition_point(|sum| *sum < drawn)
            }
            _ => 0,
        };
        tenant(self.workload, position as u64)
    }
}

/// In production it is a hash: every bit depends on every bit (Fibonacci hashing, D. Knuth, 6.4).
fn tenant(workload: u64, position: u64) -> u64 {
    (workload << 32 | position)
        .wrapping_add(1)
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn the_first_tenants_of_zipf_send_the_most() {
        let tenants = Tenants::new(0, 1_000, 1.0);
        let mut random = Stream::new(1, "test");
        let mut counts: BTreeMap<u64, u32> = BTreeMap::new();
        for _ in 0..100_000 {
            *counts.entry(tenants.draw(&mut random)).or_default() += 1;
        }
        let mut counts: Vec<u32> = counts.into_values().collect();
        counts.sort_unstable_by(|a, b| b.cmp(a));
        // The sum of 1/n up to 1,000 is 7.485.
        assert!((f64::from(counts[0]) / 13_360.0 - 1.0).abs() < 0.05);
        assert!((f64::from(counts[1]) / 6_680.0 - 1.0).abs() < 0.05);
    }
}
