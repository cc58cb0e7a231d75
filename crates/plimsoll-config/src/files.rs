//! The files that the configuration names: whether they are there, and are what they should be.
//!
//! Apart from [`parse`](crate::parse), because it reads the disk: `check` and reload ask for it, a test of
//! the configuration alone does not. Elsewhere: whether a key fits its certificate (`rustls`, on loading).

use std::fs;
use std::io::Read as _;
use std::path::Path;

use plimsoll_policy::flag::{FILE_BYTES_MAX, FlagSet, FractionalVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::access_keys::{AccessKeysError, read_access_keys};
use crate::diagnostic::Diagnostic;
use crate::node::{Fields, Node, Value};
use crate::page::{PageError, read_page};
use crate::parse::read;
use crate::scheme::FileKind;

/// Reads every file that `source` names, and reports those that cannot be used, at the line that names them.
pub fn check_files(source: &str, file_name: &str) -> Vec<Diagnostic> {
    let (file, _) = read(source, file_name);
    let mut diagnostics = Vec::new();
    check_fields(&file, &mut diagnostics);
    diagnostics.sort_by_key(|diagnostic| {
        diagnostic
            .span
            .as_ref()
            .map_or(usize::MAX, |span| span.start)
    });
    // A file of `[defaults]` is read once per service, but wrong once.
    diagnostics.dedup();
    diagnostics
}

fn check_fields(fields: &Fields, diagnostics: &mut Vec<Diagnostic>) {
    for (_, field) in fields.iter() {
        check_node(&field.node, diagnostics);
    }
}

fn check_node(node: &Node, diagnostics: &mut Vec<Diagnostic>) {
    match &node.value {
        Value::Table(fields) => check_fields(fields, diagnostics),
        Value::List(nodes) => nodes.iter().for_each(|node| check_node(node, diagnostics)),
        Value::File(path, kind) => {
            if let Err((code, message, label)) = check_file(path, *kind) {
                // Without a runbook everything works, and people have less to go by.
                let diagnostic = match kind {
                    // Nor are there flags before it is right: those that were there before stay.
                    FileKind::Runbook | FileKind::Flags => Diagnostic::warning,
                    _ => Diagnostic::error,
                };
                diagnostics.push(diagnostic(code, node.span.clone(), message).label(label));
            }
        }
        _ => {}
    }
}

/// The largest runbook: who has to read more at 3 a.m. reads nothing.
pub const RUNBOOK_BYTES_MAX: u64 = 64 << 10;

/// A runbook can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum RunbookError {
    /// It is not there, or may not be read.
    #[error("reading the runbook")]
    Read(#[source] std::io::Error),
    /// It is larger than [`RUNBOOK_BYTES_MAX`].
    #[error("a runbook has at most 64 KiB")]
    TooLarge,
    /// It is no text.
    #[error("it is no text in UTF-8")]
    NoText,
}

/// Reads a runbook of a service, whole.
///
/// # Errors
/// It can't be shown.
pub fn read_runbook(path: &Path) -> Result<String, RunbookError> {
    let file = fs::File::open(path).map_err(RunbookError::Read)?;
    let mut bytes = Vec::new();
    file.take(RUNBOOK_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(RunbookError::Read)?;
    if bytes.len() as u64 > RUNBOOK_BYTES_MAX {
        return Err(RunbookError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| RunbookError::NoText)
}

/// A file of flags can't be read.
#[derive(Debug, thiserror::Error)]
pub enum FlagFileError {
    /// It is not there, or may not be read.
    #[error("reading the file of flags")]
    Read(#[source] std::io::Error),
    /// It is larger than [`FILE_BYTES_MAX`].
    #[error("a file of flags has at most 1 MiB")]
    TooLarge,
    /// It is no text.
    #[error("it is no text in UTF-8")]
    NoText,
}

/// Reads a file of flags, whole; whether they can be is another matter.
///
/// # Errors
/// It can't be read.
pub fn read_flags(path: &Path) -> Result<String, FlagFileError> {
    let file = fs::File::open(path).map_err(FlagFileError::Read)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(FlagFileError::Read)?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(FlagFileError::TooLarge);
    }
    String::from_utf8(bytes).map_err(|_| FlagFileError::NoText)
}

type Finding = (&'static str, String, String);

fn check_file(path: &Path, kind: FileKind) -> Result<(), Finding> {
    let shown = path.display();
    match kind {
        // Made where it is missing, by whoever starts.
        FileKind::StateFolder => Ok(()),
        FileKind::Log => {
            let folder = path
                .parent()
                .filter(|folder| !folder.as_os_str().is_empty());
            match folder {
                Some(folder) if !folder.is_dir() => {
                    let label =
                        "the file is made where it is missing, its folder is not".to_owned();
                    Err((
                        "file-missing",
                        format!("there is no folder {}", folder.display()),
                        label,
                    ))
                }
                _ => Ok(()),
            }
        }
        FileKind::Secret => {
            let content = read_file(path)?;
            let text = std::str::from_utf8(&content).map(str::trim);
            match text {
                Ok(text) if !text.is_empty() && !text.contains(char::is_control) => Ok(()),
                _ => Err((
                    "bad-secret",
                    format!("{shown} is not one line of text"),
                    "a file with the value in one line was expected".into(),
                )),
            }
        }
        FileKind::Runbook => match read_runbook(path) {
            Ok(_) => Ok(()),
            Err(RunbookError::Read(error)) => Err(unreadable(path, &error)),
            Err(error) => Err((
                "bad-runbook",
                format!("{shown} can't be shown"),
                error.to_string(),
            )),
        },
        FileKind::Flags => match read_flags(path) {
            Ok(text) => match FlagSet::parse(&text, FractionalVersion::default()) {
                Ok(_) => Ok(()),
                Err(problems) => Err((
                    "bad-flags",
                    format!("{shown} has flags that can't be"),
                    problems
                        .first()
                        .map_or_else(String::new, ToString::to_string),
                )),
            },
            Err(FlagFileError::Read(error)) => Err(unreadable(path, &error)),
            Err(error) => Err((
                "bad-flags",
                format!("{shown} is no file of flags"),
                error.to_string(),
            )),
        },
        FileKind::AccessKeys => match read_access_keys(path) {
            Ok(_) => Ok(()),
            Err(AccessKeysError::Read(error)) => Err(unreadable(path, &error)),
            Err(error) => Err((
                "bad-access-keys",
                format!("{shown} is no file of access keys"),
                error.to_string(),
            )),
        },
        FileKind::Page(kind) => match read_page(path, kind) {
            Ok(_) => Ok(()),
            Err(PageError::Read(_)) => read_file(path).map(|_| ()),
            Err(error) => Err((
                "bad-page",
                format!("{shown} can't be given to clients"),
                error.to_string(),
            )),
        },
        FileKind::Certificates => {
            let pem = read_file(path)?;
            let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
            match certificates {
                Ok(certificates) if !certificates.is_empty() => Ok(()),
                Ok(_) => Err((
                    "bad-pem",
                    format!("{shown} has no certificate in it"),
                    "a file with `-----BEGIN CERTIFICATE-----` was expected".into(),
                )),
                Err(error) => Err((
                    "bad-pem",
                    format!("{shown} is not readable as PEM"),
                    error.to_string(),
                )),
            }
        }
        FileKind::Key => {
            let pem = read_file(path)?;
            match PrivateKeyDer::from_pem_slice(&pem) {
                Ok(_) => Ok(()),
                Err(rustls_pki_types::pem::Error::NoItemsFound) => Err((
                    "bad-pem",
                    format!("{shown} has no private key in it"),
                    "a file with `-----BEGIN PRIVATE KEY-----` was expected, without a password"
                        .into(),
                )),
                Err(error) => Err((
                    "bad-pem",
                    format!("{shown} is not readable as PEM"),
                    error.to_string(),
                )),
            }
        }
    }
}

fn read_file(path: &Path) -> Result<Vec<u8>, Finding> {
    fs::read(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Finding {
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => "file-missing",
        _ => "file-unreadable",
    };
    (
        code,
        format!("{} cannot be read", path.display()),
        error.to_string(),
    )
}
