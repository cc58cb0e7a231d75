//! Shares and bounds under load: a service of fixed speed, open arrivals, a step each millisecond.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core::Class;

use super::super::{AdmissionParameters, Admitted, Arriving, Completion};
use super::world::{Fate, World};
use super::{fixed, request};

/// Permits, and how long the service takes: 400 requests per second.
const LIMIT: u32 = 4;
const SERVICE: Duration = Duration::from_millis(10);
/// Milliseconds that rates and queues are given to settle.
const WARM: u64 = 1_000;
const SECONDS: u64 = 5;

/// Requests of one kind, at so many per second, on this thread.
#[derive(Clone, Copy, Debug)]
struct Source {
    thread: usize,
    per_second: u64,
    request: Arriving,
}

/// What became of a source's requests after the warm-up.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    offered: u64,
    went: u64,
}

impl Sum {
    fn share(self) -> f64 {
        self.went as f64 / self.offered.max(1) as f64
    }
}

/// Offers what `sources` say; the answer is by class and tenant.
fn run(
    threads: usize,
    parameters: AdmissionParameters,
    sources: &[Source],
) -> BTreeMap<(usize, u64), Sum> {
    let mut world = World::new(threads, parameters);
    let mut sums: BTreeMap<(usize, u64), Sum> = BTreeMap::new();
    for step in 0..WARM + SECONDS * 1_000 {
        let counts = step >= WARM;
        world.pass(Duration::from_millis(1));
        while let Some(index) = world
            .running
            .iter()
            .position(|it| world.now - it.since >= SERVICE)
        {
            world.finish(index, Completion::Success);
        }
        for source in sources {
            let due = |step: u64| step * source.per_second / 1_000;
            for _ in due(step)..due(step + 1) {
                let answer = world.arrive(source.thread % threads, source.request);
                let sum = sums.entry(key(&source.request)).or_default();
                sum.offered += u64::from(counts);
                sum.went += u64::from(counts && answer == Admitted::Go);
            }
        }
        world.deliver_all();
        if step % 10 == 0 {
            for thread in 0..threads {
                world.expire(thread);
            }
            world.tick();
            world.deliver_all();
        }
        for (request, fate) in std::mem::take(&mut world.fates) {
            let sum = sums.entry(key(&request)).or_default();
            sum.went += u64::from(counts && fate == Fate::Went);
        }
    }
    sums
}

fn key(request: &Arriving) -> (usize, u64) {
    (request.class.index(), request.tenant)
}

fn source(thread: usize, per_second: u64, request: Arriving) -> Source {
    Source {
        thread,
        per_second,
        request,
    }
}

#[test]
fn a_flood_of_one_tenant_leaves_the_others_their_share() {
    // The last one's hash points to the place of the one that floods.
    let tenants = [2, 3, 4, 1 + (1 << 32)];
    for threads in 1..=3 {
        let mut sources = vec![source(0, 4_000, request(Class::Standard, 1))];
        for (thread, tenant) in tenants.into_iter().enumerate() {
            // A fair share is 80/s.
            let request = request(Class::Standard, tenant);
            sources.push(source(thread, 60, request));
        }
        let sums = run(threads, fixed(LIMIT), &sources);
        for tenant in tenants {
            let share = sums[&(Class::Standard.index(), tenant)].share();
            assert!(
                share >= 0.99,
                "{threads} threads: {share} of tenant {tenant}"
            );
        }
        let went: u64 = sums.values().map(|it| it.went).sum();
        assert!(went >= SECONDS * 390, "{threads} threads: {went} in all");
    }
}

#[test]
fn tenants_that_all_want_more_share_by_weight() {
    for threads in 1..=2 {
        let mut heavy = request(Class::Standard, 2);
        heavy.weight = 3.0;
        let sources = [
            source(0, 1_500, request(Class::Standard, 1)),
            source(1, 1_500, heavy),
        ];
        let sums = run(threads, fixed(LIMIT), &sources);
        let went = |tenant| sums[&(Class::Standard.index(), tenant)].went as f64;
        let ratio = went(2) / went(1);
        assert!((2.7..=3.3).contains(&ratio), "{threads} threads: {ratio}");
    }
}

#[test]
fn the_highest_class_never_starves() {
    for (threads, requests_max) in [(1, 1_024), (3, 1_024), (1, 10), (3, 40)] {
        let parameters = AdmissionParameters {
            requests_max,
            ..fixed(LIMIT)
        };
        let sources = [
            source(0, 2_000, request(Class::Sheddable, 1)),
            source(0, 2_000, request(Class::Standard, 2)),
            source(1, 120, request(Class::Critical, 3)),
        ];
        let sums = run(threads, parameters, &sources);
        let share = sums[&(Class::Critical.index(), 3)].share();
        assert!(
            share >= 0.999,
            "{threads} threads, {requests_max} may wait: {share}"
        );
    }
}

#[test]
fn below_capacity_nobody_is_refused() {
    for threads in 1..=2 {
        let sources = [
            source(0, 250, request(Class::Sheddable, 1)),
            source(1, 60, request(Class::Critical, 2)),
        ];
        for (key, sum) in run(threads, fixed(LIMIT), &sources) {
            assert!(sum.went + 4 >= sum.offered, "{key:?}: {sum:?}");
        }
    }
}
