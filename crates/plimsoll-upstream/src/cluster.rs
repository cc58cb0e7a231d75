//! The endpoints of a service, and all services of a configuration.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use plimsoll_policy::{Balancer, BulkheadShared, EndpointParameters, Method, Ring};

use crate::endpoint::{Endpoint, EndpointConfig, EndpointKey};
use crate::health::HealthConfig;
use crate::tls::{SystemRoots, TlsCache, TlsError};

/// How an endpoint is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// The better of two by latency and requests in flight.
    #[default]
    LeastLoaded,
    /// Each in turn.
    RoundRobin,
    /// By a key, with bounded load.
    ConsistentHash,
}

/// What a service's endpoints are.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    /// The service's name.
    pub name: String,
    /// Its endpoints.
    pub endpoints: Vec<EndpointConfig>,
    /// Other versions of it, with the endpoints of each.
    pub versions: Vec<(String, Vec<EndpointConfig>)>,
    /// How one is chosen.
    pub balance: Balance,
    /// When an endpoint is taken out and brought back.
    pub parameters: EndpointParameters,
    /// Active checks; `None` = only what requests show.
    pub health: Option<HealthConfig>,
}

/// A service cannot be set up: the configuration is to be refused.
#[derive(Debug, thiserror::Error)]
#[error("setting up TLS for {endpoint} of service `{service}`")]
pub struct ClusterError {
    /// The service.
    pub service: String,
    /// The endpoint.
    pub endpoint: String,
    /// Why it failed.
    #[source]
    pub source: Box<TlsError>,
}

/// Endpoints that are chosen from, and judged, among themselves: a service's own, or those of another version of it.
#[derive(Debug)]
pub struct Group {
    /// The version; `None` = the service's own.
    pub version: Option<String>,
    /// Their positions among all of the service.
    pub range: Range<usize>,
    method: Method,
}

impl Group {
    /// A chooser for one thread, by positions within the group. Each thread takes another seed.
    pub fn balancer(&self, seed: u64) -> Balancer {
        Balancer::new(self.method.clone(), self.range.len(), seed)
    }
}

/// A service's endpoints, as all threads share them. An endpoint's id is its position.
#[derive(Debug)]
pub struct Cluster {
    /// The service's name.
    pub name: String,
    /// Its endpoints: its own, then those of its other versions.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Its own endpoints first, then one for each other version.
    pub groups: Vec<Group>,
    /// What it was built from.
    pub config: ClusterConfig,
}

impl Cluster {
    /// A chooser among the service's own endpoints for one thread. Each thread takes another seed.
    pub fn balancer(&self, seed: u64) -> Balancer {
        match self.groups.first() {
            Some(own) => own.balancer(seed),
            None => Balancer::new(Method::LeastLoaded, 0, seed),
        }
    }

    /// The endpoints of a group.
    pub fn of(&self, group: &Group) -> &[Arc<Endpoint>] {
        self.endpoints.get(group.range.clone()).unwrap_or_default()
    }

    /// The service's own endpoints.
    pub fn own(&self) -> &[Arc<Endpoint>] {
        self.groups.first().map_or(&[], |own| self.of(own))
    }

    /// The version that the endpoint at this position is of; `None` = the service's own.
    pub fn version_at(&self, position: usize) -> Option<&str> {
        let mut groups = self.groups.iter();
        let group = groups.find(|group| group.range.contains(&position))?;
        group.version.as_deref()
    }

    /// Bounds the connections that requests make to all endpoints together: over the bound a new one is refused
    /// ([`ConnectError::Full`]), while a kept one is still used. Those made before this are not counted.
    ///
    /// [`ConnectError::Full`]: crate::ConnectError::Full
    pub fn set_bulkhead(&self, bulkhead: &Arc<BulkheadShared>) {
        for endpoint in &self.endpoints {
            endpoint.set_bulkhead(bulkhead);
        }
    }
}

/// All services of the configuration in force, by name.
#[derive(Debug, Default)]
pub struct Clusters {
    clusters: BTreeMap<String, Arc<Cluster>>,
    roots: Arc<SystemRoots>,
    key_next: u64,
}

impl Clusters {
    /// None yet: [`Clusters::update`] makes the first ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// The services of a new configuration. An endpoint that is configured as before is the same one, with
    /// its health, load and connections; its TLS files are read anew. Nothing changes for those in force
    /// until [`Clusters::supersede`], except that kept endpoints use the files as they are now.
    pub fn update(&self, configs: Vec<ClusterConfig>) -> Result<Self, ClusterError> {
        let mut next = Self {
            clusters: BTreeMap::new(),
            roots: Arc::clone(&self.roots),
            key_next: self.key_next,
        };
        // Files are read for all before anything is put in force, so that an error leaves all as it was.
        let mut tls = TlsCache::new(&self.roots);
        let mut renewed = Vec::new();
        for config in configs {
            let mut old = self
                .clusters
                .get(&config.name)
                .map(|old| old.endpoints.clone())
                .unwrap_or_default();
            let mut endpoints = Vec::with_capacity(config.endpoints.len());
            let versions = config.versions.iter().flat_map(|(_, endpoints)| endpoints);
            for endpoint in config.endpoints.iter().chain(versions) {
                let failed = |source| ClusterError {
                    service: config.name.clone(),
                    endpoint: endpoint.name(),
                    source: Box::new(source),
                };
                let client = endpoint
                    .tls
                    .as_ref()
                    .map(|config| tls.client(config))
                    .transpose()
                    .map_err(failed)?;
                if let Some(place) = old.iter().position(|old| old.config == *endpoint) {
                    let kept = old.swap_remove(place);
                    renewed.extend(client.map(|client| (Arc::clone(&kept), client)));
                    endpoints.push(kept);
                } else {
                    let key = EndpointKey(next.key_next);
                    next.key_next += 1;
                    let made = Endpoint::new(key, &config.name, endpoint.clone(), client)
                        .map_err(failed)?;
                    endpoints.push(Arc::new(made));
                }
            }
            let groups = groups(&config, &endpoints);
            let name = config.name.clone();
            next.clusters.insert(
                name.clone(),
                Arc::new(Cluster {
                    name,
                    endpoints,
                    groups,
                    config,
                }),
            );
        }
        for (endpoint, client) in renewed {
            endpoint.set_tls(client);
        }
        Ok(next)
    }

    /// These are in force, in the place of `old`: endpoints that are gone are retired, so that their
    /// connections close.
    pub fn supersede(&self, old: &Self) {
        let kept = self
            .endpoints()
            .map(|endpoint| endpoint.key)
            .collect::<std::collections::BTreeSet<_>>();
        for endpoint in old
            .endpoints()
            .filter(|endpoint| !kept.contains(&endpoint.key))
        {
            endpoint.retire();
        }
    }

    /// The service of this name.
    pub fn cluster(&self, name: &str) -> Option<&Arc<Cluster>> {
        self.clusters.get(name)
    }

    /// All services, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Cluster>> {
        self.clusters.values()
    }

    /// All endpoints of all services.
    pub fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.clusters
            .values()
            .flat_map(|cluster| &cluster.endpoints)
    }
}

/// The groups of a service with these endpoints, which are in the order of its configuration.
fn groups(config: &ClusterConfig, endpoints: &[Arc<Endpoint>]) -> Vec<Group> {
    let own = (None, config.endpoints.len());
    let versions = config.versions.iter();
    let versions = versions.map(|(name, endpoints)| (Some(name.clone()), endpoints.len()));
    let mut groups = Vec::with_capacity(1 + config.versions.len());
    let mut from = 0;
    for (version, length) in std::iter::once(own).chain(versions) {
        let range = from..from + length;
        from = range.end;
        let names = endpoints.get(range.clone()).unwrap_or_default().iter();
        groups.push(Group {
            version,
            range,
            method: match config.balance {
                Balance::LeastLoaded => Method::LeastLoaded,
                Balance::RoundRobin => Method::RoundRobin,
                Balance::ConsistentHash => {
                    Method::ConsistentHash(Arc::new(Ring::new(names.map(|it| &*it.name))))
                }
            },
        });
    }
    groups
}
