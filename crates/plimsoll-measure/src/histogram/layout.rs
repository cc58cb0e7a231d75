//! Where a latency belongs: the bucket bounds, and the way from nanoseconds to a bucket.
//!
//! A *slot* is a position in the array: slot 0 holds what is shorter than the range, slots `1..=467` hold
//! the OpenTelemetry buckets -319 to 147, the last slot holds what is longer.
//!
//! The way: the position of the highest bit and the five bits after it name one of 32 slices of a
//! doubling. A slice is narrower than a bucket (`16 * log2(33/32)` = 0.71 of one), so at most one bucket
//! bound lies within it: a table gives the bucket of the slice's start, and one comparison decides.

/// The scale of OpenTelemetry's exponential histogram: `2^SCALE` buckets to a doubling.
pub const SCALE: i32 = 4;
/// How many slots there are, both ends included.
pub const SLOTS: usize = (BUCKET_MAX - BUCKET_MIN + 1) as usize + 2;

/// OpenTelemetry index of the bucket that holds 1 us: floor(16 * log2(1e-6)).
const BUCKET_MIN: i32 = -319;
/// OpenTelemetry index of the bucket that holds 10 min: floor(16 * log2(600)).
const BUCKET_MAX: i32 = 147;
/// `2^(k/16)`, rounded to the nearest double.
#[expect(
    clippy::approx_constant,
    reason = "the square root of two is one of sixteen roots here"
)]
const ROOTS: [f64; 16] = [
    1.0,
    1.044_273_782_427_413_8,
    1.090_507_732_665_257_7,
    1.138_788_634_756_691_6,
    1.189_207_115_002_721,
    1.241_857_812_073_484,
    1.296_839_554_651_009_6,
    1.354_255_546_936_892_7,
    1.414_213_562_373_095_1,
    1.476_826_145_939_499_3,
    1.542_210_825_407_940_7,
    1.610_490_331_949_254_3,
    1.681_792_830_507_429,
    1.756_252_160_373_299_5,
    1.834_008_086_409_342_4,
    1.915_206_561_397_147_4,
];

/// Everything below `2^EXPONENT_MIN` ns is in slot 0.
const EXPONENT_MIN: u32 = 9;
/// Everything from `2^EXPONENT_END` ns on is in the last slot.
const EXPONENT_END: u32 = 40;
const SLICE_BITS: u32 = 5;
const SLICES: usize = ((EXPONENT_END - EXPONENT_MIN) as usize) << SLICE_BITS;

/// The longest whole nanosecond that belongs in each slot.
static UPPER_NANOS: [u64; SLOTS] = upper_bounds();
/// The slot of the first value of each slice.
static SLOT_OF_SLICE: [u16; SLICES] = slots_of_slices();

/// The slot for a latency in nanoseconds.
#[inline]
pub fn slot_of(nanos: u64) -> usize {
    if nanos < 1 << EXPONENT_MIN {
        return 0;
    }
    let exponent = nanos.ilog2();
    if exponent >= EXPONENT_END {
        return SLOTS - 1;
    }
    let slice = (nanos >> (exponent - SLICE_BITS)) as usize - (1 << SLICE_BITS)
        + (((exponent - EXPONENT_MIN) as usize) << SLICE_BITS);
    let slot = SLOT_OF_SLICE
        .get(slice)
        .map_or(0, |slot| usize::from(*slot));
    slot + usize::from(UPPER_NANOS.get(slot).is_some_and(|upper| nanos > *upper))
}

/// The longest latency in whole nanoseconds that belongs in `slot`; `u64::MAX` for the last one.
pub fn upper_nanos(slot: usize) -> u64 {
    UPPER_NANOS.get(slot).copied().unwrap_or(u64::MAX)
}

/// The value reported for `slot`: its geometric middle; for the ends, the bound of the range.
pub(super) fn middle_nanos(slot: usize) -> u64 {
    if slot == 0 {
        return upper_nanos(0);
    }
    if slot >= SLOTS - 1 {
        return upper_nanos(SLOTS - 2);
    }
    let (lower, upper) = (upper_nanos(slot - 1) as f64, upper_nanos(slot) as f64);
    libm::round(libm::sqrt(lower * upper)) as u64
}

/// The slot whose upper bound is `2^power` seconds, which is exact in every unit; -19 to 9 are in range.
pub(crate) fn slot_at_power_of_two(power: i32) -> usize {
    usize::try_from(power * (1 << SCALE) - BUCKET_MIN).map_or(0, |slot| slot.min(SLOTS - 1))
}

#[expect(
    clippy::indexing_slicing,
    reason = "a constant: an index out of range does not compile"
)]
const fn upper_bounds() -> [u64; SLOTS] {
    let mut bounds = [u64::MAX; SLOTS];
    let mut slot = 0;
    while slot < SLOTS - 1 {
        // Slot `s` ends at 2^((s + BUCKET_MIN) / 16) s.
        let power = slot as i32 + BUCKET_MIN;
        let mut bound = ROOTS[power.rem_euclid(16) as usize] * 1e9;
        let mut doublings = power.div_euclid(16);
        while doublings > 0 {
            bound *= 2.0;
            doublings -= 1;
        }
        while doublings < 0 {
            bound /= 2.0;
            doublings += 1;
        }
        bounds[slot] = bound as u64;
        slot += 1;
    }
    bounds
}

#[expect(
    clippy::indexing_slicing,
    reason = "a constant: an index out of range does not compile"
)]
const fn slots_of_slices() -> [u16; SLICES] {
    let bounds = upper_bounds();
    let mut slots = [0; SLICES];
    let mut slice = 0;
    let mut slot = 0;
    while slice < SLICES {
        let exponent = (slice >> SLICE_BITS) as u32 + EXPONENT_MIN;
        let start = (((slice & 31) + 32) as u64) << (exponent - SLICE_BITS);
        while start > bounds[slot] {
            slot += 1;
        }
        slots[slice] = slot as u16;
        slice += 1;
    }
    slots
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_range_is_one_microsecond_to_ten_minutes() {
        assert_eq!(slot_of(1_000), 1);
        assert_eq!(slot_of(600_000_000_000), SLOTS - 2);
        assert_eq!(slot_of(994), 0);
        assert_eq!(slot_of(0), 0);
        assert_eq!(slot_of(609_000_000_000), SLOTS - 1);
        assert_eq!(slot_of(u64::MAX), SLOTS - 1);
    }

    #[test]
    fn both_sides_of_every_bound_are_in_their_own_slot() {
        for slot in 0..SLOTS - 1 {
            let upper = upper_nanos(slot);
            assert_eq!(slot_of(upper), slot, "{upper}");
            assert_eq!(slot_of(upper + 1), slot + 1, "{upper} and one");
        }
    }

    #[test]
    fn powers_of_two_are_bounds_and_belong_below() {
        for power in -19..=9 {
            let slot = slot_at_power_of_two(power);
            let seconds = libm::ldexp(1.0, power);
            assert_eq!(upper_nanos(slot), (seconds * 1e9) as u64);
            assert_eq!(slot_of((seconds * 1e9) as u64), slot);
        }
    }

    #[test]
    fn bounds_are_the_powers_of_opentelemetry() {
        for slot in 0..SLOTS - 1 {
            let exact = libm::exp2(f64::from(slot as i32 + BUCKET_MIN) / 16.0);
            assert!((upper_nanos(slot) as f64 - exact * 1e9).abs() <= 1.0);
        }
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_a_search(shift in 0_u32..64, bits in any::<u64>()) {
            let nanos = bits >> shift;
            let searched = (0..SLOTS).position(|slot| nanos <= upper_nanos(slot));
            prop_assert_eq!(Some(slot_of(nanos)), searched);
        }
    }
}
