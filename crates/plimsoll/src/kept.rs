//! What was in force, as the state folder keeps it; and the file that was set aside.
//!
//! Each configuration is a file of its own, for this user alone: its text may hold names of tenants. Of a bounded number, and
//! of bounded size together, the oldest go first; the latest stays whatever its size.

use std::collections::VecDeque;

use plimsoll_config::without_secrets;
use plimsoll_console::{ConfigurationText, KeptConfiguration};
use plimsoll_core::Timestamp;
use plimsoll_store::Hash;
use serde::{Deserialize, Serialize};

use crate::exit::with_causes;
use crate::simulate::parse_time;
use crate::state::StateFolder;

/// How many are kept.
const KEPT_MAX: usize = 50;
/// How long their texts are together, in bytes.
const BYTES_MAX: usize = 4 << 20;
/// What their files begin with.
const PREFIX: &str = "configuration-";
/// Which file is not to be in force, although it is where it is read from.
const SET_ASIDE: &str = "set-aside.json";

/// How a configuration came into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    Start,
    Reload,
    Apply,
    Rollback,
    Return,
}

impl How {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Reload => "reload",
            Self::Apply => "apply",
            Self::Rollback => "rollback",
            Self::Return => "return",
        }
    }
}

/// Who brought a configuration, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Origin {
    pub(crate) how: How,
    pub(crate) by: String,
    pub(crate) why: Option<String>,
    pub(crate) plan: Option<String>,
}

/// One that was in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptText {
    pub(crate) number: u64,
    /// RFC 3339.
    pub(crate) at: String,
    #[serde(flatten)]
    pub(crate) origin: Origin,
    pub(crate) sha256: String,
    /// The file it came from.
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A file that is not to be in force as it is, and what is instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SetAside {
    /// Of its text: any other is read as usual.
    pub(crate) sha256: String,
    pub(crate) file: String,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) by: String,
    pub(crate) why: String,
    /// What is in force in its place.
    pub(crate) instead: String,
}

impl SetAside {
    /// In a sentence.
    pub(crate) fn says(&self) -> String {
        format!(
            "{} as it is now was set aside at {} by {}: {}; change it and reload, or apply it again",
            self.file, self.at, self.by, self.why
        )
    }

    pub(crate) fn read(state: &StateFolder) -> Option<Self> {
        let bytes = std::fs::read(state.path().join(SET_ASIDE)).ok()?;
        let read = serde_json::from_slice(&bytes);
        read.inspect_err(|error| {
            tracing::warn!(%error, file = SET_ASIDE, "which file was set aside can't be read");
        })
        .ok()
    }

    pub(crate) fn write(&self, state: &StateFolder) {
        write(state, SET_ASIDE, self);
    }

    pub(crate) fn remove(state: &StateFolder) {
        state.remove(SET_ASIDE);
    }
}

/// SHA-256 of a text, hexadecimal.
pub(crate) fn sha256(text: &str) -> String {
    Hash::of(text.as_bytes()).to_string()
}

pub(crate) fn write(state: &StateFolder, name: &str, value: &impl Serialize) {
    let bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    if let Err(error) = state.write(name, &bytes) {
        tracing::warn!(error = %with_causes(&error), name, "this can't be kept in the state folder");
    }
}

/// All that are kept.
#[derive(Debug)]
pub(crate) struct Kept {
    state: StateFolder,
    /// The oldest first; without texts.
    known: VecDeque<KeptConfiguration>,
}

impl Kept {
    /// What the state folder has; what can't be read is left out, and its number is not given again.
    pub(crate) fn read(state: &StateFolder) -> Self {
        let mut known: Vec<KeptConfiguration> = numbers(state)
            .into_iter()
            .filter_map(|number| view(&read(state, number)?))
            .collect();
        known.sort_by_key(|it| it.number);
        Self {
            state: state.clone(),
            known: known.into(),
        }
    }

    /// The latest first; the first is the one in force.
    pub(crate) fn views(&self) -> Vec<KeptConfiguration> {
        let views = self.known.iter().rev().cloned().enumerate();
        let views = views.map(|(place, view)| KeptConfiguration {
            in_force: place == 0,
            ..view
        });
        views.collect()
    }

    /// The hash of the last text that came into force.
    pub(crate) fn latest(&self) -> Option<&str> {
        self.known.back().map(|it| it.sha256.as_str())
    }

    /// The latest other text before that in force.
    pub(crate) fn before(&self, in_force: &str) -> Option<u64> {
        let mut known = self.known.iter().rev();
        known.find(|it| it.sha256 != in_force).map(|it| it.number)
    }

    /// A configuration came into force. Gives its number.
    pub(crate) fn add(&mut self, at: Timestamp, origin: Origin, file: &str, text: &str) -> u64 {
        let last = self.known.back().map_or(0, |it| it.number);
        let number = numbers(&self.state).into_iter().fold(last, u64::max) + 1;
        let kept = KeptText {
            number,
            at: at.to_rfc3339(),
            origin,
            sha256: sha256(text),
            file: file.to_owned(),
            text: text.to_owned(),
        };
        write(&self.state, &name(number), &kept);
        self.known.extend(view(&kept));
        let bytes =
            |known: &VecDeque<KeptConfiguration>| -> u64 { known.iter().map(|it| it.bytes).sum() };
        while self.known.len() > KEPT_MAX
            || (self.known.len() > 1 && bytes(&self.known) > BYTES_MAX as u64)
        {
            if let Some(oldest) = self.known.pop_front() {
                self.state.remove(&name(oldest.number));
            }
        }
        number
    }
}

/// One of them with its text, for whoever may read.
pub(crate) fn text(state: &StateFolder, number: u64, in_force: bool) -> Option<ConfigurationText> {
    let kept = read(state, number)?;
    let view = view(&kept)?;
    Some(ConfigurationText {
        configuration: KeptConfiguration { in_force, ..view },
        text: without_secrets(&kept.text)?,
    })
}

/// One of them, as it was.
pub(crate) fn read(state: &StateFolder, number: u64) -> Option<KeptText> {
    let bytes = std::fs::read(state.path().join(name(number))).ok()?;
    let kept: KeptText = serde_json::from_slice(&bytes).ok()?;
    // What somebody changed by hand is not what was in force.
    (kept.number == number && kept.sha256 == sha256(&kept.text)).then_some(kept)
}

fn view(kept: &KeptText) -> Option<KeptConfiguration> {
    let KeptText { origin, .. } = kept;
    Some(KeptConfiguration {
        number: kept.number,
        at: Timestamp::from_nanos(parse_time(&kept.at)?),
        by: origin.by.clone(),
        why: origin.why.clone(),
        how: origin.how.name().to_owned(),
        plan: origin.plan.clone(),
        sha256: kept.sha256.clone(),
        bytes: kept.text.len() as u64,
        in_force: false,
    })
}

fn name(number: u64) -> String {
    format!("{PREFIX}{number:06}.json")
}

/// Of all files that are there, whatever is in them.
fn numbers(state: &StateFolder) -> Vec<u64> {
    let Ok(files) = std::fs::read_dir(state.path()) else {
        return Vec::new();
    };
    let numbers = files.filter_map(|file| {
        let name = file.ok()?.file_name();
        let number = name.to_str()?.strip_prefix(PREFIX)?.strip_suffix(".json")?;
        number.parse().ok()
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(how: How) -> Origin {
        Origin {
            how,
            by: "ana".to_owned(),
            why: None,
            plan: None,
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_seconds(second.try_into().unwrap())
    }

    #[test]
    fn what_was_in_force_is_kept_over_a_restart_and_without_secrets_for_readers() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(dir.path()));
        let mut kept = Kept::read(&state);
        let text_of = |name: &str| format!("[tenant.{name}]\nkeys = [\"hunter2\"]\n");
        kept.add(
            at(1_795_615_000),
            origin(How::Start),
            "a.toml",
            &text_of("a"),
        );
        kept.add(
            at(1_795_615_001),
            origin(How::Reload),
            "a.toml",
            &text_of("b"),
        );
        let again = Kept::read(&state);
        let views = again.views();
        assert_eq!(views, kept.views());
        assert_eq!(views.iter().map(|it| it.number).collect::<Vec<_>>(), [2, 1]);
        assert_eq!(views[0].how, "reload");
        assert!(views[0].in_force && !views[1].in_force);
        assert_eq!(again.before(&sha256(&text_of("b"))), Some(1));
        let shown = text(&state, 1, false).unwrap();
        assert!(!shown.text.contains("hunter2") && shown.text.contains("[tenant.a]"));
        let file = state.path().join("configuration-000001.json");
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let changed = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, changed.replace("tenant.a", "tenant.c")).unwrap();
        assert_eq!(read(&state, 1), None);
    }

    #[test]
    fn the_oldest_go_first_by_number_and_by_size() {
        let dir = tempfile::tempdir().unwrap();
        let state = StateFolder::locate(Some(dir.path()));
        let mut kept = Kept::read(&state);
        for number in 0..60 {
            kept.add(
                at(1_795_615_000 + number),
                origin(How::Reload),
                "a",
                &number.to_string(),
            );
        }
        assert_eq!(kept.views().len(), KEPT_MAX);
        assert_eq!(numbers(&state).len(), KEPT_MAX);
        let large = "#".repeat(BYTES_MAX / 2 + 1);
        kept.add(at(1_795_615_100), origin(How::Reload), "a", &large);
        let last = kept.add(
            at(1_795_615_101),
            origin(How::Reload),
            "a",
            &format!("{large}#"),
        );
        assert_eq!((last, kept.views().len()), (62, 1));
    }
}
