//! Names to addresses, refreshed by their time to live.
//!
//! Asks the name servers of `/etc/resolv.conf` (search domains and `ndots` included) and honours
//! `/etc/hosts`; `nsswitch.conf` and multicast DNS are not consulted. Both files are read anew at each reload
//! and after a failure. The last addresses that were found stay in force while a name cannot be resolved.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::cluster::Clusters;
use crate::endpoint::Endpoint;

const RESOLV_CONF: &str = "/etc/resolv.conf";
/// A time to live of zero must not become a flood of questions.
const REFRESH_MIN: Duration = Duration::from_secs(1);
/// A record that claims to be good for a day must not outlive a move by that much.
const REFRESH_MAX: Duration = Duration::from_secs(300);
/// The pause after a first failure; it doubles, up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);

/// Resolves the names of endpoints. Copies share the connections to the name servers.
#[derive(Clone)]
pub struct Resolver {
    clock: Clock,
    source: Source,
    /// `None` if the system's configuration could never be read.
    resolver: Arc<ArcSwapOption<TokioResolver>>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    System,
    Server(SocketAddr),
}

/// A name cannot be resolved. What was known before stays in force.
#[derive(Debug, thiserror::Error)]
enum ResolveError {
    #[error("resolving {host}")]
    Lookup {
        host: String,
        #[source]
        source: NetError,
    },
    #[error("resolving {host}: the system's resolver configuration could not be read")]
    NoResolver { host: String },
}

impl Resolver {
    /// Asks as the system is configured to. Without a configuration only `/etc/hosts` and `localhost` are known.
    pub fn new(clock: Clock) -> Self {
        Self::asking(clock, Source::System)
    }

    /// Asks this name server only, and not the hosts file.
    pub fn with_server(clock: Clock, server: SocketAddr) -> Self {
        Self::asking(clock, Source::Server(server))
    }

    fn asking(clock: Clock, source: Source) -> Self {
        let resolver = Self {
            clock,
            source,
            resolver: Arc::default(),
        };
        resolver.reread();
        resolver
    }

    /// Resolves all names that have no address yet, so that first requests find one; gives up after
    /// `time_max`. Returns the names of endpoints that still have none.
    pub async fn resolve_all(&self, clusters: &Clusters, time_max: Duration) -> Vec<String> {
        let mut lookups = JoinSet::new();
        for endpoint in clusters.endpoints().filter(|endpoint| is_unknown(endpoint)) {
            let (resolver, endpoint) = (self.clone(), Arc::clone(endpoint));
            lookups.spawn(async move { resolver.refresh(&endpoint).await.map(drop) });
        }
        let all = async {
            while let Some(result) = lookups.join_next().await {
                if let Ok(Err(error)) = result {
                    tracing::warn!(error = %crate::chain(&error), "a name has no address");
                }
            }
        };
        // Those that are late are found by the task that refreshes.
        let _late = timeout(time_max, all).await;
        clusters
            .endpoints()
            .filter(|endpoint| is_unknown(endpoint))
            .map(|endpoint| endpoint.name.clone())
            .collect()
    }

    /// Refreshes the names of the clusters in force for as long as there is someone to set them.
    pub async fn run(self, mut clusters: watch::Receiver<Arc<Clusters>>) {
        let mut tasks = JoinSet::new();
        let mut known = BTreeMap::new();
        loop {
            let now_in_force = Arc::clone(&clusters.borrow_and_update());
            known.retain(|_, endpoint: &mut Arc<Endpoint>| !endpoint.is_retired());
            for endpoint in now_in_force
                .endpoints()
                .filter(|endpoint| endpoint.needs_resolving())
            {
                if known.insert(endpoint.key, Arc::clone(endpoint)).is_none() {
                    tasks.spawn(self.clone().keep_fresh(Arc::clone(endpoint)));
                }
            }
            while tasks.try_join_next().is_some() {}
            if clusters.changed().await.is_err() {
                return;
            }
            self.reread();
        }
    }

    async fn keep_fresh(self, endpoint: Arc<Endpoint>) {
        let mut pause = RETRY_MIN;
        while !endpoint.is_retired() {
            match self.refresh(&endpoint).await {
                Ok(time_to_live) => {
                    pause = RETRY_MIN;
                    sleep(time_to_live.clamp(REFRESH_MIN, REFRESH_MAX)).await;
                }
                Err(error) => {
                    tracing::warn!(
                        endpoint = endpoint.name,
                        error = %crate::chain(&error),
                        "a name cannot be resolved; going on with the addresses known before"
                    );
                    self.reread();
                    sleep(pause).await;
                    pause = (pause * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Looks the name up of an endpoint that nobody keeps fresh. The system's configuration is read anew after a failure.
    pub(crate) async fn look_up(
        &self,
        endpoint: &Endpoint,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        match self.refresh(endpoint).await {
            Ok(_) => Ok(()),
            Err(error) => {
                self.reread();
                Err(Box::new(error))
            }
        }
    }

    /// Looks an endpoint's name up and puts its addresses in force; says for how long they are good.
    async fn refresh(&self, endpoint: &Endpoint) -> Result<Duration, ResolveError> {
        let host = endpoint.config.host.as_str();
        let Some(resolver) = self.resolver.load_full() else {
            return Err(ResolveError::NoResolver {
                host: host.to_owned(),
            });
        };
        let found = resolver
            .lookup_ip(host)
            .await
            .map_err(|source| ResolveError::Lookup {
                host: host.to_owned(),
                source,
            })?;
        let mut addresses = found
            .iter()
            .map(|ip| SocketAddr::new(ip, endpoint.config.port))
            .collect::<Vec<_>>();
        // Name servers rotate their answers; that is no change.
        addresses.sort_unstable();
        addresses.dedup();
        if endpoint.set_addresses(addresses) {
            tracing::debug!(endpoint = endpoint.name, addresses = ?endpoint.addresses(), "addresses changed");
        }
        Ok(self.clock.until(found.valid_until()))
    }

    fn reread(&self) {
        match self.source.resolver() {
            Ok(resolver) => self.resolver.store(Some(Arc::new(resolver))),
            Err(error) => tracing::warn!(
                error = %crate::chain(&error),
                "the system's resolver configuration cannot be read; going on with what was known before"
            ),
        }
    }
}

fn is_unknown(endpoint: &Endpoint) -> bool {
    endpoint.needs_resolving() && endpoint.addresses().is_empty()
}

impl Source {
    fn resolver(self) -> Result<TokioResolver, NetError> {
        let known =
            |config| TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let (mut builder, hosts) = match self {
            Self::System if Path::new(RESOLV_CONF).exists() => {
                (TokioResolver::builder_tokio()?, ResolveHosts::Always)
            }
            Self::System => (known(ResolverConfig::default()), ResolveHosts::Always),
            Self::Server(address) => (known(asking_only(address)), ResolveHosts::Never),
        };
        let options = builder.options_mut();
        // We ask when the time to live is over: what a cache would answer then is what we know already.
        options.cache_size = 0;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        options.use_hosts_file = hosts;
        builder.build()
    }
}

fn asking_only(address: SocketAddr) -> ResolverConfig {
    let mut server = NameServerConfig::udp_and_tcp(address.ip());
    for connection in &mut server.connections {
        connection.port = address.port();
    }
    ResolverConfig::from_parts(None, Vec::new(), vec![server])
}
