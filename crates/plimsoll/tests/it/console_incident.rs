//! Goal: whoever was called works on an incident from its page alone, from the first look to the draft of the review; what they
//! do and what they run from the runbook is in its timeline and in the journal. Who only reads is offered nothing.
//!
//! Method: a service that fails, with a runbook; Chromium as a viewer and as an operator; the command line to look at what
//! came of it.

use crate::browser::Browser;
use crate::child::{Home, get, wait_until};
use crate::console_actions::{says, sign_in};
use crate::console_pages::LOOK;
use crate::incident::incidents;
use crate::journal::is;
use crate::notify::{Patient, STRICT, burns, wait_long};

const RUNBOOK: &str = "# When it fails\n\n```\nplimsoll status\nplimsoll degrade app shed 1 --for 5m\nplimsoll reload\n```\n";
const CHANGES: &str =
    "[...document.querySelectorAll('.rb form button')].filter(it => it.innerText === 'Run…')";

/// From a page that says what was done.
async fn back(browser: &mut Browser, page: &str) {
    browser.tab_to("To the incident").await;
    browser.press("Enter").await;
    let there = format!("location.href === '{page}' && document.readyState === 'complete'");
    browser.until("it is back", &there).await;
}

#[tokio::test]
async fn an_incident_is_worked_on_from_its_page_to_the_review() {
    let patient = Patient::start();
    let home = Home::new();
    std::fs::write(home.path("app.md"), RUNBOOK).unwrap();
    let text = patient.config(STRICT, "");
    home.write(&text.replace("[service.app]\n", "[service.app]\nrunbook = \"app.md\"\n"));
    let plimsoll = home.run(&[]);
    let load = burns(&plimsoll);
    wait_long("somebody is called", || !incidents(&home).is_empty());
    let id = incidents(&home)[0]["id"].to_string();
    let path = format!("/incidents/{id}");
    wait_until("the process knows it", || {
        get(plimsoll.console(), &path).0 == 200
    });
    let page = format!("http://{}{path}", plimsoll.console());
    let viewer = home.token(&["vi", "--role", "viewer"]);
    let operator = home.token(&["ana", "--role", "operator", "--owner", "payments"]);

    let mut browser = Browser::start(&home).await;
    browser.show(1_440, "light").await;
    sign_in(&mut browser, &page, &viewer).await;
    let offered =
        format!("document.querySelectorAll('a.does, [disabled]').length + {CHANGES}.length");
    assert_eq!(browser.ask(&offered).await, 0);
    let reads = "document.querySelectorAll('.rb form button').length";
    assert_eq!(browser.ask(reads).await, 1);
    browser.go(&format!("{page}/acknowledge")).await;
    says(&mut browser, "Not permitted").await;
    let complaints = std::mem::take(&mut browser.complaints);
    let refused = matches!(complaints.as_slice(), [one] if one.contains("status of 403"));
    assert!(refused, "{complaints:?}");
    browser.tab_to("vi · viewer").await;
    browser.press("Enter").await;
    says(&mut browser, "Signed in").await;
    browser.tab_to("Sign out").await;
    browser.press("Enter").await;
    says(&mut browser, "Sign in").await;

    sign_in(&mut browser, &page, &operator).await;
    browser.tab_to("Acknowledge…").await;
    browser.press("Enter").await;
    says(&mut browser, &format!("Acknowledge #{id} of app")).await;
    browser.tab_to("Acknowledge it").await;
    browser.press("Enter").await;
    says(&mut browser, &format!("#{id}: acknowledged")).await;
    let record = home.wait_for_record("ack", is("incident", "ana acknowledged it"));
    let number = format!("#{}", record["sequence"].as_str().unwrap());
    let told = "document.querySelector('a[href^=\"/decisions/\"]').innerText";
    assert_eq!(browser.ask(told).await, number);
    back(&mut browser, &page).await;

    browser.tab_to("Note…").await;
    browser.press("Enter").await;
    let asked = "document.activeElement?.name === 'note'";
    browser.until("it asks for the note", asked).await;
    browser.enter("lock waits\n<b>on v2</b>").await;
    browser.tab_to("Note it").await;
    browser.press("Enter").await;
    says(&mut browser, &format!("#{id}: noted")).await;
    back(&mut browser, &page).await;
    let noted = "[...document.querySelectorAll('.tl .note')].some(it => it.innerText.includes('lock waits <b>on v2</b>'))";
    browser.until("the note is in the timeline", noted).await;

    let run = format!("{CHANGES}[0]?.click(); true");
    browser.until("the step is run", &run).await;
    says(&mut browser, "Refuse classes of app").await;
    let filled = "document.querySelector('[name=level]:checked').value + ' ' + document.querySelector('[name=for]').value";
    assert_eq!(browser.ask(filled).await, "1 5m");
    browser.press("Tab").await;
    browser.press("Tab").await;
    browser.enter("the runbook says so").await;
    browser.press("Enter").await;
    says(&mut browser, "app: shedding is set").await;
    let change = home.wait_for_record("set", is("change", "ana set shed 1"));
    let change = change["sequence"].as_str().unwrap();
    let ran = format!(
        "ana noted: ran from the runbook (#{change}): plimsoll degrade app shed 1 --for 5m --why \"the runbook says so\""
    );
    let record = home.wait_for_record("ran", is("incident", "ana noted: ran from"));
    assert_eq!(record["data"]["text"], ran);
    assert_eq!(record["subject"], format!("incident/{id}"));
    back(&mut browser, &page).await;
    let noted = format!(
        "[...document.querySelectorAll('.tl .note')].some(it => it.innerText.includes('ran from the runbook (#{change})'))"
    );
    browser
        .until("what was run is in the timeline", &noted)
        .await;

    for path in ["", "/note", "/hand-over", "/silence", "/group", "/resolve"] {
        for (width, scheme) in [(390, "light"), (768, "dark"), (1_440, "light")] {
            browser.show(width, scheme).await;
            browser.go(&format!("{page}{path}")).await;
            assert_eq!(browser.ask(LOOK).await, "[]", "{path} at {width}");
        }
    }
    let asked = "document.activeElement?.name === 'why'";
    browser.until("it asks why", asked).await;
    browser.enter("a drill").await;
    browser.press("Enter").await;
    says(&mut browser, &format!("#{id}: resolved")).await;
    back(&mut browser, &page).await;
    let ended = "document.querySelector('.title').innerText.includes('resolved by ana: a drill')";
    browser.until("it says who resolved it", ended).await;
    browser.tab_to("Draft of the review").await;
    browser.press("Enter").await;
    let draft = "location.pathname.endsWith('/review') && document.readyState === 'complete'";
    browser.until("the draft is there", draft).await;
    let draft = browser.ask("document.body.innerText").await;
    let draft = draft.as_str().unwrap();
    let told = home.ask(&["incident", "review", &id]).stdout;
    let told = String::from_utf8(told).unwrap();
    for text in [
        "# Review: app, ",
        "| resolved | by ana: a drill |",
        "ana noted: lock waits \\<b\\>on v2",
        "## Follow-ups",
    ] {
        assert!(draft.contains(text), "{text}: {draft}");
        assert!(told.contains(text), "{text}: {told}");
    }
    assert_eq!(browser.complaints, [] as [String; 0]);
    assert_eq!(home.verify(&[]).0, 0);
    load.stop();
}
