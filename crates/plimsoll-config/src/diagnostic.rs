//! What is wrong with a configuration file: the place, the reason and the fix.
//!
//! Elsewhere: who finds it (`read`, `rules`, `files`; of other files, the binary). What a span marks as secret is never shown.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde_json::{Value, json};

use crate::shown::paths_of_urls;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The file is refused.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

/// One finding in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What kind of mistake it is, in kebab-case; stable between versions.
    pub code: &'static str,
    /// What is wrong with whom.
    pub message: String,
    /// Where, in bytes of the source; `None` where it is about the file as a whole.
    pub span: Option<Range<usize>>,
    /// What was found there, and what was expected.
    pub label: String,
    /// Other places that belong to it.
    pub related: Vec<(Range<usize>, String)>,
    /// What to do about it.
    pub help: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// Bytes of the source that must not be shown.
    pub secret: Option<Range<usize>>,
}

impl Diagnostic {
    /// An error at `span`.
    pub fn error(code: &'static str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span: Some(span),
            label: String::new(),
            related: Vec::new(),
            help: None,
            notes: Vec::new(),
            secret: None,
        }
    }

    /// A warning at `span`.
    pub(crate) fn warning(
        code: &'static str,
        span: Range<usize>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(code, span, message)
        }
    }

    /// About the file as a whole.
    pub fn without_place(mut self) -> Self {
        self.span = None;
        self
    }

    /// With what was found at the place, and what was expected.
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// With another place that belongs to it.
    pub fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related.push((span, label.into()));
        self
    }

    /// With what to do about it.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// With something else that is worth knowing.
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }
}

/// All findings as text for people, in the order given, each with its lines of `source`.
///
/// `color` adds terminal escapes. Secrets are masked in every line shown.
pub fn render(diagnostics: &[Diagnostic], source: &str, file: &str, color: bool) -> String {
    let source = masked(source, diagnostics);
    let renderer = if color {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(diagnostic, &source, file)]));
        text.push('\n');
    }
    text
}

fn group<'a>(diagnostic: &'a Diagnostic, source: &'a str, file: &'a str) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut group = Group::with_title(
        level
            .primary_title(&*diagnostic.message)
            .id(diagnostic.code),
    );
    group = match &diagnostic.span {
        Some(span) => {
            let label = Some(&*diagnostic.label).filter(|label| !label.is_empty());
            let mut snippet = Snippet::source(source).path(file);
            snippet = snippet.annotation(
                AnnotationKind::Primary
                    .span(within(span, source))
                    .label(label),
            );
            for (span, label) in &diagnostic.related {
                snippet = snippet.annotation(
                    AnnotationKind::Context
                        .span(within(span, source))
                        .label(&**label),
                );
            }
            group.element(snippet)
        }
        None => group.element(annotate_snippets::Origin::path(file)),
    };
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(&**note));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(&**help));
    }
    group
}

/// The span, moved into the source where it is not, onto the borders of characters.
fn within(span: &Range<usize>, source: &str) -> Range<usize> {
    let start = source.floor_char_boundary(span.start);
    let end = source.ceil_char_boundary(span.end).max(start);
    start..end
}

/// The source with every secret's characters replaced by as many bytes of `*`, so that spans stay true: those that were
/// found, and those that may stand in a line beside what was found.
fn masked(source: &str, diagnostics: &[Diagnostic]) -> String {
    let mut bytes = source.as_bytes().to_vec();
    let secrets = diagnostics.iter().filter_map(|it| it.secret.clone());
    for secret in secrets.chain(paths_of_urls(source)) {
        let secret = within(&secret, source);
        if let Some(bytes) = bytes.get_mut(secret) {
            bytes.fill(b'*');
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// All findings for machines: an array of objects. Lines and columns count from 1, columns in characters.
pub fn to_json(diagnostics: &[Diagnostic], source: &str, file: &str) -> Value {
    let place = |span: &Range<usize>| {
        let span = within(span, source);
        let (line, column) = position(source, span.start);
        let (end_line, end_column) = position(source, span.end);
        json!({
            "file": file,
            "line": line,
            "column": column,
            "end_line": end_line,
            "end_column": end_column,
        })
    };
    let findings = diagnostics.iter().map(|diagnostic| {
        json!({
            "severity": match diagnostic.severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            },
            "code": diagnostic.code,
            "message": diagnostic.message,
            "place": diagnostic.span.as_ref().map(place),
            "label": diagnostic.label,
            "related": diagnostic.related.iter().map(|(span, label)| {
                json!({ "place": place(span), "label": label })
            }).collect::<Vec<_>>(),
            "help": diagnostic.help,
            "notes": diagnostic.notes,
        })
    });
    Value::Array(findings.collect())
}

/// Line and column of a byte, from 1.
fn position(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.matches('\n').count() + 1;
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "a = 1\nb = \"ü\"\nurl = \"http://me:hunter2@x\"\n";

    #[test]
    fn lines_and_columns_count_from_one_in_characters() {
        assert_eq!(position(SOURCE, 0), (1, 1));
        assert_eq!(position(SOURCE, 10), (2, 5));
        assert_eq!(position(SOURCE, 14), (2, 8));
        assert_eq!(position(SOURCE, 10_000), (4, 1));
    }

    #[test]
    fn a_secret_is_masked_in_the_lines_of_every_diagnostic() {
        let at = SOURCE.find("hunter2").unwrap();
        let secret = Diagnostic {
            secret: Some(at..at + 7),
            ..Diagnostic::error("a", at..at + 7, "secret")
        };
        let other = Diagnostic::error("b", at + 8..at + 9, "something else on the same line");
        let text = render(&[secret, other], SOURCE, "p.toml", false);
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches("me:*******@x").count(), 2, "{text}");
    }

    #[test]
    fn spans_outside_the_source_do_not_panic() {
        let wild = Diagnostic::error("a", 5_000..6_000, "far out");
        let end = Diagnostic::error("b", SOURCE.len()..SOURCE.len(), "at the end");
        let inside = Diagnostic::error("c", 12..12, "inside a character");
        let text = render(&[wild, end, inside], SOURCE, "p.toml", true);
        assert_eq!(text.matches("p.toml").count(), 3);
        assert_eq!(
            render(
                &[Diagnostic::error("a", 0..0, "empty")],
                "",
                "p.toml",
                false
            )
            .matches("empty")
            .count(),
            1
        );
    }
}
