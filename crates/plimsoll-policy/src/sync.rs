//! The atomics that threads share: those of the standard library, or loom's under `--cfg loom`, which tries
//! every order in which threads may see them.

#[cfg(loom)]
pub(crate) use loom::sync::atomic;
#[cfg(not(loom))]
pub(crate) use std::sync::atomic;
