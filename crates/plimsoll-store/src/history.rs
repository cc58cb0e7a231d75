//! The history: what each series counted in each stretch of time, ever more coarsely with age.
//!
//! All series of one stretch are one row: a second brings one row of seconds and changes three that are on, however many
//! series there are. What is written is added to what is there, so two processes that count side by side, and a
//! second that comes again, lose nothing.
//! Form of a row: for each series by its number, as LEB128 numbers: the distance to the number before, times four, plus one
//! with latencies, plus two with bad ones; good; where there are any, bad and how many of them are not the service's; the
//! latencies as codes.
//! Bound: so many rows of each resolution up to now, of the newest, and as many beyond; so a clock that is wrong for a while
//! costs no more than it wrote.

use std::collections::BTreeMap;

/// A resolution in seconds, and how many rows of it are kept.
///
/// An hour of seconds, three hours of ten seconds, three days of minutes with an hour to spare, and 400 days of hours: more
/// than 13 months.
pub const RESOLUTIONS: [(u32, u64); 4] = [(1, 3_600), (10, 1_080), (60, 4_380), (3_600, 9_600)];

/// A latency is kept to 2 %: in so many steps for each factor of e.
const LATENCY_STEPS: f64 = 24.0;

/// What a series counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Good requests.
    pub good: u64,
    /// Bad ones.
    pub bad: u64,
    /// Those of the bad ones that are the service's; the others are refusals.
    pub bad_service: u64,
    /// The median latency and the 99th percentile, in microseconds, to 2 %; where that is known.
    pub latency: Option<(u32, u32)>,
}

impl Amount {
    /// Adds counts. Latencies can't be added: `other` has the later ones.
    fn add(&mut self, other: &Self) {
        self.good = self.good.saturating_add(other.good);
        self.bad = self.bad.saturating_add(other.bad);
        self.bad_service = self.bad_service.saturating_add(other.bad_service);
        self.latency = other.latency.or(self.latency);
    }
}

/// What is to be added to one stretch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addition {
    /// How long of it was observed, in milliseconds.
    pub observed_millis: u64,
    /// By the name of the series.
    pub amounts: BTreeMap<std::sync::Arc<str>, Amount>,
}

impl Addition {
    /// Adds all of `other`.
    pub fn add(&mut self, other: Self) {
        self.observed_millis = self.observed_millis.saturating_add(other.observed_millis);
        for (series, amount) in other.amounts {
            self.amounts.entry(series).or_default().add(&amount);
        }
    }
}

/// What is to be added, by resolution and beginning, both in seconds; the beginning is a multiple of the resolution.
pub type Additions = BTreeMap<(u32, u64), Addition>;

/// One series in one stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// How long it is, in seconds.
    pub resolution: u32,
    /// When it begins, in seconds since the epoch; a multiple of the resolution.
    pub start: u64,
    /// How long of it was observed, in milliseconds: less than its length where nothing ran. More where two processes
    /// ran side by side.
    pub observed_millis: u64,
    /// What was counted.
    pub amount: Amount,
}

/// All series in one stretch of time.
#[derive(Debug)]
pub struct Stretch<'a> {
    /// When it begins, in seconds since the epoch.
    pub start: u64,
    /// See [`Bucket::observed_millis`].
    pub observed_millis: u64,
    /// By the number of the series.
    pub amounts: &'a BTreeMap<u32, Amount>,
}

/// Adds to what is there.
pub(crate) fn add(amounts: &mut BTreeMap<u32, Amount>, series: u32, amount: &Amount) {
    amounts.entry(series).or_default().add(amount);
}

pub(crate) fn encode(amounts: &BTreeMap<u32, Amount>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(amounts.len() * 8);
    let mut before = 0;
    for (series, amount) in amounts {
        let distance = u64::from(series - before);
        before = *series;
        let has_bad = amount.bad > 0;
        let flags = u64::from(amount.latency.is_some()) | u64::from(has_bad) << 1;
        number(&mut bytes, distance << 2 | flags);
        number(&mut bytes, amount.good);
        if has_bad {
            number(&mut bytes, amount.bad);
            number(&mut bytes, amount.bad.saturating_sub(amount.bad_service));
        }
        if let Some((p50, p99)) = amount.latency {
            let p50 = code(p50);
            number(&mut bytes, p50);
            number(&mut bytes, code(p99).saturating_sub(p50));
        }
    }
    bytes
}

/// `None`: that is no row.
pub(crate) fn decode(mut bytes: &[u8]) -> Option<BTreeMap<u32, Amount>> {
    let mut amounts = BTreeMap::new();
    let mut series = 0_u32;
    while !bytes.is_empty() {
        let head = take(&mut bytes)?;
        series = series.checked_add(u32::try_from(head >> 2).ok()?)?;
        let mut amount = Amount {
            good: take(&mut bytes)?,
            ..Amount::default()
        };
        if head & 2 != 0 {
            amount.bad = take(&mut bytes)?;
            amount.bad_service = amount.bad.checked_sub(take(&mut bytes)?)?;
        }
        if head & 1 != 0 {
            let p50 = take(&mut bytes)?;
            let p99 = p50.checked_add(take(&mut bytes)?)?;
            amount.latency = Some((micros(p50), micros(p99)));
        }
        amounts.insert(series, amount);
    }
    Some(amounts)
}

fn code(micros: u32) -> u64 {
    (f64::from(micros).ln_1p() * LATENCY_STEPS).round() as u64
}

fn micros(code: u64) -> u32 {
    (code as f64 / LATENCY_STEPS).exp_m1().round() as u32
}

/// LEB128: seven bits a byte, the lowest first.
fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        value |= bits.checked_shl(shift).filter(|it| it >> shift == bits)?;
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let mut amounts = BTreeMap::new();
        let mut state = 1_u64;
        for _ in 0..3_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let bits = |shift: u32, size: u64| (state >> shift) % size;
            let bad = bits(8, 4) * (state >> (20 + bits(3, 40)));
            let amount = Amount {
                good: state >> bits(40, 64),
                bad,
                bad_service: bad / 2,
                // What was read once stays as it is.
                latency: (bits(5, 2) == 0).then(|| (micros(bits(30, 400)), micros(400))),
            };
            amounts.insert(bits(30, 100_000) as u32, amount);
        }
        let bytes = encode(&amounts);
        assert_eq!(decode(&bytes).unwrap(), amounts);
        // What was cut or is something else is no row, or another one; it is never a panic.
        for cut in 0..bytes.len().min(500) {
            let _whatever = decode(&bytes[..cut]);
        }
        assert_eq!(decode(&[0xff; 11]), None);
        assert_eq!(decode(&[0x02, 1, 1, 2]), None, "more refused than bad");
    }

    #[test]
    fn latencies_are_right_to_two_percent() {
        for micros_of in [0, 1, 20, 777, 1_000, 123_456, 600_000_000, u32::MAX] {
            let read = f64::from(micros(code(micros_of)));
            let off = (read - f64::from(micros_of)).abs();
            assert!(
                off <= 1.0 + f64::from(micros_of) * 0.022,
                "{micros_of}: {read}"
            );
        }
    }

    #[test]
    fn a_quiet_series_takes_no_byte_and_a_busy_hour_ten() {
        let busy = Amount {
            good: 1_000_000,
            bad: 1_000,
            bad_service: 900,
            latency: Some((20_000, 400_000)),
        };
        let amounts = (0..1_000).map(|series| (series, busy)).collect();
        assert!(encode(&amounts).len() <= 11 * 1_000);
        assert_eq!(encode(&BTreeMap::new()), [] as [u8; 0]);
    }
}
