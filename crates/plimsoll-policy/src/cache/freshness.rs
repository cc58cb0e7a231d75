//! How long an answer is fresh, and how old it is (RFC 9111 section 4.2).

use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};

use super::directives::{ResponseDirectives, delta_seconds};
use super::fields::{HeadFields, members, single, values};
use super::{CacheParameters, date};

/// A tenth of the time since it was last modified: "a typical setting" (section 4.2.2).
const HEURISTIC_PART: u32 = 10;

/// For how long an answer is fresh, from when it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// So long.
    pub time: Duration,
    /// Who says so.
    pub by: LifetimeBy,
}

/// What a lifetime comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimeBy {
    /// `s-maxage`.
    SMaxage,
    /// `max-age`.
    MaxAge,
    /// `Expires`.
    Expires,
    /// [`CacheParameters::negative`].
    Negative,
    /// A share of the time since `Last-Modified`.
    Heuristic,
    /// Nothing: it is stale from the beginning.
    Nothing,
}

impl LifetimeBy {
    /// Whether the origin itself said how long.
    pub const fn is_explicit(self) -> bool {
        matches!(self, Self::SMaxage | Self::MaxAge | Self::Expires)
    }
}

/// When an answer came, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// When the request was sent.
    pub requested: Instant,
    /// When its head had come.
    pub at: Instant,
    /// The same, by the calendar.
    pub date: Timestamp,
}

/// The dates of a head that count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dates {
    /// `Date`; without a valid one, when it came (RFC 9110 section 6.6.1).
    pub(super) date: Timestamp,
    pub(super) last_modified: Option<Timestamp>,
    /// `None` = absent; `Some(None)` = none that is valid: "in the past" (RFC 9111 section 5.3).
    expires: Option<Option<Timestamp>>,
}

impl Dates {
    /// `targeted`: `Expires` doesn't count, as a targeted field stands in its place.
    pub(super) fn read(head: &impl HeadFields, received: &Received, targeted: bool) -> Self {
        let parse = |value| date::parse(value, received.date);
        // Of several, the earliest; one that can't be read is earlier than any.
        let expires = values(head, "expires").map(parse).min();
        Self {
            date: single(head, "date")
                .and_then(parse)
                .unwrap_or(received.date),
            last_modified: single(head, "last-modified").and_then(parse),
            expires: expires.filter(|_| !targeted),
        }
    }
}

/// The lifetime (section 4.2.1): the first that is there.
pub(super) fn lifetime(
    status: u16,
    directives: &ResponseDirectives,
    dates: &Dates,
    parameters: &CacheParameters,
) -> Lifetime {
    let of = |time, by| Lifetime { time, by };
    if let Some(time) = directives.s_maxage {
        return of(time, LifetimeBy::SMaxage);
    }
    if let Some(time) = directives.max_age {
        return of(time, LifetimeBy::MaxAge);
    }
    if let Some(expires) = dates.expires {
        let time = expires.map_or(Duration::ZERO, |expires| expires.since(dates.date));
        return of(time, LifetimeBy::Expires);
    }
    if is_negative(status) && parameters.negative > Duration::ZERO {
        return of(parameters.negative, LifetimeBy::Negative);
    }
    // Not of a negative answer: when a page that is gone was last modified says nothing of when it comes back.
    let may_guess =
        (is_heuristically_cacheable(status) || directives.public) && !is_negative(status);
    if let (true, Some(modified)) = (may_guess, dates.last_modified) {
        let time = (dates.date.since(modified) / HEURISTIC_PART).min(parameters.heuristic_max);
        if time > Duration::ZERO {
            return of(time, LifetimeBy::Heuristic);
        }
    }
    of(Duration::ZERO, LifetimeBy::Nothing)
}

/// How old it was when it came (section 4.2.3): `corrected_initial_age`.
pub(super) fn initial_age(head: &impl HeadFields, dates: &Dates, received: &Received) -> Duration {
    let apparent_age = received.date.since(dates.date);
    // The first member counts; one that can't be read is as if it were absent (section 5.1).
    let age_value = members(head, "age")
        .next()
        .and_then(delta_seconds)
        .unwrap_or_default();
    let response_delay = received.at.since(received.requested);
    apparent_age.max(age_value + response_delay)
}

/// Statuses whose answers may be stored though their origin doesn't say for how long (RFC 9110 section 15.1), but 206.
pub(super) const fn is_heuristically_cacheable(status: u16) -> bool {
    matches!(
        status,
        200 | 203 | 204 | 300 | 301 | 308 | 404 | 405 | 410 | 414 | 501
    )
}

/// Those of them that say that something isn't there.
pub(super) const fn is_negative(status: u16) -> bool {
    matches!(status, 404 | 405 | 410 | 414 | 501)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fri, 27 Nov 2026 00:00:00 GMT.
    const RECEIVED: Received = Received {
        requested: Instant::from_nanos(1_000_000_000),
        at: Instant::from_nanos(3_000_000_000),
        date: Timestamp::from_seconds(1_795_737_600),
    };

    fn judged(status: u16, head: &[(&str, &str)]) -> (u64, LifetimeBy, u64) {
        let directives = ResponseDirectives::read(&head);
        let dates = Dates::read(&head, &RECEIVED, false);
        let parameters = CacheParameters {
            negative: Duration::from_secs(7),
            ..CacheParameters::default()
        };
        let lifetime = lifetime(status, &directives, &dates, &parameters);
        let age = initial_age(&head, &dates, &RECEIVED);
        (lifetime.time.as_secs(), lifetime.by, age.as_secs())
    }

    #[track_caller]
    fn check(head: &[(&str, &str)], seconds: u64, by: LifetimeBy) {
        let (found, found_by, _) = judged(200, head);
        assert_eq!((found, found_by), (seconds, by), "{head:?}");
    }

    const DATE: (&str, &str) = ("Date", "Fri, 27 Nov 2026 00:00:00 GMT");
    const EXPIRES: (&str, &str) = ("Expires", "Fri, 27 Nov 2026 00:01:00 GMT");

    #[test]
    fn the_first_of_s_maxage_max_age_and_expires_counts() {
        let cache_control = |value| ("Cache-Control", value);
        check(
            &[EXPIRES, cache_control("max-age=5, s-maxage=9")],
            9,
            LifetimeBy::SMaxage,
        );
        check(
            &[EXPIRES, cache_control("max-age=5")],
            5,
            LifetimeBy::MaxAge,
        );
        check(&[EXPIRES, DATE], 60, LifetimeBy::Expires);
        check(&[], 0, LifetimeBy::Nothing);
    }

    #[test]
    fn expires_counts_from_the_date_whatever_our_own_clock_says() {
        let date = ("Date", "Thu, 26 Nov 2026 23:00:00 GMT");
        check(&[EXPIRES, date], 3_660, LifetimeBy::Expires);
        check(&[EXPIRES, ("Date", "yesterday")], 60, LifetimeBy::Expires);
        check(
            &[EXPIRES, ("Date", "Fri, 27 Nov 2026 00:02:00 GMT")],
            0,
            LifetimeBy::Expires,
        );
    }

    #[test]
    fn an_expires_that_is_no_date_is_in_the_past() {
        check(&[("Expires", "0"), DATE], 0, LifetimeBy::Expires);
        check(&[EXPIRES, ("Expires", "-1"), DATE], 0, LifetimeBy::Expires);
        check(
            &[
                ("Expires", ""),
                ("Last-Modified", "Fri, 27 Nov 2025 00:00:00 GMT"),
            ],
            0,
            LifetimeBy::Expires,
        );
    }

    #[test]
    fn without_a_word_it_is_a_tenth_of_the_time_since_it_changed_up_to_a_bound() {
        let modified = |value| ("Last-Modified", value);
        check(
            &[DATE, modified("Thu, 26 Nov 2026 23:50:00 GMT")],
            60,
            LifetimeBy::Heuristic,
        );
        check(
            &[DATE, modified("Thu, 26 Nov 2020 23:50:00 GMT")],
            300,
            LifetimeBy::Heuristic,
        );
        check(
            &[DATE, modified("Fri, 27 Nov 2026 00:00:01 GMT")],
            0,
            LifetimeBy::Nothing,
        );
    }

    #[test]
    fn only_statuses_of_the_rfc_are_guessed_unless_public() {
        let modified = ("Last-Modified", "Thu, 26 Nov 2026 23:50:00 GMT");
        assert_eq!(judged(302, &[modified]).1, LifetimeBy::Nothing);
        let public = [modified, ("Cache-Control", "public")];
        assert_eq!(judged(302, &public).1, LifetimeBy::Heuristic);
    }

    #[test]
    fn what_is_not_there_is_so_for_the_configured_time_unless_the_origin_says_otherwise() {
        let modified = ("Last-Modified", "Thu, 26 Nov 2026 23:50:00 GMT");
        for status in [404, 405, 410, 414, 501] {
            assert_eq!(judged(status, &[modified]).0, 7, "{status}");
        }
        let max_age = ("Cache-Control", "max-age=90");
        assert_eq!(judged(404, &[max_age]).0, 90);
        assert_eq!(judged(400, &[modified]).0, 0);
    }

    #[test]
    fn the_age_is_the_greater_of_what_the_date_and_what_age_says() {
        let date = |value| ("Date", value);
        let age = |head: &[(&str, &str)]| judged(200, head).2;
        assert_eq!(age(&[]), 2);
        assert_eq!(age(&[("Age", "10")]), 12);
        assert_eq!(
            age(&[("Age", "10"), date("Thu, 26 Nov 2026 23:59:00 GMT")]),
            60
        );
        assert_eq!(
            age(&[("Age", "10"), date("Fri, 27 Nov 2026 09:00:00 GMT")]),
            12
        );
    }

    #[test]
    fn of_several_ages_the_first_counts_and_one_that_is_none_doesn_t() {
        let age = |head: &[(&str, &str)]| judged(200, head).2;
        assert_eq!(age(&[("Age", "10, 20"), ("Age", "30")]), 12);
        assert_eq!(age(&[("Age", "-10")]), 2);
        assert_eq!(age(&[("Age", "99999999999999999999")]), (1 << 31) + 2);
    }
}
