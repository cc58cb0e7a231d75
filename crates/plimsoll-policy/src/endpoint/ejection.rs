//! Ejection: takes an endpoint out that does worse than its peers, for a time that grows.
//!
//! Sources: Envoy's outlier detection (times, multiplier); B. Iglewicz and D. Hoaglin, *How to Detect and
//! Handle Outliers* (1993) for median and median deviation. Envoy takes mean and standard deviation with the
//! endpoint itself among them: of four values none is ever 1.9 deviations below, and a second bad endpoint
//! hides the first. Invariant: out for at most [`TIME_MAX`]. Elsewhere: how many may be out (`peers`).

use std::time::Duration;

use plimsoll_core::Instant;

use super::reason::Reason;
use super::record::Record;

/// Fewer calls than this in the window compare nothing.
const CALLS_MIN: u32 = 50;
/// A share of failures that far above the peers' median is worse, and not chance...
const SHARE_ABOVE: f64 = 0.1;
/// ...if it is also this many deviations above: Envoy's factor.
const DEVIATIONS: f64 = 1.9;
/// What makes a median deviation of a normal distribution its standard deviation.
const DEVIATION_OF_MEDIAN: f64 = 1.4826;
/// With one peer there is no spread: only a clear difference tells which of the two is ill.
const SHARE_OF_TWO_MIN: f64 = 0.5;
/// What the other one of two may fail.
const SHARE_OF_TWO_PEER_MAX: f64 = 0.1;
/// An endpoint is slow whose median is this many times its peers': twice is a smaller machine, which the
/// balancer sees to.
pub(super) const LATENCY_FACTOR: u32 = 5;
/// And this much above: less is not noticed by people.
const LATENCY_ABOVE: Duration = Duration::from_millis(20);
/// How long it is out the first time; each further time in a row adds as much.
const TIME: Duration = Duration::from_secs(10);
/// The longest time.
pub(super) const TIME_MAX: Duration = Duration::from_secs(300);
/// Each such time in which it was not ejected takes one off the row.
const HEALTHY: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    In { since: Instant },
    Out { since: Instant, until: Instant },
}

/// Whether one endpoint is ejected, and how often it was.
#[derive(Clone, Debug)]
pub(super) struct Ejection {
    state: State,
    times: u32,
}

impl Ejection {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            state: State::In { since: now },
            times: 0,
        }
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Out { .. })
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::In { .. } => None,
            State::Out { until, .. } => Some(until),
        }
    }

    pub(super) fn eject(&mut self, now: Instant) {
        self.times = self.times.saturating_add(1);
        let until = now + TIME.saturating_mul(self.times).min(TIME_MAX);
        self.state = State::Out { since: now, until };
    }

    pub(super) fn let_in(&mut self, now: Instant) {
        self.state = State::In { since: now };
    }

    /// Lets time act; says if it let the endpoint in again.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Reason> {
        match &mut self.state {
            State::In { since } => {
                while self.times > 0 && now.since(*since) >= HEALTHY {
                    self.times -= 1;
                    *since += HEALTHY;
                }
                None
            }
            State::Out { since, until } if *until <= now => {
                let time = now - *since;
                self.let_in(now);
                Some(Reason::EjectionOver { time })
            }
            State::Out { .. } => None,
        }
    }
}

/// What one endpoint's calls in the window come to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Which one.
    pub(super) index: usize,
    failure_share: f64,
    median: Option<Duration>,
    /// Whether it has its whole share of the load. One that starts slowly is faster than it will be, and those that
    /// carry its part meanwhile are slower: compared with it they would go out, come back, and so on for ever.
    loaded: bool,
}

impl Figures {
    /// `None` if there are too few calls to compare.
    pub(super) fn of(index: usize, record: &Record, loaded: bool) -> Option<Self> {
        let window = record.window();
        (window.calls() >= CALLS_MIN).then(|| Self {
            index,
            failure_share: window.failure_share(),
            median: (window.answered() >= CALLS_MIN)
                .then(|| record.window_median())
                .flatten(),
            loaded,
        })
    }
}

/// Those that do worse than their peers, the worst first, and why.
pub(super) fn outliers(figures: &[Figures]) -> Vec<(usize, Reason)> {
    let mut found = Vec::new();
    for own in figures {
        let peers = || figures.iter().filter(|peer| peer.index != own.index);
        let shares = peers().map(|peer| peer.failure_share).collect();
        let medians = peers()
            .filter(|peer| peer.loaded)
            .filter_map(|peer| Some(peer.median?.as_secs_f64()))
            .collect();
        // By how many times what is allowed it is above: comparable between shares and latencies.
        if let Some((reason, excess)) =
            fails_more(own.failure_share, shares).or_else(|| is_slower(own.median?, medians))
        {
            found.push((own.index, reason, excess));
        }
    }
    found.sort_by(|(_, _, one), (_, _, other)| other.total_cmp(one));
    found
        .into_iter()
        .map(|(index, reason, _)| (index, reason))
        .collect()
}

fn fails_more(own: f64, mut peers: Vec<f64>) -> Option<(Reason, f64)> {
    let count = peers.len();
    let typical = median(&mut peers)?;
    let limit = if count == 1 {
        if typical >= SHARE_OF_TWO_PEER_MAX {
            return None;
        }
        SHARE_OF_TWO_MIN
    } else {
        let mut apart = peers
            .iter()
            .map(|share| (share - typical).abs())
            .collect::<Vec<_>>();
        let deviation = median(&mut apart)? * DEVIATION_OF_MEDIAN;
        typical + SHARE_ABOVE.max(DEVIATIONS * deviation)
    };
    let reason = Reason::PeersFailLess {
        own,
        peers: typical,
    };
    (own > limit).then_some((reason, own / limit))
}

fn is_slower(own: Duration, mut peers: Vec<f64>) -> Option<(Reason, f64)> {
    let typical = Duration::from_secs_f64(median(&mut peers)?);
    let limit = (typical * LATENCY_FACTOR).max(typical + LATENCY_ABOVE);
    let reason = Reason::PeersAreFaster {
        own,
        peers: typical,
    };
    (own > limit).then(|| (reason, own.as_secs_f64() / limit.as_secs_f64()))
}

/// The median; of an even number the mean of the two in the middle.
fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let high = *values.get(values.len() / 2)?;
    let low = *values.get(values.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(low, high))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn it_stays_out_longer_each_time_and_is_forgiven_slowly() {
        let mut ejection = Ejection::new(START);
        let mut now = START;
        let mut times = Vec::new();
        for _ in 0..40 {
            ejection.eject(now);
            let until = ejection.next_timeout().unwrap();
            times.push((until - now).as_secs());
            assert_eq!(ejection.tick(now), None);
            now = until;
            assert!(ejection.tick(now).is_some());
        }
        assert_eq!(times[..4], [10, 20, 30, 40]);
        assert_eq!(times.last(), Some(&300));
        now += HEALTHY * 38;
        ejection.tick(now);
        ejection.eject(now);
        assert_eq!(
            ejection.next_timeout(),
            Some(now + TIME * 3),
            "two are left of forty, and this one"
        );
    }

    #[test]
    fn one_of_three_that_fails_is_an_outlier() {
        check(&[(0.3, 10), (0.01, 10), (0.02, 10)], &[0]);
    }

    #[test]
    fn two_of_five_do_not_hide_each_other() {
        check(
            &[(0.4, 10), (0.01, 10), (0.6, 10), (0.02, 10), (0.0, 10)],
            &[2, 0],
        );
    }

    #[test]
    fn ten_points_are_needed() {
        check(&[(0.1, 10), (0.01, 10), (0.01, 10), (0.01, 10)], &[]);
    }

    #[test]
    fn where_all_differ_none_stands_out() {
        check(&[(0.35, 10), (0.1, 10), (0.3, 10), (0.2, 10)], &[]);
    }

    #[test]
    fn of_two_only_a_clear_difference_tells_which_one_is_ill() {
        check(&[(0.45, 10), (0.0, 10)], &[]);
        check(&[(0.6, 10), (0.2, 10)], &[]);
        check(&[(0.6, 10), (0.05, 10)], &[0]);
    }

    #[test]
    fn an_endpoint_ten_times_as_slow_is_an_outlier() {
        check(&[(0.0, 40), (0.0, 400), (0.0, 40)], &[1]);
        check(&[(0.0, 40), (0.0, 400)], &[1]);
        check(&[(0.0, 40), (0.0, 120), (0.0, 40)], &[]);
        // Ten times nothing is still nothing.
        check(&[(0.0, 1), (0.0, 12), (0.0, 1)], &[]);
    }

    #[test]
    fn alone_there_is_nothing_to_compare() {
        check(&[(0.9, 400)], &[]);
    }

    #[track_caller]
    fn check(endpoints: &[(f64, u64)], expected: &[usize]) {
        let figures = endpoints
            .iter()
            .enumerate()
            .map(|(index, &(failure_share, millis))| Figures {
                index,
                failure_share,
                median: Some(Duration::from_millis(millis)),
                loaded: true,
            })
            .collect::<Vec<_>>();
        let found = outliers(&figures)
            .into_iter()
            .map(|(index, _)| index)
            .collect::<Vec<_>>();
        assert_eq!(found, expected);
    }
}
