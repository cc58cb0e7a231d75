//! `sem_ver`: versions as Semantic Versioning 2.0.0 orders them, with what flagd allows besides: a `v` in front, and parts
//! that are left out.

use std::cmp::Ordering;

/// A version that can be compared.
#[derive(Clone, Copy, Debug)]
pub(super) struct Version<'a> {
    core: [u64; 3],
    /// After `-`; empty: a release.
    early: &'a str,
}

/// How two versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    /// The same major version.
    SameMajor,
    /// The same major and minor version.
    SameMinor,
}

impl Comparison {
    pub(super) const NAMES: &'static str = "`=`, `!=`, `<`, `<=`, `>`, `>=`, `^` or `~`";

    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "=" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "^" => Self::SameMajor,
            "~" => Self::SameMinor,
            _ => return None,
        })
    }

    pub(super) fn holds(self, one: Version<'_>, other: Version<'_>) -> bool {
        let order = one.order(other);
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::SameMajor => one.core.first() == other.core.first(),
            Self::SameMinor => one.core.get(..2) == other.core.get(..2),
        }
    }
}

impl<'a> Version<'a> {
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
        let (text, build) = match text.split_once('+') {
            Some((text, build)) => (text, Some(build)),
            None => (text, None),
        };
        let (text, early) = match text.split_once('-') {
            Some((text, early)) => (text, Some(early)),
            None => (text, None),
        };
        let mut core = [0; 3];
        let mut count = 0;
        for part in text.split('.') {
            *core.get_mut(count)? = whole(part)?;
            count += 1;
        }
        let is_short = count < 3;
        if (is_short && (early.is_some() || build.is_some()))
            || !early.is_none_or(|early| is_list(early, true))
            || !build.is_none_or(|build| is_list(build, false))
        {
            return None;
        }
        Some(Self {
            core,
            early: early.unwrap_or_default(),
        })
    }

    /// Section 11; what is built from the same is of the same order (section 10).
    fn order(self, other: Self) -> Ordering {
        self.core.cmp(&other.core).then_with(|| {
            match (self.early.is_empty(), other.early.is_empty()) {
                (true, true) => Ordering::Equal,
                (true, false) => Ordering::Greater,
                (false, true) => Ordering::Less,
                (false, false) => early(self.early, other.early),
            }
        })
    }
}

fn early(one: &str, other: &str) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(one), Some(other)) => match (digits(one), digits(other)) {
                // Of any length: without zeros in front, the longer is the larger.
                (true, true) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
                (true, false) => Ordering::Less,
                (false, true) => Ordering::Greater,
                (false, false) => one.cmp(other),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number without zeros in front.
fn whole(text: &str) -> Option<u64> {
    (digits(text) && (text == "0" || !text.starts_with('0'))).then(|| text.parse().ok())?
}

fn is_list(list: &str, is_early: bool) -> bool {
    list.split('.').all(|part| {
        let padded = is_early && digits(part) && part != "0" && part.starts_with('0');
        let mut bytes = part.bytes();
        !part.is_empty()
            && !padded
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(one: &str, comparison: &str, other: &str, expected: Option<bool>) {
        let holds = Comparison::named(comparison).and_then(|comparison| {
            Some(comparison.holds(Version::parse(one)?, Version::parse(other)?))
        });
        assert_eq!(holds, expected, "{one} {comparison} {other}");
    }

    #[test]
    fn versions_are_ordered_as_semver_says() {
        check("1.2.3", "=", "v1.2.3", Some(true));
        check("1.2.3", "!=", "1.2.3", Some(false));
        check("1.2", "=", "1.2.0", Some(true));
        check("1", "<", "1.0.1", Some(true));
        check("1.10.0", ">", "1.9.0", Some(true));
        check("1.0.0-rc.1", "<", "1.0.0", Some(true));
        check("1.0.0-alpha.9", "<", "1.0.0-alpha.10", Some(true));
        check("1.0.0-alpha.beta", ">", "1.0.0-alpha.1", Some(true));
        check("1.0.0-alpha", "<", "1.0.0-alpha.1", Some(true));
        check("1.0.0+a", "=", "1.0.0+b", Some(true));
        check("1.4.2", "^", "1.0.0", Some(true));
        check("2.0.0", "^", "1.0.0", Some(false));
        check("1.4.9", "~", "1.4.0", Some(true));
        check("1.5.0", "~", "1.4.0", Some(false));
        check("1.0.0", ">=", "1.0.0", Some(true));
        check("1.0.0", "<=", "0.9", Some(false));
    }

    #[test]
    fn what_is_no_version_has_no_order() {
        for text in [
            "", "v", "1.2.3.4", "01.2.3", "1.2-rc", "1.2.3-", "1.2.3-01", "a.b.c", "-1.0.0",
        ] {
            check(text, "=", "1.0.0", None);
        }
        check("1.0.0", "=~", "1.0.0", None);
    }
}
