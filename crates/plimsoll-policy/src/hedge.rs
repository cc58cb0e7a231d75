//! Hedging: a second attempt beside one that takes longer than most, so that one slow answer in a service that is
//! quick otherwise is not what the client waits for. The first answer wins; the other attempt is cancelled.
//!
//! Source: J. Dean and L. A. Barroso, "The Tail at Scale" (CACM 56(2), 2013): hedged requests, sent after a high
//! percentile of the expected latency, limited to a few per cent of more load.
//! Units: delays are `Duration`, nanoseconds in the shared word.
//! Invariants: no delay is below [`DELAY_MIN`]; a quantile is not used before [`SAMPLES_MIN`] latencies were seen;
//! hedges never exceed what their own budget (a [`RetryShared`]) granted.
//! Elsewhere: the timer, the cancellation and the second permit (life cycle, gateway); the quantile (`quantile`).

mod counts;
mod quantile;

pub use quantile::HedgeControl;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core::Ratio;

use crate::retry::{RetryGrant, RetryShared};
use counts::ThreadCounts;

/// The shortest delay: below it, a hedge costs more than the wait that it saves.
pub const DELAY_MIN: Duration = Duration::from_millis(1);
/// Latencies that must have been seen before a quantile is believed: five are then above the 95th percentile.
pub const SAMPLES_MIN: u64 = 100;

/// When a second attempt is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HedgeAfter {
    /// When the first takes longer than this share of first attempts did lately: 0.95 is the 95th percentile.
    Quantile(Ratio),
    /// After a fixed time.
    Time(Duration),
}

/// When, and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HedgeParameters {
    /// When a second attempt is made.
    pub after: HedgeAfter,
    /// The share of requests that may be hedged.
    pub budget: Ratio,
    /// Hedges per second that are granted without regard to requests.
    pub floor_per_second: f64,
    /// Attempts of one request in flight at once, the first included.
    pub in_flight_max: u32,
}

impl HedgeParameters {
    /// What fills the budget of hedges.
    pub const fn grant(&self) -> RetryGrant {
        RetryGrant {
            budget: self.budget,
            floor_per_second: self.floor_per_second,
        }
    }
}

impl Default for HedgeParameters {
    fn default() -> Self {
        Self {
            after: HedgeAfter::Quantile(Ratio::of(95, 100).unwrap_or(Ratio::ONE)),
            // What is above the 95th percentile while nothing changes. When everything becomes slow, more is above
            // it, and the budget is what keeps hedges from doubling the load.
            budget: Ratio::of(5, 100).unwrap_or(Ratio::ZERO),
            // No floor: where there are few requests, an extra one is not worth its place either.
            floor_per_second: 0.0,
            in_flight_max: 2,
        }
    }
}

/// The delay is over and no answer came: what is known when one asks for a second attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeQuestion {
    /// Doing it twice does what doing it once does. Both attempts may be carried out to their end.
    pub idempotent: bool,
    /// All that the other attempt has to send is at hand.
    pub replayable: bool,
    /// A trusted caller asked for no further attempts.
    pub forbidden: bool,
    /// Attempts of this request in flight.
    pub attempts_in_flight: u32,
    /// Until the request's deadline.
    pub time_left: Duration,
}

/// Why there is no second attempt. In the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HedgeWhyNot {
    /// There is no delay yet: too few latencies were seen.
    Unknown,
    /// A trusted caller asked for no further attempts.
    Forbidden,
    /// None is in flight (it is a retry that is needed), or as many as may be.
    InFlight,
    /// Twice is not once.
    NotIdempotent,
    /// The body is gone.
    NotReplayable,
    /// The deadline is over.
    NoTime,
    /// The budget is empty.
    Budget,
}

impl HedgeWhyNot {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Forbidden => "forbidden",
            Self::InFlight => "in-flight",
            Self::NotIdempotent => "not-idempotent",
            Self::NotReplayable => "not-replayable",
            Self::NoTime => "no-time",
            Self::Budget => "budget",
        }
    }
}

/// What all threads share: the delay in force, the bound, and what each thread counts.
#[derive(Debug)]
pub struct HedgeShared {
    /// Nanoseconds; zero = none.
    delay: AtomicU64,
    in_flight_max: AtomicU64,
    threads: Box<[ThreadCounts]>,
}

impl HedgeShared {
    /// For so many threads that observe. All memory it will ever need is taken here.
    pub fn new(threads: usize, parameters: &HedgeParameters) -> Self {
        let shared = Self {
            delay: AtomicU64::new(0),
            in_flight_max: AtomicU64::new(0),
            threads: (0..threads).map(|_| ThreadCounts::default()).collect(),
        };
        let delay = match parameters.after {
            HedgeAfter::Time(time) => Some(time),
            HedgeAfter::Quantile(_) => None,
        };
        shared.publish(delay, parameters.in_flight_max);
        shared
    }

    /// How long a **first** attempt took on thread number `thread`; once per attempt.
    ///
    /// One that was cancelled, or ran into its deadline, counts with the time until then: when a hedge wins, that
    /// time is above the delay, so the share above it stays right. Leaving those out would lower the
    /// quantile, and with it the delay, with every hedge. Refusals and failures that come fast are not counted.
    pub fn observe(&self, thread: usize, latency: Duration) {
        // A thread that was not announced is not worth a panic: its latencies are missing, no more.
        if let Some(counts) = self.threads.get(thread) {
            counts.add(latency);
        }
    }

    /// How long to wait before a second attempt; `None` = make none, too little is known.
    pub fn delay(&self) -> Option<Duration> {
        match self.delay.load(Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }

    /// Whether a second attempt may be made now that the delay is over; takes a token from `budget` if so.
    ///
    /// Where the attempt needs a permit, take it first: a token that was taken is spent.
    pub fn may_hedge(
        &self,
        question: &HedgeQuestion,
        budget: &RetryShared,
    ) -> Result<(), HedgeWhyNot> {
        self.check(question)?;
        if budget.try_withdraw() {
            Ok(())
        } else {
            Err(HedgeWhyNot::Budget)
        }
    }

    /// What [`HedgeShared::may_hedge`] would say. Takes nothing: for `observe`.
    pub fn would_hedge(
        &self,
        question: &HedgeQuestion,
        budget: &RetryShared,
    ) -> Result<(), HedgeWhyNot> {
        self.check(question)?;
        if budget.has_token() {
            Ok(())
        } else {
            Err(HedgeWhyNot::Budget)
        }
    }

    /// Everything but the budget.
    fn check(&self, question: &HedgeQuestion) -> Result<(), HedgeWhyNot> {
        if self.delay().is_none() {
            return Err(HedgeWhyNot::Unknown);
        }
        if question.forbidden {
            return Err(HedgeWhyNot::Forbidden);
        }
        let in_flight = u64::from(question.attempts_in_flight);
        if in_flight == 0 || in_flight >= self.in_flight_max.load(Ordering::Relaxed) {
            return Err(HedgeWhyNot::InFlight);
        }
        if !question.idempotent {
            return Err(HedgeWhyNot::NotIdempotent);
        }
        if !question.replayable {
            return Err(HedgeWhyNot::NotReplayable);
        }
        if question.time_left.is_zero() {
            return Err(HedgeWhyNot::NoTime);
        }
        Ok(())
    }

    fn publish(&self, delay: Option<Duration>, in_flight_max: u32) {
        let nanos = delay.map_or(0, |delay| {
            u64::try_from(delay.max(DELAY_MIN).as_nanos()).unwrap_or(u64::MAX)
        });
        self.delay.store(nanos, Ordering::Relaxed);
        self.in_flight_max
            .store(in_flight_max.into(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Instant;
    use proptest::prelude::*;

    use super::*;
    use crate::retry::RetryControl;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn a_fixed_time_is_in_force_from_the_start_but_never_below_the_least() {
        let shared = |time| HedgeShared::new(1, &after_time(time)).delay();
        let millis = Duration::from_millis;
        assert_eq!(shared(millis(40)), Some(millis(40)));
        assert_eq!(shared(Duration::ZERO), Some(DELAY_MIN));
        assert_eq!(shared(Duration::MAX), Some(Duration::from_nanos(u64::MAX)));
    }

    #[test]
    fn a_quantile_that_is_not_known_hedges_nothing() {
        let shared = HedgeShared::new(1, &HedgeParameters::default());
        assert_eq!(shared.delay(), None);
        let budget = full_budget();
        let refusal = Err(HedgeWhyNot::Unknown);
        assert_eq!(shared.may_hedge(&good(), &budget), refusal);
        assert_eq!(budget.withdrawn(), 0);
    }

    #[test]
    fn each_reason_is_given_for_its_case() {
        let (shared, budget) = (fixed(), full_budget());
        let refused = |change: fn(&mut HedgeQuestion)| {
            let mut question = good();
            change(&mut question);
            shared.may_hedge(&question, &budget).unwrap_err()
        };
        assert_eq!(
            refused(|question| question.forbidden = true),
            HedgeWhyNot::Forbidden
        );
        assert_eq!(
            refused(|question| question.attempts_in_flight = 0),
            HedgeWhyNot::InFlight
        );
        assert_eq!(
            refused(|question| question.attempts_in_flight = 2),
            HedgeWhyNot::InFlight
        );
        assert_eq!(
            refused(|question| question.idempotent = false),
            HedgeWhyNot::NotIdempotent
        );
        assert_eq!(
            refused(|question| question.replayable = false),
            HedgeWhyNot::NotReplayable
        );
        assert_eq!(
            refused(|question| question.time_left = Duration::ZERO),
            HedgeWhyNot::NoTime
        );
        assert_eq!(budget.withdrawn(), 0, "none of them costs a token");
        assert_eq!(shared.may_hedge(&good(), &budget), Ok(()));
        assert_eq!(budget.withdrawn(), 1);
        while budget.try_withdraw() {}
        assert_eq!(refused(|_| ()), HedgeWhyNot::Budget);
    }

    #[test]
    fn a_thread_that_was_not_announced_is_survived() {
        fixed().observe(7, Duration::from_secs(1));
    }

    proptest! {
        /// Safety: a service that becomes slow as a whole sees no more hedges than the budget grants.
        #[test]
        fn hedges_never_exceed_their_budget(
            share in 0.0..=0.2_f64,
            hedged in proptest::collection::vec(any::<bool>(), 0..2_000),
        ) {
            let budget = Ratio::try_from(share).unwrap();
            let parameters = HedgeParameters { budget, ..after_time(DELAY_MIN) };
            let shared = HedgeShared::new(1, &parameters);
            let tokens = RetryShared::new(parameters.grant());
            let mut control = RetryControl::new(parameters.grant(), START, &tokens);
            let (mut requests, mut hedges) = (0_u32, 0_u32);
            for slow in hedged {
                tokens.on_request();
                requests += 1;
                control.tick(START + Duration::from_millis(requests.into()), &tokens);
                let expected = shared.would_hedge(&good(), &tokens);
                if slow {
                    let decision = shared.may_hedge(&good(), &tokens);
                    prop_assert_eq!(decision, expected);
                    hedges += u32::from(decision.is_ok());
                }
                prop_assert!(f64::from(hedges) <= share * f64::from(requests) + 1e-2);
            }
        }
    }

    fn after_time(time: Duration) -> HedgeParameters {
        HedgeParameters {
            after: HedgeAfter::Time(time),
            ..HedgeParameters::default()
        }
    }

    fn fixed() -> HedgeShared {
        HedgeShared::new(1, &after_time(Duration::from_millis(40)))
    }

    fn full_budget() -> RetryShared {
        RetryShared::new(RetryGrant {
            budget: Ratio::ZERO,
            floor_per_second: 1.0,
        })
    }

    fn good() -> HedgeQuestion {
        HedgeQuestion {
            idempotent: true,
            replayable: true,
            forbidden: false,
            attempts_in_flight: 1,
            time_left: Duration::from_secs(1),
        }
    }
}
