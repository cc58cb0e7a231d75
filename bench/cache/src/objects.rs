//! The objects of `popularity`: how large each is, and which is asked for when.
//!
//! Source of the exponent: L. Breslau et al., "Web Caching and Zipf-like Distributions: Evidence and Implications" (INFOCOM 1999),
//! which finds 0.64 to 0.83 at proxies, and more where clients are alike.

use crate::random::Random;

/// How many there are.
pub(crate) const COUNT: u32 = 100_000;
/// How fast popularity falls: that of the object of rank `r` is `1 / r^EXPONENT`.
pub(crate) const EXPONENT: f64 = 0.9;
const BYTES_MIN: u64 = 1024;
const BYTES_MAX: u64 = 16 * 1024;

/// The bytes of an object's body: a hash of its number, so that size says nothing of popularity.
pub(crate) fn bytes(object: u32) -> usize {
    let hash = Random::new(object.into()).next();
    usize::try_from(BYTES_MIN + hash % (BYTES_MAX - BYTES_MIN + 1)).unwrap_or(0)
}

/// Where it is.
pub(crate) fn path(object: u32) -> String {
    format!("/objects/{object}")
}

/// Draws objects; the number of one is its rank less one.
pub(crate) struct Zipf {
    /// The share of the objects up to each.
    cumulative: Vec<f64>,
}

impl Zipf {
    pub(crate) fn new(count: u32, exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut cumulative: Vec<f64> = (1..=count)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        for share in &mut cumulative {
            *share /= sum;
        }
        Self { cumulative }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let share = random.unit();
        let object = self.cumulative.partition_point(|it| *it < share);
        let last = self.cumulative.len().saturating_sub(1);
        u32::try_from(object.min(last)).unwrap_or(0)
    }

    /// So many objects, one after the other.
    pub(crate) fn sequence(&self, count: usize, seed: u64) -> Vec<u32> {
        let mut random = Random::new(seed);
        (0..count).map(|_| self.draw(&mut random)).collect()
    }

    /// The hit ratio of a store that knows how popular all objects are, and keeps those that are asked for most per byte.
    pub(crate) fn best_ratio(&self, bytes_max: u64) -> f64 {
        let mut before = 0.0;
        let mut objects: Vec<(f64, u64)> = (0..)
            .zip(&self.cumulative)
            .map(|(object, up_to)| {
                let share = up_to - before;
                before = *up_to;
                (share, bytes(object) as u64)
            })
            .collect();
        let per_byte = |(share, bytes): &(f64, u64)| share / *bytes as f64;
        objects.sort_by(|a, b| per_byte(b).total_cmp(&per_byte(a)));
        let mut left = bytes_max;
        objects
            .iter()
            .map_while(|(share, bytes)| {
                left = left.checked_sub(*bytes)?;
                Some(share)
            })
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_spread_over_the_whole_range() {
        let sizes: Vec<usize> = (0..COUNT).map(bytes).collect();
        let mean = sizes.iter().sum::<usize>() as f64 / sizes.len() as f64;
        assert!(sizes.iter().all(|it| (1024..=16 * 1024).contains(it)));
        assert!((mean - 8.5 * 1024.0).abs() < 100.0, "{mean}");
    }

    #[test]
    fn objects_are_drawn_as_often_as_their_rank_says() {
        let zipf = Zipf::new(1_000, EXPONENT);
        let drawn = zipf.sequence(200_000, 7);
        assert_eq!(drawn, zipf.sequence(200_000, 7));
        let often = |object: u32| drawn.iter().filter(|it| **it == object).count() as f64;
        for rank in [2_u32, 4, 8] {
            let ratio = often(0) / often(rank - 1);
            let expected = f64::from(rank).powf(EXPONENT);
            assert!((ratio / expected - 1.0).abs() < 0.1, "{rank}: {ratio}");
        }
        assert!(drawn.iter().all(|it| *it < 1_000));
        assert!(drawn.iter().any(|it| *it > 900));
    }

    #[test]
    fn the_best_ratio_grows_with_the_store_up_to_all() {
        let zipf = Zipf::new(1_000, EXPONENT);
        let ratios = [0, 1 << 16, 1 << 20, 1 << 30].map(|bytes| zipf.best_ratio(bytes));
        assert!(ratios.is_sorted(), "{ratios:?}");
        assert!(ratios[0] == 0.0 && ratios[1] > 0.1, "{ratios:?}");
        assert!((ratios[3] - 1.0).abs() < 1e-9, "{ratios:?}");
    }
}
