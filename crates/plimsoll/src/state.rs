//! The state folder: the lock, the token of the command line, where the console is, the last good
//! configuration.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use plimsoll_measure::Learnt;
use plimsoll_policy::AdmissionMemory;
use serde::{Deserialize, Serialize};

/// Where an earlier version kept the history of budgets.
const LEARNT: &str = "learnt.json";

/// The limits that were found; they too cost no more than themselves when damaged.
const LIMITS: &str = "limits.json";

/// What people have set for a while.
const OVERLAY: &str = "overlay.json";
const ROLLOUTS: &str = "rollouts.json";

/// The flags that were last in force, from a file that was valid.
const FLAGS: &str = "flags.json";

/// The flags that people made.
const MANAGED_FLAGS: &str = "managed-flags.json";

/// What waits for the approval of others.
pub(crate) const APPROVALS: &str = "approvals.json";
/// What people have frozen.
pub(crate) const FREEZES: &str = "freezes.json";

/// The journal's signed head.
const JOURNAL_HEAD: &str = "journal.head";

/// What is kept of a service's limit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct KeptLimit {
    limit: u32,
    median_unbound_seconds: f64,
    p50_seconds: f64,
    p90_seconds: f64,
}

impl From<&AdmissionMemory> for KeptLimit {
    fn from(memory: &AdmissionMemory) -> Self {
        Self {
            limit: memory.limit,
            median_unbound_seconds: memory.median_unbound,
            p50_seconds: memory.quantiles.0,
            p90_seconds: memory.quantiles.1,
        }
    }
}

impl From<KeptLimit> for AdmissionMemory {
    fn from(kept: KeptLimit) -> Self {
        // A file is input: what can't be is taken as unknown.
        let sane = |seconds: f64| {
            if seconds.is_finite() && (0.0..=3_600.0).contains(&seconds) {
                seconds
            } else {
                0.0
            }
        };
        Self {
            limit: kept.limit.min(100_000),
            median_unbound: sane(kept.median_unbound_seconds),
            quantiles: (sane(kept.p50_seconds), sane(kept.p90_seconds)),
        }
    }
}

/// The last configuration that was put in force: enough to start without the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LastGood {
    /// Of this file's own form.
    pub(crate) version: u32,
    /// The file it came from.
    pub(crate) file: String,
    /// Its content.
    pub(crate) text: String,
    /// When it came into force, RFC 3339.
    pub(crate) loaded_at: String,
}

/// Where the running process can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Running {
    pid: u32,
    console: SocketAddr,
}

/// The state folder can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error(
        "another Plimsoll runs on the state folder {folder}; end it, give this one a folder of its own with --state, or take over from it with --upgrade"
    )]
    Locked { folder: PathBuf },
    #[error("using the state folder {folder}; give another one with --state")]
    Io {
        folder: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// A state folder.
#[derive(Clone, Debug)]
pub(crate) struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// The folder given, else the service manager's, else this user's.
    pub(crate) fn locate(given: Option<&Path>) -> Self {
        let variable = |name: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        };
        let path = given
            .map(Path::to_owned)
            // systemd gives a list; the first is ours.
            .or_else(|| {
                let list = std::env::var("STATE_DIRECTORY").ok()?;
                list.split(':')
                    .next()
                    .filter(|path| !path.is_empty())
                    .map(PathBuf::from)
            })
            .unwrap_or_else(|| {
                if rustix::process::geteuid().is_root() {
                    PathBuf::from("/var/lib/plimsoll")
                } else {
                    variable("XDG_STATE_HOME")
                        .or_else(|| variable("HOME").map(|home| home.join(".local/state")))
                        .unwrap_or_else(std::env::temp_dir)
                        .join("plimsoll")
                }
            });
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder, for this user alone.
    pub(crate) fn create(&self) -> Result<(), StateError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
            .map_err(|source| self.failed(source))
    }

    /// Takes the lock; it is held for as long as the file is open.
    pub(crate) fn lock(&self) -> Result<File, StateError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.path.join("lock"))
            .map_err(|source| self.failed(source))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(StateError::Locked {
                folder: self.path.clone(),
            }),
            Err(TryLockError::Error(source)) => Err(self.failed(source)),
        }
    }

    /// Whether a process holds the lock.
    fn is_locked(&self) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(self.path.join("lock")) else {
            return false;
        };
        matches!(file.try_lock(), Err(TryLockError::WouldBlock))
    }

    /// The token of the command line; made, 0600, if there is none.
    pub(crate) fn make_token(&self) -> Result<String, StateError> {
        if let Some(token) = self.token() {
            return Ok(token);
        }
        let token = random_hex::<24>().map_err(|source| self.failed(source))?;
        self.write("token", token.as_bytes())?;
        Ok(token)
    }

    /// The token, if this user may read it.
    pub(crate) fn token(&self) -> Option<String> {
        let token = fs::read_to_string(self.path.join("token")).ok()?;
        Some(token.trim().to_owned()).filter(|token| token.len() >= 32)
    }

    /// Says where this process can be asked.
    pub(crate) fn write_running(&self, console: SocketAddr) -> Result<(), StateError> {
        let running = Running {
            pid: std::process::id(),
            console,
        };
        self.write(
            "running.json",
            &serde_json::to_vec(&running).unwrap_or_default(),
        )
    }

    /// Where the process that holds the lock can be asked.
    pub(crate) fn console_address(&self) -> Option<SocketAddr> {
        if !self.is_locked() {
            return None;
        }
        let running: Running =
            serde_json::from_slice(&fs::read(self.path.join("running.json")).ok()?).ok()?;
        Some(running.console)
    }

    pub(crate) fn write_last_good(&self, last_good: &LastGood) -> Result<(), StateError> {
        self.write(
            "last-good.json",
            &serde_json::to_vec_pretty(last_good).unwrap_or_default(),
        )
    }

    pub(crate) fn last_good(&self) -> Option<LastGood> {
        serde_json::from_slice(&fs::read(self.path.join("last-good.json")).ok()?).ok()
    }

    /// The history of budgets as an earlier version kept it, and where it is; `None` if there is nothing, or nothing that can
    /// be read.
    pub(crate) fn learnt(&self) -> Option<(Learnt, PathBuf)> {
        let path = self.path.join(LEARNT);
        let bytes = fs::read(&path).ok()?;
        match serde_json::from_slice(&bytes) {
            Ok(learnt) => Some((learnt, path)),
            Err(error) => {
                tracing::warn!(%error, file = LEARNT, "the history of budgets that an earlier version left can't be read");
                None
            }
        }
    }

    /// The limits that were found, by service.
    pub(crate) fn write_limits(
        &self,
        limits: &BTreeMap<String, AdmissionMemory>,
    ) -> Result<(), StateError> {
        let kept: BTreeMap<&String, KeptLimit> = limits
            .iter()
            .map(|(name, memory)| (name, KeptLimit::from(memory)))
            .collect();
        self.write(LIMITS, &serde_json::to_vec(&kept).unwrap_or_default())
    }

    /// The limits that an earlier process found; none if there is nothing that this version reads.
    pub(crate) fn limits(&self) -> BTreeMap<String, AdmissionMemory> {
        let Ok(bytes) = fs::read(self.path.join(LIMITS)) else {
            return BTreeMap::new();
        };
        match serde_json::from_slice::<BTreeMap<String, KeptLimit>>(&bytes) {
            Ok(kept) => kept
                .into_iter()
                .map(|(name, kept)| (name, kept.into()))
                .collect(),
            Err(error) => {
                tracing::warn!(%error, file = LIMITS, "the limits that were found can't be read: they are found anew");
                BTreeMap::new()
            }
        }
    }

    /// Keeps what people have set. Where that fails there is no file, so that a restart does not go on with an older one.
    pub(crate) fn write_overlay(&self, overlay: &[u8]) -> Result<(), StateError> {
        self.keep(OVERLAY, overlay)
    }

    /// What people had set; `None` if there is no file.
    pub(crate) fn overlay(&self) -> Option<io::Result<Vec<u8>>> {
        self.kept(OVERLAY)
    }

    /// Keeps a file. Where that fails there is none, so that a restart does not go on with an older one.
    pub(crate) fn keep(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let written = self.write(name, bytes);
        if written.is_err() {
            let _impossible_too = fs::remove_file(self.path.join(name));
        }
        written
    }

    /// What was kept; `None` if there is no file.
    pub(crate) fn kept(&self, name: &str) -> Option<io::Result<Vec<u8>>> {
        match fs::read(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            read => Some(read),
        }
    }

    /// Keeps how rollouts stand.
    ///
    /// # Errors
    /// The file can't be written; the one before stays.
    pub(crate) fn write_rollouts(&self, rollouts: &[u8]) -> Result<(), StateError> {
        self.write(ROLLOUTS, rollouts)
    }

    /// How rollouts stood; `None` if there is no file.
    pub(crate) fn rollouts(&self) -> Option<io::Result<Vec<u8>>> {
        self.kept(ROLLOUTS)
    }

    /// Keeps the flags in force.
    pub(crate) fn write_flags(&self, text: &str) -> Result<(), StateError> {
        self.write(FLAGS, text.as_bytes())
    }

    /// The flags that an earlier process had in force.
    pub(crate) fn flags(&self) -> Option<String> {
        fs::read_to_string(self.path.join(FLAGS)).ok()
    }

    /// Keeps the flags that people made.
    pub(crate) fn write_managed_flags(&self, flags: &[u8]) -> Result<(), StateError> {
        self.write(MANAGED_FLAGS, flags)
    }

    /// The flags that people made; `None` if there is no file.
    pub(crate) fn managed_flags(&self) -> Option<Vec<u8>> {
        fs::read(self.path.join(MANAGED_FLAGS)).ok()
    }

    /// The database of the store.
    pub(crate) fn store(&self) -> PathBuf {
        self.path.join("plimsoll.db")
    }

    /// The key that heads of the journal are signed with.
    pub(crate) fn journal_key(&self) -> PathBuf {
        self.path.join("journal.key")
    }

    /// The last head that was signed.
    pub(crate) fn journal_head(&self) -> PathBuf {
        self.path.join(JOURNAL_HEAD)
    }

    /// Keeps a head of the journal in the place of the one before.
    pub(crate) fn write_journal_head(&self, head: &str) -> Result<(), StateError> {
        self.write(JOURNAL_HEAD, format!("{head}\n").as_bytes())
    }

    pub(crate) fn upgrade_socket(&self) -> PathBuf {
        self.path.join("upgrade.sock")
    }

    /// Removes a file; that there is none is well.
    pub(crate) fn remove(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.path.join(name))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(%error, name, "this can't be removed from the state folder");
        }
    }

    /// Writes a file whole or not at all, for this user alone.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        let temporary = self.path.join(format!(".{name}.{}", std::process::id()));
        let result = (|| {
            let mut file = OpenOptions::new()
                .create(true)
                .truncate(true)
                .write(true)
                .mode(0o600)
                .open(&temporary)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, self.path.join(name))
        })();
        result.map_err(|source| self.failed(source))
    }

    fn failed(&self, source: io::Error) -> StateError {
        StateError::Io {
            folder: self.path.clone(),
            source,
        }
    }
}

/// So many bytes that nobody can guess, in hex.
pub(crate) fn random_hex<const BYTES: usize>() -> io::Result<String> {
    let mut random = [0_u8; BYTES];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut random)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::locate(Some(&dir.path().join("state")));
        folder.create().unwrap();
        let held = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(StateError::Locked { .. })));
        drop(held);
        assert!(folder.lock().is_ok());
    }

    #[test]
    fn the_token_stays_and_is_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::locate(Some(dir.path()));
        let token = folder.make_token().unwrap();
        assert_eq!(folder.make_token().unwrap(), token);
        let mode = fs::metadata(dir.path().join("token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_process_that_is_gone_is_not_found() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::locate(Some(dir.path()));
        let held = folder.lock().unwrap();
        folder
            .write_running("127.0.0.1:7676".parse().unwrap())
            .unwrap();
        assert!(folder.console_address().is_some());
        drop(held);
        assert!(folder.console_address().is_none());
    }
}
