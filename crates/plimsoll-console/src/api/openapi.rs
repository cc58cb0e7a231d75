//! The OpenAPI document (3.1.1) of the control API, made from its table of routes.
//!
//! Schemas stand here, by hand, beside the types that they describe in `wire` and `overlay`; the tests hold each answer
//! against its schema, and refuse a field that no schema has.

use std::collections::BTreeSet;

use plimsoll_measure::RolloutState;
use serde_json::{Map, Value, json};

use super::{Needs, Route};
use crate::access::Role;
use crate::approval::ApprovalVerb;
use crate::change::TEXT_BYTES_MAX;
use crate::flag::VERBS;
use crate::incident::{DeedVerb, NOTE_MAX};
use crate::overlay::{LEVEL_MAX, Verb};
use crate::purge::{KEY_BYTES_MAX, URL_BYTES_MAX};
use crate::rollout::RolloutVerb;

/// The whole document.
pub(super) fn document(routes: &[Route]) -> Value {
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            path.insert(route.method.to_owned(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.1",
        "info": {
            "title": "Plimsoll's control API",
            "version": "1",
            "description": "On the console's address. Fields are added to answers; none changes its meaning within v1. A change is answered once its record in the journal is durable.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "http://127.0.0.1:7676" }],
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `plimsoll token create`, or that of the state folder.",
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let (status, schema) = route.answer;
    let mut answers = Map::new();
    answers.insert(
        status.to_string(),
        content("It is so.", "application/json", schema),
    );
    for refusal in refusals(route) {
        if refusal == 202 {
            let content = content(meaning(refusal), "application/json", schema);
            answers.insert(refusal.to_string(), content);
            continue;
        }
        let content = content(meaning(refusal), "application/problem+json", "Problem");
        answers.insert(refusal.to_string(), content);
    }
    let security = match route.needs {
        // Free on loopback.
        Needs::Nothing => json!([{}, { "token": [] }]),
        _ => json!([{ "token": [] }]),
    };
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.about,
        "description": needs(route.needs),
        "security": security,
        "parameters": parameters(route),
        "responses": answers,
    });
    if let (Some(body), Some(operation)) = (route.body, operation.as_object_mut()) {
        let mut content = content("What is wanted.", "application/json", body);
        if let Some(content) = content.as_object_mut() {
            content.insert("required".to_owned(), true.into());
        }
        operation.insert("requestBody".to_owned(), content);
    }
    operation
}

fn content(description: &str, kind: &str, schema: &str) -> Value {
    json!({ "description": description, "content": { kind: { "schema": reference(schema) } } })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

fn needs(needs: Needs) -> String {
    match needs {
        Needs::Nothing => "Free on loopback; elsewhere it needs a token.".to_owned(),
        Needs::Role(role) => format!("Needs a token with the role {role}."),
        Needs::Service => {
            "Needs a token with the role operator that covers the owner of the service.".to_owned()
        }
        Needs::Incident => {
            "Needs a token with the role operator that covers the owner of the incident's service."
                .to_owned()
        }
        Needs::Rollout => {
            "Needs a token with the role operator that covers the owner of the rollout's service."
                .to_owned()
        }
        Needs::Flag => {
            "Needs a token with the role operator that covers the owner of the flag.".to_owned()
        }
        Needs::AllServices => {
            "Needs a token with the role operator that covers all owners.".to_owned()
        }
    }
}

/// The statuses other than that where all is well.
fn refusals(route: &Route) -> BTreeSet<u16> {
    // No token where one is needed; a Host that may be another site's.
    let mut refusals = BTreeSet::from([400, 401, 421]);
    refusals.extend(route.refusals);
    if route.needs != Needs::Nothing || route.method != "get" {
        refusals.insert(403);
    }
    if route.body.is_some() {
        refusals.extend([413, 415]);
    }
    refusals
}

fn meaning(status: u16) -> &'static str {
    match status {
        202 => "Nothing is changed yet: it waits for the approval of others.",
        400 => "The request can't be read.",
        401 => "The token is missing or not valid.",
        403 => "The token is not enough, or a page of another site asks.",
        404 => "What is named does not exist.",
        409 => "It does not go with what is there.",
        413 => "The body is too large.",
        415 => "The body is no JSON.",
        421 => "The Host may be another site's.",
        422 => "What is wanted can be read and can't be done.",
        503 => "It can't be done now: the store fails, or the process ends or is taken over from.",
        _ => "It takes long: see the log for how it ends.",
    }
}

fn parameters(route: &Route) -> Vec<Value> {
    let names = route.path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        let schema = match name {
            "verb" => one_of(&Verb::ALL.map(Verb::name)),
            "step" => one_of(&RolloutVerb::ALL.map(RolloutVerb::name)),
            "answer" => one_of(&ApprovalVerb::ALL.map(ApprovalVerb::name)),
            "deed" => one_of(&DeedVerb::ALL.map(DeedVerb::name)),
            "act" => one_of(&VERBS),
            _ => json!({ "type": "string" }),
        };
        Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
    });
    let query = route.query.iter().map(|(name, kind, about)| {
        json!({ "name": name, "in": "query", "description": about, "schema": { "type": kind } })
    });
    names.chain(query).collect()
}

fn one_of(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn time() -> Value {
    json!({ "type": "string", "format": "date-time" })
}

fn whole() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

/// The same, or `null`.
fn estimate() -> Value {
    object([
        ("requests", whole()),
        ("bad", whole()),
        ("without", whole()),
        ("least", whole()),
        ("most", whole()),
    ])
}

/// How a change is watched.
fn watch() -> Value {
    let states = ["watching", "kept", "returned", "failed", "superseded"];
    object([
        ("plan", text()),
        ("by", text()),
        ("since", time()),
        ("until", time()),
        ("services", list(&text())),
        ("state", one_of(&states)),
        ("evidence", text()),
    ])
}

fn nullable(mut schema: Value) -> Value {
    if let Some(kind) = schema.get_mut("type") {
        *kind = json!([kind.take(), "null"]);
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.push(Value::Null);
    }
    schema
}

fn object<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    let required: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Value> = fields
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// What is sent: only these are needed, and others are refused.
fn wanted<const FIELDS: usize>(needed: &[&str], fields: [(&str, Value); FIELDS]) -> Value {
    let mut schema = object(fields);
    if let Some(schema) = schema.as_object_mut() {
        schema.insert("required".to_owned(), json!(needed));
        schema.insert("additionalProperties".to_owned(), false.into());
    }
    schema
}

/// What is shown of a flag wherever it is.
fn flag() -> [(&'static str, Value); 13] {
    [
        ("key", text()),
        ("owner", nullable(text())),
        ("rollout", nullable(text())),
        (
            "dimmed",
            nullable(object([
                ("service", text()),
                ("share", json!({ "type": "number" })),
            ])),
        ),
        ("enabled", json!({ "type": "boolean" })),
        ("variants", list(&text())),
        ("default", nullable(text())),
        ("targeting", json!({ "type": "boolean" })),
        ("stale", nullable(text())),
        ("evaluations", whole()),
        ("version", nullable(whole())),
        (
            "changed",
            nullable(object([("by", text()), ("why", text()), ("at", time())])),
        ),
        (
            "set",
            nullable(object([
                ("verb", one_of(&["enable", "disable", "set"])),
                ("variant", nullable(text())),
                ("by", text()),
                ("why", text()),
                ("until", nullable(time())),
            ])),
        ),
    ]
}

fn flag_with_definition() -> Value {
    let mut flag = object(flag());
    let properties = flag.pointer_mut("/properties");
    if let Some(properties) = properties.and_then(Value::as_object_mut) {
        properties.insert("definition".to_owned(), json!({ "type": "object" }));
    }
    flag
}

/// All schemas: in parts, for a macro takes so many only.
fn schemas() -> Value {
    let mut all = of_services();
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), of_changes()) {
        all.extend(more);
    }
    all
}

/// Of what people do step by step, and with others.
fn of_changes() -> Value {
    let any = || json!({ "type": "object" });
    let length = || json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" });
    json!({
        "Approvals": object([("approvals", list(&reference("Approval")))]),
        "Approval": object([
            ("id", whole()),
            ("kind", one_of(&["config", "flag", "rollout", "freeze", "degrade", "runbook"])),
            ("subject", text()),
            ("says", text()),
            ("effect", list(&text())),
            ("services", list(&text())),
            ("by", text()),
            ("why", nullable(text())),
            ("persons", whole()),
            ("missing", whole()),
            ("approved_by", list(&text())),
            ("rules", list(&text())),
            ("content", text()),
            ("state", one_of(&["waiting", "begun", "done", "failed", "refused", "withdrawn", "expired", "broken"])),
            ("came", text()),
            ("since", time()),
            ("until", time()),
            ("changed", time()),
            ("journal", nullable(whole())),
        ]),
        "ApprovalWanted": wanted(&[], [
            ("content", text()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
        ]),
        "Freezes": object([("freezes", list(&reference("Freeze")))]),
        "Freeze": object([
            ("name", text()),
            ("services", list(&text())),
            ("all", json!({ "type": "boolean" })),
            ("by", text()),
            ("why", text()),
            ("since", nullable(time())),
            ("until", nullable(time())),
            ("acts", json!({ "type": "boolean" })),
            ("journal", nullable(whole())),
        ]),
        "FreezeWanted": wanted(&["for", "why"], [
            ("for", length()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
        "Rollouts": object([("rollouts", list(&reference("Rollout")))]),
        "Rollout": object([
            ("name", text()),
            ("service", text()),
            ("owner", nullable(text())),
            ("version", text()),
            ("kind", one_of(&["canary", "blue-green", "mirror"])),
            ("by", text()),
            ("state", one_of(&RolloutState::ALL.map(RolloutState::name))),
            ("says", text()),
            ("weight", json!({ "type": "number", "minimum": 0, "maximum": 1 })),
            ("revision", whole()),
            ("steps", list(&any())),
            ("step", nullable(whole())),
            ("run", nullable(any())),
        ]),
        "RolloutWanted": wanted(&["why"], [
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("revision", whole()),
            ("fix", json!({ "type": "boolean" })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
    })
}

fn of_services() -> Value {
    let role = || one_of(&Role::ALL.map(Role::name));
    let mode = || one_of(&["enforce", "observe", "off"]);
    let verb = || one_of(&Verb::ALL.map(Verb::name));
    let level = || json!({ "type": "integer", "minimum": 1, "maximum": LEVEL_MAX });
    let any = || json!({ "type": "object" });
    let risk = || one_of(&["none", "low", "high"]);
    let length = || json!({ "type": "string", "pattern": "^[0-9]+[smhd]$" });
    json!({
        "Problem": object([("title", text()), ("status", whole()), ("detail", text())]),
        "Changed": object([
            ("message", text()),
            ("journal", nullable(whole())),
            ("warning", nullable(text())),
            ("approval", nullable(whole())),
        ]),
        "PlanWanted": wanted(&[], [("text", json!({ "type": "string", "maxLength": TEXT_BYTES_MAX }))]),
        "ChangePlan": object([
            ("hash", text()),
            ("file", text()),
            ("before", text()),
            ("after", text()),
            ("changes", list(&reference("PlannedChange"))),
            ("risk", risk()),
            ("approvals", list(&text())),
            ("set_aside", nullable(text())),
        ]),
        "PlannedChange": object([
            ("service", nullable(text())),
            ("thing", text()),
            ("key", text()),
            ("kind", one_of(&["added", "removed", "changed"])),
            ("before", nullable(text())),
            ("after", nullable(text())),
            ("risk", risk()),
            ("why", text()),
        ]),
        "ApplyWanted": wanted(&["plan"], [
            ("plan", text()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("watch", length()),
            ("fix", json!({ "type": "boolean" })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
        "RollbackWanted": wanted(&[], [
            ("number", whole()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
        ]),
        "Configurations": object([
            ("configurations", list(&reference("KeptConfiguration"))),
            ("watch", nullable(watch())),
            ("set_aside", nullable(text())),
        ]),
        "KeptConfiguration": object([
            ("number", whole()),
            ("at", time()),
            ("by", text()),
            ("why", nullable(text())),
            ("how", one_of(&["start", "reload", "apply", "rollback", "return"])),
            ("plan", nullable(text())),
            ("sha256", text()),
            ("bytes", whole()),
            ("in_force", json!({ "type": "boolean" })),
        ]),
        "ConfigurationText": object([
            ("configuration", reference("KeptConfiguration")),
            ("text", text()),
        ]),
        "Document": any(),
        "RequestLine": any(),
        "Records": object([("records", list(&any())), ("next", nullable(text()))]),
        "WithoutPlimsoll": object([
            ("service", text()),
            ("from", time()),
            ("until", time()),
            ("estimate", nullable(estimate())),
            ("unknown", nullable(text())),
        ]),
        "Overlay": object([("entries", list(&reference("OverlayEntry")))]),
        "OverlayEntry": object([
            ("id", text()),
            ("service", text()),
            ("verb", verb()),
            ("level", nullable(level())),
            ("mode", nullable(mode())),
            ("says", text()),
            ("by", text()),
            ("why", text()),
            ("since", time()),
            ("until", time()),
            ("journal", nullable(whole())),
        ]),
        "SettingWanted": wanted(&["for", "why"], [
            ("level", level()),
            ("mode", mode()),
            ("for", length()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
        "Flags": object([
            ("source", text()),
            ("digest", text()),
            ("flags", list(&reference("FlagInShort"))),
        ]),
        "FlagInShort": object(flag()),
        "Flag": flag_with_definition(),
        "FlagWanted": wanted(&["definition", "why"], [
            ("definition", any()),
            ("version", whole()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("fix", json!({ "type": "boolean" })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
        "FlagActWanted": wanted(&["why"], [
            ("variant", text()),
            ("for", length()),
            ("version", whole()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
            ("fix", json!({ "type": "boolean" })),
            ("break_glass", json!({ "type": "boolean" })),
        ]),
        "FlagContextWanted": wanted(&[], [("context", any())]),
        "FlagEvaluated": object([
            ("key", text()),
            ("variant", nullable(text())),
            ("value", json!({ "type": ["boolean", "string", "number", "object", "null"] })),
            ("reason", one_of(&["STATIC", "TARGETING_MATCH", "SPLIT", "DISABLED", "DEFAULT"])),
        ]),
        "PurgeWanted": wanted(&["why"], [
            ("url", json!({ "type": "string", "maxLength": URL_BYTES_MAX })),
            ("prefix", json!({ "type": "string", "maxLength": URL_BYTES_MAX })),
            ("key", json!({ "type": "string", "minLength": 1, "maxLength": KEY_BYTES_MAX, "pattern": "^[!-~]+$" })),
            ("all", json!({ "type": "boolean" })),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
        ]),
        "Incidents": object([("incidents", list(&reference("Incident")))]),
        "Incident": object([
            ("id", whole()),
            ("service", text()),
            ("called", time()),
            ("ended", nullable(time())),
            ("calls", list(&object([
                ("objective", text()),
                ("urgency", one_of(&["page", "ticket", "absent"])),
                ("at", time()),
                ("ended", nullable(time())),
            ]))),
            ("budget_left", list(&nullable(json!({ "type": "number" })))),
            ("began", nullable(time())),
            ("suspect", nullable(text())),
            ("acknowledged", nullable(object([("by", text()), ("at", time())]))),
            ("handed_over_to", nullable(text())),
            ("silenced_until", nullable(time())),
            ("group", nullable(whole())),
            ("resolved", nullable(object([("by", text()), ("why", text())]))),
            ("acts", list(&any())),
        ]),
        "IncidentInShort": object([
            ("id", whole()),
            ("service", text()),
            ("called", time()),
            ("acknowledged_by", nullable(text())),
            ("group", nullable(whole())),
            ("suspect", nullable(text())),
        ]),
        "DeedWanted": wanted(&[], [
            ("to", json!({ "type": "string", "minLength": 1, "maxLength": 64 })),
            ("note", json!({ "type": "string", "minLength": 1, "maxLength": NOTE_MAX })),
            ("into", whole()),
            ("for", length()),
            ("why", json!({ "type": "string", "minLength": 1, "maxLength": 500 })),
        ]),
        "TryWanted": wanted(&[], [("name", text())]),
        "Tried": object([("targets", list(&reference("TargetTried")))]),
        "TargetTried": object([
            ("name", text()),
            ("kind", text()),
            ("arrived", json!({ "type": "boolean" })),
            ("seconds", json!({ "type": "number", "minimum": 0 })),
            ("why", nullable(text())),
            ("help", nullable(text())),
        ]),
        "Tokens": object([("tokens", list(&reference("Token")))]),
        "Token": object([
            ("name", text()),
            ("role", role()),
            ("owners", list(&text())),
            ("created_at", time()),
            ("created_by", text()),
            ("expires_at", nullable(time())),
            ("expired", json!({ "type": "boolean" })),
        ]),
        "TokenWanted": wanted(&["name", "role"], [
            ("name", json!({ "type": "string", "pattern": "^[A-Za-z0-9._@-]{1,64}$" })),
            ("role", role()),
            ("owners", list(&text())),
            ("for", nullable(length())),
        ]),
        "TokenCreated": object([
            ("secret", text()),
            ("token", reference("Token")),
            ("journal", whole()),
        ]),
        "Snapshot": object([
            ("schema", whole()),
            ("version", text()),
            ("instance", text()),
            ("now", time()),
            ("uptime_seconds", json!({ "type": "number", "minimum": 0 })),
            ("mode", mode()),
            ("config", any()),
            ("warnings", list(&text())),
            ("connections", whole()),
            ("cache", nullable(object([
                ("entries", whole()),
                ("bytes", whole()),
                ("bytes_max", whole()),
                ("filling_bytes", whole()),
                ("evictions_total", whole()),
                ("disk", any()),
            ]))),
            ("services", list(&any())),
            ("journeys", list(&any())),
            ("overlay", list(&reference("OverlayEntry"))),
            ("approvals", list(&reference("Approval"))),
            ("freezes", list(&reference("Freeze"))),
            ("unrouted", any()),
            ("recent_events", list(&any())),
            ("journal", nullable(any())),
            ("journeys", list(&any())),
            ("notifiers", list(&any())),
            ("incidents", list(&reference("IncidentInShort"))),
            ("queues", nullable(any())),
        ]),
    })
}
