//! How the cache sees the fields of a head, whatever codec has them.

/// The fields of one head, in the order they came.
pub trait HeadFields {
    /// Name and value of each line. Names in whatever case; values without their line's end.
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])>;
}

/// The values of all lines of a name, in order.
pub(super) fn values<'a>(
    head: &'a impl HeadFields,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    head.fields()
        .filter(|(own, _)| own.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, value)| value.trim_ascii())
}

/// The value of a field that has one line only; `None` where it is absent or came more than once.
pub(super) fn single<'a>(head: &'a impl HeadFields, name: &'a str) -> Option<&'a [u8]> {
    let mut values = values(head, name);
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

/// Whether there is a line of that name.
pub(super) fn has(head: &impl HeadFields, name: &str) -> bool {
    values(head, name).next().is_some()
}

/// The members of the comma-separated lists under a name, taken together (RFC 9110 section 5.6.1): for fields
/// whose members hold no quoted commas.
pub(super) fn members<'a>(
    head: &'a impl HeadFields,
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> {
    values(head, name)
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// A byte of a token (RFC 9110 section 5.6.2).
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

#[cfg(test)]
impl HeadFields for &[(&str, &str)] {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

#[cfg(test)]
impl<const N: usize> HeadFields for [(&str, &str); N] {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

#[cfg(test)]
impl HeadFields for Vec<(String, String)> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_whatever_their_case_and_lists_go_on_over_lines() {
        let head = [
            ("VARY", "a , b,"),
            ("Date", "x"),
            ("vary", ",c"),
            ("Age", "1"),
            ("age", "2"),
        ];
        assert_eq!(
            members(&head, "vary").collect::<Vec<_>>(),
            [b"a", b"b", b"c"]
        );
        assert_eq!(single(&head, "date"), Some(&b"x"[..]));
        assert_eq!(single(&head, "age"), None);
        assert!(has(&head, "age") && !has(&head, "etag"));
    }
}
