//! Clients: when they come, who they are, and whether they come again.
//!
//! New users are Poisson, whatever is answered (open loop); a user whose request failed may come again after a
//! pause, and knows of no budget and no `Retry-After`: the harsh case.

use std::time::Duration;

use plimsoll_config::scenario::{ClassShares, ClientRetry, PhaseRate, Workload};
use plimsoll_core::Class;

use crate::agenda::{NEVER, Nanos};
use crate::random::Stream;
use crate::scenario::Load;

/// Someone who wants something.
#[derive(Clone, Copy, Debug)]
pub(super) struct User {
    pub(super) workload: u16,
    pub(super) class: Class,
    pub(super) tenant: u64,
    /// How often it has tried before.
    pub(super) tries: u8,
    /// Where it is counted.
    pub(super) cell: u32,
}

/// A workload.
#[derive(Debug)]
pub(super) struct Crowd {
    pub(super) service: usize,
    /// The position among the workloads of its service: a route each.
    pub(super) group: u8,
    pub(super) patience: Nanos,
    index: u16,
    retry: ClientRetry,
    classes: ClassShares,
    tenants: Tenants,
    arrivals: Stream,
    who: Stream,
    returns: Stream,
    rates: Vec<Load>,
    /// Mean nanoseconds between two users.
    gap: f64,
    /// Which change of the load is in force.
    pub(super) version: u32,
}

impl Crowd {
    pub(super) fn new(
        index: usize,
        group: u8,
        workload: &Workload,
        rates: Vec<Load>,
        seed: u64,
    ) -> Self {
        let stream = |what| Stream::new(seed, &format!("{what} of {}", workload.name));
        Self {
            service: workload.service,
            group,
            patience: nanos(workload.patience),
            index: index as u16,
            retry: workload.retry,
            classes: workload.classes,
            tenants: Tenants::new(index as u64, workload.tenants, workload.zipf),
            arrivals: stream("arrivals"),
            who: stream("users"),
            returns: stream("returns"),
            rates,
            gap: f64::INFINITY,
            version: 0,
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

    /// How long it is to the next user; an exponential time remembers nothing, so that it may be drawn anew.
    pub(super) fn gap(&mut self) -> Option<Nanos> {
        (self.gap.is_finite()).then(|| self.arrivals.exponential(self.gap) as Nanos)
    }

    /// A user comes.
    pub(super) fn user(&mut self, cell: u32) -> User {
        let drawn = self.who.unit();
        let class = if drawn <= self.classes.critical {
            Class::Critical
        } else if drawn <= self.classes.critical + self.classes.sheddable {
            Class::Sheddable
        } else {
            Class::Standard
        };
        User {
            workload: self.index,
            class,
            tenant: self.tenants.draw(&mut self.who),
            tries: 0,
            cell,
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

/// A rate of a scenario in the form that the simulator goes through phases by.
pub(super) fn load(rate: &PhaseRate) -> Load {
    let millis = |time: Duration| u32::try_from(time.as_millis()).unwrap_or(u32::MAX);
    match rate.burst {
        Some(burst) => Load::Bursts {
            base: rate.to,
            peak: burst.peak,
            lasts: millis(burst.lasts),
            every: millis(burst.every),
        },
        None if rate.from == rate.to => Load::Steady(rate.to),
        None => Load::Ramp {
            from: rate.from,
            to: rate.to,
        },
    }
}

pub(super) fn nanos(time: Duration) -> Nanos {
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
        // In production it is a hash: every bit depends on every bit (Fibonacci hashing, D. Knuth, 6.4).
        (self.workload << 32 | position as u64)
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
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
