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

/// For an objective: 1 s for 10 min, 10 s for 2 h, 2 min for 3 d, then 1 h (or a 2,304th, if that is more)
/// to the end of its period. At most 5,784 slots.
pub fn objective_levels(period: Duration) -> Vec<Level> {
    let mut levels = vec![
        Level::new(1, 600),
        Level::new(10, 720),
        Level::new(120, 2_160),
    ];
    if period > Duration::from_secs(3 * 86_400) {
        let hours = period.as_secs().div_ceil(3_600);
        let step = hours.div_ceil(2_304);
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

    /// The steps of its rings, the finest first.
    pub fn steps(&self) -> impl Iterator<Item = Duration> {
        let nanos = self.rings.iter().map(|ring| ring.step_nanos);
        nanos.map(Duration::from_nanos)
    }

    /// How far the ring with this step reaches; zero if there is none.
    pub fn reach(&self, step: Duration) -> Duration {
        let ring = self.ring(step);
        ring.map_or(Duration::ZERO, |ring| {
            Duration::from_nanos(ring.step_nanos.saturating_mul(ring.slots_max as u64))
        })
    }

    /// Adds what was observed in the past to the ring with this step alone. For a window that is made of what was kept: in
    /// the order of time, and before anything else is added.
    pub fn fill(&mut self, step: Duration, at: Instant, observed: Duration, amount: &T) {
        let observed_nanos = u64::try_from(observed.as_nanos()).unwrap_or(u64::MAX);
        let mut rings = self.rings.iter_mut();
        if let Some(ring) = rings.find(|ring| u128::from(ring.step_nanos) == step.as_nanos()) {
            ring.add(at, observed_nanos, amount);
        }
    }

    /// The same history with other levels, as far as it is there: what a finer ring has stands in for a coarser one that was
    /// not.
    #[must_use]
    pub fn with_levels(&self, levels: &[Level]) -> Self {
        let mut window = Self::new(levels);
        for ring in &mut window.rings {
            let same = self
                .rings
                .iter()
                .find(|it| it.step_nanos == ring.step_nanos);
            let finer = self.rings.iter().rev();
            let mut finer = finer.filter(|it| it.step_nanos < ring.step_nanos);
            if let Some(from) = same.or_else(|| finer.next()) {
                ring.take_from(from);
            }
        }
        window
    }

    fn ring(&self, step: Duration) -> Option<&Ring<T>> {
        let mut rings = self.rings.iter();
        rings.find(|ring| u128::from(ring.step_nanos) == step.as_nanos())
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

    fn take_from(&mut self, other: &Self) {
        let oldest = (other.newest + 1).saturating_sub(other.slots.len() as u64);
        for (slot, number) in other.slots.iter().zip(oldest..) {
            let at = Instant::from_nanos(number.saturating_mul(other.step_nanos));
            self.add(at, slot.observed_nanos, &slot.amount);
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
            assert!(levels.iter().map(|level| level.slots).sum::<usize>() <= 5_784);
            assert!(
                levels
                    .last()
                    .is_some_and(|level| level.reach_nanos() >= period.as_nanos())
            );
            let _window = Window::<Tally>::new(&levels);
        }
    }

    #[test]
    fn with_other_levels_history_goes_on_as_far_as_it_is_there() {
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
        let longer = [LEVELS[0], LEVELS[1], LEVELS[2], Level::new(60, 10)];
        let other = window.with_levels(&longer);
        for span in [1, 5, 10, 25, 60, 100] {
            let span = Duration::from_secs(span);
            assert_eq!(other.sum(at(1_099), span), window.sum(at(1_099), span));
        }
        // What is coarser is made of what is finer.
        let long = other.sum(at(1_099), Duration::from_secs(600));
        assert_eq!((long.amount.bad, long.observed), (100, 100 * second));
        let shorter = other.with_levels(&LEVELS[..2]);
        assert_eq!(shorter.sum(at(1_099), second).amount.good, 1_099);
        assert_eq!(shorter.reach(5 * second), 30 * second);
        assert_eq!(shorter.reach(20 * second), Duration::ZERO);
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
