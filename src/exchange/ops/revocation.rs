//! Revoking a key, and with it every key that was obtained with it: whoever held it unseen may have renewed it, and would go on
//! with the next one.

use std::collections::BTreeMap;

use super::super::{Decided, Exchange, Facts, Operation};
use super::certificates::{key_hash, known, of_holder, reply};
use super::mandates::signed_with;
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::micros;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::KeyHash;
use crate::method::Admitted;
use crate::registry::is_exposed;
use crate::store::certificates::{self, CertificateRow};
use crate::store::{Changes, Tx, WorkError, pending, renewal};

/// What whoever asked with a revoked key is told.
const TOLD: &str = "the certificate with which it was asked for was revoked";

/// `Registry.RevokeCertificate`.
pub struct RevokeCertificate {
    request_id: String,
    key_hash: KeyHash,
    /// It is needed no more. Otherwise it may be somebody else's.
    ceased: bool,
}

/// What [`RevokeCertificate`] does.
pub struct Revoked {
    row: CertificateRow,
    /// Keys that fall with it.
    with_it: Vec<String>,
    /// Mandates that one of them signed: they give nothing from now on, until the partner signs anew.
    withheld: Vec<String>,
}

impl Operation for RevokeCertificate {
    type Message = v1::RevokeCertificateRequest;
    type Reply = v1::RegisteredCertificate;
    type Rows = ();
    type Plan = Revoked;

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let request_id = fields.uuid("request_id", &message.request_id);
        let key_hash = key_hash(&mut fields, "key_hash", &message.key_hash);
        if v1::RevocationReason::try_from(message.reason).is_err() {
            fields.wrong("reason", "KEY_COMPROMISE or CESSATION_OF_OPERATION");
        }
        let ceased = message.reason() == v1::RevocationReason::CessationOfOperation;
        fields.done((|| Some(Self { request_id: request_id?, key_hash: key_hash?, ceased }))())
    }

    fn changes(&self, _: &Decided<Self>) -> Changes {
        Changes::Registry
    }

    fn request_id(&self) -> Option<&str> {
        Some(&self.request_id)
    }

    fn decide(&self, _: &Exchange, facts: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, Revoked), Refusal> {
        let row = known(facts, &self.key_hash, "an operator does not revoke the key it is using")?;
        if self.ceased && is_exposed(row) {
            return Err(Refusal::precondition("it was revoked as a key that got out, and stays so"));
        }
        let with_it = renewed_with(&facts.registry.certificates, &row.key_hash, self.ceased);
        if with_it.contains(&facts.caller.key_hash().to_string()) {
            return Err(Refusal::precondition(
                "the key that the operator is using was renewed with it and would be revoked too: another operator does it",
            ));
        }
        let revoked_at = row.revoked_at.or(Some(micros(facts.now)));
        let keys: Vec<&str> = [&row.key_hash].into_iter().chain(&with_it).map(String::as_str).collect();
        let withheld = signed_with(&facts.registry, &keys, facts.now);
        let withheld = withheld.into_iter().map(|mandate| format!("mandates/{}", mandate.mandate_id)).collect();
        Ok((
            admitted.office(),
            Revoked { row: CertificateRow { revoked_at, ceased: self.ceased, ..row.clone() }, with_it, withheld },
        ))
    }

    async fn apply(
        &self,
        _: &Exchange,
        tx: &mut Tx<'_>,
        done: &Decided<Self>,
        draft: &mut Draft,
    ) -> Result<v1::RegisteredCertificate, WorkError> {
        let (Revoked { row, with_it, withheld }, at) = (&done.plan, micros(done.facts.now));
        for key in [&row.key_hash].into_iter().chain(with_it) {
            certificates::revoke(tx, key, self.ceased, at).await?;
            renewal::refuse_of_key(tx, key, TOLD, at).await?;
        }
        // All that was renewed with it is the same holder's.
        pending::supersede(tx, &of_holder(row), at).await?;
        draft.source.clone_from(&row.oin);
        let why = if self.ceased { " as needed no more" } else { "" };
        draft.motivation = match with_it.as_slice() {
            [] => format!("revoked{why}: key {}", row.key_hash),
            keys => format!("revoked{why}: key {}; and renewed with it: key {}", row.key_hash, keys.join(", key ")),
        };
        if !withheld.is_empty() {
            draft.motivation.push_str(&format!("; withheld, since it signed: {}", withheld.join(", ")));
        }
        let (revoked_with_it, withheld_mandates) = (with_it.clone(), withheld.clone());
        Ok(v1::RegisteredCertificate { revoked_with_it, withheld_mandates, ..reply(row, done.facts.now) })
    }
}

/// The keys that were obtained with this one, and with those in their turn, that are not revoked yet, or not as ones that got out.
/// One that an operator entered in its place is not among them: its key was shown to somebody who looked.
fn renewed_with(all: &BTreeMap<KeyHash, CertificateRow>, key: &str, ceased: bool) -> Vec<String> {
    let (mut found, mut next) = (BTreeMap::new(), vec![key]);
    while let Some(key) = next.pop() {
        for row in all.values().filter(|row| row.renewed && row.replaces == key) {
            let is_left = row.revoked_at.is_none() || (!ceased && row.ceased);
            if found.insert(&row.key_hash, is_left).is_none() {
                next.push(&row.key_hash);
            }
        }
    }
    found.into_iter().filter(|(_, is_left)| *is_left).map(|(key, _)| key.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(key: u8, replaces: Option<u8>, renewed: bool, revoked: bool) -> (KeyHash, CertificateRow) {
        let row = CertificateRow {
            key_hash: hash(key),
            oin: String::new(),
            holder: "organisation".to_owned(),
            person_ref: String::new(),
            system: String::new(),
            issuer: String::new(),
            starts_at: 0,
            expires_at: 0,
            registered_at: 0,
            used_at: None,
            anchor_set: String::new(),
            replaces: replaces.map(hash).unwrap_or_default(),
            renewed,
            via: String::new(),
            retires_at: None,
            revoked_at: revoked.then_some(1),
            ceased: false,
            warned: 0,
        };
        (row.key_hash.parse().unwrap(), row)
    }

    fn hash(key: u8) -> String {
        hex::encode([key; 32])
    }

    #[test]
    fn what_was_obtained_with_a_key_falls_with_it() {
        let all = BTreeMap::from([
            row(1, None, false, false),
            row(2, Some(1), true, false),
            row(3, Some(2), true, true),
            row(4, Some(3), true, false),
            // Entered by an operator, and what was obtained with that one.
            row(5, Some(4), false, false),
            row(6, Some(5), true, false),
            row(7, None, true, false),
        ]);
        for (key, with_it) in [(1, vec![2, 4]), (2, vec![4]), (3, vec![4]), (4, vec![]), (5, vec![6]), (9, vec![])] {
            let expected: Vec<String> = with_it.into_iter().map(hash).collect();
            for ceased in [false, true] {
                assert_eq!(renewed_with(&all, &hash(key), ceased), expected, "{key}");
            }
        }
        // Keys that had ceased got out after all.
        let ceased = |(key, row)| (key, CertificateRow { ceased: true, ..row });
        let all = BTreeMap::from([row(1, None, false, true), ceased(row(2, Some(1), true, true))]);
        assert_eq!(renewed_with(&all, &hash(1), false), [hash(2)]);
        assert!(renewed_with(&all, &hash(1), true).is_empty());
    }
}
