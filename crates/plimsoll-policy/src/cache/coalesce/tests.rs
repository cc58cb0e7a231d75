//! Coalescing, by example and against a model.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const PARAMETERS: CoalesceParameters = CoalesceParameters {
    fetches_max: 3,
    waiters_max: 6,
    wait_max: Duration::from_secs(5),
    end_max: Duration::from_secs(60),
    unshared_for: Duration::from_secs(10),
    unshared_max: 2,
    alone_max: 2,
};

const UNSHAREABLE: Answer = Answer::Unshareable { lasts: true };

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

/// A fetch of key 1 with so many who wait beside its leader.
fn with_waiters(count: usize) -> (Coalescer<u8>, WaiterId, Vec<WaiterId>) {
    let mut coalescer = Coalescer::new(PARAMETERS);
    let Join::Lead(leader) = coalescer.on_request(at(0), &1) else {
        panic!("the first leads");
    };
    let waiters = (0..count).map(|_| match coalescer.on_request(at(1), &1) {
        Join::Wait(waiter) => waiter,
        other => panic!("the next waits: {other:?}"),
    });
    let waiters = waiters.collect();
    (coalescer, leader, waiters)
}

#[test]
fn one_fetch_answers_all_who_came_meanwhile() {
    let (mut coalescer, leader, waiters) = with_waiters(3);
    let release = coalescer.on_answer(at(2), leader.fetch(), Answer::Shareable);
    assert_eq!(release.serve[0], leader);
    assert_eq!(release.serve[1..], waiters);
    assert_eq!(
        coalescer.on_request(at(3), &1),
        Join::Follow(leader.fetch())
    );
    assert!(coalescer.on_end(leader.fetch(), true));
    assert!(matches!(coalescer.on_request(at(3), &1), Join::Lead(_)));
}

#[test]
fn nobody_waits_for_a_while_for_what_was_too_long_to_be_stored() {
    let (mut coalescer, leader, _) = with_waiters(1);
    let _ = coalescer.on_answer(at(2), leader.fetch(), Answer::Shareable);
    coalescer.on_unstorable(at(3), leader.fetch());
    assert_eq!(coalescer.fetches(), 0);
    let alone = Join::Alone(AloneReason::Unshared);
    assert_eq!(coalescer.on_request(at(12), &1), alone);
    assert!(matches!(coalescer.on_request(at(13), &1), Join::Lead(_)));
}

#[test]
fn a_waiter_who_leaves_does_not_end_the_fetch_nor_does_the_leader_nor_the_last() {
    let (mut coalescer, leader, waiters) = with_waiters(2);
    coalescer.on_leave(leader);
    coalescer.on_leave(waiters[0]);
    coalescer.on_leave(waiters[0]);
    assert!(coalescer.has_waiters(leader.fetch()));
    let mut last = coalescer.clone();
    let release = coalescer.on_answer(at(2), leader.fetch(), Answer::Shareable);
    assert_eq!((release.serve, release.cancel), (vec![waiters[1]], false));
    last.on_leave(waiters[1]);
    assert!(!last.has_waiters(leader.fetch()));
    let release = last.on_answer(at(2), leader.fetch(), Answer::Shareable);
    assert_eq!(release, Release::default());
    assert!(last.on_end(leader.fetch(), true));
}

#[test]
fn an_answer_that_is_not_for_all_goes_to_the_leader_and_releases_the_others_at_once() {
    let (mut coalescer, leader, waiters) = with_waiters(3);
    let release = coalescer.on_answer(at(2), leader.fetch(), UNSHAREABLE);
    assert_eq!((release.serve, release.alone), (vec![leader], waiters));
    let alone = Join::Alone(AloneReason::Unshared);
    assert_eq!(coalescer.on_request(at(11), &1), alone);
    let mut renewed = coalescer.clone();
    assert!(renewed.on_background(at(11), &1).is_some());
    assert_eq!(renewed.on_request(at(11), &1), alone, "nobody waits for it");
    assert!(matches!(coalescer.on_request(at(12), &1), Join::Lead(_)));
}

#[test]
fn an_answer_that_passes_is_waited_for_again() {
    let (mut coalescer, leader, waiters) = with_waiters(1);
    let passing = Answer::Unshareable { lasts: false };
    let release = coalescer.on_answer(at(2), leader.fetch(), passing);
    assert_eq!((release.serve, release.alone), (vec![leader], waiters));
    assert!(matches!(coalescer.on_request(at(2), &1), Join::Lead(_)));
}

#[test]
fn an_answer_that_is_for_nobody_is_ended() {
    let (mut coalescer, leader, waiters) = with_waiters(1);
    coalescer.on_leave(leader);
    let release = coalescer.on_answer(at(2), leader.fetch(), UNSHAREABLE);
    assert!(release.cancel && release.serve.is_empty());
    assert_eq!(release.alone, waiters);
}

#[test]
fn after_a_failure_some_go_alone_and_the_others_share_it() {
    let (mut coalescer, leader, waiters) = with_waiters(4);
    let failed = Answer::Failed { stale: false };
    let release = coalescer.on_answer(at(2), leader.fetch(), failed);
    assert_eq!(release.alone, waiters[..2]);
    assert_eq!(release.fail, [leader, waiters[2], waiters[3]]);
    assert!(matches!(coalescer.on_request(at(2), &1), Join::Lead(_)));
}

#[test]
fn after_a_failure_all_get_the_stale_answer_where_there_is_one() {
    let (mut coalescer, leader, waiters) = with_waiters(4);
    let failed = Answer::Failed { stale: true };
    let release = coalescer.on_answer(at(2), leader.fetch(), failed);
    assert_eq!(release.stale.len(), 1 + waiters.len());
    assert!(release.alone.is_empty() && release.fail.is_empty());
}

#[test]
fn a_fetch_that_takes_too_long_lets_waiters_go_and_another_may_begin() {
    let (mut coalescer, leader, waiters) = with_waiters(2);
    assert_eq!(coalescer.next_timeout(), Some(at(5)));
    assert_eq!(coalescer.on_timeout(at(4)), Release::default());
    assert_eq!(coalescer.on_timeout(at(5)).alone, waiters);
    let mut alone = coalescer.clone();
    let release = alone.on_answer(at(6), leader.fetch(), Answer::Shareable);
    assert_eq!(release.serve, [leader]);
    assert!(
        alone.on_end(leader.fetch(), true),
        "late is better than not"
    );
    assert!(matches!(coalescer.on_request(at(6), &1), Join::Lead(_)));
    let release = coalescer.on_answer(at(7), leader.fetch(), Answer::Shareable);
    assert_eq!(release.serve, [leader]);
    assert!(
        !coalescer.on_end(leader.fetch(), true),
        "a newer one is on its way"
    );
}

#[test]
fn a_fetch_that_never_ends_is_forgotten() {
    let (mut coalescer, leader, _) = with_waiters(0);
    let _ = coalescer.on_timeout(at(5));
    assert_eq!(coalescer.on_timeout(at(65)).alone, [leader]);
    assert_eq!((coalescer.fetches(), coalescer.next_timeout()), (0, None));
    let release = coalescer.on_answer(at(66), leader.fetch(), Answer::Shareable);
    assert_eq!(release, Release::default());
    assert!(!coalescer.on_end(leader.fetch(), true));
}

#[test]
fn what_began_before_an_unsafe_request_is_not_stored_after_it() {
    let (mut coalescer, leader, waiters) = with_waiters(1);
    coalescer.on_invalidated(&1);
    assert!(matches!(coalescer.on_request(at(2), &1), Join::Lead(_)));
    let release = coalescer.on_answer(at(3), leader.fetch(), Answer::Shareable);
    assert_eq!(release.serve, [leader, waiters[0]]);
    assert!(!coalescer.on_end(leader.fetch(), true));
}

#[test]
fn an_unsafe_request_counts_until_the_last_byte_is_there() {
    let (mut coalescer, leader, _) = with_waiters(0);
    let _ = coalescer.on_answer(at(2), leader.fetch(), Answer::Shareable);
    coalescer.on_purged(|&key| key == 1);
    assert!(matches!(coalescer.on_request(at(2), &1), Join::Lead(_)));
    assert!(!coalescer.on_end(leader.fetch(), true));
}

#[test]
fn an_answer_that_was_cut_short_is_not_stored() {
    let (mut coalescer, leader, _) = with_waiters(0);
    let _ = coalescer.on_answer(at(2), leader.fetch(), Answer::Shareable);
    assert!(!coalescer.on_end(leader.fetch(), false));
}

#[test]
fn one_fetch_in_the_background_is_enough_and_who_comes_may_wait_for_it() {
    let mut coalescer = Coalescer::new(PARAMETERS);
    let fetch = coalescer.on_background(at(0), &1).unwrap();
    assert_eq!(coalescer.on_background(at(0), &1), None);
    let Join::Wait(waiter) = coalescer.on_request(at(1), &1) else {
        panic!("it waits");
    };
    assert_eq!(waiter.fetch(), fetch);
    assert!(coalescer.on_answer(at(1), fetch, UNSHAREABLE).cancel);
}

#[test]
fn beyond_the_bounds_one_goes_alone() {
    let full = Join::Alone(AloneReason::Full);
    let (mut coalescer, leader, _) = with_waiters(6);
    assert_eq!(coalescer.on_request(at(1), &1), full);
    coalescer.on_leave(leader);
    assert_eq!(coalescer.on_request(at(1), &1), full);
    for key in [2, 3] {
        assert!(matches!(coalescer.on_request(at(1), &key), Join::Lead(_)));
    }
    assert_eq!(coalescer.on_request(at(1), &4), full);
}

#[test]
fn of_too_many_unshared_keys_the_oldest_is_forgotten() {
    let mut coalescer = Coalescer::new(PARAMETERS);
    for key in [1_u8, 2, 3] {
        let Join::Lead(leader) = coalescer.on_request(at(u64::from(key)), &key) else {
            panic!("it leads");
        };
        let _ = coalescer.on_answer(at(u64::from(key)), leader.fetch(), UNSHAREABLE);
    }
    let alone = Join::Alone(AloneReason::Unshared);
    assert_eq!(coalescer.on_request(at(4), &2), alone);
    assert_eq!(coalescer.on_request(at(4), &3), alone);
    assert!(matches!(coalescer.on_request(at(4), &1), Join::Lead(_)));
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Request(u8),
    Background(u8),
    Leave(usize),
    Answer(usize, Answer),
    End(usize, bool),
    Invalidated(u8),
    Later(u64),
    Timeout,
}

fn any_event() -> impl Strategy<Value = Event> {
    let answer = prop_oneof![
        2 => Just(Answer::Shareable),
        1 => any::<bool>().prop_map(|lasts| Answer::Unshareable { lasts }),
        1 => any::<bool>().prop_map(|stale| Answer::Failed { stale }),
    ];
    prop_oneof![
        8 => (0..5_u8).prop_map(Event::Request),
        1 => (0..5_u8).prop_map(Event::Background),
        2 => (0..8_usize).prop_map(Event::Leave),
        3 => (0..4_usize, answer).prop_map(|(index, answer)| Event::Answer(index, answer)),
        2 => (0..4_usize, any::<bool>()).prop_map(|(index, whole)| Event::End(index, whole)),
        1 => (0..5_u8).prop_map(Event::Invalidated),
        2 => (0..20_u64).prop_map(Event::Later),
        1 => Just(Event::Timeout),
    ]
}

/// What is known from outside.
struct Running {
    id: FetchId,
    key: u8,
    began: Instant,
    shared: Option<Instant>,
    leader: Option<WaiterId>,
    invalid: bool,
    forgotten: bool,
}

struct World {
    coalescer: Coalescer<u8>,
    now: Instant,
    waiting: Vec<WaiterId>,
    running: Vec<Running>,
}

impl World {
    fn begin(&mut self, id: FetchId, key: u8, leader: Option<WaiterId>) {
        for other in self.running.iter_mut().filter(|other| other.key == key) {
            let over = other
                .shared
                .map_or(other.began + PARAMETERS.wait_max, |shared| {
                    shared + PARAMETERS.end_max
                });
            assert!(
                other.invalid || other.forgotten || self.now >= over,
                "two fetches of one key"
            );
            // What is newer makes it as good as invalid.
            other.invalid = true;
        }
        self.running.push(Running {
            id,
            key,
            began: self.now,
            shared: None,
            leader,
            invalid: false,
            forgotten: false,
        });
    }

    fn release(&mut self, release: &Release) {
        let all = [
            &release.serve,
            &release.stale,
            &release.fail,
            &release.alone,
        ];
        for waiter in all.into_iter().flatten() {
            let index = self.waiting.iter().position(|waiting| waiting == waiter);
            self.waiting
                .remove(index.expect("who is released was waiting, and once"));
        }
    }

    fn timeout(&mut self) {
        let release = self.coalescer.on_timeout(self.now);
        assert!(release.serve.is_empty() && release.stale.is_empty() && release.fail.is_empty());
        self.release(&release);
    }

    fn step(&mut self, event: Event) {
        match event {
            Event::Request(key) => match self.coalescer.on_request(self.now, &key) {
                Join::Lead(waiter) => {
                    self.waiting.push(waiter);
                    self.begin(waiter.fetch(), key, Some(waiter));
                }
                Join::Wait(waiter) => {
                    self.waiting.push(waiter);
                    let running = self.running.iter().find(|it| it.id == waiter.fetch());
                    let running = running.expect("what is waited for runs");
                    assert!(running.key == key && !running.invalid && running.shared.is_none());
                }
                Join::Follow(fetch) => {
                    let running = self.running.iter().find(|it| it.id == fetch).unwrap();
                    assert!(running.key == key && !running.invalid && running.shared.is_some());
                }
                Join::Alone(_) => {}
            },
            Event::Background(key) => {
                if let Some(id) = self.coalescer.on_background(self.now, &key) {
                    self.begin(id, key, None);
                }
            }
            Event::Leave(index) => {
                if !self.waiting.is_empty() {
                    let waiter = self.waiting.remove(index % self.waiting.len());
                    self.coalescer.on_leave(waiter);
                }
            }
            Event::Answer(index, answer) => {
                let open = |running: &&mut Running| running.shared.is_none();
                let Some(running) = self.running.iter_mut().filter(open).nth(index) else {
                    return;
                };
                let (id, leader, now) = (running.id, running.leader, self.now);
                running.shared = (answer == Answer::Shareable).then_some(now);
                // It may have been forgotten.
                running.forgotten = now >= running.began + PARAMETERS.wait_max + PARAMETERS.end_max;
                let release = self.coalescer.on_answer(now, id, answer);
                if matches!(answer, Answer::Unshareable { .. }) {
                    assert!(release.serve.iter().all(|served| Some(*served) == leader));
                }
                if answer != Answer::Shareable {
                    self.running.retain(|running| running.id != id);
                }
                assert!(
                    release.alone.len() <= PARAMETERS.alone_max
                        || matches!(answer, Answer::Unshareable { .. })
                );
                self.release(&release);
                assert!(self.waiting.iter().all(|waiter| waiter.fetch() != id));
            }
            Event::End(index, whole) => {
                let shared = |running: &Running| running.shared.is_some();
                let running = self
                    .running
                    .iter()
                    .filter(|running| shared(running))
                    .nth(index);
                if let Some(running) = running {
                    let (id, invalid) = (running.id, running.invalid);
                    let stored = self.coalescer.on_end(id, whole);
                    assert!(!stored || (whole && !invalid));
                    self.running.retain(|running| running.id != id);
                }
            }
            Event::Invalidated(key) => {
                self.coalescer.on_invalidated(&key);
                for running in self.running.iter_mut().filter(|running| running.key == key) {
                    running.invalid = true;
                }
            }
            Event::Later(seconds) => self.now += Duration::from_secs(seconds),
            Event::Timeout => self.timeout(),
        }
        assert!(self.coalescer.fetches() <= PARAMETERS.fetches_max);
        assert!(self.coalescer.waiting() <= PARAMETERS.waiters_max);
        assert!(self.coalescer.unshared.len() <= PARAMETERS.unshared_max);
        assert_eq!(
            self.coalescer.unshared.len(),
            self.coalescer.unshared_order.len()
        );
        assert_eq!(self.coalescer.timeouts.len(), self.coalescer.fetches());
        assert!(self.coalescer.by_key.len() <= self.coalescer.fetches());
    }
}

proptest! {
    #[test]
    fn nobody_waits_for_ever_and_no_key_is_fetched_twice(events in vec(any_event(), 0..200)) {
        let mut world = World {
            coalescer: Coalescer::new(PARAMETERS),
            now: Instant::ORIGIN,
            waiting: Vec::new(),
            running: Vec::new(),
        };
        for event in events {
            world.step(event);
        }
        world.now += PARAMETERS.wait_max;
        world.timeout();
        world.now += PARAMETERS.end_max;
        world.timeout();
        prop_assert!(world.waiting.is_empty());
        prop_assert_eq!((world.coalescer.fetches(), world.coalescer.waiting()), (0, 0));
    }
}
