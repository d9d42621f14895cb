//! Which certificates are believed: sets of anchors, each with rules of its own (REFERENCE §3.1, §9).
//!
//! A network trusts several sets at once: its private CA, PKIoverheid G1, PKIoverheid G4. What a set demands beyond a chain is
//! a [`Profile`]: data in `certs/profiles`. A chain is judged by every set ([`Trust::judge`]); one that lets it in is enough,
//! and if none does, the set that it came furthest in says why. Everything here is pure: bytes and the time come from outside.

use std::sync::Arc;

mod contents;
pub mod doctor;
mod fault;
mod judge;
mod lists;
mod profile;
mod taken;

pub use contents::{Contents, Key, Signature};
pub use fault::{Fault, Refused};
pub use judge::{MOST_BYTES, MOST_CERTIFICATES, Verdict};
pub use lists::{List, Lists, NotAList};
pub use profile::{NotAProfile, Presence, Profile, Purpose, Revocation, Subject};
pub use taken::TakenBack;

use rustls_pki_types::{CertificateDer, TrustAnchor};

use crate::identity::certificate::{Environment, PolicyOid};

/// A set of anchors with its rules.
pub struct Set {
    /// What operators call it.
    pub name: Arc<str>,
    /// What it demands.
    pub profile: Profile,
    anchors: Vec<TrustAnchor<'static>>,
    anchor_ders: Vec<CertificateDer<'static>>,
    roots: Vec<Contents>,
    lists: Lists,
}

/// Why a set can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotASet {
    /// No root at all.
    #[error("has no anchor")]
    NoAnchor,
    /// A root that is none.
    #[error("has an anchor that is not a certificate of an authority")]
    Anchor,
    /// Anybody under the roots of a public authority would get in.
    #[error("has no policies; look up those of the certificates that you accept and write them into `policies`")]
    NoPolicies,
    /// Test and production are apart.
    #[error("is for the environment {0}, and this process is not")]
    Environment(Environment),
    /// An own authority that was made for the other environment.
    #[error("has an anchor that was made for the other environment (`environment`: test or production): {0}")]
    OtherEnvironment(String),
    /// Revocation is learned from lists, and there is none.
    #[error("learns revocation from lists and has none; name the list of every issuer in `crls`")]
    NoLists,
}

impl Set {
    /// A set that may be used in this environment.
    ///
    /// # Errors
    /// [`NotASet`].
    pub fn new(
        name: &str,
        profile: Profile,
        anchors: &[CertificateDer<'static>],
        lists: Lists,
        environment: Environment,
    ) -> Result<Self, NotASet> {
        let is_without = profile.revocation == Revocation::Lists && lists.is_empty();
        let set = Self::awaiting(name, profile, anchors, lists, environment)?;
        if is_without { Err(NotASet::NoLists) } else { Ok(set) }
    }

    /// The same, where lists may come later: until then those under their issuers are refused.
    ///
    /// # Errors
    /// [`NotASet`].
    pub fn awaiting(
        name: &str,
        profile: Profile,
        anchors: &[CertificateDer<'static>],
        lists: Lists,
        environment: Environment,
    ) -> Result<Self, NotASet> {
        if anchors.is_empty() {
            return Err(NotASet::NoAnchor);
        }
        if profile.policies.is_empty() && profile.needs_policies {
            return Err(NotASet::NoPolicies);
        }
        if let Some(other) = profile.environment.filter(|other| *other != environment) {
            return Err(NotASet::Environment(other));
        }
        let roots: Vec<Contents> =
            anchors.iter().map(|der| Contents::read(der).map_err(|_| NotASet::Anchor)).collect::<Result<_, _>>()?;
        let is_trial = |root: &&Contents| environment == Environment::Production && root.subject.contains("TRIAL");
        if let Some(other) =
            roots.iter().find(|root| is_trial(root) || profile.is_of_other_environment(root, environment))
        {
            return Err(NotASet::OtherEnvironment(other.subject.clone()));
        }
        let anchor_ders = anchors.to_vec();
        let anchors = anchors
            .iter()
            .map(|der| Ok(webpki::anchor_from_trusted_cert(der).map_err(|_| NotASet::Anchor)?.to_owned()))
            .collect::<Result<_, _>>()?;
        Ok(Self { name: name.into(), profile, anchors, anchor_ders, roots, lists })
    }

    /// Its roots.
    pub fn roots(&self) -> &[Contents] {
        &self.roots
    }

    /// Its revocation lists.
    pub const fn lists(&self) -> &Lists {
        &self.lists
    }

    /// For the TLS library.
    pub(crate) fn anchors(&self) -> &[TrustAnchor<'static>] {
        &self.anchors
    }
}

/// Everybody who is trusted, and in which environment.
pub struct Trust {
    environment: Environment,
    sets: Vec<Set>,
}

impl Trust {
    /// Trust in these sets.
    pub fn new(environment: Environment, sets: Vec<Set>) -> Self {
        Self { environment, sets }
    }

    /// Test or production.
    pub const fn environment(&self) -> Environment {
        self.environment
    }

    /// The sets, in the order in which they are asked.
    pub fn sets(&self) -> &[Set] {
        &self.sets
    }
}

/// Policies that one may stand for.
pub(crate) const ANY_POLICY: &str = "2.5.29.32.0";

/// Whether the policies of an issuer cover this one (RFC 5280 §6.1.3 d).
fn covers(issuer: &Contents, policy: &PolicyOid) -> bool {
    issuer.policies.contains(policy) || issuer.policies.iter().any(|shown| shown.to_string() == ANY_POLICY)
}

#[cfg(test)]
pub(crate) mod tests;
