//! Sessions of browsers: who signed in with a token is known by a cookie from then on.
//!
//! A cookie is a random number and nothing else. Of it and of the token only digests are kept, so that neither is in memory,
//! a log or a page. The token is looked up anew at each use: a session ends with it.
//!
//! Sources: RFC 6265, 4.1 (cookies) and 8.5 (they know no ports: the name has that of the console); OWASP, "Session
//! Management Cheat Sheet" (at least 64 random bits, an end of its own, nothing in the cookie means anything).
//! Bounds: so many sessions of a token, and of all tokens; the one that began first makes room.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::{constant_time, digest, rand};
use axum::http::{HeaderMap, header};
use plimsoll_core::session_cookie;
use tokio::time::Instant;

/// A shift; whoever is there for longer signs in again.
pub(crate) const LENGTH_MAX: Duration = Duration::from_secs(12 * 3_600);
/// More browsers than one person has.
const OF_ONE_TOKEN_MAX: usize = 8;
/// As many tokens as there are at most have one each.
const SESSIONS_MAX: usize = 1_024;

/// A SHA-256.
pub(crate) type Digest = [u8; 32];

/// The digest of a secret.
pub(crate) fn digest_of(secret: &[u8]) -> Digest {
    let digest = digest::digest(&digest::SHA256, secret);
    digest.as_ref().try_into().unwrap_or_default()
}

/// The sessions of one console. They end with it.
pub(crate) struct Sessions {
    /// What the cookie is called.
    name: String,
    /// By the digest of the cookie: how long a look takes says nothing of those that there are.
    all: Mutex<BTreeMap<Digest, Session>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Session {
    token: Digest,
    began: Instant,
}

impl Session {
    fn has_ended(&self, now: Instant) -> bool {
        now.duration_since(self.began) >= LENGTH_MAX
    }
}

/// A cookie that names a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    session: Digest,
    /// What the forms of this session hold: another site does not know it.
    pub(crate) seal: String,
}

impl Key {
    fn of(cookie: &[u8]) -> Self {
        Self {
            session: digest_of(cookie),
            seal: hex(&digest_of(&[b"form of ", cookie].concat())),
        }
    }

    /// Whether a form is of this session. The time it takes does not depend on where they differ.
    pub(crate) fn sealed(&self, seal: &str) -> bool {
        constant_time::verify_slices_are_equal(self.seal.as_bytes(), seal.as_bytes()).is_ok()
    }
}

impl Sessions {
    /// Of the console on this port.
    pub(crate) fn new(port: u16) -> Self {
        Self {
            name: session_cookie(port),
            all: Mutex::default(),
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<Digest, Session>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins one, and gives the cookie; `None`: there are no random bytes.
    pub(crate) fn begin(&self, token: Digest, now: Instant) -> Option<String> {
        let mut random = [0; 32];
        rand::fill(&mut random).ok()?;
        let cookie = hex(&random);
        let mut all = self.all();
        all.retain(|_, session| !session.has_ended(now));
        let of_token = |session: &Session| session.token == token;
        if all.values().filter(|it| of_token(it)).count() >= OF_ONE_TOKEN_MAX {
            remove_first(&mut all, of_token);
        } else if all.len() >= SESSIONS_MAX {
            remove_first(&mut all, |_| true);
        }
        let session = Session { token, began: now };
        all.insert(Key::of(cookie.as_bytes()).session, session);
        Some(cookie)
    }

    /// The session that a request is of: the first of its cookies that is known.
    pub(crate) fn find(&self, headers: &HeaderMap, now: Instant) -> Option<Key> {
        let fields = headers.get_all(header::COOKIE).iter();
        let pairs = fields.flat_map(|field| field.as_bytes().split(|byte| *byte == b';'));
        let ours = pairs.filter_map(|pair| {
            let rest = pair.trim_ascii().strip_prefix(self.name.as_bytes())?;
            rest.strip_prefix(b"=")
        });
        let mut keys = ours.map(Key::of);
        keys.find(|key| self.token(key, now).is_some())
    }

    /// The token of a session that has not ended.
    pub(crate) fn token(&self, key: &Key, now: Instant) -> Option<Digest> {
        let session = *self.all().get(&key.session)?;
        (!session.has_ended(now)).then_some(session.token)
    }

    /// Ends one.
    pub(crate) fn end(&self, key: &Key) {
        self.all().remove(&key.session);
    }

    /// What tells a browser to keep a cookie. `Strict`: no page of another site has it sent, not even by a link.
    pub(crate) fn keep(&self, cookie: &str, is_tls: bool) -> String {
        let seconds = LENGTH_MAX.as_secs();
        let secure = if is_tls { "; Secure" } else { "" };
        format!(
            "{}={cookie}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}",
            self.name
        )
    }

    /// What tells it to forget the cookie.
    pub(crate) fn forget(&self) -> String {
        format!(
            "{}=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict",
            self.name
        )
    }
}

fn remove_first(all: &mut BTreeMap<Digest, Session>, which: impl Fn(&Session) -> bool) {
    let fitting = all.iter().filter(|(_, session)| which(session));
    let first = fitting.min_by_key(|(_, session)| session.began);
    if let Some(first) = first.map(|(key, _)| *key) {
        all.remove(&first);
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _to_a_string = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn sent(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::COOKIE, HeaderValue::from_str(field).unwrap());
        }
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn a_cookie_is_known_until_it_ends_and_by_this_console_only() {
        let (here, elsewhere, now) = (Sessions::new(7676), Sessions::new(7676), Instant::now());
        let cookie = here.begin([1; 32], now).unwrap();
        let headers = sent(&["a=b; plimsoll-7676=old", &format!("plimsoll-7676={cookie}")]);
        let key = here.find(&headers, now).unwrap();
        assert_eq!(here.token(&key, now), Some([1; 32]));
        assert_eq!(elsewhere.find(&headers, now), None);
        for other in ["plimsoll-7676=", "plimsoll-7677=", "xplimsoll-7676="] {
            let headers = sent(&[&format!("{other}{}", &cookie[1..])]);
            assert_eq!(here.find(&headers, now), None, "{other}");
        }
        let almost = now + LENGTH_MAX - Duration::from_secs(1);
        assert!(here.find(&headers, almost).is_some());
        assert_eq!(here.find(&headers, now + LENGTH_MAX), None);
        here.end(&key);
        assert_eq!(here.find(&headers, now), None);
    }

    #[tokio::test(start_paused = true)]
    async fn one_token_takes_no_place_of_another() {
        let (sessions, now) = (Sessions::new(1), Instant::now());
        let later = |seconds| now + Duration::from_secs(seconds);
        let first = sessions.begin([1; 32], now).unwrap();
        let mine: Vec<String> = (0..20)
            .map(|it| sessions.begin([2; 32], later(it)).unwrap())
            .collect();
        let known = |cookie: &String| {
            let headers = sent(&[&format!("plimsoll-1={cookie}")]);
            sessions.find(&headers, later(20)).is_some()
        };
        assert!(known(&first));
        let known: Vec<bool> = mine.iter().map(known).collect();
        assert_eq!(known, [[false; 12].as_slice(), &[true; 8]].concat());
        for token in 0..2_000_u16 {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&token.to_be_bytes());
            sessions.begin(digest, later(30)).unwrap();
        }
        assert_eq!(sessions.all().len(), SESSIONS_MAX);
        // What has ended makes room for all.
        sessions.begin([3; 32], later(30) + LENGTH_MAX).unwrap();
        assert_eq!(sessions.all().len(), 1);
    }

    #[test]
    fn nothing_that_is_kept_or_shown_is_the_cookie_or_the_token() {
        let sessions = Sessions::new(1);
        let cookie = sessions.begin([1; 32], Instant::now()).unwrap();
        assert_eq!(cookie.len(), 64);
        let key = Key::of(cookie.as_bytes());
        assert!(key.seal != cookie && key.seal != hex(&key.session));
        assert!(key.sealed(&key.seal) && !key.sealed("") && !key.sealed(&cookie));
    }

    #[test]
    fn a_cookie_is_for_no_script_and_no_other_site() {
        let sessions = Sessions::new(7676);
        assert_eq!(
            sessions.keep("c", true),
            "plimsoll-7676=c; Path=/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure"
        );
        assert!(!sessions.keep("c", false).contains("Secure"));
        assert!(
            sessions
                .forget()
                .starts_with("plimsoll-7676=; Path=/; Max-Age=0;")
        );
    }
}
