//! Alertmanager's API, version 2: `POST /api/v2/alerts`.
//!
//! It knows an alert by its labels, and takes one as ended that is not told again in time: what lasts is told each minute,
//! good for four, as Prometheus does.
//! <https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml>

use std::time::Duration;

use plimsoll_core::Timestamp;
use plimsoll_measure::Urgency;
use serde_json::{Value, json};

use super::{Matter, Notification, Stage, urgency};

/// For how long an alert is good that is not told again.
const GOOD_FOR: Duration = Duration::from_secs(240);

/// The path of alerts under that of the server.
pub(super) fn path(of: &str) -> String {
    let (path, query) = match of.split_once('?') {
        Some((path, query)) => (path, format!("?{query}")),
        None => (of, String::new()),
    };
    format!("{}/api/v2/alerts{query}", path.trim_end_matches('/'))
}

pub(super) fn alerts(told: &[Notification], now: Timestamp) -> Value {
    let alerts = told.iter().flat_map(|it| {
        let ends = match it.stage {
            Stage::Resolved => it.at,
            Stage::Firing => now + GOOD_FOR,
            Stage::Test => now + Duration::from_secs(60),
        };
        // With another severity it is another alert: the one before has ended.
        let before = it.urgency_before.map(|before| alert(it, before, now));
        before.into_iter().chain([alert(it, it.urgency, ends)])
    });
    alerts.collect()
}

fn alert(it: &Notification, severity: Urgency, ends: Timestamp) -> Value {
    let name = match (it.stage, it.matter) {
        (Stage::Test, _) => "PlimsollTest",
        (_, Matter::Page) => "PlimsollBurn",
        (_, Matter::Absence) => "PlimsollAbsence",
        (_, Matter::Approval) => "PlimsollApproval",
        (_, Matter::BreakGlass) => "PlimsollBreakGlass",
    };
    let mut labels = json!({
        "alertname": name,
        "service": it.service,
        "objective": it.objective,
        "severity": urgency(severity),
        "instance": it.instance,
    });
    if let (Some(labels), Some(owner)) = (labels.as_object_mut(), &it.owner) {
        labels.insert("owner".to_owned(), owner.as_str().into());
    }
    let mut annotations = json!({ "summary": it.title, "description": it.text });
    if let (Some(annotations), Some(runbook)) = (annotations.as_object_mut(), &it.runbook) {
        annotations.insert("runbook_url".to_owned(), runbook.as_str().into());
    }
    let mut alert = json!({
        "labels": labels,
        "annotations": annotations,
        "endsAt": ends.to_rfc3339(),
    });
    if let Some(alert) = alert.as_object_mut() {
        if let Some(since) = it.since.filter(|since| *since <= ends) {
            alert.insert("startsAt".to_owned(), since.to_rfc3339().into());
        }
        if let Some(url) = &it.url {
            alert.insert("generatorURL".to_owned(), url.as_str().into());
        }
    }
    alert
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::notification::tests::page;

    #[test]
    fn alerts_go_below_the_path_of_the_server() {
        assert_eq!(path("/"), "/api/v2/alerts");
        assert_eq!(path("/prefix/"), "/prefix/api/v2/alerts");
        assert_eq!(path("/prefix?tenant=a"), "/prefix/api/v2/alerts?tenant=a");
    }

    #[test]
    fn what_is_sent() {
        let now = Timestamp::from_seconds(1_795_615_900);
        let firing = alerts(&[page("checkout", Stage::Firing, 0)], now);
        insta::assert_snapshot!(format!("{firing:#}"));
    }

    #[test]
    fn an_end_is_of_the_same_labels_and_at_the_time_it_came() {
        let now = Timestamp::from_seconds(1_795_619_999);
        let alerts = |stage| alerts(&[page("checkout", stage, 60)], now);
        let (firing, ended) = (alerts(Stage::Firing), alerts(Stage::Resolved));
        assert_eq!(firing[0]["labels"], ended[0]["labels"]);
        assert_eq!(ended[0]["endsAt"], "2026-11-25T14:11:52.000Z");
    }

    #[test]
    fn what_gets_louder_ends_the_alert_of_the_severity_before() {
        let mut louder = page("checkout", Stage::Firing, 60);
        louder.urgency_before = Some(Urgency::Ticket);
        let now = Timestamp::from_seconds(1_795_619_999);
        let alerts = alerts(&[louder], now);
        assert_eq!(alerts.as_array().map(Vec::len), Some(2));
        assert_eq!(alerts[0]["labels"]["severity"], "ticket");
        assert_eq!(alerts[0]["endsAt"], now.to_rfc3339());
        assert_eq!(alerts[1]["labels"]["severity"], "page");
    }
}
