//! Goal: neither failing fast nor being slow attracts calls, and probes are all that a half-open endpoint
//! gets. Method: an open loop of calls in virtual time over endpoints of given latencies, with nothing but the
//! balancer between them: no breaker, no ejection.

use std::collections::BTreeMap;

use super::*;

#[test]
fn an_endpoint_that_fails_in_a_millisecond_gets_little() {
    // At any load: also where the others take longer than a failure counts for, or are full.
    for (millis, per_second) in [
        (10, 30),
        (10, 1_000),
        (200, 1_000),
        (2_000, 200),
        (5_000, 20),
    ] {
        for method in [Method::LeastLoaded, Method::RoundRobin] {
            let endpoints = [
                Shape::fails(1),
                Shape::answers(millis),
                Shape::answers(millis),
            ];
            let shares = shares(method, &endpoints, per_second);
            assert!(shares[0] < 0.15, "{millis} ms, {per_second}/s: {shares:?}");
        }
    }
}

#[test]
fn an_endpoint_that_fails_half_gets_less_than_its_share() {
    let mut half = Shape::answers(2);
    half.fails_each = 2;
    let shares = shares(
        Method::LeastLoaded,
        &[half, Shape::answers(20), Shape::answers(20)],
        500,
    );
    assert!(shares[0] < 0.15, "{shares:?}");
}

#[test]
fn where_all_fail_all_get_their_share() {
    let shares = shares(Method::LeastLoaded, &[Shape::fails(1); 3], 500);
    assert!(shares.iter().all(|&share| share > 0.2), "{shares:?}");
}

#[test]
fn an_endpoint_ten_times_as_slow_gets_a_tenth_of_a_share() {
    for (millis, per_second) in [(10, 30), (10, 600), (100, 300)] {
        let endpoints = [
            Shape::answers(millis * 10),
            Shape::answers(millis),
            Shape::answers(millis),
        ];
        let shares = shares(Method::LeastLoaded, &endpoints, per_second);
        assert!(shares[0] < 0.06, "{millis} ms, {per_second}/s: {shares:?}");
    }
}

#[test]
fn a_half_open_endpoint_gets_its_probes_and_no_more() {
    let endpoints = [(); 3].map(|()| EndpointShared::new());
    endpoints[1].transit(Verdict::HalfOpen);
    endpoints[1].grant(2);
    for method in [Method::LeastLoaded, Method::RoundRobin] {
        let mut balancer = Balancer::new(method, 3, 5);
        let mut now = Instant::from_nanos(1_000_000_000);
        let mut probes = 0;
        for _ in 0..1_000 {
            now += Duration::from_millis(1);
            let tried = [EndpointId(0)];
            let choice = balancer.choose(now, &endpoints, None, &tried).unwrap();
            assert_eq!(choice.endpoint, EndpointId(2), "a second try is no probe");
            let choice = balancer.choose(now, &endpoints, None, &[]).unwrap();
            probes += u32::from(choice.endpoint == EndpointId(1));
        }
        assert_eq!(probes, 2);
        endpoints[1].grant(2);
    }
}

#[derive(Clone, Copy)]
struct Shape {
    millis: u64,
    /// Each so many calls, one fails; 0 = none.
    fails_each: u64,
}

impl Shape {
    fn answers(millis: u64) -> Self {
        Self {
            millis,
            fails_each: 0,
        }
    }

    fn fails(millis: u64) -> Self {
        Self {
            millis,
            fails_each: 1,
        }
    }
}

/// The share of calls that each endpoint got over a minute.
fn shares(method: Method, shapes: &[Shape], per_second: u64) -> Vec<f64> {
    let endpoints = shapes
        .iter()
        .map(|_| EndpointShared::new())
        .collect::<Vec<_>>();
    let mut balancer = Balancer::new(method, shapes.len(), 11);
    let mut counts = vec![0_u64; shapes.len()];
    let mut ends = BTreeMap::<(Instant, u64), (usize, bool)>::new();
    let calls = per_second * 60;
    for call in 0..calls {
        let now = Instant::from_nanos(1_000_000_000 + call * 1_000_000_000 / per_second);
        while let Some(entry) = ends.first_entry()
            && entry.key().0 <= now
        {
            let ((at, _), (index, failed)) = entry.remove_entry();
            let (endpoint, shape) = (EndpointId(index as u32), shapes[index]);
            endpoints[index].end();
            match failed {
                true => balancer.on_failure(endpoint, at),
                false => balancer.on_response(endpoint, Duration::from_millis(shape.millis), at),
            }
        }
        let choice = balancer.choose(now, &endpoints, None, &[]).unwrap();
        let index = choice.endpoint.index();
        counts[index] += 1;
        endpoints[index].begin();
        let shape = shapes[index];
        let failed = shape.fails_each > 0 && counts[index].is_multiple_of(shape.fails_each);
        ends.insert(
            (now + Duration::from_millis(shape.millis), call),
            (index, failed),
        );
    }
    counts
        .iter()
        .map(|&count| count as f64 / calls as f64)
        .collect()
}
