//! What is to happen in a run.

use crate::agenda::Work;

/// A request, told apart from those that had its place before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestId {
    pub(super) place: u32,
    pub(super) generation: u32,
}

/// What is to happen. What is named by a number is at that position of its list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    /// An endpoint is through with an attempt.
    Work(Work),
    /// At an endpoint that works on all at once, an attempt may be done.
    Shared { site: u32 },
    /// An endpoint that is gone has refused an attempt's connection.
    Refused { attempt: u32 },
    /// A call has ended that an endpoint made for an attempt.
    Called { attempt: u32, good: bool },
    /// An endpoint hangs up on a call.
    HangUp(RequestId),
    /// A request that was late on its way is at its endpoint.
    Deliver { attempt: u32 },
    /// An answer that was late on its way is at its gateway.
    Reply { attempt: u32, good: bool },
    /// An endpoint needs more memory than there is.
    Kill { site: u32 },
    /// The pause before the next attempt is over.
    Retry(RequestId),
    /// A thread of a gateway was woken: a permit may be free.
    Wake { thread: u32, service: u16 },
    /// Heads of a thread's queue may be too old.
    Expire { thread: u32, service: u16 },
    /// A client comes. Void if its load has changed since.
    Arrive { workload: u16, version: u32 },
    /// A load changes. Void if it has changed since.
    Load { workload: u16, version: u32 },
    /// A client comes again.
    Again { user: u32 },
    /// One of a population wants something.
    Want { member: u32 },
    /// A gateway's guards are ticked.
    Tick { gateway: u32 },
    /// A gateway's view of endpoints is ticked.
    Health { gateway: u32 },
    /// A second of a gateway's governor is over.
    Govern { gateway: u32 },
    /// A second is over.
    Sample,
    /// A second is over of what the first gateway's process remembers.
    Remember,
    /// A fault begins.
    Begin { fault: u32 },
    /// A fault ends.
    End { fault: u32 },
    /// A phase begins; the one after the last is the end of all arrivals.
    Phase { phase: u32 },
}

impl From<Work> for Event {
    fn from(work: Work) -> Self {
        Self::Work(work)
    }
}
