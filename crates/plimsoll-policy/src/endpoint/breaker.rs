//! Breaker: takes an endpoint out that fails, crawls or hangs, measured by its own history, then probes it
//! with a few real requests (half-open).
//!
//! Sources: M. Nygard, *Release It!*, 2nd ed. (2018), "Circuit Breaker"; the slow-call rate is resilience4j's.
//! Invariants: a state that waits has a deadline; half-open, at most [`PROBES`] attempts are on their way;
//! outcomes from before a transition never count (generations, `shared`). Elsewhere: whether it may open
//! (`peers`: the cap, and whether the peers do as badly); who sends a probe (`balance`).

use std::time::Duration;

use plimsoll_core::Instant;
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::connect::backoff;
use super::reason::Reason;
use super::record::Record;
use super::shared::Taken;
use super::{EndpointParameters, SLOW_START};

/// Fewer calls than this in the window are no share: 10 of 20 is outside of what chance makes of 20 %.
const CALLS_MIN: u32 = 20;
/// It opens when this share of calls fails: below, most requests still gain by being sent.
const FAILURE_SHARE_MIN: f64 = 0.5;
/// And the share is this much above what is usual: a service that fails often by its nature is not broken.
const FAILURE_SHARE_ABOVE: f64 = 0.3;
/// However much is usual, failing this much is broken.
const FAILURE_SHARE_MAX: f64 = 0.95;
/// That many failures with no success between open it before there are calls enough for a share.
const ROW_MIN: f64 = 10.0;
/// Or as many as chance makes of the usual failures once in a million rows: `ln(1e-6)`, negated.
const ROW_CHANCE: f64 = 13.8;
/// It opens when this share of answers is slow.
const SLOW_SHARE: f64 = 0.8;
/// An answer is slow that takes this many times the usual median: more than a full queue at four times the
/// load makes of it, which is the limiter's business.
const SLOW_FACTOR: u32 = 10;
/// And at least this long: below, an endpoint that crawls still serves people.
const SLOW_MIN: Duration = Duration::from_secs(1);
/// Nothing was answered for this long: a pause to collect garbage is shorter, a deadline much longer.
const SILENCE_MIN: Duration = Duration::from_secs(2);
/// And for this many times what 99 of 100 answers take.
const SILENCE_FACTOR: u32 = 10;
/// Where it is not known how long answers take: a model that thinks for five seconds is not frozen.
const SILENCE_UNKNOWN: Duration = Duration::from_secs(10);
/// That many attempts must hang: one alone may be the report that takes a minute.
const SILENT_ATTEMPTS_MIN: u32 = 3;
/// Good probes that close it, and the most that are on their way at a time.
pub(super) const PROBES: u32 = 3;
/// What more of the usual failures is forgiven among the probes makes no sense.
const FORGIVEN_MAX: f64 = 9.0;
/// How far open times vary, so that the breakers of several gateways do not come in step.
const JITTER: f64 = 0.1;
/// The part of a slow start that a closed breaker skips: the process has kept its memory, and probes went
/// well, so it starts at 55 % and has all after five seconds.
const SLOW_START_SKIPPED: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
        /// It hangs: any answer is a sign that it hangs no longer.
        silent: bool,
    },
    HalfOpen(Probing),
}

/// `claimed` and `ended` count since half-open began; what is claimed and not ended is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Probing {
    /// When probes that are on their way count as failed.
    until: Instant,
    granted: u32,
    claimed: u32,
    ended: u32,
    good: u32,
    bad: u32,
}

/// What a tick changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Change {
    None,
    /// More probes may go.
    Grant(u32),
    /// Half-open, or open again.
    Moved,
    /// Closed: it starts as if it had started slowly at this time.
    Closed(Reason, Instant),
}

#[derive(Clone, Debug)]
pub(super) struct Breaker {
    state: State,
    rng: Xoshiro256PlusPlus,
    /// How often it opened without a quiet time between.
    round: u32,
    /// When the first of these was.
    outage_since: Instant,
    closed_since: Instant,
    /// The share of failures that was expected when it opened.
    expected: f64,
    /// Probes that went well or badly are those of this breaker only; observing, they are any calls.
    acts: bool,
}

impl Breaker {
    pub(super) fn new(now: Instant, seed: u64) -> Self {
        Self {
            state: State::Closed,
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            round: 0,
            outage_since: now,
            closed_since: now,
            expected: 0.0,
            acts: true,
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    pub(super) fn is_half_open(&self) -> bool {
        matches!(self.state, State::HalfOpen(_))
    }

    /// When it may change with no new event.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open { until, .. } | State::HalfOpen(Probing { until, .. }) => Some(until),
        }
    }

    /// Why it would open now, judged by its own history alone.
    pub(super) fn wish(&self, now: Instant, record: &Record) -> Option<Reason> {
        if !self.is_closed() {
            return None;
        }
        let usual = record.failure_share_usual();
        if record.row() >= row_max(record.failure_share_expected()) {
            return Some(Reason::FailuresInARow {
                failed: record.row(),
            });
        }
        let window = record.window();
        if let Some(usual) = usual
            && window.calls() >= CALLS_MIN
            && window.failure_share() >= failure_share_max(usual)
        {
            return Some(Reason::FailureShare {
                failed: window.failures(),
                calls: window.calls(),
                usual,
            });
        }
        if let (Some(limit), Some(usual)) = (slow_limit(record), record.median_usual()) {
            let (slow, answers) = (window.slower_than(limit), window.answered());
            if answers >= CALLS_MIN && f64::from(slow) > SLOW_SHARE * f64::from(answers) {
                return Some(Reason::Slow {
                    slow,
                    answers,
                    limit,
                    usual,
                });
            }
        }
        let silence = record.silence()?;
        let time = now.since(silence.since);
        (silence.begun >= SILENT_ATTEMPTS_MIN && time >= silence_limit(record)).then_some(
            Reason::Silent {
                attempts: silence.begun,
                time,
            },
        )
    }

    /// Opens it. `acts`: the verdict follows, so that only probes arrive while it is half-open.
    pub(super) fn open(
        &mut self,
        now: Instant,
        reason: Reason,
        record: &Record,
        parameters: &EndpointParameters,
        acts: bool,
    ) {
        self.acts = acts;
        self.expected = record.failure_share_expected();
        // Quiet for as long as the longest open time: what was before is another story.
        if self.round == 0 || now.since(self.closed_since) >= parameters.backoff_max {
            self.round = 0;
            self.outage_since = now;
        }
        let silent = matches!(reason, Reason::Silent { .. });
        self.wait(now, silent, parameters);
    }

    /// Closes it without asking further.
    pub(super) fn close(&mut self, now: Instant) {
        self.state = State::Closed;
        self.closed_since = now;
    }

    /// Lets time and outcomes act.
    pub(super) fn tick(
        &mut self,
        now: Instant,
        taken: &Taken,
        record: &Record,
        parameters: &EndpointParameters,
    ) -> Change {
        match self.state {
            State::Closed => Change::None,
            State::Open { until, silent } if until <= now || (silent && taken.heard) => {
                self.begin_probing(now, record);
                Change::Moved
            }
            State::Open { .. } => Change::None,
            State::HalfOpen(probing) => self.probe(now, probing, taken, record, parameters),
        }
    }

    /// Half-open from now on, with one probe granted.
    pub(super) fn begin_probing(&mut self, now: Instant, record: &Record) {
        self.state = State::HalfOpen(Probing {
            until: now + silence_limit(record),
            granted: 1,
            claimed: 0,
            ended: 0,
            good: 0,
            bad: 0,
        });
    }

    fn probe(
        &mut self,
        now: Instant,
        mut probing: Probing,
        taken: &Taken,
        record: &Record,
        parameters: &EndpointParameters,
    ) -> Change {
        // A slow answer is no good one where crawling is what it is out for.
        let slow = slow_limit(record).map_or(0, |limit| taken.counts.slower_than(limit));
        let bad = taken.counts.failures().saturating_add(slow);
        probing.bad = probing.bad.saturating_add(bad);
        probing.ended = probing.ended.saturating_add(taken.counts.calls());
        // One that is busy works: how much it is given is the limiter's business.
        let good = taken.counts.calls().saturating_sub(bad);
        probing.good = probing.good.saturating_add(good);
        if probing.bad > forgiven(self.expected) {
            self.wait(now, false, parameters);
            return Change::Moved;
        }
        if probing.good >= PROBES {
            self.close(now);
            let reason = Reason::ProbesSucceeded {
                probes: probing.good,
            };
            let skipped = SLOW_START_SKIPPED.min(SLOW_START).as_nanos() as u64;
            let start = Instant::from_nanos(now.as_nanos().saturating_sub(skipped));
            return Change::Closed(reason, start);
        }
        let claimed = probing.granted.saturating_sub(taken.probes_left);
        if claimed > probing.claimed {
            probing.until = now + silence_limit(record);
        }
        probing.claimed = claimed;
        let mut on_their_way = claimed.saturating_sub(probing.ended);
        if probing.until <= now {
            let hangs = match self.acts {
                true => on_their_way > 0 && taken.working > 0,
                false => record.silence().is_some(),
            };
            if hangs {
                self.wait(now, true, parameters);
                return Change::Moved;
            }
            // Claims that never became an attempt with an outcome: they are lost, and replaced.
            probing.ended = claimed;
            on_their_way = 0;
            probing.until = now + silence_limit(record);
        }
        // One first: if that hangs, it is one request and not three.
        let wanted = match probing.good {
            0 => 1,
            good => PROBES - good,
        };
        let more = wanted.saturating_sub(on_their_way.saturating_add(taken.probes_left));
        probing.granted = probing.granted.saturating_add(more);
        self.state = State::HalfOpen(probing);
        match more {
            0 => Change::None,
            more => Change::Grant(more),
        }
    }

    fn wait(&mut self, now: Instant, silent: bool, parameters: &EndpointParameters) {
        let outage = now.since(self.outage_since);
        let wait = backoff(self.round, outage, parameters);
        let share = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let wait = wait.mul_f64(1.0 + JITTER * (2.0 * share - 1.0));
        self.round = self.round.saturating_add(1);
        self.state = State::Open {
            until: now + wait,
            silent,
        };
    }
}

/// From which share of failures on it is broken.
fn failure_share_max(usual: f64) -> f64 {
    FAILURE_SHARE_MIN.max((usual + FAILURE_SHARE_ABOVE).min(FAILURE_SHARE_MAX))
}

/// From how many failures in a row on it is broken: `usual` to the power of it is one in a million.
pub(super) fn row_max(usual: f64) -> u32 {
    // Where all calls usually fail, the logarithm is zero and the row endless.
    let row = (ROW_CHANCE / libm::log(1.0 / usual.clamp(1e-6, 1.0)))
        .max(ROW_MIN)
        .ceil();
    if row < f64::from(u32::MAX) {
        row as u32
    } else {
        u32::MAX
    }
}

/// How many bad probes its own history makes us expect beside the good ones that close it.
fn forgiven(expected: f64) -> u32 {
    let expected = expected.min(FAILURE_SHARE_MAX);
    (f64::from(PROBES) * expected / (1.0 - expected))
        .round()
        .min(FORGIVEN_MAX) as u32
}

/// From when on an answer is slow, if it is known what is usual.
fn slow_limit(record: &Record) -> Option<Duration> {
    Some(
        record
            .median_usual()?
            .saturating_mul(SLOW_FACTOR)
            .max(SLOW_MIN),
    )
}

/// How long nothing may be answered.
pub(super) fn silence_limit(record: &Record) -> Duration {
    record.p99_usual().map_or(SILENCE_UNKNOWN, |usual| {
        usual.saturating_mul(SILENCE_FACTOR).max(SILENCE_MIN)
    })
}
