//! From when on: `--since 1h`, or a time.

use std::str::FromStr;
use std::time::Duration;

use plimsoll_core::Timestamp;

use crate::simulate::parse_time;

/// A time, or how long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Since {
    Ago(Duration),
    At(Timestamp),
}

impl Since {
    pub(crate) fn as_of(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => {
                let ago = u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX);
                Timestamp::from_nanos(now.as_nanos().saturating_sub(ago))
            }
        }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ago = || {
            let unit = text.chars().last()?;
            let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
            let seconds = match unit {
                's' => 1,
                'm' => 60,
                'h' => 3_600,
                'd' => 86_400,
                _ => return None,
            };
            Some(Self::Ago(Duration::from_secs(number.checked_mul(seconds)?)))
        };
        let at = || {
            let nanos = parse_time(text).or_else(|| parse_time(&format!("{text}T00:00:00Z")))?;
            Some(Self::At(Timestamp::from_nanos(nanos)))
        };
        ago().or_else(at).ok_or_else(|| {
            "expected how long ago, as 90s, 15m, 1h or 7d, or a time in UTC, as 2026-11-26 or 2026-11-26T14:31:40Z".to_owned()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<u64>) {
        let now = Timestamp::from_seconds(1_795_615_852);
        let since = text.parse::<Since>().ok();
        let seconds = since.map(|since| since.as_of(now).as_seconds());
        assert_eq!(seconds, expected, "{text}");
    }

    #[test]
    fn it_is_a_time_or_how_long_ago() {
        check("90s", Some(1_795_615_762));
        check("1h", Some(1_795_612_252));
        check("100000d", Some(0));
        check("2026-11-25T14:10:52Z", Some(1_795_615_852));
        check("2026-11-25", Some(1_795_564_800));
        for wrong in [
            "",
            "h",
            "1w",
            "-1h",
            "1.5h",
            "99999999999999999999d",
            "yesterday",
            "é",
        ] {
            check(wrong, None);
        }
    }
}
