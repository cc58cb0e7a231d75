//! A file of access keys: who may sign requests, and the secrets that they sign with.
//!
//! Invariant: no error says what stands in the file. What is in the place of an id may be a secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use crate::model::Secret;

/// The largest file: room for some ten thousand keys.
pub const ACCESS_KEYS_BYTES_MAX: u64 = 1 << 20;
/// Far more than those who make such keys give them.
const PART_BYTES_MAX: usize = 256;

/// A file of access keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum AccessKeysError {
    /// It is not there, or may not be read.
    #[error("reading the file of access keys")]
    Read(#[source] std::io::Error),
    /// It is larger than [`ACCESS_KEYS_BYTES_MAX`].
    #[error("a file of access keys has at most 1 MiB")]
    TooLarge,
    /// It is no text.
    #[error("it is no text in UTF-8")]
    NoText,
    /// Nobody could sign anything.
    #[error("there is no access key in it")]
    Empty,
    /// A line that is no access key.
    #[error("line {line}: {problem}")]
    Line {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: AccessKeyProblem,
    },
}

/// What is wrong with a line of a file of access keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AccessKeyProblem {
    /// One word alone, or more than two.
    #[error("an access key id and a secret were expected, with a space between them")]
    Parts,
    /// Requests name it between slashes.
    #[error("an access key id has at most 256 letters, digits and signs, without `/`, `,` and `=`")]
    Id,
    /// It could not be typed, or is too long.
    #[error("a secret has at most 256 letters, digits and signs")]
    Secret,
    /// The same id again: nobody could tell which of them counts.
    #[error("the access key id of line {first} again")]
    Twice {
        /// Where it stands, too.
        first: usize,
    },
}

/// Reads a file of access keys, whole: id -> secret.
///
/// # Errors
/// It can't be used.
pub fn read_access_keys(path: &Path) -> Result<BTreeMap<String, Secret>, AccessKeysError> {
    let file = fs::File::open(path).map_err(AccessKeysError::Read)?;
    let mut bytes = Vec::new();
    file.take(ACCESS_KEYS_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(AccessKeysError::Read)?;
    if bytes.len() as u64 > ACCESS_KEYS_BYTES_MAX {
        return Err(AccessKeysError::TooLarge);
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| AccessKeysError::NoText)?;
    access_keys(text.trim_start_matches('\u{feff}'))
}

fn access_keys(text: &str) -> Result<BTreeMap<String, Secret>, AccessKeysError> {
    let mut keys = BTreeMap::new();
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        let wrong = |problem| AccessKeysError::Line { line, problem };
        let Some((id, secret)) = access_key(text).map_err(wrong)? else {
            continue;
        };
        if let Some(first) = lines.insert(id, line) {
            return Err(wrong(AccessKeyProblem::Twice { first }));
        }
        keys.insert(id.to_owned(), Secret::Plain(secret.to_owned()));
    }
    match keys.is_empty() {
        true => Err(AccessKeysError::Empty),
        false => Ok(keys),
    }
}

/// The id and the secret of a line; `None` where it has nothing but a comment.
fn access_key(line: &str) -> Result<Option<(&str, &str)>, AccessKeyProblem> {
    // A `#` within a word belongs to it: it may be one of a secret.
    let mut words = line
        .split_whitespace()
        .take_while(|word| !word.starts_with('#'));
    let (id, secret) = match (words.next(), words.next(), words.next()) {
        (None, ..) => return Ok(None),
        (Some(id), Some(secret), None) => (id, secret),
        _ => return Err(AccessKeyProblem::Parts),
    };
    let fits = |word: &str| {
        word.len() <= PART_BYTES_MAX && word.bytes().all(|byte| byte.is_ascii_graphic())
    };
    // AWS Signature Version 4: `Credential=ID/DATE/REGION/SERVICE/aws4_request, SignedHeaders=…`.
    if !fits(id) || id.contains(['/', ',', '=']) {
        return Err(AccessKeyProblem::Id);
    }
    match fits(secret) {
        true => Ok(Some((id, secret))),
        false => Err(AccessKeyProblem::Secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_id_and_a_secret_and_comments_are_nothing() {
        let text = "# of the shop\n\nAKIA1 s3cret/+=\r\n  AKIA2\ta#b  # of the till\n#AKIA3 x\n";
        let keys = access_keys(text).unwrap();
        let expected = [("AKIA1", "s3cret/+="), ("AKIA2", "a#b")]
            .map(|(id, secret)| (id.to_owned(), Secret::Plain(secret.to_owned())));
        assert_eq!(keys, BTreeMap::from(expected));
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let error = access_keys(text).unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }

    #[test]
    fn what_is_no_access_key_is_told_by_its_line_and_never_shown() {
        let parts = "an access key id and a secret were expected, with a space between them";
        check("a b\nhunter2\n", &format!("line 2: {parts}"));
        check("a b hunter2", &format!("line 1: {parts}"));
        check("a #hunter2", &format!("line 1: {parts}"));
        let id =
            "an access key id has at most 256 letters, digits and signs, without `/`, `,` and `=`";
        check("hunter2/a b", &format!("line 1: {id}"));
        check(&format!("{} b", "a".repeat(257)), &format!("line 1: {id}"));
        let secret = "a secret has at most 256 letters, digits and signs";
        check("\n\na hünter2", &format!("line 3: {secret}"));
        let long = format!("a {}", "b".repeat(257));
        check(&long, &format!("line 1: {secret}"));
        check(
            "a b\n#\na hunter2",
            "line 3: the access key id of line 1 again",
        );
        check("# nothing\n", "there is no access key in it");
    }

    #[test]
    fn a_file_that_is_too_large_or_no_text_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, "\u{feff}a b\n").unwrap();
        assert_eq!(read_access_keys(&path).unwrap().len(), 1);
        fs::write(&path, "#".repeat(1 + (1 << 20))).unwrap();
        assert!(matches!(
            read_access_keys(&path),
            Err(AccessKeysError::TooLarge)
        ));
        fs::write(&path, b"a \xff").unwrap();
        assert!(matches!(
            read_access_keys(&path),
            Err(AccessKeysError::NoText)
        ));
    }
}
