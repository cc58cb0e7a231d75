//! What can be done about an incident from its page: a button for each deed in the head, and one for each step of the runbook.
//! Every one of them leads to a page that asks first; nothing is offered to whoever only reads.

use maud::{Markup, html};
use plimsoll_measure::{Incident, Snapshot};

use super::View;
use crate::access::Caller;
use crate::act::deed_path;
use crate::command::{self, Asked};
use crate::incident::DeedVerb;
use crate::problem::Problem;

/// Whether somebody may change a service; `None`: they only read.
fn allowed(
    snapshot: &Snapshot,
    who: Option<&Caller>,
    service: &str,
) -> Option<Result<(), Problem>> {
    let who = who.filter(|who| who.operates())?;
    Some(match owner(snapshot, service) {
        Some(owner) => who.may_change(service, owner),
        // It is in no configuration any more.
        None => who.may_change_all(),
    })
}

/// Whether somebody may do something about an incident; `None`: they only read.
pub(super) fn may_act(
    snapshot: &Snapshot,
    who: Option<&Caller>,
    incident: &Incident,
) -> Option<Result<(), Problem>> {
    let who = who.filter(|who| who.operates())?;
    Some(who.may_act(incident, owner(snapshot, &incident.service)))
}

/// The owner of a service; `None`: there is no such service.
fn owner<'a>(snapshot: &'a Snapshot, service: &str) -> Option<Option<&'a str>> {
    let mut services = snapshot.services.iter();
    let found = services.find(|it| it.name == service)?;
    Some(found.owner.as_deref())
}

fn word(verb: DeedVerb) -> &'static str {
    match verb {
        DeedVerb::Acknowledge => "Acknowledge…",
        DeedVerb::Note => "Note…",
        DeedVerb::HandOver => "Hand over…",
        DeedVerb::Silence => "Silence…",
        DeedVerb::Group => "Group…",
        DeedVerb::Resolve => "Resolve…",
    }
}

/// What can be done about it now: of what has ended only notes are taken.
pub(super) fn buttons(view: &View<'_>) -> Markup {
    let incident = view.incident;
    let verbs: &[DeedVerb] = match (incident.is_open(), &incident.acknowledged) {
        (false, _) => &[DeedVerb::Note],
        (true, None) => &[
            DeedVerb::Acknowledge,
            DeedVerb::Note,
            DeedVerb::HandOver,
            DeedVerb::Silence,
            DeedVerb::Group,
            DeedVerb::Resolve,
        ],
        (true, Some(_)) => &[
            DeedVerb::Note,
            DeedVerb::HandOver,
            DeedVerb::Silence,
            DeedVerb::Group,
            DeedVerb::Resolve,
        ],
    };
    html! { @for verb in verbs { (button(view, *verb, "")) } }
}

/// The button of a deed. `more`: a query that fills in what is known of it.
fn button(view: &View<'_>, verb: DeedVerb, more: &str) -> Markup {
    html! {
        @match &view.may {
            None => {}
            Some(Ok(())) => a.btn.does href={ (deed_path(view.incident.id, verb)) (more) } { (word(verb)) },
            Some(Err(problem)) => button.btn type="button" disabled title=(problem) { (word(verb)) },
        }
    }
}

/// Why an operator of other services can do nothing here.
pub(super) fn refusal(view: &View<'_>) -> Markup {
    html! { @if let Some(Err(problem)) = &view.may { p.s.q { (problem) } } }
}

/// What is done next, as the one button of the page that stands out.
pub(super) fn next(view: &View<'_>, verb: DeedVerb, more: &str) -> Markup {
    html! {
        @if let Some(Ok(())) = view.may {
            a.btn.go.does href={ (deed_path(view.incident.id, verb)) (more) } { (word(verb)) }
        }
    }
}

/// Beside a step of the runbook: what reads is shown, what changes is asked about, and what is neither says why.
pub(super) fn step(view: &View<'_>, line: &str) -> Markup {
    let asked = match command::read(line) {
        Ok(asked) => asked,
        Err(why) => return html! { span.s.q { "not from here: " (why) } },
    };
    let snapshot = &view.sight.snapshot;
    let who = view.sight.who.as_ref();
    let may = match &asked {
        Asked::Page(_) => return form(view, line, "Run", None),
        Asked::Set { service, .. } | Asked::End { service, .. } => allowed(snapshot, who, service),
        Asked::Act { incident, .. } => match view.known.get(*incident) {
            Some(incident) => may_act(snapshot, who, incident),
            None => {
                return html! { span.s.q { "not from here: there is no incident #" (incident) } };
            }
        },
    };
    match may {
        None => html! {},
        Some(may) => form(view, line, "Run…", may.err().as_ref()),
    }
}

fn form(view: &View<'_>, line: &str, word: &str, refused: Option<&Problem>) -> Markup {
    html! {
        @if let Some(problem) = refused {
            button.btn type="button" disabled title=(problem) { (word) }
        } @else {
            form method="post" action="/run" {
                input type="hidden" name="command" value=(line);
                input type="hidden" name="incident" value=(view.incident.id);
                button.btn.does aria-label={ (word) " " (line) } { (word) }
            }
        }
    }
}
