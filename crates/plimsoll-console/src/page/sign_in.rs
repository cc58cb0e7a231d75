//! `/sign-in`: a token is typed once; after that it says who is signed in.

use axum::http::StatusCode;
use maud::html;

use super::Page;
use super::action::{SEAL, held, page};
use crate::access::Caller;
use crate::problem::Problem;
use crate::session::{Key, LENGTH_MAX};

/// The form. `next`: where to go then. `problem`: why it is needed, or what was wrong.
pub(crate) fn form(next: &str, problem: Option<&Problem>) -> Page {
    let markup = html! {
        section.panel.pad.act aria-labelledby="act-title" {
            h1 #act-title { "Sign in" }
            @if let Some(problem) = problem {
                p.callout.tone.severe.b #act-problem role="alert" { (problem) }
            }
            form method="post" action="/sign-in" {
                input type="hidden" name="next" value=(next);
                // Not sent: what a keeper of passwords files the token under.
                input type="text" value="plimsoll" autocomplete="username" hidden;
                label.field {
                    span { b { "Token" } " " span.s.q { "as " code { "plimsoll token create" } " printed it" } }
                    input type="password" name="token" size="64" maxlength="512" required autofocus autocomplete="current-password"
                        spellcheck="false" aria-describedby=[problem.map(|_| "act-problem")];
                }
                div.btns { button.btn.go { "Sign in" } }
            }
            p.s.q {
                "The browser keeps a random number, not the token. It is good for " (LENGTH_MAX.as_secs() / 3_600)
                " hours, until you sign out, or until the token is revoked or expires."
            }
            div.same {
                p.s.q { "An administrator makes a token:" }
                div.cmd { code { "plimsoll token create NAME --role operator --owner TEAM --for 90d" } }
            }
        }
    };
    let status = problem.map_or(StatusCode::OK, Problem::status);
    page(status, "Sign in", markup)
}

/// Who is signed in, and the way out.
pub(crate) fn signed_in(by: &Caller, key: &Key) -> Page {
    let markup = html! {
        section.panel.pad.act aria-labelledby="act-title" {
            h1 #act-title { "Signed in" }
            dl.pairs {
                div { dt { "As" } dd { b { (by.name) } } }
                div { dt { "May" } dd { (held(by)) } }
            }
            form method="post" action="/sign-out" {
                input type="hidden" name=(SEAL) value=(key.seal);
                div.btns {
                    button.btn.go { "Sign out" }
                    a.btn href="/" { "To the fleet" }
                }
            }
        }
    };
    page(StatusCode::OK, "Signed in", markup)
}
