//! Goal: what a page says can be read, and what it offers can be reached, by people who see less or have no mouse.
//!
//! Method: Chromium computes the contrast of each text against what is behind it, in light and dark; and goes through each
//! page with the Tab key alone. While it does, Plimsoll is stopped, so that nothing changes under it.
//! Source: WCAG 2.2, 1.4.3 (contrast), 1.4.11 (of a focus ring), 2.1.1 and 2.4.3 (keyboard, order), 2.4.7 (focus visible).

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::child::wait_until;
use crate::console_pages::World;

/// All pages but those of one request and one record.
const PAGES: [&str; 10] = [
    "/",
    "/?show=attention",
    "/services/app",
    "/services/other",
    "/decisions",
    "/flags",
    "/approvals",
    "/topology",
    "/configuration",
    "/nothing",
];

/// Texts with too little contrast, as a list of sentences. Images behind texts (hatches) are not looked at.
const CONTRAST: &str = r#"(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    const rgba = color => {
        canvas.clearRect(0, 0, 1, 1);
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
        return [r, g, b, a / 255];
    };
    const over = ([r, g, b, a], below) => [r, g, b].map((it, place) => it * a + below[place] * (1 - a));
    const linear = it => (it /= 255) <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4;
    const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((a, b) => a - b);
        return (high + 0.05) / (low + 0.05);
    };
    const behind = it => {
        const layers = [];
        for (; it; it = it.parentElement) layers.push(rgba(getComputedStyle(it).backgroundColor));
        return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const wrong = new Map();
    let seen = 0;
    while (texts.nextNode()) {
        const text = texts.currentNode.textContent.trim(), it = texts.currentNode.parentElement;
        if (!text || ["SCRIPT", "STYLE", "NOSCRIPT", "TITLE", "DESC", "title", "desc"].includes(it.tagName)) continue;
        if (it.closest(".vh, :disabled") || !it.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue;
        const range = document.createRange();
        range.selectNodeContents(texts.currentNode);
        if (!range.getClientRects().length) continue;
        seen += 1;
        const style = getComputedStyle(it), below = behind(it);
        const color = rgba(it.closest("svg") ? style.fill : style.color);
        for (let up = it; up; up = up.parentElement) color[3] *= getComputedStyle(up).opacity;
        const size = parseFloat(style.fontSize);
        const least = size >= 24 || (size >= 18.66 && style.fontWeight >= 700) ? 3 : 4.5;
        const found = ratio(over(color, below), below);
        if (found < least) {
            const where = `${it.tagName}.${it.getAttribute("class") || it.parentElement.getAttribute("class")}`;
            wrong.set(where, `${where} "${text.slice(0, 30)}": ${found.toFixed(2)}`);
        }
    }
    return JSON.stringify(seen > 5 ? [...wrong.values()].slice(0, 12) : ["there is next to no text"]);
})()"#;

/// Makes all texts a grey that is too light on white, and too dark on black.
const PALE: &str =
    "document.querySelectorAll('body *').forEach(it => it.style.color = it.style.fill = '#777')";

/// Takes the rings away.
const RINGLESS: &str =
    "document.querySelectorAll('body *').forEach(it => it.style.outline = 'none')";

/// Notes what is to be reached by Tab, in the order of the document.
const TO_REACH: &str = r#"(() => {
    const all = document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex='0']");
    window.reach = [...all].filter(it => !it.disabled && !it.closest("dialog:not([open])") && it.checkVisibility());
    window.wrong = [];
    document.activeElement.blur();
    return window.reach.length;
})()"#;

/// Which of them has the focus; notes what is wrong with how that looks. -1: something else has it, such as what scrolls.
const REACHED: &str = r#"(() => {
    const it = document.activeElement, place = window.reach.indexOf(it);
    if (place < 0) return -1;
    const style = getComputedStyle(it), box = it.getBoundingClientRect();
    const has_ring = it.matches(":focus-visible") && style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2
        && !/, 0\)$/.test(style.outlineColor);
    const name = `${it.tagName} "${(it.textContent || it.getAttribute("aria-label") || it.name || "").trim().slice(0, 30)}"`;
    if (!has_ring) window.wrong.push(`no ring: ${name}`);
    const seen = box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    if (!seen) window.wrong.push(`out of sight: ${name}`);
    return place;
})()"#;

#[tokio::test]
async fn each_text_stands_out_from_what_is_behind_it_in_light_and_dark() {
    let world = World::start();
    wait_until("there is something to see", || world.is_busy());
    let mut browser = Browser::start(world.home()).await;
    let mut wrong = Vec::new();
    for page in PAGES {
        for (width, scheme) in [
            (1_440, "light"),
            (1_440, "dark"),
            (390, "light"),
            (390, "dark"),
        ] {
            browser.show(width, scheme).await;
            let url = format!("http://{}{page}", world.console());
            browser.go(&url).await;
            let found = browser.ask(CONTRAST).await;
            if found != "[]" {
                wrong.push(format!("{page} at {width}, {scheme}: {found}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // It would be seen.
    browser.ask(PALE).await;
    assert_ne!(browser.ask(CONTRAST).await, "[]");
}

#[tokio::test]
async fn everything_is_reached_with_the_tab_key_in_order_and_shows_that_it_is() {
    let world = World::start();
    wait_until("there is something to see", || world.is_busy());
    let mut browser = Browser::start(world.home()).await;
    browser.show(1_440, "light").await;
    for page in PAGES {
        browser
            .go(&format!("http://{}{page}", world.console()))
            .await;
        world.plimsoll().signal(Signal::STOP);
        let count = browser.ask(TO_REACH).await.as_u64().unwrap();
        assert!(count > 5, "{page}: {count}");
        let mut reached: Vec<i64> = Vec::new();
        // What scrolls has the focus in between.
        for _ in 0..4 * count {
            press_tab(&mut browser).await;
            let place = browser.ask(REACHED).await.as_i64().unwrap();
            if place == 0 && !reached.is_empty() {
                break;
            }
            if place >= 0 {
                reached.push(place);
            }
            if reached.len() as u64 == count {
                break;
            }
        }
        let wrong = browser.ask("JSON.stringify(window.wrong)").await;
        world.plimsoll().signal(Signal::CONT);
        let expected: Vec<i64> = (0..count.try_into().unwrap()).collect();
        assert_eq!(reached, expected, "{page}");
        assert_eq!(wrong, "[]", "{page}");
    }
    // It would be seen.
    browser.ask(RINGLESS).await;
    for _ in 0..3 {
        // After the last comes the browser itself.
        press_tab(&mut browser).await;
        browser.ask(REACHED).await;
    }
    let wrong = browser.ask("JSON.stringify(window.wrong)").await;
    assert!(wrong.as_str().unwrap().contains("no ring"), "{wrong}");
}

async fn press_tab(browser: &mut Browser) {
    for kind in ["rawKeyDown", "keyUp"] {
        let event: Value =
            json!({ "type": kind, "key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9 });
        browser.call("Input.dispatchKeyEvent", event).await;
    }
}
