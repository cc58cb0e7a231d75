//! Goal: what SDKs send is understood in both dialects, and whatever else comes is refused cleanly.
//! Method: requests that an SDK serialised; requests with one thing wrong; random bytes and random forms.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use crate::sqs::tests::sent::SENT;
use crate::sqs::{
    AttributeValue, BatchEntry, Call, Dialect, ErrorCode, MESSAGE_BYTES_MAX, Message,
    MessageAttribute, MessageAttributeFilter, MessageAttributes, QueueArn, QueueAttributeChanges,
    QueueAttributeFilter, QueueName, Receive, SqsError, SqsRequest, SystemAttributeFilter,
    VisibilityChange, read,
};

#[test]
fn what_an_sdk_sends_is_understood_in_both_dialects() {
    assert_eq!(SENT.len(), expected().len());
    for (sent, expected) in SENT.iter().zip(expected()) {
        assert_eq!(
            json(sent.action, sent.json.as_bytes()).unwrap(),
            expected,
            "{}",
            sent.json
        );
        assert_eq!(form(sent.form).unwrap(), expected, "{}", sent.form);
        // The same as a GET: what was the body is the query.
        assert_eq!(form_at("/", sent.form, b"").unwrap(), expected);
    }
}

#[test]
fn the_path_stands_for_the_queue_where_no_url_is_given() {
    let purge = form_at(
        "/000000000000/jobs",
        "",
        b"Action=PurgeQueue&Version=2009-02-01",
    )
    .unwrap();
    assert_eq!(
        purge,
        Call::PurgeQueue {
            queue: name("jobs")
        }
    );
    let both = form_at(
        "/000000000000/other",
        "",
        b"Action=PurgeQueue&QueueUrl=http://h/0/jobs",
    )
    .unwrap();
    assert_eq!(
        both,
        Call::PurgeQueue {
            queue: name("jobs")
        }
    );
    assert_eq!(
        form("Action=PurgeQueue").unwrap_err().code,
        ErrorCode::MissingParameter
    );
    assert_eq!(
        json("PurgeQueue", b"{}").unwrap_err().code,
        ErrorCode::MissingParameter
    );
    let root = json("PurgeQueue", br#"{"QueueUrl": "http://h/"}"#).unwrap_err();
    assert_eq!(root.code, ErrorCode::InvalidAddress);
}

#[test]
fn forms_of_old_sdks_are_understood() {
    let names = QueueAttributeFilter::new(&texts(&["All"])).unwrap();
    let asked = form_at(
        "/0/jobs",
        "",
        b"Action=GetQueueAttributes&AttributeName=All",
    )
    .unwrap();
    assert_eq!(
        asked,
        Call::GetQueueAttributes {
            queue: name("jobs"),
            names
        }
    );
    let body = b"Action=SetQueueAttributes&Attribute.Name=DelaySeconds&Attribute.Value=4";
    let attributes = QueueAttributeChanges {
        delay_seconds: Some(4),
        ..QueueAttributeChanges::default()
    };
    let set = form_at("/0/jobs", "", body).unwrap();
    assert_eq!(
        set,
        Call::SetQueueAttributes {
            queue: name("jobs"),
            attributes
        }
    );
    // Numbers say the order, and need not be without gaps.
    let untag = form_at(
        "/0/jobs",
        "",
        b"Action=UntagQueue&TagKey.10=c&TagKey.9=b&TagKey.1=a",
    )
    .unwrap();
    assert_eq!(
        untag,
        Call::UntagQueue {
            queue: name("jobs"),
            keys: texts(&["a", "b", "c"])
        }
    );
    let signed = "Action=ListQueues&X-Amz-Algorithm=x&X-Amz-Signature=y";
    let list = Call::ListQueues {
        prefix: String::new(),
        max: None,
        token: None,
    };
    assert_eq!(form_at("/", signed, b"").unwrap(), list);
}

#[test]
fn a_bare_receive_has_the_defaults() {
    let receive = Receive {
        max: 1,
        visibility: None,
        wait: None,
        message_attributes: MessageAttributeFilter::default(),
        system_attributes: SystemAttributeFilter::default(),
        attempt: None,
    };
    let expected = Call::ReceiveMessage {
        queue: name("jobs"),
        receive,
    };
    // `null` is nothing, and what is not known is left alone.
    let body = br#"{"QueueUrl": "jobs", "WaitTimeSeconds": null, "New": [1]}"#;
    assert_eq!(json("ReceiveMessage", body).unwrap(), expected);
    assert_eq!(
        form("Action=ReceiveMessage&QueueUrl=jobs&New.Thing.1=x").unwrap(),
        expected
    );
}

#[test]
fn members_that_are_wrong_are_refused_by_their_code() {
    use ErrorCode::{
        BatchEntryIdsNotDistinct, EmptyBatchRequest, InvalidAction, InvalidAttributeName,
        InvalidAttributeValue, InvalidBatchEntryId, InvalidMessageContents, InvalidParameterValue,
        MissingParameter, ReceiptHandleIsInvalid, TooManyEntriesInBatchRequest,
        UnsupportedOperation,
    };
    let eleven = (0..11)
        .map(|id| format!(r#"{{"Id":"{id}","ReceiptHandle":"h"}}"#))
        .collect::<Vec<_>>()
        .join(",");
    let (eleven, long) = (
        format!(r#""Entries":[{eleven}]"#),
        format!(r#""ReceiptHandle":"{}""#, "x".repeat(1025)),
    );
    let cases = [
        ("Nope", "", InvalidAction),
        ("AddPermission", "", UnsupportedOperation),
        ("CreateQueue", "", MissingParameter),
        ("CreateQueue", r#""QueueName":"a b""#, InvalidParameterValue),
        ("CreateQueue", r#""QueueName":5"#, InvalidParameterValue),
        (
            "CreateQueue",
            r#""QueueName":"a","Attributes":{"X":"1"}"#,
            InvalidAttributeName,
        ),
        (
            "CreateQueue",
            r#""QueueName":"a","Attributes":{"DelaySeconds":"901"}"#,
            InvalidAttributeValue,
        ),
        (
            "CreateQueue",
            r#""QueueName":"a","Attributes":{"DelaySeconds":5}"#,
            InvalidParameterValue,
        ),
        (
            "CreateQueue",
            r#""QueueName":"a","Attributes":{"FifoQueue":"true"}"#,
            InvalidParameterValue,
        ),
        (
            "CreateQueue",
            r#""QueueName":"a","Attributes":[]"#,
            InvalidParameterValue,
        ),
        (
            "CreateQueue",
            r#""QueueName":"a","tags":{"":"x"}"#,
            InvalidParameterValue,
        ),
        ("SetQueueAttributes", "", MissingParameter),
        (
            "GetQueueAttributes",
            r#""AttributeNames":["X"]"#,
            InvalidAttributeName,
        ),
        ("ListQueues", r#""MaxResults":0"#, InvalidParameterValue),
        ("ListQueues", r#""MaxResults":1001"#, InvalidParameterValue),
        ("ListQueues", r#""MaxResults":1.5"#, InvalidParameterValue),
        ("ListQueues", r#""MaxResults":-1"#, InvalidParameterValue),
        ("SendMessage", "", MissingParameter),
        ("SendMessage", r#""MessageBody":"""#, MissingParameter),
        (
            "SendMessage",
            r#""MessageBody":"a\u0000""#,
            InvalidMessageContents,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","DelaySeconds":901"#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageDeduplicationId":"d""#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageGroupId":"a b""#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageAttributes":{"x":{}}"#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageAttributes":{"x":"y"}"#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageAttributes":{"x":{"DataType":"Binary","BinaryValue":"*"}}"#,
            InvalidParameterValue,
        ),
        (
            "SendMessage",
            r#""MessageBody":"a","MessageSystemAttributes":{"x":{"DataType":"String","StringValue":"y"}}"#,
            InvalidParameterValue,
        ),
        ("SendMessageBatch", "", EmptyBatchRequest),
        ("SendMessageBatch", r#""Entries":[]"#, EmptyBatchRequest),
        ("SendMessageBatch", r#""Entries":{}"#, InvalidParameterValue),
        (
            "SendMessageBatch",
            r#""Entries":[1]"#,
            InvalidParameterValue,
        ),
        (
            "SendMessageBatch",
            r#""Entries":[{"MessageBody":"a"}]"#,
            MissingParameter,
        ),
        ("DeleteMessageBatch", &eleven, TooManyEntriesInBatchRequest),
        (
            "DeleteMessageBatch",
            r#""Entries":[{"Id":"a b"}]"#,
            InvalidBatchEntryId,
        ),
        (
            "DeleteMessageBatch",
            r#""Entries":[{"Id":"a"},{"Id":"a"}]"#,
            BatchEntryIdsNotDistinct,
        ),
        ("DeleteMessage", "", MissingParameter),
        ("DeleteMessage", &long, ReceiptHandleIsInvalid),
        (
            "ChangeMessageVisibility",
            r#""ReceiptHandle":"h""#,
            MissingParameter,
        ),
        (
            "ChangeMessageVisibility",
            r#""ReceiptHandle":"h","VisibilityTimeout":43201"#,
            InvalidParameterValue,
        ),
        (
            "ReceiveMessage",
            r#""MaxNumberOfMessages":11"#,
            InvalidParameterValue,
        ),
        (
            "ReceiveMessage",
            r#""WaitTimeSeconds":21"#,
            InvalidParameterValue,
        ),
        (
            "ReceiveMessage",
            r#""AttributeNames":["X"]"#,
            InvalidAttributeName,
        ),
        (
            "StartMessageMoveTask",
            r#""SourceArn":"x""#,
            InvalidParameterValue,
        ),
        ("ListMessageMoveTasks", "", MissingParameter),
        ("CancelMessageMoveTask", "", MissingParameter),
        ("TagQueue", "", MissingParameter),
        ("UntagQueue", "", MissingParameter),
        ("ListQueues", r#""x""#, ErrorCode::MalformedInput),
    ];
    for (action, members, code) in cases {
        let comma = if members.is_empty() { "" } else { "," };
        let body = format!(r#"{{"QueueUrl":"jobs"{comma}{members}}}"#);
        assert_eq!(
            json(action, body.as_bytes()).unwrap_err().code,
            code,
            "{action} {body}"
        );
    }
}

#[test]
fn forms_that_are_wrong_are_refused_by_their_code() {
    use ErrorCode::{InvalidParameterValue, MalformedInput, MissingAction};
    let cases = [
        ("Version=2012-11-05", MissingAction),
        ("Action=&QueueName=a", MissingAction),
        ("Action=Nope", ErrorCode::InvalidAction),
        (
            "Action=CreateQueue&QueueName=a&Attribute.1.Value=5",
            MalformedInput,
        ),
        (
            "Action=CreateQueue&QueueName=a&Attribute.x.Name=DelaySeconds",
            MalformedInput,
        ),
        ("Action=CreateQueue&QueueName=a&QueueName=b", MalformedInput),
        ("Action=CreateQueue&QueueName=%ff", MalformedInput),
        ("Action=CreateQueue&.=a", MalformedInput),
        (
            "Action=UntagQueue&QueueUrl=jobs&TagKey.1=a&TagKey.x=b",
            MalformedInput,
        ),
        (
            "Action=TagQueue&QueueUrl=jobs&Tag.1.Key=a&Tag.2.Key=a",
            MalformedInput,
        ),
        (
            "Action=CreateQueue&QueueName=a&Attribute.1.Name=DelaySeconds",
            ErrorCode::InvalidAttributeValue,
        ),
        (
            "Action=ReceiveMessage&QueueUrl=jobs&MaxNumberOfMessages=+1",
            InvalidParameterValue,
        ),
        (
            "Action=ReceiveMessage&QueueUrl=jobs&MaxNumberOfMessages=",
            InvalidParameterValue,
        ),
        (
            "Action=SendMessageBatch&QueueUrl=jobs",
            ErrorCode::EmptyBatchRequest,
        ),
    ];
    for (body, code) in cases {
        assert_eq!(form(body).unwrap_err().code, code, "{body}");
    }
    // A GET to the root, as of a browser.
    assert_eq!(form("").unwrap_err().code, MissingAction);
}

#[test]
fn a_message_in_a_fifo_queue_is_of_a_group() {
    let send = |members: &str| {
        json(
            "SendMessage",
            format!(r#"{{"QueueUrl":"q.fifo","MessageBody":"a"{members}}}"#).as_bytes(),
        )
    };
    assert_eq!(send("").unwrap_err().code, ErrorCode::MissingParameter);
    let delayed = send(r#","MessageGroupId":"g","DelaySeconds":1"#).unwrap_err();
    assert_eq!(delayed.code, ErrorCode::InvalidParameterValue);
    assert!(send(r#","MessageGroupId":"g","DelaySeconds":0"#).is_ok());
}

#[test]
fn a_bad_entry_does_not_fail_the_others() {
    let body = br#"{"QueueUrl":"jobs","Entries":[{"Id":"a","MessageBody":"x\u0001"},{"Id":"b","MessageBody":"x"},{"Id":"c"}]}"#;
    let Call::SendMessageBatch { entries, .. } = json("SendMessageBatch", body).unwrap() else {
        panic!("another call")
    };
    let codes: Vec<_> = entries
        .into_iter()
        .map(|entry| entry.item.err().map(|error| error.code))
        .collect();
    assert_eq!(
        codes,
        [
            Some(ErrorCode::InvalidMessageContents),
            None,
            Some(ErrorCode::MissingParameter)
        ]
    );
}

#[test]
fn messages_are_of_1_mib_at_most_and_batches_too() {
    let full = "x".repeat(MESSAGE_BYTES_MAX);
    let half = "x".repeat(MESSAGE_BYTES_MAX / 2);
    let send = |body: &str, end: &str| {
        form(&format!(
            "Action=SendMessage&QueueUrl=jobs&MessageBody={body}{end}"
        ))
    };
    assert!(send(&full, "").is_ok());
    assert_eq!(
        send(&full, "x").unwrap_err().code,
        ErrorCode::InvalidParameterValue
    );
    let attribute = "&MessageAttribute.1.Name=n&MessageAttribute.1.Value.DataType=String&MessageAttribute.1.Value.StringValue=v";
    assert!(
        send(&half, attribute).is_ok() && send(&full, attribute).is_err(),
        "attributes count"
    );
    let two = |end: &str| {
        let entry = |at: u32| {
            let entry = format!("SendMessageBatchRequestEntry.{at}");
            format!("&{entry}.Id={at}&{entry}.MessageBody={half}")
        };
        form(&format!(
            "Action=SendMessageBatch&QueueUrl=jobs{}{}{end}",
            entry(1),
            entry(2)
        ))
    };
    assert!(two("").is_ok());
    assert_eq!(two("x").unwrap_err().code, ErrorCode::BatchRequestTooLong);
}

#[test]
fn a_request_of_no_dialect_is_refused() {
    let send = |method, headers: &[(&str, &str)], body: &[u8]| {
        let request = SqsRequest {
            method,
            path: "/",
            query: "",
            headers,
            body,
        };
        read(&request).map_err(|(error, dialect)| (error.code, dialect))
    };
    let json = [("content-type", "application/x-amz-json-1.0")];
    assert_eq!(
        send("POST", &json, b"{}"),
        Err((ErrorCode::InvalidAction, Dialect::Json))
    );
    let other = [("x-amz-target", "DynamoDB_20120810.ListTables")];
    assert_eq!(
        send("POST", &other, b"{}"),
        Err((ErrorCode::InvalidAction, Dialect::Json))
    );
    let list = [("x-amz-target", "AmazonSQS.ListQueues")];
    assert_eq!(
        send("GET", &list, b"{}"),
        Err((ErrorCode::InvalidAction, Dialect::Json))
    );
    for body in [b"[]".as_slice(), b"{", b"\xff", b"null", &[b'['; 10_000]] {
        assert_eq!(
            send("POST", &list, body),
            Err((ErrorCode::MalformedInput, Dialect::Json))
        );
    }
    assert!(send("POST", &list, b"").is_ok());
    assert_eq!(
        send("PUT", &[], b"Action=ListQueues"),
        Err((ErrorCode::InvalidAction, Dialect::Query))
    );
    for body in ["a&".repeat(1001), "a.".repeat(8) + "a=1", "a".repeat(257)] {
        assert_eq!(
            send("POST", &[], body.as_bytes()),
            Err((ErrorCode::MalformedInput, Dialect::Query))
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn no_bytes_break_the_readers(path in any::<String>(), query in any::<String>(), body in vec(any::<u8>(), 0..200)) {
        let _ = form_at(&path, &query, &body);
        let _ = json("SendMessage", &body);
    }

    #[test]
    fn a_damaged_request_is_read_or_refused(
        (action, members) in damaged(true),
        (_, sent) in damaged(false),
        text in form_text(),
    ) {
        let _ = json(action, &members);
        let _ = form_at("/", "", &sent);
        let _ = form(&text);
    }
}

/// A request that an SDK sent, with some bytes of it replaced.
fn damaged(json: bool) -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    (
        0..SENT.len(),
        vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    )
        .prop_map(move |(at, changes)| {
            let mut body = if json { SENT[at].json } else { SENT[at].form }
                .as_bytes()
                .to_vec();
            for (place, byte) in changes {
                *place.get_mut(&mut body) = byte;
            }
            (SENT[at].action, body)
        })
}

/// Names and values that forms are made of, put together at random.
fn form_text() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "Action",
        "QueueUrl",
        "QueueName",
        "Attribute",
        "Tag",
        "TagKey",
        "AttributeName",
        "MessageAttribute",
        "SendMessageBatchRequestEntry",
        "1",
        "2",
        "x",
        "Name",
        "Value",
        "Key",
        "Id",
        "MessageBody",
    ]);
    let values = prop::sample::select(vec![
        "a",
        "%ff",
        "jobs",
        "CreateQueue",
        "SendMessageBatch",
        "UntagQueue",
    ]);
    let pair =
        (vec(words, 1..5), values).prop_map(|(name, value)| format!("{}={value}", name.join(".")));
    vec(pair, 0..8).prop_map(|pairs| pairs.join("&"))
}

#[track_caller]
fn json(action: &str, body: &[u8]) -> Result<Call, SqsError> {
    let target = format!("AmazonSQS.{action}");
    let headers = [
        ("X-Amz-Target", target.as_str()),
        ("Content-Type", "application/x-amz-json-1.0"),
    ];
    in_dialect(
        &SqsRequest {
            method: "POST",
            path: "/",
            query: "",
            headers: &headers,
            body,
        },
        Dialect::Json,
    )
}

fn form(body: &str) -> Result<Call, SqsError> {
    form_at("/", "", body.as_bytes())
}

/// A POST if there is a body, otherwise a GET.
#[track_caller]
fn form_at(path: &str, query: &str, body: &[u8]) -> Result<Call, SqsError> {
    let headers = [(
        "Content-Type",
        "application/x-www-form-urlencoded; charset=utf-8",
    )];
    let method = if body.is_empty() { "GET" } else { "POST" };
    in_dialect(
        &SqsRequest {
            method,
            path,
            query,
            headers: &headers,
            body,
        },
        Dialect::Query,
    )
}

#[track_caller]
fn in_dialect(request: &SqsRequest<'_>, expected: Dialect) -> Result<Call, SqsError> {
    let (result, dialect) = match read(request) {
        Ok((call, dialect)) => (Ok(call), dialect),
        Err((error, dialect)) => (Err(error), dialect),
    };
    assert_eq!(dialect, expected);
    result
}

/// The calls that `SENT` has, in its order.
fn expected() -> Vec<Call> {
    let queue = name("jobs");
    let handle = "AQEB-handle".to_owned();
    let arn = |queue| QueueArn::new("eu-west-1", name(queue));
    let policy = r#"{"deadLetterTargetArn":"arn:aws:sqs:eu-west-1:000000000000:dead","maxReceiveCount":"3"}"#;
    let changes = |pairs| QueueAttributeChanges::read(&map(pairs)).unwrap();
    let attribute = |data_type: &str, value| MessageAttribute {
        data_type: data_type.to_owned(),
        value,
    };
    let raw = attribute("Binary.png", AttributeValue::Bytes(vec![0, 255, 16]));
    let number = attribute("Number", AttributeValue::Text("12.5".to_owned()));
    let bare = |body: &str| Message {
        body: body.to_owned(),
        ..Message::default()
    };
    let message = Message {
        delay: Some(7),
        attributes: [
            ("kind".to_owned(), MessageAttribute::text("order")),
            ("raw".to_owned(), raw),
        ]
        .into(),
        trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned()),
        ..bare("café & <tea> 100%+1\n")
    };
    let fifo = Message {
        group: Some("g".to_owned()),
        deduplication: Some("d".to_owned()),
        ..bare("x")
    };
    let two = Message {
        delay: Some(3),
        attributes: MessageAttributes::from([("n".to_owned(), number)]),
        ..bare("two")
    };
    let receive = Receive {
        max: 10,
        visibility: Some(30),
        wait: Some(20),
        message_attributes: MessageAttributeFilter::new(texts(&["kind", "trace.*"])).unwrap(),
        system_attributes: SystemAttributeFilter::new(&texts(&["SentTimestamp"])).unwrap(),
        attempt: Some("r1".to_owned()),
    };
    let change = |visibility| VisibilityChange {
        receipt: handle.clone(),
        visibility,
    };
    vec![
        Call::CreateQueue {
            name: queue.clone(),
            attributes: changes(&[("DelaySeconds", "5"), ("RedrivePolicy", policy)]),
            tags: map(&[("team", "shop")]),
        },
        Call::GetQueueUrl {
            name: queue.clone(),
        },
        Call::ListQueues {
            prefix: "jo".to_owned(),
            max: Some(7),
            token: Some("t1".to_owned()),
        },
        Call::DeleteQueue {
            queue: queue.clone(),
        },
        Call::GetQueueAttributes {
            queue: queue.clone(),
            names: QueueAttributeFilter::new(&texts(&["QueueArn", "DelaySeconds"])).unwrap(),
        },
        Call::SetQueueAttributes {
            queue: queue.clone(),
            attributes: changes(&[("VisibilityTimeout", "60")]),
        },
        Call::PurgeQueue {
            queue: queue.clone(),
        },
        Call::SendMessage {
            queue: queue.clone(),
            message,
        },
        Call::SendMessage {
            queue: name("jobs.fifo"),
            message: fifo,
        },
        Call::SendMessageBatch {
            queue: queue.clone(),
            entries: vec![entry("a", bare("one")), entry("b", two)],
        },
        Call::ReceiveMessage {
            queue: queue.clone(),
            receive,
        },
        Call::DeleteMessage {
            queue: queue.clone(),
            receipt: handle.clone(),
        },
        Call::DeleteMessageBatch {
            queue: queue.clone(),
            entries: vec![entry("a", handle.clone()), entry("b", "h/2+=".to_owned())],
        },
        Call::ChangeMessageVisibility {
            queue: queue.clone(),
            change: change(0),
        },
        Call::ChangeMessageVisibilityBatch {
            queue: queue.clone(),
            entries: vec![entry("a", change(9))],
        },
        Call::ListDeadLetterSourceQueues {
            queue: queue.clone(),
            max: Some(5),
            token: None,
        },
        Call::StartMessageMoveTask {
            source: arn("dead"),
            destination: Some(arn("jobs")),
            messages_per_second_max: Some(50),
        },
        Call::ListMessageMoveTasks {
            source: arn("dead"),
            max: 2,
        },
        Call::CancelMessageMoveTask {
            task: "task-1".to_owned(),
        },
        Call::TagQueue {
            queue: queue.clone(),
            tags: map(&[("team", "shop"), ("env", "test")]),
        },
        Call::UntagQueue {
            queue: queue.clone(),
            keys: texts(&["team", "env"]),
        },
        Call::ListQueueTags { queue },
    ]
}

fn entry<T>(id: &str, item: T) -> BatchEntry<T> {
    BatchEntry {
        id: id.to_owned(),
        item: Ok(item),
    }
}

fn name(name: &str) -> QueueName {
    QueueName::new(name).unwrap()
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|&(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}
