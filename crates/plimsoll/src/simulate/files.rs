//! Files that the command writes: known to be writable before it runs for minutes, and none that it reads.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

/// Whether this file can be written. Changes nothing: what is there stays as it is.
pub(super) fn may_write(path: &Path) -> Result<(), String> {
    let was_there = path.exists();
    let opened = OpenOptions::new().append(true).create(true).open(path);
    opened.map_err(|error| format!("writing {}: {error}", path.display()))?;
    if !was_there {
        // It is made again when there is something to be written.
        let _left_empty = std::fs::remove_file(path);
    }
    Ok(())
}

/// What is written is none of what is read, and no two outputs are the same file, however their paths are spelled.
pub(super) fn are_apart(outputs: &[&Path], inputs: &[&Path]) -> Result<(), String> {
    for (index, output) in outputs.iter().enumerate() {
        let mine = place(output);
        if let Some(input) = inputs.iter().find(|input| place(input) == mine) {
            return Err(format!(
                "{} would be written over, and it is read: give another file",
                input.display()
            ));
        }
        if outputs.iter().take(index).any(|other| place(other) == mine) {
            return Err(format!(
                "{} would be written twice: give two files",
                output.display()
            ));
        }
    }
    Ok(())
}

/// Where a file is, without links and dots. Of one that is not there yet its folder says it.
fn place(path: &Path) -> PathBuf {
    let known = path.canonicalize().ok();
    let to_be = || {
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).canonicalize().ok()?;
        Some(folder.join(path.file_name()?))
    };
    known.or_else(to_be).unwrap_or_else(|| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_the_same_however_it_is_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("sub")).unwrap();
        std::fs::write(at("read.toml"), "read").unwrap();
        std::os::unix::fs::symlink(at("read.toml"), at("link.toml")).unwrap();
        for same in ["read.toml", "sub/../read.toml", "./read.toml", "link.toml"] {
            let error = are_apart(&[&at(same)], &[&at("other"), &at("read.toml")]).unwrap_err();
            assert!(error.contains("read.toml would be written over"), "{error}");
        }
        let twice = [&*at("new.html"), &*at("sub/../new.html")];
        assert!(are_apart(&twice, &[]).unwrap_err().contains("twice"));
        assert_eq!(are_apart(&twice[..1], &[&at("read.toml")]), Ok(()));
    }

    #[test]
    fn looking_whether_a_file_can_be_written_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("there"), "kept").unwrap();
        assert_eq!(may_write(&at("there")), Ok(()));
        assert_eq!(std::fs::read_to_string(at("there")).unwrap(), "kept");
        assert_eq!(may_write(&at("new")), Ok(()));
        assert!(!at("new").exists());
        assert!(may_write(&at("no/new")).unwrap_err().contains("no/new"));
        assert!(may_write(folder.path()).is_err());
    }
}
