//! What an endpoint can carry, from how fast it was done with requests while it had so many at once.
//!
//! While `n` are there, requests end at the rate `n / T(n)`; of a log with times it is known how many ended then, and
//! how long there were so many, which is all that the likelihood of a birth-death process depends on (P. Billingsley,
//! *Statistical Inference for Markov Processes*, 1961). `T(n)` is `T max(1, n / w)` for a pool of `w` workers with one
//! queue, and `T (1 + alpha (n - 1) + beta n (n - 1))` for a shared server under the Universal Scalability Law
//! (N. Gunther, *Guerrilla Capacity Planning*, 2007).

use std::collections::BTreeMap;

use super::Logged;

/// What is seen is one thing and not chance if it is so many standard errors away from the other...
const CERTAIN: f64 = 4.0;
/// ...and so much more in proportion: beyond a capacity, or of a request that has company.
const SLOWER: f64 = 1.1;
/// So many requests found a level, or it was not seen.
const SEEN_MIN: usize = 20;
/// So many requests say what one takes.
const FREE_MIN: f64 = 30.0;
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

/// The requests of each endpoint that were sent there.
fn by_endpoint(requests: &[Logged]) -> BTreeMap<u16, Vec<&Logged>> {
    let mut by_endpoint: BTreeMap<u16, Vec<&Logged>> = BTreeMap::new();
    for request in requests.iter().filter(|it| it.attempts > 0) {
        if let Some(endpoint) = request.endpoint {
            by_endpoint.entry(endpoint).or_default().push(request);
        }
    }
    by_endpoint
}

/// When it was sent to its endpoint.
fn begins(request: &Logged) -> u64 {
    request.at + request.waited.min(request.took)
}

/// What endpoints had to do when requests came to them, of those of which it is known how long they took.
pub(super) fn loaded(requests: &[Logged]) -> Vec<Loaded> {
    let mut all = Vec::new();
    for mut requests in by_endpoint(requests).into_values() {
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

/// What happened while so many were there.
#[derive(Clone, Copy, Debug)]
struct Level {
    in_flight: f64,
    /// How many requests ended then.
    count: f64,
    /// How long a request takes while there are so many, in seconds.
    mean: f64,
}

/// How many were seen at an endpoint at once, not only now and then.
pub(super) fn most_at_once(loaded: &[Loaded]) -> u32 {
    let mut seen: Vec<u32> = loaded.iter().map(|it| it.in_flight).collect();
    seen.sort_unstable_by(|one, other| other.cmp(one));
    let most = seen.get(SEEN_MIN - 1).or(seen.first());
    most.copied().unwrap_or(1)
}

/// What the log shows of an endpoint's capacity.
pub(super) fn fit(requests: &[Logged], loaded: &[Loaded]) -> Capacity {
    of_levels(&levels(requests), loaded, most_at_once(loaded))
}

fn levels(requests: &[Logged]) -> Vec<Level> {
    // How many ended while there were so many, and for how long there were.
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for requests in by_endpoint(requests).into_values() {
        let times = requests
            .iter()
            .flat_map(|it| [(begins(it), true), (it.at + it.took, false)]);
        let mut times: Vec<(u64, bool)> = times.collect();
        times.sort_unstable_by_key(|(at, comes)| (*at, !*comes));
        let (mut there, mut since) = (0_usize, 0);
        for (now, comes) in times {
            let (ended, time) = sums.entry(there).or_default();
            *time += (now - since) as f64 / 1e9;
            *ended += f64::from(u8::from(!comes));
            since = now;
            there = if comes {
                there + 1
            } else {
                there.saturating_sub(1)
            };
        }
    }
    let level = |(there, (ended, time)): (usize, (f64, f64))| {
        let in_flight = there as f64;
        (there > 0 && ended > 0.0 && time > 0.0).then(|| Level {
            in_flight,
            count: ended,
            mean: in_flight * time / ended,
        })
    };
    sums.into_iter().filter_map(level).collect()
}

fn of_levels(levels: &[Level], loaded: &[Loaded], most: u32) -> Capacity {
    let Some((workers, alone, error)) = pool(levels, loaded, most) else {
        return Capacity::unknown(most);
    };
    if company_slows(loaded, workers)
        && let Some((law, left)) = shared(levels)
        && left < BETTER * error
    {
        return law;
    }
    if beyond_is_slower(levels, alone, f64::from(workers)) {
        let known = true;
        return Capacity::Workers { workers, known };
    }
    Capacity::unknown(most)
}

/// Whether requests are slower while there are more than `capacity`.
fn beyond_is_slower(levels: &[Level], alone: f64, capacity: f64) -> bool {
    let beyond = levels.iter().filter(|it| it.in_flight > capacity);
    let (count, sum) = beyond.fold((0.0, 0.0), |(count, sum), it| {
        (count + it.count, sum + it.count * it.mean)
    });
    let times = sum / (count * alone);
    times >= SLOWER && (times - 1.0) * libm::sqrt(count) >= CERTAIN
}

/// Whether of requests that found a worker free, if there are `workers`, those with more company were slower: in a
/// pool they are not.
fn company_slows(loaded: &[Loaded], workers: u32) -> bool {
    let mut free: Vec<&Loaded> = loaded.iter().filter(|it| it.in_flight <= workers).collect();
    free.sort_by_key(|it| it.in_flight);
    let middle = free.get(free.len() / 2).map_or(0, |it| it.in_flight);
    let (fewer, more) = free.split_at(free.partition_point(|it| it.in_flight <= middle));
    if (fewer.len().min(more.len()) as f64) < FREE_MIN {
        return false;
    }
    let moments = |half: &[&Loaded]| {
        let count = half.len() as f64;
        let mean = half.iter().map(|it| it.took as f64).sum::<f64>() / count;
        let of = |it: &&Loaded| (it.took as f64 - mean) * (it.took as f64 - mean);
        let variance = half.iter().map(of).sum::<f64>() / count;
        (mean, variance / count)
    };
    let ((fewer, one), (more, other)) = (moments(fewer), moments(more));
    more >= SLOWER * fewer && more - fewer >= CERTAIN * libm::sqrt(one + other)
}

/// How unlike what happened is to `model`: half the deviance of the numbers that ended, which are Poisson.
fn error(levels: &[Level], model: impl Fn(f64) -> f64) -> f64 {
    let of = |it: &Level| {
        let ratio = it.mean / model(it.in_flight);
        it.count * (ratio - 1.0 - libm::log(ratio))
    };
    levels.iter().map(of).sum()
}

/// Workers, seconds of a request, and what is left unexplained.
///
/// With `w` workers, as much work is done as `min(n, w)` of them do over time, whatever the law of service times: so
/// much a request takes. As much it takes by the clock if it found a worker free. The smallest `w` for which these
/// are the same is the number of workers; with fewer, there is too little time for the work that was done.
fn pool(levels: &[Level], loaded: &[Loaded], most: u32) -> Option<(u32, f64, f64)> {
    let mut free = Free::new(loaded);
    let mut before: Option<(u32, f64, f64)> = None;
    let mut workers = 1;
    loop {
        let times = |in_flight: f64| (in_flight / f64::from(workers)).max(1.0);
        let (count, sum) = levels.iter().fold((0.0, 0.0), |(count, sum), it| {
            (
                count + it.count,
                sum + it.count * it.mean / times(it.in_flight),
            )
        });
        let by_work = sum / count;
        let by_clock = free.mean(workers);
        let lacks = by_clock.map_or(1.0, |by_clock| 1.0 - by_work / by_clock);
        let enough = lacks <= 0.0 || workers >= most;
        if enough {
            let nearer = before.filter(|(_, _, lacked)| *lacked < -lacks);
            let (workers, alone) = match nearer {
                Some((workers, alone, _)) => (workers, alone),
                None => (workers, by_clock.unwrap_or(by_work)),
            };
            let times = |in_flight: f64| (in_flight / f64::from(workers)).max(1.0);
            let left = error(levels, |in_flight| alone * times(in_flight));
            return (alone > 0.0).then_some((workers, alone, left));
        }
        before = by_clock.map(|by_clock| (workers, by_clock, lacks));
        // To a hundredth, for large ones.
        workers += 1 + workers / 100;
    }
}

/// How long requests took that found few others.
struct Free<'a> {
    /// In the order of how many they found.
    rest: std::iter::Peekable<std::vec::IntoIter<&'a Loaded>>,
    count: f64,
    sum: f64,
}

impl<'a> Free<'a> {
    fn new(loaded: &'a [Loaded]) -> Self {
        let mut sorted: Vec<&Loaded> = loaded.iter().collect();
        sorted.sort_by_key(|it| it.in_flight);
        Self {
            rest: sorted.into_iter().peekable(),
            count: 0.0,
            sum: 0.0,
        }
    }

    /// The mean in seconds of those that found no more than `workers`, themselves included, which grows from call to
    /// call. `None` of too few.
    fn mean(&mut self, workers: u32) -> Option<f64> {
        while let Some(next) = self.rest.next_if(|it| it.in_flight <= workers) {
            self.count += 1.0;
            self.sum += next.took as f64 / 1e9;
        }
        (self.count >= FREE_MIN).then(|| self.sum / self.count)
    }
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
