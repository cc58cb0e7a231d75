//! Goal: names are refreshed by their time to live, and kept while they cannot be. Method: a name server in
//! the same thread whose answers the test turns.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_upstream::{Clock, EndpointConfig, Resolver};
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::spawn_local;

use crate::support::{cluster, clusters, first, on_a_thread, until};

const PATIENCE: Duration = Duration::from_secs(10);

#[test]
fn an_address_needs_no_resolving() {
    let clusters = clusters(cluster(vec![
        EndpointConfig::new("::1", 81),
        EndpointConfig::new("127.0.0.1", 80),
    ]));
    let found = clusters
        .endpoints()
        .map(|endpoint| endpoint.addresses().to_vec())
        .collect::<Vec<_>>();
    assert_eq!(
        found,
        [
            vec!["[::1]:81".parse().unwrap()],
            vec!["127.0.0.1:80".parse().unwrap()]
        ]
    );
    assert_eq!(first(&clusters).name, "http://[::1]:81");
    assert_eq!(first(&clusters).authority, "[::1]:81");
}

#[test]
fn localhost_is_known_without_a_name_server() {
    on_a_thread(async {
        let clusters = clusters(cluster(vec![EndpointConfig::new("localhost", 80)]));
        let unknown = Resolver::new(Clock::new())
            .resolve_all(&clusters, PATIENCE)
            .await;
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(
            first(&clusters)
                .addresses()
                .iter()
                .all(|address| address.ip().is_loopback())
        );
    });
}

#[test]
fn a_name_moves_when_its_time_to_live_is_over_and_stays_while_it_cannot_be_resolved() {
    on_a_thread(async {
        let answer = Rc::new(Cell::new(Some(Ipv4Addr::new(10, 1, 1, 1))));
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = socket.local_addr().unwrap();
        spawn_local(serve_names(socket, Rc::clone(&answer)));
        let resolver = Resolver::with_server(Clock::new(), server);
        let clusters = Arc::new(clusters(cluster(vec![EndpointConfig::new(
            "shop.test",
            80,
        )])));
        assert!(resolver.resolve_all(&clusters, PATIENCE).await.is_empty());
        let endpoint = first(&clusters);
        let is_at = |last: u8| {
            *endpoint.addresses() == [SocketAddr::new(IpAddr::from([10, 1, 1, last]), 80)]
        };
        assert!(is_at(1));

        let (_sender, receiver) = watch::channel(Arc::clone(&clusters));
        spawn_local(resolver.run(receiver));
        answer.set(Some(Ipv4Addr::new(10, 1, 1, 2)));
        until("the name has moved", || is_at(2)).await;
        answer.set(None);
        // Two times to live later it is still there.
        let clock = Clock::new();
        let from = clock.now();
        until("time passes", || {
            clock.now() - from > Duration::from_millis(2_200)
        })
        .await;
        assert!(is_at(2));
        answer.set(Some(Ipv4Addr::new(10, 1, 1, 3)));
        until("the name server is back", || is_at(3)).await;
    });
}

#[test]
fn a_name_that_nobody_knows_is_reported() {
    on_a_thread(async {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let server = socket.local_addr().unwrap();
        spawn_local(serve_names(socket, Rc::default()));
        let clusters = clusters(cluster(vec![EndpointConfig::new("shop.test", 80)]));
        let unknown = Resolver::with_server(Clock::new(), server)
            .resolve_all(&clusters, PATIENCE)
            .await;
        assert_eq!(unknown, ["http://shop.test:80"]);
    });
}

/// Answers questions for A with the address and a time to live of one second, or with SERVFAIL; those for
/// anything else with no record.
async fn serve_names(socket: UdpSocket, answer: Rc<Cell<Option<Ipv4Addr>>>) {
    const SERVFAIL: u8 = 2;
    let mut buf = [0; 512];
    loop {
        let (_, client) = socket.recv_from(&mut buf).await.unwrap();
        // The question follows the twelve bytes of the header: labels up to an empty one, type, class.
        let mut end = 12;
        while buf[end] != 0 {
            end += 1 + usize::from(buf[end]);
        }
        let question = &buf[12..end + 5];
        let is_a = buf[end + 1..end + 3] == [0, 1];
        let found = answer.get();
        let count = u8::from(is_a && found.is_some());
        let code = if found.is_some() { 0 } else { SERVFAIL };
        let mut reply = vec![
            buf[0],
            buf[1],
            0x85,
            0x80 | code,
            0,
            1,
            0,
            count,
            0,
            0,
            0,
            0,
        ];
        reply.extend_from_slice(question);
        if let (true, Some(address)) = (is_a, found) {
            // A pointer to the question's name, type A, class IN, one second, four bytes.
            reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
            reply.extend_from_slice(&address.octets());
        }
        socket.send_to(&reply, client).await.unwrap();
    }
}
