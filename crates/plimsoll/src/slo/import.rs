//! OpenSLO v1 as tables for the configuration file.
//!
//! All that can't be taken over is shown at once, with its line, and then nothing is written: half of a team's
//! objectives would look like all of them.
//! Elsewhere: one SLO (`import/slo.rs`).

mod slo;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use plimsoll_config::{Diagnostic, Objective, ObjectiveKind, show_duration};
use plimsoll_measure::OBJECTIVES_MAX;

pub(super) use self::slo::percent;
use super::openslo::VERSION;
use super::yaml::{Node, Value, documents};
use super::{LatencyUnit, color, show_period};
use crate::cli::print;
use crate::exit::{Exit, say};

/// The most that is read of a file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Kinds that objectives don't need: what alerts, and where metrics are.
const IGNORED: [&str; 5] = [
    "AlertPolicy",
    "AlertCondition",
    "AlertNotificationTarget",
    "DataSource",
    "Service",
];

/// What was read of one file.
pub(super) struct File {
    name: String,
    text: String,
    documents: Vec<Node>,
    diagnostics: Vec<Diagnostic>,
}

/// An objective that was taken over.
#[derive(Clone, Debug, PartialEq)]
struct Imported {
    service: String,
    name: String,
    objective: Objective,
}

/// `plimsoll slo import FILE...`
pub(super) fn import(paths: &[PathBuf], unit: Option<LatencyUnit>) -> Exit {
    let mut files = Vec::new();
    for path in paths {
        match read(path) {
            Ok(text) => files.push(File::of(path.display().to_string(), text)),
            Err(reason) => {
                say(&format!("error: reading {}: {reason}", path.display()));
                return Exit::Failed;
            }
        }
    }
    match convert(&mut files, unit) {
        Some(text) => {
            print(&text);
            Exit::Done
        }
        None => {
            say(&shown(&files, color()));
            let count: usize = files.iter().map(|it| it.diagnostics.len()).sum();
            say(&format!(
                "{count} error{}: nothing is taken over",
                if count == 1 { "" } else { "s" }
            ));
            Exit::Failed
        }
    }
}

/// All that is wrong with the files.
pub(super) fn shown(files: &[File], color: bool) -> String {
    files
        .iter()
        .map(|file| plimsoll_config::render(&file.diagnostics, &file.text, &file.name, color))
        .collect()
}

fn read(path: &Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20));
    }
    Ok(text)
}

impl File {
    pub(super) fn of(name: String, text: String) -> Self {
        let (documents, diagnostics) = match documents(&text) {
            Ok(documents) => (documents, Vec::new()),
            Err(error) => {
                let span = error.span.clone().unwrap_or_default();
                let message = "this is no YAML that can be read";
                let diagnostic = Diagnostic::error("syntax", span, message).label(error.message);
                let diagnostic = match error.span {
                    Some(_) => diagnostic,
                    None => {
                        let note = diagnostic.label.clone();
                        diagnostic.without_place().note(note)
                    }
                };
                (Vec::new(), vec![diagnostic])
            }
        };
        Self {
            name,
            text,
            documents,
            diagnostics,
        }
    }
}

/// The tables for the configuration file; `None` where something was wrong, which is then in the files.
pub(super) fn convert(files: &mut [File], unit: Option<LatencyUnit>) -> Option<String> {
    let mut indicators = BTreeMap::new();
    for file in files.iter() {
        for document in &file.documents {
            if kind(document) == Some("SLI")
                && let Some(name) = document.at(&["metadata", "name"]).and_then(Node::as_text)
            {
                indicators.insert(name.to_owned(), document.clone());
            }
        }
    }
    let mut imported: Vec<Imported> = Vec::new();
    let mut ignored = Vec::new();
    for file in files.iter_mut() {
        let mut diagnostics = Vec::new();
        for document in &file.documents {
            if !check_head(document, &mut diagnostics) {
                continue;
            }
            match kind(document) {
                Some("SLO") => {
                    let context = slo::Context {
                        indicators: &indicators,
                        unit,
                    };
                    for (it, place) in slo::objectives(document, &context, &mut diagnostics) {
                        check_unique(&it, &place, &imported, &mut diagnostics);
                        imported.push(it);
                    }
                }
                Some(kind) if IGNORED.contains(&kind) => {
                    let name = document.at(&["metadata", "name"]).and_then(Node::as_text);
                    ignored.push(format!("{kind} {}", name.unwrap_or_default()));
                }
                _ => {}
            }
        }
        file.diagnostics.extend(diagnostics);
    }
    if files.iter().any(|it| !it.diagnostics.is_empty()) {
        return None;
    }
    if imported.is_empty() {
        let first = files.first_mut()?;
        first.diagnostics.push(
            Diagnostic::error("no-objective", 0..0, "there is no SLO to take over").without_place(),
        );
        return None;
    }
    Some(write(&imported, &ignored))
}

fn kind(document: &Node) -> Option<&str> {
    document.get("kind")?.as_text()
}

/// Whether this is an object of a kind and version that can be read; if not, it is said.
fn check_head(document: &Node, diagnostics: &mut Vec<Diagnostic>) -> bool {
    let Some(entries) = document.as_map() else {
        let message = format!(
            "an object of OpenSLO was expected, and this is {}",
            document.kind()
        );
        diagnostics.push(Diagnostic::error(
            "wrong-type",
            document.span.clone(),
            message,
        ));
        return false;
    };
    let place = entries
        .first()
        .map_or(document.span.clone(), |(key, _)| key.span.clone());
    let Some(version) = document.get("apiVersion") else {
        diagnostics.push(
            Diagnostic::error("missing-key", place, "an object without `apiVersion`")
                .help(format!("only `apiVersion: {VERSION}` can be read")),
        );
        return false;
    };
    if version.as_text() != Some(VERSION) {
        let said = version.as_text().unwrap_or_else(|| version.kind());
        diagnostics.push(
            Diagnostic::error(
                "unknown-version",
                version.span.clone(),
                format!("an object of the version `{said}`"),
            )
            .label(format!("`{VERSION}` was expected"))
            .help("OpenSLO's tool `oslo` converts older versions"),
        );
        return false;
    }
    let Some(node) = document.get("kind") else {
        diagnostics.push(Diagnostic::error(
            "missing-key",
            place,
            "an object without `kind`",
        ));
        return false;
    };
    let said = node.as_text().unwrap_or_default();
    if !IGNORED.contains(&said) && !matches!(said, "SLO" | "SLI") {
        let message = format!("an object of the kind `{said}`, which OpenSLO v1 does not have");
        diagnostics.push(
            Diagnostic::error("unknown-kind", node.span.clone(), message)
                .label("`SLO`, `SLI` or one of its other kinds was expected"),
        );
        return false;
    }
    true
}

fn check_unique(
    new: &Imported,
    place: &Range<usize>,
    others: &[Imported],
    diagnostics: &mut Vec<Diagnostic>,
) {
    let of_service = || others.iter().filter(|it| it.service == new.service);
    if of_service().any(|it| it.name == new.name) {
        let message = format!("there are two objectives `{}.{}`", new.service, new.name);
        diagnostics.push(
            Diagnostic::error("duplicate", place.clone(), message)
                .label("the second one")
                .help("its name is that of the SLO, or the annotation `plimsoll.dev/objective`"),
        );
    }
    if of_service().count() == OBJECTIVES_MAX {
        let message = format!(
            "service `{}` has more than {OBJECTIVES_MAX} objectives",
            new.service
        );
        diagnostics.push(Diagnostic::error("too-many", place.clone(), message));
    }
}

/// Keys that an object must not have: they would be lost without a word.
fn check_keys(node: &Node, what: &str, known: &[&str], diagnostics: &mut Vec<Diagnostic>) {
    for (key, _) in node.as_map().unwrap_or_default() {
        if !known.contains(&key.name.as_str()) {
            let message = format!("{what} cannot have the key `{}`", key.name);
            let list: Vec<String> = known.iter().map(|it| format!("`{it}`")).collect();
            diagnostics.push(
                Diagnostic::error("unknown-key", key.span.clone(), message)
                    .label("unknown key")
                    .help(format!("it can have {}", list.join(", "))),
            );
        }
    }
}

/// The list at a key, if it is one.
fn list<'a>(node: &'a Node, key: &str) -> Option<&'a [Node]> {
    match &node.get(key)?.value {
        Value::List(nodes) => Some(nodes),
        _ => None,
    }
}

fn write(imported: &[Imported], ignored: &[String]) -> String {
    let mut out = String::from(
        "# From OpenSLO, by `plimsoll slo import`. Plimsoll counts requests itself, so queries are not taken over:
# see that what they count as good is what it does (docs/concepts/outcomes.md).\n",
    );
    if !ignored.is_empty() {
        let names: Vec<String> = ignored.iter().map(|it| one_line(it)).collect();
        let _infallible = writeln!(out, "# Not taken over: {}.", names.join(", "));
    }
    for it in imported {
        let spec = &it.objective;
        let _infallible = write!(out, "\n[service.{}.objective.{}]\n", it.service, it.name);
        match spec.kind {
            ObjectiveKind::Availability => out.push_str("kind = \"availability\"\n"),
            ObjectiveKind::Latency { below } => {
                let below = show_duration(below);
                let _infallible = write!(out, "kind = \"latency\"\nbelow = \"{below}\"\n");
            }
        }
        let _infallible = write!(
            out,
            "target = \"{}\"\nperiod = \"{}\"\n",
            percent(spec.target.get()),
            show_period(spec.period)
        );
        if !spec.routes.is_empty() {
            // A JSON array of texts without control characters is one of TOML, too.
            let _infallible = writeln!(out, "routes = {}", serde_json::json!(spec.routes));
        }
        if !spec.classes.is_empty() {
            let classes: Vec<&str> = spec.classes.iter().map(|it| it.name()).collect();
            let _infallible = writeln!(out, "classes = {}", serde_json::json!(classes));
        }
    }
    out
}

/// As it may stand in a comment.
fn one_line(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}
