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

use super::{App, end_path, read, see, set_path};
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
}

async fn run(
    Extension(visitor): Extension<Visitor>,
    sent: Result<Form<Line>, FormRejection>,
) -> Response {
    let line = match read(sent) {
        Ok(sent) => sent.command,
        Err(problem) => return visitor.refused(&problem, "/"),
    };
    match command::read(&line) {
        Ok(asked) => see(&path_of(&asked)),
        Err(why) => framed(&visitor, &page::action::not_run(&line, &why), "/"),
    }
}

/// Where what a command asks for is shown, or asked about.
fn path_of(asked: &Asked) -> String {
    match asked {
        Asked::Page(path) => path.clone(),
        Asked::End { service, verb } => end_path(service, *verb),
        Asked::Set {
            service,
            verb,
            wanted,
        } => {
            let level = wanted.level.as_ref().map(ToString::to_string);
            let given = [
                ("level", level.as_deref()),
                ("mode", wanted.mode.as_deref()),
                ("for", wanted.lasts.as_deref()),
                ("why", wanted.why.as_deref()),
            ];
            let given = given
                .into_iter()
                .filter_map(|(key, value)| Some(format!("{key}={}", page::segment(value?))));
            let query: Vec<String> = given.collect();
            format!("{}?{}", set_path(service, *verb), query.join("&"))
        }
    }
}
