//! A stored answer, and what of it a client gets: the whole, a part, or that it has it already.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use plimsoll_core::Instant;
use plimsoll_http1::{Field, Fields, Framing, RequestHead, ResponseHead};
use plimsoll_policy::cache::conditional::FIELDS_OF_304;
use plimsoll_policy::cache::range::Part;
use plimsoll_policy::cache::{Freshened, HeadFields, Merged, Received, Stored};

use super::purge::{SurrogateKeys, is_surrogate_key, surrogates};
use super::{Caching, View};
use crate::heads;

/// What an answer takes in memory beside its fields and its body.
const ANSWER_BYTES: usize = 512;
/// What a field takes beside name and value.
const FIELD_BYTES: usize = 24;
/// How often what is given stale is begun to be renewed. A service that is spared since it ails has little to do by one
/// request in so long for each thing that is asked for; and most windows of `stale-while-revalidate` are far longer.
const RENEWED_EVERY: Duration = Duration::from_secs(3);

/// A stored answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) stored: Stored,
    /// Its status and fields, as they came, without those that are not stored.
    pub(crate) head: ResponseHead,
    pub(crate) body: Bytes,
    /// It came over HTTP/2, which `Via` says.
    pub(crate) http2: bool,
    /// By which it is taken out of the store too.
    pub(super) surrogates: SurrogateKeys,
    /// When it was last begun to be renewed with nobody waiting, in nanoseconds; 0: not yet.
    renewed_at: AtomicU64,
}

/// What came of asking whether a stored answer is still good, by a 304.
#[derive(Debug)]
pub(crate) enum Updated {
    /// It is, with new fields.
    Good(Arc<Answer>),
    /// It is for this request, and must not be stored any longer.
    Once,
    /// The 304 is about another answer.
    Other,
}

impl Answer {
    /// Of what came, whole.
    pub(crate) fn new(
        stored: Stored,
        response: &ResponseHead,
        http2: bool,
        body: Bytes,
        surrogates: SurrogateKeys,
    ) -> Self {
        let mut head = ResponseHead::new();
        // A status that came is one.
        let _known = head.set_from_parts(response.status());
        let is_kept =
            |field: &Field<'_>| !stored.withholds(field.name) && !is_surrogate_key(field.name);
        for field in heads::through_the_hop(&response.fields).filter(is_kept) {
            head.fields.push(field.name, field.value);
        }
        Self {
            stored,
            head,
            body,
            http2,
            surrogates,
            renewed_at: AtomicU64::new(0),
        }
    }

    /// Whether it is to be renewed now, as one that was given though stale: not each time that it is given. `spared`: its
    /// service is not to be asked more often than that, however soon what it answers is stale.
    pub(crate) fn begins_renewal(&self, now: Instant, spared: bool) -> bool {
        let last = self.renewed_at.load(Ordering::Relaxed);
        let is_soon = |at| now.since(at) < RENEWED_EVERY;
        let soon = (last > 0 && is_soon(Instant::from_nanos(last)))
            || (spared && is_soon(self.stored.received_at()));
        let (orders, now) = (Ordering::Relaxed, now.as_nanos());
        !soon && (self.renewed_at.compare_exchange(last, now, orders, orders)).is_ok()
    }

    /// Reads a 304 that answers its conditions.
    pub(crate) fn updated(
        &self,
        caching: &Caching,
        response: &ResponseHead,
        received: Received,
    ) -> Updated {
        let mut update = Fields::new();
        for field in heads::through_the_hop(&response.fields) {
            update.push(field.name, field.value);
        }
        let merged = Merged {
            stored: &View(&self.head.fields),
            update: &View(&update),
        };
        let (request, parameters) = (&caching.request, &caching.parameters);
        match self.stored.freshen(request, &merged, received, parameters) {
            Freshened::Updated(stored) => {
                let surrogates = match surrogates(&update) {
                    Some(keys) if keys.is_empty() => self.surrogates.clone(),
                    Some(keys) => keys,
                    None => return Updated::Once,
                };
                let mut head = self.head.clone();
                head.fields.clear();
                for (name, value) in merged.fields() {
                    if !stored.withholds(name) && !is_surrogate_key(name) {
                        head.fields.push(name, value);
                    }
                }
                Updated::Good(Arc::new(Self {
                    stored: *stored,
                    head,
                    body: self.body.clone(),
                    http2: self.http2,
                    surrogates,
                    renewed_at: AtomicU64::new(0),
                }))
            }
            Freshened::Drop(_) => Updated::Once,
            Freshened::Other => Updated::Other,
        }
    }

    /// What it takes in memory.
    pub(crate) fn bytes(&self) -> usize {
        let fields = self.head.fields.iter();
        let fields = fields.map(|field| field.name.len() + field.value.len() + FIELD_BYTES);
        let keys = self.surrogates.iter().map(|key| key.len() + FIELD_BYTES);
        ANSWER_BYTES + fields.sum::<usize>() + keys.sum::<usize>() + self.body.len()
    }

    /// What a `GET` or `HEAD` gets: a head, and a body that is empty for `HEAD`.
    pub(crate) fn reply(&self, request: &RequestHead, now: Instant) -> (ResponseHead, Bytes) {
        let view = View(&request.fields);
        let length = self.body.len() as u64;
        let is_head = request.method() == b"HEAD";
        // Begun anew where it is not the whole: only that has all the fields.
        let mut head = ResponseHead::new();
        let mut body = self.body.clone();
        let part = match is_head {
            true => Part::Whole,
            false => self.stored.part(&view, length),
        };
        if self.stored.is_not_modified(&view) {
            body.clear();
            let _known = head.set_from_parts(304);
            for field in self.head.fields.iter() {
                let is = |name: &str| name.as_bytes().eq_ignore_ascii_case(field.name);
                if FIELDS_OF_304.into_iter().any(is) {
                    head.fields.push(field.name, field.value);
                }
            }
        } else if let Part::Bytes { first, last } = part {
            let _known = head.set_from_parts(206);
            head.fields.clone_from(&self.head.fields);
            let range = format!("bytes {first}-{last}/{length}");
            head.fields.push(b"Content-Range", range.as_bytes());
            // Within the body, whose length is a `usize`.
            body = body.slice(first as usize..last as usize + 1);
            head.set_framing(Framing::Length(body.len() as u64));
        } else if part == Part::Unsatisfiable {
            body.clear();
            let _known = head.set_from_parts(416);
            let range = format!("bytes */{length}");
            head.fields.push(b"Content-Range", range.as_bytes());
            head.set_framing(Framing::Length(0));
        } else if is_head {
            body.clear();
            head.clone_from(&self.head);
            let mut number = itoa::Buffer::new();
            head.fields
                .push(b"Content-Length", number.format(length).as_bytes());
        } else {
            head.clone_from(&self.head);
            if self.stored.status() != 204 {
                head.set_framing(Framing::Length(length));
            }
        }
        let mut age = itoa::Buffer::new();
        let age = age.format(self.stored.age(now).as_secs());
        head.fields.push(b"Age", age.as_bytes());
        (head, body)
    }
}
