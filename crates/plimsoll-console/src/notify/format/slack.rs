//! Incoming webhooks of Slack, and of what takes the same (Mattermost, Rocket.Chat): text, with three characters escaped.
//!
//! <https://api.slack.com/reference/surfaces/formatting#escaping>

use plimsoll_measure::Urgency;
use serde_json::{Value, json};

use super::{Notification, Stage};

/// Slack refuses a message with more than fifty.
const BLOCKS_MAX: usize = 20;
/// Slack refuses a block with more than 3,000 characters; an escaped one is five.
const PART_CHARS_MAX: usize = 250;

pub(super) fn message(told: &[Notification]) -> Value {
    let lines: Vec<String> = told.iter().map(line).collect();
    let sections = lines
        .iter()
        .take(BLOCKS_MAX)
        .map(|line| json!({ "type": "section", "text": { "type": "mrkdwn", "text": line } }));
    let mut blocks: Vec<Value> = sections.collect();
    if let Some(more @ 1..) = told.len().checked_sub(BLOCKS_MAX) {
        let text = format!("and {more} more");
        blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } }));
    }
    json!({ "text": lines.join("\n"), "blocks": blocks })
}

fn line(it: &Notification) -> String {
    let sign = match (it.stage, it.urgency) {
        (Stage::Resolved, _) => ":white_check_mark:",
        (Stage::Test, _) => ":wave:",
        (Stage::Firing, Urgency::Page) => ":rotating_light:",
        (Stage::Firing, Urgency::Ticket) => ":warning:",
    };
    let mut line = format!("{sign} *{}*\n{}", escaped(&it.title), escaped(&it.text));
    let mut about = vec![escaped(&it.instance)];
    about.extend(it.owner.as_deref().map(escaped));
    // A runbook is a text of the configuration: as it is, it can't be more than a link.
    about.extend(it.runbook.as_deref().map(escaped));
    about.extend(it.url.as_deref().map(escaped));
    line.push_str(&format!("\n{}", about.join(" · ")));
    line
}

fn escaped(text: &str) -> String {
    let mut part: String = text.chars().take(PART_CHARS_MAX).collect();
    if part.len() < text.len() {
        part.push('…');
    }
    part.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notification::tests::page;

    #[test]
    fn what_is_sent() {
        let mut told = page("checkout", Stage::Firing, 0);
        told.title = "<!channel> & all".to_owned();
        insta::assert_snapshot!(format!("{:#}", message(&[told])));
    }

    #[test]
    fn of_very_many_the_blocks_are_bounded_and_the_text_is_whole() {
        let many: Vec<Notification> = (0..30)
            .map(|number| page(&format!("service-{number}"), Stage::Firing, 0))
            .collect();
        let message = message(&many);
        assert_eq!(message["blocks"].as_array().map(Vec::len), Some(21));
        assert!(message["text"].as_str().unwrap().contains("service-29"));
    }
}
