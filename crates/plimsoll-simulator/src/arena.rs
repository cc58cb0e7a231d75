//! Requests under way, in places that are used again: no allocation per request.
//!
//! Invariant: a place is free again only once both sides are through with its request: the gateway (answered,
//! refused, given up) and the service, which goes on with what the gateway gave up.

use plimsoll_core::Class;
use plimsoll_policy::Ticket;

use crate::agenda::Nanos;

/// Where the gateway is with a request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Stage {
    /// It waits for a permit.
    Waiting(Ticket),
    /// It has one.
    InFlight,
    /// The gateway is through with it; the service may not be.
    Settled,
}

/// One request, as one client sent it once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) arrived: Nanos,
    /// When it got its permit.
    pub(crate) started: Nanos,
    pub(crate) stage: Stage,
    /// Tells the requests apart that had the same place.
    pub(crate) generation: u32,
    pub(crate) tenant: u32,
    pub(crate) thread: u16,
    pub(crate) class: Class,
    pub(crate) group: u8,
    /// How often its client has tried before.
    pub(crate) tries: u8,
    /// Whether the service still has it.
    pub(crate) in_service: bool,
}

/// All requests under way.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    places: Vec<Request>,
    free: Vec<u32>,
    generation: u32,
}

impl Arena {
    /// Puts a request into a free place.
    pub(crate) fn insert(&mut self, mut request: Request) -> u32 {
        self.generation = self.generation.wrapping_add(1);
        request.generation = self.generation;
        if let Some(place) = self.free.pop() {
            *self.at(place) = request;
            return place;
        }
        self.places.push(request);
        (self.places.len() - 1) as u32
    }

    /// The request in a place that was handed out.
    #[expect(
        clippy::indexing_slicing,
        reason = "only places that were handed out come back; a simulator that is wrong is to stop"
    )]
    pub(crate) fn at(&mut self, place: u32) -> &mut Request {
        &mut self.places[place as usize]
    }

    /// Frees the place if both sides are through with its request.
    pub(crate) fn release(&mut self, place: u32) {
        let request = self.at(place);
        if request.stage == Stage::Settled && !request.in_service {
            // A timer of this request must not find the next one.
            request.generation = 0;
            self.free.push(place);
        }
    }
}
