//! Goal: a service has another version beside it, which gets what it is to get and nothing else, and whose end no client
//! notices.
//!
//! Method: the real binary, a real origin as the version, which is killed and comes back. How requests are moved by
//! weight is tested where weights can be set: in the gateway's own tests.

use serde_json::Value;

use crate::child::{Home, Plimsoll, ask, config, wait_until};
use crate::degrade_fallback::Origin;
use crate::script::Script;

const STABLE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstable";
const CHOOSES: &str = "X-Canary: 1\r\n";

/// A service with a version, which is `origin`.
fn start(home: &Home, stable: &Script, origin: &Origin) -> Plimsoll {
    std::fs::write(home.path("page"), "canary").unwrap();
    let more = format!(
        "[service.app.version.v2]\nendpoints = [\"http://{}\"]\n[rollout.next]\nservice = \"app\"\nversion = \"v2\"\n\
         header = {{ name = \"x-canary\", value = \"1\" }}\n",
        origin.address
    );
    let log = "[gateway.log]\nto = \"access.log\"\nsample = \"100%\"\n";
    home.write(&config(&[stable.address], log, &more));
    home.run(&[])
}

/// Which of the two has answered.
#[track_caller]
fn answered_by(plimsoll: &Plimsoll, fields: &str) -> String {
    let (status, answer) = ask(plimsoll.address(), "GET", "/page", fields);
    assert_eq!(status, 200, "{answer}");
    answer.split_once("\r\n\r\n").unwrap().1.to_owned()
}

#[test]
fn a_version_gets_what_chooses_it_and_is_seen_in_status_and_log() {
    let (home, stable) = (Home::new(), Script::answering(STABLE));
    let origin = Origin::start(&home);
    let plimsoll = start(&home, &stable, &origin);
    for _ in 0..20 {
        assert_eq!(answered_by(&plimsoll, ""), "stable");
    }
    assert_eq!(answered_by(&plimsoll, CHOOSES), "canary");
    let log = home.path("access.log");
    wait_until("both are in the log", || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let of_version = |line: &&str| line.contains("\"version\":\"v2\"");
        text.lines().count() == 21 && text.lines().filter(of_version).count() == 1
    });
    let output = home.ask(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let app = &status["services"][0];
    let version = &app["versions"][0];
    assert_eq!(
        (&version["name"], &version["rollout"]),
        (&"v2".into(), &"next".into())
    );
    assert_eq!(
        (&version["kind"], &version["weight"]),
        (&"canary".into(), &0.0.into())
    );
    let versions = |place: usize| app["endpoints"][place]["version"].clone();
    assert_eq!((versions(0), versions(1)), (Value::Null, "v2".into()));
}

#[test]
fn the_end_of_a_version_is_noticed_by_no_client() {
    let (home, stable) = (Home::new(), Script::answering(STABLE));
    let mut origin = Origin::start(&home);
    let plimsoll = start(&home, &stable, &origin);
    assert_eq!(answered_by(&plimsoll, CHOOSES), "canary");
    let address = origin.address;
    origin.kill();
    for _ in 0..100 {
        assert_eq!(answered_by(&plimsoll, CHOOSES), "stable");
    }
    let _back = Origin::start_at(address, &home);
    wait_until("it gets requests again", || {
        answered_by(&plimsoll, CHOOSES) == "canary"
    });
}
