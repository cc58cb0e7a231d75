//! What is asked before something is changed, and what is said after: plain forms, which work without script.
//!
//! An action says what it does, how things stand, what they come to, who will be written down, and which command does the same.
//! A new one is a value of [`Action`] and a handler that takes what its form sends (`act`).

use axum::http::StatusCode;
use maud::{Markup, html};

use super::{Page, Place, Section};
use crate::access::Caller;
use crate::overlay::WHY_MAX;
use crate::problem::Problem;
use crate::session::Key;
use crate::wire::Changed;

/// The name of the field that shows that a form is of this session.
pub(crate) const SEAL: &str = "seal";

/// Something that can be changed from a page.
pub(crate) struct Action {
    /// What it does, as a heading.
    pub(crate) title: String,
    /// What that means, in a few sentences.
    pub(crate) about: Markup,
    /// How things stand, in words.
    pub(crate) now: String,
    /// What they come to.
    pub(crate) then: String,
    pub(crate) fields: Vec<Field>,
    /// What is sent besides, as it is: a name and a value.
    pub(crate) hidden: Vec<(&'static str, String)>,
    /// The command line that does the same.
    pub(crate) command: String,
    /// The word on the button.
    pub(crate) submit: &'static str,
    /// Where it is sent.
    pub(crate) path: String,
    /// Where whoever changes their mind goes.
    pub(crate) back: Link,
}

/// A path of ours, and what is there.
#[derive(Clone)]
pub(crate) struct Link {
    pub(crate) path: String,
    pub(crate) name: String,
}

impl Link {
    /// To a request that waits for the approval of others.
    pub(crate) fn to_request(id: u64) -> Self {
        Self {
            path: super::approval_path(id),
            name: "To the request".to_owned(),
        }
    }
}

/// What is typed or chosen.
pub(crate) enum Field {
    /// One of a few: what is sent, and what that is.
    Choice {
        name: &'static str,
        label: &'static str,
        options: Vec<(String, String)>,
        chosen: Option<String>,
    },
    /// A line of text.
    Line {
        name: &'static str,
        label: &'static str,
        hint: &'static str,
        typed: String,
        chars_max: usize,
        is_needed: bool,
    },
    /// Lines of text.
    Text {
        name: &'static str,
        label: &'static str,
        hint: &'static str,
        typed: String,
        chars_max: usize,
    },
}

impl Field {
    /// Why it is done: every change has a reason.
    pub(crate) fn why(typed: Option<&str>) -> Self {
        Self::Line {
            name: "why",
            label: "Why",
            hint: "for whoever finds it in force, and for the journal",
            typed: typed.unwrap_or_default().to_owned(),
            chars_max: WHY_MAX,
            is_needed: true,
        }
    }

    /// Why it is done, where that may go without saying.
    pub(crate) fn maybe_why(typed: Option<&str>) -> Self {
        Self::Line {
            name: "why",
            label: "Why",
            hint: "may be left empty",
            typed: typed.unwrap_or_default().to_owned(),
            chars_max: WHY_MAX,
            is_needed: false,
        }
    }

    /// How long it lasts.
    pub(crate) fn length(typed: &str) -> Self {
        Self::Line {
            name: "for",
            label: "For how long",
            hint: "as 90s, 10m, 2h or 7d, which is the most; it ends by itself",
            typed: typed.to_owned(),
            chars_max: 16,
            is_needed: true,
        }
    }
}

/// The page that asks. `problem`: what was wrong with what was sent before.
pub(crate) fn form(action: &Action, by: &Caller, key: &Key, problem: Option<&Problem>) -> Page {
    let markup = html! {
        section.panel.pad.act aria-labelledby="act-title" {
            h1.wrap #act-title { (action.title) }
            div.lead { (action.about) }
            @if let Some(problem) = problem {
                p.callout.tone.severe.b #act-problem role="alert" { "Not done: " (problem) }
            }
            dl.pairs {
                div { dt { "Now" } dd { (action.now) } }
                div { dt { "Then" } dd { (action.then) } }
                div { dt { "Written down as" } dd { b { (by.name) } span.q { ", " (held(by)) } } }
            }
            form method="post" action=(action.path) {
                input type="hidden" name=(SEAL) value=(key.seal);
                @for (name, value) in &action.hidden { input type="hidden" name=(name) value=(value); }
                @for (place, field) in action.fields.iter().enumerate() { (drawn(field, place == 0, problem.is_some())) }
                div.btns {
                    button.btn.go { (action.submit) }
                    a.btn href=(action.back.path) { "Leave it" }
                }
            }
            div.same {
                p.s.q { "The same from a terminal:" }
                div.cmd { code { (action.command) } }
            }
        }
    };
    page(
        problem.map_or(StatusCode::OK, Problem::status),
        &action.title,
        markup,
    )
}

/// What somebody's token allows, in words.
pub(crate) fn held(by: &Caller) -> String {
    match by.owners.as_slice() {
        [] => format!("{} for all owners", by.role),
        owners => format!("{} for {}", by.role, owners.join(", ")),
    }
}

fn drawn(field: &Field, is_first: bool, was_wrong: bool) -> Markup {
    let described = was_wrong.then_some("act-problem");
    match field {
        Field::Choice {
            name,
            label,
            options,
            chosen,
        } => html! {
            fieldset aria-describedby=[described] {
                legend { (label) }
                @for (place, (value, says)) in options.iter().enumerate() {
                    label.pick {
                        input type="radio" name=(name) value=(value) required
                            checked[chosen.as_ref() == Some(value)] autofocus[is_first && place == 0];
                        span { b { (value) } " " (says) }
                    }
                }
            }
        },
        Field::Line {
            name,
            label,
            hint,
            typed,
            chars_max,
            is_needed,
        } => html! {
            label.field {
                span { b { (label) } " " span.s.q { (hint) } }
                input type="text" name=(name) value=(typed) maxlength=(chars_max) size=(if *chars_max > 64 { 64 } else { *chars_max })
                    required[*is_needed] autocomplete="off" autofocus[is_first] aria-describedby=[described];
            }
        },
        Field::Text {
            name,
            label,
            hint,
            typed,
            chars_max,
        } => html! {
            label.field {
                span { b { (label) } " " span.s.q { (hint) } }
                textarea name=(name) maxlength=(chars_max) rows="5" required autofocus[is_first] aria-describedby=[described] { (typed) }
            }
        },
    }
}

/// The page that says what was done, with the numbers of its records.
pub(crate) fn done(title: &str, changes: &[Changed], links: &[Link]) -> Page {
    let markup = html! {
        section.panel.pad.act role="status" aria-labelledby="act-title" {
            h1.wrap #act-title { (title) }
            @for change in changes {
                p.lead { (change.message) }
                @match change.journal {
                    Some(record) => p { "Journal number " a.b href={ "/decisions/" (record) } { "#" (record) } },
                    None => p.q { "It has no journal number yet." },
                }
                @if let Some(warning) = &change.warning { p.callout.tone.burning { (warning) } }
            }
            div.btns {
                @for (place, link) in links.iter().enumerate() {
                    a.btn.go[place == 0] href=(link.path) { (link.name) }
                }
            }
        }
    };
    page(StatusCode::OK, title, markup)
}

/// The page for a command that nothing comes of.
pub(crate) fn not_run(line: &str, why: &str) -> Page {
    let title = "The command was not run";
    let markup = html! {
        section.panel.pad.act aria-labelledby="act-title" {
            h1 #act-title { (title) }
            p.lead { (why) "." }
            div.cmd { code { (line) } }
            div.btns { a.btn href="/" { "To the fleet" } }
        }
    };
    page(StatusCode::UNPROCESSABLE_ENTITY, title, markup)
}

pub(super) fn page(status: StatusCode, title: &str, markup: Markup) -> Page {
    Page {
        status,
        title: title.to_owned(),
        place: Place::None,
        is_live: false,
        sections: vec![Section {
            id: "action",
            markup,
        }],
    }
}
