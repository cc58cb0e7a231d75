//! The Query dialect: the action and its arguments in a form, with the structure in their names, as in `Attribute.1.Name`.
//!
//! Names become a tree, and the tree the object that the JSON dialect would have sent.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::sqs::call::arguments::Arguments;
use crate::sqs::encoding::form_pairs;
use crate::sqs::{ErrorCode, SqsError, SqsRequest};

/// A body of 1 MiB, and room for the encoding of its characters.
pub const REQUEST_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A full batch with 10 attributes each has less than 500.
const PARAMETERS_MAX: usize = 1000;
const NAME_BYTES_MAX: usize = 256;
/// `SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringListValue.1`, and one to spare.
const DEPTH_MAX: usize = 8;

/// The action's name and its arguments, from the query string and the body together.
pub(crate) fn read(request: &SqsRequest<'_>) -> Result<(String, Arguments), SqsError> {
    let body = match request.method {
        "POST" => request.body,
        "GET" => b"",
        _ => {
            return Err(SqsError::new(
                ErrorCode::InvalidAction,
                "A request must be a POST or a GET.",
            ));
        }
    };
    if body.len() > REQUEST_BYTES_MAX || request.query.len() > REQUEST_BYTES_MAX {
        return Err(malformed("The body must be at most 8 MiB."));
    }
    let mut root = Node::default();
    for (at, (name, value)) in form_pairs(request.query.as_bytes())
        .chain(form_pairs(body))
        .enumerate()
    {
        if at >= PARAMETERS_MAX {
            return Err(malformed("There must be at most 1000 parameters."));
        }
        let utf8 =
            |text| std::str::from_utf8(text).map_err(|_| malformed("Parameters must be in UTF-8."));
        let (name, value) = (utf8(&name)?, utf8(&value)?);
        if !name.starts_with("X-Amz-") {
            root.insert(name, value)?;
        }
    }
    let action = root
        .children
        .remove("Action")
        .and_then(|action| action.value)
        .unwrap_or_default();
    Ok((action, Arguments::new(root.members()?)))
}

/// A name's value, and those of the names that go on from it after a dot.
#[derive(Debug, Default)]
struct Node {
    value: Option<String>,
    children: BTreeMap<String, Node>,
}

impl Node {
    fn insert(&mut self, name: &str, value: &str) -> Result<(), SqsError> {
        let deep = name.split('.').count() > DEPTH_MAX;
        if name.len() > NAME_BYTES_MAX || deep || name.split('.').any(str::is_empty) {
            return Err(malformed(
                "The name of a parameter must be words with dots between them.",
            ));
        }
        let node = name.split('.').fold(self, |node, part| {
            node.children.entry(part.to_owned()).or_default()
        });
        if node
            .value
            .replace(value.to_owned())
            .is_some_and(|before| before != value)
        {
            return Err(malformed("No parameter may have two values."));
        }
        Ok(())
    }

    /// The structure's members under the names that the JSON dialect has for them.
    fn members(self) -> Result<Map<String, Value>, SqsError> {
        let mut members = Map::new();
        for (name, node) in self.children {
            let (name, value) = match name.as_str() {
                "Attribute" => ("Attributes".to_owned(), node.pairs("Name")?),
                "Tag" | "Tags" => ("Tags".to_owned(), node.pairs("Key")?),
                "MessageAttribute" => ("MessageAttributes".to_owned(), node.structures()?),
                "MessageSystemAttribute" => {
                    ("MessageSystemAttributes".to_owned(), node.structures()?)
                }
                "AttributeName"
                | "MessageAttributeName"
                | "MessageSystemAttributeName"
                | "TagKey" => (format!("{name}s"), node.texts()?),
                // Not what is documented, but there are clients that send them.
                "AttributeNames"
                | "MessageAttributeNames"
                | "MessageSystemAttributeNames"
                | "TagKeys" => (name, node.texts()?),
                "SendMessageBatchRequestEntry"
                | "DeleteMessageBatchRequestEntry"
                | "ChangeMessageVisibilityBatchRequestEntry" => {
                    let entries = node
                        .items()?
                        .into_iter()
                        .map(|entry| entry.members().map(Value::Object));
                    (
                        "Entries".to_owned(),
                        Value::Array(entries.collect::<Result<_, _>>()?),
                    )
                }
                _ => match node.value {
                    Some(text) => (name, Value::String(text)),
                    None => continue,
                },
            };
            members.insert(name, value);
        }
        Ok(members)
    }

    /// The members of a list in the order of their numbers. Without a number there is one, as some SDKs of old have it.
    fn items(self) -> Result<Vec<Self>, SqsError> {
        let numbered = self
            .children
            .keys()
            .next()
            .is_some_and(|key| key.starts_with(|first: char| first.is_ascii_digit()));
        if !numbered {
            return Ok(vec![self]);
        }
        let number = |key: &str| {
            key.parse::<u32>()
                .map_err(|_| malformed("The items of a list must be numbered."))
        };
        let items = self
            .children
            .into_iter()
            .map(|(key, node)| Ok((number(&key)?, node)));
        let items: BTreeMap<u32, Self> = items.collect::<Result<_, SqsError>>()?;
        Ok(items.into_values().collect())
    }

    fn texts(self) -> Result<Value, SqsError> {
        let text = |item: Self| {
            item.value
                .map(Value::String)
                .ok_or_else(|| malformed("The items of a list must be text."))
        };
        Ok(Value::Array(
            self.items()?
                .into_iter()
                .map(text)
                .collect::<Result<_, _>>()?,
        ))
    }

    /// Names and texts: an item without a value has an empty one.
    fn pairs(self, key: &str) -> Result<Value, SqsError> {
        let mut pairs = Map::new();
        for mut item in self.items()? {
            let value = item.take("Value").unwrap_or_default();
            insert_new(&mut pairs, item.take(key), Value::String(value))?;
        }
        Ok(Value::Object(pairs))
    }

    /// Names and structures.
    fn structures(self) -> Result<Value, SqsError> {
        let mut structures = Map::new();
        for mut item in self.items()? {
            let value = item
                .children
                .remove("Value")
                .unwrap_or_default()
                .members()?;
            insert_new(&mut structures, item.take("Name"), Value::Object(value))?;
        }
        Ok(Value::Object(structures))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        self.children.remove(name).and_then(|node| node.value)
    }
}

fn insert_new(
    members: &mut Map<String, Value>,
    name: Option<String>,
    value: Value,
) -> Result<(), SqsError> {
    let name = name.ok_or_else(|| malformed("Every pair must have a name."))?;
    match members.insert(name, value) {
        None => Ok(()),
        Some(_) => Err(malformed("No name may be given twice.")),
    }
}

fn malformed(message: &'static str) -> SqsError {
    SqsError::new(ErrorCode::MalformedInput, message)
}
