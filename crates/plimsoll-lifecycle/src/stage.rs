//! The order in which policies see a call. One order for all protocols; stages are filled as policies
//! arrive, and none is reordered.

/// A stage of a call's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// Whether the peer's claims (forwarded address, class, deadline) are believed.
    Trust,
    /// Which route, and so which service.
    Route,
    /// Tenant, class, deadline.
    Identify,
    /// Read-only, and features that are dimmed.
    Degrade,
    /// Declared rates.
    RateLimit,
    /// The contract at the edge. Not filled yet.
    Contract,
    /// A stored answer.
    Cache,
    /// Accept now, do later. Not filled yet.
    Defer,
    /// A permit under the service's limit.
    Admit,
    /// Which version of the service.
    Variant,
    /// Which endpoint.
    Endpoint,
    /// The call itself.
    Attempt,
    /// Again, or beside.
    Retry,
    /// What is answered instead: what is stored and stale, a page, or another service's answer.
    Fallback,
    /// One outcome, one cause, every permit back.
    Settle,
}

impl Stage {
    /// All stages, in the order of a call's life.
    pub const ORDER: [Self; 15] = [
        Self::Trust,
        Self::Route,
        Self::Identify,
        Self::Degrade,
        Self::RateLimit,
        Self::Contract,
        Self::Cache,
        Self::Defer,
        Self::Admit,
        Self::Variant,
        Self::Endpoint,
        Self::Attempt,
        Self::Retry,
        Self::Fallback,
        Self::Settle,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_the_list_is_the_order_of_comparison() {
        assert!(Stage::ORDER.is_sorted());
    }
}
