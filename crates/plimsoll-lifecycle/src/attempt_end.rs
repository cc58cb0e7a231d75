//! What the end of an attempt says about its endpoint, to health and to the balancer.
//!
//! Gateway and simulator say it in the same words, so that both judge endpoints alike.

use std::time::Duration;

use plimsoll_core::{EndpointId, Instant};
use plimsoll_measure::Cause;
use plimsoll_policy::{Balancer, EndKind, Ended, EndpointShared};

use crate::AttemptEnd;

/// An attempt ended that began in `generation` ([`EndpointShared::begin`]), and [`EndpointShared::end`] was called.
pub fn report_attempt_end(
    now: Instant,
    id: EndpointId,
    endpoint: &EndpointShared,
    balancer: &mut Balancer,
    generation: u32,
    end: AttemptEnd,
) {
    let ended = |kind: EndKind, latency: Duration| {
        endpoint.on_attempt_end(Ended {
            kind,
            latency,
            generation,
        });
    };
    match end {
        AttemptEnd::Answered {
            head_after,
            busy,
            status,
        } => {
            if status < 500 {
                balancer.on_response(id, head_after, now);
                ended(EndKind::Answered, head_after);
            } else if busy {
                // Full is not ill: how much it is sent is the limiter's business.
                ended(EndKind::Busy, head_after);
            } else {
                balancer.on_failure(id, now);
                ended(EndKind::Failed, head_after);
            }
        }
        AttemptEnd::Failed { cause, after } => {
            balancer.on_failure(id, now);
            let kind = match cause {
                Cause::Timeout => EndKind::Timeout,
                _ => EndKind::Failed,
            };
            ended(kind, after);
        }
        AttemptEnd::ConnectFailed => balancer.on_failure(id, now),
        AttemptEnd::Stale | AttemptEnd::Cancelled => (),
    }
}
