//! From one agent to another through a hub that may cheat.

use std::time::Duration;

use tonic::Code;
use tonic_types::StatusExt;

use super::hub::route;
use super::network::*;
use crate::api::v1;
use crate::api::v1::fetch_record_response::Chunk as Fetched;
use crate::api::v1::publish_record_request::Chunk;
use crate::api::v1::records_client::RecordsClient;
use crate::clock::{Clock, SystemClock};
use crate::seal::MAX_CONTENT_LEN;

pub(super) const TEXT: &str = "De jeugdige wil thuis blijven wonen.";

pub(super) fn open(oin: &str, schema: &str) -> v1::OpenRecord {
    v1::OpenRecord {
        request_id: uuid::Uuid::new_v4().to_string(),
        context: context(),
        case: case_name(oin),
        category: v1::Category::C06.into(),
        // A file may be anything, so only where the person may be known.
        form: if schema == "sluis/bestand/v1" { v1::Form::I } else { v1::Form::P }.into(),
        schema: schema.into(),
        ..Default::default()
    }
}

pub(super) async fn publish(
    running: &Running,
    open: v1::OpenRecord,
    pieces: Vec<Vec<u8>>,
) -> Result<tonic::Response<v1::PublishRecordResponse>, tonic::Status> {
    let first = v1::PublishRecordRequest { open: Some(open), chunk: None };
    let chunk = |piece: Vec<u8>| v1::PublishRecordRequest { open: None, chunk: Some(Chunk::Plain(piece.into())) };
    let messages: Vec<_> = std::iter::once(first).chain(pieces.into_iter().map(chunk)).collect();
    RecordsClient::new(running.channel.clone()).publish_record(tokio_stream::iter(messages)).await
}

pub(super) async fn published(running: &Running, schema: &str, pieces: Vec<Vec<u8>>) -> String {
    let answer = publish(running, open(ALMELO, schema), pieces).await.unwrap();
    assert!(answer.metadata().get("sluis-event").is_some());
    answer.into_inner().record.unwrap().name
}

pub(super) async fn fetch(running: &Running, oin: &str, name: &str) -> Result<Vec<u8>, tonic::Status> {
    // The author is R02, whoever receives is R05.
    let role = if oin == ALMELO { v1::Role::R02 } else { v1::Role::R05 };
    fetch_as(running, oin, name, role).await
}

async fn fetch_as(running: &Running, oin: &str, name: &str, role: v1::Role) -> Result<Vec<u8>, tonic::Status> {
    let context = v1::RequestContext { acting_role: role.into(), ..context().unwrap() };
    let request = v1::FetchRecordRequest { context: Some(context), name: name.into(), case: case_name(oin) };
    let answer = RecordsClient::new(running.channel.clone()).fetch_record(request).await?;
    assert!(answer.metadata().get("sluis-event").is_some());
    let mut messages = answer.into_inner();
    let mut content = Vec::new();
    let first = messages.message().await?.unwrap();
    assert!(first.header.is_none() && first.key.is_none() && first.chunk.is_none());
    // From the author's header: the stand-in hub says nothing or something else.
    let made = first.record.unwrap().create_time.unwrap().seconds;
    assert!((0..600).contains(&(SystemClock.now().unix_timestamp() - made)));
    while let Some(message) = messages.message().await? {
        let Some(Fetched::Plain(piece)) = message.chunk else { panic!("not content") };
        assert!(piece.len() <= 1 << 20);
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// Almelo publishes to Raalte.
async fn pair() -> (Network, Running, Running) {
    let network = Network::start().await;
    let (almelo, raalte) = (network.agent(ALMELO, true).await, network.agent(RAALTE, true).await);
    almelo.publish_keys().await;
    raalte.publish_keys().await;
    network.hub.state().to = vec![RAALTE.into()];
    (network, almelo, raalte)
}

#[tokio::test]
async fn content_arrives_as_it_was_sent_and_the_hub_reads_nothing() {
    let (network, almelo, raalte) = pair().await;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    assert_eq!(fetch(&almelo, ALMELO, &name).await.unwrap(), TEXT.as_bytes());
    assert!(!network.hub.saw(b"thuis blijven"));

    let big: Vec<u8> = (0..3_500_000_u32).flat_map(|n| (n % 251).to_be_bytes().into_iter().skip(3)).collect();
    let pieces = big.chunks(1 << 20).map(<[u8]>::to_vec).collect();
    let name = published(&almelo, "sluis/bestand/v1", pieces).await;
    assert!(fetch(&raalte, RAALTE, &name).await.unwrap() == big);
    let name = published(&almelo, "sluis/bestand/v1", vec![]).await;
    assert!(fetch(&raalte, RAALTE, &name).await.unwrap().is_empty());
    assert_eq!((almelo.spooled(), raalte.spooled()), (0, 0));
    almelo.stop().await;
    raalte.stop().await;
}

#[tokio::test]
async fn a_request_that_is_repeated_names_the_same_record_and_other_content_another() {
    let (_network, almelo, raalte) = pair().await;
    let open = open(ALMELO, "sluis/tekst/v1");
    let mut names = Vec::new();
    for text in [TEXT, TEXT, "iets anders"] {
        let answer = publish(&almelo, open.clone(), vec![text.into()]).await.unwrap();
        names.push(answer.into_inner().record.unwrap().name);
    }
    assert!(names[0] == names[1] && names[0] != names[2]);
    assert_ne!(published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await, names[0]);
    assert_eq!(fetch(&raalte, RAALTE, &names[1]).await.unwrap(), TEXT.as_bytes());
}

#[tokio::test]
async fn a_record_that_was_meddled_with_is_not_opened() {
    let (network, almelo, raalte) = pair().await;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    let other = published(&almelo, "sluis/tekst/v1", vec!["iets anders".into()]).await;
    type Cheat = fn(&mut v1::FetchRecordResponse);
    let relabelled: Cheat = |m| m.record.iter_mut().for_each(|r| r.category = v1::Category::C09.into());
    let cheats: [(Cheat, &str); 8] = [
        (relabelled, "category"),
        (|m| m.record.iter_mut().for_each(|r| r.form = v1::Form::I.into()), "form"),
        (|m| m.record.iter_mut().for_each(|r| r.article = "22".into()), "article"),
        (|m| m.record.iter_mut().for_each(|r| r.author = format!("partners/{ZWOLLE}")), "author"),
        (|m| m.header.iter_mut().for_each(|h| h.signature = vec![0; 64]), "signed"),
        (|m| m.author_keys = None, "keys"),
        (|m| m.header = None, "complete"),
        (
            |m| {
                if let Some(Fetched::Sealed(piece)) = &mut m.chunk {
                    let mut bytes = piece.to_vec();
                    bytes[9] ^= 1;
                    *piece = bytes.into();
                }
            },
            "content",
        ),
    ];
    for (cheat, word) in cheats {
        network.hub.state().cheat = Some(cheat);
        let refusal = fetch(&raalte, RAALTE, &name).await.unwrap_err();
        assert_eq!(refusal.code(), Code::DataLoss, "{word}");
        assert!(refusal.message().contains(word) && !refusal.message().contains("thuis"), "{word}: {refusal}");
    }
    network.hub.state().cheat = None;
    // One record in the place of another, and a record in another case of the reader.
    let taken = network.hub.state().records.remove(&other).unwrap();
    let right = network.hub.state().records.insert(name.clone(), taken).unwrap();
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap_err().code(), Code::DataLoss);
    network.hub.state().records.insert(name.clone(), right);
    assert_eq!(fetch(&raalte, ZWOLLE, &name).await.unwrap_err().code(), Code::DataLoss);
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    assert_eq!(raalte.spooled(), 0);
}

#[tokio::test]
async fn nothing_is_sealed_to_keys_that_are_not_the_partners() {
    let (network, almelo, _raalte) = pair().await;
    let zwolle = network.agent(ZWOLLE, true).await;
    zwolle.publish_keys().await;
    published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    let right = network.hub.state().keys[RAALTE].clone();
    let mut garbled = right.clone();
    garbled.document.push(b' ');
    let mut unchained = right.clone();
    unchained.certificate_chain.truncate(1);
    let foreign = network.hub.state().keys[ZWOLLE].clone();
    // The very certificate of Raalte's, but another set under the same epoch: pinned at the first publication.
    network.reissue(RAALTE, "raalte-2");
    let swapped = {
        use rustls_pki_types::pem::PemObject;
        use rustls_pki_types::{CertificateDer, PrivateKeyDer};
        let ca = almelo.home.parent().unwrap().join("ca");
        let chain: Vec<_> =
            CertificateDer::pem_file_iter(ca.join("raalte-2.pem")).unwrap().map(|der| der.unwrap().to_vec()).collect();
        let key = PrivateKeyDer::from_pem_file(ca.join("raalte-2.key")).unwrap();
        let keys = crate::seal::AgentKeys::generate(&mut rand_core::OsRng).unwrap();
        let epoch = crate::pseudonym::Epoch::FIRST;
        let set = keys.key_set(RAALTE.parse().unwrap(), epoch, time::OffsetDateTime::UNIX_EPOCH).unwrap();
        let signed = set.sign(&key).unwrap();
        v1::KeySet {
            document: signed.bytes,
            signature_scheme: signed.signature.scheme.code().into(),
            signature: signed.signature.signature,
            certificate_chain: chain,
            mandate: None,
        }
    };
    let before = network.hub.state().records.len();
    for bad in [Some(foreign), Some(garbled), Some(unchained), Some(swapped), None] {
        match bad {
            Some(keys) => network.hub.state().keys.insert(RAALTE.into(), keys),
            None => network.hub.state().keys.remove(RAALTE),
        };
        let refusal = publish(&almelo, open(ALMELO, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert!(refusal.message().contains(RAALTE), "{refusal}");
    }
    network.hub.state().keys.insert(RAALTE.into(), right);
    // One's own keys, swapped by the hub.
    let foreign = network.hub.state().keys[ZWOLLE].clone();
    network.hub.state().keys.insert(ALMELO.into(), foreign);
    let refusal = publish(&almelo, open(ALMELO, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap_err();
    assert_eq!(refusal.code(), Code::FailedPrecondition);
    assert_eq!(network.hub.state().records.len(), before);
}

#[tokio::test]
async fn what_was_sealed_before_new_keys_stays_readable() {
    let (network, almelo, raalte) = pair().await;
    let old = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    // Both have new keys; Raalte was away meanwhile and sees Almelo's for the first time.
    let mut renewed = Vec::new();
    for (agent, oin) in [(almelo, ALMELO), (raalte, RAALTE)] {
        let seed = crate::seal::AgentKeys::generate(&mut rand_core::OsRng).unwrap().seed_file_text();
        let file = agent.home.join("store/agent.2.seed");
        agent.stop().await;
        std::fs::write(&file, &*seed).unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let agent = network.agent(oin, true).await;
        agent.publish_keys().await;
        renewed.push(agent);
    }
    let [almelo, raalte] = renewed.try_into().unwrap_or_else(|_| panic!("two agents"));
    let new = published(&almelo, "sluis/tekst/v1", vec!["daarna".into()]).await;
    for (name, text) in [(&old, TEXT), (&new, "daarna")] {
        assert_eq!(fetch(&raalte, RAALTE, name).await.unwrap(), text.as_bytes());
        assert_eq!(fetch(&almelo, ALMELO, name).await.unwrap(), text.as_bytes());
    }
}

#[tokio::test]
async fn content_is_refused_before_anything_leaves() {
    let (network, almelo, _raalte) = pair().await;
    let too_much = usize::try_from(MAX_CONTENT_LEN).unwrap();
    let mut whole: Vec<Vec<u8>> = vec![vec![b'x'; 1 << 20]; too_much >> 20];
    assert_eq!(whole.len() << 20, too_much);
    whole.push(vec![b'x']);
    let cases: Vec<(&str, Vec<Vec<u8>>, &str)> = vec![
        ("sluis/tekst/v1", vec!["over 99990".into(), "0006 gaat het".into()], "BSN_IN_TEXT"),
        ("sluis/bestand/v1", vec!["over 999 900".into(), " ".into(), "006".into()], "BSN_IN_TEXT"),
        ("sluis/aanmelding-hulpvraag/v1", vec!["{}".into()], "REQUEST_INCOMPLETE"),
        ("sluis/bestand/v1", whole, "REQUEST_INCOMPLETE"),
        ("sluis/bestand/v1", vec![vec![0; (1 << 20) + 1]], "REQUEST_INCOMPLETE"),
    ];
    for (schema, pieces, reason) in cases {
        let refusal = publish(&almelo, open(ALMELO, schema), pieces).await.unwrap_err();
        assert_eq!(refusal.code(), Code::InvalidArgument, "{schema}");
        assert_eq!(refusal.get_details_error_info().unwrap().reason, reason);
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, "chunk.plain");
        assert!(refusal.metadata().get("sluis-event").is_some());
    }
    let profile = v1::OpenRecord { category: v1::Category::C18.into(), ..open(ALMELO, "sluis/tekst/v1") };
    let file = v1::OpenRecord { form: v1::Form::P.into(), ..open(ALMELO, "sluis/bestand/v1") };
    for wrong in [open(ALMELO, "sluis/anders/v1"), profile, file] {
        let refusal = publish(&almelo, wrong, vec![]).await.unwrap_err();
        assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, "open.schema");
    }
    let mut dirty = open(ALMELO, "sluis/tekst/v1");
    dirty.context.as_mut().unwrap().reason = "999900006".into();
    let refusal = publish(&almelo, dirty, vec![]).await.unwrap_err();
    assert_eq!(refusal.get_details_bad_request().unwrap().field_violations[0].field, "open.context.reason");
    let state = network.hub.state();
    assert_eq!((state.reports.len(), state.records.len(), state.plans), (9, 0, 0));
    drop(state);
    assert!(!network.hub.saw(b"99990") && !network.hub.saw(b"gaat het"));
    assert_eq!(almelo.spooled(), 0);
}

#[tokio::test]
async fn a_changed_route_is_planned_anew_but_not_for_ever() {
    let (network, almelo, raalte) = pair().await;
    network.hub.state().route_changes = 2;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    assert_eq!(network.hub.state().plans, 3);
    assert_eq!(fetch(&raalte, RAALTE, &name).await.unwrap(), TEXT.as_bytes());
    network.hub.state().route_changes = 3;
    let refusal = publish(&almelo, open(ALMELO, "sluis/tekst/v1"), vec![TEXT.into()]).await.unwrap_err();
    assert_eq!(refusal.get_details_error_info().unwrap().reason, "ROUTE_CHANGED");
    assert_eq!(network.hub.state().plans, 6);
}

/// The question that a hub puts for Zwolle.
fn question(network: &Network, name: &str, change: &dyn Fn(&mut v1::SealRequest)) -> (String, v1::SealRequest) {
    let state = network.hub.state();
    let stored = &state.records[name];
    let mut request = v1::SealRequest {
        record: name.into(),
        case: case_name(ALMELO),
        category: stored.open.category,
        form: stored.open.form,
        article: "14".into(),
        route: Some(route(&state, ZWOLLE, v1::Role::R05, name)),
        header: stored.open.header.clone(),
        key: stored.open.keys.iter().find(|key| key.recipient == ALMELO).cloned(),
    };
    change(&mut request);
    (ALMELO.into(), request)
}

#[tokio::test]
async fn a_newcomer_gets_what_the_covenant_gives_and_nothing_else() {
    let (network, almelo, _raalte) = pair().await;
    let zwolle = network.agent(ZWOLLE, true).await;
    zwolle.publish_keys().await;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    assert_eq!(fetch(&zwolle, ZWOLLE, &name).await.unwrap_err().code(), Code::NotFound);
    let foreign = network.hub.state().keys[RAALTE].clone();
    // Four lies, then the truth, on one stream.
    let changes: [&dyn Fn(&mut v1::SealRequest); 5] = [
        &|request| request.route.as_mut().unwrap().role = v1::Role::R11.into(),
        &|request| request.category = v1::Category::C01.into(),
        &|request| request.route.as_mut().unwrap().keys = Some(foreign.clone()),
        &|request| request.header.as_mut().unwrap().signature = vec![0; 64],
        &|_| (),
    ];
    let questions = changes.map(|change| question(&network, &name, change)).to_vec();
    network.hub.state().seal_requests = questions;
    for _ in 0..100 {
        if !network.hub.state().additions.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(network.hub.state().additions.len(), 1);
    assert_eq!(fetch(&zwolle, ZWOLLE, &name).await.unwrap(), TEXT.as_bytes());
    assert!(!network.hub.saw(b"thuis blijven"));
}

#[tokio::test]
async fn the_agents_own_copy_of_the_covenant_has_the_last_word() {
    let network = Network::start().await;
    let almelo = network.agent(ALMELO, false).await;
    let zwolle = network.agent(ZWOLLE, false).await;
    almelo.publish_keys().await;
    zwolle.publish_keys().await;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    let asked = question(&network, &name, &|_| ());
    network.hub.state().seal_requests = vec![asked];
    tokio::time::sleep(Duration::from_millis(4000)).await;
    assert!(network.hub.state().asked > 0 && network.hub.state().additions.is_empty());
}

#[tokio::test]
async fn the_hub_cannot_name_recipients_of_its_own() {
    let (network, almelo, _raalte) = pair().await;
    let zwolle = network.agent(ZWOLLE, true).await;
    zwolle.publish_keys().await;
    let open = open(ALMELO, "sluis/tekst/v1");
    let named = v1::OpenRecord { recipients: vec![format!("partners/{RAALTE}")], ..open.clone() };
    let roles = v1::OpenRecord { recipient_roles: vec![v1::Role::R05.into()], ..open.clone() };
    let other_roles = v1::OpenRecord { recipient_roles: vec![v1::Role::R07.into()], ..open.clone() };
    let other_form = v1::OpenRecord { form: v1::Form::L.into(), ..open.clone() };
    let other_category = v1::OpenRecord { category: v1::Category::C09.into(), ..open.clone() };
    let other_article = |mut open: v1::OpenRecord| {
        open.context.as_mut().unwrap().article = "22".into();
        open
    };
    let (right, wrong) = (None, Some(v1::Role::R07.into()));
    // What the caller asks, whom the plan names, in which role.
    let attacks = [
        (&open, vec![RAALTE, ZWOLLE], wrong),
        (&open, vec![RAALTE], Some(0)),
        (&open, vec![RAALTE], Some(99)),
        (&open, vec![RAALTE], Some(-1)),
        (&named, vec![RAALTE, ZWOLLE], right),
        (&named, vec![ZWOLLE], right),
        (&other_roles, vec![RAALTE], right),
        (&other_form, vec![RAALTE], right),
        (&other_category, vec![RAALTE], right),
        (&other_article(open.clone()), vec![RAALTE], right),
    ];
    for (index, (open, to, role)) in attacks.into_iter().enumerate() {
        network.hub.state().to = to.into_iter().map(str::to_owned).collect();
        network.hub.state().to_role = role;
        let refusal = publish(&almelo, open.clone(), vec![TEXT.into()]).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition, "{index}: {refusal}");
        assert!(refusal.message().contains("route plan names"), "{index}: {refusal}");
    }
    assert!(network.hub.state().records.is_empty());
    network.hub.state().to = vec![RAALTE.into()];
    network.hub.state().to_role = right;
    for open in [open, named, roles] {
        publish(&almelo, open, vec![TEXT.into()]).await.unwrap();
    }
}

#[tokio::test]
async fn the_hubs_word_alone_opens_no_record() {
    let (network, almelo, _raalte) = pair().await;
    let zwolle = network.agent(ZWOLLE, true).await;
    zwolle.publish_keys().await;
    let open = || open(ALMELO, "sluis/tekst/v1");
    let named = v1::OpenRecord { recipients: vec![format!("partners/{RAALTE}")], ..open() };
    let roles = v1::OpenRecord { recipient_roles: vec![v1::Role::R05.into()], ..open() };
    let sensitive = v1::OpenRecord { category: v1::Category::C10.into(), ..open() };
    // The covenant grants every one of them; the author opened none of them to the role that the hub names.
    let mut questions = Vec::new();
    for (open, role) in [(named, v1::Role::R05), (roles, v1::Role::R08), (sensitive, v1::Role::R05)] {
        let answer = publish(&almelo, open, vec![TEXT.into()]).await.unwrap();
        let name = answer.into_inner().record.unwrap().name;
        questions.push(question(&network, &name, &|request| request.route.as_mut().unwrap().role = role.into()));
    }
    let count = questions.len();
    network.hub.state().seal_requests = questions;
    for _ in 0..100 {
        if network.hub.state().asked >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(network.hub.state().asked >= count && network.hub.state().additions.is_empty());
    let header = {
        let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
        let header = network.hub.state().records[&name].open.header.clone().unwrap();
        crate::seal::SignedHeader::read(header.header, &header.signature).unwrap()
    };
    assert_eq!(header.header().open_to, [crate::party::Role::R05, crate::party::Role::R08]);
}

#[tokio::test]
async fn a_record_opens_only_to_the_role_that_it_was_sealed_for() {
    let (network, almelo, raalte) = pair().await;
    let name = published(&almelo, "sluis/tekst/v1", vec![TEXT.into()]).await;
    for role in [v1::Role::R02, v1::Role::R11, v1::Role::Unspecified] {
        let refusal = fetch_as(&raalte, RAALTE, &name, role).await.unwrap_err();
        assert_eq!(refusal.code(), Code::FailedPrecondition);
        assert!(refusal.message().contains("another role"), "{refusal}");
    }
    fetch_as(&raalte, RAALTE, &name, v1::Role::R05).await.unwrap();
    // The author may read back in every role, and the hub can't say when the record was made.
    fetch_as(&almelo, ALMELO, &name, v1::Role::R01).await.unwrap();
    network.hub.state().cheat = Some(|message| {
        let long_ago = Some(prost_types::Timestamp { seconds: 1, nanos: 0 });
        message.record.iter_mut().for_each(|record| record.create_time = long_ago);
    });
    fetch(&raalte, RAALTE, &name).await.unwrap();
}
