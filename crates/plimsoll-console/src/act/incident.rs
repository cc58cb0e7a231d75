//! What people do about an incident: acknowledge it, note something, hand it over, silence it, say to which it belongs,
//! resolve it; and the draft of the review after it, as a text.

use std::sync::Arc;

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Form, Path, Query, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use maud::{Markup, html};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Incident, Incidents, figure};
use serde::Deserialize;

use super::{App, read};
use crate::access::{Caller, Role};
use crate::api::{in_time, incident_id, may_act};
use crate::command;
use crate::control::Control;
use crate::incident::{DeedVerb, DeedWanted, NOTE_MAX};
use crate::page;
use crate::page::action::{Action, Field, Link};
use crate::problem::Problem;
use crate::session::Key;
use crate::visitor::Visitor;
use crate::wire::{Changed, NAME_BYTES_MAX};

/// How long nobody is told of it where nobody says otherwise.
const LENGTH: &str = "30m";
/// A note of 2,000 characters is 24,000 bytes in a form at most.
const FORM_BYTES_MAX: usize = 32 << 10;
/// Others that an incident may belong to and that are named.
const OTHERS_MAX: usize = 8;

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/incidents/{id}/review", get(review))
        .route("/incidents/{id}/{deed}", get(ask).post(act))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

/// What is typed into the form, or what a link fills in.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    seal: Option<String>,
    to: Option<String>,
    note: Option<String>,
    into: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    why: Option<String>,
}

impl Typed {
    /// What a field is left empty for is not said.
    fn wanted(&self) -> Result<DeedWanted, Problem> {
        let said = |text: &Option<String>| text.clone().filter(|it| !it.trim().is_empty());
        let into = said(&self.into);
        Ok(DeedWanted {
            to: said(&self.to),
            note: said(&self.note),
            into: into.map(|into| number(&into)).transpose()?,
            lasts: said(&self.lasts),
            why: said(&self.why),
        })
    }
}

/// As it is shown, `#4711`, or without the mark.
fn number(text: &str) -> Result<u64, Problem> {
    let text = text.trim();
    incident_id(text.strip_prefix('#').unwrap_or(text))
        .map_err(|problem| Problem::invalid(problem.to_string()))
}

async fn ask(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((id, deed)): Path<(String, String)>,
    uri: Uri,
    typed: Result<Query<Typed>, QueryRejection>,
) -> Response {
    let asked = (|| {
        let (caller, key) = visitor.session()?;
        let (known, id, verb) = named(control.as_ref(), caller, &id, &deed)?;
        let Query(typed) = typed.map_err(|_| Problem::bad_request("the address can't be read"))?;
        let action = action(&known, control.snapshot().now, id, verb, &typed)?;
        Ok(page::action::form(&action, caller, key, None))
    })();
    visitor.shown(asked, uri.path_and_query().map_or("/", |it| it.as_str()))
}

async fn act(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((id, deed)): Path<(String, String)>,
    uri: Uri,
    sent: Result<Form<Typed>, FormRejection>,
) -> Response {
    let begun = (|| {
        let typed = read(sent)?;
        let caller = visitor.sealed(typed.seal.as_deref().unwrap_or_default())?;
        let (known, id, verb) = named(control.as_ref(), caller, &id, &deed)?;
        let now = control.snapshot().now;
        // What is asked again, if it comes to that: it is of this moment.
        let again = action(&known, now, id, verb, &typed)?;
        let deed = typed.wanted().and_then(|it| it.check(verb, now));
        Ok((caller, id, verb, again, deed))
    })();
    let (caller, id, verb, again, deed) = match begun {
        Ok(begun) => begun,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let changed = match deed {
        Ok(deed) => in_time(control.act(caller, id, deed)).await,
        Err(problem) => Err(problem),
    };
    let page = changed.map(|changed| {
        let mut links = vec![link(id)];
        if verb == DeedVerb::Resolve {
            links.push(Link {
                path: review_path(id),
                name: "Draft of the review".to_owned(),
            });
        }
        page::action::done(&format!("#{id}: {}", done(verb)), &[changed], &links)
    });
    let asked_again = |caller: &Caller, key: &Key, problem: &Problem| {
        page::action::form(&again, caller, key, Some(problem))
    };
    visitor.acted(page, uri.path(), asked_again)
}

/// The draft of the review after it, in Markdown: a text, which a browser shows and keeps under a name of its own.
async fn review(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<String>,
    uri: Uri,
) -> Response {
    let written = match incident_id(&id) {
        Ok(id) => in_time(control.review(id)).await.map(|text| (id, text)),
        Err(problem) => Err(problem),
    };
    let (id, text) = match written {
        Ok(written) => written,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let mut response = text.into_response();
    let name = format!("inline; filename=\"review-{id}.md\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    response
}

/// Which incident, and what is to be done about it; a problem for whoever may not. Whoever may change nothing is not told
/// what there is.
fn named(
    control: &dyn Control,
    caller: &Caller,
    id: &str,
    deed: &str,
) -> Result<(Arc<Incidents>, u64, DeedVerb), Problem> {
    caller.needs(Role::Operator)?;
    let id = incident_id(id)?;
    may_act(control, caller, id)?;
    let verb = deed.parse().map_err(Problem::not_found)?;
    Ok((control.incidents()?, id, verb))
}

/// The page that asks for something that can be done about an incident.
pub(crate) fn deed_path(id: u64, verb: DeedVerb) -> String {
    format!("{}/{verb}", page::incident_path(id))
}

/// The draft of the review after it.
pub(crate) fn review_path(id: u64) -> String {
    format!("{}/review", page::incident_path(id))
}

/// Notes on an incident what somebody ran from its runbook, beside what came of that. Where that can't be noted it is said:
/// the change is made all the same.
pub(super) async fn note_run(
    control: &dyn Control,
    caller: &Caller,
    id: u64,
    command: &str,
    changes: &mut Vec<Changed>,
) {
    let records: Vec<String> = changes
        .iter()
        .filter_map(|it| Some(format!("#{}", it.journal?)))
        .collect();
    let records = match records.as_slice() {
        [] => String::new(),
        records => format!(" ({})", records.join(", ")),
    };
    let note = format!("ran from the runbook{records}: {command}");
    let wanted = DeedWanted {
        note: Some(note.chars().take(NOTE_MAX).collect()),
        ..DeedWanted::default()
    };
    let deed = may_act(control, caller, id)
        .and_then(|()| wanted.check(DeedVerb::Note, control.snapshot().now));
    let noted = match deed {
        Ok(deed) => in_time(control.act(caller, id, deed)).await,
        Err(problem) => Err(problem),
    };
    match (noted, changes.last_mut()) {
        (Ok(noted), _) => changes.push(noted),
        (Err(problem), Some(change)) => {
            let said = format!("it is not noted on incident #{id}: {problem}");
            change.warning = Some(match change.warning.take() {
                Some(warning) => format!("{warning}; {said}"),
                None => said,
            });
        }
        (Err(_), None) => (),
    }
}

pub(super) fn link(id: u64) -> Link {
    Link {
        path: page::incident_path(id),
        name: "To the incident".to_owned(),
    }
}

fn done(verb: DeedVerb) -> &'static str {
    match verb {
        DeedVerb::Acknowledge => "acknowledged",
        DeedVerb::HandOver => "handed over",
        DeedVerb::Note => "noted",
        DeedVerb::Resolve => "resolved",
        DeedVerb::Group => "belongs to another",
        DeedVerb::Silence => "silenced",
    }
}

/// How it stands with an incident, as far as people are concerned.
fn stands(incident: &Incident, now: Timestamp) -> String {
    let mut said = match (&incident.resolved, &incident.acknowledged) {
        (Some(it), _) => format!("{} resolved it: {}", it.by, it.why),
        (None, _) if !incident.is_open() => "it has ended by itself".to_owned(),
        (None, Some(it)) => {
            let since = figure::clock(it.at, 5);
            format!("{} works on it since {since} UTC", it.by)
        }
        (None, None) => "nobody has acknowledged it".to_owned(),
    };
    if let Some(to) = &incident.handed_over_to {
        said.push_str(&format!("; it is with {to}"));
    }
    if let Some(into) = incident.group {
        said.push_str(&format!("; it belongs to #{into}"));
    }
    if let Some(until) = incident.silenced_until.filter(|_| incident.is_silent(now)) {
        let until = until.to_rfc3339().replace('T', " ");
        said.push_str(&format!(
            "; silent until {} UTC",
            until.get(..16).unwrap_or_default()
        ));
    }
    said
}

fn action(
    known: &Incidents,
    now: Timestamp,
    id: u64,
    verb: DeedVerb,
    typed: &Typed,
) -> Result<Action, Problem> {
    let incident = known.get(id);
    let incident = incident.ok_or_else(|| Problem::not_found("it is not known any more"))?;
    let service = &incident.service;
    let of = format!("#{id} of {service}");
    let line = |name, label, hint, typed: &Option<String>, chars_max| Field::Line {
        name,
        label,
        hint,
        typed: typed.clone().unwrap_or_default(),
        chars_max,
        is_needed: true,
    };
    let why = typed.why.as_deref();
    let mut typed = typed.clone();
    let (title, about, then, fields, submit) = match verb {
        DeedVerb::Acknowledge => (
            format!("Acknowledge {of}"),
            html! { p { "You work on it. Nobody is called for the same again; for what gets worse they are." } },
            "you work on it",
            Vec::new(),
            "Acknowledge it",
        ),
        DeedVerb::Note => (
            format!("Note something about {of}"),
            html! { p { "For others who look at it now, and for the review. It can be done after its end too." } },
            "your note is in the timeline",
            vec![Field::Text {
                name: "note",
                label: "What",
                hint: "up to 2,000 characters",
                typed: typed.note.clone().unwrap_or_default(),
                chars_max: NOTE_MAX,
            }],
            "Note it",
        ),
        DeedVerb::HandOver => (
            format!("Hand {of} over"),
            html! { p { "Those who are called for them hear of it; those who were called before hear that it was handed over. Where no notifier is for them, those stay called. It ends a silence." } },
            "it is with them, and waits for an acknowledgement again",
            vec![
                line(
                    "to",
                    "To whom",
                    "an owner or a team",
                    &typed.to,
                    NAME_BYTES_MAX,
                ),
                Field::maybe_why(why),
            ],
            "Hand it over",
        ),
        DeedVerb::Silence => {
            let lasts = typed.lasts.get_or_insert_with(|| LENGTH.to_owned());
            (
                format!("Silence {of}"),
                html! { p { "Nobody is told of it for so long, but of what gets worse and of what is new. When that is over and it still burns, they are. Its end is told to those who were told that it began." } },
                "nobody is told of it",
                vec![Field::length(lasts), Field::why(why)],
                "Silence it",
            )
        }
        DeedVerb::Group => (
            format!("Say to which incident {of} belongs"),
            html! {
                p { "The cause is the same, and it is worked on there: an acknowledgement or a silence of that one holds for both." }
                (others(known, id))
            },
            "it belongs to the one below",
            vec![
                line("into", "To which", "its number", &typed.into, 20),
                Field::maybe_why(why),
            ],
            "Group them",
        ),
        DeedVerb::Resolve => (
            format!("Resolve {of}"),
            html! { p { "It is over, whatever is still open: those who were told that it began are told that it has ended. If it burns on for 5 minutes, or again, or gets worse, somebody is called anew: that is another incident." } },
            "it has ended",
            vec![Field::why(why)],
            "Resolve it",
        ),
    };
    Ok(Action {
        title,
        about,
        now: stands(incident, now),
        then: then.to_owned(),
        fields,
        hidden: Vec::new(),
        // What can't be read is asked for again.
        command: command::act(id, verb, &typed.wanted().unwrap_or_default()),
        submit,
        path: deed_path(id, verb),
        back: link(id),
    })
}

/// Those that it may belong to.
fn others(known: &Incidents, id: u64) -> Markup {
    let others = known
        .open()
        .filter(|it| it.id != id && it.group.is_none())
        .take(OTHERS_MAX);
    let others: Vec<&Incident> = others.collect();
    html! {
        @if !others.is_empty() {
            p { "Open now: " @for (place, it) in others.iter().enumerate() { @if place > 0 { ", " } a href=(page::incident_path(it.id)) { "#" (it.id) } " " (it.service) } "." }
        }
    }
}
