//! Goal: each thing that becomes of a message is counted once, and a view holds the queues that matter.
//!
//! Method: one message of each fate on a simulated disk.

use super::*;

fn counts(world: &World, name: &str) -> QueueCounts {
    let view = world.engine.view(10);
    view.queues
        .iter()
        .find(|it| it.name == name)
        .unwrap()
        .counts
}

fn held(world: &World) -> Receipt {
    world.engine.receive("orders", 1, None).unwrap()[0].receipt
}

#[test]
fn what_becomes_of_messages_is_counted_once() {
    let mut world = World::new(11, 8);
    let settings = Settings {
        attempts_max: 2,
        dedup_by_body: true,
        retention: Duration::from_hours(1),
        ..Settings::default()
    };
    world.define("orders", settings);
    let _not_durable_yet = world.publish("orders", b"poison", None).unwrap();
    assert_eq!(counts(&world, "orders").published, 0);
    world.engine.commit();
    let _twice = world.publish("orders", b"poison", None).unwrap();
    world.engine.commit();
    let expected = QueueCounts {
        published: 1,
        duplicates: 1,
        ..QueueCounts::default()
    };
    assert_eq!(counts(&world, "orders"), expected);

    // It is given back, then nobody is done with it in time: a dead letter.
    let receipt = held(&world);
    world.engine.nack(receipt, Some(Duration::ZERO)).unwrap();
    assert!(world.engine.nack(receipt, None).is_err());
    let _receipt = held(&world);
    world.pass(31_000);
    let _next = world.engine.tick();
    world.engine.commit();
    // One whose lease runs out is returned, and done with the next time.
    world.published("orders", b"good");
    let _receipt = held(&world);
    world.pass(31_000);
    let _next = world.engine.tick();
    world.pass(5_000);
    let _next = world.engine.tick();
    let receipt = held(&world);
    let _durable = world.engine.ack(receipt).unwrap();
    assert!(world.engine.ack(receipt).is_err());
    world.published("orders", b"late");
    world.pass(3_700_000);
    let _next = world.engine.tick();
    world.engine.commit();
    let expected = QueueCounts {
        published: 3,
        duplicates: 1,
        delivered: 4,
        acknowledged: 1,
        returned: 2,
        dead: 1,
        expired: 1,
    };
    assert_eq!(counts(&world, "orders"), expected);

    // What is moved was published before.
    let (moved, _durable) = world.engine.redrive("orders-dead", None, 10).unwrap();
    world.engine.commit();
    assert_eq!(moved, 1);
    assert_eq!(counts(&world, "orders"), expected);
    assert_eq!(counts(&world, "orders-dead"), QueueCounts::default());
    world.restart();
    assert_eq!(counts(&world, "orders"), QueueCounts::default());
}

#[test]
fn a_view_has_the_queues_with_the_most_messages_by_name() {
    let world = World::new(12, 8);
    for (name, messages) in [("d", 0), ("c", 1), ("b", 1), ("a", 0), ("e", 2)] {
        world.define(name, Settings::default());
        for _ in 0..messages {
            world.published(name, b"x");
        }
    }
    let names = |max: usize| {
        let view = world.engine.view(max);
        let names: Vec<String> = view.queues.into_iter().map(|it| it.name).collect();
        (names.concat(), view.left_out)
    };
    assert_eq!(names(2), ("be".to_owned(), 3));
    assert_eq!(names(4), ("abce".to_owned(), 1));
    assert_eq!(names(9), ("abcde".to_owned(), 0));
    // The one that is being removed is not there, and nor is its name twice.
    let _not_durable_yet = world.engine.remove("e").unwrap();
    assert_eq!(names(9), ("abcd".to_owned(), 0));
    let _durable = world.engine.define(Definition::new("e", Millis(0)));
    assert_eq!(names(9), ("abcde".to_owned(), 0));
    assert_eq!(world.engine.view(9).queues[4].figures.ready, 0);
}

#[test]
fn queues_of_dead_letters_are_told_from_others() {
    let world = World::new(13, 8);
    let settings = Settings {
        dead_letters: Some("mails-lost".to_owned()),
        ..Settings::default()
    };
    world.define("mails", settings);
    for name in ["mails-lost", "mails-dead", "orders", "orders-dead"] {
        world.define(name, Settings::default());
    }
    let view = world.engine.view(1);
    assert_eq!((view.queues.len(), view.left_out), (1, 4));
    let marked: Vec<String> = world
        .engine
        .view(9)
        .queues
        .into_iter()
        .filter(|it| it.of_dead_letters)
        .map(|it| it.name)
        .collect();
    assert_eq!(marked, ["mails-lost", "orders-dead"]);
}

#[test]
fn a_view_says_what_the_disk_has_and_when_it_is_full_or_failed() {
    let world = World::new(14, 64);
    world.define("orders", Settings::default());
    world.engine.take_image();
    let view = world.engine.view(9);
    let disk = view.disk;
    assert!(!disk.is_full && disk.failed.is_none(), "{disk:?}");
    assert_eq!(disk.bytes_max, SEGMENT * 64);
    let segments = disk.segments_used + disk.segments_free;
    let image = world.disk.get("image").unwrap().unwrap();
    let expected = segments * SEGMENT + 2 * image.len() as u64;
    assert_eq!(disk.bytes, expected);
    assert_eq!(view.now, world.engine.clock());

    world.disk.full_at(5);
    let body = vec![7; 4_000];
    while world.publish("orders", &body, None).is_ok() {
        world.engine.commit();
        world.engine.prepare();
    }
    let disk = world.engine.view(9).disk;
    assert!(disk.is_full && disk.failed.is_none(), "{disk:?}");
    world.disk.fail_after(0);
    let _durable = world.engine.purge("orders").unwrap();
    world.engine.commit();
    assert!(world.engine.view(9).disk.failed.is_some());
}
