//! What is around every page: its head, the navigation, the foot.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use plimsoll_measure::Snapshot;
use plimsoll_plot::SYMBOLS;

use super::parts::{clock, segment, time};
use super::{Page, Place};
use crate::access::Caller;
use crate::assets::{ICON, SCRIPT, STYLE};

/// Seconds between two loads of a page that changes, where there is no script.
const REFRESH_SECONDS: u32 = 30;

/// A page in its frame. `watch` is what its script asks for to be told of changes.
pub(crate) fn framed(
    page: &Page,
    snapshot: Option<&Snapshot>,
    who: Option<&Caller>,
    watch: &str,
) -> String {
    let instance = snapshot.map_or("Plimsoll", |snapshot| snapshot.instance.as_str());
    let next = format!("/sign-in?next={}", segment(watch));
    let watch = page.is_live.then_some(watch);
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if page.is_live {
                    noscript { meta http-equiv="refresh" content=(REFRESH_SECONDS); }
                }
                title { (page.title) " · " (instance) " · Plimsoll" }
                link rel="icon" type="image/svg+xml" href=(ICON.path());
                link rel="stylesheet" href=(STYLE.path());
                script src=(SCRIPT.path()) defer {}
            }
            body data-watch=[watch] {
                (PreEscaped(SYMBOLS))
                a.skip href="#main" { "Skip to content" }
                (top(page, snapshot, who, &next))
                main #main tabindex="-1" {
                    @for section in &page.sections {
                        div.live-part id=(section.id) { (section.markup) }
                    }
                }
                @if let Some(snapshot) = snapshot { (foot(snapshot)) }
                (keys())
            }
        }
    };
    document.into_string()
}

fn top(page: &Page, snapshot: Option<&Snapshot>, who: Option<&Caller>, sign_in: &str) -> Markup {
    let (place, is_live) = (page.place, page.is_live);
    let open = snapshot.map_or(0, |it| it.incidents.len());
    let waiting = snapshot.map_or(0, |it| it.approvals.len());
    let pages = [
        ("/", "Fleet", Place::Fleet),
        ("/decisions", "Decisions", Place::Decisions),
        ("/incidents", "Incidents", Place::Incidents),
        ("/rollouts", "Rollouts", Place::Rollouts),
        ("/flags", "Flags", Place::Flags),
        ("/approvals", "Approvals", Place::Approvals),
        ("/topology", "Topology", Place::Topology),
        ("/configuration", "Configuration", Place::Configuration),
    ];
    html! {
        header.top { div {
            a.brand href="/" { (logo()) "Plimsoll" }
            nav aria-label="Pages" { ul {
                @for (path, name, of) in pages {
                    li { a href=(path) aria-current=[(of == place).then_some("page")] {
                        (name)
                        @if of == Place::Incidents && open > 0 { " " span.pip aria-label={ (open) " open" } { (open) } }
                        @if of == Place::Approvals && waiting > 0 { " " span.pip aria-label={ (waiting) " waiting" } { (waiting) } }
                    } }
                }
            } }
            div.meta {
                @if let Some(snapshot) = snapshot {
                    span.opt { (snapshot.instance) }
                    span #now data-live=[is_live.then_some("")] {
                        svg.live viewBox="0 0 8 8" aria-hidden="true" { circle cx="4" cy="4" r="4" fill="currentColor" {} }
                        span.state { "as of" } " " (time(snapshot.now)) span.opt { " UTC" }
                    }
                    a.opt href="/#find" { kbd { "/" } " find" }
                }
                @match who {
                    Some(who) => a.me href="/sign-in" title=(who.name) { (who.name) span.opt { " · " (who.role.name()) } },
                    None => a href=(sign_in) { "Sign in" },
                }
            }
        } }
    }
}

fn logo() -> Markup {
    html! {
        svg viewBox="0 0 34 20" aria-hidden="true" {
            circle cx="17" cy="10" r="7.5" fill="none" stroke="currentColor" stroke-width="2.2" {}
            path d="M2 10h30" stroke="currentColor" stroke-width="2.2" {}
        }
    }
}

fn foot(snapshot: &Snapshot) -> Markup {
    let config = &snapshot.config;
    let hash: String = config.hash.chars().take(12).collect();
    let record = snapshot
        .journal
        .as_ref()
        .and_then(|journal| journal.last_sequence);
    html! {
        footer.foot {
            span {
                "Plimsoll " (snapshot.version) " · configuration " (hash) " in force since " (clock(config.loaded_at)) " UTC"
                @if let Some(record) = record { " · journal at #" (record) }
            }
            a href="/api/v1/status" { "JSON" }
            a href="/api/v1/openapi.json" { "API" }
        }
    }
}

/// What the script shows for `?`.
fn keys() -> Markup {
    let keys = [
        ("/", "find a service"),
        ("g f", "fleet"),
        ("g i", "incidents"),
        ("g d", "decisions"),
        ("g r", "rollouts"),
        ("g l", "flags"),
        ("g a", "approvals"),
        ("g t", "topology"),
        ("g c", "configuration"),
        ("j k", "next and previous row"),
        ("Enter", "open the row"),
        ("?", "this list"),
        ("Esc", "close"),
    ];
    html! {
        dialog #keys.panel aria-labelledby="keys-title" {
            div.head { h2 #keys-title { "Keys" } form.end method="dialog" { button.btn { "Close" } } }
            dl.keys { @for (key, does) in keys { div { dt { kbd { (key) } } dd { (does) } } } }
        }
    }
}
