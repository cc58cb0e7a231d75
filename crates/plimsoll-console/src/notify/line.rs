//! One receiver in a running process: what the control thread's loop and the receiver's task share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use plimsoll_core::{Instant, Timestamp};
use plimsoll_measure::{NotifierFailure, NotifierView};
use plimsoll_upstream::Clock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc};

use super::notification::Notification;
use super::outbox::{Batch, Fate, Outbox, Refusal};
use super::target::{Channel, Failure, Target};

/// An attempt to tell somebody, for the log and the journal.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Who was to be told.
    pub target: String,
    /// What came of it.
    pub result: ReportResult,
    /// What was to be told; none: that Plimsoll watches, or that something lasts.
    pub notifications: Vec<Notification>,
    /// Why it was not told, or who was not though others were.
    pub why: Option<String>,
    /// How long it took.
    pub took: Duration,
    /// Whether it is otherwise than the last time.
    pub is_turn: bool,
    /// What the receiver knows now and has not ended.
    pub told: Told,
}

/// What a receiver knows and has not ended, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Who was reached: another receiver of this name knows nothing of it. It says nothing of where that is.
    pub whereabouts: String,
    /// What it knows.
    pub notifications: Vec<Notification>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportResult {
    /// It arrived.
    Delivered,
    /// It did not, and is sent again.
    Failed,
    /// The receiver refused it: it is not sent again.
    Refused,
    /// It was sent again for so long that it is given up.
    GivenUp,
}

impl ReportResult {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Refused => "refused",
            Self::GivenUp => "given-up",
        }
    }
}

/// See the module's docs.
#[derive(Debug)]
pub(crate) struct Line {
    /// Held for moments, never across a wait; both sides are on one thread.
    state: Mutex<LineState>,
    wake: Notify,
}

#[derive(Debug)]
struct LineState {
    target: Arc<Target>,
    outbox: Outbox,
    view: NotifierView,
    /// The next sign of life; `None` where there is none.
    beat_at: Option<Instant>,
    beat_due: bool,
}

/// What a task is to do.
enum Work {
    Send(Arc<Target>, Batch),
    Beat(Arc<Target>),
    Wait(Option<Instant>),
}

impl Line {
    pub(crate) fn new(target: Arc<Target>, outbox: Outbox, now: Instant) -> Arc<Self> {
        let view = NotifierView {
            name: target.config.name.clone(),
            kind: target.config.channel.name().to_owned(),
            ..NotifierView::default()
        };
        let beats = matches!(target.config.channel, Channel::Heartbeat { .. });
        Arc::new(Self {
            state: Mutex::new(LineState {
                target,
                outbox,
                view,
                beat_at: beats.then_some(now),
                beat_due: false,
            }),
            wake: Notify::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, LineState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn target(&self) -> Arc<Target> {
        Arc::clone(&self.lock().target)
    }

    /// The receiver is another one, of the same kind: what waits goes there.
    pub(crate) fn set_target(&self, now: Instant, target: Arc<Target>) {
        let mut state = self.lock();
        let is_another = state.target.config != target.config;
        let is_elsewhere = state.target.config.whereabouts() != target.config.whereabouts();
        state.target = target;
        if is_elsewhere {
            state.outbox.on_elsewhere();
        }
        if is_another {
            state.outbox.on_changed(now);
            state.beat_at = state.beat_at.map(|_| now);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// What a predecessor told whoever was reached there: nothing to somebody else.
    pub(crate) fn recall(&self, now: Instant, told: Told) {
        let mut state = self.lock();
        if told.whereabouts == state.target.config.whereabouts() {
            state.outbox.recall(now, told.notifications);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Told what is open, and what has ended since: what it knows already is not told again.
    pub(crate) fn offer<'a>(
        &self,
        now: Instant,
        told: impl Iterator<Item = &'a Notification>,
        silenced: impl Iterator<Item = &'a str>,
        is_open: impl Fn(&str, &Target) -> bool,
        end: impl Fn(&Notification) -> Option<Notification>,
    ) {
        let mut state = self.lock();
        let state = &mut *state;
        let before = state.outbox.next_timeout();
        for notification in told {
            if state.target.is_for(notification.owner.as_deref()) {
                state.outbox.on_notification(now, notification.clone());
            }
        }
        for key in silenced {
            state.outbox.on_silenced(key);
        }
        for notification in state.outbox.begun() {
            let is_for = state.target.is_for(notification.owner.as_deref());
            if !(is_for && is_open(&notification.key(), &state.target))
                && let Some(end) = end(&notification)
            {
                state.outbox.on_notification(now, end);
            }
        }
        if state.outbox.next_timeout() != before {
            self.wake.notify_one();
        }
    }

    /// The control thread ticks: that is what a sign of life says.
    pub(crate) fn tick(&self, now: Instant) {
        let mut state = self.lock();
        let Channel::Heartbeat { interval } = state.target.config.channel else {
            return;
        };
        if state.beat_at.is_some_and(|at| at <= now) {
            // Not later and later by the part of a second that a tick is late.
            let next = state.beat_at.map(|at| at + interval);
            state.beat_at = next.filter(|at| *at > now).or(Some(now + interval));
            state.beat_due = true;
            self.wake.notify_one();
        }
    }

    /// The process ends: what waits goes out now.
    pub(crate) fn hurry(&self, now: Instant) {
        self.lock().outbox.hurry(now);
        self.wake.notify_one();
    }

    pub(crate) fn waiting(&self) -> usize {
        self.lock().outbox.waiting()
    }

    pub(crate) fn view(&self) -> NotifierView {
        let state = self.lock();
        NotifierView {
            waiting: state.outbox.waiting() as u64,
            ..state.view.clone()
        }
    }

    fn work(&self, now: Instant) -> Work {
        let mut state = self.lock();
        let target = Arc::clone(&state.target);
        if std::mem::take(&mut state.beat_due) {
            return Work::Beat(target);
        }
        match state.outbox.on_timeout(now) {
            Some(batch) => Work::Send(target, batch),
            None => Work::Wait(state.outbox.next_timeout()),
        }
    }

    /// Does what is to be done, for as long as it is not dropped.
    pub(crate) async fn run(self: Arc<Self>, clock: Clock, reports: mpsc::Sender<Report>) {
        loop {
            let began = clock.now();
            let (target, batch, result) = match self.work(began) {
                Work::Wait(until) => {
                    let until = until.and_then(|until| clock.timer(until));
                    let slept = async {
                        match until {
                            Some(until) => tokio::time::sleep_until(until).await,
                            None => std::future::pending().await,
                        }
                    };
                    tokio::select! { () = slept => (), () = self.wake.notified() => () }
                    continue;
                }
                Work::Beat(target) => {
                    let result = target.beat().await;
                    (target, None, result)
                }
                Work::Send(target, batch) => {
                    let result = target.send(&batch, clock).await;
                    (target, Some(batch), result)
                }
            };
            let now = clock.now();
            let report = self.settle(now, clock.timestamp(), &target, batch, result, now - began);
            // Whoever listens may be behind: what was counted is shown all the same.
            let _full = reports.try_send(report);
        }
    }

    fn settle(
        &self,
        now: Instant,
        at: Timestamp,
        target: &Target,
        batch: Option<Batch>,
        result: Result<(), Failure>,
        took: Duration,
    ) -> Report {
        let mut state = self.lock();
        let fate = match (&result, &batch) {
            (Ok(()), Some(_)) => {
                state.outbox.on_sent(now);
                None
            }
            (Ok(()), None) => None,
            (Err(failure), Some(_)) => Some(state.outbox.on_failed(now, failure.refusal)),
            (Err(_), None) => Some(Fate::Retried),
        };
        let is_turn = state.count(at, fate, result.as_ref().err());
        let notifications = batch.filter(|batch| !batch.is_refresh);
        Report {
            target: target.config.name.clone(),
            result: match fate {
                None | Some(Fate::InPart) => ReportResult::Delivered,
                Some(Fate::Retried) => ReportResult::Failed,
                Some(Fate::Refused) => ReportResult::Refused,
                Some(Fate::GivenUp) => ReportResult::GivenUp,
            },
            notifications: notifications.map_or_else(Vec::new, |batch| batch.notifications),
            why: result.err().map(|failure| failure.why),
            took,
            is_turn,
            told: Told {
                whereabouts: target.config.whereabouts(),
                notifications: state.outbox.told().cloned().collect(),
            },
        }
    }

    /// An attempt beside what waits: somebody tried whether it arrives.
    pub(crate) fn on_tried(&self, now: Instant, at: Timestamp, result: Result<(), &Failure>) {
        let mut state = self.lock();
        let fate = result.err().map(|failure| match failure.refusal {
            Refusal::Final => Fate::Refused,
            Refusal::Temporary { .. } => Fate::Retried,
            Refusal::InPart => Fate::InPart,
        });
        let _turn = state.count(at, fate, result.err());
        if result.is_ok() {
            // It can be reached: what waits need not wait longer.
            state.outbox.hurry(now);
            self.wake.notify_one();
        }
    }
}

impl LineState {
    /// Counts an attempt; whether it went otherwise than the one before.
    fn count(&mut self, at: Timestamp, fate: Option<Fate>, failure: Option<&Failure>) -> bool {
        let view = &mut self.view;
        let counter = match fate {
            None | Some(Fate::InPart) => &mut view.delivered_total,
            Some(Fate::Retried) => &mut view.failed_total,
            Some(Fate::Refused) => &mut view.refused_total,
            Some(Fate::GivenUp) => &mut view.given_up_total,
        };
        *counter += 1;
        let was_failing = view.failing.is_some();
        view.failing = failure.map(|failure| NotifierFailure {
            since: view.failing.take().map_or(at, |failing| failing.since),
            why: failure.why.clone(),
            help: failure.help.to_owned(),
        });
        was_failing != view.failing.is_some()
    }
}

#[cfg(test)]
mod tests {
    use plimsoll_upstream::{EndpointConfig, Resolver};
    use rand_core::SeedableRng;
    use rand_xoshiro::Xoshiro256PlusPlus;

    use super::*;
    use crate::notify::format::Format;
    use crate::notify::notification::Stage;
    use crate::notify::notification::tests::page;
    use crate::notify::target::TargetConfig;

    const SECOND: Duration = Duration::from_secs(1);

    fn target(channel: Channel, owners: &[&str]) -> Arc<Target> {
        let config = TargetConfig {
            name: "a".to_owned(),
            channel,
            owners: owners.iter().map(|it| (*it).to_owned()).collect(),
            endpoint: EndpointConfig::new("127.0.0.1", 1),
            path: "/".to_owned(),
        };
        Arc::new(Target::new(config, Resolver::new(Clock::new())).unwrap())
    }

    fn line(channel: Channel, owners: &[&str]) -> Arc<Line> {
        let rng = Xoshiro256PlusPlus::seed_from_u64(7);
        let outbox = Outbox::new(channel.outbox(), rng);
        Line::new(target(channel, owners), outbox, Instant::ORIGIN)
    }

    /// As a predecessor kept it that reached the same.
    fn told(line: &Line, notifications: Vec<Notification>) -> Told {
        Told {
            whereabouts: line.target().config.whereabouts(),
            notifications,
        }
    }

    fn end(begun: &Notification) -> Option<Notification> {
        Some(Notification {
            stage: Stage::Resolved,
            ..begun.clone()
        })
    }

    #[test]
    fn a_sign_of_life_is_a_tick_of_the_control_thread_and_comes_each_interval() {
        let interval = 3 * SECOND;
        let line = line(Channel::Heartbeat { interval }, &[]);
        let beats = |now| matches!(line.work(now), Work::Beat(_));
        let mut now = Instant::ORIGIN;
        let mut beaten = 0;
        for _ in 0..30 {
            now += SECOND;
            line.tick(now);
            beaten += u32::from(beats(now));
        }
        // At once, and then every three seconds.
        assert_eq!(beaten, 11);
        // The control thread hangs: however much later, nothing is said.
        assert!(!beats(now + 100 * SECOND));
    }

    #[test]
    fn only_those_hear_of_a_service_who_are_for_its_owner() {
        let told = |owners: &[&str]| {
            let line = line(Channel::Http(Format::Slack), owners);
            let page = page("checkout", Stage::Firing, 0);
            line.offer(
                Instant::ORIGIN,
                [&page].into_iter(),
                [].into_iter(),
                |_, _| true,
                end,
            );
            line.waiting()
        };
        assert_eq!(told(&[]), 1);
        assert_eq!(told(&["search", "payments"]), 1);
        assert_eq!(told(&["search"]), 0);
    }

    #[test]
    fn what_is_not_open_any_more_is_told_to_have_ended_also_where_a_predecessor_told_it() {
        let line = line(Channel::Http(Format::Slack), &[]);
        let mut now = Instant::ORIGIN;
        line.recall(now, told(&line, vec![page("checkout", Stage::Firing, 0)]));
        line.offer(now, [].into_iter(), [].into_iter(), |_, _| true, end);
        assert_eq!(line.waiting(), 0);
        line.offer(now, [].into_iter(), [].into_iter(), |_, _| false, end);
        line.offer(now, [].into_iter(), [].into_iter(), |_, _| false, end);
        assert_eq!(line.waiting(), 1);
        now += SECOND;
        let Work::Send(_, batch) = line.work(now) else {
            panic!("nothing is sent");
        };
        assert_eq!(batch.notifications[0].stage, Stage::Resolved);
    }

    #[test]
    fn a_receiver_that_points_elsewhere_is_told_what_is_open_and_a_predecessor_told_it_nothing() {
        let line = line(Channel::Http(Format::Slack), &[]);
        let mut now = Instant::ORIGIN;
        let page = page("checkout", Stage::Firing, 0);
        line.recall(now, told(&line, vec![page.clone()]));
        let offered = |now| {
            line.offer(now, [&page].into_iter(), [].into_iter(), |_, _| true, end);
            line.waiting()
        };
        assert_eq!(offered(now), 0);
        // Other owners, and a key that only signs: the same receiver.
        line.set_target(now, target(Channel::Http(Format::Slack), &["payments"]));
        assert_eq!(offered(now), 0);
        let before = told(&line, vec![page.clone()]);
        let elsewhere = Target::new(
            TargetConfig {
                path: "/elsewhere".to_owned(),
                ..line.target().config.clone()
            },
            Resolver::new(Clock::new()),
        );
        line.set_target(now, Arc::new(elsewhere.unwrap()));
        line.recall(now, before);
        assert_eq!(offered(now), 1);
        now += SECOND;
        assert!(matches!(line.work(now), Work::Send(..)));
    }

    #[test]
    fn how_a_receiver_is_shows_as_long_as_it_fails_and_a_turn_is_said_once() {
        let line = line(Channel::Http(Format::Slack), &[]);
        let at = Timestamp::from_seconds(1);
        let failure = Failure {
            why: "it answered 500".to_owned(),
            help: "see how it is",
            refusal: Refusal::Temporary {
                retry_after: None,
                may_have_arrived: true,
            },
        };
        let page = page("checkout", Stage::Firing, 0);
        line.offer(
            Instant::ORIGIN,
            [&page].into_iter(),
            [].into_iter(),
            |_, _| true,
            end,
        );
        let mut now = Instant::ORIGIN;
        let mut attempt = |result| {
            let batch = loop {
                now += SECOND;
                if let Work::Send(_, batch) = line.work(now) {
                    break batch;
                }
            };
            let target = line.target();
            line.settle(now, at, &target, Some(batch), result, SECOND)
        };
        let failed = attempt(Err(failure.clone()));
        assert_eq!(
            (failed.result, failed.is_turn),
            (ReportResult::Failed, true)
        );
        let warning = line.view().warning().unwrap();
        assert!(warning.contains("notifier a fails: it answered 500; see how it is"));
        assert!(warning.contains("1 to be told"), "{warning}");
        assert!(!attempt(Err(failure)).is_turn);
        let delivered = attempt(Ok(()));
        assert!(delivered.is_turn && delivered.told.notifications == [page]);
        let view = line.view();
        assert_eq!((view.failed_total, view.delivered_total), (2, 1));
        assert_eq!(view.warning(), None);
    }
}
