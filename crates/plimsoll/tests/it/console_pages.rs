//! Goal: each page of the console can be read in a browser, wide and narrow, live and without harm by what it shows.
//!
//! Method: a real Plimsoll under load, with names and paths that try to become markup; Chromium, which is asked where
//! things ended up and what its console said. One who watches and never reads takes no memory.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use crate::browser::Browser;
use crate::child::{
    Home, Plimsoll, Service, TIME_MAX, ask, config, free_address, get, metric, wait_until,
};
use crate::notify::wait_long;

/// Would set a mark on the page if it ever became markup.
const EVIL: &str = "<img src=x onerror=hacked=1>";

/// What is wrong with a page, as a list of sentences.
pub(crate) const LOOK: &str = r#"(() => {
    const wrong = [];
    if (typeof hacked !== "undefined") wrong.push("a name became markup");
    if (document.images.length) wrong.push("an image");
    if (document.documentElement.scrollWidth > innerWidth) {
        wrong.push("the page scrolls sideways");
        for (const it of document.querySelectorAll("body *")) {
            const box = it.getBoundingClientRect();
            if (box.right > innerWidth + 1 && !it.closest(".scroll, nav, .vh, svg")) wrong.push("too wide: " + it.tagName + "." + it.className);
        }
    }
    if (document.querySelectorAll("h1").length !== 1) wrong.push("no single h1");
    for (const tag of ["header.top nav", "main#main", "footer"]) if (!document.querySelector(tag)) wrong.push("no " + tag);
    if (document.querySelector("a").className !== "skip") wrong.push("the skip link is not first");
    if (!document.querySelector("main").innerText.trim()) wrong.push("nothing to read");
    if (getComputedStyle(document.querySelector(".top")).display === "") wrong.push("no style");
    const ids = [...document.querySelectorAll("main [id]")].map(it => it.id);
    if (new Set(ids).size !== ids.length) wrong.push("an id twice: " + ids);
    for (const plot of document.querySelectorAll("main svg[role=img]")) {
        if (!plot.getAttribute("aria-label")) wrong.push("a plot without a name");
    }
    for (const it of document.querySelectorAll("a, button, input, select")) {
        const box = it.getBoundingClientRect();
        const inside = it.closest(".scroll, nav, details, dialog, .skip, svg");
        if (!inside && box.width && (box.left < 0 || box.right > innerWidth + 1)) wrong.push("cut off: " + it.textContent);
    }
    return JSON.stringify(wrong.slice(0, 9));
})()"#;

/// A Plimsoll with two services, one of which needs the other and fails at times, while somebody asks for both.
pub(crate) struct World {
    plimsoll: Plimsoll,
    home: Home,
    ended: Arc<AtomicBool>,
    _service: Service,
}

impl World {
    pub(crate) fn start() -> Self {
        let (service, home) = (Service::start(), Home::new());
        let down = free_address();
        let more = format!(
            "[service.other]\nowner = \"{EVIL}\"\nendpoints = [\"http://{down}\"]\ndepends_on = [\"service.app\"]\n\
             runbook = \"other.md\"\n\
             [service.other.objective.availability]\ntarget = \"99.9%\"\n\
             [service.app.objective.availability]\ntarget = \"99%\"\n\
             [service.app.objective.latency]\ntarget = \"99%\"\nbelow = \"20ms\"\n\
             [[route]]\nname = \"other\"\npath = \"/other/*\"\nservice = \"other\"\ntenant = \"x-key\"\n\
             [tenant.gold]\nkeys = [\"a-key-of-gold\"]\n"
        );
        let runbook =
            format!("# {EVIL}\n\n[x](javascript:hacked=1)\n\n```\nplimsoll {EVIL}\n```\n");
        std::fs::write(home.path("other.md"), runbook).unwrap();
        home.write(&config(&[service.address], "", &more));
        let plimsoll = home.run(&[]);
        let (ended, gateway) = (Arc::<AtomicBool>::default(), plimsoll.address());
        let until = Arc::clone(&ended);
        std::thread::spawn(move || {
            let paths = ["/", "/delay/30", "/status/500", "/other/x", "/%3Cb%3E"];
            for path in paths.into_iter().cycle() {
                let asked = TcpStream::connect(gateway).and_then(|mut stream| {
                    let request =
                        format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
                    stream.write_all(request.as_bytes())?;
                    stream.read_to_end(&mut Vec::new())
                });
                if until.load(Ordering::Relaxed) || asked.is_err() {
                    return;
                }
            }
        });
        Self {
            plimsoll,
            home,
            ended,
            _service: service,
        }
    }

    pub(crate) fn console(&self) -> SocketAddr {
        self.plimsoll.console()
    }

    pub(crate) fn plimsoll(&self) -> &Plimsoll {
        &self.plimsoll
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// Whether a service's page has something to show.
    pub(crate) fn is_busy(&self) -> bool {
        get(self.console(), "/services/app")
            .1
            .contains("class=\"stack\"")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn each_page_can_be_read_at_all_widths_and_none_says_a_word_of_error() {
    let world = World::start();
    let console = world.console();
    let set = ["degrade", "app", "shed", "1", "--for", "1h", "--why", EVIL];
    assert!(world.home.ask(&set).status.success());
    // What failed is always recorded, and its answer says under which id.
    let (_, answer) = ask(world.plimsoll.address(), "GET", "/other/%3Cb%3E", "");
    let body = answer.split_once("\r\n\r\n").unwrap().1;
    let problem: Value = serde_json::from_str(body).unwrap();
    let id = problem["id"].as_str().unwrap();
    wait_until("it is recorded", || {
        world.home.ask(&["explain", id]).status.success()
    });
    let mut incident = String::new();
    wait_long("somebody is called", || {
        let listed = world.home.ask(&["incident", "list", "--json"]).stdout;
        let first = listed.split(|byte| *byte == b'\n').next().unwrap();
        let first: Value = serde_json::from_slice(first).unwrap_or_default();
        incident = first["id"].to_string();
        let note = ["incident", "note", &incident, EVIL];
        first["id"].is_u64() && world.home.ask(&note).status.success()
    });
    let evil = "%3Cimg%20src%3Dx%20onerror%3Dhacked%3D1%3E";
    let pages = [
        "/".to_owned(),
        "/?show=attention".to_owned(),
        "/services/app".to_owned(),
        "/services/app?range=10m".to_owned(),
        "/services/app?range=28d".to_owned(),
        "/services/other".to_owned(),
        format!("/?owner={evil}"),
        format!("/requests/{id}"),
        "/decisions".to_owned(),
        format!("/decisions?text={evil}"),
        "/decisions/1".to_owned(),
        "/incidents".to_owned(),
        format!("/incidents/{incident}"),
        "/flags".to_owned(),
        "/approvals".to_owned(),
        "/topology".to_owned(),
        "/configuration".to_owned(),
        "/nothing".to_owned(),
    ];
    let mut browser = Browser::start(&world.home).await;
    for (place, page) in pages.iter().enumerate() {
        for (width, scheme) in [(390, "light"), (768, "dark"), (1_440, "light")] {
            browser.show(width, scheme).await;
            let url = format!("http://{console}{page}");
            tokio::time::timeout(TIME_MAX, browser.go(&url))
                .await
                .unwrap();
            let wrong = browser.ask(LOOK).await;
            assert_eq!(wrong, "[]", "{page} at {width}");
        }
        let (_, answer) = ask(console, "GET", page, "Accept: text/html\r\n");
        let policy =
            "content-security-policy: default-src 'none'; style-src 'self'; script-src 'self'";
        assert!(answer.contains(policy), "{answer}");
        assert!(
            !answer.contains("<img") && !answer.contains("a-key-of-gold"),
            "{page}: {answer}"
        );
        // The page that is not there is the one thing that a browser complains about.
        let complaints = std::mem::take(&mut browser.complaints);
        let expected = if page == "/nothing" { 3 } else { 0 };
        assert_eq!(complaints.len(), expected, "{place} {page}: {complaints:?}");
    }
}

#[tokio::test]
async fn a_page_is_live_can_be_gone_through_with_keys_and_says_when_nothing_comes_any_more() {
    let world = World::start();
    let mut browser = Browser::start(&world.home).await;
    browser.show(1_440, "light").await;
    browser.go(&format!("http://{}/", world.console())).await;
    browser
        .until("it is live", "document.body.classList.contains('is-live')")
        .await;
    let requests = "document.querySelector('#strip .facts').innerText";
    let before = browser.ask(requests).await;
    let changed = format!("{requests} !== {before}");
    browser.until("figures change", &changed).await;

    browser.press("j").await;
    let focused = "document.activeElement.closest('[data-key]').dataset.key";
    let first = browser.ask(focused).await;
    browser.press("j").await;
    let second = browser.ask(focused).await;
    assert_ne!(first, second);
    browser.press("k").await;
    assert_eq!(browser.ask(focused).await, first);
    // What has the focus keeps it while figures change under it.
    let before = browser.ask(requests).await;
    let changed = format!("{requests} !== {before}");
    browser.until("figures change again", &changed).await;
    assert_eq!(browser.ask(focused).await, first);
    browser.press("?").await;
    assert_eq!(
        browser.ask("document.getElementById('keys').open").await,
        true
    );
    browser.press("?").await;
    browser.press("/").await;
    assert_eq!(browser.ask("document.activeElement.id").await, "find");

    world.plimsoll.signal(rustix::process::Signal::STOP);
    let stale = "document.body.classList.contains('stale') && document.getElementById('now').innerText.includes('last data')";
    browser.until("it is called stale", stale).await;
    world.plimsoll.signal(rustix::process::Signal::CONT);
    browser
        .until(
            "it is live again",
            "!document.body.classList.contains('stale')",
        )
        .await;
    assert_eq!(browser.complaints, [] as [String; 0]);
}

#[test]
fn those_who_watch_and_never_read_take_no_memory() {
    let world = World::start();
    let memory = || {
        let (_, text) = get(world.plimsoll.ops(), "/metrics");
        metric(&text, "process_resident_memory_bytes", &[])
    };
    let events = |path: &str| {
        let mut stream = TcpStream::connect(world.console()).unwrap();
        let request = format!("GET /events?page={path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        stream
    };
    wait_until("there is something to see", || world.is_busy());
    let before = memory();
    let viewers: Vec<TcpStream> = (0..30).map(|_| events("/services/app")).collect();
    let second = || {
        let (_, text) = get(world.console(), "/api/v1/status");
        let now = text.split("\"now\":\"").nth(1).unwrap();
        now.get(..19).unwrap().to_owned()
    };
    // Four messages each would be some 12 MB, if they were kept.
    let mut seconds = std::collections::BTreeSet::new();
    wait_until("some time has passed", || {
        seconds.insert(second());
        seconds.len() > 8
    });
    let grown = memory() - before;
    assert!(grown < 24e6, "{grown} bytes");
    drop(viewers);
    assert_eq!(get(world.console(), "/").0, 200);
}
