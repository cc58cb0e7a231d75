//! Who writes a chain: a key in a file of its own, and the signature under the head of the chain.
//!
//! A chain alone does not show that its end was cut off. A head that was signed and kept elsewhere does: the record
//! with its sequence must still be there, with its hash. Ed25519 (RFC 8032).

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use plimsoll_core::Timestamp;
use serde::{Deserialize, Serialize};

use crate::record::{Hash, bytes_of_hex};

/// A writer.
#[derive(Debug)]
pub struct Identity {
    key: Ed25519KeyPair,
    writer: String,
}

/// The key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file can't be read or made.
    #[error("using the key {path}")]
    Io {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else. Moved away, a new key is made, and a new chain begins.
    #[error(
        "{path} holds no Ed25519 key (PKCS#8); move it away, and a new writer begins a chain of its own"
    )]
    NotAKey {
        /// The file.
        path: String,
    },
}

impl Identity {
    /// The one whose key is in a file; made, for this user alone, if there is none.
    pub fn at(path: &Path) -> Result<Self, IdentityError> {
        let failed = |source| IdentityError::Io {
            path: path.display().to_string(),
            source,
        };
        let not_a_key = || IdentityError::NotAKey {
            path: path.display().to_string(),
        };
        let document = match fs::read(path) {
            Ok(document) => document,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = Ed25519KeyPair::generate().map_err(|_| not_a_key())?;
                let document: aws_lc_rs::encoding::Pkcs8V1Der<'_> =
                    key.as_der().map_err(|_| not_a_key())?;
                let document = document.as_ref().to_vec();
                match make(path, &document) {
                    // Another process was first: both are that writer.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                        fs::read(path).map_err(failed)?
                    }
                    made => made.map(|()| document).map_err(failed)?,
                }
            }
            Err(error) => return Err(failed(error)),
        };
        let key = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| not_a_key())?;
        let writer = writer_of(key.public_key().as_ref());
        Ok(Self { key, writer })
    }

    /// The name of its chain: the first 16 hex digits of the SHA-256 of its public key.
    pub fn writer(&self) -> &str {
        &self.writer
    }

    /// Signs the head of its chain.
    pub fn sign(&self, sequence: u64, hash: Hash, at: Timestamp) -> Head {
        let mut head = Head {
            writer: self.writer.clone(),
            sequence,
            hash: hash.to_string(),
            at: at.to_rfc3339(),
            key: hex(self.key.public_key().as_ref()),
            signature: String::new(),
        };
        head.signature = hex(self.key.sign(&head.signed()).as_ref());
        head
    }
}

/// The last record of a chain at some time, signed by its writer. One line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Whose chain.
    pub writer: String,
    /// The place of the last record.
    pub sequence: u64,
    /// Its hash, in hex.
    pub hash: String,
    /// When it was signed, RFC 3339.
    pub at: String,
    /// The public key, in hex.
    pub key: String,
    /// The signature, in hex.
    pub signature: String,
}

/// A head that is not what its writer signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeadError {
    /// A field has the wrong form.
    #[error("a head has a hash of 64, a key of 64 and a signature of 128 hex digits")]
    Form,
    /// The writer is not that of the key.
    #[error("the writer of this head is not that of its key")]
    Writer,
    /// The signature does not fit.
    #[error("the signature does not fit this head")]
    Signature,
}

impl Head {
    /// Checks the signature. Gives the hash.
    pub fn check(&self) -> Result<Hash, HeadError> {
        let hash = Hash::from_hex(&self.hash).ok_or(HeadError::Form)?;
        let key = bytes_of_hex(&self.key).ok_or(HeadError::Form)?;
        let signature = bytes_of_hex(&self.signature).ok_or(HeadError::Form)?;
        if writer_of(&key) != self.writer {
            return Err(HeadError::Writer);
        }
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&self.signed(), &signature)
            .map_err(|_| HeadError::Signature)?;
        Ok(hash)
    }

    fn signed(&self) -> Vec<u8> {
        format!(
            "plimsoll head 1\n{}\n{}\n{}\n{}\n",
            self.writer, self.sequence, self.hash, self.at
        )
        .into_bytes()
    }
}

/// Makes a file that nobody ever sees half written, for this user alone; an error if there is one.
fn make(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::hard_link(&aside, path)
    })();
    let _gone = fs::remove_file(&aside);
    written
}

fn writer_of(key: &[u8]) -> String {
    let mut name = hex(digest(&SHA256, key).as_ref());
    name.truncate(16);
    name
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_and_for_this_user_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal.key");
        let first = Identity::at(&path).unwrap();
        let again = Identity::at(&path).unwrap();
        assert_eq!(first.writer(), again.writer());
        assert_eq!(first.writer().len(), 16);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        fs::write(&path, "no key").unwrap();
        let error = Identity::at(&path).unwrap_err().to_string();
        assert!(error.contains("move it away"), "{error}");
    }

    #[test]
    fn a_head_that_was_changed_does_not_pass() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::at(&folder.path().join("a")).unwrap();
        let head = identity.sign(9, Hash::ZERO, Timestamp::from_seconds(60));
        assert_eq!(head.check(), Ok(Hash::ZERO));
        let text = serde_json::to_string(&head).unwrap();
        assert_eq!(serde_json::from_str::<Head>(&text).unwrap(), head);
        let mut changed = head.clone();
        changed.sequence = 8;
        assert_eq!(changed.check(), Err(HeadError::Signature));
        let mut changed = head.clone();
        changed.writer = "0123456789abcdef".to_owned();
        assert_eq!(changed.check(), Err(HeadError::Writer));
        let mut changed = head.clone();
        changed.key.pop();
        assert_eq!(changed.check(), Err(HeadError::Form));
        // Signed by somebody else in this one's name.
        let other = Identity::at(&folder.path().join("b")).unwrap();
        let mut forged = other.sign(9, Hash::ZERO, Timestamp::from_seconds(60));
        forged.writer = head.writer;
        assert_eq!(forged.check(), Err(HeadError::Writer));
    }
}
