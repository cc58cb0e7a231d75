//! The data plane with sockets: real services behind it, real clients before it.

mod mirror;
mod rollout;
mod running;
