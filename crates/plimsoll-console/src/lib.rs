//! Operations endpoints and control API.
