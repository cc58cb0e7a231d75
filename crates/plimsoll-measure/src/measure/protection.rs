//! From what the control thread knows of a service's protections, and what was counted of refusals, to what
//! is shown of them.
//!
//! Refusals that were enforced come from the counters by cause, so that each is counted once; the input adds
//! what no cause tells: how limit and queue stand, what other policies did, what those that observe would do.

use std::time::Duration;

use plimsoll_core::{Class, Instant, Mode};

use super::tracked::{RATE_WINDOW, TRAFFIC_WINDOW, Tracked};
use crate::outcome::Cause;
use crate::series::Totals;
use crate::snapshot::{
    ActionView, ClassView, ProtectionView, REFUSALS, RefusedView, refusing_policy,
};
use crate::window::Amount;

const CLASSES: usize = Class::ALL.len();

/// What is known of a service's protections now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtectionInput {
    /// Of the limiter and its queue.
    pub mode: Mode,
    /// How many requests may be in flight; `None` = there is no limit.
    pub limit: Option<u32>,
    /// What the limit never exceeds; `None` where nothing moves it.
    pub limit_max: Option<u32>,
    /// Why the limit is what it is; not shown without a limit.
    pub limit_reason: &'static str,
    /// Permits in use.
    pub in_flight: u64,
    /// Requests that wait, in the order of [`Class::ALL`].
    pub queued: [u64; CLASSES],
    /// How long a request may be predicted to wait; `None` where none waits.
    pub wait_max: Option<Duration>,
    /// The latency that is worked for.
    pub objective: Option<Duration>,
    /// Whether that is assumed.
    pub objective_assumed: bool,
    /// What else the policies counted, those that observe included.
    pub counters: Vec<ProtectionCounter>,
}

/// What a policy did or would have done, counted since the start.
///
/// A policy that observes gives its counters from the start, with zero: that is how it is known to observe.
/// Refusals in mode `enforce` are left out here, as their cause counts them. The words come from closed sets:
/// they become labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectionCounter {
    /// As its key in the configuration is called: `limiter`, `retry`, `hedge`, `ejection`.
    pub policy: &'static str,
    /// As in "it would have ...": `shed`, `retried`, `hedged`, `ejected`.
    pub outcome: &'static str,
    /// Of the requests; `None` where class plays no part.
    pub class: Option<Class>,
    /// `Enforce`: it did; `Observe`: it would have. What is `Off` is not shown.
    pub mode: Mode,
    /// Whether each count is one request, so that it can be said what share of all it is.
    pub per_request: bool,
    /// How often.
    pub count: u64,
    /// How many requests ended better by it, or would have; `None` where that can't be told.
    pub saved: Option<u64>,
}

impl Default for ProtectionCounter {
    /// A count of requests by nobody, for the fields that are not given.
    fn default() -> Self {
        Self {
            policy: "",
            outcome: "",
            class: None,
            mode: Mode::Enforce,
            per_request: true,
            count: 0,
            saved: None,
        }
    }
}

/// Requests of a service by class, and those that were refused by class and cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ClassCounts {
    requests: [u64; CLASSES],
    refused: [[u64; REFUSALS.len()]; CLASSES],
}

impl ClassCounts {
    pub(super) fn of(totals: &Totals) -> Self {
        let requests = |class| {
            let counts = Cause::ALL.iter().map(|cause| totals.count(class, *cause));
            counts.sum()
        };
        Self {
            requests: Class::ALL.map(requests),
            refused: Class::ALL.map(|class| REFUSALS.map(|cause| totals.count(class, cause))),
        }
    }

    /// What came on top of `earlier`.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let mut delta = *self;
        for (count, then) in delta.all_mut().zip(earlier.all()) {
            *count = count.saturating_sub(then);
        }
        delta
    }

    /// What was not refused.
    pub(super) fn let_in(&self) -> [u64; CLASSES] {
        let mut let_in = self.requests;
        for (let_in, refused) in let_in.iter_mut().zip(&self.refused) {
            *let_in = let_in.saturating_sub(refused.iter().sum());
        }
        let_in
    }

    fn refused(&self, class: Class, place: usize) -> u64 {
        let causes = self.refused.get(class.index());
        causes
            .and_then(|causes| causes.get(place))
            .copied()
            .unwrap_or(0)
    }

    fn refused_of(&self, class: Class) -> u64 {
        let causes = self.refused.get(class.index());
        causes.map_or(0, |causes| causes.iter().sum())
    }

    fn refused_total(&self) -> u64 {
        self.refused.iter().flatten().sum()
    }

    fn requests_of(&self, class: Class) -> u64 {
        self.requests.get(class.index()).copied().unwrap_or(0)
    }

    fn all(&self) -> impl Iterator<Item = u64> + '_ {
        let refused = self.refused.iter().flatten();
        self.requests.iter().chain(refused).copied()
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut u64> + '_ {
        let refused = self.refused.iter_mut().flatten();
        self.requests.iter_mut().chain(refused)
    }
}

impl Amount for ClassCounts {
    fn add(&mut self, other: &Self) {
        for (count, more) in self.all_mut().zip(other.all()) {
            *count += more;
        }
    }
}

/// What is shown of a service's protections. `tracked` is its series, once it was read.
pub(super) fn view(
    input: &ProtectionInput,
    tracked: Option<&Tracked>,
    now: Instant,
) -> ProtectionView {
    let none = ClassCounts::default();
    let total = tracked.map_or(&none, |tracked| &tracked.classes);
    let minute = tracked.map_or(none, |tracked| tracked.classes_over(now, TRAFFIC_WINDOW).0);
    let (lately, observed) = tracked.map_or((none, Duration::ZERO), |tracked| {
        tracked.classes_over(now, RATE_WINDOW)
    });
    let requests: u64 = total.requests.iter().sum();
    let actions = |mode: Mode| -> Vec<ActionView> {
        let counters = input
            .counters
            .iter()
            .filter(|counter| counter.mode == mode && !counter.is_counted_by_cause());
        counters.map(|counter| counter.view(requests)).collect()
    };
    ProtectionView {
        mode: input.mode,
        limit: input.limit,
        limit_max: input.limit_max,
        limit_reason: input.limit.map(|_| input.limit_reason.to_owned()),
        in_flight: input.in_flight,
        wait_max_seconds: input.wait_max.map(|wait| wait.as_secs_f64()),
        objective_seconds: input.objective.map(|objective| objective.as_secs_f64()),
        objective_assumed: input.objective_assumed,
        refused_per_second: (!observed.is_zero())
            .then(|| lately.refused_total() as f64 / observed.as_secs_f64()),
        classes: Class::ALL
            .into_iter()
            .zip(input.queued)
            .map(|(class, queued)| {
                let (requests, refused) = (minute.requests_of(class), minute.refused_of(class));
                ClassView {
                    class,
                    queued,
                    requests,
                    refused,
                    refused_share: (requests > 0).then(|| refused as f64 / requests as f64),
                }
            })
            .collect(),
        refused: Class::ALL
            .into_iter()
            .flat_map(|class| {
                let causes = REFUSALS.into_iter().enumerate();
                causes.map(move |(place, cause)| (class, place, cause))
            })
            .map(|(class, place, cause)| RefusedView {
                class,
                cause,
                count: minute.refused(class, place),
                total: total.refused(class, place),
            })
            .filter(|refused| refused.total > 0)
            .collect(),
        did: actions(Mode::Enforce),
        would: actions(Mode::Observe),
    }
}

impl ProtectionCounter {
    /// Given against the rule above: it would be counted twice.
    fn is_counted_by_cause(&self) -> bool {
        let mut refusals = REFUSALS.into_iter();
        self.mode == Mode::Enforce
            && refusals.any(|cause| {
                cause.name() == self.outcome && refusing_policy(cause) == Some(self.policy)
            })
    }

    fn view(&self, requests: u64) -> ActionView {
        ActionView {
            policy: self.policy.to_owned(),
            outcome: self.outcome.to_owned(),
            class: self.class,
            count: self.count,
            share: (self.per_request && requests > 0).then(|| self.count as f64 / requests as f64),
            saved: self.saved,
        }
    }
}
