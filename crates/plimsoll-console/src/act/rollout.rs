//! What people do about a rollout: start, pause, resume, promote and abort it.

use axum::extract::rejection::FormRejection;
use axum::extract::{Form, Path, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use maud::html;
use plimsoll_measure::{RolloutView, figure};
use serde::Deserialize;

use super::{App, may_change, read};
use crate::access::{Caller, Role};
use crate::api::{found_rollout, in_time};
use crate::command;
use crate::control::Control;
use crate::page;
use crate::page::action::{Action, Field, Link};
use crate::problem::Problem;
use crate::rollout::{RolloutVerb, RolloutWanted};
use crate::session::Key;
use crate::visitor::Visitor;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/rollouts/{name}/{verb}", get(ask).post(act))
}

/// What is typed into the form.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    seal: String,
    why: Option<String>,
    /// As it was when the form was drawn.
    revision: Option<u64>,
}

/// The page that asks for something that can be done about a rollout.
pub(crate) fn roll_path(name: &str, verb: RolloutVerb) -> String {
    format!("{}/{verb}", page::rollout_path(name))
}

async fn ask(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((name, verb)): Path<(String, String)>,
    uri: Uri,
) -> Response {
    let asked = (|| {
        let (caller, key) = visitor.session()?;
        let (rollout, verb) = named(control.as_ref(), caller, &name, &verb)?;
        Ok(page::action::form(
            &action(&rollout, verb, None),
            caller,
            key,
            None,
        ))
    })();
    visitor.shown(asked, uri.path())
}

async fn act(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((name, verb)): Path<(String, String)>,
    uri: Uri,
    sent: Result<Form<Typed>, FormRejection>,
) -> Response {
    let begun = (|| {
        let typed = read(sent)?;
        let caller = visitor.sealed(&typed.seal)?;
        let (rollout, verb) = named(control.as_ref(), caller, &name, &verb)?;
        let again = action(&rollout, verb, typed.why.as_deref());
        let wanted = RolloutWanted {
            why: typed.why,
            revision: typed.revision,
            ..RolloutWanted::default()
        };
        Ok((caller, rollout, verb, again, wanted.check(verb)))
    })();
    let (caller, rollout, verb, again, deed) = match begun {
        Ok(begun) => begun,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let changed = match deed {
        Ok(deed) => in_time(control.roll(caller, &rollout.name, deed)).await,
        Err(problem) => Err(problem),
    };
    let page = changed.map(|changed| {
        let name = &rollout.name;
        let (title, links) = match changed.approval {
            Some(id) => (
                format!("{name}: {verb} waits for approval"),
                vec![link(name), Link::to_request(id)],
            ),
            None => (format!("{name}: {verb} is done"), vec![link(name)]),
        };
        page::action::done(&title, &[changed], &links)
    });
    let asked_again = |caller: &Caller, key: &Key, problem: &Problem| {
        page::action::form(&again, caller, key, Some(problem))
    };
    visitor.acted(page, uri.path(), asked_again)
}

/// Which rollout, and what is to be done about it; a problem for whoever may not.
fn named(
    control: &dyn Control,
    caller: &Caller,
    name: &str,
    verb: &str,
) -> Result<(RolloutView, RolloutVerb), Problem> {
    caller.needs(Role::Operator)?;
    let rollout = found_rollout(control, name)?;
    may_change(control, caller, &rollout.service)?;
    let verb = verb.parse().map_err(Problem::not_found)?;
    Ok((rollout, verb))
}

fn link(name: &str) -> Link {
    Link {
        path: page::rollout_path(name),
        name: "To the rollout".to_owned(),
    }
}

/// The weight of the next step, if there is one.
fn next(rollout: &RolloutView) -> Option<f64> {
    let next = rollout.step.map_or(0, |step| step + 1);
    rollout.steps.get(next).map(|it| it.weight)
}

fn action(rollout: &RolloutView, verb: RolloutVerb, why: Option<&str>) -> Action {
    let RolloutView {
        name,
        service,
        version,
        ..
    } = rollout;
    let first = rollout.steps.first().map(|step| step.weight);
    let (title, about, then, submit) = match verb {
        RolloutVerb::Start => (
            format!("Start {name}"),
            html! { p { (version) " gets its first share of the requests of " (service) ", and more with each step, for as long as nothing speaks against it. If it is worse than the other it is undone by itself." } },
            format!("{version} gets {}", figure::percent(first, " ")),
            "Start it",
        ),
        RolloutVerb::Pause => (
            format!("Pause {name}"),
            html! { p { (version) " keeps the share that it has. It is judged all the same, and undone if it is worse." } },
            "it gets no more until somebody lets it go on".to_owned(),
            "Pause it",
        ),
        RolloutVerb::Resume => (
            format!("Let {name} go on"),
            html! { p { "It goes on by its steps. After a strike the version gets at once what it had." } },
            "it goes on".to_owned(),
            "Let it go on",
        ),
        RolloutVerb::Advance => (
            format!("Take the next step of {name}"),
            html! { p { "Now, and whatever holds it but a freeze. What the version does is judged from there on as before." } },
            match next(rollout) {
                Some(weight) => format!("{version} gets {}", figure::percent(Some(weight), " ")),
                None => format!("{version} is promoted: it gets all"),
            },
            "Take it",
        ),
        RolloutVerb::StepBack => (
            format!("Take back a step of {name}"),
            html! { p { (version) " gets what it had in the step before, and stays there until somebody lets it go on." } },
            "one step back, and paused".to_owned(),
            "Take it back",
        ),
        RolloutVerb::Promote => (
            format!("Promote {name}"),
            html! { p { (version) " gets all requests of " (service) " now, whatever is known. What the steps would have shown is not waited for." } },
            format!("{version} gets all"),
            "Promote it",
        ),
        RolloutVerb::Abort => (
            format!("Undo {name}"),
            html! { p { (version) " gets no requests of " (service) " from now on. It can be started anew." } },
            format!("{version} gets nothing"),
            "Undo it",
        ),
    };
    Action {
        title,
        about,
        now: rollout.says.clone(),
        then,
        fields: vec![Field::why(why)],
        hidden: vec![("revision", rollout.revision.to_string())],
        command: command::roll(name, verb, why),
        submit,
        path: roll_path(name, verb),
        back: link(name),
    }
}
