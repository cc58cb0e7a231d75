//! Makes one connection to an endpoint: its addresses in turn, then TLS.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::endpoint::{Endpoint, Protocol};
use crate::io::Io;
use crate::tls::{Offer, is_http2};

/// After how long without traffic the kernel asks the peer if it is still there, and how often: it shows
/// a dead peer of a tunnel within a minute and a half.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// No connection could be made. Nothing was sent: safe to retry, best on another endpoint.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// It took too long.
    #[error("connecting to {endpoint} took longer than {limit:?}")]
    Timeout {
        /// Where to.
        endpoint: String,
        /// The limit.
        limit: Duration,
    },
    /// The peer refused.
    #[error("connecting to {endpoint} ({address})")]
    Refused {
        /// Where to.
        endpoint: String,
        /// The address tried last.
        address: SocketAddr,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The network or the system failed.
    #[error("connecting to {endpoint} ({address})")]
    Io {
        /// Where to.
        endpoint: String,
        /// The address tried last.
        address: SocketAddr,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The TLS handshake failed: a certificate that is not accepted, a name that does not fit, no common version.
    #[error("agreeing on TLS with {endpoint} ({address})")]
    Tls {
        /// Where to.
        endpoint: String,
        /// The address.
        address: SocketAddr,
        /// Why it failed.
        #[source]
        source: Arc<io::Error>,
    },
    /// The peer does not speak the HTTP version that it must.
    #[error("{endpoint} does not speak HTTP/2")]
    Protocol {
        /// Where to.
        endpoint: String,
    },
    /// The HTTP/2 preface could not be sent.
    #[error("beginning HTTP/2 with {endpoint}")]
    Http2 {
        /// Where to.
        endpoint: String,
        /// Why it failed.
        #[source]
        source: Arc<h2::Error>,
    },
    /// The service has as many connections as it may. Says nothing about the endpoint.
    #[error("service `{service}` has as many connections as it may")]
    Full {
        /// The service.
        service: String,
    },
    /// Its name has no address.
    #[error("the name of {endpoint} has no address")]
    NoAddress {
        /// Where to.
        endpoint: String,
    },
}

impl ConnectError {
    /// The word in logs and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Timeout { .. } => "timeout",
            Self::Refused { .. } => "refused",
            Self::Io { .. } => "io",
            Self::Tls { .. } => "tls",
            Self::Protocol { .. } => "protocol",
            Self::Http2 { .. } => "http2",
            Self::Full { .. } => "bulkhead",
            Self::NoAddress { .. } => "no-address",
        }
    }
}

/// A connection that was made.
#[derive(Debug)]
pub struct Connected {
    /// The stream.
    pub io: Io,
    /// Whether HTTP/2 is to be spoken on it.
    pub http2: bool,
}

/// Makes one connection and counts how it went in the endpoint's health. `http2` says what is spoken where
/// the endpoint leaves it open: `None` = what ALPN agrees on, and HTTP/1.1 in cleartext.
pub async fn connect(endpoint: &Endpoint, http2: Option<bool>) -> Result<Connected, ConnectError> {
    let limit = endpoint.config.connect_time_max;
    let offer = match (endpoint.config.protocol, http2) {
        (Protocol::Http1, _) | (Protocol::Auto, Some(false)) => Offer::Http1,
        (Protocol::Http2, _) | (Protocol::Auto, Some(true)) => Offer::Http2,
        (Protocol::Auto, None) => Offer::Either,
    };
    let result = match timeout(limit, connect_in_turn(endpoint, offer)).await {
        Ok(result) => result,
        Err(_elapsed) => Err(ConnectError::Timeout {
            endpoint: endpoint.name.clone(),
            limit,
        }),
    };
    match &result {
        Ok(_) => endpoint.shared.on_connect_success(),
        Err(error) => {
            endpoint.set_connect_error(error.clone());
            endpoint.shared.on_connect_failure();
        }
    }
    result
}

/// As [`connect`], for a request: the connection holds a place among those of its service for as long as it lives.
pub(crate) async fn connect_held(
    endpoint: &Endpoint,
    http2: Option<bool>,
) -> Result<Connected, ConnectError> {
    // Taken before connecting: connections that are being made count.
    let place = endpoint.take_place()?;
    let mut connected = connect(endpoint, http2).await?;
    if let Some(place) = place {
        connected.io = connected.io.held(place);
    }
    Ok(connected)
}

async fn connect_in_turn(endpoint: &Endpoint, offer: Offer) -> Result<Connected, ConnectError> {
    let addresses = endpoint.addresses_to_try();
    let mut error = ConnectError::NoAddress {
        endpoint: endpoint.name.clone(),
    };
    let mut time_left = endpoint.config.connect_time_max;
    for (place, &address) in addresses.iter().enumerate() {
        // An address that does not answer leaves the others their share of the time.
        let share = time_left / u32::try_from(addresses.len() - place).unwrap_or(u32::MAX);
        let last = place + 1 == addresses.len();
        let attempt = connect_to(endpoint, offer, address);
        let result = if last {
            Ok(attempt.await)
        } else {
            timeout(share, attempt).await
        };
        match result {
            Ok(Ok(connected)) => {
                endpoint.on_connected(address);
                return Ok(connected);
            }
            Ok(Err(failed)) => error = failed,
            Err(_elapsed) => {
                time_left = time_left.saturating_sub(share);
                error = ConnectError::Timeout {
                    endpoint: endpoint.name.clone(),
                    limit: share,
                };
            }
        }
    }
    Err(error)
}

async fn connect_to(
    endpoint: &Endpoint,
    offer: Offer,
    address: SocketAddr,
) -> Result<Connected, ConnectError> {
    let failed = |source: io::Error| {
        let (endpoint, source) = (endpoint.name.clone(), Arc::new(source));
        match source.kind() {
            io::ErrorKind::ConnectionRefused => ConnectError::Refused {
                endpoint,
                address,
                source,
            },
            _ => ConnectError::Io {
                endpoint,
                address,
                source,
            },
        }
    };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_INTERVAL);
    // Without it a dead peer shows later, and all else works.
    let _best_effort = SockRef::from(&stream).set_tcp_keepalive(&keepalive);
    let Some((tls, name)) = endpoint.tls() else {
        return Ok(Connected {
            io: Io::Tcp(stream),
            http2: offer == Offer::Http2,
        });
    };
    let stream = TlsConnector::from(tls.offering(offer))
        .connect(name, stream)
        .await
        .map_err(|source| ConnectError::Tls {
            endpoint: endpoint.name.clone(),
            address,
            source: Arc::new(source),
        })?;
    let http2 = is_http2(stream.get_ref().1);
    if offer == Offer::Http2 && !http2 {
        return Err(ConnectError::Protocol {
            endpoint: endpoint.name.clone(),
        });
    }
    Ok(Connected {
        io: Io::Tls(Box::new(TlsStream::Client(stream))),
        http2,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::net::TcpListener;

    use super::*;
    use crate::endpoint::{EndpointConfig, EndpointKey};

    #[tokio::test]
    async fn an_address_that_refuses_leaves_the_others_their_chance() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let open = listener.local_addr().unwrap();
        let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let endpoint = named(vec![closed, open]);
        for _ in 0..2 {
            let connected = connect(&endpoint, None).await.unwrap();
            assert_eq!(connected.io.peer_address().unwrap(), open);
        }
        assert_eq!(
            endpoint.shared.take_connects(),
            (0, 2),
            "an endpoint is counted, not its addresses"
        );
        endpoint.set_addresses(vec![closed, closed]);
        assert_eq!(
            connect(&endpoint, None).await.unwrap_err().kind(),
            "refused"
        );
    }

    #[test]
    fn each_address_goes_first_in_turn_within_the_family_that_works() {
        let parse = |address: &str| address.parse::<SocketAddr>().unwrap();
        let (a, b, c) = (
            parse("10.0.0.1:80"),
            parse("10.0.0.2:80"),
            parse("[fd00::1]:80"),
        );
        let endpoint = named(vec![a, b, c]);
        let orders = || {
            (0..6)
                .map(|_| endpoint.addresses_to_try())
                .collect::<Vec<_>>()
        };
        let before = orders();
        assert!(before.iter().all(|order| order.len() == 3 && order[2] == c));
        assert!(
            before.iter().any(|order| order[0] == a) && before.iter().any(|order| order[0] == b)
        );
        endpoint.on_connected(c);
        assert!(orders().iter().all(|order| order[0] == c));
    }

    fn named(addresses: Vec<SocketAddr>) -> Endpoint {
        let config = EndpointConfig::new("shop.test", 80);
        let endpoint = Endpoint::new(EndpointKey(0), "shop", config, None).unwrap();
        endpoint.set_addresses(addresses);
        endpoint
    }
}
