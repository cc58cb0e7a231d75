//! Operations endpoints, the control API and the web console.
//!
//! A shell: it runs on the control thread's runtime. What it shows and does comes from the process through
//! the [`Control`] trait; it holds no state of its own but the sessions of browsers.
//!
//! And who is called where somebody is to look: [`notify`].
//!
//! Two servers, for two kinds of callers:
//! - [`serve_ops`] for machines: `/metrics`, `/livez`, `/readyz`; read-only, without tenant or client data.
//! - [`serve_console`] for people and the command line: the page `/`, the control API
//!   `/api/v1/...`.
//!
//! Invariants: every change needs a token, of somebody who may make it; the console's `Host` and `Origin` are always checked, so that
//! a page of another site can neither read nor change anything; all that a peer sends is bounded in size
//! and time, and all of them together take a share of the control thread at most (`share`).

mod access;
mod act;
mod api;
mod approval;
mod assets;
mod change;
mod command;
mod console;
mod control;
mod events;
mod flag;
mod freeze;
mod guard;
mod incident;
mod length;
pub mod notify;
mod ops;
mod overlay;
mod page;
mod problem;
mod purge;
mod rollout;
mod server;
mod session;
mod share;
mod sign_in;
mod turns;
mod visitor;
mod watch;
mod wire;

pub use access::{Caller, Role};
pub use approval::{Answered, ApprovalList, ApprovalVerb, ApprovalWanted, Exempt, How, HowWanted};
pub use change::{
    ApplyWanted, Applying, ChangePlan, ConfigurationText, Configurations, KeptConfiguration,
    PlanWanted, PlannedChange, RollbackWanted, WatchView,
};
pub use console::{ConsoleOptions, serve_console};
pub use control::{Answer, Control, Runbook};
pub use flag::{
    FlagAct, FlagActWanted, FlagChange, FlagChanged, FlagContextWanted, FlagDimmed, FlagEvaluated,
    FlagList, FlagSetting, FlagView, FlagWanted,
};
pub use freeze::{FREEZE_LENGTH_MAX, FreezeList, FreezeWanted, Freezing};
pub use incident::{DeedVerb, DeedWanted, IncidentList, NOTE_MAX};
pub use length::parse as length;
pub use ops::serve_ops;
pub use overlay::{LENGTH_MAX, LEVEL_MAX, Overlay, Setting, SettingWanted, Verb};
pub use page::{Past, PastView, Water};
pub use problem::Problem;
pub use purge::{PurgeOf, PurgeWanted, Purging};
pub use rollout::{RolloutDeed, RolloutList, RolloutVerb, RolloutWanted};
pub use turns::Turns;
pub use wire::{
    Changed, Estimate, IncidentRecords, JournalQuery, Records, TargetTried, TokenCreated,
    TokenView, TokenWanted, Tokens, Tried, TryWanted, WithoutPlimsoll, WithoutQuery,
};
