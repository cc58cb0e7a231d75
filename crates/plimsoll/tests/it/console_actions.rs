//! Goal: whoever may acts from the console's pages with the keyboard alone, is told the journal number, and finds it in the
//! journal; a stranger and a viewer are offered nothing.
//!
//! Method: a real Plimsoll, Chromium, and the command line to look at what came of it.

use serde_json::Value;

use crate::browser::Browser;
use crate::child::{Home, Plimsoll, Service, config, get};
use crate::console_pages::LOOK;
use crate::journal::is;

fn started() -> (Service, Home, Plimsoll) {
    let (service, home) = (Service::start(), Home::new());
    let more = "[service.other]\nowner = \"others\"\nendpoints = [\"http://127.0.0.1:1\"]\n\
                [[route]]\npath = \"/extra/*\"\nservice = \"app\"\nclass = \"sheddable\"\n";
    let text = config(&[service.address], "", more);
    home.write(&text.replace("[service.app]\n", "[service.app]\nowner = \"payments\"\n"));
    let plimsoll = home.run(&[]);
    home.wait_for_record("start", is("process", "started"));
    (service, home, plimsoll)
}

/// From the page that a stranger sees, with keys only.
pub(crate) async fn sign_in(browser: &mut Browser, page: &str, token: &str) {
    browser.go(page).await;
    browser.tab_to("Sign in").await;
    browser.press("Enter").await;
    let asked = "location.pathname === '/sign-in' && document.activeElement?.name === 'token'";
    browser.until("it is asked for", asked).await;
    browser.enter(token).await;
    browser.press("Enter").await;
    let back = format!("location.href === '{page}' && document.readyState === 'complete'");
    browser.until("it is back", &back).await;
}

pub(crate) async fn says(browser: &mut Browser, words: &str) {
    let there = format!(
        "document.readyState === 'complete' && document.querySelector('h1')?.innerText === '{words}'"
    );
    browser.until(words, &there).await;
}

fn entries(home: &Home) -> Vec<Value> {
    let listed = home.ask(&["degrade", "list", "--json"]);
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    listed["entries"].as_array().unwrap().clone()
}

#[tokio::test]
async fn an_operator_sheds_and_ends_it_with_the_keyboard_alone() {
    let (_service, home, plimsoll) = started();
    let token = home.token(&["ana", "--role", "operator", "--owner", "payments"]);
    let page = format!("http://{}/services/app", plimsoll.console());
    let mut browser = Browser::start(&home).await;
    browser.show(1_440, "light").await;
    sign_in(&mut browser, &page, &token).await;

    browser.tab_to("Shed…").await;
    browser.press("Enter").await;
    let first = "document.activeElement?.name === 'level'";
    browser.until("it asks for a level", first).await;
    browser.press(" ").await;
    browser.press("Tab").await;
    browser.enter("5m").await;
    browser.press("Tab").await;
    browser.enter("the sale <b>").await;
    assert_eq!(
        entries(&home),
        [] as [Value; 0],
        "nothing before it is sent"
    );
    browser.press("Enter").await;
    says(&mut browser, "app: shedding is set").await;
    let number = browser
        .ask("document.querySelector('a[href^=\"/decisions/\"]').innerText")
        .await;
    let number = number.as_str().unwrap();
    let listed = home.ask(&["journal", "list", "--kind", "change"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    let record = listed.lines().find(|line| line.contains("ana set shed 1"));
    let record = record.unwrap_or_else(|| panic!("{listed}"));
    let sequence = number.trim_start_matches('#');
    assert!(
        record.contains(sequence) && record.contains("the sale <b>"),
        "{number} {record}"
    );
    let [entry] = entries(&home).try_into().unwrap();
    assert_eq!((&entry["by"], &entry["level"]), (&"ana".into(), &1.into()));

    browser.tab_to("End it early…").await;
    browser.press("Enter").await;
    says(&mut browser, "End shedding of app early").await;
    browser.tab_to("End it").await;
    browser.press("Enter").await;
    says(&mut browser, "app: shedding is ended").await;
    assert_eq!(entries(&home), [] as [Value; 0]);
    home.wait_for_record("ended", is("change", "ana ended shed 1"));
    assert_eq!(browser.complaints, [] as [String; 0]);

    // Another's service says whose it is.
    browser.go(&page.replace("/app", "/other")).await;
    let other = "document.querySelector('.acts').innerText.includes('belongs to others') \
                 && document.querySelectorAll('.acts .btn:not([disabled])').length === 0";
    assert_eq!(browser.ask(other).await, true);
    // The token is in no page, no log and no address.
    assert!(!plimsoll.said().contains(&token));
    let cookies = browser.ask("document.cookie").await;
    assert_eq!(cookies, "", "no script sees the session");
}

#[tokio::test]
async fn a_stranger_and_a_viewer_are_offered_nothing_and_a_session_ends_with_its_token() {
    let (_service, home, plimsoll) = started();
    let viewer = home.token(&["vi", "--role", "viewer"]);
    let operator = home.token(&["ana", "--role", "operator"]);
    let page = format!("http://{}/services/app", plimsoll.console());
    let set = ["degrade", "app", "no-retries", "--for", "1h", "--why", "x"];
    assert!(home.ask(&set).status.success());
    let mut browser = Browser::start(&home).await;
    browser.show(1_440, "light").await;
    let offered = "document.querySelectorAll('.acts, [href*=\"/set/\"], [href*=\"/end/\"]').length";
    browser.go(&page).await;
    assert_eq!(browser.ask(offered).await, 0);
    browser.go(&format!("{page}/set/shed")).await;
    let asked = "document.activeElement?.name === 'token'";
    browser.until("it is asked for a token", asked).await;

    sign_in(&mut browser, &page, &viewer).await;
    assert_eq!(browser.ask(offered).await, 0);
    browser.go(&format!("{page}/set/shed")).await;
    says(&mut browser, "Not permitted").await;
    browser.tab_to("vi · viewer").await;
    browser.press("Enter").await;
    says(&mut browser, "Signed in").await;
    browser.tab_to("Sign out").await;
    browser.press("Enter").await;
    says(&mut browser, "Sign in").await;

    sign_in(&mut browser, &page, &operator).await;
    browser
        .until("actions are there", "!!document.querySelector('.acts')")
        .await;
    // A page that is open loses its buttons with the token, without being loaded again.
    assert!(home.ask(&["token", "revoke", "ana"]).status.success());
    browser
        .until("they are gone", "!document.querySelector('.acts')")
        .await;
    browser
        .go(&format!("{page}/set/shed?level=1&for=1m&why=x"))
        .await;
    says(&mut browser, "Sign in").await;
    assert_eq!(entries(&home).len(), 1);
    assert!(
        get(plimsoll.console(), "/services/app")
            .1
            .contains("Sign in")
    );
}

#[tokio::test]
async fn pages_that_ask_can_be_read_at_all_widths() {
    let (_service, home, plimsoll) = started();
    let token = home.token(&[
        "a-name.that@is-rather-long-and-has.no-place-to-break",
        "--role",
        "admin",
    ]);
    let page = format!("http://{}/services/app", plimsoll.console());
    let why = "a-reason-without-any-place-to-break-".repeat(8);
    let set = ["degrade", "app", "shed", "1", "--for", "1h", "--why", &why];
    assert!(home.ask(&set).status.success());
    let mut browser = Browser::start(&home).await;
    let console = page.replace("/services/app", "");
    browser.go(&format!("{console}/sign-in")).await;
    assert_eq!(browser.ask(LOOK).await, "[]");
    sign_in(&mut browser, &page, &token).await;
    for path in [
        "/services/app",
        "/services/app/set/shed",
        "/services/app/set/governor-mode",
        "/services/app/end/shed",
        "/services/app/end/all",
        "/sign-in",
        "/configuration",
    ] {
        for (width, scheme) in [(390, "light"), (768, "dark"), (1_440, "light")] {
            browser.show(width, scheme).await;
            browser.go(&format!("{console}{path}")).await;
            assert_eq!(browser.ask(LOOK).await, "[]", "{path} at {width}");
        }
    }
    assert_eq!(browser.complaints, [] as [String; 0]);
}
