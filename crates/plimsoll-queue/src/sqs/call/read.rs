//! From the name of an action and its arguments to a call.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::sqs::attributes::{MESSAGE_BYTES_MAX, check_characters, check_names, shown};
use crate::sqs::call::arguments::Arguments;
use crate::sqs::encoding::from_base64;
use crate::sqs::{
    AttributeValue, BatchEntry, Call, ErrorCode, Message, MessageAttribute, MessageAttributeFilter,
    MessageAttributes, QueueArn, QueueAttributeChanges, QueueAttributeFilter, QueueName, Receive,
    SqsError, SystemAttributeFilter, TRACE_HEADER, VisibilityChange,
};

const BATCH_ENTRIES_MAX: usize = 10;
const BATCH_ID_BYTES_MAX: usize = 80;
const RECEIVE_MAX: RangeInclusive<u32> = 1..=10;
const LIST_MAX: RangeInclusive<u32> = 1..=1000;
const TASKS_MAX: RangeInclusive<u32> = 1..=10;
const MOVES_PER_SECOND: RangeInclusive<u32> = 1..=500;
const DELAY_SECONDS: RangeInclusive<u32> = 0..=900;
const WAIT_SECONDS: RangeInclusive<u32> = 0..=20;
const VISIBILITY_SECONDS: RangeInclusive<u32> = 0..=43_200;
const GROUP_BYTES_MAX: usize = 128;
const HANDLE_BYTES_MAX: usize = 1024;
const TRACE_BYTES_MAX: usize = 1024;
const NAMES_MAX: usize = 100;
const TAGS_MAX: usize = 50;
const TAG_KEY_CHARACTERS_MAX: usize = 128;
const TAG_VALUE_CHARACTERS_MAX: usize = 256;

impl Call {
    /// The path of the request stands for the queue where no `QueueUrl` is given: SDKs of old post to the queue's own URL.
    pub(crate) fn read(
        action: &str,
        mut arguments: Arguments,
        path: &str,
    ) -> Result<Self, SqsError> {
        let from = &mut arguments;
        Ok(match action {
            "CreateQueue" => {
                let name = QueueName::new(&from.required("QueueName")?)?;
                let attributes =
                    QueueAttributeChanges::read(&from.text_map("Attributes", NAMES_MAX)?)?;
                attributes.check_for(&name)?;
                // This one action has its tags in lower case.
                let mut tags = tags(from, "tags")?;
                tags.extend(self::tags(from, "Tags")?);
                Self::CreateQueue {
                    name,
                    attributes,
                    tags,
                }
            }
            "GetQueueUrl" => Self::GetQueueUrl {
                name: QueueName::new(&from.required("QueueName")?)?,
            },
            "ListQueues" => {
                let prefix = from.text("QueueNamePrefix")?.unwrap_or_default();
                if prefix.len() > 80 {
                    return Err(SqsError::invalid(
                        "QueueNamePrefix",
                        "Must be at most 80 characters",
                    ));
                }
                Self::ListQueues {
                    prefix,
                    max: from.whole("MaxResults", LIST_MAX)?,
                    token: token(from)?,
                }
            }
            "DeleteQueue" => Self::DeleteQueue {
                queue: queue(from, path)?,
            },
            "GetQueueAttributes" => {
                let names = QueueAttributeFilter::new(&from.texts("AttributeNames", NAMES_MAX)?)?;
                Self::GetQueueAttributes {
                    queue: queue(from, path)?,
                    names,
                }
            }
            "SetQueueAttributes" => {
                let queue = queue(from, path)?;
                let attributes = from.text_map("Attributes", NAMES_MAX)?;
                if attributes.is_empty() {
                    return Err(SqsError::missing("Attributes"));
                }
                let attributes = QueueAttributeChanges::read(&attributes)?;
                attributes.check_for(&queue)?;
                Self::SetQueueAttributes { queue, attributes }
            }
            "PurgeQueue" => Self::PurgeQueue {
                queue: queue(from, path)?,
            },
            "SendMessage" => {
                let queue = queue(from, path)?;
                let message = message(from, queue.is_fifo())?;
                if message.size() > MESSAGE_BYTES_MAX {
                    let reason = format!(
                        "One or more parameters are invalid. Reason: Message must be at most {MESSAGE_BYTES_MAX} bytes."
                    );
                    return Err(SqsError::new(ErrorCode::InvalidParameterValue, reason));
                }
                Self::SendMessage { queue, message }
            }
            "SendMessageBatch" => {
                let queue = queue(from, path)?;
                let fifo = queue.is_fifo();
                let entries = batch(from, |entry| message(entry, fifo))?;
                let size = entries
                    .iter()
                    .filter_map(|entry| entry.item.as_ref().ok())
                    .map(Message::size)
                    .sum::<usize>();
                if size > MESSAGE_BYTES_MAX {
                    let message = format!(
                        "Batch requests cannot be longer than {MESSAGE_BYTES_MAX} bytes. You have sent {size} bytes."
                    );
                    return Err(SqsError::new(ErrorCode::BatchRequestTooLong, message));
                }
                Self::SendMessageBatch { queue, entries }
            }
            "ReceiveMessage" => Self::ReceiveMessage {
                queue: queue(from, path)?,
                receive: receive(from)?,
            },
            "DeleteMessage" => Self::DeleteMessage {
                queue: queue(from, path)?,
                receipt: receipt(from)?,
            },
            "DeleteMessageBatch" => Self::DeleteMessageBatch {
                queue: queue(from, path)?,
                entries: batch(from, receipt)?,
            },
            "ChangeMessageVisibility" => Self::ChangeMessageVisibility {
                queue: queue(from, path)?,
                change: visibility_change(from)?,
            },
            "ChangeMessageVisibilityBatch" => Self::ChangeMessageVisibilityBatch {
                queue: queue(from, path)?,
                entries: batch(from, visibility_change)?,
            },
            "ListDeadLetterSourceQueues" => {
                let max = from.whole("MaxResults", LIST_MAX)?;
                Self::ListDeadLetterSourceQueues {
                    queue: queue(from, path)?,
                    max,
                    token: token(from)?,
                }
            }
            "StartMessageMoveTask" => Self::StartMessageMoveTask {
                source: QueueArn::parse(&from.required("SourceArn")?, "SourceArn")?,
                destination: match from.text("DestinationArn")? {
                    Some(arn) => Some(QueueArn::parse(&arn, "DestinationArn")?),
                    None => None,
                },
                messages_per_second_max: from
                    .whole("MaxNumberOfMessagesPerSecond", MOVES_PER_SECOND)?,
            },
            "ListMessageMoveTasks" => Self::ListMessageMoveTasks {
                source: QueueArn::parse(&from.required("SourceArn")?, "SourceArn")?,
                max: from.whole("MaxResults", TASKS_MAX)?.unwrap_or(1),
            },
            "CancelMessageMoveTask" => Self::CancelMessageMoveTask {
                task: handle(from, "TaskHandle", ErrorCode::InvalidParameterValue)?,
            },
            "TagQueue" => {
                let queue = queue(from, path)?;
                let tags = tags(from, "Tags")?;
                if tags.is_empty() {
                    return Err(SqsError::missing("Tags"));
                }
                Self::TagQueue { queue, tags }
            }
            "UntagQueue" => {
                let queue = queue(from, path)?;
                let keys = from.texts("TagKeys", TAGS_MAX)?;
                if keys.is_empty() {
                    return Err(SqsError::missing("TagKeys"));
                }
                Self::UntagQueue { queue, keys }
            }
            "ListQueueTags" => Self::ListQueueTags {
                queue: queue(from, path)?,
            },
            "AddPermission" | "RemovePermission" => {
                let message = "Permissions go with access keys here, and not with queues.";
                return Err(SqsError::new(ErrorCode::UnsupportedOperation, message));
            }
            "" => {
                return Err(SqsError::new(
                    ErrorCode::MissingAction,
                    "The request must name an action.",
                ));
            }
            _ => {
                let message = format!(
                    "The action {} is not valid for this endpoint.",
                    shown(action)
                );
                return Err(SqsError::new(ErrorCode::InvalidAction, message));
            }
        })
    }
}

fn queue(from: &mut Arguments, path: &str) -> Result<QueueName, SqsError> {
    match from.text("QueueUrl")? {
        Some(url) => QueueName::from_url(&url),
        None if path.trim_matches('/').is_empty() => Err(SqsError::missing("QueueUrl")),
        None => QueueName::from_url(path),
    }
}

fn message(from: &mut Arguments, fifo: bool) -> Result<Message, SqsError> {
    let body = from.required("MessageBody")?;
    check_characters(&body)?;
    let delay = from.whole("DelaySeconds", DELAY_SECONDS)?;
    let group = bounded(from, "MessageGroupId")?;
    let deduplication = bounded(from, "MessageDeduplicationId")?;
    if fifo && group.is_none() {
        return Err(SqsError::missing("MessageGroupId"));
    }
    if fifo && delay.is_some_and(|delay| delay > 0) {
        return Err(SqsError::invalid(
            "DelaySeconds",
            "A FIFO queue has one delay for all of its messages",
        ));
    }
    if !fifo && deduplication.is_some() {
        return Err(SqsError::invalid(
            "MessageDeduplicationId",
            "Only FIFO queues take this parameter",
        ));
    }
    let attributes = attributes(from, "MessageAttributes")?;
    check_names(&attributes)?;
    Ok(Message {
        body,
        delay,
        attributes,
        trace_header: trace_header(from)?,
        group,
        deduplication,
    })
}

fn attributes(from: &mut Arguments, name: &str) -> Result<MessageAttributes, SqsError> {
    let mut attributes = MessageAttributes::new();
    for (name, mut value) in from.objects(name)? {
        let data_type = value.text("DataType")?;
        let text = value.text("StringValue")?;
        let bytes = match value.text("BinaryValue")? {
            Some(coded) => Some(
                from_base64(&coded)
                    .ok_or_else(|| SqsError::invalid("BinaryValue", "Must be in base64"))?,
            ),
            None => None,
        };
        // Some SDKs send the other value along, empty.
        let binary = data_type
            .as_deref()
            .is_some_and(|kind| kind.starts_with("Binary"));
        let text = text.filter(|text| !(binary && text.is_empty()));
        let bytes = bytes.filter(|bytes| binary || !bytes.is_empty());
        let attribute = MessageAttribute::read(&name, data_type, text, bytes)?;
        attributes.insert(name, attribute);
    }
    Ok(attributes)
}

fn trace_header(from: &mut Arguments) -> Result<Option<String>, SqsError> {
    let mut header = None;
    for (name, attribute) in attributes(from, "MessageSystemAttributes")? {
        header = match attribute.value {
            AttributeValue::Text(text)
                if name == TRACE_HEADER
                    && attribute.data_type == "String"
                    && text.len() <= TRACE_BYTES_MAX =>
            {
                Some(text)
            }
            _ => {
                return Err(SqsError::invalid(
                    "MessageSystemAttributes",
                    "May have AWSTraceHeader, of type String",
                ));
            }
        };
    }
    Ok(header)
}

/// An id of a group, of a deduplication or of an attempt.
fn bounded(from: &mut Arguments, name: &str) -> Result<Option<String>, SqsError> {
    let id = from.text(name)?;
    let allowed = |id: &String| {
        !id.is_empty()
            && id.len() <= GROUP_BYTES_MAX
            && id.bytes().all(|byte| byte.is_ascii_graphic())
    };
    if id.as_ref().is_some_and(|id| !allowed(id)) {
        return Err(SqsError::invalid(
            name,
            "Must be 1 to 128 letters, digits and punctuation",
        ));
    }
    Ok(id)
}

fn receive(from: &mut Arguments) -> Result<Receive, SqsError> {
    // Both lists are in use: the first is the name of old.
    let mut system = from.texts("AttributeNames", NAMES_MAX)?;
    system.extend(from.texts("MessageSystemAttributeNames", NAMES_MAX)?);
    Ok(Receive {
        max: from.whole("MaxNumberOfMessages", RECEIVE_MAX)?.unwrap_or(1),
        visibility: from.whole("VisibilityTimeout", VISIBILITY_SECONDS)?,
        wait: from.whole("WaitTimeSeconds", WAIT_SECONDS)?,
        message_attributes: MessageAttributeFilter::new(
            from.texts("MessageAttributeNames", NAMES_MAX)?,
        )?,
        system_attributes: SystemAttributeFilter::new(&system)?,
        attempt: bounded(from, "ReceiveRequestAttemptId")?,
    })
}

fn receipt(from: &mut Arguments) -> Result<String, SqsError> {
    handle(from, "ReceiptHandle", ErrorCode::ReceiptHandleIsInvalid)
}

fn handle(from: &mut Arguments, name: &str, code: ErrorCode) -> Result<String, SqsError> {
    let handle = from.required(name)?;
    if handle.len() > HANDLE_BYTES_MAX || !handle.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(SqsError::new(
            code,
            format!("The {name} must be one that was given out here."),
        ));
    }
    Ok(handle)
}

fn visibility_change(from: &mut Arguments) -> Result<VisibilityChange, SqsError> {
    let receipt = receipt(from)?;
    let visibility = from.whole("VisibilityTimeout", VISIBILITY_SECONDS)?;
    Ok(VisibilityChange {
        receipt,
        visibility: visibility.ok_or_else(|| SqsError::missing("VisibilityTimeout"))?,
    })
}

fn batch<T>(
    from: &mut Arguments,
    read: impl Fn(&mut Arguments) -> Result<T, SqsError>,
) -> Result<Vec<BatchEntry<T>>, SqsError> {
    let listed = from.list("Entries")?.unwrap_or_default();
    if listed.is_empty() {
        return Err(SqsError::new(
            ErrorCode::EmptyBatchRequest,
            "There should be at least one entry in the request.",
        ));
    }
    if listed.len() > BATCH_ENTRIES_MAX {
        let message = format!(
            "Maximum number of entries per request are {BATCH_ENTRIES_MAX}. You have sent {}.",
            listed.len()
        );
        return Err(SqsError::new(
            ErrorCode::TooManyEntriesInBatchRequest,
            message,
        ));
    }
    let mut ids = BTreeSet::new();
    let mut entries = Vec::with_capacity(listed.len());
    for mut entry in listed {
        let id = entry.required("Id")?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if id.len() > BATCH_ID_BYTES_MAX || !id.bytes().all(allowed) {
            let message =
                "The id of a batch entry is 1 to 80 letters, digits, hyphens and underscores.";
            return Err(SqsError::new(ErrorCode::InvalidBatchEntryId, message));
        }
        if !ids.insert(id.clone()) {
            return Err(SqsError::new(
                ErrorCode::BatchEntryIdsNotDistinct,
                format!("Id {id} repeated."),
            ));
        }
        entries.push(BatchEntry {
            id,
            item: read(&mut entry),
        });
    }
    Ok(entries)
}

fn token(from: &mut Arguments) -> Result<Option<String>, SqsError> {
    let token = from.text("NextToken")?.filter(|token| !token.is_empty());
    if token
        .as_ref()
        .is_some_and(|token| token.len() > HANDLE_BYTES_MAX)
    {
        return Err(SqsError::invalid(
            "NextToken",
            "Must be one that was given out here",
        ));
    }
    Ok(token)
}

fn tags(from: &mut Arguments, name: &str) -> Result<BTreeMap<String, String>, SqsError> {
    let tags = from.text_map(name, TAGS_MAX)?;
    let fits = |(key, value): (&String, &String)| {
        (1..=TAG_KEY_CHARACTERS_MAX).contains(&key.chars().count())
            && value.chars().count() <= TAG_VALUE_CHARACTERS_MAX
    };
    let characters = |(key, value): (&String, &String)| {
        check_characters(key).is_ok() && check_characters(value).is_ok()
    };
    if !tags.iter().all(|tag| fits(tag) && characters(tag)) {
        return Err(SqsError::invalid(
            "Tags",
            "A key is 1 to 128 characters, a value at most 256",
        ));
    }
    Ok(tags)
}
