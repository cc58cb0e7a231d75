//! Endpoint health on the control thread: runs checks and probes, merges what requests show, publishes.
//!
//! What makes an endpoint up or down is decided by `plimsoll_policy::PeerControl`, which sees all endpoints of
//! a service, and `EndpointControl`, one for each; this is their shell.

mod check;

pub use check::HealthCheck;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_policy::{
    DownCause, EndpointControl, EndpointShared, Peer, PeerControl, Transition, Verdict,
};
use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

use crate::clock::Clock;
use crate::cluster::{Cluster, Clusters};
use crate::connect::connect;
use crate::endpoint::{Endpoint, EndpointKey};

/// How often what requests show is merged: a crashed endpoint is out within this, once it was noticed.
const TICK: Duration = Duration::from_millis(25);
/// The first check of an endpoint comes within this, whatever the interval.
const FIRST_CHECK_MAX: Duration = Duration::from_millis(500);
/// Results that wait for the next turn of the loop.
const RESULTS_MAX: usize = 1_024;

/// A service's active checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthConfig {
    /// What is asked.
    pub check: HealthCheck,
    /// Between two checks of one endpoint; varied by a tenth, so that checks do not come in step.
    pub interval: Duration,
    /// How long an answer may take, the connection included.
    pub timeout: Duration,
}

/// An endpoint went up or down; or would have, where a policy only observes (`transition.acted`).
#[derive(Clone, Debug)]
pub struct HealthEvent {
    /// Which one.
    pub endpoint: Arc<Endpoint>,
    /// What happened.
    pub transition: Transition,
    /// Why, for a person.
    pub reason: Option<String>,
}

/// The health of all endpoints. Lives on the control thread.
#[derive(Debug)]
pub struct Health {
    clock: Clock,
    rng: Xoshiro256PlusPlus,
    events: mpsc::Sender<HealthEvent>,
    services: BTreeMap<String, Service>,
    /// Which service an endpoint belongs to, and its position there.
    places: BTreeMap<EndpointKey, (String, usize)>,
    results: mpsc::Sender<Finished>,
    /// Kept between ticks, so that a tick does not allocate.
    transitions: Vec<(usize, Transition)>,
}

#[derive(Debug)]
struct Service {
    /// In the order of [`Cluster::groups`]: a version is not judged by what another one does.
    groups: Vec<Group>,
    endpoints: Vec<Watched>,
}

/// Endpoints that are judged among themselves.
#[derive(Debug)]
struct Group {
    version: Option<String>,
    range: Range<usize>,
    peers: PeerControl,
}

#[derive(Debug)]
struct Watched {
    endpoint: Arc<Endpoint>,
    control: EndpointControl,
    checks: Option<Checks>,
    /// Why the last check that failed did.
    reason: Option<String>,
}

impl Watched {
    /// Why it is so, for a person.
    fn reason(&self, transition: &Transition) -> Option<String> {
        match transition.verdict {
            Verdict::Down(DownCause::Checks) => self.reason.clone(),
            Verdict::Down(DownCause::Connect) => self
                .endpoint
                .connect_error()
                .map(|error| crate::chain(&*error).to_string()),
            Verdict::Up { .. }
            | Verdict::HalfOpen
            | Verdict::Down(DownCause::Breaker | DownCause::Ejection) => {
                transition.reason.map(|reason| reason.to_string())
            }
        }
    }
}

impl Peer for Watched {
    fn parts(&mut self) -> (&mut EndpointControl, &EndpointShared) {
        (&mut self.control, &self.endpoint.shared)
    }
}

/// The task that checks one endpoint; ends with this.
#[derive(Debug)]
struct Checks {
    config: HealthConfig,
    task: JoinHandle<()>,
}

impl Drop for Checks {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
struct Finished {
    key: EndpointKey,
    kind: Kind,
    result: Result<(), String>,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Check,
    Probe,
}

impl Health {
    /// Transitions go to `events`; one that finds it full is logged and dropped.
    pub fn new(clock: Clock, seed: u64, events: mpsc::Sender<HealthEvent>) -> Self {
        // The receiver is made in `run`: until then there is nothing to send.
        let (results, _) = mpsc::channel(1);
        let rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        Self {
            clock,
            rng,
            events,
            services: BTreeMap::new(),
            places: BTreeMap::new(),
            results,
            transitions: Vec::new(),
        }
    }

    /// Keeps the health of the clusters in force for as long as there is someone to set them. Needs a
    /// runtime that can `spawn_local`.
    pub async fn run(mut self, mut clusters: watch::Receiver<Arc<Clusters>>) {
        let (results, mut finished) = mpsc::channel(RESULTS_MAX);
        self.results = results;
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let first = Arc::clone(&clusters.borrow_and_update());
        self.take_over(&first);
        loop {
            tokio::select! {
                _at = ticks.tick() => self.tick(),
                Some(finished) = finished.recv() => self.on_finished(finished),
                changed = clusters.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let next = Arc::clone(&clusters.borrow_and_update());
                    self.take_over(&next);
                }
            }
        }
    }

    /// Watches the endpoints of these clusters; those that stay keep their state.
    fn take_over(&mut self, clusters: &Clusters) {
        let now = self.clock.now();
        self.places.clear();
        let mut before = std::mem::take(&mut self.services);
        for cluster in clusters.iter() {
            let old = before.remove(&cluster.name);
            let joins_others = old.is_some();
            let (mut known, mut old) = match old {
                Some(old) => (old.groups, old.endpoints),
                None => (Vec::new(), Vec::new()),
            };
            let groups = cluster.groups.iter().map(|group| {
                let place = known.iter().position(|it| it.version == group.version);
                let peers = place.map(|place| known.swap_remove(place).peers);
                Group {
                    version: group.version.clone(),
                    range: group.range.clone(),
                    peers: peers.unwrap_or_else(|| PeerControl::new(now)),
                }
            });
            let groups = groups.collect();
            let mut endpoints = Vec::with_capacity(cluster.endpoints.len());
            for endpoint in &cluster.endpoints {
                let parameters = cluster.config.parameters;
                let place = old
                    .iter()
                    .position(|watched| watched.endpoint.key == endpoint.key);
                let mut watched = match place {
                    Some(place) => old.swap_remove(place),
                    None => Watched {
                        endpoint: Arc::clone(endpoint),
                        control: EndpointControl::new(
                            parameters,
                            now,
                            joins_others,
                            self.rng.next_u64(),
                        ),
                        checks: None,
                        reason: None,
                    },
                };
                watched.control.set_parameters(now, parameters);
                self.set_checks(&mut watched, cluster);
                self.places
                    .insert(endpoint.key, (cluster.name.clone(), endpoints.len()));
                endpoints.push(watched);
            }
            self.services
                .insert(cluster.name.clone(), Service { groups, endpoints });
        }
    }

    fn set_checks(&mut self, watched: &mut Watched, cluster: &Cluster) {
        let config = &cluster.config.health;
        if watched.checks.as_ref().map(|checks| &checks.config) == config.as_ref() {
            return;
        }
        watched.checks = config.clone().map(|config| {
            let rng = Xoshiro256PlusPlus::seed_from_u64(self.rng.next_u64());
            let task = check_for_ever(
                Arc::clone(&watched.endpoint),
                config.clone(),
                rng,
                self.results.clone(),
            );
            Checks {
                config,
                task: tokio::task::spawn_local(task),
            }
        });
        if watched.checks.is_none() {
            watched.control.on_checks_removed(self.clock.now());
        }
    }

    fn on_finished(&mut self, finished: Finished) {
        let found = self.places.get(&finished.key).and_then(|(service, index)| {
            let service = self.services.get_mut(service)?;
            service.endpoints.get_mut(*index)
        });
        let Some(watched) = found else {
            return;
        };
        let now = self.clock.now();
        let ok = finished.result.is_ok();
        match finished.kind {
            Kind::Check => {
                if let Err(reason) = finished.result {
                    watched.reason = Some(reason);
                }
                watched.control.on_check(now, ok);
            }
            Kind::Probe => watched.control.on_probe(now, ok),
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        for service in self.services.values_mut() {
            let Service { groups, endpoints } = service;
            for group in groups {
                let Some(endpoints) = endpoints.get_mut(group.range.clone()) else {
                    continue;
                };
                group.peers.tick(now, endpoints, &mut self.transitions);
                for (index, transition) in self.transitions.drain(..) {
                    let Some(watched) = endpoints.get(index) else {
                        continue;
                    };
                    let event = HealthEvent {
                        endpoint: Arc::clone(&watched.endpoint),
                        transition,
                        reason: watched.reason(&transition),
                    };
                    if let Err(dropped) = self.events.try_send(event) {
                        tracing::warn!(endpoint = watched.endpoint.name, %dropped, "nobody takes an endpoint's transition");
                    }
                }
            }
            for watched in endpoints {
                watched.endpoint.set_would(watched.control.would());
                if watched.control.take_probe(now) {
                    let endpoint = Arc::clone(&watched.endpoint);
                    tokio::task::spawn_local(probe(endpoint, self.results.clone()));
                }
            }
        }
    }
}

async fn probe(endpoint: Arc<Endpoint>, results: mpsc::Sender<Finished>) {
    let result = connect(&endpoint, None).await.map(drop);
    let result = result.map_err(|error| crate::chain(&error).to_string());
    let finished = Finished {
        key: endpoint.key,
        kind: Kind::Probe,
        result,
    };
    // The receiver is gone at the end of the process only.
    let _at_the_end = results.send(finished).await;
}

async fn check_for_ever(
    endpoint: Arc<Endpoint>,
    config: HealthConfig,
    mut rng: Xoshiro256PlusPlus,
    results: mpsc::Sender<Finished>,
) {
    let mut share = move || f64::from((rng.next_u64() >> 32) as u32) / f64::from(u32::MAX);
    sleep(config.interval.min(FIRST_CHECK_MAX).mul_f64(share())).await;
    loop {
        let result = match timeout(config.timeout, config.check.run(&endpoint)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(crate::chain(&error).to_string()),
            Err(_elapsed) => Err(format!("no answer within {:?}", config.timeout)),
        };
        if results
            .send(Finished {
                key: endpoint.key,
                kind: Kind::Check,
                result,
            })
            .await
            .is_err()
        {
            return;
        }
        sleep(config.interval.mul_f64(0.9 + 0.2 * share())).await;
    }
}
