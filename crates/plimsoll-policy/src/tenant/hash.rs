//! SipHash-2-4: a keyed hash that nobody outside the process can aim.
//!
//! Source: J.-P. Aumasson and D. J. Bernstein, "SipHash: a fast short-input PRF" (2012). The standard library's
//! own takes no key on its stable interface.

/// The key of all hashes of a process: two random words, drawn at start. Never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Salt([u64; 2]);

impl Salt {
    /// From two random words.
    pub const fn new(first: u64, second: u64) -> Self {
        Self([first, second])
    }

    /// Hashes `bytes`; what is hashed for different purposes is set apart by `domain`.
    pub(super) fn hash(&self, domain: u8, bytes: &[u8]) -> u64 {
        let [first, second] = self.0;
        // A domain is a key of its own, so that no content of one can be taken for another's.
        siphash([first ^ u64::from(domain), second], bytes)
    }
}

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [first, second] = key;
    let mut state = State([
        first ^ 0x736f_6d65_7073_6575,
        second ^ 0x646f_7261_6e64_6f6d,
        first ^ 0x6c79_6765_6e65_7261,
        second ^ 0x7465_6462_7974_6573,
    ]);
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        state.absorb(u64::from_le_bytes(*word));
    }
    // The last word: what is left, and the length's low byte on top.
    let tail = (rest.iter().rev()).fold(0_u64, |tail, &byte| tail << 8 | u64::from(byte));
    state.absorb(tail | (bytes.len() as u64) << 56);
    state.finish()
}

struct State([u64; 4]);

impl State {
    fn absorb(&mut self, word: u64) {
        self.0[3] ^= word;
        self.round();
        self.round();
        self.0[0] ^= word;
    }

    fn finish(mut self) -> u64 {
        self.0[2] ^= 0xff;
        (0..4).for_each(|_| self.round());
        let [a, b, c, d] = self.0;
        a ^ b ^ c ^ d
    }

    fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.0;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.0 = [a, b, c, d];
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_the_papers_hash() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input = (0..15).collect::<Vec<u8>>();
        assert_eq!(siphash(key, &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn another_salt_or_domain_is_another_hash() {
        let salt = Salt::new(1, 2);
        assert_ne!(salt.hash(0, b"a"), salt.hash(1, b"a"));
        assert_ne!(salt.hash(0, b"a"), Salt::new(1, 3).hash(0, b"a"));
        assert_eq!(format!("{salt:?}"), "Salt(..)");
    }

    proptest! {
        #[test]
        #[expect(deprecated, reason = "it is the one other implementation at hand")]
        fn it_agrees_with_the_standard_librarys(first: u64, second: u64, bytes in vec(any::<u8>(), 0..100)) {
            use std::hash::{Hasher, SipHasher};
            let mut other = SipHasher::new_with_keys(first, second);
            other.write(&bytes);
            prop_assert_eq!(siphash([first, second], &bytes), other.finish());
        }
    }
}
