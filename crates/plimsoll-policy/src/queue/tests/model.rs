//! Goal: whatever happens in whatever order, also over restarts, the queue keeps its promises.
//!
//! Method: random operations go to the queue and to a list of messages with states, which says of each answer whether it may be:
//! what is delivered is deliverable and first of its group, what was settled never comes again, and every message is in exactly one
//! place. At random points the queue is replaced by what its image, or an earlier image and the records since, make of it. Handles
//! are few, and so are used again early.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::*;

const HANDLES: u64 = 48;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        slot: u64,
        delay: u64,
        priority: u8,
        tenant: u64,
        group: Option<u128>,
        key: Option<u128>,
    },
    Receive(usize),
    Ack(usize, bool),
    Nack(usize, Option<u64>),
    Extend(usize, u64),
    Later(u64),
    Tick,
    Remove(usize),
    TakeReady(usize),
    Relocate(usize, u64),
    Purge,
    Pause(bool),
    PauseGroup(u128, bool),
    KeepImage,
    Reload,
    Replay,
}

#[derive(Copy, Clone, Debug, PartialEq)]
enum State {
    Ready,
    Delayed(Millis),
    Leased { token: u32, until: Millis },
}

#[derive(Copy, Clone, Debug)]
struct Known {
    at: Millis,
    group: Option<u128>,
    attempts: u32,
    state: State,
    /// Its place in the line of its group; none before its publish delay is over.
    place: Option<u64>,
    /// When it came, among those that are due at once.
    count: u64,
}

#[derive(Copy, Clone, Debug)]
enum Record {
    Published(Arriving),
    Leased(Handle, u32, u32, Millis),
    Settled(Handle),
    Returned(Handle, u32, Millis),
    Relocated(Handle, Handle),
    Purged,
    Paused(bool),
    GroupPaused(u128, bool),
}

/// How often what matters came about.
#[derive(Default, Debug)]
struct Counts {
    delivered: u64,
    returned: u64,
    dead: u64,
    expired: u64,
    relocated: u64,
    replayed: u64,
}

struct World {
    queue: Queue,
    now: Millis,
    known: BTreeMap<Handle, Known>,
    keys: HashMap<u128, (Handle, Millis)>,
    count: u64,
    paused: bool,
    paused_groups: Vec<u128>,
    image: Option<Vec<u8>>,
    records: Vec<Record>,
    counts: Counts,
}

fn parameters() -> QueueParameters {
    QueueParameters {
        lease: Duration::from_secs(10),
        attempts_max: 3,
        retention: Duration::from_secs(120),
        dedup_window: Duration::from_secs(20),
        in_flight_max: 7,
        ..QueueParameters::default()
    }
}

impl World {
    fn new() -> Self {
        Self {
            queue: Queue::new(parameters(), 7),
            now: START,
            known: BTreeMap::new(),
            keys: HashMap::new(),
            count: 0,
            paused: false,
            paused_groups: Vec::new(),
            image: None,
            records: Vec::new(),
            counts: Counts::default(),
        }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Publish { .. } => self.publish(step),
            Step::Receive(wanted) => self.receive(wanted),
            Step::Ack(index, right) => self.ack(index, right),
            Step::Nack(index, delay) => self.nack(index, delay),
            Step::Extend(index, lease) => self.extend(index, lease),
            Step::Later(millis) => self.now = Millis(self.now.0 + millis),
            Step::Tick => self.tick(),
            Step::Remove(index) => {
                if let Some(handle) = self.any(index) {
                    assert!(self.queue.remove(handle));
                    assert!(!self.queue.remove(handle));
                    self.settle(handle);
                }
            }
            Step::TakeReady(max) => self.take_ready(max),
            Step::Relocate(index, slot) => self.relocate(index, slot),
            Step::Purge => {
                let purged = self.queue.purge();
                let before = self.known.len();
                let is_leased = |known: &Known| matches!(known.state, State::Leased { .. });
                self.known.retain(|_, known| is_leased(known));
                assert_eq!(purged as usize, before - self.known.len());
                self.records.push(Record::Purged);
            }
            Step::Pause(paused) => {
                self.queue.pause(paused);
                self.paused = paused;
                self.records.push(Record::Paused(paused));
            }
            Step::PauseGroup(group, paused) => {
                assert!(self.queue.pause_group(group, paused));
                self.paused_groups.retain(|&other| other != group);
                if paused {
                    self.paused_groups.push(group);
                }
                self.records.push(Record::GroupPaused(group, paused));
            }
            Step::KeepImage => {
                self.image = Some(encoded(&self.queue));
                self.records.clear();
            }
            Step::Reload => {
                let loader = QueueLoader::from_image(&encoded(&self.queue), &parameters());
                self.queue = loader.unwrap().finish(parameters(), 8, self.now);
                self.promote();
            }
            Step::Replay => self.replay(),
        }
        self.check();
    }

    fn publish(&mut self, step: &Step) {
        let &Step::Publish {
            slot,
            delay,
            priority,
            tenant,
            group,
            key,
        } = step
        else {
            return;
        };
        let handle = handle(slot);
        if self.known.contains_key(&handle) {
            return;
        }
        if let Some(key) = key {
            let known = self.keys.get(&key);
            let known = known.filter(|(_, at)| self.now < *at + parameters().dedup_window);
            let found = self.queue.duplicate_of(self.now, key);
            assert_eq!(found, known.map(|&(handle, _)| handle));
            if found.is_some() {
                return;
            }
            self.keys.insert(key, (handle, self.now));
        }
        let due = Millis(self.now.0 + delay);
        let arriving = Arriving {
            handle,
            at: self.now,
            due,
            priority,
            tenant,
            group,
            dedup: key,
        };
        self.promote();
        self.queue.on_published(self.now, arriving);
        self.records.push(Record::Published(arriving));
        self.count += 1;
        let state = match delay {
            0 => State::Ready,
            _ => State::Delayed(due),
        };
        let known = Known {
            at: self.now,
            group,
            attempts: 0,
            state,
            place: (delay == 0).then_some(self.count),
            count: self.count,
        };
        self.known.insert(handle, known);
    }

    /// What is due is ready, in the order in which it came to be due.
    fn promote(&mut self) {
        let mut due: Vec<_> = self
            .known
            .values_mut()
            .filter_map(|known| match known.state {
                State::Delayed(due) if due <= self.now => Some((due, known)),
                _ => None,
            })
            .collect();
        due.sort_by_key(|(due, known)| (*due, known.count));
        for (_, known) in due {
            known.state = State::Ready;
            self.count += 1;
            known.place.get_or_insert(self.count);
        }
    }

    fn deliverable(&self, handle: Handle) -> bool {
        let known = &self.known[&handle];
        let first = |group| {
            let all = self.known.values();
            let mut line = all.filter(|other| other.group == Some(group));
            line.all(|other| {
                let leased = matches!(other.state, State::Leased { .. });
                !leased && other.place.is_none_or(|place| Some(place) >= known.place)
            }) && !self.paused_groups.contains(&group)
        };
        known.state == State::Ready && known.group.is_none_or(first)
    }

    fn receive(&mut self, wanted: usize) {
        self.promote();
        let mut out = Vec::new();
        self.queue.receive(self.now, wanted, None, &mut out);
        assert!(out.is_empty() || !self.paused);
        for delivery in &out {
            let handle = delivery.handle;
            assert!(self.deliverable(handle), "{delivery:?}");
            assert!(delivery.token != 0 && delivery.until == self.now + parameters().lease);
            let known = self.known.get_mut(&handle).unwrap();
            known.attempts += 1;
            assert_eq!(
                (known.attempts, known.group),
                (delivery.attempt, delivery.group)
            );
            let (token, until) = (delivery.token, delivery.until);
            known.state = State::Leased { token, until };
            let record = Record::Leased(handle, known.attempts, token, until);
            self.records.push(record);
            self.counts.delivered += 1;
        }
        let leased = self.leased().len();
        assert!(leased <= 7);
        if out.len() < wanted && !self.paused && leased < 7 {
            let mut handles = self.known.keys();
            assert!(!handles.any(|&handle| self.deliverable(handle)));
        }
    }

    fn ack(&mut self, index: usize, right: bool) {
        let Some(handle) = self.any(index) else {
            return;
        };
        match self.known[&handle].state {
            State::Leased { token, .. } if right => {
                assert_eq!(self.queue.on_ack(self.now, handle, token), Ok(()));
                let again = self.queue.on_ack(self.now, handle, token);
                assert_eq!(again, Err(NotLeased));
                self.settle(handle);
            }
            State::Leased { token, .. } => {
                let wrong = self.queue.on_ack(self.now, handle, token ^ 1);
                assert_eq!(wrong, Err(NotLeased));
            }
            _ => assert_eq!(self.queue.on_ack(self.now, handle, 1), Err(NotLeased)),
        }
    }

    fn nack(&mut self, index: usize, delay: Option<u64>) {
        let leased = self.leased();
        let Some(&(handle, token)) = leased.get(index % leased.len().max(1)) else {
            return;
        };
        let delay = delay.map(Duration::from_millis);
        let nacked = self.queue.on_nack(self.now, handle, token, delay).unwrap();
        match nacked {
            Nacked::Dead { attempts } => {
                assert_eq!((attempts, self.known[&handle].attempts), (3, 3));
                self.settle(handle);
                self.counts.dead += 1;
            }
            Nacked::Returned { due, attempts } => {
                let end = Duration::from_secs(1 << (attempts - 1));
                assert!(due >= self.now && due <= self.now + delay.unwrap_or(end));
                self.give_back(handle, attempts, due);
            }
        }
    }

    fn give_back(&mut self, handle: Handle, attempts: u32, due: Millis) {
        let known = self.known.get_mut(&handle).unwrap();
        assert_eq!(attempts, known.attempts);
        assert!(attempts < 3 && matches!(known.state, State::Leased { .. }));
        known.state = match due > self.now {
            true => State::Delayed(due),
            false => State::Ready,
        };
        self.records.push(Record::Returned(handle, attempts, due));
        self.counts.returned += 1;
    }

    fn extend(&mut self, index: usize, lease: u64) {
        let leased = self.leased();
        let Some(&(handle, token)) = leased.get(index % leased.len().max(1)) else {
            return;
        };
        let lease = Duration::from_millis(lease);
        let until = self.queue.on_extend(self.now, handle, token, lease);
        let until = until.unwrap();
        assert_eq!(until, self.now + lease);
        let known = self.known.get_mut(&handle).unwrap();
        known.state = State::Leased { token, until };
        let record = Record::Leased(handle, known.attempts, token, until);
        self.records.push(record);
    }

    fn tick(&mut self) {
        let mut events = Vec::new();
        self.queue.on_tick(self.now, &mut events);
        for event in events {
            match event {
                QueueEvent::Returned {
                    handle,
                    attempts,
                    due,
                } => {
                    assert!(self.is_over(handle) && due == self.now);
                    self.give_back(handle, attempts, due);
                }
                QueueEvent::Dead { handle, attempts } => {
                    assert!(self.is_over(handle));
                    assert_eq!((attempts, self.known[&handle].attempts), (3, 3));
                    self.settle(handle);
                    self.counts.dead += 1;
                }
                QueueEvent::Expired { handle } => {
                    let known = self.known[&handle];
                    assert!(!matches!(known.state, State::Leased { .. }));
                    assert!(known.at + parameters().retention <= self.now);
                    self.settle(handle);
                    self.counts.expired += 1;
                }
            }
        }
        self.promote();
        assert!(
            !self
                .leased()
                .iter()
                .any(|&(handle, _)| self.is_over(handle))
        );
        assert!(self.queue.next_timeout().is_none_or(|at| at > self.now));
    }

    fn is_over(&self, handle: Handle) -> bool {
        matches!(self.known[&handle].state, State::Leased { until, .. } if until <= self.now)
    }

    fn take_ready(&mut self, max: usize) {
        self.promote();
        let mut out = Vec::new();
        self.queue.take_ready(self.now, max, &mut out);
        for &handle in &out {
            assert!(self.deliverable(handle));
            self.settle(handle);
        }
        if out.len() < max {
            let mut handles = self.known.keys();
            assert!(!handles.any(|&handle| self.deliverable(handle)));
        }
    }

    /// Moves up to three that are not leased to handles that are free.
    fn relocate(&mut self, index: usize, slot: u64) {
        let known = self.known.iter();
        let standing = known.filter(|(_, known)| !matches!(known.state, State::Leased { .. }));
        let standing: Vec<_> = standing.map(|(&handle, _)| handle).collect();
        let slots = (slot..slot + HANDLES).map(|slot| handle(slot % HANDLES));
        let free = slots.filter(|handle| !self.known.contains_key(handle));
        let old = standing.iter().copied().skip(index % (standing.len() + 1));
        let moves: Vec<_> = old.zip(free).take(3).collect();
        let map: HashMap<_, _> = moves.iter().copied().collect();
        assert_eq!(self.queue.relocate(&map), moves.len());
        for &(old, new) in &moves {
            let known = self.known.remove(&old).unwrap();
            self.known.insert(new, known);
            self.records.push(Record::Relocated(old, new));
            self.counts.relocated += 1;
        }
    }

    fn replay(&mut self) {
        let mut loader = match &self.image {
            Some(image) => QueueLoader::from_image(image, &parameters()).unwrap(),
            None => QueueLoader::new(),
        };
        for &record in &self.records {
            match record {
                Record::Published(arriving) => loader.on_published(arriving),
                Record::Leased(handle, attempts, token, until) => {
                    loader.on_leased(handle, attempts, token, until);
                }
                Record::Settled(handle) => loader.on_settled(handle),
                Record::Returned(handle, attempts, due) => {
                    loader.on_returned(handle, attempts, due);
                }
                Record::Relocated(old, new) => loader.on_relocated(old, new),
                Record::Purged => loader.on_purged(),
                Record::Paused(paused) => loader.on_paused(paused),
                Record::GroupPaused(group, paused) => loader.on_group_paused(group, paused),
            }
            // Of what is not there.
            loader.on_settled(handle(HANDLES + 1));
        }
        self.queue = loader.finish(parameters(), 9, self.now);
        self.promote();
        self.counts.replayed += self.records.len() as u64;
    }

    fn settle(&mut self, handle: Handle) {
        assert!(self.known.remove(&handle).is_some());
        self.records.push(Record::Settled(handle));
    }

    fn any(&self, index: usize) -> Option<Handle> {
        let count = self.known.len().max(1);
        self.known.keys().nth(index % count).copied()
    }

    fn leased(&self) -> Vec<(Handle, u32)> {
        let known = self.known.iter();
        known
            .filter_map(|(&handle, known)| match known.state {
                State::Leased { token, .. } => Some((handle, token)),
                _ => None,
            })
            .collect()
    }

    /// Every message is in one place, with the attempts that it had, and counted.
    fn check(&self) {
        let peek = |which| self.queue.peek(which, 0, usize::MAX);
        let (ready, delayed) = (peek(Which::Ready), peek(Which::Delayed));
        let leased = peek(Which::Leased);
        let figures = self.queue.figures(self.now);
        let counted = [figures.ready, figures.delayed, figures.in_flight];
        let seen = [ready.len(), delayed.len(), leased.len()];
        assert_eq!(counted.map(|count| count as usize), seen);
        assert_eq!(leased.len(), self.leased().len());
        let bytes: u64 = self.known.keys().map(|handle| handle.bytes()).sum();
        assert_eq!(figures.bytes, bytes);
        let mut standing: Vec<_> = ready.iter().chain(&delayed).map(|it| it.handle).collect();
        let mut places = self.queue.in_places(|_| true, usize::MAX);
        standing.sort();
        places.sort();
        assert_eq!(standing, places);
        let mut all: Vec<_> = [ready, delayed, leased].concat();
        all.sort_by_key(|it| it.handle);
        let all: Vec<_> = all
            .iter()
            .map(|it| (it.handle, it.at, it.attempts, it.group))
            .collect();
        let expected = self.known.iter();
        let expected = expected.map(|(&handle, it)| (handle, it.at, it.attempts, it.group));
        assert_eq!(all, expected.collect::<Vec<_>>());
        let delayed = |known: &&Known| matches!(known.state, State::Delayed(_));
        let delayed = self.known.values().filter(delayed).count();
        assert_eq!(figures.delayed as usize, delayed);
    }

    /// Liveness: once faults stop, all that is there is delivered, or expires.
    fn drain(&mut self, by_retention: bool) {
        self.step(&Step::Pause(false));
        for group in 0..4 {
            self.step(&Step::PauseGroup(group, false));
        }
        if by_retention {
            for _ in 0..5 {
                self.now = self.now + parameters().retention + parameters().lease;
                self.step(&Step::Tick);
            }
        }
        for _ in 0..400 {
            self.step(&Step::Later(1_000));
            self.step(&Step::Tick);
            self.step(&Step::Receive(100));
            for (handle, token) in self.leased() {
                assert_eq!(self.queue.on_ack(self.now, handle, token), Ok(()));
                self.settle(handle);
            }
            if self.known.is_empty() {
                break;
            }
        }
        assert!(self.known.is_empty(), "{:?}", self.known);
        assert!(self.queue.bounds.is_empty() && self.queue.notes.is_empty());
        assert!(self.queue.groups.is_empty() && self.queue.lanes.is_empty());
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let delay = prop_oneof![4 => Just(0), 1 => 1..20_000_u64, 1 => Just(300_000)];
    let some = |count: u128| prop::option::of(0..count);
    let publish = (0..HANDLES, delay, 0..3_u8, 0..3_u64, some(4), some(9));
    let publish = publish.prop_map(
        |(slot, delay, priority, tenant, group, key)| Step::Publish {
            slot,
            delay,
            priority,
            tenant,
            group,
            key,
        },
    );
    let index = 0..1_000_usize;
    let delay = prop::option::of(prop_oneof![Just(0), 0..9_000_u64]);
    let lease = prop_oneof![Just(0), 1..30_000_u64];
    prop_oneof![
        30 => publish,
        20 => (1..5_usize).prop_map(Step::Receive),
        12 => (index.clone(), prop::bool::weighted(0.8)).prop_map(|(i, right)| Step::Ack(i, right)),
        8 => (index.clone(), delay).prop_map(|(i, delay)| Step::Nack(i, delay)),
        2 => (index.clone(), lease).prop_map(|(i, lease)| Step::Extend(i, lease)),
        12 => (0..4_000_u64).prop_map(Step::Later),
        1 => (0..40_000_u64).prop_map(Step::Later),
        10 => Just(Step::Tick),
        2 => index.clone().prop_map(Step::Remove),
        1 => (1..4_usize).prop_map(Step::TakeReady),
        5 => (index, 0..HANDLES).prop_map(|(i, slot)| Step::Relocate(i, slot)),
        1 => Just(Step::Purge),
        1 => any::<bool>().prop_map(Step::Pause),
        2 => (0..4_u128, any::<bool>()).prop_map(|(group, on)| Step::PauseGroup(group, on)),
        2 => Just(Step::KeepImage),
        2 => Just(Step::Reload),
        3 => Just(Step::Replay),
    ]
}

proptest! {
    #[test]
    fn every_message_is_in_one_place_and_goes_in_order_also_over_restarts(
        steps in vec(any_step(), 0..300),
        by_retention in any::<bool>(),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.drain(by_retention);
    }

    #[test]
    fn rubbish_is_no_image_and_no_panic(
        steps in vec(any_step(), 0..60),
        cut in any::<prop::sample::Index>(),
        flips in vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.step(step));
        let whole = encoded(&world.queue);
        let short = &whole[..cut.index(whole.len())];
        prop_assert!(QueueLoader::from_image(short, &parameters()).is_err());
        let mut bytes = whole;
        for (index, value) in flips {
            let index = index.index(bytes.len());
            bytes[index] = value;
        }
        if let Ok(loader) = QueueLoader::from_image(&bytes, &parameters()) {
            loader.finish(parameters(), 1, world.now).figures(world.now);
        }
    }
}

#[test]
fn the_model_comes_to_all_that_may_happen() {
    let mut runner = TestRunner::deterministic();
    let steps = vec(any_step(), 6_000).new_tree(&mut runner).unwrap();
    let mut world = World::new();
    for step in &steps.current() {
        world.step(step);
    }
    let counts = &world.counts;
    let all = [
        counts.delivered,
        counts.returned,
        counts.dead,
        counts.expired,
        counts.relocated,
        counts.replayed,
    ];
    assert!(all.iter().all(|&count| count >= 10), "{counts:?}");
}
