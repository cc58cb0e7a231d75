//! `plimsoll approval`: what waits for the approval of others, and what is said to it.

use clap::Subcommand;
use plimsoll_console::{ApprovalList, ApprovalVerb, ApprovalWanted, Changed};
use plimsoll_measure::ApprovalView;
use serde_json::json;

use crate::access::minute;
use crate::cli::{At, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};
use crate::status::look::clean;

const APPROVALS: &str = "/api/v1/approvals";
/// Of those that do not wait any more, so many are listed.
const ENDED_LISTED: usize = 20;

#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalCommand {
    /// What waits, and what came of the latest others.
    #[command(after_help = "Example:\n  plimsoll approval list --json")]
    List {
        #[command(flatten)]
        at: At,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// One request: what would be done, who wants it, what it needs.
    Show {
        /// Its number.
        id: u64,
        #[command(flatten)]
        at: At,
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Agree with it. Once enough others do, it is done.
    #[command(after_help = "\
Example:
  PLIMSOLL_TOKEN=... plimsoll approval approve 7

Whoever asked can't approve it; the token of the state folder is no person.")]
    Approve {
        /// Its number.
        id: u64,
        /// Only what has this hash, as `approval show` tells it.
        #[arg(long, value_name = "HASH")]
        content: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Say no: one is enough.
    Refuse {
        /// Its number.
        id: u64,
        /// Why, in a few words.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        at: At,
    },
    /// Take back what you asked for.
    Withdraw {
        /// Its number.
        id: u64,
        #[command(flatten)]
        at: At,
    },
}

pub(crate) fn approval(command: &ApprovalCommand) -> Exit {
    let none = ApprovalWanted::default;
    let done = match command {
        ApprovalCommand::List { at, json } => list(&at.target(), *json),
        ApprovalCommand::Show { id, at, json } => show(&at.target(), *id, *json),
        ApprovalCommand::Approve { id, content, at } => {
            let content = content.clone();
            let wanted = ApprovalWanted { content, ..none() };
            tell(&at.target(), *id, ApprovalVerb::Approve, &wanted)
        }
        ApprovalCommand::Refuse { id, why, at } => {
            let why = why.clone();
            let wanted = ApprovalWanted { why, ..none() };
            tell(&at.target(), *id, ApprovalVerb::Refuse, &wanted)
        }
        ApprovalCommand::Withdraw { id, at } => {
            tell(&at.target(), *id, ApprovalVerb::Withdraw, &none())
        }
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn tell(
    target: &Target,
    id: u64,
    verb: ApprovalVerb,
    wanted: &ApprovalWanted,
) -> Result<Exit, ClientError> {
    let path = format!("{APPROVALS}/{id}/{verb}");
    let changed: Changed = client::ask(target, "POST", &path, Some(&json!(wanted)))?;
    Ok(said(&changed))
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let list: ApprovalList = client::ask(target, "GET", APPROVALS, None)?;
    if json {
        print(&format!("{}\n", json!(list)));
        return Ok(Exit::Done);
    }
    let (waiting, ended): (Vec<_>, Vec<_>) =
        list.approvals.iter().partition(|it| it.state == "waiting");
    if waiting.is_empty() {
        say("nothing waits for approval");
    }
    for it in waiting {
        print(&format!(
            "#{:<4} {} for {}, until {} UTC: needs {}\n",
            it.id,
            clean(&it.says),
            clean(&it.by),
            minute(it.until),
            clean(&it.needs())
        ));
    }
    for it in ended.into_iter().take(ENDED_LISTED) {
        print(&format!(
            "#{:<4} {} for {}: {}\n",
            it.id,
            clean(&it.says),
            clean(&it.by),
            clean(&it.came)
        ));
    }
    Ok(Exit::Done)
}

fn show(target: &Target, id: u64, json: bool) -> Result<Exit, ClientError> {
    let it: ApprovalView = client::ask(target, "GET", &format!("{APPROVALS}/{id}"), None)?;
    if json {
        print(&format!("{}\n", json!(it)));
        return Ok(Exit::Done);
    }
    print(&text(&it));
    Ok(Exit::Done)
}

fn text(it: &ApprovalView) -> String {
    let mut lines = vec![
        format!("#{}: {}", it.id, clean(&it.says)),
        format!("  asked by  {} at {} UTC", clean(&it.by), minute(it.since)),
    ];
    if let Some(why) = &it.why {
        lines.push(format!("  why       {}", clean(why)));
    }
    if it.state == "waiting" {
        lines.push(format!("  needs     {}", clean(&it.needs())));
        lines.push(format!("  until     {} UTC", minute(it.until)));
    } else {
        let (came, at) = (clean(&it.came), minute(it.changed));
        lines.push(format!("  came      {came}, at {at} UTC"));
    }
    if !it.approved_by.is_empty() {
        let names = clean(&it.approved_by.join(", "));
        lines.push(format!("  approved  by {names}"));
    }
    lines.push(format!("  content   {}", clean(&it.content)));
    lines.extend(
        it.effect
            .iter()
            .map(|line| format!("  would do  {}", clean(line))),
    );
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use plimsoll_core::Timestamp;

    use super::*;

    #[test]
    fn a_request_says_all_that_an_approver_must_know() {
        let at = Timestamp::from_seconds(1_795_615_852);
        let mut it = ApprovalView {
            id: 7,
            kind: "freeze".to_owned(),
            subject: "freeze".to_owned(),
            says: "a freeze of all services for 2d".to_owned(),
            effect: vec!["a freeze of all services for 2d".to_owned()],
            services: Vec::new(),
            by: "ana".to_owned(),
            why: Some("holidays\x1b[2J".to_owned()),
            persons: 2,
            missing: 1,
            approved_by: vec!["bo".to_owned()],
            rules: vec!["tier-1".to_owned()],
            content: "a1b2".to_owned(),
            state: "waiting".to_owned(),
            came: "it waits".to_owned(),
            since: at,
            until: at + std::time::Duration::from_secs(3_600),
            changed: at,
            journal: Some(3),
        };
        insta::assert_snapshot!(text(&it), @r"
        #7: a freeze of all services for 2d
          asked by  ana at 2026-11-25 14:10 UTC
          why       holidays?[2J
          needs     1 more of 2 persons other than ana (rule tier-1)
          until     2026-11-25 15:10 UTC
          approved  by bo
          content   a1b2
          would do  a freeze of all services for 2d
        ");
        it.state = "refused".to_owned();
        it.came = "cy refused it: not now".to_owned();
        assert!(text(&it).contains("came      cy refused it: not now, at 2026-11-25 14:10 UTC"));
    }
}
