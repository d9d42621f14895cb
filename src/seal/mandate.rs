//! A mandate: a partner says, with the key of its own certificate, which supplier may act in its name and until when. The
//! partner itself decides, so nobody else can make one: not the supplier, and not the hub's operator.

use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::canonical;
use super::certificate_signature::{self, CertSignature, CertSignatureError, Domain};
use crate::party::Oin;

/// Longest name of a covenant in bytes.
const LONGEST_NAME: usize = 64;
/// Longest mandate in bytes.
const MAX_LEN: usize = 1024;
/// Longest term: three years. A partner that forgets one has not given it for ever.
pub const LONGEST: Duration = Duration::days(3 * 365 + 1);

/// What a partner gave to a supplier. Comes from [`Mandate::new`] or [`Mandate::verify`], nowhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mandate {
    id: Uuid,
    covenant: String,
    principal: Oin,
    delegate: Oin,
    starts: OffsetDateTime,
    ends: OffsetDateTime,
}

/// Why a mandate is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MandateError {
    /// Not canonical, too long, or with fields out of range.
    #[error("the mandate is malformed")]
    Format,
    /// Its time has not come.
    #[error("the mandate has not begun")]
    NotYet,
    /// Its time has passed.
    #[error("the mandate has ended")]
    Over,
    /// Another organisation's than the certificate's; or given to itself.
    #[error("a mandate is of the organisation that signs it, to another one")]
    Owner,
    /// For another network than that of this covenant.
    #[error("the mandate is for another covenant's network")]
    Covenant,
    /// Not signed with the certificate's key.
    #[error("the mandate is not signed with the certificate's key")]
    Signature(#[source] CertSignatureError),
    /// Ends before it starts, or too late after.
    #[error("a mandate begins before it ends, and is for three years at most")]
    Term,
}

/// A mandate as it is handed over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMandate {
    /// Canonical bytes; what was signed.
    pub bytes: Vec<u8>,
    /// Made with the key of the principal's certificate.
    pub signature: CertSignature,
}

impl Mandate {
    /// A mandate of `principal` to `delegate` in the network of `covenant` (its name, of lower-case letters, digits and `-`), in whole
    /// seconds: from `starts` on, and no longer from `ends` on.
    ///
    /// # Errors
    /// [`MandateError::Covenant`] for what is no name, [`MandateError::Owner`] to itself, [`MandateError::Term`], [`MandateError::Format`] for times that can't be written.
    pub fn new(
        id: Uuid,
        covenant: &str,
        (principal, delegate): (Oin, Oin),
        (starts, ends): (OffsetDateTime, OffsetDateTime),
    ) -> Result<Self, MandateError> {
        let whole = |time| canonical::write_time(time).and_then(|text| canonical::read_time(&text));
        let starts = whole(starts).map_err(|_| MandateError::Format)?;
        let ends = whole(ends).map_err(|_| MandateError::Format)?;
        let is_plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if !(1..=LONGEST_NAME).contains(&covenant.len()) || !covenant.bytes().all(is_plain) {
            return Err(MandateError::Covenant);
        }
        if principal == delegate {
            return Err(MandateError::Owner);
        }
        if ends <= starts || ends - starts > LONGEST {
            return Err(MandateError::Term);
        }
        Ok(Self { id, covenant: covenant.to_owned(), principal, delegate, starts, ends })
    }

    /// Signs it with the private key of the principal's certificate.
    ///
    /// # Errors
    /// [`MandateError::Signature`] if the key can't sign.
    pub fn sign(&self, certificate_key: &PrivateKeyDer<'_>) -> Result<SignedMandate, MandateError> {
        let bytes = self.to_bytes()?;
        let signature = certificate_signature::sign(certificate_key, Domain::Mandate, &bytes);
        Ok(SignedMandate { bytes, signature: signature.map_err(MandateError::Signature)? })
    }

    /// Checks a mandate against the certificate of its principal.
    ///
    /// The caller has validated the certificate (chain, revocation) and read `principal` from it. Whether its time has come is
    /// for [`Self::holds`].
    ///
    /// # Errors
    /// [`MandateError`].
    pub fn verify(
        signed: &SignedMandate,
        certificate: &CertificateDer<'_>,
        principal: &Oin,
    ) -> Result<Self, MandateError> {
        if signed.bytes.len() > MAX_LEN {
            return Err(MandateError::Format);
        }
        certificate_signature::verify(certificate, Domain::Mandate, &signed.bytes, &signed.signature)
            .map_err(MandateError::Signature)?;
        let mandate = Self::read(&signed.bytes)?;
        if mandate.principal == *principal { Ok(mandate) } else { Err(MandateError::Owner) }
    }

    /// What stands in a mandate, by its own word: nothing says yet that the principal signed it.
    ///
    /// # Errors
    /// [`MandateError::Format`], [`MandateError::Term`], [`MandateError::Owner`].
    pub fn read(bytes: &[u8]) -> Result<Self, MandateError> {
        if bytes.len() > MAX_LEN {
            return Err(MandateError::Format);
        }
        let wire: Wire = canonical::read(bytes).map_err(|_| MandateError::Format)?;
        let id = Uuid::try_parse(&wire.id).ok().filter(|id| id.to_string() == wire.id);
        let oin = |text: &str| text.parse().map_err(|_| MandateError::Format);
        let time = |text: &str| canonical::read_time(text).map_err(|_| MandateError::Format);
        if wire.version != 1 {
            return Err(MandateError::Format);
        }
        Self::new(
            id.ok_or(MandateError::Format)?,
            &wire.covenant,
            (oin(&wire.principal)?, oin(&wire.delegate)?),
            (time(&wire.starts)?, time(&wire.ends)?),
        )
    }

    /// Whether it is for this covenant's network and in time.
    ///
    /// # Errors
    /// [`MandateError::Covenant`], [`MandateError::NotYet`], [`MandateError::Over`].
    pub fn holds(&self, covenant: &str, now: OffsetDateTime) -> Result<(), MandateError> {
        if self.covenant != covenant {
            Err(MandateError::Covenant)
        } else if now < self.starts {
            Err(MandateError::NotYet)
        } else if now >= self.ends {
            Err(MandateError::Over)
        } else {
            Ok(())
        }
    }

    /// Its name.
    pub const fn id(&self) -> Uuid {
        self.id
    }

    /// Name of the covenant in whose network it counts.
    pub fn covenant(&self) -> &str {
        &self.covenant
    }

    /// Who gave it.
    pub const fn principal(&self) -> &Oin {
        &self.principal
    }

    /// Who may act in the principal's name.
    pub const fn delegate(&self) -> &Oin {
        &self.delegate
    }

    /// From then on, in whole seconds.
    pub const fn starts(&self) -> OffsetDateTime {
        self.starts
    }

    /// No longer from then on, in whole seconds.
    pub const fn ends(&self) -> OffsetDateTime {
        self.ends
    }

    fn to_bytes(&self) -> Result<Vec<u8>, MandateError> {
        let time = |time| canonical::write_time(time).map_err(|_| MandateError::Format);
        canonical::write(&Wire {
            version: 1,
            id: self.id.to_string(),
            covenant: self.covenant.clone(),
            principal: self.principal.to_string(),
            delegate: self.delegate.to_string(),
            starts: time(self.starts)?,
            ends: time(self.ends)?,
        })
        .map_err(|_| MandateError::Format)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    version: u8,
    id: String,
    covenant: String,
    principal: String,
    delegate: String,
    starts: String,
    ends: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::testing::{certificate, oin, time};
    use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

    fn mandate() -> Mandate {
        Mandate::new(Uuid::from_u128(7), "proef", (oin(1), oin(2)), (time(), time() + Duration::days(365))).unwrap()
    }

    #[test]
    fn a_mandate_reads_back() {
        for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ED25519] {
            let (cert, key) = certificate(algorithm);
            let signed = mandate().sign(&key).unwrap();
            assert_eq!(Mandate::verify(&signed, &cert, &oin(1)), Ok(mandate()));
            assert_eq!(Mandate::read(&signed.bytes), Ok(mandate()));
        }
    }

    #[test]
    fn nobody_else_gives_it_and_no_field_is_altered() {
        let ((cert, key), (foreign, foreign_key)) = (certificate(&PKCS_ED25519), certificate(&PKCS_ED25519));
        let signed = mandate().sign(&key).unwrap();
        let bad = Err(MandateError::Signature(CertSignatureError::Signature));
        assert_eq!(Mandate::verify(&signed, &foreign, &oin(1)), bad);
        assert_eq!(Mandate::verify(&mandate().sign(&foreign_key).unwrap(), &cert, &oin(1)), bad);
        assert_eq!(Mandate::verify(&signed, &cert, &oin(2)), Err(MandateError::Owner), "the supplier's own");
        let Mandate { id, principal, delegate, starts, ends, .. } = mandate();
        let (both, term) = ((principal.clone(), delegate.clone()), (starts, ends));
        let day = Duration::DAY;
        let altered = [
            Mandate::new(Uuid::from_u128(8), "proef", both.clone(), term),
            Mandate::new(id, "proef-2", both.clone(), term),
            Mandate::new(id, "proef", (oin(3), delegate), term),
            Mandate::new(id, "proef", (principal, oin(3)), term),
            Mandate::new(id, "proef", both.clone(), (starts - day, ends)),
            Mandate::new(id, "proef", both, (starts, ends + day)),
        ];
        for other in altered {
            let bytes = other.unwrap().to_bytes().unwrap();
            assert_ne!(bytes, signed.bytes);
            assert_eq!(Mandate::verify(&SignedMandate { bytes, ..signed.clone() }, &cert, &oin(1)), bad);
        }
        for domain in [Domain::Covenant, Domain::KeySet] {
            let signature = certificate_signature::sign(&key, domain, &signed.bytes).unwrap();
            assert_eq!(Mandate::verify(&SignedMandate { signature, ..signed.clone() }, &cert, &oin(1)), bad);
        }
    }

    #[test]
    fn it_has_a_beginning_and_an_end() {
        let mandate = mandate();
        let (second, end) = (Duration::SECOND, time() + Duration::days(365));
        for (now, held) in [
            (time() - second, Err(MandateError::NotYet)),
            (time(), Ok(())),
            (end - second, Ok(())),
            (end, Err(MandateError::Over)),
        ] {
            assert_eq!(mandate.holds("proef", now), held, "{now}");
            assert_eq!(mandate.holds("echt", now), Err(MandateError::Covenant), "another network's");
        }
        let lasting = |term| Mandate::new(Uuid::nil(), "proef", (oin(1), oin(2)), (time(), time() + term)).err();
        assert_eq!(lasting(LONGEST), None);
        for term in [LONGEST + second, Duration::ZERO, -second, Duration::milliseconds(10)] {
            assert_eq!(lasting(term), Some(MandateError::Term), "{term}");
        }
        let new = |covenant, to| Mandate::new(Uuid::nil(), covenant, (oin(1), to), (time(), end)).err();
        assert_eq!(new("proef", oin(1)), Some(MandateError::Owner));
        for wrong in ["", "Proef", "ret overijssel", &"a".repeat(LONGEST_NAME + 1)] {
            assert_eq!(new(wrong, oin(2)), Some(MandateError::Covenant), "{wrong}");
        }
    }

    /// Signed by the right key, but not what a mandate should be.
    #[test]
    fn malformed_mandates_are_refused() {
        let (cert, key) = certificate(&PKCS_ED25519);
        let text = String::from_utf8(mandate().to_bytes().unwrap()).unwrap();
        let (one, two) = (oin(1).to_string(), oin(2).to_string());
        let year = mandate().ends.year();
        let cases = [
            (text.replace("\"version\":1", "\"version\":2"), MandateError::Format),
            (text.replace("\"version\":1", "\"version\": 1"), MandateError::Format),
            (text.replace("\"version\":1", "\"version\":1,\"version\":1"), MandateError::Format),
            (text.replace("\"version\":1", "\"version\":1,\"waarvoor\":1"), MandateError::Format),
            (text.replace("-0000-", "-000A-"), MandateError::Format),
            (text.replace("\"covenant\":\"proef\",", ""), MandateError::Format),
            (text.replace("proef", "Proef"), MandateError::Covenant),
            (text.replace(&one, "1"), MandateError::Format),
            (text.replace(&two, "2"), MandateError::Format),
            (text.replace(&two, &one), MandateError::Owner),
            (text.replace("Z\"", "+00:00\""), MandateError::Format),
            (text.replace(&format!("\"ends\":\"{year}"), &format!("\"ends\":\"{}", year + 4)), MandateError::Term),
            (text.replace(&format!("\"ends\":\"{year}"), &format!("\"ends\":\"{}", year - 2)), MandateError::Term),
            (format!("{text}{}", " ".repeat(MAX_LEN)), MandateError::Format),
            (String::new(), MandateError::Format),
        ];
        for (changed, error) in cases {
            assert_ne!(changed, text);
            let bytes = changed.into_bytes();
            let signature = certificate_signature::sign(&key, Domain::Mandate, &bytes).unwrap();
            assert_eq!(Mandate::verify(&SignedMandate { bytes, signature }, &cert, &oin(1)), Err(error));
        }
    }
}
