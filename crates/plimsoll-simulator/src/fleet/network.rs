//! What lies between gateways and endpoints, where messages get lost: TCP sends them again, so that they are late.
//!
//! A gateway keeps its connections: a request is one message, its answer another. Behind a partition they are not used, and new
//! ones are tried until the gateway's own deadline. Units: nanoseconds.

use crate::agenda::Nanos;

/// How long TCP waits before it sends again. RFC 6298 says a second at least; Linux waits for this (`TCP_RTO_MIN`).
pub(super) const RESEND: Nanos = 200_000_000;
/// The same for the first message of a connection, of which no round trip is known (RFC 6298, 2.1).
pub(super) const RESEND_FIRST: Nanos = 1_000_000_000;
/// The pause is twice as long each time (RFC 6298, 5.5), up to this on Linux (`TCP_RTO_MAX`).
const RESEND_MAX: Nanos = 120_000_000_000;
/// So often Linux sends again (`tcp_retries2`): after a quarter of an hour nobody waits for it.
const RESENDS: u32 = 15;

/// When a message is there that is sent now, if one that is sent at a time `passes` or not.
pub(super) fn arrival(now: Nanos, resend: Nanos, mut passes: impl FnMut(Nanos) -> bool) -> Nanos {
    let (mut at, mut pause) = (now, resend);
    for _ in 0..RESENDS {
        if passes(at) {
            break;
        }
        at += pause;
        pause = (pause * 2).min(RESEND_MAX);
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agenda::SECOND;
    use crate::random::Stream;

    #[test]
    fn a_lost_message_is_sent_again_after_twice_the_pause_each_time() {
        let sent_at = |needs: u32| {
            let mut sent = 0;
            let at = arrival(5 * SECOND, RESEND, |_| {
                sent += 1;
                sent > needs
            });
            (at - 5 * SECOND) / 1_000_000
        };
        assert_eq!([0, 1, 2, 3].map(sent_at), [0, 200, 600, 1_400]);
        // 200 ms doubled nine times are 102.4 s; the pauses after that are of 120 s.
        assert_eq!(sent_at(u32::MAX), 200 * 1_023 + 5 * 120_000);
    }

    #[test]
    fn messages_are_late_by_the_mean_that_their_loss_makes() {
        // The sum of 200 ms * 2^(k-1) * share^k over k.
        for share in [0.02, 0.1, 0.25] {
            let mut random = Stream::new(1, "test");
            let messages = 400_000;
            let late = (0..messages).map(|_| arrival(0, RESEND, |_| !random.chance(share)));
            let mean = late.sum::<Nanos>() as f64 / f64::from(messages) / 1e6;
            let expected = 200.0 * share / (1.0 - 2.0 * share);
            assert!((mean / expected - 1.0).abs() < 0.05, "{mean}, {expected}");
        }
    }
}
