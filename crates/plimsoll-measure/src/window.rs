//! Recent history in bounded memory: what came in the last second, minutes, days.
//!
//! A window is a stack of rings. Each has slots of one length (its step), the finest for the nearest past,
//! the coarsest back to the end of the longest span that is asked for. An amount is added to the newest slot
//! of every ring; a span is summed in the finest ring that reaches back far enough.
//! Exactness: a span begins at a slot's edge, so it may begin later than asked by less than one step, and is
//! never longer than asked. Slots are empty until the process has lived that long: memory grows with it, up
//! to the bound.
//! Invariant: a jump of time (a suspended process) costs no more than emptying the rings.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core::Instant;
use serde::{Deserialize, Serialize};

use crate::objective::Tally;

/// What can be added up in a window.
pub trait Amount: Clone + Default {
    /// Adds all of `other`.
    fn add(&mut self, other: &Self);
}

impl Amount for Tally {
    fn add(&mut self, other: &Self) {
        *self += *other;
    }
}

/// An absent amount is nothing, and takes no memory: most slots of a quiet series.
impl<T: Amount> Amount for Option<Box<T>> {
    fn add(&mut self, other: &Self) {
        if let Some(other) = other {
            self.get_or_insert_default().add(other);
        }
    }
}

/// One ring: how long a slot is, and how many there are at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// The length of a slot.
    pub step: Duration,
    /// How many slots.
    pub slots: usize,
}

impl Level {
    /// A level of `slots` slots, `seconds` each.
    pub const fn new(seconds: u64, slots: usize) -> Self {
        Self {
            step: Duration::from_secs(seconds),
            slots,
        }
    }

    fn reach_nanos(&self) -> u128 {
        self.step.as_nanos() * self.slots as u128
    }
}

/// For traffic and latency: 1 s for ten seconds, 5 s for a minute, 20 s for five. A busy series keeps a
/// histogram in each slot, some 35 KiB in all: finer steps would cost more than they say.
pub const RECENT_LEVELS: [Level; 3] = [Level::new(1, 10), Level::new(5, 12), Level::new(20, 15)];

/// For an objective: 1 s for 10 min, 10 s for 2 h, 2 min for 3 d, then 1 h (or a 2,160th, if that is more)
/// to the end of its period. At most 5,640 slots.
pub fn objective_levels(period: Duration) -> Vec<Level> {
    let mut levels = vec![
        Level::new(1, 600),
        Level::new(10, 720),
        Level::new(120, 2_160),
    ];
    if period > Duration::from_secs(3 * 86_400) {
        let hours = period.as_secs().div_ceil(3_600);
        let step = hours.div_ceil(2_160);
        levels.push(Level::new(step * 3_600, hours.div_ceil(step) as usize));
    }
    levels
}

/// What was added over the last spans of time.
#[derive(Clone, Debug)]
pub struct Window<T> {
    rings: Vec<Ring<T>>,
}

/// The sum over a span.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum<T> {
    /// All that was added.
    pub amount: T,
    /// How much of the span was observed: zero where there is no history yet, less than the span in a
    /// process that is younger, and more than it where one observation took longer.
    pub observed: Duration,
}

/// What a ring holds, in a form that outlives the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RingHistory<T> {
    /// The length of a slot.
    step_nanos: u64,
    /// How many steps ago it began, how long of it was observed in nanoseconds, and what.
    slots: Vec<(u64, u64, T)>,
}

#[derive(Clone, Debug)]
struct Ring<T> {
    step_nanos: u64,
    slots_max: usize,
    /// The number of the newest slot: time since the origin in steps.
    newest: u64,
    /// The newest is at the back.
    slots: VecDeque<Slot<T>>,
}

#[derive(Clone, Debug, Default)]
struct Slot<T> {
    amount: T,
    observed_nanos: u64,
}

impl<T: Amount> Window<T> {
    /// Empty, with these levels, the finest first.
    pub fn new(levels: &[Level]) -> Self {
        assert!(!levels.is_empty(), "a window needs a level");
        assert!(
            levels
                .iter()
                .all(|level| level.slots > 0 && level.step > Duration::ZERO),
            "{levels:?}"
        );
        assert!(
            levels.is_sorted_by(|finer, coarser| finer.step < coarser.step
                && finer.reach_nanos() < coarser.reach_nanos()),
            "levels go from fine and short to coarse and long: {levels:?}"
        );
        Self {
            rings: levels.iter().map(Ring::new).collect(),
        }
    }

    /// Adds what was observed in the time of length `observed` that ends now.
    pub fn add(&mut self, now: Instant, observed: Duration, amount: &T) {
        let observed_nanos = u64::try_from(observed.as_nanos()).unwrap_or(u64::MAX);
        for ring in &mut self.rings {
            ring.add(now, observed_nanos, amount);
        }
    }

    /// The sum over the last `span`. A span longer than the window reaches is cut to what it reaches.
    pub fn sum(&self, now: Instant, span: Duration) -> Sum<T> {
        let mut amount = T::default();
        let observed = self.each(now, span, |part| amount.add(part));
        Sum { amount, observed }
    }

    /// Calls `visit` with each slot of the last `span`, for sums of another type; returns how much of the
    /// span was observed.
    pub fn each(&self, now: Instant, span: Duration, mut visit: impl FnMut(&T)) -> Duration {
        let reaches = |ring: &&Ring<T>| {
            u128::from(ring.step_nanos) * ring.slots_max as u128 >= span.as_nanos()
        };
        let Some(ring) = self.rings.iter().find(reaches).or(self.rings.last()) else {
            return Duration::ZERO;
        };
        let mut observed_nanos = 0_u64;
        for slot in ring.newest_slots(now, span) {
            visit(&slot.amount);
            observed_nanos = observed_nanos.saturating_add(slot.observed_nanos);
        }
        Duration::from_nanos(observed_nanos)
    }

    /// All slots in which something was observed, for each ring: what [`Window::restore`] takes.
    pub fn export(&self, now: Instant) -> Vec<RingHistory<T>> {
        self.rings.iter().map(|ring| ring.export(now)).collect()
    }

    /// Takes over what a window of the same levels exported, `elapsed` ago. Rings of other steps, and what
    /// is older than a ring reaches, are left out. To be called before anything is added.
    pub fn restore(&mut self, now: Instant, elapsed: Duration, rings: &[RingHistory<T>]) {
        for ring in &mut self.rings {
            if let Some(history) = rings
                .iter()
                .find(|history| history.step_nanos == ring.step_nanos)
            {
                ring.restore(now, elapsed, history);
            }
        }
    }

    /// How many slots are held.
    pub fn slots(&self) -> usize {
        self.rings.iter().map(|ring| ring.slots.len()).sum()
    }
}

impl<T: Amount> Ring<T> {
    fn new(level: &Level) -> Self {
        let step_nanos = u64::try_from(level.step.as_nanos()).unwrap_or(u64::MAX);
        Self {
            step_nanos,
            slots_max: level.slots,
            newest: 0,
            slots: VecDeque::new(),
        }
    }

    fn add(&mut self, now: Instant, observed_nanos: u64, amount: &T) {
        let number = now.as_nanos() / self.step_nanos;
        let steps = number.saturating_sub(self.newest);
        if self.slots.is_empty() || steps >= self.slots_max as u64 {
            self.slots.clear();
            self.slots.push_back(Slot::default());
        } else {
            for _ in 0..steps {
                if self.slots.len() == self.slots_max {
                    self.slots.pop_front();
                }
                self.slots.push_back(Slot::default());
            }
        }
        // Time that runs backwards would be a bug of the shell; what it brings is still counted.
        self.newest = self.newest.max(number);
        if let Some(slot) = self.slots.back_mut() {
            slot.amount.add(amount);
            slot.observed_nanos = slot.observed_nanos.saturating_add(observed_nanos);
        }
    }

    fn export(&self, now: Instant) -> RingHistory<T> {
        let since_newest = (now.as_nanos() / self.step_nanos).saturating_sub(self.newest);
        let slots = self.slots.iter().rev().zip(since_newest..);
        RingHistory {
            step_nanos: self.step_nanos,
            slots: slots
                .filter(|(slot, _)| slot.observed_nanos > 0)
                .map(|(slot, age)| (age, slot.observed_nanos, slot.amount.clone()))
                .collect(),
        }
    }

    fn restore(&mut self, now: Instant, elapsed: Duration, history: &RingHistory<T>) {
        let elapsed =
            u64::try_from(elapsed.as_nanos() / u128::from(self.step_nanos)).unwrap_or(u64::MAX);
        self.slots.clear();
        self.newest = now.as_nanos() / self.step_nanos;
        for (age, observed_nanos, amount) in &history.slots {
            let age = usize::try_from(age.saturating_add(elapsed)).unwrap_or(usize::MAX);
            if age >= self.slots_max {
                continue;
            }
            while self.slots.len() <= age {
                self.slots.push_front(Slot::default());
            }
            let place = self.slots.len() - 1 - age;
            if let Some(slot) = self.slots.get_mut(place) {
                slot.amount.add(amount);
                slot.observed_nanos = slot.observed_nanos.saturating_add(*observed_nanos);
            }
        }
    }

    fn newest_slots(&self, now: Instant, span: Duration) -> impl Iterator<Item = &Slot<T>> {
        let number = now.as_nanos() / self.step_nanos;
        let wanted = span
            .as_nanos()
            .div_ceil(u128::from(self.step_nanos))
            .min(self.slots_max as u128) as u64;
        // Slots that came and went since the last observation are empty.
        let wanted = wanted.saturating_sub(number.saturating_sub(self.newest));
        self.slots
            .iter()
            .rev()
            .take(usize::try_from(wanted).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const LEVELS: [Level; 3] = [Level::new(1, 10), Level::new(5, 6), Level::new(20, 5)];

    #[test]
    fn without_history_nothing_was_observed() {
        let window = Window::<Tally>::new(&LEVELS);
        let sum = window.sum(Instant::from_nanos(5_000_000_000), Duration::from_secs(10));
        assert_eq!(sum, Sum::default());
    }

    #[test]
    fn a_suspended_process_leaves_a_gap_and_costs_nothing() {
        let mut window = Window::new(&LEVELS);
        let second = Duration::from_secs(1);
        window.add(
            Instant::from_nanos(1_000_000_000),
            second,
            &Tally { good: 1, bad: 0 },
        );
        let later = Instant::NEVER;
        window.add(later, second, &Tally { good: 2, bad: 0 });
        assert_eq!(window.sum(later, Duration::from_secs(100)).amount.good, 2);
        assert_eq!(window.slots(), 3);
    }

    #[test]
    fn memory_is_bounded_for_the_longest_periods() {
        for days in [1, 3, 7, 28, 30, 90, 365, 10_000] {
            let period = Duration::from_secs(days * 86_400);
            let levels = objective_levels(period);
            assert!(levels.iter().map(|level| level.slots).sum::<usize>() <= 5_640);
            assert!(
                levels
                    .last()
                    .is_some_and(|level| level.reach_nanos() >= period.as_nanos())
            );
            let _window = Window::<Tally>::new(&levels);
        }
    }

    #[test]
    fn what_was_exported_is_restored_as_old_as_it_is() {
        let at = |seconds: u64| Instant::from_nanos(seconds * 1_000_000_000);
        let second = Duration::from_secs(1);
        let mut window = Window::new(&LEVELS);
        for seconds in 1_000..1_100 {
            window.add(
                at(seconds),
                second,
                &Tally {
                    good: seconds,
                    bad: 1,
                },
            );
        }
        let exported = window.export(at(1_099));
        // Another process, whose clock began elsewhere; all is on time a step of every ring later.
        let mut restored = Window::new(&LEVELS);
        restored.restore(at(19), Duration::from_secs(20), &exported);
        for span in [1, 5, 10, 25, 60, 100] {
            let span = Duration::from_secs(span);
            assert_eq!(
                restored.sum(at(19), span),
                window.sum(at(1_119), span),
                "{span:?}"
            );
        }
        restored.add(at(20), second, &Tally { good: 7, bad: 0 });
        assert_eq!(restored.sum(at(20), second).amount.good, 7);
    }

    proptest! {
        #[test]
        fn sums_agree_with_a_list_of_everything(
            events in vec((0_u64..8_000, 0_u64..5), 1..200),
            quiet_millis in 0_u64..30_000,
            span_millis in 1_u64..120_000,
        ) {
            let mut window = Window::new(&LEVELS);
            let mut list = Vec::new();
            let mut millis = 0;
            for (step, good) in events {
                millis += step;
                let now = Instant::from_nanos(millis * 1_000_000);
                window.add(now, Duration::from_millis(step), &Tally { good, bad: 1 });
                list.push((millis, step, good));
            }
            millis += quiet_millis;
            let span = Duration::from_millis(span_millis);
            let sum = window.sum(Instant::from_nanos(millis * 1_000_000), span);

            let level = LEVELS
                .iter()
                .find(|level| level.reach_nanos() >= span.as_nanos())
                .unwrap_or(LEVELS.last().unwrap());
            let step = level.step.as_millis() as u64;
            let slots = span_millis.div_ceil(step).min(level.slots as u64);
            let inside: Vec<_> =
                list.iter().filter(|(at, ..)| at / step + slots > millis / step).collect();
            prop_assert_eq!(sum.amount.good, inside.iter().map(|(_, _, good)| good).sum::<u64>());
            prop_assert_eq!(sum.amount.bad, inside.len() as u64);
            let observed: u64 = inside.iter().map(|(_, step, _)| step).sum();
            prop_assert_eq!(sum.observed, Duration::from_millis(observed));

            // What the rings promise: nothing older than the span, nothing missed but the first step.
            for (at, _, _) in &inside {
                prop_assert!(millis - at < slots * step);
            }
            let surely = list.iter().filter(|(at, ..)| millis - at < slots.saturating_sub(1) * step).count();
            prop_assert!(inside.len() >= surely);
        }
    }
}
