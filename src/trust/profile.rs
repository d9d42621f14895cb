//! What a set of anchors demands of a certificate: data, in TOML, some of it built in (`certs/profiles`).

use std::collections::BTreeSet;

use rustls_pki_types::SignatureVerificationAlgorithm;
use serde::Deserialize;
use serde::de::Error as _;

use super::contents::{Contents, Key};
use crate::identity::certificate::{Environment, PolicyOid};

/// The profiles that are built in, by name.
const BUILT_IN: [(&str, &str); 7] = [
    ("sluis-ca", include_str!("../../certs/profiles/sluis-ca.toml")),
    ("sluis-ca-lists", include_str!("../../certs/profiles/sluis-ca-lists.toml")),
    ("sluis-ca-local", include_str!("../../certs/profiles/sluis-ca-local.toml")),
    ("server", include_str!("../../certs/profiles/server.toml")),
    ("pkioverheid-g1", include_str!("../../certs/profiles/pkioverheid-g1.toml")),
    ("pkioverheid-g4-tls", include_str!("../../certs/profiles/pkioverheid-g4-tls.toml")),
    ("pkioverheid-g4-other", include_str!("../../certs/profiles/pkioverheid-g4-other.toml")),
];

/// Text that is no profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAProfile(String);

/// What a certificate must show beyond a chain to an anchor.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// What it is for, for people.
    pub title: Title,
    /// Where its rules come from.
    pub source: String,
    /// Names of the roots that it is made for, for telling whose certificate somebody holds.
    #[serde(default)]
    pub roots: Vec<String>,
    /// The only environment that it is for; left out: both.
    #[serde(default)]
    pub environment: Option<Environment>,
    /// The `OU` of its authorities says for which environment they are: our own CA writes it there.
    #[serde(default)]
    pub unit_is_environment: bool,
    /// Whom its certificates are for.
    pub subject: Subject,
    /// Which use a certificate must allow.
    pub purpose: Purpose,
    /// Certificate policies of which one must be shown, and be covered by every issuer (RFC 5280 §6.1.3 d). Empty: any, and
    /// none.
    #[serde(default)]
    pub policies: BTreeSet<PolicyOid>,
    /// Without policies, anybody under its anchors would get in: a set must name some.
    #[serde(default)]
    pub needs_policies: bool,
    /// How revocation is learned.
    pub revocation: Revocation,
    /// Longest validity of a certificate, in days.
    pub max_days: i64,
    /// Most authorities between a certificate and the anchor.
    pub max_intermediates: usize,
    /// Prefixes of OINs that are issued under its anchors, eight digits each; empty: all.
    #[serde(default)]
    pub oin_prefixes: Vec<String>,
    /// Signature algorithms of certificates and lists.
    #[serde(deserialize_with = "signatures")]
    pub signatures: BTreeSet<Algorithm>,
    /// Public keys.
    pub keys: Keys,
    /// Alternative names.
    pub names: Names,
}

/// A text in both languages.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// English.
    pub en: String,
    /// Dutch.
    pub nl: String,
}

/// Whom certificates are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Subject {
    /// Exactly one `subject.serialNumber`, an OIN: partners, and people of a partner.
    Organisation,
    /// A system within one organisation, known by its key alone: callers of an agent.
    LocalSystem,
}

/// Which use a certificate must allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// Extended key usage holds clientAuth (PKIoverheid G4, own CA).
    ClientAuth,
    /// As above, or no extended key usage at all and key usage digitalSignature (PKIoverheid G1).
    ClientAuthOrSignature,
}

/// How revocation is learned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Revocation {
    /// From the registry alone: for certificates of the network's own CA.
    Registry,
    /// From the list of every issuer below the anchor too.
    Lists,
}

/// Public keys that are accepted, in the whole chain.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Keys {
    /// Smallest RSA modulus in bits; 0: no RSA.
    pub rsa_bits: usize,
    /// Curves.
    pub curves: Vec<String>,
    /// Ed25519.
    pub ed25519: bool,
}

impl Keys {
    /// Whether a key is accepted.
    pub fn accept(&self, key: &Key) -> bool {
        match key {
            Key::Rsa(bits) => self.rsa_bits > 0 && *bits >= self.rsa_bits,
            Key::Ec(curve) => self.curves.iter().any(|known| known == curve),
            Key::Ed25519 => self.ed25519,
            Key::Other(_) => false,
        }
    }
}

/// Alternative names of a certificate.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Names {
    /// DNS names.
    pub dns: Presence,
    /// IP addresses.
    pub ip: Presence,
    /// Names of other kinds.
    pub other: Presence,
}

/// Whether something may or must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Presence {
    /// At least one.
    Required,
    /// Some or none.
    Allowed,
    /// None.
    Forbidden,
}

impl Presence {
    /// Whether so many are right.
    pub const fn accepts(self, count: usize) -> bool {
        match self {
            Self::Required => count > 0,
            Self::Allowed => true,
            Self::Forbidden => count == 0,
        }
    }
}

impl Profile {
    /// A profile that is built in.
    ///
    /// # Errors
    /// No profile has this name.
    pub fn built_in(name: &str) -> Result<Self, NotAProfile> {
        let names = || BUILT_IN.map(|(name, _)| name).join(", ");
        let text = BUILT_IN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        text.ok_or_else(|| NotAProfile(format!("`{name}` is not one of {}", names()))).and_then(Self::parse)
    }

    /// Names of the profiles that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// [`NotAProfile`], with the line.
    pub fn parse(text: &str) -> Result<Self, NotAProfile> {
        let profile: Self = toml::from_str(text).map_err(|error| NotAProfile(error.to_string()))?;
        let is_prefix = |text: &String| text.len() == 8 && text.starts_with("000000") && text.parse::<u32>().is_ok();
        if let Some(wrong) = profile.oin_prefixes.iter().find(|text| !is_prefix(text)) {
            return Err(NotAProfile(format!("`{wrong}` in oin_prefixes is not the beginning of an OIN: eight digits")));
        }
        Ok(profile)
    }

    /// For the library that verifies signatures.
    pub(super) fn algorithms(&self) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
        self.signatures.iter().flat_map(|algorithm| algorithm.implementations()).collect()
    }

    /// Whether one of its authorities was made for the other environment.
    pub(super) fn is_of_other_environment(&self, root: &Contents, environment: Environment) -> bool {
        self.unit_is_environment
            && root.units.iter().any(|unit| unit.parse::<Environment>().is_ok_and(|other| other != environment))
    }
}

macro_rules! algorithms {
    ($($variant:ident = $name:literal: $($implementation:ident),+;)+) => {
        /// A signature algorithm.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Algorithm { $($variant),+ }

        impl Algorithm {
            /// Every algorithm.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Its name in profiles.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Whether a certificate's signature of this name is of one of them: it does not name the curve of its issuer.
            pub fn is_known(shown: &str) -> bool {
                Self::ALL.iter().any(|known| known.is_called(shown))
            }

            /// Whether a certificate calls it that.
            pub(super) fn is_called(self, shown: &str) -> bool {
                self.name() == shown || self.name().replace("-p256-", "-").replace("-p384-", "-") == shown
            }

            fn implementations(self) -> Vec<&'static dyn SignatureVerificationAlgorithm> {
                match self { $(Self::$variant => vec![$(webpki::ring::$implementation),+]),+ }
            }
        }
    };
}

algorithms! {
    EcdsaP256Sha256 = "ecdsa-p256-sha256": ECDSA_P256_SHA256;
    EcdsaP256Sha384 = "ecdsa-p256-sha384": ECDSA_P256_SHA384;
    EcdsaP384Sha256 = "ecdsa-p384-sha256": ECDSA_P384_SHA256;
    EcdsaP384Sha384 = "ecdsa-p384-sha384": ECDSA_P384_SHA384;
    Ed25519 = "ed25519": ED25519;
    RsaPkcs1Sha256 = "rsa-pkcs1-sha256": RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS;
    RsaPkcs1Sha384 = "rsa-pkcs1-sha384": RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS;
    RsaPkcs1Sha512 = "rsa-pkcs1-sha512": RSA_PKCS1_2048_8192_SHA512, RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS;
    RsaPssSha256 = "rsa-pss-sha256": RSA_PSS_2048_8192_SHA256_LEGACY_KEY;
    RsaPssSha384 = "rsa-pss-sha384": RSA_PSS_2048_8192_SHA384_LEGACY_KEY;
    RsaPssSha512 = "rsa-pss-sha512": RSA_PSS_2048_8192_SHA512_LEGACY_KEY;
}

fn signatures<'de, D: serde::Deserializer<'de>>(value: D) -> Result<BTreeSet<Algorithm>, D::Error> {
    let texts = Vec::<String>::deserialize(value)?;
    let names = || Algorithm::ALL.iter().map(|known| known.name()).collect::<Vec<_>>().join(", ");
    let find = |text: &String| {
        let known = Algorithm::ALL.iter().find(|known| known.name() == text).copied();
        known.ok_or_else(|| D::Error::custom(format_args!("`{text}` is not one of {}", names())))
    };
    let all: BTreeSet<Algorithm> = texts.iter().map(find).collect::<Result<_, _>>()?;
    if all.is_empty() { Err(D::Error::custom("no signature algorithm at all")) } else { Ok(all) }
}
