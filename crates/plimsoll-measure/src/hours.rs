//! Times of the week: `Mon-Fri 18:00-08:00`.
//!
//! In UTC, or at a fixed distance from it, which is written behind: `Mon-Fri 18:00-08:00 +01:00`. Nothing is known of summer
//! time. Hours that end before they begin go on into the next day, and belong to the day on which they began.

use plimsoll_core::Timestamp;

const DAY: u64 = 86_400;
const DAY_MINUTES: u16 = 24 * 60;
/// As they are written. The epoch was a Thursday.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const EPOCH_DAY: u64 = 3;
/// No place on earth is further from UTC.
const OFFSET_MAX: i32 = 14 * 60;

/// Hours on some days of each week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Bit 0 is Monday.
    days: u8,
    /// Minutes after midnight.
    from: u16,
    /// The same; not later than `from`: of the day after.
    until: u16,
    /// How far ahead of UTC these clocks are, in minutes.
    offset: i32,
}

impl Hours {
    /// Reads `Mon-Fri 18:00-08:00 +01:00`: days, hours and distance may each be left out, but not days and hours both.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(' ').peekable();
        let is_days = |part: &&str| part.starts_with(|it: char| it.is_ascii_alphabetic());
        let is_hours = |part: &&str| part.starts_with(|it: char| it.is_ascii_digit());
        let days = match parts.next_if(is_days) {
            Some(days) => Some(days_of(days)?),
            None => None,
        };
        let hours = match parts.next_if(is_hours) {
            Some(hours) => {
                let (from, until) = hours.split_once('-')?;
                let (from, until) = (minutes_of(from)?, minutes_of(until)?);
                if from == until || from == DAY_MINUTES {
                    return None;
                }
                Some((from, until))
            }
            None => None,
        };
        if days.is_none() && hours.is_none() {
            return None;
        }
        let offset = match parts.next() {
            Some(offset) => offset_of(offset)?,
            None => 0,
        };
        if parts.next().is_some() {
            return None;
        }
        let (from, until) = hours.unwrap_or((0, DAY_MINUTES));
        Some(Self {
            days: days.unwrap_or(0x7f),
            from,
            until,
            offset,
        })
    }

    /// Whether it is within them.
    pub fn contains(self, now: Timestamp) -> bool {
        let seconds = now
            .as_seconds()
            .saturating_add_signed(i64::from(self.offset) * 60);
        let today = (seconds / DAY + EPOCH_DAY) % 7;
        let minute = u16::try_from(seconds % DAY / 60).unwrap_or_default();
        let is_on = |day: u64| self.days >> (day % 7) & 1 == 1;
        if self.from < self.until {
            return is_on(today) && (self.from..self.until).contains(&minute);
        }
        (is_on(today) && minute >= self.from) || (is_on(today + 6) && minute < self.until)
    }
}

/// `Mon-Fri`, `Sat,Sun`
fn days_of(text: &str) -> Option<u8> {
    let day = |name: &str| DAYS.iter().position(|it| it.eq_ignore_ascii_case(name));
    let mut days = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut at, last) = (day(first)?, day(last)?);
        loop {
            days |= 1 << at;
            if at == last {
                break;
            }
            at = (at + 1) % DAYS.len();
        }
    }
    Some(days)
}

/// `18:00`; `24:00` is the end of a day.
fn minutes_of(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let all = digits.len() == 2 && digits.bytes().all(|it| it.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|_| all)
    };
    let (hour, minute) = (number(hour)?, number(minute)?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= DAY_MINUTES).then_some(minutes)
}

/// `+01:00`
fn offset_of(text: &str) -> Option<i32> {
    let (sign, time) = text.split_at_checked(1)?;
    let minutes = i32::from(minutes_of(time)?);
    if minutes > OFFSET_MAX {
        return None;
    }
    match sign {
        "+" => Some(minutes),
        "-" => Some(-minutes),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Thursday, 2026-11-26, at a time in UTC.
    fn thursday(hour: u64, minute: u64) -> Timestamp {
        Timestamp::of_date(2026, 11, 26) + Duration::from_secs(hour * 3_600 + minute * 60)
    }

    #[track_caller]
    fn check(text: &str, at: Timestamp, expected: bool) {
        let hours = Hours::parse(text).unwrap_or_else(|| panic!("{text} can't be read"));
        assert_eq!(
            hours.contains(at),
            expected,
            "{text} at {}",
            at.to_rfc3339()
        );
    }

    #[test]
    fn hours_of_a_day_begin_and_end_to_the_minute() {
        check("Thu 09:00-17:30", thursday(8, 59), false);
        check("Thu 09:00-17:30", thursday(9, 0), true);
        check("Thu 09:00-17:30", thursday(17, 29), true);
        check("Thu 09:00-17:30", thursday(17, 30), false);
        check("Wed 09:00-17:30", thursday(10, 0), false);
        check("09:00-17:30", thursday(10, 0), true);
        check("Thu", thursday(23, 59), true);
        check("thu 18:00-24:00", thursday(23, 59), true);
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_began() {
        let day = Duration::from_secs(DAY);
        let friday = |hour, minute| thursday(hour, minute) + day;
        let saturday = |hour, minute| thursday(hour, minute) + 2 * day;
        let monday = |hour, minute| thursday(hour, minute) + 4 * day;
        let text = "Mon-Fri 18:00-08:00";
        check(text, friday(18, 0), true);
        check(text, saturday(7, 59), true);
        check(text, saturday(8, 0), false);
        check(text, saturday(18, 0), false);
        check(text, monday(7, 0), false);
        check(text, monday(18, 0), true);
        check("Sat,Sun", saturday(0, 0), true);
        check("Fri-Mon", monday(23, 59), true);
        check("Fri-Mon", thursday(12, 0), false);
    }

    #[test]
    fn other_clocks_are_at_a_fixed_distance() {
        check("Thu 09:00-17:00 +01:00", thursday(8, 0), true);
        check("Thu 09:00-17:00 +01:00", thursday(16, 0), false);
        check("Wed 20:00-24:00 -05:00", thursday(1, 0), true);
    }

    #[test]
    fn what_is_no_time_of_the_week_is_none() {
        for text in [
            "",
            " ",
            "Mon-Fry",
            "9:00-17:00",
            "09:00",
            "09:00-25:00",
            "09:60-10:00",
            "24:00-08:00",
            "08:00-08:00",
            "Mon 09:00-17:00 01:00",
            "Mon 09:00-17:00 +15:00",
            "Mon  09:00-17:00",
            "Mon 09:00-17:00 +01:00 x",
            "+01:00",
        ] {
            assert_eq!(Hours::parse(text), None, "{text}");
        }
    }
}
