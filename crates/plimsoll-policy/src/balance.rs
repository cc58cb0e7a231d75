//! Load balancing: which endpoint of a service gets the next attempt.
//!
//! Sources: M. Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (2001); peak-EWMA as
//! in Twitter's Finagle ("Beyond Round Robin", 2016); V. Mirrokni et al., "Consistent Hashing with Bounded
//! Loads" (2018). Units: latencies are seconds inside. Invariants: an endpoint that was tried is not chosen;
//! one that is half-open only for a probe that was granted; one that is down only when no endpoint is up, and
//! then the choice says so. No choice allocates.
//! Elsewhere: what makes an endpoint down (`endpoint`); when to try again (`plimsoll-lifecycle`).

mod latency;
mod ring;
#[cfg(test)]
mod scenarios;

pub(crate) use ring::mix;
pub use ring::{Ring, hash_key};

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core::{EndpointId, Instant};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::endpoint::{EndpointShared, Verdict};
use latency::Latency;

/// How long a balancer that saw no half-open endpoint with a probe to give does not look for one: short beside
/// an open breaker's second, and rare beside choices.
const PROBE_LOOK_EACH: Duration = Duration::from_millis(10);

/// Something that can be chosen. An endpoint's id is its position in the slice that is chosen from.
pub trait Candidate {
    /// Its health and load.
    fn shared(&self) -> &EndpointShared;
}

impl Candidate for EndpointShared {
    fn shared(&self) -> &EndpointShared {
        self
    }
}

impl<C: Candidate> Candidate for Arc<C> {
    fn shared(&self) -> &EndpointShared {
        (**self).shared()
    }
}

/// How an endpoint is chosen.
#[derive(Clone, Debug)]
pub enum Method {
    /// The better of two that are drawn at random, by latency and requests in flight.
    LeastLoaded,
    /// Each in turn.
    RoundRobin,
    /// By a key, with bounded load.
    ConsistentHash(Arc<Ring>),
}

/// Where the next attempt goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Every endpoint is down, so that all of them are candidates.
    pub panic: bool,
}

/// One thread's chooser for one service.
#[derive(Clone, Debug)]
pub struct Balancer {
    method: Method,
    rng: Xoshiro256PlusPlus,
    turn: usize,
    latency: Latency,
    heeds_health: bool,
    /// When to look for probes again.
    probe_look_at: Instant,
}

impl Balancer {
    /// For a service with this many endpoints. Each thread takes another seed, so that threads do not
    /// move in step.
    pub fn new(method: Method, endpoints: usize, seed: u64) -> Self {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let turn = below(&mut rng, endpoints);
        Self {
            method,
            rng,
            turn,
            latency: Latency::new(endpoints),
            heeds_health: true,
            probe_look_at: Instant::ORIGIN,
        }
    }

    /// Chooses as if every endpoint were up: for a service whose policies are `observe` or `off`.
    #[must_use]
    pub fn without_health(mut self) -> Self {
        self.heeds_health = false;
        self
    }

    /// Where the next attempt goes; `None` if every endpoint that could be chosen was `tried`.
    ///
    /// `key` is what `consistent-hash` goes by (see [`hash_key`]); without one it draws a random key.
    pub fn choose<C: Candidate>(
        &mut self,
        now: Instant,
        endpoints: &[C],
        key: Option<u64>,
        tried: &[EndpointId],
    ) -> Option<Choice> {
        self.choose_knowing(now, endpoints, key, tried, true)
    }

    /// Where the next attempt goes, if an endpoint is up or one that is half-open has a probe to give; `None` if it is to
    /// go elsewhere: for endpoints that are not all that a service has.
    pub fn choose_up<C: Candidate>(
        &mut self,
        now: Instant,
        endpoints: &[C],
        key: Option<u64>,
        tried: &[EndpointId],
    ) -> Option<EndpointId> {
        let field = Field {
            now,
            endpoints,
            tried,
            all: !self.heeds_health,
            suspects: !self.heeds_health,
        };
        let chosen = self.choose_probe(&field, true);
        let chosen = chosen.or_else(|| self.pick_one(field, key))?;
        Some(EndpointId(u32::try_from(chosen).unwrap_or(u32::MAX)))
    }

    /// The same for who knows whether an endpoint may be `half_open`: where none is, nobody looks at each for it.
    pub fn choose_knowing<C: Candidate>(
        &mut self,
        now: Instant,
        endpoints: &[C],
        key: Option<u64>,
        tried: &[EndpointId],
        half_open: bool,
    ) -> Option<Choice> {
        let panic = !endpoints
            .iter()
            .any(|endpoint| endpoint.shared().verdict().is_up());
        let field = Field {
            now,
            endpoints,
            tried,
            all: panic || !self.heeds_health,
            suspects: panic || !self.heeds_health,
        };
        if let Some(index) = self.choose_probe(&field, half_open) {
            return Some(Choice {
                endpoint: EndpointId(u32::try_from(index).unwrap_or(u32::MAX)),
                panic: false,
            });
        }
        self.pick_one(field, key).map(|index| Choice {
            endpoint: EndpointId(u32::try_from(index).unwrap_or(u32::MAX)),
            panic: panic && self.heeds_health,
        })
    }

    /// One that is suspect only where there is no other.
    fn pick_one<C: Candidate>(&mut self, field: Field<'_, C>, key: Option<u64>) -> Option<usize> {
        self.pick(&field, key).or_else(|| {
            let any = Field {
                suspects: true,
                ..field
            };
            self.pick(&any, key)
        })
    }

    fn pick<C: Candidate>(&mut self, field: &Field<'_, C>, key: Option<u64>) -> Option<usize> {
        match &self.method {
            Method::LeastLoaded => choose_least_loaded(field, &mut self.rng, &self.latency),
            Method::RoundRobin => {
                // Where no verdict counts, it is a plain turn: each endpoint, whatever it does.
                let heeded = self.heeds_health.then_some(&self.latency);
                choose_in_turn(field, &mut self.rng, heeded, &mut self.turn)
            }
            Method::ConsistentHash(ring) => {
                let key = key.unwrap_or_else(|| self.rng.next_u64());
                ring.choose(field, key)
            }
        }
    }

    /// A half-open endpoint that may have one more probe; it is claimed. A request that failed elsewhere is not
    /// made to find out whether an endpoint works.
    fn choose_probe<C: Candidate>(
        &mut self,
        field: &Field<'_, C>,
        half_open: bool,
    ) -> Option<usize> {
        if field.all || !field.tried.is_empty() || field.now < self.probe_look_at {
            return None;
        }
        let mut all = 0..if half_open { field.len() } else { 0 };
        let probe = all.find(|&index| {
            field
                .shared(index)
                .is_some_and(|shared| shared.verdict() == Verdict::HalfOpen && shared.try_probe())
        });
        if probe.is_none() {
            self.probe_look_at = field.now + PROBE_LOOK_EACH;
        }
        probe
    }

    /// An attempt at `endpoint` was answered after `latency`.
    pub fn on_response(&mut self, endpoint: EndpointId, latency: Duration, now: Instant) {
        self.latency.on_response(endpoint.index(), latency, now);
    }

    /// An attempt at `endpoint` failed: it counts as slow for a while, since a quick failure must not look like
    /// a quick answer; and it is drawn less. Slowness alone would not do: where the others are busy, nearly
    /// idle and slow still looks better than they do.
    pub fn on_failure(&mut self, endpoint: EndpointId, now: Instant) {
        self.latency.on_failure(endpoint.index(), now);
    }

    /// The latency that `endpoint` is taken to have now.
    pub fn latency(&self, endpoint: EndpointId, now: Instant) -> Duration {
        Duration::from_secs_f64(self.latency.at(endpoint.index(), now))
    }
}

/// What is chosen from.
struct Field<'a, C> {
    now: Instant,
    endpoints: &'a [C],
    tried: &'a [EndpointId],
    /// Verdicts do not count.
    all: bool,
    /// Whether a suspect endpoint may be chosen that has not answered what it has: if there is no other.
    suspects: bool,
}

impl<C: Candidate> Field<'_, C> {
    fn len(&self) -> usize {
        self.endpoints.len()
    }

    fn shared(&self, index: usize) -> Option<&EndpointShared> {
        self.endpoints.get(index).map(Candidate::shared)
    }

    fn is_tried(&self, index: usize) -> bool {
        self.tried.iter().any(|tried| tried.index() == index)
    }

    /// Whether it may be chosen.
    fn is_open(&self, index: usize) -> bool {
        !self.is_tried(index)
            && self
                .shared(index)
                .is_some_and(|shared| self.all || shared.verdict().is_up())
            && (self.suspects || !self.is_avoided(index))
    }

    /// What hangs at a suspect endpoint finds out; with nothing there, one attempt does.
    fn is_avoided(&self, index: usize) -> bool {
        self.shared(index)
            .is_some_and(|shared| shared.is_suspect() && shared.working() > 0)
    }

    /// 0.1 to 1.0; where verdicts do not count, all are the same.
    fn weight(&self, index: usize) -> f64 {
        if self.all {
            return 1.0;
        }
        self.shared(index)
            .map_or(0.0, |shared| shared.verdict().weight(self.now))
    }

    fn is_starting_slowly(&self, index: usize) -> bool {
        let verdict = self.shared(index).map(EndpointShared::verdict);
        !self.all
            && matches!(
                verdict,
                Some(Verdict::Up {
                    slow_start: Some(_)
                })
            )
    }

    fn in_flight(&self, index: usize) -> u32 {
        self.shared(index).map_or(0, EndpointShared::in_flight)
    }
}

fn choose_least_loaded<C: Candidate>(
    field: &Field<'_, C>,
    rng: &mut Xoshiro256PlusPlus,
    latency: &Latency,
) -> Option<usize> {
    let first = draw(field, rng, None)?;
    let Some(second) = draw(field, rng, Some(first)) else {
        return Some(first);
    };
    // A slow start is a share of the draws, not a factor of the cost: with a factor, a newcomer that is
    // compared with idle endpoints would never win, and then win all at once.
    let first_admits = admits(field, rng, latency, first);
    match (first_admits, admits(field, rng, latency, second)) {
        (true, false) => return Some(first),
        (false, true) => return Some(second),
        (true, true) | (false, false) => (),
    }
    let cost = |index| latency.at(index, field.now) * (f64::from(field.in_flight(index)) + 1.0);
    Some(if cost(second) < cost(first) {
        second
    } else {
        first
    })
}

fn choose_in_turn<C: Candidate>(
    field: &Field<'_, C>,
    rng: &mut Xoshiro256PlusPlus,
    latency: Option<&Latency>,
    turn: &mut usize,
) -> Option<usize> {
    let mut passed_over = None;
    for step in 0..field.len() {
        let index = (*turn + step) % field.len();
        if !field.is_open(index) {
            continue;
        }
        if latency.is_none_or(|latency| admits(field, rng, latency, index)) {
            *turn = (index + 1) % field.len();
            return Some(index);
        }
        passed_over.get_or_insert(index);
    }
    let index = passed_over?;
    *turn = (index + 1) % field.len();
    Some(index)
}

/// Whether an endpoint takes what is offered to it: always, except in its slow start, and as far as it fails.
fn admits<C: Candidate>(
    field: &Field<'_, C>,
    rng: &mut Xoshiro256PlusPlus,
    latency: &Latency,
    index: usize,
) -> bool {
    let mut part = 1.0 - latency.failing(index, field.now);
    if field.is_starting_slowly(index) {
        part *= field.weight(index);
    }
    part >= 1.0 || share(rng) < part
}

/// A random endpoint that may be chosen and is not `except`.
fn draw<C: Candidate>(
    field: &Field<'_, C>,
    rng: &mut Xoshiro256PlusPlus,
    except: Option<usize>,
) -> Option<usize> {
    let fits = |index: usize| Some(index) != except && field.is_open(index);
    // Most endpoints are up most of the time: a few throws nearly always hit one.
    for _ in 0..4 {
        let index = below(rng, field.len());
        if fits(index) {
            return Some(index);
        }
    }
    let open = (0..field.len()).filter(|&index| fits(index)).count();
    let nth = below(rng, open);
    (0..field.len()).filter(|&index| fits(index)).nth(nth)
}

/// A random number below `bound` (0 for a bound of 0), without a division: the high half of a product.
fn below(rng: &mut Xoshiro256PlusPlus, bound: usize) -> usize {
    ((u128::from(rng.next_u64()) * bound as u128) >> 64) as usize
}

/// A random number in `0.0..1.0`: 53 bits, as many as an `f64` holds.
fn share(rng: &mut Xoshiro256PlusPlus) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::DownCause;

    const START: Instant = Instant::from_nanos(1_000_000_000);

    #[test]
    fn a_slow_endpoint_gets_little() {
        let endpoints = idle(3);
        let mut balancer = Balancer::new(Method::LeastLoaded, 3, 1);
        for index in 0..3 {
            balancer.on_response(
                EndpointId(index),
                Duration::from_millis(if index == 1 { 900 } else { 10 }),
                START,
            );
        }
        let counts = count(&mut balancer, &endpoints, START, 3_000);
        assert_eq!(counts[1], 0, "it loses each comparison: {counts:?}");
        assert!(counts[0] > 1_000 && counts[2] > 1_000, "{counts:?}");
    }

    #[test]
    fn without_health_an_endpoint_that_answers_nothing_fills_up_no_further_than_others() {
        let endpoints = idle(3);
        let mut balancer = Balancer::new(Method::LeastLoaded, 3, 1).without_health();
        let mut hanging = 0;
        // A hundred a second, answered after 20 ms; from the tenth second on the first endpoint answers nothing.
        for step in 0..4_000 {
            let now = START + Duration::from_millis(10 * step);
            let choice = balancer.choose(now, &endpoints, None, &[]).unwrap();
            if choice.endpoint == EndpointId(0) && step >= 1_000 {
                endpoints[0].begin();
                hanging += 1;
            } else {
                balancer.on_response(choice.endpoint, Duration::from_millis(20), now);
            }
        }
        assert!(hanging < 10, "{hanging}");
    }

    #[test]
    fn without_health_an_endpoint_that_is_down_is_chosen_too() {
        let endpoints = idle(2);
        endpoints[0].publish(Verdict::Down(DownCause::Connect));
        let mut balancer = Balancer::new(Method::RoundRobin, 2, 1).without_health();
        assert_eq!(count(&mut balancer, &endpoints, START, 100), [50, 50]);
        endpoints[1].publish(Verdict::Down(DownCause::Connect));
        let choice = balancer.choose(START, &endpoints, None, &[]).unwrap();
        assert!(!choice.panic, "nothing is overruled where nothing rules");
    }

    #[test]
    fn without_health_a_turn_is_a_turn_whatever_an_endpoint_does() {
        let endpoints = idle(4);
        let mut balancer = Balancer::new(Method::RoundRobin, 4, 1).without_health();
        for _ in 0..100 {
            balancer.on_failure(EndpointId(0), START);
        }
        assert_eq!(count(&mut balancer, &endpoints, START, 100), [25; 4]);
    }

    #[test]
    fn a_suspect_endpoint_has_one_attempt_at_a_time_unless_there_is_no_other() {
        let ring = Arc::new(Ring::new(["a", "b", "c"]));
        for method in [
            Method::LeastLoaded,
            Method::RoundRobin,
            Method::ConsistentHash(ring),
        ] {
            let endpoints = idle(3);
            endpoints[1].suspect(true);
            let mut balancer = Balancer::new(method, 3, 1);
            for _ in 0..300 {
                let choice = balancer.choose(START, &endpoints, None, &[]).unwrap();
                endpoints[choice.endpoint.index()].begin();
            }
            assert!(endpoints[1].in_flight() <= 1);
            let tried = [EndpointId(0), EndpointId(2)];
            let choice = balancer.choose(START, &endpoints, None, &tried).unwrap();
            assert_eq!(choice.endpoint, EndpointId(1));
            // What waits for its client finds nothing out.
            (0..endpoints[1].in_flight()).for_each(|_| endpoints[1].rest(true));
            assert!(count(&mut balancer, &endpoints, START, 300)[1] > 0);
            endpoints[1].on_head();
            let counts = count(&mut balancer, &endpoints, START, 300);
            assert!(counts[1] > 50, "{counts:?}");
        }
    }

    #[test]
    fn a_busy_endpoint_gets_less() {
        let endpoints = idle(2);
        for _ in 0..50 {
            endpoints[0].begin();
        }
        let mut balancer = Balancer::new(Method::LeastLoaded, 2, 1);
        assert_eq!(count(&mut balancer, &endpoints, START, 100), [0, 100]);
    }

    #[test]
    fn what_is_in_flight_spreads_evenly() {
        let endpoints = idle(10);
        let mut balancer = Balancer::new(Method::LeastLoaded, 10, 7);
        for _ in 0..1_000 {
            let choice = balancer.choose(START, &endpoints, None, &[]).unwrap();
            endpoints[choice.endpoint.index()].begin();
        }
        for endpoint in &endpoints {
            // The paper: the fullest of n is about ln ln n / ln 2 above the mean, here one or two.
            assert!(
                (95..=105).contains(&endpoint.in_flight()),
                "{}",
                endpoint.in_flight()
            );
        }
    }

    #[test]
    fn a_failure_is_not_taken_for_a_quick_answer() {
        let endpoints = idle(2);
        let mut balancer = Balancer::new(Method::LeastLoaded, 2, 1);
        balancer.on_response(EndpointId(0), Duration::from_millis(20), START);
        balancer.on_failure(EndpointId(1), START);
        assert_eq!(count(&mut balancer, &endpoints, START, 100), [100, 0]);
    }

    #[test]
    fn a_newcomer_gets_its_slow_share() {
        let endpoints = idle(2);
        endpoints[1].publish(Verdict::Up {
            slow_start: Some(START),
        });
        for method in [Method::LeastLoaded, Method::RoundRobin] {
            let mut balancer = Balancer::new(method, 2, 3);
            let counts = count(&mut balancer, &endpoints, START, 10_000);
            // A tenth of an even share, with room for chance; round robin gives a tenth of its turns.
            assert!((350..1_100).contains(&counts[1]), "{counts:?}");
            let later = count(
                &mut balancer,
                &endpoints,
                START + Duration::from_secs(20),
                10_000,
            );
            assert!(later[1] > 4_000, "{later:?}");
        }
    }

    #[test]
    fn round_robin_takes_each_in_turn_and_leaves_out_what_is_down() {
        let endpoints = idle(4);
        endpoints[2].publish(Verdict::Down(DownCause::Checks));
        let mut balancer = Balancer::new(Method::RoundRobin, 4, 1);
        assert_eq!(
            count(&mut balancer, &endpoints, START, 300),
            [100, 100, 0, 100]
        );
    }

    #[test]
    fn if_all_are_down_all_are_served_and_the_choice_says_so() {
        let endpoints = idle(3);
        for endpoint in &endpoints {
            endpoint.publish(Verdict::Down(DownCause::Connect));
        }
        for mut balancer in balancers(3) {
            let choice = balancer.choose(START, &endpoints, None, &[]).unwrap();
            assert!(choice.panic);
            assert!(
                count(&mut balancer, &endpoints, START, 300)
                    .iter()
                    .all(|&count| count > 0)
            );
        }
    }

    #[test]
    fn no_endpoint_is_no_choice() {
        for mut balancer in balancers(0) {
            assert_eq!(
                balancer.choose::<EndpointShared>(START, &[], None, &[]),
                None
            );
        }
    }

    proptest! {
        /// Safety, for every method: what is chosen was not tried, and is up, or half-open with a probe to
        /// give, unless the choice says that none is up. Liveness: as long as there is such an endpoint, one is chosen.
        #[test]
        fn every_choice_is_allowed(
            up in vec(any::<bool>(), 1..8),
            half_open in vec(0_u32..4, 8),
            load in vec(0_u32..4, 8),
            tried in vec(0_u32..8, 0..6),
            seed: u64,
        ) {
            let endpoints = idle(up.len());
            let mut probes = vec![0; up.len()];
            for (index, (endpoint, (&up, &load))) in endpoints.iter().zip(up.iter().zip(&load)).enumerate() {
                match half_open[index] {
                    _ if up => (),
                    0 => endpoint.publish(Verdict::Down(DownCause::Checks)),
                    granted => {
                        endpoint.transit(Verdict::HalfOpen);
                        endpoint.grant(granted - 1);
                        probes[index] = granted - 1;
                    }
                }
                for _ in 0..load {
                    endpoint.begin();
                }
            }
            let tried = tried.into_iter().map(EndpointId).collect::<Vec<_>>();
            let panic = !up.contains(&true);
            let open = |index: usize| (panic || up[index]) && !tried.contains(&EndpointId(index as u32));
            for mut balancer in balancers_seeded(up.len(), seed) {
                match balancer.choose(START, &endpoints, Some(seed), &tried) {
                    Some(choice) => {
                        let index = choice.endpoint.index();
                        let probe = !open(index);
                        prop_assert!(!probe || (probes[index] > 0 && tried.is_empty()));
                        probes[index] -= u32::from(probe);
                        prop_assert_eq!(choice.panic, panic);
                    }
                    None => prop_assert!(!(0..up.len()).any(open)),
                }
            }
        }
    }

    fn idle(count: usize) -> Vec<EndpointShared> {
        (0..count).map(|_| EndpointShared::new()).collect()
    }

    fn balancers(endpoints: usize) -> [Balancer; 3] {
        balancers_seeded(endpoints, 5)
    }

    fn balancers_seeded(endpoints: usize, seed: u64) -> [Balancer; 3] {
        let names = (0..endpoints)
            .map(|index| format!("http://10.0.0.{index}:80"))
            .collect::<Vec<_>>();
        let ring = Arc::new(Ring::new(names.iter().map(String::as_str)));
        [
            Method::LeastLoaded,
            Method::RoundRobin,
            Method::ConsistentHash(ring),
        ]
        .map(|method| Balancer::new(method, endpoints, seed))
    }

    /// How often each endpoint is chosen; nothing stays in flight.
    fn count(
        balancer: &mut Balancer,
        endpoints: &[EndpointShared],
        now: Instant,
        times: usize,
    ) -> Vec<usize> {
        let mut counts = vec![0; endpoints.len()];
        for _ in 0..times {
            counts[balancer
                .choose(now, endpoints, None, &[])
                .unwrap()
                .endpoint
                .index()] += 1;
        }
        counts
    }
}
