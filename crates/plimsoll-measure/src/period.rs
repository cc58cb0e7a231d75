//! What a budget is for: the last days, or a week, month or quarter of the calendar.
//!
//! The calendar is UTC, and a week begins on Monday (ISO 8601): where people read it in another zone, a budget begins
//! some hours before or after their midnight, but it is the same for all of them, and no day has 23 or 25 hours.

use std::fmt;
use std::time::Duration;

use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::figure;

const DAY: u64 = 86_400;

/// What a budget is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Period {
    /// The time before now, so long.
    Rolling(Duration),
    /// From one boundary of the calendar to the next; then the budget is whole again.
    Calendar(Calendar),
}

/// A piece of the calendar, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calendar {
    /// From Monday to Sunday.
    Week,
    /// From the first day of a month.
    Month,
    /// From the first day of January, April, July or October.
    Quarter,
}

/// A period as it is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// How long the whole of it is.
    pub length: Duration,
    /// How much of it may have been observed: all of a rolling one.
    pub elapsed: Duration,
    /// When it ends; `None`: never.
    pub ends: Option<Timestamp>,
}

impl Period {
    /// The period as it is at `now`.
    pub fn at(self, now: Timestamp) -> Now {
        match self {
            Self::Rolling(length) => Now {
                length,
                elapsed: length,
                ends: None,
            },
            Self::Calendar(calendar) => {
                let (began, ends) = calendar.around(now);
                Now {
                    length: ends.since(began),
                    elapsed: now.since(began),
                    ends: Some(ends),
                }
            }
        }
    }

    /// The longest that it can be.
    pub const fn longest(self) -> Duration {
        match self {
            Self::Rolling(length) => length,
            Self::Calendar(Calendar::Week) => Duration::from_secs(7 * DAY),
            Self::Calendar(Calendar::Month) => Duration::from_secs(31 * DAY),
            Self::Calendar(Calendar::Quarter) => Duration::from_secs(92 * DAY),
        }
    }
}

/// `28d`, or `month`.
impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rolling(length) => f.write_str(&figure::duration(length.as_secs_f64())),
            Self::Calendar(calendar) => f.write_str(calendar.name()),
        }
    }
}

impl Calendar {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Week, Self::Month, Self::Quarter];

    /// The word in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Week => "week",
            Self::Month => "month",
            Self::Quarter => "quarter",
        }
    }

    /// When the one began that `now` is in, and when the next one begins.
    pub fn around(self, now: Timestamp) -> (Timestamp, Timestamp) {
        let (year, month, _) = now.date();
        let months = match self {
            Self::Week => {
                // The epoch was a Thursday.
                let day = now.as_seconds() / DAY;
                let monday = day.saturating_sub((day + 3) % 7);
                let began = Timestamp::from_seconds(monday * DAY);
                return (began, Timestamp::from_seconds((monday + 7) * DAY));
            }
            Self::Month => 1,
            Self::Quarter => 3,
        };
        let first = month - (month - 1) % months;
        let (next_year, next) = match first + months {
            next if next > 12 => (year + 1, next - 12),
            next => (year, next),
        };
        let began = Timestamp::of_date(year, first, 1);
        (began, Timestamp::of_date(next_year, next, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(
        calendar: Calendar,
        now: (u64, u64, u64),
        began: (u64, u64, u64),
        ends: (u64, u64, u64),
    ) {
        let at = |(year, month, day)| Timestamp::of_date(year, month, day);
        let expected = (at(began), at(ends));
        assert_eq!(calendar.around(at(now)), expected);
        let last = at(ends).as_nanos() - 1;
        assert_eq!(calendar.around(Timestamp::from_nanos(last)), expected);
        assert_eq!(calendar.around(at(began)), expected);
        let longest = Period::Calendar(calendar).longest();
        assert!(at(ends).since(at(began)) <= longest);
    }

    #[test]
    fn a_piece_of_the_calendar_goes_from_boundary_to_boundary() {
        use Calendar::{Month, Quarter, Week};
        check(Month, (2026, 12, 31), (2026, 12, 1), (2027, 1, 1));
        check(Month, (2028, 2, 29), (2028, 2, 1), (2028, 3, 1));
        check(Quarter, (2026, 11, 26), (2026, 10, 1), (2027, 1, 1));
        check(Quarter, (2026, 9, 30), (2026, 7, 1), (2026, 10, 1));
        // A Thursday, and a Sunday.
        check(Week, (2026, 11, 26), (2026, 11, 23), (2026, 11, 30));
        check(Week, (2027, 1, 3), (2026, 12, 28), (2027, 1, 4));
    }

    #[test]
    fn a_rolling_period_never_ends_and_one_of_the_calendar_does() {
        let now = Timestamp::of_date(2026, 11, 26);
        let day = Duration::from_secs(DAY);
        let rolling = Period::Rolling(28 * day).at(now);
        assert_eq!((rolling.elapsed, rolling.ends), (28 * day, None));
        let month = Period::Calendar(Calendar::Month).at(now);
        assert_eq!((month.length, month.elapsed), (30 * day, 25 * day));
        assert_eq!(month.ends, Some(Timestamp::of_date(2026, 12, 1)));
    }
}
