//! A dashboard for Grafana: what is left of budgets, how fast they burn, and what is good and bad.
//!
//! It asks for Plimsoll's own series, by variables: the same for every configuration, and right when that changes.

use serde_json::{Value, json};

/// The version of the dashboard's JSON model, that of Grafana 10; later ones read it.
const SCHEMA: u32 = 39;
/// Which objectives are shown.
const CHOSEN: &str = r#"service=~"$service", objective=~"$objective""#;

/// The dashboard as JSON.
pub(super) fn write() -> String {
    format!("{:#}\n", dashboard())
}

fn dashboard() -> Value {
    let least = |metric: &str| format!("min by (service, objective) ({metric}{{{CHOSEN}}})");
    let rate = |outcome: &str| {
        format!(
            "sum by (service, objective) (rate(plimsoll_objective_{outcome}_total{{{CHOSEN}}}[$__rate_interval]))"
        )
    };
    let named = "{{service}}.{{objective}}";
    json!({
        "uid": "plimsoll-objectives",
        "title": "Plimsoll: objectives",
        "tags": ["plimsoll", "slo"],
        "schemaVersion": SCHEMA,
        "editable": true,
        "refresh": "30s",
        "time": { "from": "now-6h", "to": "now" },
        "templating": { "list": variables() },
        "panels": [
            panel(1, "stat", "Budget left", (0, 24, 5), "percentunit",
                &[(least("plimsoll_budget_left_ratio"), named)]),
            panel(2, "timeseries", "Burn rate by window", (5, 12, 9), "none",
                &[(format!("max by (service, objective, window) (plimsoll_burn_rate{{{CHOSEN}}})"),
                    "{{service}}.{{objective}} {{window}}")]),
            panel(3, "timeseries", "Budget left over time", (5, 12, 9), "percentunit",
                &[(least("plimsoll_budget_left_ratio"), named)]),
            panel(4, "timeseries", "Good and bad requests", (14, 24, 9), "reqps", &[
                (rate("good"), "{{service}}.{{objective}} good"),
                (rate("bad"), "{{service}}.{{objective}} bad"),
            ]),
        ],
    })
}

fn variables() -> Value {
    let query = |name: &str, query: &str| {
        json!({
            "name": name,
            "type": "query",
            "datasource": source(),
            "query": { "query": query, "refId": name },
            "definition": query,
            "refresh": 2,
            "multi": true,
            "includeAll": true,
            "current": { "text": "All", "value": "$__all" },
            "sort": 1,
        })
    };
    json!([
        { "name": "datasource", "type": "datasource", "query": "prometheus" },
        query("service", "label_values(plimsoll_objective_target_ratio, service)"),
        query("objective", r#"label_values(plimsoll_objective_target_ratio{service=~"$service"}, objective)"#),
    ])
}

fn source() -> Value {
    json!({ "type": "prometheus", "uid": "${datasource}" })
}

/// A panel at (row, width, height); the one of the burn rate and what is beside it share a row.
fn panel(
    id: u32,
    kind: &str,
    title: &str,
    (y, width, height): (u32, u32, u32),
    unit: &str,
    queries: &[(String, &str)],
) -> Value {
    let targets: Vec<Value> = ('A'..)
        .zip(queries)
        .map(|(reference, (expression, legend))| {
            json!({
                "refId": reference.to_string(),
                "datasource": source(),
                "expr": expression,
                "legendFormat": legend,
            })
        })
        .collect();
    json!({
        "id": id,
        "type": kind,
        "title": title,
        "datasource": source(),
        "gridPos": { "x": if id == 3 { 12 } else { 0 }, "y": y, "w": width, "h": height },
        "fieldConfig": { "defaults": { "unit": unit }, "overrides": [] },
        "targets": targets,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Grafana needs of a dashboard to load it; it has no schema that could be asked.
    #[test]
    fn every_panel_has_a_place_of_its_own_and_asks_for_series_that_there_are() {
        let dashboard = dashboard();
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let panels = list(&dashboard["panels"]);
        assert!(panels.len() >= 4);
        let mut taken = std::collections::BTreeSet::new();
        let mut ids = std::collections::BTreeSet::new();
        for panel in &panels {
            assert!(ids.insert(panel["id"].as_u64().unwrap()));
            let place = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(place("x") + place("w") <= 24);
            for x in place("x")..place("x") + place("w") {
                for y in place("y")..place("y") + place("h") {
                    assert!(taken.insert((x, y)), "{} overlaps", panel["title"]);
                }
            }
            assert!(!list(&panel["targets"]).is_empty());
            for target in list(&panel["targets"]) {
                let expression = target["expr"].as_str().unwrap();
                let series = [
                    "plimsoll_budget_left_ratio",
                    "plimsoll_burn_rate",
                    "plimsoll_objective_good_total",
                    "plimsoll_objective_bad_total",
                ];
                assert!(
                    series.iter().any(|it| expression.contains(it)),
                    "{expression}"
                );
                assert!(expression.contains("$service") && expression.contains("$objective"));
            }
        }
        let names = list(&dashboard["templating"]["list"]);
        let names: Vec<&str> = names.iter().filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(names, ["datasource", "service", "objective"]);
    }
}
