//! What a partner wrote is opened when it has left: its certificate ended, or was revoked because it was needed no more. By an agent
//! that saw its keys while they were good, and by no other keys.

use std::time::Duration;

use rand_core::OsRng;
use sluis::api::v1;
use sluis::api::v1::confirm_change_response::Changed;
use sluis::api::v1::fetch_record_response::Chunk as Fetched;
use sluis::api::v1::records_client::RecordsClient;
use sluis::pseudonym::Epoch;
use sluis::seal::AgentKeys;
use sluis::trust::Contents;
use tonic::{Code, Status};

use crate::direct::{Draft, Why, why};
use crate::network::{AANBIEDER, EXPERT, GEMEENTE, Network, Party, forward, id, is_postgres, now, publish_set};
use crate::supplied::{Agent, keep};
use crate::tree::until;

const PLAN: &[u8] = b"het plan van wie er niet meer is";
const READS: Why = why("18", "hulp", v1::Role::R07);

/// A gemeente that holds a case and wrote something in it for somebody whose agent is a process of its own.
struct Scene {
    network: Network,
    gemeente: Party,
    reader: Agent,
    /// What the reader calls the case.
    case: String,
    record: String,
}

impl Scene {
    /// The gemeente's certificate is good for so many seconds.
    async fn start(seconds: i64) -> Self {
        let network = Network::start().await;
        network.register_partner(GEMEENTE, v1::OrganisationKind::Gemeente, &[]).await;
        let aanbieder = network.registered(AANBIEDER, v1::OrganisationKind::Aanbieder).await;
        network.sign(&aanbieder).await;
        let reader = agent(&network, &aanbieder, "lezer");
        let holder = network.ending(GEMEENTE, seconds).await;
        let gemeente = Party { holder, keys: AgentKeys::generate(&mut OsRng).unwrap() };
        network.register_certificate(&gemeente.holder, v1::HolderKind::Organisation, "").await;
        network.join(&gemeente).await;
        let own = gemeente.refer(None).await.unwrap().message.name;
        gemeente.assign(&own, v1::Role::R07, &aanbieder).await.unwrap();
        gemeente.advance(&own, v1::Phase::F5).await.unwrap();
        let draft = Draft {
            case: own.clone(),
            why: why("18", "hulp", v1::Role::R02),
            category: v1::Category::C15,
            form: v1::Form::I,
            roles: vec![v1::Role::R07],
            content: PLAN.to_vec(),
        };
        let record = gemeente.publish(&draft).await.unwrap().message.record.unwrap().name;
        let case = network.database().await.case_name(&own, aanbieder.oin()).await;
        Self { network, gemeente, reader, case, record }
    }

    /// It leaves the network.
    async fn leaves(&self) {
        let at = now() + time::Duration::seconds(60);
        let request = v1::SetPartnerStatusRequest {
            request_id: id(),
            name: self.gemeente.name(),
            status: v1::PartnerStatus::Withdrawn as i32,
            reason: "proef van uittreden".to_owned(),
            effective_time: Some(prost_types::Timestamp { seconds: at.unix_timestamp(), nanos: 0 }),
        };
        let done = self.network.operator.client.call::<_, v1::Partner>("Registry/SetPartnerStatus", &request).await;
        done.unwrap();
        forward(&self.network, 120).await;
        let request = v1::GetPartnerRequest { name: self.gemeente.name() };
        let client = &self.network.operator.client;
        let left = async || {
            let known = client.call::<_, v1::Partner>("Directory/GetPartner", &request).await.unwrap().message;
            (known.status() == v1::PartnerStatus::Withdrawn).then_some(())
        };
        until(left).await;
    }

    async fn revoke(&self, reason: v1::RevocationReason) -> Result<v1::RegisteredCertificate, Status> {
        let key_hash = self.gemeente.holder.key_hash.clone();
        let request = v1::RevokeCertificateRequest { request_id: id(), key_hash, reason: reason as i32 };
        let done = self.network.operator.client.call("Registry/RevokeCertificate", &request).await;
        done.map(|reply| reply.message)
    }

    async fn fetch(&self) -> Result<Vec<u8>, Status> {
        let (context, name) = (READS.context(), self.record.clone());
        let request = v1::FetchRecordRequest { context, name, case: self.case.clone() };
        let mut pieces = RecordsClient::new(self.reader.channel()).fetch_record(request).await?.into_inner();
        let mut content = Vec::new();
        while let Some(piece) = pieces.message().await? {
            if let Some(Fetched::Plain(bytes)) = piece.chunk {
                content.extend_from_slice(&bytes);
            }
        }
        Ok(content)
    }

    /// Once the reader's agent is there again.
    async fn fetch_soon(&self) -> Result<Vec<u8>, Status> {
        for _ in 0..100 {
            match self.fetch().await {
                Err(status) if status.code() == Code::Unavailable => {
                    tokio::time::sleep(Duration::from_millis(100)).await
                }
                done => return done,
            }
        }
        self.fetch().await
    }

    /// Puts other keys in the place of those that the hub has of the gemeente.
    async fn substitute(&self, keys: &v1::KeySet) {
        let bytes: String = prost::Message::encode_to_vec(keys).iter().map(|byte| format!("{byte:02x}")).collect();
        let literal = if is_postgres() { format!("'\\x{bytes}'::bytea") } else { format!("X'{bytes}'") };
        let statements = format!(
            "UPDATE key_set SET message = {literal} WHERE oin = '{GEMEENTE}'; UPDATE registry_head SET rev = rev + 1"
        );
        self.network.database().await.any(statements).await;
        let request = v1::GetPartnerRequest { name: self.gemeente.name() };
        let shown = async || {
            let client = &self.network.operator.client;
            let known = client.call::<_, v1::Partner>("Directory/GetPartner", &request).await.unwrap().message;
            (known.keys.as_ref() == Some(keys)).then_some(())
        };
        until(shown).await;
    }

    /// Waits until the reader's agent has seen the gemeente's keys: it looks at the directory by itself when it starts.
    async fn until_seen(&mut self) {
        self.reader.restart(|_| {});
        let pin = self.reader.home.join("store/pins").join(GEMEENTE);
        until(async || pin.exists().then_some(())).await;
    }
}

/// The agent of a partner, which publishes its keys.
fn agent(network: &Network, party: &Party, name: &str) -> Agent {
    keep(network, name, &party.holder);
    let agent = Agent::start(network, network.keyholder_address(), party.oin().as_str(), name, None);
    agent.publish_keys();
    agent
}

#[track_caller]
fn refused(fetched: Result<Vec<u8>, Status>, word: &str) {
    let status = fetched.unwrap_err();
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
    assert!(status.message().contains(word), "{status:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_partner_wrote_is_opened_after_its_certificate_ended_and_with_no_other_keys() {
    const GOOD: i64 = 40;
    let mut scene = Scene::start(GOOD).await;
    scene.until_seen().await;
    scene.leaves().await;
    let end = Contents::read(&scene.gemeente.holder.chain[0]).unwrap().not_after;
    let left = end + time::Duration::seconds(2) - now();
    tokio::time::sleep(Duration::try_from(left).unwrap_or_default()).await;
    assert_eq!(scene.fetch().await.unwrap(), PLAN);

    // Nobody seals to it, nor can the hub be asked to.
    let other = scene.network.partner(EXPERT, v1::OrganisationKind::Aanbieder).await;
    let request = v1::PlanRouteRequest {
        context: READS.context(),
        case: scene.case.clone(),
        category: v1::Category::C15 as i32,
        form: v1::Form::I as i32,
        recipients: vec![scene.gemeente.name()],
        ..Default::default()
    };
    let planned = RecordsClient::new(scene.reader.channel()).plan_route(request).await;
    assert!(planned.is_err(), "{planned:?}");
    assert!(other.assign(&scene.case, v1::Role::R10, &scene.gemeente).await.is_err());

    // A hub that has the certificate's key by now, and signs keys of its own with it: of this epoch, and of the next.
    let created = time::OffsetDateTime::from_unix_timestamp(1_780_000_000).unwrap();
    for (epoch, word) in [(1, "other keys"), (2, "did not see")] {
        let keys = AgentKeys::generate(&mut OsRng).unwrap();
        let epoch = Epoch::new(epoch).unwrap();
        let set = keys.key_set(scene.gemeente.oin().clone(), epoch, created).unwrap();
        scene.substitute(publish_set(&scene.gemeente, &set).keys.as_ref().unwrap()).await;
        refused(scene.fetch().await, word);
    }
    let right = crate::network::publish_keys(&scene.gemeente).keys.unwrap();
    scene.substitute(&right).await;
    assert_eq!(scene.fetch().await.unwrap(), PLAN);

    // An agent that lost what it saw opens nothing of it, until somebody who compared has written it down.
    let (pin, mut seen) = (format!("pins/{GEMEENTE}"), String::new());
    scene.reader.restart(|store| {
        seen = std::fs::read_to_string(store.join(&pin)).unwrap();
        std::fs::remove_file(store.join(&pin)).unwrap();
    });
    refused(scene.fetch_soon().await, "did not see");
    scene.reader.restart(|store| std::fs::write(store.join(&pin), seen.lines().next().unwrap()).unwrap());
    assert_eq!(scene.fetch_soon().await.unwrap(), PLAN);
    scene.network.holds_together().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revocation_because_a_partner_left_leaves_open_what_it_wrote_and_one_of_a_key_that_got_out_closes_it() {
    use v1::RevocationReason::{CessationOfOperation, KeyCompromise, Unspecified};
    let mut scene = Scene::start(3_600).await;
    scene.until_seen().await;
    scene.leaves().await;
    let revoked = scene.revoke(CessationOfOperation).await.unwrap();
    assert_eq!((revoked.revoked, revoked.revocation_reason()), (true, CessationOfOperation));
    assert_eq!(scene.fetch().await.unwrap(), PLAN);
    let request = v1::GetPartnerRequest { name: scene.gemeente.name() };
    let client = &scene.network.operator.client;
    let known = client.call::<_, v1::Partner>("Directory/GetPartner", &request).await.unwrap().message;
    assert_eq!(known.keys, None, "nobody is to seal to it");
    // Again, and the other way round.
    scene.revoke(CessationOfOperation).await.unwrap();
    let revoked = scene.revoke(Unspecified).await.unwrap();
    assert_eq!(revoked.revocation_reason(), KeyCompromise);
    refused(scene.fetch().await, "got out");
    // One operator closes it, and does not open it alone.
    let second = scene.network.second_operator().await;
    let revoked = scene.revoke(CessationOfOperation).await.unwrap();
    assert_eq!(revoked.revocation_reason(), KeyCompromise, "nothing has changed");
    let change = revoked.pending.unwrap();
    assert!(change.summary.contains(&scene.gemeente.holder.key_hash), "{}", change.summary);
    assert!(change.summary.contains("is opened again; it is of partners/"), "{}", change.summary);
    refused(scene.fetch().await, "got out");
    let confirm = v1::ConfirmChangeRequest { request_id: id(), name: change.name };
    let done = second.client.call::<_, v1::ConfirmChangeResponse>("Registry/ConfirmChange", &confirm).await.unwrap();
    let Some(Changed::Certificate(known)) = done.message.changed else { panic!("{done:?}") };
    assert_eq!((known.revoked, known.revocation_reason()), (true, CessationOfOperation));
    let said = "SELECT COUNT(*) FROM audit_event WHERE method = 'sluis.v1.Registry/ConfirmChange' \
         AND motivation LIKE 'needed no more, and not got out: key %' AND outcome = 'allowed' AND src_oin <> ''";
    assert_eq!(scene.network.database().await.number(said).await, 1);
    assert_eq!(scene.fetch().await.unwrap(), PLAN);
    scene.network.holds_together().await;
}
