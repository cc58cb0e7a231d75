//! What of flags is in force: a set of them, and what stands above it for a while.
//!
//! In this order: what the flag says; the variant that is rolled out, for those who have it; off, for those for whom the feature
//! that it switches is dimmed. Whoever is dimmed has less in any case.

use std::collections::BTreeMap;
use std::sync::Arc;

use plimsoll_core::Timestamp;

use crate::brownout::{dims_at, share_at};
use crate::flag::{Evaluation, EvaluationError, Flag, FlagContext, FlagReason, FlagSet, Guard};
use crate::tenant::Salt;

/// See the module's docs.
#[derive(Clone, Debug, Default)]
pub struct FlagsInForce {
    /// The flags.
    pub set: Arc<FlagSet>,
    /// Variants that are rolled out, by flag.
    pub guards: BTreeMap<String, Guard>,
    /// What is dimmed, by the flag that switches it.
    pub dimmed: BTreeMap<String, DimmedFlag>,
}

/// A feature that is dimmed, and that a flag switches.
#[derive(Clone, Debug, PartialEq)]
pub struct DimmedFlag {
    /// The service whose feature it is.
    pub service: String,
    /// Its place among the service's features.
    pub feature: usize,
    /// The level in force, as [`crate::BrownoutShared::level_parts`] has it.
    pub level: u64,
    /// What users are hashed with, there as here: with the same key they are the same.
    pub salt: Salt,
}

impl DimmedFlag {
    /// For how many users it is dimmed, in parts of 2^32; more than all of them where others are dimmed, too.
    pub fn share(&self) -> u64 {
        share_at(self.level, self.feature)
    }

    /// The same from 0 to 1.
    pub fn share_of_users(&self) -> f64 {
        (self.share() as f64 / 4_294_967_296.0).min(1.0)
    }

    /// Off, for those for whom it is dimmed. A flag that is disabled, or of which no variant means off, is left alone.
    fn off<'a>(&self, flag: &'a Flag, context: &FlagContext) -> Option<Evaluation<'a>> {
        let off = flag.off().filter(|_| flag.is_enabled())?;
        // Whom nothing tells apart is dimmed last.
        let user = (context.targeting_key()).map_or(u64::MAX, |key| self.salt.user(key.as_bytes()));
        if !dims_at(self.level, self.feature, user) {
            return None;
        }
        let (name, value) = flag.variants().get_key_value(off)?;
        Some(Evaluation {
            variant: Some(name),
            value: Some(value),
            reason: FlagReason::Split,
            metadata: &flag.metadata,
        })
    }
}

impl FlagsInForce {
    /// What a flag is for a context.
    ///
    /// # Errors
    /// There is no answer.
    pub fn evaluate(
        &self,
        key: &str,
        context: &FlagContext,
        now: Timestamp,
    ) -> Result<Evaluation<'_>, EvaluationError> {
        let given = self.undimmed(key, context, now);
        let dimmed = self.dimmed.get(key).zip(self.set.flag(key));
        let off = dimmed.and_then(|(dimmed, flag)| dimmed.off(flag, context));
        // Also where it could not be said who has what.
        off.map_or(given, Ok)
    }

    /// What it would be if nothing was dimmed.
    fn undimmed(
        &self,
        key: &str,
        context: &FlagContext,
        now: Timestamp,
    ) -> Result<Evaluation<'_>, EvaluationError> {
        let given = self.set.evaluate(key, context, now)?;
        let guard = self.guards.get(key).zip(self.set.flag(key));
        Ok(match guard {
            Some((guard, flag)) => guard.apply(flag, context, given),
            None => given,
        })
    }

    /// Whether somebody has a variant of a flag. A flag that can't be evaluated for them is none that they have.
    pub fn has(&self, key: &str, variant: &str, context: &FlagContext, now: Timestamp) -> bool {
        let given = self.evaluate(key, context, now);
        given.is_ok_and(|given| given.variant == Some(variant))
    }

    /// Whether a flag says off by itself: disabled, or with the variant that means that. One that can't be evaluated says
    /// nothing.
    pub fn is_off(&self, key: &str, context: &FlagContext, now: Timestamp) -> bool {
        let Some(flag) = self.set.flag(key) else {
            return false;
        };
        match self.undimmed(key, context, now) {
            Ok(given) if given.reason == FlagReason::Disabled => true,
            Ok(given) => given.variant.is_some() && given.variant == flag.off(),
            Err(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flag::FractionalVersion;
    use crate::rollout::Weight;

    const FLAGS: &str = r#"{ "flags": {
        "reviews": { "variants": { "on": true, "off": false }, "defaultVariant": "on" },
        "maps": { "state": "DISABLED", "variants": { "on": true, "off": false }, "defaultVariant": "on" },
        "ads": { "variants": { "on": true, "off": false }, "defaultVariant": "off" },
        "layout": { "variants": { "full": 1, "short": 2 }, "defaultVariant": "full" },
        "split": { "variants": { "on": true, "off": false }, "defaultVariant": "off",
                   "targeting": { "fractional": [["on", 1], ["off", 1]] } }
    } }"#;

    fn in_force() -> FlagsInForce {
        FlagsInForce {
            set: Arc::new(FlagSet::parse(FLAGS, FractionalVersion::V2).unwrap()),
            ..FlagsInForce::default()
        }
    }

    fn dimmed(flags: &FlagsInForce, key: &str) -> usize {
        let now = Timestamp::from_seconds(1);
        let users = (0..1_000).map(|user| FlagContext::of(&format!("user-{user}")));
        users
            .filter(|user| flags.has(key, "off", user, now))
            .count()
    }

    fn dim(level: f64, feature: usize) -> DimmedFlag {
        DimmedFlag {
            service: "shop".to_owned(),
            feature,
            level: (level * 4_294_967_296.0) as u64,
            salt: Salt::new(1, 2),
        }
    }

    #[test]
    fn off_is_what_the_flag_says_or_a_flag_that_is_disabled_and_nothing_else() {
        let (flags, now) = (in_force(), Timestamp::from_seconds(1));
        let nobody = FlagContext::empty();
        let ana = FlagContext::of("ana");
        assert!(!flags.is_off("reviews", &ana, now));
        assert!(flags.is_off("maps", &ana, now) && flags.is_off("ads", &ana, now));
        assert!(!flags.is_off("none", &ana, now), "there is no such flag");
        assert!(!flags.is_off("layout", &ana, now), "its default is not off");
        assert!(!flags.is_off("split", &nobody, now), "it can't tell");
        assert!(flags.has("reviews", "on", &ana, now) && !flags.has("reviews", "off", &ana, now));
        assert!(!flags.has("split", "on", &nobody, now) && !flags.has("none", "on", &ana, now));
    }

    #[test]
    fn a_feature_that_is_dimmed_is_off_for_the_share_of_users_whoever_has_a_variant_by_rollout() {
        let mut flags = in_force();
        assert_eq!(dimmed(&flags, "reviews"), 0);
        flags.dimmed = BTreeMap::from([("reviews".to_owned(), dim(0.25, 0))]);
        let quarter = dimmed(&flags, "reviews");
        assert!((200..300).contains(&quarter), "{quarter}");
        flags.dimmed = BTreeMap::from([("reviews".to_owned(), dim(0.25, 1))]);
        assert_eq!(dimmed(&flags, "reviews"), 0, "another comes first");
        flags.dimmed = BTreeMap::from([("reviews".to_owned(), dim(2.0, 1))]);
        let on = Guard {
            rollout: "reviews-on".to_owned(),
            variant: "on".to_owned(),
            weight: Weight::ALL,
        };
        flags.guards = BTreeMap::from([("reviews".to_owned(), on)]);
        assert_eq!(dimmed(&flags, "reviews"), 1_000);
        let (nobody, now) = (FlagContext::empty(), Timestamp::from_seconds(1));
        assert!(flags.has("reviews", "off", &nobody, now));
        assert!(!flags.is_off("reviews", &nobody, now), "not by itself");
        for key in ["split", "layout"] {
            flags.dimmed.insert(key.to_owned(), dim(1.0, 0));
        }
        assert!(
            flags.has("split", "off", &nobody, now),
            "without a key, too"
        );
        assert!(
            flags.has("layout", "full", &nobody, now),
            "nothing means off"
        );
    }
}
