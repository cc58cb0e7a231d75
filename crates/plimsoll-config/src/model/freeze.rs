//! When nothing risky is changed.

use plimsoll_core::Timestamp;

use super::Service;

/// `[freeze.NAME]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freeze {
    /// These services; empty: all.
    pub services: Vec<String>,
    /// Those of these owners; empty: of all.
    pub owners: Vec<String>,
    /// Those of these tiers; empty: of all.
    pub tiers: Vec<u8>,
    /// When it begins.
    pub from: Timestamp,
    /// When it ends: later.
    pub until: Timestamp,
    /// Why.
    pub why: String,
}

impl Freeze {
    /// Whether a service is one of those.
    pub fn covers(&self, name: &str, service: &Service) -> bool {
        let owner = service.owner.as_ref();
        (self.services.is_empty() || self.services.iter().any(|it| it == name))
            && (self.owners.is_empty() || owner.is_some_and(|owner| self.owners.contains(owner)))
            && (self.tiers.is_empty() || self.tiers.contains(&service.tier))
    }

    /// Whether it is on.
    pub fn is_on(&self, now: Timestamp) -> bool {
        (self.from..self.until).contains(&now)
    }
}
