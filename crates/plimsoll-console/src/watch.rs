//! Pages that are watched: drawn once for all who watch the same one, however many they are.
//!
//! Bound: a page is forgotten with the last who watches it, so there are no more of them than viewers.
//! Invariant: what is drawn for somebody who may change something, where that is offered, is shown to no other.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use plimsoll_measure::Snapshot;

use crate::access::Caller;
use crate::control::Control;
use crate::page::{self, Address, Kept};
use crate::turns::Turns;

/// All pages that are watched.
#[derive(Clone)]
pub(crate) struct Watches(Arc<Mutex<Vec<Weak<Watch>>>>);

impl Watches {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// The page at an address, as a caller sees it; shared with others who watch the same. What somebody may do is all that
    /// is theirs on it.
    pub(crate) fn of(
        &self,
        control: &Arc<dyn Control>,
        turns: &Turns,
        address: Address,
        who: Option<Caller>,
    ) -> Arc<Watch> {
        let who = who.filter(|who| who.operates() && address.has_acts());
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.retain(|it| it.strong_count() > 0);
        let mut known = watches.iter().filter_map(Weak::upgrade);
        if let Some(watch) = known.find(|it| it.address == address && it.who == who) {
            return watch;
        }
        let watch = Arc::new(Watch {
            control: Arc::clone(control),
            turns: turns.clone(),
            address,
            who,
            last: tokio::sync::Mutex::default(),
        });
        watches.push(Arc::downgrade(&watch));
        watch
    }
}

/// A page that is watched.
pub(crate) struct Watch {
    control: Arc<dyn Control>,
    turns: Turns,
    address: Address,
    who: Option<Caller>,
    /// Held while it is drawn: those who come meanwhile wait for what comes of it.
    last: tokio::sync::Mutex<Last>,
}

#[derive(Default)]
struct Last {
    kept: Kept,
    seen: Option<Arc<Seen>>,
}

/// A page as of one snapshot, in the form in which it is sent.
pub(crate) struct Seen {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) sections: Vec<Part>,
}

/// A section of it.
pub(crate) struct Part {
    pub(crate) id: &'static str,
    /// Of its text.
    pub(crate) digest: u64,
    pub(crate) event: String,
}

impl Watch {
    /// How it looks now; `None` where there is nothing to watch any more.
    pub(crate) async fn look(&self) -> Option<Arc<Seen>> {
        let mut last = self.last.lock().await;
        let Last { kept, seen } = &mut *last;
        let now = self.control.snapshot();
        if let Some(seen) = seen.as_ref().filter(|it| Arc::ptr_eq(&it.snapshot, &now)) {
            return Some(Arc::clone(seen));
        }
        let looked = page::look(
            &self.control,
            &self.turns,
            &self.address,
            self.who.as_ref(),
            kept,
        )
        .await;
        let (page, snapshot) = looked.ok()?;
        let sections = page.sections.into_iter().map(|section| {
            let text = section.markup.into_string();
            let mut hasher = DefaultHasher::new();
            text.hash(&mut hasher);
            Part {
                id: section.id,
                digest: hasher.finish(),
                event: event("section", &format!("{}\n{text}", section.id)),
            }
        });
        let drawn = Arc::new(Seen {
            snapshot,
            sections: sections.collect(),
        });
        *seen = Some(Arc::clone(&drawn));
        Some(drawn)
    }
}

/// A message of server-sent events.
pub(crate) fn event(name: &str, data: &str) -> String {
    let mut out = format!("event: {name}");
    // A carriage return would end a line too.
    for line in data.split(['\n', '\r']) {
        out.push_str("\ndata: ");
        out.push_str(line);
    }
    out.push_str("\n\n");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_ends_a_message_early() {
        assert_eq!(
            event("section", "a\n<b>\r\n\nevent: now\ndata: x</b>"),
            "event: section\ndata: a\ndata: <b>\ndata: \ndata: \ndata: event: now\ndata: data: x</b>\n\n"
        );
    }
}
