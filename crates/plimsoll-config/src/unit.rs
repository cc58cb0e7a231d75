//! Values with a unit: durations, sizes, percentages, rates.
//!
//! Units: durations in nanoseconds inside; sizes in bytes, binary prefixes only; percentages as shares;
//! rates as a count and what it is over.

use std::time::Duration;

use plimsoll_core::Ratio;

/// Why a text is not a value with a unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UnitError {
    /// Does not begin with a number.
    NoNumber,
    /// A number and nothing else.
    NoUnit {
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// A number and something that is no unit of this kind.
    WrongUnit {
        /// What stands there.
        unit: String,
        /// What may have been meant.
        suggestion: Option<String>,
    },
    /// More than can be counted, or a part of what cannot be divided.
    OutOfRange,
}

const DURATIONS: [(&str, u128); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

const SIZES: [(&str, u128); 5] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// The time that a rate's count is over, in seconds.
const RATES: [(&str, f64); 4] = [
    ("/s", 1.0),
    ("/min", 60.0),
    ("/h", 3_600.0),
    ("/d", 86_400.0),
];

/// The largest count of a rate. Far above what a process can serve, far below where a count loses ones.
pub(crate) const RATE_COUNT_MAX: f64 = 1e9;

/// So many over so long; none, or at least one in a day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// How many.
    pub(crate) count: f64,
    /// Over how many seconds.
    pub(crate) seconds: f64,
}

impl Rate {
    /// How many in one second.
    pub(crate) fn per_second(self) -> f64 {
        self.count / self.seconds
    }
}

/// A duration as the configuration file has it, such as `250ms`; `None` for what is none.
pub fn read_duration(text: &str) -> Option<Duration> {
    duration(text).ok()
}

/// `"250ms"`, `"1.5s"`, `"1m30s"`: numbers with units, the larger unit first.
pub(crate) fn duration(text: &str) -> Result<Duration, UnitError> {
    let mut rest = text;
    let mut nanos = 0_u128;
    let mut smallest = u128::MAX;
    loop {
        let (number, unit, tail) = take(rest).ok_or(UnitError::NoNumber)?;
        if unit.is_empty() {
            return Err(UnitError::NoUnit {
                suggestion: tail.is_empty().then(|| format!("{text}s")),
            });
        }
        let wrong = |suggestion: Option<String>| UnitError::WrongUnit {
            unit: unit.trim().to_owned(),
            suggestion,
        };
        let Some((_, scale)) = DURATIONS.iter().find(|(name, _)| *name == unit) else {
            let meant = duration_unit_meant(unit).filter(|_| tail.is_empty() && nanos == 0);
            return Err(wrong(meant.map(|meant| format!("{number}{meant}"))));
        };
        if *scale >= smallest {
            return Err(wrong(None));
        }
        smallest = *scale;
        nanos = scaled(number, *scale)
            .and_then(|part| nanos.checked_add(part))
            .ok_or(UnitError::OutOfRange)?;
        if tail.is_empty() {
            return u64::try_from(nanos)
                .map(Duration::from_nanos)
                .map_err(|_| UnitError::OutOfRange);
        }
        rest = tail;
    }
}

/// `"64KiB"`, `"1.5MiB"`, `"512B"`
pub(crate) fn size(text: &str) -> Result<u64, UnitError> {
    let (number, unit, tail) = take(text).ok_or(UnitError::NoNumber)?;
    if unit.is_empty() && tail.is_empty() {
        return Err(UnitError::NoUnit {
            suggestion: number.parse().ok().map(show_size),
        });
    }
    match SIZES.iter().find(|(name, _)| *name == unit) {
        Some((_, scale)) if tail.is_empty() => scaled(number, *scale)
            .and_then(|bytes| u64::try_from(bytes).ok())
            .ok_or(UnitError::OutOfRange),
        _ => {
            let meant = size_unit_meant(unit).filter(|_| tail.is_empty());
            let suggestion = meant.map(|meant| format!("{number}{meant}"));
            Err(UnitError::WrongUnit {
                unit: format!("{unit}{tail}").trim().to_owned(),
                suggestion,
            })
        }
    }
}

/// `"99.9%"`
pub(crate) fn percent(text: &str) -> Result<Ratio, UnitError> {
    let (number, unit, tail) = take(text).ok_or(UnitError::NoNumber)?;
    if tail.is_empty() && unit.is_empty() {
        return Err(UnitError::NoUnit {
            suggestion: Some(share_as_percent(number)),
        });
    }
    let unit = format!("{unit}{tail}");
    if unit != "%" {
        let meant = matches!(unit.trim(), "%" | "percent" | "pct");
        let suggestion = meant.then(|| format!("{number}%"));
        return Err(UnitError::WrongUnit {
            unit: unit.trim().to_owned(),
            suggestion,
        });
    }
    // The shift by two digits is done in the text, so that "99.9%" is the double next to 0.999.
    let share: f64 = format!("{number}e-2")
        .parse()
        .map_err(|_| UnitError::NoNumber)?;
    Ratio::try_from(share).map_err(|_| UnitError::OutOfRange)
}

/// `"50/s"`, `"1000/min"`, `"0.5/h"`
pub(crate) fn rate(text: &str) -> Result<Rate, UnitError> {
    let (number, unit, tail) = take(text).ok_or(UnitError::NoNumber)?;
    if unit.is_empty() && tail.is_empty() {
        return Err(UnitError::NoUnit {
            suggestion: Some(format!("{number}/s")),
        });
    }
    let unit = format!("{unit}{tail}");
    let Some((_, seconds)) = RATES.iter().find(|(name, _)| *name == unit) else {
        let suggestion = rate_unit_meant(&unit).map(|meant| format!("{number}{meant}"));
        return Err(UnitError::WrongUnit {
            unit: unit.trim().to_owned(),
            suggestion,
        });
    };
    let rate = Rate {
        count: number.parse().map_err(|_| UnitError::NoNumber)?,
        seconds: *seconds,
    };
    let rare = rate.count > 0.0 && rate.per_second() < 1.0 / 86_400.0;
    if rare || rate.count > RATE_COUNT_MAX {
        return Err(UnitError::OutOfRange);
    }
    Ok(rate)
}

/// A number, which may be meant as a share, as the percentage it probably means.
fn share_as_percent(number: &str) -> String {
    match number.parse::<f64>() {
        // Shifted in the text for the same reason as in `percent`.
        Ok(share) if share <= 1.0 && number.contains('.') => {
            match format!("{number}e2").parse::<f64>() {
                Ok(percent) => format!("{percent}%"),
                Err(_) => format!("{number}%"),
            }
        }
        _ => format!("{number}%"),
    }
}

/// A number, the letters after it (with spaces before them), and what follows.
fn take(text: &str) -> Option<(&str, &str, &str)> {
    let end = text
        .find(|c: char| !(c.is_ascii_digit() || c == '.'))
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let whole = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    if !whole || number.matches('.').count() > 1 {
        return None;
    }
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, tail) = rest.split_at_checked(unit_end)?;
    Some((number, unit, tail))
}

/// `number * scale`, exact down to the last unit; what is finer than that is refused as `None`.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut total = whole.parse::<u128>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let divisor = 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction.parse::<u128>().ok()?.checked_mul(scale)?;
        if part % divisor != 0 {
            return None;
        }
        total = total.checked_add(part / divisor)?;
    }
    Some(total)
}

fn duration_unit_meant(unit: &str) -> Option<&'static str> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "d" | "day" | "days" => "d",
        "h" | "hr" | "hrs" | "hour" | "hours" => "h",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => "ms",
        "us" | "µs" | "μs" | "usec" | "micros" | "microsecond" | "microseconds" => "us",
        "ns" | "nanos" | "nanosecond" | "nanoseconds" => "ns",
        _ => return None,
    })
}

fn size_unit_meant(unit: &str) -> Option<&'static str> {
    Some(match unit.trim().to_ascii_lowercase().as_str() {
        "b" | "byte" | "bytes" => "B",
        "k" | "kb" | "kib" | "ki" => "KiB",
        "m" | "mb" | "mib" | "mi" => "MiB",
        "g" | "gb" | "gib" | "gi" => "GiB",
        "t" | "tb" | "tib" | "ti" => "TiB",
        _ => return None,
    })
}

fn rate_unit_meant(unit: &str) -> Option<&'static str> {
    let lower = unit.trim().to_ascii_lowercase();
    let over = lower.trim_start_matches('/').trim_start_matches("per ");
    Some(match over.trim() {
        "s" | "sec" | "second" | "seconds" | "rps" | "r/s" => "/s",
        // Durations have `m` for a minute, where a `/m` would read as a month to some.
        "m" | "min" | "mins" | "minute" | "minutes" | "rpm" | "r/m" => "/min",
        "h" | "hr" | "hour" | "hours" => "/h",
        "d" | "day" | "days" => "/d",
        _ => return None,
    })
}

/// A duration as it is written, in the largest unit that divides it.
pub fn show_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".into();
    }
    let (unit, scale) = DURATIONS
        .iter()
        .find(|(_, scale)| nanos.is_multiple_of(*scale))
        .unwrap_or(&("ns", 1));
    format!("{}{unit}", nanos / scale)
}

/// A share as it is written, to six digits after the point.
pub fn show_percent(share: Ratio) -> String {
    let digits = format!("{:.6}", share.get() * 100.0);
    format!("{}%", digits.trim_end_matches('0').trim_end_matches('.'))
}

/// A size as it is written, in the largest unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    let bytes = u128::from(bytes);
    let found = SIZES
        .iter()
        .find(|(_, scale)| bytes > 0 && bytes.is_multiple_of(*scale));
    let (unit, scale) = found.unwrap_or(&("B", 1));
    format!("{}{unit}", bytes / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(unit: &str, suggestion: Option<&str>) -> UnitError {
        UnitError::WrongUnit {
            unit: unit.into(),
            suggestion: suggestion.map(str::to_owned),
        }
    }

    fn none(suggestion: &str) -> UnitError {
        UnitError::NoUnit {
            suggestion: Some(suggestion.into()),
        }
    }

    #[track_caller]
    fn check_duration(text: &str, expected: Result<u64, UnitError>) {
        assert_eq!(duration(text), expected.map(Duration::from_nanos), "{text}");
    }

    #[test]
    fn durations_are_exact_and_may_have_several_units() {
        check_duration("250ms", Ok(250_000_000));
        check_duration("1.5s", Ok(1_500_000_000));
        check_duration("1m30s", Ok(90_000_000_000));
        check_duration("0s", Ok(0));
        check_duration("28d", Ok(28 * 86_400_000_000_000));
        check_duration("0.5ns", Err(UnitError::OutOfRange));
        check_duration("999999999d", Err(UnitError::OutOfRange));
    }

    #[test]
    fn a_duration_without_its_unit_is_told_what_to_write() {
        check_duration("30", Err(none("30s")));
        check_duration("5 minutes", Err(wrong("minutes", Some("5m"))));
        check_duration("30 s", Err(wrong("s", Some("30s"))));
        check_duration("30S", Err(wrong("S", Some("30s"))));
        check_duration("30KiB", Err(wrong("KiB", None)));
        check_duration("30s1m", Err(wrong("m", None)));
        check_duration("", Err(UnitError::NoNumber));
        check_duration("-1s", Err(UnitError::NoNumber));
        check_duration("1..5s", Err(UnitError::NoNumber));
        check_duration("soon", Err(UnitError::NoNumber));
    }

    #[test]
    fn sizes_are_binary_and_exact() {
        assert_eq!(size("64KiB"), Ok(65_536));
        assert_eq!(size("1.5MiB"), Ok(1_572_864));
        assert_eq!(size("512B"), Ok(512));
        assert_eq!(size("0.3B"), Err(UnitError::OutOfRange));
        assert_eq!(size("65536"), Err(none("64KiB")));
        assert_eq!(size("64kb"), Err(wrong("kb", Some("64KiB"))));
        assert_eq!(size("64s"), Err(wrong("s", None)));
        assert_eq!(size("99999999TiB"), Err(UnitError::OutOfRange));
    }

    #[test]
    fn percentages_are_the_nearest_share() {
        assert_eq!(percent("99.9%").map(Ratio::get), Ok(0.999));
        assert_eq!(percent("1%").map(Ratio::get), Ok(0.01));
        assert_eq!(percent("100%").map(Ratio::get), Ok(1.0));
        assert_eq!(percent("99.9"), Err(none("99.9%")));
        assert_eq!(percent("0.999"), Err(none("99.9%")));
        assert_eq!(percent("99.9 %"), Err(wrong("%", Some("99.9%"))));
        assert_eq!(percent("101%"), Err(UnitError::OutOfRange));
    }

    #[track_caller]
    fn check_rate(text: &str, expected: Result<f64, UnitError>) {
        assert_eq!(rate(text).map(Rate::per_second), expected, "{text}");
    }

    #[test]
    fn rates_are_counts_over_a_time() {
        check_rate("50/s", Ok(50.0));
        check_rate("90/min", Ok(1.5));
        check_rate("7200/h", Ok(2.0));
        check_rate("1/d", Ok(1.0 / 86_400.0));
        check_rate("0.5/s", Ok(0.5));
        check_rate("0/s", Ok(0.0));
        check_rate("0.5/d", Err(UnitError::OutOfRange));
        check_rate("1000000001/s", Err(UnitError::OutOfRange));
    }

    #[test]
    fn a_rate_without_its_unit_is_told_what_to_write() {
        check_rate("50", Err(none("50/s")));
        check_rate("50s", Err(wrong("s", Some("50/s"))));
        check_rate("50rps", Err(wrong("rps", Some("50/s"))));
        check_rate("50/m", Err(wrong("/m", Some("50/min"))));
        check_rate("50 / s", Err(wrong("/ s", Some("50/s"))));
        check_rate("50 per hour", Err(wrong("per hour", Some("50/h"))));
        check_rate("50/10s", Err(wrong("/10s", None)));
        check_rate("-5/s", Err(UnitError::NoNumber));
        check_rate("", Err(UnitError::NoNumber));
    }

    #[test]
    fn what_is_shown_reads_back_as_the_same() {
        for nanos in [
            0,
            1,
            1_000,
            1_500_000,
            250_000_000,
            90_000_000_000,
            86_400_000_000_000,
        ] {
            let value = Duration::from_nanos(nanos);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
        for share in ["0%", "0.1%", "99.7%", "99.999%", "100%"] {
            assert_eq!(percent(share).map(show_percent).as_deref(), Ok(share));
        }
        for bytes in [0, 1, 1_000, 1_024, 32_768, 1 << 40] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }
}
