//! Goal: another binary takes the place of the running one, and no client notices.
//!
//! Method: processes on one state folder hand over to each other under a load that counts strictly.

use std::process::Stdio;

use crate::child::{Home, Plimsoll, Service, config, get, wait_until};
use crate::load::Offer;

#[test]
fn two_upgrades_in_a_row_under_load_fail_no_request() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "drain = \"10s\"", ""));
    let mut running = home.run(&[]);
    let (address, console, ops) = (running.address(), running.console(), running.ops());
    let load = Offer {
        paths: vec!["/".into(), "/delay/3".into()],
        ..Offer::to(address, 6)
    }
    .start();
    let load2 = Offer {
        http2: true,
        ..Offer::to(address, 2)
    }
    .start();
    // New connections all the time, as well.
    let newcomers = Offer {
        paths: vec!["/".into()],
        ..Offer::to(address, 1)
    };
    for _ in 0..2 {
        let before = load.answered();
        wait_until("requests go on", || load.answered() >= before + 100);
        let successor = home.run(&["--upgrade"]);
        assert_eq!(
            (successor.address(), successor.console(), successor.ops()),
            (address, console, ops)
        );
        // In between, at any time, the folder belongs to someone.
        let output = home.ask(&[
            "run",
            "--config",
            &home.path("plimsoll.toml").display().to_string(),
        ]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.contains("another Plimsoll runs on the state folder"),
            "{said}"
        );
        for _ in 0..20 {
            let tally = newcomers.clone().run(1);
            tally.assert_all_ok();
            assert_eq!(tally.refused, 0);
        }
        running.wait_for("a successor serves");
        assert!(running.ended().success(), "{}", running.said());
        let output = home.ask(&["status", "--json"]);
        assert!(output.status.success(), "{output:?}");
        let before = load.answered();
        wait_until("requests go on", || load.answered() >= before + 100);
        running = successor;
    }
    let (tally, tally2) = (load.stop(), load2.stop());
    tally.assert_all_ok();
    tally2.assert_all_ok();
    assert_eq!((tally.refused, tally2.refused), (0, 0));
    println!(
        "{} requests over 2 upgrades, none failed",
        tally.total() + tally2.total()
    );
    running.terminate();
    assert!(running.ended().success());
}

#[test]
fn a_successor_that_cannot_start_leaves_the_old_one_serving() {
    let service = Service::start();
    let home = Home::new();
    let good = config(&[service.address], "", "");
    let file = home.write(&good);
    let mut running = home.run(&[]);
    let load = Offer::to(running.address(), 2).start();
    // Its configuration has an error.
    home.write(&config(&[service.address], "drian = \"1s\"", ""));
    assert_eq!(
        home.ask(&["run", "--config", &file, "--upgrade"])
            .status
            .code(),
        Some(1)
    );
    // It can't open what is new in its configuration: after it was given all that is old.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let other = format!(
        "listen = [\"127.0.0.1:0\", \"{}\"]",
        taken.local_addr().unwrap()
    );
    home.write(&good.replacen("listen = [\"127.0.0.1:0\"]", &other, 1));
    assert_eq!(
        home.ask(&["run", "--config", &file, "--upgrade"])
            .status
            .code(),
        Some(2)
    );
    running.wait_for("the take-over failed: this process goes on");
    assert!(home.ask(&["status", "--json"]).status.success());
    running.assert_runs();
    // The next one can.
    home.write(&good);
    let successor = home.run(&["--upgrade"]);
    assert!(running.ended().success());
    assert_eq!(get(successor.address(), "/").0, 200);
    load.stop().assert_all_ok();
}

#[test]
fn without_a_predecessor_an_upgrade_is_a_start() {
    let service = Service::start();
    let home = Home::new();
    home.write(&config(&[service.address], "", ""));
    let mut first = home.run(&["--upgrade"]);
    first.wait_for("no running process to take over from");
    // A crash leaves a socket behind that nobody listens on.
    first.process.kill().unwrap();
    first.ended();
    assert!(home.path("state/upgrade.sock").exists());
    let second = home.run(&["--upgrade"]);
    assert_eq!(get(second.address(), "/").0, 200);
}

#[test]
fn the_service_manager_hears_of_the_start_the_new_process_and_the_end() {
    let service = Service::start();
    let home = Home::new();
    let path = home.path("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(crate::child::TIME_MAX))
        .unwrap();
    let hear = || {
        let mut piece = [0; 256];
        let count = socket.recv(&mut piece).unwrap();
        String::from_utf8_lossy(&piece[..count]).into_owned()
    };
    let file = home.write(&config(&[service.address], "", ""));
    let start = |more: &[&str]| {
        let mut command = home.command(&["run", "--config", &file]);
        command
            .args(more)
            .env("NOTIFY_SOCKET", &path)
            .stdout(Stdio::null());
        Plimsoll::start(command)
    };
    let mut first = start(&[]);
    assert_eq!(hear(), format!("READY=1\nMAINPID={}", first.process.id()));
    let mut second = start(&["--upgrade"]);
    assert_eq!(hear(), format!("READY=1\nMAINPID={}", second.process.id()));
    assert!(first.ended().success());
    second.terminate();
    // The first one said nothing: the unit goes on.
    assert_eq!(hear(), "STOPPING=1");
    assert!(second.ended().success());
}
