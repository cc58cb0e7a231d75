//! The budget of retries (and of hedges): tokens that requests and time deposit and that each retry takes.
//!
//! Source: A. Ramanathan and O. Gould, "Retry budgets" (Finagle, 2016): a token bucket filled by requests
//! with a floor by time, in place of a fixed number of retries.
//! Units: tokens are counted in millionths; one token is one retry.
//! Invariants: since the start and over all threads, tokens taken are at most `budget` x requests, and
//! `floor_per_second` x time, and [`RetryGrant::burst`] together, to a millionth of a token per request; the word is
//! never below zero; after a tick it holds at most what ten seconds grant.

use plimsoll_core::{Instant, Ratio};

use crate::sync::atomic::{AtomicU64, Ordering};

/// One token, in the units of the word.
const TOKEN: u64 = 1_000_000;
/// How long tokens are saved up: long enough that a second of failures meets a full budget, short enough that a
/// quiet hour does not pay for a storm.
const SECONDS_SAVED: u64 = 10;
/// The most that the floor may grant; above it, retries have no budget to speak of.
const FLOOR_PER_SECOND_MAX: f64 = 1e6;
const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// What fills a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RetryGrant {
    /// Tokens per first attempt.
    pub budget: Ratio,
    /// Tokens per second, without regard to requests. Negative or NaN counts as none.
    pub floor_per_second: f64,
}

impl RetryGrant {
    /// Tokens that it begins with: what ten seconds of the floor grant.
    pub fn burst(&self) -> f64 {
        (self.floor() * SECONDS_SAVED) as f64 / TOKEN as f64
    }

    /// Millionths per first attempt.
    fn deposit(&self) -> u64 {
        (self.budget.get() * TOKEN as f64).round() as u64
    }

    /// Millionths per second.
    fn floor(&self) -> u64 {
        let floor = self.floor_per_second.clamp(0.0, FLOOR_PER_SECOND_MAX);
        // The cast turns NaN into zero.
        (floor * TOKEN as f64).round() as u64
    }

    /// What may always be saved, in millionths. At least one token: a cap below it would make a small budget none.
    fn saved_min(&self) -> u64 {
        (self.floor() * SECONDS_SAVED).max(TOKEN)
    }
}

/// What all threads share of a budget.
#[derive(Debug)]
#[repr(align(64))]
pub struct RetryShared {
    /// Millionths at hand. Requests alone fill it too slowly to wrap: at a million a second and a budget of all of
    /// them, the control thread would have to stand still for half a year, and a wrap would only empty it.
    tokens: AtomicU64,
    /// Millionths that each first attempt deposits.
    deposit: AtomicU64,
    /// Tokens taken since the start.
    withdrawn: AtomicU64,
}

impl RetryShared {
    /// Holding its burst.
    pub fn new(grant: RetryGrant) -> Self {
        Self {
            tokens: AtomicU64::new(grant.floor() * SECONDS_SAVED),
            deposit: AtomicU64::new(grant.deposit()),
            withdrawn: AtomicU64::new(0),
        }
    }

    /// A first attempt begins: once per request, never for its retries or hedges.
    pub fn on_request(&self) {
        // The cap is left to the tick, so that this is one addition.
        let deposit = self.deposit.load(Ordering::Relaxed);
        self.tokens.fetch_add(deposit, Ordering::Relaxed);
    }

    /// Takes a whole token if there is one.
    #[must_use = "a token that was taken is spent"]
    pub fn try_withdraw(&self) -> bool {
        let taken = self
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                tokens.checked_sub(TOKEN)
            })
            .is_ok();
        if taken {
            self.withdrawn.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }

    /// Whether [`RetryShared::try_withdraw`] would have got one just now.
    pub fn has_token(&self) -> bool {
        self.tokens.load(Ordering::Relaxed) >= TOKEN
    }

    /// Tokens at hand: what a page shows.
    pub fn tokens(&self) -> f64 {
        self.tokens.load(Ordering::Relaxed) as f64 / TOKEN as f64
    }

    /// Tokens taken since the start.
    pub fn withdrawn(&self) -> u64 {
        self.withdrawn.load(Ordering::Relaxed)
    }
}

/// The control thread's half: refills by time, and caps what is saved.
#[derive(Clone, Debug)]
pub struct RetryControl {
    grant: RetryGrant,
    /// Up to when the floor was granted.
    granted_until: Instant,
    /// What of the floor was less than a millionth: so that odd intervals lose nothing. Millionths x nanoseconds.
    remainder: u64,
    /// The word after the last tick.
    tokens: u64,
    /// Tokens taken until the last tick.
    withdrawn: u64,
    deposits: Deposits,
}

impl RetryControl {
    /// Beside a shared half that may have been in use before.
    pub fn new(grant: RetryGrant, now: Instant, shared: &RetryShared) -> Self {
        shared.deposit.store(grant.deposit(), Ordering::Relaxed);
        Self {
            grant,
            granted_until: now,
            remainder: 0,
            withdrawn: shared.withdrawn.load(Ordering::Relaxed),
            tokens: shared.tokens.load(Ordering::Relaxed),
            deposits: Deposits::default(),
        }
    }

    /// Takes over a new grant with the next tick, as after a reload; what is saved stays, under the new cap.
    pub fn set_grant(&mut self, grant: RetryGrant) {
        self.grant = grant;
    }

    /// Adds what the time since the last tick grants, and caps what is saved.
    pub fn tick(&mut self, now: Instant, shared: &RetryShared) {
        shared
            .deposit
            .store(self.grant.deposit(), Ordering::Relaxed);
        let granted = self.granted(now);
        let withdrawn = shared.withdrawn.load(Ordering::Relaxed);
        let taken = withdrawn.wrapping_sub(self.withdrawn);
        // The two words are not read at one moment. A token that is taken in between is missing in this tick's
        // deposits and too much in the next one's: the bins are signed, and their sum is right.
        let deposited = |tokens: u64| {
            let change = tokens.wrapping_sub(self.tokens).cast_signed();
            change.saturating_add_unsigned(taken.saturating_mul(TOKEN))
        };
        self.deposits.roll(now);
        let saved = self.deposits.sum();
        let floor = self.grant.saved_min();
        let refilled = |tokens: u64| {
            let requests = saved.saturating_add(deposited(tokens));
            let cap = floor.saturating_add(u64::try_from(requests).unwrap_or(0));
            tokens.saturating_add(granted).min(cap)
        };
        let before = shared
            .tokens
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |tokens| {
                Some(refilled(tokens))
            })
            .unwrap_or_else(|tokens| tokens);
        let after = refilled(before);
        self.deposits.add(deposited(before));
        self.tokens = after;
        self.withdrawn = withdrawn;
    }

    /// Millionths that the floor grants for the time up to `now`. A clock that jumps ahead grants at most what may
    /// be saved; one that stands or goes back grants nothing until it has caught up.
    fn granted(&mut self, now: Instant) -> u64 {
        let elapsed = now.since(self.granted_until).as_nanos();
        self.granted_until = self.granted_until.max(now);
        let total = elapsed * u128::from(self.grant.floor()) + u128::from(self.remainder);
        let nanos = u128::from(NANOS_PER_SECOND);
        self.remainder = u64::try_from(total % nanos).unwrap_or(0);
        u64::try_from(total / nanos).map_or(self.grant.saved_min(), |granted| {
            granted.min(self.grant.saved_min())
        })
    }
}

/// One second more than is saved: the last one is not complete.
const BINS: usize = SECONDS_SAVED as usize + 1;

/// What requests deposited, by second, in millionths.
#[derive(Clone, Debug, Default)]
struct Deposits {
    bins: [i64; BINS],
    /// The second that the bin in use stands for.
    second: u64,
}

impl Deposits {
    /// Forgets the seconds that have gone.
    fn roll(&mut self, now: Instant) {
        let second = now.as_nanos() / NANOS_PER_SECOND;
        let gone = second.saturating_sub(self.second).min(BINS as u64);
        for step in 1..=gone {
            if let Some(bin) = self.bins.get_mut(place(self.second.saturating_add(step))) {
                *bin = 0;
            }
        }
        // After more than a round every bin is empty, and any of them may be the next.
        self.second = self.second.max(second);
    }

    fn add(&mut self, deposited: i64) {
        if let Some(bin) = self.bins.get_mut(place(self.second)) {
            *bin = bin.saturating_add(deposited);
        }
    }

    fn sum(&self) -> i64 {
        self.bins
            .iter()
            .fold(0, |sum, bin| sum.saturating_add(*bin))
    }
}

fn place(second: u64) -> usize {
    (second % BINS as u64) as usize
}

#[cfg(test)]
mod tests;
