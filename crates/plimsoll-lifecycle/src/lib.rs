//! One call from arrival to settlement.
