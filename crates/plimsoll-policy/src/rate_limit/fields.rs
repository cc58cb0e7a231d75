//! What callers are told of their rate limits: `RateLimit-Policy`, `RateLimit` and `Retry-After`.
//!
//! Sources: draft-ietf-httpapi-ratelimit-headers-10 (lists of RFC 9651 strings with parameters); RFC 9110,
//! section 10.2.3. Units: whole seconds, rounded up, so that whoever waits as told is not refused again.

use std::fmt::Write;
use std::time::Duration;

use super::{RateDecision, RateLimit};

/// Adds a limit to the value of a `RateLimit-Policy` field, as in `"api";q=100;w=2`.
///
/// The quota is the burst, the window what it takes to fill: a caller that keeps to them is never refused, even
/// where the window is rounded up to a second and the limit would allow more.
pub fn push_rate_limit_policy(value: &mut String, name: &str, limit: &RateLimit) {
    push_name(value, name);
    let window = seconds_up(limit.fill_time()).max(1);
    // Writing into a string does not fail.
    let _ = write!(value, ";q={};w={window}", limit.burst());
}

/// Adds what is left of a limit to the value of a `RateLimit` field, as in `"api";r=50;t=1`.
///
/// `t` is when the same charge is allowed, as `Retry-After` says, where it was refused; else when all of the
/// burst is back.
pub fn push_rate_limit(value: &mut String, name: &str, decision: &RateDecision) {
    push_name(value, name);
    let reset = decision
        .retry_after()
        .map_or_else(|| seconds_up(decision.reset_after), retry_after_seconds);
    let _ = write!(value, ";r={};t={reset}", decision.remaining);
}

/// The value of a `Retry-After` field: never 0, which would invite a caller to a busy loop.
pub fn retry_after_seconds(wait: Duration) -> u64 {
    seconds_up(wait).max(1)
}

fn seconds_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// A string of RFC 9651, section 3.3.3: printable ASCII, with quotes and backslashes escaped. What a name has
/// beyond that becomes a question mark.
fn push_name(value: &mut String, name: &str) {
    if !value.is_empty() {
        value.push_str(", ");
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
    use crate::rate_limit::RateVerdict;

    #[test]
    fn a_policy_is_its_burst_and_the_time_it_takes_to_fill() {
        check_policy(50.0, 100, r#""api";q=100;w=2"#);
        check_policy(1.0 / 60.0, 10, r#""api";q=10;w=600"#);
        check_policy(50.0, 10, r#""api";q=10;w=1"#);
        check_policy(3.0, 1, r#""api";q=1;w=1"#);
    }

    #[test]
    fn what_is_left_is_shown_with_the_time_until_all_is_back() {
        let decision = decision(RateVerdict::Allowed, 50, Duration::from_millis(900));
        check_state(&decision, r#""api";r=50;t=1"#);
    }

    #[test]
    fn a_refusal_shows_the_same_time_as_retry_after() {
        let verdict = RateVerdict::Refused {
            retry_after: Duration::from_millis(2_001),
        };
        let decision = decision(verdict, 0, Duration::from_secs(20));
        check_state(&decision, r#""api";r=0;t=3"#);
        assert_eq!(retry_after_seconds(Duration::from_millis(2_001)), 3);
        assert_eq!(retry_after_seconds(Duration::ZERO), 1);
    }

    #[test]
    fn several_limits_make_one_list() {
        let limit = RateLimit::new(1.0, 5).unwrap();
        let mut value = String::new();
        push_rate_limit_policy(&mut value, "second", &limit);
        push_rate_limit_policy(&mut value, "other", &limit);
        assert_eq!(value, r#""second";q=5;w=5, "other";q=5;w=5"#);
    }

    #[test]
    fn a_name_cannot_leave_its_string() {
        let limit = RateLimit::new(1.0, 1).unwrap();
        let mut value = String::new();
        push_rate_limit_policy(&mut value, "a\"b\\c\r\nd: é", &limit);
        assert_eq!(value, r#""a\"b\\c??d: ?";q=1;w=1"#);
    }

    #[track_caller]
    fn check_policy(per_second: f64, burst: u32, expected: &str) {
        let mut value = String::new();
        let limit = RateLimit::new(per_second, burst).unwrap();
        push_rate_limit_policy(&mut value, "api", &limit);
        assert_eq!(value, expected);
    }

    #[track_caller]
    fn check_state(decision: &RateDecision, expected: &str) {
        let mut value = String::new();
        push_rate_limit(&mut value, "api", decision);
        assert_eq!(value, expected);
    }

    fn decision(verdict: RateVerdict, remaining: u32, reset_after: Duration) -> RateDecision {
        RateDecision {
            verdict,
            burst: 100,
            remaining,
            reset_after,
        }
    }
}
