//! Where notifications go: a URL, with the paths and queries that endpoints of services can't have.

use std::fmt;

use crate::address::{plain_host, split_port};

/// How a receiver is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in cleartext.
    Http,
    /// HTTP over TLS.
    Https,
    /// Mail; TLS begins within it where the server has that.
    Smtp,
    /// Mail over TLS.
    Smtps,
}

/// A URL that somebody is notified at. Its path may be a secret: it is never shown, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// How it is spoken to.
    pub scheme: Scheme,
    /// A name or an address literal (IPv6 without brackets).
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path and query; begins with a slash.
    pub path: String,
}

/// Why a text is no URL that somebody can be notified at. It says nothing of what the text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// `hooks.example.com/a`
    #[error("has no scheme")]
    NoScheme,
    /// `ftp://…`
    #[error("has a scheme that nobody is notified by")]
    Scheme,
    /// `https://user:password@…`
    #[error("has a user or a password in it")]
    Credentials,
    /// `https:///a`
    #[error("has no host that is a name or an address")]
    Host,
    /// Not a port number above zero.
    #[error("has a port that is not a number from 1 to 65535")]
    Port,
    /// A space, a control character, a letter that is not ASCII, or a fragment.
    #[error("has a character in it that a URL can't have")]
    Character,
}

impl Scheme {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
            Self::Smtp => "smtp",
            Self::Smtps => "smtps",
        }
    }

    /// Whether mail goes there.
    pub const fn is_mail(self) -> bool {
        matches!(self, Self::Smtp | Self::Smtps)
    }

    /// Whether TLS is spoken from the start.
    pub const fn is_tls(self) -> bool {
        matches!(self, Self::Https | Self::Smtps)
    }

    const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
            Self::Smtp => 25,
            Self::Smtps => 465,
        }
    }
}

impl std::str::FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let schemes = [Scheme::Http, Scheme::Https, Scheme::Smtp, Scheme::Smtps];
        let scheme = schemes
            .into_iter()
            .find(|it| it.name().eq_ignore_ascii_case(scheme))
            .ok_or(UrlError::Scheme)?;
        // A password may itself have a slash: an `@` anywhere is one of credentials. In a path it is `%40`.
        if rest.contains('@') {
            return Err(UrlError::Credentials);
        }
        let fits = |byte: u8| byte.is_ascii_graphic() && !b"#\\\"<>`{}|^".contains(&byte);
        if !rest.bytes().all(fits) {
            return Err(UrlError::Character);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).ok_or(UrlError::Host)?;
        let (host, port) = split_port(authority).ok_or(UrlError::Host)?;
        let port = match port {
            None => scheme.port(),
            Some(text) => match text.parse::<u16>() {
                Ok(port) if port > 0 && text.bytes().all(|byte| byte.is_ascii_digit()) => port,
                _ => return Err(UrlError::Port),
            },
        };
        let host = Some(host).filter(|host| !host.is_empty());
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Self {
            scheme,
            host: host.and_then(plain_host).ok_or(UrlError::Host)?,
            port,
            path: format!("{slash}{path}"),
        })
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/..")
    }
}

/// Where it is, without what may be a secret.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = (self.scheme.name(), self.port);
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{port}", self.host)
        } else {
            write!(f, "{scheme}://{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, shown: &str, path: &str) {
        let url: Url = text.parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.path.as_str()), (shown, path));
    }

    #[test]
    fn urls_have_a_host_a_port_and_a_path() {
        check("https://a.example/b?c=d", "https://a.example:443", "/b?c=d");
        check("HTTP://A.example", "http://a.example:80", "/");
        check("http://[::1]:9093/", "http://[::1]:9093", "/");
        check("http://10.0.0.1:9093?a", "http://10.0.0.1:9093", "/?a");
        check("smtp://mail.example", "smtp://mail.example:25", "/");
        check("smtps://mail.example", "smtps://mail.example:465", "/");
    }

    #[track_caller]
    fn refused(text: &str, error: UrlError) {
        assert_eq!(text.parse::<Url>(), Err(error), "{text}");
    }

    #[test]
    fn what_is_no_url_is_refused_without_a_word_of_it() {
        refused("a.example", UrlError::NoScheme);
        refused("ftp://a", UrlError::Scheme);
        refused("https://me:hunter2@a", UrlError::Credentials);
        refused("https://me:hun/ter2@a", UrlError::Credentials);
        refused("https:///a", UrlError::Host);
        refused("https://10.0.0.256/", UrlError::Host);
        refused("https://a:0/", UrlError::Port);
        refused("https://a:+1/", UrlError::Port);
        refused("https://a/b c", UrlError::Character);
        refused("https://a/b\r\nX-Header: c", UrlError::Character);
        refused("https://a/\u{e9}", UrlError::Character);
        refused("https://a/b#c", UrlError::Character);
    }

    #[test]
    fn a_path_is_not_shown() {
        let url: Url = "https://hooks.example/T00/B00/XXX".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://hooks.example:443/..");
    }
}
