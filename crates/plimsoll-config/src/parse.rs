//! From the text of a file to the model: the steps, in their order.

use std::path::Path;

use plimsoll_core::never;
use toml::de::DeTable;

use crate::assemble;
use crate::defaults;
use crate::diagnostic::{Diagnostic, Severity};
use crate::model::Config;
use crate::node::Fields;
use crate::read::{Place, Reader};
use crate::rules;
use crate::scheme::Table;
use crate::scheme::keys::FILE;

/// Reads and checks a whole file. All errors of the file come at once, in the order of their places.
///
/// Relative paths in the file are relative to the folder of `file_name`. Nothing is read from disk: see
/// [`check_files`](crate::check_files). Returns the model and the warnings, or, where there is any
/// error, errors and warnings.
pub fn parse(source: &str, file_name: &str) -> Result<(Config, Vec<Diagnostic>), Vec<Diagnostic>> {
    let (file, mut diagnostics) = read(source, file_name);
    let has_errors = diagnostics
        .iter()
        .any(|diagnostic| diagnostic.severity == Severity::Error);
    in_order(&mut diagnostics);
    match assemble::config(&file) {
        Some(config) if !has_errors => Ok((config, diagnostics)),
        assembled => {
            // What could not be assembled must have been reported; otherwise the mistake is ours.
            if never!(assembled.is_none() && !has_errors) {
                diagnostics.push(internal_error());
            }
            Err(diagnostics)
        }
    }
}

/// The values of the file with all defaults, and what is wrong with them, in no order.
pub(crate) fn read(source: &str, file_name: &str) -> (Fields, Vec<Diagnostic>) {
    let (mut file, mut diagnostics, is_toml) = values(source, file_name, &FILE);
    if !is_toml {
        return (file, diagnostics);
    }
    defaults::spread(&mut file);
    defaults::complete(
        &mut file,
        &FILE,
        &(0..0),
        &Place::default(),
        &mut diagnostics,
    );
    rules::check(&file, &mut diagnostics);
    (file, diagnostics)
}

/// What stands in the file, without defaults; what is wrong with it, in no order; and whether it is TOML: if not,
/// nothing more is to be said about it.
pub(crate) fn values(
    source: &str,
    file_name: &str,
    table: &'static Table,
) -> (Fields, Vec<Diagnostic>, bool) {
    let folder = Path::new(file_name).parent().unwrap_or(Path::new(""));
    let (toml, errors) = DeTable::parse_recoverable(source);
    let mut reader = Reader {
        source,
        folder,
        diagnostics: Vec::new(),
    };
    let file = reader.table(table, toml.get_ref(), &Place::default());
    let mut diagnostics = reader.diagnostics;
    if errors.is_empty() {
        return (file, diagnostics, true);
    }
    let syntax = syntax_errors(&errors, source);
    remove_noise(&mut diagnostics, &syntax, source);
    diagnostics.extend(syntax);
    (Fields::default(), diagnostics, false)
}

/// Puts what was found in the order of its places.
pub(crate) fn in_order(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|diagnostic| {
        diagnostic
            .span
            .as_ref()
            .map_or(usize::MAX, |span| span.start)
    });
}

/// Nothing was wrong, and still nothing came of it.
pub(crate) fn internal_error() -> Diagnostic {
    Diagnostic::error(
        "internal-error",
        0..0,
        "a mistake of Plimsoll itself: the file could not be understood",
    )
    .without_place()
    .help("please report it, with the file")
}

/// One for each line: what else is found on it follows from the first.
fn syntax_errors(errors: &[toml::de::Error], source: &str) -> Vec<Diagnostic> {
    let mut diagnostics: Vec<Diagnostic> = Vec::new();
    let mut errors: Vec<&toml::de::Error> = errors.iter().collect();
    // A text without its end also leaves the array around it without one.
    errors.sort_by_key(|error| {
        (
            error.span().map(|span| span.start),
            error.message().starts_with("unclosed array"),
        )
    });
    for error in errors {
        let diagnostic = syntax_error(error, source);
        let line = line_of(&diagnostic, source);
        if diagnostics
            .last()
            .is_none_or(|last| line_of(last, source) != line)
        {
            diagnostics.push(diagnostic);
        }
    }
    diagnostics
}

/// Around a syntax error the parser guesses. What is then found on the same line, or without a place, is
/// noise; after a broken table header all keys seem to be of another table.
fn remove_noise(diagnostics: &mut Vec<Diagnostic>, syntax: &[Diagnostic], source: &str) {
    let lines: Vec<usize> = syntax
        .iter()
        .filter_map(|diagnostic| line_of(diagnostic, source))
        .collect();
    let is_header = |line: &usize| {
        source
            .lines()
            .nth(*line)
            .is_some_and(|text| text.trim_start().starts_with('['))
    };
    if lines.iter().any(is_header) {
        diagnostics.clear();
    }
    diagnostics.retain(|diagnostic| {
        let has_place = diagnostic
            .span
            .as_ref()
            .is_some_and(|span| !span.is_empty());
        has_place && line_of(diagnostic, source).is_some_and(|line| !lines.contains(&line))
    });
}

/// Counted from zero.
fn line_of(diagnostic: &Diagnostic, source: &str) -> Option<usize> {
    let before = source.get(..diagnostic.span.as_ref()?.start)?;
    Some(before.matches('\n').count())
}

fn syntax_error(error: &toml::de::Error, source: &str) -> Diagnostic {
    let span = error.span().unwrap_or(source.len()..source.len());
    let message = error.message();
    if message.starts_with("duplicate key") {
        let key = source.get(span.clone()).unwrap_or_default();
        return Diagnostic::error("duplicate-key", span, format!("`{key}` is there twice"))
            .label("again here")
            .help("keep one of them: in TOML a table and a key may be written once");
    }
    let (what, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let diagnostic = Diagnostic::error("syntax", span, format!("this is not TOML: {what}"));
    match expected {
        "" | "nothing" => diagnostic,
        "literal string" => diagnostic
            .label("a text without quotes")
            .help("write it in quotes"),
        _ => diagnostic.label(format!("{} was expected", expected.replace(", ", " or "))),
    }
}
