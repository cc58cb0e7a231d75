//! Text forms of bytes: hexadecimal, base64 (RFC 4648, section 4) and percent-encoding (RFC 3986, section 2.1).

use std::borrow::Cow;

const HEX: &[u8; 16] = b"0123456789abcdef";
const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Lower case, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(digit(HEX, usize::from(byte >> 4)));
        text.push(digit(HEX, usize::from(byte & 15)));
    }
    text
}

/// With padding.
pub(crate) fn base64(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().enumerate().fold(0_usize, |group, (at, byte)| {
            group | usize::from(*byte) << (16 - 8 * at)
        });
        for at in 0..4 {
            text.push(if at <= chunk.len() {
                digit(BASE64, group >> (18 - 6 * at) & 63)
            } else {
                '='
            });
        }
    }
    text
}

/// Padding is required, as the SDKs write it; bits beyond the last byte are not looked at.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text
        .strip_suffix("==")
        .or_else(|| text.strip_suffix('='))
        .unwrap_or(text);
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut group, mut bits) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        group = (group << 6 | u32::from(value)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push((group >> bits & 0xff) as u8);
        }
    }
    Some(bytes)
}

/// Everything but letters, digits, `-`, `.`, `_`, `~` and what `keep` holds, as Signature Version 4 wants it.
pub(crate) fn percent(bytes: &[u8], keep: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 4);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || keep.contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(digit(HEX, usize::from(byte >> 4)).to_ascii_uppercase());
            text.push(digit(HEX, usize::from(byte & 15)).to_ascii_uppercase());
        }
    }
    text
}

/// A part of a form: `+` is a space. A `%` without two digits stands for itself, as browsers have it.
pub(crate) fn from_form(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(text);
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) => match (value(*high), value(*low)) {
                (Some(high), Some(low)) => {
                    bytes.push(high << 4 | low);
                    rest = after;
                }
                _ => bytes.push(b'%'),
            },
            _ => bytes.push(byte),
        }
    }
    Cow::Owned(bytes)
}

/// The names and values of a form or of a query string, decoded; nothing between two `&` is nothing.
pub(crate) fn form_pairs(text: &[u8]) -> impl Iterator<Item = (Cow<'_, [u8]>, Cow<'_, [u8]>)> {
    text.split(|byte| *byte == b'&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            (
                from_form(halves.next().unwrap_or_default()),
                from_form(halves.next().unwrap_or_default()),
            )
        })
}

fn digit(alphabet: &[u8], at: usize) -> char {
    alphabet.get(at).map_or('?', |digit| char::from(*digit))
}

fn value(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        // RFC 4648, section 10.
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(plain.as_bytes()), coded);
            assert_eq!(from_base64(coded).unwrap(), plain.as_bytes());
        }
        assert_eq!(base64(&[0, 255, 16]), "AP8Q");
        for bad in ["Zg", "Zg=", "Z===", "Zm9v=", "Zm 9", "====", "é=="] {
            assert!(from_base64(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn forms_are_decoded_leniently() {
        assert_eq!(&*from_form(b"a+b%26%C3%A9"), "a b&é".as_bytes());
        assert_eq!(&*from_form(b"100%"), b"100%");
        assert_eq!(&*from_form(b"%zz%4"), b"%zz%4");
        assert_eq!(percent(b"a b/c~\xff", b"/"), "a%20b/c~%FF");
        assert_eq!(hex(&[0, 0x9f, 0xff]), "009fff");
        let pairs: Vec<_> = form_pairs(b"a=1&&b&c=d=e")
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect();
        let expected =
            [("a", "1"), ("b", ""), ("c", "d=e")].map(|(name, value)| (name.into(), value.into()));
        assert_eq!(pairs, expected);
    }
}
