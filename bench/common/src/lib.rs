//! What the benches share: a proxy as a pinned process, what it costs by the kernel's counters, loads and an
//! upstream, the machine, medians and tables.
//!
//! Elsewhere: what is measured, and with which configurations (the bench's own crate).

pub mod clock;
pub mod command;
pub mod failure;
pub mod h2load;
pub mod machine;
pub mod measured;
pub mod nginx;
pub mod plimsoll;
pub mod process;
pub mod proxy;
pub mod random;
pub mod response;
pub mod summary;
pub mod table;
pub mod upstream;
pub mod words;
