//! Notifiers: who is called where the governor decides that somebody is to look.
//!
//! What is to be told, once and in order, is decided by a pure state machine for each receiver ([`Outbox`]); how it is
//! written, by a pure function for each kind ([`Format`]). [`Notifiers`] is the shell: a task for each receiver on the
//! control thread's runtime, which never waits for them.
//!
//! Invariants: nothing of a URL but scheme, host and port is shown, logged or kept, nor a key; redirects are not followed; a
//! key that was told as begun is told as ended.
//! Elsewhere: what is open, and what was told before a restart (the binary's `notifying.rs`).

mod format;
mod line;
mod notification;
mod notifiers;
mod outbox;
mod secrets;
mod smtp;
mod target;

pub use format::{Format, Request, decode, encode};
pub use line::{Report, ReportResult, Told};
pub use notification::{Matter, Notification, Stage, key};
pub use notifiers::{NotifierError, Notifiers, Prepared, Quiet};
pub use outbox::{Batch, Fate, Outbox, OutboxParameters, Refusal};
pub use target::{Channel, Mail, Target, TargetConfig};
