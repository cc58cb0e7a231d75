//! Standard Webhooks 1.0: an id that stays the same however often it is sent, the time of the attempt, and a signature
//! over both and the body.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use aws_lc_rs::{digest, hmac};
use plimsoll_core::Timestamp;
use serde_json::{Value, json};

use super::{Notification, Stage, encode, urgency};

/// What is sent is of one kind of event.
pub(super) fn body(told: &[Notification]) -> Value {
    let first = told.first();
    json!({
        "type": first.map(Notification::event),
        "timestamp": first.map(|it| it.at.to_rfc3339()),
        "data": { "notifications": told.iter().map(notification).collect::<Vec<_>>() },
    })
}

fn notification(it: &Notification) -> Value {
    json!({
        "key": it.key_of_instance(),
        "stage": it.stage.name(),
        "matter": (it.stage != Stage::Test).then(|| it.matter.name()),
        "urgency": urgency(it.urgency),
        "service": it.service,
        "owner": it.owner,
        "objective": it.objective,
        "instance": it.instance,
        "title": it.title,
        "text": it.text,
        "runbook": it.runbook,
        "url": it.url,
        "since": it.since.map(Timestamp::to_rfc3339),
        "at": it.at.to_rfc3339(),
    })
}

pub(super) fn fields(
    key: Option<&[u8]>,
    body: &[u8],
    now: Timestamp,
) -> Vec<(&'static str, String)> {
    // The body has when it was said: two events never have the same, and an event has one however often it is sent.
    let digest = digest::digest(&digest::SHA256, body);
    let id: String = digest
        .as_ref()
        .iter()
        .take(16)
        .fold("msg_".to_owned(), |id, byte| format!("{id}{byte:02x}"));
    let timestamp = now.as_seconds().to_string();
    let signature = key.map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key);
        let signed = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
        format!("v1,{}", encode(hmac::sign(&key, &signed).as_ref()))
    });
    let mut fields = vec![("webhook-id", id), ("webhook-timestamp", timestamp)];
    fields.extend(signature.map(|signature| ("webhook-signature", signature)));
    fields
}

#[cfg(test)]
mod tests {
    use super::super::{Batch, Format};
    use super::*;
    use crate::notify::notification::tests::page;

    fn batch(told: Vec<Notification>) -> Batch {
        Batch {
            notifications: told,
            is_refresh: false,
        }
    }

    #[test]
    fn an_event_has_the_same_id_however_often_it_is_sent_and_another_signature_each_time() {
        let format = Format::Webhook {
            key: Some(b"a key of the tests".to_vec()),
        };
        let sent = |second, told| {
            let now = Timestamp::from_seconds(second);
            format.request("/hook", &batch(vec![told]), now)
        };
        let first = sent(1, page("a", Stage::Firing, 0));
        let again = sent(9, page("a", Stage::Firing, 0));
        let other = sent(9, page("a", Stage::Firing, 1));
        let field = |request: &super::super::Request, name: &str| {
            let mut fields = request.fields.iter();
            let found = fields.find(|(it, _)| *it == name);
            found.map(|(_, value)| value.clone()).unwrap()
        };
        assert_eq!(field(&first, "webhook-id"), field(&again, "webhook-id"));
        assert_ne!(field(&first, "webhook-id"), field(&other, "webhook-id"));
        assert_eq!(field(&again, "webhook-timestamp"), "9");
        let signature = |request| field(request, "webhook-signature");
        assert_ne!(signature(&first), signature(&again));
        assert!(signature(&first).starts_with("v1,"));
        assert_eq!(first.body, again.body);
    }

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // Made with the package `standardwebhooks` of PyPI, version 1.0.1: Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        // .sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 2021-03-03T11:20:14Z, '{"test": 2432232314}').
        let key = super::super::decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signed = b"msg_p5jXN8AQM9LWM0D4loKWxJek.1614265330.{\"test\": 2432232314}";
        let signature = encode(hmac::sign(&key, signed).as_ref());
        assert_eq!(signature, "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_sent() {
        let ended = page("checkout", Stage::Resolved, 60);
        insta::assert_snapshot!(format!("{:#}", body(&[ended])));
    }
}
