//! Who came in, and by what: a token in the head of the request, or the session of a browser.

use std::sync::Arc;

use axum::http::HeaderMap;
use plimsoll_measure::Snapshot;
use tokio::time::Instant;

use crate::access::Caller;
use crate::api::Who;
use crate::control::Control;
use crate::guard;
use crate::problem::Problem;
use crate::session::{Digest, Key, Sessions, digest_of};

/// Whoever a request is of. Nobody is turned away by making one: what it is for decides on that.
#[derive(Clone)]
pub(crate) struct Visitor {
    control: Arc<dyn Control>,
    sessions: Arc<Sessions>,
    pass: Pass,
    /// Who it was as the request came.
    pub(crate) who: Who,
    /// Whether even reading is for those with a token only.
    pub(crate) reads_need_token: bool,
}

/// What shows who somebody is.
#[derive(Clone)]
enum Pass {
    None,
    Token(Digest),
    Session(Key),
}

impl Visitor {
    /// `reads`: it changes nothing. `has_pages`: it is for a browser, so that a session counts whatever it does.
    pub(crate) fn of(
        headers: &HeaderMap,
        (control, sessions): (&Arc<dyn Control>, &Arc<Sessions>),
        (reads, has_pages): (bool, bool),
        reads_need_token: bool,
    ) -> Self {
        let (pass, who) = Self::pass(headers, control, sessions, (reads, has_pages));
        Self {
            control: Arc::clone(control),
            sessions: Arc::clone(sessions),
            pass,
            who,
            reads_need_token,
        }
    }

    fn pass(
        headers: &HeaderMap,
        control: &Arc<dyn Control>,
        sessions: &Sessions,
        (reads, has_pages): (bool, bool),
    ) -> (Pass, Who) {
        let missing = match guard::bearer(headers) {
            Ok(secret) => return (Pass::Token(digest_of(secret)), control.caller(secret)),
            Err(missing) => missing,
        };
        let now = Instant::now();
        if (reads || has_pages)
            && let Some(key) = sessions.find(headers, now)
        {
            let who = holder(control, sessions, &key, now);
            return (Pass::Session(key), who);
        }
        // A browser sends a password with whatever any site has it send: it is for reading only.
        match guard::password(headers).filter(|_| reads) {
            Some(secret) => (Pass::Token(digest_of(&secret)), control.caller(&secret)),
            None => (Pass::None, Err(missing)),
        }
    }

    /// Who it is by now: a token may have been revoked since, a session may have ended.
    pub(crate) fn still(&self) -> Who {
        match &self.pass {
            Pass::None => self.who.clone(),
            Pass::Token(token) => self.control.holder(token),
            Pass::Session(key) => holder(&self.control, &self.sessions, key, Instant::now()),
        }
    }

    /// Who has the session that the request is of.
    ///
    /// # Errors
    /// There is none, or it has ended: forms need one.
    pub(crate) fn session(&self) -> Result<(&Caller, &Key), Problem> {
        match (&self.pass, &self.who) {
            (Pass::Session(key), Ok(caller)) => Ok((caller, key)),
            (Pass::Session(_), Err(problem)) => Err(problem.clone()),
            _ => Err(Problem::unauthorized("this needs you to be signed in")),
        }
    }

    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.control.snapshot()
    }

    pub(crate) fn sessions(&self) -> &Sessions {
        &self.sessions
    }
}

/// Whose session it is. One whose token is not valid any more ends.
fn holder(control: &Arc<dyn Control>, sessions: &Sessions, key: &Key, now: Instant) -> Who {
    let Some(token) = sessions.token(key, now) else {
        return Err(Problem::unauthorized(
            "the session has ended: sign in again",
        ));
    };
    let who = control.holder(&token);
    if who.as_ref().is_err_and(Problem::is_unauthorized) {
        sessions.end(key);
    }
    who
}
