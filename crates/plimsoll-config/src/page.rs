//! Pages for clients of services that can't answer: read, checked, and filled in.
//!
//! Values are escaped for the kind of page that they stand in, and none of them is a client's. Elsewhere: when a page
//! is given, and with which values (`plimsoll-gateway`).

use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use crate::nearest::nearest;

/// The largest page: it is sent to everybody while a service is down.
pub const PAGE_BYTES_MAX: u64 = 256 << 10;

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// JSON.
    Json,
    /// HTML.
    Html,
}

impl PageKind {
    /// What clients ask for by this name.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html",
        }
    }

    /// The value of `Content-Type`. JSON is UTF-8, and has no parameter that says so (RFC 8259 section 11).
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    fn push(self, text: &mut String, value: &str) {
        for character in value.chars() {
            match (self, character) {
                (Self::Html, '<') => text.push_str("&lt;"),
                (Self::Html, '>') => text.push_str("&gt;"),
                (Self::Html, '&') => text.push_str("&amp;"),
                (Self::Html, '"') => text.push_str("&quot;"),
                (Self::Html, '\'') => text.push_str("&#39;"),
                (Self::Json, '"' | '\\') => {
                    text.push('\\');
                    text.push(character);
                }
                (Self::Json, control) if control < ' ' => {
                    text.push_str(&format!("\\u{:04x}", u32::from(control)));
                }
                _ => text.push(character),
            }
        }
    }
}

/// What a page may have filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The id of the request, as in logs.
    RequestId,
    /// The name of the service that can't answer.
    Service,
    /// The short word for why.
    Reason,
    /// Seconds until it may be worth asking again.
    RetryAfter,
}

impl Placeholder {
    const ALL: [Self; 4] = [
        Self::RequestId,
        Self::Service,
        Self::Reason,
        Self::RetryAfter,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::RequestId => "request_id",
            Self::Service => "service",
            Self::Reason => "reason",
            Self::RetryAfter => "retry_after",
        }
    }

    /// What could stand there.
    const fn example(self) -> &'static str {
        match self {
            Self::RetryAfter => "30",
            _ => "a",
        }
    }
}

/// A page with places for values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    kind: PageKind,
    pieces: Arc<[Piece]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Value(Placeholder),
}

/// A page can't be given.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// It is not there, or may not be read.
    #[error("reading the page")]
    Read(#[source] std::io::Error),
    /// It is larger than [`PAGE_BYTES_MAX`].
    #[error("a page has at most 256 KiB")]
    TooLarge,
    /// It is no text.
    #[error("it is no text in UTF-8")]
    NoText,
    /// It asks for a value that there is not.
    #[error("`{{{{{name}}}}}` stands for nothing: {help}")]
    UnknownPlaceholder {
        /// What it asks for.
        name: String,
        /// What there is.
        help: String,
    },
    /// It is called JSON and is none.
    #[error("it is not JSON, even with values filled in: {0}")]
    NoJson(serde_json::Error),
}

impl Template {
    /// A page without anything in it, which stands for one that is not read yet.
    pub fn empty(kind: PageKind) -> Self {
        Self {
            kind,
            pieces: Arc::default(),
        }
    }

    /// Reads a page.
    ///
    /// # Errors
    /// It asks for values that there are not, or is not of its kind.
    pub fn parse(kind: PageKind, text: &str) -> Result<Self, PageError> {
        let mut pieces = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("{{") {
            plain.push_str(before);
            let inside = after.split_once("}}").filter(|(name, _)| is_name(name));
            let Some((name, after)) = inside else {
                // Braces of the page's own.
                plain.push_str("{{");
                rest = after;
                continue;
            };
            let mut all = Placeholder::ALL.into_iter();
            let Some(placeholder) = all.find(|it| it.name() == name) else {
                return Err(unknown(name));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Value(placeholder));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        let template = Self {
            kind,
            pieces: pieces.into(),
        };
        if kind == PageKind::Json {
            let filled = template.fill(|placeholder| placeholder.example().into());
            serde_json::from_str::<serde::de::IgnoredAny>(&filled).map_err(PageError::NoJson)?;
        }
        Ok(template)
    }

    /// What it is written in.
    pub fn kind(&self) -> PageKind {
        self.kind
    }

    /// Whether it is the same for everybody.
    pub fn is_fixed(&self) -> bool {
        let mut pieces = self.pieces.iter();
        pieces.all(|piece| matches!(piece, Piece::Text(_)))
    }

    /// The page with these values.
    pub fn fill<'a>(&self, value: impl Fn(Placeholder) -> std::borrow::Cow<'a, str>) -> String {
        let mut text = String::new();
        for piece in &*self.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Value(placeholder) => self.kind.push(&mut text, &value(*placeholder)),
            }
        }
        text
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && (text.bytes()).all(|byte| matches!(byte, b'a'..=b'z' | b'_'))
}

fn unknown(name: &str) -> PageError {
    let names = Placeholder::ALL.map(Placeholder::name);
    PageError::UnknownPlaceholder {
        name: name.to_owned(),
        help: match nearest(name, names) {
            Some(nearest) => format!("did you mean `{{{{{nearest}}}}}`?"),
            None => format!("there are {}", names.join(", ")),
        },
    }
}

/// Reads a page, whole.
///
/// # Errors
/// It can't be given.
pub fn read_page(path: &Path, kind: PageKind) -> Result<Template, PageError> {
    let file = File::open(path).map_err(PageError::Read)?;
    let mut bytes = Vec::new();
    file.take(PAGE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(PageError::Read)?;
    if bytes.len() as u64 > PAGE_BYTES_MAX {
        return Err(PageError::TooLarge);
    }
    let text = String::from_utf8(bytes).map_err(|_| PageError::NoText)?;
    Template::parse(kind, &text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn filled(kind: PageKind, text: &str, value: &str) -> String {
        Template::parse(kind, text)
            .unwrap()
            .fill(|_| value.to_owned().into())
    }

    #[test]
    fn values_are_filled_in_and_other_braces_stay() {
        let text = "<p>{{service}}: {{ other }} {{Name}} {{}} {{{reason}}} {{";
        let template = Template::parse(PageKind::Html, text).unwrap();
        assert!(!template.is_fixed());
        let filled = template.fill(|placeholder| match placeholder {
            Placeholder::Service => "shop".into(),
            _ => "shed".into(),
        });
        assert_eq!(filled, "<p>shop: {{ other }} {{Name}} {{}} {{{reason}}} {{");
        let fixed = Template::parse(PageKind::Html, "<p>sorry").unwrap();
        assert!(fixed.is_fixed());
    }

    #[test]
    fn a_placeholder_that_there_is_not_is_an_error() {
        let error = Template::parse(PageKind::Html, "{{requestid}}").unwrap_err();
        assert_eq!(
            error.to_string(),
            "`{{requestid}}` stands for nothing: did you mean `{{request_id}}`?"
        );
    }

    #[test]
    fn json_has_to_be_json_with_its_values() {
        let number = Template::parse(PageKind::Json, r#"{"again": {{retry_after}}}"#);
        assert!(number.is_ok());
        let unquoted = Template::parse(PageKind::Json, r#"{"id": {{request_id}}}"#);
        assert!(matches!(unquoted, Err(PageError::NoJson(_))));
    }

    #[test]
    fn no_value_leaves_its_place_in_html() {
        let html = filled(PageKind::Html, "<a title='{{reason}}'>", "<b>'\"&");
        assert_eq!(html, "<a title='&lt;b&gt;&#39;&quot;&amp;'>");
    }

    proptest! {
        #[test]
        fn no_value_leaves_its_place_in_json(value: String) {
            let json = filled(PageKind::Json, r#"["{{reason}}"]"#, &value);
            let read: Vec<String> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read, vec![value]);
        }

        #[test]
        fn any_text_is_a_page_or_an_error(text in "[{}a-z_ ]{0,40}") {
            if let Ok(template) = Template::parse(PageKind::Html, &text) && template.is_fixed() {
                prop_assert_eq!(template.fill(|_| "".into()), text);
            }
        }
    }
}
