//! What is counted of two arms, and how much traffic the newer one gets.

use serde::{Deserialize, Serialize};

/// How many rungs the ladder of latencies has at most.
pub const RUNGS: usize = 6;
/// How many routes are judged each by itself; the caller pools the rest into one more.
pub const ROUTES_MAX: usize = 200;

/// How much of the traffic goes to the new version, in parts of 10,000.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "u16", into = "u16")]
pub struct Weight(u16);

impl Weight {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(10_000);

    /// So many parts of 10,000; more than all is all.
    pub const fn of_parts(parts: u16) -> Self {
        Self(if parts > 10_000 { 10_000 } else { parts })
    }

    /// The parts of 10,000.
    pub const fn parts(self) -> u16 {
        self.0
    }

    /// As a share of 1.
    pub fn share(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl From<u16> for Weight {
    fn from(parts: u16) -> Self {
        Self::of_parts(parts)
    }
}

impl From<Weight> for u16 {
    fn from(weight: Weight) -> Self {
        weight.0
    }
}

/// What one arm did on one route. Only what the service did with first attempts: no refusals of Plimsoll, no clients
/// that hung up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArmCounts {
    /// Requests that ended.
    pub requests: u64,
    /// Of these, the bad ones.
    pub bad: u64,
    /// Those that were slower than the latency objective; zero where there is none.
    pub slow: u64,
    /// Those that were slower than each edge of the ladder; zero beyond its last rung.
    pub slower: [u64; RUNGS],
}

impl ArmCounts {
    /// What came since `before`. Where a count is lower than it was, counting began anew, and all of it came since.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let pairs = self.all().zip(before.all());
        if pairs.into_iter().any(|(now, then)| now < then) {
            return *self;
        }
        let mut slower = self.slower;
        for (now, then) in slower.iter_mut().zip(before.slower) {
            *now = now.saturating_sub(then);
        }
        Self {
            requests: self.requests.saturating_sub(before.requests),
            bad: self.bad.saturating_sub(before.bad),
            slow: self.slow.saturating_sub(before.slow),
            slower,
        }
    }

    /// Adds what another counted.
    pub fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.bad = self.bad.saturating_add(other.bad);
        self.slow = self.slow.saturating_add(other.slow);
        for (mine, theirs) in self.slower.iter_mut().zip(other.slower) {
            *mine = mine.saturating_add(theirs);
        }
    }

    /// The requests and the bad ones.
    pub fn errors(&self) -> Trials {
        Trials::new(self.requests, self.bad)
    }

    /// The requests and those slower than the objective.
    pub fn slow(&self) -> Trials {
        Trials::new(self.requests, self.slow)
    }

    /// The requests and those slower than the edge of a rung.
    pub fn slower(&self, rung: usize) -> Trials {
        let bad = self.slower.get(rung).copied();
        Trials::new(self.requests, bad.unwrap_or(0))
    }

    fn all(&self) -> impl Iterator<Item = u64> + '_ {
        let first = [self.requests, self.bad, self.slow];
        first.into_iter().chain(self.slower)
    }
}

/// What both arms did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arms {
    /// The version that was there before.
    pub stable: ArmCounts,
    /// The new one.
    pub canary: ArmCounts,
}

impl Arms {
    /// See [`ArmCounts::since`].
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        Self {
            stable: self.stable.since(&before.stable),
            canary: self.canary.since(&before.canary),
        }
    }

    /// Adds what others counted.
    pub fn add(&mut self, other: &Self) {
        self.stable.add(&other.stable);
        self.canary.add(&other.canary);
    }

    /// Both arms' errors.
    pub fn errors(&self) -> Pair {
        self.pair(ArmCounts::errors)
    }

    /// What both arms did that was slower than the objective.
    pub fn slow(&self) -> Pair {
        self.pair(ArmCounts::slow)
    }

    /// What both arms did that was slower than a rung.
    pub fn slower(&self, rung: usize) -> Pair {
        self.pair(|arm| arm.slower(rung))
    }

    fn pair(&self, of: impl Fn(&ArmCounts) -> Trials) -> Pair {
        Pair {
            canary: of(&self.canary),
            stable: of(&self.stable),
        }
    }
}

/// Requests, and how many of them were bad in one sense or another: never more than all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trials {
    /// How many there were.
    pub requests: u64,
    /// How many of them were bad.
    pub bad: u64,
}

impl Trials {
    /// So many, and so many bad ones of them; more bad ones than all are all.
    pub fn new(requests: u64, bad: u64) -> Self {
        Self {
            requests,
            bad: bad.min(requests),
        }
    }

    /// The share of bad ones; `None` where there were none at all.
    pub fn rate(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.bad as f64 / self.requests as f64)
    }
}

/// What both arms did in the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The new version's.
    pub canary: Trials,
    /// The one's from before.
    pub stable: Trials,
}

impl Pair {
    /// The canary's share of all requests, and of all bad ones; `None` where that says nothing, as one arm had no
    /// request or nothing was bad.
    pub fn shares(&self) -> Option<(f64, f64)> {
        let requests = self.canary.requests as f64 + self.stable.requests as f64;
        let bad = self.canary.bad as f64 + self.stable.bad as f64;
        let says = self.canary.requests > 0 && self.stable.requests > 0 && bad > 0.0;
        says.then(|| {
            let fair = self.canary.requests as f64 / requests;
            (fair, self.canary.bad as f64 / bad)
        })
    }

    /// Adds another time.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.canary, other.canary),
            (&mut self.stable, other.stable),
        ] {
            mine.requests = mine.requests.saturating_add(theirs.requests);
            mine.bad = mine.bad.saturating_add(theirs.bad);
        }
    }
}

/// What is told at each tick.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// What was counted so far, by route, always in the same order: those that were there at the first tick are judged each by
    /// itself too, up to [`ROUTES_MAX`] and one more for the rest.
    pub routes: &'a [Arms],
    /// Different clients that got a bad answer from the canary, as far as they are counted (64).
    pub bad_clients: u32,
    /// The service as a whole spends its budget so fast that somebody was called.
    pub service_burns: bool,
    /// Nothing may go up now, as people or the budget say; going back is always possible.
    pub frozen: bool,
    /// At least one endpoint of the canary can be called.
    pub canary_up: bool,
}
