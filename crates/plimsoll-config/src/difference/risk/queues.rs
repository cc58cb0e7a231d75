//! How much may go wrong because queues are kept in another way.

use super::super::AlterationKind;
use super::{About, Judged, Way, bound, high, low, none, number, way, word};
use crate::node::Value;

/// `[queues]`
pub(super) fn queues(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    match key {
        "listen" if kind == AlterationKind::Added => low("clients reach the queues there"),
        "listen" => high("clients that connect there are refused"),
        "folder" => high(
            "it takes effect with the next start, which knows no message that was kept until then",
        ),
        "disk_max" => bound(about),
        "durability" if word(about.after) == Some("interval") => {
            high("what was acknowledged last may be lost with the power")
        }
        "durability" => low("who sends waits for the disk"),
        "create" if is_false(about) => high("clients can not make, change or remove queues"),
        "create" => low("clients may make, change and remove queues that are not in the file"),
        // The list is compared by its places: with the first it begins or ends.
        "tokens[]" if about.key.ends_with("[1]") => match kind {
            AlterationKind::Added => high("clients of the HTTP API without a token are refused"),
            _ => high("clients of the HTTP API are not asked for a token any more"),
        },
        "tokens[]" if kind == AlterationKind::Added => low("more clients are let in"),
        "keys" if kind == AlterationKind::Added => high("clients that do not sign are refused"),
        "keys" if kind == AlterationKind::Removed => high("nobody is asked for a signature"),
        _ if key.starts_with("tokens") || key.starts_with("keys") => {
            high("clients with what stood there are refused")
        }
        "region" => high("who knows a queue by its ARN does not find it"),
        "url" => low("clients are told other URLs of queues"),
        _ => low("queues are kept in another way"),
    }
}

/// `[queue.NAME]`
pub(super) fn queue(about: &About<'_>, key: &str, kind: AlterationKind) -> Judged {
    match (key, way(about)) {
        ("", _) if kind == AlterationKind::Removed => {
            high("the file does not keep it any more, nor what it is set to")
        }
        ("", _) => low("clients may send to it and receive from it"),
        ("owner", _) => none("no message notices it"),
        ("lease", Way::Lower) => high("what takes longer is delivered to somebody else, too"),
        ("lease", _) => low("what whoever received it does not settle comes back later"),
        // Zero is no bound at all.
        ("attempts_max", Way::Lower) if number(about.after) != Some(0.0) => {
            high("what failed as often is a dead letter")
        }
        ("attempts_max", Way::Higher) if number(about.before) == Some(0.0) => {
            high("what failed as often is a dead letter")
        }
        ("attempts_max", _) => low("what fails is tried more often"),
        ("retention", Way::Lower) => high("older messages are deleted for good"),
        ("retention", _) => low("messages that nobody settles take room for longer"),
        ("dead_letters", _) => high("dead letters go to another queue"),
        ("dedup.window", Way::Lower) => high("what is sent again later is kept twice"),
        ("dedup.by_body", _) if !is_false(about) => {
            high("of messages with the same body only one is kept")
        }
        ("dedup.by_body", _) => high("what is sent again without a key is kept twice"),
        ("messages_max" | "bytes_max" | "message_max", _) => bound(about),
        _ => low("messages are delivered at other times"),
    }
}

fn is_false(about: &About<'_>) -> bool {
    (about.after).is_some_and(|node| matches!(node.value, Value::Bool(false)))
}
