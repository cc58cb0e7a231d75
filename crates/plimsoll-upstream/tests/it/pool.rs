//! Goal: connections are reused, and never one that is of no use. Method: a listener in the same thread,
//! connections told apart by their local port.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use plimsoll_upstream::{Clock, Clusters, ConnectError, Pools, Protocol, Wanted};
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;

use crate::support::{
    Expect, accept, cluster, clusters, endpoint, first, get, listen, nobody, on_a_thread, port,
    serve_http2, soon, until,
};

const ANY: Wanted = Wanted::Auto { grpc: false };

#[test]
fn a_connection_that_was_given_back_last_is_used_first() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let one = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        let other = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        let _open = (accept(&listener).await, accept(&listener).await);
        assert!(!one.reused && !other.reused);
        let ports = [port(&one.io), port(&other.io)];
        pools.give_back(&endpoint, one);
        pools.give_back(&endpoint, other);
        let again = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        assert!(again.reused);
        assert_eq!(port(&again.io), ports[1]);
        assert_eq!(
            port(&pools.checkout(&endpoint, ANY).await.unwrap().http1().io),
            ports[0]
        );
    });
}

#[test]
fn one_that_its_peer_closed_is_not_used_again() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let connection = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        pools.give_back(&endpoint, connection);
        drop(accept(&listener).await);
        until("the sweep sees the end", || {
            pools.sweep();
            pools.kept() == (0, 0)
        })
        .await;
        assert!(!pools.checkout(&endpoint, ANY).await.unwrap().http1().reused);
    });
}

#[test]
fn one_with_bytes_that_nobody_asked_for_is_not_used_again() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let connection = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        let mut peer = accept(&listener).await;
        peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        connection.io.socket().readable().await.unwrap();
        pools.give_back(&endpoint, connection);
        assert!(!pools.checkout(&endpoint, ANY).await.unwrap().http1().reused);
        assert_eq!(pools.kept(), (0, 0));
    });
}

#[test]
fn one_that_idles_too_long_is_closed() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.idle_connection_time_max = Duration::from_millis(30);
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let connection = pools.checkout(&endpoint, ANY).await.unwrap().http1();
        pools.give_back(&endpoint, connection);
        let peer = accept(&listener).await;
        assert_eq!(pools.kept(), (1, 0));
        until("the sweep closes it", || {
            pools.sweep();
            pools.kept() == (0, 0)
        })
        .await;
        soon("the end", peer.readable()).await.unwrap();
    });
}

#[test]
fn no_more_idle_than_configured_and_the_oldest_goes() {
    on_a_thread(async {
        let (_listener, mut config) = listen().await;
        config.idle_connections_max = 2;
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let mut connections = Vec::new();
        for _ in 0..3 {
            connections.push(pools.checkout(&endpoint, ANY).await.unwrap().http1());
        }
        let ports = connections
            .iter()
            .map(|connection| port(&connection.io))
            .collect::<Vec<_>>();
        for connection in connections {
            pools.give_back(&endpoint, connection);
        }
        assert_eq!(pools.kept(), (2, 0));
        for expected in [ports[2], ports[1]] {
            assert_eq!(
                port(&pools.checkout(&endpoint, ANY).await.unwrap().http1().io),
                expected
            );
        }
    });
}

#[test]
fn what_leaves_the_configuration_is_closed_and_what_stays_is_kept() {
    on_a_thread(async {
        let ((_stays, staying), (_leaves, leaving)) = (listen().await, listen().await);
        let old = clusters(cluster(vec![staying.clone(), leaving]));
        let pools = Pools::new(Clock::new());
        let mut out = Vec::new();
        for endpoint in old.endpoints() {
            let connection = pools.checkout(endpoint, ANY).await.unwrap().http1();
            pools.give_back(endpoint, connection);
            out.push(pools.checkout(endpoint, ANY).await.unwrap().http1());
        }
        let new = old.update(vec![cluster(vec![staying])]).unwrap();
        new.supersede(&old);
        assert_eq!(first(&new).key, first(&old).key);
        for (endpoint, connection) in old.endpoints().zip(out) {
            pools.give_back(endpoint, connection);
        }
        assert_eq!(
            pools.kept(),
            (1, 0),
            "a connection in use is closed when it is given back"
        );
        pools.sweep();
        assert!(
            pools
                .checkout(&first(&new), ANY)
                .await
                .unwrap()
                .http1()
                .reused
        );
    });
}

#[test]
fn a_refusal_says_so_and_is_counted() {
    on_a_thread(async {
        let config = nobody().await;
        let name = config.name();
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let error = pools.checkout(&endpoint, ANY).await.unwrap_err();
        assert_eq!(error.kind(), "refused");
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(endpoint.shared.take_connects(), (1, 0));
    });
}

#[test]
fn a_name_that_was_not_resolved_has_no_address() {
    on_a_thread(async {
        let (endpoint, pools) = (
            endpoint(plimsoll_upstream::EndpointConfig::new("shop.invalid", 80)),
            Pools::new(Clock::new()),
        );
        let error = pools.checkout(&endpoint, ANY).await.unwrap_err();
        assert!(matches!(error, ConnectError::NoAddress { .. }));
    });
}

#[test]
fn many_grpc_requests_share_one_connection() {
    on_a_thread(async {
        let (listener, config) = listen().await;
        let connections = Rc::new(Cell::new(0));
        let accepted = Rc::clone(&connections);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.set(accepted.get() + 1);
                spawn_local(serve_http2(stream, 100, |_, mut respond| {
                    respond
                        .send_response(http::Response::new(()), true)
                        .unwrap();
                }));
            }
        });
        let (endpoint, pools) = (endpoint(config), Rc::new(Pools::new(Clock::new())));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let (endpoint, pools) = (endpoint.clone(), Rc::clone(&pools));
            requests.spawn_local(async move {
                let mut connection = pools
                    .checkout(&endpoint, Wanted::Auto { grpc: true })
                    .await
                    .unwrap()
                    .http2();
                get(&mut connection).await.unwrap()
            });
        }
        let statuses = requests.join_all().await;
        assert_eq!(statuses, vec![200; 50]);
        assert_eq!(connections.get(), 1);
        assert_eq!(pools.kept(), (0, 1));
        // Cleartext leaves all else to HTTP/1.1.
        pools.checkout(&endpoint, ANY).await.unwrap().http1();
    });
}

#[test]
fn another_connection_is_opened_when_the_streams_of_one_are_used_up() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.protocol = Protocol::Http2;
        let held = Rc::new(RefCell::new(Vec::new()));
        let hold = Rc::clone(&held);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let hold = Rc::clone(&hold);
                spawn_local(serve_http2(stream, 2, move |_, respond| {
                    hold.borrow_mut().push(respond)
                }));
            }
        });
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let mut places = vec![pools.checkout(&endpoint, ANY).await.unwrap().http2()];
        until("the peer's limit is known", || {
            places[0].send.current_max_send_streams() == 2
        })
        .await;
        places.push(pools.checkout(&endpoint, ANY).await.unwrap().http2());
        assert_eq!(pools.kept(), (0, 1));
        places.push(pools.checkout(&endpoint, ANY).await.unwrap().http2());
        assert_eq!(pools.kept(), (0, 2));
        until("the other limit is known", || {
            places[2].send.current_max_send_streams() == 2
        })
        .await;
        drop(places);
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(pools.checkout(&endpoint, ANY).await.unwrap().http2());
        }
        assert!(places[0].reused);
        assert_eq!(pools.kept(), (0, 2), "places that were given up are free");
    });
}

#[test]
fn a_shared_connection_is_closed_when_it_idles_too_long_and_not_while_it_is_used() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.protocol = Protocol::Http2;
        config.idle_connection_time_max = Duration::from_millis(30);
        let ended = Rc::new(Cell::new(false));
        let end = Rc::clone(&ended);
        spawn_local(async move {
            let stream = accept(&listener).await;
            serve_http2(stream, 10, |_, _| ()).await;
            end.set(true);
        });
        let (endpoint, clock) = (endpoint(config), Clock::new());
        let pools = Pools::new(clock);
        let place = pools.checkout(&endpoint, ANY).await.unwrap().http2().place;
        let from = clock.now();
        until("it would have been idle for too long", || {
            clock.now() - from > Duration::from_millis(60)
        })
        .await;
        pools.sweep();
        assert_eq!(pools.kept(), (0, 1));
        drop(place);
        until("the sweep closes it", || {
            pools.sweep();
            pools.kept() == (0, 0)
        })
        .await;
        until("its peer sees the end", || ended.get()).await;
    });
}

#[test]
fn a_connection_whose_peer_says_goaway_gets_no_more_streams() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.protocol = Protocol::Http2;
        let connections = Rc::new(Cell::new(0));
        let accepted = Rc::clone(&connections);
        spawn_local(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                accepted.set(accepted.get() + 1);
                spawn_local(async move {
                    let mut connection = h2::server::handshake(stream).await.unwrap();
                    while let Some(Ok((_, mut respond))) = connection.accept().await {
                        respond
                            .send_response(http::Response::new(()), true)
                            .unwrap();
                        connection.graceful_shutdown();
                    }
                });
            }
        });
        let (endpoint, pools) = (endpoint(config), Pools::new(Clock::new()));
        let mut place = pools.checkout(&endpoint, ANY).await.unwrap().http2();
        assert_eq!(get(&mut place).await.unwrap(), 200);
        until("the pool sees GOAWAY", || {
            pools.sweep();
            pools.kept() == (0, 0)
        })
        .await;
        let mut place = pools.checkout(&endpoint, ANY).await.unwrap().http2();
        assert_eq!(get(&mut place).await.unwrap(), 200);
        assert_eq!(connections.get(), 2);
    });
}

#[test]
fn all_who_wait_for_one_connection_learn_that_it_failed() {
    on_a_thread(async {
        let mut config = nobody().await;
        config.protocol = Protocol::Http2;
        let (endpoint, pools) = (endpoint(config), Rc::new(Pools::new(Clock::new())));
        let mut requests = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let (endpoint, pools) = (endpoint.clone(), Rc::clone(&pools));
            requests.spawn_local(async move {
                pools.checkout(&endpoint, ANY).await.unwrap_err().kind()
            });
        }
        assert_eq!(requests.join_all().await, vec!["refused"; 10]);
        assert_eq!(
            endpoint.shared.take_connects(),
            (1, 0),
            "one connection was tried for all"
        );
    });
}

#[test]
fn a_balancer_leads_to_the_endpoints_of_its_cluster() {
    on_a_thread(async {
        let ((_one, first), (_other, second)) = (listen().await, listen().await);
        let clusters: Clusters = clusters(cluster(vec![first, second]));
        let cluster = clusters.cluster("shop").unwrap();
        let (clock, pools) = (Clock::new(), Pools::new(Clock::new()));
        let mut balancer = cluster.balancer(1);
        let choice = balancer
            .choose(clock.now(), &cluster.endpoints, None, &[])
            .unwrap();
        let endpoint = &cluster.endpoints[choice.endpoint.index()];
        pools.checkout(endpoint, ANY).await.unwrap().http1();
    });
}
