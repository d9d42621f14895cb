//! The people who propose and approve certificates, each by a key of their own.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{PublicKeyData as _, SigningKey as _, SubjectPublicKeyInfo};
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::pem::parse_x509_pem;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::CaError;
use super::error::EyesError;
use super::files::read;
use super::key::FileKey;
use super::secret::SecretFrom;
use crate::identity::PersonRef;
use crate::identity::certificate::KeyHash;

/// Somebody who may propose or approve.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Operator {
    name: PersonRef,
    key: SubjectPublicKeyInfo,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    /// SubjectPublicKeyInfo, base64.
    public_key: String,
}

impl TryFrom<Stored> for Operator {
    type Error = &'static str;
    fn try_from(stored: Stored) -> Result<Self, &'static str> {
        let name = stored.name.parse().map_err(|_| "name")?;
        let der = STANDARD.decode(stored.public_key).map_err(|_| "public_key")?;
        let key = public_key(&der).ok_or("public_key")?;
        Ok(Self { name, key })
    }
}

impl From<Operator> for Stored {
    fn from(operator: Operator) -> Self {
        let public_key = STANDARD.encode(operator.key.subject_public_key_info());
        Self { name: operator.name().to_owned(), public_key }
    }
}

impl Operator {
    /// From `NAME=FILE`: a PEM file with a certificate, a signing request or a public key.
    ///
    /// # Errors
    /// Something else.
    pub fn from_argument(text: &str) -> Result<Self, CaError> {
        let (name, file) = text.split_once('=').ok_or(EyesError::BadOperator)?;
        let name = name.parse().map_err(|_| EyesError::BadOperator)?;
        let file = Path::new(file);
        let none = || CaError::NoPublicKey(file.to_owned());
        let text = read(file)?;
        let (_, pem) = parse_x509_pem(text.as_bytes()).map_err(|_| none())?;
        let key = match pem.label.as_str() {
            "CERTIFICATE" => {
                X509Certificate::from_der(&pem.contents).ok().and_then(|(_, it)| public_key(it.public_key().raw))
            }
            "CERTIFICATE REQUEST" => X509CertificationRequest::from_der(&pem.contents)
                .ok()
                .and_then(|(_, it)| public_key(it.certification_request_info.subject_pki.raw)),
            "PUBLIC KEY" => public_key(&pem.contents),
            _ => None,
        };
        Ok(Self { name, key: key.ok_or_else(none)? })
    }

    /// What the others call this person.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// The hash of this person's key.
    pub fn key_hash(&self) -> KeyHash {
        KeyHash::of(&self.key.subject_public_key_info())
    }

    /// Whether this person signed these bytes.
    pub(super) fn signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        verifies(&self.key, bytes, signature)
    }
}

/// Whether the holder of this key (SubjectPublicKeyInfo) signed these bytes.
pub(super) fn is_signed(key: &[u8], bytes: &[u8], signature: &[u8]) -> bool {
    public_key(key).is_some_and(|key| verifies(&key, bytes, signature))
}

fn verifies(key: &SubjectPublicKeyInfo, bytes: &[u8], signature: &[u8]) -> bool {
    algorithm(key).is_some_and(|known| UnparsedPublicKey::new(known, key.der_bytes()).verify(bytes, signature).is_ok())
}

/// How a key's signatures are verified; `None` for kinds that are not used here.
fn algorithm(key: &SubjectPublicKeyInfo) -> Option<&'static dyn VerificationAlgorithm> {
    let known: [(&rcgen::SignatureAlgorithm, &'static dyn VerificationAlgorithm); 3] = [
        (&rcgen::PKCS_ECDSA_P256_SHA256, &ECDSA_P256_SHA256_ASN1),
        (&rcgen::PKCS_ECDSA_P384_SHA384, &ECDSA_P384_SHA384_ASN1),
        (&rcgen::PKCS_ED25519, &ED25519),
    ];
    known.into_iter().find(|(algorithm, _)| *algorithm == key.algorithm()).map(|(_, verification)| verification)
}

fn public_key(der: &[u8]) -> Option<SubjectPublicKeyInfo> {
    SubjectPublicKeyInfo::from_der(der).ok().filter(|key| algorithm(key).is_some())
}

/// Two people or more, each with a name and a key of their own.
#[derive(Clone)]
pub struct Roster(Vec<Operator>);

impl Roster {
    /// Of these people.
    ///
    /// # Errors
    /// Fewer than two; a name or a key twice.
    pub fn new(operators: Vec<Operator>) -> Result<Self, EyesError> {
        if operators.len() < 2 {
            return Err(EyesError::TooFew);
        }
        let same = |one: &Operator, other: &Operator| one.name == other.name || one.key_hash() == other.key_hash();
        let twice =
            operators.iter().enumerate().any(|(nth, one)| operators.iter().skip(nth + 1).any(|other| same(one, other)));
        if twice { Err(EyesError::SameOperator) } else { Ok(Self(operators)) }
    }

    /// All of them.
    pub fn all(&self) -> &[Operator] {
        &self.0
    }

    /// Names of those whose key `before` did not have.
    pub fn without(&self, before: &Self) -> Vec<String> {
        let known = |one: &&Operator| !before.0.iter().any(|other| other.key_hash() == one.key_hash());
        self.0.iter().filter(known).map(|one| one.name().to_owned()).collect()
    }

    /// Somebody who has the key that another had before.
    pub(super) fn with_key_of_another(&self, before: &Self) -> Option<&Operator> {
        let had = |one: &Operator, other: &Operator| one.key_hash() == other.key_hash() && one.name != other.name;
        self.0.iter().find(|one| before.0.iter().any(|other| had(one, other)))
    }

    pub(super) fn by_name(&self, name: &str) -> Option<&Operator> {
        self.0.iter().find(|operator| operator.name() == name)
    }
}

/// An operator with the own private key at hand. Has no `Debug`.
pub struct Hand {
    pub(super) operator: Operator,
    key: FileKey,
}

impl Hand {
    /// Whose private key this is.
    ///
    /// # Errors
    /// A key that can't be opened, or of nobody on the roster.
    pub fn open(roster: &Roster, path: &Path, passphrase: &SecretFrom) -> Result<Self, CaError> {
        let (key, _) = FileKey::open(path, passphrase)?;
        let hash = KeyHash::of(&key.subject_public_key_info());
        let operator = roster.all().iter().find(|operator| operator.key_hash() == hash);
        let operator = operator.ok_or_else(|| EyesError::Stranger { path: path.to_owned(), hash })?.clone();
        Ok(Self { operator, key })
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Result<Vec<u8>, CaError> {
        Ok(self.key.sign(bytes)?)
    }
}
