//! PagerDuty's Events API, version 2.
//!
//! <https://developer.pagerduty.com/docs/send-alert-event>

use plimsoll_core::Timestamp;
use plimsoll_measure::Urgency;
use serde_json::{Value, json};

use super::{Notification, Stage, urgency};

/// A longer summary is cut by PagerDuty.
const SUMMARY_CHARS_MAX: usize = 1_024;

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
        "dedup_key": it.key(),
    })
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
}
