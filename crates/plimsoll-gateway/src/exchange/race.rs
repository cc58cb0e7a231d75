//! The first attempt of a request that may be hedged, with a second one beside it if it takes long.
//!
//! Only requests that can be sent twice as they are: without a body, idempotent, no upgrade, no gRPC, and not from a
//! trusted peer that makes its own attempts. Two attempts touch neither client nor call by themselves; what
//! becomes of them is told to the call here, in this order: the loser's connection is dropped, its attempt ends, its
//! permit goes back; then the winner goes on as if it had been alone.
//!
//! Invariant: an answer below 500 wins as soon as its head is there; anything else of one leaves the other, and only
//! what the last one comes to is the request's.
//! Elsewhere: whether there is a second attempt (`plimsoll-policy`, `hedge`); what both count as
//! (`plimsoll-lifecycle`).

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use plimsoll_core::Instant;
use plimsoll_http1::{Framing, ResponseHead};
use plimsoll_lifecycle::{AttemptEnd, Which};
use plimsoll_measure::Cause;
use plimsoll_upstream::{Checkout, ConnectError, Endpoint};

use super::attempt::{Unsent, connection};
use super::relay::INTERIM_MAX;
use super::{Exchange, Tried, is_busy};
use crate::answer::{self, is_grpc};
use crate::peer::{HeadFault, Peer};
use crate::plan::ServicePlan;
use crate::protocol::upgrade;
use crate::refusal::Answer;
use crate::timer::Timer;
use crate::transfer::Transfer;

/// An attempt on its way to a head.
struct Runner {
    endpoint: Arc<Endpoint>,
    started: Instant,
    stage: Stage,
    response: ResponseHead,
    interim: u32,
}

#[expect(
    clippy::large_enum_variant,
    reason = "part of one future; most become the large one, and a box would be one more for each request"
)]
enum Stage {
    /// Boxed, since either of two may be the one that is left; only requests that may be hedged pay for it.
    Connecting(Pin<Box<dyn Future<Output = Result<Checkout, ConnectError>>>>),
    Sent {
        up: Peer,
        sent_at: Instant,
    },
    Over,
}

/// What an attempt came to.
#[expect(
    clippy::large_enum_variant,
    reason = "part of one future; most become the large one, and a box would be one more for each request"
)]
enum Outcome {
    Head {
        up: Peer,
        sent_at: Instant,
    },
    ConnectFailed(ConnectError),
    Unsent(Unsent),
    /// A kept connection was closed, or the service says that it did not look at the request.
    Unseen,
    Failed(Cause, String),
}

/// What happens next in a race.
#[expect(
    clippy::large_enum_variant,
    reason = "part of one future; most become the large one, and a box would be one more for each request"
)]
enum Event {
    /// An interim answer (1xx) came.
    Interim(Which),
    Over(Which, Outcome),
    /// The first attempt takes long.
    Delay,
    /// The deadline passed.
    Late,
    /// The client went.
    Gone,
}

impl Exchange<'_> {
    /// Whether the request may be sent twice, as far as is known before it is sent once.
    pub(super) fn is_hedgeable(&self) -> bool {
        self.guard().is_some_and(|guard| guard.hedges())
            && self.head.framing() == Framing::None
            && self.is_idempotent()
            && !self.facts.no_retry
            && !self.head.expect_continue()
            && upgrade(self.head).is_none()
            && !is_grpc(self.head)
    }

    /// The first attempt, up to a head: its own or that of a second one.
    #[expect(
        clippy::too_many_arguments,
        reason = "an exchange's two ends and what is known of them"
    )]
    pub(super) async fn race(
        &mut self,
        service: &ServicePlan,
        endpoint: &Arc<Endpoint>,
        fresh: bool,
        key: Option<u64>,
        down: &mut Peer,
        upload: &Transfer,
        response: &mut ResponseHead,
        timer: &mut Timer,
    ) -> Tried {
        let mut first = self.runner(endpoint, fresh, std::mem::take(response));
        let mut second: Option<Runner> = None;
        let delay = self.guard().and_then(|guard| guard.hedge_delay());
        let mut hedge_at = delay.map(|delay| first.started + delay);
        // The first attempt is out, and `first` is what was the second.
        let mut promoted = false;
        loop {
            let event = poll_fn(|cx| {
                if let Poll::Ready(polled) = first.poll(cx, self) {
                    return Poll::Ready(told(Which::First, polled));
                }
                if let Some(second) = &mut second
                    && let Poll::Ready(polled) = second.poll(cx, self)
                {
                    return Poll::Ready(told(Which::Second, polled));
                }
                if down.poll_gone(cx).is_ready() && !self.outlives(down, false) {
                    return Poll::Ready(Event::Gone);
                }
                match hedge_at.filter(|at| *at < self.deadline) {
                    Some(at) => timer.poll_at(cx, at).map(|()| Event::Delay),
                    None => timer.poll_at(cx, self.deadline).map(|()| Event::Late),
                }
            })
            .await;
            let now = self.thread.clock.now();
            match event {
                Event::Gone => return Tried::Gone,
                Event::Delay => {
                    hedge_at = None;
                    second = self.hedge(service, key, upload);
                }
                Event::Late => {
                    if second.take().is_some() {
                        self.call.end_one(now, Which::Second, AttemptEnd::Cancelled);
                    }
                    if let Stage::Connecting(_) = first.stage {
                        return self.late();
                    }
                    return self.failed(Cause::Timeout, upload);
                }
                Event::Interim(which) => {
                    // Of two services that answer, the client can only be told what one of them says first.
                    let alone = which == Which::First && second.is_none() && !promoted;
                    if alone && first.response.status() != 100 {
                        answer::send_interim(down, self.head, &first.response);
                        let flushed = poll_fn(|cx| Poll::Ready(down.poll_flush(cx))).await;
                        if let Poll::Ready(Err(_)) = flushed {
                            return Tried::Gone;
                        }
                    }
                }
                Event::Over(which, outcome) => {
                    let Some(other) = second.take() else {
                        *response = first.response;
                        let endpoint = first.endpoint;
                        return self.alone(outcome, endpoint, promoted, upload);
                    };
                    let (ended, left) = match which {
                        Which::First => (first, other),
                        Which::Second => (other, first),
                    };
                    match outcome {
                        Outcome::Head { up, sent_at } if ended.response.status() < 500 => {
                            drop(left);
                            let loser = match which {
                                Which::First => Which::Second,
                                Which::Second => Which::First,
                            };
                            self.call.end_one(now, loser, AttemptEnd::Cancelled);
                            *response = ended.response;
                            ended.endpoint.shared.on_head();
                            let other = (which == Which::Second).then_some(ended.endpoint);
                            return Tried::Head { up, sent_at, other };
                        }
                        outcome => {
                            let end = ended.end(outcome, now);
                            self.call.end_one(now, which, end);
                        }
                    }
                    promoted |= which == Which::First;
                    first = left;
                }
            }
        }
    }

    fn runner(&self, endpoint: &Arc<Endpoint>, fresh: bool, response: ResponseHead) -> Runner {
        let (thread, wanted) = (Rc::clone(self.thread), self.wanted());
        let to = Arc::clone(endpoint);
        let connecting = async move { connection(&thread, &to, wanted, fresh).await };
        Runner {
            endpoint: Arc::clone(endpoint),
            started: self.thread.clock.now(),
            stage: Stage::Connecting(Box::pin(connecting)),
            response,
            interim: 0,
        }
    }

    /// A second attempt, if there may be one.
    fn hedge(
        &mut self,
        service: &ServicePlan,
        key: Option<u64>,
        upload: &Transfer,
    ) -> Option<Runner> {
        let now = self.thread.clock.now();
        let (again, plan) = (self.again(upload), Rc::clone(&self.plan));
        let settlement = self.call.settlement();
        let (id, variant) = (settlement.service?, settlement.variant);
        let arm = settlement.endpoint.and_then(|it| plan.arm_at(id, it));
        let chosen = self.call.hedge(now, again, |tried| {
            let choice = plan.choose(id, variant, now, key, tried)?;
            // Where none is up, a second attempt adds to what they can't do. One of another version would be no second
            // attempt at the same.
            let is_same = plan.arm_at(id, choice.endpoint) == arm;
            (!choice.panic && is_same).then_some(choice.endpoint)
        })?;
        let endpoint = service.cluster.endpoints.get(chosen.index())?;
        Some(self.runner(endpoint, false, ResponseHead::default()))
    }

    /// What the only attempt that is left comes to is the request's.
    fn alone(
        &mut self,
        outcome: Outcome,
        endpoint: Arc<Endpoint>,
        promoted: bool,
        upload: &Transfer,
    ) -> Tried {
        let now = self.thread.clock.now();
        match outcome {
            Outcome::Head { up, sent_at } => {
                endpoint.shared.on_head();
                let other = promoted.then_some(endpoint);
                Tried::Head { up, sent_at, other }
            }
            Outcome::ConnectFailed(ConnectError::Full { .. }) => self.full(),
            Outcome::ConnectFailed(error) => {
                tracing::debug!(%error, endpoint = %endpoint.name, "connecting failed");
                let again = self.again(upload);
                Tried::Failed(self.call.on_connect_failed(now, again))
            }
            Outcome::Unsent(Unsent::Closed) | Outcome::Unseen => {
                Tried::Stale(self.call.on_stale(now, true))
            }
            Outcome::Unsent(Unsent::Malformed) => {
                self.call.end_attempt(AttemptEnd::Cancelled);
                Tried::Answer(Answer::of_cause(Cause::BadRequest))
            }
            Outcome::Failed(cause, why) => {
                tracing::debug!(cause = cause.name(), why, endpoint = %endpoint.name, "the attempt failed");
                self.failed(cause, upload)
            }
        }
    }
}

impl Runner {
    /// `None` = an interim answer came; poll on.
    fn poll(&mut self, cx: &mut Context<'_>, exchange: &Exchange<'_>) -> Poll<Option<Outcome>> {
        loop {
            match &mut self.stage {
                Stage::Connecting(connecting) => match ready!(connecting.as_mut().poll(cx)) {
                    Ok(checkout) => match exchange.send(&self.endpoint, checkout) {
                        Ok(up) => {
                            let sent_at = exchange.thread.clock.now();
                            self.stage = Stage::Sent { up, sent_at };
                        }
                        Err(unsent) => return self.over(Outcome::Unsent(unsent)),
                    },
                    Err(error) => return self.over(Outcome::ConnectFailed(error)),
                },
                Stage::Sent { up, .. } => {
                    // A failure to write shows when the head is read; an answer may have come before it.
                    let _flushed = up.poll_flush(cx);
                    let is_head = exchange.head.method() == b"HEAD";
                    let limits = &exchange.plan.plan.head_limits;
                    let fault = match ready!(up.poll_head(cx, is_head, limits, &mut self.response))
                    {
                        Ok(()) if self.response.is_interim() && self.response.status() != 101 => {
                            self.interim += 1;
                            if self.interim <= INTERIM_MAX {
                                return Poll::Ready(None);
                            }
                            HeadFault::Malformed("interim answers without end".to_owned())
                        }
                        Ok(()) => {
                            let over = std::mem::replace(&mut self.stage, Stage::Over);
                            let Stage::Sent { up, sent_at } = over else {
                                return Poll::Pending;
                            };
                            return Poll::Ready(Some(Outcome::Head { up, sent_at }));
                        }
                        Err(fault) => fault,
                    };
                    return self.over(match fault {
                        HeadFault::Unprocessed | HeadFault::Stale => Outcome::Unseen,
                        HeadFault::Closed => {
                            Outcome::Failed(Cause::Reset, "closed before the head".to_owned())
                        }
                        HeadFault::Malformed(why) => Outcome::Failed(Cause::BadResponse, why),
                    });
                }
                // It is taken out of the race as soon as it is over.
                Stage::Over => return Poll::Pending,
            }
        }
    }

    fn over(&mut self, outcome: Outcome) -> Poll<Option<Outcome>> {
        self.stage = Stage::Over;
        Poll::Ready(Some(outcome))
    }

    /// How one of two attempts ended that did not win.
    fn end(&self, outcome: Outcome, now: Instant) -> AttemptEnd {
        match outcome {
            Outcome::Head { sent_at, .. } => {
                self.endpoint.shared.on_head();
                AttemptEnd::Answered {
                    head_after: now - sent_at,
                    status: self.response.status(),
                    busy: is_busy(&self.response),
                }
            }
            // Nothing is wrong with the endpoint.
            Outcome::ConnectFailed(ConnectError::Full { .. }) => AttemptEnd::Cancelled,
            Outcome::ConnectFailed(error) => {
                tracing::debug!(%error, endpoint = %self.endpoint.name, "connecting failed");
                AttemptEnd::ConnectFailed
            }
            Outcome::Unsent(Unsent::Closed) | Outcome::Unseen => AttemptEnd::Stale,
            Outcome::Unsent(Unsent::Malformed) => AttemptEnd::Cancelled,
            Outcome::Failed(cause, why) => {
                tracing::debug!(cause = cause.name(), why, endpoint = %self.endpoint.name, "one of two attempts failed");
                AttemptEnd::Failed {
                    cause,
                    after: now - self.started,
                }
            }
        }
    }
}

fn told(which: Which, polled: Option<Outcome>) -> Event {
    match polled {
        Some(outcome) => Event::Over(which, outcome),
        None => Event::Interim(which),
    }
}
