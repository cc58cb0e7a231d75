//! When requests are meant to be sent: an open loop, which does not wait for answers.
//!
//! Each stream is a Poisson process whose rate changes at given times. Units: microseconds since the start; rates per
//! second. The same seed gives the same times.

use std::net::Ipv4Addr;

use crate::random::Random;

/// Requests of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    /// Where they come from, in turn.
    pub(crate) addresses: Vec<Ipv4Addr>,
    pub(crate) path: &'static str,
    pub(crate) key: Key,
    /// From when on which rate, in order; the first from zero.
    pub(crate) rates: Vec<(u64, f64)>,
}

/// What a request says in `x-api-key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    None,
    /// One for each address.
    OfAddress,
    /// Another one each time.
    Random,
}

impl Stream {
    /// Addresses `127.0.third.1` and on.
    pub(crate) fn from_addresses(third: u8, count: u8, path: &'static str) -> Self {
        Self {
            addresses: (1..=count)
                .map(|last| Ipv4Addr::new(127, 0, third, last))
                .collect(),
            path,
            key: Key::None,
            rates: Vec::new(),
        }
    }

    /// With these rates.
    pub(crate) fn at(mut self, rates: &[(u64, f64)]) -> Self {
        self.rates = rates.to_vec();
        self
    }

    /// With these keys.
    pub(crate) fn with_key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// The highest rate.
    pub(crate) fn rate_max(&self) -> f64 {
        self.rates.iter().map(|(_, rate)| *rate).fold(0.0, f64::max)
    }
}

/// The next moment of each stream.
pub(crate) struct Arrivals {
    sources: Vec<Source>,
}

struct Source {
    rates: Vec<(u64, f64)>,
    random: Random,
    next: f64,
}

impl Arrivals {
    pub(crate) fn new(streams: &[Stream], seed: u64) -> Self {
        let mut seeds = Random::new(seed);
        let sources = streams.iter().map(|stream| {
            let mut source = Source {
                rates: stream.rates.clone(),
                random: Random::new(seeds.next()),
                next: 0.0,
            };
            source.advance();
            source
        });
        Self {
            sources: sources.collect(),
        }
    }

    /// The soonest moment, and whose it is. Never after the last: infinity says so.
    pub(crate) fn next(&self) -> Option<(usize, f64)> {
        let all = self.sources.iter().map(|source| source.next).enumerate();
        all.min_by(|(_, a), (_, b)| a.total_cmp(b))
            .filter(|(_, at)| at.is_finite())
    }

    /// Goes on to the moment after that.
    pub(crate) fn advance(&mut self, stream: usize) {
        if let Some(source) = self.sources.get_mut(stream) {
            source.advance();
        }
    }
}

impl Source {
    /// Exponential gaps have no memory: a gap that reaches over a change of rate begins anew at it.
    fn advance(&mut self) {
        let mut from = self.next;
        loop {
            let rate = self
                .rates
                .iter()
                .rev()
                .find(|(start, _)| *start as f64 <= from)
                .map_or(0.0, |(_, rate)| *rate);
            let change = self
                .rates
                .iter()
                .map(|(start, _)| *start as f64)
                .find(|start| *start > from)
                .unwrap_or(f64::INFINITY);
            let next = if rate > 0.0 {
                from - self.random.unit().ln() * 1e6 / rate
            } else {
                f64::INFINITY
            };
            if next < change || change.is_infinite() {
                self.next = next;
                return;
            }
            from = change;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(rates: &[(u64, f64)], seed: u64, until: f64) -> Vec<f64> {
        let stream = Stream::from_addresses(1, 1, "/").at(rates);
        let mut arrivals = Arrivals::new(&[stream], seed);
        let mut times = Vec::new();
        while let Some((stream, at)) = arrivals.next().filter(|(_, at)| *at < until) {
            times.push(at);
            arrivals.advance(stream);
        }
        times
    }

    #[test]
    fn the_rate_is_the_rate_before_and_after_a_change() {
        let all = times(&[(0, 1_000.0), (10_000_000, 4_000.0)], 7, 20e6);
        let before = all.iter().filter(|at| **at < 10e6).count() as f64;
        let after = all.len() as f64 - before;
        assert!((before - 10_000.0).abs() < 400.0, "{before}");
        assert!((after - 40_000.0).abs() < 800.0, "{after}");
        assert!(all.is_sorted());
    }

    #[test]
    fn a_rate_of_zero_sends_nothing_and_may_end() {
        let all = times(&[(0, 0.0), (5_000_000, 100.0), (6_000_000, 0.0)], 7, 1e9);
        assert!(!all.is_empty());
        assert!(all.iter().all(|at| (5e6..6e6).contains(at)));
    }

    #[test]
    fn the_same_seed_gives_the_same_times() {
        let rates = [(0, 500.0)];
        assert_eq!(times(&rates, 3, 1e6), times(&rates, 3, 1e6));
        assert_ne!(times(&rates, 3, 1e6), times(&rates, 4, 1e6));
    }
}
