//! Operations endpoints, the control API and the web console.
//!
//! A shell: it runs on the control thread's runtime. What it shows and does comes from the process through
//! the [`Control`] trait; it holds no state of its own.
//!
//! Two servers, for two kinds of callers:
//! - [`serve_ops`] for machines: `/metrics`, `/livez`, `/readyz`; read-only, without tenant or client data.
//! - [`serve_console`] for people and the command line: the page `/`, `/api/status`, `POST /api/reload`.
//!
//! Invariants: every change needs the token; the console's `Host` and `Origin` are always checked, so that
//! a page of another site can neither read nor change anything; all that a peer sends is bounded in size
//! and time.

mod console;
mod control;
mod guard;
mod ops;
mod page;
mod problem;
mod server;

pub use console::{ConsoleOptions, serve_console};
pub use control::{Control, ReloadFuture};
pub use guard::Token;
pub use ops::serve_ops;
