//! Goal: the page of a simulation can be read in a browser, wide and narrow, in both schemes.
//!
//! Method: Chromium without a screen, told what to do by the Chrome DevTools Protocol. It is asked where things
//! ended up, not what they look like.

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::child::{Home, TIME_MAX, program};

/// What is wrong with the place of something, as a list of sentences; and how many plots there are.
const LOOK: &str = r#"(() => {
    const wrong = [];
    const plots = [...document.querySelectorAll("svg.plot")];
    if (document.documentElement.scrollWidth > innerWidth) wrong.push("the page scrolls sideways");
    for (const plot of plots) {
        const name = plot.getAttribute("aria-label");
        const box = plot.getBoundingClientRect();
        if (box.width < 100 || box.height < 20) wrong.push("no room for: " + name);
        if (!name) wrong.push("a plot without a name");
        const texts = [...plot.querySelectorAll("text.lab-r")].map(it => it.getBoundingClientRect());
        for (const a of texts) for (const b of texts)
            if (a !== b && a.width && b.width && a.top < b.bottom - 3 && b.top < a.bottom - 3) wrong.push("labels overlap in: " + name);
        for (const text of plot.querySelectorAll(":scope > text")) {
            const at = text.getBoundingClientRect();
            if (at.width && (at.left < 0 || at.right > innerWidth)) wrong.push("cut off: " + text.textContent);
        }
    }
    return JSON.stringify({ wrong, plots: plots.length });
})()"#;

#[tokio::test]
async fn a_report_fits_screens_of_all_widths() {
    let home = Home::new();
    let (file, scenario) = (
        home.path("report.html").display().to_string(),
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../scenarios/slow-dependency.toml"
        ),
    );
    let written = program()
        .args(["simulate", scenario, "--seeds", "2", "--html", &file])
        .output()
        .unwrap();
    assert!(written.status.success(), "{written:?}");
    let mut browser = Browser::start(&home).await;
    for (width, scheme) in [(390, "light"), (760, "dark"), (1_440, "dark")] {
        let seen = tokio::time::timeout(TIME_MAX, look(&mut browser, &file, width, scheme));
        let seen = seen.await.unwrap();
        assert_eq!(seen["wrong"], json!([]), "{width} {scheme}");
        assert!(seen["plots"].as_u64().unwrap() >= 8, "{seen}");
    }
    assert_eq!(browser.complaints, [] as [String; 0]);
}

async fn look(browser: &mut Browser, file: &str, width: u32, scheme: &str) -> Value {
    browser.show(width, scheme).await;
    browser.go(&format!("file://{file}")).await;
    let text = browser.ask(LOOK).await;
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}
