//! What people may take out of a service's cache: what is asked for, and whether it can be.

use serde::{Deserialize, Serialize};

use crate::overlay::why_of;
use crate::problem::Problem;

/// How long a URL may be: the journal keeps it.
pub(crate) const URL_BYTES_MAX: usize = 8 << 10;
/// How long a key may be: an answer that was given a longer one is not stored.
pub(crate) const KEY_BYTES_MAX: usize = 256;

/// What is asked for: one of the first four, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PurgeWanted {
    /// What answers this URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// What answers URLs that begin so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// What the service gave this key, by `Surrogate-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// All of the service.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub all: bool,
    /// The reason: 1 to 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What is taken out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purging {
    /// What.
    pub of: PurgeOf,
    /// The reason.
    pub why: String,
}

/// What is taken out of a service's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurgeOf {
    /// What answers this URL.
    Url(String),
    /// What answers URLs that begin so.
    Prefix(String),
    /// What has this key.
    Key(String),
    /// All.
    All,
}

impl PurgeWanted {
    /// Refuses what can't be. Whether a URL is one shows later.
    pub(crate) fn check(self) -> Result<Purging, Problem> {
        for (name, url) in [("url", &self.url), ("prefix", &self.prefix)] {
            if url.as_ref().is_some_and(|url| url.len() > URL_BYTES_MAX) {
                return Err(Problem::invalid(format!(
                    "`{name}` is too long: at most {URL_BYTES_MAX} bytes"
                )));
            }
        }
        if self.key.as_deref().is_some_and(|key| !is_key(key)) {
            return Err(Problem::invalid(format!(
                "`key` is none: expected one as in `Surrogate-Key`, 1 to {KEY_BYTES_MAX} visible ASCII characters without spaces"
            )));
        }
        let of = match (self.url, self.prefix, self.key, self.all) {
            (Some(url), None, None, false) => PurgeOf::Url(url),
            (None, Some(prefix), None, false) => PurgeOf::Prefix(prefix),
            (None, None, Some(key), false) => PurgeOf::Key(key),
            (None, None, None, true) => PurgeOf::All,
            _ => {
                let text = "say what to take out: one of `url`, `prefix`, `key` and `all`";
                return Err(Problem::invalid(text));
            }
        };
        Ok(Purging {
            of,
            why: why_of(self.why)?,
        })
    }
}

/// Whether a service can have given this key.
fn is_key(key: &str) -> bool {
    (1..=KEY_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(wanted: PurgeWanted, is_let_in: bool) {
        let why = Some("it is wrong".to_owned());
        let checked = PurgeWanted { why, ..wanted }.check();
        assert_eq!(checked.is_ok(), is_let_in, "{checked:?}");
    }

    #[test]
    fn a_key_that_no_service_can_have_given_is_refused() {
        let key = |key: &str| PurgeWanted {
            key: Some(key.to_owned()),
            ..PurgeWanted::default()
        };
        check(key("product-1"), true);
        check(key(&"a".repeat(KEY_BYTES_MAX)), true);
        check(key(&"a".repeat(KEY_BYTES_MAX + 1)), false);
        for text in ["", " ", "a b", "a\n", "\u{1b}[2J", "\u{e4}"] {
            check(key(text), false);
        }
    }

    #[test]
    fn a_url_is_bounded() {
        let long = |more| Some(format!("http://a/{}", "a".repeat(URL_BYTES_MAX - 9 + more)));
        for (more, is_let_in) in [(0, true), (1, false)] {
            let (url, prefix) = (long(more), long(more));
            let empty = PurgeWanted::default;
            check(PurgeWanted { url, ..empty() }, is_let_in);
            check(PurgeWanted { prefix, ..empty() }, is_let_in);
        }
    }

    #[test]
    fn one_thing_is_taken_out_and_for_a_reason() {
        let key = PurgeWanted {
            key: Some("a".to_owned()),
            why: Some(" it is wrong ".to_owned()),
            ..PurgeWanted::default()
        };
        let purging = key.clone().check().unwrap();
        assert_eq!(purging.of, PurgeOf::Key("a".to_owned()));
        assert_eq!(purging.why, "it is wrong");
        let both = PurgeWanted {
            all: true,
            ..key.clone()
        };
        assert!(both.check().is_err());
        assert!(PurgeWanted { why: None, ..key }.check().is_err());
        assert!(PurgeWanted::default().check().is_err());
    }
}
