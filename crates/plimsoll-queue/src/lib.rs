//! Durable queues, and the protocols that they are spoken to by.
//!
//! [`sqs`] is what AWS SDKs speak: it turns requests into calls and answers into bytes, and does nothing itself.
//!
//! Invariants: what a client sends is bounded and checked before it becomes a call; the time and the keys are given by the caller.
//! Elsewhere: sockets and connections, and what a queue does with a call.

pub mod sqs;
