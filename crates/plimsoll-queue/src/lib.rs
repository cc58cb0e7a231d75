//! Durable queues: a log on disk with group commit, what is in it, and the protocols that it is spoken to by.
//!
//! What may be delivered when is decided in `plimsoll_policy::queue`, without a disk. Here are the log that keeps messages, the
//! engine that joins both, and who asks them.
//!
//! [`sqs`] is what AWS SDKs speak: it turns requests into calls and answers into bytes, and does nothing itself.
//!
//! Two promises: what was acknowledged to a publisher is on disk, and what was acknowledged by a consumer is never delivered again.

mod disk;
pub mod engine;
mod log;
pub mod serve;
pub mod sqs;
