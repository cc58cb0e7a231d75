//! What the policies of a guard did beside admitting, and what they would have done.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use plimsoll_core::Class;

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $policy:literal, $what:literal, $acted:literal;)*) => {
        /// Something that is counted, once each time.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Counter {
            $($(#[$doc])* $variant,)*
        }

        impl Counter {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The policy that it is about.
            pub const fn policy(self) -> &'static str {
                match self { $(Self::$variant => $policy),* }
            }

            /// What happened.
            pub const fn what(self) -> &'static str {
                match self { $(Self::$variant => $what),* }
            }

            /// Whether it was done; if not, it would have been.
            pub const fn acted(self) -> bool {
                match self { $(Self::$variant => $acted),* }
            }
        }
    };
}

counters! {
    /// An attempt was made again.
    Retry = "retry", "retried", true;
    /// An attempt would have been made again.
    WouldRetry = "retry", "retried", false;
    /// A retry was not made, since the budget was empty.
    RetryOverBudget = "retry", "over-budget", true;
    /// A retry was not made, since the governor has turned them off.
    RetryGoverned = "retry", "governed", true;
    /// A call was refused at the governor's shed level.
    Governed = "governor", "shed", true;
    /// The service was asked though there was a stale answer that might have been given.
    WouldSpare = "stale", "given", false;
    /// A call would have been thrown.
    WouldThrottle = "throttle", "thrown", false;
    /// A permit went to others, since its call's client was waited for.
    Lent = "limiter", "slow-client", true;
    /// As many calls waited as may.
    PendingFull = "bulkhead", "pending-full", true;
    /// As many connections to the service were open as may.
    ConnectionsFull = "bulkhead", "connections-full", true;
    /// As many streams were open as may.
    StreamsFull = "bulkhead", "streams-full", true;
    /// A declared rate would have refused a call.
    WouldRateLimit = "rate", "refused", false;
    /// A second attempt was made beside the first.
    Hedge = "hedge", "hedged", true;
    /// ... and its answer was the one that was passed on.
    HedgeWon = "hedge", "won", true;
    /// A second attempt would have been made.
    WouldHedge = "hedge", "hedged", false;
}

/// The counters of one service, over all threads.
#[derive(Debug, Default)]
pub struct GuardCounters {
    counts: [AtomicU64; Counter::ALL.len()],
    writes: [AtomicU64; Class::ALL.len()],
}

impl GuardCounters {
    /// Counts one.
    pub fn add(&self, counter: Counter) {
        if let Some(count) = self.counts.get(counter as usize) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many there were.
    pub fn get(&self, counter: Counter) -> u64 {
        self.counts
            .get(counter as usize)
            .map_or(0, |count| count.load(Relaxed))
    }

    /// A request that would change something ended, and was not refused.
    pub fn add_write(&self, class: Class) {
        if let Some(count) = self.writes.get(class.index()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// How many there were of these, by class.
    pub fn writes(&self) -> [u64; Class::ALL.len()] {
        self.writes.each_ref().map(|count| count.load(Relaxed))
    }
}
