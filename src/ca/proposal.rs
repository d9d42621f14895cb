//! A certificate that two operators agree on: one proposes, another approves, each with a signature of the own key over
//! everything that was there to see. The authority then makes exactly that.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData as _;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use time::{Duration, OffsetDateTime};

use super::CaError;
use super::authority::random;
use super::error::EyesError;
use super::files::{Staged, alone, read, replace};
use super::office::{Office, requested_key};
use super::operator::Hand;
use super::profile::Profile;
use super::register::{Eyes, Stamp};
use super::wish::Wish;
use crate::identity::certificate::KeyHash;

/// How long an approval is waited for.
const LASTS: Duration = Duration::days(7);

/// Another machine's clock may be this much ahead.
const AHEAD: Duration = Duration::minutes(5);

/// What would be signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Its name: what was signed once is not signed again.
    pub id: String,
    /// Key hash of the issuing CA that is to sign it.
    pub authority: String,
    /// Name of the certificate's file.
    pub file: String,
    /// What the certificate is to say.
    pub wish: Wish,
    /// Hash of the key that it is to certify.
    pub key_hash: String,
    /// The holder's request (PKCS#10, PEM): of all that it says, the key alone is taken.
    pub request: String,
    /// When it was made.
    pub made: Stamp,
    /// Its last second.
    pub until: Stamp,
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
pub struct Paper {
    proposal: Proposal,
    proposed: Signed,
    approved: Option<Signed>,
}

/// What an operator signs: canonical JSON (RFC 8785).
#[derive(Serialize)]
struct Statement<'s> {
    /// So that no signature for anything else is one for this.
    kind: &'static str,
    proposal: &'s Proposal,
    by: &'s str,
    at: Stamp,
    /// The proposer's signature, under an approval.
    after: Option<&'s str>,
}

impl Paper {
    /// Proposes the key of a request for a certificate.
    ///
    /// # Errors
    /// A request that can't be used; a certificate that this authority would not make.
    pub fn propose(
        office: &Office,
        request: &Path,
        (file, wish): (String, Wish),
        hand: &Hand,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        office.check(&file, &wish.holder()?, wish.days, now)?;
        let text = read(request)?;
        let key = requested_key(&text).ok_or_else(|| CaError::BadRequest(request.to_owned()))?;
        let proposal = Proposal {
            id: hex::encode(random()?),
            authority: office.key_hash().to_string(),
            file,
            wish,
            key_hash: KeyHash::of(&key.subject_public_key_info()).to_string(),
            request: text,
            made: Stamp::new(now),
            until: Stamp::new(now + LASTS),
        };
        Self::signed_by(proposal, hand, now)
    }

    pub(super) fn signed_by(proposal: Proposal, hand: &Hand, now: OffsetDateTime) -> Result<Self, CaError> {
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

    /// What is proposed, and for whom, if every signature holds that is there.
    ///
    /// # Errors
    /// A proposal that was changed, has ended or is for another authority; one person twice.
    pub fn check(&self, office: &Office, now: OffsetDateTime) -> Result<(&Proposal, Profile), CaError> {
        let proposal = &self.proposal;
        if proposal.authority != office.key_hash().to_string() {
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
        if proposal.until.0 < now {
            return Err(EyesError::Expired(proposal.until.to_string()).into());
        }
        let key = requested_key(&proposal.request).ok_or(EyesError::OtherKey)?;
        if KeyHash::of(&key.subject_public_key_info()).to_string() != proposal.key_hash {
            return Err(EyesError::OtherKey.into());
        }
        let holder = proposal.wish.holder()?;
        office.check(&proposal.file, &holder, proposal.wish.days, now)?;
        Ok((proposal, holder))
    }

    /// As [`Self::check`], and both have signed.
    ///
    /// # Errors
    /// As there, and a paper that nobody approved.
    pub fn check_agreed(&self, office: &Office, now: OffsetDateTime) -> Result<(&Proposal, Profile), CaError> {
        let checked = self.check(office, now)?;
        if self.approved.is_some() { Ok(checked) } else { Err(EyesError::NotApproved.into()) }
    }

    /// Who agreed on it, for the register.
    pub(super) fn eyes(&self) -> Result<Eyes, CaError> {
        let approved = self.approved.as_ref().ok_or(EyesError::NotApproved)?;
        let paper = serde_json_canonicalizer::to_vec(self).map_err(|_| CaError::NoText)?;
        Ok(Eyes {
            proposal: self.proposal.id.clone(),
            paper: hex::encode(digest(&SHA256, &paper)),
            proposed_by: self.proposed.by.clone(),
            approved_by: approved.by.clone(),
        })
    }

    /// Who proposed, and who approved.
    pub fn signers(&self) -> (&str, Option<&str>) {
        (&self.proposed.by, self.approved.as_ref().map(|approved| approved.by.as_str()))
    }

    /// Reads the file.
    ///
    /// # Errors
    /// Something else.
    pub fn read(path: &Path) -> Result<Self, CaError> {
        serde_json::from_str(&read(path)?).map_err(|_| EyesError::NotAProposal(path.to_owned()).into())
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

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn statement(proposal: &Proposal, after: Option<&str>, by: &str, at: Stamp) -> Result<Vec<u8>, CaError> {
    let statement = Statement { kind: "sluis ca proposal 1", proposal, by, at, after };
    serde_json_canonicalizer::to_vec(&statement).map_err(|_| CaError::NoText)
}

fn sign(proposal: &Proposal, after: Option<&str>, hand: &Hand, now: OffsetDateTime) -> Result<Signed, CaError> {
    let (by, at) = (hand.operator.name().to_owned(), Stamp::new(now));
    let signature = STANDARD.encode(hand.sign(&statement(proposal, after, &by, at)?)?);
    Ok(Signed { by, at, signature })
}

fn verify(office: &Office, proposal: &Proposal, signed: &Signed, after: Option<&str>) -> Result<(), CaError> {
    let bytes = statement(proposal, after, &signed.by, signed.at)?;
    let signature = STANDARD.decode(&signed.signature).unwrap_or_default();
    match office.roster()?.by_name(&signed.by) {
        Some(operator) if operator.signed(&bytes, &signature) => Ok(()),
        _ => Err(EyesError::Changed(signed.by.clone()).into()),
    }
}
