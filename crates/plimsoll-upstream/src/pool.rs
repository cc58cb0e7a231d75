//! One thread's connections: kept for reuse, by endpoint.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use plimsoll_core::{Instant, never};
use tokio::sync::watch;

use crate::clock::Clock;
use crate::connect::{ConnectError, connect_held};
use crate::endpoint::{Endpoint, EndpointKey, Protocol};
use crate::http2::{Http2Connection, SharedConnection};
use crate::io::Io;

/// A read buffer larger than this is not kept with an idle connection.
const KEPT_BUFFER_MAX: usize = 16 * 1024;
/// Shared connections of one thread to one endpoint: with that many, streams wait for their turn on them. A
/// peer that allows 100 streams, as most do, gets 1,600 at a time.
const SHARED_MAX: usize = 16;

/// Connections that were made in vain before a request gives up on an endpoint.
const DEAD_CONNECTIONS_MAX: u32 = 3;

/// What a request needs, where the endpoint leaves it open ([`Protocol::Auto`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// HTTP/1.1, as for an `Upgrade`.
    Http1,
    /// HTTP/2.
    Http2,
    /// Over TLS what ALPN agrees on; in cleartext HTTP/2 for gRPC and HTTP/1.1 for all else.
    Auto {
        /// Whether the request is gRPC.
        grpc: bool,
    },
}

/// A connection for one request.
#[derive(Debug)]
pub enum Checkout {
    /// A connection of its own.
    Http1(Http1Connection),
    /// A place on a shared one.
    Http2(Http2Connection),
}

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub struct Http1Connection {
    /// The stream.
    pub io: Io,
    /// What was read and not yet used. Empty when it is given back.
    pub buf: BytesMut,
    /// Whether it carried a request before: then it may have gone stale, and a failure before the
    /// response's first byte may be the peer's idle timeout.
    pub reused: bool,
}

/// One thread's connections. Needs a runtime that can `spawn_local`.
#[derive(Debug)]
pub struct Pools {
    clock: Clock,
    pools: RefCell<HashMap<EndpointKey, Rc<Pool>>>,
}

#[derive(Debug)]
struct Pool {
    endpoint: Arc<Endpoint>,
    inner: RefCell<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The one used last is at the end, and taken first: the others expire.
    idle: Vec<Idle>,
    shared: Vec<SharedConnection>,
    /// A connection that may become a shared one is being made: others wait for it.
    connecting: Option<watch::Receiver<Option<Result<(), ConnectError>>>>,
    /// What ALPN agreed on last.
    http2: Option<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Http1Connection,
    since: Instant,
}

/// Where a kept connection is found.
#[derive(Clone, Copy, Debug)]
enum Kept {
    Idle(usize),
    Shared(usize),
}

impl Pools {
    /// Empty.
    pub fn new(clock: Clock) -> Self {
        Self {
            clock,
            pools: RefCell::default(),
        }
    }

    /// A connection for one request: a kept one that is still open, else a new one. Where the service has as many as it
    /// may, one that idles here makes room for it; what idles on other threads: [`Endpoint::want_room`].
    pub async fn checkout(
        &self,
        endpoint: &Arc<Endpoint>,
        wanted: Wanted,
    ) -> Result<Checkout, ConnectError> {
        let pool = self.pool(endpoint);
        match self.try_checkout(&pool, wanted).await {
            Err(ConnectError::Full { .. }) if self.close_oldest(endpoint) => {
                self.try_checkout(&pool, wanted).await
            }
            result => result,
        }
    }

    /// Closes a connection that idles here for each service that another thread wants room at.
    pub fn make_room(&self) {
        let pools = self.pools.borrow();
        let asked: Vec<_> = pools
            .values()
            .filter(|pool| pool.endpoint.take_room_wanted())
            .map(|pool| Arc::clone(&pool.endpoint))
            .collect();
        drop(pools);
        for endpoint in asked {
            if !self.close_oldest(&endpoint) {
                // Another thread may have one. It is awake already.
                endpoint.want_room();
            }
        }
    }

    /// Closes the connection to the endpoint's service that has been idle longest; says whether there was one.
    fn close_oldest(&self, endpoint: &Endpoint) -> bool {
        let now = self.clock.now();
        let pools = self.pools.borrow();
        let oldest = pools
            .values()
            .filter(|pool| pool.endpoint.shares_bulkhead(endpoint))
            .filter_map(|pool| Some((pool.inner.borrow_mut().oldest(now)?, pool)))
            .max_by_key(|((idle_for, _), _)| *idle_for);
        let Some(((_, kept), pool)) = oldest else {
            return false;
        };
        pool.inner.borrow_mut().close(kept);
        true
    }

    async fn try_checkout(
        &self,
        pool: &Rc<Pool>,
        wanted: Wanted,
    ) -> Result<Checkout, ConnectError> {
        match version(&pool.endpoint, wanted) {
            Version::Http1 => self.checkout_http1(pool).await,
            Version::Http2 => self.checkout_shared(pool, Some(true)).await,
            Version::Negotiated => self.checkout_shared(pool, None).await,
        }
    }

    /// Takes back a connection whose last exchange was complete on both sides, and that may be reused.
    pub fn give_back(&self, endpoint: &Arc<Endpoint>, mut connection: Http1Connection) {
        if endpoint.is_retired() || never!(!connection.buf.is_empty()) {
            return;
        }
        // Somebody has none at all: its place is theirs.
        if endpoint.take_room_wanted() {
            return;
        }
        let pool = self.pool(endpoint);
        let mut inner = pool.inner.borrow_mut();
        let max = endpoint.config.idle_connections_max;
        if max == 0 {
            return;
        }
        if inner.idle.len() >= max {
            inner.idle.remove(0);
        }
        if connection.buf.capacity() > KEPT_BUFFER_MAX {
            connection.buf = BytesMut::new();
        }
        connection.reused = true;
        inner.idle.push(Idle {
            connection,
            since: self.clock.now(),
        });
    }

    /// Closes what idled too long, what its peer closed, and what belongs to endpoints that are gone. To be
    /// called about once a second.
    pub fn sweep(&self) {
        self.make_room();
        let now = self.clock.now();
        self.pools.borrow_mut().retain(|_, pool| {
            let mut inner = pool.inner.borrow_mut();
            let time_max = pool.endpoint.config.idle_connection_time_max;
            let retired = pool.endpoint.is_retired();
            inner.idle.retain_mut(|idle| {
                !retired && now.since(idle.since) < time_max && idle.connection.io.is_quiet()
            });
            inner.shared.retain_mut(|shared| {
                let idle_max = if retired { Duration::ZERO } else { time_max };
                shared.is_open() && shared.idle(now).is_none_or(|idle| idle < idle_max)
            });
            !(retired
                && inner.idle.is_empty()
                && inner.shared.is_empty()
                && inner.connecting.is_none())
        });
    }

    /// How many connections are kept: idle HTTP/1 ones and shared HTTP/2 ones.
    pub fn kept(&self) -> (usize, usize) {
        self.pools
            .borrow()
            .values()
            .fold((0, 0), |(idle, shared), pool| {
                let inner = pool.inner.borrow();
                (idle + inner.idle.len(), shared + inner.shared.len())
            })
    }

    fn pool(&self, endpoint: &Arc<Endpoint>) -> Rc<Pool> {
        let mut pools = self.pools.borrow_mut();
        let pool = pools.entry(endpoint.key).or_insert_with(|| {
            Rc::new(Pool {
                endpoint: Arc::clone(endpoint),
                inner: RefCell::default(),
            })
        });
        Rc::clone(pool)
    }

    async fn checkout_http1(&self, pool: &Pool) -> Result<Checkout, ConnectError> {
        if let Some(connection) = self.take_idle(pool) {
            return Ok(Checkout::Http1(connection));
        }
        let connected = connect_held(&pool.endpoint, Some(false)).await?;
        Ok(Checkout::Http1(Http1Connection::new(connected.io)))
    }

    /// A place on a shared connection; or an own one, where `http2` is open and the peer prefers HTTP/1.1.
    async fn checkout_shared(
        &self,
        pool: &Rc<Pool>,
        http2: Option<bool>,
    ) -> Result<Checkout, ConnectError> {
        let mut made = 0;
        loop {
            if let Some(place) = self.take_shared(pool) {
                return Ok(Checkout::Http2(place));
            }
            if http2.is_none() {
                if let Some(connection) = self.take_idle(pool) {
                    return Ok(Checkout::Http1(connection));
                }
                if pool.inner.borrow().http2 == Some(false) {
                    return self.connect_either(pool).await;
                }
            }
            let connecting = pool.inner.borrow().connecting.clone();
            let mut result = connecting.unwrap_or_else(|| self.begin_shared(pool, http2));
            let ended = match result.wait_for(Option::is_some).await {
                Ok(result) => result.clone(),
                // Its task was lost: someone else begins anew.
                Err(_closed) => {
                    pool.inner.borrow_mut().connecting = None;
                    None
                }
            };
            if let Some(Err(error)) = ended {
                // Over the bound, a stream waits for its turn on a connection that there is.
                let full = matches!(error, ConnectError::Full { .. });
                if let Some(place) = full.then(|| self.queue_shared(pool)).flatten() {
                    return Ok(Checkout::Http2(place));
                }
                return Err(error);
            }
            // A connection that is made and closed before it can be used, again and again: what accepts there is
            // no service.
            made += 1;
            if made >= DEAD_CONNECTIONS_MAX && !pool.inner.borrow_mut().has_open() {
                pool.endpoint.shared.on_connect_failure();
                return Err(ConnectError::Protocol {
                    endpoint: pool.endpoint.name.clone(),
                });
            }
        }
    }

    /// A connection of its own by preference, kept apart if the peer has changed its mind and wants HTTP/2.
    async fn connect_either(&self, pool: &Rc<Pool>) -> Result<Checkout, ConnectError> {
        let connected = connect_held(&pool.endpoint, None).await?;
        if !connected.http2 {
            return Ok(Checkout::Http1(Http1Connection::new(connected.io)));
        }
        let mut shared = begin(&pool.endpoint, connected.io, self.clock.now()).await?;
        let place = shared.queue(self.clock.now());
        let mut inner = pool.inner.borrow_mut();
        inner.http2 = Some(true);
        inner.shared.push(shared);
        Ok(Checkout::Http2(place))
    }

    /// Makes a connection in a task of its own, so that those who wait for it do not depend on the first.
    fn begin_shared(
        &self,
        pool: &Rc<Pool>,
        http2: Option<bool>,
    ) -> watch::Receiver<Option<Result<(), ConnectError>>> {
        let (sender, receiver) = watch::channel(None);
        pool.inner.borrow_mut().connecting = Some(receiver.clone());
        let (pool, clock) = (Rc::clone(pool), self.clock);
        tokio::task::spawn_local(async move {
            let result = async {
                let connected = connect_held(&pool.endpoint, http2).await?;
                if !connected.http2 {
                    let connection = Http1Connection::new(connected.io);
                    let mut inner = pool.inner.borrow_mut();
                    inner.http2 = Some(false);
                    inner.idle.push(Idle {
                        connection,
                        since: clock.now(),
                    });
                    return Ok(());
                }
                let shared = begin(&pool.endpoint, connected.io, clock.now()).await?;
                let mut inner = pool.inner.borrow_mut();
                inner.http2 = Some(true);
                inner.shared.push(shared);
                Ok(())
            }
            .await;
            pool.inner.borrow_mut().connecting = None;
            // Those who waited may all have gone.
            let _nobody = sender.send(Some(result));
        });
        receiver
    }

    fn take_idle(&self, pool: &Pool) -> Option<Http1Connection> {
        let now = self.clock.now();
        let mut inner = pool.inner.borrow_mut();
        while let Some(mut idle) = inner.idle.pop() {
            if now.since(idle.since) >= pool.endpoint.config.idle_connection_time_max {
                // Those below idled even longer.
                inner.idle.clear();
                return None;
            }
            if idle.connection.io.is_quiet() {
                return Some(idle.connection);
            }
        }
        None
    }

    fn take_shared(&self, pool: &Pool) -> Option<Http2Connection> {
        let now = self.clock.now();
        let mut inner = pool.inner.borrow_mut();
        inner.shared.retain_mut(SharedConnection::is_open);
        let place = inner.shared.iter_mut().find_map(|shared| shared.take(now));
        if place.is_some() || inner.shared.len() < SHARED_MAX {
            return place;
        }
        drop(inner);
        self.queue_shared(pool)
    }

    /// A place on the shared connection that has the fewest streams, if there is one.
    fn queue_shared(&self, pool: &Pool) -> Option<Http2Connection> {
        let now = self.clock.now();
        let mut inner = pool.inner.borrow_mut();
        inner.shared.retain_mut(SharedConnection::is_open);
        let least = inner
            .shared
            .iter_mut()
            .min_by_key(|shared| shared.streams());
        least.map(|shared| shared.queue(now))
    }
}

impl Inner {
    /// The connection that has been idle longest, and for how long. One that was not used yet is about to be.
    fn oldest(&mut self, now: Instant) -> Option<(Duration, Kept)> {
        let idle = self.idle.iter().enumerate();
        let idle = idle
            .filter(|(_, it)| it.connection.reused)
            .map(|(at, it)| (now.since(it.since), Kept::Idle(at)));
        let shared = self.shared.iter_mut().enumerate();
        let shared = shared
            .filter(|(_, it)| it.is_used())
            .filter_map(|(at, it)| Some((it.idle(now)?, Kept::Shared(at))));
        idle.chain(shared).max_by_key(|(idle_for, _)| *idle_for)
    }

    fn close(&mut self, kept: Kept) {
        match kept {
            Kept::Idle(at) => drop(self.idle.remove(at)),
            Kept::Shared(at) => drop(self.shared.remove(at)),
        }
    }

    fn has_open(&mut self) -> bool {
        self.shared.iter_mut().any(SharedConnection::is_open) || !self.idle.is_empty()
    }
}

impl Http1Connection {
    fn new(io: Io) -> Self {
        Self {
            io,
            buf: BytesMut::new(),
            reused: false,
        }
    }
}

async fn begin(
    endpoint: &Endpoint,
    io: Io,
    now: Instant,
) -> Result<SharedConnection, ConnectError> {
    SharedConnection::begin(io, now)
        .await
        .map_err(|source| ConnectError::Http2 {
            endpoint: endpoint.name.clone(),
            source: Arc::new(source),
        })
}

enum Version {
    Http1,
    Http2,
    Negotiated,
}

fn version(endpoint: &Endpoint, wanted: Wanted) -> Version {
    match (endpoint.config.protocol, wanted) {
        (Protocol::Http1, _) | (Protocol::Auto, Wanted::Http1) => Version::Http1,
        (Protocol::Http2, _) | (Protocol::Auto, Wanted::Http2) => Version::Http2,
        (Protocol::Auto, Wanted::Auto { .. }) if endpoint.config.tls.is_some() => {
            Version::Negotiated
        }
        (Protocol::Auto, Wanted::Auto { grpc: true }) => Version::Http2,
        (Protocol::Auto, Wanted::Auto { grpc: false }) => Version::Http1,
    }
}
