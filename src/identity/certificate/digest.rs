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
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
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

fn parse(text: &str) -> Option<[u8; 32]> {
    let digits: Vec<u8> = text.bytes().map(digit).collect::<Option<_>>()?;
    let bytes: Vec<u8> = digits
        .chunks(2)
        .map(|pair| match pair {
            [high, low] => Some(high << 4 | low),
            _ => None,
        })
        .collect::<Option<_>>()?;
    bytes.try_into().ok()
}

const fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
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
