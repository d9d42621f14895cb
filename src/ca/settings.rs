//! What an authority was made to be, in `root.toml` or `issuing.toml` beside its certificate: who signs, where the key is, where
//! revocations are published. Nothing in it is secret.

use serde::{Deserialize, Serialize};

use super::operator::{Operator, Roster};
use super::profile::CrlUrl;
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
    crl_url: Option<String>,
    token: Option<TokenKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    operators: Vec<Operator>,
}

impl Settings {
    /// Of an authority that was made before there were settings: a key in a file, and nobody looked.
    pub(super) const fn before() -> Self {
        Self { signing: Signing::Alone, crl_url: None, token: None }
    }

    /// Reads the file; `None` for anything that does not make sense.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let stored: Stored = toml::from_str(text).ok()?;
        let signing = match stored.signing {
            Who::Alone if stored.operators.is_empty() => Signing::Alone,
            Who::OwnSystems if stored.operators.is_empty() => Signing::OwnSystems,
            Who::FourEyes => Signing::FourEyes(Roster::new(stored.operators).ok()?),
            Who::Alone | Who::OwnSystems => return None,
        };
        let crl_url = stored.crl_url.map(|url| url.parse()).transpose().ok()?;
        Some(Self { signing, crl_url, token: stored.token })
    }

    /// The file's text.
    pub(super) fn text(&self) -> String {
        let (signing, operators) = match &self.signing {
            Signing::Alone => (Who::Alone, Vec::new()),
            Signing::OwnSystems => (Who::OwnSystems, Vec::new()),
            Signing::FourEyes(roster) => (Who::FourEyes, roster.all().to_vec()),
        };
        let crl_url = self.crl_url.as_ref().map(|url| url.as_str().to_owned());
        let stored = Stored { signing, crl_url, token: self.token.clone(), operators };
        let text = toml::to_string(&stored).unwrap_or_default();
        format!(
            "# Written by `sluis ca`. Who signs is fixed when the authority is made: for others, make a new issuing CA.\n{text}"
        )
    }
}
