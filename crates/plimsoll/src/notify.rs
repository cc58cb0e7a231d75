//! `plimsoll notify`: whether those who are called would hear it.

use clap::Subcommand;
use plimsoll_console::{TargetTried, Tried, TryWanted};
use serde_json::json;

use crate::cli::{At, print, refused};
use crate::client;
use crate::exit::{Exit, say};
use crate::status::look::clean;

#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// Send a test, and say whether it arrived. Whoever is on call may hear it.
    #[command(after_help = "\
Examples:
  plimsoll notify test                  all of [notify.NAME]
  plimsoll notify test oncall

Exit codes: 0 all arrived, 1 one did not or there is none, 3 no running Plimsoll found.")]
    Test {
        /// Which notifier; without it all.
        name: Option<String>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn notify(command: &NotifyCommand) -> Exit {
    let NotifyCommand::Test { name, json, at } = command;
    let wanted = TryWanted { name: name.clone() };
    let body = json!(wanted);
    let tried = client::ask::<Tried>(&at.target(), "POST", "/api/v1/notify/test", Some(&body));
    let tried = match tried {
        Ok(tried) => tried,
        Err(error) => return refused(&error),
    };
    if *json {
        print(&format!("{}\n", json!(tried)));
    } else {
        for target in &tried.targets {
            print(&line(target));
            if let Some(help) = target.help.as_deref() {
                say(&format!("  help: {}", clean(help)));
            }
        }
    }
    match tried.targets.iter().all(|it| it.arrived) {
        true => Exit::Done,
        false => Exit::Refused,
    }
}

fn line(target: &TargetTried) -> String {
    let (name, kind) = (clean(&target.name), clean(&target.kind));
    let took = format!("{:.0} ms", 1_000.0 * target.seconds);
    match &target.why {
        None => format!("{name:<16} {kind:<13} arrived in {took}\n"),
        Some(why) => format!(
            "{name:<16} {kind:<13} failed after {took}: {}\n",
            clean(why)
        ),
    }
}
