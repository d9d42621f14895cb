//! The verdict on one chain.

use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use time::OffsetDateTime;
use webpki::{
    CertRevocationList, EndEntityCert, Error, ExpirationPolicy, KeyUsage, RevocationCheckDepth,
    RevocationOptionsBuilder, UnknownStatusPolicy,
};

use super::contents::Contents;
use super::fault::{Fault, Refused};
use super::profile::{Profile, Purpose, Revocation, Subject};
use super::{Set, Trust, covers};
use crate::identity::certificate::{CertificateError, Environment, ORGANISATION, PeerCertificate, is_test};
use crate::party::Oin;

/// Most certificates in a chain that is looked at.
pub const MOST_CERTIFICATES: usize = 10;
/// Most bytes of all of them.
pub const MOST_BYTES: usize = 64 << 10;

/// Most certificates of one name.
const MOST_ALIKE: usize = 2;

/// A list past its next update still counts for so long: nothing, as an issuer's word ends there.
const GRACE: time::Duration = time::Duration::ZERO;

/// A chain that is believed.
#[derive(Debug, Clone)]
pub struct Verdict {
    /// Whose it is.
    pub certificate: PeerCertificate,
    /// The set of anchors that it is under.
    pub set: Arc<str>,
}

impl Trust {
    /// Judges a chain, leaf first, its issuers in any order.
    ///
    /// # Errors
    /// Why no set lets it in: by the one that it came furthest in.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: OffsetDateTime) -> Result<Verdict, Refused> {
        let contents = read(chain)?;
        let judge = |set: &Set| set.judge(chain, &contents, self.environment, now);
        let (certificate, set) = self.nearest(&contents, judge)?;
        Ok(Verdict { certificate, set })
    }

    /// What the first set says that is content; or why the one that a chain came furthest in is not.
    fn nearest<T>(
        &self,
        contents: &[Contents],
        judge: impl Fn(&Set) -> Result<T, Refused>,
    ) -> Result<(T, Arc<str>), Refused> {
        let mut refused: Option<Refused> = None;
        for set in &self.sets {
            match judge(set) {
                Ok(found) => return Ok((found, Arc::clone(&set.name))),
                Err(found) => {
                    let nearer = |known: &Refused| distance(found.fault) < distance(known.fault);
                    if refused.as_ref().is_none_or(nearer) {
                        refused = Some(Refused { set: Some(set.name.to_string()), ..found });
                    }
                }
            }
        }
        let refused = refused.unwrap_or_else(|| Refused::new(Fault::UnknownIssuer));
        if refused.fault != Fault::UnknownIssuer {
            return Err(refused);
        }
        // Nobody's chain is no set's.
        Err(Refused { set: None, ..self.told_apart(refused, contents) })
    }

    /// Judges the chain of a server of this name. What sets demand of clients, they do not demand of servers.
    ///
    /// # Errors
    /// Why no set believes it.
    pub fn judge_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: OffsetDateTime,
    ) -> Result<(), Refused> {
        let contents = read(chain)?;
        self.nearest(&contents, |set| set.path(chain, &contents, For::Server(name), now).map(drop)).map(drop)
    }

    /// As [`Trust::judge`], for what only the organisation as a whole may vouch for, such as its keys. Our own CA puts the
    /// same OIN into the certificates of an organisation's people and servers; those are refused.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn judge_organisation(
        &self,
        chain: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<PeerCertificate, Refused> {
        let certificate = self.judge(chain, now)?.certificate;
        let organisation = ORGANISATION.to_string();
        if certificate.policies().iter().filter_map(|policy| policy.own()).any(|profile| profile != organisation) {
            return Err(Refused::new(Fault::Policy).at(0).about("a person's or a server's"));
        }
        Ok(certificate)
    }

    /// Judges a chain by one set: for telling why it does or does not fit.
    ///
    /// # Errors
    /// Why it does not.
    pub fn judge_by(
        &self,
        set: &Set,
        chain: &[CertificateDer<'_>],
        now: OffsetDateTime,
    ) -> Result<PeerCertificate, Refused> {
        let contents = read(chain)?;
        let judged = set.judge(chain, &contents, self.environment, now);
        judged.map_err(|refused| self.told_apart(refused, &contents))
    }
}

impl Trust {
    /// An issuer that is unknown because it is the other environment's is called that.
    fn told_apart(&self, refused: Refused, chain: &[Contents]) -> Refused {
        let is_other = refused.fault == Fault::UnknownIssuer && self.is_of_other_environment(chain);
        Refused { fault: if is_other { Fault::OtherEnvironment } else { refused.fault }, ..refused }
    }

    /// Whether an authority in the chain says that it is for the other environment: our own CA in its `OU`, PKIoverheid's
    /// test hierarchies by the word TRIAL.
    fn is_of_other_environment(&self, chain: &[Contents]) -> bool {
        let says = |one: &Contents| match self.environment {
            Environment::Production => {
                one.issuer.split(", ").any(|part| part == "OU=test") || one.issuer.contains("TRIAL")
            }
            Environment::Test => one.issuer.split(", ").any(|part| part == "OU=production"),
        };
        chain.iter().any(says)
    }
}

/// How far from being let in a chain is: not to lead to an anchor of the set at all is furthest.
const fn distance(fault: Fault) -> u8 {
    match fault {
        Fault::UnknownIssuer => 2,
        Fault::BadSignature => 1,
        _ => 0,
    }
}

fn read(chain: &[CertificateDer<'_>]) -> Result<Vec<Contents>, Refused> {
    if chain.is_empty() {
        return Err(Refused::new(Fault::NoCertificate));
    }
    let bytes: usize = chain.iter().map(|der| der.len()).sum();
    if chain.len() > MOST_CERTIFICATES || bytes > MOST_BYTES {
        return Err(Refused::new(Fault::TooLarge).about(format!("{} certificates, {bytes} bytes", chain.len())));
    }
    let read = |(at, der): (usize, &CertificateDer<'_>)| {
        Contents::read(der).map_err(|_| Refused::new(Fault::Malformed).at(at))
    };
    let contents: Vec<Contents> = chain.iter().enumerate().map(read).collect::<Result<_, _>>()?;
    // Each certificate of one name is another way to go on, and ways multiply: a cross-certificate beside the own one is all
    // that anybody needs.
    let alike = |one: &Contents| contents.iter().filter(|other| other.subject_der() == one.subject_der()).count();
    match contents.iter().find(|one| alike(one) > MOST_ALIKE) {
        Some(one) => {
            Err(Refused::new(Fault::TooLarge).about(format!("{} certificates of {}", alike(one), one.known_as())))
        }
        None => Ok(contents),
    }
}

/// Whom a chain is to lead to an anchor for.
#[derive(Clone, Copy)]
enum For<'n> {
    Client,
    Server(&'n ServerName<'n>),
}

/// Certificates of a path, leaf first and without the anchor, each with its place in the chain.
type Path<'c> = Vec<(usize, &'c Contents)>;

impl Set {
    fn judge(
        &self,
        chain: &[CertificateDer<'_>],
        contents: &[Contents],
        environment: Environment,
        now: OffsetDateTime,
    ) -> Result<PeerCertificate, Refused> {
        let path = self.path(chain, contents, For::Client, now)?;
        let oin = self.profile.check(&path, environment)?;
        let leaf = path.first().ok_or(Refused::new(Fault::NoCertificate))?.1;
        Ok(PeerCertificate::new(leaf.leaf.clone(), oin, &self.name))
    }

    /// The way from a chain's leaf to an anchor of this set, with every signature, validity and list on it verified.
    fn path<'c>(
        &self,
        chain: &[CertificateDer<'_>],
        contents: &'c [Contents],
        whom: For<'_>,
        now: OffsetDateTime,
    ) -> Result<Path<'c>, Refused> {
        let (Some((leaf, issuers)), Some(first)) = (chain.split_first(), contents.first()) else {
            return Err(Refused::new(Fault::NoCertificate));
        };
        if first.is_authority {
            return Err(Refused::new(Fault::AuthorityAsLeaf).at(0).about(first.known_as()));
        }
        let seconds = u64::try_from(now.unix_timestamp()).map_err(|_| Refused::new(Fault::Clock))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = self.profile.algorithms();
        let refused = |error: Error| self.refused(&error, contents, now);
        let entity = EndEntityCert::try_from(leaf).map_err(refused)?;
        let mut fresh: Vec<&super::List> = match self.profile.revocation {
            Revocation::Registry => Vec::new(),
            Revocation::Lists => self.lists().iter().filter(|list| list.is_fresh(now, GRACE)).collect(),
        };
        // The library takes the first that fits.
        fresh.sort_by_key(|list| std::cmp::Reverse(list.this_update));
        let fresh: Vec<&CertRevocationList<'_>> = fresh.into_iter().map(super::List::parsed).collect();
        let options = RevocationOptionsBuilder::new(&fresh).ok().map(|builder| {
            builder
                .with_depth(RevocationCheckDepth::Chain)
                .with_status_policy(UnknownStatusPolicy::Deny)
                // Those that are not fresh were left out: of one issuer, another may have a fresh one.
                .with_expiration_policy(ExpirationPolicy::Ignore)
                .build()
        });
        let is_listed = options.is_some() || self.profile.revocation == Revocation::Registry;
        let usage = match whom {
            For::Client => KeyUsage::client_auth(),
            For::Server(_) => KeyUsage::server_auth(),
        };
        let found = entity.verify_for_usage(&algorithms, self.anchors(), issuers, at, usage, options, None);
        let found = found.map_err(refused)?;
        if let For::Server(name) = whom {
            entity.verify_is_valid_for_subject_name(name).map_err(refused)?;
        }
        let place = |on_path: &webpki::Cert<'_>| {
            let at = chain.iter().position(|der| der.as_ref() == on_path.der().as_ref())?;
            Some((at, contents.get(at)?))
        };
        let path: Path<'c> =
            std::iter::once((0, first)).chain(found.intermediate_certificates().filter_map(place)).collect();
        if !is_listed {
            return Err(self.unlisted(&path, now));
        }
        Ok(path)
    }

    /// What an error of the library means for this chain.
    fn refused(&self, error: &Error, chain: &[Contents], now: OffsetDateTime) -> Refused {
        let whose = |found: &dyn Fn(&Contents) -> bool, fault: Fault, about: &dyn Fn(&Contents) -> String| {
            let at = chain.iter().position(found);
            let about = at.and_then(|at| chain.get(at)).map(about).unwrap_or_default();
            Refused { at, ..Refused::new(fault).about(about) }
        };
        let new = Refused::new;
        match error {
            Error::UnknownIssuer => self.missing(chain),
            Error::CertExpired { .. } => whose(&|one| one.not_after < now, Fault::Expired, &|one| {
                format!("{} until {}", one.known_as(), one.not_after)
            }),
            Error::CertNotValidYet { .. } => whose(&|one| one.not_before > now, Fault::NotYetValid, &|one| {
                format!("{} from {}", one.known_as(), one.not_before)
            }),
            Error::InvalidCertValidity => new(Fault::Malformed),
            Error::CertRevoked => self.revoked(chain),
            Error::UnknownRevocationStatus => {
                let all: Vec<(usize, &Contents)> = chain.iter().enumerate().collect();
                self.unlisted(&all, now)
            }
            Error::CrlExpired { .. } => new(Fault::ListStale),
            Error::InvalidCrlSignatureForPublicKey | Error::IssuerNotCrlSigner | Error::InvalidCrlNumber => {
                new(Fault::ListInvalid)
            }
            Error::InvalidSignatureForPublicKey | Error::SignatureAlgorithmMismatch => new(Fault::BadSignature),
            Error::CaUsedAsEndEntity => new(Fault::AuthorityAsLeaf).at(0),
            Error::EndEntityUsedAsCa => new(Fault::NotAnAuthority),
            Error::PathLenConstraintViolated | Error::MaximumPathDepthExceeded => new(Fault::PathLength),
            Error::NameConstraintViolation
            | Error::MalformedNameConstraint
            | Error::InvalidNetworkMaskConstraint
            | Error::UnsupportedNameType
            | Error::MaximumNameConstraintComparisonsExceeded => new(Fault::NameConstraint),
            Error::RequiredEkuNotFoundContext(_) | Error::EmptyEkuExtension => new(Fault::Purpose),
            Error::MaximumPathBuildCallsExceeded | Error::MaximumSignatureChecksExceeded => new(Fault::TooLarge),
            Error::UnsupportedSignatureAlgorithmContext(_)
            | Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_) => {
                let accepted = |one: &Contents| {
                    let name = one.signature.to_string();
                    self.profile.signatures.iter().any(|known| known.is_called(&name))
                };
                whose(&|one| !accepted(one), Fault::SignatureAlgorithm, &|one| {
                    format!("{}: {}", one.known_as(), one.signature)
                })
            }
            Error::UnsupportedCrlSignatureAlgorithmContext(_)
            | Error::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => new(Fault::ListInvalid),
            Error::UnsupportedCriticalExtension
            | Error::UnsupportedCertVersion
            | Error::UnsupportedCrlIssuingDistributionPoint
            | Error::UnsupportedCrlVersion
            | Error::UnsupportedDeltaCrl
            | Error::UnsupportedIndirectCrl
            | Error::UnsupportedRevocationReason
            | Error::UnsupportedRevocationReasonsPartitioning => new(Fault::Unsupported),
            Error::CertDistrusted => new(Fault::Revoked),
            Error::CertNotValidForName(_) => new(Fault::ServerName),
            _ => new(Fault::Malformed),
        }
    }

    /// A chain that leads nowhere: the issuer that is not there is named.
    fn missing(&self, chain: &[Contents]) -> Refused {
        let mut at = 0;
        let mut seen = vec![0];
        while let Some(one) = chain.get(at) {
            let next = chain.iter().position(|other| one.is_issued_by(other));
            match next.filter(|next| !seen.contains(next)) {
                Some(next) => {
                    seen.push(next);
                    at = next;
                }
                None => break,
            }
        }
        let Some(last) = chain.get(at) else { return Refused::new(Fault::UnknownIssuer) };
        let is_anchor = self.roots().iter().any(|root| last.is_issued_by(root));
        if is_anchor {
            // Its issuer has the name of a root, and another key.
            return Refused::new(Fault::BadSignature).at(at).about(last.issuer_known_as());
        }
        Refused::new(Fault::UnknownIssuer).at(at).about(last.issuer_known_as())
    }

    fn revoked(&self, chain: &[Contents]) -> Refused {
        let is_on = |one: &Contents| {
            let serial = hex::decode(&one.serial).unwrap_or_default();
            self.lists().of(one.issuer_der()).any(|list| matches!(list.parsed().find_serial(&serial), Ok(Some(_))))
        };
        let at = chain.iter().position(is_on);
        let about = at.and_then(|at| chain.get(at)).map(|one| one.known_as().to_owned()).unwrap_or_default();
        Refused { at, ..Refused::new(Fault::Revoked).about(about) }
    }

    /// A chain of which an issuer has no list that counts.
    fn unlisted(&self, chain: &[(usize, &Contents)], now: OffsetDateTime) -> Refused {
        let without = chain.iter().find(|(_, one)| {
            !one.is_root() && !self.lists().of(one.issuer_der()).any(|list| list.is_fresh(now, GRACE))
        });
        let Some((at, one)) = without else { return Refused::new(Fault::ListMissing) };
        let newest = self.lists().of(one.issuer_der()).map(|list| list.next_update).max();
        match newest {
            None => Refused::new(Fault::ListMissing).at(*at).about(one.issuer_known_as()),
            Some(until) => {
                Refused::new(Fault::ListStale).at(*at).about(format!("{} until {until}", one.issuer_known_as()))
            }
        }
    }
}

impl Profile {
    /// Holds a path, leaf first and without its anchor, against the rules. The organisation, unless it is a local system's.
    fn check(&self, path: &[(usize, &Contents)], environment: Environment) -> Result<Option<Oin>, Refused> {
        let Some(((_, leaf), issuers)) = path.split_first() else { return Err(Refused::new(Fault::NoCertificate)) };
        let refused = |fault: Fault, about: String| Refused::new(fault).at(0).about(about);
        if issuers.len() > self.max_intermediates {
            return Err(refused(Fault::PathLength, format!("{} issuers below the root", issuers.len())));
        }
        // The library leaves this to others (RFC 5280 §6.1.4 n).
        let signs = |one: &Contents| one.usages.as_ref().is_none_or(|usages| usages.contains(&"keyCertSign"));
        if let Some((at, issuer)) = issuers.iter().find(|(_, issuer)| !signs(issuer)) {
            return Err(Refused::new(Fault::NotAnAuthority).at(*at).about(issuer.known_as()));
        }
        if let Some((at, weak)) = path.iter().find(|(_, one)| !self.keys.accept(&one.key)) {
            return Err(Refused::new(Fault::Key).at(*at).about(format!("{}: {}", weak.known_as(), weak.key)));
        }
        if !self.purpose.is_shown(leaf) {
            let shown = leaf.purposes.as_deref().map_or_else(|| "none".to_owned(), |all| all.join(", "));
            return Err(refused(Fault::Purpose, format!("extended key usage: {shown}")));
        }
        let covered = |policy: &&_| issuers.iter().all(|(_, issuer)| covers(issuer, policy));
        if !self.policies.is_empty() && !self.policies.intersection(&leaf.policies).any(|policy| covered(&policy)) {
            let shown: Vec<String> = leaf.policies.iter().map(ToString::to_string).collect();
            return Err(refused(Fault::Policy, shown.join(", ")));
        }
        if !self.names.dns.accepts(leaf.dns.len()) {
            return Err(refused(Fault::Names, format!("{} DNS names", leaf.dns.len())));
        }
        if !self.names.ip.accepts(leaf.addresses.len()) {
            return Err(refused(Fault::Names, format!("{} IP addresses", leaf.addresses.len())));
        }
        if !self.names.other.accepts(leaf.other_names) {
            return Err(refused(Fault::Names, format!("{} other names", leaf.other_names)));
        }
        if leaf.days() > self.max_days {
            return Err(refused(Fault::Validity, format!("{} days; at most {}", leaf.days(), self.max_days)));
        }
        if self.subject == Subject::LocalSystem {
            return Ok(None);
        }
        let oin = leaf.oin().map_err(|error| match error {
            CertificateError::NoOin => refused(Fault::NoOin, String::new()),
            CertificateError::SeveralOins => refused(Fault::SeveralOins, leaf.serial_numbers.join(", ")),
            _ => refused(Fault::WrongOin, leaf.serial_numbers.join(", ")),
        })?;
        if environment == Environment::Production && is_test(&oin) {
            return Err(refused(Fault::TestOin, oin.to_string()));
        }
        let known = |prefix: &String| oin.as_str().starts_with(prefix.as_str());
        if !self.oin_prefixes.is_empty() && !self.oin_prefixes.iter().any(known) {
            return Err(refused(Fault::OinPattern, oin.to_string()));
        }
        Ok(Some(oin))
    }
}

impl Purpose {
    /// A key usage that is said must allow signing: a handshake is a signature (RFC 8446 §4.4.2.4).
    fn is_shown(self, leaf: &Contents) -> bool {
        let signs = leaf.usages.as_ref().map(|usages| usages.contains(&"digitalSignature"));
        let client = leaf.client_auth && signs.unwrap_or(true);
        match self {
            Self::ClientAuth => client,
            Self::ClientAuthOrSignature => client || (leaf.purposes.is_none() && signs.unwrap_or(false)),
        }
    }
}
