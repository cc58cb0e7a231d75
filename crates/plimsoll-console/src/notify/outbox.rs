//! What is to be told to one receiver: in order, once, again where it failed.
//!
//! Units: delays are `Duration`; `KNOWN_MAX` and `WAITING_MAX` count notifications.
//! Invariant: of one key, what is told alternates: it begins (or gets louder), it ends. What begins and ends before
//! anything can have arrived is not told at all.
//! Elsewhere: how it is written (`format`), sent and read (`target`, `notifiers`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use plimsoll_core::Instant;
use rand_core::Rng;
use rand_xoshiro::Xoshiro256PlusPlus;

use super::notification::{Notification, Stage};

/// What comes with the first within this is told with it. A page is to be there within two seconds.
const GATHER: Duration = Duration::from_secs(1);
/// The same, shortly after something was told: whoever was called looks already.
const GATHER_MORE: Duration = Duration::from_secs(5);
/// How long "shortly" is.
const LATELY: Duration = Duration::from_secs(30);
/// The pause after a first failure; it doubles, up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// A receiver that wants to be left alone for longer is not.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);
/// After so long it is given up, and what still lasts is told anew.
const GIVE_UP: Duration = Duration::from_secs(6 * 3_600);
/// An attempt that is not over by then never will be: the shell ends it before.
const ATTEMPT_MAX: Duration = Duration::from_secs(60);
/// What waits; more is not taken, and may be offered again.
const WAITING_MAX: usize = 256;
/// What is known to the receiver.
const KNOWN_MAX: usize = 512;

/// What a receiver is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutboxParameters {
    /// So much goes into one message at most.
    pub batch_max: usize,
    /// Whether a message is of one kind of event.
    pub one_event: bool,
    /// How often what lasts is told again, where the receiver would forget it.
    pub refresh: Option<Duration>,
}

/// What is to be sent now.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// In order; at least one.
    pub notifications: Vec<Notification>,
    /// Whether it was told before, and lasts.
    pub is_refresh: bool,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It would not be the next time, unless somebody mends something. Nothing else waits for that.
    Final,
    /// It may be later.
    Temporary {
        /// Not before.
        retry_after: Option<Duration>,
        /// Whether the receiver may have been told all the same.
        may_have_arrived: bool,
    },
    /// Some were told, and the others can't be.
    InPart,
}

/// What becomes of a batch that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It is sent again.
    Retried,
    /// The receiver refuses it: it is sent again at long intervals, and nothing more is said of that.
    Refused,
    /// It is not: it took too long.
    GivenUp,
    /// It is not: it was taken for all who can be told.
    InPart,
}

#[derive(Clone, Debug)]
struct Waiting {
    notification: Notification,
    due: Instant,
}

#[derive(Clone, Debug)]
struct Attempted {
    batch: Batch,
    first: Instant,
    may_have_arrived: bool,
    /// The receiver is another one since it was sent: what comes of it says nothing of the new one.
    elsewhere: bool,
}

#[derive(Clone, Debug)]
enum State {
    Idle,
    Sending {
        attempted: Attempted,
        until: Instant,
    },
    Resting {
        attempted: Option<Attempted>,
        until: Instant,
    },
}

/// What a receiver knows under a key, or refused to.
#[derive(Clone, Debug)]
struct Known {
    /// What it was told last, or what it refused if it was told nothing.
    notification: Notification,
    /// Whether the receiver knows that it began.
    is_told: bool,
    /// The last that it was told of this was refused.
    refused: Option<Refused>,
}

#[derive(Clone, Copy, Debug)]
struct Refused {
    since: Instant,
    /// Not told again before: it may be a mistake that somebody mends.
    until: Instant,
}

/// See the module's docs.
#[derive(Debug)]
pub struct Outbox {
    parameters: OutboxParameters,
    rng: Xoshiro256PlusPlus,
    waiting: VecDeque<Waiting>,
    known: BTreeMap<String, Known>,
    state: State,
    failures: u32,
    told_at: Option<Instant>,
    refresh_at: Option<Instant>,
}

impl Outbox {
    /// Nothing is known and nothing waits.
    pub fn new(parameters: OutboxParameters, rng: Xoshiro256PlusPlus) -> Self {
        assert!(parameters.batch_max > 0, "a message has something in it");
        Self {
            parameters,
            rng,
            waiting: VecDeque::new(),
            known: BTreeMap::new(),
            state: State::Idle,
            failures: 0,
            told_at: None,
            refresh_at: None,
        }
    }

    /// The receiver knows these: a predecessor told it.
    pub fn recall(&mut self, now: Instant, told: Vec<Notification>) {
        for notification in told.into_iter().take(KNOWN_MAX) {
            let known = Known {
                notification,
                is_told: true,
                refused: None,
            };
            let (key, urgency) = (known.notification.key(), known.notification.urgency);
            // It may be read late: what is to be told already is told only if it is louder.
            self.waiting.retain(|it| {
                let it = &it.notification;
                it.stage != Stage::Firing || it.key() != key || it.urgency > urgency
            });
            for waiting in &mut self.waiting {
                if waiting.notification.key() == key {
                    let instance = &known.notification.instance;
                    waiting.notification.instance.clone_from(instance);
                }
            }
            self.known.entry(key).or_insert(known);
        }
        // What lasts is told again soon: the predecessor may have ended long ago.
        self.refresh_at = self.parameters.refresh.map(|_| now);
    }

    /// The receiver is another one, or is to be tried at once.
    pub fn on_changed(&mut self, now: Instant) {
        self.try_refused(now);
        self.failures = 0;
        if let State::Resting { until, .. } = &mut self.state {
            *until = now;
        }
    }

    /// What was refused is told again when it is offered the next time.
    fn try_refused(&mut self, now: Instant) {
        for refused in self.known.values_mut().filter_map(|it| it.refused.as_mut()) {
            refused.until = now;
        }
    }

    /// The receiver is another one: it knows nothing, and hears no end of what it was not told.
    pub fn on_elsewhere(&mut self) {
        self.known.clear();
        let mut begun = BTreeSet::new();
        let mut is_new = |it: &Notification| match it.stage {
            Stage::Firing => begun.insert(it.key()) || it.urgency_before.is_some(),
            Stage::Resolved => begun.remove(&it.key()),
            Stage::Test => true,
        };
        match &mut self.state {
            State::Sending { attempted, .. } => attempted.elsewhere = true,
            State::Resting { attempted, .. } => {
                if let Some(resting) = attempted {
                    resting.may_have_arrived = false;
                    resting.batch.notifications.retain(&mut is_new);
                    if resting.batch.notifications.is_empty() {
                        *attempted = None;
                    }
                }
            }
            State::Idle => (),
        }
        self.waiting.retain(|it| is_new(&it.notification));
    }

    /// Something is to be told. May be called again with the same as long as it lasts.
    pub fn on_notification(&mut self, now: Instant, notification: Notification) {
        match notification.stage {
            Stage::Firing => self.on_firing(now, notification),
            Stage::Resolved => self.on_resolved(now, notification),
            Stage::Test => self.push(now, notification),
        }
    }

    fn on_firing(&mut self, now: Instant, mut notification: Notification) {
        let key = notification.key();
        let last = self.last_waiting(&key).map(|it| (it.stage, it.urgency));
        if let Some((stage, urgency)) = last {
            match stage {
                Stage::Firing if urgency >= notification.urgency => return,
                Stage::Firing if self.replace(&key, &notification) => return,
                Stage::Firing => notification.urgency_before = Some(urgency),
                _ => (),
            }
        } else if let Some(known) = self.known.get_mut(&key) {
            if known.is_told {
                let before = known.notification.urgency;
                if before >= notification.urgency {
                    // If its end was refused, it did not end.
                    known.refused = None;
                    return;
                }
                notification.urgency_before = Some(before);
            }
            if known.refused.is_some_and(|it| now < it.until) {
                return;
            }
        }
        if self.known.len() < KNOWN_MAX {
            self.push(now, notification);
        }
    }

    /// Nobody is to be told now that it began: what waits and can't have been told yet is taken back.
    pub fn on_silenced(&mut self, key: &str) {
        if self.last_waiting(key).map(|it| it.stage) == Some(Stage::Firing) {
            let _what_was_sent_stays = self.forget_unsent(key);
        }
    }

    fn on_resolved(&mut self, now: Instant, notification: Notification) {
        let key = notification.key();
        match self.last_waiting(&key).map(|it| it.stage) {
            Some(Stage::Resolved) => return,
            // What is left of it decides: maybe only that it is louder was not told.
            Some(_) if self.forget_unsent(&key) => return self.on_resolved(now, notification),
            Some(_) => (),
            None => {
                let known = self.known.get(&key).filter(|it| it.is_told);
                match known.map(|it| it.refused) {
                    Some(Some(refused)) if now.since(refused.since) < GIVE_UP => {
                        if now < refused.until {
                            return;
                        }
                    }
                    Some(None) => (),
                    // Whoever was not told that it began is not told that it has ended.
                    _ => {
                        self.known.remove(&key);
                        return;
                    }
                }
            }
        }
        self.push(now, notification);
    }

    /// The last that is on its way or waits, of a key.
    fn last_waiting(&self, key: &str) -> Option<&Notification> {
        let mut waiting = self.waiting.iter().rev().map(|it| &it.notification);
        let found = waiting.find(|it| it.key() == key);
        found.or_else(|| self.on_its_way().iter().rfind(|it| it.key() == key))
    }

    /// What was sent and is not settled, or is to be sent again.
    fn on_its_way(&self) -> &[Notification] {
        let attempted = match &self.state {
            State::Idle => None,
            State::Sending { attempted, .. } => Some(attempted),
            State::Resting { attempted, .. } => attempted.as_ref(),
        };
        let attempted = attempted.filter(|it| !it.batch.is_refresh);
        attempted.map_or(&[], |it| &it.batch.notifications)
    }

    /// Says it louder, where what waits was not sent yet.
    fn replace(&mut self, key: &str, by: &Notification) -> bool {
        let mut waiting = self.waiting.iter_mut().rev();
        let Some(found) = waiting.find(|it| it.notification.key() == key) else {
            return false;
        };
        let urgency_before = found.notification.urgency_before;
        found.notification = Notification {
            urgency_before,
            ..by.clone()
        };
        true
    }

    /// Takes out what has begun and can't have been told. `false`: it may have been.
    fn forget_unsent(&mut self, key: &str) -> bool {
        let is_it = |it: &Notification| it.key() == key && it.stage == Stage::Firing;
        if let Some(place) = self.waiting.iter().rposition(|it| is_it(&it.notification)) {
            self.waiting.remove(place);
            return true;
        }
        let State::Resting { attempted, .. } = &mut self.state else {
            return false;
        };
        let Some(resting) = attempted.as_mut().filter(|it| !it.may_have_arrived) else {
            return false;
        };
        resting.batch.notifications.retain(|it| !is_it(it));
        if resting.batch.notifications.is_empty() {
            *attempted = None;
        }
        true
    }

    fn push(&mut self, now: Instant, mut notification: Notification) {
        if self.waiting.len() >= WAITING_MAX {
            return;
        }
        // A predecessor may have had another name: what gets louder or ends is what the receiver has under that.
        if let Some(known) = self.known.get(&notification.key()) {
            notification
                .instance
                .clone_from(&known.notification.instance);
        }
        let lately = self.told_at.is_some_and(|at| now.since(at) < LATELY);
        let gather = if lately { GATHER_MORE } else { GATHER };
        self.waiting.push_back(Waiting {
            notification,
            due: now + gather,
        });
    }

    /// When there may be something to do with no new event.
    pub fn next_timeout(&self) -> Option<Instant> {
        match &self.state {
            State::Sending { until, .. } | State::Resting { until, .. } => Some(*until),
            State::Idle => {
                let due = self.waiting.front().map(|it| it.due);
                let refresh = self.refresh_at.filter(|_| self.told().next().is_some());
                due.into_iter().chain(refresh).min()
            }
        }
    }

    /// What is to be sent now, if anything is; then [`Self::on_sent`] or [`Self::on_failed`] is to be called.
    pub fn on_timeout(&mut self, now: Instant) -> Option<Batch> {
        match &mut self.state {
            State::Sending { until, .. } if now >= *until => {
                let lost = Refusal::Temporary {
                    retry_after: None,
                    may_have_arrived: true,
                };
                let _said_by_the_next = self.on_failed(now, lost);
                return None;
            }
            State::Sending { .. } => return None,
            State::Resting { until, .. } if now < *until => return None,
            State::Resting { attempted, .. } => {
                if let Some(attempted) = attempted.take() {
                    return Some(self.send(now, attempted));
                }
                self.state = State::Idle;
            }
            State::Idle => (),
        }
        let due = self.waiting.front().is_some_and(|it| it.due <= now);
        if due {
            let notifications = self.take();
            return Some(self.begin(now, notifications, false));
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = self.parameters.refresh.map(|every| now + every);
            let told: Vec<Notification> = self.told().cloned().collect();
            if !told.is_empty() {
                return Some(self.begin(now, told, true));
            }
        }
        None
    }

    fn begin(&mut self, now: Instant, notifications: Vec<Notification>, is_refresh: bool) -> Batch {
        let batch = Batch {
            notifications,
            is_refresh,
        };
        self.send(
            now,
            Attempted {
                batch,
                first: now,
                may_have_arrived: false,
                elsewhere: false,
            },
        )
    }

    fn send(&mut self, now: Instant, mut attempted: Attempted) -> Batch {
        attempted.elsewhere = false;
        let batch = attempted.batch.clone();
        self.state = State::Sending {
            attempted,
            until: now + ATTEMPT_MAX,
        };
        batch
    }

    /// What goes into one message: nothing twice, so that what begins and ends is told in this order.
    fn take(&mut self) -> Vec<Notification> {
        let mut taken: Vec<Notification> = Vec::new();
        while let Some(next) = self.waiting.front().map(|it| &it.notification) {
            let same_event = |first: &Notification| first.event() == next.event();
            let fits = taken.len() < self.parameters.batch_max
                && taken.iter().all(|it| it.key() != next.key())
                && (!self.parameters.one_event || taken.first().is_none_or(same_event));
            if !fits {
                break;
            }
            taken.extend(self.waiting.pop_front().map(|it| it.notification));
        }
        taken
    }

    /// What is being sent; `None`: nothing is.
    fn end_attempt(&mut self) -> Option<Attempted> {
        match std::mem::replace(&mut self.state, State::Idle) {
            State::Sending { attempted, .. } => Some(attempted),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// It was taken.
    pub fn on_sent(&mut self, now: Instant) {
        let Some(attempted) = self.end_attempt() else {
            return;
        };
        self.failures = 0;
        if attempted.batch.is_refresh || attempted.elsewhere {
            return;
        }
        self.told_at = Some(now);
        for notification in attempted.batch.notifications {
            self.settle(notification);
        }
        // What lasts is told again from now on.
        if self.refresh_at.is_none() {
            self.refresh_at = self.parameters.refresh.map(|every| now + every);
        }
    }

    fn settle(&mut self, notification: Notification) {
        let key = notification.key();
        match notification.stage {
            Stage::Firing => {
                let known = Known {
                    notification,
                    is_told: true,
                    refused: None,
                };
                self.known.insert(key, known);
            }
            Stage::Resolved => {
                self.known.remove(&key);
            }
            Stage::Test => (),
        }
    }

    /// Says whether the receiver had not refused it before.
    fn settle_refused(&mut self, now: Instant, notification: Notification) -> bool {
        if notification.stage == Stage::Test {
            return true;
        }
        let key = notification.key();
        let known = self.known.entry(key).or_insert_with(|| Known {
            notification: notification.clone(),
            is_told: false,
            refused: None,
        });
        let before = known.refused;
        known.refused = Some(Refused {
            since: before.map_or(now, |it| it.since),
            until: now + PAUSE_MAX,
        });
        if !known.is_told {
            known.notification = notification;
        }
        before.is_none()
    }

    /// It was not taken, or it is not known whether it was.
    pub fn on_failed(&mut self, now: Instant, refusal: Refusal) -> Fate {
        if refusal == Refusal::InPart {
            self.on_sent(now);
            return Fate::InPart;
        }
        let Some(mut attempted) = self.end_attempt() else {
            return Fate::Retried;
        };
        if attempted.elsewhere {
            // What lasts is offered to the new receiver all the same.
            return Fate::Retried;
        }
        self.failures = self.failures.saturating_add(1);
        let (retry_after, may_have_arrived) = match refusal {
            Refusal::Final => {
                let mut is_first = attempted.batch.is_refresh;
                if !attempted.batch.is_refresh {
                    for notification in attempted.batch.notifications {
                        is_first |= self.settle_refused(now, notification);
                    }
                }
                return match is_first {
                    true => Fate::Refused,
                    false => Fate::Retried,
                };
            }
            Refusal::Temporary {
                retry_after,
                may_have_arrived,
            } => (retry_after, may_have_arrived),
            // Settled above.
            Refusal::InPart => (None, true),
        };
        let retry_after = retry_after.unwrap_or_default().min(RETRY_AFTER_MAX);
        let until = now + self.pause().max(retry_after);
        attempted.may_have_arrived |= may_have_arrived;
        let given_up = now.since(attempted.first) >= GIVE_UP;
        // What lasts is told anew; nobody waits for an old refresh.
        let attempted = (!given_up && !attempted.batch.is_refresh).then_some(attempted);
        self.state = State::Resting { attempted, until };
        if given_up {
            return Fate::GivenUp;
        }
        Fate::Retried
    }

    /// It doubles with each failure; half of it is by chance, so that many don't come back at once.
    fn pause(&mut self) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        let longest = PAUSE_MIN.saturating_mul(1 << doublings).min(PAUSE_MAX);
        let unit = (self.rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        longest.mul_f64(0.5 + 0.5 * unit)
    }

    /// What the receiver was told of and has not ended, by key.
    pub fn told(&self) -> impl Iterator<Item = &Notification> {
        let known = self.known.values().filter(|known| known.is_told);
        known.map(|known| &known.notification)
    }

    /// What has begun for the receiver, and was not said to have ended: also what is on its way, and what was refused.
    pub fn begun(&self) -> Vec<Notification> {
        let known = self.known.values().map(|known| &known.notification);
        let waiting = self.waiting.iter().map(|it| &it.notification);
        let all = known.chain(self.on_its_way()).chain(waiting);
        let mut begun = BTreeMap::new();
        for notification in all {
            match notification.stage {
                Stage::Firing => begun.insert(notification.key(), notification),
                Stage::Resolved => begun.remove(&notification.key()),
                Stage::Test => None,
            };
        }
        begun.into_values().cloned().collect()
    }

    /// What waits goes out now.
    pub fn hurry(&mut self, now: Instant) {
        self.try_refused(now);
        for waiting in &mut self.waiting {
            waiting.due = waiting.due.min(now);
        }
        if let State::Resting { until, .. } = &mut self.state {
            *until = now;
        }
    }

    /// How much waits.
    pub fn waiting(&self) -> usize {
        self.waiting.len() + self.on_its_way().len()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_measure::Urgency;
    use proptest::prelude::*;
    use rand_core::SeedableRng;

    use super::*;
    use crate::notify::notification::tests::page;

    const PLAIN: OutboxParameters = OutboxParameters {
        batch_max: 64,
        one_event: false,
        refresh: None,
    };
    const SECOND: Duration = Duration::from_secs(1);
    const LOST: Refusal = Refusal::Temporary {
        retry_after: None,
        may_have_arrived: false,
    };
    const MAYBE: Refusal = Refusal::Temporary {
        retry_after: None,
        may_have_arrived: true,
    };

    /// An outbox and its time.
    struct World {
        outbox: Outbox,
        now: Instant,
    }

    impl World {
        fn new(parameters: OutboxParameters) -> Self {
            Self {
                outbox: Outbox::new(parameters, Xoshiro256PlusPlus::seed_from_u64(7)),
                now: Instant::ORIGIN + SECOND,
            }
        }

        fn tell(&mut self, service: &str, stage: Stage) {
            let notification = page(service, stage, self.now.as_nanos() / 1_000_000_000);
            self.outbox.on_notification(self.now, notification);
        }

        fn silence(&mut self, service: &str) {
            let key = page(service, Stage::Firing, 0).key();
            self.outbox.on_silenced(&key);
        }

        /// Goes on to the next message, at most so far; what it says, and after how long it came.
        fn next(&mut self, within: Duration) -> Option<(Vec<String>, Duration)> {
            let began = self.now;
            while let Some(at) = self.outbox.next_timeout() {
                self.now = at.max(self.now);
                if self.now.since(began) > within {
                    return None;
                }
                if let Some(batch) = self.outbox.on_timeout(self.now) {
                    let said = batch.notifications.iter();
                    let said = said.map(|it| format!("{} {}", it.service, it.stage.name()));
                    return Some((said.collect(), self.now.since(began)));
                }
            }
            None
        }

        #[track_caller]
        fn says(&mut self, expected: &[&str]) {
            let hour = Duration::from_secs(3_600);
            let said = self.next(hour).map(|(said, _)| said);
            assert_eq!(said.unwrap_or_default(), expected);
        }

        #[track_caller]
        fn says_and_arrives(&mut self, expected: &[&str]) {
            self.says(expected);
            self.outbox.on_sent(self.now);
        }
    }

    #[test]
    fn what_comes_at_once_is_one_message_within_a_second_and_nothing_is_said_twice() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.tell("b", Stage::Firing);
        world.tell("a", Stage::Firing);
        let (said, after) = world.next(GATHER).unwrap();
        assert_eq!(said, ["a firing", "b firing"]);
        assert!(after <= GATHER, "{after:?}");
        world.tell("a", Stage::Firing);
        world.outbox.on_sent(world.now);
        world.tell("b", Stage::Firing);
        world.says(&[]);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
    }

    #[test]
    fn what_ends_before_it_was_sent_is_not_told_and_neither_is_its_end() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.tell("b", Stage::Firing);
        world.tell("a", Stage::Resolved);
        world.says(&["b firing"]);
        // The receiver could not be reached: nothing arrived.
        let _retried = world.outbox.on_failed(world.now, LOST);
        world.tell("b", Stage::Resolved);
        world.says(&[]);
        assert_eq!(world.outbox.waiting(), 0);
        // Of what was never told to have begun, no end is told either.
        world.tell("c", Stage::Resolved);
        world.says(&[]);
    }

    #[test]
    fn what_is_silenced_is_taken_back_and_no_end_is_told_without_its_beginning() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.silence("a");
        world.says(&[]);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        // What is on its way to be ended stays so.
        world.tell("a", Stage::Resolved);
        world.silence("a");
        world.says_and_arrives(&["a resolved"]);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let _retried = world.outbox.on_failed(world.now, MAYBE);
        world.silence("a");
        world.says(&["a firing"]);
    }

    #[test]
    fn what_may_have_arrived_is_told_to_have_ended_and_in_this_order() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        world.tell("a", Stage::Resolved);
        let _retried = world.outbox.on_failed(world.now, MAYBE);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a firing"]);
        world.says_and_arrives(&["a resolved"]);
        world.says(&[]);
        // While it was on its way nobody can say.
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        world.tell("a", Stage::Resolved);
        world.outbox.on_sent(world.now);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn what_gets_louder_is_told_and_what_gets_quieter_is_not() {
        let mut world = World::new(PLAIN);
        let tell = |world: &mut World, urgency| {
            let notification = Notification {
                urgency,
                ..page("a", Stage::Firing, 0)
            };
            world.outbox.on_notification(world.now, notification);
        };
        tell(&mut world, Urgency::Ticket);
        tell(&mut world, Urgency::Page);
        world.says_and_arrives(&["a firing"]);
        let told: Vec<_> = world.outbox.told().map(|it| it.urgency).collect();
        assert_eq!(told, [Urgency::Page]);
        tell(&mut world, Urgency::Ticket);
        world.says(&[]);
        let mut world = World::new(PLAIN);
        tell(&mut world, Urgency::Ticket);
        world.says_and_arrives(&["a firing"]);
        tell(&mut world, Urgency::Page);
        world.says_and_arrives(&["a firing"]);
        let told = world.outbox.told().next().unwrap();
        assert_eq!(told.urgency_before, Some(Urgency::Ticket));
    }

    #[test]
    fn pauses_double_up_to_minutes_and_a_receiver_may_ask_for_more() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let mut longest = PAUSE_MIN;
        for _ in 0..12 {
            assert_eq!(world.outbox.on_failed(world.now, LOST), Fate::Retried);
            let (said, pause) = world.next(PAUSE_MAX).unwrap();
            assert_eq!(said, ["a firing"]);
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?}");
            longest = (2 * longest).min(PAUSE_MAX);
        }
        let asked = |seconds| Refusal::Temporary {
            retry_after: Some(Duration::from_secs(seconds)),
            may_have_arrived: false,
        };
        let _retried = world.outbox.on_failed(world.now, asked(1_000));
        let (_, pause) = world.next(RETRY_AFTER_MAX).unwrap();
        assert_eq!(pause, Duration::from_secs(1_000));
        // But not for ever.
        let _retried = world.outbox.on_failed(world.now, asked(u64::MAX));
        assert_eq!(world.next(RETRY_AFTER_MAX).unwrap().1, RETRY_AFTER_MAX);
        world.outbox.on_sent(world.now);
        // The next failure begins anew.
        world.tell("b", Stage::Firing);
        world.says(&["b firing"]);
        let _retried = world.outbox.on_failed(world.now, LOST);
        assert!(world.next(PAUSE_MIN).is_some());
    }

    #[test]
    fn what_is_refused_is_told_again_at_long_intervals_and_said_once() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let fate = world.outbox.on_failed(world.now, Refusal::Final);
        assert_eq!(fate, Fate::Refused);
        world.tell("a", Stage::Firing);
        world.says(&[]);
        // What is new does not wait for it.
        world.tell("b", Stage::Firing);
        world.says_and_arrives(&["b firing"]);
        world.now += PAUSE_MAX;
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let fate = world.outbox.on_failed(world.now, Refusal::Final);
        assert_eq!(fate, Fate::Retried);
        // Somebody mended it.
        world.now += PAUSE_MAX;
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn what_was_refused_and_has_ended_is_not_told_at_all() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let _refused = world.outbox.on_failed(world.now, Refusal::Final);
        world.tell("a", Stage::Resolved);
        world.now += PAUSE_MAX;
        world.says(&[]);
        assert_eq!(world.outbox.begun(), []);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let _refused = world.outbox.on_failed(world.now, Refusal::Final);
        // With another key it is tried at once.
        world.outbox.on_changed(world.now);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
    }

    #[test]
    fn an_end_that_is_refused_is_told_again_for_hours() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        world.tell("a", Stage::Resolved);
        world.says(&["a resolved"]);
        let fate = world.outbox.on_failed(world.now, Refusal::Final);
        assert_eq!(fate, Fate::Refused);
        // After a restart it is known to be open.
        assert_eq!(world.outbox.told().count(), 1);
        world.tell("a", Stage::Resolved);
        world.says(&[]);
        let mut attempts = 0;
        while !world.outbox.begun().is_empty() {
            world.now += PAUSE_MAX;
            world.tell("a", Stage::Resolved);
            if let Some((said, _)) = world.next(GATHER) {
                assert_eq!(said, ["a resolved"]);
                let fate = world.outbox.on_failed(world.now, Refusal::Final);
                assert_eq!(fate, Fate::Retried);
                attempts += 1;
            }
        }
        assert!((60..=72).contains(&attempts), "{attempts}");
    }

    #[test]
    fn what_gets_louder_and_is_refused_then_still_has_its_end_told() {
        let mut world = World::new(PLAIN);
        let ticket = Notification {
            urgency: Urgency::Ticket,
            ..page("a", Stage::Firing, 0)
        };
        world.outbox.on_notification(world.now, ticket);
        world.says_and_arrives(&["a firing"]);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let _refused = world.outbox.on_failed(world.now, Refusal::Final);
        world.now += PAUSE_MAX;
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let _refused = world.outbox.on_failed(world.now, Refusal::Final);
        world.now += PAUSE_MAX;
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
        assert_eq!(world.outbox.begun(), []);
    }

    #[test]
    fn what_was_taken_for_some_is_told_and_not_sent_again() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let fate = world.outbox.on_failed(world.now, Refusal::InPart);
        assert_eq!(fate, Fate::InPart);
        world.tell("a", Stage::Firing);
        world.says(&[]);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn after_hours_it_is_given_up_and_what_lasts_is_told_anew() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        let began = world.now;
        let mut attempts = 0;
        while world.outbox.on_failed(world.now, LOST) == Fate::Retried {
            world.says(&["a firing"]);
            attempts += 1;
        }
        assert!(
            world.now.since(began) >= GIVE_UP && attempts < 200,
            "{attempts}"
        );
        world.says(&[]);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
    }

    #[test]
    fn what_a_receiver_would_forget_is_told_again_each_minute_while_it_lasts() {
        let minute = Duration::from_secs(60);
        let mut world = World::new(OutboxParameters {
            refresh: Some(minute),
            ..PLAIN
        });
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        for _ in 0..3 {
            let (said, after) = world.next(minute).unwrap();
            assert_eq!((said, after), (vec!["a firing".to_owned()], minute));
            world.outbox.on_sent(world.now);
        }
        // One that fails does not hold up what is new.
        let _again = world.next(minute).unwrap();
        let _retried = world.outbox.on_failed(world.now, LOST);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
        world.says(&[]);
    }

    #[test]
    fn what_a_predecessor_told_is_known_and_its_end_is_told() {
        let mut world = World::new(PLAIN);
        world
            .outbox
            .recall(world.now, vec![page("a", Stage::Firing, 0)]);
        world.tell("a", Stage::Firing);
        world.says(&[]);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn what_a_predecessor_told_may_be_known_late_and_is_not_told_again() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.tell("b", Stage::Firing);
        world
            .outbox
            .recall(world.now, vec![page("a", Stage::Firing, 0)]);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["b firing"]);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn what_ends_has_the_instance_that_it_began_with() {
        let mut world = World::new(PLAIN);
        let began = Notification {
            instance: "edge-0".to_owned(),
            urgency: Urgency::Ticket,
            ..page("a", Stage::Firing, 0)
        };
        world.outbox.recall(world.now, vec![began.clone()]);
        for stage in [Stage::Firing, Stage::Resolved] {
            world.tell("a", stage);
            world.now += LATELY;
            let batch = world.outbox.on_timeout(world.now).unwrap();
            let told = &batch.notifications[0];
            assert_eq!(told.key_of_instance(), began.key_of_instance());
            world.outbox.on_sent(world.now);
        }
    }

    #[test]
    fn another_receiver_knows_nothing_of_what_the_one_before_was_told() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        world.tell("b", Stage::Firing);
        world.says_and_arrives(&["b firing"]);
        world.tell("b", Stage::Resolved);
        world.tell("c", Stage::Firing);
        world.outbox.on_elsewhere();
        world.tell("a", Stage::Firing);
        world.says(&["c firing", "a firing"]);
        // It changes again while that is on its way: the third hears it too.
        world.outbox.on_elsewhere();
        world.outbox.on_sent(world.now);
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
    }

    #[test]
    fn what_does_not_fit_is_not_taken_and_may_be_offered_again() {
        let mut world = World::new(OutboxParameters {
            batch_max: 1,
            ..PLAIN
        });
        for number in 0..2 * WAITING_MAX {
            world.tell(&number.to_string(), Stage::Firing);
        }
        assert_eq!(world.outbox.waiting(), WAITING_MAX);
        world.says_and_arrives(&["0 firing"]);
        world.tell("500", Stage::Firing);
        assert_eq!(world.outbox.waiting(), WAITING_MAX);
    }

    #[test]
    fn a_message_is_of_one_event_where_the_receiver_tells_them_apart() {
        let mut world = World::new(OutboxParameters {
            one_event: true,
            ..PLAIN
        });
        world.tell("a", Stage::Firing);
        world.says_and_arrives(&["a firing"]);
        world.tell("b", Stage::Firing);
        world.tell("c", Stage::Firing);
        world.tell("a", Stage::Resolved);
        world.says_and_arrives(&["b firing", "c firing"]);
        world.says_and_arrives(&["a resolved"]);
    }

    #[test]
    fn an_attempt_that_never_ends_does_not_hold_the_others() {
        let mut world = World::new(PLAIN);
        world.tell("a", Stage::Firing);
        world.says(&["a firing"]);
        world.says_and_arrives(&["a firing"]);
    }

    proptest! {
        /// Safety: of each key what arrives alternates. Liveness: once all arrives, the receiver knows what is open.
        #[test]
        fn what_arrives_alternates_and_in_the_end_the_receiver_knows_what_is_open(
            steps in proptest::collection::vec((0..3_u8, any::<bool>(), 0..4_u8), 0..120),
            batch_max in 1..4_usize,
        ) {
            let mut world = World::new(OutboxParameters { batch_max, ..PLAIN });
            let mut open = BTreeMap::from([(0, false), (1, false), (2, false)]);
            let mut known: BTreeMap<String, bool> = BTreeMap::new();
            let mut arrive = |batch: &[Notification]| {
                for it in batch {
                    let fires = it.stage == Stage::Firing;
                    let before = known.insert(it.key(), fires).unwrap_or(false);
                    prop_assert_ne!(before, fires, "{}", it.key());
                }
                Ok(())
            };
            let offer = |world: &mut World, open: &BTreeMap<u8, bool>| {
                for (service, fires) in open {
                    let stage = if *fires { Stage::Firing } else { Stage::Resolved };
                    world.tell(&service.to_string(), stage);
                }
            };
            for (service, fires, what) in steps {
                open.insert(service, fires);
                offer(&mut world, &open);
                world.now += SECOND;
                let Some(batch) = world.outbox.on_timeout(world.now) else {
                    continue;
                };
                match what {
                    0 => {
                        let _retried = world.outbox.on_failed(world.now, LOST);
                    }
                    _ => {
                        arrive(&batch.notifications)?;
                        world.outbox.on_sent(world.now);
                    }
                }
            }
            for _ in 0..600 {
                offer(&mut world, &open);
                world.now += SECOND;
                if let Some(batch) = world.outbox.on_timeout(world.now) {
                    arrive(&batch.notifications)?;
                    world.outbox.on_sent(world.now);
                }
            }
            for (service, fires) in open {
                let key = page(&service.to_string(), Stage::Firing, 0).key();
                prop_assert_eq!(known.get(&key).copied().unwrap_or(false), fires);
            }
            prop_assert_eq!(world.outbox.waiting(), 0);
        }
    }
}
