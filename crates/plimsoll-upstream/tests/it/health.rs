//! Goal: what requests and checks show takes an endpoint out and brings it back. Method: the control
//! thread's task beside servers whose answers the test turns.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use plimsoll_policy::{DownCause, EndKind, Ended, EndpointParameters, Verdict};
use plimsoll_upstream::{
    Clock, ClusterConfig, Clusters, Health, HealthCheck, HealthConfig, HealthEvent, Pools,
    Protocol, Wanted,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_local;

use crate::support::{
    cluster, clusters, first, listen, nobody, on_a_thread, serve_http1, serve_http2, soon,
};

#[test]
fn an_endpoint_that_refuses_is_out_after_three_and_back_when_it_listens() {
    on_a_thread(async {
        let config = nobody().await;
        let port = config.port;
        let mut cluster = cluster(vec![config]);
        cluster.parameters.backoff_min = Duration::from_millis(20);
        let mut watched = Watched::new(cluster);
        let pools = Pools::new(Clock::new());
        let endpoint = first(&watched.clusters.borrow());
        for _ in 0..3 {
            pools.checkout(&endpoint, Wanted::Http1).await.unwrap_err();
        }
        let event = watched.next().await;
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Connect));
        assert!(
            event
                .reason
                .is_some_and(|reason| reason.contains("refused"))
        );
        assert!(!endpoint.shared.verdict().is_up());
        let _listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let verdict = watched.next().await.transition.verdict;
        assert!(matches!(
            verdict,
            Verdict::Up {
                slow_start: Some(_)
            }
        ));
        assert!(endpoint.shared.verdict().is_up());
    });
}

#[test]
fn http_checks_follow_the_status() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let status = Rc::new(Cell::new(204));
        let served = Rc::clone(&status);
        spawn_local(serve_http1(listener, move || served.get()));
        let check = HealthCheck::Http {
            path: "/healthz".to_owned(),
        };
        let mut watched = Watched::new(checked(vec![config], check));
        status.set(503);
        let event = watched.next().await;
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Checks));
        assert_eq!(
            event.reason.as_deref(),
            Some("the check was answered with status 503")
        );
        status.set(302);
        assert!(watched.next().await.transition.verdict.is_up());
    });
}

#[test]
fn tcp_checks_follow_the_listener() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let port = config.port;
        let mut cluster = checked(vec![config], HealthCheck::Tcp);
        cluster.parameters.backoff_min = Duration::from_millis(20);
        let mut watched = Watched::new(cluster);
        drop(listener);
        assert!(!watched.next().await.transition.verdict.is_up());
        let _listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        soon("up", async {
            while !watched.next().await.transition.verdict.is_up() {}
        })
        .await;
    });
}

#[test]
fn an_answer_that_does_not_come_is_a_failure() {
    on_a_thread(async {
        let (_silent, config) = listen().await;
        let check = HealthCheck::Http {
            path: "/".to_owned(),
        };
        let mut watched = Watched::new(checked(vec![config], check));
        let event = watched.next().await;
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Checks));
        assert!(
            event
                .reason
                .is_some_and(|reason| reason.starts_with("no answer within"))
        );
    });
}

#[test]
fn grpc_checks_follow_the_serving_status() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let status = Rc::new(Cell::new(1));
        let served = Rc::clone(&status);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let status = Rc::clone(&served);
                spawn_local(serve_http2(stream, 10, move |request, respond| {
                    spawn_local(answer_grpc(request, respond, status.get()));
                }));
            }
        });
        let check = HealthCheck::Grpc {
            service: "shop".to_owned(),
        };
        let mut watched = Watched::new(checked(vec![config], check));
        status.set(2);
        let event = watched.next().await;
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Checks));
        assert_eq!(
            event.reason.as_deref(),
            Some("it is not serving (gRPC health status 2)")
        );
        status.set(1);
        assert!(watched.next().await.transition.verdict.is_up());
    });
}

#[test]
fn http_checks_speak_http2_where_it_is_all_there_is() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.protocol = Protocol::Http2;
        let status = Rc::new(Cell::new(500));
        let served = Rc::clone(&status);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let status = Rc::clone(&served);
                spawn_local(serve_http2(stream, 10, move |_, mut respond| {
                    let response = http::Response::builder()
                        .status(status.get())
                        .body(())
                        .unwrap();
                    respond.send_response(response, true).unwrap();
                }));
            }
        });
        let mut watched = Watched::new(checked(
            vec![config],
            HealthCheck::Http {
                path: "/".to_owned(),
            },
        ));
        assert!(!watched.next().await.transition.verdict.is_up());
        status.set(200);
        assert!(watched.next().await.transition.verdict.is_up());
    });
}

#[test]
fn a_reload_keeps_the_state_of_endpoints_that_stay() {
    on_a_thread(async {
        let ((_silent, down), (listener, up)) = (listen().await, listen().await);
        spawn_local(serve_http1(listener, || 200));
        let check = HealthCheck::Http {
            path: "/".to_owned(),
        };
        let mut watched = Watched::new(checked(vec![down.clone()], check.clone()));
        assert!(!watched.next().await.transition.verdict.is_up());
        watched.reload(checked(vec![up, down], check));
        let now = Arc::clone(&watched.clusters.borrow());
        let verdicts = now
            .endpoints()
            .map(|endpoint| endpoint.shared.verdict().is_up())
            .collect::<Vec<_>>();
        assert_eq!(verdicts, [true, false]);
        // Without checks nothing holds it down any longer.
        let mut without = now.cluster("shop").unwrap().config.clone();
        without.health = None;
        watched.reload(without);
        assert!(watched.next().await.transition.verdict.is_up());
    });
}

#[test]
fn an_endpoint_whose_calls_fail_is_out_until_probes_of_real_calls_succeed() {
    on_a_thread(async {
        let (_one, failing) = listen().await;
        let (_other, well) = listen().await;
        let mut watched = Watched::new(cluster(vec![failing, well]));
        let endpoint = first(&watched.clusters.borrow());
        let end = |kind| {
            let generation = endpoint.shared.begin();
            endpoint.shared.end();
            endpoint.shared.on_attempt_end(Ended {
                kind,
                latency: Duration::from_millis(1),
                generation,
            });
        };
        (0..12).for_each(|_| end(EndKind::Failed));
        let event = watched.next().await;
        assert_eq!(event.endpoint.key, endpoint.key);
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Breaker));
        assert_eq!(event.reason.as_deref(), Some("12 calls in a row failed"));
        let event = soon("closed", async {
            loop {
                while endpoint.shared.try_probe() {
                    end(EndKind::Answered);
                }
                if let Ok(event) = watched.events.try_recv() {
                    break event;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        assert!(event.transition.verdict.is_up());
        assert_eq!(event.reason.as_deref(), Some("3 probes succeeded"));
    });
}

#[test]
fn versions_are_judged_each_among_its_own_endpoints() {
    on_a_thread(async {
        let (_own, one) = listen().await;
        let (_other, two) = listen().await;
        let (_next, next) = listen().await;
        let mut config = cluster(vec![one, two]);
        config.versions = vec![("v2".to_owned(), vec![next])];
        let mut watched = Watched::new(config);
        let endpoints = watched.clusters.borrow().cluster("shop").unwrap().clone();
        let fail = |place: usize| {
            let endpoint = &endpoints.endpoints[place].shared;
            for _ in 0..12 {
                let generation = endpoint.begin();
                endpoint.end();
                endpoint.on_attempt_end(Ended {
                    kind: EndKind::Failed,
                    latency: Duration::from_millis(1),
                    generation,
                });
            }
        };
        assert_eq!(endpoints.version_at(2), Some("v2"));
        // Half of one is none: it would be one of three.
        fail(2);
        fail(0);
        let event = watched.next().await;
        assert_eq!(event.endpoint.key, endpoints.endpoints[0].key);
        assert_eq!(event.transition.verdict, Verdict::Down(DownCause::Breaker));
        let up = endpoints
            .endpoints
            .iter()
            .map(|it| it.shared.verdict().is_up());
        assert_eq!(up.collect::<Vec<_>>(), [false, true, true]);
    });
}

async fn answer_grpc(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    status: u8,
) {
    assert_eq!(request.uri().path(), "/grpc.health.v1.Health/Check");
    assert_eq!(request.headers()["te"], "trailers");
    let mut body = request.into_body();
    let data = body.data().await.unwrap().unwrap();
    assert_eq!(&data[..], b"\0\0\0\0\x06\x0a\x04shop");
    let response = http::Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .unwrap();
    let mut stream = respond.send_response(response, false).unwrap();
    stream
        .send_data(Bytes::copy_from_slice(&[0, 0, 0, 0, 2, 8, status]), false)
        .unwrap();
    let mut trailers = http::HeaderMap::new();
    trailers.insert("grpc-status", http::HeaderValue::from_static("0"));
    stream.send_trailers(trailers).unwrap();
}

fn checked(endpoints: Vec<plimsoll_upstream::EndpointConfig>, check: HealthCheck) -> ClusterConfig {
    ClusterConfig {
        parameters: EndpointParameters {
            connect_failures_max: 1_000,
            ..EndpointParameters::default()
        },
        health: Some(HealthConfig {
            check,
            interval: Duration::from_millis(20),
            timeout: Duration::from_millis(200),
        }),
        ..cluster(endpoints)
    }
}

struct Watched {
    clusters: watch::Sender<Arc<Clusters>>,
    events: mpsc::Receiver<HealthEvent>,
}

impl Watched {
    fn new(config: ClusterConfig) -> Self {
        let (sender, events) = mpsc::channel(100);
        let (clusters, receiver) = watch::channel(Arc::new(clusters(config)));
        spawn_local(Health::new(Clock::new(), 1, sender).run(receiver));
        Self { clusters, events }
    }

    fn reload(&self, config: ClusterConfig) {
        let old = Arc::clone(&self.clusters.borrow());
        let new = Arc::new(old.update(vec![config]).unwrap());
        new.supersede(&old);
        self.clusters.send_replace(new);
    }

    async fn next(&mut self) -> HealthEvent {
        soon("a transition", self.events.recv()).await.unwrap()
    }
}
