//! `plimsoll flag`: what flags are, and what people change of them.
//!
//! What was given is sent as it is, and checked by the running process: whoever asks the control API hears the same. Only
//! `evaluate --file` needs no process.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use plimsoll_config::read_flags;
use plimsoll_console::{
    Changed, FlagActWanted, FlagContextWanted, FlagEvaluated, FlagList, FlagView, FlagWanted,
};
use plimsoll_core::Timestamp;
use plimsoll_measure::figure;
use plimsoll_policy::flag::{Evaluation, EvaluationError, FlagContext, FlagSet, FractionalVersion};
use plimsoll_upstream::Clock;
use serde_json::{Value, json};

use crate::access::minute;
use crate::cli::{At, Past, print, refused, said};
use crate::client::{self, ClientError, Target};
use crate::exit::{Exit, say, with_causes};
use crate::status::look::clean;

const FLAGS: &str = "/api/v1/flags";

#[derive(Debug, Subcommand)]
pub(crate) enum FlagCommand {
    /// All flags: what they are by default, and what is set of them.
    #[command(after_help = "Example:\n  plimsoll flag list --json")]
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// One flag, with its definition.
    #[command(after_help = "Example:\n  plimsoll flag show new-cart")]
    Show {
        /// Which flag.
        key: String,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Give a flag a definition, or all one variant of it. Only where flags are managed.
    #[command(after_help = "\
Examples:
  plimsoll flag set new-cart --definition new-cart.json --why \"the new cart begins\"
  plimsoll flag set new-cart off --for 2h --why \"orders are lost\"
  plimsoll flag set new-cart on --why \"it is for all now\"

The definition is one flag in flagd's format: {\"state\": ..., \"variants\": ..., \"defaultVariant\": ..., \"targeting\": ...}.")]
    Set {
        /// Which flag.
        key: String,
        /// The variant that all get, until that is ended.
        #[arg(required_unless_present = "definition", conflicts_with = "definition")]
        variant: Option<String>,
        /// A file with the flag's definition in JSON; `-`: standard input.
        #[arg(long, value_name = "FILE")]
        definition: Option<PathBuf>,
        #[command(flatten)]
        reason: Reason,
        #[command(flatten)]
        at: At,
    },
    /// A flag is in use, whatever its definition says. Only where flags are managed.
    #[command(
        after_help = "Example:\n  plimsoll flag enable new-cart --for 1d --why \"trying it\""
    )]
    Enable(Act),
    /// A flag is not in use: clients get their code's own default. Only where flags are managed.
    #[command(
        after_help = "Example:\n  plimsoll flag disable new-cart --for 2h --why \"orders are lost\""
    )]
    Disable(Act),
    /// End what is set, enabled or disabled of a flag: its definition counts again.
    #[command(after_help = "Example:\n  plimsoll flag end new-cart --why \"it is repaired\"")]
    End(Act),
    /// Take a flag away. Only where flags are managed.
    #[command(
        after_help = "Example:\n  plimsoll flag delete new-cart --why \"the code does not ask for it any more\""
    )]
    Delete(Act),
    /// What a flag is for somebody, and why.
    #[command(after_help = "\
Examples:
  plimsoll flag evaluate new-cart --for-key user-7
  plimsoll flag evaluate new-cart --context '{\"targetingKey\": \"user-7\", \"country\": \"nl\"}'
  plimsoll flag evaluate new-cart --for-key user-7 --file flags.json      without a running Plimsoll

Exit codes: 0 evaluated, 1 no answer, 2 the file can't be read, 3 no running Plimsoll found.")]
    Evaluate {
        /// Which flag.
        key: String,
        /// The context, as a client sends it.
        #[arg(long, value_name = "JSON")]
        context: Option<String>,
        /// The targeting key, over that of the context.
        #[arg(long, value_name = "KEY")]
        for_key: Option<String>,
        /// A file of flags, in the place of a running Plimsoll.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["at", "state"])]
        file: Option<PathBuf>,
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
    /// Flags that should go: they have expired, or all have had the same for over 30 days.
    #[command(
        after_help = "Example:\n  plimsoll flag stale\n\nExit codes: 0 none, 1 some, 3 no running Plimsoll found."
    )]
    Stale {
        /// As JSON.
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        at: At,
    },
}

/// A flag, and why something is done with it.
#[derive(Debug, Args)]
pub(crate) struct Act {
    /// Which flag.
    key: String,
    #[command(flatten)]
    reason: Reason,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(crate) struct Reason {
    /// How long, as 90s, 10m, 2h or 7d; it ends by itself. Without it: until somebody ends it.
    #[arg(long = "for", value_name = "LENGTH")]
    lasts: Option<String>,
    /// Why, in a few words: for whoever finds it.
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
    /// Only if the flag still has this version, as `plimsoll flag show` tells it.
    #[arg(long, value_name = "NUMBER")]
    if_version: Option<u64>,
    #[command(flatten)]
    past: Past,
}

pub(crate) fn flag(command: &FlagCommand) -> Exit {
    let done = match command {
        FlagCommand::List { json, at } => list(&at.target(), *json),
        FlagCommand::Show { key, json, at } => show(&at.target(), key, *json),
        FlagCommand::Set {
            key,
            variant,
            definition,
            reason,
            at,
        } => match definition {
            Some(file) => match read_definition(file) {
                Ok(definition) => define(&at.target(), key, definition, reason),
                Err(why) => {
                    say(&format!("error: {why}"));
                    return Exit::Failed;
                }
            },
            None => act(&at.target(), "set", key, variant.clone(), reason),
        },
        FlagCommand::Enable(asked) => asked.send("enable"),
        FlagCommand::Disable(asked) => asked.send("disable"),
        FlagCommand::End(asked) => asked.send("end"),
        FlagCommand::Delete(asked) => asked.send("delete"),
        FlagCommand::Evaluate {
            key,
            context,
            for_key,
            file,
            json,
            at,
        } => {
            let context = match context_of(context.as_deref(), for_key.as_deref()) {
                Ok(context) => context,
                Err(why) => {
                    say(&format!("error: {why}"));
                    return Exit::Failed;
                }
            };
            match file {
                Some(file) => return evaluate_file(file, key, context, *json),
                None => evaluate(&at.target(), key, context, *json),
            }
        }
        FlagCommand::Stale { json, at } => stale(&at.target(), *json),
    };
    done.unwrap_or_else(|error| refused(&error))
}

impl Act {
    fn send(&self, verb: &str) -> Result<Exit, ClientError> {
        act(&self.at.target(), verb, &self.key, None, &self.reason)
    }
}

fn path(key: &str) -> String {
    format!("{FLAGS}/{}", client::part(key))
}

fn act(
    target: &Target,
    verb: &str,
    key: &str,
    variant: Option<String>,
    reason: &Reason,
) -> Result<Exit, ClientError> {
    let wanted = json!(FlagActWanted {
        variant,
        lasts: reason.lasts.clone(),
        version: reason.if_version,
        why: reason.why.clone(),
        fix: reason.past.fix,
        break_glass: reason.past.break_glass,
    });
    let changed: Changed = match verb {
        "delete" => client::ask(target, "DELETE", &path(key), Some(&wanted))?,
        verb => client::ask(
            target,
            "POST",
            &format!("{}/{verb}", path(key)),
            Some(&wanted),
        )?,
    };
    Ok(said(&changed))
}

fn define(
    target: &Target,
    key: &str,
    definition: Value,
    reason: &Reason,
) -> Result<Exit, ClientError> {
    if reason.lasts.is_some() {
        let text = "a definition has no end: `--for` goes with a variant";
        return Err(ClientError::Refused(text.to_owned()));
    }
    let wanted = json!(FlagWanted {
        definition,
        version: reason.if_version,
        why: reason.why.clone(),
        fix: reason.past.fix,
        break_glass: reason.past.break_glass,
    });
    let changed: Changed = client::ask(target, "PUT", &path(key), Some(&wanted))?;
    Ok(said(&changed))
}

fn read_definition(file: &Path) -> Result<Value, String> {
    let shown = file.display();
    let text = if file == Path::new("-") {
        std::io::read_to_string(std::io::stdin())
    } else {
        std::fs::read_to_string(file)
    };
    let text = text.map_err(|error| format!("reading {shown}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{shown} is no JSON: {error}"))
}

fn list(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let list: FlagList = client::ask(target, "GET", FLAGS, None)?;
    if json {
        print(&format!("{}\n", json!(list)));
        return Ok(Exit::Done);
    }
    if list.flags.is_empty() {
        say("there are no flags");
    }
    for flag in &list.flags {
        print(&line(flag));
    }
    Ok(Exit::Done)
}

/// One flag in a line: what all or most have, and what is set.
fn line(flag: &FlagView) -> String {
    let key = clean(&flag.key);
    let what = match (flag.enabled, &flag.default) {
        (false, _) => "disabled".to_owned(),
        (true, Some(default)) => clean(default),
        (true, None) => "the code's own default".to_owned(),
    };
    let rules = if flag.targeting { ", with rules" } else { "" };
    let owner = flag
        .owner
        .as_deref()
        .map(|owner| format!("  {}", clean(owner)));
    let set = flag.set.as_ref().map(|set| {
        let until = set.until.map_or_else(String::new, until);
        format!(
            "  {} by {}{until}: {}",
            set.verb,
            clean(&set.by),
            clean(&set.why)
        )
    });
    let stale = flag
        .stale
        .as_ref()
        .map(|why| format!("  stale: {}", clean(why)));
    let rollout = (flag.rollout.as_ref()).map(|it| format!("  rolled out by {}", clean(it)));
    let dimmed = flag.dimmed.as_ref().map(|it| {
        let (share, service) = (figure::percent(Some(it.share), " "), clean(&it.service));
        format!("  off for {share} of users: {service} leaves it out")
    });
    format!(
        "{key:<24} {what}{rules}{}{}{}{}{}\n",
        owner.unwrap_or_default(),
        set.unwrap_or_default(),
        rollout.unwrap_or_default(),
        dimmed.unwrap_or_default(),
        stale.unwrap_or_default()
    )
}

fn until(until: Timestamp) -> String {
    format!(", until {} UTC", minute(until))
}

fn show(target: &Target, key: &str, json: bool) -> Result<Exit, ClientError> {
    let flag: FlagView = client::ask(target, "GET", &path(key), None)?;
    if json {
        print(&format!("{}\n", json!(flag)));
        return Ok(Exit::Done);
    }
    print(&line(&flag));
    if let (Some(changed), Some(version)) = (&flag.changed, flag.version) {
        print(&format!(
            "version {version}, defined by {} at {} UTC: {}\n",
            clean(&changed.by),
            minute(changed.at),
            clean(&changed.why)
        ));
    }
    print(&format!("evaluated {} times\n", flag.evaluations));
    if let Some(definition) = &flag.definition {
        print(&format!("{definition:#}\n"));
    }
    Ok(Exit::Done)
}

fn context_of(context: Option<&str>, key: Option<&str>) -> Result<Value, String> {
    let mut context = match context {
        Some(text) => serde_json::from_str(text)
            .map_err(|error| format!("the context is no JSON: {error}"))?,
        None => json!({}),
    };
    if let (Some(key), Some(fields)) = (key, context.as_object_mut()) {
        fields.insert("targetingKey".to_owned(), key.into());
    }
    Ok(context)
}

fn evaluate(target: &Target, key: &str, context: Value, json: bool) -> Result<Exit, ClientError> {
    let wanted = json!(FlagContextWanted {
        context: Some(context)
    });
    let path = format!("{}/evaluate", path(key));
    let given: FlagEvaluated = client::ask(target, "POST", &path, Some(&wanted))?;
    Ok(tell(&given, json))
}

fn tell(given: &FlagEvaluated, json: bool) -> Exit {
    if json {
        print(&format!("{}\n", json!(given)));
    } else {
        let variant = given.variant.as_deref().map(clean);
        let variant = variant.unwrap_or_else(|| "the code's own default".to_owned());
        print(&format!(
            "{} {variant}: {} ({})\n",
            clean(&given.key),
            given.value,
            given.reason
        ));
    }
    Exit::Done
}

fn evaluate_file(file: &Path, key: &str, context: Value, json: bool) -> Exit {
    let text = match read_flags(file) {
        Ok(text) => text,
        Err(error) => {
            say(&format!(
                "error: {}: {}",
                file.display(),
                with_causes(&error)
            ));
            return Exit::Failed;
        }
    };
    let set = match FlagSet::parse(&text, FractionalVersion::default()) {
        Ok(set) => set,
        Err(problems) => {
            for problem in problems {
                say(&format!(
                    "error: {}: {}",
                    file.display(),
                    clean(&problem.to_string())
                ));
            }
            return Exit::Refused;
        }
    };
    let now = Clock::new().timestamp();
    match evaluated(key, context, |context| set.evaluate(key, context, now)) {
        Ok(given) => tell(&given, json),
        Err(why) => {
            say(&clean(&why));
            Exit::Refused
        }
    }
}

/// What a flag is for a context, or why there is no answer.
pub(crate) fn evaluated<'a>(
    key: &str,
    context: Value,
    evaluate: impl FnOnce(&FlagContext) -> Result<Evaluation<'a>, EvaluationError>,
) -> Result<FlagEvaluated, String> {
    let context = FlagContext::new(context).map_err(|error| error.to_string())?;
    let given = evaluate(&context).map_err(|error| error.to_string())?;
    Ok(FlagEvaluated {
        key: key.to_owned(),
        variant: given.variant.map(str::to_owned),
        value: given.value.cloned().unwrap_or_default(),
        reason: given.reason.name().to_owned(),
    })
}

fn stale(target: &Target, json: bool) -> Result<Exit, ClientError> {
    let list: FlagList = client::ask(target, "GET", FLAGS, None)?;
    let stale: Vec<&FlagView> = list
        .flags
        .iter()
        .filter(|flag| flag.stale.is_some())
        .collect();
    if json {
        print(&format!("{}\n", json!({ "flags": stale })));
    } else {
        for flag in &stale {
            print(&line(flag));
        }
    }
    if stale.is_empty() {
        if !json {
            say("no flag is stale, as far as that is known");
        }
        return Ok(Exit::Done);
    }
    Ok(Exit::Refused)
}
