//! `plimsoll token`: makes, lists and revokes tokens of people.

use clap::Subcommand;
use plimsoll_console::{Changed, Role, TokenCreated, TokenView, TokenWanted, Tokens};
use serde_json::json;

use crate::access::minute;
use crate::cli::{At, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};
use crate::status::look::clean;

#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token. Its secret is printed once, and can't be shown again.
    #[command(after_help = "\
Examples:
  plimsoll token create ana --role operator --owner payments --for 90d
  plimsoll token create grafana --role viewer

Whoever has it sets PLIMSOLL_TOKEN for commands, or sends `Authorization: Bearer` to the control API.")]
    Create {
        /// Whose it is: a person, or what asks in nobody's name.
        name: String,
        /// What it allows: viewer, operator, approver or admin, each what those before it may.
        #[arg(long)]
        role: Role,
        /// Whose services it may change, as `owner` says it in the configuration; may be given again. Without it: all.
        #[arg(long = "owner", value_name = "OWNER")]
        owners: Vec<String>,
        /// How long it is valid, as 90d. Without it: until it is revoked.
        #[arg(long = "for", value_name = "LENGTH")]
        lasts: Option<String>,
        /// Secret and token as JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// The tokens that there are; never their secrets.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// End a token, at once.
    Revoke {
        /// Whose it is.
        name: String,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn token(command: &TokenCommand) -> Exit {
    let done = match command {
        TokenCommand::Create {
            name,
            role,
            owners,
            lasts,
            json,
            at,
        } => {
            let wanted = TokenWanted {
                name: name.clone(),
                role: *role,
                owners: owners.clone(),
                lasts: lasts.clone(),
            };
            create(&at.target(), &wanted, *json)
        }
        TokenCommand::List { json, at } => list(&at.target(), *json),
        TokenCommand::Revoke { name, at } => revoke(&at.target(), name),
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn create(target: &Target, wanted: &TokenWanted, json: bool) -> Result<Exit, ClientError> {
    let created: TokenCreated = client::ask(target, "POST", TOKENS, Some(&json!(wanted)))?;
    if json {
        print(&format!("{}\n", json!(created)));
        return Ok(Exit::Done);
    }
    // Alone on standard output, so that it can be piped to where it is kept.
    print(&format!("{}\n", created.secret));
    let number = created.journal;
    say(&format!("{}  #{number}", described(&created.token)));
    say("It is shown this once: keep it where secrets are kept.");
    Ok(Exit::Done)
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let tokens: Tokens = client::ask(target, "GET", TOKENS, None)?;
    if json {
        print(&format!("{}\n", json!(tokens)));
        return Ok(Exit::Done);
    }
    if tokens.tokens.is_empty() {
        say("nobody has a token; that of the state folder is not listed");
    }
    for token in &tokens.tokens {
        print(&format!("{}\n", described(token)));
    }
    Ok(Exit::Done)
}

fn revoke(target: &Target, name: &str) -> Result<Exit, ClientError> {
    let path = format!("{TOKENS}/{}", client::part(name));
    let changed: Changed = client::ask(target, "DELETE", &path, None)?;
    Ok(said(&changed))
}

const TOKENS: &str = "/api/v1/tokens";

fn described(token: &TokenView) -> String {
    let owners = match token.owners.as_slice() {
        [] => "all owners".to_owned(),
        owners => owners.join(", "),
    };
    let until = match token.expires_at {
        Some(at) if token.expired => format!("expired {} UTC", minute(at)),
        Some(at) => format!("until {} UTC", minute(at)),
        None => "until revoked".to_owned(),
    };
    clean(&format!(
        "{:<20} {:<9} {owners}  {until}  made {} UTC by {}",
        token.name,
        token.role,
        minute(token.created_at),
        token.created_by,
    ))
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;

    use super::*;

    #[test]
    fn a_token_is_one_line() {
        let token = TokenView {
            name: "ana".to_owned(),
            role: Role::Operator,
            owners: vec!["payments".to_owned(), "search".to_owned()],
            created_at: Timestamp::from_seconds(1_795_615_852),
            created_by: "state-folder".to_owned(),
            expires_at: Some(Timestamp::from_seconds(1_795_702_252)),
            expired: false,
        };
        let expected = "ana                  operator  payments, search  until 2026-11-26 14:10 UTC  \
                        made 2026-11-25 14:10 UTC by state-folder";
        assert_eq!(described(&token), expected);
        let lasting = TokenView {
            owners: Vec::new(),
            expires_at: None,
            ..token
        };
        assert!(described(&lasting).contains("all owners  until revoked"));
    }
}
