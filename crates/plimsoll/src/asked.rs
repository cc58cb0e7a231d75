//! What others ask of the control thread's loop, which alone changes things.

use std::time::Duration;

use plimsoll_console::{
    Answer, Answered, Applying, Changed, FlagChange, Freezing, How, Problem, Purging,
    RollbackWanted, RolloutDeed, Setting, TokenCreated, TokenWanted, Tried, Verb,
};
use plimsoll_measure::Deed;
use tokio::sync::{mpsc, oneshot};

use crate::process::Process;

/// Whoever asked is told what came of it; gone, they are not.
pub(crate) type Tell<T> = oneshot::Sender<Result<T, Problem>>;

/// What is asked, and by whom.
pub(crate) enum Asked {
    Reload {
        by: String,
        how: How,
        tell: Tell<Changed>,
    },
    Apply {
        by: String,
        applying: Applying,
        tell: Tell<Changed>,
    },
    RollBack {
        by: String,
        wanted: RollbackWanted,
        tell: Tell<Changed>,
    },
    CreateToken {
        by: String,
        wanted: TokenWanted,
        lasts: Option<Duration>,
        tell: Tell<TokenCreated>,
    },
    Set {
        by: String,
        service: String,
        setting: Setting,
        tell: Tell<Changed>,
    },
    End {
        by: String,
        service: String,
        verb: Verb,
        tell: Tell<Changed>,
    },
    Roll {
        by: String,
        rollout: String,
        deed: RolloutDeed,
        tell: Tell<Changed>,
    },
    AnswerApproval {
        by: String,
        id: u64,
        answered: Answered,
        tell: Tell<Changed>,
    },
    Freeze {
        by: String,
        service: Option<String>,
        freezing: Freezing,
        tell: Tell<Changed>,
    },
    EndFreeze {
        by: String,
        service: Option<String>,
        how: How,
        tell: Tell<Changed>,
    },
    Purge {
        by: String,
        service: String,
        purging: Purging,
        tell: Tell<Changed>,
    },
    TryNotifiers {
        by: String,
        name: Option<String>,
        tell: Tell<Tried>,
    },
    Act {
        by: String,
        incident: u64,
        deed: Deed,
        tell: Tell<Changed>,
    },
    ChangeFlag {
        by: String,
        key: String,
        change: FlagChange,
        tell: Tell<Changed>,
    },
    RevokeToken {
        by: String,
        name: String,
        tell: Tell<Changed>,
    },
}

/// What the store's thread has done, for the loop to go on with.
pub(crate) type Settled = Box<dyn FnOnce(&mut Process) + Send>;

/// Asks the loop, and waits for what comes of it.
pub(crate) fn ask<T: Send + 'static>(
    asks: &mpsc::Sender<Asked>,
    asked: impl FnOnce(Tell<T>) -> Asked + Send + 'static,
) -> Answer<T> {
    let asks = asks.clone();
    Box::pin(async move {
        let (tell, told) = oneshot::channel();
        asks.send(asked(tell)).await.map_err(|_| ending())?;
        told.await.map_err(|_| ending())?
    })
}

/// The loop has ended, or what was to tell of a record was lost with it.
fn ending() -> Problem {
    Problem::unavailable(
        "the process is ending, or the store can take no more: `plimsoll status` tells which",
    )
}
