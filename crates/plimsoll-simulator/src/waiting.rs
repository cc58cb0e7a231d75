//! Requests that wait, by their tickets.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use plimsoll_policy::Ticket;

/// Where each request is kept. Looked up, never iterated over: the order differs from run to run.
pub(crate) type Waiting = HashMap<Ticket, u32, BuildHasherDefault<TicketHasher>>;

/// Hashes tickets: they are made of small numbers, and nobody chooses them to collide.
#[derive(Default)]
pub(crate) struct TicketHasher(u64);

impl Hasher for TicketHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        // Fibonacci hashing (D. Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0.rotate_left(23) ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u64(value as u64);
    }
}
