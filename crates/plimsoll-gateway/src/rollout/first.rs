//! What a request's first attempt says of the version that it was sent to.
//!
//! A retry must not make a version look good, nor a hedge that won at another endpoint; and what is no doing of the
//! service's says nothing.

use std::time::Duration;

use plimsoll_core::EndpointId;
use plimsoll_lifecycle::{AttemptEnd, Settlement};
use plimsoll_measure::{Cause, Origin, Outcome};

/// The first attempt of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    /// Where it went.
    pub(crate) endpoint: EndpointId,
    /// How it ended, if it did before the call. A kept connection that was closed is no end.
    pub(crate) end: Option<AttemptEnd>,
}

/// What it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Came {
    /// The service failed it.
    Bad,
    /// It took this long.
    Good(Duration),
}

impl First {
    /// What it came to, if that was the service's doing.
    pub(crate) fn came(&self, settlement: &Settlement) -> Option<Came> {
        let others = settlement.attempts > 1;
        match self.end {
            Some(AttemptEnd::ConnectFailed | AttemptEnd::Failed { .. }) if others => {
                Some(Came::Bad)
            }
            Some(AttemptEnd::Answered { status, .. }) if others && status >= 500 => Some(Came::Bad),
            // A second one was quicker: it took longer than that at least.
            Some(AttemptEnd::Cancelled) if others && settlement.endpoint != Some(self.endpoint) => {
                let head_at = settlement.head_at?;
                Some(Came::Good(since_admitted(
                    settlement,
                    head_at - settlement.arrived,
                )))
            }
            _ => came_of(settlement),
        }
    }
}

/// The same of a call whose only attempt that counts it was.
fn came_of(settlement: &Settlement) -> Option<Came> {
    let cause = settlement.cause_at_the_service();
    let good = Came::Good(since_admitted(settlement, settlement.latency()));
    match (cause.origin(), cause.outcome()) {
        (Origin::Service, Outcome::Bad) => Some(Came::Bad),
        (Origin::Service, Outcome::Good) => Some(good),
        // It was asked, and said that what is stored is still good.
        _ if cause == Cause::Cached => Some(good),
        _ => None,
    }
}

/// How long a call waits for a permit is the same for both.
fn since_admitted(settlement: &Settlement, latency: Duration) -> Duration {
    latency.saturating_sub(settlement.waited)
}

#[cfg(test)]
mod tests {
    use plimsoll_core::{Class, Instant};

    use super::*;

    const HERE: EndpointId = EndpointId(3);
    const ELSEWHERE: EndpointId = EndpointId(4);

    fn at(millis: u64) -> Instant {
        Instant::ORIGIN + Duration::from_millis(millis)
    }

    fn settled(cause: Cause, attempts: u32, endpoint: EndpointId) -> Settlement {
        Settlement {
            arrived: at(0),
            ended: at(100),
            head_at: Some(at(80)),
            cause,
            instead_of: None,
            class: Class::Standard,
            route: None,
            service: None,
            variant: None,
            endpoint: Some(endpoint),
            attempts,
            waited: Duration::from_millis(30),
        }
    }

    fn came(end: Option<AttemptEnd>, settlement: Settlement) -> Option<Came> {
        First {
            endpoint: HERE,
            end,
        }
        .came(&settlement)
    }

    fn answered(status: u16) -> Option<AttemptEnd> {
        Some(AttemptEnd::Answered {
            head_after: Duration::from_millis(5),
            status,
            busy: false,
        })
    }

    const GOOD: Option<Came> = Some(Came::Good(Duration::from_millis(70)));

    #[test]
    fn a_retry_does_not_make_the_first_attempt_good() {
        for end in [answered(502), Some(AttemptEnd::ConnectFailed)] {
            assert_eq!(
                came(end, settled(Cause::Answered, 2, ELSEWHERE)),
                Some(Came::Bad)
            );
            assert_eq!(
                came(end, settled(Cause::ClientGone, 2, ELSEWHERE)),
                Some(Came::Bad)
            );
        }
    }

    #[test]
    fn what_the_only_attempt_came_to_is_what_the_call_came_to() {
        assert_eq!(came(answered(200), settled(Cause::Answered, 1, HERE)), GOOD);
        assert_eq!(
            came(answered(200), settled(Cause::GrpcStatus, 1, HERE)),
            Some(Came::Bad)
        );
        assert_eq!(
            came(answered(503), settled(Cause::UpstreamStatus, 1, HERE)),
            Some(Came::Bad)
        );
        let stale = Settlement {
            instead_of: Some(Cause::Timeout),
            ..settled(Cause::Stale, 1, HERE)
        };
        assert_eq!(
            came(None, stale),
            Some(Came::Bad),
            "its client knows nothing of it"
        );
        assert_eq!(came(answered(304), settled(Cause::Cached, 1, HERE)), GOOD);
    }

    #[test]
    fn what_was_not_the_service_s_doing_says_nothing() {
        for cause in [
            Cause::ClientGone,
            Cause::Draining,
            Cause::Panic,
            Cause::Bulkhead,
            Cause::RequestLimit,
        ] {
            assert_eq!(
                came(Some(AttemptEnd::Cancelled), settled(cause, 1, HERE)),
                None
            );
        }
    }

    #[test]
    fn a_hedge_that_won_says_that_the_first_took_longer() {
        let end = Some(AttemptEnd::Cancelled);
        let longer = Some(Came::Good(Duration::from_millis(50)));
        assert_eq!(came(end, settled(Cause::Answered, 2, ELSEWHERE)), longer);
        assert_eq!(
            came(answered(200), settled(Cause::Answered, 2, HERE)),
            GOOD,
            "it lost"
        );
    }
}
