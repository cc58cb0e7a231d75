//! The shop, its open-loop load and the two-arm drawing.
