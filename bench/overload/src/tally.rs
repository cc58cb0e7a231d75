//! What requests and readings of a run amount to.
//!
//! Good: answered 2xx within the objective of the intended moment. Refused: answered with 429 or 5xx, or the connection
//! closed without an answer. Units: microseconds in, milliseconds and percent out.

use crate::load::{End, Reading, Request, Seen};
use crate::plan::{BIN, OBJECTIVE, micros};

/// A stretch of a run, from the first to before the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64, pub(crate) u64);

impl Span {
    fn contains(self, at: u64) -> bool {
        (self.0..self.1).contains(&at)
    }

    pub(crate) fn seconds(self) -> f64 {
        (self.1 - self.0) as f64 / 1e6
    }
}

impl Request {
    pub(crate) fn is_accepted(&self) -> bool {
        matches!(self.end, End::Answered(200..=299))
    }

    pub(crate) fn is_good(&self) -> bool {
        self.is_accepted() && self.latency <= micros(OBJECTIVE)
    }

    /// The proxy, or a service that fails, said no.
    pub(crate) fn is_refused(&self) -> bool {
        matches!(self.end, End::Closed | End::Answered(429 | 500..=599))
    }
}

/// Requests of some streams that were meant to be sent within a span.
#[derive(Clone)]
pub(crate) struct Part<'a> {
    requests: Vec<&'a Request>,
    span: Span,
}

impl<'a> Part<'a> {
    pub(crate) fn of(seen: &'a Seen, span: Span, stream: impl Fn(usize) -> bool) -> Self {
        Self {
            requests: seen
                .requests
                .iter()
                .filter(|request| stream(request.stream) && span.contains(request.at))
                .collect(),
            span,
        }
    }

    pub(crate) fn all(seen: &'a Seen, span: Span) -> Self {
        Self::of(seen, span, |_| true)
    }

    pub(crate) fn count(&self, test: impl Fn(&Request) -> bool) -> f64 {
        self.requests.iter().filter(|request| test(request)).count() as f64
    }

    /// In percent of the part; nothing where the part is empty.
    pub(crate) fn share(&self, test: impl Fn(&Request) -> bool) -> Option<f64> {
        (!self.requests.is_empty()).then(|| 100.0 * self.count(test) / self.requests.len() as f64)
    }

    /// Good ones in percent of what could be good: all of them, or what the capacity lets through.
    pub(crate) fn goodput(&self, capacity: f64) -> Option<f64> {
        let possible = (self.requests.len() as f64).min(capacity * self.span.seconds());
        (possible > 0.0).then(|| 100.0 * self.count(Request::is_good) / possible)
    }

    /// A quantile of the latency of what was answered 2xx, in milliseconds.
    pub(crate) fn latency(&self, quantile: f64) -> Option<f64> {
        let accepted = self.requests.iter().filter(|request| request.is_accepted());
        let mut all: Vec<u64> = accepted.map(|request| request.latency).collect();
        all.sort_unstable();
        let rank = (quantile * all.len() as f64).ceil() as usize;
        all.get(rank.max(1) - 1)
            .map(|latency| *latency as f64 / 1e3)
    }
}

/// Seconds after the span's start from which on each bin has at least `share` (of 1) of what could be good; infinity if
/// the last bin has not. 0 = it was never below. The resolution is a bin.
pub(crate) fn recovery(seen: &Seen, span: Span, capacity: f64, share: f64) -> f64 {
    let bin = micros(BIN);
    let bins = (span.1 - span.0) / bin;
    let bad = (0..bins).rev().find(|index| {
        let start = span.0 + index * bin;
        let goodput = Part::all(seen, Span(start, start + bin)).goodput(capacity);
        goodput.is_some_and(|goodput| goodput < 100.0 * share)
    });
    match bad {
        None => 0.0,
        Some(last) if last + 1 == bins => f64::INFINITY,
        Some(last) => ((last + 1) * bin) as f64 / 1e6,
    }
}

/// What happened between two readings.
pub(crate) struct Between {
    pub(crate) seconds: f64,
    /// CPU time of the proxy, in seconds.
    pub(crate) cpu: f64,
    /// CPU time of others on the proxy's core, in seconds.
    pub(crate) foreign: f64,
    /// Of everything on the load's core.
    pub(crate) load_core: f64,
    /// Of load and upstream alone.
    pub(crate) own: f64,
    /// Requests that arrived at the services.
    pub(crate) received: f64,
}

impl Seen {
    /// Between the readings at `span`'s ends, which the script must have asked for.
    pub(crate) fn between(&self, span: Span) -> Option<Between> {
        let find =
            |at: u64| -> Option<&Reading> { self.readings.iter().find(|reading| reading.at == at) };
        let (from, to) = (find(span.0)?, find(span.1)?);
        let cpu = to.cpu.saturating_sub(from.cpu);
        let core = to.proxy_core.saturating_sub(from.proxy_core);
        Some(Between {
            seconds: to.taken.saturating_sub(from.taken) as f64 / 1e6,
            cpu: cpu.as_secs_f64(),
            foreign: core.saturating_sub(cpu).as_secs_f64(),
            load_core: to.load_core.saturating_sub(from.load_core).as_secs_f64(),
            own: to.own.saturating_sub(from.own).as_secs_f64(),
            received: to.received.saturating_sub(from.received) as f64,
        })
    }

    /// How late 99 % of the requests were sent at most, in milliseconds.
    pub(crate) fn lateness_p99(&self) -> f64 {
        let rank = (0.99 * self.lateness.len() as f64).ceil() as usize;
        let late = self.lateness.get(rank.max(1) - 1).copied().unwrap_or(0);
        f64::from(late) / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One request per millisecond; `end` says how each ends, from its millisecond.
    fn seen(millis: u64, end: impl Fn(u64) -> (End, u64)) -> Seen {
        let request = |at: u64| {
            let (end, latency) = end(at);
            Request {
                stream: (at % 2) as usize,
                at: at * 1_000,
                latency: latency * 1_000,
                end,
            }
        };
        Seen {
            requests: (0..millis).map(request).collect(),
            ..Seen::default()
        }
    }

    #[test]
    fn a_late_answer_and_a_refusal_are_not_good() {
        let seen = seen(1_000, |at| match at % 4 {
            0 => (End::Answered(200), 250),
            1 => (End::Answered(200), 251),
            2 => (End::Answered(503), 1),
            _ => (End::GivenUp, 1_000),
        });
        let part = Part::all(&seen, Span(0, 1_000_000));
        assert_eq!(part.share(Request::is_good), Some(25.0));
        assert_eq!(part.share(Request::is_refused), Some(25.0));
        assert_eq!(part.share(Request::is_accepted), Some(50.0));
        assert_eq!(part.latency(0.5), Some(250.0));
        assert_eq!(part.latency(1.0), Some(251.0));
        // Streams alternate with the milliseconds.
        let even = Part::of(&seen, Span(0, 1_000_000), |stream| stream == 0);
        assert_eq!(even.share(Request::is_good), Some(50.0));
    }

    #[test]
    fn goodput_is_of_what_is_possible() {
        let seen = seen(1_000, |at| {
            if at % 2 == 0 {
                (End::Answered(200), 5)
            } else {
                (End::Answered(503), 1)
            }
        });
        let part = Part::all(&seen, Span(0, 1_000_000));
        assert_eq!(part.goodput(500.0), Some(100.0));
        assert_eq!(part.goodput(2_000.0), Some(50.0));
        assert_eq!(
            Part::all(&seen, Span(2_000_000, 3_000_000)).goodput(1.0),
            None
        );
    }

    #[test]
    fn recovery_is_after_the_last_bad_bin() {
        let until = |bad: std::ops::Range<u64>| {
            let seen = seen(5_000, |at| {
                let end = if bad.contains(&at) {
                    End::Closed
                } else {
                    End::Answered(200)
                };
                (end, 5)
            });
            recovery(&seen, Span(1_000_000, 5_000_000), 2_000.0, 0.95)
        };
        assert_eq!(until(0..0), 0.0);
        assert_eq!(until(1_000..1_200), 0.5);
        assert_eq!(until(2_900..3_100), 2.5);
        assert_eq!(until(4_900..5_000), f64::INFINITY);
    }
}
