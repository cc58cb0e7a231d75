//! `Cache-Status`: what the cache did, for whoever debugs it (RFC 9211). The key is not shown.

use std::fmt::Write;

use super::lookup::ForwardReason;

/// What was done with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheStatus<'a> {
    /// Answered from the store.
    Hit {
        /// What is left of its freshness in seconds; negative where it is stale.
        ttl: i64,
        /// Why it was served though stale, or the like.
        detail: Option<&'a str>,
    },
    /// Answered by the origin, or by what it has validated.
    Forwarded {
        /// Why.
        why: ForwardReason,
        /// The origin's status, where the client got another.
        status: Option<u16>,
        /// What is left of its freshness in seconds.
        ttl: Option<i64>,
        /// It was stored.
        stored: bool,
        /// One request to the origin answered several.
        collapsed: bool,
        /// Why it was not stored, or the like.
        detail: Option<&'a str>,
    },
}

impl CacheStatus<'_> {
    /// Adds a member to the value of a `Cache-Status` field: the caches nearer to the origin come first. `cache` is this
    /// one's name.
    pub fn push(&self, value: &mut String, cache: &str) {
        if !value.is_empty() {
            value.push_str(", ");
        }
        push_name(value, cache);
        // Writing into a string does not fail.
        match *self {
            Self::Hit { ttl, detail } => {
                let _ = write!(value, ";hit;ttl={ttl}");
                push_detail(value, detail);
            }
            Self::Forwarded {
                why,
                status,
                ttl,
                stored,
                collapsed,
                detail,
            } => {
                let _ = write!(value, ";fwd={}", why.name());
                if let Some(status) = status {
                    let _ = write!(value, ";fwd-status={status}");
                }
                if let Some(ttl) = ttl {
                    let _ = write!(value, ";ttl={ttl}");
                }
                if stored {
                    value.push_str(";stored");
                }
                if collapsed {
                    value.push_str(";collapsed");
                }
                push_detail(value, detail);
            }
        }
    }
}

fn push_detail(value: &mut String, detail: Option<&str>) {
    if let Some(detail) = detail {
        value.push_str(";detail=");
        push_name(value, detail);
    }
}

/// A token of RFC 9651 where it is one, else a string: printable ASCII, with quotes and backslashes escaped. What is
/// beyond that becomes a question mark.
fn push_name(value: &mut String, name: &str) {
    let is_token = name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name.bytes().all(super::fields::is_token_byte);
    if is_token {
        value.push_str(name);
        return;
    }
    value.push('"');
    for character in name.chars() {
        match character {
            '"' | '\\' => value.extend(['\\', character]),
            ' '..='~' => value.push(character),
            _ => value.push('?'),
        }
    }
    value.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: CacheStatus<'_>, expected: &str) {
        let mut value = String::new();
        status.push(&mut value, "Plimsoll");
        assert_eq!(value, expected);
    }

    #[test]
    fn a_hit_says_what_is_left_and_a_stale_one_since_when() {
        let hit = |ttl, detail| CacheStatus::Hit { ttl, detail };
        check(hit(30, None), "Plimsoll;hit;ttl=30");
        check(
            hit(-412, Some("origin-failed")),
            "Plimsoll;hit;ttl=-412;detail=origin-failed",
        );
    }

    #[test]
    fn a_forwarded_request_says_why_and_what_came_of_it() {
        let status = CacheStatus::Forwarded {
            why: ForwardReason::Stale,
            status: Some(304),
            ttl: Some(60),
            stored: true,
            collapsed: true,
            detail: None,
        };
        check(
            status,
            "Plimsoll;fwd=stale;fwd-status=304;ttl=60;stored;collapsed",
        );
        let status = CacheStatus::Forwarded {
            why: ForwardReason::UriMiss,
            status: None,
            ttl: None,
            stored: false,
            collapsed: false,
            detail: Some("it's \"private\"\u{e4}"),
        };
        check(
            status,
            "Plimsoll;fwd=uri-miss;detail=\"it's \\\"private\\\"?\"",
        );
    }

    #[test]
    fn caches_nearer_to_the_origin_come_first() {
        let mut value = "origin-cache;hit".to_owned();
        let hit = CacheStatus::Hit {
            ttl: 1,
            detail: None,
        };
        hit.push(&mut value, "my cache");
        assert_eq!(value, "origin-cache;hit, \"my cache\";hit;ttl=1");
    }
}
