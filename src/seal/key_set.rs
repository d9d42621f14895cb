//! What an organisation publishes so that others can seal to it and check its signatures, vouched for by the key of
//! its certificate. The hub only passes key sets on: it can't make one.

use ring::signature::{ED25519, UnparsedPublicKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::canonical::{self, NotCanonical};
use super::certificate_signature::{self, CertSignature, CertSignatureError, Domain};
use super::hpke::{Suite, check_public_key};
use crate::party::Oin;
use crate::pseudonym::key::Epoch;

/// Longest key set in bytes.
const MAX_LEN: usize = 4096;
/// Earlier signing keys that a set names, at most: with a new key every five years, the eighty that records are kept.
const MAX_EARLIER: usize = 16;

/// An organisation's public keys of one epoch. Comes from its own private keys or from [`KeySet::verify`], nowhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeySet {
    oin: Oin,
    epoch: Epoch,
    created: OffsetDateTime,
    keys: PublicKeys,
    /// Signing keys of earlier epochs, newest first, each once. Old records stay readable under the present certificate.
    earlier: Vec<[u8; 32]>,
}

/// Public keys: nothing secret in them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct PublicKeys {
    pub(super) x25519: Vec<u8>,
    pub(super) xwing: Vec<u8>,
    pub(super) verifying: [u8; 32],
}

/// Why a key set is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeySetError {
    /// Not canonical, too long, or with fields out of range.
    #[error("the key set is malformed")]
    Format,
    /// One of the keys is not a public key of its kind.
    #[error("the key set holds an unusable key")]
    Key,
    /// It names another organisation than the certificate.
    #[error("the key set is another organisation's")]
    Owner,
    /// Not signed with the certificate's key.
    #[error("the key set is not signed with the certificate's key")]
    Signature(#[source] CertSignatureError),
}

/// A key set as it is published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKeySet {
    /// Canonical bytes; what was signed.
    pub bytes: Vec<u8>,
    /// Made with the key of the organisation's certificate.
    pub signature: CertSignature,
}

impl KeySet {
    pub(super) fn new(oin: Oin, epoch: Epoch, created: OffsetDateTime, keys: PublicKeys) -> Result<Self, NotCanonical> {
        let created = canonical::read_time(&canonical::write_time(created)?)?;
        Ok(Self { oin, epoch, created, keys, earlier: Vec::new() })
    }

    /// The same set, which also names the signing keys of `earlier` ones, newest first, so that what they signed stays
    /// readable. A key that is left out, because it was stolen, is not believed any more.
    ///
    /// # Errors
    /// [`KeySetError::Format`] if one of them is not an earlier set of the same organisation, or there are too many.
    pub fn following<'a>(mut self, earlier: impl IntoIterator<Item = &'a Self>) -> Result<Self, KeySetError> {
        for set in earlier {
            if !self.succeeds(set) || !self.is_new(&set.keys.verifying) {
                return Err(KeySetError::Format);
            }
            self.earlier.push(set.keys.verifying);
        }
        if self.earlier.len() > MAX_EARLIER { Err(KeySetError::Format) } else { Ok(self) }
    }

    fn is_new(&self, key: &[u8; 32]) -> bool {
        self.keys.verifying != *key && !self.earlier.contains(key)
    }

    /// The set without earlier keys: for what is signed now.
    #[must_use]
    pub fn present(mut self) -> Self {
        self.earlier.clear();
        self
    }

    /// Signs the set with the private key of the organisation's certificate.
    ///
    /// # Errors
    /// [`KeySetError::Signature`] if the key can't sign.
    pub fn sign(&self, certificate_key: &PrivateKeyDer<'_>) -> Result<SignedKeySet, KeySetError> {
        let bytes = self.to_bytes()?;
        let signature = certificate_signature::sign(certificate_key, Domain::KeySet, &bytes);
        Ok(SignedKeySet { bytes, signature: signature.map_err(KeySetError::Signature)? })
    }

    /// Checks a published set against the certificate of its owner.
    ///
    /// The caller has validated the certificate (chain, revocation, registration) and read `oin` from it.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn verify(signed: &SignedKeySet, certificate: &CertificateDer<'_>, oin: &Oin) -> Result<Self, KeySetError> {
        if signed.bytes.len() > MAX_LEN {
            return Err(KeySetError::Format);
        }
        certificate_signature::verify(certificate, Domain::KeySet, &signed.bytes, &signed.signature)
            .map_err(KeySetError::Signature)?;
        let set = Self::read(&signed.bytes)?;
        check_public_key(Suite::X25519, &set.keys.x25519).map_err(|_| KeySetError::Key)?;
        check_public_key(Suite::XWing, &set.keys.xwing).map_err(|_| KeySetError::Key)?;
        if set.oin == *oin { Ok(set) } else { Err(KeySetError::Owner) }
    }

    /// Whether this set may take the place of `earlier`: same organisation, later epoch. Refuses a rollback.
    pub fn succeeds(&self, earlier: &Self) -> bool {
        self.oin == earlier.oin && self.epoch > earlier.epoch
    }

    /// Whose keys these are.
    pub const fn oin(&self) -> &Oin {
        &self.oin
    }

    /// Which term of the organisation's keys.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// When the keys were made, in whole seconds.
    pub const fn created(&self) -> OffsetDateTime {
        self.created
    }

    /// The key to seal to.
    pub fn sealing_key(&self, suite: Suite) -> &[u8] {
        match suite {
            Suite::X25519 => &self.keys.x25519,
            Suite::XWing => &self.keys.xwing,
        }
    }

    /// Checks an Ed25519 signature of this organisation, now or earlier, over a text that begins with its domain.
    pub(super) fn signed(&self, domain: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let text = [domain, message].concat();
        let mut keys = std::iter::once(&self.keys.verifying).chain(&self.earlier);
        keys.any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&text, signature).is_ok())
    }

    fn to_bytes(&self) -> Result<Vec<u8>, KeySetError> {
        canonical::write(&Wire {
            version: 1,
            oin: self.oin.to_string(),
            epoch: self.epoch.number(),
            created: canonical::write_time(self.created).map_err(|_| KeySetError::Format)?,
            x25519: canonical::encode(&self.keys.x25519),
            xwing: canonical::encode(&self.keys.xwing),
            ed25519: canonical::encode(&self.keys.verifying),
            earlier_ed25519: self.earlier.iter().map(|key| canonical::encode(key)).collect(),
        })
        .map_err(|_| KeySetError::Format)
    }

    fn read(bytes: &[u8]) -> Result<Self, KeySetError> {
        let wire: Wire = canonical::read(bytes).map_err(|_| KeySetError::Format)?;
        if wire.version != 1 {
            return Err(KeySetError::Format);
        }
        let keys = PublicKeys {
            x25519: canonical::decode_vec(&wire.x25519).map_err(|_| KeySetError::Key)?,
            xwing: canonical::decode_vec(&wire.xwing).map_err(|_| KeySetError::Key)?,
            verifying: canonical::decode(&wire.ed25519).map_err(|_| KeySetError::Key)?,
        };
        let mut set = Self {
            oin: wire.oin.parse().map_err(|_| KeySetError::Format)?,
            epoch: Epoch::new(wire.epoch).ok_or(KeySetError::Format)?,
            created: canonical::read_time(&wire.created).map_err(|_| KeySetError::Format)?,
            keys,
            earlier: Vec::new(),
        };
        for key in &wire.earlier_ed25519 {
            let key = canonical::decode(key).map_err(|_| KeySetError::Key)?;
            if !set.is_new(&key) || set.earlier.len() == MAX_EARLIER {
                return Err(KeySetError::Format);
            }
            set.earlier.push(key);
        }
        Ok(set)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    oin: String,
    epoch: u32,
    created: String,
    x25519: String,
    xwing: String,
    ed25519: String,
    earlier_ed25519: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::AgentKeys;
    use crate::seal::testing::{certificate, oin, time};
    use rand_core::OsRng;
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    fn set() -> KeySet {
        AgentKeys::generate(&mut OsRng).unwrap().key_set(oin(1), Epoch::FIRST, time()).unwrap()
    }

    #[test]
    fn a_published_set_reads_back() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (set, (cert, key)) = (set(), certificate(algorithm));
            let signed = set.sign(&key).unwrap();
            assert_eq!(KeySet::verify(&signed, &cert, &oin(1)), Ok(set));
        }
    }

    #[test]
    fn a_set_under_a_foreign_certificate_or_name_is_refused() {
        let ((cert, key), (foreign, foreign_key)) = (certificate(&PKCS_ED25519), certificate(&PKCS_ED25519));
        let signed = set().sign(&key).unwrap();
        let bad = Err(KeySetError::Signature(CertSignatureError::Signature));
        assert_eq!(KeySet::verify(&signed, &foreign, &oin(1)), bad);
        assert_eq!(KeySet::verify(&set().sign(&foreign_key).unwrap(), &cert, &oin(1)), bad);
        assert_eq!(KeySet::verify(&signed, &cert, &oin(2)), Err(KeySetError::Owner));
        let swapped = SignedKeySet { bytes: set().to_bytes().unwrap(), ..signed };
        assert_eq!(KeySet::verify(&swapped, &cert, &oin(1)), bad);
    }

    /// Signed by the right key, but not what a set should be.
    #[test]
    fn malformed_sets_are_refused() {
        let (cert, key) = certificate(&PKCS_ED25519);
        let set = set();
        let own = canonical::encode(&set.keys.verifying);
        let text = String::from_utf8(set.to_bytes().unwrap()).unwrap();
        let x25519 = canonical::encode(&set.keys.xwing);
        let cases = [
            (text.replace("\"version\":1", "\"version\":2"), KeySetError::Format),
            (text.replace("\"epoch\":1", "\"epoch\":0"), KeySetError::Format),
            (text.replace("\"epoch\":1", "\"epoch\": 1"), KeySetError::Format),
            (text.replace("\"epoch\":1", "\"epoch\":1,\"epoch\":1"), KeySetError::Format),
            (text.replace("\"epoch\":1", "\"epoch\":1,\"extra\":1"), KeySetError::Format),
            (text.replace("Z\"", "+00:00\""), KeySetError::Format),
            (text.replace("\"ed25519\":\"", "\"ed25519\":\"AAAA"), KeySetError::Key),
            (text.replace("\"x25519\":\"", &format!("\"x25519\":\"{x25519}")), KeySetError::Key),
            (text.replace("\"xwing\":\"", "\"xwing\":\"____"), KeySetError::Key),
            (text.replace("_ed25519\":[", "_ed25519\":[\"AAAA\""), KeySetError::Key),
            (text.replace("_ed25519\":[", &format!("_ed25519\":[\"{own}\"")), KeySetError::Format),
            (format!("{text}{}", " ".repeat(MAX_LEN)), KeySetError::Format),
            (String::new(), KeySetError::Format),
        ];
        for (text, error) in cases {
            let bytes = text.into_bytes();
            let signature = certificate_signature::sign(&key, Domain::KeySet, &bytes).unwrap();
            assert_eq!(KeySet::verify(&SignedKeySet { bytes, signature }, &cert, &oin(1)), Err(error));
        }
    }

    #[test]
    fn what_earlier_keys_signed_is_believed_where_the_set_names_them() {
        let keys = [1, 2, 3].map(|_| AgentKeys::generate(&mut OsRng).unwrap());
        let at = |i: usize, epoch| keys[i].key_set(oin(1), Epoch::new(epoch).unwrap(), time()).unwrap();
        let (first, second) = (at(0, 1), at(1, 2));
        let set = second.clone().following([&first]).unwrap();
        let (cert, key) = certificate(&PKCS_ED25519);
        let set = KeySet::verify(&set.sign(&key).unwrap(), &cert, &oin(1)).unwrap();
        let believed = |set: &KeySet| keys.each_ref().map(|k| set.signed(b"d", b"m", &k.sign(b"d", b"m")));
        assert_eq!(believed(&set), [true, true, false]);
        assert_eq!(believed(&set.clone().present()), [false, true, false]);
        assert_eq!(believed(&second), [false, true, false]);
        let foreign = keys[2].key_set(oin(2), Epoch::FIRST, time()).unwrap();
        for wrong in [vec![&second], vec![&foreign], vec![&first, &first]] {
            assert_eq!(second.clone().following(wrong), Err(KeySetError::Format));
        }
        let many: Vec<_> = (0..17)
            .map(|_| AgentKeys::generate(&mut OsRng).unwrap().key_set(oin(1), Epoch::FIRST, time()).unwrap())
            .collect();
        assert_eq!(second.clone().following(&many), Err(KeySetError::Format));
        let fits = second.following(&many[..16]).unwrap();
        assert!(KeySet::verify(&fits.sign(&key).unwrap(), &cert, &oin(1)).is_ok());
    }

    #[test]
    fn a_set_is_never_rolled_back() {
        let keys = AgentKeys::generate(&mut OsRng).unwrap();
        let at = |n: u64, epoch| keys.key_set(oin(n), Epoch::new(epoch).unwrap(), time()).unwrap();
        assert!(at(1, 2).succeeds(&at(1, 1)));
        for (later, earlier) in [(at(1, 1), at(1, 1)), (at(1, 1), at(1, 2)), (at(2, 2), at(1, 1))] {
            assert!(!later.succeeds(&earlier));
        }
    }
}
