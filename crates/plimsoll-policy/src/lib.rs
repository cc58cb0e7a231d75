//! Pure state machines that decide on one thing each.
