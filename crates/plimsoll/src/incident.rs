//! `plimsoll incident`: what people were called for, from the journal of a state folder, whether a process runs on it or not;
//! and what they do about it, by the control API of the process that runs.

pub(crate) mod story;
mod tell;

use clap::{Args, Subcommand};
use plimsoll_console::{Changed, DeedVerb, DeedWanted};
use plimsoll_core::Timestamp;
use plimsoll_measure::{Incident, Incidents};
use plimsoll_upstream::Clock;
use serde_json::json;

use crate::cli::{At, print, refused, said};
use crate::client;
use crate::exit::{Exit, say};
use crate::journal::Since;
use crate::journal::command::{Place, ReadError, reading};
use crate::status::look::Look;
use story::Story;

/// How many records of a subject a story has at most.
const RECORDS_MAX: usize = 100_000;

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// The incidents of the last four weeks: each from the first call until all have ended, or somebody resolved it.
    #[command(after_help = "\
Examples:
  plimsoll incident list
  plimsoll incident list --since 1d --json")]
    List {
        #[command(flatten)]
        which: Which,
        /// One JSON object to a line.
        #[arg(long)]
        json: bool,
    },
    /// What is known of one: budget, suspects, where the failures were, what acted, what people did, and each record of its time.
    #[command(after_help = "\
Examples:
  plimsoll incident show 4711
  plimsoll incident show                     the latest
  plimsoll incident show 4711 --json")]
    Show {
        /// Its number, as `list` has it; absent: the latest.
        #[arg(value_parser = number)]
        id: Option<u64>,
        #[command(flatten)]
        which: Which,
        /// The incident as JSON, without the records.
        #[arg(long)]
        json: bool,
    },
    /// A draft of the review after it, in Markdown.
    #[command(after_help = "\
Example:
  plimsoll incident review 4711 > review.md")]
    Review {
        /// Its number, as `list` has it; absent: the latest.
        #[arg(value_parser = number)]
        id: Option<u64>,
        #[command(flatten)]
        which: Which,
    },
    /// Say that you work on it: nobody is called for the same again.
    #[command(after_help = "\
Example:
  plimsoll incident ack 4711")]
    Ack {
        #[command(flatten)]
        on: On,
    },
    /// Write down what others should know; it is in the timeline and the review.
    #[command(after_help = "\
Example:
  plimsoll incident note 4711 \"lock waits on stock_reservation, only on the new path\"")]
    Note {
        #[command(flatten)]
        on: On,
        /// What: up to 2000 characters.
        note: String,
    },
    /// Give it to others: those who are called for them hear of it, and it waits for their acknowledgement.
    #[command(after_help = "\
Example:
  plimsoll incident hand-over 4711 supply --why \"it is their table\"")]
    HandOver {
        #[command(flatten)]
        on: On,
        /// An owner or a team.
        to: String,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// End it, whatever is still open: those who were told that it began are told that it has ended.
    #[command(after_help = "\
Example:
  plimsoll incident resolve 4711 --why \"a drill\"")]
    Resolve {
        #[command(flatten)]
        on: On,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Say that it belongs to another incident, by the same cause: who acknowledges that one works on this one too.
    #[command(after_help = "\
Example:
  plimsoll incident group 4712 4711")]
    Group {
        #[command(flatten)]
        on: On,
        /// The number of the other one.
        #[arg(value_parser = number)]
        into: u64,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
    /// Have nobody told of it for a while; its end is told to those who were told that it began.
    #[command(after_help = "\
Example:
  plimsoll incident silence 4711 --for 2h --why \"known, mended tonight\"")]
    Silence {
        #[command(flatten)]
        on: On,
        /// How long, as 90s, 10m, 2h or 7d, which is the most.
        #[arg(long = "for", value_name = "LENGTH")]
        lasts: Option<String>,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
    },
}

/// Where they are, and from when on.
#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    place: Place,
    /// Not before: how long ago, as 1h or 7d, or a time in UTC.
    #[arg(long, value_name = "WHEN", default_value = "28d")]
    since: Since,
}

/// About which one something is done.
#[derive(Debug, Args)]
pub(crate) struct On {
    /// Its number, as `list` has it.
    #[arg(value_parser = number)]
    id: u64,
    /// What was done, as JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: At,
}

/// As it is shown, `#4711`, or without the mark.
fn number(text: &str) -> Result<u64, String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    digits
        .parse()
        .map_err(|_| "expected the number of an incident, as 4711".to_owned())
}

pub(crate) fn incident(command: &IncidentCommand) -> Exit {
    let why = |why: &Option<String>| DeedWanted {
        why: why.clone(),
        ..DeedWanted::default()
    };
    match command {
        IncidentCommand::List { which, json } => reading(|| list(which, *json)),
        IncidentCommand::Show {
            id,
            which,
            json: true,
        } => reading(|| found(*id, which, |it, _| print(&format!("{}\n", json!(it))))),
        IncidentCommand::Show { id, which, .. } => reading(|| {
            let look = Look::of_stdout();
            one(*id, which, |story, now| tell::shown(story, now, look))
        }),
        IncidentCommand::Review { id, which } => reading(|| one(*id, which, tell::review)),
        IncidentCommand::Ack { on } => act(on, DeedVerb::Acknowledge, DeedWanted::default()),
        IncidentCommand::Note { on, note } => {
            let wanted = DeedWanted {
                note: Some(note.clone()),
                ..DeedWanted::default()
            };
            act(on, DeedVerb::Note, wanted)
        }
        IncidentCommand::HandOver { on, to, why: it } => {
            let wanted = DeedWanted {
                to: Some(to.clone()),
                ..why(it)
            };
            act(on, DeedVerb::HandOver, wanted)
        }
        IncidentCommand::Resolve { on, why: it } => act(on, DeedVerb::Resolve, why(it)),
        IncidentCommand::Group { on, into, why: it } => {
            let wanted = DeedWanted {
                into: Some(*into),
                ..why(it)
            };
            act(on, DeedVerb::Group, wanted)
        }
        IncidentCommand::Silence { on, lasts, why: it } => {
            let wanted = DeedWanted {
                lasts: lasts.clone(),
                ..why(it)
            };
            act(on, DeedVerb::Silence, wanted)
        }
    }
}

fn act(on: &On, verb: DeedVerb, wanted: DeedWanted) -> Exit {
    let path = format!("/api/v1/incidents/{}/{verb}", on.id);
    let body = json!(wanted);
    match client::ask::<Changed>(&on.at.target(), "POST", &path, Some(&body)) {
        Ok(changed) if on.json => {
            print(&format!("{}\n", json!(changed)));
            Exit::Done
        }
        Ok(changed) => said(&changed),
        Err(error) => refused(&error),
    }
}

fn list(which: &Which, json: bool) -> Result<Exit, ReadError> {
    let now = Clock::new().timestamp();
    let known = which.incidents(now)?;
    let all = in_order(&known);
    let look = Look::of_stdout();
    for incident in &all {
        let line = match json {
            true => serde_json::to_string(incident).unwrap_or_default(),
            false => tell::listed(incident, now, look),
        };
        print(&format!("{}\n", line.trim_end()));
    }
    if all.is_empty() && !json {
        say("nobody was called in that time");
    }
    Ok(Exit::Done)
}

/// All of them, by the time of their calls.
fn in_order(known: &Incidents) -> Vec<&Incident> {
    let mut all: Vec<&Incident> = known.past().chain(known.open()).collect();
    all.sort_by_key(|it| (it.called, it.id));
    all
}

fn found(
    id: Option<u64>,
    which: &Which,
    with: impl FnOnce(&Incident, &Incidents),
) -> Result<Exit, ReadError> {
    let known = which.incidents(Clock::new().timestamp())?;
    let found = match id {
        Some(id) => known.get(id),
        None => in_order(&known).pop(),
    };
    let Some(incident) = found else {
        let which = id.map_or("no incident".to_owned(), |id| format!("no incident #{id}"));
        say(&format!(
            "error: there is {which} in that time: see `plimsoll incident list`"
        ));
        return Ok(Exit::Refused);
    };
    with(incident, &known);
    Ok(Exit::Done)
}

fn one(
    id: Option<u64>,
    which: &Which,
    tell: impl Fn(&Story<'_>, Timestamp) -> String,
) -> Result<Exit, ReadError> {
    let now = Clock::new().timestamp();
    let mut read = Ok(());
    let exit = found(id, which, |incident, known| {
        read = Story::read(incident, known, RECORDS_MAX, |filter| {
            which.place.list(filter)
        })
        .map(|story| print(&tell(&story, now)));
    })?;
    read.map(|()| exit)
}

impl Which {
    fn incidents(&self, now: Timestamp) -> Result<Incidents, ReadError> {
        self.place.incidents(self.since.as_of(now))
    }
}
