//! What operators agree on: a certificate, or who they are from now on. The authority then makes exactly that.

use std::path::Path;

use rcgen::PublicKeyData as _;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::CaError;
use super::authority::random;
use super::error::EyesError;
use super::files::read;
use super::office::{Office, requested_key};
use super::operator::{Hand, Operator, Roster};
use super::paper::{LASTS, Matter, Paper, read_paper};
use super::profile::Profile;
use super::register::Stamp;
use super::wish::Wish;
use crate::identity::certificate::KeyHash;

/// A certificate that would be signed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proposal {
    /// Its name.
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

impl Matter for Proposal {
    const KIND: &'static str = "sluis ca proposal 1";
    type Checked = Profile;

    fn id(&self) -> &str {
        &self.id
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn until(&self) -> Stamp {
        self.until
    }

    fn check(&self, office: &Office, now: OffsetDateTime) -> Result<Profile, CaError> {
        let key = requested_key(&self.request).ok_or(EyesError::OtherKey)?;
        if KeyHash::of(&key.subject_public_key_info()).to_string() != self.key_hash {
            return Err(EyesError::OtherKey.into());
        }
        let holder = self.wish.holder()?;
        office.check(&self.file, &holder, self.wish.days, now)?;
        Ok(holder)
    }
}

impl Paper<Proposal> {
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
}

/// Other operators.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replacement {
    /// Its name.
    pub id: String,
    /// Key hash of the issuing CA.
    pub authority: String,
    /// Which change of its operators this is, from 1: an old one is not carried out again after the next.
    pub nth: usize,
    /// All of them from then on.
    operators: Vec<Operator>,
    /// When it was made.
    pub made: Stamp,
    /// Its last second.
    pub until: Stamp,
}

impl Matter for Replacement {
    const KIND: &'static str = "sluis ca operators 1";
    type Checked = Roster;

    fn id(&self) -> &str {
        &self.id
    }

    fn authority(&self) -> &str {
        &self.authority
    }

    fn until(&self) -> Stamp {
        self.until
    }

    fn check(&self, office: &Office, _: OffsetDateTime) -> Result<Roster, CaError> {
        if self.nth != office.changes().len() + 1 {
            return Err(EyesError::Overtaken.into());
        }
        let roster = Roster::new(self.operators.clone())?;
        // Who had a key has it still, whatever the name: one person would be two.
        if let Some(one) = roster.with_key_of_another(office.roster()?) {
            return Err(EyesError::KeyOfAnother(one.name().to_owned()).into());
        }
        Ok(roster)
    }
}

impl Paper<Replacement> {
    /// Proposes that some are operators from now on, and some no more.
    ///
    /// # Errors
    /// Nothing that would change; fewer than two left; a name or a key twice; somebody to leave who is none.
    pub fn replace(
        office: &Office,
        (add, remove): (Vec<Operator>, &[String]),
        hand: &Hand,
        now: OffsetDateTime,
    ) -> Result<Self, CaError> {
        let roster = office.roster()?;
        if let Some(name) = remove.iter().find(|name| roster.by_name(name).is_none()) {
            return Err(EyesError::NoOperator(name.clone()).into());
        }
        let stay = roster.all().iter().filter(|one| !remove.iter().any(|name| name == one.name()));
        let operators: Vec<Operator> = stay.cloned().chain(add).collect();
        if operators.len() < 2 {
            return Err(EyesError::TooFewStay.into());
        }
        let proposal = Replacement {
            id: hex::encode(random()?),
            authority: office.key_hash().to_string(),
            nth: office.changes().len() + 1,
            operators,
            made: Stamp::new(now),
            until: Stamp::new(now + LASTS),
        };
        let after = proposal.check(office, now)?;
        if after.without(roster).is_empty() && roster.without(&after).is_empty() {
            return Err(EyesError::NothingChanges.into());
        }
        Self::signed_by(proposal, hand, now)
    }
}

/// A paper of either kind.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum AnyPaper {
    /// A certificate.
    Certificate(Box<Paper<Proposal>>),
    /// Other operators.
    Operators(Box<Paper<Replacement>>),
}

impl AnyPaper {
    /// Reads the file.
    ///
    /// # Errors
    /// Something else.
    pub fn read(path: &Path) -> Result<Self, CaError> {
        read_paper(path)
    }
}
