//! The fields of a head, as the cache's decisions read them.

use plimsoll_http1::Fields;
use plimsoll_policy::cache::HeadFields;

/// A view of the codec's fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a>(pub(crate) &'a Fields);

impl HeadFields for View<'_> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|field| (field.name, field.value))
    }
}
