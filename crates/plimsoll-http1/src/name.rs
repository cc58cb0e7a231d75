//! The field names that the proxy acts on, recognised once, when a head is parsed.

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal;)*) => {
        /// A field name that something here acts on, or [`Name::Plimsoll`], or [`Name::Other`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Name {
            $(#[doc = concat!("`", $text, "`")] $(#[$doc])* $variant,)*
            /// Any name that starts with `plimsoll-`.
            Plimsoll,
            /// Any other name.
            Other,
        }

        impl Name {
            /// The names that are one name each: all but [`Name::Plimsoll`] and [`Name::Other`].
            pub const KNOWN: &[Self] = &[$(Self::$variant),*];

            /// The name in its usual spelling; empty for [`Name::Plimsoll`] and [`Name::Other`].
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                    Self::Plimsoll | Self::Other => "",
                }
            }
        }
    };
}

names! {
    Te = "TE";
    Age = "Age";
    Via = "Via";
    Date = "Date";
    Host = "Host";
    Allow = "Allow";
    Range = "Range";
    Accept = "Accept";
    Cookie = "Cookie";
    Expect = "Expect";
    Server = "Server";
    Trailer = "Trailer";
    Upgrade = "Upgrade";
    Location = "Location";
    Forwarded = "Forwarded";
    SetCookie = "Set-Cookie";
    UserAgent = "User-Agent";
    Connection = "Connection";
    KeepAlive = "Keep-Alive";
    Tracestate = "tracestate";
    Traceparent = "traceparent";
    RetryAfter = "Retry-After";
    GrpcStatus = "grpc-status";
    GrpcTimeout = "grpc-timeout";
    GrpcMessage = "grpc-message";
    MaxForwards = "Max-Forwards";
    ContentType = "Content-Type";
    CacheControl = "Cache-Control";
    XRequestId = "X-Request-Id";
    Authorization = "Authorization";
    ContentRange = "Content-Range";
    Http2Settings = "HTTP2-Settings";
    ContentLength = "Content-Length";
    WwwAuthenticate = "WWW-Authenticate";
    XForwardedFor = "X-Forwarded-For";
    XForwardedHost = "X-Forwarded-Host";
    XForwardedPort = "X-Forwarded-Port";
    XForwardedProto = "X-Forwarded-Proto";
    ContentEncoding = "Content-Encoding";
    ProxyConnection = "Proxy-Connection";
    TransferEncoding = "Transfer-Encoding";
    ProxyAuthenticate = "Proxy-Authenticate";
    ProxyAuthorization = "Proxy-Authorization";
}

impl Name {
    /// Recognises a name, whatever its case.
    pub fn recognise(name: &[u8]) -> Self {
        let candidates: &[Self] = match name.len() {
            2 => &[Self::Te],
            3 => &[Self::Via, Self::Age],
            4 => &[Self::Host, Self::Date],
            5 => &[Self::Range, Self::Allow],
            6 => &[Self::Accept, Self::Cookie, Self::Server, Self::Expect],
            7 => &[Self::Upgrade, Self::Trailer],
            8 => &[Self::Location],
            9 => &[Self::Forwarded],
            10 => &[
                Self::Connection,
                Self::UserAgent,
                Self::KeepAlive,
                Self::SetCookie,
                Self::Tracestate,
            ],
            11 => &[Self::Traceparent, Self::RetryAfter, Self::GrpcStatus],
            12 => &[
                Self::ContentType,
                Self::XRequestId,
                Self::GrpcTimeout,
                Self::GrpcMessage,
                Self::MaxForwards,
            ],
            13 => &[Self::CacheControl, Self::Authorization, Self::ContentRange],
            14 => &[Self::ContentLength, Self::Http2Settings],
            15 => &[Self::XForwardedFor],
            16 => &[
                Self::ContentEncoding,
                Self::XForwardedHost,
                Self::XForwardedPort,
                Self::ProxyConnection,
                Self::WwwAuthenticate,
            ],
            17 => &[Self::TransferEncoding, Self::XForwardedProto],
            18 => &[Self::ProxyAuthenticate],
            19 => &[Self::ProxyAuthorization],
            _ => &[],
        };
        let first = name.first().map(u8::to_ascii_lowercase);
        for &candidate in candidates {
            let text = candidate.as_str().as_bytes();
            if text.first().map(u8::to_ascii_lowercase) == first && name.eq_ignore_ascii_case(text)
            {
                return candidate;
            }
        }
        match name.split_at_checked(PREFIX.len()) {
            Some((start, _)) if start.eq_ignore_ascii_case(PREFIX) => Self::Plimsoll,
            _ => Self::Other,
        }
    }

    /// Whether the field is about one connection only, and so is never passed on (RFC 9110 section
    /// 7.6.1). Fields that `Connection` names are so too: [`Fields::lists_in_connection`].
    ///
    /// [`Fields::lists_in_connection`]: crate::Fields::lists_in_connection
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(
            self,
            Self::Connection
                | Self::KeepAlive
                | Self::ProxyConnection
                | Self::Te
                | Self::Trailer
                | Self::TransferEncoding
                | Self::Upgrade
                | Self::Http2Settings
                | Self::ProxyAuthenticate
                | Self::ProxyAuthorization
        )
    }

    /// Whether `Connection` may not name this field (RFC 9110 section 7.6.1): a proxy that then drops it
    /// would change the message's length or where it goes.
    pub(crate) const fn is_never_hop_by_hop(self) -> bool {
        matches!(self, Self::ContentLength | Self::Host)
    }
}

const PREFIX: &[u8] = b"plimsoll-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_recognised_in_any_case() {
        for &name in Name::KNOWN {
            let text = name.as_str();
            assert_eq!(Name::recognise(text.as_bytes()), name, "{text}");
            assert_eq!(
                Name::recognise(text.to_ascii_uppercase().as_bytes()),
                name,
                "{text}"
            );
            assert_eq!(
                Name::recognise(text.to_ascii_lowercase().as_bytes()),
                name,
                "{text}"
            );
        }
    }

    #[test]
    fn names_that_only_look_alike_are_other_names() {
        for name in [
            "",
            "hosts",
            "content_length",
            "transfer-encodinG2",
            "x-plimsoll-class",
            "plimsoll",
        ] {
            assert_eq!(Name::recognise(name.as_bytes()), Name::Other, "{name}");
        }
    }

    #[test]
    fn our_own_names_are_known_by_their_prefix() {
        for name in ["plimsoll-decision", "Plimsoll-Class", "PLIMSOLL-"] {
            assert_eq!(Name::recognise(name.as_bytes()), Name::Plimsoll, "{name}");
        }
    }
}
