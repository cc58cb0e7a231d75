//! Who of a service's users was hurt, and when it was worst.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::report::UserFigures;

/// Who sends a request, and when it is to be sent, in whole seconds since the load began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asks {
    pub(super) user: u64,
    second: u64,
}

impl Asks {
    /// A request of `user` that is to be sent at `at`.
    pub(super) fn new(user: u64, at: Duration) -> Self {
        Self {
            user,
            second: at.as_secs(),
        }
    }
}

/// The users of one arm in one kind of phase.
#[derive(Default)]
pub(super) struct Users {
    asked: BTreeSet<u64>,
    hurt: BTreeSet<u64>,
    requests: u64,
    failed: u64,
    unanswered: u64,
    /// Requests that were to be sent in each second, and of these what failed.
    seconds: BTreeMap<u64, (u64, u64)>,
}

impl Users {
    /// A request was sent.
    pub(super) fn on_sent(&mut self, asks: Asks) {
        self.asked.insert(asks.user);
        self.requests += 1;
        self.seconds.entry(asks.second).or_default().0 += 1;
    }

    /// It failed.
    pub(super) fn on_failed(&mut self, asks: Asks) {
        self.hurt.insert(asks.user);
        self.failed += 1;
        self.seconds.entry(asks.second).or_default().1 += 1;
    }

    /// It was refused, or the client left.
    pub(super) fn on_unanswered(&mut self) {
        self.unanswered += 1;
    }

    /// Of the run.
    pub(super) fn figures(&self) -> UserFigures {
        // Of a second that is cut off there are too few to say much; the run's first and last are such.
        let most = self.seconds.values().map(|(sent, _)| *sent).max();
        let whole = self
            .seconds
            .values()
            .filter(|(sent, _)| Some(*sent * 2) >= most);
        let shares = whole.map(|(sent, failed)| *failed as f64 / (*sent).max(1) as f64);
        UserFigures {
            asked: self.asked.len() as u64,
            hurt: self.hurt.len() as u64,
            requests: self.requests,
            failed: self.failed,
            unanswered: self.unanswered,
            worst_second: shares.fold(0.0, f64::max),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_hurt_twice_is_one_user_and_the_worst_second_is_a_whole_one() {
        let mut users = Users::default();
        let mut ask = |user, seconds, fails| {
            let asks = Asks::new(user, Duration::from_secs_f64(seconds));
            users.on_sent(asks);
            if fails {
                users.on_failed(asks);
            }
        };
        // The phase begins at the end of a second: its only request is no share of it.
        ask(1, 4.999, true);
        for (user, fails) in [(1, true), (2, true), (3, false), (4, false)] {
            ask(user, 5.5, fails);
            ask(user, 6.5, false);
        }
        let figures = users.figures();
        assert_eq!((figures.asked, figures.hurt), (4, 2));
        assert_eq!((figures.requests, figures.failed), (9, 3));
        assert_eq!(figures.worst_second, 0.5);
        assert_eq!(Users::default().figures(), UserFigures::default());
    }
}
