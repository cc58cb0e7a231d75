//! Outbound HTTP for everyone: clusters of endpoints, names and their addresses, TLS, connection pools,
//! health checks.
//!
//! A shell library: it opens sockets, and decides nothing that a policy decides. What an endpoint is, and
//! what is known about its health, is shared by all threads ([`Endpoint`], [`Cluster`]); connections belong
//! to one thread each ([`Pools`]). The control thread resolves names ([`Resolver`]) and checks health
//! ([`Health`]); who is told something now and then is a [`Receiver`]. It takes parameter structs of its own, which the binary fills from the configuration.
//! For those who serve on the side there is [`Impatient`].

mod chain;

mod clock;
mod cluster;
mod connect;
mod endpoint;

mod health;
mod http2;
mod impatient;
mod io;
mod pool;
mod receiver;

mod resolve;
mod tls;

pub(crate) use chain::chain;
pub use clock::Clock;
pub use cluster::{Balance, Cluster, ClusterConfig, ClusterError, Clusters, Group};
pub use connect::{ConnectError, Connected, connect};
pub use endpoint::{Endpoint, EndpointConfig, EndpointKey, Protocol};
pub use health::{Health, HealthCheck, HealthConfig, HealthEvent};
pub use http2::{Http2Connection, StreamPlace};
pub use impatient::Impatient;
pub use io::{Held, Io};
pub use pool::{Checkout, Http1Connection, Pools, Wanted};
pub use receiver::{Receiver, ReceiverAnswer, ReceiverError};
pub use resolve::Resolver;
pub use tls::{ClientCertificate, TlsConfig, TlsError};
