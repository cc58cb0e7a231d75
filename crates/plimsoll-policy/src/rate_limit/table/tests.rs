//! The table's promises: limits hold over any sequence, on any number of threads, under floods and clock jumps.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_nanos(1_000_000_000_000);

#[test]
fn a_quiet_key_has_its_burst_and_then_its_rate() {
    let (table, limit) = (RateTable::new(64), limit(10.0, 3));
    for remaining in [2, 1, 0] {
        let decision = table.check(START, &one(7, &limit));
        assert!(decision.is_allowed());
        assert_eq!((decision.remaining, decision.burst), (remaining, 3));
    }
    let decision = table.check(START, &one(7, &limit));
    assert_eq!(decision.retry_after(), Some(Duration::from_millis(100)));
    assert_eq!(decision.reset_after, Duration::from_millis(300));
    let early = START + Duration::from_nanos(99_999_999);
    assert!(!table.check(early, &one(7, &limit)).is_allowed());
    let later = START + Duration::from_millis(100);
    assert!(table.check(later, &one(7, &limit)).is_allowed());
}

#[test]
fn a_cost_above_the_burst_is_impossible_and_takes_nothing() {
    let (table, limit) = (RateTable::new(64), limit(10.0, 3));
    let decision = table.check(START, &cost(7, &limit, 4));
    assert_eq!(decision.verdict, RateVerdict::Impossible);
    assert_eq!(decision.retry_after(), None);
    assert_eq!(decision.remaining, 3);
    let all = table.check(START, &cost(7, &limit, u32::MAX));
    assert_eq!(all.verdict, RateVerdict::Impossible);
    assert!(table.check(START, &cost(7, &limit, 3)).is_allowed());
}

#[test]
fn a_cost_of_nothing_is_always_allowed() {
    let (table, limit) = (RateTable::new(64), limit(10.0, 1));
    let _ = table.check(START, &one(7, &limit));
    assert!(!table.check(START, &one(7, &limit)).is_allowed());
    assert!(table.check(START, &cost(7, &limit, 0)).is_allowed());
}

#[test]
fn the_same_key_has_a_meter_under_each_limit() {
    let (table, limit) = (RateTable::new(64), limit(1.0, 1));
    let charge = |index| Charge {
        index,
        ..one(7, &limit)
    };
    assert!(table.check(START, &charge(0)).is_allowed());
    assert!(table.check(START, &charge(1)).is_allowed());
    assert!(!table.check(START, &charge(0)).is_allowed());
}

#[test]
fn where_one_limit_refuses_none_is_charged() {
    let table = RateTable::new(64);
    let (wide, narrow) = (limit(1.0, 10), limit(1.0, 1));
    let both = [
        one(7, &wide),
        Charge {
            index: 1,
            ..one(7, &narrow)
        },
    ];
    let mut decisions = Vec::new();
    assert!(table.check_all(START, &both, &mut decisions));
    assert_eq!(decisions[0].remaining, 9);
    assert!(!table.check_all(START, &both, &mut decisions));
    assert!(!decisions[1].is_allowed());
    assert_eq!(table.look(START, &cost(7, &wide, 0)).remaining, 9);
}

#[test]
fn what_was_charged_before_a_limit_refused_is_given_back() {
    let table = RateTable::new(64);
    let limit = limit(1.0, 3);
    // The same meter twice: each look sees room for two, and the second charge finds one. As in a race.
    let twice = [cost(7, &limit, 2), cost(7, &limit, 2)];
    let mut decisions = Vec::new();
    assert!(!table.check_all(START, &twice, &mut decisions));
    assert!(!decisions[1].is_allowed());
    assert_eq!(table.look(START, &cost(7, &limit, 0)).remaining, 3);
}

#[test]
fn no_limits_allow_all() {
    assert!(RateTable::new(64).check_all(START, &[], &mut Vec::new()));
}

#[test]
fn a_flood_of_fresh_keys_does_not_free_a_key_that_is_limited() {
    let table = RateTable::new(1_024);
    // The limited key's meter is full again before any of the flood's: it would be the first to go.
    let (fast, slow) = (limit(10.0, 2), limit(1.0, 2));
    let before = table.memory_bytes();
    assert!(table.check(START, &cost(7, &fast, 2)).is_allowed());
    for (key, units) in (1_000..101_000).zip([1, 2].into_iter().cycle()) {
        let _ = table.check(START, &cost(key, &slow, units));
    }
    assert!(!table.check(START, &one(7, &fast)).is_allowed());
    assert_eq!(table.memory_bytes(), before);
}

#[test]
fn keys_that_find_no_room_share_one_keys_rate() {
    // One set of eight and its overflow: eight keys and one more, whatever comes.
    let (table, limit) = (RateTable::new(8), limit(1.0, 5));
    let allowed = |now| {
        (0..10_000)
            .filter(|&key| table.check(now, &cost(key, &limit, 5)).is_allowed())
            .count()
    };
    assert_eq!(allowed(START), 9);
    assert_eq!(allowed(START), 0);
    // Nobody is locked out for ever: what ran down makes room for others.
    assert_eq!(allowed(START + Duration::from_secs(5)), 9);
}

#[test]
fn more_limits_than_the_overflow_has_ways_are_refused_until_one_is_open() {
    let (table, limit) = (RateTable::new(8), limit(1.0, 5));
    let charge = |index| Charge {
        index,
        ..cost(1, &limit, 5)
    };
    let allowed = (0..100).filter(|&index| table.check(START, &charge(index)).is_allowed());
    assert_eq!(allowed.count(), 16);
    let refused = table.check(START, &charge(99));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(5)));
    let later = START + Duration::from_secs(5);
    assert!(table.check(later, &charge(99)).is_allowed());
}

#[test]
fn the_idlest_key_makes_room() {
    let (table, limit) = (RateTable::new(8), limit(1.0, 8));
    for (key, units) in (0..8).zip([4, 3, 2, 5, 4, 3, 1, 2]) {
        let _ = table.check(START, &cost(key, &limit, units));
    }
    let _ = table.check(START, &one(99, &limit));
    let left = |key| table.look(START, &cost(key, &limit, 0)).remaining;
    assert_eq!(left(6), 8, "the one that had spent least is forgotten");
    assert_eq!((left(3), left(0), left(99)), (3, 4, 7));
}

#[test]
fn the_default_table_is_as_large_as_stated() {
    let bytes = RateTable::new(RateTable::ENTRIES_MAX).memory_bytes();
    assert!((1_570_000..1_600_000).contains(&bytes), "{bytes}");
    assert_eq!(RateTable::new(0).sets_per_shard, 1);
}

#[test]
fn threads_that_hammer_one_key_get_its_burst_and_no_more() {
    let (table, limit) = (RateTable::new(1_024), limit(100.0, 1_000));
    let allowed: usize = std::thread::scope(|scope| {
        let hammer = || {
            (0..2_000)
                .filter(|_| table.check(START, &one(7, &limit)).is_allowed())
                .count()
        };
        let threads = (0..8).map(|_| scope.spawn(hammer)).collect::<Vec<_>>();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(allowed, 1_000);
}

#[test]
fn threads_that_race_for_two_limits_never_exceed_the_narrower() {
    let table = RateTable::new(1_024);
    let (wide, narrow) = (limit(100.0, 5_000), limit(100.0, 500));
    let both = [
        one(7, &wide),
        Charge {
            index: 1,
            ..one(7, &narrow)
        },
    ];
    let allowed: usize = std::thread::scope(|scope| {
        let hammer = || {
            let mut decisions = Vec::new();
            (0..1_000)
                .filter(|_| table.check_all(START, &both, &mut decisions))
                .count()
        };
        let threads = (0..8).map(|_| scope.spawn(hammer)).collect::<Vec<_>>();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(allowed, 500);
    let left = table.look(START, &cost(7, &wide, 0)).remaining;
    assert_eq!(left, 4_500, "what lost a race was given back");
}

#[test]
fn threads_whose_clocks_differ_gain_nothing_by_it() {
    let (table, limit) = (RateTable::new(64), limit(1_000.0, 10));
    let ahead = START + Duration::from_millis(200);
    let allowed = (0..10_000)
        .filter(|turn| {
            let now = if turn % 2 == 0 { ahead } else { START };
            table.check(now, &one(7, &limit)).is_allowed()
        })
        .count();
    assert_eq!(allowed, 10);
}

#[test]
fn a_clock_that_is_set_back_takes_the_meters_with_it() {
    let (table, limit) = (RateTable::new(64), limit(1.0, 4));
    assert!(table.check(START, &cost(7, &limit, 4)).is_allowed());
    let back = Instant::from_nanos(1_000_000_000);
    let decision = table.check(back, &one(7, &limit));
    assert_eq!(decision.retry_after(), Some(Duration::from_secs(1)));
    let later = back + Duration::from_secs(1);
    assert!(table.check(later, &one(7, &limit)).is_allowed());
}

proptest! {
    /// Safety: in no span is more allowed than the burst and what the rate adds.
    #[test]
    fn no_window_exceeds_burst_and_rate(
        limit in any_limit(),
        steps in vec((0_u64..3_000, 0_u32..6, 0_u64..3), 1..200),
    ) {
        let table = RateTable::new(1_024);
        let mut now = START;
        let mut allowed: Vec<(u64, Instant, u32)> = Vec::new();
        for (wait, units, key) in steps {
            now += Duration::from_millis(wait);
            if table.check(now, &cost(key, &limit, units)).is_allowed() {
                allowed.push((key, now, units));
            }
        }
        for (first, &(key, from, _)) in allowed.iter().enumerate() {
            let mut sum = 0.0;
            for &(_, until, units) in allowed[first..].iter().filter(|other| other.0 == key) {
                sum += f64::from(units);
                let most = f64::from(limit.burst())
                    + limit.per_second() * until.since(from).as_secs_f64();
                prop_assert!(sum <= most + 1e-6, "{sum} > {most}");
            }
        }
    }

    /// Liveness: whoever waits as told is allowed, and not a nanosecond before.
    #[test]
    fn whoever_waits_as_told_is_allowed(
        limit in any_limit(),
        steps in vec((0_u64..500, 1_u32..6), 1..100),
    ) {
        let table = RateTable::new(64);
        let mut now = START;
        for (wait, units) in steps {
            now += Duration::from_millis(wait);
            let charge = cost(7, &limit, units);
            let decision = table.check(now, &charge);
            prop_assert!(decision.remaining <= limit.burst());
            prop_assert_eq!(decision.verdict == RateVerdict::Impossible, units > limit.burst());
            if let Some(retry_after) = decision.retry_after() {
                prop_assert!(retry_after <= limit.fill_time());
                let early = now + (retry_after - Duration::from_nanos(1));
                prop_assert!(!table.look(early, &charge).is_allowed());
                now += retry_after;
                prop_assert!(table.check(now, &charge).is_allowed());
            }
        }
    }

    /// Safety: what `remaining` says is what is left.
    #[test]
    fn what_remains_can_be_had_and_no_more(limit in any_limit(), steps in vec((0_u64..500, 1_u32..6), 1..50)) {
        let table = RateTable::new(64);
        let mut now = START;
        for (wait, units) in steps {
            now += Duration::from_millis(wait);
            let left = table.check(now, &cost(7, &limit, units)).remaining;
            prop_assert!(table.look(now, &cost(7, &limit, left)).is_allowed());
            prop_assert!(!table.look(now, &cost(7, &limit, left + 1)).is_allowed());
        }
    }

    /// Liveness: however the clock jumped, a quiet key has all of its burst after the time that takes.
    #[test]
    fn no_clock_locks_a_key_out(limit in any_limit(), jumps in vec((any::<u64>(), 0_u64..20, 1_u32..6), 1..100)) {
        let table = RateTable::new(16);
        for (at, key, units) in jumps {
            let now = Instant::from_nanos(at);
            let _ = table.check(now, &cost(key, &limit, units));
            let later = now + limit.fill_time() + SKEW_MAX;
            let all = cost(key, &limit, limit.burst());
            prop_assert!(table.look(later, &all).is_allowed());
        }
    }
}

fn any_limit() -> impl Strategy<Value = RateLimit> {
    (0.01_f64..5_000.0, 1_u32..50).prop_map(|(per_second, burst)| limit(per_second, burst))
}

fn limit(per_second: f64, burst: u32) -> RateLimit {
    RateLimit::new(per_second, burst).unwrap()
}

fn one(key: u64, limit: &RateLimit) -> Charge<'_> {
    cost(key, limit, 1)
}

fn cost(key: u64, limit: &RateLimit, cost: u32) -> Charge<'_> {
    Charge {
        key,
        index: 0,
        limit,
        cost,
    }
}
