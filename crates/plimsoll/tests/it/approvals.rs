//! Goal: what needs approval is done once enough others approved exactly that, and in no other way but one that nobody
//! overlooks; what is frozen is not changed but by fixes.
//!
//! Method: a real process, the command line with the tokens of several people, signals, kills, and a store that is taken away.

use std::process::Output;

use serde_json::Value;

use crate::access::curl;
use crate::browser::Browser;
use crate::child::{Home, Plimsoll, Service, config, get, wait_until};
use crate::console_actions::{says, sign_in};
use crate::console_pages::LOOK;
use crate::journal::is;
use crate::notify::{Hook, OK};

/// What a command ends with that waits for others.
const WAITS: i32 = 6;

/// People, by their tokens.
struct People {
    ana: String,
    bo: String,
    cy: String,
}

impl Home {
    /// Runs a command as somebody.
    fn by(&self, token: &str, args: &[&str]) -> Output {
        let mut command = self.command(args);
        command.env("PLIMSOLL_TOKEN", token).output().unwrap()
    }

    /// The configuration that answers `X-Seen: NUMBER`, with `more` at its end.
    fn version(&self, service: &Service, number: usize, more: &str) {
        let route =
            format!("[route.rewrite]\nrequest = {{ set = {{ X-Version = \"{number}\" }} }}\n");
        let text = config(&[service.address], "", &format!("{route}{more}"));
        self.write(&text.replace(
            "[service.app]\n",
            "[service.app]\nowner = \"payments\"\ntier = 1\n",
        ));
    }
}

fn seen(plimsoll: &Plimsoll, number: usize) -> bool {
    get(plimsoll.address(), "/")
        .1
        .contains(&format!("X-Seen: {number}\r\n"))
}

/// A process with this at the end of its configuration, and three people: ana operates, bo and cy approve.
fn started(more: &str) -> (Service, Home, Plimsoll, People) {
    let (service, home) = (Service::start(), Home::new());
    home.version(&service, 1, more);
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    let people = People {
        ana: home.token(&["ana", "--role", "operator"]),
        bo: home.token(&["bo", "--role", "approver"]),
        cy: home.token(&["cy", "--role", "approver", "--owner", "payments"]),
    };
    (service, home, plimsoll, people)
}

#[track_caller]
fn ends(output: &Output, code: i32, part: &str) -> String {
    let said = [output.stdout.as_slice(), &output.stderr].concat();
    let said = String::from_utf8(said).unwrap();
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert!(said.contains(part), "`{part}` is not in: {said}");
    said
}

fn approvals(home: &Home) -> Vec<Value> {
    let listed = home.ask(&["approval", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["approvals"].as_array().unwrap().clone()
}

fn shed(home: &Home) -> usize {
    let listed = home.ask(&["degrade", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["entries"].as_array().unwrap().len()
}

const SHED: [&str; 8] = [
    "degrade", "app", "shed", "2", "--for", "1h", "--why", "the sale",
];
const DEGRADE: &str = "[approval.careful]\nwhat = \"degrade\"\ntiers = [1, 2]\n";
const CONFIG: &str = "[approval.changes]\nwhat = \"config\"\n";

#[test]
fn what_needs_approval_is_done_once_another_person_approved_it() {
    let (_service, home, plimsoll, people) = started(DEGRADE);
    // Whoever may read the state folder may be anybody.
    ends(&home.ask(&SHED), 1, "who asks must be known");
    let said = ends(
        &home.by(&people.ana, &SHED),
        WAITS,
        "not done yet: ana asks for shed 2 of app for 1h",
    );
    assert!(
        said.contains("1 other person within 1h (rule careful)"),
        "{said}"
    );
    // Asked again, it is the same request.
    ends(&home.by(&people.ana, &SHED), WAITS, "(request #1)");
    assert_eq!((shed(&home), approvals(&home).len()), (0, 1));
    ends(
        &home.by(&people.ana, &["approval", "approve", "1"]),
        1,
        "needs the role approver",
    );
    ends(&home.ask(&["approval", "approve", "1"]), 1, "is no person");
    // Somebody else who asks for something about the same hears who was first.
    let other = [&SHED[..3], &["1"], &SHED[4..]].concat();
    ends(
        &home.by(&people.bo, &other),
        1,
        "ana was first and asked for shed 2 of app for 1h as #1",
    );
    let shown = ends(&home.ask(&["approval", "show", "1"]), 0, "asked by  ana");
    assert!(shown.contains("the sale"), "{shown}");
    assert_eq!(shed(&home), 0);
    let said = ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        0,
        "#1 is carried out, approved by bo",
    );
    assert!(said.contains("ana set shed 2"), "{said}");
    assert_eq!(shed(&home), 1);
    ends(
        &home.by(&people.cy, &["approval", "approve", "1"]),
        1,
        "it is over: it was carried out",
    );
    let asked = home.wait_for_record("asked", is("approval", "ana asks for shed 2"));
    assert_eq!(asked["subject"], "service/app/approval/1");
    let done = home.wait_for_record("done", is("approval", "#1 is carried out"));
    assert_eq!(done["cites"], asked["sequence"]);
    home.wait_for_record("set", is("change", "ana set shed 2"));
    // Its end needs nobody.
    ends(
        &home.ask(&["degrade", "app", "end", "shed"]),
        0,
        "ended shed",
    );
    // By the API it is 202, with the number.
    let json = [
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"level":1,"for":"1m","why":"x"}"#,
    ];
    let (status, answer) = curl(
        &plimsoll,
        "PUT",
        "/api/v1/overlay/app/shed",
        &people.ana,
        &json,
    );
    assert_eq!((status, &answer["approval"]), (202, &2.into()), "{answer}");
    assert!(
        home.ask(&["status"])
            .stdout
            .windows(23)
            .any(|it| it == b"#2 waits for approval: ")
    );
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn no_reload_goes_round_an_approval() {
    let (service, home, plimsoll, people) = started(CONFIG);
    // The same file again changes nothing.
    ends(&home.ask(&["reload"]), 0, "reloaded");
    home.version(&service, 2, CONFIG);
    plimsoll.signal(rustix::process::Signal::HUP);
    plimsoll.wait_for("this needs the approval of 1 other person");
    ends(&home.ask(&["reload"]), 1, "who asks must be known");
    ends(&home.by(&people.ana, &["reload"]), WAITS, "request #1");
    plimsoll.signal(rustix::process::Signal::HUP);
    let refused = || {
        let records = home.records().into_iter();
        records
            .filter(is("refusal", "who asks must be known"))
            .count()
    };
    // Two signals, and one command without a name.
    wait_until("all are refused", || refused() == 3);
    assert!(seen(&plimsoll, 1));
    // All services are touched by no key of one, and cy is for payments: this touches app alone.
    assert_eq!(approvals(&home)[0]["services"], serde_json::json!(["app"]));
    let effect = approvals(&home)[0]["effect"].to_string();
    assert!(effect.contains("1 → 2"), "{effect}");
    // Somebody changes the file after it was looked at: what was approved is not what is there.
    home.version(&service, 3, CONFIG);
    let said = home.by(&people.cy, &["approval", "approve", "1"]);
    ends(&said, 1, "it needs a request of its own");
    assert!(seen(&plimsoll, 1));
    assert_eq!(approvals(&home)[0]["state"], "failed");
    ends(&home.by(&people.ana, &["reload"]), WAITS, "request #2");
    let said = ends(
        &home.by(&people.cy, &["approval", "approve", "2"]),
        0,
        "carried out",
    );
    assert!(said.contains("reloaded: "), "{said}");
    assert!(seen(&plimsoll, 3));
    // A reload that takes the rule out needs the approval of the rule.
    home.version(&service, 4, "");
    ends(&home.by(&people.ana, &["reload"]), WAITS, "request #3");
    ends(
        &home.by(&people.cy, &["approval", "approve", "3"]),
        1,
        "for the owners of all services",
    );
    ends(
        &home.by(&people.bo, &["approval", "approve", "3"]),
        0,
        "carried out",
    );
    assert!(seen(&plimsoll, 4));
    ends(&home.ask(&["reload"]), 0, "reloaded");
}

#[test]
fn two_persons_are_two_who_may_still_and_a_restart_keeps_what_waits() {
    let two = "[approval.careful]\nwhat = \"degrade\"\npersons = 2\n";
    let (_service, home, plimsoll, people) = started(two);
    ends(&home.by(&people.ana, &SHED), WAITS, "2 other persons");
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        0,
        "1 more person is needed",
    );
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        1,
        "you approved it before",
    );
    { plimsoll }.process.kill().unwrap();
    let plimsoll = home.run(&[]);
    assert_eq!(
        approvals(&home)[0]["approved_by"],
        serde_json::json!(["bo"])
    );
    // Whose token is gone does not count any more.
    wait_until("tokens are read", || {
        home.ask(&["token", "revoke", "bo"]).status.success()
    });
    ends(
        &home.by(&people.cy, &["approval", "approve", "1"]),
        0,
        "1 more person is needed",
    );
    assert_eq!(shed(&home), 0);
    let di = home.token(&["di", "--role", "admin"]);
    ends(
        &home.by(&di, &["approval", "approve", "1"]),
        0,
        "carried out",
    );
    assert_eq!(shed(&home), 1);
    // One no is enough; whoever asked takes it back.
    let other = ["degrade", "app", "no-retries", "--for", "1h", "--why", "x"];
    ends(&home.by(&people.ana, &other), WAITS, "request #2");
    ends(
        &home.by(&people.cy, &["approval", "refuse", "2"]),
        1,
        "say why",
    );
    ends(
        &home.by(
            &people.cy,
            &["approval", "refuse", "2", "--why", "not today"],
        ),
        0,
        "cy refused #2",
    );
    ends(&home.by(&people.ana, &other), WAITS, "request #3");
    ends(
        &home.by(&people.cy, &["approval", "withdraw", "3"]),
        1,
        "only ana, who asked",
    );
    ends(
        &home.by(&people.ana, &["approval", "withdraw", "3"]),
        0,
        "ana withdrew #3",
    );
    // Nobody is there in time: an hour is over while the process is not up.
    ends(&home.by(&people.ana, &other), WAITS, "request #4");
    { plimsoll }.process.kill().unwrap();
    let file = home.path("state/approvals.json");
    let mut kept: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let requests = kept["requests"].as_array_mut().unwrap();
    requests
        .iter_mut()
        .for_each(|it| it["request"]["until"] = "2026-01-01T00:00:00.000Z".into());
    std::fs::write(&file, kept.to_string()).unwrap();
    let _plimsoll = home.run(&[]);
    home.wait_for_record("expired", is("approval", "#4 expired"));
    let states: Vec<Value> = approvals(&home)
        .iter()
        .map(|it| it["state"].clone())
        .collect();
    assert_eq!(states, ["expired", "withdrawn", "refused", "done"]);
    assert_eq!(shed(&home), 1);
}

#[test]
fn breaking_the_glass_works_and_is_not_overlooked() {
    let (service, home, plimsoll, people) = started(CONFIG);
    home.version(&service, 2, CONFIG);
    ends(&home.by(&people.ana, &["reload"]), WAITS, "request #1");
    ends(&home.ask(&["reload", "--break-glass"]), 2, "--why");
    let glass = ["reload", "--break-glass", "--why", "nobody is awake"];
    ends(&home.ask(&glass), 0, "reloaded");
    assert!(seen(&plimsoll, 2));
    let record = home.wait_for_record("broken", is("break-glass", "state-folder broke the glass"));
    assert!(
        record["data"]["text"]
            .as_str()
            .unwrap()
            .contains("nobody is awake"),
        "{record}"
    );
    assert_eq!(approvals(&home)[0]["state"], "broken");
    let status = home.ask(&["status"]);
    ends(&status, 0, "broke the glass at");
    assert!(
        get(plimsoll.console(), "/")
            .1
            .contains("broke the glass at")
    );
    // So does a start with a file that nobody approved.
    { plimsoll }.process.kill().unwrap();
    home.version(&service, 3, CONFIG);
    let plimsoll = home.run(&[]);
    assert!(seen(&plimsoll, 3));
    home.wait_for_record("started", is("break-glass", "a start broke the glass"));
}

#[test]
fn what_is_frozen_is_not_changed_but_by_a_fix() {
    let more = "[service.other]\nendpoints = [\"http://127.0.0.1:1\"]\n[[route]]\npath = \"/other\"\nservice = \"other\"\n";
    let (service, home, plimsoll, people) = started(more);
    let freeze = ["freeze", "app", "--for", "2d", "--why", "the audit"];
    ends(&home.by(&people.ana, &freeze), 0, "ana froze app until");
    ends(&home.ask(&["freeze", "list"]), 0, "frozen by ana until");
    ends(&home.ask(&["status"]), 0, "frozen by ana until");
    assert!(
        get(plimsoll.console(), "/services/app")
            .1
            .contains("Frozen by ana until")
    );
    // A key of another service is free; one of this is not, whoever asks.
    home.version(
        &service,
        1,
        &more.replace("[service.other]\n", "[service.other]\ntier = 5\n"),
    );
    ends(&home.ask(&["reload"]), 0, "reloaded");
    home.version(&service, 2, more);
    let said = ends(&home.ask(&["reload"]), 1, "app is frozen by ana until");
    assert!(
        said.contains("the audit") && said.contains("--fix --why"),
        "{said}"
    );
    plimsoll.signal(rustix::process::Signal::HUP);
    home.wait_for_record("refused", |it| {
        is("refusal", "frozen by ana")(it) && it["data"]["by"] == "SIGHUP"
    });
    assert!(seen(&plimsoll, 1));
    let fix = ["reload", "--fix", "--why", "the limit was wrong"];
    ends(&home.ask(&fix), 0, "reloaded");
    assert!(seen(&plimsoll, 2));
    home.wait_for_record("fixed", |it| it["data"]["fix"] == "the limit was wrong");
    // It outlives the process, and degrading goes on.
    { plimsoll }.process.kill().unwrap();
    let plimsoll = home.run(&[]);
    home.version(&service, 3, more);
    ends(&home.ask(&["reload"]), 1, "app is frozen by ana until");
    ends(&home.ask(&SHED), 0, "set shed 2");
    ends(
        &home.ask(&["freeze", "end", "app"]),
        0,
        "ended the freeze of app",
    );
    ends(&home.ask(&["freeze", "end", "app"]), 1, "nobody froze app");
    ends(&home.ask(&["reload"]), 0, "reloaded");
    assert!(seen(&plimsoll, 3));
    // All of them; and by the configuration.
    ends(
        &home.ask(&["freeze", "--all", "--for", "1s", "--why", "a moment"]),
        0,
        "froze all services",
    );
    home.wait_for_record(
        "over",
        is("freeze", "the freeze of all services ended by itself"),
    );
    let planned = format!(
        "{more}[freeze.years]\nfrom = \"2026-01-01T00:00Z\"\nuntil = \"2126-01-01T00:00Z\"\nwhy = \"forever\"\n"
    );
    home.version(&service, 3, &planned);
    ends(&home.ask(&["reload"]), 0, "reloaded");
    home.wait_for_record(
        "planned",
        is("freeze", "all services: frozen by configuration"),
    );
    home.version(&service, 4, more);
    ends(
        &home.ask(&["reload"]),
        1,
        "frozen by configuration until 2126-01-01",
    );
    ends(&home.ask(&fix), 0, "reloaded");
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn a_service_without_budget_is_frozen_by_the_governor_or_would_be() {
    let more = "[service.app.objective.availability]\ntarget = \"99.999%\"\nperiod = \"1d\"\n";
    let (service, home, plimsoll, _people) = started(more);
    let text = std::fs::read_to_string(home.path("plimsoll.toml")).unwrap();
    let text = text.replace("tier = 1\n", "tier = 1\nfreeze = true\n");
    home.write(&text);
    ends(&home.ask(&["reload"]), 0, "reloaded");
    let listed = || String::from_utf8(home.ask(&["freeze", "list"]).stdout).unwrap();
    wait_until("nothing is left of its budget", || {
        let _failed = get(plimsoll.address(), "/status/500");
        listed().contains("app              would be frozen by governor until its budget is not exhausted any more")
    });
    home.wait_for_record("said", is("freeze", "app: would be frozen by governor"));
    home.write(&text.replace("X-Version = \"1\"", "X-Version = \"2\""));
    ends(&home.ask(&["reload"]), 0, "reloaded");
    let mode = [
        "governor", "mode", "app", "enforce", "--for", "1h", "--why", "x",
    ];
    ends(&home.ask(&mode), 0, "enforce");
    wait_until("it acts", || {
        listed().contains("app              frozen by governor")
    });
    home.write(&text);
    ends(
        &home.ask(&["reload"]),
        1,
        "nothing is left of the budget of availability",
    );
    ends(&home.ask(&["reload", "--fix", "--why", "x"]), 0, "reloaded");
    assert!(service.requests() > 0);
}

#[test]
fn those_who_are_called_hear_of_a_request_and_of_a_broken_glass() {
    let (payments, search) = (Hook::answering(OK), Hook::answering(OK));
    let more = format!(
        "[service.found]\nowner = \"search\"\nendpoints = [\"http://127.0.0.1:1\"]\n[[route]]\npath = \"/found\"\nservice = \"found\"\n{DEGRADE}{}{}",
        payments.notifier("payments", "webhook", "owners = \"payments\""),
        search.notifier("search", "webhook", "owners = \"search\"")
    );
    let (_service, home, _plimsoll, people) = started(&more);
    ends(&home.by(&people.ana, &SHED), WAITS, "request #1");
    let first = |kind: &str| {
        wait_until(kind, || !payments.of(kind).is_empty());
        payments.of(kind)[0].json()["data"]["notifications"][0].clone()
    };
    let told = first("approval.firing");
    assert_eq!(told["service"], "app", "{told}");
    let text = told.to_string();
    for part in [
        "ana asks for the approval of shed 2 of app for 1h",
        "the sale",
        "/approvals/1",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        0,
        "carried out",
    );
    first("approval.resolved");
    let glass = [&SHED[..3], &["3", "--break-glass"], &SHED[4..]].concat();
    ends(&home.by(&people.ana, &glass), 0, "set shed 3");
    let text = first("break-glass.firing").to_string();
    assert!(text.contains("ana broke the glass: the sale"), "{text}");
    for kind in ["approval.firing", "approval.resolved", "break-glass.firing"] {
        assert_eq!(
            (payments.of(kind).len(), search.of(kind).len()),
            (1, 0),
            "{kind}"
        );
    }
}

#[test]
fn with_the_store_gone_requests_are_kept_and_carried_out_and_their_records_wait() {
    let (_service, home, _plimsoll, people) = started(DEGRADE);
    let aside = home.path("aside.db");
    std::fs::rename(home.database(), &aside).unwrap();
    std::fs::create_dir(home.database()).unwrap();
    ends(&home.by(&people.ana, &SHED), WAITS, "not recorded yet");
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        0,
        "carried out",
    );
    assert_eq!(shed(&home), 1);
    std::fs::remove_dir(home.database()).unwrap();
    std::fs::rename(&aside, home.database()).unwrap();
    home.wait_for_record("done", is("approval", "#1 is carried out"));
    let kept = || {
        let connection = rusqlite::Connection::open(home.database()).unwrap();
        let text = "SELECT count(*) FROM state WHERE key LIKE 'approval/%' AND value IS NOT NULL";
        connection
            .query_row(text, [], |row| row.get::<_, u32>(0))
            .unwrap_or(0)
    };
    wait_until("the store has it", || kept() == 1);
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn rules_that_ask_for_more_by_now_count_for_what_waits() {
    let (service, home, _plimsoll, people) = started(DEGRADE);
    ends(&home.by(&people.ana, &SHED), WAITS, "1 other person");
    home.version(&service, 1, &format!("{DEGRADE}persons = 2\n"));
    let glass = ["reload", "--break-glass", "--why", "two from now on"];
    ends(&home.by(&people.bo, &glass), 0, "reloaded");
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        1,
        "by now this needs the approval of 2 other persons",
    );
    assert_eq!(
        (shed(&home), &approvals(&home)[1]["state"]),
        (0, &"failed".into())
    );
    ends(&home.by(&people.ana, &SHED), WAITS, "2 other persons");
}

#[test]
fn a_rule_is_taken_out_only_with_the_persons_that_it_asks_for() {
    // It is about something else, and covers its own end.
    let (service, home, _plimsoll, people) = started(DEGRADE);
    home.version(&service, 2, "");
    let reload = ["reload", "--why", "no rules"];
    ends(&home.by(&people.ana, &reload), WAITS, "request #1");
    let rollback = ["config", "rollback", "1", "--why", "no rules"];
    ends(
        &home.by(&people.bo, &["approval", "approve", "1"]),
        0,
        "carried out",
    );
    // Nothing asks for anybody now; going back to where a rule was takes none out.
    ends(&home.by(&people.ana, &rollback), 0, "");
    // Nor is it lost by going back.
    let back = ["config", "rollback", "2", "--why", "no rules"];
    ends(&home.by(&people.ana, &back), 1, "lacks an approval rule");
}

#[tokio::test]
async fn an_approver_approves_from_the_inbox_and_it_is_done() {
    let (service, home, plimsoll, people) = started(&format!("{DEGRADE}{CONFIG}"));
    home.version(&service, 2, &format!("{DEGRADE}{CONFIG}"));
    ends(&home.by(&people.ana, &SHED), WAITS, "request #1");
    ends(
        &home.by(&people.ana, &["reload", "--why", "the new header"]),
        WAITS,
        "request #2",
    );
    let page = format!("http://{}/approvals", plimsoll.console());
    let mut browser = Browser::start(&home).await;
    for (width, scheme) in [(390, "light"), (768, "dark"), (1_440, "light")] {
        browser.show(width, scheme).await;
        browser.go(&page).await;
        assert_eq!(browser.ask(LOOK).await, "[]", "at {width}");
    }
    let text = browser
        .ask("document.querySelector('main').innerText")
        .await;
    let text = text.as_str().unwrap();
    for part in [
        "shed 2 of app for 1h",
        "ana asked",
        "the sale",
        "1 person other than ana (rule careful)",
        "1 person other than ana (rule changes)",
        "the new header",
        "SHA-256 to be: ",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let count = "document.querySelector('nav a[href=\"/approvals\"] .pip').innerText";
    assert_eq!(browser.ask(count).await, "2");
    let buttons = "document.querySelectorAll('main .btn').length";
    assert_eq!(
        browser.ask(buttons).await,
        0,
        "a stranger is offered nothing"
    );
    sign_in(&mut browser, &page, &people.bo).await;
    browser.tab_to("Approve…").await;
    browser.press("Enter").await;
    says(&mut browser, "Approve #1: shed 2 of app for 1h").await;
    assert_eq!(shed(&home), 0, "nothing before it is sent");
    browser.tab_to("Approve it").await;
    browser.press("Enter").await;
    says(&mut browser, "#1: approved").await;
    assert_eq!(shed(&home), 1);
    browser.go(&format!("{page}/1")).await;
    let came = "document.querySelector('main').innerText.includes('it was carried out')";
    assert_eq!(browser.ask(came).await, true);
    assert_eq!(browser.complaints, [] as [String; 0]);
}

/// A rollout, a flag and a file: what needs approval of each.
const GUARDED: &str = "[service.app.version.v2]\nendpoints = [\"http://127.0.0.1:1\"]\n\
     [rollout.app-v2]\nservice = \"app\"\nversion = \"v2\"\nby = \"request\"\nsteps = [{ weight = \"1%\", for = \"1h\" }, { weight = \"100%\", for = \"1h\" }]\n\
     [flags]\nmanaged = true\n[approval.more]\nwhat = [\"rollout\", \"flag\", \"config\"]\n";
const BEGIN: [&str; 5] = ["rollout", "start", "app-v2", "--why", "release 2.4"];

/// With a flag that is on for all, which nobody's approval was needed for.
fn guarded() -> (Service, Home, Plimsoll, People) {
    let (service, home, plimsoll, people) = started(GUARDED);
    let definition =
        r#"{"state": "ENABLED", "variants": {"on": true, "off": false}, "defaultVariant": "on"}"#;
    std::fs::write(home.path("cart.json"), definition).unwrap();
    let file = home.path("cart.json").display().to_string();
    let args = ["flag", "set", "cart", "--definition", &file, "--why", "new"];
    let glass = [&args[..], &["--break-glass"]].concat();
    ends(
        &home.by(&people.ana, &args),
        WAITS,
        "define of the flag cart",
    );
    ends(
        &home.by(&people.ana, &["approval", "withdraw", "1"]),
        0,
        "withdrew",
    );
    ends(&home.by(&people.ana, &glass), 0, "cart");
    home.wait_for_record("glass", is("break-glass", "define of the flag cart"));
    (service, home, plimsoll, people)
}

fn stands(home: &Home) -> Value {
    let said = home.ask(&["rollout", "status", "app-v2", "--json"]);
    serde_json::from_slice::<Value>(&said.stdout).unwrap()["state"].clone()
}

fn cart(home: &Home) -> Value {
    let said = home.ask(&["flag", "evaluate", "cart", "--json"]);
    serde_json::from_slice::<Value>(&said.stdout).unwrap()["variant"].clone()
}

#[test]
fn a_rollout_a_flag_and_a_plan_wait_for_others_and_are_done_once_approved() {
    let (service, home, plimsoll, people) = guarded();
    ends(
        &home.by(&people.ana, &BEGIN),
        WAITS,
        "start of the rollout app-v2",
    );
    assert_eq!(stands(&home), "idle");
    ends(
        &home.by(&people.bo, &["approval", "approve", "3"]),
        0,
        "is carried out",
    );
    assert_eq!(stands(&home), "running");
    // What takes requests from a version waits for nobody.
    let abort = ["rollout", "abort", "app-v2", "--why", "no"];
    ends(&home.by(&people.ana, &abort), 0, "app-v2");

    let off = ["flag", "set", "cart", "off", "--why", "orders are lost"];
    ends(
        &home.by(&people.ana, &off),
        WAITS,
        "set of the flag cart to off",
    );
    assert_eq!(cart(&home), "on");
    ends(
        &home.by(&people.bo, &["approval", "approve", "4"]),
        0,
        "is carried out",
    );
    assert_eq!(cart(&home), "off");

    home.version(&service, 2, GUARDED);
    let apply = ["apply", "--yes", "--watch", "0s", "--why", "faster"];
    ends(&home.by(&people.ana, &apply), WAITS, "the configuration");
    assert!(seen(&plimsoll, 1));
    // Another file than the one that was asked for is not what bo agrees with.
    home.version(&service, 3, GUARDED);
    ends(
        &home.by(&people.bo, &["approval", "approve", "5"]),
        1,
        "plan again",
    );
    assert!(seen(&plimsoll, 1));
    ends(&home.by(&people.ana, &apply), WAITS, "(request #6)");
    ends(
        &home.by(&people.bo, &["approval", "approve", "6"]),
        0,
        "is carried out",
    );
    assert!(seen(&plimsoll, 3));
    assert_eq!(home.verify(&[]).0, 0);
}

#[test]
fn a_fix_passes_a_freeze_and_a_broken_glass_an_approval_whatever_is_changed() {
    let (service, home, plimsoll, people) = guarded();
    let freeze = ["freeze", "app", "--for", "2d", "--why", "the audit"];
    ends(&home.by(&people.ana, &freeze), 0, "ana froze app until");
    home.version(&service, 2, GUARDED);
    let apply = ["apply", "--yes", "--watch", "0s", "--why", "mended"];
    let enable = ["flag", "enable", "cart", "--why", "mended"];
    let past =
        |args: &[&'static str], more: &[&'static str]| home.by(&people.ana, &[args, more].concat());
    for args in [&BEGIN[..], &enable, &apply] {
        ends(&past(args, &[]), 1, "app is frozen by ana until");
        // A fix needs approval as anything does; who breaks the glass is not past a freeze by that.
        ends(
            &past(args, &["--break-glass"]),
            1,
            "app is frozen by ana until",
        );
        ends(&past(args, &["--fix"]), WAITS, "as a fix");
    }
    ends(&past(&BEGIN, &["--fix", "--break-glass"]), 0, "app-v2");
    assert_eq!(stands(&home), "running");
    ends(
        &home.by(&people.bo, &["approval", "approve", "4"]),
        0,
        "is carried out",
    );
    ends(&past(&apply, &["--fix", "--break-glass"]), 0, "applied");
    assert!(seen(&plimsoll, 2));
    home.wait_for_record("glass", is("break-glass", "start of the rollout app-v2"));
    home.wait_for_record("glass", is("break-glass", "the configuration"));
    // Without a reason it is nothing.
    let silent = ["flag", "end", "cart", "--fix"];
    ends(&home.by(&people.ana, &silent), 2, "--why");
    assert_eq!(home.verify(&[]).0, 0);
}
