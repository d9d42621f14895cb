//! SHA-256 names for keys and certificates, written as 64 lower-case hexadecimal digits.

use std::fmt;
use std::str::FromStr;

use ring::digest::{SHA256, digest};

use crate::party::UnknownCode;

macro_rules! sha256_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 32]);

        impl $name {
            /// The name of these DER bytes.
            pub fn of(der: &[u8]) -> Self {
                let mut bytes = [0; 32];
                bytes.copy_from_slice(digest(&SHA256, der).as_ref());
                Self(bytes)
            }

            /// From storage.
            pub const fn from_bytes(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }

            /// For storage.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = UnknownCode;
            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                parse(text).map(Self).ok_or(UnknownCode($what))
            }
        }
    };
}

sha256_name! {
    /// SHA-256 of a SubjectPublicKeyInfo: the name of a key pair. It survives renewal with the same key.
    KeyHash, "key hash"
}

sha256_name! {
    /// SHA-256 of a whole certificate: the name of one certificate.
    Fingerprint, "certificate fingerprint"
}

/// Lower case only: one hash has one name.
fn parse(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).ok()?;
    text.bytes().all(|byte| !byte.is_ascii_uppercase()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sha256_in_hex_and_read_back() {
        let empty = KeyHash::of(b"");
        assert_eq!(empty.to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(empty.to_string().parse(), Ok(empty));
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = Fingerprint::of(b"x").to_string();
        let short: String = good.chars().skip(1).collect();
        for text in ["", "00", &good.to_uppercase(), &short, &format!("{good}00"), &good.replace('a', "é")] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text:?}");
        }
    }
}
