//! Figures as people read them, in the terminal and on pages: short, with their unit, unknown as `?`.
//!
//! Invariant: the text of an unknown is never that of a number.

use plimsoll_core::Timestamp;

use crate::objective::Forecast;

/// What is shown for what is not known.
pub const UNKNOWN: &str = "?";

/// A latency: `412ms`, `8.4s`. `gap` goes before the unit: nothing in a terminal, a space on a page.
pub fn latency(seconds: Option<f64>, gap: &str) -> String {
    let Some(seconds) = seconds else {
        return UNKNOWN.to_owned();
    };
    let micros = seconds * 1e6;
    // Half a unit early, so that what would round up to the next unit is written in it.
    if micros < 999.5 {
        format!("{}{gap}µs", short(micros))
    } else if micros < 999.5e3 {
        format!("{}{gap}ms", short(micros / 1e3))
    } else if seconds < 119.5 {
        format!("{}{gap}s", short(seconds))
    } else {
        format!("{}{gap}min", short(seconds / 60.0))
    }
}

/// A duration of seconds to days, in the two largest units: `2d 3h`, `4m 10s`.
pub fn duration(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    if days > 0 {
        pair(days, "d", hours, "h")
    } else if hours > 0 {
        pair(hours, "h", minutes, "m")
    } else if minutes > 0 {
        pair(minutes, "m", seconds % 60, "s")
    } else {
        format!("{seconds}s")
    }
}

/// A count with thousands set apart: `1,840`.
pub fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Requests per second: `1,840`, `3.1`, `0.02`, `0`.
pub fn rate(per_second: Option<f64>) -> String {
    match per_second {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "0".to_owned(),
        Some(rate) if rate < 0.095 => format!("{rate:.2}"),
        Some(rate) if rate < 9.95 => format!("{rate:.1}"),
        Some(rate) => count(rate.round() as u64),
    }
}

/// A burn rate: `24.0×`.
pub fn burn(rate: Option<f64>) -> String {
    match rate {
        None => UNKNOWN.to_owned(),
        Some(rate) if rate < 99.95 => format!("{rate:.1}×"),
        Some(rate) if rate < 99_999.5 => format!("{}×", count(rate.round() as u64)),
        Some(_) => ">99,999×".to_owned(),
    }
}

/// The share of a budget that is left, in whole percent, rounded towards less: `36%`, `−8%`.
pub fn budget_left(left: Option<f64>, gap: &str) -> String {
    let Some(left) = left else {
        return UNKNOWN.to_owned();
    };
    // What was computed a hair under a whole percent is that percent.
    let percent = (left * 100.0 + 1e-9).floor();
    if percent < -9_999.0 {
        format!("<−9,999{gap}%")
    } else if percent < 0.0 {
        format!("−{}{gap}%", count(-percent as u64))
    } else {
        format!("{percent:.0}{gap}%")
    }
}

/// A share in percent with as many places as it needs to be told from zero and from all: `0.02%`, `99.8%`.
pub fn percent(share: Option<f64>, gap: &str) -> String {
    let Some(share) = share else {
        return UNKNOWN.to_owned();
    };
    let percent = share * 100.0;
    if percent == 0.0 || percent == 100.0 {
        format!("{percent:.0}{gap}%")
    } else if percent < 0.01 {
        format!("<0.01{gap}%")
    } else if !(1.0..=99.0).contains(&percent) {
        // Two places, and never up to a round 100.
        format!("{:.2}{gap}%", percent.min(99.99))
    } else {
        format!("{percent:.1}{gap}%")
    }
}

/// When a budget is gone: `gone Wed 04:02`, `lasts`, `over`. Times are UTC.
pub fn forecast(forecast: Forecast, now: Timestamp) -> String {
    match forecast {
        Forecast::Unknown => UNKNOWN.to_owned(),
        Forecast::Lasts => "lasts".to_owned(),
        Forecast::Gone => "over".to_owned(),
        Forecast::GoneAt { at } => {
            let wait = at.since(now).as_secs();
            if wait >= 7 * 86_400 {
                format!("gone in {}d", wait / 86_400)
            } else {
                format!("gone {} {}", weekday(at), clock(at, 5))
            }
        }
    }
}

/// The time of day in UTC: `14:38:07` with 8 characters, `14:38` with 5.
pub fn clock(at: Timestamp, characters: usize) -> String {
    at.to_rfc3339().chars().skip(11).take(characters).collect()
}

fn weekday(at: Timestamp) -> &'static str {
    // The epoch was a Thursday.
    match at.as_seconds() / 86_400 % 7 {
        0 => "Thu",
        1 => "Fri",
        2 => "Sat",
        3 => "Sun",
        4 => "Mon",
        5 => "Tue",
        _ => "Wed",
    }
}

fn short(value: f64) -> String {
    if value < 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

fn pair(large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    if small > 0 {
        format!("{large}{large_unit} {small}{small_unit}")
    } else {
        format!("{large}{large_unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_two_or_three_digits_and_a_unit() {
        let text = |seconds| latency(Some(seconds), "");
        assert_eq!(text(0.000_000_9), "0.9µs");
        assert_eq!(text(0.000_64), "640µs");
        assert_eq!(text(0.000_999_7), "1.0ms");
        assert_eq!(text(0.004_23), "4.2ms");
        assert_eq!(text(0.412), "412ms");
        assert_eq!(text(0.9997), "1.0s");
        assert_eq!(text(8.4), "8.4s");
        assert_eq!(text(34.2), "34s");
        assert_eq!(text(600.0), "10min");
        assert_eq!(latency(Some(0.412), " "), "412 ms");
    }

    #[test]
    fn no_unknown_looks_like_a_number() {
        assert_eq!(latency(None, ""), "?");
        assert_eq!(rate(None), "?");
        assert_eq!(burn(None), "?");
        assert_eq!(budget_left(None, ""), "?");
        assert_eq!(percent(None, ""), "?");
        assert_eq!(forecast(Forecast::Unknown, Timestamp::default()), "?");
    }

    #[test]
    fn rates_and_burns_stay_short() {
        assert_eq!(rate(Some(0.0)), "0");
        assert_eq!(rate(Some(0.02)), "0.02");
        assert_eq!(rate(Some(3.12)), "3.1");
        assert_eq!(rate(Some(1_840.4)), "1,840");
        assert_eq!(burn(Some(24.0)), "24.0×");
        assert_eq!(burn(Some(1_000.0)), "1,000×");
        assert_eq!(burn(Some(1e9)), ">99,999×");
    }

    #[test]
    fn a_budget_is_never_rounded_up() {
        assert_eq!(budget_left(Some(1.0), ""), "100%");
        assert_eq!(budget_left(Some(0.999), ""), "99%");
        assert_eq!(budget_left(Some(0.36), ""), "36%");
        assert_eq!(budget_left(Some(0.004), ""), "0%");
        assert_eq!(budget_left(Some(-0.004), ""), "−1%");
        assert_eq!(budget_left(Some(-0.08), " "), "−8 %");
        assert_eq!(budget_left(Some(-1e9), ""), "<−9,999%");
    }

    #[test]
    fn a_share_that_is_not_all_is_not_shown_as_all() {
        assert_eq!(percent(Some(0.0), ""), "0%");
        assert_eq!(percent(Some(0.000_001), ""), "<0.01%");
        assert_eq!(percent(Some(0.001_5), ""), "0.15%");
        assert_eq!(percent(Some(0.034), ""), "3.4%");
        assert_eq!(percent(Some(0.999_99), ""), "99.99%");
        assert_eq!(percent(Some(0.999_999), ""), "99.99%");
        assert_eq!(percent(Some(1.0), ""), "100%");
    }

    #[test]
    fn durations_name_their_two_largest_units() {
        assert_eq!(duration(0.4), "0s");
        assert_eq!(duration(250.0), "4m 10s");
        assert_eq!(duration(3_600.0), "1h");
        assert_eq!(duration(183_600.0), "2d 3h");
    }

    #[test]
    fn the_end_of_a_budget_is_a_day_and_a_time() {
        // A Wednesday.
        let now = Timestamp::from_seconds(1_795_615_852);
        let gone = |seconds| Forecast::GoneAt {
            at: Timestamp::from_seconds(now.as_seconds() + seconds),
        };
        assert_eq!(forecast(gone(0), now), "gone Wed 14:10");
        assert_eq!(forecast(gone(86_400), now), "gone Thu 14:10");
        assert_eq!(forecast(gone(20 * 86_400), now), "gone in 20d");
        assert_eq!(forecast(Forecast::Gone, now), "over");
        assert_eq!(clock(now, 8), "14:10:52");
    }
}
