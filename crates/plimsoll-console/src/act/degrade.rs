//! What is set of a service for a while, and ended early: shedding, no retries, no hedges, the governor's mode.

use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Path, Query, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use axum::{Extension, Router};
use maud::html;
use plimsoll_measure::Snapshot;
use serde::Deserialize;

use super::{App, incident, may_change, read};
use crate::access::Caller;
use crate::api::in_time;
use crate::command;
use crate::overlay::{Setting, SettingWanted, Verb};
use crate::page;
use crate::page::action::{Action, Field, Link};
use crate::problem::Problem;
use crate::session::Key;
use crate::visitor::Visitor;

/// All that degrades a service, in the place of a verb.
const ALL: &str = "all";
/// How long it lasts where nobody says otherwise.
const LENGTH: &str = "10m";

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/services/{name}/set/{verb}", get(ask_set).post(set))
        .route("/services/{name}/end/{verb}", get(ask_end).post(end))
}

/// What is typed into the form, or what a link fills in.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    seal: Option<String>,
    level: Option<String>,
    mode: Option<String>,
    #[serde(rename = "for")]
    lasts: Option<String>,
    why: Option<String>,
    /// The incident whose runbook has it.
    incident: Option<u64>,
}

/// What ends something is sent with.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    seal: Option<String>,
    /// The incident whose runbook has it.
    incident: Option<u64>,
}

impl Typed {
    fn wanted(&self) -> SettingWanted {
        SettingWanted {
            level: self.level.clone().map(SettingWanted::level_of),
            mode: self.mode.clone(),
            lasts: self.lasts.clone(),
            why: self.why.clone(),
            break_glass: false,
        }
    }
}

async fn ask_set(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((service, verb)): Path<(String, String)>,
    uri: Uri,
    typed: Result<Query<Typed>, QueryRejection>,
) -> Response {
    let asked = (|| {
        let (caller, key) = visitor.session()?;
        may_change(control.as_ref(), caller, &service)?;
        let verb = verb.parse::<Verb>().map_err(Problem::not_found)?;
        let Query(typed) = typed.map_err(|_| Problem::bad_request("the address can't be read"))?;
        let action = setting(&control.snapshot(), &service, verb, &typed);
        Ok(page::action::form(&action, caller, key, None))
    })();
    visitor.shown(asked, uri.path_and_query().map_or("/", |it| it.as_str()))
}

async fn set(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((service, verb)): Path<(String, String)>,
    uri: Uri,
    sent: Result<Form<Typed>, FormRejection>,
) -> Response {
    let begun = (|| {
        let typed = read(sent)?;
        let caller = visitor.sealed(typed.seal.as_deref().unwrap_or_default())?;
        may_change(control.as_ref(), caller, &service)?;
        let verb = verb.parse::<Verb>().map_err(Problem::not_found)?;
        Ok((typed, caller, verb))
    })();
    let (typed, caller, verb) = match begun {
        Ok(begun) => begun,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let changed = match typed.wanted().check(verb) {
        Ok(setting) => {
            let setting = Setting {
                from_runbook: typed.incident.is_some(),
                ..setting
            };
            in_time(control.set(caller, &service, setting)).await
        }
        Err(problem) => Err(problem),
    };
    let page = match changed {
        Ok(changed) => {
            let waits = changed.approval;
            let mut changes = vec![changed];
            if let Some(id) = typed.incident.filter(|_| waits.is_none()) {
                let command = command::set(&service, verb, &typed.wanted());
                incident::note_run(control.as_ref(), caller, id, &command, &mut changes).await;
            }
            let what = verb_in_words(verb);
            let (title, next) = match waits {
                Some(id) => (
                    format!("{service}: {what} waits for approval"),
                    Link::to_request(id),
                ),
                None => {
                    let end = Link {
                        path: end_path(&service, Some(verb)),
                        name: "End it early…".to_owned(),
                    };
                    (format!("{service}: {what} is set"), end)
                }
            };
            let links = [back(&service, typed.incident), next];
            Ok(page::action::done(&title, &changes, &links))
        }
        Err(problem) => Err(problem),
    };
    let asked_again = |caller: &Caller, key: &Key, problem: &Problem| {
        let action = setting(&control.snapshot(), &service, verb, &typed);
        page::action::form(&action, caller, key, Some(problem))
    };
    visitor.acted(page, uri.path(), asked_again)
}

async fn ask_end(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((service, verb)): Path<(String, String)>,
    uri: Uri,
    asked: Result<Query<Ended>, QueryRejection>,
) -> Response {
    let asked = (|| {
        let (caller, key) = visitor.session()?;
        may_change(control.as_ref(), caller, &service)?;
        let Query(asked) = asked.map_err(|_| Problem::bad_request("the address can't be read"))?;
        let verb = verb_of(&verb)?;
        let action = ending(&control.snapshot(), &service, verb, asked.incident);
        Ok(page::action::form(&action, caller, key, None))
    })();
    visitor.shown(asked, uri.path_and_query().map_or("/", |it| it.as_str()))
}

async fn end(
    State(control): State<App>,
    Extension(visitor): Extension<Visitor>,
    Path((service, verb)): Path<(String, String)>,
    uri: Uri,
    sent: Result<Form<Ended>, FormRejection>,
) -> Response {
    let begun = (|| {
        let sent = read(sent)?;
        let caller = visitor.sealed(sent.seal.as_deref().unwrap_or_default())?;
        may_change(control.as_ref(), caller, &service)?;
        Ok((caller, verb_of(&verb)?, sent.incident))
    })();
    let (caller, verb, incident) = match begun {
        Ok(begun) => begun,
        Err(problem) => return visitor.refused(&problem, uri.path()),
    };
    let verbs = match verb {
        Some(verb) => vec![verb],
        None => held(&control.snapshot(), &service, None),
    };
    let mut changes = Vec::new();
    let mut failed = verbs.is_empty().then(|| nothing_held(&service));
    for verb in verbs {
        match in_time(control.end(caller, &service, verb)).await {
            Ok(changed) => changes.push(changed),
            // The others are ended: it says which one is not.
            Err(problem) => {
                failed = Some(Problem::new(problem.status(), format!("{verb}: {problem}")));
            }
        }
    }
    if let Some(id) = incident.filter(|_| !changes.is_empty()) {
        let command = command::end(&service, verb);
        incident::note_run(control.as_ref(), caller, id, &command, &mut changes).await;
    }
    let page = match failed {
        Some(problem) => Err(problem),
        None => {
            let title = format!("{service}: {} is ended", said(verb));
            Ok(page::action::done(
                &title,
                &changes,
                &[back(&service, incident)],
            ))
        }
    };
    let asked_again = |caller: &Caller, key: &Key, problem: &Problem| {
        let action = ending(&control.snapshot(), &service, verb, incident);
        page::action::form(&action, caller, key, Some(problem))
    };
    visitor.acted(page, uri.path(), asked_again)
}

pub(crate) fn set_path(service: &str, verb: Verb) -> String {
    format!("{}/set/{verb}", page::service_path(service))
}

pub(crate) fn end_path(service: &str, verb: Option<Verb>) -> String {
    let verb = verb.map_or(ALL, Verb::name);
    format!("{}/end/{verb}", page::service_path(service))
}

/// Where whoever came goes back to: the service, or the incident whose runbook led here.
fn back(service: &str, incident: Option<u64>) -> Link {
    incident.map_or_else(
        || Link {
            path: page::service_path(service),
            name: "To the service".to_owned(),
        },
        incident::link,
    )
}

fn hidden(incident: Option<u64>) -> Vec<(&'static str, String)> {
    let hidden = incident.map(|id| ("incident", id.to_string()));
    hidden.into_iter().collect()
}

/// `None`: all that degrades it.
fn verb_of(text: &str) -> Result<Option<Verb>, Problem> {
    match text {
        ALL => Ok(None),
        verb => verb.parse().map(Some).map_err(Problem::not_found),
    }
}

/// What people hold of a service: this, or all that degrades it.
fn held(snapshot: &Snapshot, service: &str, verb: Option<Verb>) -> Vec<Verb> {
    let entries = snapshot.overlay.iter().filter(|it| it.service == service);
    let verbs = entries.filter_map(|it| it.verb.parse().ok());
    let wanted = |it: &Verb| verb.map_or(*it != Verb::GovernorMode, |verb| verb == *it);
    verbs.filter(wanted).collect()
}

fn nothing_held(service: &str) -> Problem {
    Problem::not_found(format!("nothing is set of {service}: it has ended already"))
}

/// How it stands with a service, as far as this verb goes: what people hold, and what the governor does.
fn now(snapshot: &Snapshot, service: &str, verb: Verb) -> String {
    let entries = snapshot.overlay.iter();
    let mut mine = entries.filter(|it| it.service == service && it.verb == verb.name());
    let services = snapshot.services.iter();
    let governed = services
        .filter(|it| it.name == service)
        .find_map(|it| it.governed.as_ref());
    let actuator = match verb {
        Verb::Shed => "shed",
        Verb::NoRetries => "retry",
        Verb::NoHedges => "hedge",
        Verb::ReadOnly => "read-only",
        Verb::Brownout => "brownout",
        Verb::GovernorMode => "",
    };
    let moved = governed.and_then(|it| it.moved.iter().find(|it| it.actuator == actuator));
    let mut said = match (mine.next(), verb, governed) {
        (Some(entry), ..) => entry.sentence(),
        (None, Verb::GovernorMode, Some(governed)) => {
            format!("the governor's mode is {}", governed.mode.name())
        }
        (None, ..) => "nothing is held by people".to_owned(),
    };
    if let Some(moved) = moved {
        said.push_str(&format!("; by the governor {}", moved.says));
    }
    said
}

fn verb_in_words(verb: Verb) -> &'static str {
    match verb {
        Verb::Shed => "shedding",
        Verb::NoRetries => "no retries",
        Verb::NoHedges => "no hedges",
        Verb::ReadOnly => "read-only",
        Verb::Brownout => "brownout",
        Verb::GovernorMode => "the governor's mode",
    }
}

fn said(verb: Option<Verb>) -> &'static str {
    verb.map_or("all that degrades it", verb_in_words)
}

/// The action that sets something.
fn setting(snapshot: &Snapshot, service: &str, verb: Verb, typed: &Typed) -> Action {
    let (title, about, then) = match verb {
        Verb::Shed => (
            format!("Refuse classes of {service}"),
            html! { p { "The less important requests are answered with 503, so that what is left is served. The further of this and what the governor decides holds. It is in force at once, under " code.n { "--observe" } " too." } },
            "requests are refused as chosen below; class critical never is",
        ),
        Verb::NoRetries => (
            format!("Make no retries to {service}"),
            html! { p { "Attempts that fail are not made again: a service that is down for load is left alone, and clients see more of what fails." } },
            "each request is tried once",
        ),
        Verb::NoHedges => (
            format!("Make no hedges to {service}"),
            html! { p { "No second attempt is made beside a slow one: the service has less to do, and slow answers stay slow." } },
            "no second attempts beside slow ones",
        ),
        Verb::ReadOnly => (
            format!("Let {service} be read only"),
            html! { p { "What would change something is refused with 503 and a time to come back; " code.n { "GET" } " and the other safe methods pass. Nothing of a refused request reaches the service." } },
            "only what changes nothing is let in",
        ),
        Verb::Brownout => (
            format!("Leave out what is optional of {service}"),
            html! { p { "The service is told in " code.n { "Plimsoll-Brownout" } " which features to leave out, and routes that are one of these answer with their fallback. The features and their order are in the configuration (" code.n { "degrade.brownout" } ")." } },
            "the first features of its list are left out for all users",
        ),
        Verb::GovernorMode => (
            format!("Set the governor's mode of {service}"),
            html! { p { "Whether the governor acts on this service, in the place of what the configuration says. What it had moved under another mode is taken back. It never does more than the service's own mode allows." } },
            "the governor's mode is as chosen below",
        ),
    };
    let option = |(value, says): (&str, &str)| (value.to_owned(), says.to_owned());
    let mut fields = Vec::new();
    match verb {
        Verb::Shed => fields.push(Field::Choice {
            name: "level",
            label: "What is refused",
            options: [
                ("1", "half of class sheddable"),
                ("2", "sheddable"),
                ("3", "sheddable, and half of standard"),
                ("4", "all but critical"),
            ]
            .map(option)
            .into(),
            chosen: typed.level.clone(),
        }),
        Verb::GovernorMode => fields.push(Field::Choice {
            name: "mode",
            label: "The governor's mode",
            options: [
                ("enforce", "it decides and acts"),
                ("observe", "it decides and says so, and moves nothing"),
                ("off", "it decides nothing"),
            ]
            .map(option)
            .into(),
            chosen: typed.mode.clone(),
        }),
        Verb::Brownout => fields.push(Field::Line {
            name: "level",
            label: "How many features",
            hint: "1 is the first of the list alone",
            typed: typed.level.clone().unwrap_or_default(),
            chars_max: 2,
            is_needed: true,
        }),
        Verb::NoRetries | Verb::NoHedges | Verb::ReadOnly => (),
    }
    let mut wanted = typed.wanted();
    let lasts = wanted.lasts.get_or_insert_with(|| LENGTH.to_owned());
    fields.push(Field::length(lasts));
    fields.push(Field::why(typed.why.as_deref()));
    Action {
        title,
        about,
        now: now(snapshot, service, verb),
        then: then.to_owned(),
        fields,
        hidden: hidden(typed.incident),
        command: command::set(service, verb, &wanted),
        submit: "Set it",
        path: set_path(service, verb),
        back: back(service, typed.incident),
    }
}

/// The action that ends something.
fn ending(snapshot: &Snapshot, service: &str, verb: Option<Verb>, incident: Option<u64>) -> Action {
    let entries = snapshot.overlay.iter().filter(|it| it.service == service);
    let held = held(snapshot, service, verb);
    let mine = entries.filter(|it| held.iter().any(|verb| verb.name() == it.verb));
    let sentences: Vec<String> = mine.map(|it| it.sentence()).collect();
    let now = match sentences.as_slice() {
        [] => "nothing of this is held: there is nothing to end".to_owned(),
        sentences => sentences.join("; "),
    };
    Action {
        title: format!("End {} of {service} early", said(verb)),
        about: html! { p { "What a person set is taken back. What the governor decided by itself stays." } },
        now,
        then: "as the configuration says, and as the governor decides".to_owned(),
        fields: Vec::new(),
        hidden: hidden(incident),
        command: command::end(service, verb),
        submit: "End it",
        path: end_path(service, verb),
        back: back(service, incident),
    }
}
