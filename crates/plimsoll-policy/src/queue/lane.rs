//! Lanes: what is ready of one tenant at one priority, and whose turn it is among them.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::run::{Edit, Run};
use super::{Handle, Millis};

/// Names a lane.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LaneKey {
    pub(super) priority: u8,
    pub(super) tenant: u64,
}

/// What stands in a lane.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Message(Handle, Millis),
    /// The group's head, whatever that is by then.
    Group(u128),
}

/// A group's place in the line: before the message of the run with this index.
#[derive(Copy, Clone, Debug)]
pub(super) struct Turn {
    pub(super) position: u64,
    pub(super) group: u128,
}

/// First the messages that came back, oldest first; then, in order of arrival, messages and groups' turns.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    returned: VecDeque<(Handle, Millis)>,
    run: Run,
    /// By position.
    turns: VecDeque<Turn>,
    /// What the index of what expires next has for this lane.
    pub(super) bound: Option<Millis>,
}

impl Lane {
    pub(super) fn push(&mut self, handle: Handle, at: Millis) {
        self.run.push(handle, at);
    }

    /// Before all that never left, in order of arrival among those that did.
    pub(super) fn push_returned(&mut self, handle: Handle, at: Millis) {
        let place = self
            .returned
            .partition_point(|&(other, other_at)| (other_at, other) < (at, handle));
        self.returned.insert(place, (handle, at));
    }

    pub(super) fn push_turn(&mut self, group: u128) {
        self.push_turn_at(self.run.end(), group);
    }

    /// Behind all turns there are, and before the message of this index.
    pub(super) fn push_turn_at(&mut self, position: u64, group: u128) {
        let last = self.turns.back().map_or(0, |turn| turn.position);
        let position = position.min(self.run.end()).max(last);
        self.turns.push_back(Turn { position, group });
    }

    pub(super) fn push_turn_first(&mut self, group: u128) {
        let position = self.run.start();
        self.turns.push_front(Turn { position, group });
    }

    pub(super) fn remove_turn(&mut self, group: u128) {
        if let Some(place) = self.turns.iter().position(|turn| turn.group == group) {
            self.turns.remove(place);
        }
    }

    pub(super) fn next(&self) -> Option<Next> {
        if let Some(&(handle, at)) = self.returned.front() {
            return Some(Next::Message(handle, at));
        }
        match (self.turns.front(), self.run.first()) {
            (Some(turn), Some(_)) if turn.position <= self.run.start() => {
                Some(Next::Group(turn.group))
            }
            (Some(turn), None) => Some(Next::Group(turn.group)),
            (_, Some((handle, at))) => Some(Next::Message(handle, at)),
            (None, None) => None,
        }
    }

    pub(super) fn pop(&mut self) -> Option<Next> {
        let next = self.next()?;
        match next {
            Next::Group(_) => drop(self.turns.pop_front()),
            Next::Message(..) if self.returned.pop_front().is_some() => {}
            Next::Message(..) => drop(self.run.pop()),
        }
        Some(next)
    }

    /// The oldest of its own messages, as far as the fronts show.
    pub(super) fn oldest(&self) -> Option<Millis> {
        let returned = self.returned.front().map(|&(_, at)| at);
        let first = self.run.first().map(|(_, at)| at);
        returned.into_iter().chain(first).min()
    }

    /// Takes a message off a front that is not younger than this.
    pub(super) fn pop_not_younger(&mut self, limit: Millis) -> Option<Handle> {
        if let Some(&(handle, at)) = self.returned.front()
            && at <= limit
        {
            self.returned.pop_front();
            return Some(handle);
        }
        let (handle, at) = self.run.first()?;
        if at > limit {
            return None;
        }
        self.run.pop();
        Some(handle)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.returned.is_empty() && self.turns.is_empty() && self.run.live() == 0
    }

    pub(super) fn returned(&self) -> &VecDeque<(Handle, Millis)> {
        &self.returned
    }

    pub(super) fn run(&self) -> &Run {
        &self.run
    }

    pub(super) fn turns(&self) -> &VecDeque<Turn> {
        &self.turns
    }

    /// All in the order in which they go.
    pub(super) fn iter(&self) -> impl Iterator<Item = Next> {
        let returned = self.returned.iter();
        let returned = returned.map(|&(handle, at)| Next::Message(handle, at));
        let mut turns = self.turns.iter().peekable();
        let mut run = self.run.iter().peekable();
        let rest = std::iter::from_fn(move || {
            let before = run.peek().map_or(u64::MAX, |&(index, ..)| index);
            match turns.next_if(|turn| turn.position <= before) {
                Some(turn) => Some(Next::Group(turn.group)),
                None => run.next().map(|(_, handle, at)| Next::Message(handle, at)),
            }
        });
        returned.chain(rest)
    }

    /// Asks once for each of its own messages.
    pub(super) fn edit(&mut self, mut edit: impl FnMut(Handle, Millis) -> Edit) {
        self.returned
            .retain_mut(|(handle, at)| match edit(*handle, *at) {
                Edit::Keep => true,
                Edit::Remove => false,
                Edit::Replace(new) => {
                    *handle = new;
                    true
                }
            });
        self.run.edit(edit);
        if self.run.is_sparse() {
            self.make_anew();
        }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.returned.capacity() * size_of::<(Handle, Millis)>()
            + self.turns.capacity() * size_of::<Turn>()
            + self.run.heap_bytes()
    }

    fn make_anew(&mut self) {
        let mut anew = Run::default();
        let mut turns = self.turns.iter_mut().peekable();
        for (index, handle, at) in self.run.iter() {
            while let Some(turn) = turns.next_if(|turn| turn.position <= index) {
                turn.position = anew.end();
            }
            anew.push(handle, at);
        }
        turns.for_each(|turn| turn.position = anew.end());
        self.run = anew;
    }
}

/// All lanes of a priority that have anything, and the order in which their tenants take turns.
#[derive(Clone, Debug, Default)]
struct Level {
    lanes: HashMap<u64, Lane>,
    /// Each tenant of `lanes` once.
    ring: VecDeque<u64>,
}

/// All lanes.
#[derive(Clone, Debug, Default)]
pub(super) struct Lanes {
    levels: BTreeMap<u8, Level>,
}

impl Lanes {
    pub(super) fn get(&self, key: LaneKey) -> Option<&Lane> {
        self.levels.get(&key.priority)?.lanes.get(&key.tenant)
    }

    pub(super) fn get_mut(&mut self, key: LaneKey) -> Option<&mut Lane> {
        let level = self.levels.get_mut(&key.priority)?;
        level.lanes.get_mut(&key.tenant)
    }

    /// The lane; a new one is last in the ring. The caller puts something in.
    pub(super) fn get_or_new(&mut self, key: LaneKey) -> &mut Lane {
        let level = self.levels.entry(key.priority).or_default();
        level.lanes.entry(key.tenant).or_insert_with(|| {
            level.ring.push_back(key.tenant);
            Lane::default()
        })
    }

    /// Takes a lane away.
    pub(super) fn remove(&mut self, key: LaneKey) -> Option<Lane> {
        let level = self.levels.get_mut(&key.priority)?;
        let lane = level.lanes.remove(&key.tenant)?;
        // The tenant that had its turn last is where most lanes come to their end.
        if level.ring.back() == Some(&key.tenant) {
            level.ring.pop_back();
        } else if let Some(place) = level.ring.iter().position(|&tenant| tenant == key.tenant) {
            level.ring.remove(place);
        }
        if level.lanes.is_empty() {
            self.levels.remove(&key.priority);
        }
        Some(lane)
    }

    /// What each priority would give next, highest priority first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (LaneKey, Next)> {
        self.levels.iter().rev().filter_map(|(&priority, level)| {
            let tenant = *level.ring.front()?;
            let next = level.lanes.get(&tenant)?.next()?;
            Some((LaneKey { priority, tenant }, next))
        })
    }

    /// Takes what a candidate showed, and gives the turn to the next tenant. The lane may be empty after it.
    pub(super) fn pop(&mut self, key: LaneKey) -> Option<Next> {
        let level = self.levels.get_mut(&key.priority)?;
        let next = level.lanes.get_mut(&key.tenant)?.pop()?;
        if level.ring.front() == Some(&key.tenant) {
            level.ring.rotate_left(1);
        }
        Some(next)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.levels.is_empty()
    }

    /// Highest priority first, tenants in the order of their turns.
    pub(super) fn iter(&self) -> impl Iterator<Item = (LaneKey, &Lane)> {
        self.levels.iter().rev().flat_map(|(&priority, level)| {
            level.ring.iter().filter_map(move |&tenant| {
                let lane = level.lanes.get(&tenant)?;
                Some((LaneKey { priority, tenant }, lane))
            })
        })
    }

    /// The lanes of each priority, highest first.
    pub(super) fn by_priority(&self) -> impl Iterator<Item = Vec<(LaneKey, &Lane)>> {
        self.levels.keys().rev().map(|&priority| {
            let lanes = self.iter().filter(|(key, _)| key.priority == priority);
            lanes.collect()
        })
    }

    pub(super) fn clear(&mut self) {
        self.levels.clear();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        let levels = self.levels.values();
        levels
            .map(|level| {
                let lanes: usize = level.lanes.values().map(Lane::heap_bytes).sum();
                lanes
                    + level.lanes.capacity() * (size_of::<(u64, Lane)>() + 1)
                    + level.ring.capacity() * size_of::<u64>()
            })
            .sum()
    }
}
