//! Size buckets: a body's length tells little about its content.

/// Plaintext bytes in a full chunk, frame included.
pub(super) const CHUNK: u64 = 65536;
/// The used length that starts every chunk: `u32`, big endian.
pub(super) const FRAME: u64 = 4;
/// Authentication tag of every chunk.
pub(super) const TAG: u64 = 16;

/// Length of the framed and padded plaintext for so many content bytes: the smallest bucket that holds the content and
/// its frames.
///
/// Buckets are 1, 4, 16 and 64 KiB, then eight to every doubling, so at most 12.5 % (and a frame per chunk) is wasted.
pub(super) fn padded_len(content: u64) -> u64 {
    let mut total = bucket(content + FRAME);
    while total - FRAME * total.div_ceil(CHUNK) < content {
        total = bucket(total + 1);
    }
    total
}

/// Length of the ciphertext of so many padded bytes.
pub(super) const fn ciphertext_len(padded: u64) -> u64 {
    padded + TAG * padded.div_ceil(CHUNK)
}

fn bucket(len: u64) -> u64 {
    match len {
        0..=1024 => 1024,
        1025..=4096 => 4096,
        4097..=16384 => 16384,
        16385..=CHUNK => CHUNK,
        // ilog2 is at least 16 here.
        _ => len.next_multiple_of(1 << ((len - 1).ilog2() - 3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn buckets() {
        let cases = [
            (0, 1024),
            (1020, 1024),
            (1021, 4096),
            (4092, 4096),
            (4093, 16384),
            (16381, 65536),
            (65532, 65536),
            (65533, 73728),
            (73720, 73728),
            (73721, 81920),
            (131_064, 131_072),
            (131_065, 147_456),
            (26_214_400, 27_262_976),
        ];
        for (content, padded) in cases {
            assert_eq!(padded_len(content), padded, "{content}");
        }
    }

    proptest! {
        #[test]
        fn content_fits_and_little_is_wasted(content in 0_u64..27_000_000) {
            let padded = padded_len(content);
            prop_assert!(padded >= content + FRAME * padded.div_ceil(CHUNK));
            prop_assert!(padded <= 65536 || padded * 1000 <= content * 1126);
            prop_assert!(padded.is_multiple_of(CHUNK) || padded % CHUNK >= 1024, "a last chunk that holds more than its frame");
            prop_assert!(padded_len(content + 1) >= padded);
        }
    }
}
