//! Taking out of the store what somebody says is wrong: by its URL, by how URLs begin, by a key that the service gave it
//! (`Surrogate-Key`), or all of a service.
//!
//! On the control thread, by a look at all that is stored: requests pay nothing for it. What is being fetched meanwhile is
//! given to those who wait for it already, and is not stored.

use plimsoll_http1::{Authority, Fields};
use plimsoll_policy::cache::key::{CacheKey, KeyRules};

use super::{Answer, told};

/// The field by which a service says what else an answer is about, as CDNs have it. It is not passed on to clients.
pub(crate) const SURROGATE_KEY: &[u8] = b"Surrogate-Key";
/// How many of these an answer may have. One that has more is not stored: a purge would leave it.
const KEYS_MAX: usize = 64;
/// How long they may be.
const KEY_BYTES_MAX: usize = 256;
/// A key has so many parts, then perhaps what tells variants apart.
const KEY_PARTS: usize = 5;

/// Keys that a service gave an answer.
pub(crate) type SurrogateKeys = Box<[Box<[u8]>]>;

/// What is to be taken out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// All of the service.
    All,
    /// What answers this URL.
    Url(PurgeUrl),
    /// What answers URLs that begin so.
    Prefix(PurgeUrl),
    /// What the service gave this key.
    Key(String),
}

/// A URL as far as it is in a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgeUrl {
    https: bool,
    authority: String,
    path_and_query: String,
}

impl PurgeUrl {
    /// Reads an absolute URL of `http` or `https`.
    pub fn parse(text: &str) -> Option<Self> {
        let (https, rest) = match text.split_once("://")? {
            ("https", rest) => (true, rest),
            ("http", rest) => (false, rest),
            _ => return None,
        };
        let end = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = if path.is_empty() { "/" } else { path };
        // A key has no fragment, and what can't be in a target can't be in a key.
        let is_plain = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        Authority::parse(authority.as_bytes()).filter(|_| is_plain)?;
        Some(Self {
            https,
            authority: authority.to_owned(),
            path_and_query: path.to_owned(),
        })
    }

    /// What its key has behind the service, where its route makes keys by these rules.
    fn key(&self, rules: Option<&KeyRules>) -> Box<[u8]> {
        let path = self.path_and_query.as_bytes();
        let path = rules.map_or(path.into(), |rules| rules.path_and_query(path));
        let key = CacheKey::new("", self.https, self.authority.as_bytes(), &path);
        key.as_bytes().into()
    }
}

/// Which of what is stored is to be taken out.
#[derive(Debug)]
pub(crate) struct Purging<'a> {
    service: &'a str,
    what: &'a Purge,
    /// What keys of the URL have behind the service.
    urls: Vec<Box<[u8]>>,
}

impl<'a> Purging<'a> {
    /// `rules`: of all routes of the service that store.
    pub(crate) fn new<'b>(
        service: &'a str,
        what: &'a Purge,
        rules: impl Iterator<Item = &'b KeyRules>,
    ) -> Self {
        let urls = match what {
            Purge::Url(url) => rules.map(|rules| url.key(Some(rules))).collect(),
            Purge::Prefix(url) => vec![url.key(None)],
            Purge::All | Purge::Key(_) => Vec::new(),
        };
        Self {
            service,
            what,
            urls,
        }
    }

    /// Whether what is under this key, or is being fetched for it, may be meant.
    pub(crate) fn is_meant(&self, key: &[u8]) -> bool {
        let mut ends = memchr::memchr_iter(b'\n', key);
        let Some(space_end) = ends.next() else {
            return false;
        };
        let (space, rest) = key.split_at(space_end);
        // Names of services have neither: a route that rewrites, and what a trusted peer said, stand behind these.
        let is_end = |byte: &u8| matches!(byte, b'/' | b' ');
        let name = space.split(is_end).next().unwrap_or_default();
        let end = ends.nth(KEY_PARTS - 2).unwrap_or(key.len());
        let url = rest.get(..end - space_end).unwrap_or(rest);
        // By either: what is taken out for nothing is fetched again, and what is left is wrong.
        name == self.service.as_bytes()
            && (self.is_url(url)
                || told::url(space, url).is_some_and(|told| self.is_url(told.as_bytes())))
    }

    fn is_url(&self, url: &[u8]) -> bool {
        match self.what {
            Purge::All | Purge::Key(_) => true,
            Purge::Url(_) => self.urls.iter().any(|it| **it == *url),
            Purge::Prefix(_) => self.urls.iter().any(|it| url.starts_with(it)),
        }
    }

    /// Whether an answer under such a key is.
    pub(crate) fn takes(&self, answer: &Answer) -> bool {
        self.surrogate()
            .is_none_or(|key| answer.surrogates.iter().any(|it| **it == *key))
    }

    /// The key that the service gave what is meant; `None`: all under such a key is.
    pub(crate) fn surrogate(&self) -> Option<&[u8]> {
        match self.what {
            Purge::Key(key) => Some(key.as_bytes()),
            Purge::All | Purge::Url(_) | Purge::Prefix(_) => None,
        }
    }

    /// Whether all under such a key goes, and with it what says that answers differ.
    pub(crate) fn takes_all(&self) -> bool {
        self.surrogate().is_none()
    }
}

/// Whether a field is [`SURROGATE_KEY`].
pub(crate) fn is_surrogate_key(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(SURROGATE_KEY)
}

/// The keys that a service gave an answer; `None`: more than are kept.
pub(crate) fn surrogates(fields: &Fields) -> Option<SurrogateKeys> {
    let lines = fields.iter().filter(|field| is_surrogate_key(field.name));
    let keys = lines.flat_map(|field| field.value.split(|&byte| byte == b' '));
    let mut kept = Vec::new();
    for key in keys.filter(|key| !key.is_empty()) {
        if kept.len() >= KEYS_MAX || key.len() > KEY_BYTES_MAX {
            return None;
        }
        kept.push(key.into());
    }
    Some(kept.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> PurgeUrl {
        PurgeUrl::parse(text).unwrap()
    }

    #[track_caller]
    fn check(what: &Purge, expected: &[&str]) {
        let rules = KeyRules::default();
        let purging = Purging::new("app", what, [&rules].into_iter());
        let keys = [
            ("app", false, "a", "/x"),
            ("app", false, "a", "/x/y?z=1"),
            ("app/route", false, "A:80", "/x"),
            ("apple", false, "a", "/x"),
            ("app", false, "b", "/x"),
        ];
        let names = keys.iter().map(|(space, https, host, path)| {
            let key = CacheKey::new(space, *https, host.as_bytes(), path.as_bytes());
            // A variant and what is being fetched have more behind it.
            let longer = [key.as_bytes(), b"\n\0\n", b"1"].concat();
            assert_eq!(purging.is_meant(key.as_bytes()), purging.is_meant(&longer));
            let name = format!("{space} {host}{path}");
            purging.is_meant(key.as_bytes()).then_some(name)
        });
        let names: Vec<_> = names.flatten().collect();
        assert_eq!(names, expected, "{what:?}");
    }

    #[test]
    fn what_is_taken_out_is_of_its_service_and_its_url() {
        check(
            &Purge::Url(url("http://a/x")),
            &["app a/x", "app/route A:80/x"],
        );
        check(&Purge::Url(url("https://a/x")), &[]);
        check(
            &Purge::Prefix(url("http://a:80/x")),
            &["app a/x", "app a/x/y?z=1", "app/route A:80/x"],
        );
        let all = ["app a/x", "app a/x/y?z=1", "app/route A:80/x", "app b/x"];
        check(&Purge::All, &all);
    }

    /// Whether a purge of the URL takes out what was asked for by a clear connection of a trusted proxy, which said this.
    #[track_caller]
    fn check_told(proto: Option<&str>, host: Option<&str>, own: &str, text: &str, is_meant: bool) {
        let rules = KeyRules::default();
        let space = told::space("app", proto.map(str::as_bytes), host.map(str::as_bytes));
        let key = CacheKey::new(&space, false, own.as_bytes(), b"/x");
        for what in [Purge::Url(url(text)), Purge::Prefix(url(text))] {
            let purging = Purging::new("app", &what, [&rules].into_iter());
            assert_eq!(purging.is_meant(key.as_bytes()), is_meant, "{what:?}");
        }
        assert!(Purging::new("app", &Purge::All, [&rules].into_iter()).is_meant(key.as_bytes()));
        assert!(!Purging::new("ap", &Purge::All, [&rules].into_iter()).is_meant(key.as_bytes()));
    }

    #[test]
    fn a_url_is_the_one_that_clients_see_before_a_trusted_proxy() {
        let https = Some("https");
        check_told(https, None, "a", "https://a/x", true);
        check_told(https, None, "a:8080", "https://a:8080/x", true);
        check_told(https, None, "a:8080", "https://a/x", false);
        check_told(Some("HTTPS"), Some("B"), "a", "https://b/x", true);
        check_told(None, Some("b:81"), "a", "http://b:81/x", true);
        check_told(https, Some("b"), "a", "https://a/x", false);
        // That of the connection is as good.
        check_told(https, Some("b"), "a", "http://a/x", true);
        // What is no scheme and no host is neither.
        for (proto, host) in [
            (None, None),
            (Some("https, http"), None),
            (Some("a host:c"), None),
            (None, Some("https")),
            (None, Some("u@b")),
        ] {
            check_told(proto, host, "a", "https://a/x", false);
            check_told(proto, host, "a", "http://c/x", false);
            check_told(proto, host, "a", "http://a/x", true);
        }
    }

    #[test]
    fn what_is_said_of_the_scheme_is_no_host() {
        let said = Some(b"https".as_slice());
        assert_ne!(
            told::space("app", said, None),
            told::space("app", None, said)
        );
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for text in [
            "/x",
            "a/x",
            "ftp://a/",
            "http://",
            "http:///x",
            "http://a/x y",
            "http://a/#x",
            "http://u@a/",
            "http://a/\n",
        ] {
            assert_eq!(PurgeUrl::parse(text), None, "{text}");
        }
        assert_eq!(url("http://a"), url("http://a/"));
    }

    #[test]
    fn keys_of_the_service_are_bounded() {
        let keys = |value: &str| {
            let mut fields = Fields::new();
            fields.push(b"surrogate-key", value.as_bytes());
            surrogates(&fields).map(|keys| keys.len())
        };
        assert_eq!(keys(" a  b c"), Some(3));
        assert_eq!(keys(&"a ".repeat(KEYS_MAX)), Some(KEYS_MAX));
        assert_eq!(keys(&"a ".repeat(KEYS_MAX + 1)), None);
        assert_eq!(keys(&"a".repeat(KEY_BYTES_MAX + 1)), None);
    }
}
