//! Revoking a key that got out, and with it every key that was obtained with it: whoever held it unseen may have renewed it, and
//! would go on with the next one. A key that is needed no more goes alone.

use std::collections::BTreeMap;

use super::super::{Exchange, Facts};
use super::certificates::{key_hash, known, of_holder, reply};
use super::changes::Proposal;
use super::mandates::signed_with;
use super::membership::moment;
use crate::api::v1;
use crate::audit::Draft;
use crate::clock::{from_micros, micros};
use crate::form::Fields;
use crate::ground::Refusal;
use crate::identity::KeyHash;
use crate::registry::{Registry, is_exposed};
use crate::store::certificates::{self, CertificateRow};
use crate::store::succession::OpenCases;
use crate::store::{StoreError, Tx, WorkError, pending, renewal};

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

impl Proposal for RevokeCertificate {
    const METHOD: &str = "sluis.v1.Registry/RevokeCertificate";
    type Message = v1::RevokeCertificateRequest;
    type Reply = v1::RegisteredCertificate;
    type Judged = Revoked;

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

    fn request_id(&self) -> &str {
        &self.request_id
    }

    /// Cutting off waits for nobody. That a key did not get out after all opens what was closed.
    fn takes_two(&self, registry: &Registry) -> bool {
        self.ceased && registry.certificates.get(&self.key_hash).is_some_and(is_exposed)
    }

    fn name(&self, facts: &Facts, draft: &mut Draft) {
        if let Some(row) = facts.registry.certificates.get(&self.key_hash) {
            draft.source.clone_from(&row.oin);
        }
    }

    fn about(&self) -> Vec<String> {
        vec![format!("key {}", self.key_hash)]
    }

    fn judge(&self, _: &Exchange, facts: &Facts, _: OpenCases) -> Result<Revoked, Refusal> {
        known(facts, &self.key_hash, "an operator does not revoke the key it is using")?;
        let revoked = self.revoked(facts).ok_or_else(Refusal::not_found)?;
        if revoked.with_it.contains(&facts.caller.key_hash().to_string()) {
            return Err(Refusal::precondition(
                "the key that the operator is using was renewed with it and would be revoked too: another operator does it",
            ));
        }
        Ok(revoked)
    }

    async fn carry_out(
        &self,
        tx: &mut Tx<'_>,
        Revoked { row, with_it, withheld }: &Revoked,
        facts: &Facts,
        _: OpenCases,
    ) -> Result<v1::RegisteredCertificate, WorkError> {
        let at = micros(facts.now);
        for key in [&row.key_hash].into_iter().chain(with_it) {
            certificates::revoke(tx, key, self.ceased, at).await?;
            renewal::refuse_of_key(tx, key, TOLD, at).await?;
        }
        // All that was renewed with it is the same holder's.
        pending::supersede(tx, &of_holder(row), at).await?;
        let (revoked_with_it, withheld_mandates) = (with_it.clone(), withheld.clone());
        Ok(v1::RegisteredCertificate { revoked_with_it, withheld_mandates, ..reply(row, facts.now) })
    }

    fn asked(
        &self,
        facts: &Facts,
        _: OpenCases,
        pending: v1::PendingChange,
    ) -> Result<v1::RegisteredCertificate, StoreError> {
        let known = facts.registry.certificates.get(&self.key_hash);
        let known = known.ok_or(StoreError::Inconsistent("certificate"))?;
        Ok(v1::RegisteredCertificate { pending: Some(pending), ..reply(known, facts.now) })
    }

    fn summary(&self) -> String {
        let key = &self.key_hash;
        if self.ceased {
            format!(
                "key {key} was needed no more and did not get out: what was written under keys that it vouched for is opened again"
            )
        } else {
            format!("key {key} is revoked")
        }
    }

    fn more(&self, _: &Exchange, facts: &Facts, _: OpenCases) -> String {
        let Some(row) = facts.registry.certificates.get(&self.key_hash) else { return String::new() };
        let revoked = row.revoked_at.map(|at| format!(", revoked at {}", moment(from_micros(at))));
        format!("; it is of partners/{}{}", row.oin, revoked.unwrap_or_default())
    }

    fn undoes(&self, facts: &Facts) -> String {
        let Some(Revoked { with_it, withheld, .. }) = self.revoked(facts) else { return String::new() };
        let what = match (self.takes_two(&facts.registry), self.ceased) {
            (true, _) => "needed no more, and not got out",
            (false, true) => "revoked as needed no more",
            (false, false) => "revoked",
        };
        let mut said = format!("{what}: key {}", self.key_hash);
        if !with_it.is_empty() {
            said.push_str(&format!("; and renewed with it: key {}", with_it.join(", key ")));
        }
        if !withheld.is_empty() {
            said.push_str(&format!("; withheld, since it signed: {}", withheld.join(", ")));
        }
        said
    }
}

impl RevokeCertificate {
    /// The key as it stands afterwards, and what falls with it; nothing for a key that nobody knows.
    fn revoked(&self, facts: &Facts) -> Option<Revoked> {
        let row = facts.registry.certificates.get(&self.key_hash)?;
        let with_it = if self.ceased { Vec::new() } else { renewed_with(&facts.registry.certificates, &row.key_hash) };
        let keys: Vec<&str> = [&row.key_hash].into_iter().chain(&with_it).map(String::as_str).collect();
        let withheld = signed_with(&facts.registry, &keys, facts.now);
        let withheld = withheld.into_iter().map(|mandate| format!("mandates/{}", mandate.mandate_id)).collect();
        let revoked_at = row.revoked_at.or(Some(micros(facts.now)));
        Some(Revoked { row: CertificateRow { revoked_at, ceased: self.ceased, ..row.clone() }, with_it, withheld })
    }
}

/// The keys that were obtained with this one, and with those in their turn, that are not revoked yet, or not as ones that got out.
/// One that an operator entered in its place is not among them: its key was shown to somebody who looked.
fn renewed_with(all: &BTreeMap<KeyHash, CertificateRow>, key: &str) -> Vec<String> {
    let (mut found, mut next) = (BTreeMap::new(), vec![key]);
    while let Some(key) = next.pop() {
        for row in all.values().filter(|row| row.renewed && row.replaces == key) {
            let is_left = !is_exposed(row);
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
            assert_eq!(renewed_with(&all, &hash(key)), expected, "{key}");
        }
        // Keys that had ceased got out after all.
        let ceased = |(key, row)| (key, CertificateRow { ceased: true, ..row });
        let all = BTreeMap::from([row(1, None, false, true), ceased(row(2, Some(1), true, true))]);
        assert_eq!(renewed_with(&all, &hash(1)), [hash(2)]);
    }
}
