//! Retries: whether a failed attempt is tried again, and after how long.
//!
//! Source: Google, *Site Reliability Engineering* (2016), "Handling Overload" (a budget per client, and at
//! most three attempts); M. Brooker, "Exponential Backoff And Jitter" (AWS, 2015): full jitter.
//! Units: delays are `Duration`; `attempts` counts tries in all, the first included.
//! Invariants: a retry is only made where doing the request twice is safe; over any time there are no more
//! retries than [`RetryShared`] granted; a delay always leaves time for the attempt that follows it.
//! Elsewhere: the budget (`budget`); second attempts beside one that is still waiting (`hedge`); whether a
//! body can be sent again and which endpoint is next (life cycle, gateway).

mod budget;
mod rules;

pub use budget::{RetryControl, RetryGrant, RetryShared};
pub use rules::{Failure, NotARetryOn, RetryOn, RetryRules};

use std::time::Duration;

use plimsoll_core::Ratio;

/// The status of a service that can't serve for now (RFC 9110 section 15.6.4).
const SERVICE_UNAVAILABLE: u16 = 503;
/// A service may ask for this much time before a retry, even where retries wait less by themselves: `Retry-After`
/// is in whole seconds.
const ASKED_MAX: Duration = Duration::from_secs(1);

/// How often, how soon and how many.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryParameters {
    /// Tries in all, the first included; 1 = no retries. Zero counts as 1.
    pub attempts_max: u32,
    /// The share of requests that may be retried.
    pub budget: Ratio,
    /// Retries per second that are granted without regard to requests, so that a quiet service has some.
    pub floor_per_second: f64,
    /// The longest delay before the second attempt.
    pub backoff_min: Duration,
    /// The longest delay before any attempt.
    pub backoff_max: Duration,
}

impl RetryParameters {
    /// What fills the budget.
    pub const fn grant(&self) -> RetryGrant {
        RetryGrant {
            budget: self.budget,
            floor_per_second: self.floor_per_second,
        }
    }
}

impl Default for RetryParameters {
    fn default() -> Self {
        Self {
            attempts_max: 2,
            // A tenth: a failing service sees at most 10 % more load than a healthy one.
            budget: Ratio::of(1, 10).unwrap_or(Ratio::ZERO),
            floor_per_second: 3.0,
            // The first two are long beside a stutter of a thread and short beside what people notice.
            backoff_min: Duration::from_millis(25),
            backoff_max: Duration::from_millis(250),
        }
    }
}

/// An attempt failed: what is known when one asks for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// Doing it twice does what doing it once does (RFC 9110 section 9.2.2), or it carries a key that makes it so.
    pub idempotent: bool,
    /// All that the next attempt has to send is at hand: nothing of the body was taken from the client yet,
    /// or all that was taken has been kept.
    pub replayable: bool,
    /// Attempts made so far, the failed one included.
    pub attempts: u32,
    /// How the last one failed.
    pub failure: Failure,
    /// A trusted caller says that it retries itself: retries on two levels multiply.
    pub forbidden: bool,
    /// Until the request's deadline.
    pub time_left: Duration,
}

/// Why there is no retry. In the order in which they are looked at: the first that holds is the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WhyNot {
    /// The rules don't name this failure.
    NotConfigured,
    /// The service refused on purpose: a 503 that says when to come back, or any answer that carries another
    /// Plimsoll's decision. That one knows the load, and has made its own retries.
    ServiceSaysNo,
    /// A trusted caller asked for no retries.
    Forbidden,
    /// All attempts were made.
    AttemptsUsed,
    /// The service may have acted on the request, and twice is not once.
    NotIdempotent,
    /// The body is gone.
    NotReplayable,
    /// The deadline would be over before the next attempt begins.
    NoTime,
    /// The budget is empty.
    Budget,
    /// The governor has turned retries off.
    Governed,
}

impl WhyNot {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::NotConfigured,
        Self::ServiceSaysNo,
        Self::Forbidden,
        Self::AttemptsUsed,
        Self::NotIdempotent,
        Self::NotReplayable,
        Self::NoTime,
        Self::Budget,
        Self::Governed,
    ];

    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotConfigured => "not-configured",
            Self::ServiceSaysNo => "service-says-no",
            Self::Forbidden => "forbidden",
            Self::AttemptsUsed => "attempts-used",
            Self::NotIdempotent => "not-idempotent",
            Self::NotReplayable => "not-replayable",
            Self::NoTime => "no-time",
            Self::Budget => "budget",
            Self::Governed => "governed",
        }
    }
}

/// What to do with a request whose attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum RetryDecision {
    /// Try again.
    Retry {
        /// Wait this long first.
        after: Duration,
    },
    /// Answer with the failure.
    GiveUp(WhyNot),
}

/// Decides, and takes a token from the budget if the answer is [`RetryDecision::Retry`].
///
/// `random` is uniform over all of `u64`.
pub fn decide(
    question: &Question,
    rules: &RetryRules,
    parameters: &RetryParameters,
    shared: &RetryShared,
    random: u64,
) -> RetryDecision {
    // The token comes last: a request that can't be retried anyway must not spend what another could use.
    answer(question, rules, parameters, random, || {
        shared.try_withdraw()
    })
}

/// What [`decide`] would say if the budget were never empty: for attempts of which nothing was sent.
pub fn unbudgeted(
    question: &Question,
    rules: &RetryRules,
    parameters: &RetryParameters,
    random: u64,
) -> RetryDecision {
    answer(question, rules, parameters, random, || true)
}

fn answer(
    question: &Question,
    rules: &RetryRules,
    parameters: &RetryParameters,
    random: u64,
    budget: impl FnOnce() -> bool,
) -> RetryDecision {
    match plan(question, rules, parameters, random) {
        Err(why) => RetryDecision::GiveUp(why),
        Ok(_) if !budget() => RetryDecision::GiveUp(WhyNot::Budget),
        Ok(after) => RetryDecision::Retry { after },
    }
}

/// Everything but the budget.
fn plan(
    question: &Question,
    rules: &RetryRules,
    parameters: &RetryParameters,
    random: u64,
) -> Result<Duration, WhyNot> {
    let failure = question.failure;
    if !rules.allows(failure) {
        return Err(WhyNot::NotConfigured);
    }
    if says_no(failure) {
        return Err(WhyNot::ServiceSaysNo);
    }
    if question.forbidden {
        return Err(WhyNot::Forbidden);
    }
    if question.attempts >= parameters.attempts_max {
        return Err(WhyNot::AttemptsUsed);
    }
    // Without a connection nothing was sent: the service can't have acted on it.
    if !question.idempotent && failure != Failure::Connect {
        return Err(WhyNot::NotIdempotent);
    }
    if !question.replayable {
        return Err(WhyNot::NotReplayable);
    }
    // A request that waits holds its permit: only as long as any retry may wait.
    if let Failure::Status {
        retry_after: Some(asked),
        ..
    } = failure
        && asked > parameters.backoff_max.max(ASKED_MAX)
    {
        return Err(WhyNot::ServiceSaysNo);
    }
    let after = delay(question, parameters, random);
    if after >= question.time_left {
        return Err(WhyNot::NoTime);
    }
    Ok(after)
}

fn says_no(failure: Failure) -> bool {
    match failure {
        Failure::Status {
            status,
            retry_after,
            decision,
        } => decision || (status == SERVICE_UNAVAILABLE && retry_after.is_some()),
        Failure::Connect | Failure::Reset | Failure::Timeout => false,
    }
}

fn delay(question: &Question, parameters: &RetryParameters, random: u64) -> Duration {
    match question.failure {
        // One endpoint that can't be reached says nothing of the next: it is tried at once.
        Failure::Connect if question.attempts <= 1 => Duration::ZERO,
        Failure::Status {
            retry_after: Some(asked),
            ..
        } => asked.saturating_add(backoff(question.attempts, parameters, random)),
        _ => backoff(question.attempts, parameters, random),
    }
}

/// Uniform in `[0, min(backoff_max, backoff_min * 2^(attempts - 1))]`.
fn backoff(attempts: u32, parameters: &RetryParameters, random: u64) -> Duration {
    let factor = 1_u32
        .checked_shl(attempts.saturating_sub(1))
        .unwrap_or(u32::MAX);
    let longest = parameters
        .backoff_min
        .saturating_mul(factor)
        .min(parameters.backoff_max);
    let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX);
    // `random / 2^64` of the range, in whole nanoseconds: the product's high half.
    let drawn = (u128::from(random) * (u128::from(nanos) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(drawn).unwrap_or(nanos))
}

#[cfg(test)]
mod tests;
