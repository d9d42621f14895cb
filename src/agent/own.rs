//! What is the partner's own: its certificate's key, and the keys with which records are opened and headers signed.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use ring::{digest, hmac};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::certified::Certified;
use crate::api::v1;
use crate::config::AgentConfig;
use crate::mandate::{Moment, NotGiven};
use crate::party::Oin;
use crate::pseudonym::{Epoch, KeyError, SecretKey};
use crate::seal::certificate_signature::{self, CertSignature, CertSignatureError, Domain};
use crate::seal::{
    AddressedHeader, AgentKeys, KeySet, KeySetError, NotCanonical, RecordKey, SealError, SealedKey, open_record_key,
};
use crate::tls::files::is_open_to_others;
use crate::trust::Trust;
use crate::whole_file;

/// In the store.
const PUBLISHED: &str = "agent.published";

/// Why the partner's own keys can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    /// The certificate of `[tls]`.
    #[error("the certificate of key `tls.certificate` can't be read")]
    Certificate,
    /// Another organisation's certificate.
    #[error("the certificate of key `tls.certificate` is not that of key `organisation.oin`")]
    OtherOin,
    /// The mandate by which a supplier acts.
    #[error("the mandate of key `mandate.file` gives nothing to the certificate of key `tls.certificate`")]
    Mandate(#[from] NotGiven),
    /// A file in the store.
    #[error("{}: can't be read or written", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Others can read the seed.
    #[error("{path}: others may read this key; run `chmod 600 {path}`", path = .0.display())]
    OpenKey(PathBuf),
    /// The file holds no seed.
    #[error("{}: not a key file of `sluis agent init`", path.display())]
    Seed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// No seed at all.
    #[error("{}: holds no `agent.1.seed`; make it with `sluis agent init --dir`", .0.display())]
    NoSeed(PathBuf),
    /// The sets do not follow each other.
    #[error(
        "the seeds in the store do not make one set of keys; the same seed stands there twice, or there are over 17"
    )]
    Seeds(#[from] KeySetError),
    /// A time that can't be written.
    #[error("the time at which a key was made can't be read")]
    Time(#[from] NotCanonical),
}

/// The keys of one epoch.
pub(super) struct Term {
    pub(super) keys: AgentKeys,
    pub(super) set: KeySet,
    naming: hmac::Key,
}

/// The partner.
pub(super) struct Own {
    oin: Oin,
    /// Name of the covenant.
    covenant: String,
    /// Under which the keys are published. Another one takes its place when it is renewed.
    certified: RwLock<Arc<Certified>>,
    current: Term,
    /// Newest first.
    earlier: Vec<Term>,
    /// Holds the hash of the document that the hub took last.
    published: PathBuf,
}

impl Own {
    /// Reads certificate and seeds. `Identity::load` has checked that the certificate is valid and fits its key.
    pub(super) fn load(config: &AgentConfig, trust: &Trust, moment: Moment<'_>) -> Result<Self, OwnError> {
        let oin = config.organisation.oin.clone();
        let certified = RwLock::new(Arc::new(Certified::load(config, trust, moment)?));
        let mut terms = terms(&config.store.directory, &oin, moment.network)?.into_iter();
        let current = terms.next().ok_or_else(|| OwnError::NoSeed(config.store.directory.clone()))?;
        let published = config.store.directory.join(PUBLISHED);
        Ok(Self { oin, covenant: moment.covenant.to_owned(), certified, current, earlier: terms.collect(), published })
    }

    /// Reads certificate and mandate anew. Whether they are others.
    pub(super) fn renew(&self, config: &AgentConfig, trust: &Trust, now: OffsetDateTime) -> Result<bool, OwnError> {
        let new = Certified::load(config, trust, Moment::of(&self.covenant, now))?;
        let mut certified = self.certified.write().unwrap_or_else(PoisonError::into_inner);
        let is_other = !new.is_as(&certified);
        *certified = Arc::new(new);
        Ok(is_other)
    }

    fn certified(&self) -> Arc<Certified> {
        Arc::clone(&self.certified.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn oin(&self) -> &Oin {
        &self.oin
    }

    /// The OIN in the certificate: the partner's, or its supplier's.
    pub(super) fn shown(&self) -> Oin {
        self.certified().shown.clone()
    }

    /// Whether a supplier runs the agent in the partner's name.
    pub(super) fn is_delegated(&self) -> bool {
        self.certified().mandate.is_some()
    }

    /// The keys in use.
    pub(super) fn current(&self) -> &Term {
        &self.current
    }

    /// The key set in use, signed with the certificate's key.
    pub(super) fn published(&self) -> Result<v1::KeySet, KeySetError> {
        let certified = self.certified();
        let signed = self.current.set.sign(&certified.key)?;
        Ok(v1::KeySet {
            document: signed.bytes,
            signature_scheme: signed.signature.scheme.code().into(),
            signature: signed.signature.signature,
            certificate_chain: certified.chain_der(),
            mandate: certified.mandate.clone(),
        })
    }

    /// Whether a published set is the one in use.
    pub(super) fn is_current(&self, published: &v1::KeySet) -> bool {
        self.published().is_ok_and(|own| own.document == published.document)
    }

    /// Proof that the holder of the certificate asks for the next one.
    pub(super) fn sign_renewal(&self, request: &[u8]) -> Result<CertSignature, CertSignatureError> {
        certificate_signature::sign(&self.certified().key, Domain::Renewal, request)
    }

    /// Whether the keys in use are to be published without anybody's asking: they were published before, and what the hub shows
    /// of the partner is nothing, or the same keys under another certificate or mandate. Other keys are somebody's decision.
    pub(super) fn is_to_publish(&self, shown: Option<&v1::KeySet>) -> bool {
        let Ok(own) = self.published() else { return false };
        match shown {
            None => std::fs::read_to_string(&self.published).is_ok_and(|known| known.trim_ascii() == digest_of(&own)),
            Some(shown) if shown.document != own.document => false,
            Some(shown) => {
                self.was_published(&own);
                shown.certificate_chain.first() != own.certificate_chain.first() || shown.mandate != own.mandate
            }
        }
    }

    /// The hub took these keys. Kept on disk: a hub that shows nothing is asked to show them again.
    pub(super) fn was_published(&self, keys: &v1::KeySet) {
        let known = std::fs::read_to_string(&self.published);
        let digest = digest_of(keys);
        if !known.is_ok_and(|known| known.trim_ascii() == digest)
            && let Err(error) = whole_file::replace(&self.published, format!("{digest}\n").as_bytes())
        {
            tracing::warn!(%error, "the store can't be written: the agent does not remember that it published its keys");
        }
    }

    /// A signature of the organisation under a covenant version, and the chain of the certificate that signed.
    pub(super) fn sign_covenant(
        &self,
        content_hash: &[u8; 32],
    ) -> Result<(CertSignature, Vec<Vec<u8>>), CertSignatureError> {
        let certified = self.certified();
        let signature = certificate_signature::sign(&certified.key, Domain::Covenant, content_hash)?;
        Ok((signature, certified.chain_der()))
    }

    /// The name of the record that this request with this content makes: the same when a lost reply is asked for again,
    /// another one for other content. Keyed, so that the name says nothing of the content (UUID version 8).
    pub(super) fn name_record(&self, request_id: &str, content_sha256: &[u8; 32]) -> Uuid {
        let mut name = hmac::Context::with_key(&self.current.naming);
        name.update(content_sha256);
        name.update(request_id.as_bytes());
        let mut bytes = [0; 16];
        for (slot, byte) in bytes.iter_mut().zip(name.sign().as_ref()) {
            *slot = *byte;
        }
        uuid::Builder::from_custom_bytes(bytes).into_uuid()
    }

    /// Opens a record key with whichever of the own keys it was sealed to.
    pub(super) fn open(&self, header: &AddressedHeader, sealed: &SealedKey) -> Result<RecordKey, SealError> {
        let newest = open_record_key(&self.current.keys, header, sealed);
        self.earlier.iter().fold(newest, |opened, term| opened.or_else(|_| open_record_key(&term.keys, header, sealed)))
    }
}

fn digest_of(keys: &v1::KeySet) -> String {
    hex::encode(digest::digest(&digest::SHA256, &keys.document))
}

/// The terms in the store, newest first.
fn terms(store: &Path, oin: &Oin, now: OffsetDateTime) -> Result<Vec<Term>, OwnError> {
    let failed = |source| OwnError::File { path: store.to_owned(), source };
    let mut terms = Vec::new();
    for entry in std::fs::read_dir(store).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_prefix("agent.")?.strip_suffix(".seed")?.parse().ok())
            .and_then(Epoch::new);
        let Some(epoch) = number else { continue };
        let text = read_seed(&path)?;
        let no_seed = |source| OwnError::Seed { path: path.clone(), source };
        let keys = AgentKeys::from_seed_file_text(&text).map_err(no_seed)?;
        let naming = SecretKey::from_hex_file_text(&text).map_err(no_seed)?.derive(b"agent/record-name");
        let naming = hmac::Key::new(hmac::HMAC_SHA256, naming.as_bytes());
        let set = keys.key_set(oin.clone(), epoch, created(&path.with_extension("created"), now)?)?;
        terms.push((epoch, Term { keys, set, naming }));
    }
    terms.sort_by_key(|(epoch, _)| std::cmp::Reverse(*epoch));
    let mut terms: Vec<Term> = terms.into_iter().map(|(_, term)| term).collect();
    if let Some((current, earlier)) = terms.split_first_mut() {
        current.set = current.set.clone().following(earlier.iter().map(|term| &term.set))?;
    }
    Ok(terms)
}

fn read_seed(path: &Path) -> Result<Zeroizing<String>, OwnError> {
    let failed = |source| OwnError::File { path: path.to_owned(), source };
    let mut file = std::fs::File::open(path).map_err(failed)?;
    if is_open_to_others(&file).map_err(failed)? {
        return Err(OwnError::OpenKey(path.to_owned()));
    }
    let mut text = Zeroizing::new(String::new());
    file.read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// The time in the key set, fixed at its first use: peers pin the document, so it must come out the same every time.
fn created(path: &Path, now: OffsetDateTime) -> Result<OffsetDateTime, OwnError> {
    let failed = |source| OwnError::File { path: path.to_owned(), source };
    match std::fs::read_to_string(path) {
        Ok(text) => OffsetDateTime::parse(text.trim_ascii(), &Rfc3339).map_err(|_| OwnError::Time(NotCanonical)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let text = now.format(&Rfc3339).map_err(|_| OwnError::Time(NotCanonical))?;
            let mut file = OpenOptions::new().write(true).create_new(true).open(path).map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            Ok(now)
        }
        Err(error) => Err(failed(error)),
    }
}
