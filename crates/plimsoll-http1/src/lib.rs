//! HTTP/1.1 codec: bytes in, events out; both sides of the proxy.
//!
//! Sources: RFC 9110 (semantics) and RFC 9112 (HTTP/1.1); tokenizing is `httparse`'s.
//! Invariant: a message that two parsers could read differently is refused, never repaired. So each
//! message has one parse, and what is written out is built from that parse, not copied through.
//! Elsewhere: sockets, timers, bounds on whole bodies, hop-by-hop rules (`plimsoll-gateway`).
//!
//! One direction of a connection is a `BytesMut` that the shell reads into. [`parse_request`] or
//! [`parse_response`] takes a head off its front; a [`BodyDecoder`] made from the head's [`Framing`] says
//! which bytes after it are body; the next head follows. Heads are buffers to be reused: once warm,
//! parsing allocates nothing.

mod authority;
mod body;
mod connection;
mod encode;
mod fields;
mod framing;
pub mod fuzz;
mod head;
mod name;
mod request;
mod response;
mod target;

pub use authority::Authority;
pub use body::{BodyDecoder, BodyError, Piece, is_forbidden_trailer};
pub use encode::{
    reason_phrase, write_chunk, write_chunk_head, write_chunk_tail, write_content_length,
    write_field, write_head_end, write_last_chunk, write_request_line, write_status_line,
};
pub use fields::{Field, Fields};
pub use framing::{Framing, FramingError};
pub use head::{HeadError, HeadLimits, Version};
pub use name::Name;
pub use request::{RequestError, RequestHead, parse_request};
pub use response::{ResponseError, ResponseHead, parse_response};
pub use target::TargetForm;
