//! Keys of signed notes: a log's (signature type 0x01) and a witness's (0x04, a signature with its time).

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use signed_note::{Signature, Verifier, is_key_name_valid, key_id};

/// Name of a log or a witness: a URL without its scheme, 1–128 printable ASCII characters without space and plus.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Origin(String);

impl Origin {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Origin {
    type Err = NotAName;
    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if plain && is_key_name_valid(text) { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Not a name for a log or a witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a URL without its scheme, of at most 128 characters without spaces and plus signs, like sluis.example/log"
)]
pub struct NotAName;

/// Whose key it is: what it says when it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A log: this is the tree.
    Log,
    /// A witness: at this time, this was the largest tree that I had seen, and it holds all earlier ones (cosignature/v1).
    Witness,
}

impl Kind {
    const fn code(self) -> u8 {
        match self {
            Self::Log => 1,
            Self::Witness => 4,
        }
    }
}

/// A public key with its name, as `<name>+<id>+<base64>` (C2SP signed-note, verifier keys).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    name: Origin,
    kind: Kind,
    bytes: [u8; 32],
    id: u32,
}

/// A text that is no public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a public key of a log or a witness: <name>+<id>+<base64>")]
pub struct NotAKey;

impl PublicKey {
    fn new(name: Origin, kind: Kind, bytes: [u8; 32]) -> Self {
        let id = key_id(name.as_str(), &typed(kind, &bytes));
        Self { name, kind, bytes, id }
    }

    /// Whose it is.
    pub const fn name(&self) -> &Origin {
        &self.name
    }

    /// What it signs.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether a signature says to be of this key.
    pub(super) fn is_named(&self, signature: &Signature) -> bool {
        signature.name() == self.name.as_str() && signature.id() == self.id
    }

    /// Whether it is the same key, whatever it is called.
    pub(super) fn is_same_key(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// The moment of a witness's signature, seconds since the epoch.
    pub fn time(&self, signature: &Signature) -> Option<u64> {
        let (time, _) = signature.signature().split_first_chunk()?;
        (self.kind == Kind::Witness).then_some(u64::from_be_bytes(*time))
    }
}

fn typed(kind: Kind, bytes: &[u8; 32]) -> Vec<u8> {
    [&[kind.code()][..], bytes].concat()
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.id, STANDARD.encode(typed(self.kind, &self.bytes)))
    }
}

impl FromStr for PublicKey {
    type Err = NotAKey;
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let mut parts = text.splitn(3, '+');
        let mut part = || parts.next().ok_or(NotAKey);
        let (name, _, bytes) = (part()?, part()?, part()?);
        let bytes = STANDARD.decode(bytes).map_err(|_| NotAKey)?;
        let (code, bytes) = bytes.split_first().ok_or(NotAKey)?;
        let kind = [Kind::Log, Kind::Witness].into_iter().find(|kind| kind.code() == *code).ok_or(NotAKey)?;
        let key = Self::new(name.parse().map_err(|_| NotAKey)?, kind, bytes.try_into().map_err(|_| NotAKey)?);
        // There is one way to write it; the id guards against a slip of the pen.
        if key.to_string() == text { Ok(key) } else { Err(NotAKey) }
    }
}

impl Verifier for PublicKey {
    fn name(&self) -> &str {
        self.name.as_str()
    }

    fn key_id(&self) -> u32 {
        self.id
    }

    fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        let key = UnparsedPublicKey::new(&ED25519, &self.bytes);
        match self.kind {
            Kind::Log => key.verify(text, signature).is_ok(),
            Kind::Witness => signature.split_first_chunk().is_some_and(|(time, signature)| {
                key.verify(&cosigned(u64::from_be_bytes(*time), text), signature).is_ok()
            }),
        }
    }
}

/// What a witness signs: C2SP tlog-cosignature, Ed25519 signed message.
fn cosigned(time: u64, text: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), text].concat()
}

/// A private key with its name. Does not print.
pub struct PrivateKey {
    public: PublicKey,
    pair: Ed25519KeyPair,
}

impl PrivateKey {
    /// From 32 secret bytes. Every 32 bytes are a key.
    pub fn from_seed(name: Origin, kind: Kind, seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let bytes = pair.public_key().as_ref().try_into().ok()?;
        Some(Self { public: PublicKey::new(name, kind, bytes), pair })
    }

    /// A log's key.
    pub fn of_log(name: Origin, seed: &[u8; 32]) -> Option<Self> {
        Self::from_seed(name, Kind::Log, seed)
    }

    /// What others verify with.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// A signature under the text of a note. A witness's says when; `time` is in seconds since the epoch.
    pub fn sign(&self, text: &[u8], time: u64) -> Option<Signature> {
        let bytes = match self.public.kind {
            Kind::Log => self.pair.sign(text).as_ref().to_vec(),
            Kind::Witness => [&time.to_be_bytes(), self.pair.sign(&cosigned(time, text)).as_ref()].concat(),
        };
        Signature::new(self.public.name.to_string(), self.public.id, bytes).ok()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrivateKey").field("public", &self.public).finish_non_exhaustive()
    }
}
