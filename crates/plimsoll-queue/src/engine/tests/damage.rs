//! Goal: what is damaged costs itself and is told of; what can't be read for a moment is not lost; a disk that was full is not so for
//! ever; and whoever waits hears.

use std::io;

use super::*;

/// A message with a key.
fn keyed() -> Message {
    Message {
        body: b"once".to_vec(),
        head: Head {
            dedup: Some("k".to_owned()),
            ..Head::default()
        },
        ..Message::default()
    }
}

#[test]
fn whoever_waits_for_what_is_durable_already_hears() {
    let world = World::new(1, 8);
    world.define("orders", Settings::default());
    let _first = world.engine.publish("orders", &keyed()).unwrap();
    world.engine.commit();
    let mut again = world.engine.publish("orders", &keyed()).unwrap();
    let (moved, mut none) = world.engine.redrive("orders", Some("orders"), 0).unwrap();
    world.engine.commit();
    assert!(matches!(again.durable.now(), Some(Ok(()))));
    assert!(matches!(none.now(), Some(Ok(()))));
    assert_eq!(moved, 0);
}

#[test]
fn the_first_header_of_a_segment_costs_a_batch_and_not_the_segment() {
    let mut world = World::new(2, 64);
    world.define("orders", Settings::default());
    let body = vec![b'x'; 3_000];
    let slot = |world: &World| world.engine.log.lock().unwrap().place().unwrap().slot;
    while slot(&world) == 0 {
        world.published("orders", &body);
    }
    for _ in 0..5 {
        world.published("orders", &body);
    }
    let before = world.engine.look("orders").unwrap().1.ready;
    world.disk.flip(slot(&world), 8, 0);
    world.restart();
    let after = world.engine.look("orders").unwrap().1.ready;
    assert_eq!(after, before - 1);
    let events = world.engine.events();
    assert!(
        matches!(&events[..], [EngineEvent::Lost(text)] if text.contains("batches are missing")),
        "{events:?}"
    );
}

/// A world whose queue is described in no segment any more, only in the image.
fn known_by_image() -> World {
    let world = World::new(3, 64);
    world.define("orders", Settings::default());
    while world.engine.log.lock().unwrap().place().unwrap().slot == 0 {
        let _durable = world.engine.pause("orders", false).unwrap();
        world.engine.commit();
        world.engine.prepare();
    }
    world.engine.take_image();
    for _ in 0..100 {
        world.published("orders", b"kept");
    }
    world
}

fn damage(world: &World, name: &str) {
    let mut image = world.disk.get(name).unwrap().unwrap();
    *image.last_mut().unwrap() ^= 1;
    world.disk.put(name, &image).unwrap();
}

#[test]
fn an_image_that_is_damaged_has_a_copy_and_without_it_messages_are_in_a_queue_that_says_so() {
    let mut world = known_by_image();
    damage(&world, "image");
    world.restart();
    assert_eq!(world.engine.look("orders").unwrap().1.ready, 100);
    assert_eq!(world.engine.events(), []);
    let mut world = known_by_image();
    damage(&world, "image");
    damage(&world, "image.copy");
    world.restart();
    let names = world.engine.names();
    let found = world.engine.look(&names[0]).unwrap().1.ready;
    assert_eq!((names.len(), found), (1, 100), "{names:?}");
    assert!(!world.engine.events().is_empty());
}

#[test]
fn a_disk_that_was_full_takes_messages_again_once_they_are_done() {
    let world = World::new(4, 64);
    world.define("orders", Settings::default());
    world.disk.full_at(4);
    let body = vec![7; 4_000];
    loop {
        world.engine.prepare();
        let Ok(taken) = world.publish("orders", &body, None) else {
            break;
        };
        world.engine.commit();
        drop(taken);
    }
    // All at once: their ends are one batch, and nothing is written after it.
    for it in world.engine.receive("orders", 100, None).unwrap() {
        let _durable = world.engine.ack(it.receipt).unwrap();
    }
    for _ in 0..3 {
        world.engine.commit();
        world.engine.prepare();
    }
    assert!(world.publish("orders", &body, None).is_ok());
}

#[test]
fn what_settles_messages_is_durable_where_the_log_has_no_room_left() {
    let mut world = World::new(5, 64);
    world.define("orders", Settings::default());
    world.published("orders", b"pins its segment");
    world.disk.full_at(2);
    world.engine.lock().free.clear();
    // Each takes a block of the log: more than there are.
    for each in 0..100 {
        let mut durable = world.engine.pause("orders", each % 2 == 0).unwrap();
        world.engine.commit();
        world.engine.commit();
        durable.now().unwrap().unwrap();
    }
    let receipt = world.engine.receive("orders", 1, None).unwrap()[0].receipt;
    let mut durable = world.engine.ack(receipt).unwrap();
    world.engine.commit();
    durable.now().unwrap().unwrap();
    world.restart();
    let figures = world.engine.look("orders").unwrap().1;
    assert_eq!(
        (figures.ready, figures.in_flight, figures.paused),
        (0, 0, false)
    );
}

#[test]
fn segments_that_are_left_are_synced_where_batches_are_not() {
    for seed in 0..8 {
        let disk = Arc::new(Simulated::new(seed));
        let now = Arc::new(AtomicU64::new(1_800_000_000_000));
        let options = EngineOptions {
            segment_bytes: SEGMENT,
            disk_max: SEGMENT * 64,
            durability: Durability::Interval(Duration::from_millis(1)),
            ..EngineOptions::default()
        };
        let clock = Arc::clone(&now);
        let clock = Box::new(move || Millis(clock.load(Ordering::Relaxed)));
        let of_engine: Arc<dyn Disk> = disk.clone();
        let engine = Engine::open_on(of_engine, options, SALT, clock).unwrap();
        let world = World {
            disk: disk.clone(),
            now: now.clone(),
            engine,
            segments_max: 64,
        };
        world.define("orders", Settings::default());
        for _ in 0..40 {
            world.published("orders", &[1; 3_000]);
        }
        world.engine.sync();
        disk.restart();
        let again = open(&disk, &now, 64);
        assert_eq!(again.look("orders").unwrap().1.ready, 40);
    }
}

#[test]
fn time_that_is_set_forward_and_back_goes_on() {
    let world = World::new(6, 8);
    world.define("orders", Settings::default());
    let day = 86_400_000;
    world.pass(day);
    world.published("orders", b"x");
    world.now.fetch_sub(day, Ordering::Relaxed);
    assert_eq!(world.engine.receive("orders", 1, None).unwrap().len(), 1);
    world.pass(31_000);
    let _next = world.engine.tick();
    assert_eq!(world.engine.receive("orders", 1, None).unwrap().len(), 1);
}

/// A disk that can't be read for a while.
struct Unreadable(Arc<Simulated>, AtomicU64);

impl Disk for Unreadable {
    fn slots(&self) -> io::Result<Vec<u32>> {
        self.0.slots()
    }
    fn create(&self, slot: u32, bytes: u64) -> io::Result<()> {
        self.0.create(slot, bytes)
    }
    fn write(&self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.write(slot, offset, bytes)
    }
    fn sync(&self, slot: u32) -> io::Result<()> {
        self.0.sync(slot)
    }
    fn read(&self, slot: u32, offset: u64, into: &mut [u8]) -> io::Result<()> {
        match self.1.load(Ordering::Relaxed) {
            0 => self.0.read(slot, offset, into),
            _ => Err(io::Error::other("too many open files")),
        }
    }
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.0.put(name, bytes)
    }
    fn remove(&self, slot: u32) -> io::Result<()> {
        self.0.remove(slot)
    }
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        self.0.get(name)
    }
}

#[test]
fn what_cannot_be_read_for_a_moment_comes_again_also_as_a_dead_letter() {
    let disk = Arc::new(Unreadable(Arc::new(Simulated::new(7)), AtomicU64::new(0)));
    let now = Arc::new(AtomicU64::new(1_800_000_000_000));
    let options = EngineOptions {
        segment_bytes: SEGMENT,
        ..EngineOptions::default()
    };
    let clock = Arc::clone(&now);
    let clock = Box::new(move || Millis(clock.load(Ordering::Relaxed)));
    let of_engine: Arc<dyn Disk> = disk.clone();
    let engine = Engine::open_on(of_engine, options, SALT, clock).unwrap();
    let mut definition = Definition::new("orders", Millis(0));
    definition.settings.attempts_max = 1;
    let _durable = engine.define(definition).unwrap();
    let _taken = engine.publish("orders", &keyed()).unwrap();
    engine.commit();
    disk.1.store(1, Ordering::Relaxed);
    assert_eq!(engine.receive("orders", 1, None).unwrap(), []);
    // Its only lease runs out while it can't be read.
    now.fetch_add(31_000, Ordering::Relaxed);
    let _next = engine.tick();
    disk.1.store(0, Ordering::Relaxed);
    now.fetch_add(301_000, Ordering::Relaxed);
    let _next = engine.tick();
    assert_eq!(engine.receive("orders", 1, None).unwrap()[0].body, b"once");
    assert_eq!(engine.events().len(), 2);
}

#[test]
fn dead_letters_go_only_where_a_queue_may_be() {
    let world = World::new(8, 8);
    let mut definition = Definition::new("orders", Millis(0));
    definition.settings.dead_letters = Some("no/name".to_owned());
    let refused = world.engine.define(definition).unwrap_err();
    assert!(
        refused.to_string().contains("where dead letters go"),
        "{refused}"
    );
}
