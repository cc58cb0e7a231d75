//! Dates of HTTP, in all three forms (RFC 9110 section 5.6.7).
//!
//! Strict: what is not one of them is no date, so that what depends on it counts as stale. A day of the week is
//! checked to be one, not to be that date's. Dates before 1970 become 1970: all they say is "long ago".

use plimsoll_core::Timestamp;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
const WEEKDAYS: [&[u8]; 7] = [
    b"Monday",
    b"Tuesday",
    b"Wednesday",
    b"Thursday",
    b"Friday",
    b"Saturday",
    b"Sunday",
];
/// A year with two digits is at most this far in the future.
const FUTURE_YEARS_MAX: u64 = 50;

/// Reads a date; `now` tells the century of a year with two digits.
pub(super) fn parse(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    match value.iter().position(|&byte| byte == b',') {
        Some(3) => fixdate(value),
        Some(_) => rfc850(value, now),
        None => asctime(value),
    }
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn fixdate(value: &[u8]) -> Option<Timestamp> {
    let [w1, w2, w3, b',', b' ', d1, d2, b' ', rest @ ..] = value else {
        return None;
    };
    let [m1, m2, m3, b' ', y1, y2, y3, y4, b' ', time @ ..] = rest else {
        return None;
    };
    is_weekday(&[*w1, *w2, *w3], 3)?;
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let day = number(&[*d1, *d2])?;
    date(year, [*m1, *m2, *m3], day, time.strip_suffix(b" GMT")?)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: Timestamp) -> Option<Timestamp> {
    let comma = value.iter().position(|&byte| byte == b',')?;
    let (weekday, rest) = value.split_at_checked(comma)?;
    let [
        b',',
        b' ',
        d1,
        d2,
        b'-',
        m1,
        m2,
        m3,
        b'-',
        y1,
        y2,
        b' ',
        time @ ..,
    ] = rest
    else {
        return None;
    };
    is_weekday(weekday, usize::MAX)?;
    let (this_year, ..) = now.date();
    let mut year = this_year - this_year % 100 + 100 + number(&[*y1, *y2])?;
    // "MUST interpret a timestamp that appears to be more than 50 years in the future as representing the most
    // recent year in the past that had the same last two digits."
    while year > this_year + FUTURE_YEARS_MAX {
        year -= 100;
    }
    let day = number(&[*d1, *d2])?;
    date(year, [*m1, *m2, *m3], day, time.strip_suffix(b" GMT")?)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<Timestamp> {
    let [w1, w2, w3, b' ', m1, m2, m3, b' ', d1, d2, b' ', rest @ ..] = value else {
        return None;
    };
    let (time, year) = rest.split_at_checked(8)?;
    let [b' ', year @ ..] = year else {
        return None;
    };
    is_weekday(&[*w1, *w2, *w3], 3)?;
    let day = match (d1, d2) {
        (b' ', d2) => number(&[*d2])?,
        (d1, d2) => number(&[*d1, *d2])?,
    };
    let year = (year.len() == 4).then(|| number(year))??;
    date(year, [*m1, *m2, *m3], day, time)
}

fn date(year: u64, month: [u8; 3], day: u64, time: &[u8]) -> Option<Timestamp> {
    let month = (1..)
        .zip(MONTHS)
        .find_map(|(index, name)| (*name == month).then_some(index))?;
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let [h1, h2, b':', m1, m2, b':', s1, s2] = time else {
        return None;
    };
    let (hour, minute, second) = (
        number(&[*h1, *h2])?,
        number(&[*m1, *m2])?,
        number(&[*s1, *s2])?,
    );
    // A leap second is 60.
    if !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if year < 1970 {
        return Some(Timestamp::default());
    }
    let midnight = Timestamp::of_date(year, month, day).as_seconds();
    Some(Timestamp::from_seconds(
        midnight + hour * 3_600 + minute * 60 + second,
    ))
}

fn is_weekday(name: &[u8], letters: usize) -> Option<()> {
    WEEKDAYS
        .iter()
        .any(|full| full.get(..letters.min(full.len())) == Some(name))
        .then_some(())
}

/// Digits and nothing else; few of them.
fn number(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit()
            .then(|| number * 10 + u64::from(byte - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// 2026-11-27.
    const NOW: Timestamp = Timestamp::from_seconds(1_795_737_600);

    #[track_caller]
    fn check(value: &str, expected: Option<u64>) {
        let expected = expected.map(Timestamp::from_seconds);
        assert_eq!(parse(value.as_bytes(), NOW), expected, "{value}");
    }

    #[test]
    fn all_three_forms_are_read() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check("Sun Nov 16 08:49:37 1994", Some(784_975_777));
    }

    #[test]
    fn two_digits_are_a_year_at_most_fifty_years_ahead() {
        check("Friday, 27-Nov-26 00:00:00 GMT", Some(1_795_737_600));
        let year = |digits: u32| {
            let value = format!("Friday, 01-Jan-{digits:02} 00:00:00 GMT");
            parse(value.as_bytes(), NOW).unwrap().date().0
        };
        assert_eq!(
            (year(0), year(76), year(77), year(99)),
            (2000, 2076, 1977, 1999)
        );
    }

    #[test]
    fn dates_before_1970_are_long_ago_and_a_leap_second_is_one() {
        check("Mon, 01 Jan 1900 00:00:00 GMT", Some(0));
        check("Sat, 31 Dec 2016 23:59:60 GMT", Some(1_483_228_800));
    }

    #[test]
    fn what_is_not_a_date_is_none() {
        for value in [
            "",
            "0",
            "-1",
            "now",
            "1994-11-06T08:49:37Z",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 gmt",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 nov 1994 08:49:37 GMT",
            "Xyz, 06 Nov 1994 08:49:37 GMT",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Sun, 29 Feb 1900 08:49:37 GMT",
            "Sun, 00 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 94",
        ] {
            check(value, None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(value in vec(any::<u8>(), 0..40)) {
            let _ = parse(&value, NOW);
        }

        #[test]
        fn what_is_nearly_a_date_makes_no_panic(at in 0_usize..29, byte: u8) {
            let mut value = *b"Sun, 06 Nov 1994 08:49:37 GMT";
            value[at] = byte;
            let _ = parse(&value, NOW);
        }

        #[test]
        fn every_second_is_read_as_it_is_written(seconds in 0_u64..7_258_118_400) {
            let at = Timestamp::from_seconds(seconds);
            let (year, month, day) = at.date();
            let month = str::from_utf8(MONTHS[month as usize - 1]).unwrap();
            let (hour, minute, second) = (seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
            let text = format!("Mon, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT");
            prop_assert_eq!(parse(text.as_bytes(), NOW), Some(at));
        }
    }
}
