//! Answers to calls, and how they are written in either dialect.

use std::collections::BTreeMap;

use crate::sqs::answer::writer::Writer;
use crate::sqs::{
    AttributeValue, Dialect, Message, MessageAttributes, QueueAttribute, SqsError, SystemAttribute,
    md5_of_attributes, md5_of_body, md5_of_system_attributes,
};

mod writer;

/// What a call came to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Reply {
    /// The queue is there.
    CreateQueue {
        /// Its URL.
        url: String,
    },
    /// The queue was found.
    GetQueueUrl {
        /// Its URL.
        url: String,
    },
    /// The queues there are.
    ListQueues {
        /// Their URLs.
        urls: Vec<String>,
        /// Where to go on from.
        token: Option<String>,
    },
    /// Done.
    DeleteQueue,
    /// What is in force.
    GetQueueAttributes {
        /// What was asked for, as [`QueueAttributes::tell`](crate::sqs::QueueAttributes::tell) has it.
        attributes: BTreeMap<QueueAttribute, String>,
    },
    /// Done.
    SetQueueAttributes,
    /// Done.
    PurgeQueue,
    /// The message is kept.
    SendMessage(SentMessage),
    /// What came of each message.
    SendMessageBatch(BatchAnswer<SentMessage>),
    /// The messages handed out; none is an answer, too.
    ReceiveMessage {
        /// Up to 10.
        messages: Vec<ReceivedMessage>,
    },
    /// Done.
    DeleteMessage,
    /// What came of each message.
    DeleteMessageBatch(BatchAnswer<()>),
    /// Done.
    ChangeMessageVisibility,
    /// What came of each message.
    ChangeMessageVisibilityBatch(BatchAnswer<()>),
    /// The queues that give up messages to this one.
    ListDeadLetterSourceQueues {
        /// Their URLs.
        urls: Vec<String>,
        /// Where to go on from.
        token: Option<String>,
    },
    /// The move is under way.
    StartMessageMoveTask {
        /// Its handle.
        task: String,
    },
    /// The latest moves.
    ListMessageMoveTasks {
        /// The latest first.
        tasks: Vec<MoveTask>,
    },
    /// The move is stopped.
    CancelMessageMoveTask {
        /// How many messages had been moved.
        moved: u64,
    },
    /// Done.
    TagQueue,
    /// Done.
    UntagQueue,
    /// The queue's tags.
    ListQueueTags {
        /// Keys and values.
        tags: BTreeMap<String, String>,
    },
}

/// The results of a batch by the ids of its entries. An entry that came refused is answered with its error.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchAnswer<T> {
    /// What came of each, by id.
    pub results: Vec<(String, Result<T, SqsError>)>,
}

/// A message that is kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SentMessage {
    /// Its id.
    pub id: String,
    /// Of the body.
    pub md5_of_body: String,
    /// Of the sender's attributes, if there are any.
    pub md5_of_attributes: Option<String>,
    /// Of the trace header, if there is one.
    pub md5_of_system_attributes: Option<String>,
    /// Its place in a FIFO queue.
    pub sequence_number: Option<String>,
}

impl SentMessage {
    /// The answer to a message as it was sent.
    #[must_use]
    pub fn new(message: &Message, id: String, sequence_number: Option<String>) -> Self {
        Self {
            id,
            md5_of_body: md5_of_body(&message.body),
            md5_of_attributes: md5_of_attributes(&message.attributes),
            md5_of_system_attributes: md5_of_system_attributes(message),
            sequence_number,
        }
    }
}

/// A message that is handed out. Its digests are written along: of what is told, as the SDKs check them.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReceivedMessage {
    /// Its id.
    pub id: String,
    /// What deletes it.
    pub receipt: String,
    /// Its body.
    pub body: String,
    /// Those of the system's attributes that were asked for.
    pub system_attributes: Vec<(SystemAttribute, String)>,
    /// Those of the sender's attributes that were asked for.
    pub attributes: MessageAttributes,
}

/// A move out of a dead-letter queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MoveTask {
    /// Its handle, while it runs.
    pub task: Option<String>,
    /// `RUNNING`, `COMPLETED`, `CANCELLING`, `CANCELLED` or `FAILED`.
    pub status: &'static str,
    /// The dead-letter queue's ARN.
    pub source: String,
    /// The ARN of where they go, if it was given.
    pub destination: Option<String>,
    /// The limit that was given.
    pub messages_per_second_max: Option<u32>,
    /// How many were moved.
    pub moved: u64,
    /// How many there were to move at the start.
    pub to_move: Option<u64>,
    /// Why it failed.
    pub failure: Option<String>,
    /// When it started, in milliseconds since the epoch.
    pub started_at: u64,
}

/// An answer as HTTP carries it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Written {
    /// The status code.
    pub status: u16,
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// The answer in the caller's dialect.
#[must_use]
pub fn write(reply: &Reply, dialect: Dialect, request_id: &str) -> Written {
    let mut writer = Writer::new(dialect);
    writer.answer(reply.action(), reply.has_result(), request_id, |out| {
        reply.members(out)
    });
    written(200, dialect, request_id, writer)
}

/// The refusal in the caller's dialect.
#[must_use]
pub fn write_error(error: &SqsError, dialect: Dialect, request_id: &str) -> Written {
    let fault = if error.sender_fault() {
        "Sender"
    } else {
        "Receiver"
    };
    let mut writer = Writer::new(dialect);
    writer.error(
        error.code.shape(),
        error.code.query_name(),
        fault,
        &error.message,
        request_id,
    );
    let mut written = written(error.status(dialect), dialect, request_id, writer);
    if dialect == Dialect::Json {
        written.headers.push((
            "x-amzn-query-error",
            format!("{};{fault}", error.code.query_name()),
        ));
    }
    written
}

fn written(status: u16, dialect: Dialect, request_id: &str, writer: Writer) -> Written {
    let content_type = match dialect {
        Dialect::Json => "application/x-amz-json-1.0",
        Dialect::Query => "text/xml",
    };
    Written {
        status,
        content_type,
        headers: vec![("x-amzn-requestid", request_id.to_owned())],
        body: writer.finish(),
    }
}

impl Reply {
    /// The action that it answers.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::CreateQueue { .. } => "CreateQueue",
            Self::GetQueueUrl { .. } => "GetQueueUrl",
            Self::ListQueues { .. } => "ListQueues",
            Self::DeleteQueue => "DeleteQueue",
            Self::GetQueueAttributes { .. } => "GetQueueAttributes",
            Self::SetQueueAttributes => "SetQueueAttributes",
            Self::PurgeQueue => "PurgeQueue",
            Self::SendMessage(_) => "SendMessage",
            Self::SendMessageBatch(_) => "SendMessageBatch",
            Self::ReceiveMessage { .. } => "ReceiveMessage",
            Self::DeleteMessage => "DeleteMessage",
            Self::DeleteMessageBatch(_) => "DeleteMessageBatch",
            Self::ChangeMessageVisibility => "ChangeMessageVisibility",
            Self::ChangeMessageVisibilityBatch(_) => "ChangeMessageVisibilityBatch",
            Self::ListDeadLetterSourceQueues { .. } => "ListDeadLetterSourceQueues",
            Self::StartMessageMoveTask { .. } => "StartMessageMoveTask",
            Self::ListMessageMoveTasks { .. } => "ListMessageMoveTasks",
            Self::CancelMessageMoveTask { .. } => "CancelMessageMoveTask",
            Self::TagQueue => "TagQueue",
            Self::UntagQueue => "UntagQueue",
            Self::ListQueueTags { .. } => "ListQueueTags",
        }
    }

    /// Whether XML wraps a result: actions that answer nothing have none.
    const fn has_result(&self) -> bool {
        !matches!(
            self,
            Self::DeleteQueue
                | Self::SetQueueAttributes
                | Self::PurgeQueue
                | Self::DeleteMessage
                | Self::ChangeMessageVisibility
                | Self::TagQueue
                | Self::UntagQueue
        )
    }

    fn members(&self, out: &mut Writer) {
        match self {
            Self::DeleteQueue
            | Self::SetQueueAttributes
            | Self::PurgeQueue
            | Self::DeleteMessage
            | Self::ChangeMessageVisibility
            | Self::TagQueue
            | Self::UntagQueue => (),
            Self::CreateQueue { url } | Self::GetQueueUrl { url } => out.text("QueueUrl", url),
            Self::ListQueues { urls, token } => {
                // Callers test for the list's presence: an empty one is left out, as SQS does.
                if !urls.is_empty() {
                    out.texts("QueueUrls", "QueueUrl", urls);
                }
                out.optional("NextToken", token.as_deref());
            }
            Self::ListDeadLetterSourceQueues { urls, token } => {
                out.texts("queueUrls", "QueueUrl", urls);
                out.optional("NextToken", token.as_deref());
            }
            Self::GetQueueAttributes { attributes } => {
                let pairs = attributes
                    .iter()
                    .map(|(name, value)| (name.name(), value.as_str()));
                out.pairs("Attributes", "Attribute", "Name", pairs);
            }
            Self::SendMessage(sent) => sent.members(out),
            Self::SendMessageBatch(batch) => {
                batch.members(out, "SendMessageBatchResultEntry", |out, id, sent| {
                    out.text("Id", id);
                    sent.members(out);
                });
            }
            Self::DeleteMessageBatch(batch) => {
                batch.members(out, "DeleteMessageBatchResultEntry", |out, id, ()| {
                    out.text("Id", id)
                })
            }
            Self::ChangeMessageVisibilityBatch(batch) => {
                batch.members(
                    out,
                    "ChangeMessageVisibilityBatchResultEntry",
                    |out, id, ()| out.text("Id", id),
                );
            }
            Self::ReceiveMessage { messages } => {
                out.structures("Messages", "Message", messages, |out, message| {
                    message.members(out)
                })
            }
            Self::StartMessageMoveTask { task } => out.text("TaskHandle", task),
            Self::ListMessageMoveTasks { tasks } => {
                out.structures(
                    "Results",
                    "ListMessageMoveTasksResultEntry",
                    tasks,
                    |out, task| task.members(out),
                );
            }
            Self::CancelMessageMoveTask { moved } => {
                out.number("ApproximateNumberOfMessagesMoved", *moved)
            }
            Self::ListQueueTags { tags } => {
                let pairs = tags
                    .iter()
                    .map(|(key, value)| (key.as_str(), value.as_str()));
                out.pairs("Tags", "Tag", "Key", pairs);
            }
        }
    }
}

impl<T> BatchAnswer<T> {
    fn members(&self, out: &mut Writer, entry: &str, write: impl Fn(&mut Writer, &str, &T)) {
        let done = self
            .results
            .iter()
            .filter_map(|(id, result)| Some((id, result.as_ref().ok()?)));
        let failed = self
            .results
            .iter()
            .filter_map(|(id, result)| Some((id, result.as_ref().err()?)));
        out.structures("Successful", entry, done, |out, (id, item)| {
            write(out, id, item)
        });
        out.structures(
            "Failed",
            "BatchResultErrorEntry",
            failed,
            |out, (id, error)| {
                out.text("Id", id);
                out.flag("SenderFault", error.sender_fault());
                out.text("Code", error.code.query_name());
                out.text("Message", &error.message);
            },
        );
    }
}

impl SentMessage {
    fn members(&self, out: &mut Writer) {
        out.text("MessageId", &self.id);
        out.text("MD5OfMessageBody", &self.md5_of_body);
        out.optional("MD5OfMessageAttributes", self.md5_of_attributes.as_deref());
        out.optional(
            "MD5OfMessageSystemAttributes",
            self.md5_of_system_attributes.as_deref(),
        );
        out.optional("SequenceNumber", self.sequence_number.as_deref());
    }
}

impl ReceivedMessage {
    fn members(&self, out: &mut Writer) {
        out.text("MessageId", &self.id);
        out.text("ReceiptHandle", &self.receipt);
        out.text("MD5OfBody", &md5_of_body(&self.body));
        out.text("Body", &self.body);
        let pairs = self
            .system_attributes
            .iter()
            .map(|(name, value)| (name.name(), value.as_str()));
        out.pairs("Attributes", "Attribute", "Name", pairs);
        out.optional(
            "MD5OfMessageAttributes",
            md5_of_attributes(&self.attributes).as_deref(),
        );
        out.named_structures(
            "MessageAttributes",
            "MessageAttribute",
            &self.attributes,
            |out, attribute| {
                match &attribute.value {
                    AttributeValue::Text(text) => out.text("StringValue", text),
                    AttributeValue::Bytes(bytes) => {
                        out.text("BinaryValue", &crate::sqs::encoding::base64(bytes))
                    }
                }
                out.text("DataType", &attribute.data_type);
            },
        );
    }
}

impl MoveTask {
    fn members(&self, out: &mut Writer) {
        out.optional("TaskHandle", self.task.as_deref());
        out.text("Status", self.status);
        out.text("SourceArn", &self.source);
        out.optional("DestinationArn", self.destination.as_deref());
        if let Some(max) = self.messages_per_second_max {
            out.number("MaxNumberOfMessagesPerSecond", u64::from(max));
        }
        out.number("ApproximateNumberOfMessagesMoved", self.moved);
        if let Some(to_move) = self.to_move {
            out.number("ApproximateNumberOfMessagesToMove", to_move);
        }
        out.optional("FailureReason", self.failure.as_deref());
        out.number("StartedTimestamp", self.started_at);
    }
}
