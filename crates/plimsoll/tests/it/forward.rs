//! Goal: what a client and a service say to each other gets through, whole, in time and to the right one.
//!
//! Method: curl and raw sockets before the program, nginx and scripted services behind it.

use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::channel;

use crate::child::{Home, Plimsoll, config, free_address, get, metric, wait_until};
use crate::script::{Link, Script};

/// Starts the program before these services.
fn before(endpoints: &[std::net::SocketAddr], gateway: &str, more: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(endpoints, gateway, more));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

/// The same with one thread: what one request leaves in its pool, the next finds.
fn before_one_thread(endpoints: &[std::net::SocketAddr]) -> (Home, Plimsoll) {
    let home = Home::new();
    home.write(&config(endpoints, "", "").replace("threads = 2", "threads = 1"));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

/// nginx, which says what it was asked.
struct Nginx {
    process: Child,
    address: std::net::SocketAddr,
    _home: tempfile::TempDir,
}

impl Nginx {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let address = free_address();
        let file = home.path().join("nginx.conf");
        let at = home.path().display();
        std::fs::write(home.path().join("file.txt"), "0123456789").unwrap();
        std::fs::write(
            &file,
            format!(
                "daemon off; pid {at}/pid; error_log {at}/error.log; worker_processes 1;
                 events {{ worker_connections 256; }}
                 http {{ access_log off; client_body_temp_path {at}/b; proxy_temp_path {at}/p; fastcgi_temp_path {at}/f;
                 uwsgi_temp_path {at}/u; scgi_temp_path {at}/s;
                 server {{ listen {address}; root {at};
                   location / {{ return 200 \"$request_method $request_uri $host a=$http_x_a b=$http_x_b via=$http_via\"; }}
                   location /file.txt {{ }}
                   location /empty {{ return 204; }} }} }}"
            ),
        )
        .unwrap();
        let process = Command::new("nginx")
            .args(["-c", &file.display().to_string()])
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is installed: `cargo xtask test` does");
        let nginx = Self {
            process,
            address,
            _home: home,
        };
        wait_until("nginx listens", || {
            std::net::TcpStream::connect(address).is_ok()
        });
        nginx
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // TERM, so that its worker goes with it.
        let pid = rustix::process::Pid::from_child(&self.process);
        let _gone = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _status = self.process.wait();
    }
}

#[track_caller]
fn curl(args: &[&str]) -> String {
    let output = Command::new("curl")
        .args(["-s", "-S", "--max-time", "30"])
        .args(args)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "curl {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn curl_reaches_nginx_over_http1_and_http2() {
    let nginx = Nginx::start();
    let (_home, plimsoll) = before(&[nginx.address], "", "");
    let url = |path: &str| format!("http://{}{path}", plimsoll.address());
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let said = curl(&[version, "-H", "X-A: 1", &url("/a/b?c=d")]);
        assert!(
            said.starts_with("GET /a/b?c=d 127.0.0.1 a=1 b= via="),
            "{said}"
        );
        assert!(said.contains("plimsoll"), "{said}");
        assert_eq!(
            curl(&[
                version,
                "-I",
                "-o",
                "/dev/null",
                "-w",
                "%{http_code}",
                &url("/")
            ]),
            "200"
        );
        assert!(curl(&[version, "-d", "body", &url("/post")]).starts_with("POST /post"));
        assert_eq!(
            curl(&[version, "-w", "%{http_code}", &url("/empty")]),
            "204"
        );
        assert_eq!(curl(&[version, "-r", "2-4", &url("/file.txt")]), "234");
        let tag = curl(&[version, "-I", &url("/file.txt")]);
        let tag = tag.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("etag: ")
                .map(str::to_owned)
        });
        let condition = format!("If-None-Match: {}", tag.unwrap());
        assert_eq!(
            curl(&[
                version,
                "-H",
                &condition,
                "-w",
                "%{http_code}",
                &url("/file.txt")
            ]),
            "304"
        );
    }
    let metrics = get(plimsoll.ops(), "/metrics").1;
    assert_eq!(
        metric(&metrics, "plimsoll_requests_total", &["cause=\"answered\""]),
        14.0,
        "{metrics}"
    );
}

#[test]
fn routes_rewrite_redirect_and_choose_the_most_specific() {
    let nginx = Nginx::start();
    let more = "
        [[route]]
        name = \"api\"
        path = \"/api/*\"
        service = \"app\"
        rewrite = { strip_prefix = \"/api\", host = \"inner.example\", request = { set = { x-a = \"set\" }, remove = [\"x-b\"] }, response = { set = { x-out = \"1\" } } }
        [[route]]
        name = \"old\"
        path = \"/old\"
        redirect = { path = \"/new\", status = 308 }
        [[route]]
        name = \"posts\"
        path = \"/posts\"
        methods = [\"POST\"]
        service = \"app\"
        [[route]]
        name = \"host\"
        host = \"*.example.com\"
        path = \"/only\"
        service = \"app\"
        rewrite = { host = \"wild.example\" }
        ";
    let (_home, plimsoll) = before(&[nginx.address], "", more);
    let url = |path: &str| format!("http://{}{path}", plimsoll.address());
    let said = curl(&["-i", "-H", "X-A: mine", "-H", "X-B: mine", &url("/api/x?y")]);
    assert!(
        said.contains("GET /x?y inner.example a=set b= via="),
        "{said}"
    );
    assert!(said.contains("x-out: 1"), "{said}");
    let said = curl(&["-i", &url("/old")]);
    assert!(
        said.starts_with("HTTP/1.1 308") && said.contains("/new"),
        "{said}"
    );
    assert!(curl(&["-H", "Host: a.example.com", &url("/only")]).contains("wild.example"));
    assert!(curl(&[&url("/only")]).contains("GET /only 127.0.0.1"));
    // The catch-all takes what the more specific route does not.
    assert!(curl(&[&url("/posts")]).starts_with("GET /posts"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            let path = head.split(' ').nth(1).unwrap().to_owned();
            link.send(
                format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
                    path.len()
                )
                .as_bytes(),
            );
        }
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\n\
          Host: a\r\nConnection: close\r\n\r\n",
    );
    let all = client.rest();
    let order: Vec<_> = ["/1", "/2", "/3"]
        .iter()
        .map(|path| all.find(&format!("\r\n\r\n{path}")).unwrap())
        .collect();
    assert!(order.is_sorted(), "{all}");
}

#[test]
fn an_http10_client_gets_a_body_without_chunks() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    );
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.0\r\n\r\n");
    let all = client.rest();
    assert!(all.ends_with("\r\n\r\nabcde"), "{all}");
    assert!(!all.to_lowercase().contains("transfer-encoding"), "{all}");
}

#[test]
fn trailers_and_interim_answers_pass() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n\r\n");
        link.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 7\r\n\r\n");
        link.head();
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: close\r\n\r\n");
    let all = client.rest();
    assert!(
        all.starts_with("HTTP/1.1 103 Early Hints\r\nLink: </s.css>\r\n"),
        "{all}"
    );
    assert!(all.ends_with("0\r\nX-Sum: 7\r\n\r\n"), "{all}");
}

#[test]
fn a_client_that_waits_to_continue_is_told_so_by_the_service() {
    let service = Script::start(|_, link| {
        let head = link.head().unwrap();
        assert!(head.contains("100-continue"), "{head}");
        link.send(b"HTTP/1.1 100 Continue\r\n\r\n");
        let body = link.take(5);
        link.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).as_bytes());
        link.send(&body);
        link.head();
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
    client.send(b"hello");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.take(5), b"hello");
}

#[test]
fn an_answer_may_come_before_the_body_was_read() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nstart");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 403"));
    assert_eq!(client.rest(), "no");
}

#[test]
fn events_are_passed_on_as_they_come() {
    let (seen, next) = channel::<()>();
    let next = Mutex::new(next);
    let service = Script::start(move |_, link| {
        link.head();
        link.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
        next.lock().unwrap().recv().unwrap();
        link.send(b"data: 2\n\n");
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
        .until(b"data: 1\n\n")
        .expect("the first event comes before the second is sent");
    seen.send(()).unwrap();
    client.until(b"data: 2\n\n").unwrap();
}

#[test]
fn a_client_that_leaves_takes_its_request_with_it() {
    let (gone, noticed) = channel::<()>();
    let service = Script::start(move |_, link| {
        link.head();
        assert_eq!(
            link.head(),
            None,
            "the connection is closed, and nothing else comes"
        );
        gone.send(()).unwrap();
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    wait_until("the service has it", || service.heads().len() == 1);
    drop(client);
    noticed.recv_timeout(crate::child::TIME_MAX).unwrap();
    wait_until("it is counted", || {
        let metrics = get(plimsoll.ops(), "/metrics").1;
        metric(
            &metrics,
            "plimsoll_requests_total",
            &["cause=\"client-gone\""],
        ) == 1.0
    });
}

#[test]
fn a_kept_connection_that_went_stale_costs_no_request() {
    // Each connection carries one exchange, then is closed without a word.
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    for _ in 0..50 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
}

#[test]
fn a_post_that_may_have_been_seen_is_not_sent_again() {
    // The second request on a connection is read, then the connection is closed.
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        link.head();
    });
    let (_home, plimsoll) = before_one_thread(&[service.address]);
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET /first HTTP/1.1\r\nHost: a\r\n\r\n");
    client.head();
    client.take(2);
    client.send(b"POST /pay HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 502"));
    let payments = service
        .heads()
        .iter()
        .filter(|head| head.starts_with("POST /pay"))
        .count();
    assert_eq!(payments, 1);
}

#[test]
fn when_one_endpoint_refuses_the_other_answers_and_the_first_comes_back() {
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let refusing = free_address();
    let (home, plimsoll) = before(&[refusing, service.address], "", "");
    for _ in 0..40 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    let state = |home: &Home| {
        let status = home.ask(&["status", "--json"]);
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
        let endpoints = status["services"][0]["endpoints"]
            .as_array()
            .unwrap()
            .clone();
        let name = format!("http://{refusing}");
        let endpoint = endpoints
            .iter()
            .find(|it| it["name"] == name.as_str())
            .unwrap()
            .clone();
        endpoint["state"].as_str().unwrap().to_owned()
    };
    wait_until("it is down", || {
        get(plimsoll.address(), "/");
        state(&home) == "down"
    });
    let back = std::net::TcpListener::bind(refusing).unwrap();
    wait_until("it is back", || state(&home) != "down");
    drop(back);
}

#[test]
fn claims_about_the_client_are_believed_from_trusted_peers_only() {
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let forged = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nForwarded: for=203.0.113.9\r\nPlimsoll-Class: critical\r\n\
                  traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n";
    for (gateway, believed) in [("", false), ("trusted = [\"127.0.0.0/8\"]", true)] {
        let (_home, plimsoll) = before(&[service.address], gateway, "");
        crate::child::ask(plimsoll.address(), "GET", "/", forged);
        let head = service.heads().last().unwrap().clone();
        assert_eq!(head.contains("203.0.113.9"), believed, "{head}");
        assert_eq!(
            head.contains("Plimsoll-Class: critical"),
            believed,
            "{head}"
        );
        assert!(
            head.contains("X-Forwarded-For: ") && head.contains("127.0.0.1"),
            "{head}"
        );
        assert!(
            head.contains("traceparent: 00-0af7651916cd43dd8448eb211c80319c-"),
            "{head}"
        );
        assert!(
            !head.contains("b7ad6b7169203331"),
            "we are the parent: {head}"
        );
    }
}

#[test]
fn the_proxy_protocol_says_who_the_client_is() {
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let home = Home::new();
    let text = config(&[service.address], "", "").replace(
        "[\"127.0.0.1:0\"]",
        "[{ address = \"127.0.0.1:0\", proxy_protocol = true }]",
    );
    home.write(&text);
    let plimsoll = home.run(&[]);
    let mut client = Link::connect(plimsoll.address());
    client.send(b"PROXY TCP4 198.51.100.7 192.0.2.1 5000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
    assert!(
        service.heads()[0].contains("X-Forwarded-For: 198.51.100.7\r\n"),
        "{:?}",
        service.heads()
    );
    let mut client = Link::connect(plimsoll.address());
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.rest(),
        "",
        "without its header a connection is closed"
    );
}

#[test]
fn behind_a_proxy_header_connections_are_counted_by_the_client_that_it_names() {
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    let home = Home::new();
    let limits = "[gateway.limits]\nconnections_per_address_max = 1\n";
    let text = config(&[service.address], limits, "").replace(
        "[\"127.0.0.1:0\"]",
        "[{ address = \"127.0.0.1:0\", proxy_protocol = true }]",
    );
    home.write(&text);
    let plimsoll = home.run(&[]);
    let open = |client: &str| {
        let mut link = Link::connect(plimsoll.address());
        let request = format!("PROXY {client} 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
        link.send(request.as_bytes());
        let head = link.head();
        let served = head.is_some_and(|head| head.starts_with("HTTP/1.1 200"));
        (link, served)
    };
    let (first, served) = open("TCP4 198.51.100.7 192.0.2.1 5000");
    assert!(served);
    let (_other, served) = open("TCP4 198.51.100.8 192.0.2.1 5000");
    assert!(served, "another client behind the same proxy");
    assert!(!open("TCP4 198.51.100.7 192.0.2.1 5001").1);
    let (_network, served) = open("TCP6 2001:db8::1 2001:db8::f 5000");
    assert!(served);
    assert!(!open("TCP6 2001:db8::2 2001:db8::f 5000").1);
    drop(first);
    wait_until("its place is free", || {
        open("TCP4 198.51.100.7 192.0.2.1 5002").1
    });
}

#[test]
fn a_proxy_header_of_a_stranger_does_not_make_it_trusted() {
    let service = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    for (trusted, believed) in [("10.0.0.0/8", false), ("127.0.0.0/8\", \"10.0.0.0/8", true)] {
        let home = Home::new();
        let gateway = format!("trusted = [\"{trusted}\"]");
        let text = config(&[service.address], &gateway, "").replace(
            "[\"127.0.0.1:0\"]",
            "[{ address = \"127.0.0.1:0\", proxy_protocol = true }]",
        );
        home.write(&text);
        let plimsoll = home.run(&[]);
        let mut client = Link::connect(plimsoll.address());
        client.send(
            b"PROXY TCP4 10.0.0.1 192.0.2.1 5000 80\r\nGET / HTTP/1.1\r\nHost: a\r\nPlimsoll-Class: critical\r\n\r\n",
        );
        assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
        let head = service.heads().last().unwrap().clone();
        assert_eq!(
            head.contains("Plimsoll-Class: critical"),
            believed,
            "{head}"
        );
    }
}

#[test]
fn a_hint_before_continue_swallows_nothing() {
    let service = Script::start(|_, link| {
        link.head();
        link.send(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n");
        link.take(2);
        link.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        link.head();
    });
    let (_home, plimsoll) = before(&[service.address], "", "");
    let mut client = Link::connect(plimsoll.address());
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 103"));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100"));
    client.send(b"ok");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200"));
}
