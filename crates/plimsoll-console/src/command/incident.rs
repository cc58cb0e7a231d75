//! `plimsoll incident ...`: what people do about an incident, and the pages that show what is known of it.

use plimsoll_core::Timestamp;

use super::{Asked, Given, quoted, quoted_or};
use crate::incident::{DeedVerb, DeedWanted};
use crate::wire::shown;

/// What is given must be right; what is missing is asked for before anything is done.
pub(super) fn read(given: &mut Given) -> Result<Asked, String> {
    const WHAT: &str = "list, show, review, ack, note, hand-over, silence, group or resolve";
    let what = given.word(&format!("say what of incidents: {WHAT}"))?;
    let verb = match what.as_str() {
        "list" => {
            // The page has all that are known.
            given.option("--since")?;
            return Ok(Asked::Page("/incidents".to_owned()));
        }
        "show" => return Ok(Asked::Page(format!("/incidents/{}", number(given)?))),
        "review" => return Ok(Asked::Page(format!("/incidents/{}/review", number(given)?))),
        "ack" => DeedVerb::Acknowledge,
        other => match other.parse() {
            Ok(DeedVerb::Acknowledge) | Err(_) => {
                return Err(format!(
                    "`plimsoll incident {}` can't be asked for here: {WHAT} can",
                    shown(other)
                ));
            }
            Ok(verb) => verb,
        },
    };
    let incident = number(given)?;
    let mut wanted = DeedWanted::default();
    match verb {
        DeedVerb::Note => wanted.note = given.words.pop_front(),
        DeedVerb::HandOver => wanted.to = given.words.pop_front(),
        DeedVerb::Group if !given.words.is_empty() => wanted.into = Some(number(given)?),
        _ => (),
    }
    wanted.lasts = given.option("--for")?;
    wanted.why = given.option("--why")?;
    whole(&wanted, verb)
        .check(verb, Timestamp::from_seconds(0))
        .map_err(|problem| problem.to_string())?;
    Ok(Asked::Act {
        incident,
        verb,
        wanted,
    })
}

/// The same with something in the place of all that is missing.
fn whole(wanted: &DeedWanted, verb: DeedVerb) -> DeedWanted {
    let mut whole = wanted.clone();
    let given = |text: &mut Option<String>, something: &str| {
        text.get_or_insert_with(|| something.to_owned());
    };
    match verb {
        DeedVerb::Acknowledge => (),
        DeedVerb::Note => given(&mut whole.note, "?"),
        DeedVerb::HandOver => given(&mut whole.to, "somebody"),
        DeedVerb::Group => whole.into = whole.into.or(Some(0)),
        DeedVerb::Resolve => given(&mut whole.why, "?"),
        DeedVerb::Silence => {
            given(&mut whole.lasts, "1s");
            given(&mut whole.why, "?");
        }
    }
    whole
}

/// As it is shown, `#4711`, in quotes, or without the mark.
fn number(given: &mut Given) -> Result<u64, String> {
    let text = given.word("say which incident: its number")?;
    let digits = text.strip_prefix('#').unwrap_or(&text);
    digits
        .parse()
        .map_err(|_| format!("`{}` is no incident: expected its number", shown(&text)))
}

/// The command line that does this, with a word in capitals for what is not known yet.
pub(crate) fn act(incident: u64, verb: DeedVerb, wanted: &DeedWanted) -> String {
    let mut line = match verb {
        DeedVerb::Acknowledge => format!("plimsoll incident ack {incident}"),
        other => format!("plimsoll incident {other} {incident}"),
    };
    let mut add = |text: &str| {
        line.push(' ');
        line.push_str(text);
    };
    match verb {
        DeedVerb::Note => add(&quoted_or(wanted.note.as_deref(), "TEXT")),
        DeedVerb::HandOver => add(&quoted_or(wanted.to.as_deref(), "OWNER")),
        DeedVerb::Group => add(&wanted
            .into
            .map_or("OTHER".to_owned(), |into| into.to_string())),
        DeedVerb::Silence => add(&format!(
            "--for {}",
            quoted_or(wanted.lasts.as_deref(), "LENGTH")
        )),
        DeedVerb::Acknowledge | DeedVerb::Resolve => (),
    }
    match (verb, wanted.why.as_deref().filter(|why| !why.is_empty())) {
        (DeedVerb::Acknowledge | DeedVerb::Note, _) => (),
        (_, Some(why)) => add(&format!("--why {}", quoted(why))),
        (DeedVerb::Resolve | DeedVerb::Silence, None) => add("--why REASON"),
        (DeedVerb::HandOver | DeedVerb::Group, None) => (),
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::read;

    #[track_caller]
    fn check(line: &str, verb: DeedVerb, wanted: DeedWanted) {
        let asked = Asked::Act {
            incident: 7,
            verb,
            wanted,
        };
        assert_eq!(read(line), Ok(asked), "{line}");
    }

    #[test]
    fn what_is_done_about_an_incident_is_understood_and_the_rest_is_asked_for() {
        let nothing = DeedWanted::default;
        let some = |text: &str| Some(text.to_owned());
        check("plimsoll incident ack 7", DeedVerb::Acknowledge, nothing());
        check("plimsoll incident note '#7'", DeedVerb::Note, nothing());
        let mut wanted = nothing();
        wanted.note = some("lock waits");
        check(
            "plimsoll incident note 7 \"lock waits\"",
            DeedVerb::Note,
            wanted,
        );
        let mut wanted = nothing();
        (wanted.to, wanted.why) = (some("supply"), some("their table"));
        check(
            "plimsoll incident hand-over 7 supply --why 'their table'",
            DeedVerb::HandOver,
            wanted,
        );
        let mut wanted = nothing();
        wanted.into = Some(3);
        check("plimsoll incident group 7 3", DeedVerb::Group, wanted);
        let mut wanted = nothing();
        wanted.lasts = some("2h");
        check(
            "plimsoll incident silence 7 --for 2h",
            DeedVerb::Silence,
            wanted,
        );
        check("plimsoll incident resolve 7", DeedVerb::Resolve, nothing());
    }

    #[test]
    fn what_reads_leads_to_its_page() {
        for (line, path) in [
            ("plimsoll incident list --since 1d", "/incidents"),
            ("plimsoll incident show 7", "/incidents/7"),
            ("plimsoll incident review 7", "/incidents/7/review"),
        ] {
            assert_eq!(read(line), Ok(Asked::Page(path.to_owned())), "{line}");
        }
    }

    #[test]
    fn what_can_not_be_is_refused_with_the_reason() {
        for (line, part) in [
            ("plimsoll incident", "say what of incidents"),
            ("plimsoll incident delete 7", "`plimsoll incident delete`"),
            ("plimsoll incident acknowledge 7", "can't be asked for here"),
            ("plimsoll incident ack", "say which incident"),
            ("plimsoll incident ack x", "`x` is no incident"),
            ("plimsoll incident ack 7 8", "`8` is not expected here"),
            ("plimsoll incident ack 7 --why x", "has no `why`"),
            ("plimsoll incident show ../7", "`../7` is no incident"),
            ("plimsoll incident group 7 x", "`x` is no incident"),
            ("plimsoll incident silence 7 --for 8d", "at most 7d"),
            ("plimsoll incident resolve 7 --why ''", "say why"),
            ("plimsoll incident review 7 > x.md", "`>` means something"),
        ] {
            let said = read(line).unwrap_err();
            assert!(said.contains(part), "{line}: {said}");
        }
    }

    #[test]
    fn what_is_not_known_yet_is_a_word_in_capitals() {
        let lines = DeedVerb::ALL.map(|verb| act(7, verb, &DeedWanted::default()));
        assert_eq!(
            lines,
            [
                "plimsoll incident ack 7",
                "plimsoll incident hand-over 7 OWNER",
                "plimsoll incident note 7 TEXT",
                "plimsoll incident resolve 7 --why REASON",
                "plimsoll incident group 7 OTHER",
                "plimsoll incident silence 7 --for LENGTH --why REASON",
            ]
        );
    }

    proptest! {
        #[test]
        fn a_line_that_is_written_is_read_as_it_was_meant(
            to in "[a-z][a-z0-9-]{0,20}",
            why in "[^\\p{Cc}\\s-][^\\p{Cc}]{0,40}",
            note in "[^\\p{Cc}\\s-][^\\p{Cc}]{0,40}",
        ) {
            for verb in DeedVerb::ALL {
                let wanted = DeedWanted {
                    to: (verb == DeedVerb::HandOver).then(|| to.clone()),
                    note: (verb == DeedVerb::Note).then(|| note.clone()),
                    into: (verb == DeedVerb::Group).then_some(3),
                    lasts: (verb == DeedVerb::Silence).then(|| "2h".to_owned()),
                    why: (!matches!(verb, DeedVerb::Acknowledge | DeedVerb::Note)).then(|| why.clone()),
                };
                let line = act(7, verb, &wanted);
                prop_assert_eq!(read(&line), Ok(Asked::Act { incident: 7, verb, wanted }));
            }
        }
    }
}
