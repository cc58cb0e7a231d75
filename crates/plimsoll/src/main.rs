//! The Plimsoll program.
fn main() {}
