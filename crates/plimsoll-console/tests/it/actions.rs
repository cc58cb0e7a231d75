//! Goal: a browser that signed in with a token acts by forms as far as its token allows, and nobody else does anything
//! with them: no other site, no other session, no token that is not valid any more.
//!
//! Method: what a browser would send is sent by hand, with one thing wrong at a time.

use std::io::{Read, Write};
use std::sync::atomic::Ordering;

use crate::world::{HOSTILE, PAYMENTS, Server, TOKEN, VIEWER};

pub(crate) const LOOPBACK: &str = "127.0.0.1:0";
const SHED: &str = "/services/checkout/set/shed";
pub(crate) const ORIGIN: &str = "Origin: http://localhost";

/// A browser that has signed in.
pub(crate) struct Browser<'a> {
    pub(crate) server: &'a Server,
    pub(crate) cookie: String,
    pub(crate) seal: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn sign_in(server: &'a Server, token: &str) -> Self {
        let body = format!("token={token}&next=/topology");
        let (status, answer) = server.send_form("/sign-in", &body, &[ORIGIN]);
        assert_eq!(status, 303, "{answer}");
        assert!(answer.contains("location: /topology\r\n"), "{answer}");
        let cookie = after(&answer, "set-cookie: ", ";");
        let cookie = format!("Cookie: {cookie}");
        let (_, answer) = server.send("GET /sign-in", &[&cookie]);
        let seal = after(&answer, "name=\"seal\" value=\"", "\"");
        Self {
            server,
            cookie,
            seal,
        }
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let accept = "Accept: text/html";
        self.server
            .send(&format!("GET {path}"), &[&self.cookie, accept])
    }

    pub(crate) fn post(&self, path: &str, fields: &str) -> (u16, String) {
        let body = format!("seal={}&{fields}", self.seal);
        let body = body.trim_end_matches('&');
        self.server.send_form(path, body, &[&self.cookie, ORIGIN])
    }

    fn shed(&self) -> (u16, String) {
        self.post(SHED, "level=2&for=10m&why=it+melts")
    }
}

#[track_caller]
pub(crate) fn after(text: &str, before: &str, end: &str) -> String {
    let rest = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}: {text}"))
        .1;
    rest.split_once(end).unwrap().0.to_owned()
}

pub(crate) fn acted(server: &Server) -> Vec<String> {
    server.process.acted.lock().unwrap().clone()
}

#[test]
fn an_operator_sets_and_ends_and_is_told_the_journal_number() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    let (status, form) = pat.get(SHED);
    assert_eq!(status, 200);
    for expected in [
        "Refuse classes of checkout",
        "<b>pat</b>",
        "operator for payments",
        "nothing is held by people",
        "plimsoll degrade checkout shed LEVEL --for 10m --why REASON",
        "method=\"post\" action=\"/services/checkout/set/shed\"",
    ] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    let (status, answer) = pat.shed();
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("href=\"/decisions/7\">#7<"), "{answer}");
    let (status, answer) = pat.post("/services/checkout/end/no-retries", "");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        acted(&server),
        [
            "pat checkout shed Some(2) it melts",
            "pat checkout end no-retries"
        ]
    );
    let mode = pat.post(
        "/services/checkout/set/governor-mode",
        "mode=off&for=1h&why=x",
    );
    assert_eq!(mode.0, 200, "{mode:?}");
}

#[test]
fn what_is_wrong_is_said_and_what_was_typed_is_kept() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    for (fields, part) in [
        ("level=9&for=10m&why=kept", "`9` is no level of shed"),
        ("for=10m&why=kept", "shed needs a level"),
        ("level=1&for=8d&why=kept", "8d is too long"),
        ("level=1&for=10m&why=", "say why"),
        ("level=1&for=10m&why=a%0Ab", "control characters"),
        ("level=1&mode=off&for=10m&why=x", "shed has no mode"),
    ] {
        let (status, answer) = pat.post(SHED, fields);
        assert_eq!(status, 422, "{answer}");
        assert!(
            answer.contains("Not done: ") && answer.contains(part),
            "{answer}"
        );
        if fields.contains("kept") {
            assert!(answer.contains("value=\"kept\""), "{answer}");
        }
    }
    for fields in [
        "level=1&level=2&for=1m&why=x",
        "level=1&for=1m&why=x&by=ana",
    ] {
        assert_eq!(pat.post(SHED, fields).0, 422, "{fields}");
    }
    assert_eq!(pat.post("/services/checkout/set/stop", "why=x").0, 404);
    let large = format!("level=1&for=10m&why={}", "a".repeat(9_000));
    let (status, answer) = pat.post(SHED, &large);
    assert_eq!(status, 413);
    assert!(answer.contains("the form is too large"), "{answer}");
    let json = server.send_raw(
        format!(
            "POST {SHED} HTTP/1.1\r\nHost: localhost\r\n{}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: 2\r\n\r\n{{}}",
            pat.cookie
        )
        .as_bytes(),
    );
    assert_eq!(json.0, 415);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn what_cannot_be_done_now_says_so_on_the_form() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    server.process.handing_over.store(true, Ordering::Relaxed);
    let (status, answer) = pat.shed();
    assert_eq!(status, 503);
    assert!(
        answer.contains("Not done: another process takes over"),
        "{answer}"
    );
    assert!(answer.contains("value=\"it melts\""), "{answer}");
    let (status, answer) = pat.post("/services/checkout/end/shed", "");
    assert_eq!((status, answer.contains("Not done: ")), (503, true));
}

#[test]
fn a_link_fills_in_and_changes_nothing() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    let (status, form) = pat.get(&format!("{SHED}?level=3&for=5m&why=%3Cb%3E"));
    assert_eq!(status, 200);
    for expected in [
        "value=\"3\" required checked",
        "value=\"5m\"",
        "value=\"&lt;b&gt;\"",
        "shed 3 --for 5m --why &quot;&lt;b&gt;&quot;",
    ] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    assert_eq!(pat.get("/services/checkout/end/shed").0, 200);
    assert_eq!(pat.get(&format!("{SHED}?x=1")).0, 400);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn whoever_is_not_signed_in_acts_on_nothing() {
    let server = Server::console(LOOPBACK);
    let fields = "level=2&for=10m&why=x";
    let (status, answer) = server.send_form(SHED, fields, &[ORIGIN]);
    assert_eq!(status, 401);
    assert!(answer.contains("name=\"token\""), "{answer}");
    assert!(
        answer.contains("value=\"/services/checkout/set/shed\""),
        "{answer}"
    );
    assert!(!answer.contains("www-authenticate: Basic"), "{answer}");
    let get = server.send(&format!("GET {SHED}"), &["Accept: text/html"]);
    assert_eq!(get.0, 401);
    // A token in the head is for the API: a form needs a session.
    let bearer = format!("Authorization: Bearer {PAYMENTS}");
    assert_eq!(server.send_form(SHED, fields, &[ORIGIN, &bearer]).0, 401);
    // `x:a-token-for-the-tests-only`
    let basic = "Authorization: Basic eDphLXRva2VuLWZvci10aGUtdGVzdHMtb25seQ==";
    assert_eq!(server.send_form(SHED, fields, &[ORIGIN, basic]).0, 401);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn a_viewer_and_an_operator_of_another_owner_act_on_nothing() {
    let server = Server::console(LOOPBACK);
    let vi = Browser::sign_in(&server, VIEWER);
    let (status, answer) = vi.shed();
    assert_eq!(status, 403);
    assert!(
        answer.contains("this needs the role operator; vi has viewer"),
        "{answer}"
    );
    assert_eq!(vi.get(SHED).0, 403);
    // Whoever may change nothing is not told what there is.
    assert_eq!(vi.get("/services/nothing/set/shed").0, 403);
    let pat = Browser::sign_in(&server, PAYMENTS);
    for path in ["/services/mail/set/shed", "/services/mail/end/shed"] {
        let (status, answer) = pat.post(path, "");
        assert_eq!(status, 403, "{answer}");
        assert!(answer.contains("mail has no owner"), "{answer}");
        assert_eq!(pat.get(path).0, 403);
    }
    assert_eq!(pat.get("/services/nothing/set/shed").0, 404);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn a_page_of_another_site_acts_on_nothing_even_with_the_cookie() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    let body = format!("seal={}&level=2&for=10m&why=x", pat.seal);
    for (wrong, expected) in [
        ("Origin: http://evil.example", 403),
        ("Origin: http://localhost:3000", 403),
        ("Origin: null", 403),
        ("Sec-Fetch-Site: cross-site", 403),
        ("Sec-Fetch-Site: same-site", 403),
        ("Host: evil.example", 421),
    ] {
        let (status, _) = server.send_form(SHED, &body, &[&pat.cookie, wrong]);
        assert_eq!(status, expected, "{wrong}");
    }
    // Nor does whoever does not know the form's word.
    let ana = Browser::sign_in(&server, TOKEN);
    for seal in ["", "seal=&", &format!("seal={}&", ana.seal)] {
        let body = format!("{seal}level=2&for=10m&why=x");
        let (status, answer) = server.send_form(SHED, &body, &[&pat.cookie, ORIGIN]);
        assert_eq!(status, 403, "{answer}");
        assert!(answer.contains("of another session"), "{answer}");
    }
    for path in ["/sign-in", "/sign-out", "/run"] {
        let evil = "Origin: http://evil.example";
        let (status, _) = server.send_form(path, "token=x", &[&pat.cookie, evil]);
        assert_eq!(status, 403, "{path}");
    }
    assert_eq!(acted(&server), [""; 0]);
    assert_eq!(pat.shed().0, 200);
}

#[test]
fn a_session_is_for_pages_and_changes_nothing_by_the_api() {
    let server = Server::console(LOOPBACK);
    let ana = Browser::sign_in(&server, TOKEN);
    let length = "Content-Length: 0";
    let (status, _) = server.send("POST /api/v1/reload", &[length, &ana.cookie, ORIGIN]);
    assert_eq!(status, 401);
    assert_eq!(server.process.reloads.load(Ordering::Relaxed), 0);
    assert_eq!(ana.get("/api/v1/tokens").0, 200);
}

#[test]
fn a_session_ends_with_its_token_and_when_one_signs_out() {
    let server = Server::console(LOOPBACK);
    let (pat, ana) = (
        Browser::sign_in(&server, PAYMENTS),
        Browser::sign_in(&server, TOKEN),
    );
    assert_eq!(pat.shed().0, 200);
    server.process.revoked.lock().unwrap().push(PAYMENTS);
    let (status, answer) = pat.shed();
    assert_eq!(status, 401);
    assert!(answer.contains("name=\"token\""), "{answer}");
    // It does not come back with another token of that name.
    server.process.revoked.lock().unwrap().clear();
    assert_eq!(pat.shed().0, 401);

    assert_eq!(ana.post("/sign-out", "x=1").0, 422);
    let (status, answer) = ana.post("/sign-out", "");
    assert_eq!(status, 303);
    assert!(answer.contains("Max-Age=0"), "{answer}");
    assert_eq!(ana.shed().0, 401);
    assert_eq!(acted(&server).len(), 1);
    let elsewhere = Server::console(LOOPBACK);
    let bo = Browser::sign_in(&server, TOKEN);
    let body = format!("seal={}&level=2&for=10m&why=x", bo.seal);
    // Another process knows nothing of it, even under the name that it looks for.
    let value = bo.cookie.split_once('=').unwrap().1;
    let cookie = format!("Cookie: plimsoll-{}={value}", elsewhere.address.port());
    assert_eq!(elsewhere.send_form(SHED, &body, &[&cookie, ORIGIN]).0, 401);
    assert_eq!(acted(&elsewhere), [""; 0]);
}

#[test]
fn no_answer_has_the_token_and_the_cookie_is_told_once() {
    let server = Server::console(LOOPBACK);
    let body = format!("token=+{PAYMENTS}%0A&next=//evil.example");
    let (status, answer) = server.send_form("/sign-in", &body, &["Origin: https://localhost"]);
    assert_eq!(status, 303);
    assert!(answer.contains("location: /\r\n"), "{answer}");
    assert!(
        answer.contains("; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure\r\n"),
        "{answer}"
    );
    assert!(!answer.contains(PAYMENTS), "{answer}");
    let pat = Browser::sign_in(&server, PAYMENTS);
    let value = pat.cookie.split_once('=').unwrap().1;
    for path in ["/", SHED, "/sign-in", "/api/v1/status"] {
        let (_, answer) = pat.get(path);
        assert!(
            !answer.contains(PAYMENTS) && !answer.contains(value),
            "{answer}"
        );
        assert!(!answer.contains("set-cookie"), "{answer}");
    }
    // Whoever signs in anew leaves no session behind.
    let body = format!("token={TOKEN}");
    assert_eq!(
        server
            .send_form("/sign-in", &body, &[&pat.cookie, ORIGIN])
            .0,
        303
    );
    assert_eq!(pat.shed().0, 401);
}

#[test]
fn wrong_tokens_are_answered_alike_and_not_many_at_once() {
    let server = Server::console(LOOPBACK);
    let wrong = |token: &str| {
        let answer = server.send_form("/sign-in", &format!("token={token}"), &[ORIGIN]);
        (
            answer.0,
            answer.1.split_once("\r\n\r\n").unwrap().1.to_owned(),
        )
    };
    let (status, answer) = wrong("plim_0");
    assert_eq!(status, 401);
    assert!(answer.contains("this token is not valid"), "{answer}");
    server.process.revoked.lock().unwrap().push(VIEWER);
    for token in ["", "x", VIEWER, "%FF"] {
        assert_eq!(wrong(token), (401, answer.clone()), "{token}");
    }
    let body = "token=x";
    let mut waiting: Vec<_> = (0..40)
        .map(|_| {
            let mut stream = server.connect();
            let request = format!(
                "POST /sign-in HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{ORIGIN}\r\n\
                 Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).unwrap();
            stream
        })
        .collect();
    // One that is valid does not wait for them.
    Browser::sign_in(&server, TOKEN);
    let statuses = waiting.iter_mut().map(|stream| {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.get(9..12).unwrap().to_owned()
    });
    let refused = statuses.filter(|status| status == "429").count();
    assert!((1..=24).contains(&refused), "{refused}");
}

#[test]
fn off_loopback_a_browser_is_asked_to_sign_in_and_told_nothing_before() {
    let server = Server::console("0.0.0.0:0");
    let (status, answer) = server.send("GET /services/checkout?range=10m", &["Accept: text/html"]);
    assert_eq!(status, 401);
    assert!(
        answer.contains("value=\"/services/checkout?range=10m\""),
        "{answer}"
    );
    assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    assert!(!answer.contains("www-authenticate: Basic"), "{answer}");
    assert!(!answer.contains("made-up"), "{answer}");
    let (status, answer) = server.send("GET /sign-in", &[]);
    assert_eq!((status, answer.contains("made-up")), (200, false));
    let style = after(&answer, "rel=\"stylesheet\" href=\"", "\"");
    assert_eq!(server.send(&format!("GET {style}"), &[]).0, 200);
    let vi = Browser::sign_in(&server, VIEWER);
    let (status, answer) = vi.get("/");
    assert_eq!((status, answer.contains("made-up")), (200, true));
    // Whoever watches as the token is revoked sees no more.
    let mut stream = server.connect();
    let request = format!(
        "GET /events?page=/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{}\r\n\r\n",
        vi.cookie
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    server.process.revoked.lock().unwrap().push(VIEWER);
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    assert!(said.ends_with("0\r\n\r\n"), "{said}");
    assert_eq!(vi.get("/").0, 401);
}

#[test]
fn a_command_of_a_runbook_leads_to_what_it_asks_for() {
    let server = Server::console(LOOPBACK);
    let run = |command: &str| server.send_form("/run", &format!("command={command}"), &[ORIGIN]);
    let leads = |command: &str, to: &str| {
        let (status, answer) = run(command);
        assert_eq!(status, 303, "{answer}");
        assert!(answer.contains(&format!("location: {to}\r\n")), "{answer}");
    };
    leads("plimsoll+explain+abc", "/requests/abc");
    leads(
        "plimsoll+degrade+checkout+shed+2+--for+10m+--why+%22it+%26+that%22",
        "/services/checkout/set/shed?level=2&for=10m&why=it%20%26%20that",
    );
    leads(
        "plimsoll+degrade+checkout+end",
        "/services/checkout/end/all",
    );
    leads(
        "plimsoll+governor+mode+'a/b'+end",
        "/services/a%2Fb/end/governor-mode",
    );
    for command in [
        "rm+-rf+/",
        "plimsoll+status%0Aid",
        "plimsoll+status;id",
        "%3Cscript%3E",
    ] {
        let (status, answer) = run(command);
        assert_eq!(status, 422);
        assert!(answer.contains("The command was not run"), "{answer}");
        assert!(!answer.contains("<script>"), "{answer}");
    }
    assert_eq!(server.send("GET /run?command=plimsoll+status", &[]).0, 405);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn a_hostile_name_stays_a_name() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    let name: String = HOSTILE.bytes().map(|byte| format!("%{byte:02X}")).collect();
    for path in [
        format!("/services/{name}/set/shed"),
        format!("/services/{name}/end/shed"),
    ] {
        let (status, form) = pat.get(&path);
        assert_eq!(status, 200, "{form}");
        let (_, body) = form.split_once("\r\n\r\n").unwrap();
        assert!(
            !body.contains("<script>") && body.contains("&lt;script&gt;"),
            "{form}"
        );
        let action = after(body, "method=\"post\" action=\"", "\"");
        let fields = if path.ends_with("set/shed") {
            "level=1&for=1m&why=x"
        } else {
            ""
        };
        let (status, answer) = pat.post(&action, fields);
        assert_eq!(status, 200, "{answer}");
        assert!(!answer.contains("<script>"), "{answer}");
    }
    assert_eq!(acted(&server).len(), 2);
    assert!(acted(&server)[0].contains(HOSTILE));
}
