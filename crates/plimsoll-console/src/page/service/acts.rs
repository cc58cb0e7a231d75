//! What can be done about a service: for whoever may, a button for each action; every one of them asks first.

use maud::{Markup, html};
use plimsoll_measure::{ServiceView, Snapshot};

use crate::access::Caller;
use crate::act::{end_path, set_path};
use crate::overlay::Verb;
use crate::page::parts::{Ending, ending};

/// Nothing for whoever only reads; for an operator of other services, what is missing.
pub(super) fn acts(snapshot: &Snapshot, service: &ServiceView, who: Option<&Caller>) -> Markup {
    let Some(who) = who.filter(|who| who.operates()) else {
        return html! {};
    };
    let refused = who.may_change(&service.name, service.owner.as_deref());
    let verbs = [
        (Verb::Shed, "Shed…"),
        (Verb::NoRetries, "No retries…"),
        (Verb::NoHedges, "No hedges…"),
        (Verb::ReadOnly, "Read-only…"),
        (Verb::Brownout, "Brownout…"),
        (Verb::GovernorMode, "Governor's mode…"),
    ];
    let governed = service.governed.as_ref();
    let has_features = governed.is_some_and(|it| it.brownout.is_some());
    let verbs = verbs
        .into_iter()
        .filter(|(verb, _)| *verb != Verb::Brownout || has_features);
    let entries = snapshot.overlay.iter();
    let mine: Vec<_> = entries.filter(|it| it.service == service.name).collect();
    html! {
        section.acts aria-label="Actions" {
            div.btns {
                @for (verb, word) in verbs {
                    @match refused {
                        Ok(()) => a.btn href=(set_path(&service.name, verb)) { (word) },
                        Err(_) => button.btn type="button" disabled { (word) },
                    }
                }
                @for entry in &mine { (ending(entry, Some(who), service.owner.as_deref(), Ending::Named)) }
                @if mine.len() > 1 && refused.is_ok() { a.btn href=(end_path(&service.name, None)) { "End all…" } }
            }
            @if let Err(problem) = refused { p.s.q { (problem) } }
            p.lost.s.tone.burning { "Nothing new comes from Plimsoll: serving goes on as it was, and nothing here can act until it is back." }
        }
    }
}
