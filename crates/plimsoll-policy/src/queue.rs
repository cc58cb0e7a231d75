//! One durable queue: what is ready, what is leased and to whom, what waits, and what goes next.
//!
//! [`Queue`] is told what became durable and what time it is, and says what to deliver, what came back and what is dead. The shell
//! keeps messages' bodies in a log on disk; here are only their handles, at 12 bytes for each that is ready and has no group.
//! [`QueueImage`] is all of it at one moment; [`QueueLoader`] makes a queue of an image and of what the log says after it.
//!
//! Order. Priorities are strict with ageing: of each priority that has something ready, the front of the lane of the tenant whose
//! turn it is stands for all; the greatest `priority + floor(waited / raise_after)` goes, of equals the higher priority. Whatever
//! stands behind a front does not age into another's turn. A message waits since it became ready for the first time: a delay that
//! its publisher asked for is no waiting. Within a priority tenants take turns, one message each. Within a tenant messages go in
//! order of arrival, those that came back first. A group takes one turn at a time, and goes to the back of its lane with the next.
//!
//! Retention goes by the fronts too: a message that is too old and stands behind a younger one, which only a publish delay does,
//! expires when it comes to the front. One that is too old when a receiver comes before the tick is delivered.
//!
//! Sources: *Amazon SQS developer guide* (visibility timeout, message groups, deduplication); M. Brooker, "Exponential Backoff And
//! Jitter" (AWS, 2015): full jitter; M. Shreedhar and G. Varghese, "Efficient fair queueing using deficit round robin" (1996), here
//! with messages of equal cost.
//! Units: times are milliseconds of the log's clock; `bytes` is room in the log.
//! Invariants: each message is in exactly one place: a lane, a group's line, delayed or leased; of a group at most one message is
//! leased, and a group has a turn in a lane exactly while its head can be delivered.
//! Elsewhere: the log, its segments and their compaction, receipts, dead-letter queues, waiting receivers (`plimsoll-queue`).

mod dedup;
mod edit;
mod group;
mod handle;
mod image;
mod lane;
mod line;
mod loader;
mod look;
mod machine;
mod message;
mod parameters;
mod retention;
mod run;
#[cfg(test)]
mod tests;

pub use handle::{Handle, Millis};
pub use image::{NotAnImage, QueueImage};
pub use loader::QueueLoader;
pub use look::{Peeked, QueueFigures, Which};
pub use machine::Queue;
pub use message::{Arriving, Delivery, Nacked, PRIORITIES, QueueEvent};
pub use parameters::{NotLeased, QueueFull, QueueParameters};
