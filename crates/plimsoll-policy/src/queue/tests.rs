//! What the tests of the queue share.

use std::collections::HashMap;
use std::time::Duration;

use super::*;

mod kept;
mod model;
mod rules;

const START: Millis = Millis(1_700_000_000_000);
const SECOND: Duration = Duration::from_secs(1);

fn handle(slot: u64) -> Handle {
    Handle((slot + 1) << 17 | (slot % 5 + 1))
}

fn later(millis: u64) -> Millis {
    Millis(START.0 + millis)
}

fn encoded(queue: &Queue) -> Vec<u8> {
    let mut bytes = Vec::new();
    queue.image().encode(&mut bytes);
    bytes
}

fn queue() -> Queue {
    Queue::new(QueueParameters::default(), 1)
}

/// One message, due at once, of tenant 0 at priority 0.
fn message(slot: u64, at: Millis) -> Arriving {
    Arriving {
        handle: handle(slot),
        at,
        due: Millis(0),
        priority: 0,
        tenant: 0,
        group: None,
        dedup: None,
    }
}

fn publish(queue: &mut Queue, arriving: Arriving) {
    queue.on_published(arriving.at, arriving);
}

fn receive(queue: &mut Queue, now: Millis, wanted: usize) -> Vec<Delivery> {
    let mut out = Vec::new();
    queue.receive(now, wanted, None, &mut out);
    out
}

/// Which were delivered.
fn slots(queue: &mut Queue, now: Millis, wanted: usize) -> Vec<u64> {
    let deliveries = receive(queue, now, wanted);
    let slots = deliveries.iter().map(|delivery| slot(delivery.handle));
    slots.collect()
}

fn slot(handle: Handle) -> u64 {
    (handle.0 >> 17) - 1
}

fn tick(queue: &mut Queue, now: Millis) -> Vec<QueueEvent> {
    let mut events = Vec::new();
    queue.on_tick(now, &mut events);
    events
}
