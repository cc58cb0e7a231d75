//! Goal: what was acknowledged to a publisher is never lost, what was acknowledged by a consumer is never delivered again, and a
//! group keeps its order, whenever the power goes and whatever the disk makes of what was not synced.
//!
//! Method: random operations on a simulated disk that loses power at a random operation, against a model; the engine is opened
//! again, and goes on against the same model. Each seed is a run of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_policy::queue::{Millis, Which};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use super::*;
use crate::disk::simulated::Simulated;

mod damage;
mod view;

/// Segments are small, so that they are used again often.
const SEGMENT: u64 = 64 << 10;
const SALT: u64 = 0x5EED_5EED_5EED_5EED;

struct World {
    disk: Arc<Simulated>,
    now: Arc<AtomicU64>,
    engine: Engine,
    segments_max: u64,
}

fn open(disk: &Arc<Simulated>, now: &Arc<AtomicU64>, segments_max: u64) -> Engine {
    let options = EngineOptions {
        segment_bytes: SEGMENT,
        disk_max: SEGMENT * segments_max,
        seed: 7,
        ..EngineOptions::default()
    };
    let clock = Arc::clone(now);
    let clock = Box::new(move || Millis(clock.load(Ordering::Relaxed)));
    let disk: Arc<dyn Disk> = disk.clone();
    let fresh = SALT ^ now.fetch_add(1, Ordering::Relaxed);
    Engine::open_on(disk, options, fresh, clock).unwrap()
}

impl World {
    fn new(seed: u64, segments_max: u64) -> Self {
        let disk = Arc::new(Simulated::new(seed));
        let now = Arc::new(AtomicU64::new(1_800_000_000_000));
        let engine = open(&disk, &now, segments_max);
        Self {
            disk,
            now,
            engine,
            segments_max,
        }
    }

    fn define(&self, name: &str, settings: Settings) {
        let mut definition = Definition::new(name, Millis(0));
        definition.settings = settings;
        let mut durable = self.engine.define(definition).unwrap();
        self.engine.commit();
        durable.now().unwrap().unwrap();
    }

    /// The power goes, and comes back.
    fn restart(&mut self) {
        self.disk.restart();
        self.engine = open(&self.disk, &self.now, self.segments_max);
    }

    fn pass(&self, millis: u64) {
        self.now.fetch_add(millis, Ordering::Relaxed);
    }

    fn publish(&self, name: &str, body: &[u8], group: Option<&str>) -> Result<Taken, Refused> {
        let message = Message {
            body: body.to_vec(),
            head: Head {
                group: group.map(str::to_owned),
                ..Head::default()
            },
            ..Message::default()
        };
        self.engine.publish(name, &message)
    }

    fn published(&self, name: &str, body: &[u8]) {
        self.engine.prepare();
        let mut taken = self.publish(name, body, None).unwrap();
        self.engine.commit();
        taken.durable.now().unwrap().unwrap();
    }

    /// Where these bytes are on disk.
    fn find(&self, bytes: &[u8]) -> (u32, usize) {
        let mut segment = vec![0; SEGMENT as usize];
        let slots = self.disk.slots().unwrap();
        let mut found = slots.into_iter().filter_map(|slot| {
            self.disk.read(slot, 0, &mut segment).unwrap();
            let mut parts = segment.windows(bytes.len());
            Some((slot, parts.position(|it| it == bytes)?))
        });
        found.next().unwrap()
    }

    fn bodies(&self, name: &str, which: Which) -> Vec<String> {
        let all = self.engine.peek(name, which, 0, 100).unwrap();
        let text = all
            .into_iter()
            .map(|it| String::from_utf8(it.body).unwrap());
        text.collect()
    }
}

/// What a message may be, as far as clients know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Its publisher waits, or was told that nobody knows.
    Unsure,
    /// Its publisher was told that it is there.
    There,
    /// Its consumer has asked for its end, and was not told.
    Ending,
    /// Its consumer was told that it is gone.
    Gone,
}

struct Model {
    random: Xoshiro256PlusPlus,
    known: BTreeMap<u64, Known>,
    group_of: HashMap<u64, u64>,
    next: u64,
    publishing: Vec<(u64, Durable)>,
    ending: Vec<(u64, Durable)>,
    held: Vec<(u64, Receipt)>,
    /// Of each group: the highest that its consumers were done with.
    done: HashMap<u64, u64>,
}

impl Model {
    fn below(&mut self, bound: u32) -> u32 {
        self.random.next_u32() % bound
    }

    fn step(&mut self, world: &World) {
        match self.below(20) {
            0..7 => self.publish(world),
            7..11 => self.receive(world),
            11..14 => self.ack(world),
            14 => {
                if let Some((_, receipt)) = self.take_held() {
                    let delay = Duration::from_millis(u64::from(self.below(3_000)));
                    let _it_ran_out = world.engine.nack(receipt, Some(delay));
                }
            }
            15 => {
                world.pass(u64::from(self.below(4_000)));
                let _next = world.engine.tick();
            }
            16 => world.engine.prepare(),
            17 if self.below(10) == 0 => world.engine.take_image(),
            _ => {
                let _wrote = world.engine.commit();
                self.hear();
            }
        }
    }

    fn publish(&mut self, world: &World) {
        let id = self.next;
        self.next += 1;
        let group = (self.below(2) == 0).then(|| u64::from(self.below(3)));
        let length = 8 + self.below(3_000) as usize;
        let mut body = id.to_le_bytes().to_vec();
        body.resize(length, 0xAB);
        let name = group.map(|it| it.to_string());
        if let Ok(taken) = world.publish("orders", &body, name.as_deref()) {
            self.known.insert(id, Known::Unsure);
            if let Some(group) = group {
                self.group_of.insert(id, group);
            }
            self.publishing.push((id, taken.durable));
        }
    }

    fn receive(&mut self, world: &World) {
        let wanted = 1 + self.below(3) as usize;
        for it in world.engine.receive("orders", wanted, None).unwrap() {
            let id = u64::from_le_bytes(it.body[..8].try_into().unwrap());
            assert!(it.body[8..].iter().all(|byte| *byte == 0xAB));
            let known = *self.known.get(&id).expect("it was published");
            assert_ne!(known, Known::Gone, "{id} was done with");
            if let Some(group) = self.group_of.get(&id) {
                let done = self.done.get(group).copied();
                assert!(
                    done.is_none_or(|done| done < id),
                    "{id} comes after {done:?}"
                );
                // What came before it in its group, and its publisher knows of, is done with.
                let before = self.known.range(..id);
                let before = before.filter(|(other, _)| self.group_of.get(other) == Some(group));
                for (other, known) in before {
                    assert_ne!(*known, Known::There, "{other} is before {id}");
                }
            }
            self.held.retain(|(held, _)| *held != id);
            self.held.push((id, it.receipt));
        }
    }

    fn take_held(&mut self) -> Option<(u64, Receipt)> {
        let count = u32::try_from(self.held.len()).unwrap();
        (count > 0).then(|| {
            let index = self.below(count) as usize;
            self.held.swap_remove(index)
        })
    }

    fn ack(&mut self, world: &World) {
        let Some((id, receipt)) = self.take_held() else {
            return;
        };
        if let Ok(durable) = world.engine.ack(receipt) {
            if let Some(group) = self.group_of.get(&id) {
                let done = self.done.entry(*group).or_insert(id);
                *done = id.max(*done);
            }
            self.known.insert(id, Known::Ending);
            self.ending.push((id, durable));
        }
    }

    /// What clients are told.
    fn hear(&mut self) {
        for (id, mut durable) in std::mem::take(&mut self.publishing) {
            match durable.now() {
                // It may have been delivered and done with in the meantime.
                Some(Ok(())) if self.known[&id] == Known::Unsure => {
                    self.known.insert(id, Known::There);
                }
                Some(_) => (),
                None => self.publishing.push((id, durable)),
            }
        }
        for (id, mut durable) in std::mem::take(&mut self.ending) {
            match durable.now() {
                Some(Ok(())) => {
                    self.known.insert(id, Known::Gone);
                }
                Some(Err(_)) => (),
                None => self.ending.push((id, durable)),
            }
        }
    }

    /// Whoever waited knows nothing more; what a consumer was not told may come again.
    fn on_restart(&mut self) {
        self.hear();
        self.publishing.clear();
        self.ending.clear();
        self.done.clear();
        for (id, known) in &self.known {
            if let (Known::Gone, Some(group)) = (known, self.group_of.get(id)) {
                let done = self.done.entry(*group).or_insert(*id);
                *done = (*id).max(*done);
            }
        }
    }

    /// All that is there is delivered in the end, and nothing else.
    fn drain(&mut self, world: &World) {
        let mut seen = BTreeSet::new();
        for _ in 0..100_000 {
            let received = world.engine.receive("orders", 10, None).unwrap();
            if received.is_empty() {
                let figures = world.engine.look("orders").unwrap().1;
                if figures.ready + figures.delayed + figures.in_flight == 0 {
                    break;
                }
                world.pass(31_000);
                let _next = world.engine.tick();
            }
            for it in received {
                let id = u64::from_le_bytes(it.body[..8].try_into().unwrap());
                assert_ne!(self.known[&id], Known::Gone, "{id} was done with");
                assert!(seen.insert(id), "{id} comes twice");
                let _durable = world.engine.ack(it.receipt).unwrap();
            }
            world.engine.commit();
            world.engine.prepare();
        }
        for (id, known) in &self.known {
            if *known == Known::There {
                assert!(seen.contains(id), "{id} is lost");
            }
        }
        assert_eq!(world.engine.events(), [], "nothing is damaged");
    }
}

/// Runs one seed: the power goes a few times.
fn crashes(seed: u64) {
    let mut world = World::new(seed, 24);
    let settings = Settings {
        attempts_max: 0,
        lease: Duration::from_secs(5),
        ..Settings::default()
    };
    world.define("orders", settings);
    let mut model = Model {
        random: Xoshiro256PlusPlus::seed_from_u64(seed),
        known: BTreeMap::new(),
        group_of: HashMap::new(),
        next: 0,
        publishing: Vec::new(),
        ending: Vec::new(),
        held: Vec::new(),
        done: HashMap::new(),
    };
    for _ in 0..4 {
        let operations = model.below(60);
        world.disk.fail_after(operations);
        for _ in 0..400 {
            model.step(&world);
            if world.engine.lock().failed.is_some() {
                break;
            }
        }
        model.hear();
        world.restart();
        model.on_restart();
        let _events = world.engine.events();
    }
    model.drain(&world);
}

#[test]
fn whenever_the_power_goes_nothing_acknowledged_is_lost_and_nothing_done_comes_again() {
    for seed in 0..500 {
        crashes(seed);
    }
}

#[test]
#[ignore = "100,000 seeds: for `cargo xtask soak plimsoll-queue`"]
fn whenever_the_power_goes_in_very_many_ways() {
    for seed in 0..100_000 {
        crashes(seed);
    }
}

#[test]
fn a_bit_that_flips_costs_one_message_and_is_reported() {
    let mut world = World::new(1, 8);
    world.define("orders", Settings::default());
    for body in ["one", "two", "three"] {
        let taken = world.publish("orders", body.as_bytes(), None);
        let _durable = taken.unwrap();
    }
    world.engine.commit();
    world.published("orders", b"four");
    // The batch has the definition of the queue before it; a record begins each few hundred bytes. `two` is somewhere there.
    let (slot, at) = world.find(b"two");
    world.disk.flip(slot, at, 3);
    // It is found where it is read,
    let received = world.engine.receive("orders", 10, None).unwrap();
    let bodies: Vec<&[u8]> = received.iter().map(|it| it.body.as_slice()).collect();
    assert_eq!(bodies, [b"one".as_slice(), b"three", b"four"]);
    let events = world.engine.events();
    assert!(
        matches!(&events[..], [EngineEvent::Lost(text)] if text.contains("a message of orders can't be read")),
        "{events:?}"
    );
    // and where the log is read again.
    world.restart();
    let figures = world.engine.look("orders").unwrap().1;
    assert_eq!(figures.ready + figures.in_flight, 3);
    let events = world.engine.events();
    assert!(
        matches!(&events[..], [EngineEvent::Lost(text)] if text.contains("records can't be read")),
        "{events:?}"
    );
}

#[test]
fn a_full_disk_refuses_messages_and_goes_on_delivering() {
    let mut world = World::new(2, 64);
    world.define("orders", Settings::default());
    world.disk.full_at(5);
    let body = vec![7; 4_000];
    let mut published = 0;
    let refused = loop {
        world.engine.prepare();
        match world.publish("orders", &body, None) {
            Ok(mut taken) => {
                world.engine.commit();
                taken.durable.now().unwrap().unwrap();
                published += 1;
            }
            Err(refused) => break refused,
        }
    };
    assert!(
        refused.to_string().contains("no room on the disk"),
        "{refused}"
    );
    assert!(published > 10, "{published}");
    let mut done = 0;
    loop {
        let received = world.engine.receive("orders", 10, None).unwrap();
        if received.is_empty() {
            break;
        }
        for it in received {
            let mut durable = world.engine.ack(it.receipt).unwrap();
            world.engine.commit();
            durable.now().unwrap().unwrap();
            world.engine.prepare();
            done += 1;
        }
    }
    assert_eq!(done, published);
    // Where nothing alive is in them, segments are used again.
    world.engine.take_image();
    world.published("orders", &body);
    world.restart();
    assert_eq!(world.engine.look("orders").unwrap().1.ready, 1);
}

#[test]
fn a_message_that_nobody_is_done_with_is_a_dead_letter_and_can_be_driven_back() {
    let mut world = World::new(3, 8);
    let settings = Settings {
        attempts_max: 2,
        ..Settings::default()
    };
    world.define("orders", settings);
    world.published("orders", b"poison");
    world.published("orders", b"good");
    for _ in 0..2 {
        let received = world.engine.receive("orders", 10, None).unwrap();
        assert!(received.iter().any(|it| it.body == b"poison"));
        for it in received.iter().filter(|it| it.body == b"good") {
            let _durable = world.engine.ack(it.receipt).unwrap();
        }
        world.pass(31_000);
        let _next = world.engine.tick();
    }
    world.engine.commit();
    world.restart();
    assert_eq!(world.engine.names(), ["orders", "orders-dead"]);
    assert_eq!(world.engine.look("orders").unwrap().1.ready, 0);
    let dead = world
        .engine
        .peek("orders-dead", Which::Ready, 0, 10)
        .unwrap();
    let reason = dead[0].head.dead.as_ref().unwrap();
    assert_eq!((reason.queue.as_str(), reason.attempts), ("orders", 2));
    let (moved, _durable) = world.engine.redrive("orders-dead", None, 10).unwrap();
    assert_eq!(moved, 1);
    world.engine.commit();
    world.restart();
    assert_eq!(world.bodies("orders", Which::Ready), ["poison"]);
    assert_eq!(world.engine.look("orders-dead").unwrap().1.ready, 0);
    let received = world.engine.receive("orders", 1, None).unwrap();
    assert_eq!((received[0].attempt, &received[0].head.dead), (1, &None));
}

#[test]
fn the_same_key_is_the_same_message_also_before_it_is_durable_and_after_a_restart() {
    let mut world = World::new(4, 8);
    world.define("orders", Settings::default());
    let message = Message {
        body: b"once".to_vec(),
        head: Head {
            dedup: Some("order-7".to_owned()),
            ..Head::default()
        },
        ..Message::default()
    };
    let first = world.engine.publish("orders", &message).unwrap();
    let again = world.engine.publish("orders", &message).unwrap();
    assert_eq!((&again.id, again.sequence), (&first.id, first.sequence));
    world.engine.commit();
    world.restart();
    assert_eq!(
        world.engine.publish("orders", &message).unwrap().id,
        first.id
    );
    assert_eq!(world.bodies("orders", Which::Ready), ["once"]);
    // After the window it is another.
    world.pass(301_000);
    assert_ne!(
        world.engine.publish("orders", &message).unwrap().id,
        first.id
    );
}

#[test]
fn a_lease_and_its_receipt_outlive_a_restart() {
    let mut world = World::new(5, 8);
    world.define("orders", Settings::default());
    world.published("orders", b"held");
    let receipt = world.engine.receive("orders", 1, None).unwrap()[0].receipt;
    world.engine.commit();
    world.restart();
    assert_eq!(world.engine.receive("orders", 1, None).unwrap(), []);
    let receipt = Receipt::parse(&receipt.to_string()).unwrap();
    let mut durable = world.engine.ack(receipt).unwrap();
    world.engine.commit();
    durable.now().unwrap().unwrap();
    assert!(matches!(world.engine.ack(receipt), Err(Refused::NotLeased)));
    world.restart();
    let figures = world.engine.look("orders").unwrap().1;
    assert_eq!(figures.ready + figures.in_flight, 0);
}

#[test]
fn what_is_purged_or_removed_does_not_come_back() {
    let mut world = World::new(6, 8);
    for name in ["orders", "mails"] {
        world.define(name, Settings::default());
        world.published(name, b"x");
    }
    let _durable = world.engine.purge("orders").unwrap();
    let _durable = world.engine.remove("mails").unwrap();
    world.engine.commit();
    world.published("orders", b"after");
    world.restart();
    assert_eq!(world.engine.names(), ["orders"]);
    assert_eq!(world.bodies("orders", Which::Ready), ["after"]);
    assert!(matches!(
        world.publish("mails", b"x", None),
        Err(Refused::NoQueue(_))
    ));
    // A queue of the same name is another one.
    world.define("mails", Settings::default());
    assert_eq!(world.bodies("mails", Which::Ready), Vec::<String>::new());
}
