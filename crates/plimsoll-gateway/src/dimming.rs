//! Which optional features are dimmed for whom, and how services learn of it.
//!
//! The level is a service's (`plimsoll_policy::BrownoutShared`). Invariants: a user is always dimmed before another or after
//! him, for as long as the process lives; only Plimsoll says what is dimmed.

use std::net::IpAddr;

use plimsoll_http1::{Fields, Name};
use plimsoll_policy::Salt;

use crate::flagged;
use crate::plan::{Plan, ServicePlan};

/// What services learn of it: a list of the features that are dimmed for whoever asks (RFC 9651). Absent: none is.
pub(crate) const BROWNOUT: &str = "Plimsoll-Brownout";

/// Features that are dimmed for one user, a bit each by their place in the service's list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dimmed(u32);

impl Dimmed {
    /// `user` is only asked for where anything is dimmed at all.
    pub(crate) fn of(service: &ServicePlan, user: impl FnOnce() -> u64) -> Self {
        let brownout = &service.shared.guard.brownout;
        if service.features.is_empty() || brownout.is_off() {
            return Self::default();
        }
        let user = user();
        let dims = |place: &usize| brownout.dims(*place, user);
        let places = (0..service.features.len().min(32)).filter(dims);
        Self(places.fold(0, |all, place| all | 1 << place))
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) fn has(self, feature: usize) -> bool {
        feature < 32 && self.0 & (1 << feature) != 0
    }

    /// Those that a flag has off. `is_off` is only asked where a flag switches something.
    pub(crate) fn switched_off(service: &ServicePlan, is_off: impl Fn(&str) -> bool) -> Self {
        let off = service.switches.iter().filter(|(_, flag)| is_off(flag));
        let off = off.filter(|(place, _)| *place < 32);
        Self(off.fold(0, |all, (place, _)| all | 1 << place))
    }

    /// These and those.
    pub(crate) fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// The value of [`BROWNOUT`]; `None` where nothing is dimmed.
    pub(crate) fn list(self, features: &[String]) -> Option<String> {
        if self.is_empty() {
            return None;
        }
        let named = features.iter().enumerate();
        let dimmed = named.filter(|(place, _)| self.has(*place));
        let names: Vec<&str> = dimmed.map(|(_, name)| name.as_str()).collect();
        Some(names.join(", "))
    }
}

/// Who asks: by the tenant's key where the route has that, else by what he proves himself with, else by his address. Of a
/// service with features that a flag switches, the targeting key comes first, so that flags tell the same users apart.
pub(crate) fn user(
    plan: &Plan,
    service: &ServicePlan,
    tenant_header: Option<&str>,
    fields: &Fields,
    client: IpAddr,
) -> u64 {
    let configured = Some(&plan.config.flags).filter(|_| !service.switches.is_empty());
    let user = configured.and_then(|flags| flagged::user(flags, fields));
    match user {
        Some(user) => plan.salt.user(user.as_bytes()),
        None => user_by(&plan.salt, tenant_header, fields, client),
    }
}

fn user_by(salt: &Salt, tenant_header: Option<&str>, fields: &Fields, client: IpAddr) -> u64 {
    let key = tenant_header.and_then(|name| fields.get_named(name.as_bytes()));
    key.filter(|key| !key.is_empty())
        .or_else(|| fields.get(Name::Authorization))
        .map_or_else(|| salt.address(client).0, |proof| salt.user(proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(all: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in all {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[test]
    fn a_user_is_the_same_whatever_else_he_sends_and_from_wherever_he_comes() {
        let salt = Salt::new(1, 2);
        let (here, there) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let ana = ("authorization", "Bearer ana");
        let who = |fields_: &[(&str, &str)], client| {
            user_by(&salt, Some("x-key"), &fields(fields_), client)
        };
        assert_eq!(who(&[ana], here), who(&[ana, ("cookie", "a")], there));
        assert_ne!(
            who(&[ana], here),
            who(&[("authorization", "Bearer bo")], here)
        );
        assert_eq!(
            who(&[ana, ("x-key", "k")], here),
            who(&[("x-key", "k")], there)
        );
        assert_eq!(who(&[ana, ("x-key", "")], here), who(&[ana], here));
        assert_eq!(who(&[], here), who(&[("cookie", "a")], here));
        assert_ne!(who(&[], here), who(&[], there));
        let other = user_by(&Salt::new(1, 3), None, &fields(&[ana]), here);
        assert_ne!(who(&[ana], here), other, "nobody can tell from outside");
    }

    #[test]
    fn what_is_dimmed_is_listed_in_the_service_s_order() {
        assert_eq!(Dimmed(0b100).and(Dimmed(0b001)), Dimmed(0b101));
        let features = ["reviews", "maps", "ads"].map(str::to_owned);
        assert_eq!(Dimmed(0).list(&features), None);
        assert_eq!(Dimmed(0b101).list(&features).unwrap(), "reviews, ads");
        assert!(Dimmed(0b100).has(2) && !Dimmed(0b100).has(1) && !Dimmed(u32::MAX).has(32));
    }
}
