//! Incidents with a known cause: whether it ranks first among the suspects.
//!
//! An incident is a kind and a seed. A shop with what it depends on runs by request, through the guards, queues and
//! balancers of production, for minutes; then one thing goes wrong, beside changes that have nothing to do with it. A governor
//! judges what comes of it, and once it calls somebody the pieces of production say what may be behind it, at once and
//! a minute later. What is asked is whether the cause is the first that they name, by the later of the two.
//! Elsewhere: how suspects are ranked (`plimsoll-governor`, `suspects.rs`); tables of many seeds (`examples/causes.rs`).

mod draw;
mod ears;
mod kind;

use plimsoll_measure::{OnsetView, SuspectView};

pub use kind::Kind;

use draw::Incident;
use ears::listen;

/// What came of an incident.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Which one it was.
    pub kind: Kind,
    /// Its seed.
    pub seed: u64,
    /// What the cause is, in words.
    pub cause: String,
    /// The rank of the cause among the suspects, from 1; `None`: it is not among them.
    pub rank: Option<u32>,
    /// What was found; `None`: nobody was called, or no onset was found.
    pub onset: Option<OnsetView>,
    /// How far the likeliest second of the onset is from the true one.
    pub error_seconds: Option<u64>,
}

impl Outcome {
    /// Whether the cause ranks first.
    pub fn is_right(&self) -> bool {
        self.rank == Some(1)
    }

    /// Whether somebody was called, so that there was something to rank.
    pub fn is_called(&self) -> bool {
        self.onset.is_some()
    }

    /// The first suspect.
    pub fn first(&self) -> Option<&SuspectView> {
        self.onset.as_ref()?.suspects.first()
    }
}

/// Runs one.
pub fn run(kind: Kind, seed: u64) -> Outcome {
    let incident = Incident::draw(kind, seed);
    let onset = listen(&incident);
    let rank = onset.as_ref().and_then(|onset| {
        let mut suspects = onset.suspects.iter();
        let cause = suspects.find(|it| incident.truth.is(it))?;
        Some(cause.rank)
    });
    let error = |onset: &OnsetView| {
        onset
            .at
            .as_seconds()
            .abs_diff(ears::EPOCH + incident.begins)
    };
    Outcome {
        kind,
        seed,
        cause: incident.truth.what,
        rank,
        error_seconds: onset.as_ref().map(error),
        onset,
    }
}
