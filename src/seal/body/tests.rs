//! What an honest sealer makes opens; what anybody did to it does not.

use super::*;
use proptest::prelude::*;
use rand_core::OsRng;

fn seal(content: &[u8], piece: usize) -> (Vec<u8>, SealedBody) {
    let mut out = Vec::new();
    let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
    for piece in content.chunks(piece) {
        sealer.push(piece, &mut out).unwrap();
    }
    let body = sealer.finish(&mut out).unwrap();
    (out, body)
}

fn open(ciphertext: &[u8], key: &RecordKey, expected: BodyDigest, piece: usize) -> Result<Vec<u8>, BodyError> {
    let mut out = Vec::new();
    let mut opener = BodyOpener::new(key, expected)?;
    for piece in ciphertext.chunks(piece) {
        opener.push(piece, &mut out)?;
    }
    let len = opener.finish(&mut out)?;
    assert_eq!(len, out.len() as u64);
    Ok(out)
}

/// The digest that a header over the altered ciphertext would have: the chunks must hold by themselves.
fn digest_of(ciphertext: &[u8]) -> BodyDigest {
    let mut tally = Tally::new();
    tally.add(ciphertext);
    tally.finish()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn bodies_of_every_size_open() {
    for len in [0, 1, 1020, 1021, 65531, 65532, 65533, 131_063, 131_064, 131_065, 200_000, 1_000_000] {
        let content = content(len);
        let (ciphertext, body) = seal(&content, 10_007);
        assert_eq!(body.digest, digest_of(&ciphertext));
        assert_eq!(ciphertext.len() as u64, ciphertext_len(padded_len(len as u64)));
        assert!(open(&ciphertext, &body.key, body.digest, 9_973) == Ok(content), "{len}");
    }
}

/// As if all but the last kilobyte had passed already; 25 MiB take seconds in a debug build.
#[test]
fn the_limit_is_exact() {
    let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
    sealer.content = MAX_CONTENT_LEN - 1000;
    assert_eq!(sealer.push(&[7; 1001], &mut Vec::new()), Err(BodyError::TooLarge));
    assert_eq!(sealer.push(&[7; 1000], &mut Vec::new()), Ok(()));
    assert_eq!(sealer.push(&[7], &mut Vec::new()), Err(BodyError::TooLarge));

    let (ciphertext, body) = seal(&[7; 1000], 1000);
    for (passed, error) in [(MAX_CONTENT_LEN - 1000, BodyError::Padding), (MAX_CONTENT_LEN - 999, BodyError::TooLarge)]
    {
        let mut opener = BodyOpener::new(&body.key, body.digest).unwrap();
        opener.content = passed;
        opener.push(&ciphertext, &mut Vec::new()).unwrap();
        assert_eq!(opener.finish(&mut Vec::new()), Err(error));
    }

    let longest = ciphertext_len(padded_len(MAX_CONTENT_LEN));
    for (len, accepted) in [(longest, true), (longest + 1, false)] {
        assert_eq!(BodyOpener::new(&body.key, BodyDigest { len, ..body.digest }).is_ok(), accepted);
    }
}

#[test]
fn memory_stays_within_a_chunk() {
    let mut out = Vec::new();
    let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
    sealer.push(&content(500_000), &mut out).unwrap();
    assert_eq!(sealer.pending.capacity(), CONTENT);
    let body = sealer.finish(&mut out).unwrap();
    let mut opener = BodyOpener::new(&body.key, body.digest).unwrap();
    opener.push(&out, &mut Vec::new()).unwrap();
    assert_eq!(opener.pending.capacity(), SEALED);
}

#[test]
fn content_is_given_before_the_end() {
    let (ciphertext, body) = seal(&content(200_000), 4096);
    let mut out = Vec::new();
    let mut opener = BodyOpener::new(&body.key, body.digest).unwrap();
    opener.push(&ciphertext[..2 * SEALED + 1], &mut out).unwrap();
    assert_eq!(out.len(), 2 * CONTENT);
}

#[test]
fn another_key_does_not_open() {
    let (ciphertext, body) = seal(b"text", 4);
    let (_, other) = seal(b"text", 4);
    assert_eq!(open(&ciphertext, &other.key, body.digest, 100), Err(BodyError::Authentication));
}

/// Every chunk holds, but it is another body under the same key than the header's.
#[test]
fn another_digest_than_the_headers_is_refused() {
    let (ciphertext, body) = seal(b"text", 4);
    let other = BodyDigest { sha256: [0; 32], ..body.digest };
    assert_eq!(open(&ciphertext, &body.key, other, 100), Err(BodyError::Digest));
}

/// Every change is tried twice: with the header's digest, and with a digest made to fit.
fn refused(altered: &[u8], body: &SealedBody) -> bool {
    let with_header = open(altered, &body.key, body.digest, 30_011);
    let with_fitting = open(altered, &body.key, digest_of(altered), 30_011);
    with_header.is_err() && with_fitting.is_err()
}

#[test]
fn chunks_cannot_be_dropped_swapped_repeated_or_added() {
    let (ciphertext, body) = seal(&content(250_000), 4096);
    let chunks: Vec<&[u8]> = ciphertext.chunks(SEALED).collect();
    assert_eq!(chunks.len(), 4);
    let (_, other) = seal(b"another body", 100);
    assert!(!refused(&chunks.concat(), &body));
    for altered in [
        vec![],
        chunks[..3].to_vec(),
        chunks[..1].to_vec(),
        chunks[1..].to_vec(),
        vec![chunks[0], chunks[2], chunks[3]],
        vec![chunks[1], chunks[0], chunks[2], chunks[3]],
        vec![chunks[0], chunks[1], chunks[3], chunks[2]],
        vec![chunks[0], chunks[1], chunks[1], chunks[2], chunks[3]],
        vec![chunks[0], chunks[1], chunks[2], chunks[3], chunks[3]],
        vec![chunks[0], chunks[1], chunks[2], chunks[3], &[0; 40]],
    ] {
        assert!(refused(&altered.concat(), &body));
    }
    assert!(refused(&ciphertext, &other));
}

/// A sealer that has the key but doesn't keep to the format: frames are part of what is checked.
#[test]
fn dishonest_frames_are_refused() {
    let framed = |used: u32, content: &[u8], size: usize| {
        let mut chunk = [used.to_be_bytes().as_slice(), content].concat();
        chunk.resize(size, 0);
        chunk
    };
    let cases: [(&[Vec<u8>], Option<BodyError>); 9] = [
        (&[framed(4, b"text", 1024)], None),
        (&[framed(4, b"text", 4096)], Some(BodyError::Padding)),
        (&[framed(4, b"text", 8)], Some(BodyError::Padding)),
        (&[framed(3, b"text", 1024)], Some(BodyError::Padding)),
        (&[framed(1021, b"text", 1024)], Some(BodyError::Padding)),
        (&[framed(u32::MAX, b"text", 1024)], Some(BodyError::Padding)),
        (&[vec![0; 3]], Some(BodyError::Padding)),
        (&[framed(4, b"text", 65536), framed(0, b"", 8192)], Some(BodyError::Padding)),
        (&[framed(4, b"text", 65536), framed(1, b"x", 8192)], Some(BodyError::Padding)),
    ];
    for (chunks, error) in cases {
        let key = FreshKey::generate(&mut OsRng).spend();
        let (stream, mut ciphertext) = (stream(&key.body_key()), Vec::new());
        for (position, chunk) in chunks.iter().enumerate() {
            let last = position + 1 == chunks.len();
            ciphertext.extend(stream.encrypt(position as u32, last, chunk.as_slice()).unwrap());
        }
        assert_eq!(open(&ciphertext, &key, digest_of(&ciphertext), 1000).err(), error);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn pieces_do_not_matter(len in 0..200_000_usize, in_piece in 1..80_000_usize, out_piece in 1..80_000_usize) {
        let content = content(len);
        let (ciphertext, body) = seal(&content, in_piece);
        prop_assert!(open(&ciphertext, &body.key, body.digest, out_piece) == Ok(content));
    }

    #[test]
    fn a_flipped_bit_is_refused(len in 0..140_000_usize, at in any::<prop::sample::Index>(), bit in 0..8) {
        let (mut ciphertext, body) = seal(&content(len), 65536);
        let at = at.index(ciphertext.len());
        ciphertext[at] ^= 1_u8 << bit;
        prop_assert!(refused(&ciphertext, &body));
    }

    #[test]
    fn a_cut_or_longer_body_is_refused(len in 0..140_000_usize, at in any::<prop::sample::Index>(), more in 1..70_000_usize) {
        let (mut ciphertext, body) = seal(&content(len), 65536);
        let at = at.index(ciphertext.len());
        prop_assert!(refused(&ciphertext[..at], &body));
        ciphertext.extend(vec![0; more]);
        prop_assert!(refused(&ciphertext, &body));
    }
}
