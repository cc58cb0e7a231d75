//! Goal: gRPC and WebSocket get through: unary, streaming, upgrades, and what their ends say is counted.
//!
//! Method: tonic with its health service and tungstenite, on both sides of the program.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::Message;
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::child::{Home, Plimsoll, TIME_MAX, config, free_address, get, metric, wait_until};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// `run --to`, as the README says.
fn run_to(address: SocketAddr) -> (Home, Plimsoll) {
    let home = Home::new();
    let to = format!("http://{address}");
    let free = "127.0.0.1:0";
    let args = [
        "run",
        "--to",
        &to,
        "--listen",
        free,
        "--console",
        free,
        "--ops",
        free,
    ];
    let plimsoll = Plimsoll::start(home.command(&args));
    (home, plimsoll)
}

async fn client_of(plimsoll: &Plimsoll) -> HealthClient<tonic::transport::Channel> {
    let url = format!("http://{}", plimsoll.address());
    HealthClient::new(
        tonic::transport::Endpoint::new(url)
            .unwrap()
            .connect()
            .await
            .unwrap(),
    )
}

/// A health service that says of `shop` that it serves.
async fn serve_health(listener: TcpListener) -> tonic_health::server::HealthReporter {
    let (reporter, health) = tonic_health::server::health_reporter();
    listener.set_nonblocking(true).unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(
        tokio::net::TcpListener::from_std(listener).unwrap(),
    );
    tokio::spawn(
        tonic::transport::Server::builder()
            .add_service(health)
            .serve_with_incoming(incoming),
    );
    reporter
        .set_service_status("shop", ServingStatus::Serving)
        .await;
    reporter
}

fn asked() -> HealthCheckRequest {
    HealthCheckRequest {
        service: "shop".to_owned(),
    }
}

#[test]
fn grpc_calls_and_streams_get_through() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_home, plimsoll) = run_to(address);
    runtime().block_on(async {
        let reporter = serve_health(listener).await;
        let mut client = client_of(&plimsoll).await;
        let answer = client.check(asked()).await.unwrap().into_inner();
        assert_eq!(answer.status, 1);
        let unknown = client
            .check(HealthCheckRequest {
                service: "nobody".to_owned(),
            })
            .await
            .unwrap_err();
        assert_eq!(unknown.code(), tonic::Code::NotFound);

        let mut watch = client.watch(asked()).await.unwrap().into_inner();
        let next = async |watch: &mut tonic::Streaming<_>| {
            let next: Option<tonic_health::pb::HealthCheckResponse> =
                tokio::time::timeout(TIME_MAX, watch.message())
                    .await
                    .unwrap()
                    .unwrap();
            next.unwrap().status
        };
        assert_eq!(next(&mut watch).await, 1);
        reporter
            .set_service_status("shop", ServingStatus::NotServing)
            .await;
        assert_eq!(
            next(&mut watch).await,
            2,
            "a message passes while the stream is open"
        );
        drop(watch);
    });
    wait_until("all are counted", || {
        let metrics = get(plimsoll.ops(), "/metrics").1;
        let count = |cause: &str| metric(&metrics, "plimsoll_requests_total", &[cause]);
        // How the stream that is dropped with its connection is counted depends on which end is seen to go first.
        count("cause=\"answered\"") >= 2.0 && count("") == 3.0
    });
}

/// Takes the ten seconds after which a call is a stream.
#[test]
fn the_second_of_one_grpc_stream_ends_in_its_own_words_and_calls_go_on() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let more = "[service.app.protect]\nbulkhead = { streams_max = 1 }\n";
    let home = Home::new();
    home.write(&config(&[listener.local_addr().unwrap()], "", more));
    let plimsoll = home.run(&[]);
    runtime().block_on(async {
        let reporter = serve_health(listener).await;
        let mut client = client_of(&plimsoll).await;
        let mut first = client.watch(asked()).await.unwrap().into_inner();
        let mut second = client.watch(asked()).await.unwrap().into_inner();
        for watch in [&mut first, &mut second] {
            assert_eq!(watch.message().await.unwrap().unwrap().status, 1);
        }
        // Either may be the one that was there first, to the millisecond.
        let (ended, goes_on) = tokio::time::timeout(TIME_MAX, async {
            tokio::select! {
                end = first.message() => (end, &mut second),
                end = second.message() => (end, &mut first),
            }
        })
        .await
        .unwrap();
        let error = ended.unwrap_err();
        assert_eq!(error.code(), tonic::Code::ResourceExhausted, "{error:?}");
        reporter
            .set_service_status("shop", ServingStatus::NotServing)
            .await;
        assert_eq!(goes_on.message().await.unwrap().unwrap().status, 2);
        client.check(asked()).await.unwrap();
    });
    wait_until("it is counted", || {
        let metrics = get(plimsoll.ops(), "/metrics").1;
        metric(&metrics, "plimsoll_requests_total", &["cause=\"bulkhead\""]) == 1.0
    });
}

#[test]
fn a_grpc_client_is_told_in_its_own_words_that_the_service_is_down() {
    let (_home, plimsoll) = run_to(free_address());
    runtime().block_on(async {
        let mut client = client_of(&plimsoll).await;
        let error = client
            .check(HealthCheckRequest::default())
            .await
            .unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unavailable, "{error:?}");
    });
}

#[test]
fn a_websocket_echoes_until_either_side_closes() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (_home, plimsoll) = run_to(address);
    runtime().block_on(async {
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    socket.send(message).await.unwrap();
                }
            }
        });
        let url = format!("ws://{}/chat", plimsoll.address());
        let (mut socket, answer) = tokio_tungstenite::connect_async(url).await.unwrap();
        assert_eq!(answer.status(), 101);
        for message in [Message::text("hello"), Message::binary(vec![7; 1 << 20])] {
            socket.send(message.clone()).await.unwrap();
            let echo = tokio::time::timeout(TIME_MAX, socket.next())
                .await
                .unwrap()
                .unwrap()
                .unwrap();
            assert_eq!(echo, message);
        }
        socket.close(None).await.unwrap();
        while let Some(Ok(_)) = tokio::time::timeout(Duration::from_secs(10), socket.next())
            .await
            .unwrap()
        {}
    });
    wait_until("it is counted", || {
        let metrics = get(plimsoll.ops(), "/metrics").1;
        metric(&metrics, "plimsoll_requests_total", &["cause=\"answered\""]) == 1.0
    });
}
