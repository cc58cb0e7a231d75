//! Goal: from an incident's page people do what they may about it, with the same checks as by the API, and what they run from
//! its runbook is noted there.
//!
//! Method: what a browser would send is sent by hand; the made-up process knows #1 of checkout, of payments, and #2 of mail,
//! which nobody owns.

use crate::actions::{Browser, LOOPBACK, ORIGIN, acted, after};
use crate::world::{HOSTILE, PAYMENTS, Server, TOKEN, VIEWER};

#[test]
fn an_operator_does_all_that_can_be_done_about_an_incident() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    let (status, form) = pat.get("/incidents/1/silence?for=2h&why=%3Cb%3E");
    assert_eq!(status, 200);
    for expected in [
        "Silence #1 of checkout",
        "ana works on it since",
        "<b>pat</b>",
        "value=\"2h\"",
        "plimsoll incident silence 1 --for 2h --why &quot;&lt;b&gt;&quot;",
        "action=\"/incidents/1/silence\"",
        "href=\"/incidents/1\">Leave it",
    ] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    let (_, form) = pat.get("/incidents/1/group");
    assert!(form.contains("href=\"/incidents/2\">#2</a> mail"), "{form}");
    assert_eq!(acted(&server), [""; 0]);
    let note = "é".repeat(2_000);
    for (deed, fields) in [
        ("acknowledge", ""),
        ("note", &format!("note={}", "%C3%A9".repeat(2_000))),
        ("hand-over", "to=search&why="),
        ("silence", "for=30m&why=known"),
        ("group", "into=%232&why="),
        ("resolve", "why=a+drill"),
    ] {
        let (status, answer) = pat.post(&format!("/incidents/1/{deed}"), fields);
        assert_eq!(status, 200, "{deed}: {answer}");
        assert!(answer.contains("href=\"/decisions/7\">#7<"), "{answer}");
        assert!(answer.contains("href=\"/incidents/1\">To the"), "{answer}");
    }
    let done = acted(&server);
    assert_eq!(done[1], format!("pat 1 note {note}"));
    let rest = [&done[..1], &done[2..]].concat();
    assert_eq!(
        rest,
        [
            "pat 1 acknowledge",
            "pat 1 hand-over",
            "pat 1 silence",
            "pat 1 group",
            "pat 1 resolve",
        ]
    );
}

#[test]
fn what_is_wrong_is_said_and_what_was_typed_is_kept() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    for (deed, fields, part) in [
        ("note", "note=+", "say what is to be noted"),
        ("note", "note=kept%1B", "control characters"),
        ("hand-over", "to=&why=kept", "is no owner"),
        ("silence", "for=8d&why=kept", "at most 7d"),
        ("silence", "for=1h&why=", "say why"),
        ("group", "into=kept&why=", "`kept` is no incident"),
        ("resolve", "why=", "say why"),
        ("acknowledge", "why=x", "acknowledge has no `why`"),
    ] {
        let (status, answer) = pat.post(&format!("/incidents/1/{deed}"), fields);
        assert_eq!(status, 422, "{deed}: {answer}");
        assert!(answer.contains("Not done: "), "{deed}: {answer}");
        assert!(answer.contains(part), "{deed}: {answer}");
        let kept = answer.contains("value=\"kept") || answer.contains(">kept");
        assert_eq!(kept, fields.contains("kept"), "{deed}: {answer}");
    }
    for (path, fields) in [
        ("/incidents/9/note", "note=x"),
        ("/incidents/x/note", "note=x"),
        ("/incidents/1/delete", ""),
    ] {
        assert_eq!(pat.post(path, fields).0, 404, "{path}");
        assert_eq!(pat.get(path).0, 404, "{path}");
    }
    assert_eq!(pat.post("/incidents/1/note", "note=x&by=ana").0, 422);
    let large = format!("note={}", "a".repeat(33_000));
    assert_eq!(pat.post("/incidents/1/note", &large).0, 413);
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn whoever_may_not_does_nothing() {
    let server = Server::console(LOOPBACK);
    let (vi, pat) = (
        Browser::sign_in(&server, VIEWER),
        Browser::sign_in(&server, PAYMENTS),
    );
    for (who, path, part) in [
        (&vi, "/incidents/1/note", "needs the role operator"),
        (&vi, "/incidents/9/note", "needs the role operator"),
        (&pat, "/incidents/2/note", "mail has no owner"),
    ] {
        for (status, answer) in [who.get(path), who.post(path, "note=x")] {
            assert_eq!(status, 403, "{answer}");
            assert!(answer.contains(part), "{answer}");
        }
    }
    let (status, answer) = server.send_form("/incidents/1/acknowledge", "", &[ORIGIN]);
    assert_eq!(status, 401, "{answer}");
    let ana = Browser::sign_in(&server, TOKEN);
    let body = format!("seal={}", ana.seal);
    let path = "/incidents/1/acknowledge";
    let others = server.send_form(path, &body, &[&pat.cookie, ORIGIN]);
    let elsewhere = "Origin: http://evil.example";
    let body = format!("seal={}", pat.seal);
    let foreign = server.send_form(path, &body, &[&pat.cookie, elsewhere]);
    assert_eq!((others.0, foreign.0), (403, 403));
    assert_eq!(acted(&server), [""; 0]);
}

#[test]
fn what_is_run_from_a_runbook_is_noted_on_its_incident() {
    let server = Server::console(LOOPBACK);
    let ana = Browser::sign_in(&server, TOKEN);
    let run = |command: &str, incident: &str| {
        let body = format!("command={}&incident={incident}", command.replace(' ', "+"));
        let (status, answer) = server.send_form("/run", &body, &[ORIGIN]);
        assert_eq!(status, 303, "{answer}");
        after(&answer, "location: ", "\r\n")
    };
    let ask = run("plimsoll degrade checkout shed 2 --for 5m", "1");
    assert_eq!(ask, "/services/checkout/set/shed?level=2&for=5m&incident=1");
    let (_, form) = ana.get(&ask);
    for expected in [
        "name=\"incident\" value=\"1\"",
        "href=\"/incidents/1\">Leave it",
    ] {
        assert!(form.contains(expected), "{expected}: {form}");
    }
    let (status, answer) = ana.post(
        "/services/checkout/set/shed",
        "incident=1&level=2&for=5m&why=it+melts",
    );
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer.matches(">#7<").count(), 2, "{answer}");
    assert!(answer.contains("href=\"/incidents/1\">To the"), "{answer}");
    let ask = run("plimsoll degrade checkout end no-retries", "1");
    assert_eq!(ask, "/services/checkout/end/no-retries?incident=1");
    assert!(ana.get(&ask).1.contains("name=\"incident\" value=\"1\""));
    let (status, answer) = ana.post("/services/checkout/end/no-retries", "incident=1");
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        acted(&server),
        [
            "ana checkout shed Some(2) it melts",
            "ana 1 note ran from the runbook (#7): plimsoll degrade checkout shed 2 --for 5m --why \"it melts\"",
            "ana checkout end no-retries",
            "ana 1 note ran from the runbook (#7): plimsoll degrade checkout end no-retries",
        ]
    );
    assert_eq!(
        run("plimsoll incident note 1", "1"),
        "/incidents/1/note",
        "what is done about an incident is on its page anyway"
    );
    assert_eq!(
        run("plimsoll incident group 1 2", "1"),
        "/incidents/1/group?into=2"
    );
    assert_eq!(
        run("plimsoll incident review 1", "1"),
        "/incidents/1/review"
    );
}

#[test]
fn a_change_is_made_also_where_it_can_not_be_noted_and_that_is_said() {
    let server = Server::console(LOOPBACK);
    let pat = Browser::sign_in(&server, PAYMENTS);
    for (incident, part) in [("2", "mail has no owner"), ("9", "no incident #9")] {
        let fields = format!("incident={incident}&level=2&for=5m&why=x");
        let (status, answer) = pat.post("/services/checkout/set/shed", &fields);
        assert_eq!(status, 200, "{answer}");
        let said = format!("it is not noted on incident #{incident}: ");
        assert!(answer.contains(&said) && answer.contains(part), "{answer}");
    }
    let set = "pat checkout shed Some(2) x";
    assert_eq!(acted(&server), [set, set]);
}

#[test]
fn the_draft_of_a_review_is_a_text_whatever_is_in_it() {
    let server = Server::console(LOOPBACK);
    let (status, answer) = server.send("GET /incidents/1/review", &["Accept: text/html"]);
    assert_eq!(status, 200, "{answer}");
    for expected in [
        "content-type: text/plain; charset=utf-8\r\n",
        "x-content-type-options: nosniff\r\n",
        "content-disposition: inline; filename=\"review-1.md\"\r\n",
        HOSTILE,
    ] {
        assert!(answer.contains(expected), "{expected}: {answer}");
    }
    assert_eq!(server.send("GET /incidents/x/review", &[]).0, 404);
    let server = Server::console("0.0.0.0:0");
    assert_eq!(server.send("GET /incidents/1/review", &[]).0, 401);
}
