//! Goal: a reload changes what is served without a request that fails, or is refused and changes nothing.
//!
//! Method: a real process, a service that counts and tells what it saw, a load of hyper clients that counts
//! strictly, and configurations that alternate in routes, endpoints, listeners and rewrites.

use std::os::unix::process::ExitStatusExt;

use crate::child::{Home, Plimsoll, Service, ask, config, free_address, get, metric, wait_until};
use crate::load::Offer;

#[test]
fn fifty_reloads_under_load_fail_no_request() {
    let (one, two) = (Service::start(), Service::start());
    let second = free_address();
    let home = Home::new();
    let version = |number: usize| {
        let named = format!("localhost:{}", two.address.port());
        let endpoints = match number % 4 {
            0 => format!("\"http://{}\"", one.address),
            1 => format!("\"http://{}\", \"http://{}\"", one.address, two.address),
            2 => format!("\"http://{named}\""),
            _ => format!("\"http://{named}\", \"http://{}\"", one.address),
        };
        let listen = match number % 2 {
            0 => String::new(),
            _ => format!(", \"{second}\""),
        };
        let route = match number % 3 {
            0 => "[[route]]\nname = \"delay\"\npath = \"/delay/*\"\nservice = \"other\"\n",
            _ => "",
        };
        format!(
            "[gateway]\nlisten = [\"127.0.0.1:0\"{listen}]\nthreads = 2\n[ops]\nlisten = \"127.0.0.1:0\"\n\
             [console]\nlisten = \"127.0.0.1:0\"\n[service.app]\nendpoints = [{endpoints}]\n\
             [service.other]\nendpoints = [\"http://{}\"]\n[[route]]\nname = \"all\"\nservice = \"app\"\n\
             [route.rewrite]\nrequest = {{ set = {{ X-Version = \"{number}\" }} }}\n{route}",
            one.address
        )
    };
    home.write(&version(0));
    let plimsoll = home.run(&[]);
    let address = plimsoll.address();
    let paths = || vec!["/".to_owned(), "/delay/2".to_owned()];
    let load = Offer {
        paths: paths(),
        ..Offer::to(address, 6)
    }
    .start();
    let load2 = Offer {
        paths: paths(),
        http2: true,
        ..Offer::to(address, 2)
    }
    .start();
    for number in 1..=50 {
        let before = load.answered();
        home.write(&version(number));
        if number % 5 == 0 {
            plimsoll.signal(rustix::process::Signal::HUP);
            let seen = format!("X-Seen: {number}\r\n");
            wait_until("HUP has reloaded", || get(address, "/").1.contains(&seen));
        } else {
            let output = home.ask(&["reload"]);
            assert!(output.status.success(), "{output:?}");
            assert!(
                String::from_utf8_lossy(&output.stdout).starts_with("reloaded: /"),
                "{output:?}"
            );
        }
        // In force at once: what comes after the answer is served by it.
        assert!(
            get(address, "/")
                .1
                .contains(&format!("X-Seen: {number}\r\n"))
        );
        if number % 2 == 1 {
            assert_eq!(get(second, "/").0, 200);
        } else {
            wait_until("the other listener is closed", || {
                std::net::TcpStream::connect(second).is_err()
            });
        }
        wait_until("requests go on", || load.answered() >= before + 20);
    }
    let (tally, tally2) = (load.stop(), load2.stop());
    tally.assert_all_ok();
    tally2.assert_all_ok();
    assert_eq!((tally.refused, tally2.refused), (0, 0));
    // Nothing was cut: no client had to connect again.
    assert_eq!((tally.connections, tally2.connections), (6, 2));
    println!(
        "{} requests over 50 reloads, none failed",
        tally.total() + tally2.total()
    );
}

#[test]
fn an_invalid_file_is_refused_with_its_diagnostics_and_the_old_one_stays() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut plimsoll = home.run(&[]);
    home.write(&config(&[service.address], "drian = \"1s\"", ""));
    let output = home.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    plimsoll.wait_for("reload refused");
    for said in [
        String::from_utf8_lossy(&output.stderr).into_owned(),
        plimsoll.said(),
    ] {
        assert!(said.contains("drian") && said.contains("drain"), "{said}");
        assert!(
            said.contains("reload refused: the configuration in force stays"),
            "{said}"
        );
    }
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    // And by HUP, as it has nobody to answer to: in the log.
    home.write("[gateway]\nlisten = 8080\n");
    plimsoll.signal(rustix::process::Signal::HUP);
    wait_until("it is refused again", || {
        plimsoll.said().matches("reload refused").count() == 2
    });
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    plimsoll.assert_runs();
}

#[test]
fn a_file_that_vanished_is_refused_and_a_start_can_use_the_last_good_one() {
    let service = Service::start();
    let home = Home::new();
    let file = home.write(&config(&[service.address], "", ""));
    let mut plimsoll = home.run(&[]);
    std::fs::remove_file(&file).unwrap();
    let output = home.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains(&format!("error: reading {file}")), "{said}");
    assert!(!said.contains("error: error:"), "{said}");
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    plimsoll.terminate();
    assert!(plimsoll.ended().success());
    let output = home.ask(&["run", "--config", &file]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let mut command = home.command(&["run", "--last-good"]);
    command.stdout(std::process::Stdio::null());
    let again = Plimsoll::start(command);
    again.wait_for("starting with the configuration of");
    assert_eq!(get(again.address(), "/").0, 200);
}

#[test]
fn a_listener_that_cannot_be_opened_changes_nothing() {
    let (one, two) = (Service::start(), Service::start());
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let home = Home::new();
    home.write(&config(&[one.address], "", ""));
    let plimsoll = home.run(&[]);
    let text = config(&[two.address], "", "");
    let other = format!(
        "listen = [\"127.0.0.1:0\", \"{}\"]",
        taken.local_addr().unwrap()
    );
    home.write(&text.replacen("listen = [\"127.0.0.1:0\"]", &other, 1));
    let output = home.ask(&["reload"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains(&taken.local_addr().unwrap().to_string()),
        "{said}"
    );
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    assert_eq!((one.requests(), two.requests()), (1, 0));
    // A certificate that is not there, as well.
    let other = "listen = [\"127.0.0.1:0\", { address = \"127.0.0.1:0\", tls = [{ certificate = \"a.pem\", key = \"a.key\" }] }]";
    home.write(&text.replacen("listen = [\"127.0.0.1:0\"]", other, 1));
    assert_eq!(home.ask(&["reload"]).status.code(), Some(1));
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    assert_eq!((one.requests(), two.requests()), (2, 0));
}

#[test]
fn a_reload_needs_the_token_which_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let plimsoll = home.run(&[]);
    assert_eq!(ask(plimsoll.console(), "POST", "/api/v1/reload", "").0, 401);
    let wrong = format!("Authorization: Bearer {}\r\n", "0".repeat(48));
    assert_eq!(
        ask(plimsoll.console(), "POST", "/api/v1/reload", &wrong).0,
        401
    );
    let file = home.path("state/token");
    let mode = std::fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let token = std::fs::read_to_string(&file).unwrap();
    let right = format!("Authorization: Bearer {token}\r\n");
    assert_eq!(
        ask(plimsoll.console(), "POST", "/api/v1/reload", &right).0,
        200
    );
    // Without the state folder the command line has no token either.
    let mut command = crate::child::program();
    let elsewhere = home.path("elsewhere");
    command.args(["reload", "--at", &format!("http://{}", plimsoll.console())]);
    command.arg("--state").arg(elsewhere);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("token"),
        "{output:?}"
    );
}

#[test]
fn counters_survive_a_reload() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut plimsoll = home.run(&[]);
    for _ in 0..5 {
        assert_eq!(get(plimsoll.address(), "/").0, 200);
    }
    home.write(&config(&[service.address], "drain = \"2s\"", ""));
    assert!(home.ask(&["reload"]).status.success());
    assert_eq!(get(plimsoll.address(), "/").0, 200);
    let (_, metrics) = get(plimsoll.ops(), "/metrics");
    assert_eq!(
        metric(
            &metrics,
            "plimsoll_requests_total",
            &["cause=\"answered\"", "route=\"all\""]
        ),
        6.0
    );
    plimsoll.terminate();
    assert_eq!(plimsoll.ended().signal(), None);
}
