//! The split of requests between a service and another version of it.
//!
//! A key is what stays together: a client, a tenant, the value of a header or a cookie. Its place is a hash of it and of
//! the rollout's name; the canary has the places below its weight. So a key that is moved at 5 % stays moved at 20 %, the
//! same in all threads, processes and machines, and which keys go first is another set in each rollout.
//! Invariants: at no weight nothing is moved, at all of it everything; a larger weight moves
//! all that a smaller one does.
//! Elsewhere: what the key is (gateway); what the weight is (the rollout's state machine).

use super::Weight;
use crate::balance::{hash_key, mix};

/// Which of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arm {
    /// What was there before.
    Stable,
    /// What is rolled out.
    Canary,
}

impl Arm {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// The word in metrics and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

/// Where a request is sent by a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// To which of the two.
    pub arm: Arm,
    /// Whether what comes of it is evidence: who chose the canary by himself is not like the others.
    pub judged: bool,
}

/// Who is moved by one rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    seed: u64,
}

impl Split {
    /// Of the rollout called so.
    pub fn new(rollout: &str) -> Self {
        Self {
            seed: hash_key(rollout.as_bytes()),
        }
    }

    /// Where `key` goes at this weight. Keys are hashes, see [`hash_key`].
    #[inline]
    pub fn arm(self, key: u64, weight: Weight) -> Arm {
        let place = mix(key.rotate_left(32) ^ self.seed) >> 32;
        // Below 2^32 times 10,000: no overflow.
        if (place * u64::from(Weight::ALL.parts())) >> 32 < u64::from(weight.parts()) {
            Arm::Canary
        } else {
            Arm::Stable
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(client: u64) -> u64 {
        hash_key(&client.to_le_bytes())
    }

    fn moved(split: Split, weight: u16, clients: u64) -> u64 {
        let weight = Weight::of_parts(weight);
        let is_moved = |client: &u64| split.arm(key(*client), weight) == Arm::Canary;
        (0..clients).filter(is_moved).count() as u64
    }

    #[test]
    fn the_split_is_the_same_in_every_process() {
        // Pinned: another figure here would move users to the other version at an upgrade.
        let split = Split::new("checkout-v2");
        let first =
            (0..).find(|client| split.arm(key(*client), Weight::of_parts(100)) == Arm::Canary);
        assert_eq!(first, Some(87));
    }

    #[test]
    fn nothing_moves_at_zero_and_everything_at_the_whole() {
        let split = Split::new("a");
        assert_eq!(moved(split, 0, 10_000), 0);
        assert_eq!(moved(split, 10_000, 10_000), 10_000);
    }

    #[test]
    fn rollouts_do_not_move_the_same_keys_first() {
        let (one, other) = (Split::new("a"), Split::new("b"));
        let both = |client: &u64| {
            [one, other]
                .iter()
                .all(|split| split.arm(key(*client), Weight::of_parts(1_000)) == Arm::Canary)
        };
        let both = (0..100_000).filter(both).count();
        // 1 % of them, give or take six standard deviations.
        assert!((810..=1_190).contains(&both), "{both}");
    }

    proptest! {
        #[test]
        fn the_share_is_the_weight(name in "[a-z]{1,12}", weight in 0..=10_000_u16) {
            let clients = 20_000_u64;
            let share = moved(Split::new(&name), weight, clients) as f64 / clients as f64;
            let expected = Weight::of_parts(weight).share();
            // Six standard deviations.
            let spread = 6.0 * (expected * (1.0 - expected) / clients as f64).sqrt();
            prop_assert!((share - expected).abs() <= spread + 1e-9, "{share} of {expected}");
        }

        #[test]
        fn who_is_moved_stays_moved(name in "[a-z]{1,12}", key in any::<u64>(), lower in 0..=10_000_u16, upper in 0..=10_000_u16) {
            let (lower, upper) = (Weight::of_parts(lower.min(upper)), Weight::of_parts(lower.max(upper)));
            let split = Split::new(&name);
            prop_assert!(split.arm(key, lower) <= split.arm(key, upper));
        }
    }
}
