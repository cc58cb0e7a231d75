//! Things that are made before a run and stay: asked for by positions that the simulation gave out itself.

use std::ops::{Index, IndexMut};

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Known<T>(Vec<T>);

impl<T> Known<T> {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

impl<T> FromIterator<T> for Known<T> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self(items.into_iter().collect())
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "only positions that were given out come back; a simulator that is wrong is to stop"
)]
mod index {
    use super::{Index, IndexMut, Known};

    impl<T> Index<usize> for Known<T> {
        type Output = T;

        fn index(&self, position: usize) -> &T {
            &self.0[position]
        }
    }

    impl<T> IndexMut<usize> for Known<T> {
        fn index_mut(&mut self, position: usize) -> &mut T {
            &mut self.0[position]
        }
    }
}
