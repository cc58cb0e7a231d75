//! What requests would meet if endpoints took turns, also at those that Plimsoll keeps them from.
//!
//! An endpoint is passed over because it is held out, or because the balancer finds it worse than its peers. What it would do is
//! what it did to the latest requests that it had. One that can't be reached fails all. Bound: six numbers for each endpoint
//! of the configuration. Elsewhere: who is held out (`plimsoll-policy`); what comes of it (`plimsoll-simulator`, `without`).

use std::collections::BTreeMap;

use crate::histogram::SparseHistogram;
use crate::outcome::Outcome;
use crate::series::CauseCounts;

/// So many of an endpoint's latest requests say how it does: a row of failures that takes it out is as short.
const LATEST: f64 = 20.0;
/// What is older counts less with each second, so that the few that still go to an endpoint say how it does now.
const KEPT: f64 = 0.85;
/// What came in a second counts so much for the rate: it is that of some five seconds.
const RATE_WEIGHT: f64 = 0.2;
/// With fewer requests a second than this at each endpoint, chance alone passes one over.
const RATE_MIN: f64 = 4.0;
/// One that gets less than this share of what is its turn is passed over...
const SHARE_MAX: f64 = 0.5;
/// ...if it also fails that share, or takes so many times as long: balancers that hash give uneven shares.
const FAILS_MIN: f64 = 0.05;
const SLOW_MIN: f64 = 2.0;

/// Whether an endpoint gets requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Held {
    /// It does.
    #[default]
    In,
    /// Judgement holds it out: it does worse than its peers, or than is usual for it.
    Judged,
    /// It can't be reached.
    Gone,
}

/// How many endpoints are passed over, and how those would do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Turns {
    /// How many there are.
    pub endpoints: u32,
    /// How many of them are passed over, in the mean over time: one that gets a tenth of its turn is nine tenths of one.
    pub out: f64,
    /// The share of requests that would fail at those.
    pub fails: f64,
    /// How much longer than at the others requests would take there, in seconds.
    pub longer: f64,
}

impl Turns {
    /// The mean over so many seconds of this, and one more.
    #[must_use]
    pub(crate) fn with(&self, seconds: u32, second: &Self) -> Self {
        let before = f64::from(seconds) * self.out;
        let out = before + second.out;
        let mean = |mine: f64, other: f64| match out > 0.0 {
            true => (before * mine + second.out * other) / out,
            false => 0.0,
        };
        Self {
            endpoints: second.endpoints,
            out: out / (f64::from(seconds) + 1.0),
            fails: mean(self.fails, second.fails),
            longer: mean(self.longer, second.longer),
        }
    }
}

/// How each endpoint of a service did lately.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnsWatch(BTreeMap<String, Seen>);

#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Seen {
    held: Held,
    /// Requests a second.
    rate: f64,
    /// How much what was known at the last request will count beside the next.
    age: f64,
    /// The latest requests, those of them that failed, and how long they took in all.
    requests: f64,
    failed: f64,
    seconds: f64,
}

impl TurnsWatch {
    /// Only these endpoints are there now.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_there(name));
    }

    /// What ended at an endpoint within a second.
    pub fn on_second(
        &mut self,
        endpoint: &str,
        held: Held,
        causes: &CauseCounts,
        latency: &SparseHistogram,
    ) {
        if !self.0.contains_key(endpoint) {
            self.0.insert(endpoint.to_owned(), Seen::default());
        }
        let Some(seen) = self.0.get_mut(endpoint) else {
            return;
        };
        let requests = causes.total() as f64;
        seen.held = held;
        seen.rate += RATE_WEIGHT * (requests - seen.rate);
        let room = (LATEST - requests) / seen.requests.max(1.0);
        // Without new ones it is still known what they say.
        let kept = if requests > 0.0 {
            room.clamp(0.0, 1.0) * seen.age
        } else {
            1.0
        };
        seen.age = if requests > 0.0 {
            KEPT
        } else {
            seen.age * KEPT
        };
        seen.requests = seen.requests * kept + requests;
        seen.failed = seen.failed * kept + causes.with_outcome(Outcome::Bad) as f64;
        seen.seconds = seen.seconds * kept + latency.seconds();
    }

    /// As of now.
    pub fn turns(&self) -> Turns {
        let all = || self.0.values();
        let used = all().filter(|seen| seen.held == Held::In);
        let (count, rate) = used.fold((0.0, 0.0), |(count, rate), it| {
            (count + 1.0, rate + it.rate)
        });
        let turn = rate / f64::max(count, 1.0);
        let (mut out, mut fails, mut longer) = (0.0, 0.0, 0.0);
        for seen in all() {
            let share = seen.rate / turn.max(1e-9);
            // Most get their turns: nothing of them is to be compared with all the others.
            if seen.held == Held::In && (turn < RATE_MIN || share >= SHARE_MAX) {
                continue;
            }
            // What fails does so soon: nothing is slow beside it.
            let others = all().filter(|it| it.held == Held::In && it.failed < it.requests / 2.0);
            let others = others.filter(|it| !std::ptr::eq(*it, seen));
            let (requests, seconds) = others.fold((0.0, 0.0), |(requests, seconds), it| {
                (requests + it.requests, seconds + it.seconds)
            });
            let time = |requests: f64, seconds: f64| seconds / f64::max(requests, 1.0);
            let usual = time(requests, seconds);
            let excess = match requests > 0.0 {
                true => (time(seen.requests, seen.seconds) - usual).max(0.0),
                false => 0.0,
            };
            let failing = match seen.held {
                Held::Gone => 1.0,
                // Of what was never seen to answer, nothing good is known.
                Held::Judged if seen.requests <= 0.0 => 1.0,
                Held::Judged | Held::In => seen.failed / f64::max(seen.requests, 1.0),
            };
            let passed = match seen.held {
                Held::Judged | Held::Gone => 1.0,
                Held::In => {
                    let is_slow = excess >= (SLOW_MIN - 1.0) * usual && excess > 0.0;
                    let is_worse = failing >= FAILS_MIN || is_slow;
                    if is_worse { 1.0 - share } else { 0.0 }
                }
            };
            out += passed;
            fails += passed * failing;
            longer += passed * excess;
        }
        let mean = |sum: f64| if out > 0.0 { sum / out } else { 0.0 };
        Turns {
            endpoints: u32::try_from(self.0.len()).unwrap_or(u32::MAX),
            out,
            fails: mean(fails),
            longer: mean(longer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_core::Class;

    use super::*;
    use crate::histogram::Histogram;
    use crate::outcome::Cause;
    use crate::series::{Record, Series};

    fn see(watch: &mut TurnsWatch, endpoint: &str, held: Held, ended: &[(Cause, u64, usize)]) {
        let series = Series::new(1, Vec::new());
        for (cause, millis, times) in ended {
            for _ in 0..*times {
                let record = Record {
                    class: Class::Standard,
                    cause: *cause,
                    latency: Duration::from_millis(*millis),
                    bytes_in: 0,
                    bytes_out: 0,
                    objectives: Record::ALL,
                };
                series.record(0, &record);
            }
        }
        let totals = series.read();
        let latency = SparseHistogram::between(&Histogram::new(), &totals.latency);
        watch.on_second(endpoint, held, &totals.causes(), &latency);
    }

    #[test]
    fn what_is_held_out_would_do_as_it_last_did() {
        let mut watch = TurnsWatch::default();
        see(&mut watch, "a", Held::In, &[(Cause::Answered, 10, 1_000)]);
        see(&mut watch, "b", Held::In, &[(Cause::Answered, 10, 1_000)]);
        see(&mut watch, "b", Held::In, &[(Cause::UpstreamStatus, 1, 15)]);
        assert_eq!(watch.turns().out, 0.0);
        see(&mut watch, "b", Held::Judged, &[]);
        let turns = watch.turns();
        let seen = turns.fails;
        assert_eq!((turns.endpoints, turns.out), (2, 1.0));
        assert!((0.7..0.8).contains(&seen), "{turns:?}");
        see(&mut watch, "a", Held::Gone, &[]);
        let turns = watch.turns();
        assert!(turns.out == 2.0 && (turns.fails - (1.0 + seen) / 2.0).abs() < 1e-9);
        // What a probe finds later says more than what came before.
        (0..10).for_each(|_| see(&mut watch, "b", Held::Judged, &[]));
        assert_eq!(watch.turns(), turns);
        see(
            &mut watch,
            "b",
            Held::Judged,
            &[(Cause::UpstreamStatus, 1, 4)],
        );
        assert!(watch.turns().fails > 0.95, "{:?}", watch.turns());
        watch.retain(|name| name == "a");
        assert_eq!((watch.turns().endpoints, watch.turns().fails), (1, 1.0));
    }

    #[test]
    fn what_hangs_is_slow_and_what_never_answered_is_not_known_to_be_good() {
        let mut watch = TurnsWatch::default();
        see(&mut watch, "a", Held::In, &[(Cause::Answered, 10, 100)]);
        see(
            &mut watch,
            "b",
            Held::Judged,
            &[(Cause::ClientGone, 900, 20)],
        );
        let turns = watch.turns();
        assert!(
            (turns.longer - 0.89).abs() < 1e-6 && turns.fails == 0.0,
            "{turns:?}"
        );
        see(&mut watch, "c", Held::Judged, &[]);
        assert_eq!(watch.turns().fails, 0.5);
    }

    #[track_caller]
    fn passes_over(worse: (Cause, u64, usize)) -> Turns {
        let mut watch = TurnsWatch::default();
        for _ in 0..60 {
            see(&mut watch, "a", Held::In, &[(Cause::Answered, 10, 95)]);
            see(&mut watch, "b", Held::In, &[worse]);
        }
        watch.turns()
    }

    #[test]
    fn the_balancer_passes_over_what_does_worse_and_not_what_is_only_asked_less() {
        assert_eq!(passes_over((Cause::Answered, 10, 5)).out, 0.0);
        let turns = passes_over((Cause::UpstreamStatus, 1, 5));
        assert!((turns.out - 0.9).abs() < 0.01, "{turns:?}");
        assert_eq!((turns.fails, turns.longer), (1.0, 0.0));
        let turns = passes_over((Cause::Answered, 80, 5));
        assert!(
            (turns.longer - 0.07).abs() < 1e-6 && turns.fails == 0.0,
            "{turns:?}"
        );
        // The other one fails, and is the faster for it.
        assert_eq!(passes_over((Cause::UpstreamStatus, 1, 500)).out, 0.0);
    }
}
