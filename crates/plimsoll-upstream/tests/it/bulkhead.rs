//! Goal: connections of requests to one service are bounded over all its endpoints and all threads' pools, and each
//! place comes back with its connection. Method: listeners in the same thread, two endpoints, two pools.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_policy::{BulkheadKind, BulkheadParameters, BulkheadShared};
use plimsoll_upstream::{Clock, Clusters, ConnectError, EndpointConfig, Pools, Protocol, Wanted};
use tokio::task::spawn_local;

use crate::support::{
    Expect, accept, cluster, clusters, get, listen, nobody, on_a_thread, serve_http2, until,
};

const ANY: Wanted = Wanted::Auto { grpc: false };

#[test]
fn a_bound_holds_over_endpoints_and_pools_and_a_kept_connection_is_still_used() {
    on_a_thread(async {
        let ((one, first), (other, second)) = (listen().await, listen().await);
        let (clusters, bulkhead) = bounded(vec![first, second], 2);
        let [first, second] = clusters.cluster("shop").unwrap().endpoints.as_slice() else {
            panic!("two endpoints")
        };
        let (pools, others) = (Pools::new(Clock::new()), Pools::new(Clock::new()));
        let kept = pools.checkout(first, ANY).await.unwrap().http1();
        let used = others.checkout(second, ANY).await.unwrap().http1();
        let _open = (accept(&one).await, accept(&other).await);
        for (pools, endpoint) in [(&pools, first), (&others, second), (&pools, second)] {
            let error = pools.checkout(endpoint, ANY).await.unwrap_err();
            assert!(matches!(error, ConnectError::Full { .. }), "{error}");
        }
        assert_eq!(
            [first, second].map(|it| it.shared.take_connects()),
            [(0, 1), (0, 1)],
            "the endpoints have failed nobody"
        );
        pools.give_back(first, kept);
        assert!(pools.checkout(first, ANY).await.unwrap().http1().reused);
        // It was dropped: its place is free.
        drop(used);
        assert_eq!(bulkhead.taken(BulkheadKind::Connections), 0);
        let _again = pools.checkout(second, ANY).await.unwrap().http1();
        assert_eq!(bulkhead.taken(BulkheadKind::Connections), 1);
    });
}

#[test]
fn at_the_bound_the_connection_that_idles_longest_makes_room() {
    on_a_thread(async {
        let ((_one, first), (_other, second)) = (listen().await, listen().await);
        let (clusters, bulkhead) = bounded(vec![first, second], 2);
        let [first, second] = clusters.cluster("shop").unwrap().endpoints.as_slice() else {
            panic!("two endpoints")
        };
        let pools = Pools::new(Clock::new());
        let old = pools.checkout(first, ANY).await.unwrap().http1();
        let young = pools.checkout(first, ANY).await.unwrap().http1();
        pools.give_back(first, old);
        tokio::time::sleep(Duration::from_millis(2)).await;
        pools.give_back(first, young);
        let _used = pools.checkout(second, ANY).await.unwrap().http1();
        assert_eq!(pools.kept(), (1, 0));
        assert_eq!(bulkhead.taken(BulkheadKind::Connections), 2);
        let _young = pools.checkout(first, ANY).await.unwrap().http1();
        let error = pools.checkout(second, ANY).await.unwrap_err();
        assert!(
            matches!(error, ConnectError::Full { .. }),
            "none idles: {error}"
        );
    });
}

#[test]
fn another_threads_pools_make_room_once_they_are_asked() {
    on_a_thread(async {
        let (_listener, config) = listen().await;
        let (clusters, _bulkhead) = bounded(vec![config], 1);
        let endpoint = clusters.endpoints().next().unwrap();
        let (pools, others) = (Pools::new(Clock::new()), Pools::new(Clock::new()));
        let connection = pools.checkout(endpoint, ANY).await.unwrap().http1();
        pools.give_back(endpoint, connection);
        pools.make_room();
        assert_eq!(pools.kept(), (1, 0), "nobody asked");

        assert!(others.checkout(endpoint, ANY).await.is_err());
        assert!(endpoint.want_room());
        assert!(!endpoint.want_room(), "they are woken once");
        pools.make_room();
        let connection = others.checkout(endpoint, ANY).await.unwrap().http1();
        // One that is busy makes room when it is given back.
        assert!(endpoint.want_room());
        pools.make_room();
        others.give_back(endpoint, connection);
        assert_eq!(others.kept(), (0, 0));
        let _again = pools.checkout(endpoint, ANY).await.unwrap().http1();
    });
}

#[test]
fn a_connection_that_was_not_made_holds_no_place() {
    on_a_thread(async {
        let (clusters, bulkhead) = bounded(vec![nobody().await], 1);
        let endpoint = clusters.endpoints().next().unwrap();
        let pools = Pools::new(Clock::new());
        for _ in 0..2 {
            let error = pools.checkout(endpoint, ANY).await.unwrap_err();
            assert_eq!(error.kind(), "refused");
        }
        // Nor one that is dropped while it is made.
        let connecting = pools.checkout(endpoint, ANY);
        let _late = tokio::time::timeout(Duration::ZERO, connecting).await;
        assert_eq!(bulkhead.taken(BulkheadKind::Connections), 0);
    });
}

#[test]
fn over_the_bound_streams_wait_for_their_turn_on_the_connection_that_there_is() {
    on_a_thread(async {
        let (listener, mut config) = listen().await;
        config.protocol = Protocol::Http2;
        config.idle_connection_time_max = Duration::ZERO;
        spawn_local(async move {
            loop {
                let stream = accept(&listener).await;
                spawn_local(serve_http2(stream, 1, |_, mut respond| {
                    respond
                        .send_response(http::Response::new(()), true)
                        .unwrap();
                }));
            }
        });
        let (clusters, bulkhead) = bounded(vec![config], 1);
        let endpoint = clusters.endpoints().next().unwrap();
        let pools = Pools::new(Clock::new());
        let mut one = pools.checkout(endpoint, ANY).await.unwrap().http2();
        until("the peer's limit is known", || {
            one.send.current_max_send_streams() == 1
        })
        .await;
        let mut other = pools.checkout(endpoint, ANY).await.unwrap().http2();
        assert_eq!(pools.kept(), (0, 1));
        assert_eq!(get(&mut one).await.unwrap(), 200);
        assert_eq!(get(&mut other).await.unwrap(), 200);
        drop((one, other));
        pools.sweep();
        until("its place is free", || {
            bulkhead.taken(BulkheadKind::Connections) == 0
        })
        .await;
    });
}

fn bounded(
    endpoints: Vec<EndpointConfig>,
    connections_max: u32,
) -> (Clusters, Arc<BulkheadShared>) {
    let bulkhead = Arc::new(BulkheadShared::new(BulkheadParameters {
        connections_max: Some(connections_max),
        ..BulkheadParameters::default()
    }));
    let clusters = clusters(cluster(endpoints));
    clusters.cluster("shop").unwrap().set_bulkhead(&bulkhead);
    (clusters, bulkhead)
}
