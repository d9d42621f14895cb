//! What an authority was made to be, in `root.toml` or `issuing.toml` beside its certificate: who signs, where the key is, where
//! revocations are published. Nothing in it is secret. The authority's own key signs it, so that nobody becomes an operator by
//! writing into a file; where the key is, is left out of that, since modules move with machines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::SigningKey;
use serde::{Deserialize, Serialize};

use super::CaError;
use super::operator::{Operator, Roster, is_signed};
use super::profile::CrlUrl;
use super::register::{Eyes, Stamp};
use super::token::TokenKey;

/// Who may have a certificate signed.
#[derive(Clone)]
pub enum Signing {
    /// Whoever can open the key. For tests, and for a root, which is opened with people around.
    Alone,
    /// The same, for one organisation's own systems and no others: the local authority beside an agent.
    OwnSystems,
    /// Two operators.
    FourEyes(Roster),
}

/// What an authority was made to be.
pub(super) struct Settings {
    pub(super) signing: Signing,
    pub(super) crl_url: Option<CrlUrl>,
    pub(super) token: Option<TokenKey>,
    /// Oldest first.
    pub(super) changes: Vec<Change>,
}

/// Operators came or went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// When the authority wrote it down.
    pub at: Stamp,
    /// Names of who came, or got another key.
    pub joined: Vec<String>,
    /// Names of who went.
    pub left: Vec<String>,
    /// Who agreed on it.
    pub eyes: Eyes,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Who {
    Alone,
    OwnSystems,
    FourEyes,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    signing: Who,
    #[serde(skip_serializing_if = "Option::is_none")]
    crl_url: Option<String>,
    /// The authority's signature over all but this and the token, base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    seal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<TokenKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operators: Vec<Operator>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Change>,
}

impl Settings {
    /// Of an authority that was made before there were settings: a key in a file, and nobody looked.
    pub(super) const fn before() -> Self {
        Self { signing: Signing::Alone, crl_url: None, token: None, changes: Vec::new() }
    }

    /// Reads the file of the authority with this public key; `None` for anything that does not make sense, or that it did not sign.
    pub(super) fn parse(text: &str, key: &[u8]) -> Option<Self> {
        let stored: Stored = toml::from_str(text).ok()?;
        let seal = STANDARD.decode(stored.seal.as_ref()?).ok()?;
        let signing = match stored.signing {
            Who::Alone if stored.operators.is_empty() => Signing::Alone,
            Who::OwnSystems if stored.operators.is_empty() => Signing::OwnSystems,
            Who::FourEyes => Signing::FourEyes(Roster::new(stored.operators).ok()?),
            Who::Alone | Who::OwnSystems => return None,
        };
        let crl_url = stored.crl_url.map(|url| url.parse()).transpose().ok()?;
        let settings = Self { signing, crl_url, token: stored.token, changes: stored.changes };
        is_signed(key, &settings.sealed().ok()?, &seal).then_some(settings)
    }

    /// The file's text, signed with the authority's key.
    pub(super) fn text(&self, key: &impl SigningKey) -> Result<String, CaError> {
        let seal = STANDARD.encode(key.sign(&self.sealed()?)?);
        let stored = Stored { token: self.token.clone(), seal: Some(seal), ..self.stored() };
        let text = toml::to_string(&stored).map_err(|_| CaError::NoText)?;
        Ok(format!(
            "# Written and signed by `sluis ca`. Only where the token is may be changed; for other operators: `sluis ca operators`.\n{text}"
        ))
    }

    /// What is signed: canonical JSON (RFC 8785).
    fn sealed(&self) -> Result<Vec<u8>, CaError> {
        let statement = ("sluis ca settings 1", self.stored());
        serde_json_canonicalizer::to_vec(&statement).map_err(|_| CaError::NoText)
    }

    fn stored(&self) -> Stored {
        let (signing, operators) = match &self.signing {
            Signing::Alone => (Who::Alone, Vec::new()),
            Signing::OwnSystems => (Who::OwnSystems, Vec::new()),
            Signing::FourEyes(roster) => (Who::FourEyes, roster.all().to_vec()),
        };
        let crl_url = self.crl_url.as_ref().map(|url| url.as_str().to_owned());
        Stored { signing, crl_url, token: None, seal: None, operators, changes: self.changes.clone() }
    }
}
