//! Finding what a call is about: the caller as the registry knows it now, the case or the record.

use std::sync::Arc;

use super::facts::{Facts, Found, Scene, SubjectRef, Target, subject_tag};
use super::{Call, Exchange, Stop};
use crate::party::Oin;
use crate::pseudonym::{Pseudonym, Scope};
use crate::store::StoreError;

impl Exchange {
    /// The caller and the case that the call is about, as this node remembers them: for a decision whose commit compares.
    pub(super) async fn recall(&self, call: &Call, target: Target<'_>) -> Result<Facts, Stop> {
        self.find(call, target, true).await
    }

    /// Reads the caller anew and the case that the call is about.
    pub(super) async fn facts(&self, call: &Call, target: Target<'_>) -> Result<Facts, Stop> {
        self.find(call, target, false).await
    }

    /// `may_recall`: whether the case may be one that this node remembers.
    async fn find(&self, call: &Call, target: Target<'_>, may_recall: bool) -> Result<Facts, Stop> {
        let now = self.clock.now();
        let registry = Arc::clone(&self.registry.borrow());
        let caller = registry.registrations.caller(&call.certificate, now).map_err(Stop::standing)?;
        let scene = Scene { now, registry, found: Found::NotAsked };
        let mut facts = Facts { scene, caller, record: None };
        let oin = facts.caller.oin();
        match target {
            Target::Nothing => {}
            // Only the caller's own case is remembered for it: unknown and somebody else's are looked up alike.
            Target::Case(name) => {
                facts.found = match self.store.cases().by_name(name, oin).filter(|_| may_recall) {
                    Some(case) => Found::Case(case),
                    None => self.case_by_name(name, oin).await?,
                };
            }
            Target::Subject(subject) => facts.found = self.case_by_subject(subject, oin).await?,
            Target::Record(record_id) => self.find_record(record_id, &mut facts, may_recall).await?,
            Target::RecordId(record) => self.find_record(&record.to_string(), &mut facts, may_recall).await?,
        }
        Ok(facts)
    }

    /// Unknown and somebody else's take the same one look-up, so they take the same time.
    async fn case_by_name(&self, name: &str, oin: &Oin) -> Result<Found, StoreError> {
        let mut reader = self.store.read().await?;
        match crate::store::case::by_name(&mut reader, name).await? {
            None => Ok(Found::Unknown),
            Some((_, owner)) if owner != oin.as_str() => Ok(Found::NotInvolved),
            Some((case_id, _)) => self.load(&mut reader, &case_id).await,
        }
    }

    /// By subject: the newest case in which the organisation knows who the youth is. One look-up decides between unknown and
    /// not involved as well; whoever sees a case pseudonymously can't find it by subject.
    async fn case_by_subject(&self, subject: &SubjectRef, oin: &Oin) -> Result<Found, StoreError> {
        let mut reader = self.store.read().await?;
        let rows = match subject {
            SubjectRef::Output(output) => {
                let tag = self.keys.tag(output).map_err(|_| StoreError::Inconsistent("case_file"))?;
                crate::store::case::by_tag(&mut reader, tag.as_bytes(), oin.as_str()).await?
            }
            SubjectRef::Pseudonym(pseudonym) => {
                let own = crate::store::case::tags_of(&mut reader, oin.as_str()).await?;
                own.into_iter()
                    .filter(|(_, epoch, tag)| self.is_pseudonym(pseudonym, *epoch, tag, oin))
                    .map(|(case_id, _, _)| (case_id, true))
                    .collect()
            }
            SubjectRef::Unidentified => Vec::new(),
        };
        for (case_id, _) in rows.iter().filter(|(_, mine)| *mine) {
            match self.load(&mut reader, case_id).await? {
                Found::Case(case) if case.knows_youth(oin) => return Ok(Found::Case(case)),
                _ => {}
            }
        }
        Ok(if rows.is_empty() { Found::Unknown } else { Found::NotInvolved })
    }

    fn is_pseudonym(&self, asked: &Pseudonym, epoch: u32, tag: &[u8], oin: &Oin) -> bool {
        subject_tag(epoch, tag)
            .and_then(|tag| self.keys.pseudonym(&tag, oin, Scope::Case).ok())
            .is_some_and(|own| own == *asked)
    }

    async fn find_record(&self, record_id: &str, facts: &mut Facts, may_recall: bool) -> Result<(), StoreError> {
        let mut reader = self.store.read().await?;
        let row = crate::store::record::find(&mut reader, record_id).await?;
        let recipients = crate::store::record::recipients(&mut reader, record_id).await?;
        let oin = facts.caller.oin().as_str();
        let Some(row) = row else {
            facts.found = Found::Unknown;
            return Ok(());
        };
        if row.author_oin != oin && !recipients.iter().any(|recipient| recipient.oin == oin) {
            facts.found = Found::NotInvolved;
            return Ok(());
        }
        if let Some(case_id) = &row.case_id {
            facts.found = match self.store.cases().get(case_id).filter(|_| may_recall) {
                Some(case) => Found::Case(case),
                None => self.load(&mut reader, case_id).await?,
            };
        }
        facts.record = Some((row, recipients));
        Ok(())
    }

    pub(super) async fn load(&self, reader: &mut crate::store::Reader, case_id: &str) -> Result<Found, StoreError> {
        let case = crate::store::case::load(reader, case_id).await?;
        let Some(case) = case.map(Arc::new) else { return Ok(Found::Unknown) };
        self.store.cases().keep(&case);
        Ok(Found::Case(case))
    }
}
