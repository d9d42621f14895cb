//! The body of a record: chunked authenticated encryption, so that neither side holds more than a few chunks.
//!
//! STREAM over ChaCha20-Poly1305 (Hoang, Reyhanitabar, Rogaway, Vizár, "Online Authenticated-Encryption and its
//! Nonce-Reuse Misuse-Resistance", crate `aead-stream`): each chunk's nonce holds its position and whether it is the
//! last, so chunks can't be dropped, swapped, repeated or added. The nonce prefix is zero: the key is the record's own.
//!
//! ```text
//! plaintext   = chunks of 65536 bytes, the last one shorter, together one size bucket (see `padding`)
//! chunk       = u32 big endian: used bytes, then those, then zeros
//! ciphertext  = each chunk encrypted, 16 bytes of tag after each
//! ```

mod padding;

use aead_stream::{NewStream, StreamBE32, StreamPrimitive};
use chacha20poly1305::ChaCha20Poly1305;
use ring::digest;
use zeroize::Zeroizing;

use super::record_key::{FreshKey, RecordKey};
use crate::pseudonym::key::SecretKey;
use padding::{CHUNK, FRAME, TAG, ciphertext_len, padded_len};

/// Largest content of a record: 25 MiB.
pub const MAX_CONTENT_LEN: u64 = 25 * 1024 * 1024;

/// Content bytes in a full chunk.
const CONTENT: usize = (CHUNK - FRAME) as usize;
/// Ciphertext bytes of a full chunk.
const SEALED: usize = (CHUNK + TAG) as usize;

/// What the header says of the ciphertext.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest {
    /// SHA-256 of the whole ciphertext.
    pub sha256: [u8; 32],
    /// Its length in bytes.
    pub len: u64,
}

/// Why a body can't be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// A chunk doesn't authenticate: altered, moved, not the last where it should be, or another key.
    #[error("the body does not authenticate")]
    Authentication,
    /// The whole is not what the header says.
    #[error("the body is not the one in the header")]
    Digest,
    /// More or fewer bytes than the header says.
    #[error("the body is not as long as the header says")]
    Length,
    /// A frame or padding that no honest sealer makes.
    #[error("the body is not framed correctly")]
    Padding,
    /// Content over [`MAX_CONTENT_LEN`].
    #[error("the content is larger than 25 MiB")]
    TooLarge,
}

/// Whether a sealed body can have this length: one of the size buckets, encrypted. Plain text hardly ever has.
pub fn is_sealed_len(ciphertext: u64) -> bool {
    let chunk = padding::CHUNK + padding::TAG;
    let padded = ciphertext.saturating_sub(padding::TAG * ciphertext.div_ceil(chunk));
    let content = padded.saturating_sub(padding::FRAME * padded.div_ceil(padding::CHUNK));
    content <= MAX_CONTENT_LEN
        && padding::padded_len(content) == padded
        && padding::ciphertext_len(padded) == ciphertext
}

/// Seals one body, piece by piece.
pub struct BodySealer {
    key: RecordKey,
    stream: Stream,
    /// Content that isn't encrypted yet; at most one chunk, so that the last chunk is known as such.
    pending: Zeroizing<Vec<u8>>,
    content: u64,
    position: u32,
    written: Tally,
}

impl BodySealer {
    /// Starts the body of this key.
    pub fn new(key: FreshKey) -> Self {
        let key = key.spend();
        let stream = stream(&key.body_key());
        let pending = Zeroizing::new(Vec::with_capacity(CONTENT));
        Self { key, stream, pending, content: 0, position: 0, written: Tally::new() }
    }

    /// Takes content, appends the ciphertext of every chunk that became full to `out`.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] as soon as the limit is passed; nothing of `content` is taken then.
    pub fn push(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        let total = self.content.saturating_add(content.len() as u64);
        if total > MAX_CONTENT_LEN {
            return Err(BodyError::TooLarge);
        }
        self.content = total;
        let mut rest = content;
        while !rest.is_empty() {
            if self.pending.len() == CONTENT {
                self.emit(CHUNK, false, out)?;
            }
            rest = fill(&mut self.pending, rest, CONTENT);
        }
        Ok(())
    }

    /// Pads to the size bucket, appends what is left to `out`.
    ///
    /// # Errors
    /// [`BodyError::Authentication`] only if the cipher itself fails, which it doesn't for these sizes.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<SealedBody, BodyError> {
        let mut remaining = padded_len(self.content) - u64::from(self.position) * CHUNK;
        while remaining > CHUNK {
            self.emit(CHUNK, false, out)?;
            remaining -= CHUNK;
        }
        self.emit(remaining, true, out)?;
        Ok(SealedBody { digest: self.written.finish(), key: self.key })
    }

    fn emit(&mut self, size: u64, last: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let mut chunk = Zeroizing::new(Vec::with_capacity(SEALED));
        let used = u32::try_from(self.pending.len()).map_err(|_| BodyError::Padding)?;
        chunk.extend_from_slice(&used.to_be_bytes());
        chunk.extend_from_slice(&self.pending);
        chunk.resize(usize::try_from(size).map_err(|_| BodyError::Padding)?, 0);
        self.pending.clear();
        self.stream.encrypt_in_place(self.position, last, &[], &mut *chunk).map_err(|_| BodyError::Authentication)?;
        self.position += 1;
        self.written.add(&chunk);
        out.extend_from_slice(&chunk);
        Ok(())
    }
}

/// What comes out of sealing beside the ciphertext: what the header needs, and the key for the recipients.
pub struct SealedBody {
    /// For the header.
    pub digest: BodyDigest,
    /// To be committed to in the header and sealed to every recipient.
    pub key: RecordKey,
}

/// Opens one body, piece by piece.
///
/// What it gives before [`BodyOpener::finish`] is authentic but perhaps not all: keep it apart and throw it away on any
/// error.
pub struct BodyOpener {
    stream: Stream,
    expected: BodyDigest,
    pending: Zeroizing<Vec<u8>>,
    read: Tally,
    position: u32,
    content: u64,
    padded: u64,
    in_padding: bool,
}

impl BodyOpener {
    /// Starts the body of this key, of which the header says this.
    ///
    /// # Errors
    /// [`BodyError::TooLarge`] if the header announces more than the limit.
    pub fn new(key: &RecordKey, expected: BodyDigest) -> Result<Self, BodyError> {
        if expected.len > ciphertext_len(padded_len(MAX_CONTENT_LEN)) {
            return Err(BodyError::TooLarge);
        }
        Ok(Self {
            stream: stream(&key.body_key()),
            expected,
            pending: Zeroizing::new(Vec::with_capacity(SEALED)),
            read: Tally::new(),
            position: 0,
            content: 0,
            padded: 0,
            in_padding: false,
        })
    }

    /// Takes ciphertext, appends the content of every chunk that is certainly not the last to `out`.
    ///
    /// # Errors
    /// [`BodyError`]; the opener is of no use after one.
    pub fn push(&mut self, ciphertext: &[u8], out: &mut Vec<u8>) -> Result<(), BodyError> {
        self.read.add(ciphertext);
        if self.read.len > self.expected.len {
            return Err(BodyError::Length);
        }
        let mut rest = ciphertext;
        while !rest.is_empty() {
            if self.pending.len() == SEALED {
                self.open_chunk(false, out)?;
            }
            rest = fill(&mut self.pending, rest, SEALED);
        }
        Ok(())
    }

    /// Opens the last chunk and checks the whole; returns the content's length in bytes.
    ///
    /// # Errors
    /// [`BodyError`]; then nothing of what came out may be used.
    pub fn finish(mut self, out: &mut Vec<u8>) -> Result<u64, BodyError> {
        if self.read.len != self.expected.len {
            return Err(BodyError::Length);
        }
        self.open_chunk(true, out)?;
        if self.padded != padded_len(self.content) {
            return Err(BodyError::Padding);
        }
        if self.read.finish() != self.expected {
            return Err(BodyError::Digest);
        }
        Ok(self.content)
    }

    fn open_chunk(&mut self, last: bool, out: &mut Vec<u8>) -> Result<(), BodyError> {
        let position = self.position;
        // Also after a failure: then no later chunk fits any more.
        self.position += 1;
        self.stream.decrypt_in_place(position, last, &[], &mut *self.pending).map_err(|_| BodyError::Authentication)?;
        let (frame, rest) = self.pending.split_first_chunk().ok_or(BodyError::Padding)?;
        let used = usize::try_from(u32::from_be_bytes(*frame)).map_err(|_| BodyError::Padding)?;
        let (content, zeros) = rest.split_at_checked(used).ok_or(BodyError::Padding)?;
        if zeros.iter().any(|byte| *byte != 0) || (self.in_padding && !content.is_empty()) {
            return Err(BodyError::Padding);
        }
        self.in_padding |= !zeros.is_empty();
        self.content += content.len() as u64;
        self.padded += self.pending.len() as u64;
        if self.content > MAX_CONTENT_LEN {
            return Err(BodyError::TooLarge);
        }
        out.extend_from_slice(content);
        self.pending.clear();
        Ok(())
    }
}

type Stream = StreamBE32<ChaCha20Poly1305>;

fn stream(key: &SecretKey) -> Stream {
    Stream::new(key.as_bytes().into(), &Default::default())
}

/// Moves bytes until `buffer` holds `limit`; returns what is left. Never lets the buffer grow, and so leave copies.
fn fill<'a>(buffer: &mut Vec<u8>, bytes: &'a [u8], limit: usize) -> &'a [u8] {
    let room = limit.saturating_sub(buffer.len());
    let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
    buffer.extend_from_slice(head);
    rest
}

/// Running hash and length of a ciphertext.
struct Tally {
    hash: digest::Context,
    len: u64,
}

impl Tally {
    fn new() -> Self {
        Self { hash: digest::Context::new(&digest::SHA256), len: 0 }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.len = self.len.saturating_add(bytes.len() as u64);
    }

    fn finish(self) -> BodyDigest {
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.hash.finish().as_ref());
        BodyDigest { sha256, len: self.len }
    }
}

#[cfg(test)]
mod tests;
