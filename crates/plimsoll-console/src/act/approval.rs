//! What is said to a request for approval: it is approved, refused or withdrawn.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use maud::html;
use plimsoll_measure::ApprovalView;
use serde::Deserialize;

use super::{App, read};
use crate::access::{Caller, Role};
use crate::api::{approval_id, in_time, no_approval};
use crate::approval::{ApprovalVerb, ApprovalWanted};
use crate::command;
use crate::control::Control;
use crate::page;
use crate::page::action::{Action, Field, Link};
use crate::problem::Problem;
use crate::session::Key;
use crate::visitor::Visitor;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/approvals/{id}/{answer}", get(ask).post(act))
}

/// The page that asks for an answer to a request.
pub(crate) fn approval_path(id: u64, verb: ApprovalVerb) -> String {
    format!("{}/{verb}", page::approval_path(id))
}

/// What is typed into the form, and what it was of.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    seal: Option<String>,
    content: Option<String>,
    why: Option<String>,
}

async fn ask(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((id, verb)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let asked = (|| {
        let (caller, key) = visitor.session()?;
        let (it, verb) = named(control.as_ref(), caller, &id, &verb)?;
        let action = action(&it, verb, &Typed::default());
        Ok(page::action::form(&action, caller, key, None))
    })();
    visitor.shown(asked, uri.path_and_query().map_or("/", |it| it.as_str()))
}

async fn act(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((id, verb)): Path<(String, String)>,
    uri: Uri,
    sent: Result<Form<Typed>, FormRejection>,
) -> Response {
    let begun = (|| {
        let typed = read(sent)?;
        let caller = visitor.sealed(typed.seal.as_deref().unwrap_or_default())?;
        let (it, verb) = named(control.as_ref(), caller, &id, &verb)?;
        Ok((typed, caller, it, verb))
    })();
    let (typed, caller, it, verb) = match begun {
        Ok(begun) => begun,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let wanted = ApprovalWanted {
        content: typed.content.clone(),
        why: typed.why.clone().filter(|_| verb == ApprovalVerb::Refuse),
    };
    let changed = match wanted.check(verb) {
        Ok(answered) => in_time(control.answer_approval(caller, it.id, answered)).await,
        Err(problem) => Err(problem),
    };
    let page = changed.map(|changed| {
        let done = match verb {
            ApprovalVerb::Approve => "approved",
            ApprovalVerb::Refuse => "refused",
            ApprovalVerb::Withdraw => "withdrawn",
        };
        let links = [back(it.id), all()];
        page::action::done(&format!("#{}: {done}", it.id), &[changed], &links)
    });
    let asked_again = |caller: &Caller, key: &Key, problem: &Problem| {
        page::action::form(&action(&it, verb, &typed), caller, key, Some(problem))
    };
    visitor.acted(page, uri.path(), asked_again)
}

/// Which request, and what is to be said to it. Whoever may change nothing is not told what there is.
fn named(
    control: &dyn Control,
    caller: &Caller,
    id: &str,
    verb: &str,
) -> Result<(ApprovalView, ApprovalVerb), Problem> {
    caller.needs(Role::Operator)?;
    let verb = verb.parse::<ApprovalVerb>().map_err(Problem::not_found)?;
    if verb != ApprovalVerb::Withdraw {
        caller.needs(Role::Approver)?;
    }
    let id = approval_id(id)?;
    let known = control.approvals();
    let found = known.iter().find(|it| it.id == id).cloned();
    Ok((found.ok_or_else(|| no_approval(id))?, verb))
}

fn back(id: u64) -> Link {
    Link {
        path: page::approval_path(id),
        name: "To the request".to_owned(),
    }
}

fn all() -> Link {
    Link {
        path: "/approvals".to_owned(),
        name: "All approvals".to_owned(),
    }
}

fn action(it: &ApprovalView, verb: ApprovalVerb, typed: &Typed) -> Action {
    let of = format!("#{}: {}", it.id, it.says);
    let (title, then, fields, submit) = match verb {
        ApprovalVerb::Approve => {
            let then = match it.missing {
                0 | 1 => format!("it is done at once, in the name of {}", it.by),
                more => format!("{} more person has to approve it", more - 1),
            };
            (format!("Approve {of}"), then, Vec::new(), "Approve it")
        }
        ApprovalVerb::Refuse => (
            format!("Refuse {of}"),
            "it is not done, and does not wait any more".to_owned(),
            vec![Field::why(typed.why.as_deref())],
            "Refuse it",
        ),
        ApprovalVerb::Withdraw => (
            format!("Withdraw {of}"),
            "it is not done, and does not wait any more".to_owned(),
            Vec::new(),
            "Withdraw it",
        ),
    };
    Action {
        title,
        about: html! {
            p { b { (it.by) } @if let Some(why) = &it.why { " wants it: " (why) } @else { " wants it." } }
            ul.effect { @for line in &it.effect { li { (line) } } }
        },
        now: match it.state.as_str() {
            "waiting" => format!("it waits for {}", it.needs()),
            _ => it.came.clone(),
        },
        then,
        fields,
        // What is approved is what was shown.
        hidden: vec![("content", it.content.clone())],
        command: command::answer(it.id, verb, typed.why.as_deref(), &it.content),
        submit,
        path: approval_path(it.id, verb),
        back: back(it.id),
    }
}
