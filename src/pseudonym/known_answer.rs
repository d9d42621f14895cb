//! The known-answer check: agent, keyholder and hub compare what a fixed identifier gives, at every connect.
//!
//! Drift in the input (another normalisation, another key, another library) would silently make two subjects of one
//! youth. With this check it is a loud error. Only a digest is exchanged, never `y` itself.

use ring::digest;

use super::oprf::OprfOutput;

/// A synthetic number (passes the elfproef, in the test range) that belongs to nobody.
pub const IDENTIFIER: &str = "999990019";

/// SHA-256 of `y` for [`IDENTIFIER`] under its own domain. Not a secret: it says nothing of other identifiers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownAnswer([u8; Self::LEN]);

impl KnownAnswer {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// The digest of the output for [`IDENTIFIER`].
    pub fn of(output: &OprfOutput) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"sluis/v1/known-answer");
        context.update(output.as_bytes());
        let mut answer = Self([0; Self::LEN]);
        answer.0.copy_from_slice(context.finish().as_ref());
        answer
    }

    /// The answer that a peer claims, if it has the right length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to exchange.
    pub fn as_bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }
}

/// What is blinded for [`IDENTIFIER`]: for whoever writes a client of its own and compares.
pub fn canonical_input() -> Vec<u8> {
    super::Bsn::parse(IDENTIFIER).map(|identifier| identifier.canonical_input().to_vec()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    #[test]
    fn the_input_of_the_published_identifier_is_pinned() {
        assert_eq!(canonical_input(), br#"{"landCode":"NL","type":"BSN","value":"999990019"}"#);
    }

    use crate::pseudonym::{Blinding, Bsn, Keyholder, SecretKey};
    use rand_core::OsRng;

    #[test]
    fn agent_and_keyholder_find_the_same_answer() {
        let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
        let input = Bsn::parse(IDENTIFIER).unwrap().canonical_input();
        let (blinding, blinded) = Blinding::start(&input, &mut OsRng).unwrap();
        let answer = keyholder.evaluate(&blinded, &mut OsRng).unwrap();
        let y = blinding.finish(&answer.evaluated[0], &answer.proof, &keyholder.public_key()).unwrap();
        assert_eq!(keyholder.evaluate_known_answer(), Ok(KnownAnswer::of(&y)));

        let other = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
        assert!(other.evaluate_known_answer() != keyholder.evaluate_known_answer());
    }

    #[test]
    fn drifted_input_gives_another_answer() {
        let keyholder = Keyholder::from_seed(&SecretKey::generate(&mut OsRng)).unwrap();
        let drifted = br#"{"landCode":"NL","type":"bsn","value":"999990019"}"#;
        let (blinding, blinded) = Blinding::start(drifted, &mut OsRng).unwrap();
        let answer = keyholder.evaluate(&blinded, &mut OsRng).unwrap();
        let y = blinding.finish(&answer.evaluated[0], &answer.proof, &keyholder.public_key()).unwrap();
        assert!(keyholder.evaluate_known_answer() != Ok(KnownAnswer::of(&y)));
    }
}
