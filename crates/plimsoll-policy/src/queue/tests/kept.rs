//! Goal: what a message costs, and what survives a restart. Method: big lanes are weighed; queues are written, read and compared.

use super::*;

fn is_sent<T: Send + 'static>(value: T) -> T {
    value
}

fn load(bytes: &[u8]) -> QueueLoader {
    QueueLoader::from_image(bytes, &QueueParameters::default()).unwrap()
}

fn finish(loader: QueueLoader, now: Millis) -> Queue {
    loader.finish(QueueParameters::default(), 2, now)
}

/// A queue with something in each place.
fn full() -> Queue {
    let mut queue = queue();
    for slot in 0..3_000 {
        let at = later(slot);
        let group = (slot % 7 == 0).then_some(u128::from(slot % 5));
        let due = Millis(if slot % 11 == 0 { at.0 + 9_000 } else { 0 });
        let dedup = (slot % 13 == 0).then_some(u128::from(slot));
        let (priority, tenant) = ((slot % 3) as u8, slot % 4);
        publish(
            &mut queue,
            Arriving {
                due,
                group,
                dedup,
                priority,
                tenant,
                ..message(slot, at)
            },
        );
    }
    for delivery in receive(&mut queue, later(3_000), 40).chunks(2) {
        let first = delivery[0];
        queue
            .on_nack(later(3_000), first.handle, first.token, None)
            .unwrap();
    }
    queue.pause_group(3, true);
    queue
}

#[test]
fn a_million_ready_messages_take_less_than_sixteen_bytes_each() {
    const MESSAGES: u64 = 1_000_000;
    let mut queue = queue();
    (0..MESSAGES).for_each(|slot| publish(&mut queue, message(slot, later(slot / 8))));
    let each = queue.heap_bytes() as f64 / MESSAGES as f64;
    assert!((12.0..13.0).contains(&each), "{each}");
    let bytes = encoded(&queue).len() as f64 / MESSAGES as f64;
    assert!((12.0..12.1).contains(&bytes), "{bytes}");
    // An image shares the chunks: it costs what a few of them do.
    let image = is_sent(queue.image());
    drop(queue);
    let mut bytes = Vec::new();
    image.encode(&mut bytes);
    let queue = finish(load(&bytes), later(MESSAGES));
    assert_eq!(queue.figures(later(MESSAGES)).ready, MESSAGES);
}

#[test]
fn an_image_is_not_changed_by_what_comes_after_it() {
    let mut queue = full();
    let image = queue.image();
    let before = encoded(&queue);
    receive(&mut queue, later(4_000), 500);
    let handles = queue.in_places(|_| true, 700);
    let moves = handles
        .iter()
        .map(|&handle| (handle, Handle(handle.0 + (1 << 40))));
    assert_eq!(queue.relocate(&moves.collect()), 700);
    queue.purge();
    let mut after = Vec::new();
    image.encode(&mut after);
    assert!(before == after);
}

#[test]
fn a_queue_that_was_read_goes_on_as_the_one_that_was_written() {
    let queue = full();
    let bytes = encoded(&queue);
    let mut queue = queue;
    let mut read = finish(load(&bytes), later(3_000));
    assert!(encoded(&read) == bytes);
    let now = later(60_000);
    tick(&mut queue, now);
    tick(&mut read, now);
    assert_eq!(queue.figures(now), read.figures(now));
    let ours = receive(&mut queue, now, 3_000);
    let theirs = receive(&mut read, now, 3_000);
    assert!(ours.len() > 2_000);
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!((ours.handle, ours.attempt), (theirs.handle, theirs.attempt));
    }
}

#[test]
fn receipts_survive_a_restart() {
    let mut queue = queue();
    publish(&mut queue, message(0, START));
    let image = encoded(&queue);
    let delivery = receive(&mut queue, START, 1)[0];
    let mut loader = load(&image);
    loader.on_leased(delivery.handle, 1, delivery.token, delivery.until);
    let mut from_record = finish(loader, later(1));
    let mut from_image = finish(load(&encoded(&queue)), later(1));
    for queue in [&mut from_record, &mut from_image] {
        assert_eq!(queue.next_timeout(), Some(delivery.until));
        assert_eq!(receive(queue, later(1), 1), []);
        let acked = queue.on_ack(later(1), delivery.handle, delivery.token);
        assert_eq!((acked, queue.figures(later(1)).bytes), (Ok(()), 0));
    }
}

#[test]
fn a_handle_that_is_used_again_is_another_message() {
    let mut queue = queue();
    (0..3).for_each(|slot| publish(&mut queue, message(slot, START)));
    let mut loader = load(&encoded(&queue));
    // Settled, used again, leased and settled again, used once more.
    loader.on_settled(handle(0));
    loader.on_published(Arriving {
        tenant: 5,
        ..message(0, later(1))
    });
    loader.on_leased(handle(0), 1, 7, later(9));
    loader.on_settled(handle(0));
    loader.on_published(Arriving {
        tenant: 6,
        ..message(0, later(2))
    });
    let queue = finish(loader, later(3));
    let seen = queue.peek(Which::Ready, 0, 9);
    let seen: Vec<_> = seen.iter().map(|it| (slot(it.handle), it.at)).collect();
    assert_eq!(seen, [(1, START), (0, later(2)), (2, START)]);
}

#[test]
fn a_message_that_was_moved_is_known_by_its_last_place_only() {
    let mut queue = queue();
    (0..3).for_each(|slot| publish(&mut queue, message(slot, START)));
    let mut loader = load(&encoded(&queue));
    loader.on_relocated(handle(0), handle(10));
    loader.on_relocated(handle(10), handle(11));
    // Nobody is there any more.
    loader.on_settled(handle(0));
    loader.on_settled(handle(10));
    loader.on_leased(handle(11), 1, 7, later(9));
    loader.on_returned(handle(11), 1, later(2));
    // Another where the first one was.
    loader.on_published(message(0, later(1)));
    loader.on_settled(handle(1));
    let mut queue = finish(loader, later(3));
    assert_eq!(slots(&mut queue, later(3), 9), [11, 2, 0]);
}

#[test]
fn records_of_what_nobody_knows_are_ignored() {
    let mut loader = QueueLoader::new();
    loader.on_settled(handle(1));
    loader.on_leased(handle(2), 1, 1, START);
    loader.on_returned(handle(3), 1, START);
    loader.on_relocated(handle(4), handle(5));
    let queue = finish(loader, START);
    assert_eq!(queue.figures(START), QueueFigures::default());
}

#[test]
fn a_long_log_is_replayed_in_room_for_what_is_left() {
    let mut loader = QueueLoader::new();
    for slot in 0..300_000 {
        loader.on_published(message(slot, later(slot)));
        if slot >= 100 {
            loader.on_leased(handle(slot - 100), 1, 1, later(slot + 9));
            loader.on_settled(handle(slot - 100));
        }
    }
    let mut queue = finish(loader, later(300_000));
    assert!(queue.heap_bytes() < 100_000, "{}", queue.heap_bytes());
    let left: Vec<_> = (299_900..300_000).collect();
    assert_eq!(slots(&mut queue, later(300_000), 200), left);
}

#[test]
fn holes_in_the_middle_of_a_lane_are_closed() {
    let mut queue = queue();
    (0..50_000).for_each(|slot| publish(&mut queue, message(slot, START)));
    publish(
        &mut queue,
        Arriving {
            group: Some(1),
            ..message(50_000, START)
        },
    );
    publish(&mut queue, message(50_001, START));
    let mut loader = load(&encoded(&queue));
    (1..49_999).for_each(|slot| loader.on_settled(handle(slot)));
    let mut queue = finish(loader, START);
    assert!(queue.heap_bytes() < 20_000, "{}", queue.heap_bytes());
    assert!(queue.remove(handle(0)));
    assert_eq!(slots(&mut queue, START, 9), [49_999, 50_000, 50_001]);
}
