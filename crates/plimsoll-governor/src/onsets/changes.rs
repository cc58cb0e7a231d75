//! What was changed of late: by people, by the world, by Plimsoll.

use std::collections::VecDeque;

use plimsoll_core::Timestamp;

use super::parts::PartKind;

/// Changes of each kind that are remembered: what happens all the time pushes nothing of another kind out.
const CHANGES_MAX: usize = 200;

/// Something that was changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// When it was noticed.
    pub at: Timestamp,
    /// It may have been made up to so many seconds before that.
    pub noticed_within: u64,
    /// What it is.
    pub kind: ChangeKind,
    /// What it is about.
    pub scope: Scope,
    /// In words.
    pub what: String,
    /// The parts of a service that it is about; `None`: all of them.
    pub place: Option<Place>,
    /// How large it is, where it has a size.
    pub dose: Option<Dose>,
}

/// Who or what changed something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// People: the configuration, what is set for a while, certificates, the addresses behind a name.
    Made,
    /// An endpoint went away.
    EndpointGone,
    /// An endpoint came, or came back.
    EndpointCame,
    /// Plimsoll moved something.
    Decided,
}

impl ChangeKind {
    const COUNT: usize = 4;

    /// Whether an endpoint went or came.
    pub(crate) const fn is_endpoint(self) -> bool {
        matches!(self, Self::EndpointGone | Self::EndpointCame)
    }
}

/// Whose requests a change is on the way of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of all services.
    All,
    /// Those of these services.
    Services(Vec<String>),
    /// No request passes it: who is called, what is written, where people look.
    OffPath,
}

impl Scope {
    /// Of one service.
    pub fn service(name: &str) -> Self {
        Self::Services(vec![name.to_owned()])
    }

    pub(crate) fn is_of(&self, service: &str) -> bool {
        match self {
            Self::All => true,
            Self::Services(services) => services.iter().any(|it| it == service),
            Self::OffPath => false,
        }
    }
}

/// Parts of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Of which kind.
    pub kind: PartKind,
    /// Their names.
    pub names: Vec<String>,
}

/// How large a change is.
#[derive(Clone, Debug, PartialEq)]
pub struct Dose {
    /// What has that size: changes of the same name are steps of one thing.
    pub name: String,
    /// Before.
    pub from: f64,
    /// Since then.
    pub to: f64,
}

impl Change {
    /// One that people made, of all parts, without a size.
    pub fn made(at: Timestamp, scope: Scope, what: &str) -> Self {
        Self {
            at,
            noticed_within: 0,
            kind: ChangeKind::Made,
            scope,
            what: what.to_owned(),
            place: None,
            dose: None,
        }
    }

    /// An endpoint of a service went or came.
    pub fn endpoint(
        at: Timestamp,
        service: &str,
        endpoint: &str,
        kind: ChangeKind,
        what: &str,
    ) -> Self {
        let names = vec![endpoint.to_owned()];
        Self {
            kind,
            place: Some(Place {
                kind: PartKind::Endpoint,
                names,
            }),
            ..Self::made(at, Scope::service(service), what)
        }
    }
}

/// Those that are remembered, the oldest of each kind first.
#[derive(Debug, Default)]
pub(super) struct Changes([VecDeque<Change>; ChangeKind::COUNT]);

impl Changes {
    pub(super) fn add(&mut self, change: Change) {
        let Some(changes) = self.0.get_mut(change.kind as usize) else {
            return;
        };
        if changes.len() == CHANGES_MAX {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter().flatten()
    }
}
