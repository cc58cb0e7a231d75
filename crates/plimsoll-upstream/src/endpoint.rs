//! One address of a service, as all threads share it.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use plimsoll_policy::{
    BulkheadKind, BulkheadPlace, BulkheadShared, Candidate, EndpointShared, Would,
};
use rustls_pki_types::ServerName;

use crate::connect::ConnectError;
use crate::io::Place;
use crate::tls::{ClientTls, TlsConfig, TlsError, server_name};

/// Which HTTP an endpoint speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// Over TLS what ALPN agrees on; in cleartext HTTP/2 for gRPC and HTTP/1.1 for all else.
    #[default]
    Auto,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, in cleartext with prior knowledge.
    Http2,
}

/// What an endpoint is. Two that are equal are the same endpoint across a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// A name, or an address literal (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How TLS is spoken; `None` = cleartext.
    pub tls: Option<TlsConfig>,
    /// Which HTTP.
    pub protocol: Protocol,
    /// How long a connection may take to be made, over all addresses, TLS included.
    pub connect_time_max: Duration,
    /// Idle connections kept per thread.
    pub idle_connections_max: usize,
    /// How long a kept connection may idle.
    pub idle_connection_time_max: Duration,
}

impl EndpointConfig {
    /// A cleartext endpoint with the defaults.
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self {
            host: host.into(),
            port,
            tls: None,
            protocol: Protocol::Auto,
            connect_time_max: Duration::from_secs(1),
            idle_connections_max: 256,
            idle_connection_time_max: Duration::from_secs(30),
        }
    }

    /// Its name in logs and metrics: `http://host:port`.
    pub fn name(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.host_and_port())
    }

    fn host_and_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Tells endpoints apart for as long as the process lives, across reloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndpointKey(pub(crate) u64);

/// One address of a service. Shared by all threads; the same one across reloads that leave it as it is.
pub struct Endpoint {
    /// Tells it apart from all others.
    pub key: EndpointKey,
    /// The service it belongs to.
    pub service: String,
    /// `http://host:port`.
    pub name: String,
    /// `host:port`, for a `Host` field; without the port where it is the scheme's own.
    pub authority: String,
    /// What it is.
    pub config: EndpointConfig,
    /// Its health and load.
    pub shared: EndpointShared,
    addresses: ArcSwap<Vec<SocketAddr>>,
    /// Where the next connection starts among them.
    turn: AtomicUsize,
    /// The last connection that was made went over IPv6.
    prefers_v6: AtomicBool,
    /// Why the last connection that failed did.
    connect_error: ArcSwapOption<ConnectError>,
    /// For the control thread: it is written and read there.
    would: Mutex<[Would; 2]>,
    tls: Option<EndpointTls>,
    retired: AtomicBool,
    /// Where requests' connections take a place. Not those of health checks: a service that is full is not ill.
    bulkhead: OnceLock<Arc<BulkheadShared>>,
}

#[derive(Debug)]
struct EndpointTls {
    name: ServerName<'static>,
    client: ArcSwap<ClientTls>,
}

impl Endpoint {
    /// `client` is what `config.tls` comes to.
    pub(crate) fn new(
        key: EndpointKey,
        service: &str,
        config: EndpointConfig,
        client: Option<Arc<ClientTls>>,
    ) -> Result<Self, TlsError> {
        let tls = match (&config.tls, client) {
            (Some(tls), Some(client)) => Some(EndpointTls {
                name: server_name(tls.server_name.as_deref().unwrap_or(&config.host))?,
                client: ArcSwap::new(client),
            }),
            _ => None,
        };
        let default_port = if tls.is_some() { 443 } else { 80 };
        let mut authority = config.host_and_port();
        if config.port == default_port {
            authority.truncate(authority.rfind(':').unwrap_or(authority.len()));
        }
        let literal = config
            .host
            .parse::<IpAddr>()
            .ok()
            .map(|ip| SocketAddr::new(ip, config.port));
        Ok(Self {
            key,
            service: service.to_owned(),
            name: config.name(),
            authority,
            shared: EndpointShared::new(),
            addresses: ArcSwap::from_pointee(literal.into_iter().collect()),
            turn: AtomicUsize::new(0),
            prefers_v6: AtomicBool::new(false),
            connect_error: ArcSwapOption::empty(),
            would: Mutex::default(),
            tls,
            retired: AtomicBool::new(false),
            bulkhead: OnceLock::new(),
            config,
        })
    }

    /// The addresses that its name has now, in order.
    pub fn addresses(&self) -> Arc<Vec<SocketAddr>> {
        self.addresses.load_full()
    }

    /// The addresses in the order in which the next connection tries them: each goes first in turn, so that
    /// a name with several addresses spreads its load; those of the family that worked last go before the
    /// others, so that a network without IPv6 costs one failure and not one in two.
    pub(crate) fn addresses_to_try(&self) -> Vec<SocketAddr> {
        let mut addresses = self.addresses.load().to_vec();
        if addresses.len() > 1 {
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) % addresses.len();
            addresses.rotate_left(turn);
            let prefers_v6 = self.prefers_v6.load(Ordering::Relaxed);
            addresses.sort_by_key(|address| address.is_ipv6() != prefers_v6);
        }
        addresses
    }

    /// A connection to this address was made.
    pub(crate) fn on_connected(&self, address: SocketAddr) {
        self.prefers_v6.store(address.is_ipv6(), Ordering::Relaxed);
    }

    /// Why the last connection that failed did, for a person.
    pub fn connect_error(&self) -> Option<Arc<ConnectError>> {
        self.connect_error.load_full()
    }

    pub(crate) fn set_connect_error(&self, error: ConnectError) {
        self.connect_error.store(Some(Arc::new(error)));
    }

    /// What the breaker and ejection would have done to it: see [`EndpointControl::would`].
    ///
    /// [`EndpointControl::would`]: plimsoll_policy::EndpointControl::would
    pub fn would(&self) -> [Would; 2] {
        *self.would.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_would(&self, would: [Would; 2]) {
        *self.would.lock().unwrap_or_else(PoisonError::into_inner) = would;
    }

    /// Whether its host is a name, and not an address literal.
    pub fn needs_resolving(&self) -> bool {
        self.config.host.parse::<IpAddr>().is_err()
    }

    /// Whether it has left the configuration: its connections are to be closed when they are idle.
    pub fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    /// Puts addresses in force; says if they differ from those before.
    pub(crate) fn set_addresses(&self, addresses: Vec<SocketAddr>) -> bool {
        let differ = **self.addresses.load() != addresses;
        if differ {
            self.addresses.store(Arc::new(addresses));
        }
        differ
    }

    /// Connections for requests take a place here from now on. A service has one bulkhead for as long as the process
    /// lives, so the first that is set stays.
    pub(crate) fn set_bulkhead(&self, bulkhead: &Arc<BulkheadShared>) {
        let _same = self.bulkhead.set(Arc::clone(bulkhead));
    }

    /// A place for one more connection; `None` where they are not counted.
    pub(crate) fn take_place(&self) -> Result<Option<Place>, ConnectError> {
        let Some(bulkhead) = self.bulkhead.get() else {
            return Ok(None);
        };
        match BulkheadPlace::try_enter(Arc::clone(bulkhead), BulkheadKind::Connections) {
            Some(place) => Ok(Some(place)),
            None => Err(ConnectError::Full {
                service: self.service.clone(),
            }),
        }
    }

    /// Asks the other threads for a place for one more connection; says whether they are to be woken for it, to call
    /// [`Pools::make_room`].
    ///
    /// [`Pools::make_room`]: crate::Pools::make_room
    pub fn want_room(&self) -> bool {
        self.bulkhead.get().is_some_and(|it| it.want_room())
    }

    /// Whether somebody found no place for a connection to the service, and has one of ours closed for it.
    pub(crate) fn take_room_wanted(&self) -> bool {
        self.bulkhead.get().is_some_and(|it| it.take_room_wanted())
    }

    /// Whether connections to both take their places in the same bulkhead.
    pub(crate) fn shares_bulkhead(&self, other: &Self) -> bool {
        match (self.bulkhead.get(), other.bulkhead.get()) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Puts files that were read anew in force for connections to come.
    pub(crate) fn set_tls(&self, client: Arc<ClientTls>) {
        if let Some(tls) = &self.tls {
            tls.client.store(client);
        }
    }

    /// The TLS in force and the name to check; `None` in cleartext.
    pub(crate) fn tls(&self) -> Option<(Arc<ClientTls>, ServerName<'static>)> {
        self.tls
            .as_ref()
            .map(|tls| (tls.client.load_full(), tls.name.clone()))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("service", &self.service)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Candidate for Endpoint {
    fn shared(&self) -> &EndpointShared {
        &self.shared
    }
}

impl AsRef<EndpointShared> for Endpoint {
    fn as_ref(&self) -> &EndpointShared {
        &self.shared
    }
}
