//! What a caller asks for, read and checked.

use std::collections::BTreeMap;

use crate::sqs::{
    MessageAttributeFilter, MessageAttributes, QueueArn, QueueAttributeChanges,
    QueueAttributeFilter, QueueName, SqsError, SystemAttributeFilter,
};

pub(crate) mod arguments;
mod read;

/// One action and its arguments, within the limits of SQS.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Call {
    /// Make a queue, or find that it is there with those attributes.
    CreateQueue {
        /// The queue to make.
        name: QueueName,
        /// What is not the default.
        attributes: QueueAttributeChanges,
        /// Its tags.
        tags: BTreeMap<String, String>,
    },
    /// Where a queue is.
    GetQueueUrl {
        /// The queue's name.
        name: QueueName,
    },
    /// The queues there are.
    ListQueues {
        /// What their names start with; empty for all.
        prefix: String,
        /// At most so many, 1-1000; without it at most 1000, and no token in the answer.
        max: Option<u32>,
        /// Where the last answer ended.
        token: Option<String>,
    },
    /// Remove a queue and all in it.
    DeleteQueue {
        /// The queue.
        queue: QueueName,
    },
    /// What is in force for a queue.
    GetQueueAttributes {
        /// The queue.
        queue: QueueName,
        /// What is asked for.
        names: QueueAttributeFilter,
    },
    /// Change what is in force for a queue.
    SetQueueAttributes {
        /// The queue.
        queue: QueueName,
        /// What changes.
        attributes: QueueAttributeChanges,
    },
    /// Remove all that is in a queue.
    PurgeQueue {
        /// The queue.
        queue: QueueName,
    },
    /// Put a message into a queue.
    SendMessage {
        /// The queue.
        queue: QueueName,
        /// The message.
        message: Message,
    },
    /// Put up to 10 messages into a queue.
    SendMessageBatch {
        /// The queue.
        queue: QueueName,
        /// The messages, at most [`MESSAGE_BYTES_MAX`](crate::sqs::MESSAGE_BYTES_MAX) together.
        entries: Vec<BatchEntry<Message>>,
    },
    /// Hand out messages, and hide them meanwhile.
    ReceiveMessage {
        /// The queue.
        queue: QueueName,
        /// How many, how long, and what about them.
        receive: Receive,
    },
    /// The message is dealt with.
    DeleteMessage {
        /// The queue.
        queue: QueueName,
        /// The message's receipt handle.
        receipt: String,
    },
    /// Up to 10 messages are dealt with.
    DeleteMessageBatch {
        /// The queue.
        queue: QueueName,
        /// Their receipt handles.
        entries: Vec<BatchEntry<String>>,
    },
    /// Hide a message for longer, or less long.
    ChangeMessageVisibility {
        /// The queue.
        queue: QueueName,
        /// Which message, and how long from now.
        change: VisibilityChange,
    },
    /// The same for up to 10 messages.
    ChangeMessageVisibilityBatch {
        /// The queue.
        queue: QueueName,
        /// Which messages, and how long from now.
        entries: Vec<BatchEntry<VisibilityChange>>,
    },
    /// The queues that give up messages to this one.
    ListDeadLetterSourceQueues {
        /// The dead-letter queue.
        queue: QueueName,
        /// At most so many, 1-1000.
        max: Option<u32>,
        /// Where the last answer ended.
        token: Option<String>,
    },
    /// Move the messages of a dead-letter queue.
    StartMessageMoveTask {
        /// The dead-letter queue.
        source: QueueArn,
        /// Where they go; without it, each to the queue that it came from.
        destination: Option<QueueArn>,
        /// At most so many, 1-500.
        messages_per_second_max: Option<u32>,
    },
    /// The latest moves out of a dead-letter queue.
    ListMessageMoveTasks {
        /// The dead-letter queue.
        source: QueueArn,
        /// At most so many, 1-10.
        max: u32,
    },
    /// Stop moving.
    CancelMessageMoveTask {
        /// The handle that starting it gave.
        task: String,
    },
    /// Add tags, or replace those of the same key.
    TagQueue {
        /// The queue.
        queue: QueueName,
        /// Keys and values.
        tags: BTreeMap<String, String>,
    },
    /// Remove tags.
    UntagQueue {
        /// The queue.
        queue: QueueName,
        /// Their keys.
        keys: Vec<String>,
    },
    /// The tags of a queue.
    ListQueueTags {
        /// The queue.
        queue: QueueName,
    },
}

/// A message to send.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Message {
    /// Not empty, and of the characters that XML 1.0 can carry.
    pub body: String,
    /// 0-900 seconds; the queue's own without it.
    pub delay: Option<u32>,
    /// What the sender says about it.
    pub attributes: MessageAttributes,
    /// The system attribute `AWSTraceHeader`.
    pub trace_header: Option<String>,
    /// The group whose order it is part of. A FIFO queue always has it.
    pub group: Option<String>,
    /// The id by which a FIFO queue knows it again.
    pub deduplication: Option<String>,
}

impl Message {
    /// What counts against the limits: the body, and the names, types and values of the sender's attributes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.body.len()
            + self
                .attributes
                .iter()
                .map(|(name, attribute)| attribute.size(name))
                .sum::<usize>()
    }
}

/// What to hand out.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Receive {
    /// 1-10 messages.
    pub max: u32,
    /// 0-43200 seconds; the queue's own without it.
    pub visibility: Option<u32>,
    /// 0-20 seconds; the queue's own without it.
    pub wait: Option<u32>,
    /// Which of the sender's attributes to tell.
    pub message_attributes: MessageAttributeFilter,
    /// Which of the system's attributes to tell.
    pub system_attributes: SystemAttributeFilter,
    /// What a FIFO queue knows a repeated request by.
    pub attempt: Option<String>,
}

/// A message in flight, and how long it is to stay hidden from now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct VisibilityChange {
    /// The message's receipt handle.
    pub receipt: String,
    /// 0-43200 seconds.
    pub visibility: u32,
}

/// One of a batch. Where it is refused, the others are not: the error is its answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct BatchEntry<T> {
    /// 1-80 letters, digits, `-` and `_`; distinct within the batch.
    pub id: String,
    /// What is asked for, or why it cannot be.
    pub item: Result<T, SqsError>,
}
