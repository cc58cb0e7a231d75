//! What people may take out of a service's cache: what is asked for, and whether it can be.

use serde::{Deserialize, Serialize};

use crate::overlay::why_of;
use crate::problem::Problem;

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

#[cfg(test)]
mod tests {
    use super::*;

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
