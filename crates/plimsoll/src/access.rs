//! The tokens of the running process: the one of the state folder, and those of people.
//!
//! Of a token only the SHA-256 is kept, in the store's state under `token/NAME`. Secrets are 32 random bytes, so nothing
//! slower than SHA-256 is needed to keep them from being guessed.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_console::{Caller, Problem, Role, TokenView, TokenWanted, Tokens};
use plimsoll_core::Timestamp;
use plimsoll_measure::wire;
use plimsoll_store::{Hash, Kept};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Where tokens are in the store's state.
pub(crate) const PREFIX: &str = "token/";
/// Who has the token of the state folder: whoever may read the folder.
pub(crate) const STATE_FOLDER: &str = "state-folder";
/// What the secrets of people begin with, so that whoever finds one knows what it is.
pub(crate) const SECRET_PREFIX: &str = "plim_";
/// How many tokens there are at most.
pub(crate) const TOKENS_MAX: usize = 1_000;

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptToken {
    pub(crate) name: String,
    pub(crate) role: Role,
    pub(crate) owners: Vec<String>,
    #[serde(with = "wire")]
    pub(crate) created_at: Timestamp,
    pub(crate) created_by: String,
    #[serde(with = "wire::optional")]
    pub(crate) expires_at: Option<Timestamp>,
    /// Of the secret, in hex.
    pub(crate) sha256: String,
}

impl KeptToken {
    pub(crate) fn new(
        wanted: TokenWanted,
        secret: &str,
        by: String,
        now: Timestamp,
        lasts: Option<Duration>,
    ) -> Self {
        let after = |lasts: Duration| {
            let nanos = u64::try_from(lasts.as_nanos()).unwrap_or(u64::MAX);
            Timestamp::from_nanos(now.as_nanos().saturating_add(nanos))
        };
        Self {
            name: wanted.name,
            role: wanted.role,
            owners: wanted.owners,
            created_at: now,
            created_by: by,
            expires_at: lasts.map(after),
            sha256: Hash::of(secret.as_bytes()).to_string(),
        }
    }

    /// That it was made, in words.
    pub(crate) fn text(&self) -> String {
        let Self { name, role, .. } = self;
        let owners = match self.owners.as_slice() {
            [] => "for all owners".to_owned(),
            owners => format!("for {}", owners.join(", ")),
        };
        let until = self
            .expires_at
            .map_or(String::new(), |at| format!(", until {} UTC", minute(at)));
        format!(
            "{} made a token of {name}: {role} {owners}{until}",
            self.created_by
        )
    }

    /// The body of its record: nothing that would help somebody to guess it.
    pub(crate) fn made(&self) -> Value {
        json!({
            "text": self.text(),
            "what": "token",
            "by": self.created_by,
            "name": self.name,
            "role": self.role,
            "owners": self.owners,
            "expires_at": self.expires_at.map(Timestamp::to_rfc3339),
        })
    }

    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }

    pub(crate) fn view(&self, now: Timestamp) -> TokenView {
        TokenView {
            name: self.name.clone(),
            role: self.role,
            owners: self.owners.clone(),
            created_at: self.created_at,
            created_by: self.created_by.clone(),
            expires_at: self.expires_at,
            expired: self.has_expired(now),
        }
    }
}

/// All tokens.
#[derive(Clone, Debug)]
pub(crate) struct TokenRegister {
    file: Hash,
    /// With their hashes and the versions that they have in the store; `None`: not read yet.
    people: Option<BTreeMap<String, (KeptToken, Hash, u64)>>,
}

impl TokenRegister {
    /// Knows the token of the state folder.
    pub(crate) fn new(file: &str) -> Self {
        Self {
            file: Hash::of(file.as_bytes()),
            people: None,
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        self.people.is_some()
    }

    /// Takes over what the store has.
    pub(crate) fn read(&mut self, values: Vec<(String, Kept)>) {
        let mut people = BTreeMap::new();
        for (key, kept) in values {
            let token = serde_json::from_slice::<KeptToken>(&kept.value).ok();
            let hash = token.as_ref().and_then(|it| Hash::from_hex(&it.sha256));
            if let (Some(token), Some(hash)) = (token, hash) {
                people.insert(token.name.clone(), (token, hash, kept.version));
            } else {
                tracing::warn!(key, "a token can't be read: it is not valid");
            }
        }
        self.people = Some(people);
    }

    pub(crate) fn insert(&mut self, token: KeptToken, version: u64) {
        let Some(hash) = Hash::from_hex(&token.sha256) else {
            return;
        };
        let people = self.people.get_or_insert_default();
        people.insert(token.name.clone(), (token, hash, version));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<KeptToken> {
        let (token, ..) = self.people.as_mut()?.remove(name)?;
        Some(token)
    }

    /// The version that a new token with this name comes after.
    pub(crate) fn room_for(&self, name: &str, now: Timestamp) -> Result<u64, Problem> {
        let people = self.people.as_ref().ok_or_else(not_read)?;
        match people.get(name) {
            _ if name == STATE_FOLDER => Err(Problem::conflict(format!(
                "`{STATE_FOLDER}` is the name of the state folder's own token"
            ))),
            Some((token, ..)) if !token.has_expired(now) => Err(Problem::conflict(format!(
                "there is a token of {name} already: revoke it first, or choose another name"
            ))),
            Some((_, _, version)) => Ok(*version),
            None if people.len() >= TOKENS_MAX => Err(Problem::conflict(format!(
                "there are {TOKENS_MAX} tokens already: revoke one first"
            ))),
            None => Ok(0),
        }
    }

    /// Whose token this is. All hashes are compared whole: what it takes tells nothing of them.
    pub(crate) fn caller(&self, secret: &[u8], now: Timestamp) -> Result<Caller, Problem> {
        let holder = self.holder(Hash::of(secret).as_bytes(), now);
        // While they are not read, it may be that of somebody.
        let may_be_known = self.people.is_none() && secret.starts_with(SECRET_PREFIX.as_bytes());
        holder.map_err(|problem| match may_be_known {
            true => not_read(),
            false => problem,
        })
    }

    /// Whose token has this SHA-256.
    pub(crate) fn holder(&self, sent: &[u8; 32], now: Timestamp) -> Result<Caller, Problem> {
        let mut found = is_same(sent, &self.file).then(|| Caller {
            name: STATE_FOLDER.to_owned(),
            role: Role::Admin,
            owners: Vec::new(),
        });
        for (token, hash, _) in self.people.iter().flat_map(BTreeMap::values) {
            if is_same(sent, hash) && !token.has_expired(now) {
                found = Some(Caller {
                    name: token.name.clone(),
                    role: token.role,
                    owners: token.owners.clone(),
                });
            }
        }
        found.ok_or_else(|| {
            Problem::unauthorized(
                "this token is not valid: it is unknown, was revoked or has expired",
            )
        })
    }

    /// What somebody's token allows; `None`: they have none that is valid.
    pub(crate) fn standing(&self, name: &str, now: Timestamp) -> Option<Caller> {
        let (token, ..) = self.people.as_ref()?.get(name)?;
        (!token.has_expired(now)).then(|| Caller {
            name: token.name.clone(),
            role: token.role,
            owners: token.owners.clone(),
        })
    }

    pub(crate) fn list(&self, now: Timestamp) -> Result<Tokens, Problem> {
        let people = self.people.as_ref().ok_or_else(not_read)?;
        let tokens = people.values().map(|(token, ..)| token.view(now));
        Ok(Tokens {
            tokens: tokens.collect(),
        })
    }
}

/// As `2026-11-26 14:31`.
pub(crate) fn minute(at: Timestamp) -> String {
    let text = at.to_rfc3339().replace('T', " ");
    text.get(..16).unwrap_or_default().to_owned()
}

fn not_read() -> Problem {
    Problem::unavailable(
        "the tokens of people can't be read: the store is not open; only the token of the state folder is known",
    )
}

/// The time it takes does not depend on where they differ.
fn is_same(one: &[u8; 32], other: &Hash) -> bool {
    let pairs = one.iter().zip(other.as_bytes());
    let difference = pairs.fold(0, |sum, (one, other)| sum | (one ^ other));
    std::hint::black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "the-token-of-the-state-folder";

    fn token(name: &str, secret: &str, expires_at: Option<u64>) -> KeptToken {
        KeptToken {
            name: name.to_owned(),
            role: Role::Operator,
            owners: vec!["payments".to_owned()],
            created_at: Timestamp::from_seconds(1),
            created_by: STATE_FOLDER.to_owned(),
            expires_at: expires_at.map(Timestamp::from_seconds),
            sha256: Hash::of(secret.as_bytes()).to_string(),
        }
    }

    #[track_caller]
    fn check(register: &TokenRegister, secret: &str, now: u64, expected: Result<&str, &str>) {
        let caller = register.caller(secret.as_bytes(), Timestamp::from_seconds(now));
        match (caller, expected) {
            (Ok(caller), Ok(name)) => assert_eq!(caller.name, name),
            (Err(problem), Err(part)) => {
                assert!(problem.to_string().contains(part), "{problem}");
            }
            (caller, _) => panic!("{caller:?}"),
        }
    }

    #[test]
    fn only_a_token_that_is_in_force_is_somebodys() {
        let mut register = TokenRegister::new(FILE);
        check(&register, "plim_a", 5, Err("the store is not open"));
        check(&register, FILE, 5, Ok(STATE_FOLDER));
        register.read(Vec::new());
        register.insert(token("ana", "plim_a", Some(10)), 1);
        register.insert(token("bo", "plim_b", None), 1);
        check(&register, "plim_a", 9, Ok("ana"));
        check(&register, "plim_b", 9, Ok("bo"));
        check(&register, FILE, 9, Ok(STATE_FOLDER));
        // Why it is none is not told.
        let not_valid = Err("is not valid: it is unknown, was revoked or has expired");
        check(&register, "plim_a", 10, not_valid);
        check(&register, "plim_", 9, not_valid);
        check(&register, "plim_bb", 9, not_valid);
        check(&register, &FILE[1..], 9, not_valid);
        assert_eq!(register.remove("bo").unwrap().name, "bo");
        check(&register, "plim_b", 9, not_valid);
        // The hash is not the secret.
        let hash = Hash::of(FILE.as_bytes()).to_string();
        check(&register, &hash, 9, not_valid);
    }

    #[test]
    fn a_name_is_given_once() {
        let mut register = TokenRegister::new(FILE);
        let room = |register: &TokenRegister, name, now| {
            register.room_for(name, Timestamp::from_seconds(now))
        };
        assert!(room(&register, "ana", 5).is_err(), "not read yet");
        register.read(Vec::new());
        assert_eq!(room(&register, "ana", 5), Ok(0));
        register.insert(token("ana", "plim_a", Some(10)), 3);
        assert!(room(&register, "ana", 5).is_err());
        assert_eq!(room(&register, "ana", 10), Ok(3), "what has expired");
        assert!(room(&register, STATE_FOLDER, 5).is_err());
    }

    #[test]
    fn what_the_store_has_is_read_and_what_is_no_token_left_out() {
        let kept = |value: Vec<u8>| Kept { version: 2, value };
        let value = serde_json::to_vec(&token("ana", "plim_a", None)).unwrap();
        assert!(!String::from_utf8_lossy(&value).contains("plim_"));
        let mut register = TokenRegister::new(FILE);
        register.read(vec![
            ("token/ana".to_owned(), kept(value)),
            ("token/x".to_owned(), kept(b"{}".to_vec())),
        ]);
        check(&register, "plim_a", 5, Ok("ana"));
        let list = register.list(Timestamp::from_seconds(5)).unwrap();
        assert_eq!(list.tokens.len(), 1);
    }
}
