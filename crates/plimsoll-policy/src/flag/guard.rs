//! A variant that is rolled out and judged: who gets it goes by the rollout's weight, in place of what the flag says.
//!
//! Invariant: a context is on the same side here as its requests are in the gateway, where both tell users apart by the same key
//! (`crate::rollout::split`).
//! Elsewhere: what the weight is (`crate::rollout`).

use crate::balance::hash_key;
use crate::flag::{Evaluation, Flag, FlagContext, FlagReason};
use crate::rollout::Weight;
use crate::rollout::split::{Arm, Split};

/// How a variant is rolled out.
#[derive(Clone, Debug, PartialEq)]
pub struct Guard {
    /// The rollout, by name.
    pub rollout: String,
    /// The variant that users are moved to.
    pub variant: String,
    /// The share of them.
    pub weight: Weight,
}

impl Guard {
    /// What a flag is for a context, which it would be `given` without the guard. A flag that is disabled, and whoever has no
    /// targeting key, is left alone.
    pub fn apply<'a>(
        &self,
        flag: &'a Flag,
        context: &FlagContext,
        given: Evaluation<'a>,
    ) -> Evaluation<'a> {
        let Some(key) = context.targeting_key().filter(|_| flag.is_enabled()) else {
            return given;
        };
        let split = Split::new(&self.rollout);
        if split.arm(hash_key(key.as_bytes()), self.weight) != Arm::Canary {
            return given;
        }
        match flag.variants().get_key_value(&self.variant) {
            Some((name, value)) => Evaluation {
                variant: Some(name),
                value: Some(value),
                reason: FlagReason::Split,
                ..given
            },
            None => given,
        }
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;

    use super::*;
    use crate::flag::{FlagSet, FractionalVersion};

    fn count(percent: u16, users: u32, disabled: bool) -> u32 {
        let state = if disabled { "DISABLED" } else { "ENABLED" };
        let text = format!(
            r#"{{ "flags": {{ "cart": {{ "state": "{state}", "variants": {{ "on": true, "off": false }}, "defaultVariant": "off" }} }} }}"#
        );
        let set = FlagSet::parse(&text, FractionalVersion::V2).unwrap();
        let guard = Guard {
            rollout: "cart-on".to_owned(),
            variant: "on".to_owned(),
            weight: Weight::of_parts(100 * percent),
        };
        let now = Timestamp::from_seconds(1);
        let has = |user: &u32| {
            let context = FlagContext::of(&format!("user-{user}"));
            let given = set.evaluate("cart", &context, now).unwrap();
            let flag = set.flag("cart").unwrap();
            guard.apply(flag, &context, given).variant == Some("on")
        };
        (0..users).filter(has).count() as u32
    }

    #[test]
    fn a_share_of_users_gets_the_variant_and_nobody_of_a_flag_that_is_disabled() {
        assert_eq!(count(0, 1_000, false), 0);
        assert_eq!(count(100, 1_000, false), 1_000);
        assert!((150..250).contains(&count(20, 1_000, false)));
        assert_eq!(count(100, 1_000, true), 0);
    }

    #[test]
    fn whoever_has_no_targeting_key_gets_what_the_flag_says() {
        let text = r#"{ "flags": { "cart": { "variants": { "on": true, "off": false }, "defaultVariant": "off" } } }"#;
        let set = FlagSet::parse(text, FractionalVersion::V2).unwrap();
        let guard = Guard {
            rollout: "cart-on".to_owned(),
            variant: "on".to_owned(),
            weight: Weight::ALL,
        };
        let context = FlagContext::empty();
        let given = set
            .evaluate("cart", &context, Timestamp::from_seconds(1))
            .unwrap();
        let flag = set.flag("cart").unwrap();
        assert_eq!(guard.apply(flag, &context, given).variant, Some("off"));
    }
}
