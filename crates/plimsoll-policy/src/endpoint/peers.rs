//! Judgement over all endpoints of a service: whose breaker opens, who is ejected, and how many at most.
//!
//! Checks and connect failures are facts; breaker and ejection are judgement. Invariant, at every tick: of the
//! endpoints that facts do not hold down, judgement holds out at most half, rounded down. So the last one is
//! never out by judgement, nor is the only one: those are refused by the limiter alone.
//! What all endpoints do alike is not held against one: taking it out would help nobody.

use std::time::Duration;

use plimsoll_core::{Instant, Mode};

use super::DownCause;
use super::breaker::row_max;
use super::control::{EndpointControl, Transition};
use super::ejection::{Figures, LATENCY_FACTOR, outliers};
use super::reason::Reason;
use super::record::Counts;
use super::shared::EndpointShared;

/// How often peers are compared. The window moves by this much.
const COMPARE_EACH: Duration = Duration::from_secs(1);
/// The others must have had this many calls before their share says anything.
const OTHERS_CALLS_MIN: u32 = 20;
/// A share of failures this much above the others' is this endpoint's own.
const OTHERS_SHARE_BELOW: f64 = 0.3;
/// An endpoint is suspect that answered nothing for this many times what 99 of 100 of its calls take...
const SUSPICION_FACTOR: u32 = 2;
/// ...or, before that is known, for this many times the median of its service...
const SUSPICION_MEDIANS: u32 = 10;
/// ...and at least and at most this long: it costs nothing but a share of the traffic, and ends with any answer.
const SUSPICION: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// One call may be a long one.
const SUSPICION_ATTEMPTS_MIN: u32 = 2;
/// Others that answered nothing for this long hang as well.
const OTHERS_SILENCE: Duration = Duration::from_secs(1);

/// One endpoint among its peers: a shell's record of it.
pub trait Peer {
    /// Its two halves.
    fn parts(&mut self) -> (&mut EndpointControl, &EndpointShared);
}

impl Peer for (EndpointControl, EndpointShared) {
    fn parts(&mut self) -> (&mut EndpointControl, &EndpointShared) {
        (&mut self.0, &self.1)
    }
}

/// All endpoints of one service. See the module's docs.
#[derive(Clone, Debug)]
pub struct PeerControl {
    compare_at: Instant,
    heard: Heard,
}

/// When one must look at an endpoint again: see [`PeerControl::next_look`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// At each tick.
    EachTick,
    /// At the first tick from then on, or after an attempt was begun there.
    At(Instant),
    /// After an attempt was begun there.
    OnNews,
}

/// The two endpoints that were heard last: one of them is another one than the one in question.
#[derive(Clone, Copy, Debug, Default)]
struct Heard([Option<(Instant, usize)>; 2]);

impl Heard {
    fn add(&mut self, last: Instant, index: usize) {
        let [first, second] = &mut self.0;
        let new = Some((last, index));
        if first.is_some_and(|(_, known)| known == index) {
            *first = (*first).max(new);
        } else if *first < new {
            *second = std::mem::replace(first, new);
        } else {
            *second = (*second).max(new);
        }
    }

    /// When one that is not this one was heard last.
    fn other_than(&self, index: usize) -> Option<Instant> {
        let mut others = self.0.iter().flatten();
        others.find_map(|&(last, other)| (other != index).then_some(last))
    }
}

/// How many may be out, and are.
#[derive(Clone, Copy, Debug, Default)]
struct Census {
    /// Not down by facts.
    able: usize,
    /// Of these, out by judgement.
    out: usize,
    /// Of these, out by judgement, or would be if it acted.
    out_if_observed: usize,
}

impl Census {
    fn has_room(&self, acts: bool) -> bool {
        let out = if acts { self.out } else { self.out_if_observed };
        out < self.able / 2
    }

    fn add_out(&mut self, acts: bool) {
        self.out += usize::from(acts);
        self.out_if_observed += 1;
    }
}

impl PeerControl {
    /// For a service whose endpoints have just been set up.
    pub fn new(now: Instant) -> Self {
        Self {
            compare_at: now + COMPARE_EACH,
            heard: Heard::default(),
        }
    }

    /// Ticks all endpoints of the service: merges what the data plane counted, lets time act, judges, and
    /// publishes. Transitions are added with the position of their endpoint in `peers`.
    pub fn tick<P: Peer>(
        &mut self,
        now: Instant,
        peers: &mut [P],
        transitions: &mut Vec<(usize, Transition)>,
    ) {
        self.heard = Heard::default();
        self.tick_those(now, peers, 0..peers.len(), 0, transitions);
    }

    /// The same, looking only at those that may have changed: at the positions `awake`, in their order. For who ticks
    /// very many. All others are such that [`PeerControl::next_look`] said so; `more` is how many the service has
    /// beside `peers`, which have never been used.
    pub fn tick_some<P: Peer>(
        &mut self,
        now: Instant,
        peers: &mut [P],
        awake: &[usize],
        more: usize,
        transitions: &mut Vec<(usize, Transition)>,
    ) {
        self.tick_those(now, peers, awake.iter().copied(), more, transitions);
    }

    /// Right after a tick: at which of the next ones one must look at an endpoint again.
    pub fn next_look<P: Peer>(&self, now: Instant, peer: &mut P) -> Look {
        let (control, shared) = peer.parts();
        if !control.is_calm(now, shared) {
            return Look::EachTick;
        }
        let record = control.record();
        match record.window_changes() {
            None => Look::OnNews,
            Some(at) if Figures::of(0, record, true).is_some() => Look::At(at.min(self.compare_at)),
            Some(at) => Look::At(at),
        }
    }

    /// An endpoint came to this position: those from there on have moved up by one.
    pub fn on_insert(&mut self, position: usize) {
        for (_, index) in self.heard.0.iter_mut().flatten() {
            *index += usize::from(*index >= position);
        }
    }

    fn tick_those<P: Peer>(
        &mut self,
        now: Instant,
        peers: &mut [P],
        awake: impl ExactSizeIterator<Item = usize> + Clone,
        more: usize,
        transitions: &mut Vec<(usize, Transition)>,
    ) {
        for index in awake.clone() {
            if let Some((control, shared)) = peers.get_mut(index).map(Peer::parts) {
                control.observe(now, shared);
                if let Some(last) = control.record().heard_last() {
                    self.heard.add(last, index);
                }
            }
        }
        // Those at which nothing is looked are up.
        let asleep = (peers.len() + more).saturating_sub(awake.len());
        let mut census = count(peers, awake.clone(), asleep);
        while census.out > census.able / 2 {
            if !release_one(now, peers, awake.clone()) {
                break;
            }
            census = count(peers, awake.clone(), asleep);
        }
        suspect(now, peers, awake.clone(), &self.heard);
        open_breakers(now, peers, awake.clone(), &mut census, transitions);
        if self.compare_at <= now {
            self.compare_at = now + COMPARE_EACH;
            eject(now, peers, awake.clone(), &mut census, transitions);
        }
        for index in awake {
            if let Some((control, shared)) = peers.get_mut(index).map(Peer::parts) {
                transitions.extend(control.publish(now, shared).map(|change| (index, change)));
            }
        }
    }
}

fn count<P: Peer>(peers: &mut [P], awake: impl Iterator<Item = usize>, asleep: usize) -> Census {
    let mut census = Census {
        able: asleep,
        ..Census::default()
    };
    for index in awake {
        if let Some((control, _)) = peers.get_mut(index).map(Peer::parts)
            && control.is_able()
        {
            census.able += 1;
            if control.is_judged(false) {
                census.add_out(control.is_judged(true));
            }
        }
    }
    census
}

/// Lets the one in that would be back first.
fn release_one<P: Peer>(now: Instant, peers: &mut [P], awake: impl Iterator<Item = usize>) -> bool {
    let until = |index: usize| {
        let (control, _) = peers.get_mut(index)?.parts();
        (control.is_able() && control.is_judged(true)).then(|| (control.judged_until(), index))
    };
    let Some((_, first)) = awake.filter_map(until).min() else {
        return false;
    };
    if let Some((control, _)) = peers.get_mut(first).map(Peer::parts) {
        control.release(now);
    }
    true
}

/// Sees within a moment that an endpoint is silent, long before that is a reason to take it out. Only in comparison:
/// another one must have been heard since this one fell silent.
fn suspect<P: Peer>(
    now: Instant,
    peers: &mut [P],
    awake: impl Iterator<Item = usize>,
    heard: &Heard,
) {
    // Of all of them, and rarely asked for.
    let mut median = None;
    for index in awake {
        let Some((control, shared)) = peers.get_mut(index).map(Peer::parts) else {
            continue;
        };
        if control.parameters().breaker != Mode::Enforce {
            shared.suspect(false);
            continue;
        }
        let Some(silence) = control.record().silence() else {
            continue;
        };
        let time = now.since(silence.since);
        // With one that was in flight before: of few, only one may have been begun since.
        let hang = silence.begun.max(shared.working());
        if hang < SUSPICION_ATTEMPTS_MIN || time < SUSPICION.0 {
            continue;
        }
        let limit = match control.record().p99_usual() {
            Some(usual) => usual.saturating_mul(SUSPICION_FACTOR),
            None => median
                .get_or_insert_with(|| highest_median(peers))
                .map_or(SUSPICION.1, |median| median * SUSPICION_MEDIANS),
        };
        if time >= limit.clamp(SUSPICION.0, SUSPICION.1)
            && heard
                .other_than(index)
                .is_some_and(|last| last > silence.since)
            && let Some((_, shared)) = peers.get_mut(index).map(Peer::parts)
        {
            shared.suspect(true);
        }
    }
}

fn highest_median<P: Peer>(peers: &mut [P]) -> Option<Duration> {
    let medians = peers.iter_mut().map(|peer| {
        let (control, _) = peer.parts();
        control.record().window_median()
    });
    medians.max().flatten()
}

fn open_breakers<P: Peer>(
    now: Instant,
    peers: &mut [P],
    awake: impl Iterator<Item = usize>,
    census: &mut Census,
    transitions: &mut Vec<(usize, Transition)>,
) {
    for index in awake {
        let Some((control, _)) = peers.get_mut(index).map(Peer::parts) else {
            continue;
        };
        let Some(reason) = control.breaker_wish(now) else {
            control.on_no_wish(DownCause::Breaker);
            continue;
        };
        let (acts, own) = (
            control.parameters().breaker == Mode::Enforce,
            *control.record().window(),
        );
        if census.able < 2 || is_shared(now, peers, index, &own, &reason) {
            continue;
        }
        let Some((control, _)) = peers.get_mut(index).map(Peer::parts) else {
            continue;
        };
        let room = census.has_room(acts);
        let told = if room {
            census.add_out(acts);
            control.open_breaker(now, reason)
        } else {
            control.hold_back(now, DownCause::Breaker, reason)
        };
        transitions.extend(told.map(|told| (index, told)));
    }
}

/// Whether the other endpoints do as badly, so that the cause is not with this one.
fn is_shared<P: Peer>(
    now: Instant,
    peers: &mut [P],
    index: usize,
    own: &Counts,
    reason: &Reason,
) -> bool {
    let mut others = Counts::default();
    let (mut recent, mut known, mut silent, mut heard) = (0.0, 0, 0, 0);
    for (other, peer) in peers.iter_mut().enumerate() {
        let (control, _) = peer.parts();
        if other == index || !control.is_able() || control.is_judged(true) {
            continue;
        }
        let record = control.record();
        others.add(record.window());
        if record.window().calls() > 0 {
            recent += record.recent_failure_share();
            known += 1;
        }
        let quiet = record.silence().map(|silence| now.since(silence.since));
        silent += u32::from(quiet.is_some_and(|time| time >= OTHERS_SILENCE));
        let last = record.heard_last().map(|last| now.since(last));
        heard += u32::from(last.is_some_and(|time| time < OTHERS_SILENCE));
    }
    match reason {
        Reason::FailuresInARow { failed } => {
            known > 0 && *failed < row_max(recent / f64::from(known))
        }
        Reason::FailureShare { .. } => {
            others.calls() >= OTHERS_CALLS_MIN
                && own.failure_share() < others.failure_share() + OTHERS_SHARE_BELOW
        }
        Reason::Slow { .. } => match (own.median(), others.median()) {
            (Some(own), Some(median)) if others.answered() >= OTHERS_CALLS_MIN => {
                own < median * LATENCY_FACTOR
            }
            _ => false,
        },
        Reason::Silent { .. } => silent > 0 && heard == 0,
        _ => false,
    }
}

fn eject<P: Peer>(
    now: Instant,
    peers: &mut [P],
    awake: impl Iterator<Item = usize> + Clone,
    census: &mut Census,
    transitions: &mut Vec<(usize, Transition)>,
) {
    let figures = awake
        .clone()
        .filter_map(|index| {
            let (control, _) = peers.get_mut(index)?.parts();
            (control.is_able() && !control.is_judged(false))
                .then(|| Figures::of(index, control.record(), control.is_loaded(now)))
                .flatten()
        })
        .collect::<Vec<_>>();
    let outliers = outliers(&figures);
    for index in awake {
        if outliers.iter().all(|&(outlier, _)| outlier != index)
            && let Some((control, _)) = peers.get_mut(index).map(Peer::parts)
        {
            control.on_no_wish(DownCause::Ejection);
        }
    }
    for (index, reason) in outliers {
        let Some((control, _)) = peers.get_mut(index).map(Peer::parts) else {
            continue;
        };
        let acts = match control.parameters().ejection {
            Mode::Off => continue,
            Mode::Observe => false,
            Mode::Enforce => true,
        };
        let room = census.has_room(acts);
        let told = if room {
            census.add_out(acts);
            control.eject(now, reason)
        } else {
            control.hold_back(now, DownCause::Ejection, reason)
        };
        transitions.extend(told.map(|told| (index, told)));
    }
}
