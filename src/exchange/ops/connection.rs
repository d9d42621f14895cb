//! Testing a connection: what the hub makes of its caller, beside any case.

use ring::digest::{SHA256, digest};
use time::OffsetDateTime;

use super::super::{Decided, Exchange, Facts, Operation};
use crate::api::v1;
use crate::audit::Draft;
use crate::form::Fields;
use crate::ground::{Ground, Refusal};
use crate::identity::Function;
use crate::method::Admitted;
use crate::pseudonym::known_answer::canonical_input;
use crate::store::{Tx, WorkError};
use crate::version;
use crate::wire::{moment, timestamp};

/// Length of a SHA-256 digest.
const DIGEST: usize = 32;

/// `Connection.TestConnection`. What only the edge knows (certificate, handshake, version of the caller) is filled in there.
pub struct TestConnection {
    client_time: Option<OffsetDateTime>,
    known_answer: Vec<u8>,
    canonical_input: Vec<u8>,
}

impl Operation for TestConnection {
    type Message = v1::TestConnectionRequest;
    type Reply = v1::TestConnectionResponse;
    type Rows = ();
    type Plan = ();

    fn parse(message: Self::Message) -> Result<Self, Refusal> {
        let mut fields = Fields::default();
        let client_time = message.client_time.as_ref().and_then(moment);
        if message.client_time.is_some() != client_time.is_some() {
            fields.wrong("client_time", "a moment");
        }
        for (field, bytes) in [("known_answer", &message.known_answer), ("canonical_input", &message.canonical_input)] {
            if !matches!(bytes.len(), 0 | DIGEST) {
                fields.wrong(field, "SHA-256, 32 bytes, or nothing");
            }
        }
        let v1::TestConnectionRequest { known_answer, canonical_input, .. } = message;
        fields.done(Some(Self { client_time, known_answer, canonical_input }))
    }

    fn decide(&self, _: &Exchange, _: &Facts, (): &(), admitted: Admitted) -> Result<(Ground, ()), Refusal> {
        Ok((admitted.office(), ()))
    }

    async fn apply(
        &self,
        hub: &Exchange,
        _: &mut Tx<'_>,
        done: &Decided<Self>,
        _: &mut Draft,
    ) -> Result<v1::TestConnectionResponse, WorkError> {
        let (caller, now) = (&done.facts.caller, done.facts.now);
        let difference = |then: OffsetDateTime| {
            let difference = now - then;
            prost_types::Duration { seconds: difference.whole_seconds(), nanos: difference.subsec_nanoseconds() }
        };
        let minimum = hub.terms().versions.as_ref();
        Ok(v1::TestConnectionResponse {
            node: hub.settings.node.clone(),
            certificate: None,
            tls: None,
            holder: holder(caller.function()).into(),
            hub_time: Some(timestamp(now)),
            clock_difference: self.client_time.map(difference),
            known_answer: compare(&self.known_answer, &hub.settings.known_answer).into(),
            canonical_input: compare(&self.canonical_input, digest(&SHA256, &canonical_input()).as_ref()).into(),
            versions: Some(v1::SeenVersions {
                apis: vec!["sluis.v1".to_owned()],
                hub: version::OWN.to_owned(),
                agent: String::new(),
                agent_minimum: minimum.map(|minimum| minimum.agent.to_string()).unwrap_or_default(),
                refused_from: minimum.and_then(|minimum| minimum.refused_from).map(timestamp),
                covenant: hub.covenant.version().number,
            }),
            acts_on_behalf_of: caller.via().map(|_| caller.oin().to_string()).unwrap_or_default(),
        })
    }
}

fn compare(asked: &[u8], own: &[u8]) -> v1::Comparison {
    match asked {
        [] => v1::Comparison::NotAsked,
        same if same == own => v1::Comparison::Equal,
        _ => v1::Comparison::Different,
    }
}

const fn holder(function: Option<Function>) -> v1::HolderKind {
    match function {
        None => v1::HolderKind::Organisation,
        Some(Function::Officer) => v1::HolderKind::Officer,
        Some(Function::NetworkOfficer) => v1::HolderKind::NetworkOfficer,
        Some(Function::Operator) => v1::HolderKind::Operator,
        Some(Function::Issuer) => v1::HolderKind::Issuer,
    }
}
