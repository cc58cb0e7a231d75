//! Trace context and request ids: what ties a request's records together across processes.
//!
//! Source: W3C Trace Context, Level 2. Random numbers come in as arguments.

use std::fmt;

use plimsoll_http1::{Fields, Name};

/// A `traceparent`: which trace a request belongs to, and which span sent it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceContext {
    /// Never 0.
    trace_id: u128,
    /// Never 0.
    parent_id: u64,
    flags: u8,
}

/// The caller records this trace.
const SAMPLED: u8 = 0x01;
/// The last seven bytes of the trace id are random.
const RANDOM: u8 = 0x02;
/// `00-` trace id `-` parent id `-` flags
const LENGTH: usize = 55;
/// What is passed on of `tracestate` (section 3.3.1.5).
const STATE_BYTES_MAX: usize = 512;
/// Section 3.3.1.1.
const STATE_MEMBERS_MAX: usize = 32;

impl TraceContext {
    /// The one the request came with; `None` if it has none, more than one, or one that is not valid.
    pub(crate) fn of(fields: &Fields) -> Option<Self> {
        let mut values = fields.get_all(Name::Traceparent);
        let value = values.next()?;
        if values.next().is_some() {
            return None;
        }
        Self::parse(value)
    }

    /// Lower-case hexadecimal; versions above 00 by the part that they share with it (section 4.3).
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let mut parts = known.split(|byte| *byte == b'-');
        let version = parse_hex(parts.next()?, 2)?;
        let trace_id = parse_hex(parts.next()?, 32)?;
        let parent_id = parse_hex(parts.next()?, 16)?;
        let flags = parse_hex(parts.next()?, 2)?;
        let rest_fits = match version {
            0 => rest.is_empty(),
            0xff => false,
            _ => matches!(rest, [] | [b'-', ..]),
        };
        if parts.next().is_some() || !rest_fits || trace_id == 0 || parent_id == 0 {
            return None;
        }
        Some(Self {
            trace_id,
            parent_id: u64::try_from(parent_id).ok()?,
            flags: u8::try_from(flags).ok()? & (SAMPLED | RANDOM),
        })
    }

    /// A new trace. The arguments are random numbers.
    pub(crate) fn start(trace_id: u128, parent_id: u64, sampled: bool) -> Self {
        Self {
            trace_id: trace_id.max(1),
            parent_id: parent_id.max(1),
            flags: if sampled { SAMPLED | RANDOM } else { RANDOM },
        }
    }

    /// What is sent on: the same trace, with this proxy's span as parent. The argument is a random number.
    pub(crate) fn child(&self, parent_id: u64) -> Self {
        Self {
            parent_id: parent_id.max(1),
            ..*self
        }
    }

    /// The trace's id.
    pub(crate) fn trace_id(&self) -> u128 {
        self.trace_id
    }

    /// The value of `traceparent`.
    pub(crate) fn to_value(self) -> [u8; LENGTH] {
        let mut value = *b"00-00000000000000000000000000000000-0000000000000000-00";
        let (trace_id, parent_id) = (self.trace_id, self.parent_id.into());
        for (start, digits, number) in [
            (3, 32, trace_id),
            (36, 16, parent_id),
            (53, 2, self.flags.into()),
        ] {
            if let Some(place) = value.get_mut(start..start + digits) {
                put_hex(place, number);
            }
        }
        value
    }
}

impl fmt::Display for TraceContext {
    /// The value of `traceparent`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_value().escape_ascii().fmt(f)
    }
}

/// Whether `tracestate` is there and can be passed on as it came. Only for a request whose `traceparent` was
/// valid: without it, the state belongs to no trace (section 3.3).
pub(crate) fn tracestate_can_pass(fields: &Fields) -> bool {
    let values = || fields.get_all(Name::Tracestate);
    let lines = values().count();
    // As one list, lines are joined by commas.
    let length = values().map(<[u8]>::len).sum::<usize>() + lines.saturating_sub(1);
    let members = || {
        values()
            .flat_map(|value| value.split(|byte| *byte == b','))
            .map(<[u8]>::trim_ascii)
            .filter(|member| !member.is_empty())
    };
    length <= STATE_BYTES_MAX
        && (1..=STATE_MEMBERS_MAX).contains(&members().count())
        && members().all(is_member)
}

/// `key=value` (section 3.3.1.3), as far as it matters to who passes it on.
fn is_member(member: &[u8]) -> bool {
    let Some(equals) = memchr::memchr(b'=', member) else {
        return false;
    };
    let (key, value) = member.split_at_checked(equals).unwrap_or_default();
    let key_byte = |byte: &u8| {
        byte.is_ascii_lowercase()
            || byte.is_ascii_digit()
            || matches!(byte, b'_' | b'-' | b'*' | b'/' | b'@')
    };
    let value = value.get(1..).unwrap_or_default();
    !key.is_empty()
        && key.iter().all(key_byte)
        && value
            .iter()
            .all(|byte| matches!(byte, b' '..=b'~') && *byte != b'=')
}

/// Bytes of a request id that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// A request's id: visible ASCII. Our own fit without an allocation.
pub(crate) type RequestId = smallvec::SmallVec<[u8; 32]>;

/// A request id of our own: 32 hexadecimal digits. The argument is a random number.
pub(crate) fn request_id(random: u128) -> [u8; 32] {
    let mut id = [b'0'; 32];
    put_hex(&mut id, random);
    id
}

/// Whether a request's own id can be taken over: it is written to logs and headers as it is.
pub(crate) fn is_request_id(value: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&value.len())
        && value
            .iter()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// So many lower-case digits, and nothing else.
fn parse_hex(bytes: &[u8], digits: usize) -> Option<u128> {
    if bytes.len() != digits {
        return None;
    }
    bytes.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// Fills `place` with the last digits of `number`.
fn put_hex(place: &mut [u8], number: u128) {
    let mut rest = number;
    for byte in place.iter_mut().rev() {
        let digit = (rest & 0xf) as u8;
        *byte = if digit < 10 {
            b'0' + digit
        } else {
            b'a' + digit - 10
        };
        rest >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn fields(list: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::new();
        for (name, value) in list {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    #[track_caller]
    fn check_refused(value: &str) {
        assert_eq!(TraceContext::parse(value.as_bytes()), None, "{value}");
    }

    #[test]
    fn a_trace_is_continued_with_a_new_parent() {
        let context = TraceContext::parse(PARENT.as_bytes()).unwrap();
        assert_eq!(
            context.trace_id(),
            0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c
        );
        assert_eq!(context.parent_id, 0xb7ad_6b71_6920_3331);
        assert!(context.flags & SAMPLED != 0);
        assert_eq!(context.to_value(), PARENT.as_bytes());
        assert_eq!(context.to_string(), PARENT);
        let child = context.child(0xff);
        assert_eq!(
            child.to_value(),
            b"00-0af7651916cd43dd8448eb211c80319c-00000000000000ff-01"[..]
        );
        assert_ne!(context.child(0).parent_id, 0);
    }

    #[test]
    fn known_flags_are_kept_and_others_are_not() {
        for (flags, kept) in [
            ("00", "00"),
            ("01", "01"),
            ("02", "02"),
            ("03", "03"),
            ("ff", "03"),
            ("fc", "00"),
        ] {
            let value = PARENT.replace("-01", &format!("-{flags}"));
            let written = TraceContext::parse(value.as_bytes())
                .unwrap()
                .child(1)
                .to_value();
            assert_eq!(written[53..], *kept.as_bytes(), "{flags}");
        }
    }

    #[test]
    fn malformed_parents_are_refused() {
        let start = "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331";
        for value in [
            "",
            "00",
            &format!("ff-{start}-01"),
            &format!("0-{start}-01"),
            &format!("0g-{start}-01"),
            &format!("00-{start}-1"),
            &format!("00-{start}-0x"),
            &format!("00-{start}-01-"),
            &format!("00-{start}-01-a"),
            &format!("00-{start}-011"),
            &format!("01-{start}-01a"),
            &format!(" 00-{start}-01"),
            &format!("00_{start}-01"),
            &PARENT.to_uppercase(),
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333-101",
        ] {
            check_refused(value);
        }
    }

    #[test]
    fn later_versions_are_read_by_what_they_share_and_sent_on_as_ours() {
        for version in ["01", "cc", "fe"] {
            for rest in ["", "-", "-what-the-future-will-be-like"] {
                let value = format!("{}{rest}", PARENT.replacen("00", version, 1));
                let context = TraceContext::parse(value.as_bytes()).unwrap();
                assert_eq!(context.to_value(), PARENT.as_bytes(), "{value}");
            }
        }
    }

    #[test]
    fn a_request_has_one_parent_or_none() {
        assert!(TraceContext::of(&fields(&[("Traceparent", PARENT)])).is_some());
        assert!(
            TraceContext::of(&fields(&[("traceparent", PARENT), ("traceparent", PARENT)]))
                .is_none()
        );
        assert!(TraceContext::of(&fields(&[])).is_none());
    }

    #[test]
    fn a_new_trace_says_that_it_is_random() {
        let value =
            |sampled| String::from_utf8(TraceContext::start(10, 11, sampled).to_value().to_vec());
        assert_eq!(
            value(true).unwrap(),
            "00-0000000000000000000000000000000a-000000000000000b-03"
        );
        assert_eq!(
            value(false).unwrap(),
            "00-0000000000000000000000000000000a-000000000000000b-02"
        );
        let zeros = TraceContext::start(0, 0, true).to_value();
        assert!(TraceContext::parse(&zeros).is_some());
    }

    #[track_caller]
    fn check_state(values: &[&str], expected: bool) {
        let list: Vec<_> = values.iter().map(|value| ("tracestate", *value)).collect();
        assert_eq!(tracestate_can_pass(&fields(&list)), expected, "{values:?}");
    }

    #[test]
    fn state_is_passed_on_within_bounds() {
        check_state(&[], false);
        check_state(&["", ","], false);
        check_state(&["a=1, b@c=2 ,,"], true);
        check_state(&["a=1", "", "b=2"], true);
        let fitting = format!("a={}", "x".repeat(510));
        check_state(&[&fitting], true);
        check_state(&[&fitting, ""], false);
        check_state(&[&format!("{fitting}x")], false);
        check_state(&[&vec!["a=1"; 32].join(",")], true);
        check_state(&[&vec!["a=1"; 33].join(",")], false);
        for malformed in ["a", "=1", "A=1", "a=1=2", "a=\u{e4}", "a=1,b"] {
            check_state(&[malformed], false);
        }
    }

    #[test]
    fn request_ids_are_short_and_visible() {
        assert_eq!(request_id(0xabc), *b"00000000000000000000000000000abc");
        assert!(is_request_id(&request_id(u128::MAX)));
        assert!(is_request_id(b"Root=1-67891233-abcdef012345678912345678"));
        assert!(is_request_id(&[b'a'; 128]));
        for value in [&b""[..], b"a b", b"a\t", b"\xe4", &[b'a'; 129]] {
            assert!(!is_request_id(value), "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(trace_id in 1_u128.., parent_id in 1_u64.., sampled: bool) {
            let context = TraceContext::start(trace_id, parent_id, sampled);
            prop_assert_eq!(TraceContext::parse(&context.to_value()), Some(context));
        }

        #[test]
        fn no_bytes_break_the_parser(value in prop_oneof!["[-0-9a-f]{50,60}", "\\PC{0,60}"]) {
            if let Some(context) = TraceContext::parse(value.as_bytes()) {
                prop_assert!(TraceContext::parse(&context.to_value()).is_some());
            }
        }
    }
}
