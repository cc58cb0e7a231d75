//! `plimsoll freeze`: of which services nothing risky is changed for a while.

use clap::Args;
use plimsoll_console::{Changed, FreezeList, FreezeWanted};
use serde_json::json;

use crate::cli::{At, How, Past, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};
use crate::status::look::clean;

const FREEZES: &str = "/api/v1/freezes";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll freeze checkout --for 2d --why \"the sale\"
  plimsoll freeze --all --for 10d --why \"holidays\"
  plimsoll freeze list
  plimsoll freeze end checkout
  plimsoll freeze end --all

While a service is frozen, a reload that changes it is refused, unless it is a fix: plimsoll reload --fix --why REASON.
Freezes that are planned belong in the configuration, as [freeze.NAME].")]
pub(crate) struct Freeze {
    /// Which service; or `list`: what is frozen; or `end`.
    #[arg(value_name = "SERVICE|list|end", required_unless_present = "all")]
    service: Option<String>,
    /// With `end`: which service.
    #[arg(value_name = "SERVICE")]
    ended: Option<String>,
    /// All services.
    #[arg(long)]
    all: bool,
    /// How long, as 10m, 2h or 2d; at most 92d.
    #[arg(long = "for", value_name = "LENGTH")]
    lasts: Option<String>,
    /// Why, in a few words: for whoever is refused.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do it without the approval that it may need: this is journaled loudly, and the owners are called.
    #[arg(long)]
    break_glass: bool,
    /// With `list`: as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

pub(crate) fn freeze(asked: &Freeze) -> Exit {
    let target = asked.at.target();
    let done = match (asked.service.as_deref(), asked.ended.as_deref(), asked.all) {
        (Some("list"), None, false) => list(&target, asked.json),
        (Some("end"), Some(service), false) => end(asked, &target, Some(service)),
        (Some("end"), None, true) => end(asked, &target, None),
        (Some("end"), ..) => Err(ClientError::Refused(
            "say what is not frozen any more: a service, or --all".to_owned(),
        )),
        (Some(service), None, false) => begin(asked, &target, Some(service)),
        (None, None, true) => begin(asked, &target, None),
        _ => Err(ClientError::Refused(
            "say one service, or --all, or list, or end".to_owned(),
        )),
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn path(service: Option<&str>) -> String {
    match service {
        Some(service) => format!("{FREEZES}/{}", client::part(service)),
        None => FREEZES.to_owned(),
    }
}

fn begin(asked: &Freeze, target: &Target, service: Option<&str>) -> Result<Exit, ClientError> {
    let wanted = FreezeWanted {
        lasts: asked.lasts.clone(),
        why: asked.why.clone(),
        break_glass: asked.break_glass,
    };
    let body = json!(wanted);
    let changed: Changed = client::ask(target, "PUT", &path(service), Some(&body))?;
    Ok(said(&changed))
}

fn end(asked: &Freeze, target: &Target, service: Option<&str>) -> Result<Exit, ClientError> {
    let how = How {
        past: Past {
            fix: false,
            break_glass: asked.break_glass,
        },
        why: asked.why.clone(),
    };
    let path = format!("{}{}", path(service), how.query());
    let changed: Changed = client::ask(target, "DELETE", &path, None)?;
    Ok(said(&changed))
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let list: FreezeList = client::ask(target, "GET", FREEZES, None)?;
    if json {
        print(&format!("{}\n", json!(list)));
        return Ok(Exit::Done);
    }
    if list.freezes.is_empty() {
        say("nothing is frozen");
    }
    for it in &list.freezes {
        let of = match it.all {
            true => "all services".to_owned(),
            false => clean(&it.services.join(", ")),
        };
        let number = it.journal.map(|number| format!("  #{number}"));
        let (sentence, number) = (clean(&it.sentence()), number.unwrap_or_default());
        print(&format!("{of:<16} {sentence}{number}\n"));
    }
    Ok(Exit::Done)
}
