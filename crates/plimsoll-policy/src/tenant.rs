//! Tenants: who counts as one caller, where fairness is kept between callers and rates are limited by them.
//!
//! Without a key, a tenant is a client address: IPv4 whole, IPv6 its /64, which is what one subscriber gets.
//! With a key (an API key, say) it is the key, but only once that is known; until then the key's requests count
//! as the address's. Known is what the configuration lists, and what was proven: see `known`. So whoever sends
//! a fresh key with every request is one tenant, his address, and gains nothing.
//! Units: a weight is a multiple of what a tenant gets that nothing is said of. Invariants: nothing grows with
//! the number of keys or addresses; what is shown of a tenant is a name or part of a keyed hash, never a key.
//! Elsewhere: which header is the key, and which address is the client's (`plimsoll-gateway`); what a weight
//! does (admission).

mod hash;
mod known;

pub use hash::Salt;
pub use known::KnownTenants;

use std::fmt;
use std::net::IpAddr;

/// One tenant. Stable while the process runs, and different in the next: the hash is keyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(pub u64);

impl fmt::Display for TenantId {
    /// What is shown of a tenant without a name: 8 hex digits of its keyed hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0 >> 32)
    }
}

/// The keyed hash of a tenant's key: what is kept of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(u64);

/// A tenant's share, as a multiple of the default: 0.01 to 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Weight(f32);

impl Weight {
    /// What a tenant has that nothing is said of.
    pub const DEFAULT: Self = Self(1.0);
    /// The smallest: a tenant of no weight would starve.
    pub const MIN: Self = Self(0.01);
    /// The largest: beyond it the others would.
    pub const MAX: Self = Self(100.0);

    /// The number.
    pub const fn get(self) -> f32 {
        self.0
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The number was NaN or outside `0.01..=100`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NotAWeight(pub f32);

impl fmt::Display for NotAWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (min, max) = (Weight::MIN.0, Weight::MAX.0);
        write!(f, "{} is not a weight between {min} and {max}", self.0)
    }
}

impl std::error::Error for NotAWeight {}

impl TryFrom<f32> for Weight {
    type Error = NotAWeight;

    fn try_from(value: f32) -> Result<Self, NotAWeight> {
        if (Self::MIN.0..=Self::MAX.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(NotAWeight(value))
        }
    }
}

/// A tenant that the configuration lists; several keys may lead to one name.
#[derive(Clone, Copy, Debug)]
pub struct ConfiguredTenant {
    /// Its key, by [`Salt::key`].
    pub key: KeyHash,
    /// The position of its name in the configuration's list.
    pub name: u32,
    /// Who it is, by [`Salt::name`].
    pub tenant: TenantId,
    /// Its share.
    pub weight: Weight,
}

/// Who a request counts for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Identified {
    /// The tenant.
    pub tenant: TenantId,
    /// Its share.
    pub weight: Weight,
    /// The position of its name in the configuration's list; else it is shown by its id.
    pub name: Option<u32>,
    /// The key that was sent, unless the configuration lists it: for [`KnownTenants::on_good_answer`].
    pub unlisted_key: Option<KeyHash>,
}

// What is hashed under one salt is kept apart by these.
const ADDRESS_V4: u8 = 1;
const ADDRESS_V6: u8 = 2;
const KEY: u8 = 3;
const USER: u8 = 4;
const NAME: u8 = 4;

impl Salt {
    /// The hash of a tenant's key.
    pub fn key(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hash(KEY, key))
    }

    /// Who somebody is by what he proves himself with, uniform over all of `u64`: for what is done for some users and not
    /// for others.
    pub fn user(&self, credentials: &[u8]) -> u64 {
        self.hash(USER, credentials)
    }

    /// The tenant that an address is.
    pub fn address(&self, address: IpAddr) -> TenantId {
        // An IPv4 address in IPv6 clothing is the same caller on a dual-stack socket.
        TenantId(match address.to_canonical() {
            IpAddr::V4(address) => self.hash(ADDRESS_V4, &address.octets()),
            IpAddr::V6(address) => {
                let [network @ .., _, _, _, _, _, _, _, _] = address.octets();
                self.hash(ADDRESS_V6, &network)
            }
        })
    }

    /// The tenant of this name: the same after a reload, whatever stands beside it.
    pub fn name(&self, name: &str) -> TenantId {
        TenantId(self.hash(NAME, name.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = Salt::new(11, 22);

    #[test]
    fn an_ipv4_address_is_a_tenant_and_so_is_an_ipv6_network_of_64_bits() {
        check_same("2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true);
        check_same("2001:db8:1:2::1", "2001:db8:1:3::1", false);
        check_same("192.0.2.1", "192.0.2.1", true);
        check_same("192.0.2.1", "192.0.2.2", false);
        check_same("192.0.2.1", "::ffff:192.0.2.1", true);
        check_same("::ffff:192.0.2.1", "::ffff:192.0.2.2", false);
    }

    #[test]
    fn a_key_is_never_taken_for_an_address() {
        let address = IpAddr::from([192, 0, 2, 1]);
        assert_ne!(SALT.key(&[192, 0, 2, 1]).0, SALT.address(address).0);
    }

    #[test]
    fn what_is_shown_is_part_of_the_hash() {
        assert_eq!(TenantId(0x0123_4567_89ab_cdef).to_string(), "01234567");
    }

    #[test]
    fn a_weight_is_between_a_hundredth_and_a_hundred() {
        for value in [0.01, 1.0, 100.0] {
            assert_eq!(Weight::try_from(value).map(Weight::get), Ok(value));
        }
        for value in [0.0, -1.0, 0.009, 100.1, f32::NAN, f32::INFINITY] {
            assert!(Weight::try_from(value).is_err());
        }
        assert_eq!(
            NotAWeight(0.0).to_string(),
            "0 is not a weight between 0.01 and 100"
        );
    }

    #[track_caller]
    fn check_same(one: &str, other: &str, expected: bool) {
        let tenant = |address: &str| SALT.address(address.parse().unwrap());
        assert_eq!(tenant(one) == tenant(other), expected);
    }
}
