//! What is changed from pages: first a page that asks, then a form that is sent, then a page with the journal number.
//!
//! Nothing is changed by GET, and nothing without a session: its form holds a word that no other site knows, on top of the
//! checks on `Host`, `Origin` and `SameSite`. What is asked for goes the way of the control API, with its checks.
//!
//! A new action is a file here: its routes, a page that asks by [`crate::page::action::form`], and a handler that begins with
//! [`read`] and [`Visitor::sealed`] and ends with [`Visitor::acted`].

mod approval;
mod degrade;
mod incident;
mod rollout;
mod run;

pub(crate) use approval::approval_path;
pub(crate) use degrade::{end_path, set_path};
pub(crate) use incident::{deed_path, review_path};
pub(crate) use rollout::roll_path;

use std::sync::Arc;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::access::{Caller, Role};
use crate::console::framed;
use crate::control::Control;
use crate::page::{self, Page};
use crate::problem::Problem;
use crate::session::Key;
use crate::visitor::Visitor;

type App = Arc<dyn Control>;

/// No form sends more: a reason of 500 characters is 6,000 bytes at most.
const FORM_BYTES_MAX: usize = 8 << 10;

pub(crate) fn routes() -> Router<App> {
    approval::routes()
        .merge(degrade::routes())
        .merge(incident::routes())
        .merge(rollout::routes())
        .merge(run::routes())
        .merge(crate::sign_in::routes())
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
}

/// What a form sent; a problem in plain words where it can't be read.
pub(crate) fn read<T>(sent: Result<Form<T>, FormRejection>) -> Result<T, Problem> {
    match sent {
        Ok(Form(sent)) => Ok(sent),
        Err(rejection) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "the form is too large",
        )),
        Err(rejection) => Err(Problem::new(
            rejection.status(),
            "the form can't be read: load the page again and send it anew",
        )),
    }
}

/// Goes on to a page, by GET.
pub(crate) fn see(path: &str) -> Response {
    match HeaderValue::from_str(path) {
        Ok(location) => (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response(),
        Err(_) => StatusCode::SEE_OTHER.into_response(),
    }
}

/// A form without fields of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sealed {
    pub(crate) seal: String,
}

impl Visitor {
    /// Who sent a form: it must be of their session.
    pub(crate) fn sealed(&self, seal: &str) -> Result<&Caller, Problem> {
        let (caller, key) = self.session()?;
        if key.sealed(seal) {
            return Ok(caller);
        }
        Err(Problem::forbidden(
            "this form is of another session: load the page again and send it anew",
        ))
    }

    /// What is shown where something is not done.
    fn refused(&self, problem: &Problem, path: &str) -> Response {
        let page = match problem.is_unauthorized() {
            true => page::sign_in::form(path, Some(problem)),
            false => page::refusal(problem),
        };
        framed(self, &page, "/")
    }

    /// The page, or why there is none.
    fn shown(&self, asked: Result<Page, Problem>, path: &str) -> Response {
        match asked {
            Ok(page) => framed(self, &page, "/"),
            Err(problem) => self.refused(&problem, path),
        }
    }

    /// What came of it; where nothing did, the form again with what was typed and the reason.
    fn acted(
        &self,
        page: Result<Page, Problem>,
        path: &str,
        asked_again: impl FnOnce(&Caller, &Key, &Problem) -> Page,
    ) -> Response {
        match (page, self.session()) {
            (Err(problem), Ok((caller, key))) => {
                framed(self, &asked_again(caller, key, &problem), "/")
            }
            (page, _) => self.shown(page, path),
        }
    }
}

/// Refuses whoever may not change this service. Whoever may change nothing is not told what there is.
pub(crate) fn may_change(
    control: &dyn Control,
    caller: &Caller,
    service: &str,
) -> Result<(), Problem> {
    caller.needs(Role::Operator)?;
    let owner = control.owner(service)?;
    caller.may_change(service, owner.as_deref())
}
