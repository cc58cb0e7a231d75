//! What must outlive the process: the journal of decisions, the state that people and the governor set at run time,
//! and the history of budgets.
//!
//! A library of shells: it blocks on a disk, so it has a thread of its own ([`Keeper`]), and nothing that serves
//! requests ever waits for it. A record is an envelope and bytes; what decisions are is not known here.
//!
//! - `record`: the envelope, and the chain of hashes that makes a change to the past show.
//! - `identity`: who writes, and the signature under the head of its chain.
//! - `history`: what is kept of what was counted, and in which form.
//! - `store`: what any store does; `sqlite`: the one on a disk.
//! - `verify`: whether what is there is what was written.
//! - `keeper`: the thread, what it is told, and what is done while the store fails.

mod history;
mod identity;
mod keeper;
mod record;
mod sqlite;
mod store;
mod verify;

pub use history::{Addition, Additions, Amount, Bucket, RESOLUTIONS, Stretch};
pub use identity::{Head, HeadError, Identity, IdentityError};
pub use keeper::{Appended, Change, Keeper, KeeperView, NotChanged, ValueOf};
pub use record::{BODY_BYTES_MAX, Entry, Hash, Record};
pub use sqlite::{Damage, SqliteStore};
pub use store::{Cursor, Filter, Kept, Store, StoreError};
pub use verify::{Break, Report, verify};
