//! Goal: each rule of the queue, one by one. Method: small queues with a handful of messages, at times that are told.

use super::*;

const SECOND: u64 = 1_000;
