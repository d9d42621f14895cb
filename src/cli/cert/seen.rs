//! What a hub saw of a connection that was made with the certificate (`Connection.TestConnection`).

use std::sync::Arc;

use rustls_pki_types::ServerName;
use serde_json::json;
use time::OffsetDateTime;
use tonic::{Code, Status};

use super::super::remote::explain;
use super::{CertError, Said};
use crate::api::v1;
use crate::api::v1::connection_client::ConnectionClient;
use crate::clock::TlsClock;
use crate::tls::{ClientTls, Identity};
use crate::trust::Trust;
use crate::wire::{moment, timestamp};

/// What a server answered that was called.
pub(super) struct Seen(Result<v1::TestConnectionResponse, Status>);

impl Seen {
    /// Calls `address`, and asks what it sees.
    pub(super) async fn ask(
        address: &str,
        name: &ServerName<'_>,
        identity: &Identity,
        trust: &Arc<Trust>,
        now: OffsetDateTime,
    ) -> Result<Self, CertError> {
        let tls = ClientTls::new(identity, trust, &name.to_str(), Arc::new(TlsClock))?;
        let mut hub = ConnectionClient::new(tls.connect(address).await?);
        let request = v1::TestConnectionRequest { client_time: Some(timestamp(now)), ..Default::default() };
        Ok(Self(hub.test_connection(request).await.map(tonic::Response::into_inner)))
    }

    /// Whether it refused. A keyholder or a witness has no such call, and nothing against the caller either.
    pub(super) fn is_refused(&self) -> bool {
        self.0.as_ref().is_err_and(|status| status.code() != Code::Unimplemented)
    }
}

impl Said<'_> {
    pub(super) fn seen(&mut self, seen: &Seen) -> std::io::Result<()> {
        self.line("")?;
        self.line(self.language.of(("What the server saw", "Wat de server zag")))?;
        let answer = match &seen.0 {
            Ok(answer) => answer,
            Err(status) => {
                self.put("seen", json!({ "refused": explain(status) }));
                let mark = if seen.is_refused() { '✗' } else { ' ' };
                return self.line(&format!("{mark} {}", explain(status)));
            }
        };
        let facts = facts(answer);
        for (_, name, value) in facts.iter().filter(|(_, _, value)| !value.is_empty()) {
            self.line(&format!("  {:<28} {value}", self.language.of(*name)))?;
        }
        self.put("seen", facts.into_iter().map(|(code, _, value)| (code.to_owned(), json!(value))).collect());
        Ok(())
    }
}

type Fact = (&'static str, (&'static str, &'static str), String);

fn facts(answer: &v1::TestConnectionResponse) -> Vec<Fact> {
    let certificate = answer.certificate.clone().unwrap_or_default();
    let tls = answer.tls.clone().unwrap_or_default();
    let versions = answer.versions.clone().unwrap_or_default();
    let day = |at: &Option<prost_types::Timestamp>| {
        at.as_ref().and_then(moment).map(|at| at.date().to_string()).unwrap_or_default()
    };
    let ahead = answer.clock_difference.unwrap_or_default();
    let ahead = f64::from(i32::try_from(ahead.seconds).unwrap_or(i32::MAX)) + f64::from(ahead.nanos) / 1e9;
    vec![
        ("node", ("node", "knooppunt"), answer.node.clone()),
        ("oin", ("OIN", "OIN"), certificate.oin),
        ("acts_on_behalf_of", ("acts on behalf of", "handelt namens"), answer.acts_on_behalf_of.clone()),
        ("holder", ("registered as", "geregistreerd als"), answer.holder().as_str_name().to_owned()),
        ("issuer", ("issuer", "uitgever"), certificate.issuer),
        ("policies", ("policies", "policies"), certificate.policies.join(", ")),
        ("expires", ("valid until", "geldig tot"), day(&certificate.expire_time)),
        ("anchor_set", ("set of anchors", "ankerset"), certificate.anchor_set),
        ("clock_difference", ("its clock is ahead (s)", "zijn klok loopt voor (s)"), format!("{ahead:.3}")),
        ("tls", ("TLS", "TLS"), format!("{} {} {}", tls.protocol_version, tls.cipher_suite, tls.group)),
        ("apis", ("API", "API"), versions.apis.join(", ")),
        ("hub_version", ("version of the hub", "versie van de hub"), versions.hub),
        ("agent_minimum", ("oldest agent allowed", "oudste toegestane agent"), versions.agent_minimum),
        ("agents_refused_from", ("older ones refused from", "oudere geweigerd vanaf"), day(&versions.refused_from)),
    ]
}
