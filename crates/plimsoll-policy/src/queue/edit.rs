//! Changes to single messages wherever they stand: a pass over all that are not leased.

use std::collections::HashMap;

use super::message::Message;
use super::run::Edit;
use super::{Handle, Queue};

impl Queue {
    /// Takes a message out from wherever it is, also from its receiver. Takes a pass over the queue unless the message
    /// is leased.
    pub fn remove(&mut self, handle: Handle) -> bool {
        if let Ok(message) = self.let_go(handle, None) {
            self.forget(message);
            return true;
        }
        let removed = self.edit(|other| match other == handle {
            true => Edit::Remove,
            false => Edit::Keep,
        });
        !removed.is_empty()
    }

    /// Messages were moved within the log: puts the new handle in the place of each old one that is not leased, and says
    /// how many there were. Takes a pass over the queue.
    pub fn relocate(&mut self, moves: &HashMap<Handle, Handle>) -> usize {
        let least = moves.keys().min().copied();
        let most = moves.keys().max().copied();
        let (Some(least), Some(most)) = (least, most) else {
            return 0;
        };
        let mut moved = 0;
        self.edit(|handle| {
            // Moves come from a few segments, and so from a few ranges: most messages need no look-up.
            if handle < least || handle > most {
                return Edit::Keep;
            }
            match moves.get(&handle) {
                Some(&new) => {
                    moved += 1;
                    Edit::Replace(new)
                }
                None => Edit::Keep,
            }
        });
        moved
    }

    /// Asks once for each message that is not leased, and returns those that were taken out, which are counted no more.
    /// Lanes come in the order of turns, then groups by name, then what is delayed.
    pub(super) fn edit(&mut self, mut edit: impl FnMut(Handle) -> Edit) -> Vec<Message> {
        let mut removed = Vec::new();
        let mut replaced = Vec::new();
        self.edit_lanes(&mut edit, &mut removed, &mut replaced);
        self.edit_groups(&mut edit, &mut removed, &mut replaced);
        let mut gone = Vec::new();
        for (&key, message) in &mut self.delayed {
            match edit(message.handle) {
                Edit::Keep => {}
                Edit::Remove => gone.push(key),
                Edit::Replace(new) => {
                    replaced.push((message.handle, new));
                    message.handle = new;
                }
            }
        }
        for (due, count) in gone {
            if let Some(message) = self.delayed.remove(&(due, count)) {
                self.delayed_too_long.remove(&(message.at, due, count));
                removed.push(message);
            }
        }
        for message in &removed {
            self.messages = self.messages.saturating_sub(1);
            self.bytes = self.bytes.saturating_sub(message.handle.bytes());
        }
        for &(old, new) in &replaced {
            self.bytes = (self.bytes + new.bytes()).saturating_sub(old.bytes());
        }
        removed
    }

    fn edit_lanes(
        &mut self,
        edit: &mut impl FnMut(Handle) -> Edit,
        removed: &mut Vec<Message>,
        replaced: &mut Vec<(Handle, Handle)>,
    ) {
        let before = replaced.len();
        let keys: Vec<_> = self.lanes.iter().map(|(key, _)| key).collect();
        for key in keys {
            let Some(lane) = self.lanes.get_mut(key) else {
                continue;
            };
            let notes = &mut self.notes;
            lane.edit(|handle, at| {
                let change = edit(handle);
                match change {
                    Edit::Keep => {}
                    Edit::Remove => {
                        let note = notes.remove(&handle);
                        removed.push(Message {
                            handle,
                            at,
                            since: note.map_or(at, |note| note.since),
                            tenant: key.tenant,
                            group: None,
                            attempts: note.map_or(0, |note| note.attempts),
                            priority: key.priority,
                        });
                    }
                    Edit::Replace(new) => replaced.push((handle, new)),
                }
                change
            });
            self.settle_lane(key);
        }
        // All old names go before a new one comes: a new name may be another's old one.
        let moves = replaced.get(before..).unwrap_or_default();
        let moves = moves
            .iter()
            .map(|&(old, new)| (new, self.notes.remove(&old)));
        for (new, note) in moves.collect::<Vec<_>>() {
            if let Some(note) = note {
                self.notes.insert(new, note);
            }
        }
    }

    fn edit_groups(
        &mut self,
        edit: &mut impl FnMut(Handle) -> Edit,
        removed: &mut Vec<Message>,
        replaced: &mut Vec<(Handle, Handle)>,
    ) {
        for name in self.group_names() {
            let Some(group) = self.groups.get_mut(&name) else {
                continue;
            };
            let head = group.line.front().map(|head| head.handle);
            let mut head_gone = false;
            group.line.retain_mut(|waiting| match edit(waiting.handle) {
                Edit::Keep => true,
                Edit::Remove => {
                    head_gone |= Some(waiting.handle) == head;
                    removed.push(waiting.message(name));
                    false
                }
                Edit::Replace(new) => {
                    replaced.push((waiting.handle, new));
                    waiting.handle = new;
                    true
                }
            });
            if head_gone && let Some(due) = group.backoff.take() {
                self.backoffs.remove(&(due, name));
            }
            self.settle_group(name, false);
        }
    }

    /// In order: the table has none.
    pub(super) fn group_names(&self) -> Vec<u128> {
        let mut names: Vec<_> = self.groups.keys().copied().collect();
        names.sort_unstable();
        names
    }
}
