//! Where the log is kept: segments of one size, and a few small files. A seam, so that a simulated disk can tear, lose and reorder
//! what was not synced.

#[cfg(test)]
pub(crate) mod simulated;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustix::fs::FlockOperation;

/// What the name of a segment's file ends with.
const SEGMENT: &str = "segment";
/// Whoever has it open has the folder.
const LOCK: &str = "lock";
/// How much of a new segment is written at once.
const ZEROS: usize = 1 << 20;

/// A disk, as the log needs it. Segments are called by their slots, which are used again.
pub(crate) trait Disk: Send + Sync {
    /// The slots that there are, in order.
    fn slots(&self) -> io::Result<Vec<u32>>;
    /// Makes a segment of so many bytes, all zero and on disk, so that writing to it changes no metadata.
    fn create(&self, slot: u32, bytes: u64) -> io::Result<()>;
    /// Writes; it need not be on disk before [`Disk::sync`].
    fn write(&self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// What was written to a segment is on disk.
    fn sync(&self, slot: u32) -> io::Result<()>;
    /// Fills `into` from a segment.
    fn read(&self, slot: u32, offset: u64, into: &mut [u8]) -> io::Result<()>;
    /// Replaces a file by another text, whole or not at all, and on disk.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Takes a segment away.
    fn remove(&self, slot: u32) -> io::Result<()>;
    /// A file; `None`: there is none.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;
}

/// A folder of the file system.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Locked for as long as it is open: two engines would write over each other.
    _lock: File,
    files: RwLock<Vec<Option<Arc<File>>>>,
}

impl Folder {
    /// Opens it, and makes it where it is not there. `WouldBlock`: another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(path)?;
        let lock = private().open(path.join(LOCK))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
            files: RwLock::default(),
        })
    }

    fn segment(&self, slot: u32) -> PathBuf {
        self.path.join(format!("{slot:06}.{SEGMENT}"))
    }

    fn file(&self, slot: u32) -> io::Result<Arc<File>> {
        let index = usize::try_from(slot).map_err(io::Error::other)?;
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(Some(file)) = files.get(index) {
            return Ok(Arc::clone(file));
        }
        drop(files);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(self.segment(slot))?;
        let file = Arc::new(file);
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        if files.len() <= index {
            files.resize(index + 1, None);
        }
        if let Some(place) = files.get_mut(index) {
            *place = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    fn sync_folder(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Messages may hold anything: nobody else reads them.
fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options
}

impl Disk for Folder {
    fn slots(&self) -> io::Result<Vec<u32>> {
        let mut slots = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let path = entry?.path();
            let is_segment = path.extension().is_some_and(|it| it == SEGMENT);
            let stem = path.file_stem().and_then(|it| it.to_str());
            let slot: Option<u32> = stem.filter(|_| is_segment).and_then(|it| it.parse().ok());
            slots.extend(slot);
        }
        slots.sort_unstable();
        Ok(slots)
    }

    fn create(&self, slot: u32, bytes: u64) -> io::Result<()> {
        let path = self.segment(slot);
        let being_made = path.with_extension("new");
        let made = (|| {
            let mut file = private().open(&being_made)?;
            let zeros = vec![0; ZEROS];
            let mut left = bytes;
            while left > 0 {
                let part = usize::try_from(left).unwrap_or(ZEROS).min(ZEROS);
                file.write_all(zeros.get(..part).unwrap_or_default())?;
                left = left.saturating_sub(ZEROS as u64);
            }
            file.sync_all()?;
            std::fs::rename(&being_made, &path)?;
            self.sync_folder()
        })();
        if made.is_err() {
            // What a full disk has no room for must not take the rest.
            let _it_may_not_be_there = std::fs::remove_file(&being_made);
        }
        made
    }

    fn write(&self, slot: u32, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(slot)?.write_all_at(bytes, offset)
    }

    fn sync(&self, slot: u32) -> io::Result<()> {
        self.file(slot)?.sync_data()
    }

    fn read(&self, slot: u32, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file(slot)?.read_exact_at(into, offset)
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let being_made = self.path.join(format!("{name}.new"));
        let put = (|| {
            let mut file = private().open(&being_made)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&being_made, self.path.join(name))?;
            self.sync_folder()
        })();
        if put.is_err() {
            let _it_may_not_be_there = std::fs::remove_file(&being_made);
        }
        put
    }

    fn remove(&self, slot: u32) -> io::Result<()> {
        let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
        let index = usize::try_from(slot).map_err(io::Error::other)?;
        if let Some(file) = files.get_mut(index) {
            *file = None;
        }
        std::fs::remove_file(self.segment(slot))?;
        self.sync_folder()
    }

    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.path.join(name)) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}
