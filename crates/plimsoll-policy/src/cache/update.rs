//! What a 304 does to a stored answer (RFC 9111 section 4.3.4).

use super::CacheParameters;
use super::entity_tag::EntityTag;
use super::fields::{HeadFields, has, single};
use super::freshness::Received;
use super::request::CacheRequest;
use super::stored::{NotStored, Stored};

/// Fields of the stored answer that an update leaves as they are (section 3.2): they describe the body that is stored.
const OF_THE_BODY: [&str; 4] = [
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
];
/// Fields of the stored answer that are taken out even where the update has none: they say when it was made.
const OF_THE_ANSWER: [&str; 2] = ["age", "date"];

/// What is to be done with a stored answer after an update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshened {
    /// It is good: answer with it, and store it with the fields of [`Merged`].
    Updated(Box<Stored>),
    /// It is good for this request, and must not be stored any longer.
    Drop(NotStored),
    /// The update is about another one: take it out, and ask again without conditions.
    Other,
}

/// The stored answer's fields, updated.
#[derive(Clone, Copy, Debug)]
pub struct Merged<'a, S: ?Sized, U: ?Sized> {
    /// Those that are stored.
    pub stored: &'a S,
    /// Those of the update.
    pub update: &'a U,
}

impl<S: HeadFields + ?Sized, U: HeadFields + ?Sized> HeadFields for Merged<'_, S, U> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let kept = self.stored.fields().filter(|(name, _)| {
            let is_replaced = is_updated(name)
                && (self.update.fields()).any(|(other, _)| other.eq_ignore_ascii_case(name));
            !is_replaced && !is_one_of(&OF_THE_ANSWER, name)
        });
        kept.chain(self.update.fields().filter(|(name, _)| is_updated(name)))
    }
}

impl Stored {
    /// Judges a 304 that answered [`Stored::conditions`]. `merged` are the fields that came of it, without those of
    /// its connection.
    pub fn freshen<S: HeadFields, U: HeadFields>(
        &self,
        request: &CacheRequest,
        merged: &Merged<'_, S, U>,
        received: Received,
        parameters: &CacheParameters,
    ) -> Freshened {
        if !self.is_meant(merged.update) {
            return Freshened::Other;
        }
        match Self::judge(request, self.status, merged, None, received, parameters) {
            Ok(stored) => Freshened::Updated(Box::new(stored)),
            Err(reason) => Freshened::Drop(reason),
        }
    }

    /// Whether a 304 is about this one: by its tag, else by its date. One with neither answers the one question that was
    /// asked.
    fn is_meant(&self, update: &impl HeadFields) -> bool {
        if has(update, "etag") {
            let new = single(update, "etag").and_then(EntityTag::parse);
            return match (new, self.entity_tag()) {
                (Some(new), Some(own)) if new.is_strong() && own.is_strong() => {
                    new.is_strongly(own)
                }
                (Some(new), Some(own)) => new.is_weakly(own),
                _ => false,
            };
        }
        // A tag that was asked by and a date that is another: the tag has answered.
        self.entity_tag().is_some()
            || !has(update, "last-modified")
            || single(update, "last-modified") == self.last_modified_value()
    }
}

fn is_updated(name: &[u8]) -> bool {
    !is_one_of(&OF_THE_BODY, name)
}

fn is_one_of(names: &[&str], name: &[u8]) -> bool {
    names
        .iter()
        .any(|other| other.as_bytes().eq_ignore_ascii_case(name))
}
