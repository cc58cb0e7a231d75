//! Deadlines: until when an answer is worth anything, and what of it is passed on.
//!
//! Source: gRPC over HTTP/2 ("Requests", `grpc-timeout`); Google, *Site Reliability Engineering* (2016), "Addressing
//! Cascading Failures" (deadline propagation).
//! Units: `Plimsoll-Deadline` is what is left in whole milliseconds, decimal; what is passed on is what is left, never
//! a point in time, so that clocks need not agree.
//! Invariants: a caller can only shorten a deadline; what is passed on is never more than what is left; no bytes,
//! however malformed, make a parser panic or lengthen a deadline.
//! Elsewhere: who is believed (trust), and the timer (gateway).

use std::fmt;
use std::time::Duration;

use plimsoll_core::Instant;

/// Who set a deadline. A request that runs into a deadline of its caller's says little about the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadlineSource {
    /// The route's or the service's configuration.
    Route,
    /// A trusted caller's `Plimsoll-Deadline`.
    Caller,
    /// The caller's `grpc-timeout`. It is that caller's own loss, so no trust is needed.
    Grpc,
}

impl DeadlineSource {
    /// The word in metrics, logs and pages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Route => "route",
            Self::Caller => "caller",
            Self::Grpc => "grpc",
        }
    }
}

/// Until when a request is worth answering: the earliest of what all concerned have set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    arrived: Instant,
    route: Duration,
    time: Duration,
    source: DeadlineSource,
}

impl Deadline {
    /// What the route gives a request that arrived at this time.
    pub const fn new(arrived: Instant, route: Duration) -> Self {
        Self {
            arrived,
            route,
            time: route,
            source: DeadlineSource::Route,
        }
    }

    /// What the caller had left when the request arrived; `None`, or more than it is, changes nothing.
    pub fn shorten(mut self, source: DeadlineSource, left: Option<Duration>) -> Self {
        if let Some(left) = left
            && left < self.time
        {
            self.time = left;
            self.source = source;
        }
        self
    }

    /// The point in time.
    pub fn at(self) -> Instant {
        self.arrived + self.time
    }

    /// Who set it.
    pub const fn source(self) -> DeadlineSource {
        self.source
    }

    /// What is left of it; zero once it is over.
    pub fn left(self, now: Instant) -> Duration {
        self.at().since(now)
    }

    /// Whether it is over.
    pub fn is_over(self, now: Instant) -> bool {
        now >= self.at()
    }

    /// Whether to refuse at once, because less is left than the service's median answer takes.
    ///
    /// The median counts as at most half of the route's time: a request that was given all of that time and has it
    /// still is always tried. Otherwise a service that became slower than its deadline would be sent nothing, and
    /// nobody would see it recover. For the same reason the caller passes `None` where the median is old.
    pub fn cannot_make_it(self, now: Instant, service_p50: Option<Duration>) -> bool {
        let left = self.left(now);
        left.is_zero() || service_p50.is_some_and(|p50| left < p50.min(self.route / 2))
    }
}

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

    const ARRIVED: Instant = Instant::from_nanos(5_000_000_000);

    #[test]
    fn the_earliest_holds_and_says_whose_it_is() {
        let route = Deadline::new(ARRIVED, millis(2_000));
        assert_eq!(route.at(), ARRIVED + millis(2_000));
        assert_eq!(route.source(), DeadlineSource::Route);
        let both = route
            .shorten(DeadlineSource::Caller, Some(millis(700)))
            .shorten(DeadlineSource::Grpc, Some(millis(900)));
        assert_eq!(both.at(), ARRIVED + millis(700));
        assert_eq!(both.source(), DeadlineSource::Caller);
        let grpc = both.shorten(DeadlineSource::Grpc, Some(millis(1)));
        assert_eq!(grpc.source(), DeadlineSource::Grpc);
    }

    #[test]
    fn nobody_lengthens_it() {
        let route = Deadline::new(ARRIVED, millis(2_000));
        let longer = route.shorten(DeadlineSource::Caller, Some(Duration::MAX));
        assert_eq!(longer, route);
        assert_eq!(longer.shorten(DeadlineSource::Grpc, None), route);
    }

    #[test]
    fn what_is_left_is_reduced_by_the_time_spent() {
        let deadline = Deadline::new(ARRIVED, millis(100));
        let now = ARRIVED + Duration::from_micros(30_500);
        assert_eq!(PlimsollDeadline(deadline.left(now)).to_string(), "69");
        assert_eq!(GrpcTimeout(deadline.left(now)).to_string(), "69500000n");
        assert!(!deadline.is_over(now));
        assert!(deadline.is_over(ARRIVED + millis(100)));
        assert_eq!(deadline.left(ARRIVED + millis(101)), Duration::ZERO);
    }

    #[test]
    fn less_than_the_median_is_refused_at_once() {
        let deadline = Deadline::new(ARRIVED, millis(1_000));
        let at = |spent| ARRIVED + millis(spent);
        assert!(!deadline.cannot_make_it(at(900), Some(millis(100))));
        assert!(deadline.cannot_make_it(at(901), Some(millis(100))));
        assert!(!deadline.cannot_make_it(at(999), None), "nothing is known");
        assert!(deadline.cannot_make_it(at(1_000), None));
        let short = deadline.shorten(DeadlineSource::Caller, Some(millis(50)));
        assert!(short.cannot_make_it(ARRIVED, Some(millis(100))));
    }

    #[test]
    fn a_service_that_became_slower_than_its_deadline_is_still_tried() {
        let deadline = Deadline::new(ARRIVED, millis(1_000));
        let slow = Some(Duration::from_secs(10));
        assert!(!deadline.cannot_make_it(ARRIVED + millis(1), slow));
        assert!(deadline.cannot_make_it(ARRIVED + millis(501), slow));
    }

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
        /// Safety: no bytes make a parser panic, and what it takes from them never lengthens a deadline.
        #[test]
        fn no_bytes_panic_or_lengthen(
            bytes in prop_oneof![vec(any::<u8>(), 0..40), "[0-9]{0,30}[HMSmun]?".prop_map(String::into_bytes)],
            route in any::<Duration>(),
            arrived in any::<u64>(),
            now in any::<u64>(),
            p50 in any::<Option<Duration>>(),
        ) {
            let own = PlimsollDeadline::parse(&bytes).map(|own| own.0);
            let grpc = GrpcTimeout::parse(&bytes).map(|grpc| grpc.0);
            let route = Deadline::new(Instant::from_nanos(arrived), route);
            let deadline = route.shorten(DeadlineSource::Caller, own).shorten(DeadlineSource::Grpc, grpc);
            let now = Instant::from_nanos(now);
            prop_assert!(deadline.at() <= route.at());
            prop_assert_eq!(deadline.left(now).is_zero(), deadline.is_over(now));
            prop_assert!(!deadline.is_over(now) || deadline.cannot_make_it(now, p50));
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

        /// Liveness: a fresh request with no deadline but the route's is tried, whatever the median.
        #[test]
        fn a_fresh_request_is_always_tried(nanos in 1_u64..u64::MAX / 2, p50 in any::<Option<Duration>>()) {
            let deadline = Deadline::new(ARRIVED, Duration::from_nanos(nanos));
            prop_assert!(!deadline.cannot_make_it(ARRIVED, p50));
        }
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }
}
