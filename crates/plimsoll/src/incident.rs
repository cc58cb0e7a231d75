//! `plimsoll incident`: what people were called for, from the journal of a state folder, whether a process runs on it or not.

mod story;
mod tell;

use std::time::Duration;

use clap::{Args, Subcommand};
use plimsoll_core::Timestamp;
use plimsoll_store::{Filter, Record};
use plimsoll_upstream::Clock;

use crate::cli::print;
use crate::exit::{Exit, say};
use crate::journal::Since;
use crate::journal::command::{Place, ReadError, reading};
use crate::status::look::Look;
use story::{Incident, incidents};

/// How many decisions are looked through, and how many records a story has at most.
const RECORDS_MAX: usize = 100_000;
/// How long before the call a story begins.
const BEFORE: Duration = Duration::from_secs(900);
/// How long after its end it is told on: outcomes are measured later.
const AFTER: Duration = Duration::from_secs(300);

#[derive(Debug, Subcommand)]
pub(crate) enum IncidentCommand {
    /// The incidents of the last four weeks: each from the first call until all have ended.
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
    /// What is known of one: budget, suspects, where the failures were, what acted, and each record of its time.
    #[command(after_help = "\
Examples:
  plimsoll incident show 4711
  plimsoll incident show                     the latest")]
    Show {
        /// Its number, as `list` has it; absent: the latest.
        id: Option<u64>,
        #[command(flatten)]
        which: Which,
    },
    /// A draft of the review after it, in Markdown.
    #[command(after_help = "\
Example:
  plimsoll incident review 4711 > review.md")]
    Review {
        /// Its number, as `list` has it; absent: the latest.
        id: Option<u64>,
        #[command(flatten)]
        which: Which,
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

pub(crate) fn incident(command: &IncidentCommand) -> Exit {
    reading(|| match command {
        IncidentCommand::List { which, json } => list(which, *json),
        IncidentCommand::Show { id, which } => one(*id, which, |incident, records, now| {
            tell::shown(incident, records, now, Look::of_stdout())
        }),
        IncidentCommand::Review { id, which } => one(*id, which, tell::review),
    })
}

fn list(which: &Which, json: bool) -> Result<Exit, ReadError> {
    let now = Clock::new().timestamp();
    let all = which.incidents(now)?;
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

fn one(
    id: Option<u64>,
    which: &Which,
    tell: impl Fn(&Incident, &[Record], Timestamp) -> String,
) -> Result<Exit, ReadError> {
    let now = Clock::new().timestamp();
    let all = which.incidents(now)?;
    let found = match id {
        Some(id) => all.iter().find(|it| it.id == id),
        None => all.last(),
    };
    let Some(incident) = found else {
        let which = id.map_or("no incident".to_owned(), |id| format!("no incident #{id}"));
        say(&format!(
            "error: there is {which} in that time: see `plimsoll incident list`"
        ));
        return Ok(Exit::Refused);
    };
    let filter = Filter {
        since: Some(incident.called.before(BEFORE)),
        until: incident.ended.map(|ended| ended + AFTER),
        count: RECORDS_MAX,
        ..Filter::default()
    };
    let mut records = which.place.list(&filter)?;
    records.retain(|record| incident.has(record));
    print(&tell(incident, &records, now));
    Ok(Exit::Done)
}

impl Which {
    fn incidents(&self, now: Timestamp) -> Result<Vec<Incident>, ReadError> {
        let filter = Filter {
            kind: Some("decision".to_owned()),
            since: Some(self.since.as_of(now)),
            count: RECORDS_MAX,
            ..Filter::default()
        };
        Ok(incidents(&self.place.list(&filter)?))
    }
}
