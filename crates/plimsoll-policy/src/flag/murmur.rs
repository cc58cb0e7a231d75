//! MurmurHash3, 32 bits, seed 0: what flagd's `fractional` puts contexts into buckets with.
//!
//! Source: A. Appleby, MurmurHash3 (public domain), `x86_32`.

/// Hashes several pieces as if they were one.
pub(super) fn murmur(pieces: &[&str]) -> u32 {
    let mut hash = 0_u32;
    let mut held = 0_u32;
    let (mut count, mut length) = (0_u32, 0_u32);
    for byte in pieces.iter().flat_map(|piece| piece.bytes()) {
        held |= u32::from(byte) << (8 * count);
        count += 1;
        length = length.wrapping_add(1);
        if count == 4 {
            hash = (hash ^ scramble(held))
                .rotate_left(13)
                .wrapping_mul(5)
                .wrapping_add(0xe654_6b64);
            (held, count) = (0, 0);
        }
    }
    if count > 0 {
        hash ^= scramble(held);
    }
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85eb_ca6b);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

fn scramble(word: u32) -> u32 {
    word.wrapping_mul(0xcc9e_2d51)
        .rotate_left(15)
        .wrapping_mul(0x1b87_3593)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: u32) {
        assert_eq!(murmur(&[text]), expected, "{text}");
    }

    /// Values that implementations agree on, for lengths of each remainder by four.
    #[test]
    fn it_is_the_hash_that_others_compute() {
        check("", 0);
        check("a", 0x3c25_69b2);
        check("ab", 0x9bbf_d75f);
        check("abc", 0xb3dd_93fa);
        check("abcd", 0x43ed_676a);
        check("hello", 0x248b_fa47);
        check("hello, world", 0x149b_bb7f);
        check("The quick brown fox jumps over the lazy dog", 0x2e4f_f723);
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        assert_eq!(murmur(&["new-", "cart", "u1"]), murmur(&["new-cartu1"]));
    }
}
