//! The HTTP data plane: listeners, routing, forwarding.
