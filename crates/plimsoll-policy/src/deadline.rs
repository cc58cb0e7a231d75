//! Deadlines on the wire: what a caller says is left, and what is passed on.
//!
//! Source: gRPC over HTTP/2 ("Requests", `grpc-timeout`); Google, *Site Reliability Engineering* (2016), "Addressing
//! Cascading Failures" (deadline propagation).
//! Units: `Plimsoll-Deadline` is what is left in whole milliseconds, decimal; what is passed on is what is left, never
//! a point in time, so that clocks need not agree.
//! Invariants: what is passed on is never more than what is left; no bytes, however malformed, make a parser panic.
//! Elsewhere: who is believed (trust), that a caller can only shorten a deadline, and the timer (gateway).

use std::fmt;
use std::time::Duration;

/// `Plimsoll-Deadline`: what is left, as a whole number of milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PlimsollDeadline(pub Duration);

impl PlimsollDeadline {
    /// Reads a field's value: digits and nothing else. `None` = malformed, as if it were absent; more than fits
    /// counts as the most that does.
    pub fn parse(value: &[u8]) -> Option<Self> {
        digits(value).map(|millis| Self(Duration::from_millis(millis)))
    }
}

impl fmt::Display for PlimsollDeadline {
    /// Rounded down.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        write!(formatter, "{millis}")
    }
}

/// `grpc-timeout`: at most eight digits and a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GrpcTimeout(pub Duration);

/// The most that eight digits hold.
const GRPC_VALUE_MAX: u128 = 99_999_999;
const GRPC_DIGITS_MAX: usize = 8;
/// Units in nanoseconds, the finest first.
const GRPC_UNITS: [(u8, u128); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3_600 * 1_000_000_000),
];

impl GrpcTimeout {
    /// Reads a field's value. `None` = malformed, as if it were absent. The specification asks for a positive value;
    /// zero is read as no time left: whoever sends it has none.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (unit, value) = value.split_last()?;
        if value.len() > GRPC_DIGITS_MAX {
            return None;
        }
        let (_, nanos) = GRPC_UNITS.iter().find(|(letter, _)| letter == unit)?;
        let nanos = u128::from(digits(value)?) * nanos;
        // 99 999 999 hours are 11 400 years: more than 64 bits of nanoseconds, not more than a `Duration`.
        let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
        let rest = u32::try_from(nanos % 1_000_000_000).ok()?;
        Some(Self(Duration::new(seconds, rest)))
    }
}

impl fmt::Display for GrpcTimeout {
    /// In the finest unit whose value fits, rounded down.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        let (value, unit) = GRPC_UNITS
            .iter()
            .map(|(unit, size)| (nanos / size, *unit))
            .find(|(value, _)| *value <= GRPC_VALUE_MAX)
            .unwrap_or((GRPC_VALUE_MAX, b'H'));
        write!(formatter, "{value}{}", char::from(unit))
    }
}

/// A number written with digits alone, at least one; saturates.
fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0_u64, |number, byte| {
        byte.is_ascii_digit().then(|| {
            number
                .saturating_mul(10)
                .saturating_add(u64::from(byte - b'0'))
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check_grpc(value: &str, expected: Option<Duration>) {
        let parsed = GrpcTimeout::parse(value.as_bytes());
        assert_eq!(parsed.map(|timeout| timeout.0), expected, "{value}");
    }

    #[test]
    fn grpc_timeouts_are_read_in_each_unit() {
        check_grpc("2H", Some(Duration::from_secs(7_200)));
        check_grpc("3M", Some(Duration::from_secs(180)));
        check_grpc("10S", Some(Duration::from_secs(10)));
        check_grpc("250m", Some(millis(250)));
        check_grpc("7u", Some(Duration::from_micros(7)));
        check_grpc("00000009n", Some(Duration::from_nanos(9)));
        check_grpc("0m", Some(Duration::ZERO));
        check_grpc("99999999H", Some(Duration::from_secs(99_999_999 * 3_600)));
    }

    #[test]
    fn malformed_grpc_timeouts_are_ignored() {
        for value in [
            "",
            "S",
            "10",
            "10s",
            "10 S",
            " 10S",
            "-1S",
            "+1S",
            "1.5S",
            "100000000n",
            "1SS",
            "１S",
        ] {
            check_grpc(value, None);
        }
    }

    #[test]
    fn grpc_timeouts_are_written_in_the_finest_unit_that_fits() {
        let written = |time| GrpcTimeout(time).to_string();
        assert_eq!(written(Duration::ZERO), "0n");
        assert_eq!(written(Duration::from_nanos(99_999_999)), "99999999n");
        assert_eq!(written(Duration::from_nanos(100_000_999)), "100000u");
        assert_eq!(written(Duration::from_secs(100)), "100000m");
        assert_eq!(written(Duration::from_secs(100_000)), "100000S");
        assert_eq!(written(Duration::MAX), "99999999H");
    }

    #[track_caller]
    fn check_own(value: &str, expected: Option<u64>) {
        let parsed = PlimsollDeadline::parse(value.as_bytes());
        assert_eq!(
            parsed.map(|deadline| deadline.0),
            expected.map(millis),
            "{value}"
        );
    }

    #[test]
    fn own_deadlines_are_whole_milliseconds() {
        check_own("0", Some(0));
        check_own("1500", Some(1_500));
        check_own("99999999999999999999999", Some(u64::MAX));
        for value in ["", "1.5", "-1", "+1", "1e3", "1500ms", " 1", "1 "] {
            check_own(value, None);
        }
        assert_eq!(
            PlimsollDeadline(Duration::MAX).to_string(),
            u64::MAX.to_string()
        );
    }

    proptest! {
        /// Safety: no bytes make a parser panic.
        #[test]
        fn no_bytes_panic(
            bytes in prop_oneof![vec(any::<u8>(), 0..40), "[0-9]{0,30}[HMSmun]?".prop_map(String::into_bytes)],
        ) {
            let _own = PlimsollDeadline::parse(&bytes);
            let _grpc = GrpcTimeout::parse(&bytes);
        }

        /// What is passed on is read as at most what was left, and as hardly less.
        #[test]
        fn what_is_passed_on_is_rounded_down(time in any::<u64>().prop_map(Duration::from_nanos)) {
            let own = PlimsollDeadline::parse(PlimsollDeadline(time).to_string().as_bytes());
            let grpc = GrpcTimeout::parse(GrpcTimeout(time).to_string().as_bytes());
            let own = own.map(|own| own.0).unwrap();
            prop_assert!(own <= time && time - own < millis(1));
            let grpc = grpc.map(|grpc| grpc.0).unwrap();
            prop_assert!(grpc <= time && grpc >= time.mul_f64(0.999_98));
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
