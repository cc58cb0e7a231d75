//! Who sends requests to services: workloads, and then the calls of services among each other.
//!
//! A call is a request like any other. Its client is an endpoint that works on one, and that hangs up after the call's
//! timeout as a user does for lack of patience.
//! Invariant: positions are those of [`Scenario::senders`].

use std::collections::BTreeMap;

use plimsoll_config::scenario::{Scenario, ScenarioService};
use plimsoll_policy::GROUPS;

use crate::agenda::Nanos;
use crate::fleet::clients::nanos;

/// What all requests of a sender have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sender {
    pub(super) service: usize,
    /// The position among those that send to this service: a route each.
    pub(super) group: u8,
    pub(super) patience: Nanos,
}

/// A call that a service may have to make for a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The sender that it is.
    pub(super) sender: u16,
    /// The share of requests that need it.
    pub(super) share: f64,
    pub(super) attempts: u8,
}

/// All senders of a scenario.
pub(super) fn senders(scenario: &Scenario) -> impl Iterator<Item = Sender> {
    let workloads = scenario.workloads.iter();
    let workloads = workloads.map(|workload| (workload.service, nanos(workload.patience)));
    let calls = scenario.services.iter().flat_map(|service| &service.calls);
    let calls = calls.map(|call| (call.service, nanos(call.timeout)));
    let mut groups: BTreeMap<usize, usize> = BTreeMap::new();
    workloads.chain(calls).map(move |(service, patience)| {
        let group = groups.entry(service).or_default();
        let sender = Sender {
            service,
            // As routes in production: the last group is for all that are left.
            group: (*group).min(GROUPS - 1) as u8,
            patience,
        };
        *group += 1;
        sender
    })
}

/// What each service calls, in the order in which it does.
pub(super) fn needs(scenario: &Scenario) -> impl Iterator<Item = Vec<Need>> {
    let mut next = scenario.workloads.len();
    scenario
        .services
        .iter()
        .map(move |service: &ScenarioService| {
            let calls = service.calls.iter().zip(next..);
            let calls = calls.map(|(call, position)| Need {
                sender: position as u16,
                share: call.share,
                attempts: call.attempts,
            });
            next += service.calls.len();
            calls.collect()
        })
}
