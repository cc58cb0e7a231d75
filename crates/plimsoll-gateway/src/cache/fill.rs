//! An answer on its way into the store, while it goes to the client.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use plimsoll_http1::{Framing, Name, ResponseHead};
use plimsoll_policy::cache::{Received, Stored, Vary};

use super::purge::{SurrogateKeys, surrogates};
use super::{Answer, Caching, Lead, View};
use crate::thread::Shared;

/// Why an answer is not stored though it may be: too much is on its way into the store.
pub(crate) const FULL: &str = "full";

/// An answer whose head may be stored. Its body is kept meanwhile; dropping it gives the room back.
#[derive(Debug)]
pub(crate) struct Fill {
    shared: Arc<Shared>,
    stored: Stored,
    reserved: u64,
    /// Others wait for it.
    lead: Option<Lead>,
    surrogates: SurrogateKeys,
}

impl Fill {
    /// Judges a head. `Err`: why it is not stored.
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        caching: &Caching,
        response: &ResponseHead,
        received: Received,
    ) -> Result<Self, &'static str> {
        let length = match response.framing() {
            Framing::Length(length) => Some(length),
            Framing::None | Framing::Chunked => None,
            // Nobody could tell whether it is whole.
            Framing::UntilClose => return Err("until-close"),
        };
        let view = View(&response.fields);
        let stored = Stored::judge(
            &caching.request,
            response.status(),
            &view,
            length,
            received,
            &caching.parameters,
        )
        .map_err(|reason| reason.name())?;
        if varies_by_the_way(stored.vary()) {
            return Err("vary");
        }
        let Some(surrogates) = surrogates(&response.fields) else {
            return Err("surrogate-keys");
        };
        let mut fill = Self {
            shared: Arc::clone(shared),
            stored,
            reserved: 0,
            lead: None,
            surrogates,
        };
        match fill.reserve(length.unwrap_or(0)) {
            true => Ok(fill),
            false => Err(FULL),
        }
    }

    /// What is known of it.
    pub(crate) fn stored(&self) -> &Stored {
        &self.stored
    }

    /// So many bytes are kept; says whether there is room for them.
    pub(crate) fn reserve(&mut self, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.reserved);
        let fits = more == 0 || self.shared.cache.reserve(more);
        if fits {
            self.reserved += more;
        }
        fits
    }

    /// Others wait for it, from its head on.
    pub(crate) fn leads(&mut self, mut lead: Lead, request: &View<'_>) {
        lead.begin(&self.stored, request);
        self.lead = Some(lead);
    }

    /// It is not stored after all: nobody waits for it any more. `lasts`: nor will the next one be.
    pub(crate) fn give_up(&mut self, lasts: bool) {
        match self.lead.take() {
            Some(lead) if lasts => lead.give_up(),
            Some(lead) => lead.release(false),
            None => (),
        }
    }

    /// It has come whole: its body, in one piece.
    pub(crate) fn finish(
        mut self,
        caching: &Caching,
        request: &View<'_>,
        response: &ResponseHead,
        http2: bool,
        pieces: &[Bytes],
    ) -> Bytes {
        // Copied into one piece: those that came hold on to the buffers that they were read into.
        let mut body = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        for piece in pieces {
            body.extend_from_slice(piece);
        }
        let body = body.freeze();
        let keys = std::mem::take(&mut self.surrogates);
        let answer = Answer::new(self.stored.clone(), response, http2, body.clone(), keys);
        store(
            &self.shared,
            self.lead.take(),
            caching,
            request,
            Arc::new(answer),
        );
        body
    }
}

/// Puts an answer into the store, and gives it to those who wait for it.
pub(crate) fn store(
    shared: &Shared,
    lead: Option<Lead>,
    caching: &Caching,
    request: &View<'_>,
    answer: Arc<Answer>,
) {
    let insert = || {
        let answer = Arc::clone(&answer);
        shared
            .cache
            .insert(&caching.key, request, caching.epoch, answer);
    };
    match lead {
        Some(lead) => lead.finish(&answer, insert),
        None => insert(),
    }
}

impl Drop for Fill {
    fn drop(&mut self) {
        self.shared.cache.release(self.reserved);
    }
}

/// Whether answers differ by fields that the service gets from Plimsoll, and not as the client sent them: by these no
/// two requests could be told apart. Scheme and host are in the key.
fn varies_by_the_way(vary: &Vary) -> bool {
    let Vary::Fields(names) = vary else {
        return true;
    };
    names.iter().any(|name| {
        matches!(
            Name::recognise(name),
            Name::XForwardedFor
                | Name::XForwardedPort
                | Name::Forwarded
                | Name::Via
                | Name::XRequestId
                | Name::Traceparent
                | Name::Tracestate
                | Name::Te
                | Name::MaxForwards
                | Name::GrpcTimeout
                | Name::Plimsoll
        )
    })
}
