//! Goal: each rule of the queue, one by one. Method: small queues with a handful of messages, at times that are told.

use std::collections::HashMap;
use std::time::Duration;

use super::*;

mod model;
mod rules;

const START: Millis = Millis(1_700_000_000_000);

fn handle(slot: u64) -> Handle {
    Handle((slot + 1) << 17 | (slot % 5 + 1))
}

fn encoded(queue: &Queue) -> Vec<u8> {
    let mut bytes = Vec::new();
    queue.image().encode(&mut bytes);
    bytes
}

fn later(millis: u64) -> Millis {
    Millis(START.0 + millis)
}
