//! Goal: optional features are left out where somebody says so: the service is told, routes answer by themselves, and what
//! was answered with less is never given to others as if it were whole.
//!
//! Method: the command line holds a level, a service answers with what it was told, a client reads every byte.

use crate::child::{Home, Plimsoll, ask, config, get, metric, wait_until};
use crate::journal::is;
use crate::script::Script;

const PAGE: &str = "<p>Nothing for now.";

/// Answers with what it was told of features.
fn telling() -> Script {
    Script::start(|_, link| {
        while let Some(head) = link.head() {
            let mut lines = head.lines();
            let told = lines.find_map(|line| line.strip_prefix("Plimsoll-Brownout: "));
            let told = told.unwrap_or("whole");
            let length = told.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: {length}\r\n\r\n{told}"
            );
            link.send(answer.as_bytes());
        }
    })
}

/// A service with two features, the second of which has a route.
fn before(service: &Script, lines: &str, more: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    std::fs::write(home.path("none.html"), PAGE).unwrap();
    let features = "[service.app.degrade]\nbrownout = [\"maps\", \"reviews\"]\n";
    let text = format!("{lines}\n{features}{more}");
    home.write(&config(&[service.address], "", &text));
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    (home, plimsoll)
}

const REVIEWS: &str = "[[route]]\nname = \"reviews\"\npath = \"/reviews\"\nservice = \"app\"\nfeature = \"reviews\"\n";

#[track_caller]
fn degrade(home: &Home, args: &str) -> String {
    let args: Vec<&str> = args.split(' ').collect();
    let output = home.ask(&[&["degrade", "app"], &args[..]].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    said + &String::from_utf8_lossy(&output.stderr)
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[track_caller]
fn check(plimsoll: &Plimsoll, path: &str, fields: &str, expected: &str) -> String {
    let (status, answer) = ask(plimsoll.address(), "GET", path, fields);
    assert_eq!((status, body(&answer)), (200, expected), "{answer}");
    answer
}

const OWN: &str = "Plimsoll-Brownout: maps\r\n";

#[test]
fn what_people_dim_is_told_to_the_service_and_left_out_by_routes() {
    let service = telling();
    let page = "fallback = { html = \"none.html\", status = 200 }\n";
    let (home, plimsoll) = before(&service, "", &format!("{REVIEWS}{page}"));
    check(&plimsoll, "/", OWN, "whole");
    check(&plimsoll, "/reviews", OWN, "whole");

    let said = degrade(&home, "brownout 3 --for 1h --why slow");
    assert!(said.contains("app has 2 optional features"), "{said}");
    let said = degrade(&home, "brownout 1 --for 1h --why slow");
    assert!(
        said.contains("its first optional feature is left out"),
        "{said}"
    );
    check(&plimsoll, "/", "Plimsoll-Brownout: reviews\r\n", "maps");
    check(&plimsoll, "/reviews", "", "maps");

    let said = degrade(&home, "brownout 2 --for 1h --why slow");
    assert!(said.contains("its first 2 optional features"), "{said}");
    check(&plimsoll, "/", "", "maps, reviews");
    let asked = service.heads().len();
    let answer = check(&plimsoll, "/reviews", "", PAGE);
    assert!(
        answer.contains("\r\nPlimsoll-Decision: dimmed; reason=brownout; id=\""),
        "{answer}"
    );
    assert!(
        answer
            .to_ascii_lowercase()
            .contains("\r\ncache-control: no-store\r\n")
    );
    assert_eq!(service.heads().len(), asked, "the service is spared");
    // What may change something is not left out.
    let (status, answer) = ask(
        plimsoll.address(),
        "POST",
        "/reviews",
        "Content-Length: 0\r\n",
    );
    assert_eq!((status, body(&answer)), (200, "maps, reviews"));
    let counted = || {
        let text = get(plimsoll.ops(), "/metrics").1;
        let labels = ["cause=\"dimmed\"", "outcome=\"good\"", "route=\"reviews\""];
        metric(&text, "plimsoll_requests_total", &labels)
    };
    wait_until("it is counted", || counted() == 1.0);

    let record = home.wait_for_record("set", is("change", "set brownout 2"));
    assert_eq!(record["subject"], "service/app/overlay/brownout");
    let said = degrade(&home, "end brownout");
    assert!(said.contains("ended brownout 2"), "{said}");
    check(&plimsoll, "/", OWN, "whole");
    check(&plimsoll, "/reviews", "", "whole");
}

#[test]
fn what_is_held_ends_by_itself() {
    let service = telling();
    let (home, plimsoll) = before(&service, "", "");
    degrade(&home, "brownout 1 --for 2s --why slow");
    check(&plimsoll, "/", "", "maps");
    wait_until("it is whole again", || {
        body(&get(plimsoll.address(), "/").1) == "whole"
    });
    home.wait_for_record("ended", is("change", "brownout 1 ended by itself"));
}

#[test]
fn an_answer_with_less_is_not_stored_and_one_that_is_stored_is_whole() {
    let service = telling();
    let (home, plimsoll) = before(&service, "cache = {}", "");
    check(&plimsoll, "/one", "", "whole");
    degrade(&home, "brownout 1 --for 1h --why slow");
    let answer = check(&plimsoll, "/one", "", "whole");
    assert!(
        answer.contains("\r\nCache-Status: plimsoll;hit"),
        "{answer}"
    );
    for _ in 0..2 {
        let answer = check(&plimsoll, "/two", "", "maps");
        assert!(!answer.contains(";stored"), "{answer}");
        // Nor by a cache before Plimsoll.
        assert!(
            answer.contains("\r\nCache-Control: no-store\r\n"),
            "{answer}"
        );
        assert!(!answer.contains("max-age"), "{answer}");
    }
    degrade(&home, "end brownout");
    check(&plimsoll, "/two", "", "whole");
    let answer = check(&plimsoll, "/two", "", "whole");
    assert!(
        answer.contains("\r\nCache-Status: plimsoll;hit"),
        "{answer}"
    );
}

#[test]
fn another_service_answers_for_a_feature_that_is_left_out() {
    let service = telling();
    let lite = Script::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlite");
    let address = lite.address;
    let more = format!(
        "{REVIEWS}fallback = {{ service = \"lite\" }}\n[service.lite]\nendpoints = [\"http://{address}\"]\n"
    );
    let (home, plimsoll) = before(&service, "", &more);
    degrade(&home, "brownout 2 --for 1h --why slow");
    let answer = check(&plimsoll, "/reviews", OWN, "lite");
    assert!(
        answer.contains("\r\nPlimsoll-Decision: dimmed; reason=brownout; id=\""),
        "{answer}"
    );
    assert!(service.heads().is_empty());
    assert!(!lite.heads()[0].contains("Brownout"), "{:?}", lite.heads());
}

#[test]
fn a_service_that_is_read_only_is_read_from_what_is_stored() {
    let service = telling();
    let (home, plimsoll) = before(&service, "cache = {}", "");
    check(&plimsoll, "/", "", "whole");
    degrade(&home, "read-only --for 1h --why moving");
    let answer = check(&plimsoll, "/", "", "whole");
    assert!(
        answer.contains("\r\nCache-Status: plimsoll;hit"),
        "{answer}"
    );
    check(&plimsoll, "/other", "", "whole");
    let (status, answer) = ask(plimsoll.address(), "POST", "/", "Content-Length: 0\r\n");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("reason=read-only"), "{answer}");
    // What goes through a tunnel may change something.
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let (status, answer) = ask(plimsoll.address(), "GET", "/tunnel", fields);
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("reason=read-only"), "{answer}");
    assert_eq!(
        service.heads().len(),
        2,
        "the answer to / was stored, and nothing was changed"
    );
    // What was stored is there still: nothing was changed.
    check(&plimsoll, "/", "", "whole");
    assert_eq!(service.heads().len(), 2);
}

/// Whoever asked for less has the store renewed with the whole.
#[test]
fn what_is_renewed_with_nobody_waiting_is_whole() {
    let service = Script::start(|_, link| {
        while let Some(head) = link.head() {
            let told = if head.contains("Plimsoll-Brownout") {
                "less"
            } else {
                "whole"
            };
            let says = "Cache-Control: max-age=0, stale-while-revalidate=600";
            let length = told.len();
            link.send(
                format!("HTTP/1.1 200 OK\r\n{says}\r\nContent-Length: {length}\r\n\r\n{told}")
                    .as_bytes(),
            );
        }
    });
    let (home, plimsoll) = before(&service, "cache = {}", "");
    check(&plimsoll, "/", "", "whole");
    degrade(&home, "brownout 2 --for 1h --why slow");
    check(&plimsoll, "/", "", "whole");
    wait_until("it is renewed", || service.heads().len() == 2);
    let heads = service.heads();
    assert!(!heads[1].contains("Plimsoll-Brownout"), "{}", heads[1]);
    check(&plimsoll, "/", "", "whole");
}
