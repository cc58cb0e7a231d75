//! Goal: what RFC 9111 asks of a shared cache is so at the sockets, and nobody ever gets what a service made for somebody
//! else, in whatever order it is asked for.
//!
//! Method: services that answer byte by byte as a test says. Random clients at once before a service that writes into each
//! answer for whom it is. docs/reference/cache.md has the requirements one by one, with the test of each.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use rustix::process::Signal;

use crate::child::{Home, Plimsoll, ask, config, free_address, get, wait_until};
use crate::script::{Link, Script};

fn before(service: &Script, cache: &str) -> (Home, Plimsoll) {
    let home = Home::new();
    let cache = format!("cache = {{ {cache} }}\n");
    home.write(&config(&[service.address], "", &cache));
    let plimsoll = home.run(&[]);
    (home, plimsoll)
}

fn count(answer: &str, line: &str) -> usize {
    answer.matches(&format!("\r\n{line}")).count()
}

#[test]
fn unknown_fields_are_stored_and_those_of_the_connection_and_of_proxies_are_not_3_1() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nX-Unknown: kept\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\
          Proxy-Authenticate: Basic\r\nContent-Length: 1\r\n\r\na",
    );
    let (_home, plimsoll) = before(&service, "");
    get(plimsoll.address(), "/");
    let (_, hit) = get(plimsoll.address(), "/");
    assert_eq!(service.heads().len(), 1);
    assert_eq!(count(&hit, "X-Unknown: kept\r\n"), 1, "{hit}");
    assert_eq!(count(&hit, "X-Hop"), 0, "{hit}");
    assert_eq!(count(&hit, "Proxy-Authenticate"), 0, "{hit}");
}

#[test]
fn trailers_are_not_put_among_the_fields_3_1() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
          1\r\na\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let (_home, plimsoll) = before(&service, "");
    get(plimsoll.address(), "/");
    let (status, hit) = get(plimsoll.address(), "/");
    assert_eq!((status, service.heads().len()), (200, 1), "{hit}");
    assert_eq!(count(&hit, "X-Sum"), 0, "{hit}");
}

#[test]
fn an_age_that_came_is_replaced_4() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nAge: 100\r\nContent-Length: 1\r\n\r\na",
    );
    let (_home, plimsoll) = before(&service, "");
    get(plimsoll.address(), "/");
    let (_, hit) = get(plimsoll.address(), "/");
    assert_eq!(count(&hit, "Age: "), 1, "{hit}");
    assert_eq!(
        count(&hit, "Age: 1"),
        1,
        "a hundred seconds and more: {hit}"
    );
    assert!(
        hit.contains(";hit;ttl=4") || hit.contains(";hit;ttl=500"),
        "{hit}"
    );
}

#[test]
fn what_may_change_something_goes_to_the_service_4() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nContent-Length: 0\r\n\r\n",
    );
    let (_home, plimsoll) = before(&service, "");
    for (asked, method) in ["GET", "POST", "GET", "DELETE", "GET", "LOCK", "GET"]
        .iter()
        .enumerate()
    {
        ask(plimsoll.address(), method, "/", "Content-Length: 0\r\n");
        let heads = service.heads();
        assert_eq!(heads.len(), asked + 1, "{method}");
        assert!(heads[asked].starts_with(method), "{}", heads[asked]);
    }
    ask(plimsoll.address(), "GET", "/", "");
    assert_eq!(
        service.heads().len(),
        7,
        "after the last change it is stored"
    );
}

#[test]
fn conditions_that_are_for_the_service_go_to_it_4_3_2() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600\r\nETag: \"a\"\r\nContent-Length: 1\r\n\r\na",
    );
    let (_home, plimsoll) = before(&service, "");
    get(plimsoll.address(), "/");
    for condition in [
        "If-Match: \"b\"\r\n",
        "If-Unmodified-Since: Thu, 26 Nov 2026 00:00:00 GMT\r\n",
    ] {
        let asked = service.heads().len();
        ask(plimsoll.address(), "GET", "/", condition);
        let heads = service.heads();
        assert_eq!(heads.len(), asked + 1);
        assert!(heads[asked].contains(condition), "{}", heads[asked]);
    }
}

#[test]
fn a_whole_answer_to_a_validation_takes_the_place_of_what_was_stored_4_3_3() {
    let requests = AtomicUsize::new(0);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            let number = requests.fetch_add(1, Ordering::SeqCst) + 1;
            let life = if number == 1 { 0 } else { 600 };
            link.send(
                format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age={life}\r\nETag: \"{number}\"\r\nContent-Length: 1\r\n\r\n{number}"
                )
                .as_bytes(),
            );
        }
    });
    let (_home, plimsoll) = before(&service, "");
    for body in ["1", "2", "2"] {
        let (_, answer) = get(plimsoll.address(), "/");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
    let heads = service.heads();
    assert_eq!(heads.len(), 2);
    assert!(heads[1].contains("If-None-Match: \"1\""), "{}", heads[1]);
}

#[test]
fn what_the_service_says_to_a_validation_that_failed_is_passed_on_4_3_3() {
    let fails = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&fails);
    let service = Script::start(move |_, link| {
        while link.head().is_some() {
            match told.load(Ordering::SeqCst) {
                false => link.send(b"HTTP/1.1 200 OK\r\nCache-Control: max-age=0\r\nETag: \"a\"\r\nContent-Length: 1\r\n\r\na"),
                true => link.send(b"HTTP/1.1 503 Sick\r\nContent-Length: 4\r\n\r\nsick"),
            }
        }
    });
    let (_home, plimsoll) = before(&service, "");
    get(plimsoll.address(), "/");
    fails.store(true, Ordering::SeqCst);
    let (status, answer) = get(plimsoll.address(), "/");
    assert_eq!(status, 503, "{answer}");
    assert!(answer.ends_with("sick"), "{answer}");
}

#[test]
fn directives_are_passed_on_in_both_directions_known_or_not_5_2() {
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=600, no-transform, future=\"1, 2\"\r\nContent-Length: 1\r\n\r\na",
    );
    let (_home, plimsoll) = before(&service, "");
    let sent = "Cache-Control: max-stale=5, later\r\n";
    let line = "Cache-Control: max-age=600, no-transform, future=\"1, 2\"\r\n";
    for _ in 0..2 {
        let (_, answer) = ask(plimsoll.address(), "GET", "/", sent);
        assert_eq!(count(&answer, line), 1, "{answer}");
    }
    let heads = service.heads();
    assert_eq!(heads.len(), 1);
    assert!(heads[0].contains(sent), "{}", heads[0]);
}

#[test]
fn a_service_that_cannot_be_asked_is_an_error_where_it_must_be_5_2_2_2() {
    let gone = free_address();
    let service = Script::answering(
        b"HTTP/1.1 200 OK\r\nCache-Control: max-age=0, must-revalidate\r\nETag: \"a\"\r\nContent-Length: 1\r\n\r\na",
    );
    let home = Home::new();
    let cache = "cache = { stale = \"1h\" }\n";
    home.write(&config(&[service.address], "", cache));
    let plimsoll = home.run(&[]);
    get(plimsoll.address(), "/");
    home.write(&config(&[gone], "", cache));
    plimsoll.signal(Signal::HUP);
    let mut last = 200;
    wait_until("it asks the one that is gone", || {
        last = get(plimsoll.address(), "/").0;
        last != 200
    });
    assert!((500..600).contains(&last), "{last}");
}

/// What services say of an answer, whether that is for all, and whether it differs by language.
const KINDS: [(&str, bool, bool); 8] = [
    ("max-age=600", false, false),
    ("max-age=600, public", true, false),
    ("max-age=600, s-maxage=600", true, true),
    ("max-age=600, private", false, false),
    ("max-age=0", false, true),
    ("max-age=0, public", true, true),
    ("max-age=600, no-store", false, false),
    ("no-cache, public", true, false),
];

/// Who asks: nobody in particular, or somebody by cookie or token.
fn fields_of(user: usize, language: &str) -> String {
    let language = format!("Accept-Language: {language}\r\n");
    match user {
        0 => language,
        1 | 2 => format!("{language}Cookie: user={user}\r\n"),
        _ => format!("{language}Authorization: Bearer user={user}\r\n"),
    }
}

/// The user and the language that a request names.
fn said(head: &str) -> (&str, &str) {
    let after = |mark: &str| {
        let rest = head.split_once(mark).map_or("none", |(_, rest)| rest);
        rest.split("\r\n").next().unwrap_or("none")
    };
    (after("user="), after("Accept-Language: "))
}

#[test]
fn nobody_gets_what_was_made_for_somebody_else() {
    let service = Script::start(|number, link| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(number as u64);
        while let Some(head) = link.head() {
            if rng.next_u32() % 8 == 0 {
                link.send(b"HTTP/1.1 503 Sick\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let kind = head.as_bytes()[5] - b'0';
            let (says, for_all, varies) = KINDS[usize::from(kind)];
            let (user, language) = said(&head);
            let user = if for_all { "all" } else { user };
            let vary = if varies {
                "Vary: Accept-Language\r\n"
            } else {
                ""
            };
            let body = format!("<{kind} {user} {language}>");
            let tag = format!("ETag: \"{kind}{user}{language}\"\r\n");
            if head.contains(&tag.replace("ETag", "If-None-Match")) {
                link.send(format!("HTTP/1.1 304 Same\r\n{tag}{vary}\r\n").as_bytes());
                continue;
            }
            let length = body.len();
            link.send(
                format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: {says}\r\n{tag}{vary}Content-Length: {length}\r\n\r\n{body}"
                )
                .as_bytes(),
            );
        }
    });
    let (_home, plimsoll) = before(&service, "stale = \"1h\"");
    let address = plimsoll.address();
    let asking = |seed: u64| {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut link = Link::connect(address);
        let (mut good, mut stored) = (0, 0);
        for _ in 0..400 {
            let kind = rng.next_u32() as usize % KINDS.len();
            let user = rng.next_u32() as usize % 5;
            let language = ["de", "en"][rng.next_u32() as usize % 2];
            let fields = fields_of(user, language);
            link.send(format!("GET /{kind} HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes());
            let head = link.head().unwrap();
            let length = head.split_once("Content-Length: ").unwrap().1;
            let length = length.split("\r\n").next().unwrap().parse().unwrap();
            let body = String::from_utf8(link.take(length)).unwrap();
            if !head.starts_with("HTTP/1.1 200") {
                continue;
            }
            good += 1;
            stored += usize::from(head.contains(";hit"));
            let (_, for_all, varies) = KINDS[kind];
            let parts = body.trim_matches(['<', '>']);
            let parts = parts.split(' ').collect::<Vec<_>>();
            assert_eq!(parts[0], kind.to_string(), "{head}");
            let own = if user == 0 {
                "none".to_owned()
            } else {
                user.to_string()
            };
            let expected = if for_all { "all" } else { &own };
            assert_eq!(parts[1], expected, "asked by {own}: {head}");
            assert!(
                !varies || parts[2] == language,
                "asked for {language}: {body} {head}"
            );
        }
        (good, stored)
    };
    let counts = std::thread::scope(|scope| {
        let clients = [1, 2, 3].map(|seed| scope.spawn(move || asking(seed)));
        clients.map(|client| client.join().unwrap())
    });
    for (good, stored) in counts {
        assert!(good > 300 && stored > 50, "{counts:?}");
    }
}

#[test]
fn every_test_that_the_table_of_requirements_names_is_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).unwrap();
    let policy = "crates/plimsoll-policy/src/cache";
    let mut tests = read("crates/plimsoll/tests/it/cache.rs");
    tests += &read("crates/plimsoll/tests/it/cache_rules.rs");
    for file in std::fs::read_dir(format!("{root}/{policy}")).unwrap() {
        let path = file.unwrap().path();
        if path.is_file() {
            tests += &std::fs::read_to_string(path).unwrap();
        }
    }
    tests += &read(&format!("{policy}/coalesce/tests.rs"));
    tests += &read("crates/plimsoll-gateway/src/cache/store.rs");
    let table = read("docs/reference/cache.md");
    let rows = table.lines().filter(|line| {
        line.starts_with("| 3") || line.starts_with("| 4") || line.starts_with("| 5")
    });
    let mut named = 0;
    for row in rows {
        let last = row
            .trim_end_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        let names = last.split('`').skip(1).step_by(2).collect::<Vec<_>>();
        assert!(
            !names.is_empty() || last.contains("does not"),
            "no test: {row}"
        );
        for name in names {
            named += 1;
            assert!(
                tests.contains(&format!("fn {name}(")),
                "{name} is not there: {row}"
            );
        }
    }
    assert!(named > 50, "{named}");
}
