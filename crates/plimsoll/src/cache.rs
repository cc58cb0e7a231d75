//! `plimsoll cache`: what is stored of services' answers.

use clap::Subcommand;
use plimsoll_console::{Changed, PurgeWanted};
use serde_json::json;

use crate::cli::{At, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Take out what is stored: by URL, by what URLs begin with, by a key that the service gave, or all of a service.
    #[command(after_help = "\
Examples:
  plimsoll cache purge https://shop.example/products/1 --why \"the price is wrong\"
  plimsoll cache purge --prefix https://shop.example/products/ --why \"new prices\"
  plimsoll cache purge --key product-1 --why \"the price is wrong\"
  plimsoll cache purge --service shop --why \"a bad release\"

Without --service it is taken out of all services whose routes have a cache and that the token is for; it is said which
are left. What is being fetched meanwhile is not stored. It needs the role operator for the service's owner, and is
recorded in the journal.")]
    Purge {
        /// What answers this URL; its query counts as `cache.query` of the route says.
        #[arg(conflicts_with_all = ["prefix", "key"])]
        url: Option<String>,
        /// What answers URLs that begin so.
        #[arg(long, value_name = "URL", conflicts_with = "key")]
        prefix: Option<String>,
        /// What the service gave this key, by `Surrogate-Key`.
        #[arg(long)]
        key: Option<String>,
        /// Of this service; alone: all of it.
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Why, in a few words: for whoever reads the journal.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn cache(command: &CacheCommand) -> Exit {
    let CacheCommand::Purge {
        url,
        prefix,
        key,
        service,
        why,
        at,
    } = command;
    let wanted = PurgeWanted {
        url: url.clone(),
        prefix: prefix.clone(),
        key: key.clone(),
        all: url.is_none() && prefix.is_none() && key.is_none() && service.is_some(),
        why: why.clone(),
    };
    purge(&at.target(), service.as_deref(), &wanted).unwrap_or_else(|error| refused(&error))
}

fn purge(
    target: &Target,
    service: Option<&str>,
    wanted: &PurgeWanted,
) -> Result<Exit, ClientError> {
    let services = match service {
        Some(service) => vec![service.to_owned()],
        None => {
            let snapshot = client::snapshot(target)?;
            let cached = snapshot
                .services
                .into_iter()
                .filter(|it| it.cache.is_some());
            cached.map(|service| service.name).collect()
        }
    };
    if services.is_empty() {
        let text = "no route has a cache: there is nothing to take out";
        return Err(ClientError::Refused(text.to_owned()));
    }
    // What one service can't have done must not keep what is wrong in another's.
    let (mut is_done, mut failed) = (false, None);
    for name in services {
        let path = format!("/api/v1/cache/{}/purge", client::part(&name));
        let asked: Result<Changed, _> = client::ask(target, "POST", &path, Some(&json!(wanted)));
        match asked {
            Ok(changed) => {
                said(&changed);
                is_done = true;
            }
            Err(ClientError::Forbidden(why)) if service.is_none() => {
                say(&format!("{name} is left as it is: {why}"));
            }
            Err(error) => failed = Some(refused(&error)),
        }
    }
    Ok(match (failed, is_done) {
        (Some(exit), _) => exit,
        (None, true) => Exit::Done,
        (None, false) => Exit::Refused,
    })
}
