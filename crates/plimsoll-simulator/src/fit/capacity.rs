//! What an endpoint can carry, from how long requests took that found so many others there.
//!
//! A pool of workers with one queue: who finds it full waits until a worker is free, on average one service time for
//! each `workers` requests (L. Kleinrock, *Queueing Systems*, 1975, 3.5). A shared server: the Universal Scalability
//! Law (N. Gunther, *Guerrilla Capacity Planning*, 2007).

use std::collections::BTreeMap;

use super::Logged;

/// A capacity is known if so many requests found more than it...
const BEYOND_MIN: f64 = 100.0;
/// ...where they took so many times as long as alone.
const SLOWER: f64 = 1.3;
/// So many requests found a level, or it was not seen.
const SEEN_MIN: usize = 20;
/// A second parameter must explain so much of what the first one leaves.
const BETTER: f64 = 0.7;
/// The least crosstalk that a scenario can have.
const CROSSTALK_MIN: f64 = 1e-7;

/// What an endpoint can carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Capacity {
    /// Workers with a queue.
    Workers {
        /// How many.
        workers: u32,
        /// Whether the log shows it. If it does not, so many were seen at work at once, and none of them waited.
        known: bool,
    },
    /// All at once.
    Shared {
        /// How long a request takes that is alone, in seconds.
        alone: f64,
        /// The law's alpha.
        contention: f64,
        /// The law's beta.
        crosstalk: f64,
    },
}

impl Capacity {
    /// A log shows only that it is at least this.
    pub(super) fn unknown(workers: u32) -> Self {
        let known = false;
        Self::Workers { workers, known }
    }

    /// Whether requests that find so many, themselves included, take no longer for that.
    pub(super) fn undisturbed(&self, in_flight: u32) -> bool {
        match *self {
            Self::Workers { workers, known } => {
                // The number is found to some tenths; who waited must not be among those that did not.
                let sure = if known { workers * 4 / 5 } else { workers };
                in_flight <= sure.max(1)
            }
            Self::Shared { .. } => in_flight <= 1,
        }
    }
}

/// A request at an endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loaded {
    /// How long the endpoint took, in nanoseconds.
    pub(super) took: u64,
    /// How many were there when it came, itself included.
    pub(super) in_flight: u32,
    pub(super) weight: f64,
}

/// What endpoints had to do when requests came to them, of those of which it is known how long they took.
pub(super) fn loaded(requests: &[Logged]) -> Vec<Loaded> {
    let mut by_endpoint: BTreeMap<u16, Vec<&Logged>> = BTreeMap::new();
    for request in requests.iter().filter(|it| it.attempts > 0) {
        if let Some(endpoint) = request.endpoint {
            by_endpoint.entry(endpoint).or_default().push(request);
        }
    }
    let mut all = Vec::new();
    for mut requests in by_endpoint.into_values() {
        let begins = |it: &Logged| it.at + it.waited.min(it.took);
        let mut ends: Vec<u64> = requests.iter().map(|it| it.at + it.took).collect();
        ends.sort_unstable();
        requests.sort_by_key(|it| begins(it));
        let mut ended = 0;
        for (begun, request) in requests.iter().enumerate() {
            let now = begins(request);
            while ends.get(ended).is_some_and(|end| *end < now) {
                ended += 1;
            }
            if let Some(took) = request.service_took() {
                all.push(Loaded {
                    took,
                    in_flight: (begun + 1).saturating_sub(ended).max(1) as u32,
                    weight: request.weight(),
                });
            }
        }
    }
    all
}

/// Requests that found the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    pub(super) in_flight: f64,
    pub(super) count: f64,
    /// Seconds.
    pub(super) mean: f64,
}

/// What the log shows of an endpoint's capacity.
pub(super) fn fit(requests: &[Loaded]) -> Capacity {
    let levels = levels(requests);
    let seen = requests.iter().map(|it| it.in_flight);
    let mut seen: Vec<u32> = seen.collect();
    seen.sort_unstable_by(|one, other| other.cmp(one));
    let most = seen.get(SEEN_MIN - 1).or(seen.first()).copied();
    of_levels(&levels, most.unwrap_or(1))
}

fn levels(requests: &[Loaded]) -> Vec<Level> {
    let mut sums: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
    for request in requests {
        let (count, sum) = sums.entry(request.in_flight).or_default();
        *count += 1.0;
        *sum += request.took as f64 / 1e9;
    }
    let level = |(in_flight, (count, sum)): (u32, (f64, f64))| Level {
        in_flight: f64::from(in_flight),
        count,
        mean: sum / count,
    };
    sums.into_iter().map(level).collect()
}

pub(super) fn of_levels(levels: &[Level], most: u32) -> Capacity {
    let Some((workers, alone, error)) = pool(levels, most) else {
        return Capacity::unknown(most);
    };
    if let Some((law, left)) = shared(levels)
        && left < BETTER * error
        && slower(levels, law_alone(law, alone), 1.0)
    {
        return law;
    }
    if slower(levels, alone, f64::from(workers)) {
        let known = true;
        return Capacity::Workers { workers, known };
    }
    Capacity::unknown(most)
}

fn law_alone(law: Capacity, otherwise: f64) -> f64 {
    match law {
        Capacity::Shared { alone, .. } => alone,
        Capacity::Workers { .. } => otherwise,
    }
}

/// Whether enough requests that found more than `capacity` took longer for it.
fn slower(levels: &[Level], alone: f64, capacity: f64) -> bool {
    let beyond = levels.iter().filter(|it| it.in_flight > capacity);
    let (count, sum) = beyond.fold((0.0, 0.0), |(count, sum), it| {
        (count + it.count, sum + it.count * it.mean)
    });
    count >= BEYOND_MIN && sum / count >= SLOWER * alone
}

/// The sum of squares of relative errors of `model`.
fn error(levels: &[Level], model: impl Fn(f64) -> f64) -> f64 {
    let of = |it: &Level| {
        let relative = it.mean / model(it.in_flight) - 1.0;
        it.count * relative * relative
    };
    levels.iter().map(of).sum()
}

/// Workers, seconds of a request, and what is left unexplained.
fn pool(levels: &[Level], most: u32) -> Option<(u32, f64, f64)> {
    let mut best: Option<(u32, f64, f64)> = None;
    let mut workers = 1;
    while workers <= most.max(1) {
        let times = |in_flight: f64| (in_flight / f64::from(workers)).max(1.0);
        // As if each request had found the pool free.
        let (count, sum) = levels.iter().fold((0.0, 0.0), |(count, sum), it| {
            (
                count + it.count,
                sum + it.count * it.mean / times(it.in_flight),
            )
        });
        let alone = sum / count;
        let left = error(levels, |in_flight| alone * times(in_flight));
        if alone > 0.0 && best.is_none_or(|(_, _, least)| left < least) {
            best = Some((workers, alone, left));
        }
        // To a hundredth, for large ones.
        workers += 1 + workers / 100;
    }
    best
}

/// The Universal Scalability Law: `T(n) = T (1 + alpha (n - 1) + beta n (n - 1))`, and what it leaves unexplained.
fn shared(levels: &[Level]) -> Option<(Capacity, f64)> {
    let terms = |n: f64| [1.0, n - 1.0, n * (n - 1.0)];
    let with = |used: [bool; 3]| {
        let [alone, waits, talks] = least_squares(levels, terms, used)?;
        let fits = alone > 0.0 && waits >= 0.0 && talks / alone >= CROSSTALK_MIN;
        fits.then(|| {
            let model = |n: f64| alone + waits * (n - 1.0) + talks * n * (n - 1.0);
            let law = Capacity::Shared {
                alone,
                contention: (waits / alone).min(1.0),
                crosstalk: (talks / alone).min(1.0),
            };
            (law, error(levels, model))
        })
    };
    with([true; 3]).or_else(|| with([true, false, true]))
}

/// Factors of the terms that are `used`, with relative errors; those of the others are zero.
fn least_squares(
    levels: &[Level],
    terms: impl Fn(f64) -> [f64; 3],
    used: [bool; 3],
) -> Option<[f64; 3]> {
    // Normal equations, the right side as fourth column; what is unused is an equation for itself.
    let mut rows = [[0.0; 4]; 3];
    for level in levels {
        let weight = level.count / (level.mean * level.mean).max(1e-18);
        let [one, two, three] = terms(level.in_flight);
        let columns = [one, two, three, level.mean];
        for ((row, left), used_row) in rows.iter_mut().zip(columns).zip(used) {
            for (cell, right) in row.iter_mut().zip(columns) {
                *cell += if used_row { weight * left * right } else { 0.0 };
            }
        }
    }
    for (index, row) in rows.iter_mut().enumerate() {
        for (column, cell) in row.iter_mut().enumerate().take(3) {
            let of_unused = [index, column]
                .iter()
                .any(|at| used.get(*at) == Some(&false));
            if of_unused {
                *cell = f64::from(u8::from(index == column));
            }
        }
    }
    // Cramer's rule: three by three.
    let determinant = |columns: [usize; 3]| {
        let at = |row: usize, column: usize| {
            let column = columns.get(column).copied().unwrap_or(0);
            rows.get(row)
                .and_then(|row| row.get(column))
                .copied()
                .unwrap_or(0.0)
        };
        at(0, 0) * (at(1, 1) * at(2, 2) - at(1, 2) * at(2, 1))
            - at(0, 1) * (at(1, 0) * at(2, 2) - at(1, 2) * at(2, 0))
            + at(0, 2) * (at(1, 0) * at(2, 1) - at(1, 1) * at(2, 0))
    };
    let whole = determinant([0, 1, 2]);
    let scale: f64 = (0..3)
        .filter_map(|at| rows.get(at)?.get(at).copied())
        .product();
    (whole.abs() > 1e-12 * scale.abs())
        .then(|| [[3, 1, 2], [0, 3, 2], [0, 1, 3]].map(|columns| determinant(columns) / whole))
}
