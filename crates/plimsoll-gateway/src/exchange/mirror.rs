//! A copy of a request goes to the version that its service is to be moved to; what that answers is thrown away.
//!
//! Invariants: the request itself neither waits for its copy nor fails with it; a copy takes no permit of its service, is
//! tried once, and is in no record but the rollout's counters; what is in flight of copies, and what is kept of bodies, is
//! bounded, and copies beyond that are left out and counted.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use plimsoll_core::ServiceId;
use plimsoll_http1::{Framing, RequestHead, ResponseHead};
use plimsoll_lifecycle::{Attempt, Bounds, Call, Verdict};
use plimsoll_measure::Cause;
use plimsoll_policy::rollout::split::{Arm, Variant};
use plimsoll_policy::{BulkheadKind, BulkheadShared};

use super::relay::judge;
use super::{Exchange, Tried, answered, is_event_stream};
use crate::heads::Facts;
use crate::peer::Peer;
use crate::plan::ServicePlan;
use crate::protocol::{is_safe, upgrade};
use crate::rollout::{CopyInFlight, RolloutPlan};
use crate::thread::{Thread, ThreadEffects, ThreadPlan};
use crate::timer::Timer;
use crate::transfer::Transfer;

/// A longer body is not copied.
const BODY_BYTES_MAX: u64 = 64 * 1024;
/// A copy whose answer takes longer in all is cut: nobody waits for it.
const TIME_MAX: Duration = Duration::from_secs(60);

/// A copy, ready to go.
struct Copy {
    head: RequestHead,
    facts: Facts,
    upload: Transfer,
    service: ServiceId,
    call: Call<ThreadEffects>,
    /// Its place among those in flight.
    place: CopyInFlight,
}

impl Exchange<'_> {
    /// Whether a copy of the request may be made.
    pub(super) fn is_copyable(&self, rollout: &RolloutPlan) -> bool {
        (is_safe(self.head) || rollout.mirrors_unsafe) && upgrade(self.head).is_none()
    }

    /// Sends a copy, if there is no body to wait for. Whether there is.
    pub(super) fn copy_at_once(&mut self, service: &ServicePlan, upload: &mut Transfer) -> bool {
        match self.head.framing() {
            Framing::None => {
                self.copy(service, upload);
                false
            }
            Framing::Length(length) if length > BODY_BYTES_MAX => {
                self.leave_copy_out(service);
                false
            }
            _ => {
                upload.keep(upload.keeps().max(BODY_BYTES_MAX));
                true
            }
        }
    }

    /// The head of the answer is there: sends the copy that has waited for the body.
    pub(super) fn copy_with_body(&self, service: &ServicePlan, upload: &Transfer) {
        if upload.whole().is_some() && upload.kept_bytes() <= BODY_BYTES_MAX {
            self.copy(service, upload);
        } else {
            self.leave_copy_out(service);
        }
    }

    fn leave_copy_out(&self, service: &ServicePlan) {
        if let Some(rollout) = service.rollout.as_deref() {
            rollout.shared.counters.count_left_out(self.thread.index);
        }
    }

    fn copy(&self, service: &ServicePlan, upload: &Transfer) {
        let (Some(rollout), Some(id)) =
            (service.rollout.as_deref(), self.call.settlement().service)
        else {
            return;
        };
        let place = (has_room(&service.shared.guard.bulkhead))
            .then(|| rollout.shared.take_copy())
            .flatten();
        let Some(place) = place else {
            return self.leave_copy_out(service);
        };
        let now = self.thread.clock.now();
        let own = self.call.bounds();
        let bounds = Bounds {
            total: Some(own.total.unwrap_or(TIME_MAX).min(TIME_MAX)),
            attempts_max: 1,
            ..own
        };
        let mut effects = ThreadEffects::new(self.thread, &self.plan);
        effects.mirrors = true;
        effects.client.set(Some(self.facts.client));
        let mut call = self.call.copy(effects, now, bounds);
        call.on_variant(Variant {
            arm: Arm::Canary,
            judged: true,
        });
        let copy = Copy {
            head: self.head.clone(),
            facts: Facts {
                fills: false,
                no_retry: false,
                retries: false,
                impatient: false,
                ..self.facts.clone()
            },
            upload: upload.again(),
            service: id,
            call,
            place,
        };
        rollout.shared.counters.count_copy(self.thread.index);
        let (thread, plan) = (Rc::clone(self.thread), Rc::clone(&self.plan));
        tokio::task::spawn_local(async move { send(&thread, plan, copy).await });
    }
}

/// Whether the service has as many connections left as it uses: a copy takes none that a request needs.
fn has_room(bulkhead: &BulkheadShared) -> bool {
    let kind = BulkheadKind::Connections;
    let max = bulkhead.max(kind);
    max.is_none_or(|max| bulkhead.taken(kind) < max / 2)
}

async fn send(thread: &Rc<Thread>, plan: Rc<ThreadPlan>, copy: Copy) {
    let Copy {
        head,
        facts,
        mut upload,
        service,
        call,
        place: _place,
    } = copy;
    let now = thread.clock.now();
    let mut exchange = Exchange {
        thread,
        plan: Rc::clone(&plan),
        head: &head,
        facts,
        status: 0,
        reason: None,
        deadline: now,
        body_at: now,
        patience_ends: None,
        unlisted_key: None,
        rate_fields: None,
        caching: None,
        left: Cell::new(false),
        first: None,
        cached: Cell::new(None),
        call,
    };
    exchange.begin_deadline(now);
    let Some(service) = plan.plan.service(service) else {
        return exchange.call.settle(now, Cause::NoEndpoint);
    };
    let mut timer = Timer::new(thread.clock);
    let cause = exchange.try_copy(service, &mut upload, &mut timer).await;
    exchange.call.settle(thread.clock.now(), cause);
}

impl Exchange<'_> {
    /// Sends the copy, and reads the answer to its end.
    async fn try_copy(
        &mut self,
        service: &ServicePlan,
        upload: &mut Transfer,
        timer: &mut Timer,
    ) -> Cause {
        let (mut nobody, mut response) = (Peer::Nobody, ResponseHead::new());
        let key = self.hash_key(service);
        let mut again = false;
        loop {
            let now = self.thread.clock.now();
            let attempt = if again {
                self.call.again(now)
            } else {
                let plan = Rc::clone(&self.plan);
                let id = self.call.settlement().service;
                self.call
                    .next_attempt(now, |tried| plan.choose_canary(id?, now, key, tried))
            };
            let endpoint = match attempt {
                Attempt::Try(id) => service.cluster.endpoints.get(id.index()),
                Attempt::GiveUp(cause) => return cause,
            };
            let Some(endpoint) = endpoint else {
                return Cause::NoEndpoint;
            };
            let tried =
                self.try_endpoint(endpoint, again, &mut nobody, upload, &mut response, timer);
            match tried.await {
                Tried::Head { up, sent_at, .. } => {
                    self.call.on_head(self.thread.clock.now());
                    let (cause, up) = self.throw_away(up, &response, timer).await;
                    let end = answered(&self.call, sent_at, &response);
                    self.call.end_attempt(end);
                    if let Some(up) = up.filter(|_| upload.flushed) {
                        self.give_back(endpoint, up);
                    }
                    return cause;
                }
                Tried::Stale(Verdict::Retry { .. }) if !again => {
                    again = true;
                    upload.rewind();
                }
                Tried::Stale(_) => return Cause::Reset,
                Tried::Failed(Verdict::GiveUp(cause)) => return cause,
                Tried::Failed(Verdict::Retry { .. }) | Tried::Gone => return Cause::ClientGone,
                Tried::Answer(answer) => return answer.cause,
            }
        }
    }

    /// What the answer comes to, and its connection if that can be used again. Of a stream nobody knows when it ends.
    async fn throw_away(
        &mut self,
        mut up: Peer,
        response: &ResponseHead,
        timer: &mut Timer,
    ) -> (Cause, Option<Peer>) {
        let mut download = Transfer::default();
        if is_event_stream(response) {
            return (judge(response, &download, false), None);
        }
        if let Peer::Http1(peer) = &mut up {
            peer.expect_body(response.framing());
        }
        if response.framing() == Framing::None {
            download = Transfer::done();
        }
        let mut nobody = Peer::Nobody;
        let idle = self.call.bounds().idle;
        let mut progressed = (0, self.thread.clock.now());
        let whole = poll_fn(|cx| {
            match download.poll(&mut up, &mut nobody, cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Some(true)),
                Poll::Ready(Err(_)) => return Poll::Ready(Some(false)),
                Poll::Pending => (),
            }
            if download.bytes > progressed.0 {
                progressed = (download.bytes, self.thread.clock.now());
            }
            let until = self.deadline_total(progressed.1 + idle);
            timer.poll_at(cx, until).map(|()| None)
        })
        .await;
        let grpc = crate::answer::is_grpc(self.head);
        match whole {
            Some(true) => {
                let is_kept = response.keep_alive() && response.framing() != Framing::UntilClose;
                (judge(response, &download, grpc), is_kept.then_some(up))
            }
            Some(false) => (Cause::Reset, None),
            // A long answer is no failure; one that stands still is.
            None if self.thread.clock.now() < progressed.1 + idle => {
                (judge(response, &Transfer::default(), false), None)
            }
            None => (Cause::Stalled, None),
        }
    }
}
