//! The names of queues: bare, at the end of a URL, and at the end of an ARN.

use std::fmt;

use crate::sqs::{ErrorCode, SqsError};

/// The account that every queue belongs to: there are no others here.
pub const ACCOUNT: &str = "000000000000";

const NAME_BYTES_MAX: usize = 80;
const FIFO_SUFFIX: &str = ".fifo";
const URL_BYTES_MAX: usize = 2048;

/// A queue's name: 1-80 letters, digits, `-` and `_`, the suffix `.fifo` of a FIFO queue included.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueueName(String);

impl QueueName {
    /// The name, if it is one.
    pub fn new(name: &str) -> Result<Self, SqsError> {
        let bare = name.strip_suffix(FIFO_SUFFIX).unwrap_or(name);
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if bare.is_empty() || name.len() > NAME_BYTES_MAX || !bare.bytes().all(allowed) {
            return Err(SqsError::invalid(
                "QueueName",
                "A name is 1 to 80 letters, digits, hyphens and underscores, or ends in .fifo",
            ));
        }
        Ok(Self(name.to_owned()))
    }

    /// The name at the end of a queue's URL, or a bare name. The host and the account are not looked at: a client may
    /// reach the server by several names.
    pub fn from_url(url: &str) -> Result<Self, SqsError> {
        let refused = || {
            SqsError::new(
                ErrorCode::InvalidAddress,
                "The QueueUrl must end in the name of a queue.",
            )
        };
        if url.len() > URL_BYTES_MAX {
            return Err(refused());
        }
        let path = match url.split_once("://") {
            Some((_, after)) => after.split_once('/').ok_or_else(refused)?.1,
            None => url,
        };
        let name = path
            .trim_end_matches('/')
            .rsplit('/')
            .next()
            .unwrap_or_default();
        Self::new(name).map_err(|_| refused())
    }

    /// Whether the queue keeps the order of its messages, which its name tells.
    #[must_use]
    pub fn is_fifo(&self) -> bool {
        self.0.ends_with(FIFO_SUFFIX)
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The queue's URL below `base`, as in `http://queue.example:9324`.
    #[must_use]
    pub fn url(&self, base: &str) -> String {
        format!("{}/{ACCOUNT}/{}", base.trim_end_matches('/'), self.0)
    }
}

impl fmt::Display for QueueName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// `arn:aws:sqs:REGION:ACCOUNT:NAME`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct QueueArn {
    region: String,
    account: String,
    name: QueueName,
}

impl QueueArn {
    /// The ARN of a queue here.
    #[must_use]
    pub fn new(region: &str, name: QueueName) -> Self {
        Self {
            region: region.to_owned(),
            account: ACCOUNT.to_owned(),
            name,
        }
    }

    /// The ARN, if it is one of a queue; `parameter` is named in the refusal.
    pub fn parse(arn: &str, parameter: &str) -> Result<Self, SqsError> {
        let refused = || SqsError::invalid(parameter, "An ARN is arn:aws:sqs:REGION:ACCOUNT:QUEUE");
        let plain = |part: &str| {
            part.len() <= 64
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let mut parts = arn.splitn(6, ':');
        let mut next = || parts.next().ok_or_else(refused);
        let (scheme, partition, service, region, account, name) =
            (next()?, next()?, next()?, next()?, next()?, next()?);
        if scheme != "arn"
            || !partition.starts_with("aws")
            || service != "sqs"
            || !plain(region)
            || !plain(account)
        {
            return Err(refused());
        }
        let name = QueueName::new(name).map_err(|_| refused())?;
        Ok(Self {
            region: region.to_owned(),
            account: account.to_owned(),
            name,
        })
    }

    /// The queue that it names.
    #[must_use]
    pub fn name(&self) -> &QueueName {
        &self.name
    }
}

impl fmt::Display for QueueArn {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "arn:aws:sqs:{}:{}:{}",
            self.region, self.account, self.name
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_sqs_allows() {
        for good in [
            "a",
            "Jobs_2-x",
            "jobs.fifo",
            &"x".repeat(80),
            &format!("{}.fifo", "x".repeat(75)),
        ] {
            assert_eq!(QueueName::new(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            ".fifo",
            "a.b",
            "a b",
            "a/b",
            "é",
            "a.fifo.fifo",
            &"x".repeat(81),
            &format!("{}.fifo", "x".repeat(76)),
        ] {
            assert_eq!(
                QueueName::new(bad).unwrap_err().code,
                ErrorCode::InvalidParameterValue,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_url_ends_in_the_name() {
        for url in [
            "http://h:1/0/jobs",
            "https://h/jobs/",
            "jobs",
            "/000000000000/jobs",
        ] {
            assert_eq!(QueueName::from_url(url).unwrap().as_str(), "jobs");
        }
        for bad in [
            "",
            "/",
            "http://h:1/",
            "http://h",
            "http://h/",
            "http://h/0/a%20b",
        ] {
            assert_eq!(
                QueueName::from_url(bad).unwrap_err().code,
                ErrorCode::InvalidAddress,
                "{bad}"
            );
        }
        let name = QueueName::new("jobs.fifo").unwrap();
        assert_eq!(QueueName::from_url(&name.url("http://h:9/")).unwrap(), name);
    }

    #[test]
    fn an_arn_is_read_back_as_it_was_written() {
        let arn = QueueArn::new("eu-west-1", QueueName::new("jobs").unwrap());
        assert_eq!(arn.to_string(), "arn:aws:sqs:eu-west-1:000000000000:jobs");
        assert_eq!(QueueArn::parse(&arn.to_string(), "SourceArn").unwrap(), arn);
        for bad in [
            "",
            "arn:aws:sns:r:0:jobs",
            "arn:aws:sqs:r:jobs",
            "arn:aws:sqs:r:0:a:b",
            "jobs",
        ] {
            assert!(QueueArn::parse(bad, "SourceArn").is_err(), "{bad}");
        }
    }
}
