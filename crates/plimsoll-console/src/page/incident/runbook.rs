//! What the people of a service wrote down for this, beside the incident.

use maud::{Markup, html};

use super::{View, deeds};
use crate::control::Runbook;
use crate::page::markdown;

pub(super) fn runbook(view: &View<'_>) -> Markup {
    let is_page = |url: &str| {
        let begins = |scheme: &str| {
            let begin = url.get(..scheme.len());
            begin.is_some_and(|begin| begin.eq_ignore_ascii_case(scheme))
        };
        begins("http://") || begins("https://")
    };
    html! {
        section.panel aria-labelledby="runbook-title" {
            div.head { h2 #runbook-title { "Runbook" } span.end.s.q { @if let Some(Runbook::Text { name, .. } | Runbook::Unreadable { name, .. }) = &view.sight.runbook { (name) } } }
            @match &view.sight.runbook {
                Some(Runbook::Text { text, .. }) => { div.rb { (markdown::drawn(text, &|line| deeds::step(view, line))) } }
                Some(Runbook::Link(url)) if is_page(url) => {
                    p.pad { a rel="noopener noreferrer" href=(url) { (url) } }
                }
                Some(Runbook::Link(url)) => { p.pad.q { code { (url) } } }
                Some(Runbook::Unreadable { why, .. }) => {
                    p.pad.tone.burning.b { "It can't be shown: " (why) ". Mend it, then " code { "plimsoll reload" } "." }
                }
                None => {
                    p.pad.q {
                        "This service has none. Write what to do into a Markdown file beside the configuration, and name it: "
                        code { "[service." (view.incident.service) "] runbook = \"runbooks/" (view.incident.service) ".md\"" } "."
                    }
                }
            }
        }
    }
}
