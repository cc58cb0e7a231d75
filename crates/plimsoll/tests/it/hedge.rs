//! Goal: a slow answer of a service that is quick otherwise is not what the client waits for; the service is sent no
//! more than the budget says, and nothing twice that must not be. Connections to a service are bounded.
//!
//! Method: services that count what they see, with answers that are slow by a known rule. What counts is what the
//! services saw, and when the clients had their answers.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::child::{Home, Plimsoll, ask, config, get, metric, wait_until};

const SLOW: Duration = Duration::from_millis(500);

#[test]
fn a_slow_answer_is_overtaken_and_its_connection_closed() {
    let often_slow = Slowish::start(SLOW, |number| number % 10 == 9);
    let quick = Slowish::start(SLOW, |_| false);
    let endpoints = [often_slow.address, quick.address];
    let home = Home::new();
    home.write(&with(
        &endpoints,
        "hedge = { after = \"50ms\", budget = \"50%\" }",
    ));
    let plimsoll = home.run(&[]);
    let mut latencies = ask_often(plimsoll.address(), 400);
    // How many go to the one that is often slow is the balancer's choice.
    while often_slow.slow.load(Relaxed) <= 5 && latencies.len() < 4_000 {
        latencies.extend(ask_often(plimsoll.address(), 400));
    }
    latencies.sort();
    let slow = often_slow.slow.load(Relaxed);
    assert!(slow > 5, "{slow} slow answers are none");
    let all = latencies.len();
    let worst = &latencies[all * 390 / 400..];
    assert!(latencies[all * 395 / 400] < SLOW / 2, "{worst:?}");
    wait_until("each slow answer was cut or given", || {
        often_slow.cut.load(Relaxed) + often_slow.late.load(Relaxed) == slow
    });
    // On a machine that stands still now and then, one or the other may be there first.
    let late = often_slow.late.load(Relaxed);
    assert!(late * 4 <= slow, "{late} of {slow} were waited for");
    wait_until("nothing is in flight", || in_flight(&plimsoll) == 0.0);
}

#[test]
fn the_budget_bounds_second_attempts_where_all_is_slow() {
    let delay = Duration::from_millis(60);
    let all_slow = [
        Slowish::start(delay, |_| true),
        Slowish::start(delay, |_| true),
    ];
    let endpoints = [all_slow[0].address, all_slow[1].address];
    let home = Home::new();
    home.write(&with(
        &endpoints,
        "hedge = { after = \"10ms\", budget = \"10%\" }",
    ));
    let plimsoll = home.run(&[]);
    ask_often(plimsoll.address(), 300);
    let seen = seen(&all_slow);
    assert!((310..=330).contains(&seen), "{seen} for 300");
    wait_until("nothing is in flight", || in_flight(&plimsoll) == 0.0);
}

#[test]
fn nothing_is_sent_twice_that_must_not_be() {
    let hedge = "hedge = { after = \"10ms\", budget = \"100%\" }";
    let trusted = "trusted = [\"127.0.0.0/8\"]";
    check_once("off until asked for", "", "", "GET", "");
    check_once(
        "observed",
        "hedge = { after = \"10ms\", budget = \"100%\", mode = \"observe\" }",
        "",
        "GET",
        "",
    );
    check_once("not idempotent", hedge, "", "POST", "");
    let no_retry = "Plimsoll-No-Retry: 1\r\n";
    check_once("forbidden", hedge, trusted, "GET", no_retry);
    // One permit is in use, and none is left for a second attempt.
    check_once("no permit", &format!("limiter = 1\n{hedge}"), "", "GET", "");
    // And all that is not so is hedged.
    assert!(count_sent(hedge, "", "GET", "") > 20);
    assert!(count_sent(hedge, "", "POST", "Idempotency-Key: 7\r\n") > 20);
}

#[track_caller]
fn check_once(why: &str, protect: &str, gateway: &str, method: &str, fields: &str) {
    assert_eq!(count_sent(protect, gateway, method, fields), 20, "{why}");
}

/// How often two slow endpoints see 20 requests.
fn count_sent(protect: &str, gateway: &str, method: &str, fields: &str) -> u64 {
    let delay = Duration::from_millis(50);
    let all_slow = [
        Slowish::start(delay, |_| true),
        Slowish::start(delay, |_| true),
    ];
    let endpoints = [all_slow[0].address, all_slow[1].address];
    let home = Home::new();
    let protect = format!("[service.app.protect]\n{protect}\n");
    home.write(&config(&endpoints, gateway, &protect));
    let plimsoll = home.run(&[]);
    for _ in 0..20 {
        assert_eq!(ask(plimsoll.address(), method, "/", fields).0, 200);
    }
    wait_until("nothing is in flight", || in_flight(&plimsoll) == 0.0);
    seen(&all_slow)
}

#[test]
fn an_attempt_that_fails_leaves_the_other() {
    // It takes the request, and closes after 100 ms without an answer, while the other still works on its own.
    let broken = Slowish::start(Duration::from_millis(100), |_| true).breaking();
    let works = Slowish::start(Duration::from_millis(300), |_| true);
    let home = Home::new();
    // Without retries, so that it is the second attempt that answers.
    let protect = "hedge = { after = \"10ms\", budget = \"100%\" }\nretry = { mode = \"off\" }\n\
                   breaker = { mode = \"off\" }\nejection = { mode = \"off\" }";
    home.write(&with(&[broken.address, works.address], protect));
    let plimsoll = home.run(&[]);
    for _ in 0..12 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    // Whichever was first, the other was asked too.
    assert_eq!(
        [&broken, &works].map(|it| it.requests.load(Relaxed)),
        [12, 12]
    );
    wait_until("nothing is in flight", || in_flight(&plimsoll) == 0.0);
}

#[test]
fn connections_to_a_service_are_bounded_and_a_kept_one_is_used_over_the_bound() {
    let services = [
        Slowish::start(SLOW, |_| true),
        Slowish::start(SLOW, |_| true),
    ];
    let home = Home::new();
    // On one thread, whose kept connections are those that there are.
    let text = with(
        &[services[0].address, services[1].address],
        "bulkhead = { connections_max = 2 }\nretry = { mode = \"off\" }",
    );
    home.write(&text.replace("threads = 2", "threads = 1"));
    let plimsoll = home.run(&[]);
    let address = plimsoll.address();
    let slow: Vec<_> = (0..2)
        .map(|_| std::thread::spawn(move || get(address, "/").0))
        .collect();
    wait_until("both are in flight", || seen(&services) == 2);
    let (status, answer) = get(address, "/");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("bulkhead"), "{answer}");
    for slow in slow {
        assert_eq!(slow.join().unwrap(), 200);
    }
    let used: Vec<_> = (0..5).map(|_| get(address, "/").0).collect();
    assert_eq!(used, [200; 5]);
    let connections: u64 = services.iter().map(|it| it.connections.load(Relaxed)).sum();
    // One is made anew where both were to one endpoint, and the other one is asked.
    assert!((2..=3).contains(&connections), "{connections}");
    // Nothing is wrong with the endpoints, and nobody says so.
    let (_, metrics) = get(plimsoll.ops(), "/metrics");
    assert_eq!(
        metric(&metrics, "plimsoll_requests_total", &["cause=\"connect\""]),
        0.0
    );
}

fn with(endpoints: &[SocketAddr], protect: &str) -> String {
    config(
        endpoints,
        "",
        &format!("[service.app.protect]\n{protect}\n"),
    )
}

fn in_flight(plimsoll: &Plimsoll) -> f64 {
    metric(
        &get(plimsoll.ops(), "/metrics").1,
        "plimsoll_in_flight",
        &[],
    )
}

fn seen(services: &[Slowish]) -> u64 {
    services.iter().map(|it| it.requests.load(Relaxed)).sum()
}

/// Asks so often, four at a time; how long each took, in order.
fn ask_often(address: SocketAddr, times: usize) -> Vec<Duration> {
    let clients: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(move || {
                let ask = |_| {
                    #[expect(
                        clippy::disallowed_methods,
                        reason = "what a client waits is measured"
                    )]
                    let began = std::time::Instant::now();
                    assert_eq!(get(address, "/").0, 200);
                    began.elapsed()
                };
                (0..times / 4).map(ask).collect::<Vec<_>>()
            })
        })
        .collect();
    let mut latencies: Vec<_> = clients
        .into_iter()
        .flat_map(|client| client.join().unwrap())
        .collect();
    latencies.sort();
    latencies
}

/// A service some of whose answers are slow.
struct Slowish {
    address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    connections: AtomicU64,
    /// Requests whose heads have arrived.
    requests: AtomicU64,
    /// Those that are answered late.
    slow: AtomicU64,
    /// Those of them whose connection was closed before the answer.
    cut: AtomicU64,
    /// Those of them that were answered.
    late: AtomicU64,
    /// Whether it closes instead of answering late.
    breaks: AtomicU64,
}

impl std::ops::Deref for Slowish {
    type Target = Counts;
    fn deref(&self) -> &Counts {
        &self.counts
    }
}

impl Slowish {
    /// `is_slow` is given the number of the request, from 0.
    fn start(delay: Duration, is_slow: fn(u64) -> bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let counts = Arc::<Counts>::default();
        let counted = Arc::clone(&counts);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                while let Ok((stream, _)) = listener.accept().await {
                    counted.connections.fetch_add(1, Relaxed);
                    tokio::spawn(serve(stream, Arc::clone(&counted), delay, is_slow));
                }
            });
        });
        Self { address, counts }
    }

    fn breaking(self) -> Self {
        self.counts.breaks.store(1, Relaxed);
        self
    }
}

async fn serve(
    mut stream: tokio::net::TcpStream,
    counts: Arc<Counts>,
    delay: Duration,
    is_slow: fn(u64) -> bool,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut received = Vec::new();
    loop {
        while !received.ends_with(b"\r\n\r\n") {
            if stream.read_buf(&mut received).await? == 0 {
                return Ok(());
            }
        }
        received.clear();
        if is_slow(counts.requests.fetch_add(1, Relaxed)) {
            counts.slow.fetch_add(1, Relaxed);
            let mut more = [0];
            tokio::select! {
                // Nobody says more before the answer: it is the end.
                _end = stream.read(&mut more) => {
                    counts.cut.fetch_add(1, Relaxed);
                    return Ok(());
                }
                () = tokio::time::sleep(delay) => (),
            }
            if counts.breaks.load(Relaxed) == 1 {
                return Ok(());
            }
            counts.late.fetch_add(1, Relaxed);
        }
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            .await?;
    }
}
