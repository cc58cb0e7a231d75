//! `plimsoll degrade` and `plimsoll governor`: what people set of a service for a while.
//!
//! What was given is sent as it is, and checked by the running process: whoever asks the control API hears the same.

use clap::{Args, Subcommand};
use plimsoll_console::{Changed, Overlay, SettingWanted, Verb};
use plimsoll_measure::OverlayView;
use serde_json::{Value, json};

use crate::cli::{At, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};
use crate::status::look::clean;

const OVERLAY: &str = "/api/v1/overlay";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  plimsoll degrade checkout shed 2 --for 10m --why \"the sale is more than it carries\"
  plimsoll degrade checkout no-retries --for 1h --why \"retries keep the database down\"
  plimsoll degrade checkout read-only --for 10m --why \"the database is moved\"
  plimsoll degrade checkout brownout 1 --for 30m --why \"recommendations are slow\"
  plimsoll degrade list
  plimsoll degrade checkout end shed
  plimsoll degrade checkout end

Levels of shed: 1 half of class sheddable is refused, 2 all of it, 3 half of standard as well, 4 all but critical.
Levels of brownout: how many of the service's optional features are left out, from the first of the list on.
What the governor decides may go further, never less far.")]
pub(crate) struct Degrade {
    /// Which service; or `list`: what is set.
    #[arg(value_name = "SERVICE|list")]
    service: String,
    /// What to do: shed, no-retries, no-hedges, read-only, brownout; or end.
    verb: Option<String>,
    /// The level of shed or brownout; or what to end, all without it.
    value: Option<String>,
    #[command(flatten)]
    reason: Reason,
    /// With `list`: as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// How long, as 90s, 10m, 2h or 7d, which is the most; it ends by itself.
    #[arg(long = "for", value_name = "LENGTH")]
    lasts: Option<String>,
    /// Why, in a few words: for whoever finds it in force.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Do it without the approval that it may need: this is journaled loudly, and the owners are called.
    #[arg(long)]
    break_glass: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GovernorCommand {
    /// Whether the governor acts on one service, for a while.
    #[command(after_help = "\
Examples:
  plimsoll governor mode checkout enforce --for 2h --why \"trying it\"
  plimsoll governor mode checkout off --for 1d --why \"it fights the migration\"
  plimsoll governor mode checkout end                       back to what the configuration says")]
    Mode {
        /// Which service.
        service: String,
        /// enforce, observe or off; or end.
        mode: String,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn degrade(asked: &Degrade) -> Exit {
    let target = asked.at.target();
    let (service, value) = (asked.service.as_str(), asked.value.as_deref());
    let done = match asked.verb.as_deref() {
        None if service == "list" => list(&target, asked.json),
        None => Err(ClientError::Refused(format!(
            "say what to do with {}: shed LEVEL, no-retries, no-hedges, read-only, brownout LEVEL or end",
            clean(service)
        ))),
        Some("end") => end(&target, service, value),
        Some(verb) => {
            let level = value.map(|level| SettingWanted::level_of(level.to_owned()));
            set(&target, service, verb, level, None, &asked.reason)
        }
    };
    done.unwrap_or_else(|error| refused(&error))
}

pub(crate) fn governor(command: &GovernorCommand) -> Exit {
    let GovernorCommand::Mode {
        service,
        mode,
        reason,
        at,
    } = command;
    let (target, verb) = (at.target(), Verb::GovernorMode.name());
    let done = match mode.as_str() {
        "end" => end(&target, service, Some(verb)),
        mode => set(&target, service, verb, None, Some(mode), reason),
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn path(service: &str, verb: &str) -> String {
    let (service, verb) = (client::part(service), client::part(verb));
    format!("{OVERLAY}/{service}/{verb}")
}

fn set(
    target: &Target,
    service: &str,
    verb: &str,
    level: Option<Value>,
    mode: Option<&str>,
    reason: &Reason,
) -> Result<Exit, ClientError> {
    let wanted = SettingWanted {
        level,
        mode: mode.map(str::to_owned),
        lasts: reason.lasts.clone(),
        why: reason.why.clone(),
        break_glass: reason.break_glass,
    };
    let body = json!(wanted);
    let changed: Changed = client::ask(target, "PUT", &path(service, verb), Some(&body))?;
    Ok(said(&changed))
}

/// Ends one thing, or all that degrades the service.
fn end(target: &Target, service: &str, verb: Option<&str>) -> Result<Exit, ClientError> {
    let verbs = match verb {
        Some(verb) => vec![verb.to_owned()],
        None => {
            let Overlay { entries } = client::ask(target, "GET", OVERLAY, None)?;
            let degrades = |entry: &OverlayView| {
                entry.service == service && entry.verb != Verb::GovernorMode.name()
            };
            let entries = entries.into_iter().filter(degrades);
            entries.map(|entry| entry.verb).collect()
        }
    };
    if verbs.is_empty() {
        let text = format!(
            "nothing is set of {}: see `plimsoll degrade list`",
            clean(service)
        );
        return Err(ClientError::Refused(text));
    }
    let mut exit = Exit::Done;
    for verb in verbs {
        let changed: Changed = client::ask(target, "DELETE", &path(service, &verb), None)?;
        exit = said(&changed);
    }
    Ok(exit)
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let overlay: Overlay = client::ask(target, "GET", OVERLAY, None)?;
    if json {
        print(&format!("{}\n", json!(overlay)));
        return Ok(Exit::Done);
    }
    if overlay.entries.is_empty() {
        say("nothing is set: all services run as configured");
    }
    for entry in &overlay.entries {
        print(&line(entry));
    }
    Ok(Exit::Done)
}

fn line(entry: &OverlayView) -> String {
    let number = entry.journal.map(|number| format!("  #{number}"));
    let (service, sentence) = (clean(&entry.service), clean(&entry.sentence()));
    format!("{service:<16} {sentence}{}\n", number.unwrap_or_default())
}
