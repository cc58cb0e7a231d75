//! Open-loop arrivals: when the next request is due, and which one it is.
//!
//! Poisson: gaps are exponential and do not depend on how fast anything answers. The rate may change at
//! any moment; the next gap is then drawn anew, which for a memoryless process changes nothing else.
//! Units: time is `Duration` since the load began.

use std::time::Duration;

use plimsoll_core::Class;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::catalogue::{CATALOGUE, SERVICES};
use crate::plan::{CRITICAL_LOAD, STANDARD_SHARE};

/// One request that is due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Arrival {
    /// The intended send time.
    pub(crate) at: Duration,
    /// Counts from zero; the shop draws its work from it.
    pub(crate) number: u64,
    /// Index into [`SERVICES`].
    pub(crate) service: usize,
    pub(crate) class: Class,
    /// Whether the client that floods sends it.
    pub(crate) flood: bool,
}

/// The rates at which requests come, per second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rates {
    pub(crate) critical: f64,
    /// Standard and sheddable.
    pub(crate) other: f64,
    /// Standard requests of one client on top.
    pub(crate) flood: f64,
    /// Standard requests of all clients for the catalogue, on top.
    pub(crate) reads: f64,
}

impl Rates {
    /// The rates at `load` times `capacity`,
    /// and one client's `flood` on top.
    pub(crate) fn at_load(load: f64, flood: f64, capacity: f64) -> Self {
        let critical = f64::min(load, CRITICAL_LOAD);
        Self {
            critical: critical * capacity,
            other: (load - critical) * capacity,
            flood: flood * capacity,
            reads: 0.0,
        }
    }

    /// All of them.
    pub(crate) fn total(&self) -> f64 {
        self.critical + self.other + self.flood + self.reads
    }
}

/// The process that requests arrive by.
pub(crate) struct Arrivals {
    rng: Xoshiro256PlusPlus,
    rates: Rates,
    next_at: Duration,
    number: u64,
}

impl Arrivals {
    /// Begins at zero with `rates`.
    pub(crate) fn new(seed: u64, rates: Rates) -> Self {
        let mut arrivals = Self {
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            rates,
            next_at: Duration::ZERO,
            number: 0,
        };
        arrivals.draw_gap(Duration::ZERO);
        arrivals
    }

    /// The rates are `rates` from `at` on. What was due before `at` must have been taken.
    pub(crate) fn on_rates(&mut self, at: Duration, rates: Rates) {
        if rates != self.rates {
            self.rates = rates;
            self.draw_gap(at);
        }
    }

    /// When the next request is due.
    pub(crate) fn next_timeout(&self) -> Duration {
        self.next_at
    }

    /// The next request that was due before `now`.
    pub(crate) fn next_before(&mut self, now: Duration) -> Option<Arrival> {
        if self.next_at >= now {
            return None;
        }
        let arrival = self.draw_request();
        self.draw_gap(arrival.at);
        Some(arrival)
    }

    fn draw_request(&mut self) -> Arrival {
        let (at, number) = (self.next_at, self.number);
        self.number += 1;
        let mut service = self.draw_service();
        let kind = self.draw_share() * self.rates.total();
        let flood = kind < self.rates.flood;
        let reads = kind >= self.rates.total() - self.rates.reads;
        if reads {
            service = CATALOGUE;
        }
        let class = if flood || reads {
            Class::Standard
        } else if kind < self.rates.flood + self.rates.critical {
            Class::Critical
        } else if self.draw_share() < STANDARD_SHARE {
            Class::Standard
        } else {
            Class::Sheddable
        };
        Arrival {
            at,
            number,
            service,
            class,
            flood,
        }
    }

    /// A service, in proportion to its capacity.
    fn draw_service(&mut self) -> usize {
        let mut left = self.draw_share() * crate::catalogue::capacity();
        for (index, model) in SERVICES.iter().enumerate() {
            left -= model.capacity();
            if left < 0.0 {
                return index;
            }
        }
        SERVICES.len() - 1
    }

    /// `libm`, because what is drawn must not differ between platforms.
    fn draw_gap(&mut self, from: Duration) {
        let share = self.draw_share();
        let rate = self.rates.total();
        self.next_at = if rate > 0.0 {
            from + Duration::from_secs_f64((-libm::log1p(-share) / rate).min(1e6))
        } else {
            Duration::MAX
        };
    }

    /// In `0.0..1.0`: the upper 53 bits, which is all an `f64` holds.
    fn draw_share(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_requests() {
        assert_eq!(take(7, 4_000.0), take(7, 4_000.0));
        assert_ne!(take(7, 4_000.0), take(8, 4_000.0));
    }

    #[test]
    fn arrivals_come_at_their_rate_and_in_their_shares() {
        let arrivals = take(1, 4_000.0);
        let seconds = 10.0;
        near(arrivals.len() as f64 / seconds, 4_000.0, 0.03);
        let critical = arrivals
            .iter()
            .filter(|arrival| arrival.class == Class::Critical)
            .count();
        near(critical as f64 / seconds, 120.0, 0.1);
        let catalog = arrivals
            .iter()
            .filter(|arrival| arrival.service == 0)
            .count();
        near(catalog as f64 / arrivals.len() as f64, 0.4, 0.05);
    }

    #[test]
    fn gaps_of_a_poisson_process_vary_as_much_as_they_last() {
        let times: Vec<f64> = take(3, 400.0)
            .iter()
            .map(|arrival| arrival.at.as_secs_f64())
            .collect();
        let gaps: Vec<f64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps
            .iter()
            .map(|gap| (gap - mean) * (gap - mean))
            .sum::<f64>()
            / gaps.len() as f64;
        near(variance.sqrt() / mean, 1.0, 0.05);
    }

    #[test]
    fn a_changed_rate_counts_from_its_moment_on() {
        let mut arrivals = Arrivals::new(1, Rates::at_load(0.6, 0.0, 400.0));
        while arrivals.next_before(Duration::from_secs(1)).is_some() {}
        arrivals.on_rates(Duration::from_secs(1), Rates::at_load(10.0, 0.0, 400.0));
        let mut count = 0;
        while let Some(arrival) = arrivals.next_before(Duration::from_secs(2)) {
            assert!(arrival.at >= Duration::from_secs(1));
            count += 1;
        }
        near(f64::from(count), 4_000.0, 0.1);
    }

    #[test]
    fn a_flood_comes_on_top_and_is_marked() {
        let mut arrivals = Arrivals::new(1, Rates::at_load(0.6, 5.0, 400.0));
        let all: Vec<Arrival> =
            std::iter::from_fn(|| arrivals.next_before(Duration::from_secs(10))).collect();
        let flood = all.iter().filter(|arrival| arrival.flood);
        near(flood.clone().count() as f64 / 10.0, 2_000.0, 0.03);
        assert!(
            flood
                .clone()
                .all(|arrival| arrival.class == Class::Standard)
        );
        near((all.len() - flood.count()) as f64 / 10.0, 240.0, 0.1);
    }

    #[test]
    fn reads_on_top_are_all_for_the_catalogue() {
        let rates = Rates {
            reads: 400.0,
            ..Rates::default()
        };
        let mut arrivals = Arrivals::new(1, rates);
        let all: Vec<Arrival> =
            std::iter::from_fn(|| arrivals.next_before(Duration::from_secs(10))).collect();
        near(all.len() as f64 / 10.0, 400.0, 0.05);
        assert!(
            all.iter()
                .all(|it| it.service == CATALOGUE && it.class == Class::Standard && !it.flood)
        );
    }

    #[test]
    fn no_rate_means_no_request() {
        let mut arrivals = Arrivals::new(1, Rates::default());
        assert_eq!(arrivals.next_before(Duration::from_secs(1_000)), None);
    }

    fn take(seed: u64, rate: f64) -> Vec<Arrival> {
        let mut arrivals = Arrivals::new(seed, Rates::at_load(rate / 400.0, 0.0, 400.0));
        std::iter::from_fn(|| arrivals.next_before(Duration::from_secs(10))).collect()
    }

    #[track_caller]
    fn near(value: f64, expected: f64, tolerance: f64) {
        assert!(
            (value / expected - 1.0).abs() < tolerance,
            "{value} is not near {expected}"
        );
    }
}
