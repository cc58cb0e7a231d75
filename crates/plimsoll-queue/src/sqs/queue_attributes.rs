//! The attributes of a queue: what a caller may set, what is in force, and what is told about it.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::sqs::attributes::{check_characters, shown};
use crate::sqs::{ErrorCode, QueueArn, QueueName, SqsError};

const DELAY_SECONDS: RangeInclusive<u32> = 0..=900;
const MESSAGE_BYTES: RangeInclusive<u32> = 1024..=1024 * 1024;
const RETENTION_SECONDS: RangeInclusive<u32> = 60..=1_209_600;
const WAIT_SECONDS: RangeInclusive<u32> = 0..=20;
const VISIBILITY_SECONDS: RangeInclusive<u32> = 0..=43_200;
const RECEIVES: RangeInclusive<u32> = 1..=1000;
const KEPT_BYTES_MAX: usize = 16 * 1024;

macro_rules! queue_attributes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What can be asked about a queue.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum QueueAttribute { $($(#[doc = $doc])+ $name,)+ }

        impl QueueAttribute {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// Its name in both dialects.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }
        }
    };
}

queue_attributes! {
    /// Kept as text.
    Policy,
    /// How long a message that was handed out stays hidden.
    VisibilityTimeout,
    /// The largest message that is taken.
    MaximumMessageSize,
    /// How long a message is kept.
    MessageRetentionPeriod,
    /// How many messages can be received.
    ApproximateNumberOfMessages,
    /// How many messages are in flight.
    ApproximateNumberOfMessagesNotVisible,
    /// How many messages are not yet due.
    ApproximateNumberOfMessagesDelayed,
    /// When the queue was made.
    CreatedTimestamp,
    /// When its attributes last changed.
    LastModifiedTimestamp,
    /// Its full name.
    QueueArn,
    /// How long a message is held back at first.
    DelaySeconds,
    /// How long a receive waits.
    ReceiveMessageWaitTimeSeconds,
    /// Where messages go that are handed out in vain.
    RedrivePolicy,
    /// Which queues may give up messages to this one; kept as text.
    RedriveAllowPolicy,
    /// Whether it keeps the order of its messages.
    FifoQueue,
    /// Whether the body stands for the deduplication id.
    ContentBasedDeduplication,
    /// `queue` or `messageGroup`.
    DeduplicationScope,
    /// `perQueue` or `perMessageGroupId`.
    FifoThroughputLimit,
    /// Kept as text.
    KmsMasterKeyId,
    /// Kept as text.
    KmsDataKeyReusePeriodSeconds,
    /// Kept as text.
    SqsManagedSseEnabled,
}

impl QueueAttribute {
    fn parse(name: &str) -> Result<Self, SqsError> {
        let unknown = || {
            SqsError::new(
                ErrorCode::InvalidAttributeName,
                format!("Unknown Attribute {}.", shown(name)),
            )
        };
        Self::ALL
            .iter()
            .find(|attribute| attribute.name() == name)
            .copied()
            .ok_or_else(unknown)
    }
}

/// Which attributes `GetQueueAttributes` asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueueAttributeFilter {
    asked: Vec<QueueAttribute>,
}

impl QueueAttributeFilter {
    /// Names as they were sent, `All` among them.
    pub fn new(names: &[String]) -> Result<Self, SqsError> {
        let mut filter = Self::default();
        for name in names {
            match QueueAttribute::parse(name) {
                _ if name == "All" => filter.asked = QueueAttribute::ALL.to_vec(),
                Ok(attribute) if !filter.asks_for(attribute) => filter.asked.push(attribute),
                Ok(_) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(filter)
    }

    /// Whether it asks for that attribute.
    #[must_use]
    pub fn asks_for(&self, attribute: QueueAttribute) -> bool {
        self.asked.contains(&attribute)
    }
}

/// Where messages go that were handed out too often.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RedrivePolicy {
    /// The dead-letter queue.
    pub dead_letter: QueueArn,
    /// After how many receives, 1 to 1000.
    pub receives_max: u32,
}

impl RedrivePolicy {
    fn parse(text: &str) -> Result<Self, SqsError> {
        let expected =
            r#"An object as in {"deadLetterTargetArn": "arn:aws:sqs:...", "maxReceiveCount": 5}"#;
        let refused = || invalid(QueueAttribute::RedrivePolicy, expected);
        let policy: Value = serde_json::from_str(text).map_err(|_| refused())?;
        let arn = policy
            .get("deadLetterTargetArn")
            .and_then(Value::as_str)
            .ok_or_else(refused)?;
        // The count comes as a number or as its text: both are in use.
        let receives = match policy.get("maxReceiveCount") {
            Some(Value::Number(count)) => {
                count.as_u64().and_then(|count| u32::try_from(count).ok())
            }
            Some(Value::String(count)) => whole(count),
            _ => None,
        };
        let receives_max = receives
            .filter(|count| RECEIVES.contains(count))
            .ok_or_else(refused)?;
        Ok(Self {
            dead_letter: QueueArn::parse(arn, "RedrivePolicy").map_err(|_| refused())?,
            receives_max,
        })
    }

    fn text(&self) -> String {
        json!({"deadLetterTargetArn": self.dead_letter.to_string(), "maxReceiveCount": self.receives_max}).to_string()
    }
}

/// What a caller sets. What it did not mention is `None`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct QueueAttributeChanges {
    /// 0-900.
    pub delay_seconds: Option<u32>,
    /// 1024-1048576.
    pub message_bytes_max: Option<u32>,
    /// 60-1209600.
    pub retention_seconds: Option<u32>,
    /// 0-20.
    pub wait_seconds: Option<u32>,
    /// 0-43200.
    pub visibility_seconds: Option<u32>,
    /// `Some(None)` takes the policy away.
    pub redrive: Option<Option<RedrivePolicy>>,
    /// Whether it keeps the order of its messages; cannot be changed later.
    pub fifo: Option<bool>,
    /// Whether the body stands for the deduplication id.
    pub content_based_deduplication: Option<bool>,
    /// What is kept and told, but not acted on. Empty text takes it away.
    pub kept: BTreeMap<QueueAttribute, String>,
}

impl QueueAttributeChanges {
    /// Names and values as they were sent.
    pub fn read(attributes: &BTreeMap<String, String>) -> Result<Self, SqsError> {
        let mut changes = Self::default();
        for (name, value) in attributes {
            let attribute = QueueAttribute::parse(name)?;
            match attribute {
                QueueAttribute::DelaySeconds => {
                    changes.delay_seconds = Some(within(attribute, value, DELAY_SECONDS)?)
                }
                QueueAttribute::MaximumMessageSize => {
                    changes.message_bytes_max = Some(within(attribute, value, MESSAGE_BYTES)?)
                }
                QueueAttribute::MessageRetentionPeriod => {
                    changes.retention_seconds = Some(within(attribute, value, RETENTION_SECONDS)?);
                }
                QueueAttribute::ReceiveMessageWaitTimeSeconds => {
                    changes.wait_seconds = Some(within(attribute, value, WAIT_SECONDS)?);
                }
                QueueAttribute::VisibilityTimeout => {
                    changes.visibility_seconds =
                        Some(within(attribute, value, VISIBILITY_SECONDS)?);
                }
                QueueAttribute::RedrivePolicy if value.is_empty() => changes.redrive = Some(None),
                QueueAttribute::RedrivePolicy => {
                    changes.redrive = Some(Some(RedrivePolicy::parse(value)?))
                }
                QueueAttribute::FifoQueue => changes.fifo = Some(flag(attribute, value)?),
                QueueAttribute::ContentBasedDeduplication => {
                    changes.content_based_deduplication = Some(flag(attribute, value)?);
                }
                QueueAttribute::Policy
                | QueueAttribute::RedriveAllowPolicy
                | QueueAttribute::DeduplicationScope
                | QueueAttribute::FifoThroughputLimit
                | QueueAttribute::KmsMasterKeyId
                | QueueAttribute::KmsDataKeyReusePeriodSeconds
                | QueueAttribute::SqsManagedSseEnabled => {
                    check_kept(attribute, value)?;
                    changes.kept.insert(attribute, value.clone());
                }
                QueueAttribute::ApproximateNumberOfMessages
                | QueueAttribute::ApproximateNumberOfMessagesNotVisible
                | QueueAttribute::ApproximateNumberOfMessagesDelayed
                | QueueAttribute::CreatedTimestamp
                | QueueAttribute::LastModifiedTimestamp
                | QueueAttribute::QueueArn => {
                    let message =
                        format!("Unknown Attribute {name}: it is told and cannot be set.");
                    return Err(SqsError::new(ErrorCode::InvalidAttributeName, message));
                }
            }
        }
        Ok(changes)
    }

    /// Whether a queue of that name may have them: its kind is told twice, and some are of FIFO queues only.
    pub fn check_for(&self, name: &QueueName) -> Result<(), SqsError> {
        if self.fifo.is_some_and(|fifo| fifo != name.is_fifo()) {
            return Err(SqsError::invalid(
                "QueueName",
                "The name of a FIFO queue, and of no other, ends in .fifo",
            ));
        }
        let redrive = self.redrive.iter().flatten();
        if redrive
            .into_iter()
            .any(|policy| policy.dead_letter.name().is_fifo() != name.is_fifo())
        {
            return Err(invalid(
                QueueAttribute::RedrivePolicy,
                "A dead-letter queue is FIFO if its source is, and only then",
            ));
        }
        let scoped = [
            QueueAttribute::DeduplicationScope,
            QueueAttribute::FifoThroughputLimit,
        ];
        let asks_for_fifo = self.content_based_deduplication == Some(true)
            || scoped.iter().any(|name| self.kept.contains_key(name));
        if asks_for_fifo && !name.is_fifo() {
            let message = "ContentBasedDeduplication, DeduplicationScope and FifoThroughputLimit are of FIFO queues.";
            return Err(SqsError::new(ErrorCode::InvalidAttributeName, message));
        }
        Ok(())
    }

    /// The first that the caller mentioned and that is not so: `CreateQueue` of a queue that exists is refused for it.
    #[must_use]
    pub fn differs_from(&self, current: &QueueAttributes) -> Option<QueueAttribute> {
        let other =
            |wanted: Option<u32>, current: u32| wanted.is_some_and(|wanted| wanted != current);
        let deduplication = self.content_based_deduplication;
        let kept = self.kept.iter().find(|(name, value)| {
            current.kept.get(name).map_or("", String::as_str) != value.as_str()
        });
        [
            (
                other(self.delay_seconds, current.delay_seconds),
                QueueAttribute::DelaySeconds,
            ),
            (
                other(self.message_bytes_max, current.message_bytes_max),
                QueueAttribute::MaximumMessageSize,
            ),
            (
                other(self.retention_seconds, current.retention_seconds),
                QueueAttribute::MessageRetentionPeriod,
            ),
            (
                other(self.wait_seconds, current.wait_seconds),
                QueueAttribute::ReceiveMessageWaitTimeSeconds,
            ),
            (
                other(self.visibility_seconds, current.visibility_seconds),
                QueueAttribute::VisibilityTimeout,
            ),
            (
                self.redrive
                    .as_ref()
                    .is_some_and(|wanted| *wanted != current.redrive),
                QueueAttribute::RedrivePolicy,
            ),
            (
                deduplication.is_some_and(|wanted| wanted != current.content_based_deduplication),
                QueueAttribute::ContentBasedDeduplication,
            ),
        ]
        .into_iter()
        .find_map(|(differs, name)| differs.then_some(name))
        .or(kept.map(|(name, _)| *name))
    }
}

/// What is in force for a queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct QueueAttributes {
    /// How long a message is held back at first.
    pub delay_seconds: u32,
    /// The largest message that is taken.
    pub message_bytes_max: u32,
    /// How long a message is kept.
    pub retention_seconds: u32,
    /// How long a receive waits that does not say.
    pub wait_seconds: u32,
    /// How long a message that was handed out stays hidden.
    pub visibility_seconds: u32,
    /// Where messages go that were handed out too often.
    pub redrive: Option<RedrivePolicy>,
    /// Whether the body stands for the deduplication id.
    pub content_based_deduplication: bool,
    /// What is kept and told, but not acted on.
    pub kept: BTreeMap<QueueAttribute, String>,
}

impl Default for QueueAttributes {
    /// The defaults of SQS: no delay, messages of 1 MiB, kept for 4 days, hidden for 30 seconds.
    fn default() -> Self {
        Self {
            delay_seconds: 0,
            message_bytes_max: *MESSAGE_BYTES.end(),
            retention_seconds: 345_600,
            wait_seconds: 0,
            visibility_seconds: 30,
            redrive: None,
            content_based_deduplication: false,
            kept: BTreeMap::new(),
        }
    }
}

/// What the queue itself knows, beside its attributes.
#[derive(Clone, Copy, Debug)]
pub struct QueueFacts<'a> {
    /// The queue's full name.
    pub arn: &'a QueueArn,
    /// How many messages can be received.
    pub visible: u64,
    /// How many messages are in flight.
    pub not_visible: u64,
    /// How many messages are not yet due.
    pub delayed: u64,
    /// When the queue was made, in seconds since the epoch.
    pub created_at: u64,
    /// When its attributes last changed, in seconds since the epoch.
    pub modified_at: u64,
}

impl QueueAttributes {
    /// Sets what the caller mentioned. [`QueueAttributeChanges::check_for`] comes first.
    pub fn apply(&mut self, changes: &QueueAttributeChanges) {
        let set = |field: &mut u32, wanted: Option<u32>| *field = wanted.unwrap_or(*field);
        set(&mut self.delay_seconds, changes.delay_seconds);
        set(&mut self.message_bytes_max, changes.message_bytes_max);
        set(&mut self.retention_seconds, changes.retention_seconds);
        set(&mut self.wait_seconds, changes.wait_seconds);
        set(&mut self.visibility_seconds, changes.visibility_seconds);
        if let Some(redrive) = &changes.redrive {
            self.redrive.clone_from(redrive);
        }
        self.content_based_deduplication = changes
            .content_based_deduplication
            .unwrap_or(self.content_based_deduplication);
        for (&name, value) in &changes.kept {
            if value.is_empty() {
                self.kept.remove(&name);
            } else {
                self.kept.insert(name, value.clone());
            }
        }
    }

    /// What `GetQueueAttributes` answers. Attributes that this queue does not have are left out.
    #[must_use]
    pub fn tell(
        &self,
        facts: &QueueFacts<'_>,
        filter: &QueueAttributeFilter,
    ) -> BTreeMap<QueueAttribute, String> {
        let fifo = facts.arn.name().is_fifo();
        let value = |attribute: QueueAttribute| match attribute {
            QueueAttribute::VisibilityTimeout => Some(self.visibility_seconds.to_string()),
            QueueAttribute::MaximumMessageSize => Some(self.message_bytes_max.to_string()),
            QueueAttribute::MessageRetentionPeriod => Some(self.retention_seconds.to_string()),
            QueueAttribute::ApproximateNumberOfMessages => Some(facts.visible.to_string()),
            QueueAttribute::ApproximateNumberOfMessagesNotVisible => {
                Some(facts.not_visible.to_string())
            }
            QueueAttribute::ApproximateNumberOfMessagesDelayed => Some(facts.delayed.to_string()),
            QueueAttribute::CreatedTimestamp => Some(facts.created_at.to_string()),
            QueueAttribute::LastModifiedTimestamp => Some(facts.modified_at.to_string()),
            QueueAttribute::QueueArn => Some(facts.arn.to_string()),
            QueueAttribute::DelaySeconds => Some(self.delay_seconds.to_string()),
            QueueAttribute::ReceiveMessageWaitTimeSeconds => Some(self.wait_seconds.to_string()),
            QueueAttribute::RedrivePolicy => self.redrive.as_ref().map(RedrivePolicy::text),
            QueueAttribute::FifoQueue => fifo.then(|| "true".to_owned()),
            QueueAttribute::ContentBasedDeduplication => {
                fifo.then(|| self.content_based_deduplication.to_string())
            }
            QueueAttribute::Policy
            | QueueAttribute::RedriveAllowPolicy
            | QueueAttribute::DeduplicationScope
            | QueueAttribute::FifoThroughputLimit
            | QueueAttribute::KmsMasterKeyId
            | QueueAttribute::KmsDataKeyReusePeriodSeconds
            | QueueAttribute::SqsManagedSseEnabled => self.kept.get(&attribute).cloned(),
        };
        filter
            .asked
            .iter()
            .filter_map(|&attribute| Some((attribute, value(attribute)?)))
            .collect()
    }
}

fn check_kept(attribute: QueueAttribute, value: &str) -> Result<(), SqsError> {
    if value.len() > KEPT_BYTES_MAX {
        return Err(invalid(attribute, "At most 16 KiB of text"));
    }
    if check_characters(value).is_err() {
        return Err(invalid(attribute, "Text of the characters of XML 1.0"));
    }
    match attribute {
        _ if value.is_empty() => Ok(()),
        QueueAttribute::Policy | QueueAttribute::RedriveAllowPolicy => {
            let object =
                serde_json::from_str::<Value>(value).is_ok_and(|policy| policy.is_object());
            if object {
                Ok(())
            } else {
                Err(invalid(attribute, "A JSON object"))
            }
        }
        QueueAttribute::SqsManagedSseEnabled => flag(attribute, value).map(|_| ()),
        QueueAttribute::KmsDataKeyReusePeriodSeconds => {
            within(attribute, value, 60..=86_400).map(|_| ())
        }
        QueueAttribute::DeduplicationScope if !matches!(value, "queue" | "messageGroup") => {
            Err(invalid(attribute, "queue or messageGroup"))
        }
        QueueAttribute::FifoThroughputLimit
            if !matches!(value, "perQueue" | "perMessageGroupId") =>
        {
            Err(invalid(attribute, "perQueue or perMessageGroupId"))
        }
        _ if value.chars().any(char::is_control) => {
            Err(invalid(attribute, "Text without control characters"))
        }
        _ => Ok(()),
    }
}

fn within(
    attribute: QueueAttribute,
    value: &str,
    range: RangeInclusive<u32>,
) -> Result<u32, SqsError> {
    let expected = || {
        invalid(
            attribute,
            &format!("A whole number from {} to {}", range.start(), range.end()),
        )
    };
    whole(value)
        .filter(|number| range.contains(number))
        .ok_or_else(expected)
}

/// Digits only: no sign and no space.
fn whole(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())?
}

fn flag(attribute: QueueAttribute, value: &str) -> Result<bool, SqsError> {
    match value {
        _ if value.eq_ignore_ascii_case("true") => Ok(true),
        _ if value.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(invalid(attribute, "true or false")),
    }
}

fn invalid(attribute: QueueAttribute, expected: &str) -> SqsError {
    let message = format!(
        "Invalid value for the parameter {}. Reason: {expected}.",
        attribute.name()
    );
    SqsError::new(ErrorCode::InvalidAttributeValue, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str =
        r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead","maxReceiveCount":5}"#;

    fn changes(pairs: &[(&str, &str)]) -> Result<QueueAttributeChanges, SqsError> {
        let pairs = pairs
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        QueueAttributeChanges::read(&pairs)
    }

    #[test]
    fn numbers_are_within_the_limits_of_sqs() {
        let limits = [
            ("DelaySeconds", "0", "900", "901"),
            ("MaximumMessageSize", "1024", "1048576", "1048577"),
            ("MessageRetentionPeriod", "60", "1209600", "1209601"),
            ("ReceiveMessageWaitTimeSeconds", "0", "20", "21"),
            ("VisibilityTimeout", "0", "43200", "43201"),
        ];
        for (name, least, most, beyond) in limits {
            assert!(
                changes(&[(name, least)]).is_ok() && changes(&[(name, most)]).is_ok(),
                "{name}"
            );
            for bad in [beyond, "", "-1", "+1", "1.5", "x", " 1", "99999999999999"] {
                let code = changes(&[(name, bad)]).unwrap_err().code;
                assert_eq!(code, ErrorCode::InvalidAttributeValue, "{name}={bad}");
            }
        }
        assert!(
            changes(&[("MaximumMessageSize", "1023")]).is_err()
                && changes(&[("MessageRetentionPeriod", "59")]).is_err()
        );
        for unknown in [
            "Nope",
            "QueueArn",
            "ApproximateNumberOfMessages",
            "All",
            "delayseconds",
        ] {
            assert_eq!(
                changes(&[(unknown, "1")]).unwrap_err().code,
                ErrorCode::InvalidAttributeName,
                "{unknown}"
            );
        }
    }

    #[test]
    fn a_redrive_policy_is_read_and_told_back() {
        let as_text = POLICY.replace("5}", "\"5\"}");
        for text in [POLICY, as_text.as_str()] {
            let policy = changes(&[("RedrivePolicy", text)])
                .unwrap()
                .redrive
                .unwrap()
                .unwrap();
            assert_eq!(
                (policy.dead_letter.name().as_str(), policy.receives_max),
                ("dead", 5)
            );
            assert_eq!(policy.text(), POLICY);
        }
        assert_eq!(
            changes(&[("RedrivePolicy", "")]).unwrap().redrive,
            Some(None)
        );
        let zero = POLICY.replace("5}", "0}");
        for bad in [
            "x",
            "[]",
            "{}",
            "null",
            zero.as_str(),
            r#"{"deadLetterTargetArn":"dead","maxReceiveCount":5}"#,
        ] {
            assert_eq!(
                changes(&[("RedrivePolicy", bad)]).unwrap_err().code,
                ErrorCode::InvalidAttributeValue,
                "{bad}"
            );
        }
    }

    #[test]
    fn what_is_set_is_told() {
        let name = QueueName::new("jobs.fifo").unwrap();
        let policy = POLICY.replace(":dead", ":dead.fifo");
        let set = [
            ("DelaySeconds", "5"),
            ("FifoQueue", "true"),
            ("ContentBasedDeduplication", "true"),
            ("RedrivePolicy", policy.as_str()),
            ("Policy", "{}"),
            ("KmsMasterKeyId", "alias/x"),
            ("DeduplicationScope", "messageGroup"),
        ];
        let wanted = changes(&set).unwrap();
        wanted.check_for(&name).unwrap();
        let mut attributes = QueueAttributes::default();
        assert_eq!(
            wanted.differs_from(&attributes),
            Some(QueueAttribute::DelaySeconds)
        );
        attributes.apply(&wanted);
        assert_eq!(wanted.differs_from(&attributes), None);

        let arn = QueueArn::new("eu-west-1", name);
        let facts = QueueFacts {
            arn: &arn,
            visible: 1,
            not_visible: 2,
            delayed: 3,
            created_at: 4,
            modified_at: 5,
        };
        let told = attributes.tell(
            &facts,
            &QueueAttributeFilter::new(&["All".to_owned()]).unwrap(),
        );
        let told: BTreeMap<_, _> = told
            .into_iter()
            .map(|(name, value)| (name.name(), value))
            .collect();
        for (name, value) in set.into_iter().chain([
            ("QueueArn", "arn:aws:sqs:eu-west-1:000000000000:jobs.fifo"),
            ("ApproximateNumberOfMessages", "1"),
            ("ApproximateNumberOfMessagesNotVisible", "2"),
            ("ApproximateNumberOfMessagesDelayed", "3"),
            ("CreatedTimestamp", "4"),
            ("LastModifiedTimestamp", "5"),
            ("MaximumMessageSize", "1048576"),
            ("MessageRetentionPeriod", "345600"),
            ("VisibilityTimeout", "30"),
            ("ReceiveMessageWaitTimeSeconds", "0"),
        ]) {
            assert_eq!(told.get(name).map(String::as_str), Some(value), "{name}");
        }
        let one =
            QueueAttributeFilter::new(&["Policy".to_owned(), "RedriveAllowPolicy".to_owned()])
                .unwrap();
        assert_eq!(attributes.tell(&facts, &one).len(), 1);

        attributes.apply(&changes(&[("Policy", ""), ("RedrivePolicy", "")]).unwrap());
        assert!(attributes.tell(&facts, &one).is_empty() && attributes.redrive.is_none());
        assert_eq!(attributes.delay_seconds, 5);
    }

    #[test]
    fn the_kind_of_a_queue_is_the_one_of_its_name() {
        let (plain, fifo) = (
            QueueName::new("jobs").unwrap(),
            QueueName::new("jobs.fifo").unwrap(),
        );
        assert!(
            changes(&[("FifoQueue", "true")])
                .unwrap()
                .check_for(&plain)
                .is_err()
        );
        assert!(
            changes(&[("FifoQueue", "false")])
                .unwrap()
                .check_for(&fifo)
                .is_err()
        );
        assert!(
            changes(&[("FifoQueue", "false")])
                .unwrap()
                .check_for(&plain)
                .is_ok()
        );
        let deduplicated = changes(&[("ContentBasedDeduplication", "true")]).unwrap();
        assert!(deduplicated.check_for(&fifo).is_ok() && deduplicated.check_for(&plain).is_err());
        let redriven = changes(&[("RedrivePolicy", POLICY)]).unwrap();
        assert!(redriven.check_for(&plain).is_ok() && redriven.check_for(&fifo).is_err());
        for (name, bad) in [
            ("FifoQueue", "yes"),
            ("Policy", "x"),
            ("FifoThroughputLimit", "x"),
            ("DeduplicationScope", "x"),
        ] {
            assert_eq!(
                changes(&[(name, bad)]).unwrap_err().code,
                ErrorCode::InvalidAttributeValue,
                "{name}"
            );
        }
    }
}
