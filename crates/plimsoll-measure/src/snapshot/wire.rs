//! Timestamps as RFC 3339 in UTC, to the millisecond: what a person can read and any program can parse.

use std::time::Duration;

use plimsoll_core::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Writes a time.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    at.to_rfc3339().serialize(serializer)
}

/// Reads a time.
///
/// # Errors
/// It is none as they are written here.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).ok_or_else(|| {
        de::Error::invalid_value(
            de::Unexpected::Str(&text),
            &"a time as 2026-11-25T14:10:52.123Z",
        )
    })
}

/// Times that may be unknown.
pub mod optional {
    use super::*;

    /// Writes a time or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(
        at: &Option<Timestamp>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        at.map(Timestamp::to_rfc3339).serialize(serializer)
    }

    /// Reads a time or `null`.
    ///
    /// # Errors
    /// It is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        #[derive(Deserialize)]
        struct Wrapped(#[serde(with = "super")] Timestamp);
        Ok(Option::<Wrapped>::deserialize(deserializer)?.map(|wrapped| wrapped.0))
    }
}

/// Only the form that [`Timestamp::to_rfc3339`] writes.
fn parse(text: &str) -> Option<Timestamp> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let marks = [
        (4, b'-'),
        (7, b'-'),
        (10, b'T'),
        (13, b':'),
        (16, b':'),
        (19, b'.'),
        (23, b'Z'),
    ];
    let bytes = text.as_bytes();
    if text.len() != 24
        || !marks
            .iter()
            .all(|(place, mark)| bytes.get(*place) == Some(mark))
    {
        return None;
    }
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second, millis) = (
        number(11, 13)?,
        number(14, 16)?,
        number(17, 19)?,
        number(20, 23)?,
    );
    let valid = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !valid || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3_600 + minute * 60 + second;
    let of_day = Duration::from_millis(seconds * 1_000 + millis);
    Some(Timestamp::of_date(year, month, day) + of_day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "now",
            "2026-11-25",
            "2026-13-25T14:10:52.123Z",
            "2026-11-25T14:10:52,123Z",
            "é026-11-25T14:10:52.12Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(millis in 0_u64..4_200_000_000_000) {
            let at = Timestamp::from_nanos(millis * 1_000_000);
            prop_assert_eq!(parse(&at.to_rfc3339()), Some(at));
        }
    }
}
