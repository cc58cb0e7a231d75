//! The control thread's half of throttling: keeps the window, and sets each class's share.

use plimsoll_core::{Class, Instant, Ratio};

use super::{CLASSES, Counts, ThrottleShared};

/// Buckets of a second in the window: long enough for a share of a few requests per second to mean something, and how
/// long a service that recovered is still held back at worst.
const BUCKETS: usize = 30;
const NANOS_PER_SECOND: u64 = 1_000_000_000;
/// The least K. At 1 every single failure would throttle.
const MULTIPLIER_MIN: f64 = 1.1;

/// When and how much.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThrottleParameters {
    /// K: how many times what it accepts a service is sent. Higher is slower to throttle and quicker to see a
    /// recovery. At least 1.1.
    pub multiplier: f64,
    /// The largest share of any class that is throttled: the rest are probes.
    pub share_max: Ratio,
    /// Nothing is throttled while the window holds fewer requests.
    pub requests_min: u64,
}

impl Default for ThrottleParameters {
    fn default() -> Self {
        Self {
            multiplier: 2.0,
            share_max: Ratio::of(9, 10).unwrap_or(Ratio::ZERO),
            // Ten failures in a row are no accident of a service that fails one in a hundred, nor of one in ten.
            requests_min: 20,
        }
    }
}

/// Throttles one service. See the module's docs.
#[derive(Clone, Debug)]
pub struct ThrottleControl {
    parameters: ThrottleParameters,
    /// By second, modulo their number.
    buckets: [[Counts; CLASSES]; BUCKETS],
    /// The second that is being counted.
    second: u64,
    /// What was counted up to its beginning.
    read: [Counts; CLASSES],
    share: f64,
}

impl ThrottleControl {
    /// Beside a shared half; what that counted before does not count.
    pub fn new(parameters: ThrottleParameters, now: Instant, shared: &ThrottleShared) -> Self {
        shared.publish([0.0; CLASSES]);
        Self {
            parameters,
            buckets: [[Counts::default(); CLASSES]; BUCKETS],
            second: second(now),
            read: shared.totals(),
            share: 0.0,
        }
    }

    /// Takes over new parameters from the next second on, as after a reload; the window stays.
    pub fn set_parameters(&mut self, parameters: ThrottleParameters) {
        self.parameters = parameters;
    }

    /// The share of all requests that is to be throttled, over all classes.
    pub fn share(&self) -> f64 {
        self.share
    }

    /// Closes the bucket once its second is over, and decides anew. A clock that goes back changes nothing.
    pub fn tick(&mut self, now: Instant, shared: &ThrottleShared) {
        let second = second(now);
        if second <= self.second {
            return;
        }
        let totals = shared.totals();
        if let Some(bucket) = self.buckets.get_mut(place(self.second)) {
            for (class, counts) in bucket.iter_mut().enumerate() {
                if let (Some(total), Some(read)) = (totals.get(class), self.read.get(class)) {
                    *counts = total.since(*read);
                }
            }
        }
        // Seconds that no tick closed were empty; after a round of them, all is forgotten.
        let skipped = (second - self.second - 1).min(BUCKETS as u64);
        for step in 1..=skipped {
            if let Some(bucket) = self
                .buckets
                .get_mut(place(self.second.saturating_add(step)))
            {
                *bucket = Default::default();
            }
        }
        self.second = second;
        self.read = totals;

        let mut window = [Counts::default(); CLASSES];
        for (class, counts) in window.iter_mut().enumerate() {
            for bucket in &self.buckets {
                if let Some(other) = bucket.get(class) {
                    counts.add(*other);
                }
            }
        }
        let mut all = Counts::default();
        for counts in &window {
            all.add(*counts);
        }
        self.share = share(all, &self.parameters);
        shared.publish(divide(
            self.share,
            window.map(|counts| counts.requests()),
            self.parameters.share_max.get(),
        ));
    }
}

impl Counts {
    fn requests(self) -> u64 {
        self.throttled + self.accepts + self.failures
    }

    fn since(self, before: Self) -> Self {
        Self {
            throttled: self.throttled.wrapping_sub(before.throttled),
            accepts: self.accepts.wrapping_sub(before.accepts),
            failures: self.failures.wrapping_sub(before.failures),
        }
    }

    fn add(&mut self, other: Self) {
        self.throttled += other.throttled;
        self.accepts += other.accepts;
        self.failures += other.failures;
    }
}

/// The share of all requests to throttle.
///
/// The formula alone, coming from nine tenths throttled, needs two to three windows to come to zero after the service
/// recovered: what it lets through is K times what was accepted in the window, which grows from little. The bound by
/// failures ends that: in the state that the formula holds, `(K - 1) / K` of the answers are failures, where the bound
/// is 1 and changes nothing; as failures leave the window, it falls to zero.
///
/// Requests count when they are answered, not when they arrive: else a slow service whose traffic grows would look
/// like one that accepts less than it is sent.
fn share(counts: Counts, parameters: &ThrottleParameters) -> f64 {
    let requests = counts.requests();
    // Without an answer there is no share of failures; all that is left then are requests that were throttled.
    if requests < parameters.requests_min || counts.failures == 0 {
        return 0.0;
    }
    // `max` also turns NaN into the least.
    let multiplier = parameters.multiplier.max(MULTIPLIER_MIN);
    let (requests, accepts) = (requests as f64, counts.accepts as f64);
    let failures = counts.failures as f64;
    let wanted = (requests - multiplier * accepts) / (requests + 1.0);
    let bound = failures / (failures + accepts) * multiplier / (multiplier - 1.0);
    // In this order NaN, as from an endless multiplier, becomes zero.
    wanted.min(bound).max(0.0).min(parameters.share_max.get())
}

/// Divides a share of all requests over the classes, the lowest first, by how many requests each has. The shares,
/// weighted so, add up to the whole.
fn divide(share: f64, requests: [u64; CLASSES], share_max: f64) -> [f64; CLASSES] {
    let total: u64 = requests.iter().sum();
    let mut shares = [0.0; CLASSES];
    if total == 0 {
        return shares;
    }
    let mut left = share;
    for class in Class::ALL.iter().rev() {
        let (Some(requests), Some(slot)) =
            (requests.get(class.index()), shares.get_mut(class.index()))
        else {
            continue;
        };
        if left <= 0.0 {
            break;
        }
        let of_all = *requests as f64 / total as f64;
        let most = share_max * of_all;
        // A class of which nothing was seen is treated as one above it that is throttled would want it: by the most.
        *slot = if most <= left {
            share_max
        } else {
            left / of_all
        };
        left -= most;
    }
    shares
}

fn second(now: Instant) -> u64 {
    now.as_nanos() / NANOS_PER_SECOND
}

fn place(second: u64) -> usize {
    (second % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests;
