//! One TOML file to a validated model, with diagnostics that point at the line.
//!
//! [`parse`] is the way in. It works in steps, each over the whole file, so that all errors show at once:
//! TOML with spans, keys and values by the scheme (`scheme`, `read`), defaults (`defaults`), what must
//! hold between values (`rules`), and, where nothing is wrong, the model ([`Config`]).
//! [`schema`] and [`reference_markdown`] come from the same description of the keys.
//! [`scenario::parse`] reads the simulator's scenarios in the same way.

mod access_keys;
mod address;
mod assemble;
mod defaults;
mod diagnostic;
mod difference;
mod files;
mod init;
mod model;
mod nearest;
mod node;
mod page;
mod parse;
mod pattern;
mod read;
mod reference;
mod rules;
mod scalar;
pub mod scenario;
mod schema;
mod scheme;
mod shown;
mod unit;
mod url;

pub use access_keys::{ACCESS_KEYS_BYTES_MAX, AccessKeyProblem, AccessKeysError, read_access_keys};
pub use address::EndpointError;
pub use diagnostic::{Diagnostic, Severity, render, to_json};
pub use difference::{Alteration, AlterationKind, Risk, changed_keys, difference};
pub use files::{
    FlagFileError, RUNBOOK_BYTES_MAX, RunbookError, check_files, read_flags, read_runbook,
};
pub use init::{InitError, init};
pub use model::*;
pub use nearest::nearest;
pub use page::{PAGE_BYTES_MAX, PageError, PageKind, Placeholder, Template, read_page};
pub use parse::parse;
pub use pattern::{
    HostPattern, HostPatternError, PathPattern, PathPatternError, Segment, normal_form,
    path_segments,
};
pub use reference::reference_markdown;
pub use schema::schema;
pub use shown::without_secrets;
pub use unit::{read_duration, show_duration, show_percent};
pub use url::{Scheme, Url, UrlError};
