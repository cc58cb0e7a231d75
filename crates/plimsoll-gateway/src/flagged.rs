//! What flags say of whoever sends a request: for routes and features that go by a flag.
//!
//! Invariants: it is asked for on routes and services that have a flag, and nowhere else; no flag is waited for. A flag that is
//! not there, or can't be evaluated for a request, says nothing: no route goes by it, and no feature is off.
//! Elsewhere: the flags themselves (`plimsoll_policy::flag`); who changes them (the binary).

use std::sync::Arc;

use plimsoll_config::{FlagVariant, Flags};
use plimsoll_core::Timestamp;
use plimsoll_http1::Fields;
use plimsoll_policy::flag::{FlagContext, FlagsInForce};

use crate::rollout::key_of;

/// Longer values are nobody's name.
const VALUE_BYTES_MAX: usize = 1_024;

/// See the module's docs.
pub(crate) struct Flagged {
    flags: Arc<FlagsInForce>,
    context: FlagContext,
    now: Timestamp,
}

impl Flagged {
    /// Of a request with these fields. The flags that are in force now count for all of it.
    pub(crate) fn of(
        flags: Arc<FlagsInForce>,
        configured: &Flags,
        fields: &Fields,
        now: Timestamp,
    ) -> Self {
        let text = |name: &str| text(fields.get_named(name.as_bytes())?);
        let attributes = configured.attributes.iter();
        let attributes =
            attributes.filter_map(|(attribute, header)| Some((attribute, text(header)?)));
        let mut context = FlagContext::empty();
        for (attribute, value) in attributes {
            context.set(attribute, value);
        }
        if let Some(user) = user(configured, fields) {
            context.set(FlagContext::TARGETING_KEY, user);
        }
        Self {
            flags,
            context,
            now,
        }
    }

    /// Whether whoever asks has this variant.
    pub(crate) fn has(&self, wanted: &FlagVariant) -> bool {
        let (key, variant) = (&wanted.key, &wanted.variant);
        self.flags.has(key, variant, &self.context, self.now)
    }

    /// Whether a flag is off for whoever asks.
    pub(crate) fn is_off(&self, flag: &str) -> bool {
        self.flags.is_off(flag, &self.context, self.now)
    }
}

/// The targeting key of a request.
pub(crate) fn user<'a>(configured: &Flags, fields: &'a Fields) -> Option<&'a str> {
    text(key_of(configured.user.as_ref()?, fields, None)?)
}

fn text(value: &[u8]) -> Option<&str> {
    let value = std::str::from_utf8(value).ok()?;
    (1..=VALUE_BYTES_MAX)
        .contains(&value.len())
        .then_some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plimsoll_config::SplitBy;
    use plimsoll_policy::flag::{FlagSet, FractionalVersion};

    use super::*;

    const FLAGS: &str = r#"{ "flags": {
        "search": { "variants": { "new": "n", "old": "o" }, "defaultVariant": "old", "targeting": { "if": [
            { "in": [{ "var": "targetingKey" }, ["ana", "bo"]] }, "new", { "==": [{ "var": "plan" }, "gold"] }, "new" ] } },
        "split": { "variants": { "on": true, "off": false }, "defaultVariant": "off",
                   "targeting": { "fractional": [["on", 1], ["off", 0]] } }
    } }"#;

    fn has(by: SplitBy, key: &str, variant: &str, sent: &[(&str, &[u8])]) -> bool {
        let configured = Flags {
            source: plimsoll_config::FlagSource::Managed,
            listen: None,
            tokens: Vec::new(),
            origins: Vec::new(),
            fractional: FractionalVersion::V2,
            user: Some(by),
            attributes: BTreeMap::from([("plan".to_owned(), "x-plan".to_owned())]),
        };
        let flags = Arc::new(FlagsInForce {
            set: Arc::new(FlagSet::parse(FLAGS, FractionalVersion::V2).unwrap()),
            ..FlagsInForce::default()
        });
        let mut fields = Fields::default();
        for (name, value) in sent {
            fields.push(name.as_bytes(), value);
        }
        let flagged = Flagged::of(flags, &configured, &fields, Timestamp::from_seconds(1));
        flagged.has(&FlagVariant {
            key: key.to_owned(),
            variant: variant.to_owned(),
        })
    }

    #[test]
    fn who_it_is_and_what_more_is_known_comes_from_where_the_configuration_says() {
        let header = || SplitBy::Header("x-user".to_owned());
        let cookie = || SplitBy::Cookie("sid".to_owned());
        let new = |by, sent: &[(&str, &[u8])]| has(by, "search", "new", sent);
        assert!(new(header(), &[("x-user", b"ana")]));
        assert!(!new(header(), &[("x-user", b"cy")]) && !new(header(), &[("cookie", b"sid=ana")]));
        assert!(new(cookie(), &[("cookie", b"a=b; sid=bo")]));
        assert!(new(cookie(), &[("x-plan", b"gold")]) && !new(cookie(), &[("x-plan", b"tin")]));
    }

    #[test]
    fn what_cannot_be_told_is_no_variant() {
        let header = || SplitBy::Header("x-user".to_owned());
        assert!(has(header(), "split", "on", &[("x-user", b"ana")]));
        let long = [b'a'; VALUE_BYTES_MAX + 1];
        for sent in [&b""[..], b"\xff", &long] {
            assert!(!has(header(), "split", "on", &[("x-user", sent)]));
            assert!(!has(header(), "split", "off", &[("x-user", sent)]));
        }
        assert!(!has(header(), "none", "on", &[("x-user", b"ana")]));
    }
}
