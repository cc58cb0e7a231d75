//! What goes along with the body of a message: attributes of the sender's and of the system's, their checks and their digests.

use std::collections::BTreeMap;

use aws_lc_rs::digest::{SHA256, digest};
use md5::{Digest as _, Md5};

use crate::sqs::encoding::hex;
use crate::sqs::{ErrorCode, Message, SqsError};

/// The size that a message may have, and the messages of a batch together: body, names, types and values of attributes.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The one system attribute that a sender may give.
pub const TRACE_HEADER: &str = "AWSTraceHeader";

const ATTRIBUTES_MAX: usize = 10;
const NAME_BYTES_MAX: usize = 256;
const TYPE_BYTES_MAX: usize = 256;
const NUMBER_DIGITS_MAX: usize = 38;
const FILTER_NAMES_MAX: usize = 100;

/// The attributes of a message by name, in the order of their digest.
pub type MessageAttributes = BTreeMap<String, MessageAttribute>;

/// A typed value that the sender gave.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MessageAttribute {
    /// `String`, `Number` or `Binary`, and a suffix of the sender's own, as in `Number.int`.
    pub data_type: String,
    /// The value, in the form that the type says.
    pub value: AttributeValue,
}

/// Text of `String` and `Number`, bytes of `Binary`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum AttributeValue {
    /// Of `String` and `Number`.
    Text(String),
    /// Of `Binary`.
    Bytes(Vec<u8>),
}

impl AttributeValue {
    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }
}

impl MessageAttribute {
    /// A value of type `String`.
    #[must_use]
    pub fn text(value: &str) -> Self {
        Self {
            data_type: "String".to_owned(),
            value: AttributeValue::Text(value.to_owned()),
        }
    }

    /// What the name, the type and the value count towards the size of a message.
    pub(crate) fn size(&self, name: &str) -> usize {
        name.len() + self.data_type.len() + self.value.as_bytes().len()
    }

    /// An attribute as it was sent: the type, and one value of either kind.
    pub(crate) fn read(
        name: &str,
        data_type: Option<String>,
        text: Option<String>,
        bytes: Option<Vec<u8>>,
    ) -> Result<Self, SqsError> {
        let refused = |expected: &str| {
            let message = format!("The message attribute '{}' {expected}.", shown(name));
            SqsError::new(ErrorCode::InvalidParameterValue, message)
        };
        let data_type = data_type
            .filter(|kind| !kind.is_empty())
            .ok_or_else(|| refused("must have a non-empty DataType"))?;
        let (base, suffix) = data_type.split_once('.').unwrap_or((&data_type, "x"));
        let in_suffix = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if data_type.len() > TYPE_BYTES_MAX || suffix.is_empty() || !suffix.bytes().all(in_suffix) {
            return Err(refused(
                "has a DataType whose suffix must be letters, digits, '_', '-' and '.'",
            ));
        }
        let value = match (base, text, bytes) {
            ("String", Some(text), None) => {
                check_characters(&text)
                    .map_err(|_| refused("has characters outside of those allowed"))?;
                AttributeValue::Text(text)
            }
            ("Number", Some(text), None) if is_number(&text) => AttributeValue::Text(text),
            ("Number", Some(_), None) => {
                return Err(refused("must be a number of at most 38 digits"));
            }
            ("Binary", None, Some(bytes)) => AttributeValue::Bytes(bytes),
            ("String" | "Number", ..) => {
                return Err(refused("must have a StringValue and nothing else"));
            }
            ("Binary", ..) => {
                return Err(refused(
                    "must have a BinaryValue in base64 and nothing else",
                ));
            }
            _ => return Err(refused("must be of type String, Number or Binary")),
        };
        if value.as_bytes().is_empty() {
            return Err(refused("must have a non-empty value"));
        }
        Ok(Self { data_type, value })
    }
}

/// Whether all names are ones that SQS allows, and few enough.
pub(crate) fn check_names(attributes: &MessageAttributes) -> Result<(), SqsError> {
    if attributes.len() > ATTRIBUTES_MAX {
        return Err(SqsError::invalid(
            "MessageAttributes",
            "A message has at most 10 attributes",
        ));
    }
    for name in attributes.keys() {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        let reserved = |prefix: &str| {
            name.get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        };
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
            return Err(SqsError::invalid(
                "MessageAttributes",
                "A name is 1 to 256 letters, digits, '_', '-' and '.'",
            ));
        }
        if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
            return Err(SqsError::invalid(
                "MessageAttributes",
                "A name has no '.' at its ends, nor two in a row",
            ));
        }
        if reserved("aws.") || reserved("amazon.") {
            return Err(SqsError::invalid(
                "MessageAttributes",
                "A name does not start with 'AWS.' or 'Amazon.'",
            ));
        }
    }
    Ok(())
}

/// An optional sign, digits with at most one point among them, and an optional exponent.
fn is_number(text: &str) -> bool {
    let unsigned = |text: &str| text.strip_prefix(['+', '-']).unwrap_or(text).to_owned();
    let (mantissa, exponent) = text
        .split_once(['e', 'E'])
        .map_or((text, None), |(start, end)| (start, Some(end)));
    let mantissa = unsigned(mantissa);
    let digits = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let points = mantissa.bytes().filter(|byte| *byte == b'.').count();
    let exponent_fits = exponent.is_none_or(|exponent| {
        let digits = unsigned(exponent);
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.parse::<u32>().is_ok_and(|size| size <= 128)
    });
    digits > 0
        && digits <= NUMBER_DIGITS_MAX
        && points <= 1
        && digits + points == mantissa.len()
        && exponent_fits
}

/// Whether the text has only characters that XML 1.0 can carry (its section 2.2), which is what SQS takes.
pub fn check_characters(text: &str) -> Result<(), SqsError> {
    if text.chars().all(in_xml) {
        return Ok(());
    }
    let expected = "A message may have the characters of XML 1.0: #x9, #xA, #xD, #x20 to #xD7FF, #xE000 to #xFFFD, #x10000 to #x10FFFF.";
    Err(SqsError::new(ErrorCode::InvalidMessageContents, expected))
}

fn in_xml(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// At most 40 characters of what a client sent, for a message about it.
pub(crate) fn shown(text: &str) -> String {
    let visible = |character: char| {
        if character.is_control() || !in_xml(character) {
            '\u{fffd}'
        } else {
            character
        }
    };
    text.chars().take(40).map(visible).collect()
}

/// What the SDKs compare with what they sent: lower-case hexadecimal.
#[must_use]
pub fn md5_of_body(body: &str) -> String {
    hex(&Md5::digest(body.as_bytes()))
}

/// The digest over all attributes, in the order of their names; `None` if there are none.
///
/// Source: Amazon SQS Developer Guide, "Calculating the MD5 message digest for message attributes".
#[must_use]
pub fn md5_of_attributes(attributes: &MessageAttributes) -> Option<String> {
    if attributes.is_empty() {
        return None;
    }
    let mut md5 = Md5::new();
    let mut part = |bytes: &[u8], transport: Option<u8>| {
        if let Some(transport) = transport {
            md5.update([transport]);
        }
        md5.update(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        md5.update(bytes);
    };
    for (name, attribute) in attributes {
        let transport = match attribute.value {
            AttributeValue::Text(_) => 1,
            AttributeValue::Bytes(_) => 2,
        };
        part(name.as_bytes(), None);
        part(attribute.data_type.as_bytes(), None);
        part(attribute.value.as_bytes(), Some(transport));
    }
    Some(hex(&md5.finalize()))
}

/// The same over the system attributes that the sender gave, which is the trace header.
#[must_use]
pub fn md5_of_system_attributes(message: &Message) -> Option<String> {
    let header = MessageAttribute::text(message.trace_header.as_deref()?);
    md5_of_attributes(&BTreeMap::from([(TRACE_HEADER.to_owned(), header)]))
}

/// The deduplication id of a message without one, in a queue that deduplicates by content.
#[must_use]
pub fn content_deduplication_id(body: &str) -> String {
    hex(digest(&SHA256, body.as_bytes()).as_ref())
}

/// Which attributes of the sender's a receiver asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct MessageAttributeFilter {
    all: bool,
    names: Vec<String>,
    prefixes: Vec<String>,
}

impl MessageAttributeFilter {
    /// Names as they were sent: `All`, `.*`, a name, or `prefix.*`.
    pub fn new(names: Vec<String>) -> Result<Self, SqsError> {
        if names.len() > FILTER_NAMES_MAX
            || names.iter().any(|name| name.len() > NAME_BYTES_MAX + 2)
        {
            return Err(SqsError::invalid(
                "MessageAttributeNames",
                "There are at most 100 names of at most 256 characters",
            ));
        }
        let mut filter = Self::default();
        for name in names {
            match name.strip_suffix(".*") {
                Some("") => filter.all = true,
                _ if name == "All" => filter.all = true,
                Some(prefix) => filter.prefixes.push(prefix.to_owned()),
                None => filter.names.push(name),
            }
        }
        Ok(filter)
    }

    /// Whether it asks for that attribute.
    #[must_use]
    pub fn asks_for(&self, name: &str) -> bool {
        self.all
            || self.names.iter().any(|asked| asked == name)
            || self
                .prefixes
                .iter()
                .any(|prefix| name.starts_with(prefix.as_str()))
    }

    /// Those of the attributes that it asks for.
    #[must_use]
    pub fn select(&self, attributes: &MessageAttributes) -> MessageAttributes {
        attributes
            .iter()
            .filter(|(name, _)| self.asks_for(name))
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

macro_rules! system_attributes {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// What the queue tells about a message that it hands out.
        #[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
        pub enum SystemAttribute { $($(#[doc = $doc])+ $name,)+ }

        impl SystemAttribute {
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

system_attributes! {
    /// Who sent it.
    SenderId,
    /// When it was sent, in milliseconds since the epoch.
    SentTimestamp,
    /// How often it was handed out, this time included.
    ApproximateReceiveCount,
    /// When it was first handed out, in milliseconds since the epoch.
    ApproximateFirstReceiveTimestamp,
    /// Its place in a FIFO queue.
    SequenceNumber,
    /// The id by which a FIFO queue knows it again.
    MessageDeduplicationId,
    /// The group whose order it is part of.
    MessageGroupId,
    /// What the sender gave for tracing.
    AWSTraceHeader,
    /// The ARN of the queue that gave up on it.
    DeadLetterQueueSourceArn,
}

/// Which system attributes a receiver asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct SystemAttributeFilter {
    asked: Vec<SystemAttribute>,
}

impl SystemAttributeFilter {
    /// Names as they were sent, `All` among them.
    pub fn new(names: &[String]) -> Result<Self, SqsError> {
        let mut filter = Self::default();
        for name in names {
            if name == "All" {
                filter.asked = SystemAttribute::ALL.to_vec();
                continue;
            }
            let known = SystemAttribute::ALL
                .iter()
                .find(|attribute| attribute.name() == name);
            let attribute = known.ok_or_else(|| {
                SqsError::new(
                    ErrorCode::InvalidAttributeName,
                    format!("Unknown Attribute {}.", shown(name)),
                )
            })?;
            if !filter.asks_for(*attribute) {
                filter.asked.push(*attribute);
            }
        }
        Ok(filter)
    }

    /// Whether it asks for that attribute.
    #[must_use]
    pub fn asks_for(&self, attribute: SystemAttribute) -> bool {
        self.asked.contains(&attribute)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &[u8]) -> AttributeValue {
        AttributeValue::Bytes(value.to_vec())
    }

    fn read(
        data_type: &str,
        text: Option<&str>,
        bytes: Option<&[u8]>,
    ) -> Result<MessageAttribute, SqsError> {
        MessageAttribute::read(
            "x",
            Some(data_type.to_owned()),
            text.map(str::to_owned),
            bytes.map(<[u8]>::to_vec),
        )
    }

    #[test]
    fn digests_are_those_that_an_sdk_computes() {
        // Computed by a separate program from the description in the Developer Guide.
        let number = AttributeValue::Text("-12.5e3".to_owned());
        let attributes = MessageAttributes::from([
            ("kind".to_owned(), MessageAttribute::text("order")),
            (
                "raw".to_owned(),
                MessageAttribute {
                    data_type: "Binary.png".to_owned(),
                    value: bytes(&[0, 255, 16]),
                },
            ),
            (
                "n".to_owned(),
                MessageAttribute {
                    data_type: "Number.int".to_owned(),
                    value: number,
                },
            ),
            ("Zed".to_owned(), MessageAttribute::text("café")),
        ]);
        assert_eq!(
            md5_of_attributes(&attributes).unwrap(),
            "4e06e0e7979dc5fac7a56246059ae75d"
        );
        assert_eq!(md5_of_attributes(&MessageAttributes::new()), None);
        let header = "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned();
        let message = Message {
            trace_header: Some(header),
            ..Message::default()
        };
        assert_eq!(
            md5_of_system_attributes(&message).unwrap(),
            "62a56dd927315f2b2e12832b84617ea5"
        );
        assert_eq!(
            md5_of_body("café & <tea> 100%+1\n"),
            "68d732dd4439c793eefc443d70456097"
        );
        assert_eq!(md5_of_body(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(
            content_deduplication_id("one"),
            "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
        );
    }

    #[test]
    fn a_value_is_of_the_type_that_it_says() {
        for number in ["0", "-12.5e3", "+.5", "1.", "1E+10", &"9".repeat(38)] {
            assert!(read("Number", Some(number), None).is_ok(), "{number}");
        }
        for number in [
            "",
            ".",
            "1.2.3",
            "--1",
            "1e",
            "1e999",
            "0x1f",
            "NaN",
            " 1",
            &"9".repeat(39),
        ] {
            assert!(read("Number", Some(number), None).is_err(), "{number}");
        }
        assert_eq!(
            read("Binary.gif", None, Some(&[7])).unwrap().value,
            bytes(&[7])
        );
        assert!(read("String.my-type_1", Some("x"), None).is_ok());
        let refused = [
            read("", Some("x"), None),
            read("Text", Some("x"), None),
            read("string", Some("x"), None),
            read("String.", Some("x"), None),
            read("String.a b", Some("x"), None),
            read("String", Some(""), None),
            read("String", Some("\u{1}"), None),
            read("String", None, Some(&[1])),
            read("String", Some("x"), Some(&[1])),
            read("Binary", Some("x"), None),
            read("Binary", None, Some(&[])),
            MessageAttribute::read("x", None, Some("x".to_owned()), None),
        ];
        for result in refused {
            assert_eq!(result.unwrap_err().code, ErrorCode::InvalidParameterValue);
        }
    }

    #[test]
    fn names_are_those_that_sqs_allows() {
        let check = |name: &str| {
            check_names(&MessageAttributes::from([(
                name.to_owned(),
                MessageAttribute::text("x"),
            )]))
        };
        for good in ["a", "A_b-c.d", "aws", "amazonish.x", &"x".repeat(256)] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            ".a",
            "a.",
            "a..b",
            "AWS.x",
            "aWs.x",
            "Amazon.x",
            "a b",
            "é",
            &"x".repeat(257),
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
        let many = |count: usize| {
            (0..count)
                .map(|at| (format!("a{at}"), MessageAttribute::text("x")))
                .collect()
        };
        assert!(check_names(&many(10)).is_ok());
        assert!(check_names(&many(11)).is_err());
    }

    #[test]
    fn a_body_has_the_characters_of_xml() {
        assert!(
            check_characters("\t\n\r \u{7f}\u{d7ff}\u{e000}\u{fffd}\u{10000}\u{10ffff}").is_ok()
        );
        for bad in ["\0", "\u{8}", "\u{b}", "\u{1f}", "\u{fffe}", "\u{ffff}"] {
            assert_eq!(
                check_characters(bad).unwrap_err().code,
                ErrorCode::InvalidMessageContents,
                "{bad:?}"
            );
        }
    }

    #[test]
    fn a_receiver_gets_what_it_asked_for() {
        let attributes: MessageAttributes = ["trace.id", "trace.span", "kind"]
            .map(|name| (name.to_owned(), MessageAttribute::text("x")))
            .into();
        let chosen = |names: &[&str]| {
            let filter =
                MessageAttributeFilter::new(names.iter().map(|name| (*name).to_owned()).collect())
                    .unwrap();
            filter.select(&attributes).into_keys().collect::<Vec<_>>()
        };
        assert!(chosen(&[]).is_empty());
        assert_eq!(chosen(&["All"]).len(), 3);
        assert_eq!(chosen(&[".*"]).len(), 3);
        assert_eq!(chosen(&["trace.*"]), ["trace.id", "trace.span"]);
        assert_eq!(chosen(&["kind", "other"]), ["kind"]);

        let filter = SystemAttributeFilter::new(&["SentTimestamp".to_owned()]).unwrap();
        assert!(
            filter.asks_for(SystemAttribute::SentTimestamp)
                && !filter.asks_for(SystemAttribute::SenderId)
        );
        let all = SystemAttributeFilter::new(&["All".to_owned()]).unwrap();
        assert!(
            SystemAttribute::ALL
                .iter()
                .all(|attribute| all.asks_for(*attribute))
        );
        assert_eq!(
            SystemAttributeFilter::new(&["Nope".to_owned()])
                .unwrap_err()
                .code,
            ErrorCode::InvalidAttributeName
        );
    }
}
