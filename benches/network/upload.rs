//! Sealed records, as a partner's agent would send them: a header that the hub finds good, over random bytes. The hub can
//! open neither body nor keys, so making those anew for each record would only burn the loader's time.

use std::path::Path;

use prost::bytes::Bytes;
use rand_core::{OsRng, RngCore as _};
use sluis::api::v1;
use sluis::clock::{Clock as _, SystemClock};
use sluis::party::{Category, Form, Oin, Role};
use sluis::seal::{AgentKeys, BodyDigest, BodySealer, CaseBinding, FreshKey, Header, KeyCommitment, Recipient, Suite};
use uuid::Uuid;

use crate::Failed;
use crate::case::Parcel;
use crate::world::{World, context, id};

/// Bytes of a message of the body.
const PIECE: usize = 512 * 1024;

/// Makes records of one kind.
pub(crate) struct Press {
    keys: AgentKeys,
    author: Oin,
    recipients: Vec<(Oin, Role, String)>,
    case: String,
    body: Bytes,
    digest: BodyDigest,
    commitment: KeyCommitment,
    sealed: Vec<v1::SealedKey>,
}

impl Press {
    /// For a kind of record in this network.
    pub(crate) fn new(world: &World, parcel: Parcel) -> Result<Self, Failed> {
        let (names, seats, len) = match parcel {
            Parcel::Small => (&world.table, 1, 4 * 1024 - 64),
            Parcel::Large => (&world.table, 5, 64 * 1024 - 64),
            Parcel::One => (&world.hall, 1, 1024 - 64),
            Parcel::Many => (&world.hall, 41, 1024 - 64),
            Parcel::All => (&world.hall, usize::MAX, 1024 - 64),
        };
        let author = &world.gemeente;
        let experts = world.experts.iter().take(seats).map(|oin| (oin, Role::R05));
        let mut recipients = Vec::new();
        for (oin, role) in experts.chain([(author, Role::R02)]) {
            let name = names.get(oin).ok_or("somebody without a name for the case")?;
            recipients.push((oin.parse::<Oin>()?, role, name.clone()));
        }
        recipients.sort();
        let mut body = Vec::new();
        let mut sealer = BodySealer::new(FreshKey::generate(&mut OsRng));
        sealer.push(&vec![7; len], &mut body)?;
        let sealed = sealer.finish(&mut body)?;
        Ok(Self {
            keys: seed(&world.folder, author)?,
            author: author.parse()?,
            case: names.get(author).cloned().unwrap_or_default(),
            sealed: recipients.iter().map(|(oin, ..)| random_key(oin)).collect(),
            recipients,
            body: body.into(),
            digest: sealed.digest,
            commitment: sealed.key.commitment(),
        })
    }

    /// A new record: the messages of its upload.
    pub(crate) fn make(&self) -> Result<Vec<v1::PublishRecordRequest>, Failed> {
        use v1::publish_record_request::Chunk;
        let record = Uuid::new_v4();
        let first = v1::PublishRecordRequest { open: Some(self.open(record)?), chunk: None };
        let mut messages = vec![first];
        let mut rest = self.body.clone();
        while !rest.is_empty() {
            let piece = rest.split_to(rest.len().min(PIECE));
            messages.push(v1::PublishRecordRequest { open: None, chunk: Some(Chunk::Sealed(piece)) });
        }
        Ok(messages)
    }

    fn open(&self, record: Uuid) -> Result<v1::OpenRecord, Failed> {
        let recipients = self.recipients.iter().map(|(oin, role, name)| Recipient {
            oin: oin.clone(),
            role: Some(*role),
            case: CaseBinding::new(record, name.trim_start_matches("cases/")),
        });
        let header = Header {
            record,
            article: "13".parse()?,
            category: Category::C06,
            form: Form::P,
            author: self.author.clone(),
            schema: "sluis/tekst/v1".parse()?,
            created: SystemClock.now(),
            suite: Suite::XWing,
            key_commitment: self.commitment,
            body: self.digest,
            recipients: recipients.collect(),
            open_to: Vec::new(),
        };
        let signed = header.sign(&self.keys)?;
        let named = self.recipients.iter().map(|(oin, ..)| oin).filter(|oin| **oin != self.author);
        Ok(v1::OpenRecord {
            request_id: id(),
            context: context("13", "advies", v1::Role::R02),
            case: self.case.clone(),
            category: v1::Category::C06 as i32,
            form: v1::Form::P as i32,
            recipient_roles: Vec::new(),
            recipients: named.map(|oin| format!("partners/{oin}")).collect(),
            schema: "sluis/tekst/v1".to_owned(),
            record: format!("records/{record}"),
            header: Some(v1::SignedHeader { header: signed.bytes().to_vec(), signature: signed.signature().to_vec() }),
            keys: self.sealed.clone(),
            source_external: 0,
        })
    }
}

/// The seed file of a partner's keys.
pub(crate) fn seed(folder: &Path, oin: &str) -> Result<AgentKeys, Failed> {
    Ok(AgentKeys::from_seed_file_text(&std::fs::read_to_string(folder.join("seeds").join(oin))?)?)
}

/// A sealed key in size and form.
fn random_key(oin: &Oin) -> v1::SealedKey {
    let mut bytes = vec![0; 1120 + 48];
    OsRng.fill_bytes(&mut bytes);
    let ciphertext = bytes.split_off(1120);
    v1::SealedKey {
        recipient: oin.to_string(),
        suite: v1::SealSuite::Xwing as i32,
        enc: bytes,
        ciphertext,
        ..v1::SealedKey::default()
    }
}
