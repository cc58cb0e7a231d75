//! Tests of the budget: by hand, over threads, and over any sequence of events.

use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START: Instant = Instant::from_nanos(1_234_567_890);

#[test]
fn ten_requests_pay_for_one_retry() {
    let mut budget = Fixture::new(0.1, 0.0);
    budget.requests(9);
    assert!(!budget.shared.try_withdraw());
    budget.requests(1);
    assert!(budget.shared.has_token());
    assert!(budget.shared.try_withdraw());
    assert!(!budget.shared.try_withdraw());
    assert_eq!(budget.shared.withdrawn(), 1);
}

#[test]
fn without_budget_and_floor_there_is_nothing() {
    let mut budget = Fixture::new(0.0, 0.0);
    budget.requests(1_000_000);
    budget.wait(Duration::from_secs(3_600));
    assert_eq!(budget.withdraw_all(), 0);
}

#[test]
fn a_quiet_service_has_its_floor() {
    let mut budget = Fixture::new(0.1, 3.0);
    assert_eq!(budget.withdraw_all(), 30, "the burst");
    budget.wait(Duration::from_millis(333));
    assert_eq!(budget.withdraw_all(), 0);
    budget.wait(Duration::from_millis(1));
    assert_eq!(budget.withdraw_all(), 1);
}

#[test]
fn odd_tick_intervals_lose_nothing() {
    // A third of a token per second, and ticks that divide nothing: 100 000 of them, each 7 ms and 13 ns.
    let mut budget = Fixture::new(0.0, 1.0 / 3.0);
    budget.withdraw_all();
    let mut taken = 0;
    for _ in 0..100_000 {
        budget.wait(Duration::from_nanos(7_000_013));
        taken += budget.withdraw_all();
    }
    // 700.0013 seconds at 0.333 333 tokens are 233.333 533; the burst left 0.333 330.
    assert_eq!(taken, 233);
    let left = budget.shared.tokens();
    assert!((left - 0.666_863).abs() < 1e-9, "{left}");
}

#[test]
fn a_clock_that_jumps_by_hours_grants_at_most_the_cap() {
    let mut budget = Fixture::new(0.1, 3.0);
    budget.requests(500);
    budget.withdraw_all();
    budget.wait(Duration::from_secs(5 * 3_600));
    assert_eq!(budget.withdraw_all(), 30);
    budget.now = Instant::NEVER;
    budget.tick();
    assert_eq!(budget.withdraw_all(), 30);
    budget.tick();
    assert_eq!(budget.withdraw_all(), 0);
}

#[test]
fn a_clock_that_goes_back_grants_no_time_twice() {
    let mut budget = Fixture::new(0.0, 1.0);
    budget.wait(Duration::from_secs(5));
    budget.withdraw_all();
    let ahead = budget.now;
    budget.now = START;
    budget.tick();
    budget.now = ahead;
    budget.tick();
    assert_eq!(budget.withdraw_all(), 0);
}

#[test]
fn what_is_saved_is_what_ten_seconds_grant() {
    let mut budget = Fixture::new(0.1, 3.0);
    for _ in 0..3_000 {
        budget.requests(10);
        budget.wait(Duration::from_millis(10));
    }
    // 1000 requests per second: 100 tokens per second, and 30 from the floor.
    let full = budget.shared.tokens();
    assert!((1_030.0..=1_131.0).contains(&full), "{full}");
    budget.wait(Duration::from_secs(6));
    assert!(budget.shared.tokens() > 400.0, "not all of them yet");
    budget.wait(Duration::from_secs(6));
    assert!(
        (budget.shared.tokens() - 30.0).abs() < 1e-9,
        "the requests are forgotten"
    );
}

#[test]
fn tokens_that_were_spent_do_not_lower_the_cap() {
    let mut budget = Fixture::new(0.1, 3.0);
    budget.withdraw_all();
    budget.requests(500);
    budget.wait(Duration::from_millis(10));
    for _ in 0..9 {
        budget.wait(Duration::from_secs(1));
    }
    // 50 of the requests and 27 of the floor, under a cap of 80.
    let saved = budget.shared.tokens();
    assert!((saved - 77.03).abs() < 1e-6, "{saved}");
}

#[test]
fn a_new_grant_keeps_what_is_saved_under_its_cap() {
    let mut budget = Fixture::new(0.5, 10.0);
    budget.requests(100);
    budget.control.set_grant(RetryGrant {
        budget: Ratio::ZERO,
        floor_per_second: 0.0,
    });
    budget.wait(Duration::from_secs(1));
    assert!(budget.shared.tokens() <= 51.0);
    budget.requests(1_000);
    budget.wait(Duration::from_secs(20));
    assert_eq!(
        budget.withdraw_all(),
        1,
        "the one token that may always be saved"
    );
}

#[test]
fn absurd_floors_are_bounded() {
    for floor in [f64::NAN, -1.0, f64::NEG_INFINITY] {
        assert_eq!(
            RetryGrant {
                budget: Ratio::ZERO,
                floor_per_second: floor
            }
            .floor(),
            0
        );
    }
    let endless = RetryGrant {
        budget: Ratio::ONE,
        floor_per_second: f64::INFINITY,
    };
    assert_eq!(endless.floor(), 1_000_000 * TOKEN);
    let mut budget = Fixture {
        shared: RetryShared::new(endless),
        ..Fixture::new(1.0, f64::INFINITY)
    };
    budget.now = Instant::NEVER;
    budget.tick();
    assert!(budget.shared.has_token());
}

#[test]
fn threads_together_never_take_more_than_was_deposited() {
    const THREADS: u64 = 4;
    const REQUESTS: u64 = 50_000;
    let mut budget = Fixture::new(0.1, 0.0);
    let shared = &budget.shared;
    let control = &mut budget.control;
    let taken: u64 = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(move || {
                    let mut taken = 0;
                    for _ in 0..REQUESTS {
                        shared.on_request();
                        taken += u64::from(shared.try_withdraw());
                    }
                    taken
                })
            })
            .collect();
        // The cap is never reached, so the ticks must not change anything.
        for step in 0..1_000 {
            control.tick(START + Duration::from_micros(step), shared);
        }
        workers
            .into_iter()
            .map(|worker| worker.join().unwrap())
            .sum()
    });
    // Each thread tries after each deposit, so that nothing whole is left either.
    assert_eq!(taken, THREADS * REQUESTS / 10);
    assert_eq!(shared.withdrawn(), taken);
    budget.tick();
    assert!(budget.shared.tokens() < 1.0);
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Requests(u16),
    Withdraw(u8),
    Wait(u64),
    Tick,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        (0_u16..2_000).prop_map(Event::Requests),
        any::<u8>().prop_map(Event::Withdraw),
        (0_u64..3_000_000_000).prop_map(Event::Wait),
        (0_u64..20_000_000_000_000).prop_map(Event::Wait),
        Just(Event::Tick),
    ]
}

proptest! {
    /// Safety: never more than the budget of the requests, the floor of the time, and the burst.
    #[test]
    fn retries_never_exceed_what_was_granted(
        budget in 0.0..=1.0_f64,
        floor in prop_oneof![Just(0.0), 0.0..100.0_f64],
        events in vec(any_event(), 0..200),
    ) {
        let mut fixture = Fixture::new(budget, floor);
        let (mut requests, mut taken) = (0_u64, 0_u64);
        for event in events {
            match event {
                Event::Requests(count) => {
                    fixture.requests(count.into());
                    requests += u64::from(count);
                }
                Event::Withdraw(times) => {
                    for _ in 0..times {
                        taken += u64::from(fixture.shared.try_withdraw());
                    }
                }
                Event::Wait(nanos) => fixture.now += Duration::from_nanos(nanos),
                Event::Tick => fixture.tick(),
            }
            let seconds = (fixture.now - START).as_secs_f64();
            // The grant is counted in millionths: half of one per request, and per second, is rounding.
            let granted = budget * requests as f64 + floor * (seconds + 10.0)
                + 1e-6 * (requests as f64 + seconds + 10.0);
            prop_assert!(taken as f64 <= granted, "{taken} > {granted}");
            prop_assert_eq!(taken, fixture.shared.withdrawn());
        }
    }

    /// Liveness: whatever was spent before, a floor grants again within the time of one token.
    #[test]
    fn an_empty_budget_fills_again(floor in 0.1..100.0_f64, events in vec(any_event(), 0..100)) {
        let mut fixture = Fixture::new(0.1, floor);
        for event in events {
            match event {
                Event::Requests(count) => fixture.requests(count.into()),
                Event::Withdraw(_) => { fixture.withdraw_all(); }
                Event::Wait(nanos) => fixture.now += Duration::from_nanos(nanos),
                Event::Tick => fixture.tick(),
            }
        }
        fixture.withdraw_all();
        fixture.wait(Duration::from_secs_f64(1.001 / floor));
        prop_assert!(fixture.shared.try_withdraw());
    }
}

struct Fixture {
    shared: RetryShared,
    control: RetryControl,
    now: Instant,
}

impl Fixture {
    fn new(budget: f64, floor_per_second: f64) -> Self {
        let grant = RetryGrant {
            budget: Ratio::try_from(budget).unwrap(),
            floor_per_second,
        };
        let shared = RetryShared::new(grant);
        Self {
            control: RetryControl::new(grant, START, &shared),
            shared,
            now: START,
        }
    }

    fn requests(&mut self, count: u64) {
        for _ in 0..count {
            self.shared.on_request();
        }
    }

    fn withdraw_all(&mut self) -> u64 {
        let before = self.shared.withdrawn();
        while self.shared.try_withdraw() {}
        self.shared.withdrawn() - before
    }

    fn tick(&mut self) {
        self.control.tick(self.now, &self.shared);
    }

    fn wait(&mut self, time: Duration) {
        self.now += time;
        self.tick();
    }
}
