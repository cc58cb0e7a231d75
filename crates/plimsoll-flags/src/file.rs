//! The file that flags come from: looked at now and then, read again when it is another.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use plimsoll_config::read_flags;
use plimsoll_policy::flag::{FlagSet, FractionalVersion};

/// A file of flags, and what of it was read.
#[derive(Debug)]
pub struct FlagFile {
    path: PathBuf,
    fractional: FractionalVersion,
    /// Of what was read last; `None`: it was not there.
    seen: Option<Stamp>,
    /// It was not valid, which may be because somebody is still writing it.
    doubtful: bool,
}

/// What tells that a file is another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    length: u64,
    changed: (i64, i64),
}

impl FlagFile {
    /// Nothing of it is read yet.
    pub fn new(path: PathBuf, fractional: FractionalVersion) -> Self {
        Self {
            path,
            fractional,
            seen: None,
            doubtful: false,
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it.
    ///
    /// # Errors
    /// It can't be read, or has flags that can't be: all that is wrong, line by line.
    pub fn read(&mut self) -> Result<(FlagSet, String), Vec<String>> {
        self.seen = stamp(&self.path);
        self.doubtful = false;
        let text = read_flags(&self.path).map_err(|error| {
            let mut why = error.to_string();
            if let Some(source) = std::error::Error::source(&error) {
                why = format!("{why}: {source}");
            }
            vec![why]
        })?;
        match FlagSet::parse(&text, self.fractional) {
            Ok(set) => Ok((set, text)),
            Err(problems) => Err(problems.iter().map(ToString::to_string).collect()),
        }
    }

    /// Reads it if it is another than before; `None` if not. To be called each second: one that is not valid is read once
    /// more before anybody is told, for somebody may be writing it.
    pub fn look(&mut self) -> Option<Result<(FlagSet, String), Vec<String>>> {
        if stamp(&self.path) == self.seen && !self.doubtful {
            return None;
        }
        let again = std::mem::take(&mut self.doubtful);
        let read = self.read();
        if read.is_err() && !again {
            self.doubtful = true;
            return None;
        }
        Some(read)
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let found = std::fs::metadata(path).ok()?;
    Some(Stamp {
        inode: found.ino(),
        length: found.len(),
        changed: (found.mtime(), found.mtime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLAGS: &str = r#"{ "flags": { "f": { "variants": { "on": true } } } }"#;

    #[test]
    fn it_is_read_when_it_is_another_and_told_wrong_only_when_it_stays_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("flags.json");
        let mut file = FlagFile::new(path.clone(), FractionalVersion::V2);
        let why = file.read().unwrap_err();
        assert!(
            why[0].contains("reading the file of flags: No such file"),
            "{why:?}"
        );
        assert!(file.look().is_none());

        std::fs::write(&path, FLAGS).unwrap();
        assert_eq!(file.look().unwrap().unwrap().0.len(), 1);
        assert!(file.look().is_none());

        // Half of it.
        std::fs::write(&path, "{ \"flags\": {").unwrap();
        assert!(file.look().is_none());
        std::fs::write(&path, "{ \"flags\": {} }").unwrap();
        assert!(file.look().unwrap().unwrap().0.is_empty());

        std::fs::write(&path, "{ \"flags\": [\n] }").unwrap();
        assert!(file.look().is_none());
        let why = file.look().unwrap().unwrap_err();
        assert_eq!(why, ["line 1: flags: `flags` is an object"]);
        assert!(file.look().is_none(), "it is told once");
        std::fs::remove_file(&path).unwrap();
        assert!(file.look().is_none());
        assert!(file.look().unwrap().is_err());
    }
}
