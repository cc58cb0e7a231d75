//! What SQS's calls do to queues.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use plimsoll_policy::queue::QueueFigures;

use crate::engine::{
    Definition, Engine, Head, Message, Receipt, Received, Refused, Settings, Taken,
};
use crate::sqs;
use crate::sqs::{
    AttributeValue, BatchAnswer, BatchEntry, Call, ErrorCode, MessageAttribute, MessageAttributes,
    MoveTask, QueueArn, QueueAttributeChanges, QueueAttributes, QueueFacts, QueueName, Receive,
    ReceivedMessage, RedrivePolicy, Reply, SentMessage, SqsError, SystemAttribute,
    VisibilityChange, from_base64, to_base64,
};

/// Moves of dead letters that are remembered.
const TASKS_MAX: usize = 100;
/// Messages that are moved before others have a turn.
const MOVED_AT_ONCE: usize = 100;
/// How many queues are listed at once.
const LISTED_MAX: usize = 1_000;
/// What binary values are marked by where they are kept.
const BINARY: &str = "Binary";

/// What calls are answered with.
pub(super) struct Sqs {
    pub(super) engine: Arc<Engine>,
    /// What queues' URLs begin with.
    pub(super) url: String,
    pub(super) region: String,
    /// Whether clients may make and change queues.
    pub(super) creates: bool,
    tasks: Mutex<VecDeque<Task>>,
}

struct Task {
    handle: String,
    told: MoveTask,
    cancelled: bool,
}

fn error(code: ErrorCode, text: impl Into<String>) -> SqsError {
    SqsError::new(code, text.into())
}

fn refused(refused: Refused) -> SqsError {
    let text = refused.to_string();
    let code = match refused {
        Refused::NoQueue(_) => ErrorCode::QueueDoesNotExist,
        Refused::Invalid(_) => ErrorCode::InvalidParameterValue,
        Refused::Full(_) => ErrorCode::RequestThrottled,
        Refused::NotLeased => ErrorCode::ReceiptHandleIsInvalid,
        Refused::NotDurable(_) => ErrorCode::ServiceUnavailable,
    };
    error(code, text)
}

fn seconds(count: u32) -> Duration {
    Duration::from_secs(u64::from(count))
}

/// How it is told, where SQS has a limit that we have not.
fn in_seconds(it: Duration, most: u32) -> u32 {
    u32::try_from(it.as_secs()).unwrap_or(most).min(most)
}

impl Sqs {
    pub(super) fn new(engine: Arc<Engine>, url: String, region: String, creates: bool) -> Self {
        Self {
            engine,
            url,
            region,
            creates,
            tasks: Mutex::default(),
        }
    }

    pub(super) async fn answer(self: &Arc<Self>, call: Call) -> Result<Reply, SqsError> {
        let engine = &self.engine;
        Ok(match call {
            Call::CreateQueue {
                name,
                attributes,
                tags,
            } => {
                let url = name.url(&self.url);
                match engine.look(name.as_str()) {
                    Ok((definition, _)) => {
                        let known = self.attributes_of(&definition)?;
                        if let Some(other) = attributes.differs_from(&known) {
                            return Err(error(
                                ErrorCode::QueueNameExists,
                                format!("The queue exists with another value of {}", other.name()),
                            ));
                        }
                    }
                    Err(_) => {
                        self.may_define(None)?;
                        let mut definition = Definition::new(name.as_str(), engine.clock());
                        let mut all = QueueAttributes::default();
                        all.apply(&attributes);
                        settle(&mut definition, &all);
                        definition.tags = tags;
                        self.define(definition).await?;
                    }
                }
                Reply::CreateQueue { url }
            }
            Call::GetQueueUrl { name } => {
                let _it_is_there = engine.look(name.as_str()).map_err(refused)?;
                let url = name.url(&self.url);
                Reply::GetQueueUrl { url }
            }
            Call::ListQueues { prefix, max, token } => {
                let names = engine.names().into_iter();
                let (urls, token) =
                    self.page(names.filter(|it| it.starts_with(&prefix)), max, token);
                Reply::ListQueues { urls, token }
            }
            Call::ListDeadLetterSourceQueues { queue, max, token } => {
                let _it_is_there = engine.look(queue.as_str()).map_err(refused)?;
                let names = engine.names().into_iter().filter(|name| {
                    let looked = engine.look(name).ok();
                    looked.is_some_and(|(it, _)| {
                        it.settings.attempts_max > 0 && it.dead_letters() == queue.as_str()
                    })
                });
                let (urls, token) = self.page(names, max, token);
                Reply::ListDeadLetterSourceQueues { urls, token }
            }
            Call::DeleteQueue { queue } => {
                let (definition, _) = engine.look(queue.as_str()).map_err(refused)?;
                self.may_define(Some(&definition))?;
                let durable = engine.remove(queue.as_str()).map_err(refused)?;
                durable.wait().await.map_err(|it| refused(it.into()))?;
                Reply::DeleteQueue
            }
            Call::GetQueueAttributes { queue, names } => {
                let (definition, figures) = engine.look(queue.as_str()).map_err(refused)?;
                let all = self.attributes_of(&definition)?;
                let arn = QueueArn::new(&self.region, queue);
                let facts = facts(&arn, &definition, &figures);
                let attributes = all.tell(&facts, &names);
                Reply::GetQueueAttributes { attributes }
            }
            Call::SetQueueAttributes { queue, attributes } => {
                self.change(&queue, |definition, all| {
                    all.apply(&attributes);
                    settle(definition, all);
                })
                .await?;
                Reply::SetQueueAttributes
            }
            Call::TagQueue { queue, tags } => {
                self.change(&queue, |definition, _| definition.tags.extend(tags))
                    .await?;
                Reply::TagQueue
            }
            Call::UntagQueue { queue, keys } => {
                let keep = |definition: &mut Definition, _: &mut QueueAttributes| {
                    definition.tags.retain(|key, _| !keys.contains(key));
                };
                self.change(&queue, keep).await?;
                Reply::UntagQueue
            }
            Call::ListQueueTags { queue } => {
                let (definition, _) = engine.look(queue.as_str()).map_err(refused)?;
                let tags = definition.tags;
                Reply::ListQueueTags { tags }
            }
            Call::PurgeQueue { queue } => {
                let durable = engine.purge(queue.as_str()).map_err(refused)?;
                durable.wait().await.map_err(|it| refused(it.into()))?;
                Reply::PurgeQueue
            }
            Call::SendMessage { queue, message } => {
                let taken = self.send(&queue, &message)?;
                Reply::SendMessage(sent(&queue, &message, taken).await?)
            }
            Call::SendMessageBatch { queue, entries } => {
                // All are appended before one is waited for: they become durable together.
                let taken: Vec<_> = entries
                    .into_iter()
                    .map(|BatchEntry { id, item }| {
                        let item = item.and_then(|it| {
                            let taken = self.send(&queue, &it)?;
                            Ok((it, taken))
                        });
                        (id, item)
                    })
                    .collect();
                let mut results = Vec::with_capacity(taken.len());
                for (id, item) in taken {
                    let result = match item {
                        Ok((message, taken)) => sent(&queue, &message, taken).await,
                        Err(error) => Err(error),
                    };
                    results.push((id, result));
                }
                Reply::SendMessageBatch(BatchAnswer { results })
            }
            Call::ReceiveMessage { queue, receive } => {
                let messages = self.receive(&queue, &receive).await?;
                Reply::ReceiveMessage { messages }
            }
            Call::DeleteMessage { queue, receipt } => {
                self.delete(&queue, &receipt).await?;
                Reply::DeleteMessage
            }
            Call::DeleteMessageBatch { queue, entries } => {
                let deletes = entries.into_iter().map(|BatchEntry { id, item }| {
                    let queue = &queue;
                    async move {
                        let deleted = match item {
                            Ok(receipt) => self.delete(queue, &receipt).await,
                            Err(error) => Err(error),
                        };
                        (id, deleted)
                    }
                });
                let results = futures_util::future::join_all(deletes).await;
                Reply::DeleteMessageBatch(BatchAnswer { results })
            }
            Call::ChangeMessageVisibility { queue, change } => {
                self.hide(&queue, &change)?;
                Reply::ChangeMessageVisibility
            }
            Call::ChangeMessageVisibilityBatch { queue, entries } => {
                let results = entries.into_iter().map(|BatchEntry { id, item }| {
                    let changed = item.and_then(|change| self.hide(&queue, &change));
                    (id, changed)
                });
                let results = results.collect();
                Reply::ChangeMessageVisibilityBatch(BatchAnswer { results })
            }
            Call::StartMessageMoveTask {
                source,
                destination,
                messages_per_second_max,
            } => {
                let task = self.start_move(source, destination, messages_per_second_max)?;
                Reply::StartMessageMoveTask { task }
            }
            Call::ListMessageMoveTasks { source, max } => {
                let source = source.to_string();
                let tasks = self.tasks();
                let of_it = tasks.iter().rev().filter(|it| it.told.source == source);
                let max = usize::try_from(max).unwrap_or(1);
                let tasks = of_it.take(max).map(|it| it.told.clone()).collect();
                Reply::ListMessageMoveTasks { tasks }
            }
            Call::CancelMessageMoveTask { task } => {
                let mut tasks = self.tasks();
                let running = tasks.iter_mut().find(|it| it.handle == task);
                let running = running.filter(|it| it.told.status == "RUNNING");
                let running = running.ok_or_else(|| {
                    error(
                        ErrorCode::ResourceNotFound,
                        "There is no such task that runs",
                    )
                })?;
                running.cancelled = true;
                running.told.status = "CANCELLED";
                let moved = running.told.moved;
                Reply::CancelMessageMoveTask { moved }
            }
        })
    }

    fn tasks(&self) -> std::sync::MutexGuard<'_, VecDeque<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn page(
        &self,
        names: impl Iterator<Item = String>,
        max: Option<u32>,
        token: Option<String>,
    ) -> (Vec<String>, Option<String>) {
        let after = token.unwrap_or_default();
        let mut names = names.filter(|it| *it > after);
        let size = max.map_or(LISTED_MAX, |it| usize::try_from(it).unwrap_or(LISTED_MAX));
        let page: Vec<String> = names.by_ref().take(size).collect();
        let more = max.is_some() && names.next().is_some();
        let token = page.last().filter(|_| more).cloned();
        let names = page.iter().filter_map(|it| QueueName::new(it).ok());
        (names.map(|it| it.url(&self.url)).collect(), token)
    }

    fn may_define(&self, known: Option<&Definition>) -> Result<(), SqsError> {
        if known.is_some_and(|it| it.of_file) {
            return Err(error(
                ErrorCode::UnsupportedOperation,
                "The queue is described in Plimsoll's configuration: change it there",
            ));
        }
        if !self.creates {
            return Err(error(
                ErrorCode::UnsupportedOperation,
                "Queues are not made by clients here (queues.create): describe it in Plimsoll's configuration",
            ));
        }
        Ok(())
    }

    async fn define(&self, definition: Definition) -> Result<(), SqsError> {
        let durable = self.engine.define(definition).map_err(refused)?;
        durable.wait().await.map_err(|it| refused(it.into()))
    }

    async fn change(
        &self,
        queue: &QueueName,
        change: impl FnOnce(&mut Definition, &mut QueueAttributes),
    ) -> Result<(), SqsError> {
        let (mut definition, _) = self.engine.look(queue.as_str()).map_err(refused)?;
        self.may_define(Some(&definition))?;
        let mut all = self.attributes_of(&definition)?;
        change(&mut definition, &mut all);
        self.define(definition).await
    }

    /// What a queue's settings are in SQS's words.
    fn attributes_of(&self, definition: &Definition) -> Result<QueueAttributes, SqsError> {
        let it = &definition.settings;
        let kept = QueueAttributeChanges::read(&definition.attributes)?.kept;
        let redrive = (it.attempts_max > 0)
            .then(|| QueueName::new(&definition.dead_letters()))
            .transpose()?
            .map(|name| RedrivePolicy {
                dead_letter: QueueArn::new(&self.region, name),
                receives_max: it.attempts_max,
            });
        Ok(QueueAttributes {
            delay_seconds: in_seconds(it.delay, 900),
            message_bytes_max: it.message_bytes_max,
            retention_seconds: in_seconds(it.retention, 1_209_600),
            wait_seconds: in_seconds(it.wait, 20),
            visibility_seconds: in_seconds(it.lease, 43_200),
            redrive,
            content_based_deduplication: it.dedup_by_body,
            kept,
        })
    }

    fn send(&self, queue: &QueueName, message: &sqs::Message) -> Result<Taken, SqsError> {
        let attributes = message.attributes.iter().map(|(name, it)| {
            let value = match &it.value {
                AttributeValue::Text(text) => text.clone(),
                AttributeValue::Bytes(bytes) => to_base64(bytes),
            };
            (name.clone(), (it.data_type.clone(), value))
        });
        if queue.is_fifo() && message.group.is_none() {
            return Err(error(
                ErrorCode::MissingParameter,
                "The request must contain the parameter MessageGroupId",
            ));
        }
        if queue.is_fifo() && message.deduplication.is_none() {
            let looked = self.engine.look(queue.as_str()).map_err(refused)?;
            if !looked.0.settings.dedup_by_body {
                return Err(error(
                    ErrorCode::InvalidParameterValue,
                    "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly",
                ));
            }
        }
        let given = Message {
            body: message.body.clone().into_bytes(),
            head: Head {
                group: message.group.clone(),
                dedup: message.deduplication.clone(),
                attributes: attributes.collect(),
                trace: message.trace_header.clone(),
                ..Head::default()
            },
            delay: message.delay.map(seconds),
            ..Message::default()
        };
        self.engine.publish(queue.as_str(), &given).map_err(refused)
    }

    async fn receive(
        &self,
        queue: &QueueName,
        wanted: &Receive,
    ) -> Result<Vec<ReceivedMessage>, SqsError> {
        let name = queue.as_str();
        let wait = match wanted.wait {
            Some(wait) => seconds(wait),
            None => self.engine.look(name).map_err(refused)?.0.settings.wait,
        };
        let max = usize::try_from(wanted.max).unwrap_or(1);
        let lease = wanted.visibility.map(seconds);
        let received = received(&self.engine, name, max, lease, wait).await;
        let received = received.map_err(refused)?;
        let told = received.into_iter().map(|it| self.told(queue, wanted, it));
        Ok(told.collect())
    }

    fn told(&self, queue: &QueueName, wanted: &Receive, it: Received) -> ReceivedMessage {
        let fifo = queue.is_fifo();
        let dead = it.head.dead.as_ref().map(|it| it.queue.clone());
        let source = dead.and_then(|it| QueueName::new(&it).ok());
        let all = [
            (SystemAttribute::SenderId, Some("plimsoll".to_owned())),
            (SystemAttribute::SentTimestamp, Some(it.at.0.to_string())),
            (
                SystemAttribute::ApproximateReceiveCount,
                Some(it.attempt.to_string()),
            ),
            (
                SystemAttribute::ApproximateFirstReceiveTimestamp,
                (it.attempt == 1).then(|| self.engine.clock().0.to_string()),
            ),
            (
                SystemAttribute::SequenceNumber,
                fifo.then(|| format!("{:020}", it.sequence)),
            ),
            (SystemAttribute::MessageGroupId, it.head.group.clone()),
            (
                SystemAttribute::MessageDeduplicationId,
                it.head.dedup.clone(),
            ),
            (SystemAttribute::AWSTraceHeader, it.head.trace.clone()),
            (
                SystemAttribute::DeadLetterQueueSourceArn,
                source.map(|it| QueueArn::new(&self.region, it).to_string()),
            ),
        ];
        let system = all.into_iter().filter_map(|(name, value)| {
            let asked = wanted.system_attributes.asks_for(name);
            Some((name, value.filter(|_| asked)?))
        });
        let attributes = it
            .head
            .attributes
            .into_iter()
            .map(|(name, (data_type, value))| {
                let value = match data_type.starts_with(BINARY) {
                    true => AttributeValue::Bytes(from_base64(&value).unwrap_or_default()),
                    false => AttributeValue::Text(value),
                };
                (name, MessageAttribute { data_type, value })
            });
        let attributes: MessageAttributes = attributes.collect();
        ReceivedMessage {
            id: it.id,
            receipt: it.receipt.to_string(),
            // What was published otherwise may be anything.
            body: String::from_utf8_lossy(&it.body).into_owned(),
            system_attributes: system.collect(),
            attributes: wanted.message_attributes.select(&attributes),
        }
    }

    fn receipt(&self, queue: &QueueName, text: &str) -> Result<Receipt, SqsError> {
        let receipt = Receipt::parse(text).filter(|it| {
            let of = self.engine.queue_of(*it);
            of.as_deref() == Some(queue.as_str())
        });
        receipt.ok_or_else(|| {
            let text = "The receipt handle is not one of this queue's";
            error(ErrorCode::ReceiptHandleIsInvalid, text)
        })
    }

    async fn delete(&self, queue: &QueueName, receipt: &str) -> Result<(), SqsError> {
        let receipt = self.receipt(queue, receipt)?;
        match self.engine.ack(receipt) {
            Ok(durable) => durable.wait().await.map_err(|it| refused(it.into())),
            // Whoever deletes what is deleted, or has been given to somebody else, is told that it is well, as SQS does.
            Err(Refused::NotLeased) if !queue.is_fifo() => Ok(()),
            Err(other) => Err(refused(other)),
        }
    }

    fn hide(&self, queue: &QueueName, change: &VisibilityChange) -> Result<(), SqsError> {
        let receipt = self.receipt(queue, &change.receipt)?;
        let extended = self.engine.extend(receipt, seconds(change.visibility));
        extended.map_err(|it| match it {
            Refused::NotLeased => error(
                ErrorCode::MessageNotInflight,
                "The message is not in flight under this receipt handle",
            ),
            other => refused(other),
        })
    }

    fn start_move(
        self: &Arc<Self>,
        source: QueueArn,
        destination: Option<QueueArn>,
        per_second: Option<u32>,
    ) -> Result<String, SqsError> {
        let from = source.name().as_str().to_owned();
        let to = destination.as_ref().map(|it| it.name().as_str().to_owned());
        let (_, figures) = self.engine.look(&from).map_err(refused)?;
        if let Some(to) = &to {
            let _it_is_there = self.engine.look(to).map_err(refused)?;
        }
        let started_at = self.engine.clock().0;
        let handle = format!("{from}-{started_at}");
        let mut tasks = self.tasks();
        let is_of_it = |it: &Task| it.told.source == source.to_string();
        if tasks
            .iter()
            .any(|it| it.told.status == "RUNNING" && is_of_it(it))
        {
            let text = "There is already a task running for this queue";
            return Err(error(ErrorCode::UnsupportedOperation, text));
        }
        if tasks.len() >= TASKS_MAX {
            tasks.pop_front();
        }
        tasks.push_back(Task {
            handle: handle.clone(),
            told: MoveTask {
                task: Some(handle.clone()),
                status: "RUNNING",
                source: source.to_string(),
                destination: destination.map(|it| it.to_string()),
                messages_per_second_max: per_second,
                moved: 0,
                to_move: Some(figures.ready),
                failure: None,
                started_at,
            },
            cancelled: false,
        });
        drop(tasks);
        let (this, task) = (Arc::clone(self), handle.clone());
        tokio::spawn(async move {
            this.move_all(&task, &from, to.as_deref(), figures.ready, per_second)
                .await;
        });
        Ok(handle)
    }

    async fn move_all(
        &self,
        task: &str,
        from: &str,
        to: Option<&str>,
        count: u64,
        per_second: Option<u32>,
    ) {
        let at_once = per_second.map_or(MOVED_AT_ONCE, |it| {
            usize::try_from(it).unwrap_or(1).clamp(1, MOVED_AT_ONCE)
        });
        // What comes back while it is moved is not moved again.
        let mut left = usize::try_from(count).unwrap_or(usize::MAX);
        let failure = loop {
            let moved = match self.engine.redrive(from, to, at_once.min(left)) {
                Ok((moved, durable)) => match durable.wait().await {
                    Ok(()) => moved,
                    Err(error) => break Some(error.to_string()),
                },
                Err(error) => break Some(error.to_string()),
            };
            left -= moved.min(left);
            {
                let mut tasks = self.tasks();
                let task = tasks.iter_mut().find(|it| it.handle == task);
                let Some(task) = task.filter(|it| !it.cancelled) else {
                    return;
                };
                task.told.moved += moved as u64;
            }
            if moved == 0 || left == 0 {
                break None;
            }
            if per_second.is_some() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let mut tasks = self.tasks();
        if let Some(task) = tasks.iter_mut().find(|it| it.handle == task) {
            task.told.status = if failure.is_some() {
                "FAILED"
            } else {
                "COMPLETED"
            };
            task.told.failure = failure;
            task.told.task = None;
        }
    }
}

async fn sent(
    queue: &QueueName,
    message: &sqs::Message,
    taken: Taken,
) -> Result<SentMessage, SqsError> {
    taken
        .durable
        .wait()
        .await
        .map_err(|it| refused(it.into()))?;
    let sequence = queue.is_fifo().then(|| format!("{:020}", taken.sequence));
    Ok(SentMessage::new(message, taken.id, sequence))
}

/// Messages, as soon as there are some, or none after so long.
pub(super) async fn received(
    engine: &Engine,
    name: &str,
    max: usize,
    lease: Option<Duration>,
    wait: Duration,
) -> Result<Vec<Received>, Refused> {
    let mut late = pin!(tokio::time::sleep(wait));
    loop {
        let ready = engine.ready(name)?;
        let mut told = pin!(ready.notified());
        // From here on nothing is missed that comes after it was looked.
        let _already = told.as_mut().enable();
        let received = engine.receive(name, max, lease)?;
        if !received.is_empty() || wait.is_zero() {
            return Ok(received);
        }
        tokio::select! {
            () = &mut told => (),
            () = &mut late => return engine.receive(name, max, lease),
        }
    }
}

/// SQS's words into settings.
fn settle(definition: &mut Definition, all: &QueueAttributes) {
    let (attempts_max, dead_letters) = match &all.redrive {
        Some(policy) => {
            let name = policy.dead_letter.name().as_str().to_owned();
            (policy.receives_max, Some(name))
        }
        // Without a policy SQS keeps a message for as long as it keeps any.
        None => (0, None),
    };
    definition.settings = Settings {
        delay: seconds(all.delay_seconds),
        message_bytes_max: all.message_bytes_max,
        retention: seconds(all.retention_seconds),
        wait: seconds(all.wait_seconds),
        lease: seconds(all.visibility_seconds),
        attempts_max,
        dead_letters,
        dedup_by_body: all.content_based_deduplication,
        ..definition.settings.clone()
    };
    let kept = all.kept.iter();
    definition.attributes = kept
        .map(|(name, value)| (name.name().to_owned(), value.clone()))
        .collect();
}

fn facts<'a>(arn: &'a QueueArn, definition: &Definition, figures: &QueueFigures) -> QueueFacts<'a> {
    QueueFacts {
        arn,
        visible: figures.ready,
        not_visible: figures.in_flight,
        delayed: figures.delayed,
        created_at: definition.created / 1_000,
        modified_at: definition.changed / 1_000,
    }
}
