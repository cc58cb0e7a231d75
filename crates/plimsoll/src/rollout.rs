//! `plimsoll rollout`: begins rollouts, says how they stand, and waits for what comes of them.

use std::time::Duration;

use clap::Subcommand;
use plimsoll_console::{Changed, RolloutList, RolloutVerb, RolloutWanted};
use plimsoll_measure::{RolloutState, RolloutView, figure};
use plimsoll_upstream::Clock;
use serde_json::json;

use crate::cli::{At, Past, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say};
use crate::status::look::clean;

const PATH: &str = "/api/v1/rollouts";
/// How often it is looked while somebody waits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// For how long a process that can't be asked is asked again: it may be restarted or upgraded.
const GONE_MAX: Duration = Duration::from_secs(60);

#[derive(Debug, Subcommand)]
pub(crate) enum RolloutCommand {
    /// All rollouts of the configuration, and how they stand.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// How one stands: its steps, what is known, what it spent of the budget.
    Status {
        /// Its name in the configuration.
        name: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Give a version its first share of requests; it goes on by itself for as long as nothing speaks against it.
    #[command(after_help = "\
Examples:
  plimsoll rollout start checkout-v2 --why \"release 2.4\"
  plimsoll rollout start checkout-v2 --wait --timeout 4h --why \"release 2.4\"       in a pipeline

With --wait: 0 it was promoted, 1 it was rolled back or aborted, 2 that is not decided: too little came to tell, a person
must say how it goes on, or the time is over. The report goes to standard output, what happens meanwhile to standard error.")]
    Start {
        /// Its name in the configuration.
        name: String,
        /// Wait for what comes of it.
        #[arg(long)]
        wait: bool,
        #[command(flatten)]
        waiting: Waiting,
        /// Why, in a few words: for whoever reads the journal.
        #[arg(long, value_name = "TEXT")]
        why: Option<String>,
        #[command(flatten)]
        past: Past,
        #[command(flatten)]
        at: At,
    },
    /// Wait for what comes of one that is on; it ends as `start --wait` does.
    Wait {
        /// Its name in the configuration.
        name: String,
        #[command(flatten)]
        waiting: Waiting,
        #[command(flatten)]
        at: At,
    },
    /// Keep the share as it is, whatever is known; a version that is too bad is rolled back all the same.
    Pause(Deed),
    /// Let one go on that was paused; after a strike, sooner than by itself.
    Resume(Deed),
    /// Take the next step now, whatever holds it but a freeze: so a gate is opened, and what waits for a person goes on.
    Advance(Deed),
    /// Go back to the step before, and stay there.
    StepBack(Deed),
    /// Give a version all requests now.
    Promote(Deed),
    /// Take all requests from a version now.
    Abort(Deed),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Waiting {
    /// Wait no longer than this, as 30m or 4h.
    #[arg(long, value_name = "LENGTH", value_parser = length)]
    timeout: Option<Duration>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Deed {
    /// Its name in the configuration.
    name: String,
    /// Why, in a few words: for whoever reads the journal.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Only if nobody changed it since: the revision that `status` showed.
    #[arg(long, value_name = "NUMBER")]
    revision: Option<u64>,
    #[command(flatten)]
    past: Past,
    #[command(flatten)]
    at: At,
}

fn length(text: &str) -> Result<Duration, String> {
    plimsoll_console::length(text)
        .ok_or_else(|| "expected a length of time, as 90s, 10m, 4h or 1d".to_owned())
}

pub(crate) fn rollout(command: &RolloutCommand) -> Exit {
    let done = match command {
        RolloutCommand::List { json, at } => list(&at.target(), *json),
        RolloutCommand::Status { name, json, at } => status(&at.target(), name, *json),
        RolloutCommand::Start {
            name,
            wait: waits,
            waiting,
            why,
            past,
            at,
        } => {
            let target = at.target();
            let wanted = wanted(why.as_ref(), None, past);
            let begun = act(&target, name, RolloutVerb::Start, &wanted);
            match begun {
                Ok(changed) if *waits && changed.approval.is_none() => {
                    say(&clean(&changed.message));
                    wait(&target, name, waiting)
                }
                begun => begun.map(|changed| said(&changed)),
            }
        }
        RolloutCommand::Wait { name, waiting, at } => wait(&at.target(), name, waiting),
        RolloutCommand::Pause(deed) => by_hand(deed, RolloutVerb::Pause),
        RolloutCommand::Resume(deed) => by_hand(deed, RolloutVerb::Resume),
        RolloutCommand::Advance(deed) => by_hand(deed, RolloutVerb::Advance),
        RolloutCommand::StepBack(deed) => by_hand(deed, RolloutVerb::StepBack),
        RolloutCommand::Promote(deed) => by_hand(deed, RolloutVerb::Promote),
        RolloutCommand::Abort(deed) => by_hand(deed, RolloutVerb::Abort),
    };
    done.unwrap_or_else(|error| refused(&error))
}

fn by_hand(deed: &Deed, verb: RolloutVerb) -> Result<Exit, ClientError> {
    let wanted = wanted(deed.why.as_ref(), deed.revision, &deed.past);
    let changed = act(&deed.at.target(), &deed.name, verb, &wanted)?;
    Ok(said(&changed))
}

fn wanted(why: Option<&String>, revision: Option<u64>, past: &Past) -> RolloutWanted {
    RolloutWanted {
        why: why.cloned(),
        revision,
        fix: past.fix,
        break_glass: past.break_glass,
    }
}

fn act(
    target: &Target,
    name: &str,
    verb: RolloutVerb,
    wanted: &RolloutWanted,
) -> Result<Changed, ClientError> {
    let path = format!("{PATH}/{}/{verb}", client::part(name));
    client::ask(target, "POST", &path, Some(&json!(wanted)))
}

fn view(target: &Target, name: &str) -> Result<RolloutView, ClientError> {
    client::ask(
        target,
        "GET",
        &format!("{PATH}/{}", client::part(name)),
        None,
    )
}

fn list(target: &Target, as_json: bool) -> Result<Exit, ClientError> {
    let list: RolloutList = client::ask(target, "GET", PATH, None)?;
    if as_json {
        print(&format!("{:#}\n", json!(list)));
        return Ok(Exit::Done);
    }
    if list.rollouts.is_empty() {
        print("no rollouts: [rollout.NAME] in the configuration describes one\n");
    }
    for it in &list.rollouts {
        print(&format!(
            "{}  {} of {}  {} at {}\n    {}\n",
            clean(&it.name),
            clean(&it.version),
            clean(&it.service),
            it.state.name(),
            figure::percent(Some(it.weight), " "),
            clean(&it.says),
        ));
    }
    Ok(Exit::Done)
}

fn status(target: &Target, name: &str, as_json: bool) -> Result<Exit, ClientError> {
    let view = view(target, name)?;
    print(&if as_json {
        format!("{:#}\n", json!(view))
    } else {
        report(&view)
    });
    Ok(Exit::Done)
}

/// Until it is looked again.
fn pause() {
    #[expect(
        clippy::disallowed_methods,
        reason = "nobody tells another process how a rollout goes on"
    )]
    std::thread::sleep(LOOK_EVERY);
}

/// Looks until it is decided.
fn wait(target: &Target, name: &str, waiting: &Waiting) -> Result<Exit, ClientError> {
    let clock = Clock::new();
    let began = clock.now();
    let (mut told, mut heard) = (String::new(), clock.now());
    let (view, is_late) = loop {
        let view = match view(target, name) {
            Ok(view) => view,
            Err(ClientError::Io { .. } | ClientError::NotFound { .. })
                if clock.now() - heard < GONE_MAX =>
            {
                pause();
                continue;
            }
            Err(error) => return Err(error),
        };
        heard = clock.now();
        if view.says != told {
            say(&format!("{}: {}", view.state.name(), clean(&view.says)));
            told.clone_from(&view.says);
        }
        let is_late = waiting
            .timeout
            .is_some_and(|most| clock.now() - began >= most);
        if !view.state.is_on() || view.state == RolloutState::Asking || is_late {
            break (view, is_late);
        }
        pause();
    };
    print(&if waiting.json {
        format!("{:#}\n", json!(view))
    } else {
        report(&view)
    });
    Ok(match view.state {
        RolloutState::Promoted => Exit::Done,
        RolloutState::RolledBack | RolloutState::Aborted => Exit::Refused,
        _ if is_late => {
            say("the time is over and it is not decided; it goes on");
            Exit::Failed
        }
        // Not decided is no pass.
        _ => Exit::Failed,
    })
}

/// What a person or a pipeline keeps of it.
fn report(view: &RolloutView) -> String {
    let percent = |share: Option<f64>| figure::percent(share, " ");
    let mut out = format!(
        "{}: {} of {}, {} at {}\n{}\n",
        clean(&view.name),
        clean(&view.version),
        clean(&view.service),
        view.state.name(),
        percent(Some(view.weight)),
        clean(&view.says),
    );
    let steps: Vec<String> = view
        .steps
        .iter()
        .enumerate()
        .map(|(place, step)| {
            let weight = percent(Some(step.weight));
            let gate = if step.gate { " (a person)" } else { "" };
            if view.step == Some(place) && view.state.is_on() {
                format!("[{weight}{gate}]")
            } else {
                format!("{weight}{gate}")
            }
        })
        .collect();
    out.push_str(&format!("steps: {}\n", steps.join(" → ")));
    let Some(run) = &view.run else {
        return out;
    };
    let at = figure::clock(run.began, 8);
    out.push_str(&format!(
        "began {at} UTC by {}: {}\n\n",
        clean(&run.by),
        clean(&run.why)
    ));
    let share = |count: u64, of: u64| (of > 0).then(|| count as f64 / of as f64);
    out.push_str("            requests        bad      share       slow\n");
    for (name, arm) in [("stable", run.stable), ("version", run.canary)] {
        out.push_str(&format!(
            "{name:<10}{:>10} {:>10} {:>10} {:>10}\n",
            figure::count(arm.requests),
            figure::count(arm.bad),
            percent(share(arm.bad, arm.requests)),
            figure::count(arm.slow),
        ));
    }
    out.push('\n');
    for evidence in &run.evidence {
        let strikes = evidence.strikes_at;
        let strikes = strikes.map_or(String::new(), |at| format!(", strikes at {at:.0}"));
        let ratio = evidence.ratio();
        let ratio = ratio.map_or(String::new(), |it| format!("; the version's rate is {it}"));
        out.push_str(&format!(
            "evidence by {}: {:.2}{strikes}{ratio}\n",
            clean(&evidence.of),
            evidence.e
        ));
    }
    out.push_str(&format!(
        "strikes: {} of {}\n",
        run.strikes, run.strikes_max
    ));
    if let Some(price) = &run.price {
        out.push_str(&format!(
            "budget spent by the version: {} of {} ({} requests expected in {})\n",
            percent(Some(price.spent)),
            percent(Some(price.limit)),
            figure::count(price.requests.max(0.0).round() as u64),
            figure::duration(price.period_seconds),
        ));
        if let Some(more) = price.more {
            out.push_str(&format!(
                "the next step needs about {} more good answers\n",
                figure::count(more.max(0.0).ceil() as u64)
            ));
        }
    }
    if let Some(number) = run.journal {
        out.push_str(&format!("journal: #{number}\n"));
    }
    out
}
