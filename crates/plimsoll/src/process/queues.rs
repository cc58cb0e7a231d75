//! What becomes of queues is logged and journaled.

use plimsoll_queue::engine::EngineEvent;
use serde_json::json;

use super::Process;

/// How many dead letters of a second have records of their own.
const DEAD_MAX: usize = 10;

impl Process {
    /// To be called each second.
    pub(super) fn tick_queues(&mut self) {
        let events = self.queues.tick();
        let is_dead = |it: &&EngineEvent| matches!(it, EngineEvent::Dead { .. });
        let dead = events.iter().filter(is_dead).count();
        if dead > DEAD_MAX {
            let text = format!("{dead} messages became dead letters within a second");
            let body = json!({ "text": text, "what": "dead-letters", "count": dead });
            tracing::warn!("{text}");
            self.journal.write("queue", "queues", &body);
            self.note(None, text);
        }
        for event in events {
            self.on_queue_event(event, dead <= DEAD_MAX);
        }
    }

    fn on_queue_event(&mut self, event: EngineEvent, each: bool) {
        let (subject, text, body) = match event {
            EngineEvent::Dead { .. } if !each => return,
            EngineEvent::Dead {
                queue,
                to,
                id,
                attempts,
            } => {
                let text = format!(
                    "{queue}: message {id} is a dead letter after {attempts} attempts: it is in {to}"
                );
                let body = json!({
                    "text": text, "what": "dead-letter", "queue": queue, "to": to, "message": id, "attempts": attempts,
                });
                (format!("queue/{queue}"), text, body)
            }
            EngineEvent::Lost(why) => {
                let text = format!("queues: what had been written can't be read any more: {why}");
                let body = json!({ "text": text, "what": "lost" });
                ("queues".to_owned(), text, body)
            }
            EngineEvent::Failed(why) => {
                let text = format!("queues take nothing any more until a restart: {why}");
                let body = json!({ "text": text, "what": "failed" });
                ("queues".to_owned(), text, body)
            }
            EngineEvent::DiskFull(why) => {
                let text = format!("queues: {why}");
                let body = json!({ "text": text, "what": "full" });
                ("queues".to_owned(), text, body)
            }
        };
        tracing::warn!("{text}");
        self.journal.write("queue", &subject, &body);
        self.note(None, text);
    }
}
