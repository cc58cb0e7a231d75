//! What the scenarios share: a thread's runtime, a wait with a deadline, small servers.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plimsoll_policy::EndpointParameters;
use plimsoll_upstream::{
    Balance, Checkout, ClusterConfig, Clusters, Endpoint, EndpointConfig, Http1Connection,
    Http2Connection, Io,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs a scenario as a data plane thread would run it.
pub(crate) fn on_a_thread(scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let result = local.block_on(&runtime, async { timeout(PATIENCE * 2, scenario).await });
    result.expect("the scenario takes too long");
}

pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..PATIENCE.as_millis() / 5 {
        if condition() {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
    panic!("waited in vain until {what}");
}

/// What a future gives, if that is soon.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

pub(crate) async fn listen() -> (TcpListener, EndpointConfig) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let config = at(listener.local_addr().unwrap());
    (listener, config)
}

/// An endpoint that nobody listens at: the port was free a moment ago.
pub(crate) async fn nobody() -> EndpointConfig {
    listen().await.1
}

pub(crate) fn at(address: SocketAddr) -> EndpointConfig {
    EndpointConfig::new(address.ip().to_string(), address.port())
}

pub(crate) fn cluster(endpoints: Vec<EndpointConfig>) -> ClusterConfig {
    ClusterConfig {
        name: "shop".to_owned(),
        endpoints,
        versions: Vec::new(),
        balance: Balance::LeastLoaded,
        parameters: EndpointParameters::default(),
        health: None,
    }
}

pub(crate) fn clusters(config: ClusterConfig) -> Clusters {
    Clusters::new().update(vec![config]).unwrap()
}

pub(crate) fn endpoint(config: EndpointConfig) -> Arc<Endpoint> {
    first(&clusters(cluster(vec![config])))
}

pub(crate) fn first(clusters: &Clusters) -> Arc<Endpoint> {
    Arc::clone(clusters.endpoints().next().unwrap())
}

pub(crate) trait Expect {
    fn http1(self) -> Http1Connection;
    fn http2(self) -> Http2Connection;
}

impl Expect for Checkout {
    #[track_caller]
    fn http1(self) -> Http1Connection {
        let Self::Http1(connection) = self else {
            panic!("HTTP/1.1 was expected")
        };
        connection
    }

    #[track_caller]
    fn http2(self) -> Http2Connection {
        let Self::Http2(connection) = self else {
            panic!("HTTP/2 was expected")
        };
        connection
    }
}

/// Our port of a connection: tells connections apart.
pub(crate) fn port(io: &Io) -> u16 {
    io.local_address().unwrap().port()
}

/// Answers each HTTP/1.1 request that has no body with this status, for ever.
pub(crate) async fn serve_http1(listener: TcpListener, status: impl Fn() -> u16 + Clone + 'static) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let status = status.clone();
        tokio::task::spawn_local(async move {
            let mut buf = [0; 4_096];
            while let Ok(1..) = stream.read(&mut buf).await {
                let answer = format!(
                    "HTTP/1.1 {} Whatever\r\nContent-Length: 2\r\n\r\nok",
                    status()
                );
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        });
    }
}

/// What a test's HTTP/2 server does with a request.
pub(crate) type Respond = h2::server::SendResponse<Bytes>;

/// Serves one HTTP/2 connection.
pub(crate) async fn serve_http2<S>(
    stream: S,
    streams_max: u32,
    mut serve: impl FnMut(http::Request<h2::RecvStream>, Respond),
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut builder = h2::server::Builder::new();
    let Ok(mut connection) = builder
        .max_concurrent_streams(streams_max)
        .handshake(stream)
        .await
    else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        serve(request, respond);
    }
}

pub(crate) async fn accept(listener: &TcpListener) -> TcpStream {
    soon("a connection", listener.accept()).await.unwrap().0
}

/// One GET on an HTTP/2 connection: its status.
pub(crate) async fn get(connection: &mut Http2Connection) -> Result<u16, h2::Error> {
    let request = http::Request::get("http://shop/").body(()).unwrap();
    let (response, _) = connection.send.send_request(request, true)?;
    Ok(response.await?.status().as_u16())
}
