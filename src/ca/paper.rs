//! What goes round between operators: one proposes, another approves, each with a signature of the own key over everything that
//! was there to see.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::CaError;
use super::error::EyesError;
use super::files::{Staged, alone, read, replace};
use super::office::Office;
use super::operator::Hand;
use super::register::{Eyes, Stamp};

/// How long an approval is waited for.
pub(super) const LASTS: Duration = Duration::days(7);

/// Another machine's clock may be this much ahead.
const AHEAD: Duration = Duration::minutes(5);

/// What operators agree on.
pub trait Matter: Serialize + DeserializeOwned {
    /// In every signature, so that none for anything else is one for this.
    const KIND: &'static str;
    /// What it comes to.
    type Checked;

    /// Its name: what was carried out once is not carried out again.
    fn id(&self) -> &str;

    /// Key hash of the authority that is to carry it out.
    fn authority(&self) -> &str;

    /// Its last second.
    fn until(&self) -> Stamp;

    /// Whether the authority would.
    ///
    /// # Errors
    /// Why it would not.
    fn check(&self, office: &Office, now: OffsetDateTime) -> Result<Self::Checked, CaError>;
}

/// One operator's signature.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signed {
    by: String,
    at: Stamp,
    /// Base64.
    signature: String,
}

/// A proposal with the signatures that it has so far: the file that goes round.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paper<M> {
    proposal: M,
    proposed: Signed,
    approved: Option<Signed>,
}

/// What an operator signs: canonical JSON (RFC 8785).
#[derive(Serialize)]
struct Statement<'s, M> {
    kind: &'static str,
    proposal: &'s M,
    by: &'s str,
    at: Stamp,
    /// The proposer's signature, under an approval.
    after: Option<&'s str>,
}

impl<M: Matter> Paper<M> {
    pub(super) fn signed_by(proposal: M, hand: &Hand, now: OffsetDateTime) -> Result<Self, CaError> {
        let proposed = sign(&proposal, None, hand, now)?;
        Ok(Self { proposal, proposed, approved: None })
    }

    /// Adds the second signature.
    ///
    /// # Errors
    /// The proposer's own key; a proposal that does not hold.
    pub fn approve(self, office: &Office, hand: &Hand, now: OffsetDateTime) -> Result<Self, CaError> {
        self.check(office, now)?;
        if self.approved.is_some() {
            return Err(EyesError::AlreadyApproved.into());
        }
        if hand.operator.name() == self.proposed.by {
            return Err(EyesError::SamePerson(self.proposed.by).into());
        }
        let approved = sign(&self.proposal, Some(&self.proposed.signature), hand, now)?;
        Ok(Self { approved: Some(approved), ..self })
    }

    /// What is proposed, and what it comes to, if every signature holds that is there.
    ///
    /// # Errors
    /// A proposal that was changed, has ended or is for another authority; one person twice.
    pub fn check(&self, office: &Office, now: OffsetDateTime) -> Result<(&M, M::Checked), CaError> {
        let proposal = &self.proposal;
        if proposal.authority() != office.key_hash().to_string() {
            return Err(EyesError::OtherAuthority.into());
        }
        verify(office, proposal, &self.proposed, None)?;
        if let Some(approved) = &self.approved {
            if approved.by == self.proposed.by {
                return Err(EyesError::SamePerson(approved.by.clone()).into());
            }
            verify(office, proposal, approved, Some(&self.proposed.signature))?;
        }
        let newest = self.approved.as_ref().map_or(self.proposed.at, |approved| approved.at.max(self.proposed.at));
        if newest.0 > now + AHEAD {
            return Err(EyesError::FromTheFuture(newest.to_string()).into());
        }
        if proposal.until().0 < now {
            return Err(EyesError::Expired(proposal.until().to_string()).into());
        }
        Ok((proposal, proposal.check(office, now)?))
    }

    /// As [`Self::check`], and both have signed.
    ///
    /// # Errors
    /// As there, and a paper that nobody approved.
    pub fn check_agreed(&self, office: &Office, now: OffsetDateTime) -> Result<(&M, M::Checked), CaError> {
        let checked = self.check(office, now)?;
        if self.approved.is_some() { Ok(checked) } else { Err(EyesError::NotApproved.into()) }
    }

    /// Who agreed on it, for the register.
    pub(super) fn eyes(&self) -> Result<Eyes, CaError> {
        let approved = self.approved.as_ref().ok_or(EyesError::NotApproved)?;
        let paper = serde_json_canonicalizer::to_vec(self).map_err(|_| CaError::NoText)?;
        Ok(Eyes {
            proposal: self.proposal.id().to_owned(),
            paper: hex::encode(digest(&SHA256, &paper)),
            proposed_by: self.proposed.by.clone(),
            approved_by: approved.by.clone(),
        })
    }

    /// Who proposed, and who approved.
    pub fn signers(&self) -> (&str, Option<&str>) {
        (&self.proposed.by, self.approved.as_ref().map(|approved| approved.by.as_str()))
    }

    /// Writes a new file.
    ///
    /// # Errors
    /// A file that exists or can't be written.
    pub fn write(&self, path: &Path) -> Result<(), CaError> {
        let mut staged = Staged::default();
        staged.public(path, self.text().as_bytes())?;
        staged.commit(&alone(parent(path))?)
    }

    /// Replaces the file that was read.
    ///
    /// # Errors
    /// It can't be written; it is as it was then.
    pub fn rewrite(&self, path: &Path) -> Result<(), CaError> {
        replace(path, self.text().as_bytes(), 0o644, &alone(parent(path))?)
    }

    fn text(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default() + "\n"
    }
}

/// Reads the file that goes round, of whatever kind.
///
/// # Errors
/// Something else.
pub(super) fn read_paper<P: DeserializeOwned>(path: &Path) -> Result<P, CaError> {
    serde_json::from_str(&read(path)?).map_err(|_| EyesError::NotAProposal(path.to_owned()).into())
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn statement<M: Matter>(proposal: &M, after: Option<&str>, by: &str, at: Stamp) -> Result<Vec<u8>, CaError> {
    let statement = Statement { kind: M::KIND, proposal, by, at, after };
    serde_json_canonicalizer::to_vec(&statement).map_err(|_| CaError::NoText)
}

fn sign<M: Matter>(proposal: &M, after: Option<&str>, hand: &Hand, now: OffsetDateTime) -> Result<Signed, CaError> {
    let (by, at) = (hand.operator.name().to_owned(), Stamp::new(now));
    let signature = STANDARD.encode(hand.sign(&statement(proposal, after, &by, at)?)?);
    Ok(Signed { by, at, signature })
}

fn verify<M: Matter>(office: &Office, proposal: &M, signed: &Signed, after: Option<&str>) -> Result<(), CaError> {
    let operator = office.roster()?.by_name(&signed.by);
    let operator = operator.ok_or_else(|| EyesError::NoOperator(signed.by.clone()))?;
    let bytes = statement(proposal, after, &signed.by, signed.at)?;
    let signature = STANDARD.decode(&signed.signature).unwrap_or_default();
    if operator.signed(&bytes, &signature) { Ok(()) } else { Err(EyesError::Changed(signed.by.clone()).into()) }
}
