//! `POST /run`: a command line as runbooks have it, asked for from a page.
//!
//! Nothing is changed here, so it is for whoever may see pages: one that reads is shown at once, one that changes leads to the
//! page that asks first, which has its own checks.

use axum::extract::Form;
use axum::extract::rejection::FormRejection;
use axum::response::Response;
use axum::routing::post;
use axum::{Extension, Router};
use serde::Deserialize;

use super::{App, deed_path, end_path, read, see, set_path};
use crate::command::{self, Asked};
use crate::console::framed;
use crate::page;
use crate::visitor::Visitor;

pub(super) fn routes() -> Router<App> {
    Router::new().route("/run", post(run))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    command: String,
    /// The incident beside which it stands, in the runbook.
    incident: Option<u64>,
}

async fn run(
    Extension(visitor): Extension<Visitor>,
    sent: Result<Form<Line>, FormRejection>,
) -> Response {
    let Line { command, incident } = match read(sent) {
        Ok(sent) => sent,
        Err(problem) => return visitor.refused(&problem, "/"),
    };
    match command::read(&command) {
        Ok(asked) => see(&path_of(&asked, incident)),
        Err(why) => framed(&visitor, &page::action::not_run(&command, &why), "/"),
    }
}

/// Where what a command asks for is shown, or asked about. What is set or ended from a runbook is noted on the incident.
fn path_of(asked: &Asked, incident: Option<u64>) -> String {
    let number = |number: Option<u64>| number.map(|it| it.to_string());
    let incident = ("incident", number(incident));
    match asked {
        Asked::Page(path) => path.clone(),
        Asked::End { service, verb } => with(end_path(service, *verb), [incident]),
        Asked::Set {
            service,
            verb,
            wanted,
        } => {
            let level = wanted.level.as_ref().map(ToString::to_string);
            let given = [
                ("level", level),
                ("mode", wanted.mode.clone()),
                ("for", wanted.lasts.clone()),
                ("why", wanted.why.clone()),
                incident,
            ];
            with(set_path(service, *verb), given)
        }
        Asked::Act {
            incident,
            verb,
            wanted,
        } => {
            let given = [
                ("to", wanted.to.clone()),
                ("note", wanted.note.clone()),
                ("into", number(wanted.into)),
                ("for", wanted.lasts.clone()),
                ("why", wanted.why.clone()),
            ];
            with(deed_path(*incident, *verb), given)
        }
    }
}

/// A path with what is given as its query.
fn with<const N: usize>(path: String, given: [(&str, Option<String>); N]) -> String {
    let given = given
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", page::segment(&value?))));
    let query: Vec<String> = given.collect();
    match query.is_empty() {
        true => path,
        false => format!("{path}?{}", query.join("&")),
    }
}
