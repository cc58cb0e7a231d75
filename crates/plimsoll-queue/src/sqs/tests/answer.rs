//! Goal: SDKs of either dialect find in an answer what was put into it.
//! Method: golden bytes of every answer, which the parsers of an SDK were seen to read back; and properties over any text.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use crate::sqs::{
    AttributeValue, BatchAnswer, Dialect, ErrorCode, Message, MessageAttribute, MoveTask,
    QueueAttribute, ReceivedMessage, Reply, SentMessage, SqsError, SystemAttribute, Written, write,
    write_error,
};

#[test]
fn answers_in_json_are_what_an_sdk_reads() {
    for (reply, Golden { json, .. }) in replies().iter().zip(GOLDEN) {
        let Written {
            status,
            content_type,
            headers,
            body,
        } = write(reply, Dialect::Json, "r-1");
        assert_eq!((status, content_type), (200, "application/x-amz-json-1.0"));
        assert_eq!(headers, [("x-amzn-requestid", "r-1".to_owned())]);
        assert_eq!(String::from_utf8(body).unwrap(), *json);
        assert!(serde_json::from_str::<Value>(json).unwrap().is_object());
    }
    assert_eq!(replies().len(), GOLDEN.len());
}

#[test]
fn answers_in_xml_are_what_an_sdk_reads() {
    for (reply, Golden { result, .. }) in replies().iter().zip(GOLDEN) {
        let Written {
            status,
            content_type,
            body,
            ..
        } = write(reply, Dialect::Query, "r-1");
        assert_eq!((status, content_type), (200, "text/xml"));
        let action = reply.action();
        let result = match *result {
            "" => String::new(),
            "-" => format!("<{action}Result></{action}Result>"),
            members => format!("<{action}Result>{members}</{action}Result>"),
        };
        let expected = format!(
            "<?xml version=\"1.0\"?><{action}Response xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">{result}\
             <ResponseMetadata><RequestId>r-1</RequestId></ResponseMetadata></{action}Response>"
        );
        assert_eq!(String::from_utf8(body).unwrap(), expected);
    }
}

#[test]
fn a_refusal_has_both_of_its_names() {
    let error = SqsError::new(
        ErrorCode::QueueDoesNotExist,
        "The specified queue does not exist.",
    );
    let json = write_error(&error, Dialect::Json, "r-1");
    let headers = [
        ("x-amzn-requestid", "r-1".to_owned()),
        (
            "x-amzn-query-error",
            "AWS.SimpleQueueService.NonExistentQueue;Sender".to_owned(),
        ),
    ];
    assert_eq!(
        (json.status, json.headers.as_slice()),
        (400, headers.as_slice())
    );
    let body = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
    assert_eq!(String::from_utf8(json.body).unwrap(), body);

    let xml = write_error(&error, Dialect::Query, "r-1");
    let body = "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error>\
                <Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>\
                <Message>The specified queue does not exist.</Message><Detail></Detail></Error>\
                <RequestId>r-1</RequestId></ErrorResponse>";
    assert_eq!(
        (xml.status, String::from_utf8(xml.body).unwrap().as_str()),
        (400, body)
    );

    let internal = write_error(
        &SqsError::new(ErrorCode::InternalError, "Try again."),
        Dialect::Json,
        "r-1",
    );
    assert_eq!(internal.status, 500);
    assert!(
        internal
            .headers
            .contains(&("x-amzn-query-error", "InternalError;Receiver".to_owned()))
    );
    let purge = SqsError::new(ErrorCode::PurgeQueueInProgress, "Wait.");
    assert_eq!(
        (purge.status(Dialect::Json), purge.status(Dialect::Query)),
        (400, 403)
    );
}

#[test]
fn every_code_has_names_of_its_own() {
    let shapes: BTreeMap<_, _> = ErrorCode::ALL
        .iter()
        .map(|code| (code.shape(), code))
        .collect();
    let names: BTreeMap<_, _> = ErrorCode::ALL
        .iter()
        .map(|code| (code.query_name(), code))
        .collect();
    assert_eq!(
        (shapes.len(), names.len()),
        (ErrorCode::ALL.len(), ErrorCode::ALL.len())
    );
    assert!(shapes.keys().all(|shape| shape.starts_with("com.amazon")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn any_text_comes_back_from_json(text in any::<String>()) {
        let written = write(&Reply::CreateQueue { url: text.clone() }, Dialect::Json, "r");
        let read: Value = serde_json::from_slice(&written.body).unwrap();
        prop_assert_eq!(read.get("QueueUrl").and_then(Value::as_str), Some(text.as_str()));
    }

    #[test]
    fn any_text_stays_within_its_element(text in any::<String>()) {
        let written = write(&Reply::CreateQueue { url: text.clone() }, Dialect::Query, "r");
        let body = String::from_utf8(written.body).unwrap();
        let (_, rest) = body.split_once("<QueueUrl>").unwrap();
        let (escaped, _) = rest.split_once("</QueueUrl>").unwrap();
        prop_assert!(!escaped.contains(['<', '>', '"', '\r']));
        let read = ["&lt;<", "&gt;>", "&quot;\"", "&#xd;\r", "&amp;&"].iter().fold(escaped.to_owned(), |text, escape| {
            let (coded, plain) = escape.split_at(escape.len() - 1);
            text.replace(coded, plain)
        });
        let expected: String =
            text.chars().map(|it| if it < ' ' && !"\t\n\r".contains(it) { '\u{fffd}' } else { it }).collect();
        prop_assert_eq!(read, expected);
    }
}

/// One of each, as an engine would give them.
fn replies() -> Vec<Reply> {
    let url = |name: &str| format!("http://localhost:9324/000000000000/{name}");
    let map = |pairs: &[(&str, &str)]| {
        pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    };
    let raw = MessageAttribute {
        data_type: "Binary.png".to_owned(),
        value: AttributeValue::Bytes(vec![0, 255, 16]),
    };
    let attributes: BTreeMap<_, _> = [
        ("kind".to_owned(), MessageAttribute::text("a<b")),
        ("raw".to_owned(), raw),
    ]
    .into();
    let message = Message {
        body: "caf\u{e9} & <tea>\r\n\"x\" \\".to_owned(),
        attributes: attributes.clone(),
        trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793".to_owned()),
        ..Message::default()
    };
    let bare = Message {
        body: "one".to_owned(),
        ..Message::default()
    };
    let sent = |message| SentMessage::new(message, "m-1".to_owned(), None);
    let fifo = SentMessage::new(
        &bare,
        "m-2".to_owned(),
        Some("18870000000000000001".to_owned()),
    );
    let gone = SqsError::new(
        ErrorCode::MessageNotInflight,
        "The message is not in flight.",
    );
    let mixed = || BatchAnswer {
        results: vec![
            ("a".to_owned(), Ok(())),
            ("b".to_owned(), Err(gone.clone())),
        ],
    };
    let received = ReceivedMessage {
        id: "m-1".to_owned(),
        receipt: "h/1+=".to_owned(),
        body: message.body.clone(),
        system_attributes: vec![
            (SystemAttribute::SentTimestamp, "1772600767000".to_owned()),
            (SystemAttribute::ApproximateReceiveCount, "1".to_owned()),
        ],
        attributes,
    };
    let plain = ReceivedMessage {
        id: "m-2".to_owned(),
        receipt: "h2".to_owned(),
        body: "one".to_owned(),
        system_attributes: Vec::new(),
        attributes: BTreeMap::new(),
    };
    let running = MoveTask {
        task: Some("t-1".to_owned()),
        status: "RUNNING",
        source: "arn:aws:sqs:eu-west-1:000000000000:dead".to_owned(),
        destination: Some("arn:aws:sqs:eu-west-1:000000000000:jobs".to_owned()),
        messages_per_second_max: Some(50),
        moved: 3,
        to_move: Some(10),
        failure: None,
        started_at: 1_772_600_767_000,
    };
    let failed = MoveTask {
        task: None,
        status: "FAILED",
        destination: None,
        messages_per_second_max: None,
        to_move: None,
        failure: Some("gone".to_owned()),
        ..running.clone()
    };
    vec![
        Reply::CreateQueue { url: url("jobs") },
        Reply::GetQueueUrl { url: url("jobs") },
        Reply::ListQueues {
            urls: vec![url("jobs"), url("dead")],
            token: Some("t2".to_owned()),
        },
        Reply::ListQueues {
            urls: Vec::new(),
            token: None,
        },
        Reply::DeleteQueue,
        Reply::GetQueueAttributes {
            attributes: [
                (QueueAttribute::DelaySeconds, "5".to_owned()),
                (QueueAttribute::Policy, "{\"a\":1}".to_owned()),
            ]
            .into(),
        },
        Reply::SetQueueAttributes,
        Reply::PurgeQueue,
        Reply::SendMessage(sent(&message)),
        Reply::SendMessageBatch(BatchAnswer {
            results: vec![
                ("a".to_owned(), Ok(sent(&bare))),
                ("b".to_owned(), Ok(fifo)),
                ("c".to_owned(), Err(gone.clone())),
            ],
        }),
        Reply::ReceiveMessage {
            messages: vec![received, plain],
        },
        Reply::ReceiveMessage {
            messages: Vec::new(),
        },
        Reply::DeleteMessage,
        Reply::DeleteMessageBatch(mixed()),
        Reply::ChangeMessageVisibility,
        Reply::ChangeMessageVisibilityBatch(mixed()),
        Reply::ListDeadLetterSourceQueues {
            urls: vec![url("jobs")],
            token: None,
        },
        Reply::StartMessageMoveTask {
            task: "t-1".to_owned(),
        },
        Reply::ListMessageMoveTasks {
            tasks: vec![running, failed],
        },
        Reply::CancelMessageMoveTask { moved: 3 },
        Reply::TagQueue,
        Reply::UntagQueue,
        Reply::ListQueueTags {
            tags: map(&[("env", "test"), ("team", "shop")]),
        },
    ]
}

/// What an answer is in JSON, and in XML the result without what is around it: `-` if that is empty, nothing if there is none.
struct Golden {
    json: &'static str,
    result: &'static str,
}

#[rustfmt::skip]
const GOLDEN: &[Golden] = &[
    Golden { json: r#"{"QueueUrl":"http://localhost:9324/000000000000/jobs"}"#, result: "<QueueUrl>http://localhost:9324/000000000000/jobs</QueueUrl>" },
    Golden { json: r#"{"QueueUrl":"http://localhost:9324/000000000000/jobs"}"#, result: "<QueueUrl>http://localhost:9324/000000000000/jobs</QueueUrl>" },
    Golden { json: r#"{"QueueUrls":["http://localhost:9324/000000000000/jobs","http://localhost:9324/000000000000/dead"],"NextToken":"t2"}"#, result: "<QueueUrl>http://localhost:9324/000000000000/jobs</QueueUrl><QueueUrl>http://localhost:9324/000000000000/dead</QueueUrl><NextToken>t2</NextToken>" },
    Golden { json: r#"{}"#, result: "-" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{"Attributes":{"Policy":"{\"a\":1}","DelaySeconds":"5"}}"#, result: "<Attribute><Name>Policy</Name><Value>{&quot;a&quot;:1}</Value></Attribute><Attribute><Name>DelaySeconds</Name><Value>5</Value></Attribute>" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{"MessageId":"m-1","MD5OfMessageBody":"25006d657491e367f983b60747056468","MD5OfMessageAttributes":"75c033896d69734e46f44d5bad9d8fd0","MD5OfMessageSystemAttributes":"62a56dd927315f2b2e12832b84617ea5"}"#, result: "<MessageId>m-1</MessageId><MD5OfMessageBody>25006d657491e367f983b60747056468</MD5OfMessageBody><MD5OfMessageAttributes>75c033896d69734e46f44d5bad9d8fd0</MD5OfMessageAttributes><MD5OfMessageSystemAttributes>62a56dd927315f2b2e12832b84617ea5</MD5OfMessageSystemAttributes>" },
    Golden { json: r#"{"Successful":[{"Id":"a","MessageId":"m-1","MD5OfMessageBody":"f97c5d29941bfb1b2fdab0874906ab82"},{"Id":"b","MessageId":"m-2","MD5OfMessageBody":"f97c5d29941bfb1b2fdab0874906ab82","SequenceNumber":"18870000000000000001"}],"Failed":[{"Id":"c","SenderFault":true,"Code":"AWS.SimpleQueueService.MessageNotInflight","Message":"The message is not in flight."}]}"#, result: "<SendMessageBatchResultEntry><Id>a</Id><MessageId>m-1</MessageId><MD5OfMessageBody>f97c5d29941bfb1b2fdab0874906ab82</MD5OfMessageBody></SendMessageBatchResultEntry><SendMessageBatchResultEntry><Id>b</Id><MessageId>m-2</MessageId><MD5OfMessageBody>f97c5d29941bfb1b2fdab0874906ab82</MD5OfMessageBody><SequenceNumber>18870000000000000001</SequenceNumber></SendMessageBatchResultEntry><BatchResultErrorEntry><Id>c</Id><SenderFault>true</SenderFault><Code>AWS.SimpleQueueService.MessageNotInflight</Code><Message>The message is not in flight.</Message></BatchResultErrorEntry>" },
    Golden { json: r#"{"Messages":[{"MessageId":"m-1","ReceiptHandle":"h/1+=","MD5OfBody":"25006d657491e367f983b60747056468","Body":"café & <tea>\r\n\"x\" \\","Attributes":{"SentTimestamp":"1772600767000","ApproximateReceiveCount":"1"},"MD5OfMessageAttributes":"75c033896d69734e46f44d5bad9d8fd0","MessageAttributes":{"kind":{"StringValue":"a<b","DataType":"String"},"raw":{"BinaryValue":"AP8Q","DataType":"Binary.png"}}},{"MessageId":"m-2","ReceiptHandle":"h2","MD5OfBody":"f97c5d29941bfb1b2fdab0874906ab82","Body":"one"}]}"#, result: "<Message><MessageId>m-1</MessageId><ReceiptHandle>h/1+=</ReceiptHandle><MD5OfBody>25006d657491e367f983b60747056468</MD5OfBody><Body>café &amp; &lt;tea&gt;&#xd;\n&quot;x&quot; \\</Body><Attribute><Name>SentTimestamp</Name><Value>1772600767000</Value></Attribute><Attribute><Name>ApproximateReceiveCount</Name><Value>1</Value></Attribute><MD5OfMessageAttributes>75c033896d69734e46f44d5bad9d8fd0</MD5OfMessageAttributes><MessageAttribute><Name>kind</Name><Value><StringValue>a&lt;b</StringValue><DataType>String</DataType></Value></MessageAttribute><MessageAttribute><Name>raw</Name><Value><BinaryValue>AP8Q</BinaryValue><DataType>Binary.png</DataType></Value></MessageAttribute></Message><Message><MessageId>m-2</MessageId><ReceiptHandle>h2</ReceiptHandle><MD5OfBody>f97c5d29941bfb1b2fdab0874906ab82</MD5OfBody><Body>one</Body></Message>" },
    Golden { json: r#"{}"#, result: "-" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{"Successful":[{"Id":"a"}],"Failed":[{"Id":"b","SenderFault":true,"Code":"AWS.SimpleQueueService.MessageNotInflight","Message":"The message is not in flight."}]}"#, result: "<DeleteMessageBatchResultEntry><Id>a</Id></DeleteMessageBatchResultEntry><BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault><Code>AWS.SimpleQueueService.MessageNotInflight</Code><Message>The message is not in flight.</Message></BatchResultErrorEntry>" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{"Successful":[{"Id":"a"}],"Failed":[{"Id":"b","SenderFault":true,"Code":"AWS.SimpleQueueService.MessageNotInflight","Message":"The message is not in flight."}]}"#, result: "<ChangeMessageVisibilityBatchResultEntry><Id>a</Id></ChangeMessageVisibilityBatchResultEntry><BatchResultErrorEntry><Id>b</Id><SenderFault>true</SenderFault><Code>AWS.SimpleQueueService.MessageNotInflight</Code><Message>The message is not in flight.</Message></BatchResultErrorEntry>" },
    Golden { json: r#"{"queueUrls":["http://localhost:9324/000000000000/jobs"]}"#, result: "<QueueUrl>http://localhost:9324/000000000000/jobs</QueueUrl>" },
    Golden { json: r#"{"TaskHandle":"t-1"}"#, result: "<TaskHandle>t-1</TaskHandle>" },
    Golden { json: r#"{"Results":[{"TaskHandle":"t-1","Status":"RUNNING","SourceArn":"arn:aws:sqs:eu-west-1:000000000000:dead","DestinationArn":"arn:aws:sqs:eu-west-1:000000000000:jobs","MaxNumberOfMessagesPerSecond":50,"ApproximateNumberOfMessagesMoved":3,"ApproximateNumberOfMessagesToMove":10,"StartedTimestamp":1772600767000},{"Status":"FAILED","SourceArn":"arn:aws:sqs:eu-west-1:000000000000:dead","ApproximateNumberOfMessagesMoved":3,"FailureReason":"gone","StartedTimestamp":1772600767000}]}"#, result: "<ListMessageMoveTasksResultEntry><TaskHandle>t-1</TaskHandle><Status>RUNNING</Status><SourceArn>arn:aws:sqs:eu-west-1:000000000000:dead</SourceArn><DestinationArn>arn:aws:sqs:eu-west-1:000000000000:jobs</DestinationArn><MaxNumberOfMessagesPerSecond>50</MaxNumberOfMessagesPerSecond><ApproximateNumberOfMessagesMoved>3</ApproximateNumberOfMessagesMoved><ApproximateNumberOfMessagesToMove>10</ApproximateNumberOfMessagesToMove><StartedTimestamp>1772600767000</StartedTimestamp></ListMessageMoveTasksResultEntry><ListMessageMoveTasksResultEntry><Status>FAILED</Status><SourceArn>arn:aws:sqs:eu-west-1:000000000000:dead</SourceArn><ApproximateNumberOfMessagesMoved>3</ApproximateNumberOfMessagesMoved><FailureReason>gone</FailureReason><StartedTimestamp>1772600767000</StartedTimestamp></ListMessageMoveTasksResultEntry>" },
    Golden { json: r#"{"ApproximateNumberOfMessagesMoved":3}"#, result: "<ApproximateNumberOfMessagesMoved>3</ApproximateNumberOfMessagesMoved>" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{}"#, result: "" },
    Golden { json: r#"{"Tags":{"env":"test","team":"shop"}}"#, result: "<Tag><Key>env</Key><Value>test</Value></Tag><Tag><Key>team</Key><Value>shop</Value></Tag>" },
];
