//! One value that is not a table or an array, read as a kind of the scheme.
//!
//! Elsewhere: where it stands and what it belongs to (`read`); numbers (`scalar/number.rs`).

mod number;

use std::path::Path;

use toml::de::DeValue;

use crate::address::{self, EndpointError, NetworkError};
use crate::model::Endpoint;
use crate::nearest::nearest;
use crate::node::Value;
use crate::pattern::{HostPattern, HostPatternError, PathPattern};
use crate::scheme::{FileKind, Kind, Word};
use crate::unit::{self, show_duration, show_size};
use crate::url::{Url, UrlError};
use number::{count, number, number_instead_of_text, out_of_range, quoted, unit_problem};

/// What is wrong with a value, without the subject: "has no unit".
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: &'static str,
    /// Goes on after the key's name.
    pub(crate) what: String,
    /// What was found, and what was expected.
    pub(crate) label: String,
    /// The value to write instead, in TOML; `None` where nothing can be guessed.
    pub(crate) instead: Option<String>,
    /// Other advice.
    pub(crate) help: Option<String>,
}

impl Problem {
    fn new(code: &'static str, what: impl Into<String>, label: impl Into<String>) -> Self {
        Self {
            code,
            what: what.into(),
            label: label.into(),
            instead: None,
            help: None,
        }
    }

    fn instead(mut self, toml: impl Into<String>) -> Self {
        self.instead = Some(toml.into());
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The value is of another TOML type than the kind is written in.
    pub(crate) fn wrong_type(kind: &Kind, found: &DeValue<'_>) -> Self {
        let expected = kind.expected();
        let label = format!("{}; {expected} was expected", a_type(found));
        let what = match kind {
            Kind::Either { .. } => "is none of the words it can be".to_owned(),
            _ => format!("is not {}", kind_name(kind)),
        };
        let problem = Self::new("wrong-type", what, label);
        match found {
            // What reads as the right thing once its quotes are taken away.
            DeValue::String(text) => match kind {
                Kind::Bool if matches!(&**text, "true" | "false") => problem.instead(&**text),
                Kind::Count { .. } if text.parse::<u64>().is_ok() => problem.instead(&**text),
                _ => problem,
            },
            // A status is a word here: `[502]` is `["502"]`.
            DeValue::Integer(integer) => match kind {
                Kind::Either { words, .. }
                    if words.iter().any(|word| word.word == integer.as_str()) =>
                {
                    problem.instead(quoted(integer.as_str().to_owned()))
                }
                _ => problem,
            },
            _ => problem,
        }
    }
}

/// "a number"
pub(crate) fn a_type(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// "a duration": what is expected, without its example.
fn kind_name(kind: &Kind) -> String {
    let expected = kind.expected();
    expected
        .split([','])
        .next()
        .and_then(|text| text.split(" such as").next())
        .unwrap_or_default()
        .to_owned()
}

/// Reads `value` as a `kind` that is neither table nor array. Files are relative to `folder`.
pub(crate) fn read(kind: &Kind, value: &DeValue<'_>, folder: &Path) -> Result<Value, Problem> {
    match kind {
        Kind::Bool => match value {
            DeValue::Boolean(value) => Ok(Value::Bool(*value)),
            other => Err(Problem::wrong_type(kind, other)),
        },
        Kind::Count { min, max } => count(kind, value, *min, *max),
        Kind::Number { min, max } => number(kind, value, *min, *max),
        Kind::HeaderCondition => match value {
            DeValue::Boolean(true) => Ok(Value::Present),
            DeValue::Boolean(false) => Err(Problem::new(
                "bad-header",
                "asks for a header that is absent",
                "a route can only ask for headers that are there",
            )
            .help("leave the condition out, and give the requests that have the header a route of their own")),
            DeValue::String(text) => header_value(text),
            other => Err(Problem::wrong_type(kind, other)),
        },
        _ => match value {
            DeValue::String(text) => text_value(kind, text, folder),
            DeValue::Integer(_) | DeValue::Float(_) => Err(number_instead_of_text(kind, value)),
            other => Err(Problem::wrong_type(kind, other)),
        },
    }
}

fn text_value(kind: &Kind, text: &str, folder: &Path) -> Result<Value, Problem> {
    match kind {
        Kind::Duration { min, max } => {
            let value = unit::duration(text).map_err(|error| unit_problem(kind, error))?;
            if !(*min..=*max).contains(&value) {
                return Err(out_of_range(
                    value.is_zero(),
                    &show_duration(*min),
                    &show_duration(*max),
                ));
            }
            Ok(Value::Duration(value))
        }
        Kind::Size { min, max } => {
            let value = unit::size(text).map_err(|error| unit_problem(kind, error))?;
            if !(*min..=*max).contains(&value) {
                return Err(out_of_range(value == 0, &show_size(*min), &show_size(*max)));
            }
            Ok(Value::Size(value))
        }
        Kind::Percent => unit::percent(text)
            .map(Value::Percent)
            .map_err(|error| unit_problem(kind, error)),
        Kind::Rate { zero } => match unit::rate(text) {
            Ok(rate) if rate.count == 0.0 && !zero => Err(Problem::new(
                "out-of-range",
                "is zero",
                "more than none was expected",
            )),
            Ok(rate) => Ok(Value::Rate(rate)),
            Err(error) => Err(unit_problem(kind, error)),
        },
        Kind::Text => match text {
            "" => Err(Problem::new(
                "empty-text",
                "is empty",
                "a text was expected",
            )),
            text if text.chars().any(char::is_control) => Err(Problem::new(
                "bad-text",
                "has a control character",
                "letters, digits and signs were expected",
            )),
            text => Ok(Value::Text(text.to_owned())),
        },
        Kind::Address => text
            .parse()
            .map(Value::Address)
            .map_err(|_| bad_address(kind, text)),
        Kind::Network => address::network(text)
            .map(Value::Network)
            .map_err(|error| bad_network(kind, &error)),
        Kind::Endpoint => text
            .parse()
            .map(Value::Endpoint)
            .map_err(|error| bad_endpoint(text, &error)),
        Kind::Url => text
            .parse::<Url>()
            .map(|_| Value::Text(text.to_owned()))
            .map_err(|error| bad_url(kind, error)),
        Kind::BaseUrl => base_url(kind, text),
        Kind::Host => text
            .parse()
            .map(Value::Host)
            .map_err(|error| bad_host(text, error)),
        Kind::Authority => match address::authority(text) {
            Some(authority) => Ok(Value::Text(authority)),
            None => Err(Problem::new(
                "bad-host",
                "is not a host",
                format!("{} was expected", kind.expected()),
            )),
        },
        Kind::PathPattern => text
            .parse::<PathPattern>()
            .map(Value::Path)
            .map_err(|error| {
                let problem = Problem::new(
                    "bad-path",
                    error.to_string(),
                    format!("{} was expected", kind.expected()),
                );
                match format!("/{text}").parse::<PathPattern>() {
                    Ok(_) if !text.starts_with('/') => problem.instead(format!("\"/{text}\"")),
                    _ => problem,
                }
            }),
        Kind::UriPath => uri_path(kind, text),
        Kind::HeaderName => header_name(text).map(Value::Text),
        Kind::HeaderValue => header_value(text),
        Kind::Method => method(text),
        Kind::Feature => feature(kind, text),
        Kind::File(file) => file_path(*file, text, folder),
        _ => Err(Problem::wrong_type(kind, &DeValue::String(text.into()))),
    }
}

fn bad_address(kind: &Kind, text: &str) -> Problem {
    let label = format!("{} was expected", kind.expected());
    let problem = Problem::new("bad-address", "is not an address with a port", label);
    match address::address_meant(text) {
        Some(meant) => problem.instead(format!("\"{meant}\"")),
        None if text.parse::<std::net::IpAddr>().is_ok() => {
            problem.help("add a port, as in `:8080`")
        }
        None => problem.help("names are not looked up here: write the address itself"),
    }
}

fn bad_network(kind: &Kind, error: &NetworkError) -> Problem {
    let problem = Problem::new(
        "bad-address",
        error.to_string(),
        format!("{} was expected", kind.expected()),
    );
    match error {
        NetworkError::HostBits(meant) => {
            problem.instead(format!("\"{}/{}\"", meant.address, meant.prefix))
        }
        _ => problem,
    }
}

fn bad_endpoint(text: &str, error: &EndpointError) -> Problem {
    let expected = "a URL such as \"http://10.0.0.1:9001\" was expected";
    match error {
        EndpointError::Credentials => Problem::new(
            "password-in-url",
            error.to_string(),
            "a secret in this file would end up in backups and version control",
        )
        .help("take it out; Plimsoll sends no login of its own, and passes on the client's"),
        EndpointError::NoScheme if format!("http://{text}").parse::<Endpoint>().is_ok() => {
            Problem::new("bad-url", error.to_string(), expected).instead(format!("\"http://{text}\""))
        }
        EndpointError::Path => Problem::new("bad-url", error.to_string(), "an endpoint is a host and a port")
            .help("paths are for routes: `path` says which ones match, `rewrite.strip_prefix` takes a prefix off"),
        _ => Problem::new("bad-url", error.to_string(), expected),
    }
}

fn bad_url(kind: &Kind, error: UrlError) -> Problem {
    match error {
        UrlError::Credentials => Problem::new(
            "password-in-url",
            error.to_string(),
            "a secret in this file would end up in backups and version control",
        )
        .help("keep the URL elsewhere, as in `{ env = \"HOOK_URL\" }`; an `@` that belongs to the path is `%40`"),
        _ => Problem::new(
            "bad-url",
            error.to_string(),
            format!("{} was expected", kind.expected()),
        ),
    }
}

/// Paths are put behind it: it has no query of its own, and no slash at its end.
fn base_url(kind: &Kind, text: &str) -> Result<Value, Problem> {
    let bad = |what: String| {
        let label = format!("{} was expected", kind.expected());
        Problem::new("bad-url", what, label)
    };
    match text.parse::<Url>() {
        Ok(url) if url.scheme.is_mail() => Err(bad("is neither `http` nor `https`".to_owned())),
        Ok(_) if text.contains('?') => Err(bad("has a query".to_owned())),
        Ok(_) => Ok(Value::Text(text.trim_end_matches('/').to_owned())),
        Err(UrlError::Credentials) => Err(bad_url(kind, UrlError::Credentials)
            .help("take it out: whoever uses it says who they are in their requests")),
        Err(UrlError::Scheme) => Err(bad("is neither `http` nor `https`".to_owned())),
        Err(UrlError::NoScheme) if format!("http://{text}").parse::<Url>().is_ok() => {
            Err(bad(UrlError::NoScheme.to_string()).instead(format!("\"http://{text}\"")))
        }
        Err(error) => Err(bad(error.to_string())),
    }
}

fn bad_host(text: &str, error: HostPatternError) -> Problem {
    let problem = Problem::new(
        "bad-host",
        error.to_string(),
        format!("{} was expected", Kind::Host.expected()),
    );
    match error {
        HostPatternError::Port => match text.rsplit_once(':') {
            Some((host, _)) if host.parse::<HostPattern>().is_ok() => {
                problem.instead(format!("\"{host}\""))
            }
            _ => problem,
        },
        HostPatternError::Everything => problem.help("leave `host` out: then every host matches"),
        HostPatternError::Character(c) if !c.is_ascii() => {
            problem.help("write it in ASCII, as in `xn--…` (Punycode)")
        }
        _ => problem,
    }
}

fn uri_path(kind: &Kind, text: &str) -> Result<Value, Problem> {
    let printable = text
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if text.starts_with('/') && printable {
        return Ok(Value::Text(text.to_owned()));
    }
    let problem = Problem::new(
        "bad-path",
        "is not a path",
        format!("{} was expected", kind.expected()),
    );
    Err(if printable && !text.is_empty() && !text.contains("://") {
        problem.instead(format!("\"/{text}\""))
    } else {
        problem
    })
}

/// RFC 9110, section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// A header's name in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, Problem> {
    if is_token(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let problem = Problem::new(
        "bad-header",
        "is not a header's name",
        "letters, digits and `-` were expected",
    );
    Err(match text.trim().strip_suffix(':') {
        Some(name) if is_token(name) => problem.instead(format!("\"{name}\"")),
        _ => problem,
    })
}

/// RFC 9110, section 5.5: visible characters, with spaces and tabs between them.
fn header_value(text: &str) -> Result<Value, Problem> {
    let inner = text
        .bytes()
        .all(|byte| byte == b'\t' || (byte >= b' ' && byte != 0x7F));
    if inner && text.trim_matches([' ', '\t']) == text {
        return Ok(Value::Text(text.to_owned()));
    }
    let what = if inner {
        "begins or ends with a space"
    } else {
        "has a control character"
    };
    Err(Problem::new(
        "bad-header",
        what,
        "a header's value has neither control characters nor spaces at its ends",
    ))
}

const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

fn method(text: &str) -> Result<Value, Problem> {
    let upper = text.to_ascii_uppercase();
    if upper == "CONNECT" {
        return Err(Problem::new(
            "bad-method",
            "is `CONNECT`, which Plimsoll refuses",
            "no request with it is routed",
        ));
    }
    if METHODS.contains(&&*upper) && upper != text {
        return Err(Problem::new(
            "bad-method",
            "is not in upper case",
            "methods are compared in the case they are written in",
        )
        .instead(format!("\"{upper}\"")));
    }
    if is_token(text) {
        Ok(Value::Text(text.to_owned()))
    } else {
        Err(Problem::new(
            "bad-method",
            "is not a method",
            "a method such as \"GET\" was expected",
        ))
    }
}

/// A token of RFC 9651 that needs no care anywhere else either.
fn feature(kind: &Kind, text: &str) -> Result<Value, Problem> {
    let letter = text.starts_with(|first: char| first.is_ascii_alphabetic());
    let inside = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_');
    if letter && text.len() <= 64 && text.chars().all(inside) {
        return Ok(Value::Text(text.to_owned()));
    }
    let label = format!("{} was expected", kind.expected());
    Err(
        Problem::new("bad-feature", "is not a feature's name", label)
            .help("a name has letters, digits, `-` and `_`, at most 64, and begins with a letter"),
    )
}

fn file_path(kind: FileKind, text: &str, folder: &Path) -> Result<Value, Problem> {
    if text.is_empty() || text.contains('\0') {
        return Err(Problem::new(
            "bad-path",
            "is not a path",
            format!("{} was expected", Kind::File(kind).expected()),
        ));
    }
    if kind == FileKind::Runbook && is_page(text) {
        return Ok(Value::Text(text.to_owned()));
    }
    Ok(Value::File(folder.join(text), kind))
}

/// Whether a browser opens it, as against a file.
fn is_page(text: &str) -> bool {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| it.eq_ignore_ascii_case("https") || it.eq_ignore_ascii_case("http"))
}

/// One of `words`, or what else may have been meant.
pub(crate) fn word(
    words: &'static [Word],
    text: &str,
) -> Result<&'static str, Option<&'static str>> {
    match words.iter().find(|word| word.word == text) {
        Some(word) => Ok(word.word),
        None => Err(nearest(text, words.iter().map(|word| word.word))),
    }
}
