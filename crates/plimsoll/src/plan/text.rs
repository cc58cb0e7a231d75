//! Plans and kept configurations, as people read them in a terminal.

use std::collections::BTreeMap;

use plimsoll_console::{ChangePlan, Configurations, PlannedChange};

use crate::journal::line::second;
use crate::status::look::{Look, Tone, clean};

/// How many hex digits of a hash are shown: enough to tell two apart.
const HASH_CHARS: usize = 12;

/// By service, the riskiest first.
pub(super) fn plan(plan: &ChangePlan, look: Look) -> String {
    let mut out = String::new();
    let file = clean(&plan.file);
    if plan.before == plan.after {
        out.push_str(&format!("nothing to change: {file} is in force\n"));
        return out;
    }
    let count = plan.changes.len();
    let changes = match count {
        0 => "no change that means anything: only how it is written".to_owned(),
        1 => format!("1 change, risk {}", plan.risk),
        _ => format!("{count} changes, risk {}", plan.risk),
    };
    let title = format!("plan {}", short(&plan.hash));
    out.push_str(&format!(
        "{}  {file}  {changes}\n",
        look.paint(Tone::Strong, &title)
    ));
    // What is of no service comes last.
    let mut groups: BTreeMap<(bool, &str), Vec<&PlannedChange>> = BTreeMap::new();
    for change in &plan.changes {
        let service = change.service.as_deref();
        let key = (service.is_none(), service.unwrap_or_default());
        let group = groups.entry(key).or_default();
        group.push(change);
    }
    for ((is_none, service), mut changes) in groups {
        let service = (!is_none).then_some(service);
        let name = service.map_or_else(|| "not of one service".to_owned(), clean);
        out.push_str(&format!("\n{}\n", look.paint(Tone::Strong, &name)));
        changes.sort_by_key(|it| match it.risk.as_str() {
            "high" => 0,
            "low" => 1,
            _ => 2,
        });
        for change in changes {
            out.push_str(&entry(change, service, look));
        }
    }
    out.push('\n');
    if let Some(aside) = &plan.set_aside {
        out.push_str(&format!("this very file was {}\n", clean(aside)));
    }
    let approvals = match plan.approvals.as_slice() {
        [] => "none configured".to_owned(),
        some => clean(&some.join(", ")),
    };
    out.push_str(&format!("approvals: {approvals}\n"));
    out
}

/// What the simulator says; or why it says nothing.
pub(super) fn predicted(predicted: &Result<Vec<String>, String>) -> String {
    match predicted {
        Err(why) => format!("recorded traffic: nothing is predicted: {}\n", clean(why)),
        Ok(lines) => {
            let mut lines = lines.iter().map(|line| clean(line));
            let first = lines
                .next()
                .map(|line| format!("recorded traffic: {line}\n"));
            let rest = lines.map(|line| format!("  {line}\n"));
            first.into_iter().chain(rest).collect()
        }
    }
}

fn entry(change: &PlannedChange, service: Option<&str>, look: Look) -> String {
    let own = service.map(|name| format!("service {name}"));
    let thing = match own.as_deref() {
        Some(own) => change.thing.strip_prefix(own).unwrap_or(&change.thing),
        None => &change.thing,
    };
    let thing = thing.trim_start_matches(", ");
    let what = match (thing, change.key.as_str()) {
        ("", "") => "the service".to_owned(),
        ("", key) => key.to_owned(),
        (thing, "") => thing.to_owned(),
        (thing, key) => format!("{thing}: {key}"),
    };
    let (to, empty) = if look.unicode {
        ("→", "∅")
    } else {
        ("->", "-")
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| empty.to_owned());
    let (before, after) = (value(&change.before), value(&change.after));
    let values = match change.kind.as_str() {
        "added" => format!("+ {after}"),
        "removed" => format!("- {before}"),
        _ => format!("{before} {to} {after}"),
    };
    let tone = match change.risk.as_str() {
        "high" => Tone::Exhausted,
        "low" => Tone::Burning,
        _ => Tone::Quiet,
    };
    let risk = look.paint(tone, &format!("{:<4}", change.risk));
    let why = look.paint(Tone::Quiet, &clean(&change.why));
    format!(
        "  {risk}  {}  {}\n        {why}\n",
        look.text(&clean(&what)),
        clean(&values)
    )
}

/// One to a line, the latest first, and how the last change is watched.
pub(super) fn list(all: &Configurations, look: Look) -> String {
    let mut out = String::new();
    for it in &all.configurations {
        let mark = if it.in_force { '*' } else { ' ' };
        let why = it.why.as_ref().map(|why| format!(": {why}"));
        let what = format!("{} by {}{}", it.how, it.by, why.unwrap_or_default());
        let hash = look.paint(Tone::Quiet, short(&it.sha256));
        out.push_str(&format!(
            "{mark} {:>4}  {}  {hash}  {}\n",
            it.number,
            second(it.at),
            look.text(&clean(&what))
        ));
    }
    if let Some(watch) = &all.watch {
        let until = match watch.state.as_str() {
            "watching" => format!(" until {}", second(watch.until)),
            _ => String::new(),
        };
        out.push_str(&format!(
            "the change by {} of {}: {}{until}; {}\n",
            clean(&watch.by),
            second(watch.since),
            clean(&watch.state),
            clean(&watch.evidence)
        ));
    }
    if let Some(aside) = &all.set_aside {
        out.push_str(&format!("{}\n", clean(aside)));
    }
    out
}

fn short(hash: &str) -> &str {
    hash.get(..HASH_CHARS).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use plimsoll_console::{KeptConfiguration, WatchView};
    use plimsoll_core::Timestamp;

    use super::*;

    fn change(service: Option<&str>, thing: &str, key: &str, risk: &str) -> PlannedChange {
        PlannedChange {
            service: service.map(str::to_owned),
            thing: thing.to_owned(),
            key: key.to_owned(),
            kind: "changed".to_owned(),
            before: Some("1".to_owned()),
            after: Some("2".to_owned()),
            risk: risk.to_owned(),
            why: "because\u{1b}[2J".to_owned(),
        }
    }

    #[test]
    fn a_plan_is_grouped_by_service_with_the_riskiest_first() {
        let shown = ChangePlan {
            hash: "0123456789abcdef".to_owned(),
            file: "/etc/plimsoll.toml".to_owned(),
            before: "a".to_owned(),
            after: "b".to_owned(),
            changes: vec![
                change(None, "", "gateway.drain", "none"),
                change(Some("shop"), "service shop", "tier", "low"),
                change(
                    Some("shop"),
                    "service shop, objective fast",
                    "target",
                    "high",
                ),
                PlannedChange {
                    kind: "removed".to_owned(),
                    ..change(Some("shop"), "route buy", "", "high")
                },
            ],
            risk: "high".to_owned(),
            approvals: Vec::new(),
            set_aside: None,
        };
        insta::assert_snapshot!(plan(&shown, Look::plain(80)), @r"
        plan 0123456789ab  /etc/plimsoll.toml  4 changes, risk high

        shop
          high  objective fast: target  1 → 2
                because?[2J
          high  route buy  - 1
                because?[2J
          low   tier  1 → 2
                because?[2J

        not of one service
          none  gateway.drain  1 → 2
                because?[2J

        approvals: none configured
        ");
        let same = ChangePlan {
            after: "a".to_owned(),
            ..shown
        };
        let text = plan(&same, Look::plain(80));
        assert_eq!(text, "nothing to change: /etc/plimsoll.toml is in force\n");
    }

    #[test]
    fn what_was_in_force_is_one_line_each() {
        let kept = |number, in_force| KeptConfiguration {
            number,
            at: Timestamp::from_seconds(1_795_615_000 + number),
            by: "ana".to_owned(),
            why: (number == 2).then(|| "more room".to_owned()),
            how: "apply".to_owned(),
            plan: None,
            sha256: "0123456789abcdef".to_owned(),
            bytes: 7,
            in_force,
        };
        let all = Configurations {
            configurations: vec![kept(2, true), kept(1, false)],
            watch: Some(WatchView {
                plan: "ab".to_owned(),
                by: "ana".to_owned(),
                since: Timestamp::from_seconds(1_795_615_002),
                until: Timestamp::from_seconds(1_795_615_302),
                services: vec!["shop".to_owned()],
                state: "watching".to_owned(),
                evidence: "0 of 100 requests were bad".to_owned(),
            }),
            set_aside: None,
        };
        insta::assert_snapshot!(list(&all, Look::plain(80)), @r"
        *    2  2026-11-25 13:56:42  0123456789ab  apply by ana: more room
             1  2026-11-25 13:56:41  0123456789ab  apply by ana
        the change by ana of 2026-11-25 13:56:42: watching until 2026-11-25 14:01:42; 0 of 100 requests were bad
        ");
    }
}
