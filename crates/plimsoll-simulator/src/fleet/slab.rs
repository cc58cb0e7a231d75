//! Things that come and go, in places that are used again: memory is bounded by what is there at once.

/// See the module's docs.
#[derive(Debug)]
pub(super) struct Slab<T> {
    places: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self {
            places: Vec::new(),
            free: Vec::new(),
        }
    }
}

impl<T> Slab<T> {
    /// Puts something into a free place.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(place) = self.free.pop()
            && let Some(free) = self.places.get_mut(place as usize)
        {
            *free = Some(item);
            return place;
        }
        self.places.push(Some(item));
        (self.places.len() - 1) as u32
    }

    /// What is in a place.
    pub(super) fn get_mut(&mut self, place: u32) -> Option<&mut T> {
        self.places.get_mut(place as usize)?.as_mut()
    }

    /// Takes what is in a place.
    pub(super) fn remove(&mut self, place: u32) -> Option<T> {
        let item = self.places.get_mut(place as usize)?.take()?;
        self.free.push(place);
        Some(item)
    }

    /// Drops what is in a place, where it is: for what is large to move.
    pub(super) fn clear(&mut self, place: u32) {
        if let Some(item) = self.places.get_mut(place as usize)
            && item.is_some()
        {
            *item = None;
            self.free.push(place);
        }
    }

    /// How many things are there.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// All of them, with their places, in the order of these.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        let with_place = self.places.iter().zip(0..);
        with_place.filter_map(|(item, place)| Some((place, item.as_ref()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_used_again_once_it_is_free() {
        let mut slab = Slab::default();
        assert_eq!([slab.insert('a'), slab.insert('b')], [0, 1]);
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.remove(0), None);
        slab.clear(0);
        assert_eq!((slab.insert('c'), slab.insert('d')), (0, 2));
        slab.clear(1);
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &'c'), (2, &'d')]);
    }
}
