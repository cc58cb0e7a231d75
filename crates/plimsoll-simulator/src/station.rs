//! The service in the simulation: takes requests, holds them, answers some.
//!
//! What the gateway has given up stays here and takes its share, the harsh case, unless the service drops what waits
//! for nobody. Units: nanoseconds.
//! Invariant: no more workers work than there are, except those that go on after some were taken away.

mod freeze;
mod heap;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::agenda::{Agenda, NEVER, Nanos, Work};
use crate::random::{Spread, Stream};
use crate::service::{Server, Service, speed};
use crate::station::freeze::Freezes;
use crate::station::heap::Heap;

/// How long a request takes that fails at once.
const FAILURE: Nanos = 1_000_000;
/// Nanoseconds in a millisecond.
const MILLISECOND: f64 = 1e6;

/// The service in the simulation.
#[derive(Debug)]
pub(crate) struct Station {
    service: Service,
    random: Stream,
    /// Workers that work, and who waits for one.
    busy: u32,
    waiting: VecDeque<u32>,
    frozen: Freezes,
    /// Requests that share the server, each with the work at which it is done.
    sharing: BinaryHeap<Reverse<(Nanos, u32)>>,
    /// How many are through with that and stay.
    staying: usize,
    /// The mean work of one, in milliseconds: what it takes alone, before anything changes.
    alone: f64,
    /// The work that each of them has got so far, in nanoseconds of a request that is alone.
    work: f64,
    work_at: Nanos,
    /// When the next of them is done.
    shared_done: Nanos,
    /// How many requests its cache has seen since it was empty.
    cached: f64,
    /// How many requests it has begun with since it was started.
    begun: f64,
    /// The part of its work that there is to do, while what is optional is left out.
    lean: f64,
    heap: Heap,
}

impl Station {
    pub(crate) fn new(service: &Service, seed: u64) -> Self {
        Self {
            service: *service,
            random: Stream::new(seed, "service"),
            busy: 0,
            waiting: VecDeque::new(),
            frozen: Freezes::default(),
            sharing: BinaryHeap::new(),
            staying: 0,
            alone: match service.server {
                Server::Pool { mean, .. } | Server::Shared { mean, .. } => mean,
            },
            work: 0.0,
            work_at: 0,
            shared_done: NEVER,
            cached: f64::INFINITY,
            begun: f64::INFINITY,
            lean: 1.0,
            heap: Heap::default(),
        }
    }

    /// Its cache is empty.
    /// From now on, so much of the work is to be done of each request that begins.
    pub(crate) fn lean(&mut self, part: f64) {
        self.lean = part;
    }

    pub(crate) fn cool(&mut self) {
        self.cached = 0.0;
    }

    /// A request comes. Says whether the service will ever be through with it.
    pub(crate) fn enter<E: From<Work>>(
        &mut self,
        now: Nanos,
        id: u32,
        group: u8,
        agenda: &mut Agenda<E>,
    ) -> bool {
        if group == 1 {
            let mean = self.service.slow_group * MILLISECOND;
            let done = now + Spread::Exponential.draw(mean, &mut self.random);
            agenda.note(done, Work::Answered(id));
            return true;
        }
        if self.random.chance(self.service.hanging) {
            return false;
        }
        if self.random.chance(self.service.failing) {
            let begins = self.frozen.begin(now, id);
            agenda.note(begins + FAILURE, Work::Failed(id));
            return true;
        }
        self.allocate(now);
        match self.service.server {
            Server::Pool { workers, .. } => {
                if self.busy < workers {
                    self.begin(now, id, agenda);
                } else {
                    self.waiting.push_back(id);
                }
            }
            Server::Shared { .. } => {
                self.advance(now);
                let mean = self.alone * MILLISECOND * self.slowness();
                let needs = Spread::Exponential.draw(mean, &mut self.random);
                let done = self.work as Nanos + needs;
                self.sharing.push(Reverse((done, id)));
                self.plan(now);
            }
        }
        true
    }

    /// Nobody waits for a request any more. Says whether it is dropped; of one that is not, an event will come.
    pub(crate) fn cancel(&mut self, id: u32) -> bool {
        if !self.service.cancels {
            return false;
        }
        let waits = self.waiting.iter().position(|waiting| *waiting == id);
        waits.and_then(|at| self.waiting.remove(at)).is_some()
    }

    /// A worker is through with a request. Says whether it is answered now; else it will be.
    pub(crate) fn served<E: From<Work>>(
        &mut self,
        now: Nanos,
        id: u32,
        agenda: &mut Agenda<E>,
    ) -> bool {
        if self.put_off(now, Work::Served(id), agenda) {
            return false;
        }
        self.leave(now, agenda);
        match self.service.dependency {
            Some(dependency) if !dependency.holds_worker => {
                let takes = self.dependency_time();
                agenda.note(now + takes, Work::Answered(id));
                false
            }
            _ => true,
        }
    }

    /// A request would be through, or fail, but nothing was worked on for a while: it will be later, as is noted.
    pub(crate) fn put_off<E: From<Work>>(
        &mut self,
        now: Nanos,
        work: Work,
        agenda: &mut Agenda<E>,
    ) -> bool {
        let (Work::Served(id) | Work::Answered(id) | Work::Failed(id)) = work;
        let frozen = self.frozen.owes(id).map(|owed| now.saturating_add(owed));
        let later = match work {
            Work::Served(_) => frozen.or_else(|| self.heap.owes(now, id)),
            Work::Answered(_) | Work::Failed(_) => frozen,
        };
        if let Some(later) = later {
            agenda.note(later, work);
        }
        later.is_some()
    }

    /// A request has what it waited for elsewhere: when something is worked on again, if nothing is now.
    pub(crate) fn thaws(&mut self, now: Nanos, id: u32) -> Option<Nanos> {
        let until = self.idle_until();
        (now < until).then(|| self.frozen.begin(now, id).max(until))
    }

    /// A request that shared the server stays until it has left, though it takes no more work.
    pub(crate) fn stay(&mut self) {
        self.staying += 1;
    }

    /// A request leaves that has a worker, or has stayed.
    pub(crate) fn leave<E: From<Work>>(&mut self, now: Nanos, agenda: &mut Agenda<E>) {
        if matches!(self.service.server, Server::Pool { .. }) {
            self.busy -= 1;
            self.fill(now, agenda);
        } else {
            self.staying -= 1;
        }
    }

    /// Whether it drops what nobody waits for.
    pub(crate) fn cancels(&self) -> bool {
        self.service.cancels
    }

    /// When [`Station::take_shared`] has something.
    pub(crate) fn shared_done(&self) -> Nanos {
        self.shared_done
    }

    /// The request of those that share the server that is done now.
    pub(crate) fn take_shared(&mut self, now: Nanos) -> Option<u32> {
        self.advance(now);
        let Reverse((done, id)) = self.sharing.pop()?;
        // What was rounded on the way here.
        self.work = self.work.max(done as f64);
        self.plan(now);
        Some(id)
    }

    /// The service changes. What its workers have begun goes on as it was; what shares the server goes on as the server is
    /// from now on: else requests that a slow one had taken on would be slow for long after it is well again.
    pub(crate) fn change<E: From<Work>>(
        &mut self,
        now: Nanos,
        service: &Service,
        agenda: &mut Agenda<E>,
    ) {
        self.advance(now);
        self.service = *service;
        self.plan(now);
        self.fill(now, agenda);
    }

    /// Nothing is worked on from now on, for this long at least.
    pub(crate) fn freeze(&mut self, now: Nanos, lasts: Nanos) {
        self.advance(now);
        self.frozen.freeze(now, lasts);
        self.plan(now);
    }

    /// It is gone, with all that it had: gives those of its requests that no event was noted for.
    pub(crate) fn crash(&mut self, now: Nanos) -> Vec<u32> {
        self.advance(now);
        self.cool();
        self.frozen.forget();
        self.begun = 0.0;
        self.heap = Heap::default();
        (self.busy, self.staying) = (0, 0);
        let sharing = std::mem::take(&mut self.sharing).into_iter();
        let lost = self.waiting.drain(..);
        let lost = lost.chain(sharing.map(|Reverse((_, id))| id)).collect();
        self.plan(now);
        lost
    }

    /// Whether it holds more than fits in its memory: it is to be killed.
    pub(crate) fn is_over(&self) -> bool {
        self.heap.is_over()
    }

    /// How many requests are here, apart from those at a dependency.
    pub(crate) fn len(&self) -> usize {
        self.busy as usize + self.waiting.len() + self.sharing.len() + self.staying
    }

    /// Gives work to workers that have none.
    fn fill<E: From<Work>>(&mut self, now: Nanos, agenda: &mut Agenda<E>) {
        while let Server::Pool { workers, .. } = self.service.server
            && self.busy < workers
            && let Some(next) = self.waiting.pop_front()
        {
            self.begin(now, next, agenda);
        }
    }

    fn begin<E: From<Work>>(&mut self, now: Nanos, id: u32, agenda: &mut Agenda<E>) {
        let Server::Pool { mean, spread, .. } = self.service.server else {
            return;
        };
        self.busy += 1;
        let mean = mean * MILLISECOND * self.slowness();
        let mut takes = spread.draw(mean, &mut self.random);
        if let Some(cache) = self.service.cache {
            if self.random.chance(cache.misses(self.cached)) {
                let miss = cache.miss * MILLISECOND;
                takes += Spread::Exponential.draw(miss, &mut self.random);
            }
            self.cached += 1.0;
        }
        if self.service.dependency.is_some_and(|it| it.holds_worker) {
            takes += self.dependency_time();
        }
        // What begins while nothing is worked on begins after it.
        let from = self.frozen.begin(now, id);
        let through = match self.service.memory {
            Some(_) => self.heap.begin(from, id, takes),
            None => from.saturating_add(takes),
        };
        agenda.note(through, Work::Served(id));
    }

    /// A request that comes takes memory. What is too much while all is frozen is found by the first that comes after that.
    fn allocate(&mut self, now: Nanos) {
        let Some(memory) = self.service.memory else {
            return;
        };
        self.heap.take(&memory);
        if now >= self.frozen.until() {
            self.advance(now);
            self.heap.collect(now, &memory, self.len() + 1);
            self.plan(now);
        }
    }

    /// How many times as long the next request takes, since it was started or what is optional is left out. Counts it.
    fn slowness(&mut self) -> f64 {
        let Some(warming) = self.service.warming else {
            return self.lean;
        };
        self.begun += 1.0;
        warming.slowness(self.begun - 1.0) * self.lean
    }

    /// Until when nothing is worked on.
    fn idle_until(&self) -> Nanos {
        self.frozen.until().max(self.heap.until())
    }

    fn dependency_time(&mut self) -> Nanos {
        let Some(dependency) = self.service.dependency else {
            return 0;
        };
        match dependency.slow {
            Some((share, slow)) if self.random.chance(share) => (slow * MILLISECOND) as Nanos,
            _ => dependency
                .spread
                .draw(dependency.mean * MILLISECOND, &mut self.random),
        }
    }

    /// How fast each of those goes that share the server.
    fn shared_speed(&self) -> f64 {
        match self.service.server {
            Server::Shared { mean, alpha, beta } => {
                speed(self.sharing.len().max(1) as f64, alpha, beta) * (self.alone / mean)
            }
            Server::Pool { .. } => 1.0,
        }
    }

    /// Gives those that share the server the work of the time that has passed.
    fn advance(&mut self, now: Nanos) {
        let from = self.work_at.max(self.idle_until().min(now));
        self.work += now.saturating_sub(from) as f64 * self.shared_speed();
        self.work_at = now;
    }

    fn plan(&mut self, now: Nanos) {
        self.shared_done = match self.sharing.peek() {
            Some(Reverse((done, _))) => {
                let left = (*done as f64 - self.work).max(0.0) / self.shared_speed();
                now.max(self.idle_until()).saturating_add(left as Nanos + 1)
            }
            None => NEVER,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agenda::{Event, SECOND};
    use crate::service::Cache;

    /// Keeps `n` requests in a station for a while; gives completions per second.
    pub(super) fn throughput(service: &Service, n: u32, seconds: u64) -> f64 {
        let mut station = Station::new(service, 3);
        let mut agenda: Agenda = Agenda::default();
        let mut done = 0_u32;
        for id in 0..n {
            station.enter(0, id, 0, &mut agenda);
        }
        loop {
            let now = agenda.next().min(station.shared_done());
            if now >= seconds * SECOND {
                return f64::from(done) / seconds as f64;
            }
            let id = if station.shared_done() <= now {
                station.take_shared(now).unwrap()
            } else {
                match agenda.take().unwrap() {
                    Event::Work(Work::Served(id)) if !station.served(now, id, &mut agenda) => {
                        continue;
                    }
                    Event::Work(Work::Served(id)) | Event::Work(Work::Answered(id)) => id,
                    other => panic!("{other:?}"),
                }
            };
            done += 1;
            station.enter(now, id, 0, &mut agenda);
        }
    }

    #[track_caller]
    fn check(service: &Service, n: u32, expected: f64) {
        let measured = throughput(service, n, 60);
        assert!((measured / expected - 1.0).abs() < 0.03, "{measured}");
    }

    #[test]
    fn a_pool_has_the_throughput_of_its_closed_form() {
        let pool = Service::pool(16, 20.0, Spread::Exponential);
        check(&pool, 8, 400.0);
        check(&pool, 16, 800.0);
        check(&pool, 100, 800.0);
        check(
            &Service::pool(4, 5.0, Spread::Exponential).calling(120.0),
            60,
            60.0 / 0.125,
        );
        check(
            &Service::pool(32, 5.0, Spread::Exponential)
                .calling(60.0)
                .holding(),
            64,
            32.0 / 0.065,
        );
    }

    #[test]
    fn a_shared_server_follows_the_scalability_law() {
        let shared = Service::shared(0.000_6);
        check(&shared, 1, 50.0);
        check(&shared, 40, shared.capacity());
        let at_200 = 200.0 / 0.020 * speed(200.0, 0.01, 0.000_6);
        check(&shared, 200, at_200);
    }

    #[test]
    fn what_a_slow_server_has_begun_is_as_fast_as_ever_once_it_is_well() {
        let well = Service::shared(0.000_6);
        let slow = Service {
            server: Server::Shared {
                mean: 2_000.0,
                alpha: 0.01,
                beta: 0.000_6,
            },
            ..well
        };
        let mut agenda: Agenda = Agenda::default();
        let ends = |station: &mut Station| {
            let mut end = 0;
            while station.shared_done() != NEVER {
                end = station.shared_done();
                station.take_shared(end).unwrap();
            }
            end
        };
        let mut take = |changes: &[(Nanos, Service)]| {
            let mut station = Station::new(&well, 3);
            for (at, service) in changes {
                station.change(*at, service, &mut agenda);
            }
            for id in 0..40 {
                station.enter(0, id, 0, &mut agenda);
            }
            station
        };
        let usual = ends(&mut take(&[]));
        let mut station = take(&[(0, slow)]);
        assert!(station.shared_done() > 50 * take(&[]).shared_done());
        station.change(SECOND / 100, &well, &mut agenda);
        let end = ends(&mut station);
        assert!(
            (usual..usual + SECOND / 100).contains(&end),
            "{end}, {usual}"
        );
    }

    #[test]
    fn nothing_is_worked_on_while_frozen_and_all_of_it_after() {
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(&Service::pool(1, 20.0, Spread::Constant), 1);
        station.enter(0, 0, 0, &mut agenda);
        station.enter(0, 1, 0, &mut agenda);
        station.freeze(5_000_000, SECOND);
        let mut done = Vec::new();
        while let (now, Some(Event::Work(Work::Served(id)))) = (agenda.next(), agenda.take()) {
            if station.served(now, id, &mut agenda) {
                done.push((id, now));
            }
        }
        assert_eq!(done, [(0, SECOND + 20_000_000), (1, SECOND + 40_000_000)]);
        assert_eq!(station.len(), 0);
    }

    /// When a request of 20 ms is through that came first, and one that came at this time, in milliseconds.
    fn frozen(service: &Service, freezes: &[(u64, u64)], second: u64) -> Vec<u64> {
        const MS: Nanos = 1_000_000;
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(service, 1);
        station.enter(0, 0, 0, &mut agenda);
        let mut done = Vec::new();
        let mut advance = |station: &mut Station, agenda: &mut Agenda, until: Nanos| {
            while agenda.next() < until {
                let now = agenda.next();
                let ends = match agenda.take().unwrap() {
                    Event::Work(Work::Served(id)) => station.served(now, id, agenda),
                    Event::Work(work @ Work::Failed(_)) => !station.put_off(now, work, agenda),
                    other => panic!("{other:?}"),
                };
                done.extend(ends.then_some(now / MS));
            }
        };
        for &(at, lasts) in freezes {
            advance(&mut station, &mut agenda, at * MS);
            station.freeze(at * MS, lasts * MS);
        }
        advance(&mut station, &mut agenda, second * MS);
        station.enter(second * MS, 1, 0, &mut agenda);
        advance(&mut station, &mut agenda, NEVER);
        done
    }

    #[test]
    fn freezes_that_overlap_end_with_the_last_of_them() {
        let service = Service::pool(2, 20.0, Spread::Constant);
        // The second ends first.
        assert_eq!(frozen(&service, &[(5, 100), (50, 10)], 70), [120, 125]);
        // The second goes on, before and after the first request was put off.
        assert_eq!(frozen(&service, &[(5, 100), (10, 145)], 70), [170, 175]);
        assert_eq!(frozen(&service, &[(5, 100), (50, 105)], 70), [170, 175]);
        // What is not due before it ends is put off all the same.
        assert_eq!(frozen(&service, &[(5, 10), (40, 5)], 70), [30, 90]);
    }

    #[test]
    fn who_shares_a_frozen_server_waits_for_the_last_freeze() {
        let mut station = Station::new(&Service::shared(0.000_6), 1);
        station.freeze(0, 10 * SECOND);
        station.freeze(SECOND, SECOND);
        let mut agenda: Agenda = Agenda::default();
        station.enter(3 * SECOND, 0, 0, &mut agenda);
        assert!(station.shared_done() > 10 * SECOND);
    }

    #[test]
    fn what_is_frozen_does_not_fail_before_it_thaws() {
        let mut service = Service::pool(2, 20.0, Spread::Constant);
        service.failing = 1.0;
        assert_eq!(frozen(&service, &[(0, 100)], 50), [101, 101]);
    }

    #[test]
    fn what_waits_for_nobody_is_dropped_and_what_is_worked_on_is_not() {
        let mut service = Service::pool(1, 20.0, Spread::Constant);
        for cancels in [false, true] {
            service.cancels = cancels;
            let mut agenda: Agenda = Agenda::default();
            let mut station = Station::new(&service, 1);
            for id in 0..3 {
                station.enter(0, id, 0, &mut agenda);
            }
            assert_eq!([0, 1].map(|id| station.cancel(id)), [false, cancels]);
            let mut done = Vec::new();
            while let (now, Some(Event::Work(Work::Served(id)))) = (agenda.next(), agenda.take()) {
                station.served(now, id, &mut agenda);
                done.push(id);
            }
            assert_eq!(done, if cancels { vec![0, 2] } else { vec![0, 1, 2] });
        }
    }

    #[test]
    fn a_cache_fills_again_after_it_was_emptied() {
        let cached = |workers| Service {
            cache: Some(Cache {
                hit: 0.9,
                miss: 100.0,
                fill: 500.0,
            }),
            ..Service::pool(workers, 10.0, Spread::Constant)
        };
        // Warm: 10 ms and a tenth of 100 ms.
        assert_eq!(cached(32).capacity(), 1_600.0);
        check(&cached(32), 32, 1_600.0);
        let service = cached(1);
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(&service, 1);
        station.cool();
        let (mut at, mut ends) = (0, Vec::new());
        for id in 0..3_000 {
            station.enter(at, id, 0, &mut agenda);
            at = agenda.next();
            assert_eq!(agenda.take(), Some(Event::Work(Work::Served(id))));
            station.served(at, id, &mut agenda);
            ends.push(at);
        }
        let mean =
            |from: usize, to: usize| (ends[to] - ends[from]) as f64 / (to - from) as f64 / 1e6;
        assert!(mean(0, 100) > 90.0, "{}", mean(0, 100));
        assert!(mean(2_500, 2_999) < 30.0, "{}", mean(2_500, 2_999));
    }

    #[test]
    fn workers_that_are_added_take_what_waits() {
        let mut agenda: Agenda = Agenda::default();
        let mut station = Station::new(&Service::pool(1, 20.0, Spread::Constant), 1);
        for id in 0..4 {
            station.enter(0, id, 0, &mut agenda);
        }
        station.change(0, &Service::pool(4, 20.0, Spread::Constant), &mut agenda);
        let together = std::iter::from_fn(|| {
            let at = agenda.next();
            agenda.take().map(|_| at)
        });
        assert_eq!(together.collect::<Vec<_>>(), [20_000_000; 4]);
    }
}
