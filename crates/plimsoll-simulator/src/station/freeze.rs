//! Times in which nothing is worked on. They may overlap; what is under way goes on after them.
//!
//! Invariant: what is under way is put off by the time that was frozen since it began, and by no more.

use std::collections::BTreeMap;

use crate::agenda::Nanos;

/// See the module's docs.
#[derive(Debug, Default)]
pub(super) struct Freezes {
    until: Nanos,
    /// How long nothing was worked on, up to `until`.
    total: Nanos,
    /// How much of that is in the time that was noted for a request. Absent: nothing was frozen when it began.
    counted: BTreeMap<u32, Nanos>,
}

impl Freezes {
    /// Nothing is worked on from now on, for this long at least.
    pub(super) fn freeze(&mut self, now: Nanos, lasts: Nanos) {
        let until = now.saturating_add(lasts);
        let more = until.saturating_sub(self.until.max(now));
        self.total = self.total.saturating_add(more);
        self.until = until.max(self.until);
    }

    /// Nothing is worked on before this.
    pub(super) fn until(&self) -> Nanos {
        self.until
    }

    /// A request begins: when something is done about it.
    pub(super) fn begin(&mut self, now: Nanos, id: u32) -> Nanos {
        if self.total > 0 {
            self.counted.insert(id, self.total);
        }
        now.max(self.until)
    }

    /// A request would be done: how much longer it takes, if anything was frozen since its time was noted.
    pub(super) fn owes(&mut self, id: u32) -> Option<Nanos> {
        let counted = self.counted.remove(&id).unwrap_or(0);
        let owed = self.total - counted;
        if owed == 0 {
            return None;
        }
        self.counted.insert(id, self.total);
        Some(owed)
    }

    /// All that was under way is gone.
    pub(super) fn forget(&mut self) {
        self.counted.clear();
    }
}
