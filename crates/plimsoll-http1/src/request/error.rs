//! Why requests are refused, and how they are answered.

use crate::framing::FramingError;
use crate::head::HeadError;

/// Why a request was refused. Nothing after its head can be told apart: answer, and close.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Lines or fields.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// The body's length.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Not `method SP target SP version`, or no HTTP at all.
    #[error("the request line is not a method, a target and a version")]
    RequestLine,
    /// See RFC 9110 section 9.1.
    #[error("the method is longer than any known one")]
    MethodTooLong,
    /// See [`HeadLimits::uri_bytes_max`](crate::HeadLimits::uri_bytes_max).
    #[error("the request target is longer than the limit")]
    TargetTooLong,
    /// White space, a control byte, a byte that is not ASCII, or `#`.
    #[error("the request target has a byte that no URI has")]
    TargetByte,
    /// None of the four forms, or not the one for its method.
    #[error("the request target is neither a path nor an http URI")]
    Target,
    /// Neither 1.0 nor 1.1.
    #[error("the HTTP version is neither 1.0 nor 1.1")]
    Version,
    /// RFC 9112 section 3.2.
    #[error("there is no Host")]
    HostMissing,
    /// Even if they agree.
    #[error("there is more than one Host")]
    HostRepeated,
    /// See [`Authority::parse`](crate::Authority::parse).
    #[error("the Host is not a host")]
    Host,
    /// The target names one host, `Host` another.
    #[error("the Host differs from the one in the request target")]
    HostDiffers,
    /// Who drops the fields that `Connection` names would read another message.
    #[error("Connection names Content-Length or Host")]
    Connection,
}

impl RequestError {
    /// The status of the answer.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Head(error) => error.status(),
            Self::Framing(error) => error.status(),
            Self::TargetTooLong => 414,
            Self::MethodTooLong => 501,
            Self::Version => 505,
            Self::RequestLine
            | Self::TargetByte
            | Self::Target
            | Self::HostMissing
            | Self::HostRepeated
            | Self::Host
            | Self::HostDiffers
            | Self::Connection => 400,
        }
    }

    /// A word for metrics and logs.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Head(error) => error.reason(),
            Self::Framing(error) => error.reason(),
            Self::RequestLine => "request-line",
            Self::MethodTooLong => "method-too-long",
            Self::TargetTooLong => "target-too-long",
            Self::TargetByte => "target-byte",
            Self::Target => "target",
            Self::Version => "version",
            Self::HostMissing => "host-missing",
            Self::HostRepeated => "host-repeated",
            Self::Host => "host",
            Self::HostDiffers => "host-differs",
            Self::Connection => "connection-field",
        }
    }
}
