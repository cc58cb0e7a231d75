//! Which version of a service requests go to, and what came of them there.
//!
//! A service that is rolled out has two arms: its own endpoints and those of another version. Its guard is one for both. The
//! control thread sets the weight, which acts on all threads with their next request, and reads the counters; both are
//! kept for as long as a plan has the rollout ([`RolloutShared`]), so a reload changes nothing of it.
//! Invariants: a request without a rollout pays for one look at an `Option`; a request that found no endpoint of the
//! version up is served by the service itself, and is evidence for neither; what Plimsoll refused, and what clients broke
//! off, is counted nowhere here.
//! Elsewhere: who is moved at a weight (`plimsoll_policy::rollout::split`); what the weight is, and what the counters
//! mean (`plimsoll_policy::rollout`).

mod counters;
mod first;

pub(crate) use counters::{Judged, POOLED};
pub use counters::{RolloutCounts, RouteArms};
pub(crate) use first::First;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use plimsoll_config::{Config, Rollout, RolloutKind, SplitBy};
use plimsoll_core::{Mode, never};
use plimsoll_http1::Fields;
use plimsoll_policy::hash_key;
use plimsoll_policy::rollout::Weight;
use plimsoll_policy::rollout::split::{Arm, Split, Variant};
use plimsoll_upstream::Cluster;

use self::counters::Counters;
use crate::cookies;

/// Copies of requests in flight: enough for some hundred requests a second, and few beside what a gateway has in flight.
const COPIES_MAX: u32 = 64;

/// What all threads share about a rollout.
#[derive(Debug)]
pub struct RolloutShared {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub service: String,
    /// What requests are moved to.
    pub version: String,
    /// The parts of a [`Weight`].
    weight: AtomicU16,
    /// Copies of requests in flight.
    copies: AtomicU32,
    pub(crate) counters: Counters,
}

impl RolloutShared {
    /// At weight 0.
    fn new(threads: usize, name: &str, rollout: &Rollout) -> Self {
        Self {
            name: name.to_owned(),
            service: rollout.service.clone(),
            version: rollout.version.clone(),
            weight: AtomicU16::new(0),
            copies: AtomicU32::new(0),
            counters: Counters::new(threads),
        }
    }

    /// The share of requests that goes to the version. All threads go by it with their next request.
    pub fn set_weight(&self, weight: Weight) {
        self.weight.store(weight.parts(), Ordering::Relaxed);
    }

    /// The share in force.
    pub fn weight(&self) -> Weight {
        Weight::of_parts(self.weight.load(Ordering::Relaxed))
    }

    /// From when on a request is slower than each rung of the ladder (`plimsoll_policy::rollout::Ladder::edges`), the fastest
    /// first. What was counted before stays counted: set it before the rollout begins.
    pub fn set_edges(&self, edges: &[Duration]) {
        self.counters.set_edges(edges);
    }

    /// A rollout begins: clients with bad answers are told apart anew.
    pub fn begin(&self) {
        self.counters.forget_clients();
    }

    /// A place for a copy of a request, if there is one.
    pub(crate) fn take_copy(self: &Arc<Self>) -> Option<CopyInFlight> {
        let copies = &self.copies;
        let taken = copies.try_update(Ordering::Relaxed, Ordering::Relaxed, |copies| {
            (copies < COPIES_MAX).then_some(copies + 1)
        });
        taken.ok().map(|_| CopyInFlight(Arc::clone(self)))
    }

    /// What came of requests, over all threads, since the rollout is in the configuration.
    pub fn counts(&self) -> RolloutCounts {
        self.counters.read()
    }
}

/// A copy of a request in flight.
#[derive(Debug)]
pub(crate) struct CopyInFlight(Arc<RolloutShared>);

impl Drop for CopyInFlight {
    fn drop(&mut self) {
        self.0.copies.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The rollouts of one service that a plan has, or had when they were last asked for.
#[derive(Debug, Default)]
pub(crate) struct Rollouts(Mutex<Vec<Weak<RolloutShared>>>);

impl Rollouts {
    /// The one of this name and version: that of the plan in force, if it has it.
    fn of(&self, threads: usize, name: &str, rollout: &Rollout) -> Arc<RolloutShared> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|it| it.strong_count() > 0);
        let is_same = |it: &Arc<RolloutShared>| it.name == name && it.version == rollout.version;
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(is_same) {
            return same;
        }
        let new = Arc::new(RolloutShared::new(threads, name, rollout));
        known.push(Arc::downgrade(&new));
        new
    }
}

/// A rollout of the plan.
#[derive(Debug)]
pub struct RolloutPlan {
    /// What all threads share.
    pub shared: Arc<RolloutShared>,
    /// What goes to the version.
    pub kind: RolloutKind,
    /// The version's place among the groups of the service's cluster.
    pub group: usize,
    /// The service's latency objective.
    pub objective: Option<Duration>,
    /// Whether what would change something is copied, too.
    pub(crate) mirrors_unsafe: bool,
    split: Split,
    by: SplitBy,
    header: Option<(String, String)>,
    /// Its versions are variants of a flag: they are at the same endpoints.
    pub(crate) is_flag: bool,
}

impl RolloutPlan {
    /// The rollout of a service, if it has one that is not off.
    pub(crate) fn new(
        config: &Config,
        service: &str,
        cluster: &Cluster,
        rollouts: &Rollouts,
        threads: usize,
        objective: Option<Duration>,
    ) -> Option<Box<Self>> {
        let mut all = config.rollouts.iter();
        let (name, rollout) = all.find(|(_, it)| it.service == service && it.mode != Mode::Off)?;
        let mut groups = cluster.groups.iter();
        // What a flag says is done by the service itself.
        let group = match &rollout.flag {
            Some(_) => Some(0),
            None => groups.position(|it| it.version.as_ref() == Some(&rollout.version)),
        };
        let Some(group) = group else {
            never!(group.is_none());
            return None;
        };
        Some(Box::new(Self {
            shared: rollouts.of(threads, name, rollout),
            kind: rollout.kind,
            group,
            objective,
            mirrors_unsafe: rollout.mirror_unsafe,
            split: Split::new(name),
            by: rollout.by.clone(),
            header: rollout.header.clone(),
            is_flag: rollout.flag.is_some(),
        }))
    }

    /// Where a request goes.
    pub(crate) fn variant(&self, asked: &Asking<'_>) -> Variant {
        if self.kind == RolloutKind::Mirror {
            return Variant {
                arm: Arm::Stable,
                judged: true,
            };
        }
        if self.is_chosen(asked.fields) {
            return Variant {
                arm: Arm::Canary,
                judged: false,
            };
        }
        // Whom a flag can't tell apart gets what it is for all.
        if self.is_flag && self.own_key(asked).is_none() {
            return Variant {
                arm: Arm::Stable,
                judged: false,
            };
        }
        Variant {
            arm: self.draw(asked),
            judged: true,
        }
    }

    /// On which side of the split it is.
    pub(crate) fn draw(&self, asked: &Asking<'_>) -> Arm {
        match self.shared.weight() {
            Weight::NONE => Arm::Stable,
            Weight::ALL => Arm::Canary,
            weight => self.split.arm(self.key(asked), weight),
        }
    }

    /// Whether its answers are those of the service: they may be stored and given to others.
    pub(crate) fn has_all(&self) -> bool {
        self.shared.weight() == Weight::ALL
    }

    /// Whether whoever asks has chosen the version.
    fn is_chosen(&self, fields: &Fields) -> bool {
        let header = self.header.as_ref();
        header.is_some_and(|(name, value)| {
            fields.get_named(name.as_bytes()) == Some(value.as_bytes())
        })
    }

    /// What stays together.
    fn key(&self, asked: &Asking<'_>) -> u64 {
        if self.by == SplitBy::Request {
            return asked.random;
        }
        self.own_key(asked)
            .unwrap_or_else(|| client_key(asked.client))
    }

    /// By what the request says of whose it is.
    fn own_key(&self, asked: &Asking<'_>) -> Option<u64> {
        let own = key_of(&self.by, asked.fields, asked.tenant_header);
        own.map(hash_key)
    }
}

/// What a request says of whose it is; `None`: nothing.
pub(crate) fn key_of<'a>(
    by: &SplitBy,
    fields: &'a Fields,
    tenant_header: Option<&str>,
) -> Option<&'a [u8]> {
    let named = |name: &str| fields.get_named(name.as_bytes());
    let own = match by {
        SplitBy::Request | SplitBy::Client => None,
        SplitBy::Tenant => tenant_header.and_then(named),
        SplitBy::Header(name) => named(name),
        SplitBy::Cookie(name) => cookies::value(fields, name),
    };
    own.filter(|value| !value.is_empty())
}

/// What is known of who asks.
pub(crate) struct Asking<'a> {
    pub(crate) fields: &'a Fields,
    pub(crate) tenant_header: Option<&'a str>,
    pub(crate) client: IpAddr,
    pub(crate) random: u64,
}

/// The same in all processes: whoever was moved stays so over a restart.
pub(crate) fn client_key(client: IpAddr) -> u64 {
    match client.to_canonical() {
        IpAddr::V4(address) => hash_key(&address.octets()),
        // All of a client's own network (RFC 6177 section 2).
        IpAddr::V6(address) => hash_key(&(address.to_bits() >> 64).to_be_bytes()),
    }
}

#[cfg(test)]
mod tests;
