//! How durable queues stand: one line for each that has messages.

use std::cmp::Reverse;

use plimsoll_measure::{QueueView, Snapshot, figure};

use super::look::{Look, clean};

/// How many queues are shown.
const QUEUES: usize = 12;

/// By name; where there are too many, those with the most messages.
pub(super) fn queues(snapshot: &Snapshot, look: Look) -> Vec<String> {
    let all = snapshot.queues.iter().flat_map(|it| &it.queues);
    let mut with: Vec<&QueueView> = all.filter(|it| it.messages() > 0).collect();
    with.sort_by_key(|it| (Reverse(it.messages()), &it.name));
    let more = with.len().saturating_sub(QUEUES);
    with.truncate(QUEUES);
    with.sort_by_key(|it| &it.name);
    let mut lines: Vec<String> = with.into_iter().map(line).collect();
    if more > 0 {
        let more = figure::count(more as u64);
        lines.push(format!("  {more} more queues have messages"));
    }
    lines.iter().map(|it| look.cut(&look.text(it))).collect()
}

fn line(queue: &QueueView) -> String {
    let name = clean(&queue.name);
    let mut line = format!("  queue {name}");
    for (is, mark) in [
        (queue.dead_letters, " (dead letters)"),
        (queue.paused, " (paused)"),
    ] {
        if is {
            line.push_str(mark);
        }
    }
    let [ready, in_flight, delayed] =
        [queue.ready, queue.in_flight, queue.delayed].map(figure::count);
    line.push_str(&format!(
        ": {ready} ready, {in_flight} in flight, {delayed} delayed"
    ));
    if let Some(age) = queue.oldest_age_seconds {
        line.push_str(&format!(", the oldest for {}", figure::duration(age)));
    }
    line
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use plimsoll_measure::QueuesView;

    use super::super::made_up::made_up;
    use super::*;

    fn drawn(queues: Vec<QueueView>) -> String {
        let mut snapshot = made_up();
        snapshot.queues = Some(QueuesView {
            queues,
            ..QueuesView::default()
        });
        super::queues(&snapshot, Look::plain(100)).join("\n")
    }

    fn queue(name: &str, ready: u64) -> QueueView {
        QueueView {
            name: name.to_owned(),
            ready,
            ..QueueView::default()
        }
    }

    #[test]
    fn queues_with_messages_have_a_line_and_dead_letters_a_mark() {
        let mails = QueueView {
            in_flight: 3,
            delayed: 1,
            oldest_age_seconds: Some(250.0),
            ..queue("mails", 1_204)
        };
        let dead = QueueView {
            dead_letters: true,
            oldest_age_seconds: Some(7_200.0),
            ..queue("mails-dead", 2)
        };
        let held = QueueView {
            paused: true,
            in_flight: 1,
            ..queue("a\x1b[2Jb", 0)
        };
        assert_snapshot!(drawn(vec![held, queue("idle", 0), mails, dead]), @r"
          queue a?[2Jb (paused): 0 ready, 1 in flight, 0 delayed
          queue mails: 1,204 ready, 3 in flight, 1 delayed, the oldest for 4m 10s
          queue mails-dead (dead letters): 2 ready, 0 in flight, 0 delayed, the oldest for 2h
        ");
    }

    #[test]
    fn where_there_are_too_many_those_with_the_most_are_shown() {
        let queues = (0..20).map(|it| queue(&format!("q{it:02}"), 20 - it));
        let text = drawn(queues.collect());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), QUEUES + 1);
        assert!(lines[0].starts_with("  queue q00: 20 ready"), "{text}");
        assert!(lines[11].starts_with("  queue q11: 9 ready"), "{text}");
        assert_eq!(lines[12], "  8 more queues have messages");
    }
}
