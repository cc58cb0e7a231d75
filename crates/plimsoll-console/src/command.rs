//! A command line of `plimsoll` as text, as runbooks have it: what it asks of this console.
//!
//! It is read, and never run: there is no shell and no process. What reads leads to the page that shows it, what changes to the
//! page that asks first. Everything else is refused with the reason.
//!
//! Words are split as a POSIX shell splits them (POSIX.1-2024, Shell Command Language, 2.2). What a shell would make something
//! else of is refused: the line that people see is what is meant, also where they paste it into a terminal.

mod incident;

use serde_json::Value;

use crate::approval::ApprovalVerb;
use crate::incident::{DeedVerb, DeedWanted};
use crate::overlay::{SettingWanted, Verb};
use crate::rollout::RolloutVerb;
use crate::wire::shown;

pub(crate) use incident::act;

/// Longer ones are none that people read.
const LINE_BYTES_MAX: usize = 2_048;
/// What a shell acts on outside of quotes, and in double quotes.
const SPECIAL: &str = ";&|<>()$`\\#*?[]{}~!";
const SPECIAL_QUOTED: &str = "$`\\!";

/// What a command line asks for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Asked {
    /// To be shown the page at this path.
    Page(String),
    /// To set something of a service: what is given of it.
    Set {
        service: String,
        verb: Verb,
        wanted: SettingWanted,
    },
    /// To end what is set of a service; without a verb, all that degrades it.
    End { service: String, verb: Option<Verb> },
    /// To do something about an incident: what is given of it.
    Act {
        incident: u64,
        verb: DeedVerb,
        wanted: DeedWanted,
    },
}

/// Reads a command line; an error is the reason why nothing comes of it, as a sentence.
pub(crate) fn read(line: &str) -> Result<Asked, String> {
    let words = words(line)?;
    let mut words = words.iter().map(String::as_str);
    if words.next() != Some("plimsoll") {
        return Err("only commands of plimsoll can be asked for here".to_owned());
    }
    let command = words.next().unwrap_or_default();
    let mut given = Given::of(words)?;
    let asked = match command {
        "status" => {
            given.flag("--would");
            Asked::Page("/".to_owned())
        }
        "top" => Asked::Page("/".to_owned()),
        "explain" => {
            let id = given.word("say which request: its id")?;
            Asked::Page(format!("/requests/{}", segment(&id)))
        }
        "journal" => journal(&mut given)?,
        "degrade" => degrade(&mut given)?,
        "governor" => governor(&mut given)?,
        "incident" => incident::read(&mut given)?,
        other => {
            return Err(format!(
                "`plimsoll {}` can't be asked for here: status, top, explain, journal list, degrade, governor mode and incident can",
                shown(other)
            ));
        }
    };
    given.nothing_left()?;
    Ok(asked)
}

/// The command line that sets this, with a word in capitals for what is not known yet.
pub(crate) fn set(service: &str, verb: Verb, wanted: &SettingWanted) -> String {
    let length = quoted_or(wanted.lasts.as_deref(), "LENGTH");
    let why = quoted_or(wanted.why.as_deref(), "REASON");
    let level = match &wanted.level {
        Some(Value::String(text)) => quoted(text),
        Some(other) => quoted(&other.to_string()),
        None => "LEVEL".to_owned(),
    };
    let service = quoted(service);
    let what = match verb {
        Verb::Shed | Verb::Brownout => format!("degrade {service} {verb} {level}"),
        Verb::NoRetries | Verb::NoHedges | Verb::ReadOnly => format!("degrade {service} {verb}"),
        Verb::GovernorMode => {
            let mode = quoted_or(wanted.mode.as_deref(), "MODE");
            format!("governor mode {service} {mode}")
        }
    };
    format!("plimsoll {what} --for {length} --why {why}")
}

/// The command line that does this about a rollout.
pub(crate) fn roll(name: &str, verb: RolloutVerb, why: Option<&str>) -> String {
    let (name, why) = (quoted(name), quoted_or(why, "REASON"));
    format!("plimsoll rollout {verb} {name} --why {why}")
}

/// The command line that ends this.
pub(crate) fn end(service: &str, verb: Option<Verb>) -> String {
    let service = quoted(service);
    match verb {
        Some(Verb::GovernorMode) => format!("plimsoll governor mode {service} end"),
        Some(verb) => format!("plimsoll degrade {service} end {verb}"),
        None => format!("plimsoll degrade {service} end"),
    }
}

/// The line that answers a request for approval.
pub(crate) fn answer(id: u64, verb: ApprovalVerb, why: Option<&str>, content: &str) -> String {
    let more = match verb {
        ApprovalVerb::Approve => format!(" --content {}", quoted(content)),
        ApprovalVerb::Refuse => format!(" --why {}", quoted_or(why, "REASON")),
        ApprovalVerb::Withdraw => String::new(),
    };
    format!("plimsoll approval {verb} {id}{more}")
}

fn journal(given: &mut Given) -> Result<Asked, String> {
    if given.word("say `list`: the journal is read here")? != "list" {
        return Err("of the journal only `list` can be asked for here".to_owned());
    }
    let mut query = Vec::new();
    // The page shows as many as fit, and has the older ones behind a link.
    given.option("--count")?;
    for (option, name) in [("--kind", "kind"), ("--since", "since")] {
        if let Some(value) = given.option(option)? {
            query.push(format!("{name}={}", segment(&value)));
        }
    }
    if let Some(subject) = given.option("--subject")? {
        let service = subject.strip_prefix("service/").ok_or_else(|| {
            format!(
                "the page shows records by service: expected `--subject service/NAME`, not `{}`",
                shown(&subject)
            )
        })?;
        query.push(format!("service={}", segment(service)));
    }
    let mark = if query.is_empty() { "" } else { "?" };
    Ok(Asked::Page(format!("/decisions{mark}{}", query.join("&"))))
}

fn degrade(given: &mut Given) -> Result<Asked, String> {
    let service = given.word("say which service, or `list`")?;
    let verb = match given.words.pop_front() {
        None if service == "list" => return Ok(Asked::Page("/configuration".to_owned())),
        None => return Err(
            "say what to do: shed LEVEL, no-retries, no-hedges, read-only, brownout LEVEL or end"
                .to_owned(),
        ),
        Some(verb) => verb,
    };
    if verb == "end" {
        let verb = given.words.pop_front().map(|verb| degrading(&verb));
        let verb = verb.transpose()?;
        return Ok(Asked::End { service, verb });
    }
    let verb = degrading(&verb)?;
    let level = given.words.pop_front().map(SettingWanted::level_of);
    setting(service, verb, level, None, given)
}

fn governor(given: &mut Given) -> Result<Asked, String> {
    if given.word("say `mode`")? != "mode" {
        return Err("of the governor only `mode` can be asked for here".to_owned());
    }
    let service = given.word("say which service")?;
    let mode = given.word("say which mode, enforce, observe or off; or end")?;
    let verb = Verb::GovernorMode;
    match mode.as_str() {
        "end" => Ok(Asked::End {
            service,
            verb: Some(verb),
        }),
        _ => setting(service, verb, None, Some(mode), given),
    }
}

fn degrading(verb: &str) -> Result<Verb, String> {
    let known = verb.parse().ok().filter(|it| *it != Verb::GovernorMode);
    known.ok_or_else(|| {
        format!(
            "a service can't be degraded by `{}`: shed LEVEL, no-retries, no-hedges, read-only, brownout LEVEL or end",
            shown(verb)
        )
    })
}

/// What is given must be right; what is missing is asked for before anything is done.
fn setting(
    service: String,
    verb: Verb,
    level: Option<Value>,
    mode: Option<String>,
    given: &mut Given,
) -> Result<Asked, String> {
    let (lasts, why) = (given.option("--for")?, given.option("--why")?);
    let wanted = SettingWanted {
        level,
        mode,
        lasts,
        why,
        break_glass: false,
    };
    let mut whole = wanted.clone();
    whole.lasts.get_or_insert_with(|| "1s".to_owned());
    whole.why.get_or_insert_with(|| "?".to_owned());
    whole.check(verb).map_err(|problem| problem.to_string())?;
    Ok(Asked::Set {
        service,
        verb,
        wanted,
    })
}

/// What comes after the command.
struct Given {
    words: std::collections::VecDeque<String>,
    options: Vec<(String, Option<String>)>,
}

impl Given {
    fn of<'a>(words: impl Iterator<Item = &'a str>) -> Result<Self, String> {
        let mut given = Self {
            words: std::collections::VecDeque::new(),
            options: Vec::new(),
        };
        let mut words = words.peekable();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                given.words.push_back(word.to_owned());
                continue;
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (
                    word,
                    words
                        .next_if(|next| !next.starts_with('-'))
                        .map(str::to_owned),
                ),
            };
            if matches!(name, "--at" | "--state") {
                return Err(format!(
                    "`{name}` names another Plimsoll: this one is asked"
                ));
            }
            if given.options.iter().any(|(known, _)| known == name) {
                return Err(format!("`{}` is there twice", shown(name)));
            }
            given.options.push((name.to_owned(), value));
        }
        Ok(given)
    }

    fn word(&mut self, missing: &str) -> Result<String, String> {
        let word = self.words.pop_front().filter(|word| !word.is_empty());
        word.ok_or_else(|| missing.to_owned())
    }

    fn option(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            Some(None) => Err(format!("`{name}` needs a value")),
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }

    /// An option without a value: what follows it is a word.
    fn flag(&mut self, name: &str) {
        if let Some(Some(word)) = self.take(name) {
            self.words.push_front(word);
        }
    }

    fn take(&mut self, name: &str) -> Option<Option<String>> {
        let place = self.options.iter().position(|(known, _)| known == name)?;
        Some(self.options.remove(place).1)
    }

    fn nothing_left(&self) -> Result<(), String> {
        let options = self.options.iter().map(|(name, _)| name);
        match options.chain(&self.words).next() {
            Some(more) => Err(format!("`{}` is not expected here", shown(more))),
            None => Ok(()),
        }
    }
}

/// The words of a line.
fn words(line: &str) -> Result<Vec<String>, String> {
    if line.len() > LINE_BYTES_MAX {
        return Err(format!(
            "a command has at most {LINE_BYTES_MAX} bytes; this one has {}",
            line.len()
        ));
    }
    let mut words: Vec<String> = Vec::new();
    // Inside of a word, and inside of which quotes.
    let (mut in_word, mut quote) = (false, None);
    for char in line.trim_matches(' ').chars() {
        if char.is_control() {
            return Err("a command is one line, without control characters".to_owned());
        }
        let special = match quote {
            None => SPECIAL,
            Some('"') => SPECIAL_QUOTED,
            Some(_) => "",
        };
        if special.contains(char) {
            return Err(format!(
                "`{char}` means something to a shell, and there is none here: one plain command is expected"
            ));
        }
        let begins = !in_word;
        match (char, quote) {
            (' ', None) => in_word = false,
            ('"' | '\'', None) => (in_word, quote) = (true, Some(char)),
            (char, Some(open)) if char == open => quote = None,
            _ => in_word = true,
        }
        if begins && in_word {
            words.push(String::new());
        }
        let is_quote = matches!(char, '"' | '\'') && quote.is_none_or(|open| open == char);
        if in_word
            && !is_quote
            && let Some(word) = words.last_mut()
        {
            word.push(char);
        }
    }
    match quote {
        Some(quote) => Err(format!("a {quote} is not closed")),
        None => Ok(words),
    }
}

/// A text as one word of a command line.
fn quoted(text: &str) -> String {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "-_./:@%+,".contains(char);
    match text {
        "" => "''".to_owned(),
        text if text.chars().all(is_plain) => text.to_owned(),
        text if text
            .chars()
            .any(|it| SPECIAL_QUOTED.contains(it) || it == '"') =>
        {
            format!("'{}'", text.replace('\'', "'\"'\"'"))
        }
        text => format!("\"{text}\""),
    }
}

fn quoted_or(text: Option<&str>, unknown: &str) -> String {
    let text = text.filter(|text| !text.is_empty());
    text.map_or_else(|| unknown.to_owned(), quoted)
}

/// A text as one segment of a path, or as a value of a query.
fn segment(text: &str) -> String {
    crate::page::segment(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn page(line: &str, path: &str) {
        assert_eq!(read(line), Ok(Asked::Page(path.to_owned())), "{line}");
    }

    #[track_caller]
    fn refused(line: &str, part: &str) {
        let said = read(line).unwrap_err();
        assert!(said.contains(part), "{line}: {said}");
    }

    #[test]
    fn what_reads_leads_to_the_page_that_shows_it() {
        page("plimsoll status", "/");
        page(" plimsoll  status --would ", "/");
        page("plimsoll top", "/");
        page("plimsoll explain 3cc92ba9", "/requests/3cc92ba9");
        page("plimsoll explain '../a b'", "/requests/..%2Fa%20b");
        page("plimsoll degrade list", "/configuration");
        page("plimsoll journal list", "/decisions");
        page(
            "plimsoll journal list --kind=change --since 1d --subject service/a%b --count 9",
            "/decisions?kind=change&since=1d&service=a%25b",
        );
    }

    #[test]
    fn what_changes_is_understood_and_not_done() {
        let wanted = |level: Option<u64>, lasts: Option<&str>, why: Option<&str>| SettingWanted {
            level: level.map(Value::from),
            mode: None,
            lasts: lasts.map(str::to_owned),
            why: why.map(str::to_owned),
            break_glass: false,
        };
        let set = |verb, wanted| {
            Ok(Asked::Set {
                service: "checkout".to_owned(),
                verb,
                wanted,
            })
        };
        assert_eq!(
            read("plimsoll degrade checkout shed 2 --for 10m --why \"it's hot; very\""),
            set(
                Verb::Shed,
                wanted(Some(2), Some("10m"), Some("it's hot; very"))
            )
        );
        assert_eq!(
            read("plimsoll degrade --why='a \"b\" $c' checkout no-retries"),
            set(Verb::NoRetries, wanted(None, None, Some("a \"b\" $c")))
        );
        let mut mode = wanted(None, Some("1h"), None);
        mode.mode = Some("observe".to_owned());
        assert_eq!(
            read("plimsoll governor mode checkout observe --for 1h"),
            set(Verb::GovernorMode, mode)
        );
        let end = |verb| {
            Ok(Asked::End {
                service: "checkout".to_owned(),
                verb,
            })
        };
        assert_eq!(read("plimsoll degrade checkout end"), end(None));
        assert_eq!(
            read("plimsoll degrade checkout end shed"),
            end(Some(Verb::Shed))
        );
        assert_eq!(
            read("plimsoll governor mode checkout end"),
            end(Some(Verb::GovernorMode))
        );
    }

    #[test]
    fn everything_else_is_refused_with_the_reason() {
        refused("", "only commands of plimsoll");
        refused("rm -rf /", "only commands of plimsoll");
        refused("sudo plimsoll status", "only commands of plimsoll");
        refused("/usr/bin/plimsoll status", "only commands of plimsoll");
        refused("plimsoll", "`plimsoll ` can't be asked for here");
        refused("plimsoll reload", "`plimsoll reload` can't be asked for");
        refused("plimsoll token create x --role admin", "can't be asked for");
        refused("plimsoll run --to http://x", "can't be asked for");
        refused("plimsoll journal export", "only `list`");
        refused("plimsoll journal list --subject token/x", "service/NAME");
        refused("plimsoll journal list --kind", "`--kind` needs a value");
        refused("plimsoll explain", "say which request");
        refused("plimsoll explain a b", "`b` is not expected here");
        refused("plimsoll status --json", "`--json` is not expected here");
        refused("plimsoll status --at http://evil", "another Plimsoll");
        refused("plimsoll status --state=/x", "another Plimsoll");
        refused("plimsoll degrade", "say which service");
        refused("plimsoll degrade checkout", "say what to do");
        refused("plimsoll degrade checkout stop", "degraded by `stop`");
        refused("plimsoll degrade checkout governor-mode", "degraded by");
        refused("plimsoll degrade checkout shed", "shed needs a level");
        refused("plimsoll degrade checkout shed 9", "no level of shed");
        refused("plimsoll degrade checkout no-hedges 1", "has no level");
        refused("plimsoll degrade c shed 1 --for soon", "no length of time");
        refused("plimsoll degrade c shed 1 --for 8d", "too long");
        refused("plimsoll degrade c shed 1 --why ''", "say why");
        refused("plimsoll degrade c shed 1 --for 1m --for 2m", "twice");
        refused("plimsoll degrade c end all", "degraded by `all`");
        refused("plimsoll governor mode checkout", "say which mode");
        refused("plimsoll governor mode checkout on", "`on` is no mode");
        refused(&format!("plimsoll {}", "a".repeat(3_000)), "at most 2048");
    }

    #[test]
    fn there_is_no_shell() {
        for line in [
            "plimsoll status; rm -rf /",
            "plimsoll status && x",
            "plimsoll status | x",
            "plimsoll status > /etc/passwd",
            "plimsoll explain $(x)",
            "plimsoll explain `x`",
            "plimsoll explain \"$(x)\"",
            "plimsoll explain \"`x`\"",
            "plimsoll explain $HOME",
            "plimsoll explain *",
            "plimsoll explain <id>",
            "plimsoll explain a\\b",
            "plimsoll status # x",
        ] {
            refused(line, "means something to a shell");
        }
        refused("plimsoll status\nrm -rf /", "one line");
        refused("plimsoll status\r", "one line");
        refused("plimsoll\tstatus", "one line");
        refused("plimsoll explain \"a", "a \" is not closed");
        refused("plimsoll explain 'a", "a ' is not closed");
    }

    #[test]
    fn what_is_not_known_yet_is_a_word_in_capitals() {
        let nothing = SettingWanted::default();
        assert_eq!(
            set("a b", Verb::Shed, &nothing),
            "plimsoll degrade \"a b\" shed LEVEL --for LENGTH --why REASON"
        );
        assert_eq!(
            set("a'$b", Verb::GovernorMode, &nothing),
            "plimsoll governor mode 'a'\"'\"'$b' MODE --for LENGTH --why REASON"
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(line in "\\PC{0,80}") {
            let _either_way = read(&line);
            let _either_way = read(&format!("plimsoll degrade {line}"));
        }

        #[test]
        fn a_line_that_is_written_is_read_as_it_was_meant(
            service in "[^\\p{Cc}-][^\\p{Cc}]{0,20}",
            why in "[^\\p{Cc}\\s-][^\\p{Cc}]{0,40}",
            level in 1_u64..=4,
        ) {
            let wanted = SettingWanted {
                level: Some(level.into()),
                mode: None,
                lasts: Some("10m".to_owned()),
                why: Some(why),
                break_glass: false,
            };
            let line = set(&service, Verb::Shed, &wanted);
            prop_assert_eq!(read(&line), Ok(Asked::Set { service: service.clone(), verb: Verb::Shed, wanted }));
            let line = end(&service, Some(Verb::NoHedges));
            prop_assert_eq!(read(&line), Ok(Asked::End { service, verb: Some(Verb::NoHedges) }));
        }
    }
}
