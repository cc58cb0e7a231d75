//! PagerDuty's Events API, version 2.
//!
//! <https://developer.pagerduty.com/docs/send-alert-event>

use aws_lc_rs::digest;
use plimsoll_core::Timestamp;
use plimsoll_measure::Urgency;
use serde_json::{Value, json};

use super::{Notification, Stage, urgency};

/// A longer summary is cut by PagerDuty.
const SUMMARY_CHARS_MAX: usize = 1_024;
/// A longer key is refused by PagerDuty.
const DEDUP_KEY_CHARS_MAX: usize = 255;

pub(super) fn event(routing_key: &str, it: &Notification) -> Value {
    let mut event = match it.stage {
        Stage::Resolved => return end(routing_key, it),
        Stage::Firing | Stage::Test => action("trigger", routing_key, it),
    };
    let Some(fields) = event.as_object_mut() else {
        return event;
    };
    let severity = match (it.stage, it.urgency) {
        (Stage::Test, _) => "info",
        (_, Urgency::Page) => "critical",
        (_, Urgency::Ticket) => "warning",
    };
    let summary: String = it.title.chars().take(SUMMARY_CHARS_MAX).collect();
    fields.insert(
        "payload".to_owned(),
        json!({
            "summary": summary,
            "source": it.instance,
            "severity": severity,
            "component": it.service,
            "timestamp": it.since.unwrap_or(it.at).to_rfc3339(),
            "custom_details": {
                "text": it.text,
                "service": it.service,
                "objective": it.objective,
                "owner": it.owner,
                "urgency": urgency(it.urgency),
                "since": it.since.map(Timestamp::to_rfc3339),
            },
        }),
    );
    fields.insert("client".to_owned(), "Plimsoll".into());
    let links = [("Runbook", &it.runbook), ("Console", &it.url)];
    let links = links.into_iter().filter_map(|(text, href)| {
        // It refuses links that are none.
        let href = href.as_deref().filter(|href| href.starts_with("http"))?;
        Some(json!({ "text": text, "href": href }))
    });
    fields.insert("links".to_owned(), links.collect());
    event
}

/// The end of what has this key.
pub(super) fn end(routing_key: &str, it: &Notification) -> Value {
    action("resolve", routing_key, it)
}

fn action(action: &str, routing_key: &str, it: &Notification) -> Value {
    json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": dedup_key(it),
    })
}

fn dedup_key(it: &Notification) -> String {
    let key = it.key_of_instance();
    match key.chars().count() > DEDUP_KEY_CHARS_MAX {
        false => key,
        true => {
            let digest = digest::digest(&digest::SHA256, key.as_bytes());
            let bytes = digest.as_ref().iter();
            bytes.fold("plimsoll/".to_owned(), |key, byte| {
                format!("{key}{byte:02x}")
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notification::tests::page;

    #[test]
    fn what_is_sent() {
        let firing = event("R0", &page("checkout", Stage::Firing, 0));
        insta::assert_snapshot!(format!("{firing:#}"));
        let ended = event("R0", &page("checkout", Stage::Resolved, 60));
        insta::assert_snapshot!(format!("{ended:#}"));
    }
    #[test]
    fn a_key_that_would_be_too_long_is_the_same_for_beginning_and_end_all_the_same() {
        let dedup_key = |stage, service: &str| {
            let event = event("R0", &page(service, stage, 0));
            event["dedup_key"].as_str().unwrap().to_owned()
        };
        let (long, other) = ("a".repeat(300), format!("{}b", "a".repeat(300)));
        let began = dedup_key(Stage::Firing, &long);
        assert!(began.len() <= DEDUP_KEY_CHARS_MAX, "{began}");
        assert_eq!(began, dedup_key(Stage::Resolved, &long));
        assert_ne!(began, dedup_key(Stage::Firing, &other));
    }
}
